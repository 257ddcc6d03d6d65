-- Quantization: checks of format names, tensor shapes and column importance.

CREATE FUNCTION hartonomous_internal.column_importance_of(source regclass, model integer)
  RETURNS TABLE (layer_id bigint, column_importance real[])
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  wrong record;
  stranger text;
BEGIN
  IF source IS NULL THEN
    RETURN;
  END IF;
  EXECUTE format($sql$
    SELECT coalesce(s.layer_name, 'NULL') FROM %s s
     WHERE s.column_importance IS NOT NULL AND NOT EXISTS (
       SELECT FROM hartonomous.model_layers l WHERE l.model_id = $1 AND l.layer_name = s.layer_name)
     ORDER BY 1 LIMIT 1$sql$, source) INTO stranger USING model;
  IF stranger IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('%s names tensor "%s", which model "%s" does not have', source, stranger, model::hartonomous.regmodel),
      hint => coalesce('It has, for example, ' || hartonomous_internal.near_names(stranger,
        ARRAY(SELECT l.layer_name FROM hartonomous.model_layers l WHERE l.model_id = model)) || '.',
        'It has no tensors.'));
  END IF;
  EXECUTE format($sql$
    SELECT l.layer_name, l.row_length, cardinality(s.column_importance) AS given,
      count(*) OVER (PARTITION BY l.layer_id)
      FROM %s s JOIN hartonomous.model_layers l USING (layer_name)
     WHERE l.model_id = $1 AND s.column_importance IS NOT NULL
     ORDER BY cardinality(s.column_importance) = l.row_length, 4 DESC, l.position LIMIT 1$sql$, source)
    INTO wrong USING model;
  IF wrong.given <> wrong.row_length THEN
    PERFORM hartonomous_internal.raise_error('2202E',
      format('importance of tensor "%s" has %s numbers for %s columns',
             wrong.layer_name, wrong.given, wrong.row_length));
  ELSIF wrong.count > 1 THEN
    PERFORM hartonomous_internal.raise_error('21000',
      format('tensor "%s" occurs %s times in %s', wrong.layer_name, wrong.count, source),
      hint => 'It needs one row a tensor, with the importance of all its columns.');
  END IF;
  RETURN QUERY EXECUTE format($sql$
    SELECT l.layer_id, s.column_importance FROM %s s JOIN hartonomous.model_layers l USING (layer_name)
     WHERE l.model_id = $1 AND s.column_importance IS NOT NULL$sql$, source) USING model;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.column_importance_of(regclass, integer) IS
  'importance of the columns of a model''s tensors from a relation with layer_name text and column_importance real[] '
  '(none if it is NULL); 22023, with similar names, if it names a tensor that the model does not have, 2202E if a '
  'tensor has another number of columns, 21000 if a tensor occurs twice, 42703 without those columns';

CREATE FUNCTION hartonomous_internal.check_quantize_method(method text, calibration_set text,
    calibration_revision integer, column_importance regclass, damping double precision, sweeps integer,
    sequential boolean, curvature text) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF method <> ALL (ARRAY['plain', 'imatrix', 'hessian']) THEN
    PERFORM hartonomous_internal.raise_error('22023', format('unknown method "%s"', method),
      hint => 'Methods are "plain", "imatrix" and "hessian".');
  ELSIF calibration_set IS NULL AND calibration_revision IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', 'calibration_revision needs a calibration_set',
      hint => 'It tells which revision''s statistics of the set to use.');
  ELSIF method = 'plain' AND calibration_set IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', 'method "plain" uses no calibration set',
      hint => 'Leave out one of them.');
  ELSIF (method <> 'plain' OR calibration_set IS NOT NULL) AND column_importance IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023',
      'column_importance and a calibration set cannot be used together', hint => 'Leave out one of them.');
  ELSIF curvature NOT IN ('input', 'fisher') THEN
    PERFORM hartonomous_internal.raise_error('22023', format('unknown curvature "%s"', curvature),
      hint => 'Curvatures are "input" and "fisher".');
  ELSIF num_nonnulls(damping, sweeps, nullif(sequential, false), nullif(curvature, 'input')) > 0
    AND (coalesce(method, 'hessian') <> 'hessian'
        OR method IS NULL AND calibration_set IS NULL) THEN
    PERFORM hartonomous_internal.raise_error('22023',
      'damping, sweeps, sequential and curvature are for the method "hessian" only',
      hint => 'Leave them out.');
  ELSIF NOT (damping > 0 AND damping <= 1) THEN
    PERFORM hartonomous_internal.raise_error('22023', format('damping must be above 0 and at most 1, not %s', damping));
  ELSIF NOT sweeps BETWEEN 0 AND 100 THEN
    PERFORM hartonomous_internal.raise_error('22023', format('sweeps must be from 0 to 100, not %s', sweeps));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_quantize_method(text, text, integer, regclass, double precision,
  integer, boolean, text) IS
  '22023 if there is no such method of quantizing, or if the arguments of quantize_model() contradict each other';

