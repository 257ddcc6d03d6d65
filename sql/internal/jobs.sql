-- Jobs: calls that try changes on a model, measure each, and keep what is good enough. A job is a row of
-- compression_jobs; each change that it tries is a row of compression_trials (internal/trials.sql).

-- A second caller learns for whom it waits.
CREATE FUNCTION hartonomous_internal.lock_model_of_job(model integer, nowait boolean, for_session boolean)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  holder integer;
BEGIN
  SELECT h.pid INTO holder FROM hartonomous_internal.model_holder(model) h (pid) WHERE h.pid <> pg_backend_pid();
  IF holder IS NOT NULL AND NOT coalesce(nowait, false) THEN
    RAISE NOTICE 'waiting for process %, which is changing model "%"', holder, model::hartonomous.regmodel
      USING HINT = 'hartonomous.job_progress() and hartonomous.run_progress() show what it does.';
  END IF;
  PERFORM hartonomous_internal.lock_model(model, nowait, for_session);
  PERFORM hartonomous_internal.require_live_atoms(model);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.lock_model_of_job(integer, boolean, boolean) IS
  'lock_model(), with a NOTICE that names the process that holds the lock before it waits for it; 55000 if '
  'the model is archived';

CREATE FUNCTION hartonomous_internal.start_job(model integer, procedure text, parameters jsonb, baseline integer)
  RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  stopped record;
  resumed bigint;
BEGIN
  -- The caller holds the model's lock, so any job recorded as running has been stopped.
  FOR stopped IN
    SELECT j.job_id, j.procedure = start_job.procedure AND j.parameters = start_job.parameters AS same
      FROM hartonomous.compression_jobs j WHERE j.model_id = model AND j.state = 'running' ORDER BY j.job_id DESC
  LOOP
    IF stopped.same AND resumed IS NULL AND hartonomous_internal.job_is_here(stopped.job_id) THEN
      resumed := stopped.job_id;
      RAISE NOTICE 'resuming job %', resumed;
    ELSE
      PERFORM hartonomous_internal.abandon_trials(stopped.job_id);
      UPDATE hartonomous.ooda_hypotheses h SET state = 'obsolete' WHERE h.job_id = stopped.job_id
        AND h.state = 'acting';
      UPDATE hartonomous.compression_jobs j SET state = 'abandoned', finished_at = clock_timestamp()
       WHERE j.job_id = stopped.job_id;
    END IF;
  END LOOP;
  IF resumed IS NULL THEN
    INSERT INTO hartonomous.compression_jobs (model_id, procedure, parameters, original_revision_id,
        baseline_revision_id, state)
      VALUES (model, procedure, parameters, hartonomous_internal.current_revision(model), baseline, 'running')
      RETURNING job_id INTO resumed;
  END IF;
  RETURN resumed;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.start_job(integer, text, jsonb, integer) IS
  'a job of a procedure: one that was stopped and has the same parameters, or a new one; other stopped jobs '
  'of the model '
  'are abandoned, and what they had not yet measured is rolled back; the caller holds the lock of the model';

-- Meanwhile others may have changed the model, or dropped what the job has to go back to or to compare with.
CREATE FUNCTION hartonomous_internal.job_is_here(job bigint) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  j record;
  last_trial record;
  live integer;
BEGIN
  SELECT c.model_id, c.original_revision_id AS original, c.baseline_revision_id AS baseline, c.parameters ? 'evaluator'
           AS scored, c.procedure = 'compress_model' AND NOT c.parameters ? 'stages' AS alternatives
    INTO STRICT j FROM hartonomous.compression_jobs c WHERE c.job_id = job;
  SELECT t.trial_id, t.verdict, t.parent_revision_id AS parent, t.revision_id AS made INTO last_trial
    FROM hartonomous.compression_trials t WHERE t.job_id = job ORDER BY t.trial_id DESC LIMIT 1;
  live := hartonomous_internal.current_revision(j.model_id);
  IF last_trial.verdict IS NULL AND last_trial.made IS NULL
     AND hartonomous_internal.made_by_trial(last_trial.trial_id, live) THEN
    last_trial.made := live;
  END IF;
  RETURN live = CASE WHEN last_trial.trial_id IS NULL THEN j.original
                     -- Removed structures that led to nothing better were put back.
                     WHEN last_trial.verdict <> 'kept' THEN CASE WHEN j.alternatives THEN j.original
                                                                 ELSE last_trial.parent END
                     ELSE coalesce(last_trial.made, last_trial.parent) END
    AND NOT EXISTS (
      SELECT FROM (VALUES (j.baseline, NOT j.scored), (j.original, j.alternatives),
                     (last_trial.parent, last_trial.trial_id IS NOT NULL AND last_trial.verdict IS NULL)
      ) n (revision, needed)
       WHERE n.needed AND NOT EXISTS (SELECT FROM hartonomous.model_revisions r
                                       WHERE r.revision_id = n.revision AND r.model_id = j.model_id
                                         AND r.state IN ('live', 'backup')));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.job_is_here(bigint) IS
  'whether the model is where a stopped job has left it, and the revisions are still there that the job needs';

CREATE FUNCTION hartonomous_internal.cycle_report(job bigint) RETURNS text[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  sizes text := (hartonomous_internal.job_report(job))[1];
  done text[] := ARRAY(
    SELECT format('%s: %s; %s', replace(h.state, '_', ' '), h.rationale, h.outcome)
      FROM hartonomous.ooda_hypotheses h WHERE h.job_id = job ORDER BY h.finished_at, h.hypothesis_id);
BEGIN
  RETURN sizes || CASE WHEN cardinality(done) = 0 THEN ARRAY['nothing to act on'] ELSE done END;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.cycle_report(bigint) IS
  'what a cycle did: the size before and after, and a line for each hypothesis that it acted on';

-- What ooda_act() has changed is measured later, by ooda_learn() or a cycle, which then end the job.
CREATE FUNCTION hartonomous_internal.end_job(job bigint) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  acting record;
  report text[];
  line text;
BEGIN
  SELECT h.rationale, h.model_id INTO acting
    FROM hartonomous.compression_jobs j JOIN hartonomous.ooda_hypotheses h ON h.job_id = j.job_id
   WHERE j.job_id = job AND j.procedure = 'ooda_act' AND h.state = 'acting' LIMIT 1;
  IF FOUND THEN
    RAISE NOTICE 'done, and not yet measured: %', acting.rationale
      USING HINT = format('CALL hartonomous.ooda_learn(%L); measures it, and keeps it or rolls it back.',
                          acting.model_id::hartonomous.regmodel::text);
    RETURN;
  END IF;
  report := (SELECT CASE WHEN j.procedure = 'compress_model' THEN hartonomous_internal.job_report(job)
                         ELSE hartonomous_internal.cycle_report(job) END
               FROM hartonomous.compression_jobs j WHERE j.job_id = job);
  UPDATE hartonomous.compression_jobs j
     SET state = 'completed', finished_at = clock_timestamp(), report = report WHERE j.job_id = job;
  FOREACH line IN ARRAY report LOOP
    RAISE NOTICE '%', line;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.end_job(bigint) IS
  'ends a job, and prints its report; says of a job whose change is still to be measured only that';
