-- Importance matrices of llama.cpp: what is imported and refused, what an export holds, and what each column's
-- importance is. The files are built byte by byte.
BEGIN;
\ir lib/model_files.sql
SELECT plan(97);

CREATE TYPE lib.entry AS (name text, counts real[], sums real[]);
CREATE FUNCTION lib.imatrix_keys(dataset text DEFAULT 'a set', chunks integer DEFAULT 2, chunk_size integer DEFAULT 4)
  RETURNS bytea[] LANGUAGE sql IMMUTABLE
  RETURN ARRAY[kv_text('general.type', 'imatrix'),
    kv('imatrix.datasets', 9, le(8, 4) || le(1, 8) || str(dataset)), kv_u32('imatrix.chunk_count', chunks),
    kv_u32('imatrix.chunk_size', chunk_size)];
-- A second dimension only with experts, as ggml writes them
CREATE FUNCTION lib.imatrix_tensor(name text, numbers real[], experts integer) RETURNS tensor LANGUAGE sql IMMUTABLE
  RETURN ROW(name, (ARRAY[cardinality(numbers) / experts, experts])[1:CASE WHEN experts > 1 THEN 2 ELSE 1 END], 0,
    f32(VARIADIC numbers))::tensor;
CREATE FUNCTION lib.imatrix_tensors(entries entry[]) RETURNS tensor[] LANGUAGE sql IMMUTABLE
  RETURN (SELECT array_agg(t.tensor ORDER BY e.n, t.part)
            FROM unnest(entries) WITH ORDINALITY e (name, counts, sums, n),
                 LATERAL (VALUES (1, imatrix_tensor(e.name || '.in_sum2', e.sums, cardinality(e.counts))),
                                 (2, imatrix_tensor(e.name || '.counts', e.counts, cardinality(e.counts)))) t (part,
                                   tensor));
CREATE FUNCTION lib.imatrix(entries entry[], dataset text DEFAULT 'a set') RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(imatrix_tensors(entries), imatrix_keys(dataset));
CREATE FUNCTION lib.name_i32(value text) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN le(octet_length(value), 4) || convert_to(value, 'UTF8');
-- counts: the number of chunks
CREATE FUNCTION lib.legacy(entries entry[], chunks integer DEFAULT 2, dataset text DEFAULT 'a set') RETURNS bytea
  LANGUAGE sql IMMUTABLE
  RETURN le(cardinality(entries), 4) || (SELECT string_agg(name_i32(e.name) || le(e.counts[1]::integer, 4)
      || le(cardinality(e.sums), 4) || f32(VARIADIC e.sums), '' ORDER BY e.n) FROM unnest(entries) WITH ORDINALITY
        e (name, counts, sums, n)) || le(chunks, 4) || name_i32(dataset);

CREATE FUNCTION lib.expert_gguf() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW('token_embd.weight', '{4,20}', 0, waves(20, 4, 1))::tensor,
    ROW('blk.0.attn_norm.weight', '{4}', 0, waves(1, 4, 2))::tensor,
    ROW('blk.0.attn_q.weight', '{4,3}', 0, waves(3, 4, 3))::tensor,
    ROW('blk.0.ffn_up_exps.weight', '{2,5,3}', 0, waves(15, 2, 4))::tensor]);
SELECT import_gguf(expert_gguf(), 'experts') AS model \gset
CREATE FUNCTION lib.dense() RETURNS entry LANGUAGE sql IMMUTABLE
  RETURN ROW('blk.0.attn_q.weight', '{10}', '{1,2,0,30}')::entry;
CREATE FUNCTION lib.expert() RETURNS entry LANGUAGE sql IMMUTABLE
  RETURN ROW('blk.0.ffn_up_exps.weight', '{8,0,2}', '{4,8,0,0,1,3}')::entry;

-- No statistics yet
SELECT throws_ok($$SELECT importance_vector('experts', 'blk.0.attn_q.weight')$$, '55000',
  'model "experts" has no calibration statistics', 'importance_vector() before any import');
SELECT throws_ok($$SELECT importance_vector('experts', 'blk.0.attn_q.weight', 'x')$$, '55000',
  'model "experts" has no calibration statistics of calibration set "x"', 'of a set that does not exist');
SELECT throws_ok($$SELECT export_importance('experts', 'x')$$, '55000', NULL, 'nothing to export');

