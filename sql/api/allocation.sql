-- Allocation of bits: a plan that gives each tensor the format it deserves, and carrying such plans out.

CREATE FUNCTION hartonomous.bit_allocation(model hartonomous.regmodel, target_bytes bigint, calibration_set text,
    method text DEFAULT NULL, formats text[] DEFAULT NULL, quantize_method text DEFAULT NULL)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  named text[] := hartonomous_internal.formats_named(formats);
  options record;
  found record;
BEGIN
  method := hartonomous_internal.sensitivity_method(model, calibration_set, method);
  options := hartonomous_internal.allocation_options(model, calibration_set, method, named);
  PERFORM hartonomous_internal.check_allocation(model, target_bytes, calibration_set, method, options.least_bytes,
                                                options.present_bytes, options.unmeasured);
  found := hartonomous_internal.allocate_bits(options.tensors, options.bytes, options.costs,
                                              target_bytes - options.fixed_bytes);
  RETURN QUERY
    SELECT * FROM hartonomous_internal.allocation_plan(model, calibration_set,
      coalesce(quantize_method, method),
      ARRAY(SELECT options.layers[c] FROM unnest(found.chosen) WITH ORDINALITY u (c, n) ORDER BY n),
      ARRAY(SELECT options.formats[c] FROM unnest(found.chosen) WITH ORDINALITY u (c, n) ORDER BY n),
      ARRAY(SELECT options.costs[c] FROM unnest(found.chosen) WITH ORDINALITY u (c, n) ORDER BY n));
END
$$;
COMMENT ON FUNCTION hartonomous.bit_allocation(hartonomous.regmodel, bigint, text, text, text[], text) IS
  'a plan for quantize_model() that gives each matrix one of the formats (by default all that can be written but IQ1, '
  'IQ2 and IQ3) or '
  'leaves it as it is, so that the tensors of a GGUF file, each rounded up to 32 bytes, have at most target_bytes '
  'together and the sum of the KL divergences predicted by sensitivity() is as small as possible; details have that of '
  'each tensor (predicted_kl_divergence); method is that of sensitivity(), with the same default; quantize_method (by '
  'default the same) is the method of quantize_model() by which the plan quantizes; 22023 if target_bytes is below '
  'what the smallest formats take '
  'or not below '
  'what the model has now, 55000 if measure_sensitivity() has not measured all of that; other errors as sensitivity()';

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.quantize_model(model hartonomous.regmodel, plan hartonomous.tensor_plan[],
    nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.require_operation(plan, 'quantize');
  CALL hartonomous_internal.run_stage(model, 'run_plan', hartonomous_internal.plan_parameters('quantize', plan), nowait,
    'rewrite', false, plan);
END
$$;
COMMENT ON PROCEDURE hartonomous.quantize_model(hartonomous.regmodel, hartonomous.tensor_plan[], boolean) IS
  'carries out a plan that only quantizes, such as one of bit_allocation(), as run_plan() would; the KL divergence '
  'that the plan predicts is stored with the revision (metrics); 22023 if the plan has another operation; other errors '
  'as run_plan()';
