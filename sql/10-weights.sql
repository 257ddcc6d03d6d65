-- Type weights: a run of weights in one of ggml's formats, its blocks exactly as in a GGUF file.

CREATE TYPE hartonomous.weights;

CREATE FUNCTION hartonomous.weights_in(cstring) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
CREATE FUNCTION hartonomous.weights_out(hartonomous.weights) RETURNS cstring
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
CREATE FUNCTION hartonomous.weights_recv(internal) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
CREATE FUNCTION hartonomous.weights_send(hartonomous.weights) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;

-- Quantized blocks do not compress, so they are stored as they are (EXTERNAL).
CREATE TYPE hartonomous.weights (
  INPUT = hartonomous.weights_in,
  OUTPUT = hartonomous.weights_out,
  RECEIVE = hartonomous.weights_recv,
  SEND = hartonomous.weights_send,
  INTERNALLENGTH = VARIABLE,
  ALIGNMENT = int4,
  STORAGE = external
);
COMMENT ON TYPE hartonomous.weights IS
  'a run of weights: ggml format, count, blocks as in GGUF; text form FORMAT[count]:hexadecimal blocks';
COMMENT ON FUNCTION hartonomous.weights_in(cstring) IS 'text input; 22P02 when malformed';
COMMENT ON FUNCTION hartonomous.weights_out(hartonomous.weights) IS 'text output, lossless';
COMMENT ON FUNCTION hartonomous.weights_recv(internal) IS
  'binary input: int4 ggml type id, int4 count, blocks; 22P03 when malformed';
COMMENT ON FUNCTION hartonomous.weights_send(hartonomous.weights) IS
  'binary output: int4 ggml type id, int4 count, blocks';

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

-- Quantization of weights (of coordinates: 20-coordinates.sql)

CREATE FUNCTION hartonomous.quantize(hartonomous.weights, format text) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_weights' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
CREATE FUNCTION hartonomous.quantize(hartonomous.weights, format text, importance real[]) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_weights' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
CREATE FUNCTION hartonomous.quantize(real[], format text) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_real_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
CREATE FUNCTION hartonomous.quantize(real[], format text, importance real[]) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME', 'quantize_real_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous.quantize(hartonomous.weights, text) IS
  'weights in another ggml format, byte for byte as llama.cpp quantizes; a last partial block is padded with zeros; 22003 on NaN, infinity or an overflowing scale, 0A000 for a format that is not written';
COMMENT ON FUNCTION hartonomous.quantize(hartonomous.weights, text, real[]) IS
  'the same, minimising the error weighted by importance (one non-negative number per weight); 2202E when lengths differ, 22023 on a bad importance';
COMMENT ON FUNCTION hartonomous.quantize(real[], text) IS
  'an array in a ggml format, byte for byte as llama.cpp quantizes; a last partial block is padded with zeros; 22003 on NaN, infinity or an overflowing scale, 0A000 for a format that is not written';
COMMENT ON FUNCTION hartonomous.quantize(real[], text, real[]) IS
  'the same, minimising the error weighted by importance (one non-negative number per weight); 2202E when lengths differ, 22023 on a bad importance';

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
COMMENT ON FUNCTION hartonomous.weights_rms(hartonomous.weights) IS 'root mean square of the weights; 0 when there are none';
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
  'matrix times vector, a number a row: the weights are the matrix row after row, each as long as the vector; summed in double precision; 2202E when the vector''s length does not divide the count';

-- Equality is of bytes: same format, same count, same blocks.

CREATE FUNCTION hartonomous.weights_eq(hartonomous.weights, hartonomous.weights) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_eq(hartonomous.weights, hartonomous.weights) IS
  'same format, same count, same bytes';
CREATE FUNCTION hartonomous.weights_ne(hartonomous.weights, hartonomous.weights) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_ne(hartonomous.weights, hartonomous.weights) IS
  'another format, count or byte';
CREATE OPERATOR hartonomous.= (
  LEFTARG = hartonomous.weights, RIGHTARG = hartonomous.weights, FUNCTION = hartonomous.weights_eq,
  COMMUTATOR = OPERATOR(hartonomous.=), NEGATOR = OPERATOR(hartonomous.<>), RESTRICT = eqsel, JOIN = eqjoinsel,
  HASHES);
CREATE OPERATOR hartonomous.<> (
  LEFTARG = hartonomous.weights, RIGHTARG = hartonomous.weights, FUNCTION = hartonomous.weights_ne,
  COMMUTATOR = OPERATOR(hartonomous.<>), NEGATOR = OPERATOR(hartonomous.=), RESTRICT = neqsel, JOIN = neqjoinsel);

-- By hash only (DISTINCT, GROUP BY, EXCEPT, joins): weights have no order.
CREATE FUNCTION hartonomous.weights_hash(hartonomous.weights) RETURNS integer
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_hash(hartonomous.weights) IS 'hash that goes with =';
CREATE FUNCTION hartonomous.weights_hash_extended(hartonomous.weights, seed bigint) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.weights_hash_extended(hartonomous.weights, bigint) IS 'seeded hash that goes with =';
CREATE OPERATOR CLASS hartonomous.weights_ops DEFAULT FOR TYPE hartonomous.weights USING hash AS
  OPERATOR 1 hartonomous.=,
  FUNCTION 1 hartonomous.weights_hash(hartonomous.weights),
  FUNCTION 2 hartonomous.weights_hash_extended(hartonomous.weights, bigint);

CREATE FUNCTION hartonomous.formats()
  RETURNS TABLE (format text, ggml_type integer, block_weights integer, block_bytes integer,
                 readable boolean, writable boolean)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50 ROWS 32;
COMMENT ON FUNCTION hartonomous.formats() IS
  'the formats of weights: ggml''s types, their block sizes, and which are dequantized (readable) and quantized (writable) here';
