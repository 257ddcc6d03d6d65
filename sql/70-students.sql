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
      SELECT l.layer_idx, l.layer_id, l.layer_name ~ '(attn_output|ffn_down|o_proj|down_proj|c_proj)\.weight$' AS writes
        FROM hartonomous.model_layers l WHERE l.model_id = $1 AND l.layer_idx >= 0 AND cardinality(l.tensor_shape) > 1),
    chosen AS (
      SELECT m.layer_idx, m.layer_id FROM matrices m
       WHERE m.writes OR NOT EXISTS (SELECT FROM matrices o WHERE o.layer_idx = m.layer_idx AND o.writes)),
    norms AS (
      SELECT a.layer_id, sqrt(sum(hartonomous.weights_count(a.atom_data) * hartonomous.weights_rms(a.atom_data) ^ 2)) AS norm
        FROM hartonomous.tensor_atoms a
       WHERE a.model_id = $1 AND a.layer_id IN (SELECT c.layer_id FROM chosen c) GROUP BY a.layer_id)
    SELECT c.layer_idx, coalesce(sum(n.norm), 0) FROM chosen c LEFT JOIN norms n USING (layer_id)
     GROUP BY c.layer_idx ORDER BY c.layer_idx$sql$ USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.block_influence(integer) IS
  'how much each block may change what passes through it, judged by weights alone: the Frobenius norms of the matrices that write to the residual stream (attention output and feed-forward down), added up; of all its matrices when it has none of those names; 42704 when there is no such model';

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
                ELSE regexp_replace(l.layer_name, '((?:^|\.)(?:blk|layers?|h|blocks?)\.)\d{1,6}\.', '\1' || b.n - 1 || '.') END,
           (row_number() OVER (ORDER BY l.position))::integer - 1
      FROM hartonomous.model_layers l
      LEFT JOIN unnest(blocks) WITH ORDINALITY b (block, n) ON b.block = l.layer_idx
     WHERE l.model_id = parent AND (l.layer_idx < 0 OR b.n IS NOT NULL);
END
$$;
COMMENT ON FUNCTION hartonomous.student_tensors(integer, integer[]) IS
  'the tensors of a model that a student with those blocks has, and their numbers, names and positions in it: all outside blocks, and of the blocks given, which are numbered anew from 0';

