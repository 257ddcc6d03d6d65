-- Quantizing with rows that share their errors: collecting gradients by the outputs, plans that use them, and bytes
-- that do not depend on how they were made.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(48);

\getenv examples HARTONOMOUS_EXAMPLES
SELECT import_gguf(:'examples' || '/tiny-stories.gguf', 'tiny') AS tiny \gset
SELECT present(:tiny) AS imported \gset
SELECT pg_read_file(:'examples' || '/heldout.txt') AS text \gset
SELECT add_calibration_set('c', left(:'text', 12000)) \g /dev/null

CREATE FUNCTION lib.hint_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  said text;
BEGIN
  EXECUTE statement;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS said = PG_EXCEPTION_HINT;
  RETURN said;
END $$;
CREATE FUNCTION lib.bytes(model integer) RETURNS text LANGUAGE sql
  RETURN (SELECT md5(string_agg(content_hash::text, '' ORDER BY layer_id, atom_sequence)) FROM tensor_atoms
           WHERE model_id = model);
CREATE FUNCTION lib.gradients(model integer) RETURNS text LANGUAGE sql STABLE
  RETURN (SELECT md5(string_agg(g.layer_id || md5(g.gram), ' ' ORDER BY g.layer_id, g.first_column))
            FROM calibration_grams g WHERE g.model_id = model AND g.of_gradients);
CREATE FUNCTION lib.plan_of(name text, curvature text) RETURNS SETOF tensor_plan LANGUAGE sql
BEGIN ATOMIC
  SELECT p.* FROM quantize_plan(name, 'Q4_K_M', calibration_set => 'c', curvature => plan_of.curvature) p;
END;

-- Before anything is collected, and without gradients
SELECT throws_ok($$CALL collect_calibration('tiny', 'c', statistics => 'hessian')$$, '22023',
  'unknown statistics "hessian"', 'statistics have names');
CALL collect_calibration('tiny', 'c', max_tokens => 1000, n_ctx => 128);
SELECT hint_of($$SELECT quantize_plan('tiny', 'Q4_K', calibration_set => 'c', curvature => 'fisher')$$) AS hint \gset
SELECT throws_ok($$SELECT quantize_plan('tiny', 'Q4_K', calibration_set => 'c', curvature => 'fisher')$$, '55000',
  format('calibration set "c" has no Gram matrices of gradients of revision %s of model "tiny"', :imported),
  'gradients have to be collected');
SELECT is(:'hint'::text,
  'CALL hartonomous.collect_calibration(''tiny'', ''c'', statistics => ''fisher''); collects them.',
  'and the hint is the call that does it');
SELECT throws_ok(format('SELECT quantize_plan(''tiny'', ''Q4_K'', calibration_set => ''c'', %s)', arguments), '22023',
  NULL, arguments)
  FROM unnest(ARRAY['curvature => ''hessian''', 'curvature => ''fisher'', method => ''imatrix''']) arguments;
SELECT throws_ok($$SELECT quantize_plan('tiny', 'Q4_K', curvature => 'fisher')$$, '22023', NULL, 'without a set');
SELECT is((SELECT count(*) FROM plan_of('tiny', 'input') p WHERE p.arguments ? 'curvature'), 0::bigint,
  'curvature input is what there is without gradients');

-- Collecting
SELECT array_agg(format('%s %s', s.layer_id, s.created_at) ORDER BY s.layer_id) AS written FROM calibration_stats s
  \gset
CALL collect_calibration('tiny', 'c', max_tokens => 1000, n_ctx => 128, statistics => 'fisher');
SELECT is((SELECT array_agg(format('%s %s', s.layer_id, s.created_at) ORDER BY s.layer_id) FROM calibration_stats s),
  :'written'::text[], 'what has been collected is kept');