-- The GGUF format
SELECT is(import_importance(imatrix(ARRAY[dense(), expert()]), 'experts', 'gguf'), 2,
  'import_importance() returns the number of tensors');
SELECT results_eq($$
  SELECT layer_name, revision_id = current_revision(s.model_id), tokens, columns, experts, token_counts,
         dequantize(sums_of_squares), weights_format(sums_of_squares), num_nulls(text_sha256, n_ctx, gram_layer_id)
    FROM calibration_stats s JOIN model_layers USING (layer_id) WHERE calibration_set = 'gguf' ORDER BY layer_name$$,
  $$VALUES ('blk.0.attn_q.weight', true, 10::bigint, 4, 1, '{10}'::bigint[], '{1,2,0,30}'::real[], 'F32', 3),
    ('blk.0.ffn_up_exps.weight', true, 8, 2, 3, '{8,0,2}', '{4,8,0,0,1,3}', 'F32', 3)$$, 'the statistics are stored');
SELECT results_eq($$SELECT calibration_set, text FROM calibration_sets$$, $$VALUES ('gguf', NULL::text)$$,
  'of a set without a text');
SELECT is(importance_vector('experts', 'blk.0.attn_q.weight'), '{0.1,0.2,0,3}', 'the mean square of each column');
SELECT is(importance_vector('experts', 'blk.0.ffn_up_exps.weight', 'gguf'), '{{0.5,1},{1,1},{0.5,1.5}}',
  'of each expert, and 1 where no token was routed to it');
SELECT is(importance_vector('experts', 'token_embd.weight'), NULL, 'NULL without statistics of the tensor');
SELECT throws_ok($$SELECT importance_vector('experts', 'blk.0.attn_k.weight')$$, '42704',
  'model "experts" has no tensor "blk.0.attn_k.weight"', 'no such tensor');
SELECT throws_ok($$SELECT importance_vector('experts', NULL)$$, '42704', NULL, 'no tensor');
SELECT throws_ok($$SELECT importance_vector(999, 'x')$$, '42704', NULL, 'no such model');

-- Legacy files count chunks. The quotient is that of the file if a chunk has a power of two of tokens.
SELECT is(import_importance(legacy(ARRAY[ROW('blk.0.attn_q.weight', '{3}', '{1,2,0,10}')::entry,
    ROW('blk.0.ffn_up_exps.weight', '{3}', '{3,6,3,3,0,1}')::entry]), 'experts', 'legacy'), 2, 'a legacy file');
SELECT results_eq($$
  SELECT layer_name, tokens, token_counts, dequantize(sums_of_squares) FROM calibration_stats
    JOIN model_layers USING (layer_id) WHERE calibration_set = 'legacy' ORDER BY layer_name$$,
  $$VALUES ('blk.0.attn_q.weight', 1536::bigint, '{1536}'::bigint[], '{512,1024,0,5120}'::real[]),
    ('blk.0.ffn_up_exps.weight', 1536, '{1536}', '{1536,3072,1536,1536,0,512}')$$, 'of chunks of 512 tokens');
SELECT is(importance_vector('experts', 'blk.0.attn_q.weight', 'legacy'),
  ARRAY[1::real / 3::real, 2::real / 3::real, 0, 10::real / 3::real], 'the quotients of the file');
SELECT is(importance_vector('experts', 'blk.0.ffn_up_exps.weight', 'legacy'),
  ARRAY[ARRAY[1, 2], ARRAY[1, 1], ARRAY[0, 1::real / 3::real]]::real[], 'one count for all experts');
SELECT is(import_importance(legacy(ARRAY[dense()]), 'experts', 'of 256', 256), 1, 'chunks of another size');
SELECT is(tokens, 2560::bigint, 'they have so many tokens') FROM calibration_stats WHERE calibration_set = 'of 256';
SELECT throws_ok($$SELECT importance_vector('experts', 'blk.0.attn_q.weight')$$, '22023',
  'model "experts" has statistics of several calibration sets', 'a set must be chosen');

