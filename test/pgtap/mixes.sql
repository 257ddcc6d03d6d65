-- llama-quantize's mixes: what every tensor gets. The expected formats are those in the files that
-- llama_model_quantize() of llama.cpp v0.5.0 wrote of GGUF files with these tensors and keys, with and without
-- importance.
BEGIN;
\ir lib/model_files.sql
SELECT no_plan();
-- A model of so many blocks, each with the tensors named, and two or no matrices outside.
CREATE FUNCTION lib.blocks_gguf(architecture text, blocks integer, names text[], keys json DEFAULT '{}',
  tied boolean DEFAULT false,
  columns integer DEFAULT 256, without integer[] DEFAULT '{}') RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ROW('token_embd.weight', ARRAY[columns, 2], 0, waves(2, columns, 1))::tensor
      || (SELECT array_agg(ROW(format('blk.%s.%s.weight', b, name), ARRAY[columns, 2], 0, waves(2, columns, b))::tensor
        ORDER BY n DESC, b)
            FROM generate_series(0, blocks - 1) b, unnest(names) WITH ORDINALITY u (name, n) WHERE b <> ALL (without))
      || ROW('output_norm.weight', ARRAY[columns], 0, waves(1, columns, 2))::tensor
      || CASE WHEN tied THEN '{}'
      ELSE ARRAY[ROW('output.weight', ARRAY[columns, 2], 0, waves(2, columns, 3))::tensor] END,
    ARRAY[kv_text('general.architecture', architecture), kv_u32(architecture || '.block_count', blocks)]
      || ARRAY(SELECT kv_u32(architecture || '.' || key, value::integer) FROM json_each_text(keys)));
-- Numbers in order, as ranges: 0-2,5
CREATE FUNCTION lib.ranges(numbers integer[]) RETURNS text LANGUAGE sql IMMUTABLE
  RETURN (SELECT string_agg(CASE WHEN first = last THEN first::text ELSE first || '-' || last END, ',' ORDER BY first)
    FROM (
    SELECT min(i) AS first, max(i) AS last
    FROM (SELECT i, i - row_number() OVER (ORDER BY i) AS run FROM unnest(numbers) i) x GROUP BY run) y);
-- 'tensor:format:blocks' of a plan, those of the base format not named
CREATE FUNCTION lib.mix(model text, preset text, by_importance boolean) RETURNS text
  LANGUAGE plpgsql AS $$ BEGIN RETURN (
  SELECT coalesce(
    string_agg(concat_ws(':', name, format, CASE WHEN blocks <> '{-1}' THEN ranges(blocks) END), ' '
      ORDER BY name COLLATE "C", format), '') FROM (
    SELECT regexp_replace(layer_name, '^blk\.\d+\.|\.weight$', '', 'g') AS name, target_format AS format,
           array_agg(layer_number(layer_name) ORDER BY layer_number(layer_name)) AS blocks
      FROM quantize_plan(model, preset, column_importance => CASE
        WHEN by_importance THEN 'lib.importance'::regclass END)
     WHERE target_format <> (SELECT base_format FROM format_presets() p WHERE p.preset = mix.preset) GROUP BY 1, 2) x);
       END $$;
CREATE TABLE lib.importance (layer_name text, column_importance real[]);

CREATE TABLE lib.fixture (model text, file bytea);
INSERT INTO lib.fixture VALUES
  ('dense',
    blocks_gguf('llama', 9, '{attn_q,attn_k,attn_v,attn_output,ffn_gate,ffn_up,ffn_down}',
      '{"attention.head_count": 4, "attention.head_count_kv": 4}')),
  ('grouped', blocks_gguf('llama', 17, '{attn_q,attn_k,attn_v,attn_output,ffn_gate,ffn_up,ffn_down}',
    '{"attention.head_count": 8, "attention.head_count_kv": 2}', true)),
  ('narrow',
    blocks_gguf('llama', 9, '{attn_q,attn_k,attn_v,attn_output,ffn_gate,ffn_up,ffn_down}',
      '{"attention.head_count": 4}', columns => 64)),
  ('odd', blocks_gguf('llama', 2, '{attn_q,attn_k,attn_v,attn_output,ffn_gate,ffn_up,ffn_down}', columns => 44)),
  ('seventy',
    blocks_gguf('llama', 80, '{attn_v,ffn_down}', '{"attention.head_count": 8, "attention.head_count_kv": 1}')),
  ('fused', blocks_gguf('phi2', 9, '{attn_qkv,attn_output,ffn_up,ffn_down}', '{"attention.head_count": 4}')),
  ('experts',
    blocks_gguf('llama', 8,
      '{attn_q,attn_k,attn_v,attn_output,ffn_down.0,ffn_down.1,ffn_down.2,ffn_down.3,ffn_down.4,ffn_down.5,ffn_down.6,'
      'ffn_down.7}',
      '{"expert_count": 8}')),
  ('merged',
    blocks_gguf('llama', 12, '{attn_v,attn_output,ffn_down_exps}', '{"expert_count": 4}', true, without => '{0,5}')),
  ('shared',
    blocks_gguf('qwen2moe', 11, '{attn_k,attn_v,ffn_gate_inp,ffn_down_exps,ffn_down_shexp}', '{"expert_count": 60}')),
  ('latent', blocks_gguf('deepseek2', 9, '{attn_kv_b,attn_k_b,attn_v_b,attn_output,ffn_down}', '{"expert_count": 6}')),
  ('falcon',
    blocks_gguf('falcon', 32, '{attn_qkv,attn_output,ffn_up,ffn_down}',
      '{"attention.head_count": 4, "attention.head_count_kv": 1}'));
