-- Regions: what lies in a box, on either form of places; pruned, found by neighbourhood, described.
BEGIN;
\ir lib/model_files.sql
SELECT plan(162);
CREATE FUNCTION lib.plain_gguf() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(
    ARRAY[ROW('a.weight', '{4,100}', 0, waves(100, 4, 1))::tensor,
      ROW('b.weight', '{8,100}', 0, waves(100, 8, 2))::tensor,
      ROW('v.weight', '{6}', 0, f32(1, 2, 3, 4, 5, 6))::tensor]);
SELECT import_gguf(plain_gguf(), 'm') AS m \gset
-- A grid: a on (0..9, 0..9) * 10 at z 0, b the same at z 5.
UPDATE tensor_atoms SET x = atom_sequence % 10 * 10, y = atom_sequence / 10 * 10, importance_score = CASE tensor_name
  WHEN 'a.weight' THEN
  0 ELSE 5 END WHERE model_id = :m AND tensor_name <> 'v.weight';
SELECT holds(:m) AS before \gset

-- Regions themselves
SELECT is(region(1, 2, 3, 4, 5, 6), '{1,2,3,4,5,6}', 'region()');
SELECT is(region('-Infinity', 'Infinity', 0, 0, 0, 1e38), '{-Infinity,Infinity,0,0,0,1e38}', 'open and flat ones');
SELECT is(region(st_makeenvelope(1, 3, 2, 4)), '{1,2,3,4,-Infinity,Infinity}', 'of a polygon: any z');
SELECT is(region(st_geomfromtext('LINESTRING Z (1 2 3, 4 1 9)')), '{1,4,1,2,3,9}', 'of a geometry with z: its box');
SELECT throws_ok(format('SELECT region(%s)', arguments), '22023', NULL, 'region(' || arguments || ')')
  FROM unnest(ARRAY['2,1,0,1,0,1',
    '0,1,2,1,0,1', '0,1,0,1,2,1', 'NULL,1,0,1,0,1', '0,1,0,1,0,NULL', '''NaN'',1,0,1,0,1', '0,''NaN'',0,1,0,1',
    '0,1,0,1,0,''NaN''',
    'st_geomfromtext(''POINT EMPTY'')']) arguments;
SELECT is(region(NULL::geometry), NULL, 'region(NULL)');
CREATE FUNCTION lib.detail_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
  RETURN said;
END $$;
SELECT is(detail_of('SELECT region(20, NULL, 0, 20.5, -10, 0)'),
  'Got (20, NULL, 0, 20.5, -10, 0) for min_x, max_x, min_y, max_y, min_z, max_z.', 'and what was given, NULL too');
SELECT is(in_region(st_makepoint(x, y, z), NULL, '{1,2,3,4,5,6}'), inside, format('(%s, %s, %s)', x, y, z)) FROM (VALUES
  (1, 3, 5, true), (2, 4, 6, true), (1.5, 3.5, 5.5, true), (0.9999999::real, 3, 5, false),
  (2.0000002::real, 3, 5, false),
  (1, 2.9999998::real, 5, false), (1, 4.0000005::real, 5, false), (1, 3, 4.9999995::real, false),
  (1, 3, 6.0000005::real, false)) v
  (x, y, z, inside);
SELECT is(in_region(NULL, quantize_q8(50, 50, 0), '{49,51,49,51,-1,1}'), true, 'by three bytes');
SELECT is(in_region(NULL, quantize_q8(50, 50, 0), '{52,53,49,51,-1,1}') IS TRUE, false, 'outside by three bytes');
SELECT is(in_region(NULL, NULL, '{0,1,0,1,0,1}') IS TRUE, false, 'without a place in none');
SELECT is(in_geometry(point, q8, shape) IS TRUE, inside, what) FROM (VALUES
  (st_makepoint(2, 1, 7), NULL::bytea, 'POLYGON((0 0,0 10,10 0,0 0))'::geometry, true, 'in a triangle'),
  (st_makepoint(8, 8, 7), NULL, 'POLYGON((0 0,0 10,10 0,0 0))', false, 'in its box only'),
  (NULL, quantize_q8(2, 1, 7), 'POLYGON((0 0,0 10,10 0,0 0))', true, 'by three bytes in a triangle'),
  (NULL, quantize_q8(8, 8, 7), 'POLYGON((0 0,0 10,10 0,0 0))', false, 'by three bytes in its box only'),
  (st_makepoint(2, 1, 7), NULL, 'POLYGON Z((0 0 7,0 10 8,10 0 9,0 0 7))', true, 'at its lowest z'),
  (st_makepoint(2, 1, 6.9), NULL, 'POLYGON Z((0 0 7,0 10 8,10 0 9,0 0 7))', false, 'below it'),
  (st_makepoint(2, 1, 7), NULL, 'SRID=4326;POLYGON((0 0,0 10,10 0,0 0))', true, 'whatever its SRID'),
  (NULL, NULL, 'POLYGON((0 0,0 10,10 0,0 0))', false, 'without a position in no geometry')
) v (point, q8, shape, inside, what);
SELECT throws_ok('SELECT in_geometry(st_makepoint(1, 2, 3), NULL, ''POLYGON EMPTY'')', '22023', NULL,
  'an empty geometry is no region');
