-- Text generation with stored language models.

CREATE FUNCTION hartonomous.generate_tokens(model hartonomous.regmodel, prompt text, max_tokens integer DEFAULT 256,
    temperature double precision DEFAULT 0, top_k integer DEFAULT 0, top_p double precision DEFAULT 1,
    seed bigint DEFAULT 0, revision integer DEFAULT NULL, region geometry DEFAULT NULL)
  RETURNS TABLE ("position" integer, token_id integer, token text, log_probability double precision)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000 ROWS 256
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous.generate_tokens(hartonomous.regmodel, text, integer, double precision, integer,
  double precision,
  bigint, integer, geometry) IS
  'continues a prompt, one row per token, each returned as soon as it is generated in a SELECT list or through a '
  'cursor: the text it adds and the natural logarithm of its probability; arguments and errors as generate_text(), '
  '40001 if the model was rewritten after the snapshot was taken';
CREATE FUNCTION hartonomous.generate_text(model hartonomous.regmodel, prompt text, max_tokens integer DEFAULT 256,
    temperature double precision DEFAULT 0, top_k integer DEFAULT 0, top_p double precision DEFAULT 1,
    seed bigint DEFAULT 0, revision integer DEFAULT NULL, region geometry DEFAULT NULL) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous.generate_text(hartonomous.regmodel, text, integer, double precision, integer,
  double precision,
  bigint, integer, geometry) IS
  'continues a prompt until the model ends the text, or after max_tokens, or when its context is full; temperature 0 '
  'takes the most probable token each time; above 0, one is sampled by seed from the top_k most probable tokens (0: '
  'all) whose probabilities add up to top_p; with the live revision or another one; with a region, only atoms inside '
  'it and vectors are used; 22023 if an argument is out of range or the prompt is empty or longer than the context; '
  'other errors as perplexity()';

CREATE FUNCTION hartonomous.generate_text_spatial(model hartonomous.regmodel, prompt text, max_tokens integer,
    region geometry) RETURNS text
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous.generate_text(model, prompt, max_tokens, region => region);
COMMENT ON FUNCTION hartonomous.generate_text_spatial(hartonomous.regmodel, text, integer, geometry) IS
  'generate_text() with only those atoms whose position lies in the region: in X and Y and, if the region has it, in '
  'Z; vectors, which have no position of their own, are always used; a NULL region is everywhere';

CREATE FUNCTION hartonomous.compare_generation(model hartonomous.regmodel, revision_a integer, revision_b integer,
    prompt text, max_tokens integer DEFAULT 256, OUT text_a text, OUT text_b text, OUT similarity double precision)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  text_a := hartonomous.generate_text(model, prompt, max_tokens, revision => revision_a);
  text_b := hartonomous.generate_text(model, prompt, max_tokens, revision => revision_b);
  similarity := hartonomous.levenshtein_similarity(text_a, text_b);
END
$$;
COMMENT ON FUNCTION hartonomous.compare_generation(hartonomous.regmodel, integer, integer, text, integer) IS
  'continues a prompt with two revisions of a model (NULL: the live one), always with the most probable token, and '
  'returns levenshtein_similarity() of the texts: for a look, not for decisions, since a single different token '
  'changes everything that follows';
