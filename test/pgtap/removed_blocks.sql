-- Blocks removed from a model itself: the same as in a student, and back again.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/deep_model.sql
SELECT plan(49);
SELECT import_gguf(deep_gguf('{3}'), 'deep') AS m \gset
SELECT export_gguf(:m) AS original \gset
SELECT add_calibration_set('story', story()) \g /dev/null
CREATE FUNCTION lib.faults(model integer) RETURNS text[] LANGUAGE sql VOLATILE AS $$
  SELECT array_agg(concat_ws(' ', fault, object, detail)) FROM (
    SELECT fault, object, detail FROM check_model(model) UNION ALL SELECT fault, object, detail
    FROM check_store()) f $$;
CREATE FUNCTION lib.structure(model integer) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT md5(string_agg(to_jsonb(l)::text, ',' ORDER BY layer_id) || (SELECT to_jsonb(m) - 'current_revision'
    FROM models m WHERE model_id = model)::text) FROM model_layers l WHERE model_id = model $$;
CREATE FUNCTION lib.blocks_gone(model integer) RETURNS integer[] LANGUAGE sql VOLATILE AS $$
  SELECT array_agg(b::integer) FROM model_revisions, jsonb_array_elements_text(parameters -> 'blocks') b
   WHERE revision_id = present(model) $$;
ALTER TABLE model_layers ADD note text;
UPDATE model_layers SET note = 'mine: ' || layer_name WHERE model_id = :m;
SELECT structure(:m) AS structure \gset

-- Given blocks
SELECT extract_by_layers(:m, 4, 'influence', 'repaired', '{0,1,4,5}', story()) AS s \gset
CALL remove_blocks(:m, blocks => '{2,3}', calibration_set => 'story', dry_run => true);
SELECT is(structure(:m) || present(:m), :'structure' || 1, 'a dry run changes nothing');
CALL remove_blocks(:m, blocks => '{2,3}', calibration_set => 'story');
SELECT present(:m) AS four \gset
SELECT is(md5(export_gguf(:m)), md5(export_gguf(:s)),
  'a model without two blocks is its student, and repaired like it');
SELECT is(faults(:m), NULL, 'without faults');
SELECT is(parameters, '{"blocks": [2, 3], "repair": true, "damping": 0.01, "calibration_set": "story"}',
  'the revision says how it was made') FROM model_revisions WHERE revision_id = :four;
SELECT is(array_agg(DISTINCT layer_idx ORDER BY layer_idx), '{-1,0,1,2,3}', 'blocks are renumbered')
  FROM model_layers WHERE model_id = :m;
SELECT is(array_agg(DISTINCT note), '{"mine: blk.4.ffn_up.weight"}', 'with their own numbers and columns')
  FROM model_layers WHERE model_id = :m AND layer_name = 'blk.2.ffn_up.weight';
SELECT is(count(*), 0::bigint, 'no text is kept in the steps')
  FROM compression_steps WHERE arguments::text LIKE '%the-cat%';
SELECT is(perplexity(:m, story(), 32), perplexity(:s, story(), 32), 'it runs as its student');
SELECT is(round(perplexity(:m, story(), 32, 1)::numeric, 9),
  round(perplexity(import_gguf(:'original'::bytea, 'the same'), story(), 32)::numeric, 9),
  'and all six blocks still run');
SELECT is(kl_divergence > 0, true, 'which it can be compared with') FROM measure_accuracy(:m, story(), 32, NULL, 1);
SELECT is(array_agg(format('%s %s %s', layer_name, removed, added) ORDER BY layer_name),
  '{"blk.2.ffn_up.weight 24 0","blk.3.ffn_up.weight 24 0"}', 'removed blocks are a difference')
  FROM diff_revisions(1, :four) WHERE removed + added > 0 AND layer_name ~ 'ffn_up';
SELECT is(calibrated_revision(:m, :four, 'story'), NULL, 'and has no statistics yet');
CALL quantize_model(:m, 'F16', pure => true);
SELECT present(:m) AS half \gset
CALL remove_blocks(:m, blocks => '{3}');
SELECT present(:m) AS three \gset
SELECT export_gguf(:m) AS file_of_three \gset
SELECT is(size_of_blocks, 3, 'blocks can be removed again') FROM (
  SELECT gguf_value(metadata, 'llama.block_count')::text::integer AS size_of_blocks FROM models WHERE model_id = :m) t;
CALL archive_revision(1);
CALL restore_archived_revision(1);
SELECT results_eq('SELECT state FROM model_revisions WHERE revision_id = 1', $$VALUES ('backup')$$,
  'blocks that only a backup has are archived and restored with it');
