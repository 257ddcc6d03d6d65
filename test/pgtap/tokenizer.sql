-- Text to tokens and back by the vocabulary of a stored model; what is kept between calls, and for how long.
BEGIN;
\ir lib/model_files.sql
SELECT plan(51);
SELECT create_store() \g /dev/null

CREATE FUNCTION lib.kv_texts(key text, VARIADIC items text[]) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN kv(key, 9, le(8, 4) || le(cardinality(items), 8)
            || (SELECT string_agg(str(item), '' ORDER BY i) FROM unnest(items) WITH ORDINALITY u (item, i)));
CREATE FUNCTION lib.kv_numbers(key text, type integer, VARIADIC numbers integer[]) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN kv(key, 9, le(type, 4) || le(cardinality(numbers), 8)
            || (SELECT string_agg(le(n, 4), '' ORDER BY i) FROM unnest(numbers) WITH ORDINALITY u (n, i)));
-- A model that is nothing but a vocabulary.
CREATE FUNCTION lib.vocabulary(name text, VARIADIC kv bytea[]) RETURNS integer LANGUAGE sql
  RETURN import_gguf(gguf(ARRAY[ROW('token_embd.weight', '{1,1}', 0, f32(1))::tensor], kv), name);

-- SentencePiece: <unk>, <s>, </s>, ▁, a, b, ▁a, and ab, which is made before ▁a is
SELECT vocabulary('spm', kv_text('tokenizer.ggml.model', 'llama'),
    kv_texts('tokenizer.ggml.tokens', '<unk>', '<s>', '</s>', '▁', 'a', 'b', '▁a', 'ab'),
    kv('tokenizer.ggml.scores', 9, le(6, 4) || le(8, 8) || f32(0, 0, 0, -9, -9, -9, -2, -1)),
    kv_numbers('tokenizer.ggml.token_type', 5, 2, 3, 3, 1, 1, 1, 1, 1)) AS spm \gset
SELECT is(tokenize(:spm, 'ab a'), '{1,3,7,6}', 'the pair of highest score first, after <s> and a space');
SELECT is(tokenize('spm', 'ab a'), '{1,3,7,6}', 'by name');
SELECT is(tokenize(:spm, 'a</s>', add_special => false), '{6,0,0,0,0}', 'a spelled control token is text');
SELECT is(tokenize(:spm, 'a</s>a', parse_special => true), '{1,6,2,6}', 'unless asked for');
SELECT is(tokenize(:spm, 'x'), '{1,3,0}', 'what has no token is unknown');
SELECT is(tokenize(:spm, ''), '{1}', 'an empty text');
SELECT is(tokenize(:spm, '', add_special => false), '{}', 'is no token');
SELECT is(detokenize(:spm, '{1,3,7,6}'), 'ab a', 'and back');
SELECT is(detokenize('spm', '{1,6,2,6}', special => true), '<s>a</s>a', 'with control tokens spelled');
SELECT is(detokenize(:spm, '{}'), '', 'no tokens are an empty text');
SELECT is(detokenize(:spm, '{{3,7},{6,2}}'), 'ab a', 'an array of two dimensions');

-- Byte-level BPE
SELECT vocabulary('bpe', kv_text('tokenizer.ggml.model', 'gpt2'), kv_text('tokenizer.ggml.pre', 'gpt-2'),
    kv_texts('tokenizer.ggml.tokens', 'a', 'b', 'Ġ', 'Ã', '©', 'Ġa', 'ab', 'Ã©'),
    kv_texts('tokenizer.ggml.merges', 'Ġ a', 'a b', 'Ã ©'),
    kv_u32('tokenizer.ggml.eos_token_id', 0)) AS bpe \gset
SELECT is(tokenize(:bpe, 'ab aé'), '{6,5,7}', 'bytes are merged by rank, word by word');
SELECT is(detokenize(:bpe, '{6,5,7}'), 'ab aé', 'and back');
SELECT is(detokenize(:bpe, '{0,3,2,4}'), 'a� �', 'bytes that are no character');
SELECT throws_ok(format('SELECT tokenize(%s, ''c'')', :bpe), '22021', 'the vocabulary has no token for byte 0x63');

