-- The steps of a run one after the other: committed where the caller may commit, and what becomes of a run that an error ends.

CREATE FUNCTION hartonomous.do_step(run bigint, layer bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  target regclass;
BEGIN
  IF layer IS NOT NULL THEN
    PERFORM hartonomous.rewrite_layer(run, layer);
    RETURN;
  END IF;
  PERFORM hartonomous.require_run(run);
  SELECT hartonomous.partition_of(r.model_id, r.revision_id) INTO STRICT target
    FROM hartonomous.compression_runs r WHERE r.run_id = run;
  -- A run stopped between here and the swap has its indexes already.
  IF EXISTS (SELECT FROM pg_index i WHERE i.indrelid = target) THEN
    PERFORM hartonomous.finish_run(run);
  ELSE
    PERFORM hartonomous.index_atoms_partition(target);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.do_step(bigint, bigint) IS
  'the next step of a run: a tensor, or without one the indexes and, called again, the end';

-- A cancel is no error of the step (OTHERS leaves it out): it stops the run where it is.
CREATE FUNCTION hartonomous.try_step(run bigint, layer bigint) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  message text;
  detail text;
  hint text;
  in_schema text;
  in_table text;
  in_column text;
  in_constraint text;
  tensor text;
BEGIN
  PERFORM hartonomous.do_step(run, layer);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
    in_schema = SCHEMA_NAME, in_table = TABLE_NAME, in_column = COLUMN_NAME, in_constraint = CONSTRAINT_NAME;
  -- Raised again, the error has lost the context that named the tensor.
  SELECT l.layer_name INTO tensor FROM hartonomous.model_layers l WHERE l.layer_id = layer;
  detail := concat_ws(E'\n', nullif(detail, ''), 'Tensor "' || tensor || '" was being rewritten.');
  RETURN jsonb_build_object('sqlstate', SQLSTATE, 'message', message, 'detail', detail, 'hint', hint, 'schema', in_schema,
                            'table', in_table, 'column', in_column, 'constraint', in_constraint);
END
$$;
COMMENT ON FUNCTION hartonomous.try_step(bigint, bigint) IS
  'do_step(); NULL, or, undone, the error that it met';

-- What the same call can overcome when it is made again leaves the run as it is, to go on from there.
CREATE FUNCTION hartonomous.note_failure(run bigint, failure jsonb) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF failure ->> 'sqlstate' IN ('55P03', '40P01', '40001') THEN
    UPDATE hartonomous.compression_runs r
       SET error_sqlstate = failure ->> 'sqlstate', error_message = failure ->> 'message'
     WHERE r.run_id = run;
  ELSE
    PERFORM hartonomous.close_run(run, 'failed', failure ->> 'sqlstate', failure ->> 'message');
  END IF;
EXCEPTION WHEN OTHERS THEN
  -- Not instead of the error itself, which is about to be raised.
  RAISE WARNING 'run % is not tidied up: %', run, SQLERRM USING HINT = format('SELECT hartonomous.abandon_run(%s);', run);
END
$$;
COMMENT ON FUNCTION hartonomous.note_failure(bigint, jsonb) IS
  'records the error that a step of a run met, as try_step() returns it: the run has failed and what it wrote is dropped, unless a repeat can overcome it (55P03, 40P01, 40001)';

-- An error of a step is caught, recorded and committed, and raised again. Inside a transaction block nothing is recorded:
-- it goes with everything else.
CREATE PROCEDURE hartonomous.execute_step(run bigint, layer bigint, commits boolean)
  LANGUAGE plpgsql
AS $$
DECLARE
  failure pg_catalog.jsonb;
BEGIN
  IF NOT commits THEN
    PERFORM hartonomous.do_step(run, layer);
    RETURN;
  END IF;
  failure := hartonomous.try_step(run, layer);
  IF failure IS NOT NULL THEN
    PERFORM hartonomous.note_failure(run, failure);
  END IF;
  COMMIT;
  IF failure IS NOT NULL THEN
    PERFORM hartonomous.raise_failure(failure);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.execute_step(bigint, bigint, boolean) IS
  'does the next step of a run and, when it may, commits it; an error is recorded first, and raised then';

-- Cancelled or killed: the steps committed so far stay, and the same call goes on from there; inside a transaction
-- block nothing is committed and nothing stays. A second caller waits for the model's lock or fails with 55P03.
CREATE PROCEDURE hartonomous.execute_run(run bigint)
  LANGUAGE plpgsql
AS $$
DECLARE
  commits boolean := hartonomous.can_commit();
  layer bigint;
  target pg_catalog.regclass;
BEGIN
  PERFORM hartonomous.require_run(run);
  IF commits THEN
    COMMIT;
  END IF;
  FOR layer IN
    SELECT s.layer_id FROM hartonomous.compression_steps s
     WHERE s.run_id OPERATOR(pg_catalog.=) run AND s.state OPERATOR(pg_catalog.=) 'waiting'
     ORDER BY s.layer_id
  LOOP
    CALL hartonomous.execute_step(run, layer, commits);
  END LOOP;
  SELECT hartonomous.partition_of(r.model_id, r.revision_id) INTO STRICT target
    FROM hartonomous.compression_runs r WHERE r.run_id OPERATOR(pg_catalog.=) run;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid OPERATOR(pg_catalog.=) target) THEN
    CALL hartonomous.execute_step(run, NULL, commits);
  END IF;
  CALL hartonomous.execute_step(run, NULL, commits);
