-- Singular value decomposition of matrices: JSON as in the original design, arrays, weights.
BEGIN;
\ir lib/model_files.sql
SELECT plan(107);

-- ---- JSON ----
SELECT svd_decompose('[[3,0],[0,-4]]'::json, 2, 2, 2) AS d \gset
SELECT results_eq($$SELECT json_object_keys($$ || quote_literal(:'d') || $$::json)$$,
  $$VALUES ('U'), ('S'), ('VT'), ('Rank'), ('ExplainedVariance')$$, 'the original design''s keys, in its order');
SELECT is((:'d'::json -> 'Rank')::text, '2', 'Rank');
SELECT is((:'d'::json -> 'S')::text, '[4,3]', 'S descends');
SELECT is((:'d'::json -> 'VT')::text::jsonb, '[[0,1],[1,0]]', 'VT: rows whose largest number is positive');
SELECT is((:'d'::json -> 'U')::text::jsonb, '[[0,1],[-1,0]]', 'U: rows x rank');
SELECT is((:'d'::json -> 'ExplainedVariance')::text::float8, 1::float8, 'all of it is explained');
SELECT is(svd_decompose('[3,0,0,-4]'::json, 2, 2, 2)::text, :'d', 'a flat array is the same matrix');
SELECT is(svd_decompose('[[3,0],[0,-4]]'::json, 2, 2, 1) ->> 'Rank', '1', 'a smaller rank');
SELECT is((svd_decompose('[[3,0],[0,-4]]'::json, 2, 2, 1) ->> 'ExplainedVariance')::float8, 0.64::float8,
  '... explains 16 of 25');
SELECT is(svd_decompose('[[3,0],[0,-4]]'::json, 2, 2, 9)::text, :'d', 'a rank above the matrix''s is lowered');
SELECT is(svd_decompose(NULL::json, 2, 2, 2)::text, NULL, 'NULL');
SELECT is(svd_decompose('[0,0,0,0,0,0]'::json, 2, 3, 2) ->> 'S', '[0,0]', 'zeros');
SELECT is((svd_decompose('[0,0]'::json, 1, 2, 1) ->> 'ExplainedVariance')::float8, 1::float8, '... are explained');
SELECT is(svd_decompose('[[-7]]'::json, 1, 1, 1)::text,
  '{"U":[[-1]],"S":[7],"VT":[[1]],"Rank":1,"ExplainedVariance":1}',
  'one number');

SELECT throws_ok(format('SELECT svd_decompose(%L::json, %s, %s, %s)', m, r, c, k), state, NULL, what) FROM (VALUES
  ('[1,2,3]', 2, 2, 1, '2202E', 'too few numbers'), ('[1,2,3,4,5]', 2, 2, 1, '2202E', 'too many'),
  ('[[1,2],[3,4],[5,6]]', 2, 3, 1, '2202E', 'rows of another length than cols'),
  ('[[1,2],[3]]', 2, 2, 1, '22023', 'rows of different lengths'), ('[[[1]]]', 1, 1, 1, '22P02', 'rows of rows'),
  ('[1,[2]]', 1, 2, 1, '22P02', 'a row among numbers'), ('{"a":1}', 1, 1, 1, '22P02', 'an object'),
  ('[null]', 1, 1, 1, '22P02', 'null'), ('["1"]', 1, 1, 1, '22P02', 'a string'), ('5', 1, 1, 1, '22P02', 'a number'),
  ('[1e39]', 1, 1, 1, '22003', 'a number no real can hold'), ('[1e999]', 1, 1, 1, '22003', '... nor double precision'),
  ('[3e38,3e38]', 1, 2, 1, '22003', 'numbers too large to be squared'), ('[]', 1, 1, 1, '2202E', 'no numbers'),
  ('[1]', 0, 1, 1, '22023', 'no rows'), ('[1]', 1, -1, 1, '22023', 'fewer than no columns'),
  ('[1]', 1, 1, 0, '22023', 'rank 0'), ('[1]', 1, 1, -3, '22023', 'a rank below 0'),
  ('[1]', 65536, 65536, 1, '54000', 'more than a value holds')) v (m, r, c, k, state, what);

