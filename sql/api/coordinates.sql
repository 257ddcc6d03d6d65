-- Coordinate codecs of the original design: the position of an atom in 3, 6 or 12 bytes, and runs of coordinates in 4
-- bits each. They are for coordinates only. Weights are quantized by quantize() (api/weights.sql), whose Q4_K is ggml's
-- and has a different layout.

CREATE FUNCTION hartonomous.quantize_q8(x real, y real, z real) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.quantize_q8(real, real, real) IS
  'a point in 3 bytes: x and y from [0, 100] and z from [-10, 10], each mapped onto 0..255 and rounded half to even; '
  '22003 if out of range or NaN';
CREATE FUNCTION hartonomous.dequantize_q8(bytea, OUT x real, OUT y real, OUT z real)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.dequantize_q8(bytea) IS
  'the point encoded by quantize_q8; 22P03 if there are not 3 bytes';

CREATE FUNCTION hartonomous.encode_point(x real, y real, z real, format text) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.encode_point(real, real, real, text) IS
  'a point in F32 (12 bytes), F16 (6) or Q8_0 (3); 22003 on NaN, infinity or, for Q8_0, a point outside the space; '
  '22023 if there is no such format';
CREATE FUNCTION hartonomous.decode_point(bytea, OUT x real, OUT y real, OUT z real)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.decode_point(bytea) IS
  'the point encoded by encode_point, whose format follows from the length; 22P03 if there are not 3, 6 or 12 bytes or '
  'a coordinate is not finite';
CREATE FUNCTION hartonomous.quantize_geometry(point geometry, format text DEFAULT 'Q8_0') RETURNS bytea
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  given double precision[] := hartonomous_internal.point_coordinates(point);
BEGIN
  IF given IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', 'a point with x, y and z expected',
      detail => pg_catalog.format('Got %s.', pg_catalog.left(hartonomous_internal.geometry_text(point), 100)),
      hint => 'ST_MakePoint(x, y, z) makes one.');
  END IF;
  RETURN hartonomous.encode_point(given[1]::real, given[2]::real, given[3]::real, format);
END
$$;
CREATE FUNCTION hartonomous.dequantize_geometry(point bytea) RETURNS geometry
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN ST_MakePoint((hartonomous.decode_point(point)).x, (hartonomous.decode_point(point)).y,
                           (hartonomous.decode_point(point)).z);
-- NULL for non-finite coordinates, for which PostGIS's distance functions and index searches return no results or
-- disagree with each other. Not STRICT, because a CASE is not inlined into a strict function.
CREATE FUNCTION hartonomous.atom_position(x real, y real, z real) RETURNS geometry
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN CASE WHEN abs(x) < 'Infinity' AND abs(y) < 'Infinity' AND abs(z) < 'Infinity'
              THEN ST_MakePoint(x, y, z) END;
CREATE FUNCTION hartonomous.atom_position(point geometry, quantized bytea) RETURNS geometry
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 50
  RETURN coalesce(point, hartonomous.dequantize_geometry(quantized));
CREATE FUNCTION hartonomous.quantize_geometry_q8(point geometry) RETURNS bytea
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 250
  RETURN hartonomous.quantize_geometry(point, 'Q8_0');
CREATE FUNCTION hartonomous.dequantize_geometry_q8(point bytea) RETURNS geometry
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN ST_MakePoint((hartonomous.dequantize_q8(point)).x, (hartonomous.dequantize_q8(point)).y,
                           (hartonomous.dequantize_q8(point)).z);
COMMENT ON FUNCTION hartonomous.quantize_geometry(geometry, text) IS
  'a PointZ in F32 (12 bytes), F16 (6) or Q8_0 (3); 22023 if it is not a PointZ or there is no such format; 22003 if '
  'it is outside the space (Q8_0) or not finite';
COMMENT ON FUNCTION hartonomous.dequantize_geometry(bytea) IS
  'the PointZ encoded by quantize_geometry; 22P03 if there are not 3, 6 or 12 bytes or a coordinate is not finite';
COMMENT ON FUNCTION hartonomous.atom_position(real, real, real) IS
  'the PointZ with these coordinates; NULL if one of them is NULL, NaN or infinite';
COMMENT ON FUNCTION hartonomous.atom_position(geometry, bytea) IS
  'the position of an atom, from weights_geometry or quantized_position, whichever is not NULL; NULL if both are';
COMMENT ON FUNCTION hartonomous.quantize_geometry_q8(geometry) IS
  'a PointZ in 3 bytes; 22023 if it is not a PointZ, 22003 if it is outside the space';
COMMENT ON FUNCTION hartonomous.dequantize_geometry_q8(bytea) IS
  'the PointZ encoded by quantize_geometry_q8; 22P03 if there are not 3 bytes';

CREATE FUNCTION hartonomous.quantize_q4k(coordinates real[], block_size integer DEFAULT 256) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.quantize_q4k(real[], integer) IS
  'coordinates in blocks of a float4 scale, a float4 minimum and nibbles, high nibble first (not ggml''s Q4_K); a '
  'constant block is exact; 22004 if an element is NULL, 22003 on NaN or infinity, 22023 if block_size is '
  'outside 1..2^24';
CREATE FUNCTION hartonomous.dequantize_q4k(coordinates bytea, original_length bigint, block_size integer DEFAULT 256)
  RETURNS real[]
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.dequantize_q4k(bytea, bigint, integer) IS
  'the coordinates encoded by quantize_q4k; 22P03 if the number of bytes does not fit original_length, 22023 if the '
  'length is negative or block_size is out of range';
-- There is no combine function: the boundaries between the rows of parallel workers would change the blocks. The result
-- depends on the order of the rows.
CREATE AGGREGATE hartonomous.quantize_q4k(coordinate real) (
  SFUNC = hartonomous_internal.quantize_q4k_transition, STYPE = internal, SSPACE = 4096,
  FINALFUNC = hartonomous_internal.quantize_q4k_final, PARALLEL = SAFE
);
CREATE AGGREGATE hartonomous.quantize_q4k(coordinate real, block_size integer) (
  SFUNC = hartonomous_internal.quantize_q4k_transition, STYPE = internal, SSPACE = 4096,
  FINALFUNC = hartonomous_internal.quantize_q4k_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE hartonomous.quantize_q4k(real) IS
  'quantize_q4k as an aggregate, for example quantize_q4k(x ORDER BY atom_sequence); NULL if there are no rows; 22004 '
  'if a coordinate is NULL';
COMMENT ON AGGREGATE hartonomous.quantize_q4k(real, integer) IS
  'quantize_q4k as an aggregate, in blocks of block_size; NULL if there are no rows; 22004 if a coordinate or '
  'block_size is NULL, 22023 if block_size differs between rows';
