-- Troubleshooting: finds faults in the atoms of a model and repairs those that can be repaired.

CREATE FUNCTION hartonomous.validate_coordinates(model hartonomous.regmodel)
  RETURNS TABLE (tensor_atom_id bigint, layer_name text, atom_sequence integer, x real, y real, z real, fault text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  -- Queries the parent table because readers have rights on that only. In PostgreSQL NaN is greater than all numbers.
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    SELECT f.tensor_atom_id, f.tensor_name, f.atom_sequence, f.x, f.y, f.z, f.fault
      FROM (SELECT a.tensor_atom_id, a.tensor_name, a.atom_sequence, a.layer_id, p.x, p.y, p.z,
                   CASE WHEN p.x IS NULL OR p.y IS NULL OR p.z IS NULL THEN 'missing'
                        WHEN 'NaN' IN (p.x, p.y, p.z) THEN 'not a number'
                        WHEN p.x NOT BETWEEN 0 AND 100 OR p.y NOT BETWEEN 0 AND 100 OR p.z NOT BETWEEN -10 AND 10
                        THEN 'outside' END AS fault
              FROM hartonomous.tensor_atoms a
              CROSS JOIN LATERAL (
                SELECT coalesce(a.x, (hartonomous.decode_point(a.quantized_position)).x) AS x,
                       coalesce(a.y, (hartonomous.decode_point(a.quantized_position)).y) AS y,
                       a.importance_score AS z) p
             WHERE a.model_id = $1) f
     WHERE f.fault IS NOT NULL ORDER BY f.layer_id, f.atom_sequence$sql$) USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.validate_coordinates(hartonomous.regmodel) IS
  'atoms with a coordinate that is missing, not finite, or outside x and y in [0, 100] and z (importance) in [-10, '
  '10]; no rows if there are none; 42704 if there is no such model';

-- Coordinates that cannot be clamped (NaN, NULL) are set to the middle of the space. NaN as importance becomes 10, so
-- that pruning does not remove the atom. The update changes no weights, so it does not make a revision.
CREATE FUNCTION hartonomous.clamp_coordinates(model hartonomous.regmodel, nowait boolean DEFAULT false) RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  clamped bigint;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.lock_model(model, nowait);
  PERFORM hartonomous_internal.require_live_atoms(model);
  EXECUTE $sql$
    UPDATE hartonomous.tensor_atoms a
       SET x = CASE WHEN a.quantized_position IS NULL OR a.x IS NOT NULL
                    THEN least(greatest(coalesce(nullif(a.x, 'NaN'), 50), 0), 100) END,
           y = CASE WHEN a.quantized_position IS NULL OR a.y IS NOT NULL
                    THEN least(greatest(coalesce(nullif(a.y, 'NaN'), 50), 0), 100) END,
           importance_score = least(greatest(coalesce(nullif(a.importance_score, 'NaN'), 10), -10), 10)
      FROM hartonomous.validate_coordinates($1) v
     WHERE a.model_id = $1 AND a.tensor_atom_id = v.tensor_atom_id$sql$ USING model;
  GET DIAGNOSTICS clamped = ROW_COUNT;
  RETURN clamped;
END
$$;
COMMENT ON FUNCTION hartonomous.clamp_coordinates(hartonomous.regmodel, boolean) IS
  'moves the atoms that validate_coordinates() lists into the space and returns their number: out-of-range coordinates '
  'to its edge, missing or non-finite ones to its middle (50, 50) and to importance 10; 42704, 55P03 with nowait';

-- The update changes no weights, so it does not make a revision. A position keeps the form in which it is stored. jit
-- is off because compiling one statement per tensor takes longer than running it.
CREATE FUNCTION hartonomous.recompute_positions(model hartonomous.regmodel, nowait boolean DEFAULT false) RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  tensor record;
  changed bigint;
  total bigint := 0;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.lock_model(model, nowait);
  PERFORM hartonomous_internal.require_live_atoms(model);
  FOR tensor IN SELECT * FROM hartonomous_internal.dense_tensors(model) d ORDER BY d.position LOOP
    EXECUTE format($sql$
      WITH computed AS MATERIALIZED (SELECT * FROM hartonomous_internal.tensor_positions($1, $3)),
      positions AS MATERIALIZED (  -- only of atoms whose stored position differs
        SELECT n.* FROM hartonomous.tensor_atoms a JOIN computed c USING (atom_sequence)
         CROSS JOIN LATERAL (
           SELECT c.atom_sequence, CASE WHEN a.x IS NOT NULL OR a.quantized_position IS NULL THEN c.x END AS x,
                  CASE WHEN a.y IS NOT NULL OR a.quantized_position IS NULL THEN c.y END AS y, c.importance_score,
                  hartonomous.encode_point(c.x, c.y, c.importance_score,
                    CASE octet_length(a.quantized_position) WHEN 3 THEN 'Q8_0' WHEN 6 THEN 'F16'
                    WHEN 12 THEN 'F32' END) AS q8) n
         WHERE a.model_id = $1 AND a.layer_id = $2
           AND (a.x, a.y, a.importance_score, a.quantized_position)
               IS DISTINCT FROM (n.x, n.y, n.importance_score, n.q8)),
      changed AS (
        UPDATE hartonomous.tensor_atoms a
           SET x = p.x, y = p.y, importance_score = p.importance_score, quantized_position = p.q8
          FROM positions p
         WHERE a.model_id = $1 AND a.layer_id = $2 AND a.atom_sequence = p.atom_sequence RETURNING 1),
      described AS (
        UPDATE hartonomous.model_layers l SET weights_geometry = e.envelope
          FROM (SELECT %1$I.ST_MakeEnvelope(min(c.x), min(c.y), max(c.x), max(c.y)) AS envelope FROM computed c) e
         WHERE l.layer_id = $2 AND e.envelope IS NOT NULL)
      SELECT count(*) FROM changed$sql$, hartonomous_internal.postgis_schema())
      INTO changed USING model, tensor.layer_id, tensor.layer_name;
    total := total + changed;
  END LOOP;
  RETURN total;
