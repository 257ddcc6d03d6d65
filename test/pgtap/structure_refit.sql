-- Structured pruning with a calibration set: structures are ranked by what they write, and what is kept is refitted.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/structured_model.sql
SELECT plan(30);
SELECT import_gguf(structured_gguf(), 'whole') AS m \gset
SELECT add_calibration_set('story', story()) \g /dev/null
SELECT score AS by_weights FROM structure_scores(:m, 'neurons') WHERE structure = 5 \gset
CALL collect_calibration(:m, 'story');

-- Scores
SELECT ok(abs(score / ((SELECT (sums_of_squares::real[])[6] FROM calibration_stats
                         WHERE layer_id = layer(:m, 'blk.0.ffn_down.weight'))
                  * (SELECT sum(w * w) FROM unnest(part(:m, 'blk.0.ffn_down.weight', NULL, '{5}')) w)) - 1) < 1e-5,
  'a neuron is worth the energy of its activation times that of its column')
  FROM structure_scores(:m, 'neurons') WHERE structure = 5;
SELECT ok(abs(score / (SELECT sum(i * e)
    FROM unnest((SELECT sums_of_squares::real[]::float8[] FROM calibration_stats
             WHERE layer_id = layer(:m, 'blk.0.attn_output.weight')),
           (SELECT of_columns FROM matrix_energies(:m, 'blk.0.attn_output.weight', 1))) WITH ORDINALITY u (i, e, n)
    WHERE n > 8) - 1) < 1e-5, 'a group of heads the sum over its columns')
  FROM structure_scores(:m, 'heads') WHERE structure = 1;
SELECT is(array_agg(s.score ORDER BY s.structure), array_agg(n.score ORDER BY n.structure),
  'the only set is the default')
  FROM structure_scores(:m, 'neurons') s JOIN structure_scores(:m, 'neurons', 'story') n USING (structure);
SELECT isnt(score, :'by_weights'::float8, 'other scores than those of weights alone')
  FROM structure_scores(:m, 'neurons') WHERE structure = 5;

-- A neuron that is never active goes first, whatever its weights.
SELECT import_gguf(structured_gguf(), 'idle') AS idle \gset
UPDATE tensor_atoms SET atom_data = array_fill(0::real, ARRAY[16])
  WHERE layer_id = layer(:idle, 'blk.0.ffn_gate.weight') AND atom_sequence IN (3, 40);
UPDATE tensor_atoms SET atom_data = (SELECT array_agg(CASE WHEN n IN (4, 41) THEN 0 ELSE w END ORDER BY n)::real[]
    FROM unnest(atom_data::real[]) WITH ORDINALITY u (w, n)) WHERE layer_id = layer(:idle, 'blk.0.ffn_gate.bias');
CALL collect_calibration(:idle, 'story');
SELECT is(array_agg(structure ORDER BY structure), '{3,40}', 'neurons that are never active have no energy')
  FROM structure_scores(:idle, 'neurons') WHERE score = 0;
SELECT extract_by_neurons(:idle, 62 / 64.0, 'without idle', 1) AS s \gset
SELECT is(parameters ->> 'refit', 'true', 'what is kept is refitted where there are Gram matrices')
  FROM model_history(:s);
SELECT is(parameters ->> 'calibration_set', 'story', 'by the only calibration set') FROM model_history(:s);
SELECT is(part(:s, 'blk.0.ffn_down.weight'), part(:idle, 'blk.0.ffn_down.weight', NULL,
  ARRAY(SELECT n FROM generate_series(0, 63) n WHERE n NOT IN (3, 40))),
  'but needs no change for what was never active');
SELECT ok(abs(perplexity(:s, story(), 32) / perplexity(:idle, story(), 32) - 1) < 1e-6, 'the student says the same');

-- One of two neurons that are always equally active: the other one can do its work.
SELECT import_gguf(structured_gguf(), 'twins') AS twins \gset
UPDATE tensor_atoms a SET atom_data = b.atom_data FROM tensor_atoms b
  WHERE a.layer_id IN (layer(:twins, 'blk.0.ffn_gate.weight'), layer(:twins, 'blk.0.ffn_up.weight'))
    AND b.layer_id = a.layer_id AND a.atom_sequence = 5 AND b.atom_sequence = 6;
UPDATE tensor_atoms SET atom_data = (SELECT array_agg(CASE n WHEN 6 THEN (atom_data::real[])[7] ELSE w END ORDER BY n)
    FROM unnest(atom_data::real[]) WITH ORDINALITY u (w, n))
  WHERE layer_id IN (layer(:twins, 'blk.0.ffn_gate.bias'), layer(:twins, 'blk.0.ffn_up.bias'));
