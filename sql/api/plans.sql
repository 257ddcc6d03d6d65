-- Plans: what a stage would do, one row per tensor. All plans have the same columns. That of factoring is in
-- svd_plan.sql.

CREATE FUNCTION hartonomous.prune_plan(model hartonomous.regmodel, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    include_vectors boolean DEFAULT false, include_embeddings boolean DEFAULT false,
    keep_ratio_of text DEFAULT 'imported', refit boolean DEFAULT false, calibration_set text DEFAULT NULL,
    calibration_revision integer DEFAULT NULL, damping double precision DEFAULT NULL)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  -- Queries the parent table because readers have rights on that only.
  atoms_of_model text := format('(SELECT * FROM %s a WHERE model_id = %s)',
    hartonomous_internal.atoms_of_model(model), model::integer);
  of_imported boolean := keep_ratio IS NOT NULL AND keep_ratio_of = 'imported';
  refitting constant jsonb := hartonomous_internal.refit_parameters(model, refit, calibration_set,
    calibration_revision, damping) - 'refit';
  tensors record;
  summary hartonomous_internal.prune_summary;
BEGIN
  PERFORM hartonomous_internal.check_prune_arguments(keep_ratio, threshold, scope, 'auto', keep_ratio_of);
  SELECT array_agg(t.layer_id) AS layers, array_agg(t.layer_name) AS names, array_agg(t.imported_atoms) AS imported,
         array_agg(t.reason) AS reasons, array_agg(t.layer_id) FILTER (WHERE t.reason IS NULL) AS pruned,
         CASE WHEN of_imported THEN sum(t.imported_atoms) FILTER (WHERE t.reason IS NULL) END AS of_atoms
    INTO tensors
    FROM hartonomous_internal.prunable_tensors(model, layer_pattern, include_vectors, include_embeddings,
      of_imported) t;
  IF scope = 'model' AND keep_ratio IS NOT NULL THEN
    EXECUTE format($sql$
      SELECT (c).* FROM (
        SELECT hartonomous_internal.prune_threshold(a.importance_score, 0::bigint, $2, NULL, $3::bigint) AS c
          FROM %s a WHERE a.layer_id = ANY ($1)) s$sql$, atoms_of_model)
      INTO summary USING tensors.pruned, keep_ratio, tensors.of_atoms;
    threshold := coalesce(summary.threshold, '-Infinity');
    keep_ratio := NULL;
  END IF;
  RETURN QUERY EXECUTE format($sql$
    WITH tensors AS (
      SELECT * FROM ROWS FROM (unnest($1), unnest($4), unnest($5), unnest($6)) WITH ORDINALITY
                    AS t (layer_id, layer_name, imported_atoms, reason, n)),
    beside AS MATERIALIZED (
      SELECT f.layer_id, sum(f.bytes)::bigint AS bytes
      FROM hartonomous_internal.stored_forms($8, hartonomous_internal.live_base($8)) f
       GROUP BY f.layer_id),
    thresholds AS (
      SELECT t.*, (s.c).threshold, coalesce((s.c).atoms, 0) AS atoms, coalesce((s.c).removed, 0) AS removed,
             coalesce((s.c).bytes, 0) AS bytes, coalesce((s.c).removed_bytes, 0) AS removed_bytes
        FROM tensors t
        -- One lookup per tensor, by the primary key. A join with all atoms would have to sort them together with the
        -- tensors.
        CROSS JOIN LATERAL (
          SELECT hartonomous_internal.prune_threshold(a.importance_score, hartonomous.weights_bytes(a.atom_data),
                                     CASE WHEN t.reason IS NULL THEN $2 END,
                                     CASE WHEN t.reason IS NULL THEN $3 ELSE '-Infinity' END,
                                     CASE WHEN $7 THEN t.imported_atoms END) AS c
                              FROM %s a WHERE a.layer_id = t.layer_id) s)
    SELECT c.layer_id, c.layer_name, CASE WHEN c.removed > 0 THEN 'prune' END,
           CASE WHEN c.removed > 0 THEN jsonb_build_object('minimum_importance', c.threshold)
                                        || CASE WHEN o.reason IS NULL THEN $9 ELSE '{}' END END,
           c.atoms, c.atoms - c.removed, c.bytes + coalesce(b.bytes, 0),
           c.bytes + coalesce(b.bytes, 0) - c.removed_bytes,
           coalesce(c.reason, CASE WHEN c.removed = 0 THEN 'nothing to prune' ELSE 'not refitted: ' || o.reason END),
           jsonb_build_object('imported_atoms', c.imported_atoms)
      FROM thresholds c LEFT JOIN beside b USING (layer_id)
      LEFT JOIN hartonomous_internal.refit_obstacles($8, $9) o USING (layer_id)
     ORDER BY c.n$sql$, atoms_of_model)
    USING tensors.layers, keep_ratio, threshold, tensors.names, tensors.imported, tensors.reasons, of_imported, model,
    refitting;
