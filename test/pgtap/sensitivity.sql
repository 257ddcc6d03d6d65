-- Sensitivity of tensors to quantization: what is measured, once, and what follows from it.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/wide_model.sql
SELECT plan(45);
SELECT create_store() \g /dev/null
CREATE FUNCTION lib.near(found double precision, expected double precision, what text) RETURNS text LANGUAGE sql AS
$$ SELECT ok(abs(found - expected) <= 1e-4 * abs(expected), what || format(': %s, expected %s', found, expected)) $$;
CREATE FUNCTION lib.measure(more text DEFAULT '', model text DEFAULT '''wide''', name text DEFAULT '''cats''')
RETURNS text LANGUAGE sql RETURN format('CALL measure_sensitivity(%s, %s%s)', model, name, more);

SELECT import_gguf(wide_gguf(), 'wide') AS m \gset
SELECT present(:m) AS r \gset

-- Bad input
SELECT throws_ok(measure(), '42704', 'calibration set "cats" does not exist', 'there must be a calibration set');
SELECT throws_ok('SELECT * FROM sensitivity(''wide'', ''cats'')', '42704', NULL, 'also to read what was measured');
SELECT throws_ok(measure(name => 'NULL'), '42704', 'calibration set "NULL" does not exist', 'NULL is no set');
SELECT add_calibration_set('cats', story()) \g /dev/null
SELECT throws_ok(measure(), '55000', format('revision %s of model "wide" has not been calibrated on "cats"', :r),
  'the model must have been calibrated');
CALL collect_calibration('wide', 'cats');
SELECT throws_ok(measure(model => '''none'''), '42704', NULL, 'there must be such a model');
SELECT throws_ok(measure(model => 'NULL::integer'), '42704', NULL, 'NULL is no model');
SELECT throws_ok(measure(', ''magic'''), '22023', 'unknown method "magic"', 'there must be such a method');
SELECT throws_ok(measure(', formats => ''{Q4_0,Q9_9}'''), '22023', 'format "Q9_9" cannot be written',
  'there must be such formats');
SELECT throws_ok(measure(', formats => ''{NULL}'''), '22023', 'format "NULL" cannot be written', 'NULL is no format');
SELECT throws_ok(measure(', formats => ''{}'''), '22023', 'formats is empty', 'there must be a format');
SELECT throws_ok(measure(', probe_format => ''Q8_1'''), '22023', 'format "Q8_1" cannot be written',
  'a format that is only carried cannot be probed');
SELECT throws_ok(measure(', probe_tokens => 1'), '22023', 'probe_tokens must be at least 2, not 1',
  'a single token predicts nothing');
SELECT throws_ok(measure(', probe_tokens => NULL'), '22023', NULL, 'NULL is no number of tokens');
SELECT is(count(*), 0::bigint, 'nothing was stored so far') FROM sensitivities;

-- What is measured
CALL measure_sensitivity('wide', 'cats', 'imatrix', '{q8_0,Q4_0,F16}', probe_tokens => 100);
SELECT results_eq($$SELECT format, count(*) FROM sensitivities WHERE method = 'imatrix' GROUP BY 1 ORDER BY 1$$,
  $$VALUES ('F16', 8::bigint), ('Q4_0', 8), ('Q8_0', 8)$$, 'each matrix has an error in each format');
SELECT results_eq('SELECT format, count(*), min(tokens), max(tokens) FROM sensitivity_probes GROUP BY 1',
  $$VALUES ('Q4_0', 8::bigint, 98::bigint, 98::bigint)$$,
  'each matrix was probed once, in the fallback of Q3_K, on all tokens but the first of each of two windows of 64');
SELECT ok(bool_and(kl_divergence > 0 AND kl_divergence_error > 0 AND seconds > 0), 'a probe has a divergence')
  FROM sensitivity_probes;
SELECT ok(bool_and(a.relative_error < b.relative_error), 'more bits, less error')
  FROM (VALUES ('F16', 'Q8_0'), ('Q8_0', 'Q4_0')) v (many, few)
  JOIN sensitivities a ON a.format = many JOIN sensitivities b ON b.format = few AND b.layer_id = a.layer_id;

-- The errors by their definition
CREATE FUNCTION lib.gram_energy(d real[], g real[], n integer) RETURNS double precision LANGUAGE sql IMMUTABLE
  RETURN (SELECT sum(d[i]::float8 * d[j] * g[(i - 1) * n - (i - 1) * (i - 2) / 2 + j - i + 1]
            * CASE WHEN i = j THEN 1 ELSE 2 END)
            FROM generate_series(1, n) i, generate_series(i, n) j);
CREATE FUNCTION lib.difference(a real[], b real[]) RETURNS real[] LANGUAGE sql IMMUTABLE
  RETURN (SELECT array_agg(x - y ORDER BY n) FROM ROWS FROM (unnest(a), unnest(b)) WITH ORDINALITY u (x, y, n));
