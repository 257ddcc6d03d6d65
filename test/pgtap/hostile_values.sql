-- Values and whole tables of a store that its owner, who is no superuser, has spoilt, and what is said about it. See
-- hostile_store.sql.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(68);
\ir lib/spoilt_store.sql
DO $$DECLARE c text; BEGIN FOR c IN SELECT call FROM lib.calls LOOP CALL lib.note_reads(c); END LOOP; END$$;

-- Values, and whole tables
SELECT is((objections(spoiling, readers(substring(spoiling FROM '^(?:UPDATE|ALTER TABLE|DROP TABLE) (\w+)')))).said, '',
  spoiling)
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
    ('ALTER TABLE tensor_atoms RENAME TO atoms_table; CREATE VIEW hartonomous.tensor_atoms AS SELECT * '
      'FROM atoms_table'),
    ('ALTER TABLE model_layers RENAME TO layers_table; CREATE VIEW hartonomous.model_layers AS SELECT * '
      'FROM layers_table UNION ALL SELECT * FROM layers_table'),
    ('DROP TABLE model_layers CASCADE'), ('DROP TABLE tensor_atoms CASCADE'), ('DROP TABLE models CASCADE')
  ) v (spoiling);


SELECT diag(format('spoilt values: %s calls', calls)) FROM counts;

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
    'SELECT tensor_weights(%s, ''blk.0.attn_v.weight'')',
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
