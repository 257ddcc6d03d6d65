-- Students: a part of a model as a model of its own, whole in itself: rows, lineage, numbers of blocks, metadata.

CREATE FUNCTION hartonomous.check_ratio(ratio double precision) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF (ratio > 0 AND ratio <= 1) IS NOT TRUE THEN  -- NaN is greater than 1 here
    RAISE EXCEPTION 'target_size_ratio must be above 0 and at most 1, not %', coalesce(ratio::text, 'NULL')
      USING ERRCODE = '22023';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.check_ratio(double precision) IS '22023 when a ratio is not in (0, 1]';

CREATE FUNCTION hartonomous.block_count(model integer) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.current_revision(model);
  RETURN (SELECT coalesce(max(l.layer_idx) + 1, 0) FROM hartonomous.model_layers l WHERE l.model_id = model);
END
$$;
COMMENT ON FUNCTION hartonomous.block_count(integer) IS
  'blocks of a model, by the numbers in its tensors'' names; 0 when they have none; 42704 when there is no such model';

CREATE FUNCTION hartonomous.model_blocks(model integer) RETURNS integer[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(SELECT DISTINCT l.layer_idx FROM hartonomous.model_layers l
                WHERE l.model_id = model AND l.layer_idx >= 0 ORDER BY l.layer_idx);
END
$$;
COMMENT ON FUNCTION hartonomous.model_blocks(integer) IS
  'the numbers of the blocks that a model has tensors of, in order';

-- Until activations are measured, weights have to tell. What a block adds to the stream that runs through all blocks
-- comes out of two matrices: their size stands for it.
CREATE FUNCTION hartonomous.block_influence(model integer)
  RETURNS TABLE (layer_idx integer, influence double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 50
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.current_revision(model);
  RETURN QUERY EXECUTE $sql$
    WITH matrices AS (
      SELECT l.layer_idx, l.layer_id, hartonomous.writes_residual(l.layer_name) AS writes
        FROM hartonomous.model_layers l WHERE l.model_id = $1 AND l.layer_idx >= 0 AND cardinality(l.tensor_shape) > 1),
    chosen AS (
      SELECT m.layer_idx, m.layer_id FROM matrices m
       WHERE m.writes OR NOT EXISTS (SELECT FROM matrices o WHERE o.layer_idx = m.layer_idx AND o.writes)),
    norms AS (
      SELECT a.layer_id, sqrt(sum(hartonomous.weights_count(a.atom_data) * hartonomous.weights_rms(a.atom_data) ^ 2)) AS norm
        FROM hartonomous.tensor_atoms a
       WHERE a.model_id = $1 AND a.layer_id IN (SELECT c.layer_id FROM chosen c) GROUP BY a.layer_id
      UNION ALL
      SELECT f.layer_id, f.norm FROM hartonomous.form_norms($1, hartonomous.live_base($1)) f)
    SELECT c.layer_idx, coalesce(sum(n.norm), 0) FROM chosen c LEFT JOIN norms n USING (layer_id)
     GROUP BY c.layer_idx ORDER BY c.layer_idx$sql$ USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.block_influence(integer) IS
  'how much each block may change what passes through it, judged by weights alone: the Frobenius norms of the matrices that write to the residual stream (attention output and feed-forward down), added up; of all its matrices when it has none of those names; 42704 when there is no such model';

CREATE FUNCTION hartonomous.block_influence(model text)
  RETURNS TABLE (layer_idx integer, influence double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 50
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.block_influence(hartonomous.model_id(model));
END
$$;
COMMENT ON FUNCTION hartonomous.block_influence(text) IS 'the same for a model by its name';

-- The header of a student: its number of blocks, and of every list that has one entry a block the entries it keeps.
-- (Not of rope.*: rope.dimension_sections has four, whatever the blocks.)
CREATE FUNCTION hartonomous.student_metadata(metadata jsonb, architecture text, blocks integer[], of_blocks integer)
  RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  entry record;
BEGIN
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
COMMENT ON FUNCTION hartonomous.student_metadata(jsonb, text, integer[], integer) IS
  'metadata of a GGUF model of which only some blocks are kept, in that order: block_count, and lists with an entry a block';

-- Nobody changes the parent while it is copied: other stages wait for its lock, plain writers for its partition.
CREATE FUNCTION hartonomous.lock_parent(parent integer, nowait boolean) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.current_revision(parent);
  PERFORM hartonomous.require_read_committed();
  PERFORM hartonomous.lock_model(parent, nowait);
  EXECUTE format('LOCK TABLE %s IN SHARE MODE%s', hartonomous.live_partition(parent),
                 CASE WHEN nowait THEN ' NOWAIT' ELSE '' END);
END
$$;
COMMENT ON FUNCTION hartonomous.lock_parent(integer, boolean) IS
  'keeps a model as it is until the end of the transaction; readers go on; 42704 when there is no such model, 55P03 with nowait';

CREATE FUNCTION hartonomous.student_tensors(parent integer, blocks integer[])
  RETURNS TABLE (layer_id bigint, layer_idx integer, layer_name text, "position" integer)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT l.layer_id, coalesce(b.n::integer - 1, -1),
           CASE WHEN b.n IS NULL THEN l.layer_name
                ELSE hartonomous.with_layer_number(l.layer_name, b.n::integer - 1) END,
           (row_number() OVER (ORDER BY l.position))::integer - 1
      FROM hartonomous.model_layers l
      LEFT JOIN unnest(blocks) WITH ORDINALITY b (block, n) ON b.block = l.layer_idx
     WHERE l.model_id = parent AND (l.layer_idx < 0 OR b.n IS NOT NULL);
END
$$;
COMMENT ON FUNCTION hartonomous.student_tensors(integer, integer[]) IS
  'the tensors of a model that a student with those blocks has, and their numbers, names and positions in it: all outside blocks, and of the blocks given, which are numbered anew from 0';

CREATE FUNCTION hartonomous.copy_student_tensors(parent integer, student integer, revision integer, blocks integer[],
                                                 plan hartonomous.tensor_plan[])
  RETURNS TABLE (atoms bigint, bytes bigint, of_matrices bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
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
      FROM hartonomous.student_tensors(parent, blocks) t
      JOIN hartonomous.model_layers l ON l.model_id = student AND l.position = t.position
      LEFT JOIN unnest(plan) p ON p.layer_id = t.layer_id
     ORDER BY t.position
  LOOP
    SELECT * INTO copied
      FROM hartonomous.perform_operation(tensor.operation, tensor.arguments, parent, tensor.layer_id, student, revision,
                                         -- Workers take longer to start than to read a small tensor.
                                         tensor.into_layer, parallel => tensor.parameter_count > 1048576);
    atoms := atoms + copied.atoms;
    bytes := bytes + copied.bytes;
    of_matrices := of_matrices + CASE WHEN tensor.chosen THEN copied.bytes ELSE 0 END;
  END LOOP;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hartonomous.copy_student_tensors(integer, integer, integer, integer[], hartonomous.tensor_plan[]) IS
  'fills the partition of a student: of each tensor what a plan of its parent''s leaves, of those it does not name all; of_matrices are the bytes of the matrices that are chosen from, when there is a plan, else of all';

-- One transaction: cancelled, killed or failed, it leaves nothing.
CREATE FUNCTION hartonomous.create_student(parent integer, student_name text, parameters jsonb,
    blocks integer[] DEFAULT NULL, plan hartonomous.tensor_plan[] DEFAULT NULL) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  of_blocks constant integer := hartonomous.block_count(parent);
  student integer;
  revision integer;
  partition regclass;
  copied record;
  before hartonomous.model_revisions;
BEGIN
  PERFORM hartonomous.check_import(student_name, 1);
  blocks := coalesce(blocks, hartonomous.model_blocks(parent));
  SELECT r.* INTO STRICT before FROM hartonomous.model_revisions r
   WHERE r.revision_id = hartonomous.current_revision(parent);
  INSERT INTO hartonomous.models (model_name, model_type, architecture, parent_model_id, metadata)
    SELECT student_name, 'student_' || m.model_type, m.architecture, parent,
           CASE WHEN cardinality(blocks) = of_blocks THEN m.metadata
                ELSE hartonomous.student_metadata(m.metadata, m.architecture, blocks, of_blocks) END
      FROM hartonomous.models m WHERE m.model_id = parent
    ON CONFLICT ON CONSTRAINT models_model_name_key DO NOTHING
    RETURNING model_id INTO student;
  IF student IS NULL THEN  -- by another session, since check_import() looked
    PERFORM hartonomous.refuse_name(student_name);
  END IF;
  INSERT INTO hartonomous.model_layers (model_id, layer_idx, layer_name, layer_type, tensor_shape, tensor_dtype,
                                        parameter_count, row_length, atom_size, position, weights_geometry)
    SELECT student, t.layer_idx, t.layer_name, l.layer_type, l.tensor_shape, l.tensor_dtype, l.parameter_count,
           l.row_length, l.atom_size, t.position, l.weights_geometry
      FROM hartonomous.student_tensors(parent, blocks) t JOIN hartonomous.model_layers l USING (layer_id);
  revision := hartonomous.new_revision(student, 'student', 'import', jsonb_strip_nulls(parameters)
    || jsonb_build_object('parent_model', parent, 'parent_revision', before.revision_id));
  partition := hartonomous.create_atoms_partition(student, revision);
  SELECT * INTO copied
    FROM hartonomous.copy_student_tensors(parent, student, revision, blocks, plan);
  IF copied.of_matrices = 0 THEN
    RAISE EXCEPTION 'no atom of a matrix of model % would be left', parent USING ERRCODE = '22023';
  END IF;
  PERFORM hartonomous.index_atoms_partition(partition);
  PERFORM hartonomous.attach_live(student, revision);
  PERFORM hartonomous.describe_student(student);
  UPDATE hartonomous.model_revisions r
     SET atom_count = copied.atoms, logical_bytes = copied.bytes, physical_bytes = pg_total_relation_size(partition)
   WHERE r.revision_id = revision;
  PERFORM hartonomous.make_current(student, revision);
  RAISE NOTICE 'student % "%": % % of % atoms, % of %', student, student_name,
    CASE WHEN of_blocks > 0 THEN format('%s of %s blocks,', cardinality(blocks), of_blocks) ELSE 'all tensors,' END, copied.atoms, before.atom_count, hartonomous.human_bytes(copied.bytes), hartonomous.human_bytes(before.logical_bytes);
  RETURN student;
END
$$;
COMMENT ON FUNCTION hartonomous.create_student(integer, text, jsonb, integer[], hartonomous.tensor_plan[]) IS
  'a new model of some blocks of another (all when NULL), of each tensor what a plan of that one leaves; the caller has locked the parent; 22023 when no atom of a matrix is left, 42710 when the name is taken';

-- An atom without coordinates, as after quantize_model_geometry(), leaves the envelope that its layer had.
CREATE FUNCTION hartonomous.describe_student(student integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  postgis name := hartonomous.postgis_schema();
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
COMMENT ON FUNCTION hartonomous.describe_student(integer) IS
  'records of a new student the envelopes of its tensors and how many weights it has';
