-- Type regmodel: a model by its name or its number, in every way in which a call can give it.
BEGIN;
\ir lib/model_files.sql
SELECT plan(58);

-- Without a store, and without models
SELECT is('7'::regmodel::text, '7', 'without a store, a number is read as a number');
SELECT throws_ok($$SELECT 'tiny'::regmodel$$, '42704', 'model "tiny" does not exist',
  'without a store, a name is that of no model');
SELECT import_gguf(gguf(ARRAY[ROW('v.weight', '{4}', 0, f32(1, 2, 3, 4))::tensor]), 'little') AS m \gset
SELECT import_gguf(gguf(NULL), '77') AS digits \gset
SELECT import_gguf(gguf(NULL), 'quote '' and 100%') AS odd \gset

-- Input and output
SELECT is('little'::regmodel::integer, :m, 'a name is read as the number of the model');
SELECT is(:'m'::regmodel::integer, :m, 'digits are read as the number');
SELECT is('007'::regmodel::integer, 7, 'leading zeros are part of a number');
SELECT is('77'::regmodel::integer, 77, 'digits are a number, also where a model has that name');
SELECT is('quote '' and 100%'::regmodel::integer, :odd, 'a name may have any characters');
SELECT is(:m::regmodel::text, 'little', 'a model is printed as its name');
SELECT is(:digits::regmodel::text, :'digits', 'a model whose name looks like a number is printed as its number');
SELECT is(2147483647::regmodel::text, '2147483647', 'a model that does not exist is printed as its number');
SELECT is(n::regmodel::text::regmodel::integer, n, 'what is printed for ' || n || ' is read back as that number')
  FROM unnest(ARRAY[-2147483648, -1, 0, 2147483647]) n;
SELECT throws_ok($$SELECT '-2147483649'::regmodel$$, '42704', 'model -2147483649 does not exist',
  'a number below the least integer is that of no model');
SELECT throws_ok($$SELECT '-'::regmodel$$, '42704', 'model "-" does not exist', 'a sign alone is a name');
SELECT import_gguf(gguf(NULL), '-1') AS negative \gset
SELECT is(:negative::regmodel::text, :'negative', 'a model that is named like a negative number prints as its number');
SELECT delete_model(:negative) \g /dev/null
SELECT is(regmodel_send(:m), int4send(:m), 'the binary output is that of the number');
SELECT throws_ok($$SELECT ''::regmodel$$, '42704', 'model "" does not exist', 'an empty text is the name of no model');
SELECT throws_ok($$SELECT ' little'::regmodel$$, '42704', NULL, 'blanks are part of a name');
SELECT throws_ok($$SELECT '99999999999999999999'::regmodel$$, '42704', 'model 99999999999999999999 does not exist',
  'twenty digits are the number of no model');
SELECT throws_ok($$SELECT '2147483648'::regmodel$$, '42704', 'model 2147483648 does not exist',
  'the first number above the integers is that of no model');
SELECT is('2147483647'::regmodel::integer, 2147483647, 'the greatest integer is a number');
SELECT is((s.state, s.message, s.hint)::text,
  '(42704,"model ""litle"" does not exist","There is ""little"", ""quote '' and 100%"", ""77"".")',
  'an unknown name is answered with near ones') FROM state_as(current_user, 'SELECT ''litle''::regmodel') s;
SELECT is(NULL::regmodel, NULL, 'NULL is NULL');

-- Casts
SELECT is(:m::bigint::regmodel::integer, :m, 'a bigint is cast to a model');
SELECT is(:m::smallint::regmodel::integer, :m, 'a smallint is cast to a model');
SELECT is('little'::text::regmodel::integer, :m, 'a text is cast to a model');
SELECT is('little'::varchar::regmodel::integer, :m, 'a varchar is cast to a model');
SELECT is('77'::text::regmodel::integer, 77, 'digits in a text are cast to the number');
SELECT throws_ok('SELECT 2147483648::regmodel', '42704', 'model 2147483648 does not exist',
  'a bigint above the integers is the number of no model');
SELECT throws_ok('SELECT (-2147483649)::regmodel', '42704', NULL,
  'a bigint below the integers is the number of no model');
SELECT ok(:m::regmodel = :m, 'a model is compared with an integer');
SELECT is(count(*), 3::bigint, 'models are grouped, sorted and joined as integers')
  FROM (SELECT model_id::regmodel AS model FROM models GROUP BY 1 ORDER BY 1) m JOIN models ON model_id = model;

-- Arguments of functions
SELECT is((SELECT count(*) FROM model_history('little')), 1::bigint, 'an argument may be a literal of a name');
SELECT is((SELECT count(*) FROM model_history(:m)), 1::bigint, 'an argument may be a literal of a number');
SELECT is((SELECT count(*) FROM models m, model_history(m.model_id)), 3::bigint, 'an argument may be a column');
SELECT is((SELECT count(*) FROM model_history((SELECT model_name FROM models WHERE model_id = :m))), 1::bigint,
  'an argument may be a subquery that returns a name');
