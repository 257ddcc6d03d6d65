-- Logical replication: a subscriber follows the stages of its publisher.
--
-- What is replicated are rows, not the tables that stages create, swap and drop. But the rows say what becomes of these
-- tables: the row of a revision arrives before the atoms of its partition; and when a transaction ends, the rows of
-- models, model_revisions and compression_runs tell which partitions are live, which are backups, and which are gone.
-- The triggers of a subscriber, which are fired only by replicated changes, do the same there in the same transaction.

CREATE FUNCTION hartonomous_internal.applies_changes() RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.applies_changes() IS
  'whether this is a process that applies the changes of a publisher; not those that copy its tables at the beginning';

CREATE FUNCTION hartonomous_internal.subscribe_partition(partition regclass) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 250;
COMMENT ON FUNCTION hartonomous_internal.subscribe_partition(regclass) IS
  'lets the subscription whose changes are being applied fill a new partition, of which it has all changes; 55000 '
  'elsewhere, 42501 for other tables';

CREATE FUNCTION hartonomous_internal.place_of_partition(model integer, revision integer) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  made hartonomous.model_revisions;
BEGIN
  SELECT * INTO made FROM hartonomous.model_revisions r WHERE r.model_id = model AND r.revision_id = revision;
  RETURN CASE
    WHEN made.revision_id IS NULL THEN 'dropped'
    WHEN made.state = 'building' THEN 'detached'
    WHEN made.archived_atoms IS NOT NULL THEN CASE WHEN EXISTS (
      SELECT FROM hartonomous.compression_runs c
       WHERE c.revision_id = made.base_revision_id AND c.state = 'running') THEN 'detached' ELSE 'dropped' END
    WHEN revision = hartonomous_internal.live_base(model) THEN 'live'
    WHEN hartonomous_internal.is_needed(revision) THEN 'backup' ELSE 'dropped' END;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.place_of_partition(integer, integer) IS
  'what the rows of the store say of the partition of a revision: live, backup, detached (being written) or dropped';

