-- Students without some blocks, whose work the last block before each gap takes over as far as it is linear.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/deep_model.sql
SELECT plan(34);
SELECT import_gguf(deep_gguf('{3}'), 'deep') AS m \gset
CREATE FUNCTION lib.changed(student integer, parent integer) RETURNS text[] LANGUAGE sql VOLATILE AS $$
  SELECT array_agg(s.layer_name ORDER BY s.position)
    FROM model_layers s JOIN model_layers p ON p.model_id = parent
     AND p.layer_name = CASE WHEN s.layer_idx < 0 THEN s.layer_name
       ELSE with_layer_number(s.layer_name, (blocks_of(student))[s.layer_idx + 1]) END
   WHERE s.model_id = student
     AND tensor_weights(student, s.layer_name)::real[] <> tensor_weights(parent, p.layer_name)::real[] $$;

-- Which weights change
SELECT extract_by_layers(:m, 4, 'influence', 'repaired', '{0,1,4,5}', story()) AS s \gset
SELECT is(blocks_of(:s), '{0,1,4,5}', 'two blocks are left out');
SELECT is(changed(:s, :m), '{blk.1.ffn_down.weight}', 'the last matrix before them changes, and no other');
SELECT is(parameters -> 'repair', 'true', 'the history tells the repair') FROM model_history(:s);
SELECT is(parameters -> 'damping', '0.01', 'and its damping') FROM model_history(:s);
SELECT is((SELECT count(*) FROM check_model(:s)), 0::bigint, 'the student is valid');
SELECT ok(perplexity(import_gguf(export_gguf(:s), 'round trip'), story(), 32) = perplexity(:s, story(), 32),
  'and can be exported');
SELECT is(tensor_weights(:s, 'blk.1.ffn_down.weight')::real[], tensor_weights(t.t, 'blk.1.ffn_down.weight')::real[],
  'it is the same every time')
  FROM extract_by_layers(:m, 4, 'influence', 'again', '{0,1,4,5}', story(), repair => true) t (t);
SELECT is(changed(extract_by_layers(:m, 4, 'influence', 'as they were', '{0,1,4,5}', story(), repair => false), :m),
  NULL, 'without a repair all weights are the parent''s');
SELECT is(parameters -> 'repair', 'false', 'and the history says so')
  FROM model_history((SELECT model_id FROM models WHERE model_name = 'as they were'));
SELECT is(changed(extract_by_layers(:m, 3, 'influence', 'gaps', '{0,2,4}', story()), :m),
  '{blk.0.ffn_down.weight,blk.1.ffn_down.weight,blk.2.ffn_down.weight}', 'each gap has its block');
SELECT is(changed(extract_by_layers(:m, 2, 'first', 'first two', corpus => story()), :m), '{blk.1.ffn_down.weight}',
  'the last of the first blocks makes up for the rest');
SELECT is(changed(extract_by_layers(:m, 5, 'influence', 'idle', corpus => story()), :m), NULL,
  'a block that does nothing needs nobody to make up for it');
SELECT is(changed(extract_by_layers(:m, 6, 'influence', 'all', corpus => story(), repair => true), :m), NULL,
  'nor does a model without gaps');

-- What they become. At the minimum no other weights of a row are better; so the damped ones are between those of the
-- parent and the best ones.
SELECT extract_by_layers(:m, 4, 'influence', name, '{0,1,4,5}', story(), damping => damping)
  FROM (VALUES ('stiff', 1e12), ('little', 1e-6)) v (name, damping) \g /dev/null
SELECT ok(max(abs(s - p)) < 1e-6, 'much damping leaves the matrix as it is')
  FROM unnest(tensor_weights('stiff', 'blk.1.ffn_down.weight')::real[],
              tensor_weights(:m, 'blk.1.ffn_down.weight')::real[]) u (s, p);
SELECT ok(sum((s - p) ^ 2) BETWEEN 0.0001 * sum((l - p) ^ 2) AND sum((l - p) ^ 2), 'little damping changes it more')
  FROM unnest(tensor_weights(:s, 'blk.1.ffn_down.weight')::real[],
              tensor_weights('little', 'blk.1.ffn_down.weight')::real[],
              tensor_weights(:m, 'blk.1.ffn_down.weight')::real[]) u (s, l, p);

