-- copy_atoms: a tensor's atoms from one partition into another, unchanged and with each change; errors.
BEGIN;
\ir lib/model_files.sql
SELECT no_plan();
SELECT import_gguf(gguf(ARRAY[ROW('a.weight', '{256,10}', 0, waves(10, 256, 1))::tensor,
  ROW('b.weight', '{256,10}', 0, waves(10, 256, 2))::tensor]), 'm') AS m \gset
SELECT live_partition(:m) AS source, live_base(:m) AS live, layer(:m, 'a.weight') AS a, layer(:m, 'b.weight') AS b \gset
UPDATE tensor_atoms SET importance_score = atom_sequence, quantization_format = CASE WHEN atom_sequence < 3 THEN 'small' END
 WHERE model_id = :m;

-- Copies a.weight into a partition of its own and says what there is of each format and tensor.
CREATE SEQUENCE lib.copies START 1000;
CREATE FUNCTION lib.copied(changes atom_changes DEFAULT NULL, into_layer bigint DEFAULT NULL, parallel boolean DEFAULT true)
  RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  revision integer := nextval('lib.copies');
  target regclass := create_atoms_partition(model_id('m'), revision);
  wrote record;
  said text;
BEGIN
  SELECT * INTO wrote FROM copy_atoms(live_partition(model_id('m')), target, revision, layer(model_id('m'), 'a.weight'),
                                      changes, into_layer, parallel);
  EXECUTE format('SELECT string_agg(n || '' '' || f || '' of '' || t, '', '' ORDER BY f) FROM (SELECT weights_format(atom_data) AS f,
    tensor_name AS t, count(*) AS n FROM %s GROUP BY 1, 2) x', target) INTO said;
  RETURN concat_ws(': ', wrote.atoms || ' atoms, ' || wrote.bytes || ' bytes', said);
END $$;
CREATE FUNCTION lib.newest() RETURNS text LANGUAGE sql RETURN atoms_partition(model_id('m'), currval('lib.copies')::integer);

SELECT is(copied(), '10 atoms, 10240 bytes: 10 F32 of a.weight', 'as it is');
SELECT is(copied(ROW(NULL, NULL, NULL, NULL, NULL, NULL, NULL)), '10 atoms, 10240 bytes: 10 F32 of a.weight', 'no change asked for is none');
SELECT is(copied(parallel => false), '10 atoms, 10240 bytes: 10 F32 of a.weight', 'without workers');
SELECT is(copied(into_layer => :b), '10 atoms, 10240 bytes: 10 F32 of b.weight', 'as atoms of another layer');
SELECT is(copied(ROW('Q8_0', NULL, NULL, NULL, NULL, NULL, NULL)), '10 atoms, 2720 bytes: 10 Q8_0 of a.weight', 'target_format');
SELECT is(copied(ROW(NULL, '{"small": "Q4_K"}', NULL, NULL, NULL, NULL, NULL)), '10 atoms, 7600 bytes: 7 F32 of a.weight, 3 Q4_K of a.weight',
  'planned_formats');
SELECT is(copied(ROW(NULL, NULL, NULL, NULL, 4, NULL, NULL)), '6 atoms, 6144 bytes: 6 F32 of a.weight', 'minimum_importance');
SELECT is(copied(ROW(NULL, NULL, NULL, NULL, NULL, region(-1, 101, -1, 101, 2.5, 6.5), NULL)), '4 atoms, 4096 bytes: 4 F32 of a.weight', 'region');
SELECT is(copied(ROW(NULL, NULL, NULL, NULL, NULL, region(-1, 101, -1, 101, 2.5, 6.5), true)), '6 atoms, 6144 bytes: 6 F32 of a.weight', 'outside_region');
SELECT is(copied(ROW(NULL, NULL, NULL, NULL, 1000, NULL, NULL)), '0 atoms, 0 bytes', 'none');
SELECT is(copied(ROW('Q4_0', NULL, NULL, NULL, 4, region(-1, 101, -1, 101, 2.5, 6.5), NULL)), '3 atoms, 432 bytes: 3 Q4_0 of a.weight', 'several at once');

SELECT copied(ROW(NULL, NULL, NULL, 'Q8_0', NULL, NULL, NULL)), newest() AS partition \gset
SELECT results_eq('SELECT n.x IS NULL, n.y IS NULL, n.weights_geometry_q8 FROM ' || :'partition' || ' n ORDER BY n.atom_sequence',
  'SELECT true, true, encode_point(a.x, a.y, a.importance_score, ''Q8_0'') FROM ' || :'source' || ' a WHERE a.layer_id = ' || :a
  || ' ORDER BY a.atom_sequence', 'geometry_format');
