-- Evaluation: perplexity and scores of models as they are stored, of every kept revision, after every change.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(119);
SELECT create_store() \g /dev/null
SET LOCAL hartonomous.model_cache_size = '64MB';

CREATE FUNCTION lib.near(found double precision, expected double precision, tolerance double precision, what text)
RETURNS text LANGUAGE sql AS
$$ SELECT ok(abs(found - expected) <= tolerance, what || format(': %s, expected %s', found, expected)) $$;
-- 404 tokens of the little model, with <s> and the three bytes of the space before the text.
CREATE FUNCTION lib.story() RETURNS text LANGUAGE sql IMMUTABLE
  RETURN left(repeat('the-cat-sat.the-dog-ran,and-the-cow-did-not.', 10), 400);

SELECT import_gguf(llama_gguf(), 'llama') AS m \gset
SELECT present(:m) AS r1 \gset

-- Values
SELECT perplexity(:m, story(), 32) AS p \gset
SELECT ok(:'p'::float8 > 2 AND :'p'::float8 < 2000, 'a perplexity');
SELECT is(perplexity('llama', story(), 32), :'p'::float8, 'by the model''s name');
SELECT is(perplexity(:m, story(), 32, :r1), :'p'::float8, 'of the live revision by its number');
SELECT is(perplexity(:m, story()), perplexity(:m, story(), 64), 'n_ctx is the model''s context when that is below 512');
SELECT is((SELECT count(*) FROM score_tokens(:m, story(), 32)), 404::bigint,
  'a score for every token, the text being longer than n_ctx');
SELECT results_eq(format('SELECT position, token_id, token FROM score_tokens(%s, ''aä'')', :m),
  $$VALUES (0, 1, '<s>'), (1, 229, '<0xE2>'), (2, 153, '<0x96>'), (3, 132, '<0x81>'), (4, 100, 'a'), (5, 198, '<0xC3>'),
    (6, 167, '<0xA4>')$$,
  'tokens as text, bytes that are none as such');
SELECT is((SELECT array_agg(position) FROM score_tokens(:m, 'abc') WHERE log_probability IS NULL), '{0}',
  'nothing predicts the first token');
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'the same again, from the cache');
SELECT ok(release_model_cache() > 0, 'which held something');
SELECT is(release_model_cache(), 0::bigint, 'and is empty then');
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'the same without');
SET LOCAL hartonomous.threads = 3;
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'to the bit on several threads');
RESET hartonomous.threads;

-- The cache
SET LOCAL hartonomous.model_cache_size = '5kB';
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'a model larger than the cache');
SELECT ok(release_model_cache() BETWEEN 1 AND 5120, 'which stays within its limit');
SELECT perplexity(:m, story(), 32) \g /dev/null
SET LOCAL hartonomous.model_cache_size = '1kB';
SELECT ok(release_model_cache() <= 1024, 'lowering the limit gives memory up at once');
SET LOCAL hartonomous.model_cache_size = 0;
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'no cache at all');
SELECT is(release_model_cache(), 0::bigint, 'keeps nothing');
SET LOCAL hartonomous.model_cache_size = '64MB';
SELECT perplexity(:m, story(), 32) \g /dev/null

-- Changes by any route are seen at once, though the cache is warm and all is in one transaction
SAVEPOINT before;
DELETE FROM tensor_atoms WHERE model_id = :m AND tensor_name = 'blk.0.ffn_down.weight' AND atom_sequence = 3;
SELECT perplexity(:m, story(), 32) AS p2 \gset
SELECT isnt(:'p2'::float8, :'p'::float8, 'a plain DELETE');
UPDATE tensor_atoms SET atom_data = quantize(array_fill(0.5::real, ARRAY[24]), 'F32') WHERE model_id = :m
  AND tensor_name = 'blk.0.ffn_down.weight' AND atom_sequence = 4;
SELECT perplexity(:m, story(), 32) AS p3 \gset
SELECT isnt(:'p3'::float8, :'p2'::float8, 'a plain UPDATE');
UPDATE tensor_atoms SET atom_data = quantize(array_fill(0.25::real, ARRAY[24]), 'F32') WHERE model_id = :m
  AND tensor_name = 'blk.0.ffn_down.weight' AND atom_sequence = 4;
