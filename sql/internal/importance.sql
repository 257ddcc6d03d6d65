-- Importance of the columns of matrices: importance matrices of llama.cpp in files, and the statistics they become.

-- The sums of a file are read one tensor at a time, and rows go to a file as soon as they exceed work_mem.
CREATE FUNCTION hartonomous_internal.importance_entries(source anyelement, chunk_size integer)
  RETURNS TABLE (tensor_name text, token_counts bigint[], sums_of_squares hartonomous.weights)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000 ROWS 300;
COMMENT ON FUNCTION hartonomous_internal.importance_entries(anyelement, integer) IS
  'one row per tensor of an importance matrix in a file, of either format; a legacy file counts chunks, which are '
  'taken to have chunk_size tokens; 22P03 if the file is malformed, 54000 if it has too many entries, 22023 if '
  'chunk_size is not positive, 22003 if a sum is too large, 42501 without the right to read the file';

CREATE FUNCTION hartonomous_internal.layer_importance(layer bigint, calibration_set text, revision integer)
  RETURNS real[]
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.layer_importance(bigint, text, integer) IS
  'the mean square of each column of a tensor''s input, as llama-quantize computes it from an importance matrix (1 for '
  'experts that no token was routed to); with experts an array of two dimensions, experts x columns; NULL without '
  'statistics; 55000 if these do not fit the tensor';

CREATE FUNCTION hartonomous_internal.export_importance_to_file(model integer, calibration_set text, revision integer,
    format text, chunk_size integer, path text) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.export_importance_to_file(integer, text, integer, text, integer, text) IS
  'writes calibration statistics as an importance matrix to a file on the server; returns its size';

CREATE FUNCTION hartonomous_internal.export_importance_to_bytea(model integer, calibration_set text, revision integer,
    format text, chunk_size integer) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.export_importance_to_bytea(integer, text, integer, text, integer) IS
  'calibration statistics as the bytes of an importance matrix';

CREATE FUNCTION hartonomous_internal.matrices_of(tensor_shape bigint[]) RETURNS bigint
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  product bigint := 1;
  dimension bigint;
BEGIN
  FOREACH dimension IN ARRAY tensor_shape[1:cardinality(tensor_shape) - 2] LOOP
    product := product * dimension;
  END LOOP;
  RETURN product;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.matrices_of(bigint[]) IS
  'the number of matrices in a tensor of that shape: the product of all dimensions but the last two';

