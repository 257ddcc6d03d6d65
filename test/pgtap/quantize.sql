-- quantize() and dequantize(): small blocks by hand, counts no block divides, special floats, importance, errors.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS hartonomous CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT set_config('search_path', 'hartonomous, hartonomous_internal, ' || current_setting('search_path'), true)
  \g /dev/null

SELECT plan(398);

-- Those that need no importance
CREATE TEMP VIEW written AS
  SELECT * FROM formats() WHERE writable AND format <> ALL ('{IQ1_S,IQ2_XXS,IQ2_XS}');
CREATE TEMP VIEW block_formats AS SELECT * FROM written WHERE block_weights > 1;
-- Those for which no scale is searched
CREATE TEMP VIEW unsearched AS
  SELECT unnest('{F32,F16,BF16,Q8_0,TQ1_0,TQ2_0,MXFP4,NVFP4,Q1_0,Q2_0}'::text[]) AS format;
CREATE TEMP VIEW float_formats AS SELECT * FROM formats() WHERE writable AND block_weights = 1;
CREATE FUNCTION pg_temp.wave(n integer) RETURNS real[] LANGUAGE sql IMMUTABLE
  AS 'SELECT coalesce(array_agg(((i * 37 % 101) - 50) / 64.0::real ORDER BY i), ''{}'')::real[] '
    'FROM generate_series(1, n) i';

-- Small blocks, worked out by hand

SELECT is(quantize('{1,-2.5,65504,6e-8,1e-9,-0}'::real[], 'F16')::text, 'F16[6]:003c00c1ff7b010000000080', 'F16');
SELECT is(quantize('{1.00048828125,1.00146484375}'::real[], 'F16')::text, 'F16[2]:003c023c', 'F16 rounds ties to even');
SELECT is(quantize('{1,-2.5,3.3895314e38,1.00390625,1.01171875}'::real[], 'BF16')::text, 'BF16[5]:803f20c07f7f803f823f',
  'BF16, ties to even');
-- d = 127 / 127 = 1: the levels are the values, rounded half away from zero
SELECT is(quantize('{127,-127,1.5,-2.5,0.49}'::real[], 'Q8_0')::text, 'Q8_0[5]:003c7f8102fd00' || repeat('00', 27),
  'Q8_0');
-- d = -8 / -8 = 1: levels 0 to 15 for -8 to 7, weight j low and weight j + 16 high; padding has level 8
SELECT is(quantize('{-8,7,0,-1}'::real[], 'Q4_0')::text, 'Q4_0[4]:003c' || '808f8887' || repeat('88', 12), 'Q4_0');
-- d = (15 - 0) / 15, m = 0
SELECT is(quantize('{0,15,1,14}'::real[], 'Q4_1')::text, 'Q4_1[4]:003c0000' || '000f010e' || repeat('00', 12), 'Q4_1');
-- d = -16 / -16; 16 is level 32, cut to 31; padding has level 16: fifth bit set, nibble 0
SELECT is(quantize('{-16,15,0,-1}'::real[], 'Q5_0')::text, 'Q5_0[4]:003cf6ffffff' || '000f000f' || repeat('00', 12),
  'Q5_0');
-- d = 31 / 31, m = 0
SELECT is(quantize('{0,31,16,15}'::real[], 'Q5_1')::text, 'Q5_1[4]:003c000006000000' || '000f000f' || repeat('00', 12),
  'Q5_1');
SELECT is(quantize('{0}'::real[], format)::bytea, decode(repeat('00', block_bytes), 'hex'), 'zero in ' || format)
  FROM block_formats WHERE format IN ('Q8_0', 'Q4_1', 'Q5_1', 'Q4_K', 'Q5_K', 'Q6_K') ORDER BY ggml_type;
SELECT is(dequantize(quantize(array_fill(0::real, ARRAY[300]), format)), array_fill(0::real, ARRAY[300]),
  'zeros in ' || format)
  FROM written ORDER BY ggml_type;

-- Counts

SELECT is(quantize('{}'::real[], format)::text, format || '[0]:', 'no weights in ' || format)
  FROM written ORDER BY ggml_type;
SELECT is(dequantize(quantize('{}'::real[], format)), '{}', 'and back from ' || format)
  FROM written ORDER BY ggml_type;