SELECT perplexity(:m, story(), 32) AS p4 \gset
SELECT isnt(:'p4'::float8, :'p3'::float8, 'another by the same transaction');
INSERT INTO tensor_atoms (model_id, revision_id, layer_id, atom_sequence, tensor_name, atom_data)
  SELECT :m, :r1, layer(:m, 'blk.0.ffn_down.weight'), 3, 'blk.0.ffn_down.weight',
  quantize(array_fill(0.1::real, ARRAY[24]), 'F32');
SELECT isnt(perplexity(:m, story(), 32), :'p4'::float8, 'a plain INSERT');
ROLLBACK TO before;
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'a rolled back savepoint');
SELECT live_partition(:m) AS part \gset
CREATE TEMP TABLE kept AS SELECT model_id, revision_id, layer_id, atom_sequence, x, y, importance_score, tensor_name,
  atom_data FROM tensor_atoms WHERE model_id = :m;
TRUNCATE :part;
SELECT near(perplexity(:m, story(), 32), 259, 1e-6,
  'a model whose every atom was deleted knows nothing: all tokens are as likely');
INSERT INTO :part (model_id, revision_id, layer_id, atom_sequence, x, y, importance_score, tensor_name,
  atom_data) TABLE kept;
SELECT is(perplexity(:m, story(), 32), :'p'::float8, 'all put back');
-- Other atoms in the very places of those, by the same transaction: what is truncated twice keeps its file.
TRUNCATE :part;
INSERT INTO :part (model_id, revision_id, layer_id, atom_sequence, x, y, importance_score, tensor_name, atom_data)
  SELECT model_id, revision_id, layer_id, atom_sequence, x, y, importance_score, tensor_name,
         quantize(ARRAY(SELECT (v * 0.5)::real FROM unnest(dequantize(atom_data)) WITH ORDINALITY u (v, i) ORDER BY i),
           'F32') FROM kept;
SELECT isnt(perplexity(:m, story(), 32), :'p'::float8,
  'other atoms in the places of the old ones, by the same transaction');
ROLLBACK TO before;

-- Revisions: what was measured when it was live is measured when it is kept
CREATE TABLE lib.measured (revision integer, p double precision);
INSERT INTO lib.measured VALUES (present(:m), :'p'::float8);
CALL prune_by_importance(:m, keep_ratio => 0.9, method => 'in_place');
INSERT INTO lib.measured VALUES (present(:m), perplexity(:m, story(), 32));
CALL prune_by_importance(:m, keep_ratio => 0.8, method => 'in_place');
INSERT INTO lib.measured VALUES (present(:m), perplexity(:m, story(), 32));
CALL quantize_model(:m, 'Q8_0');
INSERT INTO lib.measured VALUES (present(:m), perplexity(:m, story(), 32));
CALL prune_by_importance(:m, keep_ratio => 0.7, method => 'in_place');
INSERT INTO lib.measured VALUES (present(:m), perplexity(:m, story(), 32));
SELECT rollback_model(:m, :r1) \g /dev/null
CALL prune_by_importance(:m, keep_ratio => 0.5, method => 'rewrite');
INSERT INTO lib.measured VALUES (present(:m), perplexity(:m, story(), 32));
SELECT is((SELECT count(DISTINCT p) FROM lib.measured), 6::bigint, 'six states that differ');
SELECT results_eq(format('SELECT revision, perplexity(%s, story(), 32, revision) FROM lib.measured ORDER BY 1', :m),
  'SELECT * FROM lib.measured ORDER BY 1',
  'each measured from where revision ' || present(:m) || ' is live');
