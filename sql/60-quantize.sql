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
  RETURNS TABLE (layer_id bigint, layer_name text, present_format text, target_format text, reason text,
                 planned_formats jsonb, requantizes boolean)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  container text;
  named constant text := hartonomous.preset_named(quantize_plan.format);
  preset text := named;
  uniform text;
BEGIN
  PERFORM hartonomous.current_revision(model);
  IF preset IS NULL THEN
    PERFORM hartonomous.fitting_format(quantize_plan.format, 256);
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
    WITH found AS (
      SELECT a.layer_id, hartonomous.weights_format(a.atom_data) AS format, a.quantization_format AS planned
        FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY 1, 2, 3
      UNION
      SELECT d.layer_id, hartonomous.weights_format(d.u_matrix), NULL FROM hartonomous.svd_compressed_layers d
       WHERE d.model_id = $1 AND d.revision_id = hartonomous.live_base($1)),
    wanted AS (
      SELECT l.layer_id, l.layer_name, l.position, l.tensor_dtype, least(gcd(l.row_length, l.atom_size), l.row_length) AS run,
             upper(CASE WHEN o.rule IS NOT NULL THEN o.rule ->> 'format'
                        WHEN $5 IS NOT NULL THEN p.format ELSE $2 END) AS format,
             CASE WHEN (l.layer_name LIKE $3) IS NOT TRUE THEN 'not like the pattern'
                  WHEN NOT hartonomous.is_matrix(l.tensor_shape) THEN 'vector'
                  WHEN NOT hartonomous.is_quantizable_name(l.layer_name, $4) THEN 'kept by name'
                  WHEN o.rule ->> 'format' IS NULL AND o.rule IS NOT NULL THEN 'kept by override' END AS kept
        FROM hartonomous.model_layers l
        LEFT JOIN LATERAL (SELECT r.rule FROM jsonb_array_elements($6) WITH ORDINALITY r (rule, n)
                            WHERE l.layer_name LIKE coalesce(r.rule ->> 'pattern', '%') ORDER BY r.n LIMIT 1) o ON true
        LEFT JOIN hartonomous.preset_formats($1, $5, $7) p ON $5 IS NOT NULL AND p.layer_id = l.layer_id
       WHERE l.model_id = $1),
    -- Of each tensor, the formats its atoms have and the one each of them gets.
    changes AS (
      SELECT w.layer_id, f.format AS present, f.planned, coalesce(w.format, upper(f.planned)) AS wanted,
             hartonomous.fitting_format(CASE WHEN w.kept IS NULL THEN coalesce(w.format, f.planned) END, w.run) AS fitting
        FROM wanted w JOIN found f USING (layer_id)),
    judged AS (
      SELECT c.layer_id, string_agg(DISTINCT c.present, '+' ORDER BY c.present) AS present,
             string_agg(DISTINCT coalesce(c.fitting, c.present), '+' ORDER BY coalesce(c.fitting, c.present)) AS target,
             bool_or(c.fitting <> c.present) AS changes,
             bool_or(c.fitting <> c.present AND c.present NOT IN ('F32', 'F16', 'BF16')) AS requantizes,
             bool_or(c.present NOT IN (SELECT k.format FROM hartonomous.formats() k WHERE k.readable)) AS opaque,
             string_agg(DISTINCT c.wanted, ', ' ORDER BY c.wanted) FILTER (WHERE c.fitting <> c.wanted) AS unfit,
             jsonb_object_agg(c.planned, c.fitting) FILTER (WHERE c.planned IS NOT NULL) AS planned
        FROM changes c GROUP BY c.layer_id),
    plan AS (
      SELECT w.*, coalesce(j.present, w.tensor_dtype) AS present, j.target, j.changes, j.requantizes, j.unfit, j.planned,
             coalesce(w.kept, CASE WHEN j.opaque THEN 'opaque' WHEN j.present IS NULL THEN 'empty'
                                   WHEN w.format IS NULL AND j.planned IS NULL THEN 'nothing planned'
                                   WHEN j.changes AND hartonomous.factor_bytes(j.target, d.original_rows, d.original_cols, d.rank)
                                        > hartonomous.most_factor_bytes() THEN 'factors larger than one row holds' END) AS spared
        FROM wanted w LEFT JOIN judged j USING (layer_id)
        LEFT JOIN hartonomous.svd_compressed_layers d
          ON d.model_id = $1 AND d.revision_id = hartonomous.live_base($1) AND d.layer_id = w.layer_id)
    SELECT p.layer_id, p.layer_name, p.present, CASE WHEN p.spared IS NULL AND p.changes THEN p.target END,
           coalesce(p.spared, CASE WHEN NOT p.changes THEN 'already there'
                                   WHEN p.unfit IS NOT NULL THEN 'rows fit no block of ' || p.unfit END),
           CASE WHEN p.spared IS NULL AND p.changes AND p.format IS NULL THEN p.planned END,
           p.spared IS NULL AND coalesce(p.requantizes, false)
      FROM plan p ORDER BY p.position
    $sql$ USING model, uniform, layer_pattern, container, preset, overrides, column_importance IS NOT NULL;
