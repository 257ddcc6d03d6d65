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
      LEFT JOIN (SELECT DISTINCT s.layer_id FROM hartonomous.stored_forms($1, hartonomous.live_base($1)) s) f
        ON f.layer_id = t.layer_id
     ORDER BY t.position$sql$ USING model, layer_pattern, include_vectors, include_embeddings, counts_imported;
END
$$;
COMMENT ON FUNCTION hartonomous.prunable_tensors(integer, text, boolean, boolean, boolean) IS
  'the tensors that a pattern means, how many atoms each has when none is missing, and why it is not pruned by importance (NULL: it is)';

CREATE FUNCTION hartonomous.prune_plan(model integer, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    include_vectors boolean DEFAULT false, include_embeddings boolean DEFAULT false, keep_ratio_of text DEFAULT 'imported')
  RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET extra_float_digits = 1
AS $$
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
                    AS t (layer_id, layer_name, imported_atoms, reason, n)),
    beside AS MATERIALIZED (
      SELECT f.layer_id, sum(f.bytes)::bigint AS bytes FROM hartonomous.stored_forms($8, hartonomous.live_base($8)) f
       GROUP BY f.layer_id),
    cuts AS (
      SELECT t.*, (s.c).cut, coalesce((s.c).atoms, 0) AS atoms, coalesce((s.c).removed, 0) AS removed,
             coalesce((s.c).bytes, 0) AS bytes, coalesce((s.c).removed_bytes, 0) AS removed_bytes
        FROM tensors t
        -- Tensor by tensor, by the key: joined to all atoms the tensors would have to be sorted with them.
        CROSS JOIN LATERAL (SELECT hartonomous.prune_cut(a.importance_score, hartonomous.weights_bytes(a.atom_data),
                                     CASE WHEN t.reason IS NULL THEN $2 END,
                                     CASE WHEN t.reason IS NULL THEN $3 ELSE '-Infinity' END,
                                     CASE WHEN $7 THEN t.imported_atoms END) AS c
                              FROM %s a WHERE a.layer_id = t.layer_id) s)
    SELECT c.layer_id, c.layer_name, CASE WHEN c.removed > 0 THEN 'prune' END,
           CASE WHEN c.removed > 0 THEN jsonb_build_object('minimum_importance', c.cut) END,
           c.atoms, c.atoms - c.removed, c.bytes + coalesce(b.bytes, 0), c.bytes + coalesce(b.bytes, 0) - c.removed_bytes,
           coalesce(c.reason, CASE WHEN c.removed = 0 THEN 'nothing to prune' END),
           jsonb_build_object('imported_atoms', c.imported_atoms)
      FROM cuts c LEFT JOIN beside b USING (layer_id) ORDER BY c.n$sql$, atoms_of_model)
    USING tensors.layers, keep_ratio, threshold, tensors.names, tensors.imported, tensors.reasons, of_imported, model;
END
$$;
COMMENT ON FUNCTION hartonomous.prune_plan(integer, double precision, real, text, text, boolean, boolean, text) IS
  'what prune_by_importance would remove, a row a tensor (see tensor_plan): atoms with importance below minimum_importance; details say how many atoms it has when none is missing (imported_atoms), of which keep_ratio is a share; reason says why a tensor is passed over';

CREATE FUNCTION hartonomous.prune_plan(model text, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    include_vectors boolean DEFAULT false, include_embeddings boolean DEFAULT false, keep_ratio_of text DEFAULT 'imported')
  RETURNS SETOF hartonomous.tensor_plan
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

-- The region as a literal, so that the planner knows what it selects, and can take an index on places.
CREATE FUNCTION hartonomous.pruned_atoms(arguments jsonb) RETURNS text
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  box text := (SELECT '{' || string_agg(s.side, ',' ORDER BY s.n) || '}'
                 FROM jsonb_array_elements_text(arguments -> 'region') WITH ORDINALITY s (side, n));
BEGIN
  RETURN concat_ws(' OR ',
    'a.importance_score < ' || quote_literal(arguments ->> 'minimum_importance') || '::real',
    'hartonomous.in_region(a.weights_geometry, a.weights_geometry_q8, ' || quote_literal(box) || '::real[])'
      || CASE WHEN (arguments ->> 'outside_region')::boolean THEN '' ELSE ' IS NOT TRUE' END);
