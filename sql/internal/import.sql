-- The steps of an import, for any container: checks, the rows of the model and its tensors, and the atoms.

CREATE FUNCTION hartonomous_internal.check_import(model_name text, atom_size integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.check_name(model_name);
  IF atom_size NOT BETWEEN 0 AND 1048576 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('atom_size must be between 1 and 1048576, or 0 for a row, not %s', atom_size),
      hint => 'Leave it out for the default, which is chosen by the shape of each matrix.');
  END IF;
  PERFORM hartonomous.create_store();
  IF EXISTS (SELECT FROM hartonomous.models m WHERE m.model_name = check_import.model_name) THEN
    PERFORM hartonomous_internal.refuse_name(model_name);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_import(text, integer) IS
  'creates the store if there is none; 22023 if the name or the atom size is invalid, 42710 if the model exists';

-- llama.cpp marks each part of a split GGUF file with its number (from 0) and the number of parts, as integers of any
-- width. The parts of a Hugging Face checkpoint are recognized only by their names.
CREATE FUNCTION hartonomous_internal.refuse_piece(properties jsonb, file_name text) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  pieces numeric := CASE WHEN jsonb_typeof(hartonomous_internal.gguf_value(properties, 'split.count')) = 'number'
                         THEN (hartonomous_internal.gguf_value(properties, 'split.count') #>> '{}')::numeric END;
  piece numeric := CASE WHEN jsonb_typeof(hartonomous_internal.gguf_value(properties, 'split.no')) = 'number'
                        THEN (hartonomous_internal.gguf_value(properties, 'split.no') #>> '{}')::numeric END;
  part text[] := regexp_match(file_name, E'(?:^|[/\\\\])[^/\\\\]*-([0-9]{5})-of-([0-9]{5})[.]safetensors$');
BEGIN
  IF pieces > 1 OR piece > 0 THEN
    PERFORM hartonomous_internal.raise_error('0A000',
      format('the file is part %s of %s of a split model, not the whole model',
             coalesce((piece + 1)::text, 'unknown'), coalesce(pieces::text, 'several')),
      hint => 'Pass the paths of all parts as an array, or the path of the first part if its name ends as in '
        'model-00001-of-00003.gguf and the others lie beside it.');
  ELSIF part[2]::integer > 1 THEN
    PERFORM hartonomous_internal.raise_error('0A000',
      format('the file is part %s of %s of a checkpoint, not the whole model', part[1]::integer, part[2]::integer),
      hint => 'Pass the path of model.safetensors.index.json, or the paths of all parts as an array. To import a '
        'single part, rename it so that its name does not contain "-of-".');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.refuse_piece(jsonb, text) IS
  'raises 0A000 if a file is part of a split model; properties are the metadata of the file, file_name is NULL if '
  'it is unknown';

-- Called by import_file() after it has read the header and before it reads the weights.
CREATE FUNCTION hartonomous_internal.begin_import(model_name text, atom_size integer, properties jsonb, sha256 bytea,
    names text[], dtypes text[], formats text[], shapes text[], row_lengths bigint[], counts bigint[])
  RETURNS TABLE (model integer, revision integer, partition regclass)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  atom_size := nullif(atom_size, -1);
  INSERT INTO hartonomous.models (model_name, architecture, metadata, source_sha256)
    VALUES (begin_import.model_name, hartonomous_internal.gguf_value(properties, 'general.architecture') #>> '{}',
      properties, sha256)
    ON CONFLICT ON CONSTRAINT models_model_name_key DO NOTHING
    RETURNING model_id INTO model;
  IF model IS NULL THEN  -- another session created it after check_import()
    PERFORM hartonomous_internal.refuse_name(model_name);
  END IF;
  INSERT INTO hartonomous.model_layers (model_id, layer_idx, layer_name, layer_type, tensor_shape, tensor_dtype,
                                        parameter_count, row_length, atom_size, position)
    SELECT model, hartonomous_internal.layer_number(t.name), t.name, hartonomous_internal.layer_type(t.name),
           t.shape::bigint[], t.dtype, t.parameters, t.row_length,
           hartonomous_internal.effective_atom_size(begin_import.atom_size, t.row_length, t.format,
             t.shape::bigint[]), t.n - 1
      FROM unnest(names, dtypes, formats, shapes, row_lengths, counts)
        WITH ORDINALITY t (name, dtype, format, shape, row_length, parameters, n);
  revision := hartonomous_internal.new_revision(model, 'import', 'import',
    jsonb_strip_nulls(jsonb_build_object('atom_size', atom_size)));
  partition := hartonomous_internal.create_atoms_partition(model, revision);
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.begin_import(text, integer, jsonb, bytea, text[], text[], text[], text[],
  bigint[], bigint[]) IS
  'makes the rows of a model that is being imported, of its tensors and of its first revision, and the partition for '
  'its atoms; an atom_size of -1 is the default; 42710 if the model exists';

CREATE FUNCTION hartonomous_internal.import_file(source anyelement, container text, config jsonb, tokenizer jsonb,
    tokenizer_config jsonb, pre_tokenizer text, model_name text, atom_size integer)
  RETURNS TABLE (layer_id bigint, atoms bigint, bytes bigint, min_x real, min_y real, max_x real, max_y real)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.import_file(anyelement, text, jsonb, jsonb, jsonb, text, text, integer) IS
  'opens a model file once, makes the rows of begin_import() and writes the atoms into the partition; '
  'pg_stat_progress_copy shows its progress; 42501 without the right to read the file or to write to the store';

-- The cost of an atom is what this import has taken besides the weights. Below 1 MiB it does not matter.
CREATE FUNCTION hartonomous_internal.warn_of_small_atoms(model integer, atom_size integer, atoms bigint,
    logical_bytes bigint, physical_bytes bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  factor constant numeric := round(physical_bytes::numeric / nullif(logical_bytes, 0), 2);
  wasted numeric;
BEGIN
  SELECT (physical_bytes - logical_bytes)::numeric / nullif(atoms, 0)
         * (atoms - sum(hartonomous_internal.expected_atoms(l.parameter_count, l.row_length,
             hartonomous_internal.effective_atom_size(NULL, l.row_length, 'F32', l.tensor_shape)))) INTO wasted
    FROM hartonomous.model_layers l WHERE l.model_id = model;
  IF atom_size IS NOT NULL AND wasted > greatest(0.1 * logical_bytes, 1048576) THEN
    RAISE WARNING 'atoms of % take % times the bytes of their weights on disk',
      CASE atom_size WHEN 0 THEN 'a row' ELSE atom_size || ' weights' END, factor
      USING HINT
      = format('Without atom_size, the atoms would take about %s times as much.',
        round((physical_bytes - wasted) / logical_bytes, 2));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.warn_of_small_atoms(integer, integer, bigint, bigint, bigint) IS
  'warns if a model takes more than a tenth of its weights and 1 MiB more on disk for being cut into small atoms';

-- A single statement in one transaction: a cancel, crash or error leaves nothing behind.
CREATE FUNCTION hartonomous_internal.import_model(source anyelement, container text, model_name text, atom_size integer,
    config jsonb DEFAULT 'null', tokenizer jsonb DEFAULT 'null', tokenizer_config jsonb DEFAULT 'null',
    pre_tokenizer text DEFAULT '') RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  started constant timestamptz := clock_timestamp();
  model integer;
  revision integer;
  loaded jsonb;
  imported record;
  unknown record;
BEGIN
  IF source IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'the source of a model cannot be NULL',
      hint => 'Give the path of a file of the server, its bytes (bytea), or a large object (oid).');
  END IF;
  IF container IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'the container of a model cannot be NULL');
  END IF;
  PERFORM hartonomous_internal.check_import(model_name, atom_size);
  SELECT coalesce(jsonb_agg(to_jsonb(f)), '[]') INTO STRICT loaded
    FROM hartonomous_internal.import_file(source, container, config, tokenizer, tokenizer_config, pre_tokenizer,
      model_name, coalesce(atom_size, -1)) f;
  SELECT m.model_id, r.revision_id INTO STRICT model, revision
    FROM hartonomous.models m JOIN hartonomous.model_revisions r USING (model_id)
   WHERE m.model_name = import_model.model_name;
  PERFORM hartonomous_internal.finish_import(model, revision, loaded, started);
  SELECT m.parameter_count AS parameters, r.logical_bytes AS bytes, r.atom_count AS atoms, r.physical_bytes AS disk,
         (SELECT count(*) FROM hartonomous.model_layers l WHERE l.model_id = model) AS tensors INTO STRICT imported
    FROM hartonomous.models m JOIN hartonomous.model_revisions r ON r.revision_id = revision WHERE m.model_id = model;
  RAISE NOTICE 'imported model % "%": % tensors, % parameters, %, revision %, % s', model, model_name, imported.tensors,
    imported.parameters, hartonomous.human_bytes(imported.bytes), revision,
    round(extract(epoch FROM clock_timestamp() - started), 1);
  SELECT count(*) AS tensors, string_agg(DISTINCT substr(l.tensor_dtype, 6), ', ') AS types, min(l.layer_name) AS one
    INTO STRICT unknown FROM hartonomous.model_layers l WHERE l.model_id = model AND l.tensor_dtype ~ '^GGML_[0-9]+$';
  IF unknown.tensors > 0 THEN
    RAISE NOTICE '% tensors, such as "%", have types of ggml that this version does not know (%): they are stored and '
      'exported as they are, and cannot be computed with', unknown.tensors, unknown.one, unknown.types;
  END IF;
  PERFORM hartonomous_internal.warn_of_small_atoms(model, atom_size, imported.atoms, imported.bytes, imported.disk);
  RETURN model;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.import_model(anyelement, text, text, integer, jsonb, jsonb, jsonb, text) IS
  'imports a model file of either container: see import_gguf and import_safetensors';

CREATE FUNCTION hartonomous_internal.finish_import(model integer, revision integer, loaded jsonb, started timestamptz)
  RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition constant regclass := hartonomous_internal.partition_of(model, revision);
BEGIN
  PERFORM hartonomous_internal.describe_import(model, loaded);
  PERFORM hartonomous_internal.index_atoms_partition(partition);
  PERFORM hartonomous_internal.attach_live(model, revision);
  PERFORM hartonomous_internal.complete_revision(revision, coalesce(sum(d.atoms), 0)::bigint,
            coalesce(sum(d.bytes), 0)::bigint, partition, extract(epoch FROM clock_timestamp() - started))
     FROM jsonb_to_recordset(loaded) d (atoms bigint, bytes bigint);
  PERFORM hartonomous_internal.make_current(model, revision);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.finish_import(integer, integer, jsonb, timestamptz) IS
  'makes the atoms that import_file() has loaded the live partition of their model';

CREATE FUNCTION hartonomous_internal.describe_import(model integer, loaded jsonb) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  postgis name := hartonomous_internal.postgis_schema();
BEGIN
  EXECUTE format($sql$
    UPDATE hartonomous.model_layers l
       SET weights_geometry = %1$I.ST_MakeEnvelope(d.min_x, d.min_y, d.max_x, d.max_y)
      FROM jsonb_to_recordset($1) AS d (layer_id bigint, atoms bigint, min_x real, min_y real, max_x real, max_y real)
     WHERE l.layer_id = d.layer_id AND d.atoms > 0$sql$, postgis) USING loaded;
  UPDATE hartonomous.models m
     SET parameter_count = l.parameters,
         model_type = CASE WHEN l.attention THEN 'transformer' ELSE 'network' END
    FROM (SELECT coalesce(sum(parameter_count), 0) AS parameters,
                 coalesce(bool_or(layer_type = 'attention'), false) AS attention
            FROM hartonomous.model_layers WHERE model_id = model) l
   WHERE m.model_id = model;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.describe_import(integer, jsonb) IS
  'records the statistics of a model that is being imported; loaded are the rows of import_file()';
