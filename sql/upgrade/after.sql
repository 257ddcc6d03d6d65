
-- The end of every script for ALTER EXTENSION hartonomous UPDATE: rights on functions are as they were. What GRANT and
-- REVOKE say in a script counts as said by the extension, and pg_dump would leave it out; so pg_init_privs gets what it
-- had before.
DO $$
DECLARE
  saved record;
  grantee text;
BEGIN
  CREATE TEMPORARY TABLE hartonomous_initial AS
    SELECT p.oid, i.initprivs FROM hartonomous_rights r JOIN pg_proc p ON p.oid = to_regprocedure(r.routine)
      LEFT JOIN pg_init_privs i ON i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid
     GROUP BY p.oid, i.initprivs;
  FOR saved IN SELECT r.* FROM hartonomous_rights r WHERE to_regprocedure(r.routine) IS NOT NULL LOOP
    grantee := CASE WHEN saved.grantee = 0 THEN 'PUBLIC' ELSE saved.grantee::regrole::text END;
    IF saved.revoked THEN
      EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s', saved.routine, grantee);
    ELSE
      EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s%s', saved.routine, grantee,
        CASE WHEN saved.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END IF;
  END LOOP;
  UPDATE pg_init_privs i SET initprivs = s.initprivs FROM hartonomous_initial s
   WHERE i.classoid = 'pg_proc'::regclass AND i.objoid = s.oid AND s.initprivs IS NOT NULL;
  DELETE FROM pg_init_privs i USING hartonomous_initial s
   WHERE i.classoid = 'pg_proc'::regclass AND i.objoid = s.oid AND s.initprivs IS NULL;
  DROP TABLE hartonomous_initial;
  DROP TABLE hartonomous_rights;
END
$$;