CREATE FUNCTION lib.all_revisions_measure(model integer, live integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM rollback_model(model, live) WHERE present(model) <> live;
  RETURN NEXT results_eq(
    format('SELECT revision, perplexity(%s, story(), 32, revision) FROM lib.measured ORDER BY 1', model),
    'SELECT * FROM lib.measured ORDER BY 1', 'and from revision ' || live);
END $$;
SELECT all_revisions_measure(:m, revision) FROM lib.measured ORDER BY revision DESC;
SELECT throws_ok(format('SELECT perplexity(%s, story(), 32, 99999)', :m), '22023',
  'model "' || model_name(:m) || '" has no revision 99999', 'no such revision');
-- A matrix of a type of ggml that came later: the number behind its name and its two dimensions is another one.
SELECT import_gguf(overlay(file PLACING '\x2b000000'::bytea
  FROM position(convert_to('blk.0.ffn_up.weight', 'UTF8') IN file) + length('blk.0.ffn_up.weight') + 20),
  'newer') AS newer
  FROM (SELECT llama_gguf() AS file) f \gset
SELECT throws_ok(format('SELECT perplexity(%s, story(), 32)', :newer), '0A000',
  'tensor "blk.0.ffn_up.weight" is of type GGML_43, which this version does not know', 'a type that came later');
SELECT import_gguf(llama_gguf(5), 'other') AS o \gset
SELECT throws_ok(format('SELECT perplexity(%s, story(), 32, %s)', :o, :r1), '22023', NULL, 'another model''s revision');
SELECT is(present(:m), :r1, 'the last of them is live');
SELECT drop_backup(max(revision)) FROM lib.measured \g /dev/null
SELECT throws_ok(format('SELECT perplexity(%s, story(), 32, %s)', :m, max(revision)), '55000', NULL, 'a dropped one')
  FROM lib.measured;

-- Validation
SELECT add_validation_set('cats', story()) AS hash \gset
SELECT is(:'hash', sha256(convert_to(story(), 'UTF8'))::text, 'add_validation_set() returns the hash of the text');
SELECT is(add_validation_set('cats', story()), :'hash'::bytea, 'again, it changes nothing');
SELECT throws_ok($$SELECT add_validation_set('cats', 'dogs')$$, '42710', NULL, 'another text of that name');
SELECT throws_ok($$SELECT add_validation_set('', 'dogs')$$, '22004', NULL, 'no name');
SELECT throws_ok($$SELECT add_validation_set(NULL, 'dogs')$$, '22004', NULL, 'NULL for a name');
SELECT throws_ok($$SELECT add_validation_set('dogs', NULL)$$, '22004', NULL, 'no text');
SELECT second.revision AS r2 FROM (SELECT revision FROM lib.measured ORDER BY revision OFFSET 1 LIMIT 1) second \gset
SELECT * FROM validate_model_accuracy(:m, 'cats', n_ctx => 32) \gset alone_
SELECT is(:'alone_perplexity'::float8, :'p'::float8, 'validate_model_accuracy() measures perplexity');
SELECT ok(:'alone_perplexity_error'::float8 > 0 AND :'alone_perplexity_error'::float8 < :'alone_perplexity'::float8,
  'with an error');
SELECT is(:alone_tokens, 12 * 15, 'of the tokens that are scored: n_ctx / 2 - 1 of each whole piece');
SELECT is(kl_divergence, NULL, 'and without a baseline, no distance') FROM validation_results
  WHERE result_id = :alone_result_id;
SELECT is(:alone_revision_id, :r1, 'of the live revision');
SELECT * FROM validate_model_accuracy('llama', 'cats', :r1, 32, :r2) \gset pair_
SELECT is(:pair_revision_id, :r2, 'of a kept revision, by the model''s name');
SELECT is(:'pair_perplexity'::float8, p, 'its perplexity') FROM lib.measured WHERE revision = :r2;
SELECT near(:'pair_perplexity_ratio'::float8, :'pair_perplexity'::float8 / :'p'::float8, 1e-9,
  'the ratio to the baseline''s');
SELECT ok(:'pair_kl_divergence'::float8 > 0 AND :'pair_kl_divergence_error'::float8 > 0, 'the distance');
SELECT ok(:'pair_same_top'::float8 BETWEEN 0 AND 1, 'the share of equal tops');
SELECT results_eq(
  format('SELECT perplexity_ratio, kl_divergence, same_top FROM validate_model_accuracy(%s, ''cats'', %s, 32)', :m,
    :r1),
  'VALUES (1::float8, 0::float8, 1::float8)', 'a revision and itself');
SELECT results_eq(
  format(
    $$SELECT model_id, revision_id, baseline_revision_id, validation_set, text_sha256, n_ctx, tokens, perplexity,
      kl_divergence, seconds > 0
  FROM validation_results WHERE result_id = %s$$, :pair_result_id),
  format($$VALUES (%s, %s, %s, 'cats', %L::bytea, 32, 180::bigint, %s::float8, %s::float8, true)$$, :m, :r2, :r1,
    :'hash', :'pair_perplexity', :'pair_kl_divergence'),
  'the result is kept');
SELECT throws_ok(format('SELECT * FROM validate_model_accuracy(%s, ''none'')', :m), '42704',
  'validation set "none" does not exist', 'no such set');
SELECT throws_ok(format('SELECT * FROM validate_model_accuracy(%s, NULL::text)', :m), '42704', NULL, 'NULL for a set');
SELECT throws_ok('SELECT * FROM validate_model_accuracy(999, ''cats'')', '42704', NULL, 'no such model');
SELECT throws_ok(format('SELECT * FROM validate_model_accuracy(%s, ''cats'', 99999, 32)', :m), '22023', NULL,
  'no such baseline');

-- A function of the user's
CREATE FUNCTION lib.atoms_of(model integer) RETURNS double precision LANGUAGE plpgsql
AS $$ BEGIN RETURN (SELECT count(*) FROM hartonomous.tensor_atoms a WHERE a.model_id = model); END $$;
CREATE FUNCTION lib.wrong_result(model integer) RETURNS integer LANGUAGE sql RETURN 1;
CREATE FUNCTION lib.wrong_argument(model text) RETURNS double precision LANGUAGE sql RETURN 1;
CREATE FUNCTION lib.a_set(model integer) RETURNS SETOF double precision LANGUAGE sql AS 'SELECT 1::float8';
SELECT results_eq(
  format('SELECT revision_id, score FROM validate_model_accuracy(%s, ''lib.atoms_of(integer)''::regprocedure)', :o),
  format('SELECT present(%s), count(*)::float8 FROM tensor_atoms WHERE model_id = %1$s', :o),
  'an evaluator of the user''s');
SELECT is(v.score, count(*)::float8, 'of a model by its name') FROM models m, tensor_atoms a,
  validate_model_accuracy((SELECT model_name FROM models WHERE model_id = :o), 'lib.atoms_of(integer)'::regprocedure) v
  WHERE m.model_id = :o AND a.model_id = :o GROUP BY v.score;
DELETE FROM validation_results WHERE result_id = (SELECT max(result_id) FROM validation_results);
SELECT results_eq(format('SELECT evaluator, score, validation_set FROM validation_results WHERE model_id = %s', :o),
  format('SELECT ''lib.atoms_of(integer)'', count(*)::float8, NULL::text FROM tensor_atoms WHERE model_id = %s', :o),
  'its result is kept, too');
SELECT throws_ok(format('SELECT * FROM validate_model_accuracy(%s, %L::regprocedure)', :o, f), '42883', NULL, f)
  FROM unnest(
    ARRAY['lib.wrong_result(integer)', 'lib.wrong_argument(text)', 'lib.a_set(integer)', 'pg_catalog.count("any")']) f;
SELECT throws_ok(format('SELECT * FROM validate_model_accuracy(%s, NULL::regprocedure)', :o), '42883', NULL,
  'NULL for a function');

-- Usage: every atom of a matrix takes part in each of the 7 tokens of 'cat'; the output matrix, which is the embedding,
-- in the 6 predictions, and its rows where they are looked up
SELECT is(record_usage(:o, 'cat'), 16 * 5 + 24 * 2 + 259::bigint, 'record_usage() says how many atoms took part');
SELECT results_eq(
  format(
    'SELECT DISTINCT tensor_name, usage_count FROM atom_usage_stats s '
    'JOIN tensor_atoms a USING (model_id, tensor_atom_id) WHERE model_id = %s '
    'AND tensor_name ~ ''ffn_up|token_embd'' ORDER BY 1, 2', :o),
  $$VALUES ('blk.0.ffn_up.weight', 7::bigint), ('token_embd.weight', 6), ('token_embd.weight', 7)$$,
  'in how many tokens');
CREATE TABLE lib.used AS SELECT tensor_atom_id, mean_energy FROM atom_usage_stats WHERE model_id = :o;
SELECT ok(bool_and(mean_energy > 0) AND count(DISTINCT mean_energy) > 300, 'with what energy')
  FROM lib.used;
DELETE FROM tensor_atoms WHERE model_id = :o AND tensor_name = 'blk.0.ffn_down.weight' AND atom_sequence = 0;
SELECT is(record_usage('other', 'cat'), 16 * 5 + 24 * 2 + 258::bigint, 'an atom that is gone takes no part');
SELECT is(count(*), 7::bigint, 'counts add up, energies are a mean')
  FROM atom_usage_stats s JOIN lib.used u USING (tensor_atom_id) JOIN tensor_atoms a USING (model_id, tensor_atom_id)
 WHERE model_id = :o AND tensor_name = 'blk.0.ffn_up.weight' AND s.usage_count = 14
 AND abs(s.mean_energy / u.mean_energy - 1) < 1e-6 AND atom_sequence < 7;
SELECT throws_ok(format('SELECT record_usage(%s, NULL)', :o), '22004', NULL, 'record_usage(NULL)');
SELECT throws_ok('SELECT record_usage(999, ''cat'')', '42704', NULL, 'record_usage of no model');

-- Arguments
SELECT throws_ok(format('SELECT perplexity(%s, %L, %s)', :m, story(), n), '22023', NULL, 'n_ctx ' || n)
  FROM unnest(ARRAY[-1, 0, 3, 65]) n;
SELECT throws_ok(format('SELECT perplexity(%s, '''', 32)', :m), '22023',
  'the text has too few tokens for a context of 32', 'an empty text');
SELECT throws_ok(format('SELECT perplexity(%s, %L, 32)', :m, repeat('a', 59)), '22023', NULL,
  'one token less than twice n_ctx');
SELECT lives_ok(format('SELECT perplexity(%s, %L, 32)', :m, repeat('a', 60)), 'twice n_ctx');
SELECT throws_ok(format('SELECT perplexity(%s, NULL)', :m), '22004', NULL, 'NULL for a text');
SELECT throws_ok('SELECT perplexity(NULL::integer, ''a'')', '42704', NULL, 'NULL for a model');
SELECT throws_ok('SELECT perplexity(NULL::text, ''a'')', '42704', NULL, 'NULL for a name');
SELECT throws_ok('SELECT perplexity(999, ''a'')', '42704', NULL, 'no such model');
SELECT throws_ok('SELECT perplexity(''nobody'', ''a'')', '42704', NULL, 'no such name');
SELECT results_eq(format('SELECT position, token_id FROM score_tokens(%s, '''')', :m), 'VALUES (0, 1)',
  'scores of an empty text: <s> alone');
SELECT throws_ok(format('SELECT * FROM score_tokens(%s, NULL)', :m), '22004', NULL, 'score_tokens(NULL)');
SELECT throws_ok('SELECT * FROM score_tokens(999, ''a'')', '42704', NULL, 'score_tokens of no model');

-- Models that cannot be run
CREATE FUNCTION lib.state_of_model(file bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text;
BEGIN
  PERFORM perplexity(import_gguf(file, 'candidate'), story(), 32);
  RAISE EXCEPTION 'fine' USING ERRCODE = '00001';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
  RETURN state;
END $$;
SELECT is(state_of_model(llama_gguf()), '00001', 'the model they are made from');
SELECT is(state_of_model(llama_gguf(1, ARRAY['general.architecture'], ARRAY[kv_text('general.architecture', 'bloom')])),
  '0A000', 'another architecture');
SELECT is(state_of_model(llama_gguf(1, ARRAY[key])), '55000', 'without ' || key)
  FROM unnest(ARRAY['llama.block_count', 'llama.context_length', 'llama.embedding_length', 'llama.attention.head_count',
                    'llama.attention.layer_norm_rms_epsilon', 'token_embd.weight', 'output_norm.weight',
                    'blk.0.attn_k.weight', 'blk.0.ffn_norm.weight']) key;
SELECT is(
  state_of_model(
    llama_gguf(1, ARRAY['blk.0.ffn_up.weight'], '{}',
      ARRAY[ROW('blk.0.ffn_up.weight', '{16,25}', 0, waves(25, 16, 1))::tensor])), '55000',
  'a tensor of the wrong shape');
SELECT is(
  state_of_model(llama_gguf(1, '{}', '{}', ARRAY[ROW('blk.1.ffn_up.weight', '{16,24}', 0, waves(24, 16, 1))::tensor])),
  '0A000', 'a tensor too many');
SELECT is(state_of_model(llama_gguf(1, ARRAY['llama.block_count'], ARRAY[kv_u32('llama.block_count', 4000000000)])),
  '55000', 'blocks without number');
SELECT is(
  state_of_model(
    llama_gguf(1, ARRAY['token_embd.weight'], '{}',
      ARRAY[ROW('token_embd.weight', '{16,90}', 0, waves(90, 16, 1))::tensor])), '22023',
  'tokens beyond the embedding');
SELECT import_safetensors(safetensors(ARRAY[ROW('w', 'F32', '{2,2}', f32(1, 2, 3, 4))::st_tensor]), 'plain') AS s \gset
SELECT throws_ok(format('SELECT perplexity(%s, story())', :s), '0A000', NULL, 'no language model');

-- Memory
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT lives_ok(format('SELECT perplexity(%s, story(), 32)', :m), 'the least memory is enough for little models');
RESET hartonomous.max_work_memory;

-- Rights
CREATE ROLE evaluate_reader;
SELECT is((state_as('evaluate_reader', format('SELECT hartonomous.perplexity(%s, lib.story(), 32)', :m))).state,
  '42501', 'who may not read the atoms may not measure them');
GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO evaluate_reader;
SELECT is((state_as('evaluate_reader', format('SELECT hartonomous.perplexity(%s, lib.story(), 32)', :m))).state,
  '00000', 'readers may');
REVOKE SELECT ON tensor_atoms FROM evaluate_reader;
SELECT is((state_as('evaluate_reader', format('SELECT hartonomous.perplexity(%s, lib.story(), 32)', :m))).state,
  '42501', 'what is in the cache is not for them, either');
GRANT SELECT ON tensor_atoms TO evaluate_reader;
ALTER TABLE tensor_atoms ENABLE ROW LEVEL SECURITY;
CREATE POLICY some_of_them ON tensor_atoms USING (atom_sequence < 5);
SELECT is((state_as('evaluate_reader', format('SELECT hartonomous.perplexity(%s, lib.story(), 32)', :m))).state,
  '42501', 'a policy that hides atoms is an error');

-- A pass reads each tensor once: 11 tensors by their rows' versions and by their rows, and the embedding's rows that
-- are looked up. With the cache, only the versions.
CREATE FUNCTION lib.scans(model integer) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT sum(pg_stat_get_xact_numscans(c.oid))::bigint FROM pg_class c
   WHERE c.oid = live_partition(model)
   OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = live_partition(model))
$$;
SET LOCAL enable_bitmapscan = off;
SELECT release_model_cache() \g /dev/null
SELECT scans(:o) AS scans \gset
SELECT perplexity(:o, story(), 32) \g /dev/null
SELECT is(scans(:o) - :scans, 11 + 11 + 1::bigint, 'a pass scans each tensor once');
SELECT scans(:o) AS scans \gset
SELECT perplexity(:o, story(), 32) \g /dev/null
SELECT is(scans(:o) - :scans, 11::bigint, 'and none but for its versions when it is kept');
SET LOCAL hartonomous.model_cache_size = 0;
SELECT scans(:o) AS scans \gset
SELECT perplexity(:o, story(), 32) \g /dev/null
SELECT is(scans(:o) - :scans, 11 + 1::bigint, 'without a cache, not for those');
SET LOCAL hartonomous.model_cache_size = '64MB';
RESET enable_bitmapscan;

-- A Hugging Face checkpoint of the same weights, whose queries and keys turn the halves of a head against each other,
-- is the same model
CREATE FUNCTION lib.halved(rows bytea) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT string_agg(substr(rows, (h * 8 + i * 2 + j) * 64 + 1, 64), '' ORDER BY h, j, i)
            FROM generate_series(0, 1) h, generate_series(0, 1) j, generate_series(0, 3) i);
