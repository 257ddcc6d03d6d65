-- Errors that users make: what they are shown besides the message. Each suite checks the messages of its own subject.
BEGIN;
\ir lib/model_files.sql
SELECT plan(56);
SELECT import_gguf(little_gguf(), 'little') AS m \gset

-- What a client is shown of the statement's error besides its message.
CREATE TYPE lib.shown AS (state text, hint text, context text);
CREATE FUNCTION lib.error_of(statement text) RETURNS lib.shown LANGUAGE plpgsql SET search_path = lib AS $$
DECLARE
  got lib.shown;
BEGIN
  EXECUTE statement;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS got.state = RETURNED_SQLSTATE, got.hint = PG_EXCEPTION_HINT,
    got.context = PG_EXCEPTION_CONTEXT;
  RETURN got;
END $$;

CREATE TABLE lib.mistakes (statement text, state text, hint text, got lib.shown);
INSERT INTO lib.mistakes VALUES
  ('SELECT size_bytes FROM hartonomous.storage_report(''litle'')', '42704', 'There is "little"%'),
  ('CALL hartonomous.quantize_model(''little'', ''Q8_9'')', '22023', '%SELECT format FROM %formats()%'),
  ('CALL hartonomous.quantize_model(''little'', ''Q8_0'', layer_pattern => ''blokk%'')',
    '22023', 'It has, for example, "%'),
  ('CALL hartonomous.prune_by_importance(''little'')', '22023', 'For example keep_ratio => %'),
  ('CALL hartonomous.prune_by_importance(''little'', keep_ratio => 1.5)', '22023', 'keep_ratio is the share %'),
  ('CALL hartonomous.prune_by_importance(''little'', 0.5, scope => ''block'')', '22023', 'Scopes are "tensor"%'),
  ('CALL hartonomous.prune_by_importance(''little'', 0.5, scope => NULL)', '22023', 'Scopes are "tensor"%'),
  ('SELECT hartonomous.svd_plan(''little'')', '22023', 'For example energy => %'),
  ('SELECT hartonomous.rollback_model(''little'')', '55000', '%import the file again%'),
  ('SELECT hartonomous.rollback_model(''little'', 0)', '22023', '%model_history(%)%'),
  ('SELECT hartonomous.drop_backup(0)', '42704', '%model_revisions%'),
  ('SELECT hartonomous.abandon_run(0)', '42704', '%compression_runs%'),
  ('SELECT hartonomous.import_gguf(little_gguf(), ''little'')', '42710', '%rename_model()%'),
  ('SELECT hartonomous.import_gguf(''\x3c68746d6c3e''::bytea, ''page'')', '22P03', 'The download %'),
  ('SELECT hartonomous.export_gguf(''little'', ''model.gguf'')', '42602', 'Give the path from the root%'),
  ('SELECT hartonomous.export_gguf(''little'', ''/'')', '42809', 'Give the path of a file in it.'),
  ('SELECT hartonomous.export_plan(''little'', ''zip'')', '22023', 'Containers are "gguf" and "safetensors".'),
  ('SELECT hartonomous.tensor_weights(''little'', ''none'')', '42704', 'SELECT layer_name FROM %model_layers%'),
  ('SELECT hartonomous.region(5, 1, 0, 1, 0, 1)', '22023', 'For example hartonomous.region(%'),
  ('SELECT hartonomous.dynamic_student_extraction(''little'', ''best'')', '22023', 'Strategies are %'),
  ('SELECT hartonomous.assign_mixed_precision(''little'', ''{}'')', '22023', 'For example [{"pattern"%');
UPDATE lib.mistakes SET got = error_of(statement);
SELECT is((got).state, state, statement) FROM lib.mistakes;
SELECT ok((got).hint LIKE hint, 'hint: ' || statement) FROM lib.mistakes;
-- error_of() stands for somebody's own function.
SELECT is_empty($$SELECT statement, got FROM lib.mistakes
                   WHERE (got).context <> 'PL/pgSQL function error_of(text) line 5 at EXECUTE'$$,
                'CONTEXT shows no function of the extension, and those that called it');

SELECT ok((error_of($$SELECT hartonomous_internal.raise_error('XX000', 'a fault')$$)).context LIKE 'SQL statement%',
          'of an internal error it shows all');
SELECT is((error_of(format('SELECT hartonomous_internal.raise_error(%L, ''a fault'')', state))).state, expected,
  format('the state of raise_error(%L) is %s', state, expected))
  FROM (VALUES ('22023', '22023'), ('HT001', 'HT001'), ('00000', 'XX000'), ('', 'XX000'), ('2202', 'XX000'),
    ('22023X', 'XX000'), ('abcde', 'XX000'), (E'22\u00e91', 'XX000'), (NULL, 'XX000')) v (state, expected);
CREATE SCHEMA my_hartonomous;
CREATE FUNCTION my_hartonomous.caller() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  RETURN hartonomous.model_id('none');
END
$$;
SELECT ok((error_of('SELECT my_hartonomous.caller()')).context LIKE '%my_hartonomous.caller()%',
  'a schema whose name only ends as that of the extension is the user''s');
SET LOCAL client_min_messages = debug1;
SELECT ok((error_of('SELECT hartonomous.svd_plan(''little'')')).context LIKE '%hartonomous.svd_plan(%',
  'at debug1, too');
SET LOCAL client_min_messages = warning;
SELECT is_empty($$SELECT oid::regprocedure FROM pg_proc
                   WHERE pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace)
                     AND prosrc LIKE '%RAISE EXCEPTION%'$$, 'errors are raised by raise_error()');
SELECT * FROM finish();
ROLLBACK;
