-- Names, patterns and rules that mean nothing are errors which say what is near, in every stage.
BEGIN;
\ir lib/model_files.sql
SELECT plan(51);

-- Near names
SELECT is(
  near_names(wanted, '{blk.0.attn_q.weight,blk.0.attn_k.weight,blk.1.attn_q.weight,output.weight,token_embd.weight}'),
  expected, 'near ' || wanted) FROM (VALUES
  ('blk.0.attn_q', '"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.1.attn_q.weight", "token_embd.weight"'),
    ('blk.0.atn_k.weight', '"blk.0.attn_k.weight", "blk.0.attn_q.weight", "blk.1.attn_q.weight", "output.weight"'),
    ('OUTPUT*', '"output.weight", "token_embd.weight", "blk.0.attn_k.weight", "blk.0.attn_q.weight"'),
    ('token%', '"token_embd.weight", "blk.0.attn_k.weight", "output.weight", "blk.0.attn_q.weight"'),
    ('%1.attn%', '"blk.1.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_q.weight", "output.weight"')
  ) v (wanted, expected);
SELECT is(near_names('', '{b,a}'), '"a", "b"', 'nothing is near to all');
SELECT is(near_names(repeat('x', 100000), '{b,x}'), '"x", "b"', 'a very long one');
SELECT is(near_names('a', '{}'), NULL, 'there are none');
SELECT is(near_names(NULL, '{a}'), NULL, 'near_names(NULL)');

-- Models
SELECT is(hint, 'There are no models yet: see import_gguf().', 'without a store') FROM state_as(current_user,
  'SELECT model_id(''tiny'')');
SELECT create_store() \g /dev/null
SELECT is(hint, 'There are no models yet: see import_gguf().', 'without a model') FROM state_as(current_user,
  'SELECT model_id(''tiny'')');
SELECT import_gguf(little_gguf(), 'little') AS m \gset
SELECT import_gguf(gguf(NULL), 'empty') AS e \gset
SELECT is((s.state, s.message, s.hint)::text,
  '(42704,"model ""litle"" does not exist","There is ""little"", ""empty"".")', statement)
  FROM unnest(
    ARRAY['SELECT model_id(''litle'')', 'CALL prune_by_importance(''litle'', 0.5)', 'SELECT export_gguf(''litle'')',
  'SELECT * FROM quantize_plan(''litle'', ''Q8_0'')', 'SELECT perplexity(''litle'', ''text'')',
  'SELECT generate_text(''litle'', ''text'')',
  'SELECT tensor_weights(''litle'', ''output.weight'')', 'SELECT tokenize(''litle'', ''text'')']) statement,
  LATERAL state_as(current_user, statement) s;
SELECT is((s.state, s.message, s.hint)::text,
  format('(42704,"model %s does not exist","SELECT * FROM hartonomous.list_models(); lists all models.")',
    number), statement) FROM (VALUES ('CALL prune_by_importance(9, 0.5)', '9'), ('SELECT export_gguf(9)', '9'),
  ('SELECT * FROM prune_plan(NULL::int, 0.5)', 'NULL')) v (statement, number),
  LATERAL state_as(current_user, statement) s;

-- Patterns: the error is the same wherever one is given
SELECT lives_ok(format('SELECT require_matching_tensors(%s, %L, %L)', :m, pattern, within), pattern)
  FROM (VALUES ('%', '%'),
    ('blk._.attn\_q%', '%'), ('output.weight', '%'), ('blk%', '%weight'), ('%', 'none')) v (pattern, within);
SELECT lives_ok(format('SELECT require_matching_tensors(%s, ''%%'')', :e), 'all of nothing');
SELECT throws_ok(format('SELECT require_matching_tensors(%s, NULL)', :m), '22004', NULL, 'NULL');
SELECT is(hint, 'It has no tensors.', 'a model without tensors') FROM state_as(current_user,
  format('SELECT require_matching_tensors(%s, ''blk%%'')', :e));
