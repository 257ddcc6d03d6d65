-- Factoring a model: its matrices rewritten as factors, by singular value decomposition (28-svd.sql).

CREATE FUNCTION hartonomous.svd_plan(model integer, rank integer DEFAULT NULL, energy double precision DEFAULT NULL,
    target_ratio double precision DEFAULT NULL, layer_pattern text DEFAULT '%', factor_format text DEFAULT 'F16',
    min_gain double precision DEFAULT 0, residual_ratio double precision DEFAULT 0)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off SET extra_float_digits = 1
AS $$
DECLARE
  container text;
BEGIN
  PERFORM hartonomous.current_revision(model);
  IF num_nonnulls(svd_plan.rank, energy, target_ratio) <> 1 THEN
    RAISE EXCEPTION 'give one of rank, energy and target_ratio' USING ERRCODE = '22023';
  ELSIF svd_plan.rank <= 0 THEN
    RAISE EXCEPTION 'rank must be positive' USING ERRCODE = '22023';
  ELSIF NOT (energy > 0 AND energy <= 1) THEN
    RAISE EXCEPTION 'energy must be above 0 and at most 1' USING ERRCODE = '22023';
  ELSIF NOT (target_ratio > 0 AND target_ratio < 1) THEN
    RAISE EXCEPTION 'target_ratio must be between 0 and 1' USING ERRCODE = '22023',
      DETAIL = 'It is the share of a tensor''s bytes that its factors may take.';
  ELSIF (min_gain >= 0 AND min_gain < 1) IS NOT TRUE OR (residual_ratio >= 0 AND residual_ratio < 1) IS NOT TRUE THEN
    RAISE EXCEPTION 'min_gain and residual_ratio must be at least 0 and below 1' USING ERRCODE = '22023';
  ELSIF layer_pattern IS NULL OR factor_format IS NULL THEN
    RAISE EXCEPTION 'layer_pattern and factor_format cannot be NULL' USING ERRCODE = '22004';
  END IF;
  PERFORM hartonomous.fitting_format(factor_format, 256);
  PERFORM hartonomous.require_matching_tensors(model, layer_pattern);
  SELECT m.metadata ->> 'format' INTO container FROM hartonomous.models m WHERE m.model_id = model;
  RETURN QUERY EXECUTE $sql$
    WITH present AS (
      SELECT a.layer_id, count(*) AS atoms, sum(hartonomous.weights_bytes(a.atom_data))::bigint AS bytes,
             array_agg(DISTINCT hartonomous.weights_format(a.atom_data)) AS formats
        FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY a.layer_id),
    matrices AS (
      SELECT l.layer_id, l.layer_name, l.position, l.tensor_shape[1] AS rows, l.tensor_shape[2] AS cols, p.atoms, p.bytes,
             f.bytes AS beside,
             CASE WHEN cardinality(l.tensor_shape) <> 2 OR least(l.tensor_shape[1], l.tensor_shape[2]) < 2 THEN 'no matrix'
                  WHEN NOT hartonomous.is_quantizable_name(l.layer_name, $2) THEN 'kept by name'
                  WHEN f.layer_id IS NOT NULL THEN 'factored already'
                  WHEN p.bytes IS NULL THEN 'empty'
                  WHEN NOT p.formats <@ ARRAY(SELECT k.format FROM hartonomous.formats() k WHERE k.readable) THEN 'opaque'
                  WHEN l.tensor_shape[1] * l.tensor_shape[2] > 268435440
                  THEN format('%s x %s weights, more than one value holds (268435440)', l.tensor_shape[1], l.tensor_shape[2])
                  END AS kept
        FROM hartonomous.model_layers l
        LEFT JOIN present p USING (layer_id)
        LEFT JOIN (SELECT s.layer_id, sum(s.bytes)::bigint AS bytes
                     FROM hartonomous.stored_forms($1, hartonomous.live_base($1)) s GROUP BY s.layer_id) f USING (layer_id)
       WHERE l.model_id = $1 AND l.layer_name LIKE $3),
    budgets AS (
      -- Smaller than now, and by min_gain; what residual atoms take comes off.
      SELECT m.*, ceil(m.bytes * (1 - $7) - m.bytes * $8)::bigint - 1 AS most_bytes,
             floor(m.bytes * $6 - m.bytes * $8)::bigint AS target_bytes
        FROM matrices m),
    ranked AS (
      SELECT b.*, CASE WHEN b.kept IS NULL THEN hartonomous.rank_within($4, b.rows, b.cols,
                                                                   least(b.most_bytes, hartonomous.most_factor_bytes()))
                  END AS most,
             CASE WHEN b.kept IS NOT NULL OR $6 IS NULL AND $5 IS NULL THEN NULL
                  WHEN $5 IS NOT NULL THEN least($5, b.rows, b.cols)::integer
                  ELSE hartonomous.rank_within($4, b.rows, b.cols, least(b.target_bytes, b.most_bytes,
                                                                         hartonomous.most_factor_bytes())) END AS wanted
        FROM budgets b),
    weighed AS (
      SELECT r.*, hartonomous.factor_bytes($4, r.rows, r.cols, coalesce(r.wanted, 1)) AS would_take
        FROM ranked r),
    judged AS (
      SELECT r.*, coalesce(r.kept,
               CASE WHEN (r.most = 0 OR r.wanted > r.most) AND r.would_take <= r.most_bytes THEN
                 format('factors of rank %s would take %s, more than the %s that one row holds', coalesce(r.wanted, 1),
                        hartonomous.human_bytes(r.would_take), hartonomous.human_bytes(hartonomous.most_factor_bytes()))
                    WHEN r.most = 0 OR r.wanted > r.most THEN
                 format('factors of rank %s would take %s, not less than %s', coalesce(r.wanted, 1),
                        hartonomous.human_bytes(r.would_take), hartonomous.human_bytes(r.bytes))
                    WHEN r.wanted = 0 THEN 'not even rank 1 is as small as that' END) AS why
        FROM weighed r)
    SELECT j.layer_id, j.layer_name, CASE WHEN j.why IS NULL THEN 'factor' END,
           CASE WHEN j.why IS NULL THEN jsonb_strip_nulls(jsonb_build_object('rank', j.wanted, 'energy', $9, 'most_rank', j.most,
             'format', upper($4), 'residual_ratio', $8, 'dense_format', e.storage_format)) END,
           coalesce(j.atoms, 0), CASE WHEN j.why IS NULL THEN floor(j.atoms * $8)::bigint ELSE coalesce(j.atoms, 0) END,
           coalesce(j.bytes, 0) + coalesce(j.beside, 0),
           CASE WHEN j.why IS NULL THEN hartonomous.factor_bytes($4, j.rows, j.cols, j.wanted)
                                        + (floor(j.atoms * $8) * j.bytes / j.atoms)::bigint
                ELSE coalesce(j.bytes, 0) + coalesce(j.beside, 0) END, j.why, NULL::jsonb
      FROM judged j LEFT JOIN hartonomous.export_plan($1) e ON e.layer_id = j.layer_id ORDER BY j.position
    $sql$ USING model, container, layer_pattern, factor_format, svd_plan.rank, target_ratio, min_gain, residual_ratio, energy;
