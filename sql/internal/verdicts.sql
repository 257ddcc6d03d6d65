-- Verdicts: which trials of a job are kept, and what the job says of them.

CREATE FUNCTION hartonomous_internal.judge(job bigint, trial bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
  goal jsonb;
  alternatives boolean;  -- or each follows the one before
  this record;
  best record;
  limit_of_loss double precision;
BEGIN
  SELECT j.parameters, j.procedure = 'compress_model' AND NOT j.parameters ? 'stages' INTO STRICT goal, alternatives
    FROM hartonomous.compression_jobs j WHERE j.job_id = job;
  limit_of_loss := goal ->> 'max_degradation';
  SELECT t.trial_id, t.loss, t.loss_error, t.bytes_after, t.revision_id,
         alternatives AND hartonomous_internal.is_step(goal, t.change, t.bytes_after) AS is_step
    INTO STRICT this FROM hartonomous.compression_trials t WHERE t.trial_id = trial;
  SELECT t.trial_id, t.loss, t.loss_error, t.bytes_after, t.revision_id INTO best
    FROM hartonomous.compression_trials t
   WHERE alternatives AND t.trial_id = hartonomous_internal.best_trial(job);
  IF limit_of_loss IS NOT NULL AND NOT coalesce(this.loss <= limit_of_loss, false) THEN
    PERFORM hartonomous_internal.reject_trial(trial, format('loses %s, more than %s',
      hartonomous_internal.loss_text(goal, this.loss, this.loss_error),
      hartonomous_internal.loss_text(goal, limit_of_loss, NULL)));
  ELSIF this.is_step AND NOT hartonomous_internal.is_promising(job, trial) THEN
    PERFORM hartonomous_internal.reject_trial(trial, format('loses %s by itself, more than it can bring',
      hartonomous_internal.loss_text(goal, this.loss, this.loss_error)));
  ELSIF best.trial_id IS NULL OR this.is_step THEN
    PERFORM hartonomous_internal.judge_trial(trial, 'kept', NULL);
  ELSIF NOT hartonomous_internal.is_better(goal, this.bytes_after, this.loss, this.loss_error, best.bytes_after,
                                           best.loss, best.loss_error) THEN
    PERFORM hartonomous_internal.reject_trial(trial, 'not better than what was kept');
  ELSE
    PERFORM hartonomous_internal.reject_trial(best.trial_id, 'another is better');
    PERFORM hartonomous_internal.judge_trial(trial, 'kept', NULL);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.judge(bigint, bigint) IS
  'decides whether a trial that was measured is kept: if it loses no more than the goal allows and, where trials are '
  'alternatives, is better than the one that was kept before, which then is dropped';

CREATE FUNCTION hartonomous_internal.is_better(goal jsonb, bytes bigint, loss double precision,
    loss_error double precision, than_bytes bigint, than_loss double precision, than_error double precision)
  RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN CASE WHEN goal ? 'target_bytes'
              THEN than_loss - loss > 2 * sqrt(coalesce(loss_error, 0) ^ 2 + coalesce(than_error, 0) ^ 2)
              ELSE bytes < than_bytes END IS TRUE;
COMMENT ON FUNCTION hartonomous_internal.is_better(jsonb, bigint, double precision, double precision, bigint,
  double precision, double precision) IS
  'whether a trial is better than another: at a given size, if it loses less by more than two standard errors of the '
  'difference; otherwise if it is smaller';

CREATE FUNCTION hartonomous_internal.loss_text(goal jsonb, loss double precision, loss_error double precision)
  RETURNS text
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
  RETURN CASE WHEN loss IS NULL THEN 'an unknown share'
              WHEN goal ->> 'measure' = 'kl_divergence' THEN
                round(loss::numeric, 6) || coalesce(' ± ' || round(loss_error::numeric, 6), '') || ' nats'
              ELSE round(100 * loss::numeric, 2) || coalesce(' ± ' || round(100 * loss_error::numeric, 2), '')
                || CASE WHEN goal ->> 'measure' = 'perplexity' THEN ' % of perplexity' ELSE ' % of the score' END END;
COMMENT ON FUNCTION hartonomous_internal.loss_text(jsonb, double precision, double precision) IS
  'a loss in the unit of a goal, for messages';

CREATE FUNCTION hartonomous_internal.change_text(change jsonb) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  -- A row that somebody has edited may contain anything.
  IF jsonb_typeof(change) <> 'object' OR change ->> 'stage' IS NULL
     OR change ->> 'stage' = 'plan' AND jsonb_typeof(change -> 'operations') IS DISTINCT FROM 'array' THEN
    RETURN change::text;
  ELSIF change ->> 'stage' <> 'plan' THEN
    RETURN concat(change ->> 'stage', (
      SELECT ' (' || string_agg(concat(a.key, ' ', a.value), ', ' ORDER BY a.key) || ')'
        FROM jsonb_each_text(change - 'stage') a));
  END IF;
  RETURN (
    SELECT coalesce(nullif(concat(string_agg(concat(k.what, ' x ', k.n), ', ' ORDER BY k.what),
                  CASE WHEN bool_or(k.in_sequence) THEN ', in sequence' END), ''), 'nothing')
      FROM (SELECT coalesce(o.operation -> 'arguments' ->> 'format', o.operation ->> 'operation') AS what,
                   count(*) AS n, bool_or(o.operation -> 'arguments' -> 'sequential' = 'true') AS in_sequence
              FROM jsonb_array_elements(change -> 'operations') o (operation) GROUP BY 1) k);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.change_text(jsonb) IS
  'a change in a few words: its stage and arguments, or how many tensors get which format or operation';

CREATE FUNCTION hartonomous_internal.job_report(job bigint) RETURNS text[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  j record;
  sizes record;
  last_measured record;
  kept text;
  rejected text;
BEGIN
  SELECT c.model_id, c.parameters, c.original_revision_id INTO STRICT j
    FROM hartonomous.compression_jobs c WHERE c.job_id = job;
  SELECT o.logical_bytes AS before, l.logical_bytes AS after, l.revision_id,
         round(l.logical_bytes * 8.0 / nullif(m.parameter_count, 0), 2) AS bits
    INTO sizes
    FROM hartonomous.models m JOIN hartonomous.model_revisions l ON l.revision_id = m.current_revision
    LEFT JOIN hartonomous.model_revisions o ON o.revision_id = j.original_revision_id
   WHERE m.model_id = j.model_id;
  SELECT t.loss, t.loss_error INTO last_measured
    FROM hartonomous.compression_trials t WHERE t.job_id = job AND t.verdict = 'kept' ORDER BY t.trial_id DESC LIMIT 1;
  SELECT string_agg(hartonomous_internal.change_text(t.change), '; then ' ORDER BY t.trial_id)
           FILTER (WHERE t.verdict = 'kept'),
         string_agg(format('%s (%s)', hartonomous_internal.change_text(t.change), t.reason), '; ' ORDER BY t.trial_id)
           FILTER (WHERE t.verdict = 'rejected')
    INTO kept, rejected FROM hartonomous.compression_trials t WHERE t.job_id = job;
  RETURN ARRAY[
    format('%s: %s -> %s (%s bits a weight)%s', j.model_id::hartonomous.regmodel,
           hartonomous.human_bytes(sizes.before), hartonomous.human_bytes(sizes.after), sizes.bits,
           CASE WHEN last_measured.loss IS NOT NULL THEN ', loses '
             || hartonomous_internal.loss_text(j.parameters, last_measured.loss, last_measured.loss_error) END),
    concat('kept: ' || kept, CASE WHEN kept IS NULL THEN 'nothing was kept' END, '. rejected: ' || rejected),
    CASE WHEN sizes.revision_id = j.original_revision_id THEN format('revision %s, as before', sizes.revision_id)
         ELSE format('revision %s; SELECT hartonomous.rollback_model(%L, %s); goes back', sizes.revision_id,
                     j.model_id::hartonomous.regmodel::text, j.original_revision_id) END];
END
$$;
COMMENT ON FUNCTION hartonomous_internal.job_report(bigint) IS
  'what a job did, in three lines: size and loss before and after, what was kept and rejected and why, and how to undo '
  'it';
