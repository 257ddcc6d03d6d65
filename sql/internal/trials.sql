-- Trials: a change of a model, what it did to the size and to the loss, and whether it was kept. A change is data: the
-- name of a stage with its arguments, or operations on tensors. The jobs that make trials are in internal/jobs.sql.

CREATE FUNCTION hartonomous_internal.change_stages()
  RETURNS TABLE (stage text, procedure text, parameters_function text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1 ROWS 10
BEGIN ATOMIC
  SELECT v.* FROM (VALUES
    ('calibrate_importance', 'calibrate_importance', 'importance_parameters'),
    ('prune', 'prune_by_importance', 'prune_parameters'),
    ('quantize', 'quantize_model', 'quantize_parameters'),
    ('svd', 'svd_compress_model', 'svd_parameters'),
    ('remove_neurons', 'remove_neurons', 'neuron_parameters'),
    ('remove_blocks', 'remove_blocks', 'block_parameters'),
    ('trim_vocabulary', 'trim_vocabulary', 'vocabulary_parameters'),
    ('plan', 'run_plan', NULL),
    ('backup', NULL, NULL),
    ('archive', NULL, NULL),
    ('validate', NULL, NULL)) v (stage, procedure, parameters_function);
END;
COMMENT ON FUNCTION hartonomous_internal.change_stages() IS
  'what a change can do: a stage, by the procedure that users call for it and the function that checks its arguments '
  'and writes them down; plan carries out operations on tensors, backup copies the model, archive '
  'archives its backups, validate changes nothing';

CREATE TYPE hartonomous_internal.stage_argument AS (name text, type text, default_value text);

CREATE FUNCTION hartonomous_internal.stage_arguments(stage text) RETURNS SETOF hartonomous_internal.stage_argument
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  -- Of the procedures with that name the stage's own takes no plan.
  RETURN QUERY
    SELECT a.name, format_type(a.type, NULL), pg_get_function_arg_default(p.oid, a.place::integer)
      FROM hartonomous_internal.change_stages() s
      JOIN pg_proc p ON p.proname = s.procedure AND p.pronamespace = 'hartonomous'::regnamespace
      JOIN pg_proc f ON f.proname = s.parameters_function AND f.pronamespace = 'hartonomous_internal'::regnamespace
      CROSS JOIN LATERAL unnest(p.proargnames, p.proargtypes::oid[]) WITH ORDINALITY a (name, type, place)
     WHERE s.stage = stage_arguments.stage AND p.proargtypes[1] <> 'hartonomous.tensor_plan[]'::regtype
       AND a.name = ANY (f.proargnames) AND a.name <> ALL (ARRAY['model', 'dry_run'])
     ORDER BY a.place;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.stage_arguments(text) IS
  'the arguments by which a change can call a stage: those of its procedure that the stage writes down, with their '
  'types and defaults';

-- The defaults are those of the procedure that users call.
CREATE FUNCTION hartonomous_internal.stage_parameters(model integer, stage text, arguments jsonb) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  checker text := (SELECT s.parameters_function FROM hartonomous_internal.change_stages() s
                    WHERE s.stage = stage_parameters.stage);
  known hartonomous_internal.stage_argument[]
    := ARRAY(SELECT a FROM hartonomous_internal.stage_arguments(stage_parameters.stage) a);
  unknown text;
  named text;
  parameters jsonb;
BEGIN
  SELECT min(k.name) INTO unknown FROM jsonb_object_keys(arguments) k (name)
   WHERE k.name <> ALL (ARRAY(SELECT a.name FROM unnest(known) a));
  IF unknown IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', format('stage "%s" has no argument "%s"', stage, unknown),
      hint => format('It has %s.', (SELECT string_agg(a.name, ', ') FROM unnest(known) a)));
  END IF;
  -- Only names and defaults of the extension's own functions become part of the query.
  SELECT string_agg(format('%I => %s', a.name,
           CASE WHEN NOT arguments ? a.name THEN coalesce(a.default_value, 'NULL')
                WHEN a.type = 'jsonb' THEN format('($2 -> %L)', a.name)
                WHEN a.type = 'integer[]' THEN format('hartonomous_internal.kept_numbers($2, %L)', a.name)
                ELSE format('($2 ->> %L)::%s', a.name, a.type) END), ', ')
    INTO named FROM unnest(known) a;
  SELECT named || CASE WHEN 'model' = ANY (p.proargnames) THEN ', model => $1' ELSE '' END
                || CASE WHEN 'dry_run' = ANY (p.proargnames) THEN ', dry_run => false' ELSE '' END
    INTO named FROM pg_proc p
   WHERE p.proname = checker AND p.pronamespace = 'hartonomous_internal'::regnamespace;
  EXECUTE format('SELECT hartonomous_internal.%I(%s)', checker, named) INTO parameters USING model, arguments;
  RETURN parameters;
