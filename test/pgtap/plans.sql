-- Operations, plans and the runner: arguments that are sound and others, numbers bit by bit, plans of one's own, stages
-- that find nothing to do, steps whose arguments are nonsense.
BEGIN;
\ir lib/model_files.sql
SELECT plan(136);
SET LOCAL client_min_messages = warning;
SELECT import_gguf(little_gguf(), 'little') AS m \gset
SELECT holds(:m) AS imported, present(:m) AS r1 \gset

-- ---- arguments of operations ----
SELECT throws_ok(format('SELECT check_operation(%L, %L)', operation, arguments), state, message,
  operation || ' ' || arguments)
  FROM (VALUES
    ('melt', '{}', '22023', 'unknown operation "melt"'),
    ('', '{}', '22023', 'unknown operation ""'),
    ('copy', '[]', '22023', 'arguments of operation "copy" must be an object'),
    ('copy', '"x"', '22023', 'arguments of operation "copy" must be an object'),
    ('copy', '{"format": "F16"}', '22023', 'arguments of operation "copy" has the unknown member "format"'),
    ('quantize', '{}', '22023', 'operation "quantize" needs either "format" or "planned_formats"'),
    ('quantize', '{"format": null}', '22023', 'operation "quantize" needs either "format" or "planned_formats"'),
    ('quantize', '{"format": "F16", "planned_formats": {}}', '22023',
      'operation "quantize" needs either "format" or "planned_formats"'),
    ('quantize', '{"format": 4}', '22023', 'arguments of operation "quantize": "format" must be a string'),
    ('quantize', '{"format": "Q9"}', '22023', 'unknown weight format "Q9"'),
    ('quantize', '{"format": "Q8_1"}', '0A000', 'format Q8_1 cannot be written'),
    ('quantize', '{"format": "F16", "rank": 3}', '22023',
      'arguments of operation "quantize" has the unknown member "rank"'),
    ('quantize', '{"planned_formats": ["F16"]}', '22023',
      'arguments of operation "quantize": "planned_formats" must be an object'),
    ('quantize', '{"planned_formats": {"a": 1}}', '22023',
      'arguments of operation "quantize": "planned_formats" must be an object of strings'),
    ('quantize', '{"planned_formats": {"a": "Q9"}}', '22023', 'unknown weight format "Q9"'),
    ('quantize', '{"format": "F16", "column_importance": 1}', '22023',
      'arguments of operation "quantize": "column_importance" must be an array of numbers'),
    ('quantize', '{"format": "F16", "column_importance": []}', '22023',
      'arguments of operation "quantize": "column_importance" must have at least one number'),
    ('quantize', '{"format": "F16", "column_importance": [1, "x"]}', '22023',
      'arguments of operation "quantize": "column_importance" must be an array of numbers within real''s range'),
    ('quantize', '{"format": "F16", "column_importance": [1e39]}', '22023',
      'arguments of operation "quantize": "column_importance" must be an array of numbers within real''s range'),
    ('quantize', '{"format": "F16", "column_importance": [1, -1]}', '22023',
      'arguments of operation "quantize": "column_importance" must have finite numbers only, zero or more'),
    ('quantize', '{"format": "F16", "column_importance": ["NaN"]}', '22023', NULL),
    ('quantize', '{"format": "F16", "column_importance": ["Infinity"]}', '22023', NULL),
    ('quantize', '{"format": "F16", "column_importance": [[1]]}', '22023',
      'arguments of operation "quantize": "column_importance" must be an array of numbers within real''s range'),
    ('prune', '{}', '22023', 'operation "prune" needs "minimum_importance" or "region"'),
    ('prune', '{"minimum_importance": "5"}', '22023',
      'arguments of operation "prune": "minimum_importance" must be a number within real''s range'),
    ('prune', '{"minimum_importance": [1]}', '22023',
      'arguments of operation "prune": "minimum_importance" must be a number within real''s range'),
    ('prune', '{"minimum_importance": 1e-50}', '22023',
      'arguments of operation "prune": "minimum_importance" must be a number within real''s range'),
    ('prune', '{"region": [0, 1e-50, 0, 1, 0, 1]}', '22023', NULL),
    ('prune', '{"region": [0, 1, 0, 1]}', '22023', NULL),
    ('prune', '{"region": [1, 0, 0, 1, 0, 1]}', '22023', NULL),
    ('prune', '{"region": [0, 1, 0, "NaN", 0, 1]}', '22023', NULL),
    ('prune', '{"minimum_importance": 1, "outside_region": 1}', '22023',
      'arguments of operation "prune": "outside_region" must be true or false'),
    ('encode_geometry', '{}', '22023', 'arguments of operation "encode_geometry": "format" must be Q8_0, F16 or F32'),
    ('encode_geometry', '{"format": "Q4_K"}', '22023',
      'arguments of operation "encode_geometry": "format" must be Q8_0, F16 or F32'),
    ('factor', '{"format": "F16"}', '22023', 'operation "factor" needs either "rank" or "energy"'),
    ('factor', '{"format": "F16", "rank": 3, "energy": 0.5}', '22023',
      'operation "factor" needs either "rank" or "energy"'),
    ('factor', '{"rank": 3}', '22023', 'arguments of operation "factor": "format" is missing'),
    ('factor', '{"rank": 0, "format": "F16"}', '22023',
      'arguments of operation "factor": "rank" must be a whole number from 1 to 2147483647'),
    ('factor', '{"rank": 1.5, "format": "F16"}', '22023', NULL),
    ('factor', '{"rank": 1e300, "format": "F16"}', '22023', NULL),
    ('factor', '{"rank": "NaN", "format": "F16"}', '22023', NULL),
    ('factor', '{"energy": 2, "format": "F16"}', '22023',
      'arguments of operation "factor": "energy" must be above 0 and at most 1'),
    ('factor', '{"energy": "NaN", "format": "F16"}', '22023', NULL),
    ('factor', '{"rank": 1, "format": "F16", "residual_ratio": 1}', '22023', NULL),
    ('factor', '{"rank": 1, "format": "F16", "residual_ratio": 1e-400}', '22023',
      'arguments of operation "factor": "residual_ratio" must be a number within double precision''s range'),
    ('factor', '{"rank": 1, "format": "F16", "dense_format": "Q9"}', '22023', NULL)
  ) v (operation, arguments, state, message);
