-- Students: whole models of their own, made of a part of another; and what makes none.
BEGIN;
\ir lib/model_files.sql
SELECT plan(122);
-- Five blocks of a matrix that writes, one that does not, and a vector; lists with an entry a block, and others.
CREATE FUNCTION lib.deep_gguf(seed double precision, blocks integer DEFAULT 5) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN gguf(ROW('token_embd.weight', '{32,12}', 0, waves(12, 32, seed))::tensor || (SELECT array_agg(t ORDER BY b, k)
      FROM generate_series(0, blocks - 1) b, LATERAL (VALUES
        (1, ROW(format('blk.%s.attn_norm.weight', b), '{32}', 0, waves(1, 32, seed + b))::tensor),
        (2, ROW(format('blk.%s.attn_q.weight', b), '{32,10}', 0, waves(10, 32, seed + b + 10))::tensor),
        (3, ROW(format('blk.%s.ffn_down.weight', b), '{32,8}', 0, waves(8, 32, seed + b + 20))::tensor)) v (k, t))
      || ROW('output.weight', '{32,12}', 0, waves(12, 32, seed + 9))::tensor,
    ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', blocks),
      kv_u32('llama.context_length', 5),
      kv('llama.attention.head_count', 9, le(5, 4) || le(blocks, 8) || (SELECT string_agg(le(100 + b, 4), '' ORDER BY b)
        FROM generate_series(0, blocks - 1) b)),
      kv('llama.rope.dimension_sections', 9,
        le(5, 4) || le(blocks, 8) || (SELECT string_agg(le(b, 4), '') FROM generate_series(1,
          blocks) b)),
      kv('tokenizer.ggml.tokens', 9,
        le(8, 4) || le(5, 8) || str('a') || str('b') || str('c') || str('d') || str('e'))]);
SELECT import_gguf(deep_gguf(1), 'deep') AS p \gset
SELECT holds(:p) AS parent \gset

