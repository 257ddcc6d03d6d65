-- The rank auction of svd_compress_model(): one budget of bytes for all matrices, spent where it saves most.

-- The tables belong to a user, so that any number may be there.
CREATE FUNCTION hartonomous_internal.tensor_sensitivities(model integer, calibration_set text)
  RETURNS TABLE (layer_id bigint, sensitivity double precision)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT DISTINCT ON (p.layer_id) p.layer_id,
           greatest(p.kl_divergence, p.kl_divergence_error) / e.relative_error
      FROM hartonomous.sensitivity_probes p
      JOIN hartonomous.sensitivities e
        ON e.model_id = p.model_id AND e.calibration_set = p.calibration_set AND e.revision_id = p.revision_id
       AND e.layer_id = p.layer_id AND e.method = p.method AND e.format = p.format
     WHERE p.model_id = model AND p.calibration_set = tensor_sensitivities.calibration_set
       AND p.revision_id = hartonomous_internal.current_revision(model)
       AND e.relative_error BETWEEN 1e-30 AND 1e30
       AND greatest(p.kl_divergence, p.kl_divergence_error) BETWEEN 0 AND 1e9
     ORDER BY p.layer_id, p.method <> 'imatrix', p.method;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.tensor_sensitivities(integer, text) IS
  'of each matrix that measure_sensitivity() has probed: KL divergence per relative error of the outputs, '
  'squared; of a '
  'divergence within its standard error, the latter';

-- Embedding and output matrix are many times as sensitive as those of blocks: taken for equal, they would be cut first.
CREATE FUNCTION hartonomous_internal.auction_options(model integer, plan hartonomous.tensor_plan[],
    factor_format text, OUT tensors integer[], OUT ranks integer[], OUT bytes bigint[], OUT costs double precision[],
    OUT lost double precision[], OUT sensitive boolean)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  most_options constant integer := 240;  -- of a tensor; of more ranks than that some are passed over
