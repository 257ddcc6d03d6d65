-- Goals: what compress_model() aims at, which change it tries next, and which of those that it tried is best.
--
-- A goal is an object: stages, tried one after the other, each from where the last one that was kept has led; or a
-- size or a loss, for which each trial begins at the original state, and the best one is kept.

CREATE FUNCTION hartonomous_internal.check_goal(target_bytes bigint, target_bits_per_weight double precision,
    max_degradation double precision, stages jsonb, measure text, evaluator regprocedure, dry_run boolean)
  RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF dry_run IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'dry_run cannot be NULL',
      hint => 'Leave it out for false; with true, the call only reports what it would do.');
  ELSIF num_nonnulls(target_bytes, target_bits_per_weight, max_degradation, stages) = 0 THEN
    PERFORM hartonomous_internal.raise_error('22004', 'compress_model() needs a goal',
      hint => 'Pass target_bytes, target_bits_per_weight, max_degradation, or stages.');
  ELSIF num_nonnulls(target_bytes, target_bits_per_weight, stages) > 1 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      'target_bytes, target_bits_per_weight and stages cannot be used together', hint => 'Leave out all but one.');
  ELSIF target_bytes <= 0 OR NOT (target_bits_per_weight > 0 AND target_bits_per_weight <= 64) THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('%s is no size to aim at', coalesce(target_bytes::text || ' bytes', target_bits_per_weight || ' bits')),
      hint => 'Sizes are above 0, and at most 64 bits a weight.');
  ELSIF NOT (max_degradation >= 0 AND max_degradation < 'Infinity') THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('max_degradation must be a number from 0, not %s', max_degradation),
      hint => '0.05 is 5 % of perplexity, or 0.05 nats with measure => ''kl_divergence''.');
  ELSIF measure IS NULL OR measure NOT IN ('perplexity', 'kl_divergence') THEN
    PERFORM hartonomous_internal.raise_error('22023', format('unknown measure "%s"', coalesce(measure, 'NULL')),
      hint => 'Measures are "perplexity" and "kl_divergence"; evaluator takes a function of your own.');
  ELSIF stages IS NOT NULL AND (jsonb_typeof(stages) <> 'array' OR jsonb_array_length(stages) = 0) THEN
    PERFORM hartonomous_internal.raise_error('22023', 'stages must be an array with at least one stage',
      hint => 'For example [{"stage": "prune", "keep_ratio": 0.99}, {"stage": "quantize", "format": "Q8_0"}].');
  ELSIF evaluator IS NOT NULL THEN
    PERFORM hartonomous_internal.evaluator_name(evaluator);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_goal(bigint, double precision, double precision, jsonb, text,
  regprocedure, boolean) IS
  '22023 if the arguments of compress_model() contradict each other, 22004 if it has no goal, 42883 if the '
  'evaluator is '
  'not a function of a model';

-- Results by different contexts cannot be compared, so that a goal always names one.
CREATE FUNCTION hartonomous_internal.context_of_goal(model integer, n_ctx integer) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  most constant bigint := (
    SELECT (kv ->> 'value')::numeric FROM jsonb_array_elements(hartonomous_internal.hyperparameters(model) -> 'kv') kv
     WHERE kv ->> 'key' LIKE '%.context_length' AND jsonb_typeof(kv -> 'value') = 'number' LIMIT 1);
BEGIN
  IF n_ctx < 4 OR n_ctx > most THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('n_ctx must be from 4 to %s, the context of the model, not %s', most, n_ctx));
  END IF;
  RETURN coalesce(n_ctx, least(512, most));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.context_of_goal(integer, integer) IS
  'the number of tokens in a window of perplexity(), by default up to 512; 0A000 if the model is not a language model, '
  '22023 if its context is shorter';

-- Otherwise this would be noticed only when the model has been changed.
CREATE FUNCTION hartonomous_internal.measurable_by(model integer, validation_set text, n_ctx integer) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  chosen constant text := hartonomous_internal.set_of_texts('validation', validation_set);
  context constant bigint := hartonomous_internal.context_of_goal(model, n_ctx);
  tokens bigint;
