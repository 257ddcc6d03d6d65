-- One writer a model: the lock, where it shows, and when it goes. Two sessions against each other: test/isolation.
BEGIN;
\ir lib/model_files.sql
SELECT plan(34);
SELECT import_gguf(little_gguf(), 'little') AS model \gset
SELECT import_gguf(little_gguf(2), 'other') AS other \gset

CREATE FUNCTION lib.held() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT coalesce(string_agg(objid || ' ' || mode, ', ' ORDER BY objid), 'none') FROM pg_locks
   WHERE locktype = 'object' AND classid = 'hartonomous.models'::regclass AND objsubid = 0 AND granted AND pid =
     pg_backend_pid()
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;
-- Whether a statement, undone at once, holds the lock of model "other" at its end.
CREATE FUNCTION lib.locks(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  was text;
BEGIN
  EXECUTE statement;
  was := held();
  RAISE EXCEPTION USING ERRCODE = 'HT000', MESSAGE = was;
EXCEPTION WHEN SQLSTATE 'HT000' THEN
  RETURN SQLERRM LIKE '%' || model_id('other') || ' ExclusiveLock%';
END $$;
SELECT is(held(), 'none', 'no lock');
SELECT lives_ok(format('SELECT lock_model(%s)', :model), 'lock_model()');
SELECT is(held(), :model || ' ExclusiveLock', 'it shows in pg_locks as a lock of the model');
SELECT lives_ok(format('SELECT lock_model(%s, nowait => true)', :model), 'who has it gets it again');
SELECT lives_ok(format('SELECT lock_model(%s, for_session => true)', :other), 'another model, for the session');
SELECT is(held(), format('%s ExclusiveLock, %s ExclusiveLock', :model, :other), 'both show');
SELECT is(unlock_model(:other), true, 'unlock_model() gives back what is the session''s');
SELECT is(held(), :model || ' ExclusiveLock', 'it is gone');
SELECT is(unlock_model(:other), false, 'and is not given back twice');
SELECT is(unlock_model(999), false, 'what was never held is not given back');

-- A transaction's lock goes with it
SAVEPOINT here;
SELECT lock_model(:other) \g /dev/null
SELECT is(held(), format('%s ExclusiveLock, %s ExclusiveLock', :model, :other), 'taken in a subtransaction');
ROLLBACK TO here;
SELECT is(held(), :model || ' ExclusiveLock', 'it goes with the subtransaction');

-- Every stage takes it
SELECT ok(locks(format(statement, :other)), format(statement, :other))
  FROM unnest(
    ARRAY['CALL prune_by_importance(%s, keep_ratio => 0.9)', 'CALL prune_by_importance(%s, keep_ratio => 0.1)',
  'CALL quantize_model(%s, ''Q8_0'')', 'SELECT backup_model(%s)',
  'DO $x$ BEGIN PERFORM rollback_model(%1$s, backup_model(%1$s)); END $x$', 'SELECT drop_backup(backup_model(%s))'])
    statement;
SELECT is(held(), :model || ' ExclusiveLock', 'none is left over');
SELECT ok(NOT locks(format('CALL prune_by_importance(%s, keep_ratio => 0.9, dry_run => true)', :other)),
  'but a dry run takes none');

SELECT is(can_commit(), false, 'in a transaction block, nobody may commit');
SELECT throws_ok('SELECT lock_model(NULL::int)', '22004', NULL, 'lock_model(NULL) is an error, not a lock not taken');
SELECT lives_ok(format('SELECT lock_model(%s, NULL, NULL)', :model), 'flags that are NULL');
SELECT is(held(), :model || ' ExclusiveLock', '... still take the lock');
SELECT is(unlock_model(NULL), NULL, 'unlock_model(NULL)');
SELECT lives_ok(
  $$SELECT wait_for_lockers('models', mode) FROM (VALUES ('ACCESS EXCLUSIVE'), ('SHARE UPDATE EXCLUSIVE')) m (mode)$$,
  'wait_for_lockers(): nobody else, no wait');
SELECT throws_ok($$SELECT wait_for_lockers('models', 'SHARE')$$, '22023', NULL, '... a mode it does not know');
SELECT lives_ok($$SELECT lock_briefly('models', 'ACCESS EXCLUSIVE', '{}')$$, 'lock_briefly(): what nobody holds');
SELECT is(swap_blockers(ARRAY['models'::regclass], 'ACCESS EXCLUSIVE', NULL),
  'Others come and go: nobody held them at the last look.',
  'swap_blockers(): one''s own locks are none');
-- A try that PostgreSQL makes the victim of a deadlock is a failed try, and is made again. A sequence does not roll
-- back.
SAVEPOINT here;
CREATE SEQUENCE lib.tries;
CREATE OR REPLACE FUNCTION hartonomous_internal.try_lock_for_swap(partitions regclass[], live_mode text,
  backup_mode text,
  run bigint) RETURNS void
  LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('lib.tries') < 3 THEN RAISE EXCEPTION 'planted' USING ERRCODE = '40P01'; END IF;
    IF current_setting('hartonomous.swap_timeout')::interval = '0' THEN RAISE EXCEPTION 'planted'
    USING ERRCODE = '55P03'; END IF;
  END $$;
SELECT lives_ok($$SELECT lock_for_swap('{}', 'SHARE UPDATE EXCLUSIVE', NULL)$$, 'lock_for_swap() after two deadlocks');
SELECT is(currval('lib.tries'), 3::bigint, '... at the third try');
SET LOCAL hartonomous.swap_timeout = 0;
SELECT throws_ok($$SELECT lock_for_swap('{}', 'SHARE UPDATE EXCLUSIVE', NULL)$$, '55P03',
  'could not swap partitions: other transactions kept using the atoms', '... and when no try succeeds');
SELECT setval('lib.tries', 1) \g /dev/null
SELECT throws_ok($$SELECT lock_for_swap('{}', 'SHARE UPDATE EXCLUSIVE', NULL)$$, '55P03', NULL,
  'nobody is told of a deadlock');
ROLLBACK TO here;

SELECT is_empty($$SELECT without_comment('lock_model', 'unlock_model', 'can_commit', 'wait_for_lockers', 'lock_briefly',
  'try_lock_for_swap', 'lock_for_swap', 'wait_for_parents', 'swap_blockers', 'attach_live', 'attach_backup',
  'backups_to_extend')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
