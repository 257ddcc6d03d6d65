-- Backups in the access method columnar. Citus need not be installed: heap under that name shows all but the
-- compression.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT current_setting('server_version_num')::integer >= 150000
       AND NOT EXISTS (SELECT FROM pg_am WHERE amname = 'columnar') AS testable \gset
\if :testable
SELECT plan(20);
\else
SELECT plan(1);
\endif

SELECT import_gguf(llama_gguf(), 'tiny') AS model \gset
SELECT present(:model) AS first \gset
CALL quantize_model(:model, 'Q8_0');
SELECT present(:model) AS second \gset
CREATE TABLE lib.kept AS SELECT md5(to_jsonb(b)::text) AS atom FROM tensor_atoms_backup b WHERE model_id = :model;
CREATE TABLE lib.measured AS SELECT perplexity(:model, repeat('the cat sat. ', 20), 32, :first) AS was;
CREATE FUNCTION lib.method_of(revision integer) RETURNS text LANGUAGE sql
  RETURN (SELECT a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
           WHERE c.oid
           = partition_of((SELECT model_id FROM model_revisions r WHERE r.revision_id = revision), revision));
CREATE FUNCTION lib.indexes_of(revision integer) RETURNS text[] LANGUAGE sql
  RETURN (SELECT array_agg(a.amname::text ORDER BY a.amname)
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
           WHERE i.indrelid = partition_of((SELECT model_id FROM model_revisions r WHERE r.revision_id = revision),
             revision));

SELECT throws_ok(format('CALL archive_revision(%s, access_method => ''brin'')', :first), '22023',
  'atoms are not archived in access method "brin"', 'there is one access method');
\if :testable
SELECT throws_ok(format('CALL archive_revision(%s, access_method => ''columnar'')', :first), '0A000',
  'access method "columnar" does not exist', 'if it is installed');
CREATE ACCESS METHOD columnar TYPE TABLE HANDLER heap_tableam_handler;
SELECT throws_ok(format('CALL archive_revision(%s, access_method => ''columnar'')', :second), '55000',
  format('revision %s is live, not a backup', :second), 'it is for backups');
SELECT lives_ok(format('CALL archive_revision(%s, access_method => ''columnar'')', :first), 'a backup gets it');
SELECT is(method_of(:first), 'columnar', '... and has it');
SELECT is(state, 'backup', '... and stays a backup') FROM model_revisions WHERE revision_id = :first;
SELECT is(indexes_of(:first), '{btree}', '... without spatial indexes');
SELECT set_eq('SELECT md5(to_jsonb(b)::text) FROM tensor_atoms_backup b WHERE model_id = ' || :model,
  'SELECT atom FROM lib.kept', '... with its atoms');
SELECT is(perplexity(:model, repeat('the cat sat. ', 20), 32, :first), was, '... and is read where it is')
  FROM lib.measured;
SELECT is(perplexity(:model, repeat('the cat sat. ', 20), 32, :first), was, '... also a second time') FROM lib.measured;
SELECT is_empty('SELECT * FROM check_model(' || :model || ')', '... and checked');
SELECT lives_ok(format('CALL archive_revision(%s, access_method => ''columnar'')', :first),
  'once more changes nothing');
SELECT lives_ok(format('CALL restore_archived_revision(%s)', :first), 'it is restored');
SELECT is(method_of(:first) || indexes_of(:first)::text, 'heap{btree,gist,gist}', '... to a table with all indexes');
SELECT set_eq('SELECT md5(to_jsonb(b)::text) FROM tensor_atoms_backup b WHERE model_id = ' || :model,
  'SELECT atom FROM lib.kept', '... and its atoms');
CALL archive_revision(:first, access_method => 'columnar');
SELECT is(rollback_model(:model, :first), :first, 'a model is rolled back to it');
SELECT is(method_of(:first) || indexes_of(:first)::text, 'heap{btree,gist,gist}', '... as an ordinary table');
SELECT rollback_model(:model, :second) \g /dev/null
CALL archive_revision(:first, access_method => 'columnar');
SELECT lives_ok(format('CALL archive_revision(%s)', :first), 'it is archived in chunks');
SELECT set_eq('SELECT md5(to_jsonb(b)::text) FROM archived_tensor_atoms b WHERE model_id = ' || :model,
  'SELECT atom FROM lib.kept', '... to the bit');
CALL restore_archived_revision(:first);
CALL archive_revision(:first, access_method => 'columnar');
SELECT ok(drop_backup(:first) > 0, 'it is dropped');
\endif
SELECT * FROM finish();
ROLLBACK;