END
$$;
COMMENT ON FUNCTION hartonomous.prune_plan(hartonomous.regmodel, double precision, real, text, text, boolean, boolean,
  text, boolean, text, integer, double precision) IS
  'what prune_by_importance would remove, one row per tensor (see tensor_plan): the atoms with importance below '
  'minimum_importance; details have the number of atoms if none is missing (imported_atoms), which keep_ratio refers '
  'to; reason tells why a tensor is skipped, or not refitted';

CREATE FUNCTION hartonomous.region_plan(model hartonomous.regmodel, region real[], keep_inside boolean DEFAULT false,
    layer_pattern text DEFAULT '%', include_vectors boolean DEFAULT false)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  -- Raises 22023 if the region is invalid.
  region := hartonomous.region(region[1], region[2], region[3], region[4], region[5], region[6]);
  -- Queries the parent table because readers have rights on that only. Atoms in the region are counted in a query of
  -- their own, so that it can use the index.
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    WITH inside AS (
      SELECT a.layer_id, count(*) AS atoms, sum(hartonomous.weights_bytes(a.atom_data)) AS bytes
        FROM hartonomous.tensor_atoms a
       WHERE a.model_id = $1 AND hartonomous.in_region(a.weights_geometry, a.quantized_position, $2)
      GROUP BY a.layer_id),
    every AS (
      SELECT a.layer_id, count(*) AS atoms, sum(hartonomous.weights_bytes(a.atom_data)) AS bytes
        FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY a.layer_id),
    beside AS (
      SELECT f.layer_id, sum(f.bytes) AS bytes
      FROM hartonomous_internal.stored_forms($1, hartonomous_internal.live_base($1)) f GROUP BY f.layer_id),
    counted AS (
      SELECT t.*, coalesce(e.atoms, 0) AS atoms, coalesce(e.bytes, 0)::bigint AS bytes,
      coalesce(b.bytes, 0)::bigint AS beside,
      CASE WHEN t.reason IS NOT NULL THEN 0
                  WHEN $3 THEN coalesce(e.atoms, 0) - coalesce(i.atoms, 0) ELSE coalesce(i.atoms, 0) END AS removed,
      (CASE WHEN t.reason IS NOT NULL THEN 0
            WHEN $3 THEN coalesce(e.bytes, 0) - coalesce(i.bytes, 0)
            ELSE coalesce(i.bytes, 0) END)::bigint AS removed_bytes
        -- A region applies to embeddings, too. But atoms whose weights cannot be read have no positions computed from
        -- them.
        FROM hartonomous_internal.prunable_tensors($1, $4, $5, true, false) WITH ORDINALITY
             AS t (layer_id, layer_name, imported_atoms, reason, n)
        LEFT JOIN every e USING (layer_id) LEFT JOIN inside i USING (layer_id) LEFT JOIN beside b USING (layer_id))
    SELECT c.layer_id, c.layer_name, CASE WHEN c.removed > 0 THEN 'prune' END,
           CASE WHEN c.removed
           > 0 THEN jsonb_build_object('region', hartonomous_internal.reals_json($2), 'outside_region', NOT $3) END,
           c.atoms, c.atoms - c.removed, c.bytes + c.beside, c.bytes + c.beside - c.removed_bytes,
           coalesce(c.reason, CASE WHEN c.removed = 0 THEN 'nothing to prune' END), NULL::jsonb
      FROM counted c ORDER BY c.n$sql$) USING model, region, keep_inside, layer_pattern, include_vectors;
