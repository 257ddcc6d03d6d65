-- Quantizing against the Hessian of the inputs: the loss of the outputs, whole rows of several atoms, atoms that are
-- missing, experts, and statistics that are missing or damaged.
BEGIN;
\ir lib/model_files.sql
SELECT plan(60);

CREATE FUNCTION lib.import(name text, atom_size integer) RETURNS integer LANGUAGE sql AS $$
  SELECT import_gguf(
    gguf(ARRAY[ROW('blk.0.attn_norm.weight', '{256}', 0, waves(1, 256, 1))::tensor,
      ROW('blk.0.attn_q.weight', '{256,10}', 0, waves(10, 256, 2))::tensor,
      ROW('blk.0.attn_k.weight', '{256,3}', 0, waves(3, 256, 3))::tensor,
      ROW('blk.0.ffn_down.weight', '{64,6}', 0, waves(6, 64, 4))::tensor,
      ROW('blk.1.ffn_up_exps.weight', '{64,4,3}', 0, waves(12, 64, 5))::tensor,
      ROW('output.weight', '{64,20}', 0, waves(20, 64, 6))::tensor],
      ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', 2)]), name, atom_size)
$$;
SELECT import('m', NULL) AS m \gset
SELECT import('parts', 32) AS parts \gset
SELECT current_revision(:m) AS imported \gset

-- Inputs whose neighbors are correlated, of different energy; column 5 is never active.
CREATE FUNCTION lib.gram_entry(i integer, j integer, seed integer) RETURNS double precision LANGUAGE sql IMMUTABLE
  RETURN CASE WHEN 5 IN (i, j) THEN 0
              ELSE (1 + i * 37 % 11) * (1 + j * 37 % 11) * 0.9 ^ (abs(i - j) + seed % 3 * (i <> j)::integer) END;
CREATE FUNCTION lib.gram(columns integer, seed integer) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT string_agg(reversed(float4send(gram_entry(i, j, seed)::real)), '' ORDER BY i, j)
            FROM generate_series(0, columns - 1) i, generate_series(0, columns - 1) j WHERE j >= i);
CREATE FUNCTION lib.diagonal(columns integer, experts bigint, seed integer) RETURNS weights LANGUAGE sql IMMUTABLE
  RETURN (SELECT array_agg(gram_entry(i, i, seed)::real ORDER BY e, i)
            FROM generate_series(1, experts) e, generate_series(0, columns - 1) i)::weights;
-- Statistics of all matrices but one; attn_k shares those of attn_q. No token went to the last expert.
CREATE FUNCTION lib.calibrate(model integer, set_name text DEFAULT 'a') RETURNS void LANGUAGE sql BEGIN ATOMIC
  INSERT INTO calibration_sets (calibration_set) VALUES (set_name) ON CONFLICT DO NOTHING;
  INSERT INTO calibration_stats (model_id, revision_id, calibration_set, layer_id, tokens, columns, experts,
                                 token_counts, sums_of_squares, gram_layer_id)
    SELECT l.model_id, current_revision(model), set_name, l.layer_id, 9, l.row_length, matrices_of(l.tensor_shape),
           CASE WHEN matrices_of(l.tensor_shape) = 1 THEN ARRAY[9::bigint] ELSE ARRAY[5, 4, 0]::bigint[] END,
           diagonal(l.row_length::integer, matrices_of(l.tensor_shape), 0),
           CASE l.layer_name WHEN 'blk.0.attn_k.weight' THEN l.layer_id - 1
                             WHEN 'output.weight' THEN NULL ELSE l.layer_id END
      FROM model_layers l WHERE l.model_id = model AND is_matrix(l.tensor_shape);
  INSERT INTO calibration_grams (model_id, revision_id, calibration_set, layer_id, expert, first_column, gram)
    SELECT s.model_id, s.revision_id, s.calibration_set, s.layer_id, e, 0, gram(s.columns, e)
      FROM calibration_stats s, generate_series(0, least(s.experts, 2) - 1) e
     WHERE s.model_id = model AND s.calibration_set = set_name AND s.gram_layer_id = s.layer_id
       AND s.columns <= 256;
END;

-- Before there are statistics
SELECT throws_ok(format('CALL quantize_model(%s, ''Q4_0'', %s)', :m, arguments), state, message, test) FROM (VALUES
  ('method => ''hessian''', '55000', 'model "m" has no calibration statistics', 'no statistics at all'),
  ('damping => 0.1', '22023', 'damping, sweeps, sequential and curvature are for the method "hessian" only',
    'damping without a set'),
  ('method => ''plain'', sweeps => 1', '22023',
    'damping, sweeps, sequential and curvature are for the method "hessian" only',
    'sweeps of another method'),
  ('method => ''hessian'', damping => 0', '22023', 'damping must be above 0 and at most 1, not 0', 'no damping'),
  ('method => ''hessian'', damping => 1.5', '22023', 'damping must be above 0 and at most 1, not 1.5',
    'too much damping'),
  ('method => ''hessian'', damping => ''NaN''', '22023', 'damping must be above 0 and at most 1, not NaN',
    'NaN as damping'),
  ('method => ''hessian'', sweeps => -1', '22023', 'sweeps must be from 0 to 100, not -1', 'negative sweeps'),
  ('method => ''hessian'', sweeps => 101', '22023', 'sweeps must be from 0 to 100, not 101', 'too many sweeps'))
  v (arguments, state, message, test);
CREATE FUNCTION lib.hint_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  EXECUTE statement;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS said = PG_EXCEPTION_HINT;
  RETURN said;
END $$;
SELECT calibrate(m) FROM unnest(ARRAY[:m, :parts]) m \g /dev/null
UPDATE calibration_stats SET gram_layer_id = NULL WHERE model_id = :m;
SELECT throws_ok(format('SELECT quantize_plan(%s, ''Q4_0'', method => ''hessian'')', :m), '55000',
  format('calibration set "a" has no Gram matrices of revision %s of model "m"', :imported), 'no Gram matrices');
SELECT is(hint_of(format('SELECT quantize_plan(%s, ''Q4_0'', method => ''hessian'')', :m)),
  'CALL hartonomous.collect_calibration(''m'', ''a''); collects them.', 'and the call that collects them');
SELECT is(quantize_calibration(:m, NULL, 'a', NULL, NULL) ->> 'method', 'imatrix', 'a set without Gram matrices');
DELETE FROM calibration_stats WHERE model_id = :m;
SELECT calibrate(:m);

-- The method, and what plans say
SELECT is(quantize_calibration(:m, method, set_name, NULL, NULL, damping, sweeps),
  jsonb_strip_nulls(jsonb_build_object('method', 'hessian', 'calibration_set', 'a', 'calibration_revision', :imported,
    'damping', damping, 'sweeps', sweeps)), test) FROM (VALUES
  (NULL, 'a', NULL, NULL, 'the default with Gram matrices'),
  ('hessian', NULL, NULL, NULL, 'the only set there is'),
  ('hessian', 'a', 0.05::float8, 3, 'with all arguments')) v (method, set_name, damping, sweeps, test);
SELECT results_eq(format($$SELECT layer_name, arguments - 'calibration_set' - 'calibration_revision'
  FROM quantize_plan(%s, 'Q4_0', calibration_set => 'a', sweeps => 2, pure => true) WHERE operation IS NOT NULL$$, :m),
  $$VALUES ('blk.0.attn_q.weight', '{"format": "Q4_0", "method": "hessian", "sweeps": 2}'::jsonb),
    ('blk.0.attn_k.weight', '{"format": "Q4_0", "method": "hessian", "sweeps": 2}'),
    ('blk.0.ffn_down.weight', '{"format": "Q4_0", "method": "hessian", "sweeps": 2}'),
    ('blk.1.ffn_up_exps.weight', '{"format": "Q4_0", "method": "hessian", "sweeps": 2}'),
    ('output.weight', '{"format": "Q4_0", "method": "imatrix"}')$$,
  'a tensor without Gram matrix is quantized by its importance');

-- The loss: sum over rows of e G e
CREATE FUNCTION lib.loss(model integer, tensor text, weights_before real[], seed integer DEFAULT 0)
  RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
  columns integer := (SELECT row_length FROM model_layers l WHERE l.model_id = model AND l.layer_name = tensor);
  now real[] := tensor_weights(model, tensor)::real[];
  gram float8[] := ARRAY(SELECT gram_entry(i, j, seed) FROM generate_series(0, columns - 1) i,
                                                            generate_series(0, columns - 1) j ORDER BY i, j);
  e float8[];
  total float8 := 0;
  product float8;
BEGIN
  FOR r IN 0 .. cardinality(now) / columns - 1 LOOP
    e := ARRAY(SELECT weights_before[r * columns + i] - now[r * columns + i] FROM generate_series(1, columns) i);
    FOR i IN 1 .. columns LOOP
      product := 0;
      FOR j IN 1 .. columns LOOP
        product := product + gram[(i - 1) * columns + j] * e[j];
      END LOOP;
      total := total + product * e[i];
    END LOOP;
  END LOOP;
  RETURN total;
END
$$;
CREATE FUNCTION lib.digest(model integer, tensor text) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT sha256(string_agg(a.atom_data::bytea, '' ORDER BY a.atom_sequence))
            FROM tensor_atoms a WHERE a.model_id = model AND a.tensor_name = tensor);
