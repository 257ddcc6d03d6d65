-- Operations: what may become of a tensor when its model is rewritten. An operation is a name and arguments, in jsonb, as
-- a plan proposes them, a step stores them, and perform_operation() carries them out.
--
-- A new operation is an entry in the list of src/pg/store/tensor_operation.cpp, which checks its arguments. What it does is
-- either a change that copy_atoms() makes on the way, or a function of its own in perform_operation().

CREATE FUNCTION hartonomous.check_operation(operation text, arguments jsonb) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.check_operation(text, jsonb) IS
  '22023, by name, on an unknown operation, on arguments it has not, of another type, out of range, or that do not go together; 0A000 on a format that cannot be written, 22004 on NULL';

-- Rows longer than atom_size are cut into atoms of that size, the last one shorter.
CREATE FUNCTION hartonomous.part_of_row(of_columns real[], atom_size integer, atom_sequence integer) RETURNS real[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
BEGIN ATOMIC
  SELECT CASE WHEN cardinality(of_columns) <= atom_size THEN of_columns
              ELSE of_columns[p.first + 1 : p.first + atom_size] END
    FROM (VALUES (atom_sequence % ((cardinality(of_columns) + atom_size - 1) / nullif(atom_size, 0)) * atom_size)) AS p (first);
END;
COMMENT ON FUNCTION hartonomous.part_of_row(real[], integer, integer) IS
  'of one number a matrix column, those of the columns that an atom lies in; NULL for atoms of 0 weights';

-- Every real in the digits that read back as the same; JSON has no number for a zero below zero.
CREATE FUNCTION hartonomous.reals_json(numbers real[]) RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
BEGIN
  IF NOT 0::real = ANY (numbers) THEN
    RETURN to_jsonb(numbers);
  END IF;
  RETURN (SELECT jsonb_agg(CASE WHEN n::text = '-0' THEN '"-0"'::jsonb ELSE to_jsonb(n) END ORDER BY i)
            FROM unnest(numbers) WITH ORDINALITY u (n, i));
END
$$;
COMMENT ON FUNCTION hartonomous.reals_json(real[]) IS
  'numbers as an argument of an operation, from which exactly these are read back';

CREATE FUNCTION hartonomous.copy_atoms(source regclass, target regclass, revision integer, layer bigint,
    operation text DEFAULT 'copy', arguments jsonb DEFAULT '{}', into_layer bigint DEFAULT NULL,
    parallel boolean DEFAULT true)
  RETURNS TABLE (atoms bigint, bytes bigint)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1;
COMMENT ON FUNCTION hartonomous.copy_atoms(regclass, regclass, integer, bigint, text, jsonb, bigint, boolean) IS
  'copies a tensor''s atoms into a partition, changed as an operation says; as atoms of into_layer when that is given; may read in parallel; returns what it wrote; 22023 on an operation that changes no atoms or on its arguments, 42704 when there is no such layer, 42809 when the target is not the partition that create_atoms_partition() makes for the revision, 0A000 when it has triggers, foreign keys or policies, 42501 without the right to INSERT there';

-- The one place where an operation is carried out: steps of runs and the tensors of students come through here.
CREATE FUNCTION hartonomous.perform_operation(operation text, arguments jsonb, model integer, layer bigint,
    into_model integer, into_base integer, into_layer bigint, parallel boolean,
    OUT atoms bigint, OUT bytes bigint, OUT outcome text)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.check_operation(operation, arguments);
  IF operation = 'factor' THEN
    SELECT f.atoms, f.bytes, f.outcome INTO atoms, bytes, outcome
      FROM hartonomous.factor_tensor(model, layer, into_model, into_base, into_layer, arguments) f;
    IF atoms IS NOT NULL THEN
      RETURN;
    END IF;
    operation := 'copy';
    arguments := '{}';
  END IF;
  SELECT c.atoms, c.bytes INTO atoms, bytes
    FROM hartonomous.copy_tensor(operation, arguments, model, hartonomous.live_base(model), layer,
                                 into_model, into_base, into_layer, parallel) c;
END
$$;
COMMENT ON FUNCTION hartonomous.perform_operation(text, jsonb, integer, bigint, integer, integer, bigint, boolean) IS
  'writes a tensor of a live partition, and what stands beside it, into another partition, changed as an operation says; returns the atoms it wrote, the bytes of all forms, and what came of it in words, where there is more to say; 22023 as check_operation()';
