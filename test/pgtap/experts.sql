-- Models whose feed-forward network has experts: run from the store, of which only the experts that are used are read.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(54);
SELECT create_store() \g /dev/null
SET LOCAL hartonomous.model_cache_size = 0;

-- The little llama as a qwen3, and with more keys and tensors.
CREATE FUNCTION lib.qwen_gguf(architecture text, sizes jsonb, without text[], tensors lib.tensor[]) RETURNS bytea
LANGUAGE sql IMMUTABLE RETURN llama_gguf(1,
  without || ARRAY(SELECT key FROM llama_keys() WHERE key ~ '^(general|llama)\.'),
  ARRAY[kv_text('general.architecture', architecture),
        kv(architecture || '.attention.layer_norm_rms_epsilon', 6, f32(0.00001))]
    || ARRAY(SELECT kv_u32(architecture || '.' || key, value::integer) FROM jsonb_each_text(sizes)),
  tensors || ARRAY[ROW('blk.0.attn_q_norm.weight', '{8}', 0, waves(1, 8, 20)),
                   ROW('blk.0.attn_k_norm.weight', '{8}', 0, waves(1, 8, 21))]::lib.tensor[]);
CREATE FUNCTION lib.sizes(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql IMMUTABLE
  RETURN '{"block_count": 1, "context_length": 64, "embedding_length": 16, "feed_forward_length": 24,
           "attention.head_count": 2}'::jsonb || more;
-- The bytes of a matrix of the little llama.
CREATE FUNCTION lib.matrix(tensor text) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT t.data FROM unnest(llama_tensors()) t WHERE t.name = tensor);
-- Four experts, each token using two: 0 and 1 have opposite rows in the router, 2 and 3 zeros. The likeliest two are
-- then 0 or 1, and 2; expert 3 is never used. All but that are the little llama's own matrices.
CREATE FUNCTION lib.routed_tensors(dims bigint[]) RETURNS lib.tensor[] LANGUAGE sql IMMUTABLE RETURN
  ARRAY[ROW('blk.0.ffn_gate_inp.weight', '{16,4}', 0,
            f32(VARIADIC wave(16, 3)) || f32(VARIADIC ARRAY(SELECT -w FROM unnest(wave(16, 3)) w)) || zeros(128)),
        ROW('blk.0.ffn_gate_exps.weight', dims, 0, (SELECT m || m || m || waves(24, 16, 30)
                                                      FROM matrix('blk.0.ffn_gate.weight') m)),
        ROW('blk.0.ffn_up_exps.weight', dims, 0, (SELECT m || m || m || waves(24, 16, 31)
                                                    FROM matrix('blk.0.ffn_up.weight') m)),
        ROW('blk.0.ffn_down_exps.weight', '{24,16,4}', 0, (SELECT m || m || m || waves(16, 24, 32)
                                                             FROM matrix('blk.0.ffn_down.weight') m))]::lib.tensor[];
CREATE FUNCTION lib.routed_gguf(more jsonb DEFAULT '{}', dims bigint[] DEFAULT '{16,24,4}',
  others lib.tensor[] DEFAULT '{}') RETURNS bytea
LANGUAGE sql IMMUTABLE RETURN qwen_gguf('qwen3moe',
  sizes('{"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 24}'::jsonb || more),
  '{blk.0.ffn_gate.weight,blk.0.ffn_up.weight,blk.0.ffn_down.weight}', routed_tensors(dims) || others);
-- The same with a second block, which has other attention.
CREATE FUNCTION lib.two_routed_gguf() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN routed_gguf('{"block_count": 2}', others => ARRAY(
    SELECT ROW(replace(t.name, 'blk.0.', 'blk.1.'), t.dims, t.type, t.data)::lib.tensor
      FROM unnest(llama_tensors(2) || routed_tensors('{16,24,4}')
                  || ARRAY[ROW('blk.0.attn_q_norm.weight', '{8}', 0, waves(1, 8, 20)),
                           ROW('blk.0.attn_k_norm.weight', '{8}', 0, waves(1, 8, 21))]::lib.tensor[]) t
     WHERE t.name LIKE 'blk.%' AND t.name !~ 'ffn_(gate|up|down)\.'));
