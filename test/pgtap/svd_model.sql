-- Tensors of a model as factors: what is taken and what is left, what every other function makes of it, and back.
BEGIN;
\ir lib/model_files.sql
SELECT plan(104);
-- Two matrices of little more than rank 6, one of a row that no block divides, one of full rank, one that is no matrix.
CREATE FUNCTION lib.low_rank(rows integer, cols integer, seed double precision) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT lib.f32(VARIADIC array_agg((sum_of + 0.01 * sin(r * 37.3 + c * 11.7 + r * c))::real ORDER BY r, c))
            FROM (SELECT r, c, sum(sin(r * k * 0.11 + seed + k) * cos(c * k * 0.07 + k * k)) AS sum_of
                    FROM generate_series(1, rows) r, generate_series(1, cols) c, generate_series(1, 6) k GROUP BY r,
                    c) q);
SELECT gguf(ARRAY[
  ROW('token_embd.weight', '{96,40}', 0, waves(40, 96, 1))::tensor,
  ROW('blk.0.attn_norm.weight', '{96}', 0, waves(1, 96, 2))::tensor,
  ROW('blk.0.attn_q.weight', '{64,128}', 0, low_rank(128, 64, 3))::tensor,
  ROW('blk.0.ffn_up.weight', '{50,90}', 1, (SELECT string_agg(quantize(x, 'F16')::bytea, '')
      FROM (SELECT dequantize(weights('F32', 4500, low_rank(90, 50, 4))) AS x) q))::tensor,
  ROW('blk.0.ffn_down.weight', '{64,64}', 0, low_rank(64, 64, 5))::tensor,
  ROW('blk.0.odd_norm.weight', '{64,64}', 0, low_rank(64, 64, 6))::tensor],
  ARRAY[kv_text('general.architecture', 'llama'), kv_u32('general.file_type', 0)]) AS file \gset
SELECT import_gguf(:'file'::bytea, 'm') AS model \gset
SELECT holds(:model) AS before \gset
CREATE FUNCTION lib.q(query text) RETURNS text
  LANGUAGE plpgsql AS 'DECLARE r text; BEGIN EXECUTE query INTO r; RETURN r; END';

-- ---- the plan ----
SELECT results_eq(
  format(
    'SELECT layer_name, operation, bytes_before, (arguments ->> ''rank'')::int, (arguments ->> ''most_rank'')::int, '
    'bytes_after, reason FROM svd_plan(%s, rank => 8)', :model),
  $$VALUES ('token_embd.weight', 'factor', 15360::bigint, 8, 40, 2208::bigint, NULL),
           ('blk.0.attn_norm.weight', NULL, 384, NULL, NULL, 384, 'no matrix'),
           ('blk.0.attn_q.weight', 'factor', 32768, 8, 64, 3104, NULL),
           ('blk.0.ffn_up.weight', 'factor', 9000, 8, 31, 2272, NULL),
           ('blk.0.ffn_down.weight', 'factor', 16384, 8, 63, 2080, NULL),
           ('blk.0.odd_norm.weight', NULL, 16384, NULL, NULL, 16384, 'kept by name')$$, 'svd_plan() by rank');
SELECT results_eq(
  format(
    'SELECT layer_name, (arguments ->> ''rank'')::int, reason '
    'FROM svd_plan(%s, rank => 40, layer_pattern => ''%%ffn%%'')', :model),
  $$VALUES ('blk.0.ffn_up.weight', NULL::int, 'factors of rank 40 would take 11.1 KiB, not less than 9000 B'),
           ('blk.0.ffn_down.weight', 40, NULL)$$, 'no rank that saves nothing; only what is like the pattern');
