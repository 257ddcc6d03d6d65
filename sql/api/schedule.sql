-- Schedules: what pg_cron calls for a model, and how it went.

CREATE FUNCTION hartonomous.schedule_ooda(model hartonomous.regmodel, schedule text, arguments jsonb DEFAULT NULL)
  RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN hartonomous_internal.schedule_call(model, 'ooda', schedule,
    hartonomous_internal.scheduled_call(model, 'ooda_cycle', arguments));
END
$$;
COMMENT ON FUNCTION hartonomous.schedule_ooda(hartonomous.regmodel, text, jsonb) IS
  'has pg_cron call ooda_cycle() for a model by a schedule in the notation of cron, with arguments as a JSON '
  'object; the '
  'next call replaces the schedule; returns the name of the job; 55000 if pg_cron is not there or cannot be reached, '
  '22023 for an argument that does not exist, 42704 if there is no such model; other errors as pg_cron';

CREATE FUNCTION hartonomous.schedule_compression(model hartonomous.regmodel, schedule text, arguments jsonb)
  RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN hartonomous_internal.schedule_call(model, 'compression', schedule,
    hartonomous_internal.scheduled_call(model, 'compress_model', '{"nowait": true}' || coalesce(arguments, '{}')));
END
$$;
COMMENT ON FUNCTION hartonomous.schedule_compression(hartonomous.regmodel, text, jsonb) IS
  'has pg_cron call compress_model() for a model, with a goal as a JSON object, such as {"target_bits_per_weight": 4}; '
  'otherwise as schedule_ooda()';

CREATE FUNCTION hartonomous.schedule_retention(model hartonomous.regmodel, schedule text,
    keep_last integer DEFAULT NULL, max_age interval DEFAULT NULL)
  RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF num_nonnulls(keep_last, max_age) = 0 OR keep_last < 0 OR max_age < interval '0' THEN
    PERFORM hartonomous_internal.raise_error('22023', 'a retention needs a limit that is not negative',
      hint => 'Pass keep_last, max_age, or both.');
  END IF;
  RETURN hartonomous_internal.schedule_call(model, 'retention', schedule, format(
    'SELECT count(*) FROM hartonomous.apply_retention(%s, keep_last => %L, max_age => %L)', model::integer, keep_last,
    max_age));
END
$$;
COMMENT ON FUNCTION hartonomous.schedule_retention(hartonomous.regmodel, text, integer, interval) IS
  'has pg_cron call apply_retention() for a model; 22023 without a limit; otherwise as schedule_ooda()';

-- The last run is the last that has ended: one that is going on has no outcome, and must not hide the last one.
CREATE FUNCTION hartonomous.scheduled_jobs()
  RETURNS TABLE (job_name text, schedule text, command text, active boolean, running boolean, runs bigint,
                 failures bigint, last_status text, last_message text, last_started timestamptz,
                 last_finished timestamptz)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT a.* FROM jsonb_to_recordset(hartonomous_internal.ask_cron(format($sql$
      SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.job_name), '[]')
        FROM (SELECT j.jobname AS job_name, j.schedule, j.command, j.active, d.runs > d.ended AS running,
                     d.ended AS runs, d.failures, l.status AS last_status, l.return_message AS last_message,
                     l.start_time AS last_started, l.end_time AS last_finished
                FROM cron.job j
                CROSS JOIN LATERAL (
                  SELECT count(*) AS runs, count(*) FILTER (WHERE r.status IN ('succeeded', 'failed')) AS ended,
                         count(*) FILTER (WHERE r.status = 'failed') AS failures
                    FROM cron.job_run_details r WHERE r.jobid = j.jobid) d
                LEFT JOIN LATERAL (
                  SELECT r.status, r.return_message, r.start_time, r.end_time FROM cron.job_run_details r
                   WHERE r.jobid = j.jobid AND r.status IN ('succeeded', 'failed') ORDER BY r.runid DESC LIMIT 1) l
                  ON true
               WHERE j.database = %L AND j.jobname LIKE 'hartonomous %%') s$sql$, current_database())))
      a (job_name text, schedule text, command text, active boolean, running boolean, runs bigint, failures bigint,
         last_status text, last_message text, last_started timestamptz, last_finished timestamptz);
END
$$;
COMMENT ON FUNCTION hartonomous.scheduled_jobs() IS
  'the jobs that pg_cron has for this database: what they call, whether a run is going on, how many have ended and '
  'how many of these failed, and what the last that ended said, which is the error if it failed (what a job did is in '
  'job_progress()); 55000 if pg_cron is not there or cannot be reached';

CREATE FUNCTION hartonomous.unschedule(job_name text) RETURNS boolean
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN hartonomous_internal.ask_cron(format(
    'SELECT to_jsonb(coalesce(bool_or(cron.unschedule(j.jobid)), false)) FROM cron.job j '
    'WHERE j.jobname = %L AND j.database = %L AND j.jobname LIKE ''hartonomous %%''', job_name, current_database()));
END
$$;
COMMENT ON FUNCTION hartonomous.unschedule(text) IS
  'ends a job of scheduled_jobs(); false if there is none with that name; errors as scheduled_jobs()';
