-- Locks and transactions of the workflows.

CREATE FUNCTION hartonomous.lock_model(model integer, nowait boolean DEFAULT false, for_session boolean DEFAULT false)
  RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 50;
COMMENT ON FUNCTION hartonomous.lock_model(integer, boolean, boolean) IS
  'takes the one writer''s lock of a model (an object lock in pg_locks), until the end of the transaction or, for_session, until unlock_model() or an error; waits, or with nowait (NULL is false) 55P03; 42501 without the right to UPDATE models';
CREATE FUNCTION hartonomous.unlock_model(model integer) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 50;
COMMENT ON FUNCTION hartonomous.unlock_model(integer) IS
  'gives back the lock that lock_model() took for the session; false when there was none';
CREATE FUNCTION hartonomous.wait_for_lockers(relation regclass, mode text) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.wait_for_lockers(regclass, text) IS
  'waits until the transactions have ended that now hold a table in a mode that conflicts with ACCESS EXCLUSIVE or SHARE UPDATE EXCLUSIVE, without asking for the lock: nobody queues behind it; 55P03 after lock_timeout; 22023 on another mode';
CREATE FUNCTION hartonomous.can_commit() RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1;
COMMENT ON FUNCTION hartonomous.can_commit() IS
  'whether the procedure that asks may COMMIT: it was called outside a transaction block';

CREATE FUNCTION hartonomous.raise_error(sqlstate text, message text, detail text, hint text, schema_name text,
                                        table_name text, column_name text, constraint_name text) RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous.raise_error(text, text, text, text, text, text, text, text) IS
  'raises an error with the fields that are given; NULL and empty ones are left out, which RAISE cannot';
CREATE FUNCTION hartonomous.raise_failure(failure jsonb) RETURNS void
  LANGUAGE sql VOLATILE PARALLEL SAFE COST 50
  RETURN hartonomous.raise_error(failure ->> 'sqlstate', failure ->> 'message', failure ->> 'detail', failure ->> 'hint',
                                 failure ->> 'schema', failure ->> 'table', failure ->> 'column', failure ->> 'constraint');
COMMENT ON FUNCTION hartonomous.raise_failure(jsonb) IS 'raises again the error that try_step() has caught';
