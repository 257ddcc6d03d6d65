-- The install surface: what CREATE EXTENSION makes, how it is marked, and that DROP EXTENSION takes all of it away.
-- A change of expected/install.out is a change of what users see. To write it anew: make installcheck, read the
-- difference in regression.diffs, then cp results/install.out expected/install.out.
CREATE EXTENSION hartonomous CASCADE;
SELECT e.extversion IS NOT NULL AS installed, e.extrelocatable, n.nspname
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'hartonomous';

CREATE TEMP VIEW member AS
  SELECT d.classid, d.objid
    FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
   WHERE e.extname = 'hartonomous' AND d.deptype = 'e';
CREATE TEMP VIEW member_function AS
  SELECT p.oid::regprocedure::text COLLATE "C" AS signature, p.*, l.lanname
    FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    JOIN pg_language l ON l.oid = p.prolang;
\pset format unaligned

-- Members that are not functions; without the array types, which are members from PostgreSQL 17 on only
SELECT pg_describe_object(classid, objid, 0) COLLATE "C" AS member
  FROM member WHERE classid <> 'pg_proc'::regclass
   AND NOT EXISTS (SELECT FROM pg_type e WHERE classid = 'pg_type'::regclass AND e.typarray = objid) ORDER BY 1;

-- Functions and their markings
SELECT signature,
       CASE prokind WHEN 'f' THEN 'function' WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' END AS kind, lanname,
       CASE provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
       CASE proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END AS parallel,
       proisstrict AS strict, procost AS cost, prorows AS rows
  FROM member_function ORDER BY signature;

-- Names and defaults of their arguments, and their results
SELECT signature, pg_get_function_arguments(oid) AS arguments, pg_get_function_result(oid) AS result
  FROM member_function ORDER BY signature;

-- No function without a comment
SELECT signature FROM member_function WHERE obj_description(oid, 'pg_proc') IS NULL ORDER BY signature;

-- No function that runs with its owner's rights
SELECT signature FROM member_function WHERE prosecdef ORDER BY signature;

-- No member with rows: tables belong to create_store(owner)
SELECT pg_describe_object(m.classid, m.objid, 0) FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass
  AND c.oid = m.objid
 WHERE c.relkind IN ('r', 'p', 'm', 'S', 't', 'f');

-- No function whose body is text that does not set search_path (procedures that commit cannot)
SELECT signature FROM member_function
 WHERE prokind = 'f' AND lanname IN ('plpgsql', 'plpgsql_as_owner', 'sql') AND prosqlbody IS NULL
   AND NOT EXISTS (SELECT FROM unnest(proconfig) setting WHERE setting LIKE 'search\_path=%') ORDER BY signature;

-- Functions not everyone may execute
SELECT signature FROM member_function
 WHERE NOT EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0
   AND privilege_type = 'EXECUTE')
 ORDER BY signature;

-- No function that takes a server path is open to everyone
SELECT signature FROM member_function f
 WHERE EXISTS (SELECT FROM unnest(coalesce(f.proallargtypes, f.proargtypes::oid[]), f.proargnames) a(type, name)
                WHERE a.type IN ('text'::regtype, 'text[]'::regtype) AND a.name IN ('source', 'path', 'target', 'file'))
   AND EXISTS (SELECT FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) WHERE grantee = 0
     AND privilege_type = 'EXECUTE')
 ORDER BY signature;

-- Written in C: immutable, strict and parallel safe functions of weights and coordinates have no other marking
SELECT signature FROM member_function
 WHERE lanname = 'c' AND signature ~ '(weights|q4k|q8|point|hilbert|quantize|dot|relative_error)' AND prokind = 'f'
   AND (provolatile <> 'i' OR proparallel <> 's'
     OR (NOT proisstrict AND signature !~ 'quantize_q4k_(transition|final)'))
 ORDER BY signature;

DROP EXTENSION hartonomous;
SELECT count(*) AS left_behind FROM pg_namespace WHERE nspname LIKE 'hartonomous%';
