-- Compressing towards a size or a loss: neurons and blocks are removed on trial, and stay removed if that is better.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/wide_model.sql
SELECT plan(42);
CREATE FUNCTION lib.other_story() RETURNS text LANGUAGE sql
RETURN left(repeat('a.bird.sang;one.fish.swam;no.fox.came?', 20), 600);
SELECT add_validation_set('others', other_story()) \g /dev/null
SELECT add_calibration_set('cats', story()) \g /dev/null
CREATE FUNCTION lib.neurons(model integer) RETURNS integer LANGUAGE sql AS $$
  SELECT tensor_shape[1]::integer FROM model_layers WHERE model_id = model AND layer_name = 'blk.0.ffn_up.weight' $$;
CREATE FUNCTION lib.tried() RETURNS text[] LANGUAGE sql AS $$
  SELECT array_agg(concat_ws(' ', change ->> 'stage', change ->> 'keep_ratio', verdict) ORDER BY trial_id)
    FROM compression_trials WHERE job_id = (SELECT max(job_id) FROM compression_jobs) $$;

-- Neurons that do nothing
SELECT import_gguf(wide_gguf(640, 96), 'dead') AS m \gset
SELECT present(:m) AS original, md5(export_gguf(:m)) AS file \gset
CALL compress_model(:m, target_bytes => 48000, n_ctx => 64, measure => 'kl_divergence');
SELECT is((tried())[3:4], '{remove_neurons 0.95 kept,plan kept}',
  'dead neurons are removed, and formats allocated then');
SELECT is((tried())[5], CASE WHEN (tried())[6] = 'plan kept' THEN 'remove_neurons 0.9 kept'
                             ELSE 'remove_neurons 0.9 rejected' END, 'more are removed only if that is better');
SELECT is(present(:m), (SELECT revision_id FROM compression_trials WHERE trial_id = best_trial(job_id)
                         ORDER BY trial_id DESC LIMIT 1), 'the best is live');
SELECT ok((SELECT logical_bytes FROM model_revisions WHERE revision_id = present(:m)) <= 48000,
  'as small as was asked for');
SELECT ok((SELECT neurons(:m)) < 640, 'with fewer neurons');
SELECT is((SELECT count(*) FROM check_model(:m)), 0::bigint, 'without faults');
SELECT is((SELECT array_agg(DISTINCT e ->> 'stage') FROM jsonb_array_elements(revision_recipe(present(:m))) e),
  '{plan,remove_neurons}', 'the recipe has both');
SELECT ok((SELECT report[2] FROM compression_jobs) ~ '^kept: remove_neurons \(calibration_set cats, keep_ratio 0\.9',
  'and the report says so');
SELECT is((SELECT count(*) FROM model_revisions WHERE model_id = :m AND state = 'backup'), 2::bigint,
  'what was rejected is gone, besides the original and what the best was made of');
SELECT is((SELECT array_agg(DISTINCT s.revision_id) <@ (
    SELECT array_agg(r.revision_id) FROM model_revisions r WHERE r.state IN ('live', 'backup'))
  FROM calibration_stats s), true, 'statistics of what was rejected are gone, too');
SELECT is((SELECT percent FROM job_progress(:m)), 100, 'the job is done');
SELECT rollback_model(:m, :original) \g /dev/null
SELECT is(md5(export_gguf(:m)), :'file', 'the original state is one rollback away');

-- Without removals
CALL compress_model(:m, target_bytes => 48000, n_ctx => 64, measure => 'kl_divergence', removals => false);
SELECT is(cardinality(tried()), 2, 'removals => false allocates formats only');
SELECT rollback_model(:m, :original) \g /dev/null

-- Neurons that are needed
SELECT import_gguf(wide_gguf(640, 0), 'full') AS f \gset
SELECT present(:f) AS whole \gset
CALL compress_model(:f, target_bytes => 48000, n_ctx => 64, measure => 'kl_divergence');
SELECT is((tried())[3:], '{remove_neurons 0.95 rejected}',
  'a removal that loses more than it can bring is put back at once');
