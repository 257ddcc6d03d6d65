-- Type weights: text form, casts, accessors, equality and hashing.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS hartonomous CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT set_config('search_path', 'hartonomous, hartonomous_internal, ' || current_setting('search_path'), true)
  \g /dev/null

SELECT plan(188);

-- Text form

SELECT is(weights_out(weights_in('F32[2]:0000803f00000040'))::text, 'F32[2]:0000803f00000040', 'text form in and out');
SELECT is('F32[0]:'::weights::text, 'F32[0]:', 'an empty run');
SELECT is(('q8_0[1]:003C' || repeat('7F', 32))::weights::text, 'Q8_0[1]:003c' || repeat('7f', 32),
  'names and digits are read in either case and written in one');
SELECT is('F32[1]:0000803f'::text::weights::text::weights::text, 'F32[1]:0000803f', 'casts through text');
SELECT is(weights_in(NULL), NULL, 'weights_in(NULL)');
SELECT is(weights_out(NULL)::text, NULL, 'weights_out(NULL)');
SELECT is(weights_send(NULL), NULL, 'weights_send(NULL)');
SELECT is(weights('F32[1]:0000803f')::text, 'F32[1]:0000803f', 'weights(''...'') reads the text form');
SELECT is(array_length('{F32[0]:,"F16[1]:003c",NULL}'::weights[], 1), 3, 'arrays of weights');
SELECT is((ROW('F32[0]:'::weights)::text), '(F32[0]:)', 'weights in a row');
SELECT is(format('%s[1]:%s', f.format, repeat('00', f.block_bytes))::weights::text,
          format('%s[1]:%s', f.format, repeat('00', f.block_bytes)), 'text form of ' || f.format)
  FROM formats() f ORDER BY f.ggml_type;

SELECT throws_ok(format('SELECT %L::weights', bad), '22P02', NULL, format('%L is no text form', left(bad, 40)))
  FROM (VALUES (''), ('F32'), ('F32[]:'), ('F32[1]'), ('F32[1]:'), ('F32[1]:0000803'), ('F32[1]:0000803f00'),
    ('F32[2]:0000803f'),
    ('F32[1]:0000803g'), ('F32[-1]:'), ('F32[+0]:'), ('F32[ 0]:'), ('F32[0 ]:'), ('F32[0]: '), (' F32[0]:'),
    ('F32[0x1]:0000803f'), ('F32[99999999999]:'), ('F32[4294967296]:'), ('F32[18446744073709551616]:'),
    ('F33[0]:'), ('[0]:'), ('F32]:[0'), ('F32[0]:[0]:'), ('Q4_K[256]:00'), ('1,2,3'), ('{1,2}')) t(bad);
SELECT throws_ok($$SELECT 'F33[0]:'::weights$$, '22P02', 'invalid input syntax for type weights',
  'the message of bad text');

-- Casts

SELECT is(ARRAY[1, -2.5, 0]::real[]::weights::text, 'F32[3]:0000803f000020c000000000', 'real[] to weights');
SELECT is(ARRAY[1, -2.5, 0]::real[]::weights::real[], ARRAY[1, -2.5, 0]::real[], 'and back');
SELECT is('{}'::real[]::weights::text, 'F32[0]:', 'no elements to weights');
SELECT is('F32[0]:'::weights::real[], '{}'::real[], 'no weights to an array');
SELECT is(array_ndims('F32[0]:'::weights::real[]), NULL, 'an empty result has no dimensions');
SELECT is('{{1,2},{3,4}}'::real[]::weights::real[], '{1,2,3,4}'::real[], 'storage order of a matrix');
SELECT is('[-5:-4]={1,2}'::real[]::weights::real[], '{1,2}'::real[], 'bounds are not kept');
SELECT is('{NaN,Infinity,-Infinity,-0,1e-45,3.4028235e38}'::real[]::weights::text,
  'F32[6]:0000c07f0000807f000080ff0000008001000000ffff7f7f', 'special floats to the bit');
SELECT is('{NaN,Infinity,-Infinity,-0,1e-45,3.4028235e38}'::real[]::weights::real[]::text,
  '{NaN,Infinity,-Infinity,-0,1e-45,3.4028235e+38}', 'and back');
