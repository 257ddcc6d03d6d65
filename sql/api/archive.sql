-- Archiving revisions: their atoms become compressed chunks, and atoms again when they are needed.

CREATE PROCEDURE hartonomous.archive_revision(revision integer, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  target record;  -- not a row type, as in rollback_model()
  others integer[];
  before bigint;
BEGIN
  SELECT * INTO target FROM hartonomous_internal.lock_revision(revision, nowait);
  IF target.state IS DISTINCT FROM 'backup' THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('revision %s is %s, not a backup', revision, coalesce(target.state, 'deleted')),
      hint => 'Revisions in state "backup" can be archived: see hartonomous.model_revisions.');
  END IF;
  others := hartonomous_internal.revisions_sharing_atoms(revision);
  IF others <> '{}' THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('revision %s shares its atoms with other revisions', revision),
      format('Revisions made in place share the atoms of the one before them; here these are revisions %s.',
             array_to_string(others, ', ')),
      'Drop the others with drop_backup(), or rewrite the model, for example with backup_model().');
  END IF;
  before := hartonomous.model_disk_bytes(target.model_id);
  PERFORM hartonomous_internal.hold_revision(revision);
  EXECUTE format('LOCK TABLE ONLY %s IN SHARE MODE',
                 hartonomous_internal.partition_of(target.model_id, target.base_revision_id));
  PERFORM hartonomous_internal.archive_partition(target.model_id, target.base_revision_id);
  PERFORM hartonomous_internal.lock_backups(target.model_id);
  EXECUTE format('DROP TABLE %s', hartonomous_internal.partition_of(target.model_id, target.base_revision_id));
  -- Users may have deleted atoms; from now on the revision has those that were archived.
  UPDATE hartonomous.model_revisions r
     SET state = 'archived', atom_count = (
       SELECT coalesce(sum(c.atoms), 0) FROM hartonomous.tensor_atoms_archive c
        WHERE c.model_id = target.model_id AND c.revision_id = target.base_revision_id)
   WHERE r.revision_id = revision;
  PERFORM hartonomous_internal.drop_unneeded_partitions(target.model_id);
  RAISE NOTICE 'revision % (%) is archived: % instead of %', revision, target.stage,
    hartonomous.human_bytes(hartonomous_internal.archived_bytes(target.model_id, target.base_revision_id)),
    hartonomous.human_bytes(before - hartonomous.model_disk_bytes(target.model_id)
      + hartonomous_internal.archived_bytes(target.model_id, target.base_revision_id));
END
$$;
COMMENT ON PROCEDURE hartonomous.archive_revision(integer, boolean) IS
  'compresses the atoms of a backup revision to the bit and drops its partition, in one transaction: a cancel or crash '
  'changes nothing; 42704 if there is no such revision, 55000 if it is not a backup or shares its atoms with others, '
  '0A000 if the user has added columns, 55P03 with nowait';

CREATE PROCEDURE hartonomous.restore_archived_revision(revision integer, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  target record;
BEGIN
  SELECT * INTO target FROM hartonomous_internal.lock_revision(revision, nowait);
  IF target.state IS DISTINCT FROM 'archived' THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('revision %s is %s, not archived', revision, coalesce(target.state, 'deleted')),
      hint => 'Revisions in state "archived" can be restored: see hartonomous.model_revisions.');
  END IF;
  PERFORM hartonomous_internal.restore_partition(target.model_id, target.base_revision_id);
END
$$;
COMMENT ON PROCEDURE hartonomous.restore_archived_revision(integer, boolean) IS
  'makes an archived revision a backup again, in one transaction: a cancel or crash changes nothing; 42704 if there is '
  'no such revision, 55000 if it is not archived, XX001 if the archive is damaged, 55P03 with nowait';