CREATE FUNCTION lib.expected_error(tensor text, format text, importance real[] DEFAULT NULL) RETURNS double precision
LANGUAGE sql AS $$
  WITH g AS MATERIALIZED (
    SELECT hartonomous_internal.gram_matrix(model_id, tensor, 'cats', current_revision) AS g
      FROM hartonomous.models WHERE model_name = 'wide')
  SELECT sum(
    lib.gram_energy(lib.difference(dequantize(a.atom_data), dequantize(CASE WHEN importance IS NULL
           THEN quantize(dequantize(a.atom_data), format)
           ELSE quantize(dequantize(a.atom_data), format, importance) END)), g.g, 32))
           / sum(lib.gram_energy(dequantize(a.atom_data), g.g, 32))
    FROM hartonomous.tensor_atoms a, g WHERE a.tensor_name = tensor $$;
SELECT near(s.relative_error, expected_error('blk.0.attn_k.weight', 'Q4_0', (SELECT dequantize(sums_of_squares)
  FROM calibration_stats c WHERE c.layer_id = s.layer_id)), 'the relative error, by importance')
  FROM sensitivities s WHERE s.layer_id = layer(:m, 'blk.0.attn_k.weight') AND format = 'Q4_0';
CALL measure_sensitivity('wide', 'cats', 'plain', '{Q4_0}');
SELECT near(s.relative_error, expected_error('blk.0.attn_k.weight', 'Q4_0'), 'the relative error, without importance')
  FROM sensitivities s WHERE s.layer_id = layer(:m, 'blk.0.attn_k.weight') AND format = 'Q4_0' AND method = 'plain';

-- By the Hessian
CALL measure_sensitivity('wide', 'cats', formats => '{Q4_0,Q8_0}', probe_tokens => 100);
SELECT results_eq($$SELECT format, count(*) FROM sensitivities WHERE method = 'hessian' GROUP BY 1 ORDER BY 1$$,
  $$VALUES ('Q4_0', 8::bigint), ('Q8_0', 8)$$,
  'by default, with Gram matrices, errors against the Hessian are measured beside the others');
SELECT is(count(*), 0::bigint, 'but no probes: those by importance serve') FROM sensitivity_probes
  WHERE method = 'hessian';
SELECT ok(sum(h.relative_error / i.relative_error) < 0.9 * count(*), 'errors against the Hessian are smaller')
  FROM sensitivities h JOIN sensitivities i USING (layer_id, format)
  WHERE h.method = 'hessian' AND i.method = 'imatrix' AND format = 'Q4_0';
SELECT near(h.predicted_kl_divergence / i.predicted_kl_divergence, h.relative_error / i.relative_error,
  'and so are the divergences predicted for it')
  FROM sensitivity('wide', 'cats') h JOIN sensitivity('wide', 'cats', 'imatrix') i USING (layer_name, format)
  WHERE layer_name = 'blk.0.attn_q.weight' AND format = 'Q4_0';
UPDATE calibration_stats SET gram_layer_id = NULL WHERE layer_id = layer(:m, 'blk.0.attn_q.weight');
SELECT is(h.relative_error, i.relative_error, 'a matrix that has only the diagonal is quantized by importance')
  FROM hartonomous_internal.format_errors(:m, :r, :r, 'cats', 'blk.0.attn_q.weight', '{Q4_0}', 'hessian') h,
    hartonomous_internal.format_errors(:m, :r, :r, 'cats', 'blk.0.attn_q.weight', '{Q4_0}', 'imatrix') i;
CREATE TABLE lib.grams AS SELECT layer_id, gram_layer_id FROM calibration_stats;
UPDATE calibration_stats SET gram_layer_id = NULL;
SELECT results_eq($$SELECT DISTINCT method FROM hartonomous_internal.sensitivity_method((SELECT model_id FROM models),
  'cats', NULL) method$$, $$VALUES ('imatrix')$$, 'without any Gram matrix the default is by importance');
SELECT throws_ok(measure(', ''hessian'''), '55000', format(
  'calibration set "cats" has no Gram matrices of revision %s of model "wide"', :r), 'and there is no other method');
UPDATE calibration_stats c SET gram_layer_id = g.gram_layer_id FROM lib.grams g WHERE g.layer_id = c.layer_id;
UPDATE calibration_stats SET gram_layer_id = layer_id WHERE layer_id = layer(:m, 'blk.0.attn_q.weight');
DELETE FROM sensitivities WHERE method = 'hessian';

-- Once
CREATE TABLE lib.before AS SELECT * FROM sensitivities;
CREATE TABLE lib.probes AS SELECT * FROM sensitivity_probes;
CALL measure_sensitivity('wide', 'cats', 'imatrix', '{Q8_0,Q4_0,F16}', probe_format => 'Q4_0', probe_tokens => 50);
SELECT set_eq('TABLE sensitivities', 'TABLE lib.before', 'the same call again measures nothing');
SELECT set_eq('TABLE sensitivity_probes', 'TABLE lib.probes', 'not even with another format or text of the probe');
DELETE FROM sensitivity_probes WHERE layer_id = layer(:m, 'blk.0.ffn_up.weight') AND method = 'imatrix';
CALL measure_sensitivity('wide', 'cats', 'imatrix', '{Q8_0,Q4_0,F16}', probe_tokens => 100);
SELECT results_eq('SELECT layer_id, format, tokens, kl_divergence FROM sensitivity_probes ORDER BY 1, 2, 4',
  'SELECT layer_id, format, tokens, kl_divergence FROM lib.probes ORDER BY 1, 2, 4',
  'what is missing is measured again, by itself, with the same result');
