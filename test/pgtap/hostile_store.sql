-- The tables belong to a role that is no superuser, and it may do with them what it likes: columns of other types,
-- NULLs, arrays with holes, numbers of any size. Whatever reads them then may fail, by an SQLSTATE that says why; it
-- never takes one thing for another, and never ends the server.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(194);
-- Each is to read the store, and not what the one before has kept of it.
SET LOCAL hartonomous.model_cache_size = 0;
CREATE ROLE hostile_owner;
-- For views in place of tables, which an owner cannot make without it.
GRANT CREATE ON SCHEMA hartonomous TO hostile_owner;
SELECT create_store('hostile_owner') \g /dev/null
GRANT USAGE, CREATE ON SCHEMA lib TO hostile_owner;
SET ROLE hostile_owner;
SELECT import_gguf(llama_gguf(), 'm') AS m \gset
CALL svd_compress_model(:m, rank => 3, layer_pattern => 'blk.0.ffn%');
SELECT isnt_empty(format('SELECT FROM svd_compressed_layers WHERE model_id = %s', :m), 'some tensors are factors');
SELECT backup_model(:m) AS kept \gset
SELECT add_calibration_set('c', 'cat cat') \g /dev/null
CALL collect_calibration(:m, 'c', statistics => 'fisher');

-- Each reader and stage on a store that has been spoilt; all is undone again. What they said, without those that are in
-- order: success (not everything reads everything), and errors that are of the data, of what exists, or of limits.
CREATE TABLE lib.calls (call text, reads text[]);
INSERT INTO lib.calls (call) SELECT format(call, :m, :kept) FROM unnest(ARRAY[
  'SELECT export_gguf(%1$s)', 'SELECT export_gguf(%1$s, true)', 'SELECT export_safetensors(%1$s)',
  'SELECT generate_text(%1$s, ''cat'', 2)',
  'SELECT count(*) FROM generate_tokens(%1$s, ''cat'', 2, revision => %2$s)',
  'SELECT perplexity(%1$s, ''cat cat cat cat'', 8)',
  'SELECT tensor_weights(%1$s, ''blk.0.attn_q.weight'')', 'SELECT tensor_weights(%1$s, ''blk.0.ffn_up.weight'')',
  'SELECT tensor_weights(%1$s, ''blk.0.attn_q.weight'', %2$s)', 'SELECT record_usage(%1$s, ''cat cat'', 8)',
  'SELECT tokenize(%1$s, ''cat'')',
  'SELECT count(*) FROM verify_svd(%1$s)', 'CALL quantize_model(%1$s, ''Q8_0'')',
  'CALL svd_compress_model(%1$s, rank => 2)',
  'CALL prune_by_importance(%1$s, keep_ratio => 0.5, method => ''rewrite'')', 'SELECT backup_model(%1$s)',
  'SELECT rollback_model(%1$s)',
  'SELECT extract_by_importance(%1$s, 0.5)', 'SELECT count(*) FROM diff_revisions(%2$s, current_revision(%1$s))',
  'CALL quantize_model(%1$s, ''Q4_0'', calibration_set => ''c'', requantize => true)',
  'CALL quantize_model(%1$s, ''Q4_0'', calibration_set => ''c'', requantize => true, curvature => ''fisher'')',
  'SELECT export_importance(%1$s, ''c'')', 'SELECT importance_vector(%1$s, ''blk.0.attn_q.weight'')',
  'SELECT gram_matrix(%1$s, ''blk.0.ffn_down.weight'', ''c'', current_revision(%1$s))',
  'CALL collect_calibration(%1$s, ''c'')', 'CALL collect_calibration(%1$s, ''c'', 3, ''fisher'')',
  'CALL collect_calibration(%1$s, ''c'', 3)',
  'SELECT count(*) FROM check_model(%1$s)']) call;
