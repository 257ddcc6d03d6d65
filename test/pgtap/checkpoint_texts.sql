-- What the texts of a checkpoint say besides the network: special tokens, chat templates, names, splitting rules; and
-- matrices of 8-bit numbers with scales, which are read as the weights they stand for.
BEGIN;
\ir lib/model_files.sql
SELECT plan(53);
SELECT create_store() \g /dev/null

-- A little qwen2, whose rows keep their order: width 8, two heads of 4, inner width 6, five tokens. `gate` replaces the
-- gate matrix of the only block.
CREATE FUNCTION lib.config(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql IMMUTABLE
  RETURN '{"architectures": ["Qwen3ForCausalLM"], "hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "vocab_size": 5, "head_dim": 4,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1}'::jsonb || more;
CREATE FUNCTION lib.tokenizer(pattern text DEFAULT NULL) RETURNS jsonb LANGUAGE sql IMMUTABLE
  RETURN jsonb_build_object('model', '{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}'::jsonb,
    'added_tokens',
    '[{"id": 3, "content": "<s>", "special": true}, {"id": 4, "content": "</s>", "special": true}]'::jsonb,
    'pre_tokenizer', CASE WHEN pattern IS NULL THEN '{"type": "ByteLevel", "add_prefix_space": false}'::jsonb
      ELSE jsonb_build_object('type', 'Sequence', 'pretokenizers', jsonb_build_array(
        jsonb_build_object('type', 'Split', 'pattern', jsonb_build_object('Regex', pattern), 'behavior', 'Isolated'),
        '{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}'::jsonb)) END);
CREATE FUNCTION lib.checkpoint(VARIADIC gate lib.st_tensor[] DEFAULT ARRAY[
    ROW('model.layers.0.mlp.gate_proj.weight', 'F32', '{6,8}', lib.waves(6, 8, 9))::lib.st_tensor])
  RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (
    SELECT lib.safetensors(array_agg(ROW(name, 'F32', shape,
      lib.waves(shape[1]::int, coalesce(shape[2], 1)::int, i))::lib.st_tensor ORDER BY i) || gate)
    FROM (VALUES (1, 'model.embed_tokens.weight', '{5,8}'::bigint[]), (2, 'model.norm.weight', '{8}'),
      (3, 'model.layers.0.input_layernorm.weight', '{8}'), (4, 'model.layers.0.self_attn.q_proj.weight', '{8,8}'),
      (5, 'model.layers.0.self_attn.k_proj.weight', '{4,8}'), (6, 'model.layers.0.self_attn.v_proj.weight', '{4,8}'),
      (7, 'model.layers.0.self_attn.o_proj.weight', '{8,8}'), (8, 'model.layers.0.self_attn.q_norm.weight', '{4}'),
      (9, 'model.layers.0.post_attention_layernorm.weight', '{8}'),
      (10, 'model.layers.0.mlp.up_proj.weight', '{6,8}'), (11, 'model.layers.0.mlp.down_proj.weight', '{8,6}'),
      (12, 'model.layers.0.self_attn.k_norm.weight', '{4}')) v (i, name, shape));
CREATE FUNCTION lib.says(tokenizer_config jsonb, key text) RETURNS jsonb LANGUAGE sql STABLE
  RETURN hartonomous_internal.gguf_value(
    hartonomous.file_metadata(checkpoint(), 'safetensors', config(), tokenizer(), tokenizer_config), key);

-- tokenizer_config.json
SELECT is(says('null', 'tokenizer.ggml.bos_token_id'), '0', 'without tokenizer_config: the config''s BOS');
SELECT is(says('{"bos_token": "<s>"}', 'tokenizer.ggml.bos_token_id'), '3', 'tokenizer_config names another');
SELECT is(says('{"eos_token": {"content": "</s>", "lstrip": false}}', 'tokenizer.ggml.eos_token_id'), '4',
  'a token with its flags');
SELECT is(says('{"pad_token": "ab", "bos_token": null}', 'tokenizer.ggml.padding_token_id'), '2', 'padding');
SELECT is(says('{"bos_token": "no such"}', 'tokenizer.ggml.bos_token_id'), '0', 'one that is no token says nothing');
SELECT is(says('null', 'tokenizer.ggml.add_bos_token'), NULL, 'the defaults apply');
SELECT is(says('{"add_bos_token": true}', 'tokenizer.ggml.add_bos_token'), 'true', 'add_bos_token');
SELECT is(says('{"add_bos_token": false, "add_eos_token": true}', 'tokenizer.ggml.add_eos_token'), 'true',
  'add_eos_token');
SELECT import_safetensors(checkpoint(), 'adds', config => config(), tokenizer => tokenizer(),
  tokenizer_config => '{"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true, "add_eos_token": true}') AS m
  \gset
SELECT is(tokenize(:m, 'ab'), '{3,2,4}', 'both are added to text');
SELECT is(says('{"chat_template": "{{ x }}"}', 'tokenizer.chat_template'), '"{{ x }}"', 'a chat template');
SELECT is(says('{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool-use", "template": "t"}]}',
  'tokenizer.chat_template'), '"d"', 'the default of several');
SELECT is(says('{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool-use", "template": "t"}]}',
  'tokenizer.chat_template.tool_use'), '"t"', 'another');
SELECT is(says('{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool-use", "template": "t"}]}',
  'tokenizer.chat_templates'), '["tool_use"]', 'their names');
SELECT is(says('{"name_or_path": "org/Little-1B/"}', 'general.name'), '"Little-1B"', 'a name');
SELECT is(gguf_value(file_metadata(checkpoint(), 'safetensors', config('{"_name_or_path": "org/Small"}'), tokenizer(),
  '{"name_or_path": "other"}'), 'general.name'), '"Small"', 'the config''s name comes first');
SELECT import_safetensors(checkpoint(), 'chat', config => config(), tokenizer => tokenizer(),
  tokenizer_config => '{"chat_template": "{% for m in messages %}é{% endfor %}"}') AS m \gset
SELECT is(gguf_value(file_metadata(export_gguf(:m), 'gguf'), 'tokenizer.chat_template'),
  '"{% for m in messages %}é{% endfor %}"', 'the export has the template');
SELECT throws_ok(format('SELECT says(%L, ''x'')', text), state, message) FROM (VALUES
  ('{"bos_token": 1}', '22023', 'tokenizer_config: bos_token is not a string'),
  ('{"add_bos_token": 1}', '22023', 'tokenizer_config: add_bos_token is neither true nor false'),
  ('{"chat_template": 1}', '22023', 'tokenizer_config: chat_template is not a string'),
  ('{"chat_template": [{"name": "a", "template": "x"}, {"name": "a", "template": "y"}]}', '22023',
    'tokenizer_config: chat_template has two templates of one name, or one without a name'),
  ('[]', '22023', 'tokenizer_config is not an object')) v (text, state, message);
SELECT throws_ok($$SELECT import_safetensors(checkpoint(), 'x', tokenizer_config => '{}')$$, '22023',
  'a tokenizer requires a config');

-- The splitting rule, named by the caller
SELECT throws_ok($$SELECT file_metadata(checkpoint(), 'safetensors', config(), tokenizer('\w+|\W'))$$, '0A000',
  'the tokenizer splits text into words by an unknown pattern');
SELECT is(gguf_value(file_metadata(checkpoint(), 'safetensors', config(), tokenizer('\w+|\W'),
  pre_tokenizer => 'qwen2'), 'tokenizer.ggml.pre'), '"qwen2"', 'an unknown pattern: as the caller says');
SELECT is(gguf_value(file_metadata(checkpoint(), 'safetensors', config(), tokenizer(), pre_tokenizer => 'qwen2'),
  'tokenizer.ggml.pre'), '"gpt-2"', 'a known pattern: as the file says');
-- The patterns of Mistral NeMo, gpt-oss and Qwen 3.5
SELECT is(gguf_value(file_metadata(checkpoint(), 'safetensors', config(), tokenizer(pattern)
    || jsonb_build_object('model', tokenizer() -> 'model' || jsonb_build_object('ignore_merges', whole))),
    'tokenizer.ggml.pre') #>> '{}', name, 'the pattern of ' || name) FROM (VALUES
  ('tekken', true, '[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?'
    '[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|'
    '\s+(?!\S)|\s+'),
  ('gpt-4o', false, '[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+'
    '(?i:''s|''t|''re|''ve|''m|''ll|''d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*'
    '(?i:''s|''t|''re|''ve|''m|''ll|''d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+'),
  ('qwen35', false,
    '(?i:''s|''t|''re|''ve|''m|''ll|''d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|'
    '\s*[\r\n]+|\s+(?!\S)|\s+')) v (name, whole, pattern);
CREATE FUNCTION lib.bpe_file(VARIADIC more bytea[] DEFAULT '{}') RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW('token_embd.weight', '{2,3}', 0, f32(1, 2, 3, 4, 5, 6))::tensor],
    ARRAY[kv_text('general.architecture', 'llama'), kv_text('tokenizer.ggml.model', 'gpt2'),
      kv('tokenizer.ggml.tokens', 9, le(8, 4) || le(3, 8) || str('a') || str('b') || str('ab')),
      kv('tokenizer.ggml.merges', 9, le(8, 4) || le(1, 8) || str('a b')), kv_u32('tokenizer.ggml.bos_token_id', 0),
      kv_u32('tokenizer.ggml.eos_token_id', 1)] || more);
