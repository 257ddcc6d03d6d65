-- Partitions of atoms: each revision that writes atoms has a table. Its name, its columns and its indexes.

CREATE FUNCTION hartonomous_internal.atoms_partition(model integer, revision integer) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.atoms_partition(integer, integer) IS
  'name, in schema hartonomous_partitions, of the partition that a revision wrote (its atoms, or those it removed)';

CREATE FUNCTION hartonomous_internal.partition_exists(model integer, revision integer) RETURNS boolean
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
  RETURN to_regclass(
    format('hartonomous_partitions.%I', hartonomous_internal.atoms_partition(model, revision))) IS NOT NULL;
COMMENT ON FUNCTION hartonomous_internal.partition_exists(integer, integer) IS 'whether that partition exists';

CREATE FUNCTION hartonomous_internal.partition_of(model integer, revision integer) RETURNS regclass
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
  RETURN format('hartonomous_partitions.%I', hartonomous_internal.atoms_partition(model, revision))::regclass;
COMMENT ON FUNCTION hartonomous_internal.partition_of(integer, integer) IS
  'that partition; 42P01 if it does not exist, 22004 if an argument is NULL';

-- The columns that stages copy: all columns that are not generated, including those added by the user.
CREATE FUNCTION hartonomous_internal.atom_columns(relation regclass, also_in regclass DEFAULT NULL) RETURNS name[]
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
BEGIN ATOMIC
  SELECT array_agg(a.attname ORDER BY a.attnum)
    FROM pg_attribute a
   WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
     AND (also_in IS NULL OR EXISTS (
           SELECT FROM pg_attribute b
            WHERE b.attrelid = also_in AND b.attname = a.attname AND NOT b.attisdropped AND b.attgenerated = ''));
END;
COMMENT ON FUNCTION hartonomous_internal.atom_columns(regclass, regclass) IS
  'the columns of a table of atoms that are stored and not generated, in order; if a second table is given, only those '
  'that it has, too';

-- revision_id tells which partition a row belongs to; it is the only column that changes when a row moves.
CREATE FUNCTION hartonomous_internal.moved_columns(source regclass, target regclass) RETURNS text
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
BEGIN ATOMIC
  SELECT string_agg(quote_ident(c), ', ' ORDER BY n)
    FROM unnest(hartonomous_internal.atom_columns(source, target)) WITH ORDINALITY AS columns (c, n)
    WHERE c <> 'revision_id';
END;
COMMENT ON FUNCTION hartonomous_internal.moved_columns(regclass, regclass) IS
  'the columns that a row keeps when it moves from one table of atoms to another, as a list for a query: all but '
  'revision_id';

CREATE FUNCTION hartonomous_internal.create_atoms_partition(model integer, revision integer) RETURNS regclass
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition text := hartonomous_internal.atoms_partition(model, revision);
  owner name;
  -- As PostgreSQL does for new partitions. The tablespace of the database is none, so that default_tablespace decides.
  tablespace name := (SELECT t.spcname FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
                       WHERE c.oid = 'hartonomous.tensor_atoms'::regclass);
BEGIN
  -- The CHECK implies the partition bound of either parent, so that ATTACH never scans the table. The number of
  -- parallel workers is fixed, because the planner's estimate includes neither TOASTed values nor the cost of decoding.
  EXECUTE format($ddl$
    CREATE TABLE hartonomous_partitions.%I (
      LIKE hartonomous.tensor_atoms
        INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING CONSTRAINTS,
      CONSTRAINT %I CHECK (model_id = %s AND revision_id = %s))
      WITH (parallel_workers = 4) %s
    $ddl$, partition, partition || '_bound', model, revision, 'TABLESPACE ' || quote_ident(tablespace));
  -- The partition has no primary key until it is indexed, and a delta never gets one. Without a replica identity a
  -- publication would forbid DELETE on it.
  EXECUTE format('ALTER TABLE hartonomous_partitions.%I REPLICA IDENTITY FULL', partition);
  -- Weights have no sort order, so counting distinct values would dominate ANALYZE; and no query searches for them.
  EXECUTE format('ALTER TABLE hartonomous_partitions.%I ALTER atom_data SET STATISTICS 0', partition);
  SELECT pg_get_userbyid(c.relowner) INTO STRICT owner
    FROM pg_class c WHERE c.oid = 'hartonomous.tensor_atoms'::regclass;
  IF owner <> current_user THEN
    EXECUTE format('ALTER TABLE hartonomous_partitions.%I OWNER TO %I', partition, owner);
  END IF;
  RETURN format('hartonomous_partitions.%I', partition)::regclass;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.create_atoms_partition(integer, integer) IS
  'creates a table of atoms that is not attached to any parent and has no indexes yet';

