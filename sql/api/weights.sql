-- Weights: quantized, dequantized, measured; those of a model's tensor.

-- Casts

CREATE FUNCTION hartonomous.weights(real[]) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'weights_from_real_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights(real[]) IS 'F32 weights of an array, in storage order; 22004 on a NULL element';

CREATE FUNCTION hartonomous.weights(format text, count bigint, blocks bytea) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'weights_from_blocks' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights(text, bigint, bytea) IS
  'weights from raw blocks; 22P03 when the blocks are not exactly what the count needs, 22023 on an unknown format';

CREATE FUNCTION hartonomous.dequantize(hartonomous.weights) RETURNS real[]
  AS 'MODULE_PATHNAME', 'dequantize_weights' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.dequantize(hartonomous.weights) IS
  'the weights as real[], as ggml dequantizes them; 0A000 for formats that are only carried';

CREATE FUNCTION hartonomous.weights_to_bytea(hartonomous.weights) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_to_bytea(hartonomous.weights) IS 'the raw blocks';

CREATE CAST (real[] AS hartonomous.weights) WITH FUNCTION hartonomous.weights(real[]) AS ASSIGNMENT;
CREATE CAST (hartonomous.weights AS real[]) WITH FUNCTION hartonomous.dequantize(hartonomous.weights) AS ASSIGNMENT;
CREATE CAST (hartonomous.weights AS bytea) WITH FUNCTION hartonomous.weights_to_bytea(hartonomous.weights);

-- Quantization of weights (of coordinates: api/coordinates.sql)

CREATE FUNCTION hartonomous.quantize(hartonomous.weights, format text) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_weights' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
CREATE FUNCTION hartonomous.quantize(hartonomous.weights, format text, importance real[]) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_weights' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
CREATE FUNCTION hartonomous.quantize(real[], format text) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_real_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
CREATE FUNCTION hartonomous.quantize(real[], format text, importance real[]) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_real_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.quantize(hartonomous.weights, text) IS
  'weights in another ggml format, byte for byte as llama.cpp quantizes; a last partial block is padded with zeros; '
  '22003 on NaN, infinity or an overflowing scale, 0A000 for a format that is not written';
COMMENT ON FUNCTION hartonomous.quantize(hartonomous.weights, text, real[]) IS
  'the same, minimising the error weighted by importance (one non-negative number per weight); 2202E when lengths '
  'differ, 22023 on a bad importance';
COMMENT ON FUNCTION hartonomous.quantize(real[], text) IS
  'an array in a ggml format, byte for byte as llama.cpp quantizes; a last partial block is padded with zeros; 22003 '
  'on NaN, infinity or an overflowing scale, 0A000 for a format that is not written';
COMMENT ON FUNCTION hartonomous.quantize(real[], text, real[]) IS
  'the same, minimising the error weighted by importance (one non-negative number per weight); 2202E when lengths '
  'differ, 22023 on a bad importance';

-- Accessors

CREATE FUNCTION hartonomous.weights_format(hartonomous.weights) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_format(hartonomous.weights) IS 'ggml name of the format, such as Q4_K';
CREATE FUNCTION hartonomous.weights_count(hartonomous.weights) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_count(hartonomous.weights) IS 'number of weights, padding not counted';
CREATE FUNCTION hartonomous.weights_bytes(hartonomous.weights) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.weights_bytes(hartonomous.weights) IS 'bytes of the blocks';
CREATE FUNCTION hartonomous.weights_rms(hartonomous.weights) RETURNS double precision
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.weights_rms(hartonomous.weights) IS
  'root mean square of the weights; 0 when there are none';
CREATE FUNCTION hartonomous.relative_error(original hartonomous.weights, approximation hartonomous.weights)
  RETURNS double precision
  AS 'MODULE_PATHNAME', 'weights_relative_error' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.relative_error(hartonomous.weights, hartonomous.weights) IS
  '|original - approximation| / |original| in the Euclidean norm; 2202E when counts differ';
CREATE FUNCTION hartonomous.dot(hartonomous.weights, hartonomous.weights) RETURNS double precision
  AS 'MODULE_PATHNAME', 'weights_dot' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.dot(hartonomous.weights, hartonomous.weights) IS
  'dot product in double precision; 2202E when counts differ';

CREATE FUNCTION hartonomous.matvec(matrix hartonomous.weights, vector real[]) RETURNS real[]
  AS 'MODULE_PATHNAME', 'weights_matvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.matvec(hartonomous.weights, real[]) IS
  'matrix times vector, a number a row: the weights are the matrix row after row, each as long as the vector; summed '
  'in double precision; 2202E when the vector''s length does not divide the count';

CREATE FUNCTION hartonomous.formats()
  RETURNS TABLE (format text, ggml_type integer, block_weights integer, block_bytes integer,
                 readable boolean, writable boolean)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50 ROWS 32;
COMMENT ON FUNCTION hartonomous.formats() IS
  'the formats of weights: ggml''s types, their block sizes, and which are dequantized (readable) and quantized '
  '(writable) here';

CREATE FUNCTION hartonomous.tensor_weights(model hartonomous.regmodel, tensor text, revision integer DEFAULT NULL)
  RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.tensor_weights(hartonomous.regmodel, text, integer) IS
  'a tensor of a model''s live revision, or of a kept one, as it acts, in F32, whatever its form: atoms (missing ones '
  'are zeros), factors, or both; 42704 when there is no such model or tensor, 22023 no such revision, 53200 beyond '
  'hartonomous.max_work_memory';
