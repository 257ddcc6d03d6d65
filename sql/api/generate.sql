-- Text from language models.

CREATE FUNCTION hartonomous.generate_tokens(model hartonomous.regmodel, prompt text, max_tokens integer DEFAULT 256,
    temperature double precision DEFAULT 0, top_k integer DEFAULT 0, top_p double precision DEFAULT 1,
    seed bigint DEFAULT 0, revision integer DEFAULT NULL, region geometry DEFAULT NULL)
  RETURNS TABLE ("position" integer, token_id integer, token text, log_probability double precision)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000 ROWS 256
  SET search_path = pg_catalog, pg_temp SET row_security = off;
COMMENT ON FUNCTION hartonomous.generate_tokens(hartonomous.regmodel, text, integer, double precision, integer,
  double precision,
  bigint, integer, geometry) IS
  'the tokens with which a model goes on from a prompt, one a row and, in a SELECT list or through a cursor, as soon '
  'as it is there: what each adds to the text and the natural logarithm of its probability; arguments and errors as '
  'generate_text(), 40001 when the model was rewritten after the snapshot';
CREATE FUNCTION hartonomous.generate_text(model hartonomous.regmodel, prompt text, max_tokens integer DEFAULT 256,
    temperature double precision DEFAULT 0, top_k integer DEFAULT 0, top_p double precision DEFAULT 1,
    seed bigint DEFAULT 0, revision integer DEFAULT NULL, region geometry DEFAULT NULL) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET row_security = off;
COMMENT ON FUNCTION hartonomous.generate_text(hartonomous.regmodel, text, integer, double precision, integer,
  double precision,
  bigint, integer, geometry) IS
  'what a model writes after a prompt, until it ends the text, max_tokens or its context does; temperature 0 takes the '
  'likeliest token each time, above 0 one is drawn by seed from the top_k likeliest (0: all) that together have '
  'probability top_p; of the live revision or a kept one; of the atoms inside a region alone, when one is given, '
  'vectors apart; 22023 on arguments out of range and prompts that are empty or longer than the context; else as '
  'perplexity()';

CREATE FUNCTION hartonomous.generate_text_spatial(model hartonomous.regmodel, prompt text, max_tokens integer,
    region geometry) RETURNS text
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous.generate_text(model, prompt, max_tokens, region => region);
COMMENT ON FUNCTION hartonomous.generate_text_spatial(hartonomous.regmodel, text, integer, geometry) IS
  'generate_text() with only those atoms whose place lies in the region: in X and Y, and in Z where the region has it; '
  'vectors, which have no place of their own, always take part; a NULL region is everywhere';

CREATE FUNCTION hartonomous.compare_generation(model hartonomous.regmodel, revision_a integer, revision_b integer,
  prompt text,
  max_tokens integer DEFAULT 256, OUT text_a text, OUT text_b text, OUT similarity double precision)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  text_a := hartonomous.generate_text(model, prompt, max_tokens, revision => revision_a);
  text_b := hartonomous.generate_text(model, prompt, max_tokens, revision => revision_b);
  similarity := hartonomous.levenshtein_similarity(text_a, text_b);
END
$$;
COMMENT ON FUNCTION hartonomous.compare_generation(hartonomous.regmodel, integer, integer, text, integer) IS
  'what two revisions (NULL: the live one) of a model write after a prompt, the likeliest token each time, and how '
  'alike that is: levenshtein_similarity(), to be looked at and not to be decided by: one other token changes all '
  'that follow';
