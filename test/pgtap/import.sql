-- Import: what becomes of a file, column by column; sources; arguments. Hostile files: import_hostile.sql.
BEGIN;
\ir lib/model_files.sql
SELECT plan(137);

-- The model's row

SELECT is(import_gguf(little_gguf(), 'little'), 1, 'import_gguf(bytea) returns the number of the model');
SELECT results_eq($$SELECT model_name, model_type, architecture, parent_model_id, parameter_count, current_revision,
  source_sha256 FROM models$$,
  $$SELECT 'little', 'transformer', 'llama', NULL::int, 20*64 + 64 + 10*256 + 30*172 + 40*9::bigint, 1,
    sha256(little_gguf())$$, 'models');
SELECT is(metadata,
  jsonb_build_object('format', 'gguf', 'version', 3, 'alignment', 32, 'kv',
    jsonb '[
    {"key": "general.architecture", "type": "string", "value": "llama"},
    {"key": "general.file_type", "type": "u32", "value": 0},
    {"key": "llama.block_count", "type": "u32", "value": 1},
    {"key": "general.scores", "type": "array", "element": "f32", "value": [0, -1.5, "0x7fc00000"]},
    {"key": "tokenizer.tokens", "type": "array", "element": "string", "value": ["<s>", "ü"]}]'),
  'models.metadata')
      FROM models;
SELECT is(gguf_value(metadata, 'llama.block_count'), '1', 'gguf_value()') FROM models;
SELECT is(gguf_value(metadata, 'no.such'), NULL, 'gguf_value() of no key') FROM models;
SELECT is(gguf_value(NULL, 'a'), NULL, 'gguf_value(NULL)');
SELECT results_eq(
  'SELECT revision_id, model_id, parent_revision_id, base_revision_id, held_revision_id, stage, kind, parameters, '
  'atom_count, logical_bytes, state FROM model_revisions',
  $$VALUES (1, 1, NULL::int, 1, 1, 'import', 'import', jsonb '{}', 101::bigint, 4 * 9424::bigint, 'live')$$,
  'model_revisions');
SELECT is(physical_bytes, pg_total_relation_size('hartonomous_partitions.tensor_atoms_m1_r1'), 'physical_bytes')
  FROM model_revisions;

-- The tensors' rows

SELECT results_eq(
  'SELECT position, layer_idx, layer_name, layer_type, tensor_shape, tensor_dtype, parameter_count, row_length, '
  'atom_size FROM model_layers ORDER BY position',
  $$VALUES (0, -1, 'token_embd.weight', 'embedding', '{20,64}'::bigint[], 'F32', 1280::bigint, 64::bigint, 64),
           (1, 0, 'blk.0.attn_norm.weight', 'norm', '{64}', 'F32', 64, 64, 64),
           (2, 0, 'blk.0.attn_q.weight', 'attention', '{10,256}', 'F32', 2560, 256, 256),
           (3, 0, 'blk.0.ffn_down.weight', 'ffn', '{30,172}', 'F32', 5160, 172, 172),
           (4, -1, 'output.weight', 'output', '{40,9}', 'F32', 360, 9, 9)$$, 'model_layers');
SELECT is_empty($$SELECT layer_name FROM model_layers l
   WHERE Box2D(weights_geometry)::text <>
     (SELECT ST_Extent(a.weights_geometry)::text FROM tensor_atoms a WHERE a.layer_id = l.layer_id)$$,
  'a layer''s geometry is the envelope of its atoms');

-- The atoms' rows

SELECT results_eq(
  'SELECT layer_name, count(*), min(atom_sequence), max(atom_sequence) FROM tensor_atoms a '
  'JOIN model_layers l USING (layer_id) GROUP BY l.layer_id ORDER BY l.layer_id',
  $$VALUES ('token_embd.weight', 20::bigint, 0, 19), ('blk.0.attn_norm.weight', 1, 0, 0),
           ('blk.0.attn_q.weight', 10, 0, 9), ('blk.0.ffn_down.weight', 30, 0, 29), ('output.weight', 40, 0, 39)$$,
  'an atom is a matrix row; a vector is one');
SELECT is_empty($$SELECT layer_name, atom_sequence FROM tensor_atoms a JOIN model_layers l USING (model_id, layer_id)
   CROSS JOIN LATERAL (SELECT t.data FROM unnest(little_tensors()) t WHERE t.name = layer_name) file
   WHERE a.atom_data::bytea <> substr(file.data, (4 * row_length * atom_sequence + 1)::int, (4 * row_length)::int)
      OR weights_format(atom_data) <> 'F32' OR weights_count(atom_data) <> row_length$$,
        'atom_data is the row''s bytes');
SELECT is_empty($$SELECT layer_id, atom_sequence FROM tensor_atoms a JOIN model_layers l USING (layer_id)
   WHERE a.model_id <> 1 OR revision_id <> 1 OR tensor_name <> layer_name OR tensor_atom_id <> layer_id * 4294967296 +
     atom_sequence
      OR ST_X(a.weights_geometry) <> x OR ST_Y(a.weights_geometry) <> y OR ST_Z(a.weights_geometry) <> importance_score
      OR ST_SRID(a.weights_geometry) <> 0 OR hilbert_index <> hilbert_index(x, y, importance_score)
      OR content_hash <> sha256(atom_data::bytea)$$, 'names, numbers and generated columns');
