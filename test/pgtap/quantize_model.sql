-- Quantizing a model: what is taken and what is left, into which format, and that it can be undone.
BEGIN;
\ir lib/model_files.sql
SELECT plan(117);
SELECT import_gguf(little_gguf(), 'little') AS model \gset
SELECT holds(:model) AS before \gset

-- Which format a row of so many weights gets
SELECT is(fitting_format(format, length), expected, format('%s for rows of %s', format, length)) FROM (VALUES
  ('q4_k', 512, 'Q4_K'), ('Q4_K', 64, 'Q5_0'), ('Q4_K', 172, 'F16'), ('Q4_K', 0, 'Q4_K'), ('Q4_K', -64, 'Q5_0'),
  ('F32', 9, 'F32')) v (format, length, expected);
SELECT throws_ok($$SELECT fitting_format('Q9_K', 256)$$, '22023', 'unknown weight format "Q9_K"', 'an unknown format');
SELECT throws_ok($$SELECT fitting_format('', 256)$$, '22023', NULL, 'no format');
SELECT throws_ok($$SELECT fitting_format('Q8_1', 256)$$, '0A000', 'format Q8_1 cannot be written',
  'one that cannot be written');
SELECT is(fitting_format(NULL, 256), NULL, 'fitting_format(NULL)');

-- The plan
SELECT results_eq(
  format(
    'SELECT layer_name, details ->> ''present_format'', arguments ->> ''format'', reason '
    'FROM quantize_plan(%s, ''Q4_K'')',
    :model),
  $$VALUES ('token_embd.weight', 'F32', 'Q5_0', 'rows fit no block of Q4_K'),
           ('blk.0.attn_norm.weight', 'F32', NULL, 'vector'), ('blk.0.attn_q.weight', 'F32', 'Q4_K', NULL),
           ('blk.0.ffn_down.weight', 'F32', 'F16', 'rows fit no block of Q6_K'),
           ('output.weight', 'F32', 'F16', 'rows fit no block of Q8_0')$$, 'quantize_plan()');
SELECT results_eq(format('SELECT layer_name, operation, reason FROM quantize_plan(%s, ''f32'', ''blk%%'')', :model),
  $$VALUES ('blk.0.attn_norm.weight', NULL, 'vector'), ('blk.0.attn_q.weight', NULL, 'already there'),
    ('blk.0.ffn_down.weight', NULL, 'already there')$$,
  'reasons to leave a tensor alone');
SELECT import_gguf(gguf(ARRAY[ROW('blk.0.ffn_gate_inp.weight', '{32,2}', 0, waves(2, 32, 1))::tensor,
  ROW('position_embd.weight', '{32,2}', 0, waves(2, 32, 2))::tensor, ROW('blk.0.odd_norm.weight', '{32,2}', 0, waves(2,
    32, 3))::tensor,
  ROW('table', '{32,2}', 0, waves(2, 32, 4))::tensor, ROW('mx.weight', '{32,2}', 9, zeros(72))::tensor,
  ROW('gone.weight', '{32,2}', 0, waves(2, 32, 5))::tensor, ROW('w.weight', '{32,2}', 0, waves(2, 32, 6))::tensor]),
    'names') AS names \gset
DELETE FROM tensor_atoms WHERE model_id = :names AND tensor_name = 'gone.weight';
SELECT results_eq(
  format('SELECT layer_name, arguments ->> ''format'', reason FROM quantize_plan(%s, ''Q8_0'')', :names),
  $$VALUES ('blk.0.ffn_gate_inp.weight', NULL, 'kept by name'), ('position_embd.weight', NULL, 'kept by name'),
    ('blk.0.odd_norm.weight', NULL, 'kept by name'), ('table', NULL, 'kept by name'),
    ('mx.weight', NULL, 'carried format'),
    ('gone.weight', NULL, 'empty'), ('w.weight', 'Q8_0', NULL)$$,
  'names, formats that are only carried, tensors without atoms');
SELECT is(is_quantizable_name(name, container), expected, coalesce(container, 'NULL') || ' ' || name) FROM (VALUES
  ('blk.0.attn_q.weight', 'gguf', true), ('blk.0.attn_q.bias', 'gguf', false),
  ('blk.0.ffn_gate_inp.weight', 'gguf', false), ('blk.0.time_mix_key.weight', 'gguf', true),
  ('blk.0.time_mix_w1.weight', 'gguf', false), ('conv1.weight', 'safetensors', true),
  ('conv1.bias', 'safetensors', false), ('x', 'safetensors', true), ('x', NULL, true),
  ('model.layers.0.mlp.gate.weight', 'safetensors', false), (NULL, 'gguf', NULL)) v (name, container, expected);
