-- Factors that keep the outputs of a matrix: what they lose on the inputs that calibration has seen, which tensors get
-- them, statistics that are missing or damaged.
BEGIN;
\ir lib/model_files.sql
\ir lib/calibrated_model.sql
SELECT plan(42);

SELECT import('m') AS m \gset
SELECT current_revision(:m) AS imported \gset

-- ---- before there are statistics ----
SELECT throws_ok(format('CALL svd_compress_model(%s, rank => 4, %s)', :m, arguments), state, message, test) FROM (VALUES
  ('whiten => true', '55000', 'model "m" has no calibration statistics', 'no statistics at all'),
  ('calibration_set => ''a''', '55000', 'model "m" has no calibration statistics of calibration set "a"',
    'none of that set'),
  ('whiten => false, calibration_set => ''a''', '22023', 'without whitening no calibration set is used',
    'a set that would not be used'),
  ('calibration_revision => 1', '22023', 'calibration_revision needs a calibration_set', 'a revision without a set'))
  v (arguments, state, message, test);
SELECT is(hint_of(format('SELECT svd_plan(%s, rank => 4, whiten => true)', :m)),
  'CALL hartonomous.collect_calibration(''m'', ''name of a set''); collects them, import_importance() reads an '
  'importance matrix of llama.cpp.', 'the hint says what to call');
SELECT calibrate(:m, 'a');
SAVEPOINT diagonals;
UPDATE calibration_stats SET gram_layer_id = NULL;
SELECT throws_ok(format('SELECT svd_plan(%s, rank => 4, calibration_set => ''a'')', :m), '55000',
  format('calibration set "a" has no Gram matrices of revision %s of model "m"', :imported),
  'the diagonals alone are not enough');
SELECT is(hint_of(format('SELECT svd_plan(%s, rank => 4, calibration_set => ''a'')', :m)),
  'CALL hartonomous.collect_calibration(''m'', ''a''); collects them.', '... and the hint says what is');
ROLLBACK TO diagonals;

-- ---- the plan ----
SELECT results_eq(
  format($$SELECT layer_name, operation, bytes_after, (arguments ->> 'rank')::integer, arguments ->> 'calibration_set',
                  (arguments ->> 'calibration_revision')::integer, reason
             FROM svd_plan(%s, rank => 4, calibration_set => 'a')$$, :m),
  format($$VALUES
    ('token_embd.weight', NULL, 2560::bigint, NULL::integer, NULL, NULL::integer,
     'no Gram matrix of its input in calibration set "a"'),
    ('blk.0.attn_norm.weight', NULL, 128, NULL, NULL, NULL, 'no matrix'),
    ('blk.0.attn_q.weight', 'factor', 464, 4, 'a', %1$s, NULL),
    ('blk.0.attn_k.weight', 'factor', 592, 4, 'a', %1$s, NULL),
    ('blk.0.ffn_down.weight', 'factor', 448, 4, 'a', %1$s, NULL),
    ('blk.1.ffn_up_exps.weight', NULL, 1536, NULL, NULL, NULL, 'no matrix'),
    ('output.weight', NULL, 2560, NULL, NULL, NULL, 'no Gram matrix of its input in calibration set "a"')$$, :imported),
  'matrices of which there is a Gram matrix are factored');
SELECT is((SELECT count(*) FROM svd_plan(:m, rank => 4, whiten => true) WHERE arguments ? 'calibration_set'), 3::bigint,
  'the only set need not be named');
SELECT is((SELECT count(*) FROM svd_plan(:m, rank => 4) WHERE arguments ? 'calibration_set'), 0::bigint,
  'without whitening nothing is whitened');
SELECT is((SELECT count(*) FROM svd_plan(:m, rank => 4, whiten => false) WHERE operation = 'factor'), 5::bigint,
  '... and the others are factored, too');
SELECT calibrate(:m, 'b');
SELECT throws_ok(format('SELECT svd_plan(%s, rank => 4, whiten => true)', :m), '22023',
  'model "m" has statistics of several calibration sets', 'with two sets one has to be named');
DELETE FROM calibration_sets WHERE calibration_set = 'b';

-- ---- what is lost ----
CALL svd_compress_model(:m, rank => 4);
CREATE TABLE plain AS
  SELECT layer_name, relative_error, output_error, lost(:m, layer_name) FROM svd_compressed_layers;
