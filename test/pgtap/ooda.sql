-- The loop: what it proposes, what it acts on, what it keeps and rolls back, and that it asks nothing twice.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/wide_model.sql
\ir ../../examples/evaluator.sql
SELECT plan(100);
SELECT import_gguf(wide_gguf(), 'wide', 16) AS m \gset
SELECT present(:m) AS original \gset
SELECT add_validation_set('others', left(repeat('a.bird.sang;one.fish.swam;no.fox.came?', 20), 600)) \g /dev/null
CREATE FUNCTION lib.hypotheses(wanted text DEFAULT '%') RETURNS SETOF ooda_hypotheses LANGUAGE sql
  BEGIN ATOMIC SELECT h.* FROM ooda_hypotheses h WHERE h.state LIKE wanted ORDER BY h.hypothesis_id; END;

-- Observations
SELECT throws_ok('SELECT * FROM ooda_analyze(''none'')', '42704', NULL, 'observations of no model');
SELECT is((SELECT value FROM ooda_analyze('wide') WHERE topic = 'size' AND unit = 'bytes of weights'),
  (SELECT logical_bytes FROM model_revisions WHERE revision_id = :original)::numeric, 'the size');
SELECT is((SELECT sum(value) FROM ooda_analyze('wide') WHERE topic = 'format'),
  (SELECT logical_bytes FROM model_revisions WHERE revision_id = :original)::numeric, 'the bytes of all formats');
SELECT is((SELECT count(*) FROM ooda_analyze('wide') WHERE topic = 'importance'), 5::bigint,
  'percentiles of importance');
SELECT is((SELECT value FROM ooda_analyze('wide') WHERE topic = 'usage'), NULL, 'no usage was recorded');
SELECT record_usage('wide', 'the cat') \g /dev/null
DELETE FROM atom_usage_stats WHERE tensor_atom_id IN (SELECT s.tensor_atom_id FROM atom_usage_stats s LIMIT 7);
SELECT is((SELECT value FROM ooda_analyze('wide') WHERE topic = 'usage'), 7::numeric, 'atoms that no text has used');
SELECT is((SELECT count(*) FROM ooda_analyze('wide') WHERE topic IN ('index', 'drift', 'backup')), 0::bigint,
  'nothing is wrong with the model');
SELECT backup_model('wide') FROM generate_series(1, 3) \g /dev/null
SELECT is((SELECT count(*) FROM ooda_analyze('wide', keep_last => 1) WHERE topic = 'backup'), 1::bigint,
  'of three backups one is past retention: the newest is kept, and the oldest always');

-- Hypotheses
SELECT throws_ok('SELECT ooda_hypothesize(''none'')', '42704', NULL, 'hypotheses about no model');
SELECT throws_ok('SELECT ooda_hypothesize(''wide'', ''none'')', '42704', NULL, 'with no such calibration set');
SELECT ooda_hypothesize('wide') \g /dev/null
SELECT results_eq('SELECT DISTINCT hypothesis_type FROM ooda_hypotheses ORDER BY 1',
  $$VALUES ('PruneModel'), ('QuantizeModel'), ('SvdCompress')$$, 'the kinds of changes');
SELECT ok(
  bool_and(expected_bytes_saved > 0 AND risk_score BETWEEN 0 AND 1 AND revision_id = :original AND trial_id IS NULL
  AND state = 'proposed' AND shown_sql LIKE 'CALL hartonomous.%(''wide'', %'
  AND rationale LIKE '% tensors would take %'),
  'each has a reason, an expectation, a risk, and SQL to look at') FROM hypotheses();
SELECT is((SELECT expected_bytes_saved FROM hypotheses() WHERE change ->> 'format' = 'Q8_0'),
  (SELECT sum(bytes_before - bytes_after)::bigint FROM quantize_plan('wide', 'Q8_0')),
  'what is saved is what the plan of the stage says');