SELECT lives_ok(format('SELECT check_operation(%L, %L)', operation, arguments), operation || ' ' || arguments)
  FROM (VALUES ('copy', '{}'), ('quantize', '{"format": "q8_0"}'), ('quantize', '{"planned_formats": {"any": "Q4_K"}}'),
    ('quantize', '{"format": "Q4_K", "column_importance": [1, 0.5, "-0", 3e38]}'),
    ('prune', '{"minimum_importance": "-Infinity"}'), ('prune', '{"minimum_importance": "NaN"}'),
    ('prune', '{"region": ["-Infinity", 1, 0, 1, 0, "Infinity"]}'),
    ('prune', '{"minimum_importance": 1, "region": null}'), ('encode_geometry', '{"format": "F32"}'),
    ('factor', '{"rank": 3, "most_rank": 9, "format": "F16", "residual_ratio": 0.1, "dense_format": "Q4_K"}'),
    ('factor', '{"energy": 1, "format": "Q8_0"}')) v (operation, arguments);
SELECT throws_ok('SELECT check_operation(NULL, ''{}'')', '22004', NULL, 'an operation NULL');
SELECT throws_ok('SELECT check_operation(''copy'', NULL)', '22004', NULL, 'arguments NULL');

-- Numbers come back bit by bit, whatever the session says of digits.
SET LOCAL extra_float_digits = -15;
CREATE TABLE lib.numbers AS
  SELECT array_agg(n ORDER BY i) AS numbers FROM (
    SELECT i, CASE WHEN i = 7 THEN '-0'::real WHEN i = 9 THEN 1e-45::real WHEN i = 11 THEN 3.4028235e38::real
                   ELSE (sin(i) * 10 ^ (i % 60 - 30))::real END AS n FROM generate_series(1, 256) i) x;
