-- Provenance: how the live state of a model came about.

CREATE FUNCTION hartonomous.model_lineage(model hartonomous.regmodel)
  RETURNS TABLE (model_name text, revision_id integer, stage text, parameters jsonb, bytes bigint,
                 bits_per_weight numeric, metrics jsonb, calibration_texts jsonb, validation_texts jsonb,
                 seconds double precision, extension_version text, created_at timestamptz, in_store boolean)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.current_revision(model);
BEGIN
  RETURN QUERY SELECT * FROM hartonomous_internal.lineage_of(live, hartonomous_internal.history_before(live));
END
$$;
COMMENT ON FUNCTION hartonomous.model_lineage(hartonomous.regmodel) IS
  'how a model was made, one row per state, from the import of its oldest ancestor to its live revision: the '
  'stage that '
  'made it, with its parameters, the size, what was measured of it, the calibration and validation sets with '
  'the SHA-256 '
  'of their texts, and the version of the extension; also states that a file which was imported tells of, and those of '
  'deleted parents of a student (in_store is false); 42704 if there is no such model';
