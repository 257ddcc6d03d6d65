-- Type weights: a run of weights in one of ggml's formats, with blocks exactly as in a GGUF file. This file has input,
-- output and comparison; other functions on weights are in api/weights.sql.

CREATE TYPE hartonomous.weights;

CREATE FUNCTION hartonomous_internal.weights_in(cstring) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
CREATE FUNCTION hartonomous_internal.weights_out(hartonomous.weights) RETURNS cstring
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
CREATE FUNCTION hartonomous_internal.weights_recv(internal) RETURNS hartonomous.weights
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
CREATE FUNCTION hartonomous_internal.weights_send(hartonomous.weights) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;

-- EXTERNAL storage, because quantized blocks do not compress.
CREATE TYPE hartonomous.weights (
  INPUT = hartonomous_internal.weights_in,
  OUTPUT = hartonomous_internal.weights_out,
  RECEIVE = hartonomous_internal.weights_recv,
  SEND = hartonomous_internal.weights_send,
  INTERNALLENGTH = VARIABLE,
  ALIGNMENT = int4,
  STORAGE = external
);
COMMENT ON TYPE hartonomous.weights IS
  'a run of weights: ggml format, count, blocks as in GGUF; text form FORMAT[count]:hexadecimal blocks';
COMMENT ON FUNCTION hartonomous_internal.weights_in(cstring) IS 'text input; 22P02 when malformed';
COMMENT ON FUNCTION hartonomous_internal.weights_out(hartonomous.weights) IS 'text output, lossless';
COMMENT ON FUNCTION hartonomous_internal.weights_recv(internal) IS
  'binary input: int4 ggml type id, int4 count, blocks; 22P03 when malformed';
COMMENT ON FUNCTION hartonomous_internal.weights_send(hartonomous.weights) IS
  'binary output: int4 ggml type id, int4 count, blocks';

CREATE FUNCTION hartonomous_internal.weights_to_bytea(hartonomous.weights) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.weights_to_bytea(hartonomous.weights) IS 'the cast to bytea: the raw blocks';

-- Values are equal if their bytes are: same format, count and blocks.

CREATE FUNCTION hartonomous_internal.weights_eq(hartonomous.weights, hartonomous.weights) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.weights_eq(hartonomous.weights, hartonomous.weights) IS
  'whether format, count and bytes are the same';
CREATE FUNCTION hartonomous_internal.weights_ne(hartonomous.weights, hartonomous.weights) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.weights_ne(hartonomous.weights, hartonomous.weights) IS
  'whether format, count or bytes differ';
CREATE OPERATOR hartonomous.= (
  LEFTARG = hartonomous.weights, RIGHTARG = hartonomous.weights, FUNCTION = hartonomous_internal.weights_eq,
  COMMUTATOR = OPERATOR(hartonomous.=), NEGATOR = OPERATOR(hartonomous.<>), RESTRICT = eqsel, JOIN = eqjoinsel,
  HASHES);
CREATE OPERATOR hartonomous.<> (
  LEFTARG = hartonomous.weights, RIGHTARG = hartonomous.weights, FUNCTION = hartonomous_internal.weights_ne,
  COMMUTATOR = OPERATOR(hartonomous.<>), NEGATOR = OPERATOR(hartonomous.=), RESTRICT = neqsel, JOIN = neqjoinsel);

-- A hash operator class only (DISTINCT, GROUP BY, EXCEPT, joins), because weights have no order.
CREATE FUNCTION hartonomous_internal.weights_hash(hartonomous.weights) RETURNS integer
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.weights_hash(hartonomous.weights) IS 'hash that is consistent with =';
CREATE FUNCTION hartonomous_internal.weights_hash_extended(hartonomous.weights, seed bigint) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.weights_hash_extended(hartonomous.weights, bigint) IS
  'seeded hash that is consistent with =';
CREATE OPERATOR CLASS hartonomous_internal.weights_ops DEFAULT FOR TYPE hartonomous.weights USING hash AS
  OPERATOR 1 hartonomous.=,
  FUNCTION 1 hartonomous_internal.weights_hash(hartonomous.weights),
  FUNCTION 2 hartonomous_internal.weights_hash_extended(hartonomous.weights, bigint);
