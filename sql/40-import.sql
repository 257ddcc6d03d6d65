-- Import: a GGUF or safetensors file becomes rows. A source is a server path (text; needs pg_read_server_files),
-- the file itself (bytea), or a large object (oid). With the config.json of a Hugging Face checkpoint, a safetensors file
-- becomes the GGUF model it amounts to; JSON null means that there is none. Large checkpoints come in several files: their
-- paths are an array (text[]).

DO $$
DECLARE
  kind text;
BEGIN
  FOREACH kind IN ARRAY ARRAY['text', 'text[]', 'bytea', 'oid'] LOOP
    EXECUTE pg_catalog.format($ddl$
      CREATE FUNCTION hartonomous.file_metadata(source %1$s, container text, config jsonb DEFAULT 'null',
                                                tokenizer jsonb DEFAULT 'null') RETURNS jsonb
        AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
      COMMENT ON FUNCTION hartonomous.file_metadata(%1$s, text, jsonb, jsonb) IS
        'all of a model file but its weights; container is gguf or safetensors; with the config and tokenizer of a checkpoint the metadata of the GGUF model it amounts to; 22P03 on a malformed file, 22023 and 0A000 on a config or tokenizer that is wrong or not known';
      CREATE FUNCTION hartonomous.file_tensors(source %1$s, container text, config jsonb DEFAULT 'null')
        RETURNS TABLE ("position" integer, tensor_name text, tensor_dtype text, storage_format text,
                       tensor_shape bigint[], row_length bigint, parameter_count bigint, bytes bigint)
        AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000 ROWS 300;
      COMMENT ON FUNCTION hartonomous.file_tensors(%1$s, text, jsonb) IS
        'the tensors of a model file, shapes rows first; container is gguf or safetensors; with the config of a checkpoint those of the GGUF model it amounts to; 22P03 on a malformed file';
      CREATE FUNCTION hartonomous.file_sha256(source %1$s) RETURNS bytea
        AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
      COMMENT ON FUNCTION hartonomous.file_sha256(%1$s) IS 'sha256 of a file, of several one after the other';
      CREATE FUNCTION hartonomous.load_atoms(source %1$s, container text, partition regclass, model integer, revision integer,
                                             config jsonb DEFAULT 'null')
        RETURNS TABLE (layer_id bigint, atoms bigint, bytes bigint, min_x real, min_y real, max_x real, max_y real)
        AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000 ROWS 300
        SET search_path = pg_catalog, pg_temp;
      COMMENT ON FUNCTION hartonomous.load_atoms(%1$s, text, regclass, integer, integer, jsonb) IS
        'writes the tensors of a file, whose layers the model has, into a new partition; progress in pg_stat_progress_copy; 42809 when that is not the one which create_atoms_partition() makes for the model and the revision, 0A000 when it has triggers, foreign keys or policies, 42501 without the right to INSERT there';
      $ddl$, kind);
  END LOOP;
END
$$;

CREATE FUNCTION hartonomous.gguf_value(metadata jsonb, key text) RETURNS jsonb
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 250
BEGIN ATOMIC
  SELECT kv -> 'value' FROM jsonb_array_elements(metadata -> 'kv') kv WHERE kv ->> 'key' = gguf_value.key LIMIT 1;
END;
COMMENT ON FUNCTION hartonomous.gguf_value(jsonb, text) IS
  'value of a GGUF key in models.metadata; NULL when it is not there';

-- An atom of quantized weights is whole blocks.
CREATE FUNCTION hartonomous.effective_atom_size(wanted integer, row_length bigint, storage_format text) RETURNS integer
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
BEGIN ATOMIC
  SELECT greatest(1, least(row_length, (wanted + f.block_weights - 1) / f.block_weights * f.block_weights))::integer
    FROM hartonomous.formats() f WHERE f.format = storage_format;
END;
COMMENT ON FUNCTION hartonomous.effective_atom_size(integer, bigint, text) IS
  'weights in an atom of a tensor: the wanted number rounded up to whole blocks, at most a row';

-- Names are in B-tree indexes, whose entries have at most 2704 bytes: with a margin for what stands beside them.
CREATE FUNCTION hartonomous.check_name(model_name text) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF model_name IS NULL OR model_name = '' THEN
    RAISE EXCEPTION 'a model needs a name' USING ERRCODE = '22023';
  END IF;
  IF octet_length(model_name) > 2048 THEN
    RAISE EXCEPTION 'the name of a model must have at most 2048 bytes, not %', octet_length(model_name)
      USING ERRCODE = '22023';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.check_name(text) IS 'error 22023 for what cannot be a model''s name';

