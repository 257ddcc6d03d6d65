-- The checks of check_model(), one function per kind of fault.

CREATE FUNCTION hartonomous_internal.tensor_positions(model integer, tensor text)
  RETURNS TABLE (atom_sequence integer, x real, y real, importance_score real)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000 ROWS 10000
  SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION hartonomous_internal.tensor_positions(integer, text) IS
  'the positions that the atoms of a tensor would get if it were imported with its current weights; 42704 if there is '
  'no such model or tensor';

CREATE FUNCTION hartonomous_internal.dense_tensors(model integer)
  RETURNS TABLE (layer_id bigint, layer_name text, "position" integer, matrix boolean)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  base constant integer := hartonomous_internal.live_base(model);
BEGIN
  RETURN QUERY
    SELECT l.layer_id, l.layer_name, l.position, cardinality(l.tensor_shape) > 1 FROM hartonomous.model_layers l
     WHERE l.model_id = model
       AND l.layer_id NOT IN (SELECT f.layer_id FROM hartonomous_internal.stored_forms(model, base) f);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.dense_tensors(integer) IS
  'the tensors of a model that have no factors, whose atoms therefore are all of their weights';

CREATE FUNCTION hartonomous_internal.check_atoms(model integer)
  RETURNS TABLE (fault text, layer_name text, atoms bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    SELECT f.fault, coalesce(l.layer_name, f.tensor_name), count(*),
           format('atom %s first', min(f.atom_sequence))
      FROM (SELECT a.layer_id, a.tensor_name, a.atom_sequence, unnest(array_remove(ARRAY[
                     CASE WHEN l.layer_id IS NULL THEN 'no such tensor' END,
                     CASE WHEN a.tensor_name IS DISTINCT FROM l.layer_name
                     AND l.layer_id IS NOT NULL THEN 'wrong tensor_name' END,
                     CASE WHEN a.atom_sequence >= l.expected THEN 'outside its matrix' END,
                     CASE WHEN a.atom_sequence < l.expected AND hartonomous.weights_count(a.atom_data) <>
                               hartonomous_internal.atom_length(l.parameter_count, l.row_length, l.atom_size,
                                 a.atom_sequence)
                          THEN 'wrong length' END,
                     CASE WHEN a.content_hash IS DISTINCT FROM sha256(a.atom_data::bytea) THEN 'wrong hash' END,
                     -- The mean square of an atom with a non-finite weight is not finite either.
                     CASE WHEN hartonomous.weights_format(a.atom_data) = ANY ($2)
                               AND hartonomous.weights_rms(a.atom_data) IN ('NaN', 'Infinity')
                          THEN 'not finite' END], NULL)) AS fault
              FROM hartonomous.tensor_atoms a
              LEFT JOIN (SELECT k.layer_id, k.layer_name, k.parameter_count, k.row_length, k.atom_size,
                                hartonomous_internal.expected_atoms(k.parameter_count, k.row_length,
                                  k.atom_size) AS expected
                           FROM hartonomous.model_layers k WHERE k.model_id = $1) l USING (layer_id)
             WHERE a.model_id = $1) f
      LEFT JOIN hartonomous.model_layers l ON l.layer_id = f.layer_id AND l.model_id = $1
     GROUP BY f.fault, coalesce(l.layer_name, f.tensor_name) ORDER BY 1, 2$sql$)
    USING model, (SELECT array_agg(k.format) FROM hartonomous.formats() k WHERE k.readable);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_atoms(integer) IS
  'faults of the atoms of a model themselves, one row per fault and tensor';