-- A call that never reads a table cannot notice that it was spoilt: those are passed over. What each reads is seen
-- once.
CREATE TABLE lib.columns_read (relation text, names text[]);
INSERT INTO lib.columns_read VALUES ('models', '{model_id,current_revision,metadata}'),
  ('model_revisions', '{revision_id,base_revision_id,held_revision_id}'),
  ('model_layers', '{layer_id,model_id,layer_name,tensor_shape,tensor_dtype,row_length,atom_size,parameter_count}'),
  ('tensor_atoms', '{model_id,layer_id,atom_sequence,atom_data,importance_score,weights_geometry,tensor_name}'),
  ('tensor_atoms_backup', '{atom_sequence,atom_data}'),
  ('svd_compressed_layers', '{rank,u_matrix,s_vector,vt_matrix,dense_format}'),
  ('calibration_sets', '{calibration_set,text}'),
  ('calibration_stats', '{layer_id,tokens,columns,experts,token_counts,sums_of_squares,gram_layer_id}'),
  ('calibration_grams', '{of_gradients,expert,first_column,gram}');
CREATE FUNCTION lib.scans() RETURNS TABLE (relation text, scans bigint) LANGUAGE sql AS $$
  SELECT c.relation, (SELECT sum(pg_stat_get_xact_numscans(o.oid))
                        FROM (SELECT t.oid UNION SELECT p.relid FROM pg_partition_tree(t.oid) p
                              UNION SELECT i.indexrelid FROM pg_index i
                               WHERE i.indrelid IN (SELECT t.oid UNION SELECT p.relid FROM pg_partition_tree(t.oid) p)
                             ) o (oid))::bigint
    FROM columns_read c CROSS JOIN LATERAL (SELECT ('hartonomous.' || c.relation)::regclass) t (oid) $$;
