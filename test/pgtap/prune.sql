-- Pruning: which atoms go, in place or by rewriting, and which arguments make sense.
BEGIN;
\ir lib/model_files.sql
SELECT plan(156);
SELECT create_store() \g /dev/null

-- A model whose importances are made up: tensors a and b of 10 atoms, with scores 1..10 and 11..20; vector v.
CREATE FUNCTION lib.plain_gguf() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW('a.weight', '{4,10}', 0, waves(10, 4, 1))::tensor, ROW('b.weight', '{8,10}', 0, waves(10, 8,
    2))::tensor, ROW('v.weight', '{6}', 0, f32(1, 2, 3, 4, 5, 6))::tensor]);
CREATE FUNCTION lib.fresh(name text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE model integer := import_gguf(plain_gguf(), name);
BEGIN
  UPDATE tensor_atoms a SET importance_score = atom_sequence + CASE tensor_name WHEN 'a.weight' THEN 1 ELSE 11 END
    WHERE model_id = model AND tensor_name <> 'v.weight';
  RETURN model;
END $$;
-- What is left: 'a:3,4,5 b:...'
CREATE FUNCTION lib.remains(model integer) RETURNS text LANGUAGE plpgsql STABLE
AS $$ BEGIN RETURN (SELECT string_agg(s, ' ' ORDER BY s) FROM (SELECT left(tensor_name, 1) || ':'
  || string_agg(atom_sequence::text, ',' ORDER BY atom_sequence) AS s FROM tensor_atoms WHERE model_id = model GROUP BY
  tensor_name) x); END $$;

SELECT fresh('m') AS m \gset
SELECT holds(:m) AS before \gset

CREATE TABLE lib.cases (arguments text, expected text, what text);
INSERT INTO lib.cases VALUES
  ('keep_ratio => 0.5', 'a:5,6,7,8,9 b:5,6,7,8,9 v:0', 'half of each tensor'),
  ('keep_ratio => 0.95', 'a:0,1,2,3,4,5,6,7,8,9 b:0,1,2,3,4,5,6,7,8,9 v:0', 'half an atom is none'),
  ('keep_ratio => 0.9', 'a:1,2,3,4,5,6,7,8,9 b:1,2,3,4,5,6,7,8,9 v:0', 'one of ten, though 1 - 0.9 is less than 0.1'),
  ('keep_ratio => 0.7', 'a:3,4,5,6,7,8,9 b:3,4,5,6,7,8,9 v:0', 'three of ten'),
  ('keep_ratio => 1', 'a:0,1,2,3,4,5,6,7,8,9 b:0,1,2,3,4,5,6,7,8,9 v:0', 'nothing'),
  ('keep_ratio => 0', 'v:0', 'all'),
  ('keep_ratio => 0, include_vectors => true', NULL, 'all, vectors too'),
  ('keep_ratio => 0.01', 'a:9 b:9 v:0', 'nearly all'),
  ('keep_ratio => 0.5, scope => ''model''', 'b:0,1,2,3,4,5,6,7,8,9 v:0', 'half of the model'),
  ('keep_ratio => 0.25, scope => ''model''', 'b:5,6,7,8,9 v:0', 'three quarters of the model'),
  ('keep_ratio => 0.5, scope => ''model'', layer_pattern => ''a%''', 'a:5,6,7,8,9 b:0,1,2,3,4,5,6,7,8,9 v:0',
    'of one tensor'),
  ('keep_ratio => 0, scope => ''model''', 'v:0', 'all of the model'),
  ('threshold => 3', 'a:2,3,4,5,6,7,8,9 b:0,1,2,3,4,5,6,7,8,9 v:0', 'below a threshold; what lies on it stays'),
  ('threshold => 14.5', 'b:4,5,6,7,8,9 v:0', 'a threshold for all tensors'),
  ('threshold => 14.5, layer_pattern => ''b%''', 'a:0,1,2,3,4,5,6,7,8,9 b:4,5,6,7,8,9 v:0', 'for one'),
  ('threshold => 14.5, scope => ''model''', 'b:4,5,6,7,8,9 v:0', 'the scope says nothing to a threshold'),
  ('threshold => -11', 'a:0,1,2,3,4,5,6,7,8,9 b:0,1,2,3,4,5,6,7,8,9 v:0', 'a threshold below all'),
  ('threshold => 11, include_vectors => true', 'b:0,1,2,3,4,5,6,7,8,9', 'vectors, asked for'),
  ('threshold => ''Infinity''', 'v:0', 'a threshold above all'), ('threshold => ''-Infinity''',
    'a:0,1,2,3,4,5,6,7,8,9 b:0,1,2,3,4,5,6,7,8,9 v:0', 'the other infinity'),
  ('keep_ratio => 0.5, layer_pattern => ''_.weight''', 'a:5,6,7,8,9 b:5,6,7,8,9 v:0', 'patterns are LIKE''s');
-- Prunes, looks, rolls back, looks: 'as expected' or what is wrong.
CREATE FUNCTION lib.pruned(model integer, arguments text, expected text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  before text := holds(model);
  began integer := present(model);
  gone bigint;
  plan record;
  made record;
BEGIN
  EXECUTE format(
    'SELECT sum(p.atoms_before - p.atoms_after) AS removed, sum(p.bytes_before - p.bytes_after) AS bytes '
    'FROM prune_plan(%s, %s) p', model,
    regexp_replace(arguments, ', method => ''\w+''', '')) INTO plan;
  EXECUTE format('CALL prune_by_importance(%s, %s, dry_run => true)', model, arguments);
  IF holds(model) <> before OR present(model) <> began THEN RETURN 'a dry run changed the model'; END IF;
  EXECUTE format('CALL prune_by_importance(%s, %s)', model, arguments);
  IF remains(model) IS DISTINCT FROM expected THEN RETURN format('left: %s', remains(model)); END IF;
  gone := split_part(before, ' ', 1)::bigint - coalesce(split_part(holds(model), ' ', 1)::bigint, 0);
  IF gone <> plan.removed THEN RETURN format('%s planned, %s removed', plan.removed, gone); END IF;
  IF gone = 0 THEN
    RETURN CASE WHEN present(model) = began AND holds(model) = before THEN 'as expected' ELSE
      'nothing removed, but something done' END;
  END IF;
  SELECT r.atom_count, r.logical_bytes, r.kind, p.logical_bytes - plan.bytes AS expected_bytes, (SELECT
    sum(weights_bytes(atom_data)) FROM tensor_atoms WHERE model_id = model) AS bytes
    INTO made FROM model_revisions r JOIN model_revisions p ON p.revision_id = r.parent_revision_id WHERE r.revision_id
      = present(model);
  IF made.logical_bytes <> made.expected_bytes OR made.logical_bytes <> coalesce(made.bytes, 0) THEN RETURN
    format('bytes: %s', made); END IF;
  IF arguments LIKE '%in_place%' AND made.kind <> 'in_place' OR arguments LIKE '%''rewrite%' AND made.kind <> 'rewrite'
    THEN RETURN made.kind; END IF;
  PERFORM rollback_model(model);
  RETURN CASE WHEN holds(model) = before AND present(model) = began THEN 'as expected' ELSE
    'rolled back to something else' END;
END $$;
SELECT is(pruned(:m, arguments || method, expected), 'as expected', what || ': ' || arguments || method)
  FROM lib.cases, unnest(ARRAY['', ', method => ''in_place''', ', method => ''rewrite''']) method;
SELECT is(holds(:m), :'before', 'after all of it, the model is what it was');
SELECT ok(export_gguf(:m) = plain_gguf(), 'and so is its file');

-- auto: in place below a fifth
CALL prune_by_importance(:m, keep_ratio => 0.9);
SELECT is(kind, 'in_place', 'a tenth goes in place') FROM model_revisions WHERE revision_id = present(:m);
SELECT is(live_partition(:m)::text, 'tensor_atoms_m' || :m || '_r' || parent_revision_id, 'out of its partition')
  FROM model_revisions WHERE revision_id = present(:m);
SELECT results_eq(
  format(
    'SELECT revision_id, count(*) FROM tensor_atoms_backup WHERE model_id = %s AND revision_id = present(%1$s) '
    'GROUP BY 1',
    :m), format('SELECT present(%s), 2::bigint', :m), 'into a delta');
CALL prune_by_importance(:m, keep_ratio => 0.5);
SELECT is(kind, 'rewrite', 'half is a rewrite') FROM model_revisions WHERE revision_id = present(:m);
SELECT is(remains(:m), 'a:5,6,7,8,9 b:5,6,7,8,9 v:0', 'a pruned model pruned');
SELECT is(parameters, '{"scope": "tensor", "keep_ratio": 0.5, "layer_pattern": "%", "keep_ratio_of": "imported",
  "include_vectors": false, "include_embeddings": false}', 'parameters are recorded') FROM model_revisions
  WHERE revision_id = present(:m);
SELECT is(rollback_model(:m), (SELECT max(revision_id) - 1 FROM model_revisions), 'undone');
SELECT is(remains(:m), 'a:1,2,3,4,5,6,7,8,9 b:1,2,3,4,5,6,7,8,9 v:0', 'it is pruned once');
SELECT rollback_model(:m) \g /dev/null
SELECT is(holds(:m), :'before', 'undone again');

-- Ties stay, and so does what has no score or is no number
SELECT fresh('ties') AS t \gset
UPDATE tensor_atoms SET importance_score = CASE WHEN atom_sequence < 2 THEN 1 WHEN atom_sequence < 6 THEN 2 ELSE 3 END
  WHERE model_id = :t AND tensor_name = 'a.weight';
UPDATE tensor_atoms SET importance_score = CASE WHEN atom_sequence < 2 THEN NULL WHEN atom_sequence = 2 THEN 'NaN'::real
  ELSE atom_sequence END WHERE model_id = :t AND tensor_name = 'b.weight';
SELECT is(pruned(:t, arguments || method, expected), 'as expected', 'ties and NULLs: ' || arguments || method)
  FROM (VALUES
  ('keep_ratio => 0.9', 'a:0,1,2,3,4,5,6,7,8,9 b:0,1,2,4,5,6,7,8,9 v:0'),
    ('keep_ratio => 0.8', 'a:2,3,4,5,6,7,8,9 b:0,1,2,5,6,7,8,9 v:0'),
    ('keep_ratio => 0.5', 'a:2,3,4,5,6,7,8,9 b:0,1,2,8,9 v:0'), ('keep_ratio => 0.1', 'a:6,7,8,9 b:0,1,2 v:0'),
    ('keep_ratio => 0', 'b:0,1,2 v:0'), ('threshold => 100', 'b:0,1,2 v:0'),
    ('keep_ratio => 0.8, keep_ratio_of => ''present''', 'a:2,3,4,5,6,7,8,9 b:0,1,2,4,5,6,7,8,9 v:0')
  ) v (arguments, expected),
  unnest(ARRAY[', method => ''in_place''', ', method => ''rewrite''']) method;
UPDATE tensor_atoms SET importance_score = 5 WHERE model_id = :t;
SELECT is(pruned(:t, 'keep_ratio => 0.2', 'a:0,1,2,3,4,5,6,7,8,9 b:0,1,2,3,4,5,6,7,8,9 v:0'), 'as expected',
  'all the same: none goes');
UPDATE tensor_atoms SET importance_score = NULL WHERE model_id = :t;
SELECT is(pruned(:t, 'keep_ratio => 0', 'a:0,1,2,3,4,5,6,7,8,9 b:0,1,2,3,4,5,6,7,8,9 v:0'), 'as expected',
  'none has a score: none goes');

-- The plan
SELECT results_eq(
  format(
    'SELECT layer_name, operation, arguments, atoms_before, atoms_after, bytes_before, bytes_after, reason '
    'FROM prune_plan(%s, keep_ratio => 0.5)',
    :m),
  $$VALUES ('a.weight', 'prune', '{"minimum_importance": 6}'::jsonb, 10::bigint, 5::bigint, 160::bigint, 80::bigint,
    NULL),
    ('b.weight', 'prune', '{"minimum_importance": 16}', 10, 5, 320, 160, NULL)$$,
  'prune_plan by ratio');
SELECT results_eq(
  format(
    'SELECT layer_name, arguments, atoms_before, atoms_after, reason '
    'FROM prune_plan(%s, keep_ratio => 0.5, scope => ''model'', include_vectors => true)',
    :m),
  $$VALUES ('a.weight', '{"minimum_importance": 10}'::jsonb, 10::bigint, 1::bigint, NULL),
    ('b.weight', NULL, 10, 10, 'nothing to prune'),
    ('v.weight', NULL, 1, 1, 'nothing to prune')$$,
  'prune_plan over the model, vectors too: the tenth of 21 is tied with the eleventh, the vector');
SELECT results_eq(format('SELECT layer_name, arguments, atoms_before, atoms_after FROM prune_plan(%s, threshold => 3)',
  :m),
  $$VALUES ('a.weight', '{"minimum_importance": 3}'::jsonb, 10::bigint, 8::bigint), ('b.weight', NULL, 10, 10)$$,
  'prune_plan by threshold');

-- A ratio is one of what was imported: asked for again, it changes nothing.
CREATE FUNCTION lib.pruned_twice(model integer, arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  once text;
  revision integer;
BEGIN
  EXECUTE format('CALL prune_by_importance(%s, %s)', model, arguments);
  once := remains(model);
  revision := present(model);
  EXECUTE format('CALL prune_by_importance(%s, %s)', model, arguments);
  IF present(model) = revision THEN
    PERFORM rollback_model(model);
    RETURN CASE WHEN remains(model) = once THEN 'pruned nothing at first' ELSE once END;
  END IF;
  once := once || ' then ' || remains(model);
  PERFORM rollback_model(model);
  PERFORM rollback_model(model);
  RETURN once;
END $$;
SELECT fresh('again') AS r \gset
SELECT is(pruned_twice(:r, arguments || method), expected, 'twice: ' || arguments || method) FROM (VALUES
  ('keep_ratio => 0.7', 'a:3,4,5,6,7,8,9 b:3,4,5,6,7,8,9 v:0'),
  ('keep_ratio => 0.5, scope => ''model''', 'b:0,1,2,3,4,5,6,7,8,9 v:0'),
  ('keep_ratio => 0.9, layer_pattern => ''a%''', 'a:1,2,3,4,5,6,7,8,9 b:0,1,2,3,4,5,6,7,8,9 v:0'),
  ('threshold => 3', 'a:2,3,4,5,6,7,8,9 b:0,1,2,3,4,5,6,7,8,9 v:0'),
  ('keep_ratio => 0.5, keep_ratio_of => ''present''', 'a:5,6,7,8,9 b:5,6,7,8,9 v:0 then a:7,8,9 b:7,8,9 v:0'),
  ('keep_ratio => 0.5, scope => ''model'', keep_ratio_of => ''present''',
    'b:0,1,2,3,4,5,6,7,8,9 v:0 then b:5,6,7,8,9 v:0')
  ) v (arguments, expected), unnest(ARRAY[', method => ''in_place''', ', method => ''rewrite''']) method;
DELETE FROM tensor_atoms WHERE model_id = :r AND tensor_name = 'a.weight' AND atom_sequence IN (7, 8);
SELECT results_eq(
  format(
    'SELECT layer_name, atoms_before, atoms_before - atoms_after, (details ->> ''imported_atoms'')::bigint '
    'FROM prune_plan(%s, keep_ratio => 0.7)', :r),
  $$VALUES ('a.weight', 8::bigint, 1::bigint, 10::bigint), ('b.weight', 10, 3, 10)$$,
  'atoms deleted otherwise count, too');
SELECT results_eq(
  format('SELECT layer_name, atoms_before - atoms_after FROM prune_plan(%s, keep_ratio => 0.4, scope => ''model'')',
    :r),
  $$VALUES ('a.weight', 8::bigint), ('b.weight', 2)$$, 'over the model as well');
SELECT results_eq(
  format(
    'SELECT layer_name, atoms_before - atoms_after FROM prune_plan(%s, keep_ratio => 0.7, keep_ratio_of => '
    '''present'')', :r),
  $$VALUES ('a.weight', 2::bigint), ('b.weight', 3)$$, 'unless the ratio is one of the atoms that are there');

-- Embeddings and output are spared, and so is what cannot be read or is held as factors
CREATE FUNCTION lib.spared_gguf() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW('token_embd.weight', '{256,10}', 0, waves(10, 256, 1))::tensor, ROW('blk.0.ffn_up.weight',
    '{256,10}', 0, waves(10, 256, 2))::tensor, ROW('blk.0.ffn_down.weight', '{256,10}', 9,
      decode(repeat('5a', 2880), 'hex'))::tensor, ROW('blk.0.attn_q.weight', '{256,10}', 0, waves(10, 256, 3))::tensor,
    ROW('output.weight', '{256,10}', 0, waves(10, 256, 4))::tensor]);
SELECT import_gguf(spared_gguf(), 'spared') AS s \gset
UPDATE tensor_atoms SET importance_score = atom_sequence + 1 WHERE model_id = :s;
CALL svd_compress_model(:s, rank => 2, layer_pattern => '%attn_q%', residual => true, residual_ratio => 0.5);
CREATE FUNCTION lib.left_of(model integer) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT string_agg(l.layer_name || ' ' || (SELECT count(*) FROM tensor_atoms a WHERE a.model_id = model
    AND a.layer_id = l.layer_id), ', ' ORDER BY l.position) FROM model_layers l WHERE l.model_id = model);
END $$;
SELECT results_eq(
  format(
    'SELECT layer_name, arguments, atoms_before, atoms_before - atoms_after, reason '
    'FROM prune_plan(%s, keep_ratio => 0.5, scope => %L)',
    :s, scope),
  $$VALUES ('token_embd.weight', NULL::jsonb, 10::bigint, 0::bigint, 'embedding or output'),
    ('blk.0.ffn_up.weight', '{"minimum_importance": 6}', 10, 5, NULL),
    ('blk.0.ffn_down.weight', NULL, 10, 0, 'carried format'),
    ('blk.0.attn_q.weight', NULL, 5, 0, 'factored'), ('output.weight', NULL, 10, 0, 'embedding or output')$$,
  'what is passed over, scope ' || scope)
  FROM unnest('{tensor,model}'::text[]) scope;
CREATE FUNCTION lib.left_after(model integer, arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE format('CALL prune_by_importance(%s, %s)', model, arguments);
  result := left_of(model);
  PERFORM rollback_model(model);
  RETURN result;
END $$;
SELECT count(*) AS residual FROM tensor_atoms WHERE model_id = :s AND tensor_name = 'blk.0.attn_q.weight'
  AND importance_score >= 4 \gset
SELECT is(left_after(:s, arguments || method), format('token_embd.weight %s, blk.0.ffn_up.weight %s, '
  'blk.0.ffn_down.weight 10, blk.0.attn_q.weight %s, output.weight %1$s', embedding, matrix, factored),
  arguments || method)
  FROM (VALUES ('keep_ratio => 0.5', 10, 5, 5), ('threshold => 4', 10, 7, :residual),
    ('keep_ratio => 0.5, include_embeddings => true', 5, 5, 5),
    ('keep_ratio => 0.5, include_embeddings => NULL', 10, 5, 5),
    ('keep_ratio => 0.5, include_embeddings => true, scope => ''model''', 5, 5, 5),
    ('keep_ratio => 0.6, keep_ratio_of => ''present''', 10, 6, 3)) v (arguments, embedding, matrix, factored),
  unnest(ARRAY[', method => ''in_place''', ', method => ''rewrite''']) method;
SELECT is((s.state, s.message, s.hint)::text,
  format('(22023,"model ""%s"" has no tensor that matches ""%s"" to prune",%I)', model_name(:s), pattern,
    expected), 'all are passed over: ' || pattern) FROM (VALUES
  ('token%', 'include_embeddings => true prunes embeddings and output, too.'),
  ('%ffn_down%', 'SELECT * FROM hartonomous.prune_plan(...); tells why each tensor is skipped.')
  ) v (pattern, expected),
  LATERAL state_as(current_user,
    format('CALL prune_by_importance(%s, keep_ratio => 0.5, layer_pattern => %L)', :s, pattern)) s;
SELECT lives_ok(
  format('CALL prune_by_importance(%s, keep_ratio => 0.9, layer_pattern => ''token%%'', include_embeddings => true)',
    :s), 'embeddings alone, asked for');

-- Models with little in them
SELECT import_gguf(gguf(NULL), 'empty') AS e \gset
SELECT throws_ok(format('CALL prune_by_importance(%s, keep_ratio => 0.5)', :e), '22023', NULL, 'no tensor to prune');
SELECT throws_ok(format('CALL prune_by_importance(%s, keep_ratio => 0.5, layer_pattern => ''none'')', :m), '22023',
  'model "' || model_name(:m) || '" has no tensor that matches "none"', 'no tensor of that name');
SELECT throws_ok(format('CALL prune_by_importance(%s, keep_ratio => 0.5, layer_pattern => ''v%%'')', :m), '22023', NULL,
  'only a vector');
DELETE FROM tensor_atoms WHERE model_id = :t;
SELECT lives_ok(format('CALL prune_by_importance(%s, keep_ratio => 0.5)', :t), 'no atoms left: nothing to do');
SELECT lives_ok(format('CALL prune_by_importance(%s, keep_ratio => 0.5, scope => ''model'')', :t),
  'over the model, either');

-- Arguments
SELECT throws_ok(format('CALL prune_by_importance(%s, %s)', :m, arguments), '22023', NULL, arguments)
  FROM unnest(ARRAY['dry_run => true', 'keep_ratio => 0.5, threshold => 1', 'keep_ratio => -0.1', 'keep_ratio => 1.01',
    'keep_ratio => ''NaN''', 'threshold => ''NaN''', 'keep_ratio => 0.5, scope => ''layer''',
    'keep_ratio => 0.5, scope => NULL', 'keep_ratio => 0.5, method => ''fast''', 'keep_ratio => 0.5, method => NULL',
    'keep_ratio => NULL', 'keep_ratio => 0.5, keep_ratio_of => ''now''',
    'keep_ratio => 0.5, keep_ratio_of => NULL']) arguments;
SELECT throws_ok(format('CALL prune_by_importance(%s, keep_ratio => 0.5, layer_pattern => NULL)', :m), '22004', NULL,
  'a pattern that is NULL');
SELECT throws_ok('CALL prune_by_importance(999, keep_ratio => 0.5)', '42704', NULL, 'no such model');
SELECT throws_ok('CALL prune_by_importance(NULL::int, keep_ratio => 0.5)', '42704', NULL, 'NULL for a model');
SELECT throws_ok('CALL prune_by_importance(''nobody'', keep_ratio => 0.5)', '42704', NULL, 'no such name');
SELECT throws_ok('SELECT * FROM prune_plan(999, 0.5)', '42704', NULL, 'prune_plan of no model');
SELECT throws_ok('SELECT * FROM prune_plan(NULL, 0.5)', '42704', NULL, 'prune_plan(NULL)');
SELECT throws_ok($$CALL prune_by_importance('m', keep_ratio => 0.5, dry_run => NULL)$$, '22004', NULL,
  'a dry run that may be none is none at all');
SELECT is(remains(:m) IS DISTINCT FROM 'a:5,6,7,8,9 b:5,6,7,8,9 v:0', true, 'and prunes nothing');
SELECT lives_ok($$CALL prune_by_importance('m', keep_ratio => 0.5, include_vectors => NULL, nowait => NULL)$$,
  'the other flags that are NULL are not set');
SELECT is(remains(:m), 'a:5,6,7,8,9 b:5,6,7,8,9 v:0', 'by the model''s name');
SELECT is(prune_notice(false, 1, 3, 1024, 20480), 'pruned 1 of 3 atoms (33.3 %), 20.0 KiB -> 19.0 KiB', 'the notice');
SELECT is(prune_notice(true, 0, 0, 0, 0), 'would prune 0 of 0 atoms (0.0 %), 0 B -> 0 B', 'the notice of nothing');
SELECT is_empty(
  $$SELECT without_comment('check_prune_arguments', 'prunable_tensors', 'prune_plan', 'plan_pruning', 'report_pruning',
    'prune_parameters',
    'passed_over', 'prune_in_place', 'prune_by_importance', 'prune_notice', 'prune_threshold_transition',
    'prune_threshold_final')$$,
  'every function has a comment');

SELECT * FROM finish();
ROLLBACK;
