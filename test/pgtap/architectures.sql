-- Architectures that run: models that are the little llama, or a qwen2, in other words, and what cannot be done with
-- them. What they compute is compared with llama.cpp's by the unit tests.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(27);
SELECT create_store() \g /dev/null
SET LOCAL hartonomous.model_cache_size = 0;

-- The tensors of the little llama as another architecture, in so many blocks that are alike.
CREATE FUNCTION lib.other_gguf(architecture text, keys bytea[] DEFAULT '{}', without text DEFAULT '-',
    tensors lib.tensor[] DEFAULT '{}', blocks integer DEFAULT 1, norm text DEFAULT 'layer_norm_rms_epsilon')
  RETURNS bytea LANGUAGE sql IMMUTABLE RETURN gguf(
    ARRAY(SELECT ROW(replace(t.name, 'blk.0.', format('blk.%s.', b)), t.dims, t.type, t.data)::lib.tensor
            FROM generate_series(0, blocks - 1) b,
                 unnest(ARRAY(SELECT t::lib.tensor FROM unnest(llama_tensors()) t WHERE t.name !~ without) || tensors) t
           WHERE b = 0 OR t.name LIKE 'blk.%'),
    ARRAY[kv_text('general.architecture', architecture), kv(architecture || '.attention.' || norm, 6, f32(0.00001))]
      || ARRAY(SELECT kv_u32(architecture || '.' || s.key, s.value::integer)
                 FROM jsonb_each_text(jsonb_build_object('block_count', blocks, 'context_length', 64,
                   'embedding_length', 16, 'feed_forward_length', 24, 'attention.head_count', 2)) s)
      || ARRAY(SELECT k.value FROM llama_keys() k WHERE k.key LIKE 'tokenizer.%' ORDER BY k.n) || keys);
CREATE FUNCTION lib.matrix(tensor text) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT t.data FROM unnest(llama_tensors()) t WHERE t.name = 'blk.0.' || tensor || '.weight');
CREATE FUNCTION lib.kv_real(key text, value real) RETURNS bytea LANGUAGE sql IMMUTABLE RETURN kv(key, 6, f32(value));
CREATE FUNCTION lib.story() RETURNS text LANGUAGE sql IMMUTABLE
  RETURN left(repeat('the-cat-sat.the-dog-ran,and-the-cow-did-not.', 10), 200);
CREATE FUNCTION lib.loss(model integer) RETURNS numeric LANGUAGE sql STABLE
  RETURN round(perplexity(model, story(), 32)::numeric, 3);

SELECT import_gguf(llama_gguf(), 'llama') AS llama \gset
SELECT import_gguf(other_gguf('qwen2'), 'qwen2') AS qwen \gset

-- Joined matrices
SELECT import_gguf(other_gguf('phi3', '{}', 'attn_[qkv]\.|ffn_(gate|up)', ARRAY[
    ROW('blk.0.attn_qkv.weight', '{16,48}', 0, matrix('attn_q') || matrix('attn_k') || matrix('attn_v')),
    ROW('blk.0.ffn_up.weight', '{16,48}', 0, matrix('ffn_gate') || matrix('ffn_up'))]::lib.tensor[]), 'phi3') AS phi
  \gset
SELECT is(loss(:phi), loss(:qwen), 'phi3 is qwen2 with joined matrices');
SELECT is((SELECT array_agg(token_id) FROM generate_tokens(:phi, 'abc', 8)),
  (SELECT array_agg(token_id) FROM generate_tokens(:qwen, 'abc', 8)), 'and generates the same');
SELECT throws_ok(format($$SELECT * FROM structure_scores(%s, '%s')$$, :phi, kind), '0A000',
  format('%s of a model of architecture phi3 cannot be removed', kind), kind || ' of joined matrices')
  FROM unnest('{neurons,heads}'::text[]) kind;
