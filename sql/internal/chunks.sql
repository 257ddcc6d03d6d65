-- Chunks of the archive: a column of atoms of one tensor as one compressed value (src/core/archive), and how much of
-- them there is. The view archived_tensor_atoms reads them.

CREATE FUNCTION hartonomous_internal.archive_integers(elements bigint[]) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION hartonomous_internal.archive_integers(bigint[]) IS
  'integers, which may be NULL, as a chunk; 54000 if they are too many';
CREATE FUNCTION hartonomous_internal.archive_reals(elements real[]) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION hartonomous_internal.archive_reals(real[]) IS
  'numbers, which may be NULL, as a chunk that keeps every bit; 54000 if they are too many';
CREATE FUNCTION hartonomous_internal.archive_texts(elements text[]) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION hartonomous_internal.archive_texts(text[]) IS
  'texts, which may be NULL, as a chunk in UTF-8; 54000 if they are too many or too long';
CREATE FUNCTION hartonomous_internal.archive_bytes(elements bytea[]) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION hartonomous_internal.archive_bytes(bytea[]) IS
  'values of type bytea, which may be NULL, as a chunk; 54000 if they are too many or too long';
CREATE FUNCTION hartonomous_internal.archive_weights(elements hartonomous.weights[]) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.archive_weights(hartonomous.weights[]) IS
  'weights of any formats as a chunk that keeps every bit; 54000 if they have more than 1 GB, 22004 if one is NULL';

CREATE FUNCTION hartonomous_internal.sharing_signature(elements hartonomous.weights[]) RETURNS bigint[]
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION hartonomous_internal.sharing_signature(hartonomous.weights[]) IS
  'at most eight numbers, of which weights with many in common have at least one in common (min-wise hashing: Broder, '
  '1997); 22004 if one is NULL';
CREATE FUNCTION hartonomous_internal.chunk_find_weights(chunk bytea, wanted hartonomous.weights[]) RETURNS integer[]
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.chunk_find_weights(bytea, hartonomous.weights[]) IS
  'for each of the weights the number, from 1, under which a chunk has the same to the bit, 0 if it has not; errors as '
  'chunk_integer()';

-- Each call in a query keeps the chunk that it has decompressed last.
CREATE FUNCTION hartonomous_internal.chunk_integer(chunk bytea, number integer) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.chunk_integer(bytea, integer) IS
  'the value of that number, from 1, of a chunk of integers; 2202E if there is none, XX001 if it is not such '
  'a chunk or '
  'is damaged, 54000 if it needs more than hartonomous.max_work_memory';
CREATE FUNCTION hartonomous_internal.chunk_real(chunk bytea, number integer) RETURNS real
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.chunk_real(bytea, integer) IS
  'the same of a chunk of numbers; errors as chunk_integer()';
CREATE FUNCTION hartonomous_internal.chunk_summary(chunk bytea, OUT measured bigint, OUT mean double precision,
    OUT squares double precision, OUT minimum real, OUT maximum real)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION hartonomous_internal.chunk_summary(bytea) IS
  'of the values of a chunk of numbers that are not NULL: how many, their mean, the sum of their squared '
  'distances from '
  'it, and extremes, which are NULL if there are none; errors as chunk_integer()';
CREATE FUNCTION hartonomous_internal.chunk_text(chunk bytea, number integer) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.chunk_text(bytea, integer) IS
  'the same of a chunk of texts; errors as chunk_integer()';
CREATE FUNCTION hartonomous_internal.chunk_bytes(chunk bytea, number integer) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.chunk_bytes(bytea, integer) IS
  'the same of a chunk of values of type bytea; errors as chunk_integer()';
CREATE FUNCTION hartonomous_internal.chunk_weights(chunk bytea, number integer) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION hartonomous_internal.chunk_weights(bytea, integer) IS
  'the same of a chunk of weights; errors as chunk_integer()';

