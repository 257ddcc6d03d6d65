-- Students with fewer tokens: the rows of the embedding and the output matrix, and the tokenizer, follow.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT plan(50);
SELECT create_store() \g /dev/null

-- The little llama with pieces of text among its tokens, an output matrix with a bias, and keys that name tokens.
CREATE FUNCTION lib.pieces() RETURNS text[] LANGUAGE sql IMMUTABLE
  RETURN '{▁,a,b,c,ab,▁ab,abab,▁ababab,ca,cab,<mine>}'::text[];
CREATE FUNCTION lib.pieces_gguf(output boolean DEFAULT true) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN llama_gguf(1, '{tokenizer.ggml.tokens,tokenizer.ggml.scores,tokenizer.ggml.token_type,token_embd.weight}',
    ARRAY[kv('tokenizer.ggml.tokens', 9, le(8, 4) || le(270, 8) || str('<unk>') || str('<s>') || str('</s>')
        || (SELECT string_agg(str('<0x' || upper(lpad(to_hex(i), 2, '0')) || '>'), '' ORDER BY i)
              FROM generate_series(0, 255) i)
        || (SELECT string_agg(str(p), '' ORDER BY n) FROM unnest(pieces()) WITH ORDINALITY u (p, n))),
      kv('tokenizer.ggml.scores', 9, le(6, 4) || le(270, 8)
        || f32(VARIADIC (SELECT array_agg((-i)::real ORDER BY i) FROM generate_series(0, 269) i))),
      kv('tokenizer.ggml.token_type', 9, le(5, 4) || le(270, 8)
        || (SELECT string_agg(le(CASE WHEN i = 0 THEN 2 WHEN i < 3 THEN 3 WHEN i < 259 THEN 6 WHEN i = 269 THEN 4
                                      ELSE 1 END, 4), '' ORDER BY i) FROM generate_series(0, 269) i)),
      kv_u32('tokenizer.ggml.eos_token_id', 2), kv_u32('tokenizer.ggml.padding_token_id', 261),
      kv_u32('llama.vocab_size', 270)],
    ROW('token_embd.weight', '{16,270}', 0, waves(270, 16, 1))::tensor
    || CASE WHEN output THEN ARRAY[ROW('output.weight', '{16,270}', 0, waves(270, 16, 3))::tensor,
                                   ROW('output.bias', '{270}', 0, waves(1, 270, 5))::tensor] END);
CREATE FUNCTION lib.value_of(model integer, key text) RETURNS jsonb LANGUAGE sql VOLATILE
  AS $$ SELECT gguf_value(metadata, key) FROM models WHERE model_id = model $$;
CREATE FUNCTION lib.rows_of(model integer, tensor text) RETURNS SETOF bytea LANGUAGE sql VOLATILE
  AS $$ SELECT atom_data::bytea FROM tensor_atoms WHERE model_id = model AND tensor_name = tensor
         ORDER BY atom_sequence $$;

SELECT import_gguf(pieces_gguf(), 'words') AS m \gset
SELECT is(tokenize(:m, 'cab'), '{1,259,268}', 'the whole vocabulary');
SELECT extract_by_vocabulary(:m, 'cab') AS s \gset
SELECT is(model_name, 'words_Student_264_tokens', 'a student has tokens in its name') FROM models WHERE model_id = :s;
SELECT is((parameters ->> 'kept') || ' of ' || (parameters ->> 'of'), '264 of 270', 'and in its history')
  FROM model_history(:s);
SELECT is((SELECT array_agg(t ORDER BY n) FROM jsonb_array_elements_text(value_of(:s, 'tokenizer.ggml.tokens'))
    WITH ORDINALITY u (t, n) WHERE n > 259), '{▁,b,ab,cab,<mine>}',
  'it has the tokens of the corpus, those from which they are made, those that keys name, and user-defined ones');
SELECT is(value_of(:s, 'tokenizer.ggml.scores') -> 262, '-268', 'scores follow');
SELECT is(value_of(:s, 'tokenizer.ggml.token_type') -> 263, '4', 'so do kinds');
SELECT is(value_of(:s, 'tokenizer.ggml.padding_token_id'), '260', 'and keys that name a token');
SELECT is(value_of(:s, 'tokenizer.ggml.eos_token_id'), '2', 'which may keep its number');
SELECT is(value_of(:s, 'llama.vocab_size'), '264', 'the size of the vocabulary is the number of tokens');
SELECT is((SELECT array_agg(tensor_shape::text ORDER BY layer_name) FROM model_layers
    WHERE model_id = :s AND layer_name ~ '^(token_embd|output)\.'), '{"{264}","{264,16}","{264,16}"}',
  'embedding, output matrix and its bias are smaller');
