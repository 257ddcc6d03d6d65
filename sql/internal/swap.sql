-- Swaps: a partition becomes the live one of its model, or a backup.
--
-- Locks are taken in this order: the model's lock (internal/locks.sql), the model's own partitions,
-- hartonomous.tensor_atoms, hartonomous.tensor_atoms_backup. All models share the last two, so everything slow
-- (scanning a partition, copying what has changed) is done before these locks are requested, and they are requested in
-- short attempts: see lock_for_swap().

-- A session checks for deadlocks after it has waited for deadlock_timeout. So a wait here lasts at most half as long,
-- and only starts if no session has waited that long for a lock that this attempt already holds. No deadlock check can
-- then take place during the wait, and no session is ever cancelled as the victim of a deadlock.
CREATE FUNCTION hartonomous_internal.lock_briefly(relation regclass, mode text, locked regclass[]) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '100ms'
AS $$
#variable_conflict use_variable
DECLARE
  patience constant interval := least('100ms', current_setting('deadlock_timeout')::interval / 2);
BEGIN
  BEGIN
    EXECUTE format('LOCK TABLE ONLY %s IN %s MODE NOWAIT', relation, mode);
    RETURN;
  EXCEPTION WHEN lock_not_available THEN
    NULL;  -- try again with a timeout: NOWAIT also fails where a very short wait would succeed
  END;
  IF EXISTS (SELECT FROM pg_locks w
              WHERE NOT w.granted AND w.locktype = 'relation' AND w.relation = ANY (locked::oid[])
                AND w.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                AND w.waitstart < clock_timestamp() - patience) THEN
    PERFORM hartonomous_internal.raise_error('55P03', 'other sessions are waiting for the tables that are locked');
  END IF;
  PERFORM set_config('lock_timeout', greatest(1, floor(1000 * extract(epoch FROM patience)))::text, true);
  EXECUTE format('LOCK TABLE ONLY %s IN %s MODE', relation, mode);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.lock_briefly(regclass, text, regclass[]) IS
  'locks a table within 100 ms, too short a time to become part of a deadlock; 55P03 if that is not possible, or if '
  'others wait for the tables that are already locked';

-- From the first lock on nobody can write to the partitions (reads continue). What changed before that is copied again
-- before the parents are locked.
CREATE FUNCTION hartonomous_internal.try_lock_for_swap(partitions regclass[], live_mode text, backup_mode text,
  run bigint)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '1500ms'
AS $$
#variable_conflict use_variable
DECLARE
  locked regclass[] := partitions;
  partition regclass;
BEGIN
  IF hartonomous_internal.purpose_of_run(run) = 'rewrite' THEN
    locked := locked || (SELECT hartonomous_internal.live_partition(r.model_id)
                           FROM hartonomous.compression_runs r WHERE r.run_id = run);
  END IF;
  -- Autovacuum yields to sessions that have waited longer than deadlock_timeout.
  PERFORM set_config('lock_timeout',
    ceil(extract(epoch FROM current_setting('deadlock_timeout')::interval) * 1000 + 500)::text, true);
  FOREACH partition IN ARRAY locked LOOP
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE', partition);
  END LOOP;
  IF run IS NOT NULL THEN
    PERFORM hartonomous_internal.copy_changed_layers(run);
  END IF;
  IF live_mode IS NOT NULL THEN
    PERFORM hartonomous_internal.lock_briefly('hartonomous.tensor_atoms', live_mode, locked);
    locked := locked || 'hartonomous.tensor_atoms'::regclass;
  END IF;
  IF backup_mode IS NOT NULL THEN
    PERFORM hartonomous_internal.lock_briefly('hartonomous.tensor_atoms_backup', backup_mode, locked);
    locked := locked || 'hartonomous.tensor_atoms_backup'::regclass;
  END IF;
  FOREACH partition IN ARRAY partitions LOOP
    PERFORM hartonomous_internal.lock_briefly(partition, 'ACCESS EXCLUSIVE', locked);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.try_lock_for_swap(regclass[], text, text, bigint) IS
  'one attempt of lock_for_swap(); 55P03 or 40P01 if it fails';