-- What a student must be, whatever it was made by: '' or what is wrong.
CREATE FUNCTION lib.wrong_with(student integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  parent integer := (SELECT parent_model_id FROM models WHERE model_id = student);
  file bytea := export_gguf(student);
  again integer;
  said text[] := '{}';
BEGIN
  said := said || ARRAY(SELECT concat_ws(' ', fault, object, detail) FROM check_model(student));
  IF (SELECT count(*) FROM tensor_atoms WHERE model_id = student) = 0 THEN said := said || 'it is empty'::text; END IF;
  IF parent IS NULL THEN said := said || 'it has no parent'::text; END IF;
  IF (SELECT array_agg(position ORDER BY position) FROM model_layers WHERE model_id = student) <>
     ARRAY(SELECT generate_series(0, (SELECT count(*)::int - 1 FROM model_layers WHERE model_id = student))) THEN
    said := said || 'positions are not in order'::text;
  END IF;
  IF (SELECT row(m.parameter_count, r.atom_count, r.logical_bytes, r.state, r.kind) IS DISTINCT FROM
        row(l.parameters, a.atoms, a.bytes, 'live'::text, 'import'::text)
        FROM models m JOIN model_revisions r ON r.revision_id = m.current_revision,
        (SELECT sum(parameter_count) AS parameters FROM model_layers WHERE model_id = student) l,
        (SELECT count(*) AS atoms, sum(weights_bytes(atom_data)) AS bytes FROM tensor_atoms WHERE model_id = student) a
       WHERE m.model_id = student) THEN said := said || 'its numbers are wrong'::text; END IF;
  IF EXISTS (
    SELECT FROM (SELECT layer_id, min(x) AS a, max(x) AS b, min(y) AS c, max(y) AS d FROM tensor_atoms WHERE model_id =
       student GROUP BY 1) e JOIN model_layers l USING (layer_id)
    WHERE (st_xmin(weights_geometry), st_xmax(weights_geometry),
       st_ymin(weights_geometry),
       st_ymax(weights_geometry)) IS DISTINCT FROM (a::float8, b::float8, c::float8, d::float8)) THEN
    said := said || 'an envelope is wrong'::text;
  END IF;
  BEGIN
    again := import_gguf(file, 'again');
    IF export_gguf(again) <> file THEN said := said || 'its file does not come out as it went in'::text; END IF;
    IF (SELECT gguf_value(metadata, 'llama.block_count')::int FROM models WHERE model_id = again)
      <> block_count(again) THEN said :=
      said || 'the header does not agree with the tensors'::text; END IF;
    IF (SELECT array_agg((layer_name, tensor_shape, layer_idx)::text ORDER BY position) FROM model_layers
      WHERE model_id = again) <>
       (SELECT array_agg((layer_name, tensor_shape, layer_idx)::text ORDER BY position) FROM model_layers
         WHERE model_id = student) THEN
      said := said || 'the file has other tensors'::text; END IF;
    RAISE EXCEPTION 'undone' USING ERRCODE = 'HT000';
  EXCEPTION WHEN SQLSTATE 'HT000' THEN
  END;
  RETURN array_to_string(said, '; ');
END $$;
-- Atoms of a model by the names and rows they had in a parent of which `blocks` were kept.
CREATE FUNCTION lib.atoms_as(model integer, blocks integer[])
  RETURNS TABLE (t text, s integer, h bytea, x real, y real, z real)
  LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY SELECT CASE WHEN l.layer_idx < 0 THEN a.tensor_name
    ELSE regexp_replace(a.tensor_name, '\d+', blocks[l.layer_idx + 1]::text)
    END, a.atom_sequence, a.content_hash, a.x, a.y, a.importance_score
    FROM tensor_atoms a JOIN model_layers l USING (layer_id) WHERE a.model_id = model;
END $$;

-- By importance: the atoms that pruning would leave
SELECT extract_by_importance(:p, 0.4) AS s \gset
SELECT is(wrong_with(:s), '', 'by importance');
SELECT is(model_name || ' ' || model_type || ' ' || parent_model_id, 'deep_Student_40% student_transformer ' || :p,
  'its name and lineage') FROM models WHERE model_id = :s;
SELECT is(parameters,
  jsonb_build_object('strategy', 'importance', 'target_size_ratio', 0.4, 'scope', 'tensor', 'include_embeddings', false,
    'parent_model', :p,
    'parent_revision', present(:p)), 'what it was made of') FROM model_history(:s);
CREATE TABLE lib.pruned AS SELECT 'tensor' AS scope, a.* FROM atoms_as(:p, NULL) a WHERE false;
CALL prune_by_importance(:p, keep_ratio => 0.4);
INSERT INTO lib.pruned SELECT 'tensor', a.* FROM atoms_as(:p, '{0,1,2,3,4}') a;
SELECT extract_by_importance(:p, 0.4, 'of the pruned') AS of_pruned \gset
SELECT bag_eq(format('SELECT * FROM atoms_as(%s, ''{0,1,2,3,4}'')', :of_pruned),
  'SELECT t, s, h, x, y, z FROM lib.pruned',
  'a share of what a pruned parent once had');
SELECT rollback_model(:p) \g /dev/null
CALL prune_by_importance(:p, keep_ratio => 0.4, scope => 'model');
INSERT INTO lib.pruned SELECT 'model', a.* FROM atoms_as(:p, '{0,1,2,3,4}') a;
SELECT rollback_model(:p) \g /dev/null
SELECT bag_eq(format('SELECT * FROM atoms_as(%s, ''{0,1,2,3,4}'')', :s),
  'SELECT t, s, h, x, y, z FROM lib.pruned WHERE scope = ''tensor''',
  'it has the atoms that pruning leaves');
SELECT extract_by_importance('deep', 0.4, 'ranked', scope => 'model') AS s \gset
SELECT bag_eq(format('SELECT * FROM atoms_as(%s, ''{0,1,2,3,4}'')', :s),
  'SELECT t, s, h, x, y, z FROM lib.pruned WHERE scope = ''model''',
  'or one ranking over all');
SELECT extract_by_importance('deep', 0.4, 'all of it', include_embeddings => true) AS s \gset
CALL prune_by_importance(:p, keep_ratio => 0.4, include_embeddings => true);
SELECT bag_eq(format('SELECT * FROM atoms_as(%s, ''{0,1,2,3,4}'')', :s),
  format('SELECT * FROM atoms_as(%s, ''{0,1,2,3,4}'')', :p),
  'embeddings and output, too, when they are asked for');
SELECT rollback_model(:p) \g /dev/null
SELECT import_gguf(gguf(ARRAY[ROW('token_embd.weight', '{8,10}', 0, waves(10, 8, 1))::tensor]), 'words') AS words \gset
SELECT throws_ok(format('SELECT extract_by_importance(%s, 0.5)', :words), '22023', NULL,
  'a model of embeddings alone is not copied whole');
SELECT is(wrong_with(extract_by_importance(:p, ratio, 'r' || ratio)), '', 'ratio ' || ratio)
  FROM unnest('{1,0.999,0.12}'::float8[]) ratio;
SELECT ok(export_gguf(model_id('r1')) = deep_gguf(1), 'all of it is the same file');
SELECT throws_ok(format('SELECT extract_by_importance(%s, 0.01, ''none'')', :p), '22023', NULL,
  'too little to leave anything')
  WHERE NOT EXISTS (SELECT FROM prune_plan(:p, 0.01) WHERE atoms_after > 0);

-- By layers
CREATE FUNCTION lib.blocks_of(student integer) RETURNS integer[] LANGUAGE sql VOLATILE
  AS $$ SELECT array_agg(b::int) FROM model_revisions r JOIN models m ON m.current_revision = r.revision_id,
    jsonb_array_elements_text(r.parameters -> 'blocks') b WHERE m.model_id = student $$;
SELECT extract_by_layers(:p, 2) AS s \gset
SELECT is(wrong_with(:s), '', 'the first layers');
SELECT is(model_name, 'deep_Student_L2', 'their name') FROM models WHERE model_id = :s;
SELECT is(lib.blocks_of(:s), '{0,1}', 'are the first two');
SELECT bag_eq(format('SELECT * FROM atoms_as(%s, ''{0,1}'')', :s),
  format('SELECT * FROM atoms_as(%s, ''{0,1,2,3,4}'') WHERE t !~ ''[234]''',
    :p), 'with all their atoms, and all outside blocks');
SELECT is(gguf_value(metadata, key), value::jsonb, key) FROM models, (VALUES ('llama.block_count', '2'),
  ('llama.attention.head_count', '[100, 101]'), ('llama.context_length', '5'),
  ('llama.rope.dimension_sections', '[1, 2, 3, 4, 5]'), ('tokenizer.ggml.tokens', '["a", "b", "c", "d", "e"]')
) v (key, value) WHERE model_id = :s;
SELECT is(array_agg(layer_idx ORDER BY layer_idx), '{0,1,2,3,4}', 'a row a block') FROM block_influence(:p);
SELECT is(round(influence::numeric, 3),
  (SELECT round(sqrt(sum(weights_count(atom_data) * weights_rms(atom_data) ^ 2))::numeric, 3)
  FROM tensor_atoms WHERE model_id = :p AND tensor_name = 'blk.3.ffn_down.weight'),
  'influence is of the matrix that writes')
  FROM block_influence(:p) WHERE layer_idx = 3;
UPDATE tensor_atoms SET atom_data
  = array_fill(CASE tensor_name WHEN 'blk.3.ffn_down.weight' THEN 100 ELSE 0.001 END::real, ARRAY[32])
  WHERE model_id = :p AND tensor_name LIKE '%ffn_down%';
SELECT extract_by_layers(:p, 4, 'influence', 'strong') AS s \gset
SELECT is(lib.blocks_of(:s), '{0,1,3,4}', 'by influence: the protected and the strongest');
SELECT is(wrong_with(:s), '', 'whole');
SELECT bag_eq(format('SELECT * FROM atoms_as(%s, ''{0,1,3,4}'')', :s),
  format('SELECT * FROM atoms_as(%s, ''{0,1,2,3,4}'') WHERE t !~ ''2''',
    :p), 'with their atoms under new numbers');
SELECT is(gguf_value(metadata, 'llama.attention.head_count'), '[100, 101, 103, 104]', 'and their entries') FROM models
  WHERE model_id = :s;
SELECT is(lib.blocks_of(extract_by_layers(:p, 1, 'influence', 'strongest', protected_blocks => '{}')), '{3}',
  'none protected');
SELECT is(lib.blocks_of(extract_by_layers(:p, 2, 'influence', 'four', '{4}')), '{3,4}', 'one protected');
SELECT is(lib.blocks_of(extract_by_layers('deep', 5, 'influence')), '{0,1,2,3,4}', 'all of them');
SELECT rollback_model(:p, backup_model(:p)) \g /dev/null

-- By place
SELECT extract_by_spatial_region(:p, 30, 70, 20, 100, -1, 10, 'window') AS s \gset
SELECT is(wrong_with(:s), '', 'a window');
SELECT bag_eq(format('SELECT * FROM atoms_as(%s, ''{0,1,2,3,4}'')', :s),
  format($$SELECT * FROM atoms_as(%s, '{0,1,2,3,4}') WHERE t LIKE '%%norm%%'
  OR x BETWEEN 30 AND 70 AND y BETWEEN 20 AND 100 AND z BETWEEN -1 AND 10$$, :p),
  'has what lies in it, and the vectors');
SELECT x AS at_x, y AS at_y, importance_score AS at_z FROM tensor_atoms WHERE model_id = :p
  AND tensor_name = 'output.weight'
  AND atom_sequence = 4 \gset
SELECT extract_by_spatial_region('deep', :at_x, :at_x, :at_y, :at_y, :at_z, :at_z) AS s \gset
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :s AND tensor_name NOT LIKE '%norm%'), 1::bigint,
  'faces are in it');
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :s AND tensor_name LIKE '%norm%'), 5::bigint,
  'vectors stay whole');