EXCEPTION WHEN invalid_text_representation OR numeric_value_out_of_range THEN
  PERFORM hartonomous_internal.raise_error('22023', format('invalid argument of stage "%s": %s', stage, SQLERRM));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.stage_parameters(integer, text, jsonb) IS
  'the arguments of a stage as its revision records them, from those that a change gives, and the defaults of the '
  'procedure for the others; 22023 if one is unknown or has the wrong type; other errors as the procedure';

CREATE FUNCTION hartonomous_internal.plan_of_change(model integer, change jsonb) RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.current_revision(model);
BEGIN
  IF jsonb_typeof(change -> 'operations') IS DISTINCT FROM 'array'
     OR EXISTS (SELECT FROM jsonb_array_elements(change -> 'operations') o (operation)
                 WHERE jsonb_typeof(o.operation) <> 'object') THEN
    PERFORM hartonomous_internal.raise_error('22023', 'stage "plan" needs operations, an array of objects',
      hint => 'For example {"stage": "plan", "name": "mine", "operations": [{"layer_name": "output.weight", '
              '"operation": "quantize", "arguments": {"format": "Q8_0"}}]}.');
  END IF;
  RETURN ARRAY(
    SELECT ROW(NULL, o.operation ->> 'layer_name', o.operation ->> 'operation',
               o.operation -> 'arguments' || CASE WHEN o.operation -> 'arguments' ? 'calibration_set'
                 THEN jsonb_build_object('calibration_revision', hartonomous_internal.calibrated_revision(model, live,
                   o.operation -> 'arguments' ->> 'calibration_set')) ELSE '{}' END,
               NULL, NULL, NULL, NULL, NULL, o.operation -> 'details')::hartonomous.tensor_plan
      FROM jsonb_array_elements(change -> 'operations') WITH ORDINALITY o (operation, n) ORDER BY o.n);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_of_change(integer, jsonb) IS
  'the plan of a change with operations, for a model; 22023 if it has none';

-- What depends on the state of the tensors is checked when the plan is carried out.
CREATE FUNCTION hartonomous_internal.check_operations(model integer, plan hartonomous.tensor_plan[]) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  planned hartonomous.tensor_plan;
BEGIN
  FOREACH planned IN ARRAY plan LOOP
    IF NOT EXISTS (SELECT FROM hartonomous.model_layers l
                    WHERE l.model_id = model AND l.layer_name = planned.layer_name) THEN
      PERFORM hartonomous_internal.raise_error('22023',
        format('model "%s" has no tensor named "%s"', model::hartonomous.regmodel, planned.layer_name),
        hint => 'Each operation names a tensor by layer_name.');
    ELSIF planned.operation IS NOT NULL THEN
      PERFORM hartonomous_internal.check_operation(planned.operation, coalesce(planned.arguments, '{}'));
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_operations(integer, hartonomous.tensor_plan[]) IS
  '22023 if a plan names a tensor that the model does not have, or an operation with invalid arguments; '
  'other errors as '
  'check_operation()';

CREATE FUNCTION hartonomous_internal.prepare_change(model integer, change jsonb, OUT procedure text,
    OUT parameters jsonb, OUT plan hartonomous.tensor_plan[])
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  stage constant text := change ->> 'stage';
  known record;
