-- Singular value decomposition of matrices. Those of a model: api/svd_model.sql.

CREATE TYPE hartonomous.svd_factors AS (
  u hartonomous.weights, s real[], vt hartonomous.weights,
  rows integer, cols integer, rank integer, explained_variance double precision
);
COMMENT ON TYPE hartonomous.svd_factors IS
  'a matrix as U (rows x rank), s (rank, descending) and VT (rank x cols), row after row; explained_variance is the '
  'sum of s² by the sum of squares of the matrix';

-- ---- the original design's interface ---------------------------------------------------------------------------

CREATE FUNCTION hartonomous.svd_decompose(weights json, rows integer, cols integer, max_rank integer) RETURNS json
  AS 'MODULE_PATHNAME', 'svd_decompose_json' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_decompose(json, integer, integer, integer) IS
  'truncated singular value decomposition of a matrix given as an array of numbers or of rows: '
  '{"U","S","VT","Rank","ExplainedVariance"}; 22P02 no matrix, 2202E not rows x cols, 22003 a number no real can hold, '
  '22023 a rank that is not positive; a rank above the matrix''s is lowered with a NOTICE';

CREATE FUNCTION hartonomous.reconstruct_from_svd(u json, s json, vt json) RETURNS json
  AS 'MODULE_PATHNAME', 'reconstruct_from_svd' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.reconstruct_from_svd(json, json, json) IS
  'U diag(S) VT as one array of numbers, row after row; 2202E when they do not fit each other';

-- ---- the same on arrays and weights ----------------------------------------------------------------------------

CREATE FUNCTION hartonomous.svd_decompose(matrix hartonomous.weights, rows integer, cols integer,
    max_rank integer DEFAULT NULL, energy double precision DEFAULT 1, seed bigint DEFAULT 0)
  RETURNS hartonomous.svd_factors
  AS 'MODULE_PATHNAME', 'svd_decompose_weights' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_decompose(hartonomous.weights, integer, integer, integer, double precision,
  bigint) IS
  'truncated singular value decomposition, row after row: the least rank that explains `energy` of the sum of squares, '
  'at most max_rank; error at most 0.02 % above the best of its rank; the same result for a seed with any number of '
  'threads; 2202E not rows x cols, 22003 NaN or infinity in it, 22023 rank, energy or size out of range, 53200 beyond '
  'hartonomous.max_work_memory';

CREATE FUNCTION hartonomous.svd_decompose(matrix real[], rows integer, cols integer,
    max_rank integer DEFAULT NULL, energy double precision DEFAULT 1, seed bigint DEFAULT 0)
  RETURNS hartonomous.svd_factors
  AS 'MODULE_PATHNAME', 'svd_decompose_real_array' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_decompose(real[], integer, integer, integer, double precision, bigint) IS
  'the same of an array';

CREATE FUNCTION hartonomous.svd_reconstruct(factors hartonomous.svd_factors) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_reconstruct(hartonomous.svd_factors) IS
  'the matrix that factors stand for, in F32; 2202E when they do not fit each other';

CREATE FUNCTION hartonomous.svd_error(original hartonomous.weights, factors hartonomous.svd_factors)
  RETURNS double precision
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_error(hartonomous.weights, hartonomous.svd_factors) IS
  'Frobenius norm of what factors leave of a matrix by that of the matrix, measured; infinity when only the matrix is '
  'zero; 2202E when they do not fit';

CREATE FUNCTION hartonomous.svd_residual(original hartonomous.weights, factors hartonomous.svd_factors)
  RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_residual(hartonomous.weights, hartonomous.svd_factors) IS
  'what factors leave of a matrix, in F32; 2202E when they do not fit';

CREATE FUNCTION hartonomous.svd_check(factors hartonomous.svd_factors,
    OUT finite boolean, OUT descending boolean, OUT smallest_ratio double precision,
    OUT u_orthonormality double precision, OUT vt_orthonormality double precision)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_check(hartonomous.svd_factors) IS
  'what factors are like by themselves: whether all numbers are finite and s descends, its last by its first, and the '
  'largest deviation of UᵀU and VT VTᵀ from the identity; 2202E when they do not fit each other';

CREATE FUNCTION hartonomous.quantize_factors(f hartonomous.svd_factors, format text) RETURNS hartonomous.svd_factors
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5000
  RETURN ROW(hartonomous.quantize((f).u, format), (f).s, hartonomous.quantize((f).vt, format), (f).rows, (f).cols,
             (f).rank, (f).explained_variance)::hartonomous.svd_factors;
COMMENT ON FUNCTION hartonomous.quantize_factors(hartonomous.svd_factors, text) IS
  'factors with U and VT in another format';

CREATE FUNCTION hartonomous.weights_slice(w hartonomous.weights, first bigint, count bigint) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_slice(hartonomous.weights, bigint, bigint) IS
  '`count` weights from `first` (from 0) on, in the same format; 22023 outside the run, or when blocks would '
  'have to be cut';