CREATE FUNCTION lib.reads(call text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  before jsonb := (SELECT jsonb_object_agg(s.relation, s.scans) FROM scans() s);
  found text[];
BEGIN
  BEGIN
    EXECUTE call;
    RAISE EXCEPTION 'done' USING ERRCODE = 'HT001';
  EXCEPTION WHEN SQLSTATE 'HT001' THEN NULL;
  END;
  RETURN ARRAY(SELECT s.relation FROM scans() s WHERE s.scans > (before ->> s.relation)::bigint ORDER BY 1);
END $$;
UPDATE lib.calls c SET reads = reads(c.call);
SELECT results_eq('SELECT DISTINCT relation FROM calls, unnest(reads) relation ORDER BY 1',
  'SELECT relation FROM columns_read ORDER BY 1', 'each table is read by some of the calls');
SELECT set_has('SELECT call FROM calls WHERE ''models'' = ANY (reads)', 'SELECT call FROM calls',
  'and models by all');
CREATE FUNCTION lib.objections(spoiling text, relation text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  call text;
  said text := '';
BEGIN
  EXECUTE spoiling;
  FOR call IN SELECT c.call FROM lib.calls c WHERE relation IS NULL OR relation = ANY (c.reads) LOOP
    BEGIN
      EXECUTE call;
      RAISE EXCEPTION 'done' USING ERRCODE = 'HT001';
    EXCEPTION WHEN SQLSTATE 'HT001' THEN NULL;
      WHEN OTHERS THEN
        IF SQLSTATE !~ '^(22|23|2BP01|40001|42|0A000|53200|54000|55000|P0002|P0003)'
          OR SQLSTATE IN ('42601', '22P01', '22012') THEN
          said := said || format(E'\n%s: %s %s', call, SQLSTATE, SQLERRM);
        END IF;
    END;
  END LOOP;
  RAISE EXCEPTION '%', said USING ERRCODE = 'HT000';
EXCEPTION WHEN SQLSTATE 'HT000' THEN RETURN SQLERRM;
END $$;
SELECT is(objections('SELECT'), '', 'nothing is wrong yet');

-- Every column that code in C++ reads, in place of it one of another type, or of NULLs
CREATE FUNCTION lib.column_replaced(relation text, name text, definition text) RETURNS text LANGUAGE sql RETURN
  format('ALTER TABLE hartonomous.%I RENAME %I TO gone; ALTER TABLE hartonomous.%1$I ADD %2$I %3$s', relation, name,
    definition);
SELECT is(objections(column_replaced(relation, name, definition), relation), '',
  format('%s.%s %s', relation, name, definition))
  FROM columns_read, unnest(names) name,
       unnest(ARRAY['bigint DEFAULT 1094795585', 'text DEFAULT ''x''']) definition;
SELECT is(objections(column_replaced(relation, name, (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = ('hartonomous.' || relation)::regclass AND attname = name)), relation), '',
  format('%s.%s NULL', relation, name))
  FROM columns_read, unnest(names) name;

-- Values, and whole tables
SELECT is(objections(spoiling, substring(spoiling FROM '^(?:UPDATE|ALTER TABLE) (calibration_\w+)')), '', spoiling)
  FROM (VALUES
  ('UPDATE model_layers SET tensor_shape = ARRAY[NULL::bigint, tensor_shape[2]] WHERE cardinality(tensor_shape) = 2'),
    ('UPDATE model_layers SET tensor_shape = array_fill(NULL::bigint, ARRAY[4000000]) '
      'WHERE layer_name LIKE ''blk.0.attn_q%'''),
    ('UPDATE model_layers SET tensor_shape = ''{}'''),
    ('UPDATE model_layers SET tensor_shape = ARRAY[tensor_shape]'),
    ('UPDATE model_layers SET tensor_shape = ''[0:1]={16,16}'' WHERE layer_name LIKE ''blk.0.attn_q%'''),
    ('UPDATE model_layers SET tensor_shape = ''{-1,-9223372036854775808}'''),
    ('UPDATE model_layers SET tensor_shape = ''{4294967296,4294967296}'', parameter_count = 9223372036854775807'),
    ('UPDATE model_layers SET row_length = 0'), ('UPDATE model_layers SET row_length = -1'),
    ('UPDATE model_layers SET row_length = 1'),
    ('UPDATE model_layers SET row_length = 9223372036854775807'),
    ('UPDATE model_layers SET row_length = 1, parameter_count = 4611686018427387904'),
    ('UPDATE model_layers SET parameter_count = 9223372036854775807'), ('UPDATE model_layers SET parameter_count = -5'),
    ('UPDATE model_layers SET atom_size = 1'), ('UPDATE model_layers SET atom_size = 2147483647'),
    ('ALTER TABLE model_layers DROP CONSTRAINT model_layers_atom_size_check; UPDATE model_layers SET atom_size = 0'),
    ('ALTER TABLE model_layers DROP CONSTRAINT model_layers_atom_size_check; UPDATE model_layers SET atom_size = '
      '-2147483648'),
    ('ALTER TABLE model_layers DROP CONSTRAINT model_layers_model_id_layer_name_key; UPDATE model_layers SET '
      'layer_name '
      '= ''same'''),
    ('ALTER TABLE model_layers DROP CONSTRAINT model_layers_model_id_position_key; '
      'UPDATE model_layers SET position = -1'),
    ('ALTER TABLE tensor_atoms ALTER atom_data DROP NOT NULL; UPDATE tensor_atoms SET atom_data = NULL '
      'WHERE atom_sequence < 5'),
    ('ALTER TABLE tensor_atoms DROP CONSTRAINT tensor_atoms_pkey CASCADE; INSERT INTO tensor_atoms (model_id, '
      'revision_id, layer_id, atom_sequence, tensor_name, atom_data) '
     'SELECT model_id, revision_id, layer_id, atom_sequence, tensor_name, atom_data FROM tensor_atoms'),
    ('UPDATE tensor_atoms SET atom_data = ''F32[0]:'' WHERE atom_sequence = 3'),
    ('UPDATE tensor_atoms SET atom_sequence = 2147483647 - atom_sequence'),
    ('UPDATE calibration_stats SET columns = 2147483647, experts = 2147483647'),
    ('UPDATE calibration_stats SET token_counts = ''{NULL}'''),
    ('UPDATE calibration_stats SET token_counts = ''{9223372036854775807}'''),
    ('UPDATE calibration_stats SET sums_of_squares = ''F32[0]:'''),
    ('ALTER TABLE calibration_stats DROP CONSTRAINT calibration_stats_pkey CASCADE; INSERT INTO calibration_stats '
      'SELECT * FROM calibration_stats'),
    ('UPDATE svd_compressed_layers SET rank = 2147483647'),
    ('UPDATE svd_compressed_layers SET u_matrix = vt_matrix, vt_matrix = ''F32[0]:'''),
    ('ALTER TABLE svd_compressed_layers DROP CONSTRAINT svd_compressed_layers_rank_check; UPDATE svd_compressed_layers '
      'SET rank = -1'),
    ('ALTER TABLE svd_compressed_layers DROP CONSTRAINT svd_compressed_layers_rank_check; UPDATE svd_compressed_layers '
      'SET rank = 0, u_matrix = ''F32[0]:'', s_vector = ''F32[0]:'', vt_matrix = ''F32[0]:'''),
  -- 2^62 rows by rank 4 are 0 numbers in 64 bits
    ('UPDATE model_layers l SET row_length = 1, parameter_count = 4611686018427387904 FROM svd_compressed_layers f '
      'WHERE f.layer_id = l.layer_id; '
     'UPDATE svd_compressed_layers SET rank = 4, u_matrix = ''F32[0]:'', s_vector = ARRAY[1,1,1,1]::real[], '
     'vt_matrix = '
     'ARRAY[1,1,1,1]::real[]'),
    ('ALTER TABLE calibration_stats DROP CONSTRAINT calibration_stats_columns_check; '
     'UPDATE calibration_stats SET columns = -1'),
    ('UPDATE calibration_stats SET columns = 2147483647, experts = 2147483647'),
    ('UPDATE calibration_stats SET token_counts = ''{}'''),
    ('UPDATE calibration_stats SET token_counts = ARRAY[NULL::bigint]'),
    ('UPDATE calibration_stats SET tokens = 9223372036854775807, n_ctx = -1, gram_layer_id = -1'),
    ('UPDATE calibration_grams SET gram = '''''),
    ('ALTER TABLE calibration_grams DROP CONSTRAINT calibration_grams_first_column_check; '
     'UPDATE calibration_grams SET first_column = -2147483648'),
    ('UPDATE models SET metadata = ''[1,2,3]'''), ('UPDATE models SET metadata = ''"gguf"'''),
    ('UPDATE models SET metadata = ''{"format": "gguf"}'''),
    ('UPDATE models SET metadata = ''{"format": "gguf", "kv": {"a": 1}}'''), ('UPDATE models SET metadata = ''{}'''),
    ('UPDATE model_revisions SET base_revision_id = 0, held_revision_id = NULL'),
    ('UPDATE model_revisions SET base_revision_id = 999'),
    ('UPDATE model_revisions SET parent_revision_id = revision_id, base_revision_id = 999, kind = ''copy'''),
    ('UPDATE model_revisions SET parent_revision_id = revision_id, held_revision_id = 999, kind = ''copy'''),
    ('UPDATE model_revisions SET parent_revision_id = NULL, kind = ''copy'''),
    ('ALTER TABLE models RENAME TO models_table; CREATE VIEW hartonomous.models AS SELECT * FROM models_table'),
    ('ALTER TABLE model_layers RENAME TO layers_table; CREATE VIEW hartonomous.model_layers AS SELECT * '
      'FROM layers_table UNION ALL SELECT * FROM layers_table'),
    ('DROP TABLE model_layers CASCADE'), ('DROP TABLE tensor_atoms CASCADE'), ('DROP TABLE models CASCADE')
  ) v (spoiling);

-- What is said
CREATE FUNCTION lib.said(spoiling text, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; hint text;
BEGIN
  EXECUTE spoiling;
  BEGIN
    EXECUTE format(call, 1);
    message := 'nothing';
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    message := format('%s %s%s', SQLSTATE, message, CASE WHEN hint = '' THEN '' ELSE ' (' || hint || ')' END);
  END;
  RAISE EXCEPTION '%', message USING ERRCODE = 'HT000';
EXCEPTION WHEN SQLSTATE 'HT000' THEN RETURN SQLERRM;
END $$;
SELECT is(said(spoiling, call), said, spoiling) FROM (VALUES
  (column_replaced('tensor_atoms', 'atom_data', 'bigint DEFAULT 1094795585'), 'SELECT generate_text(%s, ''cat'', 2)',
    '42804 column "atom_data" of table "tensor_atoms" is of type bigint instead of hartonomous.weights (Restore the '
    'type with which the column was created: hartonomous.weights.)'),
  (column_replaced('tensor_atoms', 'atom_data', 'weights'), 'SELECT generate_text(%s, ''cat'', 2)',
    '22004 column "atom_data" of table "tensor_atoms" is NULL (The store''s functions never leave it NULL: restore the '
    'value, or import the model again.)'),
  (column_replaced('tensor_atoms', 'atom_sequence', 'bigint DEFAULT 1'),
    'SELECT tensor_weights(%s, ''blk.0.attn_q.weight'')',
    '42804 column "atom_sequence" of table "tensor_atoms" is of type bigint instead of integer (Restore the '
    'type with which the column was created: integer.)'),
  (column_replaced('model_layers', 'layer_name', 'integer DEFAULT 5'), 'SELECT perplexity(%s, ''cat cat cat cat'', 8)',
    '42804 column "layer_name" of table "model_layers" is of type integer instead of text (Restore the '
    'type with which the column was created: text.)'),
  (column_replaced('models', 'metadata', 'integer DEFAULT 5'), 'SELECT tokenize(%s, ''cat'')',
    '42804 column "metadata" of table "models" is of type integer instead of jsonb (Restore the '
    'type with which the column was created: jsonb.)'),
  (column_replaced('svd_compressed_layers', 'u_matrix', 'weights'),
    'SELECT tensor_weights(%s, ''blk.0.ffn_up.weight'')',
    '22004 column "u_matrix" of table "svd_compressed_layers" is NULL (The store''s functions never leave it NULL: '
    'restore the value, or import the model again.)'),
  ('UPDATE model_layers SET tensor_shape = ARRAY[16, NULL] WHERE layer_name LIKE ''%attn_q%''',
    'SELECT export_gguf(%s)',
    '22004 column "tensor_shape" of table "model_layers": an element is NULL (The store''s functions never leave it '
    'NULL: restore the value, or import the model again.)'),
  ('UPDATE model_layers SET tensor_shape = ARRAY[tensor_shape]', 'SELECT export_gguf(%s)',
    '2202E column "tensor_shape" of table "model_layers" is not an array of one dimension that begins at 1'),
  ('ALTER TABLE model_layers DROP CONSTRAINT model_layers_atom_size_check; UPDATE model_layers SET atom_size = 0',
    'SELECT export_gguf(%s)',
    '22003 column "atom_size" of table "model_layers" is out of range: 0 (Restore the value, or import the model '
    'again.)'),
  ('UPDATE model_layers SET row_length = -1', 'SELECT generate_text(%s, ''cat'', 2)',
    '22003 column "row_length" of table "model_layers" is out of range: -1 (Restore the value, or import the model '
    'again.)')) v (spoiling, call, said);
-- Types whose values have the same form are as good.
SELECT is(
  said('CREATE DOMAIN lib.size AS integer; ALTER TABLE model_layers ALTER layer_name TYPE varchar(100), ALTER '
    'atom_size TYPE lib.size',
    'SELECT generate_text(%s, ''cat'', 2)'), 'nothing', 'varchar for text, a domain for its base');

SELECT * FROM finish();
ROLLBACK;
