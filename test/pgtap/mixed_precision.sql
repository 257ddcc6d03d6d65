-- Mixed precision: llama-quantize's mixtures, overrides by pattern, and a format planned for each atom.
BEGIN;
\ir lib/model_files.sql
SELECT plan(304);
-- So many blocks with every kind of tensor that the mixtures tell apart, rows of 256 or as given.
CREATE FUNCTION lib.deep_gguf(blocks integer, tied boolean DEFAULT false, experts integer DEFAULT 0,
  columns integer DEFAULT 256) RETURNS bytea
  LANGUAGE sql IMMUTABLE
  RETURN gguf(ROW('token_embd.weight', ARRAY[columns, 2], 0, waves(2, columns, 1))::tensor
      || (SELECT array_agg(ROW(format('blk.%s.%s.weight', b, name), ARRAY[columns, 2], 0, waves(2, columns, b))::tensor
        ORDER BY b, name)
        FROM generate_series(0, blocks - 1) b,
        unnest(ARRAY['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down']) name)
      || ROW('output_norm.weight', ARRAY[columns], 0, waves(1, columns, 2))::tensor
      || CASE WHEN tied THEN '{}'
      ELSE ARRAY[ROW('output.weight', ARRAY[columns, 2], 0, waves(2, columns, 3))::tensor] END,
    ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', blocks),
      kv_u32('llama.expert_count', experts)]);
-- A mixture carried out: what it is made of is in mixtures.sql
SELECT import_gguf(deep_gguf(8), 'eight') AS m8 \gset
SELECT import_gguf(deep_gguf(3, true), 'tied') AS tied \gset
SELECT import_gguf(deep_gguf(4, experts => 8), 'experts') AS moe \gset
SELECT import_gguf(deep_gguf(2, columns => 64), 'narrow') AS narrow \gset
SELECT import_gguf(deep_gguf(2, columns => 44), 'odd') AS odd \gset
CALL quantize_model(:m8, 'q4_k_m');
SELECT is(weights_format(atom_data), 'Q6_K', 'as a model') FROM tensor_atoms WHERE model_id = :m8
  AND tensor_name = 'blk.3.ffn_down.weight' AND atom_sequence = 0;
SELECT is(parameters ->> 'format', 'Q4_K_M', 'on record') FROM model_revisions WHERE revision_id = present(:m8);
SELECT import_gguf(export_gguf(:m8), 'as file') AS file \gset
SELECT results_eq(
  format('SELECT layer_name, tensor_dtype FROM model_layers WHERE model_id = %s ORDER BY position', :file),
  format('SELECT layer_name, storage_format FROM export_plan(%s)', :m8), 'and as a file');
SELECT is(gguf_value(metadata, 'general.file_type'), '15', 'of llama.cpp''s type Q4_K_M') FROM models
  WHERE model_id = :file;

-- The file's type: by what the tensors are, and where rows fit no block by what was asked for
CREATE FUNCTION lib.file_type(model integer) RETURNS text LANGUAGE sql STABLE
  RETURN gguf_value(file_metadata(export_gguf(model), 'gguf'), 'general.file_type') #>> '{}';
