-- Runs of coordinates in four bits: functions and aggregates quantize_q4k.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS hartonomous CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT set_config('search_path', 'hartonomous, hartonomous_internal, ' || current_setting('search_path'), true)
  \g /dev/null

SELECT plan(90);

-- scale 1, minimum 0, nibbles with the first of two high
SELECT is(quantize_q4k('{0,15,1,14}'::real[]), '\x0000803f000000000f1e'::bytea, 'a block');
SELECT is(quantize_q4k('{0,15,1}'::real[]), '\x0000803f000000000f10'::bytea, 'an odd block ends in a zero nibble');
SELECT is(quantize_q4k('{-2,-1.5,5.5}'::real[]), '\x0000003f000000c001f0'::bytea, 'scale 0.5, minimum -2');
SELECT is(quantize_q4k('{0,15,0.5,1.5,2.5,13.5}'::real[]), '\x0000803f000000000f022e'::bytea, 'ties to even');
SELECT is(quantize_q4k('{0,15,30,60,7}'::real[], 2), '\x0000803f000000000f000000400000f0410f000000000000e04000'::bytea,
  'blocks of 2, the last shorter');
SELECT is(quantize_q4k('{}'::real[]), ''::bytea, 'no numbers, no bytes');
SELECT is(quantize_q4k('{0.1}'::real[]), '\x00000000cdcccc3d00'::bytea, 'one number');
SELECT is(length(quantize_q4k(array_fill(1::real, ARRAY[n]))), bytes, n || ' numbers in blocks of 256')
  FROM (VALUES (255, 136), (256, 136), (257, 145), (512, 272), (513, 281), (1000000, 531256)) t(n, bytes);
SELECT is(quantize_q4k(x), quantize_q4k(x, 256), 'blocks of 256 by default')
  FROM (SELECT ARRAY(SELECT i::real FROM generate_series(1, 700) i) AS x) t;
SELECT is(quantize_q4k('{{0,15},{1,14}}'::real[]), '\x0000803f000000000f1e'::bytea, 'a matrix, in storage order');
SELECT is(quantize_q4k(ARRAY[0, 15, 1, 14]), '\x0000803f000000000f1e'::bytea, 'integer literals');

SELECT is(dequantize_q4k('\x0000803f000000000f1e', 4), '{0,15,1,14}'::real[], 'a block, read');
SELECT is(dequantize_q4k('\x0000803f000000000f1e', 3), '{0,15,1}'::real[], 'an odd block, read');
SELECT is(dequantize_q4k('', 0), '{}'::real[], 'nothing, read');
SELECT is(dequantize_q4k(quantize_q4k(x), n), x, n || ' times the same number is exact')
  FROM (SELECT n, array_fill(0.1::real, ARRAY[n]) AS x FROM unnest('{1,2,255,256,257,1000}'::integer[]) n) t;
SELECT is(dequantize_q4k(quantize_q4k('{-0}'::real[]), 1)::text, '{-0}', 'even minus zero');
SELECT ok(bool_and(abs(a - b) <= (100.0 / 15 / 2)::real + 1e-4),
  format('blocks of %s: off by half a scale at most', size))
  FROM (SELECT ARRAY(SELECT (i * 7919 % 10007 / 100.07)::real FROM generate_series(1, 5000) i) AS x) t,
       unnest('{1,2,3,255,256,4096,16777216}'::integer[]) size,
       unnest(x, dequantize_q4k(quantize_q4k(x, size), 5000, size)) u(a, b)
 GROUP BY size ORDER BY size;
SELECT is(dequantize_q4k(quantize_q4k('{-3.4028235e38,3.4028235e38}'::real[]), 2)::text,
  '{-3.4028235e+38,3.4028235e+38}', 'the whole range of float4');

SELECT throws_ok(format('SELECT quantize_q4k(ARRAY[1, 2, %L]::real[])', x), '22003', message, message)
  FROM (VALUES ('NaN', 'value at position 3 is NaN'), ('Infinity', 'value at position 3 is infinite'),
               ('-Infinity', 'value at position 3 is infinite')) t(x, message);
SELECT throws_ok('SELECT quantize_q4k(ARRAY[1, NULL]::real[])', '22004', 'array must not contain nulls',
  'a NULL element');
SELECT throws_ok(format('SELECT quantize_q4k(ARRAY[1], %s)', size), '22023', NULL, 'a block size of ' || size)
  FROM unnest('{0,-1,16777217,2147483647,-2147483648}'::integer[]) size;
SELECT throws_ok(format($$SELECT dequantize_q4k('\x0000803f000000000f1e', %s, %s)$$, n, size), state, NULL,
  format('%s numbers in blocks of %s', n, size))
  FROM (VALUES (5, 256, '22P03'), (2, 256, '22P03'), (0, 256, '22P03'), (-1, 256, '22023'), (4, 2, '22P03'),
    (4, 0, '22023'),
    (4, 16777217, '22023'), (4294967300, 256, '22P03'), (9223372036854775807, 256, '22P03')
  ) t(n, size, state);
SELECT throws_ok($$SELECT dequantize_q4k('\x0000803f000000000f1e', 9223372036854775807, 1)$$, '54000', NULL,
  'more numbers than can be');
SELECT throws_ok($$SELECT dequantize_q4k('\x00', 1)$$, '22P03', NULL, 'bytes cut short');
SELECT throws_ok($$SELECT dequantize_q4k('\x0000c07f000000000f1e', 4)$$, '22P03', 'block 1 is damaged',
  'a scale that is NaN');
