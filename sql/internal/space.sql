-- Argument checks of nearest_atoms().

CREATE FUNCTION hartonomous_internal.check_neighbours(k integer) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF (k BETWEEN 0 AND 1000000) IS NOT TRUE THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('k must be between 0 and 1000000, not %s', coalesce(k::text, 'NULL')));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_neighbours(integer) IS '22023 if k is not a valid number of neighbors';