BEGIN
  SELECT cardinality(hartonomous.tokenize(model, s.text)) INTO tokens
    FROM hartonomous.validation_sets s WHERE s.validation_set = chosen;
  IF tokens < 2 * context THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('validation set "%s" has too few tokens for a context of %s', chosen, context),
      format('It has %s; perplexity needs %s.', tokens, 2 * context), 'Use a longer text or a smaller n_ctx.');
  END IF;
  RETURN chosen;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.measurable_by(integer, text, integer) IS
  'the validation set of that name or the only one, on which the model can be measured; errors as '
  'set_of_texts(), 0A000 '
  'if it is not a language model, 22023 if the text is too short or the context too long';

CREATE FUNCTION hartonomous_internal.set_of_texts(kind text, name text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  names text[] := ARRAY(
    SELECT s.set_name
      FROM (SELECT v.validation_set AS set_name FROM hartonomous.validation_sets v WHERE kind = 'validation'
            UNION ALL SELECT c.calibration_set FROM hartonomous.calibration_sets c
                       WHERE kind = 'calibration' AND c.text IS NOT NULL) s
     WHERE name IS NULL OR s.set_name = name ORDER BY 1 LIMIT 10);
BEGIN
  IF cardinality(names) = 0 THEN
    PERFORM hartonomous_internal.raise_error('42704',
      CASE WHEN name IS NULL THEN format('there is no %s set', kind)
           ELSE format('%s set "%s" does not exist', kind, name) END,
      hint => format(
        'SELECT hartonomous.add_%s_set(name, text); adds one. Texts for calibration and for validation must '
                     'be different.', kind));
  ELSIF cardinality(names) > 1 THEN
    PERFORM hartonomous_internal.raise_error('22023', format('there are several %s sets: name one', kind),
      hint => format('For example %s_set => %L.', kind, names[1]));
  END IF;
  RETURN names[1];
END
$$;
COMMENT ON FUNCTION hartonomous_internal.set_of_texts(text, text) IS
  'the validation or calibration set of that name or, without a name, the only one with a text; 42704 if '
  'there is none, '
  '22023 if there are several';

CREATE FUNCTION hartonomous_internal.compression_goal(model integer, target_bytes bigint,
    target_bits_per_weight double precision, max_degradation double precision, validation_set text,
    calibration_set text, stages jsonb, measure text, evaluator regprocedure, n_ctx integer,
    formats text[] DEFAULT NULL, removals boolean DEFAULT true) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  size bigint := coalesce(target_bytes, (SELECT floor(target_bits_per_weight * m.parameter_count / 8)::bigint
                                           FROM hartonomous.models m WHERE m.model_id = model));
  change jsonb;
BEGIN
  IF removals IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'removals cannot be NULL',
      hint => 'Leave it out for true; with false, tensors keep their shapes.');
  END IF;
  FOR change IN SELECT e.stage FROM jsonb_array_elements(stages) e (stage) LOOP
    IF jsonb_typeof(change) <> 'object' THEN
      PERFORM hartonomous_internal.raise_error('22023', format('%s is no stage', change),
        hint => 'A stage is an object such as {"stage": "quantize", "format": "Q8_0"}.');
    END IF;
    PERFORM hartonomous_internal.prepare_change(model, change);
  END LOOP;
  IF evaluator IS NULL THEN
    validation_set := hartonomous_internal.measurable_by(model, validation_set, n_ctx);
  END IF;
  IF stages IS NULL THEN
    calibration_set := hartonomous_internal.set_of_texts('calibration', calibration_set);
  END IF;
  RETURN jsonb_strip_nulls(jsonb_build_object('target_bytes', size, 'max_degradation', max_degradation,
    'calibration_set', CASE WHEN stages IS NULL THEN calibration_set END,
    'removals', CASE WHEN stages IS NULL THEN removals END,
    'validation_set', CASE WHEN evaluator IS NULL THEN validation_set END,
    'measure', CASE WHEN evaluator IS NULL THEN measure END, 'evaluator', evaluator::text,
    'n_ctx', CASE WHEN evaluator IS NULL THEN hartonomous_internal.context_of_goal(model, n_ctx) END,
    'formats', CASE WHEN formats IS NOT NULL THEN to_jsonb(hartonomous_internal.formats_named(formats)) END))
    || CASE WHEN stages IS NULL THEN '{}' ELSE jsonb_build_object('stages', stages) END;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.compression_goal(integer, bigint, double precision, double precision, text,
  text, jsonb, text, regprocedure, integer, text[], boolean) IS
  'the goal of compress_model(), as its job records it; errors as the stages and set_of_texts()';

