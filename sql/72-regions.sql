-- What lies where: atoms of a region pruned, neighbours found, tensors described by the places of their atoms.
-- Regions themselves: 49-regions.sql.

CREATE FUNCTION hartonomous.region_plan(model integer, region real[], keep_inside boolean DEFAULT false,
    layer_pattern text DEFAULT '%', include_vectors boolean DEFAULT false)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  region := hartonomous.region(region[1], region[2], region[3], region[4], region[5], region[6]);  -- 22023 when it is none
  -- Through the parent, for which readers have rights. What is in the region apart, so that the index can find it.
  RETURN QUERY EXECUTE $sql$
    WITH inside AS (
      SELECT a.layer_id, count(*) AS atoms, sum(hartonomous.weights_bytes(a.atom_data)) AS bytes
        FROM hartonomous.tensor_atoms a
       WHERE a.model_id = $1 AND hartonomous.in_region(a.weights_geometry, a.weights_geometry_q8, $2) GROUP BY a.layer_id),
    every AS (
      SELECT a.layer_id, count(*) AS atoms, sum(hartonomous.weights_bytes(a.atom_data)) AS bytes
        FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY a.layer_id),
    beside AS (
      SELECT f.layer_id, sum(f.bytes) AS bytes FROM hartonomous.stored_forms($1, hartonomous.live_base($1)) f GROUP BY f.layer_id),
    counted AS (
      SELECT t.*, coalesce(e.atoms, 0) AS atoms, coalesce(e.bytes, 0)::bigint AS bytes, coalesce(b.bytes, 0)::bigint AS beside,
             CASE WHEN t.reason IS NOT NULL THEN 0
                  WHEN $3 THEN coalesce(e.atoms, 0) - coalesce(i.atoms, 0) ELSE coalesce(i.atoms, 0) END AS removed,
             (CASE WHEN t.reason IS NOT NULL THEN 0
                   WHEN $3 THEN coalesce(e.bytes, 0) - coalesce(i.bytes, 0) ELSE coalesce(i.bytes, 0) END)::bigint AS removed_bytes
        -- A region is what it is, embeddings or not; but weights that cannot be read have no place of their own.
        FROM hartonomous.prunable_tensors($1, $4, $5, true, false) WITH ORDINALITY
             AS t (layer_id, layer_name, imported_atoms, reason, n)
        LEFT JOIN every e USING (layer_id) LEFT JOIN inside i USING (layer_id) LEFT JOIN beside b USING (layer_id))
    SELECT c.layer_id, c.layer_name, CASE WHEN c.removed > 0 THEN 'prune' END,
           CASE WHEN c.removed > 0 THEN jsonb_build_object('region', hartonomous.reals_json($2), 'outside_region', NOT $3) END,
           c.atoms, c.atoms - c.removed, c.bytes + c.beside, c.bytes + c.beside - c.removed_bytes,
           coalesce(c.reason, CASE WHEN c.removed = 0 THEN 'nothing to prune' END), NULL::jsonb
      FROM counted c ORDER BY c.n$sql$ USING model, region, keep_inside, layer_pattern, include_vectors;
END
$$;
COMMENT ON FUNCTION hartonomous.region_plan(integer, real[], boolean, text, boolean) IS
  'what prune_region would remove, a row a tensor (see tensor_plan): atoms in the region, or, keep_inside, those that are not; reason says why a tensor is passed over; 42704 when there is no such model, 22023 when the region is none or no tensor is like the pattern';

CREATE FUNCTION hartonomous.region_plan(model text, region real[], keep_inside boolean DEFAULT false,
    layer_pattern text DEFAULT '%', include_vectors boolean DEFAULT false)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.region_plan(hartonomous.model_id(model), region, keep_inside,
                                                     layer_pattern, include_vectors);
END
$$;
COMMENT ON FUNCTION hartonomous.region_plan(text, real[], boolean, text, boolean) IS 'the same for a model by its name';