END
$$;
COMMENT ON FUNCTION hartonomous.pruned_atoms(jsonb) IS
  'which atoms a the operation "prune" with these arguments, which have been checked, removes, as a condition of a query: those that copy_atoms() does not copy';

-- Tensors that are pruned alike go at once, by an index on places if there is one.
CREATE FUNCTION hartonomous.prune_in_place(model integer, stage text, parameters jsonb, plan hartonomous.tensor_plan[])
  RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parent hartonomous.model_revisions;
  revision integer;
  source regclass := hartonomous.live_partition(model);
  delta regclass;
  list text;
  alike record;
  removed bigint;
  removed_bytes bigint;
BEGIN
  SELECT * INTO STRICT parent
    FROM hartonomous.model_revisions r WHERE r.revision_id = hartonomous.current_revision(model);
  revision := hartonomous.new_revision(model, stage, 'in_place', parameters);
  delta := hartonomous.create_atoms_partition(model, revision);
  list := hartonomous.moved_columns(source, delta);
  FOR alike IN
    SELECT p.arguments, array_agg(p.layer_id) AS layers FROM unnest(plan) p WHERE p.operation = 'prune' GROUP BY p.arguments
  LOOP
    EXECUTE format($sql$
      WITH gone AS (DELETE FROM %1$s a WHERE a.layer_id = ANY ($1) AND (%5$s) RETURNING a.*)
      INSERT INTO %2$s (revision_id, %3$s) SELECT %4$s, %3$s FROM gone
      $sql$, source, delta, list, revision,
      hartonomous.pruned_atoms(alike.arguments)) USING alike.layers;
  END LOOP;
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
COMMENT ON FUNCTION hartonomous.prune_in_place(integer, text, jsonb, hartonomous.tensor_plan[]) IS
  'a revision whose atoms are those that the operations "prune" of a plan leave: the others are deleted from the live partition and kept in a delta; the caller holds the model''s lock';

CREATE FUNCTION hartonomous.prune_notice(dry_run boolean, removed bigint, atoms bigint, removed_bytes bigint, bytes bigint)
  RETURNS text
  LANGUAGE sql STABLE PARALLEL SAFE COST 50
  RETURN format('%s %s of %s atoms (%s %%), %s -> %s', CASE WHEN dry_run THEN 'would prune' ELSE 'pruned' END,
                removed, atoms, round(100.0 * removed / greatest(atoms, 1), 1),
                hartonomous.human_bytes(bytes), hartonomous.human_bytes(bytes - removed_bytes));
COMMENT ON FUNCTION hartonomous.prune_notice(boolean, bigint, bigint, bigint, bigint) IS
  'the line that a pruning prints';

