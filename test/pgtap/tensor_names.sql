-- What names of tensors say; the unit tests of core/tensor have many more of them.
BEGIN;
\ir lib/model_files.sql
SELECT plan(33);

SELECT is((layer_number(name), layer_type(name), tensor_role(name))::text, expected, name) FROM (VALUES
  ('blk.12.attn_k.weight', '(12,attention,attn_k)'), ('blk.3.ffn_norm.weight', '(3,norm,norm)'),
  ('output_norm.weight', '(-1,norm,norm)'), ('output.weight', '(-1,output,output)'),
  ('blk.1.attn_output.weight', '(1,attention,attn_output)'), ('blk.1.attn_kv_b.weight', '(1,attention,attn_kv_b)'),
  ('blk.1.ffn_down_exps.weight', '(1,ffn,ffn_down)'), ('blk.1.ffn_gate_inp.weight', '(1,ffn,router)'),
  ('per_layer_token_embd.weight', '(-1,embedding,token_embedding)'), ('token_types.weight', '(-1,embedding,embedding)'),
  ('token_embd_norm.weight', '(-1,norm,norm)'), ('blk.0.time_mix_key.weight', '(0,other,recurrent)'),
  ('model.layers.7.self_attn.q_proj.weight', '(7,attention,attn_q)'),
  ('model.layers.7.mlp.gate_proj.weight', '(7,ffn,ffn_gate)'),
  ('model.layers.0.input_layernorm.weight', '(0,norm,norm)'), ('transformer.h.11.ln_1.bias', '(11,norm,norm)'),
  ('transformer.wte.weight', '(-1,embedding,token_embedding)'),
  ('model.embed_tokens.weight', '(-1,embedding,token_embedding)'), ('lm_head.weight', '(-1,output,output)'),
  ('features.0.weight', '(-1,other,other)'), ('blk.99999999.x', '(-1,other,other)'), ('', '(-1,other,other)')
  ) v (name, expected);

SELECT is(with_layer_number(name, 5), expected, name)
  FROM (VALUES ('blk.12.ffn_down.7.weight', 'blk.5.ffn_down.7.weight'),
    ('model.layers.0.mlp.down_proj.weight', 'model.layers.5.mlp.down_proj.weight'), ('output.weight', 'output.weight')
  ) v (name, expected);

SELECT is(writes_residual(name), expected, name) FROM (VALUES ('blk.0.ffn_down_exps.weight', true),
  ('model.layers.0.self_attn.o_proj.weight', true), ('blk.0.ffn_up.weight', false), ('output.weight', false)
  ) v (name, expected);

SELECT ok(layer_number(NULL) IS NULL AND layer_type(NULL) IS NULL AND tensor_role(NULL) IS NULL, 'no name');
SELECT ok(writes_residual(NULL) IS NULL AND with_layer_number(NULL, 1) IS NULL, 'no name either');
SELECT is(with_layer_number('blk.0.x', NULL), NULL, 'no number');

SELECT is_empty($$SELECT without_comment('layer_number', 'layer_type', 'tensor_role', 'writes_residual',
  'with_layer_number')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
