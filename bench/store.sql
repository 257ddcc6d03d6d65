-- One round of the store's benchmarks; bench/run.sh runs it several times and prints medians.
-- Variables: round, dir (with big.gguf: F16 rows of 4096; million.gguf: a million atoms of 32).
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only on
\o /dev/null
SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS bench (round int, what text, seconds float8);
\set rest 'layer_id, atom_sequence, x, y, importance_score, tensor_name, atom_data'

-- Import against COPY of the same rows into the same table, tensor_atoms, as another model: both compute the generated
-- columns and end with the same indexes. Import also hashes the file, places the atoms and analyses the partition.
-- An import that is not measured comes first: it makes the store and the rows, and warms what both use.
SELECT hartonomous.import_gguf(:'dir' || '/big.gguf', 'warm') AS warm \gset
SELECT hartonomous_internal.live_partition(:warm) AS part \gset
\set copyfile :dir '/rows.copy'
COPY (SELECT 999999, 999999, :rest FROM :part) TO :'copyfile' BINARY;
SELECT hartonomous_internal.index_atoms_partition(hartonomous_internal.create_atoms_partition(999999, 999999)),
       hartonomous_internal.attach_live(999999, 999999);
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
COPY hartonomous.tensor_atoms (model_id, revision_id, :rest) FROM :'copyfile' BINARY;
INSERT INTO bench SELECT :round, 'COPY, rows of 4096', extract(epoch FROM clock_timestamp() - :'t0');
SELECT hartonomous_internal.drop_atoms_partition(999999, 999999);
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
SELECT hartonomous.import_gguf(:'dir' || '/big.gguf', 'big') AS big \gset
INSERT INTO bench SELECT :round, 'import, rows of 4096', extract(epoch FROM clock_timestamp() - :'t0');
SELECT hartonomous_internal.live_partition(:big) AS part \gset

CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
SELECT hartonomous.import_gguf(:'dir' || '/million.gguf', 'million', 32) AS million \gset
INSERT INTO bench SELECT :round, 'import, a million atoms of 32', extract(epoch FROM clock_timestamp() - :'t0');
SELECT hartonomous_internal.live_partition(:million) AS mpart \gset
COPY (SELECT 999999, 999999, :rest FROM :mpart) TO :'copyfile' BINARY;
SELECT hartonomous_internal.index_atoms_partition(hartonomous_internal.create_atoms_partition(999999, 999999)),
       hartonomous_internal.attach_live(999999, 999999);
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
COPY hartonomous.tensor_atoms (model_id, revision_id, :rest) FROM :'copyfile' BINARY;
INSERT INTO bench SELECT :round, 'COPY, a million atoms of 32', extract(epoch FROM clock_timestamp() - :'t0');
SELECT hartonomous_internal.drop_atoms_partition(999999, 999999);

-- Quantizing by rewrite against copying its output, the codec's own time apart.
SET max_parallel_workers_per_gather = 0;
SELECT clock_timestamp() AS t0 \gset
SELECT sum(hartonomous.weights_bytes(hartonomous.quantize(atom_data, 'Q8_0'))) FROM :part;
INSERT INTO bench SELECT :round, 'codec of the rewrite (Q8_0)', extract(epoch FROM clock_timestamp() - :'t0');
RESET max_parallel_workers_per_gather;
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
CALL hartonomous.quantize_model(:big, 'Q8_0');
INSERT INTO bench SELECT :round, 'quantize_model (Q8_0)', extract(epoch FROM clock_timestamp() - :'t0');
SELECT hartonomous_internal.live_partition(:big) AS part \gset
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
CREATE TABLE copied AS SELECT * FROM :part;
INSERT INTO bench SELECT :round, 'CREATE TABLE AS of its output', extract(epoch FROM clock_timestamp() - :'t0');
DROP TABLE copied;

