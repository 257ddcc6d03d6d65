-- What a model takes on disk, part by part.

CREATE FUNCTION hartonomous.storage_report(model hartonomous.regmodel)
  RETURNS TABLE (revision_id integer, stage text, state text, table_name text, atoms bigint,
                 logical_bytes bigint, physical_bytes bigint, table_bytes bigint, index_bytes bigint,
                 toast_bytes bigint, factor_bytes bigint, unused_bytes bigint, dead_rows bigint,
                 bits_per_weight numeric,
                 freed_by text)
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
      BEGIN
        EXECUTE format(
          'SELECT count(*), coalesce(sum(hartonomous.weights_bytes(atom_data)), 0) FROM %s WHERE model_id = $1 '
          'AND revision_id = $2', coalesce(part.parent, part.partition))
          INTO atoms, logical_bytes USING model, part.id;
      EXCEPTION WHEN undefined_table THEN
        CONTINUE;  -- another session has dropped it meanwhile
      END;
      logical_bytes := logical_bytes + hartonomous_internal.form_bytes(model, part.id);
    END IF;
    physical_bytes := pg_total_relation_size(part.partition) + hartonomous_internal.form_disk_bytes(model, part.id);
    CONTINUE WHEN physical_bytes IS NULL;  -- likewise
    index_bytes := pg_indexes_size(part.partition);
    SELECT coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) INTO toast_bytes
      FROM pg_class c WHERE c.oid = part.partition;
    factor_bytes := hartonomous_internal.form_disk_bytes(model, part.id);
    table_bytes := physical_bytes - index_bytes - toast_bytes - factor_bytes;
    SELECT u.bytes, u.dead_rows INTO unused_bytes, dead_rows FROM hartonomous_internal.unused_bytes(part.partition) u;
    bits_per_weight := CASE WHEN part.kind <> 'in_place' THEN
      (SELECT round(8.0 * logical_bytes / nullif(sum(l.parameter_count), 0), 3)
         FROM hartonomous_internal.layers_of_revision(coalesce(part.revision, part.id)) l) END;
    freed_by := hartonomous_internal.freed_by(model, part.id);
    RETURN NEXT;
  END LOOP;
  RETURN QUERY
    SELECT CASE WHEN r.kind = 'in_place' THEN r.revision_id ELSE h.revision_id END,
           CASE WHEN r.kind = 'in_place' THEN r.stage || ' (removed atoms)' ELSE h.stage END, 'archived',
           'hartonomous.tensor_atoms_archive', c.atoms, b.bytes, c.stored + f.bytes, c.stored, NULL::bigint,
           NULL::bigint, f.bytes, NULL::bigint, NULL::bigint,
           CASE WHEN r.kind <> 'in_place' THEN
             (SELECT round(8.0 * b.bytes / nullif(sum(l.parameter_count), 0), 3)
                FROM hartonomous_internal.layers_of_revision(h.revision_id) l) END,
           hartonomous_internal.freed_by(model, r.revision_id)
      FROM hartonomous.model_revisions r
      LEFT JOIN hartonomous.model_revisions h ON h.revision_id = r.held_revision_id
      CROSS JOIN LATERAL hartonomous_internal.archived_atoms(model, r.revision_id) c
      CROSS JOIN LATERAL (SELECT c.bytes + hartonomous_internal.form_bytes(model, r.revision_id) AS bytes) b
      CROSS JOIN LATERAL (SELECT hartonomous_internal.form_disk_bytes(model, r.revision_id) AS bytes) f
     WHERE r.model_id = model AND r.archived_atoms IS NOT NULL ORDER BY r.revision_id;
  RETURN QUERY
    SELECT s.revision_id, s.calibration_set, 'statistics', s.table_name, NULL::bigint, NULL::bigint, s.bytes, s.bytes,
           NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::numeric, s.freed_by
      FROM hartonomous_internal.stored_statistics(model) s;
END
$$;
COMMENT ON FUNCTION hartonomous.storage_report(hartonomous.regmodel) IS
  'what a model takes on disk, measured now: one row per partition with its revision, atoms, bytes of weights '
  '(logical), '
  'bytes on disk (physical = table + indexes + TOAST + factors), how many of them hold nothing (unused), bits '
  'per weight '
  'and the statement that frees it; one per archived partition; and one per table, revision and calibration '
  'set of what '
  'was measured of the model '
  '(state statistics, stage: the calibration set)';

CREATE FUNCTION hartonomous.storage_summary(model hartonomous.regmodel)
  RETURNS TABLE (what text, atoms bigint, bits_per_weight numeric, weights text, on_disk text, ratio numeric,
    unused text,
    freed_by text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    WITH report AS MATERIALIZED (SELECT * FROM hartonomous.storage_report(model)),
    parts AS (
      SELECT row_number() OVER () AS n,
             CASE WHEN r.state = 'statistics' THEN
                    concat_ws(', ', split_part(r.table_name, '.', 2), r.stage, 'revision ' || r.revision_id)
                  ELSE concat_ws(', ', coalesce(r.state, 'building'), 'revision ' || r.revision_id,
                    r.stage) END AS what,
             r.atoms, r.bits_per_weight, r.logical_bytes, r.physical_bytes, r.unused_bytes, r.freed_by
        FROM report r
      UNION ALL
      SELECT NULL, 'total', NULL, NULL, sum(r.logical_bytes)::bigint, sum(r.physical_bytes)::bigint,
             sum(r.unused_bytes)::bigint, format('SELECT hartonomous.delete_model(%s)', model::integer)
        FROM report r)
    -- Aligned at the right, as numbers are.
    SELECT p.what, p.atoms, p.bits_per_weight, lpad(pg_size_pretty(p.logical_bytes), 10),
           lpad(pg_size_pretty(p.physical_bytes), 10), round(p.physical_bytes::numeric / nullif(p.logical_bytes, 0), 2),
           lpad(pg_size_pretty(p.unused_bytes), 10), p.freed_by
      FROM parts p ORDER BY p.n;
END
$$;
COMMENT ON FUNCTION hartonomous.storage_summary(hartonomous.regmodel) IS
  'storage_report() for people to read: the parts of a model and their sum, in PostgreSQL''s units';
