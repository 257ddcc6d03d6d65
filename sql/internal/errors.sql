-- How SQL raises an error. RAISE EXCEPTION would show a user every internal function and statement on its way.

CREATE FUNCTION hartonomous_internal.raise_error(
    sqlstate text, message text, detail text DEFAULT NULL, hint text DEFAULT NULL, schema_name text DEFAULT NULL,
    table_name text DEFAULT NULL, column_name text DEFAULT NULL, constraint_name text DEFAULT NULL) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.raise_error(text, text, text, text, text, text, text, text) IS
  'raises an error whose CONTEXT leaves out the functions of the extension, except of class XX and at message level '
  'debug1; fields that are NULL or empty are left out, which RAISE cannot; XX000 if the state is not that of an error';
CREATE FUNCTION hartonomous_internal.raise_failure(failure jsonb) RETURNS void
  LANGUAGE sql VOLATILE PARALLEL SAFE COST 50
  RETURN hartonomous_internal.raise_error(
    failure ->> 'sqlstate', failure ->> 'message', failure ->> 'detail', failure ->> 'hint',
    failure ->> 'schema', failure ->> 'table', failure ->> 'column', failure ->> 'constraint');
COMMENT ON FUNCTION hartonomous_internal.raise_failure(jsonb) IS 'raises again the error that try_step() has caught';
