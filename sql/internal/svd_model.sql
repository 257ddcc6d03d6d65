-- Execution of factoring: computes the factors of a tensor and writes the atoms of the residual.

-- The arguments are those of the operation "factor". If the tensor is left as it is, nothing is written and atoms is
-- NULL.
CREATE FUNCTION hartonomous_internal.factor_tensor(model integer, layer bigint, into_model integer, into_base integer,
    into_layer bigint, arguments jsonb, OUT atoms bigint, OUT bytes bigint, OUT outcome text)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  tensor hartonomous.model_layers;
  matrix hartonomous.weights;
  factors hartonomous.svd_factors;
  source regclass := hartonomous_internal.live_partition(model);
  before bigint;
  most_rank integer := least((arguments ->> 'rank')::numeric, (arguments ->> 'most_rank')::numeric);
  energy float8 := coalesce((arguments ->> 'energy')::float8, 1);
  calibration_set text := arguments ->> 'calibration_set';
  calibrated integer := arguments ->> 'calibration_revision';
  error float8;
  output_error float8;
BEGIN
  IF into_model <> model OR into_layer <> layer THEN
    PERFORM hartonomous_internal.raise_error('0A000', 'a tensor can be factored in its own model only');
  END IF;
  SELECT * INTO STRICT tensor FROM hartonomous.model_layers l WHERE l.layer_id = layer;
  EXECUTE format('SELECT sum(hartonomous.weights_bytes(atom_data)) FROM %s WHERE layer_id = $1', source)
    INTO before USING layer;
  matrix := hartonomous.tensor_weights(model, tensor.layer_name);
  BEGIN
    factors := CASE WHEN calibration_set IS NULL
      THEN hartonomous.svd_decompose(matrix, tensor.tensor_shape[1]::integer, tensor.tensor_shape[2]::integer,
        most_rank, energy)
      ELSE hartonomous_internal.whitened_factors(matrix, model, calibrated, calibration_set, tensor.layer_name,
        least(most_rank, tensor.tensor_shape[1], tensor.tensor_shape[2])::integer, energy) END;
  EXCEPTION WHEN numeric_value_out_of_range THEN
    outcome := 'left alone: ' || SQLERRM;
    RETURN;
  END;
  IF arguments ? 'energy' AND factors.explained_variance < energy * (1 - 1e-6) THEN
    outcome := format('left alone: rank %s, the most that saves space, explains %s %%%s', factors.rank,
                      round(factors.explained_variance::numeric * 100, 2),
                      CASE WHEN calibration_set IS NOT NULL THEN ' of the outputs' END);
    RETURN;
  END IF;
  factors := hartonomous.quantize_factors(factors, arguments ->> 'format');
  error := hartonomous.svd_error(matrix, factors);
  output_error := hartonomous_internal.output_error(matrix, factors, model, calibrated, calibration_set,
    tensor.layer_name);
  INSERT INTO hartonomous.svd_compressed_layers
         (model_id, revision_id, layer_id, layer_name, rank, u_matrix, s_vector, vt_matrix, original_rows,
           original_cols,
           original_bytes, explained_variance, relative_error, output_error, dense_format)
  VALUES (model, into_base, layer, tensor.layer_name, factors.rank, factors.u, factors.s::hartonomous.weights,
    factors.vt,
    factors.rows, factors.cols, before, factors.explained_variance, error, output_error,
    coalesce(arguments ->> 'dense_format',
             (SELECT e.storage_format FROM hartonomous.export_plan(model) e WHERE e.layer_id = layer)));
  bytes := hartonomous_internal.form_bytes(model, into_base, layer);
  atoms := 0;
  IF (arguments ->> 'residual_ratio')::float8 > 0 THEN
    SELECT r.atoms, factor_tensor.bytes + r.bytes INTO atoms, bytes
      FROM hartonomous_internal.write_residual(source, hartonomous_internal.partition_of(model, into_base), into_base,
        layer,
        hartonomous.svd_residual(matrix, factors),
        (arguments ->> 'residual_ratio')::float8) r;
  END IF;
  UPDATE hartonomous.svd_compressed_layers f SET compression_ratio = before::float8 / factor_tensor.bytes
   WHERE f.model_id = model AND f.revision_id = into_base AND f.layer_id = layer;
  outcome := format('rank %s, %s %% %s, error %s', factors.rank,
                    round(factors.explained_variance::numeric * 100, 2),
                    CASE WHEN calibration_set IS NULL THEN 'explained' ELSE 'of the outputs explained' END,
                    round(error::numeric, 4))
             || coalesce(format(', of the outputs %s', round(output_error::numeric, 4)), '');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.factor_tensor(integer, bigint, integer, integer, bigint, jsonb) IS
  'carries out the operation "factor": writes a live tensor to the partition of a run as factors and the requested '
  'residual atoms; returns the outcome; 0A000 into another model';

CREATE FUNCTION hartonomous_internal.write_residual(source regclass, target regclass, revision integer, layer bigint,
    residual hartonomous.weights, ratio double precision, OUT atoms bigint, OUT bytes bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  columns name[] := hartonomous_internal.atom_columns(target, source);
  tensor record;
BEGIN
  SELECT l.parameter_count, l.row_length, l.atom_size INTO STRICT tensor
    FROM hartonomous.model_layers l WHERE l.layer_id = layer;
  EXECUTE format($sql$
    WITH parts AS (
      SELECT a.atom_sequence AS part, hartonomous.weights_slice($1,
               hartonomous_internal.atom_offset($3, $4, a.atom_sequence),
               hartonomous_internal.atom_length($2, $3, $4, a.atom_sequence)) AS rest
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
                              WHEN 'atom_data' THEN 'hartonomous.quantize(k.rest, '
                                'hartonomous.weights_format(a.atom_data))'
                              ELSE format('a.%I', c) END, ', ') FROM unnest(columns) c))
    INTO atoms, bytes
    USING residual, tensor.parameter_count, tensor.row_length, tensor.atom_size, layer, ratio;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.write_residual(regclass, regclass, integer, bigint, hartonomous.weights,
  double precision) IS
  'writes the atoms of a residual with the most energy, that share of those the tensor has, in the formats these have';
