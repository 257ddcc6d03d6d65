-- What the names of tensors say, GGUF's and those of Hugging Face's checkpoints.

CREATE FUNCTION hartonomous.layer_number(tensor_name text) RETURNS integer
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous.layer_number(text) IS 'block number in a tensor''s name, -1 outside blocks';

CREATE FUNCTION hartonomous.layer_type(tensor_name text) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous.layer_type(text) IS
  'attention, ffn, norm, embedding, output or other, from a tensor''s name';

CREATE FUNCTION hartonomous.tensor_role(tensor_name text) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous.tensor_role(text) IS
  'what a tensor does in its network, from its name: attn_q, ffn_down, router, norm, token_embedding and so on; other when the name does not say';

CREATE FUNCTION hartonomous.writes_residual(tensor_name text) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous.writes_residual(text) IS
  'whether a tensor of that name writes to the residual stream that runs through all blocks';

CREATE FUNCTION hartonomous.with_layer_number(tensor_name text, block integer) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous.with_layer_number(text, integer) IS
  'a tensor''s name with another block number in it; the name itself outside blocks';
