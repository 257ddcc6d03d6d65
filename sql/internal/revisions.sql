-- Revisions: the states of a model, the partitions that contain them, and the change from one to another.
--
-- A partition is named after the revision that wrote it, its base. Revisions made in place share the base of their
-- parent, and the atoms that each of them removed are kept in a backup partition, its delta. In the row of the base,
-- held_revision_id tells which of these states the partition contains now. Any other one is reached by inserting deltas
-- again or by deleting their atoms again.

CREATE FUNCTION hartonomous_internal.new_revision(model integer, stage text, kind text, parameters jsonb)
  RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  revision integer := nextval(pg_get_serial_sequence('hartonomous.model_revisions', 'revision_id'));
  parent integer;
  structure integer;
  base integer := revision;
BEGIN
  SELECT m.current_revision, r.structure_id INTO parent, structure
    FROM hartonomous.models m LEFT JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision
   WHERE m.model_id = model;
  IF kind = 'in_place' THEN
    SELECT r.base_revision_id INTO STRICT base FROM hartonomous.model_revisions r WHERE r.revision_id = parent;
  END IF;
  INSERT INTO hartonomous.model_revisions
      (revision_id, model_id, parent_revision_id, base_revision_id, held_revision_id, structure_id, stage, kind,
       parameters, state, extension_version)
    VALUES (revision, model, parent, base, CASE WHEN base = revision THEN revision END, structure, stage, kind,
            coalesce(parameters, '{}'), 'building', hartonomous.version());
  RETURN revision;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.new_revision(integer, text, text, jsonb) IS
  'records a new revision whose parent is the current one, and which has its structure';

-- The texts are written down because a calibration set may be deleted later.
CREATE FUNCTION hartonomous_internal.used_calibration_texts(revision integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    WITH made AS (
      SELECT r.model_id, m.parent_model_id, r.parameters
        FROM hartonomous.model_revisions r JOIN hartonomous.models m ON m.model_id = r.model_id
       WHERE r.revision_id = revision),
    used AS (
      SELECT made.parameters AS arguments FROM made
      UNION ALL
      SELECT s.arguments FROM hartonomous.compression_runs c
        JOIN hartonomous.compression_steps s ON s.run_id = c.run_id
        JOIN made ON made.model_id = c.model_id
       WHERE c.revision_id = revision),
    sets AS (
      SELECT u.arguments ->> 'calibration_set' AS name, max(u.arguments ->> 'calibration_revision') AS calibrated
        FROM used u WHERE u.arguments ->> 'calibration_set' IS NOT NULL GROUP BY 1)
    SELECT coalesce(jsonb_object_agg(s.name, encode((
             SELECT c.text_sha256 FROM hartonomous.calibration_stats c CROSS JOIN made
              WHERE c.calibration_set = s.name AND c.model_id IN (made.model_id, made.parent_model_id)
              ORDER BY c.revision_id::text = s.calibrated DESC NULLS LAST, c.created_at DESC LIMIT 1), 'hex')), '{}')
      FROM sets s);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.used_calibration_texts(integer) IS
  'the calibration sets that the parameters of a revision and the steps of its run name, with the SHA-256 of their '
  'texts; null if only the statistics of a set were imported';

CREATE FUNCTION hartonomous_internal.complete_revision(revision integer, atoms bigint, bytes bigint,
    partition regclass, seconds double precision DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  UPDATE hartonomous.model_revisions r
     SET atom_count = atoms, logical_bytes = bytes, physical_bytes = pg_total_relation_size(partition),
         seconds = coalesce(complete_revision.seconds, extract(epoch FROM clock_timestamp() - r.created_at)),
         calibration_texts = hartonomous_internal.used_calibration_texts(revision)
   WHERE r.revision_id = revision;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.complete_revision(integer, bigint, bigint, regclass, double precision) IS
  'records with a new revision what it has become: atoms, bytes of weights, the size of its partition, the calibration '
  'texts by which it was made, and seconds (NULL: since it was begun)';

CREATE FUNCTION hartonomous_internal.parent_of_revision(parent_revision integer, parameters jsonb) RETURNS integer
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN coalesce(parent_revision, CASE WHEN jsonb_typeof(parameters -> 'parent_revision') = 'number'
           THEN CASE WHEN (parameters -> 'parent_revision')::numeric BETWEEN 1 AND 2147483647
                     THEN (parameters -> 'parent_revision')::integer END END);
COMMENT ON FUNCTION hartonomous_internal.parent_of_revision(integer, jsonb) IS
  'the revision that another was made from, by its parent_revision_id and parameters: for the first of a student, the '
  'one of its parent; NULL if it was imported';

-- A loop, not a recursive query, whose memory would grow with the square of the number of revisions.
CREATE FUNCTION hartonomous_internal.ancestors_of(revision integer)
  RETURNS TABLE (distance integer, revision_id integer, model_id integer)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  seen integer[] := '{}';
  before integer := revision;
BEGIN
  distance := 0;
  WHILE before IS NOT NULL AND before <> ALL (seen) LOOP
    SELECT r.revision_id, r.model_id, hartonomous_internal.parent_of_revision(r.parent_revision_id, r.parameters)
      INTO revision_id, model_id, before FROM hartonomous.model_revisions r WHERE r.revision_id = before;
    EXIT WHEN revision_id IS NULL;
    RETURN NEXT;
    seen := seen || revision_id;
    distance := distance + 1;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.ancestors_of(integer) IS
  'a revision (distance 0) and those that it was made from, also of the parents of a student, as far as they are '
  'there; where parents form a circle it ends';

CREATE FUNCTION hartonomous_internal.live_base(model integer) RETURNS integer
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT r.base_revision_id FROM hartonomous.models m
            JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision WHERE m.model_id = model);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.live_base(integer) IS
  'the revision that wrote the live partition of a model and its factors';

