-- Where the atoms of any available revision are, and to which revision a rollback goes.

-- A rollback without a revision goes to the newest copy of the current revision, if there is one, and so undoes plain
-- DML; otherwise to the revision before the last stage. A current revision that is itself a copy counts as the revision
-- that it was copied from.
CREATE FUNCTION hartonomous_internal.rollback_target(model integer) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  present hartonomous.model_revisions;
  seen integer[] := '{}';
  target integer;
BEGIN
  SELECT * INTO STRICT present
    FROM hartonomous.model_revisions r WHERE r.revision_id = hartonomous_internal.current_revision(model);
  SELECT max(r.revision_id) INTO target
    FROM hartonomous.model_revisions r
   WHERE r.parent_revision_id = present.revision_id AND r.kind = 'copy'
     AND r.state IN ('backup', 'archived');
  IF target IS NOT NULL THEN
    RETURN target;
  END IF;
  WHILE present.kind = 'copy' AND present.parent_revision_id IS NOT NULL LOOP
    IF present.parent_revision_id = ANY (seen) THEN
      PERFORM hartonomous_internal.raise_error('55000',
        format('the parents of revision %s lead back to it', present.revision_id));
    END IF;
    seen := seen || present.parent_revision_id;
    SELECT * INTO STRICT present FROM hartonomous.model_revisions r WHERE r.revision_id = present.parent_revision_id;
  END LOOP;
  IF present.parent_revision_id IS NULL THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('model "%s" is at its first revision: there is nothing to roll back to', model::hartonomous.regmodel),
      hint => 'What it was imported from is not kept: import the file again, under another name.');
  END IF;
  RETURN present.parent_revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.rollback_target(integer) IS
  'the revision that rollback_model(model) goes to: the newest copy of the current one, else its parent; 55000 if '
  'there is none';

CREATE FUNCTION hartonomous_internal.atoms_source(model integer, revision integer) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
BEGIN ATOMIC
  SELECT format('(SELECT * FROM %s WHERE model_id = %s AND revision_id = %s)', s.relation, model, revision)
    FROM (SELECT i.inhparent::regclass::text
            FROM pg_inherits i
           WHERE i.inhrelid
                 = to_regclass(
                   format('hartonomous_partitions.%I', hartonomous_internal.atoms_partition(model, revision)))
          UNION ALL
          SELECT 'hartonomous.archived_tensor_atoms'
           WHERE hartonomous_internal.is_archived(model, revision)) s (relation) LIMIT 1;
END;
COMMENT ON FUNCTION hartonomous_internal.atoms_source(integer, integer) IS
  'the atoms of one partition, as a table in a query; NULL if it does not exist or is not attached, nor archived';

-- The partition in which a revision is stored, and the deltas by which the partition differs from the revision at the
-- moment (internal/revisions.sql explains deltas). With them a revision can be read without moving any atoms.
-- revision_query() and the readers in C++ (src/pg/store/atom_set.cpp) use it.
CREATE FUNCTION hartonomous_internal.revision_atoms(model integer, revision integer)
  RETURNS TABLE (base_revision_id integer, base_is_live boolean, put_back integer[], taken_out integer[],
                 structure_id integer, is_archived boolean)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  target hartonomous.model_revisions;
  held_chain integer[];
  chain integer[];
BEGIN
  SELECT * INTO target FROM hartonomous.model_revisions r
   WHERE r.model_id = model AND r.revision_id = revision_atoms.revision;
  IF target.revision_id IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('model "%s" has no revision %s', model::hartonomous.regmodel, revision_atoms.revision),
      hint => format('SELECT * FROM hartonomous.model_history(%s); shows its revisions.', model));
  END IF;
  IF target.state NOT IN ('live', 'backup', 'archived') THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('revision %s of model "%s" is %s', target.revision_id, model::hartonomous.regmodel, target.state),
      hint => 'Revisions in state "live", "backup" or "archived" have atoms: see '
              'hartonomous.model_revisions.');
  END IF;
  PERFORM hartonomous_internal.require_complete_archive(target.revision_id);
  SELECT hartonomous_internal.revision_chain(r.held_revision_id) INTO STRICT held_chain
    FROM hartonomous.model_revisions r WHERE r.revision_id = target.base_revision_id;
  chain := hartonomous_internal.revision_chain(target.revision_id);
  RETURN QUERY
    SELECT target.base_revision_id,
           EXISTS (SELECT FROM hartonomous.model_revisions r
                    WHERE r.revision_id = hartonomous_internal.current_revision(model)
                      AND r.base_revision_id = target.base_revision_id),
           ARRAY(SELECT u.step FROM unnest(held_chain) WITH ORDINALITY u (step, n)
                  WHERE u.step <> ALL (chain) ORDER BY u.n),
           ARRAY(SELECT u.step FROM unnest(chain) WITH ORDINALITY u (step, n)
                  WHERE u.step <> ALL (held_chain) ORDER BY u.n DESC),
           nullif(target.structure_id, hartonomous_internal.live_structure(model)), target.state = 'archived';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.revision_atoms(integer, integer) IS
  'where the atoms of an available revision are stored: in the partition of a revision, without the atoms of the '
  'deltas taken_out, with those of the deltas put_back, in that order; and its structure, NULL if that is the live '
  'one; whether all that is in the archive instead; 22023 if the model has no such revision, 55000 if it was dropped, '
  'XX001 if a part of its archive is missing';

