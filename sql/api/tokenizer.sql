-- Tokenization and detokenization with the vocabulary in the metadata of a model.

CREATE FUNCTION hartonomous.tokenize(model hartonomous.regmodel, content text, add_special boolean DEFAULT true,
    parse_special boolean DEFAULT false) RETURNS integer[]
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.tokenize(hartonomous.regmodel, text, boolean, boolean) IS
  'the tokens of a text, numbered from 0, by the vocabulary of the model, with those for the beginning and end of text '
  'where it asks for them (add_special); with parse_special, text that spells a control token becomes that token; '
  '42704 if there is no such model, 22023 if it has no tokenizer, 0A000 if that is not supported, 22P03 if its '
  'metadata is malformed, 22021 if a byte has no token';

CREATE FUNCTION hartonomous.detokenize(model hartonomous.regmodel, tokens integer[], special boolean DEFAULT false)
  RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.detokenize(hartonomous.regmodel, integer[], boolean) IS
  'the text of tokens, without control tokens or (special) with them spelled out; bytes that are not valid UTF-8 '
  'become U+FFFD; errors as tokenize, and 22003 if a token is out of range, 22004 if one is NULL';
