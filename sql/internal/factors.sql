-- Factors of tensors: their size, copying them together with their partition, and validating them. They are computed in
-- internal/svd_model.sql.

CREATE FUNCTION hartonomous_internal.format_bytes(format text, weights bigint) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN (SELECT (weights + f.block_weights - 1) / f.block_weights * f.block_bytes
            FROM hartonomous.formats() f WHERE f.format = upper(format_bytes.format));
COMMENT ON FUNCTION hartonomous_internal.format_bytes(text, bigint) IS
  'number of bytes of a run of weights in a format; NULL if there is no such format';

CREATE FUNCTION hartonomous_internal.factor_bytes(format text, rows bigint, cols bigint, rank bigint) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN hartonomous_internal.format_bytes(format, rows * rank) + 4 * rank
  + hartonomous_internal.format_bytes(format, rank * cols);
COMMENT ON FUNCTION hartonomous_internal.factor_bytes(text, bigint, bigint, bigint) IS
  'number of bytes of U and VT in a format and s in F32';

-- The highest rank whose factors fit into the given number of bytes.
CREATE FUNCTION hartonomous_internal.rank_within(format text, rows bigint, cols bigint, bytes bigint) RETURNS integer
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  low bigint := 0;
  high bigint := least(rows, cols);
  middle bigint;
BEGIN
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    IF hartonomous_internal.factor_bytes(format, rows, cols, middle) <= bytes THEN
      low := middle;
    ELSE
      high := middle - 1;
    END IF;
  END LOOP;
  RETURN low;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.rank_within(text, bigint, bigint, bigint) IS
  'the highest rank at which factors of rows x cols have at most the given number of bytes; 0 if there is none';

-- "quantize" converts factors together with their tensor, but formats planned for single atoms do not apply to them;
-- "prune" copies them unchanged, or not at all if atoms_only is set.
CREATE FUNCTION hartonomous_internal.copy_factors(operation text, arguments jsonb, model integer, base integer,
    layer bigint, into_model integer, into_base integer, into_layer bigint) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  target_format text := CASE WHEN operation = 'quantize' THEN arguments ->> 'format' END;
  copied bigint;
BEGIN
  IF operation = 'prune' AND (arguments ->> 'atoms_only')::boolean THEN
    RETURN 0;
  END IF;
  INSERT INTO hartonomous.svd_compressed_layers AS n
         (model_id, revision_id, layer_id, layer_name, rank, u_matrix, s_vector, vt_matrix, original_rows,
           original_cols,
           original_bytes, compression_ratio, explained_variance, relative_error, output_error, dense_format)
  SELECT into_model, into_base, into_layer,
         (SELECT l.layer_name FROM hartonomous_internal.layers_of_revision(into_base) l WHERE l.layer_id = into_layer),
         f.rank, q.u, f.s_vector,
         q.vt, f.original_rows,
         f.original_cols, f.original_bytes,
         f.original_bytes::float8
           / nullif(hartonomous.weights_bytes(q.u) + hartonomous.weights_bytes(f.s_vector)
             + hartonomous.weights_bytes(q.vt), 0),
         f.explained_variance,
         -- The error was measured before the conversion; verify_svd() measures it again.
         CASE WHEN hartonomous.weights_format(q.u) = hartonomous.weights_format(f.u_matrix) THEN f.relative_error END,
         CASE WHEN hartonomous.weights_format(q.u) = hartonomous.weights_format(f.u_matrix) THEN f.output_error END,
         coalesce(target_format, f.dense_format)
    FROM hartonomous.svd_compressed_layers f,
         LATERAL (SELECT CASE WHEN target_format IS NULL THEN f.u_matrix
           ELSE hartonomous.quantize(f.u_matrix, target_format) END AS u,
                         CASE WHEN target_format IS NULL THEN f.vt_matrix
                         ELSE hartonomous.quantize(f.vt_matrix, target_format) END AS vt) q
   WHERE f.model_id = model AND f.revision_id = base AND f.layer_id = layer
  RETURNING hartonomous.weights_bytes(n.u_matrix) + hartonomous.weights_bytes(n.s_vector)
  + hartonomous.weights_bytes(n.vt_matrix)
    INTO copied;
  RETURN coalesce(copied, 0);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.copy_factors(text, jsonb, integer, integer, bigint, integer, integer,
  bigint) IS
  'copies the factors of a tensor from one partition to another, changed by an operation; returns their bytes, 0 if '
  'there are none';

