-- Checks of plans made by users, before anything is written.

CREATE FUNCTION hartonomous_internal.check_calibration_of(tensor hartonomous.tensor_plan, model integer) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  needs_gram boolean := tensor.operation = 'factor' OR tensor.arguments ->> 'method' = 'hessian';
BEGIN
  IF tensor.arguments ? 'calibration_set' AND NOT EXISTS (
    SELECT FROM hartonomous.calibration_stats s
     WHERE s.model_id = model
       -- An embedding without statistics is quantized against the matrices that read it.
       AND (s.layer_id = tensor.layer_id
            OR tensor.arguments ->> 'method' = 'hessian' AND EXISTS (
              SELECT FROM hartonomous.model_layers l
               WHERE l.layer_id = tensor.layer_id AND l.layer_name = 'token_embd.weight'))
       AND s.calibration_set = tensor.arguments ->> 'calibration_set'
       AND s.revision_id = (tensor.arguments ->> 'calibration_revision')::integer
       AND (s.gram_layer_id IS NOT NULL OR NOT needs_gram)) THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('there are no %s of calibration set "%s" for revision %s',
             CASE WHEN needs_gram THEN 'Gram matrices' ELSE 'statistics' END,
             tensor.arguments ->> 'calibration_set', tensor.arguments ->> 'calibration_revision'));
  ELSIF tensor.arguments ? 'curvature' AND NOT EXISTS (
    SELECT FROM hartonomous.calibration_grams g
     WHERE g.model_id = model AND g.layer_id = tensor.layer_id AND g.of_gradients
       AND g.calibration_set = tensor.arguments ->> 'calibration_set'
       AND g.revision_id = (tensor.arguments ->> 'calibration_revision')::integer) THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('there are no Gram matrices of gradients of calibration set "%s" for revision %s',
             tensor.arguments ->> 'calibration_set', tensor.arguments ->> 'calibration_revision'));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_calibration_of(hartonomous.tensor_plan, integer) IS
  '22023 if an operation uses a calibration set of which there are not the statistics of the tensor that it needs';

-- Whether a valid operation can be applied to the tensor it is planned for.
CREATE FUNCTION hartonomous_internal.check_operation_on(tensor hartonomous.tensor_plan, model integer) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  layer record;
  unfit text;