SELECT ok(
  (SELECT reason FROM compression_trials ORDER BY trial_id DESC
    LIMIT 1) ~ '^loses .* by itself, more than it can bring$',
  'with the reason');
SELECT is(neurons(:f), 640, 'and the model has all its neurons');
SELECT is((SELECT count(*) FROM model_structures s WHERE s.model_id = :f AND s.metadata IS NOT NULL), 0::bigint,
  'without the metadata of another structure');
SELECT rollback_model(:f, :whole) \g /dev/null

-- A loss
CALL compress_model(:m, max_degradation => 0.02, n_ctx => 64, measure => 'kl_divergence');
SELECT ok(bool_and(loss <= 0.02) AND max(bytes_after) < 283392 * 2, 'what is kept for a loss is within it')
  FROM compression_trials WHERE verdict = 'kept' AND job_id = (SELECT max(job_id) FROM compression_jobs);
SELECT ok('remove_neurons' = ANY (ARRAY(SELECT change ->> 'stage' FROM compression_trials
    WHERE job_id = (SELECT max(job_id) FROM compression_jobs))), 'a removal is tried there, too');
SELECT is((SELECT count(*) FROM check_model(:m)), 0::bigint, 'without faults');
SELECT rollback_model(:m, :original) \g /dev/null

-- A size that a removal reaches by itself
CALL compress_model(:m, target_bytes => 290000, n_ctx => 64, measure => 'kl_divergence', formats => '{Q8_0}');
SELECT is((SELECT count(*) FROM check_model(:m)), 0::bigint, 'a size just below the present one');
SELECT ok((SELECT logical_bytes FROM model_revisions WHERE revision_id = present(:m)) <= 290000, 'is reached');
SELECT rollback_model(:m, :original) \g /dev/null

-- A job that was stopped after a removal was kept continues from there.
CREATE FUNCTION lib.stopped_job(model integer) RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO compression_jobs (model_id, procedure, parameters, original_revision_id, baseline_revision_id, state)
  SELECT model_id, 'compress_model', compression_goal(model_id, 48000, NULL, NULL, NULL, NULL, NULL, 'kl_divergence',
           NULL, 64), current_revision, current_revision, 'running' FROM models WHERE model_id = model
  RETURNING job_id $$;
SELECT stopped_job(:m) AS job \gset
SELECT add_trial(:job, '{"stage": "remove_neurons", "keep_ratio": 0.95, "calibration_set": "cats"}') AS trial \gset
CALL remove_neurons(:m, 0.95, calibration_set => 'cats');
SELECT note_revision(:trial) AS noted \gset
SELECT judge_trial(:trial, 'kept', NULL) \g /dev/null
SELECT is(pending_step(:job), :trial::bigint, 'a removal waits for formats');
CALL compress_model(:m, target_bytes => 48000, n_ctx => 64, measure => 'kl_divergence');
SELECT is((SELECT array_agg(DISTINCT job_id) FROM compression_trials WHERE trial_id >= :trial), ARRAY[:job::bigint],
  'the same call continues the job');
SELECT is((tried())[2], 'plan kept', 'with formats for what is left');
SELECT is((SELECT parent_revision_id FROM compression_trials WHERE job_id = :job ORDER BY trial_id OFFSET 1 LIMIT 1),
  (SELECT revision_id FROM compression_trials WHERE trial_id = :trial), 'made from there');
SELECT is((SELECT state FROM compression_jobs WHERE job_id = :job), 'completed', 'to its end');
SELECT is((SELECT count(*) FROM check_model(:m)), 0::bigint, 'without faults');

