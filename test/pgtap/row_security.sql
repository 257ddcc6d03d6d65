-- Policies on models say which models there are for a role: all others do not exist, for functions and for queries.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/tour.sql
SELECT current_setting('server_version_num')::integer >= 150000 AS testable \gset
\if :testable
SELECT plan(30);
CREATE ROLE security_owner;
CREATE ROLE security_tenant;
SELECT create_store('security_owner') \g /dev/null
SELECT import_gguf(llama_gguf(), 'aaa') AS a, import_gguf(llama_gguf(), 'bbb') AS b \gset
SELECT backup_model(m) FROM unnest(ARRAY[:a, :b]) m \g /dev/null
SELECT max(revision_id) FILTER (WHERE model_id = :a) AS kept_a, max(revision_id) FILTER (WHERE model_id = :b) AS kept_b
  FROM model_revisions \gset
CALL archive_revision(:kept_a);
CALL archive_revision(:kept_b);
CALL quantize_model(:a, 'Q8_0');
CALL quantize_model(:b, 'Q8_0');
CALL svd_compress_model(:a, rank => 3, layer_pattern => 'blk.0.ffn%');
CALL svd_compress_model(:b, rank => 3, layer_pattern => 'blk.0.ffn%');
ANALYZE;
SELECT grant_store('security_tenant', 'reader') \g /dev/null
GRANT SELECT ON ALL TABLES IN SCHEMA lib TO PUBLIC;
SET ROLE security_owner;
SELECT protect_store() \g /dev/null
SELECT lives_ok('SELECT protect_store()', 'protected again');
ALTER TABLE models ENABLE ROW LEVEL SECURITY;
SELECT is(state, '00000', 'the owner sees everything')
  FROM state_as('security_owner', format('SELECT perplexity(%s, ''cat cat cat'', 8)', :b));
SELECT is((state_as('security_tenant', statement)).state, '42704', 'no policy, no model: ' || statement)
  FROM (VALUES ('SELECT perplexity(''aaa'', ''cat cat cat'', 8)')) v (statement);
CREATE POLICY tenant ON models TO security_tenant USING (model_name = 'aaa');
RESET ROLE;

-- What works
CREATE FUNCTION lib.calls(model integer, kept integer) RETURNS text[] LANGUAGE sql RETURN ARRAY[
  format('SELECT perplexity(%s, ''cat cat cat'', 8)', model), format('SELECT generate_text(%s, ''cat'', 2)', model),
  format('SELECT export_gguf(%s)', model), format('SELECT export_safetensors(%s)', model),
  format('SELECT tensor_weights(%s, ''blk.0.attn_q.weight'')', model),
  format('SELECT tensor_weights(%s, ''blk.0.ffn_up.weight'', %s)', model, kept),
  format('SELECT tokenize(%s, ''cat'')', model), format('SELECT count(*) FROM check_model(%s)', model)];
SELECT is((state_as('security_tenant', call)).message, NULL, call) FROM unnest(lib.calls(:a, :kept_a)) call;
SELECT is((state_as('security_tenant', call)).state, '42704', call) FROM unnest(lib.calls(:b, :kept_b)) call;
SET client_min_messages = warning;
SET ROLE security_tenant;
CREATE TEMP TABLE of_hidden AS SELECT * FROM lib.tour('bbb');
CREATE TEMP TABLE of_none AS SELECT * FROM lib.tour('zzz');
RESET ROLE;
SELECT is_empty($$SELECT s.statement, h.result, n.result FROM of_hidden h JOIN of_none n USING (n)
  JOIN lib.statements s USING (n) WHERE replace(h.result, 'bbb', 'zzz') IS DISTINCT FROM n.result$$,
  'for every function a hidden model is one that does not exist');

-- Queries
CREATE FUNCTION lib.seen_rows(model integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE relation regclass; seen bigint;
BEGIN
  FOR relation IN SELECT a.attrelid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                   WHERE c.relnamespace = 'hartonomous'::regnamespace AND c.relkind IN ('r', 'p', 'v')
                     AND a.attname = 'model_id' LOOP
    EXECUTE format('SELECT count(*) FROM %s WHERE model_id = $1', relation) INTO seen USING model;
    IF seen > 0 THEN
      RETURN NEXT relation::text;
    END IF;
  END LOOP;
END $$;
CREATE TABLE lib.all_rows AS SELECT lib.seen_rows(:a) AS relation;
GRANT SELECT ON lib.all_rows TO PUBLIC;
SET ROLE security_tenant;
SELECT is_empty(format('SELECT lib.seen_rows(%s)', :b), 'no table or view shows a row of a hidden model');
SELECT set_eq(format('SELECT lib.seen_rows(%s)', :a), 'SELECT relation FROM lib.all_rows', 'all show those of others');
SELECT is_empty($$SELECT FROM compression_steps s WHERE NOT EXISTS (SELECT FROM compression_runs r WHERE r.run_id =
  s.run_id)$$, 'nor one of its runs');
SELECT is_empty($$SELECT relname FROM pg_class c WHERE relnamespace = 'hartonomous_partitions'::regnamespace
  AND has_table_privilege(oid, 'SELECT')$$, 'partitions are not readable');
SELECT is_empty($$SELECT tablename FROM pg_stats WHERE schemaname IN ('hartonomous', 'hartonomous_partitions')
  AND tablename ~ 'atoms|layers|models'$$, 'statistics show no values');
RESET ROLE;

-- Policies on atoms
SET ROLE security_owner;
CREATE POLICY part ON tensor_atoms AS RESTRICTIVE USING (atom_sequence < 3);
SELECT is((state_as('security_tenant', format('SELECT export_gguf(%s)', :a))).message,
  format('policies of table "tensor_atoms" hide a part of model %s', :a), 'a model of which a part is hidden');
ALTER POLICY part ON tensor_atoms USING (true);
SELECT is((state_as('security_tenant', format('/**/ SELECT export_gguf(%s)', :a))).state, '00000', '... nothing');
ALTER POLICY part ON tensor_atoms USING (false);
SELECT is((state_as('security_tenant', format('/***/ SELECT export_gguf(%s)', :a))).state, '42704', '... everything');
DROP POLICY part ON tensor_atoms;
SELECT grant_store('security_tenant', 'importer') \g /dev/null
SELECT is((state_as('security_tenant', format('CALL quantize_model(%s, ''F32'', requantize => true)', :a))).state,
  '42501',
  'who sees only some models is no operator');
RESET ROLE;
SELECT is_empty($$SELECT without_comment('protect_store', 'is_visible', 'model_visibility')$$,
  'every function has a comment');
\else
SELECT plan(1);
SELECT throws_ok('SELECT protect_store()', '0A000', NULL, 'whose views show everything to everybody');
\endif
SELECT * FROM finish();
ROLLBACK;