SELECT results_eq(
  $$SELECT l.layer_name, octet_length(g.gram) FROM calibration_grams g JOIN model_layers l USING (layer_id)
    WHERE g.of_gradients ORDER BY l.layer_id$$,
  $$SELECT l.layer_name, 2 * l.tensor_shape[1]::integer * (l.tensor_shape[1]::integer + 1) FROM model_layers l
     WHERE l.layer_idx >= 0 AND cardinality(l.tensor_shape) = 2 ORDER BY l.layer_id$$,
  'a triangle of gradients by the outputs of each matrix of a block');
SELECT ok(min(g) >= 0 AND max(g) > 0, 'of gradients, too, the diagonal is of squares')
  FROM model_layers l, unnest(gram_matrix(:tiny, l.layer_name, 'c', :imported, 0, true)) WITH ORDINALITY AS u (g, n)
 WHERE l.layer_name = 'blk.1.attn_k.weight' AND n IN (1, 1 + l.tensor_shape[1], 2 * l.tensor_shape[1]);
SELECT gradients(:tiny) AS gradients \gset
SELECT array_agg(g.ctid ORDER BY g.ctid) AS rows FROM calibration_grams g \gset
CALL collect_calibration('tiny', 'c', max_tokens => 1000, n_ctx => 128, statistics => 'fisher');
CALL collect_calibration('tiny', 'c', max_tokens => 1000, n_ctx => 128);
SELECT is((SELECT array_agg(g.ctid ORDER BY g.ctid) FROM calibration_grams g), :'rows'::tid[],
  'the same call again does nothing, nor does one for less');
DELETE FROM calibration_grams g USING model_layers l WHERE g.layer_id = l.layer_id AND g.of_gradients
  AND l.layer_idx = 1;
SET LOCAL hartonomous.threads = 2;
CALL collect_calibration('tiny', 'c', max_tokens => 1000, n_ctx => 128, statistics => 'fisher');
RESET hartonomous.threads;
SELECT is(gradients(:tiny), :'gradients', 'a block that is missing is collected, to the bit, on any number of threads');
DELETE FROM calibration_stats s USING model_layers l WHERE s.layer_id = l.layer_id
  AND l.layer_name = 'blk.2.ffn_up.weight';
SELECT is((SELECT count(*) FROM calibration_grams WHERE of_gradients), 20::bigint, 'gradients belong to their tensor');
CALL collect_calibration('tiny', 'c', max_tokens => 1000, n_ctx => 128, statistics => 'fisher');
SELECT is(gradients(:tiny), :'gradients', 'and are collected again with it');
DELETE FROM calibration_sets;
SELECT is((SELECT count(*) FROM calibration_grams), 0::bigint, 'a set takes all of its statistics along');
SELECT add_calibration_set('c', left(:'text', 12000)) \g /dev/null
CALL collect_calibration('tiny', 'c', max_tokens => 1000, n_ctx => 128, statistics => 'fisher');
SELECT is(gradients(:tiny), :'gradients', 'inputs and gradients are collected in one call');
CALL collect_calibration('tiny', 'c', max_tokens => 900, n_ctx => 128);
SELECT is((SELECT count(*) FROM calibration_grams WHERE of_gradients), 0::bigint, 'other tokens replace everything');
CALL collect_calibration('tiny', 'c', max_tokens => 1000, n_ctx => 128, statistics => 'fisher');

-- Plans
SELECT is((SELECT count(*) FROM plan_of('tiny', 'fisher') p JOIN model_layers l USING (layer_id)
            WHERE p.operation = 'quantize' AND (p.arguments ->> 'curvature' = 'fisher') IS DISTINCT FROM true
              AND l.layer_idx >= 0), 0::bigint, 'all matrices of blocks are quantized two-sided');
SELECT is((SELECT count(*) FROM plan_of('tiny', 'fisher') p JOIN model_layers l USING (layer_id)
            WHERE p.operation = 'quantize' AND p.arguments ? 'curvature' AND l.layer_idx < 0), 0::bigint,
  'the embedding and the output matrix, which have no gradients, are not');