CREATE FUNCTION hartonomous.check_import(model_name text, atom_size integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.check_name(model_name);
  IF atom_size IS NULL OR atom_size NOT BETWEEN 1 AND 1048576 THEN
    RAISE EXCEPTION 'atom_size must be between 1 and 1048576, not %', coalesce(atom_size::text, 'NULL')
      USING ERRCODE = '22023';
  END IF;
  PERFORM hartonomous.create_store();
  IF EXISTS (SELECT FROM hartonomous.models m WHERE m.model_name = check_import.model_name) THEN
    PERFORM hartonomous.refuse_name(model_name);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.check_import(text, integer) IS
  'makes the store if there is none; 22023 on a bad name or atom size, 42710 when the model exists';

CREATE FUNCTION hartonomous.refuse_name(model_name text) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION 'model "%" exists already', model_name USING ERRCODE = '42710';
END
$$;
COMMENT ON FUNCTION hartonomous.refuse_name(text) IS 'the error 42710 of an import whose name is taken';

-- llama.cpp marks every piece of a split GGUF file with its number (from 0) and how many there are, as integers of
-- whatever width; Hugging Face's pieces of a checkpoint say it in their names only.
CREATE FUNCTION hartonomous.refuse_piece(properties jsonb, file_name text) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  pieces numeric := CASE WHEN jsonb_typeof(hartonomous.gguf_value(properties, 'split.count')) = 'number'
                         THEN (hartonomous.gguf_value(properties, 'split.count') #>> '{}')::numeric END;
  piece numeric := CASE WHEN jsonb_typeof(hartonomous.gguf_value(properties, 'split.no')) = 'number'
                        THEN (hartonomous.gguf_value(properties, 'split.no') #>> '{}')::numeric END;
  part text[] := regexp_match(file_name, '(?:^|[/\\])[^/\\]*-(\d{5})-of-(\d{5})\.safetensors$');
BEGIN
  IF pieces > 1 OR piece > 0 THEN
    RAISE EXCEPTION 'the file is piece % of % of a split model, not the whole model',
        coalesce((piece + 1)::text, 'unknown'), coalesce(pieces::text, 'several')
      USING ERRCODE = '0A000', HINT = 'Merge the pieces first: llama-gguf-split --merge <first piece> <whole file>.';
  ELSIF part[2]::integer > 1 THEN
    RAISE EXCEPTION 'the file is piece % of % of a checkpoint, not the whole model', part[1]::integer, part[2]::integer
      USING ERRCODE = '0A000',
            HINT = 'Give the paths of all pieces as an array, with the checkpoint''s config. Under a name without "-of-" a piece is imported by itself.';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.refuse_piece(jsonb, text) IS
  'the error 0A000 of an import of one piece of a model; properties are the file''s metadata, file_name is NULL when there is none to judge by';

-- One statement, one transaction: cancelled, killed or failed, it leaves nothing.
CREATE FUNCTION hartonomous.import_model(source anyelement, container text, model_name text, atom_size integer,
    config jsonb DEFAULT 'null', tokenizer jsonb DEFAULT 'null') RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  started constant timestamptz := clock_timestamp();
  model integer;
  revision integer;
  partition regclass;
  properties jsonb;
  imported record;
BEGIN
  IF source IS NULL THEN
    RAISE EXCEPTION 'the source of a model cannot be NULL' USING ERRCODE = '22004';
  END IF;
  IF container IS NULL THEN
    RAISE EXCEPTION 'the container of a model cannot be NULL' USING ERRCODE = '22004';
  END IF;
  PERFORM hartonomous.check_import(model_name, atom_size);
  properties := hartonomous.file_metadata(source, container, config, tokenizer);
  PERFORM hartonomous.refuse_piece(properties, CASE WHEN pg_typeof(source) = 'text'::regtype AND config = 'null'
                                                    THEN source::text END);
  INSERT INTO hartonomous.models (model_name, architecture, metadata, source_sha256)
    VALUES (import_model.model_name, hartonomous.gguf_value(properties, 'general.architecture') #>> '{}', properties,
            hartonomous.file_sha256(source))
    ON CONFLICT ON CONSTRAINT models_model_name_key DO NOTHING
    RETURNING model_id INTO model;
  IF model IS NULL THEN  -- by another session, since check_import() looked
    PERFORM hartonomous.refuse_name(model_name);
  END IF;
  INSERT INTO hartonomous.model_layers (model_id, layer_idx, layer_name, layer_type, tensor_shape, tensor_dtype,
                                        parameter_count, row_length, atom_size, position)
    SELECT model, hartonomous.layer_number(t.tensor_name), t.tensor_name,
           hartonomous.layer_type(t.tensor_name), t.tensor_shape, t.tensor_dtype, t.parameter_count,
           t.row_length, hartonomous.effective_atom_size(import_model.atom_size, t.row_length, t.storage_format),
           t.position
      FROM hartonomous.file_tensors(source, container, config) t;
  revision := hartonomous.new_revision(model, 'import', 'import', jsonb_build_object('atom_size', atom_size));
  partition := hartonomous.create_atoms_partition(model, revision);
  PERFORM hartonomous.load_and_describe(source, container, partition, model, revision, config);
  PERFORM hartonomous.index_atoms_partition(partition);
  PERFORM hartonomous.attach_live(model, revision);
  UPDATE hartonomous.model_revisions r SET physical_bytes = pg_total_relation_size(partition)
   WHERE r.revision_id = revision;
  PERFORM hartonomous.make_current(model, revision);
  SELECT m.parameter_count AS parameters, r.logical_bytes AS bytes,
         (SELECT count(*) FROM hartonomous.model_layers l WHERE l.model_id = model) AS tensors INTO STRICT imported
    FROM hartonomous.models m JOIN hartonomous.model_revisions r ON r.revision_id = revision WHERE m.model_id = model;
  RAISE NOTICE 'imported model % "%": % tensors, % parameters, %, revision %, % s', model, model_name, imported.tensors,
    imported.parameters, hartonomous.human_bytes(imported.bytes), revision,
    round(extract(epoch FROM clock_timestamp() - started), 1);
  RETURN model;
END
$$;
COMMENT ON FUNCTION hartonomous.import_model(anyelement, text, text, integer, jsonb, jsonb) IS
  'imports a model file of either container; see import_gguf and import_safetensors';

CREATE FUNCTION hartonomous.load_and_describe(source anyelement, container text, partition regclass, model integer,
                                              revision integer, config jsonb) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  postgis name := hartonomous.postgis_schema();
BEGIN
  EXECUTE format($sql$
    WITH loaded AS MATERIALIZED (SELECT * FROM hartonomous.load_atoms($1, $2, $3, $4, $5, $6)),
    described AS (
      UPDATE hartonomous.model_layers l
         SET weights_geometry = %1$I.ST_MakeEnvelope(d.min_x, d.min_y, d.max_x, d.max_y)
        FROM loaded d WHERE l.layer_id = d.layer_id AND d.atoms > 0)
    UPDATE hartonomous.model_revisions r
       SET atom_count = d.atoms, logical_bytes = d.bytes
      FROM (SELECT coalesce(sum(atoms), 0) AS atoms, coalesce(sum(bytes), 0) AS bytes FROM loaded) d
     WHERE r.revision_id = $5$sql$, postgis) USING source, container, partition, model, revision, config;
  UPDATE hartonomous.models m
     SET parameter_count = l.parameters,
         model_type = CASE WHEN l.attention THEN 'transformer' ELSE 'network' END
    FROM (SELECT coalesce(sum(parameter_count), 0) AS parameters,
                 coalesce(bool_or(layer_type = 'attention'), false) AS attention
            FROM hartonomous.model_layers WHERE model_id = model) l
   WHERE m.model_id = model;
END
$$;
COMMENT ON FUNCTION hartonomous.load_and_describe(anyelement, text, regclass, integer, integer, jsonb) IS
  'loads the atoms of a model being imported and records what they amount to';

DO $$
DECLARE
  kind text;
BEGIN
  FOREACH kind IN ARRAY ARRAY['text', 'text[]', 'bytea', 'oid'] LOOP
    EXECUTE pg_catalog.format($ddl$
      CREATE FUNCTION hartonomous.import_safetensors(source %1$s, model_name text, atom_size integer DEFAULT 8192,
          config jsonb DEFAULT NULL, tokenizer jsonb DEFAULT NULL) RETURNS integer
        LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
        SET search_path = pg_catalog, pg_temp
      AS $body$
      BEGIN
        RETURN hartonomous.import_model(source, 'safetensors', model_name, atom_size, coalesce(config, 'null'),
                                        coalesce(tokenizer, 'null'));
      END
      $body$;
      COMMENT ON FUNCTION hartonomous.import_safetensors(%1$s, text, integer, jsonb, jsonb) IS
        'imports a model file and returns the model''s number; an atom is a matrix row, split above atom_size weights; config and tokenizer (config.json, tokenizer.json of a Llama, Qwen2 or Qwen3 checkpoint) make a model that runs and exports to GGUF; 22P03 on a malformed file, 0A000 on a piece of a model, 22023 and 0A000 on a config or tokenizer that is wrong or not known, 42710 when the name is taken, 42501 without the right to read files';
      $ddl$, kind);
    CONTINUE WHEN kind = 'text[]';
    EXECUTE pg_catalog.format($ddl$
      CREATE FUNCTION hartonomous.import_gguf(source %1$s, model_name text, atom_size integer DEFAULT 8192)
        RETURNS integer
        LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
        SET search_path = pg_catalog, pg_temp
      AS $body$
      BEGIN
        RETURN hartonomous.import_model(source, 'gguf', model_name, atom_size);
      END
      $body$;
      COMMENT ON FUNCTION hartonomous.import_gguf(%1$s, text, integer) IS
        'imports a model file and returns the model''s number; an atom is a matrix row, split above atom_size weights; 22P03 on a malformed file, 0A000 on a piece of a split model, 42710 when the name is taken, 42501 without the right to read files';
      $ddl$, kind);
  END LOOP;
END
$$;

DO $$
DECLARE
  path_taker regprocedure;
BEGIN
  FOR path_taker IN
    SELECT p.oid FROM pg_catalog.pg_proc p
     WHERE p.pronamespace OPERATOR(pg_catalog.=) 'hartonomous'::regnamespace
       AND p.proargnames[1] OPERATOR(pg_catalog.=) 'source' AND p.proargtypes[0] IN ('text'::regtype, 'text[]'::regtype)
  LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', path_taker);
    EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO pg_read_server_files', path_taker);
  END LOOP;
END
$$;
