-- The Hilbert index of a point of model space.

CREATE FUNCTION hartonomous.hilbert_index(x real, y real, z real) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.hilbert_index(real, real, real) IS
  'position on the 3-D Hilbert curve, 21 bits an axis, of a point with x and y in [0, 100] and z in [-10, 10]; NULL '
  'outside (Skilling 2004)';