SELECT is((SELECT float4send(n) FROM unnest(numbers) WITH ORDINALITY u (n, i) WHERE i = 7), '\x80000000',
  'a zero below zero')
  FROM lib.numbers;
SELECT is(count(*), 0::bigint, 'reals_json() loses no bit') FROM lib.numbers,
  unnest(numbers,
    ARRAY(SELECT e.v::real FROM jsonb_array_elements_text(reals_json(numbers)) WITH ORDINALITY e (v, i) ORDER BY i))
    u (was, n) WHERE float4send(was) <> float4send(n);
-- As they may be for the choice of scales: not below zero, nor of any size.
UPDATE lib.numbers SET numbers = ARRAY(SELECT (1 + abs(sin(i)))::real FROM generate_series(1, 256) i);
CREATE FUNCTION lib.with_importance(importance jsonb) RETURNS weights[] LANGUAGE plpgsql AS $$
DECLARE made regclass := create_atoms_partition(model_id('little'), 5000); result weights[];
BEGIN
  PERFORM copy_atoms(live_partition(model_id('little')), made, 5000, layer(model_id('little'), 'blk.0.attn_q.weight'),
    'quantize',
    jsonb_build_object('format', 'Q4_K', 'column_importance', importance));
  EXECUTE format('SELECT array_agg(atom_data ORDER BY atom_sequence) FROM %s', made) INTO result;
  EXECUTE format('DROP TABLE %s', made);
  RETURN result;
END $$;
SELECT ok(with_importance(reals_json(numbers))
  = (SELECT array_agg(quantize(a.atom_data, 'Q4_K', numbers) ORDER BY a.atom_sequence)
  FROM tensor_atoms a WHERE a.model_id = :m AND a.tensor_name = 'blk.0.attn_q.weight'),
  'copy_atoms() has the very numbers that quantize() is given') FROM lib.numbers;
CREATE TABLE lib.pruned AS SELECT operation, arguments FROM prune_plan(:m, 0.5) WHERE operation IS NOT NULL;
RESET extra_float_digits;
SELECT is((SELECT count(*) FROM lib.pruned c WHERE EXISTS (SELECT FROM tensor_atoms a WHERE a.model_id = :m
  AND float4send(a.importance_score) = float4send((c.arguments ->> 'minimum_importance')::real))),
  (SELECT count(*) FROM lib.pruned), 'a threshold is the importance of an atom, to the last bit');

-- ---- plans of one's own ----
CREATE TABLE lib.mine AS SELECT * FROM quantize_plan(:m, 'Q8_0') WHERE layer_name LIKE 'blk%';
SELECT is((SELECT sum(bytes_after) FROM quantize_plan(:m, 'Q8_0')), (SELECT sum(weights_bytes(quantize(a.atom_data,
  coalesce(p.arguments ->> 'format', 'F32')))) FROM quantize_plan(:m, 'Q8_0') p JOIN tensor_atoms a USING (layer_id)
  WHERE a.model_id = :m),
  'the bytes that a plan names are those there will be');
SELECT lives_ok('CALL run_plan(''little'', ''blocks'', plan_from(''lib.mine''))', 'a plan that was filtered');
SELECT is(string_agg(DISTINCT tensor_name || ' ' || weights_format(atom_data), ', '), 'blk.0.attn_norm.weight F32, '
  'blk.0.attn_q.weight Q8_0, blk.0.ffn_down.weight F16, output.weight F32, token_embd.weight F32',
  'its tensors, and no other')
  FROM tensor_atoms WHERE model_id = :m;
