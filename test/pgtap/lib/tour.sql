-- A call of nearly everything, for tests that it does the same in other circumstances. Each statement is executed for
-- the model of a name, and returns one text; what fails returns its SQLSTATE and message.
CREATE TABLE lib.statements (n integer GENERATED ALWAYS AS IDENTITY, statement text);
INSERT INTO lib.statements (statement) VALUES
  ('SELECT import_gguf(llama_gguf(), %L) IS NOT NULL'),
  ('SELECT count(*) FROM list_models() l WHERE l.model_name = %L'),
  ('SELECT round(perplexity(%L, repeat(''the cat sat. '', 20), 32)::numeric, 6)'),
  ('SELECT string_agg(s.token_id::text, '','' ORDER BY s.position) FROM score_tokens(%L, ''the cat'') s'),
  ('SELECT generate_text(%L, ''the'', 3, temperature => 0)'),
  ('SELECT count(*) FROM compare_generation(%1$L, current_revision(%1$L::regmodel), current_revision(%1$L::regmodel),
    ''the'', 2)'),
  ('SELECT record_usage(%L, ''the cat'')'),
  ('SELECT record_usage(%L, ''the dog'')'),
  ('SELECT length(add_validation_set(%L, repeat(''a text to measure models on. '', 5)))'),
  ('SELECT v.tokens FROM validate_model_accuracy(%1$L, %1$L) v'),
  ('SELECT v.score FROM validate_model_accuracy(%L, ''lib.score(integer)''::regprocedure) v'),
  ('SELECT length(add_calibration_set(%L, ''another one, to calibrate them on''))'),
  ('SELECT length(add_calibration_set(%L || '' text'', repeat(''the dog ran. the cow did not. '', 10)))'),
  ('CALL collect_calibration(%1$L, %1$L || '' text'')'),
  ('CALL measure_sensitivity(%1$L, %1$L || '' text'', probe_tokens => 64)'),
  ('SELECT count(*) FROM sensitivity(%1$L, %1$L || '' text'') s'),
  ('SELECT md5(string_agg(concat_ws('' '', p.layer_name, p.operation, p.bytes_after), '','' ORDER BY p.layer_name))
    FROM bit_allocation(%1$L, 20000, %1$L || '' text'') p'),
  ('SELECT import_importance(importance(), %1$L, %1$L || '' importance'')'),
  ('SELECT length(export_importance(%1$L, %1$L || '' importance''))'),
  ('SELECT array_length(importance_vector(%1$L, ''blk.0.attn_q.weight'', %1$L || '' importance''), 1)'),
  ('SELECT md5(string_agg(concat_ws('' '', p.layer_name, p.operation, p.arguments, p.bytes_after), '',''
    ORDER BY p.layer_name)) FROM prune_plan(%L, 0.9, include_embeddings => true) p'),
  ('SELECT md5(string_agg(concat_ws('' '', p.layer_name, p.operation, p.reason), '',''
    ORDER BY p.layer_name)) FROM importance_plan(%1$L, ''obs'', %1$L || '' text'') p'),
  ('CALL calibrate_importance(%1$L, ''wanda'', %1$L || '' text'')'),
  ('SELECT md5(string_agg(concat_ws('' '', a.tensor_name, a.importance_score), '','' ORDER BY a.tensor_name,
    a.atom_sequence)) FROM tensor_atoms a WHERE a.model_id = (%L::regmodel)::integer'),
  ('CALL prune_by_importance(%L, 0.95, method => ''in_place'', include_embeddings => true)'),
  ('CALL prune_by_importance(%L, 0.8, method => ''rewrite'', scope => ''model'', include_embeddings => true)'),
  ('CALL prune_region(%L, region(40, 50, 0, 100, -10, 10), include_vectors => true)'),
  ('SELECT md5(export_gguf(%L))'),
  ('SELECT rollback_model(%L) IS NOT NULL'),
  ('SELECT rollback_model(%1$L, (SELECT min(h.revision_id) FROM model_history(%1$L) h)) IS NOT NULL'),
  ('SELECT md5(export_gguf(%L))'),
  ('SELECT rollback_model(%1$L, (SELECT max(h.revision_id) FROM model_history(%1$L) h WHERE h.state = ''backup''))
    IS NOT NULL'),
  ('SELECT assign_mixed_precision(%L) IS NOT NULL'),
  ('SELECT md5(string_agg(concat_ws('' '', p.layer_name, p.operation, p.arguments - ''calibration_revision''
    - ''calibration_set'', p.bytes_after), '','' ORDER BY p.layer_name)) FROM quantize_plan(%1$L, ''Q8_0'',
    calibration_set => %1$L || '' importance'', method => ''imatrix'',
    calibration_revision => (SELECT min(h.revision_id) FROM model_history(%1$L) h)) p'),
  ('CALL quantize_model(%L, ''F16'', method => ''plain'')'),
  ('CALL quantize_model(%L, NULL, requantize => true)'),
  ('SELECT count(*) FROM column_importance_of(''lib.column_importance'', %L::regmodel)'),
  ('CALL quantize_model(%L, ''Q4_K_M'', ''%%ffn_down%%'', requantize => true, column_importance => '
    '''lib.column_importance'')'),
  ('SELECT backup_model(%L) IS NOT NULL'),
  ('SELECT md5(string_agg(concat_ws('' '', p.layer_name, p.operation, p.arguments, p.bytes_after), '',''
    ORDER BY p.layer_name)) FROM svd_plan(%L, rank => 3) p'),
  ('CALL svd_compress_model(%L, rank => 3, residual => true, layer_pattern => ''blk%%%%'')'),
  ('SELECT string_agg(v.layer_name || v.rank, '','' ORDER BY v.layer_name) FROM verify_svd(%L) v'),
  ('SELECT count(*) FROM run_progress(%L) r, svd_outcomes(r.run_id) o'),
  ('SELECT md5(tensor_weights(%L, ''blk.0.attn_q.weight'')::bytea)'),
  ('SELECT md5(export_gguf(%L))'),
  ('SELECT md5(export_safetensors(%L))'),
  ('SELECT md5(string_agg(e::text, '','' ORDER BY e.position)) FROM (SELECT p.position, p.layer_name, p.present_format,
    p.storage_format, p.export_dtype FROM export_plan(%L) p) e'),
  ('SELECT count(*) FROM check_model(%L)'),
  ('CALL quantize_model_geometry(%L)'),
  ('SELECT md5(string_agg((to_jsonb(s) - ''layer_id'')::text, '','' ORDER BY s.layer_name)) '
    'FROM spatial_statistics(%L) s'),
  ('SELECT count(*) FROM nearest_atoms(%L, atom_position(50, 50, 1), 4)'),
  ('SELECT count(*) FROM nearest_atoms(%1$L, (SELECT min(a.tensor_atom_id) FROM tensor_atoms a WHERE a.model_id =
    (SELECT m.model_id FROM models m WHERE m.model_name = %1$L)
    AND (a.weights_geometry IS NOT NULL OR a.quantized_position IS NOT NULL)), 4)'),
  ('SELECT recompute_positions(%L) IS NOT NULL'),
  ('SELECT clamp_coordinates(%L) IS NOT NULL'),
  ('SELECT count(*) FROM validate_coordinates(%L)'),
  ('SELECT md5(string_agg(concat_ws('' '', c.layer_name, c.*), '','' ORDER BY c.layer_name)) FROM
    (SELECT t.layer_name, t.atoms_present, t.atoms_expected FROM layer_completeness(%L) t) c'),
  ('SELECT string_agg(concat_ws('' '', r.stage, r.state, r.steps_done, r.bytes_after), '','' ORDER BY r.run_id)
    FROM run_progress(%L) r'),
  ('SELECT string_agg(concat_ws('' '', h.stage, h.kind, h.state, h.atoms, h.logical_bytes), '',''
    ORDER BY h.revision_id) FROM model_history(%L) h'),
  ('SELECT string_agg(concat_ws('' '', l.stage, l.bytes, l.bits_per_weight, l.in_store), '',''
    ORDER BY l.created_at) FROM model_lineage(%L) l'),
  ('SELECT jsonb_array_length(file_metadata(export_gguf(%L, true), ''gguf'') -> ''kv'')'),
  ('SELECT string_agg(concat_ws('' '', s.stage, s.state, s.atoms, s.logical_bytes), '','' ORDER BY s.revision_id)
    FROM storage_report(%L) s WHERE s.state <> ''statistics'''),
  ('SELECT count(*) FROM storage_summary(%L)'),
  ('SELECT md5(string_agg(concat_ws('' '', d.layer_name, d.removed, d.added, d.re_encoded), '',''
    ORDER BY d.layer_name)) FROM (SELECT min(h.revision_id) AS a, max(h.revision_id) AS b
    FROM model_history(%L) h WHERE h.state <> ''dropped'') r,
    diff_revisions(r.a, r.b) d'),
  ('CALL run_plan(%L, ''mine'', ARRAY[ROW(NULL, ''blk.0.ffn_up.weight'', ''prune'', ''{"minimum_importance": 0.5}'',
    NULL, NULL, NULL, NULL, NULL, NULL)::tensor_plan])'),
  ('SELECT md5(string_agg(b::text, '','')) FROM block_influence(%L) b'),
  ('SELECT count(*) FROM block_influence(%L, repeat(''the cow. '', 20)) b'),
  ('SELECT rollback_model(%1$L, (SELECT min(h.revision_id) FROM model_history(%1$L) h)) IS NOT NULL'),
  ('SELECT add_validation_set(%1$L || '' words'', repeat(''a bird sang; '', 40)) IS NOT NULL'),
  ('CALL compress_model(%1$L, max_degradation => 1e9, validation_set => %1$L || '' words'', n_ctx => 32, stages =>
    ''[{"stage": "quantize", "format": "Q8_0"}, {"stage": "prune", "keep_ratio": 0.5}]'')'),
  ('SELECT string_agg(concat_ws('' '', j.state, j.percent, j.trials, j.kept, j.best_bytes), '','') '
    'FROM job_progress(%L) j'),
  ('SELECT string_agg(concat_ws('' '', f.on_front, f.bytes, f.recipe), '','' ORDER BY f.revision_id)
    FROM compression_front(%1$L, %1$L || '' words'') f'),
  ('SELECT rollback_model(%1$L, (SELECT min(h.revision_id) FROM model_history(%1$L) h)) IS NOT NULL'),
  ('SELECT count(*) FROM structure_scores(%1$L, ''neurons'', %1$L || '' text'') s'),
  ('SELECT md5(export_gguf(extract_by_importance(%1$L, 0.5, %1$L || 1)))'),
  ('SELECT md5(export_gguf(extract_by_layers(%1$L, 1, new_model_name => %1$L || 2)))'),
  ('SELECT md5(export_gguf(extract_by_spatial_region(%1$L, 0, 100, 0, 100, new_model_name => %1$L || 3)))'),
  ('SELECT md5(export_gguf(extract_student_model(%1$L, ''{0}'', 0.1, %1$L || 4, renumber => true)))'),
  ('SELECT md5(export_gguf(dynamic_student_extraction(%L, ''importance'', 0.5)))'),
  ('SELECT md5(export_gguf(extract_by_neurons(%1$L, 0.5, %1$L || 5, calibration_set => %1$L || '' text'',
    refit => false)))'),
  ('SELECT md5(export_gguf(extract_by_neurons(%1$L, 0.5, %1$L || 8, calibration_set => %1$L || '' text'')))'),
  ('SELECT md5(export_gguf(extract_by_heads(%1$L, 0.5, %1$L || 6, calibration_set => %1$L || '' text'')))'),
  ('SELECT md5(export_gguf(extract_by_vocabulary(%1$L, ''the cat'', %1$L || 7)))'),
  ('SELECT delete_model(%L || 1) > 0'),
  ('SELECT count(*) FROM apply_retention(%L, keep_last => 1)'),
  ('SELECT model_disk_bytes(%L) > 0'),
  ('SELECT count(*) FROM check_store() WHERE %L <> '''''),
  ('SELECT count(*) = 0 AND %L <> '''' FROM repair_store(false)'),
  ('SELECT abandon_run(run_id) FROM lib.stopped(%L) run_id'),
  ('SELECT rename_model(%1$L, %1$L || 9)'),
  ('SELECT import_safetensors(safetensors(ARRAY[ROW(''w'', ''F32'', ''{2,4}'',
    f32(1, 2, 3, 4, 5, 6, 7, 8))::st_tensor]),
    %L) IS NOT NULL'),
  ('SELECT delete_model(%L) > 0'),
  ('SELECT install_tsql_names(''tsql_'' || %L) IS NOT NULL');