SELECT is(atom_position(x, y, z) IS NULL, none, format('a position at (%s, %s, %s)', x, y, z))
  FROM (VALUES (1::real, 2::real, 3::real, false),
    (-3e38, 3e38, 0, false), ('NaN', 2, 3, true), (1, 'NaN', 3, true), (1, 2, 'NaN', true), ('Infinity', 2, 3, true),
    (1, '-Infinity', 3, true),
    (1, 2, 'Infinity', true), (NULL, 2, 3, true), (1, NULL, 3, true), (1, 2, NULL, true)) v (x, y, z, none);
SELECT is(array_agg(st_astext(p)), '{POINT Z (1 2 3),POINT Z (4 5 6),NULL}', 'and by either of its forms')
  FROM (VALUES (st_makepoint(1, 2, 3), NULL::bytea),
    (NULL, encode_point(4, 5, 6, 'F32')), (NULL, NULL)) v (a, b), atom_position(a, b) p;

-- Pruned: what is left of each tensor, planned and done, in both ways, and undone
CREATE FUNCTION lib.remains(model integer) RETURNS text LANGUAGE plpgsql STABLE
AS $$ BEGIN RETURN (SELECT string_agg(s, ' ' ORDER BY s) FROM (SELECT left(tensor_name, 1) || ':' || count(*) || ':'
  || coalesce(min(atom_sequence), -1) || '-' || max(atom_sequence) AS s FROM tensor_atoms WHERE model_id = model
  GROUP BY
  tensor_name) x); END $$;