SELECT is((stage, kind)::text, '(blocks,rewrite)', 'is a stage by that name') FROM model_revisions
  WHERE revision_id = present(:m);
SELECT present(:m) AS r2 \gset
SELECT lives_ok('CALL run_plan(''little'', ''blocks'', plan_from(''lib.mine''))', 'the same plan again');
SELECT is(present(:m), :r2, 'finds all done, and does nothing');
SELECT rollback_model(:m) \g /dev/null
CREATE TABLE lib.written (layer_name text, operation text, arguments jsonb);
INSERT INTO lib.written VALUES ('blk.0.attn_q.weight', 'prune', '{"minimum_importance": 0}'),
  ('token_embd.weight', 'quantize', '{"format": "Q4_0"}'), ('blk.0.attn_norm.weight', NULL, NULL),
  ('output.weight', 'copy', NULL),
  ('blk.0.ffn_down.weight', 'factor', '{"rank": 2, "format": "F32"}');
SELECT lives_ok('CALL run_plan(''little'', ''mixture'', plan_from(''lib.written''))',
  'a plan written by hand, of several operations');
SELECT results_eq(format('SELECT s.operation, s.state FROM compression_steps s JOIN model_layers USING (layer_id)
  WHERE run_id = (SELECT max(run_id) FROM compression_runs WHERE model_id = %s) ORDER BY position', :m),
  $$VALUES ('quantize', 'done'), ('copy', 'done'), ('prune', 'done'), ('factor', 'done'), ('copy', 'done')$$,
  'each is carried out');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'and leaves a sound model');
SELECT is(count(*), 0::bigint, 'atoms below are gone') FROM tensor_atoms WHERE model_id = :m
  AND tensor_name = 'blk.0.attn_q.weight'
  AND importance_score < 0;
SELECT is(dense_format, 'F32', 'a tensor that is factored by hand goes out in the format it has')
  FROM stored_forms(:m, live_base(:m));
SELECT rollback_model(:m) \g /dev/null
SELECT is(holds(:m), :'imported', 'undone');

CREATE FUNCTION lib.row_plan(id bigint, name text, operation text, arguments jsonb) RETURNS tensor_plan LANGUAGE sql
  RETURN ROW(id, name, operation, arguments, NULL, NULL, NULL, NULL, NULL, NULL)::tensor_plan;
-- What the check of arguments accepts, the operations can carry out: null is absent, and a whole number may have a
-- point.
SELECT lives_ok(format('CALL run_plan(''little'', ''odd'', ARRAY[row_plan(NULL, ''blk.0.attn_q.weight'', %L, %L)])',
    operation, arguments), operation || ' ' || arguments)
  FROM (VALUES ('quantize', '{"format": "F16", "planned_formats": null, "column_importance": null}'),
    ('quantize', '{"format": null, "planned_formats": {"any": "F16"}}'),
    ('prune', '{"minimum_importance": 0, "region": null, "atoms_only": null}'),
    ('factor', '{"rank": 2.0, "most_rank": 3e0, "energy": null, "format": "F16", "residual_ratio": null}'))
    v (operation, arguments);
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'and the model is sound');
SELECT rollback_model(:m, :r1) \g /dev/null
-- The numbers of atoms and bytes are what the user says, and only guide the choice of the method and the report.
CREATE FUNCTION lib.boast(name text, operation text) RETURNS tensor_plan LANGUAGE sql
  RETURN ROW(NULL, name, operation,
    CASE operation WHEN 'prune' THEN '{"minimum_importance": 0}' ELSE '{"format": "F16"}' END::jsonb,
    9223372036854775807, CASE operation WHEN 'prune' THEN -9223372036854775808 ELSE 9223372036854775807 END,
    9223372036854775807, 9223372036854775807, NULL, NULL)::tensor_plan;
