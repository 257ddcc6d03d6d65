-- The importance of atoms: arguments of calibrate_importance(), and what pruning needs to refit the weights that stay.

CREATE FUNCTION hartonomous_internal.check_damping(damping double precision, used boolean, whose text) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF damping IS NOT NULL AND NOT used THEN
    PERFORM hartonomous_internal.raise_error('22023', format('damping is for %s only', whose), hint => 'Leave it out.');
  ELSIF NOT (damping > 0 AND damping <= 1) THEN
    PERFORM hartonomous_internal.raise_error('22023', format('damping must be above 0 and at most 1, not %s', damping));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_damping(double precision, boolean, text) IS
  '22023 if damping is out of range, or given although it is not used';

CREATE FUNCTION hartonomous_internal.score_arguments(model integer, method text, calibration_set text,
    calibration_revision integer, damping double precision) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  IF method IS NULL OR method <> ALL (ARRAY['magnitude', 'wanda', 'obs', 'usage']) THEN
    PERFORM hartonomous_internal.raise_error('22023', format('unknown method "%s"', coalesce(method, 'NULL')),
      hint => 'Methods are "magnitude", "wanda", "obs" and "usage".');
  END IF;
  PERFORM hartonomous_internal.check_damping(damping, method = 'obs', 'the method "obs"');
  IF method IN ('wanda', 'obs') THEN
    RETURN jsonb_strip_nulls(jsonb_build_object('method', method, 'damping', damping))
      || hartonomous_internal.calibration_arguments(model, calibration_set, calibration_revision, method = 'obs');
  ELSIF num_nonnulls(calibration_set, calibration_revision) > 0 THEN
    PERFORM hartonomous_internal.raise_error('22023', format('method "%s" uses no calibration set', method),
      hint => 'Methods "wanda" and "obs" do.');
  ELSIF method = 'usage' AND NOT EXISTS (
    SELECT FROM hartonomous.atom_usage_stats u WHERE u.model_id = model) THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('it is not known how often the atoms of model "%s" are used', model::hartonomous.regmodel),
      hint => format('SELECT hartonomous.record_usage(%L, text); counts it.', model::hartonomous.regmodel::text));
  END IF;
  RETURN jsonb_build_object('method', method);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.score_arguments(integer, text, text, integer, double precision) IS
  'the arguments of an operation "score"; 22023 if there is no such method or it does not take the others, 55000, with '
  'the call to make, if there are no statistics, Gram matrices or counts, 42704 if there is no such model';

CREATE FUNCTION hartonomous_internal.importance_parameters(model integer, method text, calibration_set text,
    layer_pattern text, calibration_revision integer, damping double precision) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.require_matching_tensors(model, layer_pattern);
  RETURN hartonomous_internal.score_arguments(model, method, calibration_set, calibration_revision, damping)
    || jsonb_build_object('layer_pattern', layer_pattern);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.importance_parameters(integer, text, text, text, integer, double precision) IS
  'the arguments of calibrate_importance() as its revision records them; 22023 if no tensor matches the pattern, 22004 '
  'if it is NULL, and the errors of score_arguments()';

CREATE FUNCTION hartonomous_internal.refit_parameters(model integer, refit boolean, calibration_set text,
    calibration_revision integer, damping double precision) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
BEGIN
  IF refit IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'refit cannot be NULL', hint => 'Leave it out for false.');
  END IF;
  PERFORM hartonomous_internal.check_damping(damping, refit, 'a refit');
  IF refit THEN
    RETURN jsonb_strip_nulls(jsonb_build_object('refit', true, 'damping', damping))
      || hartonomous_internal.calibration_arguments(model, calibration_set, calibration_revision, true);
  ELSIF num_nonnulls(calibration_set, calibration_revision) > 0 THEN
    PERFORM hartonomous_internal.raise_error('22023', 'a calibration set is for a refit only',
      hint => 'Pass refit => true. Atoms are ranked by their importance, which calibrate_importance() computes.');
  END IF;
  RETURN '{}';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.refit_parameters(integer, boolean, text, integer, double precision) IS
  'what a pruning needs to refit weights, as its revision records it: {} without refit; 22023 if arguments contradict '
  'each other, 55000, with the call to make, without Gram matrices of the revision, 22004 if refit is NULL';