SELECT import_gguf(bpe_file(), 'no pre') AS no_pre \gset
SELECT throws_ok(format('SELECT tokenize(%s, ''ab'')', :no_pre), '22P03',
  'metadata key "tokenizer.ggml.pre" is missing');
SELECT import_gguf(bpe_file(), 'named', pre_tokenizer => 'gpt-2') AS named \gset
SELECT is(tokenize(:named, 'ab'), '{2}', 'a GGUF file that names none');
SELECT import_gguf(bpe_file(kv_text('tokenizer.ggml.pre', 'default')), 'default', pre_tokenizer => 'llama-bpe') AS named
  \gset
SELECT is(gguf_value(metadata, 'tokenizer.ggml.pre'), '"llama-bpe"', 'or "default"') FROM models
  WHERE model_id = :named;
SELECT throws_ok(format('SELECT import_gguf(%s, ''x'', pre_tokenizer => %L)', file, named), state, message) FROM (VALUES
  ('bpe_file()', 'no such', '0A000', 'unknown pre-tokenizer "no such"'),
  ('bpe_file(kv_text(''tokenizer.ggml.pre'', ''qwen2''))', 'gpt-2', '22023',
    'the file names another pre-tokenizer, "qwen2", than "gpt-2"'),
  ('little_gguf()', 'gpt-2', '22023', 'only a byte-level BPE vocabulary has a pre-tokenizer')) v (file, named, state,
    message);