SELECT ok(bool_and(weights_count(w) = n AND weights_bytes(w) = (n + block_weights - 1) / block_weights * block_bytes
                   AND array_length(dequantize(w), 1) = n), 'counts and bytes of ' || format)
  FROM written, unnest('{1,31,32,33,255,256,257,511,1000}'::integer[]) n,
       LATERAL (SELECT quantize(pg_temp.wave(n), format) AS w) q
 GROUP BY format, ggml_type ORDER BY ggml_type;
SELECT is(quantize(pg_temp.wave(n), format)::bytea,
          quantize(pg_temp.wave(n) || array_fill(0::real, ARRAY[block_weights - n % block_weights]), format)::bytea,
          format('%s weights in %s: the last block is padded with zeros', n, format))
  FROM block_formats, (VALUES (270), (500)) t(n) ORDER BY ggml_type, n;
SELECT ok(relative_error(pg_temp.wave(1000)::weights, quantize(pg_temp.wave(1000), format)) BETWEEN 1e-9 AND bound,
          'error of ' || format)
  FROM (VALUES ('Q8_0', 0.006), ('Q6_K', 0.02), ('Q5_K', 0.04), ('Q5_1', 0.04), ('Q5_0', 0.05), ('Q4_K', 0.08),
               ('Q4_1', 0.08), ('Q4_0', 0.1), ('Q3_K', 0.2), ('Q2_K', 0.35)) t(format, bound);
SELECT is(relative_error(pg_temp.wave(1000)::weights, quantize(pg_temp.wave(1000), format)), 0::float8,
          'numbers ' || format || ' holds exactly') FROM float_formats ORDER BY ggml_type;
SELECT is(weights_bytes(quantize(array_fill(1::real, ARRAY[3000000]), 'Q8_0')), 3187500::bigint,
  'three million weights');
SELECT is(quantize('{{1,2},{3,4}}'::real[], 'F16'), quantize('{1,2,3,4}'::real[], 'F16'), 'a matrix, in storage order');

-- Calls

SELECT is(quantize(ARRAY[1, 2], 'f16')::text, 'F16[2]:003c0040', 'integer literals; names in either case');
SELECT is(quantize(ARRAY[0.5, 2], 'F16')::text, 'F16[2]:00380040', 'numeric literals');
SELECT is(quantize(ARRAY[0.5, 2], 'F16', ARRAY[1, 2])::text, 'F16[2]:00380040', 'with importance');
SELECT is(quantize('F32[1]:0000803f'::weights, 'F16')::text, 'F16[1]:003c', 'weights to weights');
SELECT is(quantize('F32[1]:0000803f'::weights, 'F16', '{1}')::text, 'F16[1]:003c', 'the same with importance');
SELECT throws_ok($$SELECT quantize(NULL, 'F16')$$, '42725', NULL, 'an untyped NULL could be an array or weights');
SELECT throws_ok($$SELECT quantize('{1}', 'F16')$$, '42725', NULL, 'and so could an untyped literal');
SELECT throws_ok($$SELECT quantize('{1}'::float8[], 'F16')$$, '42883', NULL, 'double precision needs a cast');
SELECT is(quantize(NULL::real[], 'F16'), NULL, 'no array');
SELECT is(quantize(NULL::weights, 'F16'), NULL, 'no weights');
SELECT is(quantize('{1}'::real[], NULL), NULL, 'no format');
SELECT is(quantize('F32[0]:'::weights, NULL), NULL, 'no format for weights');
SELECT is(quantize('{1}'::real[], 'F16', NULL), NULL, 'NULL importance');
SELECT is(quantize('F32[0]:'::weights, 'F16', NULL), NULL, 'NULL importance of weights');
SELECT is(dequantize(NULL), NULL, 'dequantize(NULL)');
SELECT is(quantize(quantize(pg_temp.wave(300), 'Q4_K'), 'Q4_K'), quantize(pg_temp.wave(300), 'Q4_K'),
  'the same format again changes nothing');
SELECT is(quantize(weights('Q8_1', 5, decode(repeat('5a', 36), 'hex')), 'Q8_1')::text,
  'Q8_1[5]:' || repeat('5a', 36),
  'not even for a format that is only carried');
SELECT is(quantize(quantize(pg_temp.wave(300), 'Q6_K'), 'Q4_K'),
  quantize(dequantize(quantize(pg_temp.wave(300), 'Q6_K')), 'Q4_K'),
  'from one block format to another');