END
$$;
COMMENT ON FUNCTION hartonomous.region_plan(hartonomous.regmodel, real[], boolean, text, boolean) IS
  'what prune_region would remove, one row per tensor (see tensor_plan): the atoms in the region or, with keep_inside, '
  'those outside; reason tells why a tensor is skipped; 42704 if there is no such model, 22023 if the region is '
  'invalid or no tensor matches the pattern';

-- In this and other plan functions sets of tensors are joined by hashing, never by nested loops: for a model that was
-- imported after the last ANALYZE the planner expects only a few tensors, and nested loops over thousands take minutes.
-- jit is off because compiling takes longer than computing the plan.
--
-- format is a file type of llama-quantize (with pure, its base format for all tensors); NULL stands for the formats
-- planned for each atom. Overrides take precedence over both.
CREATE FUNCTION hartonomous.quantize_plan(model hartonomous.regmodel, format text DEFAULT NULL,
    layer_pattern text DEFAULT '%', overrides jsonb DEFAULT NULL, pure boolean DEFAULT false,
    column_importance regclass DEFAULT NULL, method text DEFAULT NULL, calibration_set text DEFAULT NULL,
    calibration_revision integer DEFAULT NULL, damping double precision DEFAULT NULL, sweeps integer DEFAULT NULL,
    sequential boolean DEFAULT NULL, curvature text DEFAULT NULL)
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  container text;
  named constant text := hartonomous_internal.mixture_named(format);
  mixture text := named;
  uniform text;
  calibration constant jsonb := hartonomous_internal.quantize_calibration(model, method, calibration_set,
    calibration_revision, column_importance, damping, sweeps, sequential, curvature);
