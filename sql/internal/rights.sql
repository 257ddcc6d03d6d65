-- Checks for grant_store(), revoke_store() and set_store_owner().

CREATE FUNCTION hartonomous_internal.check_rights(role regrole, what text) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF to_regclass('hartonomous.models') IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42P01', 'there is no store',
      hint => 'SELECT hartonomous.create_store();');
  ELSIF what IS NULL OR what NOT IN ('reader', 'operator', 'importer') THEN
    PERFORM hartonomous_internal.raise_error('22023', format('there are no rights of "%s"', coalesce(what, 'NULL')),
      hint => 'There are those of "reader", "operator" and "importer".');
  ELSIF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) THEN
    PERFORM hartonomous_internal.raise_error('42704', format('role %s does not exist', coalesce(role::text, 'NULL')));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_rights(regrole, text) IS
  '42P01 without a store, 22023 if there is no such set of rights, 42704 if there is no such role';

CREATE FUNCTION hartonomous_internal.store_owner_is_superuser() RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT o.rolsuper FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner
           WHERE c.oid = to_regclass('hartonomous.models'));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.store_owner_is_superuser() IS
  'whether the owner of the store is a superuser; NULL without a store';
