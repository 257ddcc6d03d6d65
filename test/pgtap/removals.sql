-- Stages that remove parts of a model itself: the same as in a student, and rolled back like any stage.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/structured_model.sql
SELECT plan(59);
SELECT import_gguf(structured_gguf(), 'whole') AS m \gset
SELECT export_gguf(:m) AS original \gset
CREATE FUNCTION lib.faults(model integer) RETURNS text[] LANGUAGE sql VOLATILE AS $$
  SELECT array_agg(concat_ws(' ', fault, object, detail)) FROM (
    SELECT fault, object, detail FROM check_model(model) UNION ALL SELECT fault, object, detail
    FROM check_store()) f $$;
-- Everything about the tensors of a model, and its metadata.
CREATE FUNCTION lib.structure(model integer) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT md5(string_agg(to_jsonb(l)::text, ',' ORDER BY layer_id) || (SELECT to_jsonb(m) - 'current_revision'
    FROM models m WHERE model_id = model)::text) FROM model_layers l WHERE model_id = model $$;
ALTER TABLE model_layers ADD note text;
UPDATE model_layers SET note = 'mine: ' || layer_name WHERE model_id = :m;
SELECT structure(:m) AS structure \gset

-- Neurons
SELECT extract_by_neurons(:m, 0.5, 'student') AS s \gset
CALL remove_neurons(:m, 0.5, dry_run => true);
SELECT is(structure(:m) || present(:m), :'structure' || 1, 'a dry run changes nothing');
CALL remove_neurons(:m, 0.5);
SELECT present(:m) AS half \gset
SELECT is(md5(export_gguf(:m)), md5(export_gguf(:s)), 'a model without half of its neurons is its student');
SELECT is(faults(:m), NULL, 'and has no faults');
SELECT is(shape(:m, 'blk.0.ffn_down.weight') || size_of(:m, 'feed_forward_length')::bigint, '{16,32,32}',
  'its shapes and metadata say so');
SELECT is((m.parameter_count, r.logical_bytes, r.atom_count), (s.parameter_count, t.logical_bytes, t.atom_count),
  'its numbers are those of the student')
  FROM models m JOIN model_revisions r ON r.revision_id = m.current_revision, models s
  JOIN model_revisions t ON t.revision_id = s.current_revision WHERE m.model_id = :m AND s.model_id = :s;
SELECT is(array_agg(l.note ORDER BY layer_id), array_agg('mine: ' || l.layer_name ORDER BY layer_id),
  'tensors keep their numbers and the columns of the user') FROM model_layers l WHERE model_id = :m;
SELECT is(stage || ' ' || parameters::text, 'remove_neurons {"refit": false, "damping": 0.01, "keep_ratio": 0.5}',
  'the revision says how it was made') FROM model_revisions WHERE revision_id = :half;
SELECT perplexity(:m, story(), 32) AS perplexity_of_half \gset
SELECT perplexity(:m, story(), 32, 1) AS perplexity_of_whole \gset
SELECT is(:perplexity_of_half::float8, perplexity(:s, story(), 32), 'it runs as its student');
SELECT isnt(:perplexity_of_whole::float8, :perplexity_of_half::float8,
  'and the whole model, which is not live, as before');
CALL remove_neurons(:m, 1);
SELECT is(present(:m), :half, 'nothing to remove makes no revision');

-- Stages build on each other, and each can be undone.
CALL quantize_model(:m, 'F16', pure => true);
SELECT present(:m) AS quantized \gset
SELECT structure_id AS structure_of_half FROM model_revisions WHERE revision_id = :quantized \gset
CALL remove_neurons(:m, 16 / 32.0, 16);
SELECT present(:m) AS quarter \gset
SELECT is(shape(:m, 'blk.0.ffn_up.weight'), '{16,16}', 'neurons can be removed again');
SELECT export_gguf(:m) AS file_of_quarter \gset
SELECT is(faults(:m), NULL, 'without faults');
DELETE FROM tensor_atoms WHERE model_id = :m AND importance_score < (
  SELECT min(importance_score) + 0.1 FROM tensor_atoms WHERE model_id = :m);
