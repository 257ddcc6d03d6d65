-- Acting on hypotheses of the loop (api/ooda.sql), and learning from what came of it.

CREATE FUNCTION hartonomous_internal.next_hypothesis(model integer, risk_limit double precision) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT h.hypothesis_id FROM hartonomous.ooda_hypotheses h
     WHERE h.model_id = model AND h.revision_id = hartonomous_internal.current_revision(model)
       AND (h.state = 'approved' OR h.state = 'proposed' AND h.risk_score < risk_limit)
     -- What is likely to save most comes first, but parts are removed before the rest is quantized: of quantized
     -- weights only whole blocks can be removed, and nothing refitted.
     ORDER BY h.state <> 'approved', h.hypothesis_type <> ALL ('{RemoveNeurons,RemoveBlock,TrimVocabulary}'),
              h.expected_bytes_saved * (1 - h.risk_score / 2) DESC, h.hypothesis_id LIMIT 1);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.next_hypothesis(integer, double precision) IS
  'the hypothesis about the live revision to act on next: one that was approved, or whose risk is below the '
  'limit; NULL '
  'if there is none';

-- A trial that was stopped belongs to a hypothesis that is still acting.
CREATE FUNCTION hartonomous_internal.begin_hypothesis(job bigint, risk_limit double precision) RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  model integer := (SELECT j.model_id FROM hartonomous.compression_jobs j WHERE j.job_id = job);
  chosen bigint := (SELECT min(h.hypothesis_id) FROM hartonomous.ooda_hypotheses h
                     WHERE h.model_id = model AND h.state = 'acting' AND h.job_id = job
                       AND (h.trial_id IS NULL OR EXISTS (SELECT FROM hartonomous.compression_trials t
                                                           WHERE t.trial_id = h.trial_id AND t.job_id = job)));
BEGIN
  IF chosen IS NULL THEN
    chosen := hartonomous_internal.next_hypothesis(model, risk_limit);
    UPDATE hartonomous.ooda_hypotheses h
       SET state = 'acting', job_id = job,
           trial_id = CASE WHEN h.change IS NOT NULL
                           THEN hartonomous_internal.add_trial(job, h.change, h.expected_loss) END
     WHERE h.hypothesis_id = chosen;
  END IF;
  RETURN chosen;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.begin_hypothesis(bigint, double precision) IS
  'the hypothesis that a job acts on: one that was stopped, or the next, for which a trial is made; NULL if '
  'there is none';

-- Nothing of a hypothesis that is stored as text is executed: what is done follows from its type.
CREATE FUNCTION hartonomous_internal.maintain(model integer, hypothesis_type text, keep_last integer, max_age interval)
  RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '1s'
AS $$
#variable_conflict use_variable
DECLARE
  partition constant regclass := hartonomous_internal.live_partition(model);
  before constant bigint := hartonomous.model_disk_bytes(model);
  blocks bigint;
BEGIN
  CASE hypothesis_type
    WHEN 'IndexOptimization' THEN
      EXECUTE format('REINDEX TABLE %s', partition);
      PERFORM hartonomous_internal.index_atoms_partition(partition)
        WHERE EXISTS (SELECT FROM hartonomous_internal.indexes_at_fault(model));
      RETURN 'indexes were built again';
    WHEN 'CacheWarming' THEN
      EXECUTE format('SELECT %I.pg_prewarm($1)', hartonomous_internal.extension_schema('pg_prewarm')) INTO blocks
        USING partition;
      RETURN format('%s blocks are in memory', blocks);
    WHEN 'ReclaimSpace' THEN
      EXECUTE format('CLUSTER %s USING %I', partition, (
        SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indrelid = partition AND i.indisprimary));
      RETURN format('%s -> %s on disk', hartonomous.human_bytes(before),
                    hartonomous.human_bytes(hartonomous.model_disk_bytes(model)));
    WHEN 'ArchiveRevision' THEN
      PERFORM hartonomous_internal.archive_backups(model, keep_last, max_age);
      RETURN format('%s -> %s on disk', hartonomous.human_bytes(before),
                    hartonomous.human_bytes(hartonomous.model_disk_bytes(model)));
    ELSE
      PERFORM hartonomous_internal.raise_error('22023', format('"%s" is no maintenance', hypothesis_type),
        hint => 'ooda_reject() ends a hypothesis that cannot be carried out.');
  END CASE;
-- Readers must not queue behind maintenance that waits for another reader.
EXCEPTION WHEN lock_not_available THEN
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.maintain(integer, text, integer, interval) IS
  'carries out a hypothesis that changes no weight, in one transaction, and says what came of it; NULL if the table '
  'could not be locked within a second';

-- Otherwise what saves little could use up a limit that something better needs. The loss before the change is that of
-- the state from which it began, as far as it was measured; the errors of both are allowed for.
CREATE FUNCTION hartonomous_internal.costs_too_much(trial bigint) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  t record;
  before record;