SELECT set_eq('SELECT hypothesis_id FROM hypotheses()', 'SELECT ooda_hypothesize(''wide'')',
  'the same is not proposed a second time');
SELECT is((SELECT count(*) FROM ooda_hypotheses WHERE hypothesis_type = 'PruneModel'), 3::bigint,
  'atoms can be pruned');
SELECT import_gguf(wide_gguf(), 'few') AS few \gset
SELECT ooda_hypothesize('few') \g /dev/null
SELECT is((SELECT count(*) FROM ooda_hypotheses WHERE hypothesis_type = 'PruneModel' AND model_id = :few), 0::bigint,
  'but not of a model with up to 1000');
SELECT delete_model('few') \g /dev/null
SELECT hypothesis_id AS pruning FROM hypotheses() WHERE hypothesis_type = 'PruneModel' AND level = 1 \gset
SELECT hypothesis_id AS svd FROM hypotheses() WHERE hypothesis_type = 'SvdCompress' AND level = 1 \gset
SELECT throws_ok(format('SELECT %s(0)', f), '42704', 'hypothesis 0 does not exist', f || ' without a hypothesis')
  FROM unnest('{ooda_approve,ooda_reject}'::text[]) f;
SELECT throws_ok(format('SELECT %s(NULL)', f), '42704', NULL, f || ' with NULL')
  FROM unnest('{ooda_approve,ooda_reject}'::text[]) f;
SELECT ooda_reject(:svd) \g /dev/null
SELECT is((SELECT state FROM ooda_hypotheses WHERE hypothesis_id = :svd), 'rejected', 'a user can reject a hypothesis');
SELECT ooda_hypothesize('wide') \g /dev/null
SELECT is((SELECT count(*) FROM hypotheses() WHERE hypothesis_type = 'SvdCompress' AND level = 1), 1::bigint,
  'which is not proposed again for the same state');
SELECT throws_ok(format('SELECT ooda_approve(%s)', :svd), '55000', format('hypothesis %s is rejected', :svd),
  'nor can it be approved any more');
SELECT ooda_approve(:pruning) \g /dev/null
SELECT is((SELECT state FROM ooda_hypotheses WHERE hypothesis_id = :pruning), 'approved', 'or approve one');

-- Acting and learning, one by one
SELECT throws_ok('CALL ooda_act(''none'')', '42704', NULL, 'acting on no model');
SELECT throws_ok('CALL ooda_learn(''none'')', '42704', NULL, 'learning of no model');
CALL ooda_learn('wide');
SELECT is(present(:m), :original, 'there is nothing to learn from yet');
CALL ooda_act('wide', risk_limit => 0);
SELECT is((SELECT h.state || t.revision_id FROM ooda_hypotheses h JOIN compression_trials t USING (trial_id)
            WHERE h.hypothesis_id = :pruning), 'acting' || present(:m), 'what was approved is done');
SELECT isnt(present(:m), :original, 'and in force');
CALL ooda_learn('wide', max_degradation => 0.05, measure => 'kl_divergence', n_ctx => 64);
SELECT is((SELECT state FROM ooda_hypotheses WHERE hypothesis_id = :pruning), 'rolled_back', 'it loses too much');
SELECT is(present(:m), :original, 'and is rolled back');
SELECT matches((SELECT outcome FROM ooda_hypotheses WHERE hypothesis_id = :pruning),
  '^loses [0-9.]+ ± [0-9.]+ nats, ', 'the outcome says what was measured');
CALL ooda_act('wide', risk_limit => 0);
SELECT is(present(:m), :original, 'nothing else has so little risk');
SELECT is((SELECT count(*) FROM compression_jobs WHERE state = 'running'), 0::bigint, 'no job is left open');

