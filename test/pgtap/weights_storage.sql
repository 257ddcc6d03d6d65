-- Weights in tables and on the wire: TOAST, short headers, COPY in both forms, damaged input, parallel plans.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS hartonomous CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT set_config('search_path', 'hartonomous, hartonomous_internal, ' || current_setting('search_path'), true)
  \g /dev/null

SELECT plan(78);

-- One value of each kind: empty, short, padded, special floats, every format, and one of 4 MB.
CREATE TEMP TABLE kept (id integer PRIMARY KEY, w weights) ON COMMIT DROP;
INSERT INTO kept VALUES
  (1, 'F32[0]:'), (2, 'F32[1]:0000803f'), (3, quantize(ARRAY[1, 2, 3]::real[], 'Q4_K')),
  (4, '{NaN,Infinity,-Infinity,-0}'::real[]), (5, NULL);
INSERT INTO kept
  SELECT 100 + ggml_type, weights(format, 3 * block_weights, decode(repeat('a5', 3 * block_bytes), 'hex'))
  FROM formats();
INSERT INTO kept SELECT 1000, array_agg((i % 1009)::real ORDER BY i) FROM generate_series(1, 1000000) i;

-- TOAST

SELECT is((SELECT attstorage::text FROM pg_attribute WHERE attrelid = 'kept'::regclass AND attname = 'w'), 'e',
  'columns of weights are stored out of line, uncompressed');
SELECT is(pg_column_size(w)::bigint, weights_bytes(w) + 8, 'the large value is out of line, as it is') FROM kept
  WHERE id = 1000;
SELECT is(weights_format(w) || ' ' || weights_count(w) || ' ' || weights_bytes(w), 'F32 1000000 4000000',
  'accessors of a TOASTed value') FROM kept WHERE id = 1000;
SELECT ok(w::real[] = (SELECT array_agg((i % 1009)::real ORDER BY i) FROM generate_series(1, 1000000) i),
  'a TOASTed value, read')
  FROM kept WHERE id = 1000;
SELECT ok(a.w = b.w, 'TOASTed values compare') FROM kept a, kept b WHERE a.id = 1000 AND b.id = 1000;
SELECT is(weights_hash(w), weights_hash(w::real[]::weights), 'TOASTed values hash alike') FROM kept WHERE id = 1000;

CREATE TEMP TABLE squeezed (w weights) ON COMMIT DROP;
ALTER TABLE squeezed ALTER w SET STORAGE extended;
INSERT INTO squeezed VALUES (array_fill(0.5::real, ARRAY[100000]));
SELECT ok(pg_column_size(w) < 40000, 'a compressed value') FROM squeezed;
SELECT is(weights_format(w) || weights_count(w) || ' ' || weights_bytes(w), 'F32100000 400000', 'its accessors')
  FROM squeezed;
SELECT ok(w = array_fill(0.5::real, ARRAY[100000])::weights, 'its value') FROM squeezed;
SELECT is(weights_rms(w), 0.5::float8, 'its root mean square') FROM squeezed;

-- Short headers: values below 127 bytes are stored with a header of one byte, unaligned.
CREATE TEMP TABLE unaligned (c "char", w weights) ON COMMIT DROP;
INSERT INTO unaligned SELECT 'x', array_fill(g::real, ARRAY[g])::weights FROM generate_series(0, 40) g;
SELECT is(pg_column_size(w), 1 + 8 + 4, 'a short header') FROM unaligned WHERE weights_count(w) = 1;
SELECT ok(bool_and(w::real[] IS NOT DISTINCT FROM
                   CASE WHEN weights_count(w) = 0 THEN '{}'
                   ELSE array_fill(weights_count(w)::real, ARRAY[weights_count(w)::integer]) END),
  'values with headers of either size, read') FROM unaligned;
SELECT ok(bool_and(w = w::real[]::weights AND weights_hash(w) = weights_hash(w::real[]::weights)),
  'and compared with values fresh from memory') FROM unaligned;
SELECT is(sum(weights_bytes(w)), 4 * 820::numeric, 'and their bytes') FROM unaligned;
-- 100 bytes of importance and of blocks with short headers, too
CREATE TEMP TABLE arguments (c "char", x real[], importance real[], blocks bytea, format text) ON COMMIT DROP;
INSERT INTO arguments VALUES ('x', '{1,2,3}', '{1,1,1}', '\x003c', 'F16');
SELECT is(quantize(x, 'Q4_0', importance), quantize('{1,2,3}'::real[], 'Q4_0', '{1,1,1}'), 'arrays with short headers')
  FROM arguments;
SELECT is(weights(format, 1, blocks), 'F16[1]:003c', 'blocks and names with short headers') FROM arguments;

-- COPY, in the data directory; the file is removed at the end

CREATE TEMP TABLE copied (LIKE kept) ON COMMIT DROP;
CREATE FUNCTION pg_temp.file() RETURNS text LANGUAGE sql
  AS $$SELECT format('%s/hartonomous_test_%s.copy', current_setting('data_directory'), pg_backend_pid())$$;
