-- New partitions of atoms are in the tablespace of tensor_atoms, if it has one of its own. Not in a transaction,
-- because tablespaces cannot be created in one.
BEGIN;
\ir lib/model_files.sql
SELECT create_store() \g /dev/null
CREATE FUNCTION lib.tablespace_of(part regclass) RETURNS text LANGUAGE sql STABLE
  RETURN (SELECT coalesce(string_agg(DISTINCT coalesce(t.spcname, 'none'), ' '), '')
            FROM pg_class c LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
           WHERE c.oid IN (part, (SELECT reltoastrelid FROM pg_class WHERE oid = part)));
COMMIT;
SET search_path = lib, hartonomous, hartonomous_internal, hartonomous_partitions, public;
SET client_min_messages = error;
SET allow_in_place_tablespaces = ON;
DROP TABLESPACE IF EXISTS "Atoms' space";
CREATE TABLESPACE "Atoms' space" LOCATION '';
DROP TABLESPACE IF EXISTS default_atoms;
CREATE TABLESPACE default_atoms LOCATION '';
SELECT plan(12);

SELECT import_gguf(little_gguf(), 'm') AS model \gset
SELECT is(tablespace_of(live_partition(:model)), 'none', 'by default partitions are where the database is');
SET default_tablespace = default_atoms;
CALL quantize_model(:model, 'Q8_0');
SELECT is(tablespace_of(live_partition(:model)), 'default_atoms', 'default_tablespace decides');
ALTER TABLE tensor_atoms SET TABLESPACE "Atoms' space";
SELECT is(tablespace_of(live_partition(:model)), 'default_atoms', 'ALTER TABLE … SET TABLESPACE moves nothing');
CALL prune_by_importance(:model, keep_ratio => 0.5, method => 'rewrite');
SELECT is(tablespace_of(live_partition(:model)), 'Atoms'' space',
  '... but the next stage writes there, not in default_tablespace');
RESET default_tablespace;
SELECT is(tablespace_of(part), 'default_atoms', 'the backup stays where it was')
  FROM (SELECT table_name::regclass AS part FROM storage_report(:model) WHERE state = 'backup' ORDER BY revision_id DESC
    LIMIT 1) b;
SELECT import_gguf(little_gguf(2), 'n') AS other \gset
SELECT is(tablespace_of(live_partition(:other)), 'Atoms'' space', 'imports write there, too');
SELECT backup_model(:other) AS copy \gset
SELECT is(tablespace_of(partition_of(:other, :copy)), 'Atoms'' space', '... and backups by copy');
SELECT rollback_model(:model, (SELECT min(revision_id) FROM model_revisions WHERE model_id = :model)) \g /dev/null
SELECT is(tablespace_of(live_partition(:model)), 'none', 'a rollback moves nothing');
SELECT is((SELECT count(*) FROM check_model(:model)) + (SELECT count(*) FROM check_model(:other)), 0::bigint,
  'check_model() finds nothing wrong');
SELECT ok(free_bytes_of_tablespace(oid) > 0, 'the disk of ' || spcname || ' has space') FROM pg_tablespace
  WHERE spcname IN ('Atoms'' space', 'default_atoms') ORDER BY spcname;
ALTER TABLE tensor_atoms SET TABLESPACE pg_default;
SELECT delete_model(:model) \g /dev/null
SELECT delete_model(:other) \g /dev/null
DROP TABLESPACE "Atoms' space";
SELECT lives_ok('SELECT import_gguf(little_gguf(), ''back'')', 'and back to the default');
DROP TABLESPACE default_atoms;
SELECT * FROM finish();
