-- With quote_all_identifiers on, PostgreSQL spells everything in its catalog another way: nothing here may depend on
-- the spelling.
BEGIN;
\ir lib/model_files.sql
SELECT plan(27);
SET LOCAL quote_all_identifiers = ON;
SELECT lives_ok('SELECT create_store()', 'create_store()');
CREATE INDEX "of the user" ON tensor_atoms (importance_score) WHERE tensor_name <> 'a "quoted" ON ONLY name';
ALTER TABLE tensor_atoms ADD COLUMN "Note" text DEFAULT 'none',
  ADD COLUMN twice real GENERATED ALWAYS AS (x * 2) STORED;
SELECT lives_ok($$SELECT import_gguf(little_gguf(), 'little')$$, 'import');
SELECT lives_ok(statement, statement) FROM unnest(ARRAY[
  $$CALL prune_by_importance('little', keep_ratio => 0.95, method => 'in_place')$$, $$SELECT rollback_model('little')$$,
  $$SELECT rollback_model('little', (SELECT max(revision_id) FROM model_revisions))$$,
  $$CALL prune_by_importance('little', keep_ratio => 0.6, method => 'rewrite')$$,
  $$CALL prune_region('little', region(0, 10, 0, 10, -10, 10))$$,
  $$SELECT backup_model('little')$$, $$CALL quantize_model('little', 'Q8_0')$$,
  $$CALL quantize_model_geometry('little')$$,
  $$CALL svd_compress_model('little', rank => 1)$$, $$SELECT extract_by_importance('little', 0.5, 'student')$$,
  $$SELECT assign_mixed_precision('little')$$, $$SELECT export_gguf(model_id('little'))$$,
  $$SELECT diff_revisions(min(revision_id), max(revision_id)) FROM model_revisions WHERE model_id = model_id('little')
    AND state IN ('live', 'backup')$$,
  $$SELECT rollback_model('little', (SELECT min(revision_id) FROM model_revisions))$$,
  $$SELECT storage_report(model_id('little'))$$, $$SELECT verify_svd('little')$$,
  $$SELECT apply_retention('little', 1)$$]) statement;
SELECT is_empty($$SELECT c.* FROM models m, check_model(m.model_id) c$$, 'check_model() finds nothing wrong');
SELECT ok(export_gguf(model_id('little')) = little_gguf(), 'the model is what it was');
SELECT is((SELECT count(*) FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indexrelid
            WHERE i.indrelid = live_partition(model_id('little')) AND h.inhparent = '"of the user"'::regclass),
  1::bigint,
  'the user''s index is on the partition');
-- A constraint that does not bind is still found.
SELECT live_partition(model_id('student')) AS partition \gset
SELECT relname || '_bound' AS bound FROM pg_class WHERE oid = :'partition'::regclass \gset
ALTER TABLE :partition DROP CONSTRAINT :"bound", ADD CONSTRAINT :"bound" CHECK (model_id > 0);
SELECT results_eq($$SELECT fault FROM check_model('student')$$, $$VALUES ('no bound')$$,
  'a partition without its bound is a fault');

-- A publication forbids to delete from a table without replica identity.
SELECT is_empty($$
  SELECT c.relname FROM pg_class c
   WHERE c.relnamespace::regnamespace::text IN ('hartonomous', 'hartonomous_partitions') AND c.relkind IN ('r', 'p')
     AND c.relreplident <> 'f'
     AND NOT (c.relreplident = 'd' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))$$,
  'every table of the store has a replica identity');
SELECT results_eq($$
  SELECT c.relreplident, count(*) > 0 FROM pg_class c
   WHERE c.relname ~ '^tensor_atoms_m\d+_r\d+$' GROUP BY 1 ORDER BY 1$$, $$VALUES ('d'::"char", true)$$,
  'partitions with a primary key use it');
SELECT lives_ok($$CALL prune_by_importance('little', keep_ratio => 0.95, method => 'in_place')$$, 'pruned in place');
SELECT is(
  (SELECT c.relreplident FROM pg_class c
    WHERE c.oid = partition_of(model_id('little'), (SELECT max(revision_id) FROM model_revisions))),
  'f'::"char", 'a delta has no primary key, and whole rows as its identity');
SELECT * FROM finish();
ROLLBACK;
