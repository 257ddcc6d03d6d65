-- Which part of a model becomes a student: by importance, blocks, region, or the original design's three strategies.
-- How it is made: 70-students.sql.

CREATE FUNCTION hartonomous.student_name(parent integer, what text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT m.model_name || '_Student_' || what FROM hartonomous.models m WHERE m.model_id = parent);
END
$$;
COMMENT ON FUNCTION hartonomous.student_name(integer, text) IS 'the name a student gets when none is given';

CREATE FUNCTION hartonomous.student_plan(parent integer, keep_ratio double precision, threshold real, scope text,
                                         include_embeddings boolean) RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  plan hartonomous.tensor_plan[];
BEGIN
  plan := ARRAY(SELECT p FROM hartonomous.prune_plan(parent, keep_ratio, threshold, scope,
                                                     include_embeddings => student_plan.include_embeddings) p);
  IF NOT EXISTS (SELECT FROM unnest(plan) p WHERE p.operation IS NOT NULL OR p.reason IN ('nothing to prune', 'factored')) THEN
    RAISE EXCEPTION 'model % has no matrix to choose from by importance', parent
      USING ERRCODE = '22023', HINT = 'Embeddings and output are left whole unless include_embeddings => true.';
  END IF;
  RETURN plan;
END
$$;
COMMENT ON FUNCTION hartonomous.student_plan(integer, double precision, real, text, boolean) IS
  'prune_plan() for a student: factored matrices are not cut; 22023 when there is nothing to choose from';

CREATE FUNCTION hartonomous.extract_by_importance(parent integer, target_size_ratio double precision,
    new_model_name text DEFAULT NULL, scope text DEFAULT 'tensor', include_embeddings boolean DEFAULT false,
    nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.check_ratio(target_size_ratio);
  PERFORM hartonomous.check_prune_arguments(target_size_ratio, NULL, scope, 'auto');
  PERFORM hartonomous.lock_parent(parent, nowait);
  RETURN hartonomous.create_student(parent,
    coalesce(new_model_name, hartonomous.student_name(parent, round(100 * target_size_ratio::numeric) || '%')),
    jsonb_build_object('strategy', 'importance', 'target_size_ratio', target_size_ratio, 'scope', scope,
                       'include_embeddings', include_embeddings),
    plan => hartonomous.student_plan(parent, target_size_ratio, NULL, scope, include_embeddings));
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_importance(integer, double precision, text, text, boolean, boolean) IS
  'a student of all tensors, each matrix with that share of the atoms it has when none is missing, the most important (scope "model": one ranking over all matrices), embeddings and output whole unless include_embeddings; returns its number; 22023 when the ratio is not in (0, 1] or the scope unknown, 42704, 42710, 55P03 with nowait';

CREATE FUNCTION hartonomous.influential_blocks(parent integer, wanted integer, protected_blocks integer[])
  RETURNS integer[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  present constant integer[] := hartonomous.model_blocks(parent);
  protected constant integer[] := ARRAY(
    SELECT DISTINCT b FROM unnest(coalesce(protected_blocks, ARRAY[0, 1, present[cardinality(present)]])) b
     WHERE b = ANY (present));
BEGIN
  IF NOT protected_blocks <@ present THEN
    RAISE EXCEPTION 'protected blocks % are not all among the blocks % of model %', protected_blocks, present, parent
      USING ERRCODE = '22023';
  END IF;
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
  present integer[];
  blocks integer[];
BEGIN
  IF strategy IS NULL OR strategy NOT IN ('first', 'influence') THEN
    RAISE EXCEPTION 'unknown strategy "%"', strategy
      USING ERRCODE = '22023', HINT = 'Strategies are "first" and "influence" (see block_influence()).';
  END IF;
  PERFORM hartonomous.lock_parent(parent, nowait);
  present := hartonomous.model_blocks(parent);
  IF cardinality(present) = 0 THEN
    RAISE EXCEPTION 'model % has no numbered blocks to choose from', parent USING ERRCODE = '22023';
  END IF;
  IF (target_layer_count BETWEEN 1 AND cardinality(present)) IS NOT TRUE THEN
    RAISE EXCEPTION 'a student of model % has between 1 and % blocks, not %', parent, cardinality(present),
        coalesce(target_layer_count::text, 'NULL') USING ERRCODE = '22023';
  END IF;
  blocks := CASE strategy WHEN 'first' THEN present[:target_layer_count]
                          ELSE hartonomous.influential_blocks(parent, target_layer_count, protected_blocks) END;
  RETURN hartonomous.create_student(parent,
    coalesce(new_model_name, hartonomous.student_name(parent, 'L' || target_layer_count)),
    jsonb_build_object('strategy', strategy, 'blocks', blocks), blocks);
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_layers(integer, integer, text, text, integer[], boolean) IS
  'a student with so many blocks of a model, the first or those of most influence, and all that lies outside blocks; blocks are numbered anew; "influence" keeps the protected ones (NULL: the first two and the last); returns its number; 22023 when there are not so many blocks or the strategy is unknown, 42704, 42710, 55P03 with nowait';

-- Factors have no place in space: of a region they are no part.
CREATE FUNCTION hartonomous.student_plan(parent integer, box real[]) RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT ROW(l.layer_id, l.layer_name, 'prune', jsonb_build_object('region', hartonomous.reals_json(box), 'atoms_only', true),
               NULL, NULL, NULL, NULL, NULL, NULL)::hartonomous.tensor_plan
      FROM hartonomous.model_layers l WHERE l.model_id = parent AND cardinality(l.tensor_shape) > 1);
END
$$;
COMMENT ON FUNCTION hartonomous.student_plan(integer, real[]) IS
  'a plan for a student that has of its matrices the atoms in a box, and no factors';

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
    jsonb_build_object('strategy', 'spatial', 'region', box), plan => hartonomous.student_plan(parent, box));
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_spatial_region(integer, real, real, real, real, real, real, text, boolean) IS
  'a student of all tensors, its matrices with the atoms that lie in a box (faces included), its vectors whole; returns its number; 22023 when no atom of a matrix lies there or the box is none, 42704, 42710, 55P03 with nowait';

