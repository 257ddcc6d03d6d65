-- Students with fewer tokens: the rows of the embedding and the output matrix, and the tokenizer, follow.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(27);
SELECT create_store() \g /dev/null

-- The little llama with pieces of text among its tokens, an output matrix with a bias, and keys that name tokens.
CREATE FUNCTION lib.pieces() RETURNS text[] LANGUAGE sql IMMUTABLE
  RETURN '{▁,a,b,c,ab,▁ab,abab,▁ababab,ca,cab,<mine>}'::text[];
CREATE FUNCTION lib.pieces_gguf(output boolean DEFAULT true) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN llama_gguf(1, '{tokenizer.ggml.tokens,tokenizer.ggml.scores,tokenizer.ggml.token_type,token_embd.weight}',
    ARRAY[kv('tokenizer.ggml.tokens', 9, le(8, 4) || le(270, 8) || str('<unk>') || str('<s>') || str('</s>')
        || (SELECT string_agg(str('<0x' || upper(lpad(to_hex(i), 2, '0')) || '>'), '' ORDER BY i)
              FROM generate_series(0, 255) i)
        || (SELECT string_agg(str(p), '' ORDER BY n) FROM unnest(pieces()) WITH ORDINALITY u (p, n))),
      kv('tokenizer.ggml.scores', 9, le(6, 4) || le(270, 8)
        || f32(VARIADIC (SELECT array_agg((-i)::real ORDER BY i) FROM generate_series(0, 269) i))),
      kv('tokenizer.ggml.token_type', 9, le(5, 4) || le(270, 8)
        || (SELECT string_agg(le(CASE WHEN i = 0 THEN 2 WHEN i < 3 THEN 3 WHEN i < 259 THEN 6 WHEN i = 269 THEN 4
                                      ELSE 1 END, 4), '' ORDER BY i) FROM generate_series(0, 269) i)),
      kv_u32('tokenizer.ggml.eos_token_id', 2), kv_u32('tokenizer.ggml.padding_token_id', 261),
      kv_u32('llama.vocab_size', 270)],
    ROW('token_embd.weight', '{16,270}', 0, waves(270, 16, 1))::tensor
    || CASE WHEN output THEN ARRAY[ROW('output.weight', '{16,270}', 0, waves(270, 16, 3))::tensor,
                                   ROW('output.bias', '{270}', 0, waves(1, 270, 5))::tensor] END);
CREATE FUNCTION lib.value_of(model integer, key text) RETURNS jsonb LANGUAGE sql VOLATILE
  AS $$ SELECT gguf_value(metadata, key) FROM models WHERE model_id = model $$;
CREATE FUNCTION lib.rows_of(model integer, tensor text) RETURNS SETOF bytea LANGUAGE sql VOLATILE
  AS $$ SELECT atom_data::bytea FROM tensor_atoms WHERE model_id = model AND tensor_name = tensor
         ORDER BY atom_sequence $$;

SELECT import_gguf(pieces_gguf(), 'words') AS m \gset
SELECT is(tokenize(:m, 'cab'), '{1,259,268}', 'the whole vocabulary');
SELECT extract_by_vocabulary(:m, 'cab') AS s \gset
SELECT is(model_name, 'words_Student_264_tokens', 'a student has tokens in its name') FROM models WHERE model_id = :s;
SELECT is((parameters ->> 'kept') || ' of ' || (parameters ->> 'of'), '264 of 270', 'and in its history')
  FROM model_history(:s);
SELECT is((SELECT array_agg(t ORDER BY n) FROM jsonb_array_elements_text(value_of(:s, 'tokenizer.ggml.tokens'))
    WITH ORDINALITY u (t, n) WHERE n > 259), '{▁,b,ab,cab,<mine>}',
  'it has the tokens of the corpus, those from which they are made, those that keys name, and user-defined ones');
