-- Singular value decomposition of matrices. For the tensors of a model see api/svd_model.sql.

CREATE TYPE hartonomous.svd_factors AS (
  u hartonomous.weights, s real[], vt hartonomous.weights,
  rows integer, cols integer, rank integer, explained_variance double precision
);
COMMENT ON TYPE hartonomous.svd_factors IS
  'a matrix as U (rows x rank), s (rank, descending) and VT (rank x cols), row by row; explained_variance is the sum '
  'of s² divided by the sum of squares of the matrix';

-- ---- the original design's interface ---------------------------------------------------------------------------

CREATE FUNCTION hartonomous.svd_decompose(weights json, rows integer, cols integer, max_rank integer) RETURNS json
  AS 'MODULE_PATHNAME', 'svd_decompose_json' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_decompose(json, integer, integer, integer) IS
  'truncated singular value decomposition of a matrix given as a JSON array of numbers or of rows: {"U","S","VT",'
  '"Rank","ExplainedVariance"}; a rank above that of the matrix is lowered with a NOTICE; 22P02 if it is not a matrix, '
  '2202E if there are not rows x cols numbers, 22003 if a number is out of range for real, 22023 if the rank is '
  'not positive';

CREATE FUNCTION hartonomous.reconstruct_from_svd(u json, s json, vt json) RETURNS json
  AS 'MODULE_PATHNAME', 'reconstruct_from_svd' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.reconstruct_from_svd(json, json, json) IS
  'U diag(S) VT as one array of numbers, row by row; 2202E if the factors do not fit each other';

-- ---- the same for arrays and weights ---------------------------------------------------------------------------

CREATE FUNCTION hartonomous.svd_decompose(matrix hartonomous.weights, rows integer, cols integer,
    max_rank integer DEFAULT NULL, energy double precision DEFAULT 1, seed bigint DEFAULT 0)
  RETURNS hartonomous.svd_factors
  AS 'MODULE_PATHNAME', 'svd_decompose_weights' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_decompose(hartonomous.weights, integer, integer, integer, double precision,
  bigint) IS
  'truncated singular value decomposition, row by row: the lowest rank that explains the share `energy` of the sum of '
  'squares, at most max_rank; the error is at most 0.02 % above that of the best approximation of the same rank; the '
  'result depends on the seed and not on the number of threads; 2202E if there are not rows x cols numbers, 22003 on '
  'NaN or infinity, 22023 if rank, energy or size is out of range, 53200 if it needs more than '
  'hartonomous.max_work_memory';

CREATE FUNCTION hartonomous.svd_decompose(matrix real[], rows integer, cols integer, max_rank integer DEFAULT NULL,
    energy double precision DEFAULT 1, seed bigint DEFAULT 0)
  RETURNS hartonomous.svd_factors
  AS 'MODULE_PATHNAME', 'svd_decompose_real_array' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_decompose(real[], integer, integer, integer, double precision, bigint) IS
  'the same for an array';

CREATE FUNCTION hartonomous.svd_reconstruct(factors hartonomous.svd_factors) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_reconstruct(hartonomous.svd_factors) IS
  'the product of factors, in F32; 2202E if they do not fit each other';

CREATE FUNCTION hartonomous.svd_error(original hartonomous.weights, factors hartonomous.svd_factors)
  RETURNS double precision
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_error(hartonomous.weights, hartonomous.svd_factors) IS
  'Frobenius norm of the residual divided by that of the matrix; infinity if only the matrix is zero; 2202E if '
  'they do not fit';

CREATE FUNCTION hartonomous.svd_residual(original hartonomous.weights, factors hartonomous.svd_factors)
  RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_residual(hartonomous.weights, hartonomous.svd_factors) IS
  'the residual: a matrix minus the product of its factors, in F32; 2202E if they do not fit';

CREATE FUNCTION hartonomous.svd_check(factors hartonomous.svd_factors, OUT finite boolean, OUT descending boolean,
    OUT smallest_ratio double precision, OUT u_orthonormality double precision, OUT vt_orthonormality double precision)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.svd_check(hartonomous.svd_factors) IS
  'properties of factors: whether all numbers are finite and s descends, its last value divided by its first, and the '
  'largest deviation of UᵀU and VT VTᵀ from the identity; 2202E if they do not fit each other';

CREATE FUNCTION hartonomous.quantize_factors(f hartonomous.svd_factors, format text) RETURNS hartonomous.svd_factors
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5000
  RETURN ROW(hartonomous.quantize((f).u, format), (f).s, hartonomous.quantize((f).vt, format), (f).rows, (f).cols,
             (f).rank, (f).explained_variance)::hartonomous.svd_factors;
COMMENT ON FUNCTION hartonomous.quantize_factors(hartonomous.svd_factors, text) IS
  'factors with U and VT converted to another format';

CREATE FUNCTION hartonomous.weights_slice(w hartonomous.weights, first bigint, count bigint) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_slice(hartonomous.weights, bigint, bigint) IS
  '`count` weights from number `first` (counted from 0) on, in the same format; 22023 if they are out of range or a '
  'block would have to be cut';
