-- Regions of the space of positions: boxes or other geometries. Both forms of a stored position are tested.

CREATE FUNCTION hartonomous.region(min_x real, max_x real, min_y real, max_y real, min_z real, max_z real)
  RETURNS real[]
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  -- NaN is greater than all numbers, so the comparisons reject it as a minimum but not as a maximum.
  IF ((min_x <= max_x AND min_y <= max_y AND min_z <= max_z) IS NOT TRUE)
     OR 'NaN' IN (max_x, max_y, max_z) THEN
    PERFORM hartonomous_internal.raise_error('22023',
      'a region needs a minimum and a maximum on each axis, and no maximum may be below its minimum',
      detail => format('Got (%s) for min_x, max_x, min_y, max_y, min_z, max_z.',
        array_to_string(ARRAY[min_x, max_x, min_y, max_y, min_z, max_z], ', ', 'NULL')),
      hint => 'For example hartonomous.region(0, 50, 0, 50, -10, 10).');
  END IF;
  RETURN ARRAY[min_x, max_x, min_y, max_y, min_z, max_z];
END
$$;
COMMENT ON FUNCTION hartonomous.region(real, real, real, real, real, real) IS
  'a box in the space of atoms as six numbers, including its faces; a side at infinity is open; 22023 if a number is '
  'missing or NaN, or a maximum is below its minimum';
CREATE FUNCTION hartonomous.region(box geometry) RETURNS real[]
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 250
  RETURN hartonomous.region(
    ST_XMin(box)::real, ST_XMax(box)::real, ST_YMin(box)::real, ST_YMax(box)::real,
    CASE WHEN ST_Zmflag(box) < 2 THEN '-Infinity' ELSE ST_ZMin(box)::real END,
    CASE WHEN ST_Zmflag(box) < 2 THEN 'Infinity' ELSE ST_ZMax(box)::real END);
CREATE FUNCTION hartonomous.in_region(point geometry, quantized bytea, region real[]) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN point &&& hartonomous_internal.region_geometry(region)
         OR (quantized IS NOT NULL
             AND hartonomous.dequantize_geometry(quantized) &&& hartonomous_internal.region_geometry(region));
-- The box is tested first because the indexes support that test. It also bounds z, which ST_Intersects() ignores.
-- Positions have no SRID.
CREATE FUNCTION hartonomous.in_geometry(point geometry, quantized bytea, shape geometry) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 250
  RETURN hartonomous.in_region(point, quantized, hartonomous.region(shape))
         AND ST_Intersects(hartonomous.atom_position(point, quantized), ST_SetSRID(shape, 0));
COMMENT ON FUNCTION hartonomous.region(geometry) IS
  'the bounding box of a geometry as a region; without z it is open above and below; 22023 if it is empty';
COMMENT ON FUNCTION hartonomous.in_region(geometry, bytea, real[]) IS
  'whether an atom lies in a region, from weights_geometry or quantized_position, whichever is not NULL';
COMMENT ON FUNCTION hartonomous.in_geometry(geometry, bytea, geometry) IS
  'whether an atom lies in a geometry in x and y and, if that has z, between its lowest and highest point; 22023 if '
  'it is empty';