SELECT results_eq($$SELECT layer_name, arguments - 'curvature', bytes_after, reason FROM plan_of('tiny', 'fisher')$$,
  $$SELECT layer_name, arguments, bytes_after, reason FROM plan_of('tiny', 'input')$$, 'all else is the same');
SELECT results_eq($$SELECT p FROM plan_of('tiny', NULL) p$$, $$SELECT p FROM plan_of('tiny', 'fisher') p$$,
  'gradients are used by default');
SELECT is((SELECT count(*) FROM quantize_plan('tiny', 'Q4_K_M', calibration_set => 'c', method => 'imatrix') p
            WHERE p.arguments ? 'curvature'), 0::bigint, 'but not by other methods');
SELECT is((SELECT count(*) FROM svd_plan('tiny', target_ratio => 0.5, calibration_set => 'c') p
            WHERE p.arguments ? 'curvature'), 0::bigint, 'nor by other operations');
CALL measure_sensitivity('tiny', 'c', formats => '{Q4_K,Q8_0}', probe_tokens => 64);
SELECT is((SELECT count(*) FILTER (WHERE p.arguments ->> 'curvature' = 'fisher') FROM model_layers l
             JOIN bit_allocation('tiny', 1500000, 'c', formats => '{Q4_K,Q8_0}') p USING (layer_id)
            WHERE l.layer_idx >= 0 AND cardinality(l.tensor_shape) = 2), 21::bigint,
  'plans that allocate bits use them, too');

-- What is written
CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', curvature => 'input');
SELECT bytes(:tiny) AS one_sided, present(:tiny) AS quantized \gset
SELECT is((SELECT parameters ->> 'curvature' FROM model_revisions WHERE revision_id = :quantized), 'input',
  'a revision records that gradients were not wanted');
SELECT rollback_model('tiny') \g /dev/null
CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c');
SELECT bytes(:tiny) AS two_sided, present(:tiny) AS quantized \gset
SELECT isnt(:'two_sided'::text, :'one_sided'::text, 'the weights are others than those of rows on their own');
SELECT is((SELECT count(*) FROM check_model('tiny')), 0::bigint, 'the model has no faults');
SELECT is((SELECT string_agg(DISTINCT weights_format(atom_data), ' ' ORDER BY weights_format(atom_data))
             FROM tensor_atoms a JOIN model_layers l USING (layer_id) WHERE a.model_id = :tiny AND l.layer_idx >= 0
              AND cardinality(l.tensor_shape) = 2), 'Q4_K Q6_K', 'the formats are those of the mixture');
SELECT cmp_ok(perplexity('tiny', right(:'text', 8000), 128), '<',
  1.1 * perplexity('tiny', right(:'text', 8000), 128, :imported),
  'the model still predicts the text');
SELECT is((SELECT parameters ->> 'curvature' FROM model_revisions WHERE revision_id = :quantized), 'fisher',
  'the revision records it');
SELECT rollback_model('tiny') \g /dev/null
SET LOCAL hartonomous.threads = 2;
CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', curvature => 'fisher');
RESET hartonomous.threads;
SELECT is(bytes(:tiny), :'two_sided', 'the number of threads changes nothing');
SELECT rollback_model('tiny') \g /dev/null

-- In sequence
CALL quantize_model('tiny', 'Q4_K_M', 'blk.0.%', calibration_set => 'c', sequential => true, curvature => 'input');
SELECT bytes(:tiny) AS one_sided \gset
SELECT rollback_model('tiny') \g /dev/null
CALL quantize_model('tiny', 'Q4_K_M', 'blk.0.%', calibration_set => 'c', sequential => true, curvature => 'fisher');
SELECT isnt(bytes(:tiny), :'one_sided', 'rows share their errors in sequence, too');
SELECT is((SELECT count(*) FROM check_model('tiny')), 0::bigint, 'and the model has no faults');
SELECT rollback_model('tiny') \g /dev/null

-- Plans that users write
CREATE TABLE lib.mine AS SELECT array_agg(p) AS plan FROM plan_of('tiny', 'fisher') p
  WHERE p.layer_name = 'blk.0.attn_q.weight';