SELECT is_empty(
  'SELECT layer_id FROM tensor_atoms WHERE quantized_position IS NOT NULL OR planned_format IS NOT NULL',
  'the rest is NULL');
SELECT is_empty(
  'SELECT layer_id, x, y, importance_score FROM tensor_atoms WHERE NOT (x BETWEEN 0 AND 100 AND y BETWEEN 0 AND 100 '
  'AND importance_score BETWEEN -10 AND 10)',
  'coordinates are within their bounds');
SELECT results_eq($$SELECT min(x)::real, max(x)::real, min(y)::real, max(y)::real FROM tensor_atoms WHERE layer_id <>
  layer(1, 'blk.0.attn_norm.weight') GROUP BY layer_id$$,
  'SELECT 0::real, 100::real, 0::real, 100::real FROM generate_series(1, 4)', 'every matrix spans the map');
SELECT results_eq($$SELECT x, y, importance_score FROM tensor_atoms WHERE layer_id = layer(1,
  'blk.0.attn_norm.weight')$$,
  'VALUES (50::real, 50::real, 10::real)', 'a vector lies in the middle, important');

-- Importance: the log of the root mean square, standardised within the tensor
CREATE FUNCTION lib.wrong_importance(model integer) RETURNS TABLE (layer bigint, sequence integer, score real, expected
  float8)
LANGUAGE sql STABLE AS $$
  WITH raw AS (SELECT a.layer_id, atom_sequence, importance_score,
                      (SELECT ln(sqrt(avg(w::float8 ^ 2))) FROM unnest(dequantize(atom_data)) w) AS metric
                 FROM tensor_atoms a JOIN model_layers l USING (layer_id) WHERE a.model_id = model
                   AND cardinality(tensor_shape) > 1),
       scores AS (SELECT *, (metric - avg(metric) OVER w) / nullif(stddev_pop(metric) OVER w, 0) AS expected FROM raw
         WINDOW w AS (PARTITION BY layer_id))
  SELECT layer_id, atom_sequence, importance_score, expected FROM scores
   WHERE abs(importance_score - greatest(least(coalesce(expected, 0), 10), -10)) > 1e-4
$$;
SELECT is_empty('SELECT * FROM wrong_importance(1)', 'importance is what SQL arithmetic says');

-- Places: rows on a line, the tenth of its length apart
SELECT import_gguf(gguf(ARRAY[ROW('line', '{8,11}', 0, (SELECT string_agg(f32(VARIADIC (SELECT array_agg((r * c)::real
  ORDER BY c) FROM generate_series(1, 8) c)), '' ORDER BY r)
                                                            FROM generate_series(-5, 5) r))::tensor]), 'line') AS line
                                                              \gset
SELECT results_eq(format('SELECT round(x::numeric, 3), y FROM tensor_atoms WHERE model_id = %s ORDER BY atom_sequence',
  :line),
  'SELECT round(10.0 * i, 3), 50::real FROM generate_series(0, 10) i', 'rows on a line lie on a line');
-- Two directions: long steps along one, short ones along the other
SELECT import_gguf(gguf(ARRAY[ROW('plane', '{4,4}', 0, f32(5,0,0,0, -5,0,0,0, 0,1,0,0, 0,-1,0,0))::tensor]), 'plane') AS
  plane \gset
SELECT results_eq(
  format(
    'SELECT round(x::numeric, 2), round(y::numeric, 2) FROM tensor_atoms WHERE model_id = %s ORDER BY atom_sequence',
    :plane),
  'VALUES (100.00, 50.00), (0.00, 50.00), (50.00, 100.00), (50.00, 0.00)',
  'x is the direction of most energy, y the next');

-- Constant tensors, zeros, one row, NaN and infinity
SELECT import_gguf(gguf(ARRAY[ROW('constant', '{4,5}', 0, f32(VARIADIC array_fill(0.25::real, ARRAY[20])))::tensor,
                              ROW('zeros', '{4,3}', 0, zeros(48))::tensor, ROW('one row', '{4,1}', 0,
                                f32(1,2,3,4))::tensor,
                              ROW('odd', '{2,5}', 0, f32(1,2, 'NaN',1, 0,0, 'Infinity',1, -2,1))::tensor,
                              ROW('huge', '{2,2}', 0, f32(3e38,3e38, -3e38,1e-45))::tensor]), 'odd') AS odd \gset
SELECT results_eq(
  format(
    'SELECT DISTINCT tensor_name, x, y, importance_score FROM tensor_atoms WHERE model_id = %s '
    'AND tensor_name IN (''constant'', ''zeros'', ''one row'') ORDER BY 1',
    :odd),
  $$VALUES ('constant', 50::real, 50::real, 0::real), ('one row', 50, 50, 0), ('zeros', 50, 50, -10)$$,
  'tensors without spread');
SELECT results_eq(
  format(
    'SELECT importance_score, x = 50 AND y = 50 FROM tensor_atoms WHERE model_id = %s AND tensor_name = ''odd'' '
    'AND atom_sequence IN (1, 2, 3) ORDER BY atom_sequence',
    :odd),
  'VALUES (10::real, true), (-10, false), (10, true)',
  'NaN and infinity are in the middle and never the first to go; zeros are');
