-- Hostile model files: each is refused with an error that says so, and leaves nothing behind.
BEGIN;
\ir lib/model_files.sql
SELECT plan(90);
SELECT create_store() \g /dev/null
SELECT import_gguf(little_gguf(), 'present') \g /dev/null

CREATE TABLE lib.file (container text, file bytea, state text, what text);

-- GGUF. `good` is a file, of whose bytes some are replaced.
CREATE FUNCTION lib.changed(file bytea, place integer, bytes bytea) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN substr(file, 1, place) || bytes || substr(file, place + length(bytes) + 1);
CREATE FUNCTION lib.one(name text, dims bigint[], type integer, data bytea) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW(name, dims, type, data)::tensor]);
\set good 'one(''weight'', ''{32,2}'', 0, waves(2, 32, 1))'

INSERT INTO lib.file SELECT 'gguf', file, '22P03', what FROM (VALUES
  (''::bytea, 'no byte'), ('\x47', 'one byte'), ('\x47475546', 'a magic alone'),
  (changed(:good, 0, '\x47474d4c'), 'another magic'), (gguf(NULL, NULL, version => 0), 'version 0'),
  (gguf(NULL, NULL, version => 1), 'version 1'), (gguf(NULL, NULL, version => 4), 'version 4'),
  (changed(:good, 4, '\x00000003'), 'big-endian'), (changed(:good, 8, le(-1, 8)), '2^64 - 1 tensors'),
  (changed(:good, 8, le(2, 8)), 'a tensor more than there are'), (changed(:good, 16, le(-1, 8)), '2^64 - 1 keys'),
  (changed(:good, 16, le(2, 8)), 'a key more than there are'),
  (one('w', '{1,1,1,1,1}', 0, zeros(4)), 'five dimensions'),
  (one('w', '{4294967296,0,4294967296}', 0, ''), 'a zero beside dimensions whose product overflows'),
  (one('w', '{9223372036854775807,9223372036854775807}', 0, zeros(64)), 'dimensions whose product overflows'),
  (one('w', '{4294967296,4294967296,4294967296}', 0, zeros(64)), 'dimensions whose product overflows to zero'),
  (one('w', '{-1}', 0, zeros(64)), 'a dimension of 2^64 - 1'),
  (one('w', '{4611686018427387904}', 0, zeros(64)), 'bytes that overflow'),
  (one('w', '{64}', 0, zeros(224)), 'a tensor cut short'),
  (one('w', '{64}', 256, zeros(256)), 'a type beyond those of ggml'),
  (one('w', '{64}', 99, ''), 'an unknown type without a byte'),
  (one('w', '{64}', -1, zeros(256)), 'type 2^32 - 1'),
  (one('w', '{33}', 8, zeros(68)), 'rows that are not whole blocks'),
  (one('w', '{128,2}', 12, zeros(144)), 'blocks across rows'),
  (one(repeat('n', 300), '{1}', 0, zeros(4)), 'a name too long'),
  (gguf(ARRAY[ROW('w', '{8}', 0, zeros(32))::tensor, ROW('w', '{8}', 0, zeros(32))::tensor]), 'a name twice'),
  (gguf(ARRAY[ROW('w', '{8}', 0, zeros(32))::tensor], ARRAY[kv_text('a', 'x'), kv_text('a', 'y')]), 'a key twice'),
  (gguf(NULL, ARRAY[kv_text('', 'x')]), 'a key without a name'),
  (gguf(NULL, ARRAY[kv('a', 99, '\x00')]), 'a key of unknown type'),
  (gguf(NULL, ARRAY[kv('a', 7, '\x02')]), 'a bool of 2'),
  (gguf(NULL, ARRAY[kv('a', 9, le(9, 4) || le(1, 8) || le(0, 4) || le(0, 8))]), 'an array of arrays'),
  (gguf(NULL, ARRAY[kv('a', 9, le(10, 4) || le(2305843009213693952, 8))]), 'an array whose bytes overflow'),
  (gguf(NULL, ARRAY[kv('a', 8, le(-1, 8))]), 'a text of 2^64 - 1 bytes'),
  (gguf(NULL, ARRAY[kv('a', 8, le(1000, 8) || 'short')]), 'a text cut short'),
  (gguf(NULL, ARRAY[kv_u32('general.alignment', 0)]), 'an alignment of 0'),
  (gguf(NULL, ARRAY[kv_u32('general.alignment', 24)]), 'an alignment of 24'),
  (gguf(NULL, ARRAY[kv_text('general.alignment', '32')]), 'an alignment in words')) v (file, what);
-- Names that are no text: invalid UTF-8, a NUL.
INSERT INTO lib.file SELECT 'gguf', changed(:good, position('weight'::bytea IN :good) - 1, bytes), '22P03', what
  FROM (VALUES ('\xff'::bytea, 'a name that is not UTF-8'), ('\x00', 'a name with a NUL')) v (bytes, what);
-- Offsets: the last eight bytes of a tensor's description, before the padding.
INSERT INTO lib.file SELECT 'gguf', changed(f, position('second'::bytea IN f) + 5 + 4 + 8 + 4, le(place, 8)), '22P03',
  'a tensor ' || what
  FROM (SELECT gguf(ARRAY[ROW('first', '{16}', 0, zeros(64))::tensor, ROW('second', '{16}', 0, zeros(64))::tensor]) AS
    f) two,
       (VALUES (0, 'on another'), (32, 'half on another'), (65, 'that is not aligned'), (96, 'beyond the end'),
               (-32, 'before the beginning'), (9223372036854775776, 'at the end of the world')) v (place, what);