-- What is refused
SELECT throws_ok(format('SELECT import_importance(imatrix(ARRAY[%s]), %s)', entry, arguments), state, message, test)
  FROM (VALUES
    ('dense()', '''experts'', ''gguf''', '42710',
      'calibration set "gguf" already has statistics of model "experts"', 'the same set again'),
    ('dense()', '''experts'', NULL', '22004', 'a calibration set needs a name', 'no name'),
    ('dense()', '''experts'', ''''', '22004', 'a calibration set needs a name', 'an empty name'),
    ('dense()', '''experts'', ''a'', NULL', '22004', 'source and chunk_size cannot be NULL', 'no size of chunks'),
    ('dense()', '''experts'', ''a'', 0', '22023', 'chunk_size must be positive', 'chunks of no token'),
    ('dense()', '999, ''a''', '42704', NULL, 'no such model'),
    ('ROW(''blk.0.attn_q.weight'', ''{1}'', ''{1,2,3}'')::entry', '''experts'', ''a''', '2202E',
      'importance of tensor "blk.0.attn_q.weight" has 3 numbers for 4 columns', 'too few columns'),
    ('ROW(''blk.0.ffn_up_exps.weight'', ''{1}'', ''{1,2}'')::entry', '''experts'', ''a''', '2202E',
      'importance of tensor "blk.0.ffn_up_exps.weight" has 2 numbers for 3 experts with 2 columns each',
      'experts without importance of their own'),
    ('ROW(''blk.0.ffn_up_exps.weight'', ''{1,2}'', ''{1,2,3,4,5,6}'')::entry', '''experts'', ''a''', '2202E',
      'importance of tensor "blk.0.ffn_up_exps.weight" counts the tokens of 2 experts, and there are 3',
      'counts of other experts'),
    ('ROW(''blk.1.attn_q.weight'', ''{1}'', ''{1}'')::entry', '''experts'', ''a''', '22023',
      'the importance matrix has no tensor of model "experts"', 'that of another model'),
    ('ROW(''blk.0.attn_q.weight'', ''{1}'', ''{1,2,3,-1}'')::entry', '''experts'', ''a''', '22P03',
      'importance matrix: tensor "blk.0.attn_q.weight" has an invalid sum of squares', 'a negative sum'),
    ('ROW(''blk.0.attn_q.weight'', ''{1}'', ''{1,2,3,NaN}'')::entry', '''experts'', ''a''', '22P03', NULL,
      'a sum that is not a number'),
    ('ROW(''blk.0.attn_q.weight'', ''{-1}'', ''{1,2,3,4}'')::entry', '''experts'', ''a''', '22P03',
      'importance matrix: tensor "blk.0.attn_q.weight" has an invalid token count', 'a negative count'))
    v (entry, arguments, state, message, test);
SELECT throws_ok(format('SELECT import_importance(%L::bytea, ''experts'', ''a'')', file), state, NULL, test)
  FROM (VALUES (expert_gguf(), '22P03', 'a model'), ('\x', '22P03', 'an empty file'),
    ('\x504b0304', '22P03', 'an archive'), (substr(legacy(ARRAY[dense()]), 1, 40), '22P03', 'a part of a file'),
    (gguf(imatrix_tensors(ARRAY[dense()]), (imatrix_keys())[1:3]), '22P03', 'a file without the size of its chunks'),
    (NULL, '22004', 'no file')) v (file, state, test);
SELECT throws_ok(format('SELECT import_importance(legacy(ARRAY[ROW(''blk.0.attn_q.weight'', ''{1}'', '
  '''{1,2,3,3e38}'')::entry]), ''experts'', ''a'')'), '22003', NULL, 'a sum that is too large when it is of tokens');
SELECT is(count(*), 3::bigint, 'no set is left of what was refused') FROM calibration_sets;
SELECT add_calibration_set('a text', 'a text') \g /dev/null
SELECT throws_ok($$SELECT import_importance(imatrix(ARRAY[dense()]), 'experts', 'a text')$$, '42710',
  'calibration set "a text" has a text', 'a set with a text');

-- Other tensors are skipped, and so is what llama-imatrix once wrote about embeddings that serve as output.
SELECT is(import_importance(imatrix(ARRAY[dense(), ROW('blk.7.attn_q.weight', '{1}', '{1}')::entry,
  ROW('token_embd.weight', '{1}', '{1,2,3,4,5}')::entry]), 'experts', 'some'), 1, 'only what the model has');
SELECT is(import_importance(imatrix(ARRAY[ROW('token_embd.weight', '{1}', '{1,2,3,4}')::entry]), 'experts', 'tied'),
  1, 'the embedding, with one number per column');
SELECT is(import_importance(imatrix(ARRAY[ROW('blk.0.attn_q.weight', '{0}', '{0,0,0,0}')::entry]), 'experts',
  'none'), 1, 'a tensor that saw no token');
SELECT is(importance_vector('experts', 'blk.0.attn_q.weight', 'none'), '{1,1,1,1}', 'is as if there were none');
SELECT import_gguf(expert_gguf(), 'other') AS other \gset
SELECT is(import_importance(imatrix(ARRAY[dense()]), 'other', 'gguf'), 1, 'the same set for another model');

-- Large objects and files
SELECT lo_from_bytea(0, imatrix(ARRAY[dense()])) AS object \gset
SELECT is(import_importance(:object::oid, 'experts', 'object'), 1, 'a large object');
SELECT throws_ok('SELECT import_importance(0::oid, ''experts'', ''b'')', '42704', NULL, 'one that does not exist');
CREATE FUNCTION lib.put(name text, contents bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE object oid := lo_from_bytea(0, contents);
BEGIN
  PERFORM lo_export(object, server_path(name));
  PERFORM lo_unlink(object);
  RETURN server_path(name);
END $$;
\if :has_directory
SELECT put('imatrix.dat', legacy(ARRAY[dense()])) AS path \gset
SELECT is(import_importance(:'path', 'experts', 'path'), 1, 'a file of the server');
SELECT is(export_importance('experts', 'legacy', server_path('out.gguf')),
  length(export_importance('experts', 'legacy'))::bigint, 'export to a file returns its size');
SELECT is(pg_read_binary_file(server_path('out.gguf')), export_importance('experts', 'legacy'), 'with the same bytes');
SELECT is(export_importance('experts', 'legacy', server_path('out.dat'), 'dat', 256), (SELECT
  length(export_importance('experts', 'legacy', 256, 'dat'))::bigint), 'in the legacy format');
SELECT is(import_importance(server_path('out.dat'), 'other', 'read again', 256), 2, 'and it can be read again');
\else
SELECT skip('needs HARTONOMOUS_TMP', 5);
\endif
SELECT throws_ok($$SELECT import_importance('/nonexistent/imatrix', 'experts', 'b')$$, '58P01', NULL, 'no such file');
SELECT throws_ok($$SELECT export_importance('experts', 'gguf', 'relative.gguf')$$, '42602', NULL, 'a relative path');
CREATE ROLE plain_user;
GRANT USAGE ON SCHEMA hartonomous TO plain_user;
SET LOCAL ROLE plain_user;
SELECT throws_ok($$SELECT hartonomous.import_importance('/tmp/x', 'experts', 'b')$$, '42501', NULL,
  'a path needs the right to read files of the server');
SELECT throws_ok($$SELECT hartonomous.export_importance('experts', 'gguf', '/tmp/x')$$, '42501', NULL,
  'or to write them');
RESET ROLE;

-- Exports are the files that llama-imatrix writes of the same statistics.
SELECT is(export_importance('experts', 'gguf', 4), imatrix(ARRAY[dense(), expert()], 'gguf'), 'a GGUF file');
SELECT is(export_importance('experts', 'gguf', 4, 'dat'), legacy(ARRAY[
    ROW('blk.0.attn_q.weight', '{3}', ARRAY[1::real / 10 * 3, 2::real / 10 * 3, 0, 9])::entry,
    ROW('blk.0.ffn_up_exps.weight', '{2}', '{1,2,2,2,1,3}')::entry], 2, 'gguf'),
  'a legacy file, whose sums are means times chunks');
SELECT is(export_importance('experts', 'none', format => 'gguf'),
  gguf(imatrix_tensors(ARRAY[ROW('blk.0.attn_q.weight', '{0}', '{0,0,0,0}')::entry]), imatrix_keys('none', 0, 512)),
  'a tensor that saw no token');
SELECT throws_ok($$SELECT export_importance('experts', 'none', format => 'dat')$$, '22023',
  'importance matrix: there is nothing to write', 'has no place in a legacy file');
SELECT throws_ok($$SELECT export_importance('experts', 'gguf', format => 'json')$$, '22023',
  'unknown format "json" of importance matrices', 'an unknown format');
SELECT throws_ok($$SELECT export_importance('experts', 'gguf', 0)$$, '22023', 'chunk_size must be positive',
  'chunks of no token');
SELECT throws_ok($$SELECT export_importance('experts', 'b')$$, '55000', NULL, 'no such set');
SELECT throws_ok(format('SELECT export_importance(%s)', arguments), state, NULL, format('export_importance(%s)',
    arguments)) FROM (VALUES ('NULL, ''gguf''', '22004'), ('''experts'', ''gguf'', NULL::text', '22004'),
  ('''experts'', ''gguf'', format => NULL', '22004'), ('''experts''', '22023'), ('999', '42704'))
  v (arguments, state);
SELECT import_gguf(expert_gguf(), 'only') AS ONLY \gset
SELECT import_importance(imatrix(ARRAY[dense()]), 'only', 'gguf') \g /dev/null
SELECT is(export_importance('only'), export_importance('only', 'gguf'), 'the only set need not be named');
UPDATE calibration_stats SET n_ctx = 4 WHERE model_id = :only;
SELECT is(export_importance('only'), export_importance('only', 'gguf', 4),
  'a chunk is a window of the text, if that is known');

-- The newest statistics are shown, but those of the live revision before others.
SELECT current_revision(:model) AS imported \gset
CALL quantize_model('experts', 'F16');
SELECT is(importance_vector('experts', 'blk.0.attn_q.weight', 'gguf'), '{0.1,0.2,0,3}', 'of an older revision');
SELECT is(
  import_importance(imatrix(ARRAY[ROW('blk.0.attn_q.weight', '{1}', '{1,2,3,4}')::entry]), 'experts', 'gguf'),
  1, 'the set may have statistics of each revision');
SELECT is(importance_vector('experts', 'blk.0.attn_q.weight', 'gguf'), '{1,2,3,4}', 'of the live revision');
SELECT rollback_model('experts', :imported) \g /dev/null
SELECT is(importance_vector('experts', 'blk.0.attn_q.weight', 'gguf'), '{0.1,0.2,0,3}', 'which is another now');
SELECT backup_model('experts') AS copy \gset
SELECT rollback_model('experts', :copy) \g /dev/null
SELECT is(importance_vector('experts', 'blk.0.attn_q.weight', 'gguf'), '{0.1,0.2,0,3}',
  'a copy has the statistics of what it is a copy of');
SELECT rollback_model('experts', :imported) \g /dev/null

-- The table belongs to a user, who may write anything there.
CREATE FUNCTION lib.spoilt(assignment text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('UPDATE calibration_stats SET %s WHERE calibration_set = ''some''', assignment);
  PERFORM importance_vector('experts', 'blk.0.attn_q.weight', 'some');
  RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
SELECT is(spoilt(assignment), state, assignment) FROM (VALUES
  ('columns = 3', '55000'), ('experts = 2', '55000'), ('token_counts = ''{1,2}''', '55000'),
  ('token_counts = ''{}''', '55000'), ('token_counts = ''{NULL}''', '22004'), ('token_counts = ''{{1}}''', '2202E'),
  ('token_counts = ''{-1}''', '22003'), ('sums_of_squares = weights(''{1,2,3}''::real[])', '55000'),
  ('sums_of_squares = weights(''{1,2,3,-4}''::real[])', '55000'),
  ('sums_of_squares = weights(''{1,2,3,Infinity}''::real[])', '55000'),
  ('sums_of_squares = quantize(''{1,2,3,4}''::real[], ''F16'')', 'accepted')) v (assignment, state);
ALTER TABLE calibration_stats DROP CONSTRAINT calibration_stats_columns_check;
SELECT is(spoilt('columns = -4'), '22003', 'columns = -4');
ALTER TABLE calibration_stats ALTER columns TYPE bigint;
SELECT throws_ok($$SELECT importance_vector('experts', 'blk.0.attn_q.weight', 'some')$$, '42804', NULL,
  'a column of another type');
SELECT throws_ok($$SELECT export_importance('experts', 'some')$$, '42804', NULL, 'in an export, too');
SELECT is(matrices_of(shape), n, format('matrices in %s', shape)) FROM (VALUES ('{3,5,2}'::bigint[], 3::bigint),
  ('{5,2}', 1), ('{2}', 1), ('{}', 1), ('{2,3,4,5}', 6), ('{0,4,5}', 0), (NULL, NULL)) v (shape, n);
SELECT * FROM finish();
ROLLBACK;
