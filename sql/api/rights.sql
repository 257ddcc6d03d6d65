-- Rights on the store: what readers, operators and importers are granted, and who owns it (docs/manual/rights.md).
-- These are ordinary GRANTs on the tables of the store. Partitions need none: who may read tensor_atoms reads them
-- through it.

CREATE FUNCTION hartonomous.store_rights() RETURNS TABLE (rank integer, what text, privilege text, relation name)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250 ROWS 30
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT 1, 'reader', 'SELECT', c.relname
      FROM pg_class c JOIN pg_class m ON m.oid = to_regclass('hartonomous.models') AND m.relowner = c.relowner
     WHERE c.relnamespace = 'hartonomous'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    UNION ALL SELECT 2, 'operator', 'UPDATE', 'models'::name
    UNION ALL SELECT 3, 'importer', 'INSERT', 'models'::name;
END
$$;
COMMENT ON FUNCTION hartonomous.store_rights() IS
  'the privileges on tables and views of the store that make a role a reader (may see, evaluate and export '
  'all models), '
  'an operator (may also run stages) or an importer (may also add models); each has those of the lower ranks, too';

CREATE FUNCTION hartonomous.grant_store(role regrole, what text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  granted record;
BEGIN
  PERFORM hartonomous_internal.check_rights(role, what);
  IF what <> 'reader' AND hartonomous_internal.store_owner_is_superuser() THEN
    PERFORM hartonomous_internal.raise_error('55000',
      'a store of a superuser has no operators, who would act with the rights of its owner',
      hint => 'Hand it over to a role that is no superuser: SELECT hartonomous.set_store_owner(role);');
  END IF;
  FOR granted IN
    SELECT r.privilege, r.relation FROM hartonomous.store_rights() r
     WHERE r.rank <= (SELECT max(u.rank) FROM hartonomous.store_rights() u WHERE u.what = grant_store.what)
  LOOP
    EXECUTE format('GRANT %s ON hartonomous.%I TO %s', granted.privilege, granted.relation, role);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.grant_store(regrole, text) IS
  'grants a role what a reader, an operator (who is also a reader) or an importer (who is also both) needs; 42501 '
  'without the right to grant it, 22023 if there is no such set of rights, 42704 if there is no such role, 55000 if a '
  'superuser owns the store of which somebody is to be an operator or an importer';

CREATE FUNCTION hartonomous.revoke_store(role regrole, what text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  granted record;
BEGIN
  PERFORM hartonomous_internal.check_rights(role, what);
  FOR granted IN
    SELECT r.privilege, r.relation FROM hartonomous.store_rights() r
     WHERE r.rank >= (SELECT max(u.rank) FROM hartonomous.store_rights() u WHERE u.what = revoke_store.what)
  LOOP
    EXECUTE format('REVOKE %s ON hartonomous.%I FROM %s', granted.privilege, granted.relation, role);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.revoke_store(regrole, text) IS
  'takes away what makes a role a reader, an operator or an importer, and what goes beyond that: who is no reader any '
  'more is no operator either; errors as grant_store()';

CREATE FUNCTION hartonomous.set_store_owner(owner regrole) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  old regrole;
  relation regclass;
BEGIN
  PERFORM hartonomous_internal.check_rights(owner, 'reader');
  IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
    PERFORM hartonomous_internal.raise_error('42501', 'only a superuser can hand a store over');
  END IF;
  SELECT c.relowner INTO STRICT old FROM pg_class c WHERE c.oid = to_regclass('hartonomous.models');
  IF NOT has_schema_privilege(owner, 'hartonomous_partitions', 'CREATE') THEN
    EXECUTE format('GRANT CREATE ON SCHEMA hartonomous_partitions TO %s', owner);
  END IF;
  EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', hartonomous_internal.owners_function(), owner);
  FOR relation IN
    SELECT c.oid FROM pg_class c
     WHERE c.relnamespace IN ('hartonomous'::regnamespace, 'hartonomous_partitions'::regnamespace)
       AND c.relkind IN ('r', 'p', 'v') AND c.relowner = old ORDER BY c.relnamespace, c.relname
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO %s', relation, owner);
  END LOOP;
  IF old <> owner THEN
    EXECUTE format('REVOKE CREATE ON SCHEMA hartonomous_partitions FROM %s', old);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM %s', hartonomous_internal.owners_function(), old);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.set_store_owner(regrole) IS
  'hands the store with all its tables, views and partitions over to another role, for superusers; readers, operators '
  'and importers keep their rights, the old owner keeps none; 42501 for others, 42704 if there is no such role, 42P01 '
  'without a store';

-- compression_steps and the like belong to a model by what they refer to.
CREATE FUNCTION hartonomous.protect_store() RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
  protected record;
BEGIN
  IF current_setting('server_version_num')::integer < 150000 THEN
    PERFORM hartonomous_internal.raise_error('0A000', 'row-level security of a store needs PostgreSQL 15 or newer',
      'Views of earlier versions have the rights of their owner, who sees all models.');
  END IF;
  FOR protected IN
    SELECT a.attrelid::regclass AS relation, v.name, v.parent
      FROM unnest(hartonomous.store_tables()) t (name)
      JOIN (VALUES (1, 'model_id', 'models'), (2, 'run_id', 'compression_runs'), (3, 'job_id', 'compression_jobs'),
                   (4, 'weights_hash', 'tensor_atoms_archive')) v (n, name, parent) ON v.parent <> t.name
      JOIN pg_attribute a ON a.attrelid = to_regclass(format('hartonomous.%I', t.name)) AND a.attname = v.name
     WHERE t.name <> 'models'
       AND (v.name = 'model_id' OR NOT EXISTS (SELECT FROM pg_attribute b
                                                WHERE b.attrelid = a.attrelid AND b.attname = 'model_id'))
  LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', protected.relation);
    EXECUTE format('DROP POLICY IF EXISTS of_visible_models ON %s', protected.relation);
    EXECUTE format('CREATE POLICY of_visible_models ON %s USING (%I IN (SELECT p.%2$I FROM hartonomous.%I p))',
                   protected.relation, protected.name, protected.parent);
  END LOOP;
  ALTER VIEW hartonomous.compression_backups SET (security_invoker = true);
  ALTER VIEW hartonomous.archived_tensor_atoms SET (security_invoker = true);
END
$$;
COMMENT ON FUNCTION hartonomous.protect_store() IS
  'enables row-level security on the tables of the store, with policies under which a role sees and changes what '
  'belongs to the models that the policies of hartonomous.models, which are yours to write, let it see; for the owner; '
  '0A000 before PostgreSQL 15';