-- Cut off anywhere.
INSERT INTO lib.file SELECT 'gguf', substr(little_gguf(), 1, n), '22P03', 'cut off after ' || n
  FROM generate_series(0, length(little_gguf()) - 1, 373) n;
INSERT INTO lib.file SELECT 'gguf', substr(:good, 1, n), '22P03', 'cut off after ' || n FROM generate_series(0,
  length(:good) - 1) n;
-- A vocabulary by which no text could be cut into tokens.
INSERT INTO lib.file SELECT 'gguf', gguf(NULL, ARRAY[kv_text('tokenizer.ggml.model', kind),
    kv('tokenizer.ggml.tokens', 9, le(8, 4) || le(3, 8) || str('a') || str('b') || str('a'))]), '22P03',
    'a token twice, ' || kind
  FROM unnest(ARRAY['llama', 'gpt2']) kind;
-- Limits: not malformed, but too much.
INSERT INTO lib.file VALUES
  ('gguf', gguf(NULL, ARRAY[kv_text('a', repeat('x', 67108865))]), '54000', 'more metadata than can be kept');

-- safetensors
INSERT INTO lib.file SELECT 'safetensors', file, '22P03', what FROM (VALUES
  (''::bytea, 'no byte'), ('\x0000000000', 'half a length'), (zeros(8), 'no header'),
  (le(-1, 8), 'a header of 2^64 - 1 bytes'), (le(100, 8) || '{}', 'a header cut short'),
  (le(100000001, 8) || zeros(16), 'a header too long'), (safetensors_raw('', ''), 'an empty header'),
  (safetensors_raw('[]', ''), 'an array'), (safetensors_raw('{', ''), 'half an object'),
  (safetensors_raw('{} {}', ''), 'two objects'), (safetensors_raw('{"a":1}', ''), 'a number for a tensor'),
  (safetensors_raw('{"a":{}}', ''), 'a tensor without anything'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[1]}}', zeros(4)), 'no offsets'),
  (safetensors_raw('{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}', zeros(4)), 'an unknown dtype'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', zeros(4)), 'a shape larger than the data'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}', zeros(8)),
    'a shape smaller than the data'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', zeros(4)), 'offsets the wrong way round'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', zeros(4)), 'a negative dimension'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', zeros(4)), 'a fractional dimension'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}', zeros(4)), 'three offsets'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}', ''),
    'a product that overflows to zero'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}', zeros(4)),
    'a dimension beyond 64 bits'),
  (safetensors_raw('{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}', zeros(1)), 'half a byte'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', zeros(5)), 'data of nobody'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', zeros(8)), 'a hole at the beginning'),
  (safetensors_raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', ''), 'no data'),
  (safetensors_raw(
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    zeros(4)), 'one tensor on another'),
  (safetensors_raw(
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}',
    zeros(12)), 'a hole'),
  (safetensors_raw(
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
    zeros(8)), 'a name twice'),
  (safetensors_raw('{"a\u0000b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', zeros(4)), 'a name with a NUL'),
  (safetensors_raw('{"__metadata__":{"a":1}}', ''), 'metadata that are not texts'),
  (safetensors_raw('{"__metadata__":[]}', ''), 'metadata in an array'),
  (safetensors_raw('{"a":' || repeat('[', 100000), ''), 'a hundred thousand brackets'),
  (safetensors_raw('{"a":{"x":' || repeat('[', 1000) || repeat(']', 1000)
    || ',"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', zeros(4)), 'a thousand brackets in a tensor'),
  (le(3, 8) || '{"' || '\xff', 'a header that is not UTF-8'), (:good, 'a GGUF file')) v (file, what);
INSERT INTO lib.file SELECT 'safetensors', substr(f, 1, n), '22P03', 'cut off after ' || n
  FROM (SELECT safetensors(ARRAY[ROW('a', 'F32', '{3}', f32(1, 2, 3))::st_tensor]) AS f) s, generate_series(0, length(f)
    - 1) n;
INSERT INTO lib.file SELECT 'gguf', safetensors(ARRAY[ROW('a', 'F32', '{3}', f32(1, 2, 3))::st_tensor]), '22P03',
  'a safetensors file';

SELECT store_state() AS before \gset
CREATE FUNCTION lib.try_import(container text, file bytea, OUT state text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SELECT import_%s($1, $2)', container) USING file, 'hostile';
  RAISE EXCEPTION 'accepted' USING ERRCODE = 'HT000';  -- and undone, so that the next one has its chance
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
END
$$;
CREATE TABLE lib.outcome AS SELECT f.container, f.what, f.state AS wanted, o.state, o.message
  FROM lib.file f CROSS JOIN LATERAL lib.try_import(f.container, f.file) o;
SELECT is(state, wanted, container || ': ' || what) FROM lib.outcome WHERE what NOT LIKE 'cut off%';
SELECT is_empty('SELECT container, what, state, message FROM lib.outcome WHERE state <> wanted',
  'all hostile files are refused as they should be');
SELECT is_empty($$SELECT container, what, message FROM lib.outcome
   WHERE message !~* ('^' || container || ': ') AND what NOT LIKE 'a token twice%'$$,
  'messages say what kind of file it was to be');
SELECT is(store_state(), :'before', 'nothing is left of any of them');
SELECT ok(export_gguf(1) = little_gguf(), 'and the model that was there is as it was');
SELECT ok(import_gguf(little_gguf(2), 'hostile') > 0, 'the name is free');

SELECT * FROM finish();
ROLLBACK;
