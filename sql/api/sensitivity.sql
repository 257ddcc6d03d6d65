-- Sensitivity: how much a model loses if one of its tensors is quantized.

-- After a cancel or crash what was committed remains, and the same call continues after it; inside a transaction block
-- nothing is committed. A second caller waits for the model's lock or, with nowait, fails with 55P03.
CREATE PROCEDURE hartonomous.measure_sensitivity(model hartonomous.regmodel, calibration_set text,
    method text DEFAULT NULL, formats pg_catalog.text[] DEFAULT NULL, probe_format text DEFAULT 'Q3_K',
    probe_tokens integer DEFAULT 2048, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits boolean := hartonomous_internal.can_commit();
  started pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  told pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  done integer := 0;
  tasks hartonomous_internal.sensitivity_task[];
  task hartonomous_internal.sensitivity_task;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.lock_model(model, nowait, commits);
  method := hartonomous_internal.sensitivity_method(model, calibration_set, method);
  tasks := hartonomous_internal.plan_sensitivity(model, calibration_set, method, formats, probe_format, probe_tokens);
  FOREACH task IN ARRAY tasks LOOP
    done := done OPERATOR(pg_catalog.+) 1;
    PERFORM hartonomous_internal.carry_out(task, model, calibration_set, probe_tokens,
      done OPERATOR(pg_catalog.<) pg_catalog.cardinality(tasks));
    told := hartonomous_internal.report_sensitivity(model, tasks, done, started, told);
    IF commits THEN
      COMMIT;
    END IF;
  END LOOP;
  IF done OPERATOR(pg_catalog.=) 0 THEN
    PERFORM hartonomous_internal.report_sensitivity(model, tasks, 0, started, told);
  END IF;
  IF commits THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.measure_sensitivity(hartonomous.regmodel, text, text, text[], text, integer,
  boolean) IS
  'measures, and stores in sensitivities and sensitivity_probes, how much the live revision of a model loses if one of '
  'its matrices is quantized: for each format (by default all that can be written but IQ1, IQ2 and IQ3) the error '
  'relative to the weights '
  'on the inputs of a calibration set; and once, with the matrix in probe_format or its fallback, the KL divergence on '
  'the first probe_tokens tokens of the set; method is one of those of quantize_model(), by default hessian if the set '
  'has Gram matrices and otherwise imatrix; nothing is measured twice; commits each tensor outside a transaction '
  'block; 42704 if '
  'there is no such model or set, 55000 if the revision was not calibrated on it, 22023 if a format cannot be written, '
  'there is no such method, or the set has no text; other errors as perplexity()';

CREATE FUNCTION hartonomous.sensitivity(model hartonomous.regmodel, calibration_set text,
    method text DEFAULT NULL)
  RETURNS TABLE (layer_name text, format text, bytes bigint, relative_error double precision,
                 predicted_kl_divergence double precision, probe_format text, probe_kl_divergence double precision,
                 probe_kl_divergence_error double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 3000
  SET search_path = pg_catalog, pg_temp
  SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  live integer := hartonomous_internal.current_revision(model);
  measured text := hartonomous_internal.sensitivity_method(model, calibration_set, method);
  probes text := hartonomous_internal.probe_method(measured);
BEGIN
  RETURN QUERY
    SELECT t.layer_name, s.format, hartonomous_internal.file_bytes(s.format, t.row_length, t.row_count),
           s.relative_error,
           CASE WHEN e.relative_error > 0 THEN greatest(p.kl_divergence, 0) / e.relative_error * s.relative_error
                WHEN e.relative_error = 0 THEN 0 END,
           p.format, p.kl_divergence, p.kl_divergence_error
      FROM hartonomous_internal.allocatable_tensors(model) t
      JOIN hartonomous.sensitivities s ON s.layer_id = t.layer_id AND s.model_id = model AND s.revision_id = live
       AND s.calibration_set = sensitivity.calibration_set AND s.method = measured
      LEFT JOIN hartonomous.sensitivity_probes p ON p.layer_id = t.layer_id AND p.model_id = model
       AND p.revision_id = live AND p.calibration_set = sensitivity.calibration_set AND p.method = probes
      LEFT JOIN hartonomous.sensitivities e ON e.layer_id = t.layer_id AND e.model_id = model AND e.revision_id = live
       AND e.calibration_set = sensitivity.calibration_set AND e.method = probes AND e.format = p.format
     ORDER BY t.ordinal, 3, s.format;
END
$$;
COMMENT ON FUNCTION hartonomous.sensitivity(hartonomous.regmodel, text, text) IS
  'what measure_sensitivity() has measured of the live revision by a method, with the same default: for each matrix '
  'and format its bytes in a GGUF file, '
  'the relative error, and the KL divergence that follows from it and from the probe of the matrix: that of the probe '
  'times the ratio of the errors (NULL without a probe); errors as measure_sensitivity()';