SELECT import_gguf(deep_gguf(12), 'twelve') AS m12 \gset
CREATE TABLE lib.importance (layer_name text, column_importance real[]);
CREATE FUNCTION lib.quantized_copy(source text, mixture text, pure boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql AS $$
DECLARE made integer := import_gguf(export_gguf(model_id(source)),
  concat_ws(' ', source, CASE WHEN pure THEN 'pure' END, mixture));
BEGIN
  DELETE FROM lib.importance;
  INSERT INTO lib.importance SELECT layer_name, array_fill(1::real, ARRAY[row_length::integer]) FROM model_layers
   WHERE model_id = model_id(source) AND layer_name LIKE 'blk%';
  CALL quantize_model(made, mixture, pure => pure, column_importance => CASE
    WHEN mixture ~ '^(Q2_K_S|IQ[12]_.*|IQ3_X+S)$' THEN 'lib.importance'::regclass END);
  RETURN made;
END $$;
-- The types of a copy and of a student of it. Both are undone at once: a transaction cannot lock the partitions of
-- hundreds of models.
CREATE FUNCTION lib.types_of_copy(source text, mixture text, pure boolean, blocks text DEFAULT NULL) RETURNS text[]
  LANGUAGE plpgsql AS $$
DECLARE
  copy integer;
  types text[];
BEGIN
  BEGIN
    copy := quantized_copy(source, mixture, pure);
    types := ARRAY[file_type(copy)];
    IF blocks IS NOT NULL THEN
      types := types || file_type(create_student(copy, 'a part', '{}', blocks::integer[]));
    END IF;
    RAISE EXCEPTION 'undone' USING ERRCODE = 'ZZ000';
  EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
    RETURN types;
  END;
END $$;
CREATE TEMP VIEW written_mixtures AS
  SELECT p.mixture, p.file_type FROM mixtures() p
   WHERE p.mixture <> 'F32' AND p.base_format !~ '^IQ[123]';
SELECT is(types_of_copy(source, p.mixture, pure), ARRAY[p.file_type::text],
  concat_ws(' ', source, CASE WHEN pure THEN 'pure' END, p.mixture))
  FROM written_mixtures p, unnest(ARRAY['tied', 'experts', 'narrow', 'odd']) source, unnest('{f,t}'::boolean[]) pure;
SELECT is(types_of_copy('twelve', p.mixture, pure, CASE WHEN NOT pure THEN '{4,5,6,7}' END),
  array_fill(p.file_type::text, ARRAY[CASE WHEN pure THEN 1 ELSE 2 END]),
  concat_ws(' ', 'twelve', CASE WHEN pure THEN 'pure' END, p.mixture, 'and a student'))
  FROM written_mixtures p, unnest('{f,t}'::boolean[]) pure;
SELECT is(types_of_copy('tied', 'Q4_K', false), '{15}', 'Q4_K is short for Q4_K_M');
-- A file that says what it is, of whose tensors that cannot be told
SELECT quantized_copy('narrow', 'Q6_K') AS n6 \gset
SELECT is(requested_mixture(:n6) || main_format(:n6), 'Q6_KQ6_K', 'asked for, though all is Q8_0');
SELECT import_gguf(export_gguf(:n6), 'read again') AS again \gset
SELECT is(requested_mixture(:again), 'Q6_K', 'what the file says');
CALL prune_by_importance(:again, keep_ratio => 0.9);
CALL quantize_model(:again, overrides => '[{"pattern": "%.0.attn_q.%", "format": "Q5_1"}]', requantize => true);
SELECT is(file_type(:again), '18', 'and stays when little changes');
SELECT import_gguf(gguf(NULL), 'says nothing') AS silent \gset
SELECT is(requested_mixture(:silent), NULL, 'a file that does not say');
SELECT throws_ok('SELECT requested_mixture(999)', '42704', NULL, 'no such model');
SELECT import_gguf(
  gguf(array_agg(ROW(name, '{256,2}', 0, waves(2, 256, n))::tensor ORDER BY n),
    ARRAY[kv_text('general.architecture', 'llama'),
  kv_u32('llama.block_count', 12)]), 'no qkv') AS plain
  FROM (SELECT format('blk.%s.ffn_down.weight', b) AS name, b AS n FROM generate_series(0, 11) b
  UNION ALL SELECT 'output.weight', 12) x \gset
CALL quantize_model(:plain, 'Q4_K_M');
SELECT is(file_type(create_student(:plain, name, '{}', blocks)), number, name)
  FROM (VALUES ('blocks of more bits', '{0,1}'::integer[], '15'),
    ('blocks of both kinds', '{1,2,3}', '15'), ('only blocks of no more bits', '{1,2,4,5}', '15')
  ) v (name, blocks, number);
SELECT quantized_copy('tied', 'Q4_K_S') AS small \gset
CALL svd_compress_model(:small, rank => 1, layer_pattern => '%attn_q.%', factor_format => 'Q4_0');
SELECT is((file_type(:small), count(*))::text, '(14,3)', 'factored') FROM svd_compressed_layers WHERE model_id = :small;
CALL prune_by_importance(:small, keep_ratio => 0.5);
SELECT is(file_type(:small), '14', 'and pruned');
CALL quantize_model(:small, 'Q4_K_M', requantize => true);
SELECT is(file_type(:small), '15', 'quantized again');
SELECT rollback_model(:small) \g /dev/null
SELECT is(file_type(:small), '14', 'undone');
CALL quantize_model(:small, 'Q8_0', layer_pattern => 'blk%', requantize => true);
SELECT is(file_type(:small), '7', 'most of it in another format');
SELECT import_gguf(gguf(ARRAY[ROW('x.weight', '{6}', 0, f32(1, 2, 3, 4, 5, 6))::tensor]), 'a vector') AS vector \gset
SELECT is(main_format(:vector), NULL, 'no matrix, no format');
SELECT throws_ok('SELECT main_format(999)', '42704', NULL, 'no such model');

SELECT throws_ok(format('CALL quantize_model(%s, ''Q6_K_M'')', :tied), '22023', 'unknown weight format "Q6_K_M"',
  'is none of the formats');

-- Overrides: the first that fits; null keeps
SELECT results_eq(
  format(
    $$SELECT layer_name, arguments ->> 'format', reason
      FROM quantize_plan(%s, 'Q4_K_M',
        overrides => '[{"pattern": "%%norm%%", "format": "Q8_0"},
  {"pattern": "blk.0.attn_v%%", "format": "q8_0"}, {"pattern": "blk.0.%%", "format": null},
  {"pattern": "token%%", "format": "F16"}]')
  WHERE layer_name ~ '0.(attn_v|attn_q|ffn_down)\.|1.ffn_up|norm|token'$$, :tied),
  $$VALUES ('token_embd.weight', 'F16', NULL), ('blk.0.attn_q.weight', NULL, 'kept by override'),
    ('blk.0.attn_v.weight', 'Q8_0', NULL),
    ('blk.0.ffn_down.weight', NULL, 'kept by override'), ('blk.1.ffn_up.weight', 'Q4_K', NULL),
    ('output_norm.weight', NULL, 'vector')$$,
  'overrides of a mixture');
CALL quantize_model('tied', 'Q4_K',
  overrides => '[{"pattern": "blk.1.%", "format": "Q6_K"}, {"pattern": "blk.2.%", "format": null}]');
SELECT results_eq(
  format(
    'SELECT DISTINCT left(tensor_name, 5), weights_format(atom_data) FROM tensor_atoms WHERE model_id = %s '
    'AND tensor_name LIKE ''blk%%'' ORDER BY 1', :tied),
  $$VALUES ('blk.0', 'Q4_K'), ('blk.1', 'Q6_K'), ('blk.2', 'F32')$$, 'overrides carried out');
SELECT rollback_model(:tied) \g /dev/null
SELECT throws_ok(format('CALL quantize_model(%s, ''Q4_K'', overrides => %L)', :tied, rules), state, NULL, rules)
  FROM (VALUES ('{}', '22023'),
    ('[1]', '22023'), ('[{}]', '22023'), ('[{"pattern": "a"}]', '22023'), ('[{"format": 4}]', '22023'),
    ('[{"format": "Q9"}]', '22023'), ('[{"format": "Q8_1"}]', '0A000'),
    ('[{"format": "Q8_0", "pattern": 1}]', '22023'),
    ('[{"format": "Q8_0", "importance_above": 1}]', '22023'), ('[{"format": "Q8_0", "patern": "a"}]', '22023'),
    ('null', '22023')) v (rules, state);

-- A format for each atom
SELECT import_gguf(
  gguf(ARRAY[ROW('a.weight', '{256,10}', 0, waves(10, 256, 1))::tensor,
    ROW('b.weight', '{64,10}', 0, waves(10, 64, 2))::tensor,
    ROW('c.weight', '{44,4}', 0, waves(4, 44, 3))::tensor,
    ROW('blk.0.x_norm.weight', '{256,2}', 0, waves(2, 256, 4))::tensor,
    ROW('v.weight', '{6}', 0, f32(1, 2, 3, 4, 5, 6))::tensor]), 'm') AS m \gset
SELECT export_gguf(:m) AS file \gset
UPDATE tensor_atoms SET importance_score = atom_sequence - 1 WHERE model_id = :m AND tensor_name <> 'v.weight';
CREATE FUNCTION lib.has(model integer, what text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE said text;
BEGIN
  EXECUTE format($q$
    SELECT string_agg(s, ' ' ORDER BY s)
      FROM (SELECT left(tensor_name, 1) || ':' || coalesce(%s, '-') || ':'
                   || string_agg(atom_sequence::text, ',' ORDER BY atom_sequence) AS s
              FROM tensor_atoms WHERE model_id = $1 GROUP BY tensor_name, %1$s) x $q$, what)
    INTO said USING model;
  RETURN said;
END $$;
SELECT throws_ok(format('CALL quantize_model(%s)', :m), '22023',
  'no format is given, and none is planned for any atom of model "m"',
  'nothing is planned yet');
SELECT set_eq(
  format('SELECT planned_format, tensors::int, atoms::int, weights::int FROM assign_mixed_precision(%s)', :m),
  'VALUES (''Q4_K'', 3, 12, 1456), (''Q8_0'', 2, 6, 960), (''F16'', 2, 6, 960), (NULL, 2, 3, 518)',
  'the original rules');
SELECT is(has(:m, 'planned_format'),
  'a:F16:7,8,9 a:Q4_K:0,1,2,3 a:Q8_0:4,5,6 b:-:0,1 b:F16:7,8,9 b:Q4_K:0,1,2,3 b:Q8_0:4,5,6 c:Q4_K:0,1,2,3 v:-:0',
  'above 5, above 2, and the rest; what is never quantized has no plan');
SELECT results_eq(
  format(
    'SELECT layer_name, details ->> ''present_format'', details ->> ''target_format'', reason, arguments -> '
    '''planned_formats'', (details ->> ''requantizes'')::boolean FROM quantize_plan(%s)', :m),
  $$VALUES ('a.weight', 'F32', 'F16+Q4_K+Q8_0', NULL, '{"F16": "F16", "Q4_K": "Q4_K", "Q8_0": "Q8_0"}'::jsonb, false),
    ('b.weight', 'F32', 'F16+Q5_0+Q8_0', 'rows fit no block of Q4_K', '{"F16": "F16", "Q4_K": "Q5_0", "Q8_0": "Q8_0"}',
      false),
    ('c.weight', 'F32', 'F16', 'rows fit no block of Q4_K', '{"Q4_K": "F16"}', false),
    ('blk.0.x_norm.weight', 'F32', NULL, 'kept by name', NULL, false),
    ('v.weight', 'F32', NULL, 'vector', NULL, false)$$, 'what it means for each tensor');
SELECT present(:m) AS r1 \gset
CALL quantize_model(:m);
SELECT is(has(:m, 'weights_format(atom_data)'),
  'a:F16:7,8,9 a:Q4_K:0,1,2,3 a:Q8_0:4,5,6 b:F16:7,8,9 b:F32:0,1 b:Q5_0:0,1,2,3 b:Q8_0:4,5,6 c:F16:0,1,2,3 v:F32:0',
  'each atom has its own');
SELECT is(count(*), 0::bigint, 'as quantize() makes it') FROM tensor_atoms a JOIN tensor_atoms_backup b
  USING (layer_id, atom_sequence) WHERE a.model_id = :m
  AND b.revision_id = :r1 AND a.atom_data <> quantize(b.atom_data, weights_format(a.atom_data));
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'nothing is wrong with it');
SELECT results_eq(format('SELECT operation, reason FROM quantize_plan(%s) WHERE layer_name ~ ''^[abc]\.''', :m),
  $$VALUES (NULL, 'already there'), (NULL, 'already there'), (NULL, 'already there')$$, 'all is as planned');
SELECT present(:m) AS r2 \gset
CALL quantize_model('m');
SELECT is(present(:m), :r2, 'nothing to do');
-- The plan changed: what is to be quantized again is refused, what is only to be quantized is not
UPDATE tensor_atoms SET planned_format = 'q8_0' WHERE model_id = :m AND weights_format(atom_data) = 'F16';
SELECT lives_ok(format('CALL quantize_model(%s)', :m), 'only floats are quantized');
SELECT is(has(:m, 'weights_format(atom_data)'),
  'a:Q4_K:0,1,2,3 a:Q8_0:4,5,6,7,8,9 b:F32:0,1 b:Q5_0:0,1,2,3 b:Q8_0:4,5,6,7,8,9 c:F16:0,1,2,3 v:F32:0',
  'the others stay as they are');
UPDATE tensor_atoms SET planned_format = 'Q4_0' WHERE model_id = :m AND tensor_name = 'a.weight'
  AND atom_sequence = 9;
SELECT throws_ok(format('CALL quantize_model(%s)', :m), '55000', '1 tensors are already quantized',
  'what is quantized is not quantized again');
SELECT lives_ok(format('CALL quantize_model(%s, requantize => true)', :m), 'unless told to');
-- One type a tensor in the file: the one with most bits, or one that rows can be cut into
SELECT results_eq(format('SELECT layer_name, present_format, storage_format FROM export_plan(%s)', :m),
  $$VALUES ('a.weight', 'Q4_0+Q4_K+Q8_0', 'Q8_0'),
  ('b.weight', 'Q5_0+Q8_0', 'Q8_0'), ('c.weight', 'F16', 'F16'), ('blk.0.x_norm.weight', 'F32', 'F32'),
    ('v.weight', 'F32', 'F32')$$, 'the widest goes out');
SELECT import_gguf(export_gguf(:m), 'one type each') AS one \gset
SELECT is(count(*), 0::bigint, 'and holds what the atoms hold') FROM tensor_atoms a
  JOIN tensor_atoms o ON o.model_id = :one AND o.tensor_name = a.tensor_name
  AND o.atom_sequence = a.atom_sequence WHERE a.model_id = :m AND (relative_error(a.atom_data, o.atom_data) > 0.01);
-- No rule: no plan; rules by pattern; an override instead of the plan
SELECT rollback_model(:m, :r1) \g /dev/null
SELECT is((SELECT count(*) FROM assign_mixed_precision('m', '[]') WHERE planned_format IS NOT NULL), 0::bigint,
  'without a rule nothing is planned');
SELECT is(has(:m, 'planned_format'), 'a:-:0,1,2,3,4,5,6,7,8,9 b:-:0,1 b:-:0,1,2,3,4,5,6,7,8,9 c:-:0,1,2,3 v:-:0',
  'and what was is gone');
SELECT assign_mixed_precision(:m,
  '[{"pattern": "a%", "importance_above": 7, "format": null}, {"pattern": "a%", "format": "q6_k"}, {"pattern": "c%", '
  '"format": "BF16"}]')
  \g /dev/null
SELECT is(has(:m, 'planned_format'),
  'a:-:9 a:Q6_K:0,1,2,3,4,5,6,7,8 b:-:0,1 b:-:0,1,2,3,4,5,6,7,8,9 c:BF16:0,1,2,3 v:-:0', 'rules by pattern');
CALL quantize_model(:m, overrides => '[{"pattern": "b%", "format": "Q8_0"}]', layer_pattern => '_.%');
SELECT is(has(:m, 'weights_format(atom_data)'),
  'a:F32:9 a:Q6_K:0,1,2,3,4,5,6,7,8 b:F32:0,1 b:Q8_0:0,1,2,3,4,5,6,7,8,9 c:BF16:0,1,2,3 v:F32:0', 'and an override');
SELECT rollback_model(:m) \g /dev/null
SELECT ok(export_gguf(:m) = :'file'::bytea, 'undone to the byte');
-- With importance of columns
CREATE TABLE lib.imatrix AS SELECT 'a.weight' AS layer_name,
  (SELECT array_agg((1 + i % 7)::real) FROM generate_series(1, 256) i) AS column_importance;
CALL quantize_model(:m, column_importance => 'lib.imatrix');
SELECT is(count(*), 9::bigint, 'weighed where it is quantized')
  FROM (SELECT a.atom_data, b.atom_data AS was FROM tensor_atoms a JOIN tensor_atoms_backup b USING
  (layer_id, atom_sequence) WHERE a.model_id = :m AND b.revision_id = :r1 AND a.tensor_name = 'a.weight'
  AND weights_format(a.atom_data) = 'Q6_K' OFFSET 0) q, lib.imatrix
  WHERE q.atom_data = quantize(was, 'Q6_K', column_importance) AND q.atom_data <> quantize(was, 'Q6_K');
SELECT throws_ok(format('SELECT * FROM assign_mixed_precision(%s)', arguments), state, NULL, arguments)
  FROM (VALUES (:'m' || ', ''{}''', '22023'),
    (:'m' || ', ''[{"format": "Q4_K", "importance_above": "5"}]''', '22023'),
    (:'m' || ', ''[{"format": "Q4_K", "importance_above": 1e40}]''', '22023'),
    (:'m' || ', ''[{"format": "Q1"}]''', '22023'), ('999', '42704'),
    ('''nobody''', '42704'), ('NULL::int', '42704')) v (arguments, state);
UPDATE tensor_atoms SET planned_format = 'nonsense' WHERE model_id = :m AND tensor_name = 'b.weight'
  AND atom_sequence = 1;
SELECT throws_ok(format('CALL quantize_model(%s)', :m), '22023', 'unknown weight format "nonsense"',
  'a plan that is none');

SELECT is_empty($$SELECT without_comment('main_format', 'requested_mixture', 'check_rules', 'default_precision_rules',
  'assign_mixed_precision', 'quantize_plan', 'quantize_model')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