CREATE FUNCTION lib.score(model integer) RETURNS double precision LANGUAGE sql RETURN 1;
CREATE TABLE lib.column_importance AS
  SELECT 'blk.0.ffn_down.weight' AS layer_name,
         (SELECT array_agg(i::real) FROM generate_series(1, 24) i) AS column_importance;
CREATE FUNCTION lib.stopped(model regmodel) RETURNS bigint LANGUAGE sql
  AS $$ SELECT begin_run(model, 'stopped', 'rewrite', '{}') $$;
CREATE FUNCTION lib.importance() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW('blk.0.attn_q.weight.in_sum2', '{16}', 0, f32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
      16))::tensor, ROW('blk.0.attn_q.weight.counts', '{1}', 0, f32(2))::tensor],
    ARRAY[kv_text('general.type', 'imatrix'),
      kv('imatrix.datasets', 9, le(8, 4) || le(1, 8) || str('a set')), kv_u32('imatrix.chunk_count', 2),
      kv_u32('imatrix.chunk_size', 4)]);
CREATE FUNCTION lib.tour(name text) RETURNS TABLE (n integer, result text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  following lib.statements;
BEGIN
  FOR following IN SELECT * FROM lib.statements s ORDER BY s.n LOOP
    n := following.n;
    result := NULL;
    BEGIN
      IF following.statement LIKE 'CALL%' THEN
        EXECUTE format(following.statement, name);
      ELSE
        EXECUTE format(following.statement, name) INTO result;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      result := concat_ws(' ', SQLSTATE, SQLERRM);
    END;
    RETURN NEXT;
  END LOOP;
END
$$;
