-- Factoring a model: rewrites matrices as factors by singular value decomposition (api/svd.sql).

CREATE FUNCTION hartonomous.verify_svd(model hartonomous.regmodel)
  RETURNS TABLE (layer_name text, rows integer, cols integer, rank integer, factor_format text,
                 explained_variance double precision, stored_error double precision, measured_error double precision,
                 output_error double precision, smallest_ratio double precision, orthonormality double precision,
                 problem text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  kept hartonomous.svd_compressed_layers;
  tensor hartonomous.model_layers;
  factors hartonomous.svd_factors;
  found record;
  before integer;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  -- Compares names and sizes before reading any factors, so that damaged factors do not prevent checking the others.
  FOR kept IN
    SELECT f.* FROM hartonomous.svd_compressed_layers f
     WHERE f.model_id = model AND f.revision_id = hartonomous_internal.live_base(model) ORDER BY f.layer_id
  LOOP
    SELECT * INTO tensor FROM hartonomous.model_layers l WHERE l.layer_id = kept.layer_id AND l.model_id = model;
    layer_name := kept.layer_name;
    rows := kept.original_rows;
    cols := kept.original_cols;
    rank := kept.rank;
    explained_variance := kept.explained_variance;
    stored_error := kept.relative_error;
    output_error := kept.output_error;
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
        before := hartonomous_internal.unfactored_revision(model, kept.layer_id);
        IF found.finite AND before IS NOT NULL THEN
          measured_error := hartonomous.svd_error(hartonomous.tensor_weights(model, (
            -- One, although a view in the place of the table may have several.
            SELECT min(l.layer_name) FROM hartonomous_internal.layers_of_revision(before) l
             WHERE l.layer_id = kept.layer_id), before), factors);
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
      -- Errors of svd_check() or svd_error(): the factors do not fit the tensor.
      problem := 'the factors do not fit each other';
    WHEN data_exception OR data_corrupted THEN
      problem := 'damaged: ' || SQLERRM;
    END;
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.verify_svd(hartonomous.regmodel) IS
  'checks the factors of a model''s live revision, one row per tensor: sizes, finite numbers, singular values near '
  'zero, orthonormality, and the current error against the newest available revision in which the tensor is not '
  'factored (NULL if there is none); output_error was measured when the tensor was factored; problem is NULL if '
  'there is none';

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.svd_compress_model(model hartonomous.regmodel, rank integer DEFAULT NULL,
    energy double precision DEFAULT NULL, target_ratio double precision DEFAULT NULL, layer_pattern text DEFAULT '%',
    factor_format text DEFAULT 'F16', min_gain double precision DEFAULT 0, residual boolean DEFAULT false,
    residual_ratio double precision DEFAULT 0.05, whiten boolean DEFAULT NULL, calibration_set text DEFAULT NULL,
    calibration_revision integer DEFAULT NULL, auction boolean DEFAULT NULL, target_bytes bigint DEFAULT NULL,
    nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  parameters pg_catalog.jsonb := hartonomous_internal.svd_parameters(model, rank, energy, target_ratio, layer_pattern,
    factor_format, min_gain, residual, residual_ratio, whiten, calibration_set, calibration_revision, auction,
    target_bytes);
BEGIN
  IF parameters OPERATOR(pg_catalog.?) 'auction' THEN
    CALL hartonomous_internal.measure_spectra(model, parameters, nowait);
  END IF;
  CALL hartonomous_internal.run_stage(model, 'svd_compress_model', parameters, nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.svd_compress_model(hartonomous.regmodel, integer, double precision, double precision,
  text, text, double precision, boolean, double precision, boolean, text, integer, boolean, bigint, boolean) IS
  'replaces matrices by factors U, s, VT: of a given rank, of the lowest rank that explains a share energy, or of the '
  'rank whose factors take a share target_ratio of the bytes; tensors that would not become smaller, by min_gain, stay '
  'as they are; with residual, the share residual_ratio of the atoms, those of the residual with the highest energy, '
  'is kept besides the factors; with whiten, which is the default if there is a calibration_set, factors lose least of '
  'the outputs on that set (of the live revision, unless calibration_revision is given) instead of the weights, and '
  'energy is a share of the outputs; with auction all matrices share the bytes of target_ratio, and with '
  'target_bytes the '
  'model has at most that many: singular values are measured, and ranks chosen by which the model loses least; '
  'rollback_model() undoes it; 22023 unless exactly one of the four is given, 55000 without Gram matrices';

-- After a cancel or crash what was committed remains, and the same call continues after it; inside a transaction block
-- nothing is committed. A second caller waits for the model's lock or, with nowait, fails with 55P03.
CREATE PROCEDURE hartonomous.measure_singular_values(model hartonomous.regmodel, calibration_set text DEFAULT NULL,
    calibration_revision integer DEFAULT NULL, layer_pattern text DEFAULT '%', nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.measure_spectra(model,
    hartonomous_internal.svd_calibration(model, true, calibration_set, calibration_revision)
      OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('layer_pattern', layer_pattern),
    nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.measure_singular_values(hartonomous.regmodel, text, integer, text, boolean) IS
  'measures, and stores in svd_spectra, the singular values of the matrices of the live revision, whitened by the Gram '
  'matrices of a calibration set: what an auction of svd_compress_model() compares; nothing is measured twice; commits '
  'each tensor outside a transaction block; 42704 if there is no such model, 22023 if no tensor matches the '
  'pattern, 55000 '
  'without Gram matrices, or if they are damaged';

CREATE FUNCTION hartonomous.svd_outcomes(run bigint)
  RETURNS TABLE (layer_name text, bytes_before bigint, bytes_after bigint, seconds double precision, outcome text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY SELECT l.layer_name, s.bytes_before, s.bytes_after, s.seconds, s.outcome
                 FROM hartonomous.compression_steps s JOIN hartonomous.model_layers l ON l.layer_id = s.layer_id
                WHERE s.run_id = svd_outcomes.run AND s.outcome IS NOT NULL ORDER BY l.position;
END
$$;
COMMENT ON FUNCTION hartonomous.svd_outcomes(bigint) IS
  'what a run of svd_compress_model did with each tensor that matches the pattern: its factors, or the reason why it '
  'stayed as it is; for a run of any other stage, why tensors stayed as they are';
