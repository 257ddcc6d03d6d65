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

\echo '-- 2. quantize to Q4_K_M, byte for byte as llama-quantize does'
CALL hartonomous.quantize_model('tiny', 'Q4_K_M');
SELECT revision_id AS revision, stage, state, atoms, hartonomous.human_bytes(logical_bytes) AS weights,
       hartonomous.human_bytes(physical_bytes) AS on_disk, hartonomous.human_bytes(table_bytes) AS "table",
       hartonomous.human_bytes(index_bytes) AS indexes, hartonomous.human_bytes(toast_bytes) AS toast
  FROM hartonomous.storage_report(:model);

-- Every revision of the model: its bytes, and how well it predicts unseen text.
CREATE FUNCTION pg_temp.measured(model integer) RETURNS TABLE (revision integer, stage text, weights text, "saved %" numeric,
  perplexity numeric, "+/-" numeric, "worse by %" numeric, "same top %" numeric) LANGUAGE sql AS $$
  SELECT r.revision_id, r.stage, hartonomous.human_bytes(r.logical_bytes),
         round(100 - 100.0 * r.logical_bytes / max(r.logical_bytes) OVER (), 1), round(v.perplexity::numeric, 3),
         round(v.perplexity_error::numeric, 3), round(100 * (v.perplexity_ratio - 1)::numeric, 1),
         round(100 * v.same_top::numeric, 1)
    FROM hartonomous.model_revisions r,
         LATERAL hartonomous.validate_model_accuracy(model, 'heldout', revision => r.revision_id, baseline_revision =>
           (SELECT min(b.revision_id) FROM hartonomous.model_revisions b WHERE b.model_id = model)) v
   WHERE r.model_id = model ORDER BY r.revision_id
$$;

\echo '-- 3. the cost, measured on unseen text, and stories from before and after'
SELECT hartonomous.add_validation_set('heldout', left(pg_read_file(regexp_replace(:'file', '[^/]*$', 'heldout.txt')), 40000)) \g /dev/null
SET client_min_messages = warning;  -- without the progress of each measurement
SELECT * FROM pg_temp.measured(:model);
SET client_min_messages = notice;
SELECT r.revision_id AS revision,
       'Once upon a time' || hartonomous.generate_text(:model, 'Once upon a time', 30, revision => r.revision_id) AS story
  FROM hartonomous.model_revisions r WHERE r.model_id = :model ORDER BY r.revision_id;

\echo '-- 4. export the small model, import the exported file, compare'
SELECT hartonomous.human_bytes(hartonomous.export_gguf('tiny', :'out' || '/tiny-q4_k_m.gguf')) AS "tiny-q4_k_m.gguf",
       hartonomous.human_bytes((pg_stat_file(:'file')).size) AS source;
SELECT hartonomous.import_gguf(:'out' || '/tiny-q4_k_m.gguf', 'copy') AS copy \gset
SELECT count(*) AS atoms, count(*) FILTER (WHERE a.content_hash = b.content_hash) AS equal
  FROM (SELECT * FROM hartonomous.tensor_atoms WHERE model_id = :copy) b
  FULL JOIN (SELECT * FROM hartonomous.tensor_atoms WHERE model_id = :model) a USING (tensor_name, atom_sequence);
SELECT hartonomous.export_gguf('copy') = hartonomous.export_gguf('tiny') AS "same file";

\echo '-- 5. pruning by magnitude without retraining: saves few bytes and costs a lot'
CALL hartonomous.prune_by_importance('tiny', keep_ratio => 0.95);
CALL hartonomous.prune_by_importance('tiny', keep_ratio => 0.95);
CALL hartonomous.prune_by_importance('tiny', keep_ratio => 0.95, include_embeddings => true);
SET client_min_messages = warning;  -- without the progress of each measurement
SELECT * FROM pg_temp.measured(:model);
SET client_min_messages = notice;

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