BEGIN
  SELECT s.procedure, s.parameters_function INTO known FROM hartonomous_internal.change_stages() s
   WHERE s.stage = change ->> 'stage';
  IF NOT FOUND THEN
    PERFORM hartonomous_internal.raise_error('22023', format('unknown stage "%s"', coalesce(stage, 'NULL')),
      hint => format('Stages are %s.',
        (SELECT string_agg(s.stage, ', ') FROM hartonomous_internal.change_stages() s)));
  END IF;
  procedure := known.procedure;
  IF known.parameters_function IS NOT NULL THEN
    parameters := hartonomous_internal.stage_parameters(model, stage, change - 'stage');
  ELSIF stage = 'plan' THEN
    plan := hartonomous_internal.plan_of_change(model, change);
    parameters := hartonomous_internal.plan_parameters(coalesce(change ->> 'name', 'plan'), plan);
    PERFORM hartonomous_internal.check_operations(model, plan);
  ELSIF change <> jsonb_build_object('stage', stage) THEN
    PERFORM hartonomous_internal.raise_error('22023', format('stage "%s" has no arguments', stage));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.prepare_change(integer, jsonb) IS
  'a change as arguments of run_stage(), for the live revision of a model; without a procedure if it is not a stage; '
  '22023 if there is no such stage, or it has invalid arguments';

CREATE FUNCTION hartonomous_internal.add_trial(job bigint, change jsonb, predicted double precision DEFAULT NULL)
  RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  added bigint;
BEGIN
  INSERT INTO hartonomous.compression_trials (job_id, change, parent_revision_id, predicted_kl_divergence, bytes_before)
    SELECT job, change, r.revision_id, predicted, r.logical_bytes
      FROM hartonomous.compression_jobs j JOIN hartonomous.models m ON m.model_id = j.model_id
      JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision
     WHERE j.job_id = job
    RETURNING trial_id INTO STRICT added;
  RETURN added;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.add_trial(bigint, jsonb, double precision) IS
  'a trial of a change of the live revision, which has not begun yet';

-- What another user has made of the same parent meanwhile has another stage or, if it is a plan, other operations.
CREATE FUNCTION hartonomous_internal.made_by_trial(trial bigint, revision integer) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  t record;
  made jsonb;
BEGIN
  SELECT c.change, c.change ->> 'stage' = 'plan' AS planned INTO t
    FROM hartonomous.compression_trials c
    JOIN hartonomous.model_revisions r
      ON r.parent_revision_id = c.parent_revision_id AND r.created_at >= c.created_at
   WHERE c.trial_id = trial AND r.revision_id = revision
     AND r.stage = CASE WHEN c.change ->> 'stage' = 'plan' THEN coalesce(c.change ->> 'name', 'plan')
                        ELSE c.change ->> 'stage' END;
  IF FOUND AND t.planned THEN
    made := hartonomous_internal.change_of_revision(revision);
    RETURN coalesce(t.change -> 'operations' @> (made -> 'operations'), false);
  END IF;
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.made_by_trial(bigint, integer) IS
  'whether a revision is what the change of a trial has made of its parent';

-- A stopped trial may have reached its end before it could say so.
CREATE FUNCTION hartonomous_internal.note_revision(trial bigint) RETURNS boolean
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  found record;
  live record;
BEGIN
  SELECT t.revision_id, j.model_id INTO STRICT found
    FROM hartonomous.compression_trials t JOIN hartonomous.compression_jobs j USING (job_id)
   WHERE t.trial_id = trial;
  SELECT r.revision_id, r.logical_bytes INTO STRICT live
    FROM hartonomous.model_revisions r WHERE r.revision_id = hartonomous_internal.current_revision(found.model_id);
  IF found.revision_id IS NULL AND hartonomous_internal.made_by_trial(trial, live.revision_id) THEN
    UPDATE hartonomous.compression_trials t SET revision_id = live.revision_id, bytes_after = live.logical_bytes
     WHERE t.trial_id = trial;
    RETURN true;
  END IF;
  RETURN found.revision_id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.note_revision(bigint) IS
  'whether a trial has made its revision, which becomes part of its row';

