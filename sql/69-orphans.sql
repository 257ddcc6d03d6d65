-- What no model owns any more: partitions that stayed behind when a row of models was deleted by hand (delete_model()
-- takes them along), and rows that foreign keys would have deleted, had they not been switched off.

CREATE FUNCTION hartonomous.orphaned_partitions() RETURNS SETOF regclass
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT p.oid::regclass
      FROM (SELECT c.oid, regexp_match(c.relname, '^tensor_atoms_m(\d{1,10})_r(\d{1,10})$')::bigint[] AS numbers
              FROM pg_class c WHERE c.relnamespace = 'hartonomous'::regnamespace AND c.relkind = 'r') p
     WHERE p.numbers IS NOT NULL
       AND NOT EXISTS (SELECT FROM hartonomous.model_revisions r JOIN hartonomous.models m USING (model_id)
                        WHERE r.model_id = p.numbers[1] AND r.revision_id = p.numbers[2])
     ORDER BY p.numbers;
END
$$;
COMMENT ON FUNCTION hartonomous.orphaned_partitions() IS 'partitions of atoms whose model, or revision, is gone';

CREATE FUNCTION hartonomous.orphaned_rows() RETURNS TABLE (relation text, condition text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 50 ROWS 10
BEGIN ATOMIC
  SELECT f.relation, 'NOT hartonomous.partition_exists(t.model_id, t.revision_id) OR NOT EXISTS '
         '(SELECT FROM hartonomous.model_revisions r WHERE r.model_id = t.model_id AND r.revision_id = t.revision_id)'
    FROM unnest(hartonomous.form_tables()) f (relation)
  UNION ALL
  (SELECT t.relation, coalesce(t.condition, 'NOT EXISTS (SELECT FROM hartonomous.models m WHERE m.model_id = t.model_id)')
    FROM (VALUES
      (2, 'compression_steps', 'NOT EXISTS (SELECT FROM hartonomous.compression_runs r WHERE r.run_id = t.run_id)'),
      (3, 'compression_runs', NULL), (4, 'validation_results', NULL), (5, 'atom_usage_stats', NULL),
      (6, 'model_layers', NULL), (7, 'model_revisions', NULL)) t (n, relation, condition)
   ORDER BY t.n);
END;
COMMENT ON FUNCTION hartonomous.orphaned_rows() IS
  'a row a table of the store, those that refer to others first: the condition (t is the table) under which what a row belongs to is gone';

CREATE FUNCTION hartonomous.check_store()
  RETURNS TABLE (fault text, object text, rows bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  orphans record;
BEGIN
  IF to_regclass('hartonomous.models') IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
    SELECT 'orphaned partition', c.relname::text, NULL::bigint,
           format('%s on disk', hartonomous.human_bytes(pg_total_relation_size(p)))
      FROM hartonomous.orphaned_partitions() p JOIN pg_class c ON c.oid = p;
  FOR orphans IN SELECT * FROM hartonomous.orphaned_rows() LOOP
    EXECUTE format('SELECT count(*) FROM hartonomous.%I t WHERE %s', orphans.relation, orphans.condition) INTO rows;
    IF rows > 0 THEN
      fault := 'orphaned rows';
      object := orphans.relation;
      detail := 'what they belong to is gone';
      RETURN NEXT;
    END IF;
  END LOOP;
  RETURN QUERY
    SELECT c.fault, c.object, c.atoms, format('of model %s', m.model_id) || coalesce(': ' || c.detail, '')
      FROM hartonomous.models m, hartonomous.check_partitions(m.model_id) c
     WHERE c.fault <> 'orphaned partition' ORDER BY m.model_id;
END
$$;
COMMENT ON FUNCTION hartonomous.check_store() IS
  'what is wrong with the store as a whole, a row a fault, none when all is well: partitions and rows of models that are gone (drop_orphans() drops them), partitions that are missing or in the wrong place; reads no atoms, which check_model() does; nothing without a store';

CREATE FUNCTION hartonomous.drop_orphans() RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  partitions regclass[];
  partition regclass;
  orphans record;
  freed bigint := 0;
BEGIN
  IF to_regclass('hartonomous.models') IS NULL THEN
    RETURN 0;
  END IF;
  partitions := ARRAY(SELECT hartonomous.orphaned_partitions());
  IF partitions <> '{}' THEN
    PERFORM hartonomous.lock_for_swap(partitions, 'ACCESS EXCLUSIVE', 'ACCESS EXCLUSIVE');
  END IF;
  FOREACH partition IN ARRAY partitions LOOP
    freed := freed + pg_total_relation_size(partition);
    EXECUTE format('DROP TABLE %s', partition);
  END LOOP;
  FOR orphans IN SELECT * FROM hartonomous.orphaned_rows() LOOP
    EXECUTE format('DELETE FROM hartonomous.%I t WHERE %s', orphans.relation, orphans.condition);
  END LOOP;
  RETURN freed;
END
$$;
COMMENT ON FUNCTION hartonomous.drop_orphans() IS
  'drops the partitions and rows that check_store() calls orphaned; returns the bytes of disk that the partitions took, freed when the transaction commits; 55P03 when readers of the atoms do not end; 0 without a store';
