-- The original design's names: made, made again, working as they are written there, and anybody's own.
BEGIN;
\ir lib/model_files.sql
SELECT plan(45);
SELECT import_gguf(little_gguf(), 'little') AS m \gset
SELECT holds(:m) AS before \gset

CREATE TABLE lib.made AS SELECT n FROM install_tsql_names() n;
SELECT set_has('SELECT n FROM lib.made',
  $$VALUES ('dbo.clr_QuantizeGeometry(geometry)'), ('dbo.clr_DequantizeGeometry(bytea)'),
  ('dbo.clr_QuantizeGeometryQ8(geometry)'), ('dbo.clr_DequantizeGeometryQ8(bytea)'),
    ('dbo.QuantizeToQ8(real,real,real)'), ('dbo.DequantizeQ8(bytea)'),
  ('dbo.QuantizeToQ4K(real[],integer)'), ('dbo.DequantizeQ4K(bytea,integer,integer)'), ('dbo.sp_ExtractStudentModel'),
  ('dbo.sp_DynamicStudentExtraction'), ('dbo.Models'), ('dbo.ModelLayers'), ('dbo.TensorAtoms'),
    ('dbo.TensorAtoms_Backup'),
  ('dbo.CompressionBackups')$$, 'it says what it made');
SELECT is(count(*), (SELECT count(*) FROM lib.made), 'and has made it')
  FROM (SELECT proname FROM pg_proc WHERE pronamespace = 'dbo'::regnamespace
  UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'dbo'::regnamespace AND relkind = 'v') o;
SELECT is_empty(
  $$SELECT objid FROM pg_depend WHERE deptype = 'e'
    AND (objid IN (SELECT oid FROM pg_proc WHERE pronamespace = 'dbo'::regnamespace)
  OR objid IN (SELECT oid FROM pg_class WHERE relnamespace = 'dbo'::regnamespace))$$, 'none of it is the extension''s');
SELECT set_eq('SELECT install_tsql_names()', 'SELECT n FROM lib.made', 'again: the same');

-- Functions, spelled as in the design
SELECT is(dbo.clr_QuantizeGeometryQ8(ST_MakePoint(50, 25, 1.5)), quantize_q8(50, 25, 1.5), 'clr_QuantizeGeometryQ8');
SELECT is(dbo.clr_QuantizeGeometry(ST_MakePoint(50, 25, 1.5)), quantize_q8(50, 25, 1.5), 'clr_QuantizeGeometry');
SELECT is(st_astext(dbo.clr_DequantizeGeometryQ8('\x804093')), st_astext(dequantize_geometry_q8('\x804093')),
  'clr_DequantizeGeometryQ8');
SELECT is(st_astext(dbo.clr_DequantizeGeometry('\x804093')), st_astext(dequantize_geometry('\x804093')),
  'clr_DequantizeGeometry');
SELECT is(dbo.QuantizeToQ8(50, 25, 1.5), '\x804093', 'QuantizeToQ8');
SELECT is((dbo.DequantizeQ8('\x804093'))::text, (dequantize_q8('\x804093'))::text, 'DequantizeQ8');
SELECT is(dbo.DequantizeQ4K(dbo.QuantizeToQ4K('{1,2,3,16}'), 4), '{1,2,3,16}', 'QuantizeToQ4K, DequantizeQ4K');
SELECT is(dbo.DequantizeQ4K(dbo.QuantizeToQ4K('{1,2,3,16}', blockSize => 2), originalLength => 4, blockSize => 2),
  '{1,2,3,16}', 'by the names of their arguments');
SELECT is(dbo.clr_QuantizeGeometryQ8(NULL), NULL, 'clr_QuantizeGeometryQ8(NULL)');
SELECT throws_ok('SELECT dbo.clr_QuantizeGeometryQ8(ST_MakePoint(101, 0, 0))', '22003', NULL, 'outside the space');

-- Names of what is not there come as soon as it is
CREATE FUNCTION lib.needs(name text) RETURNS boolean
  LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM pg_proc WHERE proname = name '
    'AND pronamespace = ''hartonomous''::regnamespace)';
