-- Provenance: what is recorded of a revision, the lineage of a model, and the keys of exported files, which a model
-- that is imported again keeps as its history.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/wide_model.sql
SELECT plan(77);
CREATE FUNCTION lib.keys(file bytea) RETURNS TABLE (key text, type text, value jsonb) LANGUAGE sql STABLE
AS $$ SELECT substr(k.kv ->> 'key', 13), k.kv ->> 'type', k.kv -> 'value'
        FROM jsonb_array_elements(file_metadata(file, 'gguf') -> 'kv') k (kv)
       WHERE k.kv ->> 'key' LIKE 'hartonomous.%' $$;
CREATE FUNCTION lib.key(file bytea, name text) RETURNS jsonb LANGUAGE sql STABLE
  RETURN (SELECT k.value FROM lib.keys(file) k WHERE k.key = name);
CREATE FUNCTION lib.json_key(file bytea, name text) RETURNS jsonb LANGUAGE sql STABLE
  RETURN (lib.key(file, name) #>> '{}')::jsonb;
CREATE FUNCTION lib.stages(model regmodel) RETURNS text LANGUAGE sql STABLE
AS $$ SELECT string_agg(l.stage || CASE WHEN l.in_store THEN '' ELSE '*' END, ' ' ORDER BY l.n)
        FROM model_lineage(model) WITH ORDINALITY l (model_name, revision_id, stage, parameters, bytes, bits_per_weight,
          metrics, calibration_texts, validation_texts, seconds, extension_version, created_at, in_store, n) $$;
CREATE FUNCTION lib.calibration_text() RETURNS text LANGUAGE sql IMMUTABLE
  RETURN left(repeat('the cat sat;a dog ran.', 40), 700);
CREATE FUNCTION lib.validation_text() RETURNS text LANGUAGE sql IMMUTABLE
  RETURN left(repeat('one fish swam?no bird sang!', 20), 500);

-- What a revision records
SELECT import_gguf(wide_gguf(), 'första') AS m \gset
SELECT present(:m) AS r1 \gset
SELECT add_calibration_set('katter', calibration_text()) \g /dev/null
SELECT add_validation_set('fiskar', validation_text()) \g /dev/null
CALL collect_calibration(:m, 'katter', n_ctx => 64);
CALL quantize_model(:m, 'Q8_0', method => 'imatrix', calibration_set => 'katter');
SELECT present(:m) AS r2 \gset
SELECT is(calibration_texts, jsonb_build_object('katter', encode(sha256(calibration_text()::bytea), 'hex')),
  'a revision records the hash of the text by which it was calibrated') FROM model_revisions WHERE revision_id = :r2;
SELECT is(calibration_texts, '{}', 'none if it was not') FROM model_revisions WHERE revision_id = :r1;
SELECT is(count(*), 2::bigint, 'each says which version made it, and how long that took') FROM model_revisions
 WHERE extension_version = (SELECT extversion FROM pg_extension WHERE extname = 'hartonomous') AND seconds > 0;
SELECT is(r.seconds, sum(s.seconds), 'that of a run is the time of its steps')
  FROM model_revisions r JOIN compression_runs c USING (revision_id) JOIN compression_steps s USING (run_id)
 WHERE revision_id = :r2 GROUP BY r.seconds;
CALL prune_by_importance(:m, keep_ratio => 0.95, method => 'in_place');
SELECT present(:m) AS r3 \gset
SELECT ok(seconds > 0 AND atom_count > 0 AND extension_version IS NOT NULL, 'so does one that was made in place')
  FROM model_revisions WHERE revision_id = :r3;
SELECT backup_model(:m) AS copy \gset
SELECT ok(seconds > 0 AND atom_count > 0 AND extension_version IS NOT NULL AND state = 'backup', 'and a copy')
  FROM model_revisions WHERE revision_id = :copy;
CALL run_plan(:m, 'by hand', ARRAY[ROW(NULL, 'output_norm.weight', 'copy', '{}', NULL, NULL, NULL, NULL, NULL,
  NULL)::tensor_plan, ROW(NULL, 'blk.0.attn_q.weight', 'quantize',
    format('{"format": "Q4_0", "method": "imatrix", "calibration_set": "katter", "calibration_revision": %s}',
      :r1)::jsonb,
    NULL, NULL, NULL, NULL, NULL, NULL)::tensor_plan]);
SELECT is(calibration_texts, jsonb_build_object('katter', encode(sha256(calibration_text()::bytea), 'hex')),
  'of a plan, the texts that its operations name') FROM model_revisions WHERE revision_id = present(:m);
SELECT rollback_model(:m, :r3) \g /dev/null
SELECT perplexity AS before FROM validate_model_accuracy(:m, 'fiskar', revision => :r1, n_ctx => 64) \gset
SELECT kl_divergence AS loss FROM validate_model_accuracy(:m, 'fiskar', :r1, 64) \gset

-- The lineage
SELECT results_eq(format('SELECT model_name, revision_id, stage, in_store FROM model_lineage(%s)', :m),
  format($$VALUES ('första', %s, 'import', true), ('första', %s, 'quantize', true), ('första', %s, 'prune', true)$$,
    :r1, :r2, :r3), 'one row per state, from the import to the live revision');
SELECT results_eq(format('SELECT bytes, extension_version, seconds, created_at FROM model_lineage(%s)', :m),
  format('SELECT logical_bytes, extension_version, seconds, created_at FROM model_revisions WHERE revision_id IN (%s)
    ORDER BY revision_id', concat_ws(',', :r1, :r2, :r3)), 'with what the revision records');
SELECT is((SELECT bits_per_weight FROM model_lineage(:m) WHERE revision_id = :r1), 32.00, 'bits per weight of F32');
SELECT is(parameters, jsonb_build_object('source_sha256', encode(sha256(wide_gguf()), 'hex')),
  'of the import, the hash of the file') FROM model_lineage(:m) WHERE stage = 'import';
SELECT is(parameters ->> 'format', 'Q8_0', 'of a stage, its parameters') FROM model_lineage(:m)
 WHERE stage = 'quantize';
SELECT is((metrics -> 'fiskar' ->> 'perplexity')::float8, :before::float8, 'the metrics before') FROM model_lineage(:m)
 WHERE revision_id = :r1;
SELECT is((metrics -> 'fiskar' ->> 'kl_divergence')::float8, :loss::float8, 'and after') FROM model_lineage(:m)
 WHERE revision_id = :r3;
SELECT is(array_agg(validation_texts ->> 'fiskar' ORDER BY revision_id),
  ARRAY[encode(sha256(validation_text()::bytea), 'hex'), NULL, encode(sha256(validation_text()::bytea), 'hex')],
  'and the hash of the text on which they were measured') FROM model_lineage(:m);
SELECT throws_ok('SELECT * FROM model_lineage(''nobody'')', '42704', NULL, 'the lineage of nobody');
SELECT throws_ok('SELECT * FROM model_lineage(NULL::int)', '42704', NULL, 'of NULL');
SELECT drop_backup(:r2) \g /dev/null
SELECT is(stages('första'), 'import quantize prune', 'a dropped state stays');
DELETE FROM calibration_sets;
SELECT is(calibration_texts ->> 'katter', encode(sha256(calibration_text()::bytea), 'hex'),
  'and so does the hash of a calibration set that was deleted') FROM model_lineage(:m) WHERE stage = 'quantize';
CREATE ROLE lineage_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO lineage_reader;
SELECT is((state_as('lineage_reader', format('SELECT * FROM model_lineage(%s)', :m))).state, '00000',
  'readers can see it');
SELECT is((state_as('lineage_reader', format('SELECT export_gguf(%s, true)', :m))).state, '00000',
  'and export with provenance');

-- Exports without
SELECT export_gguf(:m) AS plain, export_gguf(:m, true) AS told \gset
SELECT is_empty(format('SELECT * FROM keys(%L)', :'plain'), 'nothing is written unless it is asked for');
SELECT is(export_gguf(:m, NULL::boolean), NULL, 'NULL gives NULL');

-- The keys
SELECT results_eq(format('SELECT key, type FROM keys(%L) ORDER BY key COLLATE "C"', :'told'),
  $$VALUES ('calibration.sha256', 'array'), ('lineage', 'string'), ('metrics', 'string'), ('recipe', 'string'),
    ('source.sha256', 'string'), ('validation.sha256', 'array'), ('version', 'string')$$, 'the keys and their types');
SELECT is(key(:'told', 'version') #>> '{}', (SELECT extversion FROM pg_extension WHERE extname = 'hartonomous'),
  'the version that exports');
SELECT is(key(:'told', 'source.sha256') #>> '{}', encode(sha256(wide_gguf()), 'hex'), 'the file it came from');
SELECT is(key(:'told', 'calibration.sha256'), jsonb_build_array(encode(sha256(calibration_text()::bytea), 'hex')),
  'the texts of calibration');
SELECT is(key(:'told', 'validation.sha256'), jsonb_build_array(encode(sha256(validation_text()::bytea), 'hex')),
  'and of validation');
SELECT is(json_key(:'told', 'recipe'), revision_recipe(:r3), 'the recipe');
SELECT is((json_key(:'told', 'metrics') -> 'fiskar' ->> 'kl_divergence')::float8, :loss::float8, 'the metrics');
SELECT is(json_key(:'told', 'lineage'), (SELECT jsonb_agg(to_jsonb(l) - 'in_store') FROM model_lineage(:m) l),
  'the lineage');
SELECT is(substr(:'told'::bytea, length(:'told'::bytea) - 1000),
  substr(:'plain'::bytea, length(:'plain'::bytea) - 1000),
  'the weights are the same');
SELECT export_gguf_large_object(:m, true) AS lo \gset
SELECT ok(lo_get(:lo) = :'told'::bytea, 'a large object has them, too');
\if :has_directory
SELECT is(export_gguf(:m, server_path('told.gguf'), true), length(:'told'::bytea)::bigint, 'and a file');
SELECT ok(pg_read_binary_file(server_path('told.gguf')) = :'told'::bytea, 'with the same bytes');
\else
SELECT skip('no directory of the server', 2);
\endif

-- Imported again
SELECT import_gguf(:'told'::bytea, 'again') AS again \gset
SELECT ok(export_gguf(:again) = :'told'::bytea, 'a file with provenance is exported byte for byte');
SELECT is(stages('again'), 'import* quantize* prune* import', 'its lineage goes on from that of the file');
SELECT results_eq(format('SELECT * FROM model_lineage(%s) LIMIT 3', :again),
  format('SELECT model_name, revision_id, stage, parameters, bytes, bits_per_weight, metrics, calibration_texts,
    validation_texts, seconds, extension_version, created_at, false FROM model_lineage(%s)', :m),
  'nothing of it is lost');
SELECT backup_model('again') AS copy \gset
SELECT rollback_model('again', :copy) \g /dev/null
SELECT ok(export_gguf(:again) = :'told'::bytea, 'a copy is not a change');
SELECT rollback_model('again', (SELECT min(revision_id) FROM model_history('again'))) \g /dev/null
CALL quantize_model('again', 'Q4_0', requantize => true);
SELECT is_empty(format('SELECT * FROM keys(export_gguf(%s))', :again),
  'once it was changed, what the file said of itself is left out');
SELECT is(count(*), count(DISTINCT key), 'with provenance, each key is there once')
  FROM keys(export_gguf(:again, true));
SELECT is(jsonb_path_query_array(json_key(export_gguf(:again, true), 'lineage'), '$.stage'),
  '["import", "quantize", "prune", "import", "quantize"]', 'the lineage is appended to');
SELECT is(json_key(export_gguf(:again, true), 'recipe'), revision_recipe(:r3) || revision_recipe(present(:again)),
  'so is the recipe');
SELECT is(key(export_gguf(:again, true), 'source.sha256') #>> '{}', encode(sha256(wide_gguf()), 'hex'),
  'and the source is the first of all');
SELECT ok(export_gguf(import_gguf(export_gguf(:again, true), 'third')) = export_gguf(:again, true), 'and so on');

-- Students
SELECT extract_by_layers('again', 1, new_model_name => 'student') AS student \gset
SELECT is(stages('student'), 'import* quantize* prune* import quantize student', 'the ancestors of a student');
SELECT is_empty('SELECT * FROM keys(export_gguf(''student''))', 'which has not what was said of its parent');
SELECT jsonb_agg(to_jsonb(l) - 'in_store') AS lineage FROM model_lineage('student') l \gset
SELECT extract_by_layers('student', 1, new_model_name => 'grandchild') AS grandchild \gset
SELECT json_key(export_gguf('grandchild', true), 'recipe') AS recipe \gset
SELECT delete_model('again') \g /dev/null
SELECT is((SELECT jsonb_agg(to_jsonb(l) - 'in_store') FROM model_lineage('student') l), :'lineage',
  'the lineage outlives the parent');
SELECT is(stages('student'), 'import* quantize* prune* import* quantize* student', 'though it is recorded only');
SELECT delete_model('student') \g /dev/null
SELECT is(stages('grandchild'), 'import* quantize* prune* import* quantize* student* student',
  'a student of a student keeps both');
SELECT is(json_key(export_gguf('grandchild', true), 'recipe'), :'recipe', 'and the recipe');
SELECT is(jsonb_path_query_array(:'recipe', '$.stage'), '["quantize", "prune", "quantize", "student", "student"]',
  'in which students are steps');
DELETE FROM models WHERE model_id = :m;
SELECT extract_by_layers('third', 1, new_model_name => 'orphan') \g /dev/null
DELETE FROM models WHERE model_name = 'third';
SELECT is(stages('orphan'), 'import* quantize* prune* import* quantize* student',
  'of a parent that was deleted by hand, what its file said remains');

-- safetensors
SELECT import_safetensors(safetensors(ARRAY[ROW('a', 'F32', '{7,33}', waves(7, 33, 1)),
  ROW('b', 'F32', '{4,40}', waves(4, 40, 2))]::st_tensor[],
  '{"format":"pt","hartonomous.other":"x"}'), 'torch') AS torch \gset
CREATE FUNCTION lib.st_metadata(file bytea) RETURNS jsonb LANGUAGE sql STABLE
  RETURN (file_metadata(file, 'safetensors') ->> 'header')::jsonb -> '__metadata__';
SELECT export_safetensors(:torch) AS plain, export_safetensors(:torch, true) AS told \gset
SELECT is(st_metadata(:'plain'), '{"format": "pt", "hartonomous.other": "x"}', 'safetensors are as they were');
SELECT is((SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(st_metadata(:'told')) k),
  '{format,hartonomous.lineage,hartonomous.source.sha256,hartonomous.version}',
  'with provenance, __metadata__ has its keys in place of all others with that prefix');
SELECT is((st_metadata(:'told') ->> 'hartonomous.lineage')::jsonb -> 0 ->> 'model_name', 'torch', 'as texts');
SELECT import_safetensors(:'told'::bytea, 'torch again') AS torch_again \gset
SELECT ok(export_safetensors('torch again') = :'told'::bytea, 'which are imported and exported as they are');
SELECT is(stages('torch again'), 'import* import', 'and become the lineage');
CALL prune_by_importance('torch again', keep_ratio => 0.5);
SELECT is(st_metadata(export_safetensors('torch again')), '{"format": "pt"}',
  'a change removes them, and nothing else');
SELECT is(stages('torch again'), 'import* import prune', 'but no history');
SELECT export_safetensors_large_object('torch again', true) AS lo \gset
SELECT ok(lo_get(:lo) = export_safetensors('torch again', true), 'to a large object');

-- Files whose keys are of odd types or shapes
CREATE FUNCTION lib.odd(value bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE odd text := 'odd ' || md5(value); file bytea := llama_gguf(kv => ARRAY[value]);
BEGIN
  PERFORM import_gguf(file, odd);
  IF export_gguf(odd) <> file THEN RETURN 'not as it was'; END IF;
  RETURN stages(odd) || ' ' || count(*) || ' '
      || jsonb_array_length((max(k.value #>> '{}') FILTER (WHERE k.key = 'lineage'))::jsonb)
      FROM keys(export_gguf(odd, true)) k;
END $$;
SELECT is(odd(value), expected, what) FROM (VALUES
  ('a number', kv_u32('hartonomous.lineage', 7), 'import 3 1'),
  ('no UTF-8', kv('hartonomous.lineage', 8, le(2, 8) || '\xff00'), 'import 3 1'),
  ('no JSON', kv_text('hartonomous.lineage', '[{'), 'import 3 1'),
  ('JSON that jsonb cannot hold', kv_text('hartonomous.lineage', '["\u0000"]'), 'import 3 1'),
  ('JSON of a million levels', kv_text('hartonomous.lineage', repeat('[', 1000000)), 'import 3 1'),
  ('no array', kv_text('hartonomous.lineage', '{"stage": "import"}'), 'import 3 1'),
  ('an empty one', kv_text('hartonomous.lineage', '[]'), 'import 3 1'),
  ('another key of ours', kv_text('hartonomous.unheard.of', 'x'), 'import 3 1'),
  ('a recipe of a megabyte', kv_text('hartonomous.recipe',
    '[{"stage": "prune", "note": "' || repeat('é', 524288) || '"}]'), 'import 4 1')) v (what, value, expected);
SELECT import_gguf(llama_gguf(kv => ARRAY[kv_text('hartonomous.lineage',
  '[1, null, {"stage": 5, "bytes": "many"}, {"stage": "import", "bytes": 9e99}, {"created_at": "2026-02-30"},
    {"stage": "prune", "metrics": 3, "calibration_texts": {"x": "no hash"}, "unknown": 1}]')]), 'mixed') \g /dev/null
SELECT results_eq('SELECT stage, parameters, in_store FROM model_lineage(''mixed'') WHERE NOT in_store',
  $$VALUES (NULL, '1'::jsonb, false), (NULL, 'null', false), (NULL, '{"stage": 5, "bytes": "many"}', false),
    (NULL, '{"stage": "import", "bytes": 9e99}', false), (NULL, '{"created_at": "2026-02-30"}', false),
    ('prune', NULL, false)$$, 'entries that are no states are shown as they are');

-- Rows that were edited by hand
SELECT import_gguf(wide_gguf(), 'edited') AS edited \gset
CALL prune_by_importance('edited', keep_ratio => 0.9, method => 'rewrite');
CREATE FUNCTION lib.edited(change text, OUT said text) LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    EXECUTE 'UPDATE model_revisions SET ' || change || ' WHERE model_id = model_id(''edited'')';
    said := length(export_gguf('edited', true)) > 0 AND count(*) > 0 FROM model_lineage('edited');
    RAISE EXCEPTION 'done' USING ERRCODE = 'HT001';
  EXCEPTION WHEN SQLSTATE 'HT001' THEN NULL;
  END;
END $$;
SELECT is(array_agg(DISTINCT edited(c.name || ' = ' || quote_literal(v.value))), '{true}', 'any jsonb in ' || c.name)
  FROM unnest('{parameters,metrics,calibration_texts,history_of_parent}'::text[]) c (name),
    unnest('{5,"[1]","{}","null","\"x\"","{\"parent_revision\": 1.5}","{\"parent_revision\": \"a\"}",
      "{\"lineage\": 3}","{\"lineage\": [[]]}"}'::text[]) v (value)
 GROUP BY c.name;
SELECT is(edited('parent_revision_id = (SELECT max(revision_id) FROM model_revisions)'), 'true', 'a circle of parents');

SELECT is_empty($$SELECT without_comment('model_lineage', 'lineage_of', 'history_of', 'history_before',
  'recorded_history', 'recorded_state', 'provenance_of', 'gguf_keys', 'results_of', 'text_hashes', 'array_from_text',
  'array_or_empty', 'leave_history', 'is_as_imported', 'provenance_prefix', 'ancestors_of', 'parent_of_revision',
  'complete_revision', 'used_calibration_texts', 'replaced_provenance', 'version', 'summable_seconds')$$,
  'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
