-- Coordinate codecs of the original design: the place of an atom in 3, 6 or 12 bytes, runs of coordinates in 4 bits.
-- These are for coordinates. Weights use quantize() (10-weights.sql), whose Q4_K is ggml's and another layout.

CREATE FUNCTION hartonomous.quantize_q8(x real, y real, z real) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.quantize_q8(real, real, real) IS
  'a point as 3 bytes: x and y from [0, 100], z from [-10, 10], each onto 0..255, rounded half to even; 22003 out of range or NaN';
CREATE FUNCTION hartonomous.dequantize_q8(bytea, OUT x real, OUT y real, OUT z real)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.dequantize_q8(bytea) IS 'the point of quantize_q8; 22P03 when not 3 bytes';

CREATE FUNCTION hartonomous.encode_point(x real, y real, z real, format text) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.encode_point(real, real, real, text) IS
  'a point as F32 (12 bytes), F16 (6) or Q8_0 (3); 22003 for NaN, infinity or, for Q8_0, a point outside the space; 22023 on another format';
CREATE FUNCTION hartonomous.decode_point(bytea, OUT x real, OUT y real, OUT z real)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.decode_point(bytea) IS
  'the point of encode_point, told by its length; 22P03 when it is not 3, 6 or 12 bytes or a coordinate is not finite';

-- PostGIS may live in any schema, and move to another one. So no text of a function names its schema: functions in SQL
-- (RETURN) are bound to PostGIS's functions when they are created, others look the schema up. Decoding is an expression and no query, so that it is inlined, also into indexes.
DO $$
DECLARE
  postgis name := hartonomous.postgis_schema();
BEGIN
  EXECUTE pg_catalog.format($ddl$
    CREATE FUNCTION hartonomous.point_coordinates(point %1$I.geometry) RETURNS double precision[]
      LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
      RETURN CASE WHEN %1$I.GeometryType(point) = 'POINT' AND %1$I.ST_Zmflag(point) = 2 AND NOT %1$I.ST_IsEmpty(point)
                  THEN ARRAY[%1$I.ST_X(point), %1$I.ST_Y(point), %1$I.ST_Z(point)] END;
    CREATE FUNCTION hartonomous.geometry_text(geometry %1$I.geometry) RETURNS text
      LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 250
      RETURN %1$I.ST_AsText(geometry);
    COMMENT ON FUNCTION hartonomous.point_coordinates(%1$I.geometry) IS
      'x, y and z of a PointZ; NULL when it is another geometry';
    COMMENT ON FUNCTION hartonomous.geometry_text(%1$I.geometry) IS 'a geometry as text, for messages';
    CREATE FUNCTION hartonomous.quantize_geometry(point %1$I.geometry, format text DEFAULT 'Q8_0') RETURNS bytea
      LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 250
      SET search_path = pg_catalog, pg_temp
    AS $body$
    DECLARE
      given double precision[] := hartonomous.point_coordinates(point);
    BEGIN
      IF given IS NULL THEN
        RAISE EXCEPTION 'a point with x, y and z expected' USING ERRCODE = '22023',
          DETAIL = pg_catalog.format('Got %%s.', pg_catalog.left(hartonomous.geometry_text(point), 100));
      END IF;
      RETURN hartonomous.encode_point(given[1]::real, given[2]::real, given[3]::real, format);
    END
    $body$;
    CREATE FUNCTION hartonomous.dequantize_geometry(point bytea) RETURNS %1$I.geometry
      LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
      RETURN %1$I.ST_MakePoint((hartonomous.decode_point(point)).x, (hartonomous.decode_point(point)).y,
                               (hartonomous.decode_point(point)).z);
    -- PostGIS's distances and its indexes give no answer, or different ones, for what is not finite. Not STRICT: a CASE is
    -- not inlined into a strict function.
    CREATE FUNCTION hartonomous.atom_position(x real, y real, z real) RETURNS %1$I.geometry
      LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
      RETURN CASE WHEN abs(x) < 'Infinity' AND abs(y) < 'Infinity' AND abs(z) < 'Infinity'
                  THEN %1$I.ST_MakePoint(x, y, z) END;
    CREATE FUNCTION hartonomous.atom_position(point %1$I.geometry, quantized bytea) RETURNS %1$I.geometry
      LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 50
      RETURN coalesce(point, hartonomous.dequantize_geometry(quantized));
    CREATE FUNCTION hartonomous.quantize_geometry_q8(point %1$I.geometry) RETURNS bytea
      LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 250
      RETURN hartonomous.quantize_geometry(point, 'Q8_0');
    CREATE FUNCTION hartonomous.dequantize_geometry_q8(point bytea) RETURNS %1$I.geometry
      LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
      RETURN %1$I.ST_MakePoint((hartonomous.dequantize_q8(point)).x, (hartonomous.dequantize_q8(point)).y,
                               (hartonomous.dequantize_q8(point)).z);
    COMMENT ON FUNCTION hartonomous.quantize_geometry(%1$I.geometry, text) IS
      'a PointZ as F32 (12 bytes), F16 (6) or Q8_0 (3); 22023 when it is no PointZ or the format is another; 22003 outside the space (Q8_0), NaN or infinity';
    COMMENT ON FUNCTION hartonomous.dequantize_geometry(bytea) IS
      'the PointZ of quantize_geometry; 22P03 when it is not 3, 6 or 12 bytes or a coordinate is not finite';
    COMMENT ON FUNCTION hartonomous.atom_position(real, real, real) IS
      'the PointZ of three coordinates; NULL when one of them is NULL, NaN or infinite';
    COMMENT ON FUNCTION hartonomous.atom_position(%1$I.geometry, bytea) IS
      'the position of an atom by weights_geometry or weights_geometry_q8, whichever it has; NULL when it has neither';
    COMMENT ON FUNCTION hartonomous.quantize_geometry_q8(%1$I.geometry) IS
      'a PointZ as 3 bytes; 22023 when it is no PointZ, 22003 outside the space';
    COMMENT ON FUNCTION hartonomous.dequantize_geometry_q8(bytea) IS
      'the PointZ of quantize_geometry_q8; 22P03 when it is not 3 bytes';
    $ddl$, postgis);