SELECT is(model_name,
  format('deep_Student_Region_%s_%s_%s_%s_%s_%s', :at_x::real, :at_x::real, :at_y::real, :at_y::real, :at_z::real,
    :at_z::real), 'its name') FROM models WHERE model_id = :s;
SELECT extract_by_spatial_region(:p, 0, 100, 0, 100) AS s \gset
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :s), (SELECT count(*)
  FROM tensor_atoms WHERE model_id = :p), 'the whole space is the whole model');

-- A subset, a threshold
SELECT extract_student_model(:p, '{1,0,2}', new_model_name => 'subset') AS s \gset
SELECT is(lib.blocks_of(:s), '{0,1,2}', 'a subset in any order');
SELECT is(wrong_with(:s), '', 'is whole');
SELECT extract_student_model(:p, '{4,2}', 0, renumber => true) AS s \gset
SELECT is(wrong_with(:s), '', 'a subset with a gap that is closed, and a threshold');
SELECT bag_eq(format('SELECT * FROM atoms_as(%s, ''{2,4}'')', :s),
  format($$SELECT * FROM atoms_as(%s, '{0,1,2,3,4}') WHERE t !~ '[013]' AND (z >=
  0 OR t IN ('token_embd.weight', 'output.weight'))$$, :p), 'has what it should');
