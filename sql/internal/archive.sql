-- The archive: atoms of a partition as rows of tensor_atoms_archive, one per chunk. A chunk has atoms of one tensor,
-- about 4 MiB of weights, which are rows of archived_weights: many chunks may share one of those. Runs write them
-- (internal/archive_layers.sql): the partition is what counts until all of its tensors are in the archive, and the
-- other way round.

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

-- A tensor is cut at fixed numbers of atoms, whichever of them there are, so that what has not changed in another
-- revision is found in one chunk of it. The first atom there is may be the short end of a row: what counts is how many
-- bytes a whole one would have.
CREATE FUNCTION hartonomous_internal.parts_to_archive(model integer, base integer, layer bigint)
  RETURNS TABLE (first_sequence integer, last_sequence integer)
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 5000 ROWS 1000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY EXECUTE format($sql$
    SELECT (p.n * s.size)::integer, least((p.n + 1) * s.size - 1, 2147483647)::integer
      FROM (SELECT min(a.atom_sequence) AS low, max(a.atom_sequence) AS high
              FROM %1$s a WHERE a.model_id = $1 AND a.layer_id = $2) l
      CROSS JOIN LATERAL (SELECT least(greatest(4194304 / greatest(
                                         hartonomous.weights_bytes(a.atom_data) * coalesce(t.atom_size, 65536)
                                           / greatest(hartonomous.weights_count(a.atom_data), 1), 1), 1), 65536) AS size
                            FROM %1$s a
                            LEFT JOIN hartonomous_internal.layers_of_revision($3) t ON t.layer_id = a.layer_id
                           WHERE a.model_id = $1 AND a.layer_id = $2 AND a.atom_sequence = l.low LIMIT 1) s
      CROSS JOIN LATERAL generate_series(l.low / s.size, l.high / s.size) p (n)
     ORDER BY 1
    $sql$, hartonomous_internal.partition_of(model, base)) USING model, layer, base;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.parts_to_archive(integer, integer, bigint) IS
  'runs of atoms of a tensor in a partition for archive_part(), each with about 4 MiB of weights';