BEGIN
  SELECT l.tensor_shape, l.row_length, least(gcd(l.row_length, l.atom_size), l.row_length) AS run INTO STRICT layer
    FROM hartonomous.model_layers l WHERE l.layer_id = tensor.layer_id;
  IF tensor.operation = 'quantize' THEN
    SELECT min(f.format) INTO unfit
      FROM (SELECT tensor.arguments ->> 'format' AS format
            UNION ALL SELECT e.value FROM jsonb_each_text(tensor.arguments -> 'planned_formats') e) f
     WHERE hartonomous_internal.fitting_format(f.format, layer.run) <> upper(f.format);
    IF unfit IS NOT NULL THEN
      PERFORM hartonomous_internal.raise_error('22023',
        format('rows of %s weights fit no block of %s', layer.row_length, unfit),
        hint => 'SELECT format, block_weights FROM hartonomous.formats(); shows the blocks of the formats.');
    END IF;
    IF jsonb_array_length(tensor.arguments -> 'column_importance') <> layer.row_length THEN
      PERFORM hartonomous_internal.raise_error('2202E',
        format('importance has %s numbers for %s columns',
               jsonb_array_length(tensor.arguments -> 'column_importance'), layer.row_length));
    END IF;
    PERFORM hartonomous_internal.check_calibration_of(tensor, model);
  ELSIF tensor.operation IN ('score', 'prune') THEN
    PERFORM hartonomous_internal.check_scored_tensor(tensor, model);
  ELSIF tensor.operation = 'factor' THEN
    IF cardinality(layer.tensor_shape) <> 2 THEN
      PERFORM hartonomous_internal.raise_error('22023', 'only a matrix of two dimensions can be factored',
        hint => 'svd_plan() passes over such tensors.');
    ELSIF EXISTS (
      SELECT FROM hartonomous_internal.stored_forms(model, hartonomous_internal.live_base(model), tensor.layer_id)) THEN
      PERFORM hartonomous_internal.raise_error('22023', 'it is factored already',
        hint => 'rollback_model() returns to the revision before it was.');
    END IF;
    PERFORM hartonomous_internal.check_calibration_of(tensor, model);
  ELSIF tensor.operation = 'merge' THEN
    PERFORM hartonomous_internal.check_merged_tensor(tensor, model);
  ELSIF tensor.operation = 'select' THEN
    PERFORM hartonomous_internal.raise_error('22023', 'a tensor of a model keeps its shape',
      hint => 'Functions that extract students make smaller tensors.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_operation_on(hartonomous.tensor_plan, integer) IS
  '22023 if an operation does not fit the tensor it is planned for (its rows are not whole blocks of the format, it '
  'cannot be factored, or its shape would change), 2202E if its importance has another number of columns';

CREATE FUNCTION hartonomous_internal.changes_nothing(planned hartonomous.tensor_plan, model integer) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  condition text := CASE planned.operation
    WHEN 'quantize' THEN 'hartonomous.weights_format(a.atom_data) <> '
    || quote_literal(upper(planned.arguments ->> 'format'))
    WHEN 'prune' THEN hartonomous_internal.pruned_atoms(planned.arguments)
    WHEN 'encode_geometry' THEN 'a.weights_geometry IS NOT NULL' END;
  found boolean;
BEGIN
  IF condition IS NULL THEN
    RETURN planned.operation = 'copy';
  END IF;
  -- Queries the parent table because readers have rights on that only.
  EXECUTE hartonomous_internal.on_atoms_of(model, format(
    'SELECT EXISTS (SELECT FROM hartonomous.tensor_atoms a WHERE a.model_id = %s AND a.layer_id = %s AND (%s))',
                 model, planned.layer_id, condition)) INTO found;
  RETURN NOT found AND NOT EXISTS (
    SELECT FROM hartonomous_internal.stored_forms(model, hartonomous_internal.live_base(model), planned.layer_id) f
     WHERE planned.operation = 'quantize' AND f.format <> upper(planned.arguments ->> 'format')
        OR (planned.arguments ->> 'atoms_only')::boolean);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.changes_nothing(hartonomous.tensor_plan, integer) IS
  'whether an operation would leave the tensor as it is: already in the format, without such atoms, its positions '
  'already encoded';

CREATE FUNCTION hartonomous_internal.check_plan(model integer, plan hartonomous.tensor_plan[])
  RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  checked hartonomous.tensor_plan[] := '{}';
  planned hartonomous.tensor_plan;
  layer hartonomous.tensor_plan;
  said text;
BEGIN
  IF array_ndims(plan) > 1 THEN
    PERFORM hartonomous_internal.raise_error('2202E', 'a plan must be an array of one dimension');
  ELSIF plan IS NULL OR array_position(plan, NULL) IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'a plan and its rows cannot be NULL',
      hint => 'hartonomous.plan_from() makes a plan of the rows of a table.');
  END IF;
  FOREACH planned IN ARRAY plan LOOP
    SELECT l.layer_id, l.layer_name INTO layer.layer_id, layer.layer_name FROM hartonomous.model_layers l
     WHERE l.model_id = model AND num_nonnulls(planned.layer_id, planned.layer_name) > 0
       AND (planned.layer_id IS NULL OR l.layer_id = planned.layer_id)
       AND (planned.layer_name IS NULL OR l.layer_name = planned.layer_name);
    IF layer.layer_id IS NULL THEN
      PERFORM hartonomous_internal.raise_error('22023',
        format('model "%s" has no tensor %s "%s"', model::hartonomous.regmodel,
               coalesce(planned.layer_id::text, 'named'), coalesce(planned.layer_name, '')),
        hint => 'A row names a tensor by layer_id, layer_name, or both.');
    END IF;
    planned.layer_id := layer.layer_id;
    planned.layer_name := layer.layer_name;
    planned.arguments := coalesce(planned.arguments, '{}');
    IF planned.operation IS NOT NULL THEN
      PERFORM hartonomous_internal.check_operation(planned.operation, planned.arguments);
      -- An argument that is null counts as absent.
      planned.arguments := jsonb_strip_nulls(planned.arguments);
      PERFORM hartonomous_internal.check_operation_on(planned, model);
      IF hartonomous_internal.changes_nothing(planned, model) THEN
        planned.operation := NULL;
        planned.reason := 'already there';
      END IF;
    END IF;
    checked := checked || planned;
  END LOOP;
  SELECT p.layer_name INTO said FROM unnest(checked) p GROUP BY p.layer_name HAVING count(*) > 1 LIMIT 1;
  IF said IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', format('tensor "%s" is planned more than once', said));
  END IF;
  RETURN checked;
EXCEPTION WHEN invalid_parameter_value OR feature_not_supported OR array_subscript_error THEN
  IF layer.layer_id IS NULL OR said IS NOT NULL THEN
    RAISE;
  END IF;
  GET STACKED DIAGNOSTICS said = PG_EXCEPTION_HINT;
  PERFORM hartonomous_internal.raise_error(SQLSTATE, SQLERRM,
    format('It is planned for tensor "%s".', layer.layer_name), said);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_plan(integer, hartonomous.tensor_plan[]) IS
  'a plan completed with numbers and names of its tensors, without operations that would change nothing; 22023 if it '
  'does not fit the model (a tensor does not exist or is planned twice, an operation is unknown, has invalid arguments '
  'or does not fit the tensor), 22004 on NULL, 2202E also if it is an array of several dimensions, 0A000';

