-- Troubleshooting: each fault is planted, and found; a sound model has none.
BEGIN;
\ir lib/model_files.sql
SELECT plan(144);
CREATE FUNCTION lib.blocks_gguf(numbers integer[], stated integer) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf((SELECT array_agg(ROW(format('blk.%s.ffn_up.weight', n), '{32,6}', 0, waves(6, 32, n))::tensor ORDER BY n)
    FROM unnest(numbers) n), ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', stated)]);
SELECT import_gguf(little_gguf(), 'little') AS m \gset
SELECT import_gguf(gguf(NULL), 'empty') AS e \gset
SELECT import_gguf(little_gguf(), 'cut', 24) AS c \gset

-- Nothing wrong
SELECT is_empty(format('SELECT * FROM check_model(%s)', m), 'a sound model, cut or whole, full or empty')
  FROM unnest(ARRAY[:m, :c,
    :e]) m;
SELECT is_empty('SELECT * FROM check_model(''little'')', 'by its name');
SELECT backup_model(:m, 'before') \g /dev/null
CALL prune_by_importance(:m, keep_ratio => 0.9, method => 'in_place');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'with a copy and a delta');
CALL prune_by_importance(:m, keep_ratio => 0.5, method => 'rewrite');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'and with a backup');
SELECT rollback_model(:m, (SELECT min(revision_id) FROM model_revisions WHERE model_id = :m)) \g /dev/null
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'and rolled back');
SELECT start_run(:m, 'quantize', 'rewrite', '{}') AS run \gset
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'and with a stopped run');
SELECT abandon_run(:run) \g /dev/null

