-- How far a job is: what it does, the percentage that is done, and the seconds left, from what was measured
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/wide_model.sql
SELECT plan(34);
SELECT import_gguf(wide_gguf(), 'wide') AS m \gset
SELECT present(:m) AS original \gset

-- How many trials there can be, and what counts as a duration
SELECT is(most_trials(p::jsonb), n, p)
  FROM (VALUES ('{"target_bytes": 9}', 2), ('{"max_degradation": 1}', 5), ('{}', 5),
    ('{"stages": [1, 2, 3]}', 3), ('{"stages": []}', 1), ('{"stages": 7}', 5), ('{"max_changes": 4}', 4),
    ('{"target_bytes": 9, "removals": true}', 2 + 2 * (SELECT count(*)::integer FROM removals_to_try())),
    ('{"max_changes": 0}', 1), ('{"max_changes": 1e300}', 1000000),
    ('{"max_changes": null}', 5), ('[1]', 5)) v (p, n);
SELECT is(most_trials(NULL), 5, 'parameters that are NULL');
SELECT is(ARRAY(SELECT plausible_seconds(s)
                  FROM unnest('{NULL,-1,0,1.5,1e300,Infinity,-Infinity,NaN}'::float8[]) WITH ORDINALITY u (s, n)
                  ORDER BY n),
  '{NULL,0,0,1.5,1e9,1e9,0,1e9}'::float8[], 'durations that can be added up');

-- Before the first trial
SELECT add_calibration_set('cats', left(story(), 500)), add_validation_set('others', repeat('a.bird.sang;', 20))
  \g /dev/null
INSERT INTO compression_jobs (model_id, procedure, parameters, original_revision_id, baseline_revision_id, state)
  SELECT :m, 'compress_model',
  '{"target_bytes": 9, "calibration_set": "cats", "validation_set": "others", "formats": ["Q4_0"]}', :original,
         :original, 'running' RETURNING job_id AS job \gset
CREATE FUNCTION lib.activity(job bigint) RETURNS text LANGUAGE sql
  RETURN (SELECT concat_ws('|', doing, percent, coalesce(seconds_left::text, 'not known')) FROM job_activity(job));
SELECT is(activity(:job), 'collecting calibration statistics|0|not known', 'first the statistics');
CALL collect_calibration('wide', 'cats');
SELECT matches(activity(:job), '^measuring errors of formats, 0 of [1-9][0-9]*\|0\|not known$', 'then the errors');
CALL measure_sensitivity('wide', 'cats', 'hessian', '{Q4_0}');
SELECT ok(bool_and(seconds > 0 AND seconds < 600), 'how long they took is stored') FROM sensitivities;
SELECT is(activity(:job), format('probing tensors, %s of %1$s|33|not known', count(*)),
  'all is measured: one of three parts is done')
  FROM sensitivity_probes;
SELECT count(*) AS errors, (SELECT count(*) FROM sensitivity_probes) AS probes FROM sensitivities \gset
UPDATE sensitivities SET seconds = 2;
UPDATE sensitivity_probes SET seconds = 3;
DELETE FROM sensitivity_probes WHERE layer_id IN (SELECT layer_id FROM sensitivity_probes ORDER BY layer_id LIMIT 2);
SELECT results_eq(format($$SELECT share, seconds_left FROM sensitivity_activity(%s, 'cats', '{Q4_0}')$$, :m),
  format('VALUES (%s / %s::float8, 6::float8)', :errors + :probes - 2, :errors + :probes),
  'two probes of three seconds are left');
DELETE FROM sensitivities WHERE (layer_id, format, method) IN (SELECT layer_id, format, method FROM sensitivities
  WHERE format = 'Q4_0' AND method = 'hessian' ORDER BY layer_id LIMIT 1);
SELECT is(seconds_left, 8::float8, 'and an error of two') FROM sensitivity_activity(:m, 'cats', '{Q4_0}');
SELECT is(seconds_left, NULL, 'for a set that does not exist') FROM sensitivity_activity(:m, 'none', '{Q4_0}');

