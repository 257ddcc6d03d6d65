-- The measures of validate_model_accuracy() on a model whose predictions can be computed by hand: nothing follows from
-- any token but "a", after which "b" is more or less probable than the other 258 tokens.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(15);
SELECT create_store() \g /dev/null

CREATE FUNCTION lib.near(found double precision, expected double precision, what text) RETURNS text LANGUAGE sql AS
$$ SELECT ok(abs(found - expected) <= 1e-5 * abs(expected), what || format(': %s, expected %s', found, expected)) $$;

SELECT import_gguf(llama_gguf(1, '{}', '{}', ARRAY[ROW('output.weight', '{16,259}', 0, zeros(4 * 16 * 259))::tensor]),
  'a_then_b') AS m \gset
CREATE FUNCTION lib.first_weight(weight real) RETURNS hartonomous.weights LANGUAGE sql IMMUTABLE
  RETURN quantize(weight || array_fill(0::real, ARRAY[15]), 'F32');
-- Blocks add nothing; the state after "a" is (4, 0, …), and zero after any other token.
DELETE FROM tensor_atoms WHERE model_id = :m AND (tensor_name ~ 'attn_output|ffn_down'
                                                  OR tensor_name = 'token_embd.weight' AND atom_sequence <> 97 + 3);
UPDATE tensor_atoms SET atom_data = first_weight(1000) WHERE model_id = :m AND tensor_name = 'token_embd.weight';
UPDATE tensor_atoms SET atom_data = quantize(array_fill(1::real, ARRAY[16]), 'F32') WHERE model_id = :m
  AND tensor_name = 'output_norm.weight';
SELECT backup_model(:m) AS uniform \gset
UPDATE tensor_atoms SET atom_data = first_weight(0.5) WHERE model_id = :m AND tensor_name = 'output.weight'
  AND atom_sequence = 98 + 3;
SELECT backup_model(:m) AS probable \gset

-- 5 chunks of 32 tokens, of which 15 are scored: 8 of the 75 follow an "a".
SELECT add_validation_set('ab', repeat('abbbbbbbbb', 16)) \g /dev/null
SELECT ln(258 + exp(2::float8)) - ln(259::float8) - 2.0 / 259 AS kl,
       exp(2::float8) / (258 + exp(2::float8)) - 1.0 / 259 AS d, sqrt(8.0 / 75 * 67 / 75 / 74) AS error \gset
SELECT * FROM validate_model_accuracy(:m, 'ab', :uniform, 32, :probable) \gset
SELECT near(:kl_divergence, 8.0 / 75 * :kl, 'the KL divergence is a mean over all scored tokens');
SELECT near(:kl_divergence_error, :kl * :error, 'its error is the standard deviation over sqrt(n - 1)');
SELECT is(ARRAY[:kl_minimum, :kl_median]::float8[], '{0,0}',
  'where nothing follows, predictions are equal, and so they are for most tokens');
SELECT near(:kl_percentile_90, 0.6 * :kl, 'the 90th percentile, at position 66.6, is interpolated');
SELECT is(ARRAY[:kl_percentile_95, :kl_percentile_99, :kl_percentile_99_9]::float8[],
  array_fill(:kl_maximum::float8, ARRAY[3]), 'the higher percentiles are among the 8 largest values');
SELECT near(:kl_maximum, :kl, 'the maximum is the divergence after an "a"');
SELECT near(:delta_p, 8.0 / 75 * :d, 'the change of probability is a mean over all scored tokens');
SELECT near(:delta_p_error, :d * :error, 'with its standard error');
SELECT near(:delta_p_rms, sqrt(8.0 / 75) * :d, 'the root mean square of the change');
SELECT near(:delta_p_rms_error, :d ^ 2 * :error / (2 * :delta_p_rms),
  'its error is that of the mean square over twice the root');
SELECT is(log_probability_correlation, NULL, 'with a constant there is no correlation') FROM validation_results
  WHERE result_id = :result_id;
SELECT near(:same_top, 67.0 / 75, 'the most probable token differs after an "a"');
SELECT results_eq(
  format(
    $$SELECT kl_minimum, kl_median, kl_percentile_90, kl_percentile_95, kl_percentile_99, kl_percentile_99_9,
      kl_maximum, delta_p, delta_p_error, delta_p_rms, delta_p_rms_error, log_probability_correlation
  FROM validation_results WHERE result_id = %s$$, :result_id),
  format('VALUES (%s::float8, %s::float8, %s::float8, %s::float8, %s::float8, %s::float8, %s::float8, %s::float8, '
    '%s::float8, %s::float8, %s::float8, NULL::float8)', :kl_minimum, :kl_median, :kl_percentile_90,
    :kl_percentile_95, :kl_percentile_99, :kl_percentile_99_9, :kl_maximum, :delta_p, :delta_p_error, :delta_p_rms,
    :delta_p_rms_error),
  'all are stored');

-- Correlation
UPDATE tensor_atoms SET atom_data = first_weight(-0.25) WHERE model_id = :m AND tensor_name = 'output.weight'
  AND atom_sequence = 98 + 3;
SELECT near(log_probability_correlation, -1,
  'if what is more probable in one model is less so in the other, the correlation is negative')
  FROM validate_model_accuracy(:m, 'ab', :probable, 32);
SELECT results_eq(
  format(
    'SELECT kl_maximum, delta_p, delta_p_rms, delta_p_rms_error, round(log_probability_correlation::numeric, 9) '
    'FROM validate_model_accuracy(%s, ''ab'', %s, 32, %s)', :m, :probable, :probable),
  'VALUES (0::float8, 0::float8, 0::float8, 0::float8, 1::numeric)', 'a revision does not differ from itself');

SELECT * FROM finish();
ROLLBACK;
