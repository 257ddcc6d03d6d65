-- Compressing a model towards a goal: what is tried is measured, and what costs too much is taken back.

-- After a cancel or crash the same call continues with the same trial: its stage is resumed at the tensor where it
-- stopped. Inside a transaction block nothing is committed, and nothing remains. A second caller is told for whom it
-- waits or, with nowait, fails with 55P03. At every moment the model is a state that model_history() names.
CREATE PROCEDURE hartonomous.compress_model(model hartonomous.regmodel, target_bytes bigint DEFAULT NULL,
    target_bits_per_weight double precision DEFAULT NULL, max_degradation double precision DEFAULT NULL,
    validation_set text DEFAULT NULL, calibration_set text DEFAULT NULL, stages pg_catalog.jsonb DEFAULT NULL,
    measure text DEFAULT 'perplexity', evaluator pg_catalog.regprocedure DEFAULT NULL, n_ctx integer DEFAULT NULL,
    formats pg_catalog.text[] DEFAULT NULL, removals boolean DEFAULT true, dry_run boolean DEFAULT false,
    nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits boolean := hartonomous_internal.can_commit();
  goal pg_catalog.jsonb;
  job bigint;
  trial bigint;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.check_goal(target_bytes, target_bits_per_weight, max_degradation, stages, measure,
                                          evaluator, dry_run);
  IF dry_run IS NOT TRUE THEN
    PERFORM hartonomous_internal.lock_model_of_job(model, nowait, commits);
  END IF;
  goal := hartonomous_internal.compression_goal(model, target_bytes, target_bits_per_weight, max_degradation,
            validation_set, calibration_set, stages, measure, evaluator, n_ctx, formats, removals);
  IF dry_run THEN
    PERFORM hartonomous_internal.report_goal(model, goal);
  ELSE
    job := hartonomous_internal.start_job(model, 'compress_model', goal, CASE WHEN evaluator IS NULL
             THEN hartonomous_internal.baseline_of(model) ELSE hartonomous_internal.current_revision(model) END);
    IF commits THEN
      COMMIT;
    END IF;
    LOOP
      CALL hartonomous_internal.measure_before(job, evaluator);
      trial := hartonomous_internal.next_trial(job);
      EXIT WHEN trial IS NULL;
      IF commits THEN
        COMMIT;
      END IF;
      CALL hartonomous_internal.change_model(trial, commits);
      PERFORM hartonomous_internal.measure_trial(trial, evaluator);
      IF commits THEN
        COMMIT;
      END IF;
      PERFORM hartonomous_internal.judge(job, trial);
      IF commits THEN
        COMMIT;
      END IF;
    END LOOP;
    PERFORM hartonomous_internal.end_job(job);
  END IF;
  IF commits AND dry_run IS NOT TRUE THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.compress_model(hartonomous.regmodel, bigint, double precision, double precision, text,
  text, jsonb, text, regprocedure, integer, text[], boolean, boolean, boolean) IS
  'compresses a model: to the smallest loss at a size (target_bytes of weights in a GGUF file, or bits a weight), to '
  'the smallest size at a loss (max_degradation of perplexity, as a share, or of KL divergence in nats), or by stages, '
  'each of which is kept only if the loss stays within max_degradation; losses are measured on a validation '
  'set against '
  'the oldest state of the model that is still there, or by an evaluator, a function of your own; formats are those to '
  'choose among, by default all that can be written but IQ1, IQ2 and IQ3; unless removals is false, neurons and a '
  'block are removed on '
  'trial, too, and stay removed if formats allocated from there are better; everything that was '
  'tried is in compression_trials; rollback_model() undoes it; 22004 without a goal, 22023 if arguments '
  'contradict each '
  'other or a size is out of reach, 42704 if there is no such model or set, 55P03 with nowait; other errors as the '
  'stages, collect_calibration() and measure_sensitivity()';

CREATE FUNCTION hartonomous.job_progress(model hartonomous.regmodel DEFAULT NULL)
  RETURNS TABLE (job_id bigint, model_name text, procedure text, goal jsonb, state text, doing text, percent integer,
                 seconds_left double precision, trials bigint, kept bigint, bytes_before bigint, best_bytes bigint,
                 best_loss double precision,
                 best_loss_error double precision, seconds double precision, pid integer, report text[],
                 started_at timestamptz, finished_at timestamptz)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT hartonomous_internal.can_report(model) THEN
    RETURN;
  END IF;
  RETURN QUERY
    SELECT j.job_id, m.model_name, j.procedure, j.parameters,
           CASE WHEN j.state = 'running' AND h.pid IS NULL THEN 'stopped' ELSE j.state END,
           d.doing, d.percent, CASE WHEN h.pid IS NOT NULL THEN d.seconds_left END, t.trials, t.kept,
           o.logical_bytes, b.bytes_after, b.loss, b.loss_error,
           extract(epoch FROM coalesce(j.finished_at, clock_timestamp()) - j.started_at)::float8,
           CASE WHEN j.state = 'running' THEN h.pid END, j.report, j.started_at, j.finished_at
      FROM hartonomous.compression_jobs j JOIN hartonomous.models m USING (model_id)
      LEFT JOIN hartonomous.model_revisions o ON o.revision_id = j.original_revision_id
      LEFT JOIN LATERAL hartonomous_internal.model_holder(j.model_id) h (pid) ON true
      CROSS JOIN LATERAL (
        SELECT count(*) AS trials, count(*) FILTER (WHERE c.verdict = 'kept') AS kept
          FROM hartonomous.compression_trials c WHERE c.job_id = j.job_id) t
      CROSS JOIN LATERAL hartonomous_internal.job_activity(j.job_id) d
      LEFT JOIN LATERAL (
        SELECT c.bytes_after, c.loss, c.loss_error FROM hartonomous.compression_trials c
         WHERE c.job_id = j.job_id AND c.verdict = 'kept' ORDER BY c.trial_id DESC LIMIT 1) b ON true
     WHERE job_progress.model IS NULL OR j.model_id = job_progress.model
     ORDER BY j.job_id DESC;
END
$$;
COMMENT ON FUNCTION hartonomous.job_progress(hartonomous.regmodel) IS
  'one row per job of a model or of all models, newest first: its goal, whether it is running (pid is the session that '
  'works on it), stopped (the same call continues it), completed or abandoned, what it is doing, the '
  'percentage that is '
  'done (at least) and the seconds left (at most, at the speed so far; NULL if that is not known), and the '
  'size and loss '
  'of the best that it has kept; 42704 if there is no such model';

CREATE FUNCTION hartonomous.revision_recipe(revision integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT EXISTS (SELECT FROM hartonomous.model_revisions r WHERE r.revision_id = revision) THEN
    PERFORM hartonomous_internal.raise_error('42704',
      format('revision %s does not exist', coalesce(revision::text, 'NULL')),
      hint => 'SELECT * FROM hartonomous.model_revisions; shows all revisions.');
  END IF;
  RETURN (
    SELECT coalesce(jsonb_agg(hartonomous_internal.change_of_revision(r.revision_id) ORDER BY a.distance DESC), '[]')
      FROM hartonomous_internal.ancestors_of(revision) a
      JOIN hartonomous.model_revisions r ON r.revision_id = a.revision_id
      JOIN hartonomous.model_revisions made ON made.revision_id = revision AND made.model_id = r.model_id
     WHERE r.kind IN ('rewrite', 'in_place'));
END
$$;
COMMENT ON FUNCTION hartonomous.revision_recipe(integer) IS
  'how a revision was made from what was imported: an array for the stages of compress_model(), of this model or of '
  'another with the same tensors; empty for an imported revision; 42704 if there is no such revision';

CREATE FUNCTION hartonomous.compression_front(model hartonomous.regmodel, validation_set text DEFAULT NULL)
  RETURNS TABLE (revision_id integer, state text, bytes bigint, bits_per_weight numeric,
                 kl_divergence double precision, kl_divergence_error double precision,
                 perplexity_ratio double precision, perplexity_ratio_error double precision,
                 same_top double precision, on_front boolean, recipe jsonb)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  chosen text;
  weights bigint;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  chosen := hartonomous_internal.set_of_texts('validation', validation_set);
  SELECT m.parameter_count INTO weights FROM hartonomous.models m WHERE m.model_id = model;
  RETURN QUERY
    WITH results AS (
      SELECT DISTINCT ON (v.revision_id, v.baseline_revision_id) v.*
        FROM hartonomous.validation_results v JOIN hartonomous.validation_sets s
          ON s.validation_set = v.validation_set AND s.text_sha256 = v.text_sha256
       WHERE v.model_id = model AND v.validation_set = chosen AND v.kl_divergence IS NOT NULL
         AND v.n_ctx = (SELECT l.n_ctx FROM hartonomous.validation_results l
                         WHERE l.model_id = model AND l.validation_set = chosen AND l.kl_divergence IS NOT NULL
                         ORDER BY l.result_id DESC LIMIT 1)
       ORDER BY v.revision_id, v.baseline_revision_id, v.result_id DESC),
    -- Results can be compared if they have the same baseline and, as above, the same context.
    measured AS (
      SELECT v.revision_id, v.kl_divergence, v.kl_divergence_error, v.perplexity_ratio, v.perplexity_ratio_error,
             v.same_top
        FROM results v WHERE v.baseline_revision_id = (SELECT min(b.baseline_revision_id) FROM results b)
      UNION ALL
      SELECT b.baseline, 0, 0, 1, 0, 1 FROM (SELECT min(v.baseline_revision_id) AS baseline FROM results v) b
       WHERE b.baseline IS NOT NULL
         AND NOT EXISTS (SELECT FROM results v WHERE v.revision_id = b.baseline
                            AND v.baseline_revision_id = b.baseline)),
    sized AS (
      SELECT v.*, r.state, r.logical_bytes, coalesce(t.parameter_count, weights) AS weights
        FROM measured v JOIN hartonomous.model_revisions r ON r.revision_id = v.revision_id AND r.model_id = model
        LEFT JOIN hartonomous.model_structures t ON t.structure_id = r.structure_id)
    SELECT s.revision_id, s.state, s.logical_bytes, round(s.logical_bytes * 8.0 / nullif(s.weights, 0), 2),
           s.kl_divergence, s.kl_divergence_error, s.perplexity_ratio, s.perplexity_ratio_error, s.same_top,
           NOT EXISTS (SELECT FROM sized o
                        WHERE o.logical_bytes <= s.logical_bytes AND o.kl_divergence <= s.kl_divergence
                          AND (o.logical_bytes < s.logical_bytes OR o.kl_divergence < s.kl_divergence)),
           hartonomous.revision_recipe(s.revision_id)
      FROM sized s ORDER BY s.logical_bytes, s.kl_divergence, s.revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous.compression_front(hartonomous.regmodel, text) IS
  'every revision of a model that was measured on a validation set against the same baseline (in windows of the last '
  'n_ctx), also those that were '
  'dropped: bytes of weights, loss with standard error, the recipe that made it, and whether no other is both as small '
  'and as good (on_front: together these are the Pareto front); 42704 if there is no such model or set';
