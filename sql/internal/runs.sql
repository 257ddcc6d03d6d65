-- Runs: executions of stages, each of which writes a new revision. How they are started, finished and abandoned.

CREATE FUNCTION hartonomous_internal.make_current(model integer, revision integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  outgoing constant integer := hartonomous_internal.live_structure(model);
BEGIN
  UPDATE hartonomous.model_revisions r SET state = 'backup'
    FROM hartonomous.models m
   WHERE m.model_id = model AND r.revision_id = m.current_revision AND r.revision_id <> revision
     AND r.state <> 'archived';
  UPDATE hartonomous.model_revisions r
     SET state = CASE WHEN r.revision_id = revision THEN 'live' ELSE r.state END,
         held_revision_id = CASE WHEN r.revision_id = r.base_revision_id THEN revision ELSE r.held_revision_id END
    FROM hartonomous.model_revisions target
   WHERE target.revision_id = revision AND r.revision_id IN (revision, target.base_revision_id);
  UPDATE hartonomous.models SET current_revision = revision WHERE model_id = model;
  PERFORM hartonomous_internal.exchange_structures(model, outgoing, hartonomous_internal.live_structure(model));
  -- Stopped runs started from a different state: they can never be resumed, and their partitions waste space.
  PERFORM hartonomous_internal.close_run(r.run_id, 'abandoned')
     FROM hartonomous.compression_runs r
    WHERE r.model_id = model AND r.state = 'running' AND r.revision_id IS DISTINCT FROM revision;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.make_current(integer, integer) IS
  'records that a revision, which its base already holds, is the live one; abandons runs that were stopped in '
  'another state';

CREATE FUNCTION hartonomous_internal.purpose_of_run(run bigint) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT CASE WHEN r.state = 'building' THEN 'rewrite' WHEN r.archived_atoms IS NULL THEN 'archive'
                      ELSE 'restore' END
            FROM hartonomous.compression_runs c JOIN hartonomous.model_revisions r ON r.revision_id = c.revision_id
           WHERE c.run_id = run);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.purpose_of_run(bigint) IS
  'what becomes of the revision of a run that has not ended: it is written (rewrite), or that which is written goes '
  'to the archive (archive) or comes back from there (restore); NULL if there is no such revision';

CREATE FUNCTION hartonomous_internal.start_run(model integer, stage text, kind text, parameters jsonb,
    base integer DEFAULT NULL) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  current integer := hartonomous_internal.current_revision(model);
  run record;
  resumed bigint;
  revision integer;
BEGIN
  IF kind <> 'copy' THEN
    PERFORM hartonomous_internal.require_read_committed();
  END IF;
  IF stage IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'a stage needs a name');
  END IF;
  -- The caller holds the model's lock, so any run recorded as running has been stopped.
  FOR run IN
    SELECT c.run_id, c.revision_id, c.stage, c.parameters, r.parent_revision_id, r.kind
      FROM hartonomous.compression_runs c
      LEFT JOIN hartonomous.model_revisions r ON r.revision_id = c.revision_id
     WHERE c.model_id = model AND c.state = 'running'
     ORDER BY c.run_id DESC
  LOOP
    IF resumed IS NULL AND run.stage = start_run.stage AND run.parameters = start_run.parameters
       -- In parentheses: PL/pgSQL would take the first THEN for its own.
       AND (CASE WHEN base IS NULL THEN run.kind = start_run.kind AND run.parent_revision_id = current
                      AND hartonomous_internal.partition_exists(model, run.revision_id)
                      AND hartonomous_internal.purpose_of_run(run.run_id) = 'rewrite'
                 ELSE run.revision_id = base
                      AND hartonomous_internal.purpose_of_run(run.run_id) = start_run.kind END) THEN
      resumed := run.run_id;
      RAISE NOTICE 'resuming run % of stage %', run.run_id, stage;
    ELSE
      PERFORM hartonomous_internal.close_run(run.run_id, 'abandoned');
    END IF;
  END LOOP;
  IF resumed IS NOT NULL THEN
    RETURN resumed;
  END IF;
  IF base IS NULL THEN
    revision := hartonomous_internal.new_revision(model, stage, kind, parameters);
    PERFORM hartonomous_internal.create_atoms_partition(model, revision);
  ELSE
    revision := base;
    PERFORM hartonomous_internal.create_atoms_partition(model, u.part)
       FROM unnest(hartonomous_internal.partitions_of_base(base, archived => true)) u (part);
  END IF;
  INSERT INTO hartonomous.compression_runs (model_id, revision_id, stage, parameters, state)
    VALUES (model, revision, stage, parameters, 'running') RETURNING run_id INTO resumed;
  RETURN resumed;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.start_run(integer, text, text, jsonb, integer) IS
  'a run of a stage: one that was stopped and has the same parameters and parent, or a new one with a new revision; '
  'or one that archives or restores (kind) a partition, given by the revision that wrote it; the caller holds the lock '
  'of the model; 22004 without a stage';

