-- The worked example of docs/manual/evaluate.md: a network that is no language model, measured by a function of the
-- user's.
BEGIN;
\ir lib/model_files.sql
SELECT plan(4);
\o /dev/null
\ir ../../examples/evaluator.sql
\o
CREATE TABLE lib.scores AS SELECT r.stage, v.score FROM model_revisions r JOIN validation_results v USING (revision_id)
  WHERE v.evaluator LIKE '%digit_accuracy%';
SELECT ok(score BETWEEN 0.7 AND 0.95, format('as imported it is right in %s', score)) FROM lib.scores
  WHERE stage = 'import';
SELECT ok(abs(q.score - i.score) < 0.03, format('quantized in %s', q.score)) FROM lib.scores q, lib.scores i
  WHERE q.stage = 'quantize' AND i.stage = 'import';
SELECT ok(p.score < i.score - 0.1, format('without a third of its hidden units in %s', p.score)) FROM lib.scores p,
  lib.scores i WHERE p.stage = 'prune' AND i.stage = 'import';
SELECT is((SELECT count(*) FROM lib.scores), 3::bigint, 'three measurements');
SELECT * FROM finish();
ROLLBACK;
