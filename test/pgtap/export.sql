-- Export: the same bytes for an unchanged model, and the right ones for a changed model; where it goes; errors.
BEGIN;
\ir lib/model_files.sql
SELECT plan(133);
SELECT import_gguf(little_gguf(), 'little') AS model \gset

CREATE FUNCTION lib.types(file bytea) RETURNS TABLE (name text, type text) LANGUAGE sql STABLE
AS $$ SELECT tensor_name, tensor_dtype FROM file_tensors(file, 'gguf') $$;
CREATE FUNCTION lib.key(file bytea, key text) RETURNS jsonb LANGUAGE sql STABLE
  RETURN gguf_value(file_metadata(file, 'gguf'), key);
CREATE FUNCTION lib.as_safetensors(seed double precision) RETURNS bytea LANGUAGE sql STABLE
  RETURN safetensors(ARRAY[ROW('a', 'F32', '{7,33}', waves(7, 33, seed))::st_tensor, ROW('b', 'BF16', '{2,2,20}',
    quantize(wave(80, seed), 'BF16')::bytea)::st_tensor,
    ROW('c', 'I64', '{3}', zeros(24))::st_tensor, ROW('d', 'F16', '{}', '\x003c')::st_tensor], '{"format":"pt"}');
SELECT import_safetensors(as_safetensors(1), 'torch') AS torch \gset

-- Unchanged
SELECT ok(export_gguf(:model) = little_gguf(), 'GGUF to bytea');
SELECT ok(export_gguf('little') = little_gguf(), 'by the model''s name, written as it comes');
SELECT export_gguf_large_object(:model) AS lo \gset
SELECT ok(lo_get(:lo) = little_gguf(), 'GGUF to a large object');
SELECT ok(export_safetensors(:torch) = as_safetensors(1), 'safetensors to bytea');
SELECT export_safetensors_large_object(:torch) AS lo \gset
SELECT ok(lo_get(:lo) = as_safetensors(1), 'safetensors to a large object');
SELECT ok(export_gguf(import_gguf(file, what)) = file, what) FROM (VALUES
  ('version 2', gguf(little_tensors(), ARRAY[kv_text('general.architecture', 'x')], version => 2)),
  ('no key at all', gguf(little_tensors(), NULL)), ('an alignment of 64', gguf(little_tensors(),
    ARRAY[kv_u32('general.alignment', 64)], alignment => 64)),
  ('an alignment of 8', gguf(little_tensors(), ARRAY[kv_u32('general.alignment', 8)], alignment => 8)),
  ('every type of key', gguf(little_tensors(), ARRAY[kv('u8', 0, '\xff'), kv('i8', 1, '\xff'), kv('u16', 2, '\xffff'),
    kv('i16', 3, '\xffff'), kv_u32('u32', 4294967295),
    kv('i32', 5, '\xffffffff'), kv('f32', 6, f32('-0')), kv('bool', 7, '\x01'), kv_text('text', E'\n"\\'), kv('u64',
      10, le(-1, 8)), kv('i64', 11, le(-1, 8)),
    kv('f64', 12, reversed(float8send('1e-310'))), kv('none', 9, le(8, 4) || le(0, 8)), kv('not utf-8', 8, le(2, 8)
      || '\xff00')]))) v (what, file);
SELECT ok(export_safetensors(import_safetensors(file, what)) = file, what) FROM (VALUES
  ('a header with spaces', safetensors_raw('{  }   ', '')), ('a header in another order', safetensors_raw(
    '{"b":{"data_offsets":[4,8],"shape":[1],"dtype":"F32"}, "a" : {"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   ',
      f32(1, 2)))) v (what, file);

-- To files
\if :has_directory
SELECT is(export_gguf(:model, server_path('a.gguf')), length(little_gguf())::bigint,
  'to a path; the bytes written are returned');
