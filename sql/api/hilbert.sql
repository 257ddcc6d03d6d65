-- The Hilbert index of a point of model space.

CREATE FUNCTION hartonomous.hilbert_index(x real, y real, z real) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.hilbert_index(real, real, real) IS
  'position along a 3-D Hilbert curve with 21 bits per axis (Skilling 2004) of a point with x and y in [0, 100] and z '
  'in [-10, 10]; NULL outside';