CREATE FUNCTION lib.story() RETURNS text LANGUAGE sql IMMUTABLE
  RETURN left(repeat('the-cat-sat.the-dog-ran,and-the-cow-did-not.', 10), 200);

SELECT import_gguf(qwen_gguf('qwen3', sizes(), '{}', '{}'), 'dense') AS dense \gset
SELECT import_gguf(routed_gguf(), 'routed') AS m \gset
SELECT perplexity(:dense, story(), 32) AS expected \gset
SELECT perplexity(:m, story(), 32) AS p \gset
SELECT ok(abs(:'p'::float8 / :'expected'::float8 - 1) < 1e-5,
  'experts that are alike make what one network makes');
SELECT is((SELECT array_agg(token_id ORDER BY position) FROM score_tokens(:m, 'abc')),
  (SELECT array_agg(token_id ORDER BY position) FROM score_tokens(:dense, 'abc')), 'scores');

-- Calibration. Experts 0 and 1 share the tokens, 2 has all, 3 none.
SELECT add_calibration_set('story', story()) \g /dev/null
CALL collect_calibration(:m, 'story');
CALL collect_calibration(:dense, 'story');
SELECT present(:m) AS revision, present(:dense) AS dense_revision \gset
CREATE TABLE lib.counts AS SELECT layer_name, experts, columns, token_counts AS n FROM calibration_stats s
  JOIN model_layers l USING (layer_id) WHERE s.model_id = :m;
SELECT results_eq($$SELECT layer_name, columns FROM counts
    WHERE experts = 4 AND n[1] + n[2] = 204 AND n[3] = 204 AND n[4] = 0 ORDER BY 1$$,
  $$VALUES ('blk.0.ffn_down_exps.weight', 24), ('blk.0.ffn_gate_exps.weight', 16), ('blk.0.ffn_up_exps.weight', 16)$$,
  'each expert has statistics of the tokens that chose it');
SELECT is((SELECT array_agg(n) FROM counts WHERE layer_name = 'blk.0.ffn_gate_inp.weight'), '{{204}}',
  'the router of all tokens');
SELECT is((SELECT array_agg(DISTINCT g.expert ORDER BY g.expert) FROM calibration_grams g
  WHERE g.layer_id = layer(:m, 'blk.0.ffn_down_exps.weight')), '{0,1,2}',
  'an expert without tokens has no Gram matrix');
SELECT is((SELECT sum(g) FROM unnest(gram_matrix(:m, 'blk.0.ffn_gate_exps.weight', 'story', :revision, 3)) g), 0::real,
  '... which is zeros');
SELECT is(gram_matrix(:m, 'blk.0.ffn_up_exps.weight', 'story', :revision, 2),
  gram_matrix(:dense, 'blk.0.ffn_up.weight', 'story', :dense_revision),
  'an expert that all tokens chose has all their inputs');

-- The cache has the rows of each expert for itself.
SET LOCAL hartonomous.model_cache_size = '64MB';
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'the same through the cache');
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'and from it');
SELECT release_model_cache() AS kept \gset
-- The three vectors of norms, two norms of heads, output matrix, queries, keys, values, their output, router and 3 x 3
-- matrices of experts.
SELECT is(:kept, 4 * (3 * 16 + 2 * 8 + 16 * (259 + 4 * 16 + 4) + 3 * 3 * 16 * 24),
  'which holds no expert that is not used');
SET LOCAL hartonomous.model_cache_size = '4kB';
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'with a cache smaller than all experts of a block');
SET LOCAL hartonomous.model_cache_size = 0;

