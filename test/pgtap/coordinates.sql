-- Points in 3, 6 and 12 bytes.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS hartonomous CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT set_config('search_path', 'hartonomous, hartonomous_internal, ' || current_setting('search_path'), true)
  \g /dev/null

SELECT plan(99);

-- quantize_q8, dequantize_q8

SELECT is(quantize_q8(x::real, y::real, z::real), q, format('quantize_q8(%s, %s, %s)', x, y, z)) FROM (VALUES
  (0.0, 0.0, -10.0, '\x000000'::bytea), (100, 100, 10, '\xffffff'), (50, 25, 0, '\x804080'),
  (100.0 / 255, 200.0 / 255, 10, '\x0102ff'),
  (30, 70, 0, '\x4cb280'),  -- 76.5 and 178.5: to the even neighbour
  (-0.0, 0.0001, -9.99999, '\x000000'), (99.9999, 0, 9.99999, '\xff00ff')) t(x, y, z, q);
SELECT is(quantize_q8('-0', 0, 0), '\x000080'::bytea, 'minus zero is zero');
SELECT results_eq($$SELECT * FROM dequantize_q8('\x00ff00')$$, 'VALUES (0::real, 100::real, -10::real)',
  'dequantize_q8: the ends');
SELECT results_eq($$SELECT * FROM dequantize_q8('\xff00ff')$$, 'VALUES (100::real, 0::real, 10::real)',
  'the other ends');
SELECT ok(bool_and(quantize_q8(p.x, p.y, p.z) = b), 'every byte of every axis comes back')
  FROM (SELECT decode(lpad(to_hex(i * 65793), 6, '0'), 'hex') AS b FROM generate_series(0, 255) i) t,
  dequantize_q8(b) p;
SELECT ok(max(abs(p.x - t.x)) < 0.1961 AND max(abs(p.y - t.y)) < 0.1961 AND max(abs(p.z - t.z)) < 0.03922,
  'off by half a step at most')
  FROM (SELECT (i / 100.0)::real AS x, ((10000 - i) / 100.0)::real AS y, (i / 500.0 - 10)::real AS z
    FROM generate_series(0, 10000) i) t,
       dequantize_q8(quantize_q8(t.x, t.y, t.z)) p;
SELECT throws_ok(format('SELECT quantize_q8(%L, %L, %L)', x, y, z), '22003', message, message) FROM (VALUES
  ('100.00001', '0', '0', 'x coordinate 100.00001 is out of range'),
  ('-1e-06', '0', '0', 'x coordinate -1e-06 is out of range'),
  ('0', '256', '0', 'y coordinate 256 is out of range'), ('0', 'NaN', '0', 'y coordinate NaN is out of range'),
  ('0', '0', '10.000001', 'z coordinate 10.000001 is out of range'),
  ('0', '0', '-10.5', 'z coordinate -10.5 is out of range'),
  ('0', '0', 'NaN', 'z coordinate NaN is out of range'),
  ('Infinity', '0', '0', 'x coordinate Infinity is out of range'),
  ('-Infinity', '0', '0', 'x coordinate -Infinity is out of range')) t(x, y, z, message);
SELECT is(quantize_q8(NULL, 0, 0), NULL, 'NULL x');
SELECT is(quantize_q8(0, NULL, 0), NULL, 'NULL y');
SELECT is(quantize_q8(0, 0, NULL), NULL, 'NULL z');
SELECT results_eq('SELECT * FROM dequantize_q8(NULL)', 'SELECT NULL::real, NULL::real, NULL::real',
  'dequantize_q8(NULL)');
SELECT throws_ok(format('SELECT dequantize_q8(%L)', b), '22P03', NULL, format('%s bytes are not 3', length(b)))
  FROM (VALUES (''::bytea), ('\x0000'), ('\x00000000'), (decode(repeat('00', 5000), 'hex'))) t(b);

-- encode_point, decode_point

