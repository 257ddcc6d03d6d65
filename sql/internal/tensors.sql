-- Tensors by name and shape: block number, type and number of atoms; and patterns that select tensors of a model.

CREATE FUNCTION hartonomous_internal.require_matching_tensors(model integer, pattern text, within text DEFAULT '%')
  RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  names constant text[] := ARRAY(SELECT l.layer_name FROM hartonomous.model_layers l WHERE l.model_id = model);
BEGIN
  IF pattern IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'layer_pattern cannot be NULL',
      hint => 'The pattern "%" matches all tensors.');
  END IF;
  -- The pattern "%" selects all tensors, even if there are none.
  IF pattern = '%' OR EXISTS (SELECT FROM unnest(names) u (name) WHERE u.name LIKE pattern AND u.name LIKE within) THEN
    RETURN;
  END IF;
  PERFORM hartonomous_internal.raise_error('22023',
    format('model "%s" has no tensor that matches "%s"%s',
           model::hartonomous.regmodel, pattern, CASE
           WHEN within <> '%' THEN format(' among those that match "%s"', within) ELSE '' END),
    hint => coalesce('It has, for example, ' || hartonomous_internal.near_names(pattern, names)
      || '. Patterns are LIKE patterns: % matches any number of characters.', 'It has no tensors.'));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_matching_tensors(integer, text, text) IS
  '22023, with similar names, if a model has no tensor whose name matches a pattern (and another one); 22004 if the '
  'pattern is NULL';

CREATE FUNCTION hartonomous_internal.layer_number(tensor_name text) RETURNS integer
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.layer_number(text) IS
  'block number in the name of a tensor, -1 outside blocks';

CREATE FUNCTION hartonomous_internal.layer_type(tensor_name text) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.layer_type(text) IS
  'attention, ffn, norm, embedding, output or other, from the name of a tensor';

CREATE FUNCTION hartonomous_internal.gguf_value(metadata jsonb, key text) RETURNS jsonb
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 250
BEGIN ATOMIC
  SELECT kv -> 'value' FROM jsonb_array_elements(metadata -> 'kv') kv WHERE kv ->> 'key' = gguf_value.key LIMIT 1;
END;
COMMENT ON FUNCTION hartonomous_internal.gguf_value(jsonb, text) IS
  'value of a GGUF key in models.metadata; NULL if it is not there';

-- What an atom takes on disk besides its weights is little of 65536 weights in any format (docs/manual/store.md). A
-- matrix of narrow rows stays in 64 atoms at least, so that small models can be pruned, and of one with fewer than
-- 32768 weights each row is one.
CREATE FUNCTION hartonomous_internal.default_atom_size(row_length bigint, rows bigint) RETURNS integer
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE WHEN row_length >= 1024 THEN 65536
              WHEN row_length < 1 THEN 1
              WHEN rows < 32768 / row_length THEN row_length
              ELSE row_length * greatest(least(65536 / row_length, rows / 64), 1) END;
COMMENT ON FUNCTION hartonomous_internal.default_atom_size(bigint, bigint) IS
  'number of weights that an atom of a matrix may have if the import does not say it: 65536; but of rows with fewer '
  'than 1024 a 64th of the matrix at most, and a row at least, or if the whole matrix has fewer than 32768';

CREATE FUNCTION hartonomous_internal.rows_of_atom(row_length bigint, atom_size integer) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE WHEN row_length > 0 THEN greatest(atom_size / row_length, 1) ELSE 1 END;
COMMENT ON FUNCTION hartonomous_internal.rows_of_atom(bigint, integer) IS
  'number of rows in which an atom of a tensor has weights: 1 if it is a row or a part of one';

-- An atom of quantized weights is a whole number of blocks. Atoms of several rows do not cross from one matrix (of an
-- expert) into the next.
CREATE FUNCTION hartonomous_internal.effective_atom_size(wanted integer, row_length bigint, storage_format text,
    tensor_shape bigint[]) RETURNS integer
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
BEGIN ATOMIC
  SELECT CASE WHEN w.size >= 2 * row_length AND r.rows > 1 AND row_length > 0
              THEN row_length * CASE WHEN cardinality(tensor_shape) = 2 THEN least(w.size / row_length, r.rows)
                ELSE (SELECT max(n) FROM generate_series(1, least(w.size / row_length, r.rows)) n
                       WHERE r.rows % n = 0) END
              ELSE greatest(1, least(row_length, (w.size + f.block_weights - 1) / f.block_weights * f.block_weights))
         END::integer
    FROM hartonomous.formats() f,
         (SELECT CASE WHEN cardinality(tensor_shape) > 1 AND tensor_shape[cardinality(tensor_shape)] = row_length
                      THEN tensor_shape[cardinality(tensor_shape) - 1] ELSE 1 END AS rows) r,
         LATERAL (SELECT CASE wanted WHEN 0 THEN least(row_length, 1048576)
                         ELSE coalesce(wanted,
                           hartonomous_internal.default_atom_size(row_length, r.rows)) END AS size) w
   WHERE f.format = storage_format;
END;
COMMENT ON FUNCTION hartonomous_internal.effective_atom_size(integer, bigint, text, bigint[]) IS
  'number of weights in an atom of a tensor: the requested number (NULL: the default, 0: a row) rounded up to whole '
  'blocks of a row, or rounded down to whole rows, at most those of one of its matrices';