SELECT throws_ok($$SELECT quantize('{1}'::real[], 'Q4')$$, '22023', 'unknown weight format "Q4"', 'an unknown format');
SELECT throws_ok($$SELECT quantize('F32[0]:'::weights, 'Q4_K_M')$$, '22023', NULL, 'a mixture of formats is no format');
SELECT throws_ok(format('SELECT quantize(ARRAY[1], %L)', format), '0A000', 'cannot quantize to format ' || format,
  'not written: ' || format) FROM formats() WHERE NOT writable ORDER BY ggml_type;
SELECT throws_ok(format('SELECT dequantize(%L)', format('%s[1]:%s', format, repeat('00', block_bytes))), '0A000',
  'cannot dequantize format ' || format, 'not read: ' || format) FROM formats() WHERE NOT readable ORDER BY ggml_type;
SELECT throws_ok($$SELECT quantize(ARRAY[1, NULL], 'F16')$$, '22004', NULL, 'a NULL element');
SELECT throws_ok($$SELECT quantize(ARRAY[1, 2], 'F16', ARRAY[1, NULL])$$, '22004', NULL, 'a NULL importance');

SELECT throws_ok(format('SELECT quantize(ARRAY[1, 2], %L)', format), '22023',
  format('format %s needs importance', format),
  format || ' is not written without importance') FROM unnest('{IQ1_S,IQ2_XXS,IQ2_XS}'::text[]) format;
SELECT ok(
  relative_error(pg_temp.wave(1000)::weights,
    quantize(pg_temp.wave(1000), format, array_fill(2::real, ARRAY[1000]))) BETWEEN 0.05 AND bound,
  'but by importance: ' || format)
  FROM (VALUES ('IQ1_S', 0.6), ('IQ2_XXS', 0.45), ('IQ2_XS', 0.4)) v (format, bound);

-- NaN, infinity and numbers too large

SELECT is(dequantize(quantize('{NaN,Infinity,-Infinity}'::real[], format))::text, '{NaN,Infinity,-Infinity}',
  format || ' keeps them')
  FROM float_formats ORDER BY ggml_type;
SELECT throws_ok(format('SELECT quantize(ARRAY[1, %L]::real[], %L)', x, format), '22003',
  'value at position 2 is ' || CASE x WHEN 'NaN' THEN 'NaN' ELSE 'infinite' END, format || ' refuses ' || x)
  FROM block_formats, unnest('{NaN,Infinity,-Infinity}'::text[]) x ORDER BY ggml_type, x;
SELECT throws_ok(format('SELECT quantize(array_fill(1::real, ARRAY[299]) || ''NaN''::real, %L)', format), '22003',
  'value at position 300 is NaN', format || ' refuses NaN in a last, partial block') FROM block_formats
  ORDER BY ggml_type;
SELECT throws_ok($$SELECT quantize('{NaN}'::real[]::weights, 'Q8_0')$$, '22003', NULL, 'NaN in weights');
SELECT throws_ok($$SELECT quantize('{65520}'::real[], 'F16')$$, '22003',
  'value at position 1 is too large for format F16', 'F16');
SELECT is(quantize('{65519.996}'::real[], 'F16')::text, 'F16[1]:ff7b', 'the largest F16');
SELECT throws_ok($$SELECT quantize('{3.4e38}'::real[], 'BF16')$$, '22003', NULL, 'BF16');
SELECT throws_ok(format('SELECT quantize(''{1e9}''::real[], %L)', format), '22003', NULL, 'too large for ' || format)
  FROM block_formats WHERE format <> 'MXFP4' ORDER BY ggml_type;
SELECT is(dequantize(quantize('{1e38,-3e38}'::real[], 'MXFP4')), '{8.507059e+37,-2.5521177e+38}',
  'MXFP4 has the exponents of floats');
SELECT throws_ok($$SELECT quantize('{8388608}'::real[], 'Q8_0')$$, '22003', 'scale of block 1 overflows half precision',
  'a scale half precision cannot hold');
SELECT throws_ok($$SELECT quantize(array_fill(1::real, ARRAY[32]) || 8388608::real, 'Q8_0')$$, '22003',
  'scale of block 2 overflows half precision', 'in the second block');
