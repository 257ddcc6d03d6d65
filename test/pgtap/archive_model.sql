-- Archived models: everything that reads a model reads it in the archive, nothing changes it there, and every state of
-- it comes back to the bit, alone or together with the revisions that share its atoms.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(87);
CREATE FUNCTION lib.story() RETURNS text LANGUAGE sql IMMUTABLE
  RETURN left(repeat('the-cat-sat.the-dog-ran,and-the-cow-did-not.', 10), 400);
CREATE FUNCTION lib.failure(statement text, OUT state text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END$$;

-- 1 import - 2 pruned in place - 3 pruned in place again - 4 quantized, of which atoms are removed by hand
SELECT import_gguf(llama_gguf(), 'little') AS model \gset
SELECT present(:model) AS imported \gset
SELECT add_calibration_set('cats', left(story(), 100)) \g /dev/null
SELECT add_validation_set('dogs', 'a text of its own, in which no passage is that of another one, and so on and on')
  \g /dev/null
CALL collect_calibration(:model, 'cats');
CALL prune_by_importance(:model, keep_ratio => 0.9, method => 'in_place');
SELECT present(:model) AS pruned \gset
CALL prune_by_importance(:model, keep_ratio => 0.8, method => 'in_place');
SELECT present(:model) AS smaller \gset

-- What readers say of the model and its revisions.
CREATE FUNCTION lib.seen(model integer, revisions integer[]) RETURNS TABLE (what text, value text)
  LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY
    SELECT 'gguf', md5(export_gguf(model))
    UNION ALL SELECT 'safetensors', md5(export_safetensors(model))
    UNION ALL SELECT 'plan', md5(string_agg(p::text, ',')) FROM export_plan(model, 'gguf') p
    UNION ALL SELECT 'perplexity', perplexity(model, story(), 32)::text
    UNION ALL SELECT 'scores', md5(string_agg(s::text, ',')) FROM score_tokens(model, 'the-cat', 32) s
    UNION ALL SELECT 'text', generate_text(model, 'the', 5)
    UNION ALL SELECT 'perplexity of ' || r, perplexity(model, story(), 32, r)::text FROM unnest(revisions) r
    UNION ALL SELECT 'weights of ' || r, md5(string_agg(tensor_weights(model, l.layer_name, r)::text, ','))
      FROM unnest(revisions) r, model_layers l WHERE l.model_id = model GROUP BY r
    UNION ALL SELECT 'differences to ' || r, md5(string_agg(d::text, ','))
      FROM unnest(revisions) r, diff_revisions(revisions[1], r) d GROUP BY r
    UNION ALL SELECT 'pruning', md5(string_agg(p::text, ',')) FROM prune_plan(model, 0.5) p
    UNION ALL SELECT 'pruning together', md5(string_agg(p::text, ',')) FROM prune_plan(model, 0.5, scope => 'model') p
    UNION ALL SELECT 'quantizing', md5(string_agg(p::text, ',')) FROM quantize_plan(model, 'Q8_0') p
    UNION ALL SELECT 'a region', md5(string_agg(p::text, ',')) FROM region_plan(model, '{0,50,0,50,-10,10}') p
    UNION ALL SELECT 'geometry', md5(string_agg(p::text, ',')) FROM geometry_plan(model) p
    UNION ALL SELECT 'factoring', md5(string_agg(p::text, ',')) FROM svd_plan(model, 4) p
    UNION ALL SELECT 'space', md5(string_agg(s::text, ',')) FROM spatial_statistics(model) s
    UNION ALL SELECT 'nearest', md5(string_agg(n::text, ','))
      FROM nearest_atoms(model, atom_position(50, 50, 0), 7) n
    UNION ALL SELECT 'blocks', md5(string_agg(b::text, ',')) FROM block_influence(model) b
    UNION ALL SELECT 'completeness', md5(string_agg(c::text, ',')) FROM layer_completeness(model) c
    UNION ALL SELECT 'structures', md5(string_agg(s::text, ',')) FROM structure_scores(model, 'neurons') s
    UNION ALL SELECT 'recipe of ' || r, revision_recipe(r)::text FROM unnest(revisions) r
    UNION ALL SELECT 'faults', string_agg(c::text, ',') FROM check_model(model) c;
END$$;
CREATE TABLE lib.before (what text, value text);
CREATE TABLE lib.after (what text, value text);
CREATE FUNCTION lib.unlike_before() RETURNS text[] LANGUAGE sql AS
  'SELECT array_agg(what ORDER BY what) FROM lib.before b FULL JOIN lib.after a USING (what)
    WHERE a.value IS DISTINCT FROM b.value ';
INSERT INTO lib.before SELECT * FROM seen(:model, ARRAY[:imported, :pruned, :smaller]);
SELECT is((SELECT count(*) FROM lib.before WHERE value IS NOT NULL), 29::bigint, 'readers say something');
SELECT is((SELECT value FROM lib.before WHERE what = 'faults'), NULL, '... and find no faults');
SELECT holds(:model) AS held \gset
SELECT logical_bytes AS bytes FROM storage_report(:model) WHERE state = 'live' \gset

SELECT throws_ok('CALL archive_model(0)', '42704', 'model 0 does not exist', 'a model must exist');
SELECT throws_ok('CALL archive_model(NULL)', '42704', 'model NULL does not exist', '... or be given');
SELECT throws_ok('CALL restore_archived_model(0)', '42704', 'model 0 does not exist', 'also to be restored');
SELECT throws_ok(format('CALL archive_model(%s, backups => NULL)', :model), '22004', 'backups cannot be NULL',
  'with or without its backups');
SELECT lives_ok(format('CALL restore_archived_model(%s)', :model), 'what is not archived stays as it is');
SELECT is(holds(:model), :'held', '... to the bit');
SELECT lives_ok(format('CALL archive_model(%s)', :model), 'a model is archived');
SELECT results_eq(format('SELECT revision_id, state FROM model_revisions WHERE model_id = %s ORDER BY 1', :model),
  format($$VALUES (%s, 'archived'), (%s, 'archived'), (%s, 'archived')$$, :imported, :pruned, :smaller),
  'revisions made in place go with it');
SELECT is((SELECT count(*) FROM tensor_atoms) + (SELECT count(*) FROM tensor_atoms_backup), 0::bigint,
  'no atoms are left outside');
SELECT is_empty(format($$SELECT u.r FROM unnest(ARRAY[%s, %s, %s]) u (r) WHERE partition_exists(%s, u.r)$$, :imported,
  :pruned, :smaller, :model), '... nor partitions');
SELECT results_eq(
  format('SELECT revision_id, archived_atoms FROM model_revisions WHERE model_id = %s ORDER BY 1', :model),
  format('SELECT revision_id, count(*) FROM archived_tensor_atoms WHERE model_id = %s GROUP BY 1 ORDER BY 1', :model),
  'it is noted how many atoms of which partition are there');
SELECT results_eq(
  format('SELECT stage, state, steps_done, steps FROM run_progress(%s) ORDER BY run_id DESC LIMIT 1', :model),
  format($$SELECT 'archive', 'completed', count(*), count(*) FROM model_layers WHERE model_id = %s$$, :model),
  'run_progress() shows the run');
INSERT INTO lib.after SELECT * FROM seen(:model, ARRAY[:imported, :pruned, :smaller]);
SELECT is(unlike_before(), NULL, 'readers say what they said before');
SELECT count(*) FROM validate_model_accuracy(:model, 'dogs', n_ctx => 16) \g /dev/null
SELECT is((SELECT count(*) FROM validation_results WHERE model_id = :model), 1::bigint,
  'a measurement of it is stored');
SELECT ok(record_usage(:model, 'the-cat', 16) > 0, 'so is which atoms it used');
SELECT is((SELECT count(*) FROM check_store()), 0::bigint, 'the store has no faults');
SELECT results_eq(format('SELECT revision_id, state, logical_bytes, freed_by FROM storage_report(%s) '
                         'WHERE table_name LIKE ''%%archive'' ORDER BY table_name, atoms DESC LIMIT 1', :model),
  format($$VALUES (%s, 'archived', %s::bigint, 'SELECT hartonomous.delete_model(%s)')$$, :smaller, :bytes, :model),
  'storage_report() has a row for it');
SELECT is((SELECT sum(physical_bytes)::bigint FROM storage_report(:model) WHERE state = 'archived'),
  archived_bytes(:model),
  '... and for the atoms that were removed');
SELECT is((SELECT row(revision_id, backups, physical_bytes) FROM list_models() WHERE model_id = :model),
  row(:smaller::integer, 0::bigint, model_disk_bytes(:model)), 'list_models() lists it');
SELECT lives_ok(format('CALL archive_model(%s)', :model), 'the same call again has nothing to do');

-- Nothing changes it
SELECT results_eq(format('SELECT f.* FROM failure(%L) f', replace(statement, '$m', :'model')),
  $$VALUES ('55000', 'model "little" is archived', 'CALL hartonomous.restore_archived_model(''little'');')$$, statement)
  FROM (VALUES ('CALL quantize_model($m, ''Q8_0'')'), ('CALL prune_by_importance($m, keep_ratio => 0.5)'),
    ('CALL prune_region($m, ''{0,50,0,50,-10,10}'')'), ('CALL svd_compress_model($m, 4)'),
    ('CALL calibrate_importance($m, ''magnitude'')'), ('CALL quantize_model_geometry($m, ''Q8_0'')'),
    ('CALL run_plan($m, ''by hand'', ''{}'')'), ('CALL remove_neurons($m, 0.5)'), ('SELECT backup_model($m)'),
    ('SELECT clamp_coordinates($m)'), ('SELECT recompute_positions($m)'), ('SELECT assign_mixed_precision($m)'),
    ('CALL compress_model($m, target_bits_per_weight => 4)'), ('CALL ooda_cycle($m)'), ('CALL ooda_act($m)'),
    ('SELECT ooda_analyze($m)'), ('SELECT ooda_hypothesize($m)')) v (statement);
SELECT is((SELECT count(*) FROM model_revisions WHERE model_id = :model), 3::bigint, 'none has left a revision');
SELECT throws_ok(format('SELECT drop_backup(%s)', :smaller), '55000',
  format('revision %s is the live one, not a backup', :smaller), 'the live revision is not dropped');
SELECT throws_ok(format('CALL archive_revision(%s)', :pruned), '55000', format('revision %s is archived, not a backup',
  :pruned), 'what is archived is not archived again');

-- Students of it
CREATE FUNCTION lib.students(parent text) RETURNS TABLE (what text, value text) LANGUAGE plpgsql AS $$
DECLARE
  student integer;
BEGIN
  FOR what, student IN
    SELECT 'importance', extract_by_importance(parent, 0.5, 's1') UNION ALL
    SELECT 'region', extract_by_spatial_region(parent, 20, 80, 20, 80, new_model_name => 's2') UNION ALL
    SELECT 'neurons', extract_by_neurons(parent, 0.5, new_model_name => 's3') UNION ALL
    SELECT 'blocks', extract_by_layers(parent, 1, new_model_name => 's4') UNION ALL
    SELECT 'vocabulary', extract_by_vocabulary(parent, 'the-cat', new_model_name => 's5')
  LOOP
    value := md5(export_gguf(student));
    RETURN NEXT;
    PERFORM delete_model(student);
  END LOOP;
END$$;
CREATE TABLE lib.of_archived AS SELECT * FROM students('little');
SELECT is((SELECT count(*) FROM lib.of_archived), 5::bigint, 'students are extracted from it');

-- Back
SELECT lives_ok(format('CALL restore_archived_model(%s)', :model), 'it is restored');
SELECT is(holds(:model), :'held', '... to the bit');
SELECT is_empty('SELECT FROM tensor_atoms_archive UNION ALL SELECT FROM archived_weights', 'the archive is empty');
SELECT is((SELECT array_agg(state ORDER BY revision_id) FROM model_revisions WHERE model_id = :model),
  '{backup,backup,live}', 'states are what they were');
TRUNCATE lib.after;
INSERT INTO lib.after SELECT * FROM seen(:model, ARRAY[:imported, :pruned, :smaller]);
SELECT is(unlike_before(), NULL, 'readers say what they said before');
SELECT set_eq('SELECT * FROM lib.of_archived', $$SELECT * FROM students('little')$$, 'students are the same');

-- Another revision of an archived family becomes live, and the family is restored first
CALL archive_model(:model);
SELECT is(rollback_model(:model, :imported), :imported, 'a rollback to a revision in the same partition');
SELECT is((SELECT array_agg(state ORDER BY revision_id) FROM model_revisions WHERE model_id = :model),
  '{live,backup,backup}', '... restores it');
SELECT is(md5(export_gguf(:model)), md5(llama_gguf()), '... to what was imported');
SELECT rollback_model(:model, :smaller) \g /dev/null
SELECT is(holds(:model), :'held', 'and forth again');

-- Live one archived, backups not, and the other way round
CALL quantize_model(:model, 'Q8_0', pure => true);
SELECT present(:model) AS quantized \gset
SELECT holds(:model) AS quantized_held \gset
DELETE FROM lib.before;
INSERT INTO lib.before SELECT * FROM seen(:model, ARRAY[:imported, :smaller, :quantized]);
CALL archive_model(:model);
SELECT is((SELECT array_agg(state ORDER BY revision_id) FROM model_revisions WHERE model_id = :model),
  '{backup,backup,backup,archived}', 'the live revision alone is archived');
TRUNCATE lib.after;
INSERT INTO lib.after SELECT * FROM seen(:model, ARRAY[:imported, :smaller, :quantized]);
SELECT is(unlike_before(), NULL, 'readers say what they said before');
SELECT is(rollback_model(:model, :smaller), :smaller, 'a backup of it becomes live');
SELECT is((SELECT array_agg(state ORDER BY revision_id) FROM model_revisions WHERE model_id = :model),
  '{backup,backup,live,archived}', '... and the other one stays in the archive');
SELECT is(holds(:model), :'held', '... which is what it was');
CALL archive_model(:model);
SELECT is(rollback_model(:model, :quantized), :quantized, 'from one archived revision to another');
SELECT is(holds(:model), :'quantized_held', '... which is what it was');
SELECT is((SELECT array_agg(state ORDER BY revision_id) FROM model_revisions WHERE model_id = :model),
  '{archived,archived,archived,live}', '... and the one before stays in the archive');
CALL archive_model(:model, backups => true);
SELECT is((SELECT array_agg(DISTINCT state) FROM model_revisions WHERE model_id = :model), '{archived}',
  'a model is archived with its backups');
TRUNCATE lib.after;
INSERT INTO lib.after SELECT * FROM seen(:model, ARRAY[:imported, :smaller, :quantized]);
SELECT is(unlike_before(), NULL, 'readers say what they said before');
SELECT ok(drop_backup(:imported) > 0, 'dropping one of those that share their atoms frees the atoms that only it has');
SELECT is(drop_backup(:smaller), 0::bigint, 'the next has none');
SELECT is((SELECT array_agg(DISTINCT c.revision_id ORDER BY c.revision_id) FROM tensor_atoms_archive c),
  ARRAY[:imported, :smaller, :quantized], '... and not those that the others need');
SELECT is((SELECT count(*) FROM check_model(:model)), 0::bigint, 'the model has no faults');
CALL restore_archived_model(:model, backups => true);
SELECT is((SELECT array_agg(state ORDER BY revision_id) FROM model_revisions WHERE model_id = :model),
  '{dropped,backup,dropped,live}', 'it is restored with its backups');
SELECT is(holds(:model), :'quantized_held', '... as it was');

-- A model of which a part of the archive is missing
CALL archive_model(:model);
SAVEPOINT complete;
DELETE FROM tensor_atoms_archive WHERE layer_id = (SELECT max(layer_id) FROM tensor_atoms_archive);
SELECT throws_like(statement, 'the archive of revision % has % atoms, not %', statement)
  FROM (VALUES ('CALL restore_archived_model(''little'')'), ('SELECT export_gguf(model_id(''little''))'),
    ('SELECT perplexity(''little'', story(), 32)'), ('SELECT * FROM spatial_statistics(''little'')')) v (statement);
ROLLBACK TO complete;

-- Names and deleting
SELECT lives_ok(format('SELECT rename_model(%s, ''cold'')', :model), 'an archived model is renamed');
SELECT is(perplexity('cold', story(), 32)::text, (SELECT value FROM lib.before WHERE what = 'perplexity'),
  '... and read by its new name');
ALTER TABLE tensor_atoms ADD COLUMN note text;
SELECT lives_ok('CALL restore_archived_model(''cold'')', 'it is restored when atoms have got a column');
SELECT throws_ok('CALL archive_model(''cold'')', '0A000', 'atoms with a column "note" cannot be archived',
  'which then cannot be archived');
ALTER TABLE tensor_atoms DROP COLUMN note;
CALL archive_model('cold');
SELECT ok(delete_model('cold') > 0, 'an archived model is deleted');
SELECT is_empty('SELECT FROM tensor_atoms_archive UNION ALL SELECT FROM archived_weights', '... and its archive');
-- What a query reads: blocks of the columns that it names, chunks of the tensors that it asks for.
CREATE FUNCTION lib.blocks_read(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  plan json;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan;
  RETURN (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
END$$;
SELECT import_gguf(gguf(ARRAY[
  ROW('a.weight', '{256,400}', 0, (SELECT string_agg(waves(40, 256, n), '') FROM generate_series(1, 10) n))::tensor,
  ROW('b.weight', '{256,40}', 0, waves(40, 256, 99))::tensor]), 'wide') AS wide \gset
CALL run_plan(:wide, 'by hand',
  ARRAY[ROW(NULL, 'b.weight', 'quantize', '{"format": "Q8_0"}', NULL, NULL, NULL, NULL, NULL,
    NULL)::tensor_plan]);
SELECT revision_recipe(present(:wide)) AS recipe \gset
CALL archive_model(:wide);
SELECT is(revision_recipe(present(:wide)), :'recipe', 'to archive a model is not what it was made by');
SELECT count(*) FROM archived_tensor_atoms WHERE atom_data IS NOT NULL AND x + y IS NOT NULL \g /dev/null
SELECT cmp_ok(4 * blocks_read('SELECT sum(importance_score), sum(x) FROM archived_tensor_atoms'), '<',
  blocks_read('SELECT sum(weights_count(atom_data)) FROM archived_tensor_atoms'),
  'a query that names two columns reads two');
SELECT cmp_ok(2 * blocks_read(format('SELECT sum(weights_count(atom_data)) FROM archived_tensor_atoms '
    'WHERE model_id = %s AND revision_id = %s AND layer_id = %s', :wide, present(:wide), layer(:wide, 'b.weight'))),
  '<',
  blocks_read('SELECT sum(weights_count(atom_data)) FROM archived_tensor_atoms'),
  'one that asks for a tensor reads this one');
UPDATE archived_weights SET atom_data = '\x00' WHERE weights_hash IN (
  SELECT c.weights_hash FROM tensor_atoms_archive c WHERE c.layer_id = layer(:wide, 'a.weight'));
UPDATE tensor_atoms_archive SET x = '\x00' WHERE layer_id = layer(:wide, 'a.weight');
SELECT lives_ok(format('SELECT atom_data, x FROM archived_tensor_atoms WHERE model_id = %s AND layer_id = %s', :wide,
  layer(:wide, 'b.weight')), '... and decompresses no other');
SELECT throws_ok(format('SELECT export_gguf(%s)', :wide), 'XX001', 'damaged chunk of an archive',
  'a model with a damaged chunk is not exported');
SELECT throws_ok(format('CALL restore_archived_model(%s)', :wide), 'XX001', 'damaged chunk of an archive',
  '... nor restored');

-- Rows that are cut into 2048 weights and one. Without the first atom, that of one weight tells no size of the others.
SELECT import_gguf(gguf(ARRAY[ROW('cut.weight', '{2049,300}', 0, zeros(2049 * 300 * 4))::tensor]), 'cut', 2048)
  AS cut \gset
CREATE FUNCTION lib.parts(model integer) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT string_agg(first_sequence || '-' || last_sequence, ' ' ORDER BY first_sequence)
    FROM parts_to_archive(model, live_base(model), layer(model, 'cut.weight')) $$;
SELECT is(parts(:cut), '0-511 512-1023', 'chunks of 4 MiB');
DELETE FROM tensor_atoms WHERE model_id = :cut AND atom_sequence = 0;
SELECT is(parts(:cut), '0-511 512-1023', '... whichever atom is the first');
SELECT * FROM finish();
ROLLBACK;