SELECT is(count(import_gguf(file, model)), 11::bigint, 'the models') FROM lib.fixture;
SELECT is(mix(model, preset, by_importance), expected,
  format('%s: %s%s', model, preset, CASE WHEN by_importance THEN ' by importance' ELSE '' END))
  FROM (VALUES
  ('dense', 'Q2_K_S', true, 'ffn_down:Q4_K:0 output:Q6_K'),
    ('dense', 'Q2_K', false, 'attn_output:Q3_K:0-8 attn_v:Q3_K:0-8 ffn_down:Q3_K:0-8 output:Q6_K'),
    ('dense', 'Q3_K_S', false, 'output:Q6_K'),
    ('dense', 'Q3_K_M', false, 'attn_output:Q4_K:0-8 attn_v:Q4_K:2-8 attn_v:Q5_K:0-1 ffn_down:Q4_K:0-8 output:Q6_K'),
    ('dense', 'Q3_K_L', false, 'attn_output:Q5_K:0-8 attn_v:Q5_K:0-8 ffn_down:Q5_K:0-8 output:Q6_K'),
    ('dense', 'Q4_0', false, 'output:Q6_K'),
    ('dense', 'Q4_0', true, 'ffn_down:Q4_1:0 output:Q6_K'),
    ('dense', 'Q4_1', false, 'output:Q6_K'),
    ('dense', 'Q5_0', false, 'output:Q6_K'),
    ('dense', 'Q5_0', true, 'ffn_down:Q5_1:0 output:Q6_K'),
    ('dense', 'Q5_1', false, 'output:Q6_K'),
    ('dense', 'Q4_K_S', false, 'attn_v:Q5_K:0-3 ffn_down:Q5_K:0 output:Q6_K'),
    ('dense', 'Q4_K_M', false, 'attn_v:Q6_K:0,3,6-8 ffn_down:Q6_K:0,3,6-8 output:Q6_K'),
    ('dense', 'Q5_K_S', false, 'output:Q6_K'),
    ('dense', 'Q5_K_M', false, 'attn_v:Q6_K:0,3,6-8 ffn_down:Q6_K:0,3,6-8 output:Q6_K'),
    ('dense', 'Q6_K', false, ''),
    ('dense', 'Q8_0', false, ''),
    ('dense', 'IQ4_NL', false, 'ffn_down:Q5_K:0 output:Q6_K'),
    ('dense', 'IQ4_NL', true, 'output:Q6_K'),
    ('grouped', 'Q2_K_S', true, 'attn_v:Q4_K:0-16 ffn_down:Q4_K:0-1 token_embd:Q6_K'),
    ('grouped', 'Q2_K', false, 'attn_output:Q3_K:0-16 attn_v:Q4_K:0-16 ffn_down:Q3_K:0-16 token_embd:Q6_K'),
    ('grouped', 'Q3_K_S', false, 'token_embd:Q6_K'),
    ('grouped', 'Q3_K_M', false,
      'attn_output:Q4_K:0-16 attn_v:Q4_K:2-16 attn_v:Q5_K:0-1 ffn_down:Q4_K:1-16 ffn_down:Q5_K:0 token_embd:Q6_K'),
    ('grouped', 'Q3_K_L', false, 'attn_output:Q5_K:0-16 attn_v:Q5_K:0-16 ffn_down:Q5_K:0-16 token_embd:Q6_K'),
    ('grouped', 'Q4_0', false, 'token_embd:Q6_K'),
    ('grouped', 'Q4_0', true, 'ffn_down:Q4_1:0-1 token_embd:Q6_K'),
    ('grouped', 'Q5_0', false, 'token_embd:Q6_K'),
    ('grouped', 'Q5_0', true, 'ffn_down:Q5_1:0-1 token_embd:Q6_K'),
    ('grouped', 'Q4_K_S', false, 'attn_v:Q5_K:0-3 ffn_down:Q5_K:0-1 token_embd:Q6_K'),
    ('grouped', 'Q4_K_M', false, 'attn_v:Q6_K:0-1,4,7,10,13-16 ffn_down:Q6_K:0-1,4,7,10,13-16 token_embd:Q6_K'),
    ('grouped', 'Q5_K_S', false, 'token_embd:Q6_K'),
    ('grouped', 'Q5_K_M', false, 'attn_v:Q6_K:0-1,4,7,10,13-16 ffn_down:Q6_K:0-1,4,7,10,13-16 token_embd:Q6_K'),
    ('grouped', 'Q6_K', false, ''),
    ('grouped', 'IQ4_NL', false, 'attn_v:Q5_K:0-16 ffn_down:Q5_K:0-1 token_embd:Q6_K'),
    ('grouped', 'IQ4_NL', true, 'attn_v:Q5_K:0-16 token_embd:Q6_K'),
    ('narrow', 'Q2_K', false,
      'attn_k:Q4_0:0-8 attn_output:Q4_0:0-8 attn_q:Q4_0:0-8 attn_v:Q4_0:0-8 ffn_down:Q4_0:0-8 ffn_gate:Q4_0:0-8 '
      'ffn_up:Q4_0:0-8 output:Q8_0 token_embd:Q4_0'),
    ('narrow', 'Q3_K_M', false,
      'attn_k:Q4_0:0-8 attn_output:Q5_0:0-8 attn_q:Q4_0:0-8 attn_v:Q5_0:2-8 attn_v:Q5_1:0-1 ffn_down:Q5_0:0-8 '
      'ffn_gate:Q4_0:0-8 ffn_up:Q4_0:0-8 output:Q8_0 token_embd:Q4_0'),
    ('narrow', 'Q4_0', false, 'output:Q8_0'),
    ('narrow', 'Q4_0', true, 'ffn_down:Q4_1:0 output:Q8_0'),
    ('narrow', 'Q4_K_S', false,
      'attn_k:Q5_0:0-8 attn_output:Q5_0:0-8 attn_q:Q5_0:0-8 attn_v:Q5_0:4-8 attn_v:Q5_1:0-3 ffn_down:Q5_0:1-8 '
      'ffn_down:Q5_1:0 ffn_gate:Q5_0:0-8 ffn_up:Q5_0:0-8 output:Q8_0 token_embd:Q5_0'),
    ('narrow', 'Q4_K_M', false,
      'attn_k:Q5_0:0-8 attn_output:Q5_0:0-8 attn_q:Q5_0:0-8 attn_v:Q5_0:1-2,4-5 attn_v:Q8_0:0,3,6-8 '
      'ffn_down:Q5_0:1-2,4-5 ffn_down:Q8_0:0,3,6-8 ffn_gate:Q5_0:0-8 ffn_up:Q5_0:0-8 output:Q8_0 token_embd:Q5_0'),
    ('narrow', 'Q5_K_M', false,
      'attn_k:Q5_1:0-8 attn_output:Q5_1:0-8 attn_q:Q5_1:0-8 attn_v:Q5_1:1-2,4-5 attn_v:Q8_0:0,3,6-8 '
      'ffn_down:Q5_1:1-2,4-5 ffn_down:Q8_0:0,3,6-8 ffn_gate:Q5_1:0-8 ffn_up:Q5_1:0-8 output:Q8_0 token_embd:Q5_1'),
    ('narrow', 'Q6_K', false,
      'attn_k:Q8_0:0-8 attn_output:Q8_0:0-8 attn_q:Q8_0:0-8 attn_v:Q8_0:0-8 ffn_down:Q8_0:0-8 ffn_gate:Q8_0:0-8 '
      'ffn_up:Q8_0:0-8 output:Q8_0 token_embd:Q8_0'),
    ('narrow', 'IQ4_NL', false, 'ffn_down:Q5_1:0 output:Q8_0'),
    ('narrow', 'IQ4_NL', true, 'output:Q8_0'),
    ('odd', 'Q4_K_M', false,
      'attn_k:F16:0-1 attn_output:F16:0-1 attn_q:F16:0-1 attn_v:F16:0-1 ffn_down:F16:0-1 ffn_gate:F16:0-1 '
      'ffn_up:F16:0-1 '
      'output:F16 token_embd:F16'),
    ('odd', 'Q8_0', false,
      'attn_k:F16:0-1 attn_output:F16:0-1 attn_q:F16:0-1 attn_v:F16:0-1 ffn_down:F16:0-1 ffn_gate:F16:0-1 '
      'ffn_up:F16:0-1 '
      'output:F16 token_embd:F16'),
    ('seventy', 'Q2_K_S', true, 'attn_v:Q5_K:0-79 ffn_down:Q4_K:0-9 output:Q6_K'),
    ('seventy', 'Q2_K', false, 'attn_v:Q5_K:0-79 ffn_down:Q3_K:0-79 output:Q6_K'),
    ('seventy', 'Q3_K_S', false, 'attn_v:Q5_K:0-79 output:Q6_K'),
    ('seventy', 'Q3_K_M', false, 'attn_v:Q5_K:0-79 ffn_down:Q4_K:5-79 ffn_down:Q5_K:0-4 output:Q6_K'),
    ('seventy', 'Q3_K_L', false, 'attn_v:Q5_K:0-79 ffn_down:Q5_K:0-79 output:Q6_K'),
    ('seventy', 'Q4_0', false, 'output:Q6_K'),
    ('seventy', 'Q4_0', true, 'ffn_down:Q4_1:0-9 output:Q6_K'),
    ('seventy', 'Q5_0', false, 'output:Q6_K'),
    ('seventy', 'Q5_0', true, 'ffn_down:Q5_1:0-9 output:Q6_K'),
    ('seventy', 'Q4_K_S', false, 'attn_v:Q5_K:0-79 ffn_down:Q5_K:0-9 output:Q6_K'),
    ('seventy', 'Q4_K_M', false,
      'attn_v:Q5_K:10-11,13-14,16-17,19-20,22-23,25-26,28-29,31-32,34-35,37-38,40-41,43-44,46-47,49-50,52-53,55-56,'
      '58-59,61-62,64-65,67-68 attn_v:Q6_K:0-9,12,15,18,21,24,27,30,33,36,39,42,45,48,51,54,57,60,63,66,69-79 '
      'ffn_down:Q6_K:0-9,12,15,18,21,24,27,30,33,36,39,42,45,48,51,54,57,60,63,66,69-79 output:Q6_K'),
    ('seventy', 'Q5_K_S', false, 'output:Q6_K'),
    ('seventy', 'Q5_K_M', false,
      'attn_v:Q6_K:0-9,12,15,18,21,24,27,30,33,36,39,42,45,48,51,54,57,60,63,66,69-79 '
      'ffn_down:Q6_K:0-9,12,15,18,21,24,27,30,33,36,39,42,45,48,51,54,57,60,63,66,69-79 output:Q6_K'),
    ('seventy', 'Q6_K', false, ''),
    ('seventy', 'IQ4_NL', false, 'attn_v:Q5_K:0-79 ffn_down:Q5_K:0-9 output:Q6_K'),
    ('seventy', 'IQ4_NL', true, 'attn_v:Q5_K:0-79 output:Q6_K'),
    ('fused', 'Q2_K_S', true, 'ffn_down:Q4_K:0 output:Q6_K'),
    ('fused', 'Q2_K', false, 'attn_output:Q3_K:0-8 attn_qkv:Q3_K:0-8 ffn_down:Q3_K:0-8 output:Q6_K'),
    ('fused', 'Q3_K_S', false, 'output:Q6_K'),
    ('fused', 'Q3_K_M', false,
      'attn_output:Q4_K:0-8 attn_qkv:Q4_K:2-8 attn_qkv:Q5_K:0-1 ffn_down:Q4_K:0-8 output:Q6_K'),
    ('fused', 'Q3_K_L', false, 'attn_output:Q5_K:0-8 attn_qkv:Q5_K:0-8 ffn_down:Q5_K:0-8 output:Q6_K'),
    ('fused', 'Q4_0', false, 'output:Q6_K'),
    ('fused', 'Q4_0', true, 'ffn_down:Q4_1:0 output:Q6_K'),
    ('fused', 'Q5_0', false, 'output:Q6_K'),
    ('fused', 'Q5_0', true, 'ffn_down:Q5_1:0 output:Q6_K'),
    ('fused', 'Q4_K_S', false, 'attn_qkv:Q5_K:0-3 ffn_down:Q5_K:0 output:Q6_K'),
    ('fused', 'Q4_K_M', false, 'attn_qkv:Q6_K:0,3,6-8 ffn_down:Q6_K:0,3,6-8 output:Q6_K'),
    ('fused', 'Q5_K_S', false, 'output:Q6_K'),
    ('fused', 'Q5_K_M', false, 'attn_qkv:Q6_K:0,3,6-8 ffn_down:Q6_K:0,3,6-8 output:Q6_K'),
    ('fused', 'Q6_K', false, ''),
    ('fused', 'IQ4_NL', false, 'ffn_down:Q5_K:0 output:Q6_K'),
    ('fused', 'IQ4_NL', true, 'output:Q6_K'),
    ('experts', 'Q2_K_S', true,
      'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7 ffn_down.0:Q4_K:0 ffn_down.1:Q4_K:0 ffn_down.2:Q4_K:0 ffn_down.3:Q4_K:0 '
      'ffn_down.4:Q4_K:0 ffn_down.5:Q4_K:0 ffn_down.6:Q4_K:0 ffn_down.7:Q4_K:0 output:Q6_K'),
    ('experts', 'Q2_K', false,
      'attn_k:Q8_0:0-7 attn_output:Q5_K:0-7 attn_v:Q8_0:0-7 ffn_down.0:Q3_K:0-7 ffn_down.1:Q3_K:0-7 '
      'ffn_down.2:Q3_K:0-7 '
      'ffn_down.3:Q3_K:0-7 ffn_down.4:Q3_K:0-7 ffn_down.5:Q3_K:0-7 ffn_down.6:Q3_K:0-7 ffn_down.7:Q3_K:0-7 '
      'output:Q6_K'),
    ('experts', 'Q3_K_S', false, 'attn_k:Q8_0:0-7 attn_output:Q5_K:0-7 attn_v:Q8_0:0-7 output:Q6_K'),
    ('experts', 'Q3_K_M', false,
      'attn_k:Q8_0:0-7 attn_output:Q5_K:0-7 attn_v:Q8_0:0-7 ffn_down.0:Q4_K:0-7 ffn_down.1:Q4_K:0-7 '
      'ffn_down.2:Q4_K:0-7 '
      'ffn_down.3:Q4_K:0-7 ffn_down.4:Q4_K:0-7 ffn_down.5:Q4_K:0-7 ffn_down.6:Q4_K:0-7 ffn_down.7:Q4_K:0-7 '
      'output:Q6_K'),
    ('experts', 'Q3_K_L', false,
      'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7 ffn_down.0:Q5_K:0-7 ffn_down.1:Q5_K:0-7 ffn_down.2:Q5_K:0-7 ffn_down.3:Q5_K:0-7 '
      'ffn_down.4:Q5_K:0-7 ffn_down.5:Q5_K:0-7 ffn_down.6:Q5_K:0-7 ffn_down.7:Q5_K:0-7 output:Q6_K'),
    ('experts', 'Q4_0', false, 'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7 output:Q6_K'),
    ('experts', 'Q4_0', true,
      'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7 ffn_down.0:Q4_1:0 ffn_down.1:Q4_1:0 ffn_down.2:Q4_1:0 ffn_down.3:Q4_1:0 '
      'ffn_down.4:Q4_1:0 ffn_down.5:Q4_1:0 ffn_down.6:Q4_1:0 ffn_down.7:Q4_1:0 output:Q6_K'),
    ('experts', 'Q4_1', false, 'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7 output:Q6_K'),
    ('experts', 'Q5_0', false, 'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7 output:Q6_K'),
    ('experts', 'Q5_0', true,
      'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7 ffn_down.0:Q5_1:0 ffn_down.1:Q5_1:0 ffn_down.2:Q5_1:0 ffn_down.3:Q5_1:0 '
      'ffn_down.4:Q5_1:0 ffn_down.5:Q5_1:0 ffn_down.6:Q5_1:0 ffn_down.7:Q5_1:0 output:Q6_K'),
    ('experts', 'Q5_1', false, 'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7 output:Q6_K'),
    ('experts', 'Q4_K_S', false,
      'attn_k:Q8_0:0-7 attn_output:Q5_K:0-7 attn_v:Q8_0:0-7 ffn_down.0:Q5_K:0 ffn_down.1:Q5_K:0 ffn_down.2:Q5_K:0 '
      'ffn_down.3:Q5_K:0 ffn_down.4:Q5_K:0 ffn_down.5:Q5_K:0 ffn_down.6:Q5_K:0 ffn_down.7:Q5_K:0 output:Q6_K'),
    ('experts', 'Q4_K_M', false,
      'attn_k:Q8_0:0-7 attn_output:Q5_K:0-7 attn_v:Q8_0:0-7 ffn_down.0:Q6_K:0,3,6-7 ffn_down.1:Q6_K:0,3,6-7 '
      'ffn_down.2:Q6_K:0,3,6-7 ffn_down.3:Q6_K:0,3,6-7 ffn_down.4:Q6_K:0,3,6-7 ffn_down.5:Q6_K:0,3,6-7 '
      'ffn_down.6:Q6_K:0,3,6-7 ffn_down.7:Q6_K:0,3,6-7 output:Q6_K'),
    ('experts', 'Q5_K_S', false, 'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7 output:Q6_K'),
    ('experts', 'Q5_K_M', false,
      'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7 ffn_down.0:Q6_K:0,3,6-7 ffn_down.1:Q6_K:0,3,6-7 ffn_down.2:Q6_K:0,3,6-7 '
      'ffn_down.3:Q6_K:0,3,6-7 ffn_down.4:Q6_K:0,3,6-7 ffn_down.5:Q6_K:0,3,6-7 ffn_down.6:Q6_K:0,3,6-7 '
      'ffn_down.7:Q6_K:0,3,6-7 output:Q6_K'),
    ('experts', 'Q6_K', false, 'attn_k:Q8_0:0-7 attn_v:Q8_0:0-7'),
    ('experts', 'Q8_0', false, ''),
    ('experts', 'IQ4_NL', false,
      'attn_k:Q8_0:0-7 attn_output:Q5_K:0-7 attn_v:Q8_0:0-7 ffn_down.0:Q5_K:0 ffn_down.1:Q5_K:0 ffn_down.2:Q5_K:0 '
      'ffn_down.3:Q5_K:0 ffn_down.4:Q5_K:0 ffn_down.5:Q5_K:0 ffn_down.6:Q5_K:0 ffn_down.7:Q5_K:0 output:Q6_K'),
    ('experts', 'IQ4_NL', true, 'attn_k:Q8_0:0-7 attn_output:Q5_K:0-7 attn_v:Q8_0:0-7 output:Q6_K'),
    ('merged', 'Q2_K_S', true, 'token_embd:Q6_K'),
    ('merged', 'Q2_K', false,
      'attn_output:Q3_K:1-4,6-11 attn_v:Q3_K:1-4,6-11 ffn_down_exps:Q3_K:1-4,6-11 token_embd:Q6_K'),
    ('merged', 'Q3_K_S', false, 'token_embd:Q6_K'),
    ('merged', 'Q3_K_M', false,
      'attn_output:Q4_K:1-4,6-11 attn_v:Q4_K:3-4,6-11 attn_v:Q5_K:1-2 ffn_down_exps:Q4_K:1-4,6-11 token_embd:Q6_K'),
    ('merged', 'Q3_K_L', false,
      'attn_output:Q5_K:1-4,6-11 attn_v:Q5_K:1-4,6-11 ffn_down_exps:Q5_K:1-4,6-11 token_embd:Q6_K'),
    ('merged', 'Q4_0', false, 'token_embd:Q6_K'),
    ('merged', 'Q5_0', false, 'token_embd:Q6_K'),
    ('merged', 'Q4_K_S', false, 'attn_v:Q5_K:1-4 token_embd:Q6_K'),
    ('merged', 'Q4_K_M', false, 'attn_v:Q6_K:1,4,8,10-11 ffn_down_exps:Q6_K:3,6,9-11 token_embd:Q6_K'),
    ('merged', 'Q5_K_S', false, 'token_embd:Q6_K'),
    ('merged', 'Q5_K_M', false, 'attn_v:Q6_K:1,4,8,10-11 ffn_down_exps:Q6_K:3,6,9-11 token_embd:Q6_K'),
    ('merged', 'Q6_K', false, ''),
    ('merged', 'IQ4_NL', false, 'token_embd:Q6_K'),
    ('shared', 'Q2_K_S', true, 'ffn_down_exps:Q4_K:0 ffn_down_shexp:Q4_K:0 output:Q6_K'),
    ('shared', 'Q2_K', false, 'attn_v:Q3_K:0-10 ffn_down_exps:Q3_K:0-10 ffn_down_shexp:Q3_K:0-10 output:Q6_K'),
    ('shared', 'Q3_K_S', false, 'output:Q6_K'),
    ('shared', 'Q3_K_M', false,
      'attn_v:Q4_K:2-10 attn_v:Q5_K:0-1 ffn_down_exps:Q4_K:0-10 ffn_down_shexp:Q4_K:0-10 output:Q6_K'),
    ('shared', 'Q3_K_L', false, 'attn_v:Q5_K:0-10 ffn_down_exps:Q5_K:0-10 ffn_down_shexp:Q5_K:0-10 output:Q6_K'),
    ('shared', 'Q4_0', false, 'output:Q6_K'),
    ('shared', 'Q4_0', true, 'ffn_down_exps:Q4_1:0 ffn_down_shexp:Q4_1:0 output:Q6_K'),
    ('shared', 'Q5_0', false, 'output:Q6_K'),
    ('shared', 'Q5_0', true, 'ffn_down_exps:Q5_1:0 ffn_down_shexp:Q5_1:0 output:Q6_K'),
    ('shared', 'Q4_K_S', false, 'attn_v:Q5_K:0-3 ffn_down_exps:Q5_K:0 ffn_down_shexp:Q5_K:0 output:Q6_K'),
    ('shared', 'Q4_K_M', false,
      'attn_v:Q6_K:0,3,6,9-10 ffn_down_exps:Q6_K:0,3,6,9-10 ffn_down_shexp:Q6_K:0,3,6,9-10 output:Q6_K'),
    ('shared', 'Q5_K_S', false, 'output:Q6_K'),
    ('shared', 'Q5_K_M', false,
      'attn_v:Q6_K:0,3,6,9-10 ffn_down_exps:Q6_K:0,3,6,9-10 ffn_down_shexp:Q6_K:0,3,6,9-10 output:Q6_K'),
    ('shared', 'Q6_K', false, ''),
    ('shared', 'IQ4_NL', false, 'ffn_down_exps:Q5_K:0 ffn_down_shexp:Q5_K:0 output:Q6_K'),
    ('shared', 'IQ4_NL', true, 'output:Q6_K'),
    ('latent', 'Q2_K_S', true, 'ffn_down:Q4_K:0 output:Q6_K'),
    ('latent', 'Q2_K', false, 'attn_kv_b:Q3_K:0-8 attn_output:Q3_K:0-8 ffn_down:Q3_K:0-8 output:Q6_K'),
    ('latent', 'Q3_K_S', false, 'output:Q6_K'),
    ('latent', 'Q3_K_M', false,
      'attn_kv_b:Q4_K:2-8 attn_kv_b:Q5_K:0-1 attn_output:Q4_K:0-8 ffn_down:Q4_K:0-8 output:Q6_K'),
    ('latent', 'Q3_K_L', false, 'attn_kv_b:Q5_K:0-8 attn_output:Q5_K:0-8 ffn_down:Q5_K:0-8 output:Q6_K'),
    ('latent', 'Q4_0', false, 'output:Q6_K'),
    ('latent', 'Q4_0', true, 'ffn_down:Q4_1:0 output:Q6_K'),
    ('latent', 'Q5_0', false, 'output:Q6_K'),
    ('latent', 'Q5_0', true, 'ffn_down:Q5_1:0 output:Q6_K'),
    ('latent', 'Q4_K_S', false, 'attn_kv_b:Q5_K:0-3 ffn_down:Q5_K:0 output:Q6_K'),
    ('latent', 'Q4_K_M', false, 'attn_kv_b:Q6_K:0,3,6-8 ffn_down:Q6_K:0,3,6-8 output:Q6_K'),
    ('latent', 'Q5_K_S', false, 'output:Q6_K'),
    ('latent', 'Q5_K_M', false, 'attn_kv_b:Q6_K:0,3,6-8 ffn_down:Q6_K:0,3,6-8 output:Q6_K'),
    ('latent', 'Q6_K', false, ''),
    ('latent', 'IQ4_NL', false, 'ffn_down:Q5_K:0 output:Q6_K'),
    ('latent', 'IQ4_NL', true, 'output:Q6_K'),
    ('falcon', 'Q2_K_S', true, 'attn_qkv:Q4_K:0-31 ffn_down:Q4_K:0-3 output:Q8_0'),
    ('falcon', 'Q2_K', false, 'attn_qkv:Q4_K:0-31 ffn_down:Q3_K:0-31 output:Q8_0'),
    ('falcon', 'Q3_K_S', false, 'output:Q8_0'),
    ('falcon', 'Q3_K_M', false,
      'attn_qkv:Q4_K:2-31 attn_qkv:Q5_K:0-1 ffn_down:Q4_K:2-3,6,9,12,15,18,21,24,27-31 ffn_down:Q5_K:0-1 output:Q8_0'),
    ('falcon', 'Q3_K_L', false, 'attn_output:Q4_K:0-31 attn_qkv:Q5_K:0-31 ffn_down:Q4_K:0-31 output:Q8_0'),
    ('falcon', 'Q4_0', false, 'output:Q8_0'),
    ('falcon', 'Q4_0', true, 'ffn_down:Q4_1:0-3 output:Q8_0'),
    ('falcon', 'Q4_1', false, 'output:Q8_0'),
    ('falcon', 'Q5_0', false, 'output:Q8_0'),
    ('falcon', 'Q5_0', true, 'ffn_down:Q5_1:0-3 output:Q8_0'),
    ('falcon', 'Q5_1', false, 'output:Q8_0'),
    ('falcon', 'Q4_K_S', false, 'attn_qkv:Q5_K:0-3 output:Q8_0'),
    ('falcon', 'Q4_K_M', false,
      'attn_qkv:Q6_K:0-3,6,9,12,15,18,21,24,27-31 ffn_down:Q5_K:2-3,6,9,12,15,18,21,24,27-31 ffn_down:Q6_K:0-1 '
      'output:Q8_0'),
    ('falcon', 'Q5_K_S', false, 'output:Q8_0'),
    ('falcon', 'Q5_K_M', false,
      'attn_qkv:Q6_K:0-3,6,9,12,15,18,21,24,27-31 ffn_down:Q6_K:0-3,6,9,12,15,18,21,24,27-31 output:Q8_0'),
    ('falcon', 'Q6_K', false, 'output:Q8_0'),
    ('falcon', 'Q8_0', false, ''),
    ('falcon', 'IQ4_NL', false, 'attn_qkv:Q5_K:0-31 ffn_down:Q5_K:0-3 output:Q8_0'),
    ('falcon', 'IQ4_NL', true, 'attn_qkv:Q5_K:0-31 output:Q8_0')) v (model, preset, by_importance, expected);

