-- A region as a geometry, for the operators of PostGIS.

-- Inlined, so that queries can use the indexes on either form of position. The operator compares in real, the type of
-- coordinates and bounds, so the comparison is exact.
CREATE FUNCTION hartonomous_internal.region_geometry(region real[]) RETURNS geometry
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN ST_MakeLine(ST_MakePoint(region[1], region[3], region[5]),
                          ST_MakePoint(region[2], region[4], region[6]));
COMMENT ON FUNCTION hartonomous_internal.region_geometry(real[]) IS
  'the diagonal of a region, which has the region as its bounding box';
