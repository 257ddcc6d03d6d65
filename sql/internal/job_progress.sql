-- How far a job is, for other sessions (job_progress()). Time left is what is left at the speed of what is done, like
-- that of progress messages, and added up only from what was measured: it is not known before everything that will have
-- to be done has been done once.

-- Somebody may have edited the parameters of a job, or the seconds of a step.
CREATE FUNCTION hartonomous_internal.most_trials(parameters jsonb) RETURNS integer
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 50
  RETURN CASE WHEN jsonb_typeof(parameters -> 'stages') = 'array'
              THEN greatest(jsonb_array_length(parameters -> 'stages'), 1)
              WHEN jsonb_typeof(parameters -> 'max_changes') = 'number'
              THEN least(greatest((parameters ->> 'max_changes')::numeric, 1), 1000000)::integer
              ELSE CASE WHEN parameters ? 'target_bytes' THEN 2 ELSE 5 END
                   + CASE WHEN parameters -> 'removals' = 'true'
                          THEN 2 * (SELECT count(*)::integer FROM hartonomous_internal.removals_to_try())
                          ELSE 0 END END;
COMMENT ON FUNCTION hartonomous_internal.most_trials(jsonb) IS
  'how many trials a job with these parameters will make at most';

CREATE FUNCTION hartonomous_internal.plausible_seconds(seconds double precision) RETURNS double precision
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN CASE WHEN seconds IS NOT NULL THEN least(greatest(seconds, 0), 1e9) END;
COMMENT ON FUNCTION hartonomous_internal.plausible_seconds(double precision) IS
  'a duration that can be added to others: from 0 to 10^9 seconds';