SELECT extract_student_model(:p, '{2}', 0, 'cut through', renumber => true, include_embeddings => true) AS through \gset
SELECT bag_eq(format('SELECT * FROM atoms_as(%s, ''{2}'')', :through),
  format($$SELECT * FROM atoms_as(%s, '{0,1,2,3,4}') WHERE t !~ '[0134]' AND z >= 0$$,
    :p), 'embeddings and output, too, when they are asked for');
SELECT is(model_name, 'deep_Student_B2_4_Z0', 'its name') FROM models WHERE model_id = :s;
SELECT extract_student_model('deep') AS s \gset
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :s), (SELECT count(*) FROM tensor_atoms
  WHERE model_id = :p), 'nothing said: a whole copy');

-- The original design's three
SELECT is(wrong_with(dynamic_student_extraction(:p, strategy)), '', 'dynamic: ' || strategy)
  FROM unnest('{layer,importance,spatial}'::text[])
  strategy;
SELECT set_has('SELECT model_name FROM models',
  format('SELECT ''Student_%s_'' || s || ''_50pct'' FROM unnest(''{layer,importance,spatial}''::text[]) s',
    :p), 'their names');
SELECT dynamic_student_extraction('deep', 'layer', 0.41) AS s, dynamic_student_extraction('deep', 'layer', 0.2) AS s2
  \gset