SELECT ok(pg_read_binary_file(server_path('a.gguf')) = little_gguf(), 'they are the file');
SELECT is(export_gguf('little', server_path('a.gguf')), length(little_gguf())::bigint,
  'over a file, by the model''s name');
SELECT is(export_safetensors(:torch, server_path('b.safetensors')), length(as_safetensors(1))::bigint,
  'safetensors to a path');
SELECT is(export_safetensors('torch', server_path('b.safetensors')), length(as_safetensors(1))::bigint,
  'by the model''s name');
SELECT ok(pg_read_binary_file(server_path('b.safetensors')) = as_safetensors(1), 'they are the file');
SELECT throws_ok(
  format('SELECT export_gguf(%s, %L)', :model, current_setting('hartonomous_test.dir') || '/none/a.gguf'),
  '58P01', NULL, 'a directory that is not there');
SELECT throws_ok(format('SELECT export_gguf(%s, %L)', :model, current_setting('hartonomous_test.dir')), '42809',
  format('"%s" is a directory', current_setting('hartonomous_test.dir')), 'a directory in the place of the file');
DO $$BEGIN
  EXECUTE format('COPY (SELECT) TO PROGRAM %L', 'cat >/dev/null; mkfifo ''' || lib.server_path('fifo') || '''');
END$$;
SELECT throws_ok(format('SELECT export_gguf(%s, %L)', :model, server_path('fifo')), '42809',
  format('"%s" is not a regular file', server_path('fifo')), 'a FIFO');
-- The temporary name is longer than the name, but no longer than names may be.
SELECT is(export_gguf(:model, server_path(repeat('x', 255 - length(pg_backend_pid() || '-')))),
  length(little_gguf())::bigint, 'a name of 255 bytes');
SELECT is(export_gguf(:model, server_path(repeat('é', 120))), length(little_gguf())::bigint,
  'in characters of two bytes');
SELECT ok(pg_read_binary_file(server_path(repeat('é', 120))) = little_gguf(), 'is the file of that name');
SELECT is_empty(
  format('SELECT * FROM pg_ls_dir(%L) f WHERE f LIKE %L', current_setting('hartonomous_test.dir'),
    pg_backend_pid() || '-%.tmp.%'), 'and nothing else');
SELECT throws_ok(format('SELECT export_gguf(%s, %L)', :model, server_path(repeat('x', 256))), '42602', NULL,
  'a longer one');
SELECT throws_ok(format('SELECT export_gguf(%s, %L)', :model, server_path('a.gguf') || '/b'), NULL, NULL,
  'a file in the place of the directory');
SAVEPOINT whole;
DELETE FROM tensor_atoms WHERE model_id = :model AND tensor_name = 'output.weight' AND atom_sequence = 39;
UPDATE tensor_atoms SET atom_data = 'F32[1]:00000000'
 WHERE model_id = :model AND tensor_name = 'output.weight' AND atom_sequence = 38;
SELECT throws_ok(format('SELECT export_gguf(%s, %L)', :model, server_path(name)), '55000', NULL,
  'an export that fails near the end') FROM unnest(ARRAY['a.gguf', 'c.gguf']) name;
SELECT is(pg_stat_file(server_path('c.gguf'), true), NULL, 'leaves no file');
SELECT ok(pg_read_binary_file(server_path('a.gguf')) = little_gguf(), 'and leaves a file that was there as it was');
ROLLBACK TO whole;
\else
SELECT skip('no directory of the server', 19);
\endif
SELECT throws_ok(format('SELECT export_gguf(%s, %L)', :model, path), state, NULL, coalesce(path, 'NULL')
  || ' is no place')
  FROM (VALUES ('here.gguf', '42602'), ('./here.gguf', '42602'), ('', '42602'), ('/proc/version/x', NULL),
    ('/proc/hartonomous.gguf', NULL), ('/dev/null', '42809')) v (path, state);

-- A role that may write files need not be a superuser, one that may not gets nowhere
CREATE ROLE export_writer;
CREATE ROLE export_nobody;
GRANT pg_write_server_files TO export_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO export_writer, export_nobody;
SELECT is((state_as('export_nobody', statement)).state, '42501',
  'not without pg_write_server_files: ' || regexp_replace(statement, '\s+', ' ', 'g'))
  FROM unnest(ARRAY[$$SELECT export_gguf(1, '/tmp/x')$$, $$SELECT export_gguf('little', '/tmp/x')$$, $$SELECT
    export_safetensors(1, '/tmp/x')$$,
                    $$SELECT export_safetensors('little', '/tmp/x')$$, $$SELECT export_to_file(1, 'gguf', '/tmp/x')$$])
                      statement;
\if :has_directory
SELECT is((state_as('export_writer', format('SELECT export_gguf(%s, %L)', :model, server_path('a.gguf')))).state,
  '00000',
  'with it, yes');
\endif

-- From one container to the other
SELECT import_safetensors(export_safetensors(:model), 'little torch') AS converted \gset
SELECT results_eq(
  format('SELECT tensor_name, atom_sequence, content_hash FROM tensor_atoms WHERE model_id = %s ORDER BY 1, 2',
    :converted),
  format('SELECT tensor_name, atom_sequence, content_hash FROM tensor_atoms WHERE model_id = %s ORDER BY 1, 2', :model),
  'GGUF to safetensors keeps every weight');
SELECT ok(layers = layers2, 'and every shape')
  FROM (SELECT array_agg((layer_name, tensor_shape, tensor_dtype, position) ORDER BY position) AS layers
    FROM model_layers
    WHERE model_id = :model) a,
  (SELECT array_agg((layer_name, tensor_shape, tensor_dtype, position) ORDER BY position) AS layers2 FROM model_layers
    WHERE model_id = :converted) b;
SELECT import_gguf(export_gguf(:torch), 'torch as gguf') AS converted \gset
SELECT results_eq(
  format(
    'SELECT tensor_name, string_agg(atom_data::bytea, '''' ORDER BY atom_sequence) FROM tensor_atoms '
    'WHERE model_id = %s GROUP BY 1 ORDER BY 1',
    :converted),
  format(
    'SELECT tensor_name, string_agg(atom_data::bytea, '''' ORDER BY atom_sequence) FROM tensor_atoms '
    'WHERE model_id = %s GROUP BY 1 ORDER BY 1',
    :torch), 'safetensors to GGUF does, too');
SELECT is(key(export_gguf(:torch), 'general.name'), '"torch"', 'with the model''s name');
SELECT import_safetensors(safetensors(ARRAY[ROW('empty', 'F32', '{0,3}', '')::st_tensor]), 'empty') AS empty \gset
SELECT results_eq(format('SELECT tensor_shape, bytes FROM file_tensors(export_gguf(%s), ''gguf'')', :empty),
  $$VALUES ('{0,3}'::bigint[], 0::bigint)$$, 'a tensor without weights');

-- Pruned: zeros
CALL prune_by_importance(:model, keep_ratio => 0.5);
SELECT import_gguf(export_gguf(:model), 'pruned') AS pruned \gset
SELECT is_empty(format($$SELECT b.tensor_name, b.atom_sequence FROM (SELECT * FROM tensor_atoms WHERE model_id = %s) b
    LEFT JOIN (SELECT * FROM tensor_atoms WHERE model_id = %s) a USING (tensor_name, atom_sequence)
   WHERE b.atom_data::bytea <> coalesce(a.atom_data::bytea, zeros(weights_bytes(b.atom_data)))$$, :pruned, :model),
     'atoms that are gone are zeros, the others themselves');
SELECT is(count(*), 101::bigint, 'in a whole model') FROM tensor_atoms WHERE model_id = :pruned;
SELECT ok(substr(export_gguf(:model), 1, 300) = substr(little_gguf(), 1, 300), 'whose header is the same');
SELECT ok(export_gguf(:pruned) = export_gguf(:model), 'and which is exported as it was imported');
DELETE FROM tensor_atoms WHERE model_id = :model AND tensor_name = 'output.weight';
SELECT results_eq(format('SELECT type FROM types(export_gguf(%s)) WHERE name = ''output.weight''', :model), $$VALUES
  ('F32')$$, 'a tensor without atoms has the format it came in');
