-- Plain SQL on the atoms is legal: after any of it every function still works, and what is missing counts as zeros. And
-- runs that were stopped go on, whatever stage they are of.
BEGIN;
\ir lib/model_files.sql
SELECT plan(43);
CREATE FUNCTION lib.deep_gguf(seed double precision) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ROW('token_embd.weight', '{64,20}', 0, waves(20, 64, seed))::tensor || (SELECT array_agg(t ORDER BY b, k)
      FROM generate_series(0, 3) b,
      LATERAL (VALUES (1, ROW(format('blk.%s.attn_norm.weight', b), '{64}', 0, waves(1, 64, seed + b))::tensor),
        (2, ROW(format('blk.%s.attn_q.weight', b), '{256,10}', 0, waves(10, 256, seed + b + 10))::tensor),
        (3, ROW(format('blk.%s.ffn_down.weight', b), '{64,8}', 0, waves(8, 64, seed + b + 20))::tensor)) v (k, t)),
    ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', 4)]);
SELECT import_gguf(deep_gguf(1), 'm') AS m \gset
SELECT present(:m) AS r1, backup_model(:m, 'before') AS copy \gset

-- What the design's users do: thresholds, patterns, values, places; one tensor gone, one atom too many zeros, one in
-- another format
DELETE FROM tensor_atoms WHERE model_id = :m AND importance_score < -1;
DELETE FROM tensor_atoms WHERE model_id = :m AND tensor_name LIKE 'token_embd%' AND importance_score < 0.5;
DELETE FROM tensor_atoms WHERE model_id = :m AND tensor_name = 'blk.1.ffn_down.weight';
DELETE FROM tensor_atoms WHERE model_id = :m AND tensor_name = 'blk.2.attn_norm.weight';
UPDATE tensor_atoms SET atom_data = array_fill(0::real, ARRAY[256]) WHERE model_id = :m
  AND tensor_name = 'blk.0.attn_q.weight' AND atom_sequence = 9;
UPDATE tensor_atoms SET atom_data = quantize(atom_data, 'Q8_0'), importance_score = 9 WHERE model_id = :m
  AND tensor_name = 'blk.3.attn_q.weight';
UPDATE tensor_atoms SET x = 99, y = NULL WHERE model_id = :m AND tensor_name = 'blk.3.ffn_down.weight'
  AND atom_sequence = 1;
UPDATE tensor_atoms SET importance_score = NULL WHERE model_id = :m AND tensor_name = 'blk.2.ffn_down.weight';
SELECT holds(:m) AS mangled \gset

