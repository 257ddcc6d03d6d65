-- Students: making a part of a model a complete model of its own, with tensors, lineage, block numbers and metadata.

CREATE FUNCTION hartonomous_internal.check_ratio(ratio double precision) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF (ratio > 0 AND ratio <= 1) IS NOT TRUE THEN  -- NaN fails this check, being greater than 1 in PostgreSQL
    PERFORM hartonomous_internal.raise_error('22023',
      format('target_size_ratio must be above 0 and at most 1, not %s', coalesce(ratio::text, 'NULL')),
      hint => 'It is the student''s share of the model''s size: 0.5 halves it.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_ratio(double precision) IS '22023 if a ratio is not in (0, 1]';

-- Which blocks attend in a window follows from their numbers unless the file has a list, which a model with other
-- blocks needs. What else follows from the numbers or the number of blocks has no key.
CREATE FUNCTION hartonomous_internal.with_window_pattern(metadata jsonb, architecture text, blocks integer,
    of_blocks integer)
  RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  key constant text := architecture || '.attention.sliding_window_pattern';
  others constant jsonb := (SELECT coalesce(jsonb_agg(e.kv ORDER BY e.n), '[]')
                              FROM jsonb_array_elements(metadata -> 'kv') WITH ORDINALITY e (kv, n)
                             WHERE e.kv ->> 'key' <> key);
  given constant jsonb := (SELECT e.kv -> 'value' FROM jsonb_array_elements(metadata -> 'kv') e (kv)
                            WHERE e.kv ->> 'key' = key LIMIT 1);
  period integer := CASE architecture WHEN 'gemma2' THEN 2 WHEN 'gemma3' THEN 6 WHEN 'gpt-oss' THEN 2
                                      WHEN 'olmo2' THEN 4 END;
BEGIN
  IF architecture = 'smollm3'
     OR architecture = 'gemma2' AND 46 IN (blocks, of_blocks) OR architecture = 'gemma3' AND 62 IN (blocks, of_blocks)
  THEN
    PERFORM hartonomous_internal.raise_error('0A000',
      format('a model of architecture %s cannot have %s of its %s blocks', architecture, blocks, of_blocks),
      CASE WHEN architecture = 'smollm3' THEN 'Every fourth block has no rotary positions, whatever blocks there are.'
           ELSE 'The scale of its attention follows from the number of blocks.' END);
  END IF;
  IF period IS NULL OR jsonb_typeof(given) = 'array' THEN
    RETURN metadata;
  END IF;
  period := coalesce((given #>> '{}')::integer, period);
  RETURN jsonb_set(metadata, '{kv}', others || jsonb_build_array(jsonb_build_object('key', key, 'type', 'array',
    'element', 'bool', 'value', (SELECT jsonb_agg(period = 0 OR b % nullif(period, 0) < period - 1 ORDER BY b)
                                   FROM generate_series(0, of_blocks - 1) b))));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.with_window_pattern(jsonb, text, integer, integer) IS
  'metadata of a GGUF model with a list of the blocks whose attention has a window, if its architecture has '
  'such; 0A000 '
  'if it would not be the same with that many of its blocks';

-- Adapts the header to the blocks of a student: the block count, and each list with one entry per block, of which only
-- the entries of the kept blocks remain. (Lists under rope.* are left alone: rope.dimension_sections always has four
-- entries.)
CREATE FUNCTION hartonomous_internal.student_metadata(metadata jsonb, architecture text, blocks integer[],
  of_blocks integer)
  RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  entry record;
BEGIN
  IF cardinality(blocks) <> of_blocks THEN
    metadata := hartonomous_internal.with_window_pattern(metadata, architecture, cardinality(blocks), of_blocks);
  END IF;
  FOR entry IN
    SELECT ARRAY['kv', (e.n - 1)::text, 'value'] AS path, e.kv
      FROM jsonb_array_elements(metadata -> 'kv') WITH ORDINALITY e (kv, n)
     WHERE e.kv ->> 'key' LIKE architecture || '.%' AND e.kv ->> 'key' NOT LIKE architecture || '.rope.%'
  LOOP
    IF entry.kv ->> 'key' = architecture || '.block_count' THEN
      metadata := jsonb_set(metadata, entry.path, to_jsonb(cardinality(blocks)));
    ELSIF entry.kv ->> 'type' = 'array' AND jsonb_array_length(entry.kv -> 'value') = of_blocks THEN
      metadata := jsonb_set(metadata, entry.path,
                            (SELECT coalesce(jsonb_agg(entry.kv -> 'value' -> b.block ORDER BY b.n), '[]')
                               FROM unnest(blocks) WITH ORDINALITY b (block, n)));
    END IF;
  END LOOP;
  RETURN metadata;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.student_metadata(jsonb, text, integer[], integer) IS
  'metadata of a GGUF model with only some of its blocks, in the given order: block_count, and lists with one '
  'entry per block; 0A000 if what the others compute would change';

-- Prevents changes to the parent while it is copied: other stages wait for its lock, plain writers for its partition.
CREATE FUNCTION hartonomous_internal.lock_parent(parent integer, nowait boolean) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(parent);
  PERFORM hartonomous_internal.require_read_committed();
  PERFORM hartonomous_internal.lock_model(parent, nowait);
  -- An archived model is changed by nobody who does not hold its lock.
  IF NOT hartonomous_internal.is_archived_model(parent) THEN
    EXECUTE format('LOCK TABLE %s IN SHARE MODE%s', hartonomous_internal.live_partition(parent),
                   CASE WHEN nowait THEN ' NOWAIT' ELSE '' END);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.lock_parent(integer, boolean) IS
  'protects a model from changes until the end of the transaction; readers are not blocked; 42704 if there is no such '
  'model, 55P03 with nowait';

CREATE FUNCTION hartonomous_internal.student_tensors(parent integer, blocks integer[])
  RETURNS TABLE (layer_id bigint, layer_idx integer, layer_name text, "position" integer)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT l.layer_id, coalesce(b.n::integer - 1, -1),
           CASE WHEN b.n IS NULL THEN l.layer_name
                ELSE hartonomous_internal.with_layer_number(l.layer_name, b.n::integer - 1) END,
           (row_number() OVER (ORDER BY l.position))::integer - 1
      FROM hartonomous.model_layers l
      LEFT JOIN unnest(blocks) WITH ORDINALITY b (block, n) ON b.block = l.layer_idx
     WHERE l.model_id = parent AND (l.layer_idx < 0 OR b.n IS NOT NULL);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.student_tensors(integer, integer[]) IS
  'the tensors of a student with the given blocks, with their numbers, names and positions in it: all tensors outside '
  'blocks, and those of the blocks, which are renumbered from 0';

-- Names and shapes of the tensors that are left, in a student or in another revision of the model itself.
CREATE FUNCTION hartonomous_internal.planned_layers(model integer, blocks integer[], plan hartonomous.tensor_plan[])
  RETURNS TABLE (layer_id bigint, layer_idx integer, layer_name text, "position" integer, tensor_shape bigint[],
                 parameter_count bigint, row_length bigint, atom_size integer)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT t.layer_id, t.layer_idx, t.layer_name, t.position, coalesce(s.shape, l.tensor_shape),
           coalesce(hartonomous_internal.shape_weights(s.shape)::bigint, l.parameter_count),
           coalesce(s.shape[cardinality(s.shape)], l.row_length),
           CASE WHEN s.shape IS NULL THEN l.atom_size
                WHEN l.atom_size <= l.row_length THEN least(l.atom_size, s.shape[cardinality(s.shape)])::integer
                ELSE hartonomous_internal.effective_atom_size((l.atom_size / l.row_length
                       * s.shape[cardinality(s.shape)])::integer, s.shape[cardinality(s.shape)], 'F32', s.shape) END
      FROM hartonomous_internal.student_tensors(model, blocks) t
      JOIN hartonomous.model_layers l ON l.layer_id = t.layer_id
      LEFT JOIN LATERAL (
        SELECT hartonomous_internal.kept_numbers(p.arguments, 'shape')::bigint[] AS shape
          FROM unnest(plan) p WHERE p.layer_id = l.layer_id AND p.operation = 'select') s ON true;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.planned_layers(integer, integer[], hartonomous.tensor_plan[]) IS
  'the tensors of a model that are left when it keeps the given blocks and what a plan selects, with the numbers, '
  'names, positions and shapes that they get';

-- Runs in one transaction: a cancel, crash or error leaves nothing behind.
CREATE FUNCTION hartonomous_internal.create_student(parent integer, student_name text, parameters jsonb,
    blocks integer[] DEFAULT NULL, plan hartonomous.tensor_plan[] DEFAULT NULL, new_metadata jsonb DEFAULT NULL)
  RETURNS integer
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  of_blocks constant integer := hartonomous_internal.block_count(parent);
  student integer;
  revision integer;
  partition regclass;
  copied record;
  before hartonomous.model_revisions;
BEGIN
  PERFORM hartonomous_internal.check_import(student_name, 1);
  blocks := coalesce(blocks, hartonomous_internal.model_blocks(parent));
  SELECT r.* INTO STRICT before FROM hartonomous.model_revisions r
   WHERE r.revision_id = hartonomous_internal.current_revision(parent);
  INSERT INTO hartonomous.models (model_name, model_type, architecture, parent_model_id, metadata)
    SELECT student_name, 'student_' || m.model_type, m.architecture, parent,
           CASE WHEN new_metadata IS NOT NULL THEN new_metadata
                WHEN cardinality(blocks) = of_blocks THEN m.metadata
                ELSE hartonomous_internal.student_metadata(m.metadata, m.architecture, blocks, of_blocks) END
      FROM hartonomous.models m WHERE m.model_id = parent
    ON CONFLICT ON CONSTRAINT models_model_name_key DO NOTHING
    RETURNING model_id INTO student;
  IF student IS NULL THEN  -- another session created it after check_import()
    PERFORM hartonomous_internal.refuse_name(student_name);
  END IF;
  INSERT INTO hartonomous.model_layers (model_id, layer_idx, layer_name, layer_type, tensor_shape, tensor_dtype,
                                        parameter_count, row_length, atom_size, position, weights_geometry)
    SELECT student, t.layer_idx, t.layer_name, l.layer_type, t.tensor_shape, l.tensor_dtype, t.parameter_count,
           t.row_length, t.atom_size, t.position, l.weights_geometry
      FROM hartonomous_internal.planned_layers(parent, blocks, plan) t
      JOIN hartonomous.model_layers l ON l.layer_id = t.layer_id;
  revision := hartonomous_internal.new_revision(student, 'student', 'import', jsonb_strip_nulls(parameters)
    || jsonb_build_object('parent_model', parent, 'parent_revision', before.revision_id));
  partition := hartonomous_internal.create_atoms_partition(student, revision);
  SELECT * INTO copied
    FROM hartonomous_internal.copy_student_tensors(parent, student, revision, blocks, plan);
  IF copied.of_matrices = 0 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('no atom of any matrix of model "%s" would be left', parent::hartonomous.regmodel));
  END IF;
  PERFORM hartonomous_internal.index_atoms_partition(partition);
  PERFORM hartonomous_internal.attach_live(student, revision);
  PERFORM hartonomous_internal.describe_student(student);
  PERFORM hartonomous_internal.complete_revision(revision, copied.atoms, copied.bytes, partition);
  PERFORM hartonomous_internal.make_current(student, revision);
  RAISE NOTICE 'student % "%": % % of % atoms, % of %', student, student_name,
    CASE WHEN of_blocks > 0 THEN format('%s of %s blocks,', cardinality(blocks), of_blocks) ELSE 'all tensors,' END,
    copied.atoms, before.atom_count, hartonomous.human_bytes(copied.bytes),
    hartonomous.human_bytes(before.logical_bytes);
  RETURN student;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.create_student(integer, text, jsonb, integer[], hartonomous.tensor_plan[],
  jsonb) IS
  'creates a model with some blocks of another (NULL: all), of each tensor what a plan for that one leaves, and other '
  'metadata (NULL: those of its blocks); the caller has locked the parent; 22023 if no atom of any matrix is left, '
  '42710 if the name is taken';

-- Atoms without coordinates, as after quantize_model_geometry(), do not change the envelope of their layer.
CREATE FUNCTION hartonomous_internal.describe_student(student integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  postgis name := hartonomous_internal.postgis_schema();
BEGIN
  EXECUTE format($sql$
    UPDATE hartonomous.model_layers l
       SET weights_geometry = %1$I.ST_MakeEnvelope(e.min_x, e.min_y, e.max_x, e.max_y)
      FROM (SELECT a.layer_id, min(a.x) AS min_x, min(a.y) AS min_y, max(a.x) AS max_x, max(a.y) AS max_y
              FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY a.layer_id) e
     WHERE l.layer_id = e.layer_id AND e.min_x IS NOT NULL$sql$, postgis) USING student;
  UPDATE hartonomous.models m
     SET parameter_count = (SELECT coalesce(sum(l.parameter_count), 0) FROM hartonomous.model_layers l
                             WHERE l.model_id = student)
   WHERE m.model_id = student;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.describe_student(integer) IS
  'records the envelopes of the tensors of a new student, and its number of weights';

CREATE FUNCTION hartonomous_internal.student_name(parent integer, what text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT m.model_name || '_Student_' || what FROM hartonomous.models m WHERE m.model_id = parent);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.student_name(integer, text) IS 'the name of a student for which none is given';

-- The box around the middle of the space that contains the given share of the matrices' atoms.
CREATE FUNCTION hartonomous_internal.central_region(model integer, ratio double precision) RETURNS real[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  half real;
BEGIN
  EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    SELECT percentile_disc($2) WITHIN GROUP (ORDER BY greatest(abs(p.x - 50), abs(p.y - 50)))
      FROM hartonomous.tensor_atoms a
      CROSS JOIN LATERAL (
        SELECT CASE WHEN a.weights_geometry IS NULL THEN (hartonomous.decode_point(a.quantized_position)).x
                    ELSE a.x END AS x,
               CASE WHEN a.weights_geometry IS NULL THEN (hartonomous.decode_point(a.quantized_position)).y
                    ELSE a.y END AS y) p
     WHERE a.model_id = $1 AND a.layer_id IN (
       SELECT l.layer_id FROM hartonomous.model_layers l WHERE l.model_id = $1
       AND cardinality(l.tensor_shape) > 1)$sql$)
    INTO half USING model, ratio;
  IF half IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('no atom of any matrix of model "%s" has a position', model::hartonomous.regmodel));
  END IF;
  -- Rounded outwards, so that an atom on the edge is included.
  RETURN hartonomous.region((50 - half::float8 - 1e-5)::real, (50 + half::float8 + 1e-5)::real,
                            (50 - half::float8 - 1e-5)::real, (50 + half::float8 + 1e-5)::real, '-Infinity',
                            'Infinity');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.central_region(integer, double precision) IS
  'the square window around (50, 50), at any importance, that contains at least the given share of the atoms of a '
  'model''s matrices; 22023 if they have no positions';

CREATE FUNCTION hartonomous_internal.copy_student_tensors(parent integer, student integer, revision integer,
    blocks integer[], plan hartonomous.tensor_plan[])
  RETURNS TABLE (atoms bigint, bytes bigint, of_matrices bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  tensor record;
  copied record;
BEGIN
  atoms := 0;
  bytes := 0;
  of_matrices := 0;
  FOR tensor IN
    SELECT t.layer_id, l.layer_id AS into_layer, l.parameter_count, coalesce(p.operation, 'copy') AS operation,
           CASE WHEN p.operation IS NULL THEN '{}' ELSE p.arguments END AS arguments,
           cardinality(l.tensor_shape) > 1
             AND (plan IS NULL OR p.operation IS NOT NULL OR p.reason IN ('nothing to prune', 'factored')) AS chosen
      FROM hartonomous_internal.student_tensors(parent, blocks) t
      JOIN hartonomous.model_layers l ON l.model_id = student AND l.position = t.position
      LEFT JOIN unnest(plan) p ON p.layer_id = t.layer_id
     ORDER BY t.position
  LOOP
    SELECT * INTO copied
      FROM hartonomous_internal.perform_operation(tensor.operation, tensor.arguments, parent, tensor.layer_id, student,
        revision,
                                         -- Starting parallel workers takes longer than reading a small tensor.
        tensor.into_layer, parallel => hartonomous_internal.worth_workers(tensor.parameter_count));
    atoms := atoms + copied.atoms;
    bytes := bytes + copied.bytes;
    of_matrices := of_matrices + CASE WHEN tensor.chosen THEN copied.bytes ELSE 0 END;
  END LOOP;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.copy_student_tensors(integer, integer, integer, integer[],
  hartonomous.tensor_plan[]) IS
  'fills the partition of a student: from each tensor what a plan for its parent leaves, all of those without a plan; '
  'of_matrices are the bytes of the matrices that atoms are chosen from, if there is a plan, else of all';

CREATE FUNCTION hartonomous_internal.student_plan(parent integer, keep_ratio double precision, threshold real,
    scope text, include_embeddings boolean) RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  plan hartonomous.tensor_plan[];
BEGIN
  plan := ARRAY(SELECT p FROM hartonomous.prune_plan(parent, keep_ratio, threshold, scope,
                                                     include_embeddings => student_plan.include_embeddings) p);
  IF NOT EXISTS (SELECT FROM unnest(plan) p WHERE p.operation IS NOT NULL
    OR p.reason IN ('nothing to prune', 'factored')) THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('model "%s" has no matrix whose atoms can be chosen by importance', parent::hartonomous.regmodel),
      hint => 'Embeddings and the output matrix stay whole unless include_embeddings => true.');
  END IF;
  RETURN plan;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.student_plan(integer, double precision, real, text, boolean) IS
  'prune_plan() for a student: factored matrices are not cut; 22023 if there is nothing to choose from';

-- Factors have no position, so they are not part of any region.
CREATE FUNCTION hartonomous_internal.student_plan(parent integer, box real[]) RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN ARRAY(
    SELECT ROW(l.layer_id, l.layer_name, 'prune',
      jsonb_build_object('region', hartonomous_internal.reals_json(box), 'atoms_only', true),
      NULL, NULL, NULL, NULL, NULL, NULL)::hartonomous.tensor_plan
      FROM hartonomous.model_layers l WHERE l.model_id = parent AND cardinality(l.tensor_shape) > 1);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.student_plan(integer, real[]) IS
  'a plan for a student that has the atoms of its matrices inside a box, and no factors';
