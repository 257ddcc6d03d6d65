-- The rank auction: singular values of whitened matrices, ranks that share a budget, the divergence that is predicted.
BEGIN;
\ir lib/model_files.sql
\ir lib/calibrated_model.sql
SELECT plan(44);
SELECT import('m') AS m \gset
SELECT current_revision(:m) AS imported \gset
SELECT calibrate(:m, 'a');
-- A Gram matrix of the output matrix, too.
UPDATE calibration_stats SET gram_layer_id = layer_id WHERE gram_layer_id IS NULL;
INSERT INTO calibration_grams (model_id, revision_id, calibration_set, layer_id, expert, first_column, gram)
  SELECT l.model_id, :imported, 'a', l.layer_id, 0, 0, gram(32) FROM model_layers l
  WHERE l.layer_name = 'output.weight';

-- ---- arguments ----
SELECT throws_ok(format('SELECT svd_plan(%s, calibration_set => ''a'', %s)', :m, arguments), '22023', message, test)
  FROM (VALUES
  ('target_ratio => 0.5, target_bytes => 1000',
    'exactly one of rank, energy, target_ratio and target_bytes must be given',
    'two targets'),
    ('rank => 4, auction => true', 'an auction needs target_ratio or target_bytes', 'nothing to share'),
    ('energy => 0.9, auction => true', 'an auction needs target_ratio or target_bytes', '... nor with energy'),
    ('target_bytes => 1000, auction => false', 'target_bytes is shared by auction', 'target_bytes without auction'))
  v (arguments, message, test);
SELECT throws_ok(format('SELECT svd_plan(%s, target_ratio => 0.5, auction => true, whiten => false)', :m), '22023',
  'an auction compares errors of outputs, which need whitening', 'an auction without whitening');
SELECT throws_ok(format('CALL svd_compress_model(%s, rank => 4, auction => true)', :m), '22023',
  'an auction needs target_ratio or target_bytes', 'the procedure checks its arguments before it measures');
SELECT is_empty('SELECT FROM svd_spectra', '... nothing');
SELECT throws_ok(format('SELECT svd_plan(%s, target_ratio => 0.5, auction => true)', :m), '55000',
  'the singular values of tensor "blk.0.attn_q.weight" have not been measured', 'a plan does not measure');
SELECT is(hint_of(format('SELECT svd_plan(%s, target_ratio => 0.5, auction => true)', :m)),
  format('CALL hartonomous.measure_singular_values(''m'', ''a'', %s); measures them, svd_compress_model() does so by '
         'itself.', :imported), '... but says what does');

-- ---- singular values ----
SELECT throws_ok('CALL measure_singular_values(-1)', '42704', NULL, 'no such model');
SELECT throws_ok(format('CALL measure_singular_values(%s, ''none'')', :m), '55000',
  'model "m" has no calibration statistics of calibration set "none"', 'no such set');
SELECT throws_ok(format('CALL measure_singular_values(%s, layer_pattern => ''none'')', :m), '22023', NULL,
  'no such tensor');
CALL measure_singular_values(:m, layer_pattern => '%attn%');
SELECT results_eq('SELECT layer_name FROM svd_spectra JOIN model_layers USING (layer_id) ORDER BY position',
  $$VALUES ('blk.0.attn_q.weight'), ('blk.0.attn_k.weight')$$, 'those of a pattern are measured');
UPDATE svd_spectra SET created_at = '2001-01-01';
CALL measure_singular_values(:m, 'a');
SELECT results_eq('SELECT layer_name, created_at = ''2001-01-01'', weights_format(singular_values), '
                  'weights_count(singular_values) FROM svd_spectra JOIN model_layers USING (layer_id) '
                  'ORDER BY position',
  $$VALUES ('blk.0.attn_q.weight', true, 'F32', 24::bigint), ('blk.0.attn_k.weight', true, 'F32', 32),
           ('blk.0.ffn_down.weight', false, 'F32', 24), ('output.weight', false, 'F32', 20)$$,
  'the same call measures what is missing, as many values as the shorter side');
SELECT ok(abs(sum(v ^ 2) - 1) < 1e-5 AND bool_and(v <= before OR before IS NULL),
  'they descend, and their squares sum to 1')
  FROM (SELECT s.layer_id, v::float8, lag(v) OVER (PARTITION BY s.layer_id ORDER BY n) AS before
          FROM svd_spectra s, unnest(dequantize(s.singular_values)) WITH ORDINALITY u (v, n)) q GROUP BY layer_id;