CREATE FUNCTION pg_temp.round_trip(form text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('COPY kept TO %L (FORMAT %s)', pg_temp.file(), form);
  TRUNCATE copied;
  EXECUTE format('COPY copied FROM %L (FORMAT %s)', pg_temp.file(), form);
  RETURN (SELECT count(*) FROM kept k JOIN copied c USING (id) WHERE k.w = c.w OR (k.w IS NULL AND c.w IS NULL));
END
$$;
SELECT is(pg_temp.round_trip(form), (SELECT count(*) FROM kept), 'COPY as ' || form)
  FROM unnest('{text,csv,binary}'::text[]) form;

-- Binary form: what a bytea column writes, a column of weights reads.

CREATE TEMP TABLE received (w weights) ON COMMIT DROP;
CREATE FUNCTION pg_temp.receive(message bytea) RETURNS weights LANGUAGE plpgsql AS $$
DECLARE
  result weights;
BEGIN
  EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', message, pg_temp.file());
  EXECUTE format('COPY received FROM %L (FORMAT binary)', pg_temp.file());
  DELETE FROM received RETURNING w INTO result;
  RETURN result;
END
$$;
SELECT is(weights_send('F16[2]:003c00c0'), '\x0000000100000002003c00c0'::bytea, 'id, count and blocks are sent');
SELECT is(weights_send('F32[0]:'), '\x0000000000000000'::bytea, 'an empty run is sent');
SELECT is(pg_temp.receive('\x0000000100000002003c00c0'), 'F16[2]:003c00c0'::weights, 'and received');
SELECT is(pg_temp.receive('\x0000000000000000'), 'F32[0]:'::weights, 'an empty run is received');
SELECT is(pg_temp.receive(weights_send(w)), w, 'sent and received: ' || left(w::text, 20)) FROM kept WHERE id < 1000
  AND id <> 5;
SELECT throws_ok(format('SELECT pg_temp.receive(%L)', bad), '22P03', NULL, what) FROM (VALUES
  ('\x'::bytea, 'received nothing'),
  ('\x00000001000000', 'received a header cut short'),
  ('\x0000000100000001', 'received no blocks'),
  ('\x000000010000000100', 'received too few bytes'),
  ('\x0000000100000001003c00', 'received too many bytes'),
  ('\x000000000000000000', 'received a byte for no weights'),
  ('\x0000000400000000', 'received a format ggml has dropped'),
  ('\x0000ffff00000000', 'received an unknown format'),
  ('\x0001000100000001003c', 'received a format of more than 16 bits'),
  ('\xffffffff00000000', 'received a negative format'),
  ('\x00000000ffffffff', 'received a count of 4294967295 without blocks'),
  ('\x0100000002000000003c00c0', 'received little-endian numbers')) t(bad, what);

SELECT lives_ok(format('COPY (SELECT) TO PROGRAM %L', 'cat >/dev/null; rm -f ' || quote_literal(pg_temp.file())),
  'the file is removed');

-- Parallel plans give the same results.

CREATE TABLE hartonomous.spread AS
  SELECT g AS id, quantize(ARRAY(SELECT ((g * 31 + i) % 101 - 50)::real FROM generate_series(1, 300) i), 'Q8_0') AS w,
         ((g * 31) % 101)::real AS x
    FROM generate_series(1, 2000) g;
CREATE FUNCTION pg_temp.sums() RETURNS text LANGUAGE sql AS $$
  SELECT concat_ws(' ', count(*), sum(weights_count(w)), sum(round(weights_rms(w) * 1000)), sum(round(dot(w, w))),
                   sum(round(relative_error(w, quantize(w, 'Q4_K')) * 1e6)), sum(weights_hash(w)::bigint),
                   sum(length(quantize_q8(x, x, 1))), sum(hilbert_index(x, 0, 0)),
                   sum(length(quantize_q4k(dequantize(w)))), sum(get_byte(quantize_geometry(ST_MakePoint(x, 0, 0)), 0)))
    FROM hartonomous.spread
$$;
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS
  'BEGIN RETURN QUERY EXECUTE ''EXPLAIN (COSTS off) '' || query; END';
SET LOCAL max_parallel_workers_per_gather = 0;
CREATE TEMP TABLE serial ON COMMIT DROP AS SELECT pg_temp.sums() AS sums;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_leader_participation = off;
SELECT ok(count(*) > 0, 'the plan is parallel')
  FROM pg_temp.plan_of('SELECT sum(weights_rms(w)), sum(dot(w, w)) FROM hartonomous.spread') AS line
  WHERE line LIKE '%Partial Aggregate%';
SELECT is(pg_temp.sums(), sums, 'sums over parallel workers') FROM serial;
SELECT is((SELECT count(*) FROM (SELECT DISTINCT w FROM spread) s), 101::bigint, 'DISTINCT over parallel workers');

SELECT * FROM finish();
ROLLBACK;