-- llama-quantize stops at such a tensor, too. It says that old importance matrices do this for models with experts.
CREATE FUNCTION hartonomous_internal.check_importance_entry(tensor_name text, sums bigint, counts bigint,
    row_length bigint, matrices bigint) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF sums <> row_length * matrices THEN
    PERFORM hartonomous_internal.raise_error('2202E',
      format('importance of tensor "%s" has %s numbers for %s', tensor_name, sums,
             CASE WHEN matrices = 1 THEN format('%s columns', row_length)
                  ELSE format('%s experts with %s columns each', matrices, row_length) END),
      hint => 'It may have been made from another model.');
  ELSIF counts NOT IN (1, matrices) THEN
    PERFORM hartonomous_internal.raise_error('2202E',
      format('importance of tensor "%s" counts the tokens of %s experts, and there are %s', tensor_name, counts,
             matrices),
      hint => 'It may have been made from another model.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_importance_entry(text, bigint, bigint, bigint, bigint) IS
  '2202E unless a tensor''s importance has one number per column of each of its matrices, and one token count for each '
  'or for all';

CREATE FUNCTION hartonomous_internal.add_importance(model integer, revision integer, calibration_set text, layer bigint,
    columns integer, experts integer, token_counts bigint[], sums_of_squares hartonomous.weights) RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  added bigint := (SELECT max(n) FROM unnest(token_counts) n);
BEGIN
  INSERT INTO hartonomous.calibration_stats (model_id, revision_id, calibration_set, layer_id, tokens, columns,
                                             experts, token_counts, sums_of_squares)
    VALUES (model, revision, calibration_set, layer, added, columns, experts, token_counts, sums_of_squares);
  RETURN added;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.add_importance(integer, integer, text, bigint, integer, integer, bigint[],
  hartonomous.weights) IS
  'stores the importance of a tensor, as a file has it; returns the number of tokens';

CREATE FUNCTION hartonomous_internal.import_importance(source anyelement, model integer, calibration_set text,
    chunk_size integer) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  revision integer := hartonomous_internal.current_revision(model);
  imported record;
BEGIN
  IF source IS NULL OR chunk_size IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'source and chunk_size cannot be NULL',
      hint => 'Give the path of a file of the server, its bytes (bytea), or a large object (oid).');
  END IF;
  PERFORM hartonomous_internal.begin_importance(model, revision, calibration_set);
  WITH entries AS MATERIALIZED (
    SELECT e.*, l.layer_id, l.row_length, hartonomous_internal.matrices_of(l.tensor_shape) AS matrices,
           -- As in llama-quantize: old versions of llama-imatrix wrote nonsense for embeddings that serve as output.
           l.layer_name = 'token_embd.weight' AND hartonomous.weights_count(e.sums_of_squares) <> l.row_length AS spared
      FROM hartonomous_internal.importance_entries(source, chunk_size) e
      LEFT JOIN hartonomous.model_layers l ON l.model_id = model AND l.layer_name = e.tensor_name),
  stored AS (
    SELECT hartonomous_internal.add_importance(model, revision, calibration_set, e.layer_id, e.row_length::integer,
             e.matrices::integer, e.token_counts, e.sums_of_squares) AS tokens
      FROM entries e,
           LATERAL hartonomous_internal.check_importance_entry(e.tensor_name,
             hartonomous.weights_count(e.sums_of_squares), cardinality(e.token_counts), e.row_length, e.matrices)
     WHERE e.layer_id IS NOT NULL AND NOT e.spared)
  SELECT (SELECT count(*) FROM stored) AS tensors, (SELECT max(s.tokens) FROM stored s) AS tokens,
         count(*) FILTER (WHERE e.layer_id IS NULL OR e.spared) AS skipped,
         (array_agg(format('"%s"', e.tensor_name) ORDER BY e.tensor_name)
           FILTER (WHERE e.layer_id IS NULL OR e.spared))[1:10] AS names
    INTO imported FROM entries e;
  PERFORM hartonomous_internal.report_importance(model, calibration_set, imported.tensors, imported.tokens,
    imported.skipped, array_to_string(imported.names, ', '));
  RETURN imported.tensors;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.import_importance(anyelement, integer, text, integer) IS
  'see hartonomous.import_importance()';

CREATE FUNCTION hartonomous_internal.begin_importance(model integer, revision integer, calibration_set text)
  RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF calibration_set IS NULL OR calibration_set = '' THEN
    PERFORM hartonomous_internal.raise_error('22004', 'a calibration set needs a name');
  END IF;
  INSERT INTO hartonomous.calibration_sets (calibration_set) VALUES (begin_importance.calibration_set)
    ON CONFLICT ON CONSTRAINT calibration_sets_pkey DO NOTHING;
  IF EXISTS (SELECT FROM hartonomous.calibration_sets s
              WHERE s.calibration_set = begin_importance.calibration_set AND s.text IS NOT NULL) THEN
    PERFORM hartonomous_internal.raise_error('42710', format('calibration set "%s" has a text', calibration_set),
      hint => 'Its statistics come from collect_calibration(): import under another name.');
  ELSIF EXISTS (SELECT FROM hartonomous.calibration_stats s
                 WHERE s.model_id = model AND s.revision_id = revision
                   AND s.calibration_set = begin_importance.calibration_set) THEN
    PERFORM hartonomous_internal.raise_error('42710',
      format('calibration set "%s" already has statistics of model "%s"', calibration_set, model::hartonomous.regmodel),
      hint => 'Import under another name, or DELETE them from hartonomous.calibration_stats.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.begin_importance(integer, integer, text) IS
  'makes a calibration set without a text, if there is none; 42710 if it has a text or already has statistics of the '
  'revision, 22004 without a name';

CREATE FUNCTION hartonomous_internal.report_importance(model integer, calibration_set text, tensors bigint,
    tokens bigint, skipped bigint, names text) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF tensors = 0 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('the importance matrix has no tensor of model "%s"', model::hartonomous.regmodel),
      format('It has %s others: %s.', skipped, names),
      'It may have been made from another model: see layer_name in hartonomous.model_layers.');
  END IF;
  RAISE NOTICE 'imported the importance of % tensors (% tokens) into calibration set "%"%', tensors, tokens,
    calibration_set, hartonomous_internal.passed_over(skipped, 'not in the model: ' || coalesce(names, '')
    || CASE WHEN skipped > 10 THEN ', …' ELSE '' END);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_importance(integer, text, bigint, bigint, bigint, text) IS
  'tells how many tensors of an importance matrix were imported and names those that were not; 22023 if none was';