SELECT results_eq(
  format(
    'SELECT layer_name, (arguments ->> ''rank'')::int, bytes_after <= 0.25 * bytes_before '
    'FROM svd_plan(%s, target_ratio => 0.25) WHERE reason IS NULL', :model),
  $$VALUES ('token_embd.weight', 13, true), ('blk.0.attn_q.weight', 21, true), ('blk.0.ffn_up.weight', 7, true),
           ('blk.0.ffn_down.weight', 15, true)$$, 'by target_ratio');
SELECT results_eq(
  format(
    'SELECT bytes_after, (arguments ->> ''most_rank'')::int, reason '
    'FROM svd_plan(%s, energy => 0.9, layer_pattern => ''%%attn_q%%'', min_gain => 0.5)', :model),
  $$VALUES (NULL::bigint, 42, NULL::text)$$, 'by energy the rank is not known yet; min_gain bounds it');
SELECT is(
  (SELECT (arguments ->> 'rank')::int
    FROM svd_plan(:model, rank => 99, layer_pattern => '%ffn_down%', factor_format => 'Q4_0')), 64,
  'no more than the matrix has');
SELECT throws_ok(format('SELECT * FROM svd_plan(%s%s)', :model, a), state, NULL, 'svd_plan' || a) FROM (VALUES
  ('', '22023'), (', rank => 3, energy => 0.5', '22023'), (', rank => 0', '22023'), (', rank => -1', '22023'),
  (', energy => 0', '22023'), (', energy => 1.5', '22023'), (', energy => ''NaN''', '22023'),
  (', target_ratio => 1', '22023'),
  (', target_ratio => 0', '22023'), (', rank => 3, min_gain => 1', '22023'), (', rank => 3, min_gain => NULL', '22023'),
  (', rank => 3, residual_ratio => -0.1', '22023'), (', rank => 3, layer_pattern => NULL', '22004'),
  (', rank => 3, factor_format => ''X''', '22023'), (', rank => 3, factor_format => ''Q8_1''', '0A000'),
  (', rank => 3, factor_format => NULL', '22004')) v (a, state);
-- What pg_dump could not write is not made. The limit is lowered here: half a gigabyte would be a slow test.
SELECT ok(2 * most_factor_bytes() + 65536 < 1073741824,
  'two characters a byte, and a line of COPY is shorter than 1 GB');
SAVEPOINT limits;
CREATE OR REPLACE FUNCTION hartonomous_internal.most_factor_bytes() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN 2000;
SELECT results_eq(
  format('SELECT (arguments ->> ''rank'')::int, reason FROM svd_plan(%s, rank => 8, layer_pattern => ''%%attn_q%%'')',
    :model),
  format('VALUES (NULL::int, %L)', 'factors of rank 8 would take '
    || human_bytes(factor_bytes('F16', 128, 64, 8)) || ', more than the ' || human_bytes(2000)
    || ' that one row holds'),
  'a rank whose factors are too large for a row: the plan says so');
SELECT is((SELECT (arguments ->> 'most_rank')::int FROM svd_plan(:model, energy => 0.9, layer_pattern => '%attn_q%')),
  5, 'energy is sought below that');
SELECT is((SELECT (arguments ->> 'rank')::int FROM svd_plan(:model, target_ratio => 0.9, layer_pattern => '%attn_q%')),
  5, '... and a share');
CALL svd_compress_model(:model, rank => 4, layer_pattern => '%attn_q%');
SELECT is((SELECT reason FROM quantize_plan(:model, 'F32') WHERE layer_name = 'blk.0.attn_q.weight'),
  'factors larger than one row holds',
  'nor are factors brought into a larger format');
SELECT is((SELECT arguments ->> 'format' FROM quantize_plan(:model, 'Q8_0') WHERE layer_name = 'blk.0.attn_q.weight'),
  'Q8_0', '... into a smaller they are');
SELECT throws_ok(
  'UPDATE svd_compressed_layers SET u_matrix = quantize(u_matrix, ''F32''), vt_matrix = quantize(vt_matrix, ''F32'')',
  '23514', NULL,
  'nor does the table take them from anybody');
