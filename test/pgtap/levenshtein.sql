-- Levenshtein's distance and similarity.
BEGIN;
\ir lib/model_files.sql
SELECT plan(24);

SELECT is(levenshtein_distance(a, b), distance, format('%s, %s', a, b)) FROM (VALUES
  ('kitten', 'sitting', 3), ('sitting', 'kitten', 3), ('Saturday', 'Sunday', 3), ('', 'abc', 3), ('abc', '', 3),
  ('', '', 0), ('same', 'same', 0), ('Zoë', 'Zoe', 1), ('日本語', '日本', 1), ('🎉', '', 1)) v (a, b, distance);
SELECT is(levenshtein_similarity('kitten', 'sitting'), 1 - 3 / 7::float8, 'similarity');
SELECT is(levenshtein_similarity('Zoë', 'Zoe'), 1 - 1 / 3::float8, 'similarity counts code points');
SELECT is(levenshtein_similarity('', ''), 1::float8, 'two empty texts are equal');
SELECT is(levenshtein_similarity('', 'x'), 0::float8, 'an empty text has nothing in common with another');
SELECT is(levenshtein_similarity('a', NULL), NULL, 'NULL');
SELECT is(levenshtein_similarity(NULL, 'a'), NULL, 'NULL');
SELECT is(levenshtein_distance(NULL, NULL), NULL, 'NULL');

-- Any length: fuzzystrmatch stops at 255
SELECT is(levenshtein_distance(repeat('a', 100000), repeat('a', 100000)), 0, 'long and equal');
SELECT is(levenshtein_distance(repeat('ab', 5000), repeat('ba', 5000)), 2, 'long: one letter moved');
SELECT is(levenshtein_distance('x' || repeat('ab', 5000) || 'y', 'y' || repeat('ba', 4000) || 'x'), 2002, 'long');
SELECT is(levenshtein_distance(repeat('a', 3000), repeat('é', 4000)), 4000, 'long and different');
CREATE FUNCTION lib.is_cancelled(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RETURN false;
EXCEPTION WHEN query_canceled THEN
  RETURN true;
END $$;
SET LOCAL statement_timeout = '100ms';
SELECT ok(is_cancelled($$SELECT levenshtein_distance(repeat('ab', 500000), repeat('cd', 500000))$$),
  'it can be cancelled');
RESET statement_timeout;
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok($$SELECT levenshtein_distance(repeat('a', 100000), repeat('b', 100000))$$, '53200',
  'comparing the texts needs more than hartonomous.max_work_memory');

SELECT is_empty('SELECT * FROM without_comment(''levenshtein_distance'', ''levenshtein_similarity'')',
  'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
