-- The archive stores weights once, whichever revisions and models have them, says what that saves, and drops them with
-- the last atoms that have them.
BEGIN;
\ir lib/model_files.sql
SELECT plan(41);

-- Signatures and numbers
SELECT unnest(ARRAY[
         is(sharing_signature(w), sharing_signature(w || w), 'the signature is of the set of weights'),
         is(cardinality(sharing_signature(w)), 8, '... and has eight numbers'),
         ok(sharing_signature(w[1:3]) <@ sharing_signature(w[1:4]), '... of few weights one for each'),
         ok(sharing_signature(w) && sharing_signature(w[5:]), '... of a part of them at least one in common'),
         ok(NOT sharing_signature(w[1:20]) && sharing_signature(w[21:]), '... of others none')])
  FROM (SELECT array_agg(quantize(wave(64, n), 'F32')) AS w FROM generate_series(1, 40) n) w;
SELECT is(sharing_signature('{}'), '{}', 'no weights, no numbers');
SELECT is(sharing_signature(NULL), NULL, 'NULL of NULL');
SELECT throws_ok($$SELECT sharing_signature('{NULL}')$$, '22004', NULL, 'weights are not NULL');
SELECT is(chunk_find_weights(archive_weights(w[2:]), w[1:3] || w[2]), '{0,1,2,1}', 'weights are found by their bits')
  FROM (SELECT array_agg(quantize(wave(64, n), 'F32')) AS w FROM generate_series(1, 3) n) w;
SELECT is(chunk_find_weights(archive_weights(ARRAY[quantize('{0,0}'::real[], 'F16')]),
    ARRAY[quantize('{0,0}'::real[], 'BF16')]),
  '{0}', '... of the same format');
SELECT is(chunk_find_weights(archive_weights('{F32[0]:}'), '{}'), '{}', 'nothing is found for nothing');
SELECT throws_ok($$SELECT chunk_find_weights('\x00', '{F32[0]:}')$$, 'XX001', 'damaged chunk of an archive',
  'nothing is found in what is no chunk');

-- Revisions: 1 import, 2 copy, 3 every third row of it pruned, 4 quantized (live)
CREATE FUNCTION lib.tiny_gguf() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW('a.weight', '{256,40}', 0, waves(40, 256, 1))::tensor,
                    ROW('n.weight', '{32}', 0, waves(1, 32, 1))::tensor]);
SELECT import_gguf(tiny_gguf(), 'tiny') AS model \gset
SELECT present(:model) AS first \gset
SELECT backup_model(:model) AS second \gset
CALL prune_by_importance(:model, keep_ratio => 0.7, method => 'rewrite');
SELECT present(:model) AS third \gset
CALL quantize_model(:model, 'Q8_0');
CREATE TABLE lib.kept AS
  SELECT revision_id, md5(to_jsonb(b)::text) AS atom FROM tensor_atoms_backup b WHERE model_id = :model;
CALL archive_revision(:first);
SELECT archived_bytes(:model) AS alone \gset
SELECT count(*)::integer AS chunks FROM archived_weights \gset
SELECT is(saved_bytes, 0::bigint, 'one revision shares nothing') FROM archive_report();
CALL archive_revision(:second);
SELECT is((SELECT count(*)::integer FROM archived_weights), :chunks, 'a copy has no weights of its own');
CALL archive_revision(:third);
SELECT is((SELECT count(*)::integer FROM archived_weights), :chunks, '... nor has what others were pruned from');
SELECT ok(bool_and(atom_number IS NOT NULL), 'which has numbers of atoms instead')
  FROM tensor_atoms_archive c WHERE revision_id = :third AND atoms > 1;
SELECT ok(archived_bytes(:model) < 1.5 * :alone, 'three revisions take little more than one');
SELECT is((SELECT sum(saved_bytes) > 0.4 * sum(shared_bytes) FROM archive_report()), true, 'the report says so');
SELECT set_eq('SELECT revision_id, md5(to_jsonb(v)::text) FROM archived_tensor_atoms v', 'SELECT * FROM lib.kept',
  'each shows what its atoms were');

CREATE TABLE lib.columns AS SELECT revision_id, layer_id, importance_score FROM tensor_atoms_archive;

-- Another model with the same weights and one more tensor
SELECT import_gguf(gguf(ARRAY[ROW('b.weight', '{48,10}', 0, waves(10, 48, 2))::tensor,
                              ROW('c.weight', '{256,40}', 0, waves(40, 256, 1))::tensor]), 'other') AS other \gset
SELECT present(:other) AS fifth \gset
CALL quantize_model(:other, 'Q8_0');
CREATE TABLE lib.others AS SELECT md5(to_jsonb(b)::text) AS atom FROM tensor_atoms_backup b WHERE model_id = :other;
CALL archive_revision(:fifth);
SELECT is((SELECT count(*)::integer FROM archived_weights), :chunks + 1, 'another model stores what it alone has');
SELECT is((SELECT array_agg(DISTINCT revision_id) FROM tensor_atoms_archive c WHERE weights_hash IN (
             SELECT weights_hash FROM tensor_atoms_archive WHERE model_id = :other)),
  ARRAY[:first, :second, :third, :fifth], '... and shares the rest');
