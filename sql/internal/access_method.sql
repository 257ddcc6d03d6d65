-- Backups in another access method than that of ordinary tables: columnar, of Citus. Such a partition stays where it
-- is, and becomes an ordinary table again before it is made live, because it has neither updates nor spatial indexes.

CREATE FUNCTION hartonomous_internal.is_columnar(revision integer) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN EXISTS (
    SELECT FROM hartonomous.model_revisions r
      JOIN pg_class c ON c.oid = to_regclass(format('hartonomous_partitions.%I',
                                   hartonomous_internal.atoms_partition(r.model_id, r.base_revision_id)))
      JOIN pg_am a ON a.oid = c.relam AND a.amname <> 'heap'
     WHERE r.revision_id = revision AND r.state = 'backup');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.is_columnar(integer) IS
  'whether a revision is a backup whose partition has another access method than heap';

CREATE FUNCTION hartonomous_internal.require_access_method(method text) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF method IS DISTINCT FROM 'columnar' THEN
    PERFORM hartonomous_internal.raise_error('22023', format('atoms are not archived in access method "%s"', method),
      hint => 'The only one is columnar; without one, revisions are archived in chunks.');
  ELSIF NOT EXISTS (SELECT FROM pg_am a WHERE a.amname = method AND a.amtype = 't') THEN
    PERFORM hartonomous_internal.raise_error('0A000', format('access method "%s" does not exist', method),
      hint => 'It is part of Citus: CREATE EXTENSION citus_columnar;');
  ELSIF current_setting('server_version_num')::integer < 150000 THEN
    PERFORM hartonomous_internal.raise_error('0A000', 'a table keeps its access method before PostgreSQL 15');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_access_method(text) IS
  '22023 if backups cannot be in an access method, 0A000 if it is not installed, or the server cannot change it';

CREATE FUNCTION hartonomous_internal.use_access_method(model integer, base integer, method text) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition constant regclass := hartonomous_internal.partition_of(model, base);
  index regclass;
BEGIN
  IF EXISTS (SELECT FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = partition AND a.amname = method) THEN
    RETURN;
  END IF;
  PERFORM hartonomous_internal.lock_backups(model);
  FOR index IN
    SELECT i.indexrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
     WHERE i.indrelid = partition AND a.amname <> 'btree'
  LOOP
    EXECUTE format('DROP INDEX %s', index);
  END LOOP;
  EXECUTE format('ALTER TABLE %s SET ACCESS METHOD %I', partition, method);
  IF method = 'heap' THEN
    EXECUTE format('ALTER TABLE hartonomous.tensor_atoms_backup DETACH PARTITION %s', partition);
    PERFORM hartonomous_internal.index_atoms_partition(partition);
    PERFORM hartonomous_internal.attach_backup(model, base);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.use_access_method(integer, integer, text) IS
  'rewrites the partition of a backup in an access method, unless it has it; in one other than heap it has no spatial '
  'indexes; 55P03 after hartonomous.swap_timeout';
