-- The archive: partitions of atoms as rows of tensor_atoms_archive, one per chunk, and back. A chunk has atoms of one
-- tensor, about 4 MiB of weights.

CREATE FUNCTION hartonomous_internal.revisions_sharing_atoms(revision integer) RETURNS integer[]
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN ARRAY(SELECT o.revision_id
                 FROM hartonomous.model_revisions r
                 JOIN hartonomous.model_revisions o ON o.base_revision_id = r.base_revision_id
                WHERE r.revision_id = revision AND o.revision_id <> revision
                 AND o.state IN ('building', 'live', 'backup')
                ORDER BY o.revision_id);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.revisions_sharing_atoms(integer) IS
  'the other revisions that are stored in the partition of a revision';

CREATE FUNCTION hartonomous_internal.added_column(partition regclass) RETURNS name
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT c FROM unnest(hartonomous_internal.atom_columns(partition)) c
           WHERE c <> ALL ('{model_id,revision_id,layer_id,atom_sequence,x,y,importance_score,tensor_name,'
                           'atom_data,quantized_position,planned_format}') ORDER BY 1 LIMIT 1);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.added_column(regclass) IS
  'a column of a partition that the user has added, and that cannot be archived; NULL if there is none';

CREATE FUNCTION hartonomous_internal.require_archivable(partition regclass) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  added constant name := hartonomous_internal.added_column(partition);
BEGIN
  IF added IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('0A000',
      format('atoms with a column "%s" cannot be archived', added),
      hint => format('Only columns of the store are archived. ALTER TABLE hartonomous.tensor_atoms_backup DROP COLUMN '
                     '%I; drops it from all backups.', added));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_archivable(regclass) IS
  '0A000 if a partition has columns that the user has added';

CREATE FUNCTION hartonomous_internal.archive_partition(model integer, base integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition regclass := hartonomous_internal.partition_of(model, base);
  differ bigint;
BEGIN
  PERFORM hartonomous_internal.require_archivable(partition);
  EXECUTE format($sql$
    INSERT INTO hartonomous.tensor_atoms_archive (model_id, revision_id, layer_id, first_sequence, atoms,
        logical_bytes, atom_sequence, x, y, importance_score, tensor_name, atom_data, quantized_position,
        planned_format)
    SELECT %2$s, %3$s, a.layer_id, min(a.atom_sequence), count(*),
           sum(hartonomous.weights_bytes(a.atom_data)),
           hartonomous_internal.archive_integers(array_agg(a.atom_sequence::bigint ORDER BY a.atom_sequence)),
           hartonomous_internal.archive_reals(array_agg(a.x ORDER BY a.atom_sequence)),
           hartonomous_internal.archive_reals(array_agg(a.y ORDER BY a.atom_sequence)),
           hartonomous_internal.archive_reals(array_agg(a.importance_score ORDER BY a.atom_sequence)),
           hartonomous_internal.archive_texts(array_agg(a.tensor_name ORDER BY a.atom_sequence)),
           hartonomous_internal.archive_weights(array_agg(a.atom_data ORDER BY a.atom_sequence)),
           hartonomous_internal.archive_bytes(array_agg(a.quantized_position ORDER BY a.atom_sequence)),
           hartonomous_internal.archive_texts(array_agg(a.planned_format ORDER BY a.atom_sequence))
      FROM (SELECT p.*, div(sum(hartonomous.weights_bytes(p.atom_data)) OVER (
                              PARTITION BY p.layer_id ORDER BY p.atom_sequence), 4194304) AS part
              FROM %1$s p) a
     GROUP BY a.layer_id, a.part ORDER BY a.layer_id, a.part
    $sql$, partition, model, base);
  -- Whatever was written is read again before the atoms are dropped.
  EXECUTE format($sql$
    SELECT count(*)
      FROM %1$s p
      FULL JOIN (SELECT v.* FROM hartonomous.archived_tensor_atoms v
                  WHERE v.model_id = %2$s AND v.revision_id = %3$s) a USING (layer_id, atom_sequence)
     WHERE (p.atom_data OPERATOR(hartonomous.=) a.atom_data) IS NOT TRUE
     OR float4send(p.x) IS DISTINCT FROM float4send(a.x)
        OR float4send(p.y) IS DISTINCT FROM float4send(a.y)
        OR float4send(p.importance_score) IS DISTINCT FROM float4send(a.importance_score)
        OR p.tensor_name IS DISTINCT FROM a.tensor_name OR p.planned_format IS DISTINCT FROM a.planned_format
        OR p.quantized_position IS DISTINCT FROM a.quantized_position
    $sql$, partition, model, base) INTO STRICT differ;
  IF differ <> 0 THEN
    PERFORM hartonomous_internal.raise_error('XX001',
      format('%s atoms of revision %s were not archived as they are', differ, base));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.archive_partition(integer, integer) IS
  'writes the atoms of a partition to the archive, reads them again and compares every bit; 0A000 if the '
  'user has added '
  'columns, XX001 if anything differs';

CREATE FUNCTION hartonomous_internal.restore_partition(model integer, base integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition regclass := hartonomous_internal.create_atoms_partition(model, base);
  list constant text := 'model_id, revision_id, layer_id, atom_sequence, x, y, importance_score, tensor_name, '
    'atom_data, '
    'quantized_position, planned_format';
BEGIN
  PERFORM hartonomous_internal.require_complete_archive(r.revision_id) FROM hartonomous.model_revisions r
    WHERE r.model_id = model AND r.base_revision_id = base AND r.state = 'archived';
  EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM hartonomous.archived_tensor_atoms v WHERE v.model_id = %s '
                 'AND v.revision_id = %s', partition, list, list, model, base);
  PERFORM hartonomous_internal.index_atoms_partition(partition);
  PERFORM hartonomous_internal.attach_backup(model, base);
  DELETE FROM hartonomous.tensor_atoms_archive c WHERE c.model_id = model AND c.revision_id = base;
  UPDATE hartonomous.model_revisions r SET state = 'backup'
   WHERE r.model_id = model AND r.base_revision_id = base AND r.state = 'archived';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.restore_partition(integer, integer) IS
  'makes a partition of archived atoms again, a backup; XX001 if a chunk is damaged or missing, 55P03 after '
  'hartonomous.swap_timeout';

CREATE FUNCTION hartonomous_internal.drop_archived(model integer, base integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  DELETE FROM hartonomous.tensor_atoms_archive c WHERE c.model_id = model AND c.revision_id = base;
  PERFORM hartonomous_internal.drop_forms(model, base);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.drop_archived(integer, integer) IS
  'drops the archived atoms of a partition and the other forms of its tensors';