END $$;
CREATE TEMP TABLE original ON COMMIT DROP AS
  SELECT l.layer_name, tensor_weights(:m, l.layer_name)::real[] AS w FROM model_layers l
   WHERE l.model_id = :m AND is_matrix(l.tensor_shape);
CREATE FUNCTION lib.losses(model integer, format text, method text, tensor text) RETURNS double precision
LANGUAGE plpgsql AS $$
DECLARE result double precision;
BEGIN
  EXECUTE format('CALL quantize_model(%s, %L, layer_pattern => %L, method => %L, calibration_set => ''a'', '
                 'pure => true)', model, format, tensor, method);
  result := loss(model, tensor, (SELECT w FROM original WHERE layer_name = tensor));
  PERFORM rollback_model(model);
  RETURN result;
END $$;
SELECT cmp_ok(losses(:m, format, 'hessian', tensor), '<', 0.6 * losses(:m, format, 'imatrix', tensor),
  format('the loss in %s is clearly below that by importance', format)) FROM (VALUES
  ('Q2_K', 'blk.0.attn_k.weight'), ('Q3_K_S', 'blk.0.attn_k.weight'), ('Q4_K_S', 'blk.0.attn_k.weight'),
    ('Q5_K_S', 'blk.0.attn_k.weight'), ('Q6_K', 'blk.0.attn_k.weight'), ('IQ4_XS', 'blk.0.attn_k.weight'),
    ('Q4_0', 'blk.0.ffn_down.weight'), ('Q5_0', 'blk.0.ffn_down.weight'), ('IQ4_NL', 'blk.0.ffn_down.weight'))
  v (format, tensor);

