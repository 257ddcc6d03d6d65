-- Evaluation: runs a language model from its stored atoms and measures it.

CREATE FUNCTION hartonomous.perplexity(model hartonomous.regmodel, text text, n_ctx integer DEFAULT NULL,
                                       revision integer DEFAULT NULL) RETURNS double precision
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous.perplexity(hartonomous.regmodel, text, integer, integer) IS
  'perplexity of a model on a text, as llama.cpp computes it: the second half of each chunk of n_ctx tokens (512 by '
  'default, or the context length of the model if that is less) is scored; for the live revision or another one; 22023 '
  'if the text has fewer than 2 x n_ctx tokens or n_ctx exceeds the context length, 0A000 if the model cannot be '
  'evaluated, 55000 if tensors are missing or have the wrong shape';

CREATE FUNCTION hartonomous.score_tokens(model hartonomous.regmodel, text text, n_ctx integer DEFAULT NULL,
                                         revision integer DEFAULT NULL)
  RETURNS TABLE ("position" integer, token_id integer, token text, log_probability double precision)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous.score_tokens(hartonomous.regmodel, text, integer, integer) IS
  'natural logarithm of the probability of each token after the previous ones, NULL for the first; texts longer than '
  'n_ctx are scored in windows that overlap by half; tokens as text, with bytes that are not a character as <0xNN>; '
  'errors as perplexity()';

CREATE FUNCTION hartonomous.add_validation_set(name text, text text) RETURNS bytea
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  hash bytea;
BEGIN
  IF name IS NULL OR name = '' OR text IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'a validation set needs a name and a text',
      hint => 'For example SELECT hartonomous.add_validation_set(''story'', pg_read_file(''/tmp/story.txt''));');
  END IF;
  PERFORM hartonomous.create_store();
  PERFORM hartonomous_internal.refuse_common_passage('validation', name, add_validation_set.text);
  INSERT INTO hartonomous.validation_sets (validation_set, text) VALUES (name, add_validation_set.text)
    ON CONFLICT (validation_set) DO NOTHING;
  SELECT s.text_sha256 INTO STRICT hash FROM hartonomous.validation_sets s WHERE s.validation_set = name;
  -- Results measured on different texts under the same name could not be compared.
  IF hash <> hartonomous_internal.text_sha256(add_validation_set.text) THEN
    PERFORM hartonomous_internal.raise_error('42710',
      format('validation set "%s" already exists with another text', name),
      hint => 'Choose another name, or DELETE it from hartonomous.validation_sets.');
  END IF;
  RETURN hash;
END
$$;
COMMENT ON FUNCTION hartonomous.add_validation_set(text, text) IS
  'stores a text to measure models on; returns its SHA-256; 42710 if that name has another text, 22023 if it has a '
  'passage in common with a calibration set';

CREATE FUNCTION hartonomous.validate_model_accuracy(model hartonomous.regmodel, validation_set text,
    baseline_revision integer DEFAULT NULL, n_ctx integer DEFAULT NULL, revision integer DEFAULT NULL)
  RETURNS TABLE (revision_id integer, perplexity double precision, perplexity_error double precision,
                 perplexity_ratio double precision, perplexity_ratio_error double precision,
                 kl_divergence double precision, kl_divergence_error double precision,
                 same_top double precision, same_top_error double precision,
                 delta_p double precision, delta_p_error double precision, delta_p_rms double precision,
                 delta_p_rms_error double precision, kl_minimum double precision, kl_median double precision,
                 kl_percentile_90 double precision, kl_percentile_95 double precision,
                 kl_percentile_99 double precision, kl_percentile_99_9 double precision, kl_maximum double precision,
                 log_probability_correlation double precision,
                 tokens bigint, seconds double precision, result_id bigint)
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  started timestamptz := clock_timestamp();
  measured integer := coalesce(validate_model_accuracy.revision, hartonomous_internal.current_revision(model));
  source hartonomous.validation_sets;
  m record;
