-- For suites about structured pruning. Makes the store. Must be included after model_files.sql and
-- language_models.sql.

SELECT create_store() \g /dev/null

-- A model of 4 heads in 2 groups and 64 neurons, with biases. Of the neurons those of `dead` have weights of zero, and
-- nothing reads the heads of `dead_groups`.
CREATE FUNCTION lib.scaled(data bytea, columns integer, dead_rows integer[], dead_columns integer[]) RETURNS bytea
LANGUAGE sql IMMUTABLE
  RETURN (SELECT string_agg(CASE WHEN r = ANY (dead_rows) OR c = ANY (dead_columns) THEN zeros(4)
                                 ELSE substr(data, 4 * (r * columns + c) + 1, 4) END, '' ORDER BY r, c)
            FROM generate_series(0, length(data) / 4 / columns - 1) r, generate_series(0, columns - 1) c);
CREATE FUNCTION lib.structured_gguf(dead integer[] DEFAULT '{}', dead_groups integer[] DEFAULT '{}',
  architecture text DEFAULT 'llama') RETURNS bytea
LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[
    ROW('token_embd.weight', '{16,259}', 0, waves(259, 16, 1)), ROW('output_norm.weight', '{16}', 0, waves(1, 16, 2)),
    ROW('blk.0.attn_norm.weight', '{16}', 0, waves(1, 16, 3)),
    ROW('blk.0.attn_q.weight', '{16,16}', 0, waves(16, 16, 4)),
    ROW('blk.0.attn_q.bias', '{16}', 0, waves(1, 16, 5)), ROW('blk.0.attn_k.weight', '{16,8}', 0, waves(8, 16, 6)),
    ROW('blk.0.attn_k.bias', '{8}', 0, waves(1, 8, 7)), ROW('blk.0.attn_v.weight', '{16,8}', 0, waves(8, 16, 8)),
    ROW('blk.0.attn_v.bias', '{8}', 0, waves(1, 8, 9)),
    ROW('blk.0.attn_output.weight', '{16,16}', 0, scaled(waves(16, 16, 10), 16, '{}',
      ARRAY(SELECT g * 8 + c FROM unnest(dead_groups) g, generate_series(0, 7) c))),
    ROW('blk.0.ffn_norm.weight', '{16}', 0, waves(1, 16, 11)),
    ROW('blk.0.ffn_gate.weight', '{16,64}', 0, scaled(waves(64, 16, 12), 16, dead, '{}')),
    ROW('blk.0.ffn_gate.bias', '{64}', 0, scaled(waves(1, 64, 13), 1, dead, '{}')),
    ROW('blk.0.ffn_up.weight', '{16,64}', 0, scaled(waves(64, 16, 14), 16, dead, '{}')),
    ROW('blk.0.ffn_up.bias', '{64}', 0, scaled(waves(1, 64, 15), 1, dead, '{}')),
    ROW('blk.0.ffn_down.weight', '{64,16}', 0, scaled(waves(16, 64, 16), 64, '{}', dead))]::tensor[],
    (SELECT array_agg(value ORDER BY n) FROM llama_keys() WHERE key LIKE 'tokenizer.%')
    || ARRAY[kv_text('general.architecture', architecture)] || ARRAY(
      SELECT kv_u32(architecture || '.' || key, size) FROM (VALUES ('block_count', 1), ('context_length', 64),
        ('embedding_length', 16), ('feed_forward_length', 64), ('attention.head_count', 4),
        ('attention.head_count_kv', 2)) v (key, size))
    || kv(architecture || '.attention.layer_norm_rms_epsilon', 6, f32(0.00001)));
CREATE FUNCTION lib.story() RETURNS text LANGUAGE sql IMMUTABLE
  RETURN left(repeat('the-cat-sat.the-dog-ran,and-the-cow-did-not.', 10), 200);
CREATE FUNCTION lib.shape(model integer, tensor text) RETURNS bigint[] LANGUAGE sql VOLATILE
  AS $$ SELECT tensor_shape FROM model_layers WHERE model_id = model AND layer_name = tensor $$;
CREATE FUNCTION lib.size_of(model integer, key text) RETURNS integer LANGUAGE sql STABLE
  RETURN (SELECT gguf_value(metadata, architecture || '.' || key)::text::integer FROM models WHERE model_id = model);
-- Rows and columns of a tensor, numbered from 0, as floats.
CREATE FUNCTION lib.part(model integer, tensor text, kept_rows integer[] DEFAULT NULL,
  kept_columns integer[] DEFAULT NULL) RETURNS real[]
LANGUAGE sql STABLE AS $$
  SELECT array_agg(w ORDER BY n)
    FROM unnest(tensor_weights(model, tensor)::real[]) WITH ORDINALITY u (w, n),
         (SELECT row_length FROM model_layers WHERE model_id = model AND layer_name = tensor) l
   WHERE (kept_rows IS NULL OR (n - 1) / row_length = ANY (kept_rows))
     AND (kept_columns IS NULL OR (n - 1) % row_length = ANY (kept_columns))
$$;
