-- Backups past retention: which they are, and archiving them.

-- The state against which changes are measured: the first that is still there, so that the losses of several jobs do
-- not hide in each other.
CREATE FUNCTION hartonomous_internal.baseline_of(model integer) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT min(r.revision_id)
      FROM hartonomous_internal.ancestors_of(hartonomous_internal.current_revision(model)) a
      JOIN hartonomous.model_revisions r ON r.revision_id = a.revision_id
     WHERE r.model_id = model AND r.state IN ('live', 'backup'));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.baseline_of(integer) IS
  'the oldest state that the live revision of a model was made from and that still has atoms';

CREATE FUNCTION hartonomous_internal.expired_backups(model integer, keep_last integer, max_age interval)
  RETURNS TABLE (revision_id integer, bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT b.revision_id, b.bytes
      FROM (SELECT r.revision_id, r.created_at, row_number() OVER (ORDER BY r.revision_id DESC) AS place,
                   min(r.revision_id) OVER () AS oldest,
                   CASE WHEN hartonomous_internal.partition_exists(model, r.revision_id)
                        THEN pg_total_relation_size(hartonomous_internal.partition_of(model, r.revision_id))
                        ELSE 0 END AS bytes
              FROM hartonomous.model_revisions r WHERE r.model_id = model AND r.state = 'backup') b
     -- Never the oldest one, nor that against which losses are measured.
     WHERE b.revision_id NOT IN (b.oldest, hartonomous_internal.baseline_of(model))
     AND (b.place > keep_last OR b.created_at < clock_timestamp() - max_age)
     -- A job goes on only while the state from which it began is there.
     AND NOT EXISTS (SELECT FROM hartonomous.compression_jobs j
                      WHERE j.model_id = model AND j.state = 'running' AND j.original_revision_id = b.revision_id)
     -- What archive_revision() would refuse.
     AND hartonomous_internal.revisions_sharing_atoms(b.revision_id) = '{}'
     AND hartonomous_internal.added_column('hartonomous.tensor_atoms_backup') IS NULL
     ORDER BY b.revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.expired_backups(integer, integer, interval) IS
  'the backups of a model that are not among its newest, or older than an age, and could be archived, and their bytes '
  'on disk; never the oldest backup, nor the baseline of losses';

CREATE FUNCTION hartonomous_internal.archive_backups(model integer, keep_last integer, max_age interval)
  RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  expired integer;
  archived bigint := 0;
BEGIN
  FOR expired IN SELECT b.revision_id FROM hartonomous_internal.expired_backups(model, keep_last, max_age) b LOOP
    CALL hartonomous.archive_revision(expired);
    archived := archived + 1;
  END LOOP;
  RETURN archived;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.archive_backups(integer, integer, interval) IS
  'archives the backups of a model that are past retention, and returns how many they were; errors as '
  'archive_revision()';