-- What is read. An atom that does not fit its matrix is an error to who reads it.
CREATE FUNCTION lib.break_row(model integer, tensor text, row_number integer) RETURNS void LANGUAGE sql AS $$
  UPDATE tensor_atoms SET atom_data = quantize('{1,2,3}'::real[], 'F32')
   WHERE model_id = model AND tensor_name = tensor AND atom_sequence = row_number $$;
SAVEPOINT whole;
SELECT break_row(:m, 'blk.0.ffn_up_exps.weight', 72), break_row(:m, 'blk.0.ffn_down_exps.weight', 48) \g /dev/null
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'the rows behind those of the last expert used are not read');
SELECT break_row(:m, 'blk.0.ffn_up_exps.weight', 71) \g /dev/null
SELECT throws_ok(format('SELECT perplexity(%s, story(), 32)', :m), '55000',
  'atom 71 of tensor "blk.0.ffn_up_exps.weight" does not fit its matrix', 'its own are');
ROLLBACK TO whole;
SELECT is((SELECT count(*) FROM tensor_atoms a, generate_series(24, 47) r WHERE a.model_id = :m
             AND a.tensor_name = 'blk.0.ffn_gate_exps.weight' AND a.atom_sequence = r), 24::bigint, 'an atom a row');
DELETE FROM tensor_atoms WHERE model_id = :m AND tensor_name = 'blk.0.ffn_gate_exps.weight' AND atom_sequence = 30;
SELECT isnt(perplexity(:m, story(), 32), :'p'::float8, 'a row that is missing in one expert counts as zeros');
ROLLBACK TO whole;

-- All experts' rows in one matrix, which may then have factors: the rows of an expert are made from them.
SELECT import_gguf(routed_gguf('{}', '{16,96}'), 'flat') AS flat \gset
SELECT is(perplexity(:flat, story(), 32), :'p'::float8, 'the rows of all experts may stand in a matrix');
CALL svd_compress_model(:flat, rank => 4, layer_pattern => '%_exps.weight', factor_format => 'F32');
SELECT is((SELECT count(*) FROM svd_compressed_layers WHERE model_id = :flat), 2::bigint, 'two of them as factors');
SELECT perplexity(import_gguf(export_gguf(:flat), 'multiplied out'), story(), 32) AS p4 \gset
SELECT isnt(:'p4'::float8, :'p'::float8, 'which change the model');
SELECT ok(abs(perplexity(:flat, story(), 32) / :'p4'::float8 - 1) < 1e-5, 'and act as the matrices that they make');

-- Errors
SELECT throws_ok(format('SELECT perplexity(%s, story(), 32)',
    import_gguf(routed_gguf('{"expert_used_count": 5}'), 'five')),
  '55000', '5 experts of 4 cannot be used', 'more experts than there are');
SELECT throws_ok(format('SELECT perplexity(%s, story(), 32)',
    import_gguf(qwen_gguf('qwen3', sizes('{"expert_count": 8}'), '{}', '{}'), 'expert qwen3')),
  '0A000', 'models of architecture qwen3 with experts cannot be run', 'experts of an architecture that has none');
-- Students with fewer experts. Nothing is left of the router's row of expert 2 or 3; of equal scores the first is kept.
SELECT is(count(*), 4::bigint, 'each expert has a score') FROM structure_scores(:m, 'experts');
SELECT perplexity(:m, story(), 32) AS p \gset
SELECT extract_by_experts(:m, 0.75) AS s \gset
SELECT ok(abs(perplexity(:s, story(), 32) / :'p'::float8 - 1) < 1e-6, 'an expert that is never used can go');
SELECT is(array_agg(layer_name || tensor_shape::text ORDER BY position),
  '{"blk.0.ffn_gate_inp.weight{3,16}","blk.0.ffn_gate_exps.weight{3,24,16}","blk.0.ffn_up_exps.weight{3,24,16}",'
  '"blk.0.ffn_down_exps.weight{3,16,24}"}', 'the others keep their matrices and rows of the router')
  FROM model_layers WHERE model_id = :s AND layer_name LIKE '%ffn\_%' AND layer_name NOT LIKE '%norm%';
