-- Atoms that are stored out of line, fetched together: the same weights as PostgreSQL's own way, whatever was done to
-- them.
BEGIN;
\ir lib/model_files.sql
SELECT plan(22);
CREATE FUNCTION lib.wide() RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT string_agg(lib.waves(1, 1024, k), '' ORDER BY k) FROM generate_series(1, 300) k);
-- 300 rows of 4 kB (three chunks each), 300 that stay inline, 3 of 400 kB. Matrices of one row keep them from being
-- joined.
SELECT import_gguf(gguf(ARRAY[
  ROW('blk.0.ffn_up.weight', '{1024,1,300}', 0, wide())::tensor,
  ROW('blk.0.ffn_gate.weight', '{64,1,300}', 0, waves(300, 64, 2))::tensor,
  ROW('blk.0.ffn_down.weight', '{100000,3}', 0,
    (SELECT string_agg(waves(1, 1000, k), '' ORDER BY k) FROM generate_series(1, 300) k))::tensor]), 'm',
  131072) AS model \gset
SELECT live_partition(:model) AS part, layer(:model, 'blk.0.ffn_up.weight') AS up \gset
SELECT reltoastrelid::regclass AS toast FROM pg_class WHERE oid = :'part'::regclass \gset

-- The rows of a matrix, zeros where there are none, by SQL alone.
CREATE FUNCTION lib.joined(part regclass, layer bigint, rows bigint, length bigint) RETURNS weights
  LANGUAGE plpgsql AS $$
DECLARE
  r real[];
BEGIN
  EXECUTE format('SELECT array_agg(v ORDER BY n, i) FROM generate_series(0, $2 - 1) n
    LEFT JOIN %s a ON a.layer_id = $1 AND a.atom_sequence = n,
    unnest(coalesce(dequantize(a.atom_data), array_fill(0::real, ARRAY[$3::integer]))) WITH ORDINALITY u (v, i)', part)
    INTO r USING layer, rows, length;
  RETURN quantize(r, 'F32');
END $$;
CREATE FUNCTION lib.is_whole(model integer, part regclass, what text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT ok(tensor_weights(model, l.layer_name)
    = joined(part, l.layer_id, l.parameter_count / l.row_length, l.row_length), what || ': ' || l.layer_name)
    FROM model_layers l WHERE l.model_id = model ORDER BY l.position
$$;
CREATE FUNCTION lib.descents(toast regclass) RETURNS bigint LANGUAGE sql STABLE AS
  'SELECT sum(pg_stat_get_xact_numscans(indexrelid))::bigint FROM pg_index WHERE indrelid = toast';

SELECT is((SELECT count(*) FROM :part WHERE layer_id = :up AND pg_column_size(atom_data) > 4000), 300::bigint,
  'rows of 4 kB');
SELECT is_whole(:model, :'part', 'as imported');
SELECT descents(:'toast') AS before \gset
SELECT tensor_weights(:model, 'blk.0.ffn_up.weight') \g /dev/null
SELECT is(descents(:'toast') - :before, 5::bigint, '300 atoms in batches of 64');
SELECT ok(tensor_weights(:model, 'blk.0.ffn_up.weight') = weights('F32', 307200, wide()), 'what the file has');

-- Numbers in another order than the rows; gaps; neighbours of another size
UPDATE :part a SET atom_data = quantize(dequantize(atom_data), 'F32') FROM generate_series(299, 0, -1) n
  WHERE a.layer_id = :up AND a.atom_sequence = n AND n % 3 <> 0;
SELECT is_whole(:model, :'part', 'two of three written anew');
DELETE FROM :part WHERE layer_id = :up AND atom_sequence % 7 IN (1, 2);
SELECT is_whole(:model, :'part', 'with gaps');
UPDATE :part SET atom_data = quantize(dequantize(atom_data), 'Q4_0') WHERE layer_id = :up AND atom_sequence % 5 = 0;
SELECT is_whole(:model, :'part', 'some inline');
UPDATE :part SET atom_data = quantize(dequantize(atom_data), 'F16') WHERE layer_id = :up AND atom_sequence % 11 = 3;
SELECT is_whole(:model, :'part', 'some shorter');

-- Compressed ones are PostgreSQL's: half of each row is zeros.
ALTER TABLE :part ALTER atom_data SET STORAGE EXTENDED;
UPDATE :part SET atom_data = weights('F32', 1024, zeros(2096) || substr(waves(1, 1024, atom_sequence), 1, 2000))
  WHERE layer_id = :up AND atom_sequence % 2 = 0;
SELECT cmp_ok(
  (SELECT count(*) FROM :part WHERE layer_id = :up AND pg_column_compression(atom_data) IS NOT NULL
    AND pg_column_size(atom_data) > 2032), '>', 50::bigint,
  'values out of line and compressed');
SELECT is_whole(:model, :'part', 'some compressed');

SELECT * FROM finish();
ROLLBACK;