ROLLBACK TO limits;
SELECT throws_ok('SELECT * FROM svd_plan(-1, rank => 3)', '42704', NULL, 'no such model');

-- ---- factoring ----
SELECT lives_ok(format('CALL svd_compress_model(%s, rank => 8, layer_pattern => ''blk.%%'')', :model),
  'svd_compress_model()');
SELECT results_eq(
  'SELECT layer_name, rank, weights_format(u_matrix), weights_count(u_matrix), weights_format(s_vector), '
  'original_rows, original_cols, original_bytes, dense_format, relative_error < 0.05, explained_variance > 0.99, '
  'abs(compression_ratio - original_bytes::float8 / factor_bytes(''F16'', original_rows, original_cols, rank)) < 1e-9 '
  'FROM svd_compressed_layers ORDER BY layer_id',
  $$VALUES ('blk.0.attn_q.weight', 8, 'F16', 1024::bigint, 'F32', 128, 64, 32768::bigint, 'F32', true, true, true),
           ('blk.0.ffn_up.weight', 8, 'F16', 720, 'F32', 90, 50, 9000, 'F16', true, true, true),
           ('blk.0.ffn_down.weight', 8, 'F16', 512, 'F32', 64, 64, 16384, 'F32', true, true, true)$$, 'the factors');
SELECT results_eq(
  format('SELECT tensor_name, count(*) FROM tensor_atoms WHERE model_id = %s GROUP BY 1 ORDER BY 1', :model),
  $$VALUES ('blk.0.attn_norm.weight', 1::bigint), ('blk.0.odd_norm.weight', 64), ('token_embd.weight', 40)$$,
  'their atoms are gone, the others stay');
SELECT results_eq(
  format(
    'SELECT layer_name, bytes_after, regexp_replace(outcome, ''[0-9.]+ %% explained.*'', ''...'') '
    'FROM svd_outcomes((SELECT max(run_id) FROM compression_runs WHERE model_id = %s))', :model),
  $$VALUES ('blk.0.attn_norm.weight', 384::bigint, 'left alone: no matrix'),
    ('blk.0.attn_q.weight', 3104, 'rank 8, ...'),
           ('blk.0.ffn_up.weight', 2272, 'rank 8, ...'), ('blk.0.ffn_down.weight', 2080, 'rank 8, ...'),
           ('blk.0.odd_norm.weight', 16384, 'left alone: kept by name')$$, 'svd_outcomes()');
SELECT is((SELECT logical_bytes FROM model_revisions WHERE revision_id = current_revision(:model)),
  (15360 + 384 + 3104 + 2272 + 2080 + 16384)::bigint, 'bytes of the revision: atoms and factors');
SELECT results_eq(
  format('SELECT logical_bytes, factor_bytes BETWEEN 7456 AND 7800 FROM storage_report(%s) WHERE state = ''live''',
    :model),
  $$VALUES ((15360 + 384 + 3104 + 2272 + 2080 + 16384)::bigint, true)$$, 'storage_report() counts them');
SELECT throws_ok(format('CALL svd_compress_model(%s)', :model), '22023', NULL, 'without rank, energy or ratio');
SELECT throws_ok(format('CALL svd_compress_model(%s, rank => 3, residual => NULL)', :model), '22004', NULL,
  'residual NULL');
SELECT throws_ok('CALL svd_compress_model(''none'', rank => 3)', '42704', NULL, 'no such model');

-- ---- what it acts like ----
SELECT is(weights_count(tensor_weights(:model, 'blk.0.attn_q.weight')), 8192::bigint, 'tensor_weights() of factors');
SELECT ok(
  abs(relative_error(tensor_weights(:model, f.layer_name, 1), tensor_weights(:model, f.layer_name)) - f.relative_error)
  < 1e-6,
  f.layer_name || ' is as far from what it was as the table says') FROM svd_compressed_layers f;