-- The number of the first block counts where there is one for each; names of formats stand for mixes as in
-- llama-quantize
SELECT import_gguf(gguf(NULL, ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', 80),
  kv('llama.attention.head_count', 9, le(4, 4) || le(2, 8) || le(8, 4) || le(4, 4)),
  kv('llama.attention.head_count_kv', 9, le(4, 4) || le(2, 8) || le(2, 4) || le(4, 4))]),
  'a number a block') AS numbers, import_gguf(gguf(NULL), 'nothing known') AS nothing \gset
SELECT is(mix_traits(:numbers)::text, '(gguf,80,0,4,f,t)', 'heads of the first block');
SELECT is(mix_traits(:nothing)::text, '(gguf,0,0,0,f,f)', 'no keys');
SELECT is(preset_named(name), preset, name)
  FROM (VALUES ('q4_k', 'Q4_K_M'), ('Q3_K', 'Q3_K_M'), ('Q5_K', 'Q5_K_M'), ('Q2_K', 'Q2_K'), ('Q6_K', 'Q6_K'),
    ('q8_0', 'Q8_0'), ('Q4_K_S', 'Q4_K_S'), ('Q6_K_M', NULL), ('IQ4_XS', NULL), ('', NULL), (NULL, NULL)
  ) v (name, preset);