SELECT is(NULL::real[]::weights, NULL, 'NULL to weights');
SELECT is(NULL::weights::real[], NULL, 'NULL to real[]');
SELECT is(NULL::weights::bytea, NULL, 'NULL to bytea');
SELECT throws_ok($$SELECT '{1,NULL}'::real[]::weights$$, '22004', 'array must not contain nulls', 'a NULL element');
-- An array that once held a NULL keeps its bitmap.
SELECT is(array_replace('{1,NULL}'::real[], NULL, 2)::weights::real[], '{1,2}'::real[], 'a NULL that was replaced');
SELECT is('F16[2]:003c00c0'::weights::bytea, '\x003c00c0'::bytea, 'weights to bytea');
SELECT is('F16[0]:'::weights::bytea, ''::bytea, 'no weights to bytea');
SELECT throws_ok($$SELECT '\x00'::bytea::weights$$, '42846', NULL, 'no cast from bytea: the format is not known');
SELECT throws_ok($$SELECT dot(ARRAY[1]::real[], ARRAY[1]::real[])$$, '42883', NULL, 'no implicit cast from real[]');
CREATE TEMP TABLE assigned (w weights, x real[]) ON COMMIT DROP;
SELECT lives_ok($$INSERT INTO assigned VALUES (ARRAY[1, 2]::real[], 'F32[1]:0000803f'::weights)$$, 'assignment casts');
SELECT is((SELECT w::text || x::text FROM assigned), 'F32[2]:0000803f00000040{1}', 'assigned values');

-- weights(format, count, blocks)

SELECT is(weights('F16', 2, '\x003c00c0')::text, 'F16[2]:003c00c0', 'weights of blocks');
SELECT is(weights('f16', 0, '')::text, 'F16[0]:', 'no blocks');
SELECT is(weights('Q8_0', 1, ('\x003c' || repeat('01', 32))::bytea)::real[], '{1}'::real[], 'a count no block divides');
SELECT is(weights('Q8_0', 33, ('\x' || repeat('003c' || repeat('01', 32), 2))::bytea)::real[],
  array_fill(1::real, ARRAY[33]),
  'one weight in the second block');
SELECT is(weights_format(weights('IQ3_S', 256, decode(repeat('00', 110), 'hex'))), 'IQ3_S',
  'a format with a grid');
SELECT is(weights('MXFP4', 3, ('\xff' || '21' || repeat('00', 15))::bytea)::real[],
  '{1.7014118e+38,0,0}'::real[], 'the largest byte of an MXFP4 scale is a power of two, as in ggml');
SELECT is(weights(NULL, 1, '\x00'), NULL, 'NULL format');
SELECT is(weights('F32', NULL, '\x00'), NULL, 'NULL count');
SELECT is(weights('F32', 1, NULL), NULL, 'NULL blocks');
SELECT throws_ok($$SELECT weights('F64x', 0, '')$$, '22023', 'unknown weight format "F64x"', 'unknown format');
SELECT throws_ok($$SELECT weights('', 0, '')$$, '22023', NULL, 'empty format');
SELECT throws_ok($$SELECT weights('F32', -1, '')$$, '22023', NULL, 'negative count');
SELECT throws_ok($$SELECT weights('F32', 1, '\x000000')$$, '22P03', NULL, 'too few bytes');
SELECT throws_ok($$SELECT weights('F32', 1, '\x0000000000')$$, '22P03', NULL, 'too many bytes');
SELECT throws_ok($$SELECT weights('F32', 4294967297, '\x00000000')$$, '22P03', NULL, 'a count beyond 32 bits');
SELECT throws_ok($$SELECT weights('F32', 9223372036854775807, '')$$, '54000', NULL, 'a count beyond all bounds');

-- Accessors