SELECT is(gguf_value(metadata, 'qwen3moe.expert_count')::text, '3', 'the metadata say so') FROM models
  WHERE model_id = :s;
SELECT is((SELECT count(*) FROM check_model(:s)), 0::bigint, 'the student is valid');
SELECT extract_by_experts(:m, 0.25, 'one expert') AS s \gset
SELECT is(gguf_value(metadata, 'qwen3moe.expert_used_count')::text, '1', 'no more are used than there are')
  FROM models WHERE model_id = :s;
SELECT ok(perplexity(:s, story(), 32) > 1, 'and it can be run');
SELECT throws_ok(format('SELECT extract_by_neurons(%s, 0.5)', :m), '22023', NULL,
  'there are no neurons outside of experts');
-- With statistics an expert is worth the norms of its outputs, times the router's weights. Experts 0 to 2 are alike;
-- the second choice of each token, always 2, has the smaller weight. By energy alone it would be worth as much as 0 and
-- 1.
SELECT ok(s[3] > 0.1 * (s[1] + s[2]) AND s[3] < 0.9 * (s[1] + s[2]) AND s[4] = 0,
  'experts are ranked by the router''s weights')
  FROM (SELECT array_agg(score ORDER BY structure) AS s FROM structure_scores(:m, 'experts')) t;
SELECT is(array_agg(score ORDER BY structure), (SELECT router_weighted_norms FROM calibration_stats
    WHERE model_id = :m AND layer_id = layer(:m, 'blk.0.ffn_down_exps.weight')), 'which collect_calibration() sums')
  FROM structure_scores(:m, 'experts', 'story');
SELECT is(count(*), 0::bigint, 'of no other tensor') FROM calibration_stats JOIN model_layers USING (layer_id)
  WHERE router_weighted_norms IS NOT NULL AND layer_name !~ 'ffn_down_exps';
SELECT extract_by_experts(:m, 0.5, 'two experts') AS s \gset
SELECT is(parameters ->> 'calibration_set', 'story', 'students have the best of them') FROM model_history(:s);
SELECT throws_ok(format('UPDATE calibration_stats SET router_weighted_norms = %L::float8[] WHERE model_id = %s; '
    'SELECT structure_scores(%2$s, ''experts'')', norms, :m), '55000', NULL, norms)
  FROM unnest(
    '{"{1,1,1}","{1,1,1,1,1}","{1,1,1,-1}","{1,1,1,NaN}","{1,1,1,Infinity}","{1,1,1,NULL}","{}"}'::text[]) norms;
UPDATE calibration_stats SET router_weighted_norms = NULL WHERE model_id = :m;
SELECT ok(abs(s[3] / (s[1] + s[2]) - 1) < 1e-5 AND s[4] = 0, 'without those sums by their energy')
  FROM (SELECT array_agg(score ORDER BY structure) AS s FROM structure_scores(:m, 'experts')) t;

-- A block that makes up for the next one: the matrices of all its experts change, and those that were alike stay so.
SELECT extract_by_layers(import_gguf(two_routed_gguf(), 'two'), 1, new_model_name => 'one of two', corpus => story())
  AS s \gset
CREATE FUNCTION lib.down(model regmodel, expert integer) RETURNS real[] LANGUAGE sql STABLE
  RETURN (tensor_weights(model, 'blk.0.ffn_down_exps.weight')::real[])[expert * 384 + 1:(expert + 1) * 384];
SELECT is(down(:s, 0), down(:s, e), format('expert %s is as the first', e)) FROM generate_series(1, 2) e;
SELECT is(array_agg(e ORDER BY e), '{0,1,2,3}', 'all experts change')
  FROM generate_series(0, 3) e WHERE down(:s, e) <> down('two', e);