-- What keeps tensors from being scored or refitted.
CREATE FUNCTION hartonomous_internal.scored_tensors(model integer, arguments jsonb)
  RETURNS TABLE (layer_id bigint, layer_name text, "position" integer, atoms bigint, bytes bigint, whole_rows boolean,
                 floats boolean, grams boolean, obstacle text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
BEGIN
  -- Queries the parent table because readers have rights on that only.
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    WITH present AS (
      SELECT a.layer_id, count(*) AS atoms, sum(hartonomous.weights_bytes(a.atom_data))::bigint AS bytes,
             array_agg(DISTINCT hartonomous.weights_format(a.atom_data)) AS formats
        FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY a.layer_id),
    beside AS (
      SELECT f.layer_id, sum(f.bytes)::bigint AS bytes
        FROM hartonomous_internal.stored_forms($1, hartonomous_internal.live_base($1)) f GROUP BY f.layer_id)
    SELECT l.layer_id, l.layer_name, l.position, coalesce(p.atoms, 0), coalesce(p.bytes, 0) + coalesce(b.bytes, 0),
           l.atom_size >= l.row_length, p.formats <@ ARRAY['F32', 'F16', 'BF16'] AND cardinality(p.formats) = 1,
           s.gram_layer_id IS NOT NULL,
           CASE WHEN cardinality(l.tensor_shape) < 2 THEN 'vector'
                WHEN b.layer_id IS NOT NULL THEN 'factored'
                WHEN p.layer_id IS NULL THEN 'empty'
                WHEN NOT p.formats <@ ARRAY(SELECT f.format FROM hartonomous.formats() f WHERE f.readable)
                THEN 'carried format'
                WHEN $2 ? 'calibration_set' AND s.layer_id IS NULL THEN 'no statistics' END
      FROM hartonomous.model_layers l
      LEFT JOIN present p ON p.layer_id = l.layer_id
      LEFT JOIN beside b ON b.layer_id = l.layer_id
      LEFT JOIN hartonomous.calibration_stats s
        ON s.model_id = $1 AND s.layer_id = l.layer_id AND s.calibration_set = $2 ->> 'calibration_set'
       AND s.revision_id = ($2 ->> 'calibration_revision')::integer
     WHERE l.model_id = $1$sql$) USING model, arguments;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.scored_tensors(integer, jsonb) IS
  'the tensors of a model with their atoms and bytes, whether atoms are whole rows, are all in one format of floats, '
  'and have a Gram matrix of the statistics that the arguments of an operation name; and the reason why the importance '
  'of their atoms cannot be computed (NULL if it can)';

CREATE FUNCTION hartonomous_internal.refit_obstacles(model integer, arguments jsonb)
  RETURNS TABLE (layer_id bigint, reason text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT arguments ? 'calibration_set' THEN
    RETURN;
  END IF;
  RETURN QUERY
    SELECT t.layer_id, o.reason
      FROM hartonomous_internal.scored_tensors(model, arguments) t
      CROSS JOIN LATERAL (
        SELECT CASE WHEN t.obstacle IS NOT NULL THEN t.obstacle
                    WHEN t.whole_rows THEN 'atoms are whole rows'
                    WHEN NOT t.grams THEN 'no Gram matrix'
                    WHEN NOT t.floats THEN 'atoms are not floats of one format' END AS reason) o
     WHERE o.reason IS NOT NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.refit_obstacles(integer, jsonb) IS
  'the tensors whose weights cannot be refitted with these arguments of an operation, and why; none without a '
  'calibration set';

CREATE FUNCTION hartonomous_internal.check_scored_tensor(tensor hartonomous.tensor_plan, model integer) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  why text;
BEGIN
  IF tensor.operation = 'prune' THEN
    SELECT o.reason INTO why FROM hartonomous_internal.refit_obstacles(model, tensor.arguments) o
     WHERE o.layer_id = tensor.layer_id;
  ELSE
    SELECT coalesce(t.obstacle, CASE WHEN tensor.arguments ->> 'method' = 'obs' AND NOT t.grams
                                     THEN 'no Gram matrix' END) INTO why
      FROM hartonomous_internal.scored_tensors(model, tensor.arguments) t WHERE t.layer_id = tensor.layer_id;
  END IF;
  IF why IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', format('it cannot be %s: %s', CASE tensor.operation
      WHEN 'prune' THEN 'refitted' ELSE 'scored' END, why),
      hint => 'prune_plan() and importance_plan() pass over such tensors.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_scored_tensor(hartonomous.tensor_plan, integer) IS
  '22023 if an operation "score", or a refit, cannot be applied to the tensor it is planned for';
