-- The archive: what a revision was comes back to the bit, chunks are read column by column, and nothing else passes for
-- a chunk.
BEGIN;
\ir lib/model_files.sql
SELECT plan(58);

-- Chunks
SELECT is(ARRAY(SELECT chunk_integer(archive_integers('{5,NULL,-9223372036854775808,9223372036854775807}'), n)
                  FROM generate_series(1, 4) n),
  '{5,NULL,-9223372036854775808,9223372036854775807}'::bigint[], 'integers come back');
SELECT is(ARRAY(SELECT float4send(chunk_real(archive_reals('{NaN,NULL,-0,Infinity,1e-45}'), n))
                  FROM generate_series(1, 5) n),
  ARRAY(SELECT float4send(x) FROM unnest('{NaN,NULL,-0,Infinity,1e-45}'::real[]) x), 'numbers come back to the bit');
SELECT is(ARRAY(SELECT chunk_text(archive_texts('{blk.0,NULL,"",é,blk.0}'), n) FROM generate_series(1, 5) n),
  '{blk.0,NULL,"",é,blk.0}'::text[], 'texts come back');
SELECT is(ARRAY(SELECT chunk_bytes(archive_bytes('{"\\x00ff",NULL,"\\x"}'), n) FROM generate_series(1, 3) n),
  '{"\\x00ff",NULL,"\\x"}'::bytea[], 'bytes come back');
SELECT is(ARRAY(SELECT chunk_weights(archive_weights(w), n) FROM generate_series(1, 4) n), w, 'weights come back')
  FROM (SELECT ARRAY[quantize(wave(64, 1), 'F32'), quantize(wave(64, 2), 'Q8_0'), 'F32[0]:',
                     quantize(wave(7, 3), 'BF16')]::weights[] AS w) weights;
SELECT is(archive_weights(w), archive_weights(w), 'the same weights give the same chunk')
  FROM (SELECT ARRAY[quantize(wave(64, 1), 'F32')] AS w) weights;
SELECT is(archive_reals(NULL), NULL, 'no array, no chunk');
SELECT throws_ok($$SELECT chunk_integer(archive_integers('{}'), 1)$$, '2202E',
  'an archived column has no value 1', 'a chunk without values has none');
SELECT throws_ok($$SELECT chunk_real(archive_reals('{1}'), n) FROM (VALUES (1), (0)) v (n)$$, '2202E',
  'an archived column has no value 0', 'values count from 1');
SELECT throws_ok($$SELECT archive_weights('{NULL}')$$, '22004', NULL, 'weights are not NULL');
SELECT throws_ok($$SELECT chunk_real('\x', 1)$$, 'XX001', 'damaged chunk of an archive', 'nothing is no chunk');
SELECT throws_ok($$SELECT chunk_real(archive_integers('{1}'), 1)$$, 'XX001', 'damaged chunk of an archive',
  'integers are no numbers');
SELECT throws_ok($$SELECT chunk_real(set_byte(c, 20, get_byte(c, 20) # 1), 1) FROM archive_reals('{1,2,3}') c$$,
  'XX001',
  'damaged chunk of an archive', 'a chunk with a wrong bit is refused');
SELECT throws_ok($$SELECT chunk_real(set_byte(archive_reals('{1}'), 2, 9), 1)$$, '0A000',
  'unknown version 9 of a chunk of an archive', 'so is one of a later version');
CREATE TABLE lib.big AS
  SELECT archive_weights(ARRAY[quantize(array_fill(0::real, '{4194304}'), 'F32')]) AS chunk;
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok('SELECT chunk_weights(chunk, 1) FROM lib.big', '54000', 'chunk of an archive is too large',
  'a chunk that unpacks to more than max_work_memory is refused');
RESET hartonomous.max_work_memory;

-- A tree of revisions: 1 import - 2 copy - 3 quantize - 4 prune in place
CREATE FUNCTION lib.tiny_gguf() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW('a.weight', '{256,40}', 0, waves(40, 256, 1))::tensor, ROW('b.weight', '{48,10}', 0, waves(10,
    48, 2))::tensor, ROW('n.weight', '{32}', 0, waves(1, 32, 1))::tensor]);
SELECT import_gguf(tiny_gguf(), 'tiny') AS model \gset
SELECT present(:model) AS first \gset
UPDATE tensor_atoms SET planned_format = 'Q4_K' WHERE model_id = :model AND atom_sequence % 3 = 0;
UPDATE tensor_atoms SET x = NULL, importance_score = '-0' WHERE model_id = :model AND atom_sequence = 4;
UPDATE tensor_atoms SET quantized_position = quantize_geometry(weights_geometry) WHERE model_id = :model
  AND atom_sequence = 5;
