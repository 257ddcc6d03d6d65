-- What a change of a model can be expected to save and to lose, before it is tried.

CREATE FUNCTION hartonomous_internal.expected_of_change(model integer, change jsonb, calibration_set text,
    OUT bytes_saved bigint, OUT tensors bigint, OUT expected_loss double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  prepared record;
  plan hartonomous.tensor_plan[];
BEGIN
  prepared := hartonomous_internal.prepare_change(model, change);
  plan := hartonomous_internal.plan_stage(model, prepared.procedure, prepared.parameters);
  SELECT sum(p.bytes_before - p.bytes_after) FILTER (WHERE p.operation <> 'copy'),
         count(*) FILTER (WHERE p.operation <> 'copy')
    INTO bytes_saved, tensors FROM unnest(plan) p;
  -- Only if every tensor was measured in the format that it would get.
  IF calibration_set IS NOT NULL AND change ->> 'stage' = 'quantize' AND tensors > 0 THEN
    SELECT CASE WHEN count(*) = count(s.predicted_kl_divergence) THEN sum(s.predicted_kl_divergence) END
      INTO expected_loss
      FROM unnest(plan) p
      LEFT JOIN hartonomous_internal.best_sensitivity(model, calibration_set) s
        ON s.layer_name = p.layer_name AND s.format = p.arguments ->> 'format'
     WHERE p.operation = 'quantize';
  END IF;
-- A change that cannot be carried out is none to propose.
EXCEPTION WHEN invalid_parameter_value OR object_not_in_prerequisite_state OR feature_not_supported
  OR undefined_object THEN
  bytes_saved := NULL;
  tensors := 0;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.expected_of_change(integer, jsonb, text) IS
  'what a change of a model would save and, if the sensitivity of its tensors was measured, the KL divergence that it '
  'would cost; no tensors if it cannot be carried out';

CREATE FUNCTION hartonomous_internal.best_sensitivity(model integer, calibration_set text)
  RETURNS TABLE (layer_name text, format text, predicted_kl_divergence double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 3000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  method text := (SELECT s.method FROM hartonomous.sensitivities s
                   WHERE s.model_id = model AND s.calibration_set = best_sensitivity.calibration_set
                     AND s.revision_id = hartonomous_internal.current_revision(model)
                   ORDER BY s.method <> 'hessian', s.method <> 'imatrix' LIMIT 1);
BEGIN
  IF method IS NOT NULL THEN
    RETURN QUERY SELECT s.layer_name, s.format, s.predicted_kl_divergence
                   FROM hartonomous.sensitivity(model, calibration_set, method) s;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.best_sensitivity(integer, text) IS
  'sensitivity() by the best method by which the live revision was measured; no rows if it was not';

-- Otherwise none of the K formats would fit ffn_down any more.
CREATE FUNCTION hartonomous_internal.whole_blocks(model integer, change jsonb) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  most constant integer := (SELECT max(f.block_weights) FROM hartonomous.formats() f);
  unfit boolean;
BEGIN
  IF change ->> 'stage' = 'remove_neurons' THEN
    SELECT bool_or(t.length % most <> 0) INTO unfit
      FROM hartonomous_internal.structure_tensors(model, 'neurons') t
     WHERE t.side = 'columns' AND cardinality(t.tensor_shape) > 1;
    IF NOT unfit THEN
      RETURN change || jsonb_build_object('multiple', most);
    END IF;
  END IF;
  RETURN change;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.whole_blocks(integer, jsonb) IS
  'a change that, if it removes neurons from rows that fit every format, leaves such rows';