-- ---- without sensitivities ----
CREATE TABLE auctioned AS SELECT * FROM svd_plan(:m, target_ratio => 0.6, auction => true);
CREATE TABLE uniform AS SELECT * FROM svd_plan(:m, target_ratio => 0.6, calibration_set => 'a');
SELECT is((SELECT array_agg(layer_name || ': ' || reason ORDER BY layer_id) FROM auctioned WHERE operation IS NULL),
  ARRAY['token_embd.weight: no Gram matrix of its input in calibration set "a"',
        'blk.0.attn_norm.weight: no matrix', 'blk.1.ffn_up_exps.weight: no matrix',
        'output.weight: sensitivity not measured'], 'the output matrix stays whole');
SELECT ok(sum(bytes_after) <= 0.6 * sum(bytes_before) AND sum(bytes_after) > 0.6 * sum(bytes_before) - 1000,
  'the budget is spent and not exceeded') FROM auctioned WHERE details IS NOT NULL;
SELECT ok((SELECT bool_and(details ->> 'sensitivity_measured' = 'false' AND NOT details ? 'predicted_kl_divergence')
             FROM auctioned WHERE details IS NOT NULL), 'the plan says that no sensitivity is measured');
SELECT is((SELECT count(*) FROM auctioned WHERE operation = 'factor' AND arguments ->> 'calibration_set' = 'a'),
  3::bigint,
  'an auction whitens');
-- Of all ranks of these three within the budget none loses less.
SELECT ok(
  (SELECT sum((details ->> 'predicted_output_error')::float8 ^ 2) FROM auctioned WHERE operation = 'factor')
  <= (WITH losses AS (
        SELECT l.layer_name, u.n AS rank, 1 - sum(u.v::float8 ^ 2) OVER (PARTITION BY s.layer_id ORDER BY u.n) AS lost,
               factor_bytes('F16', l.tensor_shape[1], l.tensor_shape[2], u.n) AS bytes
          FROM svd_spectra s JOIN model_layers l USING (layer_id),
               unnest(dequantize(s.singular_values)) WITH ORDINALITY u (v, n) WHERE l.layer_name LIKE 'blk%')
      SELECT min(a.lost + b.lost + c.lost) FROM losses a, losses b, losses c
       WHERE a.layer_name LIKE '%attn_q%' AND b.layer_name LIKE '%attn_k%' AND c.layer_name LIKE '%down%'
         AND a.bytes + b.bytes + c.bytes <= (SELECT sum(bytes_after) FROM auctioned WHERE operation = 'factor')) + 1e-6,
  'the ranks are the best');

-- ---- with sensitivities ----
INSERT INTO sensitivities (model_id, revision_id, calibration_set, layer_id, method, format, relative_error)
  SELECT :m, :imported, 'a', l.layer_id, method, 'Q3_K', 0.01
    FROM model_layers l, unnest('{imatrix,plain}'::text[]) AS method WHERE l.model_id = :m;
INSERT INTO sensitivity_probes (model_id, revision_id, calibration_set, layer_id, method, format, tokens, kl_divergence,
                                kl_divergence_error, seconds)
  SELECT :m, :imported, 'a', l.layer_id, method, 'Q3_K', 99,
         CASE WHEN method = 'plain' THEN 9 WHEN l.layer_name LIKE '%attn_k%' THEN 1
         WHEN l.layer_name LIKE '%down%' THEN -1
              ELSE 0.02 END, 0.001, 1
    FROM model_layers l, unnest('{imatrix,plain}'::text[]) AS method
   WHERE l.model_id = :m AND l.layer_name <> 'output.weight';
SELECT ok((SELECT bool_and(details ->> 'sensitivity_measured' = 'false')
             FROM svd_plan(:m, target_ratio => 0.6, auction => true) WHERE details IS NOT NULL),
  'sensitivities of some matrices are not compared with those of others');
INSERT INTO sensitivity_probes (model_id, revision_id, calibration_set, layer_id, method, format, tokens, kl_divergence,
                                kl_divergence_error, seconds)
  SELECT :m, :imported, 'a', l.layer_id, 'imatrix', 'Q3_K', 99, 0.02, 0.001, 1
    FROM model_layers l WHERE l.layer_name = 'output.weight';
SELECT results_eq(
  format('SELECT layer_name, sensitivity FROM tensor_sensitivities(%s, ''a'') JOIN model_layers USING (layer_id) '
         'WHERE layer_name IN (''blk.0.attn_k.weight'', ''blk.0.ffn_down.weight'', ''output.weight'') '
         'ORDER BY position',
         :m),
  $$VALUES ('blk.0.attn_k.weight', 100::float8), ('blk.0.ffn_down.weight', 0.1), ('output.weight', 2)$$,
  'divergence per error, by importance first, and at least the standard error');
CREATE TABLE sensitive AS SELECT * FROM svd_plan(:m, target_ratio => 0.6, auction => true);
SELECT ok(
  (SELECT s.bytes_after > a.bytes_after FROM sensitive s JOIN auctioned a USING (layer_name)
    WHERE layer_name LIKE '%attn_k%')
  AND (SELECT s.bytes_after < a.bytes_after FROM sensitive s JOIN auctioned a USING (layer_name)
        WHERE layer_name LIKE '%down%'), 'the sensitive matrix gets more, the insensitive one less');
