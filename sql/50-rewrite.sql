-- The rewriting stage: a new partition is written tensor by tensor beside the live one, then they are swapped.
--
-- All stages run through here; a stage only plans its steps (53-stages.sql): one a tensor, an operation and its arguments
-- (51-operations.sql). Each step is committed where the caller may commit, so a stopped run goes on with the same call.
-- Readers and plain writers go on meanwhile: before the swap, tensors that were changed since they were copied are copied
-- again.

CREATE FUNCTION hartonomous.start_run(model integer, stage text, kind text, parameters jsonb) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  current integer := hartonomous.current_revision(model);
  run record;
  resumed bigint;
  revision integer;
BEGIN
  IF kind <> 'copy' THEN
    PERFORM hartonomous.require_read_committed();
  END IF;
  IF stage IS NULL THEN
    RAISE EXCEPTION 'a stage needs a name' USING ERRCODE = '22004';
  END IF;
  -- The caller holds the model's lock, so a run that says it is running has been stopped.
  FOR run IN
    SELECT c.run_id, c.revision_id, c.stage, c.parameters, r.parent_revision_id, r.kind
      FROM hartonomous.compression_runs c
      LEFT JOIN hartonomous.model_revisions r ON r.revision_id = c.revision_id
     WHERE c.model_id = model AND c.state = 'running'
     ORDER BY c.run_id DESC
  LOOP
    IF resumed IS NULL AND run.stage = start_run.stage AND run.parameters = start_run.parameters
       AND run.kind = start_run.kind AND run.parent_revision_id = current
       AND hartonomous.partition_exists(model, run.revision_id) THEN
      resumed := run.run_id;
      RAISE NOTICE 'resuming run % of stage %', run.run_id, stage;
    ELSE
      PERFORM hartonomous.close_run(run.run_id, 'abandoned');
    END IF;
  END LOOP;
  IF resumed IS NOT NULL THEN
    RETURN resumed;
  END IF;
  revision := hartonomous.new_revision(model, stage, kind, parameters);
  PERFORM hartonomous.create_atoms_partition(model, revision);
  INSERT INTO hartonomous.compression_runs (model_id, revision_id, stage, parameters, state)
    VALUES (model, revision, stage, parameters, 'running') RETURNING run_id INTO resumed;
  RETURN resumed;
END
$$;
COMMENT ON FUNCTION hartonomous.start_run(integer, text, text, jsonb) IS
  'a run for a stage: a stopped one with the same parameters and parent, or a new one with a new revision; the caller holds the model''s lock; 22004 without a stage';

-- What others committed meanwhile is copied again before the swap, so it must be visible then.
CREATE FUNCTION hartonomous.require_read_committed() RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'a model can be rewritten in a READ COMMITTED transaction only'
      USING ERRCODE = '25000', DETAIL = 'An older snapshot would not see what others change while it is copied.',
            HINT = 'SET default_transaction_isolation = ''read committed''.';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.require_read_committed() IS '25000 in a REPEATABLE READ or SERIALIZABLE transaction';

CREATE FUNCTION hartonomous.require_run(run bigint) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM hartonomous.compression_runs r WHERE r.run_id = run) THEN
    RAISE EXCEPTION 'run % does not exist', coalesce(run::text, 'NULL') USING ERRCODE = '42704';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.require_run(bigint) IS '42704 when there is no such run';

