-- The planner and the reporter of merge_adapter() (internal/stages.sql).

CREATE FUNCTION hartonomous_internal.plan_merging(model integer, parameters jsonb)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY SELECT p.* FROM hartonomous.merge_plan(model, (parameters ->> 'adapter')::integer,
    (parameters ->> 'scale')::float8) p;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_merging(integer, jsonb) IS 'merge_plan() for merge_adapter()';

CREATE FUNCTION hartonomous_internal.report_merging(model integer, parameters jsonb, plan hartonomous.tensor_plan[],
  result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF result IS NULL THEN
    RAISE NOTICE 'nothing to merge: adapter "%" was merged in revision %', parameters ->> 'adapter_name',
      hartonomous_internal.merged_before(model, (parameters ->> 'adapter')::integer);
  ELSE
    RAISE NOTICE 'merged adapter "%" into % tensors at scale %, revision %, % s', parameters ->> 'adapter_name',
      (SELECT count(p.operation) FROM unnest(plan) p), parameters ->> 'scale', result ->> 'revision',
      result ->> 'seconds';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_merging(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'reports what merge_adapter() did';
