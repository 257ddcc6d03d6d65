-- What the functions of api/sensitivity.sql and api/allocation.sql are made of: measuring the sensitivity of tensors,
-- and the formats that they may get.

CREATE FUNCTION hartonomous_internal.format_errors(model integer, revision integer, calibrated_revision integer,
    calibration_set text, tensor text, formats text[], method text)
  RETURNS TABLE (format text, relative_error double precision)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000 ROWS 15
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.format_errors(integer, integer, integer, text, text, text[], text) IS
  'for each format the error of a tensor of a revision relative to its weights W, tr(D G D^T) / tr(W G W^T), where D '
  'is what quantizing changes and G the Gram matrix that was collected for calibrated_revision, or else its diagonal; '
  'without statistics G is the identity, or for the embedding of tokens that of the matrices that read it; '
  'hessian without a Gram matrix is imatrix; Infinity if the format cannot hold '
  'the weights; method as in '
  'quantize_model(); 22023 if a format cannot be written, 42704 if there is no such tensor, 55000 '
  'if the statistics are damaged, 53200 beyond hartonomous.max_work_memory';

CREATE FUNCTION hartonomous_internal.probe_tensor(model integer, revision integer, calibrated_revision integer,
    calibration_set text, text text, tensor text, format text, tokens integer, by_importance boolean, keep boolean,
    OUT kl_divergence double precision, OUT kl_divergence_error double precision, OUT scored bigint)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.probe_tensor(integer, integer, integer, text, text, text, text, integer,
  boolean, boolean) IS
  'the mean KL divergence from the predictions of a revision of the same with one tensor in a format, over the first '
  'tokens of a text, in windows of at most 512; with keep, the session keeps the states of the revision for the next '
  'call, which is fast for a tensor of the same or a later block; 22023 for fewer than two tokens, 53200 beyond '
  'hartonomous.max_work_memory; other errors as perplexity()';

CREATE FUNCTION hartonomous_internal.allocate_bits(tensors integer[], bytes bigint[], costs double precision[],
    budget bigint, OUT chosen integer[], OUT chosen_bytes bigint, OUT cost double precision,
    OUT lower_bound double precision)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.allocate_bits(integer[], bigint[], double precision[], bigint) IS
  'chooses one of the options of each tensor (consecutive ones with the same number) so that their costs are least and '
  'their bytes do not exceed a budget: positions of the chosen ones from 1, their bytes and cost, and a lower bound of '
  'the cost of any choice, which is the cost itself if that was found to be the least; 22023 if the smallest options '
  'exceed the budget, or a cost is not finite, 2202E if the arrays differ in length, 22004 on NULL';

CREATE FUNCTION hartonomous_internal.file_bytes(format text, row_length bigint, row_count bigint) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN (hartonomous_internal.format_bytes(format, row_length) * row_count + 31) / 32 * 32;
COMMENT ON FUNCTION hartonomous_internal.file_bytes(text, bigint, bigint) IS
  'number of bytes that a matrix takes in a GGUF file, rounded up to a multiple of 32; NULL if there is no such format';

