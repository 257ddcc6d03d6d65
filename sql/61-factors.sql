-- Factors of the tensors of a model: the bytes they take, how they go with their partition, whether they are sound.
-- Making them: 62-svd.sql.

CREATE FUNCTION hartonomous.tensor_weights(model integer, tensor text, revision integer DEFAULT NULL)
  RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.tensor_weights(integer, text, integer) IS
  'a tensor of a model''s live revision, or of a kept one, as it acts, in F32, whatever its form: atoms (missing ones are zeros), factors, or both; 42704 when there is no such model or tensor, 22023 no such revision, 53200 beyond hartonomous.max_work_memory';
CREATE FUNCTION hartonomous.tensor_weights(model text, tensor text, revision integer DEFAULT NULL)
  RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.tensor_weights(text, text, integer) IS 'the same for a model by its name';

CREATE FUNCTION hartonomous.format_bytes(format text, weights bigint) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN (SELECT (weights + f.block_weights - 1) / f.block_weights * f.block_bytes
            FROM hartonomous.formats() f WHERE f.format = upper(format_bytes.format));
COMMENT ON FUNCTION hartonomous.format_bytes(text, bigint) IS
  'bytes that a run of so many weights takes in a format; NULL when there is none of that name';

CREATE FUNCTION hartonomous.factor_bytes(format text, rows bigint, cols bigint, rank bigint) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN hartonomous.format_bytes(format, rows * rank) + 4 * rank + hartonomous.format_bytes(format, rank * cols);
COMMENT ON FUNCTION hartonomous.factor_bytes(text, bigint, bigint, bigint) IS
  'bytes of U and VT in a format and s in F32';

-- pg_dump writes a row as one line of text, for which PostgreSQL has 1 GB less a byte; weights take two characters a byte
-- there, and everything else in a row of svd_compressed_layers stays far below 64 kB.
CREATE FUNCTION hartonomous.most_factor_bytes() RETURNS bigint
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN (1073741823 - 65536) / 2;
COMMENT ON FUNCTION hartonomous.most_factor_bytes() IS
  'bytes that the factors of a tensor may take together, so that COPY and pg_dump can write their row as text';

-- The largest rank whose factors take no more than so many bytes.
CREATE FUNCTION hartonomous.rank_within(format text, rows bigint, cols bigint, bytes bigint) RETURNS integer
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  low bigint := 0;
  high bigint := least(rows, cols);
  middle bigint;
BEGIN
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    IF hartonomous.factor_bytes(format, rows, cols, middle) <= bytes THEN
      low := middle;
    ELSE
      high := middle - 1;
    END IF;
  END LOOP;
  RETURN low;
END
$$;
COMMENT ON FUNCTION hartonomous.rank_within(text, bigint, bigint, bigint) IS
  'the largest rank of which factors of rows x cols take at most so many bytes; 0 when none does';

