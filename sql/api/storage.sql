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
           WHERE r.model_id = model AND hartonomous_internal.partition_exists(model, r.revision_id));
END
$$;
COMMENT ON FUNCTION hartonomous.model_disk_bytes(hartonomous.regmodel) IS
  'bytes on disk of all partitions of a model, including indexes, TOAST and factors';

CREATE FUNCTION hartonomous.storage_report(model hartonomous.regmodel)
  RETURNS TABLE (revision_id integer, stage text, state text, table_name text, atoms bigint,
                 logical_bytes bigint, physical_bytes bigint, table_bytes bigint, index_bytes bigint,
                 toast_bytes bigint,
                 factor_bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  part record;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  FOR part IN
    SELECT r.revision_id AS id, r.kind, r.base_revision_id,
           CASE WHEN r.kind = 'in_place' THEN r.stage || ' (removed atoms)' ELSE h.stage END AS stage,
           CASE WHEN r.kind = 'in_place' THEN 'backup' ELSE h.state END AS state,
           CASE WHEN r.kind = 'in_place' THEN r.revision_id ELSE h.revision_id END AS revision,
           hartonomous_internal.partition_of(model, r.revision_id) AS partition,
           (SELECT i.inhparent::regclass FROM pg_inherits i
             WHERE i.inhrelid = hartonomous_internal.partition_of(model, r.revision_id)) AS parent
      FROM hartonomous.model_revisions r
      LEFT JOIN hartonomous.model_revisions h ON h.revision_id = r.held_revision_id
     WHERE r.model_id = model AND hartonomous_internal.partition_exists(model, r.revision_id)
     ORDER BY r.revision_id
  LOOP
    revision_id := part.revision;
    stage := part.stage;
    state := part.state;
    table_name := part.partition::text;
    -- Queries the parent tables because readers have rights on those only. A partition that is still being written has
    -- no parent yet.
    atoms := NULL;
    logical_bytes := NULL;
    IF part.parent IS NOT NULL OR has_table_privilege(part.partition, 'SELECT') THEN
      EXECUTE format(
        'SELECT count(*), coalesce(sum(hartonomous.weights_bytes(atom_data)), 0) FROM %s WHERE model_id = $1 '
        'AND revision_id = $2',
                     coalesce(part.parent, part.partition))
        INTO atoms, logical_bytes USING model, part.id;
      logical_bytes := logical_bytes + hartonomous_internal.form_bytes(model, part.id);
    END IF;
    physical_bytes := pg_total_relation_size(part.partition) + hartonomous_internal.form_disk_bytes(model, part.id);
    index_bytes := pg_indexes_size(part.partition);
    SELECT coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) INTO toast_bytes
      FROM pg_class c WHERE c.oid = part.partition;
    factor_bytes := hartonomous_internal.form_disk_bytes(model, part.id);
    table_bytes := physical_bytes - index_bytes - toast_bytes - factor_bytes;
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.storage_report(hartonomous.regmodel) IS
  'one row per partition of a model, measured now: its revision, atoms, bytes of weights (logical) and bytes on disk '
  '(physical = table + indexes + TOAST + factors)';
