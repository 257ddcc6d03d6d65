-- create_store(), upgrade_store() and the tables they make: owner, rights, membership, comments.
BEGIN;
\ir lib/model_files.sql
SELECT plan(87);

-- Before there is a store

SELECT hasnt_table('hartonomous', 'models', 'the extension itself makes no table');
SELECT throws_ok('SELECT upgrade_store()', '42P01', 'there is no store', 'upgrade_store() without a store');
SELECT throws_ok('SELECT lock_model(1)', '42P01', 'there is no store', 'lock_model() without a store');

CREATE ROLE store_owner;
CREATE ROLE "Odd ""role""";
CREATE ROLE store_stranger;

SELECT is(state || ' ' || message || ' ' || hint,
          '42501 there is no store yet, and role "Odd "role"" may not create it Ask a superuser to run: SELECT '
          'hartonomous.create_store(''"Odd ""role"""'');',
          'a role without CREATE on the schema is told what a superuser has to run')
  FROM state_as('Odd "role"', 'SELECT create_store()');
SELECT is(state, '42501', 'so is its import') FROM state_as('Odd "role"', $$SELECT import_gguf(little_gguf(), 'a')$$);
SELECT is(lib.relations(), NULL, 'neither has left anything');
SELECT throws_ok(statement, '42704', message, 'without a store: ' || statement) FROM (VALUES
  ('SELECT model_id(''no'')', 'model "no" does not exist'), ('SELECT current_revision(1)', 'model 1 does not exist'),
  ('CALL prune_by_importance(''no'', 0.9)', 'model "no" does not exist'),
  ('SELECT rollback_model(1)', 'model 1 does not exist'),
  ('SELECT export_gguf(1)', 'model 1 does not exist')) v (statement, message);

-- Made for somebody

SELECT lives_ok($$SELECT create_store('"Odd ""role"""')$$, 'a store for a role with an odd name');
SELECT set_eq($$SELECT relname::text FROM pg_class WHERE relnamespace = 'hartonomous'::regnamespace AND relkind IN ('r',
  'p')$$,
              'SELECT unnest(store_tables())', 'store_tables() names all tables');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'hartonomous'::regnamespace AND relkind IN ('r',
  'p', 'S')
                   AND pg_get_userbyid(relowner) <> 'Odd "role"'$$, 'all tables and sequences are that role''s');
SELECT is_empty($$SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid =
  c.oid AND d.deptype = 'e'
                   WHERE c.relnamespace = 'hartonomous'::regnamespace$$, 'none is a member of the extension');
SELECT ok(has_schema_privilege('Odd "role"', 'hartonomous_partitions', 'CREATE'), 'the owner may make partitions');
SELECT ok(NOT has_schema_privilege('store_owner', 'hartonomous_partitions', 'CREATE'), 'others may not');
SELECT is_empty($$
  SELECT r.rolname, n.nspname FROM pg_roles r, pg_namespace n
   WHERE n.nspname IN ('hartonomous', 'hartonomous_internal') AND has_schema_privilege(r.oid, n.oid, 'CREATE')
     AND NOT r.rolsuper$$, 'nobody may make anything where the functions are, not even the owner');

-- Idempotent

SELECT lib.relations() AS relations, (SELECT array_agg(oid ORDER BY oid) FROM pg_class WHERE relnamespace =
  'hartonomous'::regnamespace) AS oids \gset
SELECT lives_ok('SELECT create_store()', 'create_store() again');
SELECT lives_ok($$SELECT create_store('store_owner')$$, 'and for another');
SELECT is((SELECT array_agg(oid ORDER BY oid) FROM pg_class WHERE relnamespace = 'hartonomous'::regnamespace),
  :'oids'::oid[],
  'changes nothing');
SELECT is(pg_get_userbyid(relowner)::text, 'Odd "role"', 'not even the owner') FROM pg_class WHERE oid =
  'hartonomous.models'::regclass;
SELECT is((SELECT array_agg(version) FROM store), ARRAY[store_version()], 'the store records its version, once');

-- Who may what

SELECT is((state_as('Odd "role"', statement)).state, '00000', 'the owner may: ' || statement)
  FROM unnest(ARRAY[$$SELECT import_gguf(little_gguf(), 'mine')$$, 'CALL prune_by_importance(1, keep_ratio => 0.5)',
                    $$CALL quantize_model(1, 'Q8_0')$$, 'SELECT rollback_model(1)', 'SELECT rollback_model(1)',
                    'SELECT export_gguf(1)']) statement;
