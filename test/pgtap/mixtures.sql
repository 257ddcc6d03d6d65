-- llama-quantize's mixtures, as plans of models with their keys: of each kind of model what makes it peculiar. All
-- mixtures of all of them are in the unit tests of core/quantization, which say where the expected formats are from.
BEGIN;
\ir lib/model_files.sql
SELECT plan(76);
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
CREATE FUNCTION lib.planned(model text, mixture text, by_importance boolean) RETURNS text
  LANGUAGE plpgsql AS $$ BEGIN RETURN (
  SELECT coalesce(
    string_agg(concat_ws(':', name, format, CASE WHEN blocks <> '{-1}' THEN ranges(blocks) END), ' '
      ORDER BY name COLLATE "C", format), '') FROM (
    SELECT regexp_replace(layer_name, '^blk\.\d+\.|\.weight$', '', 'g') AS name, arguments ->> 'format' AS format,
           array_agg(layer_number(layer_name) ORDER BY layer_number(layer_name)) AS blocks
      FROM quantize_plan(model, mixture, column_importance => CASE
        WHEN by_importance THEN 'lib.importance'::regclass END)
     WHERE arguments ->> 'format' <> (SELECT base_format FROM mixtures() p WHERE p.mixture = planned.mixture)
    GROUP BY 1, 2) x); END $$;
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
    blocks_gguf('llama', 8, '{attn_q,attn_k,attn_v,attn_output,ffn_down.0,ffn_down.7}', '{"expert_count": 8}')),
  ('merged',
    blocks_gguf('llama', 12, '{attn_v,attn_output,ffn_down_exps}', '{"expert_count": 4}', true, without => '{0,5}')),
  ('shared',
    blocks_gguf('qwen2moe', 11, '{attn_k,attn_v,ffn_gate_inp,ffn_down_exps,ffn_down_shexp}', '{"expert_count": 60}')),
  ('latent', blocks_gguf('deepseek2', 9, '{attn_kv_b,attn_k_b,attn_v_b,attn_output,ffn_down}', '{"expert_count": 6}')),
  ('falcon',
    blocks_gguf('falcon', 32, '{attn_qkv,attn_output,ffn_up,ffn_down}',
      '{"attention.head_count": 4, "attention.head_count_kv": 1}'));
SELECT is(count(import_gguf(file, model)), 11::bigint, 'the models') FROM lib.fixture;
SELECT is(planned(model, mixture, by_importance), expected,
    format('%s: %s%s', model, mixture, CASE WHEN by_importance THEN ' by importance' ELSE '' END))
  FROM (VALUES
  ('dense', 'Q2_K_S', true, 'ffn_down:Q4_K:0 output:Q6_K'),
    ('dense', 'Q4_0', false, 'output:Q6_K'),
    ('dense', 'Q4_0', true, 'ffn_down:Q4_1:0 output:Q6_K'),
    ('dense', 'Q4_K_M', false, 'attn_v:Q6_K:0,3,6-8 ffn_down:Q6_K:0,3,6-8 output:Q6_K'),
    ('dense', 'Q8_0', false, ''),
    ('grouped', 'Q2_K', false, 'attn_output:Q3_K:0-16 attn_v:Q4_K:0-16 ffn_down:Q3_K:0-16 token_embd:Q6_K'),
    ('narrow', 'Q3_K_M', false, 'attn_k:Q4_0:0-8 attn_output:Q5_0:0-8 attn_q:Q4_0:0-8 attn_v:Q5_0:2-8 attn_v:Q5_1:0-1 '
       || 'ffn_down:Q5_0:0-8 ffn_gate:Q4_0:0-8 ffn_up:Q4_0:0-8 output:Q8_0 token_embd:Q4_0'),
    ('odd', 'Q8_0', false, 'attn_k:F16:0-1 attn_output:F16:0-1 attn_q:F16:0-1 attn_v:F16:0-1 ffn_down:F16:0-1 '
       || 'ffn_gate:F16:0-1 ffn_up:F16:0-1 output:F16 token_embd:F16'),
    ('experts', 'Q4_K_M', false, 'attn_k:Q8_0:0-7 attn_output:Q5_K:0-7 attn_v:Q8_0:0-7 '
       || 'ffn_down.0:Q6_K:0,3,6-7 ffn_down.7:Q6_K:0,3,6-7 output:Q6_K'),
    ('seventy', 'Q3_K_M', false, 'attn_v:Q5_K:0-79 ffn_down:Q4_K:5-79 ffn_down:Q5_K:0-4 output:Q6_K'),
    ('fused', 'Q4_K_M', false, 'attn_qkv:Q6_K:0,3,6-8 ffn_down:Q6_K:0,3,6-8 output:Q6_K'),
    ('merged', 'Q3_K_M', false, 'attn_output:Q4_K:1-4,6-11 attn_v:Q4_K:3-4,6-11 attn_v:Q5_K:1-2 '
       || 'ffn_down_exps:Q4_K:1-4,6-11 token_embd:Q6_K'),
    ('shared', 'Q4_K_M', false, 'attn_v:Q6_K:0,3,6,9-10 ffn_down_exps:Q6_K:0,3,6,9-10 '
       || 'ffn_down_shexp:Q6_K:0,3,6,9-10 output:Q6_K'),
    ('latent', 'Q4_K_M', false, 'attn_kv_b:Q6_K:0,3,6-8 ffn_down:Q6_K:0,3,6-8 output:Q6_K'),
    ('falcon', 'Q4_K_M', false, 'attn_qkv:Q6_K:0-3,6,9,12,15,18,21,24,27-31 '
       || 'ffn_down:Q5_K:2-3,6,9,12,15,18,21,24,27-31 ffn_down:Q6_K:0-1 output:Q8_0')
  ) v (model, mixture, by_importance, expected);

