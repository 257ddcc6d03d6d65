-- Functions that make a student from parts of a model, selected by importance, blocks, region, or one of the three
-- strategies of the original design. The implementation is in internal/students.sql.

CREATE FUNCTION hartonomous.extract_by_importance(parent hartonomous.regmodel, target_size_ratio double precision,
    new_model_name text DEFAULT NULL, scope text DEFAULT 'tensor', include_embeddings boolean DEFAULT false,
    nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.check_ratio(target_size_ratio);
  PERFORM hartonomous_internal.check_prune_arguments(target_size_ratio, NULL, scope, 'auto');
  PERFORM hartonomous_internal.lock_parent(parent, nowait);
  RETURN hartonomous_internal.create_student(parent,
    coalesce(new_model_name, hartonomous_internal.student_name(parent, round(100 * target_size_ratio::numeric) || '%')),
    jsonb_build_object('strategy', 'importance', 'target_size_ratio', target_size_ratio, 'scope', scope,
                       'include_embeddings', include_embeddings),
    plan => hartonomous_internal.student_plan(parent, target_size_ratio, NULL, scope, include_embeddings));
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_importance(hartonomous.regmodel, double precision, text, text, boolean,
  boolean) IS
  'a student with all tensors and, of each matrix, the given share of the atoms it has if none is missing, the most '
  'important ones (scope "model" ranks over all matrices); embeddings and output matrix are whole unless '
  'include_embeddings; returns its number; 22023 if the ratio is not in (0, 1] or the scope is unknown, 42704, 42710, '
  '55P03 with nowait';

CREATE FUNCTION hartonomous.extract_by_layers(parent hartonomous.regmodel, target_layer_count integer,
    strategy text DEFAULT 'first', new_model_name text DEFAULT NULL, protected_blocks integer[] DEFAULT NULL,
    corpus text DEFAULT NULL, n_ctx integer DEFAULT NULL, repair boolean DEFAULT NULL,
    damping double precision DEFAULT 0.01, nowait boolean DEFAULT false)
  RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  present integer[];
  blocks integer[];
  plan hartonomous.tensor_plan[];
BEGIN
  IF strategy IS NULL OR strategy NOT IN ('first', 'influence') THEN
    PERFORM hartonomous_internal.raise_error('22023', format('unknown strategy "%s"', coalesce(strategy, 'NULL')),
      hint => 'Strategies are "first" and "influence" (see block_influence()).');
  ELSIF strategy = 'first' AND corpus IS NOT NULL AND NOT repair THEN
    PERFORM hartonomous_internal.raise_error('22023', 'the first blocks are chosen without a corpus',
      hint => 'Strategy "influence" measures with one.');
  ELSIF corpus IS NULL AND n_ctx IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', 'n_ctx needs a corpus');
  ELSIF corpus IS NULL AND repair THEN
    PERFORM hartonomous_internal.raise_error('22023', 'a repair needs a corpus');
  END IF;
  PERFORM hartonomous_internal.lock_parent(parent, nowait);
  present := hartonomous_internal.model_blocks(parent);
  IF cardinality(present) = 0 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('model "%s" has no numbered blocks to choose from', parent));
  END IF;
  IF (target_layer_count BETWEEN 1 AND cardinality(present)) IS NOT TRUE THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('a student of model "%s" must have between 1 and %s blocks, not %s',
             parent, cardinality(present), coalesce(target_layer_count::text, 'NULL')));
  END IF;
  blocks := CASE WHEN strategy = 'first' THEN present[:target_layer_count]
                 WHEN corpus IS NULL THEN
                   hartonomous_internal.influential_blocks(parent, target_layer_count, protected_blocks)
                 ELSE hartonomous_internal.influential_blocks(parent, target_layer_count, protected_blocks, corpus,
                                                              n_ctx) END;
  IF corpus IS NOT NULL AND coalesce(repair, true) THEN
    plan := hartonomous_internal.repair_plan(parent, blocks, corpus, n_ctx, damping, coalesce(repair, false));
  END IF;
  RETURN hartonomous_internal.create_student(parent,
    coalesce(new_model_name, hartonomous_internal.student_name(parent, 'L' || target_layer_count)),
    jsonb_build_object('strategy', strategy, 'blocks', blocks,
                       'corpus_sha256', encode(sha256(convert_to(corpus, 'UTF8')), 'hex'),
                       'repair', CASE WHEN corpus IS NOT NULL THEN coalesce(cardinality(plan), 0) > 0 END,
                       'damping', CASE WHEN cardinality(plan) > 0 THEN damping END),
    blocks, nullif(plan, '{}'));
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_layers(hartonomous.regmodel, integer, text, text, integer[], text, integer,
  boolean, double precision, boolean) IS
  'a student with the given number of blocks, the first or the most influential ones, and all tensors outside '
  'blocks; blocks are renumbered; "influence" is estimated from weights or, with a corpus, measured, again after '
  'each block that is removed; it keeps the protected blocks (NULL: the first two and the last or, measured, the '
  'first two, of 16 or more the first four, and the last two); with a corpus the last block before each gap is '
  'repaired by least squares, unless repair is false: its ffn_down does what is linear in the work of those that are '
  'left out (Shopkhoev et al. 2025); returns its number; 22023 if there are not that many blocks, the strategy is '
  'unknown, damping is not above 0, the corpus has fewer tokens than the embedding has numbers or, with repair, the '
  'first block is left out or there is no corpus, 0A000 if, with repair, a tensor is factored, 22003 if damping is '
  'too small, 53200 if the corpus is too long for hartonomous.max_work_memory, 42704, 42710, 55P03 with nowait, and '
  'errors of block_influence()';