-- What is written
CREATE TEMP TABLE was ON COMMIT DROP AS SELECT * FROM tensor_atoms WHERE model_id = :m;
CALL quantize_model(:m, 'Q4_0', calibration_set => 'a', pure => true);
SELECT results_eq(format($$SELECT w.tensor_name, count(*), bool_and(weights_format(a.atom_data) = 'Q4_0'),
    bool_and((w.x, w.y, w.importance_score, w.hilbert_index) IS NOT DISTINCT FROM
             (a.x, a.y, a.importance_score, a.hilbert_index)),
    bool_and(a.content_hash = sha256(a.atom_data::bytea))
    FROM was w JOIN tensor_atoms a ON a.model_id = %s AND a.layer_id = w.layer_id AND a.atom_sequence = w.atom_sequence
   WHERE w.tensor_name <> 'blk.0.attn_norm.weight' GROUP BY w.tensor_name, w.layer_id ORDER BY w.layer_id$$, :m),
  $$VALUES ('blk.0.attn_q.weight'::text, 10::bigint, true, true, true), ('blk.0.attn_k.weight', 3, true, true, true),
    ('blk.0.ffn_down.weight', 6, true, true, true), ('blk.1.ffn_up_exps.weight', 12, true, true, true),
    ('output.weight', 20, true, true, true)$$, 'all atoms, with everything else as it was');
SELECT is(parameters - 'requantize' - 'layer_pattern', jsonb_build_object('format', 'Q4_0', 'pure', true,
  'method', 'hessian', 'calibration_set', 'a', 'calibration_revision', :imported),
  'the revision records method, set and revision') FROM model_revisions WHERE revision_id = current_revision(:m);
SELECT is(importance_keys(:m) -> 0, '{"key": "quantize.imatrix.dataset", "type": "string", "value": "a"}',
  'and an export names the set');
CREATE TEMP TABLE whole ON COMMIT DROP AS
  SELECT l.layer_name, digest(:m, l.layer_name) AS digest FROM model_layers l
   WHERE l.model_id = :m AND is_matrix(l.tensor_shape);
SELECT is(digest(:m, 'output.weight'), sha256(string_agg(quantize(w.atom_data, 'Q4_0',
  (SELECT array_agg((gram_entry(i, i, 0) / 9)::real ORDER BY i) FROM generate_series(0, 63) i))::bytea, ''
  ORDER BY w.atom_sequence)), 'importance instead of a missing Gram matrix') FROM was w
  WHERE tensor_name = 'output.weight';