SELECT NOT needs('svd_decompose') AS no_svd, NOT needs('levenshtein_similarity') AS no_levenshtein \gset
\if :no_svd
SELECT is(count(*), 0::bigint, 'no SVD, no name for it') FROM lib.made WHERE n ILIKE '%svd%';
CREATE FUNCTION hartonomous.svd_decompose(weights json, rows integer, cols integer, max_rank integer) RETURNS json
  LANGUAGE sql IMMUTABLE
  AS 'SELECT json_build_array(weights, rows, cols, max_rank)';
CREATE FUNCTION hartonomous.reconstruct_from_svd(u json, s json, vt json) RETURNS json
  LANGUAGE sql IMMUTABLE AS 'SELECT json_build_array(u, s, vt)';
SELECT set_eq($$SELECT n FROM install_tsql_names() n WHERE n ILIKE '%svd%'$$,
  $$VALUES ('dbo.clr_SvdDecompose(json,integer,integer,integer)'),
  ('dbo.clr_ReconstructFromSVD(json,json,json)')$$, 'made, once it is there');
SELECT is(dbo.clr_SvdDecompose('[1,2]', 1, cols => 2, maxRank => 1)::text, '[[1,2], 1, 2, 1]',
  'clr_SvdDecompose passes its arguments');
SELECT is(dbo.clr_ReconstructFromSVD('[[1]]', '[2]', '[[3]]')::text, '[[[1]], [2], [[3]]]',
  'clr_ReconstructFromSVD, too');
\else
SELECT isnt(dbo.clr_SvdDecompose('[1,2,3,4]', 2, 2, 2) ->> 'Rank', NULL, 'clr_SvdDecompose');
\endif
\if :no_levenshtein
CREATE FUNCTION hartonomous.levenshtein_similarity(a text, b text) RETURNS double precision
  LANGUAGE sql IMMUTABLE AS 'SELECT 0.5::float8';
SELECT install_tsql_names() \g /dev/null
\endif
SELECT ok(dbo.fn_LevenshteinSimilarity('kitten', 'sitting') BETWEEN 0 AND 1, 'fn_LevenshteinSimilarity');