CALL collect_calibration(:twins, 'story');
CREATE FUNCTION lib.without_twin(name text, refit jsonb) RETURNS integer LANGUAGE sql VOLATILE AS $$
  SELECT create_student(model_id, name, '{}', plan => structure_plan(model_id, 'neurons', 64,
      ARRAY[ROW(0, ARRAY(SELECT n FROM generate_series(0, 63) n WHERE n <> 5))::kept_structures], refit),
    new_metadata => with_size(metadata, 'llama.feed_forward_length', 63)) FROM models WHERE model_name = 'twins' $$;
SELECT without_twin('cut', '{}') AS cut \gset
SELECT without_twin('refitted', jsonb_build_object('calibration_set', 'story', 'revision', present(:twins),
  'damping', 1e-9)) AS refitted \gset
SELECT ok(max(abs(r.w - a.w - b.w)) < 1e-3, 'the column of a neuron that is its twin''s is added to that')
  FROM unnest(part(:refitted, 'blk.0.ffn_down.weight', NULL, '{5}')) WITH ORDINALITY r (w, n)
  JOIN unnest(part(:twins, 'blk.0.ffn_down.weight', NULL, '{5}')) WITH ORDINALITY a (w, n) USING (n)
  JOIN unnest(part(:twins, 'blk.0.ffn_down.weight', NULL, '{6}')) WITH ORDINALITY b (w, n) USING (n);
SELECT ok(abs(ln(perplexity(:refitted, story(), 32) / perplexity(:twins, story(), 32))) < 1e-4,
  'so that the model says the same');
SELECT ok(abs(ln(perplexity(:cut, story(), 32) / perplexity(:twins, story(), 32))) > 1e-3, 'which it does not without');

-- Heads; an energy that ranks; quantized weights
SELECT extract_by_heads(:m, 0.5, 'h') AS s \gset
SELECT is(parameters ->> 'refit', 'true', 'attn_output is refitted') FROM model_history(:s);
SELECT extract_by_heads(:m, 0.5, 'h as it was', refit => false) AS t \gset
SELECT isnt(part(:s, 'blk.0.attn_output.weight'), part(:t, 'blk.0.attn_output.weight'), 'its weights change');
SELECT is(part(:s, 'blk.0.attn_v.weight'), part(:t, 'blk.0.attn_v.weight'), 'and no others');
CALL quantize_model(:m, 'Q8_0', layer_pattern => '%ffn_down%');
SELECT throws_ok(format('SELECT extract_by_neurons(%s, 0.5, calibration_set => ''story'')', :m), '55000',
  'the live revision of model "whole" has no statistics of calibration set "story"', 'statistics of another revision');
CALL collect_calibration(:m, 'story');
SELECT extract_by_neurons(:m, 0.5, 'q') AS s \gset
SELECT is(weights_format(atom_data), 'Q8_0', 'quantized weights stay quantized')
  FROM tensor_atoms WHERE layer_id = layer(:s, 'blk.0.ffn_down.weight') AND atom_sequence = 0;
SELECT ok(perplexity(:s, story(), 32) > 1, 'and the student can be run');
SELECT rollback_model(:m) \g /dev/null

-- Requests that make no sense
SELECT throws_ok(format('SELECT extract_by_neurons(%s, 0.5, damping => %L)', :m, damping), '22023', NULL,
  concat('damping ', damping)) FROM unnest('{0,-1,Infinity,NaN,NULL}'::text[]) damping;
SELECT throws_ok(format('SELECT structure_scores(%s, ''neurons'', ''none'')', :m), '55000', NULL, 'no such set');
SELECT add_calibration_set('second', repeat('another-text,', 20)) \g /dev/null
CALL collect_calibration(:m, 'second', statistics => 'diagonal');
SELECT throws_ok(format('SELECT extract_by_neurons(%s, 0.5)', :m), '22023', NULL, 'one of two sets must be named');
SELECT extract_by_neurons(:m, 0.5, 'diagonal', calibration_set => 'second') AS s \gset
SELECT is(parameters ->> 'refit', 'false', 'sums of squares rank neurons, but refit nothing') FROM model_history(:s);
SELECT throws_ok(format('SELECT extract_by_neurons(%s, 0.5, calibration_set => ''second'', refit => true)', :m),
  '55000', 'there are no Gram matrices to refit by', 'a refit without Gram matrices');
CALL svd_compress_model(:twins, rank => 12, factor_format => 'F32', layer_pattern => '%ffn_down%');
CALL collect_calibration(:twins, 'story');
SELECT throws_ok(format('SELECT extract_by_neurons(%s, 0.5, refit => true)', :twins), '0A000',
  'factored tensors cannot be refitted', 'a factored tensor');
SELECT throws_ok(format('SELECT check_operation(%L, %L)', 'select', arguments), '22023', NULL, arguments)
  FROM unnest(ARRAY['{"rows": [0], "shape": [1], "damping": 1}',
                    '{"rows": [0], "shape": [1], "calibration_set": "story", "revision": 1}']) arguments;
SELECT * FROM finish();
ROLLBACK;
