-- For suites about the blocks of a model. Makes the store. Must be included after model_files.sql and
-- language_models.sql.

SELECT create_store() \g /dev/null

-- Six blocks; nothing that the blocks of `idle` write is anything but zeros.
CREATE FUNCTION lib.deep_gguf(idle integer[]) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN llama_gguf(1, ARRAY(SELECT name FROM unnest(llama_tensors()) WHERE name LIKE 'blk.%') || '{llama.block_count}',
    ARRAY[kv_u32('llama.block_count', 6)],
    ARRAY(SELECT ROW(replace(t.name, 'blk.0.', format('blk.%s.', b)), t.dims, t.type,
                     CASE WHEN b = ANY (idle) AND t.name ~ 'attn_output|ffn_down' THEN zeros(length(t.data))
                          ELSE t.data END)::tensor
            FROM generate_series(0, 5) b, unnest(llama_tensors(b)) t WHERE t.name LIKE 'blk.%'));
CREATE FUNCTION lib.story() RETURNS text LANGUAGE sql IMMUTABLE
  RETURN left(repeat('the-cat-sat.the-dog-ran,and-the-cow-did-not.', 10), 200);
CREATE FUNCTION lib.blocks_of(student integer) RETURNS integer[] LANGUAGE sql VOLATILE
  AS $$ SELECT array_agg(b::int) FROM model_history(student), jsonb_array_elements_text(parameters -> 'blocks') b $$;