-- What a fault is called, and its undoing
CREATE FUNCTION lib.found(model integer, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  BEGIN
    EXECUTE statement;
    SELECT string_agg(concat_ws(': ', fault, object, atoms, detail), '; ' ORDER BY fault, object) INTO said
      FROM check_model(model);
    RAISE EXCEPTION 'undone' USING ERRCODE = 'HT000';
  EXCEPTION WHEN SQLSTATE 'HT000' THEN
  END;
  RETURN said;
END $$;
SELECT is(
  found(:m,
    'UPDATE tensor_atoms SET ' || change || ' WHERE model_id = ' || :m
    || ' AND atom_sequence = 3 AND tensor_name = ''token_embd.weight'''),
  expected, change) FROM (VALUES
  ('atom_sequence = 20', 'outside its matrix: token_embd.weight: 1: atom 20 first'),
    ('atom_sequence = 2000000', 'outside its matrix: token_embd.weight: 1: atom 2000000 first'),
    ('tensor_name = ''other''', 'wrong tensor_name: token_embd.weight: 1: atom 3 first'),
    ('layer_id = 99', 'no such tensor: token_embd.weight: 1: atom 3 first'),
    ('atom_data = array_fill(1::real, ARRAY[63])',
      'stale importance: token_embd.weight: 1: atom 3 first; wrong length: token_embd.weight: 1: atom 3 first'),
    ('atom_data = array_fill(1::real, ARRAY[0])',
      'stale importance: token_embd.weight: 1: atom 3 first; wrong length: token_embd.weight: 1: atom 3 first'),
    ('atom_data = array_fill(''NaN''::real, ARRAY[64])', 'not finite: token_embd.weight: 1: atom 3 first'),
    ('atom_data = array_append(array_fill(1::real, ARRAY[63]), ''-Infinity'')',
      'not finite: token_embd.weight: 1: atom 3 first'),
    ('atom_data = array_fill(3e38::real, ARRAY[64])', 'stale importance: token_embd.weight: 1: atom 3 first'),
    ('atom_data = array_fill(0::real, ARRAY[64])', 'stale importance: token_embd.weight: 1: atom 3 first'),
    ('atom_data = (atom_data::real[])[33:] || (atom_data::real[])[:32]', NULL),
    ('x = 100.5', 'position outside: token_embd.weight: 1: atom 3 first'),
    ('y = -0.001', 'position outside: token_embd.weight: 1: atom 3 first'),
    ('importance_score = 10.01', 'position outside: token_embd.weight: 1: atom 3 first'),
    ('importance_score = ''NaN''', 'position not a number: token_embd.weight: 1: atom 3 first'),
    ('x = ''NaN''', 'position not a number: token_embd.weight: 1: atom 3 first'),
    ('x = ''Infinity''', 'position outside: token_embd.weight: 1: atom 3 first'),
    ('y = NULL', 'position missing: token_embd.weight: 1: atom 3 first'),
    ('x = 0, y = 100, importance_score = -10', 'stale importance: token_embd.weight: 1: atom 3 first'),
    ('x = 0, y = 100, importance_score = 10', NULL)) v (change, expected);
SELECT is(
  found(:c,
    format(
      'UPDATE tensor_atoms SET atom_data = array_fill(1::real, ARRAY[24]) WHERE model_id = %s '
      'AND tensor_name = ''output.weight'' OR model_id = %1$s AND tensor_name = ''token_embd.weight'' '
      'AND atom_sequence = 5',
  :c)), 'stale importance: token_embd.weight: 1: atom 5 first; wrong length: output.weight: 20: atom 0 first; wrong '
    'length: token_embd.weight: 1: atom 5 first',
  'the last piece of a cut row is shorter');
SELECT is(found(:m, format('DELETE FROM tensor_atoms WHERE model_id = %s', :m)), NULL, 'missing atoms are no fault');

-- Rows so small that their scales are zero in F16 are zeros once they are quantized: nobody changed them
SELECT import_gguf(gguf(ARRAY[ROW('faint.weight', '{256,40}', 0, waves(40, 256, 1))::tensor]), 'faint') AS faint \gset
UPDATE tensor_atoms SET atom_data
  = quantize(
    (SELECT array_agg((w * 1e-5)::real ORDER BY n) FROM unnest(dequantize(atom_data)) WITH ORDINALITY u (w, n)), 'F32')
 WHERE model_id = :faint AND atom_sequence % 20 = 0;
SELECT recompute_positions(:faint) \g /dev/null
SELECT is(
  found(:faint,
    format('UPDATE tensor_atoms SET atom_data = quantize(atom_data, %L) WHERE model_id = %s', format, :faint)), NULL,
  'faint rows in ' || format)
  FROM formats() WHERE writable AND block_weights > 1 AND format <> ALL ('{IQ1_S,IQ2_XXS,IQ2_XS}');

-- A hash cannot lie unless the catalog does
SELECT is(
  found(:m,
    format(
      $$UPDATE pg_attribute SET attgenerated = '' WHERE attrelid = live_partition(%1$s) AND attname = 'content_hash';
  UPDATE %2$s SET content_hash = '\x00' WHERE tensor_name = 'output.weight' AND atom_sequence > 37$$, :m,
      live_partition(:m))),
  'wrong hash: output.weight: 2: atom 38 first', 'a wrong hash');

-- Tensors and blocks
SELECT is(found(:m, format(statement, :m)), expected, statement) FROM (VALUES
  ('UPDATE model_layers SET tensor_shape = ''{21,64}'' WHERE model_id = %s AND layer_name = ''token_embd.weight''',
    'wrong shape: token_embd.weight: shape {21,64}, 1280 weights in rows of 64'),
  ('UPDATE model_layers SET tensor_shape = ''{0,64}'' WHERE model_id = %s AND layer_name = ''token_embd.weight''',
    'wrong shape: token_embd.weight: shape {0,64}, 1280 weights in rows of 64'),
  ('UPDATE model_layers SET tensor_shape = ''{NULL,NULL}'' WHERE model_id = %s AND layer_name = ''token_embd.weight''',
    'wrong shape: token_embd.weight: shape {NULL,NULL}, 1280 weights in rows of 64'),
  ('UPDATE model_layers SET tensor_shape = ''{-20,-64}'' WHERE model_id = %s AND layer_name = ''token_embd.weight''',
    'wrong shape: token_embd.weight: shape {-20,-64}, 1280 weights in rows of 64'),
  ('UPDATE model_layers SET layer_idx = 0 WHERE model_id = %s AND layer_name = ''token_embd.weight''',
    'wrong layer_idx: token_embd.weight: 0'),
  ('UPDATE models SET metadata = replace(metadata::text, ''"llama.block_count", "type": "u32", "value": 1'', '
    '''"llama.block_count", "type": "u32", "value": 7'')::jsonb WHERE model_id = %s '
    'AND metadata::text LIKE ''%%block_count", "type": "u32", "value": 1%%''',
    'wrong block count: metadata: says 7, the tensors have 1')) v (statement, expected);
SELECT import_gguf(blocks_gguf('{0,1,3}', 4), 'gap') AS gap \gset
SELECT import_gguf(blocks_gguf('{0,1,2}', 4), 'short') AS short \gset
SELECT results_eq(format('SELECT fault, object, detail FROM check_model(%s)', :gap),
  $$VALUES ('no such block', 'block 2 of 4', NULL::text)$$, 'a block that is not there');
SELECT results_eq(format('SELECT fault, object, detail FROM check_model(%s)', :short),
  $$VALUES ('wrong block count', 'metadata', 'says 4, the tensors have 3')$$, 'a block count that is not true');

-- Partitions
SELECT is(found(:m, replace(replace(statement, '$p', live_partition(:m)::text), '$m', :'m')),
  replace(replace(expected, '$p',
    replace(live_partition(:m)::text, 'hartonomous.', '')), '$m', :'m'), statement) FROM (VALUES
  ('UPDATE pg_constraint SET convalidated = false WHERE conrelid = ''$p''::regclass AND contype = ''c'' '
    'AND conname LIKE ''%bound''', 'no bound: $p: has no valid CHECK (((model_id = $m) AND (revision_id = 1)))'),
  ('ALTER TABLE $p DROP CONSTRAINT tensor_atoms_m$m_r1_bound',
    'no bound: $p: has no valid CHECK (((model_id = $m) AND (revision_id = 1)))'),
  ('ALTER TABLE tensor_atoms DETACH PARTITION $p; CREATE TABLE hartonomous_partitions.tensor_atoms_m$m_r777 (LIKE $p)',
    'no bound: tensor_atoms_m$m_r777: has no valid CHECK (((model_id = $m) '
    'AND (revision_id = 777))); orphaned partition: tensor_atoms_m$m_r777: it has no parent; wrong parent: $p: it has '
    'no parent'),
  ('DROP TABLE $p', 'missing partition: $p: revision 1 is live; missing partition: $p: revision 5 is backup'),
  ('UPDATE model_revisions SET state = ''backup'' WHERE revision_id = 1',
    'wrong live revision: revision 1; wrong parent: $p: its parent is hartonomous.tensor_atoms'),
  ('UPDATE models SET current_revision = 4 WHERE model_id = $m',
    'wrong live revision: revision 4; wrong parent: $p: its parent is hartonomous.tensor_atoms'),
  ('ALTER TABLE tensor_atoms DROP CONSTRAINT tensor_atoms_pkey', 'no primary key: $p')) v (statement, expected);

-- Coordinates: named and clamped
UPDATE tensor_atoms SET x = CASE atom_sequence WHEN 1 THEN -5 WHEN 2 THEN 101 WHEN 3 THEN 'NaN'::real WHEN 4 THEN NULL
  ELSE x END,
  y = CASE atom_sequence WHEN 5 THEN 1e30 WHEN 6 THEN '-Infinity'::real ELSE y END,
  importance_score = CASE atom_sequence WHEN 7 THEN 11 WHEN 8 THEN -11 WHEN 9 THEN 'NaN'::real ELSE importance_score END
  WHERE model_id = :m AND tensor_name = 'token_embd.weight';
SELECT results_eq(
  format(
    'SELECT atom_sequence, fault, tensor_atom_id = (layer_id << 32 | atom_sequence), layer_name '
    'FROM validate_coordinates(%s) v JOIN model_layers USING (layer_name) WHERE model_id = %1$s ORDER BY 1',
    :m), $$SELECT a, f, true, 'token_embd.weight'
    FROM (VALUES (1, 'outside'), (2, 'outside'), (3, 'not a number'), (4, 'missing'), (5, 'outside'),
  (6, 'outside'), (7, 'outside'), (8, 'outside'), (9, 'not a number')) v (a, f)$$, 'validate_coordinates()');
SELECT is(clamp_coordinates('little'), 9::bigint, 'clamp_coordinates() says how many');
SELECT results_eq(
  format(
    'SELECT atom_sequence, CASE atom_sequence WHEN 5 THEN y WHEN 6 THEN y WHEN 7 THEN importance_score WHEN 8 THEN '
    'importance_score WHEN 9 THEN importance_score ELSE x END FROM tensor_atoms WHERE model_id = %s '
    'AND tensor_name = ''token_embd.weight'' AND atom_sequence BETWEEN 1 AND 9 ORDER BY 1',
    :m), 'VALUES (1, 0::real), (2, 100), (3, 50), (4, 50), (5, 100), (6, 0), (7, 10), (8, -10), (9, 10)',
  'each to its place');
SELECT results_eq(format('SELECT fault, detail FROM check_model(%s)', :m),
  $$VALUES ('stale importance', 'atom 8 first')$$,
  'and all is well, but for importance that is not that of the weights');
SELECT is(clamp_coordinates(:m), 0::bigint, 'nothing left to clamp');
SELECT ok(export_gguf(:m) = little_gguf(), 'no weight was touched');
SELECT recompute_positions(:m) \g /dev/null
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'until it is recomputed');
SELECT ok(export_gguf(:m) = little_gguf(), 'which touches no weight either');