-- The experts, each by its own Gram matrix; where no token went, each weight counts the same.
CREATE FUNCTION lib.expert(model integer, n integer) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT sha256(string_agg(a.atom_data::bytea, '' ORDER BY a.atom_sequence)) FROM tensor_atoms a
           WHERE a.model_id = model AND a.tensor_name = 'blk.1.ffn_up_exps.weight' AND a.atom_sequence / 4 = n);
END $$;
SELECT cmp_ok(loss(:m, 'blk.1.ffn_up_exps.weight', (SELECT w FROM original
  WHERE layer_name = 'blk.1.ffn_up_exps.weight'), 0), '>', 0::float8, 'experts are quantized');
SELECT expert(:m, 0) AS first, expert(:m, 1) AS second, expert(:m, 2) AS third \gset
SELECT rollback_model(:m) \g /dev/null
UPDATE calibration_grams SET gram = gram(64, 0) WHERE model_id = :m AND expert = 1;
CALL quantize_model(:m, 'Q4_0', '%exps%', calibration_set => 'a', pure => true);
SELECT ok(expert(:m, 0) = :'first' AND expert(:m, 1) <> :'second' AND expert(:m, 2) = :'third',
  'another Gram matrix of one expert changes that expert only');
SELECT rollback_model(:m) \g /dev/null
UPDATE calibration_grams SET gram = gram(64, 1) WHERE model_id = :m AND expert = 1;

-- Rows that are cut into atoms are quantized as rows.
CALL quantize_model(:parts, 'Q4_0', calibration_set => 'a', pure => true);
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :parts AND tensor_name = 'blk.0.attn_q.weight'),
  80::bigint,
  'rows of eight atoms');
SELECT is(digest(:parts, layer_name), digest, format('the same bytes as in whole rows: %s', layer_name)) FROM whole
  WHERE layer_name <> 'output.weight' ORDER BY 1;
SELECT rollback_model(:parts) \g /dev/null

-- Number of threads, order of tensors, repetition
SET LOCAL hartonomous.threads = 3;
CALL quantize_model(:m, 'Q4_0', calibration_set => 'a', pure => true);
SELECT is(count(*) FILTER (WHERE digest(:m, layer_name) = digest), 5::bigint, 'the same bytes with three threads')
  FROM whole;
RESET hartonomous.threads;
SELECT rollback_model(:m) \g /dev/null
CALL quantize_model(:m, 'Q4_0', '%attn_k%', calibration_set => 'a', pure => true);
SELECT is(digest(:m, layer_name), digest, 'the same bytes of a tensor alone, whose Gram matrix is another one''s')
  FROM whole WHERE layer_name = 'blk.0.attn_k.weight';
SELECT rollback_model(:m) \g /dev/null
CREATE FUNCTION lib.digest_with(arguments text) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE found bytea;
BEGIN
  EXECUTE 'CALL quantize_model(''m'', ''Q4_0'', ''%attn_q%'', calibration_set => ''a'', pure => true' || arguments
    || ')';
  found := digest('m'::regmodel::integer, 'blk.0.attn_q.weight');
  PERFORM rollback_model('m');
  RETURN found;
END $$;
SELECT is(digest_with(', damping => 0.01, sweeps => 5'), digest, 'the defaults of damping and sweeps') FROM whole
  WHERE layer_name = 'blk.0.attn_q.weight';
SELECT isnt(digest_with(', sweeps => 0'), digest_with(''), 'sweeps matter');
SELECT isnt(digest_with(', damping => 1'), digest_with(''), 'damping matters');

-- Formats in which each weight has one nearest level
CALL quantize_model(:m, 'F16', '%attn_q%', calibration_set => 'a');
SELECT is(digest(:m, 'blk.0.attn_q.weight'), sha256(string_agg(quantize(w.atom_data, 'F16')::bytea, ''
  ORDER BY w.atom_sequence)), 'F16 is rounded as always') FROM was w WHERE tensor_name = 'blk.0.attn_q.weight';
SELECT rollback_model(:m) \g /dev/null

-- Atoms that are missing
CALL prune_by_importance(:parts, keep_ratio => 0.6, layer_pattern => '%attn_q%');
SELECT calibrate(:parts, 'b');
CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT atom_sequence FROM tensor_atoms
  WHERE model_id = :parts AND tensor_name = 'blk.0.attn_q.weight';