-- 8-bit floats. E4M3: 38 is 1, 3c 1.5, 40 2, b8 -1, 08 2^-6, 01 2^-9, 7e 448; E5M2: 3c is 1, 3e 1.5, 7b 57344.
CREATE FUNCTION lib.gate(VARIADIC gate lib.st_tensor[]) RETURNS real[] LANGUAGE plpgsql AS $$
DECLARE
  model integer := hartonomous.import_safetensors(checkpoint(VARIADIC gate), 'gate',
    config => config('{"quantization_config": {"quant_method": "fp8", "weight_block_size": [4, 5]}}'));
  found real[] := (SELECT array_agg(w ORDER BY a.atom_sequence, n)
    FROM hartonomous.tensor_atoms a, unnest(hartonomous.dequantize(a.atom_data)) WITH ORDINALITY u (w, n)
   WHERE a.model_id = model AND a.tensor_name = 'blk.0.ffn_gate.weight');
BEGIN
  PERFORM hartonomous.delete_model(model);
  RETURN found;
END
$$;
CREATE FUNCTION lib.codes(hex text) RETURNS bytea LANGUAGE sql IMMUTABLE RETURN decode(repeat(hex, 6), 'hex');
SELECT is(gate(ROW('model.layers.0.mlp.gate_proj.weight', 'F8_E4M3', '{6,8}', codes('383c40b808017e00'))),
  (SELECT array_agg((ARRAY[1, 1.5, 2, -1, 0.015625, 0.001953125, 448, 0])[i % 8 + 1] ORDER BY i)::real[]
    FROM generate_series(0, 47) i),
  'E4M3 without scales');
SELECT is(gate(ROW('model.layers.0.mlp.gate_proj.weight', 'F8_E5M2', '{6,8}', codes('3c3e7bbc00800138'))),
  (SELECT array_agg((ARRAY[1, 1.5, 57344, -1, 0, 0, 0.0000152587890625, 0.5])[i % 8 + 1] ORDER BY i)::real[]
    FROM generate_series(0, 47) i),
  'E5M2 without scales');
SELECT is(gate(ROW('model.layers.0.mlp.gate_proj.weight', 'F8_E4M3', '{6,8}', codes('383c40b8383c40b8')),
    ROW('model.layers.0.mlp.gate_proj.weight_scale_inv', 'F32', '{2,2}', f32(0.5, 2, 3, 0.25))),
  (SELECT array_agg((ARRAY[1, 1.5, 2, -1])[c % 4 + 1] * (ARRAY[0.5, 2, 3, 0.25])[r / 4 * 2 + c / 5 + 1] ORDER BY r, c)
   ::real[] FROM generate_series(0, 5) r, generate_series(0, 7) c), 'a scale for each block of 4 x 5, the last cut');