SELECT is(is_matrix(shape), expected, shape::text)
  FROM (VALUES ('{2,256}'::bigint[], true), ('{3,1,256}', true), ('{256}', false),
    ('{1,256}', false), ('{1,1,256}', false), ('{2,1}', true), ('{3,0}', true), ('{0,3}', false), ('{}', false),
    (NULL, NULL)) v (shape, expected);
SELECT import_gguf(gguf(ARRAY[ROW('blk.0.time_mix_lerp_w.weight', '{256,1,1}', 0, waves(1, 256, 1))::tensor,
  ROW('blk.0.time_mix_key.weight', '{256,2}', 0, waves(2, 256, 2))::tensor]), 'rows of one') AS one \gset
SELECT results_eq(format('SELECT layer_name, arguments ->> ''format'', reason FROM quantize_plan(%s, ''Q8_0'')', :one),
  $$VALUES ('blk.0.time_mix_lerp_w.weight', NULL, 'vector'), ('blk.0.time_mix_key.weight', 'Q8_0', NULL)$$,
  'a matrix of one row is a vector, as for ggml');
SELECT lives_ok(format('CALL quantize_model(%s, ''Q8_0'')', :names), 'it is done as planned');
SELECT results_eq(
  format('SELECT DISTINCT tensor_name, weights_format(atom_data) FROM tensor_atoms WHERE model_id = %s ORDER BY 1',
    :names),
  $$VALUES ('blk.0.ffn_gate_inp.weight', 'F32'), ('blk.0.odd_norm.weight', 'F32'), ('mx.weight', 'Q8_1'),
    ('position_embd.weight', 'F32'), ('table', 'F32'), ('w.weight', 'Q8_0')$$, 'and no other way');

