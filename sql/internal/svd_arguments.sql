-- The arguments of svd_compress_model() and svd_plan(): checks, and the calibration that they name.

CREATE FUNCTION hartonomous_internal.check_svd_arguments(rank integer, energy double precision,
    target_ratio double precision, layer_pattern text, factor_format text, min_gain double precision,
    residual_ratio double precision, auction boolean, target_bytes bigint, whiten boolean) RETURNS boolean
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  shared boolean := coalesce(auction, target_bytes IS NOT NULL);
BEGIN
  IF num_nonnulls(rank, energy, target_ratio, target_bytes) <> 1 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      'exactly one of rank, energy, target_ratio and target_bytes must be given',
      hint => 'For example energy => 0.9, the share of a tensor''s sum of squares that its factors keep.');
  ELSIF rank <= 0 THEN
    PERFORM hartonomous_internal.raise_error('22023', 'rank must be positive',
      hint => 'Leave out rank to have it follow from energy, target_ratio or target_bytes.');
  ELSIF NOT (energy > 0 AND energy <= 1) THEN
    PERFORM hartonomous_internal.raise_error('22023', 'energy must be above 0 and at most 1');
  ELSIF NOT (target_ratio > 0 AND target_ratio < 1) THEN
    PERFORM hartonomous_internal.raise_error('22023', 'target_ratio must be between 0 and 1',
      detail => 'It is the share of a tensor''s bytes that its factors may take.');
  ELSIF (min_gain >= 0 AND min_gain < 1) IS NOT TRUE OR (residual_ratio >= 0 AND residual_ratio < 1) IS NOT TRUE THEN
    PERFORM hartonomous_internal.raise_error('22023', 'min_gain and residual_ratio must be at least 0 and below 1');
  ELSIF layer_pattern IS NULL OR factor_format IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'layer_pattern and factor_format cannot be NULL',
      hint => 'Leave them out for their defaults: "%", which matches all tensors, and F16.');
  ELSIF shared AND num_nonnulls(rank, energy) > 0 THEN
    PERFORM hartonomous_internal.raise_error('22023', 'an auction needs target_ratio or target_bytes',
      hint => 'They are what all matrices share; with rank or energy there is nothing to share.');
  ELSIF NOT shared AND target_bytes IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', 'target_bytes is shared by auction',
      hint => 'Leave out auction => false, or give target_ratio for each tensor.');
  ELSIF shared AND NOT whiten THEN
    PERFORM hartonomous_internal.raise_error('22023', 'an auction compares errors of outputs, which need whitening',
      hint => 'Leave out whiten => false.');
  END IF;
  RETURN shared;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_svd_arguments(integer, double precision, double precision, text, text,
  double precision, double precision, boolean, bigint, boolean) IS
  'whether ranks are found by auction; 22023 if arguments of svd_compress_model() are out of range or contradict each '
  'other, 22004 if a required one is NULL';

-- With a calibration set whitening is the default.
CREATE FUNCTION hartonomous_internal.svd_calibration(model integer, whiten boolean, calibration_set text,
    calibration_revision integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  calibrates boolean := num_nonnulls(calibration_set, calibration_revision) > 0;
BEGIN
  IF NOT coalesce(whiten, calibrates) THEN
    IF calibrates THEN
      PERFORM hartonomous_internal.raise_error('22023', 'without whitening no calibration set is used',
        hint => 'Leave out whiten => false, or the calibration set.');
    END IF;
    RETURN '{}';
  END IF;
  RETURN hartonomous_internal.quantize_calibration(model, 'hessian', calibration_set, calibration_revision, NULL)
         - '{method,curvature}'::text[];
END
$$;
COMMENT ON FUNCTION hartonomous_internal.svd_calibration(integer, boolean, text, integer) IS
  'the calibration set by which matrices are whitened and the revision that it is about, as arguments of the operation '
  '"factor": {} if they are not; 22023 if the arguments contradict each other, or if a set has to be chosen, 55000 '
  'without Gram matrices of the revision';