END
$$;
COMMENT ON FUNCTION hartonomous.svd_plan(integer, integer, double precision, double precision, text, text, double precision, double precision) IS
  'what svd_compress_model would do, a row a tensor of the pattern (see tensor_plan): the rank of its factors, or the energy by which it is found, at most most_rank, and the bytes they take (NULL when the rank is still to be found), or why it is left alone; 22023 unless one of rank, energy, target_ratio is given';

CREATE FUNCTION hartonomous.svd_plan(model text, rank integer DEFAULT NULL, energy double precision DEFAULT NULL,
    target_ratio double precision DEFAULT NULL, layer_pattern text DEFAULT '%', factor_format text DEFAULT 'F16',
    min_gain double precision DEFAULT 0, residual_ratio double precision DEFAULT 0)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.svd_plan(hartonomous.model_id(model), rank, energy, target_ratio,
                                                  layer_pattern, factor_format, min_gain, residual_ratio);
END
$$;
COMMENT ON FUNCTION hartonomous.svd_plan(text, integer, double precision, double precision, text, text, double precision, double precision) IS 'the same for a model by its name';

-- The arguments are those of the operation "factor". Nothing is written, and atoms is NULL, when the tensor is left alone.
CREATE FUNCTION hartonomous.factor_tensor(model integer, layer bigint, into_model integer, into_base integer,
    into_layer bigint, arguments jsonb, OUT atoms bigint, OUT bytes bigint, OUT outcome text)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  tensor hartonomous.model_layers;
  matrix hartonomous.weights;
  factors hartonomous.svd_factors;
  source regclass := hartonomous.live_partition(model);
  before bigint;
  error float8;
