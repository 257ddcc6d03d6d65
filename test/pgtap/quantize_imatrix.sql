-- Quantizing by the importance that calibration statistics have: the bytes of llama-quantize --imatrix, which
-- statistics are taken, and what is refused.
BEGIN;
\ir lib/model_files.sql
SELECT plan(78);

-- A block with experts and seven without, so that the first of them is an eighth of all.
SELECT import_gguf(
  gguf(ARRAY[ROW('token_embd.weight', '{32,20}', 0, waves(20, 32, 1))::tensor,
    ROW('blk.0.attn_norm.weight', '{32}', 0, waves(1, 32, 2))::tensor,
    ROW('blk.0.attn_q.weight', '{64,6}', 0, waves(6, 64, 3))::tensor,
    ROW('blk.0.ffn_down.weight', '{32,6}', 0, waves(6, 32, 4))::tensor,
    ROW('blk.1.ffn_up_exps.weight', '{64,4,3}', 0, waves(12, 64, 5))::tensor,
    ROW('output.weight', '{32,20}', 0, waves(20, 32, 6))::tensor],
    ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', 8)]), 'm') AS m \gset
SELECT current_revision(:m) AS imported \gset
CREATE FUNCTION lib.sums(count bigint, seed integer) RETURNS weights LANGUAGE sql IMMUTABLE
  RETURN (SELECT array_agg((1 + (i + seed) * 37 % 101)::real ORDER BY i) FROM generate_series(1, count) i)::weights;
-- Statistics of all matrices whose names match
CREATE FUNCTION lib.calibrate(model integer, calibration_set text, pattern text DEFAULT '%', seed integer DEFAULT 0)
  RETURNS void LANGUAGE sql BEGIN ATOMIC
  INSERT INTO calibration_sets (calibration_set) VALUES (calibrate.calibration_set) ON CONFLICT DO NOTHING;
  INSERT INTO calibration_stats (model_id, revision_id, calibration_set, layer_id, tokens, columns, experts,
                                 token_counts, sums_of_squares)
    SELECT l.model_id, current_revision(model), calibrate.calibration_set, l.layer_id, 7, l.row_length,
           matrices_of(l.tensor_shape), array_fill(7::bigint, ARRAY[matrices_of(l.tensor_shape)::integer]),
           sums(l.row_length * matrices_of(l.tensor_shape), seed)
      FROM model_layers l WHERE l.model_id = model AND is_matrix(l.tensor_shape) AND l.layer_name LIKE pattern;
END;

-- Which method and statistics
SELECT throws_ok(format('CALL quantize_model(%s, ''Q4_0'', %s)', :m, arguments), state, message, test) FROM (VALUES
  ('calibration_set => ''x''', '55000', 'model "m" has no calibration statistics of calibration set "x"',
    'no such set'),
  ('method => ''imatrix''', '55000', 'model "m" has no calibration statistics', 'no statistics'),
  ('method => ''best''', '22023', 'unknown method "best"', 'an unknown method'),
  ('method => ''plain'', calibration_set => ''x''', '22023', 'method "plain" uses no calibration set',
    'a method without a set, and a set'),
  ('calibration_revision => 1', '22023', 'calibration_revision needs a calibration_set', 'a revision without a set'),
  ('calibration_set => ''x'', column_importance => ''models''', '22023',
    'column_importance and a calibration set cannot be used together', 'two sources of importance'),
  ('method => ''imatrix'', column_importance => ''models''', '22023', NULL, 'two sources, the set not named'))
  v (arguments, state, message, test);
SELECT throws_ok($$SELECT quantize_plan('m', 'Q4_0', calibration_set => 'x')$$, '55000', NULL, 'the same in a plan');
SELECT is(quantize_calibration(:m, method, NULL, NULL, NULL), '{}', format('method %L without a set', method))
  FROM unnest(ARRAY['plain', NULL]) method;
CREATE FUNCTION lib.hint_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  EXECUTE statement;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS said = PG_EXCEPTION_HINT;
  RETURN said;
END $$;
SELECT is(hint_of($$SELECT quantize_plan('m', 'Q4_0', calibration_set => 'x')$$),
  'CALL hartonomous.collect_calibration(''m'', ''x''); collects them, import_importance() reads an importance matrix '
  'of llama.cpp.', 'the hint has the call to make');
SELECT calibrate(:m, 'a');
SELECT is(quantize_calibration(:m, method, calibration_set, NULL, NULL),
  jsonb_build_object('method', 'imatrix', 'calibration_set', 'a', 'calibration_revision', :imported), test)
  FROM (VALUES ('imatrix', NULL, 'the only set there is'), (NULL, 'a', 'the method that its statistics allow'),
    ('imatrix', 'a', 'both')) v (method, calibration_set, test);
SELECT calibrate(:m, 'b', 'blk.0.attn_q%', 5);
SELECT throws_ok($$CALL quantize_model('m', 'Q4_0', method => 'imatrix')$$, '22023',
  'model "m" has statistics of several calibration sets', 'a set must be chosen');
SELECT is(hint_of($$SELECT quantize_plan('m', 'Q4_0', method => 'imatrix')$$),
  'Pass calibration_set. There are "a", "b".', 'the hint lists them');
SELECT throws_ok($$CALL quantize_model('m', 'Q4_0', layer_pattern => 'output%', calibration_set => 'b')$$, '22023',
  'calibration set "b" has statistics of no tensor that is to be quantized', 'statistics of other tensors');

-- The plan
SELECT results_eq($$SELECT layer_name, arguments FROM quantize_plan('m', 'Q4_0', calibration_set => 'a')$$,
  format($$
    SELECT n, CASE WHEN f IS NOT NULL THEN jsonb_build_object('format', f, 'method', 'imatrix', 'calibration_set', 'a',
                                                             'calibration_revision', %s) END
      FROM (VALUES ('token_embd.weight', 'Q4_0'), ('blk.0.attn_norm.weight', NULL), ('blk.0.attn_q.weight', 'Q4_0'),
        ('blk.0.ffn_down.weight', 'Q4_1'), ('blk.1.ffn_up_exps.weight', 'Q4_0'), ('output.weight', 'Q8_0')) v (n, f)$$,
    :imported), 'a set is named, not stored; with importance the first ffn_down gets more bits');
SELECT results_eq($$SELECT layer_name, arguments ? 'method', arguments ->> 'format'
    FROM quantize_plan('m', 'IQ4_NL', calibration_set => 'b') WHERE operation IS NOT NULL$$,
  $$VALUES ('token_embd.weight', false, 'IQ4_NL'), ('blk.0.attn_q.weight', true, 'IQ4_NL'),
    ('blk.0.ffn_down.weight', false, 'IQ4_NL'), ('blk.1.ffn_up_exps.weight', false, 'IQ4_NL'),
    ('output.weight', false, 'Q8_0')$$,
  'tensors without statistics have no importance, but the mixture is that of a model with importance');
SELECT is((SELECT arguments ->> 'format' FROM quantize_plan('m', 'IQ4_NL') WHERE layer_name = 'blk.0.ffn_down.weight'),
  'Q5_1', 'which it is not without a set');

-- Every atom by the importance of its columns; experts by their own
CREATE FUNCTION lib.as_planned(model integer, format text, calibration_set text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  CREATE TEMP TABLE was ON COMMIT DROP AS SELECT * FROM tensor_atoms a WHERE a.model_id = model;
  CALL quantize_model(model, format, calibration_set => calibration_set);
  SELECT string_agg(format('%s %s %s%s', l.layer_name, a.format, a.right_ones, a.unlike), E'\n' ORDER BY l.position)
    INTO said FROM model_layers l, LATERAL (
      SELECT min(weights_format(a.atom_data)) AS format, count(*) FILTER (WHERE a.atom_data = x.by_importance)
             AS right_ones, CASE WHEN count(*) FILTER (WHERE a.atom_data <> x.plain) > 0 THEN ' unlike' END AS unlike
        FROM tensor_atoms a JOIN was w USING (layer_id, atom_sequence), LATERAL (
          SELECT importance_vector(model, l.layer_name, calibration_set) AS v,
                 a.atom_sequence / (a.per_row * l.tensor_shape[cardinality(l.tensor_shape) - 1]) + 1 AS expert,
                 (a.atom_sequence % a.per_row * l.atom_size)::integer AS first
            FROM (SELECT a.atom_sequence, (l.row_length + l.atom_size - 1) / l.atom_size AS per_row) a) i, LATERAL (
          SELECT quantize(w.atom_data, weights_format(a.atom_data)) AS plain,
                 quantize(w.atom_data, weights_format(a.atom_data),
                   CASE array_ndims(i.v) WHEN 1 THEN i.v[i.first + 1 : least(i.first + l.atom_size, l.row_length)]
                     ELSE ARRAY(SELECT unnest(i.v[i.expert : i.expert][i.first + 1 :
                                                     least(i.first + l.atom_size,
                                                       l.row_length)])) END) AS by_importance) x
       WHERE a.model_id = model AND a.layer_id = l.layer_id) a
   WHERE l.model_id = model AND l.layer_name LIKE 'blk.%' AND is_matrix(l.tensor_shape);
  PERFORM rollback_model(model);
  DROP TABLE was;
  RETURN said;
END $$;
SELECT is(as_planned(:m, 'Q4_0', 'a'), E'blk.0.attn_q.weight Q4_0 6 unlike\nblk.0.ffn_down.weight Q4_1 6 unlike\n'
  'blk.1.ffn_up_exps.weight Q4_0 12 unlike', 'every atom by importance, which makes a difference');
SELECT import_gguf(export_gguf(:m), 'cut', 32) AS cut \gset
SELECT calibrate(:cut, 'a');
SELECT is(as_planned(:cut, 'IQ4_NL', 'a'),
  E'blk.0.attn_q.weight IQ4_NL 12 unlike\nblk.0.ffn_down.weight IQ4_NL 6 unlike\n'
  'blk.1.ffn_up_exps.weight IQ4_NL 24 unlike', 'atoms smaller than rows get their part of it');
SELECT is(part_of_row('{1,2,3,4,5,6}', 3, rows, size, sequence), expected::real[],
  format('part_of_row(): 2 matrices of %s rows, atom %s of %s columns', rows, sequence, size))
  FROM (VALUES (1, 3, 0, '{1,2,3}'), (1, 3, 1, '{4,5,6}'), (2, 3, 1, '{1,2,3}'), (2, 3, 2, '{4,5,6}'),
    (1, 2, 0, '{1,2}'), (1, 2, 1, '{3}'), (1, 2, 2, '{4,5}'), (1, 2, 3, '{6}'), (1, 3, 2, '{}'))
    v (rows, size, sequence, expected);

-- What is recorded
CALL quantize_model(:m, 'Q4_0', calibration_set => 'a');
SELECT is(parameters - 'requantize' - 'layer_pattern', jsonb_build_object('format', 'Q4_0', 'method', 'imatrix',
  'calibration_set', 'a', 'calibration_revision', :imported), 'the revision records method, set and revision')
  FROM model_revisions WHERE revision_id = current_revision(:m);
SELECT is(count(*) FILTER (WHERE pg_column_size(arguments) < 200 AND arguments ->> 'calibration_set' = 'a'), 5::bigint,
  'the steps name the set, and do not hold its numbers')
  FROM compression_steps s JOIN compression_runs r USING (run_id)
 WHERE r.revision_id = current_revision(:m) AND s.operation = 'quantize';

-- Statistics of another revision
SELECT throws_ok($$CALL quantize_model('m', 'Q8_0', calibration_set => 'a', requantize => true)$$, '55000',
  format('revision %s of model "m" has no statistics of calibration set "a"', current_revision(:m)),
  'statistics of another revision are refused');
SELECT is(hint_of($$SELECT quantize_plan('m', 'Q8_0', calibration_set => 'a')$$),
  format('Collect them again, roll back to that revision, or use them nevertheless: calibration_revision => %s.',
    :imported), 'the hint has the way to use them');
SELECT lives_ok(format('CALL quantize_model(''m'', ''Q5_1'', requantize => true, calibration_set => ''a'', '
  'calibration_revision => %s)', :imported), 'if asked for, they are used');
SELECT is(parameters ->> 'calibration_revision', :'imported', 'and it is recorded') FROM model_revisions
 WHERE revision_id = current_revision(:m);
SELECT throws_ok(format('SELECT quantize_plan(''m'', ''Q8_0'', calibration_set => ''a'', calibration_revision => %s)',
  999), '55000', NULL, 'a revision that does not exist');
SELECT rollback_model(:m, :imported) \g /dev/null

SELECT backup_model(:m) AS copy \gset
SELECT is(quantize_calibration(:m, 'imatrix', 'a', :copy, NULL) ->> 'calibration_revision', :'imported',
  'a copy of a revision has the statistics of that revision');
SELECT rollback_model(:m, :copy) \g /dev/null
SELECT is(quantize_calibration(:m, 'imatrix', 'a', NULL, NULL) ->> 'calibration_revision', :'imported',
  'also if it is the live one');
SELECT rollback_model(:m, :imported) \g /dev/null

-- An export names the set as llama-quantize does, as long as its formats are those of that quantizing.
CREATE FUNCTION lib.imatrix_keys(model integer) RETURNS jsonb LANGUAGE sql STABLE
  RETURN (SELECT jsonb_agg(kv ORDER BY n) FROM jsonb_array_elements(file_metadata(export_gguf(model), 'gguf') -> 'kv')
    WITH ORDINALITY e (kv, n) WHERE kv ->> 'key' LIKE 'quantize.imatrix.%');
SELECT is(imatrix_keys(:m), NULL, 'an export of a model that was not quantized has no keys of an importance matrix');
CALL quantize_model(:m, 'Q4_0', calibration_set => 'a');
SELECT is(imatrix_keys(:m), '[{"key": "quantize.imatrix.dataset", "type": "string", "value": "a"},
  {"key": "quantize.imatrix.entries_count", "type": "u32", "value": 5}]',
  'one that was names set and number of tensors');
UPDATE calibration_stats SET tokens = 1000, n_ctx = 300 WHERE model_id = :m AND calibration_set = 'a';
SELECT is(imatrix_keys(:m) -> 2, '{"key": "quantize.imatrix.chunks_count", "type": "u32", "value": 3}',
  'and the number of windows, if that is known');
SELECT is(imatrix_keys(create_student(:m, 'student', '{}', '{0}')) -> 0 ->> 'value', 'a', 'a student has them, too');
SELECT import_gguf(export_gguf(:m), 'again') AS again \gset
CALL quantize_model(:again, 'Q8_0', requantize => true);
SELECT is(imatrix_keys(:again) -> 0 ->> 'value', 'a', 'what a file says of its source stays');
SELECT rollback_model(:again) \g /dev/null
SELECT calibrate(:again, 'other');
CALL quantize_model(:again, 'Q8_0', requantize => true, calibration_set => 'other');
DELETE FROM calibration_stats WHERE model_id = :again;
SELECT is(imatrix_keys(:again), '[{"key": "quantize.imatrix.dataset", "type": "string", "value": "other"}]',
  'until another set is used');
CALL quantize_model(:m, 'Q4_1', requantize => true);
SELECT is(imatrix_keys(:m), NULL, 'quantized again without a set, a model has none');
SELECT rollback_model(:m, :imported) \g /dev/null
UPDATE calibration_stats SET tokens = 7, n_ctx = NULL WHERE model_id = :m AND calibration_set = 'a';
SELECT is(with_keys(metadata::jsonb, 'a.', '[{"key": "a.c"}]')::text, expected, format('with_keys() of %s', metadata))
  FROM (VALUES ('{"kv": []}', '{"kv": [{"key": "a.c"}]}'),
    ('{"kv": [{"key": "a.b"}, {"key": "ab"}, {"key": "a.c"}]}', '{"kv": [{"key": "ab"}, {"key": "a.c"}]}'),
    (NULL, NULL)) v (metadata, expected);
SELECT is(last_quantizing(:m), NULL, 'last_quantizing() of an imported model');
SELECT throws_ok('SELECT last_quantizing(999)', '42704', NULL, 'of no model');

-- Two bits per weight
SELECT import_gguf(
  gguf(ARRAY[ROW('token_embd.weight', '{256,2}', 0, waves(2, 256, 1))::tensor,
    ROW('blk.0.attn_q.weight', '{256,2}', 0, waves(2, 256, 2))::tensor,
    ROW('blk.0.attn_k.weight', '{256,2}', 0, waves(2, 256, 3))::tensor]), 'wide') AS wide \gset
SELECT calibrate(:wide, 'q', '%attn_q%');
SELECT throws_ok($$CALL quantize_model('wide', 'Q2_K_S', calibration_set => 'q')$$, '22023',
  'Q2_K_S needs the importance of the columns of tensor "blk.0.attn_k.weight"', 'Q2_K_S needs it for each tensor');
SELECT lives_ok($$CALL quantize_model('wide', 'Q2_K', calibration_set => 'q')$$, 'Q2_K does not');
SELECT rollback_model(:wide) \g /dev/null
SELECT calibrate(:wide, 'all', 'blk%');
SELECT lives_ok($$CALL quantize_model('wide', 'Q2_K_S', calibration_set => 'all')$$,
  'nor does Q2_K_S for the embedding');
SELECT rollback_model(:wide) \g /dev/null

-- Operations and plans
SELECT throws_ok(format('SELECT check_operation(''quantize'', ''{"format": "Q4_0", %s}'')', members), '22023', message,
  members) FROM (VALUES
  ('"method": "best"', 'arguments of operation "quantize": "method" must be plain, imatrix or hessian'),
    ('"method": 1', NULL), ('"method": "imatrix"', NULL), ('"method": "imatrix", "calibration_set": "a"', NULL),
    ('"calibration_set": "a", "calibration_revision": 1', NULL), ('"calibration_revision": 1', NULL),
    ('"method": "imatrix", "calibration_set": "a", "calibration_revision": 0', NULL),
    ('"method": "imatrix", "calibration_set": 1, "calibration_revision": 1', NULL),
    ('"method": "imatrix", "calibration_set": "a", "calibration_revision": 1, "column_importance": [1]',
      'operation "quantize" takes either "column_importance" or a calibration set')) v (members, message);
SELECT lives_ok(format('SELECT check_operation(''quantize'', %L)', arguments), arguments) FROM unnest(ARRAY[
  '{"format": "Q4_0", "method": "plain"}',
  '{"format": "Q4_0", "method": "imatrix", "calibration_set": "a", "calibration_revision": 1}']) arguments;
CREATE TABLE lib.plan AS SELECT array_agg(p) AS plan FROM quantize_plan('m', 'Q4_0', calibration_set => 'a') p;
CREATE FUNCTION lib.run() RETURNS void LANGUAGE plpgsql AS $$
DECLARE planned tensor_plan[] := (SELECT p.plan FROM lib.plan p);
BEGIN
  CALL run_plan('m', 'mine', planned);
END $$;
SELECT lives_ok('SELECT run()', 'a plan is carried out as it is');
SELECT rollback_model(:m) \g /dev/null
DELETE FROM calibration_stats WHERE calibration_set = 'a' AND model_id = :m;
SELECT throws_ok('SELECT run()', '22023',
  format('there are no statistics of calibration set "a" for revision %s', :imported),
  'without its statistics it is refused');
SELECT throws_ok(format($$SELECT c.* FROM model_layers, copy_atoms(live_partition(%1$s), live_partition(%1$s), %2$s,
    layer_id, 'quantize',
    '{"format": "Q4_0", "method": "imatrix", "calibration_set": "a", "calibration_revision": %2$s}')
    c WHERE model_id = %1$s AND layer_name = 'output.weight'$$, :m, :imported), '42704', NULL,
  'and so is an operation');
SELECT calibrate(:m, 'a');
UPDATE calibration_stats SET sums_of_squares = '{1}'::real[]::weights WHERE calibration_set = 'a' AND model_id = :m;
SELECT throws_ok($$CALL quantize_model('m', 'Q4_0', calibration_set => 'a')$$, '55000', NULL,
  'statistics that do not fit');
SELECT is(current_revision(:m), :imported, 'none of these changed the model');

-- The digests of all tensors of llama-quantize's files (v0.5.0, --imatrix with an export of these statistics)
\if :has_example_model
SELECT import_gguf(example_model(), 'example') AS example \gset
SELECT calibrate(:example, 'formula');
DELETE FROM calibration_stats USING model_layers l
 WHERE l.layer_id = calibration_stats.layer_id AND l.model_id = :example AND l.layer_name LIKE 'blk.1.attn_k%';
CREATE FUNCTION lib.digest(model integer, format text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  CALL quantize_model(model, format, calibration_set => 'formula');
  SELECT encode(sha256(string_agg(a.atom_data::bytea, '' ORDER BY l.position, a.atom_sequence)), 'hex') INTO said
    FROM tensor_atoms a JOIN model_layers l USING (layer_id) WHERE a.model_id = model;
  PERFORM rollback_model(model);
  RETURN said;
END $$;
SELECT is(digest(:example, format), expected, format('the bytes of llama-quantize --imatrix: %s', format))
  FROM (VALUES ('Q2_K', 'e2038562acd340d5e3f8a575a903c41a4675a6a9f92dc4ff603cc351ba951d5c'),
    ('Q3_K_M', 'ec255644e1ea703b4fb967745befd5e3521533d4c100f2c21461935ad8387e75'),
    ('Q4_0', 'e3548c587644600a08a21cdfb23122fb4847054e0562ab02bc17ea85ad675ed9'),
    ('Q4_K_M', 'd4fdeef10e87f42b849385dba5bc5ec25f4e559a3aa2e0fd58f33ba0ddfeced5'),
    ('IQ4_NL', '9c829ad46e4baef87be11114ed7fbcc03daa835ed44198f0d161770b2c7fd069'),
    ('Q5_1', '07569c92395af09399a3c60816434cfef31e678c592bdc2c16d9e11b5b68a7e4'),
    ('Q6_K', '21d0c5fbb16530b36f1c0e17a66e0884e075fe4064e23adf778771d3f139bcf3')) v (format, expected);
\else
SELECT skip('needs HARTONOMOUS_MODEL', 7);
\endif
SELECT * FROM finish();
ROLLBACK;
