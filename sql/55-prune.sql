-- Pruning is a DELETE: the least important atoms of a tensor leave the model; missing atoms are zeros.

CREATE FUNCTION hartonomous.check_prune_arguments(keep_ratio double precision, threshold real, scope text, method text,
    keep_ratio_of text DEFAULT 'imported') RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF (keep_ratio IS NULL) = (threshold IS NULL) THEN
    RAISE EXCEPTION 'give either keep_ratio or threshold' USING ERRCODE = '22023';
  END IF;
  IF NOT keep_ratio BETWEEN 0 AND 1 THEN  -- NaN is greater than 1 here
    RAISE EXCEPTION 'keep_ratio must be between 0 and 1, not %', keep_ratio USING ERRCODE = '22023';
  END IF;
  IF threshold = 'NaN' THEN
    RAISE EXCEPTION 'threshold is not a number' USING ERRCODE = '22023';
  END IF;
  IF scope IS NULL OR scope NOT IN ('tensor', 'model') THEN
    RAISE EXCEPTION 'unknown scope "%"', scope
      USING ERRCODE = '22023', HINT = 'Scopes are "tensor" (rank within each tensor) and "model" (one ranking).';
  END IF;
  IF method IS NULL OR method NOT IN ('auto', 'in_place', 'rewrite') THEN
    RAISE EXCEPTION 'unknown method "%"', method
      USING ERRCODE = '22023', HINT = 'Methods are "auto", "in_place" and "rewrite".';
  END IF;
  IF keep_ratio_of IS NULL OR keep_ratio_of NOT IN ('imported', 'present') THEN
    RAISE EXCEPTION 'unknown keep_ratio_of "%"', keep_ratio_of
      USING ERRCODE = '22023',
            HINT = 'keep_ratio is a share of the atoms that were "imported" or, each time anew, of those "present".';
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.check_prune_arguments(double precision, real, text, text, text) IS
  '22023 when the arguments of a pruning do not fit together';

CREATE TYPE hartonomous.prune_summary AS (
  cut real, atoms bigint, removed bigint, bytes bigint, removed_bytes bigint
);
COMMENT ON TYPE hartonomous.prune_summary IS
  'what pruning a group of atoms means: those with importance below cut are removed';

CREATE FUNCTION hartonomous.prune_cut_transition(internal, real, bigint, double precision, real, bigint)
  RETURNS internal
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.prune_cut_transition(internal, real, bigint, double precision, real, bigint) IS
  'transition of prune_cut';
