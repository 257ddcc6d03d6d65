-- The planner and the reporter of calibrate_importance() (internal/stages.sql), and a check of those that refit.

CREATE FUNCTION hartonomous_internal.plan_scoring(model integer, parameters jsonb)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  plan hartonomous.tensor_plan[];
BEGIN
  plan := ARRAY(SELECT p FROM hartonomous.importance_plan(model, parameters ->> 'method',
    parameters ->> 'calibration_set', parameters ->> 'layer_pattern', (parameters ->> 'calibration_revision')::integer,
    (parameters ->> 'damping')::float8) p);
  IF NOT EXISTS (SELECT FROM unnest(plan) p WHERE p.operation IS NOT NULL) THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('the atoms of no tensor of model "%s" that matches "%s" can be scored', model::hartonomous.regmodel,
             parameters ->> 'layer_pattern'),
      detail => (SELECT string_agg(format('%s: %s', r.n, r.reason), ', ' ORDER BY r.n DESC, r.reason) || '.'
                   FROM (SELECT count(*) AS n, p.reason FROM unnest(plan) p GROUP BY p.reason) r),
      hint => 'importance_plan() gives the reason for each tensor.');
  END IF;
  RETURN QUERY SELECT p.* FROM unnest(plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_scoring(integer, jsonb) IS
  'importance_plan() for calibrate_importance(); 22023 if no tensor can be scored';

CREATE FUNCTION hartonomous_internal.report_scoring(model integer, parameters jsonb, plan hartonomous.tensor_plan[],
  result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  n record;
BEGIN
  SELECT count(p.operation) AS scored, sum(p.atoms_before) FILTER (WHERE p.operation IS NOT NULL) AS atoms,
         hartonomous_internal.passed_over(count(*) FILTER (WHERE p.reason IN ('no statistics', 'no Gram matrix')),
           'no statistics') || hartonomous_internal.passed_over_carried_formats(plan)
         || hartonomous_internal.passed_over(count(*) FILTER (WHERE p.reason = 'factored'), 'factored') AS passed_over
    INTO n FROM unnest(plan) p;
  RAISE NOTICE 'scored % atoms of % tensors by %, revision %, % s%', n.atoms, n.scored,
    concat(parameters ->> 'method', ' on calibration set "' || (parameters ->> 'calibration_set') || '"'),
    result ->> 'revision', result ->> 'seconds', n.passed_over;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_scoring(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'reports what calibrate_importance() did';

CREATE FUNCTION hartonomous_internal.require_refit(model integer, parameters jsonb, plan hartonomous.tensor_plan[])
  RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  n record;
BEGIN
  SELECT count(*) FILTER (WHERE p.arguments ? 'calibration_set') AS refitted, count(*) AS pruned,
         bool_and(p.reason = 'not refitted: atoms are whole rows') AS whole_rows,
         string_agg(DISTINCT p.reason, ', ') AS reasons
    INTO n FROM unnest(plan) p WHERE p.operation IS NOT NULL;
  IF parameters ? 'refit' AND n.refitted = 0 AND n.pruned > 0 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('no tensor of model "%s" that is pruned can be refitted', model::hartonomous.regmodel),
      n.reasons || '.',
      CASE WHEN n.whole_rows THEN 'Nothing stays of a row whose only atom is removed: import with a smaller atom_size.'
           ELSE 'SELECT * FROM hartonomous.prune_plan(..., refit => true); gives the reason for each tensor.' END);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_refit(integer, jsonb, hartonomous.tensor_plan[]) IS
  '22023 if weights are to be refitted and no tensor of the plan can be';
