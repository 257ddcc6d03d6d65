-- The demo: a model goes in, gets smaller in SQL, goes back, and comes out. Run by scripts/demo.sh with
-- :file (a GGUF file the server can read) and :out (a directory the server can write).
\set ON_ERROR_STOP 1
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION hartonomous CASCADE;
SET client_min_messages = notice;

\echo '-- 1. import'
SELECT hartonomous.import_gguf(:'file', 'demo') AS model \gset
SELECT model_name, architecture, model_type, parameter_count, left(encode(source_sha256, 'hex'), 16) AS sha256
  FROM hartonomous.models;
SELECT l.layer_name, l.layer_type, l.tensor_shape, l.tensor_dtype, count(a.atom_sequence) AS atoms,
       round(min(a.importance_score)::numeric, 2) AS least, round(max(a.importance_score)::numeric, 2) AS most_important
  FROM hartonomous.model_layers l JOIN hartonomous.tensor_atoms a USING (model_id, layer_id)
 GROUP BY l.layer_id ORDER BY l.position;

SELECT revision_id AS revision, stage, state, atoms, hartonomous.human_bytes(logical_bytes) AS weights,
       hartonomous.human_bytes(physical_bytes) AS on_disk, hartonomous.human_bytes(table_bytes) AS "table",
       hartonomous.human_bytes(index_bytes) AS indexes, hartonomous.human_bytes(toast_bytes) AS toast
  FROM hartonomous.storage_report(:model);

\echo '-- 2. the atoms nearest to the middle of the model, by the GiST index'
SELECT tensor_name, atom_sequence, round(x::numeric, 1) AS x, round(y::numeric, 1) AS y,
       round(importance_score::numeric, 2) AS importance
  FROM hartonomous.tensor_atoms
 WHERE model_id = :model
 ORDER BY weights_geometry <<->> ST_MakePoint(50, 50, 0) LIMIT 3;

CREATE TEMP TABLE original AS
  SELECT layer_id, atom_sequence, content_hash FROM hartonomous.tensor_atoms WHERE model_id = :model;

\echo '-- 3. prune 5 %, then quantize'
CALL hartonomous.prune_by_importance(:model, keep_ratio => 0.95);
CALL hartonomous.quantize_model(:model, 'Q4_K');
SELECT revision_id AS revision, stage, state, atoms, hartonomous.human_bytes(logical_bytes) AS weights,
       hartonomous.human_bytes(physical_bytes) AS on_disk, hartonomous.human_bytes(table_bytes) AS "table",
       hartonomous.human_bytes(index_bytes) AS indexes, hartonomous.human_bytes(toast_bytes) AS toast
  FROM hartonomous.storage_report(:model);

\echo '-- 4. what that did to the model, measured on text it has not seen, and to its stories'
SELECT hartonomous.add_validation_set('heldout', left(pg_read_file(regexp_replace(:'file', '[^/]*$', 'heldout.txt')), 40000))
  \g /dev/null
SELECT r.revision_id AS revision, r.stage, round(v.perplexity::numeric, 3) AS perplexity,
       round(v.perplexity_error::numeric, 3) AS "+/-", round(v.kl_divergence::numeric, 3) AS "KL divergence",
       round(v.same_top::numeric * 100, 1) AS "same top %", v.tokens
  FROM hartonomous.model_revisions r,
       LATERAL hartonomous.validate_model_accuracy(:model, 'heldout', revision => r.revision_id, baseline_revision =>
         (SELECT min(b.revision_id) FROM hartonomous.model_revisions b WHERE b.model_id = :model)) v
 WHERE r.model_id = :model ORDER BY r.revision_id;
SELECT r.revision_id AS revision,
       'Once upon a time' || hartonomous.generate_text(:model, 'Once upon a time', 30, revision => r.revision_id) AS story
  FROM hartonomous.model_revisions r WHERE r.model_id = :model ORDER BY r.revision_id;

\echo '-- 5. export the small model, import the export, compare'
SELECT hartonomous.human_bytes(hartonomous.export_gguf(:model, :'out' || '/demo-q4_k.gguf')) AS "demo-q4_k.gguf",
       hartonomous.human_bytes((pg_stat_file(:'file')).size) AS source;
SELECT hartonomous.import_gguf(:'out' || '/demo-q4_k.gguf', 'demo-q4_k') AS copy \gset
SELECT count(*) AS atoms, count(*) FILTER (WHERE a.content_hash = b.content_hash) AS equal,
       count(*) FILTER (WHERE a.content_hash IS NULL AND hartonomous.weights_rms(b.atom_data) = 0) AS "pruned, now zeros"
  FROM (SELECT * FROM hartonomous.tensor_atoms WHERE model_id = :copy) b
  LEFT JOIN (SELECT * FROM hartonomous.tensor_atoms WHERE model_id = :model) a USING (tensor_name, atom_sequence);

\echo '-- 6. roll back, twice, and compare with what was imported'
SELECT hartonomous.rollback_model(:model) AS revision;
SELECT hartonomous.rollback_model(:model) AS revision;
SELECT count(*) AS atoms, count(*) FILTER (WHERE o.content_hash = a.content_hash) AS equal
  FROM original o FULL JOIN (SELECT * FROM hartonomous.tensor_atoms WHERE model_id = :model) a
 USING (layer_id, atom_sequence);

\echo '-- 7. export it as it came'
SELECT hartonomous.export_gguf(:model, :'out' || '/demo.gguf') AS bytes;
SELECT hartonomous.file_sha256(:'out' || '/demo.gguf') = m.source_sha256 AS "same file"
  FROM hartonomous.models m WHERE m.model_id = :model;