SELECT is(weights_format('Q4_K[0]:'), 'Q4_K', 'weights_format');
SELECT is(weights_count('F16[3]:000000000000'), 3::bigint, 'weights_count');
SELECT is(weights_count(quantize(ARRAY[1]::real[], 'Q6_K')), 1::bigint, 'weights_count leaves the padding out');
SELECT is(weights_bytes(quantize(ARRAY[1]::real[], 'Q6_K')), 210::bigint, 'weights_bytes counts it');
SELECT is(weights_bytes('F32[0]:'), 0::bigint, 'weights_bytes of nothing');
SELECT is(weights_format(NULL), NULL, 'weights_format(NULL)');
SELECT is(weights_count(NULL), NULL, 'weights_count(NULL)');
SELECT is(weights_bytes(NULL), NULL, 'weights_bytes(NULL)');
SELECT is(weights_rms(ARRAY[3, -4, 0, 0]::real[]::weights), 2.5::float8, 'weights_rms');
SELECT is(weights_rms('F32[0]:'), 0::float8, 'weights_rms of nothing');
SELECT is(weights_rms(ARRAY['NaN', 1]::real[]::weights), 'NaN'::float8, 'weights_rms carries NaN');
SELECT is(weights_rms(ARRAY['-Infinity', 1]::real[]::weights), 'Infinity'::float8, 'weights_rms carries infinity');
SELECT is(weights_rms(ARRAY[3e38, 3e38]::real[]::weights), 3e38::real::float8, 'weights_rms squares in double');
SELECT is(weights_rms(NULL), NULL, 'weights_rms(NULL)');
SELECT throws_ok($$SELECT weights_rms('I8[1]:00')$$, '0A000', NULL, 'weights_rms of a carried format');
SELECT is(relative_error(ARRAY[3, 4]::real[]::weights, ARRAY[3, 3]::real[]::weights), 0.2::float8, 'relative_error');
SELECT is(relative_error(w, w), 0::float8, 'no error') FROM (SELECT ARRAY[3, 4]::real[]::weights AS w) t;
SELECT is(relative_error(a::weights, b::weights), e, format('relative_error(%s, %s)', a, b))
  FROM (VALUES ('{}'::real[], '{}'::real[], 0::float8), ('{0,0}', '{0,0}', 0), ('{0}', '{1}', 'Infinity'),
    ('{1}', '{0}', 1),
    ('{1}', '{NaN}', 'NaN'), ('{1}', '{Infinity}', 'Infinity')) t(a, b, e);
SELECT throws_ok($$SELECT relative_error('F32[0]:', 'F16[1]:003c')$$, '2202E', NULL,
  'relative_error of different counts');
SELECT is(relative_error(NULL, 'F32[0]:'), NULL, 'relative_error of NULL');
SELECT is(dot(ARRAY[1, 2, 3]::real[]::weights, 'F16[3]:003c003c003c'), 6::float8, 'dot across formats');
SELECT is(dot('F32[0]:', 'Q4_K[0]:'), 0::float8, 'dot of nothing');
SELECT is(dot(ARRAY[1e30]::real[]::weights, ARRAY[1e30]::real[]::weights), 1e30::real::float8 * 1e30::real::float8,
  'dot multiplies in double');
SELECT is(dot(ARRAY['Infinity']::real[]::weights, ARRAY[0]::real[]::weights), 'NaN'::float8, 'dot carries NaN');
SELECT throws_ok($$SELECT dot('F32[0]:', 'F16[1]:003c')$$, '2202E', NULL, 'dot of different counts');
SELECT is(dot('F32[0]:', NULL), NULL, 'dot of NULL');
SELECT is(matvec(ARRAY[1, 2, 3, 4, 5, 6]::real[]::weights, '{1,0,-1}'), '{-2,-2}'::real[], 'matrix times vector');
SELECT is(matvec(ARRAY[1, 2, 3, 4, 5, 6]::real[]::weights, '{2}'), '{2,4,6,8,10,12}'::real[], 'rows of one');
SELECT is(matvec('F16[4]:003c003c003c003c', '{0.5,0.25,1,2}'), '{3.75}'::real[], 'one row');
SELECT is(matvec('F32[0]:', '{1,2}'), '{}'::real[], 'no rows');
SELECT is(matvec('F32[0]:', '{}'), '{}'::real[], 'nothing times nothing');
SELECT is(matvec(NULL, '{1}'), NULL, 'matvec of NULL');
SELECT is(matvec('F32[0]:', NULL), NULL, 'matvec by NULL');
SELECT is(matvec(quantize(m, 'Q4_K'), v),
  (SELECT array_agg(dot((dequantize(quantize(m, 'Q4_K')))[i * 100 + 1:i * 100 + 100]::weights,
    v::weights)::real ORDER BY i) FROM generate_series(0, 29) i), 'rows that are no whole blocks')
  FROM (SELECT ARRAY(SELECT sin(i)::real FROM generate_series(1, 3000) i) AS m,
               ARRAY(SELECT cos(i)::real FROM generate_series(1, 100) i) AS v) s;
