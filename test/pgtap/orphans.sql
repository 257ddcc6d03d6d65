-- What stays behind when a model is deleted by hand is found, and dropped; nothing else is.
BEGIN;
\ir lib/model_files.sql
SELECT plan(50);
SELECT is_empty('SELECT * FROM check_store()', 'check_store() without a store');
SELECT is_empty('SELECT * FROM repair_store()', 'repair_store() without a store');
SELECT import_gguf(little_gguf(), 'kept') AS kept \gset
SELECT import_gguf(little_gguf(2), 'gone') AS gone \gset
SELECT lives_ok(format(statement, m), format(statement, m))
  FROM unnest(ARRAY['CALL prune_by_importance(%s, keep_ratio => 0.9, method => ''in_place'')',
    'CALL svd_compress_model(%s, rank => 1)', 'SELECT backup_model(%s)']) statement, unnest(ARRAY[:kept, :gone]) m;
SELECT start_run(:kept, 'quantize', 'rewrite', '{}') AS run \gset
SELECT add_calibration_set('text', 'a text') \g /dev/null
SELECT add_input_statistics(m, present(m), 'text', 1, 1, 8, 3, '{3}', '{1,2}'::real[]::weights, '{}'),
       add_gram_panel(m, present(m), 'text', 1, false, 0, 0, '\x000000000000000000000000')
  FROM unnest(ARRAY[:kept, :gone]) m \g /dev/null
SELECT is_empty('SELECT * FROM check_store()',
  'a store with deltas, factors, backups, statistics and a stopped run is sound');
SELECT is_empty('SELECT * FROM repair_store()', 'and has nothing to drop');
SELECT holds(:kept) AS holds, count(*) AS partitions FROM pg_class WHERE relkind = 'r'
  AND relname ~ format('^tensor_atoms_m%s_r', :kept) \gset

DELETE FROM models WHERE model_id = :gone;
SELECT is((SELECT count(*) FROM check_store() WHERE fault = 'orphaned partition'), (SELECT count(*) FROM pg_class
  WHERE relkind = 'r' AND relname ~ format('^tensor_atoms_m%s_r', :gone)),
  'a model deleted by hand: its partitions are found');
SELECT is_empty(format('SELECT * FROM check_store() WHERE object !~ ''^tensor_atoms_m%s_''', :gone),
  '... and nothing else');
SELECT is((SELECT count(*) > 0 FROM tensor_atoms WHERE model_id = :gone), true, 'its atoms are still there');
SELECT ok(sum(bytes) > 0, 'repair_store() says what would be dropped') FROM repair_store();
SELECT ok((SELECT count(*) > 0 FROM tensor_atoms WHERE model_id = :gone), '... and drops nothing yet');
SELECT ok(sum(bytes) > 0, '... until it shall') FROM repair_store(dry_run => false);
SELECT is_empty('SELECT * FROM check_store()', 'then all is well');
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :gone), 0::bigint, 'its atoms are gone');
SELECT is(holds(:kept), :'holds', 'the other model is what it was');
SELECT is((SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ format('^tensor_atoms_m%s_r', :kept)),
  :partitions::bigint, '... with all its partitions');

-- Rows that no foreign key took along.
SET LOCAL session_replication_role = replica;
DELETE FROM models WHERE model_id = :kept;
SET LOCAL session_replication_role = origin;
SELECT is((SELECT count(*) FROM check_store() WHERE fault = 'orphaned partition'), :partitions::bigint,
  'its partitions are found');
SELECT bag_eq($$SELECT fault, object, rows > 0 FROM check_store() WHERE fault = 'orphaned rows'$$,
  $$VALUES ('orphaned rows', 'model_layers', true),
  ('orphaned rows', 'model_revisions', true), ('orphaned rows', 'compression_runs', true),
  ('orphaned rows', 'calibration_stats', true), ('orphaned rows', 'calibration_grams', true)$$,
  'rows without a model are found');
SELECT lives_ok('SELECT repair_store(false)', 'all of it is dropped');
SELECT is_empty('SELECT * FROM check_store()', 'then all is well again');
SELECT is((SELECT count(*) FROM pg_class WHERE relname ~ '^tensor_atoms_m\d'), 0::bigint, 'no partition is left');
SELECT is((SELECT count(*) FROM compression_steps) + (SELECT count(*) FROM calibration_grams), 0::bigint,
  'no row is left');

-- Factors whose partition is gone; a partition in no place.
SELECT import_gguf(little_gguf(), 'new') AS new \gset
CALL svd_compress_model(:new, rank => 1);
INSERT INTO svd_compressed_layers SELECT model_id, (SELECT max(revision_id) FROM model_revisions) AS revision_id,
  layer_id + 1000, layer_name, rank,
  u_matrix, s_vector, vt_matrix, original_rows, original_cols, original_bytes, compression_ratio, explained_variance,
  relative_error, dense_format
  FROM svd_compressed_layers LIMIT 1;
