-- History: what revisions a model has, how two differ, and which backups a retention keeps.
BEGIN;
\ir lib/model_files.sql
SELECT plan(45);
CREATE FUNCTION lib.tiny_gguf(seed double precision) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ARRAY[ROW('a.weight', '{32,12}', 0, waves(12, 32, seed))::tensor,
                    ROW('b.weight', '{48,10}', 0, waves(10, 48, seed + 1))::tensor,
                    ROW('n.weight', '{32}', 0, waves(1, 32, seed))::tensor]);
SELECT import_gguf(tiny_gguf(1), 'tiny') AS model \gset

-- A tree: 1 import - 2 prune - 3 prune - 4 quantize - 5 prune, and 1 - 6 prune - 7 prune (rewritten) - 8 copy;
-- what each holds is written down when it is made.
CREATE TABLE lib.known (revision integer, layer_id bigint, atom_sequence integer, content_hash bytea, bytes bigint);
CREATE FUNCTION lib.remember(model integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO lib.known SELECT present(model), layer_id, atom_sequence, content_hash, weights_bytes(atom_data)
    FROM tensor_atoms WHERE model_id = model;
  RETURN present(model);
END $$;
CREATE FUNCTION lib.right_query(revision integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE wrong bigint;
BEGIN
  EXECUTE format($q$SELECT count(*)
    FROM ((%1$s EXCEPT ALL SELECT layer_id, atom_sequence, content_hash, bytes FROM lib.known WHERE revision = %2$s)
     UNION ALL (SELECT layer_id, atom_sequence, content_hash, bytes FROM lib.known WHERE revision = %2$s
       EXCEPT ALL %1$s)) x$q$,
    '(' || revision_query(revision,
      'a.layer_id, a.atom_sequence, a.content_hash, hartonomous.weights_bytes(a.atom_data)')
    || ')', revision) INTO wrong;
  RETURN wrong = 0;
END $$;
SELECT remember(:model) AS r1 \gset
CALL prune_by_importance(:model, keep_ratio => 0.9, method => 'in_place');
SELECT remember(:model) AS r2 \gset
-- Somebody puts an atom in the place of one that was pruned; the next pruning takes it out again.
INSERT INTO tensor_atoms (model_id, revision_id, layer_id, atom_sequence, tensor_name, atom_data, x, y,
  importance_score)
  SELECT model_id, :r1, layer_id, atom_sequence, tensor_name, array_fill(0.5::real, ARRAY[32]), 1, 1, -9
    FROM tensor_atoms_backup WHERE revision_id = :r2 AND tensor_name = 'a.weight' LIMIT 1;
CALL prune_by_importance(:model, keep_ratio => 0.8, method => 'in_place');
SELECT remember(:model) AS r3 \gset
SELECT ok(right_query(:r1) AND right_query(:r3),
  'of two atoms that were pruned from one place, the first is what returns');
CALL quantize_model(:model, 'Q8_0');
SELECT remember(:model) AS r4 \gset
CALL prune_by_importance(:model, keep_ratio => 0.7, method => 'in_place');
SELECT remember(:model) AS r5 \gset
SELECT rollback_model(:model, :r1) \g /dev/null
CALL prune_by_importance(:model, threshold => 0.1, layer_pattern => 'a.%', method => 'in_place');
SELECT remember(:model) AS r6 \gset
CALL prune_by_importance(:model, keep_ratio => 0.5, method => 'rewrite');
SELECT remember(:model) AS r7 \gset
SELECT backup_model(:model, 'by hand') AS r8 \gset
INSERT INTO lib.known SELECT :r8, layer_id, atom_sequence, content_hash, bytes FROM lib.known WHERE revision = :r7;

-- The history
SELECT results_eq(
  format('SELECT revision_id, parent_revision_id, stage, kind, state, atoms FROM model_history(%s)', :model),
  format(
    $$SELECT revision_id, parent_revision_id, stage, kind, state, atom_count FROM model_revisions WHERE model_id = %s
            ORDER BY revision_id$$, :model), 'model_history() is the revisions in order');
SELECT is(array_agg(stage ORDER BY revision_id), '{import,prune,prune,quantize,prune,prune,prune,"by hand"}',
  'a stage each') FROM model_history('tiny');
SELECT is(bytes_of_parent,
  round(logical_bytes::numeric / (SELECT logical_bytes FROM model_history(:model) WHERE revision_id
  = :r3), 3), 'bytes beside the parent''s') FROM model_history(:model) WHERE revision_id = :r4;
SELECT is(bytes_of_parent, NULL, 'the first has no parent') FROM model_history(:model) WHERE revision_id = :r1;
SELECT throws_ok('SELECT * FROM model_history(999)', '42704', NULL, 'history of no model');
SELECT throws_ok('SELECT * FROM model_history(NULL::int)', '42704', NULL, 'of NULL');
SELECT throws_ok('SELECT * FROM model_history(''nobody'')', '42704', NULL, 'of nobody');

-- Every state can be read while the model is in any other, and every pair compared
CREATE FUNCTION lib.right_diff(a integer, b integer) RETURNS boolean LANGUAGE sql AS $$
  SELECT NOT EXISTS (SELECT layer_id, atoms_a, atoms_b, removed, added, re_encoded, bytes_a, bytes_b
    FROM diff_revisions(a, b)
    EXCEPT
    SELECT l.layer_id, count(x.bytes), count(y.bytes), count(*) FILTER (WHERE y.bytes IS NULL AND x.bytes IS NOT NULL),
           count(*) FILTER (WHERE x.bytes IS NULL AND y.bytes IS NOT NULL),
           count(*) FILTER (WHERE x.content_hash <> y.content_hash),
           coalesce(sum(x.bytes), 0), coalesce(sum(y.bytes), 0)
      FROM model_layers l
      LEFT JOIN ((SELECT * FROM lib.known WHERE revision = a) x
            FULL JOIN (SELECT * FROM lib.known WHERE revision = b) y USING (layer_id, atom_sequence)) USING (layer_id)
     GROUP BY l.layer_id)
    AND (SELECT count(*) = 3 FROM diff_revisions(a, b))
$$;
CREATE FUNCTION lib.wrong_pairs(model integer, revisions integer[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE live integer; a integer; b integer;
BEGIN
  FOREACH live IN ARRAY revisions LOOP
    IF live <> present(model) THEN PERFORM rollback_model(model, live); END IF;
    FOREACH a IN ARRAY revisions LOOP
      IF NOT right_query(a) THEN RETURN NEXT format('%s while at %s', a, live); END IF;
      CONTINUE WHEN live NOT IN (revisions[1], revisions[5], revisions[7]);
      FOREACH b IN ARRAY revisions LOOP
        IF NOT right_diff(a, b) THEN RETURN NEXT format('%s to %s while at %s', a, b, live); END IF;
      END LOOP;
    END LOOP;
  END LOOP;
END $$;
SELECT is_empty(
  format('SELECT * FROM wrong_pairs(%s, ARRAY[%s])', :model, concat_ws(',', :r1, :r2, :r3, :r4, :r5, :r6, :r7, :r8)),
  'whatever is live, every revision and every pair of them is as written down');
SELECT rollback_model(:model, :r7) \g /dev/null
SELECT is(sum(removed)::text || ' ' || sum(re_encoded), '0 ' || sum(atoms_a) FILTER (WHERE layer_name <> 'n.weight'),
  'a quantization re-encodes every atom of the matrices and removes none') FROM diff_revisions(:r3, :r4);
-- Weights stay below: what is joined, and sorted for it, is their number of bytes. A plan that carries them has them
-- among the outputs of other nodes than scans.
CREATE FUNCTION lib.nodes_with_weights(a integer, b integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE plan json;
  columns text := 'a.layer_id, a.atom_sequence, a.content_hash, hartonomous.weights_bytes(a.atom_data) AS bytes';
BEGIN
  EXECUTE format(
    'EXPLAIN (VERBOSE, FORMAT JSON) SELECT layer_id, sum(a.bytes), sum(b.bytes) FROM (%s) a FULL '
    'JOIN (%s) b USING (layer_id, atom_sequence) GROUP BY 1',
    revision_query(a, columns), revision_query(b, columns)) INTO plan;
  RETURN (SELECT count(*)
    FROM jsonb_path_query(plan::jsonb,
      'strict $.** ? (@."Node Type" like_regex "Sort|Join|Hash|Materialize|Append|Gather")') node
          WHERE EXISTS (SELECT FROM jsonb_array_elements_text(node -> 'Output') o WHERE o ~ '^\w+\.atom_data$'));
END $$;
SET LOCAL enable_hashjoin = off;
SELECT is(nodes_with_weights(a, b), 0::bigint, format('no weights are sorted or joined: %s, %s', a, b))
  FROM (VALUES (:r1, :r2), (:r2, :r1), (:r3, :r4), (:r4, :r7)) v (a, b);
SET LOCAL enable_hashjoin = ON; SET LOCAL enable_mergejoin = off;
SELECT is(nodes_with_weights(a, b), 0::bigint, format('nor hashed: %s, %s', a, b))
  FROM (VALUES (:r1, :r2), (:r3, :r4)) v (a, b);
SET LOCAL enable_mergejoin = ON;
SELECT is(sum(removed + added + re_encoded), 0::numeric, 'a copy does not differ') FROM diff_revisions(:r7, :r8);
SELECT is(sum(removed + added + re_encoded), 0::numeric, 'nor a revision from itself') FROM diff_revisions(:r5, :r5);

-- Errors
SELECT import_gguf(tiny_gguf(2), 'other') AS other \gset
SELECT throws_ok(statement, state, NULL, statement) FROM (VALUES
  (format('SELECT * FROM diff_revisions(%s, 9999)', :r1), '42704'),
  (format('SELECT * FROM diff_revisions(NULL, %s)', :r1), '42704'),
  (format('SELECT * FROM diff_revisions(%s, %s)', :r1, present(:other)), '22023')) v (statement, state);
SELECT drop_backup(:r6) \g /dev/null
SELECT throws_ok(format('SELECT * FROM diff_revisions(%s, %s)', :r1, :r6), '55000', NULL, 'a dropped revision');
SELECT ok(right_diff(:r1, :r5) AND right_diff(:r2, :r7), 'the others can still be compared');

-- A reader needs no more than SELECT
CREATE ROLE history_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO history_reader;

SELECT is((state_as('history_reader', statement)).state, '00000', 'a reader may: ' || statement) FROM unnest(ARRAY[
  format('SELECT * FROM diff_revisions(%s, %s)', :r1, :r7), format('SELECT * FROM model_history(%s)', :model),
  'SELECT * FROM list_models()', 'SELECT * FROM compression_backups']) statement;
SELECT is((state_as('history_reader', format('SELECT * FROM apply_retention(%s, 0)', :model))).state, '42501',
  'but drop nothing');

-- compression_backups
SELECT results_eq(
  'SELECT backup_id, model_id, compression_stage, atom_count, round(storage_size_gb * 1073741824) '
  'FROM compression_backups ORDER BY 1',
  $$SELECT revision_id, model_id, stage, atom_count, logical_bytes::numeric FROM model_revisions WHERE state = 'backup'
    ORDER BY 1$$,
  'compression_backups has the backups and no other revision');

-- Retention
SELECT throws_ok(statement, state, NULL, statement) FROM (VALUES
  (format('SELECT * FROM apply_retention(%s)', :model), '22023'),
  (format('SELECT * FROM apply_retention(%s, -1)', :model), '22023'),
  (format('SELECT * FROM apply_retention(%s, max_age => ''-1 day'')', :model), '22023'),
  ('SELECT * FROM apply_retention(999, 1)', '42704'), ('SELECT * FROM apply_retention(''nobody'', 1)', '42704')) v
  (statement, state);
UPDATE model_revisions SET created_at = now() - interval '40 days' WHERE revision_id IN (:r1, :r7);
SELECT is_empty(format('SELECT * FROM apply_retention(%s, 100, ''50 days'')', :model), 'nothing beyond the limits');
SELECT results_eq(format('SELECT revision_id, stage FROM apply_retention(%s, max_age => ''30 days'')', :model),
  format('SELECT %s, ''import''::text', :r1), 'too old: dropped, but for the live one');
SELECT model_disk_bytes(:model) AS before \gset
SELECT results_eq(format('SELECT revision_id, freed_bytes >= 0 FROM apply_retention(''tiny'', keep_last => 2)'),
  format('VALUES (%s, true), (%s, true), (%s, true)', :r2, :r3, :r4), 'too many: the oldest are dropped');
SELECT is(array_agg(revision_id ORDER BY 1), ARRAY[:r5, :r7, :r8], 'the newest are kept') FROM model_history(:model)
  WHERE state <> 'dropped';
SELECT ok(right_query(:r5) AND right_query(:r7) AND right_query(:r8), 'as they were');
SELECT sum(freed_bytes) AS freed FROM apply_retention(:model, 0) \gset
SELECT ok(:freed > 0 AND model_disk_bytes(:model) < :before, 'none kept: space is free');
SELECT is(count(*), 1::bigint, 'only the live one is left') FROM model_history(:model) WHERE state <> 'dropped';
SELECT ok(right_query(:r7), 'whole');
SELECT is_empty(format('SELECT * FROM apply_retention(%s, 0)', :model), 'nothing left to drop');

SELECT throws_ok('SELECT revision_query(-1, ''a.x'')', '22023', NULL, 'revision_query() of no revision');
SELECT is_empty($$SELECT without_comment('model_history', 'atoms_source', 'revision_query', 'compare_revisions',
  'diff_revisions', 'apply_retention')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