BEGIN
  SELECT c.loss, c.loss_error, c.parent_revision_id, j.model_id, j.baseline_revision_id, j.parameters,
         1 - c.bytes_after::float8 / nullif(c.bytes_before, 0) AS saved
    INTO STRICT t FROM hartonomous.compression_trials c JOIN hartonomous.compression_jobs j USING (job_id)
   WHERE c.trial_id = trial;
  SELECT m.loss, m.loss_error INTO before
    FROM hartonomous.validation_results v
    CROSS JOIN LATERAL hartonomous_internal.loss_of_result(v.result_id, t.parameters ->> 'measure',
                                                           t.baseline_revision_id) m
   WHERE v.model_id = t.model_id AND v.revision_id = t.parent_revision_id
     AND (v.evaluator = t.parameters ->> 'evaluator' OR v.baseline_revision_id = t.baseline_revision_id
          AND v.validation_set = t.parameters ->> 'validation_set' AND v.n_ctx = (t.parameters ->> 'n_ctx')::integer)
   ORDER BY v.result_id DESC LIMIT 1;
  RETURN coalesce(t.loss - coalesce(before.loss, 0)
    - 2 * sqrt(coalesce(t.loss_error, 0) ^ 2 + coalesce(before.loss_error, 0) ^ 2)
    > (t.parameters ->> 'max_degradation')::float8 * t.saved, true);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.costs_too_much(bigint) IS
  'whether a change has cost a larger share of max_degradation than the share of the bytes that it has saved, by more '
  'than two standard errors';

CREATE FUNCTION hartonomous_internal.learn(hypothesis bigint, outcome text) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  trial record;
BEGIN
  SELECT t.trial_id, t.job_id, t.verdict, t.reason, t.revision_id, t.bytes_before, t.bytes_after INTO trial
    FROM hartonomous.ooda_hypotheses h JOIN hartonomous.compression_trials t ON t.trial_id = h.trial_id
   WHERE h.hypothesis_id = hypothesis;
  IF trial.trial_id IS NOT NULL AND trial.verdict IS NULL THEN
    IF trial.revision_id IS NULL OR trial.bytes_after >= trial.bytes_before THEN
      PERFORM hartonomous_internal.judge_trial(trial.trial_id, 'rejected', 'saves nothing');
    ELSIF hartonomous_internal.costs_too_much(trial.trial_id) THEN
      PERFORM hartonomous_internal.judge_trial(trial.trial_id, 'rejected',
        'costs more of the limit than it saves of the bytes');
    ELSE
      PERFORM hartonomous_internal.judge(trial.job_id, trial.trial_id);
    END IF;
    SELECT t.verdict, concat_ws(', ', 'loses ' || hartonomous_internal.loss_text(j.parameters, t.loss, t.loss_error),
             t.reason)
      INTO trial.verdict, outcome
      FROM hartonomous.compression_trials t JOIN hartonomous.compression_jobs j USING (job_id)
     WHERE t.trial_id = trial.trial_id;
  END IF;
  UPDATE hartonomous.ooda_hypotheses h
     SET state = CASE coalesce(trial.verdict, CASE WHEN outcome IS NOT NULL THEN 'kept' END)
                 WHEN 'kept' THEN 'accepted' ELSE 'rolled_back' END,
         outcome = coalesce(learn.outcome, 'the table was in use'), finished_at = clock_timestamp()
   WHERE h.hypothesis_id = hypothesis;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.learn(bigint, text) IS
  'the verdict on a hypothesis that was acted on and, if it changed the model, measured: accepted, or rolled back';

CREATE PROCEDURE hartonomous_internal.carry_out(hypothesis bigint, keep_last integer, max_age interval,
    commits boolean)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  chosen record;
BEGIN
  SELECT h.model_id, h.hypothesis_type, h.trial_id INTO STRICT chosen FROM hartonomous.ooda_hypotheses h
   WHERE h.hypothesis_id OPERATOR(pg_catalog.=) hypothesis;
  IF chosen.trial_id IS NULL THEN
    PERFORM hartonomous_internal.learn(hypothesis,
      hartonomous_internal.maintain(chosen.model_id, chosen.hypothesis_type, keep_last, max_age));
    IF commits THEN
      COMMIT;
    END IF;
  ELSE
    CALL hartonomous_internal.change_model(chosen.trial_id, commits);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.carry_out(bigint, integer, interval, boolean) IS
  'does what a hypothesis says, and commits; the caller holds the lock of the model';

CREATE PROCEDURE hartonomous_internal.measure_hypothesis(hypothesis bigint, evaluator pg_catalog.regprocedure,
    commits boolean)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  trial bigint;
BEGIN
  SELECT h.trial_id INTO trial FROM hartonomous.ooda_hypotheses h
   WHERE h.hypothesis_id OPERATOR(pg_catalog.=) hypothesis AND h.state OPERATOR(pg_catalog.=) 'acting';
  IF trial IS NOT NULL THEN
    PERFORM hartonomous_internal.measure_trial(trial, evaluator);
    PERFORM hartonomous_internal.learn(hypothesis, NULL);
  END IF;
  IF commits THEN
    COMMIT;
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.measure_hypothesis(bigint, regprocedure, boolean) IS
  'measures the change of a hypothesis, keeps it or rolls it back, and commits; does nothing if it changed no model';