SELECT add_calibration_set('story', story()) \g /dev/null
CALL collect_calibration(:phi, 'story', n_ctx => 32);
SELECT is((SELECT array_agg(concat_ws(' ', l.layer_name, s.tokens) ORDER BY l.position)
             FROM calibration_stats s JOIN model_layers l ON l.layer_id = s.layer_id WHERE s.model_id = :phi),
  '{token_embd.weight 204,blk.0.attn_output.weight 204,blk.0.ffn_down.weight 204,blk.0.attn_qkv.weight 204,'
  'blk.0.ffn_up.weight 204}', 'every matrix is calibrated by every token');
SELECT throws_ok(format($$CALL collect_calibration(%s, 'story', statistics => 'fisher', n_ctx => 32)$$, :phi), '0A000',
  'gradients of a model of architecture phi3 cannot be computed', 'there are no gradients');
SELECT record_usage(:phi, story()) \g /dev/null
SELECT is((SELECT array_agg(DISTINCT u.usage_count) FROM atom_usage_stats u
             JOIN tensor_atoms a ON a.model_id = u.model_id AND a.tensor_atom_id = u.tensor_atom_id
            WHERE a.layer_id = layer(:phi, 'blk.0.attn_qkv.weight')), '{384}',
  'usage of each row, in windows that overlap');

-- Factors
SELECT import_gguf(other_gguf('granite', ARRAY[kv_real('granite.logit_scale', 1)], blocks => 2), 'granite') AS granite
  \gset
SELECT import_gguf(other_gguf('smollm3', blocks => 2), 'smollm3') AS smol \gset
SELECT is(loss(:granite), loss(:smol), 'without factors, granite is llama, and so is smollm3 with few blocks');
SELECT import_gguf(other_gguf('granite', ARRAY[kv_real('granite.logit_scale', 1),
  kv_real('granite.residual_scale', 0.5)], blocks => 2), 'halved') AS halved \gset
SELECT isnt(loss(:halved), loss(:granite), 'a factor of what is added changes it');
SELECT throws_ok(
  format('SELECT extract_by_layers(%s, 1, ''influence'', corpus => story(), protected_blocks => ''{0}'', '
  'repair => true)', :halved), '0A000', 'blocks of a model of architecture granite cannot be repaired',
  'a block that is scaled');
SELECT extract_by_layers(:halved, 1, 'influence', corpus => story(), protected_blocks => '{0}') AS first \gset
SELECT ok(loss(:first) > 0, 'otherwise it is not repaired');

-- Numbers of blocks
SELECT throws_ok(format('SELECT extract_by_layers(%s, 1, ''first'')', :smol), '0A000',
  'a model of architecture smollm3 cannot have 1 of its 2 blocks', 'blocks without rotations are counted');
SELECT is(student_metadata(jsonb_build_object('kv', kv), 'gemma2', '{1,2}', 4) -> 'kv' -> 1, expected::jsonb, what)
  FROM (VALUES
    ('[{"key": "gemma2.block_count", "type": "u32", "value": 4}]'::jsonb,
     '{"key": "gemma2.attention.sliding_window_pattern", "type": "array", "element": "bool", "value": [false, true]}',
     'a student has a list of the blocks with a window'),
    ('[{"key": "gemma2.block_count", "type": "u32", "value": 4},
       {"key": "gemma2.attention.sliding_window_pattern", "type": "u32", "value": 3}]',
     '{"key": "gemma2.attention.sliding_window_pattern", "type": "array", "element": "bool", "value": [true, false]}',
     'by the period of the file'),
    ('[{"key": "gemma2.block_count", "type": "u32", "value": 4},
       {"key": "gemma2.attention.sliding_window_pattern", "type": "array", "element": "bool",
        "value": [false, true, true, false]}]',
     '{"key": "gemma2.attention.sliding_window_pattern", "type": "array", "element": "bool", "value": [true, true]}',
     'or of the list of the file')) v (kv, expected, what);