-- Damaged scales are read as they are.
SELECT is(dequantize(('Q8_0[2]:007c01ff' || repeat('00', 30))::weights), '{Infinity,-Infinity}', 'an infinite scale');
SELECT is(dequantize(('Q8_0[1]:007e01' || repeat('00', 31))::weights), '{NaN}', 'a scale that is NaN');

-- Importance

SELECT isnt(quantize(pg_temp.wave(256), format, ARRAY(SELECT (i * i)::real FROM generate_series(1, 256) i)),
            quantize(pg_temp.wave(256), format), 'importance matters to ' || format)
  FROM block_formats WHERE NOT EXISTS (SELECT FROM unsearched u WHERE u.format = block_formats.format)
 ORDER BY ggml_type;
SELECT is(quantize(pg_temp.wave(256), format, ARRAY(SELECT (i * i)::real FROM generate_series(1, 256) i)),
          quantize(pg_temp.wave(256), format), 'importance does not matter to ' || format)
  FROM unsearched JOIN formats() USING (format) ORDER BY ggml_type;
SELECT is(quantize(pg_temp.wave(256), format, array_fill(0::real, ARRAY[256])), quantize(pg_temp.wave(256), format),
          'no importance anywhere in ' || format) FROM block_formats ORDER BY ggml_type;
SELECT is(quantize(pg_temp.wave(256)::weights, 'Q4_K', ARRAY(SELECT i::real FROM generate_series(1, 256) i)),
          quantize(pg_temp.wave(256), 'Q4_K', ARRAY(SELECT i::real FROM generate_series(1, 256) i)),
          'importance of weights');
SELECT ok(
  (SELECT sum(i * (a - b) ^ 2) FROM unnest(x, dequantize(quantize(x, 'Q4_K', importance)), importance) u(a, b, i))
        < (SELECT sum(i * (a - b) ^ 2) FROM unnest(x, dequantize(quantize(x, 'Q4_K')), importance) u(a, b, i)),
          'importance lowers the error it weighs')
  FROM (SELECT pg_temp.wave(256) AS x, ARRAY(SELECT (1 + i % 7)::real FROM generate_series(1, 256) i) AS importance) t;
SELECT is(quantize('{}'::real[], 'Q4_K', '{}'), 'Q4_K[0]:', 'of no weights');
SELECT throws_ok($$SELECT quantize(ARRAY[1, 2], 'Q4_K', ARRAY[1])$$, '2202E', NULL, 'too short');
SELECT throws_ok($$SELECT quantize(ARRAY[1, 2], 'Q4_K', ARRAY[1, 2, 3])$$, '2202E', NULL, 'too long');
SELECT throws_ok($$SELECT quantize(ARRAY[1, 2], 'Q4_K', '{}')$$, '2202E', NULL, 'an empty importance is too short');
SELECT throws_ok($$SELECT quantize('F32[1]:0000803f'::weights, 'Q4_K', '{}')$$, '2202E', NULL, 'for weights, too');
SELECT throws_ok($$SELECT quantize('{}'::real[], 'Q4_K', '{1}')$$, '2202E', NULL, 'importance of nothing');
SELECT throws_ok(format('SELECT quantize(ARRAY[1, 2], ''Q4_K'', ARRAY[1, %L]::real[])', x), '22023', NULL,
  'importance ' || x)
  FROM unnest('{-1,NaN,Infinity}'::text[]) x;

-- Limits

SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok($$SELECT dequantize(weights('F16', 1048577, decode(repeat('00', 2097154), 'hex')))$$, '53200', NULL,
  'dequantizing beyond max_work_memory');
SELECT is(ARRAY[weights_rms(w), dot(w, w), relative_error(w, w)], '{0,0,0}',
  'sums decode as they go and need no such memory')
  FROM (SELECT weights('F16', 4000000, decode(repeat('00', 8000000), 'hex')) AS w) s;
SELECT is(weights_rms(weights('F16', 1048576, decode(repeat('00', 2097152), 'hex'))), 0::float8,
  'within max_work_memory');
RESET hartonomous.max_work_memory;
-- 134217984 weights fill 44 MB; an array ends at 134217727.
SELECT throws_ok($$SELECT dequantize(weights('Q2_K', 134217984, decode(repeat('00', 44040276), 'hex')))$$, '54000',
  NULL,
  'more weights than an array holds');

SELECT * FROM finish();
ROLLBACK;
