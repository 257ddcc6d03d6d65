-- The models themselves: listed, renamed, deleted with everything they had.
BEGIN;
\ir lib/model_files.sql
SELECT plan(48);
SELECT is_empty('SELECT * FROM list_models()', 'without a store there is no model');
SELECT import_gguf(little_gguf(), 'little') AS little \gset
SELECT import_gguf(little_gguf(2), 'other') AS other \gset
UPDATE models SET parent_model_id = :little WHERE model_id = :other;
CALL prune_by_importance(:little, keep_ratio => 0.5, method => 'rewrite');
CALL prune_by_importance(:little, keep_ratio => 0.45, method => 'in_place');
SELECT backup_model(:little, 'kept') AS copy \gset

SELECT results_eq(
  'SELECT model_id, model_name, architecture, parent_model, parameters, stage, backups FROM list_models()',
  format(
    $$VALUES (%s, 'little', 'llama', NULL, 9424::bigint, 'prune', 3::bigint),
      (%s, 'other', 'llama', 'little', 9424, 'import', 0)$$,
         :little, :other), 'list_models()');
SELECT is(row(l.revision_id, l.atoms, l.logical_bytes),
  row(present(:little), count(*), sum(weights_bytes(a.atom_data))::bigint),
  'what the live revision holds') FROM list_models() l JOIN tensor_atoms a USING (model_id) WHERE l.model_id = :little
  GROUP BY l.*,
  l.revision_id, l.atoms, l.logical_bytes;
SELECT is(l.physical_bytes,
  (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE relkind = 'r' AND relname LIKE
  'tensor\_atoms\_m' || :little || '\_r%')::bigint, 'and what all of them take') FROM list_models() l
  WHERE l.model_id = :little;

-- By name as by number
SELECT results_eq(format('SELECT * FROM %s', replace(call, '$m', '''little''')),
  format('SELECT * FROM %s', replace(call, '$m', :'little')), call)
  FROM unnest(
    ARRAY['prune_plan($m, 0.5)', 'importance_plan($m, ''magnitude'')', 'quantize_plan($m, ''Q8_0'')',
      'svd_plan($m, rank => 2)', 'export_plan($m)',
      'block_influence($m)',
      'region_plan($m, region(0, 50, 0, 50, -10, 10))', 'storage_report($m)', 'model_disk_bytes($m)']) call;
SELECT throws_ok(format('SELECT * FROM %s(''nobody''%s)', f, more), '42704', 'model "nobody" does not exist',
  f || ' of no name')
  FROM (VALUES ('prune_plan', ''), ('importance_plan', ', ''obs'''), ('quantize_plan', ''), ('svd_plan', ''),
    ('export_plan', ''),
    ('block_influence', ''),
    ('region_plan', ', region(0, 1, 0, 1, 0, 1)'), ('model_disk_bytes', '')) v (f, more);

-- Another name
SELECT lives_ok(format('SELECT rename_model(%s, ''grand'')', :little), 'rename_model()');
SELECT is(model_id('grand'), :little, 'it has the new name');
SELECT throws_ok('SELECT model_id(''little'')', '42704', NULL, 'and not the old one');
SELECT lives_ok('SELECT rename_model(''grand'', ''grand'')', 'its own name, by its name');
SELECT throws_ok(statement, state, NULL, statement) FROM (VALUES ('SELECT rename_model(''grand'', ''other'')', '42710'),
  ('SELECT rename_model(''grand'', '''')', '22023'), ('SELECT rename_model(''grand'', NULL)', '22023'),
  ('SELECT rename_model(999, ''x'')', '42704'), ('SELECT rename_model(NULL::int, ''x'')', '42704'),
  ('SELECT rename_model(''little'', ''x'')', '42704')) v (statement, state);

-- No model any more
SELECT holds(:other) AS before \gset
SELECT model_disk_bytes(:little) AS bytes, present(:little) AS revision \gset
SELECT is(delete_model('grand'), :bytes::bigint, 'delete_model() says what it frees');
SELECT is_empty(format('SELECT relname FROM pg_class WHERE relname LIKE ''tensor\_atoms\_m%s\_%%''', :little),
  'no partition is left');
SELECT is(
  concat_ws(' ', (SELECT count(*) FROM models WHERE model_id = :little),
    (SELECT count(*) FROM model_layers WHERE model_id =
  :little), (SELECT count(*) FROM model_revisions WHERE model_id = :little),
    (SELECT count(*) FROM compression_runs WHERE model_id =
  :little), (SELECT count(*) FROM tensor_atoms WHERE model_id = :little),
    (SELECT count(*) FROM tensor_atoms_backup WHERE model_id =
  :little), (SELECT count(*) FROM compression_steps)), '0 0 0 0 0 0 0', 'nor anything else');
SELECT is(holds(:other), :'before', 'the other model is whole');
SELECT is(parent_model, NULL, 'its parent is gone') FROM list_models() WHERE model_id = :other;
SELECT throws_ok(statement, state, NULL, statement) FROM (VALUES (format('SELECT delete_model(%s)', :little), '42704'),
  ('SELECT delete_model(NULL::int)', '42704'), ('SELECT delete_model(''grand'')', '42704'),
  (format('SELECT rollback_model(%s)', :little), '42704'), (format('SELECT drop_backup(%s)', :revision), '42704')
) v (statement, state);
SELECT isnt(import_gguf(little_gguf(), 'grand'), :little, 'the name is free, the number is not used again');

-- Deleted while a run that was stopped has a partition of its own
SELECT start_run(:other, 'quantize', 'rewrite', '{}') \g /dev/null
SELECT lives_ok(format('SELECT delete_model(%s)', :other), 'with a stopped run');
SELECT is_empty(format('SELECT relname FROM pg_class WHERE relname LIKE ''tensor\_atoms\_m%s\_%%''', :other),
  'its partition goes, too');

CREATE ROLE models_stranger;
SELECT is((state_as('models_stranger', statement)).state, '42501', 'a stranger may not: ' || statement)
  FROM unnest(ARRAY[
  'SELECT * FROM list_models()', 'SELECT rename_model(''grand'', ''x'')', 'SELECT delete_model(''grand'')']) statement;
SELECT is_empty($$SELECT without_comment('list_models', 'rename_model', 'delete_model')$$,
  'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