SELECT rollback_model(:m, :original) \g /dev/null
SELECT stopped_job(:m) AS job \gset
UPDATE compression_jobs SET parameters = parameters || '{"target_bytes": 1000}' WHERE job_id = :job;
SELECT add_trial(:job, '{"stage": "remove_neurons", "keep_ratio": 0.95, "calibration_set": "cats"}') AS trial \gset
CALL remove_neurons(:m, 0.95, calibration_set => 'cats');
SELECT note_revision(:trial) AS noted, judge_trial(:trial, 'kept', NULL) \gset
SELECT throws_ok(format('SELECT next_trial(%s)', :job), NULL, NULL, 'what no formats can reach is out of reach');
CALL collect_calibration(:m, 'cats');
CALL measure_sensitivity(:m, 'cats', 'hessian');
UPDATE compression_jobs SET parameters = parameters || '{"removals": false}' WHERE job_id = :job;
INSERT INTO compression_trials (job_id, change, parent_revision_id, verdict) VALUES
  (:job, '{"stage": "plan"}', :original, 'rejected'), (:job, '{"stage": "plan"}', :original, 'rejected');
UPDATE compression_trials SET trial_id = trial_id + 10 WHERE trial_id = :trial;
SELECT is(next_trial(:job), NULL, 'if only a removal has put it there, the job goes on without that');
SELECT is(verdict, 'rejected', 'which is taken back') FROM compression_trials WHERE trial_id = :trial + 10;
SELECT is(present(:m), :original, 'to the original state');
UPDATE compression_jobs SET state = 'abandoned' WHERE job_id = :job;

-- Arguments
SELECT throws_ok(format('CALL compress_model(%s, target_bytes => 40000, removals => NULL)', :m), '22004', NULL,
  'removals cannot be NULL');
SELECT is((expected_of_change(:m, '{"stage": "remove_blocks", "count": 1}', NULL)).tensors, 0::bigint,
  'the only block cannot be removed');

SELECT is(whole_blocks(:m, '{"stage": "remove_neurons"}'), '{"stage": "remove_neurons"}',
  'rows of 640 weights fit no K format anyway');
UPDATE model_layers SET row_length = 512, tensor_shape = '{32,512}', parameter_count = 32 * 512
 WHERE layer_id = layer(:m, 'blk.0.ffn_down.weight');
SELECT is(whole_blocks(:m, '{"stage": "remove_neurons"}'), '{"stage": "remove_neurons", "multiple": 256}',
  'rows of 512 still fit them after a removal');
UPDATE model_layers SET row_length = 640, tensor_shape = '{32,640}', parameter_count = 32 * 640
 WHERE layer_id = layer(:m, 'blk.0.ffn_down.weight');

-- Hypotheses
SELECT ooda_hypothesize(:m, 'cats') \g /dev/null
SELECT is(array_agg(hypothesis_type || ' ' || level ORDER BY level), '{RemoveNeurons 1,RemoveNeurons 2}',
  'the loop proposes to remove neurons') FROM ooda_hypotheses WHERE hypothesis_type LIKE 'Remove%';
SELECT is(shown_sql,
  format('CALL hartonomous.remove_neurons(%L, calibration_set => ''cats'', keep_ratio => 0.9);', 'dead'),
  'as a user would') FROM ooda_hypotheses WHERE hypothesis_type = 'RemoveNeurons' AND level = 1 AND model_id = :m;
SELECT is(shown_sql(:m, '{"stage": "remove_blocks", "count": 1, "protected_blocks": [0, 2]}'),
  'CALL hartonomous.remove_blocks(''dead'', count => 1, protected_blocks => ''{0, 2}'');', 'a list of blocks');
SELECT ooda_approve(hypothesis_id) FROM ooda_hypotheses
 WHERE hypothesis_type = 'RemoveNeurons' AND level = 1 AND model_id = :m \g /dev/null
CALL ooda_cycle(:m, 'others', 'cats', max_degradation => 0.5, risk_limit => 0, n_ctx => 64);
SELECT is((SELECT state FROM ooda_hypotheses WHERE hypothesis_type = 'RemoveNeurons' AND level = 1 AND model_id = :m
            AND revision_id = :original), 'accepted', 'a cycle removes them, and keeps what loses nothing');
SELECT is(neurons(:m), 576, 'for good');
SELECT is((SELECT count(*) FROM check_model(:m)), 0::bigint, 'without faults');
SELECT * FROM finish();
ROLLBACK;
