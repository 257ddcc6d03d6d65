-- A store that belongs to a role that is no superuser, with a model, and calls of what reads it, for suites that spoil
-- the store. Must be included after model_files.sql and language_models.sql, in a transaction.

-- Each call is to read the store, and not what the one before has kept of it.
SET LOCAL hartonomous.model_cache_size = 0;
-- Starting workers takes longer than what they do on so small a model.
SET LOCAL max_parallel_workers_per_gather = 0;
-- Which functions in C a call reaches is seen by PostgreSQL's statistics.
SET LOCAL track_functions = 'all';
-- Suites that run side by side share the roles of the server.
SELECT 'hostile_owner_' || pg_backend_pid() AS hostile_owner \gset
CREATE ROLE :hostile_owner;
-- For views in place of tables, which an owner cannot make without it.
GRANT CREATE ON SCHEMA hartonomous TO :hostile_owner;
SELECT create_store(:'hostile_owner') \g /dev/null
GRANT USAGE, CREATE ON SCHEMA lib TO :hostile_owner;
SET ROLE :hostile_owner;
-- Most of the time of a stage would go into these indexes of the new partition.
DROP INDEX hartonomous.tensor_atoms_geometry, hartonomous.tensor_atoms_quantized_position;
SELECT import_gguf(llama_gguf(), 'm', 8) AS m \gset
CALL svd_compress_model(:m, rank => 3, layer_pattern => 'blk.0.attn_v%');
SELECT backup_model(:m) AS kept \gset
SELECT backup_model(:m) AS archived \gset
CALL archive_revision(:archived);
SELECT add_calibration_set('c', repeat('cat ', 8)) \g /dev/null
SELECT add_validation_set('v', repeat('dog ', 8)) \g /dev/null
CALL collect_calibration(:m, 'c', statistics => 'fisher');
CALL measure_sensitivity(:m, 'c', formats => '{Q4_0}', probe_tokens => 16);

-- Readers and stages; of these as few tensors as show what they read.
CREATE TABLE lib.calls (call text, reads text[], reaches regprocedure[]);
INSERT INTO lib.calls (call) SELECT format(call, :m, :kept, :archived) FROM unnest(ARRAY[
  'SELECT export_gguf(%1$s)', 'SELECT export_gguf(%1$s, true)', 'SELECT export_safetensors(%1$s)',
  'SELECT export_gguf_large_object(%1$s)',
  'SELECT generate_text(%1$s, ''cat'', 2)',
  'SELECT count(*) FROM generate_tokens(%1$s, ''cat'', 2, revision => %2$s)',
  'SELECT perplexity(%1$s, ''cat cat cat cat'', 8)', 'SELECT count(*) FROM score_tokens(%1$s, ''cat cat'', 8)',
  'SELECT validate_model_accuracy(%1$s, ''v'', n_ctx => 8)', 'SELECT block_influence(%1$s, ''cat cat cat'', 8)',
  'SELECT tensor_weights(%1$s, ''blk.0.attn_q.weight'')', 'SELECT tensor_weights(%1$s, ''blk.0.attn_v.weight'')',
  'SELECT tensor_weights(%1$s, ''blk.0.attn_q.weight'', %2$s)', 'SELECT record_usage(%1$s, ''cat cat'', 8)',
  'SELECT tokenize(%1$s, ''cat'')', 'SELECT detokenize(%1$s, ''{100}'')',
  'SELECT count(*) FROM verify_svd(%1$s)', 'CALL quantize_model(%1$s, ''Q8_0'')',
  'CALL svd_compress_model(%1$s, rank => 2, layer_pattern => ''blk.0.attn_q%%'')',
  'CALL svd_compress_model(%1$s, rank => 2, layer_pattern => ''blk.0.attn_q%%'', calibration_set => ''c'')',
  'CALL measure_singular_values(%1$s, layer_pattern => ''blk.0.attn_q%%'')',
  'CALL measure_singular_values(%1$s, ''c'', layer_pattern => ''blk.0.attn_q%%'')',
  'CALL prune_by_importance(%1$s, keep_ratio => 0.5, method => ''rewrite'', layer_pattern => ''blk.0.attn_%%'')',
  'CALL prune_by_importance(%1$s, 0.5, layer_pattern => ''blk.0.attn_q%%'', refit => true, calibration_set => ''c'')',
  'CALL calibrate_importance(%1$s, ''wanda'', ''c'', ''blk.0.attn_q%%'')',
  'CALL remove_neurons(%1$s, 0.5, multiple => 8)',
  'CALL remove_neurons(%1$s, 0.5, multiple => 8, calibration_set => ''c'', refit => true)',
  'CALL trim_vocabulary(%1$s, ''c'')',
  'SELECT backup_model(%1$s)', 'SELECT rollback_model(%1$s)', 'CALL archive_revision(%2$s)',
  'CALL restore_archived_revision(%3$s)', 'SELECT revision_recipe(%2$s)',
  'SELECT extract_by_importance(%1$s, 0.5)', 'SELECT count(*) FROM diff_revisions(%2$s, current_revision(%1$s))',
  'CALL quantize_model(%1$s, ''Q4_0'', ''blk.0.attn_q%%'', calibration_set => ''c'')',
  'CALL quantize_model(%1$s, ''Q4_0'', ''blk.0.attn_q%%'', calibration_set => ''c'', curvature => ''fisher'')',
  'CALL quantize_model(%1$s, ''Q4_0'', ''blk.0.attn_q%%'', calibration_set => ''c'', sequential => true)',
  'SELECT export_importance(%1$s, ''c'')', 'SELECT importance_vector(%1$s, ''blk.0.attn_q.weight'')',
  'SELECT gram_matrix(%1$s, ''blk.0.ffn_down.weight'', ''c'', current_revision(%1$s))',
  'CALL collect_calibration(%1$s, ''c'')', 'CALL collect_calibration(%1$s, ''c'', 3, ''fisher'')',
  'CALL collect_calibration(%1$s, ''c'', 3)',
  'CALL measure_sensitivity(%1$s, ''c'', ''plain'', probe_tokens => 8)',
  'SELECT import_gguf(llama_gguf(), ''n'')', 'SELECT import_importance(export_importance(%1$s, ''c''), %1$s, ''d'')',
  'SELECT recompute_positions(%1$s)', 'SELECT count(*) FROM check_model(%1$s)']) call;

