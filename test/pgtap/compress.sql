-- Compressing towards a goal: what is tried, measured, kept and taken back; jobs that were stopped; recipes.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/wide_model.sql
\ir ../../examples/evaluator.sql
SELECT plan(99);
SELECT import_gguf(wide_gguf(), 'wide') AS m \gset
SELECT present(:m) AS original \gset
CREATE FUNCTION lib.compress(arguments text) RETURNS text LANGUAGE sql
RETURN format('CALL compress_model(''wide'', %s)', arguments);
CREATE FUNCTION lib.other_story() RETURNS text LANGUAGE sql
RETURN left(repeat('a.bird.sang;one.fish.swam;no.fox.came?', 20), 600);

-- Goals that are none
SELECT throws_ok('CALL compress_model(''none'', target_bytes => 1)', '42704', NULL, 'there must be such a model');
SELECT throws_ok(compress('validation_set => ''others'''), '22004', 'compress_model() needs a goal',
  'a goal is needed');
SELECT throws_ok(compress(a), '22023', NULL, 'refused: ' || a) FROM unnest(ARRAY[
  'target_bytes => 1000, target_bits_per_weight => 4', 'target_bytes => 1000, stages => ''[{"stage": "backup"}]''',
  'target_bytes => 0', 'target_bits_per_weight => 65',
  'target_bits_per_weight => ''NaN''', 'max_degradation => -0.1',
  'max_degradation => ''NaN''', 'target_bytes => 1000, measure => ''taste''', 'target_bytes => 1000, measure => NULL',
  'stages => ''[]''', 'stages => ''{}''', 'stages => ''[1]''', 'stages => ''[{"stage": "magic"}]''',
  'stages => ''[{}]''',
  'stages => ''[{"stage": "quantize", "size": 4}]''', 'stages => ''[{"stage": "prune", "keep_ratio": "half"}]''',
  'stages => ''[{"stage": "plan"}]''', 'stages => ''[{"stage": "plan", "operations": [1]}]''',
  'stages => ''[{"stage": "plan", "operations": [{"layer_name": "none", "operation": "copy"}]}]''',
  'stages => ''[{"stage": "plan", "operations": [{"layer_name": "output_norm.weight", "operation": "quantize",'
  ' "arguments": {"format": 1}}]}]''', 'stages => ''[{"stage": "validate", "text": "cats"}]''']) a;
SELECT throws_ok(compress('target_bytes => 1000, dry_run => NULL'), '22004', NULL, 'dry_run cannot be NULL');
SELECT throws_ok(compress('target_bytes => 20000'), '42704', 'there is no validation set', 'a text to measure on');
SELECT add_validation_set('others', other_story()) \g /dev/null
SELECT throws_ok(compress('target_bytes => 20000'), '42704', 'there is no calibration set', 'a text to calibrate on');
SELECT add_calibration_set('cats', story()) \g /dev/null
SELECT throws_ok(compress('target_bytes => 20000, validation_set => ''none'''), '42704', NULL, 'a set that exists');
SELECT throws_ok(compress('target_bytes => 20000, formats => ''{Q9}'''), '22023', NULL, 'formats that exist');
SELECT throws_ok(compress('stages => ''[{"stage": "validate"}]'', dry_run => true, n_ctx => ' || n), '22023', NULL,
  'a context that no text or model has is refused before anything is done: ' || n)
  FROM unnest('{-1,65,1000000}'::int[]) n;
UPDATE validation_sets SET text = 'too short';
SELECT throws_ok(compress('stages => ''[{"stage": "validate"}]'', dry_run => true'), '22023',
  'validation set "others" has too few tokens for a context of 64', 'and so is a text that is too short');
UPDATE validation_sets SET text = other_story();
SELECT add_validation_set('third', 'Something else.') \g /dev/null
SELECT throws_ok(compress('target_bytes => 20000'), '22023', 'there are several validation sets: name one',
  'of several sets one must be named');
DELETE FROM validation_sets WHERE validation_set = 'third';
SELECT is((SELECT count(*) FROM compression_jobs), 0::bigint, 'no call that was refused began a job');

