-- Quantizing block by block on what has been quantized before, and then the output matrix: the same bytes however the
-- run goes, and missing atoms stay missing.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(48);

\getenv examples HARTONOMOUS_EXAMPLES
SELECT import_gguf(:'examples' || '/tiny-stories.gguf', 'tiny') AS tiny \gset
SELECT pg_read_file(:'examples' || '/heldout.txt') AS text \gset
SELECT add_calibration_set('c', left(:'text', 12000)) \g /dev/null
CALL collect_calibration('tiny', 'c', max_tokens => 1000, n_ctx => 128);

CREATE FUNCTION lib.bytes(model integer) RETURNS text LANGUAGE sql
  RETURN (SELECT md5(string_agg(content_hash::text, '' ORDER BY layer_id, atom_sequence)) FROM tensor_atoms
           WHERE model_id = model);
CREATE FUNCTION lib.plan_of(name text, sequential boolean) RETURNS SETOF tensor_plan LANGUAGE sql
BEGIN ATOMIC
  SELECT p.* FROM quantize_plan(name, 'Q4_K_M', calibration_set => 'c', sequential => plan_of.sequential) p;
END;

-- The plan
SELECT is((SELECT count(*) FROM plan_of('tiny', true) p JOIN model_layers l USING (layer_id)
            WHERE p.operation = 'quantize' AND (p.arguments -> 'sequential' = 'true') <> (l.layer_idx >= 0)), 0::bigint,
  'tensors of blocks are quantized in sequence, and a tied embedding is not');
SELECT is((SELECT count(*) FROM plan_of('tiny', true) p WHERE p.arguments -> 'sequential' = 'true'), 21::bigint,
  'all matrices of the three blocks take part');
SELECT is((SELECT count(*) FROM plan_of('tiny', false) p WHERE p.arguments ? 'sequential'), 0::bigint,
  'nothing is quantized in sequence unless it is asked for');
SELECT results_eq($$SELECT layer_name, bytes_after, details FROM plan_of('tiny', true)$$,
  $$SELECT layer_name, bytes_after, details FROM plan_of('tiny', false)$$, 'formats and sizes are the same');

-- What is written
CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c');
SELECT bytes(:tiny) AS independent \gset
SELECT rollback_model('tiny') \g /dev/null
CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', sequential => true);
SELECT bytes(:tiny) AS sequential \gset
SELECT isnt(:'sequential'::text, :'independent'::text, 'the weights are others than without a sequence');
SELECT is((SELECT count(*) FROM check_model('tiny')), 0::bigint, 'the model has no faults');
SELECT is((SELECT string_agg(DISTINCT weights_format(atom_data), ' ' ORDER BY weights_format(atom_data))
             FROM tensor_atoms a JOIN model_layers l USING (layer_id) WHERE a.model_id = :tiny AND l.layer_idx >= 0
              AND cardinality(l.tensor_shape) = 2), 'Q4_K Q6_K', 'the formats are those of the mixture');
SELECT cmp_ok(perplexity('tiny', right(:'text', 8000), 128), '<',
  1.1 * perplexity('tiny', right(:'text', 8000), 128, (SELECT min(revision_id) FROM model_revisions
                                                       WHERE model_id = :tiny)), 'the model still predicts the text');
SELECT is((SELECT parameters -> 'sequential' FROM model_revisions
            WHERE revision_id = (SELECT current_revision FROM models WHERE model_id = :tiny)), 'true',
  'the revision records that it was quantized in sequence');
SELECT rollback_model('tiny') \g /dev/null

SET hartonomous.threads = 2;
CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', sequential => true);
SELECT is(bytes(:tiny), :'sequential', 'the number of threads changes nothing');
RESET hartonomous.threads;
SELECT rollback_model('tiny') \g /dev/null

-- A run that loses what the session keeps, in the middle of a block: a trigger on the steps forgets it.
CREATE FUNCTION lib.forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM hartonomous.release_model_cache();
  RETURN NULL;
