-- Calibration: what the inputs of a model's matrices are when it reads a text.

CREATE FUNCTION hartonomous.add_calibration_set(name text, text text) RETURNS bytea
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  hash bytea;
BEGIN
  IF name IS NULL OR name = '' OR text IS NULL OR text = '' THEN
    PERFORM hartonomous_internal.raise_error('22004', 'a calibration set needs a name and a text');
  END IF;
  PERFORM hartonomous.create_store();
  PERFORM hartonomous_internal.refuse_common_passage('calibration', name, add_calibration_set.text);
  INSERT INTO hartonomous.calibration_sets (calibration_set, text) VALUES (name, add_calibration_set.text)
    ON CONFLICT (calibration_set) DO NOTHING;
  SELECT s.text_sha256 INTO STRICT hash FROM hartonomous.calibration_sets s WHERE s.calibration_set = name;
  -- Statistics of different texts under the same name could not be told apart.
  IF hash IS DISTINCT FROM hartonomous_internal.text_sha256(add_calibration_set.text) THEN
    PERFORM hartonomous_internal.raise_error('42710',
      format('calibration set "%s" already exists with another text', name),
      hint => 'Choose another name, or DELETE it, with its statistics, from hartonomous.calibration_sets.');
  END IF;
  RETURN hash;
END
$$;
COMMENT ON FUNCTION hartonomous.add_calibration_set(text, text) IS
  'stores a text to calibrate models on; returns its SHA-256; 42710 if that name has another text, 22004 if the text '
  'is empty, 22023 if it has a passage in common with a validation set';

-- After a cancel or crash the statistics of the blocks that were committed remain, and the same call continues after
-- them; inside a transaction block nothing is committed. A second caller waits for the model's lock or, with nowait,
-- fails with 55P03.
CREATE PROCEDURE hartonomous.collect_calibration(model hartonomous.regmodel, calibration_set text,
    max_tokens integer DEFAULT NULL, statistics text DEFAULT 'gram', revision integer DEFAULT NULL,
    n_ctx integer DEFAULT NULL, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits boolean := hartonomous_internal.can_commit();
  started pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  target integer;
  size integer;
  steps integer[];
  next_step integer;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.lock_model(model, nowait, commits);
  SELECT p.used_revision, p.used_n_ctx, p.tokens, p.steps INTO STRICT target, n_ctx, size, steps
    FROM hartonomous_internal.plan_calibration(model, calibration_set, max_tokens, statistics, revision, n_ctx) p;
  FOREACH next_step IN ARRAY steps LOOP
    PERFORM hartonomous_internal.collect_calibration_step(model, target, n_ctx, s.text, size, s.calibration_set,
                                                          statistics, steps, next_step)
       FROM hartonomous.calibration_sets s
      WHERE s.calibration_set OPERATOR(pg_catalog.=) collect_calibration.calibration_set;
    IF commits THEN
      COMMIT;
    END IF;
  END LOOP;
  PERFORM hartonomous_internal.report_calibration(model, calibration_set, target, size, steps, started);
  IF commits THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.collect_calibration(hartonomous.regmodel, text, integer, text, integer, integer,
  boolean) IS
  'runs a calibration set through a revision of a model (by default the live one) and stores what the inputs of its '
  'matrices are: sums of squares and, with statistics ''gram'', Gram matrices; block by block, committing each outside '
  'a transaction block, so that the same call continues one that was stopped; windows of n_ctx tokens (as in '
  'perplexity()) follow each other, and all of the first max_tokens tokens count; replaces statistics of the same set '
  'and revision that are of other tokens; 42704 if there is no such model or set, 55000 if an input is not finite, '
  '53200 if the states of the tokens do not fit into hartonomous.max_work_memory; other errors as perplexity()';