SELECT ok(export_gguf(1) = little_gguf(), 'and is back where it began');

SELECT is((state_as('store_stranger', statement)).state, '42501', 'a stranger may not: ' || statement)
  FROM unnest(ARRAY['SELECT count(*) FROM models', 'SELECT export_gguf(1)', $$SELECT import_gguf(little_gguf(), 'b')$$,
                    'CALL prune_by_importance(1, keep_ratio => 0.5)', $$CALL quantize_model(1, 'Q8_0')$$,
                    'SELECT rollback_model(1, 2)', 'SELECT drop_backup(2)', 'SELECT storage_report(1)',
                    'SELECT lock_model(1)']) statement;

GRANT "Odd ""role""" TO store_owner;
SELECT is((state_as('store_owner', statement)).state, '00000', 'a member of the owner may: ' || statement)
  FROM unnest(ARRAY[$$SELECT import_gguf(little_gguf(2), 'of a member')$$,
    'CALL prune_by_importance(2, keep_ratio => 0.9)',
    $$CALL quantize_model(2, 'Q8_0')$$, 'SELECT backup_model(2)',
    'SELECT rollback_model(2, (SELECT min(revision_id) FROM model_revisions WHERE model_id = 2))'])
                      statement;
SELECT ok(export_gguf(2) = little_gguf(2), 'and is back where it began');
SELECT is_empty(
  $$SELECT relname FROM pg_class WHERE relnamespace = 'hartonomous_partitions'::regnamespace AND relkind IN ('r',
    'p')
                   AND pg_get_userbyid(relowner) <> 'Odd "role"'$$,
                     'the partitions are the owner''s, whoever made them');

GRANT SELECT ON tensor_atoms, tensor_atoms_backup, models, model_layers, model_revisions,
  svd_compressed_layers, calibration_stats, calibration_grams TO store_stranger;
SELECT lives_ok('CALL prune_by_importance(1, keep_ratio => 0.5)', 'a stage makes a new partition');
SELECT lives_ok('CALL prune_by_importance(1, keep_ratio => 0.2)', 'and another');
SELECT is((state_as('store_stranger', statement)).state, '00000', 'a reader may: ' || statement)
  FROM unnest(ARRAY['SELECT count(*) FROM tensor_atoms', 'SELECT export_gguf(1)', 'SELECT * FROM storage_report(1)',
                    $$SELECT * FROM quantize_plan(1, 'Q8_0')$$, 'SELECT * FROM prune_plan(1, 0.5)']) statement;
SELECT is((state_as('store_stranger', statement)).state, '42501', 'a reader may not: ' || statement)
  FROM unnest(ARRAY['CALL prune_by_importance(1, keep_ratio => 0.5)', 'DELETE FROM tensor_atoms',
    'SELECT rollback_model(1)',
    'SELECT lock_model(1)', $$SELECT create_atoms_partition(1, 99)$$,
    $$SELECT count(*) FROM import_file(little_gguf(), 'gguf', 'null', 'null', 'null', '', 'x', 1)$$,
    $$SELECT copy_atoms('hartonomous_partitions.tensor_atoms_m1_r1', 'hartonomous_partitions.tensor_atoms_m1_r1', 1,
      1)$$]) statement;

-- Versions

SELECT is(upgrade_store(), 0, 'nothing to upgrade');
UPDATE store SET version = store_version() + 1;
SELECT throws_ok('SELECT upgrade_store()', '55000', format('the tables of the store have version %s, this version of '
    'the extension works with version %s', store_version() + 1, store_version()), 'a store newer than the code');
SELECT throws_ok($$SELECT import_gguf(little_gguf(3), 'c')$$, '55000', NULL, 'is not written to');
UPDATE store SET version = store_version() - 1;
SELECT throws_ok($$SELECT import_gguf(little_gguf(3), 'c')$$, '55000', NULL, 'an older one is not written to');
SELECT is((state_as(CURRENT_USER, $$CALL quantize_model(1, 'Q8_0')$$)).hint,
  'Ask a superuser to run: SELECT hartonomous.upgrade_store();', '... the hint says what to do');
