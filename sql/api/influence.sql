-- How much each block contributes to a model: an estimate, and a measurement.

-- The estimate is computed from weights alone. Two matrices of each block write its output to the residual stream;
-- their norms stand for the size of that output.
CREATE FUNCTION hartonomous.block_influence(model hartonomous.regmodel)
  RETURNS TABLE (layer_idx integer, influence double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    WITH matrices AS (
      SELECT l.layer_idx, l.layer_id, hartonomous_internal.writes_residual(l.layer_name) AS writes
        FROM hartonomous.model_layers l WHERE l.model_id = $1 AND l.layer_idx >= 0 AND cardinality(l.tensor_shape) > 1),
    chosen AS (
      SELECT m.layer_idx, m.layer_id FROM matrices m
       WHERE m.writes OR NOT EXISTS (SELECT FROM matrices o WHERE o.layer_idx = m.layer_idx AND o.writes)),
    norms AS (
      SELECT a.layer_id,
      sqrt(sum(hartonomous.weights_count(a.atom_data) * hartonomous.weights_rms(a.atom_data) ^ 2)) AS norm
        FROM hartonomous.tensor_atoms a
       WHERE a.model_id = $1 AND a.layer_id IN (SELECT c.layer_id FROM chosen c) GROUP BY a.layer_id
      UNION ALL
      SELECT f.layer_id, f.norm FROM hartonomous_internal.form_norms($1, hartonomous_internal.live_base($1)) f)
    SELECT c.layer_idx, coalesce(sum(n.norm), 0) FROM chosen c LEFT JOIN norms n USING (layer_id)
     GROUP BY c.layer_idx ORDER BY c.layer_idx$sql$) USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.block_influence(hartonomous.regmodel) IS
  'an estimate, from weights alone, of how much each block contributes to the residual stream: the sum of the '
  'Frobenius norms of the matrices that write to it (attention output and feed-forward down), or of all its matrices '
  'if none has such a name; 42704 if there is no such model';

CREATE FUNCTION hartonomous.block_influence(model hartonomous.regmodel, corpus text, n_ctx integer DEFAULT NULL,
    blocks integer[] DEFAULT NULL)
  RETURNS TABLE (layer_idx integer, influence double precision)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  blocks := coalesce(blocks, hartonomous_internal.model_blocks(model));
  RETURN QUERY
    SELECT b.block, b.influence
      FROM unnest(blocks, hartonomous_internal.block_influences(model, corpus, n_ctx, blocks)) b (block, influence);
END
$$;
COMMENT ON FUNCTION hartonomous.block_influence(hartonomous.regmodel, text, integer, integer[]) IS
  'how much each block changes the states of the tokens of a text: 1 - the mean cosine between the states before and '
  'after it (Men et al. 2024); if only some blocks are given, the others are left out; texts are cut into windows of '
  'n_ctx tokens (NULL: 512, or the context of the model if that is shorter); 22023 if the text is empty, n_ctx is out '
  'of range or there is no such block, 22004 if the text is NULL, 0A000 if the architecture is not supported, 55000, '
  '53200, 42704';