SELECT is((SELECT operation FROM sensitive WHERE layer_name = 'output.weight'), 'factor',
  'the output matrix is compared like any other');
SELECT ok(abs((details ->> 'predicted_kl_divergence')::float8 - k.sensitivity
              * (details ->> 'predicted_output_error')::float8 ^ 2) <= 1e-9 * k.sensitivity,
          layer_name || ': the divergence is the loss times the sensitivity')
  FROM sensitive JOIN tensor_sensitivities(:m, 'a') k USING (layer_id) WHERE details IS NOT NULL;
SAVEPOINT intact;
UPDATE sensitivity_probes SET kl_divergence = 'NaN' WHERE layer_id = (SELECT layer_id FROM sensitive WHERE layer_name
  LIKE '%attn_k%');
SELECT is((SELECT count(*) FROM tensor_sensitivities(:m, 'a') JOIN model_layers USING (layer_id)
            WHERE layer_name LIKE '%attn_k%'), 0::bigint, 'a number that is none is not measured');
ROLLBACK TO intact;

-- ---- budgets ----
SELECT throws_ok(format('SELECT svd_plan(%s, target_bytes => %s, calibration_set => ''a'')', :m, bytes), '22023', NULL,
  test)
  FROM (SELECT sum(bytes_before) AS all_bytes FROM uniform) q
  CROSS JOIN LATERAL (VALUES (all_bytes, 'no fewer bytes than now'), (2000, 'too few bytes'), (-1, 'a negative number'))
  v (bytes, test);
SELECT throws_ok(format('SELECT svd_plan(%s, target_ratio => 0.01, auction => true)', :m), '22023',
  'the matrices cannot be as small as '
  || (SELECT floor(0.01 * sum(bytes_before)) FROM sensitive WHERE details IS NOT NULL)
  || ' bytes', 'too small a share');
SELECT ok(sum(bytes_after) BETWEEN 11000 AND 12000, 'target_bytes are those of all tensors')
  FROM svd_plan(:m, target_bytes => 12000, calibration_set => 'a');
SELECT is(
  (SELECT sum(p.bytes_after) FROM svd_plan(:m, target_bytes => 12000, calibration_set => 'a') p),
  (SELECT sum(coalesce(q.bytes_after, u.bytes_after)) FROM uniform u
     LEFT JOIN svd_plan(:m, target_bytes => 12000, calibration_set => 'a', layer_pattern => '%') q USING (layer_name)),
  'also with a pattern');

-- ---- carrying it out ----
CALL svd_compress_model(:m, target_ratio => 0.6, auction => true);
SELECT is((SELECT count(*) FROM svd_compressed_layers f WHERE f.revision_id = live_base(:m)),
  (SELECT count(*) FROM sensitive WHERE operation = 'factor'), 'what is planned is done');
SELECT ok(bool_and(abs(f.output_error ^ 2 - (s.details ->> 'predicted_output_error')::float8 ^ 2) < 0.012),
  'the loss is as predicted, but for damping and rounding')
  FROM svd_compressed_layers f JOIN sensitive s USING (layer_id) WHERE f.revision_id = live_base(:m);
SELECT ok(abs((metrics ->> 'predicted_kl_divergence')::float8
              - (SELECT sum((details ->> 'predicted_kl_divergence')::float8) FROM sensitive WHERE operation = 'factor'))
          < 1e-9, 'the predicted divergence is stored with the revision')
  FROM model_revisions WHERE revision_id = current_revision(:m);
SELECT is(parameters - 'layer_pattern' - 'min_gain' - 'residual_ratio', format(
  '{"target_ratio": 0.6, "auction": true, "factor_format": "F16", "calibration_set": "a", "calibration_revision": %s}',
  :imported)::jsonb, 'so are the arguments') FROM model_revisions WHERE revision_id = current_revision(:m);
SELECT rollback_model(:m, :imported) \g /dev/null
UPDATE tensor_atoms SET atom_data = '{NaN}'::real[] || (dequantize(atom_data))[2:] WHERE model_id = :m
  AND tensor_name = 'blk.0.ffn_down.weight' AND atom_sequence = 3;
DELETE FROM svd_spectra;
CALL svd_compress_model(:m, target_ratio => 0.6, auction => true);
SELECT is(outcome, 'left alone: NaN or infinity', 'a matrix with NaN takes no part')
  FROM svd_outcomes((SELECT max(run_id) FROM compression_runs)) WHERE layer_name = 'blk.0.ffn_down.weight';
SELECT delete_model(:m) > 0 AS deleted \gset
SELECT is_empty('SELECT FROM svd_spectra', 'singular values go with their model');

SELECT * FROM finish();
ROLLBACK;
