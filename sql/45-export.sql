-- Export: the live revision of a model as a GGUF or safetensors file: on the server, as a bytea, as a large object.

-- A tensor goes out in the format its atoms have. Where they differ, all go out in the one with the most bits among
-- them, so that none loses anything; where atoms or rows are not whole blocks of that, in F32. A tensor without atoms
-- is zeros in the format it came in. One that is factored goes out multiplied out, in the format it had before: factors
-- save no bytes in such a file.
CREATE FUNCTION hartonomous.export_plan(model integer, container text DEFAULT 'gguf')
  RETURNS TABLE ("position" integer, layer_id bigint, layer_name text, tensor_shape bigint[], row_length bigint,
                 atom_size integer, parameter_count bigint, present_format text, storage_format text, export_dtype text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM hartonomous.current_revision(model);
  IF container IS NULL OR container NOT IN ('gguf', 'safetensors') THEN
    RAISE EXCEPTION 'unknown model file format "%"', container
      USING ERRCODE = '22023', HINT = 'Formats are "gguf" and "safetensors".';
  END IF;
  -- Through the parent, for which readers have rights.
  RETURN QUERY EXECUTE $sql$
    WITH present AS (
      SELECT f.layer_id, array_agg(f.format ORDER BY f.format) AS formats
        FROM (SELECT a.layer_id, hartonomous.weights_format(a.atom_data) AS format
                FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY 1, 2) f
       GROUP BY f.layer_id),
    chosen AS (
      SELECT l.*, array_to_string(p.formats, '+') AS present,
             coalesce(d.dense_format, (SELECT CASE WHEN gcd(gcd(l.row_length, l.atom_size),
                                              coalesce(l.tensor_shape[cardinality(l.tensor_shape)], 1))
                                          % f.block_weights = 0 THEN f.format ELSE 'F32' END
                         FROM hartonomous.formats() f WHERE f.format = ANY (p.formats)
                        ORDER BY f.block_bytes::float8 / f.block_weights DESC, f.ggml_type LIMIT 1),
                      hartonomous.carried_format(l.tensor_dtype)) AS format
        FROM hartonomous.model_layers l LEFT JOIN present p USING (layer_id)
        LEFT JOIN (SELECT f.layer_id, min(f.dense_format) AS dense_format
                     FROM hartonomous.stored_forms($1, hartonomous.live_base($1)) f GROUP BY f.layer_id) d USING (layer_id)
       WHERE l.model_id = $1)
    SELECT c.position, c.layer_id, c.layer_name, c.tensor_shape, c.row_length, c.atom_size, c.parameter_count, c.present,
           CASE WHEN $2 = 'gguf' THEN c.format ELSE hartonomous.plain_format(c.format, c.tensor_dtype) END,
           CASE WHEN $2 = 'gguf' THEN c.format
                WHEN hartonomous.carried_format(c.tensor_dtype) = hartonomous.plain_format(c.format, c.tensor_dtype)
                THEN c.tensor_dtype
                ELSE hartonomous.plain_format(c.format, c.tensor_dtype) END
      FROM chosen c ORDER BY c.position$sql$ USING model, container;
END
$$;
COMMENT ON FUNCTION hartonomous.export_plan(integer, text) IS
  'what an export writes, a row a tensor: the formats its atoms have and the one it goes out in';

CREATE FUNCTION hartonomous.export_plan(model text, container text DEFAULT 'gguf')
  RETURNS TABLE ("position" integer, layer_id bigint, layer_name text, tensor_shape bigint[], row_length bigint,
                 atom_size integer, parameter_count bigint, present_format text, storage_format text, export_dtype text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.export_plan(hartonomous.model_id(model), container);
END
$$;
COMMENT ON FUNCTION hartonomous.export_plan(text, text) IS 'the same for a model by its name';

-- A plan takes a look at every atom: an export makes it once, and passes it on.
CREATE FUNCTION hartonomous.export_plan_json(model integer, container text DEFAULT 'gguf') RETURNS jsonb
  LANGUAGE sql STABLE PARALLEL UNSAFE COST 5000
BEGIN ATOMIC
  SELECT coalesce(jsonb_agg(p ORDER BY p.position), '[]') FROM hartonomous.export_plan(model, container) p;
END;
COMMENT ON FUNCTION hartonomous.export_plan_json(integer, text) IS 'export_plan() as one value: an array, an object a tensor';

CREATE FUNCTION hartonomous.planned_tensors(plan jsonb)
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
COMMENT ON FUNCTION hartonomous.planned_tensors(jsonb) IS 'the rows of export_plan() that export_plan_json() made one value of';

CREATE FUNCTION hartonomous.carried_format(tensor_dtype text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
  RETURN coalesce((SELECT f.format FROM hartonomous.formats() f WHERE f.format = tensor_dtype),
                  CASE WHEN tensor_dtype IN ('U16') THEN 'I16' WHEN tensor_dtype IN ('U32') THEN 'I32'
                       WHEN tensor_dtype IN ('U64', 'C64') THEN 'I64' ELSE 'I8' END);
COMMENT ON FUNCTION hartonomous.carried_format(text) IS
  'the format that carries a dtype of a model file: itself, or for dtypes ggml does not know integers of the same width';

CREATE FUNCTION hartonomous.plain_format(present text, tensor_dtype text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
  RETURN CASE WHEN present IN ('F32', 'F16', 'BF16', 'F64', 'I8', 'I16', 'I32', 'I64') THEN present
              WHEN tensor_dtype IN ('F32', 'F16', 'BF16') THEN tensor_dtype ELSE 'F16' END;
COMMENT ON FUNCTION hartonomous.plain_format(text, text) IS
  'the format in which safetensors, which has no quantized ones, gets a tensor: the one it came in, else F16';

-- What was asked for last, here or, of a student, of its parent; else what the file said it was.
CREATE FUNCTION hartonomous.asked_preset(model integer) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN coalesce((
    WITH RECURSIVE line (n, stage, parameters, before) AS (
      SELECT 1, r.stage, r.parameters, coalesce(r.parent_revision_id, (r.parameters ->> 'parent_revision')::integer)
        FROM hartonomous.model_revisions r WHERE r.revision_id = hartonomous.current_revision(model)
      UNION ALL
      SELECT l.n + 1, r.stage, r.parameters, coalesce(r.parent_revision_id, (r.parameters ->> 'parent_revision')::integer)
        FROM line l JOIN hartonomous.model_revisions r ON r.revision_id = l.before)
      CYCLE before SET circle USING path
    SELECT hartonomous.preset_named(l.parameters ->> 'format') FROM line l
     WHERE l.stage = 'quantize' AND l.parameters ? 'format' ORDER BY l.n LIMIT 1), (
    SELECT p.preset FROM hartonomous.models m
      JOIN hartonomous.format_presets() p
        ON p.file_type::text = hartonomous.gguf_value(m.metadata, 'general.file_type') #>> '{}'
     WHERE m.model_id = model));
END
$$;
COMMENT ON FUNCTION hartonomous.asked_preset(integer) IS
  'the file type (format_presets()) that a model was last quantized to, or that its file names; NULL when none is known';

-- By what the tensors are, so that it holds of students, of parts, after rollback.
CREATE FUNCTION hartonomous.main_format(model integer, plan jsonb) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT hartonomous.recognized_format(hartonomous.mix_traits_of(model), coalesce(hartonomous.asked_preset(model), ''),
             array_agg(p.layer_name), array_agg(hartonomous.is_matrix(p.tensor_shape)), array_agg(p.storage_format),
             array_agg(p.parameter_count), array_agg(least(gcd(p.row_length, p.atom_size), p.row_length)))
      FROM hartonomous.planned_tensors(plan) p);
END
$$;
COMMENT ON FUNCTION hartonomous.main_format(integer, jsonb) IS
  'main_format() of a model whose export_plan() is known, as export_plan_json() gives it';

CREATE FUNCTION hartonomous.main_format(model integer) RETURNS text
  LANGUAGE sql STABLE PARALLEL UNSAFE COST 5000
  RETURN hartonomous.main_format(model, hartonomous.export_plan_json(model));
COMMENT ON FUNCTION hartonomous.main_format(integer) IS
  'the format, or mix of formats (format_presets()), that the most weights of a model''s matrices have in an export; NULL when it has no matrix';

CREATE FUNCTION hartonomous.export_metadata(model integer, container text, plan jsonb,
    OUT metadata text, OUT file_type integer)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  m hartonomous.models;
  tensors record;
BEGIN
  PERFORM hartonomous.current_revision(model);
  SELECT * INTO STRICT m FROM hartonomous.models o WHERE o.model_id = model;
  IF container = 'safetensors' THEN
    metadata := CASE WHEN m.metadata ->> 'format' = 'safetensors' THEN m.metadata ->> 'header' ELSE '' END;
    RETURN;
  END IF;
  SELECT count(*) FILTER (WHERE p.storage_format <> l.tensor_dtype) AS changed,
         count(*) FILTER (WHERE p.present_format <> p.storage_format) AS widened INTO tensors
    FROM hartonomous.planned_tensors(plan) p JOIN hartonomous.model_layers l USING (layer_id);
  IF tensors.widened > 0 THEN
    RAISE NOTICE '% tensors hold atoms in several formats, or in blocks their rows do not fill, and go out in one that holds all: see export_plan()', tensors.widened;
  END IF;
  IF m.metadata ->> 'format' = 'gguf' THEN
    metadata := m.metadata::text;
    IF tensors.changed = 0 THEN
      RETURN;  -- as it came: so are the bytes
    END IF;
  ELSE
    metadata := jsonb_build_object('format', 'gguf', 'version', 3, 'alignment', 32, 'kv', jsonb_build_array(
      jsonb_build_object('key', 'general.architecture', 'type', 'string', 'value', coalesce(m.architecture, 'unknown')),
      jsonb_build_object('key', 'general.name', 'type', 'string', 'value', m.model_name)))::text;
  END IF;
  -- llama.cpp's numbers. A format alone has that of the mix of which it is the short name there.
  SELECT p.file_type INTO file_type FROM hartonomous.format_presets() p
   WHERE p.preset = hartonomous.preset_named(hartonomous.main_format(model, plan));
END
$$;
COMMENT ON FUNCTION hartonomous.export_metadata(integer, text, jsonb) IS
  'what goes into the header of an export with that export_plan_json(), and the general.file_type to set when formats are not the source file''s any more';

-- row_security = off: a policy that hides atoms makes an error, not zeros in the file.
CREATE FUNCTION hartonomous.export_to_file(model integer, container text, path text) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET row_security = off;
COMMENT ON FUNCTION hartonomous.export_to_file(integer, text, text) IS
  'writes a model to a server file, complete or not at all; returns its bytes';
CREATE FUNCTION hartonomous.export_to_bytea(model integer, container text) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET row_security = off;
COMMENT ON FUNCTION hartonomous.export_to_bytea(integer, text) IS
  'a model as the bytes of a file; 54000 from 1 GB on, 53200 beyond hartonomous.max_work_memory';
CREATE FUNCTION hartonomous.export_to_large_object(model integer, container text) RETURNS oid
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET row_security = off;
COMMENT ON FUNCTION hartonomous.export_to_large_object(integer, text) IS 'writes a model to a new large object';

DO $$
DECLARE
  container text;
BEGIN
  FOREACH container IN ARRAY ARRAY['gguf', 'safetensors'] LOOP
    EXECUTE pg_catalog.format($ddl$
      CREATE FUNCTION hartonomous.export_%1$s(model integer, path text) RETURNS bigint
        LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
        RETURN hartonomous.export_to_file(model, %1$L, path);
      CREATE FUNCTION hartonomous.export_%1$s(model text, path text) RETURNS bigint
        LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
        RETURN hartonomous.export_to_file(hartonomous.model_id(model), %1$L, path);
      CREATE FUNCTION hartonomous.export_%1$s(model integer) RETURNS bytea
        LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
        RETURN hartonomous.export_to_bytea(model, %1$L);
      CREATE FUNCTION hartonomous.export_%1$s(model text) RETURNS bytea
        LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
        RETURN hartonomous.export_to_bytea(hartonomous.model_id(model), %1$L);
      CREATE FUNCTION hartonomous.export_%1$s_large_object(model integer) RETURNS oid
        LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
        RETURN hartonomous.export_to_large_object(model, %1$L);
      CREATE FUNCTION hartonomous.export_%1$s_large_object(model text) RETURNS oid
        LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
        RETURN hartonomous.export_to_large_object(hartonomous.model_id(model), %1$L);
      COMMENT ON FUNCTION hartonomous.export_%1$s(integer, text) IS
        'writes the live revision of a model to a server file (absolute path), complete or not at all; returns its bytes; 42501 without the right to write files';
      COMMENT ON FUNCTION hartonomous.export_%1$s(text, text) IS 'the same for a model by its name';
      COMMENT ON FUNCTION hartonomous.export_%1$s(integer) IS
        'the live revision of a model as the bytes of a file; 54000 from 1 GB on';
      COMMENT ON FUNCTION hartonomous.export_%1$s(text) IS 'the same for a model by its name';
      COMMENT ON FUNCTION hartonomous.export_%1$s_large_object(integer) IS
        'writes the live revision of a model to a new large object and returns its oid';
      COMMENT ON FUNCTION hartonomous.export_%1$s_large_object(text) IS 'the same for a model by its name';
      $ddl$, container);
  END LOOP;
END
$$;

REVOKE ALL ON FUNCTION hartonomous.export_to_file(integer, text, text), hartonomous.export_gguf(integer, text),
  hartonomous.export_gguf(text, text), hartonomous.export_safetensors(integer, text),
  hartonomous.export_safetensors(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hartonomous.export_to_file(integer, text, text), hartonomous.export_gguf(integer, text),
  hartonomous.export_gguf(text, text), hartonomous.export_safetensors(integer, text),
  hartonomous.export_safetensors(text, text) TO pg_write_server_files;