CREATE FUNCTION hartonomous_internal.allocatable_tensors(model integer)
  RETURNS TABLE (layer_id bigint, layer_name text, ordinal bigint, run bigint, row_length bigint, row_count bigint,
                 present_format text, bytes bigint, kept text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  container text;
BEGIN
  SELECT m.metadata ->> 'format' INTO container FROM hartonomous.models m WHERE m.model_id = model;
  -- The embedding is used first, then the blocks in their order, then the rest.
  RETURN QUERY
    SELECT e.layer_id, e.layer_name,
           row_number() OVER (ORDER BY hartonomous_internal.tensor_role(e.layer_name) <> 'token_embedding',
                                       l.layer_idx < 0, l.layer_idx, e.position),
           gcd(w.run, shape.columns), shape.columns, e.parameter_count / greatest(shape.columns, 1), e.storage_format,
           hartonomous_internal.file_bytes(e.storage_format, shape.columns,
             e.parameter_count / greatest(shape.columns, 1)),
           coalesce(w.kept, CASE WHEN e.present_format IS NULL THEN 'empty' WHEN f.layer_id IS NOT NULL THEN 'factored'
                                 WHEN e.present_format NOT IN ('F32', 'F16', 'BF16') THEN 'quantized already' END)
      FROM hartonomous.export_plan(model) e
      JOIN hartonomous.model_layers l USING (layer_id)
      JOIN hartonomous_internal.wanted_formats(model, '%', container, NULL, 'F32', NULL, false) w USING (layer_id)
      CROSS JOIN LATERAL (
        SELECT coalesce(e.tensor_shape[cardinality(e.tensor_shape)], e.row_length) AS columns) shape
      LEFT JOIN (SELECT DISTINCT s.layer_id
                   FROM hartonomous_internal.stored_forms(model, hartonomous_internal.live_base(model)) s) f
        ON f.layer_id = e.layer_id;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.allocatable_tensors(integer) IS
  'the tensors of a model in the order in which they are used: how many weights lie in one run, the format and bytes '
  'that an export writes now, and why no other format is chosen for them (NULL: one may be)';

CREATE FUNCTION hartonomous_internal.format_choices(model integer, formats text[])
  RETURNS TABLE (layer_id bigint, format text, bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 3000
  SET search_path = pg_catalog, pg_temp
  SET jit = off
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT t.layer_id, f.format, b.bytes
      FROM hartonomous_internal.allocatable_tensors(model) t CROSS JOIN hartonomous.formats() f
      CROSS JOIN LATERAL (
        SELECT hartonomous_internal.file_bytes(f.format, t.row_length, t.row_count) AS bytes) b
     WHERE t.kept IS NULL AND f.writable AND f.format = ANY (formats) AND b.bytes < t.bytes
       AND hartonomous_internal.fitting_format(f.format, t.run) = f.format;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.format_choices(integer, text[]) IS
  'which of the formats each tensor could get: those of which its rows are whole blocks, and in which it has fewer '
  'bytes than now';

CREATE FUNCTION hartonomous_internal.formats_named(formats text[]) RETURNS text[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  unknown text;
BEGIN
  SELECT coalesce(f, 'NULL') INTO unknown FROM unnest(formats) f
   WHERE NOT EXISTS (SELECT FROM hartonomous.formats() k WHERE k.writable AND k.format = upper(f)) LIMIT 1;
  IF unknown IS NOT NULL OR formats = '{}' THEN
    PERFORM hartonomous_internal.raise_error('22023',
      CASE WHEN unknown IS NULL THEN 'formats is empty' ELSE format('format "%s" cannot be written', unknown) END,
      hint => 'SELECT format FROM hartonomous.formats() WHERE writable;');
  END IF;
  RETURN ARRAY(SELECT k.format FROM hartonomous.formats() k
                WHERE k.writable AND CASE WHEN formats IS NULL THEN k.format !~ '^IQ[123]_'
                                          ELSE k.format IN (SELECT upper(f) FROM unnest(formats) f) END);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.formats_named(text[]) IS
  'names of formats in upper case, by default all that can be written but IQ1, IQ2 and IQ3; 22023 if one cannot be, or '
  'if there are none';

CREATE TYPE hartonomous_internal.sensitivity_task AS (
  layer_id bigint, layer_name text, method text, formats text[], probe_format text
);
COMMENT ON TYPE hartonomous_internal.sensitivity_task IS
  'something to be measured of a tensor: its errors in several formats, or the divergence with it in one format';

CREATE FUNCTION hartonomous_internal.sensitivity_revision(model integer, calibration_set text) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live integer := hartonomous_internal.current_revision(model);
  calibrated integer := hartonomous_internal.calibrated_revision(model, live, calibration_set);
BEGIN
  IF NOT EXISTS (SELECT FROM hartonomous.calibration_sets s
                     WHERE s.calibration_set = sensitivity_revision.calibration_set) THEN
    PERFORM hartonomous_internal.raise_error('42704',
      format('calibration set "%s" does not exist', coalesce(sensitivity_revision.calibration_set, 'NULL')),
      hint => 'SELECT hartonomous.add_calibration_set(name, text);');
  ELSIF calibrated IS NULL THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('revision %s of model "%s" has not been calibrated on "%s"', live, model::hartonomous.regmodel,
             calibration_set),
      hint => format('CALL hartonomous.collect_calibration(%L, %L);', model::hartonomous.regmodel, calibration_set));
  END IF;
  RETURN calibrated;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.sensitivity_revision(integer, text) IS
  'the revision whose statistics apply to the live one; 42704 if there is no such model or set, 55000 if there are no '
  'statistics';

CREATE FUNCTION hartonomous_internal.sensitivity_method(model integer, calibration_set text, method text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  calibrated integer := hartonomous_internal.sensitivity_revision(model, calibration_set);
BEGIN
  PERFORM hartonomous_internal.check_quantize_method(method, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
  RETURN hartonomous_internal.calibrated_method(model, calibration_set, calibrated, method);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.sensitivity_method(integer, text, text) IS
  'the method of quantizing whose errors are meant, as calibrated_method() tells; 22023 if there is none of this name; '
  'other errors as sensitivity_revision() and calibrated_method()';

CREATE FUNCTION hartonomous_internal.probe_method(method text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE method WHEN 'hessian' THEN 'imatrix' ELSE method END;
COMMENT ON FUNCTION hartonomous_internal.probe_method(text) IS
  'the method by which a matrix is quantized for a probe: a divergence in proportion to the error is the same for any '
  'method, so that the slow one is not needed';

CREATE FUNCTION hartonomous_internal.plan_sensitivity(model integer, calibration_set text, method text,
    formats text[], probe_format text, probe_tokens integer)
  RETURNS hartonomous_internal.sensitivity_task[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  live integer := hartonomous_internal.current_revision(model);
  named text[] := hartonomous_internal.formats_named(formats);
  low text := (hartonomous_internal.formats_named(ARRAY[probe_format]))[1];
  probes text := hartonomous_internal.probe_method(method);
BEGIN
  IF (probe_tokens >= 2) IS NOT TRUE THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('probe_tokens must be at least 2, not %s', coalesce(probe_tokens::text, 'NULL')));
  ELSIF (SELECT s.text IS NULL FROM hartonomous.calibration_sets s
          WHERE s.calibration_set = plan_sensitivity.calibration_set) THEN
    PERFORM hartonomous_internal.raise_error('22023', format('calibration set "%s" has no text', calibration_set),
      hint => 'Only its statistics were imported. Add the text as another set.');
  END IF;
  RETURN (
    WITH tensors AS (
      SELECT t.*, hartonomous_internal.fitting_format(low, t.run) AS low
        FROM hartonomous_internal.allocatable_tensors(model) t WHERE t.kept IS NULL),
    missing AS (
      SELECT t.layer_id, t.layer_name, t.ordinal, c.method, array_agg(DISTINCT c.format ORDER BY c.format) AS formats
        FROM tensors t
        JOIN (SELECT f.layer_id, f.format, plan_sensitivity.method AS method
                FROM hartonomous_internal.format_choices(model, named) f
              UNION SELECT p.layer_id, p.low, probes FROM tensors p) c ON c.layer_id = t.layer_id
       WHERE NOT EXISTS (
         SELECT FROM hartonomous.sensitivities s
          WHERE s.model_id = model AND s.revision_id = live AND s.method = c.method
            AND s.calibration_set = plan_sensitivity.calibration_set AND s.layer_id = c.layer_id
            AND s.format = c.format)
       GROUP BY t.layer_id, t.layer_name, t.ordinal, c.method)
    SELECT coalesce(array_agg(ROW(w.layer_id, w.layer_name, w.method, w.formats, w.low)
                              ::hartonomous_internal.sensitivity_task
                              ORDER BY w.n, w.ordinal, w.method), '{}')
      FROM (SELECT 1 AS n, m.layer_id, m.layer_name, m.ordinal, m.method, m.formats, NULL AS low FROM missing m
            UNION ALL
            SELECT 2, t.layer_id, t.layer_name, t.ordinal, probes, NULL, t.low FROM tensors t
             WHERE NOT EXISTS (
               SELECT FROM hartonomous.sensitivity_probes p
                WHERE p.model_id = model AND p.revision_id = live AND p.method = probes
                  AND p.calibration_set = plan_sensitivity.calibration_set AND p.layer_id = t.layer_id)) w);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.plan_sensitivity(integer, text, text, text[], text, integer) IS
  'what measure_sensitivity() has still to measure by a method, in this order; errors as measure_sensitivity()';

CREATE FUNCTION hartonomous_internal.carry_out(task hartonomous_internal.sensitivity_task, model integer,
    calibration_set text, probe_tokens integer, keep boolean) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live integer := hartonomous_internal.current_revision(model);
  calibrated integer := hartonomous_internal.sensitivity_revision(model, calibration_set);
  started timestamptz := clock_timestamp();
BEGIN
  IF task.probe_format IS NULL THEN
    INSERT INTO hartonomous.sensitivities
        (model_id, revision_id, calibration_set, layer_id, method, format, relative_error, seconds)
      SELECT model, live, carry_out.calibration_set, task.layer_id, task.method, e.format, e.relative_error,
             extract(epoch FROM clock_timestamp() - started) / count(*) OVER ()
        FROM hartonomous_internal.format_errors(model, live, calibrated, carry_out.calibration_set, task.layer_name,
               task.formats, task.method) e
      ON CONFLICT DO NOTHING;
  ELSE
    INSERT INTO hartonomous.sensitivity_probes
        (model_id, revision_id, calibration_set, layer_id, method, format, tokens, kl_divergence,
         kl_divergence_error, seconds)
      SELECT model, live, s.calibration_set, task.layer_id, task.method, task.probe_format, p.scored,
             p.kl_divergence, p.kl_divergence_error, extract(epoch FROM clock_timestamp() - started)
        FROM hartonomous.calibration_sets s
        CROSS JOIN LATERAL hartonomous_internal.probe_tensor(model, live, calibrated, s.calibration_set, s.text,
               task.layer_name, task.probe_format, probe_tokens, task.method = 'imatrix', keep) p
       WHERE s.calibration_set = carry_out.calibration_set
      ON CONFLICT DO NOTHING;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.carry_out(hartonomous_internal.sensitivity_task, integer, text, integer,
  boolean) IS
  'measures what a task says and stores it; with keep, another probe follows';

CREATE FUNCTION hartonomous_internal.report_sensitivity(model integer, tasks hartonomous_internal.sensitivity_task[],
    done integer, started timestamptz, told timestamptz) RETURNS timestamptz
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  probes bigint := (SELECT count(*) FROM unnest(tasks) t WHERE t.probe_format IS NOT NULL);
  seconds double precision := extract(epoch FROM clock_timestamp() - started);
BEGIN
  IF done = cardinality(tasks) THEN
    RAISE NOTICE '%', CASE WHEN done = 0 THEN
        format('the sensitivity of model "%s" has been measured before: nothing done', model::hartonomous.regmodel)
      ELSE format('measured errors of %s and probed %s tensors of model "%s", %s s', done - probes, probes,
                  model::hartonomous.regmodel, round(seconds::numeric, 1)) END;
  ELSIF clock_timestamp() - told > interval '10 seconds' THEN
    RAISE NOTICE 'measured % of % tasks, % s left', done, cardinality(tasks),
      round((seconds / done * (cardinality(tasks) - done))::numeric);
    RETURN clock_timestamp();
  END IF;
  RETURN told;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_sensitivity(integer, hartonomous_internal.sensitivity_task[], integer,
  timestamptz, timestamptz) IS
  'reports by NOTICE that measure_sensitivity() is done, or how far it is if the last report is ten seconds old; '
  'returns the time of the last report';