-- Waits for the holders of locks on the parents without queueing for the lock itself, so that no other session has to
-- queue behind this one, and so that tensors are not copied in vain. Only then the locks are requested. A failed
-- attempt releases all its locks.
CREATE FUNCTION hartonomous_internal.lock_for_swap(partitions regclass[], live_mode text, backup_mode text,
                                          run bigint DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '100ms'
AS $$
#variable_conflict use_variable
DECLARE
  give_up constant timestamptz := clock_timestamp()
    + coalesce(nullif(current_setting('hartonomous.swap_timeout', true), ''), '1min')::interval;
BEGIN
  LOOP
    PERFORM hartonomous_internal.wait_for_parents(live_mode, backup_mode, give_up);
    -- Copied once without holding any lock first, so that little is left to copy under the locks.
    IF run IS NOT NULL THEN
      PERFORM hartonomous_internal.copy_changed_layers(run);
    END IF;
    BEGIN
      PERFORM hartonomous_internal.try_lock_for_swap(partitions, live_mode, backup_mode, run);
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      IF clock_timestamp() > give_up THEN
        PERFORM hartonomous_internal.raise_error('55P03',
          'could not swap partitions: other transactions kept using the atoms',
          detail => hartonomous_internal.swap_blockers(partitions, live_mode, backup_mode),
          hint => 'pg_stat_activity shows what they are doing. Wait for them, end them (pg_terminate_backend), or '
            'raise hartonomous.swap_timeout.');
      END IF;
    END;
    PERFORM pg_sleep(0.05);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.lock_for_swap(regclass[], text, text, bigint) IS
  'takes the locks under which partitions change parents, in short attempts: ACCESS EXCLUSIVE on the partitions, and '
  'the given modes (NULL: none) on tensor_atoms and tensor_atoms_backup; with a run, first copies again the tensors '
  'that changed since they were copied; 55P03, with the holders of the locks, after hartonomous.swap_timeout';

CREATE FUNCTION hartonomous_internal.wait_for_parents(live_mode text, backup_mode text, until timestamptz) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '100ms'
AS $$
#variable_conflict use_variable
DECLARE
  parent record;
  remaining numeric;
BEGIN
  FOR parent IN
    SELECT p.relation, p.mode FROM (VALUES ('hartonomous.tensor_atoms'::regclass, live_mode),
                                           ('hartonomous.tensor_atoms_backup', backup_mode)) p (relation, mode)
     WHERE p.mode IS NOT NULL
  LOOP
    remaining := floor(1000 * extract(epoch FROM until - clock_timestamp()));
    EXIT WHEN remaining < 1;
    PERFORM set_config('lock_timeout', least(remaining, 2147483647)::text, true);
    PERFORM hartonomous_internal.wait_for_lockers(parent.relation, parent.mode);
  END LOOP;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
  NULL;  -- the attempt that follows will fail if locks are still held
END
$$;
COMMENT ON FUNCTION hartonomous_internal.wait_for_parents(text, text, timestamptz) IS
  'waits, at most until the given time, for transactions that hold conflicting locks on tensor_atoms or '
  'tensor_atoms_backup';

CREATE FUNCTION hartonomous_internal.swap_blockers(partitions regclass[], live_mode text, backup_mode text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT coalesce(
      string_agg(format('%s holds %s on %s.', coalesce('Process ' || b.pid, 'A prepared transaction'), b.mode,
                                    b.relation), ' ' ORDER BY b.pid, b.relation::text),
                  'Others come and go: nobody held them at the last look.')
    FROM (SELECT DISTINCT l.pid, l.mode, l.relation::regclass AS relation
            FROM pg_locks l
            JOIN (SELECT p AS relation, 'ACCESS EXCLUSIVE' AS mode FROM unnest(partitions) p
                  UNION ALL SELECT 'hartonomous.tensor_atoms'::regclass, live_mode
                  UNION ALL SELECT 'hartonomous.tensor_atoms_backup'::regclass, backup_mode) w ON w.relation
            = l.relation
           WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
             AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
             AND (w.mode = 'ACCESS EXCLUSIVE'
                  OR w.mode = 'SHARE UPDATE EXCLUSIVE'
                  AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))
           LIMIT 20) b);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.swap_blockers(regclass[], text, text) IS
  'the processes that hold locks a swap needs, and their modes, in words';