CREATE FUNCTION hartonomous_internal.live_partition(model integer) RETURNS regclass
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.require_live_atoms(model);
  RETURN hartonomous_internal.partition_of(model, hartonomous_internal.live_base(model));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.live_partition(integer) IS
  'the partition of tensor_atoms that holds a model; 55000 if the model is archived';

-- The revisions from the given one down to the base of its partition, the given one first.
CREATE FUNCTION hartonomous_internal.revision_chain(revision integer) RETURNS integer[]
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  chain integer[] := ARRAY[revision];
  step record;
BEGIN
  LOOP
    SELECT r.base_revision_id AS base, r.parent_revision_id AS parent INTO STRICT step
      FROM hartonomous.model_revisions r WHERE r.revision_id = chain[cardinality(chain)];
    EXIT WHEN step.base = chain[cardinality(chain)];
    IF step.parent IS NULL OR step.parent = ANY (chain) THEN
      PERFORM hartonomous_internal.raise_error('55000',
        format('the parents of revision %s do not lead to revision %s, whose partition holds it', revision, step.base));
    END IF;
    chain := chain || step.parent;
  END LOOP;
  RETURN chain;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.revision_chain(integer) IS
  'the revisions from the one that wrote the partition of a state to that state, including both; 55000 if the parents '
  'do not lead there';

CREATE FUNCTION hartonomous_internal.lock_revision(revision integer, nowait boolean,
    for_session boolean DEFAULT false, OUT model_id integer, OUT base_revision_id integer, OUT stage text,
    OUT state text)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  model integer;
BEGIN
  SELECT r.model_id INTO model FROM hartonomous.model_revisions r WHERE r.revision_id = revision;
  IF model IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704',
      format('revision %s does not exist', coalesce(revision::text, 'NULL')),
      hint => 'SELECT * FROM hartonomous.model_revisions; shows all revisions.');
  END IF;
  PERFORM hartonomous_internal.lock_model(model, nowait, for_session);
  SELECT r.model_id, r.base_revision_id, r.stage, r.state INTO model_id, base_revision_id, stage, state
    FROM hartonomous.model_revisions r WHERE r.revision_id = revision;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.lock_revision(integer, boolean, boolean) IS
  'takes the lock of the model that a revision belongs to, and returns the revision as it is then, NULL if it was '
  'deleted meanwhile; 42704 if there is no such revision, 55P03 with nowait';

