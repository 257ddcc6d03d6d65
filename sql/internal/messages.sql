-- Helpers for messages and reports.

-- Users may store anything in the tables. One number out of range is no reason to report nothing.
CREATE FUNCTION hartonomous_internal.nearest_bigint(number numeric) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN least(greatest(number, -9223372036854775808), 9223372036854775807)::bigint;
COMMENT ON FUNCTION hartonomous_internal.nearest_bigint(numeric) IS
  'a number rounded to a bigint: if it is out of range, the least or greatest there is';

CREATE FUNCTION hartonomous_internal.near_names(wanted text, names text[]) RETURNS text
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  literal constant text := lower(left(regexp_replace(wanted, E'[%*?\\\\]', '', 'g'), 200));
BEGIN
  -- Names that contain the text come before names that are only similar. An empty text is contained in all names.
  RETURN (SELECT string_agg('"' || n.name || '"', ', ' ORDER BY n.place)
            FROM (SELECT u.name, row_number() OVER (ORDER BY strpos(lower(u.name), literal) > 0 DESC,
                           hartonomous.levenshtein_similarity(literal, lower(left(u.name, 200))) DESC, u.name) AS place
                    FROM unnest(names) u (name)) n
           WHERE n.place <= 4);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.near_names(text, text[]) IS
  'up to four of the given names, the most similar to a text or a LIKE pattern first, in quotes; NULL if '
  'there are none';

CREATE FUNCTION hartonomous_internal.counted(number bigint, one text, many text DEFAULT NULL) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 50
  RETURN concat(number, ' ', CASE WHEN number = 1 THEN one ELSE coalesce(many, one || 's') END);
COMMENT ON FUNCTION hartonomous_internal.counted(bigint, text, text) IS
  'a number of things in words: 1 tensor, 2 tensors; many is the plural if it is not formed by an s';

CREATE FUNCTION hartonomous_internal.passed_over(tensors bigint, why text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN CASE WHEN tensors > 0
              THEN format('; skipped %s (%s)', hartonomous_internal.counted(tensors, 'tensor'), why)
              ELSE '' END;
COMMENT ON FUNCTION hartonomous_internal.passed_over(bigint, text) IS
  'the part of a NOTICE that counts skipped tensors; empty if there are none';
