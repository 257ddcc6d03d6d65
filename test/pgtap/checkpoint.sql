-- Hugging Face checkpoints: the example model written as one comes back as itself; what is wrong is refused.
BEGIN;
\ir lib/model_files.sql
SELECT plan(33);
SELECT create_store() \g /dev/null

-- A little llama: width 8, two heads of 4, one key head, inner width 6, three tokens.
CREATE FUNCTION lib.little_config() RETURNS jsonb LANGUAGE sql IMMUTABLE
  RETURN '{"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "vocab_size": 3,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": true}'::jsonb;
CREATE FUNCTION lib.little_tokenizer() RETURNS jsonb LANGUAGE sql IMMUTABLE
  RETURN '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}}'::jsonb;
CREATE FUNCTION lib.little_checkpoint() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (
    SELECT safetensors(array_agg(ROW(name, 'F32', shape, waves(shape[1]::int, coalesce(shape[2], 1)::int, i))::st_tensor
                                       ORDER BY i))
    FROM (VALUES (1, 'model.embed_tokens.weight', '{3,8}'::bigint[]), (2, 'model.norm.weight', '{8}'),
      (3, 'model.layers.0.input_layernorm.weight', '{8}'), (4, 'model.layers.0.self_attn.q_proj.weight', '{8,8}'),
      (5, 'model.layers.0.self_attn.k_proj.weight', '{4,8}'), (6, 'model.layers.0.self_attn.v_proj.weight', '{4,8}'),
      (7, 'model.layers.0.self_attn.o_proj.weight', '{8,8}'),
      (8, 'model.layers.0.post_attention_layernorm.weight', '{8}'), (9, 'model.layers.0.mlp.gate_proj.weight', '{6,8}'),
      (10, 'model.layers.0.mlp.up_proj.weight', '{6,8}'), (11, 'model.layers.0.mlp.down_proj.weight', '{8,6}'))
      v (i, name, shape));

SELECT import_safetensors(little_checkpoint(), 'little', config => little_config(),
  tokenizer => little_tokenizer()) AS m \gset
SELECT is(architecture, 'llama', 'its architecture') FROM models WHERE model_id = :m;
SELECT is(metadata, file_metadata(little_checkpoint(), 'safetensors', little_config(), little_tokenizer()),
  'its metadata are a GGUF file''s') FROM models WHERE model_id = :m;
SELECT is(gguf_value(metadata, 'llama.attention.head_count_kv'), '1', 'hyperparameters') FROM models
  WHERE model_id = :m;
SELECT is(tokenize(:m, 'abb'), '{2,1}', 'its vocabulary');
SELECT results_eq(
  format('SELECT layer_name, tensor_shape, tensor_dtype FROM model_layers WHERE model_id = %s ORDER BY position', :m),
  $$SELECT tensor_name, tensor_shape, tensor_dtype
    FROM file_tensors(little_checkpoint(), 'safetensors', little_config())$$,
  'its tensors');
SELECT is((SELECT string_agg(a.atom_data::bytea, '' ORDER BY atom_sequence) FROM tensor_atoms a
           WHERE model_id = :m AND tensor_name = 'blk.0.attn_k.weight'),
  (SELECT string_agg(substr(waves(4, 8, 5), 1 + 32 * r, 32), '' ORDER BY i)
    FROM unnest(ARRAY[0, 2, 1, 3]) WITH ORDINALITY u (r, i)), 'rows of a head: halves become neighbours');
SELECT is((SELECT string_agg(a.atom_data::bytea, '' ORDER BY atom_sequence) FROM tensor_atoms a
           WHERE model_id = :m AND tensor_name = 'blk.0.attn_v.weight'), waves(4, 8, 6), 'rows of values stay');
SELECT import_gguf(export_gguf(:m), 'again') AS again \gset
SELECT is((SELECT metadata FROM models WHERE model_id = :again), metadata, 'its GGUF file has the same metadata')
  FROM models WHERE model_id = :m;
