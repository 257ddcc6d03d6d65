-- An estimate of how much each block contributes to a model.

-- It is computed from weights alone, since no activations have been measured. Two matrices of each block write its
-- output to the residual stream; their norms stand for the size of that output.
CREATE FUNCTION hartonomous.block_influence(model hartonomous.regmodel)
  RETURNS TABLE (layer_idx integer, influence double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 50
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  RETURN QUERY EXECUTE $sql$
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
     GROUP BY c.layer_idx ORDER BY c.layer_idx$sql$ USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.block_influence(hartonomous.regmodel) IS
  'an estimate, from weights alone, of how much each block contributes to the residual stream: the sum of the '
  'Frobenius norms of the matrices that write to it (attention output and feed-forward down), or of all its matrices '
  'if none has such a name; 42704 if there is no such model';