-- Users may add columns to tensor_atoms; ATTACH requires the same columns in both tables.
CREATE FUNCTION hartonomous_internal.add_missing_columns(target regclass, pattern regclass) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  missing record;
BEGIN
  FOR missing IN
    SELECT a.attname, format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END
           || CASE
           WHEN a.attgenerated <> '' THEN format(' GENERATED ALWAYS AS (%s) STORED', pg_get_expr(d.adbin, d.adrelid))
                   WHEN d.adbin IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) ELSE '' END
           || CASE WHEN a.attnotnull AND pattern = 'hartonomous.tensor_atoms'::regclass THEN ' NOT NULL' ELSE '' END
           AS definition
      FROM pg_attribute a
      JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = pattern AND a.attnum > 0 AND NOT a.attisdropped
       AND NOT EXISTS (SELECT FROM pg_attribute b
                        WHERE b.attrelid = target AND b.attname = a.attname AND NOT b.attisdropped)
     ORDER BY a.attnum
  LOOP
    EXECUTE format('ALTER TABLE %s ADD COLUMN %I %s', target, missing.attname, missing.definition);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.add_missing_columns(regclass, regclass) IS
  'adds to a table of atoms the columns of another table that it lacks, as ALTER TABLE on that one added them';

CREATE FUNCTION hartonomous_internal.drop_foreign_columns(target regclass) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  foreign_column name;
BEGIN
  FOR foreign_column IN
    SELECT a.attname FROM pg_attribute a
     WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
       AND NOT EXISTS (SELECT FROM pg_attribute b WHERE b.attrelid = 'hartonomous.tensor_atoms'::regclass
                          AND b.attname = a.attname AND NOT b.attisdropped)
  LOOP
    EXECUTE format('ALTER TABLE %s DROP COLUMN %I', target, foreign_column);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.drop_foreign_columns(regclass) IS
  'drops from a detached partition the columns that were dropped from tensor_atoms since';

-- The partition is attached to an empty table like tensor_atoms, so that PostgreSQL creates all indexes and keys of
-- that one here, including the user's own. The later ATTACH to tensor_atoms then adopts them instead of building them
-- while it holds a lock on it.
CREATE FUNCTION hartonomous_internal.index_atoms_partition(partition regclass) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  pattern text := (SELECT c.relname || '_pattern' FROM pg_class c WHERE c.oid = partition);
BEGIN
  IF pattern IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42P01',
      format('table %s does not exist', coalesce(partition::oid::text, 'NULL')));
  END IF;
  PERFORM hartonomous_internal.add_missing_columns(partition, 'hartonomous.tensor_atoms');
  PERFORM hartonomous_internal.drop_foreign_columns(partition);
  EXECUTE format(
    'CREATE TABLE hartonomous_partitions.%I (LIKE hartonomous.tensor_atoms INCLUDING GENERATED INCLUDING INDEXES) '
    'PARTITION BY LIST (model_id)', pattern);
  -- With a fixed number of workers PostgreSQL would start them for the index of the smallest table, too, which takes
  -- longer than all else here.
  EXECUTE format('ALTER TABLE %s RESET (parallel_workers)', partition);
  EXECUTE format('ALTER TABLE hartonomous_partitions.%I ATTACH PARTITION %s DEFAULT', pattern, partition);
  EXECUTE format('ALTER TABLE hartonomous_partitions.%I DETACH PARTITION %s', pattern, partition);
  EXECUTE format('DROP TABLE hartonomous_partitions.%I', pattern);
  EXECUTE format('ALTER TABLE %s SET (parallel_workers = 4)', partition);
  EXECUTE format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', partition);
  EXECUTE format('ANALYZE %s', partition);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.index_atoms_partition(regclass) IS
  'builds on a filled partition the primary key and all indexes of tensor_atoms, and analyzes it';

-- Before version 0.2.0 partitions were in schema hartonomous, and the owner of the store had CREATE there.
CREATE FUNCTION hartonomous_internal.move_partitions() RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  owner regrole := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'hartonomous.models'::regclass);
  partition regclass;
BEGIN
  FOR partition IN
    SELECT c.oid FROM pg_class c
     WHERE c.relnamespace = 'hartonomous'::regnamespace AND c.relkind = 'r'
     AND c.relname ~ '^tensor_atoms_m[0-9]+_r[0-9]+$'
  LOOP
    IF NOT has_schema_privilege(owner, 'hartonomous_partitions', 'CREATE') THEN
      EXECUTE format('GRANT CREATE ON SCHEMA hartonomous_partitions TO %s', owner);
    END IF;
    EXECUTE format('ALTER TABLE %s SET SCHEMA hartonomous_partitions', partition);
  END LOOP;
  IF EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
              WHERE n.nspname = 'hartonomous' AND pg_has_role(n.nspowner, 'USAGE')
                AND a.grantee = owner AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner) THEN
    EXECUTE format('REVOKE CREATE ON SCHEMA hartonomous FROM %s', owner);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.move_partitions() IS
  'moves partitions that an earlier version made in schema hartonomous to hartonomous_partitions';
