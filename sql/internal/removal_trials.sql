-- Trials that remove something on the way to a size or a loss: neurons, a block, or tokens. Such a trial is a step:
-- what it leaves is calibrated anew, and formats are allocated from there. Both are kept only if that is better than
-- formats alone.

CREATE FUNCTION hartonomous_internal.removals_to_try() RETURNS TABLE (n integer, after integer, change jsonb)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1 ROWS 4
BEGIN ATOMIC
  SELECT v.* FROM (VALUES
    (1, NULL::integer, '{"stage": "remove_neurons", "keep_ratio": 0.95}'::jsonb),
    (2, 1, '{"stage": "remove_neurons", "keep_ratio": 0.9}'),
    (3, NULL, '{"stage": "remove_blocks", "count": 1, "protected_blocks": [0]}'),
    (4, NULL, '{"stage": "trim_vocabulary"}')) v (n, after, change);
END;
COMMENT ON FUNCTION hartonomous_internal.removals_to_try() IS
  'what is removed on trial, in this order; what is bolder than another (after) not if that was rejected';

CREATE FUNCTION hartonomous_internal.is_step(goal jsonb, change jsonb, bytes bigint) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN change ->> 'stage' IN ('remove_neurons', 'remove_blocks', 'trim_vocabulary') IS TRUE
         AND (bytes > (goal ->> 'target_bytes')::bigint) IS DISTINCT FROM false;
COMMENT ON FUNCTION hartonomous_internal.is_step(jsonb, jsonb, bigint) IS
  'whether a change removes something and is not by itself as small as a goal wants';

CREATE FUNCTION hartonomous_internal.pending_step(job bigint) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT t.trial_id FROM hartonomous.compression_trials t JOIN hartonomous.compression_jobs j USING (job_id)
     WHERE t.trial_id = (SELECT max(l.trial_id) FROM hartonomous.compression_trials l WHERE l.job_id = job)
       AND j.procedure = 'compress_model' AND NOT j.parameters ? 'stages' AND t.verdict = 'kept'
       AND hartonomous_internal.is_step(j.parameters, t.change, t.bytes_after)
       AND t.revision_id = hartonomous_internal.current_revision(j.model_id));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.pending_step(bigint) IS
  'the trial of a job that has just removed something, and from whose revision formats have to be allocated; NULL if '
  'there is none';

CREATE FUNCTION hartonomous_internal.best_trial(job bigint) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT max(t.trial_id) FROM hartonomous.compression_trials t JOIN hartonomous.compression_jobs j USING (job_id)
     WHERE t.job_id = job AND t.verdict = 'kept' AND t.revision_id IS NOT NULL
       AND NOT hartonomous_internal.is_step(j.parameters, t.change, t.bytes_after));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.best_trial(bigint) IS
  'the trial that a job with alternatives has kept so far; NULL if there is none';

CREATE FUNCTION hartonomous_internal.allocations_tried(job bigint)
  RETURNS TABLE (trial_id bigint, loss double precision, predicted_kl_divergence double precision)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250 ROWS 5
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT t.trial_id, t.loss, t.predicted_kl_divergence
      FROM hartonomous.compression_trials t JOIN hartonomous.compression_jobs j USING (job_id)
     WHERE t.job_id = job AND t.change ->> 'stage' = 'plan' AND t.parent_revision_id = j.original_revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.allocations_tried(bigint) IS
  'the trials of a job that have allocated formats from the original state';

-- Only a removal that loses less by itself than its bytes bring elsewhere is worth the time that calibrating and
-- allocating take. What they bring is predicted when it is proposed, by the sensitivities of the original state.
CREATE FUNCTION hartonomous_internal.is_promising(job bigint, trial bigint) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  step record;
  kept record;
BEGIN
  SELECT t.loss, t.predicted_kl_divergence AS predicted INTO STRICT step
    FROM hartonomous.compression_trials t WHERE t.trial_id = trial;
  SELECT t.trial_id, t.loss, t.predicted_kl_divergence AS predicted INTO kept FROM hartonomous.compression_trials t
   WHERE t.trial_id = hartonomous_internal.best_trial(job);
  RETURN kept.trial_id IS NULL OR coalesce(
    step.loss + greatest(kept.loss, 0) * least(coalesce(step.predicted / nullif(kept.predicted, 0), 0), 1) < kept.loss,
    false);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.is_promising(bigint, bigint) IS
  'whether a removal loses less by itself than what it saves is predicted to bring, compared with what a job '
  'has kept so '
  'far';

