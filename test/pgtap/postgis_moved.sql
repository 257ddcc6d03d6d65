-- PostGIS in one schema when the extension is made, and in another one later.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(20);
SELECT import_gguf(little_gguf(), 'before') AS model \gset
SELECT import_gguf(llama_gguf(), 'runs') AS runs \gset
CREATE FUNCTION lib.neighbours(point text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  found text;
BEGIN
  EXECUTE format(
    'SELECT string_agg(n::text, '' '' ORDER BY n.distance, n.tensor_atom_id) '
    'FROM hartonomous.nearest_atoms(''before'', %L::%I.geometry, 5) n',
                 point, hartonomous_internal.postgis_schema()) INTO found;
  RETURN found;
END $$;
CREATE FUNCTION lib.encoded(point text) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
  found bytea;
BEGIN
  EXECUTE format('SELECT hartonomous.quantize_geometry(%L::%I.geometry, ''F32'')', point,
    hartonomous_internal.postgis_schema())
    INTO found;
  RETURN found;
END $$;
SELECT neighbours('POINT Z(50 50 0)') AS near, encoded('POINT Z(1 2 3)') AS encoded,
       (SELECT string_agg(n::text, ' ')
         FROM nearest_atoms('before', (SELECT min(tensor_atom_id) FROM tensor_atoms WHERE model_id = :model),
           3) n) AS next \gset

-- As PostGIS's manual does it.
CREATE SCHEMA "moved away";
UPDATE pg_extension SET extrelocatable = true WHERE extname = 'postgis';
ALTER EXTENSION postgis SET SCHEMA "moved away";
SELECT is(postgis_schema(), 'moved away', 'PostGIS is moved');
SELECT is(neighbours('POINT Z(50 50 0)'), :'near', 'nearest_atoms() of a point');
SELECT is(
  (SELECT string_agg(n::text, ' ')
    FROM nearest_atoms('before', (SELECT min(tensor_atom_id) FROM tensor_atoms WHERE model_id = :model), 3) n), :'next',
  'nearest_atoms() of an atom');
SELECT is(encoded('POINT Z(1 2 3)'), :'encoded'::bytea, 'quantize_geometry()');
SELECT throws_ok($$SELECT encoded('POINT(1 2)')$$, '22023', 'a point with x, y and z expected',
  '... of another geometry');
SELECT throws_ok($$SELECT neighbours('LINESTRING Z(1 2 3, 4 5 6)')$$, '22023', NULL,
  'nearest_atoms() of another geometry');
SELECT lives_ok(statement, statement) FROM unnest(ARRAY[
  $$SELECT import_gguf(little_gguf(2), 'after')$$, $$CALL prune_region('before', region(0, 20, 0, 20, -10, 10))$$,
  $$CALL quantize_model('before', 'Q8_0')$$, $$SELECT spatial_statistics('before')$$,
  $$CALL quantize_model_geometry('before')$$,
  $$SELECT nearest_atoms('before',
    (SELECT min(tensor_atom_id) FROM tensor_atoms WHERE model_id = model_id('before')))$$,
  $$SELECT extract_by_spatial_region('before', 10, 90, 10, 90, -10, 10, 'part')$$, $$SELECT backup_model('before')$$,
  $$SELECT rollback_model('before', (SELECT min(revision_id) FROM model_revisions))$$,
  $$SELECT generate_text('runs', 'a', 2, region => dequantize_geometry(encode_point(50, 50, 0, 'F32')))$$,
  $$SELECT install_tsql_names('dbo')$$]) statement;
SELECT is_empty($$SELECT c.* FROM models m, check_model(m.model_id) c$$, 'check_model() finds nothing wrong');
-- PL/pgSQL is read when it runs, and queries in strings, too: neither may have been given the name.
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p
                   WHERE p.pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace)
                   AND p.prosrc ~ '\mpublic\M\.'$$,
  'no text names the schema that it was in');
SELECT is_empty($$SELECT without_comment('point_coordinates', 'geometry_text')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