-- By default a calibration set is used in the best way that its statistics allow.
CREATE FUNCTION hartonomous_internal.calibrated_method(model integer, calibration_set text, revision integer,
    method text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  grams constant boolean := EXISTS (
    SELECT FROM hartonomous.calibration_stats s
     WHERE s.model_id = model AND s.calibration_set = calibrated_method.calibration_set
       AND s.revision_id = revision AND s.gram_layer_id IS NOT NULL);
BEGIN
  IF method = 'hessian' AND NOT grams THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('calibration set "%s" has no Gram matrices of revision %s of model "%s"', calibration_set, revision,
             model::hartonomous.regmodel),
      hint => format('CALL hartonomous.collect_calibration(%L, %L); collects them.',
                     model::hartonomous.regmodel::text, calibration_set));
  END IF;
  RETURN coalesce(method, CASE WHEN grams THEN 'hessian' ELSE 'imatrix' END);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.calibrated_method(integer, text, integer, text) IS
  'the method of quantizing with statistics of a revision: the given one, or by default hessian if there are Gram '
  'matrices among them and otherwise imatrix; 55000 for hessian without any';

CREATE FUNCTION hartonomous_internal.calibration_arguments(model integer, calibration_set text,
    calibration_revision integer, by_grams boolean) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  revision integer := coalesce(calibration_revision, hartonomous_internal.current_revision(model));
  found integer[];
BEGIN
  calibration_set := hartonomous_internal.calibration_of(model, calibration_set);
  revision := coalesce(hartonomous_internal.calibrated_revision(model, revision, calibration_set), revision);
  SELECT c.revisions INTO found FROM hartonomous_internal.calibrations_of(model, calibration_set) c;
  IF revision <> ALL (found) THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('revision %s of model "%s" has no statistics of calibration set "%s"',
             revision, model::hartonomous.regmodel, calibration_set),
      detail => format('There are some of revision %s.', array_to_string(found, ', ')),
      hint => format('Collect them again, roll back to that revision, or use them nevertheless: calibration_revision '
                     '=> %s.', found[cardinality(found)]));
  ELSIF by_grams THEN
    PERFORM hartonomous_internal.calibrated_method(model, calibration_set, revision, 'hessian');
  END IF;
  RETURN jsonb_build_object('calibration_set', calibration_set, 'calibration_revision', revision);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.calibration_arguments(integer, text, integer, boolean) IS
  'the calibration set (NULL: the only one) and the revision (NULL: the live one) whose statistics are used, as '
  'arguments of an operation; 22023 if a set has to be chosen, 55000, with the call to make, without statistics or, if '
  'they are needed, Gram matrices of the revision, 42704 if there is no such model';

CREATE FUNCTION hartonomous_internal.calibrated_curvature(model integer, calibration_set text, revision integer,
    curvature text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  gradients constant boolean := EXISTS (
    SELECT FROM hartonomous.calibration_grams g
     WHERE g.model_id = model AND g.calibration_set = calibrated_curvature.calibration_set
       AND g.revision_id = revision AND g.of_gradients);
BEGIN
  IF curvature = 'fisher' AND NOT gradients THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('calibration set "%s" has no Gram matrices of gradients of revision %s of model "%s"', calibration_set,
             revision, model::hartonomous.regmodel),
      hint => format('CALL hartonomous.collect_calibration(%L, %L, statistics => ''fisher''); collects them.',
                     model::hartonomous.regmodel::text, calibration_set));
  END IF;
  RETURN coalesce(curvature, CASE WHEN gradients THEN 'fisher' END);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.calibrated_curvature(integer, text, integer, text) IS
  'the curvature of the method hessian with statistics of a revision: the given one, or by default fisher if there are '
  'gradients among them, and NULL otherwise; 55000, with the call to make, for fisher without any';

