-- Every function, found in the catalogs, is called with values nobody expects: NULL, nothing, the extremes of each
-- type, NaN, arrays with holes and more dimensions, odd geometries, megabytes of text. It may refuse or answer; an
-- internal error (XX000) is a fault, and so is a crash, which ends this test. (XX001 says that an archive is damaged.)
-- Each function is called with NULLs only, and for each of its arguments with some hostile values, others of a role
-- that is at home in the store. All of them, and mixtures, with HARTONOMOUS_HOSTILE_CALLS set to how many values of
-- each argument: 20 and more are all.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT * FROM no_plan();
\set share 1
\getenv share HARTONOMOUS_HOSTILE_CALLS
\ir lib/spoilt_store.sql
RESET ROLE;
SET LOCAL client_min_messages = error;

-- The first values of a type are what a caller might mean, the others what nobody should. Expressions, in the order in
-- which they are tried.
CREATE TABLE lib.hostile (n serial, type regtype, value text, usual boolean);
INSERT INTO lib.hostile (type, value, usual) VALUES
  ('hartonomous.regmodel', '1::hartonomous.regmodel', true), ('hartonomous.regmodel', '0::hartonomous.regmodel', false),
  ('hartonomous.regmodel', '2147483647::hartonomous.regmodel', false),
  ('hartonomous.regmodel', '(-2147483648)::hartonomous.regmodel', false),
  ('integer', '1', true), ('integer', '2', true), ('integer', '8', true), ('integer', '0', false),
  ('integer', '-1', false), ('integer', '2147483647', false), ('integer', '-2147483648', false),
  ('bigint', '1::bigint', true), ('bigint', '8::bigint', true), ('bigint', '0::bigint', false),
  ('bigint', '9223372036854775807', false), ('bigint', '-9223372036854775808', false), ('bigint', '-1::bigint', false),
  ('boolean', 'true', true), ('boolean', 'false', true),
  ('text', '''c''', true), ('text', '''blk.0.attn_q.weight''', true), ('text', '''Q4_0''', true),
  ('text', '''%''', true),
  ('text', '''m''', true), ('text', '''hessian''', true), ('text', '''gguf''', true),
  ('text', '''''', false), ('text', 'repeat(''x'', 1048576)', false), ('text', 'repeat(''cat '', 262144)', false),
  ('text', 'E''\u0001\\n%s$1''''"''', false), ('text', '''/nowhere/at/all''', false),
  ('text', 'U&''\+01F469\200D\+01F4BB\0301''', false), ('text', 'repeat(''('', 65536)', false),
  ('jsonb', '''{}''::jsonb', true), ('jsonb', '''[]''::jsonb', true), ('jsonb', '''null''::jsonb', false),
  ('jsonb', '''"gguf"''::jsonb', false), ('jsonb', '''-1e300''::jsonb', false),
  ('jsonb', '''{"format": "gguf", "kv": {"a": [1]}}''::jsonb', false),
  ('jsonb', '''[{"pattern": 5, "format": null, "keep_ratio": "NaN"}, null, 7]''::jsonb', false),
  ('jsonb', '(repeat(''['', 2000) || repeat('']'', 2000))::jsonb', false),
  ('double precision', '0.5', true), ('double precision', '0', false), ('double precision', '''NaN''::float8', false),
  ('double precision', '''-Infinity''::float8', false), ('double precision', '''Infinity''::float8', false),
  ('double precision', '1e308', false), ('double precision', '-5e-324', false),
  ('real', '0.5::real', true), ('real', '''NaN''::real', false), ('real', '''Infinity''::real', false),
  ('real', '''-Infinity''::real', false), ('real', '3.4e38::real', false), ('real', '-1e-45::real', false),
  ('numeric', '1.5::numeric', true), ('numeric', '''NaN''::numeric', false), ('numeric', '1e1000::numeric', false),
  ('regclass', '''hartonomous.tensor_atoms''::regclass', true), ('regclass', '''pg_class''::regclass', false),
  ('regclass', '0::regclass', false), ('regclass', '''pg_class_oid_index''::regclass', false),
  ('regclass', '''pg_stats''::regclass', false), ('regclass', '4294967295::oid::regclass', false),
  ('regprocedure', '''lower(text)''::regprocedure', false), ('regprocedure', '0::regprocedure', false),
  ('oid', '0::oid', false), ('oid', '4294967295::oid', false), ('oid', '1259::oid', false),
  ('bytea', '''\x''::bytea', false), ('bytea', '''\x00''::bytea', false), ('bytea', 'lib.llama_gguf()', true),
  ('bytea', 'decode(repeat(''ff'', 1048576), ''hex'')', false),
  ('bytea', '''\x4747554603000000ffffffffffffffff''::bytea', false),
  ('hartonomous.weights', 'ARRAY[1, 2, 3, 4]::real[]::hartonomous.weights', true),
  ('hartonomous.weights', '''F32[0]:''::hartonomous.weights', false),
  ('hartonomous.weights', 'ARRAY[''NaN'', ''Infinity'', ''-Infinity'', 1e-45]::real[]::hartonomous.weights', false),
  ('hartonomous.weights', 'array_fill(1e38::real, ARRAY[100000])::hartonomous.weights', false),
  ('hartonomous.weights', 'hartonomous.quantize(array_fill(0::real, ARRAY[256]), ''Q2_K'')', true),
  ('geometry', '''POINT Z(1 2 3)''::geometry', true), ('geometry', '''POINT EMPTY''::geometry', false),
  ('geometry', 'ST_MakePoint(''NaN'', ''Infinity'', 1e308)', false),
  ('geometry', '''POINT M(1 2 3)''::geometry', false),
  ('geometry', '''POLYGON EMPTY''::geometry', false),
  ('geometry', 'ST_MakeEnvelope(-1e308, -1e308, 1e308, 1e308)', false),
  ('geometry', '''GEOMETRYCOLLECTION(GEOMETRYCOLLECTION EMPTY, POINT(1 1))''::geometry', false),
  ('geometry', '''TIN ZM(((0 0 0 0, 0 0 1 1, 0 1 0 2, 0 0 0 0)))''::geometry', false),
  ('geometry', '''CIRCULARSTRING(0 0, 1 1, 2 0)''::geometry', false),
  ('interval', '''1 day''::interval', true), ('interval', '''-178000000 years''::interval', false),
  ('timestamp with time zone', '''infinity''::timestamptz', false), ('timestamp with time zone', 'now()', true),
  ('timestamp with time zone', '''-infinity''::timestamptz', false),
  ('cstring', '''1''::cstring', true), ('cstring', '''''::cstring', false),
  ('cstring', '''F32[999999999]:''::cstring', false),
  ('json', '''{}''::json', true), ('json', '''[[1, 2], [3, 4]]''::json', true),
  ('json', '''[[1], [null, "x"]]''::json', false),
  ('name', '''x''::name', true), ('name', '''''::name', false), ('regrole', '0::regrole', false),
  ('smallint', '(-32768)::smallint', false), ('anyelement', '1::integer', true), ('anyelement', '''x''::text', false);
-- Rows of NULLs of the composite types, arrays of whatever there is, and of any of these.
INSERT INTO lib.hostile (type, value, usual)
SELECT t.oid, format('ROW(%s)::%s', (SELECT string_agg('NULL', ', ') FROM pg_attribute a
  WHERE a.attrelid = t.typrelid AND a.attnum > 0), t.oid::regtype), false
  FROM pg_type t WHERE t.typtype = 'c' AND EXISTS (SELECT FROM pg_proc p WHERE t.oid = ANY (p.proargtypes)
   AND p.pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace));
INSERT INTO lib.hostile (type, value, usual)
SELECT DISTINCT a.oid::regtype, format(v.value, a.oid::regtype), false
  FROM pg_proc p CROSS JOIN unnest(p.proargtypes) t JOIN pg_type a ON a.oid = t AND a.typelem <> 0 AND a.typlen = -1
 CROSS JOIN (VALUES ('''{}''::%s'), ('''{NULL}''::%s'), ('''{{NULL,NULL},{NULL,NULL}}''::%s'),
   ('''[-2147483648:-2147483648]={NULL}''::%s')) v (value)
 WHERE p.pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace);
INSERT INTO lib.hostile (type, value, usual)
SELECT t.typarray, format('ARRAY[%s]', h.value), h.usual
  FROM lib.hostile h JOIN pg_type t ON t.oid = h.type WHERE t.typarray IN (SELECT type FROM lib.hostile);

-- All functions that SQL can call, but the two that raise what they are told to.
CREATE TABLE lib.functions AS
SELECT p.oid::regprocedure AS function, p.prokind,
       p.proargtypes::oid[]::regtype[] AS types
  FROM pg_proc p
 WHERE p.pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace)
   AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype,
     'language_handler'::regtype)
   AND 'internal'::regtype <> ALL (p.proargtypes) AND p.prokind IN ('f', 'p')
   AND p.proname NOT IN ('raise_error', 'raise_failure');
SELECT is_empty('SELECT t FROM functions, unnest(types) t WHERE t NOT IN (SELECT type FROM hostile)',
  'there are values of every type');

CREATE FUNCTION lib.statement(f lib.functions, arguments text[]) RETURNS text LANGUAGE sql STABLE
  RETURN CASE f.prokind WHEN 'p' THEN 'CALL ' ELSE 'SELECT count(*) FROM ' END
         || (SELECT format('%I.%I', p.pronamespace::regnamespace, p.proname) FROM pg_proc p WHERE p.oid = f.function)
         || format('(%s)', array_to_string(arguments, ', '));
-- What the call number n of an argument gives to the others: usual values in turn, or NULL if there are none.
CREATE FUNCTION lib.arguments(f lib.functions, place integer, value text, n integer) RETURNS text[] LANGUAGE sql STABLE
  RETURN ARRAY(SELECT CASE WHEN i = place THEN value ELSE
                 coalesce((SELECT h.value FROM lib.hostile h WHERE h.type = t AND h.usual
                            ORDER BY md5(f.function::text || i || h.n || n) LIMIT 1), 'NULL::' || t) END
                 FROM unnest(f.types) WITH ORDINALITY u (t, i) ORDER BY i);
CREATE FUNCTION lib.calls_of(f lib.functions, share integer) RETURNS SETOF text LANGUAGE sql STABLE AS $$
  SELECT DISTINCT c.statement FROM (
    SELECT statement(f, ARRAY(SELECT 'NULL::' || t FROM unnest(f.types) t))
    UNION ALL
    SELECT statement(f, arguments(f, i::integer, h.value, h.n))
      FROM unnest(f.types) WITH ORDINALITY u (t, i)
     CROSS JOIN LATERAL (SELECT * FROM (SELECT h.n, h.value FROM hostile h WHERE h.type = t
                                         UNION ALL SELECT 0, 'NULL::' || t) v
                          ORDER BY md5(f.function::text || i || v.n) LIMIT share) h) c (statement)
$$;
CREATE TABLE lib.results (function regprocedure, calls integer, slowest interval, statement text);
CREATE FUNCTION lib.faults(f lib.functions, share integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  call text;
  begun timestamptz;
  took interval;
  counted integer := 0;
  longest interval := '0';
  longest_call text;
  faults text := '';
BEGIN
  FOR call IN SELECT * FROM calls_of(f, share) LOOP
    begun := clock_timestamp();
    BEGIN
      EXECUTE call;
      RAISE EXCEPTION 'done' USING ERRCODE = 'HT001';
    EXCEPTION WHEN SQLSTATE 'HT001' THEN NULL;
      WHEN OTHERS THEN
        IF SQLSTATE IN ('XX000', 'XX002') THEN faults := faults
        || format(E'\n%s: %s %s', left(call, 500), SQLSTATE, SQLERRM); END IF;
    END;
    took := clock_timestamp() - begun;
    counted := counted + 1;
    IF took > longest THEN
      longest := took;
      longest_call := left(call, 300);
    END IF;
  END LOOP;
  INSERT INTO results VALUES (f.function, counted, longest, longest_call);
  RETURN faults;
END $$;
-- Each in a statement of its own, so that the last line before a crash tells where it was.
SELECT format('SELECT is(faults(f, %s), '''', %L) FROM functions f WHERE f.function = %s', :'share', f.function,
  f.function::oid) FROM functions f ORDER BY f.function::text \gexec
SELECT diag(format('hostile calls: %s of %s functions; the slowest took %s: %s', sum(calls), count(*), max(slowest),
  (array_agg(statement ORDER BY slowest DESC))[1])) FROM results;

-- An array is read in storage order, however it is stored and its elements are numbered: as a constant, from a row of a
-- table with a short header at an odd address, and out of line. PostgreSQL itself decodes arrays, so that
-- nothing in C++ could be fuzzed by itself.
CREATE TABLE lib.array_forms (type regtype, n integer, form text, value text);
CREATE PROCEDURE lib.make_arrays(array_type regtype, usual text) LANGUAGE plpgsql AS $$
DECLARE
  stored text := 'lib.stored_' || array_type::oid;
  filled text;
BEGIN
  EXECUTE format('CREATE TABLE %s (n integer, beside "char", a %s)', stored, array_type);
  EXECUTE format('INSERT INTO %s SELECT c, ''x'', array_fill((%s)[1], ARRAY[c]) FROM unnest(ARRAY[1, 4, 600]) c',
    stored,
    usual);
  EXECUTE format('ALTER TABLE %s ALTER a SET STORAGE EXTERNAL', stored);
  EXECUTE format('INSERT INTO %s SELECT -c, ''x'', array_fill((%s)[1], ARRAY[c]) FROM unnest(ARRAY[1, 4, 600]) c',
    stored,
    usual);
  INSERT INTO array_forms
    SELECT array_type, c, f.form, format(f.value, c, array_type, stored, usual) FROM unnest(ARRAY[1, 4, 600]) c
      CROSS JOIN (VALUES ('constant', 'array_fill((%4$s)[1], ARRAY[%1$s])'),
                         ('numbered from -3', 'array_fill((%4$s)[1], ARRAY[%1$s], ARRAY[-3])'),
                         ('stored', '(SELECT a FROM %3$s WHERE n = %1$s)'),
                         ('out of line', '(SELECT a FROM %3$s WHERE n = -%1$s)')) f (form, value);
END $$;
DO $$
DECLARE
  usual record;
BEGIN
  FOR usual IN
    SELECT DISTINCT ON (t) t AS type, h.value FROM lib.functions f CROSS JOIN unnest(f.types) t
      JOIN lib.hostile h ON h.type = t AND h.usual JOIN pg_type y ON y.oid = t AND y.typelem <> 0 AND y.typlen = -1
     ORDER BY t, h.n
  LOOP
    CALL lib.make_arrays(usual.type, usual.value);
  END LOOP;
END $$;
CREATE FUNCTION lib.answer(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  answer text;
BEGIN
  BEGIN
    EXECUTE replace(statement, 'SELECT count(*) FROM', 'SELECT md5(string_agg(r::text, '','')) FROM') || ' r'
      INTO answer;
    RAISE EXCEPTION 'done' USING ERRCODE = 'HT001';
  EXCEPTION WHEN SQLSTATE 'HT001' THEN RETURN answer;
    WHEN OTHERS THEN RETURN SQLSTATE;
  END;
END $$;
CREATE TABLE lib.answers AS
SELECT f.function, i, a.n, a.form, lib.answer(lib.statement(f, lib.arguments(f, i::integer, a.value, 1))) AS answer
  FROM lib.functions f JOIN pg_proc p ON p.oid = f.function JOIN pg_language l ON l.oid = p.prolang
 CROSS JOIN unnest(f.types) WITH ORDINALITY u (t, i) JOIN lib.array_forms a ON a.type = t
 WHERE f.prokind = 'f' AND l.lanname = 'c';
SELECT is_empty($$SELECT function, i, n, array_agg(form || ': ' || answer) FROM lib.answers GROUP BY 1, 2, 3
  HAVING count(DISTINCT coalesce(answer, '')) > 1$$, 'the same array gives the same, however it is stored');
SELECT cmp_ok(count(*) FILTER (WHERE length(answer) = 32), '>', 100::bigint, 'many of them answer') FROM lib.answers;
SELECT diag(format('stored arrays: %s calls of %s functions', count(*), count(DISTINCT function))) FROM lib.answers;

-- Functions that write act as the owner, and operators can call them with any arguments, also those that only other
-- functions call: nothing that is passed becomes a part of a statement. Whatever is executed takes a number from the
-- sequence, which no rollback gives back; and a quote that ends up in a statement is a syntax error (42601).
CREATE SEQUENCE lib.betrayed;
GRANT USAGE ON SEQUENCE lib.betrayed TO PUBLIC;
SELECT 'hostile_operator_' || pg_backend_pid() AS operator \gset
CREATE ROLE :operator;
SELECT grant_store(:'operator', 'operator') \g /dev/null
CREATE TABLE lib.code AS SELECT code FROM unnest(ARRAY[
  '1; SELECT nextval(''lib.betrayed''); --', ''' || nextval(''lib.betrayed'') || ''',
  '''; SELECT nextval(''lib.betrayed''); --', '\''; SELECT nextval(''lib.betrayed''); --',
  '"; SELECT nextval(''lib.betrayed''); --', '(SELECT nextval(''lib.betrayed''))',
  '$sql$; SELECT nextval(''lib.betrayed''); $sql$']) code;
CREATE FUNCTION lib.members(code text) RETURNS jsonb LANGUAGE sql IMMUTABLE
  RETURN (SELECT jsonb_object_agg(k, code) FROM unnest(string_to_array('format method calibration_set revision '
    'calibration_revision damping sweeps sequential minimum_importance outside_region atoms_only rank energy most_rank '
    'residual_ratio dense_format kept_blocks before corpus corpus_set n_ctx stage pattern importance_above message '
    'sqlstate detail hint schema table column constraint layer_id atoms bytes', ' ')) k)
    || jsonb_build_object('region', array_fill(code, ARRAY[6]), 'rows', ARRAY[code], 'columns', ARRAY[code],
                          'column_importance', ARRAY[code], 'planned_formats', jsonb_build_object(code, code));
INSERT INTO lib.hostile (type, value, usual)
SELECT v.type, v.value, NULL FROM lib.code c CROSS JOIN LATERAL (
  SELECT 'text'::regtype, quote_literal(c.code)
  UNION ALL SELECT 'text[]', format('ARRAY[%L]', c.code)
  UNION ALL SELECT 'jsonb', quote_literal(j) || '::jsonb'
    FROM (VALUES (to_jsonb(c.code)), (lib.members(c.code)), (jsonb_build_array(lib.members(c.code)))) v (j)
  UNION ALL SELECT 'hartonomous.tensor_plan[]',
      format('ARRAY[jsonb_populate_record(NULL::hartonomous.tensor_plan, %L)]',
        jsonb_build_object('layer_id', (SELECT min(l.layer_id) FROM model_layers l WHERE l.model_id = :m),
          'operation', o, 'layer_name', 'blk.0.attn_q.weight', 'arguments', lib.members(c.code)))
    FROM unnest(ARRAY['prune', 'quantize', 'factor', 'score', 'encode_geometry', 'select', c.code]) o) v (type, value);
CREATE FUNCTION lib.betrayals(f lib.functions, operator name) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  call text;
  calls text[] := ARRAY(SELECT statement(f, arguments(f, i::integer, h.value, h.n)) FROM unnest(f.types)
                          WITH ORDINALITY u (t, i) JOIN hostile h ON h.type = t AND h.usual IS NULL);
  faults text := '';
BEGIN
  FOREACH call IN ARRAY calls LOOP
    BEGIN
      EXECUTE format('SET LOCAL ROLE %I', operator);
      EXECUTE call;
      RAISE EXCEPTION 'done' USING ERRCODE = 'HT001';
    EXCEPTION WHEN SQLSTATE 'HT001' THEN NULL;
      WHEN OTHERS THEN
        IF SQLSTATE IN ('XX000', '42601') THEN
          faults := faults || format(E'\n%s: %s %s', left(call, 500), SQLSTATE, SQLERRM);
        END IF;
    END;
  END LOOP;
  INSERT INTO results VALUES (f.function, cardinality(calls));
  RETURN faults;
END $$;
TRUNCATE lib.results;
SELECT is(betrayals(f, :'operator'), '', 'by an operator: ' || f.function) FROM functions f
  JOIN pg_proc p ON p.oid = f.function JOIN pg_language l ON l.oid = p.prolang WHERE l.lanname = 'plpgsql_as_owner'
  ORDER BY f.function::text;
SELECT ok(NOT is_called, 'nothing that they passed was executed') FROM lib.betrayed;
SELECT diag(format('hostile calls as operator: %s of %s functions', sum(calls), count(*))) FROM results;
CREATE FUNCTION lib.gullible(what text) RETURNS void LANGUAGE plpgsql_as_owner AS $$ BEGIN EXECUTE what; END $$;
GRANT USAGE ON SCHEMA lib TO :operator;
SELECT isnt(betrayals(ROW('lib.gullible(text)'::regprocedure, 'f', '{text}')::lib.functions, :'operator'), '',
  'one that executes what it is told would be found');
SELECT ok(is_called, '... twice') FROM lib.betrayed;

SELECT * FROM finish();
ROLLBACK;
