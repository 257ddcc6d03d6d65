-- Importance matrices of llama.cpp ("imatrix") in and out, and the importance of a tensor's columns.

CREATE FUNCTION hartonomous.import_importance(source text, model hartonomous.regmodel, calibration_set text,
    chunk_size integer DEFAULT 512) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_importance(source, model, calibration_set, chunk_size);
COMMENT ON FUNCTION hartonomous.import_importance(text, hartonomous.regmodel, text, integer) IS
  'imports an importance matrix of llama-imatrix, in either of its formats, as statistics of the live revision of a '
  'model, of a new calibration set without a text; returns the number of tensors; names of other tensors are shown '
  'and skipped; chunk_size is the context size, in tokens, with which a file of the legacy format was made; 22P03 if '
  'the file is malformed, 2202E if a tensor has another number of columns, 22023 if the model has none of the tensors, '
  '42710 if the set has a text or already has statistics, 42501 without the right to read files';

CREATE FUNCTION hartonomous.import_importance(source bytea, model hartonomous.regmodel, calibration_set text,
    chunk_size integer DEFAULT 512) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_importance(source, model, calibration_set, chunk_size);
COMMENT ON FUNCTION hartonomous.import_importance(bytea, hartonomous.regmodel, text, integer) IS
  'the same from a file of type bytea';

CREATE FUNCTION hartonomous.import_importance(source oid, model hartonomous.regmodel, calibration_set text,
    chunk_size integer DEFAULT 512) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_importance(source, model, calibration_set, chunk_size);
COMMENT ON FUNCTION hartonomous.import_importance(oid, hartonomous.regmodel, text, integer) IS
  'the same from a large object';

CREATE FUNCTION hartonomous.export_importance(model hartonomous.regmodel, calibration_set text, path text,
    format text DEFAULT 'gguf', chunk_size integer DEFAULT NULL) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  statistics record;
BEGIN
  IF path IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'path cannot be NULL',
      hint => 'Without a path, export_importance() returns a bytea.');
  END IF;
  statistics := hartonomous_internal.exported_statistics(model, calibration_set, format, chunk_size);
  RETURN hartonomous_internal.export_importance_to_file(model, statistics.calibration_set, statistics.revision, format,
    statistics.chunk_size, path);
END
$$;
COMMENT ON FUNCTION hartonomous.export_importance(hartonomous.regmodel, text, text, text, integer) IS
  'writes calibration statistics of a model as an importance matrix for llama-quantize to a file on the server '
  '(absolute path); returns its size; calibration_set NULL is the only one there is, format gguf or dat (the legacy '
  'format), chunk_size the number of tokens that count as a chunk there (NULL: those of a window of text, or 512); of '
  'the live revision or, if there are none, of the newest that has any; 55000 if there are no statistics, 22023 if '
  'there is no such format or several sets, 22004 if another argument is NULL, 42501 without the right to write files';

-- With chunk_size before format, a third argument that is a text is always a path.
CREATE FUNCTION hartonomous.export_importance(model hartonomous.regmodel, calibration_set text DEFAULT NULL,
    chunk_size integer DEFAULT NULL, format text DEFAULT 'gguf') RETURNS bytea
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  statistics record;
BEGIN
  statistics := hartonomous_internal.exported_statistics(model, calibration_set, format, chunk_size);
  RETURN hartonomous_internal.export_importance_to_bytea(model, statistics.calibration_set, statistics.revision, format,
    statistics.chunk_size);
END
$$;
COMMENT ON FUNCTION hartonomous.export_importance(hartonomous.regmodel, text, integer, text) IS
  'the same as the bytes of a file; 54000 from 1 GB on';

CREATE FUNCTION hartonomous.importance_vector(model hartonomous.regmodel, tensor text,
    calibration_set text DEFAULT NULL) RETURNS real[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  layer bigint;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  SELECT l.layer_id INTO layer FROM hartonomous.model_layers l WHERE l.model_id = model AND l.layer_name = tensor;
  IF layer IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704',
      format('model "%s" has no tensor "%s"', model, coalesce(tensor, 'NULL')),
      hint => 'It has, for example, ' || hartonomous_internal.near_names(tensor,
        ARRAY(SELECT l.layer_name FROM hartonomous.model_layers l WHERE l.model_id = model)) || '.');
  END IF;
  calibration_set := hartonomous_internal.calibration_of(model, calibration_set);
  RETURN hartonomous_internal.layer_importance(layer, calibration_set,
    hartonomous_internal.newest_statistics(model, calibration_set));
END
$$;
COMMENT ON FUNCTION hartonomous.importance_vector(hartonomous.regmodel, text, text) IS
  'the importance of the columns of a tensor: the mean square of each element of its input over the tokens of a '
  'calibration set (NULL: the only one); for a tensor of experts an array of two dimensions, experts x columns, with 1 '
  'for experts that no token was routed to; of the live revision or, if that has no statistics, of the newest that has '
  'any; NULL if the tensor has none; 42704 if there is no such tensor, 55000 if the model has no statistics, 22023 if '
  'it has several calibration sets';

REVOKE ALL ON FUNCTION hartonomous.import_importance(text, hartonomous.regmodel, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hartonomous.import_importance(text, hartonomous.regmodel, text, integer)
  TO pg_read_server_files;
REVOKE ALL ON FUNCTION hartonomous.export_importance(hartonomous.regmodel, text, text, text, integer),
  hartonomous_internal.export_importance_to_file(integer, text, integer, text, integer, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hartonomous.export_importance(hartonomous.regmodel, text, text, text, integer),
  hartonomous_internal.export_importance_to_file(integer, text, integer, text, integer, text)
  TO pg_write_server_files;
