-- hilbert_index: the curve's ends, neighbours, a small curve in full, and what lies outside.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS hartonomous CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT set_config('search_path', 'hartonomous, hartonomous_internal, ' || current_setting('search_path'), true)
  \g /dev/null

SELECT plan(48);

SELECT is(hilbert_index(0, 0, -10), 0::bigint, 'the curve starts at the lowest corner');
SELECT is(hilbert_index(100, 0, -10), 9223372036854775807, 'and ends at the far end of x');
SELECT is(hilbert_index('-0', 0, -10), 0::bigint, 'minus zero is zero');
SELECT ok(hilbert_index(x, y, z) BETWEEN 0 AND 9223372036854775807,
  format('corner (%s, %s, %s) is on the curve', x, y, z))
  FROM unnest('{0,100}'::real[]) x, unnest('{0,100}'::real[]) y, unnest('{-10,10}'::real[]) z;
-- The upper 3 and 6 bits of an index are the place on curves of 2 and 4 cells an axis. Skilling's order of the corners
-- of the first is a Gray code, x the most significant.
SELECT results_eq('SELECT (x, y, z)::text FROM generate_series(0, 1) x, generate_series(0, 1) y, generate_series(0, 1) z
                    ORDER BY hilbert_index(25 + 50 * x, 25 + 50 * y, -5 + 10 * z)',
  $$VALUES ('(0,0,0)'), ('(0,0,1)'), ('(0,1,1)'), ('(0,1,0)'), ('(1,1,0)'), ('(1,1,1)'), ('(1,0,1)'), ('(1,0,0)')$$,
  'the curve of eight cells');
CREATE TEMP TABLE cell ON COMMIT DROP AS
  SELECT n, x, y, z, hilbert_index(((x + 0.5) * 100 / n)::real, ((y + 0.5) * 100 / n)::real,
                                   ((z + 0.5) * 20 / n - 10)::real) AS h
    FROM unnest('{2,4,8,16}'::integer[]) n, LATERAL generate_series(0, n - 1) x, LATERAL generate_series(0, n - 1) y,
         LATERAL generate_series(0, n - 1) z;
SELECT is(max(abs(dx) + abs(dy) + abs(dz)), 1, format('consecutive cells of %s an axis share a face', n))
  FROM (SELECT n, x - lag(x) OVER w AS dx, y - lag(y) OVER w AS dy, z - lag(z) OVER w AS dz FROM cell
    WINDOW w AS (PARTITION BY n ORDER BY h)) s
 GROUP BY n ORDER BY n;
SELECT ok(bool_and(part = rank - 1), format('each cell of %s an axis has its own range of indices', n))
  FROM (SELECT n, h / (9223372036854775808 / (n ^ 3)::numeric)::bigint AS part,
    rank() OVER (PARTITION BY n ORDER BY h) AS rank FROM cell) s
 GROUP BY n ORDER BY n;
-- 2^21 cells an axis
SELECT is(hilbert_index(0.00004, 0, -10), 0::bigint, 'a cell is 100 / 2^21 wide');
SELECT isnt(hilbert_index(0.00005, 0, -10), 0::bigint, 'but no wider');
SELECT is(hilbert_index(100, 100, 10), hilbert_index(99.99999, 99.99999, 9.999999),
  'the upper end is in the last cell');
SELECT is(hilbert_index(x, y, z), NULL, format('(%s, %s, %s) is outside', x, y, z)) FROM (VALUES
  (-1e-45::real, 0::real, 0::real), (100.00001, 0, 0), (0, -1, 0), (0, 100.00001, 0), (0, 0, -10.000001),
  (0, 0, 10.000001),
  ('NaN', 0, 0), (0, 'NaN', 0), (0, 0, 'NaN'), ('Infinity', 0, 0), (0, '-Infinity', 0), (0, 0, 'Infinity')) t(x, y, z);
SELECT is(hilbert_index(NULL, 0, 0), NULL, 'NULL x');
SELECT is(hilbert_index(0, NULL, 0), NULL, 'NULL y');
SELECT is(hilbert_index(0, 0, NULL), NULL, 'NULL z');
CREATE TEMP TABLE generated (x real, h bigint GENERATED ALWAYS AS (hilbert_index(x, 0, 0)) STORED) ON COMMIT DROP;
INSERT INTO generated VALUES (1), (101);
SELECT results_eq('SELECT h FROM generated ORDER BY x', 'VALUES (hilbert_index(1, 0, 0)), (NULL)',
  'in a generated column');

-- The operator class: built by sorting, it finds what reading all finds, strays included
CREATE TEMP TABLE points AS SELECT i, CASE WHEN i % 50 = 1 THEN NULL
  WHEN i % 50 = 2 THEN st_geomfromtext('POINT Z EMPTY') WHEN i % 50 = 3 THEN
  st_makepoint(-500, 1e30, 'Infinity') WHEN i % 50 = 4 THEN st_makepoint(i % 100, 7)
  WHEN i % 50 = 5 THEN st_makepoint('NaN', 1, 1) ELSE
  st_makepoint(i * 37 % 101, i * 53 % 97, i % 20 - 10) END AS place FROM generate_series(1, 20000) i;
CREATE INDEX points_place ON points USING gist (place hartonomous_internal.gist_points);
ANALYZE points;
CREATE FUNCTION pg_temp.found(box geometry, by_index boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('enable_seqscan', (NOT by_index)::text, true),
    set_config('enable_bitmapscan', by_index::text, true),
    set_config('enable_indexscan', by_index::text, true);
  -- (Whether NaN lies in a box, PostGIS's index and its operator do not agree; it must not hide others.)
  RETURN (SELECT count(*) || ' ' || md5(string_agg(i::text, ',' ORDER BY i)) FROM points WHERE place &&& box
    AND i % 50 <> 5);
END $$;
SELECT is(pg_temp.found(box, true), pg_temp.found(box, false), st_astext(box))
  FROM unnest(ARRAY[st_makeline(st_makepoint(10, 10, -5), st_makepoint(12, 20,
    5)), st_makeline(st_makepoint(0, 0, -10), st_makepoint(100, 100, 10)), st_makepoint(37, 53, -9),
    st_makepoint(-500, 1e30, 1e38),
    st_makeenvelope(0, 0, 20, 20)]) box;
SET LOCAL enable_seqscan = off;
SELECT results_eq(
  $$SELECT round((place <<->> st_makepoint(50, 50, 0))::numeric, 4) FROM points WHERE i % 50 > 5
    ORDER BY place <<->> st_makepoint(50, 50, 0) LIMIT 50$$,
  $$SELECT round(sqrt((st_x(place) - 50) ^ 2 + (st_y(place) - 50) ^ 2 + st_z(place) ^ 2)::numeric, 4) FROM points
    WHERE i % 50 > 5 ORDER BY 1 LIMIT 50$$,
  'neighbours in order');
SELECT lives_ok($$INSERT INTO points SELECT -i, st_makepoint(i % 100, 3, 3) FROM generate_series(1, 2000) i$$,
  'rows inserted later');
SELECT is(count(*), 20::bigint, 'are found') FROM points WHERE place &&& st_makepoint(17, 3, 3) AND i < 0;
RESET enable_seqscan;
SELECT set_eq(
  $$SELECT amopopr FROM pg_amop o JOIN pg_opclass c ON amopfamily = opcfamily WHERE opcname = 'gist_points'$$,
  $$SELECT amopopr FROM pg_amop o JOIN pg_opclass c ON amopfamily = opcfamily WHERE opcname = 'gist_geometry_ops_nd'$$,
  'PostGIS''s operators');

SELECT * FROM finish();
ROLLBACK;
