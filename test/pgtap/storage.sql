-- What a model takes on disk: the figures against PostgreSQL's own and against sums made here.
BEGIN;
\ir lib/model_files.sql
SELECT plan(54);
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
     <> (SELECT array_agg('hartonomous_partitions.' || relname ORDER BY relname) FROM pg_class WHERE relnamespace =
       'hartonomous_partitions'::regnamespace AND relkind = 'r'
       AND relname LIKE 'tensor\_atoms\_m' || model || '\_%') THEN
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
SELECT is(array_agg(bits_per_weight ORDER BY revision_id, atoms),
  ARRAY[NULL, round(33952 * 8 / 9424.0, 3), round(13864 * 8 / 9424.0, 3)],
  'bits per weight: 9424 weights; none for removed atoms')
  FROM storage_report(:model);

-- What dropping each part frees, tried out.
CREATE FUNCTION lib.wrong_promises(model integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  r record;
  freed bigint;
BEGIN
  FOR r IN SELECT freed_by, sum(physical_bytes) AS promised FROM storage_report(model) WHERE state <> 'statistics'
    GROUP BY 1 LOOP
    BEGIN
      freed := model_disk_bytes(model);
      EXECUTE r.freed_by;
      freed := freed - model_disk_bytes(model);
      RAISE SQLSTATE 'ROLLB';
    EXCEPTION WHEN SQLSTATE 'ROLLB' THEN
      -- Deleting the model frees its backups as well.
      IF freed < r.promised OR freed > r.promised AND r.freed_by NOT LIKE '%delete_model%' THEN
        RETURN NEXT format('%s: %s, not %s', r.freed_by, freed, r.promised);
      END IF;
    END;
  END LOOP;
END $$;
SELECT is_empty(format('SELECT wrong_promises(%s)', :model), 'what drops each part frees as many bytes as are shown');
SELECT is(array_agg(freed_by ORDER BY revision_id, atoms),
  ARRAY['SELECT hartonomous.drop_backup(1), hartonomous.drop_backup(2)',
    'SELECT hartonomous.drop_backup(1), hartonomous.drop_backup(2)',
    format('SELECT hartonomous.delete_model(%s)', :model)],
  'and reads so') FROM storage_report(:model);
SELECT rollback_model(:model) \g /dev/null
SELECT is_empty(format('SELECT wrong_promises(%s)', :model), 'the same after a rollback');
SELECT backup_model(:model, 'kept') \g /dev/null
SELECT is_empty(format('SELECT wrong_promises(%s)', :model), 'and with a backup');
SELECT is_empty(format('SELECT wrong_figures(%s)', :model), 'rolled back, backed up: figures');
SELECT is((SELECT sum(drop_backup(revision_id)) FROM model_revisions WHERE model_id = :model AND state =
  'backup')::bigint > 30000, true, 'dropping backups frees bytes');
SELECT is_empty(format('SELECT wrong_figures(%s)', :model), 'figures');
SELECT is(count(*), 1::bigint, 'of what is left') FROM storage_report(:model);
SELECT is(count(*), 1::bigint, 'storage_report() by name') FROM storage_report('little');

-- What was measured of a model
SELECT is(count(*), 0::bigint, 'nothing was measured yet') FROM storage_report(:model) WHERE state = 'statistics';
INSERT INTO calibration_sets (calibration_set, text) VALUES ('a''b', 'text');
INSERT INTO sensitivities (model_id, revision_id, calibration_set, layer_id, method, format, relative_error)
  SELECT :model, present(:model), 'a''b', layer_id, 'plain', 'Q4_K', 0.1 FROM model_layers WHERE model_id = :model;
INSERT INTO atom_usage_stats (model_id, tensor_atom_id, usage_count, last_used, mean_energy)
  SELECT :model, tensor_atom_id, 1, now(), 1 FROM tensor_atoms WHERE model_id = :model;
SELECT results_eq(format($q$SELECT revision_id, stage, table_name, physical_bytes, freed_by FROM storage_report(%s)
  WHERE state = 'statistics'$q$, :model), format($q$VALUES
  (%2$s, 'a''b', 'hartonomous.sensitivities',
    (SELECT sum(28 + 4 + 4 + 4 + 8 + 6 + 5 + 8 + 8) FROM model_layers WHERE model_id = %1$s)::bigint,
    'DELETE FROM hartonomous.sensitivities WHERE model_id = %1$s AND revision_id = %2$s '
    'AND calibration_set = ''a''''b'''),
  (NULL, NULL, 'hartonomous.atom_usage_stats',
    (SELECT sum(28 + 4 + 8 + 8 + 8 + 8) FROM tensor_atoms WHERE model_id = %1$s)::bigint,
    'DELETE FROM hartonomous.atom_usage_stats WHERE model_id = %1$s')$q$, :model, present(:model)),
  'statistics have rows, too');
SELECT lives_ok(freed_by, 'this deletes them') FROM storage_report(:model) WHERE state = 'statistics';
SELECT is(count(*), 0::bigint, 'nothing is left of them') FROM storage_report(:model) WHERE state = 'statistics';

-- For people
SELECT results_eq(
  format(
    'SELECT what, atoms, bits_per_weight, weights, ratio, freed_by FROM storage_summary(%s) WHERE what !~ ''kept''',
    :model),
  format(
    $q$SELECT 'live, revision ' || revision_id || ', prune', atoms, bits_per_weight,
      lpad(pg_size_pretty(logical_bytes), 10),
           round(physical_bytes::numeric / logical_bytes, 2), freed_by FROM storage_report(%1$s) WHERE state = 'live'
    UNION ALL SELECT 'total', NULL, NULL, lpad(pg_size_pretty(sum(logical_bytes)), 10),
           round(sum(physical_bytes) / sum(logical_bytes), 2), 'SELECT hartonomous.delete_model(%1$s)'
           FROM storage_report(%1$s)$q$, :model),
  'storage_summary(): the parts and their sum');
SELECT is(lpad(pg_size_pretty(model_disk_bytes(:model)), 10), on_disk, 'in PostgreSQL''s units')
  FROM storage_summary(:model)
  WHERE what = 'total';
SELECT throws_ok('SELECT storage_summary(999)', '42704', NULL, 'storage_summary() of no model');

-- What a stage is going to write, and a disk that is too small for it: no disk has so many bytes.
SELECT begin_run(:model, 'later', 'copy', '{"a": 1}', NULL) AS run \gset
SELECT ok(bytes_to_write(:run, NULL) BETWEEN 0.99 * physical_bytes AND 1.01 * physical_bytes,
  'a copy writes what is there')
  FROM storage_report(:model) WHERE state = 'live';
UPDATE compression_steps SET state = 'done' WHERE run_id = :run;
SELECT is(bytes_to_write(:run, NULL), 0::numeric, 'all steps done: nothing is left to write');
SELECT min(layer_id) AS boasted FROM model_layers \gset
CREATE FUNCTION lib.too_large() RETURNS tensor_plan[] LANGUAGE sql STABLE
  RETURN (
    SELECT array_agg(
      ROW(layer_id, layer_name, 'quantize', '{"format": "F32"}', 1, 1, 1, 1000000000000000, NULL, NULL)::tensor_plan)
            FROM (SELECT * FROM model_layers ORDER BY layer_id LIMIT 1) l);
SELECT lives_ok(format('SELECT begin_run(%s, ''boast'', ''rewrite'', ''{}'', too_large())', :model),
  'a plan that says more than is possible is not believed');
UPDATE model_layers SET parameter_count = 1000000000000000 WHERE layer_id = :boasted;
SELECT throws_like(format('SELECT begin_run(%s, ''grow'', ''rewrite'', ''{}'', too_large())', :model),
  'stage "grow" needs about 909 TB of disk space, and tablespace "pg_default" has % left', 'a stage that does not fit');
SELECT throws_ok(format('SELECT begin_run(%s, ''grow'', ''rewrite'', ''{}'', too_large())', :model), '53100', NULL,
  '... is refused');
SET LOCAL hartonomous.check_disk_space = off;
SELECT lives_ok(format('SELECT begin_run(%s, ''grow'', ''rewrite'', ''{}'', too_large())', :model),
  '... unless nobody asks');
SET LOCAL hartonomous.check_disk_space = ON;
SELECT ok(free_bytes_of_tablespace(0) > 0, 'the disk has some space');
SELECT is(free_bytes_of_tablespace((SELECT max(oid::bigint) + 1 FROM pg_tablespace)::oid), NULL,
  'no such tablespace, no space');
SELECT is(free_bytes_of_relation(0), 0::bigint, 'no such table, nothing free');

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
SELECT is_empty($$SELECT without_comment('human_bytes', 'model_disk_bytes', 'storage_report', 'storage_summary')$$,
  'every function has a comment');

SELECT * FROM finish();
ROLLBACK;