ALTER TABLE models DROP COLUMN source_sha256;
DROP VIEW compression_backups;
DROP TABLE svd_spectra, ooda_hypotheses;
DROP INDEX tensor_atoms_geometry;
ALTER TABLE compression_steps DROP CONSTRAINT compression_steps_state_check, ALTER state DROP DEFAULT,
  ADD CONSTRAINT compression_steps_state_check CHECK (state <> '');
SELECT ok(upgrade_store() > 0, 'upgrade_store() makes what is missing');
SELECT is(upgrade_store(), 0, '... once');
SELECT is(CURRENT_USER::text, SESSION_USER::text, '... and leaves the role as it was');
SELECT is_empty(
  $$SELECT relname FROM pg_class WHERE relnamespace = 'hartonomous'::regnamespace AND relkind IN ('r', 'p',
    'v') AND pg_get_userbyid(relowner) <> 'Odd "role"'$$, '... all of it belongs to the owner');
SELECT results_eq($$SELECT pg_get_constraintdef(oid) LIKE '%waiting%' FROM pg_constraint
  WHERE conname = 'compression_steps_state_check'$$, $$VALUES (true)$$, '... a constraint is the present one');
SELECT is((state_as('Odd "role"', 'SELECT upgrade_store()')).state, '42501', 'the owner may not create tables there');
SELECT is((state_as('store_stranger', 'SELECT upgrade_store()')).state, '42501', 'nor may a stranger');

-- The library and the SQL. A session compares them again when functions change.
SELECT extversion AS present FROM pg_extension WHERE extname = 'hartonomous' \gset
SELECT is(hartonomous.version(), :'present', 'version()');
UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'hartonomous';
CREATE FUNCTION lib.change() RETURNS void LANGUAGE sql RETURN NULL;
SELECT throws_ok('SELECT hartonomous.version()', '55000',
  format('extension hartonomous has version 0.0.9, its library has version %s',
    :'present'), 'SQL of another version than the library');
SELECT throws_ok($$SELECT quantize('{1,2}'::real[], 'F32')$$, '55000', NULL, '... any function says so');
SELECT lives_ok('SELECT sum(length(atom_data::text)) FROM tensor_atoms', '... but what is stored can be dumped');
UPDATE pg_extension SET extversion = :'present' WHERE extname = 'hartonomous';
SELECT is(hartonomous.version(), :'present', 'as soon as they agree, all is well');

-- Names

SELECT is(model_id('mine'), 1, 'model_id()');
SELECT throws_ok($$SELECT model_id('no')$$, '42704', 'model "no" does not exist', 'model_id() of no model');
SELECT is(model_id(NULL), NULL, 'model_id(NULL)');
SELECT is(current_revision(1), present(1), 'current_revision()');
SELECT throws_ok('SELECT current_revision(99)', '42704', 'model 99 does not exist', 'current_revision() of no model');
SELECT throws_ok('SELECT current_revision(NULL)', '42704', 'model NULL does not exist', 'current_revision(NULL)');

-- Documentation

SELECT is_empty($$SELECT without_comment('store_version', 'create_store', 'store_tables', 'comment_store',
  'upgrade_store', 'version', 'version_of_tables', 'store_exists', 'store_views', 'create_tables', 'store_steps',
  'abandon_older_runs', 'record_version', 'column_definition', 'table_parts', 'missing_parts', 'make_parts',
  'own_store', 'readers_of_all',
  'model_id', 'current_revision')$$, 'every function has a comment');
SELECT is_empty($$SELECT t FROM unnest(store_tables()) t WHERE obj_description(format('hartonomous.%I', t)::regclass,
  'pg_class') IS NULL$$,
                'every table has a comment');

-- A role that may make the store, and a user of an old search_path

CREATE SCHEMA traps;
CREATE TABLE traps.models (model_id integer);
CREATE TABLE traps.pg_extension (extname name);
SET LOCAL search_path = traps, hartonomous, hartonomous_internal, lib, public;
SELECT is(import_gguf(little_gguf(4), 'trapped'), 3, 'a search_path full of traps is not looked at');
SELECT lives_ok('CALL prune_by_importance(''trapped'', keep_ratio => 0.5)', 'for procedures either');

SELECT * FROM finish();
ROLLBACK;