-- Each function on it; stages are undone, so that each finds it as it was
CREATE FUNCTION lib.works(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE before text := holds(1); said text := 'works'; faults text;
BEGIN
  BEGIN
    EXECUTE statement;
    SELECT string_agg(fault, ', ') INTO faults FROM models m, check_model(m.model_id) c
      WHERE fault NOT LIKE 'position missing';
    IF faults IS NOT NULL THEN said := faults; END IF;
    IF EXISTS (SELECT FROM model_history(1) WHERE state = 'live'
      AND revision_id > (SELECT max(backup_id) FROM compression_backups WHERE compression_stage = 'before')
               AND kind <> 'copy') AND statement LIKE 'CALL%' THEN
      PERFORM rollback_model(1);
      IF holds(1) <> before THEN said := 'not undone'; END IF;
    END IF;
    RAISE EXCEPTION 'undone' USING ERRCODE = 'HT000';
  EXCEPTION WHEN SQLSTATE 'HT000' THEN
  END;
  RETURN said;
END $$;
SELECT is(works(statement), 'works', statement) FROM unnest(ARRAY[
  'CALL prune_by_importance(1, keep_ratio => 0.9)', 'CALL prune_by_importance(1, keep_ratio => 0.5)',
  'CALL prune_by_importance(1, keep_ratio => 0.5, scope => ''model'')',
  'CALL prune_by_importance(1, threshold => 0)',
  'CALL prune_region(1, ''{0,30,0,100,-10,10}'', method => ''in_place'')',
  'CALL prune_region(1, ''{0,60,0,100,-10,10}'', method => ''rewrite'')',
  'CALL quantize_model(1, ''Q8_0'', requantize => true)',
  'CALL quantize_model(1, ''Q4_K_M'', requantize => true)', 'CALL quantize_model_geometry(1)',
  'SELECT * FROM assign_mixed_precision(1)',
  'SELECT backup_model(1)', 'SELECT extract_by_importance(1, 0.5)', 'SELECT extract_by_layers(1, 3)',
  'SELECT extract_by_layers(1, 3, ''influence'')',
  'SELECT extract_by_spatial_region(1, 0, 100, 0, 100)', 'SELECT extract_student_model(1, ''{1,3}'', renumber => true)',
  'SELECT dynamic_student_extraction(1, ''spatial'')',
  'SELECT rename_model(1, ''other'')', 'SELECT * FROM nearest_atoms(1, ST_MakePoint(50, 50, 0), 1000)',
  'SELECT * FROM spatial_statistics(1)',
  'SELECT * FROM layer_completeness(1)', 'SELECT * FROM validate_coordinates(1)', 'SELECT clamp_coordinates(1)',
  'SELECT * FROM block_influence(1)',
  'SELECT * FROM storage_report(1)', 'SELECT * FROM list_models()', 'SELECT * FROM model_history(1)',
  'SELECT * FROM export_plan(1)', 'SELECT export_gguf(1)',
  'SELECT export_safetensors(1)', 'SELECT rollback_model(1)',
  format('SELECT * FROM diff_revisions(%s, %s)', :r1, :copy)]) statement;
SELECT is(
  works('UPDATE tensor_atoms SET planned_format = ''Q4_0'' WHERE importance_score < 1; CALL quantize_model(1)'),
  'works', 'a plan of one''s own');

-- Missing atoms are zeros in the file
SELECT import_gguf(export_gguf(:m), 'filled') AS filled \gset
SELECT is(count(*), 0::bigint, 'what is missing comes out as zeros') FROM tensor_atoms f WHERE f.model_id = :filled
  AND NOT EXISTS (SELECT FROM tensor_atoms a WHERE a.model_id =
  :m AND a.tensor_name = f.tensor_name AND a.atom_sequence = f.atom_sequence) AND weights_rms(f.atom_data) <> 0;
SELECT is(sum(atoms_missing), 0::numeric, 'and nothing is missing there') FROM layer_completeness(:filled);
SELECT is(removed, 8::bigint, 'the difference is known') FROM diff_revisions(:copy, :r1)
  WHERE layer_name = 'blk.1.ffn_down.weight';
SELECT is(re_encoded, atoms_b, 'what was changed, too') FROM diff_revisions(:copy, :r1)
  WHERE layer_name = 'blk.3.attn_q.weight';
SELECT is(holds(:m), :'mangled', 'all of it has left the model as it was');
SELECT is(rollback_model(:m), :copy, 'undone by the backup');
SELECT ok(export_gguf(:m) = deep_gguf(1), 'to the byte');

-- Stopped and called again: what was done is kept. A run is stopped here by doing its first steps by hand.
SELECT import_gguf(deep_gguf(2), 'n') AS n \gset
CREATE FUNCTION lib.resumed(model integer, stage text, parameters jsonb, step text, statement text) RETURNS text
  LANGUAGE plpgsql AS $$
DECLARE run bigint; first bigint; straight text; xmin_before text; said text := 'resumed';
BEGIN
  EXECUTE statement;
  straight := holds(model);
  PERFORM rollback_model(model);
  PERFORM drop_backup((SELECT max(revision_id) FROM model_revisions r WHERE r.model_id = model AND state = 'backup'));
  run := start_run(model, stage, 'rewrite', parameters);
  EXECUTE replace(step, '$run', run::text);
  SELECT min(layer_id) INTO first FROM compression_steps s WHERE s.run_id = run;
  PERFORM rewrite_layer(run, first);
  SELECT seconds::text INTO xmin_before FROM compression_steps s WHERE s.run_id = run AND s.layer_id = first;
  EXECUTE statement;
  IF (SELECT state FROM compression_runs r WHERE r.run_id = run) <> 'completed' THEN said := 'another run was begun';
    END IF;
  IF (SELECT seconds::text FROM compression_steps s WHERE s.run_id = run AND s.layer_id = first)
    <> xmin_before THEN said := 'a step was done again'; END IF;
  IF holds(model) <> straight THEN said := 'with another result'; END IF;
  PERFORM rollback_model(model);
  RETURN said;
END $$;
SELECT is(
  resumed(:n, 'quantize_geometry', '{"format": "Q8_0"}',
    'INSERT INTO compression_steps (run_id, layer_id, operation, arguments) SELECT $run, layer_id, operation, '
    'arguments FROM geometry_plan(' || :n || ')', format('CALL quantize_model_geometry(%s)', :n)), 'resumed',
  'quantize_model_geometry');
SELECT is(
  resumed(:n, 'prune',
    '{"region": [0, 100, 0, 60, -10, 10], "keep_inside": false, "layer_pattern": "%", "include_vectors": false}',
    'INSERT INTO compression_steps (run_id, layer_id, operation, arguments)
    SELECT $run, layer_id, coalesce(operation, ''copy''), coalesce(arguments, ''{}'')
      FROM model_layers LEFT JOIN region_plan('
    || :n
    || ', ''{0,100,0,60,-10,10}'') USING (layer_id) WHERE model_id = '
    || :n, format('CALL prune_region(%s, ''{0,100,0,60,-10,10}'', method => ''rewrite'')', :n)), 'resumed',
  'prune_region');
SELECT * FROM assign_mixed_precision(:n, '[{"importance_above": 0, "format": "Q8_0"}, {"format": "Q4_0"}]') \g /dev/null
SELECT is(resumed(:n, 'quantize', '{"requantize": false, "layer_pattern": "%"}',
  'INSERT INTO compression_steps (run_id, layer_id, operation, arguments)
    SELECT $run, layer_id, coalesce(operation, ''copy''), coalesce(arguments, ''{}'') FROM quantize_plan('
  || :n
  || ')',
  format('CALL quantize_model(%s)', :n)), 'resumed', 'quantize_model by plan');

SELECT * FROM finish();
ROLLBACK;
