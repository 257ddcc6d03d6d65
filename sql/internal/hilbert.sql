-- The operator class for indexes on positions: PostGIS's, with a sorted build along the Hilbert curve.

-- The functions and operators are those of PostGIS's operator class for n-dimensional boxes; only the sort order is
-- added. They are read from the catalogs because they may differ between PostGIS versions.
CREATE FUNCTION hartonomous_internal.gist_points_sortsupport(internal) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.gist_points_sortsupport(internal) IS
  'sort support of operator class gist_points: the order along the Hilbert curve';

DO $$
DECLARE
  members text;
  geometry text;
BEGIN
  SELECT c.opcintype::pg_catalog.regtype::text,
         pg_catalog.format('STORAGE %s, ', c.opckeytype::pg_catalog.regtype)
           || (SELECT pg_catalog.string_agg(
             pg_catalog.format('OPERATOR %s %s%s', o.amopstrategy, o.amopopr::pg_catalog.regoperator,
                        CASE WHEN o.amoppurpose = 'o' THEN ' FOR ORDER BY pg_catalog.float_ops' ELSE '' END), ', ')
                 FROM pg_catalog.pg_amop o WHERE o.amopfamily = c.opcfamily)
           || (SELECT pg_catalog.string_agg(pg_catalog.format(', FUNCTION %s %s', p.amprocnum, p.amproc), '')
                 FROM pg_catalog.pg_amproc p WHERE p.amprocfamily = c.opcfamily AND p.amprocnum <> 11)
    INTO STRICT geometry, members
    FROM pg_catalog.pg_opclass c
    JOIN pg_catalog.pg_extension e ON e.extname = 'postgis' AND e.extnamespace = c.opcnamespace
   WHERE c.opcname = 'gist_geometry_ops_nd';
  -- An update of the extension finds it there.
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_opclass c WHERE c.opcname = 'gist_points'
                    AND c.opcnamespace = 'hartonomous_internal'::pg_catalog.regnamespace) THEN
    EXECUTE pg_catalog.format($ddl$
      CREATE OPERATOR CLASS hartonomous_internal.gist_points FOR TYPE %s USING gist AS %s,
        FUNCTION 11 hartonomous_internal.gist_points_sortsupport(internal)$ddl$, geometry, members);
  END IF;
END
$$;
COMMENT ON OPERATOR CLASS hartonomous_internal.gist_points USING gist IS
  'PostGIS''s gist_geometry_ops_nd whose indexes are built by sorting points along the Hilbert curve, which is faster '
  'and gives smaller indexes';