SELECT is(tensor_weights('m', 'token_embd.weight'), tensor_weights(:model, 'token_embd.weight', 1), 'of atoms');
SELECT throws_ok(format('SELECT tensor_weights(%s, ''none'')', :model), '42704', NULL, 'no such tensor');
SELECT throws_ok(format('SELECT tensor_weights(%s, ''token_embd.weight'', 99)', :model), '22023', NULL,
  'no such revision');
SELECT throws_ok(format('SELECT tensor_weights(%s, NULL)', :model), '22004', NULL, 'tensor NULL');
SELECT throws_ok('SELECT tensor_weights(NULL::int, ''x'')', '42704', NULL, 'model NULL');
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT is(weights_count(tensor_weights(:model, 'blk.0.attn_q.weight')), 8192::bigint, 'within little memory');
RESET hartonomous.max_work_memory;

-- ---- verify_svd() ----
SELECT results_eq(
  format(
    'SELECT layer_name, rows, cols, rank, factor_format, abs(stored_error - measured_error) < 1e-6, smallest_ratio > '
    '1e-4, orthonormality < 2e-3, problem FROM verify_svd(%s)', :model),
  $$VALUES ('blk.0.attn_q.weight', 128, 64, 8, 'F16', true, true, true, NULL::text),
           ('blk.0.ffn_up.weight', 90, 50, 8, 'F16', true, true, true, NULL),
           ('blk.0.ffn_down.weight', 64, 64, 8, 'F16', true, true, true, NULL)$$, 'verify_svd() of sound factors');
SELECT import_gguf(little_gguf(), 'plain') AS plain \gset
SELECT is_empty(format('SELECT * FROM verify_svd(%s)', :plain), '... of a model without any');
SELECT throws_ok('SELECT * FROM verify_svd(-1)', '42704', NULL, '... of no model');
CREATE FUNCTION lib.finds(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  said text;
BEGIN
  EXECUTE 'UPDATE svd_compressed_layers SET ' || change || ' WHERE layer_name = ''blk.0.ffn_down.weight''';
  SELECT string_agg(v.layer_name || ': ' || v.problem, '; ') INTO said FROM verify_svd('m') v
    WHERE v.problem IS NOT NULL;
  RAISE EXCEPTION USING ERRCODE = 'ZZ999', MESSAGE = said;
EXCEPTION WHEN SQLSTATE 'ZZ999' THEN
  RETURN SQLERRM;
END
$$;
SELECT is(lib.finds(change), 'blk.0.ffn_down.weight: ' || problem, problem) FROM (VALUES
  ('original_rows = 63', '63 x 64, but the tensor is 64 x 64'),
  ('u_matrix = weights_slice(u_matrix, 0, 500)', 'the factors do not fit each other'),
  ('rank = 7', 'the factors do not fit each other'),
  ('s_vector = quantize(''{1,2,3,4,5,6,7,8}''::real[], ''F32'')', 'singular values not in order'),
  ('s_vector = quantize(''{8,7,6,5,4,3,2,0}''::real[], ''F32'')',
    'singular values near zero: a smaller rank loses nothing'),
  ('vt_matrix = quantize((SELECT array_agg(2 * x ORDER BY i)::real[] '
    'FROM unnest(dequantize(vt_matrix)) WITH ORDINALITY u (x, i)), ''F32'')', 'vectors not orthonormal'),
  ('u_matrix = quantize((SELECT array_agg(CASE WHEN i = 9 THEN ''NaN'' ELSE x END ORDER BY i)::real[] '
    'FROM unnest(dequantize(u_matrix)) WITH ORDINALITY u (x, i)), ''F32'')', 'NaN or infinity in the factors'),
  ('s_vector = quantize((SELECT array_agg(0.9 * x ORDER BY i)::real[] '
    'FROM unnest(dequantize(s_vector)) WITH ORDINALITY u (x, i)), ''F32'')',
   'the error is not what was measured when the tensor was factored')) v (change, problem);

-- ---- what other functions make of it ----
SELECT results_eq(
  format('SELECT layer_name, atoms_present, state FROM layer_completeness(%s) WHERE state <> ''complete''', :model),
  $$VALUES ('blk.0.attn_q.weight', 0::bigint, 'factored'), ('blk.0.ffn_up.weight', 0, 'factored'),
    ('blk.0.ffn_down.weight', 0, 'factored')$$,
  'layer_completeness() calls it factored');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :model), 'check_model() finds nothing wrong');
