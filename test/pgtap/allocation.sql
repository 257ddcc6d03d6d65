-- Allocation of bits: the plan, carrying it out, and budgets that cannot be met.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/wide_model.sql
SELECT plan(43);
SELECT create_store() \g /dev/null
CREATE FUNCTION lib.near(found double precision, expected double precision, what text) RETURNS text LANGUAGE sql AS
$$ SELECT ok(abs(found - expected) <= 1e-9 * abs(expected), what || format(': %s, expected %s', found, expected)) $$;

-- The knapsack
SELECT results_eq(
  'SELECT * FROM hartonomous_internal.allocate_bits(''{1,1,2,2}'', ''{0,6,0,10}'', ''{10,3,10,0}'', 10)',
  'VALUES (''{1,4}''::integer[], 10::bigint, 10::float8, 10::float8)',
  'the option that saves most per byte is not part of the best choice');
SELECT results_eq(
  'SELECT * FROM hartonomous_internal.allocate_bits(''{1,1,2,2}'', ''{0,6,0,10}'', ''{10,3,10,0}'', 16)',
  'VALUES (''{2,4}''::integer[], 16::bigint, 3::float8, 3::float8)', 'with more bytes both fit');
SELECT results_eq('SELECT chosen, cost FROM hartonomous_internal.allocate_bits(''{}'', ''{}'', ''{}'', 0)',
  'VALUES (''{}''::integer[], 0::float8)', 'nothing to choose');
SELECT throws_ok('SELECT hartonomous_internal.allocate_bits(''{1}'', ''{5}'', ''{0}'', 4)', '22023',
  'no formats are small enough for 4 bytes', 'a budget below the smallest options');
SELECT throws_ok('SELECT hartonomous_internal.allocate_bits(''{1}'', ''{5}'', ''{0}'', -1)', '22023', NULL,
  'a budget below zero');
SELECT throws_ok('SELECT hartonomous_internal.allocate_bits(''{1}'', ''{-5}'', ''{0}'', 4)', '22023',
  'a number of bytes is negative', 'a negative number of bytes');
SELECT throws_ok(format('SELECT hartonomous_internal.allocate_bits(''{1}'', ''{5}'', %L, 9)', c), '22023', NULL,
  'a cost of ' || c) FROM unnest(ARRAY['{NaN}', '{Infinity}']) c;
SELECT throws_ok('SELECT hartonomous_internal.allocate_bits(''{1,2}'', ''{5}'', ''{0}'', 9)', '2202E', NULL,
  'arrays of different lengths');
SELECT throws_ok('SELECT hartonomous_internal.allocate_bits(''{NULL}'', ''{5}'', ''{0}'', 9)', '22004', NULL,
  'NULL among the tensors');
SELECT is(hartonomous_internal.file_bytes('Q4_0', 32, 259), 4672::bigint, 'bytes in a file are multiples of 32');
SELECT is(hartonomous_internal.file_bytes('none', 32, 259), NULL, 'of no format there are none');

-- Bad input
SELECT import_gguf(wide_gguf(), 'wide') AS m \gset
SELECT present(:m) AS r \gset
CREATE FUNCTION lib.allocate(target text, more text DEFAULT '') RETURNS text LANGUAGE sql
RETURN format('SELECT * FROM bit_allocation(''wide'', %s, ''cats''%s)', target, more);
SELECT throws_ok(allocate('20000'), '42704', NULL, 'there must be a calibration set');
SELECT add_calibration_set('cats', story()) \g /dev/null
SELECT throws_ok(allocate('20000'), '55000', NULL, 'the model must have been calibrated');
CALL collect_calibration('wide', 'cats');
SELECT throws_ok(allocate('20000'), '55000', 'the sensitivity of tensor "token_embd.weight" has not been measured',
  'sensitivity must have been measured');
CALL measure_sensitivity('wide', 'cats', formats => '{Q8_0,Q4_0,Q5_0}', probe_tokens => 100);
SELECT throws_ok(allocate('20000'), '55000', NULL, 'in all formats that are asked for');
CREATE FUNCTION lib.allocation(target bigint) RETURNS SETOF hartonomous.tensor_plan LANGUAGE sql
  AS $$ SELECT * FROM hartonomous.bit_allocation('wide', target, 'cats', formats => '{Q8_0,Q4_0,Q5_0}') $$;
