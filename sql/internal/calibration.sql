-- Keeps the texts to which models are fitted apart from those on which they are measured; calibration step by step.

CREATE FUNCTION hartonomous_internal.common_passage(a text, b text, OUT first_a integer, OUT first_b integer,
                                                    OUT bytes bigint)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous_internal.common_passage(text, text) IS
  'where a passage that two texts have in common begins in each, in characters from 1, and how many bytes it has; NULL '
  'if none is found: one of 511 bytes or more always is, one of less than 256 bytes only if it is both texts '
  '(docs/manual/calibrate.md); 53200 if the search needs more than hartonomous.max_work_memory';

-- One at a time, because two sessions that add the same text to both tables would not see each other's row.
CREATE FUNCTION hartonomous_internal.refuse_common_passage(kind text, name text, text text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  other record;
  shared record;
BEGIN
  PERFORM pg_advisory_xact_lock('hartonomous'::regnamespace::oid::int, 1);
  FOR other IN
    SELECT 'validation' AS kind, s.validation_set AS name, s.text
      FROM hartonomous.validation_sets s WHERE refuse_common_passage.kind = 'calibration'
    UNION ALL
    SELECT 'calibration', s.calibration_set, s.text
      FROM hartonomous.calibration_sets s WHERE refuse_common_passage.kind = 'validation'
  LOOP
    SELECT * INTO shared FROM hartonomous_internal.common_passage(refuse_common_passage.text, other.text);
    IF shared.bytes IS NOT NULL THEN
      PERFORM hartonomous_internal.raise_error('22023',
        format('%s set "%s" has a passage in common with %s set "%s"', refuse_common_passage.kind,
               refuse_common_passage.name, other.kind, other.name),
        detail => format('The passage has %s bytes and begins at character %s of the one and %s of the other: "%s".',
                         shared.bytes, shared.first_a, shared.first_b,
                         substr(refuse_common_passage.text, shared.first_a, 60)),
        hint => 'Texts on which a model is measured must not be those to which it is fitted: leave the passage out of '
                'one of them.');
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.refuse_common_passage(text, text, text) IS
  '22023 if a text, to be added as a ''calibration'' or a ''validation'' set, has a passage in common with a set of '
  'the other kind; other sessions that add sets wait until the end of the transaction';

CREATE FUNCTION hartonomous_internal.calibration_inputs(model integer, revision integer, n_ctx integer, text text,
    max_tokens integer)
  RETURNS TABLE (step integer, layer_id bigint, gram_layer_id bigint, columns integer, experts integer,
                 used_n_ctx integer, tokens bigint)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.calibration_inputs(integer, integer, integer, text, integer) IS
  'one row per matrix that has an input: the step in which it is collected (the block, or their number for the output '
  'matrix), the first tensor with the same input, and the size of the calibration: tokens in a window and in total; '
  'errors as perplexity()';

CREATE FUNCTION hartonomous_internal.collect_calibration_step(model integer, revision integer, n_ctx integer,
    text text, tokens integer, calibration_set text, statistics text, steps integer[], step integer) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.collect_calibration_step(integer, integer, integer, text, integer, text, text,
  integer[], integer) IS
  'collects and stores the statistics of one of the ascending steps that a calibration consists of; between them the '
  'session keeps the state of the tokens, so that a step that does not follow another one begins with the text again; '
  '53200 if a step does not fit into hartonomous.max_work_memory, 55000 if an input is not finite';

CREATE FUNCTION hartonomous_internal.add_input_statistics(model integer, revision integer, calibration_set text,
    layer bigint, gram_layer bigint, n_ctx integer, tokens bigint, token_counts bigint[],
    sums_of_squares hartonomous.weights, router_weighted_norms double precision[]) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  DELETE FROM hartonomous.calibration_stats s
   WHERE s.model_id = model AND s.calibration_set = add_input_statistics.calibration_set AND s.revision_id = revision
     AND s.layer_id = layer;
  INSERT INTO hartonomous.calibration_stats
      (model_id, revision_id, calibration_set, layer_id, text_sha256, n_ctx, tokens, columns, experts, token_counts,
       sums_of_squares, router_weighted_norms, gram_layer_id)
    SELECT model, revision, s.calibration_set, layer, s.text_sha256, add_input_statistics.n_ctx,
           add_input_statistics.tokens,
           hartonomous.weights_count(add_input_statistics.sums_of_squares)
             / cardinality(add_input_statistics.token_counts),
           cardinality(add_input_statistics.token_counts), add_input_statistics.token_counts,
           add_input_statistics.sums_of_squares, nullif(add_input_statistics.router_weighted_norms, '{}'),
           nullif(gram_layer, 0)
      FROM hartonomous.calibration_sets s WHERE s.calibration_set = add_input_statistics.calibration_set;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.add_input_statistics(integer, integer, text, bigint, bigint, integer, bigint,
  bigint[], hartonomous.weights, double precision[]) IS
  'stores the statistics of a tensor''s input in place of those that there were, whose Gram matrix is deleted; '
  'gram_layer 0 stands for none, and so do no norms';

CREATE FUNCTION hartonomous_internal.add_gram_panel(model integer, revision integer, calibration_set text,
    layer bigint, of_gradients boolean, expert integer, first_column integer, gram bytea) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  INSERT INTO hartonomous.calibration_grams
      (model_id, revision_id, calibration_set, layer_id, of_gradients, expert, first_column, gram)
    VALUES (model, revision, add_gram_panel.calibration_set, layer, add_gram_panel.of_gradients, add_gram_panel.expert,
            add_gram_panel.first_column, add_gram_panel.gram);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.add_gram_panel(integer, integer, text, bigint, boolean, integer, integer,
  bytea) IS
  'stores some rows of the Gram matrix of a tensor''s inputs, or of the gradients by its outputs';

CREATE FUNCTION hartonomous_internal.gram_matrix(model integer, tensor text, calibration_set text, revision integer,
    expert integer DEFAULT 0, of_gradients boolean DEFAULT false) RETURNS real[]
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.gram_matrix(integer, text, text, integer, integer, boolean) IS
  'the upper triangle of the Gram matrix of a tensor''s input, or of the gradients by its output, row after row, each '
  'from the diagonal on; zeros for an expert that no token chose; NULL if there is none; 42704 if there is no such '
  'tensor, 22023 no such expert, 55000 if '
  'what is stored is damaged, 53200 beyond hartonomous.max_work_memory';

-- Operations that leave all weights as they are: a revision made by these alone runs like its parent.
CREATE FUNCTION hartonomous_internal.keeps_weights(revision integer) RETURNS boolean
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN EXISTS (SELECT FROM hartonomous.model_revisions r WHERE r.revision_id = revision AND r.kind = 'copy')
      OR EXISTS (
        SELECT FROM hartonomous.compression_runs c
          JOIN hartonomous.model_revisions r ON r.revision_id = c.revision_id
          JOIN hartonomous.model_revisions p ON p.revision_id = r.parent_revision_id
         WHERE c.revision_id = revision AND c.state = 'completed'
           AND r.structure_id IS NOT DISTINCT FROM p.structure_id AND NOT EXISTS (
           SELECT FROM hartonomous.compression_steps s
            WHERE s.run_id = c.run_id AND s.operation <> ALL (ARRAY['copy', 'encode_geometry', 'score'])));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.keeps_weights(integer) IS
  'whether a revision has the weights of its parent: it is a copy, or only positions and importance were changed';

CREATE FUNCTION hartonomous_internal.calibrated_revision(model integer, revision integer, calibration_set text)
  RETURNS integer
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  -- UNION, not UNION ALL, ends where parents form a cycle.
  RETURN (WITH RECURSIVE revisions (revision_id, keeps, parent_revision_id) AS MATERIALIZED (
            SELECT r.revision_id, hartonomous_internal.keeps_weights(r.revision_id), r.parent_revision_id
              FROM hartonomous.model_revisions r WHERE r.model_id = model),
          same (revision_id, keeps, parent_revision_id) AS (
            SELECT r.revision_id, r.keeps, r.parent_revision_id FROM revisions r WHERE r.revision_id = revision
            UNION
            SELECT r.revision_id, r.keeps, r.parent_revision_id
              FROM same JOIN revisions r ON same.keeps AND r.revision_id = same.parent_revision_id
                                         OR r.keeps AND r.parent_revision_id = same.revision_id)
          SELECT s.revision_id FROM same s
           WHERE EXISTS (SELECT FROM hartonomous.calibration_stats c
                          WHERE c.model_id = model AND c.revision_id = s.revision_id
                            AND c.calibration_set = calibrated_revision.calibration_set)
           ORDER BY s.revision_id <> revision, s.revision_id DESC LIMIT 1);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.calibrated_revision(integer, integer, text) IS
  'the revision whose statistics are those of the given one: itself, or one that has the same weights; NULL if there '
  'are none';

CREATE FUNCTION hartonomous_internal.plan_calibration(model integer, calibration_set text, max_tokens integer,
    statistics text, revision integer, n_ctx integer)
  RETURNS TABLE (used_revision integer, used_n_ctx integer, tokens integer, steps integer[])
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  source hartonomous.calibration_sets;
  fisher constant boolean := coalesce(plan_calibration.statistics = 'fisher', false);
  most_experts integer;
  target integer := coalesce(plan_calibration.revision, hartonomous_internal.current_revision(model));
BEGIN
  IF plan_calibration.statistics IS NULL OR plan_calibration.statistics NOT IN ('gram', 'diagonal', 'fisher') THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('unknown statistics "%s"', coalesce(plan_calibration.statistics, 'NULL')),
      hint => 'Statistics are "gram", "diagonal" and "fisher".');
  ELSIF plan_calibration.max_tokens < 1 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('max_tokens must be at least 1, not %s', plan_calibration.max_tokens));
  END IF;
  SELECT * INTO source FROM hartonomous.calibration_sets s
   WHERE s.calibration_set = plan_calibration.calibration_set;
  IF source.calibration_set IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704',
      format('calibration set "%s" does not exist', coalesce(plan_calibration.calibration_set, 'NULL')),
      hint => 'SELECT hartonomous.add_calibration_set(name, text);');
  ELSIF source.text IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('calibration set "%s" has no text', source.calibration_set),
      hint => 'Only its statistics were imported. Add the text as another set.');
  END IF;
  -- What a stopped call has stored is kept; so is a Gram matrix, whose diagonal is what 'diagonal' asks for. Steps for
  -- gradients follow the others, from the last block on.
  WITH inputs AS MATERIALIZED (
    SELECT i.*, s.layer_id IS NULL AS missing, s.layer_id IS NULL OR NOT EXISTS (
             SELECT FROM hartonomous.calibration_grams g
              WHERE g.model_id = model AND g.calibration_set = source.calibration_set AND g.revision_id = target
                AND g.layer_id = i.layer_id AND g.of_gradients) AS lacks_gradients, max(i.step) OVER () AS blocks
      FROM hartonomous_internal.calibration_inputs(model, target, plan_calibration.n_ctx, source.text,
                                                   plan_calibration.max_tokens) i
      LEFT JOIN hartonomous.calibration_stats s
        ON s.model_id = model AND s.calibration_set = source.calibration_set AND s.revision_id = target
       AND s.layer_id = i.layer_id AND s.tokens = i.tokens AND s.n_ctx = i.used_n_ctx
       AND s.text_sha256 = source.text_sha256
       AND (s.gram_layer_id IS NOT NULL OR plan_calibration.statistics = 'diagonal'))
  SELECT target, min(i.used_n_ctx), min(i.tokens)::integer, max(i.experts),
         ARRAY(SELECT j.step FROM inputs j WHERE j.missing
               UNION SELECT 2 * j.blocks - j.step FROM inputs j
                      WHERE fisher AND j.lacks_gradients AND j.step < j.blocks ORDER BY 1)
    INTO used_revision, used_n_ctx, tokens, most_experts, steps FROM inputs i;
  IF fisher AND most_experts > 1 THEN
    PERFORM hartonomous_internal.raise_error('0A000', 'gradients of a model with experts cannot be computed',
      hint => 'Collect statistics => ''gram''.');
  END IF;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_calibration(integer, text, integer, text, integer, integer) IS
  'what a call of collect_calibration() has to do: the revision, tokens in a window and in total, and the steps whose '
  'statistics are not stored yet; 0A000 for gradients of a model with experts, 42704 if there is no such model or set, '
  '22023 if the set has no text or an argument '
  'is invalid; other errors as perplexity()';

