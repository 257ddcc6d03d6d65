-- Selection for pruning: which tensors are pruned, and at which threshold.

CREATE FUNCTION hartonomous_internal.check_prune_arguments(keep_ratio double precision, threshold real, scope text,
    method text, keep_ratio_of text DEFAULT 'imported') RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF (keep_ratio IS NULL) = (threshold IS NULL) THEN
    PERFORM hartonomous_internal.raise_error('22023', 'exactly one of keep_ratio and threshold must be given',
      hint => 'For example keep_ratio => 0.8, which prunes the fifth of the atoms with the least importance.');
  END IF;
  IF NOT keep_ratio BETWEEN 0 AND 1 THEN  -- NaN fails this check, being greater than 1 in PostgreSQL
    PERFORM hartonomous_internal.raise_error('22023', format('keep_ratio must be between 0 and 1, not %s', keep_ratio),
      hint => 'keep_ratio is the share of the atoms that stay: 0.8 prunes a fifth.');
  END IF;
  IF threshold = 'NaN' THEN
    PERFORM hartonomous_internal.raise_error('22023', 'threshold is not a number');
  END IF;
  IF scope IS NULL OR scope NOT IN ('tensor', 'model') THEN
    PERFORM hartonomous_internal.raise_error('22023', format('unknown scope "%s"', coalesce(scope, 'NULL')),
      hint => 'Scopes are "tensor" (rank within each tensor) and "model" (one ranking).');
  END IF;
  IF method IS NULL OR method NOT IN ('auto', 'in_place', 'rewrite') THEN
    PERFORM hartonomous_internal.raise_error('22023', format('unknown method "%s"', coalesce(method, 'NULL')),
      hint => 'Methods are "auto", "in_place" and "rewrite".');
  END IF;
  IF keep_ratio_of IS NULL OR keep_ratio_of NOT IN ('imported', 'present') THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('unknown keep_ratio_of "%s"', coalesce(keep_ratio_of, 'NULL')),
      hint => 'keep_ratio refers to the atoms that were "imported", or to those that are "present".');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_prune_arguments(double precision, real, text, text, text) IS
  '22023 if the arguments of a pruning contradict each other';

CREATE TYPE hartonomous_internal.prune_summary AS (
  threshold real, atoms bigint, removed bigint, bytes bigint, removed_bytes bigint
);
COMMENT ON TYPE hartonomous_internal.prune_summary IS
  'the effect of pruning a group of atoms: those with importance below the threshold are removed';

CREATE FUNCTION hartonomous_internal.prune_threshold_transition(internal, real, bigint, double precision, real, bigint)
  RETURNS internal
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.prune_threshold_transition(internal, real, bigint, double precision, real,
  bigint) IS
  'transition function of prune_threshold';
CREATE FUNCTION hartonomous_internal.prune_threshold_final(internal) RETURNS hartonomous_internal.prune_summary
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.prune_threshold_final(internal) IS 'final function of prune_threshold';
-- There is no combine function: the ranking needs all atoms of a group in one process, and moving them there costs more
-- than collecting them in the first place.
CREATE AGGREGATE hartonomous_internal.prune_threshold(importance real, bytes bigint, keep_ratio double precision,
  threshold real, of_atoms bigint) (
  SFUNC = hartonomous_internal.prune_threshold_transition, STYPE = internal, SSPACE = 65536,
    FINALFUNC = hartonomous_internal.prune_threshold_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE hartonomous_internal.prune_threshold(real, bigint, double precision, real, bigint) IS
  'the effect of pruning a group of atoms at a threshold, or at the one by which the least important '
  'floor(of_atoms x (1 - keep_ratio)) are missing in the end, counting those that are missing already, and keeping '
  'atoms that tie with the least important one kept; if of_atoms is NULL, all atoms with an importance count; atoms '
  'without importance are kept; 22023 unless exactly one of keep_ratio and threshold is given';

-- Every token passes through the embeddings and the output matrix, and each of their rows matters as much as its token
-- is frequent, which magnitudes do not show. Pruning them by magnitude costs far more quality than it saves space.
CREATE FUNCTION hartonomous_internal.prunable_tensors(model integer, layer_pattern text, include_vectors boolean,
    include_embeddings boolean, counts_imported boolean)
  RETURNS TABLE (layer_id bigint, layer_name text, imported_atoms bigint, reason text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.require_matching_tensors(model, layer_pattern);
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    WITH tensors AS (
      SELECT l.* FROM hartonomous.model_layers l
       WHERE l.model_id = $1 AND l.layer_name LIKE $2 AND ($3 OR cardinality(l.tensor_shape) > 1)),
    carried AS (
      SELECT DISTINCT a.layer_id FROM hartonomous.tensor_atoms a
       WHERE a.model_id = $1 AND a.layer_id = ANY (ARRAY(SELECT t.layer_id FROM tensors t))
         AND hartonomous.weights_format(a.atom_data)
      <> ALL (ARRAY(SELECT f.format FROM hartonomous.formats() f WHERE f.readable)))
    SELECT t.layer_id, t.layer_name, hartonomous_internal.expected_atoms(t.parameter_count, t.row_length, t.atom_size),
           CASE WHEN t.layer_type IN ('embedding', 'output') AND $4 IS NOT TRUE THEN 'embedding or output'
                WHEN c.layer_id IS NOT NULL THEN 'carried format'
                -- The atoms of a factored tensor are its residual; how many of them are missing says nothing about the
                -- tensor.
                WHEN f.layer_id IS NOT NULL AND $5 THEN 'factored' END
      FROM tensors t
      LEFT JOIN carried c ON c.layer_id = t.layer_id
      LEFT JOIN (SELECT DISTINCT s.layer_id
        FROM hartonomous_internal.stored_forms($1, hartonomous_internal.live_base($1)) s) f
        ON f.layer_id = t.layer_id
     ORDER BY t.position$sql$) USING model, layer_pattern, include_vectors, include_embeddings, counts_imported;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.prunable_tensors(integer, text, boolean, boolean, boolean) IS
  'the tensors that match a pattern, the number of atoms each has if none is missing, and the reason why it is not '
  'pruned by importance (NULL if it is)';

-- The region is a literal in the query, so that the planner can estimate its selectivity and use an index on positions.
CREATE FUNCTION hartonomous_internal.pruned_atoms(arguments jsonb) RETURNS text
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  box text := (SELECT '{' || string_agg(s.side, ',' ORDER BY s.n) || '}'
                 FROM jsonb_array_elements_text(arguments -> 'region') WITH ORDINALITY s (side, n));
BEGIN
  RETURN concat_ws(' OR ',
    'a.importance_score < ' || quote_literal(arguments ->> 'minimum_importance') || '::real',
    'hartonomous.in_region(a.weights_geometry, a.quantized_position, ' || quote_literal(box) || '::real[])'
      || CASE WHEN (arguments ->> 'outside_region')::boolean THEN '' ELSE ' IS NOT TRUE' END);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.pruned_atoms(jsonb) IS
  'the condition of a query for the atoms a that the operation "prune" with these arguments, which have been checked, '
  'removes: those that copy_atoms() does not copy';