SELECT is(value_of(:s, 'tokenizer.ggml.scores') -> 262, '-268', 'scores follow');
SELECT is(value_of(:s, 'tokenizer.ggml.token_type') -> 263, '4', 'so do kinds');
SELECT is(value_of(:s, 'tokenizer.ggml.padding_token_id'), '260', 'and keys that name a token');
SELECT is(value_of(:s, 'tokenizer.ggml.eos_token_id'), '2', 'which may keep its number');
SELECT is(value_of(:s, 'llama.vocab_size'), '264', 'the size of the vocabulary is the number of tokens');
SELECT is((SELECT array_agg(tensor_shape::text ORDER BY layer_name) FROM model_layers
    WHERE model_id = :s AND layer_name ~ '^(token_embd|output)\.'), '{"{264}","{264,16}","{264,16}"}',
  'embedding, output matrix and its bias are smaller');
SELECT results_eq(format('SELECT rows_of(%s, %L)', :s, tensor), format($$SELECT r FROM (
    SELECT r, row_number() OVER () - 1 AS n FROM rows_of(%s, %L) r) t
    WHERE n < 260 OR n IN (261, 263, 268, 269)$$, :m, tensor), 'the rows of ' || tensor || ' are those of its tokens')
  FROM unnest('{token_embd.weight,output.weight}'::text[]) tensor;
SELECT is(tokenize(:s, 'cab'), '{1,259,262}', 'the corpus has the same tokens, by other numbers');
SELECT is(detokenize(:s, tokenize(:s, 'cab ab <mine>ca ü')), 'cab ab <mine>ca ü', 'any other text can be encoded');
SELECT is(count(*), 0::bigint, 'it is valid') FROM check_model(:s);
SELECT import_gguf(export_gguf(:s), 'again') AS again \gset
SELECT ok(export_gguf(:again) = export_gguf(:s), 'its file can be imported');
SELECT ok(perplexity(:s, repeat('cab', 90), 32) < perplexity(:m, repeat('cab', 90), 32),
  'what it predicts is shared out among fewer tokens');

-- Tied output, and a vocabulary that is needed whole
SELECT import_gguf(pieces_gguf(false), 'tied') AS tied \gset
SELECT extract_by_vocabulary(:tied, 'cab', 'small') AS s \gset
SELECT ok(perplexity(:s, repeat('cab', 90), 32) > 1, 'a student whose output is tied can be run');
SELECT extract_by_vocabulary(:tied, 'a b c ab abab cacab ababab acb bca', 'needed') AS s \gset
SELECT ok(export_gguf(:s) = export_gguf(:tied), 'a student that needs all tokens is the same file');

-- Requests that make no sense
SELECT throws_ok(format('SELECT extract_by_vocabulary(%s, NULL)', :m), '22004', NULL, 'no corpus');
SELECT throws_ok(format('SELECT extract_by_vocabulary(%s, %L)', :m, ''), '22023', 'the corpus is empty',
  'an empty one');
SELECT throws_ok('SELECT extract_by_vocabulary(NULL, ''a'')', '42704', NULL, 'no parent');
SELECT throws_ok(format('SELECT extract_by_vocabulary(%s, ''a'', ''words'')', :m), '42710', NULL,
  'a name that is taken');
SELECT import_gguf(llama_gguf(1, '{tokenizer.ggml.model}'), 'mute') AS mute \gset
SELECT throws_ok(format('SELECT extract_by_vocabulary(%s, ''a'')', :mute), '22023', 'the model has no tokenizer',
  'a model without a tokenizer');
SELECT throws_ok(format('SELECT structure_scores(%s, ''vocabulary'')', :m), '22023', NULL, 'tokens have no scores');
SELECT throws_ok(format('SELECT trim_vocabulary(%s, NULL)', :m), '22004', NULL, 'no corpus to trim to');
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok(format('SELECT extract_by_vocabulary(%s, repeat(''a b'', 1000000))', :m), '53200', NULL,
  'a corpus that is too long');
SELECT * FROM finish();
ROLLBACK;