-- Positions computed anew are those of an import
CREATE FUNCTION lib.positions(model integer)
  RETURNS TABLE (layer_name text, atom_sequence integer, x real, y real, importance_score real)
  LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN QUERY SELECT a.tensor_name, a.atom_sequence, a.x, a.y, a.importance_score
    FROM tensor_atoms a
    WHERE a.model_id = model ORDER BY a.layer_id, a.atom_sequence; END $$;
CREATE FUNCTION lib.envelopes(model integer) RETURNS TABLE (layer_name text, envelope text)
  LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN QUERY SELECT l.layer_name, st_astext(l.weights_geometry)
    FROM model_layers l
    WHERE l.model_id = model ORDER BY l.position; END $$;
CREATE TABLE lib.kinds AS SELECT import_gguf(gguf(ARRAY[ROW('a.weight', '{96,70}', 0, waves(70, 96, 1))::tensor,
  ROW('h.weight', '{40,30}', 1,
    (SELECT string_agg(lib.le(15360 + i % 700 + 32768 * (i % 3 % 2), 2), '' ORDER BY i)
      FROM generate_series(1, 1200) i))::tensor,
  ROW('i.weight', '{8,3}', 24, zeros(24))::tensor, ROW('v.weight', '{6}', 0, f32(1, 2, 3, 4, 5, 6))::tensor]),
  'kinds of ' || size, size) AS model
  FROM unnest('{96,40}'::int[]) size;
