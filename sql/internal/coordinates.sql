-- Parts of the coordinate codecs: reading PostGIS points, and the transition and final functions of the aggregates.

-- PostGIS may be installed in any schema and may be moved to another one, so no function contains the name of its
-- schema as text. SQL functions with RETURN are bound to PostGIS's functions when they are created; other functions
-- look the schema up at run time. Decoding is an expression and not a query, so that it can be inlined, also into index
-- expressions.
CREATE FUNCTION hartonomous_internal.point_coordinates(point geometry) RETURNS double precision[]
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN CASE WHEN GeometryType(point) = 'POINT' AND ST_Zmflag(point) = 2 AND NOT ST_IsEmpty(point)
              THEN ARRAY[ST_X(point), ST_Y(point), ST_Z(point)] END;
CREATE FUNCTION hartonomous_internal.geometry_text(geometry geometry) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 250
  RETURN ST_AsText(geometry);
COMMENT ON FUNCTION hartonomous_internal.point_coordinates(geometry) IS
  'x, y and z of a PointZ; NULL for any other geometry';
COMMENT ON FUNCTION hartonomous_internal.geometry_text(geometry) IS 'a geometry as text, for messages';

CREATE FUNCTION hartonomous_internal.quantize_q4k_transition(internal, real) RETURNS internal
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.quantize_q4k_transition(internal, real) IS
  'transition function of quantize_q4k(real)';
CREATE FUNCTION hartonomous_internal.quantize_q4k_transition(internal, real, integer) RETURNS internal
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.quantize_q4k_transition(internal, real, integer) IS
  'transition function of quantize_q4k(real, integer)';
CREATE FUNCTION hartonomous_internal.quantize_q4k_final(internal) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.quantize_q4k_final(internal) IS
  'final function of the aggregates quantize_q4k';
