-- The operation "select": a tensor with only some of the rows and columns of another one. What is kept is data, the
-- numbers of rows and columns, whatever it was chosen by (internal/structures.sql). Only students have such tensors,
-- because a tensor of a model keeps its shape.

CREATE FUNCTION hartonomous_internal.selected_atoms(layer bigint, into_revision integer, into_layer bigint,
    kept_rows integer[],
    kept_columns integer[], calibration_set text DEFAULT NULL, revision integer DEFAULT NULL,
    damping double precision DEFAULT NULL, kept_blocks integer[] DEFAULT NULL, before integer DEFAULT NULL,
    corpus text DEFAULT NULL, n_ctx integer DEFAULT NULL)
  RETURNS TABLE (atom_sequence integer, from_sequence integer, atom_data hartonomous.weights)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1000;
COMMENT ON FUNCTION hartonomous_internal.selected_atoms(bigint, integer, bigint, integer[], integer[], text, integer,
  double precision, integer[], integer, text, integer) IS
  'the atoms of into_layer as a revision has it, made of some rows and columns of the live atoms of a layer (numbered '
  'from 0; NULL: all), '
  'each with the atom that its first weight comes from; atoms of missing weights are missing; with a calibration '
  'set, columns are refitted by the Gram matrix that a revision has of it; with kept blocks, the last matrix of block '
  '"before" makes up for those that are left out behind it, by a corpus in windows of n_ctx tokens; 22023 if the '
  'numbers are not ascending or out of range, do not make the shape of into_layer, leave rows that are no '
  'whole blocks, or the layer or the corpus is not fit for a repair, 0A000 if they cut blocks of a carried format, '
  '42704 if there is no such layer, 22004 on NULL, 55000 if there is no Gram matrix, or activations are not finite, '
  '22003 if it is not positive semidefinite, 53200 beyond hartonomous.max_work_memory';

CREATE FUNCTION hartonomous_internal.select_weights(weights hartonomous.weights, columns integer, kept_rows integer[],
    kept_columns integer[]) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous_internal.select_weights(hartonomous.weights, integer, integer[], integer[]) IS
  'some rows and columns (numbered from 0, ascending; NULL: all) of a matrix that is stored as one value of rows of '
  'that many columns, in the same format; 22023 if the numbers are not ascending or out of range, 22004 on NULL';

CREATE FUNCTION hartonomous_internal.kept_numbers(arguments jsonb, member text) RETURNS integer[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 250
  RETURN (SELECT array_agg(e.value::integer ORDER BY e.n)
            FROM jsonb_array_elements_text(nullif(arguments -> member, 'null')) WITH ORDINALITY e (value, n));
COMMENT ON FUNCTION hartonomous_internal.kept_numbers(jsonb, text) IS
  'the numbers of rows or columns in the arguments of a selection; NULL if it has none, which keeps all';

CREATE FUNCTION hartonomous_internal.calibration_text(calibration_set text) RETURNS text
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  found text := (SELECT s.text FROM hartonomous.calibration_sets s
                  WHERE s.calibration_set = calibration_text.calibration_set);
BEGIN
  IF found IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704',
      format('there is no calibration set "%s" with a text', calibration_set),
      hint => 'SELECT hartonomous.add_calibration_set(name, text); adds one.');
  END IF;
  RETURN found;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.calibration_text(text) IS
  'the text of a calibration set; 42704 if there is no such set, or it has none';

