-- The plan of an export: what would be written for each tensor.

-- A tensor is exported in the format of its atoms. If they have several formats, it is exported in the one with the
-- most bits, so that no atom loses precision; if its atoms or rows are not a whole number of blocks of that format, in
-- F32. A tensor without atoms is exported as zeros in its original format. A factored tensor is exported as the product
-- of its factors, in the format it had before: a model file cannot hold factors, so they would save no bytes there.
CREATE FUNCTION hartonomous.export_plan(model hartonomous.regmodel, container text DEFAULT 'gguf')
  RETURNS TABLE ("position" integer, layer_id bigint, layer_name text, tensor_shape bigint[], row_length bigint,
                 atom_size integer, parameter_count bigint, present_format text, storage_format text, export_dtype text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  IF container IS NULL OR container NOT IN ('gguf', 'safetensors') THEN
    PERFORM hartonomous_internal.raise_error('22023', format('unknown container "%s"', coalesce(container, 'NULL')),
      hint => 'Containers are "gguf" and "safetensors".');
  END IF;
  -- Queries the parent table because readers have rights on that only.
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    WITH present AS (
      SELECT f.layer_id, array_agg(f.format ORDER BY f.format) AS formats
        FROM (SELECT a.layer_id, hartonomous.weights_format(a.atom_data) AS format
                FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY 1, 2) f
       GROUP BY f.layer_id),
    chosen AS (
      SELECT l.position, l.layer_id, l.layer_name, l.tensor_shape, l.tensor_dtype, l.row_length, l.atom_size,
             l.parameter_count, array_to_string(p.formats, '+') AS present,
             coalesce(d.dense_format, (SELECT CASE WHEN gcd(gcd(l.row_length, l.atom_size),
                                              coalesce(l.tensor_shape[cardinality(l.tensor_shape)], 1))
                                          % f.block_weights = 0 THEN f.format ELSE 'F32' END
                         FROM hartonomous.formats() f WHERE f.format = ANY (p.formats)
                        ORDER BY f.block_bytes::float8 / f.block_weights DESC, f.ggml_type LIMIT 1),
                      hartonomous_internal.carried_format(l.tensor_dtype)) AS format
        FROM hartonomous.model_layers l LEFT JOIN present p USING (layer_id)
        LEFT JOIN (SELECT f.layer_id, min(f.dense_format) AS dense_format
                     FROM hartonomous_internal.stored_forms($1, hartonomous_internal.live_base($1)) f
                     GROUP BY f.layer_id) d USING (layer_id)
       WHERE l.model_id = $1)
    SELECT c.position, c.layer_id, c.layer_name, c.tensor_shape, c.row_length, c.atom_size, c.parameter_count,
      c.present,
           CASE WHEN $2 = 'gguf' THEN c.format ELSE hartonomous_internal.plain_format(c.format, c.tensor_dtype) END,
           CASE WHEN $2 = 'gguf' THEN CASE WHEN c.tensor_dtype ~ '^GGML_[0-9]+$' AND c.format = 'I8'
                                           THEN c.tensor_dtype ELSE c.format END
                WHEN hartonomous_internal.carried_format(c.tensor_dtype)
                = hartonomous_internal.plain_format(c.format, c.tensor_dtype)
                THEN c.tensor_dtype
                ELSE hartonomous_internal.plain_format(c.format, c.tensor_dtype) END
      FROM chosen c ORDER BY c.position$sql$) USING model, container;
END
$$;
COMMENT ON FUNCTION hartonomous.export_plan(hartonomous.regmodel, text) IS
  'what an export would write, one row per tensor: the format its atoms have, and the format it would be written in';