SET LOCAL hartonomous.threads = 3;
DELETE FROM sensitivities;
DELETE FROM sensitivity_probes WHERE method = 'imatrix';
CALL measure_sensitivity('wide', 'cats', 'imatrix', '{Q8_0,Q4_0,F16}', probe_tokens => 100);
SELECT set_eq('SELECT layer_id, format, relative_error FROM sensitivities',
  $$SELECT layer_id, format, relative_error FROM lib.before WHERE method = 'imatrix'$$,
  'errors do not depend on the number of threads');
SELECT set_eq('SELECT layer_id, method, kl_divergence FROM sensitivity_probes',
  'SELECT layer_id, method, kl_divergence FROM lib.probes', 'nor do probes');
RESET hartonomous.threads;

-- What follows
SELECT is(count(*), 24::bigint, 'sensitivity() has a row for each matrix and format')
  FROM sensitivity('wide', 'cats', 'imatrix');
SELECT is(bytes, 1152::bigint, 'with its bytes in a file: 64 rows of a block of 18')
  FROM sensitivity('wide', 'cats', 'imatrix')
  WHERE layer_name = 'blk.0.ffn_up.weight' AND format = 'Q4_0';
SELECT ok(bool_and(abs(predicted_kl_divergence - probe_kl_divergence) <= 1e-9 * probe_kl_divergence),
  'for the format of the probe it predicts what the probe found')
  FROM sensitivity('wide', 'cats', 'imatrix') WHERE format = probe_format;
SELECT near(a.predicted_kl_divergence / b.predicted_kl_divergence, a.relative_error / b.relative_error,
  'for others in proportion to their errors')
  FROM sensitivity('wide', 'cats', 'imatrix') a JOIN sensitivity('wide', 'cats', 'imatrix') b USING (layer_name)
  WHERE a.format = 'Q8_0' AND b.format = 'Q4_0' AND layer_name = 'blk.0.attn_q.weight';
SELECT is(count(*), 0::bigint, 'there is nothing of a method that was not measured completely')
  FROM sensitivity('wide', 'cats', 'plain');
DELETE FROM sensitivity_probes WHERE layer_id = layer(:m, 'blk.0.ffn_up.weight');
SELECT ok(bool_and(predicted_kl_divergence IS NULL), 'without a probe nothing is predicted')
  FROM sensitivity('wide', 'cats', 'imatrix') WHERE layer_name = 'blk.0.ffn_up.weight';

-- The functions that measure
SELECT results_eq(
  format(
    $$SELECT *
      FROM hartonomous_internal.format_errors(%s, %s, %2$s, 'none', 'blk.0.attn_q.weight', '{F32}', 'imatrix')$$,
    :m, :r), $$VALUES ('F32', 0::float8)$$, 'F32 has no error, and without statistics all columns count the same');
SELECT throws_ok(
  format($$SELECT * FROM hartonomous_internal.format_errors(%s, %s, %2$s, 'cats', 'none', '{F32}', 'imatrix')$$, :m,
    :r),
  '42704', NULL, 'the errors of no tensor');
SELECT throws_ok(
  format($$SELECT hartonomous_internal.probe_tensor(%s, %s, %2$s, 'cats', '', 'blk.0.attn_q.weight', 'Q8_0', 9, true,
    false)$$, :m, :r), '22023', NULL, 'a probe on an empty text');
UPDATE tensor_atoms SET atom_data = quantize(array_fill(1e30::real, ARRAY[32]), 'F32') WHERE model_id = :m
  AND tensor_name = 'blk.0.attn_v.weight' AND atom_sequence = 3;
SELECT results_eq(
  format(
    $$SELECT *
      FROM hartonomous_internal.format_errors(%s, %s, %2$s, 'cats', 'blk.0.attn_v.weight', '{F16}', 'imatrix')$$,
    :m, :r), $$VALUES ('F16', 'Infinity'::float8)$$, 'a format that cannot hold the weights has an infinite error');

-- Sets without text, deletion
UPDATE calibration_sets SET text = NULL;
SELECT throws_ok(measure(), '22023', 'calibration set "cats" has no text', 'a probe needs a text');
DELETE FROM calibration_sets;
SELECT is((SELECT count(*) FROM sensitivities) + (SELECT count(*) FROM sensitivity_probes), 0::bigint,
  'with a calibration set goes what was measured on it');
SELECT is_empty($$SELECT without_comment('measure_sensitivity', 'sensitivity', 'format_errors', 'probe_tensor',
  'file_bytes', 'allocatable_tensors', 'format_choices', 'formats_named', 'sensitivity_revision', 'plan_sensitivity',
  'carry_out', 'probe_method', 'report_sensitivity')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
