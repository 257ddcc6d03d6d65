-- The steps of a run that archives or restores: a tensor of a partition and of the deltas that belong to it
-- (internal/archive.sql), and which tensors are still to be done.

-- As tensor_fingerprint(), of all partitions with a base.
CREATE FUNCTION hartonomous_internal.fingerprints_of_base(model integer, base integer, layer bigint DEFAULT NULL)
  RETURNS TABLE (layer_id bigint, atoms bigint, bytes bigint, fingerprint text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  parts constant integer[] := hartonomous_internal.partitions_of_base(base, archived => false);
BEGIN
  IF parts = '{}' THEN
    RETURN;
  END IF;
  RETURN QUERY EXECUTE (
    SELECT format($sql$
      SELECT u.layer_id, sum(u.atoms)::bigint, sum(u.bytes)::bigint, string_agg(u.rows, ' ' ORDER BY u.part)
        FROM (%s) u GROUP BY u.layer_id$sql$,
             string_agg(format($sql$
               SELECT %1$s AS part, p.layer_id, count(*) AS atoms, sum(hartonomous.weights_bytes(p.atom_data)) AS bytes,
                      %1$s || ':' || count(*) || ':' || sum(p.xmin::text::bigint) AS rows
                 FROM %2$s p WHERE p.model_id = $1 AND ($2 IS NULL OR p.layer_id = $2) GROUP BY p.layer_id$sql$,
               b.part, hartonomous_internal.partition_of(model, b.part)), ' UNION ALL '))
      FROM unnest(parts) b (part)) USING model, layer;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.fingerprints_of_base(integer, integer, bigint) IS
  'of each tensor, or of one, that has atoms in a partition or the deltas that belong to it: their number, '
  'the bytes of '
  'their weights, and a text that changes when any of the rows does';

CREATE FUNCTION hartonomous_internal.unarchived_layers(run bigint) RETURNS TABLE (layer_id bigint)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  job hartonomous.compression_runs;
BEGIN
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  RETURN QUERY
    SELECT coalesce(s.layer_id, f.layer_id)
      FROM hartonomous_internal.fingerprints_of_base(job.model_id, job.revision_id) f
      FULL JOIN (SELECT t.layer_id, t.state, t.source_fingerprint FROM hartonomous.compression_steps t
                  WHERE t.run_id = run) s ON s.layer_id = f.layer_id
     WHERE s.state IS DISTINCT FROM 'done' OR s.source_fingerprint IS DISTINCT FROM f.fingerprint ORDER BY 1;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.unarchived_layers(bigint) IS
  'tensors whose atoms are not in the archive as they are, because the run has not come to them or they were changed '
  'since';

-- Nobody may change the atoms between writing and comparing.
CREATE FUNCTION hartonomous_internal.archive_layer(run bigint, layer bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  started timestamptz := clock_timestamp();
  job hartonomous.compression_runs;
  found record;
  part integer;
BEGIN
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  FOREACH part IN ARRAY hartonomous_internal.partitions_of_base(job.revision_id, archived => false) LOOP
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE MODE', hartonomous_internal.partition_of(job.model_id, part));
    PERFORM hartonomous_internal.require_archivable(hartonomous_internal.partition_of(job.model_id, part));
    PERFORM hartonomous_internal.write_chunks(job.model_id, part, layer);
    PERFORM hartonomous_internal.require_same_atoms(job.model_id, part, layer);
  END LOOP;
  SELECT f.atoms, f.bytes, f.fingerprint INTO found
    FROM hartonomous_internal.fingerprints_of_base(job.model_id, job.revision_id, layer) f;
  INSERT INTO hartonomous.compression_steps AS s (run_id, layer_id, operation, state, atoms_before, atoms_after,
      bytes_before, bytes_after, source_fingerprint, seconds)
    VALUES (run, layer, 'archive', 'done', coalesce(found.atoms, 0), coalesce(found.atoms, 0), coalesce(found.bytes, 0),
            hartonomous_internal.archived_bytes_of_base(job.revision_id, layer), found.fingerprint,
            extract(epoch FROM clock_timestamp() - started))
    ON CONFLICT (run_id, layer_id) DO UPDATE
      SET state = excluded.state, atoms_before = excluded.atoms_before, atoms_after = excluded.atoms_after,
          bytes_before = excluded.bytes_before, bytes_after = excluded.bytes_after,
          source_fingerprint = excluded.source_fingerprint, seconds = excluded.seconds;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.archive_layer(bigint, bigint) IS
  'a step of a run: writes a tensor of a partition and its deltas to the archive, reads it again and compares every '
  'bit; 0A000 if the user has added columns, XX001 if anything differs';

CREATE FUNCTION hartonomous_internal.restore_layer(run bigint, layer bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  started timestamptz := clock_timestamp();
  list constant text := 'model_id, revision_id, layer_id, atom_sequence, x, y, importance_score, tensor_name, '
    'atom_data, quantized_position, planned_format';
  job hartonomous.compression_runs;
  part integer;
  written bigint;
  atoms bigint := 0;
BEGIN
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  FOREACH part IN ARRAY hartonomous_internal.partitions_of_base(job.revision_id, archived => true) LOOP
    IF EXISTS (SELECT FROM hartonomous.model_layers l WHERE l.layer_id = layer) THEN
      SELECT c.atoms INTO STRICT written
        FROM hartonomous_internal.copy_atoms('hartonomous.archived_tensor_atoms',
          hartonomous_internal.partition_of(job.model_id, part), part, layer, parallel => false,
          archived_revision => part) c;
    ELSE
      -- The tensor belongs to another structure than the live one, which copy_atoms() does not know.
      EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM hartonomous.archived_tensor_atoms v WHERE v.model_id = $1 '
                     'AND v.revision_id = $2 AND v.layer_id = $3',
                     hartonomous_internal.partition_of(job.model_id, part), list, list) USING job.model_id, part, layer;
      GET DIAGNOSTICS written = ROW_COUNT;
    END IF;
    atoms := atoms + written;
  END LOOP;
  UPDATE hartonomous.compression_steps s
     SET state = 'done', atoms_before = atoms, atoms_after = atoms,
         bytes_before = hartonomous_internal.archived_bytes_of_base(job.revision_id, layer),
         bytes_after = (SELECT sum(c.logical_bytes) FROM hartonomous.tensor_atoms_archive c
                          JOIN hartonomous.model_revisions r ON r.revision_id = c.revision_id
                         WHERE r.base_revision_id = job.revision_id AND c.model_id = job.model_id
                           AND c.layer_id = layer),
         seconds = extract(epoch FROM clock_timestamp() - started)
   WHERE s.run_id = run AND s.layer_id = layer;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.restore_layer(bigint, bigint) IS
  'a step of a run: writes an archived tensor of a partition and its deltas into their partitions; XX001 if a chunk is '
  'damaged';
