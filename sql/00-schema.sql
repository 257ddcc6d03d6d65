-- The schema of everything. The extension owns code only; create_store() makes the tables (30-store.sql).
\echo Use "CREATE EXTENSION hartonomous CASCADE" to load this file. \quit

CREATE SCHEMA hartonomous;
COMMENT ON SCHEMA hartonomous IS 'neural networks as rows: import, prune, quantize, roll back, export';
GRANT USAGE ON SCHEMA hartonomous TO PUBLIC;

CREATE FUNCTION hartonomous.postgis_schema() RETURNS name
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
BEGIN ATOMIC
  SELECT n.nspname
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'postgis';
END;
COMMENT ON FUNCTION hartonomous.postgis_schema() IS 'where PostGIS lives: it may be any schema';