BEGIN
  IF into_model <> model OR into_layer <> layer THEN
    RAISE EXCEPTION 'a tensor can be factored in its own model only' USING ERRCODE = '0A000';
  END IF;
  SELECT * INTO STRICT tensor FROM hartonomous.model_layers l WHERE l.layer_id = layer;
  EXECUTE format('SELECT sum(hartonomous.weights_bytes(atom_data)) FROM %s WHERE layer_id = $1', source)
    INTO before USING layer;
  matrix := hartonomous.tensor_weights(model, tensor.layer_name);
  BEGIN
    factors := hartonomous.svd_decompose(matrix, tensor.tensor_shape[1]::integer, tensor.tensor_shape[2]::integer,
      least((arguments ->> 'rank')::integer, (arguments ->> 'most_rank')::integer), coalesce((arguments ->> 'energy')::float8, 1));
  EXCEPTION WHEN numeric_value_out_of_range THEN
    outcome := 'left alone: ' || SQLERRM;
    RETURN;
  END;
  IF factors.explained_variance < (arguments ->> 'energy')::float8 * (1 - 1e-6) THEN
    outcome := format('left alone: rank %s, the most that saves space, explains %s %%', factors.rank,
                      round(factors.explained_variance::numeric * 100, 2));
    RETURN;
  END IF;
  factors := hartonomous.quantize_factors(factors, arguments ->> 'format');
  error := hartonomous.svd_error(matrix, factors);
  INSERT INTO hartonomous.svd_compressed_layers
         (model_id, revision_id, layer_id, layer_name, rank, u_matrix, s_vector, vt_matrix, original_rows, original_cols,
          original_bytes, explained_variance, relative_error, dense_format)
  VALUES (model, into_base, layer, tensor.layer_name, factors.rank, factors.u, factors.s::hartonomous.weights, factors.vt,
          factors.rows, factors.cols, before, factors.explained_variance, error,
          coalesce(arguments ->> 'dense_format',
                   (SELECT e.storage_format FROM hartonomous.export_plan(model) e WHERE e.layer_id = layer)));
  bytes := hartonomous.form_bytes(model, into_base, layer);
  atoms := 0;
  IF (arguments ->> 'residual_ratio')::float8 > 0 THEN
    SELECT r.atoms, factor_tensor.bytes + r.bytes INTO atoms, bytes
      FROM hartonomous.write_residual(source, hartonomous.partition_of(model, into_base), into_base, layer,
                                      hartonomous.svd_residual(matrix, factors),
                                      (arguments ->> 'residual_ratio')::float8) r;
  END IF;
  UPDATE hartonomous.svd_compressed_layers f SET compression_ratio = before::float8 / factor_tensor.bytes
   WHERE f.model_id = model AND f.revision_id = into_base AND f.layer_id = layer;
  outcome := format('rank %s, %s %% explained, error %s', factors.rank,
                    round(factors.explained_variance::numeric * 100, 2), round(error::numeric, 4));
END
$$;
COMMENT ON FUNCTION hartonomous.factor_tensor(integer, bigint, integer, integer, bigint, jsonb) IS
  'carries out the operation "factor": writes a live tensor as factors beside a run''s partition, and what residual atoms are asked for into it; says what came of it; 0A000 into another model';

