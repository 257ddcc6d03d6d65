-- Functions on revisions: rollback (every stage can be undone), dropping backups, and listing and comparing revisions.

CREATE FUNCTION hartonomous.backup_model(model hartonomous.regmodel, stage text DEFAULT 'backup',
  nowait boolean DEFAULT false)
  RETURNS integer
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  run bigint;
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.lock_model(model, nowait);
  PERFORM hartonomous_internal.require_live_atoms(model);
  run := hartonomous_internal.begin_run(model, stage, 'copy', '{}');
  CALL hartonomous_internal.execute_run(run);
  RETURN (SELECT r.revision_id FROM hartonomous.compression_runs r WHERE r.run_id = run);
END
$$;
COMMENT ON FUNCTION hartonomous.backup_model(hartonomous.regmodel, text, boolean) IS
  'writes a full copy of a model''s atoms as a backup revision and returns its number; plain DELETE and UPDATE after '
  'it can be rolled back; one transaction: a cancel or crash leaves nothing; 55P03 with nowait';

CREATE FUNCTION hartonomous.rollback_model(model hartonomous.regmodel, revision integer DEFAULT NULL,
  nowait boolean DEFAULT false)
  RETURNS integer
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  present integer := hartonomous_internal.current_revision(model);
  present_base integer;
  wanted integer;
  target record;  -- not a row type, which would need the store to exist when this is compiled
BEGIN
  PERFORM hartonomous_internal.lock_model(model, nowait);
  present := hartonomous_internal.current_revision(model);
  -- Computed in a statement of its own: in the WHERE clause the planner would also call the function, with a snapshot
  -- taken before the lock.
  wanted := coalesce(revision, hartonomous_internal.rollback_target(model));
  SELECT * INTO target FROM hartonomous.model_revisions r WHERE r.model_id = model AND r.revision_id = wanted;
  IF target.revision_id IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', format('model "%s" has no revision %s', model, revision),
      hint => format('SELECT * FROM hartonomous.model_history(%s); shows its revisions.', model::integer));
  END IF;
  IF target.state = 'archived' THEN
    CALL hartonomous_internal.move_partition(model, target.base_revision_id, 'restore');
    -- The live revision may have come with it.
    IF target.revision_id = present THEN
      RETURN present;
    END IF;
  ELSIF target.state <> 'backup' THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('revision %s of model "%s" is %s', target.revision_id, model, target.state),
      hint => 'Only revisions in state "backup" or "archived" can be made live: see hartonomous.model_revisions.');
  END IF;
  IF hartonomous_internal.is_columnar(target.revision_id) THEN
    PERFORM hartonomous_internal.use_access_method(model, target.base_revision_id, 'heap');
  END IF;
  SELECT r.base_revision_id INTO STRICT present_base FROM hartonomous.model_revisions r WHERE r.revision_id = present;
  PERFORM hartonomous_internal.hold_revision(target.revision_id);
  IF target.base_revision_id <> present_base THEN
    PERFORM hartonomous_internal.swap_partitions(model, present_base, target.base_revision_id);
  END IF;
  PERFORM hartonomous_internal.make_current(model, target.revision_id);
  RAISE NOTICE 'model "%" is at revision % (%)', model, target.revision_id, target.stage;
  RETURN target.revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous.rollback_model(hartonomous.regmodel, integer, boolean) IS
  'makes another revision of a model live, earlier or later, by default the one of rollback_target(), in one '
  'transaction: a cancel or crash changes nothing; 22023 if the model has no such revision, 55000 if that was dropped, '
  '55P03 with nowait';

CREATE FUNCTION hartonomous.drop_backup(revision integer, nowait boolean DEFAULT false) RETURNS bigint
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  target record;  -- not a row type, as in rollback_model()
  before bigint;
  after bigint;
BEGIN
  SELECT * INTO target FROM hartonomous_internal.lock_revision(revision, nowait);
  IF coalesce(target.state, 'deleted') NOT IN ('backup', 'archived')
     OR revision = hartonomous_internal.current_revision(target.model_id) THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('revision %s is %s, not a backup', revision,
             CASE target.state WHEN 'archived' THEN 'the live one' ELSE coalesce(target.state, 'deleted') END),
      hint => 'Revisions in state "backup" or "archived" can be dropped: see hartonomous.model_revisions.');
  END IF;
  PERFORM hartonomous_internal.lock_backups(target.model_id);
  before := hartonomous.model_disk_bytes(target.model_id);
  UPDATE hartonomous.model_revisions r SET state = 'dropped' WHERE r.revision_id = drop_backup.revision;
  PERFORM hartonomous_internal.drop_unneeded_partitions(target.model_id);
  after := hartonomous.model_disk_bytes(target.model_id);
  RETURN before - after;