BEGIN
  WITH choosable AS MATERIALIZED (
    SELECT p.n::integer AS n, p.layer_id, p.bytes_before, l.tensor_shape[1] AS rows, l.tensor_shape[2] AS cols,
           (p.arguments ->> 'most_rank')::integer AS most, hartonomous.dequantize(s.singular_values) AS values,
           p.bytes_after - hartonomous_internal.factor_bytes(factor_format, l.tensor_shape[1], l.tensor_shape[2], 1)
           AS beside, k.sensitivity, bool_and(k.sensitivity IS NOT NULL) OVER () AS measured,
           l.layer_type IN ('embedding', 'output') AS outside
      FROM unnest(plan) WITH ORDINALITY p (layer_id, layer_name, operation, arguments, atoms_before, atoms_after,
             bytes_before, bytes_after, reason, details, n)
      JOIN hartonomous.model_layers l ON l.layer_id = p.layer_id
      JOIN hartonomous.svd_spectra s
        ON s.model_id = model AND s.revision_id = hartonomous_internal.current_revision(model)
       AND s.calibration_set = p.arguments ->> 'calibration_set'
       AND s.calibration_revision = (p.arguments ->> 'calibration_revision')::integer AND s.layer_id = p.layer_id
      LEFT JOIN hartonomous_internal.tensor_sensitivities(model, p.arguments ->> 'calibration_set') k
        ON k.layer_id = p.layer_id
     WHERE p.operation = 'factor' AND s.singular_values IS NOT NULL),
  -- What is lost beyond a rank is the sum of the squares from the end.
  tails AS (
    SELECT c.n, v.rank, coalesce(sum(v.value::float8 ^ 2) OVER (
             PARTITION BY c.n ORDER BY v.rank DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS lost
      FROM choosable c CROSS JOIN LATERAL unnest(c.values) WITH ORDINALITY v (value, rank)),
  options AS (
    SELECT c.n, t.rank::integer AS rank,
           hartonomous_internal.factor_bytes(factor_format, c.rows, c.cols, t.rank) + c.beside AS bytes, t.lost
      FROM choosable c JOIN tails t ON t.n = c.n AND t.rank <= c.most
     WHERE (c.measured OR NOT c.outside)
       AND (c.most <= most_options OR t.rank = c.most
            OR t.rank * most_options / c.most <> (t.rank - 1) * most_options / c.most)
    UNION ALL
    SELECT c.n, NULL, c.bytes_before, 0 FROM choosable c)
  SELECT array_agg(o.n ORDER BY o.n, o.bytes, o.rank), array_agg(o.rank ORDER BY o.n, o.bytes, o.rank),
         array_agg(o.bytes ORDER BY o.n, o.bytes, o.rank),
         array_agg(o.lost * CASE WHEN c.measured THEN c.sensitivity ELSE 1 END ORDER BY o.n, o.bytes, o.rank),
         array_agg(o.lost ORDER BY o.n, o.bytes, o.rank), bool_and(c.measured)
    INTO tensors, ranks, bytes, costs, lost, sensitive
    FROM options o JOIN choosable c ON c.n = o.n;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.auction_options(integer, hartonomous.tensor_plan[], text) IS
  'the ranks that each tensor of a plan may get (parallel arrays; tensors are positions in the plan, NULL is a tensor '
  'that stays whole): bytes, cost, and the share of the outputs, squared, that is lost; a cost is that share times the '
  'sensitivity of the tensor, if that of all of them was measured (sensitive); if it was not, embedding and '
  'output stay '
  'whole';

CREATE FUNCTION hartonomous_internal.auction_budget(model integer, plan hartonomous.tensor_plan[],
    target_ratio double precision, target_bytes bigint, smallest_bytes bigint) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  choosable bigint := (SELECT sum(p.bytes_before) FROM unnest(plan) p WHERE p.operation = 'factor');
  present bigint;
  fixed bigint := 0;
  budget bigint := floor(target_ratio * choosable);
BEGIN
  IF target_bytes IS NOT NULL THEN
    -- Queries the parent table because readers have rights on that only.
    EXECUTE hartonomous_internal.on_atoms_of(model,
      'SELECT sum(hartonomous.weights_bytes(a.atom_data)) FROM hartonomous.tensor_atoms a WHERE a.model_id = $1')
      INTO present USING model;
    present := present + hartonomous_internal.form_bytes(model, hartonomous_internal.live_base(model));
    fixed := present - choosable;
    budget := target_bytes - fixed;
    IF target_bytes >= present THEN
      PERFORM hartonomous_internal.raise_error('22023',
        format('target_bytes is %s, but the tensors take no more than %s bytes now', target_bytes, present),
        hint => format('Choose a target between %s and %s bytes.', fixed + smallest_bytes, present - 1));
    END IF;
  END IF;
  IF budget < smallest_bytes THEN
    PERFORM hartonomous_internal.raise_error('22023',
      CASE WHEN target_bytes IS NULL THEN format('the matrices cannot be as small as %s bytes', budget)
           ELSE format('the tensors cannot be as small as %s bytes', target_bytes) END,
      detail => format('With factors of rank 1 they take %s bytes.', fixed + smallest_bytes));
  END IF;
  RETURN budget;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.auction_budget(integer, hartonomous.tensor_plan[], double precision, bigint,
  bigint) IS
  'the bytes that the matrices of a plan may have together: a share of what they have now, or what the other '
  'tensors of '
  'the model leave of target_bytes; 22023 if the smallest factors take more, or if nothing would have to '
  'become smaller';

CREATE FUNCTION hartonomous_internal.auction_plan(model integer, plan hartonomous.tensor_plan[], factor_format text,
    target_ratio double precision, target_bytes bigint)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  calibration jsonb := (SELECT p.arguments FROM unnest(plan) p WHERE p.operation = 'factor' LIMIT 1);
  unmeasured text := (
    SELECT p.layer_name FROM unnest(plan) p
     WHERE p.operation = 'factor' AND NOT EXISTS (
       SELECT FROM hartonomous.svd_spectra s
        WHERE s.model_id = model AND s.revision_id = hartonomous_internal.current_revision(model)
          AND s.calibration_set = calibration ->> 'calibration_set'
          AND s.calibration_revision = (calibration ->> 'calibration_revision')::integer
          AND s.layer_id = p.layer_id) LIMIT 1);
  o record;
  chosen integer[];
BEGIN
  IF unmeasured IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('the singular values of tensor "%s" have not been measured', unmeasured),
      hint => format(
        'CALL hartonomous.measure_singular_values(%L, %L, %s); measures them, svd_compress_model() does so '
                     'by itself.', model::hartonomous.regmodel, calibration ->> 'calibration_set',
                     calibration ->> 'calibration_revision'));
  END IF;
  o := hartonomous_internal.auction_options(model, plan, factor_format);
  IF o.tensors IS NOT NULL THEN
    chosen := (hartonomous_internal.allocate_bits(o.tensors, o.bytes, o.costs,
      hartonomous_internal.auction_budget(model, plan, target_ratio, target_bytes,
        (SELECT sum(m.bytes)::bigint FROM (SELECT min(u.bytes) AS bytes
           FROM unnest(o.tensors, o.bytes) u (n, bytes) GROUP BY u.n) m)))).chosen;
  END IF;
  RETURN QUERY
    SELECT p.layer_id, p.layer_name, CASE WHEN c.rank IS NOT NULL THEN 'factor' END,
           CASE WHEN c.rank IS NOT NULL THEN p.arguments || jsonb_build_object('rank', c.rank) END,
           p.atoms_before, CASE WHEN c.rank IS NOT NULL THEN p.atoms_after ELSE p.atoms_before END, p.bytes_before,
           CASE WHEN c.rank IS NOT NULL THEN c.bytes ELSE p.bytes_before END,
           CASE WHEN p.operation IS NULL THEN p.reason WHEN c.n IS NULL THEN 'NaN or infinity'
                WHEN c.rank IS NOT NULL THEN NULL
                WHEN NOT o.sensitive AND (SELECT l.layer_type IN ('embedding', 'output') FROM hartonomous.model_layers l
                                           WHERE l.layer_id = p.layer_id) THEN 'sensitivity not measured'
                ELSE 'bytes are saved at less cost elsewhere' END,
           CASE WHEN c.n IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object(
             'predicted_output_error', sqrt(c.lost), 'sensitivity_measured', o.sensitive,
             'predicted_kl_divergence', CASE WHEN o.sensitive THEN c.cost END)) END
      FROM unnest(plan) WITH ORDINALITY p (layer_id, layer_name, operation, arguments, atoms_before, atoms_after,
             bytes_before, bytes_after, reason, details, n)
      LEFT JOIN (SELECT o.tensors[u.i] AS n, o.ranks[u.i] AS rank, o.bytes[u.i] AS bytes, o.costs[u.i] AS cost,
                        o.lost[u.i] AS lost FROM unnest(chosen) u (i)) c ON c.n = p.n
     ORDER BY p.n;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.auction_plan(integer, hartonomous.tensor_plan[], text, double precision,
  bigint) IS
  'a plan of factors of rank 1 with the ranks, or without factors, by which its matrices lose least within the budget; '
  'details have what each loses of its outputs (predicted_output_error) and, if sensitivities are measured, the KL '
  'divergence that follows (predicted_kl_divergence); 55000 if singular values are not measured; errors as '
  'auction_budget()';