CREATE FUNCTION hartonomous.extract_by_spatial_region(parent hartonomous.regmodel, min_x real, max_x real, min_y real,
    max_y real, min_z real DEFAULT -10, max_z real DEFAULT 10, new_model_name text DEFAULT NULL,
    nowait boolean DEFAULT false)
  RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  box constant real[] := hartonomous.region(min_x, max_x, min_y, max_y, min_z, max_z);
BEGIN
  PERFORM hartonomous_internal.lock_parent(parent, nowait);
  RETURN hartonomous_internal.create_student(parent,
    coalesce(new_model_name, hartonomous_internal.student_name(parent, 'Region_' || array_to_string(box, '_'))),
    jsonb_build_object('strategy', 'spatial', 'region', box), plan => hartonomous_internal.student_plan(parent, box));
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_spatial_region(hartonomous.regmodel, real, real, real, real, real, real,
  text, boolean) IS
  'a student with all tensors and, of matrices, the atoms in a box (including its faces); vectors are whole; returns '
  'its number; 22023 if no atom of any matrix lies there or the box is invalid, 42704, 42710, 55P03 with nowait';

CREATE FUNCTION hartonomous.extract_student_model(parent hartonomous.regmodel, layer_subset integer[] DEFAULT NULL,
    importance_threshold real DEFAULT NULL, new_model_name text DEFAULT NULL, renumber boolean DEFAULT false,
    include_embeddings boolean DEFAULT false, nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  present integer[];
  blocks constant integer[] := (SELECT array_agg(b ORDER BY b) FROM unnest(layer_subset) b);
BEGIN
  IF importance_threshold = 'NaN' THEN
    PERFORM hartonomous_internal.raise_error('22023', 'importance_threshold is not a number');
  END IF;
  PERFORM hartonomous_internal.lock_parent(parent, nowait);
  present := hartonomous_internal.model_blocks(parent);
  IF layer_subset IS NOT NULL AND (blocks IS NULL OR NOT blocks <@ present
     OR (SELECT count(DISTINCT b) FROM unnest(blocks) b) < cardinality(blocks)) THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('%s is no subset of the blocks %s of model "%s"', layer_subset, present, parent));
  ELSIF NOT coalesce(renumber, false) AND blocks[cardinality(blocks)] >= cardinality(blocks) THEN
    PERFORM hartonomous_internal.raise_error('22023', format('blocks %s leave a gap', array_to_string(blocks, ', ')),
      detail => 'The blocks of a model are numbered from 0 without gaps.',
      hint => 'renumber => true closes the gap.');
  END IF;
  RETURN hartonomous_internal.create_student(parent,
    coalesce(new_model_name, hartonomous_internal.student_name(parent, concat_ws('_',
      'B' || array_to_string(blocks, '_'), 'Z' || importance_threshold))),
    jsonb_build_object('strategy', 'subset', 'blocks', blocks, 'importance_threshold', importance_threshold,
                       'include_embeddings', CASE WHEN importance_threshold IS NOT NULL THEN include_embeddings END),
    blocks, CASE WHEN importance_threshold IS NOT NULL
                 THEN hartonomous_internal.student_plan(parent, NULL, importance_threshold, 'tensor',
                   include_embeddings) END);