-- A trial: of two tensors with 3 and 1 parts of the weights, the larger is done in six seconds; measuring takes ten
INSERT INTO compression_trials (job_id, change, parent_revision_id)
  VALUES (:job, '{"stage": "quantize", "format": "Q8_0"}', :original) RETURNING trial_id AS trial \gset
SELECT is(activity(:job), 'quantize (format Q8_0)|33|not known', 'a trial that has not begun');
INSERT INTO compression_runs (model_id, stage, state) VALUES (:m, 'quantize', 'running') RETURNING run_id AS run \gset
INSERT INTO compression_steps (run_id, layer_id, operation, state, seconds)
  SELECT :run, layer_id, 'quantize', CASE WHEN layer_name ~ 'ffn' THEN 'done' ELSE 'waiting' END,
         CASE WHEN layer_name ~ 'ffn' THEN 6 END
    FROM model_layers WHERE model_id = :m AND layer_name IN ('blk.0.ffn_up.weight', 'blk.0.attn_q.weight');
SELECT is(activity(:job), 'quantize (format Q8_0), 1 of 2 tensors|46|not known',
  'how long measuring takes is not known');
INSERT INTO validation_results (model_id, revision_id, validation_set, kl_divergence, seconds)
  VALUES (:m, :original, 'others', 0, 10);
-- The second tensor has half as many weights: 3 s, and 10 for measuring; then another trial, of 9 + 10.
SELECT is(activity(:job), 'quantize (format Q8_0), 1 of 2 tensors|46|32', 'with another trial that may follow');
UPDATE compression_steps SET seconds = 'NaN' WHERE seconds = 6;
SELECT matches(activity(:job), '\|46\|2000000020$', 'seconds that are none are no error');
UPDATE compression_steps SET seconds = 6 WHERE state = 'done';
UPDATE compression_runs SET state = 'completed', finished_at = clock_timestamp() - interval '1 hour',
  revision_id = :original
 WHERE run_id = :run;
UPDATE compression_trials SET revision_id = :original WHERE trial_id = :trial;
SELECT is(activity(:job), 'measuring: quantize (format Q8_0)|60|16', 'measured for longer than expected');
UPDATE compression_trials SET verdict = 'kept', seconds = 7 WHERE trial_id = :trial;
SELECT matches(activity(:job), '^measuring errors of formats, .*\|66\|not known$|^deciding what to try\|66\|not known$',
  'between two trials');
INSERT INTO compression_trials (job_id, change, parent_revision_id) VALUES (:job, '{"stage": "validate"}', :original);
SELECT is(activity(:job), 'validate|66|7', 'a trial that has not begun takes as long as the one before');

-- What other sessions see
-- (This transaction has held the lock of the model since it was calibrated. test/tap/compress.t has jobs that are
-- stopped.)
SELECT results_eq('SELECT state, percent, seconds_left, pid FROM job_progress(''wide'')',
  $$VALUES ('running', 66, 7::float8, pg_backend_pid())$$, 'somebody works on it');
UPDATE compression_jobs SET state = 'completed';
SELECT results_eq('SELECT state, doing, percent, seconds_left FROM job_progress(''wide'')',
  $$VALUES ('completed', NULL, 100, NULL::float8)$$, 'it is complete');
UPDATE compression_jobs SET state = 'abandoned';
SELECT is(percent, 50, 'abandoned after one of two trials') FROM job_progress('wide');

-- The loop
INSERT INTO compression_jobs (model_id, procedure, parameters, original_revision_id, state)
  VALUES (:m, 'ooda_cycle', '{"max_changes": 2}', :original, 'running') RETURNING job_id AS cycle \gset
SELECT is(activity(:cycle), 'deciding what to try|0|not known', 'a cycle begins');
INSERT INTO ooda_hypotheses (model_id, revision_id, job_id, hypothesis_type, level, rationale, risk_score, shown_sql,
  state)
  VALUES (:m, :original, :cycle, 'CacheWarming', 1, '', 0, '', 'accepted');
SELECT is(activity(:cycle), 'deciding what to try|50|not known', 'of two changes one, which needed no trial');
SELECT throws_ok('SELECT job_activity(0)', 'P0002', NULL, 'no such job');
SELECT * FROM finish();
ROLLBACK;
