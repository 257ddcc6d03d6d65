-- Quantizing a table's atoms against the same scan that only copies them, on one core; then the parallel plan.
-- Variables: dir (with atoms.gguf: 4 tensors of 4096 x 4096 in F32, and kernels.json of Google Benchmark), rounds.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION hartonomous CASCADE;
SELECT hartonomous.import_gguf(:'dir' || '/atoms.gguf', 'atoms') AS model \gset
SELECT hartonomous_internal.live_partition(:model) AS part \gset
SELECT sum(hartonomous.weights_count(atom_data)) * 4 AS float_bytes FROM :part \gset
CREATE TABLE measured (format text, seconds float8);

-- One figure: the seconds of a scan of all atoms that ends as `format`. F32 is what they are: it only copies.
CREATE FUNCTION pg_temp.scan_seconds(part regclass, format text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
  started timestamptz := clock_timestamp();
BEGIN
  EXECUTE format('SELECT sum(hartonomous.weights_bytes(hartonomous.quantize(atom_data, %L))) FROM %s', format, part);
  RETURN extract(epoch FROM clock_timestamp() - started);
END $$;

SET max_parallel_workers_per_gather = 0;
SELECT pg_temp.scan_seconds(:'part', 'F32') AS warm \gset
INSERT INTO measured
  SELECT f, pg_temp.scan_seconds(:'part', f)
    FROM generate_series(1, :rounds) AS round, hartonomous.formats() AS written (f) WHERE written.writable
   AND written.format <> ALL ('{IQ1_S,IQ2_XXS,IQ2_XS}');  -- which need importance

\echo
\echo 'Quantizing atoms of 4096 weights in SQL, GB/s of float32 on one core (medians).'
\echo 'scan: read and copied only; query: all of it; codec in SQL: the query less the scan; kernel: 64 MiB in C++'
WITH sql AS (
  SELECT format, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS seconds FROM measured GROUP BY format
), kernel AS (
  SELECT split_part(run ->> 'run_name', '/', 3) AS format, (run ->> 'bytes_per_second')::float8 AS speed
    FROM jsonb_array_elements(pg_read_file(:'dir' || '/kernels.json')::jsonb -> 'benchmarks') AS run
   WHERE run ->> 'aggregate_name' = 'median' AND run ->> 'run_name' LIKE '64 MiB/quantize/%'
)
SELECT q.format, round((:float_bytes / q.seconds / 1e9)::numeric, 3) AS query,
       round((:float_bytes / s.seconds / 1e9)::numeric, 3) AS scan,
       round((:float_bytes / (q.seconds - s.seconds) / 1e9)::numeric, 3) AS "codec in SQL",
       round((k.speed / 1e9)::numeric, 3) AS kernel,
       round((:float_bytes / (q.seconds - s.seconds) / k.speed)::numeric, 2) AS "in SQL / kernel"
  FROM sql q JOIN sql s ON s.format = 'F32' AND q.format <> 'F32' LEFT JOIN kernel k ON k.format = q.format
       JOIN hartonomous.formats() f ON f.format = q.format
 ORDER BY f.block_weights, f.ggml_type;

RESET max_parallel_workers_per_gather;
\echo 'The same query in parallel:'
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF)
  SELECT sum(hartonomous.weights_bytes(hartonomous.quantize(atom_data, 'Q4_K'))) FROM :part;
