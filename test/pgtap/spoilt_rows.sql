-- A number that cannot be right in one row of a table does not keep reports from showing all other rows.
BEGIN;
\ir lib/model_files.sql
SELECT plan(12);
SELECT import_gguf(little_gguf(), 'spoilt') AS spoilt \gset
SELECT import_gguf(little_gguf(2), 'sound') AS sound \gset
CALL prune_by_importance(:spoilt, keep_ratio => 0.9, method => 'rewrite');
CALL svd_compress_model(:spoilt, rank => 2);
SELECT backup_model(:spoilt) \g /dev/null
SELECT add_validation_set('others', 'any text') \g /dev/null
INSERT INTO validation_results (model_id, revision_id, baseline_revision_id, validation_set, text_sha256, kl_divergence,
  seconds)
  SELECT :spoilt, max(r.revision_id), min(r.revision_id), s.validation_set, s.text_sha256, 0.1, 1
    FROM model_revisions r, validation_sets s WHERE r.model_id = :spoilt GROUP BY s.validation_set, s.text_sha256;
INSERT INTO compression_jobs (model_id, procedure, parameters, original_revision_id, state)
  SELECT model_id, 'compress_model', '{"stages": [{"stage": "backup"}]}', current_revision, 'running'
    FROM models WHERE model_id = :spoilt;
INSERT INTO compression_trials (job_id, change, parent_revision_id)
  SELECT job_id, '{"stage": "backup"}', original_revision_id FROM compression_jobs;

SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
 WHERE contype = 'c' AND conrelid = ANY (SELECT to_regclass('hartonomous.' || t) FROM unnest(store_tables()) t)
\gexec

-- The greatest and the least value of every column that holds numbers and is no key, in one row of each table.
CREATE TABLE lib.spoilings AS
  SELECT format('%I.%I = %s', c.relname, a.attname, v.value) AS name,
         format('UPDATE hartonomous.%I SET %I = %L WHERE ctid = (SELECT min(ctid) FROM hartonomous.%1$I %s)', c.relname,
           a.attname, v.value, CASE
           WHEN EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = c.oid AND o.attname = 'model_id')
             THEN 'WHERE model_id = (SELECT min(model_id) FROM hartonomous.models)' ELSE '' END) AS statement
    FROM unnest(store_tables()) t JOIN pg_class c ON c.oid = to_regclass('hartonomous.' || t)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND a.attgenerated = ''
    JOIN (VALUES ('bigint'::regtype, '9223372036854775807'), ('bigint', '-9223372036854775808'),
            ('integer', '2147483647'), ('integer', '-2147483648'), ('double precision', '1.7e308'),
            ('double precision', 'NaN'), ('double precision', '-Infinity')) v (type, value) ON v.type = a.atttypid
   WHERE c.relkind = 'r' AND c.relname <> 'store' AND a.attname !~ '_id$|^current_revision$';
-- Each is undone again. Statements that fail are returned with their error.
CREATE FUNCTION lib.blinded(report text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  spoiling lib.spoilings;
BEGIN
  FOR spoiling IN SELECT * FROM lib.spoilings LOOP
    BEGIN
      EXECUTE spoiling.statement;
      EXECUTE report;
      RAISE EXCEPTION 'done' USING ERRCODE = 'HT001';
    EXCEPTION WHEN SQLSTATE 'HT001' THEN NULL;
      WHEN OTHERS THEN
        RETURN NEXT format('%s: %s %s', spoiling.name, SQLSTATE, SQLERRM);
    END;
  END LOOP;
END
$$;
SELECT cmp_ok(count(*), '>', 60::bigint, 'there are columns to spoil') FROM lib.spoilings;
SELECT is_empty(format('SELECT blinded(%L)', report), 'with one number out of range: ' || report)
  FROM unnest(ARRAY['SELECT count(*) FROM run_progress()', 'SELECT count(*) FROM list_models()',
    'SELECT count(*) FROM check_store()', 'SELECT count(storage_size_gb) FROM compression_backups',
    'SELECT count(*) FROM model_history(''spoilt'')', 'SELECT count(*) FROM model_lineage(''spoilt'')',
    'SELECT count(*) FROM storage_report(''spoilt'')',
    'SELECT count(*) FROM job_progress()', 'SELECT count(*) FROM compression_front(''spoilt'', ''others'')']) report;

UPDATE compression_runs SET bytes_after = NULL;
UPDATE compression_steps SET bytes_after = 9223372036854775807, seconds = 1.7e308;
SELECT results_eq(
  $$SELECT DISTINCT r.bytes_after, r.seconds > 1e289 FROM run_progress('spoilt') r WHERE r.stage <> 'prune'$$,
  $$VALUES (9223372036854775807, true)$$, 'what remains of such a sum is the greatest number');
SELECT is(human_bytes(-9223372036854775808), '-8589934592.00 GiB',
  'the least number of bytes is a text like any other');
SELECT * FROM finish();
ROLLBACK;
