-- Similarity of two texts.

CREATE FUNCTION hartonomous.levenshtein_distance(a text, b text) RETURNS integer
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.levenshtein_distance(text, text) IS
  'the number of code points to insert, delete or replace to turn one text into the other; texts may have any length; '
  '53200 if they need more than hartonomous.max_work_memory';

CREATE FUNCTION hartonomous.levenshtein_similarity(a text, b text) RETURNS double precision
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.levenshtein_similarity(text, text) IS
  '1 - distance / code points of the longer text: 1 for equal texts, also for two empty ones, 0 for texts with '
  'nothing in common';