-- Nothing is measured twice: a result of the same revision, baseline and text is taken from validation_results.
CREATE FUNCTION hartonomous_internal.measure_trial(trial bigint, evaluator regprocedure) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  t record;
  result bigint;
BEGIN
  SELECT coalesce(c.revision_id, c.parent_revision_id) AS revision, j.model_id, j.baseline_revision_id AS baseline,
         j.parameters ->> 'validation_set' AS validation_set, j.parameters ->> 'measure' AS measure,
         (j.parameters ->> 'n_ctx')::integer AS n_ctx, c.created_at
    INTO STRICT t FROM hartonomous.compression_trials c JOIN hartonomous.compression_jobs j USING (job_id)
   WHERE c.trial_id = trial;
  SELECT max(v.result_id) INTO result
    FROM hartonomous.validation_results v
   WHERE v.model_id = t.model_id AND v.revision_id = t.revision
     AND CASE WHEN evaluator IS NOT NULL THEN v.evaluator = evaluator::text
              ELSE v.baseline_revision_id = t.baseline AND v.validation_set = t.validation_set
                   AND (t.n_ctx IS NULL OR v.n_ctx = t.n_ctx)
                   AND v.text_sha256 = (SELECT s.text_sha256 FROM hartonomous.validation_sets s
                                         WHERE s.validation_set = t.validation_set) END;
  IF result IS NULL AND evaluator IS NOT NULL THEN
    SELECT v.result_id INTO result FROM hartonomous.validate_model_accuracy(t.model_id, evaluator) v;
  ELSIF result IS NULL THEN
    SELECT v.result_id INTO result
      FROM hartonomous.validate_model_accuracy(t.model_id, t.validation_set, t.baseline, t.n_ctx, t.revision) v;
  END IF;
  PERFORM hartonomous_internal.note_loss(trial, result, t.measure, t.baseline);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.measure_trial(bigint, regprocedure) IS
  'measures what the change of a trial, which is live, has cost, by the measure of its job or by an evaluator; errors '
  'as validate_model_accuracy()';

CREATE FUNCTION hartonomous_internal.note_loss(trial bigint, result bigint, measure text, baseline integer) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  UPDATE hartonomous.compression_trials c
     SET result_id = result, loss = m.loss, loss_error = m.loss_error,
         seconds = extract(epoch FROM clock_timestamp() - c.created_at)
    FROM hartonomous_internal.loss_of_result(result, measure, baseline) m
   WHERE c.trial_id = trial;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.note_loss(bigint, bigint, text, integer) IS
  'records with a trial what was measured of it';

CREATE FUNCTION hartonomous_internal.loss_of_result(result bigint, measure text, baseline integer,
    OUT loss double precision, OUT loss_error double precision)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  v record;
  before double precision;
BEGIN
  SELECT r.model_id, r.evaluator, r.score, r.perplexity_ratio, r.perplexity_ratio_error, r.kl_divergence,
         r.kl_divergence_error
    INTO STRICT v FROM hartonomous.validation_results r WHERE r.result_id = result;
  IF v.evaluator IS NOT NULL THEN
    SELECT r.score INTO before FROM hartonomous.validation_results r
     WHERE r.model_id = v.model_id AND r.revision_id = baseline AND r.evaluator = v.evaluator
     ORDER BY r.result_id DESC LIMIT 1;
    IF abs(v.score) < 'Infinity' AND abs(before) < 'Infinity' THEN
      BEGIN
        loss := CASE WHEN v.score = before THEN 0 ELSE (before - v.score) / nullif(abs(before), 0) END;
      EXCEPTION WHEN numeric_value_out_of_range THEN
        loss := CASE WHEN v.score < before THEN 'Infinity' ELSE '-Infinity' END;
      END;
    END IF;
  ELSIF measure = 'kl_divergence' THEN
    loss := v.kl_divergence;
    loss_error := v.kl_divergence_error;
  ELSE
    loss := v.perplexity_ratio - 1;
    loss_error := v.perplexity_ratio_error;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.loss_of_result(bigint, text, integer) IS
  'the loss that a result tells of, with its standard error: by how much perplexity has grown (0.05 is 5 %), the KL '
  'divergence in nats, or by what share the score of an evaluator has fallen (NULL if a score is no number, or was 0)';

