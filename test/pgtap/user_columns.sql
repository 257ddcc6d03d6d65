-- The tables are the user's: columns, indexes and constraints added to them survive every stage and its undoing.
BEGIN;
\ir lib/model_files.sql
SELECT plan(37);
SELECT create_store() \g /dev/null

-- Import honours what the table asks for
ALTER TABLE tensor_atoms ADD COLUMN must integer NOT NULL;
SELECT throws_ok($$SELECT import_gguf(little_gguf(), 'must')$$, '23502', NULL,
  'a column that must not be NULL and has no default');
ALTER TABLE tensor_atoms ALTER COLUMN must SET DEFAULT 5;
SELECT import_gguf(little_gguf(), 'must') AS model \gset
SELECT results_eq('SELECT DISTINCT must FROM tensor_atoms', 'VALUES (5)', 'with a default it is filled');
ALTER TABLE tensor_atoms ADD CONSTRAINT sane CHECK (must < 100);
ALTER TABLE tensor_atoms ALTER COLUMN must SET DEFAULT 100;
SELECT throws_ok($$SELECT import_gguf(little_gguf(), 'insane')$$, '23514', NULL, 'a CHECK is checked');
ALTER TABLE tensor_atoms ALTER COLUMN must SET DEFAULT 6;

-- Values and indexes
ALTER TABLE tensor_atoms ADD COLUMN "Odd name" text, ADD COLUMN twice integer GENERATED ALWAYS AS (atom_sequence * 2)
  STORED;
CREATE INDEX "Odd index" ON tensor_atoms ("Odd name", lower(tensor_name)) WHERE must > 0;
CREATE UNIQUE INDEX ON tensor_atoms (model_id, layer_id, twice);
UPDATE tensor_atoms SET "Odd name" = tensor_name || atom_sequence, must = atom_sequence;
CREATE FUNCTION lib.mine(model integer) RETURNS text LANGUAGE plpgsql STABLE
AS $$ BEGIN RETURN (SELECT count(*) || ' ' || md5(string_agg(concat_ws('|', layer_id, atom_sequence, must, "Odd name",
  twice), ',' ORDER BY layer_id, atom_sequence)) FROM tensor_atoms WHERE model_id = model); END $$;
-- Indexes of the live partition that serve one of the parent's.
CREATE FUNCTION lib.indexes(model integer) RETURNS bigint LANGUAGE sql STABLE
AS $$ SELECT count(*) FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indexrelid WHERE i.indrelid =
  live_partition(model) AND i.indisvalid $$;
CREATE FUNCTION lib.wrong(model integer) RETURNS bigint LANGUAGE plpgsql STABLE
AS $$ BEGIN RETURN (SELECT count(*) FROM tensor_atoms WHERE model_id = model AND ("Odd name" IS DISTINCT FROM
  tensor_name || atom_sequence OR must <> atom_sequence OR twice <> 2 * atom_sequence)); END $$;
