-- Adapters of low rank: GGUF and PEFT's files, imported as models of their own and merged into another.
BEGIN;
\ir lib/model_files.sql
SELECT plan(47);
SELECT create_store() \g /dev/null

-- Matrices in SQL: real arithmetic, in the order of the rank, as the documentation says.
CREATE FUNCTION lib.product(b real[], a real[], rank integer, r integer, c integer, columns integer) RETURNS real
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  total real := 0;
BEGIN
  FOR k IN 0 .. rank - 1 LOOP
    total := total + b[r * rank + k + 1] * a[k * columns + c + 1];
  END LOOP;
  RETURN total;
END
$$;
CREATE FUNCTION lib.with_product(w real[], b real[], a real[], rank integer, columns integer, scale real) RETURNS real[]
LANGUAGE sql IMMUTABLE
  RETURN (SELECT array_agg(x + scale * lib.product(b, a, rank, ((i - 1) / columns)::integer,
                                                   ((i - 1) % columns)::integer, columns) ORDER BY i)
            FROM unnest(w) WITH ORDINALITY u (x, i));
CREATE FUNCTION lib.weights_of(model integer, name text) RETURNS real[] LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT array_agg(w ORDER BY a.atom_sequence, n) FROM hartonomous.tensor_atoms a,
    unnest(hartonomous.dequantize(a.atom_data)) WITH ORDINALITY u (w, n) WHERE a.model_id = model
    AND a.tensor_name = name);
END
$$;
CREATE FUNCTION lib.adapter(tensors lib.tensor[], alpha real DEFAULT 4, architecture text DEFAULT 'llama') RETURNS bytea
LANGUAGE sql IMMUTABLE
  RETURN lib.gguf(tensors,
    ARRAY[lib.kv_text('general.architecture', architecture), lib.kv_text('general.type', 'adapter'),
      lib.kv_text('adapter.type', 'lora'), lib.kv('adapter.lora.alpha', 6, lib.f32(alpha))]);
CREATE FUNCTION lib.a() RETURNS real[] LANGUAGE sql IMMUTABLE RETURN lib.wave(2 * 256, 21);
CREATE FUNCTION lib.b() RETURNS real[] LANGUAGE sql IMMUTABLE RETURN lib.wave(10 * 2, 22);
CREATE FUNCTION lib.pair(name text DEFAULT 'blk.0.attn_q.weight') RETURNS lib.tensor[] LANGUAGE sql IMMUTABLE
  RETURN ARRAY[ROW(name || '.lora_a', '{256,2}', 0, lib.f32(VARIADIC lib.a()))::lib.tensor,
               ROW(name || '.lora_b', '{2,10}', 0, lib.f32(VARIADIC lib.b()))::lib.tensor];

SELECT import_gguf(little_gguf(), 'base') AS m \gset
SELECT import_gguf(adapter(pair()), 'lora') AS l \gset
SELECT is(model_type, model_type, 'an adapter is a model of its own') FROM models WHERE model_id = :l;
SELECT is(export_gguf(:l), adapter(pair()), '... which is exported as it was');
CREATE TABLE lib.was AS SELECT weights_of(:m, 'blk.0.attn_q.weight') AS q, holds(:m) AS all_atoms;

-- The plan
SELECT results_eq(
  format('SELECT layer_name, operation, arguments, reason, details FROM merge_plan(%s, %s, 0.25)', :m, :l),
  format($$VALUES ('token_embd.weight', NULL, NULL::jsonb, 'not in the adapter', NULL::jsonb),
    ('blk.0.attn_norm.weight', NULL, NULL, 'not in the adapter', NULL),
    ('blk.0.attn_q.weight', 'merge', '{"a": %s, "b": %s, "scale": 0.5, "adapter": %s}', NULL, '{"rank": 2}'),
    ('blk.0.ffn_down.weight', NULL, NULL, 'not in the adapter', NULL),
    ('output.weight', NULL, NULL, 'not in the adapter', NULL)$$, layer(:l, 'blk.0.attn_q.weight.lora_a'),
    layer(:l, 'blk.0.attn_q.weight.lora_b'), :l), 'the plan: scale * alpha / rank');
SELECT is(holds(:m), all_atoms, 'a plan changes nothing') FROM lib.was;

