-- Mixed precision: llama-quantize's mixtures, rules given by the user, and formats planned for single atoms.

-- Planning changes no weights, so it does not make a revision; quantize_model(), which carries out the plan, does.
CREATE FUNCTION hartonomous.assign_mixed_precision(model hartonomous.regmodel, rules jsonb DEFAULT NULL,
  nowait boolean DEFAULT false)
  RETURNS TABLE (planned_format text, tensors bigint, atoms bigint, weights bigint)
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000 ROWS 5
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  chosen text;
  quantized bigint[];
BEGIN
  rules := coalesce(rules, hartonomous_internal.default_precision_rules());
  PERFORM hartonomous_internal.check_rules(rules, true);
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.require_matching_tensors(model, r ->> 'pattern') FROM jsonb_array_elements(rules) r
    WHERE r ? 'pattern';
  PERFORM hartonomous_internal.lock_model(model, nowait);
  PERFORM hartonomous_internal.require_live_atoms(model);
  SELECT 'CASE ' || string_agg(format('WHEN a.tensor_name LIKE %L AND %s THEN %L', coalesce(r.rule ->> 'pattern', '%'),
           CASE WHEN r.rule ? 'importance_above'
                THEN format('a.importance_score > %L::real', r.rule ->> 'importance_above') ELSE 'true' END,
           upper(r.rule ->> 'format')), ' ' ORDER BY r.n) || ' END' INTO chosen
    FROM jsonb_array_elements(rules) WITH ORDINALITY r (rule, n);
  -- Nothing is planned for tensors that quantize_model() would skip.
  SELECT array_agg(q.layer_id) INTO quantized FROM hartonomous.quantize_plan(model, 'F32') q
   WHERE coalesce(q.reason, '') <> ALL (ARRAY['vector', 'kept by name', 'carried format']);
  chosen := format('CASE WHEN a.layer_id = ANY ($2) THEN %s END', coalesce(chosen, 'NULL'));
  EXECUTE format($sql$
    UPDATE hartonomous.tensor_atoms a SET planned_format = %1$s
     WHERE a.model_id = $1 AND a.planned_format IS DISTINCT FROM %1$s$sql$, chosen) USING model, quantized;
  RETURN QUERY EXECUTE $sql$
    SELECT a.planned_format, count(DISTINCT a.layer_id), count(*),
           sum(hartonomous.weights_count(a.atom_data))::bigint
      FROM hartonomous.tensor_atoms a WHERE a.model_id = $1
     GROUP BY a.planned_format ORDER BY 4 DESC$sql$ USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.assign_mixed_precision(hartonomous.regmodel, jsonb, boolean) IS
  'plans a format for each atom of the matrices of a model, by the first rule that matches: an array of objects with '
  'format and optionally pattern (LIKE, for names of tensors) and importance_above; atoms without a match get no plan; '
  'returns the plan, one row per format; quantize_model(model) carries it out; 22023 if the rules are invalid, 42704, '
  '55P03 with nowait';
