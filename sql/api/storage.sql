-- Disk usage of a model, as measured.

CREATE FUNCTION hartonomous.human_bytes(bytes bigint) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE WHEN abs(bytes::numeric) < 10240 THEN bytes || ' B'
              WHEN abs(bytes::numeric) < 1048576 THEN round(bytes / 1024.0, 1) || ' KiB'
              WHEN abs(bytes::numeric) < 1073741824 THEN round(bytes / 1048576.0, 2) || ' MiB'
              ELSE round(bytes / 1073741824.0, 2) || ' GiB' END;
COMMENT ON FUNCTION hartonomous.human_bytes(bigint) IS 'a number of bytes for people to read';

CREATE FUNCTION hartonomous.model_disk_bytes(model hartonomous.regmodel) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT coalesce(sum(pg_total_relation_size(
                   hartonomous_internal.partition_of(model, r.revision_id))
                 + hartonomous_internal.form_disk_bytes(model, r.revision_id)), 0)
            FROM hartonomous.model_revisions r
           WHERE r.model_id = model AND hartonomous_internal.partition_exists(model, r.revision_id))
         + hartonomous_internal.archived_bytes(model)
         + (SELECT coalesce(sum(hartonomous_internal.form_disk_bytes(model, r.revision_id)), 0)
              FROM hartonomous.model_revisions r
             WHERE r.model_id = model AND r.archived_atoms IS NOT NULL
               AND NOT hartonomous_internal.partition_exists(model, r.revision_id));
END
$$;
COMMENT ON FUNCTION hartonomous.model_disk_bytes(hartonomous.regmodel) IS
  'bytes on disk of all partitions of a model, including indexes, TOAST and factors, and of its archived revisions';