SELECT array_agg((1 + i % 7)::real) AS importance FROM generate_series(1, 256) i \gset
SELECT copied(ROW('Q4_K', NULL, :'importance', NULL, NULL, NULL, NULL)), newest() AS partition \gset
SELECT is(count(*) FILTER (WHERE n.atom_data = quantize(a.atom_data, 'Q4_K', :'importance')), 10::bigint, 'column_importance')
  FROM :partition n JOIN tensor_atoms a USING (layer_id, atom_sequence);
SELECT is(count(*) FILTER (WHERE n.atom_data = quantize(a.atom_data, 'Q4_K')), 0::bigint, 'makes a difference')
  FROM :partition n JOIN tensor_atoms a USING (layer_id, atom_sequence);

SELECT throws_ok(format('SELECT copy_atoms(%s)', arguments), state, message, arguments) FROM (VALUES
  ('NULL, ''%1$s'', 9, %2$s', '22004', 'only changes and into_layer may be NULL'),
  ('''%1$s'', ''%1$s'', 9, -1', '42704', 'there is no such layer'),
  ('''%1$s'', ''%1$s'', 9, %2$s, into_layer => -1', '42704', 'there is no such layer'),
  ('''%1$s'', ''%1$s'', 9, %2$s, parallel => NULL', '22004', 'only changes and into_layer may be NULL'),
  ('''%1$s'', ''%1$s'', 9, %2$s, ROW(''Q9'', NULL, NULL, NULL, NULL, NULL, NULL)', '22023', NULL),
  ('''%1$s'', ''%1$s'', 9, %2$s, ROW(''Q8_0'', ''{}'', NULL, NULL, NULL, NULL, NULL)', '22023', 'give target_format or planned_formats, not both'))
  v (pattern, state, message), LATERAL (SELECT format(pattern, :'source', :a)) f (arguments);

-- Tables of any kind: values of other types than theirs would be read as if they were of theirs.
CREATE TABLE lib.numbers (model_id integer, layer_id bigint, atom_data integer, other text);
CREATE TABLE lib.words (model_id integer, layer_id bigint, atom_data weights, other integer);
CREATE TABLE lib.gaps (model_id integer, layer_id bigint, atom_data weights);
CREATE VIEW lib.seen AS SELECT * FROM lib.gaps;
INSERT INTO lib.numbers VALUES (:m, :a, 5, 'text');
INSERT INTO lib.words VALUES (:m, :a, weights(ARRAY[1::real]), 5);
INSERT INTO lib.gaps VALUES (:m, :a, NULL);
CREATE TABLE lib.texts AS SELECT model_id, layer_id, atom_data, ''::text AS other FROM lib.words WITH NO DATA;
CREATE TABLE lib.plain (model_id text, revision_id integer, layer_id bigint, atom_sequence integer, x real, y real,
  importance_score real, tensor_name text, atom_data weights);
SELECT throws_ok(statement, state, message, statement) FROM (VALUES
  (format('SELECT copy_atoms(''lib.numbers'', ''lib.numbers'', 1, %s)', :a), '42804', 'column "atom_data" of table "numbers" is of type integer'),
  (format('SELECT copy_atoms(''lib.numbers'', ''lib.gaps'', 1, %s)', :a), '42804', 'column "atom_data" of table "gaps" is of type weights'),
  (format('SELECT copy_atoms(''lib.words'', ''lib.texts'', 1, %s)', :a), '42804', 'column "other" of table "texts" is of type text'),
  (format('SELECT copy_atoms(''lib.gaps'', ''lib.gaps'', 1, %s)', :a), '23502', 'an atom without weights'),
  (format('SELECT copy_atoms(''lib.gaps'', ''lib.seen'', 1, %s)', :a), '42809', '"seen" is not an ordinary table'),
  (format('SELECT copy_atoms(''lib.gaps'', ''tensor_atoms'', 1, %s)', :a), '42809', '"tensor_atoms" is not an ordinary table'),
  (format('DO $$BEGIN SET LOCAL transaction_read_only = on; PERFORM copy_atoms(''lib.gaps'', ''lib.gaps'', 1, %s); END$$', :a),
    '25006', 'cannot execute INSERT in a read-only transaction'),
  (format('SELECT load_atoms(gguf(ARRAY[ROW(''a.weight'', ''{256,10}'', 0, waves(10, 256, 1))::tensor, ROW(''b.weight'', '
    '''{256,10}'', 0, waves(10, 256, 2))::tensor]), ''gguf'', ''lib.plain'', %s, 1)', :m), '42804', 'column "model_id" of table "plain" is of type text'))
  v (statement, state, message);
SELECT is_empty($$SELECT without_comment('copy_atoms', 'rewrite_layer', 'start_run', 'execute_run', 'finish_run')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
