-- The beginning of every script for ALTER EXTENSION hartonomous UPDATE. Behind it comes the SQL of the new version,
-- whose functions replace those of the same name and arguments; types, operators and casts that exist stay. The end is
-- after.sql.

\echo Use "ALTER EXTENSION hartonomous UPDATE" to load this file. \quit

-- Rights that were given or taken away since the extension was created: those on functions that are dropped below would
-- be lost.
CREATE TEMPORARY TABLE hartonomous_rights AS
  WITH acl AS (
    SELECT p.oid, coalesce(p.proacl, acldefault('f', p.proowner)) AS present,
           coalesce(i.initprivs, acldefault('f', p.proowner)) AS initial
      FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
      JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
      LEFT JOIN pg_init_privs i ON i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid
     WHERE d.deptype = 'e' AND e.extname = 'hartonomous'
  )
  SELECT a.oid::regprocedure::text AS routine, false AS revoked, g.grantee, g.is_grantable
    FROM acl a CROSS JOIN aclexplode(a.present) g
   WHERE NOT EXISTS (SELECT FROM aclexplode(a.initial) i
     WHERE (i.grantee, i.is_grantable) = (g.grantee, g.is_grantable))
  UNION ALL
  SELECT a.oid::regprocedure::text, true, i.grantee, i.is_grantable
    FROM acl a CROSS JOIN aclexplode(a.initial) i
   WHERE NOT EXISTS (SELECT FROM aclexplode(a.present) g WHERE g.grantee = i.grantee);

-- Functions and row types that nothing outside the extension needs are dropped, so that the new version can give them
-- other arguments and columns. What columns, indexes and views of users depend on stays and is replaced in place.
DO $$
DECLARE
  routines text;
  types text;
BEGIN
  WITH RECURSIVE members AS (
    SELECT d.classid, d.objid
      FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
     WHERE d.deptype = 'e' AND e.extname = 'hartonomous'
  ), candidates AS (
    SELECT m.classid, m.objid FROM members m WHERE m.classid = 'pg_proc'::regclass
    UNION ALL
    -- From PostgreSQL 17 on, the row types of tables are members too.
    SELECT m.classid, m.objid FROM members m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
      JOIN pg_class r ON r.oid = t.typrelid AND r.relkind = 'c'
  ), parts AS (  -- a row type has a relation and an array type
    SELECT c.classid, c.objid FROM candidates c
    UNION ALL
    SELECT d.classid, d.objid FROM pg_depend d JOIN candidates c ON (d.refclassid, d.refobjid) = (c.classid, c.objid)
     WHERE d.deptype = 'i'
    UNION ALL
    SELECT 'pg_class'::regclass, t.typrelid FROM candidates c
      JOIN pg_type t ON c.classid = 'pg_type'::regclass AND c.objid = t.oid
  ), needed AS (
    SELECT d.refclassid, d.refobjid FROM pg_depend d
     WHERE NOT EXISTS (SELECT FROM parts p WHERE (p.classid, p.objid) = (d.classid, d.objid))
    UNION
    SELECT d.refclassid, d.refobjid FROM pg_depend d JOIN needed n ON (d.classid, d.objid) = (n.refclassid, n.refobjid)
  )
  SELECT string_agg(c.objid::regprocedure::text, ', ') FILTER (WHERE c.classid = 'pg_proc'::regclass),
         string_agg(c.objid::regtype::text, ', ') FILTER (WHERE c.classid = 'pg_type'::regclass)
    INTO routines, types
    FROM candidates c
   WHERE NOT EXISTS (SELECT FROM needed n WHERE (n.refclassid, n.refobjid) = (c.classid, c.objid));
  -- At once, because they depend on each other.
  IF routines IS NOT NULL THEN
    EXECUTE 'DROP ROUTINE ' || routines;
  END IF;
  IF types IS NOT NULL THEN
    EXECUTE 'DROP TYPE ' || types;
  END IF;
END
$$;