-- Every format, each atom the quantization of the atom it was
CREATE FUNCTION lib.quantized(model integer, format text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  before text := holds(model);
  wrong bigint;
  made record;
BEGIN
  CREATE TEMP TABLE was ON COMMIT DROP AS SELECT * FROM tensor_atoms a WHERE model_id = model;
  CREATE TEMP TABLE plan ON COMMIT DROP AS SELECT * FROM quantize_plan(model, format);
  EXECUTE format('CALL quantize_model(%s, %L)', model, format);
  SELECT count(*) INTO wrong FROM was w JOIN plan p USING (layer_id) LEFT JOIN (SELECT * FROM tensor_atoms
    WHERE model_id = model) a USING (layer_id, atom_sequence)
   WHERE a.atom_data IS NULL OR a.atom_data <> quantize(w.atom_data, coalesce(p.arguments ->> 'format', 'F32'))
   OR a.x <> w.x
     OR a.y <> w.y OR a.importance_score <> w.importance_score OR a.tensor_name <> w.tensor_name
      OR a.hilbert_index <> w.hilbert_index OR a.revision_id <> present(model) OR a.content_hash <>
        sha256(a.atom_data::bytea);
  SELECT r.stage, r.kind, r.parameters ->> 'format' AS format, r.atom_count, r.logical_bytes - (SELECT
    sum(weights_bytes(atom_data)) FROM tensor_atoms WHERE model_id = model) AS missing, r.physical_bytes =
    pg_total_relation_size(live_partition(model)) AS measured
    INTO made FROM model_revisions r WHERE r.revision_id = present(model);
  PERFORM rollback_model(model);
  DROP TABLE was, plan;
  RETURN concat_ws(' ', wrong, 'wrong,', made, CASE WHEN holds(model) = before THEN 'undone' END);
END
$$;
SELECT is(quantized(:model, format), format('0 wrong, (quantize,rewrite,%s,101,0,t) undone',
  coalesce(mixture_named(format), format)),
  'quantize_model to ' || format)
  FROM formats() WHERE writable AND format <> 'F32' AND format !~ '^IQ([12]_|3_XXS)' ORDER BY ggml_type;
SELECT is(holds(:model), :'before', 'all undone');

-- By importance of columns
CREATE TABLE imatrix (layer_name text, column_importance real[]);
INSERT INTO imatrix SELECT layer_name, ARRAY(SELECT abs(sin(i))::real FROM generate_series(1, row_length) i)
  FROM model_layers WHERE model_id = :model AND layer_name IN ('blk.0.attn_q.weight', 'token_embd.weight');
CREATE TEMP TABLE was ON COMMIT DROP AS SELECT * FROM tensor_atoms WHERE model_id = :model;
CALL quantize_model(:model, 'Q4_K', column_importance => 'imatrix');
SELECT is(count(*) FILTER (WHERE a.atom_data = quantize(w.atom_data, weights_format(a.atom_data), i.column_importance)),
  count(*), 'every atom by the importance of its columns') FROM was w JOIN imatrix i ON i.layer_name = w.tensor_name
  JOIN tensor_atoms a ON a.model_id = :model AND a.layer_id = w.layer_id AND a.atom_sequence = w.atom_sequence;
SELECT cmp_ok(count(*) FILTER (WHERE a.atom_data <> quantize(w.atom_data, weights_format(a.atom_data))), '>', 0::bigint,
  'which makes a difference') FROM was w JOIN imatrix i ON i.layer_name = w.tensor_name
  JOIN tensor_atoms a ON a.model_id = :model AND a.layer_id = w.layer_id AND a.atom_sequence = w.atom_sequence;
SELECT is(count(*) FILTER (WHERE a.atom_data = quantize(w.atom_data, weights_format(a.atom_data))), count(*),
  'the others without') FROM was w JOIN tensor_atoms a ON a.model_id = :model AND a.layer_id = w.layer_id
  AND a.atom_sequence = w.atom_sequence WHERE w.tensor_name NOT IN (SELECT layer_name FROM imatrix);
SELECT rollback_model(:model) \g /dev/null
SELECT is(part_of_row('{1,2,3,4,5}', 5, 2147483647, size, sequence), expected::real[],
  format('atom %s of %s', sequence, size))
  FROM (VALUES (5, 0, '{1,2,3,4,5}'), (5, 7, '{1,2,3,4,5}'), (8, 1, '{1,2,3,4,5}'), (2, 0, '{1,2}'), (2, 1, '{3,4}'),
    (2, 2, '{5}'), (2, 3, '{1,2}'), (2, 5, '{5}'), (4, 1, '{5}'), (NULL, 0, NULL)) v (size, sequence, expected);
SELECT import_gguf(little_gguf(), 'cut32', 32) AS cut32 \gset
CREATE TEMP TABLE cut32_was ON COMMIT DROP AS SELECT * FROM tensor_atoms WHERE model_id = :cut32;
CALL quantize_model(:cut32, 'Q4_0', column_importance => 'imatrix');
SELECT is(count(*) FILTER (WHERE a.atom_data = quantize(w.atom_data, 'Q4_0',
    i.column_importance[w.atom_sequence % (l.row_length / 32) * 32 + 1 : (w.atom_sequence % (l.row_length / 32) + 1)
      * 32])),
  count(*), 'atoms smaller than rows get their part of it') FROM cut32_was w
  JOIN imatrix i ON i.layer_name = w.tensor_name
  JOIN model_layers l ON l.layer_id = w.layer_id
  JOIN tensor_atoms a ON a.model_id = :cut32 AND a.layer_id = w.layer_id AND a.atom_sequence = w.atom_sequence;
SELECT holds(:model) AS undisturbed \gset
SELECT throws_ok(
  format('CALL quantize_model(%s, ''Q4_K'', layer_pattern => ''output.weight'', column_importance => ''imatrix'')',
    :model),
  '22023', 'lib.imatrix names no tensor that is to be quantized', 'importance for other tensors');
CREATE TABLE short AS SELECT layer_name, column_importance[2:] FROM imatrix;
SELECT throws_ok(format('CALL quantize_model(%s, ''Q4_K'', column_importance => ''short'')', :model), '2202E', NULL,
  'importance of another length');
CREATE TABLE twice AS SELECT * FROM imatrix UNION ALL SELECT * FROM imatrix;
SELECT throws_ok(format('CALL quantize_model(%s, ''Q4_K'', column_importance => ''twice'')', :model), '21000', NULL,
  'a tensor twice');
CREATE TABLE negative AS SELECT layer_name, array_fill(-1::real, ARRAY[cardinality(column_importance)])
  AS column_importance FROM imatrix;
SELECT throws_ok(format('CALL quantize_model(%s, ''Q4_K'', column_importance => ''negative'')', :model), '22023', NULL,
  'negative importance');
SELECT throws_ok(format('CALL quantize_model(%s, ''Q4_K'', column_importance => ''models'')', :model), '42703', NULL,
  'a relation without the columns');
SELECT is(holds(:model), :'undisturbed', 'none of these changed the model');

-- Resumable, recorded
SELECT is(count(*), count(*) FILTER (WHERE state = 'completed' AND finished_at >= started_at AND bytes_after <
  bytes_before), 'runs are completed') FROM compression_runs WHERE model_id = :model;
SELECT is(count(*), count(*) FILTER (WHERE s.state = 'done' AND s.atoms_before = s.atoms_after AND s.bytes_after <=
  s.bytes_before AND s.seconds >= 0), 'so are their steps') FROM compression_steps s JOIN compression_runs USING
  (run_id) WHERE model_id = :model;
SELECT is(array_agg(DISTINCT n), ARRAY[5::bigint], 'a step a tensor') FROM (SELECT count(*) AS n FROM compression_steps
  JOIN compression_runs USING (run_id) WHERE model_id = :model GROUP BY run_id) s;

-- Twice
CALL quantize_model(:model, 'Q8_0');
SELECT present(:model) AS q8 \gset
SELECT throws_ok(format('CALL quantize_model(%s, ''Q4_K'')', :model), '55000', '2 tensors are already quantized',
  'not unasked');
SELECT lives_ok(format('CALL quantize_model(%s, ''q8_0'')', :model), 'the same again is nothing to do');
SELECT is(present(:model), :q8, 'and nothing is done');
SELECT lives_ok(format('CALL quantize_model(%s, ''Q4_K'', requantize => true)', :model), 'asked for');
SELECT is(string_agg(DISTINCT weights_format(atom_data), ' ' ORDER BY weights_format(atom_data)), 'F16 F32 Q4_K Q5_0',
  'it is done') FROM tensor_atoms WHERE model_id = :model;
SELECT is(rollback_model(:model), :q8, 'undone');
SELECT rollback_model(:model) \g /dev/null
SELECT is(holds(:model), :'before', 'and undone');

-- Parts of a model, pruned models, atoms smaller than rows
CALL quantize_model('little', 'Q8_0', 'blk.0.%');
SELECT is(string_agg(DISTINCT tensor_name || ' ' || weights_format(atom_data), ', '),
  'blk.0.attn_norm.weight F32, blk.0.attn_q.weight Q8_0, blk.0.ffn_down.weight F16, output.weight F32, '
  'token_embd.weight F32',
  'a pattern, by the model''s name') FROM tensor_atoms WHERE model_id = :model;
SELECT lives_ok($$CALL quantize_model('little', 'Q8_0', 'token%')$$, 'the next part is quantized beside it');
SELECT rollback_model(:model, (SELECT min(revision_id) FROM model_revisions WHERE model_id = :model)) \g /dev/null
CALL prune_by_importance(:model, keep_ratio => 0.5, method => 'in_place');
SELECT holds(:model) AS pruned, count(*) AS n FROM tensor_atoms WHERE model_id = :model \gset
CALL quantize_model(:model, 'Q4_K');
SELECT is(count(*), :n::bigint, 'a pruned model keeps what it has') FROM tensor_atoms WHERE model_id = :model;
SELECT rollback_model(:model) \g /dev/null
SELECT is(holds(:model), :'pruned', 'the pruned model is back');
SELECT rollback_model(:model) \g /dev/null
SELECT is(holds(:model), :'before', 'and the whole one');
SELECT import_gguf(little_gguf(), 'cut', atom_size => 96) AS cut \gset
SELECT results_eq(
  format('SELECT layer_name, arguments ->> ''format'' FROM quantize_plan(%s, ''Q8_0'') WHERE operation IS NOT NULL',
    :cut),
  $$VALUES ('token_embd.weight', 'Q8_0'), ('blk.0.attn_q.weight', 'Q8_0'), ('blk.0.ffn_down.weight', 'F16'),
    ('output.weight', 'F16')$$, 'atoms of 96 are whole blocks of 32');
CALL quantize_model(:cut, 'Q8_0');
CALL quantize_model(:model, 'Q8_0');
SELECT ok(export_gguf(:cut) = export_gguf(:model), 'the file is the same as with whole rows');
SELECT rollback_model(:model) \g /dev/null
SELECT import_gguf(little_gguf(), 'odd cut', atom_size => 100) AS odd \gset
SELECT is(count(*), 0::bigint, 'atoms of 100 of a row of 256 are whole blocks of nothing') FROM quantize_plan(:odd,
  'Q8_0') WHERE layer_name = 'blk.0.attn_q.weight' AND arguments ->> 'format' <> 'F16';

-- Weights that are no numbers stop it, and nothing has happened
UPDATE tensor_atoms SET atom_data = array_fill('NaN'::real, ARRAY[64]) WHERE model_id = :model AND tensor_name =
  'token_embd.weight' AND atom_sequence = 7;
SELECT holds(:model) AS broken, present(:model) AS present, relations() AS relations \gset
SELECT throws_ok(format('CALL quantize_model(%s, ''Q8_0'')', :model), '22003', NULL, 'NaN cannot be quantized');
SELECT ok(holds(:model) = :'broken' AND present(:model) = :present AND relations() = :'relations'::text[],
  'the model is what it was');

-- Little to quantize
SELECT import_gguf(gguf(NULL), 'empty') AS empty \gset
SELECT lives_ok(format('CALL quantize_model(%s, ''Q4_K'')', :empty), 'a model without tensors');
SELECT import_safetensors(safetensors(ARRAY[ROW('none', 'I64', '{3,0}', '')::st_tensor, ROW('w', 'F32', '{2,32}',
  waves(2, 32, 1))::st_tensor, ROW('s', 'F32', '{}', f32(1))::st_tensor, ROW('i', 'I64', '{2,2}',
    zeros(32))::st_tensor]), 'torch') AS torch \gset
SELECT lives_ok(format('CALL quantize_model(%s, ''Q8_0'')', :torch), 'tensors without weights are not in the way');
SELECT results_eq(
  format('SELECT DISTINCT tensor_name, weights_format(atom_data) FROM tensor_atoms WHERE model_id = %s ORDER BY 1',
    :torch), $$VALUES ('i', 'I64'), ('s', 'F32'), ('w', 'Q8_0')$$, 'nor are integers and scalars');

-- Arguments
SELECT throws_ok(format('CALL quantize_model(%s, %s)', :model, arguments), state, NULL, arguments) FROM (VALUES
  ('''Q9_K''', '22023'), ('NULL', '22023'), ('''''', '22023'), ('''Q8_1''', '0A000'), ('''I8''', '0A000')) v
  (arguments, state);
SELECT throws_ok('CALL quantize_model(999, ''Q8_0'')', '42704', NULL, 'no such model');
SELECT throws_ok('CALL quantize_model(NULL::int, ''Q8_0'')', '42704', NULL, 'NULL for a model');
SELECT throws_ok('CALL quantize_model(''nobody'', ''Q8_0'')', '42704', NULL, 'no such name');
SELECT throws_ok('SELECT * FROM quantize_plan(999, ''Q8_0'')', '42704', NULL, 'quantize_plan of no model');
SELECT throws_ok('SELECT * FROM quantize_plan(NULL, ''Q8_0'')', '42704', NULL, 'quantize_plan(NULL)');
SELECT is(count(operation), 0::bigint, 'quantize_plan() of no format is of those planned: none')
  FROM quantize_plan(:model, NULL);
SELECT throws_ok(format('CALL quantize_model(%s, ''Q8_0'', NULL)', :cut), '22004', NULL, 'a pattern that is NULL');
SELECT throws_ok(format('CALL quantize_model(%s, ''Q8_0'', requantize => NULL)', :cut), '22004', NULL,
  'requantize that is NULL is no leave to do so');
SELECT throws_ok(format('SELECT * FROM quantize_plan(%s, ''Q8_0'', NULL)', :model), '22004', NULL,
  'nor has a plan one');
SELECT is_empty(
  $$SELECT without_comment('fitting_format', 'quantize_plan', 'is_quantizable_name', 'is_matrix', 'quantize_model',
    'wanted_formats', 'stored_values', 'plan_quantizing', 'report_quantizing', 'quantize_parameters',
    'require_importance')$$,
  'every function has a comment');

SELECT * FROM finish();
ROLLBACK;