CREATE FUNCTION hartonomous_internal.calibrations_of(model integer, only_set text DEFAULT NULL)
  RETURNS TABLE (calibration_set text, revisions integer[])
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT s.calibration_set, array_agg(DISTINCT s.revision_id)
      FROM hartonomous.calibration_stats s
     WHERE s.model_id = model
       AND (only_set IS NULL OR s.calibration_set = only_set)
     GROUP BY s.calibration_set ORDER BY s.calibration_set;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.calibrations_of(integer, text) IS
  'the calibration sets of which there are statistics of a model, or only one of them, with the revisions, in order';

-- A calibration set that is not named is the only one there is.
CREATE FUNCTION hartonomous_internal.calibration_of(model integer, calibration_set text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  sets text[] := ARRAY(SELECT c.calibration_set FROM hartonomous_internal.calibrations_of(model) c);
  listed text := (SELECT string_agg(format('"%s"', u.name), ', ') FROM unnest(sets[1:10]) u (name));
BEGIN
  IF calibration_set IS NULL AND cardinality(sets) > 1 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('model "%s" has statistics of several calibration sets', model::hartonomous.regmodel),
      hint => format('Pass calibration_set. There are %s.', listed));
  ELSIF cardinality(sets) = 0 OR calibration_set <> ALL (sets) THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('model "%s" has no calibration statistics%s', model::hartonomous.regmodel,
             ' of calibration set "' || calibration_set || '"'),
      'It has some of ' || listed || '.',
      format('CALL hartonomous.collect_calibration(%L, %L); collects them, import_importance() reads an importance '
             'matrix of llama.cpp.', model::hartonomous.regmodel, coalesce(calibration_set, 'name of a set')));
  END IF;
  RETURN coalesce(calibration_set, sets[1]);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.calibration_of(integer, text) IS
  'the calibration set of that name or, for NULL, the only one there are statistics of; 55000, with the call to make, '
  'if there are none, 22023 if there are several';

CREATE FUNCTION hartonomous_internal.newest_statistics(model integer, calibration_set text) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN coalesce(
    hartonomous_internal.calibrated_revision(model, hartonomous_internal.current_revision(model), calibration_set), (
    SELECT c.revisions[cardinality(c.revisions)]
      FROM hartonomous_internal.calibrations_of(model, calibration_set) c));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.newest_statistics(integer, text) IS
  'the revision whose statistics of a calibration set are shown: the live one or a copy of it, otherwise the newest '
  'that has any';

CREATE FUNCTION hartonomous_internal.exported_statistics(model integer, INOUT calibration_set text, format text,
  INOUT chunk_size integer, OUT revision integer)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF model IS NULL OR format IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'model and format cannot be NULL',
      hint => 'Formats are "gguf" and "dat".');
  END IF;
  PERFORM hartonomous_internal.current_revision(model);
  calibration_set := hartonomous_internal.calibration_of(model, calibration_set);
  revision := hartonomous_internal.newest_statistics(model, calibration_set);
  chunk_size := coalesce(chunk_size, (
    SELECT max(s.n_ctx) FROM hartonomous.calibration_stats s
     WHERE s.model_id = model AND s.calibration_set = exported_statistics.calibration_set
       AND s.revision_id = exported_statistics.revision), 512);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.exported_statistics(integer, text, text, integer) IS
  'the set, revision and size of chunks of an export of calibration statistics; 22004 without a model or a format, and '
  'the errors of calibration_of(), 42704 if there is no such model';