END $$;
CREATE TRIGGER forget AFTER UPDATE ON compression_steps EXECUTE FUNCTION lib.forget();
CALL quantize_model('tiny', 'Q4_K_M', layer_pattern => 'blk.%', calibration_set => 'c', sequential => true);
SELECT bytes(:tiny) AS forgetful \gset
DROP TRIGGER forget ON compression_steps;
SELECT rollback_model('tiny') \g /dev/null
CALL quantize_model('tiny', 'Q4_K_M', layer_pattern => 'blk.%', calibration_set => 'c', sequential => true);
SELECT is(bytes(:tiny), :'forgetful', 'a session that has lost the state of the run writes the same bytes');
SELECT is((SELECT count(*) FROM tensor_atoms a JOIN model_layers l USING (layer_id)
            WHERE a.model_id = :tiny AND l.layer_idx < 0 AND weights_format(a.atom_data) = 'F16'),
  (SELECT count(*) FROM tensor_atoms a JOIN model_layers l USING (layer_id)
    WHERE a.model_id = :tiny AND l.layer_idx < 0 AND cardinality(l.tensor_shape) = 2),
  'tensors that the pattern leaves out stay as they are');
SELECT rollback_model('tiny') \g /dev/null

-- An output matrix of its own, which comes last: a copy of the embedding.
SELECT import_gguf(:'examples' || '/tiny-stories.gguf', 'untied') AS untied \gset
INSERT INTO model_layers (model_id, layer_idx, layer_name, layer_type, tensor_shape, tensor_dtype, parameter_count,
    row_length, atom_size, position)
  SELECT model_id, layer_idx, 'output.weight', 'output', tensor_shape, tensor_dtype, parameter_count, row_length,
         atom_size, (SELECT max(position) + 1 FROM model_layers WHERE model_id = :untied)
    FROM model_layers WHERE model_id = :untied AND layer_name = 'token_embd.weight'
  RETURNING layer_id AS output \gset
INSERT INTO tensor_atoms (model_id, revision_id, layer_id, atom_sequence, x, y, importance_score, tensor_name,
  atom_data)
  SELECT a.model_id, a.revision_id, :output, atom_sequence, x, y, importance_score, 'output.weight', atom_data
    FROM tensor_atoms a JOIN model_layers l USING (layer_id)
   WHERE a.model_id = :untied AND l.layer_name = 'token_embd.weight';
CALL collect_calibration('untied', 'c', max_tokens => 2600, n_ctx => 128);
SELECT is((SELECT string_agg(layer_name, ' ' ORDER BY layer_id) FROM plan_of('untied', true) p
            JOIN model_layers l USING (layer_id, layer_name)
           WHERE l.layer_idx < 0 AND p.arguments -> 'sequential' = 'true'), 'output.weight',
  'an output matrix of its own takes part');
CREATE TEMP TABLE order_of_steps (n integer GENERATED ALWAYS AS IDENTITY, layer bigint, done boolean);
CREATE FUNCTION lib.note_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO order_of_steps (layer) VALUES (NEW.layer_id);
  RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON compression_steps FOR EACH ROW EXECUTE FUNCTION lib.note_step();
CALL quantize_model('untied', 'Q4_K_M', calibration_set => 'c', sequential => true);
DROP TRIGGER note ON compression_steps;
SELECT is((SELECT layer FROM order_of_steps ORDER BY n DESC LIMIT 1), :output::bigint, '... as the last one');
SELECT bytes(:untied) AS untied_bytes \gset
SELECT is((SELECT string_agg(DISTINCT weights_format(atom_data), ' ') FROM tensor_atoms WHERE layer_id = :output),
  'Q6_K',
  '... in the format of the mixture');
CREATE TEMP TABLE outputs AS
  SELECT 'sequential' AS method, atom_sequence, dequantize(atom_data) AS w FROM tensor_atoms WHERE layer_id = :output;