SELECT is_empty(format('SELECT tensor_name, atom_sequence, content_hash FROM tensor_atoms WHERE model_id = %s EXCEPT
  SELECT tensor_name, atom_sequence, content_hash FROM tensor_atoms WHERE model_id = %s', :m, :again), 'and weights');
-- NULL: a safetensors file like any other
SELECT import_safetensors(little_checkpoint(), 'plain', NULL, NULL, NULL) AS plain \gset
SELECT is(metadata ->> 'format', 'safetensors', 'without a config') FROM models WHERE model_id = :plain;
SELECT import_safetensors(little_checkpoint(), 'mute', config => little_config()) AS mute \gset
SELECT throws_ok(format('SELECT tokenize(%s, ''a'')', :mute), '22023', 'the model has no tokenizer',
  'without a tokenizer');

-- In several files of the server
\if :has_directory
CREATE FUNCTION lib.part(name text, i integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM lo_from_bytea(4711, (SELECT safetensors(array_agg(ROW(t.tensor_name, 'F32', t.tensor_shape,
      substr(data, (t.start + 1)::int, t.bytes::int))::st_tensor ORDER BY t.position))
    FROM (SELECT f.*, sum(bytes) OVER (ORDER BY position) - bytes AS start
      FROM file_tensors(little_checkpoint(), 'safetensors') f) t,
      substr(little_checkpoint(), length(little_checkpoint()) - (SELECT sum(bytes)::int
        FROM file_tensors(little_checkpoint(), 'safetensors')) + 1) data
   WHERE t.position % 2 = i));
  PERFORM lo_export(4711, server_path(name)), lo_unlink(4711);
  RETURN server_path(name);
END
$$;
SELECT import_safetensors(ARRAY[part('2.safetensors', 1), part('1.safetensors', 0)], 'parts', config => little_config(),
  tokenizer => little_tokenizer()) AS parts \gset
SELECT is((SELECT metadata FROM models WHERE model_id = :parts), metadata, 'several files: the same metadata')
  FROM models WHERE model_id = :m;
SELECT results_eq(
  format('SELECT tensor_name, atom_sequence, content_hash FROM tensor_atoms WHERE model_id = %s ORDER BY 1, 2', :parts),
  format('SELECT tensor_name, atom_sequence, content_hash FROM tensor_atoms WHERE model_id = %s ORDER BY 1, 2', :m),
  'several files: the same weights');
SELECT is(source_sha256,
  sha256(pg_read_binary_file(server_path('2.safetensors')) || pg_read_binary_file(server_path('1.safetensors'))),
  'several files: their sha256') FROM models WHERE model_id = :parts;
SELECT throws_ok(
  format('SELECT import_safetensors(ARRAY[%L], ''x'', config => little_config())', server_path('1.safetensors')),
  '22P03', NULL, 'one of several files is not enough');
SELECT throws_ok(
  format('SELECT import_safetensors(ARRAY[%L, %1$L], ''x'', config => little_config())', server_path('1.safetensors')),
  '22P03', 'tensor "model.embed_tokens.weight" is in two of the checkpoint''s files');
\endif
SELECT throws_ok('SELECT import_safetensors(ARRAY[NULL]::text[], ''x'', config => little_config())', '22004',
  'a path to read from cannot be NULL');
SELECT throws_ok('SELECT import_safetensors(''{}''::text[], ''x'', config => little_config())', '22023',
  'there is no path to read from');

-- Errors leave nothing
SELECT store_state() AS before \gset
SELECT throws_ok(
  format(
    'SELECT import_safetensors(little_checkpoint(), ''x'', config => little_config() || %L::jsonb, tokenizer => '
    'little_tokenizer() || %L::jsonb)',
    config, tokenizer), state, message) FROM (VALUES
  ('{"architectures": ["GPT2LMHeadModel"]}', '{}', '0A000', 'unknown architecture "GPT2LMHeadModel"'),
  ('{"hidden_size": null}', '{}', '22023', 'config: hidden_size is missing'),
  ('{"hidden_size": 16}', '{}', '22P03', 'tensor "model.embed_tokens.weight" does not fit the config'),
  ('{"num_hidden_layers": 2}', '{}', '22P03', 'tensor "model.layers.1.input_layernorm.weight" is missing'),
  ('{"rope_scaling": {"rope_type": "yarn", "factor": 4, "truncate": false}}', '{}', '0A000',
    'config: rope_scaling.truncate is false'),
  ('{}', '{"model": {}}', '22023', 'tokenizer: model.vocab is missing'),
  ('{}', '{"normalizer": {"type": "Lowercase"}}', '0A000', 'unknown normalizer "Lowercase" of the tokenizer'))
  v (config, tokenizer, state, message);
SELECT throws_ok('SELECT import_safetensors(little_checkpoint(), ''x'', tokenizer => little_tokenizer())', '22023',
  'a tokenizer requires a config');
SELECT throws_ok('SELECT file_metadata(little_gguf(), ''gguf'', little_config())', '22023',
  'a config requires a safetensors file');
SELECT is(store_state(), :'before', 'nothing is left');

-- The example model as a checkpoint. Rows of queries and keys go back where Hugging Face has them.
\if :has_example_model
SELECT import_gguf(example_model(), 'example', atom_size => 0) AS e \gset
CREATE FUNCTION lib.torch_name(name text) RETURNS text LANGUAGE sql IMMUTABLE
  RETURN CASE name WHEN 'token_embd.weight' THEN 'model.embed_tokens.weight' WHEN 'output_norm.weight' THEN
    'model.norm.weight' WHEN 'output.weight' THEN 'lm_head.weight' ELSE
    (SELECT format('model.layers.%s.%s.weight', split_part(name, '.', 2), torch) FROM (VALUES
      ('attn_norm', 'input_layernorm'), ('attn_q', 'self_attn.q_proj'), ('attn_k', 'self_attn.k_proj'),
      ('attn_v', 'self_attn.v_proj'), ('attn_output', 'self_attn.o_proj'), ('ffn_norm', 'post_attention_layernorm'),
      ('ffn_gate', 'mlp.gate_proj'), ('ffn_up', 'mlp.up_proj'), ('ffn_down', 'mlp.down_proj')) v (gguf, torch)
      WHERE gguf = split_part(name, '.', 3)) END;
CREATE FUNCTION lib.torch_row(name text, r integer, head integer) RETURNS integer LANGUAGE sql IMMUTABLE
  RETURN CASE WHEN name ~ 'attn_[qk]\.weight' THEN r / head * head + r % 2 * (head / 2) + r % head / 2 ELSE r END;
CREATE FUNCTION lib.number(model integer, key text) RETURNS numeric LANGUAGE sql STABLE
AS $$ SELECT (hartonomous_internal.gguf_value(m.metadata, key) #>> '{}')::numeric FROM hartonomous.models m
  WHERE m.model_id = model $$;
CREATE FUNCTION lib.example_checkpoint(model integer) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
DECLARE
  head integer := number(model, 'llama.embedding_length') / number(model, 'llama.attention.head_count');
BEGIN
  RETURN (
    SELECT safetensors(
      array_agg(ROW(torch_name(layer_name), tensor_dtype, tensor_shape, data)::st_tensor ORDER BY position))
    FROM hartonomous.model_layers l CROSS JOIN LATERAL (
      SELECT string_agg(a.atom_data::bytea, '' ORDER BY torch_row(a.tensor_name, a.atom_sequence, head)) AS data
        FROM hartonomous.tensor_atoms a WHERE a.model_id = model AND a.layer_id = l.layer_id) d
   WHERE l.model_id = model);
END
$$;
CREATE FUNCTION lib.example_config(model integer) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('architectures', jsonb_build_array('LlamaForCausalLM'), 'bos_token_id', 1, 'eos_token_id',
    2,
    'tie_word_embeddings',
    NOT EXISTS (SELECT FROM hartonomous.model_layers l WHERE l.model_id = model AND layer_name = 'output.weight'))
    || jsonb_object_agg(torch, number(model, 'llama.' || gguf)) FROM (VALUES
      ('hidden_size', 'embedding_length'), ('intermediate_size', 'feed_forward_length'),
      ('num_hidden_layers', 'block_count'), ('num_attention_heads', 'attention.head_count'),
      ('num_key_value_heads', 'attention.head_count_kv'), ('max_position_embeddings', 'context_length'),
      ('vocab_size', 'vocab_size'), ('rms_norm_eps', 'attention.layer_norm_rms_epsilon'),
      ('rope_theta', 'rope.freq_base')) v (torch, gguf) $$;
-- Merges: every way to make a token of two others, the token of highest score first.
CREATE FUNCTION lib.example_tokenizer(model integer) RETURNS jsonb LANGUAGE sql STABLE AS $$
  WITH token AS MATERIALIZED (
    SELECT i - 1 AS id, t #>> '{}' AS text, (s #>> '{}')::float8 AS score, (k #>> '{}')::int AS kind
      FROM hartonomous.models m, ROWS
    FROM (jsonb_array_elements(hartonomous_internal.gguf_value(m.metadata, 'tokenizer.ggml.tokens')),
        jsonb_array_elements(hartonomous_internal.gguf_value(m.metadata, 'tokenizer.ggml.scores')),
        jsonb_array_elements(
          hartonomous_internal.gguf_value(m.metadata, 'tokenizer.ggml.token_type'))) WITH ORDINALITY u (t, s, k, i)
     WHERE m.model_id = model)
  SELECT jsonb_build_object('model', jsonb_build_object('type', 'BPE', 'byte_fallback', true, 'unk_token', '<unk>',
      'vocab', (SELECT jsonb_object_agg(text, id) FROM token), 'merges', (
        SELECT jsonb_agg(jsonb_build_array(a.text, b.text) ORDER BY t.score DESC, n) FROM token t
         CROSS JOIN generate_series(1, length(t.text) - 1) n JOIN token a ON a.text = left(t.text, n)
          JOIN token b ON b.text = substr(t.text, n + 1) WHERE t.kind = 1)),
    'added_tokens',
    (SELECT jsonb_agg(jsonb_build_object('id', id, 'content', text, 'special', true)) FROM token WHERE kind IN (2, 3)),
    'pre_tokenizer', jsonb_build_object('type', 'Metaspace', 'replacement', '▁', 'prepend_scheme', 'always'),
    'post_processor',
    '{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}'::jsonb) $$;

SELECT import_safetensors(example_checkpoint(:e), 'checkpoint', config => example_config(:e),
  tokenizer => example_tokenizer(:e)) AS c \gset
SELECT results_eq(
  format('SELECT tensor_name, tensor_dtype, tensor_shape FROM file_tensors(export_gguf(%s), ''gguf'') ORDER BY 1', :c),
  $$SELECT tensor_name, tensor_dtype, tensor_shape FROM file_tensors(example_model(), 'gguf') ORDER BY 1$$,
  'the example: the exported file has the same tensors');
SELECT import_gguf(export_gguf(:c), 'exported', atom_size => 0) AS x \gset
SELECT results_eq(
  format('SELECT tensor_name, atom_sequence, content_hash FROM tensor_atoms WHERE model_id = %s ORDER BY 1, 2', :x),
  format('SELECT tensor_name, atom_sequence, content_hash FROM tensor_atoms WHERE model_id = %s ORDER BY 1, 2', :e),
  'the example: with the same weights');
SELECT is_empty(format($$SELECT kv ->> 'key' FROM models, jsonb_array_elements(metadata -> 'kv') kv WHERE model_id = %s
   AND kv ->> 'key' !~ '^general\.(name|author|description|quantization_version)|scores' EXCEPT
  SELECT kv ->> 'key' FROM models, jsonb_array_elements(metadata -> 'kv') kv WHERE model_id = %s$$, :e, :x),
  'the example: no key is missing');
SELECT is_empty(format($$SELECT a.key, a.value, b.value
   FROM (SELECT kv ->> 'key' AS key, kv -> 'value' AS value FROM models, jsonb_array_elements(metadata -> 'kv') kv
     WHERE model_id = %s) a
   JOIN (SELECT kv ->> 'key' AS key, kv -> 'value' AS value FROM models, jsonb_array_elements(metadata -> 'kv') kv
     WHERE model_id = %s) b
     USING (key) WHERE a.value <> b.value AND key <> 'tokenizer.ggml.scores'$$, :e, :x),
  'the example: none has another value');
SELECT ok(tokenize(:x, t) = tokenize(:e, t), 'the example: the same tokens')
  FROM pg_read_file(replace(example_model(), 'tiny-stories.gguf', 'heldout.txt')) t;
\endif

SELECT * FROM finish();
ROLLBACK;