SELECT lives_ok(
  format(
    'CALL run_plan(''little'', ''boast'', ARRAY[boast(''blk.0.attn_q.weight'', %L), boast(''output.weight'', %1$L)])',
    operation), 'a plan that boasts, and does ' || operation)
  FROM (VALUES ('prune'), ('quantize')) v (operation);
SELECT rollback_model(:m, :r1) \g /dev/null

-- In place where it only prunes, and little
SELECT lives_ok(
  'CALL run_plan(''little'', ''cut'', ARRAY[ROW(NULL, ''blk.0.attn_q.weight'', ''prune'', ''{"minimum_importance": '
  '0}'', 10, 9, NULL, NULL, NULL, NULL)::tensor_plan])',
  'a plan that says it removes little');
SELECT is(kind, 'in_place', 'is done in place') FROM model_revisions WHERE revision_id = present(:m);
SELECT holds(:m) AS cut \gset
SELECT rollback_model(:m) \g /dev/null
SELECT lives_ok(
  'CALL run_plan(''little'', ''cut'', ARRAY[ROW(NULL, ''blk.0.attn_q.weight'', ''prune'', ''{"minimum_importance": '
  '0}'', NULL, NULL, NULL, NULL, NULL, NULL)::tensor_plan])',
  'one that does not say');
SELECT is(kind, 'rewrite', 'is done by rewriting') FROM model_revisions WHERE revision_id = present(:m);
SELECT is(regexp_replace(holds(:m), 'x', 'x'), :'cut', 'with the same result');
SELECT rollback_model(:m) \g /dev/null
SELECT lives_ok('CALL run_plan(''little'', ''cut'', plan_from(''lib.mine''), dry_run => true)', 'a dry run');
SELECT is(present(:m), :r1, 'does nothing');

