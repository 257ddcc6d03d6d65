-- Students whose tensors are smaller than their parent's: structured pruning. The implementation is in
-- internal/structures.sql.

CREATE FUNCTION hartonomous.structure_scores(model hartonomous.regmodel, kind text,
    calibration_set text DEFAULT NULL)
  RETURNS TABLE (block integer, structure integer, score double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  sizes hartonomous_internal.network_sizes;
BEGIN
  IF kind = 'vocabulary' THEN
    PERFORM hartonomous_internal.raise_error('22023', 'tokens have no scores',
      hint => 'extract_by_vocabulary() keeps those that occur in a corpus.');
  END IF;
  sizes := hartonomous_internal.check_structures(model, kind);
  RETURN QUERY
    SELECT s.block, s.structure, s.score
      FROM hartonomous_internal.structure_ranking(model, kind, hartonomous_internal.structure_count(kind, sizes),
             hartonomous_internal.structure_calibration(model, calibration_set)) s
     ORDER BY s.block, s.structure;
END
$$;
COMMENT ON FUNCTION hartonomous.structure_scores(hartonomous.regmodel, text, text) IS
  'how much each neuron ("neurons"), group of heads that share keys and values ("heads") or expert ("experts") of each '
  'block contributes, numbered from 0: the energy of what it writes to the residual stream when the text of a '
  'calibration set is read (NULL: the only one that the live revision has statistics of; of experts the norms of '
  'their outputs, weighted by the router) or, without statistics, the '
  'product of the norms of its parts of matrices; 22023 if there is no such kind, the model has none, or there are '
  'several sets, 0A000 if its architecture is not supported, 55000 if there are no statistics of the set, or a tensor '
  'is missing, 42704';

CREATE FUNCTION hartonomous.extract_by_neurons(parent hartonomous.regmodel, keep_ratio double precision,
    new_model_name text DEFAULT NULL, multiple integer DEFAULT NULL, calibration_set text DEFAULT NULL,
    refit boolean DEFAULT NULL, damping double precision DEFAULT 0.01, nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN hartonomous_internal.create_structure_student(parent, 'neurons', keep_ratio, multiple, new_model_name,
                                                       calibration_set, refit, damping, nowait);
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_neurons(hartonomous.regmodel, double precision, text, integer, text, boolean,
  double precision, boolean) IS
  'a student whose feed-forward networks have the given share of the neurons, those with the highest '
  'structure_scores(), as many in every block: the nearest multiple of a number (NULL: of the weights in a block of '
  'ffn_down''s format, at least 32); ffn_down is refitted by least squares where there are Gram matrices of its input, '
  'unless refit is false; returns its number; 22023 if the share is not in (0, 1], a number is out of range, blocks '
  'would be cut, there are no neurons outside experts or several calibration sets, 0A000 if the architecture is not '
  'supported or, with refit, a tensor is factored, 55000 without statistics of the set or, with refit, Gram matrices, '
  '22003, 53200, 42704, 42710, 55P03 with nowait';

CREATE FUNCTION hartonomous.extract_by_heads(parent hartonomous.regmodel, keep_ratio double precision,
    new_model_name text DEFAULT NULL, calibration_set text DEFAULT NULL, refit boolean DEFAULT NULL,
    damping double precision DEFAULT 0.01, nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN hartonomous_internal.create_structure_student(parent, 'heads', keep_ratio, 1, new_model_name,
                                                       calibration_set, refit, damping, nowait);
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_heads(hartonomous.regmodel, double precision, text, text, boolean,
  double precision, boolean) IS
  'a student that has the given share of the groups of heads that share keys and values, those with the highest '
  'structure_scores(), as many in every block; attn_output is refitted as ffn_down by extract_by_neurons(); returns '
  'its number; 0A000 if the architecture cannot have fewer heads, and errors as extract_by_neurons()';

CREATE FUNCTION hartonomous.extract_by_experts(parent hartonomous.regmodel, keep_ratio double precision,
    new_model_name text DEFAULT NULL, calibration_set text DEFAULT NULL, nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN hartonomous_internal.create_structure_student(parent, 'experts', keep_ratio, 1, new_model_name,
                                                       calibration_set, false, 0.01, nowait);
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_experts(hartonomous.regmodel, double precision, text, text, boolean) IS
  'a student that has the given share of the experts, those with the highest structure_scores(), as many in every '
  'block; a token uses as many as before, but not more than there are; returns its number; 22023 if the model has no '
  'experts, and errors as extract_by_neurons()';

CREATE FUNCTION hartonomous.extract_by_vocabulary(parent hartonomous.regmodel, corpus text,
    new_model_name text DEFAULT NULL, nowait boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  sizes hartonomous_internal.network_sizes;
  trimmed record;
  student integer;
BEGIN
  IF corpus IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'the corpus cannot be NULL');
  ELSIF corpus = '' THEN
    PERFORM hartonomous_internal.raise_error('22023', 'the corpus is empty',
      hint => 'Only tokens that occur in it are kept.');
  END IF;
  PERFORM hartonomous_internal.lock_parent(parent, nowait);
  sizes := hartonomous_internal.check_structures(parent, 'vocabulary');
  SELECT * INTO STRICT trimmed FROM hartonomous_internal.trim_vocabulary(parent, corpus);
  student := hartonomous_internal.create_student(parent,
    coalesce(new_model_name,
             hartonomous_internal.student_name(parent, format('%s_tokens', cardinality(trimmed.kept)))),
    jsonb_build_object('strategy', 'vocabulary', 'kept', cardinality(trimmed.kept), 'of', sizes.vocabulary,
                       'corpus_sha256', encode(sha256(convert_to(corpus, 'UTF8')), 'hex')),
    plan => nullif(hartonomous_internal.structure_plan(parent, 'vocabulary', sizes.vocabulary,
              ARRAY[ROW(-1, trimmed.kept)::hartonomous_internal.kept_structures]), '{}'),
    new_metadata => trimmed.metadata);
  PERFORM hartonomous_internal.network_sizes(student);
  PERFORM hartonomous_internal.check_trimmed(parent, student, trimmed.kept, corpus);
  RETURN student;
END
$$;
COMMENT ON FUNCTION hartonomous.extract_by_vocabulary(hartonomous.regmodel, text, text, boolean) IS
  'a student without the tokens that do not occur in a corpus, and their rows in the embedding and the output matrix; '
  'it gives the corpus the same tokens, and can encode any other text; control, unknown, user-defined and byte tokens '
  'stay; returns its number; 22023 if the corpus is empty or the model has no tokenizer, 22004 on NULL, 53200 if the '
  'corpus is too long for hartonomous.max_work_memory, 0A000 if the architecture or the tokenizer is not supported, '
  '22P03, 55000, 42704, 42710, 55P03 with nowait';