END
$$;
COMMENT ON FUNCTION hartonomous.recompute_positions(hartonomous.regmodel, boolean) IS
  'computes x, y and importance of a model''s atoms from their current weights, as an import would, and returns the '
  'number of atoms that changed: 0 for a model as it was imported; factored tensors do not change; 42704, 55P03 '
  'with nowait';

CREATE FUNCTION hartonomous.layer_completeness(model hartonomous.regmodel)
  RETURNS TABLE (layer_idx integer, layer_id bigint, layer_name text, atoms_expected bigint,
                 atoms_present bigint, atoms_missing bigint, share numeric, state text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    SELECT l.layer_idx, l.layer_id, l.layer_name, e.atoms, coalesce(p.atoms, 0),
           e.atoms - coalesce(p.atoms, 0), round(coalesce(p.atoms, 0)::numeric / nullif(e.atoms, 0), 4),
           CASE WHEN coalesce(p.atoms, 0) = e.atoms THEN 'complete'
                WHEN f.layer_id IS NOT NULL THEN 'factored'
                WHEN p.atoms IS NULL THEN 'empty' ELSE 'sparse' END
      FROM hartonomous.model_layers l
      CROSS JOIN LATERAL (
        SELECT hartonomous_internal.expected_atoms(l.parameter_count, l.row_length, l.atom_size) AS atoms) e
      LEFT JOIN (SELECT a.layer_id, count(*) AS atoms FROM hartonomous.tensor_atoms a WHERE a.model_id = $1
                  GROUP BY a.layer_id) p USING (layer_id)
      LEFT JOIN (SELECT DISTINCT s.layer_id
        FROM hartonomous_internal.stored_forms($1, hartonomous_internal.live_base($1)) s) f USING (layer_id)
     WHERE l.model_id = $1
    UNION ALL
    -- A block without any tensor although there are later blocks.
    SELECT g.idx::integer, NULL, NULL, NULL, NULL, NULL, NULL, 'no such block'
      FROM (SELECT max(l.layer_idx) AS last FROM hartonomous.model_layers l WHERE l.model_id = $1) b
      CROSS JOIN LATERAL generate_series(0, b.last) g (idx)
     WHERE NOT EXISTS (SELECT FROM hartonomous.model_layers l WHERE l.model_id = $1 AND l.layer_idx = g.idx)
     ORDER BY 1, 2$sql$) USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.layer_completeness(hartonomous.regmodel) IS
  'one row per tensor, in the order of blocks: how many of its atoms exist (missing ones are zeros or, in a factored '
  'tensor, no residual), and one row for each block without tensors; 42704 if there is no such model';

