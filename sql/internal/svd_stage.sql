-- The planner, the reporter and the parameters of svd_compress_model() (internal/stages.sql).

CREATE FUNCTION hartonomous_internal.plan_factoring(model integer, parameters jsonb)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  plan hartonomous.tensor_plan[];
  clamped bigint;
BEGIN
  plan := ARRAY(SELECT p
    FROM hartonomous.svd_plan(model, (parameters ->> 'rank')::integer, (parameters ->> 'energy')::float8,
      (parameters ->> 'target_ratio')::float8, parameters ->> 'layer_pattern', parameters ->> 'factor_format',
      (parameters ->> 'min_gain')::float8, (parameters ->> 'residual_ratio')::float8,
      calibration_set => parameters ->> 'calibration_set',
      calibration_revision => (parameters ->> 'calibration_revision')::integer,
      auction => (parameters ->> 'auction')::boolean, target_bytes => (parameters ->> 'target_bytes')::bigint) p);
  SELECT count(*) INTO clamped FROM unnest(plan) p
   WHERE (p.arguments ->> 'rank')::integer < (parameters ->> 'rank')::integer;
  IF clamped > 0 THEN
    RAISE NOTICE 'rank % exceeds that of % tensors: they keep their full rank', parameters ->> 'rank', clamped;
  END IF;
  RETURN QUERY SELECT p.* FROM unnest(plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_factoring(integer, jsonb) IS 'svd_plan() for svd_compress_model()';

CREATE FUNCTION hartonomous_internal.report_factoring(model integer, parameters jsonb, plan hartonomous.tensor_plan[],
  result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  run bigint := result ->> 'run';
  predicted double precision := hartonomous_internal.record_prediction(plan, result);
BEGIN
  IF result IS NULL THEN
    RAISE NOTICE 'no tensor can be factored: nothing done%', hartonomous_internal.passed_over_carried_formats(plan)
      USING DETAIL = coalesce(
              (SELECT string_agg(k.said, '; ' ORDER BY k.n DESC, k.said)
                 FROM (SELECT count(*) AS n,
                   format('%s: %s', hartonomous_internal.counted(count(*), 'tensor'), p.reason) AS said
                         FROM unnest(plan) p GROUP BY p.reason ORDER BY count(*) DESC, p.reason LIMIT 5) k), ''),
            HINT = 'svd_plan() gives the reason for each.';
    RETURN;
  END IF;
  RAISE NOTICE 'factored % of % tensors (see svd_outcomes(%)), % -> %, revision %, % s%',
    (SELECT count(*) FROM hartonomous.compression_steps c WHERE c.run_id = run AND c.outcome LIKE 'rank %'),
    (SELECT count(p.operation) FROM unnest(plan) p), run,
    hartonomous.human_bytes((result ->> 'bytes_before')::bigint),
    hartonomous.human_bytes((result ->> 'bytes_after')::bigint),
    result ->> 'revision', result ->> 'seconds',
    coalesce(', predicted KL divergence ' || round(predicted::numeric, 6), '')
    || hartonomous_internal.passed_over_carried_formats(plan);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_factoring(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'reports what svd_compress_model() did, or why there was nothing to do';

CREATE FUNCTION hartonomous_internal.svd_parameters(model integer, rank integer, energy double precision,
    target_ratio double precision, layer_pattern text, factor_format text, min_gain double precision, residual boolean,
    residual_ratio double precision, whiten boolean, calibration_set text, calibration_revision integer,
    auction boolean, target_bytes bigint) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
BEGIN
  IF residual IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'residual cannot be NULL',
      hint => 'Leave it out for false; with true, atoms of the residual are kept besides the factors.');
  END IF;
  residual_ratio := CASE WHEN residual THEN residual_ratio ELSE 0 END;
  auction := hartonomous_internal.check_svd_arguments(rank, energy, target_ratio, layer_pattern, factor_format,
    min_gain,
    residual_ratio, auction, target_bytes, whiten);
  RETURN jsonb_strip_nulls(jsonb_build_object('rank', rank, 'energy', energy, 'target_ratio', target_ratio,
    'layer_pattern', layer_pattern, 'factor_format', upper(factor_format), 'min_gain', min_gain,
    'residual_ratio', residual_ratio, 'auction', nullif(auction, false), 'target_bytes', target_bytes))
    || hartonomous_internal.svd_calibration(model, coalesce(whiten, nullif(auction, false)), calibration_set,
                                            calibration_revision);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.svd_parameters(integer, integer, double precision, double precision, text,
  text, double precision, boolean, double precision, boolean, text, integer, boolean, bigint) IS
  'the arguments of svd_compress_model() as its revision records them; 22004 if residual is NULL, and the errors of '
  'check_svd_arguments() and svd_calibration()';