SELECT is(block_count(:s), 3, 'layers are rounded up');
SELECT is(block_count(:s2), 1, 'but not one too many');
SELECT ok(n BETWEEN 57 AND 58, 'half of 114 lie in the middle: ' || n)
  FROM (SELECT count(*) AS n FROM tensor_atoms WHERE model_id =
  model_id(format('Student_%s_spatial_50pct', :p)) AND tensor_name NOT LIKE '%norm%') a;

-- Models without blocks, of the other container; atoms smaller than rows
SELECT import_safetensors(safetensors(ARRAY[ROW('fc.weight', 'F32', '{10,32}', waves(10, 32, 1))::st_tensor,
  ROW('model.layers.0.mlp.up_proj.weight', 'F32', '{6,32}', waves(6, 32, 2))::st_tensor,
  ROW('model.layers.1.mlp.up_proj.weight', 'F32',
    '{6,32}', waves(6, 32, 3))::st_tensor]), 'st') AS st \gset
SELECT extract_student_model(:st, '{1}', renumber => true) AS s \gset
SELECT import_safetensors(export_safetensors(:s), 'st again') AS st2 \gset
SELECT ok(export_safetensors(:s) = safetensors(ARRAY[ROW('fc.weight', 'F32', '{10,32}', waves(10, 32, 1))::st_tensor,
  ROW('model.layers.0.mlp.up_proj.weight', 'F32', '{6,32}', waves(6, 32, 3))::st_tensor])
  OR (SELECT array_agg(layer_name ORDER BY position)
  FROM model_layers WHERE model_id = :st2) = '{fc.weight,model.layers.0.mlp.up_proj.weight}',
  'a safetensors model exports with new names');
SELECT import_gguf(deep_gguf(2), 'cut', 8) AS cut \gset
SELECT is(wrong_with(extract_by_importance(:cut, 0.3)), '', 'atoms that are pieces of rows');

-- A student is a model like any other, and its parent is as it was
SELECT model_id('subset') AS s, holds(model_id('subset')) AS before \gset
CALL prune_by_importance(:s, keep_ratio => 0.5, method => 'in_place');
CALL quantize_model(:s, 'Q8_0');
SELECT is(wrong_with(extract_by_layers(:s, 2, new_model_name => 'grandchild')), '', 'a student of a student');
SELECT rollback_model(:s, (SELECT min(revision_id) FROM model_revisions WHERE model_id = :s)) \g /dev/null
SELECT is(holds(:s), :'before', 'is rolled back');
SELECT is(rollback_model(:p, (SELECT min(revision_id) FROM model_revisions WHERE model_id = :p)) > 0, true,
  'the parent goes back');
ALTER TABLE tensor_atoms ADD COLUMN note text DEFAULT 'none';
UPDATE tensor_atoms SET note = 'n' || atom_sequence WHERE model_id = :p;
SELECT extract_by_layers(:p, 3, new_model_name => 'noted') AS s \gset
SELECT is((SELECT count(*) FROM tensor_atoms WHERE model_id = :s AND note = 'n' || atom_sequence),
  (SELECT atom_count FROM model_revisions
  WHERE revision_id = present(:s)), 'columns of the user''s come along');
DELETE FROM tensor_atoms WHERE model_id = :p AND atom_sequence = 3;
SELECT is(wrong_with(extract_by_layers(:p, 3, new_model_name => 'sparse')), '', 'of a parent that is sparse');

