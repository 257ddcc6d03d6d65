-- Functions on runs.

CREATE FUNCTION hartonomous.abandon_run(run bigint) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  found record;  -- not a row type, which would need the store to exist when this is compiled
BEGIN
  SELECT r.model_id, r.state INTO found FROM hartonomous.compression_runs r WHERE r.run_id = run;
  IF found.model_id IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704', format('run %s does not exist', coalesce(run::text, 'NULL')),
      hint => 'SELECT * FROM hartonomous.compression_runs; shows all runs.');
  END IF;
  -- A session that executes the run holds the lock. Such a run has to be cancelled (pg_cancel_backend), not abandoned.
  PERFORM hartonomous_internal.lock_model(found.model_id, nowait => true);
  SELECT r.state INTO found.state FROM hartonomous.compression_runs r WHERE r.run_id = run;
  IF found.state IS DISTINCT FROM 'running' THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('run %s is %s: it cannot be abandoned', run, coalesce(found.state, 'deleted')),
      hint => 'Only runs in state "running" can be: see hartonomous.compression_runs.');
  END IF;
  PERFORM hartonomous_internal.close_run(run, 'abandoned');
END
$$;
COMMENT ON FUNCTION hartonomous.abandon_run(bigint) IS
  'gives up a run that was stopped, and drops what it wrote to free its disk space; 42704 if there is no such run, '
  '55000 if it is not running, 55P03 if a session is working on its model';

-- A session that executes a run holds the lock of its model. If a run is recorded as running but nobody holds the lock,
-- it was cancelled or its session died.
CREATE FUNCTION hartonomous.run_progress(model hartonomous.regmodel DEFAULT NULL)
  RETURNS TABLE (run_id bigint, model_name text, stage text, state text, steps_done bigint, steps bigint,
                 bytes_before bigint, bytes_after bigint, seconds double precision, pid integer,
                 error_sqlstate text, error_message text, started_at timestamptz, finished_at timestamptz)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT hartonomous_internal.can_report(model) THEN
    RETURN;
  END IF;
  RETURN QUERY
    SELECT r.run_id, m.model_name, r.stage,
           CASE WHEN r.state = 'running' AND (h.pid IS NULL OR r.run_id < max(r.run_id) OVER (PARTITION BY r.model_id))
                THEN 'stopped' ELSE r.state END,
           s.done, s.steps, coalesce(r.bytes_before, s.before), coalesce(r.bytes_after, s.after), s.seconds,
           CASE WHEN r.state = 'running' AND r.run_id = max(r.run_id) OVER (PARTITION BY r.model_id) THEN h.pid END,
           r.error_sqlstate, r.error_message, r.started_at, r.finished_at
      FROM hartonomous.compression_runs r
      JOIN hartonomous.models m ON m.model_id = r.model_id
      LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE c.state = 'done') AS done, count(*) AS steps,
               hartonomous_internal.nearest_bigint(sum(c.bytes_before)) AS before,
               hartonomous_internal.nearest_bigint(sum(c.bytes_after)) AS after,
               sum(hartonomous_internal.summable_seconds(c.seconds)) AS seconds
          FROM hartonomous.compression_steps c WHERE c.run_id = r.run_id) s ON true
      LEFT JOIN LATERAL hartonomous_internal.model_holder(r.model_id) h (pid) ON true
     WHERE run_progress.model IS NULL OR r.model_id = run_progress.model
     ORDER BY r.run_id DESC;
END
$$;
COMMENT ON FUNCTION hartonomous.run_progress(hartonomous.regmodel) IS
  'one row per run of a model or of all models, newest first: running (pid is the session that is working on it), '
  'stopped (there is none: the same call resumes it, abandon_run() gives it up), completed, failed or abandoned; the '
  'number of tensors done, their bytes and seconds, and the error that ended or stopped it; 42704 if there is no such '
  'model; no rows without a store';