-- What each reads is seen once.
CREATE FUNCTION lib.scans() RETURNS TABLE (relation text, scans bigint) LANGUAGE sql AS $$
  SELECT c.relation, (SELECT sum(pg_stat_get_xact_numscans(o.oid))
                        FROM (SELECT t.oid UNION SELECT p.relid FROM pg_partition_tree(t.oid) p
                              UNION SELECT i.indexrelid FROM pg_index i
                               WHERE i.indrelid IN (SELECT t.oid UNION SELECT p.relid FROM pg_partition_tree(t.oid) p)
                             ) o (oid))::bigint
    FROM unnest(store_tables()) c (relation) CROSS
    JOIN LATERAL (SELECT ('hartonomous.' || c.relation)::regclass) t (oid)
$$;
CREATE PROCEDURE lib.note_reads(call text) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  before jsonb := (SELECT jsonb_object_agg(s.relation, s.scans) FROM scans() s);
  called jsonb := (SELECT jsonb_object_agg(f.funcid, f.calls) FROM pg_stat_xact_user_functions f);
BEGIN
  BEGIN
    EXECUTE call;
    RAISE EXCEPTION 'done' USING ERRCODE = 'HT001';
  EXCEPTION WHEN SQLSTATE 'HT001' THEN NULL;
  END;
  UPDATE calls c
     SET reads = ARRAY(SELECT s.relation FROM scans() s WHERE s.scans > (before ->> s.relation)::bigint),
         reaches = ARRAY(SELECT f.funcid FROM pg_stat_xact_user_functions f
                          WHERE f.calls > coalesce((called ->> f.funcid::text)::bigint, 0))
   WHERE c.call = call;
END $$;

-- Each call on a store that has been spoilt; all is undone again. What they said, without what is in order: success
-- (not everything reads everything), and errors that are of the data, of what exists, or of limits.
CREATE TABLE lib.counts (calls bigint);
INSERT INTO lib.counts VALUES (0);
CREATE FUNCTION lib.objections(spoiling text, calls text[], OUT said text, OUT objecting text[]) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  call text;
BEGIN
  said := '';
  objecting := '{}';
  EXECUTE spoiling;
  FOREACH call IN ARRAY calls LOOP
    BEGIN
      EXECUTE call;
      RAISE EXCEPTION 'done' USING ERRCODE = 'HT001';
    EXCEPTION WHEN SQLSTATE 'HT001' THEN NULL;
      WHEN OTHERS THEN
        objecting := objecting || call;
        IF SQLSTATE !~ '^(21000|22|23|2BP01|40001|42|0A000|53200|54000|55000|P0002|P0003|XX001)'
          OR SQLSTATE IN ('42601', '22P01', '22012') THEN
          said := said || format(E'\n%s: %s %s', call, SQLSTATE, SQLERRM);
        END IF;
    END;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = 'HT000';
EXCEPTION WHEN SQLSTATE 'HT000' THEN
  UPDATE lib.counts c SET calls = c.calls + cardinality(objections.calls);
END $$;
CREATE FUNCTION lib.readers(relation text) RETURNS text[] LANGUAGE sql STABLE
  RETURN ARRAY(SELECT c.call FROM lib.calls c WHERE relation = ANY (c.reads));
CREATE FUNCTION lib.column_replaced(relation text, name text, definition text) RETURNS text LANGUAGE sql RETURN
  format('ALTER TABLE hartonomous.%I RENAME %I TO gone; ALTER TABLE hartonomous.%1$I ADD %2$I %3$s', relation, name,
    definition);
