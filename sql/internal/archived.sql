-- What is in the archive: which partitions, whether all of each is there, and where the atoms of a model are to be
-- read.

-- What each chunk has is checked by its checksum, and this that none is missing.
CREATE FUNCTION hartonomous_internal.archive_fault(revision integer) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT format('the archive of revision %s has %s atoms, not %s', p.revision_id, a.atoms,
                  coalesce(p.archived_atoms, 0))
      FROM hartonomous.model_revisions r
      JOIN hartonomous.model_revisions p ON p.base_revision_id = r.base_revision_id
       AND (p.archived_atoms IS NOT NULL OR p.revision_id = p.base_revision_id)
      CROSS JOIN LATERAL (SELECT coalesce(sum(c.atoms), 0) AS atoms FROM hartonomous.tensor_atoms_archive c
                            JOIN hartonomous.archived_weights w ON w.weights_hash = c.weights_hash
                           WHERE c.model_id = p.model_id AND c.revision_id = p.revision_id) a
     WHERE r.revision_id = revision AND r.state = 'archived' AND p.archived_atoms IS DISTINCT FROM a.atoms
     ORDER BY p.revision_id LIMIT 1);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.archive_fault(integer) IS
  'what is missing of an archived revision; NULL if nothing is, or the revision is not archived';

CREATE FUNCTION hartonomous_internal.require_complete_archive(revision integer) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  fault constant text := hartonomous_internal.archive_fault(revision);
BEGIN
  IF fault IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('XX001', fault,
      'Rows of hartonomous.tensor_atoms_archive were changed or deleted.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_complete_archive(integer) IS
  'XX001 if anything is missing of an archived revision';

CREATE FUNCTION hartonomous_internal.is_archived(model integer, base integer) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN EXISTS (SELECT FROM hartonomous.model_revisions r
                  WHERE r.model_id = model AND r.revision_id = base AND r.archived_atoms IS NOT NULL);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.is_archived(integer, integer) IS
  'whether the atoms of the partition that a revision wrote are in the archive, and not in the partition any more';

CREATE FUNCTION hartonomous_internal.stored_atoms(model integer, base integer) RETURNS regclass
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF hartonomous_internal.is_archived(model, base) THEN
    RETURN 'hartonomous.archived_tensor_atoms';
  END IF;
  RETURN hartonomous_internal.partition_of(model, base);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.stored_atoms(integer, integer) IS
  'the partition that a revision wrote or, if it is in the archive, the view in which its atoms are among '
  'others; 42P01 '
  'if there is neither';

-- A partition and the deltas of the revisions that were made in place from it are archived and restored together.
CREATE FUNCTION hartonomous_internal.partitions_of_base(base integer, archived boolean) RETURNS integer[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN ARRAY(SELECT r.revision_id FROM hartonomous.model_revisions r
                WHERE r.base_revision_id = base AND r.state <> 'building'
                  AND CASE WHEN archived THEN r.archived_atoms IS NOT NULL
                           ELSE r.archived_atoms IS NULL
                                AND hartonomous_internal.partition_exists(r.model_id, r.revision_id) END
                ORDER BY r.revision_id);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.partitions_of_base(integer, boolean) IS
  'the revisions that wrote the partitions in which a partition and the revisions made in place from it are stored: '
  'those in the archive, or those that are tables';

CREATE FUNCTION hartonomous_internal.is_archived_model(model integer) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.current_revision(model);
BEGIN
  RETURN EXISTS (SELECT FROM hartonomous.model_revisions r WHERE r.revision_id = live AND r.state = 'archived');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.is_archived_model(integer) IS
  'whether the live revision of a model is in the archive; 42704 if there is no such model';

CREATE FUNCTION hartonomous_internal.require_live_atoms(model integer) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF hartonomous_internal.is_archived_model(model) THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('model "%s" is archived', model::hartonomous.regmodel),
      'An archived model can be read, but not changed.',
      hint => format('CALL hartonomous.restore_archived_model(%L);', model::hartonomous.regmodel::text));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_live_atoms(integer) IS
  '55000 if the live revision of a model is in the archive';

-- Readers have rights on tensor_atoms and on the view, not on partitions.
CREATE FUNCTION hartonomous_internal.atoms_of_model(model integer) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live record;
BEGIN
  SELECT r.revision_id, r.base_revision_id, r.state INTO live
    FROM hartonomous.models m JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision
   WHERE m.model_id = model;
  IF live.state IS DISTINCT FROM 'archived' THEN
    RETURN 'hartonomous.tensor_atoms';
  END IF;
  PERFORM hartonomous_internal.require_complete_archive(live.revision_id);
  RETURN format('(SELECT * FROM hartonomous.archived_tensor_atoms WHERE revision_id = %s)', live.base_revision_id);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.atoms_of_model(integer) IS
  'the table in which a query finds the live atoms of a model by its number: tensor_atoms, or the archive; XX001 if a '
  'part of the archive is missing';

CREATE FUNCTION hartonomous_internal.on_atoms_of(model integer, query text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN replace(query, 'hartonomous.tensor_atoms a', hartonomous_internal.atoms_of_model(model) || ' a');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.on_atoms_of(integer, text) IS
  'a query on tensor_atoms a, as one on the archive if the model is there; XX001 if a part of the archive is missing';
