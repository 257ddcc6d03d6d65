-- The formats that llama-quantize's mixtures give each tensor, and the rules of assign_mixed_precision().

CREATE FUNCTION hartonomous_internal.check_rules(rules jsonb, by_importance boolean) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  rule jsonb;
  wrong text;
BEGIN
  IF jsonb_typeof(rules) <> 'array' THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('rules must be an array of objects, not %s', jsonb_typeof(rules)),
      hint => 'For example [{"pattern": "blk.%.ffn%", "format": "Q4_K"}].');
  END IF;
  FOR rule IN SELECT jsonb_array_elements(rules) LOOP
    wrong := CASE
      WHEN jsonb_typeof(rule) <> 'object' THEN 'is no object'
      WHEN NOT rule ? 'format' THEN 'has no format'
      WHEN jsonb_typeof(rule -> 'format') NOT IN ('string', 'null') THEN 'has a format that is no text'
      WHEN jsonb_typeof(rule -> 'pattern') <> 'string' THEN 'has a pattern that is no text'
      WHEN jsonb_typeof(rule -> 'importance_above') <> 'number' THEN 'has an importance_above that is no number'
      WHEN abs((rule ->> 'importance_above')::numeric) > 1e30 THEN 'has an importance_above that is out of range'
      WHEN rule ? 'importance_above'
      AND NOT by_importance THEN 'cannot have importance_above: a tensor has one format here'
      WHEN rule - ARRAY['pattern', 'format', 'importance_above'] <> '{}' THEN 'has keys that are unknown' END;
    IF wrong IS NOT NULL THEN
      PERFORM hartonomous_internal.raise_error('22023', format('rule %s %s', rule, wrong),
        hint => 'For example {"pattern": "blk.%.ffn%", "format": "Q4_K"}; format null keeps the present format.');
    END IF;
    PERFORM hartonomous_internal.fitting_format(rule ->> 'format', 256);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_rules(jsonb, boolean) IS
  '22023 if rules are not an array of objects with format (text or null) and optionally pattern and importance_above, '
  'or name an unknown format; 0A000 if a format cannot be written';

CREATE FUNCTION hartonomous_internal.default_precision_rules() RETURNS jsonb
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN '[{"importance_above": 5, "format": "F16"}, {"importance_above": 2, "format": "Q8_0"}, '
    '{"format": "Q4_K"}]'::jsonb;
COMMENT ON FUNCTION hartonomous_internal.default_precision_rules() IS
  'the rules of assign_mixed_precision() if none are given: the more important an atom, the more bits';