CREATE FUNCTION hartonomous_internal.carried_format(tensor_dtype text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
  RETURN coalesce((SELECT f.format FROM hartonomous.formats() f WHERE f.format = tensor_dtype),
                  CASE WHEN tensor_dtype IN ('U16') THEN 'I16' WHEN tensor_dtype IN ('U32') THEN 'I32'
                       WHEN tensor_dtype IN ('U64', 'C64') THEN 'I64' ELSE 'I8' END);
COMMENT ON FUNCTION hartonomous_internal.carried_format(text) IS
  'the format that carries a dtype of a model file: itself or, for dtypes that ggml does not know, integers of '
  'the same width';

CREATE FUNCTION hartonomous_internal.plain_format(present text, tensor_dtype text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
  RETURN CASE WHEN present IN ('F32', 'F16', 'BF16', 'F64', 'I8', 'I16', 'I32', 'I64') THEN present
              WHEN tensor_dtype IN ('F32', 'F16', 'BF16') THEN tensor_dtype ELSE 'F16' END;
COMMENT ON FUNCTION hartonomous_internal.plain_format(text, text) IS
  'the format of a tensor in safetensors, which has no quantized formats: the one it was imported with, or else F16';

CREATE FUNCTION hartonomous_internal.expected_atoms(parameter_count bigint, row_length bigint, atom_size integer)
  RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE WHEN row_length < 1 OR atom_size < 1 THEN 0
              ELSE (parameter_count / row_length + hartonomous_internal.rows_of_atom(row_length, atom_size) - 1)
                   / hartonomous_internal.rows_of_atom(row_length, atom_size)
                   * ((row_length + atom_size - 1) / atom_size) END;
COMMENT ON FUNCTION hartonomous_internal.expected_atoms(bigint, bigint, integer) IS
  'number of atoms of a tensor if none is missing';

CREATE FUNCTION hartonomous_internal.atom_offset(row_length bigint, atom_size integer, atom_sequence integer)
  RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE WHEN row_length < 1 OR atom_size < 1 THEN 0
              WHEN atom_size >= row_length
              THEN atom_sequence * hartonomous_internal.rows_of_atom(row_length, atom_size) * row_length
              ELSE atom_sequence / ((row_length + atom_size - 1) / atom_size) * row_length
                   + atom_sequence % ((row_length + atom_size - 1) / atom_size) * atom_size END;
COMMENT ON FUNCTION hartonomous_internal.atom_offset(bigint, integer, integer) IS
  'number of weights of a tensor before those of an atom';

CREATE FUNCTION hartonomous_internal.atom_length(parameter_count bigint, row_length bigint, atom_size integer,
    atom_sequence integer) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE WHEN row_length < 1 OR atom_size < 1 THEN 0
              WHEN atom_size >= row_length
              THEN least(hartonomous_internal.rows_of_atom(row_length, atom_size) * row_length, greatest(parameter_count
                     - hartonomous_internal.atom_offset(row_length, atom_size, atom_sequence), 0))
              ELSE least(atom_size, row_length - atom_sequence % ((row_length + atom_size - 1) / atom_size) * atom_size)
         END;
COMMENT ON FUNCTION hartonomous_internal.atom_length(bigint, bigint, integer, integer) IS
  'number of weights of an atom of a tensor';

CREATE FUNCTION hartonomous_internal.shape_weights(tensor_shape bigint[]) RETURNS numeric
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  dimension bigint;
  weights numeric := 1;
BEGIN
  FOREACH dimension IN ARRAY tensor_shape LOOP
    weights := weights * dimension;
    EXIT WHEN dimension IS NULL OR dimension < 0 OR weights > 9223372036854775807;
  END LOOP;
  RETURN CASE WHEN weights BETWEEN 0 AND 9223372036854775807 THEN weights END;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.shape_weights(bigint[]) IS
  'number of weights of a tensor of that shape; NULL if a dimension is missing or negative, or the number '
  'exceeds bigint';

CREATE FUNCTION hartonomous_internal.block_count(model integer) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  RETURN (SELECT coalesce(max(l.layer_idx) + 1, 0) FROM hartonomous.model_layers l WHERE l.model_id = model);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.block_count(integer) IS
  'number of blocks of a model, from the numbers in the names of its tensors; 0 if there are none; 42704 if there is '
  'no such model';

CREATE FUNCTION hartonomous_internal.model_blocks(model integer) RETURNS integer[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN ARRAY(SELECT DISTINCT l.layer_idx FROM hartonomous.model_layers l
                WHERE l.model_id = model AND l.layer_idx >= 0 ORDER BY l.layer_idx);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.model_blocks(integer) IS
  'the numbers of the blocks of a model, in order';

CREATE FUNCTION hartonomous_internal.tensor_role(tensor_name text) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.tensor_role(text) IS
  'the role of a tensor in its network, from its name: attn_q, ffn_down, router, norm, token_embedding and so on; '
  'other if the name does not tell';

CREATE FUNCTION hartonomous_internal.writes_residual(tensor_name text) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.writes_residual(text) IS
  'whether a tensor of that name writes to the residual stream';

CREATE FUNCTION hartonomous_internal.with_layer_number(tensor_name text, block integer) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.with_layer_number(text, integer) IS
  'the name of a tensor with another block number; the name itself outside blocks';
