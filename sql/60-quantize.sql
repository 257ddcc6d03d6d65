-- Quantizing a model: every matrix rewritten in a smaller format.

-- Here and in other plans sets of tensors are joined by hashing, never by nested loops: of a model that was imported
-- since statistics were gathered the planner expects a handful of tensors, and loops over thousands take minutes. Nor is anything
-- compiled (jit): that takes longer than a plan does.
--
-- A file type of llama-quantize, with pure its base format everywhere, or, when format is NULL, what is planned for each
-- atom; overrides come before either.
CREATE FUNCTION hartonomous.quantize_plan(model integer, format text DEFAULT NULL, layer_pattern text DEFAULT '%',
                                          overrides jsonb DEFAULT NULL, pure boolean DEFAULT false,
                                          column_importance regclass DEFAULT NULL)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
DECLARE
  container text;
  named constant text := hartonomous.preset_named(format);
  preset text := named;
  uniform text;
BEGIN
  PERFORM hartonomous.current_revision(model);
  IF preset IS NULL THEN
    PERFORM hartonomous.fitting_format(format, 256);
  ELSIF pure THEN
    SELECT p.base_format INTO uniform FROM hartonomous.format_presets() p WHERE p.preset = named;
    preset := NULL;
  END IF;
  PERFORM hartonomous.require_matching_tensors(model, layer_pattern);
  PERFORM hartonomous.check_rules(overrides, false);
  PERFORM hartonomous.require_matching_tensors(model, r ->> 'pattern', layer_pattern)
     FROM jsonb_array_elements(overrides) r WHERE r ? 'pattern';
  -- Once and not for each tensor: the metadata may be many megabytes.
  SELECT m.metadata ->> 'format' INTO container FROM hartonomous.models m WHERE m.model_id = model;
  -- Through the parent, for which readers have rights.
  RETURN QUERY EXECUTE $sql$
    WITH wanted AS (
      SELECT l.layer_id, l.layer_name, l.position, l.tensor_dtype, least(gcd(l.row_length, l.atom_size), l.row_length) AS run,
             upper(CASE WHEN o.rule IS NOT NULL THEN o.rule ->> 'format'
                        WHEN $5 IS NOT NULL THEN p.format ELSE $2 END) AS format,
             CASE WHEN NOT hartonomous.is_matrix(l.tensor_shape) THEN 'vector'
                  WHEN NOT hartonomous.is_quantizable_name(l.layer_name, $4) THEN 'kept by name'
                  WHEN o.rule ->> 'format' IS NULL AND o.rule IS NOT NULL THEN 'kept by override' END AS kept
        FROM hartonomous.model_layers l
        LEFT JOIN LATERAL (SELECT r.rule FROM jsonb_array_elements($6) WITH ORDINALITY r (rule, n)
                            WHERE l.layer_name LIKE coalesce(r.rule ->> 'pattern', '%') ORDER BY r.n LIMIT 1) o ON true
        LEFT JOIN hartonomous.preset_formats($1, $5, $7 IS NOT NULL) p ON $5 IS NOT NULL AND p.layer_id = l.layer_id
       WHERE l.model_id = $1 AND l.layer_name LIKE $3),
    -- What there is of each tensor: values of one format, one plan, one length.
    found AS (
      SELECT a.layer_id, hartonomous.weights_format(a.atom_data) AS format, a.quantization_format AS planned,
             hartonomous.weights_count(a.atom_data)::bigint AS length, count(*) AS n, count(*) AS atoms,
             sum(hartonomous.weights_bytes(a.atom_data))::bigint AS bytes
        FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY 1, 2, 3, 4
      UNION ALL
      SELECT f.layer_id, f.format, NULL, r.length, 1, 0, hartonomous.format_bytes(f.format, r.length)
        FROM hartonomous.stored_forms($1, hartonomous.live_base($1)) f CROSS JOIN LATERAL unnest(f.block_runs) r (length)),
    -- Of each tensor, the formats its weights have and the one each of them gets.
    changes AS (
      SELECT f.*, coalesce(w.format, upper(f.planned)) AS wanted,
             hartonomous.fitting_format(CASE WHEN w.kept IS NULL THEN coalesce(w.format, f.planned) END, w.run) AS fitting
        FROM wanted w JOIN found f ON f.layer_id = w.layer_id),
    beside AS (
      SELECT f.layer_id, sum(f.other_bytes) AS other_bytes, min(f.most_bytes) AS most_bytes
        FROM hartonomous.stored_forms($1, hartonomous.live_base($1)) f GROUP BY f.layer_id),
    judged AS (
      SELECT c.layer_id, string_agg(DISTINCT c.format, '+' ORDER BY c.format) AS present,
             string_agg(DISTINCT coalesce(c.fitting, c.format), '+' ORDER BY coalesce(c.fitting, c.format)) AS target,
             bool_or(c.fitting <> c.format) AS changes,
             bool_or(c.fitting <> c.format AND c.format NOT IN ('F32', 'F16', 'BF16')) AS requantizes,
             bool_or(c.format NOT IN (SELECT k.format FROM hartonomous.formats() k WHERE k.readable)) AS opaque,
             string_agg(DISTINCT c.wanted, ', ' ORDER BY c.wanted) FILTER (WHERE c.fitting <> c.wanted) AS unfit,
             jsonb_object_agg(c.planned, c.fitting) FILTER (WHERE c.planned IS NOT NULL) AS planned,
             sum(c.atoms)::bigint AS atoms, sum(c.bytes)::bigint AS bytes,
             -- Factors change with their tensor, not with what is planned for its atoms.
             sum(CASE WHEN c.fitting <> c.format THEN c.n * hartonomous.format_bytes(c.fitting, c.length)
                      ELSE c.bytes END)::bigint AS bytes_after,
             sum(hartonomous.format_bytes(c.fitting, c.length)) FILTER (WHERE c.atoms = 0) AS beside_after
        FROM changes c GROUP BY c.layer_id),
    plan AS (
      SELECT w.*, coalesce(j.present, w.tensor_dtype) AS present, j.target, j.changes, j.requantizes, j.unfit, j.planned,
             coalesce(j.atoms, 0) AS atoms, coalesce(j.bytes, 0) + coalesce(b.other_bytes, 0)::bigint AS bytes,
             coalesce(j.bytes_after, 0) + coalesce(b.other_bytes, 0)::bigint AS bytes_after,
             coalesce(w.kept, CASE WHEN j.opaque THEN 'opaque' WHEN j.present IS NULL THEN 'empty'
                                   WHEN w.format IS NULL AND j.planned IS NULL THEN 'nothing planned'
                                   WHEN j.changes AND j.beside_after + b.other_bytes > b.most_bytes
                                   THEN 'factors larger than one row holds' END) AS spared
        FROM wanted w LEFT JOIN judged j ON j.layer_id = w.layer_id LEFT JOIN beside b ON b.layer_id = w.layer_id)
    SELECT p.layer_id, p.layer_name, CASE WHEN p.spared IS NULL AND p.changes THEN 'quantize' END,
           CASE WHEN p.spared IS NULL AND p.changes THEN jsonb_strip_nulls(jsonb_build_object(
             'format', CASE WHEN p.format IS NOT NULL THEN p.target END,
             'planned_formats', CASE WHEN p.format IS NULL THEN p.planned END,
             'column_importance', hartonomous.reals_json(i.column_importance))) END,
           p.atoms, p.atoms, p.bytes, CASE WHEN p.spared IS NULL THEN p.bytes_after ELSE p.bytes END,
           coalesce(p.spared, CASE WHEN NOT p.changes THEN 'already there'
                                   WHEN p.unfit IS NOT NULL THEN 'rows fit no block of ' || p.unfit END),
           jsonb_strip_nulls(jsonb_build_object('present_format', p.present, 'target_format', CASE WHEN p.spared IS NULL AND p.changes THEN p.target END,
                              'requantizes', p.spared IS NULL AND coalesce(p.requantizes, false)))
      FROM plan p LEFT JOIN hartonomous.column_importance_of($7, $1) i ON i.layer_id = p.layer_id ORDER BY p.position
    $sql$ USING model, uniform, layer_pattern, container, preset, overrides, column_importance;