SELECT results_eq(format('SELECT rows_of(%s, %L)', :s, tensor), format($$SELECT r FROM (
    SELECT r, row_number() OVER () - 1 AS n FROM rows_of(%s, %L) r) t
    WHERE n < 260 OR n IN (261, 263, 268, 269)$$, :m, tensor), 'the rows of ' || tensor || ' are those of its tokens')
  FROM unnest('{token_embd.weight,output.weight}'::text[]) tensor;
SELECT is(tokenize(:s, 'cab'), '{1,259,262}', 'the corpus has the same tokens, by other numbers');
SELECT is(detokenize(:s, tokenize(:s, 'cab ab <mine>ca ü')), 'cab ab <mine>ca ü', 'any other text can be encoded');
SELECT is(count(*), 0::bigint, 'it is valid') FROM check_model(:s);
SELECT import_gguf(export_gguf(:s), 'again') AS again \gset
SELECT ok(export_gguf(:again) = export_gguf(:s), 'its file can be imported');
SELECT ok(perplexity(:s, repeat('cab', 90), 32) < perplexity(:m, repeat('cab', 90), 32),
  'what it predicts is shared out among fewer tokens');

-- Tied output, and a vocabulary that is needed whole
SELECT import_gguf(pieces_gguf(false), 'tied') AS tied \gset
SELECT extract_by_vocabulary(:tied, 'cab', 'small') AS s \gset
SELECT ok(perplexity(:s, repeat('cab', 90), 32) > 1, 'a student whose output is tied can be run');
SELECT extract_by_vocabulary(:tied, 'a b c ab abab cacab ababab acb bca', 'needed') AS s \gset
SELECT ok(export_gguf(:s) = export_gguf(:tied), 'a student that needs all tokens is the same file');

-- The model itself
SELECT extract_by_vocabulary(:m, 'cab', 'of cab') AS s \gset
SELECT add_calibration_set('cab', 'cab') \g /dev/null
SELECT export_gguf(:m) AS original \gset
CREATE FUNCTION lib.log_likelihood(model integer, text text, revision integer) RETURNS float8 LANGUAGE sql VOLATILE
  AS $$ SELECT sum(log_probability) FROM score_tokens(model, text, 32, revision) $$;
CREATE FUNCTION lib.says_of(model integer, text text) RETURNS text LANGUAGE sql VOLATILE
  AS $$ SELECT concat_ws(' ', tokens, round(perplexity_ratio::numeric, 6), round(perplexity::numeric, 4),
               round(baseline_perplexity::numeric, 4), kl_divergence, same_top, delta_p, kl_median)
          FROM measure_accuracy(model, text, 32, NULL, 1) $$;
CREATE FUNCTION lib.expected_of(model integer, text text, trimmed integer) RETURNS text LANGUAGE sql VOLATILE
  AS $$ SELECT concat_ws(' ', n, round(exp((b - t) / n)::numeric, 6), round(exp(-t / n)::numeric, 4),
               round(exp(-b / n)::numeric, 4))
          FROM (SELECT cardinality(tokenize(model, text)) - 1 AS n, log_likelihood(model, text, trimmed) AS t,
                       log_likelihood(model, text, 1) AS b) v $$;
CALL hartonomous.trim_vocabulary(:m, 'cab', dry_run => true);
SELECT is(present(:m), 1, 'a dry run changes nothing');
CALL hartonomous.trim_vocabulary(:m, 'cab');
SELECT present(:m) AS trimmed \gset
SELECT ok(export_gguf(:m) = export_gguf(:s), 'a model without some tokens is its student');
SELECT is(tokenize(:m, 'cab'), '{1,259,262}', 'the tokens have other numbers');
SELECT is(array_agg(concat_ws(' ', fault, object, detail)), NULL, 'without faults') FROM check_model(:m);
SELECT is(revision_recipe(:trimmed), '[{"stage": "trim_vocabulary", "calibration_set": "cab"}]', 'the recipe has it');
CALL hartonomous.trim_vocabulary(:m, 'cab');
SELECT is(present(:m), :trimmed, 'nothing to remove makes no revision');
SELECT says_of(:m, repeat('cab', 90)) AS of_cab, says_of(:m, repeat('abab ca', 40)) AS of_others \gset
SELECT rollback_model(:m, 1) \g /dev/null
SELECT ok(export_gguf(:m) = :'original', 'everything is there again after a rollback');
SELECT is(tokenize(:m, 'cab'), '{1,259,268}', 'also the tokens');
-- Ratios of the probabilities of whole texts, by the tokens of the baseline, here the live revision.
SELECT is(:'of_cab', expected_of(:m, repeat('cab', 90), :trimmed), 'a text whose tokens are all left');
SELECT is(:'of_others', expected_of(:m, repeat('abab ca', 40), :trimmed),
  'a text that needs other tokens now is measured as a whole, and has no KL divergence');