END
$$;

CREATE FUNCTION hartonomous.quantize_q4k(coordinates real[], block_size integer DEFAULT 256) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.quantize_q4k(real[], integer) IS
  'coordinates in blocks of float4 scale, float4 minimum and nibbles, high one first (not ggml''s Q4_K); a constant block is exact; 22004 on a NULL element, 22003 on NaN or infinity, 22023 on a block_size outside 1..2^24';
CREATE FUNCTION hartonomous.dequantize_q4k(coordinates bytea, original_length bigint, block_size integer DEFAULT 256)
  RETURNS real[]
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.dequantize_q4k(bytea, bigint, integer) IS
  'the coordinates of quantize_q4k; 22P03 when the bytes are not exactly those of original_length, 22023 on a negative length or a bad block_size';

CREATE FUNCTION hartonomous.quantize_q4k_transition(internal, real) RETURNS internal
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.quantize_q4k_transition(internal, real) IS 'transition of quantize_q4k(real)';
CREATE FUNCTION hartonomous.quantize_q4k_transition(internal, real, integer) RETURNS internal
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.quantize_q4k_transition(internal, real, integer) IS
  'transition of quantize_q4k(real, integer)';
CREATE FUNCTION hartonomous.quantize_q4k_final(internal) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.quantize_q4k_final(internal) IS 'result of the aggregates quantize_q4k';
-- No combine function: where one worker's rows end and another's begin changes the blocks, so order is the result.
CREATE AGGREGATE hartonomous.quantize_q4k(coordinate real) (
  SFUNC = hartonomous.quantize_q4k_transition, STYPE = internal, SSPACE = 4096,
  FINALFUNC = hartonomous.quantize_q4k_final, PARALLEL = SAFE
);
CREATE AGGREGATE hartonomous.quantize_q4k(coordinate real, block_size integer) (
  SFUNC = hartonomous.quantize_q4k_transition, STYPE = internal, SSPACE = 4096,
  FINALFUNC = hartonomous.quantize_q4k_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE hartonomous.quantize_q4k(real) IS
  'quantize_q4k over rows, for example quantize_q4k(x ORDER BY atom_sequence); NULL for no rows; 22004 on a NULL coordinate';
COMMENT ON AGGREGATE hartonomous.quantize_q4k(real, integer) IS
  'quantize_q4k over rows in blocks of block_size; NULL for no rows; 22004 on a NULL coordinate or block_size, 22023 when block_size changes between rows';
