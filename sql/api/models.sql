-- Functions on whole models: look up, list, rename, delete.

CREATE FUNCTION hartonomous.model_id(model_name text) RETURNS integer
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  found integer;
  near text;
BEGIN
  IF hartonomous_internal.store_exists() THEN  -- without a store there are no models
    SELECT m.model_id INTO found FROM hartonomous.models m WHERE m.model_name = model_id.model_name;
    IF found IS NULL THEN
      near := hartonomous_internal.near_names(model_name, ARRAY(SELECT m.model_name FROM hartonomous.models m));
    END IF;
  END IF;
  IF found IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704', format('model "%s" does not exist', model_name),
      hint => coalesce('There is ' || near || '.', 'There are no models yet: see import_gguf().'));
  END IF;
  RETURN found;
END
$$;
COMMENT ON FUNCTION hartonomous.model_id(text) IS
  'the number of a model; 42704, with similar names, if there is no model of that name';

CREATE FUNCTION hartonomous.list_models()
  RETURNS TABLE (model_id integer, model_name text, architecture text, parent_model text, parameters bigint,
                 revision_id integer, stage text, backups bigint, atoms bigint, logical_bytes bigint,
                 physical_bytes bigint, ingestion_date timestamptz)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT hartonomous_internal.store_exists() THEN
    RETURN;
  END IF;
  RETURN QUERY
    SELECT m.model_id, m.model_name, m.architecture, p.model_name, m.parameter_count, r.revision_id, r.stage,
           (SELECT count(*) FROM hartonomous.model_revisions b WHERE b.model_id = m.model_id AND b.state = 'backup'),
           r.atom_count, r.logical_bytes, hartonomous.model_disk_bytes(m.model_id), m.ingestion_date
      FROM hartonomous.models m
      LEFT JOIN hartonomous.models p ON p.model_id = m.parent_model_id
      LEFT JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision
     ORDER BY m.model_id;
END
$$;
COMMENT ON FUNCTION hartonomous.list_models() IS
  'one row per model: its parent, its live revision with the atoms and bytes of weights after its last stage, and the '
  'bytes on disk of all its revisions; no rows without a store';

CREATE FUNCTION hartonomous.rename_model(model hartonomous.regmodel, new_name text) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.check_name(new_name);
  UPDATE hartonomous.models m SET model_name = new_name WHERE m.model_id = model;
  PERFORM hartonomous_internal.model_names_changed();
EXCEPTION WHEN unique_violation THEN
  PERFORM hartonomous_internal.refuse_name(new_name);
END
$$;
COMMENT ON FUNCTION hartonomous.rename_model(hartonomous.regmodel, text) IS
  'renames a model; 42704 if there is no such model, 42710 if the name is taken, 22023 if it is not a valid name';

-- Like a swap, this waits until transactions that read the atoms of the model have ended.
CREATE FUNCTION hartonomous.delete_model(model hartonomous.regmodel, nowait boolean DEFAULT false) RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partitions regclass[];
  partition regclass;
  freed bigint;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.lock_model(model, nowait);
  PERFORM hartonomous_internal.current_revision(model);
  SELECT coalesce(array_agg(hartonomous_internal.partition_of(model, r.revision_id)
                            ORDER BY r.revision_id), '{}') INTO partitions
    FROM hartonomous.model_revisions r
   WHERE r.model_id = model AND hartonomous_internal.partition_exists(model, r.revision_id);
  PERFORM hartonomous_internal.lock_for_swap(partitions, 'ACCESS EXCLUSIVE', 'ACCESS EXCLUSIVE');
  freed := hartonomous.model_disk_bytes(model);
  FOREACH partition IN ARRAY partitions LOOP
    EXECUTE format('DROP TABLE %s', partition);
  END LOOP;
  PERFORM hartonomous_internal.leave_history(model);
  DELETE FROM hartonomous.models m WHERE m.model_id = model;
  PERFORM hartonomous_internal.model_names_changed();
  RETURN freed;
END
$$;
COMMENT ON FUNCTION hartonomous.delete_model(hartonomous.regmodel, boolean) IS
  'deletes a model with all its revisions, in one transaction; returns the bytes on disk that are freed when it '
  'commits; its students stay, without a parent but with its lineage; 42704 if there is no such model, 55P03 with '
  'nowait, or if readers of the atoms or changes of a student do not end in time';
