-- collect_calibration(): what the inputs of a model's matrices are, of every kept revision, block by block.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(71);
SELECT create_store() \g /dev/null

-- 404 tokens of the little model, with <s> and the three bytes of the space before the text.
CREATE FUNCTION lib.story() RETURNS text LANGUAGE sql IMMUTABLE
  RETURN left(repeat('the-cat-sat.the-dog-ran,and-the-cow-did-not.', 10), 400);
CREATE FUNCTION lib.digest(model integer, calibration_set text) RETURNS text LANGUAGE sql STABLE
  RETURN (SELECT md5(string_agg(g.layer_id || md5(g.gram), ' ' ORDER BY g.layer_id, g.expert, g.first_column))
            FROM calibration_grams g WHERE g.model_id = model AND g.calibration_set = digest.calibration_set);
-- The rows of statistics and what wrote them.
CREATE FUNCTION lib.written(model integer) RETURNS text[] LANGUAGE sql STABLE
  RETURN (SELECT array_agg(format('%s %s %s', s.calibration_set, s.layer_id, s.created_at) ORDER BY s.layer_id)
            FROM calibration_stats s WHERE s.model_id = model);

SELECT import_gguf(llama_gguf(), 'llama') AS m \gset
SELECT present(:m) AS r1 \gset
SELECT add_calibration_set('cats', story()) \g /dev/null
CALL collect_calibration('llama', 'cats');

-- What is stored
SELECT results_eq(format($$SELECT l.layer_name, s.columns, s.experts, s.tokens, s.token_counts, g.layer_name
    FROM calibration_stats s JOIN model_layers l USING (layer_id)
    JOIN model_layers g ON g.layer_id = s.gram_layer_id WHERE s.model_id = %s ORDER BY l.layer_id$$, :m),
  $$VALUES ('token_embd.weight', 16, 1, 404::bigint, '{404}'::bigint[], 'token_embd.weight'),
    ('blk.0.attn_q.weight', 16, 1, 404, '{404}', 'blk.0.attn_q.weight'),
    ('blk.0.attn_k.weight', 16, 1, 404, '{404}', 'blk.0.attn_k.weight'),
    ('blk.0.attn_v.weight', 16, 1, 404, '{404}', 'blk.0.attn_q.weight'),
    ('blk.0.attn_output.weight', 16, 1, 404, '{404}', 'blk.0.attn_output.weight'),
    ('blk.0.ffn_gate.weight', 16, 1, 404, '{404}', 'blk.0.ffn_gate.weight'),
    ('blk.0.ffn_up.weight', 16, 1, 404, '{404}', 'blk.0.ffn_gate.weight'),
    ('blk.0.ffn_down.weight', 24, 1, 404, '{404}', 'blk.0.ffn_down.weight')$$,
  'statistics of every matrix, the tied embedding included, with the tensor that has the Gram matrix');
SELECT results_eq('SELECT DISTINCT revision_id, calibration_set, n_ctx, text_sha256 FROM calibration_stats',
  format('SELECT %s, ''cats'', 64, sha256(convert_to(story(), ''UTF8''))', :r1),
  'of the live revision, and of a text in windows of the model''s context');
SELECT is((SELECT count(*) FROM calibration_grams), 6::bigint, 'a Gram matrix for each distinct input, in one panel');
SELECT is((SELECT array_agg(DISTINCT octet_length(gram) ORDER BY octet_length(gram)) FROM calibration_grams),
  ARRAY[4 * 16 * 17 / 2, 4 * 24 * 25 / 2], 'of which the upper half is stored');
SELECT is((SELECT attstorage FROM pg_attribute WHERE attrelid = 'calibration_grams'::regclass AND attname = 'gram'),
  'e', 'uncompressed');

-- The definition. The input of attn_q is RMSNorm(embedding of a token), times the weights of the norm.
CREATE FUNCTION lib.normed(token integer) RETURNS double precision[] LANGUAGE sql STABLE
  RETURN (SELECT array_agg(e.x / sqrt(e.mean + 0.00001) * n.w ORDER BY e.i)
            FROM (SELECT x, i, avg(x * x) OVER () AS mean
                    FROM unnest((dequantize(tensor_weights('llama', 'token_embd.weight'))::double precision[])
                                [token * 16 + 1:token * 16 + 16]) WITH ORDINALITY u (x, i)) e
            JOIN unnest(dequantize(tensor_weights('llama', 'blk.0.attn_norm.weight'))) WITH ORDINALITY n (w, i)
              USING (i));
