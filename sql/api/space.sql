-- Queries on positions: the nearest atoms of a point, and statistics of the positions in each tensor.

-- Two index scans, one for each form in which a position can be stored; the scan for the form that the model does not
-- use finds nothing.
CREATE FUNCTION hartonomous.nearest_atoms(model hartonomous.regmodel, point geometry, k integer DEFAULT 10)
  RETURNS TABLE (tensor_atom_id bigint, layer_name text, atom_sequence integer, distance double precision,
                 x real, y real, importance_score real)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  given double precision[] := hartonomous_internal.point_coordinates(point);
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.check_neighbours(k);
  IF given IS NULL OR greatest(abs(given[1]), abs(given[2]), abs(given[3])) > 3e38 THEN
    PERFORM hartonomous_internal.raise_error('22023', 'a point with finite x, y and z expected',
      detail => format('Got %s.', left(hartonomous_internal.geometry_text(point), 100)),
      hint => 'ST_MakePoint(x, y, z) makes one.');
  END IF;
  -- The model is a literal in the query, so that only its own partition is planned.
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, format($sql$
    SELECT n.tensor_atom_id, n.tensor_name, n.atom_sequence, n.distance, %2$I.ST_X(n.place)::real,
           %2$I.ST_Y(n.place)::real, n.importance_score
      FROM ((SELECT a.tensor_atom_id, a.tensor_name, a.atom_sequence, a.importance_score, a.weights_geometry AS place,
                    a.weights_geometry OPERATOR(%2$I.<<->>) $1 AS distance
               FROM hartonomous.tensor_atoms a WHERE a.model_id = %1$s
              ORDER BY a.weights_geometry OPERATOR(%2$I.<<->>) $1 LIMIT $2)
            UNION ALL
            (SELECT a.tensor_atom_id, a.tensor_name, a.atom_sequence, a.importance_score,
                    hartonomous.dequantize_geometry(a.quantized_position),
                    hartonomous.dequantize_geometry(a.quantized_position) OPERATOR(%2$I.<<->>) $1
               FROM hartonomous.tensor_atoms a WHERE a.model_id = %1$s AND a.quantized_position IS NOT NULL
                AND a.weights_geometry IS NULL
              ORDER BY hartonomous.dequantize_geometry(a.quantized_position) OPERATOR(%2$I.<<->>) $1 LIMIT $2)) n
     WHERE n.distance IS NOT NULL ORDER BY n.distance, n.tensor_atom_id LIMIT $2$sql$, model::integer,
    hartonomous_internal.postgis_schema())) USING point, k;
END
$$;
COMMENT ON FUNCTION hartonomous.nearest_atoms(hartonomous.regmodel, geometry, integer) IS
  'the k atoms of a model nearest to a PointZ, nearest first, found by the index; works with either form of positions; '
  '22023 if it is not a PointZ or k is not between 0 and 1000000, 42704 if there is no such model';

CREATE FUNCTION hartonomous.nearest_atoms(model hartonomous.regmodel, atom bigint, k integer DEFAULT 10)
  RETURNS TABLE (tensor_atom_id bigint, layer_name text, atom_sequence integer, distance double precision,
                 x real, y real, importance_score real)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  place record;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.check_neighbours(k);
  -- Found by the primary key: the high 32 bits of an atom's number are its layer_id.
  EXECUTE hartonomous_internal.on_atoms_of(model,
    'SELECT hartonomous.atom_position(a.weights_geometry, a.quantized_position) AS point
             FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 AND a.layer_id = $2 >> 32 AND a.tensor_atom_id = $2')
    INTO place USING model, atom;
  IF place.point IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704',
      format('model "%s" has no atom %s with a place', model, coalesce(atom::text, 'NULL')),
      hint => 'Atoms of vectors, and of tensors whose format is only carried, have none.');
  END IF;
  RETURN QUERY SELECT * FROM hartonomous.nearest_atoms(model, place.point, k + 1) n WHERE n.tensor_atom_id <> atom
    LIMIT k;
END
$$;
COMMENT ON FUNCTION hartonomous.nearest_atoms(hartonomous.regmodel, bigint, integer) IS
  'the k nearest neighbors of an atom, given by its tensor_atom_id, nearest first; 42704 if there is no such model or '
  'atom, 22023 if k is not between 0 and 1000000';

CREATE FUNCTION hartonomous.spatial_statistics(model hartonomous.regmodel)
  RETURNS TABLE (layer_id bigint, layer_name text, atoms bigint, positioned bigint, mean_x double precision,
                 mean_y double precision, mean_z double precision, spread_x double precision, spread_y double precision,
                 spread_z double precision, min_x real, max_x real, min_y real, max_y real, min_z real, max_z real)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    SELECT l.layer_id, l.layer_name, coalesce(s.atoms, 0), coalesce(s.positioned, 0), s.mean_x, s.mean_y, s.mean_z,
           s.spread_x, s.spread_y, s.spread_z, s.min_x, s.max_x, s.min_y, s.max_y, s.min_z, s.max_z
      FROM hartonomous.model_layers l
      LEFT JOIN (
        SELECT a.layer_id, count(*) AS atoms, count(p.x) AS positioned, avg(p.x) AS mean_x, avg(p.y) AS mean_y,
               avg(p.z) AS mean_z, stddev_pop(p.x) AS spread_x, stddev_pop(p.y) AS spread_y,
               stddev_pop(p.z) AS spread_z, min(p.x) AS min_x, max(p.x) AS max_x, min(p.y) AS min_y,
               max(p.y) AS max_y, min(p.z) AS min_z, max(p.z) AS max_z
          FROM hartonomous.tensor_atoms a
          CROSS JOIN LATERAL (
            SELECT CASE WHEN a.weights_geometry IS NULL THEN (hartonomous.decode_point(a.quantized_position)).x
                        ELSE a.x END AS x,
                   CASE WHEN a.weights_geometry IS NULL THEN (hartonomous.decode_point(a.quantized_position)).y
                        ELSE a.y END AS y,
                   CASE WHEN num_nonnulls(a.weights_geometry, a.quantized_position) > 0
                        THEN a.importance_score END AS z) p
         WHERE a.model_id = $1 GROUP BY a.layer_id) s USING (layer_id)
     WHERE l.model_id = $1 ORDER BY l.position$sql$) USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.spatial_statistics(hartonomous.regmodel) IS
  'positions of the atoms of each tensor: number of atoms, number of those with a position, mean, standard deviation, '
  'minimum and maximum of x, y and z (importance); 42704 if there is no such model';