SELECT import_gguf(export_gguf(:model), 'no output') AS none \gset
SELECT is(sum(weights_rms(atom_data)), 0::float8, 'and is zeros') FROM tensor_atoms WHERE tensor_name = 'output.weight'
  AND model_id = :none;
DELETE FROM tensor_atoms WHERE model_id = :model;
SELECT is(length(export_gguf(:model)), length(little_gguf()), 'a model without atoms is a file of zeros');
SELECT rollback_model(:model) \g /dev/null
SELECT ok(export_gguf(:model) = little_gguf(), 'rolled back, it is what it was');

-- Quantized: types, file_type, quantization_version; nothing else
SELECT import_gguf(little_gguf(), 'smaller') AS smaller \gset
CALL quantize_model(:smaller, 'Q8_0');
SELECT results_eq(format('SELECT * FROM types(export_gguf(%s))', :smaller), $$VALUES ('token_embd.weight', 'Q8_0'),
  ('blk.0.attn_norm.weight', 'F32'),
  ('blk.0.attn_q.weight', 'Q8_0'), ('blk.0.ffn_down.weight', 'F16'), ('output.weight', 'F16')$$, 'types');
SELECT is(key(export_gguf(:smaller), 'general.file_type'), to_jsonb(7),
  'general.file_type is what was asked for, though most weights are F16 by a hair');