SELECT rollback_model(:m, 1) \g /dev/null
SELECT is(structure(:m), :'structure', 'over three stages back everything is as it was imported');
SELECT is(md5(export_gguf(:m)), md5(:'original'::bytea), 'and so is the file');
SELECT is(faults(:m), NULL, 'without faults');
SELECT rollback_model(:m, :quantized) \g /dev/null
SELECT is(shape(:m, 'blk.0.ffn_up.weight'), '{32,16}', 'forward to a stage after the removal');
SELECT is(faults(:m), NULL, 'without faults');
SELECT rollback_model(:m, :quarter) \g /dev/null
SELECT is(shape(:m, 'blk.0.ffn_up.weight'), '{16,16}', 'forward to the last one');
SELECT is(faults(:m), NULL, 'without faults');
SELECT rollback_model(:m) \g /dev/null
SELECT is(present(:m), :quantized, 'one stage back');
SELECT is(array_agg(concat_ws(' ', layer_name, removed, added, re_encoded) ORDER BY layer_id)
    FILTER (WHERE layer_name ~ 'up.weight|attn_q.weight'),
  '{"blk.0.attn_q.weight 0 0 0","blk.0.ffn_up.weight 64 32 0"}',
  'revisions of other shapes differ by all atoms of these tensors') FROM diff_revisions(1, :half);
SELECT is(sum(removed + added), 0::numeric, 'those of the same shapes as ever') FROM diff_revisions(:half, :quantized);
SELECT is(round(perplexity(:m, story(), 32, :half)::numeric, 9), round(:perplexity_of_half::numeric, 9),
  'a backup with the live structure runs');
SELECT is(kl_divergence > 0, true, 'predictions are compared with those of another structure')
  FROM measure_accuracy(:m, story(), 32, :half, 1);
SELECT backup_model(:m) AS copy \gset
SELECT is(structure_id, :structure_of_half, 'a copy has the structure of the live revision')
  FROM model_revisions WHERE revision_id = :copy;
CALL prune_by_importance(:m, 0.9, method => 'in_place');
SELECT rollback_model(:m, 1) \g /dev/null
SELECT rollback_model(:m, :copy) \g /dev/null
SELECT is(faults(:m), NULL, 'a copy and an in-place stage across structures have no faults');
SELECT extract_by_neurons(:m, 0.5, 'student of the half', 16) AS s2 \gset
SELECT is(shape(:s2, 'blk.0.ffn_up.weight'), '{16,16}', 'a student is made of the live structure');
SELECT is(array_agg(e ->> 'stage'), '{remove_neurons,quantize,remove_neurons}', 'a recipe names the removals')
  FROM jsonb_array_elements(revision_recipe(:quarter)) e;

-- What was measured
SELECT import_gguf(structured_gguf(), 'measured') AS c \gset
SELECT add_calibration_set('story', story()) \g /dev/null
CALL collect_calibration(:c, 'story');
SELECT record_usage(:c, story(), 32) > 0 AS used \gset
SELECT extract_by_neurons(:c, 0.5, 'refitted') AS r \gset
SELECT present(:c) AS whole \gset
CALL remove_neurons(:c, 0.5);
SELECT is(md5(export_gguf(:c)), md5(export_gguf(:r)), 'what is left is refitted as in a student');
SELECT is(parameters - 'calibration_revision',
  '{"refit": true, "damping": 0.01, "keep_ratio": 0.5, "calibration_set": "story"}', 'which the revision says')
  FROM model_revisions WHERE revision_id = present(:c);
SELECT is(calibrated_revision(:c, present(:c), 'story'), NULL, 'statistics are those of the revision before');
SELECT is(array_agg(DISTINCT tensor_name ORDER BY tensor_name) FILTER (WHERE tensor_name ~ 'ffn'), NULL,
  'uses of atoms are forgotten where shapes have changed')
  FROM atom_usage_stats u JOIN tensor_atoms a USING (model_id, tensor_atom_id) WHERE model_id = :c;
SELECT ok(count(*) > 0, 'and kept elsewhere') FROM atom_usage_stats WHERE model_id = :c;
SELECT rollback_model(:c) \g /dev/null
SELECT is(calibrated_revision(:c, present(:c), 'story'), :whole, 'and are there again after a rollback');

-- A run that was stopped, and one that was given up
SELECT neuron_parameters(:c, 0.5, NULL, NULL, NULL, 0.01, false) AS parameters \gset
SELECT begin_run(:c, 'remove_neurons', 'rewrite', :'parameters', plan_stage(:c, 'remove_neurons', :'parameters'),
  'remove_neurons') AS run \gset
SELECT rewrite_layer(:run, layer(:c, 'blk.0.ffn_down.weight')) \g /dev/null
SELECT seconds AS seconds_of_step FROM compression_steps
  WHERE run_id = :run AND layer_id = layer(:c, 'blk.0.ffn_down.weight') \gset