SELECT results_eq(
  format('SELECT layer_name, removed, bytes_a, bytes_b FROM diff_revisions(1, %s) WHERE removed > 0',
    current_revision(:model)),
  $$VALUES ('blk.0.attn_q.weight', 128::bigint, 32768::bigint, 3104::bigint), ('blk.0.ffn_up.weight', 90, 9000, 2272),
           ('blk.0.ffn_down.weight', 64, 16384, 2080)$$, 'diff_revisions() counts the bytes of factors');
SELECT extract_by_importance(:model, 0.9, 'kid') AS kid \gset
SELECT is(tensor_weights(:kid, 'blk.0.attn_q.weight'), tensor_weights(:model, 'blk.0.attn_q.weight'),
  'a student has the factors');
SELECT is((SELECT count(*) FROM verify_svd(:kid) WHERE problem IS NULL), 3::bigint, '... sound ones');

-- ---- export ----
SELECT results_eq(format('SELECT layer_name, present_format, export_dtype FROM export_plan(%s)', :model),
  $$VALUES ('token_embd.weight', 'F32', 'F32'), ('blk.0.attn_norm.weight', 'F32', 'F32'),
    ('blk.0.attn_q.weight', NULL, 'F32'),
           ('blk.0.ffn_up.weight', NULL, 'F16'), ('blk.0.ffn_down.weight', NULL, 'F32'),
           ('blk.0.odd_norm.weight', 'F32', 'F32')$$,
  'factored tensors go out in the format they had');
SELECT import_gguf(export_gguf(:model), 'again') AS again \gset
SELECT ok(relative_error(tensor_weights(:model, l.layer_name), tensor_weights(:again, l.layer_name)) < 3e-4,
  l.layer_name || ' is exported as it acts') FROM model_layers l WHERE l.model_id = :model;
SELECT import_safetensors(export_safetensors(:model), 'safe') AS safe \gset
SELECT ok(relative_error(tensor_weights(:model, 'blk.0.ffn_up.weight'), tensor_weights(:safe, 'blk.0.ffn_up.weight'))
  < 3e-4,
  '... as safetensors, too');

-- ---- other stages carry them along ----
SELECT tensor_weights(:model, 'blk.0.attn_q.weight') AS acts \gset
SELECT lives_ok(
  format('CALL prune_by_importance(%s, keep_ratio => 0.5, layer_pattern => ''token%%'', include_embeddings => true)',
    :model), 'pruning another tensor');
SELECT is(tensor_weights(:model, 'blk.0.attn_q.weight')::text, :'acts', '... leaves them');
SELECT current_revision(:model) AS pruned \gset
SELECT backup_model(:model, 'copy') AS copy \gset
SELECT is(tensor_weights(:model, 'blk.0.attn_q.weight', :copy)::text, :'acts', 'a backup has them');
DELETE FROM svd_compressed_layers f WHERE f.model_id = :model AND f.revision_id = live_base(:model)
  AND f.layer_name = 'blk.0.attn_q.weight';
SELECT is(weights_rms(tensor_weights(:model, 'blk.0.attn_q.weight')), 0::float8,
  'without factors and atoms a tensor is zeros');
SELECT is(rollback_model(:model), :copy, 'the backup brings them back');
SELECT is(tensor_weights(:model, 'blk.0.attn_q.weight')::text, :'acts', '... as they were');
SELECT lives_ok(format('CALL quantize_model(%s, ''Q8_0'', layer_pattern => ''blk.%%'')', :model),
  'quantizing a factored model');