CREATE FUNCTION lib.llama_checkpoint() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN safetensors(
    (SELECT array_agg(
      ROW(n.hf, 'F32', (SELECT array_agg(d ORDER BY k DESC) FROM unnest(t.dims) WITH ORDINALITY u (d, k)),
                                          CASE WHEN t.name ~ 'attn_[qk]' THEN halved(t.data)
                                          ELSE t.data END)::st_tensor)
    FROM unnest(llama_tensors()) t
    JOIN (VALUES ('token_embd.weight', 'model.embed_tokens.weight'), ('output_norm.weight', 'model.norm.weight'),
      ('blk.0.attn_norm.weight', 'model.layers.0.input_layernorm.weight'),
      ('blk.0.attn_q.weight', 'model.layers.0.self_attn.q_proj.weight'),
      ('blk.0.attn_k.weight', 'model.layers.0.self_attn.k_proj.weight'),
      ('blk.0.attn_v.weight', 'model.layers.0.self_attn.v_proj.weight'),
      ('blk.0.attn_output.weight', 'model.layers.0.self_attn.o_proj.weight'),
      ('blk.0.ffn_norm.weight', 'model.layers.0.post_attention_layernorm.weight'),
      ('blk.0.ffn_gate.weight', 'model.layers.0.mlp.gate_proj.weight'),
      ('blk.0.ffn_up.weight', 'model.layers.0.mlp.up_proj.weight'),
      ('blk.0.ffn_down.weight', 'model.layers.0.mlp.down_proj.weight')) n (gguf, hf) ON n.gguf = t.name));