BEGIN
  IF mixture IS NULL THEN
    uniform := hartonomous_internal.fitting_format(format, 256);  -- a format that is no mixture, or NULL
  ELSIF pure THEN
    SELECT p.base_format INTO uniform FROM hartonomous.mixtures() p WHERE p.mixture = named;
    mixture := NULL;
  END IF;
  PERFORM hartonomous_internal.require_matching_tensors(model, layer_pattern);
  PERFORM hartonomous_internal.check_rules(overrides, false);
  PERFORM hartonomous_internal.require_matching_tensors(model, r ->> 'pattern', layer_pattern)
     FROM jsonb_array_elements(overrides) r WHERE r ? 'pattern';
  -- Read once and not once per tensor, because the metadata can take many megabytes.
  SELECT m.metadata ->> 'format' INTO container FROM hartonomous.models m WHERE m.model_id = model;
  RETURN QUERY EXECUTE $sql$
    WITH wanted AS (
      SELECT l.layer_name, l.layer_idx, l.position, l.tensor_dtype, w.*
        FROM hartonomous.model_layers l
      JOIN hartonomous_internal.wanted_formats($1, $3, $4, $5, $2, $6, $7 IS NOT NULL OR $8 <> '{}') w USING (layer_id)
       WHERE l.model_id = $1),
    -- The formats that the weights of each tensor have now, and the target format for each of them.
    changes AS (
      SELECT f.*, coalesce(w.format, upper(f.planned)) AS wanted,
             hartonomous_internal.fitting_format(CASE WHEN w.kept IS NULL THEN coalesce(w.format, f.planned) END,
               w.run) AS fitting
        FROM wanted w JOIN hartonomous_internal.stored_values($1) f ON f.layer_id = w.layer_id),
    beside AS (
      SELECT f.layer_id, sum(f.other_bytes) AS other_bytes, min(f.most_bytes) AS most_bytes
        FROM hartonomous_internal.stored_forms($1, hartonomous_internal.live_base($1)) f GROUP BY f.layer_id),
    judged AS (
      SELECT c.layer_id, string_agg(DISTINCT c.format, '+' ORDER BY c.format) AS present,
             string_agg(DISTINCT coalesce(c.fitting, c.format), '+' ORDER BY coalesce(c.fitting, c.format)) AS target,
             bool_or(c.fitting <> c.format) AS changes,
             bool_or(c.fitting <> c.format AND c.format NOT IN ('F32', 'F16', 'BF16')) AS requantizes,
             bool_or(c.format NOT IN (SELECT k.format FROM hartonomous.formats() k WHERE k.readable)) AS carried,
             string_agg(DISTINCT c.wanted, ', ' ORDER BY c.wanted) FILTER (WHERE c.fitting <> c.wanted) AS unfit,
             jsonb_object_agg(c.planned, c.fitting) FILTER (WHERE c.planned IS NOT NULL) AS planned,
             sum(c.atoms)::bigint AS atoms, sum(c.bytes)::bigint AS bytes,
             -- Factors are converted together with their tensor; formats planned for its atoms do not apply to them.
             sum(CASE WHEN c.fitting <> c.format THEN c.n * hartonomous_internal.format_bytes(c.fitting, c.length)
                      ELSE c.bytes END)::bigint AS bytes_after,
             sum(hartonomous_internal.format_bytes(c.fitting, c.length)) FILTER (WHERE c.atoms = 0) AS beside_after
        FROM changes c GROUP BY c.layer_id),
    plan AS (
      SELECT w.*, b.layer_id IS NOT NULL AS factored, coalesce(j.present, w.tensor_dtype) AS present,
      j.target, j.changes, j.requantizes, j.unfit,
      j.planned,
      coalesce(j.atoms, 0) AS atoms, coalesce(j.bytes, 0) + coalesce(b.other_bytes, 0)::bigint AS bytes,
      coalesce(j.bytes_after, 0) + coalesce(b.other_bytes, 0)::bigint AS bytes_after,
      coalesce(w.kept, CASE WHEN j.carried THEN 'carried format' WHEN j.present IS NULL THEN 'empty'
                            WHEN w.format IS NULL AND j.planned IS NULL THEN 'nothing planned'
                            WHEN j.changes AND j.beside_after + b.other_bytes > b.most_bytes
                            THEN 'factors larger than one row holds' END) AS spared
        FROM wanted w LEFT JOIN judged j ON j.layer_id = w.layer_id LEFT JOIN beside b ON b.layer_id = w.layer_id)
    SELECT p.layer_id, p.layer_name, CASE WHEN p.spared IS NULL AND p.changes THEN 'quantize' END,
           CASE WHEN p.spared IS NULL AND p.changes THEN jsonb_strip_nulls(jsonb_build_object(
             'format', CASE WHEN p.format IS NOT NULL THEN p.target END,
             'planned_formats', CASE WHEN p.format IS NULL THEN p.planned END,
             'column_importance', hartonomous_internal.reals_json(i.column_importance)))
             || CASE WHEN s.layer_id IS NULL AND $8 ->> 'method' = 'hessian' AND p.format IS NOT NULL
                       AND p.layer_name = 'token_embd.weight'
                     -- Against the matrices that read it, of which each row has its own scale, but no gradient.
                     THEN $8 - ARRAY['sequential', 'curvature']
                     WHEN s.layer_id IS NULL THEN '{}'
                     -- Without a Gram matrix there is still its diagonal, which is also for atoms of several formats.
                     WHEN $8 ->> 'method' = 'hessian' AND (s.gram_layer_id IS NULL OR p.format IS NULL)
                     THEN ($8 - ARRAY['damping', 'sweeps', 'sequential', 'curvature']) || '{"method": "imatrix"}'
                     -- A tied embedding is used by the blocks, which must not be quantized before it.
                     ELSE $8 - CASE WHEN p.factored OR hartonomous_internal.layer_type(p.layer_name) = 'embedding'
                                    THEN 'sequential' ELSE '' END
                             - CASE WHEN g.layer_id IS NULL OR $8 ->> 'curvature' = 'input' THEN 'curvature'
                                    ELSE '' END END END,
           p.atoms, p.atoms, p.bytes, CASE WHEN p.spared IS NULL THEN p.bytes_after ELSE p.bytes END,
           coalesce(p.spared, CASE WHEN NOT p.changes THEN 'already there'
                                   WHEN p.unfit IS NOT NULL THEN 'rows fit no block of ' || p.unfit END),
           jsonb_strip_nulls(
             jsonb_build_object('present_format', p.present, 'target_format', CASE WHEN p.spared IS NULL
               AND p.changes THEN p.target END,
                              'requantizes', p.spared IS NULL AND coalesce(p.requantizes, false)))
      FROM plan p LEFT JOIN hartonomous_internal.column_importance_of($7, $1) i ON i.layer_id = p.layer_id
      LEFT JOIN hartonomous.calibration_stats s
        ON s.model_id = $1 AND s.calibration_set = $8 ->> 'calibration_set'
       AND s.revision_id = ($8 ->> 'calibration_revision')::integer AND s.layer_id = p.layer_id
      LEFT JOIN (SELECT DISTINCT g.layer_id FROM hartonomous.calibration_grams g
                  WHERE g.model_id = $1 AND g.calibration_set = $8 ->> 'calibration_set'
                    AND g.revision_id = ($8 ->> 'calibration_revision')::integer AND g.of_gradients) g
        ON g.layer_id = p.layer_id
      ORDER BY p.position
    $sql$ USING model, uniform, layer_pattern, container, mixture, overrides, column_importance, calibration;