CREATE FUNCTION hartonomous.check_model(model hartonomous.regmodel)
  RETURNS TABLE (fault text, object text, atoms bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  RETURN QUERY SELECT * FROM hartonomous_internal.check_partitions(model);
  RETURN QUERY SELECT * FROM hartonomous_internal.check_layers(model);
  RETURN QUERY SELECT * FROM hartonomous_internal.check_atoms(model);
  RETURN QUERY SELECT * FROM hartonomous_internal.check_importance(model);
  RETURN QUERY
    SELECT 'position ' || v.fault, v.layer_name, count(*), format('atom %s first', min(v.atom_sequence))
      FROM hartonomous.validate_coordinates(model) v GROUP BY v.fault, v.layer_name ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION hartonomous.check_model(hartonomous.regmodel) IS
  'all faults that can be found in a model, one row per fault and object, no rows if there are none: partitions and '
  'their constraints, shapes, blocks, atoms (hash, length, place in the matrix, NaN, without a tensor), importance '
  'that does not follow from weights, positions; missing atoms are not a fault (see layer_completeness()); 42704 if '
  'there is no such model';

CREATE FUNCTION hartonomous.check_store()
  RETURNS TABLE (fault text, object text, rows bigint, detail text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  orphans record;
BEGIN
  IF NOT hartonomous_internal.store_exists() THEN
    RETURN;
  END IF;
  RETURN QUERY
    SELECT 'orphaned partition', c.relname::text, NULL::bigint,
           format('%s on disk', hartonomous.human_bytes(pg_total_relation_size(p)))
      FROM hartonomous_internal.orphaned_partitions() p JOIN pg_class c ON c.oid = p;
  FOR orphans IN SELECT * FROM hartonomous_internal.orphaned_rows() LOOP
    EXECUTE format('SELECT count(*) FROM hartonomous.%I t WHERE %s', orphans.relation, orphans.condition) INTO rows;
    IF rows > 0 THEN
      fault := 'orphaned rows';
      object := orphans.relation;
      detail := 'what they belong to is gone';
      RETURN NEXT;
    END IF;
  END LOOP;
  RETURN QUERY
    SELECT 'unfinished revision', format('revision %s', u.revision_id), NULL::bigint,
           format('of model %s: no run is making it', u.model_id)
      FROM hartonomous_internal.unfinished_revisions() u;
  RETURN QUERY
    SELECT c.fault, c.object, c.atoms, format('of model %s', m.model_id) || coalesce(': ' || c.detail, '')
      FROM hartonomous.models m, hartonomous_internal.check_partitions(m.model_id) c
     WHERE c.fault <> 'orphaned partition' ORDER BY m.model_id;
END
$$;
COMMENT ON FUNCTION hartonomous.check_store() IS
  'faults of the store as a whole, one row per fault, no rows if there are none: partitions and rows of models that no '
  'longer exist and revisions that nobody finishes (repair_store() drops them), and partitions that are missing or in '
  'the wrong place; does not read '
  'atoms, which check_model() does; no rows without a store';

CREATE FUNCTION hartonomous.repair_store(dry_run boolean DEFAULT true, stopped_runs boolean DEFAULT false)
  RETURNS TABLE (fault text, object text, rows bigint, bytes bigint)
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  changes boolean := NOT coalesce(dry_run, true);
  partitions regclass[];
  partition regclass;
  found record;
BEGIN
  IF NOT hartonomous_internal.store_exists() THEN
    RETURN;
  END IF;
  partitions := ARRAY(SELECT hartonomous_internal.orphaned_partitions());
  IF changes AND partitions <> '{}' THEN
    PERFORM hartonomous_internal.lock_for_swap(partitions, 'ACCESS EXCLUSIVE', 'ACCESS EXCLUSIVE');
  END IF;
  fault := 'orphaned partition';
  FOREACH partition IN ARRAY partitions LOOP
    SELECT c.relname, pg_total_relation_size(c.oid) INTO object, bytes FROM pg_class c WHERE c.oid = partition;
    IF changes THEN
      EXECUTE format('DROP TABLE %s', partition);
    END IF;
    RETURN NEXT;
  END LOOP;
  fault := 'orphaned rows';
  bytes := NULL;
  FOR found IN SELECT * FROM hartonomous_internal.orphaned_rows() LOOP
    EXECUTE format('SELECT count(*) FROM hartonomous.%I t WHERE %s', found.relation, found.condition) INTO rows;
    IF rows > 0 THEN
      object := found.relation;
      IF changes THEN
        -- Whoever has just found archived weights that nobody needed is waited for, and needs them then.
        IF found.relation = 'archived_weights' THEN
          LOCK TABLE hartonomous.archived_weights IN SHARE ROW EXCLUSIVE MODE;
        END IF;
        EXECUTE format('DELETE FROM hartonomous.%I t WHERE %s', found.relation, found.condition);
      END IF;
      RETURN NEXT;
    END IF;
  END LOOP;
  rows := NULL;
  fault := 'unfinished revision';
  FOR found IN SELECT u.model_id, u.revision_id, u.bytes FROM hartonomous_internal.unfinished_revisions() u LOOP
    object := format('revision %s', found.revision_id);
    bytes := found.bytes;
    IF changes THEN
      PERFORM hartonomous_internal.lock_model(found.model_id, nowait => true);
      UPDATE hartonomous.model_revisions r SET state = 'dropped' WHERE r.revision_id = found.revision_id;
      PERFORM hartonomous_internal.drop_atoms_partition(found.model_id, found.revision_id);
    END IF;
    RETURN NEXT;
  END LOOP;
  IF stopped_runs THEN
    fault := 'stopped run';
    FOR found IN SELECT r.run_id, r.model_name, r.stage FROM hartonomous.run_progress() r
                  WHERE r.state = 'stopped' LOOP
      object := format('run %s: %s of "%s"', found.run_id, found.stage, found.model_name);
      bytes := NULL;
      IF changes THEN
        PERFORM hartonomous.abandon_run(found.run_id);
      END IF;
      RETURN NEXT;
    END LOOP;
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous.repair_store(boolean, boolean) IS
  'what can be dropped because nothing needs it, one row per partition, table with orphaned rows, revision that no run '
  'finishes and, with stopped_runs, run that was stopped; with dry_run => false it is dropped, and the bytes of '
  'partitions '
  'are free when the transaction commits; 55P03 if readers of the atoms do not end in time or a session works on the '
  'model; no rows without a store';
