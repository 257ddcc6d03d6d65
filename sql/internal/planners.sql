-- The planners and reporters of the stages (internal/stages.sql): planners compute a plan from jsonb parameters,
-- reporters print what was done. Those of factoring are in svd_stage.sql.

CREATE FUNCTION hartonomous_internal.report_pruning(model integer, parameters jsonb, plan hartonomous.tensor_plan[],
  result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  n record;
  passed_over text;
BEGIN
  SELECT sum(p.atoms_before)::bigint AS atoms, sum((p.details ->> 'imported_atoms')::bigint) AS imported,
         sum(p.atoms_before - p.atoms_after)::bigint AS removed, sum(p.bytes_before)::bigint AS bytes,
         sum(p.bytes_before - p.bytes_after)::bigint AS removed_bytes,
         CASE WHEN parameters ? 'refit'
              THEN format(', refitted %s of %s tensors', count(*) FILTER (WHERE p.arguments ? 'calibration_set'),
                          count(p.operation)) END AS refitted
    INTO n FROM unnest(plan) p WHERE p.operation IS NOT NULL OR p.reason = 'nothing to prune';
  SELECT hartonomous_internal.passed_over(count(*) FILTER (WHERE p.reason = 'embedding or output'),
    'embeddings or output matrix')
         || hartonomous_internal.passed_over_carried_formats(plan)
         || hartonomous_internal.passed_over(count(*) FILTER (WHERE p.reason = 'factored'), 'factored')
    INTO passed_over FROM unnest(plan) p;
  IF result IS NULL THEN
    RAISE NOTICE '%',
      concat('nothing to prune of ', n.atoms, ' atoms', ' (imported: ' || n.imported || ')', passed_over);
  ELSIF result ? 'dry_run' THEN
    RAISE NOTICE '%',
      hartonomous_internal.prune_notice(true, n.removed, n.atoms, n.removed_bytes, n.bytes) || passed_over;
  ELSE
    RAISE NOTICE '%, revision %, % s%',
      hartonomous_internal.prune_notice(false, n.removed, n.atoms, n.removed_bytes, n.bytes)
      || coalesce(n.refitted, ''),
      result ->> 'revision', result ->> 'seconds', passed_over;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_pruning(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'reports what a pruning did, would do, or that there was nothing to do; counts skipped tensors by the reasons '
  'in its plan';

CREATE FUNCTION hartonomous_internal.plan_pruning(model integer, parameters jsonb) RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  plan hartonomous.tensor_plan[];
  n record;
BEGIN
  plan := ARRAY(SELECT p FROM hartonomous.prune_plan(model, (parameters ->> 'keep_ratio')::float8,
    (parameters ->> 'threshold')::real, parameters ->> 'scope', parameters ->> 'layer_pattern',
    (parameters ->> 'include_vectors')::boolean, (parameters ->> 'include_embeddings')::boolean,
    coalesce(parameters ->> 'keep_ratio_of', 'imported'), parameters ? 'refit', parameters ->> 'calibration_set',
    (parameters ->> 'calibration_revision')::integer, (parameters ->> 'damping')::float8) p);
  SELECT count(*) FILTER (WHERE p.operation IS NOT NULL OR p.reason = 'nothing to prune') AS prunable,
         count(*) FILTER (WHERE p.reason = 'embedding or output') AS embeddings,
         count(*) FILTER (WHERE p.reason = 'carried format') AS carried,
         count(*) FILTER (WHERE p.reason = 'factored') AS factored
    INTO n FROM unnest(plan) p;
  IF n.prunable = 0 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('model "%s" has no tensor that matches "%s" to prune',
             model::hartonomous.regmodel, parameters ->> 'layer_pattern'),
      detail => format(
        'Of the tensors that match, %s are embeddings or the output matrix, %s are in a format that is only '
        'carried, %s are factored; the others are vectors.',
        n.embeddings, n.carried, n.factored),
      hint => CASE WHEN n.embeddings > 0 THEN 'include_embeddings => true prunes embeddings and output, too.'
        WHEN n.carried + n.factored = 0 THEN 'include_vectors => true prunes vectors, too.'
        ELSE 'SELECT * FROM hartonomous.prune_plan(...); tells why each tensor is skipped.' END);
  END IF;
  PERFORM hartonomous_internal.require_refit(model, parameters, plan);
  RETURN QUERY SELECT p.* FROM unnest(plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_pruning(integer, jsonb) IS
  'prune_plan() for prune_by_importance(); 22023 if no tensor is left to prune, or none can be refitted';

CREATE FUNCTION hartonomous_internal.prune_parameters(model integer, keep_ratio double precision, threshold real,
    scope text, layer_pattern text, dry_run boolean, method text, include_vectors boolean, include_embeddings boolean,
    keep_ratio_of text, refit boolean, calibration_set text, calibration_revision integer, damping double precision)
  RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.check_prune_arguments(keep_ratio, threshold, scope, method, keep_ratio_of);
  IF dry_run IS NULL THEN  -- a caller who passes dry_run expects an effect: NULL must not prune
    PERFORM hartonomous_internal.raise_error('22004', 'dry_run cannot be NULL',
      hint => 'Leave it out for false; with true, the call only reports what it would do.');
  END IF;
  RETURN jsonb_strip_nulls(jsonb_build_object(
    'keep_ratio', keep_ratio, 'threshold', threshold, 'scope', scope, 'layer_pattern', layer_pattern,
    'include_vectors', include_vectors, 'include_embeddings', include_embeddings,
    'keep_ratio_of', CASE WHEN keep_ratio IS NOT NULL THEN keep_ratio_of END))
    || hartonomous_internal.refit_parameters(model, refit, calibration_set, calibration_revision, damping);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.prune_parameters(integer, double precision, real, text, text, boolean, text,
  boolean, boolean, text, boolean, text, integer, double precision) IS
  'the arguments of prune_by_importance() as its revision records them; 22023 if they contradict each other, 22004 if '
  'dry_run is NULL, and the errors of refit_parameters()';

CREATE FUNCTION hartonomous_internal.prune_notice(dry_run boolean, removed bigint, atoms bigint, removed_bytes bigint,
  bytes bigint)
  RETURNS text
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
  RETURN format('%s %s of %s atoms (%s %%), %s -> %s', CASE WHEN dry_run THEN 'would prune' ELSE 'pruned' END,
                removed, atoms, round(100.0 * removed / greatest(atoms, 1), 1),
                hartonomous.human_bytes(bytes), hartonomous.human_bytes(bytes - removed_bytes));
COMMENT ON FUNCTION hartonomous_internal.prune_notice(boolean, bigint, bigint, bigint, bigint) IS
  'the line that a pruning prints';

CREATE FUNCTION hartonomous_internal.plan_region_pruning(model integer, parameters jsonb)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  plan hartonomous.tensor_plan[];
BEGIN
  plan := ARRAY(SELECT p FROM hartonomous.region_plan(model,
    ARRAY(SELECT r.side::real FROM jsonb_array_elements_text(parameters -> 'region') WITH ORDINALITY r (side, n)
      ORDER BY r.n),
    (parameters ->> 'keep_inside')::boolean, parameters ->> 'layer_pattern',
    (parameters ->> 'include_vectors')::boolean) p);
  IF NOT EXISTS (SELECT FROM unnest(plan) p WHERE p.operation IS NOT NULL OR p.reason = 'nothing to prune') THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('model "%s" has no tensor that matches "%s" to prune',
             model::hartonomous.regmodel, parameters ->> 'layer_pattern'),
      detail => 'All tensors that match are vectors or in a format that is only carried.',
      hint => 'include_vectors => true prunes vectors, too.');
  END IF;
  RETURN QUERY SELECT p.* FROM unnest(plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_region_pruning(integer, jsonb) IS
  'region_plan() for prune_region(); 22023 if no tensor is left to prune';

CREATE FUNCTION hartonomous_internal.region_parameters(region real[], keep_inside boolean, layer_pattern text,
    dry_run boolean, method text, include_vectors boolean) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  region := hartonomous.region(region[1], region[2], region[3], region[4], region[5], region[6]);
  PERFORM hartonomous_internal.check_prune_arguments(1, NULL, 'tensor', method);
  IF dry_run IS NULL OR keep_inside IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'dry_run and keep_inside cannot be NULL',
      hint => 'Leave them out for false.');
  END IF;
  RETURN jsonb_build_object('region', hartonomous_internal.reals_json(region), 'keep_inside', keep_inside,
                            'layer_pattern', layer_pattern, 'include_vectors', include_vectors);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.region_parameters(real[], boolean, text, boolean, text, boolean) IS
  'the arguments of prune_region() as its revision records them; 22023 if the region is invalid or there is no such '
  'method, 22004 if dry_run or keep_inside is NULL';

CREATE FUNCTION hartonomous_internal.plan_quantizing(model integer, parameters jsonb)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  plan hartonomous.tensor_plan[];
  n record;
BEGIN
  plan := ARRAY(SELECT p FROM hartonomous.quantize_plan(model, parameters ->> 'format', parameters ->> 'layer_pattern',
    parameters -> 'overrides', coalesce((parameters ->> 'pure')::boolean, false),
    (parameters ->> 'column_importance')::regclass, parameters ->> 'method', parameters ->> 'calibration_set',
    (parameters ->> 'calibration_revision')::integer, (parameters ->> 'damping')::double precision,
    (parameters ->> 'sweeps')::integer, (parameters ->> 'sequential')::boolean,
    parameters ->> 'curvature') p);
  SELECT count(p.operation) AS changed, count(*) FILTER (WHERE (p.details ->> 'requantizes')::boolean) AS again,
         count(*) FILTER (WHERE p.arguments ?| ARRAY['column_importance', 'calibration_set']) AS weighed,
         bool_and(coalesce(p.reason, '')
           = ANY (ARRAY['nothing planned', 'vector', 'kept by name', 'carried format', 'empty'])) AS unplanned
    INTO n FROM unnest(plan) p;
  IF parameters ->> 'format' IS NULL AND n.unplanned THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('no format is given, and none is planned for any atom of model "%s"', model::hartonomous.regmodel),
      hint => 'Pass a format, or plan with assign_mixed_precision().');
  ELSIF n.again > 0 AND NOT (parameters ->> 'requantize')::boolean THEN
    PERFORM hartonomous_internal.raise_error('55000', format('%s tensors are already quantized', n.again),
      detail => 'Quantizing them again would add to their error.',
      hint => 'Call rollback_model() first, or pass requantize => true.');
  ELSIF n.changed > 0 AND parameters ? 'column_importance' AND n.weighed = 0 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('%s names no tensor that is to be quantized', parameters ->> 'column_importance'),
      hint => 'Its layer_name must match layer_name in hartonomous.model_layers.');
  ELSIF n.changed > 0 AND parameters ? 'calibration_set' AND n.weighed = 0 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('calibration set "%s" has statistics of no tensor that is to be quantized',
             parameters ->> 'calibration_set'),
      hint => 'hartonomous.calibration_stats has one row for each tensor with statistics.');
  END IF;
  PERFORM hartonomous_internal.require_importance(plan, parameters ->> 'format');
  PERFORM hartonomous_internal.report_hessian_cost(model, plan);
  RETURN QUERY SELECT p.* FROM unnest(plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_quantizing(integer, jsonb) IS
  'quantize_plan() for quantize_model(); 22023 if nothing is planned or importance is missing, 55000 if tensors are '
  'already quantized and requantize is false';

CREATE FUNCTION hartonomous_internal.report_quantizing(model integer, parameters jsonb, plan hartonomous.tensor_plan[],
  result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  target text;
  n record;
BEGIN
  SELECT CASE WHEN (parameters ->> 'pure')::boolean THEN p.base_format ELSE p.mixture END INTO target
    FROM hartonomous.mixtures() p WHERE p.mixture = hartonomous_internal.mixture_named(parameters ->> 'format');
  target := coalesce(target, upper(parameters ->> 'format'), 'the planned formats');
  IF result IS NULL THEN
    RAISE NOTICE 'no tensor to convert to %: nothing done%', target,
      hartonomous_internal.passed_over_carried_formats(plan);
    RETURN;
  END IF;
  SELECT count(p.operation) AS changed,
    count(*) FILTER (WHERE p.arguments ? 'column_importance' OR p.arguments ->> 'method' = 'imatrix') AS weighed,
    count(*) FILTER (WHERE p.arguments ->> 'method' = 'hessian') AS by_hessian,
    count(*) FILTER (WHERE p.arguments ? 'curvature') AS two_sided,
         count(*) FILTER (WHERE p.operation IS NOT NULL AND p.reason IS NOT NULL) AS fallbacks
    INTO n FROM unnest(plan) p;
  RAISE NOTICE 'quantized % tensors% to %, % -> %, revision %, % s%', n.changed,
    coalesce(' (' || nullif(concat_ws(', ',
      CASE WHEN parameters ->> 'method' = 'hessian' THEN format('%s by Hessian', n.by_hessian) END,
      CASE WHEN parameters ->> 'curvature' = 'fisher' THEN format('%s of them two-sided', n.two_sided) END,
      CASE WHEN n.weighed > 0 OR parameters ->> 'method' = 'imatrix' THEN format('%s by importance', n.weighed) END,
      CASE WHEN n.weighed + n.by_hessian < n.changed AND parameters ? 'calibration_set'
           THEN format('%s without', n.changed - n.weighed - n.by_hessian) END), '') || ')', ''),
    target || CASE WHEN n.fallbacks > 0 THEN format(' (%s to a fallback: see quantize_plan)', n.fallbacks) ELSE '' END,
    hartonomous.human_bytes((result ->> 'bytes_before')::bigint),
    hartonomous.human_bytes((result ->> 'bytes_after')::bigint),
    result ->> 'revision', result ->> 'seconds', hartonomous_internal.passed_over_carried_formats(plan);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_quantizing(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'reports what quantize_model() did, or that there was nothing to do';

CREATE FUNCTION hartonomous_internal.quantize_parameters(model integer, format text, pure boolean,
    layer_pattern text, requantize boolean, column_importance regclass, overrides jsonb, method text,
    calibration_set text, calibration_revision integer, damping double precision, sweeps integer, sequential boolean,
    curvature text)
  RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF layer_pattern IS NULL OR requantize IS NULL OR pure IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'layer_pattern, requantize and pure cannot be NULL',
      hint => 'Leave them out for their defaults: "%", which matches all tensors, and false.');
  END IF;
  RETURN jsonb_strip_nulls(
    jsonb_build_object('format', coalesce(hartonomous_internal.mixture_named(format), upper(format)),
      'pure', CASE WHEN pure THEN true END, 'layer_pattern', layer_pattern, 'requantize', requantize,
      'column_importance', column_importance)) || CASE WHEN overrides IS NULL THEN '{}'
    ELSE jsonb_build_object('overrides', overrides) END
    || hartonomous_internal.quantize_calibration(model, method, calibration_set, calibration_revision,
         column_importance, damping, sweeps, sequential, curvature);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.quantize_parameters(integer, text, boolean, text, boolean, regclass, jsonb,
  text, text, integer, double precision, integer, boolean, text) IS
  'the arguments of quantize_model() as its revision records them; 22004 if a required one is NULL, and the errors of '
  'quantize_calibration()';

CREATE FUNCTION hartonomous_internal.plan_encoding(model integer, parameters jsonb)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.geometry_plan(model, parameters ->> 'format');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_encoding(integer, jsonb) IS
  'geometry_plan() for quantize_model_geometry()';

CREATE FUNCTION hartonomous_internal.report_encoding(model integer, parameters jsonb, plan hartonomous.tensor_plan[],
  result jsonb)
  RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  positions bigint := (SELECT sum((p.details ->> 'positions')::bigint) FROM unnest(plan) p);
  before bigint := result ->> 'disk_before';
  after bigint := result ->> 'disk_after';
BEGIN
  IF result IS NULL THEN
    RAISE NOTICE 'model "%" has no positions to quantize: nothing done', model::hartonomous.regmodel;
    RETURN;
  END IF;
  UPDATE hartonomous.model_revisions r
     SET metrics = r.metrics
     || jsonb_build_object('positions', positions, 'disk_bytes_before', before, 'disk_bytes_after', after)
   WHERE r.revision_id = (result ->> 'revision')::integer;
  RAISE NOTICE 'quantized % positions to %, % -> % on disk (% %%), revision %, % s', positions, parameters ->> 'format',
    hartonomous.human_bytes(before), hartonomous.human_bytes(after),
    to_char(100.0 * (after - before) / before, 'FMSG990.0'),
    result ->> 'revision', result ->> 'seconds';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_encoding(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'reports the disk space that quantize_model_geometry() saved, and records it with the revision, or that there was '
  'nothing to do';
