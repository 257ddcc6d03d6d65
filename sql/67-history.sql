-- What revisions there are, how two of them differ, and which backups are worth keeping.

CREATE FUNCTION hartonomous.model_history(model integer)
  RETURNS TABLE (revision_id integer, parent_revision_id integer, stage text, kind text, state text, atoms bigint,
                 logical_bytes bigint, bytes_of_parent numeric, parameters jsonb, metrics jsonb, created_at timestamptz)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM hartonomous.current_revision(model);
  RETURN QUERY
    SELECT r.revision_id, r.parent_revision_id, r.stage, r.kind, r.state, r.atom_count, r.logical_bytes,
           round(r.logical_bytes::numeric / nullif(p.logical_bytes, 0), 3), r.parameters, r.metrics, r.created_at
      FROM hartonomous.model_revisions r
      LEFT JOIN hartonomous.model_revisions p ON p.revision_id = r.parent_revision_id
     WHERE r.model_id = model ORDER BY r.revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous.model_history(integer) IS
  'a row a revision, oldest first, dropped ones too: atoms and bytes of weights as its stage left them, and the bytes as a share of its parent''s; 42704 when there is no such model';

CREATE FUNCTION hartonomous.model_history(model text)
  RETURNS TABLE (revision_id integer, parent_revision_id integer, stage text, kind text, state text, atoms bigint,
                 logical_bytes bigint, bytes_of_parent numeric, parameters jsonb, metrics jsonb, created_at timestamptz)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.model_history(hartonomous.model_id(model));
END
$$;
COMMENT ON FUNCTION hartonomous.model_history(text) IS 'the same for a model by its name';

CREATE FUNCTION hartonomous.atoms_source(model integer, revision integer) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
BEGIN ATOMIC
  SELECT format('(SELECT * FROM %s WHERE model_id = %s AND revision_id = %s)', i.inhparent::regclass, model, revision)
    FROM pg_inherits i
   WHERE i.inhrelid = to_regclass(format('hartonomous.%I', hartonomous.atoms_partition(model, revision)));
END;
COMMENT ON FUNCTION hartonomous.atoms_source(integer, integer) IS
  'the atoms of one partition, as a table in a query; NULL when it is not there or attached to nothing';

-- The rows of a state, without bringing its partition into it: those that hold_revision() would put back or take out
-- are added or left out here. Through the parents, for which readers have rights.
CREATE FUNCTION hartonomous.revision_query(revision integer, columns text) RETURNS text
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  target hartonomous.model_revisions;
  held_chain integer[];
  own_chain integer[] := hartonomous.revision_chain(revision);
  removed text[];  -- whose atoms are not in the state
  sources text[];  -- whose atoms are, each but for those of the sources before it
BEGIN
  SELECT * INTO STRICT target FROM hartonomous.model_revisions r WHERE r.revision_id = revision;
  SELECT hartonomous.revision_chain(r.held_revision_id) INTO STRICT held_chain
    FROM hartonomous.model_revisions r WHERE r.revision_id = target.base_revision_id;
  SELECT array_agg(hartonomous.atoms_source(target.model_id, d)) INTO removed
    FROM unnest(own_chain) d WHERE d <> ALL (held_chain);
  -- What is put back last stands in the place of all else.
  SELECT array_agg(hartonomous.atoms_source(target.model_id, d.delta) ORDER BY d.n DESC) INTO sources
    FROM unnest(held_chain) WITH ORDINALITY d (delta, n) WHERE d.delta <> ALL (own_chain);
  sources := sources || hartonomous.atoms_source(target.model_id, target.base_revision_id);
  -- OFFSET 0 keeps the planner from computing the columns later: sorts and joins, which may go to disk, would carry all
  -- weights that are stored inline.
  RETURN (SELECT string_agg(format('SELECT * FROM (SELECT %s FROM %s a OFFSET 0) a WHERE true', columns, s.source)
                 || (SELECT coalesce(string_agg(format(
                       ' AND NOT EXISTS (SELECT FROM %s b WHERE b.layer_id = a.layer_id AND b.atom_sequence = a.atom_sequence)',
                       other), ''), '')
                       FROM unnest(removed || sources[:s.n - 1]) other), ' UNION ALL ' ORDER BY s.n)
            FROM unnest(sources) WITH ORDINALITY s (source, n));
END
$$;
COMMENT ON FUNCTION hartonomous.revision_query(integer, text) IS
  'a query for the atoms of a kept revision, whatever state its partition is in; the columns are of a, layer_id and atom_sequence among them';

CREATE FUNCTION hartonomous.compare_revisions(a integer, b integer)
  RETURNS TABLE (layer_id bigint, layer_name text, atoms_a bigint, atoms_b bigint, removed bigint, added bigint,
                 re_encoded bigint, bytes_a bigint, bytes_b bigint)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  columns constant text := 'a.layer_id, a.atom_sequence, a.content_hash, hartonomous.weights_bytes(a.atom_data) AS bytes';
  given integer;
  found record;
  model integer;
