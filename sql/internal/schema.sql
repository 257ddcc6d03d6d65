-- The schemas: hartonomous contains what users call, hartonomous_internal everything else. The extension owns only
-- code; the tables are created in hartonomous by create_store() (api/store.sql). The partitions of atoms have a schema
-- of their own, where alone the owner of the store may create something: whoever can create functions in hartonomous
-- could make everybody's calls ambiguous, and put a view in place of a table.

\echo Use "CREATE EXTENSION hartonomous CASCADE" to load this file. \quit

CREATE SCHEMA hartonomous;
COMMENT ON SCHEMA hartonomous IS 'neural networks as rows: import, prune, quantize, roll back, export';
CREATE SCHEMA hartonomous_internal;
COMMENT ON SCHEMA hartonomous_internal IS
  'internals of the functions of schema hartonomous; they may change with any version';
CREATE SCHEMA hartonomous_partitions;
COMMENT ON SCHEMA hartonomous_partitions IS
  'the partitions of hartonomous.tensor_atoms and tensor_atoms_backup; only the owner of the store needs rights on its '
  'tables';
-- Public functions run with the rights of their caller, who therefore needs USAGE on this schema as well.
GRANT USAGE ON SCHEMA hartonomous, hartonomous_internal, hartonomous_partitions TO PUBLIC;

CREATE FUNCTION hartonomous_internal.extension_schema(name text) RETURNS name
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
BEGIN ATOMIC
  SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = name;
END;
COMMENT ON FUNCTION hartonomous_internal.extension_schema(text) IS
  'the schema of an extension; NULL if it is not installed in this database';

CREATE FUNCTION hartonomous.version() RETURNS text
  AS 'MODULE_PATHNAME', 'library_version' LANGUAGE C STABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.version() IS
  'the version of the extension; 55000, as from every function written in C++, if its SQL and its library are not of '
  'the same version';

CREATE FUNCTION hartonomous_internal.postgis_schema() RETURNS name
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
  RETURN hartonomous_internal.extension_schema('postgis');
COMMENT ON FUNCTION hartonomous_internal.postgis_schema() IS 'the schema of PostGIS, which may be any';

-- The language of the functions that write to the tables of the store. What the owner of these tables has added to them
-- (triggers, defaults, CHECK constraints, generated columns, index expressions, policies) is executed with the rights
-- of whoever writes, and must not get those of a superuser. Who may write without being the owner, writes as the owner:
-- docs/manual/rights.md. Functions whose arguments name tables or functions of the caller are in PL/pgSQL, as those are
-- the caller's business; so are functions that only others call.

CREATE FUNCTION hartonomous_internal.plpgsql_as_owner_call() RETURNS language_handler
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.plpgsql_as_owner_call() IS
  'executes a function in plpgsql_as_owner, with the settings and the result of PL/pgSQL';
CREATE FUNCTION hartonomous_internal.plpgsql_as_owner_validate(function oid) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.plpgsql_as_owner_validate(oid) IS
  'checks the syntax of a function in plpgsql_as_owner';
CREATE LANGUAGE plpgsql_as_owner HANDLER hartonomous_internal.plpgsql_as_owner_call
  VALIDATOR hartonomous_internal.plpgsql_as_owner_validate;
COMMENT ON LANGUAGE plpgsql_as_owner IS
  'PL/pgSQL, executed as the owner of the store in a security-restricted operation if the caller is one of '
  'its members, '
  'a superuser or an operator, and otherwise as the caller; only superusers can create functions in it';
