-- The forms in which a tensor may be stored. Atoms are the form that every partition has; beside them a tensor may have
-- others, in tables of their own, which belong to a partition by its model and revision: factors (61-factors.sql). A
-- tensor acts as the sum of its forms.
--
-- What is asked of forms by the rest of the code is asked here, and only here it is said which forms there are. A new
-- form adds its own functions to the lists below, its table to create_store(), and its rows to tensor_forms.cpp.

CREATE FUNCTION hartonomous.form_tables() RETURNS text[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN ARRAY['svd_compressed_layers'];
COMMENT ON FUNCTION hartonomous.form_tables() IS
  'names of the tables that hold forms of tensors beside atoms; each has model_id, revision_id and layer_id';

CREATE FUNCTION hartonomous.stored_forms(model integer, base integer, layer bigint DEFAULT NULL)
  RETURNS TABLE (layer_id bigint, form text, format text, dense_format text, bytes bigint, disk_bytes bigint,
                 version text, block_runs bigint[], other_bytes bigint, most_bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.stored_factors(model, base, layer);
END
$$;
COMMENT ON FUNCTION hartonomous.stored_forms(integer, integer, bigint) IS
  'what stands beside the atoms of a partition, of one tensor or of all, a row a tensor and form: the format of its weights, the format in which the tensor is exported, bytes of weights, bytes as stored, a version that changes when the form does; and, for planning, how many weights there are in each value that quantizing would change, the bytes of the others, and the most that all may take';

CREATE FUNCTION hartonomous.form_versions(model integer, base integer, layer bigint DEFAULT NULL)
  RETURNS TABLE (layer_id bigint, versions text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT f.layer_id, string_agg(':' || f.form || f.version, '' ORDER BY f.form)
      FROM hartonomous.stored_forms(model, base, layer) f GROUP BY f.layer_id;
END
$$;
COMMENT ON FUNCTION hartonomous.form_versions(integer, integer, bigint) IS
  'a text that changes when any form of a tensor beside its atoms does, of one tensor or of all; no row without such forms';

CREATE FUNCTION hartonomous.form_bytes(model integer, base integer, layer bigint DEFAULT NULL) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT coalesce(sum(f.bytes), 0) FROM hartonomous.stored_forms(model, base, layer) f);
END
$$;
COMMENT ON FUNCTION hartonomous.form_bytes(integer, integer, bigint) IS
  'bytes of the weights that stand beside the atoms of a partition, of one tensor or of all';

CREATE FUNCTION hartonomous.form_disk_bytes(model integer, base integer) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT coalesce(sum(f.disk_bytes), 0) FROM hartonomous.stored_forms(model, base) f);
END
$$;
COMMENT ON FUNCTION hartonomous.form_disk_bytes(integer, integer) IS
  'bytes that what stands beside a partition takes as stored: their tables are shared by all models, so rows are counted';

CREATE FUNCTION hartonomous.form_norms(model integer, base integer)
  RETURNS TABLE (layer_id bigint, norm double precision)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.factor_norms(model, base);
END
$$;
COMMENT ON FUNCTION hartonomous.form_norms(integer, integer) IS
  'the Frobenius norm of what each form beside the atoms of a partition stands for';

CREATE FUNCTION hartonomous.copy_tensor(operation text, arguments jsonb, model integer, base integer, layer bigint,
    into_model integer, into_base integer, into_layer bigint, parallel boolean, OUT atoms bigint, OUT bytes bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT c.atoms, c.bytes INTO atoms, bytes
    FROM hartonomous.copy_atoms(hartonomous.partition_of(model, base), hartonomous.partition_of(into_model, into_base),
                                into_base, layer, operation, arguments, nullif(into_layer, layer), parallel) c;
  bytes := bytes + hartonomous.copy_factors(operation, arguments, model, base, layer, into_model, into_base, into_layer);
END
$$;
COMMENT ON FUNCTION hartonomous.copy_tensor(text, jsonb, integer, integer, bigint, integer, integer, bigint, boolean) IS
  'copies a tensor in all its forms from one partition, and what stands beside it, to another, changed as an operation says; returns the atoms it wrote and the bytes of all forms';

CREATE FUNCTION hartonomous.drop_forms(model integer, base integer, layer bigint DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  relation text;
BEGIN
  FOREACH relation IN ARRAY hartonomous.form_tables() LOOP
    EXECUTE format('DELETE FROM hartonomous.%I f WHERE f.model_id = $1 AND f.revision_id = $2 AND ($3 IS NULL OR f.layer_id = $3)',
                   relation) USING model, base, layer;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.drop_forms(integer, integer, bigint) IS
  'drops what stands beside the atoms of a partition, of one tensor or of all';

CREATE FUNCTION hartonomous.tensor_fingerprint(model integer, base integer, layer bigint,
                                               OUT atoms bigint, OUT bytes bigint, OUT fingerprint text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  partition regclass := hartonomous.partition_of(model, base);
BEGIN
  EXECUTE format($sql$
    SELECT count(*), coalesce(sum(hartonomous.weights_bytes(atom_data)), 0),
           count(*) || ':' || coalesce(sum(xmin::text::bigint), 0) || ':' || %s
      FROM %s WHERE layer_id = $1$sql$, hartonomous.columns_fingerprint(partition), partition)
    INTO atoms, bytes, fingerprint USING layer;
  bytes := bytes + hartonomous.form_bytes(model, base, layer);
  fingerprint := fingerprint || coalesce((SELECT v.versions FROM hartonomous.form_versions(model, base, layer) v), '');
END
$$;
COMMENT ON FUNCTION hartonomous.tensor_fingerprint(integer, integer, bigint) IS
  'atoms of a tensor in a partition, bytes of all its forms, and a text that changes when any of its rows or their columns do';

-- The same of all tensors that a run has copied, in one pass.
CREATE FUNCTION hartonomous.changed_layers(run bigint) RETURNS SETOF bigint
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  model integer;
  source regclass;
BEGIN
  PERFORM hartonomous.require_run(run);
  SELECT r.model_id INTO STRICT model FROM hartonomous.compression_runs r WHERE r.run_id = run;
  source := hartonomous.live_partition(model);
  RETURN QUERY EXECUTE format($sql$
    SELECT s.layer_id
      FROM hartonomous.compression_steps s
      LEFT JOIN (SELECT layer_id, count(*) || ':' || sum(xmin::text::bigint) AS rows
                   FROM %s GROUP BY layer_id) now ON now.layer_id = s.layer_id
      LEFT JOIN hartonomous.form_versions($2, $3) f ON f.layer_id = s.layer_id
     WHERE s.run_id = $1 AND s.source_fingerprint IS DISTINCT FROM coalesce(now.rows, '0:0') || ':' || %s
                                                                   || coalesce(f.versions, '')
     ORDER BY s.layer_id$sql$, source, hartonomous.columns_fingerprint(source))
    USING run, model, hartonomous.live_base(model);
END
$$;
COMMENT ON FUNCTION hartonomous.changed_layers(bigint) IS 'tensors that were changed, in any form, after the run copied them';