-- ---- what is tried next ------------------------------------------------------------------------------------------

-- The trials of a stage build on each other, those of a size or a loss all begin at the original state, or at one from
-- which something was removed (internal/removal_trials.sql).
CREATE FUNCTION hartonomous_internal.next_trial(job bigint) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
  j record;
  waiting bigint := (SELECT min(t.trial_id) FROM hartonomous.compression_trials t
                      WHERE t.job_id = job AND t.verdict IS NULL);
  tried integer := (SELECT count(*) FROM hartonomous.compression_trials t WHERE t.job_id = job);
  step bigint := hartonomous_internal.pending_step(job);
  next_change record;
BEGIN
  SELECT c.model_id, c.parameters, c.original_revision_id INTO STRICT j
    FROM hartonomous.compression_jobs c WHERE c.job_id = job;
  IF waiting IS NOT NULL THEN
    RETURN waiting;
  ELSIF j.parameters ? 'stages' THEN
    RETURN hartonomous_internal.add_trial(job, j.parameters -> 'stages' -> tried)
     WHERE tried < jsonb_array_length(j.parameters -> 'stages');
  END IF;
  IF step IS NULL AND hartonomous_internal.current_revision(j.model_id) <> j.original_revision_id THEN
    PERFORM hartonomous.rollback_model(j.model_id, j.original_revision_id);
  END IF;
  IF step IS NULL THEN
    next_change := hartonomous_internal.next_allocation(job, j.model_id, j.parameters, NULL);
  ELSE
    BEGIN
      next_change := hartonomous_internal.next_allocation(job, j.model_id, j.parameters, step);
    -- Other shapes may fit fewer formats, so that the size is out of reach.
    EXCEPTION WHEN invalid_parameter_value THEN
      SELECT NULL::jsonb AS change, NULL::float8 AS predicted INTO next_change;
    END;
  END IF;
  IF next_change.change IS NULL AND step IS NOT NULL THEN
    PERFORM hartonomous_internal.reject_trial(step, 'nothing better is to be expected from there');
    RETURN hartonomous_internal.next_trial(job);
  ELSIF next_change.change IS NULL THEN
    next_change := hartonomous_internal.next_removal(job);
  END IF;
  IF next_change.change IS NULL THEN
    PERFORM hartonomous.rollback_model(j.model_id, t.revision_id)
       FROM hartonomous_internal.best_trial(job) b (id) JOIN hartonomous.compression_trials t ON t.trial_id = b.id
      WHERE t.revision_id <> hartonomous_internal.current_revision(j.model_id);
    RETURN NULL;
  END IF;
  RETURN hartonomous_internal.add_trial(job, next_change.change, next_change.predicted);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.next_trial(bigint) IS
  'the trial of a job that was stopped, or the next one, for which the model is brought to the state where it begins; '
  'NULL at the end, when the best is live';

