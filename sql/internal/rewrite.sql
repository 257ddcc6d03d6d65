-- Rewriting a model: writes a new partition beside the live one, tensor by tensor, and then swaps them.
--
-- All stages that rewrite run through this file; a stage only plans its steps (internal/stages.sql), one per tensor,
-- each with an operation and its arguments (internal/operations.sql). Each step is committed if the caller may commit,
-- so that the same call can resume a stopped run. Reads and plain writes can continue meanwhile: tensors that have
-- changed since they were copied are copied again before the swap.

CREATE FUNCTION hartonomous_internal.columns_fingerprint(partition regclass) RETURNS text
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
  RETURN quote_literal(md5(array_to_string(hartonomous_internal.atom_columns(partition), ',')));
COMMENT ON FUNCTION hartonomous_internal.columns_fingerprint(regclass) IS
  'a literal that changes when a user adds or drops columns of the atoms';

-- Rows longer than atom_size are split into atoms of that size; the last one may be shorter. Shorter ones are joined,
-- and all rows of an atom have the same columns.
CREATE FUNCTION hartonomous_internal.part_of_row(of_columns real[], row_length bigint, matrix_rows integer,
    atom_size integer, atom_sequence integer) RETURNS real[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
BEGIN ATOMIC
  SELECT CASE WHEN cardinality(of_columns) <= row_length AND atom_size >= row_length THEN of_columns
              ELSE of_columns[(m.first + p.first + 1)::integer
                              : (m.first + least(p.first + atom_size, row_length))::integer] END
    FROM (SELECT (row_length + atom_size - 1) / nullif(atom_size, 0),
                 hartonomous_internal.rows_of_atom(row_length, atom_size)) AS r (atoms_of_row, rows_of_atom),
         LATERAL (SELECT atom_sequence / nullif(r.atoms_of_row, 0) * r.rows_of_atom / matrix_rows * row_length)
           AS m (first),
         LATERAL (SELECT atom_sequence % nullif(r.atoms_of_row, 0) * atom_size) AS p (first);
END;
COMMENT ON FUNCTION hartonomous_internal.part_of_row(real[], bigint, integer, integer, integer) IS
  'the numbers of those columns in which an atom lies, from an array with one number per column of each matrix in a '
  'tensor, one matrix after the other; NULL for atoms without weights';

CREATE FUNCTION hartonomous_internal.quantize_rows(weights hartonomous.weights, format text, importance real[])
  RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.quantize_rows(hartonomous.weights, text, real[]) IS
  'quantize() of one or more rows of a matrix, each by the importance of its columns; 2202E if the weights are no rows '
  'of that many columns, 22023 if rows are no whole blocks, and the errors of quantize()';

CREATE FUNCTION hartonomous_internal.rewrite_layer(run bigint, layer bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  started timestamptz := clock_timestamp();
  job hartonomous.compression_runs;
  step hartonomous.compression_steps;
  written record;
BEGIN
  PERFORM hartonomous_internal.require_run(run);
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  SELECT * INTO step FROM hartonomous.compression_steps s WHERE s.run_id = run AND s.layer_id = layer;
  IF step.run_id IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704',
      format('run %s has no step for tensor %s', run, coalesce(layer::text, 'NULL')));
  END IF;
  -- Computed before the rows are read: a concurrent change is then copied once more than necessary, but never missed.
  SELECT f.atoms, f.bytes, f.fingerprint INTO step.atoms_before, step.bytes_before, step.source_fingerprint
    FROM hartonomous_internal.tensor_fingerprint(job.model_id, hartonomous_internal.live_base(job.model_id), layer) f;
  IF step.state = 'done' THEN
    EXECUTE format('DELETE FROM %s WHERE layer_id = $1',
      hartonomous_internal.partition_of(job.model_id, job.revision_id)) USING layer;
    PERFORM hartonomous_internal.drop_forms(job.model_id, job.revision_id, layer);
  END IF;
  SELECT * INTO written
    FROM hartonomous_internal.perform_operation(step.operation, step.arguments, job.model_id, layer, job.model_id,
      job.revision_id, layer,
      parallel => hartonomous_internal.worth_workers(step.bytes_before));
  UPDATE hartonomous.compression_steps s
     SET state = 'done', atoms_before = step.atoms_before, bytes_before = step.bytes_before,
         source_fingerprint = step.source_fingerprint, atoms_after = written.atoms, bytes_after = written.bytes,
         outcome = coalesce(written.outcome, s.outcome),
         seconds = extract(epoch FROM clock_timestamp() - started)
   WHERE s.run_id = run AND s.layer_id = layer;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.rewrite_layer(bigint, bigint) IS
  'carries out one step of a run: writes a tensor of the live partition, changed as the step says, into the '
  'partition of the run';

CREATE FUNCTION hartonomous_internal.copy_changed_layers(run bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  layer bigint;
  target regclass;
BEGIN
  IF hartonomous_internal.purpose_of_run(run) = 'archive' THEN
    PERFORM hartonomous_internal.archive_layer(run, c.layer_id) FROM hartonomous_internal.unarchived_layers(run) c;
    RETURN;
  END IF;
  FOR layer IN SELECT hartonomous_internal.changed_layers(run) LOOP
    IF target IS NULL THEN
      SELECT hartonomous_internal.partition_of(r.model_id, r.revision_id) INTO STRICT target
        FROM hartonomous.compression_runs r WHERE r.run_id = run;
      PERFORM hartonomous_internal.add_missing_columns(target, 'hartonomous.tensor_atoms');
    END IF;
    PERFORM hartonomous_internal.rewrite_layer(run, layer);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.copy_changed_layers(bigint) IS
  'copies or archives again the tensors that were changed, or got columns, after the run did so';

CREATE FUNCTION hartonomous_internal.tensor_fingerprint(model integer, base integer, layer bigint, OUT atoms bigint,
    OUT bytes bigint, OUT fingerprint text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition regclass := hartonomous_internal.partition_of(model, base);
BEGIN
  EXECUTE format($sql$
    SELECT count(*), coalesce(sum(hartonomous.weights_bytes(atom_data)), 0),
           count(*) || ':' || coalesce(sum(xmin::text::bigint), 0) || ':' || %s
      FROM %s WHERE layer_id = $1$sql$, hartonomous_internal.columns_fingerprint(partition), partition)
    INTO atoms, bytes, fingerprint USING layer;
  bytes := bytes + hartonomous_internal.form_bytes(model, base, layer);
  fingerprint := fingerprint
    || coalesce((SELECT v.versions FROM hartonomous_internal.form_versions(model, base, layer) v), '');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.tensor_fingerprint(integer, integer, bigint) IS
  'number of atoms of a tensor in a partition, bytes of all its forms, and a text that changes when any of its rows or '
  'their columns change';

-- The same for all tensors that a run has copied, in one pass.
CREATE FUNCTION hartonomous_internal.changed_layers(run bigint) RETURNS SETOF bigint
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  model integer;
  source regclass;
BEGIN
  PERFORM hartonomous_internal.require_run(run);
  SELECT r.model_id INTO STRICT model FROM hartonomous.compression_runs r WHERE r.run_id = run;
  source := hartonomous_internal.live_partition(model);
  RETURN QUERY EXECUTE format($sql$
    SELECT s.layer_id
      FROM hartonomous.compression_steps s
      LEFT JOIN (SELECT layer_id, count(*) || ':' || sum(xmin::text::bigint) AS rows
                   FROM %s GROUP BY layer_id) now ON now.layer_id = s.layer_id
      LEFT JOIN hartonomous_internal.form_versions($2, $3) f ON f.layer_id = s.layer_id
     WHERE s.run_id = $1 AND s.source_fingerprint IS DISTINCT FROM coalesce(now.rows, '0:0') || ':' || %s
                                                                   || coalesce(f.versions, '')
     ORDER BY s.layer_id$sql$, source, hartonomous_internal.columns_fingerprint(source))
    USING run, model, hartonomous_internal.live_base(model);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.changed_layers(bigint) IS
  'tensors of which any form was changed after the run copied them';

-- The only function that executes operations, both for the steps of runs and for the tensors of students.
CREATE FUNCTION hartonomous_internal.perform_operation(operation text, arguments jsonb, model integer, layer bigint,
    into_model integer, into_base integer, into_layer bigint, parallel boolean, OUT atoms bigint, OUT bytes bigint,
    OUT outcome text)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  tensor hartonomous.tensor_plan;
BEGIN
  PERFORM hartonomous_internal.check_operation(operation, arguments);
  arguments := jsonb_strip_nulls(arguments);
  -- The steps of a stopped run may have been changed since they were planned. A selection, which may make a tensor of
  -- another shape, is checked against the shape that the revision has.
  IF into_model = model AND operation <> 'select' THEN
    tensor.layer_id := layer;
    tensor.operation := operation;
    tensor.arguments := arguments;
    PERFORM hartonomous_internal.check_operation_on(tensor, model);
  END IF;
  IF operation = 'factor' THEN
    SELECT f.atoms, f.bytes, f.outcome INTO atoms, bytes, outcome
      FROM hartonomous_internal.factor_tensor(model, layer, into_model, into_base, into_layer, arguments) f;
    IF atoms IS NOT NULL THEN
      RETURN;
    END IF;
    operation := 'copy';
    arguments := '{}';
  ELSIF operation = 'select' THEN
    SELECT s.atoms, s.bytes INTO atoms, bytes
      FROM hartonomous_internal.select_tensor(arguments, model, hartonomous_internal.live_base(model), layer,
                                              into_model, into_base, into_layer) s;
    RETURN;
  END IF;
  SELECT c.atoms, c.bytes INTO atoms, bytes
    FROM hartonomous_internal.copy_tensor(operation, arguments, model, hartonomous_internal.live_base(model), layer,
                                 into_model, into_base, into_layer, parallel) c;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.perform_operation(text, jsonb, integer, bigint, integer, integer, bigint,
  boolean) IS
  'writes a tensor of a live partition in all its forms to another partition, changed by an operation; returns the '
  'number of atoms written, the bytes of all forms, and the outcome in words, if there is more to say; errors as '
  'check_operation() and, within a model, check_operation_on()';
