-- Structured pruning: students whose matrices have fewer rows and columns than their parent's.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/structured_model.sql
SELECT plan(82);
-- What is wrong with a student, or ''.
CREATE FUNCTION lib.wrong_with(student integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  file bytea := export_gguf(student);
  said text[] := ARRAY(SELECT concat_ws(' ', fault, object, detail) FROM check_model(student));
BEGIN
  IF export_gguf(import_gguf(file, 'again ' || student)) <> file THEN
    said := said || 'its file does not come out as it went in'::text;
  END IF;
  IF (SELECT (m.parameter_count, r.atom_count, r.logical_bytes) IS DISTINCT FROM
             (SELECT (sum(parameter_count)::bigint, a.atoms, a.bytes::bigint) FROM model_layers l
               WHERE l.model_id = student)
        FROM models m JOIN model_revisions r ON r.revision_id = m.current_revision,
             (SELECT count(*) AS atoms, sum(weights_bytes(atom_data)) AS bytes FROM tensor_atoms
               WHERE model_id = student) a
       WHERE m.model_id = student) THEN said := said || 'its numbers are wrong'::text; END IF;
  RETURN array_to_string(said, '; ');
END $$;

SELECT import_gguf(structured_gguf(), 'whole') AS m \gset
SELECT holds(:m) AS before \gset

-- Scores
SELECT is(count(*), 64::bigint, 'each neuron has a score') FROM structure_scores(:m, 'neurons');
SELECT ok(abs(score - sqrt((SELECT sum(w * w) FROM unnest(part(:m, 'blk.0.ffn_gate.weight', '{5}')) w)
                  * (SELECT sum(w * w) FROM unnest(part(:m, 'blk.0.ffn_up.weight', '{5}')) w)
                  * (SELECT sum(w * w) FROM unnest(part(:m, 'blk.0.ffn_down.weight', NULL, '{5}')) w))) < 1e-5,
  'which is the product of the norms of its two rows and its column')
  FROM structure_scores(:m, 'neurons') WHERE structure = 5;
SELECT is(array_agg(block || ' ' || structure), '{0 0,0 1}', 'two groups of heads have scores')
  FROM structure_scores(:m, 'heads');
SELECT ok(abs(score - sqrt((SELECT sum(w * w) FROM unnest(part(:m, 'blk.0.attn_q.weight', '{8,9,10,11,12,13,14,15}')) w)
                  * (SELECT sum(w * w) FROM unnest(part(:m, 'blk.0.attn_k.weight', '{4,5,6,7}')) w)
                  * (SELECT sum(w * w) FROM unnest(part(:m, 'blk.0.attn_v.weight', '{4,5,6,7}')) w)
                  * (SELECT sum(w * w) FROM unnest(part(:m, 'blk.0.attn_output.weight', NULL,
                       '{8,9,10,11,12,13,14,15}')) w))) < 1e-4 * score,
  'which is the product of the norms of their queries, keys, values and outputs')
  FROM structure_scores(:m, 'heads') WHERE structure = 1;
SELECT throws_ok(format('SELECT structure_scores(%s, %L)', :m, kind), '22023', NULL, 'kind ' || coalesce(kind, 'NULL'))
  FROM unnest(ARRAY['experts', 'layers', NULL]) kind;

-- Neurons
SELECT extract_by_neurons(:m, 0.5) AS s \gset
SELECT array_agg(structure ORDER BY structure) AS kept FROM (
  SELECT structure FROM structure_scores(:m, 'neurons') ORDER BY score DESC LIMIT 32) t \gset
SELECT is(wrong_with(:s), '', 'a student with half of the neurons');
SELECT is(model_name || ' ' || parent_model_id, 'whole_Student_32_neurons ' || :m, 'has a name and a parent')
  FROM models WHERE model_id = :s;
SELECT is(parameters - '{parent_model,parent_revision}'::text[],
  '{"strategy": "neurons", "keep_ratio": 0.5, "kept": 32, "of": 64, "refit": false}', 'and a history')
  FROM model_history(:s);
SELECT is(shape(:s, 'blk.0.ffn_gate.weight'), '{32,16}', 'its gate has fewer rows');
SELECT is(shape(:s, 'blk.0.ffn_up.weight'), '{32,16}', 'its up matrix, too');
SELECT is(shape(:s, 'blk.0.ffn_down.weight'), '{16,32}', 'its down matrix has fewer columns');
SELECT is(shape(:s, 'blk.0.ffn_gate.bias'), '{32}', 'and its biases are shorter');
SELECT is(shape(:s, 'blk.0.attn_q.weight'), '{16,16}', 'other tensors keep their shapes');
SELECT is(size_of(:s, 'feed_forward_length'), 32, 'the metadata say so');
SELECT is(part(:s, 'blk.0.' || tensor),
  part(:m, 'blk.0.' || tensor, CASE WHEN side = 'rows' THEN :'kept'::integer[] END,
    CASE WHEN side = 'columns' THEN :'kept'::integer[] END), tensor || ' has the best neurons, bit for bit')
  FROM structure_parts('neurons') t (tensor, side);
SELECT bag_eq(format('SELECT x, y, importance_score, content_hash FROM tensor_atoms WHERE layer_id = %s',
    layer(:s, 'blk.0.ffn_gate.weight')),
  format(
    'SELECT x, y, importance_score, content_hash FROM tensor_atoms WHERE layer_id = %s AND atom_sequence = ANY (%L)',
    layer(:m, 'blk.0.ffn_gate.weight'), :'kept'), 'rows keep their positions and importance');
SELECT is(holds(:m), :'before', 'the parent does not change');
SELECT extract_by_neurons(:m, 1, 'all') AS s \gset
SELECT ok(export_gguf(:s) = export_gguf(:m), 'with all neurons it is the same file');
SELECT is(shape(extract_by_neurons(:m, ratio, format('%s in %s', ratio, multiple), multiple), 'blk.0.ffn_up.weight'),
  ARRAY[neurons, 16]::bigint[],
  format('a share of %s in multiples of %s', ratio, multiple))
  FROM (VALUES (0.01, NULL, 32), (0.8, NULL, 64), (0.8, 8, 48), (0.8, 1, 51),
    (0.001, 1, 1)) v (ratio, multiple, neurons);
SELECT import_gguf(structured_gguf('{1,5,8,9,33,62,63,0}'), 'dead') AS dead \gset
SELECT extract_by_neurons(:dead, 56 / 64.0, 'alive', 8) AS alive \gset
SELECT ok(abs(perplexity(:alive, story(), 32) / perplexity(:dead, story(), 32) - 1) < 1e-6,
  'a model without its dead neurons says the same');
SELECT is(part(:alive, 'blk.0.ffn_down.weight', NULL, '{0,1}'), part(:dead, 'blk.0.ffn_down.weight', NULL, '{2,3}'),
  'since those are the ones removed');
SELECT isnt(perplexity(:dead, story(), 32), perplexity(:m, story(), 32), 'other neurons matter');

-- Heads
SELECT extract_by_heads(:m, 0.5) AS s \gset
SELECT structure AS best FROM structure_scores(:m, 'heads') ORDER BY score DESC LIMIT 1 \gset
SELECT is(wrong_with(:s), '', 'a student with one of two groups of heads');
SELECT is(shape(:s, 'blk.0.' || tensor), shape, tensor || ' is smaller')
  FROM (VALUES ('attn_q.weight', '{8,16}'::bigint[]), ('attn_k.weight', '{4,16}'), ('attn_v.weight', '{4,16}'),
    ('attn_output.weight', '{16,8}'), ('attn_q.bias', '{8}'), ('attn_k.bias', '{4}'), ('attn_v.bias', '{4}')
  ) v (tensor, shape);
SELECT is(array_agg(size_of(:s, 'attention.' || key) ORDER BY n), '{2,1,4,4}',
  'the metadata say so, and how large heads are')
  FROM unnest('{head_count,head_count_kv,key_length,value_length}'::text[]) WITH ORDINALITY u (key, n);
SELECT is(part(:s, 'blk.0.attn_output.weight'), part(:m, 'blk.0.attn_output.weight', NULL,
  ARRAY(SELECT generate_series(8 * :best, 8 * :best + 7))), 'it has the better group');
SELECT import_gguf(structured_gguf('{}', '{0}'), 'unread') AS unread \gset
SELECT ok(abs(perplexity(extract_by_heads(:unread, 0.5, 'read'), story(), 32) / perplexity(:unread, story(), 32) - 1)
  < 1e-6, 'heads that nothing reads can go');
SELECT extract_by_heads(:m, 1, 'all heads') AS s \gset
SELECT ok(export_gguf(:s) <> export_gguf(:m) AND perplexity(:s, story(), 32) = perplexity(:m, story(), 32),
  'with all heads it says the same, and the file gives the size of heads');
SELECT throws_ok(format('SELECT extract_by_heads(%s, 0.5)', import_gguf(structured_gguf('{}', '{}', 'qwen2'), 'qwen')),
  '0A000', 'a qwen2 model cannot have fewer heads', 'llama.cpp could not load a qwen2 with fewer heads');

-- By the name of the strategy
SELECT dynamic_student_extraction(:m, 'neurons', 0.5) AS s \gset
SELECT is(model_name, format('Student_%s_neurons_50pct', :m), 'a strategy that has a name') FROM models
  WHERE model_id = :s;
SELECT is(part(:s, 'blk.0.ffn_down.weight'), part(:m, 'blk.0.ffn_down.weight', NULL, :'kept'),
  'keeps the best neurons');
SELECT is(shape(dynamic_student_extraction(:m, 'heads', 0.5), 'blk.0.attn_k.weight'), '{4,16}', 'or groups of heads');

-- Requests that make no sense
SELECT throws_ok(format('SELECT extract_by_neurons(%s, %L)', :m, ratio), '22023', NULL, concat('a share of ', ratio))
  FROM unnest('{0,-1,1.1,NaN,NULL}'::text[]) ratio;
SELECT throws_ok(format('SELECT extract_by_neurons(%s, 0.5, multiple => %s)', :m, multiple), '22023', NULL,
  'multiples of ' || multiple) FROM unnest('{0,65}'::integer[]) multiple;
SELECT throws_ok(format('SELECT extract_by_neurons(%s, 0.5, %L)', :m, 'whole'), '42710', NULL, 'a name that is taken');
SELECT throws_ok('SELECT extract_by_neurons(NULL, 0.5)', '42704', NULL, 'no parent');
SELECT throws_ok(format('SELECT extract_by_experts(%s, 0.5)', :m), '22023',
  'model "whole" has no experts that can be removed',
  'a model without experts');
SELECT throws_ok(format('SELECT extract_by_neurons(%s, 0.5)', import_gguf(little_gguf(), 'broken')), '55000', NULL,
  'a model that cannot be run');

-- Weight blocks
CALL quantize_model(:m, 'Q8_0', layer_pattern => '%ffn_down%');
SELECT throws_ok(format('SELECT extract_by_neurons(%s, 0.6, multiple => 1)', :m), '22023',
  'rows of 38 weights fit no block of Q8_0', 'rows must be whole blocks');
SELECT extract_by_neurons(:m, 0.5, 'cut') AS s \gset
SELECT is(wrong_with(:s), '', 'a student of a quantized model');
SELECT is((tensor_weights(:s, 'blk.0.ffn_down.weight')::real[])[:32],
  dequantize(quantize(part(:m, 'blk.0.ffn_down.weight', '{0}', :'kept'), 'Q8_0')),
  'blocks that are cut are encoded again');
SELECT create_student(:m, 'whole blocks', '{}', plan => structure_plan(:m, 'neurons', 64,
    ARRAY[ROW(0, ARRAY(SELECT generate_series(32, 63)))::kept_structures]),
  new_metadata => with_size(metadata, 'llama.feed_forward_length', 32)) AS s FROM models WHERE model_id = :m \gset
SELECT is(atom_data::bytea, substr((SELECT atom_data::bytea FROM tensor_atoms
    WHERE layer_id = layer(:m, 'blk.0.ffn_down.weight') AND atom_sequence = 3), 35), 'whole blocks are copied')
  FROM tensor_atoms WHERE layer_id = layer(:s, 'blk.0.ffn_down.weight') AND atom_sequence = 3;
SELECT rollback_model(:m) \g /dev/null

-- Rows of several atoms, some of them missing
SELECT import_gguf(structured_gguf(), 'atoms', atom_size => 10) AS a \gset
DELETE FROM tensor_atoms WHERE layer_id = layer(:a, 'blk.0.ffn_down.weight') AND atom_sequence % 7 IN (0, 1);
SELECT extract_by_neurons(:a, 0.5) AS s \gset
SELECT array_agg(structure ORDER BY structure) AS kept FROM (
  SELECT structure FROM structure_scores(:a, 'neurons') ORDER BY score DESC LIMIT 32) t \gset
SELECT is(wrong_with(:s), '', 'a student of rows of several atoms');
SELECT is(part(:s, 'blk.0.ffn_down.weight'), part(:a, 'blk.0.ffn_down.weight', NULL, :'kept'),
  'columns move from atom to atom, and missing ones are zeros');
SELECT create_student(:a, 'nothing there', '{}', plan => structure_plan(:a, 'neurons', 64,
    ARRAY[ROW(0, ARRAY(SELECT generate_series(0, 19)))::kept_structures]),
  new_metadata => with_size(metadata, 'llama.feed_forward_length', 20)) AS s FROM models WHERE model_id = :a \gset
SELECT is(count(*), 0::bigint, 'atoms of missing weights are missing')
  FROM tensor_atoms WHERE layer_id = layer(:s, 'blk.0.ffn_down.weight') AND atom_sequence < 2;

-- Factored tensors
CALL svd_compress_model(:dead, rank => 12, factor_format => 'F32');
SELECT extract_by_neurons(:dead, 56 / 64.0, 'factored', 8) AS s \gset
SELECT ok(abs(perplexity(:s, story(), 32) / perplexity(:dead, story(), 32) - 1) < 1e-4,
  'a student of a factored model says the same without dead neurons');
SELECT is(count(*),
  (SELECT count(*) FROM svd_compressed_layers WHERE model_id = :dead AND revision_id = present(:dead)),
  'and has factors of its own') FROM svd_compressed_layers WHERE model_id = :s;
SELECT is(array_agg(concat_ws(' ', fault, object, detail)), NULL, 'which fit') FROM check_model(:s);

-- The operation
SELECT throws_ok(format($$CALL run_plan(%s, 'x', ARRAY[ROW(%s, NULL, 'select', '{"rows": [0], "shape": [1, 16]}', NULL,
    NULL, NULL, NULL, NULL, NULL)]::tensor_plan[])$$, :m, layer(:m, 'blk.0.attn_q.weight')), '22023',
  'a tensor of a model keeps its shape', 'no stage can change a shape');
SELECT throws_ok(format('SELECT check_operation(%L, %L)', 'select', arguments), '22023', NULL, arguments)
  FROM unnest('{"{}","{\"rows\": [0]}","{\"rows\": [], \"shape\": [1]}"}'::text[]) arguments;
SELECT throws_ok(format('SELECT selected_atoms(%s, %s, %s, %s, NULL)', layer(:m, 'blk.0.attn_q.weight'), present(:m),
    layer(:m, 'blk.0.attn_q.weight'), kept), '22023', NULL, 'rows ' || kept)
  FROM unnest(ARRAY['''{}''', '''{-1}''', '''{16}''', '''{1,1}''', '''{0}''']) kept;
SELECT throws_ok('SELECT selected_atoms(NULL, NULL, NULL, NULL, NULL)', '22004', NULL, 'no layer');
SELECT is(select_weights('{1,2,3,4,5,6}'::real[]::weights, 3, '{1}', '{0,2}')::real[], '{4,6}',
  'part of a matrix in one value');
SELECT throws_ok('SELECT select_weights(''{1,2,3,4,5}''::real[]::weights, 3, NULL, NULL)', '22023', NULL,
  'a value that is no whole number of rows');
SELECT throws_ok('SELECT select_weights(NULL, 3, NULL, NULL)', '22004', NULL, 'no weights');
SELECT * FROM finish();
ROLLBACK;