CREATE FUNCTION hartonomous_internal.formats_of_goal(goal jsonb) RETURNS text[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 50
  RETURN CASE WHEN goal ? 'formats'
              THEN ARRAY(SELECT f.name FROM jsonb_array_elements_text(goal -> 'formats') f (name)) END;
COMMENT ON FUNCTION hartonomous_internal.formats_of_goal(jsonb) IS
  'the formats among which a goal lets choose; NULL for all that can be written';

-- The formats of a model that is smaller by so many bytes are those of the original one at a size that is larger in
-- proportion.
CREATE FUNCTION hartonomous_internal.predicted_after(job bigint, bytes_saved bigint) RETURNS double precision
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  j record;
  options record;
BEGIN
  SELECT c.model_id, c.parameters AS goal, r.logical_bytes AS bytes, coalesce((c.parameters ->> 'target_bytes')::bigint,
           (SELECT t.bytes_after FROM hartonomous.compression_trials t
             WHERE t.trial_id = hartonomous_internal.best_trial(job))) AS target
    INTO STRICT j
    FROM hartonomous.compression_jobs c JOIN hartonomous.model_revisions r ON r.revision_id = c.original_revision_id
   WHERE c.job_id = job;
  IF j.target IS NULL OR bytes_saved >= j.bytes THEN
    RETURN NULL;
  END IF;
  options := hartonomous_internal.allocation_options(j.model_id, j.goal ->> 'calibration_set', 'hessian',
    hartonomous_internal.formats_named(hartonomous_internal.formats_of_goal(j.goal)));
  RETURN (hartonomous_internal.allocate_bits(options.tensors, options.bytes, options.costs,
    (j.target::float8 * j.bytes / (j.bytes - bytes_saved))::bigint - options.fixed_bytes)).cost;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.predicted_after(bigint, bigint) IS
  'the KL divergence that the best formats are predicted to cost, at the size of a job, once so many bytes of the '
  'original state are removed; NULL if no size is known';

-- The model is at its original state.
CREATE FUNCTION hartonomous_internal.next_removal(job bigint, OUT change jsonb, OUT predicted double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  j record;
  removal record;
  saved bigint;
BEGIN
  SELECT c.model_id, c.parameters, r.logical_bytes AS bytes INTO STRICT j
    FROM hartonomous.compression_jobs c JOIN hartonomous.model_revisions r ON r.revision_id = c.original_revision_id
   WHERE c.job_id = job;
  IF j.parameters -> 'removals' IS DISTINCT FROM 'true' THEN
    RETURN;
  END IF;
  FOR removal IN
    SELECT r.change FROM hartonomous_internal.removals_to_try() r
     WHERE NOT EXISTS (SELECT FROM hartonomous.compression_trials t WHERE t.job_id = job AND t.change @> r.change)
       -- Between predictions of different tokens there is no KL divergence.
       AND NOT (r.change ->> 'stage' = 'trim_vocabulary' AND j.parameters ->> 'measure' = 'kl_divergence')
       AND NOT EXISTS (
             SELECT FROM hartonomous.compression_trials t JOIN hartonomous_internal.removals_to_try() b
                 ON t.change @> b.change
              WHERE t.job_id = job AND t.verdict <> 'kept' AND b.n = r.after)
     ORDER BY r.n
  LOOP
    change := hartonomous_internal.whole_blocks(j.model_id, removal.change)
      || jsonb_build_object('calibration_set', j.parameters -> 'calibration_set');
    saved := (hartonomous_internal.expected_of_change(j.model_id, change, NULL)).bytes_saved;
    -- A trial is worth its time only if it saves a hundredth of the bytes.
    IF saved >= j.bytes / 100 THEN
      predicted := hartonomous_internal.predicted_after(job, saved);
      RETURN;
    END IF;
  END LOOP;
  change := NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.next_removal(bigint) IS
  'what a job removes next from the original state, if that saves a hundredth of the bytes, and what formats are '
  'predicted to cost then; NULL if there is nothing left to try';

-- The statistics of a state that nobody will return to would take much space.
CREATE FUNCTION hartonomous_internal.reject_trial(trial bigint, reason text) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
  t record;
  step bigint;
BEGIN
  PERFORM hartonomous_internal.judge_trial(trial, 'rejected', reason);
  SELECT c.job_id, c.parent_revision_id, c.revision_id, j.model_id, j.parameters,
         j.procedure = 'compress_model' AND NOT j.parameters ? 'stages' AS alternatives
    INTO STRICT t
    FROM hartonomous.compression_trials c JOIN hartonomous.compression_jobs j USING (job_id)
   WHERE c.trial_id = trial;
  IF NOT t.alternatives THEN
    RETURN;
  END IF;
  DELETE FROM hartonomous.calibration_stats s WHERE s.model_id = t.model_id AND s.revision_id = t.revision_id;
  SELECT c.trial_id INTO step FROM hartonomous.compression_trials c
   WHERE c.job_id = t.job_id AND c.revision_id = t.parent_revision_id AND c.verdict = 'kept'
     AND hartonomous_internal.is_step(t.parameters, c.change, c.bytes_after);
  IF step IS NOT NULL THEN
    PERFORM hartonomous_internal.reject_trial(step, 'nothing better was found from there');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.reject_trial(bigint, text) IS
  'rejects a trial and, if its job has alternatives and it began where something was removed, that removal, too';