CREATE FUNCTION hartonomous_internal.calibrated_tensors(model integer) RETURNS TABLE (layer_id bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  -- UNION, not UNION ALL, ends where parents form a cycle.
  RETURN QUERY
    WITH RECURSIVE line (revision_id, parent_revision_id) AS (
      SELECT r.revision_id, r.parent_revision_id FROM hartonomous.model_revisions r
       WHERE r.revision_id = hartonomous_internal.current_revision(model)
      UNION
      SELECT r.revision_id, r.parent_revision_id
        FROM line JOIN hartonomous.model_revisions r ON r.revision_id = line.parent_revision_id),
    steps AS (
      SELECT DISTINCT ON (a.layer_id) a.layer_id, a.arguments
        FROM (
          SELECT s.layer_id, s.arguments, c.run_id
            FROM line JOIN hartonomous.compression_runs c ON c.revision_id = line.revision_id AND c.state = 'completed'
            JOIN hartonomous.compression_steps s ON s.run_id = c.run_id
           WHERE s.operation = 'score' OR s.operation = 'prune' AND s.arguments ? 'calibration_set'
              OR s.operation = 'select' AND s.arguments ? 'damping'
          UNION ALL  -- students are made without a run
          SELECT l.layer_id, r.parameters, 0
            FROM line JOIN hartonomous.model_revisions r ON r.revision_id = line.revision_id
            JOIN hartonomous.model_layers l ON l.model_id = r.model_id
           WHERE r.stage = 'student' AND r.parameters ->> 'refit' = 'true'
             AND l.layer_name ~ '[.](ffn_down|attn_output)(_exps)?[.]weight$') a
       ORDER BY a.layer_id, a.run_id DESC)
    SELECT s.layer_id FROM steps s WHERE s.arguments ->> 'method' IS DISTINCT FROM 'magnitude';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.calibrated_tensors(integer) IS
  'the tensors of a model whose importance does not follow from their weights: it was computed by a method other than '
  'magnitude, or the weights were refitted since';

-- Within a tensor, importance is a linear function of the logarithm of the root mean square. The line is fitted with
-- medians, which are not affected as long as fewer than a quarter of the atoms deviate from it. Quantization moves
-- atoms off the line as well, but all of them slightly. Importance that fits no line was set by something else and is
-- not judged here; the same holds for atoms of importance 10, which pruning never removes, and for importance from
-- calibration, which may nearly fit a line.
CREATE FUNCTION hartonomous_internal.check_importance(model integer)
  RETURNS TABLE (fault text, layer_name text, atoms bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  readable constant text[] := (SELECT array_agg(k.format) FROM hartonomous.formats() k WHERE k.readable);
  tensor record;
BEGIN
  FOR tensor IN
    SELECT * FROM hartonomous_internal.dense_tensors(model) d
     WHERE d.matrix AND d.layer_id NOT IN (SELECT c.layer_id FROM hartonomous_internal.calibrated_tensors(model) c)
     ORDER BY d.position
  LOOP
    RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
      WITH atoms AS MATERIALIZED (
        SELECT a.atom_sequence, a.importance_score::float8 AS importance, m.rms, ln(nullif(m.rms, 0)) AS size
          FROM hartonomous.tensor_atoms a
         CROSS JOIN LATERAL (SELECT hartonomous.weights_rms(a.atom_data)::float8 AS rms) m
         WHERE a.model_id = $1 AND a.layer_id = $2 AND a.importance_score >= -10 AND a.importance_score < 10
           AND hartonomous.weights_format(a.atom_data) = ANY ($4) AND m.rms < 'Infinity'),
      inner_atoms AS MATERIALIZED (
        SELECT a.*, (count(*) OVER () / 2)::integer AS half FROM atoms a WHERE a.importance > -10 AND a.rms > 0),
      pairs AS (  -- each atom with the one half of the list further on
        SELECT i.half, lead(i.importance, i.half) OVER w - i.importance AS rise,
        lead(i.size, i.half) OVER w - i.size AS run
          FROM inner_atoms i WINDOW w AS (ORDER BY i.size, i.atom_sequence)),
      slope AS (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY p.rise / p.run) AS slope FROM pairs p WHERE p.run > 0
        AND p.half >= 4),
      line AS (
        SELECT s.slope, (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY i.importance - s.slope * i.size)
                           FROM inner_atoms i) AS level
          FROM slope s WHERE s.slope > 0),
      fit AS MATERIALIZED (
        SELECT n.*, (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(i.importance - n.slope * i.size - n.level))
                       FROM inner_atoms i) AS spread
          FROM line n)
      SELECT 'stale importance', $3, count(*), format('atom %s first', min(a.atom_sequence))
        FROM fit f CROSS JOIN atoms a
       CROSS JOIN LATERAL (
         -- An F16 scale is zero below 6e-8, and a scale of Q6_K is about 1/4000 of its weights: atoms this small may
         -- have been quantized to zeros.
         SELECT least(greatest(f.slope * coalesce(a.size, '-Infinity') + f.level, -10), 10) AS least,
                least(greatest(f.slope * greatest(a.size, ln(2.5e-4)) + f.level, -10), 10) AS most,
                greatest(0.5, 15 * f.spread) AS tolerance) e
       WHERE f.spread < 0.3 AND (a.importance < e.least - e.tolerance OR a.importance > e.most + e.tolerance)
      HAVING count(*) > 0$sql$) USING model, tensor.layer_id, tensor.layer_name, readable;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_importance(integer) IS
  'tensors with atoms whose importance does not follow from their weights while that of the other atoms does; '
  'recompute_positions() repairs them';