SELECT ok(output_error IS NULL, 'without calibration no error of the outputs is known') FROM plain LIMIT 1;
SELECT rollback_model(:m) \g /dev/null
CALL svd_compress_model(:m, rank => 4, calibration_set => 'a');
SELECT results_eq(
  format('SELECT layer_name, rank, weights_format(u_matrix) FROM svd_compressed_layers '
         'WHERE revision_id = live_base(%s) ORDER BY layer_id', :m),
  $$VALUES ('blk.0.attn_q.weight', 4, 'F16'), ('blk.0.attn_k.weight', 4, 'F16'), ('blk.0.ffn_down.weight', 4, 'F16')$$,
  'three matrices are factors');
SELECT ok(abs(f.output_error - lost(:m, f.layer_name)) < 1e-3 * f.output_error,
          f.layer_name || ' loses as much of its outputs as is stored')
  FROM svd_compressed_layers f WHERE f.revision_id = live_base(:m);
SELECT ok(f.output_error < 0.9 * p.lost AND f.relative_error > p.relative_error,
          f.layer_name || ' loses less of its outputs, and more of its weights, than without whitening')
  FROM svd_compressed_layers f JOIN plain p USING (layer_name) WHERE f.revision_id = live_base(:m);
-- Of all matrices of that rank none loses less under the damped Gram matrix, of which explained_variance is the rest.
SELECT ok(1 - f.explained_variance BETWEEN 0.9 * f.output_error ^ 2 AND f.output_error ^ 2 + 0.011,
          f.layer_name || ' explains what it does not lose')
  FROM svd_compressed_layers f WHERE f.revision_id = live_base(:m);
SELECT results_eq(
  format(
    'SELECT layer_name, output_error IS NOT NULL, abs(measured_error - stored_error) < 1e-6, orthonormality < 2e-3, '
         'problem FROM verify_svd(%s)', :m),
  $$VALUES ('blk.0.attn_q.weight', true, true, true, NULL::text), ('blk.0.attn_k.weight', true, true, true, NULL),
           ('blk.0.ffn_down.weight', true, true, true, NULL)$$, 'verify_svd() finds them sound');
SELECT matches(outcome, '^rank 4, [0-9.]+ % of the outputs explained, error [0-9.]+, of the outputs 0[0-9.]+$',
               'the outcome tells both errors')
  FROM svd_outcomes((SELECT max(run_id) FROM compression_runs)) WHERE layer_name = 'blk.0.attn_q.weight';
SELECT is(parameters - 'layer_pattern' - 'min_gain' - 'residual_ratio',
  format('{"rank": 4, "factor_format": "F16", "calibration_set": "a", "calibration_revision": %s}', :imported)::jsonb,
  'the revision records the set') FROM model_revisions WHERE revision_id = current_revision(:m);

-- ---- another state of the model ----
SELECT throws_ok(format('CALL svd_compress_model(%s, rank => 3, calibration_set => ''a'')', :m), '55000',
  format('revision %s of model "m" has no statistics of calibration set "a"', current_revision(:m)),
  'statistics of another revision are not used');
SELECT is((SELECT count(*) FROM svd_plan(:m, rank => 3, calibration_set => 'a', calibration_revision => :imported)
            WHERE reason = 'factored already'), 3::bigint, '... unless they are asked for');
SELECT backup_model(:m, 'copy') AS copy \gset
SELECT is((SELECT count(*) FROM svd_compressed_layers WHERE revision_id = :copy AND output_error > 0), 3::bigint,
  'a copy keeps the errors');
CALL quantize_model(:m, 'Q8_0', pure => true, layer_pattern => '%attn_q%');
SELECT is((SELECT count(*) FROM svd_compressed_layers f WHERE f.revision_id = live_base(:m) AND output_error IS NULL),
  1::bigint, 'an error of factors that were converted is not known');
SELECT rollback_model(:m, :imported) \g /dev/null

-- ---- rank by energy, number of threads, residual ----
CALL svd_compress_model(:m, energy => 0.9, calibration_set => 'a', layer_pattern => '%attn_k%');
SELECT ok(f.explained_variance >= 0.9 AND f.output_error < sqrt(0.1) AND f.rank < 16, 'energy is that of the outputs')
  FROM svd_compressed_layers f WHERE f.revision_id = live_base(:m);
SELECT rollback_model(:m) \g /dev/null
SET LOCAL hartonomous.threads = 1;
SELECT factors_by(format('CALL svd_compress_model(%s, rank => 4, calibration_set => ''a'')', :m)) AS one \gset
SET LOCAL hartonomous.threads = 4;
SELECT is(md5(factors_by(format('CALL svd_compress_model(%s, rank => 4, calibration_set => ''a'')', :m))), md5(:'one'),
  'the same bytes for any number of threads');