SELECT cmp_ok(count(*), '<', 80::bigint, 'a pruned tensor') FROM kept;
SELECT tensor_weights(:parts, 'blk.0.attn_q.weight')::real[] AS pruned \gset
CALL quantize_model(:parts, 'Q4_0', '%attn_q%', calibration_set => 'b', pure => true);
SELECT set_eq(format('SELECT atom_sequence FROM tensor_atoms WHERE model_id = %s AND tensor_name = %L', :parts,
  'blk.0.attn_q.weight'), 'SELECT atom_sequence FROM kept', 'the same atoms are missing');
SELECT loss(:parts, 'blk.0.attn_q.weight', :'pruned') AS by_hessian \gset
SELECT rollback_model(:parts) \g /dev/null
CALL quantize_model(:parts, 'Q4_0', '%attn_q%', calibration_set => 'b', method => 'imatrix', pure => true);
SELECT cmp_ok(:by_hessian::float8, '<', 0.7 * loss(:parts, 'blk.0.attn_q.weight', :'pruned'),
  'the others make up for their errors');
SELECT rollback_model(:parts) \g /dev/null
DELETE FROM tensor_atoms WHERE model_id = :parts AND tensor_name = 'blk.0.attn_k.weight';
SELECT lives_ok(format('CALL quantize_model(%s, ''Q4_0'', calibration_set => ''b'', pure => true)', :parts),
  'a tensor without any atom');

-- Plans and operations
SELECT throws_ok(format('SELECT check_operation(''quantize'', ''{"format": "Q4_0", %s}'')', members), '22023', NULL,
  members) FROM (VALUES ('"method": "hessian"'),
    ('"method": "imatrix", "calibration_set": "a", "calibration_revision": 1, "damping": 0.1'),
    ('"method": "imatrix", "calibration_set": "a", "calibration_revision": 1, "sweeps": 1'),
    ('"method": "hessian", "calibration_set": "a", "calibration_revision": 1, "damping": 0'),
    ('"method": "hessian", "calibration_set": "a", "calibration_revision": 1, "sweeps": 101')) v (members);
SELECT throws_ok($$SELECT check_operation('quantize', '{"planned_formats": {"Q4_0": "Q4_0"}, "method": "hessian",
  "calibration_set": "a", "calibration_revision": 1}')$$, '22023', NULL, 'several formats in a tensor');
SELECT throws_ok(format($$SELECT c.* FROM model_layers, copy_atoms(live_partition(%1$s), live_partition(%1$s), %2$s,
    layer_id, 'quantize',
    '{"format": "Q4_K", "method": "hessian", "calibration_set": "a", "calibration_revision": %2$s}')
    c WHERE model_id = %1$s AND layer_name = 'output.weight'$$, :m, :imported), '22023', NULL,
  'rows that are not whole blocks');

-- Statistics that are missing or damaged
CREATE FUNCTION lib.with_grams(change text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE change;
  CALL quantize_model('m', 'Q4_0', '%attn_k%', calibration_set => 'a', pure => true);
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END $$;
SELECT is(with_grams(format(change, :m)), state, test) FROM (VALUES
  ('DELETE FROM calibration_grams WHERE model_id = %s', '55000', 'no Gram matrix'),
  ('UPDATE calibration_grams SET gram = substr(gram, 1, 100) WHERE model_id = %s', '55000', 'an incomplete one'),
  ('UPDATE calibration_grams SET gram = gram || ''\x00'' WHERE model_id = %s', '55000', 'one that is too long'),
  ('UPDATE calibration_grams SET gram = overlay(gram PLACING ''\x0000c07f'' FROM 401) WHERE model_id = %s', '55000',
    'one with NaN'),
  ('UPDATE calibration_grams SET first_column = 1 WHERE model_id = %s', '55000', 'one that does not begin'),
  ('ALTER TABLE calibration_grams RENAME gram TO was; ALTER TABLE calibration_grams ADD gram text; SELECT %s', '42804',
    'one of another type'),
  ('UPDATE calibration_stats SET columns = 255 WHERE model_id = %s', '55000', 'other columns'))
  v (change, state, test);
SELECT import_gguf(gguf(ARRAY[ROW('a.weight', '{1024,2}', 0, waves(2, 1024, 7))::tensor]), 'wide') AS wide
  \gset
SELECT calibrate(:wide, 'c') \g /dev/null
SET LOCAL hartonomous.max_work_memory = '8MB';
SELECT throws_ok($$CALL quantize_model('wide', 'Q4_0', calibration_set => 'c', pure => true)$$, '53200', NULL,
  'a Hessian that exceeds max_work_memory');
SELECT * FROM finish();
ROLLBACK;