END
$$;
COMMENT ON PROCEDURE hartonomous.execute_run(bigint) IS
  'does the steps of a run that are still to do, committing each outside a transaction block, then finishes it; the caller holds the model''s lock';

-- Whoever is at work on a model holds its lock. A run that says it is running while nobody does was cancelled or killed.
CREATE FUNCTION hartonomous.run_progress(model integer DEFAULT NULL)
  RETURNS TABLE (run_id bigint, model_name text, stage text, state text, steps_done bigint, steps bigint,
                 bytes_before bigint, bytes_after bigint, seconds double precision, pid integer,
                 error_sqlstate text, error_message text, started_at timestamptz, finished_at timestamptz)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF to_regclass('hartonomous.models') IS NULL THEN
    RETURN;
  END IF;
  IF model IS NOT NULL THEN
    PERFORM hartonomous.current_revision(model);
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
               sum(c.bytes_before)::bigint AS before, sum(c.bytes_after)::bigint AS after, sum(c.seconds) AS seconds
          FROM hartonomous.compression_steps c WHERE c.run_id = r.run_id) s ON true
      LEFT JOIN LATERAL (
        SELECT l.pid FROM pg_locks l
         WHERE l.locktype = 'object' AND l.granted AND l.classid = 'hartonomous.models'::regclass
           AND l.objid = r.model_id::oid AND l.objsubid = 0 AND l.mode = 'ExclusiveLock'
           AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) LIMIT 1) h ON true
     WHERE run_progress.model IS NULL OR r.model_id = run_progress.model
     ORDER BY r.run_id DESC;
END
$$;
COMMENT ON FUNCTION hartonomous.run_progress(integer) IS
  'a row a run, of a model or of all, newest first: running (pid is the session at work), stopped (nobody is: the same call goes on, abandon_run() gives it up), completed, failed or abandoned; tensors done, bytes and seconds of these, the error that ended or stopped it; 42704 when there is no such model; none without a store';

CREATE FUNCTION hartonomous.run_progress(model text)
  RETURNS TABLE (run_id bigint, model_name text, stage text, state text, steps_done bigint, steps bigint,
                 bytes_before bigint, bytes_after bigint, seconds double precision, pid integer,
                 error_sqlstate text, error_message text, started_at timestamptz, finished_at timestamptz)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.run_progress(hartonomous.model_id(model));
END
$$;
COMMENT ON FUNCTION hartonomous.run_progress(text) IS 'the same for a model by its name';