SELECT rollback_model('untied') \g /dev/null
CREATE TRIGGER forget AFTER UPDATE ON compression_steps EXECUTE FUNCTION lib.forget();
SET hartonomous.threads = 2;
CALL quantize_model('untied', 'Q4_K_M', calibration_set => 'c', sequential => true);
RESET hartonomous.threads;
DROP TRIGGER forget ON compression_steps;
SELECT is(bytes(:untied), :'untied_bytes', 'a session that has lost the state, on two threads, writes the same bytes');
SELECT rollback_model('untied') \g /dev/null
-- The sequence in one run, the output matrix in another: nothing before it is quantized then.
CALL quantize_model('untied', 'Q4_K_M', layer_pattern => 'output.weight', calibration_set => 'c', sequential => true);
SELECT isnt((SELECT md5(string_agg(dequantize(atom_data)::text, '' ORDER BY atom_sequence)) FROM tensor_atoms
              WHERE layer_id = :output),
  (SELECT md5(string_agg(w::text, '' ORDER BY atom_sequence)) FROM outputs),
  'it depends on what is quantized before it');
SELECT is((SELECT count(DISTINCT layer_id) FROM tensor_atoms WHERE model_id = :untied
            AND weights_format(atom_data) NOT IN ('F16', 'F32')), 1::bigint, '... and can be quantized alone');
SELECT rollback_model('untied') \g /dev/null

