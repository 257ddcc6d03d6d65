-- The places of a model in three bytes: kept, found, smaller on disk, and undone.
BEGIN;
\ir lib/model_files.sql
SELECT plan(38);
SELECT import_gguf(
  gguf(ARRAY[
    ROW('big.weight', '{8,20000}', 0,
      (SELECT string_agg(lib.le(i::bigint * 40503 % 16777216 + 1006632960, 4), '' ORDER BY i)
  FROM generate_series(1, 160000) i))::tensor, ROW('v.weight', '{6}', 0, f32(1, 2, 3, 4, 5, 6))::tensor]), 'm',
  atom_size => 0) AS m
  \gset
SELECT holds(:m) AS before, present(:m) AS r1, export_gguf(:m) AS file \gset
CREATE TABLE lib.places AS SELECT tensor_atom_id, x, y, importance_score, quantize_q8(x, y, importance_score) AS q
  FROM tensor_atoms
  WHERE model_id = :m;
SELECT x AS px, y AS py, importance_score AS pz FROM lib.places ORDER BY tensor_atom_id LIMIT 1 \gset
CREATE FUNCTION lib.pages(model integer) RETURNS bigint LANGUAGE sql AS
  $$ SELECT count(DISTINCT (ctid::text::point)[0]) FROM tensor_atoms WHERE model_id = model $$;
CREATE FUNCTION lib.nearest(model integer) RETURNS TABLE (id bigint, d numeric) LANGUAGE plpgsql AS
  $$ BEGIN RETURN QUERY SELECT tensor_atom_id, round(distance::numeric, 3)
    FROM nearest_atoms(model, st_makepoint(42, 57, 0.3), 20); END $$;

SELECT pg_total_relation_size(live_partition(:m)) AS size, lib.pages(:m) AS pages \gset
CALL quantize_model_geometry(:m);
SELECT results_eq(
  format('SELECT tensor_atom_id, quantized_position FROM tensor_atoms WHERE model_id = %s ORDER BY 1', :m),
  'SELECT tensor_atom_id, q FROM lib.places ORDER BY 1', 'every place is in three bytes');
SELECT is(count(*), 0::bigint, 'and nowhere else') FROM tensor_atoms WHERE model_id = :m
  AND (x IS NOT NULL OR y IS NOT NULL
  OR weights_geometry IS NOT NULL OR hilbert_index IS NOT NULL);
SELECT is(count(*), 0::bigint, 'importance stays what it was') FROM tensor_atoms a JOIN lib.places p
  USING (tensor_atom_id) WHERE model_id = :m
  AND a.importance_score IS DISTINCT FROM p.importance_score;
SELECT row(metrics -> 'positions', metrics -> 'disk_bytes_before') = row('20001'::jsonb, to_jsonb(:size))
  AND (metrics ->> 'disk_bytes_after')::bigint
  = pg_total_relation_size(live_partition(:m)) AS said, stage FROM model_history(:m) ORDER BY revision_id DESC LIMIT 1
  \gset
SELECT ok(:'said'::boolean, 'what it saved is on record');
SELECT ok(pg_total_relation_size(live_partition(:m)) < :size, format('%s -> %s: it is smaller on disk', :size,
  pg_total_relation_size(live_partition(:m))));
-- By how much is seen in the pages that rows fill: from PostgreSQL 16 on a table grows by many pages at once, and the
-- last of them may be empty.
SELECT ok(lib.pages(:m) < :pages * 0.8, format('%s -> %s pages: by a fifth and more', :pages, lib.pages(:m)));
SELECT is(:'stage'::text, 'quantize_geometry', 'as a stage of its own');
SELECT ok(export_gguf(:m) = :'file'::bytea, 'no weight was touched');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'nothing is wrong with it');

-- Neighbours and regions
SELECT bag_eq(format('SELECT d FROM nearest(%s)', :m),
  $$SELECT round((dequantize_geometry(q) <<->> st_makepoint(42, 57, 0.3))::numeric, 3) AS d FROM lib.places
  ORDER BY 1 LIMIT 20$$, 'the nearest are the nearest');
SELECT matches(string_agg(e, E'\n'), 'Index Scan using.*dequantize_geometry', 'by the index')
  FROM explain(
    format(
      'SELECT * FROM tensor_atoms WHERE model_id = %s AND quantized_position IS NOT NULL '
      'ORDER BY dequantize_geometry(quantized_position) <<->> st_makepoint(1, 2, 3) LIMIT 5',
  :m)) e;
SELECT is(
  (SELECT count(*) FROM tensor_atoms WHERE model_id = :m
    AND in_region(weights_geometry, quantized_position, '{20,60,30,50,-1,1}')),
  (SELECT count(*) FROM lib.places, decode_point(q) d WHERE d.x BETWEEN 20 AND 60 AND d.y BETWEEN 30 AND 50
    AND d.z BETWEEN -1 AND 1),
  'a region has what lies in it');