CREATE TABLE lib.inputs AS SELECT t.n, i, x FROM unnest(tokenize('llama', 'some-words')) WITH ORDINALITY t (token, n),
  unnest(normed(t.token)) WITH ORDINALITY x (x, i);
CREATE TABLE lib.expected AS SELECT a.i, b.i AS j, sum(a.x * b.x) AS g
  FROM inputs a JOIN inputs b USING (n) WHERE a.i <= b.i GROUP BY 1, 2;
SELECT add_calibration_set('words', 'some-words') \g /dev/null
CALL collect_calibration(:m, 'words');
CREATE TABLE lib.found AS SELECT e.i, e.j, e.g, f.g AS stored FROM (SELECT *, row_number() OVER (ORDER BY i, j) AS n
  FROM expected) e JOIN unnest(gram_matrix(:m, 'blk.0.attn_q.weight', 'words', :r1)) WITH ORDINALITY f (g, n) USING (n);
SELECT is((SELECT count(*) FROM found), 16 * 17 / 2::bigint, 'the triangle of a Gram matrix');
SELECT ok(max(abs(g - stored)) < 1e-5 * max(g), 'is the sum over tokens of x x^T: largest distance '
  || max(abs(g - stored))) FROM found;
SELECT is(gram_matrix(:m, 'blk.0.attn_v.weight', 'words', :r1), gram_matrix(:m, 'blk.0.attn_q.weight', 'words', :r1),
  'queries, keys and values share an input');
SELECT is((SELECT array_agg(stored ORDER BY i) FROM found WHERE i = j), (SELECT dequantize(s.sums_of_squares)
  FROM calibration_stats s JOIN model_layers l USING (layer_id)
  WHERE s.calibration_set = 'words' AND layer_name = 'blk.0.attn_k.weight'), 'the sums of squares are its diagonal');

-- The same again
SELECT digest(:m, 'cats') AS digest, written(:m) AS written \gset
CALL collect_calibration(:m, 'cats');
SELECT is(written(:m), :'written', 'the same call again does nothing');
CALL collect_calibration(:m, 'cats', statistics => 'diagonal', max_tokens => 1000);
SELECT is(written(:m), :'written', 'nor one for the diagonal, which is there, and for more tokens than there are');
SET LOCAL hartonomous.threads = 3;
CALL collect_calibration(:m, 'cats', n_ctx => 32);
RESET hartonomous.threads;
SELECT isnt(digest(:m, 'cats'), :'digest', 'other windows replace the statistics');
SELECT is((SELECT array_agg(DISTINCT n_ctx) FROM calibration_stats WHERE calibration_set = 'cats'), '{32}', '... all');
SELECT digest(:m, 'cats') AS digest32 \gset
SET LOCAL hartonomous.model_cache_size = 0;
CALL collect_calibration(:m, 'cats');
SELECT is(digest(:m, 'cats'), :'digest', 'and back, to the bit');
CALL collect_calibration(:m, 'cats', n_ctx => 32);
SELECT is(digest(:m, 'cats'), :'digest32', 'whatever the number of threads');
SELECT is((SELECT count(*) FROM calibration_grams WHERE calibration_set = 'cats'), 6::bigint, 'nothing is left over');
RESET hartonomous.model_cache_size;

-- Part of what is missing
DELETE FROM calibration_stats s USING model_layers l WHERE l.layer_id = s.layer_id AND s.calibration_set = 'cats'
  AND layer_name = 'token_embd.weight';
SELECT is((SELECT count(*) FROM calibration_grams WHERE calibration_set = 'cats'), 5::bigint,
  'a row that is deleted takes its Gram matrix along');
SELECT written(:m) AS written \gset
CALL collect_calibration(:m, 'cats', n_ctx => 32);
SELECT is(digest(:m, 'cats'), :'digest32', 'what is missing is collected');
SELECT ok(:'written'::text[] <@ written(:m), 'and nothing else');