SELECT results_eq(
  format(
    'SELECT layer_name, weights_format(u_matrix), weights_format(s_vector), weights_format(vt_matrix), dense_format, '
    'relative_error IS NULL FROM svd_compressed_layers WHERE model_id = %1$s AND revision_id = live_base(%1$s) '
    'ORDER BY layer_id', :model),
  $$VALUES ('blk.0.attn_q.weight', 'Q8_0', 'F32', 'Q8_0', 'Q8_0', true),
    ('blk.0.ffn_up.weight', 'F16', 'F32', 'F16', 'F16', false),
           ('blk.0.ffn_down.weight', 'Q8_0', 'F32', 'Q8_0', 'Q8_0', true)$$,
  '... quantizes the factors, where rows fit');
SELECT ok(relative_error(:'acts', tensor_weights(:model, 'blk.0.attn_q.weight')) BETWEEN 1e-4 AND 0.02,
  '... which costs a little');
SELECT results_eq(format('SELECT layer_name, measured_error IS NOT NULL, problem FROM verify_svd(%s)', :model),
  $$VALUES ('blk.0.attn_q.weight', true, NULL::text), ('blk.0.ffn_up.weight', true, NULL),
    ('blk.0.ffn_down.weight', true, NULL)$$,
  'still measured against the state before');
SELECT rollback_model(:model, 1);
SELECT is(holds(:model), :'before', 'and back to the beginning: every atom as before');
SELECT is(tensor_weights(:model, 'blk.0.attn_q.weight'), tensor_weights(:model, 'blk.0.attn_q.weight', 1),
  '... every weight');
SELECT is((SELECT count(*) FROM verify_svd(:model)), 0::bigint, '... and no factors');
SELECT lives_ok(
  format(
    'SELECT drop_backup(revision_id) FROM model_revisions WHERE model_id = %s AND state = ''backup'' ORDER BY 1 DESC',
    :model),
  'dropping the backups');
SELECT is((SELECT count(*) FROM svd_compressed_layers WHERE model_id = :model), 0::bigint, '... drops their factors');

-- ---- energy, and tensors that are left alone ----
SELECT lives_ok(format('CALL svd_compress_model(%s, energy => 0.995)', :model), 'by energy');
SELECT results_eq(
  format(
    'SELECT layer_name, rank < 12, explained_variance >= 0.995 FROM svd_compressed_layers WHERE model_id = %s '
    'ORDER BY layer_id', :model),
  $$VALUES ('blk.0.attn_q.weight', true, true), ('blk.0.ffn_up.weight', true, true),
    ('blk.0.ffn_down.weight', true, true)$$
  , 'the least ranks that explain it')
  WHERE NOT EXISTS (SELECT FROM svd_compressed_layers WHERE layer_name = 'token_embd.weight');
SELECT rollback_model(:model);
UPDATE tensor_atoms SET atom_data = '{NaN}'::real[] || (dequantize(atom_data))[2:] WHERE model_id = :model
  AND tensor_name = 'blk.0.ffn_down.weight' AND atom_sequence = 3;
SELECT lives_ok(format('CALL svd_compress_model(%s, rank => 4, layer_pattern => ''%%ffn%%'')', :model),
  'a tensor with NaN');
SELECT results_eq(
  format(
    'SELECT layer_name, left(outcome, 40) FROM svd_outcomes((SELECT max(run_id) FROM compression_runs '
    'WHERE model_id = %s)) WHERE layer_name LIKE ''%%down%%''', :model),
  $$VALUES ('blk.0.ffn_down.weight', 'left alone: matrix has NaN or infinity')$$, 'is left alone');
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :model AND tensor_name = 'blk.0.ffn_down.weight'),
  64::bigint, '... with its atoms');