CREATE FUNCTION lib.file_bytes_of(format text) RETURNS bigint LANGUAGE sql AS $$
  SELECT sum(hartonomous_internal.file_bytes(CASE WHEN cardinality(tensor_shape) > 1 THEN format ELSE 'F32' END,
    row_length, parameter_count / row_length))::bigint FROM hartonomous.model_layers $$;
SELECT file_bytes_of('Q4_0') AS least, file_bytes_of('F32') AS most, file_bytes_of('Q5_0') AS medium \gset
SELECT throws_ok(allocate((:least - 1)::text, ', formats => ''{Q4_0}'''), '22023',
  format('the tensors cannot be as small as %s bytes', :least - 1), 'less than the smallest formats take');
SELECT throws_ok(allocate(:most::text, ', formats => ''{Q4_0}'''), '22023',
  format('target_bytes is %s, but the tensors take no more than %s bytes now', :most, :most),
  'as many bytes as there are');
SELECT throws_ok(allocate('NULL'), '22004', NULL, 'NULL for a target');
SELECT throws_ok(allocate('20000', ', method => ''magic'''), '22023', NULL, 'there must be such a method');
SELECT throws_ok(allocate('20000', ', formats => ''{Q9}'''), '22023', NULL, 'there must be such a format');
SELECT throws_ok('SELECT * FROM bit_allocation(''none'', 20000, ''cats'')', '42704', NULL,
  'there must be such a model');

-- Plans
SELECT results_eq(
  format('SELECT DISTINCT operation, arguments ->> ''format'' FROM allocation(%s) WHERE operation > ''''', :least),
  $$VALUES ('quantize', 'Q4_0')$$, 'with the least bytes all matrices get the smallest format');
SELECT results_eq(format('SELECT layer_name, reason FROM allocation(%s) WHERE operation IS NULL ORDER BY 1', :least),
  $$VALUES ('blk.0.attn_norm.weight', 'vector'), ('blk.0.ffn_norm.weight', 'vector'),
    ('output_norm.weight', 'vector')$$,
  'vectors stay as they are');
CREATE TABLE lib.plan AS SELECT * FROM allocation(:medium);
SELECT ok(sum(bytes_after) <= :medium AND sum(bytes_after) > 0.97 * :medium, 'the bytes of a target are used')
  FROM lib.plan;
SELECT near(sum((p.details ->> 'predicted_kl_divergence')::float8), sum(s.predicted_kl_divergence),
  'details have what sensitivity() predicts')
  FROM lib.plan p JOIN sensitivity('wide', 'cats') s ON s.layer_name = p.layer_name
  AND s.format = arguments ->> 'format';
-- All combinations of three formats or none for eight matrices.
CREATE FUNCTION lib.least_divergence(target bigint) RETURNS double precision LANGUAGE sql AS $$
  WITH RECURSIVE tensors AS (
    SELECT layer_name, dense_rank() OVER (ORDER BY layer_name) AS n, bytes, predicted_kl_divergence AS cost
      FROM hartonomous.sensitivity('wide', 'cats')),
  chosen AS (
    SELECT 0::bigint AS n, lib.file_bytes_of('F32')
           - (SELECT sum(parameter_count * 4) FROM hartonomous.model_layers
             WHERE cardinality(tensor_shape) > 1) AS bytes,
           0::float8 AS cost
    UNION ALL
    SELECT c.n + 1, c.bytes + t.bytes, c.cost + t.cost FROM chosen c JOIN tensors t ON t.n = c.n + 1)
  SELECT min(cost) FROM chosen WHERE n = 8 AND bytes <= target $$;
SELECT near(sum((details ->> 'predicted_kl_divergence')::float8), least_divergence(:medium),
  'no combination of formats has a smaller divergence') FROM lib.plan;
SELECT results_eq($$SELECT DISTINCT arguments - 'format' FROM lib.plan WHERE operation = 'quantize'$$,
  format($$VALUES ('{"method": "hessian", "calibration_set": "cats", "calibration_revision": %s}'::jsonb)$$, :r),
  'by default the plan quantizes against the Gram matrices of the set');
CALL measure_sensitivity('wide', 'cats', 'plain', '{Q4_0}', probe_tokens => 100);
SELECT ok(bool_and(NOT arguments ? 'calibration_set'), 'unless the method is plain')
  FROM bit_allocation('wide', :medium, 'cats', 'plain', '{Q4_0}') WHERE operation = 'quantize';
SELECT ok(bool_and(NOT arguments ? 'calibration_set'), 'or the plan shall quantize plainly')
  FROM bit_allocation('wide', :medium, 'cats', formats => '{Q8_0,Q4_0,Q5_0}', quantize_method => 'plain')
  WHERE operation = 'quantize';
SELECT throws_ok(allocate(:medium::text, ', formats => ''{Q8_0,Q4_0,Q5_0}'', quantize_method => ''magic'''), '22023',
  NULL, 'there must be such a method of quantizing');