END
$$;
COMMENT ON FUNCTION hartonomous.quantize_plan(integer, text, text, jsonb, boolean, regclass) IS
  'what quantize_model would do, a row a tensor: its format now, the one it would get (NULL: kept as it is) and why; where atoms get what is planned for each, what each planned format means there; whether something quantized would be quantized again';

CREATE FUNCTION hartonomous.quantize_plan(model text, format text DEFAULT NULL, layer_pattern text DEFAULT '%',
                                          overrides jsonb DEFAULT NULL, pure boolean DEFAULT false,
                                          column_importance regclass DEFAULT NULL)
  RETURNS TABLE (layer_id bigint, layer_name text, present_format text, target_format text, reason text,
                 planned_formats jsonb, requantizes boolean)
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
  'importance of the columns of a model''s tensors from a relation with layer_name text and column_importance real[]; 22023, with near names, when it names a tensor that the model has not, 2202E when a tensor has another number of columns, 21000 when it is there twice, 42703 without those columns';

-- llama-quantize refuses to make two bits a weight without importance where the file type asks for little else.
CREATE FUNCTION hartonomous.require_importance(model integer, layers bigint[], targets text[], source regclass) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  missing text;
  weighed bigint[];
BEGIN
  IF source IS NOT NULL THEN
    SELECT array_agg(i.layer_id) INTO weighed FROM hartonomous.column_importance_of(source, model) i;
  END IF;
  SELECT l.layer_name INTO missing
    FROM ROWS FROM (unnest(layers), unnest(targets)) AS t (layer_id, target) JOIN hartonomous.model_layers l USING (layer_id)
   WHERE t.target = 'Q2_K' AND (t.layer_id = ANY (weighed)) IS NOT TRUE
     AND hartonomous.tensor_role(l.layer_name) <> ALL (ARRAY['output', 'token_embedding'])
   ORDER BY l.position LIMIT 1;
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION 'Q2_K_S needs the importance of the columns of tensor "%"', missing
      USING ERRCODE = '22023', HINT = 'Give column_importance, or take Q2_K.';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.require_importance(integer, bigint[], text[], regclass) IS
  '22023 unless a relation (see column_importance_of) has importance for each tensor that is to have 2 bits a weight';