CREATE FUNCTION hartonomous_internal.check_layers(model integer)
  RETURNS TABLE (fault text, object text, atoms bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  blocks integer := (SELECT max(l.layer_idx) + 1 FROM hartonomous.model_layers l WHERE l.model_id = model);
  stated jsonb;
BEGIN
  RETURN QUERY
    SELECT 'wrong shape', l.layer_name, NULL::bigint,
           format('shape %s, %s weights in rows of %s', l.tensor_shape, l.parameter_count, l.row_length)
      FROM hartonomous.model_layers l
     WHERE l.model_id = model
       AND (l.parameter_count IS DISTINCT FROM hartonomous_internal.shape_weights(l.tensor_shape)
            OR l.parameter_count % nullif(l.row_length, 0) <> 0 OR l.atom_size < 1)
       -- Elements of less than a byte, and types that ggml does not have, are carried as bytes.
       AND l.tensor_dtype IN (SELECT f.format FROM hartonomous.formats() f)
     ORDER BY l.position;
  RETURN QUERY
    SELECT 'wrong layer_idx', l.layer_name, NULL::bigint, format('%s', l.layer_idx)
      FROM hartonomous.model_layers l
     WHERE l.model_id = model AND l.layer_idx <> hartonomous_internal.layer_number(l.layer_name) ORDER BY l.position;
  RETURN QUERY
    SELECT 'no such block', format('block %s of %s', g.idx, blocks), NULL::bigint, NULL::text
      FROM generate_series(0, blocks - 1) g (idx)
     WHERE NOT EXISTS (SELECT FROM hartonomous.model_layers l WHERE l.model_id = model AND l.layer_idx = g.idx);
  SELECT hartonomous_internal.gguf_value(m.metadata, m.architecture || '.block_count') INTO stated
    FROM hartonomous.models m WHERE m.model_id = model;
  IF stated <> to_jsonb(blocks) THEN
    RETURN QUERY SELECT 'wrong block count', 'metadata', NULL::bigint,
      format('says %s, the tensors have %s', stated, blocks);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_layers(integer) IS
  'faults of the tensors of a model, and contradictions with its metadata';

CREATE FUNCTION hartonomous_internal.check_partitions(model integer)
  RETURNS TABLE (fault text, object text, atoms bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
  SET quote_all_identifiers = off  -- because partition_bound() is written without quotes
AS $$
#variable_conflict use_variable
DECLARE
  live integer;
BEGIN
  SELECT r.base_revision_id INTO live
    FROM hartonomous.models m JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision
   WHERE m.model_id = model AND r.model_id = model AND r.state IN ('live', 'archived');
  IF live IS NULL
    OR (SELECT count(*) FROM hartonomous.model_revisions r WHERE r.model_id = model AND r.state = 'live')
       <> (NOT hartonomous_internal.is_archived_model(model))::integer
  THEN
    RETURN QUERY SELECT 'wrong live revision', 'revision ' || m.current_revision, NULL::bigint, NULL::text
                   FROM hartonomous.models m WHERE m.model_id = model;
  END IF;
  RETURN QUERY
    WITH parts AS (
      -- A table of the owner's may have a number in its name that no revision can have.
      SELECT c.oid, c.relname::text AS name,
             nullif(least(substring(c.relname FROM '_r([0-9]+)$')::numeric, 2147483648),
               2147483648)::integer AS revision,
             i.inhparent::regclass AS parent
        FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
       WHERE c.relnamespace = 'hartonomous_partitions'::regnamespace AND c.relkind = 'r'
         AND c.relname ~ ('^tensor_atoms_m' || model || '_r[0-9]+$')
         AND c.relname NOT IN (  -- those that a stopped run was restoring
           SELECT hartonomous_internal.atoms_partition(model, a.revision_id)
             FROM hartonomous.compression_runs s
             JOIN hartonomous.model_revisions a ON a.base_revision_id = s.revision_id AND a.archived_atoms IS NOT NULL
            WHERE s.model_id = model AND s.state = 'running'))
    SELECT f.fault, f.name, NULL::bigint, f.detail
      FROM (
        SELECT CASE WHEN r.revision_id IS NULL THEN 'orphaned partition'
                    WHEN r.state <> 'building' AND p.parent IS DISTINCT FROM
                         CASE WHEN p.revision = live THEN 'hartonomous.tensor_atoms'::regclass
                              ELSE 'hartonomous.tensor_atoms_backup' END THEN 'wrong parent' END AS fault,
               p.name, coalesce('its parent is ' || p.parent::text, 'it has no parent') AS detail
          FROM parts p LEFT JOIN hartonomous.model_revisions r ON r.revision_id = p.revision AND r.model_id = model
        UNION ALL
        SELECT 'no bound', p.name, 'has no valid ' || hartonomous_internal.partition_bound(model, p.revision)
          FROM parts p
         WHERE NOT EXISTS (SELECT FROM pg_constraint c
                            WHERE c.conrelid = p.oid AND c.contype = 'c' AND c.convalidated
                              AND pg_get_constraintdef(c.oid) = hartonomous_internal.partition_bound(model, p.revision))
        UNION ALL
        SELECT 'no primary key', p.name, NULL
          FROM parts p JOIN hartonomous.model_revisions r ON r.revision_id = p.revision AND r.model_id = model
         WHERE r.kind <> 'in_place' AND r.state <> 'building'
           AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = p.oid AND i.indisprimary AND i.indisvalid)
        UNION ALL
        SELECT 'missing archive', 'tensor_atoms_archive', hartonomous_internal.archive_fault(r.revision_id)
          FROM hartonomous.model_revisions r
         WHERE r.model_id = model AND hartonomous_internal.archive_fault(r.revision_id) IS NOT NULL
        UNION ALL
        SELECT 'missing partition', hartonomous_internal.atoms_partition(model, r.base_revision_id),
               format('revision %s is %s', r.revision_id, r.state)
          FROM hartonomous.model_revisions r
         WHERE r.model_id = model AND r.state IN ('live', 'backup')
           AND NOT hartonomous_internal.partition_exists(model, r.base_revision_id)
        UNION ALL
        SELECT 'missing structure', format('revision %s', r.revision_id), 'its tensors and metadata are not known'
          FROM hartonomous.model_revisions r
          LEFT JOIN hartonomous.model_structures s ON s.structure_id = r.structure_id AND s.model_id = model
         WHERE r.model_id = model AND r.state IN ('backup', 'archived') AND num_nulls(s.layers, s.metadata) > 0
           AND r.structure_id IS DISTINCT FROM hartonomous_internal.live_structure(model)) f
     WHERE f.fault IS NOT NULL ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_partitions(integer) IS
  'faults of the partitions of a model and of its live revision';

CREATE FUNCTION hartonomous_internal.partition_bound(model integer, revision integer) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN format('CHECK (((model_id = %s) AND (revision_id = %s)))', model, revision);
COMMENT ON FUNCTION hartonomous_internal.partition_bound(integer, integer) IS
  'the constraint that a partition must have, as pg_get_constraintdef() writes it';