-- Carrying it out
SELECT throws_ok(
  format(
    $$CALL quantize_model('wide', ARRAY[ROW(NULL, 'blk.0.attn_q.weight', 'prune', '{"minimum_importance": 0}', NULL,
      NULL, NULL, NULL, NULL, NULL)::tensor_plan])$$), '22023', 'the plan has operation "prune"',
  'only plans that quantize');
SELECT throws_ok('CALL quantize_model(''wide'', NULL::tensor_plan[])', '22004', NULL, 'NULL is no plan');
CALL quantize_model('wide', 'Q5_0', pure => true);
SELECT length(export_gguf('wide')) AS pure \gset
SELECT rollback_model(:m, :r) \g /dev/null
CALL quantize_model('wide', plan_from('lib.plan'));
SELECT set_eq('SELECT layer_name, storage_format FROM export_plan(''wide'')',
  'SELECT layer_name, coalesce(arguments ->> ''format'', ''F32'') FROM lib.plan', 'each tensor has its format');
SELECT ok(length(export_gguf('wide')) <= :pure + 256,
  'its file is not larger than one of that many bytes in one format, but for the name of the calibration set');
SELECT results_eq('SELECT k ->> ''key'', k ->> ''value'' FROM jsonb_array_elements(importance_keys(' || :m || ')) k',
  $$VALUES ('quantize.imatrix.dataset', 'cats'), ('quantize.imatrix.entries_count', '8'),
    ('quantize.imatrix.chunks_count', (SELECT max(tokens / n_ctx)::text FROM calibration_stats))$$,
  'which it has');
SELECT is(plan_parameters('quantize', ARRAY(SELECT ROW(p.layer_id, p.layer_name, p.operation, p.arguments || CASE
    WHEN p.layer_name LIKE '%attn_q%' THEN '{"calibration_set": "dogs"}'::jsonb ELSE '{}' END, p.atoms_before,
    p.atoms_after, p.bytes_before, p.bytes_after, p.reason, p.details)::tensor_plan
    FROM lib.plan p WHERE p.operation = 'quantize'))
    -> 'calibration_set', NULL, 'a plan by two sets names neither');
SELECT near((r.metrics ->> 'predicted_kl_divergence')::float8, sum((p.details ->> 'predicted_kl_divergence')::float8),
  'the prediction is stored with the revision') FROM model_revisions r, lib.plan p
  WHERE r.revision_id = present(:m) GROUP BY r.metrics;
SELECT is(stage, 'quantize', 'the revision is one of quantizing') FROM model_revisions WHERE revision_id = present(:m);
SELECT throws_ok(allocate('20000'), '55000', NULL, 'what is quantized has not been calibrated');
CALL collect_calibration('wide', 'cats');
SELECT throws_ok(allocate('20000'), '55000', 'model "wide" has no matrix whose format could be chosen',
  'nor does it get other formats');
SELECT rollback_model(:m, :r) \g /dev/null
SELECT lives_ok(allocate(:medium::text, ', formats => ''{Q8_0,Q4_0,Q5_0}'''),
  'what was measured of a revision is kept while another one is live');

SELECT is_empty($$SELECT without_comment('bit_allocation', 'allocate_bits', 'allocation_options', 'check_allocation',
  'allocation_plan', 'predicted_divergence', 'require_operation', 'quantize_model')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
