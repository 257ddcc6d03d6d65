-- Atoms that are out of line are packed into pages in bulk: they are what was imported, in the chunks that PostgreSQL
-- itself would make, and take little more than their bytes.
BEGIN;
\ir lib/model_files.sql
SELECT plan(30);
SELECT create_store() \g /dev/null

-- A matrix in which every row is different: windows of 70 kB of F16 numbers, which are finite because the second byte
-- of each is at most 0x3f.
CREATE TABLE lib.noise AS
  SELECT decode(
    string_agg(regexp_replace(encode(sha256(i::text::bytea), 'hex'), '(..).(.)', '\13\2', 'g'), '' ORDER BY i),
    'hex') AS numbers
    FROM generate_series(1, 2200) i;
CREATE FUNCTION lib.rows(count integer, bytes integer) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT string_agg(substr(x.numbers, 2 * (n * 7919 % 30000) + 1, bytes), '' ORDER BY n)
    FROM generate_series(1, count) n, lib.noise x
$$;
CREATE FUNCTION lib.matrix(columns integer, count integer, block integer DEFAULT 0) RETURNS lib.tensor
  LANGUAGE sql STABLE
  RETURN ROW('blk.' || block || '.ffn_up.weight', ARRAY[columns, count], 1, rows(count, 2 * columns))
    ::lib.tensor;
CREATE FUNCTION lib.toast(part regclass) RETURNS regclass LANGUAGE sql STABLE
  RETURN (SELECT reltoastrelid::regclass FROM pg_class WHERE oid = part);
-- The size of chunks is that of PostgreSQL; whatever is wrong with those of a table is listed.
CREATE FUNCTION lib.wrong_chunks(part regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE format('
    SELECT chunk_id || '': '' || string_agg(length(chunk_data)::text, '' '' ORDER BY chunk_seq) FROM %s
     GROUP BY chunk_id
    HAVING min(chunk_seq) <> 0 OR max(chunk_seq) <> count(*) - 1 OR count(DISTINCT chunk_seq) <> count(*)
        OR bool_or(length(chunk_data) > 1996) OR count(*) FILTER (WHERE length(chunk_data) < 1996) > 1', toast(part));
END $$;
CREATE FUNCTION lib.digest(model integer) RETURNS text LANGUAGE sql STABLE
  RETURN (SELECT md5(string_agg(md5(atom_data::bytea) || encode(content_hash, 'hex') || x || y || importance_score, ','
                                ORDER BY layer_id, atom_sequence)) FROM tensor_atoms WHERE model_id = model);
-- What amcheck finds, if it is installed on this server.
CREATE FUNCTION lib.damage(part regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck') THEN
    RETURN;
  END IF;
  CREATE EXTENSION IF NOT EXISTS amcheck;
  RETURN QUERY EXECUTE format('SELECT v.msg FROM verify_heapam(%L) v UNION ALL SELECT v.msg FROM verify_heapam(%L) v',
    part, toast(part));
  PERFORM bt_index_parent_check(indexrelid, true, true) FROM pg_index WHERE indrelid = toast(part);
END $$;

-- Atoms of 64 kB, of rows that are joined, and a few rows that stay in line, in one model: every one is there, as it
-- was in the file.
CREATE TABLE lib.tensors AS
  SELECT w AS columns, matrix(w, 2400 * 1024 / w, n::integer - 1) AS tensor
    FROM unnest('{2048,4096,1152,1680,100}'::integer[]) WITH ORDINALITY u (w, n);
SELECT import_gguf(gguf((SELECT array_agg(tensor ORDER BY (tensor).name) FROM lib.tensors)), 'm') AS model \gset
SELECT live_partition(:model) AS part \gset
SELECT is((SELECT md5(string_agg(a.atom_data::bytea, '' ORDER BY a.atom_sequence)) FROM tensor_atoms a
            WHERE a.layer_id = layer(:model, (t.tensor).name)), md5((t.tensor).data),
  format('rows of %s bytes are those of the file', 2 * t.columns))
  FROM lib.tensors t ORDER BY columns;
SELECT is_empty(format('SELECT wrong_chunks(%L)', :'part'), 'chunks are as PostgreSQL makes them');
SELECT is_empty(format('SELECT damage(%L)', :'part'), '... and nothing is damaged');
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :model AND content_hash <> sha256(atom_data::bytea)),
  0::bigint,
  'hashes are those of the weights');
SELECT is((SELECT count(*) FROM check_model(:model)), 0::bigint, 'check_model() finds nothing wrong');

-- What it costs. PostgreSQL's own placement takes 1.30 to 1.36 times the bytes of the weights in TOAST.
CREATE FUNCTION lib.toast_ratio(columns integer, count integer) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
  model integer := import_gguf(gguf(ARRAY[matrix(columns, count)]), 'rows of ' || columns, columns);
  part regclass := live_partition(model);
  bytes double precision := pg_relation_size(toast(part));
BEGIN
  RETURN bytes / (SELECT logical_bytes FROM storage_report(model));
END $$;
SELECT cmp_ok(toast_ratio(columns, 4400 * 1024 / columns), '<', least,
    format('rows of %s bytes: TOAST takes less than %s times the weights', 2 * columns, least))
  FROM (VALUES (1024, 1.06::double precision), (1152, 1.06), (1680, 1.09), (2048, 1.05),
    (4096, 1.04)) v (columns, least);

-- Small models go where others have left room, as in any insert.
SELECT import_gguf(gguf(ARRAY[matrix(2048, 3)]), 'small', 2048) AS small \gset
SELECT ok(pg_relation_size(toast(live_partition(:small))) <= 2 * 8192, 'a tensor of 12 kB takes two pages of TOAST');

-- Stages write so, too, and undo what they wrote.
SELECT digest(:model) AS original \gset
CALL quantize_model(:model, 'Q8_0', layer_pattern => 'blk.%');
SELECT live_partition(:model) AS quantized \gset
SELECT is((SELECT count(*) FROM tensor_atoms a JOIN tensor_atoms_backup b USING (layer_id, atom_sequence)
            WHERE a.model_id = :model AND b.model_id = :model
              AND a.atom_data IS DISTINCT FROM quantize(b.atom_data, 'Q8_0') AND weights_format(a.atom_data) = 'Q8_0'),
  0::bigint, 'quantized, every row is what quantize() makes of it');
SELECT is_empty(format('SELECT wrong_chunks(%L)', :'quantized'), '... in the chunks of PostgreSQL');
SELECT is_empty(format('SELECT damage(%L)', :'quantized'), '... and nothing is damaged');
SELECT ok(pg_relation_size(toast(:'quantized'))
  < 1.09 * (SELECT sum(weights_bytes(atom_data)) FROM tensor_atoms WHERE model_id = :model
    AND weights_bytes(atom_data) > 2000),
  '... that take little more than the weights');
SELECT rollback_model(:model) \g /dev/null
SELECT is(digest(:model), :'original', 'rolled back');

-- An UPDATE and a DELETE of packed rows are as of any others.
SELECT layer(:model, 'blk.0.ffn_up.weight') AS up \gset
UPDATE tensor_atoms SET atom_data = quantize(atom_data, 'F32') WHERE layer_id = :up AND atom_sequence = 7;
SELECT is((SELECT dequantize(atom_data) FROM tensor_atoms WHERE layer_id = :up AND atom_sequence = 7),
  (SELECT dequantize(weights('F16', 65536, substr((tensor).data, 7 * 131072 + 1, 131072))) FROM lib.tensors
    WHERE columns = 2048),
  'an updated row has the same weights');
DELETE FROM tensor_atoms WHERE layer_id = :up AND atom_sequence <> 7;
SELECT is((SELECT count(*) FROM tensor_atoms WHERE layer_id = :up), 1::bigint, 'rows are deleted');
SELECT is_empty(format('SELECT damage(%L)', :'part'), '... and nothing is damaged');
SELECT is_empty(format('SELECT wrong_chunks(%L)', :'part'), '... nor left without a row');

-- Rows with other values out of line are not packed: those are copied as an insert does. Each is 6 kB.
ALTER TABLE tensor_atoms ADD COLUMN note text;
ALTER TABLE tensor_atoms ALTER note SET STORAGE EXTERNAL;
SELECT import_gguf(gguf(ARRAY[matrix(2048, 1200)]), 'noted', 2048) AS noted \gset
UPDATE tensor_atoms SET note = repeat(md5(atom_sequence::text), 200) WHERE model_id = :noted AND atom_sequence % 3 = 0;
CALL quantize_model(:noted, 'F32', layer_pattern => 'blk.%');
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :noted
              AND note IS DISTINCT FROM CASE WHEN atom_sequence % 3 = 0 THEN repeat(md5(atom_sequence::text), 200) END),
  0::bigint,
  'a column of the user, out of line itself, is kept');