-- Factors as a form of tensors (34-forms.sql): they go with the partition they stand beside, and whoever writes one from
-- another copies them, too.
CREATE FUNCTION hartonomous.stored_factors(model integer, base integer, layer bigint)
  RETURNS TABLE (layer_id bigint, form text, format text, dense_format text, bytes bigint, disk_bytes bigint,
                 version text, block_runs bigint[], other_bytes bigint, most_bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT f.layer_id, 'factors', hartonomous.weights_format(f.u_matrix), f.dense_format,
           hartonomous.weights_bytes(f.u_matrix) + hartonomous.weights_bytes(f.s_vector) + hartonomous.weights_bytes(f.vt_matrix),
           (pg_column_size(f.u_matrix) + pg_column_size(f.s_vector) + pg_column_size(f.vt_matrix))::bigint, f.xmin::text,
           ARRAY[hartonomous.weights_count(f.u_matrix), hartonomous.weights_count(f.vt_matrix)],
           hartonomous.weights_bytes(f.s_vector), hartonomous.most_factor_bytes()
      FROM hartonomous.svd_compressed_layers f
     WHERE f.model_id = model AND f.revision_id = base AND (layer IS NULL OR f.layer_id = layer);
END
$$;
COMMENT ON FUNCTION hartonomous.stored_factors(integer, integer, bigint) IS 'factors as stored_forms() lists them';

CREATE FUNCTION hartonomous.factor_norms(model integer, base integer)
  RETURNS TABLE (layer_id bigint, norm double precision)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- U and VT are orthonormal: the norm of what they make is that of s.
  RETURN QUERY
    SELECT f.layer_id, sqrt(hartonomous.weights_count(f.s_vector)) * hartonomous.weights_rms(f.s_vector)
      FROM hartonomous.svd_compressed_layers f WHERE f.model_id = model AND f.revision_id = base;
END
$$;
COMMENT ON FUNCTION hartonomous.factor_norms(integer, integer) IS 'the Frobenius norms of factored tensors, for form_norms()';

-- "quantize" changes factors with their tensor, but what is planned for single atoms says nothing of them; "prune" leaves
-- them, unless only atoms are wanted.
CREATE FUNCTION hartonomous.copy_factors(operation text, arguments jsonb, model integer, base integer, layer bigint,
    into_model integer, into_base integer, into_layer bigint) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  target_format text := CASE WHEN operation = 'quantize' THEN arguments ->> 'format' END;
  copied bigint;
BEGIN
  IF operation = 'prune' AND (arguments ->> 'atoms_only')::boolean THEN
    RETURN 0;
  END IF;
  INSERT INTO hartonomous.svd_compressed_layers AS n
         (model_id, revision_id, layer_id, layer_name, rank, u_matrix, s_vector, vt_matrix, original_rows, original_cols,
          original_bytes, compression_ratio, explained_variance, relative_error, dense_format)
  SELECT into_model, into_base, into_layer,
         (SELECT l.layer_name FROM hartonomous.model_layers l WHERE l.layer_id = into_layer), f.rank, q.u, f.s_vector, q.vt, f.original_rows,
         f.original_cols, f.original_bytes,
         f.original_bytes::float8
           / nullif(hartonomous.weights_bytes(q.u) + hartonomous.weights_bytes(f.s_vector) + hartonomous.weights_bytes(q.vt), 0),
         f.explained_variance,
         -- Measured for the factors as they were; verify_svd() measures again.
         CASE WHEN hartonomous.weights_format(q.u) = hartonomous.weights_format(f.u_matrix) THEN f.relative_error END,
         coalesce(target_format, f.dense_format)
    FROM hartonomous.svd_compressed_layers f,
         LATERAL (SELECT CASE WHEN target_format IS NULL THEN f.u_matrix ELSE hartonomous.quantize(f.u_matrix, target_format) END AS u,
                         CASE WHEN target_format IS NULL THEN f.vt_matrix ELSE hartonomous.quantize(f.vt_matrix, target_format) END AS vt) q
   WHERE f.model_id = model AND f.revision_id = base AND f.layer_id = layer
  RETURNING hartonomous.weights_bytes(n.u_matrix) + hartonomous.weights_bytes(n.s_vector) + hartonomous.weights_bytes(n.vt_matrix)
    INTO copied;
  RETURN coalesce(copied, 0);
END
$$;
COMMENT ON FUNCTION hartonomous.copy_factors(text, jsonb, integer, integer, bigint, integer, integer, bigint) IS
  'the factors of a tensor beside one partition for a tensor beside another, changed as an operation says; returns their bytes, 0 when there are none';

-- The newest kept state from before a tensor was factored.
CREATE FUNCTION hartonomous.unfactored_revision(model integer, layer bigint) RETURNS integer
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  state record;
  seen integer[] := '{}';  -- the table may say anything: parents in a circle lead to none
BEGIN
  SELECT r.revision_id, r.parent_revision_id, r.base_revision_id, r.state INTO state
    FROM hartonomous.model_revisions r WHERE r.revision_id = hartonomous.current_revision(model);
  WHILE state.parent_revision_id IS NOT NULL AND state.parent_revision_id <> ALL (seen) LOOP
    seen := seen || state.parent_revision_id;
    SELECT r.revision_id, r.parent_revision_id, r.base_revision_id, r.state INTO state
      FROM hartonomous.model_revisions r WHERE r.revision_id = state.parent_revision_id;
    IF state.state = 'backup' AND NOT EXISTS (
         SELECT FROM hartonomous.svd_compressed_layers f
          WHERE f.model_id = model AND f.revision_id = state.base_revision_id AND f.layer_id = layer) THEN
      RETURN state.revision_id;
    END IF;
  END LOOP;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION hartonomous.unfactored_revision(integer, bigint) IS
  'the newest kept revision, before the live one, in which a tensor is not factored; NULL when none is kept';

CREATE FUNCTION hartonomous.verify_svd(model integer)
  RETURNS TABLE (layer_name text, rows integer, cols integer, rank integer, factor_format text,
                 explained_variance double precision, stored_error double precision, measured_error double precision,
                 smallest_ratio double precision, orthonormality double precision, problem text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  kept hartonomous.svd_compressed_layers;
  tensor hartonomous.model_layers;
  factors hartonomous.svd_factors;
  found record;
  before integer;
BEGIN
  PERFORM hartonomous.current_revision(model);
  -- Names and sizes first: what is damaged must not keep the rest from being looked at.
  FOR kept IN
    SELECT f.* FROM hartonomous.svd_compressed_layers f
     WHERE f.model_id = model AND f.revision_id = hartonomous.live_base(model) ORDER BY f.layer_id
  LOOP
    SELECT * INTO tensor FROM hartonomous.model_layers l WHERE l.layer_id = kept.layer_id AND l.model_id = model;
    layer_name := kept.layer_name;
    rows := kept.original_rows;
    cols := kept.original_cols;
    rank := kept.rank;
    explained_variance := kept.explained_variance;
    stored_error := kept.relative_error;
    measured_error := NULL;
    smallest_ratio := NULL;
    orthonormality := NULL;
    factor_format := NULL;
    problem := NULL;
    BEGIN
      factor_format := hartonomous.weights_format(kept.u_matrix);
      IF tensor.layer_id IS NULL THEN
        problem := 'the model has no such tensor';
      ELSIF ARRAY[rows, cols]::bigint[] <> tensor.tensor_shape THEN
        problem := format('%s x %s, but the tensor is %s', rows, cols, array_to_string(tensor.tensor_shape, ' x '));
      ELSE
        factors := ROW(kept.u_matrix, hartonomous.dequantize(kept.s_vector), kept.vt_matrix, rows, cols, rank,
                       kept.explained_variance)::hartonomous.svd_factors;
        found := hartonomous.svd_check(factors);
        smallest_ratio := found.smallest_ratio;
        orthonormality := greatest(found.u_orthonormality, found.vt_orthonormality);
        before := hartonomous.unfactored_revision(model, kept.layer_id);
        IF found.finite AND before IS NOT NULL THEN
          measured_error := hartonomous.svd_error(hartonomous.tensor_weights(model, kept.layer_name, before), factors);
        END IF;
        problem := CASE WHEN NOT found.finite THEN 'NaN or infinity in the factors'
                        WHEN NOT found.descending THEN 'singular values not in order'
                        WHEN smallest_ratio < 1e-6 THEN 'singular values near zero: a smaller rank loses nothing'
                        WHEN orthonormality > CASE WHEN factor_format IN ('F32', 'F16', 'BF16') THEN 0.02 ELSE 0.5 END
                        THEN 'vectors not orthonormal'
                        WHEN abs(measured_error - stored_error) > 0.01 * stored_error + 1e-4
                        THEN 'the error is not what was measured when the tensor was factored' END;
      END IF;
    EXCEPTION WHEN array_subscript_error THEN
      -- svd_check's, or svd_error's: factors that do not fit.
      problem := 'the factors do not fit each other';
    WHEN data_exception OR data_corrupted THEN
      problem := 'damaged: ' || SQLERRM;
    END;
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.verify_svd(integer) IS
  'looks at the factors of a model''s live revision, a row a tensor: sizes, finite numbers, singular values near zero, orthonormality, and the error against the newest kept revision from before (measured now; NULL when none is kept); problem is NULL where there is none';
CREATE FUNCTION hartonomous.verify_svd(model text)
  RETURNS TABLE (layer_name text, rows integer, cols integer, rank integer, factor_format text,
                 explained_variance double precision, stored_error double precision, measured_error double precision,
                 smallest_ratio double precision, orthonormality double precision, problem text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.verify_svd(hartonomous.model_id(model));
END
$$;
COMMENT ON FUNCTION hartonomous.verify_svd(text) IS 'the same for a model by its name';