CREATE FUNCTION hartonomous_internal.quantize_calibration(model integer, method text, calibration_set text,
    calibration_revision integer, column_importance regclass, damping double precision DEFAULT NULL,
    sweeps integer DEFAULT NULL, sequential boolean DEFAULT NULL, curvature text DEFAULT NULL)
  RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  calibration jsonb;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.check_quantize_method(method, calibration_set, calibration_revision, column_importance,
    damping, sweeps, sequential, curvature);
  IF coalesce(method, 'plain') = 'plain' AND calibration_set IS NULL THEN
    RETURN '{}';
  END IF;
  calibration := hartonomous_internal.calibration_arguments(model, calibration_set, calibration_revision, false);
  IF num_nonnulls(damping, sweeps, nullif(sequential, false), nullif(curvature, 'input')) > 0 THEN
    method := 'hessian';
  END IF;
  method := hartonomous_internal.calibrated_method(model, calibration ->> 'calibration_set',
    (calibration ->> 'calibration_revision')::integer, method);
  curvature := CASE method WHEN 'hessian' THEN hartonomous_internal.calibrated_curvature(model,
    calibration ->> 'calibration_set', (calibration ->> 'calibration_revision')::integer, curvature) END;
  RETURN calibration || jsonb_strip_nulls(jsonb_build_object(
    'method', method, 'damping', damping, 'sweeps', sweeps, 'sequential', nullif(sequential, false),
    'curvature', curvature));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.quantize_calibration(integer, text, text, integer, regclass, double precision,
  integer, boolean, text) IS
  'the method of quantizing, the calibration set and the revision that it is about, as arguments of the operation: {} '
  'if none is used; 22023 as check_quantize_method(), or if a set has to be chosen, 55000 without statistics, or '
  'Gram matrices, of the revision, 42704 if there is no such model';

-- Up to 1024 columns there are two orders (hartonomous/hessian.hpp). The speed is that of a core of 2025 with AVX-512
-- (bench/hessian.sh); others take two to three times as long.
CREATE FUNCTION hartonomous_internal.report_hessian_cost(model integer, plan hartonomous.tensor_plan[]) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  n record;
  threads constant integer := current_setting('hartonomous.threads')::integer;
BEGIN
  WITH planned AS (
    SELECT p.layer_id, p.arguments ->> 'calibration_set' AS name,
           (p.arguments ->> 'calibration_revision')::integer AS revision,
           coalesce((p.arguments ->> 'sweeps')::integer, 5) AS sweeps,
           coalesce(p.arguments -> 'sequential' = 'true', false) AS sequential,
           p.arguments ? 'curvature' AS two_sided
      FROM unnest(plan) p WHERE p.arguments ->> 'method' = 'hessian'),
  grams AS (
    SELECT DISTINCT s.gram_layer_id, s.columns, s.experts, p.sequential, s.tokens
      FROM planned p JOIN hartonomous.calibration_stats s
      ON s.model_id = model AND s.calibration_set = p.name AND s.revision_id = p.revision AND s.layer_id = p.layer_id)
  SELECT (SELECT count(*) FROM planned) AS tensors,
         (SELECT sum(l.parameter_count * 1e-9 * (l.row_length * (1.5 + p.sweeps) + 768 * p.sweeps)
                     * CASE WHEN l.row_length <= 1024 THEN 2 ELSE 1 END
                     -- Each row three times, and against the errors of all others.
                     * CASE WHEN p.two_sided THEN 3 ELSE 1 END
                     + CASE WHEN p.two_sided THEN 2.5 * l.tensor_shape[1] + 2 * l.row_length ELSE 0 END
                       * l.parameter_count * 1e-9)::float8
            FROM planned p JOIN hartonomous.model_layers l ON l.layer_id = p.layer_id) AS rows,
         (SELECT sum(g.columns::float8 ^ 3 * 1e-9 / 3 * g.experts * CASE WHEN g.columns <= 1024 THEN 2 ELSE 1 END)
            FROM grams g)
           + (SELECT coalesce(sum(l.tensor_shape[1]::float8 ^ 3 * 1e-9 / 3), 0)
                FROM planned p JOIN hartonomous.model_layers l ON l.layer_id = p.layer_id WHERE p.two_sided) AS factors,
         -- The text in two networks, and sums over its tokens.
         (SELECT coalesce(max(g.tokens), 0) * 1e-9 * (SELECT sum(l.parameter_count)::float8 * 2
            FROM hartonomous.model_layers l WHERE l.model_id = model AND l.layer_idx >= 0)
            + coalesce(sum(g.tokens * 1e-9 * g.columns::float8 ^ 2 * 1.5), 0)
            FROM grams g WHERE g.sequential) AS text
    INTO n;
  n.rows := n.rows + coalesce(n.text, 0);
  IF (n.rows / 25 + n.factors / 12) / threads > 10 THEN
    RAISE NOTICE 'quantizing % tensors against Hessians takes up to % billion multiply-adds, about % min on % threads',
      n.tensors, round(n.rows + n.factors), round(((n.rows / 25 + n.factors / 12) / threads / 60)::numeric, 1),
      threads;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.report_hessian_cost(integer, hartonomous.tensor_plan[]) IS
  'says beforehand what quantizing against Hessians will cost if that is more than about ten seconds';