SELECT is(recompute_positions(model), 0::bigint, 'of a model as it was imported none changes') FROM lib.kinds;
SELECT is(recompute_positions(:c), 0::bigint, 'nor of this one');
SELECT is(recompute_positions('empty'), 0::bigint, 'a model without atoms has none');
UPDATE tensor_atoms SET atom_data = array_fill(0::real, ARRAY[weights_count(atom_data)::int])
  WHERE model_id IN (SELECT model FROM lib.kinds)
  AND tensor_name = 'a.weight' AND atom_sequence % 7 = 3;
UPDATE tensor_atoms SET atom_data = (SELECT array_agg((2 * w)::real) FROM unnest(atom_data::real[]) w)
  WHERE model_id IN (SELECT model FROM lib.kinds)
  AND tensor_name = 'a.weight' AND atom_sequence % 7 = 4;
SELECT is(fault, 'stale importance', 'weights were changed') FROM lib.kinds, check_model(model);
SELECT ok(recompute_positions(model) > 60, 'and positions follow') FROM lib.kinds;
SELECT is_empty('SELECT c.* FROM lib.kinds, check_model(model) c', 'all is well');
SELECT import_gguf(export_gguf(model), 'again ' || size, size)
  FROM (SELECT model, ('{96,40}'::int[])[row_number() OVER (ORDER BY model)] AS size FROM lib.kinds) k \g /dev/null
