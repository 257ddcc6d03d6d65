-- Revisions: every state of a model can be gone back to, and forth, and is then exactly what it was.
BEGIN;
\ir lib/model_files.sql
SELECT plan(65);
CREATE FUNCTION lib.tiny_gguf(seed double precision) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW('a.weight', '{32,12}', 0, waves(12, 32, seed))::tensor, ROW('b.weight', '{48,10}', 0, waves(10,
    48, seed + 1))::tensor,
                    ROW('n.weight', '{32}', 0, waves(1, 32, seed))::tensor]);
SELECT import_gguf(tiny_gguf(1), 'tiny') AS model \gset

-- What each revision holds, written down when it was made
CREATE TABLE lib.known (revision integer, holds text);
CREATE FUNCTION lib.remember(model integer) RETURNS integer LANGUAGE sql
AS 'INSERT INTO lib.known VALUES (present(model), holds(model)) RETURNING revision';
CREATE FUNCTION lib.go(model integer, target integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF target <> present(model) THEN
    PERFORM rollback_model(model, target);
  END IF;
  RETURN holds(model) = (SELECT k.holds FROM lib.known k WHERE k.revision = target)
         AND (SELECT state = 'live' FROM model_revisions WHERE revision_id = target)
         AND (SELECT count(*) = 1 FROM model_revisions r WHERE r.model_id = model AND state = 'live');
END
$$;

-- A tree of them: 1 import - 2 prune - 3 prune - 4 quantize - 5 prune
--                         \- 6 prune - 7 prune (rewritten) - 8 copy
SELECT remember(:model) AS r1 \gset
CALL prune_by_importance(:model, keep_ratio => 0.9, method => 'in_place');
SELECT remember(:model) AS r2 \gset
CALL prune_by_importance(:model, keep_ratio => 0.8, method => 'in_place');
SELECT remember(:model) AS r3 \gset
CALL quantize_model(:model, 'Q8_0');
SELECT remember(:model) AS r4 \gset
CALL prune_by_importance(:model, keep_ratio => 0.7, method => 'in_place');
SELECT remember(:model) AS r5 \gset
SELECT is(rollback_model(:model), :r4, 'rollback_model() returns the revision it went to');
SELECT ok(go(:model, :r4), 'a pruning of a quantized model undone');
SELECT is(rollback_model(:model), :r3, 'the next goes one further');
SELECT ok(go(:model, :r3), 'a quantization undone');
SELECT is(rollback_model(:model), :r2, 'and further');
SELECT ok(go(:model, :r2), 'a pruning of a pruned model undone');
SELECT is(rollback_model(:model), :r1, 'to the beginning');
SELECT ok(go(:model, :r1), 'all undone');
SELECT ok(export_gguf(:model) = tiny_gguf(1), 'the file is the file');
SELECT throws_ok(format('SELECT rollback_model(%s)', :model), '55000', NULL, 'before the beginning there is nothing');
CALL prune_by_importance(:model, threshold => 0.1, layer_pattern => 'a.%', method => 'in_place');
SELECT remember(:model) AS r6 \gset
CALL prune_by_importance(:model, keep_ratio => 0.5, method => 'rewrite');
SELECT remember(:model) AS r7 \gset
SELECT backup_model(:model, 'by hand') AS r8 \gset
INSERT INTO lib.known SELECT :r8, holds(:model);
SELECT is(present(:model), :r7, 'a backup does not move the model');
SELECT is((SELECT array_agg((parent_revision_id, base_revision_id, kind, stage)::text ORDER BY revision_id)
  FROM model_revisions WHERE model_id = :model),
  ARRAY[format('(,%s,import,import)', :r1), format('(%s,%s,in_place,prune)', :r1, :r1), format('(%s,%s,in_place,prune)',
    :r2, :r1), format('(%s,%s,rewrite,quantize)', :r3, :r4),
        format('(%s,%s,in_place,prune)', :r4, :r4), format('(%s,%s,in_place,prune)', :r1, :r1),
        format('(%s,%s,rewrite,prune)', :r6, :r7), format('(%s,%s,copy,"by hand")', :r7, :r8)],
  'parents, bases, kinds and stages');
SELECT is(count(DISTINCT holds), 7::bigint, 'all of them differ, but a copy from its original') FROM lib.known;
SELECT is_empty(format($$SELECT revision_id FROM model_revisions r WHERE model_id = %s AND kind <> 'copy'
  AND atom_count::text <> (SELECT split_part(holds, ' ', 1) FROM lib.known WHERE revision = revision_id)$$, :model),
  'atom_count is right');

-- From everywhere to everywhere
CREATE FUNCTION lib.walk(model integer, revisions integer[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  one integer;
  other integer;
BEGIN
  FOREACH one IN ARRAY revisions LOOP
    FOREACH other IN ARRAY revisions LOOP
      IF NOT go(model, one) THEN
        RETURN NEXT format('to %s', one);
      END IF;
      IF NOT go(model, other) THEN
        RETURN NEXT format('from %s to %s', one, other);
      END IF;
    END LOOP;
  END LOOP;
END
$$;
SELECT is_empty(format('SELECT walk(%s, ARRAY[%s])', :model, concat_ws(',', :r1, :r2, :r3, :r4, :r5, :r6, :r7, :r8)),
  'from every revision to every other, each is what it was');

-- Whatever is dropped, in whatever order, the rest stays what it was; in the end one partition is left
CREATE FUNCTION lib.partitions(model integer) RETURNS bigint LANGUAGE sql STABLE
  RETURN (SELECT count(*) FROM pg_class WHERE relnamespace = 'hartonomous_partitions'::regnamespace AND relkind = 'r'
    AND relname LIKE 'tensor\_atoms\_m' || model || '\_r%');
CREATE FUNCTION lib.drop_in_order(model integer, live integer, others integer[]) RETURNS SETOF text LANGUAGE plpgsql AS
  $$
DECLARE
  one integer;
  kept integer;
  freed bigint;
  before bigint;
  said text[] := '{}';
BEGIN
  BEGIN
    PERFORM go(model, live);
    FOREACH one IN ARRAY others LOOP
      before := model_disk_bytes(model);
      freed := drop_backup(one);
      IF freed <> before - model_disk_bytes(model) OR freed < 0 THEN
        said := said || format('dropping %s freed %s', one, freed);
      END IF;
      FOR kept IN SELECT revision_id FROM model_revisions r WHERE r.model_id = model AND state IN ('backup', 'live')
        ORDER BY revision_id LOOP
        IF NOT go(model, kept) THEN
          said := said || format('%s is not what it was after %s was dropped', kept, one);
        END IF;
      END LOOP;
      PERFORM go(model, live);
    END LOOP;
    IF partitions(model) <> 1 OR (SELECT count(*) FROM tensor_atoms_backup b WHERE b.model_id = model) <> 0 THEN
      said := said || format('%s partitions are left', partitions(model));
    END IF;
    RAISE EXCEPTION 'undone' USING ERRCODE = 'HT000';
  EXCEPTION WHEN SQLSTATE 'HT000' THEN
  END;
  RETURN QUERY SELECT format('live %s, drop %s: %s', live, others, s) FROM unnest(said) s;
END
$$;
SELECT is_empty(
  format(
    'SELECT drop_in_order(%s, l.live, (SELECT array_agg(r ORDER BY md5(l.live * 100 + r || %L)) '
    'FROM unnest(ARRAY[%s]) r WHERE r <> l.live)) FROM unnest(ARRAY[%4$s]) l (live)',
    :model, salt, concat_ws(',', :r1, :r2, :r3, :r4, :r5, :r6, :r7, :r8), concat_ws(',', :r1, :r2, :r3, :r4, :r5, :r6,
      :r7, :r8)), 'backups dropped in some order (' || salt || ')')
  FROM unnest(ARRAY['a']) salt;
SELECT is_empty(format('SELECT drop_in_order(%s, %s, ARRAY[%s])', :model, :r5, concat_ws(',', :r1, :r2, :r3, :r4, :r6,
  :r7, :r8)), 'the oldest first');
SELECT is_empty(format('SELECT drop_in_order(%s, %s, ARRAY[%s])', :model, :r1, concat_ws(',', :r8, :r7, :r6, :r5, :r4,
  :r3, :r2)), 'the newest first');

-- What cannot be
SELECT go(:model, :r7) \g /dev/null
SELECT import_gguf(tiny_gguf(2), 'other') AS other \gset
SELECT throws_ok(statement, state, NULL, statement) FROM (VALUES
  (format('SELECT rollback_model(%s, 9999)', :model), '22023'),
  (format('SELECT rollback_model(%s, %s)', :model, present(:other)), '22023'),
  (format('SELECT rollback_model(%s, %s)', :model, present(:model)), '55000'), ('SELECT rollback_model(9999)', '42704'),
  ('SELECT rollback_model(NULL::int)', '42704'), ('SELECT rollback_model(''nobody'')', '42704'),
  ('SELECT backup_model(9999)', '42704'), ('SELECT backup_model(NULL::int)', '42704'),
  ('SELECT backup_model(''nobody'')', '42704'), (format('SELECT backup_model(%s, NULL)', :model), '22004'),
  (format('SELECT drop_backup(%s)', present(:model)), '55000'), ('SELECT drop_backup(9999)', '42704'),
  ('SELECT drop_backup(NULL)', '42704'), ('SELECT rollback_target(9999)', '42704')) v (statement, state);
SELECT lives_ok(format('SELECT drop_backup(%s)', :r2), 'a revision between others');
SELECT throws_ok(format('SELECT drop_backup(%s)', :r2), '55000', NULL, 'is dropped once');
SELECT throws_ok(format('SELECT rollback_model(%s, %s)', :model, :r2), '55000', NULL, 'and cannot be returned to');
SELECT ok(go(:model, :r3) AND go(:model, :r1) AND go(:model, :r5) AND go(:model, :r6), 'those around it can');
SELECT is((SELECT array_agg(state ORDER BY revision_id) FROM model_revisions WHERE model_id = :model),
  '{backup,dropped,backup,backup,backup,live,backup,backup}', 'states');

-- Plain changes: a backup before them is what undoes them
SELECT backup_model(:other) AS copy \gset
SELECT holds(:other) AS before \gset
DELETE FROM tensor_atoms WHERE model_id = :other AND atom_sequence % 3 = 0;
UPDATE tensor_atoms SET atom_data = quantize(atom_data, 'F16'), x = 1 WHERE model_id = :other AND atom_sequence % 3 = 1;
INSERT INTO tensor_atoms (model_id, revision_id, layer_id, atom_sequence, tensor_name, atom_data) SELECT :other,
  present(:other), layer(:other, 'a.weight'), 0, 'a.weight', array_fill(1::real, ARRAY[32]);
SELECT holds(:other) AS changed, present(:other) AS present \gset
SELECT is(rollback_target(:other), :copy, 'the newest copy is what rollback_model() goes to');
SELECT is(rollback_model('other'), :copy, 'by the model''s name');
SELECT is(holds(:other), :'before', 'DELETE, UPDATE and INSERT are undone');
SELECT ok(export_gguf(:other) = tiny_gguf(2), 'to the byte');
SELECT is(rollback_model(:other, :present), :present, 'forth again');
SELECT is(holds(:other), :'changed', 'to the changed model');
SELECT is(rollback_model(:other), :copy, 'and back');
SELECT throws_ok(format('SELECT rollback_model(%s)', :other), '55000', NULL,
  'before a copy of the beginning there is nothing');
SELECT backup_model(:other, 'again') AS copy2 \gset
DELETE FROM tensor_atoms WHERE model_id = :other;
SELECT is(rollback_model(:other), :copy2, 'a copy of a copy');
SELECT is(holds(:other), :'before', 'does as well');
SELECT throws_ok(format('SELECT rollback_model(%s)', :other), '55000', NULL, 'and does not lead to what was changed');
CALL quantize_model(:other, 'Q8_0');
SELECT is(rollback_model(:other), :copy2, 'a stage on a copy goes back to it');
SELECT is(holds(:other), :'before', 'as it was');

-- Atoms inserted where others were pruned give way to them
SELECT import_gguf(tiny_gguf(3), 'replanted') AS again \gset
SELECT holds(:again) AS before \gset
CALL prune_by_importance(:again, keep_ratio => 0.5, layer_pattern => 'a.%', method => 'in_place');
SELECT present(:again) AS pruned, holds(:again) AS after \gset
INSERT INTO tensor_atoms (model_id, revision_id, layer_id, atom_sequence, tensor_name, atom_data)
  SELECT model_id, base_revision_id, layer_id, atom_sequence, tensor_name, array_fill(0.5::real, ARRAY[32])
    FROM tensor_atoms_backup b JOIN model_revisions r USING (model_id, revision_id) WHERE b.revision_id = :pruned
    LIMIT 2;
SELECT lives_ok(format('SELECT rollback_model(%s)', :again), 'rolled back over atoms somebody has put there');
SELECT is(holds(:again), :'before', 'it is what it was');
SELECT lives_ok(format('SELECT rollback_model(%s, %s)', :again, :pruned), 'and forth');
SELECT is(holds(:again), :'after', 'it is pruned');

-- A swap is a matter of catalogs
CALL quantize_model(:again, 'Q8_0');
CREATE TABLE lib.files AS SELECT oid, relname, relfilenode FROM pg_class WHERE relname LIKE 'tensor\_atoms\_m' || :again
  || '\_%';
SELECT rollback_model(:again) \g /dev/null
SELECT rollback_model(:again, (SELECT max(revision_id) FROM model_revisions WHERE model_id = :again)) \g /dev/null
SELECT results_eq(
  'SELECT oid, relname, relfilenode FROM pg_class WHERE oid IN (SELECT oid FROM lib.files) ORDER BY oid',
  'SELECT * FROM lib.files ORDER BY oid', 'rolling a rewrite back writes no table and no index');
SELECT is(count(*), 9::bigint, 'two partitions and the delta, with their indexes') FROM lib.files WHERE relname NOT LIKE
  '%toast%';

-- Documentation
SELECT is(atoms_partition(3, 4), 'tensor_atoms_m3_r4', 'atoms_partition()');
SELECT is(atoms_partition(NULL, 4), NULL, 'atoms_partition(NULL)');
SELECT ok(partition_exists(:model, :r1) AND NOT partition_exists(:model, 9999), 'partition_exists()');
SELECT is(partition_of(:model, :r1), format('hartonomous_partitions.tensor_atoms_m%s_r%s', :model, :r1)::regclass,
  'partition_of()');
SELECT throws_ok('SELECT partition_of(1, 9999)', '42P01', NULL, 'partition_of() one that is not there');
SELECT throws_ok('SELECT partition_of(NULL, 1)', '22004', NULL, 'partition_of(NULL)');
SELECT is(revision_chain(:r3), ARRAY[:r3, :r2, :r1], 'revision_chain() in place');
SELECT is(revision_chain(:r4), ARRAY[:r4], 'revision_chain() of a base');
SELECT is_empty(
  $$SELECT p.oid::regprocedure FROM pg_proc p
    WHERE pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace)
  AND obj_description(p.oid, 'pg_proc') IS NULL$$, 'every function has a comment');

SELECT * FROM finish();
ROLLBACK;