-- Cycles
SELECT throws_ok('CALL ooda_cycle(''wide'', ' || a || ')', '22023', NULL, 'no limit: ' || a)
  FROM unnest(
    '{"risk_limit => ''NaN''",max_changes => -1,keep_last => -1,"max_age => ''-1 day''","max_age => '
    '''10000 years''"}'::text[]) a;
SELECT throws_ok(c, '22023', NULL, c)
  FROM unnest('{"CALL ooda_act(''wide'', ''NaN'')","CALL ooda_act(''wide'', keep_last => -1)"}'
  ::text[] || '{"SELECT ooda_analyze(''wide'', -1)","SELECT ooda_hypothesize(''wide'', keep_last => -1)"}'::text[]) c;
SELECT throws_ok('CALL ooda_cycle(''none'')', '42704', NULL, 'a cycle of no model');
SELECT throws_ok('CALL ooda_cycle(''wide'', max_degradation => NULL)', '22023', NULL, 'a cycle needs a limit');
SELECT throws_ok('CALL ooda_cycle(''wide'', measure => ''taste'')', '22023', NULL, 'and a measure');
SELECT throws_ok('CALL ooda_cycle(''wide'', validation_set => ''none'')', '42704', NULL, 'and a text');
CREATE FUNCTION lib.cycle(more text DEFAULT '') RETURNS text LANGUAGE sql
RETURN 'CALL ooda_cycle(''wide'', max_degradation => 0.05, measure => ''kl_divergence'', n_ctx => 64' || more || ')';
SELECT cycle(', max_changes => 1') \gexec
SELECT is((SELECT string_agg(hypothesis_type, ' ') FROM hypotheses('accepted')), 'QuantizeModel',
  'the change that promises most is tried first, and kept');
SELECT is((SELECT t.revision_id FROM compression_trials t JOIN ooda_hypotheses h USING (trial_id)
            WHERE h.state = 'accepted'), present(:m), 'it is live');
SELECT is((SELECT count(*) FROM ooda_hypotheses WHERE revision_id = :original AND state = 'proposed'), 0::bigint,
  'what was proposed for the state before is out of date');
SELECT cycle(', max_changes => 10') \gexec
SELECT cycle(', max_changes => 10') \gexec
SELECT cycle(', max_changes => 10') \gexec
SELECT is((SELECT count(*) FROM (SELECT revision_id, hypothesis_type, level FROM ooda_hypotheses
             WHERE trial_id IS NOT NULL GROUP BY 1, 2, 3 HAVING count(*) > 1) twice), 0::bigint,
  'nothing is tried twice for one state');
SELECT ok(count(*) FILTER (WHERE state = 'rolled_back') >= 2, 'what hurts is rolled back') FROM ooda_hypotheses;
SELECT ok(bool_and(t.loss - t.loss_error * 2 <= 0.05), 'all that was accepted is within the limit')
  FROM ooda_hypotheses h JOIN compression_trials t USING (trial_id) WHERE h.state = 'accepted';
SELECT cmp_ok((SELECT logical_bytes FROM model_revisions WHERE revision_id = present(:m)), '<',
  (SELECT logical_bytes FROM model_revisions WHERE revision_id = :original), 'the model has become smaller');
SELECT is((SELECT count(*) FROM check_model('wide')), 0::bigint, 'and has no faults');
SELECT is((SELECT count(*) FROM ooda_hypotheses h JOIN compression_trials t USING (trial_id)
            JOIN validation_results v USING (result_id) WHERE v.revision_id = t.revision_id),
  (SELECT count(*) FROM ooda_hypotheses WHERE trial_id IS NOT NULL), 'every trial has its measurement');
SELECT cmp_ok((SELECT max(risk_score) FROM ooda_hypotheses WHERE hypothesis_type = 'PruneModel' AND level = 1), '>',
  0.4::float8,
  'what has failed counts as riskier');
SELECT present(:m) AS settled \gset
SELECT cycle() \gexec
SELECT is(present(:m), :settled, 'when nothing is left a cycle does nothing');

-- What ooda_act() has left is settled by the next cycle
SELECT rollback_model('wide', :original) \g /dev/null
DELETE FROM ooda_hypotheses;
SELECT ooda_hypothesize('wide') \g /dev/null
CALL ooda_act('wide');
SELECT present(:m) AS acted \gset
SELECT isnt(:acted, :original, 'something was done that nobody has measured');
SELECT cycle(', max_changes => 0') \gexec
SELECT is((SELECT state FROM hypotheses() WHERE trial_id IS NOT NULL), 'accepted', 'the next cycle measures it');
SELECT is(present(:m), :acted, 'and keeps it');

-- Maintenance: nothing of the shown SQL is executed
UPDATE pg_index SET indisvalid = false WHERE indexrelid = (
  SELECT min(indexrelid) FROM pg_index WHERE indrelid = live_partition(:m) AND NOT indisprimary);
SELECT is((SELECT count(*) FROM ooda_analyze('wide') WHERE topic = 'index'), 1::bigint, 'an index is invalid');
SELECT ooda_hypothesize('wide') \g /dev/null
UPDATE ooda_hypotheses SET shown_sql = 'DROP SCHEMA hartonomous CASCADE' WHERE hypothesis_type = 'IndexOptimization';
SELECT ooda_approve(hypothesis_id) FROM hypotheses('proposed') WHERE hypothesis_type = 'IndexOptimization' \g /dev/null
CALL ooda_act('wide', risk_limit => 0);
SELECT is((SELECT state || ': ' || outcome FROM ooda_hypotheses WHERE hypothesis_type = 'IndexOptimization'),
  'accepted: indexes were built again', 'it is built again');
SELECT is((SELECT count(*) FROM ooda_analyze('wide') WHERE topic = 'index'), 0::bigint, 'and valid');
SELECT backup_model('wide') FROM generate_series(1, 3) \g /dev/null
SELECT count(*) AS backups FROM model_revisions WHERE model_id = :m AND state = 'backup' \gset
SELECT ooda_hypothesize('wide', keep_last => 2) \g /dev/null
SELECT ooda_approve(hypothesis_id) FROM hypotheses('proposed') WHERE hypothesis_type = 'ArchiveRevision' \g /dev/null
CALL ooda_act('wide', risk_limit => 0, keep_last => 2);
SELECT is((SELECT array_agg(state ORDER BY revision_id) FROM model_revisions
            WHERE model_id = :m AND state IN ('backup', 'archived')),
  ARRAY['backup'] || array_fill('archived'::text, ARRAY[:backups - 3]) || ARRAY['backup', 'backup'],
  'of ' || :backups || ' backups two and the oldest are as before, the others are archived');
SELECT is((SELECT count(*) FROM check_model('wide')), 0::bigint, 'without faults');
ALTER TABLE tensor_atoms_backup ADD COLUMN mine integer;
SELECT is((SELECT count(*) FROM expired_backups(:m, 0, NULL)), 0::bigint,
  'atoms with columns of the user are left alone');
ALTER TABLE tensor_atoms_backup DROP COLUMN mine;
SELECT max(revision_id) AS newest FROM expired_backups(:m, 0, NULL) \gset
INSERT INTO compression_jobs (model_id, procedure, original_revision_id, state)
  VALUES (:m, 'compress_model', :newest, 'running') RETURNING job_id AS began \gset
SELECT ok(:newest NOT IN (SELECT revision_id FROM expired_backups(:m, 0, NULL)),
  'nor is the state from which a job began, while it runs, archived');
DELETE FROM compression_jobs WHERE job_id = :began;
SELECT ok(:newest IN (SELECT revision_id FROM expired_backups(:m, 0, NULL)), '... but afterwards');
SELECT present(:m) AS shared \gset
CALL prune_by_importance('wide', keep_ratio => 0.9, method => 'in_place');
SELECT ok(:shared NOT IN (SELECT revision_id FROM expired_backups(:m, 0, NULL)),
  'nor what shares its atoms with the live revision');
SELECT rollback_model('wide', :shared) \g /dev/null

-- What levels say of each other: of Q4_K_M (level 3) one was accepted, of Q3_K_M one was not
SELECT is(success_rate(:m, 'Evil', 1), 0.5::float8, 'nothing is known of what was never tried');
INSERT INTO ooda_hypotheses (model_id, revision_id, hypothesis_type, level, rationale, risk_score, shown_sql, state)
  SELECT :m, :original, 'Tried', l, '', 0, '', s
  FROM (VALUES (3, 'accepted'), (2, 'rolled_back'), (2, 'proposed')) v (l, s);
SELECT is(array_agg(success_rate(:m, 'Tried', l) ORDER BY l),
  ARRAY[(0.25 + 1) / (0.75 + 2), (0.5 + 1) / (1.5 + 2), (1 + 1) / (1.5 + 2), (0.5 + 1) / (0.75 + 2)]::float8[],
  'a neighbouring level counts half, the next a quarter') FROM generate_series(1, 4) l;
UPDATE ooda_hypotheses SET level = 2147483647 WHERE hypothesis_type = 'Tried';
SELECT is(success_rate(:m, 'Tried', -2147483647), 0.5::float8, 'far away ones hardly at all') ;

-- Gram matrices of a state that the live one was made from
SELECT rollback_model('wide', :original) \g /dev/null
SELECT add_calibration_set('cats', repeat('the.cat.sat;one.dog.ran;', 20)) \g /dev/null
SELECT is(gram_revision(:m, 'cats'), NULL, 'there are no Gram matrices');
CALL collect_calibration('wide', 'cats');
CALL quantize_model('wide', 'Q8_0');
DELETE FROM ooda_hypotheses;
SELECT ooda_hypothesize('wide', 'cats') \g /dev/null
SELECT is(gram_revision(:m, 'cats'), :original::integer, 'nor of the live one, but of that before');
SELECT ok(
  bool_and(change @> jsonb_build_object('calibration_set', 'cats', 'calibration_revision', :original)
    AND expected_loss IS NULL),
  'which are used') FROM hypotheses() WHERE hypothesis_type IN ('QuantizeModel', 'SvdCompress');
SELECT is(gram_revision(:m, 'none'), NULL, 'of another set there are none');
CALL remove_neurons('wide', 0.5);
SELECT is(gram_revision(:m, 'cats'), NULL, 'those of matrices that have lost columns do not fit');
SELECT lives_ok('SELECT ooda_hypothesize(''wide'', ''cats'')', 'and are not used');
CALL ooda_cycle('wide', calibration_set => 'cats', max_changes => 0, n_ctx => 64);
SELECT is(gram_revision(:m, 'cats'), present(:m)::integer, 'a cycle collects them anew');

-- Acts that others have undone, or that fail
SELECT rollback_model('wide', :original) \g /dev/null
DELETE FROM ooda_hypotheses;
SELECT ooda_hypothesize('wide') \g /dev/null
CALL ooda_act('wide');
SELECT trial_id AS undone FROM hypotheses('acting') \gset
SELECT rollback_model('wide', :original) \g /dev/null
SELECT drop_backup(revision_id) FROM compression_trials WHERE trial_id = :undone \g /dev/null
CALL ooda_learn('wide', n_ctx => 64);
SELECT is((SELECT verdict FROM compression_trials WHERE trial_id = :undone), NULL,
  'of what was undone nothing is learned');
SELECT lives_ok(cycle(', max_changes => 0'), 'a cycle goes on');
SELECT is((SELECT state FROM hypotheses() WHERE trial_id = :undone), 'obsolete', 'without it');
UPDATE ooda_hypotheses SET hypothesis_type = 'Evil', change = NULL, state = 'approved'
 WHERE hypothesis_id = (SELECT max(hypothesis_id) FROM ooda_hypotheses);
SELECT throws_ok('CALL ooda_act(''wide'')', '22023', '"Evil" is no maintenance', 'a kind that does not exist');
UPDATE ooda_hypotheses SET hypothesis_type = 'QuantizeModel', change = '[1]' WHERE hypothesis_type = 'Evil';
SELECT throws_ok('CALL ooda_act(''wide'')', '22023', 'unknown stage "NULL"', 'a change that is none');
UPDATE ooda_hypotheses SET hypothesis_type = 'Evil', state = 'acting', trial_id = :undone,
       job_id = (SELECT max(job_id) FROM compression_jobs) WHERE change = '[1]';
UPDATE compression_jobs SET state = 'running' WHERE job_id = (SELECT max(job_id) FROM compression_jobs);
SELECT lives_ok(cycle(', max_changes => 0'), 'a trial of another job is not carried out');
DELETE FROM ooda_hypotheses;
SELECT ooda_hypothesize('wide') \g /dev/null
CALL ooda_act('wide');
SELECT hypothesis_id AS failing FROM hypotheses('acting') \gset
SELECT throws_ok(format('SELECT ooda_approve(%s)', :failing), '55000', NULL, 'what is being done cannot be approved');
SELECT ooda_reject(:failing) \g /dev/null
SELECT is(present(:m), :original, 'but rejected: it is rolled back');
SELECT lives_ok(cycle(', max_changes => 0'), 'and a cycle goes on');
SELECT is((SELECT state FROM hypotheses() WHERE hypothesis_id = :failing), 'rejected', 'without it');

-- The state against which losses are measured is no backup to be dropped
CALL quantize_model('wide', 'Q8_0');
SELECT rollback_model('wide', :original) \g /dev/null
CALL prune_by_importance('wide', keep_ratio => 0.9);
SELECT present(:m) AS pruned \gset
SELECT drop_backup(:original) \g /dev/null
CALL quantize_model('wide', 'Q8_0');
SELECT is(baseline_of(:m), :pruned, 'losses count from a state that is not the oldest backup');
SELECT is((SELECT count(*) FROM expired_backups(:m, 0, NULL) WHERE revision_id = :pruned), 0::bigint,
  'which is never past retention');

-- Schedules: what pg_cron would call (test/tap/schedule.t has it running)
SELECT throws_ok(c, '55000', NULL, 'without pg_cron: ' || c)
  FROM unnest(
    '{"SELECT schedule_ooda(''wide'', ''* * * * *'')",SELECT scheduled_jobs(),SELECT unschedule(NULL)}'::text[]) c;
SELECT is(scheduled_call(1, 'compress_model', '{"measure": "x'');DROP TABLE y;--", "formats": ["c''d"]}'),
  'CALL hartonomous.compress_model(1, formats => ''{c''''d}'', measure => ''x'''');DROP TABLE y;--'')',
  'arguments are literals, whatever they contain');
SELECT throws_ok($$SELECT scheduled_call(1, 'ooda_cycle', '{"n_ctx); DROP": 1}')$$, '22023', NULL,
  'and names those that exist');

-- Another network, by a function of the user's own
CALL ooda_cycle('digits', evaluator => 'digit_accuracy(integer)', max_degradation => 0.02);
SELECT ok(bool_and(state = 'accepted' OR t.loss > 0), 'an evaluator decides what is kept')
  FROM ooda_hypotheses h JOIN compression_trials t USING (trial_id)
 WHERE h.model_id = (SELECT model_id FROM models WHERE model_name = 'digits');

-- What is counted
SELECT is(counted(1, 'index', 'indexes'), '1 index', 'one is counted in the singular');
SELECT is(array_agg(counted(n, 'tensor') ORDER BY n), '{"0 tensors","2 tensors"}', 'none and many in the plural')
  FROM unnest('{0,2}'::bigint[]) n;

SELECT * FROM finish();
ROLLBACK;