-- What makes no student leaves nothing
CREATE FUNCTION lib.fails(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE before text := store_state(); state text;
BEGIN
  BEGIN
    EXECUTE statement;
    state := '00000';
  EXCEPTION WHEN OTHERS THEN
    state := SQLSTATE;
  END;
  RETURN state || CASE WHEN store_state() <> before THEN ', but something is left' ELSE '' END;
END $$;
SELECT is(fails(replace(statement, '$p', :'p')), state, statement) FROM (VALUES
  ('SELECT extract_by_importance($p, 0)', '22023'), ('SELECT extract_by_importance($p, -0.5)', '22023'),
  ('SELECT extract_by_importance($p, 1.01)', '22023'), ('SELECT extract_by_importance($p, ''NaN'')', '22023'),
  ('SELECT extract_by_importance($p, NULL)', '22023'),
  ('SELECT extract_by_importance($p, 0.5, scope => ''layer'')', '22023'),
  ('SELECT extract_by_importance($p, 0.5, scope => NULL)', '22023'),
  ('SELECT extract_by_importance($p, 0.5, '''')', '22023'),
  ('SELECT extract_by_importance($p, 0.5, ''subset'')', '42710'), ('SELECT extract_by_importance(9999, 0.5)', '42704'),
  ('SELECT extract_by_importance(NULL::int, 0.5)', '42704'), ('SELECT extract_by_importance(''nobody'', 0.5)', '42704'),
  ('SELECT extract_by_layers($p, 0)', '22023'), ('SELECT extract_by_layers($p, 6)', '22023'),
  ('SELECT extract_by_layers($p, NULL)', '22023'), ('SELECT extract_by_layers($p, 2, ''last'')', '22023'),
  ('SELECT extract_by_layers($p, 2, NULL)', '22023'), ('SELECT extract_by_layers($p, 2, ''influence'')', '22023'),
  ('SELECT extract_by_layers(''r1'', 1, ''influence'', protected_blocks => ''{1,2}'')', '22023'),
  ('SELECT extract_by_layers(9999, 2)', '42704'), ('SELECT extract_by_spatial_region($p, 200, 300, 0, 100)', '22023'),
  ('SELECT extract_by_spatial_region($p, 50, 50, 50, 50, 10, 10)', '22023'),
  ('SELECT extract_by_spatial_region($p, 60, 40, 0, 100)', '22023'),
  ('SELECT extract_by_spatial_region($p, 0, 100, 0, ''NaN'')', '22023'),
  ('SELECT extract_by_spatial_region($p, 0, 100, NULL, 100)', '22023'),
  ('SELECT extract_by_spatial_region(9999, 0, 100, 0, 100)', '42704'),
  ('SELECT extract_student_model($p, ''{0,1,3}'')', '22023'), ('SELECT extract_student_model($p, ''{1}'')', '22023'),
  ('SELECT extract_student_model($p, ''{}'')', '22023'), ('SELECT extract_student_model($p, ''{0,0}'')', '22023'),
  ('SELECT extract_student_model($p, ''{0,NULL}'')', '22023'), ('SELECT extract_student_model($p, ''{0,5}'')', '22023'),
  ('SELECT extract_student_model($p, ''{-1,0}'')', '22023'),
  ('SELECT extract_student_model($p, ''{0,5}'', renumber => true)', '22023'),
  ('SELECT extract_student_model($p, NULL, 11)', '22023'), ('SELECT extract_student_model($p, NULL, ''NaN'')', '22023'),
  ('SELECT extract_student_model(9999)', '42704'),
  ('SELECT extract_student_model(model_id(''st''), ''{2}'', renumber => true)', '22023'),
  ('SELECT dynamic_student_extraction($p, ''layers'')', '22023'),
  ('SELECT dynamic_student_extraction($p, NULL)', '22023'),
  ('SELECT dynamic_student_extraction($p, ''layer'', 0)', '22023'),
  ('SELECT dynamic_student_extraction($p, ''layer'', 1.5)', '22023'),
  ('SELECT dynamic_student_extraction(9999, ''layer'')', '42704'),
  ('SELECT dynamic_student_extraction(''nobody'', ''layer'')', '42704'),
  ('SELECT * FROM block_influence(9999)', '42704'), ('SELECT block_count(9999)', '42704')) v (statement, state);
SELECT import_gguf(gguf(ARRAY[ROW('a.weight', '{8,4}', 0, waves(4, 8, 1))::tensor]), 'flat') AS flat \gset
SELECT throws_ok(format('SELECT extract_by_layers(%s, 1)', :flat), '22023',
  'model "flat" has no numbered blocks to choose from',
  'a model without blocks has no layers to take');
SELECT throws_ok(format('SELECT dynamic_student_extraction(%s, ''layer'')', :flat), '22023', NULL,
  'nor a share of them');
SELECT is(block_count(:flat), 0, 'block_count() of it');
SELECT lives_ok(format('SELECT extract_by_importance(%s, 0.5)', :flat), 'but the most important atoms it has');
CREATE ROLE student_stranger;
GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO student_stranger;
SELECT is((state_as('student_stranger', format('SELECT extract_by_importance(%s, 0.5)', :p))).state, '42501',
  'a reader makes none');

-- A parent that lacks a block itself: its students do not
SELECT import_gguf(
  gguf((SELECT array_agg(ROW(format('blk.%s.ffn_up.weight', n), '{32,6}', 0, waves(6, 32, n))::tensor ORDER BY n)
    FROM unnest('{0,1,3,4}'::int[]) n),
    ARRAY[kv_text('general.architecture', 'llama'), kv_u32('llama.block_count', 5)]), 'gap') AS gap \gset
SELECT is(model_blocks(:gap), '{0,1,3,4}', 'model_blocks()');
SELECT is(model_blocks(:flat), '{}', 'model_blocks() of none');
SELECT extract_by_layers(:gap, 3) AS s, extract_by_layers(:gap, 4, 'influence') AS s2,
  extract_student_model(:gap, '{0,3}', renumber => true) AS s3 \gset
SELECT is(wrong_with(s), '', 'a gap is closed') FROM unnest(ARRAY[:s, :s2, :s3]) s;
SELECT is(lib.blocks_of(:s), '{0,1,3}', 'the first there are');
SELECT throws_ok(format('SELECT extract_student_model(%s, ''{0,2}'', renumber => true)', :gap), '22023', NULL,
  'what it lacks cannot be taken');
SELECT throws_ok(format('SELECT extract_by_layers(%s, 5)', :gap), '22023', NULL, 'nor so many');

-- The example model
SELECT import_gguf(example_model(), 'example') AS example WHERE :'has_example_model' \gset
\if :has_example_model
SELECT is(wrong_with(extract_by_importance(:example, 0.4)), '', 'the example by importance');
SELECT is(wrong_with(extract_by_layers(:example, 2)), '', 'its first layers');
SELECT is(wrong_with(extract_by_layers(:example, 1, 'influence', protected_blocks => '{}')), '',
  'its most influential');
SELECT is(wrong_with(dynamic_student_extraction(:example, 'spatial', 0.3)), '', 'its middle');
SELECT throws_ok(format('SELECT extract_by_layers(%s, 2, ''influence'')', :example), '22023',
  '2 blocks are fewer than the 3 that are protected',
  'of three blocks all are protected');
\endif

SELECT is_empty(
  $$SELECT without_comment('check_ratio', 'block_count', 'model_blocks', 'block_influence', 'student_metadata',
    'lock_parent', 'student_tensors',
    'copy_student_tensors', 'create_student', 'describe_student', 'student_name', 'student_plan',
    'extract_by_importance',
    'influential_blocks', 'extract_by_layers', 'extract_by_spatial_region', 'extract_student_model', 'central_region',
    'dynamic_student_extraction', 'region', 'region_geometry', 'in_region')$$, 'every function has a comment');
SELECT * FROM finish();
ROLLBACK;
