-- Space on disk that holds nothing: dead rows, and what VACUUM has made of them. Not in a transaction, because VACUUM
-- cannot be in one, and because dead rows are counted when they are committed.
BEGIN;
\ir lib/model_files.sql
SELECT create_store() \g /dev/null
COMMIT;
SET search_path = lib, hartonomous, hartonomous_internal, hartonomous_partitions, public;
SET client_min_messages = warning;
-- Before PostgreSQL 15 nothing tells when the counts of rows have arrived.
SELECT current_setting('server_version_num')::integer < 150000 AS uncounted \gset
\if :uncounted
SELECT plan(1);
SELECT skip('statistics arrive when they like', 1);
SELECT * FROM finish();
\quit
\endif
SELECT plan(9);
SELECT import_gguf(gguf(ARRAY[ROW('blk.0.ffn_up.weight', '{2048,300}', 0, zeros(2048 * 300 * 4))::tensor]),
  'm', 2048) AS model \gset
SELECT live_partition(:model) AS part \gset
ALTER TABLE :part SET (autovacuum_enabled = off, toast.autovacuum_enabled = off);
SELECT pg_stat_force_next_flush() \g /dev/null
SELECT is(dead_rows, 0::bigint, 'no dead rows') FROM storage_report(:model);
SELECT ok(unused_bytes < 0.02 * physical_bytes, 'almost nothing unused') FROM storage_report(:model);

-- 100 of 300 rows of 8 kB.
DELETE FROM tensor_atoms WHERE model_id = :model AND atom_sequence % 3 = 0;
SELECT pg_stat_force_next_flush() \g /dev/null
SELECT is(dead_rows, 100::bigint, 'deleted rows are dead') FROM storage_report(:model);
SELECT ok(unused_bytes BETWEEN 0.3 * physical_bytes AND 0.4 * physical_bytes,
  '... and a third is unused') FROM storage_report(:model);
SELECT is(toast_bytes > logical_bytes * 1.4, true, '... though it is on disk') FROM storage_report(:model);
VACUUM :part;
SELECT pg_stat_force_next_flush() \g /dev/null
SELECT is(dead_rows, 0::bigint, 'vacuumed: no dead rows') FROM storage_report(:model);
SELECT ok(unused_bytes BETWEEN 0.3 * physical_bytes AND 0.4 * physical_bytes, '... but as much unused space')
  FROM storage_report(:model);
SELECT ok(unused ~ '^ *\d+ kB$', 'storage_summary() shows it') FROM storage_summary(:model) WHERE what LIKE 'live%';

-- The next rewriting stage leaves it behind.
CALL quantize_model(:model, 'Q8_0', layer_pattern => '%');
SELECT ok(unused_bytes < 0.05 * physical_bytes, 'a stage writes only what is there') FROM storage_report(:model)
  WHERE state = 'live';
SELECT * FROM finish();