SELECT mine(:model) AS before, holds(:model) AS holds \gset
SELECT is(indexes(:model), 5::bigint, 'all indexes are on the partition');
CREATE FUNCTION lib.after(what text, model integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  RETURN NEXT is(wrong(model), 0::bigint, what || ': values');
  RETURN NEXT is(indexes(model), 5::bigint, what || ': indexes');
END $$;
CALL prune_by_importance(:model, keep_ratio => 0.9, method => 'in_place');
SELECT after('pruned in place', :model);
CALL prune_by_importance(:model, keep_ratio => 0.8, method => 'rewrite');
SELECT after('pruned by rewriting', :model);
CALL quantize_model(:model, 'Q8_0');
SELECT after('quantized', :model);
SELECT backup_model(:model) AS copy \gset
UPDATE tensor_atoms SET "Odd name" = 'changed' WHERE model_id = :model;
SELECT rollback_model(:model, :copy) \g /dev/null
SELECT after('rolled back to a copy', :model);
SELECT rollback_model(:model, (SELECT min(revision_id) FROM model_revisions WHERE model_id = :model)) \g /dev/null
SELECT after('rolled back to the beginning', :model);
SELECT is(mine(:model), :'before', 'all of it');
SELECT is(holds(:model), :'holds', 'and the weights');
SET LOCAL enable_seqscan = off;
SELECT matches((SELECT string_agg(line, E'\n') FROM lib.explain($$SELECT * FROM tensor_atoms WHERE "Odd name" = 'x'
  AND must > 0$$) line), 'Index Scan|Bitmap', 'and the index is used');
RESET enable_seqscan;

-- A column that comes between a backup and its return
CALL quantize_model(:model, 'F16');
SELECT present(:model) AS half \gset
ALTER TABLE tensor_atoms ADD COLUMN later real NOT NULL DEFAULT 0.5;
UPDATE tensor_atoms SET later = 1 WHERE model_id = :model;
SELECT lives_ok(format('SELECT rollback_model(%s)', :model), 'a column added since: rolled back');
SELECT results_eq(format('SELECT DISTINCT later FROM tensor_atoms WHERE model_id = %s', :model), 'VALUES (0.5::real)',
  'it has its default there');
SELECT lives_ok(format('SELECT rollback_model(%s, %s)', :model, :half), 'forth');
SELECT results_eq(format('SELECT DISTINCT later FROM tensor_atoms WHERE model_id = %s', :model), 'VALUES (1::real)',
  'it has its values');
SELECT lives_ok($$CALL prune_by_importance('must', keep_ratio => 0.9)$$, 'pruned');

-- Before a partition is attached it has all indexes: none is built under the lock
SELECT create_atoms_partition(:model, 9999) AS loose \gset
SELECT index_atoms_partition(:'loose') \g /dev/null
SELECT is(count(*), 5::bigint, 'a partition about to be attached has its indexes') FROM pg_index
 WHERE indrelid = :'loose'::regclass;
SELECT is(moved_columns('tensor_atoms', :'loose'),
  (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = 'tensor_atoms'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    AND attname <> 'revision_id'),
  'a row takes along the user''s columns');
SELECT is(moved_columns('tensor_atoms', 'models'), 'model_id', 'and none that is not there');
SELECT drop_atoms_partition(:model, 9999) \g /dev/null

-- One that goes
ALTER TABLE tensor_atoms DROP COLUMN "Odd name" CASCADE, DROP COLUMN later;
SELECT lives_ok($$CALL prune_by_importance('must', keep_ratio => 0.9)$$, 'columns dropped: pruned');
SELECT lives_ok($$CALL quantize_model('must', 'Q8_0', requantize => true)$$, 'quantized');
SELECT lives_ok($$SELECT backup_model('must')$$, 'backed up');
SELECT lives_ok($$SELECT rollback_model('must', (SELECT min(revision_id) FROM model_revisions))$$, 'rolled back');
SELECT is(holds(:model), :'holds', 'it is what it was');
SELECT is_empty(
  format(
    'SELECT atom_sequence, must, twice FROM tensor_atoms WHERE model_id = %s '
    'AND (must <> atom_sequence OR twice <> 2 * must)',
    :model), 'with what is left of the columns');
SELECT ok(export_gguf(:model) = little_gguf(), 'and its weights');

CREATE FUNCTION lib.concat_op(x real, y real) RETURNS text LANGUAGE sql IMMUTABLE RETURN x::text || ' ' || y::text;
-- Generated ones are true to what they are made of, whether a stage has changed that or carried them over
ALTER TABLE tensor_atoms ADD COLUMN size bigint GENERATED ALWAYS AS (weights_bytes(atom_data)) STORED,
  ADD COLUMN place text GENERATED ALWAYS AS (lib.concat_op(x, y)) STORED;
SELECT extract_student_model(:model, new_model_name => 'generated') AS student \gset
CREATE FUNCTION lib.untrue() RETURNS bigint
  LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT count(*) FROM tensor_atoms WHERE size <>
  weights_bytes(atom_data) OR size IS NULL OR place IS DISTINCT FROM lib.concat_op(x, y)
  OR content_hash <> sha256(atom_data::bytea) OR content_hash IS NULL
  OR tensor_atom_id <> (layer_id << 32 | atom_sequence)
  OR hilbert_index IS DISTINCT FROM hilbert_index(x, y, importance_score)
  OR weights_geometry IS DISTINCT FROM ST_MakePoint(x, y, importance_score)); END $$;
SELECT is(untrue(), 0::bigint, 'generated: in a student');
CALL quantize_model(:model, 'Q8_0', requantize => true);
SELECT is(untrue(), 0::bigint, 'quantized');
CALL prune_by_importance(:model, keep_ratio => 0.5, method => 'rewrite');
SELECT is(untrue(), 0::bigint, 'pruned');
CALL quantize_model_geometry(:model);
SELECT is(untrue(), 0::bigint, 'places quantized');
SELECT is(count(*), 0::bigint, 'which makes them NULL') FROM tensor_atoms WHERE model_id = :model AND place IS NOT NULL;

SELECT * FROM finish();
ROLLBACK;