SELECT throws_ok($$SELECT matvec('F16[3]:003c003c003c', '{1,2}')$$, '2202E', 'vector does not fit the matrix',
  'a vector that does not fit');
SELECT throws_ok($$SELECT matvec('F16[3]:003c003c003c', '{}')$$, '2202E', NULL, 'an empty vector');
SELECT throws_ok($$SELECT matvec('F16[1]:003c', '{NULL}')$$, '22004', NULL, 'a vector with NULL');
SELECT throws_ok($$SELECT matvec(('Q8_1[32]:' || repeat('00', 36))::weights, '{1}')$$, '0A000', NULL,
  'a matrix that cannot be read');
SELECT matches(current_setting('hartonomous.simd'), '^(SCALAR|EMU128|SSSE3|SSE4|(AVX|NEON|SVE)\w*)$',
  'the instruction set in use');
SELECT throws_ok($$SET hartonomous.simd = 'AVX2'$$, '55P02', NULL, 'which cannot be set');

-- Equality is of bytes.

SELECT ok('F16[1]:003c'::weights = 'f16[1]:003C', 'equal');
SELECT ok(NOT 'F16[1]:003c'::weights <> 'F16[1]:003c', 'not unequal');
SELECT ok('F16[1]:003c'::weights <> ARRAY[1]::real[]::weights, 'the same number in another format is not equal');
SELECT ok('F16[1]:003c'::weights <> 'BF16[1]:003c', 'same bytes in another format of the same size');
SELECT ok(('Q8_0[1]:' || repeat('00', 34))::weights <> ('Q8_0[2]:' || repeat('00', 34))::weights,
  'another count of as many bytes');
SELECT ok('F32[1]:0000c07f'::weights = 'F32[1]:0000c07f', 'NaN equals itself');
SELECT ok('F32[1]:00000000'::weights <> 'F32[1]:00000080', 'zeros of either sign differ');
SELECT is(weights_eq(NULL, 'F32[0]:'), NULL, 'NULL = ...');
SELECT is(weights_ne('F32[0]:', NULL), NULL, '... <> NULL');
SELECT is('F16[1]:003c'::weights, 'F16[1]:003c'::weights, 'IS DISTINCT FROM, as pgTAP''s is() has it');

CREATE TEMP TABLE many ON COMMIT DROP AS
  SELECT quantize(ARRAY[g % 3, 1, 2]::real[], CASE WHEN g % 2 = 0 THEN 'F16' ELSE 'Q8_0' END) AS w
  FROM generate_series(1, 60) g;
SELECT is((SELECT count(*) FROM (SELECT DISTINCT w FROM many) s), 6::bigint, 'DISTINCT');
SELECT results_eq('SELECT count(*) FROM many GROUP BY w', 'SELECT 10::bigint FROM generate_series(1, 6)', 'GROUP BY');
SELECT is_empty('SELECT w FROM many EXCEPT SELECT w FROM many', 'EXCEPT');
SELECT is((SELECT count(*) FROM (SELECT w FROM many UNION SELECT w FROM many) s), 6::bigint, 'UNION');
SELECT results_eq('SELECT w FROM many', 'SELECT w FROM many', 'rows of weights compare');
SELECT is((SELECT count(*) FROM many a JOIN many b USING (w)), 600::bigint, 'a join');
SET LOCAL enable_nestloop = off;
SET LOCAL enable_mergejoin = off;
SELECT is((SELECT count(*) FROM many a JOIN many b USING (w)), 600::bigint, 'a hash join');
CREATE INDEX many_by_hash ON many USING hash (w);
SET LOCAL enable_seqscan = off;
SELECT is((SELECT count(*) FROM many WHERE w = quantize(ARRAY[1, 1, 2]::real[], 'F16')), 10::bigint, 'a hash index');
RESET enable_seqscan;
SELECT lives_ok('ANALYZE many', 'statistics without an order');
CREATE TABLE hartonomous.parted (w weights) PARTITION BY HASH (w);
CREATE TABLE hartonomous.parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hartonomous.parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT lives_ok('INSERT INTO parted SELECT w FROM many', 'hash partitions');
SELECT ok(bool_and(same), 'equal weights share one')
  FROM (SELECT min(tableoid) = max(tableoid) AS same FROM parted GROUP BY w) s;