SELECT is(encode_point(1, -2.5, 3, 'F32'), '\x0000803f000020c000004040'::bytea, 'F32: three little-endian floats');
SELECT is(encode_point(1, -2.5, 3, 'F16'), '\x003c00c10042'::bytea, 'F16: three little-endian halves');
SELECT is(encode_point(50, 25, 0, 'Q8_0'), quantize_q8(50, 25, 0), 'Q8_0: quantize_q8');
SELECT is(encode_point(50, 25, 0, 'q8_0'), quantize_q8(50, 25, 0), 'names in either case');
SELECT results_eq(format('SELECT * FROM decode_point(encode_point(1, 2.5, 3, %L))', f),
  'VALUES (1::real, 2.5::real, 3::real)',
  'there and back as ' || f) FROM unnest('{F32,F16}'::text[]) f;
SELECT results_eq($$SELECT * FROM decode_point(encode_point('-1e38', '1e-45', 3.4028235e38, 'F32'))$$,
  $$VALUES ('-1e38'::real, '1e-45'::real, '3.4028235e38'::real)$$, 'F32 has no bounds');
SELECT results_eq($$SELECT * FROM decode_point(encode_point('65519.996', '-65504', '1e-9', 'F16'))$$,
  'VALUES (65504::real, -65504::real, 0::real)', 'bounds of F16');
SELECT results_eq($$SELECT * FROM decode_point('\xff00ff')$$, $$SELECT * FROM dequantize_q8('\xff00ff')$$,
  'three bytes are Q8_0');
SELECT throws_ok(format('SELECT encode_point(0, %L, 0, %L)', y, f), '22003', NULL, f || ' refuses ' || y)
  FROM (VALUES ('NaN', 'F32'), ('Infinity', 'F32'), ('-Infinity', 'F32'), ('NaN', 'F16'), ('Infinity', 'F16'),
    ('65520', 'F16'),
    ('-65520', 'F16'), ('NaN', 'Q8_0'), ('-0.1', 'Q8_0'), ('100.1', 'Q8_0')) t(y, f);
SELECT throws_ok(format('SELECT encode_point(0, 0, 0, %L)', f), '22023', format('unknown coordinate format "%s"', f),
  format('no format %L', f)) FROM unnest('{Q4_K,BF16,Q8,"",F32x}'::text[]) f;
SELECT is(encode_point(0, 0, 0, NULL), NULL, 'NULL format');
SELECT is(encode_point(NULL, 0, 0, 'F32'), NULL, 'NULL coordinate');
SELECT results_eq('SELECT * FROM decode_point(NULL)', 'SELECT NULL::real, NULL::real, NULL::real',
  'decode_point(NULL)');
SELECT throws_ok(format('SELECT decode_point(%L)', decode(repeat('00', n), 'hex')), '22P03', 'not a quantized point',
  n || ' bytes are no point') FROM unnest('{0,1,2,4,5,7,11,13,24,4000}'::integer[]) n;
SELECT throws_ok(format('SELECT decode_point(%L)', b), '22P03', 'quantized point is damaged', what) FROM (VALUES
  ('\x0000c07f0000000000000000'::bytea, 'NaN in F32'), ('\x00000000000000000000807f', 'infinity in F32'),
  ('\x0000007c0000', 'infinity in F16'), ('\x00000000017e', 'NaN in F16')) t(b, what);

-- The same on geometry

SELECT is(quantize_geometry_q8(ST_MakePoint(50, 25, 0)), '\x804080'::bytea, 'quantize_geometry_q8');
SELECT is(quantize_geometry(ST_MakePoint(50, 25, 0)), '\x804080'::bytea, 'quantize_geometry has Q8_0 by default');
SELECT is(length(quantize_geometry(ST_MakePoint(50, 25, 0), f)), n, 'bytes of ' || f)
  FROM (VALUES ('F32', 12), ('F16', 6), ('Q8_0', 3)) t(f, n);