-- The newest available revision from before the tensor was factored.
CREATE FUNCTION hartonomous_internal.unfactored_revision(model integer, layer bigint) RETURNS integer
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  state record;
  seen integer[] := '{}';  -- users can edit the table: parents that form a cycle must not loop forever
BEGIN
  SELECT r.revision_id, r.parent_revision_id, r.base_revision_id, r.state INTO state
    FROM hartonomous.model_revisions r WHERE r.revision_id = hartonomous_internal.current_revision(model);
  WHILE state.parent_revision_id IS NOT NULL AND state.parent_revision_id <> ALL (seen) LOOP
    seen := seen || state.parent_revision_id;
    SELECT r.revision_id, r.parent_revision_id, r.base_revision_id, r.state INTO state
      FROM hartonomous.model_revisions r WHERE r.revision_id = state.parent_revision_id;
    IF state.state = 'backup' AND NOT EXISTS (
         SELECT FROM hartonomous.svd_compressed_layers f
          WHERE f.model_id = model AND f.revision_id = state.base_revision_id AND f.layer_id = layer)
       AND EXISTS (SELECT FROM hartonomous_internal.layers_of_revision(state.revision_id) b
                     JOIN hartonomous.model_layers l ON l.layer_id = b.layer_id AND l.tensor_shape = b.tensor_shape
                    WHERE b.layer_id = layer) THEN
      RETURN state.revision_id;
    END IF;
  END LOOP;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.unfactored_revision(integer, bigint) IS
  'the newest available revision before the live one in which a tensor is not factored and has its shape; NULL if '
  'there is none';

-- Factors as a form of tensors (internal/forms.sql): they belong to a partition, and whatever writes a partition from
-- another one copies its factors, too.
CREATE FUNCTION hartonomous_internal.stored_factors(model integer, base integer, layer bigint)
  RETURNS TABLE (layer_id bigint, form text, format text, dense_format text, bytes bigint, disk_bytes bigint,
                 version text, block_runs bigint[], other_bytes bigint, most_bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT f.layer_id, 'factors', hartonomous.weights_format(f.u_matrix), f.dense_format,
           hartonomous.weights_bytes(f.u_matrix) + hartonomous.weights_bytes(f.s_vector)
           + hartonomous.weights_bytes(f.vt_matrix),
           (pg_column_size(f.u_matrix) + pg_column_size(f.s_vector) + pg_column_size(f.vt_matrix))::bigint,
           f.xmin::text,
           ARRAY[hartonomous.weights_count(f.u_matrix), hartonomous.weights_count(f.vt_matrix)],
           hartonomous.weights_bytes(f.s_vector), hartonomous_internal.most_factor_bytes()
      FROM hartonomous.svd_compressed_layers f
     WHERE f.model_id = model AND f.revision_id = base AND (layer IS NULL OR f.layer_id = layer);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.stored_factors(integer, integer, bigint) IS
  'factors as stored_forms() lists them';

CREATE FUNCTION hartonomous_internal.factor_norms(model integer, base integer)
  RETURNS TABLE (layer_id bigint, norm double precision)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  -- Since U and VT are orthonormal, their product with s has the norm of s.
  RETURN QUERY
    SELECT f.layer_id, sqrt(hartonomous.weights_count(f.s_vector)) * hartonomous.weights_rms(f.s_vector)
      FROM hartonomous.svd_compressed_layers f WHERE f.model_id = model AND f.revision_id = base;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.factor_norms(integer, integer) IS
  'the Frobenius norms of factored tensors, for form_norms()';
