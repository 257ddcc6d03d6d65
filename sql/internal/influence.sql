-- The measurement behind block_influence() (api/influence.sql).

CREATE FUNCTION hartonomous_internal.block_influences(model integer, corpus text, n_ctx integer, blocks integer[])
  RETURNS double precision[]
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.block_influences(integer, text, integer, integer[]) IS
  'the influence of each of the given blocks, as block_influence() returns it';
