-- Where the bytes of a partition are (bench/disk.sh). All figures are bytes per atom, from the pages themselves.
SET client_min_messages = warning;
CREATE EXTENSION hartonomous CASCADE;
CREATE EXTENSION pgstattuple;
CREATE SCHEMA bench;
CREATE TABLE bench.disk (
  number integer GENERATED ALWAYS AS IDENTITY, model text, format text, atom_size integer, atoms bigint,
  weights float8, in_line float8,          -- bytes of weights, and how many of them are in the row itself
  headers float8,                          -- of tuples, with line pointers, page headers and the NULL bitmap
  name float8, geometry float8, hash float8, others float8,  -- the columns
  page_space float8,                       -- free in the pages of the table
  chunk_headers float8, chunk_space float8, chunk_index float8,  -- TOAST
  primary_key float8, gist float8, ratio float8, seconds float8);

CREATE FUNCTION bench.measure(path text, name text, atom_size integer, format text DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql
AS $$
DECLARE
  started timestamptz := clock_timestamp();
  model integer := hartonomous.import_gguf(path, name, atom_size);
  part regclass;
  toast regclass;
  elapsed float8 := extract(epoch FROM clock_timestamp() - started);
BEGIN
  IF format IS NOT NULL THEN
    CALL hartonomous.quantize_model(model, format);
  END IF;
  part := hartonomous_internal.live_partition(model);
  SELECT nullif(c.reltoastrelid, 0) INTO toast FROM pg_class c WHERE c.oid = part;
  EXECUTE format($q$
    INSERT INTO bench.disk (model, format, atom_size, atoms, weights, in_line, headers, name, geometry, hash, others,
                            page_space, chunk_headers, chunk_space, chunk_index, primary_key, gist, ratio, seconds)
    SELECT $1, $4, $2, a.n, a.weights, i.in_line,
           (pg_relation_size('%1$s') - h.tuple_len - h.free_space) / a.n + 32,
           a.name, a.geometry, a.hash, h.tuple_len / a.n - 32 - i.in_line - a.name - a.geometry - a.hash,
           h.free_space / a.n,
           (pg_relation_size('%2$s') - t.free_space) / a.n - c.outside, t.free_space / a.n,
           pg_indexes_size('%2$s') / a.n,
           (SELECT pg_total_relation_size(i.indexrelid) FROM pg_index i
             WHERE i.indrelid = '%1$s'::regclass AND i.indisprimary) / a.n,
           (SELECT sum(pg_total_relation_size(i.indexrelid)) FROM pg_index i
             WHERE i.indrelid = '%1$s'::regclass AND NOT i.indisprimary) / a.n,
           pg_total_relation_size('%1$s') / (a.n * a.weights), $3
      FROM pgstattuple('%1$s') h, pgstattuple('%2$s') t,
           (SELECT count(*)::float8 AS n, avg(hartonomous.weights_bytes(atom_data))::float8 AS weights,
                   avg(pg_column_size(tensor_name))::float8 AS name, avg(pg_column_size(weights_geometry))::float8 AS geometry,
                   avg(pg_column_size(content_hash))::float8 AS hash
              FROM %1$s) a,
           -- Chunks have headers of 36 bytes: of the tuple, two numbers and a length.
           LATERAL (SELECT (t.tuple_len - 36 * t.tuple_count) / a.n AS outside) c,
           LATERAL (SELECT greatest(0, a.weights - c.outside) AS in_line) i$q$, part, toast)
    USING name, atom_size, elapsed,
          (SELECT string_agg(DISTINCT t, ' ') FROM (
             SELECT hartonomous.weights_format(atom_data) AS t FROM hartonomous.tensor_atoms WHERE model_id = model
              GROUP BY 1 ORDER BY count(*) DESC LIMIT 2) f);
  PERFORM hartonomous.delete_model(model);
END
$$;

CREATE VIEW bench.report AS
  SELECT model, format, coalesce(atom_size::text, 'default') AS "atom size", round(weights) AS weights, round(headers) AS headers,
         round(name) AS name, round(geometry) AS geometry, round(hash) AS hash, round(others) AS others,
         round(page_space) AS "free", round(chunk_headers) AS "chunk headers", round(chunk_space) AS "chunk free",
         round(chunk_index) AS "chunk index", round(primary_key) AS "primary key", round(gist) AS gist,
         round(ratio::numeric, 3) AS "disk/weights"
    FROM bench.disk ORDER BY number;