-- A million atoms. Pruning in place is a plan and a DELETE; prune_by_importance also keeps what it removes.
VACUUM ANALYZE :mpart;
BEGIN;
SELECT clock_timestamp() AS t0 \gset
SELECT array_agg(layer_id) AS layers, array_agg((arguments ->> 'minimum_importance')::real) AS cuts
  FROM hartonomous.prune_plan(:million, keep_ratio => 0.4) WHERE operation IS NOT NULL \gset
DELETE FROM :mpart a USING unnest(:'layers'::bigint[], :'cuts'::real[]) AS c (layer_id, cut)
 WHERE a.layer_id = c.layer_id AND a.importance_score < c.cut;
SELECT clock_timestamp() AS t1 \gset
ROLLBACK;
INSERT INTO bench SELECT :round, 'prune 60 % of a million in place', extract(epoch FROM :'t1'::timestamptz - :'t0'::timestamptz);
SELECT clock_timestamp() AS t0 \gset
CREATE TABLE copied AS SELECT tensor_atom_id, hartonomous.quantize_q8(x, y, importance_score) FROM :mpart;
INSERT INTO bench SELECT :round, 'Q8 geometry of a million', extract(epoch FROM clock_timestamp() - :'t0');
DROP TABLE copied;
SELECT clock_timestamp() AS t0 \gset
SELECT hartonomous.quantize_q4k(x ORDER BY layer_id, atom_sequence) FROM :mpart;
INSERT INTO bench SELECT :round, 'coordinate Q4_K of a million', extract(epoch FROM clock_timestamp() - :'t0');
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
CALL hartonomous.prune_by_importance(:million, keep_ratio => 0.4);
INSERT INTO bench SELECT :round, 'prune_by_importance 60 %, rewriting', extract(epoch FROM clock_timestamp() - :'t0');
SELECT clock_timestamp() AS t0 \gset
SELECT hartonomous.rollback_model(:million);
INSERT INTO bench SELECT :round, 'rollback of it', extract(epoch FROM clock_timestamp() - :'t0');

-- A student, beside a copy of the same rows without and with the same indexes; two states compared.
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
SELECT hartonomous.extract_by_importance(:million, 0.4) AS student \gset
INSERT INTO bench SELECT :round, 'student of 40 % of a million', extract(epoch FROM clock_timestamp() - :'t0');
SELECT jsonb_object_agg(layer_id, coalesce(arguments ->> 'minimum_importance', '-Infinity')) AS cuts
  FROM hartonomous.prune_plan(:million, keep_ratio => 0.4) \gset
SELECT hartonomous_internal.live_partition(:million) AS mpart \gset
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
CREATE TABLE copied AS SELECT a.* FROM :mpart a JOIN jsonb_each_text(:'cuts') c (layer, cut)
  ON a.layer_id = c.layer::bigint AND a.importance_score >= c.cut::real;
INSERT INTO bench SELECT :round, 'CREATE TABLE AS of its rows', extract(epoch FROM clock_timestamp() - :'t0');
ALTER TABLE copied ADD PRIMARY KEY (model_id, layer_id, atom_sequence) WITH (fillfactor = 100);
CREATE INDEX ON copied USING gist (weights_geometry hartonomous_internal.gist_points);
ANALYZE copied;
INSERT INTO bench SELECT :round, 'the same with its indexes', extract(epoch FROM clock_timestamp() - :'t0');
DROP TABLE copied;
SELECT clock_timestamp() AS t0 \gset
SELECT hartonomous.extract_by_spatial_region(:million, 40, 41, 40, 41);
INSERT INTO bench SELECT :round, 'student of a small region', extract(epoch FROM clock_timestamp() - :'t0');
SELECT clock_timestamp() AS t0 \gset
SELECT * FROM hartonomous.diff_revisions((SELECT min(revision_id) FROM hartonomous.model_revisions WHERE model_id = :million),
                                         (SELECT max(revision_id) FROM hartonomous.model_revisions WHERE model_id = :million));
INSERT INTO bench SELECT :round, 'diff_revisions of a million', extract(epoch FROM clock_timestamp() - :'t0');
