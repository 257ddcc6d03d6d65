-- Names that were given and mean nothing: errors that say which ones are near.

CREATE FUNCTION hartonomous.near_names(wanted text, names text[]) RETURNS text
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  literal constant text := lower(left(regexp_replace(wanted, '[%*?\\]', '', 'g'), 200));
BEGIN
  -- Names that contain what was written come before those that only look like it. strpos() finds an empty text in all.
  RETURN (SELECT string_agg('"' || n.name || '"', ', ' ORDER BY n.place)
            FROM (SELECT u.name, row_number() OVER (ORDER BY strpos(lower(u.name), literal) > 0 DESC,
                           hartonomous.levenshtein_similarity(literal, lower(left(u.name, 200))) DESC, u.name) AS place
                    FROM unnest(names) u (name)) n
           WHERE n.place <= 4);
END
$$;
COMMENT ON FUNCTION hartonomous.near_names(text, text[]) IS
  'up to four of the names given, the most like a text or a LIKE pattern first, in quotes; NULL when there are none';

CREATE FUNCTION hartonomous.require_matching_tensors(model integer, pattern text, within text DEFAULT '%') RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  names constant text[] := ARRAY(SELECT l.layer_name FROM hartonomous.model_layers l WHERE l.model_id = model);
BEGIN
  IF pattern IS NULL THEN
    RAISE EXCEPTION 'layer_pattern cannot be NULL' USING ERRCODE = '22004';
  END IF;
  -- All there is may be nothing.
  IF pattern = '%' OR EXISTS (SELECT FROM unnest(names) u (name) WHERE u.name LIKE pattern AND u.name LIKE within) THEN
    RETURN;
  END IF;
  RAISE EXCEPTION 'model % has no tensor like "%"%', model, pattern,
      CASE WHEN within <> '%' THEN format(' among those like "%s"', within) ELSE '' END
    USING ERRCODE = '22023',
          HINT = coalesce('It has, for example, ' || hartonomous.near_names(pattern, names)
                          || '. Patterns are those of LIKE: % stands for any number of characters.', 'It has no tensors.');
END
$$;
COMMENT ON FUNCTION hartonomous.require_matching_tensors(integer, text, text) IS
  '22023, with near names, when a model has no tensor whose name is like a pattern (and like another one); 22004 when the pattern is NULL';
