-- The parts of an export: the plan as one value, the header, the file type, and writing the file.

-- Planning an export reads every atom of the model, so an export does it once and passes the result on.
CREATE FUNCTION hartonomous_internal.export_plan_json(model integer, container text DEFAULT 'gguf') RETURNS jsonb
  LANGUAGE sql STABLE PARALLEL UNSAFE COST 5000
BEGIN ATOMIC
  SELECT coalesce(jsonb_agg(p ORDER BY p.position), '[]') FROM hartonomous.export_plan(model, container) p;
END;
COMMENT ON FUNCTION hartonomous_internal.export_plan_json(integer, text) IS
  'export_plan() as one value: an array with one object per tensor';

CREATE FUNCTION hartonomous_internal.planned_tensors(plan jsonb)
  RETURNS TABLE ("position" integer, layer_id bigint, layer_name text, tensor_shape bigint[], row_length bigint,
                 atom_size integer, parameter_count bigint, present_format text, storage_format text, export_dtype text)
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50 ROWS 300
BEGIN ATOMIC
  SELECT p.position, p.layer_id, p.layer_name, p.tensor_shape, p.row_length, p.atom_size, p.parameter_count,
         p.present_format, p.storage_format, p.export_dtype
    FROM jsonb_to_recordset(plan) p ("position" integer, layer_id bigint, layer_name text, tensor_shape bigint[],
           row_length bigint, atom_size integer, parameter_count bigint, present_format text, storage_format text,
           export_dtype text)
   ORDER BY p.position;
END;
COMMENT ON FUNCTION hartonomous_internal.planned_tensors(jsonb) IS
  'the rows of export_plan() from the value of export_plan_json()';

CREATE FUNCTION hartonomous_internal.last_quantizing(model integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT r.parameters || jsonb_build_object('model_id', r.model_id)
      FROM hartonomous_internal.ancestors_of(hartonomous_internal.current_revision(model)) a
      JOIN hartonomous.model_revisions r ON r.revision_id = a.revision_id
     WHERE r.stage = 'quantize' AND r.parameters ?| ARRAY['format', 'plan_sha256'] ORDER BY a.distance LIMIT 1);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.last_quantizing(integer) IS
  'the parameters with which a model or, for a student, its parent was last quantized to a format or mixture or '
  'by a plan, and model_id; NULL if it never was; 42704 if there is no such model';

-- The file type requested last for this model or, for a student, for its parent; otherwise the one in the file that it
-- was imported from.
CREATE FUNCTION hartonomous_internal.requested_mixture(model integer) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN coalesce(hartonomous_internal.mixture_named(hartonomous_internal.last_quantizing(model) ->> 'format'), (
    SELECT p.mixture FROM hartonomous.models m
      JOIN hartonomous.mixtures() p
        ON p.file_type::text = hartonomous_internal.gguf_value(m.metadata, 'general.file_type') #>> '{}'
     WHERE m.model_id = model));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.requested_mixture(integer) IS
  'the file type (mixtures()) that a model was last quantized to, or that its file names; NULL if '
  'neither is known';

-- Computed from the tensors themselves, so that it is right for students, for models of which only a part was
-- quantized, and after a rollback.
CREATE FUNCTION hartonomous_internal.main_format(model integer, plan jsonb) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT hartonomous_internal.recognized_format(hartonomous_internal.mixture_traits_of(model),
      coalesce(hartonomous_internal.requested_mixture(model), ''),
      array_agg(p.layer_name), array_agg(hartonomous_internal.matrix_count(p.tensor_shape)),
      array_agg(p.storage_format),
      array_agg(p.parameter_count), array_agg(least(gcd(p.row_length, p.atom_size), p.row_length)))
      FROM hartonomous_internal.planned_tensors(plan) p);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.main_format(integer, jsonb) IS
  'main_format() from the value of export_plan_json()';

CREATE FUNCTION hartonomous_internal.main_format(model integer) RETURNS text
  LANGUAGE sql STABLE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.main_format(model, hartonomous_internal.export_plan_json(model));
COMMENT ON FUNCTION hartonomous_internal.main_format(integer) IS
  'the format or mixture (mixtures()) that most weights of a model''s matrices have in an export; NULL if it has '
  'no matrices';

