-- What the procedures of api/archive.sql have in common: which partitions of a model they move into the archive or out
-- of it, and the run that moves one.

CREATE FUNCTION hartonomous_internal.require_lone_backup(revision integer) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  state constant text := (SELECT r.state FROM hartonomous.model_revisions r WHERE r.revision_id = revision);
  others constant integer[] := hartonomous_internal.revisions_sharing_atoms(revision);
BEGIN
  IF state IS DISTINCT FROM 'backup' THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('revision %s is %s, not a backup', revision, coalesce(state, 'deleted')),
      hint => 'Revisions in state "backup" can be archived: see hartonomous.model_revisions. archive_model() archives '
              'the live one.');
  ELSIF others <> '{}' THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('revision %s shares its atoms with other revisions', revision),
      format('Revisions made in place share the atoms of the one before them; here these are revisions %s.',
             array_to_string(others, ', ')),
      'Drop the others with drop_backup(), rewrite the model, for example with backup_model(), or archive all of them '
      'with archive_model().');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_lone_backup(integer) IS
  '55000 if a revision is not a backup or shares its partition with other revisions';

CREATE FUNCTION hartonomous_internal.report_move(model integer, base integer, purpose text, disk_before bigint)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  revisions constant text := (
    SELECT CASE WHEN count(*) > 1 THEN 'revisions ' ELSE 'revision ' END
           || string_agg(format('%s (%s)', r.revision_id, r.stage), ', ' ORDER BY r.revision_id)
           || CASE WHEN count(*) > 1 THEN ' are' ELSE ' is' END
      FROM hartonomous.model_revisions r
     WHERE r.base_revision_id = base AND r.state IN ('live', 'backup', 'archived'));
BEGIN
  RAISE NOTICE '%', format('%s %s: %s on disk instead of %s', revisions,
    CASE purpose WHEN 'archive' THEN 'archived' ELSE 'restored' END,
    hartonomous.human_bytes(hartonomous_internal.base_disk_bytes(model, base)), hartonomous.human_bytes(disk_before));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_move(integer, integer, text, bigint) IS
  'says what was archived or restored, and what it took and takes on disk';

CREATE FUNCTION hartonomous_internal.base_disk_bytes(model integer, base integer) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN CASE WHEN hartonomous_internal.is_archived(model, base)
              THEN hartonomous_internal.archived_bytes_of_base(base)
              ELSE (SELECT sum(pg_total_relation_size(hartonomous_internal.partition_of(model, u.part)))
                      FROM unnest(hartonomous_internal.partitions_of_base(base, archived => false)) u (part)) END;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.base_disk_bytes(integer, integer) IS
  'what a partition and the deltas that belong to it take on disk, in the archive or outside';

-- The caller holds the lock of the model.
CREATE PROCEDURE hartonomous_internal.move_partition(model integer, base integer, purpose text)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  disk_before constant bigint := hartonomous_internal.base_disk_bytes(model, base);
BEGIN
  CALL hartonomous_internal.execute_run(hartonomous_internal.begin_archive_run(model, base, purpose));
  PERFORM hartonomous_internal.report_move(model, base, purpose, disk_before);
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.move_partition(integer, integer, text) IS
  'archives or restores (purpose) a partition and the deltas that belong to it, and commits each tensor if it may';

-- The live partition first: after a crash it is what the model is left in.
CREATE FUNCTION hartonomous_internal.bases_to_move(model integer, purpose text, backups boolean) RETURNS integer[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.live_base(model);
BEGIN
  RETURN ARRAY(
    SELECT r.base_revision_id
      FROM hartonomous.model_revisions r
     WHERE r.model_id = model AND (r.base_revision_id = live OR backups)
       AND CASE WHEN purpose = 'archive' THEN r.state IN ('live', 'backup') ELSE r.state = 'archived' END
     GROUP BY r.base_revision_id ORDER BY r.base_revision_id <> live, r.base_revision_id);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.bases_to_move(integer, text, boolean) IS
  'the partitions of a model that are still to be archived or restored (purpose): the live one, or all';

CREATE PROCEDURE hartonomous_internal.move_model(model integer, purpose text, backups boolean, nowait boolean)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits constant boolean := hartonomous_internal.can_commit();
  bases integer[];
  base integer;
BEGIN
  IF backups IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'backups cannot be NULL',
      hint => 'Leave it out for the live revision alone; with true, the backups go with it.');
  END IF;
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.lock_model(model, nowait, commits);
  PERFORM hartonomous_internal.current_revision(model);
  bases := hartonomous_internal.bases_to_move(model, purpose, backups);
  IF bases OPERATOR(pg_catalog.=) '{}' THEN
    RAISE NOTICE 'model "%" has nothing to %', model::hartonomous.regmodel, purpose;
  END IF;
  FOREACH base IN ARRAY bases LOOP
    CALL hartonomous_internal.move_partition(model, base, purpose);
  END LOOP;
  IF commits THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous_internal.move_model(integer, text, boolean, boolean) IS
  'archives or restores (purpose) the live revision of a model and, if that is said, its backups; 22004 if it is not '
  'said';