DELETE FROM tensor_atoms WHERE model_id = :model AND atom_sequence = 7;
SELECT holds(:model) AS held \gset
SELECT logical_bytes AS raw FROM storage_report(:model) WHERE revision_id = :first \gset
CALL quantize_model(:model, 'Q8_0');
SELECT present(:model) AS second \gset
CREATE TABLE lib.kept AS SELECT * FROM tensor_atoms_backup WHERE model_id = :model;

SELECT throws_ok('CALL archive_revision(0)', '42704', 'revision 0 does not exist', 'a revision must exist');
SELECT throws_ok('CALL archive_revision(NULL)', '42704', 'revision NULL does not exist', '... or be given');
SELECT throws_ok(format('CALL archive_revision(%s)', :second), '55000', format('revision %s is live, not a backup',
  :second), 'the live revision is not archived');
SELECT throws_ok(format('CALL restore_archived_revision(%s)', :first), '55000',
  format('revision %s is backup, not archived', :first), 'what is not archived is not restored');
CREATE TABLE lib.differences AS SELECT * FROM diff_revisions(:first, :second);
CREATE TABLE lib.whole AS
  SELECT tensor_weights(:model, layer_name, :first)::text AS weights FROM model_layers WHERE model_id = :model;
SELECT lives_ok(format('CALL archive_revision(%s)', :first), 'a backup is archived');
SELECT is(state, 'archived', 'its state says so') FROM model_revisions WHERE revision_id = :first;
SELECT ok(NOT partition_exists(:model, :first), 'its partition is gone');
SELECT set_eq('SELECT fault FROM check_model(' || :model || ')', '{position missing}'::text[],
  'check_model() finds only the position that was removed above');
SELECT set_eq(format($$SELECT layer_id, sum(atoms) FROM tensor_atoms_archive WHERE model_id = %s GROUP BY 1$$, :model),
  'SELECT layer_id, count(*) FROM lib.kept GROUP BY 1', 'chunks have the atoms of one tensor each');
SELECT ok(archived_bytes(:model, :first) < 0.95 * :raw, 'the archive is smaller than the weights');
SELECT is(archived_bytes(:model), archived_bytes(:model, :first), 'it is all that the model has in the archive');
SELECT results_eq(format($$SELECT atoms, logical_bytes, physical_bytes, freed_by FROM storage_report(%s)
                            WHERE state = 'archived'$$, :model),
  format($$SELECT count(*), sum(weights_bytes(k.atom_data))::bigint, archived_bytes(%1$s),
                  'SELECT hartonomous.drop_backup(%2$s)' FROM lib.kept k$$, :model, :first),
  'storage_report() has a row for it');
SELECT ok(model_disk_bytes(:model) > archived_bytes(:model), 'it counts as disk space of the model');

-- Reading in place
SELECT is((SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = 'archived_tensor_atoms'::regclass AND attnum > 0),
  (SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = 'tensor_atoms'::regclass AND attnum > 0 AND NOT attisdropped),
  'the view has the columns of atoms');
SELECT is_empty('(SELECT md5(to_jsonb(k)::text), k.content_hash FROM lib.kept k EXCEPT '
                'SELECT md5(to_jsonb(v)::text), v.content_hash FROM archived_tensor_atoms v)',
  'it shows what the atoms were');
SELECT is((SELECT count(*) FROM archived_tensor_atoms), (SELECT count(*) FROM lib.kept), '... and nothing else');
SELECT is(
  (SELECT float4send(importance_score) FROM archived_tensor_atoms WHERE atom_sequence = 4 ORDER BY layer_id LIMIT 1),
  '\x80000000', '... to the sign of a zero');
CREATE TABLE lib.numbers AS SELECT layer_id, first_sequence, atoms FROM tensor_atoms_archive WHERE model_id = :model;
UPDATE tensor_atoms_archive SET atoms = 2147483647 WHERE model_id = :model;
SET LOCAL temp_file_limit = '1MB';
SELECT throws_ok('SELECT count(atom_data) FROM archived_tensor_atoms', '2202E', NULL,
  'a wrong number of atoms fills no disk');
SELECT throws_ok(format('CALL restore_archived_revision(%s)', :first), 'XX001', NULL, '... and is not restored');
SET LOCAL temp_file_limit = -1;
UPDATE tensor_atoms_archive c SET atoms = n.atoms FROM lib.numbers n
 WHERE c.model_id = :model AND (n.layer_id, n.first_sequence) = (c.layer_id, c.first_sequence);
CREATE TABLE lib.weights AS SELECT * FROM archived_weights;
UPDATE archived_weights SET atom_data = '\x00';
SELECT lives_ok('SELECT avg(importance_score), count(DISTINCT tensor_name) FROM archived_tensor_atoms',
  'columns that a query does not name are not read');
