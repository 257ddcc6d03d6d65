-- Of a text two parts that do not overlap, one for calibration and one for evaluation, as sets of these names. Variables:
-- model, whose tokens are counted, and dir, with text.txt.

-- The end of the line in which a text has that character.
CREATE FUNCTION end_of_line(text text, place integer) RETURNS integer LANGUAGE sql IMMUTABLE
  RETURN place + coalesce(nullif(strpos(substr(text, place + 1), E'\n'), 0), length(text) - place);

-- Parts that do not overlap. Tokens are spread evenly enough that shares of them are shares of the characters. A short
-- text is shared out three to two.
CREATE TABLE parts AS
  WITH whole AS (
    SELECT content AS text, cardinality(hartonomous.tokenize(:model, content)) AS tokens
      FROM pg_read_file(:'dir' || '/text.txt') AS content
  ), sizes AS (
    SELECT text, length(text)::float8 / tokens * least(30000, tokens * 3 / 5) AS calibration,
           length(text)::float8 / tokens * least(20500, tokens * 2 / 5) AS evaluation
      FROM whole
  ), first_part AS (
    SELECT text, end_of_line(text, calibration::integer) AS ends, evaluation::integer AS size FROM sizes
  )
  SELECT left(text, ends) AS calibration,
         substr(text, ends + 1, end_of_line(text, least(ends + size, length(text))) - ends) AS evaluation
    FROM first_part;
SELECT cardinality(hartonomous.tokenize(:model, calibration)) AS "tokens for calibration",
       cardinality(hartonomous.tokenize(:model, evaluation)) AS "tokens for evaluation"
  FROM parts;
SELECT hartonomous.add_calibration_set('calibration', calibration),
       hartonomous.add_validation_set('evaluation', evaluation)
  FROM parts \g /dev/null