SELECT is(shape(:c, 'blk.0.ffn_down.weight'), '{16,64}', 'a run that was stopped has not changed the model');
CALL remove_neurons(:c, 0.5);
SELECT is(array_agg(r.state || ' ' || (s.seconds = :seconds_of_step)), '{"completed true"}',
  'the same call resumes it, and does no tensor again')
  FROM compression_runs r JOIN compression_steps s USING (run_id)
 WHERE run_id = :run AND s.layer_id = layer(:c, 'blk.0.ffn_down.weight');
SELECT is(md5(export_gguf(:c)), md5(export_gguf(:r)), 'with the same result');
SELECT rollback_model(:c) \g /dev/null
SELECT begin_run(:c, 'remove_neurons', 'rewrite', :'parameters', plan_stage(:c, 'remove_neurons', :'parameters'),
  'remove_neurons') AS run \gset
SELECT abandon_run(:run) \g /dev/null
SELECT is(array_agg(s.metadata), '{NULL}', 'a run that is given up leaves no metadata')
  FROM model_structures s JOIN model_revisions r USING (structure_id) JOIN compression_runs c USING (revision_id)
 WHERE c.run_id = :run;
SELECT is(faults(:c), NULL, 'and no faults');

-- As a stage of a job
CREATE FUNCTION lib.same_for_all(model integer) RETURNS double precision LANGUAGE sql IMMUTABLE RETURN 1;
CALL compress_model(:c, stages => '[{"stage": "remove_neurons", "keep_ratio": 0.5, "refit": false},
  {"stage": "quantize", "format": "F16", "pure": true}]', evaluator => 'lib.same_for_all(integer)');
SELECT is(shape(:c, 'blk.0.ffn_down.weight'), '{16,32}', 'compress_model() removes neurons');
SELECT revision_recipe(present(:c)) AS recipe \gset
SELECT md5(export_gguf(:c)) AS compressed \gset
SELECT rollback_model(:c, :whole) \g /dev/null
CALL compress_model(:c, stages => :'recipe', evaluator => 'lib.same_for_all(integer)');
SELECT is(md5(export_gguf(:c)), :'compressed', 'and its recipe does it again');

-- Dropping
SELECT rollback_model(:m, 1) \g /dev/null
SELECT drop_backup(revision_id) FROM model_revisions WHERE model_id = :m AND state = 'backup' \g /dev/null
SELECT is(count(metadata), 0::bigint, 'structures that no revision has any more have no metadata')
  FROM model_structures WHERE model_id = :m;
SELECT is(array_agg(e ->> 'stage'), '{remove_neurons,quantize,remove_neurons}',
  'recipes of dropped revisions are known') FROM jsonb_array_elements(revision_recipe(:quarter)) e;
SELECT is(faults(:m), NULL, 'without faults');
SELECT delete_model(:m) \g /dev/null
SELECT is(count(*), 0::bigint, 'a model is deleted with its structures') FROM model_structures WHERE model_id = :m;

-- What cannot be
UPDATE model_structures SET layers = NULL
  WHERE structure_id = (SELECT structure_id FROM model_revisions WHERE revision_id = :whole);
SELECT throws_ok(format('SELECT rollback_model(%s, %s)', :c, :whole), '55000', NULL,
  'a structure that somebody has deleted');
SELECT is(array_agg(DISTINCT fault), '{missing structure}', 'is a fault of the model') FROM check_model(:c);
SELECT ok('missing structure' = ANY (array_agg(fault)), 'and of the store') FROM check_store();
SELECT throws_ok(format('CALL remove_neurons(%s, %s)', :s, arguments), state, NULL, arguments)
  FROM (VALUES ('0', '22023'), ('NULL', '22023'), ('''NaN''', '22023'), ('1.5', '22023'), ('0.5, 0', '22023'),
               ('0.5, calibration_set => ''none''', '55000'), ('0.5, refit => true', '55000'),
               ('0.5, damping => 0', '22023'), ('0.5, dry_run => NULL', '22004')) v (arguments, state);
SELECT throws_ok('CALL remove_neurons(4711, 0.5)', '42704', NULL, 'no such model');
SELECT throws_ok(format('CALL compress_model(%s, stages => %L, evaluator => ''lib.same_for_all(integer)'')', :s,
  '[{"stage": "remove_neurons", "keep": 1}]'), '22023', 'stage "remove_neurons" has no argument "keep"',
  'an unknown argument');
SELECT * FROM finish();
ROLLBACK;