BEGIN
  SELECT * INTO source FROM hartonomous.validation_sets s
   WHERE s.validation_set = validate_model_accuracy.validation_set;
  IF source.validation_set IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704',
      format('validation set "%s" does not exist', coalesce(validate_model_accuracy.validation_set, 'NULL')),
      hint => 'SELECT hartonomous.add_validation_set(name, text);');
  END IF;
  SELECT * INTO STRICT m
    FROM hartonomous_internal.measure_accuracy(model, source.text, validate_model_accuracy.n_ctx, measured,
                                                           baseline_revision);
  RETURN QUERY
    INSERT INTO hartonomous.validation_results AS r
        (model_id, revision_id, baseline_revision_id, validation_set, text_sha256, n_ctx, tokens, perplexity,
         perplexity_error, perplexity_ratio, perplexity_ratio_error, kl_divergence, kl_divergence_error, same_top,
         same_top_error, delta_p, delta_p_error, delta_p_rms, delta_p_rms_error, kl_minimum, kl_median,
         kl_percentile_90, kl_percentile_95, kl_percentile_99, kl_percentile_99_9, kl_maximum,
         log_probability_correlation, seconds)
      VALUES (model, measured, baseline_revision, source.validation_set, source.text_sha256, m.used_n_ctx, m.tokens,
              m.perplexity, m.perplexity_error, m.perplexity_ratio, m.perplexity_ratio_error, m.kl_divergence,
              m.kl_divergence_error, m.same_top, m.same_top_error, m.delta_p, m.delta_p_error, m.delta_p_rms,
              m.delta_p_rms_error, m.kl_minimum, m.kl_median, m.kl_percentile_90, m.kl_percentile_95,
              m.kl_percentile_99, m.kl_percentile_99_9, m.kl_maximum, m.log_probability_correlation,
              extract(epoch FROM clock_timestamp() - started))
      RETURNING r.revision_id, r.perplexity, r.perplexity_error, r.perplexity_ratio, r.perplexity_ratio_error,
                r.kl_divergence, r.kl_divergence_error, r.same_top, r.same_top_error, r.delta_p, r.delta_p_error,
                r.delta_p_rms, r.delta_p_rms_error, r.kl_minimum, r.kl_median, r.kl_percentile_90, r.kl_percentile_95,
                r.kl_percentile_99, r.kl_percentile_99_9, r.kl_maximum, r.log_probability_correlation,
                r.tokens, r.seconds, r.result_id;
END
$$;
COMMENT ON FUNCTION hartonomous.validate_model_accuracy(hartonomous.regmodel, text, integer, integer, integer) IS
  'measures a revision (by default the live one) on a validation set and stores the result in validation_results; '
  'against a baseline revision also the ratio of perplexities, the KL divergence from its predictions (in nats; mean '
  'and quantiles over the tokens), the share of tokens with the same most probable prediction, and what happens to the '
  'probability p of the token that follows: mean and root mean square of its change delta_p, correlation of log p; '
  'against a baseline with another vocabulary only perplexities, of the whole text per token of the baseline; '
  'columns named _error are standard errors; 42704 if there is no such model or set; other errors as perplexity()';

-- The function is passed by the caller in this call; nothing that is stored in a table is ever executed.
CREATE FUNCTION hartonomous.validate_model_accuracy(model hartonomous.regmodel, evaluator regprocedure)
  RETURNS TABLE (revision_id integer, score double precision, seconds double precision, result_id bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  started timestamptz := clock_timestamp();
  measured integer := hartonomous_internal.current_revision(model);
  result double precision;
BEGIN
  EXECUTE format('SELECT %s($1::integer)', hartonomous_internal.evaluator_name(evaluator)) INTO STRICT result
    USING model;
  revision_id := measured;
  score := result;
  seconds := extract(epoch FROM clock_timestamp() - started);
  result_id := hartonomous_internal.add_score(model, measured, evaluator::text, result, seconds);
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hartonomous.validate_model_accuracy(hartonomous.regmodel, regprocedure) IS
  'measures the live revision of any network by a function of your own, (model integer) -> double precision, which is '
  'called with search_path pg_catalog, and stores the result in validation_results; 42883 if it is not such a function';

CREATE FUNCTION hartonomous.record_usage(model hartonomous.regmodel, text text, n_ctx integer DEFAULT NULL)
  RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  recorded bigint;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    INSERT INTO hartonomous.atom_usage_stats AS s
      (model_id, tensor_atom_id, usage_count, last_used, mean_energy)
    SELECT $1, a.tensor_atom_id, used.usage_count, clock_timestamp(), used.energy
      FROM hartonomous_internal.measure_usage($1, $2, $3) u
      CROSS JOIN LATERAL unnest(u.usage_counts, u.energies) WITH ORDINALITY used (usage_count, energy, n)
      JOIN hartonomous.tensor_atoms a
        ON a.model_id = $1 AND a.layer_id = u.layer_id AND a.atom_sequence = used.n - 1
     WHERE used.usage_count > 0
    ON CONFLICT (model_id, tensor_atom_id) DO UPDATE
      SET mean_energy = (s.mean_energy * s.usage_count + excluded.mean_energy * excluded.usage_count)
                        / (s.usage_count + excluded.usage_count),
          usage_count = s.usage_count + excluded.usage_count, last_used = excluded.last_used$sql$)
    USING model, text, n_ctx;
  GET DIAGNOSTICS recorded = ROW_COUNT;
  RETURN recorded;
END
$$;
COMMENT ON FUNCTION hartonomous.record_usage(hartonomous.regmodel, text, integer) IS
  'runs a text through the live revision and adds to atom_usage_stats for each atom of a matrix the number of tokens '
  'it took part in and its mean energy (vectors take part in everything); returns the number of atoms; windows as in '
  'score_tokens(); errors as perplexity()';

CREATE FUNCTION hartonomous.release_model_cache() RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1;
COMMENT ON FUNCTION hartonomous.release_model_cache() IS
  'frees the tensors that this session has cached (hartonomous.model_cache_size); returns the bytes freed';