SELECT is_empty(
  format(
    'SELECT * FROM tensor_atoms WHERE model_id = %s AND NOT (x BETWEEN 0 AND 100 AND y BETWEEN 0 AND 100 '
    'AND importance_score BETWEEN -10 AND 10)',
    :odd),
  'no coordinate out of bounds comes of odd weights');
SELECT ok(export_gguf(:odd) = (SELECT f FROM (SELECT gguf(ARRAY[ROW('constant', '{4,5}', 0, f32(VARIADIC
  array_fill(0.25::real, ARRAY[20])))::tensor,
                              ROW('zeros', '{4,3}', 0, zeros(48))::tensor, ROW('one row', '{4,1}', 0,
                                f32(1,2,3,4))::tensor,
                              ROW('odd', '{2,5}', 0, f32(1,2, 'NaN',1, 0,0, 'Infinity',1, -2,1))::tensor,
                              ROW('huge', '{2,2}', 0, f32(3e38,3e38, -3e38,1e-45))::tensor]) f) s),
                                'and they are exported as they came');

-- Generated columns cannot be made to lie
SELECT layer(1, 'output.weight') AS out \gset
UPDATE tensor_atoms SET x = 1, y = 2, importance_score = 3, atom_data = weights(array_fill(7::real, ARRAY[9]))
  WHERE model_id = 1 AND layer_id = :out AND atom_sequence = 5;
SELECT results_eq(
  format(
    'SELECT ST_AsText(weights_geometry), hilbert_index, content_hash FROM tensor_atoms WHERE layer_id = %s '
    'AND atom_sequence = 5',
    :out),
  $$SELECT 'POINT Z (1 2 3)', hilbert_index(1, 2, 3), sha256(f32(7,7,7,7,7,7,7,7,7))$$,
  'a plain UPDATE computes generated columns again');
SELECT throws_ok(format('UPDATE tensor_atoms SET %s WHERE model_id = 1', assignment), '428C9', NULL, assignment
  || ' is refused')
  FROM unnest(ARRAY['content_hash = ''x''', 'hilbert_index = 1', 'weights_geometry = NULL', 'tensor_atom_id = 1'])
    assignment;
UPDATE tensor_atoms SET x = NULL WHERE model_id = 1 AND layer_id = :out AND atom_sequence = 5;
SELECT results_eq(
  format(
    'SELECT weights_geometry IS NULL, hilbert_index IS NULL FROM tensor_atoms '
    'WHERE layer_id = %s AND atom_sequence = 5', :out),
  'VALUES (true, true)', 'no coordinate, no place');
SELECT throws_ok('UPDATE model_layers SET atom_size = 0', '23514', NULL, 'no atoms of no weights');
SELECT throws_ok(format('UPDATE tensor_atoms SET revision_id = 7 WHERE layer_id = %s', :out), '23514', NULL,
  'a row cannot be moved to another revision');
SELECT throws_ok(format('UPDATE tensor_atoms SET model_id = 7 WHERE layer_id = %s', :out), '23514', NULL,
  'nor to a model without a partition');
SELECT throws_ok(
  format(
    'INSERT INTO tensor_atoms (model_id, revision_id, layer_id, atom_sequence, tensor_name, atom_data) '
    'VALUES (1, 1, %s, 5, ''x'', ''F32[0]:'')',
    :out), '23505', NULL, 'an atom is there once');
SELECT throws_ok(format('UPDATE tensor_atoms SET atom_sequence = -1 WHERE layer_id = %s AND atom_sequence = 39', :out),
  '23514', NULL, 'no negative number');

-- Atoms smaller than a row, not dividing it
SELECT import_gguf(little_gguf(), 'split', atom_size => 100) AS split \gset
SELECT results_eq(
  format(
    'SELECT layer_name, atom_size, count(*) FROM tensor_atoms a JOIN model_layers l USING (layer_id) '
    'WHERE l.model_id = %s GROUP BY l.layer_id ORDER BY l.layer_id',
    :split),
  $$VALUES ('token_embd.weight', 64, 20::bigint), ('blk.0.attn_norm.weight', 64, 1), ('blk.0.attn_q.weight', 100, 30),
    ('blk.0.ffn_down.weight', 100, 60), ('output.weight', 99, 4)$$,
  'rows longer than atom_size are split, and short ones are joined');
SELECT is_empty(format($$SELECT layer_name, atom_sequence FROM tensor_atoms a JOIN model_layers l USING (model_id,
  layer_id)
   CROSS JOIN LATERAL (SELECT (row_length + atom_size - 1) / atom_size AS per_row) p
   CROSS JOIN LATERAL (SELECT atom_sequence / per_row AS r, atom_sequence %% per_row * atom_size AS c) place
   CROSS JOIN LATERAL (SELECT data FROM unnest(little_tensors()) t WHERE t.name = layer_name) file
   WHERE model_id = %s AND atom_size <= row_length
   AND a.atom_data::bytea IS DISTINCT FROM substr(data, (4 * (row_length * r + c) + 1)::int, 4 *
     least(atom_size, row_length - c)::int)$$, :split),
  'atom_sequence / ceil(row_length / atom_size) is the row, the rest the place in it');