CREATE FUNCTION hartonomous.extract_student_model(parent integer, layer_subset integer[] DEFAULT NULL,
    importance_threshold real DEFAULT NULL, new_model_name text DEFAULT NULL, renumber boolean DEFAULT false,
    include_embeddings boolean DEFAULT false, nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  present integer[];
  blocks constant integer[] := (SELECT array_agg(b ORDER BY b) FROM unnest(layer_subset) b);
BEGIN
  IF importance_threshold = 'NaN' THEN
    RAISE EXCEPTION 'importance_threshold is not a number' USING ERRCODE = '22023';
  END IF;
  PERFORM hartonomous.lock_parent(parent, nowait);
  present := hartonomous.model_blocks(parent);
  IF layer_subset IS NOT NULL AND (blocks IS NULL OR NOT blocks <@ present
     OR (SELECT count(DISTINCT b) FROM unnest(blocks) b) < cardinality(blocks)) THEN
    RAISE EXCEPTION '% is no subset of the blocks % of model %', layer_subset, present, parent USING ERRCODE = '22023';
  ELSIF NOT coalesce(renumber, false) AND blocks[cardinality(blocks)] >= cardinality(blocks) THEN
    RAISE EXCEPTION 'blocks % leave a gap', array_to_string(blocks, ', ')
      USING ERRCODE = '22023', DETAIL = 'The blocks of a model are numbered from 0 without one missing.',
            HINT = 'renumber => true closes the gap.';
  END IF;
  RETURN hartonomous.create_student(parent, coalesce(new_model_name, hartonomous.student_name(parent, concat_ws('_',
      'B' || array_to_string(blocks, '_'), 'Z' || importance_threshold))),
    jsonb_build_object('strategy', 'subset', 'blocks', blocks, 'importance_threshold', importance_threshold,
                       'include_embeddings', CASE WHEN importance_threshold IS NOT NULL THEN include_embeddings END),
    blocks, CASE WHEN importance_threshold IS NOT NULL
                 THEN hartonomous.student_plan(parent, NULL, importance_threshold, 'tensor', include_embeddings) END);
END
$$;
COMMENT ON FUNCTION hartonomous.extract_student_model(integer, integer[], real, text, boolean, boolean, boolean) IS
  'a student with the blocks given (NULL: all), its matrices without the atoms below a threshold of importance (embeddings and output whole unless include_embeddings); returns its number; 22023 on blocks there are not, that leave a gap (unless renumber) or are given twice, and when no atom of a matrix is left, 42704, 42710, 55P03 with nowait';

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
      CROSS JOIN LATERAL (
        SELECT CASE WHEN a.weights_geometry IS NULL THEN (hartonomous.decode_point(a.weights_geometry_q8)).x
                    ELSE a.x END AS x,
               CASE WHEN a.weights_geometry IS NULL THEN (hartonomous.decode_point(a.weights_geometry_q8)).y
                    ELSE a.y END AS y) p
     WHERE a.model_id = $1 AND a.layer_id IN (
       SELECT l.layer_id FROM hartonomous.model_layers l WHERE l.model_id = $1 AND cardinality(l.tensor_shape) > 1)$sql$
    INTO half USING model, ratio;
  IF half IS NULL THEN
    RAISE EXCEPTION 'no atom of a matrix of model % has a place', model USING ERRCODE = '22023';
  END IF;
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
      ceil((cardinality(hartonomous.model_blocks(parent)) * target_size_ratio)::numeric)::integer, 'first', student_name);
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
    ('extract_by_importance', 'target_size_ratio double precision, new_model_name text DEFAULT NULL, scope text DEFAULT ''tensor'', include_embeddings boolean DEFAULT false, nowait boolean DEFAULT false',
     'target_size_ratio, new_model_name, scope, include_embeddings, nowait'),
    ('extract_by_layers', 'target_layer_count integer, strategy text DEFAULT ''first'', new_model_name text DEFAULT NULL, protected_blocks integer[] DEFAULT NULL, nowait boolean DEFAULT false',
     'target_layer_count, strategy, new_model_name, protected_blocks, nowait'),
    ('extract_by_spatial_region', 'min_x real, max_x real, min_y real, max_y real, min_z real DEFAULT -10, max_z real DEFAULT 10, new_model_name text DEFAULT NULL, nowait boolean DEFAULT false',
     'min_x, max_x, min_y, max_y, min_z, max_z, new_model_name, nowait'),
    ('extract_student_model', 'layer_subset integer[] DEFAULT NULL, importance_threshold real DEFAULT NULL, new_model_name text DEFAULT NULL, renumber boolean DEFAULT false, include_embeddings boolean DEFAULT false, nowait boolean DEFAULT false',
     'layer_subset, importance_threshold, new_model_name, renumber, include_embeddings, nowait'),
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