SELECT ok(cardinality(tokenize(:s, repeat('abab ca', 40))) > cardinality(tokenize(:m, repeat('abab ca', 40))),
  'it has more of them');
SELECT rollback_model(:m, :trimmed) \g /dev/null
SELECT ok(export_gguf(:m) = export_gguf(:s), 'and forward again');
SELECT rollback_model(:m, 1) \g /dev/null
SELECT add_validation_set('others', repeat('abab ca', 40)) \g /dev/null
INSERT INTO compression_jobs (model_id, procedure, parameters, original_revision_id, baseline_revision_id, state)
  SELECT :m, 'compress_model', jsonb_build_object('removals', true, 'calibration_set', 'cab', 'measure', measure,
           'validation_set', 'others', 'n_ctx', 32), 1, 1, 'running'
    FROM unnest('{perplexity,kl_divergence}'::text[]) measure;
SELECT is(array_agg((next_removal(job_id)).change ORDER BY job_id),
  ARRAY['{"stage": "trim_vocabulary", "calibration_set": "cab"}', NULL]::jsonb[],
  'compress_model() tries it unless KL divergence is the measure') FROM compression_jobs;
DELETE FROM compression_jobs;
SELECT ooda_hypothesize(:m) \g /dev/null
SELECT is(count(*), 0::bigint, 'without a calibration set the loop does not propose it')
  FROM ooda_hypotheses WHERE hypothesis_type = 'TrimVocabulary';
SELECT ooda_hypothesize(:m, 'cab') \g /dev/null
SELECT is(array_agg(shown_sql), '{"CALL hartonomous.trim_vocabulary(''words'', calibration_set => ''cab'');"}',
  'with one it does') FROM ooda_hypotheses WHERE hypothesis_type = 'TrimVocabulary';
SELECT ooda_approve(hypothesis_id) FROM ooda_hypotheses WHERE hypothesis_type = 'TrimVocabulary' \g /dev/null
CALL ooda_cycle(:m, 'others', 'cab', max_degradation => 0.001, risk_limit => 0, n_ctx => 32);
SELECT is(array_agg(state || ' ' || (outcome ~ '^loses .* % of perplexity')), '{"rolled_back true"}',
  'and puts back what a text needs that it was not calibrated on')
  FROM ooda_hypotheses WHERE hypothesis_type = 'TrimVocabulary';
SELECT is(array_agg(concat_ws(' ', fault, object, detail)), NULL, 'without faults') FROM check_model(:m);
INSERT INTO calibration_sets (calibration_set, text) VALUES ('nothing', ''), ('imported', NULL);
SELECT throws_ok(format('CALL hartonomous.trim_vocabulary(%s)', arguments), state, NULL, arguments)
  FROM (VALUES (:'m' || ', NULL', '22004'), (:'m' || ', ''cab'', dry_run => NULL', '22004'),
               (:'m' || ', ''none''', '42704'), (:'m' || ', ''imported''', '42704'), (:'m' || ', ''nothing''', '22023'),
               ('4711, ''cab''', '42704')) v (arguments, state);

-- Requests that make no sense
SELECT throws_ok(format('SELECT extract_by_vocabulary(%s, NULL)', :m), '22004', NULL, 'no corpus');
SELECT throws_ok(format('SELECT extract_by_vocabulary(%s, %L)', :m, ''), '22023', 'the corpus is empty',
  'an empty one');
SELECT throws_ok('SELECT extract_by_vocabulary(NULL, ''a'')', '42704', NULL, 'no parent');
SELECT throws_ok(format('SELECT extract_by_vocabulary(%s, ''a'', ''words'')', :m), '42710', NULL,
  'a name that is taken');
SELECT import_gguf(llama_gguf(1, '{tokenizer.ggml.model}'), 'mute') AS mute \gset
SELECT throws_ok(format('SELECT extract_by_vocabulary(%s, ''a'')', :mute), '22023', 'the model has no tokenizer',
  'a model without a tokenizer');
SELECT throws_ok(format('SELECT structure_scores(%s, ''vocabulary'')', :m), '22023', NULL, 'tokens have no scores');
SELECT throws_ok(format('SELECT hartonomous_internal.trim_vocabulary(%s, NULL)', :m), '22004', NULL,
  'no corpus to trim to');
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok(format('SELECT extract_by_vocabulary(%s, repeat(''a b'', 1000000))', :m), '53200', NULL,
  'a corpus that is too long');
SELECT * FROM finish();
ROLLBACK;
