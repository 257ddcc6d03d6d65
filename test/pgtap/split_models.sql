-- Models in several files: the parts of a split GGUF model, and safetensors files with and without an index.
BEGIN;
\ir lib/model_files.sql
SELECT plan(38);
SELECT create_store() \g /dev/null

\if :has_directory
-- Writes a file of the server; its name is only its own in this session.
CREATE FUNCTION lib.put(name text, contents bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM lo_from_bytea(4713, contents);
  PERFORM lo_export(4713, server_path(name)), lo_unlink(4713);
  RETURN server_path(name);
END
$$;
-- Part `number` (from 0) of `parts` with these tensors, as llama-gguf-split marks it: only the first has the metadata.
CREATE FUNCTION lib.part(number integer, parts integer, tensors lib.tensor[], total integer DEFAULT 5,
    metadata bytea[] DEFAULT ARRAY[lib.kv_text('general.architecture', 'llama'), lib.kv_u32('llama.block_count', 1)])
  RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN lib.gguf(tensors, CASE WHEN number = 0 THEN metadata ELSE '{}' END
    || lib.kv('split.no', 2, lib.le(number, 2)) || lib.kv('split.count', 2, lib.le(parts, 2))
    || lib.kv('split.tensors.count', 5, lib.le(total, 4)));

SELECT put('m-00001-of-00003.gguf', part(0, 3, (little_tensors())[1:2])) AS a,
       put('m-00002-of-00003.gguf', part(1, 3, (little_tensors())[3:4])) AS b,
       put('m-00003-of-00003.gguf', part(2, 3, (little_tensors())[5:5])) AS c \gset
SELECT import_gguf(gguf(little_tensors(), ARRAY[kv_text('general.architecture', 'llama'),
  kv_u32('llama.block_count', 1)]), 'whole') AS whole \gset
CREATE FUNCTION lib.contents(model integer) RETURNS bytea LANGUAGE sql AS 'SELECT export_gguf(model)';

SELECT import_gguf(:'a'::text, 'by name') AS m \gset
SELECT is(contents(:m), contents(:whole), 'the first part''s name stands for all: the export is the whole model');
SELECT import_gguf(ARRAY[:'a', :'b', :'c'], 'by paths') AS m \gset
SELECT is(contents(:m), contents(:whole), 'an array of all paths');
SELECT import_gguf(ARRAY[:'c', :'a', :'b'], 'in another order') AS m \gset
SELECT is(contents(:m), contents(:whole), 'in another order');
SELECT results_eq(format('SELECT layer_name FROM model_layers WHERE model_id = %s ORDER BY position', :m),
  'SELECT name FROM unnest(little_tensors()) t', 'the tensors are in the order of the parts');
SELECT is_empty($$SELECT e FROM models, jsonb_array_elements(metadata -> 'kv') e WHERE e ->> 'key' LIKE 'split.%'$$,
  'no key says that it is split');
SELECT is(source_sha256, file_sha256(ARRAY[:'c', :'a', :'b']), 'the hash is that of the files, as given')
  FROM models WHERE model_id = :m;
SELECT is((SELECT count(*) FROM file_tensors(:'a'::text, 'gguf')), 5::bigint,
  'file_tensors() of the first part''s name');
SELECT is((SELECT count(*) FROM file_tensors(ARRAY[:'a', :'b', :'c'], 'gguf')), 5::bigint, 'and of all paths');
SELECT is((SELECT count(*) FROM file_tensors(:'b'::text, 'gguf')), 2::bigint, 'another part can be looked at');

-- What is not the parts of one model
SELECT store_state() AS before \gset
SELECT throws_ok(format('SELECT import_gguf(%L::text, ''x'')', :'b'), '0A000',
  'the file is part 2 of 3 of a split model, not the whole model', 'a part alone that is not the first');
SELECT put('renamed.gguf', part(0, 3, (little_tensors())[1:2])) AS renamed,
       put('lone-00001-of-00003.gguf', part(0, 3, (little_tensors())[1:2])) AS lone \gset
SELECT throws_ok(format('SELECT import_gguf(%L::text, ''x'')', :'renamed'), '0A000',
  'the file is part 1 of 3 of a split model, not the whole model', 'the first part under another name');
SELECT throws_matching(format('SELECT import_gguf(%L::text, ''x'')', :'lone'),
  'could not open file ".*lone-00002-of-00003.gguf"', 'the first part without the others: the missing file is named');
SELECT throws_ok(format('SELECT import_gguf(ARRAY[%L], ''x'')', :'b'), '0A000', NULL, 'an array of one part');
SELECT throws_ok(format('SELECT import_gguf(ARRAY[%L, %L], ''x'')', :'a', :'c'), '22P03',
  '1 of 3 parts of the model is missing', 'a missing part');
SELECT throws_ok(format('SELECT import_gguf(ARRAY[%L, %L, %L], ''x'')', :'a', :'b', :'b'), '22P03',
  'files 2 and 3 are both part 2 of 3', 'the same part twice');
SELECT throws_ok(format('SELECT import_gguf(ARRAY[%L, %L], ''x'')', :'a', put('whole.gguf', little_gguf())), '22P03',
  'file 2 is not part of a split model', 'a whole model among the parts');
SELECT throws_ok(format('SELECT import_gguf(ARRAY[%L, %L], ''x'')', :'a', put(number || '.gguf', contents)), '22P03',
  message) FROM (VALUES
    ('count', part(1, 2, (little_tensors())[3:5]), 'the files are parts of different models'),
    ('number', part(3, 3, (little_tensors())[3:5]), 'file 2 says that it is part 4 of 3'),
    ('text', 'version https://git-lfs.github.com/spec/v1', 'file 2 of 2: GGUF: the file is a Git LFS pointer, not a '
      'GGUF file'),
    ('cut', substr(part(1, 3, (little_tensors())[3:4]), 1, 2000),
      'file 2 of 2: GGUF: tensor "blk.0.attn_q.weight" lies '
      'outside the file')) v (number, contents, message);
SELECT throws_ok(format('SELECT import_gguf(ARRAY[%L, %L], ''x'')', put('n1.gguf', part(0, 2, first, total)),
    put('n2.gguf', part(1, 2, second, total))), '22P03', message) FROM (VALUES
    ((little_tensors())[1:2], (little_tensors())[3:4], 5, 'the parts of the model do not have all its tensors'),
      ((little_tensors())[1:3], (little_tensors())[3:4], 5, 'tensor "blk.0.attn_q.weight" is in two parts of the model')
    )
  v (first, second, total, message);
SELECT is(store_state(), :'before', 'nothing is left');

-- safetensors, without a config
SELECT put('model-00001-of-00002.safetensors', safetensors(ARRAY[ROW('a', 'F32', '{2}', f32(1, 2))::st_tensor,
         ROW('b', 'F16', '{1,2}', '\x003c0040')::st_tensor], '{"format": "pt"}')) AS s1,
       put('model-00002-of-00002.safetensors', safetensors(ARRAY[ROW('c', 'U8', '{3}', '\x010203')::st_tensor],
         '{"format": "np", "more": "x"}')) AS s2 \gset
CREATE FUNCTION lib.base(path text) RETURNS text LANGUAGE sql IMMUTABLE RETURN regexp_replace(path, '.*/', '');
SELECT put('model.safetensors.index.json', convert_to(json_build_object('metadata', '{}'::json, 'weight_map',
  json_build_object('a', base(:'s1'), 'b', base(:'s1'), 'c', base(:'s2')))::text, 'UTF8')) AS index \gset
SELECT import_safetensors(:'index'::text, 'indexed') AS m \gset
SELECT results_eq(format('SELECT tensor_name, atom_data::bytea FROM tensor_atoms WHERE model_id = %s ORDER BY 1', :m),
  $$VALUES ('a', f32(1, 2)), ('b', '\x003c0040'), ('c', '\x010203')$$, 'by the index: the tensors of all files');
SELECT is(source_sha256, file_sha256(ARRAY[:'s1', :'s2']), 'the hash is that of the files with the weights')
  FROM models WHERE model_id = :m;
SELECT import_safetensors(ARRAY[:'s1', :'s2'], 'listed') AS listed \gset
SELECT is(export_safetensors(:listed), export_safetensors(:m), 'by paths: the same');
SELECT import_safetensors(export_safetensors(:m), 'again') AS again \gset
SELECT is(export_safetensors(:again), export_safetensors(:m), 'one file comes out, which can be imported');
SELECT results_eq(format('SELECT e.key, e.value FROM models, '
  'jsonb_each_text((metadata ->> ''header'')::jsonb -> ''__metadata__'') e WHERE model_id = %s ORDER BY 1', :m),
  $$VALUES ('format', 'pt'), ('more', 'x')$$, 'its metadata are those of all files; the first of a name counts');
SELECT throws_ok(format('SELECT import_safetensors(%L::text, ''x'')', :'s1'), '0A000',
  'the file is part 1 of 2 of a checkpoint, not the whole model', 'a file alone');
SELECT throws_ok(format('SELECT import_safetensors(ARRAY[%L, %L], ''x'')', :'s1', :'s1'), '22P03',
  'tensor "a" is in two of the checkpoint''s files', 'a file twice');
SELECT throws_ok(format('SELECT import_safetensors(%L::text, ''x'')', put('i.json', convert_to(index, 'UTF8'))),
  '22P03',
  message) FROM (VALUES
    (format('{"weight_map": {"a": %s, "z": %s}}', to_json(base(:'s1')), to_json(base(:'s2'))),
      format('tensor "z" is not in "%s"', base(:'s2'))),
    ('{"weight_map": {"a": "../a.safetensors"}}',
      'safetensors: the index names "../a.safetensors", which is not a file beside it'),
    ('{"weight_map": {"a": "/etc/passwd"}}',
      'safetensors: the index names "/etc/passwd", which is not a file beside it'),
    ('{"weight_map": {"a": 1}}', 'safetensors: the index has no file for tensor "a"'),
    ('{"weight_map": {}}', 'safetensors: the index names no tensors')) v (index, message);
SELECT throws_matching(format('SELECT import_safetensors(%L::text, ''x'')',
  put('j.json', '{"weight_map": {"a": "not there.safetensors"}}')), 'could not open file ".*/not there.safetensors"',
  'the file of an index that is missing is named');
SELECT throws_ok(format('SELECT import_safetensors(%L::text, ''x'')', put('pointer.safetensors',
  'version https://git-lfs.github.com/spec/v1')), '22P03',
  'safetensors: the file is a Git LFS pointer, not a safetensors file', 'a pointer');
SELECT is((SELECT count(*) FROM models WHERE model_name = 'x'), 0::bigint, 'nothing is left');
\else
SELECT skip('there is no directory for files of the server', 38);
\endif
SELECT * FROM finish();
ROLLBACK;
