-- Measuring the singular values of whitened matrices, which the rank auction compares (internal/svd_auction.sql).

CREATE FUNCTION hartonomous_internal.whitened_values(matrix hartonomous.weights, model integer, revision integer,
    calibration_set text, tensor text) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.whitened_values(hartonomous.weights, integer, integer, text, text) IS
  'all singular values of a matrix whitened by the Gram matrix of a tensor''s inputs, descending, in F32, '
  'divided by the '
  'root of their sum of squares; errors as whitened_factors()';

-- Matrices that cannot be factored at all need not be measured; whether factors pay is for the plan to say.
CREATE FUNCTION hartonomous_internal.unmeasured_spectra(model integer, calibration jsonb)
  RETURNS bigint[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
BEGIN
  RETURN ARRAY(
    SELECT p.layer_id
      FROM hartonomous.svd_plan(model, rank => 1, layer_pattern => calibration ->> 'layer_pattern',
             factor_format => 'Q4_0', calibration_set => calibration ->> 'calibration_set',
             calibration_revision => (calibration ->> 'calibration_revision')::integer) WITH ORDINALITY p
     WHERE p.operation = 'factor' AND NOT EXISTS (
       SELECT FROM hartonomous.svd_spectra s
        WHERE s.model_id = model AND s.revision_id = hartonomous_internal.current_revision(model)
          AND s.calibration_set = calibration ->> 'calibration_set'
          AND s.calibration_revision = (calibration ->> 'calibration_revision')::integer AND s.layer_id = p.layer_id)
     ORDER BY p.ordinality);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.unmeasured_spectra(integer, jsonb) IS
  'the matrices of a pattern that could become factors, but whose singular values are not stored for the live revision '
  'and the given calibration';

CREATE FUNCTION hartonomous_internal.measure_spectrum(model integer, layer bigint, calibration jsonb) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  calibration_set text := calibration ->> 'calibration_set';
  calibrated integer := calibration ->> 'calibration_revision';
  tensor text := (SELECT l.layer_name FROM hartonomous.model_layers l WHERE l.layer_id = layer);
  found hartonomous.weights;
BEGIN
  BEGIN
    found := hartonomous_internal.whitened_values(hartonomous.tensor_weights(model, tensor), model, calibrated,
                                                  calibration_set, tensor);
  EXCEPTION WHEN numeric_value_out_of_range THEN
    found := NULL;  -- NaN or infinity among the weights
  END;
  INSERT INTO hartonomous.svd_spectra
      (model_id, revision_id, calibration_set, calibration_revision, layer_id, singular_values)
    VALUES (model, hartonomous_internal.current_revision(model), calibration_set, calibrated, layer, found)
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.measure_spectrum(integer, bigint, jsonb) IS
  'measures and stores the singular values of a matrix of the live revision, whitened by a calibration';

CREATE FUNCTION hartonomous_internal.report_spectra(model integer, total integer, done integer, started timestamptz,
    told timestamptz) RETURNS timestamptz
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  seconds double precision := extract(epoch FROM clock_timestamp() - started);
BEGIN
  IF done = total THEN
    RAISE NOTICE 'measured the singular values of % tensors of model "%", % s', done, model::hartonomous.regmodel,
      round(seconds::numeric, 1);
  ELSIF clock_timestamp() - told > interval '10 seconds' THEN
    RAISE NOTICE 'measured the singular values of % of % tensors, % s left', done, total,
      round((seconds / done * (total - done))::numeric);
    RETURN clock_timestamp();
  END IF;
  RETURN told;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_spectra(integer, integer, integer, timestamptz, timestamptz) IS
  'reports by NOTICE that all singular values are measured, or how far it is if the last report is ten seconds old; '
  'returns the time of the last report';

-- Cancel, crash and concurrent calls: see measure_singular_values().
CREATE PROCEDURE hartonomous_internal.measure_spectra(model integer, calibration pg_catalog.jsonb, nowait boolean)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits boolean := hartonomous_internal.can_commit();
  started pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  told pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  done integer := 0;
  layers bigint[];
  layer bigint;
BEGIN
  PERFORM hartonomous_internal.lock_model(model, nowait, commits);
  layers := hartonomous_internal.unmeasured_spectra(model, calibration);
  FOREACH layer IN ARRAY layers LOOP
    done := done OPERATOR(pg_catalog.+) 1;
    PERFORM hartonomous_internal.measure_spectrum(model, layer, calibration);
    told := hartonomous_internal.report_spectra(model, pg_catalog.cardinality(layers), done, started, told);
    IF commits THEN
      COMMIT;
    END IF;
  END LOOP;
  IF commits THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.measure_spectra(integer, jsonb, boolean) IS
  'measures the singular values that an auction needs and that are not stored yet; calibration has the set, '
  'the revision '
  'and the pattern of tensors';