-- A size
CALL compress_model('wide', target_bytes => 20000, n_ctx => 64, measure => 'kl_divergence', dry_run => true);
SELECT is((SELECT count(*) FROM compression_jobs), 0::bigint, 'a dry run begins no job');
CALL compress_model('wide', target_bytes => 20000, n_ctx => 64, measure => 'kl_divergence');
SELECT is(present(:m) > :original, true, 'the model has a new revision');
SELECT cmp_ok((SELECT logical_bytes FROM model_revisions WHERE revision_id = present(:m)), '<=', 20000::bigint,
  'it is as small as was asked for');
SELECT results_eq('SELECT verdict FROM compression_trials ORDER BY trial_id',
  'SELECT v FROM unnest(ARRAY[''kept'', ''rejected'']) v', 'of two allocations one is kept') ;
SELECT is((SELECT revision_id FROM compression_trials WHERE verdict = 'kept'), present(:m), 'and is live');
SELECT is((SELECT r.state FROM compression_trials t JOIN model_revisions r USING (revision_id)
            WHERE t.verdict = 'rejected'), 'dropped', 'the space of the other is free again');
SELECT is((SELECT count(*) FROM compression_trials t JOIN validation_results v USING (result_id)
            WHERE t.loss = v.kl_divergence AND t.loss_error = v.kl_divergence_error AND v.revision_id = t.revision_id
              AND v.baseline_revision_id = :original AND v.validation_set = 'others'), 2::bigint,
  'both were measured, and their results are kept');
SELECT is((SELECT state || cardinality(report) FROM compression_jobs), 'completed3', 'the job reports in three lines');
SELECT results_eq('SELECT state, percent, trials, kept, best_bytes, pid FROM job_progress(''wide'')',
  format('VALUES (''completed'', 100, 2::bigint, 1::bigint, %s::bigint, NULL::integer)',
         (SELECT bytes_after FROM compression_trials WHERE verdict = 'kept')), 'so does job_progress()');
SELECT is((SELECT count(*) FROM check_model('wide')), 0::bigint, 'the model has no faults');
SELECT throws_ok(compress('target_bytes => 20000, n_ctx => 64'), '55000', NULL,
  'all that could get another format has one already');
SELECT throws_ok('SELECT * FROM job_progress(''none'')', '42704', NULL, 'progress of no model');

-- The front, and recipes
SELECT results_eq('SELECT revision_id, on_front FROM compression_front(''wide'') ORDER BY bytes DESC, kl_divergence',
  $$SELECT revision_id, row_number() OVER (ORDER BY kl_divergence) <= 2
      FROM compression_front('wide') ORDER BY bytes DESC, kl_divergence$$,
  'the original and the better of two equally small ones are on the front');
SELECT is((SELECT count(*) FROM compression_front('wide')), 3::bigint, 'what was rejected is shown as well');
SELECT is((SELECT recipe FROM compression_front('wide') WHERE revision_id = :original), '[]',
  'what was imported has no recipe');
SELECT throws_ok('SELECT * FROM compression_front(''wide'', ''none'')', '42704', NULL, 'the front on no set');
SELECT throws_ok('SELECT * FROM compression_front(''none'')', '42704', NULL, 'the front of no model');
SELECT throws_ok('SELECT revision_recipe(0)', '42704', NULL, 'a recipe of no revision');
SELECT throws_ok('SELECT revision_recipe(NULL)', '42704', NULL, 'nor of NULL');
SELECT import_gguf(llama_gguf(), 'little') AS little \gset
CALL prune_by_importance('little', keep_ratio => 0.8);
CALL svd_compress_model('little', rank => 3, residual => true);
SELECT is(revision_recipe(present(:little)), '[
  {"stage": "prune", "scope": "tensor", "keep_ratio": 0.8, "keep_ratio_of": "imported", "layer_pattern": "%",
   "include_vectors": false, "include_embeddings": false},
  {"rank": 3, "stage": "svd", "min_gain": 0, "residual": true, "factor_format": "F16", "layer_pattern": "%",
   "residual_ratio": 0.05}]', 'the recipe of other stages has their arguments');
