-- For suites that run models: a small llama model built in SQL, whose vocabulary is the 256 bytes. Must be included
-- after model_files.sql.

-- Parts that a test may want to make invalid.
CREATE FUNCTION lib.llama_keys() RETURNS TABLE (n integer, key text, value bytea) LANGUAGE sql IMMUTABLE AS $$
  VALUES (1, 'general.architecture', lib.kv_text('general.architecture', 'llama')),
         (2, 'llama.block_count', lib.kv_u32('llama.block_count', 1)),
         (3, 'llama.context_length', lib.kv_u32('llama.context_length', 64)),
         (4, 'llama.embedding_length', lib.kv_u32('llama.embedding_length', 16)),
         (5, 'llama.feed_forward_length', lib.kv_u32('llama.feed_forward_length', 24)),
         (6, 'llama.attention.head_count', lib.kv_u32('llama.attention.head_count', 2)),
         (7, 'llama.attention.layer_norm_rms_epsilon',
           lib.kv('llama.attention.layer_norm_rms_epsilon', 6, lib.f32(0.00001))),
         (8, 'tokenizer.ggml.model', lib.kv_text('tokenizer.ggml.model', 'llama')),
         (9, 'tokenizer.ggml.tokens', lib.kv('tokenizer.ggml.tokens', 9, lib.le(8, 4) || lib.le(259, 8)
           || lib.str('<unk>') || lib.str('<s>') || lib.str('</s>')
           || (SELECT string_agg(lib.str('<0x' || upper(lpad(to_hex(i), 2, '0')) || '>'), '' ORDER BY i)
             FROM generate_series(0, 255) i))),
         (10, 'tokenizer.ggml.scores',
           lib.kv('tokenizer.ggml.scores', 9, lib.le(6, 4) || lib.le(259, 8) || lib.zeros(4 * 259))),
         (11, 'tokenizer.ggml.token_type', lib.kv('tokenizer.ggml.token_type', 9, lib.le(5, 4) || lib.le(259, 8)
           || lib.le(2, 4) || lib.le(3, 4) || lib.le(3, 4)
           || (SELECT string_agg(lib.le(6, 4), '') FROM generate_series(0, 255))))
$$;
CREATE FUNCTION lib.llama_tensors(seed double precision DEFAULT 1) RETURNS lib.tensor[] LANGUAGE sql IMMUTABLE
  RETURN ARRAY[
    ROW('token_embd.weight', '{16,259}', 0, lib.waves(259, 16, seed))::lib.tensor,
    ROW('output_norm.weight', '{16}', 0, lib.waves(1, 16, seed + 1))::lib.tensor,
    ROW('blk.0.attn_norm.weight', '{16}', 0, lib.waves(1, 16, seed + 2))::lib.tensor,
    ROW('blk.0.attn_q.weight', '{16,16}', 0, lib.waves(16, 16, seed + 3))::lib.tensor,
    ROW('blk.0.attn_k.weight', '{16,16}', 0, lib.waves(16, 16, seed + 4))::lib.tensor,
    ROW('blk.0.attn_v.weight', '{16,16}', 0, lib.waves(16, 16, seed + 5))::lib.tensor,
    ROW('blk.0.attn_output.weight', '{16,16}', 0, lib.waves(16, 16, seed + 6))::lib.tensor,
    ROW('blk.0.ffn_norm.weight', '{16}', 0, lib.waves(1, 16, seed + 7))::lib.tensor,
    ROW('blk.0.ffn_gate.weight', '{16,24}', 0, lib.waves(24, 16, seed + 8))::lib.tensor,
    ROW('blk.0.ffn_up.weight', '{16,24}', 0, lib.waves(24, 16, seed + 9))::lib.tensor,
    ROW('blk.0.ffn_down.weight', '{24,16}', 0, lib.waves(16, 24, seed + 10))::lib.tensor];
-- The model without some keys and tensors, and with others added.
CREATE FUNCTION lib.llama_gguf(seed double precision DEFAULT 1, without text[] DEFAULT '{}', kv bytea[] DEFAULT '{}',
                               tensors lib.tensor[] DEFAULT '{}') RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN lib.gguf((SELECT array_agg(t) FROM unnest(lib.llama_tensors(seed)) t WHERE t.name <> ALL (without)) || tensors,
                  (SELECT array_agg(k.value ORDER BY n) FROM lib.llama_keys() k WHERE k.key <> ALL (without)) || kv);