END
$$;
COMMENT ON FUNCTION hartonomous.quantize_plan(hartonomous.regmodel, text, text, jsonb, boolean, regclass, text, text,
  integer, double precision, integer, boolean, text) IS
  'what quantize_model would do, one row per tensor that matches the pattern (see tensor_plan): its target format or, '
  'if atoms get the formats planned for them, what each of these becomes; details have its present and target formats, '
  'and whether quantized weights would be quantized again; reason tells why a tensor is kept, or gets another format '
  'than requested';

CREATE FUNCTION hartonomous.geometry_plan(model hartonomous.regmodel, format text DEFAULT 'Q8_0')
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  wrong record;
BEGIN
  IF format IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'format cannot be NULL',
      hint => 'Leave it out for Q8_0, or give F16 or F32.');
  END IF;
  format := upper(format);
  PERFORM hartonomous.encode_point(0, 0, 0, format);  -- raises 22023 before any work is done
  PERFORM hartonomous_internal.current_revision(model);
  SELECT count(*) AS atoms, min(v.tensor_atom_id) AS first INTO wrong
    FROM hartonomous.validate_coordinates(model) v
   WHERE v.fault = 'not a number' OR v.fault = 'outside'
   AND (format = 'Q8_0' OR 'Infinity' IN (abs(v.x), abs(v.y), abs(v.z)));
  IF wrong.atoms > 0 THEN
    PERFORM hartonomous_internal.raise_error('22003',
      format('%s atoms have positions that %s cannot hold', wrong.atoms, format),
      detail => pg_catalog.format('The first is atom %s.', wrong.first),
      hint => 'SELECT hartonomous.clamp_coordinates(model); moves them into the space.');
  END IF;
  -- Queries the parent table because readers have rights on that only.
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    WITH present AS (
      SELECT a.layer_id, count(*) AS atoms, count(a.weights_geometry) AS positions,
      count(a.quantized_position) AS encoded,
      sum(hartonomous.weights_bytes(a.atom_data))::bigint AS bytes
        FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY a.layer_id),
    beside AS (
      SELECT f.layer_id, sum(f.bytes)::bigint AS bytes
      FROM hartonomous_internal.stored_forms($1, hartonomous_internal.live_base($1)) f
       GROUP BY f.layer_id)
    SELECT l.layer_id, l.layer_name, CASE WHEN p.positions > 0 THEN 'encode_geometry' END,
           CASE WHEN p.positions > 0 THEN jsonb_build_object('format', $2) END, coalesce(p.atoms, 0),
           coalesce(p.atoms, 0),
           s.bytes, s.bytes,
           CASE WHEN p.positions > 0 THEN NULL WHEN p.encoded > 0 THEN 'already there' ELSE 'no positions' END,
           jsonb_build_object('positions', coalesce(p.positions, 0))
      FROM hartonomous.model_layers l LEFT JOIN present p ON p.layer_id = l.layer_id LEFT
      JOIN beside b ON b.layer_id = l.layer_id
     CROSS JOIN LATERAL (SELECT coalesce(p.bytes, 0) + coalesce(b.bytes, 0) AS bytes) s
     WHERE l.model_id = $1 ORDER BY l.position$sql$) USING model, format;
END
$$;
COMMENT ON FUNCTION hartonomous.geometry_plan(hartonomous.regmodel, text) IS
  'what quantize_model_geometry would do, one row per tensor (see tensor_plan); details have the number of positions '
  'to encode; weights stay as they are, the space of other columns is saved; 22023 if there is no such format, 22003 '
  'if an atom is out of range for it, 42704 if there is no such model';