CREATE FUNCTION hartonomous_internal.require_importance(plan hartonomous.tensor_plan[], mixture text) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  missing text;
BEGIN
  SELECT p.layer_name INTO missing
    FROM unnest(plan) WITH ORDINALITY p (layer_id, layer_name, operation, arguments, atoms_before, atoms_after,
      bytes_before,
      bytes_after, reason, details, n)
   WHERE NOT p.arguments ?| ARRAY['column_importance', 'calibration_set']
     AND hartonomous_internal.requires_importance(mixture, p.layer_name, p.arguments ->> 'format')
   ORDER BY p.n LIMIT 1;
  IF missing IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('%s needs the importance of the columns of tensor "%s"', mixture, missing),
      hint => 'Pass a calibration set with statistics of this tensor, or use Q2_K.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_importance(hartonomous.tensor_plan[], text) IS
  '22023 unless a plan has importance for each tensor for which the mixture requires it';

-- In this and other plan functions sets of tensors are joined by hashing, never by nested loops: for a model that was
-- imported after the last ANALYZE the planner expects only a few tensors, and nested loops over thousands take minutes.
-- jit is off because compiling takes longer than computing the plan.
--
CREATE FUNCTION hartonomous_internal.wanted_formats(model integer, layer_pattern text, container text, mixture text,
    uniform text, overrides jsonb, by_importance boolean)
  RETURNS TABLE (layer_id bigint, run bigint, format text, kept text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT l.layer_id, least(gcd(l.row_length, l.atom_size), l.row_length),
           upper(CASE WHEN o.rule IS NOT NULL THEN o.rule ->> 'format'
                      WHEN wanted_formats.mixture IS NOT NULL THEN p.format ELSE uniform END),
           CASE WHEN NOT hartonomous_internal.is_matrix(l.tensor_shape) THEN 'vector'
                WHEN NOT hartonomous_internal.is_quantizable_name(l.layer_name, container) THEN 'kept by name'
                WHEN o.rule ->> 'format' IS NULL AND o.rule IS NOT NULL THEN 'kept by override' END
      FROM hartonomous.model_layers l
      LEFT JOIN LATERAL (SELECT r.rule FROM jsonb_array_elements(overrides) WITH ORDINALITY r (rule, n)
                          WHERE l.layer_name LIKE coalesce(r.rule ->> 'pattern', '%') ORDER BY r.n LIMIT 1) o ON true
      LEFT JOIN hartonomous_internal.mixture_formats(model, wanted_formats.mixture, by_importance) p
        ON wanted_formats.mixture IS NOT NULL AND p.layer_id = l.layer_id
     WHERE l.model_id = model AND l.layer_name LIKE layer_pattern;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.wanted_formats(integer, text, text, text, text, jsonb, boolean) IS
  'the format that a mixture, one format for all, or overrides of either give each tensor of a pattern, before its '
  'fallbacks (NULL: what is planned for each atom); how many weights lie in one run; why the tensor is not quantized';

CREATE FUNCTION hartonomous_internal.stored_values(model integer)
  RETURNS TABLE (layer_id bigint, format text, planned text, length bigint, n bigint, atoms bigint, bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 1000
  SET search_path = pg_catalog, pg_temp
  SET jit = off
AS $$
#variable_conflict use_variable
BEGIN
  -- Queries the parent table because readers have rights on that only.
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    SELECT a.layer_id, hartonomous.weights_format(a.atom_data), a.planned_format,
           hartonomous.weights_count(a.atom_data), count(*), count(*),
           sum(hartonomous.weights_bytes(a.atom_data))::bigint
      FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT f.layer_id, f.format, NULL, r.length, 1, 0, hartonomous_internal.format_bytes(f.format, r.length)
      FROM hartonomous_internal.stored_forms($1, hartonomous_internal.live_base($1)) f CROSS
      JOIN LATERAL unnest(f.block_runs) r (length)$sql$)
    USING model;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.stored_values(integer) IS
  'what quantizing would change: of each tensor the values, in atoms and beside them, of one format, one plan and one '
  'length, how many there are (n), how many of these are atoms, and their bytes';