CREATE FUNCTION hartonomous_internal.acted_hypothesis(model integer, procedure text, OUT hypothesis_id bigint,
    OUT job_id bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  acting record;
BEGIN
  -- Not in one query, which might note revisions of trials that are none of these.
  FOR acting IN
    SELECT h.hypothesis_id, h.job_id, h.trial_id
      FROM hartonomous.ooda_hypotheses h JOIN hartonomous.compression_jobs j ON j.job_id = h.job_id
      JOIN hartonomous.compression_trials t ON t.trial_id = h.trial_id AND t.job_id = h.job_id
     WHERE h.model_id = model AND j.model_id = model AND h.state = 'acting' AND j.state = 'running'
       AND j.procedure = coalesce(acted_hypothesis.procedure, j.procedure)
     ORDER BY h.hypothesis_id
  LOOP
    IF hartonomous_internal.job_is_here(acting.job_id) AND hartonomous_internal.note_revision(acting.trial_id) THEN
      hypothesis_id := acting.hypothesis_id;
      job_id := acting.job_id;
      RETURN;
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.acted_hypothesis(integer, text) IS
  'the hypothesis whose change is in force and was not measured yet, and its job (of a procedure, or of any); NULL if '
  'there is none, because nobody acted, the change was not finished, or the model was changed since';

-- Of a model that ooda_act() has changed but nobody has measured, a cycle first learns.
CREATE PROCEDURE hartonomous_internal.settle_act(model integer, goal pg_catalog.jsonb,
    evaluator pg_catalog.regprocedure, commits boolean)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  acted record;
BEGIN
  SELECT a.hypothesis_id, a.job_id INTO acted FROM hartonomous_internal.acted_hypothesis(model, 'ooda_act') a;
  IF acted.hypothesis_id IS NOT NULL THEN
    PERFORM hartonomous_internal.set_goal(acted.job_id, goal);
    CALL hartonomous_internal.measure_hypothesis(acted.hypothesis_id, evaluator, commits);
    PERFORM hartonomous_internal.end_job(acted.job_id);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.settle_act(integer, jsonb, regprocedure, boolean) IS
  'measures what ooda_act() has changed and ooda_learn() has not seen';

CREATE FUNCTION hartonomous_internal.set_goal(job bigint, goal jsonb) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  UPDATE hartonomous.compression_jobs j SET parameters = goal WHERE j.job_id = job;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.set_goal(bigint, jsonb) IS 'by what a job is judged, if that is said only now';

CREATE FUNCTION hartonomous_internal.acted_on(job bigint) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT count(*) FROM hartonomous.ooda_hypotheses h WHERE h.job_id = job AND h.state <> 'acting');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.acted_on(bigint) IS 'how many hypotheses a job has dealt with';

CREATE FUNCTION hartonomous_internal.loop_goal(model integer, validation_set text, calibration_set text,
    max_degradation double precision, measure text, evaluator regprocedure, n_ctx integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.check_goal(NULL, NULL, coalesce(max_degradation, 'NaN'), NULL, measure, evaluator,
    false);
  RETURN jsonb_strip_nulls(jsonb_build_object('max_degradation', max_degradation,
    'calibration_set', CASE WHEN calibration_set IS NOT NULL
                            THEN hartonomous_internal.set_of_texts('calibration', calibration_set) END,
    'validation_set', CASE WHEN evaluator IS NULL
                           THEN hartonomous_internal.measurable_by(model, validation_set, n_ctx) END,
    'measure', CASE WHEN evaluator IS NULL THEN measure END, 'evaluator', evaluator::text,
    'n_ctx', CASE WHEN evaluator IS NULL THEN hartonomous_internal.context_of_goal(model, n_ctx) END));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.loop_goal(integer, text, text, double precision, text, regprocedure,
  integer) IS
  'by what a cycle judges changes; errors as check_goal() and set_of_texts()';

CREATE FUNCTION hartonomous_internal.check_limits(risk_limit double precision, max_changes integer, keep_last integer,
    max_age interval) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF risk_limit = 'NaN' OR max_changes < 0 OR keep_last < 0 OR max_age < interval '0'
     OR max_age > interval '4000 years' THEN
    PERFORM hartonomous_internal.raise_error('22023',
      'risk_limit must be a number; max_changes, keep_last and max_age cannot be negative, nor max_age '
      'above 4000 years');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_limits(double precision, integer, integer, interval) IS
  '22023 if a limit of the loop is none';

CREATE FUNCTION hartonomous_internal.try_lock_model(model integer, for_session boolean) RETURNS boolean
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.lock_model(model, true, for_session);
  RETURN true;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.try_lock_model(integer, boolean) IS
  'lock_model() without waiting: false if another session has the lock';
