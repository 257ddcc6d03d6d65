-- How much blocks change the states of tokens, and students without those that change them least.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/deep_model.sql
SELECT plan(28);
SELECT import_gguf(deep_gguf('{3}'), 'deep') AS m \gset
SELECT is(array_agg(layer_idx ORDER BY layer_idx), '{0,1,2,3,4,5}', 'a row a block') FROM block_influence(:m, story());
SELECT ok(bool_and((influence = 0) = (layer_idx = 3) AND influence < 2), 'a block that writes nothing has none')
  FROM block_influence(:m, story());
SELECT is(array_agg(layer_idx), '{0,4}', 'only some of the blocks')
  FROM block_influence(:m, story(), blocks => '{0,4}');
SELECT isnt((SELECT influence FROM block_influence(:m, story()) WHERE layer_idx = 4),
  (SELECT influence FROM block_influence(:m, story(), blocks => '{0,4}') WHERE layer_idx = 4),
  'the others are left out then');
SELECT isnt((SELECT influence FROM block_influence(:m, story(), 8) WHERE layer_idx = 4),
  (SELECT influence FROM block_influence(:m, story(), 16) WHERE layer_idx = 4), 'windows are as long as asked for');
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT ok(max(abs(influence / (SELECT influence FROM block_influence(:m, repeat(story(), 30)) o
    WHERE o.layer_idx = i.layer_idx) - 1)) < 1e-6, 'little memory gives the same')
  FROM block_influence(:m, repeat(story(), 30)) i WHERE influence > 0;
RESET hartonomous.max_work_memory;

-- Students
SELECT extract_by_layers(:m, 5, 'influence', 'five', corpus => story()) AS s \gset
SELECT is(blocks_of(:s), '{0,1,2,4,5}', 'the block without influence goes first');
SELECT is(perplexity(:s, story(), 32), perplexity(:m, story(), 32), 'and is not missed');
SELECT is(parameters ->> 'corpus_sha256', encode(sha256(story()::bytea), 'hex'), 'the history tells the corpus')
  FROM model_history(:s);
-- What is removed next is what has the least influence when block 3 is gone.
CREATE FUNCTION lib.next_of(model integer, kept integer[], protected integer[]) RETURNS integer[]
LANGUAGE sql VOLATILE AS $$
  SELECT array_remove(kept, (SELECT layer_idx FROM block_influence(model, story(), blocks => kept)
                              WHERE layer_idx <> ALL (protected) ORDER BY influence LIMIT 1)) $$;
SELECT is(blocks_of(extract_by_layers(:m, 4, 'influence', 'four', '{}', story())),
  next_of(:m, '{0,1,2,4,5}', '{}'), 'influence is measured again after each removal');
SELECT is(blocks_of(extract_by_layers(:m, 3, 'influence', 'three', '{}', story())),
  next_of(:m, next_of(:m, '{0,1,2,4,5}', '{}'), '{}'), 'and again');
SELECT is(blocks_of(extract_by_layers(:m, 4, 'influence', 'protected', corpus => story())), '{0,1,4,5}',
  'the first two and the last two blocks are protected');
SELECT is(blocks_of(extract_by_layers(:m, 1, 'influence', 'one', '{2}', story())), '{2}', 'unless others are');
SELECT is(blocks_of(extract_by_layers(:m, 6, 'influence', 'all', '{}', story())), '{0,1,2,3,4,5}',
  'all blocks need no measurement');

-- Requests that make no sense
SELECT throws_ok(format('SELECT block_influence(%s, %s)', :m, arguments), state, NULL, arguments)
  FROM (VALUES ('NULL::text', '22004'), ('''abc'', 65', '22023'), ('''abc'', -1', '22023'),
               ('''abc'', NULL, ''{6}''', '22023'), ('''abc'', NULL, ''{-1}''', '22023'),
               ('''abc'', NULL, ''{NULL}''', '22004')) v (arguments, state);
SELECT throws_ok('SELECT block_influence(999, ''abc'')', '42704', NULL, 'no such model');
SELECT throws_ok(format('SELECT block_influence(%s, ''abc'')', import_gguf(little_gguf(), 'mute')), state, NULL,
  'a model that cannot be run') FROM (VALUES ('55000')) v (state);
SELECT throws_ok(format('SELECT extract_by_layers(%s, 3, ''influence'', corpus => ''abc'')', :m), '22023',
  '3 blocks are fewer than the 4 that are protected', 'too few blocks');
SELECT throws_ok(
  format('SELECT extract_by_layers(%s, 3, ''influence'', protected_blocks => ''{7}'', corpus => ''abc'')', :m),
  '22023', NULL, 'a block to protect that does not exist');
SELECT throws_ok(format('SELECT extract_by_layers(%s, 3, corpus => ''abc'', repair => false)', :m), '22023',
  'the first blocks are chosen without a corpus', 'the first blocks by a corpus');
SELECT throws_ok(format('SELECT extract_by_layers(%s, 3, ''influence'', n_ctx => 8)', :m), '22023',
  'n_ctx needs a corpus', 'windows of no corpus');
SELECT throws_ok(format('SELECT block_influences(%s, ''abc'', NULL, NULL)', :m), '22004', NULL, 'no blocks');
SELECT is((SELECT count(*) FROM block_influence(:m, 'abc', blocks => '{}')), 0::bigint, 'none of the blocks');
SELECT * FROM finish();
ROLLBACK;
