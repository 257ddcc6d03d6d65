-- Regions of the space that atoms lie in: boxes, or other shapes, tested on whichever form of its position an atom has.

CREATE FUNCTION hartonomous.region(min_x real, max_x real, min_y real, max_y real, min_z real, max_z real)
  RETURNS real[]
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- NaN is greater than all else: as a minimum it is caught, as a maximum it has to be named.
  IF ((min_x <= max_x AND min_y <= max_y AND min_z <= max_z) IS NOT TRUE)
     OR 'NaN' IN (max_x, max_y, max_z) THEN
    RAISE EXCEPTION 'a region needs a minimum and a maximum on each axis, the maximum not below the minimum'
      USING ERRCODE = '22023',
            DETAIL = format('Got (%s) for min_x, max_x, min_y, max_y, min_z, max_z.',
                            array_to_string(ARRAY[min_x, max_x, min_y, max_y, min_z, max_z], ', ', 'NULL'));
  END IF;
  RETURN ARRAY[min_x, max_x, min_y, max_y, min_z, max_z];
END
$$;
COMMENT ON FUNCTION hartonomous.region(real, real, real, real, real, real) IS
  'a box in the space of atoms as six numbers, its faces included; infinity leaves a side open; 22023 when a number is missing, NaN, or a maximum below its minimum';

-- Inlined, so that a query with it can use the indexes on either form. The operator compares in real, which is what
-- coordinates and bounds are: it is exact.
DO $$
DECLARE
  postgis name := hartonomous.postgis_schema();
BEGIN
  EXECUTE pg_catalog.format($ddl$
    CREATE FUNCTION hartonomous.region_geometry(region real[]) RETURNS %1$I.geometry
      LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
      RETURN %1$I.ST_MakeLine(%1$I.ST_MakePoint(region[1], region[3], region[5]),
                              %1$I.ST_MakePoint(region[2], region[4], region[6]));
    CREATE FUNCTION hartonomous.region(box %1$I.geometry) RETURNS real[]
      LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 250
      RETURN hartonomous.region(
        %1$I.ST_XMin(box)::real, %1$I.ST_XMax(box)::real, %1$I.ST_YMin(box)::real, %1$I.ST_YMax(box)::real,
        CASE WHEN %1$I.ST_Zmflag(box) < 2 THEN '-Infinity' ELSE %1$I.ST_ZMin(box)::real END,
        CASE WHEN %1$I.ST_Zmflag(box) < 2 THEN 'Infinity' ELSE %1$I.ST_ZMax(box)::real END);
    CREATE FUNCTION hartonomous.in_region(point %1$I.geometry, quantized bytea, region real[]) RETURNS boolean
      LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
      RETURN point OPERATOR(%1$I.&&&) hartonomous.region_geometry(region)
             OR (quantized IS NOT NULL
                 AND hartonomous.dequantize_geometry(quantized) OPERATOR(%1$I.&&&) hartonomous.region_geometry(region));
    -- The box first, for the indexes; it also bounds z, which ST_Intersects() does not look at. Space has no SRID.
    CREATE FUNCTION hartonomous.in_geometry(point %1$I.geometry, quantized bytea, shape %1$I.geometry) RETURNS boolean
      LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 250
      RETURN hartonomous.in_region(point, quantized, hartonomous.region(shape))
             AND %1$I.ST_Intersects(hartonomous.atom_position(point, quantized), %1$I.ST_SetSRID(shape, 0));
    COMMENT ON FUNCTION hartonomous.region_geometry(real[]) IS
      'the diagonal of a region, whose bounding box the region is';
    COMMENT ON FUNCTION hartonomous.region(%1$I.geometry) IS
      'the bounding box of a geometry as a region; without z it is open above and below; 22023 when it is empty';
    COMMENT ON FUNCTION hartonomous.in_region(%1$I.geometry, bytea, real[]) IS
      'whether an atom lies in a region, by weights_geometry or weights_geometry_q8, whichever it has';
    COMMENT ON FUNCTION hartonomous.in_geometry(%1$I.geometry, bytea, %1$I.geometry) IS
      'whether an atom lies in a geometry in x and y, and in z between its lowest and highest point, where it has z; 22023 when it is empty';
    $ddl$, postgis);
END
$$;
