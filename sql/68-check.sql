-- Troubleshooting: what may be wrong with a model's atoms, found and, where that can be, mended.

CREATE FUNCTION hartonomous.validate_coordinates(model integer)
  RETURNS TABLE (tensor_atom_id bigint, layer_name text, atom_sequence integer, x real, y real, z real, fault text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.current_revision(model);
  -- Through the parent, for which readers have rights. NaN is greater than all numbers.
  RETURN QUERY EXECUTE $sql$
    SELECT f.tensor_atom_id, f.tensor_name, f.atom_sequence, f.x, f.y, f.z, f.fault
      FROM (SELECT a.tensor_atom_id, a.tensor_name, a.atom_sequence, a.layer_id, p.x, p.y, p.z,
                   CASE WHEN p.x IS NULL OR p.y IS NULL OR p.z IS NULL THEN 'missing'
                        WHEN 'NaN' IN (p.x, p.y, p.z) THEN 'not a number'
                        WHEN p.x NOT BETWEEN 0 AND 100 OR p.y NOT BETWEEN 0 AND 100 OR p.z NOT BETWEEN -10 AND 10
                        THEN 'outside' END AS fault
              FROM hartonomous.tensor_atoms a
              CROSS JOIN LATERAL (
                SELECT coalesce(a.x, (hartonomous.decode_point(a.weights_geometry_q8)).x) AS x,
                       coalesce(a.y, (hartonomous.decode_point(a.weights_geometry_q8)).y) AS y,
                       a.importance_score AS z) p
             WHERE a.model_id = $1) f
     WHERE f.fault IS NOT NULL ORDER BY f.layer_id, f.atom_sequence$sql$ USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.validate_coordinates(integer) IS
  'atoms whose place is missing, not a number, or outside x and y in [0, 100] and z (importance) in [-10, 10]; none when all is well; 42704 when there is no such model';

-- What cannot be brought into the space, NaN and NULL, goes to its middle; importance that is NaN to 10, which pruning
-- spares. Changing rows moves no weights, so it is no revision of its own.
CREATE FUNCTION hartonomous.clamp_coordinates(model integer, nowait boolean DEFAULT false) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  clamped bigint;
BEGIN
  PERFORM hartonomous.current_revision(model);
  PERFORM hartonomous.lock_model(model, nowait);
  EXECUTE $sql$
    UPDATE hartonomous.tensor_atoms a
       SET x = CASE WHEN a.weights_geometry_q8 IS NULL OR a.x IS NOT NULL
                    THEN least(greatest(coalesce(nullif(a.x, 'NaN'), 50), 0), 100) END,
           y = CASE WHEN a.weights_geometry_q8 IS NULL OR a.y IS NOT NULL
                    THEN least(greatest(coalesce(nullif(a.y, 'NaN'), 50), 0), 100) END,
           importance_score = least(greatest(coalesce(nullif(a.importance_score, 'NaN'), 10), -10), 10)
      FROM hartonomous.validate_coordinates($1) v
     WHERE a.model_id = $1 AND a.tensor_atom_id = v.tensor_atom_id$sql$ USING model;
  GET DIAGNOSTICS clamped = ROW_COUNT;
  RETURN clamped;
END
$$;
COMMENT ON FUNCTION hartonomous.clamp_coordinates(integer, boolean) IS
  'brings the atoms that validate_coordinates() names into the space, and says how many: what is outside to its edge, what is missing or not a number to its middle (50, 50) and to importance 10; 42704, 55P03 with nowait';

CREATE FUNCTION hartonomous.tensor_positions(model integer, tensor text)
  RETURNS TABLE (atom_sequence integer, x real, y real, importance_score real)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 5000 ROWS 10000
  SET search_path = pg_catalog, pg_temp SET row_security = off;
COMMENT ON FUNCTION hartonomous.tensor_positions(integer, text) IS
  'where the atoms of a tensor would lie if it were imported with the weights it has now; 42704 when there is no such model or tensor';

CREATE FUNCTION hartonomous.dense_tensors(model integer)
  RETURNS TABLE (layer_id bigint, layer_name text, "position" integer, matrix boolean)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  base constant integer := hartonomous.live_base(model);
BEGIN
  RETURN QUERY
    SELECT l.layer_id, l.layer_name, l.position, cardinality(l.tensor_shape) > 1 FROM hartonomous.model_layers l
     WHERE l.model_id = model
       AND l.layer_id NOT IN (SELECT f.layer_id FROM hartonomous.stored_forms(model, base) f);
END
$$;
COMMENT ON FUNCTION hartonomous.dense_tensors(integer) IS
  'the tensors of a model whose atoms are all of their weights: those without factors';

-- Changing rows moves no weights, so it is no revision of its own. A position stays in the form in which it is stored.
-- Compiling a statement for each tensor takes longer than running it.
CREATE FUNCTION hartonomous.recompute_positions(model integer, nowait boolean DEFAULT false) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
  tensor record;
  changed bigint;
  total bigint := 0;
BEGIN
  PERFORM hartonomous.current_revision(model);
  PERFORM hartonomous.lock_model(model, nowait);
  FOR tensor IN SELECT * FROM hartonomous.dense_tensors(model) d ORDER BY d.position LOOP
    EXECUTE format($sql$
      WITH computed AS MATERIALIZED (SELECT * FROM hartonomous.tensor_positions($1, $3)),
      positions AS MATERIALIZED (  -- of atoms that are elsewhere
        SELECT n.* FROM hartonomous.tensor_atoms a JOIN computed c USING (atom_sequence)
         CROSS JOIN LATERAL (
           SELECT c.atom_sequence, CASE WHEN a.x IS NOT NULL OR a.weights_geometry_q8 IS NULL THEN c.x END AS x,
                  CASE WHEN a.y IS NOT NULL OR a.weights_geometry_q8 IS NULL THEN c.y END AS y, c.importance_score,
                  hartonomous.encode_point(c.x, c.y, c.importance_score,
                    CASE octet_length(a.weights_geometry_q8) WHEN 3 THEN 'Q8_0' WHEN 6 THEN 'F16' WHEN 12 THEN 'F32' END) AS q8) n
         WHERE a.model_id = $1 AND a.layer_id = $2
           AND (a.x, a.y, a.importance_score, a.weights_geometry_q8)
               IS DISTINCT FROM (n.x, n.y, n.importance_score, n.q8)),
      changed AS (
        UPDATE hartonomous.tensor_atoms a
           SET x = p.x, y = p.y, importance_score = p.importance_score, weights_geometry_q8 = p.q8
          FROM positions p
         WHERE a.model_id = $1 AND a.layer_id = $2 AND a.atom_sequence = p.atom_sequence RETURNING 1),
      described AS (
        UPDATE hartonomous.model_layers l SET weights_geometry = e.envelope
          FROM (SELECT %1$I.ST_MakeEnvelope(min(c.x), min(c.y), max(c.x), max(c.y)) AS envelope FROM computed c) e
         WHERE l.layer_id = $2 AND e.envelope IS NOT NULL)
      SELECT count(*) FROM changed$sql$, hartonomous.postgis_schema())
      INTO changed USING model, tensor.layer_id, tensor.layer_name;
    total := total + changed;
  END LOOP;
  RETURN total;
END
$$;
COMMENT ON FUNCTION hartonomous.recompute_positions(integer, boolean) IS
  'computes x, y and importance of a model''s atoms from the weights they have now, as an import would, and says how many atoms that changed: none of a model as it was imported; tensors that are factored are left as they are; 42704, 55P03 with nowait';

CREATE FUNCTION hartonomous.layer_completeness(model integer)
  RETURNS TABLE (layer_idx integer, layer_id bigint, layer_name text, expected bigint, present bigint, missing bigint,
                 share numeric, state text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
BEGIN
  PERFORM hartonomous.current_revision(model);
  RETURN QUERY EXECUTE $sql$
    SELECT l.layer_idx, l.layer_id, l.layer_name, e.atoms, coalesce(p.atoms, 0),
           e.atoms - coalesce(p.atoms, 0), round(coalesce(p.atoms, 0)::numeric / nullif(e.atoms, 0), 4),
           CASE WHEN coalesce(p.atoms, 0) = e.atoms THEN 'complete'
                WHEN f.layer_id IS NOT NULL THEN 'factored'
                WHEN p.atoms IS NULL THEN 'empty' ELSE 'sparse' END
      FROM hartonomous.model_layers l
      CROSS JOIN LATERAL (SELECT hartonomous.expected_atoms(l.parameter_count, l.row_length, l.atom_size) AS atoms) e
      LEFT JOIN (SELECT a.layer_id, count(*) AS atoms FROM hartonomous.tensor_atoms a WHERE a.model_id = $1
                  GROUP BY a.layer_id) p USING (layer_id)
      LEFT JOIN (SELECT DISTINCT s.layer_id FROM hartonomous.stored_forms($1, hartonomous.live_base($1)) s) f USING (layer_id)
     WHERE l.model_id = $1
    UNION ALL
    -- A block that has no tensor at all, between others that have.
    SELECT g.idx::integer, NULL, NULL, NULL, NULL, NULL, NULL, 'no such block'
      FROM (SELECT max(l.layer_idx) AS last FROM hartonomous.model_layers l WHERE l.model_id = $1) b
      CROSS JOIN LATERAL generate_series(0, b.last) g (idx)
     WHERE NOT EXISTS (SELECT FROM hartonomous.model_layers l WHERE l.model_id = $1 AND l.layer_idx = g.idx)
     ORDER BY 1, 2$sql$ USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.layer_completeness(integer) IS
  'a row a tensor, in the order of blocks: how many of its atoms are there (missing ones are zeros, or, of a factored tensor, nothing beside its factors), and a row for each block that has no tensor; 42704 when there is no such model';

CREATE FUNCTION hartonomous.expected_atoms(parameter_count bigint, row_length bigint, atom_size integer) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE WHEN row_length < 1 OR atom_size < 1 THEN 0
              ELSE parameter_count / row_length * ((row_length + atom_size - 1) / atom_size) END;
COMMENT ON FUNCTION hartonomous.expected_atoms(bigint, bigint, integer) IS 'atoms of a tensor that has all of them';

CREATE FUNCTION hartonomous.check_atoms(model integer)
  RETURNS TABLE (fault text, layer_name text, atoms bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY EXECUTE $sql$
    SELECT f.fault, coalesce(l.layer_name, f.tensor_name), count(*),
           format('atom %s first', min(f.atom_sequence))
      FROM (SELECT a.layer_id, a.tensor_name, a.atom_sequence, unnest(array_remove(ARRAY[
                     CASE WHEN l.layer_id IS NULL THEN 'of no layer' END,
                     CASE WHEN a.tensor_name IS DISTINCT FROM l.layer_name AND l.layer_id IS NOT NULL THEN 'wrong tensor_name' END,
                     CASE WHEN a.atom_sequence >= l.expected THEN 'beyond its matrix' END,
                     CASE WHEN a.atom_sequence < l.expected AND hartonomous.weights_count(a.atom_data) <>
                               least(l.atom_size, l.row_length - a.atom_sequence % l.pieces * l.atom_size)
                          THEN 'wrong length' END,
                     CASE WHEN a.content_hash IS DISTINCT FROM sha256(a.atom_data::bytea) THEN 'wrong hash' END,
                     -- A weight that is not finite makes the mean square of its atom so.
                     CASE WHEN hartonomous.weights_format(a.atom_data) = ANY ($2)
                               AND hartonomous.weights_rms(a.atom_data) IN ('NaN', 'Infinity')
                          THEN 'not finite' END], NULL)) AS fault
              FROM hartonomous.tensor_atoms a
              LEFT JOIN (SELECT k.*, (k.row_length + k.atom_size - 1) / nullif(k.atom_size, 0) AS pieces,
                                hartonomous.expected_atoms(k.parameter_count, k.row_length, k.atom_size) AS expected
                           FROM hartonomous.model_layers k WHERE k.model_id = $1) l USING (layer_id)
             WHERE a.model_id = $1) f
      LEFT JOIN hartonomous.model_layers l ON l.layer_id = f.layer_id AND l.model_id = $1
     GROUP BY f.fault, coalesce(l.layer_name, f.tensor_name) ORDER BY 1, 2$sql$
    USING model, (SELECT array_agg(k.format) FROM hartonomous.formats() k WHERE k.readable);
END
$$;
COMMENT ON FUNCTION hartonomous.check_atoms(integer) IS
  'what is wrong with the atoms of a model themselves: a row a fault and tensor';

-- Within a tensor importance is a straight line over the logarithm of the root mean square. Which line, the atoms say that
-- follow it: medians do not move when fewer than a quarter of them do not. Quantizing moves atoms off it, too, but all of
-- them a little. Importance that lies on no line has come from elsewhere and is left to whom it came from; so are
-- atoms of importance 10, which are spared.
CREATE FUNCTION hartonomous.check_importance(model integer)
  RETURNS TABLE (fault text, layer_name text, atoms bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
  readable constant text[] := (SELECT array_agg(k.format) FROM hartonomous.formats() k WHERE k.readable);
  tensor record;
BEGIN
  FOR tensor IN SELECT * FROM hartonomous.dense_tensors(model) d WHERE d.matrix ORDER BY d.position LOOP
    RETURN QUERY EXECUTE $sql$
      WITH atoms AS MATERIALIZED (
        SELECT a.atom_sequence, a.importance_score::float8 AS importance, m.rms, ln(nullif(m.rms, 0)) AS size
          FROM hartonomous.tensor_atoms a
         CROSS JOIN LATERAL (SELECT hartonomous.weights_rms(a.atom_data)::float8 AS rms) m
         WHERE a.model_id = $1 AND a.layer_id = $2 AND a.importance_score >= -10 AND a.importance_score < 10
           AND hartonomous.weights_format(a.atom_data) = ANY ($4) AND m.rms < 'Infinity'),
      inner_atoms AS MATERIALIZED (
        SELECT a.*, (count(*) OVER () / 2)::integer AS half FROM atoms a WHERE a.importance > -10 AND a.rms > 0),
      pairs AS (  -- each with the one that is half of them further on
        SELECT i.half, lead(i.importance, i.half) OVER w - i.importance AS rise, lead(i.size, i.half) OVER w - i.size AS run
          FROM inner_atoms i WINDOW w AS (ORDER BY i.size, i.atom_sequence)),
      slope AS (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY p.rise / p.run) AS slope FROM pairs p WHERE p.run > 0 AND p.half >= 4),
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
         -- A scale in F16 is zero below 6e-8, and a scale of Q6_K is its weights by some 4000: such atoms may have become zero.
         SELECT least(greatest(f.slope * coalesce(a.size, '-Infinity') + f.level, -10), 10) AS least,
                least(greatest(f.slope * greatest(a.size, ln(2.5e-4)) + f.level, -10), 10) AS most,
                greatest(0.5, 15 * f.spread) AS tolerance) e
       WHERE f.spread < 0.3 AND (a.importance < e.least - e.tolerance OR a.importance > e.most + e.tolerance)
      HAVING count(*) > 0$sql$ USING model, tensor.layer_id, tensor.layer_name, readable;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.check_importance(integer) IS
  'tensors with atoms whose importance does not follow from their weights while that of the others does: recompute_positions() mends them';

CREATE FUNCTION hartonomous.shape_weights(tensor_shape bigint[]) RETURNS numeric
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  dimension bigint;
  weights numeric := 1;
BEGIN
  FOREACH dimension IN ARRAY tensor_shape LOOP
    weights := weights * dimension;
    EXIT WHEN dimension IS NULL OR dimension < 0 OR weights > 9223372036854775807;
  END LOOP;
  RETURN CASE WHEN weights BETWEEN 0 AND 9223372036854775807 THEN weights END;
END
$$;
COMMENT ON FUNCTION hartonomous.shape_weights(bigint[]) IS
  'how many weights a tensor of that shape has; NULL when a dimension is missing or negative, or there are more than a bigint can say';

CREATE FUNCTION hartonomous.check_layers(model integer)
  RETURNS TABLE (fault text, object text, atoms bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  blocks integer := (SELECT max(l.layer_idx) + 1 FROM hartonomous.model_layers l WHERE l.model_id = model);
  stated jsonb;
BEGIN
  RETURN QUERY
    SELECT 'wrong shape', l.layer_name, NULL::bigint,
           format('shape %s, %s weights in rows of %s', l.tensor_shape, l.parameter_count, l.row_length)
      FROM hartonomous.model_layers l
     WHERE l.model_id = model
       AND (l.parameter_count IS DISTINCT FROM hartonomous.shape_weights(l.tensor_shape)
            OR l.parameter_count % nullif(l.row_length, 0) <> 0 OR l.atom_size < 1)
       -- Elements of less than a byte, or of kinds ggml does not know, are carried as bytes.
       AND l.tensor_dtype IN (SELECT f.format FROM hartonomous.formats() f)
     ORDER BY l.position;
  RETURN QUERY
    SELECT 'wrong layer_idx', l.layer_name, NULL::bigint, format('%s', l.layer_idx)
      FROM hartonomous.model_layers l
     WHERE l.model_id = model AND l.layer_idx <> hartonomous.layer_number(l.layer_name) ORDER BY l.position;
  RETURN QUERY
    SELECT 'no such block', format('block %s of %s', g.idx, blocks), NULL::bigint, NULL::text
      FROM generate_series(0, blocks - 1) g (idx)
     WHERE NOT EXISTS (SELECT FROM hartonomous.model_layers l WHERE l.model_id = model AND l.layer_idx = g.idx);
  SELECT hartonomous.gguf_value(m.metadata, m.architecture || '.block_count') INTO stated
    FROM hartonomous.models m WHERE m.model_id = model;
  IF stated <> to_jsonb(blocks) THEN
    RETURN QUERY SELECT 'wrong block count', 'metadata', NULL::bigint,
      format('says %s, the tensors have %s', stated, blocks);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.check_layers(integer) IS
  'what is wrong with the tensors of a model, and with what its metadata says of them';

CREATE FUNCTION hartonomous.check_partitions(model integer)
  RETURNS TABLE (fault text, object text, atoms bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
  SET quote_all_identifiers = off  -- partition_bound() is spelled so
AS $$
#variable_conflict use_column
DECLARE
  live integer;
BEGIN
  SELECT r.base_revision_id INTO live
    FROM hartonomous.models m JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision
   WHERE m.model_id = model AND r.model_id = model AND r.state = 'live';
  IF live IS NULL OR (SELECT count(*) FROM hartonomous.model_revisions r WHERE r.model_id = model AND r.state = 'live') <> 1
  THEN
    RETURN QUERY SELECT 'wrong live revision', 'revision ' || m.current_revision, NULL::bigint, NULL::text
                   FROM hartonomous.models m WHERE m.model_id = model;
  END IF;
  RETURN QUERY
    WITH parts AS (
      SELECT c.oid, c.relname::text AS name, substring(c.relname FROM '_r(\d+)$')::integer AS revision,
             i.inhparent::regclass AS parent
        FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
       WHERE c.relnamespace = 'hartonomous'::regnamespace AND c.relkind = 'r'
         AND c.relname ~ ('^tensor_atoms_m' || model || '_r\d+$'))
    SELECT f.fault, f.name, NULL::bigint, f.detail
      FROM (
        SELECT CASE WHEN r.revision_id IS NULL THEN 'orphaned partition'
                    WHEN r.state <> 'building' AND p.parent IS DISTINCT FROM
                         CASE WHEN p.revision = live THEN 'hartonomous.tensor_atoms'::regclass
                              ELSE 'hartonomous.tensor_atoms_backup' END THEN 'wrong parent' END AS fault,
               p.name, coalesce('its parent is ' || p.parent::text, 'it has no parent') AS detail
          FROM parts p LEFT JOIN hartonomous.model_revisions r ON r.revision_id = p.revision AND r.model_id = model
        UNION ALL
        SELECT 'no bound', p.name, 'has no valid ' || hartonomous.partition_bound(model, p.revision)
          FROM parts p
         WHERE NOT EXISTS (SELECT FROM pg_constraint c
                            WHERE c.conrelid = p.oid AND c.contype = 'c' AND c.convalidated
                              AND pg_get_constraintdef(c.oid) = hartonomous.partition_bound(model, p.revision))
        UNION ALL
        SELECT 'no primary key', p.name, NULL
          FROM parts p JOIN hartonomous.model_revisions r ON r.revision_id = p.revision AND r.model_id = model
         WHERE r.kind <> 'in_place' AND r.state <> 'building'
           AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = p.oid AND i.indisprimary AND i.indisvalid)
        UNION ALL
        SELECT 'missing partition', hartonomous.atoms_partition(model, r.base_revision_id),
               format('revision %s is %s', r.revision_id, r.state)
          FROM hartonomous.model_revisions r
         WHERE r.model_id = model AND r.state IN ('live', 'backup')
           AND NOT hartonomous.partition_exists(model, r.base_revision_id)) f
     WHERE f.fault IS NOT NULL ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION hartonomous.check_partitions(integer) IS
  'what is wrong with the partitions of a model and with its live revision';

CREATE FUNCTION hartonomous.partition_bound(model integer, revision integer) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN format('CHECK (((model_id = %s) AND (revision_id = %s)))', model, revision);
COMMENT ON FUNCTION hartonomous.partition_bound(integer, integer) IS
  'the constraint that a partition must have, as pg_get_constraintdef() writes it';

CREATE FUNCTION hartonomous.check_model(model integer)
  RETURNS TABLE (fault text, object text, atoms bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM hartonomous.current_revision(model);
  RETURN QUERY SELECT * FROM hartonomous.check_partitions(model);
  RETURN QUERY SELECT * FROM hartonomous.check_layers(model);
  RETURN QUERY SELECT * FROM hartonomous.check_atoms(model);
  RETURN QUERY SELECT * FROM hartonomous.check_importance(model);
  RETURN QUERY
    SELECT 'place ' || v.fault, v.layer_name, count(*), format('atom %s first', min(v.atom_sequence))
      FROM hartonomous.validate_coordinates(model) v GROUP BY v.fault, v.layer_name ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION hartonomous.check_model(integer) IS
  'everything that can be found wrong with a model, a row a fault and object, none when all is well: partitions and their constraints, shapes, blocks, atoms (hash, length, place in the matrix, NaN, of no layer), importance that does not follow from weights, places in space; missing atoms are no fault (layer_completeness() shows them); 42704 when there is no such model';

DO $$
DECLARE
  f record;
BEGIN
  FOR f IN SELECT * FROM (VALUES
    ('validate_coordinates', 'tensor_atom_id bigint, layer_name text, atom_sequence integer, x real, y real, z real, fault text', 100),
    ('layer_completeness', 'layer_idx integer, layer_id bigint, layer_name text, expected bigint, present bigint, missing bigint, share numeric, state text', 300),
    ('check_model', 'fault text, object text, atoms bigint, detail text', 10)) v (name, result, rows)
  LOOP
    EXECUTE pg_catalog.format($ddl$
      CREATE FUNCTION hartonomous.%1$I(model text) RETURNS TABLE (%2$s)
        LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS %3$s
        SET search_path = pg_catalog, pg_temp
      AS $body$ BEGIN RETURN QUERY SELECT * FROM hartonomous.%1$I(hartonomous.model_id(model)); END $body$;
      COMMENT ON FUNCTION hartonomous.%1$I(text) IS 'the same for a model by its name';
      $ddl$, f.name, f.result, f.rows);
  END LOOP;
END
$$;

CREATE FUNCTION hartonomous.clamp_coordinates(model text, nowait boolean DEFAULT false) RETURNS bigint
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous.clamp_coordinates(hartonomous.model_id(model), nowait);
COMMENT ON FUNCTION hartonomous.clamp_coordinates(text, boolean) IS 'the same for a model by its name';
CREATE FUNCTION hartonomous.recompute_positions(model text, nowait boolean DEFAULT false) RETURNS bigint
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous.recompute_positions(hartonomous.model_id(model), nowait);
COMMENT ON FUNCTION hartonomous.recompute_positions(text, boolean) IS 'the same for a model by its name';
