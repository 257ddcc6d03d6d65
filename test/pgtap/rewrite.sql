-- copy_atoms: a tensor's atoms from one partition into another, unchanged and with each change; errors.
BEGIN;
\ir lib/model_files.sql
SELECT plan(59);
SELECT import_gguf(gguf(ARRAY[ROW('a.weight', '{256,10}', 0, waves(10, 256, 1))::tensor,
  ROW('b.weight', '{256,10}', 0, waves(10, 256, 2))::tensor]), 'm') AS m \gset
SELECT live_partition(:m) AS source, live_base(:m) AS live, layer(:m, 'a.weight') AS a, layer(:m, 'b.weight') AS b \gset
UPDATE tensor_atoms SET importance_score = atom_sequence, planned_format = CASE
  WHEN atom_sequence < 3 THEN 'small' END
 WHERE model_id = :m;

-- Copies a.weight into a partition of its own and says what there is of each format and tensor.
CREATE SEQUENCE lib.copies START 1000;
CREATE FUNCTION lib.copied(operation text DEFAULT 'copy', arguments jsonb DEFAULT '{}', into_layer bigint DEFAULT NULL,
  parallel boolean DEFAULT true)
  RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  revision integer := nextval('lib.copies');
  target regclass := create_atoms_partition(model_id('m'), revision);
  wrote record;
  said text;
BEGIN
  SELECT * INTO wrote FROM copy_atoms(live_partition(model_id('m')), target, revision, layer(model_id('m'), 'a.weight'),
                                      operation, arguments, into_layer, parallel);
  EXECUTE format(
    'SELECT string_agg(n || '' '' || f || '' of '' || t, '', '' ORDER BY f) FROM (SELECT weights_format(atom_data) AS f,
    tensor_name AS t, count(*) AS n FROM %s GROUP BY 1, 2) x',
    target)
    INTO said;
  RETURN concat_ws(': ', wrote.atoms || ' atoms, ' || wrote.bytes || ' bytes', said);
END $$;
CREATE FUNCTION lib.newest() RETURNS text LANGUAGE sql
  RETURN atoms_partition(model_id('m'), currval('lib.copies')::integer);

SELECT is(copied(), '10 atoms, 10240 bytes: 10 F32 of a.weight', 'as it is');
SELECT is(copied(parallel => false), '10 atoms, 10240 bytes: 10 F32 of a.weight', 'without workers');
SELECT is(copied(into_layer => :b), '10 atoms, 10240 bytes: 10 F32 of b.weight', 'as atoms of another layer');
SELECT is(copied('quantize', '{"format": "Q8_0"}'), '10 atoms, 2720 bytes: 10 Q8_0 of a.weight', 'quantize');
SELECT is(copied('quantize', '{"planned_formats": {"small": "Q4_K"}}'),
  '10 atoms, 7600 bytes: 7 F32 of a.weight, 3 Q4_K of a.weight',
  'planned_formats');
SELECT is(copied('prune', '{"minimum_importance": 4}'), '6 atoms, 6144 bytes: 6 F32 of a.weight', 'minimum_importance');
SELECT is(copied('prune', '{"region": [-1, 101, -1, 101, 2.5, 6.5]}'), '4 atoms, 4096 bytes: 4 F32 of a.weight',
  'region');
SELECT is(copied('prune', '{"region": [-1, 101, -1, 101, 2.5, 6.5], "outside_region": true}'),
  '6 atoms, 6144 bytes: 6 F32 of a.weight', 'outside_region');
SELECT is(copied('prune', '{"minimum_importance": 1000}'), '0 atoms, 0 bytes', 'none');
SELECT is(copied('prune', '{"minimum_importance": 4, "region": [-1, 101, -1, 101, "-Infinity", 6.5]}'),
  '3 atoms, 3072 bytes: 3 F32 of a.weight', 'both');

SELECT copied('encode_geometry', '{"format": "Q8_0"}'), newest() AS partition \gset
SELECT results_eq('SELECT n.x IS NULL, n.y IS NULL, n.quantized_position FROM ' || :'partition'
  || ' n ORDER BY n.atom_sequence',
  'SELECT true, true, encode_point(a.x, a.y, a.importance_score, ''Q8_0'') FROM ' || :'source'
  || ' a WHERE a.layer_id = ' || :a
  || ' ORDER BY a.atom_sequence', 'encode_geometry');
SELECT array_agg((1 + i % 7)::real) AS importance FROM generate_series(1, 256) i \gset
SELECT copied('quantize', jsonb_build_object('format', 'Q4_K', 'column_importance', reals_json(:'importance'))),
  newest() AS partition \gset
SELECT is(count(*) FILTER (WHERE n.atom_data = quantize(a.atom_data, 'Q4_K', :'importance')), 10::bigint,
  'column_importance')
  FROM :partition n JOIN tensor_atoms a USING (layer_id, atom_sequence);
SELECT is(count(*) FILTER (WHERE n.atom_data = quantize(a.atom_data, 'Q4_K')), 0::bigint, 'makes a difference')
  FROM :partition n JOIN tensor_atoms a USING (layer_id, atom_sequence);