CREATE FUNCTION hartonomous.copy_student_atoms(parent integer, student integer, revision integer, blocks integer[],
                                               cuts jsonb, region real[], partition regclass)
  RETURNS TABLE (atoms bigint, bytes bigint, of_matrices bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  source regclass := hartonomous.live_partition(parent);
  tensor record;
  copied record;
BEGIN
  atoms := 0;
  bytes := 0;
  of_matrices := 0;
  FOR tensor IN
    SELECT t.layer_id, l.layer_id AS into_layer, (cuts ->> t.layer_id::text)::real AS cut, l.parameter_count,
           cardinality(l.tensor_shape) > 1 AS matrix
      FROM hartonomous.student_tensors(parent, blocks) t
      JOIN hartonomous.model_layers l ON l.model_id = student AND l.position = t.position
     ORDER BY t.position
  LOOP
    SELECT * INTO copied
      FROM hartonomous.copy_atoms(source, partition, revision, tensor.layer_id, minimum_importance => tensor.cut,
                                  -- Workers take longer to start than to read a small tensor.
                                  parallel => tensor.parameter_count > 1048576, into_layer => tensor.into_layer,
                                  region => CASE WHEN tensor.matrix THEN region END);
    atoms := atoms + copied.atoms;
    bytes := bytes + copied.bytes;
    of_matrices := of_matrices + CASE WHEN tensor.matrix THEN copied.atoms ELSE 0 END;
  END LOOP;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hartonomous.copy_student_atoms(integer, integer, integer, integer[], jsonb, real[], regclass) IS
  'fills the partition of a student: of its matrices the atoms that are in the region and not below the cut of their tensor, of vectors all';

-- One transaction: cancelled, killed or failed, it leaves nothing.
CREATE FUNCTION hartonomous.create_student(parent integer, student_name text, parameters jsonb,
    blocks integer[] DEFAULT NULL, cuts jsonb DEFAULT NULL, region real[] DEFAULT NULL) RETURNS integer
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
  blocks := coalesce(blocks, ARRAY(SELECT generate_series(0, of_blocks - 1)));
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
    FROM hartonomous.copy_student_atoms(parent, student, revision, blocks, cuts, region, partition);
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
COMMENT ON FUNCTION hartonomous.create_student(integer, text, jsonb, integer[], jsonb, real[]) IS
  'a new model of some blocks of another (all when NULL), of matrices without the atoms below cuts (an object: number of a layer to importance) or outside a region; the caller has locked the parent; 22023 when no atom of a matrix is left, 42710 when the name is taken';

-- An atom without coordinates, as after quantize_model_geometry(), leaves the envelope that its layer had.
CREATE FUNCTION hartonomous.describe_student(student integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  postgis name;
BEGIN
  SELECT n.nspname INTO STRICT postgis
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'postgis';
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

CREATE FUNCTION hartonomous.student_name(parent integer, what text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT m.model_name || '_Student_' || what FROM hartonomous.models m WHERE m.model_id = parent);
END
$$;
COMMENT ON FUNCTION hartonomous.student_name(integer, text) IS 'the name a student gets when none is given';

CREATE FUNCTION hartonomous.importance_cuts(parent integer, keep_ratio double precision, threshold real, scope text)
  RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT jsonb_object_agg(p.layer_id, p.minimum_importance)
            FROM hartonomous.prune_plan(parent, keep_ratio, threshold, scope) p WHERE p.removed > 0);
END
$$;
COMMENT ON FUNCTION hartonomous.importance_cuts(integer, double precision, real, text) IS
  'where prune_plan() cuts the matrices of a model: an object, number of a layer to least importance; NULL when nothing goes';

CREATE FUNCTION hartonomous.extract_by_importance(parent integer, target_size_ratio double precision,
    new_model_name text DEFAULT NULL, scope text DEFAULT 'tensor', nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.check_ratio(target_size_ratio);
  PERFORM hartonomous.check_prune_arguments(target_size_ratio, NULL, scope, 'auto');
  PERFORM hartonomous.lock_parent(parent, nowait);
  RETURN hartonomous.create_student(parent,
    coalesce(new_model_name, hartonomous.student_name(parent, round(100 * target_size_ratio::numeric) || '%')),
    jsonb_build_object('strategy', 'importance', 'target_size_ratio', target_size_ratio, 'scope', scope),
    cuts => hartonomous.importance_cuts(parent, target_size_ratio, NULL, scope));
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_importance(integer, double precision, text, text, boolean) IS
  'a student of all tensors, each matrix with that share of its atoms, the most important (scope "model": one ranking over all matrices); returns its number; 22023 when the ratio is not in (0, 1] or the scope unknown, 42704, 42710, 55P03 with nowait';

CREATE FUNCTION hartonomous.influential_blocks(parent integer, wanted integer, protected_blocks integer[])
  RETURNS integer[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  last constant integer := hartonomous.block_count(parent) - 1;
  protected constant integer[] := ARRAY(SELECT DISTINCT b FROM unnest(coalesce(protected_blocks, ARRAY[0, 1, last])) b
                                         WHERE b BETWEEN 0 AND last);
BEGIN
  IF wanted < cardinality(protected) THEN
    RAISE EXCEPTION '% blocks are fewer than the % that are protected', wanted, cardinality(protected)
      USING ERRCODE = '22023', DETAIL = format('Protected are blocks %s.', array_to_string(protected, ', ')),
            HINT = 'Name other protected_blocks, or none: ''{}''.';
  END IF;
  RETURN ARRAY(SELECT c.layer_idx
                 FROM (SELECT i.layer_idx FROM hartonomous.block_influence(parent) i
                        ORDER BY i.layer_idx = ANY (protected) DESC, i.influence DESC, i.layer_idx LIMIT wanted) c
                ORDER BY c.layer_idx);
END
$$;
COMMENT ON FUNCTION hartonomous.influential_blocks(integer, integer, integer[]) IS
  'the blocks to keep: the protected ones (NULL: the first two and the last), then those of most influence; 22023 when more are protected than wanted';

CREATE FUNCTION hartonomous.extract_by_layers(parent integer, target_layer_count integer, strategy text DEFAULT 'first',
    new_model_name text DEFAULT NULL, protected_blocks integer[] DEFAULT NULL, nowait boolean DEFAULT false)
  RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  blocks integer[];
BEGIN
  IF strategy IS NULL OR strategy NOT IN ('first', 'influence') THEN
    RAISE EXCEPTION 'unknown strategy "%"', strategy
      USING ERRCODE = '22023', HINT = 'Strategies are "first" and "influence" (see block_influence()).';
  END IF;
  PERFORM hartonomous.lock_parent(parent, nowait);
  IF target_layer_count IS NULL OR target_layer_count NOT BETWEEN 1 AND hartonomous.block_count(parent) THEN
    RAISE EXCEPTION 'a student of model % has between 1 and % blocks, not %', parent, hartonomous.block_count(parent),
        coalesce(target_layer_count::text, 'NULL') USING ERRCODE = '22023';
  END IF;
  blocks := CASE strategy WHEN 'first' THEN ARRAY(SELECT generate_series(0, target_layer_count - 1))
                          ELSE hartonomous.influential_blocks(parent, target_layer_count, protected_blocks) END;
  RETURN hartonomous.create_student(parent,
    coalesce(new_model_name, hartonomous.student_name(parent, 'L' || target_layer_count)),
    jsonb_build_object('strategy', strategy, 'blocks', blocks), blocks);
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_layers(integer, integer, text, text, integer[], boolean) IS
  'a student with so many blocks of a model, the first or those of most influence, and all that lies outside blocks; blocks are numbered anew; "influence" keeps the protected ones (NULL: the first two and the last); returns its number; 22023 when there are not so many blocks or the strategy is unknown, 42704, 42710, 55P03 with nowait';

CREATE FUNCTION hartonomous.extract_by_spatial_region(parent integer, min_x real, max_x real, min_y real, max_y real,
    min_z real DEFAULT -10, max_z real DEFAULT 10, new_model_name text DEFAULT NULL, nowait boolean DEFAULT false)
  RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  box constant real[] := hartonomous.region(min_x, max_x, min_y, max_y, min_z, max_z);
BEGIN
  PERFORM hartonomous.lock_parent(parent, nowait);
  RETURN hartonomous.create_student(parent,
    coalesce(new_model_name, hartonomous.student_name(parent, 'Region_' || array_to_string(box, '_'))),
    jsonb_build_object('strategy', 'spatial', 'region', box), region => box);
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_spatial_region(integer, real, real, real, real, real, real, text, boolean) IS
  'a student of all tensors, its matrices with the atoms that lie in a box (faces included), its vectors whole; returns its number; 22023 when no atom of a matrix lies there or the box is none, 42704, 42710, 55P03 with nowait';

CREATE FUNCTION hartonomous.extract_student_model(parent integer, layer_subset integer[] DEFAULT NULL,
    importance_threshold real DEFAULT NULL, new_model_name text DEFAULT NULL, renumber boolean DEFAULT false,
    nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  of_blocks integer;
  blocks constant integer[] := (SELECT array_agg(b ORDER BY b) FROM unnest(layer_subset) b);
BEGIN
  IF importance_threshold = 'NaN' THEN
    RAISE EXCEPTION 'importance_threshold is not a number' USING ERRCODE = '22023';
  END IF;
  PERFORM hartonomous.lock_parent(parent, nowait);
  of_blocks := hartonomous.block_count(parent);
  IF layer_subset IS NOT NULL AND (blocks IS NULL OR array_position(blocks, NULL) IS NOT NULL OR blocks[1] < 0
     OR blocks[cardinality(blocks)] >= of_blocks
     OR (SELECT count(DISTINCT b) FROM unnest(blocks) b) < cardinality(blocks)) THEN
    RAISE EXCEPTION '% is no subset of the % blocks of model %', layer_subset, of_blocks, parent USING ERRCODE = '22023';
  ELSIF NOT coalesce(renumber, false) AND blocks[cardinality(blocks)] >= cardinality(blocks) THEN
    RAISE EXCEPTION 'blocks % leave a gap', array_to_string(blocks, ', ')
      USING ERRCODE = '22023', DETAIL = 'The blocks of a model are numbered from 0 without one missing.',
            HINT = 'renumber => true closes the gap.';
  END IF;
  RETURN hartonomous.create_student(parent, coalesce(new_model_name, hartonomous.student_name(parent, concat_ws('_',
      'B' || array_to_string(blocks, '_'), 'Z' || importance_threshold))),
    jsonb_build_object('strategy', 'subset', 'blocks', blocks, 'importance_threshold', importance_threshold), blocks,
    CASE WHEN importance_threshold IS NOT NULL
         THEN hartonomous.importance_cuts(parent, NULL, importance_threshold, 'tensor') END);
END
$$;
COMMENT ON FUNCTION hartonomous.extract_student_model(integer, integer[], real, text, boolean, boolean) IS
  'a student with the blocks given (NULL: all), its matrices without the atoms below a threshold of importance; returns its number; 22023 on blocks there are not, that leave a gap (unless renumber) or are given twice, and when no atom of a matrix is left, 42704, 42710, 55P03 with nowait';

-- The window around the middle of the space in which that share of the matrices' atoms lies.
CREATE FUNCTION hartonomous.central_region(model integer, ratio double precision) RETURNS real[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  half real;
BEGIN
  EXECUTE $sql$
    SELECT percentile_disc($2) WITHIN GROUP (ORDER BY greatest(abs(p.x - 50), abs(p.y - 50)))
      FROM hartonomous.tensor_atoms a
      CROSS JOIN LATERAL (SELECT coalesce(a.x, (hartonomous.decode_point(a.weights_geometry_q8)).x) AS x,
                                 coalesce(a.y, (hartonomous.decode_point(a.weights_geometry_q8)).y) AS y) p
     WHERE a.model_id = $1 AND a.layer_id IN (
       SELECT l.layer_id FROM hartonomous.model_layers l WHERE l.model_id = $1 AND cardinality(l.tensor_shape) > 1)$sql$
    INTO half USING model, ratio;
  -- Rounded outwards, so that the atom on the edge is in.
  RETURN hartonomous.region((50 - half::float8 - 1e-5)::real, (50 + half::float8 + 1e-5)::real,
                            (50 - half::float8 - 1e-5)::real, (50 + half::float8 + 1e-5)::real, '-Infinity', 'Infinity');
END
$$;
COMMENT ON FUNCTION hartonomous.central_region(integer, double precision) IS
  'the square window around (50, 50), whatever the importance, in which at least that share of the atoms of a model''s matrices lies; 22023 when they have no places';

CREATE FUNCTION hartonomous.dynamic_student_extraction(parent integer, selection_strategy text,
    target_size_ratio double precision DEFAULT 0.5, nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  student_name text;
  box real[];
BEGIN
  PERFORM hartonomous.check_ratio(target_size_ratio);
  IF selection_strategy IS NULL OR selection_strategy NOT IN ('layer', 'importance', 'spatial') THEN
    RAISE EXCEPTION 'unknown selection_strategy "%"', selection_strategy
      USING ERRCODE = '22023', HINT = 'Strategies are "layer", "importance" and "spatial".';
  END IF;
  PERFORM hartonomous.lock_parent(parent, nowait);
  student_name := format('Student_%s_%s_%spct', parent, selection_strategy, (target_size_ratio::numeric * 100)::real);
  IF selection_strategy = 'importance' THEN
    RETURN hartonomous.extract_by_importance(parent, target_size_ratio, student_name);
  ELSIF selection_strategy = 'layer' THEN
    RETURN hartonomous.extract_by_layers(parent,
      ceil((hartonomous.block_count(parent) * target_size_ratio)::numeric)::integer, 'first', student_name);
  END IF;
  box := hartonomous.central_region(parent, target_size_ratio);
  RETURN hartonomous.extract_by_spatial_region(parent, box[1], box[2], box[3], box[4], box[5], box[6], student_name);
END
$$;
COMMENT ON FUNCTION hartonomous.dynamic_student_extraction(integer, text, double precision, boolean) IS
  'a student of about that share of a model: "layer", its first blocks; "importance", of each matrix its most important atoms; "spatial", the window around the middle of the space; returns its number; 22023 when the ratio is not in (0, 1] or the strategy unknown, 42704, 42710, 55P03 with nowait';

-- The same for a parent by its name: arguments, and those that are passed on.
DO $$
DECLARE
  f record;
BEGIN
  FOR f IN SELECT * FROM (VALUES
    ('extract_by_importance', 'target_size_ratio double precision, new_model_name text DEFAULT NULL, scope text DEFAULT ''tensor'', nowait boolean DEFAULT false',
     'target_size_ratio, new_model_name, scope, nowait'),
    ('extract_by_layers', 'target_layer_count integer, strategy text DEFAULT ''first'', new_model_name text DEFAULT NULL, protected_blocks integer[] DEFAULT NULL, nowait boolean DEFAULT false',
     'target_layer_count, strategy, new_model_name, protected_blocks, nowait'),
    ('extract_by_spatial_region', 'min_x real, max_x real, min_y real, max_y real, min_z real DEFAULT -10, max_z real DEFAULT 10, new_model_name text DEFAULT NULL, nowait boolean DEFAULT false',
     'min_x, max_x, min_y, max_y, min_z, max_z, new_model_name, nowait'),
    ('extract_student_model', 'layer_subset integer[] DEFAULT NULL, importance_threshold real DEFAULT NULL, new_model_name text DEFAULT NULL, renumber boolean DEFAULT false, nowait boolean DEFAULT false',
     'layer_subset, importance_threshold, new_model_name, renumber, nowait'),
    ('dynamic_student_extraction', 'selection_strategy text, target_size_ratio double precision DEFAULT 0.5, nowait boolean DEFAULT false',
     'selection_strategy, target_size_ratio, nowait')) v (name, arguments, passed)
  LOOP
    EXECUTE pg_catalog.format($ddl$
      CREATE FUNCTION hartonomous.%1$I(parent text, %2$s) RETURNS integer
        LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
        RETURN hartonomous.%1$I(hartonomous.model_id(parent), %3$s);
      $ddl$, f.name, f.arguments, f.passed);
    EXECUTE pg_catalog.format('COMMENT ON FUNCTION %s IS ''the same for a parent by its name''',
      (SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'hartonomous'::pg_catalog.regnamespace AND p.proname = f.name
          AND p.proargtypes[0] = 'text'::pg_catalog.regtype));
  END LOOP;
END
$$;
