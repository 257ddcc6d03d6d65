-- A small model with Gram matrices of the inputs of some of its matrices, and what a change of these loses. Makes
-- the store. Must be included after model_files.sql.

SELECT create_store() \g /dev/null

CREATE FUNCTION lib.import(name text) RETURNS integer LANGUAGE sql AS $$
  SELECT import_gguf(
    gguf(ARRAY[ROW('token_embd.weight', '{32,20}', 0, waves(20, 32, 1))::tensor,
      ROW('blk.0.attn_norm.weight', '{32}', 0, waves(1, 32, 1))::tensor,
      ROW('blk.0.attn_q.weight', '{32,24}', 0, waves(24, 32, 2))::tensor,
      ROW('blk.0.attn_k.weight', '{32,40}', 0, waves(40, 32, 3))::tensor,
      ROW('blk.0.ffn_down.weight', '{24,30}', 0, waves(30, 24, 4))::tensor,
      ROW('blk.1.ffn_up_exps.weight', '{32,4,3}', 0, waves(12, 32, 5))::tensor,
      ROW('output.weight', '{32,20}', 0, waves(20, 32, 6))::tensor],
      ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', 2)]), name)
$$;
-- Inputs whose neighbors are correlated, of different energy; column 5 is never active.
CREATE FUNCTION lib.gram_entry(i integer, j integer) RETURNS double precision LANGUAGE sql IMMUTABLE
  RETURN CASE WHEN 5 IN (i, j) THEN 0 ELSE (1 + i * 37 % 11) * (1 + j * 37 % 11) * 0.9 ^ abs(i - j) END;
CREATE FUNCTION lib.gram(columns integer) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT string_agg(reversed(float4send(gram_entry(i, j)::real)), '' ORDER BY i, j)
            FROM generate_series(0, columns - 1) i, generate_series(0, columns - 1) j WHERE j >= i);
-- Statistics of all matrices but the embedding; attn_k shares those of attn_q; of output.weight there is the diagonal.
CREATE FUNCTION lib.calibrate(model integer, set_name text) RETURNS void LANGUAGE sql BEGIN ATOMIC
  INSERT INTO calibration_sets (calibration_set) VALUES (set_name) ON CONFLICT DO NOTHING;
  INSERT INTO calibration_stats (model_id, revision_id, calibration_set, layer_id, tokens, columns, experts,
                                 token_counts, sums_of_squares, gram_layer_id)
    SELECT l.model_id, current_revision(model), set_name, l.layer_id, 9, l.row_length, matrices_of(l.tensor_shape),
    '{9}',
           (SELECT array_agg(gram_entry(i, i)::real ORDER BY e, i)
              FROM generate_series(1, matrices_of(l.tensor_shape)) e, generate_series(0, l.row_length::integer - 1) i
           )::weights,
           CASE l.layer_name WHEN 'blk.0.attn_k.weight' THEN l.layer_id - 1
                             WHEN 'output.weight' THEN NULL ELSE l.layer_id END
      FROM model_layers l
     WHERE l.model_id = model AND is_matrix(l.tensor_shape) AND l.layer_name <> 'token_embd.weight';
  INSERT INTO calibration_grams (model_id, revision_id, calibration_set, layer_id, expert, first_column, gram)
    SELECT s.model_id, s.revision_id, s.calibration_set, s.layer_id, 0, 0, gram(s.columns)
      FROM calibration_stats s
     WHERE s.model_id = model AND s.calibration_set = set_name AND s.gram_layer_id = s.layer_id AND s.experts = 1;
END;
-- tr(M G M^T) of a matrix
CREATE FUNCTION lib.energy(matrix real[], columns integer) RETURNS double precision LANGUAGE sql IMMUTABLE
  RETURN (SELECT sum(matrix[r * columns + i + 1]::float8 * matrix[r * columns + j + 1] * gram_entry(i, j))
            FROM generate_series(0, cardinality(matrix) / columns - 1) r, generate_series(0, columns - 1) i,
                 generate_series(0, columns - 1) j);
-- What the live revision loses of the outputs of a tensor, relative to the imported one.
CREATE FUNCTION lib.lost(model integer, tensor text) RETURNS double precision LANGUAGE sql STABLE
  RETURN (SELECT sqrt(energy(array_agg(a.x - b.x ORDER BY a.i), l.row_length::integer)
                      / energy(array_agg(a.x ORDER BY a.i), l.row_length::integer))
            FROM model_layers l,
                 unnest(dequantize(tensor_weights(model, tensor,
                   (SELECT min(revision_id) FROM model_revisions WHERE model_id = model))))
                   WITH ORDINALITY a (x, i)
            JOIN unnest(dequantize(tensor_weights(model, tensor))) WITH ORDINALITY b (x, i) USING (i)
           WHERE l.model_id = model AND l.layer_name = tensor GROUP BY l.row_length);
CREATE FUNCTION lib.hint_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  EXECUTE statement;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS said = PG_EXCEPTION_HINT;
  RETURN said;
END $$;
-- What a statement stores as factors, and nothing else of it remains.
CREATE FUNCTION lib.factors_by(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  EXECUTE statement;
  SELECT string_agg(concat_ws(' ', f.layer_name, f.rank, f.u_matrix, f.s_vector, f.vt_matrix, f.output_error), E'\n'
                    ORDER BY f.layer_id) INTO said FROM svd_compressed_layers f;
  RAISE EXCEPTION USING ERRCODE = 'ZZ999', MESSAGE = said;
EXCEPTION WHEN SQLSTATE 'ZZ999' THEN
  RETURN SQLERRM;
END $$;