-- Merged
CALL merge_adapter('base', 'lora', 0.25);
SELECT is(weights_of(:m, 'blk.0.attn_q.weight'), with_product(q, b(), a(), 2, 256, 0.5), 'W + 0.25 * 4 / 2 * B A')
  FROM lib.was;
SELECT results_eq(format('SELECT DISTINCT a.tensor_name FROM tensor_atoms a JOIN tensor_atoms_backup b '
  'USING (model_id, layer_id, atom_sequence) WHERE a.model_id = %s AND a.content_hash <> b.content_hash', :m),
  $$VALUES ('blk.0.attn_q.weight')$$, 'no other tensor changes');
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :m AND content_hash <> sha256(atom_data::bytea)),
  0::bigint,
  'hashes are those of the new weights');
SELECT results_eq(format('SELECT r.stage, r.parameters - ''adapter_sha256'' FROM models m JOIN model_revisions r ON '
  'r.revision_id = m.current_revision WHERE m.model_id = %s', :m),
  format($$VALUES ('merge', jsonb '{"scale": 0.25, "adapter": %s, "adapter_name": "lora"}')$$, :l),
  'the revision says what was merged');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'check_model() finds nothing');
SELECT present(:m) AS merged \gset
CALL merge_adapter('base', 'lora', 0.25);
SELECT is(present(:m), :merged, 'the same call again changes nothing');
SELECT is(reason, format('merged in revision %s', :merged), '... and says why')
  FROM merge_plan('base', 'lora') WHERE layer_name = 'blk.0.attn_q.weight';
SELECT is(rollback_model(:m) IS NOT NULL AND holds(:m) = all_atoms, true, 'rollback undoes it') FROM lib.was;
CALL merge_adapter('base', 'lora', -1);
SELECT is(weights_of(:m, 'blk.0.attn_q.weight'), with_product(q, b(), a(), 2, 256, -2), 'with another scale')
  FROM lib.was;
SELECT rollback_model(:m) \g /dev/null

-- Formats: each tensor keeps its own
SELECT import_gguf(little_gguf(), 'half') AS h \gset
CALL quantize_model('half', 'F16');
CREATE TABLE lib.half AS SELECT weights_of(:h, 'blk.0.attn_q.weight') AS q;
CALL merge_adapter('half', 'lora');
SELECT is(string_agg(DISTINCT weights_format(atom_data), ','), 'F16', 'F16 stays F16') FROM tensor_atoms
 WHERE model_id = :h AND tensor_name = 'blk.0.attn_q.weight';
SELECT is(weights_of(:h, 'blk.0.attn_q.weight'), dequantize(quantize(weights(with_product(q, b(), a(), 2, 256, 2)),
  'F16')), '... rounded once') FROM lib.half;
SELECT import_gguf(little_gguf(), 'eight') AS e \gset
CALL quantize_model('eight', 'Q8_0');
CREATE TABLE lib.eight AS SELECT weights_of(:e, 'blk.0.attn_q.weight') AS q;
CALL merge_adapter('eight', 'lora');
SELECT is(weights_of(:e, 'blk.0.attn_q.weight'), dequantize(quantize(weights(with_product(q, b(), a(), 2, 256, 2)),
  'Q8_0')), 'a quantized matrix is quantized again') FROM lib.eight;
-- Atoms that are parts of rows, or several rows
SELECT import_gguf(little_gguf(), 'parts', 100) AS p \gset
CALL merge_adapter('parts', 'lora', 0.25);
SELECT is(weights_of(:p, 'blk.0.attn_q.weight'), with_product(q, b(), a(), 2, 256, 0.5), 'atoms that are parts of rows')
  FROM lib.was;
SELECT import_gguf(little_gguf(), 'joined', 768) AS j \gset
CALL merge_adapter('joined', 'lora', 0.25);
SELECT is(weights_of(:j, 'blk.0.attn_q.weight'), with_product(q, b(), a(), 2, 256, 0.5), 'atoms of several rows')
  FROM lib.was;
-- Without alpha the scale counts alone
SELECT import_gguf(adapter(pair(), 0), 'no alpha') AS n \gset
SELECT is(arguments ->> 'scale', '0.75', 'without alpha') FROM merge_plan(:m, :n, 0.75) WHERE operation IS NOT NULL;