SELECT is((SELECT count(DISTINCT weights_send(w)) FROM many), 6::bigint, 'count(DISTINCT) by the binary form');
SELECT is(weights_hash('F16[1]:003c'), weights_hash('f16[1]:003C'), 'equal weights have equal hashes');
SELECT isnt(weights_hash('F16[1]:003c'), weights_hash('BF16[1]:003c'), 'the format is hashed');
SELECT isnt(weights_hash('F16[1]:003c'), weights_hash('F16[1]:003d'), 'the blocks are hashed');
SELECT is((weights_hash_extended('F16[1]:003c', 0) & 4294967295), weights_hash('F16[1]:003c')::bigint & 4294967295,
  'seed 0 gives the plain hash in its lower half');
SELECT isnt(weights_hash_extended('F16[1]:003c', 0), weights_hash_extended('F16[1]:003c', 1), 'the seed counts');
SELECT is(weights_hash(NULL), NULL, 'weights_hash(NULL)');
SELECT is(weights_hash_extended('F32[0]:', NULL), NULL, 'weights_hash_extended of NULL');
SELECT throws_ok('SELECT w FROM many ORDER BY w', '42883', NULL, 'weights have no order');

-- formats()

SELECT is((SELECT count(*) FROM formats()), 35::bigint, 'formats()');
SELECT is((SELECT string_agg(format, ' ' ORDER BY ggml_type) FROM formats() WHERE writable),
  'F32 F16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ2_XXS IQ2_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ2_S IQ4_XS '
  'IQ1_M BF16 TQ1_0 TQ2_0 MXFP4 NVFP4 Q1_0 Q2_0', 'the written formats');
SELECT is((SELECT string_agg(format, ' ' ORDER BY ggml_type) FROM formats() WHERE readable AND NOT writable), NULL,
  'every readable format is written, too');
SELECT results_eq(
  'SELECT format, ggml_type, block_weights, block_bytes FROM formats() WHERE readable ORDER BY ggml_type',
  $$VALUES ('F32', 0, 1, 4), ('F16', 1, 1, 2), ('Q4_0', 2, 32, 18), ('Q4_1', 3, 32, 20), ('Q5_0', 6, 32, 22),
    ('Q5_1', 7, 32, 24),
           ('Q8_0', 8, 32, 34), ('Q2_K', 10, 256, 84), ('Q3_K', 11, 256, 110), ('Q4_K', 12, 256, 144),
           ('Q5_K', 13, 256, 176),
           ('Q6_K', 14, 256, 210), ('IQ2_XXS', 16, 256, 66), ('IQ2_XS', 17, 256, 74), ('IQ3_XXS', 18, 256, 98),
           ('IQ1_S', 19, 256, 50), ('IQ4_NL', 20, 32, 18), ('IQ3_S', 21, 256, 110), ('IQ2_S', 22, 256, 82),
           ('IQ4_XS', 23, 256, 136), ('IQ1_M', 29, 256, 56), ('BF16', 30, 1, 2), ('TQ1_0', 34, 256, 54),
           ('TQ2_0', 35, 256, 66), ('MXFP4', 39, 32, 17), ('NVFP4', 40, 64, 36), ('Q1_0', 41, 128, 18),
           ('Q2_0', 42, 64, 18)$$, 'ids and block sizes of ggml');
SELECT is((SELECT count(*) FROM formats() a, formats() b WHERE a.ggml_type = b.ggml_type), 35::bigint,
  'formats() twice in a query');

SELECT * FROM finish();
ROLLBACK;