CREATE FUNCTION hartonomous.close_run(run bigint, state text, error_sqlstate text DEFAULT NULL,
                                      error_message text DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  old hartonomous.compression_runs;
BEGIN
  UPDATE hartonomous.compression_runs r
     SET state = close_run.state, finished_at = clock_timestamp(), error_sqlstate = close_run.error_sqlstate,
         error_message = close_run.error_message
   WHERE r.run_id = run AND r.state = 'running' RETURNING * INTO old;
  IF old.revision_id IS NOT NULL THEN
    UPDATE hartonomous.model_revisions r SET state = 'dropped' WHERE r.revision_id = old.revision_id AND r.state = 'building';
    IF FOUND THEN
      PERFORM hartonomous.drop_atoms_partition(old.model_id, old.revision_id);
    END IF;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.close_run(bigint, text, text, text) IS
  'ends a run that has not finished, as failed or abandoned, and drops what it wrote; the caller holds the model''s lock';

CREATE FUNCTION hartonomous.abandon_run(run bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found record;  -- a row type would have to be there before there is a store
BEGIN
  SELECT r.model_id, r.state INTO found FROM hartonomous.compression_runs r WHERE r.run_id = run;
  IF found.model_id IS NULL THEN
    RAISE EXCEPTION 'run % does not exist', coalesce(run::text, 'NULL') USING ERRCODE = '42704';
  END IF;
  -- Whoever is at work holds the lock: such a run is cancelled (pg_cancel_backend), not abandoned.
  PERFORM hartonomous.lock_model(found.model_id, nowait => true);
  SELECT r.state INTO found.state FROM hartonomous.compression_runs r WHERE r.run_id = run;
  IF found.state IS DISTINCT FROM 'running' THEN
    RAISE EXCEPTION 'run % is %: there is nothing to give up', run, coalesce(found.state, 'deleted') USING ERRCODE = '55000';
  END IF;
  PERFORM hartonomous.close_run(run, 'abandoned');
END
$$;
COMMENT ON FUNCTION hartonomous.abandon_run(bigint) IS
  'gives up a run that was stopped, and drops what it wrote, which gives its disk space back; 42704 when there is no such run, 55000 when it is not running, 55P03 when a session is at work on its model';

CREATE FUNCTION hartonomous.columns_fingerprint(partition regclass) RETURNS text
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
  RETURN quote_literal(md5(array_to_string(hartonomous.atom_columns(partition), ',')));
COMMENT ON FUNCTION hartonomous.columns_fingerprint(regclass) IS
  'a literal that changes when a user adds or drops columns of the atoms';

CREATE FUNCTION hartonomous.rewrite_layer(run bigint, layer bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  started timestamptz := clock_timestamp();
  job hartonomous.compression_runs;
  step hartonomous.compression_steps;
  written record;
BEGIN
  PERFORM hartonomous.require_run(run);
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  SELECT * INTO step FROM hartonomous.compression_steps s WHERE s.run_id = run AND s.layer_id = layer;
  IF step.run_id IS NULL THEN
    RAISE EXCEPTION 'run % has no step for layer %', run, coalesce(layer::text, 'NULL') USING ERRCODE = '42704';
  END IF;
  -- Taken before the rows are read: what changes in between is copied once more than needed, never missed.
  SELECT f.atoms, f.bytes, f.fingerprint INTO step.atoms_before, step.bytes_before, step.source_fingerprint
    FROM hartonomous.tensor_fingerprint(job.model_id, hartonomous.live_base(job.model_id), layer) f;
  IF step.state = 'done' THEN
    EXECUTE format('DELETE FROM %s WHERE layer_id = $1', hartonomous.partition_of(job.model_id, job.revision_id)) USING layer;
    PERFORM hartonomous.drop_forms(job.model_id, job.revision_id, layer);
  END IF;
  SELECT * INTO written
    FROM hartonomous.perform_operation(step.operation, step.arguments, job.model_id, layer, job.model_id, job.revision_id, layer,
                                       -- Workers take longer to start than to quantize a small tensor.
                                       parallel => step.bytes_before > 1048576);
  UPDATE hartonomous.compression_steps s
     SET state = 'done', atoms_before = step.atoms_before, bytes_before = step.bytes_before,
         source_fingerprint = step.source_fingerprint, atoms_after = written.atoms, bytes_after = written.bytes,
         outcome = coalesce(written.outcome, s.outcome),
         seconds = extract(epoch FROM clock_timestamp() - started)
   WHERE s.run_id = run AND s.layer_id = layer;
END
$$;
COMMENT ON FUNCTION hartonomous.rewrite_layer(bigint, bigint) IS
  'does one step of a run: writes a tensor of the live partition, changed as the step says, into the run''s';

CREATE FUNCTION hartonomous.copy_changed_layers(run bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  layer bigint;
  target regclass;
BEGIN
  FOR layer IN SELECT hartonomous.changed_layers(run) LOOP
    IF target IS NULL THEN
      SELECT hartonomous.partition_of(r.model_id, r.revision_id) INTO STRICT target
        FROM hartonomous.compression_runs r WHERE r.run_id = run;
      PERFORM hartonomous.add_missing_columns(target, 'hartonomous.tensor_atoms');
    END IF;
    PERFORM hartonomous.rewrite_layer(run, layer);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.copy_changed_layers(bigint) IS
  'copies again the tensors that were changed, or got columns, after the run copied them';

CREATE FUNCTION hartonomous.finish_run(run bigint) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  job hartonomous.compression_runs;
  made hartonomous.model_revisions;
  outgoing integer;
BEGIN
  PERFORM hartonomous.require_run(run);
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  SELECT * INTO STRICT made FROM hartonomous.model_revisions r WHERE r.revision_id = job.revision_id;
  SELECT r.base_revision_id INTO STRICT outgoing
    FROM hartonomous.model_revisions r WHERE r.revision_id = made.parent_revision_id;
  IF made.kind = 'copy' THEN
    PERFORM hartonomous.attach_backup(job.model_id, made.revision_id, run);
  ELSE
    PERFORM hartonomous.require_read_committed();
    PERFORM hartonomous.swap_partitions(job.model_id, outgoing, made.revision_id, run);
  END IF;
  UPDATE hartonomous.model_revisions r
     SET atom_count = s.atoms, logical_bytes = s.bytes, state = 'backup',
         physical_bytes = pg_total_relation_size(
           hartonomous.partition_of(job.model_id, made.revision_id))
    FROM (SELECT sum(c.atoms_after) AS atoms, sum(c.bytes_after) AS bytes
            FROM hartonomous.compression_steps c WHERE c.run_id = run) s
   WHERE r.revision_id = made.revision_id;
  IF made.kind <> 'copy' THEN
    PERFORM hartonomous.make_current(job.model_id, made.revision_id);
  END IF;
  UPDATE hartonomous.compression_runs r
     SET state = 'completed', finished_at = clock_timestamp(), error_sqlstate = NULL, error_message = NULL, bytes_before = s.before, bytes_after = s.after
    FROM (SELECT sum(c.bytes_before) AS before, sum(c.bytes_after) AS after
            FROM hartonomous.compression_steps c WHERE c.run_id = run) s
   WHERE r.run_id = run;
  RETURN made.revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous.finish_run(bigint) IS
  'copies again what was changed meanwhile, puts the run''s partition in its place, and returns its revision';