SELECT is(ST_AsText(dequantize_geometry(quantize_geometry(ST_MakePoint(50, 25, 0.5), f))), 'POINT Z (50 25 0.5)',
  'there and back as ' || f)
  FROM unnest('{F32,F16}'::text[]) f;
SELECT is(ST_AsText(dequantize_geometry('\xff00ff')), 'POINT Z (100 0 10)', 'dequantize_geometry of Q8_0');
SELECT is(ST_AsText(dequantize_geometry_q8('\xff00ff')), 'POINT Z (100 0 10)', 'dequantize_geometry_q8');
SELECT is(ST_SRID(dequantize_geometry(quantize_geometry(ST_SetSRID(ST_MakePoint(50, 25, 0), 4326)))), 0,
  'the SRID is not kept');
SELECT throws_ok(format('SELECT quantize_geometry(%L::geometry)', g), '22023', 'a point with x, y and z expected',
  'not ' || g)
  FROM unnest('{POINT(1 2),POINT M (1 2 3),POINT ZM (1 2 3 4),POINT Z EMPTY,POINT EMPTY,"LINESTRING Z (1 2 3,4 5 6)",
                "MULTIPOINT Z ((1 2 3))","GEOMETRYCOLLECTION Z (POINT Z (1 2 3))"}'::text[]) g;
SELECT throws_ok($$SELECT quantize_geometry_q8('POINT(1 2)')$$, '22023', NULL, 'quantize_geometry_q8 needs z');
SELECT throws_ok($$SELECT quantize_geometry_q8('POINT Z (101 2 3)')$$, '22003', NULL,
  'quantize_geometry_q8 outside the space');
SELECT throws_ok($$SELECT quantize_geometry('POINT Z (1 2 11)')$$, '22003', NULL,
  'quantize_geometry outside the space');
SELECT throws_ok($$SELECT quantize_geometry(ST_MakePoint(1, 'NaN', 3), 'F32')$$, '22003', NULL, 'NaN');
SELECT throws_ok($$SELECT quantize_geometry(ST_MakePoint(1, 1e300, 3), 'F32')$$, '22003', NULL, 'beyond float4');
SELECT throws_ok($$SELECT quantize_geometry(ST_MakePoint(1, 2, 3), 'Q4_K')$$, '22023', NULL, 'an unknown format');
SELECT throws_ok($$SELECT dequantize_geometry('\x00')$$, '22P03', NULL, 'dequantize_geometry of a byte');
SELECT throws_ok($$SELECT dequantize_geometry_q8('\x000000000000')$$, '22P03', NULL, 'dequantize_geometry_q8 of six');
SELECT ok(quantize_geometry(NULL) IS NULL AND quantize_geometry(NULL, 'F32') IS NULL
  AND quantize_geometry(ST_MakePoint(1, 2, 3), NULL) IS NULL
      AND quantize_geometry_q8(NULL) IS NULL AND dequantize_geometry(NULL) IS NULL
  AND dequantize_geometry_q8(NULL) IS NULL, 'NULL in, NULL out');

-- An index on the dequantized geometry serves nearest-neighbour queries.
CREATE TEMP TABLE place (id integer, q bytea) ON COMMIT DROP;
INSERT INTO place SELECT i, quantize_geometry(ST_MakePoint(i % 100, i / 100, 0), 'F16') FROM generate_series(0, 9999) i;
CREATE INDEX ON place USING gist (dequantize_geometry(q) gist_geometry_ops_nd);
ANALYZE place;
SET LOCAL enable_seqscan = off;
SELECT is((SELECT id FROM place ORDER BY dequantize_geometry(q) <<->> ST_MakePoint(42.2, 17.1, 0) LIMIT 1), 1742,
  'the nearest point');

SELECT is(postgis_schema(),
  (SELECT n.nspname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = 'geometry'::regtype),
  'postgis_schema()');

SELECT * FROM finish();
ROLLBACK;