CREATE FUNCTION hartonomous.report_pruning(model integer, parameters jsonb, plan hartonomous.tensor_plan[], result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n record;
  passed_over text;
BEGIN
  SELECT sum(p.atoms_before)::bigint AS atoms, sum((p.details ->> 'imported_atoms')::bigint) AS imported,
         sum(p.atoms_before - p.atoms_after)::bigint AS removed, sum(p.bytes_before)::bigint AS bytes,
         sum(p.bytes_before - p.bytes_after)::bigint AS removed_bytes
    INTO n FROM unnest(plan) p WHERE p.operation IS NOT NULL OR p.reason = 'nothing to prune';
  SELECT hartonomous.passed_over(count(*) FILTER (WHERE p.reason = 'embedding or output'), 'of embeddings or output')
         || hartonomous.passed_over_opaque(plan)
         || hartonomous.passed_over(count(*) FILTER (WHERE p.reason = 'factored'), 'held as factors')
    INTO passed_over FROM unnest(plan) p;
  IF result IS NULL THEN
    RAISE NOTICE '%', concat('nothing to prune of ', n.atoms, ' atoms', ' (imported: ' || n.imported || ')', passed_over);
  ELSIF result ? 'dry_run' THEN
    RAISE NOTICE '%', hartonomous.prune_notice(true, n.removed, n.atoms, n.removed_bytes, n.bytes) || passed_over;
  ELSE
    RAISE NOTICE '%, revision %, % s%', hartonomous.prune_notice(false, n.removed, n.atoms, n.removed_bytes, n.bytes),
      result ->> 'revision', result ->> 'seconds', passed_over;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.report_pruning(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'says what a pruning did, would do, or found nothing to do; tensors are counted by the reasons that its plan gives';

CREATE FUNCTION hartonomous.plan_pruning(model integer, parameters jsonb) RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  plan hartonomous.tensor_plan[];
  n record;
BEGIN
  plan := ARRAY(SELECT p FROM hartonomous.prune_plan(model, (parameters ->> 'keep_ratio')::float8,
    (parameters ->> 'threshold')::real, parameters ->> 'scope', parameters ->> 'layer_pattern',
    (parameters ->> 'include_vectors')::boolean, (parameters ->> 'include_embeddings')::boolean,
    coalesce(parameters ->> 'keep_ratio_of', 'imported')) p);
  SELECT count(*) FILTER (WHERE p.operation IS NOT NULL OR p.reason = 'nothing to prune') AS prunable,
         count(*) FILTER (WHERE p.reason = 'embedding or output') AS embeddings,
         count(*) FILTER (WHERE p.reason = 'opaque') AS opaque, count(*) FILTER (WHERE p.reason = 'factored') AS factored
    INTO n FROM unnest(plan) p;
  IF n.prunable = 0 THEN
    RAISE EXCEPTION 'model % has no tensor like "%" to prune', model, parameters ->> 'layer_pattern'
      USING ERRCODE = '22023',
            DETAIL = format('Of those like it %s are embeddings or output, of %s the format is only carried, %s are factored; others are vectors.',
                            n.embeddings, n.opaque, n.factored),
            HINT = CASE WHEN n.embeddings > 0 THEN 'include_embeddings => true prunes embeddings and output, too.'
                        WHEN n.opaque + n.factored = 0 THEN 'include_vectors => true prunes vectors, too.'
                        ELSE 'SELECT * FROM hartonomous.prune_plan(...); shows why each tensor is passed over.' END;
  END IF;
  RETURN QUERY SELECT p.* FROM unnest(plan) p;
END
$$;
COMMENT ON FUNCTION hartonomous.plan_pruning(integer, jsonb) IS
  'prune_plan() for prune_by_importance(); 22023 when no tensor is left to prune';

CREATE FUNCTION hartonomous.prune_parameters(keep_ratio double precision, threshold real, scope text, layer_pattern text,
    dry_run boolean, method text, include_vectors boolean, include_embeddings boolean, keep_ratio_of text) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
BEGIN
  PERFORM hartonomous.check_prune_arguments(keep_ratio, threshold, scope, method, keep_ratio_of);
  IF dry_run IS NULL THEN  -- whoever says it meant something: it must not prune
    RAISE EXCEPTION 'dry_run cannot be NULL' USING ERRCODE = '22004';
  END IF;
  RETURN jsonb_strip_nulls(jsonb_build_object(
    'keep_ratio', keep_ratio, 'threshold', threshold, 'scope', scope, 'layer_pattern', layer_pattern,
    'include_vectors', include_vectors, 'include_embeddings', include_embeddings,
    'keep_ratio_of', CASE WHEN keep_ratio IS NOT NULL THEN keep_ratio_of END));
END
$$;
COMMENT ON FUNCTION hartonomous.prune_parameters(double precision, real, text, text, boolean, text, boolean, boolean, text) IS
  'the arguments of prune_by_importance() as its revision keeps them; 22023 when they do not fit together, 22004 when dry_run is NULL';

-- Cancelled, killed, called twice: as run_stage().
CREATE PROCEDURE hartonomous.prune_by_importance(model integer, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    dry_run boolean DEFAULT false, method text DEFAULT 'auto', include_vectors boolean DEFAULT false,
    include_embeddings boolean DEFAULT false, keep_ratio_of text DEFAULT 'imported', nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous.run_stage(model, 'prune_by_importance',
    hartonomous.prune_parameters(keep_ratio, threshold, scope, layer_pattern, dry_run, method, include_vectors,
                                 include_embeddings, keep_ratio_of), nowait, method, dry_run);
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
