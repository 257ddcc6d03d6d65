-- A llama model whose rows are whole blocks of 32 weights. Of its neurons the first may be dead: it is the same without
-- them. Other tensors may be added. Must be included after language_models.sql.
CREATE FUNCTION lib.wide_gguf(neurons integer DEFAULT 64, dead integer DEFAULT 0,
                              more lib.tensor[] DEFAULT '{}') RETURNS bytea
  LANGUAGE sql IMMUTABLE
  RETURN lib.llama_gguf(1,
    ARRAY['llama.embedding_length', 'llama.feed_forward_length']
      || ARRAY(SELECT t.name FROM unnest(lib.llama_tensors()) t),
    ARRAY[lib.kv_u32('llama.embedding_length', 32), lib.kv_u32('llama.feed_forward_length', neurons)],
    ARRAY[
      ROW('token_embd.weight', '{32,259}', 0, lib.waves(259, 32, 1))::lib.tensor,
      ROW('output_norm.weight', '{32}', 0, lib.waves(1, 32, 2))::lib.tensor,
      ROW('blk.0.attn_norm.weight', '{32}', 0, lib.waves(1, 32, 3))::lib.tensor,
      ROW('blk.0.attn_q.weight', '{32,32}', 0, lib.waves(32, 32, 4))::lib.tensor,
      ROW('blk.0.attn_k.weight', '{32,32}', 0, lib.waves(32, 32, 5))::lib.tensor,
      ROW('blk.0.attn_v.weight', '{32,32}', 0, lib.waves(32, 32, 6))::lib.tensor,
      ROW('blk.0.attn_output.weight', '{32,32}', 0, lib.waves(32, 32, 7))::lib.tensor,
      ROW('blk.0.ffn_norm.weight', '{32}', 0, lib.waves(1, 32, 8))::lib.tensor,
      ROW('blk.0.ffn_gate.weight', ARRAY[32, neurons], 0,
          lib.zeros(128 * dead) || lib.waves(neurons - dead, 32, 9))::lib.tensor,
      ROW('blk.0.ffn_up.weight', ARRAY[32, neurons], 0,
          lib.zeros(128 * dead) || lib.waves(neurons - dead, 32, 10))::lib.tensor,
      ROW('blk.0.ffn_down.weight', ARRAY[neurons, 32], 0, lib.waves(32, neurons, 11))::lib.tensor] || more);
CREATE FUNCTION lib.story() RETURNS text LANGUAGE sql IMMUTABLE
  RETURN left(repeat('the-cat-sat.the-dog-ran,and-the-cow-did-not.', 10), 400);
