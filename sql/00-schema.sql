-- The schema of everything. The extension owns code only; create_store() makes the tables (30-store.sql).
\echo Use "CREATE EXTENSION hartonomous CASCADE" to load this file. \quit

CREATE SCHEMA hartonomous;
COMMENT ON SCHEMA hartonomous IS 'neural networks as rows: import, prune, quantize, roll back, export';
GRANT USAGE ON SCHEMA hartonomous TO PUBLIC;
