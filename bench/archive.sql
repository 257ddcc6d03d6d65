-- The archive in the database, for bench/archive.sh: a million atoms of 32 weights into it and back, beside their import;
-- an aggregate over importance; the columns other than weights; and what PostgreSQL's own compression leaves of weights.
-- Variables: dir (with million.gguf and model.gguf).
\set ON_ERROR_STOP 1
\pset footer off
\o /dev/null
SET client_min_messages = error;
CREATE EXTENSION hartonomous CASCADE;
CREATE TABLE measured (n integer GENERATED ALWAYS AS IDENTITY, what text, seconds float8);
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
SELECT hartonomous.import_gguf(:'dir' || '/million.gguf', 'million', 32);
INSERT INTO measured (what, seconds) SELECT 'import', extract(epoch FROM clock_timestamp() - :'t0');
SELECT hartonomous.backup_model('million');
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
CALL hartonomous.archive_revision(2);
INSERT INTO measured (what, seconds) SELECT 'archive', extract(epoch FROM clock_timestamp() - :'t0');

-- Each three times, in turn; the best counts. An array of the same numbers, which is taken apart element by element,
-- shows what a view that returns atoms could reach at best.
SET max_parallel_workers_per_gather = 0;
CREATE TABLE numbers AS SELECT array_agg(importance_score) AS elements FROM hartonomous.tensor_atoms;
SELECT format($$SELECT clock_timestamp() AS t0 \gset
%s;
INSERT INTO measured (what, seconds) SELECT %L, extract(epoch FROM clock_timestamp() - :'t0');$$, statement, what)
  FROM generate_series(1, 3) round,
       (VALUES (1, 'avg(importance_score) of rows', 'SELECT avg(importance_score) FROM hartonomous.tensor_atoms'),
               (2, 'avg(importance_score) of the view',
                'SELECT avg(importance_score) FROM hartonomous.archived_tensor_atoms'),
               (3, 'avg() of an array''s elements', 'SELECT avg(e) FROM (SELECT unnest(elements) AS e FROM numbers) n'),
               (4, 'archived_importance()', 'SELECT sum(atoms * mean) FROM hartonomous.archived_importance(''million'')')
       ) v (n, what, statement) ORDER BY round, n
\g (format=unaligned tuples_only=on) :dir/aggregates.sql
\i :dir/aggregates.sql
\o
\echo
\echo 'an aggregate over a million atoms'
SELECT what, round(1000 * min(seconds)::numeric, 1) AS ms,
       round((min(min(seconds)) FILTER (WHERE what = 'avg(importance_score) of rows') OVER ()
              / min(seconds))::numeric, 1) AS times, CASE what WHEN 'archived_importance()' THEN '>= 10' END AS target
  FROM measured WHERE what NOT IN ('import', 'archive') GROUP BY what ORDER BY min(n);

\echo 'bytes of a million atoms of 32 weights in F32'
SELECT pg_size_pretty(r.physical_bytes) AS rows, pg_size_pretty(r.physical_bytes - r.logical_bytes) AS "without weights",
       pg_size_pretty(a.own_bytes) AS archived,
       pg_size_pretty(a.own_bytes - w.bytes) AS "without weights",
       round((a.own_bytes - w.bytes) / (r.physical_bytes - r.logical_bytes)::numeric, 3) AS "of those of rows", '<= 0.2' AS target
  FROM hartonomous.storage_report('million') r, hartonomous.archive_report() a,
       (SELECT sum(pg_column_size(atom_data)) AS bytes FROM hartonomous.archived_weights) w
 WHERE r.state = 'live';
\o /dev/null
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
CALL hartonomous.restore_archived_revision(2);
INSERT INTO measured (what, seconds) SELECT 'restore', extract(epoch FROM clock_timestamp() - :'t0');
\o
\echo 'a million atoms'
SELECT what, round(seconds::numeric, 1) AS seconds,
       round((first_value(seconds) OVER (ORDER BY n) / seconds)::numeric, 2) AS "speed of import",
       CASE what WHEN 'restore' THEN '>= 0.8' END AS target
  FROM measured WHERE what IN ('import', 'archive', 'restore') ORDER BY n;

-- Rows of the example model, as PostgreSQL would store them if it compressed them.
\o /dev/null
SELECT hartonomous.import_gguf(:'dir' || '/model.gguf', 'model');
CREATE TABLE compressed (format text, method text, stored bigint, raw bigint);
CREATE TABLE pglz (weights bytea COMPRESSION pglz);
CREATE TABLE lz4 (weights bytea COMPRESSION lz4);
SELECT format($$TRUNCATE %1$I;
INSERT INTO %1$I SELECT hartonomous.quantize(hartonomous.dequantize(a.atom_data), %2$L)::bytea
  FROM hartonomous.tensor_atoms a JOIN hartonomous.models m USING (model_id)
  WHERE m.model_name = 'model' AND hartonomous.weights_count(a.atom_data) %% 256 = 0;
INSERT INTO compressed SELECT %2$L, %1$L, sum(pg_column_size(weights)), sum(octet_length(weights)) FROM %1$I;$$, m, f)
  FROM unnest('{pglz,lz4}'::text[]) m, unnest('{BF16,F16,F32,Q8_0,Q4_K}'::text[]) WITH ORDINALITY f (f, n) ORDER BY n, m
\g (format=unaligned tuples_only=on) :dir/compressed.sql
\i :dir/compressed.sql
\o
\echo 'rows of the example model in TOAST, part of their bytes'
SELECT format, round(sum(stored) FILTER (WHERE method = 'pglz') / sum(raw) FILTER (WHERE method = 'pglz'), 3) AS pglz,
       round(sum(stored) FILTER (WHERE method = 'lz4') / sum(raw) FILTER (WHERE method = 'lz4'), 3) AS lz4
  FROM compressed GROUP BY format ORDER BY sum(raw) DESC, format;