SELECT throws_ok($$SELECT dequantize_q4k('\x0000803f000080ff0f1e', 4)$$, '22P03', 'block 1 is damaged',
  'an infinite minimum');
SELECT is(quantize_q4k(NULL::real[]), NULL, 'no array');
SELECT is(quantize_q4k('{1}'::real[], NULL), NULL, 'no block size');
SELECT is(dequantize_q4k(NULL, 1), NULL, 'no bytes');
SELECT is(dequantize_q4k('', NULL), NULL, 'no length');
SELECT is(dequantize_q4k('', 0, NULL), NULL, 'no block size to read with');
SELECT isnt(quantize_q4k(x), quantize(x, 'Q4_K')::bytea, 'this is not ggml''s Q4_K')
  FROM (SELECT ARRAY(SELECT i::real FROM generate_series(1, 256) i) AS x) t;

-- Aggregates

CREATE TEMP TABLE run (id integer, x real) ON COMMIT DROP;
INSERT INTO run SELECT i, (i * 7919 % 10007)::real FROM generate_series(1, 1001) i ORDER BY i * 31 % 1009;
SELECT is(quantize_q4k(x ORDER BY id), quantize_q4k(array_agg(x ORDER BY id)), 'an odd number of rows, in order')
  FROM run;
SELECT is(quantize_q4k(x, 100 ORDER BY id), quantize_q4k(array_agg(x ORDER BY id), 100), 'in blocks of 100') FROM run;
SELECT isnt(quantize_q4k(x ORDER BY id), quantize_q4k(x ORDER BY id DESC), 'the order is the result') FROM run;
SELECT is(quantize_q4k(x), NULL, 'no rows') FROM run WHERE false OR id < 0;
SELECT is(quantize_q4k(x, 2), NULL, 'no rows in blocks of 2') FROM run WHERE id < 0;
SELECT is(quantize_q4k(x), '\x00000000001ef74500'::bytea, 'one row') FROM (SELECT 7907.75::real AS x) t;
SELECT is(quantize_q4k(x ORDER BY id), quantize_q4k(array_agg(x ORDER BY id)), n || ' rows')
  FROM run, unnest('{1,2,3,255,256,257}'::integer[]) n WHERE id <= n GROUP BY n ORDER BY n;
SELECT is(quantize_q4k(x ORDER BY id) FILTER (WHERE id <= 3),
  quantize_q4k(array_agg(x ORDER BY id) FILTER (WHERE id <= 3)), 'FILTER') FROM run;
SELECT is(quantize_q4k(DISTINCT x), '\x0000803f000000000f'::bytea, 'DISTINCT') FROM (VALUES (15::real), (0), (15)) t(x);
SELECT is(
  (SELECT count(*) FROM (SELECT quantize_q4k(x ORDER BY id) AS q FROM run GROUP BY id % 10) s
    WHERE length(q) IN (58, 59)), 10::bigint, 'groups');
SELECT throws_ok('SELECT quantize_q4k(x) FROM (VALUES (1::real), (NULL)) t(x)', '22004', 'coordinates cannot be NULL',
  'a NULL coordinate');
SELECT throws_ok('SELECT quantize_q4k(x) FROM (VALUES (NULL::real)) t(x)', '22004', NULL, 'NULL in the first row');
SELECT throws_ok('SELECT quantize_q4k(x, NULL) FROM run', '22004', 'block_size cannot be NULL', 'a NULL block size');
SELECT throws_ok('SELECT quantize_q4k(x, CASE WHEN id < 9 THEN 2 END ORDER BY id) FROM run', '22004', NULL,
  'a NULL block size later');
SELECT throws_ok('SELECT quantize_q4k(x, id) FROM run', '22023', 'block_size must be the same for all rows',
  'a block size that changes');
SELECT throws_ok('SELECT quantize_q4k(x, 0) FROM run', '22023', NULL, 'blocks of 0');
SELECT throws_ok('SELECT quantize_q4k(x) FROM (VALUES (1::real), (''NaN'')) t(x)', '22003',
  'value at position 2 is NaN', 'NaN');
-- 0A000 or 42883, as PostgreSQL's minor version has it.
SELECT throws_ok('SELECT quantize_q4k_transition(NULL, 1::real)', NULL, NULL,
  'the transition function cannot be called');
SELECT throws_ok('SELECT quantize_q4k_final(NULL)', NULL, NULL, 'nor can the final function');
-- As a window function: the result grows row by row, and a moving frame begins anew.
SELECT results_eq('SELECT quantize_q4k(x) OVER (ORDER BY id) FROM run ORDER BY id',
  'SELECT quantize_q4k(array_agg(x) OVER (ORDER BY id)) FROM run ORDER BY id', 'over a growing window');
SELECT results_eq('SELECT quantize_q4k(x, 2) OVER (ORDER BY id ROWS 4 PRECEDING) FROM run ORDER BY id',
  'SELECT quantize_q4k(array_agg(x) OVER (ORDER BY id ROWS 4 PRECEDING), 2) FROM run ORDER BY id',
  'over a moving window');
SELECT results_eq('SELECT quantize_q4k(x) OVER (PARTITION BY id % 7 ORDER BY id) FROM run ORDER BY id',
  'SELECT quantize_q4k(array_agg(x) OVER (PARTITION BY id % 7 ORDER BY id)) FROM run ORDER BY id', 'over partitions');
SELECT is((SELECT length(quantize_q4k(i::real ORDER BY i)) FROM generate_series(1, 1000000) i), 531256,
  'a million rows');

SELECT * FROM finish();
ROLLBACK;