-- Quantized and missing atoms
SAVEPOINT whole;
CALL quantize_model(:m, 'F16', layer_pattern => '%ffn_down%');
SELECT extract_by_layers(:m, 4, 'influence', 'half', '{0,1,4,5}', story()) AS s \gset
SELECT is(array_agg(DISTINCT weights_format(atom_data)), '{F16}', 'the format stays')
  FROM tensor_atoms WHERE model_id = :s AND tensor_name = 'blk.1.ffn_down.weight';
SELECT is(changed(:s, :m), '{blk.1.ffn_down.weight}', 'of weights that change');
ROLLBACK TO whole;
DELETE FROM tensor_atoms WHERE model_id = :m AND tensor_name = 'blk.1.ffn_down.weight' AND atom_sequence = 3;
SELECT extract_by_layers(:m, 4, 'influence', 'without a row', '{0,1,4,5}', story()) AS s \gset
SELECT is(array_agg(atom_sequence ORDER BY atom_sequence),
  (SELECT array_agg(atom_sequence ORDER BY atom_sequence) FROM tensor_atoms
    WHERE model_id = :m AND tensor_name = 'blk.1.ffn_down.weight'), 'a row that is missing stays so')
  FROM tensor_atoms WHERE model_id = :s AND tensor_name = 'blk.1.ffn_down.weight';
SELECT ok(perplexity(:s, story(), 32) > 1, 'and the student can be run');
ROLLBACK TO whole;

-- Requests that make no sense
SELECT throws_ok(format('SELECT extract_by_layers(%s, 4, ''influence'', ''x'', ''{0,1,4,5}'', story(), %s)', :m, rest),
  '22023', NULL, rest)
  FROM unnest('{damping => 0,damping => -1,damping => ''NaN'',damping => ''Infinity'',damping => NULL}'::text[]) rest;
SELECT throws_ok(format('SELECT extract_by_layers(%s, 4, repair => true)', :m), '22023', 'a repair needs a corpus',
  'a repair without a corpus');
SELECT throws_ok(format('SELECT extract_by_layers(%s, 4, corpus => ''a'')', :m), '22023',
  'the text is too short to repair a block by it', 'one token');
SELECT throws_ok(format('SELECT extract_by_layers(%s, 1, ''influence'', ''x'', ''{2}'', story(), repair => true)', :m),
  '22023', 'nothing can make up for the first blocks of a model', 'a gap at the beginning');
SELECT is(changed(extract_by_layers(:m, 2, 'influence', 'headless', '{2,5}', story()), :m), '{blk.0.ffn_down.weight}',
  'which stays one unless a repair is asked for');
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok(format('SELECT extract_by_layers(%s, 2, corpus => repeat(story(), 300))', :m), '53200', NULL,
  'more text than the memory holds');
RESET hartonomous.max_work_memory;
SELECT throws_ok(format('SELECT check_operation(%L, %L)', 'select', arguments), '22023', NULL, arguments)
  FROM unnest(ARRAY['{"kept_blocks": [0], "before": 0, "corpus": "a"}',
                    '{"kept_blocks": [0], "before": 0, "corpus": "a", "damping": 1, "rows": [0]}']) arguments;
UPDATE tensor_atoms SET atom_data = array_fill('NaN'::real, ARRAY[weights_count(atom_data)::integer])
  WHERE model_id = :m AND tensor_name = 'blk.2.ffn_up.weight' AND atom_sequence = 3;
SELECT throws_ok(format('SELECT extract_by_layers(%s, 2, corpus => story())', :m), '55000',
  'the output of tensor "blk.1.ffn_down.weight" is not finite', 'weights that are not finite');
ROLLBACK TO whole;
CALL svd_compress_model(:m, rank => 4, factor_format => 'F32', layer_pattern => 'blk.1.ffn_down%');
SELECT throws_ok(format('SELECT extract_by_layers(%s, 2, corpus => story(), repair => true)', :m), '0A000',
  'tensor "blk.1.ffn_down.weight" is factored and cannot be changed', 'a factored tensor');
SELECT is(changed(extract_by_layers(:m, 2, 'first', 'factored', corpus => story()), :m), NULL,
  'which stays as it is unless a repair is asked for');
SELECT * FROM finish();
ROLLBACK;
