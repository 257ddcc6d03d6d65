-- Logical replication: makes a store that of a subscriber (internal/replication.sql says how it follows its publisher).

CREATE FUNCTION hartonomous.follow_publisher(follow boolean DEFAULT true) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
  made record;
  counted record;
  next bigint;
BEGIN
  -- Not store_exists(): before the first copy the table store is empty.
  IF hartonomous_internal.version_of_tables() IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42P01', 'there is no store',
      hint => 'pg_dump --schema-only of the publisher makes one without rows.');
  ELSIF follow IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'follow is NULL');
  END IF;
  FOR made IN SELECT f.*, format('hartonomous.%I', f.relation)::regclass AS on_table
                FROM hartonomous_internal.follower_triggers() f LOOP
    EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', made.trigger_name, made.on_table);
    IF follow THEN
      EXECUTE format(made.definition || ' EXECUTE FUNCTION hartonomous_internal.%1$I()', made.trigger_name,
                     made.on_table);
      IF made.fires IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER %I', made.on_table, made.fires, made.trigger_name);
      END IF;
    END IF;
  END LOOP;
  IF NOT follow THEN
    -- Sequences are not replicated.
    FOR counted IN
      SELECT a.attrelid::regclass AS relation, a.attname, pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)
             AS sequence
        FROM unnest(hartonomous.store_tables()) t
        JOIN pg_attribute a ON a.attrelid = format('hartonomous.%I', t)::regclass AND a.attidentity <> ''
    LOOP
      EXECUTE format('SELECT max(%I) FROM %s', counted.attname, counted.relation) INTO next;
      PERFORM setval(counted.sequence::regclass, coalesce(next, 0) + 1, false);
    END LOOP;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.follow_publisher(boolean) IS
  'lets this store follow that of a publisher of logical replication: triggers create, swap and drop partitions as '
  'stages do there, and nobody else changes anything here; with false, makes it an independent store; for its owner; '
  '42P01 if there is no store, 22004 for NULL';