-- Refused before anything is written
SELECT relations() AS relations, (SELECT count(*) FROM compression_runs) AS runs \gset
SELECT throws_ok(format('CALL run_plan(''little'', %s)', arguments), state, message, arguments) FROM (VALUES
  ('NULL, plan_from(''lib.mine'')', '22004', 'stage and plan cannot be NULL'),
  ('''x'', NULL', '22004', 'stage and plan cannot be NULL'),
  (''''', plan_from(''lib.mine'')', '22023', 'a stage needs a name'),
  ('''x'', ARRAY[NULL]::tensor_plan[]', '22004', NULL),
  ('''x'', plan_from(''lib.mine''), method => ''fast''', '22023', 'unknown method "fast"'),
  ('''x'', plan_from(''lib.mine''), method => ''in_place''', '22023', 'only atoms can be pruned in place'),
  ('''x'', plan_from(''lib.mine''), dry_run => NULL', '22004', NULL),
  ('''x'', ARRAY[row_plan(999999, NULL, ''copy'', NULL)]', '22023', NULL),
  ('''x'', ARRAY[row_plan(NULL, ''none'', ''copy'', NULL)]', '22023', NULL),
  ('''x'', ARRAY[row_plan(NULL, NULL, ''copy'', NULL)]', '22023', NULL),
  ('''x'', ARRAY[row_plan(NULL, ''output.weight'', ''quantize'', ''{"format": "F16"}''), row_plan(NULL, '
    '''output.weight'', ''copy'', NULL)]', '22023',
    'tensor "output.weight" is planned more than once'),
  ('''x'', ARRAY[row_plan(NULL, ''output.weight'', ''melt'', NULL)]', '22023', 'unknown operation "melt"'),
  ('''x'', ARRAY[row_plan(NULL, ''output.weight'', ''quantize'', ''{"format": "Q4_K"}'')]', '22023', NULL),
  ('''x'', ARRAY[row_plan(NULL, ''output.weight'', ''quantize'', ''{"format": "Q8_1"}'')]', '0A000', NULL),
  ('''x'', ARRAY[row_plan(NULL, ''output.weight'', ''quantize'', ''{"format": "F16", "column_importance": [1]}'')]',
    '2202E', NULL),
  ('''x'', ARRAY[row_plan(NULL, ''blk.0.attn_norm.weight'', ''factor'', ''{"rank": 1, "format": "F16"}'')]', '22023',
    'only a matrix of two dimensions can be factored')) v (arguments, state, message);
SELECT throws_ok('CALL run_plan(''little'', ''x'', ARRAY[ARRAY[row_plan(NULL, ''output.weight'', ''copy'', NULL)]])',
  '2202E', 'a plan must be an array of one dimension', 'an array of arrays');
SELECT throws_ok('SELECT plan_from(NULL)', '22004', NULL, 'a plan from no table');
SELECT throws_ok('SELECT plan_from(999999999)', '42P01', 'table 999999999 does not exist',
  'a plan from a table that is gone');
CREATE TABLE lib.t AS SELECT 'output.weight' AS layer_name, 'copy' AS operation,
  '{"layer_name": "blk.0.attn_q.weight", "operation": "prune"}'::jsonb AS t;
SELECT is((p.layer_name, p.operation)::text, '(output.weight,copy)', 'a column of any name is not taken for the row')
  FROM unnest(plan_from('lib.t')) p;
SELECT throws_ok(
  format('CALL run_plan(''little'', ''x'', ARRAY[row_plan(%s, ''token_embd.weight'', ''copy'', NULL)])',
    layer(:m, 'output.weight')),
  '22023', NULL, 'a number and a name of two tensors');
SELECT is(
  (state_as(current_user,
    'CALL run_plan(''little'', ''x'', ARRAY[lib.row_plan(NULL, ''output.weight'', ''melt'', NULL)])')).hint,
  'Operations are "copy", "quantize", "prune", "encode_geometry", "factor", "select", "score", "merge".',
  'the hint names the operations');
SELECT throws_ok('CALL run_plan(999, ''x'', plan_from(''lib.mine''))', '42704', NULL, 'a plan for no model');
SELECT is((relations() = :'relations'::text[], (SELECT count(*) FROM compression_runs))::text, format('(t,%s)', :runs),
  'nothing has been written');

-- ---- stages that find nothing to do ----
CREATE FUNCTION lib.again(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE revision integer; runs bigint; tables text[];
BEGIN
  EXECUTE statement;
  revision := present(model_id('little'));
  SELECT count(*) INTO runs FROM compression_runs;
  tables := relations();
  EXECUTE statement;
  RETURN concat_ws(', ', CASE WHEN present(model_id('little')) <> revision THEN 'a revision' END,
    CASE WHEN relations() <> tables THEN 'a partition' END, CASE
    WHEN (SELECT count(*) FROM compression_runs) <> runs THEN 'a run' END);
END $$;
SELECT is(again(statement), '', 'nothing the second time: ' || statement) FROM unnest(ARRAY[
  'CALL prune_by_importance(''little'', 0.9)', 'CALL prune_by_importance(''little'', 0.5)',
  'CALL prune_by_importance(''little'', threshold => 0.1)',
  'CALL prune_region(''little'', ''{0,50,0,100,-10,10}'')',
  'CALL svd_compress_model(''little'', rank => 1, layer_pattern => ''%attn_q%'')',
  'CALL quantize_model(''little'', ''Q8_0'')', 'CALL quantize_model_geometry(''little'')']) statement;
SELECT rollback_model(:m, :r1) \g /dev/null
SELECT is(holds(:m), :'imported', 'all of it undone');

-- ---- a step that somebody else has written ----
CREATE FUNCTION lib.step(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE run bigint := begin_run(model_id('little'), 'x', 'rewrite', '{}'); result text;
BEGIN
  EXECUTE 'UPDATE compression_steps SET ' || change || ' WHERE run_id = ' || run;
  BEGIN
    PERFORM rewrite_layer(run, layer(model_id('little'), 'output.weight'));
    result := 'done';
  EXCEPTION WHEN OTHERS THEN
    result := SQLSTATE || ' ' || SQLERRM;
  END;
  PERFORM abandon_run(run);
  RETURN result;
END $$;
SELECT is(step(change), expected, change)
  FROM (VALUES ('operation = ''copy''', 'done'), ('operation = ''melt''', '22023 unknown operation "melt"'),
    ('arguments = ''[1]''', '22023 arguments of operation "copy" must be an object'),
    ('operation = ''quantize'', arguments = ''{"format": {"a": 1}}''',
      '22023 arguments of operation "quantize": "format" must be a string'),
    ('operation = ''quantize'', arguments = ''{"format": "F16", "column_importance": [1, 1, 1]}''',
      '2202E importance has 3 numbers for 9 columns'),
    ('operation = ''prune'', arguments = ''{"minimum_importance": "x"}''',
      '22023 arguments of operation "prune": "minimum_importance" must be a number within real''s range'),
    ('operation = ''factor'', arguments = ''{"rank": -1, "format": "F16"}''',
      '22023 arguments of operation "factor": "rank" must be a whole number from 1 to 2147483647'),
    ('operation = ''quantize'', arguments = ''{"format": "Q4_K"}''', '22023 rows of 9 weights fit no block of Q4_K'),
    ('operation = ''select'', arguments = ''{"rows": [0], "shape": [1, 9]}''',
      '22023 the selection does not have the rows and columns of the new tensor of "output.weight"')
  ) v (change, expected);
SELECT begin_run(:m, 'stopped', 'rewrite', '{}') AS run \gset
UPDATE compression_steps SET operation = 'factor', arguments = '{"rank": 1, "format": "F16"}'
 WHERE run_id = :run AND layer_id = layer(:m, 'blk.0.attn_norm.weight');
SELECT throws_ok(format('SELECT rewrite_layer(%s, %s)', :run, layer(:m, 'blk.0.attn_norm.weight')), '22023',
  'only a matrix of two dimensions can be factored', 'a step that factors a vector is refused as a plan would be');
SELECT abandon_run(:run) \g /dev/null
SELECT is(holds(:m), :'imported', 'the model is what it was');

-- ---- progress ----
SELECT begin_run(:m, 'quantize', 'rewrite', '{}', plan_from('lib.mine')) AS run \gset
SELECT rewrite_layer(:run, layer(:m, 'output.weight')) \g /dev/null
-- This transaction holds the model's lock; of a run that nobody is at work on see tap/failure.
SELECT is((run_id, model_name, stage, state, steps_done, steps, bytes_before > 0, pid)::text,
  format('(%s,little,quantize,running,1,5,t,%s)', :run, pg_backend_pid()), 'a run that a session is at work on')
  FROM run_progress('little') LIMIT 1;
SELECT note_failure(:run, '{"sqlstate": "22023", "message": "wrong"}') \g /dev/null
SELECT is((state, pid, error_sqlstate, error_message)::text, '(failed,,22023,wrong)', 'one that an error has ended')
  FROM run_progress() LIMIT 1;
SELECT throws_ok('SELECT * FROM run_progress(999)', '42704', NULL, 'of no model');
SELECT is_empty(
  $$SELECT without_comment('check_operation', 'perform_operation', 'reals_json', 'copy_tensor', 'stored_forms',
    'form_tables',
    'form_versions', 'form_bytes', 'form_disk_bytes', 'form_norms', 'drop_forms', 'tensor_fingerprint', 'stages',
    'plan_stage', 'report_stage',
    'chosen_method', 'begin_run', 'stage_result', 'run_stage', 'plan_from', 'check_operation_on', 'changes_nothing',
    'check_plan', 'plan_parameters',
    'report_plan', 'run_plan', 'run_progress', 'pruned_atoms', 'passed_over_carried_formats')$$,
  'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