CREATE FUNCTION hartonomous_internal.next_allocation(job bigint, model integer, goal jsonb, step bigint,
    OUT change jsonb, OUT predicted double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  tried integer := (SELECT count(*) FROM hartonomous_internal.allocations_tried(job));
  target bigint := goal ->> 'target_bytes';
  plan hartonomous.tensor_plan[];
BEGIN
  IF target IS NULL THEN
    target := hartonomous_internal.next_target(job, model, goal, step);
  ELSIF tried > 1 AND step IS NULL THEN
    target := NULL;
  END IF;
  IF target IS NULL THEN
    RETURN;
  END IF;
  -- In sequence is usually better, but not always, if there is little text.
  plan := hartonomous_internal.allocate_in_sequence(model, target, goal,
            tried = 0 OR step IS NOT NULL OR NOT goal ? 'target_bytes');
  change := hartonomous_internal.change_of_plan('quantize', plan);
  predicted := (SELECT sum(hartonomous_internal.predicted_divergence(p.details)) FROM unnest(plan) p);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.next_allocation(bigint, integer, jsonb, bigint) IS
  'the next allocation of bits to be tried, from the live revision, and the KL divergence that it predicts; nothing if '
  'enough was tried';

CREATE FUNCTION hartonomous_internal.allocate_in_sequence(model integer, target_bytes bigint, goal jsonb,
    in_sequence boolean) RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN ARRAY(
    SELECT ROW(p.layer_id, p.layer_name, p.operation, p.arguments
               || CASE WHEN in_sequence AND l.layer_type <> 'embedding' AND p.arguments ->> 'method' = 'hessian'
                       THEN '{"sequential": true}'::jsonb ELSE '{}' END,
               p.atoms_before, p.atoms_after, p.bytes_before, p.bytes_after, p.reason,
               p.details)::hartonomous.tensor_plan
      FROM hartonomous.bit_allocation(model, target_bytes, goal ->> 'calibration_set', 'hessian',
             hartonomous_internal.formats_of_goal(goal)) p
      JOIN hartonomous.model_layers l ON l.layer_id = p.layer_id ORDER BY l.position);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.allocate_in_sequence(integer, bigint, jsonb, boolean) IS
  'bit_allocation() against Hessians, block after block if asked for';

-- A target is chosen by what the loss was so far in proportion to what was predicted. Predictions are the sums of what
-- tensors lose each by itself, so that the proportion hardly changes with the size.
CREATE FUNCTION hartonomous_internal.next_target(job bigint, model integer, goal jsonb, step bigint DEFAULT NULL)
  RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  -- What was removed before may have used up a part.
  wanted constant double precision := (goal ->> 'max_degradation')::float8
    - coalesce((SELECT greatest(t.loss, 0) FROM hartonomous.compression_trials t WHERE t.trial_id = step), 0);
  options record := hartonomous_internal.allocation_options(model, goal ->> 'calibration_set', 'hessian',
    hartonomous_internal.formats_named(hartonomous_internal.formats_of_goal(goal)));
  done record;
  least_bytes bigint := options.least_bytes;
  most_bytes bigint := options.present_bytes - 1;
  middle bigint;
  limit_of_prediction double precision;
BEGIN
  SELECT count(*) AS tried,
         (SELECT t.bytes_after FROM hartonomous.compression_trials t
           WHERE t.trial_id = hartonomous_internal.best_trial(job)) AS smallest,
         (array_agg(t.loss / nullif(t.predicted_kl_divergence, 0) ORDER BY t.trial_id DESC)
            FILTER (WHERE t.loss > 0))[1] AS proportion
    INTO done FROM hartonomous_internal.allocations_tried(job) t;
  IF done.tried >= 5 AND step IS NULL OR wanted <= 0 AND step IS NOT NULL THEN
    RETURN NULL;
  END IF;
  -- The first guess is careful: at the same KL divergence perplexity grows by less.
  limit_of_prediction := wanted * CASE WHEN done.tried = 0 THEN 0.9 ELSE 0.97 END / coalesce(done.proportion, 1);
  WHILE most_bytes - least_bytes > options.present_bytes / 1000 LOOP
    middle := least_bytes + (most_bytes - least_bytes) / 2;
    IF (hartonomous_internal.allocate_bits(options.tensors, options.bytes, options.costs,
          middle - options.fixed_bytes)).cost <= limit_of_prediction THEN
      most_bytes := middle;
    ELSE
      least_bytes := middle;
    END IF;
  END LOOP;
  -- Another trial is worth its time only if it saves a hundredth of the bytes.
  RETURN CASE WHEN done.smallest IS NULL OR most_bytes < done.smallest * 0.99 THEN most_bytes END;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.next_target(bigint, integer, jsonb, bigint) IS
  'the smallest number of bytes for which a loss within the goal is to be expected, as far as the trials of the job '
  'tell; NULL if it would not be much smaller than what is kept already, or after five trials';

-- ---- what has to be known before ---------------------------------------------------------------------------------

CREATE PROCEDURE hartonomous_internal.measure_before(job bigint, evaluator pg_catalog.regprocedure)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  model integer;
  goal pg_catalog.jsonb;
  calibration_set pg_catalog.text;
  needs record;
BEGIN
  SELECT j.model_id, j.parameters INTO STRICT model, goal
    FROM hartonomous.compression_jobs j WHERE j.job_id OPERATOR(pg_catalog.=) job;
  calibration_set := goal OPERATOR(pg_catalog.->>) 'calibration_set';
  needs := hartonomous_internal.needed_before(job, evaluator);
  IF needs.calibration THEN
    CALL hartonomous.collect_calibration(model, calibration_set);
  END IF;
  IF needs.sensitivity THEN
    CALL hartonomous.measure_sensitivity(model, calibration_set, 'hessian',
      hartonomous_internal.formats_of_goal(goal));
  END IF;
  IF needs.score THEN
    PERFORM hartonomous_internal.check_score(v.score, evaluator)
       FROM hartonomous.validate_model_accuracy(model, evaluator) v;
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.measure_before(bigint, regprocedure) IS
  'measures what a job has to know of the original state before its first trial, and of one from which something was '
  'removed, as far as it was not measured already';

CREATE FUNCTION hartonomous_internal.check_score(score double precision, evaluator regprocedure) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF score IS NULL OR abs(score) >= 'Infinity' THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('%s returned %s for the model as it is', evaluator, coalesce(score::text, 'NULL')),
      hint => 'Losses are shares of this score, which must be a finite number.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_score(double precision, regprocedure) IS
  '22023 if the score against which losses are measured is not a finite number';

CREATE FUNCTION hartonomous_internal.needed_before(job bigint, evaluator regprocedure, OUT calibration boolean,
    OUT sensitivity boolean, OUT score boolean)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  j record;
BEGIN
  SELECT c.model_id, c.baseline_revision_id, c.procedure = 'ooda_cycle' AND NOT EXISTS (
           SELECT FROM hartonomous.compression_trials t WHERE t.job_id = job AND t.verdict IS NULL) AS is_between,
         c.procedure = 'compress_model' AND NOT c.parameters ? 'stages'
         AND (hartonomous_internal.pending_step(job) IS NOT NULL
              OR hartonomous_internal.current_revision(c.model_id) = c.original_revision_id
                 AND NOT EXISTS (SELECT FROM hartonomous.compression_trials t WHERE t.job_id = job)) AS allocates,
         c.parameters ->> 'calibration_set' AS calibration_set
    INTO STRICT j FROM hartonomous.compression_jobs c WHERE c.job_id = job;
  -- The loop has lost its Gram matrices if neurons were removed.
  calibration := j.allocates AND NOT hartonomous_internal.has_grams(j.model_id, j.calibration_set)
    OR j.is_between AND hartonomous_internal.gram_revision(j.model_id, j.calibration_set) IS NULL
       AND EXISTS (SELECT FROM hartonomous.calibration_stats s JOIN hartonomous.calibration_sets c
         USING (calibration_set)
                    WHERE s.model_id = j.model_id AND s.calibration_set = j.calibration_set
                      AND s.gram_layer_id IS NOT NULL AND c.text IS NOT NULL);
  sensitivity := j.allocates;
  score := evaluator IS NOT NULL AND NOT EXISTS (
    SELECT FROM hartonomous.validation_results v
     WHERE v.model_id = j.model_id AND v.revision_id = j.baseline_revision_id AND v.evaluator = evaluator::text);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.needed_before(bigint, regprocedure) IS
  'what measure_before() has to measure; measure_sensitivity() itself passes over what is there';

CREATE FUNCTION hartonomous_internal.has_grams(model integer, calibration_set text) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN EXISTS (
    SELECT FROM hartonomous.calibration_stats s
     WHERE s.model_id = model AND s.calibration_set = has_grams.calibration_set AND s.gram_layer_id IS NOT NULL
       AND s.revision_id = hartonomous_internal.calibrated_revision(model,
             hartonomous_internal.current_revision(model), has_grams.calibration_set));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.has_grams(integer, text) IS
  'whether there are Gram matrices of the live revision of a model';

-- A small change of weights hardly changes the inputs of matrices, so that those of the state before are good enough.
CREATE FUNCTION hartonomous_internal.gram_revision(model integer, calibration_set text) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT a.revision_id FROM hartonomous_internal.ancestors_of(hartonomous_internal.current_revision(model)) a
     WHERE a.model_id = model
       AND EXISTS (SELECT FROM hartonomous.calibration_stats s
                    WHERE s.model_id = model AND s.revision_id = a.revision_id AND s.gram_layer_id IS NOT NULL
                      AND s.calibration_set = gram_revision.calibration_set)
       -- Matrices that have lost columns since have other inputs.
       AND NOT EXISTS (SELECT FROM hartonomous.calibration_stats s JOIN hartonomous.model_layers l USING (layer_id)
                        WHERE s.model_id = model AND s.revision_id = a.revision_id
                          AND s.calibration_set = gram_revision.calibration_set
                          AND s.columns <> l.tensor_shape[cardinality(l.tensor_shape)])
     ORDER BY a.distance LIMIT 1);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.gram_revision(integer, text) IS
  'of the live revision of a model and those it was made from, the last of which there are Gram matrices that fit its '
  'tensors; NULL if there are none';

