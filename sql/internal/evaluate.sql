-- Stores the results of the functions of api/evaluate.sql.

CREATE FUNCTION hartonomous_internal.measure_accuracy(model integer, text text, n_ctx integer, revision integer,
    baseline_revision integer, OUT used_n_ctx integer, OUT tokens bigint, OUT perplexity double precision,
    OUT perplexity_error double precision, OUT baseline_perplexity double precision,
    OUT baseline_perplexity_error double precision, OUT perplexity_ratio double precision,
    OUT perplexity_ratio_error double precision, OUT kl_divergence double precision,
    OUT kl_divergence_error double precision, OUT same_top double precision, OUT same_top_error double precision,
    OUT delta_p double precision, OUT delta_p_error double precision, OUT delta_p_rms double precision,
    OUT delta_p_rms_error double precision, OUT kl_minimum double precision, OUT kl_median double precision,
    OUT kl_percentile_90 double precision, OUT kl_percentile_95 double precision, OUT kl_percentile_99 double precision,
    OUT kl_percentile_99_9 double precision, OUT kl_maximum double precision,
    OUT log_probability_correlation double precision)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.measure_accuracy(integer, text, integer, integer, integer) IS
  'perplexity of a revision (NULL: the live one) and, with a baseline, how much its predictions differ from that '
  'revision''s, in one pass; with another vocabulary only perplexities of the whole text, per token of the baseline; '
  'columns named _error are standard errors; memory as perplexity(), and 4 bytes per scored token; errors as '
  'perplexity()';

CREATE FUNCTION hartonomous_internal.measure_usage(model integer, text text, n_ctx integer)
  RETURNS TABLE (layer_id bigint, usage_counts integer[], energies real[])
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.measure_usage(integer, text, integer) IS
  'runs a text and returns, one row per matrix, how many tokens each of its atoms took part in and its mean energy per '
  'token, in the order of atom_sequence; errors as perplexity()';

CREATE FUNCTION hartonomous_internal.evaluator_name(evaluator regprocedure) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  callee text;
BEGIN
  SELECT format('%I.%I', n.nspname, p.proname) INTO callee
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE p.oid = evaluator AND p.prokind = 'f' AND NOT p.proretset AND p.prorettype = 'float8'::regtype
     AND p.pronargs = 1 AND p.proargtypes[0] = 'integer'::regtype;
  IF callee IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42883',
      format('%s is not a function (model integer) that returns double precision', coalesce(evaluator::text, 'NULL')),
      hint => 'For example: CREATE FUNCTION my_score(model integer) RETURNS double precision ...');
  END IF;
  RETURN callee;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.evaluator_name(regprocedure) IS
  'the quoted name of a function (model integer) -> double precision; 42883 if it is not such a function';

CREATE FUNCTION hartonomous_internal.add_score(model integer, revision integer, evaluator text, score double precision,
    seconds double precision) RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  added bigint;
BEGIN
  INSERT INTO hartonomous.validation_results AS r (model_id, revision_id, evaluator, score, seconds)
    VALUES (model, revision, add_score.evaluator, add_score.score, add_score.seconds) RETURNING r.result_id INTO added;
  RETURN added;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.add_score(integer, integer, text, double precision, double precision) IS
  'stores what an evaluator has returned for a revision; returns the number of the row';