CREATE FUNCTION hartonomous.prune_cut_final(internal) RETURNS hartonomous.prune_summary
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.prune_cut_final(internal) IS 'result of prune_cut';
-- Not combinable: the ranking needs all atoms of the group in one place, and shipping them there costs more than
-- collecting them.
CREATE AGGREGATE hartonomous.prune_cut(importance real, bytes bigint, keep_ratio double precision, threshold real,
                                       of_atoms bigint) (
  SFUNC = hartonomous.prune_cut_transition, STYPE = internal, SSPACE = 65536,
  FINALFUNC = hartonomous.prune_cut_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE hartonomous.prune_cut(real, bigint, double precision, real, bigint) IS
  'where to cut a group of atoms: below the threshold, or so that in the end the least important floor(of_atoms x (1 - keep_ratio)) are missing, those that are missing already among them, ties with the least kept staying; of_atoms NULL: as many as there are with an importance; atoms without importance stay; 22023 unless one of keep_ratio and threshold is given';

-- Every token passes through the embeddings and the output, and their rows are as important as their tokens are
-- frequent, which their magnitudes do not tell: pruning them by magnitude costs far more than it saves.
CREATE FUNCTION hartonomous.prunable_tensors(model integer, layer_pattern text, include_vectors boolean,
    include_embeddings boolean, counts_imported boolean)
  RETURNS TABLE (layer_id bigint, layer_name text, imported_atoms bigint, reason text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.current_revision(model);
  PERFORM hartonomous.require_matching_tensors(model, layer_pattern);
  RETURN QUERY EXECUTE $sql$
    WITH tensors AS (
      SELECT l.* FROM hartonomous.model_layers l
       WHERE l.model_id = $1 AND l.layer_name LIKE $2 AND ($3 OR cardinality(l.tensor_shape) > 1)),
    carried AS (
      SELECT DISTINCT a.layer_id FROM hartonomous.tensor_atoms a
       WHERE a.model_id = $1 AND a.layer_id = ANY (ARRAY(SELECT t.layer_id FROM tensors t))
         AND hartonomous.weights_format(a.atom_data) <> ALL (ARRAY(SELECT f.format FROM hartonomous.formats() f WHERE f.readable)))
    SELECT t.layer_id, t.layer_name, hartonomous.expected_atoms(t.parameter_count, t.row_length, t.atom_size),
           CASE WHEN t.layer_type IN ('embedding', 'output') AND $4 IS NOT TRUE THEN 'embedding or output'
                WHEN c.layer_id IS NOT NULL THEN 'opaque'
                -- Its atoms are what its factors leave over: how many are missing says nothing.
                WHEN f.layer_id IS NOT NULL AND $5 THEN 'factored' END
      FROM tensors t
      LEFT JOIN carried c ON c.layer_id = t.layer_id
      LEFT JOIN hartonomous.svd_compressed_layers f
        ON f.model_id = $1 AND f.layer_id = t.layer_id AND f.revision_id = hartonomous.live_base($1)
     ORDER BY t.position$sql$ USING model, layer_pattern, include_vectors, include_embeddings, counts_imported;
END
$$;
COMMENT ON FUNCTION hartonomous.prunable_tensors(integer, text, boolean, boolean, boolean) IS
  'the tensors that a pattern means, how many atoms each has when none is missing, and why it is not pruned by importance (NULL: it is)';

CREATE FUNCTION hartonomous.prune_plan(model integer, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    include_vectors boolean DEFAULT false, include_embeddings boolean DEFAULT false, keep_ratio_of text DEFAULT 'imported')
  RETURNS TABLE (layer_id bigint, layer_name text, minimum_importance real, atoms bigint, removed bigint, bytes bigint,
                 removed_bytes bigint, imported_atoms bigint, reason text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  -- Through the parent, for which readers have rights.
  atoms_of_model text := format('(SELECT * FROM hartonomous.tensor_atoms WHERE model_id = %s)', model);
  of_imported boolean := keep_ratio IS NOT NULL AND keep_ratio_of = 'imported';
  tensors record;
  cut hartonomous.prune_summary;
BEGIN
  PERFORM hartonomous.check_prune_arguments(keep_ratio, threshold, scope, 'auto', keep_ratio_of);
  SELECT array_agg(t.layer_id) AS layers, array_agg(t.layer_name) AS names, array_agg(t.imported_atoms) AS imported,
         array_agg(t.reason) AS reasons, array_agg(t.layer_id) FILTER (WHERE t.reason IS NULL) AS pruned,
         CASE WHEN of_imported THEN sum(t.imported_atoms) FILTER (WHERE t.reason IS NULL) END AS of_atoms
    INTO tensors
    FROM hartonomous.prunable_tensors(model, layer_pattern, include_vectors, include_embeddings, of_imported) t;
  IF scope = 'model' AND keep_ratio IS NOT NULL THEN
    EXECUTE format($sql$
      SELECT (c).* FROM (
        SELECT hartonomous.prune_cut(a.importance_score, 0::bigint, $2, NULL, $3::bigint) AS c
          FROM %s a WHERE a.layer_id = ANY ($1)) s$sql$, atoms_of_model)
      INTO cut USING tensors.pruned, keep_ratio, tensors.of_atoms;
    threshold := coalesce(cut.cut, '-Infinity');
    keep_ratio := NULL;
  END IF;
  RETURN QUERY EXECUTE format($sql$
    WITH tensors AS (
      SELECT * FROM ROWS FROM (unnest($1), unnest($4), unnest($5), unnest($6)) WITH ORDINALITY
                    AS t (layer_id, layer_name, imported_atoms, reason, n))
    SELECT t.layer_id, t.layer_name, CASE WHEN t.reason IS NULL THEN (s.c).cut END, coalesce((s.c).atoms, 0),
           coalesce((s.c).removed, 0), coalesce((s.c).bytes, 0), coalesce((s.c).removed_bytes, 0), t.imported_atoms, t.reason
      FROM tensors t
      -- Tensor by tensor, by the key: joined to all atoms the tensors would have to be sorted with them.
      CROSS JOIN LATERAL (SELECT hartonomous.prune_cut(a.importance_score, hartonomous.weights_bytes(a.atom_data),
                                   CASE WHEN t.reason IS NULL THEN $2 END,
                                   CASE WHEN t.reason IS NULL THEN $3 ELSE '-Infinity' END,
                                   CASE WHEN $7 THEN t.imported_atoms END) AS c
                            FROM %s a WHERE a.layer_id = t.layer_id) s
     ORDER BY t.n$sql$, atoms_of_model)
    USING tensors.layers, keep_ratio, threshold, tensors.names, tensors.imported, tensors.reasons, of_imported;
END
$$;
COMMENT ON FUNCTION hartonomous.prune_plan(integer, double precision, real, text, text, boolean, boolean, text) IS
  'what prune_by_importance would remove, a row a tensor: atoms with importance below minimum_importance; imported_atoms is how many it has when none is missing, of which keep_ratio is a share; reason says why a tensor is passed over';

CREATE FUNCTION hartonomous.prune_plan(model text, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    include_vectors boolean DEFAULT false, include_embeddings boolean DEFAULT false, keep_ratio_of text DEFAULT 'imported')
  RETURNS TABLE (layer_id bigint, layer_name text, minimum_importance real, atoms bigint, removed bigint, bytes bigint,
                 removed_bytes bigint, imported_atoms bigint, reason text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.prune_plan(hartonomous.model_id(model), keep_ratio, threshold, scope,
                                                    layer_pattern, include_vectors, include_embeddings, keep_ratio_of);
END
$$;
COMMENT ON FUNCTION hartonomous.prune_plan(text, double precision, real, text, text, boolean, boolean, text) IS
  'the same for a model by its name';

CREATE FUNCTION hartonomous.prune_in_place(model integer, parameters jsonb, layers bigint[], cuts real[],
    region real[] DEFAULT NULL, keep_inside boolean DEFAULT false) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parent hartonomous.model_revisions;
  revision integer;
  source regclass := hartonomous.live_partition(model);
  delta regclass;
  list text;
  removed bigint;
  removed_bytes bigint;
BEGIN
  SELECT * INTO STRICT parent
    FROM hartonomous.model_revisions r WHERE r.revision_id = hartonomous.current_revision(model);
  revision := hartonomous.new_revision(model, 'prune', 'in_place', parameters);
  delta := hartonomous.create_atoms_partition(model, revision);
  list := hartonomous.moved_columns(source, delta);
  EXECUTE format($sql$
    WITH gone AS (
      DELETE FROM %1$s a USING unnest($1, $2) AS c(layer_id, cut)
       WHERE a.layer_id = c.layer_id AND %5$s RETURNING a.*)
    INSERT INTO %2$s (revision_id, %3$s) SELECT %4$s, %3$s FROM gone
    $sql$, source, delta, list, revision,
    CASE WHEN region IS NULL THEN 'a.importance_score < c.cut'
         ELSE 'hartonomous.in_region(a.weights_geometry, a.weights_geometry_q8, $3)'
              || CASE WHEN keep_inside THEN ' IS NOT TRUE' ELSE '' END END) USING layers, cuts, region;
  EXECUTE format('SELECT count(*), coalesce(sum(hartonomous.weights_bytes(atom_data)), 0) FROM %s', delta)
    INTO removed, removed_bytes;
  PERFORM hartonomous.attach_backup(model, revision);
  UPDATE hartonomous.model_revisions r
     SET atom_count = parent.atom_count - removed, logical_bytes = parent.logical_bytes - removed_bytes,
         physical_bytes = pg_total_relation_size(source)
   WHERE r.revision_id = revision;
  PERFORM hartonomous.make_current(model, revision);
  RETURN revision;
END
$$;
COMMENT ON FUNCTION hartonomous.prune_in_place(integer, jsonb, bigint[], real[], real[], boolean) IS
  'a revision whose atoms below the given cuts, or in (or outside) a region, are deleted from the live partition and kept in a delta; the caller holds the model''s lock';

CREATE FUNCTION hartonomous.prune_notice(dry_run boolean, removed bigint, atoms bigint, removed_bytes bigint, bytes bigint)
  RETURNS text
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
  RETURN format('%s %s of %s atoms (%s %%), %s -> %s', CASE WHEN dry_run THEN 'would prune' ELSE 'pruned' END,
                removed, atoms, round(100.0 * removed / greatest(atoms, 1), 1),
                hartonomous.human_bytes(bytes), hartonomous.human_bytes(bytes - removed_bytes));
COMMENT ON FUNCTION hartonomous.prune_notice(boolean, bigint, bigint, bigint, bigint) IS
  'the line that a pruning prints';

CREATE FUNCTION hartonomous.passed_over(tensors bigint, why text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN CASE WHEN tensors > 0
              THEN format('; passed over %s tensor%s %s', tensors, CASE WHEN tensors > 1 THEN 's' ELSE '' END, why) ELSE '' END;
COMMENT ON FUNCTION hartonomous.passed_over(bigint, text) IS
  'what the notice of a stage says of tensors that it left alone; nothing when there are none';

-- What both ways of pruning come to, once it is planned.
CREATE PROCEDURE hartonomous.execute_prune(model integer, parameters pg_catalog.jsonb, method text, dry_run boolean,
    planned pg_catalog.jsonb, layers bigint[], cuts real[], region real[] DEFAULT NULL, keep_inside boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
DECLARE
  commits boolean := hartonomous.can_commit();
  started pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  atoms bigint := planned OPERATOR(pg_catalog.->>) 'atoms';
  removed bigint := planned OPERATOR(pg_catalog.->>) 'removed';
  bytes bigint := planned OPERATOR(pg_catalog.->>) 'bytes';
  removed_bytes bigint := planned OPERATOR(pg_catalog.->>) 'removed_bytes';
  passed_over pg_catalog.text := coalesce(planned OPERATOR(pg_catalog.->>) 'passed_over', '');
  run bigint;
BEGIN
  IF removed OPERATOR(pg_catalog.=) 0 THEN
    RAISE NOTICE '%', pg_catalog.concat('nothing to prune of ', atoms, ' atoms', ' (imported: '
      OPERATOR(pg_catalog.||) (planned OPERATOR(pg_catalog.->>) 'imported_atoms') OPERATOR(pg_catalog.||) ')', passed_over);
    RETURN;
  END IF;
  IF dry_run THEN
    RAISE NOTICE '%', hartonomous.prune_notice(true, removed, atoms, removed_bytes, bytes) OPERATOR(pg_catalog.||) passed_over;
    RETURN;
  END IF;
  -- A rewrite costs what is kept, deleting in place costs what goes and leaves dead rows behind.
  IF (method OPERATOR(pg_catalog.=) 'in_place') OR ((method OPERATOR(pg_catalog.=) 'auto')
      AND (removed OPERATOR(pg_catalog.<) (atoms OPERATOR(pg_catalog.*) 0.2))) THEN
    PERFORM hartonomous.prune_in_place(model, parameters, layers, cuts, region, keep_inside);
    IF commits THEN
      COMMIT;
    END IF;
  ELSE
    run := hartonomous.start_run(model, 'prune', 'rewrite', parameters);
    INSERT INTO hartonomous.compression_steps (run_id, layer_id, minimum_importance, region, outside_region)
      SELECT run, l.layer_id, c.cut, CASE WHEN c.layer_id IS NOT NULL THEN region END, NOT keep_inside
        FROM hartonomous.model_layers l
        LEFT JOIN ROWS FROM (pg_catalog.unnest(layers), pg_catalog.unnest(cuts)) AS c (layer_id, cut)
          ON c.layer_id OPERATOR(pg_catalog.=) l.layer_id
       WHERE l.model_id OPERATOR(pg_catalog.=) model
      ON CONFLICT DO NOTHING;
    CALL hartonomous.execute_run(run);
  END IF;
  RAISE NOTICE '%, revision %, % s%', hartonomous.prune_notice(false, removed, atoms, removed_bytes, bytes),
    hartonomous.current_revision(model),
    pg_catalog.round(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) started), 1), passed_over;
END
$$;
COMMENT ON PROCEDURE hartonomous.execute_prune(integer, jsonb, text, boolean, jsonb, bigint[], real[], real[], boolean) IS
  'does, or in a dry run only says, what prune_by_importance() or prune_region() has planned (atoms, imported_atoms, removed, bytes, removed_bytes, what was passed_over): in place or by rewriting; the caller holds the model''s lock';

-- Tensors are counted by the reasons that prune_plan() gives.
CREATE FUNCTION hartonomous.planned_pruning(model integer, keep_ratio double precision, threshold real, scope text,
    layer_pattern text, include_vectors boolean, include_embeddings boolean, keep_ratio_of text,
    OUT numbers jsonb, OUT layers bigint[], OUT cuts real[])
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  embeddings bigint;
  opaque bigint;
  factored bigint;
BEGIN
  SELECT jsonb_build_object('atoms', sum(p.atoms) FILTER (WHERE p.reason IS NULL),
           'imported_atoms', sum(p.imported_atoms) FILTER (WHERE p.reason IS NULL), 'removed', sum(p.removed),
           'bytes', sum(p.bytes) FILTER (WHERE p.reason IS NULL), 'removed_bytes', sum(p.removed_bytes)),
         array_agg(p.layer_id) FILTER (WHERE p.reason IS NULL),
         array_agg(p.minimum_importance) FILTER (WHERE p.reason IS NULL),
         count(*) FILTER (WHERE p.reason = 'embedding or output'), count(*) FILTER (WHERE p.reason = 'opaque'),
         count(*) FILTER (WHERE p.reason = 'factored')
    INTO numbers, layers, cuts, embeddings, opaque, factored
    FROM hartonomous.prune_plan(model, keep_ratio, threshold, scope, layer_pattern, include_vectors, include_embeddings,
                                keep_ratio_of) p;
  IF layers IS NULL THEN
    RAISE EXCEPTION 'model % has no tensor like "%" to prune', model, layer_pattern
      USING ERRCODE = '22023',
            DETAIL = format('Of those like it %s are embeddings or output, of %s the format is only carried, %s are factored; others are vectors.',
                            embeddings, opaque, factored),
            HINT = CASE WHEN embeddings > 0 THEN 'include_embeddings => true prunes embeddings and output, too.'
                        WHEN opaque + factored = 0 THEN 'include_vectors => true prunes vectors, too.'
                        ELSE 'SELECT * FROM hartonomous.prune_plan(...); shows why each tensor is passed over.' END;
  END IF;
  numbers := numbers || jsonb_build_object('passed_over',
    hartonomous.passed_over(embeddings, 'of embeddings or output')
    || hartonomous.passed_over(opaque, 'whose format is only carried')
    || hartonomous.passed_over(factored, 'held as factors'));
END
$$;
COMMENT ON FUNCTION hartonomous.planned_pruning(integer, double precision, real, text, text, boolean, boolean, text) IS
  'prune_plan() as execute_prune() takes it; 22023 when no tensor is left to prune';

-- Cancelled or killed in place: nothing has happened. In a rewrite: see execute_run(). A second caller waits for
-- the model's lock, or with nowait fails with 55P03.
CREATE PROCEDURE hartonomous.prune_by_importance(model integer, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    dry_run boolean DEFAULT false, method text DEFAULT 'auto', include_vectors boolean DEFAULT false,
    include_embeddings boolean DEFAULT false, keep_ratio_of text DEFAULT 'imported', nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
DECLARE
  commits boolean := hartonomous.can_commit();
  plan pg_catalog.record;
BEGIN
  PERFORM hartonomous.check_prune_arguments(keep_ratio, threshold, scope, method, keep_ratio_of);
  IF dry_run IS NULL THEN  -- whoever says it meant something: it must not prune
    RAISE EXCEPTION 'dry_run cannot be NULL' USING ERRCODE = '22004';
  END IF;
  PERFORM hartonomous.current_revision(model);
  PERFORM hartonomous.lock_model(model, nowait, commits);
  SELECT * INTO plan
    FROM hartonomous.planned_pruning(model, keep_ratio, threshold, scope, layer_pattern, include_vectors,
                                     include_embeddings, keep_ratio_of);
  CALL hartonomous.execute_prune(model, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
      'keep_ratio', keep_ratio, 'threshold', threshold, 'scope', scope, 'layer_pattern', layer_pattern,
      'include_vectors', include_vectors, 'include_embeddings', include_embeddings,
      'keep_ratio_of', CASE WHEN keep_ratio IS NOT NULL THEN keep_ratio_of END)), method, dry_run, plan.numbers,
    plan.layers, plan.cuts);
  IF commits THEN
    PERFORM hartonomous.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.prune_by_importance(integer, double precision, real, text, text, boolean, text, boolean, boolean, text, boolean) IS
  'removes the least important atoms: all but a share of those imported (keep_ratio; keep_ratio_of => ''present'': of those there now) or those below a score (threshold), ranked within each tensor or over the whole model; not of embeddings and output unless include_embeddings; in place when few go, else by rewriting; rollback_model() undoes it; 22023 on arguments that do not fit';

CREATE PROCEDURE hartonomous.prune_by_importance(model text, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    dry_run boolean DEFAULT false, method text DEFAULT 'auto', include_vectors boolean DEFAULT false,
    include_embeddings boolean DEFAULT false, keep_ratio_of text DEFAULT 'imported', nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous.prune_by_importance(hartonomous.model_id(model), keep_ratio, threshold, scope, layer_pattern,
                                       dry_run, method, include_vectors, include_embeddings, keep_ratio_of, nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.prune_by_importance(text, double precision, real, text, text, boolean, text, boolean, boolean, text, boolean) IS
  'the same for a model by its name';