CREATE FUNCTION hartonomous_internal.attach_live(model integer, base integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition regclass := hartonomous_internal.partition_of(model, base);
BEGIN
  PERFORM hartonomous_internal.lock_for_swap(ARRAY[partition], 'SHARE UPDATE EXCLUSIVE', NULL);
  PERFORM hartonomous_internal.add_missing_columns(partition, 'hartonomous.tensor_atoms');
  PERFORM hartonomous_internal.drop_foreign_columns(partition);
  EXECUTE format('ALTER TABLE hartonomous.tensor_atoms ATTACH PARTITION %s FOR VALUES IN (%s)', partition, model);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.attach_live(integer, integer) IS
  'attaches a partition as the live one of its model; 55P03 after hartonomous.swap_timeout';

-- Columns that the user has added to the live partition are added to tensor_atoms_backup, and so to all its partitions.
CREATE FUNCTION hartonomous_internal.backups_to_extend(partition regclass) RETURNS regclass[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF EXISTS (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = partition AND a.attnum > 0 AND NOT a.attisdropped
             EXCEPT SELECT b.attname FROM pg_attribute b
              WHERE b.attrelid = 'hartonomous.tensor_atoms_backup'::regclass AND NOT b.attisdropped) THEN
    RETURN ARRAY(SELECT i.inhrelid::regclass FROM pg_inherits i
                  WHERE i.inhparent = 'hartonomous.tensor_atoms_backup'::regclass ORDER BY i.inhrelid);
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.backups_to_extend(regclass) IS
  'the partitions of tensor_atoms_backup that get new columns when a partition is attached there; NULL if it '
  'brings none';

CREATE FUNCTION hartonomous_internal.attach_backup(model integer, base integer, run bigint DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition regclass := hartonomous_internal.partition_of(model, base);
  extended regclass[] := hartonomous_internal.backups_to_extend(partition);
BEGIN
  PERFORM hartonomous_internal.lock_for_swap(coalesce(extended, '{}') || partition, NULL,
    CASE WHEN extended IS NULL THEN 'SHARE UPDATE EXCLUSIVE' ELSE 'ACCESS EXCLUSIVE' END, run);
  PERFORM hartonomous_internal.add_missing_columns('hartonomous.tensor_atoms_backup', partition);
  PERFORM hartonomous_internal.add_missing_columns(partition, 'hartonomous.tensor_atoms_backup');
  EXECUTE format('ALTER TABLE hartonomous.tensor_atoms_backup ATTACH PARTITION %s FOR VALUES IN (%s)', partition, base);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.attach_backup(integer, integer, bigint) IS
  'attaches a partition as a backup; with a run, first copies again the tensors that changed since they were copied; '
  '55P03 after hartonomous.swap_timeout';

-- Like TRUNCATE, a swap is not safe for older snapshots: a REPEATABLE READ transaction that reads the atoms for the
-- first time after the swap finds the new partition, and sees only those of its rows that its snapshot includes. A
-- transaction that has read them before the swap delays the swap instead.
CREATE FUNCTION hartonomous_internal.swap_partitions(model integer, outgoing integer, incoming integer,
  run bigint DEFAULT NULL)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  outgoing_partition regclass;
  incoming_partition regclass := hartonomous_internal.partition_of(model, incoming);
  detached boolean;
  extended regclass[];
BEGIN
  detached := EXISTS (SELECT FROM pg_inherits WHERE inhrelid = incoming_partition);
  IF hartonomous_internal.is_archived(model, outgoing) THEN
    IF detached THEN
      PERFORM hartonomous_internal.lock_for_swap(ARRAY[incoming_partition], 'SHARE UPDATE EXCLUSIVE',
        'ACCESS EXCLUSIVE');
      EXECUTE format('ALTER TABLE hartonomous.tensor_atoms_backup DETACH PARTITION %s', incoming_partition);
    END IF;
    PERFORM hartonomous_internal.attach_live(model, incoming);
    RETURN;
  END IF;
  outgoing_partition := hartonomous_internal.partition_of(model, outgoing);
  extended := hartonomous_internal.backups_to_extend(outgoing_partition);
  -- The live partition is locked last, because its writers are blocked from then on.
  PERFORM hartonomous_internal.lock_for_swap(coalesce(extended, '{}') || incoming_partition || outgoing_partition,
    'ACCESS EXCLUSIVE',
    CASE WHEN detached OR extended IS NOT NULL THEN 'ACCESS EXCLUSIVE' ELSE 'SHARE UPDATE EXCLUSIVE' END, run);
  EXECUTE format('ALTER TABLE hartonomous.tensor_atoms DETACH PARTITION %s', outgoing_partition);
  IF detached THEN
    EXECUTE format('ALTER TABLE hartonomous.tensor_atoms_backup DETACH PARTITION %s', incoming_partition);
  END IF;
  PERFORM hartonomous_internal.attach_live(model, incoming);
  PERFORM hartonomous_internal.attach_backup(model, outgoing);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.swap_partitions(integer, integer, integer, bigint) IS
  'makes another partition the live one, and the live one, unless it is archived, a backup, by catalog changes only, '
  'whatever their size; with a run, first copies again the tensors that changed since they were copied';

CREATE FUNCTION hartonomous_internal.lock_backups(model integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.lock_for_swap(coalesce(
    (SELECT array_agg(i.inhrelid::regclass)
       FROM pg_inherits i
       JOIN hartonomous.model_revisions r
         ON i.inhrelid
       = to_regclass(
         format('hartonomous_partitions.%I', hartonomous_internal.atoms_partition(r.model_id, r.revision_id)))
      WHERE r.model_id = model AND i.inhparent = 'hartonomous.tensor_atoms_backup'::regclass), '{}'), NULL,
    'ACCESS EXCLUSIVE');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.lock_backups(integer) IS
  'locks tensor_atoms_backup and all partitions of a model there, so that they can be dropped; 55P03 after '
  'hartonomous.swap_timeout';