SELECT is(reconstruct_from_svd('[[0,1],[-1,0]]', '[4,3]', '[[0,1],[1,0]]')::text, '[3,0,0,-4]', 'and back');
SELECT is(reconstruct_from_svd(NULL, '[4,3]', '[[0,1],[1,0]]')::text, NULL, 'of NULL');
SELECT throws_ok(format('SELECT reconstruct_from_svd(%L, %L, %L)', u, s, vt), state, NULL, what) FROM (VALUES
  ('[[0],[1]]', '[4,3]', '[[0,1],[1,0]]', '2202E', 'U has too few columns'),
  ('[[0,1],[1,0]]', '[4,3]', '[[0,1]]', '2202E', 'VT has too few rows'),
  ('[0,1]', '[4,3]', '[[0,1],[1,0]]', '2202E', 'U is flat'), ('[[1]]', '[[1]]', '[[1]]', '22023', 'S is not'),
  ('[[1]]', '[]', '[[1]]', '22023', 'S is empty'), ('[[1]]', 'true', '[[1]]', '22P02', 'S is no array'),
  ('[[3e38]]', '[3e38]', '[[1]]', '22003', 'a product that JSON cannot hold')) v (u, s, vt, state, what);

-- ---- arrays and weights ----
CREATE TABLE matrix AS SELECT array_agg((sin(i * 0.37) * cos(i * i * 0.011) + 2 * (i % 9 = 4)::int)::real
  ORDER BY i) AS a
                         FROM generate_series(1, 40 * 25) i;
CREATE FUNCTION lib.f(rank integer, energy float8 DEFAULT 1) RETURNS svd_factors LANGUAGE sql
  RETURN (SELECT svd_decompose(a, 40, 25, rank, energy) FROM matrix);
SELECT results_eq(
  $$SELECT weights_format((f).u), weights_count((f).u), cardinality((f).s), weights_count((f).vt), (f).rows, (f).cols,
    (f).rank
                      FROM (SELECT lib.f(7) AS f) q$$, $$VALUES ('F32', 280::bigint, 7, 175::bigint, 40, 25, 7)$$,
  'their sizes');
SELECT is((lib.f(NULL)).rank, 25, 'no rank: all there are');
SELECT ok(relative_error(a::weights, svd_reconstruct(lib.f(NULL))) < 1e-5, 'all of them are the matrix') FROM matrix;
SELECT is(svd_decompose(a::weights, 40, 25, 7)::text, lib.f(7)::text, 'weights as arrays') FROM matrix;
SELECT is(svd_decompose(a, 40, 25, 7, 1, 5)::text, svd_decompose(a, 40, 25, 7, 1, 5)::text, 'a seed is kept')
FROM matrix;
SET LOCAL hartonomous.threads = 3;
SELECT is(svd_decompose(a, 40, 25, 7)::text, lib.f(7)::text, 'with three threads') FROM matrix;
RESET hartonomous.threads;
SELECT is((lib.f(NULL, e)).rank, least_rank, format('energy %s', e)) FROM (VALUES (0.5), (0.9), (0.99), (1.0)) v (e),
  LATERAL (SELECT count(*)::int + 1 AS least_rank
             FROM (SELECT sum(s::float8 ^ 2) OVER (ORDER BY i) AS sum, i
               FROM unnest((lib.f(NULL)).s) WITH ORDINALITY u (s, i)) t,
                  (SELECT sum(s::float8 ^ 2) AS total FROM unnest((lib.f(NULL)).s) s) a
            WHERE t.sum < e * a.total AND i < 25) l;
SELECT is((lib.f(3, 0.99)).rank, 3, 'rank is still a limit');
SELECT ok(abs(svd_error(a::weights, lib.f(9)) - relative_error(a::weights, svd_reconstruct(lib.f(9)))) < 1e-6,
  'svd_error() is that of the product') FROM matrix;