-- llama-quantize also writes quantize.imatrix.file, the path of the importance matrix, for which there is no file here.
CREATE FUNCTION hartonomous_internal.importance_keys(model integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  quantizing jsonb := hartonomous_internal.last_quantizing(model);
  statistics record;
BEGIN
  IF quantizing ->> 'calibration_set' IS NULL THEN
    RETURN '[]';
  END IF;
  SELECT count(*) AS entries, max(s.tokens / s.n_ctx) AS chunks INTO statistics FROM hartonomous.calibration_stats s
   WHERE s.model_id = (quantizing ->> 'model_id')::integer AND s.calibration_set = quantizing ->> 'calibration_set'
     AND s.revision_id = (quantizing ->> 'calibration_revision')::integer;
  RETURN (
    SELECT jsonb_agg(jsonb_build_object('key', 'quantize.imatrix.' || k.key, 'type', k.type, 'value', k.value)
             ORDER BY k.n)
      FROM (VALUES (1, 'dataset', 'string', quantizing -> 'calibration_set'),
                   (2, 'entries_count', 'u32', to_jsonb(nullif(statistics.entries, 0))),
                   (3, 'chunks_count', 'u32', to_jsonb(nullif(statistics.chunks, 0)))) k (n, key, type, value)
     WHERE k.value IS NOT NULL);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.importance_keys(integer) IS
  'the metadata keys by which llama-quantize records an importance matrix, of the calibration set with which a model '
  'was last quantized, by importance or against its Gram matrices: its name, and from its statistics, if they are '
  'still there, the number of tensors and, if they '
  'were collected here, of windows of text; an empty array if none was used';

CREATE FUNCTION hartonomous_internal.with_keys(metadata jsonb, prefix text, keys jsonb) RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN jsonb_set(metadata, '{kv}', (
    SELECT coalesce(jsonb_agg(e.kv ORDER BY e.n), '[]') FROM jsonb_array_elements(metadata -> 'kv')
      WITH ORDINALITY e (kv, n)
     WHERE NOT starts_with(coalesce(e.kv ->> 'key', ''), prefix)) || keys);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.with_keys(jsonb, text, jsonb) IS
  'metadata of a GGUF model with other keys in place of all those whose names begin with a prefix';

-- The keys of provenance in an imported file describe that file. Of a model that was changed since, they would be
-- wrong.
CREATE FUNCTION hartonomous_internal.replaced_provenance(model integer, metadata text, provenance boolean)
  RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.current_revision(model);
BEGIN
  RETURN CASE WHEN provenance THEN hartonomous_internal.provenance_of(live)
              WHEN strpos(metadata, hartonomous_internal.provenance_prefix()) = 0
                OR hartonomous_internal.is_as_imported(live) THEN NULL
              ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.replaced_provenance(integer, text, boolean) IS
  'what takes the place of the provenance that the metadata of an export contain: provenance_of() the live revision if '
  'that is asked for, nothing ({}) if the model was changed since its import; NULL: the metadata stay as they are';

CREATE FUNCTION hartonomous_internal.export_metadata(model integer, container text, plan jsonb,
    provenance boolean DEFAULT false, OUT metadata text, OUT file_type integer, OUT replaced jsonb)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  m hartonomous.models;
  tensors record;
  keys jsonb;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  SELECT * INTO STRICT m FROM hartonomous.models o WHERE o.model_id = model;
  IF container = 'safetensors' THEN
    metadata := CASE WHEN m.metadata ->> 'format' = 'safetensors' THEN m.metadata ->> 'header' ELSE '' END;
    replaced := hartonomous_internal.replaced_provenance(model, metadata, provenance);
    RETURN;
  END IF;
  SELECT count(*) FILTER (WHERE p.storage_format <> l.tensor_dtype) AS changed,
         count(*) FILTER (WHERE p.present_format <> p.storage_format) AS widened INTO tensors
    FROM hartonomous_internal.planned_tensors(plan) p JOIN hartonomous.model_layers l USING (layer_id);
  IF tensors.widened > 0 THEN
    RAISE NOTICE '% tensors are exported in another format than their atoms have, because these differ or their rows '
      'are not whole blocks: see export_plan()', tensors.widened;
  END IF;
  metadata := CASE WHEN m.metadata ->> 'format' = 'gguf' THEN m.metadata::text
    ELSE jsonb_build_object('format', 'gguf', 'version', 3, 'alignment', 32, 'kv', jsonb_build_array(
      jsonb_build_object('key', 'general.architecture', 'type', 'string', 'value', coalesce(m.architecture, 'unknown')),
      jsonb_build_object('key', 'general.name', 'type', 'string', 'value', m.model_name)))::text END;
  -- Metadata of many megabytes are parsed only if keys have to be replaced.
  replaced := hartonomous_internal.replaced_provenance(model, metadata, provenance);
  IF replaced IS NOT NULL THEN
    metadata := hartonomous_internal.with_keys(metadata::jsonb, hartonomous_internal.provenance_prefix(),
                                               hartonomous_internal.gguf_keys(replaced))::text;
  END IF;
  IF tensors.changed = 0 AND m.metadata ->> 'format' = 'gguf' THEN
    RETURN;  -- nothing changed, so the file type of the source file is still right
  END IF;
  keys := hartonomous_internal.importance_keys(model);
  IF keys <> '[]' THEN
    metadata := hartonomous_internal.with_keys(metadata::jsonb, 'quantize.imatrix.', keys)::text;
  END IF;
  -- llama.cpp's numbers. A single format has the number of the mixture that has this format as its short name there.
  SELECT p.file_type INTO file_type FROM hartonomous.mixtures() p
   WHERE p.mixture = hartonomous_internal.mixture_named(hartonomous_internal.main_format(model, plan));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.export_metadata(integer, text, jsonb, boolean) IS
  'the header of an export with the given export_plan_json(); the general.file_type to set if formats differ from '
  'those of the source file; and replaced_provenance(), which is already part of a GGUF header';

CREATE FUNCTION hartonomous_internal.export_to_file(model integer, container text, path text,
    provenance boolean DEFAULT false) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.export_to_file(integer, text, text, boolean) IS
  'writes a model to a file on the server, which is either complete or absent; returns its size';
CREATE FUNCTION hartonomous_internal.export_to_bytea(model integer, container text,
    provenance boolean DEFAULT false) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.export_to_bytea(integer, text, boolean) IS
  'a model as the bytes of a file; 54000 from 1 GB on, 53200 if it needs more than hartonomous.max_work_memory';
CREATE FUNCTION hartonomous_internal.export_to_large_object(model integer, container text,
    provenance boolean DEFAULT false) RETURNS oid
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.export_to_large_object(integer, text, boolean) IS
  'writes a model to a new large object';