END
$$;
COMMENT ON FUNCTION hartonomous.quantize_plan(integer, text, text, jsonb, boolean, regclass) IS
  'what quantize_model would do, a row a tensor of the pattern (see tensor_plan): the format it would get, or, where atoms get what is planned for each, what each planned format means there; details say the formats it has now and would have, and whether something quantized would be quantized again; reason says why it is kept as it is, or gets another format than asked';

CREATE FUNCTION hartonomous.quantize_plan(model text, format text DEFAULT NULL, layer_pattern text DEFAULT '%',
                                          overrides jsonb DEFAULT NULL, pure boolean DEFAULT false,
                                          column_importance regclass DEFAULT NULL)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.quantize_plan(hartonomous.model_id(model), format, layer_pattern, overrides, pure,
                                                        column_importance);
END
$$;
COMMENT ON FUNCTION hartonomous.quantize_plan(text, text, text, jsonb, boolean, regclass) IS 'the same for a model by its name';

CREATE FUNCTION hartonomous.column_importance_of(source regclass, model integer)
  RETURNS TABLE (layer_id bigint, column_importance real[])
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
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
    RAISE EXCEPTION '% names tensor "%", which model % has not', source, stranger, model
      USING ERRCODE = '22023', HINT = coalesce('It has, for example, ' || hartonomous.near_names(stranger,
        ARRAY(SELECT l.layer_name FROM hartonomous.model_layers l WHERE l.model_id = model)) || '.', 'It has no tensors.');
  END IF;
  EXECUTE format($sql$
    SELECT l.layer_name, l.row_length, cardinality(s.column_importance) AS given, count(*) OVER (PARTITION BY layer_id)
      FROM %s s JOIN hartonomous.model_layers l USING (layer_name)
     WHERE l.model_id = $1 AND s.column_importance IS NOT NULL
     ORDER BY cardinality(s.column_importance) = l.row_length, 4 DESC, l.position LIMIT 1$sql$, source)
    INTO wrong USING model;
  IF wrong.given <> wrong.row_length THEN
    RAISE EXCEPTION 'importance of tensor "%" has % numbers for % columns', wrong.layer_name, wrong.given, wrong.row_length
      USING ERRCODE = '2202E';
  ELSIF wrong.count > 1 THEN
    RAISE EXCEPTION 'tensor "%" has % rows in %', wrong.layer_name, wrong.count, source USING ERRCODE = '21000';
  END IF;
  RETURN QUERY EXECUTE format($sql$
    SELECT l.layer_id, s.column_importance FROM %s s JOIN hartonomous.model_layers l USING (layer_name)
     WHERE l.model_id = $1 AND s.column_importance IS NOT NULL$sql$, source) USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.column_importance_of(regclass, integer) IS
  'importance of the columns of a model''s tensors from a relation with layer_name text and column_importance real[] (none when it is NULL); 22023, with near names, when it names a tensor that the model has not, 2202E when a tensor has another number of columns, 21000 when it is there twice, 42703 without those columns';

