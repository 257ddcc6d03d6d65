-- The plan of factoring a model (see api/plans.sql for those of other stages).

CREATE FUNCTION hartonomous.svd_plan(model hartonomous.regmodel, rank integer DEFAULT NULL,
    energy double precision DEFAULT NULL, target_ratio double precision DEFAULT NULL, layer_pattern text DEFAULT '%',
    factor_format text DEFAULT 'F16', min_gain double precision DEFAULT 0, residual_ratio double precision DEFAULT 0,
    whiten boolean DEFAULT NULL, calibration_set text DEFAULT NULL, calibration_revision integer DEFAULT NULL,
    auction boolean DEFAULT NULL, target_bytes bigint DEFAULT NULL)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  container text;
  calibration jsonb;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  auction := hartonomous_internal.check_svd_arguments(svd_plan.rank, energy, target_ratio, layer_pattern, factor_format,
    min_gain, residual_ratio, auction, target_bytes, whiten);
  PERFORM hartonomous_internal.fitting_format(factor_format, 256);
  PERFORM hartonomous_internal.require_matching_tensors(model, layer_pattern);
  calibration := hartonomous_internal.svd_calibration(model, coalesce(whiten, nullif(auction, false)), calibration_set,
                                                      calibration_revision);
  IF auction THEN
    RETURN QUERY SELECT * FROM hartonomous_internal.auction_plan(model, ARRAY(
      SELECT p FROM hartonomous.svd_plan(model, 1, NULL, NULL, layer_pattern, factor_format, min_gain, residual_ratio,
        true, calibration ->> 'calibration_set', (calibration ->> 'calibration_revision')::integer) p),
      factor_format, target_ratio, target_bytes);
    RETURN;
  END IF;
  SELECT m.metadata ->> 'format' INTO container FROM hartonomous.models m WHERE m.model_id = model;
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    WITH present AS (
      SELECT a.layer_id, count(*) AS atoms, sum(hartonomous.weights_bytes(a.atom_data))::bigint AS bytes,
             array_agg(DISTINCT hartonomous.weights_format(a.atom_data)) AS formats
        FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY a.layer_id),
    matrices AS (
      SELECT l.layer_id, l.layer_name, l.position, l.tensor_shape[1] AS rows, l.tensor_shape[2] AS cols, p.atoms,
      p.bytes,
      f.bytes AS beside,
      CASE WHEN cardinality(l.tensor_shape) <> 2
      OR least(l.tensor_shape[1], l.tensor_shape[2]) < 2 THEN 'no matrix'
                  WHEN NOT hartonomous_internal.is_quantizable_name(l.layer_name, $2) THEN 'kept by name'
                  WHEN f.layer_id IS NOT NULL THEN 'factored already'
                  WHEN p.bytes IS NULL THEN 'empty'
                  WHEN NOT p.formats <@ ARRAY(SELECT k.format FROM hartonomous.formats() k
                    WHERE k.readable) THEN 'carried format'
                  WHEN l.tensor_shape[1] * l.tensor_shape[2] > 268435440
                  THEN format('%s x %s weights, more than one value holds (268435440)', l.tensor_shape[1],
                    l.tensor_shape[2])
                  WHEN $10 <> '{}' AND c.gram_layer_id IS NULL
                  THEN format('no Gram matrix of its input in calibration set "%s"', $10 ->> 'calibration_set')
                  END AS kept
        FROM hartonomous.model_layers l
        LEFT JOIN present p USING (layer_id)
        LEFT JOIN (SELECT s.layer_id, sum(s.bytes)::bigint AS bytes
                     FROM hartonomous_internal.stored_forms($1, hartonomous_internal.live_base($1)) s
                     GROUP BY s.layer_id) f USING (layer_id)
        LEFT JOIN hartonomous.calibration_stats c
          ON c.model_id = $1 AND c.calibration_set = $10 ->> 'calibration_set'
         AND c.revision_id = ($10 ->> 'calibration_revision')::integer AND c.layer_id = l.layer_id
       WHERE l.model_id = $1 AND l.layer_name LIKE $3),
    budgets AS (
      -- The factors must be smaller than the tensor is now and save at least min_gain; the estimated size of the
      -- residual's atoms is subtracted from their budget.
      SELECT m.*, ceil(m.bytes * (1 - $7) - m.bytes * $8)::bigint - 1 AS most_bytes,
             floor(m.bytes * $6 - m.bytes * $8)::bigint AS target_bytes
        FROM matrices m),
    ranked AS (
      SELECT b.*, CASE WHEN b.kept IS NULL THEN hartonomous_internal.rank_within($4, b.rows, b.cols,
                                                                   least(b.most_bytes,
                                                                     hartonomous_internal.most_factor_bytes()))
                  END AS most,
             CASE WHEN b.kept IS NOT NULL OR $6 IS NULL AND $5 IS NULL THEN NULL
                  WHEN $5 IS NOT NULL THEN least($5, b.rows, b.cols)::integer
                  ELSE hartonomous_internal.rank_within($4, b.rows, b.cols,
                    least(b.target_bytes, b.most_bytes, hartonomous_internal.most_factor_bytes())) END AS wanted
        FROM budgets b),
    weighed AS (
      SELECT r.*, hartonomous_internal.factor_bytes($4, r.rows, r.cols, coalesce(r.wanted, 1)) AS would_take
        FROM ranked r),
    judged AS (
      SELECT r.*, coalesce(r.kept,
               CASE WHEN (r.most = 0 OR r.wanted > r.most) AND r.would_take <= r.most_bytes THEN
                 format('factors of rank %s would take %s, more than the %s that one row holds', coalesce(r.wanted, 1),
                        hartonomous.human_bytes(r.would_take),
                        hartonomous.human_bytes(hartonomous_internal.most_factor_bytes()))
                    WHEN r.most = 0 OR r.wanted > r.most THEN
                 format('factors of rank %s would take %s, not less than %s', coalesce(r.wanted, 1),
                        hartonomous.human_bytes(r.would_take), hartonomous.human_bytes(r.bytes))
                    WHEN r.wanted = 0 THEN 'not even rank 1 is as small as that' END) AS why
        FROM weighed r)
    SELECT j.layer_id, j.layer_name, CASE WHEN j.why IS NULL THEN 'factor' END,
           CASE WHEN j.why IS NULL THEN jsonb_strip_nulls(
             jsonb_build_object('rank', j.wanted, 'energy', $9, 'most_rank', j.most,
               'format', upper($4), 'residual_ratio', $8, 'dense_format', e.storage_format)) || $10 END,
           coalesce(j.atoms, 0), CASE WHEN j.why IS NULL THEN floor(j.atoms * $8)::bigint ELSE coalesce(j.atoms, 0) END,
           coalesce(j.bytes, 0) + coalesce(j.beside, 0),
           CASE WHEN j.why IS NULL THEN hartonomous_internal.factor_bytes($4, j.rows, j.cols, j.wanted)
                                        + (floor(j.atoms * $8) * j.bytes / j.atoms)::bigint
                ELSE coalesce(j.bytes, 0) + coalesce(j.beside, 0) END, j.why, NULL::jsonb
      FROM judged j LEFT JOIN hartonomous.export_plan($1) e ON e.layer_id = j.layer_id ORDER BY j.position
    $sql$) USING model, container, layer_pattern, factor_format, svd_plan.rank, target_ratio, min_gain, residual_ratio,
    energy, calibration;
END
$$;
COMMENT ON FUNCTION hartonomous.svd_plan(hartonomous.regmodel, integer, double precision, double precision, text, text,
  double precision, double precision, boolean, text, integer, boolean, bigint) IS
  'what svd_compress_model would do, one row per tensor that matches the pattern (see tensor_plan): the rank of its '
  'factors, or the energy by which it will be found, at most most_rank, and their bytes (NULL if the rank is not known '
  'in advance), or the reason why the tensor stays as it is; with whiten or a calibration set only matrices '
  'that have a '
  'Gram matrix are factored; with auction or target_bytes the ranks are those by which the model loses least, '
  'and details '
  'have what each matrix loses of its outputs (predicted_output_error) and, if sensitivities are measured, the KL '
  'divergence that follows (predicted_kl_divergence); 22023 unless exactly one of rank, energy, target_ratio and '
  'target_bytes is given, or if the matrices cannot be so small, 55000 without Gram matrices, or if an auction needs '
  'singular values that measure_singular_values() has not measured';