PREPARE by_text(text) AS SELECT count(*)::integer FROM model_history($1);
PREPARE by_varchar(varchar) AS SELECT count(*)::integer FROM model_history($1);
PREPARE by_smallint(smallint) AS SELECT count(*)::integer FROM model_history($1);
PREPARE by_bigint(bigint) AS SELECT count(*)::integer FROM model_history($1);
SELECT results_eq('EXECUTE by_text(''little'')', 'SELECT 1', 'an argument may be a parameter of type text');
SELECT results_eq('EXECUTE by_varchar(''little'')', 'SELECT 1', 'an argument may be a parameter of type varchar');
SELECT results_eq(format('EXECUTE by_smallint(%s)', :m), 'SELECT 1', 'an argument may be a parameter of type smallint');
SELECT results_eq(format('EXECUTE by_bigint(%s)', :m), 'SELECT 1', 'an argument may be a parameter of type bigint');
SELECT lives_ok($$CALL prune_by_importance('little', 0.9, include_vectors => true, dry_run => true)$$,
  'a procedure takes a name');
SELECT throws_ok('SELECT * FROM model_history(4711)', '42704', 'model 4711 does not exist',
  'the function objects to the number of no model');

-- Statements that are kept name the model that has the name, not the one that had it. See also isolation/names.
SELECT import_gguf(gguf(NULL), 'spare') AS spare \gset
PREPARE kept AS SELECT 'little'::regmodel::integer;
CREATE FUNCTION lib.kept() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  RETURN 'little'::hartonomous.regmodel;
END
$$;
CREATE FUNCTION lib.kept_call() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CALL hartonomous.run_plan('little', 'none', '{}');
  RETURN 'done';
EXCEPTION WHEN undefined_object THEN
  RETURN SQLERRM;
END
$$;
SELECT results_eq('EXECUTE kept', ARRAY[:m], 'a prepared statement finds the model by its name');
SELECT is(kept(), :m, 'a cached function finds the model by its name');
SELECT is(kept_call(), 'done', 'a call in a function finds the model by its name');
SELECT rename_model(:m, 'other') \g /dev/null
SELECT throws_ok('EXECUTE kept', '42704', 'model "little" does not exist',
  'a prepared statement objects to a name that is gone');
SELECT rename_model(:spare, 'little') \g /dev/null
SELECT results_eq('EXECUTE kept', ARRAY[:spare], 'a prepared statement follows the name');
SELECT is(kept(), :spare, 'a cached function follows the name');
SELECT delete_model('little') \g /dev/null
SELECT is(kept_call(), 'model "little" does not exist', 'a call in a function follows the name');
SELECT rename_model(:m, 'little') \g /dev/null
SELECT is(kept(), :m, 'a cached function follows the name back again');

-- A literal in a function names a model that the function has just made.
CREATE FUNCTION lib.imports_and_names() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM hartonomous.import_gguf(lib.gguf(NULL), 'just made');
  RETURN 'just made'::hartonomous.regmodel::text;
END
$$;
SELECT is(imports_and_names(), 'just made', 'a literal finds a model that the same function imported before it');
SELECT delete_model('just made') \g /dev/null

-- Names that would be something else in the text of a query
SELECT add_validation_set('any', 'text') \g /dev/null
SELECT rename_model(:m, '1 OR true) --') \g /dev/null
CREATE FUNCTION lib.called_by_name() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  called regprocedure;
BEGIN
  FOR called IN
    SELECT p.oid FROM pg_proc p
     WHERE p.pronamespace = 'hartonomous'::regnamespace AND p.prokind = 'f' AND p.provolatile = 's'
       AND p.proargtypes[0] = 'regmodel'::regtype AND p.pronargs - p.pronargdefaults = 1
  LOOP
    BEGIN
      EXECUTE format('SELECT count(*) FROM hartonomous.%I(%L)', (SELECT proname FROM pg_proc WHERE oid = called),
        '1 OR true) --');
      RETURN NEXT 'fine';
    EXCEPTION WHEN syntax_error_or_access_rule_violation OR undefined_object THEN
      RETURN NEXT called::text || ': ' || SQLERRM;
    WHEN OTHERS THEN
      RETURN NEXT 'fine';  -- arguments that it has to have
    END;
  END LOOP;
END
$$;
SELECT cmp_ok(count(*), '>=', 10::bigint, 'there are functions that take a model alone') FROM called_by_name();
SELECT is_empty('SELECT c FROM called_by_name() c WHERE c <> ''fine''', 'none of them puts the name into a query');

-- Who may not read the table of models
CREATE ROLE hart_regmodel_stranger;
SET LOCAL ROLE hart_regmodel_stranger;
SELECT is(1::hartonomous.regmodel::text, '1', 'who may not read the table of models sees numbers');
SELECT throws_ok('SELECT hartonomous_internal.model_names_changed()', '42501', NULL,
  'who may not update the table of models changes no names');
RESET ROLE;
DELETE FROM models WHERE model_id = :odd;
SELECT is(:odd::regmodel::text, :'odd', 'a deleted model is printed as its number');
SELECT * FROM finish();
ROLLBACK;