CREATE FUNCTION hartonomous_internal.archived_bytes(model integer, base integer DEFAULT NULL,
    layer bigint DEFAULT NULL) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT (has_table_privilege('hartonomous.tensor_atoms_archive', 'SELECT')
          AND has_table_privilege('hartonomous.archived_weights', 'SELECT')) THEN
    RETURN 0;
  END IF;
  RETURN (SELECT coalesce(sum(pg_column_size(c.atom_sequence) + pg_column_size(c.x) + pg_column_size(c.y)
                              + pg_column_size(c.importance_score) + pg_column_size(c.tensor_name)
                              + pg_column_size(c.quantized_position) + pg_column_size(c.planned_format)
                              + coalesce(pg_column_size(c.atom_number), 0)), 0)
            FROM hartonomous.tensor_atoms_archive c
           WHERE c.model_id = model AND (base IS NULL OR c.revision_id = base)
             AND (layer IS NULL OR c.layer_id = layer))
       + (SELECT coalesce(sum(pg_column_size(w.atom_data)), 0)
            FROM hartonomous.archived_weights w
           WHERE EXISTS (SELECT FROM hartonomous.tensor_atoms_archive c
                          WHERE c.weights_hash = w.weights_hash AND c.model_id = model
                            AND (base IS NULL OR c.revision_id = base) AND (layer IS NULL OR c.layer_id = layer))
             AND NOT EXISTS (SELECT FROM hartonomous.tensor_atoms_archive c
                              WHERE c.weights_hash = w.weights_hash
                                AND NOT (c.model_id = model AND (base IS NULL OR c.revision_id = base)
                                         AND (layer IS NULL OR c.layer_id = layer))));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.archived_bytes(integer, integer, bigint) IS
  'bytes of the archived atoms of a tensor in a partition, of a partition, or of all of a model, as stored, without '
  'weights that others share: what dropping them would free; 0 for a caller who may not read the archive';

CREATE FUNCTION hartonomous_internal.archived_bytes_of_base(base integer, layer bigint DEFAULT NULL) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT coalesce(sum(hartonomous_internal.archived_bytes(r.model_id, r.revision_id, layer)), 0)
            FROM hartonomous.model_revisions r WHERE r.base_revision_id = base);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.archived_bytes_of_base(integer, bigint) IS
  'the same of a partition together with the deltas that belong to it';

CREATE FUNCTION hartonomous_internal.archived_atoms(model integer, base integer, OUT atoms bigint, OUT bytes bigint,
    OUT stored bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  stored := hartonomous_internal.archived_bytes(model, base);
  IF has_table_privilege('hartonomous.tensor_atoms_archive', 'SELECT') THEN
    SELECT sum(c.atoms), sum(c.logical_bytes) INTO atoms, bytes
      FROM hartonomous.tensor_atoms_archive c WHERE c.model_id = model AND c.revision_id = base;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.archived_atoms(integer, integer) IS
  'number of archived atoms of a partition, bytes of their weights, and bytes as stored; NULL and 0 for a '
  'caller who may '
  'not read the archive';

-- The rows are locked before their other references are looked for: whoever archives atoms that share them has locked
-- them, too, and so does whoever deletes the other references at the same time.
CREATE FUNCTION hartonomous_internal.release_archived_weights() RETURNS trigger
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  released bytea[];
BEGIN
  SELECT array_agg(l.weights_hash) INTO released
    FROM (SELECT w.weights_hash FROM hartonomous.archived_weights w
           WHERE w.weights_hash IN (SELECT d.weights_hash FROM deleted d) ORDER BY w.weights_hash FOR UPDATE) l;
  DELETE FROM hartonomous.archived_weights w
   WHERE w.weights_hash = ANY (released)
     AND NOT EXISTS (SELECT FROM hartonomous.tensor_atoms_archive c WHERE c.weights_hash = w.weights_hash);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.release_archived_weights() IS
  'trigger of tensor_atoms_archive: deletes chunks of weights to which deleted rows were the last to refer';
