-- The demo: imports a model, compresses it in SQL, measures it, exports it, and rolls back. scripts/demo.sh runs it with
-- :file (a GGUF file the server can read) and :out (a directory the server can write).
\set ON_ERROR_STOP 1
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION hartonomous CASCADE;
SET client_min_messages = notice;

\echo '-- 1. import'
SELECT hartonomous.import_gguf(:'file', 'tiny') AS model \gset
SELECT model_name, architecture, parameter_count, left(encode(source_sha256, 'hex'), 16) AS sha256 FROM hartonomous.models;
SELECT l.layer_type, count(DISTINCT l.layer_id) AS tensors, count(*) AS atoms, sum(hartonomous.weights_bytes(a.atom_data)) AS bytes,
       round(min(a.importance_score)::numeric, 2) AS least, round(max(a.importance_score)::numeric, 2) AS most_important
  FROM hartonomous.model_layers l JOIN hartonomous.tensor_atoms a USING (model_id, layer_id)
 GROUP BY l.layer_type ORDER BY bytes DESC;
CREATE TEMP TABLE original AS
  SELECT layer_id, atom_sequence, content_hash FROM hartonomous.tensor_atoms WHERE model_id = :model;

\echo '-- 2. compress it to 4 bits a weight: what is tried is measured on unseen text'
SELECT pg_read_file(regexp_replace(:'file', '[^/]*$', 'heldout.txt')) AS text \gset
SELECT hartonomous.add_calibration_set('to calibrate', left(:'text', 40000)),
       hartonomous.add_validation_set('to measure', substr(:'text', 40001, 40000)) \g /dev/null
CALL hartonomous.compress_model('tiny', target_bits_per_weight => 4);

\echo '-- 3. size and loss of all that was tried, and stories from before and after'
SELECT revision_id AS revision, state, hartonomous.human_bytes(bytes) AS weights, bits_per_weight AS bits,
       round(100 * (perplexity_ratio - 1)::numeric, 2) AS "worse by %", round(100 * perplexity_ratio_error::numeric, 2) AS "+/-",
       round(100 * same_top::numeric, 1) AS "same top %", on_front
  FROM hartonomous.compression_front('tiny');
SELECT r.revision_id AS revision,
       'Once upon a time' || hartonomous.generate_text(:model, 'Once upon a time', 30, revision => r.revision_id) AS story
  FROM hartonomous.model_revisions r WHERE r.model_id = :model AND r.state <> 'dropped' ORDER BY r.revision_id;
SELECT revision_id AS revision, stage, state, atoms, hartonomous.human_bytes(logical_bytes) AS weights,
       hartonomous.human_bytes(physical_bytes) AS on_disk, hartonomous.human_bytes(table_bytes) AS "table",
       hartonomous.human_bytes(index_bytes) AS indexes, hartonomous.human_bytes(toast_bytes) AS toast
  FROM hartonomous.storage_report(:model);

\echo '-- 4. export the small model, import the exported file, compare'
SELECT hartonomous.human_bytes(hartonomous.export_gguf('tiny', :'out' || '/tiny-4bit.gguf')) AS "tiny-4bit.gguf",
       hartonomous.human_bytes((pg_stat_file(:'file')).size) AS source;
SELECT hartonomous.import_gguf(:'out' || '/tiny-4bit.gguf', 'copy') AS copy \gset
SELECT count(*) AS atoms, count(*) FILTER (WHERE a.content_hash = b.content_hash) AS equal
  FROM (SELECT * FROM hartonomous.tensor_atoms WHERE model_id = :copy) b
  FULL JOIN (SELECT * FROM hartonomous.tensor_atoms WHERE model_id = :model) a USING (tensor_name, atom_sequence);
SELECT hartonomous.export_gguf('copy') = hartonomous.export_gguf('tiny') AS "same file";

\echo '-- 5. the steps of the original design, each kept only if the perplexity grows by 5 % at most'
SELECT hartonomous.rollback_model('tiny', (SELECT min(revision_id) FROM hartonomous.model_revisions WHERE model_id = :model)) \g /dev/null
CALL hartonomous.compress_model('tiny', max_degradation => 0.05, stages => '[{"stage": "backup"}, {"stage": "prune",
  "keep_ratio": 0.4}, {"stage": "quantize", "format": "Q8_0"}, {"stage": "svd", "rank": 64}, {"stage": "validate"}]');
SELECT change ->> 'stage' AS stage, hartonomous.human_bytes(bytes_after) AS weights, verdict,
       round(100 * loss::numeric, 2) AS "worse by %" FROM hartonomous.compression_trials
 WHERE job_id = (SELECT max(job_id) FROM hartonomous.compression_jobs) ORDER BY trial_id;

\echo '-- 6. the atoms nearest to the center of the space, by the GiST index'
SELECT tensor_name, atom_sequence, round(x::numeric, 1) AS x, round(y::numeric, 1) AS y,
       round(importance_score::numeric, 2) AS importance
  FROM hartonomous.tensor_atoms
 WHERE model_id = :model
 ORDER BY weights_geometry <<->> ST_MakePoint(50, 50, 0) LIMIT 3;

\echo '-- 7. roll back to the imported model, and compare'
SELECT hartonomous.rollback_model('tiny', (SELECT min(revision_id) FROM hartonomous.model_revisions WHERE model_id = :model)) AS revision;
SELECT count(*) AS atoms, count(*) FILTER (WHERE o.content_hash = a.content_hash) AS equal
  FROM original o FULL JOIN (SELECT * FROM hartonomous.tensor_atoms WHERE model_id = :model) a
 USING (layer_id, atom_sequence);

\echo '-- 8. export it as it was imported'
SELECT hartonomous.export_gguf('tiny', :'out' || '/tiny.gguf') AS bytes;
SELECT hartonomous.file_sha256(:'out' || '/tiny.gguf') = m.source_sha256 AS "same file"
  FROM hartonomous.models m WHERE m.model_id = :model;