CREATE FUNCTION hartonomous_internal.report_calibration(model integer, calibration_set text, revision integer,
    tokens integer, steps integer[], started timestamptz) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  n record;
BEGIN
  IF cardinality(steps) = 0 THEN
    RAISE NOTICE 'revision % of model "%" has been calibrated on % tokens of "%" before: nothing done', revision,
      model::hartonomous.regmodel, tokens, calibration_set;
    RETURN;
  END IF;
  SELECT count(*) AS tensors, count(*) FILTER (WHERE s.gram_layer_id = s.layer_id) AS grams,
         (SELECT count(DISTINCT g.layer_id) FROM hartonomous.calibration_grams g
           WHERE g.model_id = model AND g.calibration_set = report_calibration.calibration_set
             AND g.revision_id = revision AND g.of_gradients) AS gradients,
         (SELECT coalesce(sum(octet_length(g.gram)), 0) FROM hartonomous.calibration_grams g
           WHERE g.model_id = model AND g.calibration_set = report_calibration.calibration_set
             AND g.revision_id = revision) AS bytes
    INTO n FROM hartonomous.calibration_stats s
   WHERE s.model_id = model AND s.calibration_set = report_calibration.calibration_set AND s.revision_id = revision;
  RAISE NOTICE 'calibrated revision % on % tokens of "%": inputs of % tensors, % Gram matrices% of %, % s', revision,
    tokens, calibration_set, n.tensors, n.grams,
    CASE WHEN n.gradients > 0 THEN format(' and %s of gradients', n.gradients) ELSE '' END,
    hartonomous.human_bytes(n.bytes::bigint),
    round(extract(epoch FROM clock_timestamp() - started), 1);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_calibration(integer, text, integer, integer, integer[], timestamptz) IS
  'reports what collect_calibration() did';