CREATE FUNCTION hartonomous_internal.put_back_delta(model integer, base integer, delta integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  target regclass := hartonomous_internal.partition_of(model, base);
  source regclass := hartonomous_internal.partition_of(model, delta);
  list text := hartonomous_internal.moved_columns(source, target);
BEGIN
  -- Atoms may have been inserted since with the keys of the removed ones; they are replaced by the removed ones.
  EXECUTE format('DELETE FROM %s a USING %s d WHERE a.layer_id = d.layer_id AND a.atom_sequence = d.atom_sequence',
                 target, source);
  EXECUTE format('INSERT INTO %s (revision_id, %s) SELECT %s, %s FROM %s', target, list, base, list, source);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.put_back_delta(integer, integer, integer) IS
  'undoes an in-place revision: inserts the atoms it removed into their partition again';

CREATE FUNCTION hartonomous_internal.take_out_delta(model integer, base integer, delta integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  source regclass := hartonomous_internal.partition_of(model, base);
  target regclass := hartonomous_internal.partition_of(model, delta);
  list text := hartonomous_internal.moved_columns(source, target);
BEGIN
  -- The atoms may have changed since they were put back, so the delta stores their present values.
  EXECUTE format($sql$
    WITH keys AS (DELETE FROM %1$s RETURNING layer_id, atom_sequence),
         gone AS (DELETE FROM %2$s a USING keys k
                   WHERE a.layer_id = k.layer_id AND a.atom_sequence = k.atom_sequence RETURNING a.*)
    INSERT INTO %1$s (revision_id, %3$s) SELECT %4$s, %3$s FROM gone
    $sql$, target, source, list, delta);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.take_out_delta(integer, integer, integer) IS
  'repeats an in-place revision that was undone: removes the same atoms from the partition';

CREATE FUNCTION hartonomous_internal.hold_revision(revision integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  target hartonomous.model_revisions;
  held integer;
  from_chain integer[];
  to_chain integer[];
  step integer;
BEGIN
  SELECT * INTO target FROM hartonomous.model_revisions r WHERE r.revision_id = revision;
  IF target.revision_id IS NULL THEN
    PERFORM hartonomous_internal.raise_error('42704',
      format('revision %s does not exist', coalesce(revision::text, 'NULL')),
      hint => 'SELECT * FROM hartonomous.model_revisions; shows all revisions.');
  END IF;
  SELECT r.held_revision_id INTO STRICT held
    FROM hartonomous.model_revisions r WHERE r.revision_id = target.base_revision_id;
  from_chain := hartonomous_internal.revision_chain(held);
  to_chain := hartonomous_internal.revision_chain(revision);
  FOREACH step IN ARRAY from_chain LOOP
    EXIT WHEN step = ANY (to_chain);
    PERFORM hartonomous_internal.put_back_delta(target.model_id, target.base_revision_id, step);
  END LOOP;
  FOR i IN REVERSE cardinality(to_chain)..1 LOOP
    CONTINUE WHEN to_chain[i] = ANY (from_chain);
    PERFORM hartonomous_internal.take_out_delta(target.model_id, target.base_revision_id, to_chain[i]);
  END LOOP;
  UPDATE hartonomous.model_revisions SET held_revision_id = revision WHERE revision_id = target.base_revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.hold_revision(integer) IS
  'brings the partition of a revision into the state of that revision';

-- A delta is needed if it lies between the state that its partition contains and an available revision.
CREATE FUNCTION hartonomous_internal.is_needed(revision integer) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  made record;
  kept integer[];
  held_chain integer[];
BEGIN
  SELECT r.base_revision_id, b.held_revision_id, r.kind INTO made
    FROM hartonomous.model_revisions r
    JOIN hartonomous.model_revisions b ON b.revision_id = r.base_revision_id
   WHERE r.revision_id = revision;
  SELECT coalesce(array_agg(r.revision_id), '{}') INTO kept
    FROM hartonomous.model_revisions r
   WHERE r.base_revision_id = made.base_revision_id AND r.state IN ('live', 'backup', 'archived');
  IF made.kind <> 'in_place' THEN
    RETURN kept <> '{}';
  END IF;
  held_chain := hartonomous_internal.revision_chain(made.held_revision_id);
  RETURN (SELECT coalesce(bool_or((revision = ANY (held_chain))
                                  <> (revision = ANY (hartonomous_internal.revision_chain(k)))), false)
            FROM unnest(kept) k);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.is_needed(integer) IS
  'whether an available revision needs the partition that a revision wrote';

CREATE FUNCTION hartonomous_internal.drop_unneeded_partitions(model integer) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  candidate record;
  dropped integer := 0;
BEGIN
  FOR candidate IN
    SELECT r.revision_id
      FROM hartonomous.model_revisions r
      JOIN hartonomous.model_revisions b ON b.revision_id = r.base_revision_id
     WHERE r.model_id = model AND r.state <> 'building'
       AND (r.archived_atoms IS NOT NULL OR hartonomous_internal.partition_exists(model, r.revision_id))
     ORDER BY r.revision_id DESC
  LOOP
    IF NOT hartonomous_internal.is_needed(candidate.revision_id) THEN
      PERFORM hartonomous_internal.drop_atoms_partition(model, candidate.revision_id);
      dropped := dropped + 1;
    END IF;
  END LOOP;
  PERFORM hartonomous_internal.forget_structures(model);
  RETURN dropped;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.drop_unneeded_partitions(integer) IS
  'drops the partitions of a model that no remaining revision needs, and returns their number';

CREATE FUNCTION hartonomous_internal.drop_atoms_partition(model integer, revision integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  EXECUTE format('DROP TABLE IF EXISTS hartonomous_partitions.%I',
    hartonomous_internal.atoms_partition(model, revision));
  DELETE FROM hartonomous.tensor_atoms_archive c WHERE c.model_id = model AND c.revision_id = revision;
  UPDATE hartonomous.model_revisions r SET archived_atoms = NULL
   WHERE r.revision_id = revision AND r.archived_atoms IS NOT NULL;
  PERFORM hartonomous_internal.drop_forms(model, revision);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.drop_atoms_partition(integer, integer) IS
  'drops a partition, as a table and in the archive, if it is there, and the other forms of its tensors';
