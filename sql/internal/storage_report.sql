-- Parts of storage_report(): what is free, what is kept about a model besides its atoms, and how to free it.

CREATE FUNCTION hartonomous_internal.free_bytes_of_relation(relation regclass) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous_internal.free_bytes_of_relation(regclass) IS
  'bytes free in the pages of a table according to its free space map, which VACUUM updates; 0 if there is '
  'no such table';

CREATE FUNCTION hartonomous_internal.unused_bytes(partition regclass, OUT bytes bigint, OUT dead_rows bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  SELECT coalesce(sum(hartonomous_internal.free_bytes_of_relation(t.id)
           + pg_relation_size(t.id) * s.dead / greatest(s.live + s.dead, 1)), 0),
         coalesce(max(s.dead) FILTER (WHERE t.id = partition), 0)
    INTO bytes, dead_rows
    FROM (SELECT c.oid AS id FROM pg_class c WHERE c.oid = partition
          UNION ALL SELECT c.reltoastrelid FROM pg_class c WHERE c.oid = partition AND c.reltoastrelid <> 0) t,
         LATERAL (SELECT pg_stat_get_dead_tuples(t.id)::numeric AS dead, pg_stat_get_live_tuples(t.id) AS live) s;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.unused_bytes(regclass) IS
  'bytes of a table and its TOAST that hold no live rows: free in its pages, or of dead rows that VACUUM has '
  'not removed '
  'yet; and the number of those rows. Both are the server''s estimates';

-- The tables are shared by all models, so that rows are counted, as they are stored.
CREATE FUNCTION hartonomous_internal.stored_statistics(model integer)
  RETURNS TABLE (table_name text, revision_id integer, calibration_set text, entries bigint, bytes bigint,
    freed_by text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  header constant integer := 28;  -- of a row, with its pointer in the page
  kept record;
BEGIN
  FOR kept IN
    SELECT c.oid::regclass AS relation, k.by_revision,
           string_agg(format('coalesce(pg_column_size(t.%I), 0)', a.attname), ' + ' ORDER BY a.attnum) AS size
      FROM (VALUES ('calibration_stats', true, 1), ('calibration_grams', true, 2), ('sensitivities', true, 3),
                   ('sensitivity_probes', true, 4), ('svd_spectra', true, 5), ('atom_usage_stats', false, 6))
           AS k (name, by_revision, n)
      JOIN pg_class c ON c.relnamespace = 'hartonomous'::regnamespace AND c.relname = k.name
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE has_table_privilege(c.oid, 'SELECT')
     GROUP BY c.oid, k.by_revision, k.n ORDER BY k.n
  LOOP
    RETURN QUERY EXECUTE format($sql$
      SELECT $2, s.revision, s.name, s.entries, s.bytes,
             concat_ws(' AND ', format('DELETE FROM %%s WHERE model_id = %%s', $2, $1),
                                'revision_id = ' || s.revision, 'calibration_set = ' || quote_literal(s.name))
        FROM (SELECT %s AS revision, %s AS name, count(*) AS entries, sum(%s + %s)::bigint AS bytes
                FROM %s t WHERE t.model_id = $1 GROUP BY 1, 2) s ORDER BY s.revision, s.name$sql$,
      CASE WHEN kept.by_revision THEN 't.revision_id' ELSE 'NULL::integer' END,
      CASE WHEN kept.by_revision THEN 't.calibration_set' ELSE 'NULL::text' END, header, kept.size, kept.relation)
      USING model, kept.relation::text;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.stored_statistics(integer) IS
  'what has been measured of a model and takes space: one row per table, revision and calibration set, with '
  'the number of '
  'its rows, their bytes, and the statement that deletes them; without tables that the caller may not read';

-- A partition is dropped with the last revision that needs it; the live one only with the model.
CREATE FUNCTION hartonomous_internal.freed_by(model integer, base integer) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  statement text;
BEGIN
  -- Readers of the atoms need not be allowed to see runs.
  IF has_table_privilege('hartonomous.compression_runs', 'SELECT') THEN
    statement := (SELECT format('SELECT hartonomous.abandon_run(%s)', max(c.run_id)) FROM hartonomous.compression_runs c
                   WHERE c.model_id = model AND c.revision_id = base AND c.state = 'running' HAVING count(*) > 0);
  END IF;
  RETURN coalesce(
    statement,
    (SELECT 'SELECT ' || string_agg(format('hartonomous.drop_backup(%s)', r.revision_id), ', ' ORDER BY r.revision_id)
       FROM hartonomous.model_revisions r
       JOIN hartonomous.model_revisions b ON b.revision_id = base
      WHERE r.model_id = model AND r.base_revision_id = b.base_revision_id AND r.state IN ('backup', 'archived')
        AND r.revision_id <> hartonomous_internal.current_revision(model)
        AND (b.kind = 'in_place' OR b.base_revision_id <> hartonomous_internal.live_base(model))),
    format('SELECT hartonomous.delete_model(%s)', model));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.freed_by(integer, integer) IS
  'the statement that drops the partition of a revision of a model, as text to read';