-- llama-quantize refuses to make two bits a weight without importance where the file type asks for little else.
CREATE FUNCTION hartonomous.require_importance(plan hartonomous.tensor_plan[]) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  missing text;
BEGIN
  SELECT p.layer_name INTO missing
    FROM unnest(plan) WITH ORDINALITY p (layer_id, layer_name, operation, arguments, atoms_before, atoms_after, bytes_before,
                                         bytes_after, reason, details, n)
   WHERE p.arguments ->> 'format' = 'Q2_K' AND NOT p.arguments ? 'column_importance'
     AND hartonomous.tensor_role(p.layer_name) <> ALL (ARRAY['output', 'token_embedding'])
   ORDER BY p.n LIMIT 1;
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION 'Q2_K_S needs the importance of the columns of tensor "%"', missing
      USING ERRCODE = '22023', HINT = 'Give column_importance, or take Q2_K.';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.require_importance(hartonomous.tensor_plan[]) IS
  '22023 unless a plan has importance for each tensor that is to have 2 bits a weight';

CREATE FUNCTION hartonomous.plan_quantizing(model integer, parameters jsonb) RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  plan hartonomous.tensor_plan[];
  n record;
BEGIN
  plan := ARRAY(SELECT p FROM hartonomous.quantize_plan(model, parameters ->> 'format', parameters ->> 'layer_pattern',
    parameters -> 'overrides', coalesce((parameters ->> 'pure')::boolean, false),
    (parameters ->> 'column_importance')::regclass) p);
  SELECT count(p.operation) AS changed, count(*) FILTER (WHERE (p.details ->> 'requantizes')::boolean) AS again,
         count(*) FILTER (WHERE p.arguments ? 'column_importance') AS weighed,
         bool_and(coalesce(p.reason, '') = ANY (ARRAY['nothing planned', 'vector', 'kept by name', 'opaque', 'empty'])) AS unplanned
    INTO n FROM unnest(plan) p;
  IF parameters ->> 'format' IS NULL AND n.unplanned THEN
    RAISE EXCEPTION 'no format is given, and none is planned for any atom of model %', model
      USING ERRCODE = '22023', HINT = 'Give a format, or plan with assign_mixed_precision().';
  ELSIF n.again > 0 AND NOT (parameters ->> 'requantize')::boolean THEN
    RAISE EXCEPTION '% tensors are quantized already', n.again
      USING ERRCODE = '55000',
            DETAIL = 'Quantizing them again would add its loss to theirs.',
            HINT = 'rollback_model() first, or say requantize => true.';
  ELSIF n.changed > 0 AND parameters ? 'column_importance' AND n.weighed = 0 THEN
    RAISE EXCEPTION '% names no tensor that is to be quantized', parameters ->> 'column_importance'
      USING ERRCODE = '22023', HINT = 'Its layer_name must be as in hartonomous.model_layers.';
  END IF;
  IF n.changed > 0 AND hartonomous.preset_named(parameters ->> 'format') = 'Q2_K_S' THEN
    PERFORM hartonomous.require_importance(plan);
  END IF;
  RETURN QUERY SELECT p.* FROM unnest(plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous.plan_quantizing(integer, jsonb) IS
  'quantize_plan() for quantize_model(); 22023 when nothing is planned or importance is missing, 55000 when tensors are quantized already and requantize is false';

CREATE FUNCTION hartonomous.report_quantizing(model integer, parameters jsonb, plan hartonomous.tensor_plan[], result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  target text;
  n record;
BEGIN
  SELECT CASE WHEN (parameters ->> 'pure')::boolean THEN p.base_format ELSE p.preset END INTO target
    FROM hartonomous.format_presets() p WHERE p.preset = hartonomous.preset_named(parameters ->> 'format');
  target := coalesce(target, 'the formats planned');
  IF result IS NULL THEN
    RAISE NOTICE 'no tensor to bring into %: nothing done%', target, hartonomous.passed_over_opaque(plan);
    RETURN;
  END IF;
  SELECT count(p.operation) AS changed, count(*) FILTER (WHERE p.arguments ? 'column_importance') AS weighed,
         count(*) FILTER (WHERE p.operation IS NOT NULL AND p.reason IS NOT NULL) AS fallbacks
    INTO n FROM unnest(plan) p;
  RAISE NOTICE 'quantized % tensors% to %, % -> %, revision %, % s%', n.changed,
    CASE WHEN parameters ? 'column_importance' THEN format(' (%s by importance)', n.weighed) ELSE '' END,
    target || CASE WHEN n.fallbacks > 0 THEN format(' (%s to a fallback: see quantize_plan)', n.fallbacks) ELSE '' END,
    hartonomous.human_bytes((result ->> 'bytes_before')::bigint), hartonomous.human_bytes((result ->> 'bytes_after')::bigint),
    result ->> 'revision', result ->> 'seconds', hartonomous.passed_over_opaque(plan);
END
$$;
COMMENT ON FUNCTION hartonomous.report_quantizing(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'says what quantize_model() did, or found nothing to do';

CREATE FUNCTION hartonomous.quantize_parameters(format text, pure boolean, layer_pattern text, requantize boolean,
    column_importance regclass, overrides jsonb) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF layer_pattern IS NULL OR requantize IS NULL OR pure IS NULL THEN
    RAISE EXCEPTION 'layer_pattern, requantize and pure cannot be NULL' USING ERRCODE = '22004';
  END IF;
  RETURN jsonb_strip_nulls(jsonb_build_object('format', coalesce(hartonomous.preset_named(format), format),
    'pure', CASE WHEN pure THEN true END, 'layer_pattern', layer_pattern, 'requantize', requantize,
    'column_importance', column_importance)) || CASE WHEN overrides IS NULL THEN '{}' ELSE jsonb_build_object('overrides', overrides) END;
END
$$;
COMMENT ON FUNCTION hartonomous.quantize_parameters(text, boolean, text, boolean, regclass, jsonb) IS
  'the arguments of quantize_model() as its revision keeps them; 22004 when one that must be given is NULL';

-- Cancelled, killed, called twice: as run_stage().
CREATE PROCEDURE hartonomous.quantize_model(model integer, format text DEFAULT NULL, layer_pattern text DEFAULT '%',
    requantize boolean DEFAULT false, nowait boolean DEFAULT false, column_importance pg_catalog.regclass DEFAULT NULL,
    overrides pg_catalog.jsonb DEFAULT NULL, pure boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous.run_stage(model, 'quantize_model',
    hartonomous.quantize_parameters(format, pure, layer_pattern, requantize, column_importance, overrides), nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.quantize_model(integer, text, text, boolean, boolean, regclass, jsonb, boolean) IS
  'rewrites the matrices of a model as llama-quantize does for a file type of that name (format_presets(); with pure in one format; when it is NULL, each atom in the one planned for it), a tensor at a time; overrides, an array of {"pattern", "format"}, come before it, the first that fits; column_importance names a table or view with layer_name and column_importance, whose numbers guide the choice of scales; rollback_model() undoes it; 22023 on an unknown format, 55000 when tensors are quantized already and requantize is false';

CREATE PROCEDURE hartonomous.quantize_model(model text, format text DEFAULT NULL, layer_pattern text DEFAULT '%',
    requantize boolean DEFAULT false, nowait boolean DEFAULT false, column_importance pg_catalog.regclass DEFAULT NULL,
    overrides pg_catalog.jsonb DEFAULT NULL, pure boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous.quantize_model(hartonomous.model_id(model), format, layer_pattern, requantize, nowait,
                                  column_importance, overrides, pure);
END
$$;
COMMENT ON PROCEDURE hartonomous.quantize_model(text, text, text, boolean, boolean, regclass, jsonb, boolean) IS
  'the same for a model by its name';
