-- Stages that remove structures of a model itself: their plans, what is left, and reports. What is removed, and how the
-- rest makes up for it, is chosen as for students (internal/structure_students.sql, internal/student_blocks.sql).

-- One row per tensor, with its size before and after.
CREATE FUNCTION hartonomous_internal.removal_plan(model integer, blocks integer[], plan hartonomous.tensor_plan[])
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    WITH present AS (
      SELECT v.layer_id, sum(v.atoms)::bigint AS atoms, sum(v.bytes)::bigint AS bytes
        FROM hartonomous_internal.stored_values(model) v GROUP BY v.layer_id),
    sized AS (
      SELECT l.layer_id, l.layer_name, l.position, t.layer_id IS NULL AS gone,
             t.layer_name <> l.layer_name AS renamed, coalesce(v.atoms, 0) AS atoms, coalesce(v.bytes, 0) AS bytes,
             coalesce(t.parameter_count::numeric / nullif(l.parameter_count, 0), 0) AS share, t.layer_name AS new_name
        FROM hartonomous.model_layers l
        LEFT JOIN hartonomous_internal.planned_layers(model, blocks, plan) t ON t.layer_id = l.layer_id
        LEFT JOIN present v ON v.layer_id = l.layer_id
       WHERE l.model_id = model)
    SELECT s.layer_id, s.layer_name, CASE WHEN s.gone THEN 'remove' ELSE p.operation END,
           CASE WHEN s.gone THEN '{}' ELSE p.arguments END, s.atoms,
           CASE WHEN p.operation IS NULL OR s.gone THEN round(s.atoms * s.share)::bigint END, s.bytes,
           round(s.bytes * s.share)::bigint,
           CASE WHEN s.renamed THEN format('becomes %s', s.new_name) WHEN NOT s.gone AND p.operation IS NULL
                THEN 'nothing to remove' END,
           NULL::jsonb
      FROM sized s LEFT JOIN unnest(plan) p ON p.layer_id = s.layer_id
     ORDER BY s.position;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.removal_plan(integer, integer[], hartonomous.tensor_plan[]) IS
  'a plan for a student as one for the model itself: what it selects of tensors, those of other blocks removed, and '
  'bytes before and after';

CREATE FUNCTION hartonomous_internal.left_layers(model integer, blocks integer[], plan hartonomous.tensor_plan[])
  RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT jsonb_agg(e.entry || jsonb_build_object('layer_idx', t.layer_idx, 'layer_name', t.layer_name, 'position',
             t.position, 'tensor_shape', t.tensor_shape, 'parameter_count', t.parameter_count, 'row_length',
             t.row_length, 'atom_size', t.atom_size) ORDER BY t.position)
      FROM hartonomous_internal.planned_layers(model, blocks, plan) t
      JOIN jsonb_array_elements(hartonomous_internal.live_layers(model)) e (entry)
        ON (e.entry ->> 'layer_id')::bigint = t.layer_id);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.left_layers(integer, integer[], hartonomous.tensor_plan[]) IS
  'the rows of model_layers that are left of a model, as model_structures keeps them';

-- ---- neurons -----------------------------------------------------------------------------------------------------

CREATE FUNCTION hartonomous_internal.neuron_parameters(model integer, keep_ratio double precision, multiple integer,
    calibration_set text, refit boolean, damping double precision, dry_run boolean) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  sizes constant hartonomous_internal.network_sizes := hartonomous_internal.check_structures(model, 'neurons');
BEGIN
  IF dry_run IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'dry_run cannot be NULL',
      hint => 'Leave it out for false; with true, the call only reports what it would do.');
  END IF;
  PERFORM hartonomous_internal.structures_to_keep(model, 'neurons',
    hartonomous_internal.structure_count('neurons', sizes), keep_ratio, multiple);
  calibration_set := hartonomous_internal.structure_calibration(model, calibration_set);
  RETURN jsonb_strip_nulls(jsonb_build_object('keep_ratio', keep_ratio, 'multiple', multiple,
    'calibration_set', calibration_set, 'calibration_revision', hartonomous_internal.calibrated_revision(model,
      hartonomous_internal.current_revision(model), calibration_set),
    'refit', hartonomous_internal.refit_arguments(model, 'neurons', calibration_set, refit, damping) <> '{}',
    'damping', damping));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.neuron_parameters(integer, double precision, integer, text, boolean,
  double precision, boolean) IS
  'the arguments of remove_neurons() as its revision records them; errors as remove_neurons()';

