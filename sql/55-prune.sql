-- Pruning is a DELETE: the least important atoms of a tensor leave the model; missing atoms are zeros.

CREATE FUNCTION hartonomous.check_prune_arguments(keep_ratio double precision, threshold real, scope text, method text)
  RETURNS void
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
END
$$;
COMMENT ON FUNCTION hartonomous.check_prune_arguments(double precision, real, text, text) IS
  '22023 when the arguments of a pruning do not fit together';

CREATE TYPE hartonomous.prune_summary AS (
  cut real, atoms bigint, removed bigint, bytes bigint, removed_bytes bigint
);
COMMENT ON TYPE hartonomous.prune_summary IS
  'what pruning a group of atoms means: those with importance below cut are removed';

CREATE FUNCTION hartonomous.prune_cut_transition(internal, real, bigint, double precision, real) RETURNS internal
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.prune_cut_transition(internal, real, bigint, double precision, real) IS
  'transition of prune_cut';
CREATE FUNCTION hartonomous.prune_cut_final(internal) RETURNS hartonomous.prune_summary
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous.prune_cut_final(internal) IS 'result of prune_cut';
-- Not combinable: the ranking needs all atoms of the group in one place, and shipping them there costs more than
-- collecting them.
CREATE AGGREGATE hartonomous.prune_cut(importance real, bytes bigint, keep_ratio double precision, threshold real) (
  SFUNC = hartonomous.prune_cut_transition, STYPE = internal, SSPACE = 65536,
  FINALFUNC = hartonomous.prune_cut_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE hartonomous.prune_cut(real, bigint, double precision, real) IS
  'where to cut a group of atoms: below the threshold, or so that the least important floor(n x (1 - keep_ratio)) go, ties with the least kept staying; atoms without importance stay; 22023 unless one of keep_ratio and threshold is given';

CREATE FUNCTION hartonomous.prune_plan(model integer, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    include_vectors boolean DEFAULT false)
  RETURNS TABLE (layer_id bigint, layer_name text, minimum_importance real,
                 atoms bigint, removed bigint, bytes bigint, removed_bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  -- Through the parent, for which readers have rights.
  atoms_of_model text := format('(SELECT * FROM hartonomous.tensor_atoms WHERE model_id = %s)', model);
  layers bigint[];
  cut hartonomous.prune_summary;
BEGIN
  PERFORM hartonomous.check_prune_arguments(keep_ratio, threshold, scope, 'auto');
  PERFORM hartonomous.current_revision(model);
  SELECT array_agg(l.layer_id) INTO layers
    FROM hartonomous.model_layers l
   WHERE l.model_id = model AND l.layer_name LIKE layer_pattern
     AND (include_vectors OR cardinality(l.tensor_shape) > 1);
  IF scope = 'model' AND keep_ratio IS NOT NULL THEN
    EXECUTE format($sql$
      SELECT (c).* FROM (
        SELECT hartonomous.prune_cut(a.importance_score, 0::bigint, $2, NULL) AS c
          FROM %s a WHERE a.layer_id = ANY ($1)) s$sql$, atoms_of_model)
      INTO cut USING layers, keep_ratio;
    threshold := coalesce(cut.cut, '-Infinity');
    keep_ratio := NULL;
  END IF;
  RETURN QUERY EXECUTE format($sql$
    SELECT l.layer_id, l.layer_name, (s.c).cut, coalesce((s.c).atoms, 0), coalesce((s.c).removed, 0),
           coalesce((s.c).bytes, 0), coalesce((s.c).removed_bytes, 0)
      FROM hartonomous.model_layers l
      LEFT JOIN (SELECT a.layer_id,
                        hartonomous.prune_cut(a.importance_score, hartonomous.weights_bytes(a.atom_data), $2, $3) AS c
                   FROM %s a WHERE a.layer_id = ANY ($1) GROUP BY a.layer_id OFFSET 0) s ON s.layer_id = l.layer_id
     WHERE l.layer_id = ANY ($1) ORDER BY l.position$sql$, atoms_of_model)
    USING layers, keep_ratio, threshold;
END
$$;
COMMENT ON FUNCTION hartonomous.prune_plan(integer, double precision, real, text, text, boolean) IS
  'what prune_by_importance would remove, a row a tensor: atoms with importance below minimum_importance';

CREATE FUNCTION hartonomous.prune_plan(model text, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    include_vectors boolean DEFAULT false)
  RETURNS TABLE (layer_id bigint, layer_name text, minimum_importance real,
                 atoms bigint, removed bigint, bytes bigint, removed_bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.prune_plan(hartonomous.model_id(model), keep_ratio, threshold, scope,
                                                    layer_pattern, include_vectors);
END
$$;
COMMENT ON FUNCTION hartonomous.prune_plan(text, double precision, real, text, text, boolean) IS 'the same for a model by its name';

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
  run bigint;
BEGIN
  IF dry_run OR (removed OPERATOR(pg_catalog.=) 0) THEN
    RAISE NOTICE '%', hartonomous.prune_notice(dry_run, removed, atoms, removed_bytes, bytes);
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
  RAISE NOTICE '%, revision %, % s', hartonomous.prune_notice(false, removed, atoms, removed_bytes, bytes),
    hartonomous.current_revision(model),
    pg_catalog.round(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) started), 1);
END
$$;
COMMENT ON PROCEDURE hartonomous.execute_prune(integer, jsonb, text, boolean, jsonb, bigint[], real[], real[], boolean) IS
  'does, or in a dry run only says, what prune_by_importance() or prune_region() has planned (atoms, removed, bytes, removed_bytes): in place or by rewriting; the caller holds the model''s lock';

-- Cancelled or killed in place: nothing has happened. In a rewrite: see execute_run(). A second caller waits for
-- the model's lock, or with nowait fails with 55P03.
CREATE PROCEDURE hartonomous.prune_by_importance(model integer, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    dry_run boolean DEFAULT false, method text DEFAULT 'auto', include_vectors boolean DEFAULT false,
    nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
DECLARE
  commits boolean := hartonomous.can_commit();
  plan pg_catalog.record;
BEGIN
  PERFORM hartonomous.check_prune_arguments(keep_ratio, threshold, scope, method);
  IF dry_run IS NULL THEN  -- whoever says it meant something: it must not prune
    RAISE EXCEPTION 'dry_run cannot be NULL' USING ERRCODE = '22004';
  END IF;
  PERFORM hartonomous.current_revision(model);
  PERFORM hartonomous.lock_model(model, nowait, commits);
  SELECT pg_catalog.jsonb_build_object('atoms', pg_catalog.sum(p.atoms), 'removed', pg_catalog.sum(p.removed),
           'bytes', pg_catalog.sum(p.bytes), 'removed_bytes', pg_catalog.sum(p.removed_bytes)) AS numbers,
         pg_catalog.array_agg(p.layer_id) AS layers, pg_catalog.array_agg(p.minimum_importance) AS cuts
    INTO plan
    FROM hartonomous.prune_plan(model, keep_ratio, threshold, scope, layer_pattern, include_vectors) p;
  IF plan.layers IS NULL THEN
    RAISE EXCEPTION 'model % has no tensor like "%" to prune', model, layer_pattern USING ERRCODE = '22023';
  END IF;
  CALL hartonomous.execute_prune(model, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
      'keep_ratio', keep_ratio, 'threshold', threshold, 'scope', scope, 'layer_pattern', layer_pattern,
      'include_vectors', include_vectors)), method, dry_run, plan.numbers, plan.layers, plan.cuts);
  IF commits THEN
    PERFORM hartonomous.unlock_model(model);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.prune_by_importance(integer, double precision, real, text, text, boolean, text, boolean, boolean) IS
  'removes the least important atoms: a share of them (keep_ratio) or those below a score (threshold), ranked within each tensor or over the whole model; in place when few go, else by rewriting; rollback_model() undoes it; 22023 on arguments that do not fit';

CREATE PROCEDURE hartonomous.prune_by_importance(model text, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    dry_run boolean DEFAULT false, method text DEFAULT 'auto', include_vectors boolean DEFAULT false,
    nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous.prune_by_importance(hartonomous.model_id(model), keep_ratio, threshold, scope, layer_pattern,
                                       dry_run, method, include_vectors, nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.prune_by_importance(text, double precision, real, text, text, boolean, text, boolean, boolean) IS
  'the same for a model by its name';