SELECT is_empty('SELECT format FROM formats() WHERE writable AND preset_named(format) IS NULL',
  'every format that is written is a name for a mix');
SELECT is_empty(
  'SELECT base_format FROM format_presets() WHERE base_format NOT IN (SELECT format FROM formats() WHERE writable)',
  'of formats that are written');
SELECT is(tensor_category(name), category, name)
  FROM (VALUES ('output.weight', 'output'), ('xoutput.weight', 'other'), ('token_embd.weight', 'token_embd'),
    ('per_layer_token_embd.weight', 'token_embd'), ('token_embd_norm.weight', 'other'),
    ('blk.1.attn_kv_b.weight', 'attn_v'), ('blk.1.attn_v_b.weight', 'other'),
    ('blk.1.attn_v.bias', 'other'), ('blk.1.attn_k_b.weight', 'other'), ('blk.1.cross_attn_k.weight', 'attn_k'),
    ('blk.1.ffn_down_exps.weight', 'ffn_down'),
    ('blk.1.ffn_down.7.weight', 'ffn_down'), ('model.embed_tokens.weight', 'token_embd'), ('lm_head.weight', 'output'),
    (NULL, NULL)) v (name, category);
SELECT throws_ok('SELECT * FROM preset_formats(1, ''Q9_K_M'')', '22023', 'unknown preset "Q9_K_M"', 'an unknown mix');
SELECT is(count(*),
  (SELECT count(*) FROM model_layers WHERE model_id = model_id('dense')) * (SELECT count(*) FROM format_presets()),
  'all mixes at once')
  FROM preset_formats(model_id('dense'));

