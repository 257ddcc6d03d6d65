-- What makes a store follow a publisher, as far as it shows without one: publication.t has a publisher and a
-- subscriber.
BEGIN;
\ir lib/model_files.sql
SELECT plan(21);
SELECT throws_ok('SELECT follow_publisher()', '42P01', 'there is no store');
CREATE ROLE replication_owner;
CREATE ROLE replication_other;
SELECT create_store('replication_owner') \g /dev/null
SELECT throws_ok('SELECT follow_publisher(NULL)', '22004', 'follow is NULL');
SELECT import_gguf(gguf(ARRAY[ROW('a.weight', '{256,4}', 0, waves(4, 256, 1))::tensor]), 'm') AS m \gset
SELECT backup_model(:m) AS kept \gset
CALL prune_by_importance(:m, 0.5, method => 'in_place');
CALL quantize_model(:m, 'Q8_0');

-- Where partitions should be
SELECT is_empty(format('SELECT * FROM misplaced_partitions(%s)', :m), 'all partitions are where the rows say');
SELECT results_eq(
  format('SELECT kind, place_of_partition(model_id, revision_id) FROM model_revisions WHERE model_id = %s '
    'ORDER BY revision_id', :m),
  $$VALUES ('import', 'backup'), ('copy', 'backup'), ('in_place', 'backup'), ('rewrite', 'live')$$,
  'the live one is that of the current revision');
SELECT is(place_of_partition(:m, 4711), 'dropped', 'without a revision, it goes');
SELECT is(place_of_partition(NULL, NULL), 'dropped', 'place_of_partition(NULL)');
UPDATE model_revisions SET state = 'building' WHERE revision_id = :kept;
SELECT is(place_of_partition(:m, :kept), 'detached', 'one that is being written is nobody''s');
SELECT follow_model(:m) \g /dev/null
SELECT is(atoms_source(:m, :kept), NULL, '... and is detached');
UPDATE model_revisions SET state = 'backup' WHERE revision_id = :kept;
SELECT follow_model(:m) \g /dev/null
SELECT isnt(atoms_source(:m, :kept), NULL, '... and attached again');
DELETE FROM model_revisions WHERE revision_id = :kept;
SELECT follow_model(:m) \g /dev/null
SELECT ok(NOT partition_exists(:m, :kept), '... and dropped without its row');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'nothing is wrong then');
SELECT is(is_needed(4711), false, 'is_needed() of a revision that does not exist');

-- Only where changes are applied
SELECT is(applies_changes(), false, 'this is no such process');
SELECT throws_ok(format('SELECT subscribe_partition(%L)', live_partition(:m)), '55000',
  'no changes are being applied here');
SELECT throws_ok(format('SELECT follow_partition(%s, 4712)', :m), '55000', NULL, 'nor does it follow');

-- Nobody else writes
SELECT is((state_as('replication_other', 'SELECT follow_publisher()')).state, '42501', 'others do not let it follow');
SELECT lives_ok($$SET LOCAL ROLE replication_owner; SELECT follow_publisher(); SELECT follow_publisher(); RESET ROLE$$,
  'its owner does, also twice');
SELECT throws_ok(format('SELECT backup_model(%s)', :m), '55000', 'this store follows the store of a publisher');
SELECT is((SELECT count(*) FROM list_models()), 1::bigint, 'reading works');
SELECT follow_publisher(false) \g /dev/null
SELECT lives_ok(format('SELECT backup_model(%s)', :m), 'until it is independent');
SELECT is_empty(
  $$SELECT without_comment('follow_publisher', 'applies_changes', 'subscribe_partition', 'place_of_partition',
    'misplaced_partitions', 'follow_model', 'follow_partition', 'follow_new_partitions', 'follow_changes',
    'refuse_to_write', 'follower_triggers', 'is_needed', 'owners_function')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
