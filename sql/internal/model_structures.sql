-- Structures: which tensors of which shapes a model has, and its metadata. That of the live revision is in model_layers
-- and models, from where everything reads it. A model from which something was removed has had others, too: those that
-- are not live are kept in model_structures, and exchanged with the live one whenever another revision becomes live.

CREATE FUNCTION hartonomous_internal.live_structure(model integer) RETURNS integer
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT r.structure_id FROM hartonomous.models m
            JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision WHERE m.model_id = model);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.live_structure(integer) IS
  'the structure of the live revision of a model; NULL if the model has only one';

CREATE FUNCTION hartonomous_internal.stored_layers(structure integer)
  RETURNS TABLE (layer_id bigint, layer_idx integer, layer_name text, layer_type text, tensor_shape bigint[],
                 tensor_dtype text, parameter_count bigint, row_length bigint, atom_size integer, "position" integer,
                 weights_geometry text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT e.layer_id, e.layer_idx, e.layer_name, e.layer_type, e.tensor_shape, e.tensor_dtype, e.parameter_count,
           e.row_length, e.atom_size, e.position, e.weights_geometry
      FROM hartonomous.model_structures s
      CROSS JOIN LATERAL jsonb_to_recordset(s.layers) e (layer_id bigint, layer_idx integer, layer_name text,
        layer_type text, tensor_shape bigint[], tensor_dtype text, parameter_count bigint, row_length bigint,
        atom_size integer, "position" integer, weights_geometry text)
     WHERE s.structure_id = stored_layers.structure;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.stored_layers(integer) IS 'the tensors of a structure that is not live';

CREATE FUNCTION hartonomous_internal.layers_of_revision(revision integer)
  RETURNS TABLE (model_id integer, layer_id bigint, layer_name text, tensor_shape bigint[], parameter_count bigint,
                 row_length bigint, atom_size integer, "position" integer)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  model integer;
  structure integer;
BEGIN
  SELECT r.model_id, nullif(r.structure_id, hartonomous_internal.live_structure(r.model_id)) INTO model, structure
    FROM hartonomous.model_revisions r WHERE r.revision_id = revision;
  IF structure IS NULL THEN
    RETURN QUERY
      SELECT l.model_id, l.layer_id, l.layer_name, l.tensor_shape, l.parameter_count, l.row_length, l.atom_size,
             l.position
        FROM hartonomous.model_layers l WHERE l.model_id = model;
  ELSE
    RETURN QUERY
      SELECT model, l.layer_id, l.layer_name, l.tensor_shape, l.parameter_count, l.row_length, l.atom_size,
             l.position
        FROM hartonomous_internal.stored_layers(structure) l;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.layers_of_revision(integer) IS
  'the tensors that a revision has, whether its structure is live or not; no rows if there is no such revision';

CREATE FUNCTION hartonomous_internal.is_renamed(layer bigint, in_revision integer) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN EXISTS (SELECT FROM hartonomous.model_layers l
                   JOIN hartonomous_internal.layers_of_revision(in_revision) n ON n.layer_id = l.layer_id
                  WHERE l.layer_id = layer AND n.layer_name <> l.layer_name);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.is_renamed(bigint, integer) IS
  'whether a tensor has another name in a revision than in the live one';

-- Geometries as text, because their JSON is lossy; all columns, also those that the user has added.
CREATE FUNCTION hartonomous_internal.live_layers(model integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  layers jsonb;
BEGIN
  EXECUTE (
    SELECT format('SELECT coalesce(jsonb_agg(to_jsonb(l) ORDER BY l."position"), ''[]'') FROM ('
                  'SELECT %s FROM hartonomous.model_layers WHERE model_id = $1) l',
                  string_agg(format(CASE WHEN t.typname = 'geometry' THEN '%I::text AS %1$I' ELSE '%I' END, a.attname),
                             ', ' ORDER BY a.attnum))
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = 'hartonomous.model_layers'::regclass AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attgenerated = '') INTO layers USING model;
  RETURN layers;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.live_layers(integer) IS
  'the rows that a model has in model_layers, as model_structures keeps them';

CREATE FUNCTION hartonomous_internal.add_structure(revision integer, layers jsonb, metadata jsonb) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  model constant integer := (SELECT r.model_id FROM hartonomous.model_revisions r WHERE r.revision_id = revision);
  present integer;
  added integer;
BEGIN
  IF hartonomous_internal.live_structure(model) IS NULL THEN
    INSERT INTO hartonomous.model_structures (model_id, parameter_count)
      SELECT m.model_id, m.parameter_count FROM hartonomous.models m WHERE m.model_id = model
      RETURNING structure_id INTO STRICT present;
    UPDATE hartonomous.model_revisions r SET structure_id = present
     WHERE r.model_id = model AND r.structure_id IS NULL;
  END IF;
  INSERT INTO hartonomous.model_structures (model_id, parameter_count, layers, metadata)
    VALUES (model, (SELECT coalesce(sum((e.entry ->> 'parameter_count')::bigint), 0)
                      FROM jsonb_array_elements(layers) e (entry)), layers, metadata)
    RETURNING structure_id INTO STRICT added;
  UPDATE hartonomous.model_revisions r SET structure_id = added WHERE r.revision_id = revision;
  RETURN added;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.add_structure(integer, jsonb, jsonb) IS
  'gives a revision that is not live a structure of its own';

CREATE FUNCTION hartonomous_internal.exchange_structures(model integer, outgoing integer, incoming integer)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  stored record;
BEGIN
  IF outgoing IS NOT DISTINCT FROM incoming THEN
    RETURN;
  END IF;
  SELECT s.layers, s.metadata, s.parameter_count INTO stored
    FROM hartonomous.model_structures s WHERE s.structure_id = incoming AND s.model_id = model;
  IF outgoing IS NULL OR stored.layers IS NULL OR stored.metadata IS NULL THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('the tensors of structure %s of model "%s" are not known', incoming, model::hartonomous.regmodel),
      'Its row of hartonomous.model_structures was changed.');
  END IF;
  UPDATE hartonomous.model_structures s
     SET layers = hartonomous_internal.live_layers(model), metadata = m.metadata, parameter_count = m.parameter_count
    FROM hartonomous.models m WHERE m.model_id = model AND s.structure_id = outgoing;
  -- Atoms of the same number lie elsewhere in a matrix of another shape.
  DELETE FROM hartonomous.atom_usage_stats u
   USING hartonomous.model_layers l
    LEFT JOIN hartonomous_internal.stored_layers(incoming) n ON n.layer_id = l.layer_id
   WHERE l.model_id = model AND n.tensor_shape IS DISTINCT FROM l.tensor_shape
     AND u.model_id = model AND u.tensor_atom_id BETWEEN l.layer_id << 32 AND (l.layer_id + 1 << 32) - 1;
  PERFORM hartonomous_internal.restore_layers(model, incoming, stored.layers);
  UPDATE hartonomous.models m SET metadata = stored.metadata, parameter_count = stored.parameter_count
   WHERE m.model_id = model;
  UPDATE hartonomous.model_structures s SET layers = NULL, metadata = NULL WHERE s.structure_id = incoming;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.exchange_structures(integer, integer, integer) IS
  'makes another structure the live one of a model, and keeps the one that was; what record_usage() has counted of '
  'tensors whose shape changes is deleted; 55000 if the structure is not stored';

-- Rows that stay are updated, so that columns of the user and references to them stay, too. Names and positions are
-- unique, and are moved out of the way first.
CREATE FUNCTION hartonomous_internal.restore_layers(model integer, structure integer, layers jsonb) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  postgis constant name := hartonomous_internal.postgis_schema();
BEGIN
  DELETE FROM hartonomous.model_layers l
   WHERE l.model_id = model
     AND l.layer_id NOT IN (SELECT n.layer_id FROM hartonomous_internal.stored_layers(structure) n);
  UPDATE hartonomous.model_layers l SET layer_name = chr(1) || l.layer_id, position = -1 - l.position
    FROM hartonomous_internal.stored_layers(structure) n
   WHERE l.model_id = model AND n.layer_id = l.layer_id AND (n.layer_name, n.position) <> (l.layer_name, l.position);
  EXECUTE format($sql$
    UPDATE hartonomous.model_layers l
       SET layer_idx = n.layer_idx, layer_name = n.layer_name, layer_type = n.layer_type,
           tensor_shape = n.tensor_shape, tensor_dtype = n.tensor_dtype, parameter_count = n.parameter_count,
           row_length = n.row_length, atom_size = n.atom_size, position = n.position,
           weights_geometry = n.weights_geometry::%I.geometry
      FROM hartonomous_internal.stored_layers($2) n WHERE l.model_id = $1 AND n.layer_id = l.layer_id$sql$, postgis)
    USING model, structure;
  EXECUTE (
    SELECT format('INSERT INTO hartonomous.model_layers (%s) OVERRIDING SYSTEM VALUE SELECT %1$s '
                  'FROM jsonb_populate_recordset(NULL::hartonomous.model_layers, $2) n WHERE n.model_id = $1 '
                  'AND n.layer_id NOT IN (SELECT l.layer_id FROM hartonomous.model_layers l WHERE l.model_id = $1)',
                  string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum))
      FROM pg_attribute a
     WHERE a.attrelid = 'hartonomous.model_layers'::regclass AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attgenerated = '') USING model, layers;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.restore_layers(integer, integer, jsonb) IS
  'brings model_layers of a model to a stored structure: removed tensors get their numbers again';

-- Names of tensors are still needed for the recipes of revisions that were dropped; a vocabulary is not.
CREATE FUNCTION hartonomous_internal.forget_structures(model integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  UPDATE hartonomous.model_structures s SET metadata = NULL
   WHERE s.model_id = model AND s.metadata IS NOT NULL
     AND NOT EXISTS (SELECT FROM hartonomous.model_revisions r
                      WHERE r.structure_id = s.structure_id AND r.state <> 'dropped');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.forget_structures(integer) IS
  'frees the metadata of structures of a model that no revision has any more';