SELECT results_eq(format('SELECT * FROM positions(%s)', m.model_id), format('SELECT * FROM positions(%s)', a.model_id),
  'as of an import of what it is now: ' || a.model_name)
  FROM models m JOIN models a ON a.model_name = replace(m.model_name, 'kinds of', 'again')
  WHERE m.model_name LIKE 'kinds of %';
SELECT results_eq(format('SELECT * FROM envelopes(%s)', m.model_id), format('SELECT * FROM envelopes(%s)', a.model_id),
  'and its tensors lie where they would: ' || a.model_name)
  FROM models m JOIN models a ON a.model_name = replace(m.model_name, 'kinds of', 'again')
  WHERE m.model_name LIKE 'kinds of %';
-- Atoms that are missing span nothing
SELECT model_id AS again FROM models WHERE model_name = 'again 40' \gset
DELETE FROM tensor_atoms WHERE model_id = :again AND tensor_name = 'a.weight'
  AND (atom_sequence < 20 OR atom_sequence % 5 = 0);
SELECT ok(recompute_positions(:again) > 0, 'of what is left of a model');
SELECT is(
  row(min(x), max(x), min(y), max(y), round(avg(importance_score)::numeric, 4),
    round(stddev_pop(importance_score)::numeric, 4)),
  row(0::real, 100::real, 0::real, 100::real, 0.0000, 1.0000), 'it spans space') FROM tensor_atoms
  WHERE model_id = :again AND tensor_name = 'a.weight' AND importance_score > -10;
SELECT is(recompute_positions(:again), 0::bigint, 'once and for all');
-- Positions stay in their form
CALL quantize_model_geometry(:again, 'F16');
SELECT is(recompute_positions(:again), 0::bigint, 'quantized positions are those of the import, too');
UPDATE tensor_atoms SET atom_data = array_fill(3::real, ARRAY[40]) WHERE model_id = :again AND tensor_name = 'a.weight'
  AND atom_sequence = 21;
SELECT ok(recompute_positions(:again) > 0, 'and follow weights');
SELECT is(row(count(*), count(*) FILTER (WHERE x IS NULL AND y IS NULL AND octet_length(quantized_position) = 6
  AND (decode_point(quantized_position)).z = encode_decode), max(importance_score) > 2), row(count(*), count(*), true),
  'in their form')
  FROM (SELECT *, (decode_point(encode_point(50, 50, importance_score, 'F16'))).z AS encode_decode FROM tensor_atoms
    WHERE model_id = :again AND tensor_name = 'a.weight') a;

-- Importance that comes from elsewhere is nobody's fault, however it came; noise of quantizing is none
SELECT import_gguf(
  gguf(ARRAY[
    ROW('big.weight', '{256,400}', 0,
      (SELECT string_agg(lib.le(1065353216 + i::bigint * 7919 % 4000000 + i / 256 * 30000 % 8000000, 4), '' ORDER BY i)
  FROM generate_series(1, 102400) i))::tensor]), 'noise', atom_size => 0) AS n \gset
SELECT is(found(:n, format('UPDATE tensor_atoms SET importance_score = %s WHERE model_id = %s', importance, :n)), NULL,
  'importance = ' || importance)
  FROM unnest(
    ARRAY['atom_sequence % 17 / 2.0', '0', 'atom_sequence / 40.0 - 5', '-importance_score',
      'importance_score / 2 + 1']) importance;