CREATE FUNCTION hartonomous_internal.archive_part(model integer, base integer, layer bigint, first_sequence integer,
    last_sequence integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
  partition constant regclass := hartonomous_internal.partition_of(model, base);
  wanted integer[];
  weights hartonomous.weights[];
  shared record;
  found record;
BEGIN
  LOOP
    -- First all from one number to another, and then those that were not shared.
    EXECUTE format($sql$
      SELECT array_agg(a.atom_sequence), array_agg(a.atom_data)
        FROM (SELECT p.atom_sequence, p.atom_data FROM %s p
               WHERE p.model_id = $5 AND p.layer_id = $1 AND p.atom_sequence BETWEEN $2 AND $3
                 AND ($4 IS NULL OR p.atom_sequence = ANY ($4)) ORDER BY p.atom_sequence) a
      $sql$, partition) INTO wanted, weights USING layer, first_sequence, last_sequence, wanted, model;
    EXIT WHEN wanted IS NULL;
    SELECT f.weights_hash, f.numbers INTO shared FROM hartonomous_internal.find_archived_weights(weights) f;
    IF shared.weights_hash IS NULL THEN
      PERFORM hartonomous_internal.archive_atoms(model, base, layer, wanted,
        hartonomous_internal.store_archived_weights(weights), NULL);
      EXIT;
    END IF;
    SELECT array_agg(u.s ORDER BY u.s) FILTER (WHERE u.n > 0) AS sequences,
           array_agg(u.n ORDER BY u.s) FILTER (WHERE u.n > 0) AS numbers,
           array_agg(u.s ORDER BY u.s) FILTER (WHERE u.n = 0) AS missing INTO STRICT found
      FROM unnest(wanted, shared.numbers) u (s, n);
    PERFORM hartonomous_internal.archive_atoms(model, base, layer, found.sequences, shared.weights_hash, found.numbers);
    wanted := found.missing;
    EXIT WHEN wanted IS NULL;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.archive_part(integer, integer, bigint, integer, integer) IS
  'writes the atoms of a tensor with these numbers to the archive; weights that it has already are not written again; '
  'XX001 if what was written is not what was read';

-- A chunk with a tenth of the weights is worth a row. Few are tried, because all that they have in common may be an
-- atom of zeros. Whoever would delete them waits.
CREATE FUNCTION hartonomous_internal.find_archived_weights(weights hartonomous.weights[], OUT weights_hash bytea,
    OUT numbers integer[])
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  signature constant bigint[] := hartonomous_internal.sharing_signature(weights);
  candidate record;
BEGIN
  FOR candidate IN
    SELECT w.weights_hash, w.atom_data FROM hartonomous.archived_weights w WHERE w.signature && signature
     ORDER BY (SELECT count(*) FROM unnest(w.signature) s WHERE s = ANY (signature)) DESC, w.weights_hash
     LIMIT 4 FOR KEY SHARE
  LOOP
    numbers := hartonomous_internal.chunk_find_weights(candidate.atom_data, weights);
    IF 10 * cardinality(array_remove(numbers, 0)) >= cardinality(numbers) THEN
      weights_hash := candidate.weights_hash;
      RETURN;
    END IF;
  END LOOP;
  numbers := NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.find_archived_weights(hartonomous.weights[]) IS
  'a chunk of the archive with at least a tenth of the weights, locked against deletion, and the number of each in it, '
  'or 0; NULL if there is none';

CREATE FUNCTION hartonomous_internal.store_archived_weights(weights hartonomous.weights[]) RETURNS bytea
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  chunk constant bytea := hartonomous_internal.archive_weights(weights);
  hash constant bytea := sha256(chunk);
BEGIN
  -- If another session writes the same, this waits, and locks its row.
  INSERT INTO hartonomous.archived_weights AS w (weights_hash, signature, atoms, logical_bytes, atom_data)
    SELECT hash, hartonomous_internal.sharing_signature(weights), count(*), sum(hartonomous.weights_bytes(u.weights)),
           chunk
      FROM unnest(weights) u (weights)
    ON CONFLICT (weights_hash) DO UPDATE SET atoms = w.atoms;
  IF NOT EXISTS (SELECT FROM hartonomous.archived_weights w WHERE w.weights_hash = hash AND sha256(w.atom_data) = hash)
  THEN
    PERFORM hartonomous_internal.raise_error('XX001', 'weights were not archived as they are');
  END IF;
  RETURN hash;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.store_archived_weights(hartonomous.weights[]) IS
  'writes weights to the archive as a chunk, unless it has the same; returns its hash; XX001 if it cannot '
  'be read again';

-- Whatever was written is read again before the atoms are dropped: chunks by the functions that make them, and here
-- the row.
CREATE FUNCTION hartonomous_internal.archive_atoms(model integer, base integer, layer bigint, sequences integer[],
    weights_hash bytea, numbers integer[]) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
  in_order constant boolean := numbers IS NULL OR numbers = ARRAY(SELECT generate_series(1, cardinality(numbers)));
  made record;
BEGIN
  EXECUTE format($sql$
    SELECT min(a.atom_sequence) AS first_sequence, count(*) AS atoms,
           sum(hartonomous.weights_bytes(a.atom_data)) AS logical_bytes,
           hartonomous_internal.archive_integers(array_agg(a.atom_sequence::bigint)) AS atom_sequence,
           hartonomous_internal.archive_reals(array_agg(a.x)) AS x,
           hartonomous_internal.archive_reals(array_agg(a.y)) AS y,
           hartonomous_internal.archive_reals(array_agg(a.importance_score)) AS importance_score,
           hartonomous_internal.archive_texts(array_agg(a.tensor_name)) AS tensor_name,
           hartonomous_internal.archive_bytes(array_agg(a.quantized_position)) AS quantized_position,
           hartonomous_internal.archive_texts(array_agg(a.planned_format)) AS planned_format
      FROM (SELECT * FROM %s p
             WHERE p.model_id = $3 AND p.layer_id = $1 AND p.atom_sequence BETWEEN $2[1] AND $2[cardinality($2)]
               AND ($2[cardinality($2)] - $2[1] = cardinality($2) - 1 OR p.atom_sequence = ANY ($2))
             ORDER BY p.atom_sequence) a
    $sql$, hartonomous_internal.partition_of(model, base)) INTO STRICT made USING layer, sequences, model;
  INSERT INTO hartonomous.tensor_atoms_archive (model_id, revision_id, layer_id, first_sequence, atoms, logical_bytes,
      atom_sequence, x, y, importance_score, tensor_name, quantized_position, planned_format, weights_hash, atom_number)
    VALUES (model, base, layer, made.first_sequence, made.atoms, made.logical_bytes, made.atom_sequence, made.x, made.y,
      made.importance_score, made.tensor_name, made.quantized_position, made.planned_format, weights_hash,
      CASE WHEN NOT in_order THEN hartonomous_internal.archive_integers(numbers::bigint[]) END);
  IF NOT EXISTS (
    SELECT FROM hartonomous.tensor_atoms_archive c
     WHERE c.model_id = model AND c.revision_id = base AND c.layer_id = layer AND c.first_sequence = made.first_sequence
       AND (c.atoms, c.atom_sequence, c.x, c.y, c.importance_score, c.tensor_name, c.quantized_position,
            c.planned_format, c.weights_hash, c.atom_number IS NULL)
         = (made.atoms, made.atom_sequence, made.x, made.y, made.importance_score, made.tensor_name,
            made.quantized_position, made.planned_format, weights_hash, in_order)) THEN
    PERFORM hartonomous_internal.raise_error('XX001',
      format('atoms of revision %s were not archived as they are', base));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.archive_atoms(integer, integer, bigint, integer[], bytea, integer[]) IS
  'writes all but the weights of atoms of a tensor to the archive; the numbers of their weights in the chunk with that '
  'hash, NULL if all in order; XX001 if they cannot be read again';

CREATE FUNCTION hartonomous_internal.write_chunks(model integer, base integer, layer bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  part record;
BEGIN
  DELETE FROM hartonomous.tensor_atoms_archive c
   WHERE c.model_id = model AND c.revision_id = base AND c.layer_id = layer;
  FOR part IN
    SELECT p.first_sequence, p.last_sequence FROM hartonomous_internal.parts_to_archive(model, base, layer) p
  LOOP
    PERFORM hartonomous_internal.archive_part(model, base, layer, part.first_sequence, part.last_sequence);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.write_chunks(integer, integer, bigint) IS
  'writes the atoms that a tensor has in a partition to the archive, instead of what is there of it';

-- Compares hashes of whole rows in the binary form of their columns, which has every bit of them.
CREATE FUNCTION hartonomous_internal.require_same_atoms(model integer, base integer, layer bigint) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_variable
DECLARE
  columns constant text := 'atom_sequence, sha256(record_send(ROW(x, y, importance_score, tensor_name, atom_data, '
    'quantized_position, planned_format))) AS hash';
  differ bigint;
BEGIN
  EXECUTE format($sql$
    SELECT count(*)
      FROM (SELECT %2$s FROM %1$s WHERE model_id = $1 AND layer_id = $3 OFFSET 0) p
      FULL JOIN (SELECT %2$s FROM hartonomous.archived_tensor_atoms
                  WHERE model_id = $1 AND revision_id = $2 AND layer_id = $3 OFFSET 0) a USING (atom_sequence, hash)
     WHERE p.hash IS NULL OR a.hash IS NULL
    $sql$, hartonomous_internal.partition_of(model, base), columns) INTO STRICT differ USING model, base, layer;
  IF differ <> 0 THEN
    PERFORM hartonomous_internal.raise_error('XX001',
      format('%s atoms of revision %s are not the same in the archive', differ, base));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_same_atoms(integer, integer, bigint) IS
  'reads a tensor of a partition from the archive and compares every bit; XX001 if anything differs';