-- Experts, of which the last is never used, and rows that fit no block
CREATE FUNCTION lib.routed_gguf() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN llama_gguf(1,
    ARRAY(SELECT key FROM llama_keys() WHERE key ~ '^(general|llama)\.')
      || ARRAY(SELECT t.name FROM unnest(llama_tensors()) t),
    ARRAY[kv_text('general.architecture', 'qwen3moe'),
          kv('qwen3moe.attention.layer_norm_rms_epsilon', 6, f32(0.00001))]
      || ARRAY(SELECT kv_u32('qwen3moe.' || key, value::integer) FROM jsonb_each_text(
           '{"block_count": 1, "context_length": 64, "embedding_length": 32, "feed_forward_length": 24,
             "attention.head_count": 2, "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 24}')),
    ARRAY[ROW('token_embd.weight', '{32,259}', 0, waves(259, 32, 1)),
          ROW('output_norm.weight', '{32}', 0, waves(1, 32, 2)),
          ROW('blk.0.attn_norm.weight', '{32}', 0, waves(1, 32, 3)),
          ROW('blk.0.attn_q.weight', '{32,32}', 0, waves(32, 32, 4)),
          ROW('blk.0.attn_k.weight', '{32,32}', 0, waves(32, 32, 5)),
          ROW('blk.0.attn_v.weight', '{32,32}', 0, waves(32, 32, 6)),
          ROW('blk.0.attn_output.weight', '{32,32}', 0, waves(32, 32, 7)),
          ROW('blk.0.attn_q_norm.weight', '{16}', 0, waves(1, 16, 8)),
          ROW('blk.0.attn_k_norm.weight', '{16}', 0, waves(1, 16, 9)),
          ROW('blk.0.ffn_norm.weight', '{32}', 0, waves(1, 32, 10)),
          ROW('blk.0.ffn_gate_inp.weight', '{32,4}', 0,
              f32(VARIADIC wave(32, 3)) || f32(VARIADIC ARRAY(SELECT -w FROM unnest(wave(32, 3)) w)) || zeros(256)),
          ROW('blk.0.ffn_gate_exps.weight', '{32,24,4}', 0, waves(96, 32, 11)),
          ROW('blk.0.ffn_up_exps.weight', '{32,24,4}', 0, waves(96, 32, 12)),
          ROW('blk.0.ffn_down_exps.weight', '{24,32,4}', 0, waves(128, 24, 13))]::lib.tensor[]);
SELECT import_gguf(routed_gguf(), 'routed') AS routed \gset
SELECT add_calibration_set('story', repeat('the-cat-sat.the-dog-ran,and-the-cow-did-not.', 10)) \g /dev/null
CALL collect_calibration('routed', 'story');
SELECT is(s.token_counts[4], 0::bigint, 'no token goes to the last expert')
  FROM calibration_stats s JOIN model_layers l USING (layer_id) WHERE l.layer_name = 'blk.0.ffn_up_exps.weight';
CREATE TEMP TABLE experts AS
  SELECT atom_sequence, quantize(atom_data, 'Q4_0') AS plain FROM tensor_atoms
   WHERE model_id = :routed AND tensor_name = 'blk.0.ffn_up_exps.weight';
CALL quantize_model('routed', 'Q4_0', calibration_set => 'story', pure => true, sequential => true);
SELECT bytes(:routed) AS routed_bytes \gset
SELECT is((SELECT count(*) FROM check_model('routed')), 0::bigint, 'a model with experts has no faults afterwards');
SELECT results_eq($$SELECT atom_sequence / 24, bool_and(a.atom_data::bytea = e.plain::bytea)
                      FROM tensor_atoms a JOIN experts e USING (atom_sequence)
                     WHERE a.tensor_name = 'blk.0.ffn_up_exps.weight' AND a.model_id = model_id('routed')
                     GROUP BY 1 ORDER BY 1$$,
  'VALUES (0, false), (1, false), (2, false), (3, true)',
  'an expert without tokens is quantized plainly, others are not');
SELECT is((SELECT string_agg(DISTINCT weights_format(atom_data), ' ') FROM tensor_atoms
            WHERE model_id = :routed AND tensor_name = 'blk.0.ffn_down_exps.weight'), 'F16',
  'rows that fit no block get a format without blocks');
SELECT rollback_model('routed') \g /dev/null
SET hartonomous.threads = 2;
CREATE TRIGGER forget AFTER UPDATE ON compression_steps EXECUTE FUNCTION lib.forget();
CALL quantize_model('routed', 'Q4_0', calibration_set => 'story', pure => true, sequential => true);
DROP TRIGGER forget ON compression_steps;
RESET hartonomous.threads;
SELECT is(bytes(:routed), :'routed_bytes', 'a session that has lost the state writes the same experts');

-- One token; and a column that is never active, whose weights are kept as well as others.
CREATE FUNCTION lib.column_error(columns integer[]) RETURNS double precision LANGUAGE sql BEGIN ATOMIC
  SELECT sqrt(sum((o.w[c] - n.w[c]) ^ 2) / sum(o.w[c] ^ 2))
    FROM unnest(columns) c,
         (SELECT tensor_name, atom_sequence, dequantize(atom_data) AS w FROM tensor_atoms_backup
           WHERE model_id = model_id('tiny') AND revision_id = (SELECT min(r.revision_id) FROM model_revisions r
                                                                 WHERE r.model_id = model_id('tiny'))) o
    JOIN (SELECT tensor_name, atom_sequence, dequantize(atom_data) AS w FROM tensor_atoms
           WHERE model_id = model_id('tiny')) n USING (tensor_name, atom_sequence)
   WHERE tensor_name = 'blk.1.attn_q.weight';
END;
SELECT add_calibration_set('one token', 'Once') \g /dev/null
CALL collect_calibration('tiny', 'one token', max_tokens => 1);
CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'one token', sequential => true);
SELECT is((SELECT count(*) FROM check_model('tiny')), 0::bigint, 'one token is enough');
SELECT cmp_ok(column_error(ARRAY(SELECT generate_series(1, 256))), '<', 0.15::float8,
  '... and leaves the weights near');
SELECT rollback_model('tiny') \g /dev/null
SAVEPOINT inactive;
UPDATE tensor_atoms
   SET atom_data = (SELECT array_agg(CASE i WHEN 4 THEN 0 ELSE w END ORDER BY i)
                      FROM unnest(dequantize(atom_data)) WITH ORDINALITY u (w, i))::weights
 WHERE model_id = :tiny AND tensor_name = 'blk.1.attn_norm.weight';
SELECT release_model_cache() \g /dev/null
CALL quantize_model('tiny', 'Q4_K_M', layer_pattern => 'blk.%', calibration_set => 'c', sequential => true);
SELECT cmp_ok(column_error('{4}'), '<', 2 * column_error('{3,5}'), 'a column that is never active is kept like others');
ROLLBACK TO inactive;
SELECT release_model_cache() \g /dev/null

-- Some tensors of a block only
CALL quantize_model('tiny', 'Q4_K_M', layer_pattern => 'blk.1.ffn_down%', calibration_set => 'c', sequential => true);
SELECT is((SELECT count(DISTINCT l.layer_id) FROM tensor_atoms a JOIN model_layers l USING (layer_id)
            WHERE a.model_id = :tiny AND cardinality(l.tensor_shape) = 2 AND weights_format(a.atom_data) <> 'F16'),
  1::bigint, 'a single tensor can be quantized in sequence');
SELECT rollback_model('tiny') \g /dev/null

-- Atoms that are missing, each a part of a row: the errors of the others must not make them anything but zeros.
SELECT import_gguf(:'examples' || '/tiny-stories.gguf', 'parts', 64) AS parts \gset
DELETE FROM tensor_atoms WHERE model_id = :parts AND atom_sequence % 7 = 3
   AND layer_id IN (SELECT layer_id FROM model_layers WHERE model_id = :parts AND layer_name LIKE 'blk.1.%.weight'
                                                        AND cardinality(tensor_shape) = 2);
SELECT count(*) AS atoms FROM tensor_atoms WHERE model_id = :parts \gset
CALL collect_calibration('parts', 'c', max_tokens => 1000, n_ctx => 128);
CALL quantize_model('parts', 'Q4_0', layer_pattern => 'blk.%', calibration_set => 'c', sequential => true);
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :parts), :atoms::bigint, 'missing atoms stay missing');
SELECT is((SELECT count(*) FROM check_model('parts') WHERE fault NOT LIKE '%missing%'), 0::bigint,
  'a pruned model has no faults afterwards');