CREATE FUNCTION hartonomous_internal.select_atoms(arguments jsonb, source regclass, base integer, target regclass,
  into_model integer,
  into_base integer, layer bigint, into_layer bigint, OUT atoms bigint, OUT bytes bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  into_name constant text := (SELECT l.layer_name FROM hartonomous_internal.layers_of_revision(into_base) l
                               WHERE l.layer_id = into_layer);
  columns_into text;
  columns_from text;
BEGIN
  -- Columns that the source lacks get their defaults, and generated ones are computed.
  SELECT string_agg(quote_ident(t.attname), ', ' ORDER BY t.attnum),
         string_agg(CASE t.attname WHEN 'model_id' THEN '$1' WHEN 'revision_id' THEN '$2' WHEN 'layer_id' THEN '$4'
                                   WHEN 'tensor_name' THEN '$14' WHEN 'atom_sequence' THEN 's.atom_sequence'
                                   WHEN 'atom_data' THEN 's.atom_data' ELSE 'a.' || quote_ident(t.attname) END,
                    ', ' ORDER BY t.attnum)
    INTO STRICT columns_into, columns_from
    FROM pg_attribute t JOIN pg_attribute f ON f.attrelid = source AND f.attname = t.attname AND NOT f.attisdropped
   WHERE t.attrelid = target AND t.attnum > 0 AND NOT t.attisdropped AND t.attgenerated = '';
  EXECUTE format($sql$
    WITH written AS (
      INSERT INTO %s AS n (%s)
      SELECT %s
        FROM hartonomous_internal.selected_atoms($3, $2, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) s
        JOIN %s a ON a.layer_id = $3 AND a.atom_sequence = s.from_sequence AND a.revision_id = $15
      RETURNING hartonomous.weights_bytes(n.atom_data) AS bytes)
    SELECT count(*), coalesce(sum(w.bytes), 0) FROM written w$sql$, target, columns_into, columns_from, source)
    INTO atoms, bytes
    USING into_model, into_base, layer, into_layer, hartonomous_internal.kept_numbers(arguments, 'rows'),
          hartonomous_internal.kept_numbers(arguments, 'columns'), arguments ->> 'calibration_set',
          (arguments ->> 'revision')::integer, (arguments ->> 'damping')::double precision,
          hartonomous_internal.kept_numbers(arguments, 'kept_blocks'), (arguments ->> 'before')::integer,
          coalesce(arguments ->> 'corpus', hartonomous_internal.calibration_text(arguments ->> 'corpus_set')),
          (arguments ->> 'n_ctx')::integer, into_name, base;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.select_atoms(jsonb, regclass, integer, regclass, integer, integer, bigint,
  bigint) IS
  'writes the atoms of a selection from one partition, or from archived_tensor_atoms those of a revision, to another, '
  'each with the columns of the atom that its first '
  'weight comes from; returns how many, and the bytes of their weights; 22023 and 0A000 as selected_atoms()';

-- Rows of a matrix are rows of U, its columns those of VT.
CREATE FUNCTION hartonomous_internal.select_factors(arguments jsonb, model integer, base integer, layer bigint,
    into_model integer, into_base integer, into_layer bigint) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  copied bigint;
BEGIN
  INSERT INTO hartonomous.svd_compressed_layers AS n
         (model_id, revision_id, layer_id, layer_name, rank, u_matrix, s_vector, vt_matrix, original_rows,
          original_cols, original_bytes, compression_ratio, explained_variance, relative_error, dense_format)
  SELECT into_model, into_base, into_layer, l.layer_name, f.rank, k.u, f.s_vector, k.vt,
         l.parameter_count / l.row_length, l.row_length, k.dense_bytes,
         k.dense_bytes::float8 / nullif(hartonomous.weights_bytes(k.u) + hartonomous.weights_bytes(f.s_vector)
           + hartonomous.weights_bytes(k.vt), 0),
         f.explained_variance, NULL, f.dense_format
    FROM hartonomous.svd_compressed_layers f
    JOIN hartonomous_internal.layers_of_revision(into_base) l ON l.layer_id = into_layer,
         LATERAL (
           SELECT hartonomous_internal.select_weights(f.u_matrix, f.rank,
                    hartonomous_internal.kept_numbers(arguments, 'rows'), NULL) AS u,
                  hartonomous_internal.select_weights(f.vt_matrix, f.original_cols::integer, NULL,
                    hartonomous_internal.kept_numbers(arguments, 'columns')) AS vt,
                  hartonomous_internal.format_bytes(f.dense_format, l.parameter_count) AS dense_bytes) k
   WHERE f.model_id = model AND f.revision_id = base AND f.layer_id = layer
  RETURNING hartonomous.weights_bytes(n.u_matrix) + hartonomous.weights_bytes(n.s_vector)
    + hartonomous.weights_bytes(n.vt_matrix)
    INTO copied;
  RETURN coalesce(copied, 0);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.select_factors(jsonb, integer, integer, bigint, integer, integer, bigint) IS
  'copies the factors of a tensor to a student''s tensor that has only some of its rows and columns; returns their '
  'bytes, 0 if there are none; explained_variance stays that of the whole tensor';

CREATE FUNCTION hartonomous_internal.select_tensor(arguments jsonb, model integer, base integer, layer bigint,
    into_model integer, into_base integer, into_layer bigint, OUT atoms bigint, OUT bytes bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  SELECT s.atoms, s.bytes INTO atoms, bytes
    FROM hartonomous_internal.select_atoms(arguments, hartonomous_internal.stored_atoms(model, base), base,
      hartonomous_internal.partition_of(into_model, into_base), into_model, into_base, layer, into_layer) s;
  bytes := bytes
    + hartonomous_internal.select_factors(arguments, model, base, layer, into_model, into_base, into_layer);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.select_tensor(jsonb, integer, integer, bigint, integer, integer, bigint) IS
  'writes a tensor with only some rows and columns of another one in all its forms; returns the number of atoms, and '
  'the bytes of all forms; 22023 and 0A000 as selected_atoms()';
