-- The importance of atoms, by which pruning and students choose: what an import computes from weights alone, or what a
-- calibration set shows.

CREATE FUNCTION hartonomous.importance_plan(model hartonomous.regmodel, method text, calibration_set text DEFAULT NULL,
    layer_pattern text DEFAULT '%', calibration_revision integer DEFAULT NULL, damping double precision DEFAULT NULL)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  arguments constant jsonb := hartonomous_internal.score_arguments(model, method, calibration_set,
    calibration_revision, damping);
BEGIN
  PERFORM hartonomous_internal.require_matching_tensors(model, layer_pattern);
  RETURN QUERY
    SELECT t.layer_id, t.layer_name, CASE WHEN o.reason IS NULL THEN 'score' END,
           CASE WHEN o.reason IS NULL THEN arguments END, t.atoms, t.atoms, t.bytes, t.bytes, o.reason, NULL::jsonb
      FROM hartonomous_internal.scored_tensors(model, arguments) t
      CROSS JOIN LATERAL (
        SELECT coalesce(t.obstacle, CASE WHEN method = 'obs' AND NOT t.grams THEN 'no Gram matrix' END) AS reason) o
     WHERE t.layer_name LIKE layer_pattern ORDER BY t.position;
END
$$;
COMMENT ON FUNCTION hartonomous.importance_plan(hartonomous.regmodel, text, text, text, integer, double precision) IS
  'what calibrate_importance would do, one row per tensor that matches the pattern (see tensor_plan), or the '
  'reason why '
  'the importance of its atoms stays as it is; errors as calibrate_importance()';

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.calibrate_importance(model hartonomous.regmodel, method text,
    calibration_set text DEFAULT NULL, layer_pattern text DEFAULT '%', calibration_revision integer DEFAULT NULL,
    damping double precision DEFAULT NULL, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.run_stage(model, 'calibrate_importance',
    hartonomous_internal.importance_parameters(model, method, calibration_set, layer_pattern, calibration_revision,
      damping), nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.calibrate_importance(hartonomous.regmodel, text, text, text, integer, double precision,
  boolean) IS
  'computes the importance of the atoms of a model''s matrices, tensor by tensor, and with it the z of their positions '
  'and their place on the Hilbert curve: the logarithm, standardized within the tensor and clipped to [-10, '
  '10], of the '
  'root mean square of the weights (method magnitude, as an import does), of their energy on the text of a calibration '
  'set (wanda: Sun et al. 2023), or of what their removal costs if the rest of the row is refitted (obs: Hassibi & '
  'Stork 1993; needs Gram matrices, to whose diagonal the share damping, by default 0.01, of its mean is added); with '
  'method usage 0.01 per token is added to the importance by magnitude of atoms that took part in more than 10 '
  '(record_usage()), and the sums are standardized; the set is by default the only one, with statistics of the live '
  'revision unless calibration_revision is given; rollback_model() undoes it; 22023 if there is no such '
  'method, it does '
  'not take the arguments, or no tensor can be scored, 55000, with the call to make, without statistics, 42704, 22004, '
  '55P03 with nowait';