SELECT import_safetensors(llama_checkpoint(), 'checkpoint',
  config => '{"architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
  "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
  "max_position_embeddings": 64, "vocab_size": 259, "tie_word_embeddings": true, "rope_theta": 10000.0}') AS h
  \gset
UPDATE models SET metadata
  = jsonb_set(metadata, '{kv}', (SELECT jsonb_agg(k) FROM models o, jsonb_array_elements(o.metadata -> 'kv') k
  WHERE o.model_id IN (:m, :h) AND (k ->> 'key' LIKE 'tokenizer.%') = (o.model_id = :m))) WHERE model_id = :h;
SELECT is(perplexity(:h, story(), 32), :'p'::float8, 'a checkpoint of the same weights is the same model');

-- The example model, against tools/reference_forward.py (examples/README.md)
\if :has_example_model
SELECT import_gguf(example_model(), 'example') AS e \gset
SELECT pg_read_file(replace(example_model(), 'tiny-stories.gguf', 'heldout.txt')) AS heldout \gset
SELECT near(perplexity(:e, :'heldout', 256), 1.6957, 0.0001, 'example model, n_ctx 256');
SELECT near(perplexity(:e, :'heldout'), 1.6965, 0.0001, 'example model, n_ctx 512');
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok(format('SELECT perplexity(%s, repeat(''a word. '', 500))', :e), '53200', NULL,
  'a context that needs more memory than there may be');
RESET hartonomous.max_work_memory;
\endif

SELECT is_empty(
  $$SELECT without_comment('perplexity', 'score_tokens', 'measure_accuracy', 'validate_model_accuracy',
    'add_validation_set',
    'measure_usage', 'record_usage', 'revision_atoms', 'gguf_metadata_of', 'hyperparameters', 'release_model_cache',
    'text_sha256')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