SELECT archived_bytes(:other) AS own \gset

-- Importance, chunk by chunk
SELECT is(chunk_summary(archive_reals('{1,NULL,4,-2}'))::text, '(3,1,18,-2,4)', 'the summary of a column');
SELECT is(chunk_summary(archive_reals('{NULL}'))::text, '(0,,,,)', '... without values');
SELECT is(chunk_summary(archive_reals('{NaN,1}'))::text, '(2,NaN,NaN,1,NaN)', '... with what is no number');
SELECT is(chunk_summary(NULL)::text, NULL, '... of no column');
SELECT throws_ok($$SELECT chunk_summary(archive_integers('{1}'))$$, 'XX001', 'damaged chunk of an archive',
  '... of another kind of column');
UPDATE tensor_atoms_archive SET importance_score = archive_reals((SELECT array_agg(nullif(n, 3)) FROM generate_series(1,
  atoms) n)) WHERE model_id = :model AND revision_id = :third;
INSERT INTO tensor_atoms_archive
  SELECT model_id, revision_id, layer_id, first_sequence + 100000, atoms, logical_bytes, atom_sequence, x, y,
         archive_reals(array_fill(7::real, ARRAY[atoms])), tensor_name, quantized_position, planned_format,
         weights_hash,
         atom_number FROM tensor_atoms_archive WHERE revision_id = :third;
UPDATE model_revisions SET archived_atoms = 2 * archived_atoms WHERE revision_id = :third;
CREATE TABLE lib.expected AS
  SELECT revision_id, layer_id, count(*) AS atoms, count(importance_score) AS measured,
         round(avg(importance_score)::numeric, 6) AS mean, round(stddev_pop(importance_score)::numeric, 6) AS deviation,
         min(importance_score) AS minimum, max(importance_score) AS maximum
    FROM archived_tensor_atoms WHERE model_id = :model GROUP BY revision_id, layer_id;
SELECT set_eq(
  'SELECT revision_id, layer_id, atoms, measured, round(mean::numeric, 6) AS m, round(deviation::numeric, 6) AS d, '
              'minimum, maximum FROM archived_importance(' || :model || ')', 'SELECT * FROM lib.expected',
  'archived_importance() returns what aggregates of the view do, also of several chunks');
SELECT is((SELECT count(*)::integer FROM archived_importance(:model, :third)), 2, '... of one revision');
SELECT throws_ok(format('SELECT * FROM archived_importance(%s, present(%1$s))', :model), '55000', NULL,
  '... not of one that is not archived');
SELECT throws_ok('SELECT * FROM archived_importance(0)', '42704', NULL, '... nor of no model');
SELECT throws_ok('SELECT * FROM archived_importance(NULL)', '42704', NULL, '... nor of NULL');
DELETE FROM tensor_atoms_archive WHERE first_sequence >= 100000;
SELECT throws_ok(format('SELECT * FROM archived_importance(%s, %s)', :model, :third), 'XX001', NULL,
  '... nor of an archive of which a part is missing');
UPDATE model_revisions SET archived_atoms = archived_atoms / 2 WHERE revision_id = :third;
UPDATE tensor_atoms_archive c SET importance_score = k.importance_score FROM lib.columns k
 WHERE (k.revision_id, k.layer_id) = (c.revision_id, c.layer_id) AND c.model_id = :model;

SELECT is(drop_backup(:first) > 0, true, 'dropping a revision frees what it alone has');
SELECT set_eq('SELECT revision_id, md5(to_jsonb(v)::text) FROM archived_tensor_atoms v WHERE model_id = ' || :model,
  'SELECT * FROM lib.kept WHERE revision_id <> ' || :first, '... and not what others share');
CALL restore_archived_revision(:third);
SELECT set_eq('SELECT revision_id, md5(to_jsonb(b)::text) FROM tensor_atoms_backup b WHERE model_id = ' || :model,
  'SELECT * FROM lib.kept WHERE revision_id = ' || :third, 'one of several is restored');
SELECT delete_model(:model) AS freed \gset
SELECT set_eq('SELECT md5(to_jsonb(v)::text) FROM archived_tensor_atoms v', 'SELECT * FROM lib.others',
  'a model that is deleted leaves the atoms of others');
SELECT ok(archived_bytes(:other) > :own, '... to which they belong alone now');
SELECT is_empty('SELECT FROM archived_weights w WHERE NOT EXISTS '
                '(SELECT FROM tensor_atoms_archive c WHERE c.weights_hash = w.weights_hash)', '... and nothing else');
SELECT throws_ok('DELETE FROM archived_weights', '23503', NULL, 'weights of atoms cannot be deleted');
DELETE FROM models WHERE model_id = :other;
SELECT is_empty('SELECT FROM archived_weights', 'the last atoms take their weights along');
SELECT is_empty('SELECT * FROM archive_report()', 'of nothing there is no report');
SELECT * FROM finish();
ROLLBACK;
