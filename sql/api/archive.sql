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

CREATE FUNCTION hartonomous.archive_report()
  RETURNS TABLE (model_id integer, model_name text, revision_id integer, atoms bigint, logical_bytes bigint,
    own_bytes bigint, shared_bytes bigint, saved_bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    WITH parts AS (
      SELECT c.model_id, c.revision_id, c.weights_hash, sum(c.atoms) AS atoms, sum(c.logical_bytes) AS logical_bytes
        FROM hartonomous.tensor_atoms_archive c GROUP BY c.model_id, c.revision_id, c.weights_hash),
    sharers AS (
      SELECT p.*, pg_column_size(w.atom_data) AS bytes,
             count(*) OVER (PARTITION BY p.weights_hash) > 1 AS is_shared,
             -- What it would take by itself, unless it is the first.
             CASE WHEN row_number() OVER (PARTITION BY p.weights_hash ORDER BY p.revision_id) > 1
                  THEN round(pg_column_size(w.atom_data)
                    * least(p.logical_bytes / nullif(w.logical_bytes, 0)::numeric, 1))
                  ELSE 0 END AS saved
        FROM parts p JOIN hartonomous.archived_weights w ON w.weights_hash = p.weights_hash)
    SELECT s.model_id, m.model_name, s.revision_id, sum(s.atoms)::bigint, sum(s.logical_bytes)::bigint,
           hartonomous_internal.archived_bytes(s.model_id, s.revision_id),
           coalesce(sum(s.bytes) FILTER (WHERE s.is_shared), 0)::bigint, coalesce(sum(s.saved), 0)::bigint
      FROM sharers s JOIN hartonomous.models m ON m.model_id = s.model_id
     GROUP BY s.model_id, m.model_name, s.revision_id ORDER BY s.model_id, s.revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous.archive_report() IS
  'one row per archived partition, named by the revision that wrote it: its atoms and the bytes of their '
  'weights; bytes '
  'stored for it alone, which dropping it frees; bytes of chunks of weights that it shares with others; and what the '
  'chunks it shares with those before it would take if they were stored again';
