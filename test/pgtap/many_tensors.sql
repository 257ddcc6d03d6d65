-- Plans of a model of many tensors that was imported after statistics were gathered: the planner takes its tensors for
-- a handful. Each atom is looked at a few times then, too, and not once for each tensor.
BEGIN;
\ir lib/model_files.sql
SELECT plan(8);
SET LOCAL client_min_messages = warning;
SELECT import_gguf(little_gguf(), 'first') \g /dev/null
ANALYZE hartonomous.models, hartonomous.model_layers, hartonomous.model_revisions;
SELECT import_gguf(
  gguf((SELECT array_agg(ROW(format('blk.%s.ffn_up.weight', n), '{256,2}', 0, waves(2, 256, n))::tensor ORDER BY n)
  FROM generate_series(0, 299) n), ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', 300)]),
  'many') AS many \gset
CREATE FUNCTION lib.calls() RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(s.calls), 0)::bigint FROM pg_stat_xact_user_functions s
    WHERE s.funcname IN ('weights_format', 'fitting_format') $$;
CREATE FUNCTION lib.calls_of(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE before bigint := calls();
BEGIN
  EXECUTE query;
  RETURN calls() - before;
END $$;
SET LOCAL track_functions = 'all';
SELECT cmp_ok(calls_of(format(query, :many)), '<=', 3000::bigint, query) FROM (VALUES
  ('SELECT * FROM quantize_plan(%s, ''Q4_K_M'')'), ('SELECT * FROM quantize_plan(%s, ''Q4_K'', pure => true)'),
  ('SELECT * FROM svd_plan(%s, rank => 1)'), ('SELECT * FROM export_plan(%s)'), ('SELECT main_format(%s)'),
  ('SELECT * FROM prune_plan(%s, 0.5)'), ('SELECT * FROM importance_plan(%s, ''magnitude'')')) v (query);
SET LOCAL track_functions = 'none';
SELECT is((SELECT count(*) FROM quantize_plan(:many, 'Q4_K_M') WHERE operation IS NOT NULL), 300::bigint,
  'all of them are planned');
SELECT * FROM finish();
ROLLBACK;
