-- Text from language models: which tokens are taken, where a text ends, what takes part.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(100);
SELECT create_store() \g /dev/null
SELECT import_gguf(llama_gguf(), 'llama') AS m \gset
SELECT present(:m) AS r1 \gset

-- The likeliest token each time
SELECT generate_text(:m, 'cat', 20) AS said \gset
SELECT is(generate_text('llama', 'cat', 20), :'said', 'by the model''s name');
SELECT is(generate_text(:m, 'cat', 20, seed => 7, top_k => 5), :'said', 'at temperature 0, seed and top_k say nothing');
SELECT is(generate_text(:m, 'cat', 20, temperature => 2, top_k => 1), :'said', 'one of one is the likeliest');
SELECT is(generate_text(:m, 'cat', 20, temperature => 1e-9), :'said', 'so it is when it is cold');
SELECT is(string_agg(token, '' ORDER BY position), :'said', 'generate_tokens() says the same')
  FROM generate_tokens(:m, 'cat', 20);
SELECT is(array_agg(position ORDER BY position), ARRAY(SELECT generate_series(1, 20)), 'a row a token')
  FROM generate_tokens('llama', 'cat', 20);
-- What the model would have said of its own words: the tokens are scored again, as a whole text.
CREATE FUNCTION lib.forced(model integer, prompt text, count integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE t record; written text := prompt; again double precision;
BEGIN
  FOR t IN SELECT * FROM generate_tokens(model, prompt, count) LOOP
    EXIT WHEN t.token = '' OR t.token_id < 3 + 32 OR t.token_id >= 3 + 128;
    written := written || t.token;
    SELECT s.log_probability INTO again FROM score_tokens(model, written) s ORDER BY s.position DESC LIMIT 1;
    RETURN NEXT ok(abs(again - t.log_probability) < 1e-4,
      format('token %s: %s, scored %s', t.position, t.log_probability, again));
  END LOOP;
END $$;
SELECT forced(:m, 'cat', 8);
SELECT ok(count(*) > 3, 'bytes that are no characters become U+FFFD or wait for their end')
  FROM generate_tokens(:m, 'cat', 20);
SELECT ok(convert_to(:'said', 'UTF8') IS NOT NULL, 'the text is UTF-8');

-- A text is refused for the memory that tokenizing it takes, or not, whoever tokenizes it; and while it is tokenized, a
-- cancel is heeded: the errors that a text too long for a prompt, or one without a token for its end, would meet come
-- after.
SET LOCAL hartonomous.max_work_memory = '64MB';
SELECT throws_ok(format(call, :m, 'repeat(''a'', 2000000)'), '53200',
  'tokenizing the text needs more than hartonomous.max_work_memory', call)
  FROM unnest(
    '{"SELECT tokenize(%s, %s)","SELECT perplexity(%s, %s)","SELECT count(*) '
    'FROM score_tokens(%s, %s)","SELECT record_usage(%s, %s)","SELECT generate_text(%s, %s)"}'::text[]) call;
SELECT throws_ok(format('SELECT generate_text(%s, repeat(''a'', 500000))', :m), '22023', NULL,
  'a shorter one is too long only for the context');
SELECT is(cardinality(tokenize(:m, repeat('a', 500000))), 500004, 'and is tokenized');
SET LOCAL hartonomous.max_work_memory = '2GB';
CREATE FUNCTION lib.ended_by(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RETURN 'done';
EXCEPTION WHEN query_canceled OR OTHERS THEN RETURN SQLSTATE;
END $$;
CREATE TABLE lib.texts AS SELECT repeat('the little girl ', 2000000) AS long;
SET LOCAL statement_timeout = '200ms';
SELECT ended_by(format('SELECT generate_text(%s, long) FROM texts', :m)) AS of_prompt \gset
RESET statement_timeout;
SELECT is(:'of_prompt'::text, '57014', 'a cancel while a prompt is tokenized');
RESET hartonomous.max_work_memory;

-- Draws
SELECT generate_text(:m, 'cat', 30, temperature => 1.5, seed => 1) AS drawn \gset
SELECT is(generate_text(:m, 'cat', 30, temperature => 1.5, seed => 1), :'drawn', 'the same seed, the same text');
SELECT isnt(generate_text(:m, 'cat', 30, temperature => 1.5, seed => 2), :'drawn', 'another seed, another text');
SELECT ok(
  bool_and(log_probability >= (SELECT max(l) FROM (SELECT log_probability AS l FROM generate_tokens(:m, 'cat', 1)) x)
    - 100), 'log-probabilities are the model''s')
  FROM generate_tokens(:m, 'cat', 30, temperature => 1.5, seed => 1);
SELECT is(generate_text(:m, 'cat', 30, temperature => 1.5, seed => 1, top_p => 1e-9), generate_text(:m, 'cat', 30),
  'hardly any probability: the likeliest');

-- Where it ends
SELECT is(generate_text(:m, 'cat', 0), '', 'no tokens, no text');
SELECT is((SELECT count(*) FROM generate_tokens(:m, 'cat', 0)), 0::bigint, 'no rows');
-- 7 tokens of prompt (<s>, three bytes of the space, cat) in a context of 64; the last token is said without being
-- read.
SELECT is((SELECT count(*) FROM generate_tokens(:m, 'cat', 1000)), 58::bigint, 'the context ends it');
SELECT is((SELECT count(*) FROM generate_tokens(:m, repeat('a', 60), 1000)), 1::bigint,
  'a prompt as long as the context leaves one');
SELECT throws_ok(format('SELECT generate_text(%s, %L)', :m, repeat('a', 61)), '22023',
  'the prompt has 65 tokens, but the model''s context is 64', 'a longer one none');
SELECT is((SELECT count(*) FROM generate_tokens(:m, '', 5)), 5::bigint, 'an empty prompt begins with <s>');
-- A model that predicts </s> after everything: its states are all of one sign, and only that row of the output matrix
-- is not zero.
SELECT import_gguf(llama_gguf(1, '{}', '{}', ARRAY[ROW('output.weight', '{16,259}', 0,
  zeros(64 * 2) || f32(VARIADIC array_fill(1::real, ARRAY[16])) || zeros(64 * 256))::tensor]), 'ends') AS ends \gset
UPDATE tensor_atoms SET atom_data = quantize(array_fill(1::real, ARRAY[16]), 'F32')
 WHERE model_id = :ends AND tensor_name IN ('token_embd.weight', 'output_norm.weight');
DELETE FROM tensor_atoms WHERE model_id = :ends AND tensor_name ~ 'ffn_down|attn_output';
SELECT is(generate_text(:ends, 'cat', 10), '', 'the model ends the text');
SELECT is((SELECT count(*) FROM generate_tokens(:ends, 'cat', 10, temperature => 1, seed => 3, top_p => 0.5)),
  0::bigint, 'also when it is drawn');
-- Without any atom all are as likely, and the first is taken.
SAVEPOINT whole;
DELETE FROM tensor_atoms WHERE model_id = :m;
SELECT results_eq(
  format('SELECT token_id, round(log_probability::numeric, 5) FROM generate_tokens(%s, ''cat'', 2)', :m),
  'SELECT 0, round(-ln(259)::numeric, 5) FROM generate_series(1, 2)', 'a model without atoms');
ROLLBACK TO whole;
UPDATE tensor_atoms SET atom_data = quantize(array_fill('NaN'::real, ARRAY[16]), 'F32') WHERE model_id = :m
  AND tensor_name = 'output_norm.weight';
SELECT throws_ok(format('SELECT generate_text(%s, ''cat'', 2)', :m), '55000', NULL, 'a model that predicts nothing');
ROLLBACK TO whole;

-- As soon as it is there: a cursor over a SELECT list makes no more tokens than are asked for.
CREATE SEQUENCE lib.asked;
DECLARE stream CURSOR FOR SELECT generate_tokens(:m, 'cat', 50) AS token, nextval('lib.asked');
FETCH 2 FROM stream \g /dev/null
SELECT is(last_value, 2::bigint, 'two rows fetched, two made') FROM lib.asked;
SELECT perplexity(:m, repeat('dog', 50), 32) \g /dev/null
DELETE FROM tensor_atoms WHERE model_id = :m AND tensor_name = 'blk.0.ffn_up.weight';
SELECT release_model_cache() \g /dev/null
FETCH 1 FROM stream \gset third_
ROLLBACK TO whole;
SELECT is(:'third_token', (SELECT g::text FROM (SELECT generate_tokens(:m, 'cat', 50)) x (g) OFFSET 2 LIMIT 1),
  'a text goes on as it began, whatever is deleted meanwhile');
SELECT is((SELECT count(*) FROM (SELECT generate_tokens(:m, 'cat', 50) LIMIT 3) x), 3::bigint,
  'one that is not read to its end');
-- What the session itself does to the partitions meanwhile makes an error, not a text from no atoms.
SET LOCAL hartonomous.model_cache_size = 0;
SELECT backup_model(:m) AS kept \gset
CREATE FUNCTION lib.after(statement text, of_revision integer DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  stream refcursor := 'stream';
BEGIN
  OPEN stream FOR SELECT generate_tokens(model_id('llama'), 'cat', 50, revision => of_revision);
  MOVE 1 FROM stream;
  EXECUTE statement;
  RETURN throws_ok('MOVE 1 FROM stream', '40001', format('model %s was rewritten while it was read', model_id('llama')),
    statement);
END $$;
SAVEPOINT streams;
SELECT lib.after(format('CALL quantize_model(%s, ''Q8_0'')', :m));
ROLLBACK TO streams;
SELECT lib.after('TRUNCATE tensor_atoms');
ROLLBACK TO streams;
SELECT lib.after(format('SELECT drop_backup(%s)', :kept), :kept);
ROLLBACK TO whole;

-- In a region
SELECT generate_text(:m, 'cat', 20) AS everywhere \gset
SELECT is(generate_text_spatial('llama', 'cat', 20, 'POLYGON((0 0,0 100,100 100,100 0,0 0))'), :'everywhere',
  'all of space: all of the model');
SELECT is(generate_text_spatial('llama', 'cat', 20, NULL), :'everywhere', 'no region is everywhere');
CREATE FUNCTION lib.said_by_deleting(model integer, condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  EXECUTE format('DELETE FROM tensor_atoms WHERE model_id = %s AND tensor_name !~ ''norm'' AND (%s) IS NOT TRUE', model,
    condition);
  said := generate_text(model, 'cat', 20);
  RAISE EXCEPTION '%', said USING ERRCODE = '00001';
EXCEPTION WHEN SQLSTATE '00001' THEN RETURN SQLERRM;
END $$;
SELECT is(generate_text_spatial('llama', 'cat', 20, ST_MakeEnvelope(200, 200, 300, 300)), said_by_deleting(:m, 'false'),
  'nowhere: only vectors');
SELECT is(generate_text(:m, 'cat', 20, region => ST_MakeEnvelope(0, 0, 60, 100)), said_by_deleting(:m, 'x <= 60'),
  'as if the atoms elsewhere had been deleted');
SELECT isnt(generate_text(:m, 'cat', 20, region => ST_MakeEnvelope(0, 0, 60, 100)), :'everywhere',
  'which changes what it says');
SELECT is(generate_text(:m, 'cat', 20, region => 'POLYGON Z((0 0 -0.5,0 100 10,100 100 10,100 0 10,0 0 -0.5))'),
  said_by_deleting(:m, 'importance_score >= -0.5'), 'a region with Z is bounded there, too');
SELECT isnt(said_by_deleting(:m, 'importance_score >= -0.5'), :'everywhere', 'which changes what it says, too');
SELECT is(generate_text(:m, 'cat', 20, region => 'POLYGON((0 0,0 100,90 0,0 0))'),
  said_by_deleting(:m, 'x / 90 + y / 100 <= 1'),
  'of a shape that is no box, not the corners of its box');
SELECT isnt(said_by_deleting(:m, 'x / 90 + y / 100 <= 1'), said_by_deleting(:m, 'x <= 90'), 'which are another text');
SELECT throws_ok(format('SELECT generate_text(%s, ''cat'', 20, region => ''POLYGON EMPTY'')', :m), '22023', NULL,
  'an empty region');

-- All that goes by position, and all that does not, before and after positions are quantized
CREATE TABLE lib.shapes AS SELECT *
  FROM (VALUES (ST_MakeEnvelope(0, 0, 60, 100)), (ST_MakeEnvelope(200, 200, 300, 300)),
    (ST_MakeEnvelope(-1, -1, 101, 101)), ('POLYGON Z((0 0 -0.5,0 100 10,100 100 10,100 0 10,0 0 -0.5))'),
    ('POLYGON((0 0,0 100,90 0,0 0))')) v (shape);
CREATE FUNCTION lib.seen(model integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE s geometry; student integer;
BEGIN
  RETURN NEXT perplexity(model, 'cat cab', 6);
  DELETE FROM atom_usage_stats;
  RETURN NEXT record_usage(model, 'cat')
    || md5((SELECT string_agg(format('%s %s %s', tensor_atom_id, usage_count, mean_energy), ' '
    ORDER BY tensor_atom_id) FROM atom_usage_stats));
  FOR s IN SELECT shape FROM lib.shapes LOOP
    RETURN NEXT generate_text(model, 'cat', 20, region => s);
    RETURN NEXT (SELECT string_agg(format('%s %s', layer_name, atoms_before - atoms_after), ',' ORDER BY layer_id)
      FROM region_plan(model, region(s)));
  END LOOP;
  student := extract_by_spatial_region(model, 10, 60, 0, 80);
  RETURN NEXT (SELECT string_agg(format('%s %s', tensor_name, atom_sequence), ',' ORDER BY layer_id, atom_sequence)
    FROM tensor_atoms
    WHERE model_id = student);
  PERFORM delete_model(student);
  student := dynamic_student_extraction(model, 'spatial', 0.4);
  RETURN NEXT (SELECT string_agg(format('%s %s', tensor_name, atom_sequence), ',' ORDER BY layer_id, atom_sequence)
    FROM tensor_atoms
    WHERE model_id = student);
  PERFORM delete_model(student);
END $$;
CREATE TABLE lib.seen_before AS SELECT n, s FROM seen(:m) WITH ORDINALITY s (s, n);
CALL quantize_model_geometry(:m, 'F32');
SELECT is(a.s, b.s, format('%s: the same by positions in F32', n)) FROM seen(:m) WITH ORDINALITY a (s, n) FULL
  JOIN lib.seen_before b USING (n) ORDER BY n;
SELECT rollback_model(:m) \g /dev/null
CALL quantize_model_geometry(:m, 'F16');
SELECT is(generate_text(:m, 'cat', 20, region => shape), said, 'by positions in F16: ' || n)
  FROM (VALUES (1, ST_MakeEnvelope(-1, -1, 101, 101), :'everywhere'),
    (2, ST_MakeEnvelope(200, 200, 300, 300), (SELECT s FROM lib.seen_before WHERE n = 5))) v (n, shape, said);
SELECT rollback_model(:m) \g /dev/null
CALL quantize_model_geometry(:m, 'Q8_0');
SELECT is(generate_text(:m, 'cat', 20, region => ST_MakeEnvelope(-1, -1, 101, 101)), :'everywhere', 'and in Q8_0');
SELECT rollback_model(:m) \g /dev/null
-- Token by token the region outlives the call that was given it, whatever its shape, and whatever memory is used
-- meanwhile.
SELECT is(
  (SELECT string_agg(t.token, '' ORDER BY t.position) FROM generate_tokens('llama', 'cat', 20, region => r.region) t),
          generate_text(:m, 'cat', 20, region => r.region),
          format('token by token in %s', coalesce(ST_AsText(r.region), 'NULL')))
  FROM (VALUES ('POINT Z(1 2 3)'::geometry), ('POINT(50 50)'), ('POLYGON((0 0,0 100,60 100,60 0,0 0))'),
    ('LINESTRING Z(0 0 0,100 100 10)'),
    (NULL), (ST_Buffer('POINT(50 50)'::geometry, 40, 500))) r (region);
SELECT throws_ok(format('SELECT count(*) FROM generate_tokens(%s, ''cat'', 20, region => %L)', :m, region), '22023',
  NULL, region || ' is none')
  FROM unnest('{POLYGON EMPTY,POINT Z EMPTY,GEOMETRYCOLLECTION EMPTY}'::text[]) region;
SELECT is(
  (SELECT string_agg((g).token, '' ORDER BY (g).position)
    FROM (SELECT generate_tokens(:m, 'cat', 20, region => ST_MakeEnvelope(0, 0, 60, 100)) AS g) x),
  generate_text(:m, 'cat', 20, region => ST_MakeEnvelope(0, 0, 60, 100)), 'also in a SELECT list');

-- Revisions
CALL prune_by_importance(:m, keep_ratio => 0.3, method => 'rewrite');
SELECT present(:m) AS r2 \gset
SELECT is(generate_text(:m, 'cat', 20, revision => :r1), :'everywhere', 'a kept revision writes what it wrote');
SELECT generate_text(:m, 'cat', 20) AS pruned \gset
SELECT isnt(:'pruned'::text, :'everywhere', 'and the live one something else');
SELECT results_eq(format('SELECT * FROM compare_generation(%s, %s, %s, ''cat'', 20)', :m, :r1, :r2),
  format('VALUES (%L::text, %L::text, levenshtein_similarity(%1$L, %2$L))', :'everywhere', :'pruned'),
  'compare_generation()');
SELECT is((compare_generation(:m, NULL, NULL, 'cat', 20)).similarity, 1::double precision,
  'of the live one with itself');
SELECT results_eq(format('SELECT * FROM compare_generation(%L, %s, %s, ''cat'', 20)', m.model_name, :r1, :r2),
  format('SELECT * FROM compare_generation(%s, %s, %s, ''cat'', 20)', :m, :r1, :r2), 'by its name') FROM models m
  WHERE m.model_id = :m;

-- Arguments
SELECT throws_ok(format('SELECT generate_text(%s, ''cat'', %s)', :m, a), '22023', NULL, a) FROM unnest(ARRAY['-1',
  '5, temperature => -1', '5, temperature => ''NaN''', '5, temperature => ''Infinity''', '5, top_p => 0',
  '5, top_p => 1.1',
  '5, top_p => ''NaN''', '5, top_k => -1', '5, revision => 99999']) a;
SELECT throws_ok(format('SELECT generate_text(%s, ''cat'', %s => NULL)', :m, a), '22004', NULL, a || ' => NULL')
  FROM unnest(ARRAY['max_tokens', 'temperature', 'top_k', 'top_p', 'seed']) a;
SELECT throws_ok(format('SELECT generate_text(%s, NULL, 5)', :m), '22004', NULL, 'NULL for a prompt');
SELECT throws_ok('SELECT generate_text(NULL::integer, ''cat'')', '42704', NULL, 'NULL for a model');
SELECT throws_ok('SELECT generate_text(999, ''cat'')', '42704', NULL, 'no such model');
SELECT throws_ok('SELECT * FROM generate_tokens(''nobody'', ''cat'')', '42704', NULL, 'no such name');
SELECT throws_ok('SELECT generate_text_spatial(''nobody'', ''cat'', 5, NULL)', '42704', NULL,
  'generate_text_spatial of no model');
SELECT throws_ok(format('SELECT compare_generation(%s, 99999, %s, ''cat'')', :m, :r1), '22023', NULL,
  'compare_generation of no revision');

-- The example model, against tools/reference_forward.py (examples/README.md)
\if :has_example_model
SELECT import_gguf(example_model(), 'example') AS e \gset
SELECT is(generate_text(:e, 'Once upon a time', 100),
  ', there lived a shy girl called Kira. It was Sunday, and the sky was clear and blue. She spoke in a very low voice. '
  'Kira had dreamed of a lazy pigeon that could turn into stone. In her basket she carried a big marble and some corn. '
  'Kira wanted a fat pan',
  'the example model''s story');
\endif

SELECT is_empty(
  $$SELECT without_comment('generate_tokens', 'generate_text', 'generate_text_spatial', 'compare_generation')$$,
  'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