SELECT is((s.state, s.message, s.hint)::text,
  '(22023,"model ""little"" has no tensor that matches ""blk.*""","It has, for example, '
  '""blk.0.attn_q.weight"", ""blk.0.ffn_down.weight"", ""blk.0.attn_norm.weight"", ""token_embd.weight"". Patterns are '
  'LIKE patterns: % matches any number of characters.")', statement)
  FROM unnest(
    ARRAY['CALL prune_by_importance($m, 0.5, layer_pattern => $p)',
      'CALL prune_by_importance($m, 0.5, layer_pattern => $p, dry_run => true)',
      'SELECT * FROM prune_plan($m, 0.5, layer_pattern => $p)',
      'SELECT * FROM prune_plan(''little'', threshold => 0, layer_pattern => $p)',
      'CALL prune_region($m, ''{0,100,0,100,-10,10}'', layer_pattern => $p)',
      'SELECT * FROM region_plan($m, ''{0,100,0,100,-10,10}'', layer_pattern => $p)',
      'CALL quantize_model($m, ''Q8_0'', layer_pattern => $p)',
      'SELECT * FROM quantize_plan($m, ''Q8_0'', layer_pattern => $p)',
      'CALL quantize_model($m, layer_pattern => $p)',
      'CALL quantize_model($m, ''Q8_0'', overrides => ''[{"pattern": "%", "format": "F16"}, {"pattern": "blk.*", '
      '"format": "Q8_0"}]'')',
      'SELECT * FROM quantize_plan($m, ''Q8_0'', overrides => ''[{"pattern": "blk.*", "format": null}]'')',
      'CALL svd_compress_model($m, rank => 2, layer_pattern => $p)',
      'SELECT * FROM svd_plan($m, rank => 2, layer_pattern => $p)',
      'SELECT * FROM assign_mixed_precision($m, ''[{"format": "Q8_0"}, {"pattern": "blk.*", '
      '"format": "F16"}]'')']) call,
  LATERAL (SELECT replace(replace(call, '$m', :'m'), '$p', '''blk.*''')) c (statement),
  LATERAL state_as(current_user, statement) s;
SELECT is(message, 'model "little" has no tensor that matches "output%" among those that match "blk%"',
  'an override of tensors that the pattern leaves out') FROM state_as(current_user,
    format('CALL quantize_model(%s, ''Q8_0'', ''blk%%'', overrides => ''[{"pattern": "output%%", "format": "F16"}]'')',
      :m));
SELECT is(current_revision(:m), (SELECT min(revision_id) FROM model_revisions), 'none of that changed the model');
SELECT is_empty('SELECT run_id FROM compression_runs', 'or began a run');

-- Names of tensors in a table of importance
CREATE TABLE lib.imatrix AS SELECT layer_name, array_fill(1::real, ARRAY[row_length::integer]) AS column_importance
  FROM model_layers WHERE model_id = :m;
UPDATE lib.imatrix SET layer_name = 'blk.0.atn_q.weight' WHERE layer_name = 'blk.0.attn_q.weight';
SELECT is((s.state, s.message, s.hint)::text,
  '(22023,"lib.imatrix names tensor ""blk.0.atn_q.weight"", which model ""little"" does not have",'
  '"It has, for example, ""blk.0.attn_q.weight"", ""blk.0.attn_norm.weight"", ""blk.0.ffn_down.weight"", '
  '""output.weight"".")',
  'one that the model has not')
  FROM state_as(current_user, format('CALL quantize_model(%s, ''Q8_0'', column_importance => ''lib.imatrix'')', :m)) s;
UPDATE lib.imatrix SET column_importance = NULL WHERE layer_name = 'blk.0.atn_q.weight';
SELECT lives_ok(format('CALL quantize_model(%s, ''Q8_0'', column_importance => ''lib.imatrix'')', :m),
  'without importance it says nothing');
SELECT rollback_model(:m) \g /dev/null

-- Blocks to be protected
SELECT throws_ok(format('SELECT extract_by_layers(%s, 1, ''influence'', protected_blocks => ''{0,7}'')', :m), '22023',
  'protected blocks {0,7} are not all among the blocks {0} of model "little"', 'a block that the model has not');

SELECT is_empty($$SELECT without_comment('near_names', 'require_matching_tensors')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