END
$$;
COMMENT ON FUNCTION hartonomous.drop_backup(integer, boolean) IS
  'drops a backup revision and the partitions that no remaining revision needs; returns the bytes on disk freed; 42704 '
  'if there is no such revision, 55000 if it is neither a backup nor archived';

CREATE FUNCTION hartonomous.model_history(model hartonomous.regmodel)
  RETURNS TABLE (revision_id integer, parent_revision_id integer, stage text, kind text, state text, atoms bigint,
                 logical_bytes bigint, bytes_of_parent numeric, parameters jsonb, metrics jsonb, created_at timestamptz)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  RETURN QUERY
    SELECT r.revision_id, r.parent_revision_id, r.stage, r.kind, r.state, r.atom_count, r.logical_bytes,
           round(r.logical_bytes::numeric / nullif(p.logical_bytes, 0), 3), r.parameters, r.metrics, r.created_at
      FROM hartonomous.model_revisions r
      LEFT JOIN hartonomous.model_revisions p ON p.revision_id = r.parent_revision_id
     WHERE r.model_id = model ORDER BY r.revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous.model_history(hartonomous.regmodel) IS
  'one row per revision, oldest first, including dropped ones: atoms and bytes of weights after its stage, and the '
  'bytes as a percentage of its parent''s; 42704 if there is no such model';

-- The lock prevents a swap between reading the revisions and reading the atoms. Both are read with one snapshot, taken
-- after the lock, because the function that reads them is STABLE.
CREATE FUNCTION hartonomous.diff_revisions(a integer, b integer)
  RETURNS TABLE (layer_id bigint, layer_name text, atoms_a bigint, atoms_b bigint, removed bigint, added bigint,
                 re_encoded bigint, bytes_a bigint, bytes_b bigint)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  LOCK TABLE ONLY hartonomous.tensor_atoms, ONLY hartonomous.tensor_atoms_backup IN ACCESS SHARE MODE;
  RETURN QUERY
    SELECT c.layer_id, c.layer_name, c.atoms_a, c.atoms_b, c.removed, c.added, c.re_encoded,
           c.bytes_a + hartonomous_internal.form_bytes(ra.model_id, ra.base_revision_id, c.layer_id),
           c.bytes_b + hartonomous_internal.form_bytes(rb.model_id, rb.base_revision_id, c.layer_id)
      FROM hartonomous_internal.compare_revisions(a, b) c
      LEFT JOIN hartonomous.model_revisions ra ON ra.revision_id = a
      LEFT JOIN hartonomous.model_revisions rb ON rb.revision_id = b;
END
$$;
COMMENT ON FUNCTION hartonomous.diff_revisions(integer, integer) IS
  'how revision b of a model differs from revision a, one row per tensor: atoms that only a has (removed), that only b '
  'has (added), that both have with different bytes (re_encoded), and bytes of atoms and factors; 42704 if there is no '
  'such revision, 55000 if it was dropped, 22023 if they belong to different models';

CREATE FUNCTION hartonomous.apply_retention(model hartonomous.regmodel, keep_last integer DEFAULT NULL,
    max_age interval DEFAULT NULL, nowait boolean DEFAULT false)
  RETURNS TABLE (revision_id integer, stage text, created_at timestamptz, freed_bytes bigint)
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF keep_last IS NULL AND max_age IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', 'keep_last, max_age or both must be given',
      hint => 'For example keep_last => 3, or max_age => ''30 days''.');
  ELSIF keep_last < 0 OR max_age < interval '0' THEN
    PERFORM hartonomous_internal.raise_error('22023', 'keep_last and max_age cannot be negative');
  END IF;
  PERFORM hartonomous_internal.current_revision(model);
  PERFORM hartonomous_internal.lock_model(model, nowait);
  PERFORM hartonomous_internal.current_revision(model);
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
COMMENT ON FUNCTION hartonomous.apply_retention(hartonomous.regmodel, integer, interval, boolean) IS
  'drops the backups of a model that are not among its keep_last newest or are older than max_age, never the live '
  'revision; one row per dropped revision; 42704 if there is no such model, 22023 without limits or with negative ones,'
  ' 55P03 with nowait';
