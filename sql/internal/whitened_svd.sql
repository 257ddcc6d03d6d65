-- Decomposition of tensors for the inputs that calibration has seen: the factors that lose least of the outputs.

CREATE FUNCTION hartonomous_internal.whitened_factors(matrix hartonomous.weights, model integer, revision integer,
    calibration_set text, tensor text, max_rank integer, energy double precision) RETURNS hartonomous.svd_factors
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.whitened_factors(hartonomous.weights, integer, integer, text, text, integer,
  double precision) IS
  'factors of a matrix for the inputs of a tensor, by the Gram matrix that was collected for a revision: the '
  'lowest rank '
  'that explains the share energy of the outputs, at most max_rank (Wang et al. 2024, SVD-LLM); '
  'explained_variance is a '
  'share of the outputs, too; 2202E if the matrix has no rows of that length, 55000 if there is no Gram '
  'matrix or it is '
  'damaged, 22003 on NaN or infinity, 53200 beyond hartonomous.max_work_memory';

CREATE FUNCTION hartonomous_internal.output_error(matrix hartonomous.weights, factors hartonomous.svd_factors,
    model integer, revision integer, calibration_set text, tensor text) RETURNS double precision
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.output_error(hartonomous.weights, hartonomous.svd_factors, integer, integer,
  text, text) IS
  'the root of tr(D G D^T) / tr(W G W^T): what replacing a matrix W by factors, with difference D, changes in '
  'its outputs '
  'on the inputs of a calibration set, relative to these; errors as whitened_factors(), 2202E if the '
  'factors do not fit';