-- Procedures
CREATE FUNCTION lib.student(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE made integer;
BEGIN
  EXECUTE call INTO made;
  RETURN (SELECT model_name || ' of ' || parent_model_id || ', '
    || (SELECT count(*) FROM tensor_atoms WHERE model_id = made) || ' atoms' FROM models
    WHERE model_id = made);
END $$;
SELECT is(
  student(
    format(
      'CALL dbo.sp_DynamicStudentExtraction(ParentModelId => %s, selection_strategy => ''importance'', '
      'target_size_ratio => 0.5)', :m)),
  format('Student_%s_importance_50pct of %s, 81 atoms', :m, :m), 'sp_DynamicStudentExtraction');
SELECT is(student(format('CALL dbo.sp_DynamicStudentExtraction(%s, ''layer'')', :m)),
  format('Student_%s_layer_50pct of %s, 101 atoms', :m, :m), 'half is its default');
SELECT is(
  student(
    format('CALL dbo.sp_ExtractStudentModel(ParentModelId => %s, layer_subset => ''0'', NewModelName => ''sub'')', :m)),
  format('sub of %s, 101 atoms', :m),
  'sp_ExtractStudentModel');
SELECT is(student(format('CALL dbo.sp_ExtractStudentModel(%s, NULL, 1.0, ''high'')', :m)),
  format('high of %s, %s atoms', :m, (SELECT count(*) FROM tensor_atoms
  WHERE model_id = :m AND (importance_score >= 1 OR tensor_name IN ('token_embd.weight', 'output.weight')))),
  'by a threshold');
SELECT throws_ok(format('CALL dbo.sp_DynamicStudentExtraction(%s, ''random'')', :m), '22023', NULL,
  'its errors are those of the function');

-- Views
SELECT results_eq('SELECT ModelId, ModelName, Architecture FROM dbo.Models ORDER BY 1',
  'SELECT model_id, model_name, architecture FROM models ORDER BY 1', 'Models');
SELECT is((SELECT count(*) FROM dbo.ModelLayers WHERE ModelId = :m AND LayerIdx = 0 AND ParameterCount > 0), 3::bigint,
  'ModelLayers');
SELECT results_eq(
  format('SELECT LayerIdx, count(*) FROM dbo.TensorAtoms WHERE ModelId = %s GROUP BY LayerIdx ORDER BY 1', :m),
  'VALUES (-1, 60::bigint), (0, 41)',
  'TensorAtoms knows the layer');
SELECT backup_model(:m, 'Before-Pruning') AS copy \gset
DELETE FROM dbo.TensorAtoms WHERE ModelId = :m AND ImportanceScore < 0.3 AND TensorName LIKE 'token%';
SELECT is(
  (SELECT count(*) FROM tensor_atoms WHERE model_id = :m AND importance_score < 0.3 AND tensor_name LIKE 'token%'),
  0::bigint, 'DELETE FROM dbo.TensorAtoms');
UPDATE dbo.TensorAtoms SET QuantizationFormat = CASE WHEN ImportanceScore > 5.0 THEN 'F16' ELSE 'Q8_0' END,
  WeightsGeometryQ8 =
  dbo.clr_QuantizeGeometryQ8(WeightsGeometry), X = 1 WHERE ModelId = :m;
SELECT is(count(*), 0::bigint, 'UPDATE dbo.TensorAtoms') FROM tensor_atoms WHERE model_id = :m
  AND (planned_format IS NULL OR quantized_position IS NULL OR x <> 1);
SELECT results_eq('SELECT BackupId, ModelId, CompressionStage, AtomCount FROM dbo.CompressionBackups',
  format('VALUES (%s, %s, ''Before-Pruning'', 101::bigint)', :copy, :m),
  'CompressionBackups');
SELECT is((SELECT count(*) FROM dbo.TensorAtoms_Backup WHERE BackupId = :copy AND BackupTimestamp IS NOT NULL),
  101::bigint, 'TensorAtoms_Backup');
SELECT rollback_model(:m) \g /dev/null
SELECT is(holds(:m), :'before', 'and back');

-- Schemas, and whose
SELECT is((SELECT count(*) FROM install_tsql_names('Odd "schema"')), (SELECT count(*) FROM install_tsql_names()),
  'a schema with an odd name');
SELECT is("Odd ""schema""".QuantizeToQ8(50, 25, 1.5), '\x804093', 'has them');
SELECT throws_ok(format('SELECT install_tsql_names(%L)', s), '22023', NULL, 'not into ' || s)
  FROM unnest('{hartonomous,pg_catalog,information_schema,pg_temp,pg_toast}'::text[]) s;
SELECT throws_ok('SELECT install_tsql_names(NULL)', '22023', NULL, 'nor nowhere');
CREATE ROLE tsql_user;
CREATE ROLE tsql_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO tsql_user;
SELECT is((state_as('tsql_user', 'SELECT install_tsql_names(''mine'')')).state, '42501',
  'without the right to create schemas');
CREATE SCHEMA mine AUTHORIZATION tsql_user;
SELECT is((state_as('tsql_user', 'SELECT install_tsql_names(''mine'')')).state, '00000', 'into a schema of one''s own');
SELECT is((state_as('tsql_user', 'SELECT count(*) FROM mine.TensorAtoms')).state, '00000', 'one sees what one may see');
-- What another role made under one of the names it could change again, with whoever calls it.
CREATE SCHEMA theirs;
GRANT CREATE, USAGE ON SCHEMA theirs TO tsql_user;
SET ROLE tsql_user;
CREATE FUNCTION theirs.clr_svddecompose(json, integer, integer, integer) RETURNS json LANGUAGE sql AS 'SELECT $1';
RESET ROLE;
SELECT throws_ok('SELECT install_tsql_names(''theirs'')', '42501',
  'theirs.clr_SvdDecompose belongs to role "tsql_user"', 'a function of another role');
SELECT is((SELECT prosrc FROM pg_proc WHERE pronamespace = 'theirs'::regnamespace), 'SELECT $1',
  'stays, and nothing else is made');
DROP FUNCTION theirs.clr_svddecompose;
SET ROLE tsql_user;
CREATE VIEW theirs.models AS SELECT 1 AS one;
RESET ROLE;
SELECT throws_ok('SELECT install_tsql_names(''theirs'')', '42501', 'theirs.Models belongs to role "tsql_user"',
  'a view of another role');
GRANT USAGE ON SCHEMA mine TO tsql_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA mine TO tsql_reader;
SELECT is((state_as('tsql_reader', 'SELECT count(*) FROM mine.TensorAtoms')).state, CASE
  WHEN current_setting('server_version_num')::int >= 150000 THEN '42501' ELSE '00000' END,
  'a view gives nobody more');
SELECT is_empty($$SELECT without_comment('tsql_definitions', 'install_tsql_names')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
