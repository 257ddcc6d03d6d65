-- What bit_allocation() and quantize_model() with a plan are made of (api/allocation.sql).

CREATE FUNCTION hartonomous_internal.allocation_options(model integer, calibration_set text, method text,
    named_formats text[], OUT tensors integer[], OUT layers bigint[], OUT formats text[], OUT bytes bigint[],
    OUT costs double precision[], OUT fixed_bytes bigint, OUT least_bytes bigint, OUT present_bytes bigint,
    OUT unmeasured text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
BEGIN
  WITH tensors AS MATERIALIZED (
    SELECT * FROM hartonomous_internal.allocatable_tensors(model)),
  measured AS MATERIALIZED (
    SELECT * FROM hartonomous.sensitivity(model, calibration_set, method)),
  choices AS (
    SELECT t.ordinal, t.layer_id, t.layer_name, c.format, c.bytes, m.predicted_kl_divergence AS cost
      FROM hartonomous_internal.format_choices(model, named_formats) c JOIN tensors t USING (layer_id)
      LEFT JOIN measured m ON m.layer_name = t.layer_name AND m.format = c.format),
  options AS (
    SELECT c.ordinal, c.layer_id, c.format, c.bytes, c.cost FROM choices c WHERE c.cost < 'Infinity'
    UNION ALL
    SELECT t.ordinal, t.layer_id, t.present_format, t.bytes, 0 FROM tensors t WHERE t.kept IS NULL)
  SELECT array_agg(o.ordinal::integer ORDER BY o.ordinal, o.bytes, o.format),
         array_agg(o.layer_id ORDER BY o.ordinal, o.bytes, o.format),
         array_agg(o.format ORDER BY o.ordinal, o.bytes, o.format),
         array_agg(o.bytes ORDER BY o.ordinal, o.bytes, o.format),
         array_agg(o.cost ORDER BY o.ordinal, o.bytes, o.format),
         (SELECT coalesce(sum(t.bytes), 0)::bigint FROM tensors t WHERE t.kept IS NOT NULL),
         (SELECT sum(s.bytes)::bigint FROM (SELECT min(p.bytes) AS bytes FROM options p GROUP BY p.ordinal) s),
         (SELECT sum(t.bytes)::bigint FROM tensors t),
         (SELECT c.layer_name FROM choices c WHERE c.cost IS NULL ORDER BY c.ordinal LIMIT 1)
    INTO tensors, layers, formats, bytes, costs, fixed_bytes, least_bytes, present_bytes, unmeasured
    FROM options o;
  least_bytes := fixed_bytes + least_bytes;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.allocation_options(integer, text, text, text[]) IS
  'the formats that each tensor of a model may get, with bytes in a GGUF file and predicted KL divergence (parallel '
  'arrays); the bytes of the tensors that stay as they are (fixed_bytes), those of the smallest formats '
  'together with them '
  '(least_bytes) and those of all tensors now (present_bytes); a tensor with a format that was not measured, if '
  'there is one';

CREATE FUNCTION hartonomous_internal.check_allocation(model integer, target_bytes bigint, calibration_set text,
    method text, least_bytes bigint, present_bytes bigint, unmeasured text) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF target_bytes IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'target_bytes cannot be NULL',
      hint => format('The tensors take %s bytes now.', present_bytes));
  ELSIF least_bytes IS NULL THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('model "%s" has no matrix whose format could be chosen', model::hartonomous.regmodel),
      detail => 'Only matrices in F32, F16 or BF16 that are not factored get another format.',
      hint => 'rollback_model() returns to a revision before they were quantized.');
  ELSIF unmeasured IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('the sensitivity of tensor "%s" has not been measured', unmeasured),
      hint => format('CALL hartonomous.measure_sensitivity(%L, %L, %L);', model::hartonomous.regmodel,
                     calibration_set, method));
  ELSIF target_bytes < least_bytes THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('the tensors cannot be as small as %s bytes', target_bytes),
      detail => format('In their smallest formats they take %s bytes.', least_bytes));
  ELSIF target_bytes >= present_bytes THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('target_bytes is %s, but the tensors take no more than %s bytes now', target_bytes, present_bytes),
      hint => format('Choose a target between %s and %s bytes.', least_bytes, present_bytes - 1));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_allocation(integer, bigint, text, text, bigint, bigint, text) IS
  'the errors of bit_allocation()';

-- The plan is that of quantize_model() with an override for each tensor.
CREATE FUNCTION hartonomous_internal.allocation_plan(model integer, calibration_set text, method text,
    layers bigint[], formats text[], costs double precision[])
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  calibrates boolean := allocation_plan.method <> 'plain';
  calibrated integer := hartonomous_internal.calibrated_revision(model,
    hartonomous_internal.current_revision(model), calibration_set);
  overrides jsonb;
BEGIN
  SELECT coalesce(jsonb_agg(jsonb_build_object(
           'pattern', regexp_replace(l.layer_name, E'([\\\\%_])', E'\\\\\\1', 'g'), 'format', c.format) ORDER BY c.n),
    '[]')
         || '[{"format": null}]'
    INTO overrides
    FROM unnest(layers, formats) WITH ORDINALITY c (layer_id, format, n)
    JOIN hartonomous.model_layers l ON l.layer_id = c.layer_id;
  RETURN QUERY
    SELECT p.layer_id, p.layer_name, p.operation, p.arguments, p.atoms_before, p.atoms_after, p.bytes_before,
           p.bytes_after, CASE WHEN p.reason IS DISTINCT FROM 'kept by override' THEN p.reason END,
           p.details || CASE WHEN p.operation IS NULL THEN '{}'
                             ELSE jsonb_build_object('predicted_kl_divergence', c.cost) END
      FROM hartonomous.quantize_plan(model, overrides => overrides, method => allocation_plan.method,
             calibration_set => CASE WHEN calibrates THEN allocation_plan.calibration_set END,
             calibration_revision => CASE WHEN calibrates THEN calibrated END) WITH ORDINALITY
             AS p (layer_id, layer_name, operation, arguments, atoms_before, atoms_after, bytes_before, bytes_after,
                   reason, details, n)
      LEFT JOIN unnest(layers, costs) c (layer_id, cost) ON c.layer_id = p.layer_id
     ORDER BY p.n;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.allocation_plan(integer, text, text, bigint[], text[], double precision[]) IS
  'the plan that gives tensors the chosen formats, with the predicted KL divergence of each in its details; errors as '
  'quantize_plan()';

CREATE FUNCTION hartonomous_internal.require_operation(plan hartonomous.tensor_plan[], operation text) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  other text := (SELECT min(p.operation) FROM unnest(plan) p
                  WHERE p.operation NOT IN ('copy', require_operation.operation));
BEGIN
  IF other IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', format('the plan has operation "%s"', other),
      hint => 'run_plan() carries out plans with any operations.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_operation(hartonomous.tensor_plan[], text) IS
  '22023 if a plan has another operation than the given one and copying';