SELECT ok(abs(svd_error(a::weights, lib.f(9)) - sqrt(1 - (lib.f(9)).explained_variance)) < 1e-5,
  '... and what is not explained') FROM matrix;
SELECT ok(relative_error(a::weights, (SELECT (array_agg(x + y ORDER BY i))::real[]
    FROM ROWS
    FROM (unnest(dequantize(svd_residual(a::weights, lib.f(9)))), unnest(dequantize(svd_reconstruct(lib.f(9)))))
         WITH ORDINALITY u (x, y, i))::weights) < 1e-6, 'svd_residual() is the rest') FROM matrix;
SELECT is(
  svd_error('F32[2]:0000000000000000'::weights,
    ROW('F32[2]:0000803f00000000', '{1}', 'F32[1]:0000803f', 2, 1, 1, 1)::svd_factors),
  'Infinity'::float8, 'the error of zeros');
SELECT is(svd_decompose(NULL::real[], 2, 2)::text, NULL, 'svd_decompose(NULL)');
SELECT is(svd_reconstruct(NULL), NULL, 'svd_reconstruct(NULL)');
SELECT is(svd_error(NULL, lib.f(1)), NULL, 'svd_error(NULL)');
SELECT is(svd_residual(NULL, lib.f(1)), NULL, 'svd_residual(NULL)');
SELECT is(svd_decompose('{5}'::real[], 1, 1, 4)::text, '(F32[1]:0000803f,{5},F32[1]:0000803f,1,1,1,1)', 'one number');
SELECT is((svd_decompose(array_fill(2::real, ARRAY[300]), n, 300 / n, 4)).s[1], (2 * sqrt(300))::real,
  format('%s x %s', n, 300 / n))
  FROM (VALUES (1), (300), (20)) v (n);
SELECT is((svd_decompose(array_fill(2::real, ARRAY[300]), 20, 15, 4)).rank, 4, 'rank-deficient: as many as asked for');

SELECT throws_ok($$SELECT svd_decompose('{1,2,3}'::real[], 2, 2)$$, '2202E', NULL, 'not rows x cols');
SELECT throws_ok($$SELECT svd_decompose('{1,NaN}'::real[], 2, 1)$$, '22003', 'matrix has NaN or infinity', 'NaN');
SELECT throws_ok($$SELECT svd_decompose('{1,Infinity}'::real[], 2, 1)$$, '22003', 'matrix has NaN or infinity',
  'infinity');
SELECT throws_ok($$SELECT svd_decompose('{1,NULL}'::real[], 2, 1)$$, '22004', NULL, 'a NULL in it');
SELECT throws_ok($$SELECT svd_decompose('{1}'::real[], 1, 1, 0)$$, '22023', 'rank must be positive', 'rank 0');
SELECT throws_ok(format($$SELECT svd_decompose('{1}'::real[], 1, 1, 1, %L)$$, e), '22023', NULL, format('energy %s', e))
  FROM (VALUES ('0'), ('-1'), ('1.1'), ('NaN')) v (e);
SELECT throws_ok($$SELECT svd_decompose('{1}'::real[], 1, 1, 1, NULL)$$, '22004', NULL, 'energy NULL');
SELECT throws_ok($$SELECT svd_decompose('{1}'::real[], 46341, 46341)$$, '54000', NULL, 'more than 2^31 numbers');
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok($$SELECT svd_decompose(array_fill(1::real, ARRAY[900000]), 900, 1000, 300)$$, '53200', NULL,
  'more than hartonomous.max_work_memory');
RESET hartonomous.max_work_memory;
SELECT throws_ok(
  $$SELECT svd_reconstruct(ROW('F32[1]:0000803f', '{1,2}', 'F32[1]:0000803f', 1, 1, 1, 1)::svd_factors)$$,
  '2202E', 'factors do not fit each other', 's is too long');