CREATE FUNCTION hartonomous_internal.report_goal(model integer, goal jsonb) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  stage jsonb;
  plan hartonomous.tensor_plan[];
BEGIN
  FOR stage IN SELECT e.stage FROM jsonb_array_elements(goal -> 'stages') e (stage) LOOP
    RAISE NOTICE 'would try: %', hartonomous_internal.change_text(stage);
  END LOOP;
  IF goal ? 'stages' THEN
    RETURN;
  ELSIF NOT hartonomous_internal.has_grams(model, goal ->> 'calibration_set') THEN
    RAISE NOTICE 'would first run calibration set "%" through the model, and measure how sensitive its tensors are',
      goal ->> 'calibration_set';
    RETURN;
  END IF;
  plan := hartonomous_internal.allocate_in_sequence(model,
            coalesce((goal ->> 'target_bytes')::bigint, hartonomous_internal.next_target(NULL, model, goal)),
            goal, true);
  RAISE NOTICE 'would try: %', hartonomous_internal.change_text(hartonomous_internal.change_of_plan('quantize', plan));
  RAISE NOTICE 'from % to %, predicted KL divergence %',
    hartonomous.human_bytes((SELECT sum(p.bytes_before) FROM unnest(plan) p)::bigint),
    hartonomous.human_bytes((SELECT sum(p.bytes_after) FROM unnest(plan) p)::bigint),
    (SELECT round(sum(hartonomous_internal.predicted_divergence(p.details))::numeric, 6) FROM unnest(plan) p);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_goal(integer, jsonb) IS
  'what compress_model() would try first; measures nothing: 55000, with the call to make, if sensitivities are missing';
