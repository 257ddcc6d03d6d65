-- Locks and transactions of the workflows.

CREATE FUNCTION hartonomous_internal.lock_model(model integer, nowait boolean DEFAULT false,
  for_session boolean DEFAULT false)
  RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.lock_model(integer, boolean, boolean) IS
  'takes the one writer''s lock of a model (an object lock in pg_locks), until the end of the transaction or, '
  'for_session, until unlock_model() or an error; waits, or with nowait (NULL is false) 55P03; 42501 without the right '
  'to UPDATE models';
CREATE FUNCTION hartonomous_internal.unlock_model(model integer) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.unlock_model(integer) IS
  'gives back the lock that lock_model() took for the session; false when there was none';
CREATE FUNCTION hartonomous_internal.wait_for_lockers(relation regclass, mode text) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.wait_for_lockers(regclass, text) IS
  'waits until the transactions have ended that now hold a table in a mode that conflicts with ACCESS EXCLUSIVE or '
  'SHARE UPDATE EXCLUSIVE, without asking for the lock: nobody queues behind it; 55P03 after lock_timeout; 22023 on '
  'another mode';
CREATE FUNCTION hartonomous_internal.can_commit() RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.can_commit() IS
  'whether the procedure that asks may COMMIT: it was called outside a transaction block';
