-- Who may do what: the tables of the store and nearly all functions, called by a reader, an importer, and a stranger. A
-- new function has to be classified here: in lib/tour.sql, which calls it, or in the list of what is not called.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/tour.sql
SELECT plan(34);
CREATE ROLE matrix_owner;
CREATE ROLE matrix_reader;
CREATE ROLE matrix_operator;
CREATE ROLE matrix_importer;
CREATE ROLE matrix_stranger;
SELECT create_store() \g /dev/null
GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA lib TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA lib TO PUBLIC;

-- Granting
SELECT throws_ok(statement, state, message, statement) FROM (VALUES
  ($$SELECT grant_store('matrix_reader', 'king')$$, '22023', 'there are no rights of "king"'),
  ($$SELECT grant_store('matrix_reader', NULL)$$, '22023', 'there are no rights of "NULL"'),
  ($$SELECT revoke_store('matrix_reader', 'Reader')$$, '22023', 'there are no rights of "Reader"'),
  ($$SELECT grant_store(NULL, 'reader')$$, '42704', 'role NULL does not exist'),
  ($$SELECT set_store_owner(4711::oid::regrole)$$, '42704', 'role 4711 does not exist'),
  ($$SELECT grant_store('matrix_operator', 'operator')$$, '55000',
    'a store of a superuser has no operators, who would act with the rights of its owner')
) v (statement, state, message);
SELECT import_gguf(llama_gguf(), 'seen') AS seen \gset
SELECT backup_model(:seen) \g /dev/null
SELECT is((state_as('matrix_reader', $$SELECT set_store_owner('matrix_reader')$$)).state, '42501',
  'nobody takes over a store');
SELECT lives_ok($$SELECT set_store_owner('matrix_owner')$$, 'a store is handed over');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace::regnamespace::text ~ '^hartonomous(_partitions)?$'
  AND relkind IN ('r', 'p', 'S', 'v') AND pg_get_userbyid(relowner) <> 'matrix_owner'$$, '... with everything in it');
SELECT is((state_as('matrix_owner', $$CALL quantize_model('seen', 'Q8_0')$$)).message, NULL,
  '... and works for its owner');
SELECT lives_ok($$SELECT set_store_owner('matrix_owner')$$, '... which may own it already');
SELECT is_empty($$SELECT r.rolname FROM pg_roles r
    WHERE has_function_privilege(r.oid, owners_function(), 'EXECUTE') <> (r.rolsuper OR r.rolname = 'matrix_owner')$$,
  'only superusers and the owner may execute the function that writes atoms');
SELECT is((state_as('matrix_owner', format('SELECT grant_store(%L, %L)', role, what))).message, NULL,
    'the owner grants: ' || what)
  FROM (VALUES ('matrix_reader', 'reader'), ('matrix_operator', 'operator'), ('matrix_importer', 'importer'))
    v (role, what);

-- Tables
CREATE TABLE lib.table_rights AS
  SELECT r.role, c.oid::regclass AS relation, p.privilege
    FROM (VALUES ('matrix_reader'), ('matrix_operator'), ('matrix_importer'), ('matrix_stranger')) r (role)
    CROSS JOIN pg_class c
    CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p (privilege)
   WHERE c.relnamespace::regnamespace::text ~ '^hartonomous(_partitions)?$' AND c.relkind IN ('r', 'p', 'v')
     AND has_table_privilege(r.role, c.oid, p.privilege);
SELECT set_eq('SELECT role, relation::text, privilege FROM lib.table_rights', $$
  SELECT r.role, t.name::text, 'SELECT'
    FROM unnest('{matrix_reader,matrix_operator,matrix_importer}'::text[]) r (role),
         unnest(store_tables() || '{compression_backups,archived_tensor_atoms}'::text[]) t (name)
  UNION ALL VALUES ('matrix_operator', 'models', 'UPDATE'), ('matrix_importer', 'models', 'UPDATE'),
                   ('matrix_importer', 'models', 'INSERT')$$,
  'readers read all tables and views, but not the partitions directly; nobody else has any right');

SELECT is((state_as('matrix_owner', statement)).state, '42501', 'not even the owner: ' || statement) FROM (VALUES
  ('CREATE FUNCTION hartonomous.rollback_model(text) RETURNS integer LANGUAGE sql AS ''SELECT 1'''),
  ('ALTER TABLE hartonomous.models RENAME TO models_table')) v (statement);