-- The importance of atoms: each expert has the statistics of its own tokens, and expert 3 has none.
SELECT import_gguf(routed_gguf(), 'scored', 4) AS scored \gset
SELECT add_calibration_set('for scores', story()) \g /dev/null
CALL collect_calibration(:scored, 'for scores');
CREATE FUNCTION lib.down_atoms(model integer) RETURNS TABLE (expert integer, n integer, importance real, sum float8,
  energy float8) LANGUAGE sql VOLATILE AS $$
  SELECT a.atom_sequence / 96, a.atom_sequence, a.importance_score, u.sum, u.energy
    FROM model_layers l JOIN tensor_atoms a USING (layer_id)
    JOIN calibration_stats c ON c.layer_id = l.layer_id AND c.calibration_set = 'for scores'
   CROSS JOIN LATERAL (
     SELECT sum(w::float8 ^ 2), sum(w::float8 ^ 2 * (c.sums_of_squares::real[])[
              a.atom_sequence / 96 * 24 + a.atom_sequence % 6 * 4 + k]) AS energy
       FROM unnest(a.atom_data::real[]) WITH ORDINALITY u (w, k)) u
   WHERE l.model_id = model AND l.layer_name = 'blk.0.ffn_down_exps.weight' $$;
CALL calibrate_importance(:scored, 'wanda', 'for scores');
SELECT ok(corr(importance, ln(energy)) > 0.99999, 'energies of experts are those of their own tokens')
  FROM down_atoms(:scored) WHERE expert < 3;
SELECT ok((SELECT max(importance) FROM down_atoms(:scored) WHERE expert = 3)
  < (SELECT min(importance) FROM down_atoms(:scored) WHERE expert < 3),
  'atoms of an expert that is never used go first');
SELECT ok(corr(importance, ln(sum)) > 0.99999, 'in the order of their magnitudes') FROM down_atoms(:scored)
 WHERE expert = 3;
CALL calibrate_importance(:scored, 'obs', 'for scores');
SELECT ok(corr(importance, ln(sum)) > 0.99999, 'also by OBS, which has no Gram matrix of it') FROM down_atoms(:scored)
 WHERE expert = 3;
SELECT ok((SELECT avg(importance) FROM down_atoms(:scored) WHERE expert = 2)
  > (SELECT avg(importance) FROM down_atoms(:scored) WHERE expert = 0), 'the more tokens, the more important');
CREATE TABLE lib.before AS SELECT tensor_atom_id, atom_sequence / 96 AS expert, atom_data FROM tensor_atoms
 WHERE model_id = :scored AND tensor_name = 'blk.0.ffn_down_exps.weight';
CALL prune_by_importance(:scored, 0.65, layer_pattern => '%down_exps%', refit => true, calibration_set => 'for scores');
SELECT is((SELECT count(*) FROM lib.before WHERE expert = 3), (SELECT count(*) FILTER (WHERE a.tensor_atom_id IS NULL)
    FROM lib.before b LEFT JOIN tensor_atoms a ON a.model_id = :scored AND a.tensor_atom_id = b.tensor_atom_id
   WHERE b.expert = 3), 'it is pruned');
SELECT ok(count(*) > 10 AND bool_and(weights_count(a.atom_data) = 4), 'and others are refitted') FROM lib.before b
  JOIN tensor_atoms a USING (tensor_atom_id) WHERE a.model_id = :scored AND a.atom_data::text <> b.atom_data::text;
-- Atoms of several rows: as many as divide those of an expert, so that none has rows of two.
SELECT import_gguf(routed_gguf(), 'joined rows', 80) AS j \gset
SELECT is(array_agg(atom_size ORDER BY position), '{64,64,48}', 'rows of one expert are joined')
  FROM model_layers WHERE model_id = :j AND layer_name LIKE '%exps%';
SELECT is(perplexity(:j, story(), 32)::text, :'p', 'and say the same');
SELECT ok(export_gguf(a, provenance => false) = export_gguf(b, provenance => false), 'without an expert, too') FROM (
  SELECT extract_by_experts(:j, 0.75, 'joined of 3') AS a, extract_by_experts(:m, 0.75, 'rows of 3') AS b) s;
SELECT * FROM finish();
ROLLBACK;
