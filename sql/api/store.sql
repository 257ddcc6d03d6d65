-- The store consists of ordinary tables. They are owned by a role and do not belong to the extension, so that pg_dump
-- dumps their rows, columns, indexes and policies.

CREATE FUNCTION hartonomous.create_store(owner regrole DEFAULT quote_ident(CURRENT_USER)::regrole) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET client_min_messages = warning
AS $$
#variable_conflict use_variable
BEGIN
  IF hartonomous_internal.store_exists() THEN
    RETURN;
  END IF;
  -- One session creates the store; concurrent callers wait for it and then find it.
  PERFORM pg_advisory_xact_lock('hartonomous'::regnamespace::oid::int, 0);
  IF hartonomous_internal.version_of_tables() IS NOT NULL THEN
    RETURN;
  END IF;
  IF NOT has_schema_privilege('hartonomous', 'CREATE')
     OR NOT has_function_privilege(hartonomous_internal.owners_function(), 'EXECUTE WITH GRANT OPTION') THEN
    PERFORM hartonomous_internal.raise_error('42501',
      format('there is no store yet, and role "%s" may not create it', current_user),
      hint => format('Ask a superuser to run: SELECT hartonomous.create_store(%L);', quote_ident(current_user)));
  END IF;

  PERFORM hartonomous_internal.create_tables('hartonomous');
  INSERT INTO hartonomous.store (version) VALUES (hartonomous_internal.store_version());
  PERFORM hartonomous_internal.own_store(owner);
END
$$;
COMMENT ON FUNCTION hartonomous.create_store(regrole) IS
  'creates the tables of the store, which belong to the given role and not to the extension; checks their version if '
  'they exist; 42501 without the right to create them';

CREATE FUNCTION hartonomous.upgrade_store() RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  found integer;
  owner name;
  step text;
  changes text[];
  readers text;
  added text;
BEGIN
  found := hartonomous_internal.version_of_tables();
  IF found IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42P01', 'there is no store',
      hint => 'SELECT hartonomous.create_store();');
  END IF;
  IF found > hartonomous_internal.store_version() THEN
    PERFORM hartonomous_internal.store_exists();
  END IF;
  SELECT pg_get_userbyid(c.relowner) INTO STRICT owner
    FROM pg_class c WHERE c.relnamespace = 'hartonomous'::regnamespace AND c.relname = 'models';
  -- Nobody else may create tables there.
  IF NOT has_schema_privilege('hartonomous', 'CREATE') OR NOT pg_has_role(owner, 'USAGE') THEN
    PERFORM hartonomous_internal.raise_error('42501', format('role "%s" may not change the tables of the store',
        current_user), hint => 'Ask a superuser to run: SELECT hartonomous.upgrade_store();');
  END IF;
  PERFORM pg_advisory_xact_lock('hartonomous'::regnamespace::oid::int, 0);
  -- Every function asks this table first, and so waits until the upgrade has ended.
  LOCK TABLE hartonomous.store IN ACCESS EXCLUSIVE MODE;
  found := hartonomous_internal.version_of_tables();
  FOR step IN SELECT s.step FROM hartonomous_internal.store_steps() s WHERE s.version > found AND NOT s.of_data LOOP
    EXECUTE format('SELECT hartonomous_internal.%I()', step);
  END LOOP;
  readers := hartonomous_internal.readers_of_all();
  SELECT string_agg(format('hartonomous.%I', t), ', ') INTO added
    FROM unnest(hartonomous.store_tables() || hartonomous_internal.store_views()) t
   WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'hartonomous'::regnamespace AND c.relname = t);
  changes := hartonomous_internal.missing_parts();
  PERFORM hartonomous_internal.make_parts(changes);
  IF readers IS NOT NULL AND added IS NOT NULL THEN
    EXECUTE format('GRANT SELECT ON %s TO %s', added, readers);
  END IF;
  PERFORM hartonomous_internal.own_store(quote_ident(owner)::regrole);
  FOR step IN SELECT s.step FROM hartonomous_internal.store_steps() s WHERE s.version > found AND s.of_data LOOP
    EXECUTE format('SELECT hartonomous_internal.%I()', step);
  END LOOP;
  PERFORM hartonomous_internal.record_version();
  RETURN cardinality(changes);
END
$$;
COMMENT ON FUNCTION hartonomous.upgrade_store() IS
  'brings the tables of an earlier version to the layout of this one, in one transaction, and returns the number of '
  'changes: 0 if there was nothing to do; 55000 if they are newer than the code, 42P01 if there are none, '
  '42501 without '
  'the right to create tables in schema hartonomous, 55P03 if a session is working on a run';

-- Not as the owner, as which operators act: they may delete models, but not the store.
CREATE FUNCTION hartonomous.drop_store(with_models boolean DEFAULT false) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  relations text;
  models bigint;
BEGIN
  -- Not store_exists(): a store of another version can be dropped, too.
  IF hartonomous_internal.version_of_tables() IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42P01', 'there is no store');
  END IF;
  PERFORM pg_advisory_xact_lock('hartonomous'::regnamespace::oid::int, 0);
  SELECT count(*) INTO models FROM hartonomous.models;
  IF models > 0 AND with_models IS NOT TRUE THEN
    PERFORM hartonomous_internal.raise_error('2BP01', format('the store has %s models', models),
      hint => 'SELECT hartonomous.drop_store(with_models => true); drops them, too, with all their revisions.');
  END IF;
  SELECT string_agg(c.oid::regclass::text, ', ') INTO relations FROM pg_class c
   WHERE c.relnamespace = 'hartonomous'::regnamespace AND c.relkind = 'v'
     AND c.relname = ANY (hartonomous_internal.store_views());
  IF relations IS NOT NULL THEN
    EXECUTE 'DROP VIEW ' || relations;
  END IF;
  -- Together, because they refer to each other. Attached partitions go with their tables.
  SELECT string_agg(c.oid::regclass::text, ', ') INTO relations FROM pg_class c
   WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
     AND (c.relnamespace = 'hartonomous'::regnamespace AND c.relname = ANY (hartonomous.store_tables())
          OR c.relnamespace = 'hartonomous_partitions'::regnamespace AND c.relname ~ '^tensor_atoms_m[0-9]+_r[0-9]+$');
  EXECUTE 'DROP TABLE ' || relations;
END
$$;
COMMENT ON FUNCTION hartonomous.drop_store(boolean) IS
  'drops the tables and views that create_store() made, with all partitions; 2BP01 if there are models and '
  'with_models is '
  'not true, or if a view or a foreign key of yours needs one, 42P01 if there is no store, 42501 if it belongs '
  'to another '
  'role';