SELECT bytes(:parts) AS pruned \gset
SELECT rollback_model('parts') \g /dev/null
CREATE TRIGGER forget AFTER UPDATE ON compression_steps EXECUTE FUNCTION lib.forget();
CALL quantize_model('parts', 'Q4_0', layer_pattern => 'blk.%', calibration_set => 'c', sequential => true);
SELECT is(bytes(:parts), :'pruned', 'missing atoms count as zeros for the blocks that follow');
DROP TRIGGER forget ON compression_steps;

-- Bad input
SELECT throws_ok(format('CALL quantize_model(''tiny'', ''Q4_K'', sequential => true%s)', arguments), state, message,
  test) FROM (VALUES
    ('', '22023', 'damping, sweeps, sequential and curvature are for the method "hessian" only',
      'a sequence needs a method'),
    (', method => ''imatrix'', calibration_set => ''c''', '22023',
     'damping, sweeps, sequential and curvature are for the method "hessian" only',
     'a sequence needs the method "hessian"'))
  v (arguments, state, message, test);
SELECT lives_ok($$CALL quantize_model('tiny', 'Q4_K_M', layer_pattern => 'token_embd%', method => 'plain',
                                      sequential => false)$$, 'sequential => false goes with any method');
SELECT rollback_model('tiny') \g /dev/null
SELECT throws_ok($$SELECT check_operation('quantize', '{"format": "Q4_K", "sequential": true}')$$, '22023', NULL,
  'the operation refuses a sequence without the method');
UPDATE calibration_sets SET text = text || '.' WHERE calibration_set = 'c';
SELECT throws_ok($$CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', sequential => true)$$, '55000',
  'the text of calibration set "c" is not there', 'a text that has changed is refused');
