-- Several formats in one model: rules of one's own, a format planned for each atom.

CREATE FUNCTION hartonomous.check_rules(rules jsonb, by_importance boolean) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  rule jsonb;
  wrong text;
BEGIN
  IF jsonb_typeof(rules) <> 'array' THEN
    RAISE EXCEPTION 'rules must be an array of objects, not %', jsonb_typeof(rules) USING ERRCODE = '22023';
  END IF;
  FOR rule IN SELECT jsonb_array_elements(rules) LOOP
    wrong := CASE
      WHEN jsonb_typeof(rule) <> 'object' THEN 'is no object'
      WHEN NOT rule ? 'format' THEN 'has no format'
      WHEN jsonb_typeof(rule -> 'format') NOT IN ('string', 'null') THEN 'has a format that is no text'
      WHEN jsonb_typeof(rule -> 'pattern') <> 'string' THEN 'has a pattern that is no text'
      WHEN jsonb_typeof(rule -> 'importance_above') <> 'number' THEN 'has an importance_above that is no number'
      WHEN abs((rule ->> 'importance_above')::numeric) > 1e30 THEN 'has an importance_above that is out of range'
      WHEN rule ? 'importance_above' AND NOT by_importance THEN 'cannot have importance_above: a tensor has one format here'
      WHEN rule - ARRAY['pattern', 'format', 'importance_above'] <> '{}' THEN 'has keys that are unknown' END;
    IF wrong IS NOT NULL THEN
      RAISE EXCEPTION 'rule % %', rule, wrong
        USING ERRCODE = '22023', HINT = 'For example {"pattern": "blk.%.ffn%", "format": "Q4_K"}; format null keeps what is there.';
    END IF;
    PERFORM hartonomous.fitting_format(rule ->> 'format', 256);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.check_rules(jsonb, boolean) IS
  '22023 when rules are not an array of objects with format (text or null) and perhaps pattern and importance_above, or name an unknown format; 0A000 when a format cannot be written';

CREATE FUNCTION hartonomous.default_precision_rules() RETURNS jsonb
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN '[{"importance_above": 5, "format": "F16"}, {"importance_above": 2, "format": "Q8_0"}, {"format": "Q4_K"}]'::jsonb;
COMMENT ON FUNCTION hartonomous.default_precision_rules() IS
  'the rules of assign_mixed_precision() when none are given: the more important an atom, the more bits';

-- A plan is no weight, so this makes no revision: quantize_model() carries it out, and that does.
CREATE FUNCTION hartonomous.assign_mixed_precision(model integer, rules jsonb DEFAULT NULL, nowait boolean DEFAULT false)
  RETURNS TABLE (planned_format text, tensors bigint, atoms bigint, weights bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 5
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  chosen text;
  quantized bigint[];
BEGIN
  rules := coalesce(rules, hartonomous.default_precision_rules());
  PERFORM hartonomous.check_rules(rules, true);
  PERFORM hartonomous.current_revision(model);
  PERFORM hartonomous.require_matching_tensors(model, r ->> 'pattern') FROM jsonb_array_elements(rules) r WHERE r ? 'pattern';
  PERFORM hartonomous.lock_model(model, nowait);
  SELECT 'CASE ' || string_agg(format('WHEN a.tensor_name LIKE %L AND %s THEN %L', coalesce(r.rule ->> 'pattern', '%'),
           CASE WHEN r.rule ? 'importance_above'
                THEN format('a.importance_score > %L::real', r.rule ->> 'importance_above') ELSE 'true' END,
           upper(r.rule ->> 'format')), ' ' ORDER BY r.n) || ' END' INTO chosen
    FROM jsonb_array_elements(rules) WITH ORDINALITY r (rule, n);
  -- Of the tensors that quantize_model() would leave alone nothing is planned.
  SELECT array_agg(q.layer_id) INTO quantized FROM hartonomous.quantize_plan(model, 'F32') q
   WHERE coalesce(q.reason, '') <> ALL (ARRAY['vector', 'kept by name', 'opaque']);
  chosen := format('CASE WHEN a.layer_id = ANY ($2) THEN %s END', coalesce(chosen, 'NULL'));
  EXECUTE format($sql$
    UPDATE hartonomous.tensor_atoms a SET quantization_format = %1$s
     WHERE a.model_id = $1 AND a.quantization_format IS DISTINCT FROM %1$s$sql$, chosen) USING model, quantized;
  RETURN QUERY EXECUTE $sql$
    SELECT a.quantization_format, count(DISTINCT a.layer_id), count(*),
           sum(hartonomous.weights_count(a.atom_data))::bigint
      FROM hartonomous.tensor_atoms a WHERE a.model_id = $1
     GROUP BY a.quantization_format ORDER BY 4 DESC$sql$ USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.assign_mixed_precision(integer, jsonb, boolean) IS
  'plans a format for each atom of the matrices of a model, by the first rule it falls under: an array of objects with format, perhaps pattern (LIKE, of tensor names) and importance_above; none falls under any: none planned; returns what is planned now, a row a format; quantize_model(model) carries it out; 22023 on wrong rules, 42704, 55P03 with nowait';

CREATE FUNCTION hartonomous.assign_mixed_precision(model text, rules jsonb DEFAULT NULL, nowait boolean DEFAULT false)
  RETURNS TABLE (planned_format text, tensors bigint, atoms bigint, weights bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 5
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.assign_mixed_precision(hartonomous.model_id(model), rules, nowait);
END
$$;
COMMENT ON FUNCTION hartonomous.assign_mixed_precision(text, jsonb, boolean) IS 'the same for a model by its name';
