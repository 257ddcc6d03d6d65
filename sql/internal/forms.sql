-- The forms in which a tensor may be stored. Every partition has atoms. Beside them a tensor may have other forms,
-- which are stored in tables of their own and belong to a partition by its model and revision; at present these are
-- factors (internal/factors.sql). The weights of a tensor are the sum of its forms.
--
-- All other code uses forms through the functions of this file, and only this file lists them. A new form adds its
-- functions to the lists below, its table to create_store(), and an entry to tensor_forms.cpp.

CREATE FUNCTION hartonomous_internal.form_tables() RETURNS text[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN ARRAY['svd_compressed_layers'];
COMMENT ON FUNCTION hartonomous_internal.form_tables() IS
  'names of the tables that hold forms of tensors other than atoms; each has model_id, revision_id and layer_id';

CREATE FUNCTION hartonomous_internal.stored_forms(model integer, base integer, layer bigint DEFAULT NULL)
  RETURNS TABLE (layer_id bigint, form text, format text, dense_format text, bytes bigint, disk_bytes bigint,
                 version text, block_runs bigint[], other_bytes bigint, most_bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY SELECT * FROM hartonomous_internal.stored_factors(model, base, layer);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.stored_forms(integer, integer, bigint) IS
  'the forms other than atoms in which tensors of a partition are stored, for one tensor or for all, one row per '
  'tensor and form: the format of the weights, the format for exports, bytes of weights, bytes as stored, and a '
  'version that changes with its rows; for planning also the number of weights in each value that quantizing would '
  'change, the bytes of the other values, and the largest number of bytes that all may have';

CREATE FUNCTION hartonomous_internal.form_versions(model integer, base integer, layer bigint DEFAULT NULL)
  RETURNS TABLE (layer_id bigint, versions text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT f.layer_id, string_agg(':' || f.form || f.version, '' ORDER BY f.form)
      FROM hartonomous_internal.stored_forms(model, base, layer) f GROUP BY f.layer_id;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.form_versions(integer, integer, bigint) IS
  'a text that changes when a form of a tensor other than its atoms changes, for one tensor or for all; no row '
  'without such forms';

CREATE FUNCTION hartonomous_internal.form_bytes(model integer, base integer, layer bigint DEFAULT NULL) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT coalesce(sum(f.bytes), 0) FROM hartonomous_internal.stored_forms(model, base, layer) f);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.form_bytes(integer, integer, bigint) IS
  'bytes of weights in forms other than atoms, for one tensor of a partition or for all';

CREATE FUNCTION hartonomous_internal.form_disk_bytes(model integer, base integer) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT coalesce(sum(f.disk_bytes), 0) FROM hartonomous_internal.stored_forms(model, base) f);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.form_disk_bytes(integer, integer) IS
  'bytes of the forms other than atoms of a partition, as stored: all models share their tables, so rows are counted';

CREATE FUNCTION hartonomous_internal.form_norms(model integer, base integer)
  RETURNS TABLE (layer_id bigint, norm double precision)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY SELECT * FROM hartonomous_internal.factor_norms(model, base);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.form_norms(integer, integer) IS
  'the Frobenius norm of each form other than atoms of the tensors of a partition';

CREATE FUNCTION hartonomous_internal.copy_tensor(operation text, arguments jsonb, model integer, base integer,
    layer bigint, into_model integer, into_base integer, into_layer bigint, parallel boolean, OUT atoms bigint,
    OUT bytes bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  SELECT c.atoms, c.bytes INTO atoms, bytes
    FROM hartonomous_internal.copy_atoms(hartonomous_internal.stored_atoms(model, base),
      hartonomous_internal.partition_of(into_model, into_base),
      into_base, layer, operation, arguments,
      CASE WHEN into_layer <> layer OR hartonomous_internal.is_renamed(layer, into_base) THEN into_layer END,
      parallel, CASE WHEN hartonomous_internal.is_archived(model, base) THEN base END) c;
  bytes := bytes
    + hartonomous_internal.copy_factors(operation, arguments, model, base, layer, into_model, into_base, into_layer);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.copy_tensor(text, jsonb, integer, integer, bigint, integer, integer, bigint,
  boolean) IS
  'copies a tensor in all its forms from one partition to another, changed by an operation; returns the number of '
  'atoms written and the bytes of all forms';

CREATE FUNCTION hartonomous_internal.drop_forms(model integer, base integer, layer bigint DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  relation text;
BEGIN
  FOREACH relation IN ARRAY hartonomous_internal.form_tables() LOOP
    EXECUTE format(
      'DELETE FROM hartonomous.%I f WHERE f.model_id = $1 AND f.revision_id = $2 AND ($3 IS NULL OR f.layer_id = $3)',
                   relation) USING model, base, layer;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.drop_forms(integer, integer, bigint) IS
  'drops the forms other than atoms of a partition, of one tensor or of all';