CREATE FUNCTION hartonomous_internal.plan_removing_neurons(model integer, parameters jsonb)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  choice record;
BEGIN
  SELECT c.plan INTO choice
    FROM hartonomous_internal.choose_structures(model, 'neurons', (parameters ->> 'keep_ratio')::float8,
      (parameters ->> 'multiple')::integer, parameters ->> 'calibration_set', (parameters ->> 'refit')::boolean,
      (parameters ->> 'damping')::float8) c;
  RETURN QUERY SELECT p.* FROM hartonomous_internal.removal_plan(model, hartonomous_internal.model_blocks(model),
                                                                choice.plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_removing_neurons(integer, jsonb) IS
  'what remove_neurons() does with each tensor';

CREATE FUNCTION hartonomous_internal.left_by_removing_neurons(model integer, parameters jsonb, OUT blocks integer[],
    OUT metadata jsonb)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  sizes constant hartonomous_internal.network_sizes := hartonomous_internal.network_sizes(model);
BEGIN
  metadata := hartonomous_internal.structure_metadata(hartonomous_internal.gguf_metadata_of(model), 'neurons', sizes,
    hartonomous_internal.structures_to_keep(model, 'neurons',
      hartonomous_internal.structure_count('neurons', sizes), (parameters ->> 'keep_ratio')::float8,
      (parameters ->> 'multiple')::integer));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.left_by_removing_neurons(integer, jsonb) IS
  'the metadata that remove_neurons() leaves';

CREATE FUNCTION hartonomous_internal.report_removing(model integer, parameters jsonb, plan hartonomous.tensor_plan[],
  result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  n record;
  said text;
BEGIN
  SELECT count(*) FILTER (WHERE p.operation = 'remove') AS removed,
         count(*) FILTER (WHERE p.arguments ? 'shape') AS smaller,
         count(*) FILTER (WHERE p.arguments ? 'damping') AS fitted,
         hartonomous_internal.nearest_bigint(sum(p.bytes_before)) AS before,
         hartonomous_internal.nearest_bigint(sum(p.bytes_after)) AS after
    INTO n FROM unnest(plan) p;
  said := concat_ws(', ',
    CASE WHEN n.removed > 0 THEN 'removed ' || hartonomous_internal.counted(n.removed, 'tensor') END,
    CASE WHEN n.smaller > 0 THEN format('made %s smaller', hartonomous_internal.counted(n.smaller, 'tensor')) END,
    CASE WHEN n.fitted > 0 THEN format('fitted %s to make up for it',
                                       hartonomous_internal.counted(n.fitted, 'tensor')) END);
  IF result IS NULL THEN
    RAISE NOTICE 'nothing to remove: nothing done';
  ELSIF result ? 'dry_run' THEN
    RAISE NOTICE 'would have %, % -> %', said, hartonomous.human_bytes(n.before),
      hartonomous.human_bytes(n.after);
  ELSE
    RAISE NOTICE '%, % -> %, revision %, % s', said, hartonomous.human_bytes(n.before),
      hartonomous.human_bytes(coalesce((
        SELECT r.logical_bytes FROM hartonomous.model_revisions r
         WHERE r.revision_id = (result ->> 'revision')::integer), n.after)), result ->> 'revision',
      result ->> 'seconds';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_removing(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'reports what a stage has removed, or would remove, or that there was nothing to do';

-- ---- blocks ------------------------------------------------------------------------------------------------------

-- Which blocks go is decided here, so that the revision and its recipe name them.
CREATE FUNCTION hartonomous_internal.block_parameters(model integer, count integer, blocks integer[],
    protected_blocks integer[], calibration_set text, n_ctx integer, repair boolean, damping double precision,
    dry_run boolean) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  present constant integer[] := hartonomous_internal.model_blocks(model);
  corpus text;
  kept integer[];
  repaired boolean := false;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  IF dry_run IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'dry_run cannot be NULL',
      hint => 'Leave it out for false; with true, the call only reports what it would do.');
  ELSIF num_nonnulls(count, blocks) > 1 OR num_nonnulls(blocks, protected_blocks) > 1 THEN
    PERFORM hartonomous_internal.raise_error('22023', 'blocks cannot be used together with count or protected_blocks',
      hint => 'Pass the blocks to remove, or how many to choose.');
  ELSIF calibration_set IS NULL AND (n_ctx IS NOT NULL OR repair) THEN
    PERFORM hartonomous_internal.raise_error('22023', 'n_ctx and repair need a calibration set');
  END IF;
  corpus := hartonomous_internal.calibration_text(calibration_set);
  IF blocks IS NULL THEN
    count := coalesce(count, 1);
    IF (count BETWEEN 1 AND cardinality(present) - 1) IS NOT TRUE THEN
      PERFORM hartonomous_internal.raise_error('22023',
        format('of %s blocks at least 1 and at most %s can be removed, not %s', cardinality(present),
               cardinality(present) - 1, count));
    END IF;
    kept := CASE WHEN corpus IS NULL
                 THEN hartonomous_internal.influential_blocks(model, cardinality(present) - count, protected_blocks)
                 ELSE hartonomous_internal.influential_blocks(model, cardinality(present) - count, protected_blocks,
                                                              corpus, n_ctx) END;
  ELSE
    kept := hartonomous_internal.blocks_without(model, blocks);
  END IF;
  IF corpus IS NOT NULL AND coalesce(repair, true) THEN
    repaired := cardinality(hartonomous_internal.repair_plan(model, kept, corpus, n_ctx, damping,
                                                             coalesce(repair, false))) > 0;
  END IF;
  RETURN jsonb_strip_nulls(jsonb_build_object(
    'blocks', ARRAY(SELECT b FROM unnest(present) b WHERE b <> ALL (kept) ORDER BY b),
    'calibration_set', calibration_set, 'n_ctx', n_ctx, 'repair', CASE WHEN corpus IS NOT NULL THEN repaired END,
    'damping', CASE WHEN repaired THEN damping END));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.block_parameters(integer, integer, integer[], integer[], text, integer,
  boolean, double precision, boolean) IS
  'the arguments of remove_blocks() as its revision records them, with the blocks that are chosen; errors as '
  'remove_blocks()';

CREATE FUNCTION hartonomous_internal.blocks_without(model integer, removed integer[]) RETURNS integer[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  present constant integer[] := hartonomous_internal.model_blocks(model);
  kept constant integer[] := ARRAY(SELECT b FROM unnest(present) b WHERE b <> ALL (removed) ORDER BY b);
BEGIN
  IF (removed <@ present AND cardinality(removed) > 0) IS NOT TRUE OR cardinality(kept) = 0 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('%s are not some of the blocks %s of model "%s"', coalesce(removed::text, 'NULL'), present,
             model::hartonomous.regmodel), hint => 'At least one block is removed, and at least one is left.');
  END IF;
  RETURN kept;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.blocks_without(integer, integer[]) IS
  'the blocks of a model that are left without some of them; 22023 unless these are some, but not all';

CREATE FUNCTION hartonomous_internal.plan_removing_blocks(model integer, parameters jsonb)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  kept constant integer[] := hartonomous_internal.blocks_without(model,
    hartonomous_internal.kept_numbers(parameters, 'blocks'));
  plan hartonomous.tensor_plan[] := '{}';
BEGIN
  IF (parameters ->> 'repair')::boolean THEN
    -- The text is named, not written into the steps.
    plan := ARRAY(
      SELECT ROW(p.layer_id, p.layer_name, p.operation,
                 p.arguments || jsonb_build_object('corpus_set', parameters -> 'calibration_set'),
                 NULL, NULL, NULL, NULL, NULL, NULL)::hartonomous.tensor_plan
        FROM unnest(hartonomous_internal.repair_plan(model, kept, NULL, (parameters ->> 'n_ctx')::integer,
                                                     (parameters ->> 'damping')::float8, true)) p);
  END IF;
  RETURN QUERY SELECT p.* FROM hartonomous_internal.removal_plan(model, kept, plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_removing_blocks(integer, jsonb) IS
  'what remove_blocks() does with each tensor';

CREATE FUNCTION hartonomous_internal.left_by_removing_blocks(model integer, parameters jsonb, OUT blocks integer[],
    OUT metadata jsonb)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  blocks := hartonomous_internal.blocks_without(model, hartonomous_internal.kept_numbers(parameters, 'blocks'));
  metadata := (SELECT hartonomous_internal.student_metadata(m.metadata, m.architecture, blocks,
                        hartonomous_internal.block_count(model))
                 FROM hartonomous.models m WHERE m.model_id = model);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.left_by_removing_blocks(integer, jsonb) IS
  'the blocks and the metadata that remove_blocks() leaves';

-- ---- vocabulary --------------------------------------------------------------------------------------------------

CREATE FUNCTION hartonomous_internal.vocabulary_parameters(model integer, calibration_set text, dry_run boolean)
  RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF dry_run IS NULL OR calibration_set IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'dry_run and calibration_set cannot be NULL',
      hint => 'Tokens that do not occur in the text of the set are removed; with dry_run, the call only reports.');
  ELSIF hartonomous_internal.calibration_text(calibration_set) = '' THEN
    PERFORM hartonomous_internal.raise_error('22023', format('the text of calibration set "%s" is empty',
      calibration_set));
  END IF;
  PERFORM hartonomous_internal.check_structures(model, 'vocabulary');
  RETURN jsonb_build_object('calibration_set', calibration_set);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.vocabulary_parameters(integer, text, boolean) IS
  'the arguments of trim_vocabulary() as its revision records them; errors as trim_vocabulary()';

CREATE FUNCTION hartonomous_internal.plan_trimming(model integer, parameters jsonb)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  sizes constant hartonomous_internal.network_sizes := hartonomous_internal.network_sizes(model);
  kept constant integer[] := (hartonomous_internal.trim_vocabulary(model,
    hartonomous_internal.calibration_text(parameters ->> 'calibration_set'))).kept;
BEGIN
  RETURN QUERY
    SELECT p.* FROM hartonomous_internal.removal_plan(model, hartonomous_internal.model_blocks(model),
      hartonomous_internal.structure_plan(model, 'vocabulary', sizes.vocabulary,
        ARRAY[ROW(-1, kept)::hartonomous_internal.kept_structures])) p;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_trimming(integer, jsonb) IS
  'what trim_vocabulary() does with each tensor';

CREATE FUNCTION hartonomous_internal.left_by_trimming(model integer, parameters jsonb, OUT blocks integer[],
    OUT metadata jsonb)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  metadata := (hartonomous_internal.trim_vocabulary(model,
    hartonomous_internal.calibration_text(parameters ->> 'calibration_set'))).metadata;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.left_by_trimming(integer, jsonb) IS
  'the metadata that trim_vocabulary() leaves';
