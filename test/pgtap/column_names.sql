-- Users may add columns of any name to the tables, also of the names of variables, arguments and aliases in the
-- extension's own queries. With such columns everything returns what it returned without them.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/tour.sql
SELECT create_store() \g /dev/null
CREATE TABLE lib.without_columns AS SELECT * FROM lib.tour('model');

-- Names of arguments, of what follows AS, FROM, JOIN or a parenthesis, of what is declared, and of all tables' columns.
CREATE TABLE lib.names AS
  WITH sources AS (
    SELECT p.proargnames AS arguments, regexp_replace(p.prosrc, '--[^\n]*', '', 'g') AS source
      FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
     WHERE p.pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace)
       AND l.lanname LIKE 'plpgsql%'),
  words AS (
    SELECT lower(m.word[1]) AS name
      FROM sources s, (VALUES ('\mAS\s+([a-z_]\w*)'),
        ('\m(?:FROM|JOIN)\s+[\w.%$]+\s+([a-z_]\w*)'), ('\)\s+([a-z_]\w*)'),
        ('\n\s+([a-z_]\w*)(?: constant)? [\w.]+(?:\[\])?(?:;| :=)')) p (pattern),
           regexp_matches(s.source, p.pattern, 'g') m (word)
    UNION
    SELECT n FROM sources s, unnest(s.arguments) n
    UNION
    SELECT a.attname FROM unnest(store_tables()) t JOIN pg_attribute a ON a.attrelid = to_regclass('hartonomous.' || t)
     WHERE a.attnum > 0)
  SELECT w.name FROM words w
   WHERE w.name <> '' AND NOT EXISTS (SELECT FROM pg_get_keywords() k WHERE k.word = w.name AND k.catcode = 'R');
CREATE FUNCTION lib.missing_names(relation regclass) RETURNS SETOF text LANGUAGE sql STABLE
AS $$ SELECT n.name FROM lib.names n
       WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = n.name) $$;
-- A backup has the columns of the live atoms.
SELECT format('ALTER TABLE %I %s', t, string_agg(format('ADD COLUMN %I integer', m), ', '))
  FROM unnest(store_tables()) t, missing_names(to_regclass('hartonomous.' || t)) m GROUP BY t
\gexec

SELECT plan(2 + count(*)::integer) FROM lib.statements;
SELECT cmp_ok(count(*), '>', 500::bigint, 'there are names of variables, arguments and aliases') FROM lib.names;
SELECT is_empty($$SELECT * FROM lib.without_columns w WHERE w.result ~ '^[0-9A-Z]{5} '$$,
  'without added columns no statement raises an error');
SELECT is(t.result, w.result, 'with columns of all names, as without them: ' || s.statement)
  FROM lib.tour('named') t JOIN lib.without_columns w USING (n) JOIN lib.statements s USING (n) ORDER BY t.n;
SELECT * FROM finish();
ROLLBACK;