RESET hartonomous.threads;
CALL svd_compress_model(:m, rank => 4, calibration_set => 'a', layer_pattern => '%attn_k%', residual => true,
                        residual_ratio => 0.2);
SELECT ok(lost(:m, 'blk.0.attn_k.weight') < f.output_error, 'residual atoms make the outputs better, too')
  FROM svd_compressed_layers f WHERE f.revision_id = live_base(:m);
SELECT rollback_model(:m) \g /dev/null

-- ---- plans written by hand ----
SELECT throws_ok(format('SELECT check_operation(''factor'', %L)', arguments), '22023', message, test) FROM (VALUES
  ('{"rank": 3, "format": "F16", "calibration_set": "a"}',
   'operation "factor" needs "calibration_set" and "calibration_revision", or none of them',
   'a set without a revision'),
  ('{"rank": 3, "format": "F16", "calibration_revision": 1}',
   'operation "factor" needs "calibration_set" and "calibration_revision", or none of them', 'a revision without a set')
)
  v (arguments, message, test);
SELECT throws_ok(
  format('CALL run_plan(%s, ''mine'', ARRAY[ROW(NULL, ''output.weight'', ''factor'', '
         '''{"rank": 3, "format": "F16", "calibration_set": "a", "calibration_revision": %s}'', NULL, NULL, '
         'NULL, NULL, '
         'NULL, NULL)::tensor_plan])', :m, :imported),
  '22023', format('there are no Gram matrices of calibration set "a" for revision %s', :imported),
  'a plan cannot whiten a tensor that has no Gram matrix');

-- ---- damaged and degenerate values ----
SAVEPOINT intact;
UPDATE calibration_grams SET gram = overlay(gram PLACING '\x0000c07f' FROM 5)
 WHERE layer_id = (SELECT layer_id FROM model_layers WHERE layer_name = 'blk.0.ffn_down.weight');
SELECT throws_ok(format('CALL svd_compress_model(%s, rank => 4, calibration_set => ''a'')', :m), '55000',
  'the calibration statistics of tensor "blk.0.ffn_down.weight" are damaged', 'NaN in a Gram matrix');
ROLLBACK TO intact;
DELETE FROM calibration_grams;
SELECT throws_ok(format('CALL svd_compress_model(%s, rank => 4, calibration_set => ''a'')', :m), '55000',
  'the calibration statistics of tensor "blk.0.attn_q.weight" are damaged', 'a Gram matrix that is not there');
ROLLBACK TO intact;
-- One token: the matrix has rank 1.
UPDATE calibration_grams SET gram = (
  SELECT string_agg(reversed(float4send((1 + i) * (1 + j))), '' ORDER BY i, j)
    FROM generate_series(0, 23) i, generate_series(0, 23) j WHERE j >= i)
 WHERE layer_id = (SELECT layer_id FROM model_layers WHERE layer_name = 'blk.0.ffn_down.weight');
CALL svd_compress_model(:m, rank => 2, calibration_set => 'a', layer_pattern => '%down%');
SELECT ok(f.output_error < 0.01, 'a Gram matrix of one token needs little more than one direction')
  FROM svd_compressed_layers f WHERE f.revision_id = live_base(:m);
ROLLBACK TO intact;
UPDATE calibration_grams SET gram = decode(repeat('00000000', 300), 'hex')
 WHERE layer_id = (SELECT layer_id FROM model_layers WHERE layer_name = 'blk.0.ffn_down.weight');
CALL svd_compress_model(:m, rank => 4, calibration_set => 'a', layer_pattern => '%down%');
SELECT ok(abs(f.relative_error - p.relative_error) < 1e-4, 'without any active input it is plain truncation')
  FROM svd_compressed_layers f JOIN plain p USING (layer_name) WHERE f.revision_id = live_base(:m);
ROLLBACK TO intact;
UPDATE tensor_atoms SET atom_data = '{NaN}'::real[] || (dequantize(atom_data))[2:] WHERE model_id = :m
  AND tensor_name = 'blk.0.ffn_down.weight' AND atom_sequence = 3;
CALL svd_compress_model(:m, rank => 4, calibration_set => 'a');
SELECT is(outcome, 'left alone: matrix has NaN or infinity', 'a matrix with NaN stays as it is')
  FROM svd_outcomes((SELECT max(run_id) FROM compression_runs)) WHERE layer_name = 'blk.0.ffn_down.weight';
ROLLBACK TO intact;
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT lives_ok(format('CALL svd_compress_model(%s, rank => 4, calibration_set => ''a'')', :m), 'within little memory');

SELECT * FROM finish();
ROLLBACK;