-- Cancelled or killed: the tensors done stay, and the same call goes on; the live model is untouched until the swap.
-- A second caller waits for the model's lock, or with nowait fails with 55P03.
CREATE PROCEDURE hartonomous.quantize_model(model integer, format text DEFAULT NULL, layer_pattern text DEFAULT '%',
    requantize boolean DEFAULT false, nowait boolean DEFAULT false, column_importance pg_catalog.regclass DEFAULT NULL,
    overrides pg_catalog.jsonb DEFAULT NULL, pure boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
DECLARE
  preset pg_catalog.text := hartonomous.preset_named(format);
  target pg_catalog.text := (SELECT CASE WHEN pure THEN p.base_format ELSE p.preset END FROM hartonomous.format_presets() p
                   WHERE p.preset OPERATOR(pg_catalog.=) hartonomous.preset_named(format));
  commits boolean := hartonomous.can_commit();
  started pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  plan pg_catalog.record;
  run bigint;
  done pg_catalog.record;
  weighed integer;
BEGIN
  IF layer_pattern IS NULL OR requantize IS NULL OR pure IS NULL THEN
    RAISE EXCEPTION 'layer_pattern, requantize and pure cannot be NULL' USING ERRCODE = '22004';
  END IF;
  PERFORM hartonomous.current_revision(model);
  PERFORM hartonomous.lock_model(model, nowait, commits);
  SELECT pg_catalog.count(p.target_format) AS changed,
         pg_catalog.count(*) FILTER (WHERE p.requantizes) AS again,
         pg_catalog.count(*) FILTER (WHERE p.target_format IS NOT NULL AND p.reason IS NOT NULL) AS fallbacks,
         pg_catalog.array_agg(p.layer_id) AS layers, pg_catalog.array_agg(p.target_format) AS targets,
         pg_catalog.array_agg(p.planned_formats) AS formats,
         pg_catalog.bool_and(coalesce(p.reason, '') OPERATOR(pg_catalog.=) ANY (
           ARRAY['nothing planned', 'vector', 'kept by name', 'opaque', 'empty'])) AS unplanned,
         hartonomous.passed_over(pg_catalog.count(*) FILTER (WHERE p.reason OPERATOR(pg_catalog.=) 'opaque'),
                                 'whose format is only carried') AS passed_over
    INTO plan FROM hartonomous.quantize_plan(model, format, layer_pattern, overrides, pure, column_importance) p;
  IF format IS NULL AND plan.unplanned THEN
    RAISE EXCEPTION 'no format is given, and none is planned for any atom of model %', model
      USING ERRCODE = '22023', HINT = 'Give a format, or plan with assign_mixed_precision().';
  END IF;
  IF plan.again OPERATOR(pg_catalog.>) 0 AND NOT requantize THEN
    RAISE EXCEPTION '% tensors are quantized already', plan.again
      USING ERRCODE = '55000',
            DETAIL = 'Quantizing them again would add its loss to theirs.',
            HINT = 'rollback_model() first, or say requantize => true.';
  END IF;
  IF plan.changed OPERATOR(pg_catalog.=) 0 THEN
    RAISE NOTICE 'no tensor to bring into %: nothing done%', coalesce(target, 'the formats planned'), plan.passed_over;
    IF commits THEN
      PERFORM hartonomous.unlock_model(model);
    END IF;
    RETURN;
  END IF;
  IF preset OPERATOR(pg_catalog.=) 'Q2_K_S' THEN
    PERFORM hartonomous.require_importance(model, plan.layers, plan.targets, column_importance);
  END IF;
  run := hartonomous.start_run(model, 'quantize', 'rewrite', pg_catalog.jsonb_strip_nulls(
    pg_catalog.jsonb_build_object('format', preset, 'pure', CASE WHEN pure THEN true END, 'layer_pattern', layer_pattern,
                                  'requantize', requantize, 'column_importance', column_importance,
                                  'overrides', overrides)));
  INSERT INTO hartonomous.compression_steps (run_id, layer_id, target_format, planned_formats)
    SELECT run, p.layer_id, CASE WHEN p.planned_formats IS NULL THEN p.target_format END, p.planned_formats
      FROM ROWS FROM (pg_catalog.unnest(plan.layers), pg_catalog.unnest(plan.targets), pg_catalog.unnest(plan.formats))
           AS p (layer_id, target_format, planned_formats)
    ON CONFLICT DO NOTHING;
  IF column_importance IS NOT NULL THEN
    -- Kept with the steps: a resumed run goes on with what it began with.
    UPDATE hartonomous.compression_steps s SET column_importance = i.column_importance
      FROM hartonomous.column_importance_of(quantize_model.column_importance, model) i
     WHERE s.run_id OPERATOR(pg_catalog.=) run AND s.layer_id OPERATOR(pg_catalog.=) i.layer_id
       AND s.state OPERATOR(pg_catalog.=) 'waiting' AND s.column_importance IS NULL
       AND (s.target_format IS NOT NULL OR s.planned_formats IS NOT NULL);
    SELECT pg_catalog.count(*) INTO weighed FROM hartonomous.compression_steps s
     WHERE s.run_id OPERATOR(pg_catalog.=) run AND s.column_importance IS NOT NULL;
    IF weighed OPERATOR(pg_catalog.=) 0 THEN
      RAISE EXCEPTION '% names no tensor that is to be quantized', column_importance
        USING ERRCODE = '22023', HINT = 'Its layer_name must be as in hartonomous.model_layers.';
    END IF;
  END IF;
  CALL hartonomous.execute_run(run);
  SELECT r.bytes_before AS before, r.bytes_after AS after INTO STRICT done
    FROM hartonomous.compression_runs r WHERE r.run_id OPERATOR(pg_catalog.=) run;
  RAISE NOTICE 'quantized % tensors% to %, % -> %, revision %, % s%', plan.changed,
    CASE WHEN weighed IS NOT NULL THEN pg_catalog.format(' (%s by importance)', weighed) ELSE '' END,
    CASE WHEN plan.fallbacks OPERATOR(pg_catalog.>) 0
         THEN pg_catalog.format('%s (%s to a fallback: see quantize_plan)',
                                coalesce(target, 'the formats planned'), plan.fallbacks)
         ELSE coalesce(target, 'the formats planned') END,
    hartonomous.human_bytes(done.before), hartonomous.human_bytes(done.after), hartonomous.current_revision(model),
    pg_catalog.round(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) started), 1), plan.passed_over;
  IF commits THEN
    PERFORM hartonomous.unlock_model(model);
  END IF;
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