SELECT is_empty('SELECT * FROM check_store()', 'factors beside a partition are no orphans');
SELECT live_partition(:new) AS partition \gset
ALTER TABLE tensor_atoms DETACH PARTITION :partition;
SELECT results_eq('SELECT fault, detail FROM check_store()',
  format($$VALUES ('wrong parent', 'of model %s: it has no parent')$$, :new), 'a partition in the wrong place');
DROP TABLE :partition;
SELECT bag_eq('SELECT fault FROM check_store()', $$VALUES ('missing partition'), ('orphaned rows')$$,
  'a partition that is gone, and its factors');
CREATE ROLE orphan_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO orphan_reader;
SELECT is((state_as('orphan_reader', 'SELECT * FROM check_store()')).state, '00000', 'a reader may look');
SELECT is((state_as('orphan_reader', 'SELECT * FROM repair_store(false)')).state, '42501', 'but drop nothing');
SELECT * FROM repair_store(false) \g /dev/null

-- A revision that nobody makes any more; a run that was stopped.
SELECT import_gguf(little_gguf(), 'stopped') AS stopped \gset
SELECT start_run(:stopped, 'quantize', 'rewrite', '{}') AS run \gset
SELECT revision_id AS building FROM compression_runs WHERE run_id = :run \gset
SELECT results_eq('SELECT fault, object FROM repair_store(stopped_runs => true)',
  format($$VALUES ('stopped run', 'run %s: quantize of "stopped"')$$, :run), 'a stopped run is listed on demand');
UPDATE compression_runs SET state = 'failed' WHERE run_id = :run;
SELECT results_eq('SELECT fault, object FROM check_store() WHERE fault <> ''missing partition''',
  format($$VALUES ('unfinished revision', 'revision %s')$$, :building), 'a revision without a run is found');
SELECT results_eq('SELECT fault, object FROM repair_store(false)',
  format($$VALUES ('unfinished revision', 'revision %s')$$, :building), '... and dropped');
SELECT is(state, 'dropped', '... by state') FROM model_revisions WHERE revision_id = :building;
SELECT import_gguf(little_gguf(), 'stopped, too') AS stopped \gset
SELECT start_run(:stopped, 'quantize', 'rewrite', '{}') AS run \gset
SELECT lives_ok('SELECT repair_store(false, stopped_runs => true)', 'a stopped run is given up on demand');
SELECT is(state, 'abandoned', '... and says so') FROM compression_runs WHERE run_id = :run;

-- Archived weights that the trigger has not deleted with the last atoms that referred to them.
CALL archive_model(:stopped);
SELECT count(*) AS chunks FROM archived_weights \gset
INSERT INTO archived_weights VALUES ('\x01', '{}', 1, 4, '\x00');
SELECT results_eq($$SELECT fault, object, rows FROM check_store() WHERE fault = 'orphaned rows'$$,
  $$VALUES ('orphaned rows', 'archived_weights', 1::bigint)$$, 'archived weights without atoms are found');
SELECT results_eq('SELECT object, rows FROM repair_store(false)', $$VALUES ('archived_weights', 1::bigint)$$,
  '... and dropped');
SELECT is((SELECT count(*) FROM archived_weights), :chunks::bigint, '... and no others');
TRUNCATE tensor_atoms_archive;
SELECT results_eq('SELECT object, rows FROM repair_store(false)',
  format($$VALUES ('archived_weights', %s::bigint)$$, :chunks), 'TRUNCATE leaves them, too');
SELECT results_eq($$SELECT fault FROM check_store() WHERE fault ~ 'archive'$$,
  $$VALUES ('missing archive')$$,
  '... and a model without its atoms');

-- The end.
SELECT throws_ok('SELECT drop_store()', '2BP01', NULL, 'a store with models is not dropped by mistake');
SELECT is((state_as('orphan_reader', 'SELECT drop_store(true)')).state, '42501', 'nor by a reader');
CREATE VIEW lib.of_mine AS SELECT model_name FROM models;
SELECT throws_ok('SELECT drop_store(true)', '2BP01', NULL, 'nor where a view of mine needs it');
DROP VIEW lib.of_mine;
SELECT lives_ok('SELECT drop_store(true)', 'drop_store(true)');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace IN ('hartonomous'::regnamespace,
  'hartonomous_partitions'::regnamespace) AND relkind IN ('r', 'p', 'v', 'S')$$, '... leaves nothing');
SELECT throws_ok('SELECT drop_store()', '42P01', 'there is no store', '... twice');
SELECT lives_ok($$SELECT import_gguf(little_gguf(), 'first')$$, 'a new one can be created');
SELECT is_empty($$SELECT without_comment('orphaned_partitions', 'orphaned_rows', 'check_store', 'repair_store',
  'unfinished_revisions', 'drop_store')$$,
  'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