SELECT is(count(*), 4::bigint, 'an atom of rows begins with row atom_sequence * (atom_size / row_length)')
  FROM tensor_atoms a JOIN model_layers l USING (model_id, layer_id)
  CROSS JOIN LATERAL (SELECT data FROM unnest(little_tensors()) t WHERE t.name = layer_name) file
 WHERE model_id = :split AND atom_size > row_length AND a.atom_data::bytea
   = substr(data, (4 * row_length * (atom_sequence * (atom_size / row_length)) + 1)::int, 4 * atom_size);
SELECT is_empty(format('SELECT * FROM wrong_importance(%s)', :split), 'their importance is their own');
SELECT ok(export_gguf(:split) = little_gguf(), 'together they are the file');
SELECT import_gguf(little_gguf(), 'single', atom_size => 1) AS single \gset
SELECT is(count(*), 9424::bigint, 'atoms of one weight') FROM tensor_atoms WHERE model_id = :single;
SELECT ok(export_gguf(:single) = little_gguf(), 'are the file, too');
SELECT is(effective_atom_size(wanted, row_length, format, ARRAY[row_length]), expected,
  format('effective_atom_size(%s, %s, %s)', wanted,
    row_length, format))
  FROM (VALUES (8192, 64, 'F32', 64), (100, 256, 'Q8_0', 128), (1, 256, 'Q4_K', 256), (300, 1024, 'Q4_K', 512),
               (1, 0, 'F32', 1), (1048576, 3000000000, 'F32', 1048576), (NULL, 64, 'F32', 64)
  ) v (wanted, row_length, format, expected);

-- Quantized files and formats that are only carried: their blocks as they are
CREATE FUNCTION lib.noise(bytes integer, seed integer) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT substr(string_agg(sha256(int4send(seed) || int4send(i)), '' ORDER BY i), 1, bytes)
    FROM generate_series(0, bytes / 32) i);
CREATE FUNCTION lib.quantized_gguf() RETURNS bytea LANGUAGE sql STABLE
  RETURN gguf(ARRAY[
    ROW('q8.weight', '{96,6}', 8, quantize(wave(576, 1), 'Q8_0')::bytea)::tensor,
    ROW('q4k.weight', '{512,3}', 12, quantize(wave(1536, 2), 'Q4_K')::bytea)::tensor,
    ROW('half.weight', '{5,4,3}', 1, quantize(wave(60, 3), 'F16')::bytea)::tensor,
    ROW('bf.weight', '{7}', 30, quantize(wave(7, 4), 'BF16')::bytea)::tensor,
    ROW('iq.weight', '{512,2}', 16, noise(66 * 4, 5))::tensor,
    ROW('mx.weight', '{64,2}', 39, noise(17 * 4, 6))::tensor,
    ROW('int.weight', '{3,3}', 26, noise(36, 7))::tensor,
    ROW('nv.weight', '{128,3}', 40, noise(36 * 6, 9))::tensor,
    ROW('one.weight', '{256,2}', 41, noise(18 * 4, 10))::tensor,
    ROW('two.weight', '{64,5}', 42, noise(18 * 5, 11))::tensor,
    ROW('double.weight', '{2,2}', 28, noise(32, 8))::tensor]);
SELECT import_gguf(quantized_gguf(), 'quantized') AS quantized \gset
SELECT results_eq(
  format(
    'SELECT layer_name, tensor_dtype, row_length, tensor_shape::text, count(*), min(weights_format(atom_data)), '
    'min(weights_count(atom_data)) FROM tensor_atoms a JOIN model_layers l USING (layer_id) WHERE l.model_id = %s '
    'GROUP BY l.layer_id ORDER BY l.layer_id',
    :quantized),
  $$VALUES ('q8.weight', 'Q8_0', 96::bigint, '{6,96}', 6::bigint, 'Q8_0', 96::bigint),
           ('q4k.weight', 'Q4_K', 512, '{3,512}', 3, 'Q4_K', 512), ('half.weight', 'F16', 5, '{3,4,5}', 12, 'F16', 5),
           ('bf.weight', 'BF16', 7, '{7}', 1, 'BF16', 7), ('iq.weight', 'IQ2_XXS', 512, '{2,512}', 2, 'IQ2_XXS', 512),
           ('mx.weight', 'MXFP4', 64, '{2,64}', 2, 'MXFP4', 64), ('int.weight', 'I32', 3, '{3,3}', 3, 'I32', 3),
           ('nv.weight', 'NVFP4', 128, '{3,128}', 3, 'NVFP4', 128),
           ('one.weight', 'Q1_0', 256, '{2,256}', 2, 'Q1_0', 256), ('two.weight', 'Q2_0', 64, '{5,64}', 5, 'Q2_0', 64),
           ('double.weight', 'F64', 2, '{2,2}', 2, 'F64', 2)$$, 'all formats are carried');
SELECT ok(export_gguf(:quantized) = quantized_gguf(), 'to the byte');
-- Types that came later: as many bytes as there are up to the next tensor
CREATE FUNCTION lib.newer_gguf() RETURNS bytea LANGUAGE sql STABLE
  RETURN gguf(ARRAY[ROW('token_embd.weight', '{8,4}', 43, noise(64, 1))::tensor,
    ROW('output_norm.weight', '{8}', 0, weights(wave(8, 2))::bytea)::tensor,
    ROW('new.weight', '{32,3}', 200, noise(96, 3))::tensor]);