CREATE FUNCTION lib.found_quantized(model integer, format text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  CALL quantize_model(model, format);
  said := found(model,
    format(
      'UPDATE tensor_atoms SET atom_data = quantize(array_fill(0::real, ARRAY[256]), weights_format(atom_data)) '
      'WHERE model_id = %s AND atom_sequence %% 6 = 1', model));
  said := concat_ws(', ', (SELECT string_agg(c::text, ' ') FROM check_model(model) c), said);
  PERFORM rollback_model(model);
  RETURN said;
END $$;
SELECT is(found_quantized(:n, format), 'stale importance: big.weight: 67: atom 1 first',
  format || ': only what was changed afterwards')
  FROM unnest('{F16,Q8_0,Q4_0,Q4_K,Q3_K,Q2_K}'::text[]) format;

-- Completeness
SELECT results_eq(
  format('SELECT layer_idx, layer_name, atoms_expected, atoms_present, atoms_missing, share, state '
    'FROM layer_completeness(%s)', :m),
  $$VALUES (-1, 'token_embd.weight', 20::bigint, 20::bigint, 0::bigint, 1::numeric, 'complete'),
    (-1, 'output.weight', 40, 40, 0, 1, 'complete'),
           (0, 'blk.0.attn_norm.weight', 1, 1, 0, 1, 'complete'), (0, 'blk.0.attn_q.weight', 10, 10, 0, 1, 'complete'),
           (0, 'blk.0.ffn_down.weight', 30, 30, 0, 1, 'complete')$$, 'layer_completeness() of a whole model');
DELETE FROM tensor_atoms WHERE model_id = :m
  AND (tensor_name = 'output.weight' OR tensor_name = 'token_embd.weight' AND atom_sequence < 5);
SELECT results_eq(
  format(
    'SELECT layer_name, atoms_present, atoms_missing, share, state FROM layer_completeness(''little'') '
    'WHERE state <> ''complete'''),
  $$VALUES ('token_embd.weight', 15::bigint, 5::bigint, 0.75, 'sparse'), ('output.weight', 0, 40, 0, 'empty')$$,
  'of a sparse one');
SELECT results_eq(format('SELECT layer_idx, state FROM layer_completeness(%s) WHERE layer_id IS NULL', :gap),
  $$VALUES (2, 'no such block')$$, 'a gap between blocks');
SELECT is(sum(atoms_expected), (SELECT count(*) FROM tensor_atoms WHERE model_id = :c)::numeric,
  'atoms that are pieces of rows')
  FROM layer_completeness(:c);
SELECT is(expected_atoms(0, 0, 1), 0::bigint, 'no weights, no atoms');
SELECT is(expected_atoms(100, 10, 4), 30::bigint, 'ten rows in three pieces');

-- Errors
SELECT throws_ok(format('SELECT * FROM %s(%s)', f, m), '42704', NULL, f || '(' || m || ')')
  FROM unnest(ARRAY['validate_coordinates',
    'clamp_coordinates', 'recompute_positions', 'layer_completeness', 'check_model']) f,
  unnest(ARRAY['999', 'NULL::int', '''nobody''']) m;
CREATE ROLE check_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO check_reader;
SELECT is((state_as('check_reader', format('SELECT * FROM %s(%s)', f, :m))).state, '00000', 'a reader may: ' || f)
  FROM unnest(ARRAY['validate_coordinates', 'layer_completeness', 'check_model']) f;
SELECT is((state_as('check_reader', format('SELECT clamp_coordinates(%s)', :m))).state, '42501', 'but change nothing');
SELECT is((state_as('check_reader', format('SELECT recompute_positions(%s)', :m))).state, '42501', 'nor this');
SELECT throws_ok(format('SELECT tensor_positions(%s)', arguments), state, NULL, arguments)
  FROM (VALUES (:'m' || ', ''nothing''', '42704'),
    ('999, ''token_embd.weight''', '42704'), ('NULL, ''token_embd.weight''', '42704'), (:'m' || ', NULL', '22004')
  ) v (arguments, state);
SELECT is(shape_weights(shape::bigint[]), weights, shape) FROM (VALUES ('{3,4}', 12::numeric), ('{}', 1), ('{0,5}', 0),
  ('{3,NULL}', NULL), ('{-3,-4}', NULL), ('{4294967296,4294967296}', NULL), (NULL, NULL)) v (shape, weights);
SELECT is_empty(
  $$SELECT without_comment('shape_weights', 'validate_coordinates', 'clamp_coordinates', 'layer_completeness',
    'expected_atoms',
    'check_atoms', 'check_importance', 'dense_tensors', 'recompute_positions', 'tensor_positions', 'check_layers',
    'check_partitions', 'partition_bound', 'check_model')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
