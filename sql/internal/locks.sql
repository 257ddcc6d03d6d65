-- Locks and transaction control of the stages.

CREATE FUNCTION hartonomous_internal.lock_model(model integer, nowait boolean DEFAULT false,
  for_session boolean DEFAULT false)
  RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.lock_model(integer, boolean, boolean) IS
  'takes the lock that makes the caller the only writer of a model (an object lock in pg_locks), until the end of the '
  'transaction or, with for_session, until unlock_model() or an error; waits, or with nowait (NULL is false) raises '
  '55P03; 42501 without the right to UPDATE models';
CREATE FUNCTION hartonomous_internal.unlock_model(model integer) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.unlock_model(integer) IS
  'releases the lock that lock_model() took for the session; false if there was none';
CREATE FUNCTION hartonomous_internal.wait_for_lockers(relation regclass, mode text) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.wait_for_lockers(regclass, text) IS
  'waits for the end of all transactions that hold a lock on a table which conflicts with ACCESS EXCLUSIVE or SHARE '
  'UPDATE EXCLUSIVE, without requesting the lock, so that nobody queues behind it; 55P03 after lock_timeout; 22023 for '
  'any other mode';
CREATE FUNCTION hartonomous_internal.can_commit() RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.can_commit() IS
  'whether the calling procedure may COMMIT because it was called outside a transaction block';

-- A session that works on a model holds the lock of the model.
CREATE FUNCTION hartonomous_internal.model_holder(model integer) RETURNS TABLE (pid integer)
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 250 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT l.pid FROM pg_locks l
     WHERE l.locktype = 'object' AND l.granted AND l.classid = 'hartonomous.models'::regclass
       AND l.objid = model::oid AND l.objsubid = 0 AND l.mode = 'ExclusiveLock'
       AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) LIMIT 1;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.model_holder(integer) IS
  'the process that holds the lock of a model; no row if there is none';