-- The query reads a revision and leaves its partition as it is: it adds the atoms that hold_revision() would put back,
-- and leaves out those that it would remove. It names parent tables, not partitions: those who read a model have rights
-- on the parents only.
CREATE FUNCTION hartonomous_internal.revision_query(revision integer, columns text) RETURNS text
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  model integer := (SELECT r.model_id FROM hartonomous.model_revisions r WHERE r.revision_id = revision);
  stored record;
  removed text[];  -- deltas whose atoms are not in the revision
  sources text[];  -- where its atoms are; of several sources that have an atom, the first counts
BEGIN
  SELECT * INTO STRICT stored FROM hartonomous_internal.revision_atoms(model, revision);
  SELECT array_agg(hartonomous_internal.atoms_source(model, d)) INTO removed FROM unnest(stored.taken_out) d;
  -- The delta that is put back last takes precedence over all others and over the partition.
  SELECT array_agg(hartonomous_internal.atoms_source(model, d.delta) ORDER BY d.n DESC) INTO sources
    FROM unnest(stored.put_back) WITH ORDINALITY d (delta, n);
  sources := sources || hartonomous_internal.atoms_source(model, stored.base_revision_id);
  -- OFFSET 0 keeps the planner from computing the columns later: sorts and joins, which may go to disk, would carry all
  -- weights that are stored inline.
  RETURN (SELECT string_agg(format('SELECT * FROM (SELECT %s FROM %s a OFFSET 0) a WHERE true', columns, s.source)
                 || (SELECT coalesce(string_agg(format(
                       ' AND NOT EXISTS (SELECT FROM %s b WHERE b.layer_id = a.layer_id '
                       'AND b.atom_sequence = a.atom_sequence)',
                       other), ''), '')
                       FROM unnest(removed || sources[:s.n - 1]) other), ' UNION ALL ' ORDER BY s.n)
            FROM unnest(sources) WITH ORDINALITY s (source, n));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.revision_query(integer, text) IS
  'a query for the atoms of an available revision, whatever the current state of its partition; its columns are those '
  'of a, layer_id and atom_sequence among them';

CREATE FUNCTION hartonomous_internal.compare_revisions(a integer, b integer)
  RETURNS TABLE (layer_id bigint, layer_name text, atoms_a bigint, atoms_b bigint, removed bigint, added bigint,
                 re_encoded bigint, bytes_a bigint, bytes_b bigint)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  columns constant text := 'a.layer_id, a.atom_sequence, a.content_hash, '
    'hartonomous.weights_bytes(a.atom_data) AS bytes';
  given integer;
  found record;
  model integer;
BEGIN
  FOREACH given IN ARRAY ARRAY[a, b] LOOP
    SELECT r.model_id, r.state INTO found FROM hartonomous.model_revisions r WHERE r.revision_id = given;
    IF found.model_id IS NULL THEN
      PERFORM hartonomous_internal.raise_error('42704',
        format('revision %s does not exist', coalesce(given::text, 'NULL')),
        hint => 'SELECT * FROM hartonomous.model_revisions; shows all revisions.');
    ELSIF found.state NOT IN ('live', 'backup', 'archived') THEN
      PERFORM hartonomous_internal.raise_error('55000',
        format('the atoms of revision %s are not available: it is %s', given, found.state),
        hint => 'Revisions in state "live", "backup" or "archived" have atoms: see '
              'hartonomous.model_revisions.');
    ELSIF model <> found.model_id THEN
      PERFORM hartonomous_internal.raise_error('22023', format('revisions %s and %s belong to different models', a, b));
    END IF;
    model := found.model_id;
  END LOOP;
  RETURN QUERY EXECUTE format($sql$
    SELECT l.layer_id, l.layer_name, coalesce(d.atoms_a, 0), coalesce(d.atoms_b, 0),
           -- Atoms of the same number lie elsewhere in a matrix of another shape.
           coalesce(CASE WHEN l.reshaped THEN d.atoms_a ELSE d.removed END, 0),
           coalesce(CASE WHEN l.reshaped THEN d.atoms_b ELSE d.added END, 0),
           coalesce(CASE WHEN l.reshaped THEN 0 ELSE d.re_encoded END, 0), coalesce(d.bytes_a, 0)::bigint,
           coalesce(d.bytes_b, 0)::bigint
      FROM (SELECT layer_id, coalesce(la.layer_name, lb.layer_name) AS layer_name,
                   coalesce(la.position, lb.position) AS position, la.tensor_shape <> lb.tensor_shape AS reshaped
              FROM hartonomous_internal.layers_of_revision($1) la
              FULL JOIN hartonomous_internal.layers_of_revision($2) lb USING (layer_id)) l
      LEFT JOIN (
        SELECT layer_id, count(a.atom_sequence) AS atoms_a, count(b.atom_sequence) AS atoms_b,
               count(*) FILTER (WHERE b.atom_sequence IS NULL) AS removed,
               count(*) FILTER (WHERE a.atom_sequence IS NULL) AS added,
               count(*) FILTER (WHERE a.content_hash <> b.content_hash OR a.bytes <> b.bytes) AS re_encoded,
               sum(a.bytes) AS bytes_a, sum(b.bytes) AS bytes_b
          FROM (%s) a FULL JOIN (%s) b USING (layer_id, atom_sequence) GROUP BY layer_id) d USING (layer_id)
     ORDER BY l.position, l.layer_id$sql$,
    hartonomous_internal.revision_query(a, columns), hartonomous_internal.revision_query(b, columns)) USING a, b;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.compare_revisions(integer, integer) IS
  'diff_revisions() in the snapshot of the calling query';