-- A cancel is heeded while a text is tokenized: the error that its last byte would make comes after.
CREATE FUNCTION lib.ended_by(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RETURN 'done';
EXCEPTION WHEN query_canceled OR OTHERS THEN RETURN SQLSTATE;
END $$;
CREATE TABLE lib.texts AS SELECT repeat('ab aab ', 4000000) || 'c' AS long;
SET LOCAL hartonomous.max_work_memory = '2GB';
SET LOCAL statement_timeout = '200ms';
SELECT ended_by(format('SELECT tokenize(%s, long) FROM texts', :bpe)) AS ended \gset
RESET statement_timeout;
RESET hartonomous.max_work_memory;
SELECT is(:'ended'::text, '57014', 'a cancel while a text is tokenized');

-- NULL
SELECT is(tokenize(NULL::integer, 'a'), NULL, 'NULL model');
SELECT is(tokenize(:spm, NULL), NULL, 'NULL text');
SELECT is(detokenize(:spm, NULL), NULL, 'NULL tokens');

-- Errors
SELECT throws_ok('SELECT tokenize(4711, ''a'')', '42704', 'model 4711 does not exist');
SELECT throws_ok('SELECT tokenize(''nobody'', ''a'')', '42704', 'model "nobody" does not exist');
SELECT throws_ok(format('SELECT detokenize(%s, ''{8}'')', :spm), '22003', 'token 8 is not in the vocabulary');
SELECT throws_ok(format('SELECT detokenize(%s, ''{-1}'')', :spm), '22003', 'token -1 is not in the vocabulary');
SELECT throws_ok(format('SELECT detokenize(%s, ''{1,NULL}'')', :spm), '22004', 'array must not contain nulls');
SELECT vocabulary('none', kv_text('general.name', 'none')) AS none \gset
SELECT throws_ok(format('SELECT tokenize(%s, ''a'')', :none), '22023', 'the model has no tokenizer');
SELECT import_safetensors(safetensors(ARRAY[ROW('w', 'F32', '{2}', f32(1, 2))::st_tensor]), 'st') AS st \gset
SELECT throws_ok(format('SELECT tokenize(%s, ''a'')', :st), '22023', 'the model has no tokenizer', 'from safetensors');
SELECT vocabulary('bert', kv_text('tokenizer.ggml.model', 'bert')) AS bert \gset
SELECT throws_ok(format('SELECT tokenize(%s, ''a'')', :bert), '0A000', 'unknown tokenizer "bert"');
SELECT vocabulary('pre', kv_text('tokenizer.ggml.model', 'gpt2'), kv_text('tokenizer.ggml.pre', 'mine')) AS pre \gset
SELECT throws_ok(format('SELECT tokenize(%s, ''a'')', :pre), '0A000', 'unknown pre-tokenizer "mine"');
SELECT vocabulary('empty', kv_text('tokenizer.ggml.model', 'llama')) AS empty \gset
SELECT throws_ok(format('SELECT tokenize(%s, ''a'')', :empty), '22P03',
  'metadata key "tokenizer.ggml.tokens" is missing');
SELECT vocabulary('types', kv_text('tokenizer.ggml.model', 'llama'), kv_u32('tokenizer.ggml.tokens', 1)) AS types \gset
SELECT throws_ok(format('SELECT tokenize(%s, ''a'')', :types), '22P03',
  'GGUF: metadata key "tokenizer.ggml.tokens" has the wrong type');
SELECT vocabulary('beyond', kv_text('tokenizer.ggml.model', 'llama'), kv_texts('tokenizer.ggml.tokens', 'a', 'b'),
  kv_u32('tokenizer.ggml.bos_token_id', 2)) AS beyond \gset
SELECT throws_ok(format('SELECT tokenize(%s, ''a'')', :beyond), '22P03',
  'metadata key "tokenizer.ggml.bos_token_id" names a token that is out of range');
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok(format('SELECT tokenize(%s, repeat(''a'', 100000))', :spm), '53200', NULL, 'a word beyond the budget');
SELECT throws_ok(format('SELECT tokenize(%s, repeat(''ab a '', 200000))', :spm), '53200', NULL,
  'a text beyond the budget');
SELECT is(cardinality(tokenize(:spm, repeat('ab a ', 50000))), 2 + 3 * 50000, 'a text within it');
RESET hartonomous.max_work_memory;

-- What is kept follows the metadata, and nothing else
UPDATE models SET model_type = 'renamed' WHERE model_id = :spm;
SELECT is(tokenize(:spm, 'ab a'), '{1,3,7,6}', 'another column of the row');
SAVEPOINT before;
UPDATE models SET metadata = replace(metadata::text, '"ab"', '"bb"')::jsonb WHERE model_id = :spm;
SELECT is(tokenize(:spm, 'ab a'), '{1,6,5,6}', 'another vocabulary');
ROLLBACK TO before;
SELECT is(tokenize(:spm, 'ab a'), '{1,3,7,6}', 'rolled back');
-- A vocabulary too large for the row is stored out of line.
SELECT import_gguf(gguf(ARRAY[ROW('token_embd.weight', '{1,1}', 0, f32(1))::tensor],
    ARRAY[kv_text('tokenizer.ggml.model', 'llama'), kv('tokenizer.ggml.tokens', 9, le(8, 4) || le(20003, 8)
      || str('<unk>') || str('<s>') || str('</s>') || (SELECT string_agg(str(md5(i::text)), '' ORDER BY i)
        FROM generate_series(1, 20000) i))]), 'large') AS large \gset
SELECT cmp_ok(pg_column_size(metadata), '>', 8192, 'out of line') FROM models WHERE model_id = :large;
SELECT is(tokenize(:large, 'a'), '{1,0,0,0,0}', 'large: ▁ and a are unknown');
SELECT is(detokenize(:large, '{3,20002}'), md5('1') || md5('20000'), 'large: first and last token');
SAVEPOINT before;
UPDATE models SET metadata = replace(metadata::text, md5('20000'), 'a')::jsonb WHERE model_id = :large;
SELECT is(tokenize(:large, 'a'), '{1,0,0,0,20002}', 'large: another vocabulary');
ROLLBACK TO before;
SELECT is(tokenize(:large, 'a'), '{1,0,0,0,0}', 'large: rolled back');
UPDATE models SET model_name = 'larger' WHERE model_id = :large;
SELECT is(tokenize('larger', 'a'), '{1,0,0,0,0}', 'large: another column of the row');
-- More models than are kept, again and again
SELECT vocabulary('m' || i, kv_text('tokenizer.ggml.model', 'llama'), kv_texts('tokenizer.ggml.tokens',
  '<unk>', '<s>', '</s>', 't' || i)) FROM generate_series(1, 7) i
  \g /dev/null
SELECT results_eq('SELECT detokenize(''m'' || i % 7 + 1, ''{3}'') FROM generate_series(0, 20) i',
  'SELECT ''t'' || i % 7 + 1 FROM generate_series(0, 20) i', 'seven models in turn');
DELETE FROM models WHERE model_name = 'm1';
SELECT throws_ok('SELECT tokenize(''m1'', ''a'')', '42704', NULL, 'a model that is gone');

-- Whoever may read models may tokenize
CREATE ROLE hartonomous_tokenizer_reader;
GRANT USAGE ON SCHEMA hartonomous, lib TO hartonomous_tokenizer_reader;
SELECT is((state_as('hartonomous_tokenizer_reader', format('SELECT hartonomous.tokenize(%s, ''a'')', :spm))).state,
  '42501', 'not without the right to read models, though its tokenizer is kept');
GRANT SELECT ON models TO hartonomous_tokenizer_reader;
SELECT is((state_as('hartonomous_tokenizer_reader', format('SELECT hartonomous.tokenize(%s, ''a'')', :spm))).state,
  '00000', 'with it');

-- The example model; the figures are llama.cpp's
\if :has_example_model
SELECT import_gguf(example_model(), 'example') AS example \gset
SELECT is(tokenize(:example, 'Once upon a time, there was a little girl named Zoë.'),
  '{1,423,345,449,277,260,595,711,404,286,260,500,446,295,298,265,689,755,198,174,712}', 'as llama.cpp');
SELECT is(cardinality(tokenize(:example, pg_read_file(replace(example_model(), 'tiny-stories.gguf', 'heldout.txt')))),
  58646, 'as many as llama.cpp');
SELECT ok(detokenize(:example, tokenize(:example, t)) = t, 'there and back')
  FROM pg_read_file(replace(example_model(), 'tiny-stories.gguf', 'heldout.txt')) t;
\endif

SELECT is_empty('SELECT * FROM without_comment(''tokenize'', ''detokenize'')', 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
