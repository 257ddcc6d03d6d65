-- Executes the steps of a run one after the other, commits each if the caller may commit, and handles the failure of a
-- step.

CREATE FUNCTION hartonomous_internal.finish_rewrite(run bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  job hartonomous.compression_runs;
  made hartonomous.model_revisions;
  outgoing integer;
BEGIN
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  SELECT * INTO STRICT made FROM hartonomous.model_revisions r WHERE r.revision_id = job.revision_id;
  SELECT r.base_revision_id INTO STRICT outgoing
    FROM hartonomous.model_revisions r WHERE r.revision_id = made.parent_revision_id;
  IF made.kind = 'copy' THEN
    PERFORM hartonomous_internal.attach_backup(job.model_id, made.revision_id, run);
  ELSE
    PERFORM hartonomous_internal.require_read_committed();
    PERFORM hartonomous_internal.swap_partitions(job.model_id, outgoing, made.revision_id, run);
  END IF;
  PERFORM hartonomous_internal.complete_revision(made.revision_id,
            hartonomous_internal.nearest_bigint(sum(c.atoms_after)),
            hartonomous_internal.nearest_bigint(sum(c.bytes_after)),
            hartonomous_internal.partition_of(job.model_id, made.revision_id),
            coalesce(sum(hartonomous_internal.summable_seconds(c.seconds)), 0))
     FROM hartonomous.compression_steps c WHERE c.run_id = run;
  UPDATE hartonomous.model_revisions r SET state = 'backup' WHERE r.revision_id = made.revision_id;
  IF made.kind <> 'copy' THEN
    PERFORM hartonomous_internal.make_current(job.model_id, made.revision_id);
    PERFORM hartonomous_internal.check_structure(job.model_id, made.parent_revision_id);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.finish_rewrite(bigint) IS
  'the end of a run that writes a revision: copies again what was changed meanwhile, and swaps in its partition';

CREATE FUNCTION hartonomous_internal.finish_run(run bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.require_run(run);
  CASE hartonomous_internal.purpose_of_run(run)
    WHEN 'archive' THEN PERFORM hartonomous_internal.finish_archive(run);
    WHEN 'restore' THEN PERFORM hartonomous_internal.finish_restore(run);
    ELSE PERFORM hartonomous_internal.finish_rewrite(run);
  END CASE;
  UPDATE hartonomous.compression_runs r
     SET state = 'completed', finished_at = clock_timestamp(), error_sqlstate = NULL, error_message = NULL,
     bytes_before = s.before, bytes_after = s.after
    FROM (SELECT hartonomous_internal.nearest_bigint(sum(c.bytes_before)) AS before,
                 hartonomous_internal.nearest_bigint(sum(c.bytes_after)) AS after
            FROM hartonomous.compression_steps c WHERE c.run_id = run) s
   WHERE r.run_id = run;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.finish_run(bigint) IS
  'ends a run after its steps, and notes what they did';

CREATE FUNCTION hartonomous_internal.lacks_indexes(run bigint) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN hartonomous_internal.purpose_of_run(run) <> 'archive' AND NOT EXISTS (
    SELECT FROM hartonomous.compression_runs r
      JOIN pg_index i ON i.indrelid = hartonomous_internal.partition_of(r.model_id, r.revision_id)
     WHERE r.run_id = run);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.lacks_indexes(bigint) IS
  'whether a run has filled a partition that has no indexes yet';

CREATE FUNCTION hartonomous_internal.do_step(run bigint, layer bigint) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.require_run(run);
  IF layer IS NOT NULL THEN
    CASE hartonomous_internal.purpose_of_run(run)
      WHEN 'archive' THEN PERFORM hartonomous_internal.archive_layer(run, layer);
      WHEN 'restore' THEN PERFORM hartonomous_internal.restore_layer(run, layer);
      ELSE PERFORM hartonomous_internal.rewrite_layer(run, layer);
    END CASE;
  ELSIF hartonomous_internal.lacks_indexes(run) THEN
    PERFORM hartonomous_internal.index_atoms_partition(hartonomous_internal.partition_of(r.model_id, r.revision_id))
       FROM hartonomous.compression_runs r WHERE r.run_id = run;
  ELSE
    PERFORM hartonomous_internal.finish_run(run);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.do_step(bigint, bigint) IS
  'the next step of a run: a tensor or, without one, first the indexes and then the end';

-- A cancel is not an error of the step, and OTHERS does not catch it: it stops the run, which can be resumed.
CREATE FUNCTION hartonomous_internal.try_step(run bigint, layer bigint) RETURNS jsonb
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  message text;
  detail text;
  hint text;
  in_schema text;
  in_table text;
  in_column text;
  in_constraint text;
  tensor text;
BEGIN
  PERFORM hartonomous_internal.do_step(run, layer);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
    in_schema = SCHEMA_NAME, in_table = TABLE_NAME, in_column = COLUMN_NAME, in_constraint = CONSTRAINT_NAME;
  -- An error that is raised again has lost the context that names the tensor.
  SELECT l.layer_name INTO tensor FROM hartonomous.model_layers l WHERE l.layer_id = layer;
  detail := concat_ws(E'\n', nullif(detail, ''), format('Tensor "%s" was being %s.', tensor,
    CASE hartonomous_internal.purpose_of_run(run) WHEN 'archive' THEN 'archived' WHEN 'restore' THEN 'restored'
      ELSE 'rewritten' END));
  RETURN jsonb_build_object('sqlstate', SQLSTATE, 'message', message, 'detail', detail, 'hint', hint, 'schema',
    in_schema,
    'table', in_table, 'column', in_column, 'constraint', in_constraint);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.try_step(bigint, bigint) IS
  'do_step(); returns NULL or, after undoing it, the error that it raised';

-- After an error that repeating the call can overcome, the run stays as it is, so that it can be resumed.
CREATE FUNCTION hartonomous_internal.note_failure(run bigint, failure jsonb) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF failure ->> 'sqlstate' IN ('55P03', '40P01', '40001') THEN
    UPDATE hartonomous.compression_runs r
       SET error_sqlstate = failure ->> 'sqlstate', error_message = failure ->> 'message'
     WHERE r.run_id = run;
  ELSE
    PERFORM hartonomous_internal.close_run(run, 'failed', failure ->> 'sqlstate', failure ->> 'message');
  END IF;
EXCEPTION WHEN OTHERS THEN
  -- Only a warning, because the error of the step itself is about to be raised.
  RAISE WARNING 'could not clean up after run %: %', run, SQLERRM
    USING HINT = format('SELECT hartonomous.abandon_run(%s);', run);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.note_failure(bigint, jsonb) IS
  'records the error of a step, as try_step() returns it: the run has failed and what it wrote is dropped, unless a '
  'repetition can succeed (55P03, 40P01, 40001)';

-- The error of a step is caught, recorded, committed and then raised again. Inside a transaction block nothing is
-- recorded, since it would be rolled back with everything else.
CREATE PROCEDURE hartonomous_internal.execute_step(run bigint, layer bigint, commits boolean)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  failure pg_catalog.jsonb;
BEGIN
  IF NOT commits THEN
    PERFORM hartonomous_internal.do_step(run, layer);
    RETURN;
  END IF;
  failure := hartonomous_internal.try_step(run, layer);
  IF failure IS NOT NULL THEN
    PERFORM hartonomous_internal.note_failure(run, failure);
  END IF;
  COMMIT;
  IF failure IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_failure(failure);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.execute_step(bigint, bigint, boolean) IS
  'carries out the next step of a run and, if it may, commits it; records an error before raising it';

-- Tensors outside blocks come first, then block after block, and at last an output matrix that is quantized in
-- sequence, which needs this order.
--
-- After a cancel or crash the committed steps remain, and the same call resumes after them; inside a transaction block
-- nothing is committed and nothing remains. A concurrent call waits for the model's lock or fails with 55P03.
CREATE PROCEDURE hartonomous_internal.execute_run(run bigint)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits boolean := hartonomous_internal.can_commit();
  layer bigint;
BEGIN
  PERFORM hartonomous_internal.require_run(run);
  IF commits THEN
    COMMIT;
  END IF;
  FOR layer IN
    SELECT s.layer_id FROM hartonomous.compression_steps s
      LEFT JOIN hartonomous.model_layers l ON l.layer_id OPERATOR(pg_catalog.=) s.layer_id
     WHERE s.run_id OPERATOR(pg_catalog.=) run AND s.state OPERATOR(pg_catalog.=) 'waiting'
     ORDER BY (l.layer_idx OPERATOR(pg_catalog.<) 0 AND s.arguments OPERATOR(pg_catalog.@>) '{"sequential": true}')
              IS TRUE,
              l.layer_idx, s.layer_id
  LOOP
    CALL hartonomous_internal.execute_step(run, layer, commits);
  END LOOP;
  -- If the run was stopped after this step and before its end, the indexes exist already.
  IF hartonomous_internal.lacks_indexes(run) THEN
    CALL hartonomous_internal.execute_step(run, NULL, commits);
  END IF;
  CALL hartonomous_internal.execute_step(run, NULL, commits);
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.execute_run(bigint) IS
  'carries out the remaining steps of a run, commits each if called outside a transaction block, and then finishes the '
  'run; the caller holds the lock of the model';