CREATE FUNCTION hartonomous.plan_region_pruning(model integer, parameters jsonb) RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  plan hartonomous.tensor_plan[];
BEGIN
  plan := ARRAY(SELECT p FROM hartonomous.region_plan(model,
    ARRAY(SELECT r.side::real FROM jsonb_array_elements_text(parameters -> 'region') WITH ORDINALITY r (side, n) ORDER BY r.n),
    (parameters ->> 'keep_inside')::boolean, parameters ->> 'layer_pattern', (parameters ->> 'include_vectors')::boolean) p);
  IF NOT EXISTS (SELECT FROM unnest(plan) p WHERE p.operation IS NOT NULL OR p.reason = 'nothing to prune') THEN
    RAISE EXCEPTION 'model % has no tensor like "%" to prune', model, parameters ->> 'layer_pattern'
      USING ERRCODE = '22023', DETAIL = 'Those like it are vectors, or their format is only carried.';
  END IF;
  RETURN QUERY SELECT p.* FROM unnest(plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous.plan_region_pruning(integer, jsonb) IS
  'region_plan() for prune_region(); 22023 when no tensor is left to prune';

CREATE FUNCTION hartonomous.region_parameters(region real[], keep_inside boolean, layer_pattern text, dry_run boolean,
    method text, include_vectors boolean) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  region := hartonomous.region(region[1], region[2], region[3], region[4], region[5], region[6]);
  PERFORM hartonomous.check_prune_arguments(1, NULL, 'tensor', method);
  IF dry_run IS NULL OR keep_inside IS NULL THEN
    RAISE EXCEPTION 'dry_run and keep_inside cannot be NULL' USING ERRCODE = '22004';
  END IF;
  RETURN jsonb_build_object('region', hartonomous.reals_json(region), 'keep_inside', keep_inside,
                            'layer_pattern', layer_pattern, 'include_vectors', include_vectors);
END
$$;
COMMENT ON FUNCTION hartonomous.region_parameters(real[], boolean, text, boolean, text, boolean) IS
  'the arguments of prune_region() as its revision keeps them; 22023 when the region is none or the method unknown, 22004 when dry_run or keep_inside is NULL';

-- Cancelled, killed, called twice: as run_stage().
CREATE PROCEDURE hartonomous.prune_region(model integer, region real[], keep_inside boolean DEFAULT false,
    layer_pattern text DEFAULT '%', dry_run boolean DEFAULT false, method text DEFAULT 'auto',
    include_vectors boolean DEFAULT false, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous.run_stage(model, 'prune_region',
    hartonomous.region_parameters(region, keep_inside, layer_pattern, dry_run, method, include_vectors),
    nowait, method, dry_run);
END
$$;
COMMENT ON PROCEDURE hartonomous.prune_region(integer, real[], boolean, text, boolean, text, boolean, boolean) IS
  'removes the atoms of matrices that lie in a region (see region()), or, keep_inside, those that do not; in place when few go, else by rewriting; rollback_model() undoes it; 22023 when the region is none or arguments do not fit';

CREATE PROCEDURE hartonomous.prune_region(model text, region real[], keep_inside boolean DEFAULT false,
    layer_pattern text DEFAULT '%', dry_run boolean DEFAULT false, method text DEFAULT 'auto',
    include_vectors boolean DEFAULT false, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous.prune_region(hartonomous.model_id(model), region, keep_inside, layer_pattern, dry_run, method,
                                include_vectors, nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.prune_region(text, real[], boolean, text, boolean, text, boolean, boolean) IS
  'the same for a model by its name';

CREATE FUNCTION hartonomous.check_neighbours(k integer) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF (k BETWEEN 0 AND 1000000) IS NOT TRUE THEN
    RAISE EXCEPTION 'k must be between 0 and 1000000, not %', coalesce(k::text, 'NULL') USING ERRCODE = '22023';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.check_neighbours(integer) IS '22023 when k is no number of neighbours';

-- Two index scans, of either form of a place; the one of the form that a model has not finds nothing.
DO $$
DECLARE
  postgis name := hartonomous.postgis_schema();
BEGIN
  EXECUTE pg_catalog.format($ddl$
    CREATE FUNCTION hartonomous.nearest_atoms(model integer, point %1$I.geometry, k integer DEFAULT 10)
      RETURNS TABLE (tensor_atom_id bigint, layer_name text, atom_sequence integer, distance double precision,
                     x real, y real, importance_score real)
      LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
      SET search_path = pg_catalog, pg_temp
    AS $body$
    DECLARE
      given double precision[] := hartonomous.point_coordinates(point);
    BEGIN
      PERFORM hartonomous.current_revision(model);
      PERFORM hartonomous.check_neighbours(k);
      IF given IS NULL OR greatest(abs(given[1]), abs(given[2]), abs(given[3])) > 3e38 THEN
        RAISE EXCEPTION 'a point with finite x, y and z expected' USING ERRCODE = '22023',
          DETAIL = format('Got %%s.', left(hartonomous.geometry_text(point), 100));
      END IF;
      -- The model as a literal: only its partition is planned for.
      RETURN QUERY EXECUTE format($sql$
        SELECT n.tensor_atom_id, n.tensor_name, n.atom_sequence, n.distance, %%2$I.ST_X(n.place)::real,
               %%2$I.ST_Y(n.place)::real, n.importance_score
          FROM ((SELECT a.tensor_atom_id, a.tensor_name, a.atom_sequence, a.importance_score, a.weights_geometry AS place,
                        a.weights_geometry OPERATOR(%%2$I.<<->>) $1 AS distance
                   FROM hartonomous.tensor_atoms a WHERE a.model_id = %%1$s
                  ORDER BY a.weights_geometry OPERATOR(%%2$I.<<->>) $1 LIMIT $2)
                UNION ALL
                (SELECT a.tensor_atom_id, a.tensor_name, a.atom_sequence, a.importance_score,
                        hartonomous.dequantize_geometry(a.weights_geometry_q8),
                        hartonomous.dequantize_geometry(a.weights_geometry_q8) OPERATOR(%%2$I.<<->>) $1
                   FROM hartonomous.tensor_atoms a WHERE a.model_id = %%1$s AND a.weights_geometry_q8 IS NOT NULL
                    AND a.weights_geometry IS NULL
                  ORDER BY hartonomous.dequantize_geometry(a.weights_geometry_q8) OPERATOR(%%2$I.<<->>) $1 LIMIT $2)) n
         WHERE n.distance IS NOT NULL ORDER BY n.distance, n.tensor_atom_id LIMIT $2$sql$, model, hartonomous.postgis_schema()) USING point, k;
    END
    $body$;
    COMMENT ON FUNCTION hartonomous.nearest_atoms(integer, %1$I.geometry, integer) IS
      'the k atoms of a model nearest to a PointZ, nearest first, by the index; works on either form of places; 22023 when it is no PointZ or k is not between 0 and 1000000, 42704 when there is no such model';
    CREATE FUNCTION hartonomous.nearest_atoms(model text, point %1$I.geometry, k integer DEFAULT 10)
      RETURNS TABLE (tensor_atom_id bigint, layer_name text, atom_sequence integer, distance double precision,
                     x real, y real, importance_score real)
      LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
      SET search_path = pg_catalog, pg_temp
    AS $body$ BEGIN RETURN QUERY SELECT * FROM hartonomous.nearest_atoms(hartonomous.model_id(model), point, k); END $body$;
    COMMENT ON FUNCTION hartonomous.nearest_atoms(text, %1$I.geometry, integer) IS 'the same for a model by its name';

    CREATE FUNCTION hartonomous.nearest_atoms(model integer, atom bigint, k integer DEFAULT 10)
      RETURNS TABLE (tensor_atom_id bigint, layer_name text, atom_sequence integer, distance double precision,
                     x real, y real, importance_score real)
      LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
      SET search_path = pg_catalog, pg_temp
    AS $body$
    #variable_conflict use_column
    DECLARE
      place record;
    BEGIN
      PERFORM hartonomous.current_revision(model);
      PERFORM hartonomous.check_neighbours(k);
      -- By the primary key: the number of an atom is made of those of its layer and of its place in it.
      EXECUTE 'SELECT hartonomous.atom_position(a.weights_geometry, a.weights_geometry_q8) AS point
                 FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 AND a.layer_id = $2 >> 32 AND a.tensor_atom_id = $2'
        INTO place USING model, atom;
      IF place.point IS NULL THEN
        RAISE EXCEPTION 'model %% has no atom %% with a place', model, coalesce(atom::text, 'NULL') USING ERRCODE = '42704';
      END IF;
      RETURN QUERY SELECT * FROM hartonomous.nearest_atoms(model, place.point, k + 1) n WHERE n.tensor_atom_id <> atom LIMIT k;
    END
    $body$;
    COMMENT ON FUNCTION hartonomous.nearest_atoms(integer, bigint, integer) IS
      'the k neighbours of an atom, given by its tensor_atom_id, nearest first; 42704 when there is no such model or atom, 22023 when k is not between 0 and 1000000';
    CREATE FUNCTION hartonomous.nearest_atoms(model text, atom bigint, k integer DEFAULT 10)
      RETURNS TABLE (tensor_atom_id bigint, layer_name text, atom_sequence integer, distance double precision,
                     x real, y real, importance_score real)
      LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
      SET search_path = pg_catalog, pg_temp
    AS $body$ BEGIN RETURN QUERY SELECT * FROM hartonomous.nearest_atoms(hartonomous.model_id(model), atom, k); END $body$;
    COMMENT ON FUNCTION hartonomous.nearest_atoms(text, bigint, integer) IS 'the same for a model by its name';
    $ddl$, postgis);
END
$$;

CREATE FUNCTION hartonomous.spatial_statistics(model integer)
  RETURNS TABLE (layer_id bigint, layer_name text, atoms bigint, placed bigint, mean_x double precision,
                 mean_y double precision, mean_z double precision, spread_x double precision, spread_y double precision,
                 spread_z double precision, min_x real, max_x real, min_y real, max_y real, min_z real, max_z real)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.current_revision(model);
  RETURN QUERY EXECUTE $sql$
    SELECT l.layer_id, l.layer_name, coalesce(s.atoms, 0), coalesce(s.placed, 0), s.mean_x, s.mean_y, s.mean_z, s.spread_x,
           s.spread_y, s.spread_z, s.min_x, s.max_x, s.min_y, s.max_y, s.min_z, s.max_z
      FROM hartonomous.model_layers l
      LEFT JOIN (
        SELECT a.layer_id, count(*) AS atoms, count(p.x) AS placed, avg(p.x) AS mean_x, avg(p.y) AS mean_y,
               avg(p.z) AS mean_z, stddev_pop(p.x) AS spread_x, stddev_pop(p.y) AS spread_y,
               stddev_pop(p.z) AS spread_z, min(p.x) AS min_x, max(p.x) AS max_x, min(p.y) AS min_y,
               max(p.y) AS max_y, min(p.z) AS min_z, max(p.z) AS max_z
          FROM hartonomous.tensor_atoms a
          CROSS JOIN LATERAL (
            SELECT CASE WHEN a.weights_geometry IS NULL THEN (hartonomous.decode_point(a.weights_geometry_q8)).x
                        ELSE a.x END AS x,
                   CASE WHEN a.weights_geometry IS NULL THEN (hartonomous.decode_point(a.weights_geometry_q8)).y
                        ELSE a.y END AS y,
                   CASE WHEN num_nonnulls(a.weights_geometry, a.weights_geometry_q8) > 0
                        THEN a.importance_score END AS z) p
         WHERE a.model_id = $1 GROUP BY a.layer_id) s USING (layer_id)
     WHERE l.model_id = $1 ORDER BY l.position$sql$ USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.spatial_statistics(integer) IS
  'where the atoms of each tensor lie: how many, how many have a place, mean, standard deviation, least and greatest of x, y and z (importance); 42704 when there is no such model';

CREATE FUNCTION hartonomous.spatial_statistics(model text)
  RETURNS TABLE (layer_id bigint, layer_name text, atoms bigint, placed bigint, mean_x double precision,
                 mean_y double precision, mean_z double precision, spread_x double precision, spread_y double precision,
                 spread_z double precision, min_x real, max_x real, min_y real, max_y real, min_z real, max_z real)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.spatial_statistics(hartonomous.model_id(model));
END
$$;
COMMENT ON FUNCTION hartonomous.spatial_statistics(text) IS 'the same for a model by its name';