CREATE FUNCTION hartonomous.write_residual(source regclass, target regclass, revision integer,
    layer bigint, residual hartonomous.weights, ratio double precision, OUT atoms bigint, OUT bytes bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  columns name[] := hartonomous.atom_columns(target, source);
  tensor record;
BEGIN
  SELECT l.row_length, l.atom_size::bigint AS atom_size, (l.row_length + l.atom_size - 1) / l.atom_size AS per_row
    INTO STRICT tensor FROM hartonomous.model_layers l WHERE l.layer_id = layer;
  EXECUTE format($sql$
    WITH parts AS (
      SELECT a.atom_sequence AS part, hartonomous.weights_slice($1,
               a.atom_sequence / $2 * $3 + a.atom_sequence %% $2 * $4,
               least($4, $3 - a.atom_sequence %% $2 * $4)) AS rest
        FROM %1$s a WHERE a.layer_id = $5),
    kept AS (
      SELECT p.part, p.rest FROM parts p
       ORDER BY hartonomous.weights_rms(p.rest) ^ 2 * hartonomous.weights_count(p.rest) DESC, p.part
       LIMIT floor((SELECT count(*) FROM parts) * $6)::bigint),
    written AS (
      INSERT INTO %2$s (%3$s)
      SELECT %4$s FROM %1$s a JOIN kept k ON a.atom_sequence = k.part WHERE a.layer_id = $5
      RETURNING hartonomous.weights_bytes(atom_data) AS size)
    SELECT count(*), coalesce(sum(w.size), 0) FROM written w
    $sql$, source, target,
    (SELECT string_agg(format('%I', c), ', ') FROM unnest(columns) c),
    (SELECT string_agg(CASE c WHEN 'revision_id' THEN revision::text
                              WHEN 'atom_data' THEN 'hartonomous.quantize(k.rest, hartonomous.weights_format(a.atom_data))'
                              ELSE format('a.%I', c) END, ', ') FROM unnest(columns) c))
    INTO atoms, bytes
    USING residual, tensor.per_row, tensor.row_length, tensor.atom_size, layer, ratio;
END
$$;
COMMENT ON FUNCTION hartonomous.write_residual(regclass, regclass, integer, bigint, hartonomous.weights, double precision) IS
  'writes the atoms of a residual with the most energy, that share of those the tensor has, in the formats these have';

CREATE FUNCTION hartonomous.plan_factoring(model integer, parameters jsonb) RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  plan hartonomous.tensor_plan[];
  clamped bigint;
BEGIN
  plan := ARRAY(SELECT p FROM hartonomous.svd_plan(model, (parameters ->> 'rank')::integer, (parameters ->> 'energy')::float8,
    (parameters ->> 'target_ratio')::float8, parameters ->> 'layer_pattern', parameters ->> 'factor_format',
    (parameters ->> 'min_gain')::float8, (parameters ->> 'residual_ratio')::float8) p);
  SELECT count(*) INTO clamped FROM unnest(plan) p
   WHERE (p.arguments ->> 'rank')::integer < (parameters ->> 'rank')::integer;
  IF clamped > 0 THEN
    RAISE NOTICE 'rank % is more than % tensors have: they keep all they have', parameters ->> 'rank', clamped;
  END IF;
  RETURN QUERY SELECT p.* FROM unnest(plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous.plan_factoring(integer, jsonb) IS 'svd_plan() for svd_compress_model()';

CREATE FUNCTION hartonomous.report_factoring(model integer, parameters jsonb, plan hartonomous.tensor_plan[], result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  run bigint := result ->> 'run';
BEGIN
  IF result IS NULL THEN
    RAISE NOTICE 'no tensor is brought into factors: nothing done%', hartonomous.passed_over_opaque(plan)
      USING DETAIL = coalesce(
              (SELECT string_agg(k.said, '; ' ORDER BY k.n DESC, k.said)
                 FROM (SELECT count(*) AS n, format('%s tensors: %s', count(*), p.reason) AS said
                         FROM unnest(plan) p GROUP BY p.reason ORDER BY count(*) DESC, p.reason LIMIT 5) k), ''),
            HINT = 'svd_plan() says why of each.';
    RETURN;
  END IF;
  RAISE NOTICE 'factored % of % tensors (see svd_outcomes(%)), % -> %, revision %, % s%',
    (SELECT count(*) FROM hartonomous.compression_steps c WHERE c.run_id = run AND c.outcome LIKE 'rank %'),
    (SELECT count(p.operation) FROM unnest(plan) p), run,
    hartonomous.human_bytes((result ->> 'bytes_before')::bigint), hartonomous.human_bytes((result ->> 'bytes_after')::bigint),
    result ->> 'revision', result ->> 'seconds', hartonomous.passed_over_opaque(plan);
END
$$;
COMMENT ON FUNCTION hartonomous.report_factoring(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'says what svd_compress_model() did, or why it found nothing to do';

CREATE FUNCTION hartonomous.svd_parameters(rank integer, energy double precision, target_ratio double precision,
    layer_pattern text, factor_format text, min_gain double precision, residual boolean, residual_ratio double precision)
  RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
BEGIN
  IF residual IS NULL THEN
    RAISE EXCEPTION 'residual cannot be NULL' USING ERRCODE = '22004';
  END IF;
  RETURN jsonb_strip_nulls(jsonb_build_object('rank', rank, 'energy', energy, 'target_ratio', target_ratio,
    'layer_pattern', layer_pattern, 'factor_format', upper(factor_format), 'min_gain', min_gain,
    'residual_ratio', CASE WHEN residual THEN residual_ratio ELSE 0 END));
END
$$;
COMMENT ON FUNCTION hartonomous.svd_parameters(integer, double precision, double precision, text, text, double precision, boolean, double precision) IS
  'the arguments of svd_compress_model() as its revision keeps them; 22004 when residual is NULL';

-- Cancelled, killed, called twice: as run_stage().
CREATE PROCEDURE hartonomous.svd_compress_model(model integer, rank integer DEFAULT NULL,
    energy double precision DEFAULT NULL, target_ratio double precision DEFAULT NULL, layer_pattern text DEFAULT '%',
    factor_format text DEFAULT 'F16', min_gain double precision DEFAULT 0, residual boolean DEFAULT false,
    residual_ratio double precision DEFAULT 0.05, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous.run_stage(model, 'svd_compress_model',
    hartonomous.svd_parameters(rank, energy, target_ratio, layer_pattern, factor_format, min_gain, residual, residual_ratio),
    nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.svd_compress_model(integer, integer, double precision, double precision, text, text, double precision, boolean, double precision, boolean) IS
  'rewrites matrices as factors U, s, VT: of one rank, of the least rank that explains a share of energy, or of the rank whose factors take a share target_ratio of the bytes; tensors that would not be smaller, by min_gain, are left alone; with residual the atoms of what is left that have the most energy stay, residual_ratio of all; rollback_model() undoes it; 22023 unless one of the three is given';

CREATE PROCEDURE hartonomous.svd_compress_model(model text, rank integer DEFAULT NULL,
    energy double precision DEFAULT NULL, target_ratio double precision DEFAULT NULL, layer_pattern text DEFAULT '%',
    factor_format text DEFAULT 'F16', min_gain double precision DEFAULT 0, residual boolean DEFAULT false,
    residual_ratio double precision DEFAULT 0.05, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous.svd_compress_model(hartonomous.model_id(model), rank, energy, target_ratio, layer_pattern,
                                      factor_format, min_gain, residual, residual_ratio, nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.svd_compress_model(text, integer, double precision, double precision, text, text, double precision, boolean, double precision, boolean) IS
  'the same for a model by its name';

CREATE FUNCTION hartonomous.svd_outcomes(run bigint)
  RETURNS TABLE (layer_name text, bytes_before bigint, bytes_after bigint, seconds double precision, outcome text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT l.layer_name, s.bytes_before, s.bytes_after, s.seconds, s.outcome
                 FROM hartonomous.compression_steps s JOIN hartonomous.model_layers l ON l.layer_id = s.layer_id
                WHERE s.run_id = svd_outcomes.run AND s.outcome IS NOT NULL ORDER BY l.position;
END
$$;
COMMENT ON FUNCTION hartonomous.svd_outcomes(bigint) IS
  'what became of each tensor of the pattern in a run of svd_compress_model: its factors, or why it was left alone; of a run of any stage, why tensors were left alone';