SELECT is((SELECT md5(string_agg(quantize(atom_data, 'F16')::bytea, '' ORDER BY atom_sequence)) FROM tensor_atoms
            WHERE model_id = :noted), (SELECT md5((matrix(2048, 1200)).data)), '... and so are the weights');
SELECT is_empty(format('SELECT damage(%L)', live_partition(:noted)), '... and nothing is damaged');

-- Columns that are stored otherwise are left to PostgreSQL.
ALTER TABLE tensor_atoms ALTER atom_data SET STORAGE EXTENDED;
SELECT import_gguf(gguf(ARRAY[ROW('blk.0.ffn_up.weight', '{4096,800}', 1, zeros(4096 * 800 * 2))::tensor]),
  'zeros', 4096) AS zeros \gset
SELECT ok(pg_total_relation_size(live_partition(:zeros)) < 4096 * 800 * 2 / 4, 'compressed if a user wishes so');
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :zeros AND atom_data::bytea = zeros(8192)), 800::bigint,
  '... and as imported');
ALTER TABLE tensor_atoms ALTER atom_data SET STORAGE EXTERNAL;
SELECT import_gguf(gguf(ARRAY[matrix(2048, 1200)]), 'last', 2048) AS last \gset
SELECT is(
  (SELECT md5(string_agg(atom_data::bytea, '' ORDER BY atom_sequence)) FROM tensor_atoms WHERE model_id = :last),
  (SELECT md5((matrix(2048, 1200)).data)), 'and packed again');

SELECT * FROM finish();
ROLLBACK;