SELECT throws_ok('SELECT atom_data FROM archived_tensor_atoms', 'XX001', 'damaged chunk of an archive',
  'one that it names is');
SELECT throws_ok(format('CALL restore_archived_revision(%s)', :first), 'XX001', 'damaged chunk of an archive',
  'a damaged archive is not restored');
SELECT throws_ok(format('SELECT rollback_model(%s, %s)', :model, :first), 'XX001', 'damaged chunk of an archive',
  '... or rolled back to');
UPDATE archived_weights w SET atom_data = k.atom_data FROM lib.weights k WHERE k.weights_hash = w.weights_hash;

-- Back
SELECT results_eq(format('SELECT * FROM diff_revisions(%s, %s)', :first, :second), 'SELECT * FROM lib.differences',
  'diff_revisions() compares it where it is');
SELECT results_eq(
  format('SELECT tensor_weights(%s, layer_name, %s)::text FROM model_layers ORDER BY 1', :model, :first),
  'SELECT weights FROM lib.whole ORDER BY 1', 'tensor_weights() reads it where it is');
SELECT is(rollback_model(:model, :first), :first, 'a model is rolled back to an archived revision');
SELECT is(holds(:model), :'held', 'which is what it was');
SELECT is_empty('SELECT FROM tensor_atoms_archive', 'nothing of it stays in the archive');
SELECT set_eq('SELECT fault FROM check_model(' || :model || ')', '{position missing}'::text[],
  'check_model() finds only the position that was removed above');
SELECT is(rollback_model(:model, :second), :second, 'and forth again');
CALL archive_revision(:first);
SELECT lives_ok(format('CALL restore_archived_revision(%s)', :first), 'an archived revision becomes a backup again');
SELECT is_empty('(SELECT md5(to_jsonb(k)::text), k.content_hash FROM lib.kept k EXCEPT '
                'SELECT md5(to_jsonb(v)::text), v.content_hash FROM tensor_atoms_backup v)', '... of the same atoms');

-- Revisions that share atoms
CALL prune_by_importance(:model, keep_ratio => 0.9, method => 'in_place');
SELECT present(:model) AS third \gset
SELECT throws_ok(format('CALL archive_revision(%s)', :second), '55000',
  format('revision %s shares its atoms with other revisions', :second), 'atoms of the live revision are not archived');
SELECT rollback_model(:model, :first) \g /dev/null
SELECT drop_backup(:second) \g /dev/null
SELECT lives_ok(format('CALL archive_revision(%s)', :third), 'a revision made in place is archived when it is alone');
SELECT is((SELECT count(*) FROM archived_tensor_atoms),
  (SELECT atom_count FROM model_revisions WHERE revision_id = :third),
  'with its atoms, and without those it has removed');
SELECT throws_ok(format('SELECT rollback_model(%s, %s)', :model, :second), '55000', NULL,
  'a dropped one stays dropped');
SAVEPOINT complete;
DELETE FROM tensor_atoms_archive WHERE layer_id = (SELECT max(layer_id) FROM tensor_atoms_archive);
SELECT throws_like(format('CALL restore_archived_revision(%s)', :third), 'the archive of revision % has % atoms, not %',
  'an archive of which a part is missing is not restored');
SELECT throws_like(format('SELECT count(*) FROM revision_atoms(%s, %s)', :model, :third),
  'the archive of revision % has % atoms, not %', '... nor read');
SELECT is((SELECT array_agg(fault) FROM check_model(:model) WHERE fault = 'missing archive'), '{missing archive}',
  '... and check_model() says that it is missing');
ROLLBACK TO complete;

-- Columns of the user's, dropping
ALTER TABLE tensor_atoms ADD COLUMN note text;
SELECT backup_model(:model) AS copy \gset
SELECT throws_ok(format('CALL archive_revision(%s)', :copy), '0A000', 'atoms with a column "note" cannot be archived',
  'columns of the user''s are not lost');
SELECT ok(drop_backup(:third) > 0, 'dropping an archived revision frees space');
SELECT is_empty('SELECT FROM tensor_atoms_archive', '... and leaves nothing in the archive');
SELECT drop_backup(:copy) \g /dev/null
ALTER TABLE tensor_atoms DROP COLUMN note;
SELECT backup_model(:model) AS copy \gset
SELECT count(*) FROM pg_attribute WHERE attrelid = 'tensor_atoms_backup'::regclass AND attname = 'note'
  AND NOT attisdropped
  \g /dev/null
SELECT delete_model(:model) \g /dev/null
SELECT is_empty('SELECT FROM tensor_atoms_archive', 'a deleted model has no archive');
SELECT * FROM finish();
ROLLBACK;