-- Errors
SELECT import_gguf(adapter(pair(), 4, 'qwen2'), 'of qwen2') > 0,
       import_gguf(adapter(pair('blk.7.attn_q.weight')), 'of block 7') > 0,
       import_gguf(adapter((pair())[1:1]), 'half of it') > 0,
       import_gguf(adapter(pair('blk.0.ffn_down.weight')), 'of another shape') > 0,
       import_gguf(adapter(pair() || ROW('blk.0.attn_norm.weight', '{64}', 0, waves(1, 64, 1))::tensor), 'more') > 0
  \g /dev/null
SELECT throws_ok(format('CALL merge_adapter(%s)', arguments), state, message) FROM (VALUES
  ('''base'', ''half''', '22023', 'model "half" is not an adapter of low rank'),
  ('''base'', ''of qwen2''', '22023',
    'the adapter is for architecture "qwen2", but model "base" is of architecture "llama"'),
  ('''base'', ''of block 7''', '22023',
    'the adapter cannot be merged into tensor "blk.7.attn_q.weight": the model has no such tensor'),
  ('''base'', ''half of it''', '22023', 'the adapter cannot be merged into tensor "blk.0.attn_q.weight": '
    'the adapter has only one of the two matrices'),
  ('''base'', ''of another shape''', '22023', 'the adapter cannot be merged into tensor "blk.0.ffn_down.weight": '
    'a product of {10,2} and {2,256} does not fit {30,172}'),
  ('''base'', ''more''', '22023', 'the adapter cannot be merged into tensor "blk.0.attn_norm.weight": '
    'the adapter has a tensor that is no product of low rank'),
  ('''base'', ''lora'', 0', '22023', 'scale must be a number other than 0 between -1000000 and 1000000, not 0'),
  ('''base'', ''lora'', NULL', '22023', 'scale must be a number other than 0 between -1000000 and 1000000, not NULL'),
  ('''base'', ''lora'', ''NaN''', '22023', 'scale must be a number other than 0 between -1000000 and 1000000, not NaN'),
  ('''base'', 4711', '42704', NULL), ('NULL, ''lora''', '42704', NULL), ('''base'', NULL', '42704', NULL))
  v (arguments, state, message);
SELECT throws_ok(format('SELECT check_operation(''merge'', %L)', arguments), '22023', message) FROM (VALUES
  ('{}', 'arguments of operation "merge": "adapter" is missing'),
  ('{"adapter": 1, "a": 1}', 'arguments of operation "merge": "b" must be the number of a tensor'),
  ('{"adapter": 1, "a": 1.5, "b": 2, "scale": 1}',
    'arguments of operation "merge": "a" must be the number of a tensor'),
  ('{"adapter": 1, "a": 1, "b": 2}', 'arguments of operation "merge": "scale" must be a finite number')) v (arguments,
    message);
SELECT throws_ok(format($$CALL run_plan('base', 'by hand', ARRAY[ROW(NULL, 'blk.0.attn_q.weight', 'merge',
  '{"adapter": %s, "a": %s, "b": %s, "scale": 1}', NULL, NULL, NULL, NULL, NULL, NULL)::tensor_plan])$$, :l,
  layer(:l, 'blk.0.attn_q.weight.lora_b'), layer(:l, 'blk.0.attn_q.weight.lora_a')), '22023',
  'the adapter cannot be merged into it: these are not the matrices for it', 'a plan of one''s own is checked');
CALL svd_compress_model('base', rank => 2, layer_pattern => 'blk.0.attn_q%');
SELECT throws_ok('CALL merge_adapter(''base'', ''lora'')', '22023',
  'the adapter cannot be merged into tensor "blk.0.attn_q.weight": the tensor is factored', 'a factored matrix');

-- PEFT: the base model's config with the members of adapter_config.json
CREATE FUNCTION lib.config(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql IMMUTABLE
  RETURN '{"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "vocab_size": 3,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": true}'::jsonb || more;
CREATE FUNCTION lib.checkpoint(q real[]) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (
    SELECT lib.safetensors(array_agg(ROW(name, 'F32', shape, CASE WHEN i = 4 THEN lib.f32(VARIADIC q) ELSE
      lib.waves(shape[1]::int, coalesce(shape[2], 1)::int, i) END)::lib.st_tensor ORDER BY i))
    FROM (VALUES (1, 'model.embed_tokens.weight', '{3,8}'::bigint[]), (2, 'model.norm.weight', '{8}'),
      (3, 'model.layers.0.input_layernorm.weight', '{8}'), (4, 'model.layers.0.self_attn.q_proj.weight', '{8,8}'),
      (5, 'model.layers.0.self_attn.k_proj.weight', '{4,8}'), (6, 'model.layers.0.self_attn.v_proj.weight', '{4,8}'),
      (7, 'model.layers.0.self_attn.o_proj.weight', '{8,8}'),
      (8, 'model.layers.0.post_attention_layernorm.weight', '{8}'), (9, 'model.layers.0.mlp.gate_proj.weight', '{6,8}'),
      (10, 'model.layers.0.mlp.up_proj.weight', '{6,8}'), (11, 'model.layers.0.mlp.down_proj.weight', '{8,6}'))
      v (i, name, shape));
CREATE FUNCTION lib.peft(module text DEFAULT 'self_attn.q_proj') RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN lib.safetensors(ARRAY[
    ROW('base_model.model.model.layers.0.' || module || '.lora_A.weight', 'F32', '{2,8}',
      lib.f32(VARIADIC wave(16, 31)))
      ::lib.st_tensor,
    ROW('base_model.model.model.layers.0.' || module || '.lora_B.weight', 'F32', '{8,2}',
      lib.f32(VARIADIC wave(16, 32)))
      ::lib.st_tensor]);
SELECT import_safetensors(checkpoint(wave(64, 30)), 'checkpoint', config => config()) AS c \gset
SELECT import_safetensors(peft(), 'peft', config => config('{"peft_type": "LORA", "r": 2, "lora_alpha": 3}')) AS p \gset
SELECT results_eq(format('SELECT layer_name, tensor_shape FROM model_layers WHERE model_id = %s ORDER BY position', :p),
  $$VALUES ('blk.0.attn_q.weight.lora_a', '{2,8}'::bigint[]), ('blk.0.attn_q.weight.lora_b', '{8,2}')$$, 'its tensors');
SELECT is(gguf_value(metadata, 'adapter.lora.alpha'), '3', 'its alpha') FROM models WHERE model_id = :p;
CALL merge_adapter('checkpoint', 'peft');
SELECT import_safetensors(checkpoint(with_product(wave(64, 30), wave(16, 32), wave(16, 31), 2, 8, 1.5)),
  'merged before',
  config => config()) AS b \gset
SELECT is(export_gguf(:c) <> export_gguf(:b), false,
  'merging here is merging before the import, with the rows in GGUF''s '
  'order');
SELECT is(gguf_value(file_metadata(peft(), 'safetensors', config('{"peft_type": "LORA", "r": 4, "lora_alpha": 3,
  "use_rslora": true}')), 'adapter.lora.alpha'), '6', 'use_rslora: alpha / sqrt(r)');
SELECT throws_ok(format('SELECT file_metadata(peft(%L), ''safetensors'', config(%L))', module, more), state, message)
  FROM (VALUES
  ('self_attn.q_proj', '{"peft_type": "IA3"}', '0A000', 'adapters of type "IA3" are not supported'),
    ('self_attn.q_proj', '{"peft_type": "LORA", "use_dora": true}', '0A000', 'config: use_dora is true'),
    ('self_attn.q_proj', '{"peft_type": "LORA", "modules_to_save": ["lm_head"]}', '0A000',
      'config: modules_to_save is not empty'),
    ('self_attn.z_proj', '{"peft_type": "LORA"}', '0A000',
      'tensor "base_model.model.model.layers.0.self_attn.z_proj.lora_A.weight" is none of architecture llama'),
    ('mlp.down_proj', '{"peft_type": "LORA"}', '22P03',
      'tensor "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight" does not fit the config')) v (module, more,
  state, message);
SELECT is_empty($$SELECT without_comment('merge_adapter', 'merge_plan', 'adapter_tensors', 'merged_before',
  'merge_parameters', 'plan_merging', 'report_merging', 'check_merged_tensor', 'require_adapter')$$, 'comments');

SELECT * FROM finish();
ROLLBACK;