SELECT rollback_model(:model);
SELECT lives_ok(format('CALL svd_compress_model(%s, rank => 1, layer_pattern => ''%%norm%%'')', :model),
  'nothing to do');
SELECT is(current_revision(:model), 1, '... is nothing done');

-- ---- residual atoms ----
SELECT lives_ok(
  format(
    'CALL svd_compress_model(%s, rank => 3, layer_pattern => ''%%attn_q%%'', residual => true, residual_ratio => 0.25)',
    :model),
  'with residual atoms');
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :model AND tensor_name = 'blk.0.attn_q.weight'),
  32::bigint, 'a quarter of them');
SELECT is(
  (SELECT count(*)
    FROM (SELECT a.atom_sequence FROM tensor_atoms a WHERE a.model_id = :model AND a.tensor_name = 'blk.0.attn_q.weight'
    INTERSECT SELECT i FROM (SELECT i, weights_rms(weights_slice(r, i * 64, 64)) AS rms
                               FROM svd_residual(tensor_weights(:model, 'blk.0.attn_q.weight', 1),
                                 (SELECT ROW(u_matrix, dequantize(s_vector), vt_matrix, 128, 64, rank, 1)::svd_factors
                                      FROM svd_compressed_layers WHERE model_id = :model
                                      AND revision_id = live_base(:model))) r, generate_series(0, 127) i
                               ORDER BY rms DESC LIMIT 32) top) both_have),
  32::bigint, '... those with the most energy');
SELECT ok(
  (SELECT f.relative_error FROM svd_compressed_layers f WHERE f.model_id = :model AND f.revision_id = live_base(:model))
          > relative_error(tensor_weights(:model, 'blk.0.attn_q.weight', 1),
            tensor_weights(:model, 'blk.0.attn_q.weight')) * 1.05,
  'they make the tensor better than the factors alone');
SELECT is(
  (SELECT max(relative_error(weights_slice(tensor_weights(:model, 'blk.0.attn_q.weight', 1), a.atom_sequence * 64, 64),
                                     weights_slice(tensor_weights(:model, 'blk.0.attn_q.weight'), a.atom_sequence * 64,
                                       64))) < 1e-5
             FROM tensor_atoms a WHERE a.model_id = :model AND a.tensor_name = 'blk.0.attn_q.weight'), true,
  'rows with a residual are exact');
SELECT is(
  (SELECT a.x::text || a.y || a.importance_score FROM tensor_atoms a WHERE a.model_id = :model
    AND a.tensor_name = 'blk.0.attn_q.weight' ORDER BY atom_sequence LIMIT 1),
  (SELECT b.x::text || b.y || b.importance_score FROM tensor_atoms_backup b WHERE b.model_id = :model
    AND b.atom_sequence =
    (SELECT min(atom_sequence) FROM tensor_atoms a WHERE a.model_id = :model AND a.tensor_name = 'blk.0.attn_q.weight')
    AND b.tensor_name = 'blk.0.attn_q.weight' AND b.revision_id = 1),
  'their places stay');
SELECT lives_ok(format('CALL svd_compress_model(%s, rank => 3)', :model), 'again, for the rest');
SELECT is(
  (SELECT outcome FROM svd_outcomes((SELECT max(run_id) FROM compression_runs WHERE model_id = :model))
    WHERE layer_name LIKE '%attn_q%'),
  'left alone: factored already', 'what is factored is not factored again');
SELECT results_eq(format('SELECT layer_name FROM verify_svd(%s) WHERE problem IS NULL', :model),
  $$VALUES ('token_embd.weight'), ('blk.0.attn_q.weight'), ('blk.0.ffn_up.weight')$$, 'and is carried along');
SELECT is(delete_model(:model) > 0, true, 'deleting the model');
SELECT is((SELECT count(*) FROM svd_compressed_layers WHERE model_id = :model), 0::bigint, '... deletes its factors');

SELECT * FROM finish();
ROLLBACK;