-- The number of the first block counts where there is one for each; names of formats stand for mixtures as in
-- llama-quantize
SELECT import_gguf(gguf(NULL, ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', 80),
  kv('llama.attention.head_count', 9, le(4, 4) || le(2, 8) || le(8, 4) || le(4, 4)),
  kv('llama.attention.head_count_kv', 9, le(4, 4) || le(2, 8) || le(2, 4) || le(4, 4))]),
  'a number a block') AS numbers, import_gguf(gguf(NULL), 'nothing known') AS nothing \gset
SELECT is(mixture_traits_of(:numbers)::text, '(t,llama,80,,8,2)', 'heads of the first block');
SELECT is(mixture_traits_of(:nothing)::text, '(t,llama,,,,)', 'no keys');
SELECT ok(mixture_traits_of(999) IS NULL, 'no model');
SELECT is(mixture_named(name), mixture, name)
  FROM (VALUES ('q4_k', 'Q4_K_M'), ('Q3_K', 'Q3_K_M'), ('Q5_K', 'Q5_K_M'), ('Q2_K', 'Q2_K'), ('Q6_K', 'Q6_K'),
    ('q8_0', 'Q8_0'), ('Q4_K_S', 'Q4_K_S'), ('Q6_K_M', NULL), ('iq3_xs', 'IQ3_XS'), ('NVFP4', NULL), ('', NULL),
    (NULL, NULL)
  ) v (name, mixture);
SELECT set_eq('SELECT format FROM formats() WHERE writable AND mixture_named(format) IS NULL', '{MXFP4,NVFP4}'::text[],
  'every format that is written but these is a name for a mixture');
SELECT is_empty(
  'SELECT base_format FROM mixtures() WHERE base_format NOT IN (SELECT format FROM formats() WHERE readable)',
  'of formats that there are');
SELECT throws_ok('SELECT * FROM mixture_formats(1, ''Q9_K_M'')', '22023', 'unknown mixture "Q9_K_M"',
  'an unknown mixture');
SELECT is((SELECT count(*) FROM mixture_formats(model_id('dense'), 'Q4_K_M')),
  (SELECT count(*) FROM model_layers WHERE model_id = model_id('dense')), 'a row a tensor');
SELECT is(count(*), 0::bigint, 'a model without tensors has none') FROM mixture_formats(999, 'Q4_K_M');
-- Names of Hugging Face's checkpoints mean the same to a mixture.
SELECT is(tensor_formats(ROW(false, NULL, 9, NULL, NULL, NULL), 'q4_k_m', false, ARRAY['lm_head.weight',
  'model.layers.0.self_attn.v_proj.weight', 'model.layers.1.mlp.down_proj.weight',
  'model.layers.3.mlp.experts.1.down_proj.weight', 'model.embed_tokens.weight'], '{1,1,1,1,1}',
  '{256,256,256,256,256}'),
  '{Q6_K,Q6_K,Q4_K,Q6_K,Q4_K}', 'names of a checkpoint');
SELECT throws_ok(
  format('SELECT tensor_formats(ROW(true, NULL, 1, 0, 0, 0), ''Q4_K'', false, %L, %L, %L)', names, matrices, runs),
  state, NULL, format('%s, %s, %s', names, matrices, runs))
  FROM (VALUES ('{a,b}', '{1}', '{1,1}', '2202E'), ('{a,NULL}', '{1,1}', '{1,1}', '22004'),
    ('{a}', '{NULL}', '{1}', '22004'), ('{a}', '{1}', '{}', '2202E'), ('{a}', '{-1}', '{1}', '22003')
  ) v (names, matrices, runs, state);
SELECT is(matrix_count(shape), expected, 'matrices of ' || coalesce(shape::text, 'NULL'))
  FROM (VALUES ('{256}'::bigint[], 0::bigint), ('{4,256}', 1), ('{1,256}', 0), ('{8,4,256}', 8), ('{8,1,256}', 8),
    ('{1,4,256}', 1), ('{3,2,4,256}', 2), ('{}', 0), (NULL, NULL)) v (shape, expected);