SELECT rollback_model(:m, 1) \g /dev/null
SELECT is(structure(:m), :'structure', 'over three stages back everything is as it was imported');
SELECT is(md5(export_gguf(:m)), md5(:'original'::bytea), 'and so is the file');
SELECT is(faults(:m), NULL, 'without faults');
SELECT rollback_model(:m, :three) \g /dev/null
SELECT is(md5(export_gguf(:m)), md5(:'file_of_three'::bytea), 'and forward again');
SELECT is(faults(:m), NULL, 'without faults');
SELECT rollback_model(:m) \g /dev/null
SELECT is(present(:m), :half, 'one stage back');
SELECT is(faults(:m), NULL, 'without faults');
SELECT revision_recipe(:three) AS recipe \gset
SELECT is(array_agg(e - 'requantize' - 'layer_pattern'),
  ARRAY['{"stage": "remove_blocks", "blocks": [2, 3], "repair": true, "damping": 0.01, '
  '"calibration_set": "story"}', '{"stage": "quantize", "format": "F16", "pure": true}',
    '{"stage": "remove_blocks", "blocks": [3]}']::jsonb[], 'the recipe names the blocks')
  FROM jsonb_array_elements(:'recipe') e;
CREATE FUNCTION lib.same_for_all(model integer) RETURNS double precision LANGUAGE sql IMMUTABLE RETURN 1;
SELECT import_gguf(deep_gguf('{3}'), 'other') AS o \gset
CALL compress_model(:o, stages => :'recipe', evaluator => 'lib.same_for_all(integer)');
SELECT is(md5(export_gguf(:o)), md5(:'file_of_three'::bytea),
  'and makes the same of another model');
SELECT is(revision_recipe(present(:o)), :'recipe'::jsonb, 'with the same recipe');

-- Chosen blocks
SELECT import_gguf(deep_gguf('{3}'), 'idle') AS i \gset
CALL remove_blocks(:i, calibration_set => 'story');
SELECT is(blocks_gone(:i), '{3}', 'the block that does nothing has the least influence on a text');
SELECT rollback_model(:i) \g /dev/null
CALL remove_blocks(:i);
SELECT is(blocks_gone(:i), '{3}', 'and by weights');
CALL remove_blocks(:i, 2, protected_blocks => '{0}');
SELECT is(cardinality(blocks_gone(:i)), 2, 'several');
SELECT is(faults(:i), NULL, 'without faults');

-- Factored tensors have the new names, too.
SELECT import_gguf(deep_gguf('{}'), 'factored') AS f \gset
CALL svd_compress_model(:f, rank => 8, factor_format => 'F32');
CALL remove_blocks(:f, blocks => '{0}');
SELECT is(array_agg(concat_ws(' ', layer_name, problem)), NULL, 'factors belong to renamed tensors')
  FROM verify_svd(:f) WHERE problem IS NOT NULL;
SELECT is(array_agg(DISTINCT f.layer_name = l.layer_name), '{t}', 'and have their names')
  FROM svd_compressed_layers f JOIN model_layers l USING (layer_id)
 WHERE f.model_id = :f AND f.revision_id = present(:f);
SELECT is(faults(:f), NULL, 'without faults');

-- A network that cannot be run
SELECT import_safetensors(export_safetensors(:o), 'plain') AS p \gset
CALL remove_blocks(:p, blocks => '{1}');
SELECT is(array_agg(DISTINCT layer_idx ORDER BY layer_idx), '{-1,0,1}', 'other networks have blocks to remove, too')
  FROM model_layers WHERE model_id = :p;
SELECT is(faults(:p), NULL, 'without faults');

-- What cannot be
SELECT throws_ok(format('CALL remove_blocks(%s, %s)', :o, arguments), state, NULL, arguments)
  FROM (VALUES ('0', '22023'), ('3', '22023'), ('blocks => ''{}''', '22023'), ('blocks => ''{3}''', '22023'),
               ('blocks => ''{0,1,2}''', '22023'), ('1, blocks => ''{1}''', '22023'),
               ('blocks => ''{1,NULL}''', '22023'), ('1, repair => true', '22023'), ('1, n_ctx => 8', '22023'),
               ('1, calibration_set => ''none''', '42704'), ('1, dry_run => NULL', '22004')) v (arguments, state);
SELECT throws_ok('CALL remove_blocks(4711)', '42704', NULL, 'no such model');
SELECT throws_ok(format('CALL compress_model(%s, stages => %L, evaluator => ''lib.same_for_all(integer)'')', :o,
  '[{"stage": "remove_blocks", "blocks": 1}]'), '22023', NULL, 'blocks that are no list');

-- Importance does not follow from weights that were refitted. In this model it shows.
SELECT import_gguf(deep_gguf('{}'), 'refitted') AS refitted \gset
CALL collect_calibration(:refitted, 'story');
SELECT extract_by_neurons(:refitted, 0.75, 'refitted student', 4, 'story') AS s \gset
SELECT is(parameters ->> 'refit', 'true', 'a student is refitted') FROM model_history(:s);
SELECT is(faults(:s), NULL, 'and has no faults');
CALL remove_neurons(:refitted, 0.75, 4, 'story');
SELECT is(faults(:refitted), NULL, 'nor has a model that lost neurons');
SELECT * FROM finish();
ROLLBACK;