CREATE FUNCTION hartonomous_internal.plan_parameters(stage text, plan hartonomous.tensor_plan[]) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  calibration jsonb;
BEGIN
  IF stage IS NULL OR plan IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'stage and plan cannot be NULL',
      hint => 'The stage is a name for the run; hartonomous.plan_from() makes a plan of the rows of a table.');
  ELSIF stage = '' THEN
    PERFORM hartonomous_internal.raise_error('22023', 'a stage needs a name');
  END IF;
  SELECT CASE WHEN count(DISTINCT c.calibration) = 1 THEN min(c.calibration::text)::jsonb ELSE '{}' END INTO calibration
    FROM (SELECT jsonb_build_object('calibration_set', p.arguments -> 'calibration_set',
                                    'calibration_revision', p.arguments -> 'calibration_revision') AS calibration
            FROM unnest(plan) p WHERE p.operation = 'quantize' AND p.arguments ? 'calibration_set') c;
  RETURN calibration || jsonb_build_object('stage', stage, 'plan_sha256',
    encode(sha256(convert_to(to_jsonb(plan)::text, 'UTF8')), 'hex'));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_parameters(text, hartonomous.tensor_plan[]) IS
  'the parameters of a run of run_plan(), by which the same call finds a run that was stopped; with the calibration '
  'set and its revision if the plan quantizes by those of a single one; 22004 on NULL, 22023 '
  'without a name';

-- Plans may be written by hand, so that it may be anything.
CREATE FUNCTION hartonomous_internal.predicted_divergence(details jsonb) RETURNS double precision
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE WHEN jsonb_typeof(details -> 'predicted_kl_divergence') = 'number'
              THEN CASE WHEN (details ->> 'predicted_kl_divergence')::numeric BETWEEN 0 AND 1e9
                        THEN (details ->> 'predicted_kl_divergence')::numeric::double precision END END;
COMMENT ON FUNCTION hartonomous_internal.predicted_divergence(jsonb) IS
  'predicted_kl_divergence of the details of a plan, if it is a number from 0 to 1e9';

CREATE FUNCTION hartonomous_internal.record_prediction(plan hartonomous.tensor_plan[], result jsonb)
  RETURNS double precision
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  predicted double precision := (
    SELECT sum(hartonomous_internal.predicted_divergence(p.details)) FROM unnest(plan) p
     WHERE p.operation <> 'copy');
BEGIN
  UPDATE hartonomous.model_revisions r
     SET metrics = r.metrics || jsonb_build_object('predicted_kl_divergence', predicted)
   WHERE r.revision_id = (result ->> 'revision')::integer AND predicted IS NOT NULL;
  RETURN predicted;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.record_prediction(hartonomous.tensor_plan[], jsonb) IS
  'the KL divergence that a plan predicts, NULL if it does not; records it with the revision that the result '
  'of a stage '
  'names';

CREATE FUNCTION hartonomous_internal.report_plan(model integer, parameters jsonb, plan hartonomous.tensor_plan[],
  result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  said record;
BEGIN
  -- The numbers are the user's own, and may be anything.
  SELECT sum(o.n) AS tensors, string_agg(format('%s %s', o.operation, o.n), ', ' ORDER BY o.operation) AS operations,
         hartonomous_internal.nearest_bigint(sum(o.before)) AS before,
         hartonomous_internal.nearest_bigint(sum(o.after)) AS after, NULL::double precision AS predicted
    INTO said
    FROM (SELECT p.operation, count(*) AS n, sum(greatest(p.bytes_before, 0)) AS before,
                 sum(greatest(p.bytes_after, 0)) AS after
            FROM unnest(plan) p WHERE p.operation <> 'copy' GROUP BY p.operation) o;
  IF result IS NULL THEN
    RAISE NOTICE 'the plan changes no tensor: nothing done';
  ELSIF result ? 'dry_run' THEN
    RAISE NOTICE 'would change % tensors (%), % -> %', said.tensors, said.operations,
      coalesce(hartonomous.human_bytes(said.before), 'unknown'),
      coalesce(hartonomous.human_bytes(said.after), 'unknown');
  ELSE
    said.predicted := hartonomous_internal.record_prediction(plan, result);
    RAISE NOTICE '%: % tensors (%), % -> %, revision %, % s%', parameters ->> 'stage', said.tensors, said.operations,
      coalesce(hartonomous.human_bytes(coalesce((result ->> 'bytes_before')::bigint, said.before)), 'unknown'),
      coalesce(hartonomous.human_bytes(coalesce((result ->> 'bytes_after')::bigint, said.after)), 'unknown'),
      result ->> 'revision', result ->> 'seconds',
      coalesce(', predicted KL divergence ' || round(said.predicted::numeric, 6), '');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_plan(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'reports what run_plan() did, and records with the revision the KL divergence that the plan predicts, if it does';
