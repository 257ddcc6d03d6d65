-- Backup and rollback: every stage can be undone.

CREATE FUNCTION hartonomous.backup_model(model integer, stage text DEFAULT 'backup', nowait boolean DEFAULT false)
  RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  run bigint;
BEGIN
  PERFORM hartonomous.current_revision(model);
  PERFORM hartonomous.lock_model(model, nowait);
  run := hartonomous.begin_run(model, stage, 'copy', '{}');
  CALL hartonomous.execute_run(run);
  RETURN (SELECT r.revision_id FROM hartonomous.compression_runs r WHERE r.run_id = run);
END
$$;
COMMENT ON FUNCTION hartonomous.backup_model(integer, text, boolean) IS
  'writes a full copy of a model''s atoms as a backup revision, whose number it returns; after it, plain DELETE and UPDATE can be rolled back; one transaction: a cancel or crash leaves nothing; 55P03 with nowait';

CREATE FUNCTION hartonomous.backup_model(model text, stage text DEFAULT 'backup', nowait boolean DEFAULT false)
  RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous.backup_model(hartonomous.model_id(model), stage, nowait);
COMMENT ON FUNCTION hartonomous.backup_model(text, text, boolean) IS 'the same for a model by its name';

-- What "undo" means: a copy taken of the current state, if there is one (so that plain DML is undone); otherwise
-- the state before the last stage. A copy stands for what it is a copy of.
CREATE FUNCTION hartonomous.rollback_target(model integer) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  present hartonomous.model_revisions;
  seen integer[] := '{}';
  target integer;
BEGIN
  SELECT * INTO STRICT present
    FROM hartonomous.model_revisions r WHERE r.revision_id = hartonomous.current_revision(model);
  SELECT max(r.revision_id) INTO target
    FROM hartonomous.model_revisions r
   WHERE r.parent_revision_id = present.revision_id AND r.kind = 'copy' AND r.state = 'backup';
  IF target IS NOT NULL THEN
    RETURN target;
  END IF;
  WHILE present.kind = 'copy' AND present.parent_revision_id IS NOT NULL LOOP
    IF present.parent_revision_id = ANY (seen) THEN
      RAISE EXCEPTION 'the parents of revision % lead back to it', present.revision_id USING ERRCODE = '55000';
    END IF;
    seen := seen || present.parent_revision_id;
    SELECT * INTO STRICT present FROM hartonomous.model_revisions r WHERE r.revision_id = present.parent_revision_id;
  END LOOP;
  IF present.parent_revision_id IS NULL THEN
    RAISE EXCEPTION 'model % is at its first revision: there is nothing to roll back to', model
      USING ERRCODE = '55000';
  END IF;
  RETURN present.parent_revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous.rollback_target(integer) IS
  'the revision rollback_model(model) goes to: the newest copy of the current one, else its parent; 55000 when there is none';

CREATE FUNCTION hartonomous.rollback_model(model integer, revision integer DEFAULT NULL, nowait boolean DEFAULT false)
  RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  present integer := hartonomous.current_revision(model);
  present_base integer;
  wanted integer;
  target record;  -- a row type would have to be there before there is a store
BEGIN
  PERFORM hartonomous.lock_model(model, nowait);
  present := hartonomous.current_revision(model);
  -- By itself: in a WHERE the planner, too, would ask, with a snapshot from before the lock.
  wanted := coalesce(revision, hartonomous.rollback_target(model));
  SELECT * INTO target FROM hartonomous.model_revisions r WHERE r.model_id = model AND r.revision_id = wanted;
  IF target.revision_id IS NULL THEN
    RAISE EXCEPTION 'model % has no revision %', model, revision USING ERRCODE = '22023';
  END IF;
  IF target.state <> 'backup' THEN
    RAISE EXCEPTION 'revision % of model % is %', target.revision_id, model, target.state
      USING ERRCODE = '55000',
            HINT = 'Revisions in state "backup" can be returned to: see hartonomous.model_revisions.';
  END IF;
  SELECT r.base_revision_id INTO STRICT present_base FROM hartonomous.model_revisions r WHERE r.revision_id = present;
  PERFORM hartonomous.hold_revision(target.revision_id);
  IF target.base_revision_id <> present_base THEN
    PERFORM hartonomous.swap_partitions(model, present_base, target.base_revision_id);
  END IF;
  PERFORM hartonomous.make_current(model, target.revision_id);
  RAISE NOTICE 'model % is at revision % (%)', model, target.revision_id, target.stage;
  RETURN target.revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous.rollback_model(integer, integer, boolean) IS
  'takes a model to another kept revision, back or forth, by default the one rollback_target() names, in one transaction; a cancel or crash leaves it where it was; 22023 when it has no such revision, 55000 when that is not kept, 55P03 with nowait';

CREATE FUNCTION hartonomous.rollback_model(model text, revision integer DEFAULT NULL, nowait boolean DEFAULT false)
  RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous.rollback_model(hartonomous.model_id(model), revision, nowait);
COMMENT ON FUNCTION hartonomous.rollback_model(text, integer, boolean) IS 'the same for a model by its name';

CREATE FUNCTION hartonomous.drop_backup(revision integer, nowait boolean DEFAULT false) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  target record;  -- as above
  before bigint;
  after bigint;
BEGIN
  SELECT * INTO target FROM hartonomous.model_revisions r WHERE r.revision_id = drop_backup.revision;
  IF target.revision_id IS NULL THEN
    RAISE EXCEPTION 'revision % does not exist', coalesce(revision::text, 'NULL') USING ERRCODE = '42704';
  END IF;
  PERFORM hartonomous.lock_model(target.model_id, nowait);
  SELECT * INTO target FROM hartonomous.model_revisions r WHERE r.revision_id = drop_backup.revision;
  IF target.state IS DISTINCT FROM 'backup' THEN  -- gone with its model, perhaps
    RAISE EXCEPTION 'revision % is %, not a backup', revision, coalesce(target.state, 'deleted') USING ERRCODE = '55000';
  END IF;
  PERFORM hartonomous.lock_for_swap(coalesce(
    (SELECT array_agg(i.inhrelid::regclass)
       FROM pg_inherits i
       JOIN hartonomous.model_revisions r
         ON i.inhrelid = to_regclass(format('hartonomous.%I', hartonomous.atoms_partition(r.model_id, r.revision_id)))
      WHERE r.model_id = target.model_id AND i.inhparent = 'hartonomous.tensor_atoms_backup'::regclass), '{}'), NULL, 'ACCESS EXCLUSIVE');
  before := hartonomous.model_disk_bytes(target.model_id);
  UPDATE hartonomous.model_revisions r SET state = 'dropped' WHERE r.revision_id = drop_backup.revision;
  PERFORM hartonomous.drop_unneeded_partitions(target.model_id);
  after := hartonomous.model_disk_bytes(target.model_id);
  RETURN before - after;
END
$$;
COMMENT ON FUNCTION hartonomous.drop_backup(integer, boolean) IS
  'gives up a backup revision and the partitions that no other kept revision needs; returns the bytes of disk freed; 42704 when there is no such revision, 55000 when it is not a backup';