CREATE FUNCTION lib.pruned(model integer, arguments text, expected text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE before text := holds(model); began integer := present(model); planned record; gone bigint;
BEGIN
  EXECUTE format(
    'SELECT sum(atoms_before - atoms_after) AS removed, sum(bytes_before - bytes_after) AS bytes '
    'FROM region_plan(%s, %s)', model,
    regexp_replace(arguments, ', method => ''\w+''', '')) INTO planned;
  EXECUTE format('CALL prune_region(%s, %s, dry_run => true)', model, arguments);
  IF holds(model) <> before THEN RETURN 'a dry run changed the model'; END IF;
  EXECUTE format('CALL prune_region(%s, %s)', model, arguments);
  IF remains(model) IS DISTINCT FROM expected THEN RETURN format('left: %s', remains(model)); END IF;
  gone := split_part(before, ' ', 1)::bigint - coalesce(split_part(holds(model), ' ', 1)::bigint, 0);
  IF gone <> planned.removed THEN RETURN format('%s planned, %s removed', planned.removed, gone); END IF;
  IF gone = 0 THEN RETURN CASE WHEN present(model) = began THEN 'as expected' ELSE 'something was done' END; END IF;
  IF (SELECT row(r.atom_count, p.logical_bytes - r.logical_bytes) <> row(p.atom_count - gone, planned.bytes)
        OR r.kind <> coalesce(substring(arguments FROM 'method => ''(\w+)'''), r.kind) FROM model_revisions r
        JOIN model_revisions p ON p.revision_id = r.parent_revision_id WHERE r.revision_id = present(model)) THEN
          RETURN 'wrong numbers'; END IF;
  PERFORM rollback_model(model);
  RETURN CASE WHEN holds(model) = before AND present(model) = began THEN 'as expected'
  ELSE 'rolled back to something else' END;
END $$;
SELECT is(pruned(:m, arguments || method, expected), 'as expected', arguments || method) FROM (VALUES
  ('region(0, 100, 0, 10, -10, 10)', 'a:80:20-99 b:80:20-99 v:1:0-0'),
  ('region(0, 100, 0, 9.999, -10, 10)', 'a:90:10-99 b:90:10-99 v:1:0-0'),
  ('region(0, 100, 0, 10, -10, 4.9)', 'a:80:20-99 b:100:0-99 v:1:0-0'),
  ('region(0, 100, 0, 100, 5, 5)', 'a:100:0-99 v:1:0-0'),
  ('region(0, 0, 0, 100, 5, 5)', 'a:100:0-99 b:90:1-99 v:1:0-0'),
  ('region(101, 102, 0, 100, -10, 10)', 'a:100:0-99 b:100:0-99 v:1:0-0'),
  ('region(0, 100, 0, 100, -10, 10)', 'v:1:0-0'),
  ('region(0, 100, 0, 100, -10, 10), include_vectors => true', NULL),
  ('region(0, 100, 0, 10, -10, 10), keep_inside => true', 'a:20:0-19 b:20:0-19 v:1:0-0'),
  ('region(0, 100, 0, 10, -10, 10), keep_inside => true, layer_pattern => ''b%''', 'a:100:0-99 b:20:0-19 v:1:0-0'),
  ('region(200, 201, 0, 10, -10, 10), keep_inside => true', 'v:1:0-0'),
  ('region(st_makeenvelope(0, 0, 100, 10))', 'a:80:20-99 b:80:20-99 v:1:0-0'),
  ('region(0, 100, 0, 10, ''-Infinity'', ''Infinity''), layer_pattern => ''a%''', 'a:80:20-99 b:100:0-99 v:1:0-0')
) v (arguments, expected),
  unnest(ARRAY['', ', method => ''in_place''', ', method => ''rewrite''']) method;
SELECT is(holds(:m), :'before', 'after all of it, the model is what it was');
UPDATE tensor_atoms SET x = NULL WHERE model_id = :m AND tensor_name = 'a.weight' AND atom_sequence = 5;
SELECT is(pruned(:m, 'region(0, 100, 0, 100, -10, 10)' || method, 'a:1:5-5 v:1:0-0'), 'as expected',
  'what has no place lies nowhere' || method)
  FROM unnest(ARRAY[', method => ''in_place''', ', method => ''rewrite''']) method;
SELECT is(pruned(:m, 'region(0, 100, 0, 100, -10, 10), keep_inside => true' || method, 'a:99:0-99 b:100:0-99 v:1:0-0'),
  'as expected',
  'and is not kept with what lies in a region' || method)
  FROM unnest(ARRAY[', method => ''in_place''', ', method => ''rewrite''']) method;
UPDATE tensor_atoms SET x = 50 WHERE model_id = :m AND tensor_name = 'a.weight' AND atom_sequence = 5;
CALL prune_region('m', region(0, 100, 0, 10, -10, 4));
SELECT is(parameters,
  '{"region": [0, 100, 0, 10, -10, 4], "keep_inside": false, "layer_pattern": "%", "include_vectors": false}',
  'by its name; parameters are recorded') FROM model_revisions WHERE revision_id = present(:m);
SELECT rollback_model(:m) \g /dev/null
SELECT throws_ok(format('CALL prune_region(%s)', arguments), state, NULL, arguments)
  FROM (VALUES ('''m'', ''{1,2,3}''', '22023'),
    ('''m'', NULL', '22023'), ('''m'', ''{2,1,0,1,0,1}''', '22023'),
    ('''m'', region(0,1,0,1,0,1), layer_pattern => ''none''', '22023'),
    ('''m'', region(0,1,0,1,0,1), method => ''fast''', '22023'),
    ('''m'', region(0,1,0,1,0,1), dry_run => NULL', '22004'),
    ('''m'', region(0,1,0,1,0,1), keep_inside => NULL', '22004'), ('999, region(0,1,0,1,0,1)', '42704'),
    ('''nobody'', region(0,1,0,1,0,1)', '42704'), ('NULL::int, region(0,1,0,1,0,1)', '42704')) v (arguments, state);
SELECT throws_ok(format('SELECT * FROM region_plan(%s, %L)', :m, region), '22023', NULL,
  format('region_plan of %L', region))
  FROM unnest(ARRAY[NULL, '{1,2,3}', '{NaN,1,0,1,0,1}', '{2,1,0,1,0,1}']) region;

-- A region takes embeddings, too; what cannot be read has no place, though it is kept in the middle
SELECT import_gguf(
  gguf(ARRAY[ROW('token_embd.weight', '{4,10}', 0, waves(10, 4, 1))::tensor, ROW('blk.0.ffn_up.weight', '{256,10}',
    9, decode(repeat('5a', 2880), 'hex'))::tensor]), 'carried format') AS o \gset
SELECT results_eq(
  format(
    'SELECT layer_name, atoms_before, atoms_before - atoms_after, bytes_before > bytes_after, reason '
    'FROM region_plan(%s, region(0, 100, 0, 100, -10, 10), keep_inside => %L)',
    :o, keep),
  format(
    $$VALUES ('token_embd.weight', 10::bigint, %s::bigint, %L::boolean, %L),
      ('blk.0.ffn_up.weight', 10, 0, false, 'carried format')$$,
    CASE WHEN keep THEN 0 ELSE 10 END, NOT keep, CASE WHEN keep THEN 'nothing to prune' END),
  'region_plan, keep_inside => ' || keep) FROM unnest('{true,false}'::boolean[]) keep;
CALL prune_region(:o, region(0, 100, 0, 100, -10, 10));
SELECT results_eq(format('SELECT tensor_name, count(*) FROM tensor_atoms WHERE model_id = %s GROUP BY 1', :o),
  $$VALUES ('blk.0.ffn_up.weight', 10::bigint)$$, 'what is left');
SELECT throws_ok(format('CALL prune_region(%s, region(0, 100, 0, 100, -10, 10), layer_pattern => ''blk%%'')', :o),
  '22023', NULL,
  'nothing but what is passed over');

-- Neighbours
SELECT results_eq(
  format(
    'SELECT layer_name, atom_sequence, distance, x, y, importance_score '
    'FROM nearest_atoms(%s, st_makepoint(21, 32, 5), 3)', :m),
  $$VALUES ('b.weight', 32, sqrt(5::float8), 20::real, 30::real, 5::real), ('a.weight', 32, sqrt(30), 20, 30, 0),
    ('b.weight', 42, sqrt(65), 20, 40, 5)$$,
  'the nearest three');
SELECT is(array_agg(tensor_atom_id ORDER BY distance), array_agg(tensor_atom_id ORDER BY d), 'as by sorting all')
  FROM nearest_atoms('m',
    st_makepoint(3, 1, 2), 50)
  JOIN (SELECT tensor_atom_id, sqrt((x - 3) ^ 2 + (y - 1) ^ 2 + (importance_score - 2) ^ 2) AS d
  FROM tensor_atoms WHERE model_id = :m) a USING (tensor_atom_id);
SELECT is(max(distance)
  <= (SELECT sqrt((x - 3) ^ 2 + (y - 1) ^ 2 + (importance_score - 2) ^ 2) FROM tensor_atoms WHERE model_id = :m
  ORDER BY 1 OFFSET 50 LIMIT 1) + 1e-4, true, 'and none is nearer') FROM nearest_atoms('m', st_makepoint(3, 1, 2), 50);
SELECT is((SELECT count(*) FROM nearest_atoms(:m, st_makepoint(0, 0, 0), k)), least(k, 201)::bigint, 'k = ' || k)
  FROM unnest('{0,1,200,1000}'::int[]) k;
SELECT is((SELECT count(*) FROM nearest_atoms(:m, st_makepoint(0, 0, 0))), 10::bigint, 'ten, when not said');
SELECT is(
  (SELECT array_agg(atom_sequence ORDER BY distance, atom_sequence)
    FROM nearest_atoms('m', layer(:m, 'a.weight') << 32 | 55, 6) n
  WHERE layer_name = 'a.weight'), '{45,54,56,65}', 'neighbours of an atom, itself not among them');
SELECT throws_ok(format('SELECT * FROM nearest_atoms(%s)', arguments), state, NULL, arguments) FROM (VALUES
  (:'m' || ', st_makepoint(1, 2)', '22023'), (:'m' || ', st_geomfromtext(''POINT EMPTY'')', '22023'),
  (:'m' || ', NULL::geometry', '22023'),
  (:'m' || ', st_makepoint(''NaN'', 2, 3)', '22023'), (:'m' || ', st_makepoint(1, ''Infinity'', 3)', '22023'),
  (:'m' || ', st_makepoint(1, 2, ''-Infinity'')', '22023'), (:'m' || ', st_makepoint(1, 1e300, 3)', '22023'),
  (:'m' || ', st_makeenvelope(0, 0, 1, 1)', '22023'), (:'m' || ', st_makepoint(1, 2, 3), -1', '22023'),
  (:'m' || ', st_makepoint(1, 2, 3), NULL', '22023'), ('999, st_makepoint(1, 2, 3)', '42704'),
  ('''nobody'', st_makepoint(1, 2, 3)', '42704'),
  (:'m' || ', 77::bigint', '42704'), (:'m' || ', NULL::bigint', '42704'), ('999, 77::bigint', '42704'),
  ('''nobody'', 77::bigint', '42704'),
  (:'m' || ', ' || (layer(:m, 'a.weight') << 32 | 999), '42704'),
  (:'m' || ', ' || (layer(:m, 'a.weight') << 32) || ', -2', '22023')) v (arguments, state);
SELECT is(count(*), 3::bigint, 'from far away, too') FROM nearest_atoms(:m, st_makepoint(-2e38, 2e38, 2e38), 3);

-- Atoms whose coordinates are no numbers are at no position: near to nothing, in no region, by whichever plan
SAVEPOINT numbers;
UPDATE tensor_atoms SET x = CASE atom_sequence WHEN 3 THEN 'NaN' WHEN 4 THEN 'Infinity' WHEN 5 THEN '-Infinity'
  ELSE x END,
  y = CASE atom_sequence WHEN 6 THEN 'NaN' ELSE y END, importance_score = CASE atom_sequence WHEN 7 THEN 'NaN'
  ELSE importance_score END
  WHERE model_id = :m AND tensor_name = 'a.weight' AND atom_sequence BETWEEN 3 AND 7;
SELECT is(
  (SELECT array_agg(atom_sequence ORDER BY distance) FROM nearest_atoms(:m, st_makepoint(20, 1, 0), 4)
    WHERE layer_name = 'a.weight'), '{2,12,1}', 'the nearest have positions');
SELECT is((SELECT count(*) FROM nearest_atoms(:m, st_makepoint(0, 0, 0), 1000)), 196::bigint, 'and are all that have');
SELECT throws_ok(format('SELECT * FROM nearest_atoms(%s, %s::bigint)', :m, layer(:m, 'a.weight') << 32 | 3), '42704',
  NULL, 'no neighbours without a position');
CREATE FUNCTION lib.by_plan(statement text) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE one bigint; other bigint;
BEGIN
  PERFORM set_config('enable_seqscan', 'off', true);
  EXECUTE statement INTO one;
  PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true);
  EXECUTE statement INTO other;
  PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_bitmapscan', 'on', true);
  RETURN ARRAY[one, other];
END $$;
SELECT is(
  by_plan(
    format(
      'SELECT count(*) FROM tensor_atoms WHERE model_id = %s AND in_region(weights_geometry, quantized_position, %L)',
      :m, region)),
  ARRAY[atoms, atoms], 'as many by the index and without: ' || region::text)
  FROM (VALUES (region('-Infinity', 'Infinity', '-Infinity', 'Infinity', '-Infinity', 'Infinity'), 196::bigint),
    (region(0, 100, 0, 0, 0, 0), 5)) v (region, atoms);
SELECT is(row(atoms, positioned), row(100::bigint, 95::bigint), 'statistics leave them out') FROM spatial_statistics(:m)
  WHERE layer_name = 'a.weight';
SELECT ok(central_region(:m, 1) = region(-0.00001, 100.00001, -0.00001, 100.00001, '-Infinity', 'Infinity'),
  'so does the region in the middle');
ROLLBACK TO numbers;

-- Statistics
SELECT results_eq(
  format(
    'SELECT layer_name, atoms, positioned, mean_x, mean_y, mean_z, round(spread_x::numeric, 4), spread_z, '
    'min_x, max_x, '
    'min_y, max_y, min_z, max_z FROM spatial_statistics(%s)',
    :m), $$
    VALUES ('a.weight', 100::bigint, 100::bigint, 45::float8, 45::float8, 0::float8, 28.7228, 0::float8, 0::real,
      90::real, 0::real, 90::real, 0::real, 0::real),
    ('b.weight', 100, 100, 45, 45, 5, 28.7228, 0, 0, 90, 0, 90, 5, 5),
      ('v.weight', 1, 1, 50, 50, 10, 0, 0, 50, 50, 50, 50, 10, 10)$$,
  'spatial_statistics()');
DELETE FROM tensor_atoms WHERE model_id = :m AND tensor_name = 'b.weight';
SELECT is(row(atoms, positioned, mean_x), row(0::bigint, 0::bigint, NULL::float8), 'of a tensor without atoms')
  FROM spatial_statistics('m')
  WHERE layer_name = 'b.weight';
SELECT throws_ok(format('SELECT * FROM spatial_statistics(%s)', m), '42704', NULL, 'spatial_statistics(' || m || ')')
  FROM unnest(ARRAY['999',
    '''nobody''', 'NULL::int']) m;

-- The index: for few, not for many
SELECT import_gguf(
  gguf(ARRAY[ROW('big.weight', '{2,40000}', 0, (SELECT string_agg(lib.le(i::bigint * 40503 % 65536, 4), '' ORDER BY i)
  FROM generate_series(1, 80000) i))::tensor]), 'big', atom_size => 0) AS big \gset
UPDATE tensor_atoms SET x = atom_sequence % 200 / 2.0, y = atom_sequence / 400.0, importance_score = atom_sequence % 7
  WHERE model_id = :big;
ANALYZE tensor_atoms;
SELECT matches(string_agg(e, E'\n'), 'Index Scan.*geometry', 'few are found by the index')
  FROM explain(
    format('SELECT * FROM tensor_atoms WHERE model_id = %s AND in_region(weights_geometry, quantized_position, %L)',
  :big, region(10, 11, 10, 11, -1, 1))) e;
SELECT doesnt_match(string_agg(e, E'\n'), 'Index', 'many by reading all')
  FROM explain(
    format('SELECT * FROM tensor_atoms WHERE model_id = %s AND in_region(weights_geometry, quantized_position, %L)',
  :big, region(0, 100, 0, 90, -1, 9))) e;
SELECT matches(string_agg(e, E'\n'), 'Index Scan using.*geometry', 'neighbours by the index')
  FROM explain(
    format(
      'SELECT * FROM tensor_atoms WHERE model_id = %s ORDER BY weights_geometry <<->> st_makepoint(1, 2, 3) LIMIT 5',
  :big)) e;
-- The functions themselves: scans of the partition and of its index of positions, as the server counts them
CREATE FUNCTION lib.scans(model integer, statement text, OUT sequential bigint, OUT by_position bigint)
  LANGUAGE plpgsql AS $$
DECLARE
  atoms regclass := live_partition(model);
  indexes oid[] := ARRAY(SELECT indexrelid FROM pg_index JOIN pg_class c ON c.oid = indexrelid
    JOIN pg_am m ON m.oid = c.relam
    WHERE indrelid = atoms AND amname = 'gist');
BEGIN
  sequential := -pg_stat_get_xact_numscans(atoms);
  by_position := -(SELECT sum(pg_stat_get_xact_numscans(i)) FROM unnest(indexes) i);
  EXECUTE statement;
  sequential := sequential + pg_stat_get_xact_numscans(atoms);
  by_position := by_position + (SELECT sum(pg_stat_get_xact_numscans(i)) FROM unnest(indexes) i);
END $$;
CREATE FUNCTION lib.searches() RETURNS text[] LANGUAGE sql IMMUTABLE
  RETURN ARRAY['SELECT * FROM nearest_atoms(%1$s, st_makepoint(1, 2, 3), 5)',
    'SELECT * FROM tensor_atoms WHERE model_id = %1$s AND in_region(weights_geometry, quantized_position, region(10, '
  '10.5, 10, 10.5, -1, 1))',
    'SELECT * FROM tensor_atoms WHERE model_id = %1$s AND in_geometry(weights_geometry, quantized_position, ''POLYGON '
  'Z((10 10 0,10 10.5 0,10.5 10 1,10 10 0))'')'];
SELECT ok(sequential = 0 AND by_position > 0, 'by the index: ' || s) FROM unnest(searches()) s,
  scans(:big, format(s, :big));
CALL quantize_model_geometry(:big);
SELECT ok(sequential = 0 AND by_position > 0, 'by that of quantized positions: ' || s) FROM unnest(searches()) s,
  scans(:big, format(s, :big));
SELECT is(
  (SELECT count(*) FROM tensor_atoms WHERE model_id = :big
    AND in_geometry(weights_geometry, quantized_position, 'POLYGON((10 10,10 29.9,29.9 10,10 10))')),
  (SELECT count(*) FROM tensor_atoms, decode_point(quantized_position) p WHERE model_id = :big AND p.x >= 10
    AND p.y >= 10 AND p.x + p.y <= 39.9), 'and finds what lies there');

SELECT is_empty(
  $$SELECT without_comment('in_geometry', 'atom_position', 'region_plan', 'prune_region', 'plan_region_pruning',
    'region_parameters', 'nearest_atoms', 'spatial_statistics')$$,
  'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