SELECT throws_ok(format('SELECT copy_atoms(%s)', arguments), state, message, arguments) FROM (VALUES
  ('NULL, ''%1$s'', 9, %2$s', '22004', 'only into_layer and archived_revision may be NULL'),
  ('''%1$s'', ''%1$s'', 9, -1', '42704', 'there is no such layer'),
  ('''%1$s'', ''%1$s'', 9, %2$s, into_layer => -1', '42704', 'there is no such layer'),
  ('''%1$s'', ''%1$s'', 9, %2$s, parallel => NULL', '22004', 'only into_layer and archived_revision may be NULL'),
  ('''%1$s'', ''%1$s'', 9, %2$s, NULL', '22004', 'only into_layer and archived_revision may be NULL'),
  ('''%1$s'', ''%1$s'', 9, %2$s, ''factor'', ''{"rank": 1, "format": "F16"}''', '22023',
    'operation "factor" is not one that copies atoms'))
  v (pattern, state, message), LATERAL (SELECT format(pattern, :'source', :a)) f (arguments);

-- Sources of any kind, and partitions whose owner changed them: values of other types than theirs would be read as if
-- they were of theirs.
CREATE TABLE lib.numbers (model_id integer, layer_id bigint, atom_data integer, other text);
CREATE TABLE lib.words (model_id integer, layer_id bigint, atom_data weights, other integer);
CREATE TABLE lib.gaps (model_id integer, layer_id bigint, atom_data weights);
INSERT INTO lib.numbers VALUES (:m, :a, 5, 'text');
INSERT INTO lib.words VALUES (:m, :a, weights(ARRAY[1::real]), 5);
INSERT INTO lib.gaps VALUES (:m, :a, NULL);
-- A partition for revision `n`, changed: %s is its name.
CREATE FUNCTION lib.partition(n integer, VARIADIC changes text[] DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE change text; made regclass := create_atoms_partition(model_id('m'), n);
BEGIN
  FOREACH change IN ARRAY changes LOOP EXECUTE format(change, made); END LOOP;
  RETURN made;
END $$;
CREATE FUNCTION lib.copying(source text, target text, revision integer) RETURNS text LANGUAGE sql
  RETURN format('SELECT copy_atoms(%L, %L, %s, %s)', source, target, revision, layer(model_id('m'), 'a.weight'));
SELECT partition(2000), partition(2001, 'ALTER TABLE %s ADD other text'),
  partition(2002, 'ALTER TABLE %s RENAME atom_data TO gone', 'ALTER TABLE %s ADD atom_data integer')
  \g /dev/null
SELECT throws_ok(statement, state, message, statement) FROM (VALUES
  (copying('lib.numbers', partition_of(:m, 2002)::text, 2002), '42804',
    format('column "atom_data" of table "tensor_atoms_m%s_r2002" is of type integer', :m)),
  (copying('lib.numbers', partition_of(:m, 2000)::text, 2000), '42804',
    format('column "atom_data" of table "tensor_atoms_m%s_r2000" is of type weights', :m)),
  (copying('lib.words', partition_of(:m, 2001)::text, 2001), '42804',
    format('column "other" of table "tensor_atoms_m%s_r2001" is of type text', :m)),
  (copying('lib.gaps', partition_of(:m, 2000)::text, 2000), '23502', 'an atom without weights'),
  (format('DO $do$BEGIN SET LOCAL transaction_read_only = on; PERFORM %s; END$do$',
    substr(copying('lib.gaps', partition_of(:m, 2000)::text, 2000), 8)),
    '25006', 'cannot execute INSERT in a read-only transaction'))
  v (statement, state, message);

-- Only partitions of the store are written, each with its own model's and revision's rows: whoever may INSERT into
-- another table goes by its triggers, foreign keys and bounds.
CREATE TABLE lib.plain (LIKE tensor_atoms);
CREATE VIEW lib.seen AS SELECT * FROM lib.plain;
CREATE TABLE lib.tree (LIKE tensor_atoms INCLUDING GENERATED) PARTITION BY LIST (model_id);
CREATE ROLE rewrite_other;
GRANT CREATE ON SCHEMA hartonomous TO rewrite_other;
CREATE TABLE lib.keys (id bigint PRIMARY KEY);
CREATE FUNCTION lib.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
SELECT import_gguf(gguf(ARRAY[ROW('c.weight', '{256,1}', 0, waves(1, 256, 1))::tensor]), 'n') AS n \gset
SELECT partition(2010, 'ALTER TABLE %s DROP CONSTRAINT tensor_atoms_m' || :m || '_r2010_bound'),
  partition(2011, 'ALTER TABLE %s OWNER TO rewrite_other'),
  partition(2012, 'ALTER TABLE lib.tree ATTACH PARTITION %s FOR VALUES IN (' || :m || ')'),
  partition(2013, 'CREATE TRIGGER t BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION lib.refuse()'),
  partition(2014, 'CREATE TRIGGER t AFTER INSERT ON %s FOR EACH STATEMENT EXECUTE FUNCTION lib.refuse()'),
  partition(2015, 'ALTER TABLE %s ADD FOREIGN KEY (layer_id) REFERENCES lib.keys'),
  partition(2016, 'ALTER TABLE tensor_atoms ATTACH PARTITION %s FOR VALUES IN (77)') \g /dev/null
SELECT throws_ok(statement, state, message, statement) FROM (
  SELECT write.statement, '42809' AS state,
  format('"%s" is not the partition of the store for revision %s of model %s', name, revision, :m) AS message
    FROM (VALUES ('lib.plain', 'plain', 1), ('lib.seen', 'seen', 1), ('lib.tree', 'tree', 1),
      ('tensor_atoms', 'tensor_atoms', 1), ('models', 'models', 1),
      (partition_of(:m, 2000)::text, format('tensor_atoms_m%s_r2000', :m), 1),
      (live_partition(:n)::text, format('tensor_atoms_m%s_r%s', :n, live_base(:n)), live_base(:n)),
      (partition_of(:m, 2010)::text, format('tensor_atoms_m%s_r2010', :m), 2010),
      (partition_of(:m, 2011)::text, format('tensor_atoms_m%s_r2011', :m), 2011),
      (partition_of(:m, 2012)::text, format('tensor_atoms_m%s_r2012', :m), 2012)) v (target, name, revision),
  LATERAL copying(:'source', target, revision) write (statement)
  UNION ALL
  SELECT write.statement, '0A000',
  format('cannot write atoms to table "tensor_atoms_m%s_r%s", which has triggers or foreign keys', :m, revision)
    FROM generate_series(2013, 2015) revision,
  LATERAL copying(:'source', partition_of(:m, revision)::text, revision) write (statement)
  UNION ALL
  SELECT write.statement, '23514',
  format('new row for relation "tensor_atoms_m%s_r2016" violates partition constraint', :m)
    FROM copying(:'source', partition_of(:m, 2016)::text, 2016) write (statement)) v;
GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous, hartonomous_partitions TO rewrite_other;
SELECT is((state_as('rewrite_other', statement)).state, '42501', 'without the right to INSERT: ' || statement)
  FROM copying(:'source', partition_of(:m, 2000)::text, 2000) v (statement);
GRANT INSERT ON :source TO rewrite_other;
SELECT is((state_as('rewrite_other', copying(:'source', 'lib.plain', 1))).state, '42501', 'nor elsewhere');
-- What only other functions call says so, too, when it is given nothing or what there is not.
SELECT throws_ok(statement, state, message, statement) FROM (VALUES
  ('SELECT rewrite_layer(NULL, 1)', '42704', 'run NULL does not exist'),
  ('SELECT rewrite_layer(0, 1)', '42704', 'run 0 does not exist'),
  ('SELECT changed_layers(NULL)', '42704', 'run NULL does not exist'),
  ('SELECT finish_run(0)', '42704', 'run 0 does not exist'),
  ('CALL execute_run(NULL)', '42704', 'run NULL does not exist'),
  ('SELECT hold_revision(NULL)', '42704', 'revision NULL does not exist'),
  ('SELECT hold_revision(0)', '42704', 'revision 0 does not exist'),
  ('SELECT index_atoms_partition(0)', '42P01', 'table 0 does not exist'),
  ('SELECT index_atoms_partition(NULL)', '42P01', 'table NULL does not exist')) v (statement, state, message);
INSERT INTO compression_runs (model_id, stage, state) VALUES (:m, 'none', 'running') RETURNING run_id \gset
SELECT throws_ok(format('SELECT rewrite_layer(%s, NULL)', :run_id), '42704',
  format('run %s has no step for tensor NULL', :run_id), 'a run without that step');
SELECT is(part_of_row('{1,2,3}', 3, 1, 0, 0), NULL, 'part_of_row() of atoms of 0 weights');
SELECT is(part_of_row('{1,2,3}', 3, 1, 2, 1), '{3}', 'and of 2');
SELECT is(expected_atoms(9, 3, 0), 0::bigint, 'expected_atoms() of 0 weights');
SELECT is(expected_atoms(9, 3, 2), 6::bigint, 'and of 2');
SELECT throws_ok($$SELECT raise_error('HT002', 'a message', NULL, '', NULL, NULL, NULL, 'a constraint')$$, 'HT002',
  'a message', 'raise_error()');
SELECT throws_ok($$SELECT raise_error(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)$$, 'XX000', 'unknown error',
  '... of nothing');
SELECT is(try_step(-1, 1) ->> 'sqlstate', '42704', 'try_step() returns the error');
SELECT results_eq('SELECT worth_workers(size) FROM unnest(ARRAY[1048576, 1048577, NULL]) size',
  'VALUES (false), (true), (NULL)', 'worth_workers()');
SELECT is_empty(
  $$SELECT without_comment('worth_workers', 'require_run', 'copy_atoms', 'check_operation', 'perform_operation',
    'reals_json',
    'begin_run', 'rewrite_layer', 'start_run', 'execute_run', 'finish_run', 'close_run', 'abandon_run',
    'do_step', 'try_step', 'note_failure', 'execute_step', 'raise_error', 'raise_failure')$$,
  'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
