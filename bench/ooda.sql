-- What bench/ooda.sh does in the database of the model. Variables: dir (with model.gguf and text.txt), minutes, and
-- degradation, the limit of the loss.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION hartonomous CASCADE;
CREATE EXTENSION dblink;
SELECT hartonomous.import_gguf(:'dir' || '/model.gguf', 'model') AS model \gset
\ir split_text.sql
CALL hartonomous.collect_calibration(:model, 'calibration');
CREATE VIEW runs AS SELECT * FROM hartonomous.scheduled_jobs();

-- Each minute, which is the shortest that all versions of pg_cron have.
SELECT hartonomous.schedule_ooda(:model, '* * * * *',
  jsonb_build_object('calibration_set', 'calibration', 'max_degradation', :degradation, 'n_ctx', 256,
                     'keep_last', 0)) AS job,
  :minutes AS minutes;
SELECT pg_sleep(60 * :minutes) \g /dev/null
SELECT active, running, runs, failures, last_status, last_message FROM runs;
SELECT hartonomous.unschedule(job_name) FROM runs \g /dev/null

\echo What it tried, in order
SELECT h.hypothesis_id AS "no", h.job_id AS job, h.hypothesis_type AS type, h.state, h.rationale, h.outcome,
       round(h.risk_score::numeric, 2) AS risk
  FROM hartonomous.ooda_hypotheses h WHERE h.state NOT IN ('proposed', 'obsolete')
 ORDER BY h.finished_at, h.hypothesis_id;
SELECT count(*) FILTER (WHERE h.state = 'accepted') AS accepted,
       count(DISTINCT h.hypothesis_type) FILTER (WHERE h.state = 'accepted') AS types,
       count(*) FILTER (WHERE h.state = 'rolled_back') AS "rolled back",
       count(*) FILTER (WHERE h.state = 'proposed') AS "still proposed"
  FROM hartonomous.ooda_hypotheses h;

\echo What it says of itself
SELECT j.job_id AS job, j.state, round(j.seconds::numeric, 1) AS s, l.line
  FROM hartonomous.job_progress(:model) j LEFT JOIN LATERAL unnest(j.report) WITH ORDINALITY l (line, place) ON true
 ORDER BY j.job_id, l.place;

\echo The history of the model
SELECT * FROM hartonomous.model_history(:model);

\echo All that was measured, and what is neither larger nor worse than any other
SELECT f.revision_id AS revision, f.state, f.bytes, f.bits_per_weight AS bits,
       round(f.perplexity_ratio::numeric, 5) AS "x perplexity", round(f.perplexity_ratio_error::numeric, 5) AS "±",
       round(f.kl_divergence::numeric, 5) AS "KL divergence", f.on_front AS "on front"
  FROM hartonomous.compression_front(:model, 'evaluation') f;

\echo The model before and after
SELECT o.logical_bytes AS "bytes before", l.logical_bytes AS "bytes after",
       round(100 * l.logical_bytes / o.logical_bytes::numeric, 1) AS "%",
       round(hartonomous.perplexity(:model, p.evaluation, 256, o.revision_id)::numeric, 4) AS "perplexity before",
       round(hartonomous.perplexity(:model, p.evaluation, 256)::numeric, 4) AS "after",
       hartonomous.perplexity(:model, p.evaluation, 256)
         <= (1 + :degradation) * hartonomous.perplexity(:model, p.evaluation, 256, o.revision_id) AS "within the limit"
  FROM hartonomous.models m JOIN hartonomous.model_revisions l ON l.revision_id = m.current_revision
  JOIN hartonomous.model_revisions o ON o.revision_id = (SELECT min(r.revision_id) FROM hartonomous.model_revisions r
                                                          WHERE r.model_id = m.model_id)
  CROSS JOIN parts p
 WHERE m.model_id = :model;
SELECT count(*) AS "faults of the model" FROM hartonomous.check_model(:model);
