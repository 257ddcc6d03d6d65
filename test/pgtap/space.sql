-- The model as a map: neighbours by the GiST index, and plans that stay small whatever the number of tensors.
BEGIN;
\ir lib/model_files.sql
SELECT plan(12);
SELECT import_gguf(gguf(ARRAY[ROW('token_embd.weight', '{16,3000}', 0, waves(3000, 16, 1))::tensor, ROW('output.weight',
  '{16,500}', 0, waves(500, 16, 2))::tensor]), 'map', atom_size => 0) AS model \gset
SELECT import_gguf(little_gguf(), 'other') AS other \gset

-- Neighbours
CREATE FUNCTION lib.plan(query text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(line, E'\n')
  FROM lib.explain(query) line $$;
SELECT format('SELECT layer_id, atom_sequence FROM tensor_atoms WHERE model_id = %s '
  'ORDER BY weights_geometry <<->> ST_MakePoint(30, 70, -1) LIMIT 10', :model) AS near \gset
SELECT matches(plan(:'near'), 'Index Scan using tensor_atoms_m1_r1_weights_geometry_idx',
  'ORDER BY <<->> goes by the GiST index');
SELECT doesnt_match(plan(:'near'), 'tensor_atoms_m2|Sort', 'of this model alone, without a sort');
SELECT results_eq(:'near',
  format(
    'SELECT layer_id, atom_sequence FROM tensor_atoms WHERE model_id = %s '
    'ORDER BY (x - 30)^2 + (y - 70)^2 + (importance_score + 1)^2 LIMIT 10',
    :model), 'and finds the nearest, in three dimensions');
SELECT matches(
  plan(format(
    'SELECT * FROM tensor_atoms WHERE model_id = %s AND weights_geometry &&& ST_3DMakeBox(ST_MakePoint(10, 10, -1), '
    'ST_MakePoint(12, 12, 1))::geometry',
    :model)), 'Index (Cond|Scan)|Bitmap', 'a box goes by it, too');
CALL prune_by_importance(:model, keep_ratio => 0.6, include_embeddings => true);
SELECT matches(plan(:'near'), 'Index Scan using tensor_atoms_m1_r\d+_weights_geometry_idx', 'a new partition has it');
SELECT results_eq(:'near',
  format(
    'SELECT layer_id, atom_sequence FROM tensor_atoms WHERE model_id = %s '
    'ORDER BY (x - 30)^2 + (y - 70)^2 + (importance_score + 1)^2 LIMIT 10',
    :model), 'and right');
CALL quantize_model(:model, 'Q4_0');
SELECT matches(plan(:'near'), 'Index Scan using tensor_atoms_m1_r\d+_weights_geometry_idx', 'and the next');
SELECT rollback_model(:model, (SELECT min(revision_id) FROM model_revisions WHERE model_id = :model)) \g /dev/null
SELECT matches(plan(:'near'), 'Index Scan using tensor_atoms_m1_r1_weights_geometry_idx',
  'and the old one, when it is back');

-- Hilbert order: atoms near on the curve are near on the map
SELECT ok(near < 0.25 * far, format('neighbours on the Hilbert curve are near each other: %s against %s', round(near),
  round(far)))
  FROM (SELECT avg(sqrt((x - px) ^ 2 + (y - py) ^ 2)) AS near, avg(sqrt((x - rx) ^ 2 + (y - ry) ^ 2)) AS far
          FROM (SELECT x, y, lag(x) OVER w AS px, lag(y) OVER w AS py, lag(x) OVER v AS rx, lag(y) OVER v AS ry
            FROM tensor_atoms WHERE model_id = :model
                WINDOW w AS (ORDER BY hilbert_index), v AS (ORDER BY content_hash)) s) d;

-- Plans. Each tensor's rows are found by the key; no query of a tensor reads another model, or the whole of its own.
SELECT matches(
  plan(format(
    'SELECT atom_sequence, atom_data FROM tensor_atoms WHERE model_id = %s AND layer_id = %s ORDER BY atom_sequence',
    :model, layer(:model, 'output.weight'))),
  'Index Scan (using|on) tensor_atoms_m1_r1_pkey', 'a tensor''s atoms come by the key');
SELECT doesnt_match(plan(format('SELECT count(*) FROM tensor_atoms WHERE model_id = %s', :model)), 'tensor_atoms_m2',
  'a model is one partition');
-- ANALYZE has been, so that the planner knows the new partition
SELECT is(reltuples::bigint, 3500::bigint, 'statistics are there from the beginning') FROM pg_class WHERE oid =
  live_partition(:model);

SELECT * FROM finish();
ROLLBACK;