SELECT lives_ok(format('SELECT stage_parameters(%s, r.step ->> ''stage'', r.step - ''stage'')
  FROM jsonb_array_elements(revision_recipe(%s)) r (step)', :little, present(:little)), 'which the stages take again');
SELECT import_gguf(wide_gguf(), 'again') AS again \gset
CALL collect_calibration('again', 'cats');
SELECT revision_recipe(present(:m)) AS recipe \gset
CALL compress_model('again', stages => :'recipe', n_ctx => 64);
SELECT is((SELECT md5(string_agg(content_hash::text, '' ORDER BY tensor_name, atom_sequence)) FROM tensor_atoms
            WHERE model_id = :again),
          (SELECT md5(string_agg(content_hash::text, '' ORDER BY tensor_name, atom_sequence)) FROM tensor_atoms
            WHERE model_id = :m), 'a recipe gives another model with the same weights the same bytes');

-- A loss
SELECT rollback_model('wide', :original) \g /dev/null
CALL compress_model('wide', max_degradation => 1e-3, n_ctx => 64, measure => 'kl_divergence');
SELECT ok(bool_and(loss <= 1e-3 AND bytes_after < bytes_before), 'what is kept loses no more than was allowed')
  FROM compression_trials WHERE verdict = 'kept' AND job_id = (SELECT max(job_id) FROM compression_jobs);
SELECT is(count(*) FILTER (WHERE loss <= 1e-3 AND reason NOT IN ('not better than what was kept', 'another is better')),
  0::bigint, 'the others lost more, or were not better')
  FROM compression_trials WHERE verdict = 'rejected' AND job_id = (SELECT max(job_id) FROM compression_jobs);
SELECT rollback_model('wide', :original) \g /dev/null
CALL compress_model('wide', max_degradation => 0, n_ctx => 64, measure => 'kl_divergence');
SELECT is(present(:m), :original, 'if no loss is allowed nothing is kept');

-- Stages
CALL compress_model('wide', max_degradation => 0.01, measure => 'kl_divergence', n_ctx => 64, stages => '[
  {"stage": "backup"}, {"stage": "prune", "keep_ratio": 0.2, "include_embeddings": true},
  {"stage": "quantize", "format": "Q8_0"}, {"stage": "archive"}, {"stage": "validate"}]');
SELECT results_eq(
  'SELECT change ->> ''stage'', verdict FROM compression_trials
    WHERE job_id = (SELECT max(job_id) FROM compression_jobs) ORDER BY trial_id',
  $$VALUES ('backup', 'kept'), ('prune', 'rejected'), ('quantize', 'kept'), ('archive', 'kept'), ('validate', 'kept')$$,
  'each stage is measured, and taken back if it loses too much');
SELECT is((SELECT array_agg(state ORDER BY revision_id) FROM model_revisions
            WHERE model_id = :m AND (kind = 'copy' OR revision_id = :original)), '{backup,archived}',
  'the copy is archived, not the state from which the job began');
SELECT is((SELECT string_agg(DISTINCT weights_format(atom_data), ' ' ORDER BY weights_format(atom_data))
             FROM tensor_atoms WHERE model_id = :m), 'F32 Q8_0', 'the stages that were kept are live');
SELECT is((SELECT count(*) FROM (SELECT atom_sequence, layer_id FROM tensor_atoms WHERE model_id = :m) a), (
  SELECT atom_count FROM model_revisions WHERE revision_id = :original), 'and all atoms are there');
SELECT rollback_model('wide', :original) \g /dev/null

-- Another network, by a function of the user's own
CALL compress_model('digits', max_degradation => 0.02, evaluator => 'digit_accuracy(integer)',
  stages => '[{"stage": "quantize", "format": "Q8_0", "pure": true}, {"stage": "prune", "keep_ratio": 0.1}]');
SELECT is((SELECT string_agg(verdict, ' ' ORDER BY trial_id) FROM compression_trials
            WHERE job_id = (SELECT max(job_id) FROM compression_jobs)), 'kept rejected',
  'an evaluator decides what is kept');
SELECT throws_ok(
  'CALL compress_model(''digits'', stages => ''[{"stage": "backup"}]'', evaluator => ''pg_backend_pid()'')',
  '42883', NULL, 'an evaluator must be a function of the model');

SELECT throws_ok(
  'CALL compress_model(''digits'', stages => ''[{"stage": "validate"}]'', dry_run => true)', '0A000', NULL,
  'no text measures a network that is not a language model');
CREATE FUNCTION lib.no_number(model integer) RETURNS double precision LANGUAGE sql RETURN 'NaN'::float8;
SELECT throws_ok(
  'CALL compress_model(''digits'', stages => ''[{"stage": "backup"}]'', evaluator => ''no_number(integer)'')',
  '22023', NULL, 'the score of the model as it is must be a number');
-- The loss between two scores.
CREATE FUNCTION lib.loss(before double precision, after double precision) RETURNS double precision LANGUAGE sql AS $$
  INSERT INTO validation_results (model_id, revision_id, evaluator, score, seconds)
    SELECT m.model_id, r.revision_id, 'f', r.score, 0
      FROM models m CROSS JOIN LATERAL (
        SELECT min(o.revision_id), before FROM model_revisions o WHERE o.model_id = m.model_id UNION ALL
        SELECT max(o.revision_id), after FROM model_revisions o WHERE o.model_id = m.model_id) r (revision_id, score)
     WHERE m.model_name = 'wide' ORDER BY r.revision_id;
  SELECT l.loss FROM models m CROSS JOIN LATERAL loss_of_result((SELECT max(result_id) FROM validation_results),
    'perplexity', (SELECT min(revision_id) FROM model_revisions o WHERE o.model_id = m.model_id)) l
   WHERE m.model_name = 'wide' $$;
SELECT is(loss(s[1]::float8, s[2]::float8), s[3]::float8, format('a score from %s to %s', s[1], s[2]))
  FROM (VALUES ('{4,3,0.25}'::text[]), ('{-4,-5,0.25}'), ('{0,0,0}'), ('{0,1,NULL}'), ('{4,NULL,NULL}'),
    ('{4,NaN,NULL}'),
    ('{Infinity,Infinity,NULL}'), ('{NaN,NaN,NULL}'), ('{4,-Infinity,NULL}'), ('{1e308,-1e308,Infinity}'),
    ('{1e-300,1e300,-Infinity}')) v (s);
DELETE FROM validation_results WHERE evaluator = 'f';

-- Jobs that were stopped: a job whose last trial has no verdict yet
CREATE FUNCTION lib.job(verdict text) RETURNS text LANGUAGE sql AS $$
  WITH j AS (
    INSERT INTO compression_jobs (model_id, procedure, parameters, original_revision_id, baseline_revision_id, state)
    SELECT model_id, 'compress_model', compression_goal(model_id, NULL, NULL, 0.5, NULL, NULL,
             '[{"stage": "quantize", "format": "Q8_0"}]', 'perplexity', NULL, 64), current_revision, current_revision,
    'running'
      FROM models WHERE model_name = 'wide' RETURNING job_id)
  INSERT INTO compression_trials (job_id, change, parent_revision_id, bytes_before)
  SELECT job_id, '{"stage": "quantize", "format": "Q8_0"}', current_revision, 1 FROM j, models WHERE model_name = 'wide'
  RETURNING trial_id::text $$;
SELECT job(NULL) AS trial \gset
CALL quantize_model('wide', 'Q8_0');
SELECT present(:m) AS quantized \gset
SELECT is((SELECT doing FROM job_progress('wide') LIMIT 1), 'quantize (format Q8_0)',
  'job_progress() shows what a job has left to do');
CALL compress_model('wide', max_degradation => 0.5, n_ctx => 64, stages => '[{"stage": "quantize", "format": "Q8_0"}]');
SELECT results_eq('SELECT revision_id, verdict FROM compression_trials WHERE trial_id = ' || :trial,
  format('VALUES (%s, ''kept'')', :quantized), 'the same call takes up what the stopped trial has done');
SELECT rollback_model('wide', :original) \g /dev/null
SELECT job(NULL) AS trial \gset
CALL quantize_model('wide', 'Q8_0');
CALL compress_model('wide', stages => '[{"stage": "validate"}]', n_ctx => 64);
SELECT is(
  (SELECT verdict || state FROM compression_trials JOIN compression_jobs USING (job_id) WHERE trial_id = :trial),
  'abandonedabandoned', 'another call gives the stopped job up');
SELECT is(present(:m), :original, 'and rolls back what nobody has measured');
SELECT job(NULL) AS trial \gset
CALL quantize_model('wide', 'Q8_0');
CALL quantize_model('wide', 'Q4_0', requantize => true);
SELECT present(:m) AS mine \gset
CALL compress_model('wide', stages => '[{"stage": "validate"}]', n_ctx => 64);
SELECT is(present(:m), :mine, 'what the user has made meanwhile stays');


-- Stopped jobs whose model others have changed meanwhile
SELECT rollback_model('wide', :original) \g /dev/null
CREATE FUNCTION lib.same_call() RETURNS text LANGUAGE sql
RETURN compress('max_degradation => 0.5, n_ctx => 64, stages => ''[{"stage": "quantize", "format": "Q8_0"}]''');
SELECT job(NULL) AS trial \gset
CALL prune_by_importance('wide', keep_ratio => 0.9);
SELECT present(:m) AS mine \gset
SELECT same_call() \gexec
SELECT is((SELECT verdict FROM compression_trials WHERE trial_id = :trial), 'abandoned',
  'another stage of the same parent is not the work of the trial');
SELECT is((SELECT state FROM model_revisions WHERE revision_id = :mine), 'backup', 'and is not taken back');
SELECT is((SELECT original_revision_id FROM compression_jobs ORDER BY job_id DESC LIMIT 1), :mine,
  'the same call begins anew from there');
SELECT rollback_model('wide', :original) \g /dev/null
SELECT job(NULL) AS trial \gset
CALL quantize_model('wide', 'Q8_0');
UPDATE compression_trials SET revision_id = present(:m) WHERE trial_id = :trial;
SELECT rollback_model('wide', :original) \g /dev/null
SELECT same_call() \gexec
SELECT is((SELECT verdict FROM compression_trials WHERE trial_id = :trial), 'abandoned',
  'a trial that somebody has rolled back is not judged');
SELECT rollback_model('wide', :original) \g /dev/null
SELECT job(NULL) AS trial \gset
CALL quantize_model('wide', 'Q8_0');
SELECT present(:m) AS quantized \gset
SELECT drop_backup(:original) \g /dev/null
SELECT lives_ok(same_call(), 'the state to go back to was dropped');
SELECT is((SELECT verdict FROM compression_trials WHERE trial_id = :trial), 'abandoned',
  'so that the trial is given up');
SELECT is(present(:m), :quantized, 'but stays');

-- Results in other windows are not compared
SELECT validate_model_accuracy('wide', 'others', :quantized, 16) \g /dev/null
CALL compress_model('wide', stages => '[{"stage": "validate"}]');
SELECT is(
  (SELECT n_ctx FROM compression_trials JOIN validation_results USING (result_id) ORDER BY trial_id DESC LIMIT 1), 64,
  'a trial takes no result of another context');
SELECT is((SELECT parameters -> 'n_ctx' FROM compression_jobs ORDER BY job_id DESC LIMIT 1), '64',
  'its goal names one');
SELECT validate_model_accuracy('wide', 'others', :quantized, 16) \g /dev/null
SELECT is((SELECT count(*) FROM compression_front('wide')), 1::bigint, 'nor does the front');

-- Rows that somebody has edited
SELECT lives_ok(format('UPDATE compression_jobs SET state = ''running'', parameters = %L;
  UPDATE compression_trials SET verdict = NULL, change = %L WHERE trial_id = %s; SELECT * FROM job_progress();
  SELECT job_report(job_id) FROM compression_jobs', v.parameters, v.change, :trial), 'shown as it is: ' || v.change)
  FROM (VALUES ('1', '1'), ('[1]', '[1]'), ('{"stages": 1}', 'null'), ('{"stages": {}}', '{"stage": ["plan"]}'),
          ('{"stages": []}', '{"stage": "plan", "operations": 1}'),
          ('{}', '{"stage": "plan", "operations": [1, {"arguments": {"sequential": "maybe"}}]}')
  ) v (parameters, change);

SELECT * FROM finish();
ROLLBACK;