SELECT is(key(export_gguf(:smaller), 'general.quantization_version'), '2', 'general.quantization_version');
SELECT is((SELECT jsonb_agg(kv) FROM jsonb_array_elements(file_metadata(export_gguf(:smaller), 'gguf') -> 'kv') kv
  WHERE kv ->> 'key' NOT IN ('general.file_type', 'general.quantization_version')),
          (SELECT jsonb_agg(kv) FROM jsonb_array_elements(metadata -> 'kv') kv WHERE kv ->> 'key' <>
            'general.file_type'), 'the other keys are as they were')
  FROM models WHERE model_id = :smaller;
SELECT import_gguf(export_gguf(:smaller), 'smaller again') AS again \gset
SELECT results_eq(
  format('SELECT tensor_name, atom_sequence, content_hash FROM tensor_atoms WHERE model_id = %s ORDER BY 1, 2',
    :again),
  format('SELECT tensor_name, atom_sequence, content_hash FROM tensor_atoms WHERE model_id = %s ORDER BY 1, 2',
    :smaller), 'imported again, it is the same');
SELECT ok(export_gguf(:again) = export_gguf(:smaller), 'to the byte');
SELECT results_eq(format('SELECT tensor_name, tensor_dtype FROM file_tensors(export_safetensors(%s), ''safetensors'')',
  :smaller),
  $$VALUES ('token_embd.weight', 'F32'), ('blk.0.attn_norm.weight', 'F32'), ('blk.0.attn_q.weight', 'F32'),
    ('blk.0.ffn_down.weight', 'F16'), ('output.weight', 'F16')$$,
  'safetensors, which has no quantized formats, gets the ones it came in');
SELECT import_safetensors(export_safetensors(:smaller), 'wide') AS wide \gset
SELECT is_empty(format($$SELECT b.tensor_name, b.atom_sequence FROM (SELECT * FROM tensor_atoms WHERE model_id = %s) b
   JOIN (SELECT * FROM tensor_atoms WHERE model_id = %s) a USING (tensor_name, atom_sequence)
     WHERE dequantize(a.atom_data) <> dequantize(b.atom_data)$$, :wide, :smaller), 'with the same weights');