BEGIN
  FOREACH given IN ARRAY ARRAY[a, b] LOOP
    SELECT r.model_id, r.state INTO found FROM hartonomous.model_revisions r WHERE r.revision_id = given;
    IF found.model_id IS NULL THEN
      RAISE EXCEPTION 'revision % does not exist', coalesce(given::text, 'NULL') USING ERRCODE = '42704';
    ELSIF found.state NOT IN ('live', 'backup') THEN
      RAISE EXCEPTION 'the atoms of revision % are not there: it is %', given, found.state USING ERRCODE = '55000';
    ELSIF model <> found.model_id THEN
      RAISE EXCEPTION 'revisions % and % are of different models', a, b USING ERRCODE = '22023';
    END IF;
    model := found.model_id;
  END LOOP;
  RETURN QUERY EXECUTE format($sql$
    SELECT l.layer_id, l.layer_name, coalesce(d.atoms_a, 0), coalesce(d.atoms_b, 0), coalesce(d.removed, 0),
           coalesce(d.added, 0), coalesce(d.re_encoded, 0), coalesce(d.bytes_a, 0)::bigint, coalesce(d.bytes_b, 0)::bigint
      FROM hartonomous.model_layers l
      LEFT JOIN (
        SELECT layer_id, count(a.atom_sequence) AS atoms_a, count(b.atom_sequence) AS atoms_b,
               count(*) FILTER (WHERE b.atom_sequence IS NULL) AS removed,
               count(*) FILTER (WHERE a.atom_sequence IS NULL) AS added,
               count(*) FILTER (WHERE a.content_hash <> b.content_hash OR a.bytes <> b.bytes) AS re_encoded,
               sum(a.bytes) AS bytes_a, sum(b.bytes) AS bytes_b
          FROM (%s) a FULL JOIN (%s) b USING (layer_id, atom_sequence) GROUP BY layer_id) d USING (layer_id)
     WHERE l.model_id = $1 ORDER BY l.position$sql$,
    hartonomous.revision_query(a, columns), hartonomous.revision_query(b, columns)) USING model;
END
$$;
COMMENT ON FUNCTION hartonomous.compare_revisions(integer, integer) IS
  'diff_revisions() in the snapshot of the calling query';

-- No swap comes between the look at the revisions and that at the atoms; and both see one snapshot, taken after the
-- lock, because the function that looks is STABLE.
CREATE FUNCTION hartonomous.diff_revisions(a integer, b integer)
  RETURNS TABLE (layer_id bigint, layer_name text, atoms_a bigint, atoms_b bigint, removed bigint, added bigint,
                 re_encoded bigint, bytes_a bigint, bytes_b bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  LOCK TABLE ONLY hartonomous.tensor_atoms, ONLY hartonomous.tensor_atoms_backup IN ACCESS SHARE MODE;
  RETURN QUERY
    SELECT c.layer_id, c.layer_name, c.atoms_a, c.atoms_b, c.removed, c.added, c.re_encoded,
           c.bytes_a + hartonomous.form_bytes(ra.model_id, ra.base_revision_id, c.layer_id),
           c.bytes_b + hartonomous.form_bytes(rb.model_id, rb.base_revision_id, c.layer_id)
      FROM hartonomous.compare_revisions(a, b) c
      LEFT JOIN hartonomous.model_revisions ra ON ra.revision_id = a
      LEFT JOIN hartonomous.model_revisions rb ON rb.revision_id = b;
END
$$;
COMMENT ON FUNCTION hartonomous.diff_revisions(integer, integer) IS
  'how revision b of a model differs from revision a, a row a tensor: atoms only a has (removed), only b has (added), both have with other bytes (re_encoded), and bytes of atoms and factors; 42704 when there is no such revision, 55000 when it is not kept, 22023 when they are of two models';

CREATE FUNCTION hartonomous.apply_retention(model integer, keep_last integer DEFAULT NULL, max_age interval DEFAULT NULL,
                                            nowait boolean DEFAULT false)
  RETURNS TABLE (revision_id integer, stage text, created_at timestamptz, freed_bytes bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  IF keep_last IS NULL AND max_age IS NULL THEN
    RAISE EXCEPTION 'give keep_last, max_age or both' USING ERRCODE = '22023';
  ELSIF keep_last < 0 OR max_age < interval '0' THEN
    RAISE EXCEPTION 'keep_last and max_age cannot be negative' USING ERRCODE = '22023';
  END IF;
  PERFORM hartonomous.current_revision(model);
  PERFORM hartonomous.lock_model(model, nowait);
  PERFORM hartonomous.current_revision(model);
  FOR revision_id, stage, created_at IN
    SELECT b.revision_id, b.stage, b.created_at
      FROM (SELECT r.revision_id, r.stage, r.created_at, row_number() OVER (ORDER BY r.revision_id DESC) AS newer
              FROM hartonomous.model_revisions r WHERE r.model_id = model AND r.state = 'backup') b
     WHERE b.newer > keep_last OR b.created_at < clock_timestamp() - max_age
     ORDER BY b.revision_id
  LOOP
    freed_bytes := hartonomous.drop_backup(revision_id, nowait);
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous.apply_retention(integer, integer, interval, boolean) IS
  'drops the backups of a model that are not among its keep_last newest or are older than max_age, never the live revision; a row each; 42704 when there is no such model, 22023 without or with negative limits, 55P03 with nowait';

CREATE FUNCTION hartonomous.apply_retention(model text, keep_last integer DEFAULT NULL, max_age interval DEFAULT NULL,
                                            nowait boolean DEFAULT false)
  RETURNS TABLE (revision_id integer, stage text, created_at timestamptz, freed_bytes bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.apply_retention(hartonomous.model_id(model), keep_last, max_age, nowait);
END
$$;
COMMENT ON FUNCTION hartonomous.apply_retention(text, integer, interval, boolean) IS 'the same for a model by its name';