END
$$;
COMMENT ON FUNCTION hartonomous.extract_student_model(hartonomous.regmodel, integer[], real, text, boolean, boolean,
  boolean) IS
  'a student with the given blocks (NULL: all) and, of matrices, the atoms that are not below a threshold of '
  'importance (embeddings and output matrix whole unless include_embeddings); returns its number; 22023 if a block '
  'does not exist, is given twice or leaves a gap (unless renumber), and if no atom of any matrix is left, 42704, '
  '42710, 55P03 with nowait';

CREATE FUNCTION hartonomous.dynamic_student_extraction(parent hartonomous.regmodel, selection_strategy text,
    target_size_ratio double precision DEFAULT 0.5, nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  student_name text;
  box real[];
BEGIN
  PERFORM hartonomous_internal.check_ratio(target_size_ratio);
  IF selection_strategy IS NULL
     OR selection_strategy NOT IN ('layer', 'importance', 'spatial', 'neurons', 'heads', 'experts') THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('unknown selection_strategy "%s"', coalesce(selection_strategy, 'NULL')),
      hint => 'Strategies are "layer", "importance", "spatial", "neurons", "heads" and "experts".');
  END IF;
  PERFORM hartonomous_internal.lock_parent(parent, nowait);
  student_name := format('Student_%s_%s_%spct', parent::integer, selection_strategy,
    (target_size_ratio::numeric * 100)::real);
  IF selection_strategy = 'importance' THEN
    RETURN hartonomous.extract_by_importance(parent, target_size_ratio, student_name);
  ELSIF selection_strategy = 'layer' THEN
    RETURN hartonomous.extract_by_layers(parent,
      ceil((cardinality(hartonomous_internal.model_blocks(parent)) * target_size_ratio)::numeric)::integer, 'first',
      student_name);
  ELSIF selection_strategy IN ('neurons', 'heads', 'experts') THEN
    RETURN hartonomous_internal.create_structure_student(parent, selection_strategy, target_size_ratio,
      CASE WHEN selection_strategy <> 'neurons' THEN 1 END, student_name, NULL, NULL, 0.01, false);
  END IF;
  box := hartonomous_internal.central_region(parent, target_size_ratio);
  RETURN hartonomous.extract_by_spatial_region(parent, box[1], box[2], box[3], box[4], box[5], box[6], student_name);
END
$$;
COMMENT ON FUNCTION hartonomous.dynamic_student_extraction(hartonomous.regmodel, text, double precision, boolean) IS
  'a student with about the given share of a model: "layer" takes its first blocks; "importance" the most important '
  'atoms of each matrix; "spatial" the window around the center of the space; "neurons", "heads" and "experts" are the '
  'share of these, as extract_by_neurons() and the others take it; returns its number; 22023 if the ratio is not in '
  '(0, 1] or the strategy is unknown, 42704, 42710, 55P03 with nowait';
