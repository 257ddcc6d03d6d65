-- Several formats in one model: llama-quantize's mixes, rules of one's own, a format planned for each atom.

-- Smallest first. base_format is what a mix gives where nothing asks for another.
CREATE FUNCTION hartonomous.format_presets() RETURNS TABLE (preset text, file_type integer, base_format text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1 ROWS 19
BEGIN ATOMIC
  SELECT v.preset, v.file_type, v.base_format FROM (VALUES
    ('Q2_K_S', 21, 'Q2_K'), ('Q2_K', 10, 'Q2_K'), ('Q3_K_S', 11, 'Q3_K'), ('Q3_K_M', 12, 'Q3_K'), ('Q3_K_L', 13, 'Q3_K'),
    ('Q4_0', 2, 'Q4_0'), ('IQ4_NL', 25, 'IQ4_NL'), ('Q4_K_S', 14, 'Q4_K'), ('Q4_K_M', 15, 'Q4_K'), ('Q4_1', 3, 'Q4_1'), ('Q5_0', 8, 'Q5_0'),
    ('Q5_K_S', 16, 'Q5_K'), ('Q5_K_M', 17, 'Q5_K'), ('Q5_1', 9, 'Q5_1'), ('Q6_K', 18, 'Q6_K'), ('Q8_0', 7, 'Q8_0'),
    ('F16', 1, 'F16'), ('BF16', 32, 'BF16'), ('F32', 0, 'F32')) v (preset, file_type, base_format);
END;
COMMENT ON FUNCTION hartonomous.format_presets() IS
  'the file types of llama-quantize that quantize_model() makes: their names, their numbers (general.file_type) and the format of most of their tensors';

CREATE FUNCTION hartonomous.preset_named(name text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
BEGIN ATOMIC
  SELECT p.preset FROM hartonomous.format_presets() p
   WHERE p.preset = upper(name) || CASE WHEN upper(name) IN ('Q3_K', 'Q4_K', 'Q5_K') THEN '_M' ELSE '' END;
END;
COMMENT ON FUNCTION hartonomous.preset_named(text) IS
  'the file type that llama-quantize takes a name for, such as Q4_K_M for q4_k; NULL when it is none of format_presets()';

-- llama-quantize's own arithmetic, in integers: the first and last eighth, and every third between.
CREATE FUNCTION hartonomous.uses_more_bits(i bigint, n bigint) RETURNS boolean
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN i < n / 8 OR i >= 7 * n / 8 OR (i - n / 8) % 3 = 2;
COMMENT ON FUNCTION hartonomous.uses_more_bits(bigint, bigint) IS
  'whether llama-quantize''s _M mixes give more bits to the i-th of n tensors or blocks';

-- By whole words: attn_v_b of models with latent attention (MLA) is no attn_v. What makes values out of latents is.
CREATE FUNCTION hartonomous.tensor_category(layer_name text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE
    WHEN layer_name IN ('output.weight', 'lm_head.weight') THEN 'output'
    WHEN layer_name ~ '^(per_layer_)?token_embd\.weight$|embed_tokens\.weight$' THEN 'token_embd'
    WHEN layer_name ~ 'attn_(qkv|kv_b|v)\.weight' THEN 'attn_v'
    WHEN layer_name ~ 'attn_k\.weight' THEN 'attn_k'
    WHEN layer_name ~ 'attn_output\.weight' THEN 'attn_output'
    WHEN layer_name ~ 'ffn_down' THEN 'ffn_down'
    ELSE 'other' END;
COMMENT ON FUNCTION hartonomous.tensor_category(text) IS
  'the kind of a tensor that llama-quantize''s mixes look at, by its name';

CREATE FUNCTION hartonomous.attn_v_format(preset text, base text, i bigint, n bigint, heads_per_kv integer, seventy boolean)
  RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
BEGIN ATOMIC
  SELECT CASE WHEN seventy AND chosen.format IN ('Q3_K', 'Q4_K') THEN 'Q5_K' ELSE chosen.format END
    FROM (SELECT CASE
      WHEN preset IN ('Q2_K', 'Q2_K_S') AND heads_per_kv >= 4 THEN 'Q4_K'
      WHEN preset = 'Q2_K' THEN 'Q3_K'
      WHEN preset = 'Q3_K_M' THEN CASE WHEN i < 2 THEN 'Q5_K' ELSE 'Q4_K' END
      WHEN preset = 'Q3_K_L' OR preset = 'IQ4_NL' AND heads_per_kv >= 4 THEN 'Q5_K'
      WHEN preset IN ('Q4_K_M', 'Q5_K_M') AND hartonomous.uses_more_bits(i, n) THEN 'Q6_K'
      WHEN preset = 'Q4_K_S' AND i < 4 THEN 'Q5_K'
      ELSE base END AS format) chosen;
END;
COMMENT ON FUNCTION hartonomous.attn_v_format(text, text, bigint, bigint, integer, boolean) IS
  'the format of the i-th of n matrices that make values of attention, in a model without eight experts';

CREATE FUNCTION hartonomous.ffn_down_format(preset text, base text, i bigint, n bigint, falcon boolean, by_importance boolean)
  RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN CASE
    WHEN preset = 'Q2_K' THEN 'Q3_K'
    WHEN preset = 'Q2_K_S' AND i < n / 8 THEN 'Q4_K'
    WHEN preset = 'Q3_K_M' AND i < n / 16 THEN 'Q5_K'
    WHEN preset = 'Q3_K_M' AND (NOT falcon OR hartonomous.uses_more_bits(i, n)) THEN 'Q4_K'
    WHEN preset = 'Q3_K_L' THEN CASE WHEN falcon THEN 'Q4_K' ELSE 'Q5_K' END
    WHEN preset = 'Q4_K_M' AND falcon AND i >= n / 16 THEN
      CASE WHEN hartonomous.uses_more_bits(i, n) THEN 'Q5_K' ELSE base END
    WHEN preset IN ('Q4_K_M', 'Q5_K_M') AND hartonomous.uses_more_bits(i, n) THEN 'Q6_K'
    WHEN preset = 'Q4_K_S' AND NOT falcon AND i < n / 8 THEN 'Q5_K'
    WHEN preset = 'IQ4_NL' AND NOT by_importance AND i < n / 8 THEN 'Q5_K'
    WHEN preset = 'Q4_0' AND by_importance AND i < n / 8 THEN 'Q4_1'
    WHEN preset = 'Q5_0' AND by_importance AND i < n / 8 THEN 'Q5_1'
    ELSE base END;
COMMENT ON FUNCTION hartonomous.ffn_down_format(text, text, bigint, bigint, boolean, boolean) IS
  'the format of a matrix that leads back from the wide middle of a block, the i-th of n';

CREATE FUNCTION hartonomous.attn_output_format(preset text, base text, falcon boolean, eight_experts boolean) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN CASE
    WHEN falcon THEN CASE preset WHEN 'Q3_K_L' THEN 'Q4_K' ELSE base END
    WHEN eight_experts THEN CASE WHEN preset IN ('Q2_K', 'Q3_K_S', 'Q3_K_M', 'IQ4_NL', 'Q4_K_S', 'Q4_K_M') THEN 'Q5_K' ELSE base END
    ELSE CASE preset WHEN 'Q2_K' THEN 'Q3_K' WHEN 'Q3_K_M' THEN 'Q4_K' WHEN 'Q3_K_L' THEN 'Q5_K' ELSE base END END;
COMMENT ON FUNCTION hartonomous.attn_output_format(text, text, boolean, boolean) IS
  'the format of a matrix that leads out of attention';

-- In one pass: the metadata may be many megabytes.
CREATE FUNCTION hartonomous.mix_traits(model integer, OUT container text, OUT blocks bigint, OUT experts integer,
    OUT heads_per_kv integer, OUT falcon boolean, OUT seventy boolean)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
  SET jit = off
AS $$
DECLARE
  arch text;
  heads integer;
  kv_heads integer;
BEGIN
  SELECT m.architecture, m.metadata ->> 'format',
         max(k.value) FILTER (WHERE k.key = 'block_count'), max(k.value) FILTER (WHERE k.key = 'expert_count'),
         max(k.value) FILTER (WHERE k.key = 'attention.head_count'),
         max(k.value) FILTER (WHERE k.key = 'attention.head_count_kv')
    INTO arch, container, blocks, experts, heads, kv_heads
    FROM hartonomous.models m
    -- A number, or one number a block: then the first block's.
    LEFT JOIN LATERAL (
      SELECT substr(kv ->> 'key', length(m.architecture) + 2) AS key,
             (jsonb_path_query_first(kv -> 'value', 'lax $[0] ? (@.type() == "number")') #>> '{}')::numeric AS value
        FROM jsonb_array_elements(m.metadata -> 'kv') kv
       WHERE kv ->> 'key' = ANY (ARRAY[m.architecture || '.block_count', m.architecture || '.expert_count',
               m.architecture || '.attention.head_count', m.architecture || '.attention.head_count_kv'])) k ON true
   WHERE m.model_id = model GROUP BY m.model_id;
  blocks := coalesce(blocks, hartonomous.block_count(model));
  experts := coalesce(experts, 0);
  kv_heads := coalesce(kv_heads, heads);
  heads_per_kv := coalesce(heads / nullif(kv_heads, 0), 0);
  falcon := coalesce(arch = 'falcon', false);
  -- What llama.cpp takes for a model of 70 billion weights.
  seventy := coalesce(CASE WHEN arch IN ('llama', 'llama-embed') THEN blocks = 80 AND heads <> kv_heads
                           WHEN arch IN ('qwen2', 'deci', 'olmo') THEN blocks = 80
                           WHEN arch = 'jais2' THEN blocks = 68 END, false);
END
$$;
COMMENT ON FUNCTION hartonomous.mix_traits(integer) IS
  'what llama-quantize''s mixes look at in the metadata of a model: its container, blocks, experts, heads of queries for each of keys (in its first block), whether it is a Falcon, whether it counts as one of 70 billion weights';

-- With experts a block may have several ffn_down, in whatever order: then its number counts. Otherwise the tensors do.
CREATE FUNCTION hartonomous.preset_formats(model integer, preset text DEFAULT NULL, by_importance boolean DEFAULT false)
  RETURNS TABLE (mix text, layer_id bigint, format text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  wanted constant text := hartonomous.preset_named(preset_formats.preset);
  has record;
BEGIN
  IF preset_formats.preset IS NOT NULL AND wanted IS NULL THEN
    RAISE EXCEPTION 'unknown preset "%"', preset_formats.preset
      USING ERRCODE = '22023',
            HINT = format('Presets are %s.', (SELECT string_agg(p.preset, ', ') FROM hartonomous.format_presets() p));
  END IF;
  SELECT * INTO has FROM hartonomous.mix_traits(model);
  RETURN QUERY
    WITH kinds AS (
      SELECT l.layer_id, l.layer_name, hartonomous.tensor_category(l.layer_name) AS category,
             coalesce((regexp_match(l.layer_name, '^blk\.(\d{1,9})\.'))[1]::bigint, -1) AS block,
             hartonomous.is_matrix(l.tensor_shape) AND hartonomous.is_quantizable_name(l.layer_name, has.container) AS quantized
        FROM hartonomous.model_layers l WHERE l.model_id = model),
    counted AS (
      SELECT k.*, count(*) OVER (PARTITION BY k.category) AS n, bool_or(k.category = 'output') OVER () AS has_output,
             count(*) FILTER (WHERE k.quantized)
               OVER (PARTITION BY k.category ORDER BY k.block, k.layer_name COLLATE "C") - 1 AS i
        FROM kinds k)
    SELECT p.preset, c.layer_id, CASE
        WHEN p.base_format IN ('F32', 'F16', 'BF16') THEN p.base_format
        WHEN c.category = 'output' OR c.category = 'token_embd' AND NOT c.has_output THEN
          CASE WHEN has.falcon OR p.base_format = 'Q8_0' THEN 'Q8_0' ELSE 'Q6_K' END
        WHEN c.category IN ('attn_v', 'attn_k') AND has.experts = 8 THEN 'Q8_0'
        WHEN c.category = 'attn_v' THEN
          hartonomous.attn_v_format(p.preset, p.base_format, c.i, c.n, has.heads_per_kv, has.seventy)
        WHEN c.category = 'attn_output' THEN
          hartonomous.attn_output_format(p.preset, p.base_format, has.falcon, has.experts = 8)
        WHEN c.category = 'ffn_down' THEN
          hartonomous.ffn_down_format(p.preset, p.base_format, CASE WHEN has.experts > 1 THEN c.block ELSE c.i END,
                                      has.blocks, has.falcon, by_importance)
        ELSE p.base_format END
      FROM counted c CROSS JOIN hartonomous.format_presets() p
     WHERE wanted IS NULL OR p.preset = wanted;
END
$$;
COMMENT ON FUNCTION hartonomous.preset_formats(integer, text, boolean) IS
  'the format llama-quantize''s mix (each of them when it is NULL) gives each tensor of a model, with or without importance, before its fallbacks for rows that fit no block, and whether or not it is quantized at all; by GGUF''s names of tensors; 22023 on an unknown preset';

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