SELECT matches(string_agg(e, E'\n'), 'Index Scan.*dequantize_geometry', 'by the index, too')
  FROM explain(
    format(
      'SELECT * FROM tensor_atoms WHERE model_id = %s AND in_region(weights_geometry, quantized_position, '
      '''{50,50.5,50,50.5,-1,1}'')',
  :m)) e;
SELECT is(positioned, atoms, 'statistics know the places') FROM spatial_statistics(:m) WHERE layer_name = 'big.weight';
SELECT extract_by_spatial_region(:m, 20, 60, 30, 50, -1, 1) AS s \gset
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :s AND quantized_position IS NOT NULL),
  (SELECT count(*) + 1 FROM lib.places,
    decode_point(q) d WHERE d.x BETWEEN 20 AND 60 AND d.y BETWEEN 30 AND 50 AND d.z BETWEEN -1 AND 1),
  'a student of a region');
SELECT dynamic_student_extraction(:m, 'spatial', 0.5) AS s \gset
SELECT ok(n >= 10000, 'and of the middle: ' || n)
  FROM (SELECT count(*) AS n FROM tensor_atoms WHERE model_id = :s AND tensor_name = 'big.weight') a;
SELECT present(:m) AS r2 \gset
CALL prune_region(:m, '{0,100,0,40,-10,10}', method => 'rewrite');
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :m),
  (SELECT count(*) FROM lib.places, decode_point(q) d WHERE NOT d.y BETWEEN 0 AND 40),
  'a region is pruned by rewriting');
SELECT is(count(*), (SELECT count(*) FROM tensor_atoms WHERE model_id = :m), 'and what stays has its bytes')
  FROM tensor_atoms WHERE model_id = :m
  AND quantized_position IS NOT NULL;
SELECT rollback_model(:m) \g /dev/null
CALL prune_region(:m, '{0,100,0,20,-10,10}', method => 'in_place');
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :m),
  (SELECT count(*) FROM lib.places, decode_point(q) d WHERE NOT d.y BETWEEN 0 AND 20),
  'and in place');
SELECT rollback_model(:m) \g /dev/null
CALL prune_by_importance(:m, keep_ratio => 0.5);
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :m), 10001::bigint, 'importance ranks as before');
SELECT is((SELECT count(*) FROM nearest_atoms(:m, st_makepoint(50, 50, 0), 5)), 5::bigint,
  'neighbours of the pruned model');
SELECT rollback_model(:m) \g /dev/null

-- Again, and back
CALL quantize_model_geometry('m');
SELECT is(present(:m), :r2, 'all places are quantized: nothing is done');
SELECT is(rollback_model(:m), :r1, 'undone');
SELECT is(holds(:m), :'before', 'every place is what it was');

-- The longer forms
CALL quantize_model_geometry(:m, 'f16');
SELECT is(
  (SELECT max(abs((d.x - p.x)::numeric)) < 0.05 AND max(octet_length(quantized_position)) = 6 FROM tensor_atoms a
    JOIN lib.places p USING
  (tensor_atom_id), decode_point(quantized_position) d WHERE model_id = :m), true, 'six bytes');
SELECT rollback_model(:m) \g /dev/null
CALL quantize_model_geometry(:m, 'F32');
SELECT is(
  (SELECT count(*) FROM tensor_atoms a JOIN lib.places p USING (tensor_atom_id), decode_point(quantized_position) d
    WHERE model_id = :m
  AND (d.x, d.y, d.z) = (p.x, p.y, p.importance_score)), 20001::bigint, 'twelve bytes lose nothing');
SELECT rollback_model(:m) \g /dev/null

-- Atoms without a place, and outside
UPDATE tensor_atoms SET x = NULL WHERE model_id = :m AND atom_sequence = 7;
CALL quantize_model_geometry(:m);
SELECT is(count(*), 1::bigint, 'what has no place gets none') FROM tensor_atoms WHERE model_id = :m
  AND quantized_position IS NULL;
SELECT rollback_model(:m) \g /dev/null
UPDATE tensor_atoms SET x = 100.1 WHERE model_id = :m AND atom_sequence = 7;
SELECT throws_ok(format('CALL quantize_model_geometry(%s)', :m), '22003',
  '1 atoms have positions that Q8_0 cannot hold',
  'outside');
SELECT is(count(*), 0::bigint, 'no run was begun') FROM compression_runs WHERE state = 'running';
SELECT lives_ok(format('CALL quantize_model_geometry(%s, ''F16'')', :m), 'which F16 can hold');
SELECT rollback_model(:m) \g /dev/null
SELECT clamp_coordinates(:m) \g /dev/null
SELECT lives_ok(format('CALL quantize_model_geometry(%s)', :m), 'clamped, it fits');
SELECT throws_ok(format('CALL quantize_model_geometry(%s)', arguments), state, NULL, arguments)
  FROM (VALUES (:'m' || ', ''Q4_K''', '22023'),
    (:'m' || ', NULL', '22004'), ('999', '42704'), ('''nobody''', '42704'), ('NULL::int', '42704')
  ) v (arguments, state);
SELECT import_gguf(gguf(NULL), 'empty') AS e \gset
SELECT lives_ok(format('CALL quantize_model_geometry(%s)', :e), 'a model without atoms');
SELECT is_empty(
  $$SELECT without_comment('quantize_model_geometry', 'geometry_plan', 'plan_encoding', 'report_encoding')$$,
  'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
