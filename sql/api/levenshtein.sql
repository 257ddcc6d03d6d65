-- How alike two texts are.

CREATE FUNCTION hartonomous.levenshtein_distance(a text, b text) RETURNS integer
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.levenshtein_distance(text, text) IS
  'the fewest code points to insert, delete or replace to make one text of the other; texts of any length; 53200 when '
  'they need more than hartonomous.max_work_memory';

CREATE FUNCTION hartonomous.levenshtein_similarity(a text, b text) RETURNS double precision
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous.levenshtein_similarity(text, text) IS
  '1 - distance / code points of the longer text: 1 for equal texts, two empty ones too, 0 for texts with '
  'nothing in common';