-- Stacks of experts, and in a checkpoint the matrices of an expert
SELECT is(tensor_formats(ROW(gguf, 'qwen3moe', 1, 8, 4, 4), 'MXFP4_MOE', false, names, matrices, '{256,256}'),
  '{MXFP4,Q8_0}', names::text)
  FROM (VALUES (true, '{blk.0.ffn_up_exps.weight,blk.0.attn_q.weight}'::text[], '{8,1}'::bigint[]),
    (false, '{model.layers.0.mlp.experts.1.up_proj.weight,lm_head.weight}', '{1,1}')) v (gguf, names, matrices);
SELECT is(recognized_format(ROW(true, NULL, 1, 0, 0, 0), '', '{a.weight,b.weight}', '{1,0}', '{Q4_K,F32}', '{256,9000}',
  '{256,9000}'), 'Q4_K', 'vectors do not count');
SELECT throws_ok(
  format('SELECT recognized_format(ROW(true, NULL, 1, 0, 0, 0), '''', ''{a}'', ''{1}'', %L, %L, %L)', f, w, r),
  state, NULL, concat_ws(' ', f, w, r)) FROM (VALUES ('{Q9}', '{1}', '{1}', '22023'), ('{F32}', '{-1}', '{1}', '22003'),
    ('{F32}', '{1}', '{-1}', '22003'), ('{F32}', '{1,2}', '{1}', '2202E'), ('{F32}', '{1}', '{}', '2202E')
  ) v (f, w, r, state);

-- Q2_K_S without importance is refused, as there
SELECT throws_ok('CALL quantize_model(''dense'', ''Q2_K_S'')', '22023',
  'Q2_K_S needs the importance of the columns of tensor "blk.1.ffn_down.weight"', 'none is given');
INSERT INTO lib.importance SELECT layer_name, array_fill(1::real, ARRAY[256]) FROM model_layers
  WHERE model_id = model_id('dense')
  AND layer_name LIKE 'blk%' AND layer_name <> 'blk.7.attn_q.weight';
SELECT is(requires_importance(mixture, name, format), expected, concat_ws(' ', mixture, name, format)) FROM (VALUES
  ('Q2_K_S', 'blk.0.attn_q.weight', 'Q2_K', true), ('q2_k_s', 'blk.0.attn_q.weight', 'Q4_K', false),
  ('Q2_K_S', 'output.weight', 'Q2_K', false), ('Q2_K', 'blk.0.attn_q.weight', 'Q2_K', false),
  ('Q9', 'blk.0.attn_q.weight', 'Q2_K', false), (NULL, 'x', 'Q2_K', NULL)) v (mixture, name, format, expected);
SELECT throws_ok('SELECT requires_importance(''Q2_K'', ''x'', ''Q9'')', '22023', NULL, 'of an unknown format');
SELECT throws_ok('CALL quantize_model(''dense'', ''Q2_K_S'', column_importance => ''lib.importance'')', '22023',
  'Q2_K_S needs the importance of the columns of tensor "blk.7.attn_q.weight"', 'or not of all');
INSERT INTO lib.importance VALUES ('blk.7.attn_q.weight', array_fill(1::real, ARRAY[256]));
SELECT lives_ok('CALL quantize_model(''dense'', ''Q2_K_S'', column_importance => ''lib.importance'')',
  'that of the embedding is not asked for');
SELECT lives_ok('CALL quantize_model(''narrow'', ''Q2_K_S'')', 'nor where no tensor has two bits in the end');
SELECT throws_ok('SELECT quantize_plan(''dense'', ''Q2_K'', column_importance => ''compression_runs'')', '42703', NULL,
  'a relation without the columns');

-- Pure: one format everywhere
SELECT is(array_agg(DISTINCT arguments ->> 'format'), '{Q4_K}', 'in a plan')
  FROM quantize_plan('grouped', 'Q4_K_S', pure => true) WHERE operation IS NOT NULL;
CALL quantize_model('grouped', 'q3_k', pure => true);
SELECT is(array_agg(DISTINCT weights_format(atom_data)), '{F32,Q3_K}', 'carried out') FROM tensor_atoms
  WHERE model_id = model_id('grouped');
SELECT is(parameters ->> 'format' || (parameters ->> 'pure'), 'Q3_K_Mtrue', 'on record') FROM model_revisions
  WHERE revision_id = present(model_id('grouped'));
SELECT throws_ok('CALL quantize_model(''dense'', ''Q4_K'', pure => NULL)', '22004', NULL, 'pure that is NULL');

SELECT is_empty(
  $$SELECT without_comment('mixtures', 'mixture_named', 'mixture_traits_of', 'tensor_formats', 'mixture_formats',
    'matrix_count', 'recognized_format', 'require_importance')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
