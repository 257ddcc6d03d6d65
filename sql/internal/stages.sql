-- Stages: their plans as data, and the procedure that runs any of them.
--
-- A stage is a row of stages(): a planner, which decides what is done with each tensor, and a reporter, which prints
-- the result as a NOTICE. The procedure of the stage checks its arguments and calls run_stage(). Plans that users wrote
-- or filtered take the same path through run_plan().

CREATE FUNCTION hartonomous_internal.stages() RETURNS TABLE (procedure text, stage text, planner text, reporter text,
                                                      remainder text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1 ROWS 10
BEGIN ATOMIC
  SELECT v.* FROM (VALUES
    ('prune_by_importance', 'prune', 'plan_pruning', 'report_pruning', NULL),
    ('prune_region', 'prune', 'plan_region_pruning', 'report_pruning', NULL),
    ('quantize_model', 'quantize', 'plan_quantizing', 'report_quantizing', NULL),
    ('svd_compress_model', 'svd', 'plan_factoring', 'report_factoring', NULL),
    ('calibrate_importance', 'calibrate_importance', 'plan_scoring', 'report_scoring', NULL),
    ('merge_adapter', 'merge', 'plan_merging', 'report_merging', NULL),
    ('quantize_model_geometry', 'quantize_geometry', 'plan_encoding', 'report_encoding', NULL),
    ('remove_neurons', 'remove_neurons', 'plan_removing_neurons', 'report_removing', 'left_by_removing_neurons'),
    ('remove_blocks', 'remove_blocks', 'plan_removing_blocks', 'report_removing', 'left_by_removing_blocks'),
    ('trim_vocabulary', 'trim_vocabulary', 'plan_trimming', 'report_removing', 'left_by_trimming'),
    ('run_plan', NULL, NULL, 'report_plan', NULL)) v (procedure, stage, planner, reporter, remainder);
END;
COMMENT ON FUNCTION hartonomous_internal.stages() IS
  'one row per procedure that runs a stage: the name of its revisions, the function (model, parameters) that plans it, '
  'the function (model, parameters, plan, result) that reports it and, if it removes something, the function (model, '
  'parameters) that says which blocks are left (NULL: all) and with what metadata';

CREATE FUNCTION hartonomous_internal.plan_stage(model integer, procedure text, parameters jsonb)
  RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  planner text;
  plan hartonomous.tensor_plan[];
BEGIN
  SELECT s.planner INTO STRICT planner FROM hartonomous_internal.stages() s WHERE s.procedure = plan_stage.procedure;
  EXECUTE format('SELECT coalesce(array_agg(p), ''{}'') FROM hartonomous_internal.%I($1, $2) p', planner)
    INTO plan USING model, parameters;
  RETURN plan;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_stage(integer, text, jsonb) IS 'the plan of a stage, made by its planner';

CREATE FUNCTION hartonomous_internal.report_stage(model integer, procedure text, parameters jsonb,
    plan hartonomous.tensor_plan[], result jsonb) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  reporter text;
BEGIN
  SELECT s.reporter INTO STRICT reporter FROM hartonomous_internal.stages() s
    WHERE s.procedure = report_stage.procedure;
  EXECUTE format('SELECT hartonomous_internal.%I($1, $2, $3, $4)', reporter) USING model, parameters, plan, result;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_stage(integer, text, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'lets the reporter of a stage report: result is NULL if there was nothing to do, {"dry_run": true} in a dry run, and '
  'otherwise the value of stage_result()';

-- The cost of a rewrite depends on what is kept; deleting in place costs by what is removed, and leaves dead rows.
CREATE FUNCTION hartonomous_internal.chosen_method(method text, plan hartonomous.tensor_plan[]) RETURNS text
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  found record;
BEGIN
  IF method IS NULL OR method NOT IN ('auto', 'in_place', 'rewrite') THEN
    PERFORM hartonomous_internal.raise_error('22023', format('unknown method "%s"', coalesce(method, 'NULL')),
      hint => 'Methods are "auto", "in_place" and "rewrite".');
  END IF;
  SELECT bool_and(p.operation = 'prune' AND p.arguments -> 'atoms_only' IS DISTINCT FROM 'true'
                  AND NOT p.arguments ? 'calibration_set') FILTER (WHERE p.operation <> 'copy') AS prunes,
         bool_or(p.operation = 'prune' AND p.arguments ? 'calibration_set') AS refits,
         sum(p.atoms_before::numeric - p.atoms_after) FILTER (WHERE p.operation = 'prune')
           < 0.2 * sum(p.atoms_before) FILTER (WHERE p.operation = 'prune' OR p.reason = 'nothing to prune') AS few
    INTO found FROM unnest(plan) p;
  IF found.prunes IS NULL THEN
    RETURN 'none';
  ELSIF method = 'in_place' AND NOT found.prunes THEN
    PERFORM hartonomous_internal.raise_error('22023', 'only atoms can be pruned in place',
      CASE WHEN found.refits THEN 'What is refitted is written anew.' END,
      'Leave method to "auto", or say "rewrite".');
  END IF;
  RETURN CASE WHEN method = 'in_place' OR method = 'auto' AND found.prunes AND found.few THEN 'in_place'
  ELSE 'rewrite' END;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.chosen_method(text, hartonomous.tensor_plan[]) IS
  'how a plan is carried out: in_place, rewrite, or none if it changes nothing; "auto" is in place if fewer than a '
  'fifth of the atoms are removed; 22023 if there is no such method, or if in_place is requested for a plan that does '
  'not only prune';

CREATE FUNCTION hartonomous_internal.plan_structure(run bigint, procedure text, parameters jsonb,
    plan hartonomous.tensor_plan[]) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  made record;
  remainder text;
  blocks integer[];
  metadata jsonb;
BEGIN
  SELECT s.remainder INTO STRICT remainder FROM hartonomous_internal.stages() s
   WHERE s.procedure = plan_structure.procedure;
  SELECT r.model_id, r.revision_id, r.structure_id INTO STRICT made
    FROM hartonomous.compression_runs c JOIN hartonomous.model_revisions r ON r.revision_id = c.revision_id
   WHERE c.run_id = run;
  -- A run that is resumed has its structure already.
  IF remainder IS NOT NULL
     AND made.structure_id IS NOT DISTINCT FROM hartonomous_internal.live_structure(made.model_id) THEN
    EXECUTE format('SELECT r.blocks, r.metadata FROM hartonomous_internal.%I($1, $2) r', remainder)
      INTO blocks, metadata USING made.model_id, parameters;
    PERFORM hartonomous_internal.add_structure(made.revision_id,
      hartonomous_internal.left_layers(made.model_id, coalesce(blocks,
        hartonomous_internal.model_blocks(made.model_id)), plan), metadata);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_structure(bigint, text, jsonb, hartonomous.tensor_plan[]) IS
  'gives the revision of a run the structure that its stage leaves, if it removes something';

CREATE FUNCTION hartonomous_internal.begin_run(model integer, stage text, kind text, parameters jsonb,
    plan hartonomous.tensor_plan[] DEFAULT NULL, procedure text DEFAULT 'run_plan') RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off
  SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  run bigint := hartonomous_internal.start_run(model, stage, kind, parameters);
BEGIN
  PERFORM hartonomous_internal.plan_structure(run, procedure, parameters, plan);
  -- A resumed run already has its steps and continues with those.
  INSERT INTO hartonomous.compression_steps (run_id, layer_id, operation, arguments, outcome)
    SELECT run, l.layer_id, coalesce(p.operation, 'copy'),
           CASE WHEN p.operation IS NULL THEN '{}' ELSE coalesce(p.arguments, '{}') END,
           CASE WHEN p.operation IS NULL THEN 'left alone: ' || p.reason END
      FROM hartonomous_internal.layers_of_revision((SELECT r.revision_id FROM hartonomous.compression_runs r
                                                     WHERE r.run_id = run)) l
      LEFT JOIN unnest(plan) p ON p.layer_id = l.layer_id
    ON CONFLICT DO NOTHING;
  PERFORM hartonomous_internal.require_disk_space(run, plan);
  RETURN run;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.begin_run(integer, text, text, jsonb, hartonomous.tensor_plan[], text) IS
  'a run, new or resumed, with a step for each tensor of a model that is left: what the plan says, or else a copy; the '
  'caller holds the lock of the model; 53100 if the disk is too small';

CREATE FUNCTION hartonomous_internal.stage_result(model integer, run bigint, started timestamptz, disk_before bigint)
  RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  done record;
BEGIN
  SELECT r.bytes_before, r.bytes_after INTO done FROM hartonomous.compression_runs r WHERE r.run_id = run;
  RETURN jsonb_build_object('run', run, 'revision', hartonomous_internal.current_revision(model),
    'bytes_before', done.bytes_before, 'bytes_after', done.bytes_after, 'disk_before', disk_before,
    'disk_after', pg_total_relation_size(hartonomous_internal.live_partition(model)),
    'seconds', round(extract(epoch FROM clock_timestamp() - started), 1));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.stage_result(integer, bigint, timestamptz, bigint) IS
  'the result of a stage, for its reporter: revision, seconds, bytes on disk, and for a run (NULL if in place) its '
  'number and bytes';

-- Cancel and crash: see execute_run(); in place, or before the steps have been stored, nothing has changed. A
-- concurrent call waits for the model's lock or, with nowait, fails with 55P03. The plan is computed under the lock.
CREATE PROCEDURE hartonomous_internal.run_stage(model integer, procedure text, parameters pg_catalog.jsonb,
    nowait boolean, method text DEFAULT 'rewrite', dry_run boolean DEFAULT false,
    given hartonomous.tensor_plan[] DEFAULT NULL)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits boolean := hartonomous_internal.can_commit();
  started pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  stage pg_catalog.text;
  plan hartonomous.tensor_plan[];
  result pg_catalog.jsonb;
  disk_before bigint;
  run bigint;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  -- A dry run only reads, also where nothing can be locked: on a standby, or for a reader.
  IF dry_run IS NOT TRUE THEN
    PERFORM hartonomous_internal.lock_model(model, nowait, commits);
  END IF;
  PERFORM hartonomous_internal.require_live_atoms(model);
  plan := CASE WHEN given IS NULL THEN hartonomous_internal.plan_stage(model, procedure, parameters)
               ELSE hartonomous_internal.check_plan(model, given) END;
  method := hartonomous_internal.chosen_method(method, plan);
  IF method OPERATOR(pg_catalog.<>) 'none' AND dry_run THEN
    result := '{"dry_run": true}';
  ELSIF method OPERATOR(pg_catalog.<>) 'none' THEN
    SELECT coalesce(s.stage, parameters OPERATOR(pg_catalog.->>) 'stage') INTO STRICT stage
      FROM hartonomous_internal.stages() s WHERE s.procedure OPERATOR(pg_catalog.=) run_stage.procedure;
    disk_before := pg_catalog.pg_total_relation_size(hartonomous_internal.live_partition(model));
    IF method OPERATOR(pg_catalog.=) 'in_place' THEN
      PERFORM hartonomous_internal.prune_in_place(model, stage, parameters, plan);
      IF commits THEN
        COMMIT;
      END IF;
    ELSE
      run := hartonomous_internal.begin_run(model, stage, 'rewrite', parameters, plan, procedure);
      CALL hartonomous_internal.execute_run(run);
    END IF;
    result := hartonomous_internal.stage_result(model, run, started, disk_before);
  END IF;
  PERFORM hartonomous_internal.report_stage(model, procedure, parameters, plan, result);
  IF commits AND dry_run IS NOT TRUE THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.run_stage(integer, text, jsonb, boolean, text, boolean,
  hartonomous.tensor_plan[]) IS
  'runs a stage of stages(), or the given plan: takes the lock of the model, plans, rewrites the model tensor by '
  'tensor (committing each outside a transaction block) or deletes in place, reports, and releases the lock; a plan '
  'that changes nothing costs nothing; a dry run only plans and reports, without the lock';

CREATE FUNCTION hartonomous_internal.passed_over_carried_formats(plan hartonomous.tensor_plan[]) RETURNS text
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT hartonomous_internal.passed_over(count(*), 'format only carried')
            FROM unnest(plan) p WHERE p.reason = 'carried format');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.passed_over_carried_formats(hartonomous.tensor_plan[]) IS
  'the part of a NOTICE that counts tensors of a plan in a format that is only carried; empty if there are none';
