-- Calibration: texts that are kept apart from those on which models are measured.
BEGIN;
\ir lib/model_files.sql
SELECT plan(30);

-- Different numbers, and so no passage in common with a text that begins at another one.
CREATE FUNCTION lib.numbers(first integer, last integer) RETURNS text LANGUAGE sql IMMUTABLE
  RETURN (SELECT string_agg(format('%s is a number. ', md5(i::text)), '' ORDER BY i)
            FROM generate_series(first, last) i);

CREATE FUNCTION lib.error_of(statement text, OUT state text, OUT message text, OUT detail text)
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
END $$;

-- Calibration sets
SELECT add_calibration_set('numbers', numbers(1, 100)) AS hash \gset
SELECT is(:'hash', sha256(convert_to(numbers(1, 100), 'UTF8'))::text,
  'add_calibration_set() makes the store if there is none, and returns the hash of the text');
SELECT is(add_calibration_set('numbers', numbers(1, 100)), :'hash'::bytea, 'again, it changes nothing');
SELECT results_eq('SELECT calibration_set, text, text_sha256 FROM calibration_sets',
  format('SELECT ''numbers'', numbers(1, 100), %L::bytea', :'hash'), 'the set is stored');
SELECT throws_ok($$SELECT add_calibration_set('numbers', 'others')$$, '42710',
  'calibration set "numbers" already exists with another text', 'another text of that name');
SELECT throws_ok(format('SELECT add_calibration_set(%s)', arguments), '22004',
  'a calibration set needs a name and a text', format('add_calibration_set(%s)', arguments))
  FROM unnest(ARRAY['NULL, ''a''', ''''', ''a''', '''a'', NULL', '''a'', ''''']) arguments;
INSERT INTO calibration_sets (calibration_set) VALUES ('imported');
SELECT throws_ok($$SELECT add_calibration_set('imported', 'text')$$, '42710', NULL,
  'a name of which only the statistics were imported is taken');

-- Passages in common with sets of the other kind
SELECT lives_ok($$SELECT add_validation_set('measured', numbers(200, 300))$$, 'a validation set of another text');
CREATE TABLE lib.overlap AS SELECT * FROM error_of($$SELECT add_validation_set('same', numbers(1, 100))$$);
SELECT is(state, '22023', 'the same text is refused') FROM lib.overlap;
SELECT is(message, 'validation set "same" has a passage in common with calibration set "numbers"', '... by name')
  FROM lib.overlap;
SELECT is(detail, 'The passage has 4600 bytes and begins at character 1 of the one and 1 of the other: '
  || format('"%s".', left(numbers(1, 100), 60)), '... with the place') FROM lib.overlap;
SELECT throws_like($$SELECT add_calibration_set('part', numbers(400, 500) || numbers(210, 230) || numbers(600, 700))$$,
  '%calibration set "part" has a passage in common with validation set "measured"', 'so is a part of it');
SELECT is((error_of($$SELECT add_calibration_set('part', 'äöü ' || numbers(400, 500) || numbers(210, 230))$$)).detail,
  format('The passage has 980 bytes and begins at character %s of the one and %s of the other: "%s".',
         5 + 101 * 46 - 14, 1 + 10 * 46 - 14, left(' is a number. ' || numbers(210, 211), 60)),
  'places are counted in characters, from where the texts begin to agree');
SELECT lives_ok($$SELECT add_calibration_set('sentence', numbers(400, 500) || numbers(210, 214))$$,
  'passages of less than 256 bytes do not matter');
SELECT lives_ok($$SELECT add_calibration_set('more numbers', numbers(50, 150))$$,
  'nor what two calibration sets have in common');
SELECT lives_ok($$SELECT add_validation_set('more measured', numbers(250, 350))$$, 'or two validation sets');
SELECT lives_ok($$SELECT add_validation_set('short', 'three')$$, 'a short text');
SELECT throws_ok($$SELECT add_calibration_set('short', 'three')$$, '22023', NULL, 'is compared as a whole');
SELECT lives_ok($$SELECT add_calibration_set('longer', 'three four')$$, '... only');
SELECT is((SELECT array_agg(calibration_set ORDER BY calibration_set) FROM calibration_sets),
  '{imported,longer,"more numbers",numbers,sentence}', 'what was refused is not stored');
SELECT lives_ok($$DELETE FROM validation_sets$$, 'without validation sets');
SELECT lives_ok($$SELECT add_calibration_set('part', numbers(210, 230))$$, '... their texts are free');

-- common_passage()
SELECT results_eq($$SELECT * FROM common_passage(numbers(1, 50), numbers(30, 60))$$,
  'VALUES (29 * 46 + 1, 1, 21 * 46::bigint)', 'common_passage() returns the places and bytes of the passage');
SELECT is(common_passage('', ''), NULL, 'empty texts have none');
SELECT is(common_passage(NULL, numbers(1, 9)), NULL, 'common_passage(NULL)');
SELECT is((SELECT bytes FROM common_passage(repeat('a', 300), repeat('a', 1000))), 300::bigint,
  'a passage may be a whole text');
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok($$SELECT common_passage(repeat('a', 20000000), repeat('ab', 10000000))$$, '53200', NULL,
  'texts for which there is no memory');
RESET hartonomous.max_work_memory;
SELECT is_empty($$SELECT without_comment('add_calibration_set', 'common_passage', 'refuse_common_passage',
  'most_gram_bytes')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
