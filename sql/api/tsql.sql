-- Creates a schema with the function names of the original design, which was written for SQL Server. PostgreSQL folds
-- names to lower case, so dbo.clr_SvdDecompose resolves to dbo.clr_svddecompose. docs/manual/coming-from-sql-server.md
-- discusses its code examples.

CREATE FUNCTION hartonomous.install_tsql_names(schema_name name DEFAULT 'dbo') RETURNS SETOF text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 20
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  postgis name := hartonomous_internal.postgis_schema();
  defined record;
  other name;
BEGIN
  IF schema_name IS NULL OR schema_name IN ('hartonomous', 'hartonomous_internal', 'pg_catalog', 'information_schema')
    OR schema_name ^@ 'pg_' THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('the names of the original design cannot be created in schema "%s"', schema_name));
  END IF;
  IF NOT hartonomous_internal.store_exists() THEN
    PERFORM hartonomous.create_store();
  END IF;
  -- Not IF NOT EXISTS, which requires the right to create schemas even if the schema exists.
  IF to_regnamespace(quote_ident(schema_name)) IS NULL THEN
    EXECUTE format('CREATE SCHEMA %I', schema_name);
  END IF;
  FOR defined IN SELECT * FROM hartonomous_internal.tsql_definitions() LOOP
    CONTINUE WHEN CASE
      WHEN defined.needs LIKE '%(%' THEN to_regprocedure('hartonomous.' || format(defined.needs, '', postgis))::oid
                       ELSE to_regclass('hartonomous.' || defined.needs)::oid END IS NULL;
    -- CREATE OR REPLACE keeps the owner. A function owned by another role could be changed by that role later, although
    -- callers trust it.
    SELECT pg_get_userbyid(o.owner) INTO other
      FROM (SELECT p.proname AS name, p.proowner AS owner FROM pg_proc p
        WHERE p.pronamespace = to_regnamespace(quote_ident(schema_name))
            UNION ALL
            SELECT c.relname, c.relowner FROM pg_class c
            WHERE c.relnamespace = to_regnamespace(quote_ident(schema_name))) o
     WHERE o.name = lower(split_part(defined.name, '(', 1)) AND pg_get_userbyid(o.owner) <> current_user LIMIT 1;
    IF other IS NOT NULL THEN
      PERFORM hartonomous_internal.raise_error('42501',
        format('%s.%s belongs to role "%s"', quote_ident(schema_name), split_part(defined.name, '(', 1), other),
        hint => format('Drop it first, or call this function as "%s".', other));
    END IF;
    EXECUTE format(defined.definition, schema_name, postgis,
                   CASE WHEN current_setting('server_version_num')::integer >= 150000
                        THEN 'WITH (security_invoker = true)' ELSE '' END);
    RETURN NEXT format('%I.%s', schema_name, defined.name);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.install_tsql_names(name) IS
  'creates, in a schema that is created if it does not exist, functions, procedures and views with the names of the '
  'original SQL Server design; another call creates them anew, including those that have become possible; returns what '
  'it created; 22023 if the schema is not for users, 42501 without the right to create, or if another role has created '
  'one of the names';