SELECT lives_ok($$SELECT check_operation('quantize', '{"format": "Q4_K", "method": "hessian", "calibration_set": "c",
  "calibration_revision": 1, "curvature": "fisher"}')$$, 'an argument of the operation');
SELECT throws_ok(format('SELECT check_operation(''quantize'', %L)', '{"format": "Q4_K"}'::jsonb || arguments), '22023',
    NULL, arguments::text)
  FROM (VALUES ('{"curvature": "fisher"}'::jsonb),
    ('{"method": "hessian", "calibration_set": "c", "calibration_revision": 1, "curvature": "input"}'),
    ('{"method": "hessian", "calibration_set": "c", "calibration_revision": 1, "curvature": true}')) v (arguments);

-- Without gradients rows stay on their own, by default and if that is wanted.
CREATE FUNCTION lib.planned_without_gradients() RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM calibration_grams WHERE of_gradients;
  RETURN QUERY SELECT count(*) FROM unnest(ARRAY[NULL, 'input']) c, plan_of('tiny', c) p
                WHERE p.arguments ? 'curvature';
  RAISE EXCEPTION USING ERRCODE = 'triggered_action_exception';
EXCEPTION WHEN triggered_action_exception THEN
END $$;
SELECT results_eq('SELECT planned_without_gradients()', '{0}'::bigint[], 'without gradients there is no default');

-- Statistics that are missing or damaged
CREATE FUNCTION lib.with_gradients(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  planned tensor_plan[] := (SELECT plan FROM lib.mine);
BEGIN
  EXECUTE change;
  CALL quantize_model('tiny', planned);
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END $$;
SELECT is(
  with_gradients(format('%s WHERE of_gradients AND layer_id = %s', change, layer(:tiny, 'blk.0.attn_q.weight'))),
          state, test) FROM (VALUES
  ('DELETE FROM calibration_grams', '22023', 'no gradients'),
  ('UPDATE calibration_grams SET gram = substr(gram, 1, 100)', '55000', 'incomplete ones'),
  ('UPDATE calibration_grams SET gram = gram || ''\x00''', '55000', 'too many'),
  ('UPDATE calibration_grams SET gram = overlay(gram PLACING ''\x0000c07f'' FROM 401)', '55000', 'NaN'),
  ('UPDATE calibration_grams SET gram = overlay(gram PLACING ''\x000080bf'' FROM 1)', '55000', 'a negative square'),
  ('UPDATE calibration_grams SET first_column = 1', '55000', 'ones that do not begin'),
  ('UPDATE calibration_grams SET gram = decode(repeat(''00'', octet_length(gram)), ''hex'')', 'no error',
   'outputs that are never active leave rows on their own')) v (change, state, test);
SELECT rollback_model('tiny') \g /dev/null
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok($$CALL quantize_model('tiny', 'Q4_K', 'blk.0.ffn_up.weight', calibration_set => 'c',
  curvature => 'fisher')$$, '53200', NULL, 'beyond max_work_memory');
RESET hartonomous.max_work_memory;

-- Models without gradients
SELECT import_gguf(llama_gguf(1, '{}', ARRAY[]::bytea[]), 'llama') AS llama \gset
CALL collect_calibration('llama', 'c', max_tokens => 50, statistics => 'fisher');
SELECT is((SELECT count(*) FROM calibration_grams WHERE model_id = :llama AND of_gradients), 7::bigint,
  'another model');
UPDATE tensor_atoms SET atom_data = array_fill('NaN'::real, ARRAY[weights_count(atom_data)::integer])::weights
 WHERE model_id = :llama AND layer_id = layer(:llama, 'output_norm.weight');
DELETE FROM calibration_grams WHERE model_id = :llama AND of_gradients;
SELECT throws_ok($$CALL collect_calibration('llama', 'c', max_tokens => 50, statistics => 'fisher')$$, '55000', NULL,
  'gradients that are not finite are refused');
SELECT * FROM finish();
ROLLBACK;