CREATE FUNCTION hartonomous_internal.sensitivity_activity(model integer, calibration_set text, formats text[],
    OUT doing text, OUT share double precision, OUT seconds_left double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.current_revision(model);
  left_over record;
  done record;
BEGIN
  doing := 'measuring sensitivity';
  share := 0;
  SELECT coalesce(sum(cardinality(t.formats)), 0) AS errors, count(t.probe_format) AS probes INTO left_over
    FROM unnest(hartonomous_internal.plan_sensitivity(model, calibration_set, 'hessian', formats, 'Q3_K', 2048)) t;
  SELECT e.errors, e.seconds AS of_error, p.probes, p.seconds AS of_probe INTO done
    FROM (SELECT count(*) AS errors, avg(hartonomous_internal.plausible_seconds(s.seconds)) AS seconds
            FROM hartonomous.sensitivities s
           WHERE s.model_id = model AND s.revision_id = live
             AND s.calibration_set = sensitivity_activity.calibration_set) e,
         (SELECT count(*) AS probes, avg(hartonomous_internal.plausible_seconds(s.seconds)) AS seconds
            FROM hartonomous.sensitivity_probes s
           WHERE s.model_id = model AND s.revision_id = live
             AND s.calibration_set = sensitivity_activity.calibration_set) p;
  seconds_left := CASE WHEN left_over.errors > 0 THEN left_over.errors * done.of_error ELSE 0 END
                + CASE WHEN left_over.probes > 0 THEN left_over.probes * done.of_probe ELSE 0 END;
  share := (done.errors + done.probes)::float8
           / greatest(done.errors + done.probes + left_over.errors + left_over.probes, 1);
  doing := CASE WHEN left_over.errors > 0
                THEN format('measuring errors of formats, %s of %s', done.errors, done.errors + left_over.errors)
                ELSE format('probing tensors, %s of %s', done.probes, done.probes + left_over.probes) END;
-- What is not there yet cannot be planned; the job itself will say what is wrong.
EXCEPTION WHEN invalid_parameter_value OR undefined_object OR object_not_in_prerequisite_state THEN
  seconds_left := NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.sensitivity_activity(integer, text, text[]) IS
  'how much of the sensitivities is measured that a job needs: in words, as a share, and the seconds that '
  'the rest will '
  'take (NULL: not known)';

CREATE FUNCTION hartonomous_internal.activity_before(job bigint, OUT doing text, OUT share double precision,
    OUT seconds_left double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  j record;
  needs constant record := hartonomous_internal.needed_before(job, NULL);
BEGIN
  SELECT c.model_id, c.parameters INTO STRICT j FROM hartonomous.compression_jobs c WHERE c.job_id = job;
  IF needs.sensitivity AND NOT needs.calibration THEN
    SELECT a.doing, a.share, a.seconds_left INTO doing, share, seconds_left
      FROM hartonomous_internal.sensitivity_activity(j.model_id, j.parameters ->> 'calibration_set',
             CASE WHEN jsonb_typeof(j.parameters -> 'formats') = 'array'
                  THEN hartonomous_internal.formats_of_goal(j.parameters) END) a;
  ELSE
    doing := CASE WHEN needs.calibration THEN 'collecting calibration statistics' ELSE 'deciding what to try' END;
    share := 0;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.activity_before(bigint) IS
  'what a running job is doing before its first trial or between two: in words, the share that is done, and '
  'the seconds '
  'left (NULL: not known)';

-- The seconds that the last measurement took tell how long the next one will.
CREATE FUNCTION hartonomous_internal.measuring_seconds(job bigint) RETURNS double precision
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT hartonomous_internal.plausible_seconds(v.seconds)
            FROM hartonomous.compression_jobs j JOIN hartonomous.validation_results v ON v.model_id = j.model_id
           WHERE j.job_id = job
             AND (v.evaluator = j.parameters ->> 'evaluator'
                  OR v.validation_set = j.parameters ->> 'validation_set' AND v.kl_divergence IS NOT NULL)
           ORDER BY v.result_id DESC LIMIT 1);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.measuring_seconds(bigint) IS
  'how long a job will take to measure a state of its model, as far as the last measurement tells; NULL if there was '
  'none';

CREATE FUNCTION hartonomous_internal.trial_activity(trial bigint, OUT doing text, OUT share double precision,
    OUT seconds double precision, OUT seconds_left double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  t record;
  run record;
  changing double precision;
  measuring double precision;
BEGIN
  SELECT c.change, c.revision_id, c.created_at, c.job_id, j.model_id INTO STRICT t
    FROM hartonomous.compression_trials c JOIN hartonomous.compression_jobs j USING (job_id)
   WHERE c.trial_id = trial;
  -- A tensor takes as long as it has weights.
  SELECT count(*) AS steps, count(*) FILTER (WHERE s.state = 'done') AS done,
         sum(hartonomous_internal.plausible_seconds(s.seconds)) FILTER (WHERE s.state = 'done') AS seconds,
         sum(l.weights) AS weights, sum(l.weights) FILTER (WHERE s.state = 'done') AS weights_done,
         max(r.finished_at) AS finished_at
    INTO run
    FROM hartonomous.compression_runs r JOIN hartonomous.compression_steps s USING (run_id)
    CROSS JOIN LATERAL (SELECT greatest(sum(greatest(m.parameter_count, 1)), 1)::float8 AS weights
                          FROM hartonomous.model_layers m WHERE m.layer_id = s.layer_id) l
   WHERE r.run_id = (SELECT max(c.run_id) FROM hartonomous.compression_runs c
                      WHERE c.model_id = t.model_id
                        AND CASE WHEN t.revision_id IS NOT NULL THEN c.revision_id = t.revision_id
                                 ELSE c.state = 'running' AND c.started_at >= t.created_at END);
  changing := CASE WHEN t.revision_id IS NULL AND run.done > 0 THEN run.seconds * run.weights / run.weights_done
                   WHEN t.revision_id IS NOT NULL THEN coalesce(run.seconds, 0) END;
  measuring := hartonomous_internal.measuring_seconds(t.job_id);
  seconds := changing + measuring;
  doing := hartonomous_internal.change_text(t.change);
  IF t.revision_id IS NOT NULL THEN
    doing := 'measuring: ' || doing;
    share := 0.8;
    seconds_left := greatest(measuring - extract(epoch FROM clock_timestamp() - run.finished_at), 0);
  ELSE
    doing := doing || CASE WHEN run.steps > 0 THEN format(', %s of %s tensors', run.done, run.steps) ELSE '' END;
    share := CASE WHEN run.steps > 0 THEN 0.8 * run.done / run.steps ELSE 0 END;
    seconds_left := changing - run.seconds + measuring;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.trial_activity(bigint) IS
  'how far a trial is: in words, as a share, the seconds that it takes as a whole, and those that are left (NULL: not '
  'known)';

CREATE FUNCTION hartonomous_internal.job_activity(job bigint, OUT doing text, OUT percent integer,
    OUT seconds_left double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  j record;
  trial record;
  trials record;
  now_doing record;
  before integer;      -- whether sensitivities are measured before the first trial
  others integer;      -- trials that may follow the present one
BEGIN
  SELECT c.model_id, c.procedure, c.parameters, c.state INTO STRICT j
    FROM hartonomous.compression_jobs c WHERE c.job_id = job;
  SELECT count(c.verdict) AS judged, avg(hartonomous_internal.plausible_seconds(c.seconds))
           FILTER (WHERE c.verdict IS NOT NULL) AS seconds
    INTO trials FROM hartonomous.compression_trials c WHERE c.job_id = job;
  IF j.procedure = 'ooda_cycle' THEN
    trials.judged := hartonomous_internal.acted_on(job);
  END IF;
  before := (j.procedure = 'compress_model' AND NOT j.parameters ? 'stages')::integer;
  others := greatest(hartonomous_internal.most_trials(j.parameters) - trials.judged, 0);
  IF j.state <> 'running' THEN
    percent := CASE WHEN j.state = 'completed' THEN 100
                    ELSE least(100, 100 * trials.judged / (trials.judged + others)) END;
    RETURN;
  END IF;
  SELECT c.trial_id INTO trial FROM hartonomous.compression_trials c
   WHERE c.job_id = job AND c.verdict IS NULL ORDER BY c.trial_id LIMIT 1;
  IF trial.trial_id IS NULL THEN
    SELECT a.doing, a.share, NULL::float8 AS seconds, a.seconds_left INTO now_doing
      FROM hartonomous_internal.activity_before(job) a;
    percent := floor(100 * (before * CASE WHEN trials.judged > 0 THEN 1 ELSE now_doing.share END + trials.judged)
                     / (before + trials.judged + others));
  ELSE
    SELECT a.doing, a.share, a.seconds, a.seconds_left INTO now_doing
      FROM hartonomous_internal.trial_activity(trial.trial_id) a;
    percent := floor(100 * (before + trials.judged + now_doing.share) / (before + trials.judged + greatest(others, 1)));
    others := others - 1;
  END IF;
  doing := now_doing.doing;
  -- A trial that has not begun takes as long as those before.
  seconds_left := CASE WHEN trial.trial_id IS NULL THEN now_doing.seconds_left
                       ELSE coalesce(now_doing.seconds_left, trials.seconds) END
    + CASE WHEN others > 0 THEN others * coalesce(trials.seconds, now_doing.seconds) ELSE 0 END;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.job_activity(bigint) IS
  'what a job is doing, the percentage of it that is done at least, and the seconds that it will take at most (NULL: '
  'not known); nothing to do and no time if it is not running';