-- What is rejected goes at once, with its space; its row and results stay. Only what is abandoned may have to stay,
-- because others have dropped the revision before it meanwhile.
CREATE FUNCTION hartonomous_internal.judge_trial(trial bigint, verdict text, reason text) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
  t record;
BEGIN
  UPDATE hartonomous.compression_trials c SET verdict = judge_trial.verdict, reason = judge_trial.reason
    FROM hartonomous.compression_jobs j
   WHERE c.trial_id = trial AND j.job_id = c.job_id
   RETURNING j.model_id, c.parent_revision_id, c.revision_id INTO STRICT t;
  IF verdict = 'kept' OR t.revision_id IS NULL THEN
    RETURN;
  END IF;
  IF t.revision_id = hartonomous_internal.current_revision(t.model_id) THEN
    IF verdict = 'abandoned' AND NOT EXISTS (
      SELECT FROM hartonomous.model_revisions r
       WHERE r.revision_id = t.parent_revision_id AND r.model_id = t.model_id AND r.state = 'backup') THEN
      RETURN;
    END IF;
    PERFORM hartonomous.rollback_model(t.model_id, t.parent_revision_id);
  END IF;
  IF EXISTS (SELECT FROM hartonomous.model_revisions r WHERE r.revision_id = t.revision_id AND r.model_id = t.model_id
              AND r.state = 'backup') THEN
    PERFORM hartonomous.drop_backup(t.revision_id);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.judge_trial(bigint, text, text) IS
  'records the verdict on a trial; unless it is kept, its revision is rolled back and dropped, except if it is '
  'abandoned and the revision before it is gone';

CREATE FUNCTION hartonomous_internal.abandon_trials(job bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  trial bigint;
BEGIN
  FOR trial IN
    SELECT t.trial_id FROM hartonomous.compression_trials t WHERE t.job_id = job AND t.verdict IS NULL
  LOOP
    PERFORM hartonomous_internal.note_revision(trial);
    PERFORM hartonomous_internal.judge_trial(trial, 'abandoned', 'stopped before it was measured');
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.abandon_trials(bigint) IS
  'gives up the trials of a job that have no verdict yet, and rolls back what they did';

-- After a cancel or crash the same trial is continued: its stage is resumed, unless it has come to its end.
CREATE PROCEDURE hartonomous_internal.change_model(trial bigint, commits boolean)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  model integer;
  change pg_catalog.jsonb;
  prepared record;
BEGIN
  SELECT j.model_id, t.change INTO STRICT model, change
    FROM hartonomous.compression_trials t
    JOIN hartonomous.compression_jobs j ON j.job_id OPERATOR(pg_catalog.=) t.job_id
   WHERE t.trial_id OPERATOR(pg_catalog.=) trial;
  IF NOT hartonomous_internal.note_revision(trial) THEN
    prepared := hartonomous_internal.prepare_change(model, change);
    IF prepared.procedure IS NOT NULL THEN
      CALL hartonomous_internal.run_stage(model, prepared.procedure, prepared.parameters, false, 'auto', false,
                                          prepared.plan);
      PERFORM hartonomous_internal.note_revision(trial);
    ELSIF change OPERATOR(pg_catalog.->>) 'stage' OPERATOR(pg_catalog.=) 'backup' THEN
      PERFORM hartonomous.backup_model(model);
    ELSIF change OPERATOR(pg_catalog.->>) 'stage' OPERATOR(pg_catalog.=) 'archive' THEN
      PERFORM hartonomous_internal.archive_backups(model, 0, NULL);
    END IF;
    IF commits THEN
      COMMIT;
    END IF;
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.change_model(bigint, boolean) IS
  'changes the model as a trial says, unless that was done before, and commits; the caller holds the lock of the model';