CREATE FUNCTION hartonomous_internal.misplaced_partitions(model integer)
  RETURNS TABLE (revision_id integer, partition regclass, present text, wanted text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT p.* FROM (
      SELECT n.revision, c.oid::regclass,
             CASE i.inhparent WHEN 'hartonomous.tensor_atoms'::regclass THEN 'live'
               WHEN 'hartonomous.tensor_atoms_backup'::regclass THEN 'backup' ELSE 'detached' END,
             hartonomous_internal.place_of_partition(model, n.revision)
        FROM pg_class c
        CROSS JOIN LATERAL (SELECT (regexp_match(c.relname, format('^tensor_atoms_m%s_r([0-9]{1,9})$', model)))[1]
                                   ::integer) n (revision)
        LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
       WHERE c.relnamespace = 'hartonomous_partitions'::regnamespace AND c.relkind = 'r' AND n.revision IS NOT NULL
      ) p (revision, part, present, wanted)
     WHERE p.present <> p.wanted ORDER BY p.wanted = 'live' DESC, p.revision;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.misplaced_partitions(integer) IS
  'the partitions of a model that are not where the rows of the store say: where they are, and where they should be '
  '(live, backup, detached, dropped)';

CREATE FUNCTION hartonomous_internal.follow_model(model integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  moved record;
  part record;
BEGIN
  SELECT array_agg(p.partition) AS partitions, CASE
    WHEN bool_or(p.present = 'live') THEN 'ACCESS EXCLUSIVE' END AS live,
         CASE WHEN bool_or(p.present = 'backup') THEN 'ACCESS EXCLUSIVE' END AS backup
    INTO moved FROM hartonomous_internal.misplaced_partitions(model) p;
  IF moved.partitions IS NULL THEN
    RETURN;
  END IF;
  PERFORM hartonomous_internal.index_atoms_partition(p.partition)
     FROM hartonomous_internal.misplaced_partitions(model) p
     JOIN hartonomous.model_revisions r ON r.revision_id = p.revision_id AND r.kind <> 'in_place'
    WHERE p.wanted IN ('live', 'backup') AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = p.partition);
  PERFORM hartonomous_internal.lock_for_swap(moved.partitions, moved.live, moved.backup);
  FOR part IN SELECT * FROM hartonomous_internal.misplaced_partitions(model) p WHERE p.present <> 'detached' LOOP
    EXECUTE format('ALTER TABLE hartonomous.%I DETACH PARTITION %s',
      CASE part.present WHEN 'live' THEN 'tensor_atoms' ELSE 'tensor_atoms_backup' END, part.partition);
  END LOOP;
  FOR part IN SELECT * FROM hartonomous_internal.misplaced_partitions(model) LOOP
    CASE part.wanted
      WHEN 'live' THEN PERFORM hartonomous_internal.attach_live(model, part.revision_id);
      WHEN 'backup' THEN PERFORM hartonomous_internal.attach_backup(model, part.revision_id);
      ELSE EXECUTE format('DROP TABLE %s', part.partition);
    END CASE;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.follow_model(integer) IS
  'indexes, attaches, detaches and drops the partitions of a model so that they are where the rows of the store say; '
  '55P03 after hartonomous.swap_timeout';

-- A partition that is still there was archived before in the same transaction.
CREATE FUNCTION hartonomous_internal.follow_partition(model integer, revision integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF hartonomous_internal.partition_exists(model, revision) THEN
    EXECUTE format('DROP TABLE %s', hartonomous_internal.partition_of(model, revision));
  END IF;
  PERFORM hartonomous_internal.subscribe_partition(hartonomous_internal.create_atoms_partition(model, revision));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.follow_partition(integer, integer) IS
  'creates a partition that the publisher has created, and lets the subscription fill it';

CREATE FUNCTION hartonomous_internal.follow_new_partitions() RETURNS trigger
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT hartonomous_internal.applies_changes() THEN
    NULL;
  ELSIF TG_TABLE_NAME = 'model_revisions' THEN
    PERFORM hartonomous_internal.follow_partition(NEW.model_id, NEW.revision_id);
  ELSIF hartonomous_internal.purpose_of_run(NEW.run_id) = 'restore' THEN
    PERFORM hartonomous_internal.follow_partition(NEW.model_id, u.part)
       FROM unnest(hartonomous_internal.partitions_of_base(NEW.revision_id, archived => true)) u (part);
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.follow_new_partitions() IS
  'trigger of a subscriber: a row of model_revisions, or a run that restores, has arrived, and atoms will';

CREATE FUNCTION hartonomous_internal.follow_changes() RETURNS trigger
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF hartonomous_internal.applies_changes() THEN
    IF TG_TABLE_NAME = 'models' THEN
      PERFORM hartonomous_internal.model_names_changed();
    END IF;
    PERFORM hartonomous_internal.follow_model(CASE TG_OP WHEN 'DELETE' THEN OLD.model_id ELSE NEW.model_id END);
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.follow_changes() IS
  'trigger of a subscriber, deferred to the end of the transaction: a row has arrived that says where partitions are';

CREATE FUNCTION hartonomous_internal.refuse_to_write() RETURNS trigger
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.raise_error('55000', 'this store follows the store of a publisher',
    hint => 'Change models there. SELECT hartonomous.follow_publisher(false); makes this store independent.');
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.refuse_to_write() IS
  'trigger of a subscriber: 55000 for whoever is not replication, whose rows would be in the way of those to come';

CREATE FUNCTION hartonomous_internal.follower_triggers()
  RETURNS TABLE (relation text, trigger_name text, definition text, fires text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 50 ROWS 30
BEGIN ATOMIC
  SELECT v.relation, 'follow_new_partitions', 'CREATE TRIGGER %s AFTER INSERT ON %s FOR EACH ROW', 'REPLICA'
    FROM (VALUES ('model_revisions'), ('compression_runs')) v (relation)
  UNION ALL
  SELECT v.relation, 'follow_changes', 'CREATE CONSTRAINT TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s '
         'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW', 'REPLICA'
    FROM (VALUES ('models'), ('model_revisions'), ('compression_runs')) v (relation)
  UNION ALL
  SELECT t, 'refuse_to_write', 'CREATE TRIGGER %s BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s '
         'FOR EACH STATEMENT', NULL
    FROM unnest(hartonomous.store_tables()) t;
END;
COMMENT ON FUNCTION hartonomous_internal.follower_triggers() IS
  'the triggers of a subscriber, named like their functions; those that fire for REPLICA fire for replicated changes '
  'only';
