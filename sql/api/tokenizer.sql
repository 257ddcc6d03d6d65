-- Text to tokens and back, by the vocabulary in a model's metadata.

CREATE FUNCTION hartonomous.tokenize(model hartonomous.regmodel, content text, add_special boolean DEFAULT true,
    parse_special boolean DEFAULT false) RETURNS integer[]
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.tokenize(hartonomous.regmodel, text, boolean, boolean) IS
  'the tokens of a text, numbered from 0, by the model''s vocabulary, with those of begin and end where it asks for '
  'them (add_special); parse_special takes text that spells a control token for that token; 42704 no such model, 22023 '
  'it has no tokenizer, 0A000 an unknown one, 22P03 malformed metadata, 22021 a byte without token';

CREATE FUNCTION hartonomous.detokenize(model hartonomous.regmodel, tokens integer[], special boolean DEFAULT false)
  RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.detokenize(hartonomous.regmodel, integer[], boolean) IS
  'the text of tokens, control tokens left out or (special) spelled; bytes that are no UTF-8 become U+FFFD; errors as '
  'tokenize, and 22003 a token beyond the vocabulary, 22004 a NULL among them';