-- Q2_K_S without importance is refused, as there
SELECT throws_ok('CALL quantize_model(''dense'', ''Q2_K_S'')', '22023',
  'Q2_K_S needs the importance of the columns of tensor "blk.1.ffn_down.weight"', 'none is given');
INSERT INTO lib.importance SELECT layer_name, array_fill(1::real, ARRAY[256]) FROM model_layers
  WHERE model_id = model_id('dense')
  AND layer_name LIKE 'blk%' AND layer_name <> 'blk.7.attn_q.weight';
SELECT throws_ok('CALL quantize_model(''dense'', ''Q2_K_S'', column_importance => ''lib.importance'')', '22023',
  'Q2_K_S needs the importance of the columns of tensor "blk.7.attn_q.weight"', 'or not of all');
INSERT INTO lib.importance VALUES ('blk.7.attn_q.weight', array_fill(1::real, ARRAY[256]));
SELECT lives_ok('CALL quantize_model(''dense'', ''Q2_K_S'', column_importance => ''lib.importance'')',
  'that of the embedding is not asked for');
SELECT lives_ok('CALL quantize_model(''narrow'', ''Q2_K_S'')', 'nor where no tensor has two bits in the end');
SELECT throws_ok('SELECT require_importance(999, ''{1}'', ''{Q2_K}'', ''models'')', '42703', NULL,
  'a relation without the columns');

-- Pure: one format everywhere
SELECT is(array_agg(DISTINCT target_format), '{Q4_K}', 'in a plan')
  FROM quantize_plan('grouped', 'Q4_K_S', pure => true) WHERE target_format IS NOT NULL;
CALL quantize_model('grouped', 'q3_k', pure => true);
SELECT is(array_agg(DISTINCT weights_format(atom_data)), '{F32,Q3_K}', 'carried out') FROM tensor_atoms
  WHERE model_id = model_id('grouped');
SELECT is(parameters ->> 'format' || (parameters ->> 'pure'), 'Q3_K_Mtrue', 'on record') FROM model_revisions
  WHERE revision_id = present(model_id('grouped'));
SELECT throws_ok('CALL quantize_model(''dense'', ''Q4_K'', pure => NULL)', '22004', NULL, 'pure that is NULL');

SELECT is_empty(
  $$SELECT without_comment('format_presets', 'preset_named', 'uses_more_bits', 'tensor_category', 'attn_v_format',
    'ffn_down_format',
    'attn_output_format', 'mix_traits', 'preset_formats', 'require_importance')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
