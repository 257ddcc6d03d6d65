-- Lookups by the number of a model (live revision, name, metadata), and checks of model names.

CREATE FUNCTION hartonomous_internal.current_revision(model integer) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  revision integer;
BEGIN
  IF hartonomous_internal.store_exists() THEN  -- without a store there are no models
    SELECT m.current_revision INTO revision FROM hartonomous.models m WHERE m.model_id = model;
  END IF;
  IF revision IS NOT NULL AND NOT hartonomous_internal.is_visible(model) THEN
    revision := NULL;
  END IF;
  IF revision IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704', format('model %s does not exist', coalesce(model::text, 'NULL')),
      hint => 'SELECT * FROM hartonomous.list_models(); lists all models.');
  END IF;
  RETURN revision;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.current_revision(integer) IS
  'the live revision of a model; 42704 if there is no such model';

CREATE FUNCTION hartonomous_internal.can_report(model integer) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT hartonomous_internal.store_exists() THEN
    RETURN false;
  END IF;
  IF model IS NOT NULL THEN
    PERFORM hartonomous_internal.current_revision(model);
  END IF;
  RETURN true;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.can_report(integer) IS
  'whether there is a store; 42704 if there is one, but not the model (NULL: all models)';

CREATE FUNCTION hartonomous_internal.model_name(model integer) RETURNS text
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  -- The output function of a type must not fail: without a store, or without the right to read it, a model has no name.
  IF has_table_privilege(to_regclass('hartonomous.models'), 'SELECT') IS TRUE THEN
    RETURN (SELECT m.model_name FROM hartonomous.models m WHERE m.model_id = model);
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.model_name(integer) IS
  'the name of a model; NULL if there is no model with that number, or none that the caller may see';

-- Names are B-tree keys, which are limited to 2704 bytes; this leaves room for the rest of the index entry.
CREATE FUNCTION hartonomous_internal.check_name(model_name text) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF model_name IS NULL OR model_name = '' THEN
    PERFORM hartonomous_internal.raise_error('22023', 'a model needs a name');
  END IF;
  IF octet_length(model_name) > 2048 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('the name of a model must have at most 2048 bytes, not %s', octet_length(model_name)));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_name(text) IS '22023 if a text cannot be the name of a model';

CREATE FUNCTION hartonomous_internal.refuse_name(model_name text) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.raise_error('42710', format('model "%s" already exists', model_name),
    hint => 'Give another name, or first call rename_model() or delete_model() for the existing one.');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.refuse_name(text) IS 'raises 42710 because the name of an import is taken';

CREATE FUNCTION hartonomous_internal.gguf_metadata_of(model integer, structure integer DEFAULT NULL) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  found jsonb;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  IF structure IS NULL THEN
    SELECT m.metadata INTO STRICT found FROM hartonomous.models m WHERE m.model_id = model;
  ELSE
    SELECT s.metadata INTO found FROM hartonomous.model_structures s
     WHERE s.structure_id = structure AND s.model_id = model;
  END IF;
  IF (found ->> 'format') IS DISTINCT FROM 'gguf' THEN
    PERFORM hartonomous_internal.raise_error('0A000',
      format('model "%s" has no metadata of a language model', model::hartonomous.regmodel),
      hint => 'Import it from GGUF, or measure it by a function of your own: docs/manual/evaluate.md.');
  END IF;
  RETURN found;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.gguf_metadata_of(integer, integer) IS
  'metadata of a model in GGUF''s form, by default with its live structure; 42704 if there is no such model, 0A000 if '
  'it has none';

CREATE FUNCTION hartonomous_internal.hyperparameters(model integer, structure integer DEFAULT NULL) RETURNS jsonb
  LANGUAGE sql STABLE PARALLEL SAFE COST 250
BEGIN ATOMIC
  SELECT jsonb_set(m.metadata, '{kv}', coalesce((SELECT jsonb_agg(kv ORDER BY n)
           FROM jsonb_array_elements(m.metadata -> 'kv') WITH ORDINALITY u (kv, n)
          WHERE kv ->> 'key' NOT LIKE 'tokenizer.%'), '[]'))
    FROM (SELECT hartonomous_internal.gguf_metadata_of(model, structure)) AS m (metadata);
END;
COMMENT ON FUNCTION hartonomous_internal.hyperparameters(integer, integer) IS 'the same without the tokenizer';
