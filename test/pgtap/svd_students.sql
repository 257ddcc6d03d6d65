-- Factored tensors in what is made of, compared with and said of their model.
BEGIN;
\ir lib/model_files.sql
SELECT plan(26);
-- Blocks whose matrices are of rank 3, nearly: two that are factored, one that is not asked for.
CREATE FUNCTION lib.low_gguf() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ROW('token_embd.weight', '{32,12}', 0, waves(12, 32, 1))::tensor || (SELECT array_agg(t ORDER BY b, k)
      FROM generate_series(0, 2) b,
      LATERAL (VALUES (1, ROW(format('blk.%s.attn_norm.weight', b), '{64}', 0, waves(1, 64, b))::tensor),
        (2, ROW(format('blk.%s.ffn_down.weight', b), '{64,48}', 0,
          (SELECT string_agg(f32((sin(r * 0.1 + b) * cos(c * 0.2) + 0.3 * cos(r * 0.7) *
          sin(c * 0.05 * (b + 1)))::real), '' ORDER BY r, c) FROM generate_series(1, 48) r,
            generate_series(1, 64) c))::tensor)) v (k, t)),
    ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', 3)]);
SELECT import_gguf(low_gguf(), 'm') AS m \gset
SELECT present(:m) AS r1 \gset
SELECT array_agg(round(influence::numeric, 2) ORDER BY layer_idx) AS influence FROM block_influence(:m) \gset
CALL svd_compress_model(:m, rank => 4, layer_pattern => '%ffn_down%', factor_format => 'F32');
SELECT present(:m) AS r2 \gset
SELECT is(count(*), 3::bigint, 'three matrices are factored') FROM svd_compressed_layers WHERE model_id = :m;
SELECT is(state, CASE WHEN layer_name LIKE '%ffn_down%' THEN 'factored' ELSE 'complete' END, layer_name)
  FROM layer_completeness(:m);
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'nothing is wrong with it');
SELECT is(array_agg(round(influence::numeric, 2) ORDER BY layer_idx), :'influence'::numeric[],
  'influence is what it was') FROM block_influence(:m);
SELECT is(bytes_b, form_bytes(:m, :r2, layer_id), 'a difference counts the bytes of factors')
  FROM diff_revisions(:r1, :r2)
  WHERE layer_name = 'blk.1.ffn_down.weight';
CREATE FUNCTION lib.same(student integer, tensor text, parent integer, of text) RETURNS double precision
  LANGUAGE plpgsql AS $$
DECLARE a integer := import_gguf(export_gguf(student), 'same a');
  b integer := import_gguf(export_gguf(parent), 'same b'); said double precision;
BEGIN
  SELECT max(relative_error(x.atom_data, y.atom_data)) INTO said FROM tensor_atoms x JOIN tensor_atoms y
    USING (atom_sequence) WHERE x.model_id = b
    AND x.tensor_name = of AND y.model_id = a AND y.tensor_name = tensor;
  PERFORM delete_model(a), delete_model(b);
  RETURN said;
END $$;
SELECT extract_student_model(:m, '{0,2}', renumber => true) AS s \gset
SELECT results_eq(format('SELECT layer_name FROM svd_compressed_layers WHERE model_id = %s ORDER BY 1', :s),
  $$VALUES ('blk.0.ffn_down.weight'), ('blk.1.ffn_down.weight')$$,
  'a student has them under its own names');
SELECT ok(same(:s, 'blk.1.ffn_down.weight', :m, 'blk.2.ffn_down.weight') < 1e-6, 'and they are the parent''s');
SELECT is((SELECT logical_bytes FROM list_models() WHERE model_id = :s),
  (SELECT sum(weights_bytes(atom_data)) FROM tensor_atoms WHERE model_id = :s)::bigint +
  form_bytes(:s, present(:s)), 'its bytes are counted');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :s), 'nothing is wrong with the student');
SELECT extract_by_importance(:m, 0.5, 'half') AS s \gset
SELECT ok(same(:s, 'blk.1.ffn_down.weight', :m, 'blk.1.ffn_down.weight') < 1e-6,
  'factors are no atoms: importance leaves them');
CALL quantize_model(:m, 'Q8_0');
SELECT is(count(*), 3::bigint, 'factors are quantized, too') FROM svd_compressed_layers WHERE model_id = :m
  AND revision_id = present(:m) AND weights_format(u_matrix) <> 'F32';
-- A model all of whose matrices are factored has no atoms of them, and is not empty.
SELECT import_gguf(low_gguf(), 'all') AS f \gset
CALL svd_compress_model(:f, rank => 4);
SELECT is(state, 'factored', layer_name || ' is factored') FROM layer_completeness(:f) WHERE layer_name !~ 'norm';
SELECT lives_ok(format('SELECT extract_by_layers(%s, 2, new_model_name => ''two'')', :f),
  'the first blocks of factors alone');
SELECT is(count(*), 3::bigint, 'are factors') FROM svd_compressed_layers f JOIN models USING (model_id)
  WHERE model_name = 'two';
SELECT throws_ok(format('SELECT extract_by_spatial_region(%s, 0, 100, 0, 100)', :f), '22023',
  format('no atom of any matrix of model "%s" would be left', model_name(:f)), 'factors lie in no region');
SELECT throws_ok(format('SELECT dynamic_student_extraction(%s, ''spatial'')', :f), '22023',
  format('no atom of any matrix of model "%s" has a position', model_name(:f)), 'nor around the middle');
SELECT delete_model(:m) > 0 AS gone \gset
SELECT is(count(*), 0::bigint, 'a deleted model leaves none') FROM svd_compressed_layers WHERE model_id = :m;
SELECT * FROM finish();
ROLLBACK;