SELECT is(file_type, NULL, 'no file type unless formats changed')
  FROM export_metadata(:again, 'gguf', export_plan_json(:again));
SELECT results_eq(format('SELECT * FROM planned_tensors(export_plan_json(%s, %L))', m, c),
  format('SELECT * FROM export_plan(%s, %L)', m, c),
  'a plan as one value is the plan') FROM unnest(ARRAY[:again, :smaller]) m, unnest('{gguf,safetensors}'::text[]) c;
-- Every atom is looked at once for the plan, and the plan is made once
CREATE FUNCTION lib.calls(name text) RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(pg_stat_get_xact_function_calls(p.oid)), 0)::bigint FROM pg_proc p
    WHERE p.pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace) AND p.proname = name $$;
CREATE FUNCTION lib.calls_of_export(model integer, container text, name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE before bigint := calls(name);
BEGIN
  EXECUTE format('SELECT export_%s(%s)', container, model);
  RETURN calls(name) - before;
END $$;
SET LOCAL track_functions = 'all';
SELECT is(calls_of_export(:smaller, container, 'export_plan'), 1::bigint, 'one plan: ' || container)
  FROM unnest('{gguf,safetensors}'::text[]) container;
SELECT is(calls_of_export(:smaller, container, 'weights_format'),
  (SELECT count(*) FROM tensor_atoms WHERE model_id = :smaller), 'one look at each atom: ' || container)
  FROM unnest('{gguf,safetensors}'::text[]) container;
SET LOCAL track_functions = 'none';
DO $$ DECLARE f text; BEGIN
  FOREACH f IN ARRAY ARRAY['Q4_0', 'Q4_1', 'Q8_0', 'Q5_0', 'Q5_1', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'F16',
    'BF16'] LOOP
    PERFORM import_gguf(gguf(ARRAY[ROW('x.weight', '{256,2}', 0, waves(2, 256, 1))::tensor]), f);
    CALL quantize_model(model_id(f), f);
  END LOOP; END $$;
SELECT is(key(export_gguf(model_id(format)), 'general.file_type'), to_jsonb(number), 'general.file_type of ' || format
  || ' is llama.cpp''s')
  FROM (VALUES ('F16', 1), ('Q4_0', 2), ('Q4_1', 3), ('Q8_0', 7), ('Q5_0', 8), ('Q5_1', 9), ('Q2_K', 10), ('Q3_K', 12),
    ('Q4_K', 15), ('Q5_K', 17), ('Q6_K', 18), ('BF16', 32)) v (format, number);

-- Atoms of several formats: all go out in the one that loses nothing
SELECT import_gguf(little_gguf(), 'mixed') AS mixed \gset
CREATE FUNCTION lib.requantize(model integer, name text, sequence integer, format text) RETURNS text LANGUAGE sql AS $$
  UPDATE tensor_atoms SET atom_data = quantize(atom_data, format) WHERE model_id = model AND layer_id = layer(model,
    name) AND (sequence IS NULL OR atom_sequence = sequence);
  SELECT present_format || ' -> ' || storage_format FROM export_plan(model) WHERE layer_name = name $$;
SELECT is(requantize(:mixed, 'token_embd.weight', 3, 'Q8_0'), 'F32+Q8_0 -> F32', 'F32 and Q8_0');
SELECT is(requantize(:mixed, 'token_embd.weight', NULL, 'F16'), 'F16 -> F16', 'F16');
SELECT is(requantize(:mixed, 'token_embd.weight', 4, 'Q8_0'), 'F16+Q8_0 -> F16', 'F16 and Q8_0');
SELECT is(requantize(:mixed, 'token_embd.weight', 5, 'Q5_0'), 'F16+Q5_0+Q8_0 -> F16', 'F16, Q5_0 and Q8_0');
SELECT import_gguf(export_gguf(:mixed), 'unmixed') AS unmixed \gset
SELECT is_empty(format($$SELECT b.tensor_name, b.atom_sequence FROM (SELECT * FROM tensor_atoms WHERE model_id = %s) b
   JOIN (SELECT * FROM tensor_atoms WHERE model_id = %s) a USING (tensor_name, atom_sequence)
     WHERE relative_error(a.atom_data, b.atom_data) > 0.001$$, :unmixed, :mixed), 'with the same weights');
SELECT is(requantize(:mixed, 'output.weight', NULL, 'Q8_0'), 'Q8_0 -> F32',
  'rows that are not whole blocks cannot go out in blocks');
SELECT is(requantize(:mixed, 'blk.0.attn_norm.weight', NULL, 'Q4_K'), 'Q4_K -> F32', 'nor can a vector');
SELECT import_gguf(export_gguf(:mixed), 'whole') AS whole \gset
SELECT is_empty(format($$SELECT b.tensor_name, b.atom_sequence FROM (SELECT * FROM tensor_atoms WHERE model_id = %s) b
   JOIN (SELECT * FROM tensor_atoms WHERE model_id = %s) a USING (tensor_name, atom_sequence) WHERE a.tensor_name =
     'output.weight' AND dequantize(a.atom_data) <> dequantize(b.atom_data)$$, :whole, :mixed),
     'they go out as what they stand for');

-- A safetensors matrix may have rows that GGUF, which has the last dimension for its rows, cannot have in blocks
SELECT import_safetensors(safetensors(ARRAY[ROW('conv', 'F32', '{4,2,2,8}', waves(4, 32, 1))::st_tensor]), 'conv') AS
  conv \gset
CALL quantize_model(:conv, 'Q8_0');
SELECT results_eq(format('SELECT present_format, storage_format FROM export_plan(%s)', :conv),
  $$VALUES ('Q8_0', 'F32')$$, 'quantized over dimensions');
SELECT results_eq(format('SELECT type FROM types(export_gguf(%s))', :conv), $$VALUES ('F32')$$, 'exported as GGUF can');

-- Atoms that do not fit their matrix are errors, not files
SELECT layer(:mixed, 'output.weight') AS out \gset
CREATE FUNCTION lib.broken(statement text, model integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text;
BEGIN
  BEGIN
    EXECUTE statement;
    PERFORM export_gguf(model);
    RAISE EXCEPTION 'exported' USING ERRCODE = 'HT000';
  EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
  END;
  RETURN state;
END $$;
SELECT is(broken(format(statement, :out), :mixed), '55000', statement) FROM unnest(ARRAY[
  'UPDATE tensor_atoms SET atom_data = ''F32[1]:00000000'' WHERE layer_id = %s AND atom_sequence = 2',
  'UPDATE tensor_atoms SET atom_data = array_fill(1::real, ARRAY[10]) WHERE layer_id = %s AND atom_sequence = 2',
  'UPDATE tensor_atoms SET atom_sequence = 40 WHERE layer_id = %s AND atom_sequence = 39']) statement;
SELECT lives_ok(format('SELECT export_gguf(%s)', :mixed), 'they were undone');

-- Not to be computed with, so not to be converted
SELECT import_gguf(gguf(ARRAY[ROW('mx.weight', '{32,2}', 9, zeros(72))::tensor]), 'carried') AS carried \gset
SELECT throws_ok(format('SELECT export_safetensors(%s)', :carried), '0A000', NULL,
  'safetensors cannot have what cannot be read');

-- Limits and arguments
SELECT import_gguf(gguf(ARRAY[ROW('big', '{1024,1100}', 0, zeros(4505600))::tensor]), 'big') AS big \gset
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok(format('SELECT export_gguf(%s)', :big), '53200', NULL, 'a bytea beyond hartonomous.max_work_memory');
SELECT lives_ok(format('SELECT export_gguf_large_object(%s)', :big), 'a large object is written piece by piece');
RESET hartonomous.max_work_memory;
SELECT throws_ok('SELECT export_gguf(999)', '42704', 'model 999 does not exist', 'no such model');
SELECT throws_ok('SELECT export_gguf(''nobody'', ''/tmp/x'')', '42704', 'model "nobody" does not exist',
  'no such name');
SELECT throws_ok('SELECT export_to_bytea(1, ''zip'')', '22023', NULL, 'no such container');
SELECT is(export_gguf(NULL::int), NULL, 'export_gguf(NULL)');
SELECT is(export_gguf(1, NULL), NULL, 'export_gguf(, NULL)');
SELECT is(export_safetensors(NULL::int), NULL, 'export_safetensors(NULL)');
SELECT is(export_gguf_large_object(NULL), NULL, 'export_gguf_large_object(NULL)');
SELECT throws_ok('SELECT * FROM export_plan(NULL)', '42704', NULL, 'export_plan(NULL)');
SELECT throws_ok(format('SELECT * FROM export_plan(%s, %L)', :conv, container), '22023',
  format('unknown container "%s"', coalesce(container, 'NULL')),
  'no plan for ' || coalesce(container, 'NULL'))
  FROM unnest(ARRAY['GGUF', 'zip', NULL]) container;
SELECT throws_ok('SELECT * FROM export_metadata(NULL, ''gguf'', ''[]'')', '42704', NULL, 'export_metadata(NULL)');
SELECT is(carried_format(dtype), format, 'carried_format ' || dtype) FROM (VALUES ('F32', 'F32'), ('Q4_K', 'Q4_K'),
  ('U16', 'I16'), ('U32', 'I32'), ('U64', 'I64'), ('C64', 'I64'), ('BOOL', 'I8'), ('U8', 'I8'), ('F8_E5M2', 'I8'),
  ('F4', 'I8')) v (dtype, format);
SELECT is(plain_format(present, dtype), format, format('plain_format %s of %s', present, dtype))
  FROM (VALUES ('Q4_K', 'BF16', 'BF16'),
    ('Q4_K', 'Q8_0', 'F16'), ('F16', 'F32', 'F16'), ('I8', 'BOOL', 'I8')) v (present, dtype, format);

-- Nothing is left behind
\if :has_directory
SELECT is_empty($$SELECT f FROM pg_ls_dir(current_setting('hartonomous_test.dir')) f
                   WHERE f LIKE '%.tmp.' || pg_backend_pid()$$, 'no temporary file is left');
\endif
SELECT is_empty(
  $$SELECT without_comment('export_plan', 'export_plan_json', 'planned_tensors', 'main_format', 'carried_format',
    'plain_format', 'export_metadata',
    'export_to_file', 'export_to_bytea', 'export_to_large_object',
    'export_gguf', 'export_safetensors', 'export_gguf_large_object', 'export_safetensors_large_object')$$,
    'every function has a comment');

-- Elements of less than a byte
SELECT import_safetensors(
  safetensors(ARRAY[ROW('f32', 'F32', '{}', f32(1)), ROW('f4', 'F4', '{2,4}', '\x12345678')]::st_tensor[]),
  'packed') AS packed \gset
SELECT throws_ok(format('SELECT export_gguf(%s)', :packed), '0A000', 'tensor "f4" cannot be written to a GGUF file');
SELECT ok(length(export_safetensors(:packed)) > 0, 'safetensors has them');
-- A single number has no dimension there, either
SELECT import_safetensors(
  safetensors(ARRAY[ROW('n', 'F32', '{}', f32(1.5)), ROW('none', 'F32', '{0,3}', '')]::st_tensor[]),
  'number') AS number \gset
SELECT results_eq(
  format('SELECT tensor_name, tensor_shape, bytes FROM file_tensors(export_gguf(%s), ''gguf'')', :number),
  $$VALUES ('n', '{}'::bigint[], 4::bigint), ('none', '{0,3}', 0)$$,
  'single numbers and empty tensors go into GGUF files');

SELECT * FROM finish();
ROLLBACK;
