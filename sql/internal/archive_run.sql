-- Runs that archive and restore: what they do before their first step and after their last. In between, each tensor is
-- a step (internal/archive.sql), and the steps are executed as those of any other run (internal/execute.sql).

CREATE FUNCTION hartonomous_internal.begin_archive_run(model integer, base integer, purpose text) RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  part integer;
  run bigint;
BEGIN
  IF purpose = 'archive' THEN
    PERFORM hartonomous_internal.partition_of(model, base);
    PERFORM hartonomous_internal.use_access_method(model, base, 'heap');
    FOREACH part IN ARRAY hartonomous_internal.partitions_of_base(base, archived => false) LOOP
      PERFORM hartonomous_internal.require_archivable(hartonomous_internal.partition_of(model, part));
    END LOOP;
  ELSE
    PERFORM hartonomous_internal.require_complete_archive(r.revision_id)
       FROM hartonomous.model_revisions r WHERE r.base_revision_id = base AND r.state = 'archived';
  END IF;
  run := hartonomous_internal.start_run(model, purpose, purpose, jsonb_build_object('revision', base), base);
  IF purpose = 'archive' THEN
    INSERT INTO hartonomous.compression_steps (run_id, layer_id, operation)
      SELECT run, f.layer_id, purpose FROM hartonomous_internal.fingerprints_of_base(model, base) f
      ON CONFLICT DO NOTHING;
  ELSE
    INSERT INTO hartonomous.compression_steps (run_id, layer_id, operation)
      SELECT DISTINCT run, c.layer_id, purpose FROM hartonomous.tensor_atoms_archive c
       WHERE c.model_id = model
         AND c.revision_id = ANY (hartonomous_internal.partitions_of_base(base, archived => true))
      ON CONFLICT DO NOTHING;
  END IF;
  PERFORM hartonomous_internal.require_disk_space(run);
  RETURN run;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.begin_archive_run(integer, integer, text) IS
  'a run, new or resumed, that archives or restores (purpose) a partition and its deltas, with a step for each tensor; '
  'the caller holds the lock of the model; 0A000 if the user has added columns, XX001 if a part of the archive is '
  'missing, 53100 if the disk is too small';

CREATE FUNCTION hartonomous_internal.finish_archive(run bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  job hartonomous.compression_runs;
  parts integer[];
  part integer;
  live constant integer := (SELECT hartonomous_internal.live_base(r.model_id) FROM hartonomous.compression_runs r
                             WHERE r.run_id = run);
  present bigint;
BEGIN
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  parts := hartonomous_internal.partitions_of_base(job.revision_id, archived => false);
  PERFORM hartonomous_internal.lock_for_swap(
    ARRAY(SELECT hartonomous_internal.partition_of(job.model_id, u.part) FROM unnest(parts) u (part)),
    CASE WHEN live = ANY (parts) THEN 'ACCESS EXCLUSIVE' END,
    CASE WHEN parts <> ARRAY[live] THEN 'ACCESS EXCLUSIVE' END, run);
  FOREACH part IN ARRAY parts LOOP
    EXECUTE format('SELECT count(*) FROM %s', hartonomous_internal.partition_of(job.model_id, part)) INTO present;
    UPDATE hartonomous.model_revisions r SET archived_atoms = present WHERE r.revision_id = part;
    EXECUTE format('DROP TABLE %s', hartonomous_internal.partition_of(job.model_id, part));
  END LOOP;
  UPDATE hartonomous.model_revisions r SET state = 'archived'
   WHERE r.base_revision_id = job.revision_id AND r.state IN ('live', 'backup');
  PERFORM hartonomous_internal.require_complete_archive(r.revision_id)
     FROM hartonomous.model_revisions r WHERE r.base_revision_id = job.revision_id AND r.state = 'archived';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.finish_archive(bigint) IS
  'the end of a run that archives: archives again what was changed meanwhile, and drops the partitions; XX001 if an '
  'atom is missing, 55P03 after hartonomous.swap_timeout';

CREATE FUNCTION hartonomous_internal.finish_restore(run bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  job hartonomous.compression_runs;
  part record;
  present bigint;
BEGIN
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  -- The live partition comes first, as in every swap.
  FOR part IN
    SELECT r.revision_id, r.archived_atoms,
           r.revision_id = hartonomous_internal.live_base(job.model_id) AS live
      FROM hartonomous.model_revisions r
     WHERE r.revision_id = ANY (hartonomous_internal.partitions_of_base(job.revision_id, archived => true))
     ORDER BY 3 DESC, 1
  LOOP
    EXECUTE format('SELECT count(*) FROM %s', hartonomous_internal.partition_of(job.model_id, part.revision_id))
      INTO present;
    IF present <> part.archived_atoms THEN
      PERFORM hartonomous_internal.raise_error('XX001',
        format('revision %s has %s atoms, and had %s when it was archived', part.revision_id, present,
               part.archived_atoms));
    ELSIF part.live THEN
      PERFORM hartonomous_internal.attach_live(job.model_id, part.revision_id);
    ELSE
      PERFORM hartonomous_internal.attach_backup(job.model_id, part.revision_id);
    END IF;
    DELETE FROM hartonomous.tensor_atoms_archive c
     WHERE c.model_id = job.model_id AND c.revision_id = part.revision_id;
    UPDATE hartonomous.model_revisions r SET archived_atoms = NULL WHERE r.revision_id = part.revision_id;
  END LOOP;
  UPDATE hartonomous.model_revisions r SET state = CASE WHEN m.current_revision = r.revision_id THEN 'live'
                                                        ELSE 'backup' END
    FROM hartonomous.models m
   WHERE m.model_id = r.model_id AND r.base_revision_id = job.revision_id AND r.state = 'archived';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.finish_restore(bigint) IS
  'the end of a run that restores: attaches the partitions, and deletes their chunks; XX001 if an atom is missing, '
  '55P03 after hartonomous.swap_timeout';