SELECT import_gguf(newer_gguf(), 'newer') AS newer \gset
SELECT results_eq(format('SELECT layer_name, tensor_dtype, tensor_shape::text, parameter_count FROM model_layers '
  'WHERE model_id = %s ORDER BY position', :newer),
  $$VALUES ('token_embd.weight', 'GGML_43', '{4,8}', 64::bigint), ('output_norm.weight', 'F32', '{8}', 8),
    ('new.weight', 'GGML_200', '{3,32}', 96)$$, 'types that came later');
SELECT ok(export_gguf(:newer) = newer_gguf(), 'are exported to the byte');
SELECT results_eq(format('SELECT layer_name, reason FROM quantize_plan(%s, %L) WHERE layer_name <> %L', :newer, 'Q4_K',
  'output_norm.weight'), $$VALUES ('token_embd.weight', 'carried format'), ('new.weight', 'carried format')$$,
  'a plan leaves them alone');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :newer), 'nothing is wrong with them');
SELECT throws_ok(format('SELECT export_safetensors(%s)', :newer), '0A000', NULL, 'safetensors has no such types');
SELECT throws_ok($$SELECT import_gguf(gguf(ARRAY[ROW('new.weight', '{32}', 256, noise(32, 1))::tensor]), 'damaged')$$,
  '22P03', 'GGUF: tensor "new.weight" is in format 256, which is unknown', 'a number that is none');
SELECT import_gguf(gguf((SELECT array_agg(t) FROM unnest(ARRAY[ROW('q8.weight', '{96,6}', 8, quantize(wave(576, 1),
  'Q8_0')::bytea)::tensor,
                     ROW('q4k.weight', '{512,3}', 12, quantize(wave(1536, 2), 'Q4_K')::bytea)::tensor]) t)), 'q8only')
                       AS readable \gset
SELECT is_empty(format('SELECT * FROM wrong_importance(%s)', :readable),
  'quantized weights are weighed as what they stand for');
SELECT results_eq(format($$SELECT DISTINCT x, y, importance_score FROM tensor_atoms WHERE model_id = %s AND tensor_name
  IN ('int.weight', 'double.weight', 'bf.weight')$$,
  :quantized),
  'VALUES (50::real, 50::real, 10::real)', 'what cannot be read lies in the middle and is not pruned unasked');
SELECT import_gguf(quantized_gguf(), 'blocks', atom_size => 40) AS blocks \gset
SELECT results_eq(
  format(
    'SELECT layer_name, atom_size, count(*) FROM tensor_atoms a JOIN model_layers l USING (layer_id) '
    'WHERE l.model_id = %s GROUP BY l.layer_id ORDER BY l.layer_id LIMIT 3',
    :blocks),
  $$VALUES ('q8.weight', 64, 12::bigint), ('q4k.weight', 256, 6), ('half.weight', 20, 3)$$,
  'atoms are whole blocks, or whole rows');
SELECT ok(export_gguf(:blocks) = quantized_gguf(), 'which together are the file');

-- GGUF: tensors without a weight, and single numbers, which have no dimension
CREATE FUNCTION lib.odd_gguf() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW('no rows', '{4,0}', 0, ''), ROW('nothing', '{0}', 8, ''), ROW('one number', '{}', 0, f32(2.5)),
    ROW('rows of nothing', '{0,3}', 0, ''), ROW('some', '{4,2}', 0, waves(2, 4, 1))]::tensor[]);
SELECT import_gguf(odd_gguf(), 'hollow') AS odd \gset
SELECT results_eq(
  format(
    'SELECT l.layer_name, l.tensor_shape, l.parameter_count, l.row_length, count(a) FROM model_layers l LEFT '
    'JOIN tensor_atoms a USING (model_id, layer_id) WHERE l.model_id = %s GROUP BY l.layer_id ORDER BY position', :odd),
  $$VALUES ('no rows', '{0,4}'::bigint[], 0::bigint, 4::bigint, 0::bigint), ('nothing', '{0}', 0, 0, 0),
    ('one number', '{}', 1, 1, 1), ('rows of nothing', '{3,0}', 0, 0, 0), ('some', '{2,4}', 8, 4, 2)$$,
  'empty tensors and single numbers of a GGUF file');
SELECT ok(export_gguf(:odd) = odd_gguf(), 'go out as they came in');
SELECT is_empty(format('SELECT fault, object FROM check_model(%s)', :odd), 'nothing is wrong with them');

-- Names that no index entry could hold; random ones, which nothing makes shorter
CREATE FUNCTION lib.long_name(bytes integer) RETURNS text LANGUAGE sql IMMUTABLE
  RETURN (SELECT left(string_agg(sha256(n::text::bytea)::text, ''), bytes) FROM generate_series(1, 100) n);
SELECT lives_ok('SELECT import_gguf(gguf(NULL), long_name(2048))', 'a name of 2048 bytes');
SELECT throws_ok('SELECT import_gguf(gguf(NULL), long_name(2049))', '22023',
  'the name of a model must have at most 2048 bytes, not 2049');