UPDATE calibration_sets SET text = NULL WHERE calibration_set = 'c';
SELECT throws_ok($$CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', sequential => true)$$, '55000',
  'the text of calibration set "c" is not there', 'a set without a text is refused');
SELECT lives_ok($$CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c')$$,
  'statistics without their text are enough without a sequence');
SELECT rollback_model('tiny') \g /dev/null
UPDATE calibration_sets SET text = left(:'text', 12000) WHERE calibration_set = 'c';
UPDATE model_layers SET layer_idx = 3 WHERE model_id = :tiny AND layer_name = 'blk.2.ffn_down.weight';
SELECT throws_ok($$CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', sequential => true)$$, '55000',
  'tensor "blk.2.ffn_down.weight" is in block 3, which the model does not have', 'a block beyond the last is refused');
UPDATE model_layers SET layer_idx = 2 WHERE model_id = :tiny AND layer_name = 'blk.2.ffn_down.weight';
-- Statistics of more tokens than the text has now, as if the tokenizer had changed, and damaged ones
SELECT throws_ok(format($f$UPDATE calibration_stats SET %s WHERE model_id = %s;
  CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', sequential => true)$f$, change, :tiny), state, message,
  test) FROM (VALUES
    ('tokens = 100000', '55000', 'calibration set "c" has fewer tokens than its statistics',
     'the text must have as many tokens as it had'),
    ('tokens = 0', '22003', 'column "tokens" of table "calibration_stats" is out of range: 0', 'no tokens'),
    ('n_ctx = 0', '22003', 'column "n_ctx" of table "calibration_stats" is out of range: 0', 'no length of windows'),
    ('text_sha256 = NULL', '55000', 'the text of calibration set "c" is not there', 'statistics of no known text'))
  v (change, state, message, test);
-- Weights that are not numbers, which are not in the first tensor of their block, and activations that are not
CREATE FUNCTION lib.spoil(tensor text, value real) RETURNS void LANGUAGE sql BEGIN ATOMIC
  UPDATE tensor_atoms a
     SET atom_data = quantize((SELECT array_agg(CASE i WHEN 4 THEN value ELSE w END ORDER BY i)
                                 FROM unnest(dequantize(atom_data)) WITH ORDINALITY u (w, i)),
       weights_format(atom_data))
   WHERE a.model_id = model_id('tiny') AND a.tensor_name = tensor AND a.atom_sequence = 0;
END;
SELECT throws_ok(format($f$SELECT spoil(%L, %L); SELECT release_model_cache();
  CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', sequential => true)$f$, tensor, value), state, message,
  test) FROM (VALUES
    ('blk.1.ffn_down.weight', 'NaN', '22003',
      'weight in row 1, column 4 of tensor "blk.1.ffn_down.weight" is not finite',
      'NaN in a matrix'),
    ('blk.1.attn_norm.weight', 'NaN', '55000', 'the input of tensor "blk.1.attn_q.weight" is not finite',
     'NaN in what a matrix is multiplied with'),
    ('blk.1.attn_norm.weight', '1e30', '55000', 'the input of tensor "blk.1.attn_q.weight" is not finite',
     'inputs whose sums exceed the range of floats'))
  v (tensor, value, state, message, test);
UPDATE calibration_stats SET n_ctx = 100000 WHERE model_id = :tiny;
SELECT throws_ok($$CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', sequential => true)$$, '22023', NULL,
  'windows longer than the context of the model are refused');
UPDATE calibration_stats SET n_ctx = 128 WHERE model_id = :tiny;
SET LOCAL hartonomous.max_work_memory = '8MB';
SELECT throws_ok($$CALL quantize_model('tiny', 'Q4_K_M', calibration_set => 'c', sequential => true)$$, '53200', NULL,
  'streams that do not fit into the memory are refused');
RESET hartonomous.max_work_memory;
SELECT is((SELECT count(*) FROM compression_runs WHERE model_id = :tiny AND state = 'running'), 0::bigint,
  'no run is left');
SELECT * FROM finish();
ROLLBACK;