-- Numbers of tokens
CALL collect_calibration(:m, 'cats', 100, 'diagonal');
SELECT is((SELECT array_agg(DISTINCT tokens) FROM calibration_stats WHERE calibration_set = 'cats'), '{100}',
  'fewer tokens replace more');
SELECT is((SELECT count(*) FROM calibration_grams WHERE calibration_set = 'cats'), 0::bigint,
  'and the diagonal a Gram matrix of others');
SELECT is((SELECT count(gram_layer_id) FROM calibration_stats WHERE calibration_set = 'cats'), 0::bigint,
  '... of which no trace is left');
SELECT is(gram_matrix(:m, 'blk.0.attn_q.weight', 'cats', :r1), NULL, 'gram_matrix() of a diagonal');
CALL collect_calibration(:m, 'cats', 1);
SELECT is((SELECT array_agg(DISTINCT tokens) FROM calibration_stats WHERE calibration_set = 'cats'), '{1}',
  'one token');
CALL collect_calibration(:m, 'cats');
SELECT is(digest(:m, 'cats'), :'digest', 'and all again');

-- Revisions
SELECT backup_model(:m) AS copy \gset
SELECT is(calibrated_revision(:m, :copy, 'cats'), :r1, 'a copy has the statistics of what it is a copy of');
DELETE FROM tensor_atoms WHERE model_id = :m AND tensor_name = 'blk.0.ffn_gate.weight';
CALL collect_calibration(:m, 'words', 8);
SELECT is((SELECT count(*) FROM unnest(gram_matrix(:m, 'blk.0.ffn_down.weight', 'words', :r1)) g WHERE g <> 0),
  0::bigint, 'missing atoms are zeros');
CALL prune_by_importance(:m, 0.5);
SELECT present(:m) AS r2 \gset
SELECT is(calibrated_revision(:m, :r2, 'cats'), NULL, 'a new revision has none');
CALL collect_calibration(:m, 'cats');
SELECT is(calibrated_revision(:m, :r2, 'cats'), :r2, 'before it is calibrated');
SELECT is(calibrated_revision(:m, :r1, 'cats'), :r1, 'the old one keeps its own');
CALL collect_calibration(:m, 'cats', revision => :copy);
SELECT is(count(DISTINCT g.gram), 6::bigint, 'a revision that is kept is calibrated like the live one')
  FROM calibration_grams g WHERE g.revision_id IN (:copy, :r1) AND g.calibration_set = 'cats';
SELECT is(calibrated_revision(:m, :copy, 'cats'), :copy, 'its own statistics come first');
SELECT is(calibrated_revision(:m, :copy, 'none'), NULL, 'calibrated_revision() of no set');
SELECT is(calibrated_revision(:m, NULL, 'cats'), NULL, 'calibrated_revision(NULL)');

-- Arguments
SELECT throws_ok(format(call, :m), state, message, call) FROM (VALUES
  ('CALL collect_calibration(''none'', ''cats'')', '42704', 'model "none" does not exist'),
  ('CALL collect_calibration(NULL, ''cats'')', '42704', 'model NULL does not exist'),
  ('CALL collect_calibration(%s, ''none'')', '42704', 'calibration set "none" does not exist'),
  ('CALL collect_calibration(%s, NULL)', '42704', 'calibration set "NULL" does not exist'),
  ('CALL collect_calibration(%s, ''cats'', 0)', '22023', 'max_tokens must be at least 1, not 0'),
  ('CALL collect_calibration(%s, ''cats'', statistics => ''all'')', '22023', 'unknown statistics "all"'),
  ('CALL collect_calibration(%s, ''cats'', statistics => NULL)', '22023', 'unknown statistics "NULL"'),
  ('CALL collect_calibration(%s, ''cats'', n_ctx => 0)', '22023', 'n_ctx must be at least 1, not 0'),
  ('CALL collect_calibration(%s, ''cats'', n_ctx => 65)', '22023', 'n_ctx is 65, but the model''s context is 64'),
  ('CALL collect_calibration(%s, ''cats'', revision => 99)', '22023', 'model "llama" has no revision 99'),
  ('SELECT gram_matrix(%s, ''none'', ''cats'', 1)', '42704', 'model 1 has no tensor "none"'),
  ('SELECT gram_matrix(%s, ''blk.0.attn_q.weight'', ''cats'', 1, 1)', '22023',
    'tensor "blk.0.attn_q.weight" has no expert 1')) v (call, state, message);