SELECT is(gate(ROW('model.layers.0.mlp.gate_proj.weight', 'F8_E4M3', '{6,8}', codes('383c40b8383c40b8')),
    ROW('model.layers.0.mlp.gate_proj.weight_scale', 'BF16', '{6,1}', '\x803f0040404080400040803f')),
  (SELECT array_agg((ARRAY[1, 1.5, 2, -1])[c % 4 + 1] * (ARRAY[1, 2, 3, 4, 2, 1])[r + 1] ORDER BY r, c)::real[]
    FROM generate_series(0, 5) r, generate_series(0, 7) c), 'a scale for each row');
SELECT is(gate(ROW('model.layers.0.mlp.gate_proj.weight', 'F8_E4M3', '{6,8}', codes('383c40b8383c40b8')),
    ROW('model.layers.0.mlp.gate_proj.weight_scale', 'F32', '{}', f32(3)),
    ROW('model.layers.0.mlp.gate_proj.input_scale', 'F32', '{}', f32(9))),
  (SELECT array_agg((ARRAY[3, 4.5, 6, -3])[i % 4 + 1] ORDER BY i)::real[] FROM generate_series(0, 47) i),
  'one scale; that of the inputs is ignored');
SELECT is(gate(ROW('model.layers.0.mlp.gate_proj.weight', 'I8', '{6,8}', codes('01ff7f8001ff7f80')),
    ROW('model.layers.0.mlp.gate_proj.weight_scale', 'F32', '{1}', f32(0.5))),
  (SELECT array_agg((ARRAY[0.5, -0.5, 63.5, -64])[i % 4 + 1] ORDER BY i)::real[] FROM generate_series(0, 47) i),
  'integers with a scale');
-- 1.125 x 1.0078125 = 1.1337890625 is between the BF16 numbers 1.1328125 and 1.140625
SELECT is((gate(ROW('model.layers.0.mlp.gate_proj.weight', 'F8_E4M3', '{6,8}', codes('3939393939393939')),
    ROW('model.layers.0.mlp.gate_proj.weight_scale', 'F32', '{1}', f32(1.0078125))))[1], 1.1328125::real,
  'products are rounded to BF16');
SELECT throws_ok(format('SELECT gate(%s)', tensors), state, message) FROM (VALUES
  ($$ROW('model.layers.0.mlp.gate_proj.weight', 'I8', '{6,8}', zeros(48))$$, '0A000',
    'tensor "model.layers.0.mlp.gate_proj.weight" is of integers without scales'),
  ($$ROW('model.layers.0.mlp.gate_proj.weight', 'U8', '{6,8}', zeros(48))$$, '0A000',
    'tensor "model.layers.0.mlp.gate_proj.weight" is not of floats'),
  ($$ROW('model.layers.0.mlp.gate_proj.weight', 'F8_E4M3', '{6,8}', zeros(48)),
     ROW('model.layers.0.mlp.gate_proj.weight_scale_inv', 'F32', '{2,3}', zeros(24))$$, '22P03',
    'tensor "model.layers.0.mlp.gate_proj.weight_scale_inv" does not fit the matrix that it scales')) v (tensors, state,
  message);
SELECT throws_ok(format('SELECT file_metadata(checkpoint(), ''safetensors'', config(%L))', more), '0A000', message)
  FROM (VALUES
  ('{"quantization_config": {"quant_method": "gptq", "bits": 4}}',
    'quantized checkpoints of method "gptq" are not supported'),
    ('{"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"}}',
      'checkpoints of format "pack-quantized" are not supported'),
    ('{"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}',
      'quantized checkpoints of method "NVFP4" are not supported')) v (more, message);

-- Members of the config that nothing reads
SELECT throws_ok(format('SELECT file_metadata(checkpoint(), ''safetensors'', config(%L))', more), '0A000',
  format('config: %s is not supported', member)) FROM (VALUES
  ('{"final_logit_softcapping": 30.0}', 'final_logit_softcapping'), ('{"logit_scale": 0.5}', 'logit_scale'),
    ('{"kv_lora_rank": 512}', 'kv_lora_rank'), ('{"no_rope_layers": [1, 0]}', 'no_rope_layers'),
    ('{"embedding_multiplier": 0}', 'embedding_multiplier')) v (more, member);
SELECT is(file_metadata(checkpoint(), 'safetensors', config('{"final_logit_softcapping": null, "logit_scale": 1,
  "kv_lora_rank": 0, "no_rope_layers": [], "use_cache": true, "_attn": 1, "a_new_one": {"x": 1}}')),
  file_metadata(checkpoint(), 'safetensors', config()), 'values that change nothing, and members that are not known');

SELECT * FROM finish();
ROLLBACK;