SELECT throws_ok('SELECT rename_model(long_name(2048), long_name(2049))', '22023',
  'the name of a model must have at most 2048 bytes, not 2049', 'no other way to such a name');
SELECT throws_ok('SELECT check_name(NULL)', '22023', 'a model needs a name');
SELECT lives_ok(
  'SELECT import_safetensors(safetensors(ARRAY[ROW(long_name(2048), ''F32'', ''{1}'', f32(1))::st_tensor]), ''long'')',
  'a tensor''s name of 2048 bytes');
SELECT throws_matching(
  'SELECT import_safetensors(safetensors(ARRAY[ROW(long_name(2049), ''F32'', ''{1}'', f32(1))::st_tensor]), '
  '''longer'')',
  '^safetensors: tensor name .* is too long', 'and one of 2049');

-- One piece of a model is not the model
SELECT throws_ok(format('SELECT import_gguf(gguf(NULL, ARRAY[%s]), ''piece'')', keys), '0A000', message, keys)
  FROM (VALUES
  ($$kv('split.no', 2, le(0, 2)), kv('split.count', 2, le(3, 2))$$,
    'the file is part 1 of 3 of a split model, not the whole model'),
    ($$kv('split.no', 5, le(1, 4)), kv('split.count', 10, le(2, 8))$$,
      'the file is part 2 of 2 of a split model, not the whole model'),
    ($$kv('split.count', 0, '\x02')$$, 'the file is part unknown of 2 of a split model, not the whole model'),
    ($$kv('split.no', 1, '\x01')$$, 'the file is part 2 of several of a split model, not the whole model')
  ) v (keys, message);
SELECT lives_ok(
  $$SELECT import_gguf(gguf(NULL, ARRAY[kv('split.no', 2, le(0, 2)), kv('split.count', 2, le(0, 2))]), 'merged')$$,
  'pieces that were merged are a whole: llama-gguf-split leaves split.count 0');
SELECT lives_ok(
  $$SELECT import_gguf(gguf(NULL, ARRAY[kv_text('split.count', 'x'), kv('split.no', 2, le(0, 2))]), 'named')$$,
  'a text of that name says nothing');
SELECT is(gguf_value(file_metadata(gguf(NULL, ARRAY[kv('split.count', 2, le(3, 2))]), 'gguf'), 'split.count'), '3',
  'a piece can be looked at');
SELECT lives_ok('SELECT refuse_piece(NULL, NULL)', 'refuse_piece() of nothing');
\if :has_directory
CREATE FUNCTION lib.shard(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM lo_from_bytea(4712, safetensors(ARRAY[ROW('a', 'F32', '{1}', f32(1))::st_tensor]));
  PERFORM lo_export(4712, server_path(name)), lo_unlink(4712);
  RETURN server_path(name);
END
$$;
SELECT throws_ok(format('SELECT import_safetensors(%L::text, ''piece'')', shard('model-00002-of-00003.safetensors')),
  '0A000',
  'the file is part 2 of 3 of a checkpoint, not the whole model', 'a piece of a checkpoint, by its name');
SELECT lives_ok(format('SELECT import_safetensors(%L::text, ''only'')', shard('model-00001-of-00001.safetensors')),
  'the only piece is the whole');
SELECT lives_ok(format('SELECT import_safetensors(%L::text, ''lone'')', shard('model-00002.safetensors')),
  'another name');
\endif

-- safetensors: PyTorch's shapes, any dtype, scalars, nothing at all
CREATE FUNCTION lib.all_dtypes() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN safetensors(ARRAY[
    ROW('matrix', 'F32', '{6,40}', waves(6, 40, 1))::st_tensor, ROW('half', 'F16', '{3,50}', noise(300, 2))::st_tensor,
    ROW('brain', 'BF16', '{2,33}', noise(132, 3))::st_tensor, ROW('conv', 'F32', '{8,2,3,3}', waves(8, 18,
      4))::st_tensor,
    ROW('scalar', 'F32', '{}', f32(2.5))::st_tensor, ROW('vector', 'F32', '{5}', f32(1, 2, 3, 4, 5))::st_tensor,
    ROW('nothing', 'F32', '{0,4}', '')::st_tensor, ROW('none', 'I64', '{3,0}', '')::st_tensor,
    ROW('i64', 'I64', '{2,2}', noise(32, 5))::st_tensor, ROW('u8', 'U8', '{3,3}', noise(9, 6))::st_tensor,
    ROW('bool', 'BOOL', '{4}', '\x00010001')::st_tensor, ROW('f8', 'F8_E4M3', '{2,40}', noise(80, 7))::st_tensor,
    ROW('u16', 'U16', '{2,2}', noise(8, 8))::st_tensor, ROW('f64', 'F64', '{2}', noise(16, 9))::st_tensor,
    ROW('f4', 'F4', '{2,3}', noise(3, 10))::st_tensor], '{"format":"pt","note":"kept"}');
SELECT import_safetensors(all_dtypes(), 'torch') AS torch \gset
SELECT results_eq(
  format(
    'SELECT layer_name, tensor_dtype, tensor_shape::text, parameter_count, row_length, count(a.layer_id), '
    'min(weights_format(atom_data)) FROM model_layers l LEFT JOIN tensor_atoms a USING (layer_id) '
    'WHERE l.model_id = %s GROUP BY l.layer_id ORDER BY l.position',
    :torch),
  $$VALUES ('matrix', 'F32', '{6,40}', 240::bigint, 40::bigint, 6::bigint, 'F32'),
    ('half', 'F16', '{3,50}', 150, 50, 3, 'F16'), ('brain', 'BF16', '{2,33}', 66, 33, 2, 'BF16'),
    ('conv', 'F32', '{8,2,3,3}', 144, 18, 8, 'F32'), ('scalar', 'F32', '{}', 1, 1, 1, 'F32'),
    ('vector', 'F32', '{5}', 5, 5, 1, 'F32'), ('nothing', 'F32', '{0,4}', 0, 4, 0, NULL),
    ('none', 'I64', '{3,0}', 0, 0, 0, NULL), ('i64', 'I64', '{2,2}', 4, 2, 2, 'I64'),
    ('u8', 'U8', '{3,3}', 9, 3, 3, 'I8'), ('bool', 'BOOL', '{4}', 4, 4, 1, 'I8'),
    ('f8', 'F8_E4M3', '{2,40}', 80, 40, 2, 'I8'), ('u16', 'U16', '{2,2}', 4, 2, 2, 'I16'),
    ('f64', 'F64', '{2}', 2, 2, 1, 'F64'), ('f4', 'F4', '{2,3}', 3, 3, 1, 'I8')$$,
  'safetensors');
SELECT ok(export_safetensors(:torch) = all_dtypes(), 'to the byte');
SELECT is_empty(
  format(
    'SELECT * FROM tensor_atoms WHERE model_id = %s AND NOT (x BETWEEN 0 AND 100 AND y BETWEEN 0 AND 100 '
    'AND importance_score BETWEEN -10 AND 10)',
    :torch), 'within bounds');
SELECT results_eq(format('SELECT model_type, architecture FROM models WHERE model_id = %s', :torch), $$VALUES
  ('network', NULL::text)$$, 'no transformer, as far as one can see');

-- No tensor at all
SELECT lives_ok($$SELECT import_gguf(gguf(NULL), 'empty')$$, 'a file without tensors');
SELECT ok(export_gguf(model_id('empty')) = gguf(NULL), 'comes back');
SELECT lives_ok($$SELECT import_safetensors(safetensors_raw('{}', ''), 'empty too')$$, 'in safetensors, too');
SELECT ok(export_safetensors(model_id('empty too')) = safetensors_raw('{}', ''), 'and comes back');

-- Looking into a file without importing it
SELECT is(file_sha256(little_gguf()), sha256(little_gguf()), 'file_sha256()');
SELECT results_eq($$SELECT position, tensor_name, tensor_dtype, storage_format, tensor_shape, row_length,
  parameter_count, bytes FROM file_tensors(all_dtypes(), 'safetensors') LIMIT 1 OFFSET 11$$,
  $$VALUES (11, 'f8', 'F8_E4M3', 'I8', '{2,40}'::bigint[], 40::bigint, 80::bigint, 80::bigint)$$, 'file_tensors()');
SELECT is(file_metadata(little_gguf(), 'gguf'), metadata, 'file_metadata()') FROM models WHERE model_id = 1;
SELECT is(file_metadata(NULL::bytea, 'gguf'), NULL, 'file_metadata(NULL)');
SELECT is_empty($$SELECT * FROM file_tensors(NULL::bytea, 'gguf')$$, 'file_tensors(NULL)');
SELECT is(file_sha256(NULL::bytea), NULL, 'file_sha256(NULL)');
SELECT throws_ok($$SELECT file_metadata('x'::bytea, 'zip')$$, '22023', 'unknown container "zip"',
  'an unknown container');

-- Large objects
SELECT lo_from_bytea(0, little_gguf()) AS lo \gset
SELECT is(file_sha256(:lo::oid), sha256(little_gguf()), 'file_sha256() of a large object');
SELECT import_gguf(:lo::oid, 'large') AS large \gset
SELECT ok(export_gguf(:large) = little_gguf(), 'import from a large object');
SELECT throws_ok($$SELECT import_gguf(4000000000::oid, 'x')$$, '42704', NULL, 'a large object that is not there');

-- Paths
\if :has_directory
SELECT is(lo_export(:lo::oid, server_path('import.gguf')), 1, 'a file of the server');
SELECT import_gguf(server_path('import.gguf'), 'from a file') AS from_file \gset
SELECT ok(export_gguf(:from_file) = little_gguf(), 'import from a path');
SELECT ok(file_sha256(server_path('import.gguf')) = sha256(little_gguf()), 'file_sha256() of a path');
SELECT throws_ok(format('SELECT import_gguf(%L, ''x'')', server_path('nothing.gguf')), '58P01', NULL,
  'a path to nothing');
SELECT throws_ok(format('SELECT import_gguf(%L, ''x'')', current_setting('hartonomous_test.dir')), '42809', NULL,
  'a directory');
SELECT throws_ok('SELECT import_gguf(''/dev/zero'', ''x'')', '42809', NULL, 'a device');
\else
SELECT skip('no directory of the server', 6);
\endif
\if :has_example_model
SELECT import_gguf(example_model(), 'example') AS example \gset
SELECT is(source_sha256, sha256(pg_read_binary_file(example_model())), 'the example model''s sha256')
  FROM models WHERE model_id = :example;
SELECT ok(sha256(export_gguf(:example)) = source_sha256, 'it comes back to the byte') FROM models
  WHERE model_id = :example;
SELECT is_empty(format('SELECT * FROM wrong_importance(%s)', :example), 'its atoms are scored right');
SELECT is((SELECT sum(parameter_count) FROM model_layers WHERE model_id = :example)::bigint,
          (SELECT sum(weights_count(atom_data)) FROM tensor_atoms WHERE model_id = :example)::bigint,
          'every weight is in an atom');
\else
SELECT skip('no example model', 4);
\endif
CREATE ROLE import_nobody;
SELECT is((state_as('import_nobody', statement)).state, '42501',
  'not without pg_read_server_files: ' || regexp_replace(statement, '\s+', ' ', 'g'))
  FROM unnest(ARRAY[$$SELECT import_gguf('/etc/hostname', 'x')$$, $$SELECT import_safetensors('/etc/hostname', 'x')$$,
    $$SELECT file_sha256('/etc/hostname'::text)$$,
    $$SELECT file_metadata('/etc/hostname'::text, 'gguf')$$, $$SELECT * FROM file_tensors('/etc/hostname'::text,
      'gguf')$$,
    $$SELECT * FROM import_file('/etc/hostname'::text, 'gguf', 'null', 'null', 'null', '', 'x', 1)$$, $$SELECT
      import_model('/etc/hostname'::text, 'gguf', 'x', 1)$$]) statement;

-- The file is opened once, and not left open, however the import ends.
SET LOCAL track_functions = 'all';
SELECT import_gguf(:lo::oid, 'opened once') AS once \gset
SELECT results_eq($$SELECT funcname::text COLLATE "default", calls FROM pg_stat_xact_user_functions
    WHERE funcname ~ '^(file_|import_file|begin_import|describe_import)' ORDER BY 1$$,
  $$VALUES ('begin_import', 1::bigint), ('describe_import', 1), ('import_file', 1)$$, 'a file is opened once');
SET LOCAL track_functions = 'none';
SELECT throws_ok('SELECT lo_close(0)', '42704', 'invalid large-object descriptor: 0', 'and closed at the end');
CREATE FUNCTION lib.refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'HV000'; END $$;
CREATE TRIGGER refuse_row BEFORE INSERT ON model_layers FOR EACH ROW EXECUTE FUNCTION lib.refuse_row();
SELECT throws_ok(format('SELECT import_gguf(%s::oid, ''x'')', :lo), 'HV000', 'refused', 'an import that fails midway');
DROP TRIGGER refuse_row ON model_layers;
SELECT throws_ok('SELECT lo_close(0)', '42704', 'invalid large-object descriptor: 0', 'leaves no file open');
SELECT is((SELECT count(*) FROM models WHERE model_name = 'x'), 0::bigint, 'and no model');
SELECT is_empty($$SELECT * FROM import_file(NULL::bytea, 'gguf', 'null', 'null', 'null', '', 'x', 1)$$,
  'import_file(NULL)');
SELECT throws_ok($$SELECT * FROM import_file(little_gguf(), 'gguf', 'null', 'null', 'null', '', 'little', 1)$$, '42710',
  NULL,
  'import_file() of a name that is taken');
SELECT results_eq($$SELECT revision > 0, partition = partition_of(model, revision)
    FROM begin_import('no tensors', 1, '{}', '', '{}', '{}', '{}', '{}', '{}', '{}')$$,
  'VALUES (true, true)', 'begin_import() of no tensors');
SELECT throws_ok($$SELECT begin_import('little', 1, '{}', '', '{}', '{}', '{}', '{}', '{}', '{}')$$, '42710', NULL,
  'begin_import() of a name that is taken');

-- Arguments
SELECT throws_ok(format('SELECT import_gguf(little_gguf(), %s)', arguments), state, NULL, arguments) FROM (VALUES
  ('''little''', '42710'), ('NULL', '22023'), ('''''', '22023'), ('''x'', -1', '22023'),
    ('''x'', -2147483648', '22023'), ('''x'', 1048577', '22023')) v (arguments, state);
SELECT throws_ok($$SELECT import_gguf(NULL::bytea, 'x')$$, '22004', 'the source of a model cannot be NULL',
  'NULL bytea');
SELECT throws_ok($$SELECT import_gguf(NULL::text, 'x')$$, '22004', NULL, 'NULL path');
SELECT throws_ok($$SELECT import_safetensors(NULL::oid, 'x')$$, '22004', NULL, 'NULL large object');
SELECT throws_ok($$SELECT import_model(little_gguf(), NULL, 'x', 1)$$, '22004', NULL, 'NULL container');
SELECT lives_ok($$SELECT import_gguf(little_gguf(), E'a name; DROP TABLE "x"\n''%s''')$$, 'any name will do');
SELECT is_empty($$SELECT without_comment('file_metadata', 'file_tensors', 'file_sha256', 'import_file', 'gguf_value',
  'effective_atom_size', 'check_import', 'import_model', 'begin_import', 'describe_import',
  'import_gguf', 'import_safetensors')$$,
    'every function has a comment');

SELECT * FROM finish();
ROLLBACK;
