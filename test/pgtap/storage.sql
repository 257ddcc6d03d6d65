-- What a model takes on disk: the figures against PostgreSQL's own and against sums made here.
BEGIN;
\ir lib/model_files.sql
SELECT plan(32);
SELECT import_gguf(little_gguf(), 'little') AS model \gset

-- Every row against its table
CREATE FUNCTION lib.wrong_figures(model integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  r record;
  n bigint;
  b bigint;
BEGIN
  FOR r IN SELECT * FROM storage_report(model) LOOP
    EXECUTE format('SELECT count(*), coalesce(sum(length(atom_data::bytea)), 0) FROM %s', r.table_name) INTO n, b;
    IF (r.atoms, r.logical_bytes, r.physical_bytes, r.index_bytes) <> (n, b, pg_total_relation_size(r.table_name),
      pg_indexes_size(r.table_name))
       OR r.toast_bytes <> (SELECT pg_total_relation_size(reltoastrelid) FROM pg_class WHERE oid =
         r.table_name::regclass)
       OR r.table_bytes <> pg_table_size(r.table_name) - r.toast_bytes OR r.physical_bytes <> r.table_bytes +
         r.index_bytes + r.toast_bytes THEN
      RETURN NEXT r::text;
    END IF;
  END LOOP;
  IF (SELECT sum(physical_bytes) FROM storage_report(model)) <> model_disk_bytes(model) THEN
    RETURN NEXT 'model_disk_bytes()';
  END IF;
  IF (SELECT array_agg(table_name ORDER BY table_name) FROM storage_report(model))
     <> (SELECT array_agg('hartonomous.' || relname ORDER BY relname) FROM pg_class WHERE relnamespace =
       'hartonomous'::regnamespace AND relkind = 'r' AND relname LIKE 'tensor\_atoms\_m' || model || '\_%') THEN
    RETURN NEXT 'tables are missing';
  END IF;
END $$;
CREATE FUNCTION lib.report(model integer) RETURNS SETOF text LANGUAGE sql AS $$ SELECT concat_ws(' ', revision_id,
  stage, state, atoms, logical_bytes) FROM storage_report(model) $$;
SELECT results_eq(format('SELECT report(%s)', :model), $$VALUES ('1 import live 101 37696')$$, 'a model just imported');
SELECT is_empty(format('SELECT wrong_figures(%s)', :model), 'figures');
CALL prune_by_importance(:model, keep_ratio => 0.9, method => 'in_place', include_embeddings => true);
SELECT results_eq(format('SELECT report(%s)', :model), $$VALUES ('2 prune live 91 33952'),
  ('2 prune (removed atoms) backup 10 3744')$$, 'pruned in place: one partition and what was removed');
SELECT is_empty(format('SELECT wrong_figures(%s)', :model), 'figures');
CALL quantize_model(:model, 'Q8_0');
SELECT results_eq(format('SELECT report(%s)', :model), $$VALUES ('2 prune backup 91 33952'),
  ('2 prune (removed atoms) backup 10 3744'), ('3 quantize live 91 13864')$$,
  'quantized: the old partition is a backup');
SELECT is_empty(format('SELECT wrong_figures(%s)', :model), 'figures');
SELECT is(logical_bytes, (SELECT sum(weights_bytes(atom_data)) FROM tensor_atoms WHERE model_id = :model)::bigint,
  'logical bytes are those of the weights')
  FROM storage_report(:model) WHERE state = 'live';
SELECT rollback_model(:model) \g /dev/null
SELECT backup_model(:model, 'kept') \g /dev/null
SELECT is_empty(format('SELECT wrong_figures(%s)', :model), 'rolled back, backed up: figures');
SELECT is((SELECT sum(drop_backup(revision_id)) FROM model_revisions WHERE model_id = :model AND state =
  'backup')::bigint > 30000, true, 'dropping backups frees bytes');
SELECT is_empty(format('SELECT wrong_figures(%s)', :model), 'figures');
SELECT is(count(*), 1::bigint, 'of what is left') FROM storage_report(:model);
SELECT is(count(*), 1::bigint, 'storage_report() by name') FROM storage_report('little');

-- Weights too wide for a page are in TOAST, as they are
SELECT import_gguf(gguf(ARRAY[ROW('wide.weight', '{4096,30}', 0, zeros(4096 * 30 * 4))::tensor]), 'wide') AS wide \gset
SELECT ok(toast_bytes >= logical_bytes AND table_bytes < toast_bytes, 'TOAST, not compressed')
  FROM storage_report(:wide);
SELECT is_empty(format('SELECT wrong_figures(%s)', :wide), 'figures');
SELECT is(attstorage::text, 'e', 'atom_data is EXTERNAL') FROM pg_attribute WHERE attrelid = live_partition(:wide)
  AND attname = 'atom_data';
SELECT ok(physical_bytes < 1.3 * logical_bytes, 'and costs little more than its bytes') FROM storage_report(:wide);

SELECT import_gguf(gguf(NULL), 'empty') AS empty \gset
SELECT results_eq(format('SELECT atoms, logical_bytes FROM storage_report(%s)', :empty),
  'VALUES (0::bigint, 0::bigint)', 'a model of nothing');
SELECT is(human_bytes(bytes), expected, bytes || ' bytes') FROM (VALUES (0::bigint, '0 B'), (10239, '10239 B'),
  (10240, '10.0 KiB'), (1048576, '1.00 MiB'), (1610612736, '1.50 GiB'), (-2048, '-2048 B'), (-20480, '-20.0 KiB'),
  (NULL, NULL))
  v (bytes, expected);
SELECT is(human_bytes(1048575), '1024.0 KiB', 'just below a MiB');
SELECT throws_ok('SELECT storage_report(999)', '42704', NULL, 'no such model');
SELECT throws_ok('SELECT storage_report(NULL::int)', '42704', NULL, 'storage_report(NULL)');
SELECT throws_ok('SELECT storage_report(''nobody'')', '42704', NULL, 'no such name');
SELECT is(model_disk_bytes(999), 0::bigint, 'nothing takes nothing');
SELECT is(model_disk_bytes(NULL), 0::bigint, 'model_disk_bytes(NULL)');
SELECT is_empty($$SELECT without_comment('human_bytes', 'model_disk_bytes', 'storage_report')$$,
  'every function has a comment');

SELECT * FROM finish();
ROLLBACK;