-- Functions: the tour calls each, or it is listed here, as what needs a server, or reads and writes as others do.
SELECT set_eq($$SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
   WHERE d.deptype = 'e' AND p.pronamespace = 'hartonomous'::regnamespace
     AND NOT EXISTS (SELECT FROM lib.statements s WHERE s.statement ~ ('\m' || p.proname || '\M'))$$,
  string_to_array(
    'archive_model archive_report archive_revision archived_importance create_store decode_point dequantize '
    'dequantize_geometry '
    'dequantize_geometry_q8 dequantize_q4k dequantize_q8 detokenize dot drop_backup drop_store encode_point '
    'export_gguf_large_object export_safetensors_large_object extract_by_experts file_sha256 file_tensors formats '
    'follow_publisher generate_text_spatial generate_tokens geometry_plan grant_store hilbert_index human_bytes '
    'in_geometry '
    'in_region levenshtein_distance levenshtein_similarity matvec measure_singular_values mixtures ooda_act '
    'ooda_analyze ooda_approve ooda_cycle ooda_hypothesize ooda_learn ooda_reject plan_from protect_store '
    'quantize_factors '
    'quantize_geometry quantize_geometry_q8 quantize_q4k quantize_q8 reconstruct_from_svd region_plan '
    'merge_adapter merge_plan relative_error release_model_cache remove_blocks remove_neurons restore_archived_model '
    'restore_archived_revision revision_recipe revoke_store schedule_compression schedule_ooda schedule_retention '
    'scheduled_jobs set_store_owner store_rights store_tables svd_check svd_decompose svd_error svd_reconstruct '
    'svd_residual tokenize trim_vocabulary unschedule upgrade_store version weights weights_bytes weights_count '
    'weights_format weights_rms weights_slice', ' ')::name[], 'functions that are not tried here');
SET client_min_messages = warning;
SET ROLE matrix_importer;
CREATE TEMP TABLE by_importer AS SELECT * FROM lib.tour('mine');
SET ROLE matrix_reader;
CREATE TEMP TABLE by_reader AS SELECT * FROM lib.tour('seen');
RESET ROLE;
SELECT results_eq($$SELECT s.statement, t.result FROM by_importer t JOIN lib.statements s USING (n)
    WHERE t.result ~ '^[0-9A-Z]{5} '$$,
  format($$VALUES ('SELECT install_tsql_names(''tsql_'' || %%L) IS NOT NULL',
    '42501 permission denied for database %s')$$, current_database()),
  'an importer may do everything in the store, and makes no schema');
SELECT is_empty($$SELECT s.statement, t.result FROM by_reader t JOIN lib.statements s USING (n)
  WHERE t.result !~ '^(42704|42710|55000) '  -- what others have not made for the reader
    AND (coalesce(t.result, '') ~ '^42501 ')
    <> (s.statement ~ ('\m(add_(validation|calibration)_set|extract_\w+|quantize_model|'
      'dynamic_student_extraction|backup_model|measure_sensitivity|quantize_model_geometry|apply_retention|'
      'prune_region|'
      'install_tsql_names|prune_by_importance|rollback_model|record_usage|compress_model|collect_calibration|run_plan|'
      'recompute_positions|clamp_coordinates|drop_orphans|delete_model|rename_model|import_importance|abandon_run|'
      'svd_compress_model|assign_mixed_precision)\(|lib\.score'))$$, 'a reader may do all that writes nothing');
SELECT is_empty($$SELECT s.statement, t.result FROM by_reader t JOIN lib.statements s USING (n)
  WHERE t.result ~ '^[0-9A-Z]{5} ' AND t.result !~ '^(42501|42710|42704|55000) '$$, '... and gets no other error');
SELECT is((state_as('matrix_operator', statement)).state, state, 'an operator: ' || statement) FROM (VALUES
  ('CALL quantize_model(''seen'', ''F32'', requantize => true)', '00000'),
  ('SELECT rollback_model(''seen'')', '00000'),
  ('SELECT import_gguf(llama_gguf(), ''other'')', '42501'), ('SELECT drop_store(true)', '42501'),
  ('DROP TABLE hartonomous.tensor_atoms', '42501'),
  ('DELETE FROM hartonomous.tensor_atoms', '42501'), ('CREATE TABLE hartonomous_partitions.mine ()', '42501'),
  ('ALTER TABLE hartonomous.models DISABLE TRIGGER ALL', '42501')) v (statement, state);

-- Taking away
SELECT is((state_as('matrix_owner', $$SELECT revoke_store('matrix_importer', 'operator')$$)).message, NULL,
  'an importer who is no operator any more');
SELECT set_eq($$SELECT privilege FROM store_rights() r
    WHERE has_table_privilege('matrix_importer', ('hartonomous.' || quote_ident(r.relation))::regclass, r.privilege)$$,
  $$VALUES ('SELECT')$$, '... is a reader');
SELECT revoke_store('matrix_importer', 'reader') \g /dev/null
SELECT is_empty($$SELECT privilege FROM store_rights() r
    WHERE has_table_privilege('matrix_importer', ('hartonomous.' || quote_ident(r.relation))::regclass, r.privilege)$$,
  '... and then nothing');
SELECT is_empty(
  $$SELECT without_comment('store_rights', 'grant_store', 'revoke_store', 'set_store_owner', 'check_rights',
    'store_owner_is_superuser')$$, 'every function has a comment');
SELECT diag(format('rights: %s roles x functions, %s roles x privileges on tables',
  (SELECT count(*) FROM by_importer) + (SELECT count(*) FROM by_reader), (SELECT count(*) FROM pg_class c
    WHERE c.relnamespace::regnamespace::text ~ '^hartonomous(_partitions)?$' AND c.relkind IN ('r', 'p', 'v')) * 28));
SELECT * FROM finish();
ROLLBACK;
