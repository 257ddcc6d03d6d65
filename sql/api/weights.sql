-- Functions on weights: quantize, dequantize, measure, and read the weights of a tensor.

-- Casts

CREATE FUNCTION hartonomous.weights(real[]) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'weights_from_real_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights(real[]) IS
  'weights in F32 from an array, in storage order; 22004 if an element is NULL';

CREATE FUNCTION hartonomous.weights(format text, count bigint, blocks bytea) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'weights_from_blocks' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights(text, bigint, bytea) IS
  'weights from raw blocks; 22P03 if the blocks do not have the length that the count requires, 22023 if the '
  'format is unknown';

CREATE FUNCTION hartonomous.dequantize(hartonomous.weights) RETURNS real[]
  AS 'MODULE_PATHNAME', 'dequantize_weights' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.dequantize(hartonomous.weights) IS
  'the weights as real[], decoded as ggml does; 0A000 if the format is only carried';

CREATE CAST (real[] AS hartonomous.weights) WITH FUNCTION hartonomous.weights(real[]) AS ASSIGNMENT;
CREATE CAST (hartonomous.weights AS real[]) WITH FUNCTION hartonomous.dequantize(hartonomous.weights) AS ASSIGNMENT;
CREATE CAST (hartonomous.weights AS bytea) WITH FUNCTION hartonomous_internal.weights_to_bytea(hartonomous.weights);

-- Quantization of weights (for coordinates see api/coordinates.sql)

CREATE FUNCTION hartonomous.quantize(hartonomous.weights, format text) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_weights' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
CREATE FUNCTION hartonomous.quantize(hartonomous.weights, format text, importance real[]) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_weights' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
CREATE FUNCTION hartonomous.quantize(real[], format text) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_real_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
CREATE FUNCTION hartonomous.quantize(real[], format text, importance real[]) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_real_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.quantize(hartonomous.weights, text) IS
  'weights converted to another ggml format, with the bytes that llama.cpp writes; a partial last block is padded with '
  'zeros; 22003 on NaN, infinity or a scale that overflows, 0A000 if the format cannot be written';
COMMENT ON FUNCTION hartonomous.quantize(hartonomous.weights, text, real[]) IS
  'the same, minimizing the error weighted by importance (one non-negative number per weight); 2202E if the lengths '
  'differ, 22023 on invalid importance';
COMMENT ON FUNCTION hartonomous.quantize(real[], text) IS
  'an array encoded in a ggml format, with the bytes that llama.cpp writes; a partial last block is padded with zeros; '
  '22003 on NaN, infinity or a scale that overflows, 0A000 if the format cannot be written';
COMMENT ON FUNCTION hartonomous.quantize(real[], text, real[]) IS
  'the same, minimizing the error weighted by importance (one non-negative number per weight); 2202E if the lengths '
  'differ, 22023 on invalid importance';

-- Accessors

CREATE FUNCTION hartonomous.weights_format(hartonomous.weights) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_format(hartonomous.weights) IS 'ggml name of the format, such as Q4_K';
CREATE FUNCTION hartonomous.weights_count(hartonomous.weights) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_count(hartonomous.weights) IS 'number of weights, without padding';
CREATE FUNCTION hartonomous.weights_bytes(hartonomous.weights) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.weights_bytes(hartonomous.weights) IS 'number of bytes of the blocks';
CREATE FUNCTION hartonomous.weights_rms(hartonomous.weights) RETURNS double precision
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.weights_rms(hartonomous.weights) IS
  'root mean square of the weights; 0 if there are none';
CREATE FUNCTION hartonomous.relative_error(original hartonomous.weights, approximation hartonomous.weights)
  RETURNS double precision
  AS 'MODULE_PATHNAME', 'weights_relative_error' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.relative_error(hartonomous.weights, hartonomous.weights) IS
  '|original - approximation| / |original| in the Euclidean norm; 2202E if the counts differ';
CREATE FUNCTION hartonomous.dot(hartonomous.weights, hartonomous.weights) RETURNS double precision
  AS 'MODULE_PATHNAME', 'weights_dot' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.dot(hartonomous.weights, hartonomous.weights) IS
  'dot product, in double precision; 2202E if the counts differ';

CREATE FUNCTION hartonomous.matvec(matrix hartonomous.weights, vector real[]) RETURNS real[]
  AS 'MODULE_PATHNAME', 'weights_matvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.matvec(hartonomous.weights, real[]) IS
  'matrix times vector; the weights are the rows of the matrix one after the other, each as long as the vector; sums '
  'are in double precision; 2202E if the length of the vector does not divide the count';

CREATE FUNCTION hartonomous.formats()
  RETURNS TABLE (format text, ggml_type integer, block_weights integer, block_bytes integer,
                 readable boolean, writable boolean)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50 ROWS 32;
COMMENT ON FUNCTION hartonomous.formats() IS
  'all formats of weights: ggml''s type ids, block sizes, and whether they can be decoded (readable) and '
  'encoded (writable)';

CREATE FUNCTION hartonomous.tensor_weights(model hartonomous.regmodel, tensor text, revision integer DEFAULT NULL)
  RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.tensor_weights(hartonomous.regmodel, text, integer) IS
  'the weights of a tensor of the live revision, or of another one, in F32, whether it is stored as atoms (missing '
  'ones are zeros), factors, or both; 42704 if there is no such model or tensor, 22023 if there is no such revision, '
  '53200 if it needs more than hartonomous.max_work_memory';
