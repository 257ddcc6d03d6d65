-- Operations: the ways in which a tensor changes when its model is rewritten. An operation is a name with jsonb
-- arguments: plans propose it, steps store it, and perform_operation() executes it.
--
-- A new operation needs an entry in src/pg/store/tensor_operation.cpp, where its arguments are checked. It is
-- implemented either as a change that copy_atoms() makes while copying, or as a function called by perform_operation().

CREATE FUNCTION hartonomous_internal.check_operation(operation text, arguments jsonb) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.check_operation(text, jsonb) IS
  '22023, naming what is wrong, if an operation is unknown or has arguments that are unknown, of the wrong type, out '
  'of range or contradictory; 0A000 if a format cannot be written, 22004 on NULL';

-- Prints each real with enough digits to read back as the same value. A negative zero cannot be a JSON number.
CREATE FUNCTION hartonomous_internal.reals_json(numbers real[]) RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT 0::real = ANY (numbers) THEN
    RETURN to_jsonb(numbers);
  END IF;
  RETURN (SELECT jsonb_agg(CASE WHEN n::text = '-0' THEN '"-0"'::jsonb ELSE to_jsonb(n) END ORDER BY i)
            FROM unnest(numbers) WITH ORDINALITY u (n, i));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.reals_json(real[]) IS
  'numbers as an argument of an operation, from which exactly the same numbers are read back';

CREATE FUNCTION hartonomous_internal.copy_atoms(source regclass, target regclass, revision integer, layer bigint,
    operation text DEFAULT 'copy', arguments jsonb DEFAULT '{}', into_layer bigint DEFAULT NULL,
    parallel boolean DEFAULT true, archived_revision integer DEFAULT NULL)
  RETURNS TABLE (atoms bigint, bytes bigint)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1;
COMMENT ON FUNCTION hartonomous_internal.copy_atoms(regclass, regclass, integer, bigint, text, jsonb, bigint,
  boolean, integer) IS
  'copies the atoms of a tensor to a partition, changed by an operation, as atoms of into_layer if that is given; from '
  'a partition, or from archived_tensor_atoms those of a revision; may read in parallel; returns what it wrote; 22023 '
  'if the operation does not change atoms or its arguments are invalid, '
  '42704 if there is no such tensor, 42809 if the target is not the partition that create_atoms_partition() creates '
  'for the revision, 0A000 if it has triggers, foreign keys or policies, 42501 without the right to INSERT there';

-- The owner of the store, as which all functions that write are executed, is granted it by own_store().
REVOKE ALL ON FUNCTION hartonomous_internal.copy_atoms(regclass, regclass, integer, bigint, text, jsonb, bigint,
  boolean, integer) FROM PUBLIC;

-- NULL if the atom has no importance, as for an atom whose position cannot be encoded.
CREATE FUNCTION hartonomous_internal.with_importance(point bytea, importance real) RETURNS bytea
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN (SELECT hartonomous.encode_point(p.x, p.y, importance, CASE octet_length(point)
            WHEN 3 THEN 'Q8_0' WHEN 6 THEN 'F16' ELSE 'F32' END)
            FROM hartonomous.decode_point(point) p);
COMMENT ON FUNCTION hartonomous_internal.with_importance(bytea, real) IS
  'an encoded position with another importance, in the same format; 22P03 if it is none';

-- Workers take longer to start than to change a small tensor.
CREATE FUNCTION hartonomous_internal.worth_workers(size bigint) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN size > 1048576;
COMMENT ON FUNCTION hartonomous_internal.worth_workers(bigint) IS
  'whether a tensor of that many bytes or weights is large enough to be changed by parallel workers';