SELECT is(student_metadata('{"kv": []}', 'llama', '{1,2}', 4), '{"kv": []}', 'llama needs no list');
SELECT throws_ok(format('SELECT student_metadata(''{"kv": []}'', %L, %L, %s)', architecture, kept, blocks), '0A000',
  NULL,
  architecture || ', whose scale of attention would change')
  FROM (VALUES ('gemma2', '{1,2}', 46), ('gemma3', '{1,2}', 62)) v (architecture, kept, blocks);

-- Windows: with one as long as the context, gemma2 computes what it does without.
CREATE FUNCTION lib.gemma(windowed integer) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN other_gguf('gemma2', ARRAY[kv_u32('gemma2.attention.sliding_window', windowed)], tensors => ARRAY[
    ROW('blk.0.post_attention_norm.weight', '{16}', 0, waves(1, 16, 40)),
    ROW('blk.0.post_ffw_norm.weight', '{16}', 0, waves(1, 16, 41))]::lib.tensor[], blocks => 3);
SELECT import_gguf(gemma(64), 'wide') AS wide, import_gguf(gemma(4), 'narrow') AS narrow \gset
SELECT isnt(loss(:wide), loss(:narrow), 'a window changes what is attended to');
SELECT extract_by_layers(:narrow, 2, 'first') AS two \gset
SELECT is((SELECT metadata @> '{"kv": [{"key": "gemma2.attention.sliding_window_pattern", "value": [true, false]}]}'
             FROM models WHERE model_id = :two), true, 'a student keeps the windows');
SELECT extract_by_neurons(:narrow, 0.5) AS thin \gset
SELECT ok(loss(:thin) > 0, 'neurons of gemma2 can be removed');
SELECT is(export_gguf(:narrow), gemma(4), 'and it is exported as it was');

-- What changes the arithmetic and is not known
SELECT import_gguf(llama_gguf(kv => ARRAY[kv_real('llama.final_logit_softcapping', 30)]), 'capped') AS capped \gset
SELECT throws_ok(format('SELECT perplexity(%s, story(), 32)', :capped), '0A000',
  'key "llama.final_logit_softcapping" is not known to models of this architecture', 'a bound of logits');
SELECT import_gguf(other_gguf('bert'), 'bert') AS bert \gset
SELECT throws_like(format('SELECT perplexity(%s, story(), 32)', :bert), 'models of architecture "bert" cannot be run',
  'an architecture');
SELECT is(export_gguf(:bert), other_gguf('bert'), 'is exported nevertheless');

-- GPT-2: positions are rows of a matrix.
SELECT import_gguf(other_gguf('gpt2', '{}', 'attn_[qkv]\.|ffn_gate', ARRAY[
    ROW('position_embd.weight', '{16,64}', 0, waves(64, 16, 50)), ROW('output_norm.bias', '{16}', 0, waves(1, 16, 51)),
    ROW('blk.0.attn_norm.bias', '{16}', 0, waves(1, 16, 52)), ROW('blk.0.ffn_norm.bias', '{16}', 0, waves(1, 16, 53)),
    ROW('blk.0.attn_qkv.weight', '{16,48}', 0, matrix('attn_q') || matrix('attn_k') || matrix('attn_v'))]::lib.tensor[],
    norm => 'layer_norm_epsilon'), 'gpt2') AS gpt \gset
SELECT ok(loss(:gpt) > 0, 'gpt2 runs');
SELECT is((SELECT array_agg(round(logarithm::numeric, 4)) FROM (
    SELECT log_probability AS logarithm FROM score_tokens(:gpt, 'abcdefgh') ORDER BY position) s),
  (SELECT array_agg(round(logarithm::numeric, 4)) FROM (
    SELECT log_probability AS logarithm FROM score_tokens(:gpt, 'abcdefgh', 16) ORDER BY position) s),
  'the same in contexts of any length');

SELECT * FROM finish();
ROLLBACK;