INSERT INTO calibration_sets (calibration_set) VALUES ('imported');
SELECT throws_ok(format('CALL collect_calibration(%s, ''imported'')', :m), '22023',
  'calibration set "imported" has no text', 'statistics that were imported cannot be collected');
SELECT import_gguf(little_gguf(), 'little') AS little \gset
SELECT throws_ok(format('CALL collect_calibration(%s, ''cats'')', :little), '55000',
  'the model has no key "llama.context_length"', 'a model that cannot be evaluated');
SELECT add_calibration_set('long', repeat(story(), 250)) \g /dev/null
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok(format('CALL collect_calibration(%s, ''long'')', :m), '53200', NULL, 'too many tokens for the memory');
RESET hartonomous.max_work_memory;
SELECT is((SELECT count(*) FROM calibration_stats WHERE calibration_set = 'long'), 0::bigint, '... before any work');
SAVEPOINT whole;
UPDATE tensor_atoms SET atom_data = quantize(array_fill('NaN'::real, ARRAY[16]), 'F32')
  WHERE model_id = :m AND tensor_name = 'blk.0.ffn_norm.weight';
SELECT throws_ok(format('CALL collect_calibration(%s, ''words'')', :m), '55000',
  'the input of tensor "blk.0.ffn_gate.weight" is not finite', 'weights that are not numbers');
ROLLBACK TO whole;

-- Who may
CREATE ROLE calibration_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO calibration_reader;
SELECT is((state_as('calibration_reader', format('CALL collect_calibration(%s, ''cats'')', :m))).state, '42501',
  'a reader may not collect');
SELECT is((state_as('calibration_reader',
  format('SELECT gram_matrix(%s, ''blk.0.attn_q.weight'', ''cats'', %s)', :m, :r1))).state, '00000', 'but read');

-- What somebody has changed by hand
SELECT throws_ok(format('%s; SELECT gram_matrix(%s, ''blk.0.ffn_up.weight'', ''cats'', %s)', spoiling, :m, :r1),
  '55000', 'the calibration statistics of tensor "blk.0.ffn_up.weight" are damaged', spoiling)
  FROM unnest(ARRAY[
    'UPDATE calibration_grams SET gram = substr(gram, 1, octet_length(gram) - 4)',
    'UPDATE calibration_grams SET gram = substr(gram, 1, 7)',
    'UPDATE calibration_grams SET gram = gram || ''\x00000000''',
    'UPDATE calibration_grams SET gram = overlay(gram PLACING ''\x0000c07f'' FROM 9)',
    'UPDATE calibration_grams SET gram = overlay(gram PLACING ''\x000080bf'' FROM 1)',
    'UPDATE calibration_grams SET first_column = 1',
    'DELETE FROM calibration_grams',
    'UPDATE calibration_grams SET expert = 1',
    'UPDATE calibration_stats SET gram_layer_id = 0',
    'UPDATE calibration_stats SET columns = 17',
    'UPDATE calibration_stats SET experts = 2',
    'UPDATE calibration_stats SET token_counts = ''{1,2}''',
    'UPDATE calibration_stats SET sums_of_squares = ''{1,2}''::real[]',
    'UPDATE calibration_stats SET sums_of_squares = array_fill(-1::real, ARRAY[16])',
    'UPDATE calibration_stats SET sums_of_squares = array_fill(''NaN''::real, ARRAY[16])']) spoiling;

-- The end of sets and models
DELETE FROM calibration_sets WHERE calibration_set = 'words';
SELECT is((SELECT count(*) FROM calibration_stats WHERE calibration_set = 'words'), 0::bigint,
  'a set that is deleted takes its statistics along');
SELECT delete_model(:m) \g /dev/null
SELECT is((SELECT count(*) FROM calibration_grams), 0::bigint, 'and so does a model');
SELECT is_empty($$SELECT without_comment('collect_calibration', 'calibration_inputs', 'collect_calibration_step',
  'add_input_statistics', 'add_gram_panel', 'gram_matrix', 'calibrated_revision', 'plan_calibration',
  'report_calibration')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