SELECT throws_ok($$SELECT svd_reconstruct(ROW('F32[1]:0000803f', '{1}', 'F32[1]:0000803f', 1, -1, 1, 1)::svd_factors)$$,
  '2202E', 'factors do not fit each other', 'fewer columns than none');
SELECT throws_ok($$SELECT svd_reconstruct(ROW('F32[1]:0000803f', NULL, 'F32[1]:0000803f', 1, 1, 1, 1)::svd_factors)$$,
  '22004', NULL, 'no s');
SELECT throws_ok($$SELECT svd_error('F32[1]:0000803f', lib.f(1))$$, '2202E', NULL, 'the error for another matrix');

-- ---- what factors are like ----
SELECT results_eq($$SELECT finite, descending, smallest_ratio > 0.001, u_orthonormality < 1e-5, vt_orthonormality < 1e-5
                      FROM svd_check(lib.f(7))$$, $$VALUES (true, true, true, true, true)$$,
  'svd_check() of good ones');
SELECT results_eq(
  $$SELECT *
    FROM svd_check(ROW('{1,0,0,2}'::real[]::weights, '{1,2}', '{1,0,0,1}'::real[]::weights, 2, 2, 2, 1)::svd_factors)$$,
  $$VALUES (true, false, 2::float8, 3::float8, 0::float8)$$, '... of others');
SELECT results_eq(
  $$SELECT * FROM svd_check(ROW('{NaN}'::real[]::weights, '{1}', '{1}'::real[]::weights, 1, 1, 1, 1)::svd_factors)$$,
  $$VALUES (false, true, NULL::float8, NULL::float8, NULL::float8)$$, '... with NaN');
SELECT ok((svd_check(quantize_factors(lib.f(7), 'F16'))).u_orthonormality BETWEEN 1e-6 AND 2e-3,
  'F16 bends them a little');
SELECT is(weights_format((quantize_factors(lib.f(7), 'Q8_0')).vt), 'Q8_0', 'quantize_factors()');
SELECT is(quantize_factors(NULL, 'Q8_0')::text, NULL, '... of NULL');
SELECT throws_ok($$SELECT quantize_factors(lib.f(7), 'Q9_0')$$, '22023', NULL, '... in no format');

-- ---- slices ----
SELECT is(weights_slice('{1,2,3,4,5}'::real[]::weights, 1, 3), '{2,3,4}'::real[]::weights, 'weights_slice()');
SELECT is(weights_slice('{1,2}'::real[]::weights, 2, 0), '{}'::real[]::weights, '... of nothing');
SELECT is(weights_slice(quantize(a, 'Q8_0'), 32, 64), quantize(a[33:96], 'Q8_0'), '... of blocks') FROM matrix;
SELECT is(weights_slice(quantize(a[1:40], 'Q8_0'), 32, 8), quantize(a[33:40], 'Q8_0'), '... of the last, not full')
FROM matrix;
SELECT throws_ok(format($$SELECT weights_slice(quantize(a, 'Q8_0'), %s, %s) FROM matrix$$, f, n), '22023', NULL,
  format('%s from %s on', n, f))
FROM (VALUES (1, 32), (32, 31), (-32, 32), (992, 32), (0, 1001), (9223372036854775807, 1)) v (f, n);
SELECT is(weights_slice(NULL, 0, 1), NULL, 'of NULL');

-- ---- sizes ----
SELECT is(format_bytes('q8_0', 33), 68::bigint, 'format_bytes() counts whole blocks');
SELECT is(format_bytes('none', 33), NULL, '... of no format');
SELECT is(factor_bytes('F16', 4096, 4096, 64), 1048832::bigint, 'factor_bytes()');
SELECT is(rank_within('F16', 4096, 4096, 1048832), 64, 'rank_within()');
SELECT is(rank_within('F16', 4096, 4096, 1048831), 63, '... one byte less');
SELECT is(rank_within('F16', 3, 4096, 1000000), 3, '... never above the matrix''s');
SELECT is(rank_within('F16', 4096, 4096, 10), 0, '... and none');

SELECT * FROM finish();
ROLLBACK;