-- Changes committed by others in the meantime are copied again before the swap, so they must be visible by then.
CREATE FUNCTION hartonomous_internal.require_read_committed() RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    PERFORM hartonomous_internal.raise_error('25000', 'a model can be rewritten only in a READ COMMITTED transaction',
      detail => 'An older snapshot would not see changes that other sessions make during the copy.',
      hint => 'SET default_transaction_isolation = ''read committed''.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_read_committed() IS
  '25000 in a REPEATABLE READ or SERIALIZABLE transaction';

CREATE FUNCTION hartonomous_internal.require_run(run bigint) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT EXISTS (SELECT FROM hartonomous.compression_runs r WHERE r.run_id = run) THEN
    PERFORM hartonomous_internal.raise_error('42704', format('run %s does not exist', coalesce(run::text, 'NULL')),
      hint => 'SELECT * FROM hartonomous.compression_runs; shows all runs.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_run(bigint) IS '42704 if there is no such run';

-- So many seconds that a sum of them is out of range are none that a step took.
CREATE FUNCTION hartonomous_internal.summable_seconds(seconds double precision) RETURNS double precision
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN least(greatest(seconds, -1e290), 1e290);
COMMENT ON FUNCTION hartonomous_internal.summable_seconds(double precision) IS
  'the seconds of a step as a number of which no sum is out of range';

CREATE FUNCTION hartonomous_internal.close_run(run bigint, state text, error_sqlstate text DEFAULT NULL,
                                      error_message text DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  old hartonomous.compression_runs;
  part integer;
BEGIN
  UPDATE hartonomous.compression_runs r
     SET state = close_run.state, finished_at = clock_timestamp(), error_sqlstate = close_run.error_sqlstate,
         error_message = close_run.error_message
   WHERE r.run_id = run AND r.state = 'running' RETURNING * INTO old;
  IF old.revision_id IS NOT NULL THEN
    UPDATE hartonomous.model_revisions r SET state = 'dropped' WHERE r.revision_id = old.revision_id
      AND r.state = 'building';
    IF FOUND THEN
      PERFORM hartonomous_internal.drop_atoms_partition(old.model_id, old.revision_id);
      PERFORM hartonomous_internal.forget_structures(old.model_id);
      RETURN;
    END IF;
    -- Only half in the archive, or only half out of it.
    FOREACH part IN ARRAY hartonomous_internal.partitions_of_base(old.revision_id, archived => true) LOOP
      EXECUTE format('DROP TABLE IF EXISTS hartonomous_partitions.%I',
        hartonomous_internal.atoms_partition(old.model_id, part));
    END LOOP;
    DELETE FROM hartonomous.tensor_atoms_archive c
     USING hartonomous.model_revisions r
     WHERE r.base_revision_id = old.revision_id AND r.archived_atoms IS NULL
       AND c.model_id = old.model_id AND c.revision_id = r.revision_id;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.close_run(bigint, text, text, text) IS
  'ends a run that has not finished as failed or abandoned, and drops what it wrote; the caller holds the lock '
  'of the model';
