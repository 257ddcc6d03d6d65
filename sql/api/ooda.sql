-- The loop of the original design: observe, orient, decide, act. Each cycle proposes changes that may be free, carries
-- out those whose risk is low, measures them, and takes back what hurt. What was tried is never proposed again for the
-- same state of the model.

CREATE FUNCTION hartonomous.ooda_analyze(model hartonomous.regmodel, keep_last integer DEFAULT 5,
    max_age interval DEFAULT '30 days')
  RETURNS TABLE (topic text, subject text, value numeric, unit text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 30
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.current_revision(model);
  activity constant record := hartonomous_internal.activity_of(model);
BEGIN
  PERFORM hartonomous_internal.check_limits(NULL, NULL, keep_last, max_age);
  RETURN QUERY
    SELECT 'size', r.state || ' revision ' || r.revision_id, r.logical_bytes::numeric, 'bytes of weights'
      FROM hartonomous.model_revisions r WHERE r.revision_id = live
    UNION ALL
    SELECT 'size', 'all revisions', hartonomous.model_disk_bytes(model), 'bytes on disk'
    UNION ALL
    (SELECT 'format', v.format, sum(v.bytes), 'bytes of weights'
       FROM hartonomous_internal.stored_values(model) v GROUP BY v.format ORDER BY v.format)
    UNION ALL
    SELECT * FROM hartonomous_internal.importance_distribution(model)
    UNION ALL
    SELECT 'usage', 'atoms that were never used', hartonomous_internal.unused_atoms(model), 'atoms'
    UNION ALL
    SELECT 'table', v.subject, v.value, v.unit
      FROM (VALUES ('rows', activity.live_rows, 'rows'), ('dead rows', activity.dead_rows, 'rows'),
              ('read from disk', activity.blocks_read, 'blocks'), ('found in memory', activity.blocks_hit, 'blocks'))
           v (subject, value, unit)
    UNION ALL
    SELECT 'index', f.index_name::text || ' is ' || f.fault, 1, 'indexes'
      FROM hartonomous_internal.indexes_at_fault(model) f
    UNION ALL
    SELECT 'backup', 'past retention: revision ' || b.revision_id, b.bytes, 'bytes on disk'
      FROM hartonomous_internal.expired_backups(model, keep_last, max_age) b
    UNION ALL
    SELECT * FROM hartonomous_internal.drift(model);
END
$$;
COMMENT ON FUNCTION hartonomous.ooda_analyze(hartonomous.regmodel, integer, interval) IS
  'what there is to see of a model: sizes, formats, the distribution of importance, atoms that no recorded text has '
  'used, dead rows, reads from disk, indexes at fault, backups past retention, and metrics that have changed although '
  'no stage was run; 42704 if there is no such model';

CREATE FUNCTION hartonomous.ooda_hypothesize(model hartonomous.regmodel, calibration_set text DEFAULT NULL,
    max_degradation double precision DEFAULT 0.05, keep_last integer DEFAULT 5, max_age interval DEFAULT '30 days')
  RETURNS SETOF bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.current_revision(model);
  proposed bigint[];
BEGIN
  PERFORM hartonomous_internal.check_limits(NULL, NULL, keep_last, max_age);
  IF calibration_set IS NOT NULL THEN
    calibration_set := hartonomous_internal.set_of_texts('calibration', calibration_set);
  END IF;
  WITH stored AS (
    INSERT INTO hartonomous.ooda_hypotheses AS h (model_id, revision_id, hypothesis_type, level, change, rationale,
        expected_bytes_saved, expected_loss, risk_score, shown_sql, state)
      SELECT model, live, p.hypothesis_type, p.level, p.change, p.rationale, p.bytes_saved, p.expected_loss,
             -- Kinds that have often failed are riskier, and what is expected to lose more than is allowed even more
             -- so.
             least(greatest(p.risk + (0.5 - hartonomous_internal.success_rate(model, p.hypothesis_type, p.level))
               + CASE WHEN p.expected_loss > max_degradation THEN 0.3 ELSE 0 END, 0), 1),
             p.shown, 'proposed'
        FROM (SELECT c.hypothesis_type, c.level, c.change, c.risk, c.bytes_saved, c.expected_loss, c.rationale,
                     hartonomous_internal.shown_sql(model, c.change) AS shown
                FROM hartonomous_internal.possible_changes(model, calibration_set) c
              UNION ALL
              SELECT m.hypothesis_type, m.level, NULL, m.risk, m.bytes_saved, NULL, m.rationale, m.shown
                FROM hartonomous_internal.possible_maintenance(model, keep_last, max_age) m
               -- Once a day is enough.
               WHERE NOT EXISTS (SELECT FROM hartonomous.ooda_hypotheses o
                                  WHERE o.model_id = model AND o.hypothesis_type = m.hypothesis_type
                                    AND o.finished_at > clock_timestamp() - interval '1 day'
                                    AND o.revision_id = live)) p
       WHERE NOT EXISTS (SELECT FROM hartonomous.ooda_hypotheses o
                          WHERE o.model_id = model AND o.revision_id = live AND o.hypothesis_type = p.hypothesis_type
                            AND o.level = p.level AND o.state = 'approved')
      ON CONFLICT (model_id, revision_id, hypothesis_type, level) WHERE state = 'proposed'
        DO UPDATE SET change = excluded.change, rationale = excluded.rationale, shown_sql = excluded.shown_sql,
             expected_bytes_saved = excluded.expected_bytes_saved, expected_loss = excluded.expected_loss,
             risk_score = excluded.risk_score
      RETURNING h.hypothesis_id)
  SELECT coalesce(array_agg(s.hypothesis_id ORDER BY s.hypothesis_id), '{}') INTO proposed FROM stored s;
  -- What was proposed for another state, or is not proposed any more, is out of date.
  UPDATE hartonomous.ooda_hypotheses h SET state = 'obsolete'
   WHERE h.model_id = model AND h.state = 'proposed' AND h.hypothesis_id <> ALL (proposed);
  RETURN QUERY SELECT u.id FROM unnest(proposed) u (id);
END
$$;
COMMENT ON FUNCTION hartonomous.ooda_hypothesize(hartonomous.regmodel, text, double precision, integer, interval) IS
  'stores hypotheses about the live revision of a model in ooda_hypotheses, and returns their numbers: of '
  'each kind the '
  'boldest change that was not tried in this state, with what it is expected to save and to lose, a risk from 0 to 1 '
  'that follows what was learned, and the SQL that would do the same, for people; 42704 if there is no such '
  'model or set';

CREATE FUNCTION hartonomous.ooda_approve(hypothesis bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.decide_hypothesis(hypothesis, 'approved');
END
$$;
COMMENT ON FUNCTION hartonomous.ooda_approve(bigint) IS
  'lets the next cycle act on a hypothesis, whatever its risk; 42704 if there is no such hypothesis, 55000 '
  'if it is not '
  'proposed any more';

CREATE FUNCTION hartonomous.ooda_reject(hypothesis bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.decide_hypothesis(hypothesis, 'rejected');
END
$$;
COMMENT ON FUNCTION hartonomous.ooda_reject(bigint) IS
  'keeps a hypothesis from being acted on, and from being proposed again for the same state; also ends one on which a '
  'call was acting that was stopped or has failed, and rolls back what it did; 42704 if there is no such hypothesis, '
  '55000 if it is not open any more, 55P03 if a session is acting on it';

-- After a cancel or crash the same call goes on with the hypothesis; inside a transaction block nothing is committed. A
-- second caller waits for the model's lock or, with nowait, fails with 55P03.
CREATE PROCEDURE hartonomous.ooda_act(model hartonomous.regmodel, risk_limit double precision DEFAULT 0.5,
    keep_last integer DEFAULT 5, max_age interval DEFAULT '30 days', nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits boolean := hartonomous_internal.can_commit();
  job bigint;
  hypothesis bigint;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.check_limits(risk_limit, NULL, keep_last, max_age);
  PERFORM hartonomous_internal.lock_model_of_job(model, nowait, commits);
  job := hartonomous_internal.start_job(model, 'ooda_act', '{}', hartonomous_internal.baseline_of(model));
  hypothesis := hartonomous_internal.begin_hypothesis(job, risk_limit);
  IF commits THEN
    COMMIT;
  END IF;
  IF hypothesis IS NOT NULL THEN
    CALL hartonomous_internal.carry_out(hypothesis, keep_last, max_age, commits);
  END IF;
  PERFORM hartonomous_internal.end_job(job);
  IF commits THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.ooda_act(hartonomous.regmodel, double precision, integer, interval, boolean) IS
  'carries out one hypothesis about the live revision, one that was approved or the most promising of those '
  'whose risk is '
  'below a limit; a change of the model stays in force until ooda_learn() has measured it; 42704 if there is no such '
  'model, 55P03 with nowait; other errors as the stage';

CREATE PROCEDURE hartonomous.ooda_learn(model hartonomous.regmodel, validation_set text DEFAULT NULL,
    max_degradation double precision DEFAULT 0.05, measure text DEFAULT 'perplexity',
    evaluator pg_catalog.regprocedure DEFAULT NULL, n_ctx integer DEFAULT NULL, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits boolean := hartonomous_internal.can_commit();
  acted record;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.lock_model_of_job(model, nowait, commits);
  SELECT a.hypothesis_id, a.job_id INTO acted FROM hartonomous_internal.acted_hypothesis(model, NULL) a;
  IF acted.hypothesis_id IS NULL THEN
    RAISE NOTICE 'there is nothing to learn from';
  ELSE
    PERFORM hartonomous_internal.set_goal(acted.job_id, hartonomous_internal.loop_goal(model, validation_set, NULL,
      max_degradation, measure, evaluator, n_ctx));
    CALL hartonomous_internal.measure_hypothesis(acted.hypothesis_id, evaluator, commits);
    PERFORM hartonomous_internal.end_job(acted.job_id);
  END IF;
  IF commits THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.ooda_learn(hartonomous.regmodel, text, double precision, text, regprocedure, integer,
  boolean) IS
  'measures what ooda_act() has changed, on a text that no calibration has seen, and keeps it if the loss since the '
  'oldest state of the model stays within max_degradation, else rolls it back; arguments and errors as '
  'compress_model()';

-- After a cancel or crash the same call goes on where it stopped; a cycle with other arguments first measures or rolls
-- back what the stopped one has left. While another session changes the model a cycle does nothing, so that a schedule
-- may be denser than cycles are long.
CREATE PROCEDURE hartonomous.ooda_cycle(model hartonomous.regmodel, validation_set text DEFAULT NULL,
    calibration_set text DEFAULT NULL, max_degradation double precision DEFAULT 0.05,
    measure text DEFAULT 'perplexity', evaluator pg_catalog.regprocedure DEFAULT NULL,
    risk_limit double precision DEFAULT 0.5, max_changes integer DEFAULT 3, n_ctx integer DEFAULT NULL,
    keep_last integer DEFAULT 5, max_age interval DEFAULT '30 days')
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits boolean := hartonomous_internal.can_commit();
  goal pg_catalog.jsonb;
  job bigint;
  hypothesis bigint;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.check_limits(risk_limit, max_changes, keep_last, max_age);
  IF NOT hartonomous_internal.try_lock_model(model, commits) THEN
    RAISE NOTICE 'another session is changing model "%": this cycle is skipped', model;
    RETURN;
  END IF;
  PERFORM hartonomous_internal.require_live_atoms(model);
  goal := hartonomous_internal.loop_goal(model, validation_set, calibration_set, max_degradation, measure, evaluator,
    n_ctx);
  CALL hartonomous_internal.settle_act(model, goal, evaluator, commits);
  goal := goal OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('max_changes', max_changes);
  job := hartonomous_internal.start_job(model, 'ooda_cycle', goal, CASE WHEN evaluator IS NULL
           THEN hartonomous_internal.baseline_of(model) ELSE hartonomous_internal.current_revision(model) END);
  LOOP
    CALL hartonomous_internal.measure_before(job, evaluator);
    PERFORM hartonomous.ooda_hypothesize(model, goal OPERATOR(pg_catalog.->>) 'calibration_set', max_degradation,
                                         keep_last, max_age);
    hypothesis := CASE WHEN hartonomous_internal.acted_on(job) OPERATOR(pg_catalog.<) max_changes
                       THEN hartonomous_internal.begin_hypothesis(job, risk_limit) END;
    IF commits THEN
      COMMIT;
    END IF;
    EXIT WHEN hypothesis IS NULL;
    CALL hartonomous_internal.carry_out(hypothesis, keep_last, max_age, commits);
    CALL hartonomous_internal.measure_hypothesis(hypothesis, evaluator, commits);
  END LOOP;
  PERFORM hartonomous_internal.end_job(job);
  IF commits THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.ooda_cycle(hartonomous.regmodel, text, text, double precision, text, regprocedure,
  double precision, integer, integer, integer, interval) IS
  'one turn of the loop: proposes, acts on up to max_changes hypotheses that were approved or whose risk is below '
  'risk_limit, measures each, keeps it or rolls it back, and says what it did; does nothing while another session is '
  'changing the model; arguments and errors as compress_model()';
