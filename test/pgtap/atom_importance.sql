-- The importance of atoms from calibration, and the refit of what stays when atoms are pruned, compared with dense
-- systems that are solved by elimination.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/structured_model.sql
SELECT plan(102);
SET LOCAL client_min_messages = warning;

-- The solution of a x = b, by elimination without pivots: a is positive definite.
CREATE FUNCTION lib.solve(a float8[], b float8[]) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  n integer := cardinality(b);
  factor float8;
BEGIN
  FOR k IN 1 .. n LOOP
    FOR i IN k + 1 .. n LOOP
      factor := a[i][k] / a[k][k];
      FOR j IN k .. n LOOP a[i][j] := a[i][j] - factor * a[k][j]; END LOOP;
      b[i] := b[i] - factor * b[k];
    END LOOP;
  END LOOP;
  FOR k IN REVERSE n .. 1 LOOP
    FOR j IN k + 1 .. n LOOP b[k] := b[k] - a[k][j] * b[j]; END LOOP;
    b[k] := b[k] / a[k][k];
  END LOOP;
  RETURN b;
END $$;
-- H of a tensor's input: its Gram matrix, with the share of the mean added to the diagonal.
CREATE FUNCTION lib.hessian(model integer, tensor text, revision integer, damping float8) RETURNS float8[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
  upper real[] := gram_matrix(model, tensor, 'story', revision);
  n integer := (SELECT row_length FROM model_layers WHERE model_id = model AND layer_name = tensor);
  h float8[] := array_fill(0::float8, ARRAY[n, n]);
  at integer := 0;
  trace float8 := 0;
BEGIN
  FOR i IN 1 .. n LOOP
    FOR j IN i .. n LOOP
      at := at + 1;
      h[i][j] := upper[at];
      h[j][i] := upper[at];
    END LOOP;
    trace := trace + h[i][i];
  END LOOP;
  FOR i IN 1 .. n LOOP h[i][i] := h[i][i] + damping * trace / n; END LOOP;
  RETURN h;
END $$;
-- The row without some columns (from 1 on), with the others such that (w - v) H (w - v) is least.
CREATE FUNCTION lib.refitted(h float8[], w float8[], gone integer[]) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  n integer := cardinality(w);
  kept integer[] := ARRAY(SELECT i FROM generate_series(1, n) i WHERE i <> ALL (gone));
  size integer := cardinality(kept);
  a float8[] := array_fill(0::float8, ARRAY[size, size]);
  b float8[] := array_fill(0::float8, ARRAY[size]);
  v float8[] := array_fill(0::float8, ARRAY[n]);
  x float8[];
BEGIN
  FOR i IN 1 .. size LOOP
    FOR j IN 1 .. size LOOP a[i][j] := h[kept[i]][kept[j]]; END LOOP;
    FOR j IN 1 .. n LOOP b[i] := b[i] + h[kept[i]][j] * w[j]; END LOOP;
  END LOOP;
  x := solve(a, b);
  FOR i IN 1 .. size LOOP v[kept[i]] := x[i]; END LOOP;
  RETURN v;
END $$;
CREATE FUNCTION lib.loss(h float8[], w float8[], v float8[]) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  sum float8 := 0;
BEGIN
  FOR i IN 1 .. cardinality(w) LOOP
    FOR j IN 1 .. cardinality(w) LOOP sum := sum + (w[i] - v[i]) * h[i][j] * (w[j] - v[j]); END LOOP;
  END LOOP;
  RETURN sum;
END $$;
CREATE FUNCTION lib.row_of(model integer, tensor text, number integer) RETURNS float8[] LANGUAGE sql VOLATILE
  AS $$ SELECT part(model, tensor, ARRAY[number])::float8[] $$;
CREATE FUNCTION lib.importances(model integer, tensor text) RETURNS real[] LANGUAGE sql VOLATILE AS $$
  SELECT array_agg(importance_score ORDER BY atom_sequence) FROM tensor_atoms
   WHERE model_id = model AND tensor_name = tensor $$;
-- The largest difference between the importances of a tensor and the standardized logarithms of these numbers.
CREATE FUNCTION lib.difference(model integer, tensor text, numbers float8[]) RETURNS float8 LANGUAGE sql VOLATILE AS $$
  SELECT max(abs(i - (ln(v) - s.mean) / s.deviation))
    FROM unnest(importances(model, tensor), numbers) u (i, v),
         (SELECT avg(ln(v)) AS mean, stddev_pop(ln(v)) AS deviation FROM unnest(numbers) v) s $$;
CREATE FUNCTION lib.places(model integer) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT md5(string_agg(concat_ws(' ', tensor_atom_id, x, y, importance_score, hilbert_index,
           st_astext(weights_geometry)), ',' ORDER BY tensor_atom_id)) FROM tensor_atoms WHERE model_id = model $$;

SELECT import_gguf(structured_gguf(), 'whole', 4) AS m \gset
SELECT present(:m) AS r1, places(:m) AS imported, holds(:m) AS before, export_gguf(:m) AS file \gset
SELECT add_calibration_set('story', story()) \g /dev/null

-- ---- without calibration ----------------------------------------------------------------------------------------
SELECT throws_ok(format('CALL calibrate_importance(%s, %s)', :m, arguments), state, message, arguments)
  FROM (VALUES
    ('NULL', '22023', 'unknown method "NULL"'),
    ('''hessian''', '22023', 'unknown method "hessian"'),
    ('''obs''', '55000', 'model "whole" has no calibration statistics'),
    ('''wanda'', ''none''', '55000', 'model "whole" has no calibration statistics of calibration set "none"'),
    ('''usage''', '55000', 'it is not known how often the atoms of model "whole" are used'),
    ('''magnitude'', ''story''', '22023', 'method "magnitude" uses no calibration set'),
    ('''usage'', calibration_revision => 1', '22023', 'method "usage" uses no calibration set'),
    ('''wanda'', damping => 0.1', '22023', 'damping is for the method "obs" only'),
    ('''obs'', damping => 0', '22023', 'damping must be above 0 and at most 1, not 0'),
    ('''obs'', damping => ''NaN''', '22023', 'damping must be above 0 and at most 1, not NaN'),
    ('''magnitude'', layer_pattern => NULL', '22004', 'layer_pattern cannot be NULL'),
    ('''magnitude'', layer_pattern => ''x%''', '22023', NULL),
    ('''magnitude'', layer_pattern => ''%norm%''', '22023',
      'the atoms of no tensor of model "whole" that matches "%norm%" can be scored')) v (arguments, state, message);
SELECT throws_ok('CALL calibrate_importance(0, ''magnitude'')', '42704', NULL, 'no such model');
CALL calibrate_importance(:m, 'magnitude');
SELECT is(places(:m), :'imported', 'by magnitude, importance is that of the import, and so are positions');
SELECT is(stage || ' ' || parameters, 'calibrate_importance {"method": "magnitude", "layer_pattern": "%"}',
  'a stage with its parameters') FROM model_revisions WHERE revision_id = present(:m);
SELECT rollback_model(:m) \g /dev/null

-- ---- Wanda ------------------------------------------------------------------------------------------------------
CALL collect_calibration(:m, 'story', statistics => 'diagonal');
SELECT throws_ok(format('CALL calibrate_importance(%s, ''obs'')', :m), '55000',
  format('calibration set "story" has no Gram matrices of revision %s of model "whole"', :r1),
  'saliency needs Gram matrices');
SELECT throws_ok(format('CALL prune_by_importance(%s, 0.5, refit => true)', :m), '55000', NULL, 'and so does a refit');
CALL calibrate_importance(:m, 'wanda');
SELECT ok(difference(:m, tensor, ARRAY(
    SELECT sum(w::float8 * w * s[(n - 1) % row_length + 1])
      FROM unnest(tensor_weights(:m, tensor)::real[]) WITH ORDINALITY u (w, n)
     GROUP BY (n - 1) / 4 ORDER BY (n - 1) / 4)) < 1e-4, 'the energies of the atoms of ' || tensor)
  FROM (VALUES ('blk.0.attn_k.weight'), ('blk.0.ffn_down.weight')) v (tensor)
  JOIN model_layers l ON l.model_id = :m AND l.layer_name = tensor
  JOIN (SELECT layer_id, sums_of_squares::real[] AS s FROM calibration_stats) c USING (layer_id);
SELECT isnt(places(:m), :'imported', 'positions follow');
SELECT is(count(*), 0::bigint, 'the point and the place on the curve are those of the new importance') FROM tensor_atoms
 WHERE model_id = :m AND (st_z(weights_geometry)::real <> importance_score
   OR hilbert_index IS DISTINCT FROM hilbert_index(x, y, importance_score));
SELECT is(count(*), 0::bigint, 'x and y stay') FROM tensor_atoms a JOIN tensor_atoms_backup b USING (tensor_atom_id)
 WHERE a.model_id = :m AND b.revision_id = :r1 AND (a.x, a.y) IS DISTINCT FROM (b.x, b.y);
SELECT ok(export_gguf(:m) = :'file'::bytea, 'and so do weights');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'nothing is wrong with the model');
SELECT is(calibrated_revision(:m, present(:m), 'story'), :r1, 'the statistics are still those of its weights');
SELECT is(string_agg(DISTINCT reason, ', '), 'vector', 'vectors are passed over') FROM importance_plan(:m, 'wanda')
 WHERE operation IS NULL;
SELECT is(arguments, format('{"method": "wanda", "calibration_set": "story", "calibration_revision": %s}', :r1)::jsonb,
  'the plan says which statistics') FROM importance_plan(:m, 'wanda') WHERE layer_name = 'blk.0.attn_q.weight';
SELECT rollback_model(:m) \g /dev/null
SELECT is(places(:m), :'imported', 'undone');

-- ---- OBS --------------------------------------------------------------------------------------------------------
CALL collect_calibration(:m, 'story');
CALL calibrate_importance(:m, 'obs', damping => 0.05);
SELECT ok(difference(:m, 'blk.0.attn_q.weight', ARRAY(
    SELECT loss(h, w, refitted(h, w, ARRAY[4 * b + 1, 4 * b + 2, 4 * b + 3, 4 * b + 4])) / 2
      FROM hessian(:m, 'blk.0.attn_q.weight', :r1, 0.05) h, generate_series(0, 15) r,
           row_of(:m, 'blk.0.attn_q.weight', r) w, generate_series(0, 3) b ORDER BY r, b)) < 1e-3,
  'the saliency of an atom is what the outputs lose without it, after a refit');
SELECT is(parameters ->> 'damping', '0.05', 'damping is on record') FROM model_revisions
 WHERE revision_id = present(:m);
CALL calibrate_importance(:m, 'obs');
SELECT present(:m) AS r_obs, places(:m) AS by_obs \gset
SET LOCAL hartonomous.threads = 3;
CALL calibrate_importance(:m, 'obs');
SELECT is(places(:m), :'by_obs', 'the same for any number of threads');
RESET hartonomous.threads;
SELECT rollback_model(:m, :r_obs) \g /dev/null

-- ---- refit ------------------------------------------------------------------------------------------------------
CREATE TABLE lib.original AS
  SELECT layer_name, r, row_of(:m, layer_name, r) AS w
    FROM (VALUES ('blk.0.attn_q.weight', 15), ('blk.0.ffn_down.weight', 15)) v (layer_name, last),
         generate_series(0, last) r;
SELECT throws_ok(format('CALL prune_by_importance(%s, %s)', :m, arguments), state, message, arguments)
  FROM (VALUES
    ('0.5, calibration_set => ''story''', '22023', 'a calibration set is for a refit only'),
    ('0.5, damping => 0.1', '22023', 'damping is for a refit only'),
    ('0.5, refit => NULL', '22004', 'refit cannot be NULL'),
    ('0.5, refit => true, damping => 2', '22023', 'damping must be above 0 and at most 1, not 2'),
    ('0.5, refit => true, method => ''in_place''', '22023', 'only atoms can be pruned in place'),
    ('0.5, refit => true, calibration_set => ''none''', '55000', NULL),
    ('0.5, refit => true, calibration_revision => 0', '55000', NULL)) v (arguments, state, message);
SELECT holds(:m) AS held \gset
CALL prune_by_importance(:m, 0.7, refit => true, dry_run => true);
SELECT is(holds(:m), :'held', 'a dry run refits nothing');
CREATE TABLE lib.plan AS SELECT * FROM prune_plan(:m, 0.7, refit => true);
SELECT is(arguments - 'minimum_importance', format('{"calibration_set": "story", "calibration_revision": %s}',
  :r1)::jsonb, 'the plan refits by the statistics of revision 1') FROM lib.plan
 WHERE layer_name = 'blk.0.ffn_down.weight';
CALL prune_by_importance(:m, 0.7, refit => true);
SELECT is(kind || ' ' || (parameters ->> 'refit'), 'rewrite true', 'what is refitted is written anew, and on record')
  FROM model_revisions WHERE revision_id = present(:m);
CREATE TABLE lib.rows AS
  SELECT o.*, row_of(:m, o.layer_name, r) AS now, ARRAY(
           SELECT i FROM generate_series(1, cardinality(w)) i
            WHERE NOT EXISTS (SELECT FROM tensor_atoms a WHERE a.model_id = :m AND a.tensor_name = o.layer_name
                                AND a.atom_sequence = (r * cardinality(w) + i - 1) / 4)) AS gone
    FROM lib.original o;
SELECT ok(count(DISTINCT cardinality(gone)) > 3, 'rows lose different numbers of atoms') FROM lib.rows;
SELECT ok(max(d) < 1e-4, format('rows of %s are those that solve the system (%s)', layer_name, max(d)))
  FROM lib.rows r, hessian(:m, r.layer_name, :r1, 0.01) h,
       LATERAL (SELECT max(abs(f - n)) AS d FROM unnest(refitted(h, w, gone), now) u (f, n)) x
 WHERE cardinality(gone) < cardinality(w) GROUP BY layer_name;
SELECT is(now, w, 'a row of which nothing is removed stays as it is')
  FROM lib.rows WHERE cardinality(gone) = 0 LIMIT 1;
SELECT ok(sum(loss(h, w, now)) < 0.8 * sum(loss(h, w, ARRAY(
    SELECT CASE WHEN n = ANY (gone) THEN 0 ELSE v END FROM unnest(w) WITH ORDINALITY u (v, n) ORDER BY n))),
  'the outputs lose less than without')
  FROM lib.rows r, hessian(:m, r.layer_name, :r1, 1e-9) h WHERE layer_name = 'blk.0.attn_q.weight';
SELECT is_empty(format('SELECT * FROM check_model(%s)', :m), 'nothing is wrong with a model that was refitted');
SELECT md5(string_agg(now::text, ' ' ORDER BY layer_name, r)) AS refitted FROM lib.rows \gset
SELECT throws_ok(format('CALL prune_by_importance(%s, 0.5, refit => true)', :m), '55000',
  format('revision %s of model "whole" has no statistics of calibration set "story"', present(:m)),
  'the statistics are not those of what was refitted');
CALL prune_by_importance(:m, 0.7, refit => true, calibration_revision => :r1);
SELECT is(stage, 'prune', 'the same call again has nothing to do') FROM model_revisions
 WHERE revision_id = present(:m);
SELECT is((SELECT count(*) FROM model_revisions WHERE model_id = :m AND stage = 'prune'), 1::bigint,
  'and does nothing');

-- What is missing already stays missing, and counts in the refit.
CALL collect_calibration(:m, 'story');
SELECT present(:m) AS r_pruned \gset
UPDATE lib.original o SET w = row_of(:m, o.layer_name, r);
CALL prune_by_importance(:m, 0.6, refit => true);
SELECT ok(max(d) < 1e-4, format('a second pruning: rows of %s are those that solve the system', layer_name))
  FROM (SELECT o.*, row_of(:m, o.layer_name, r) AS now, ARRAY(
           SELECT i FROM generate_series(1, cardinality(w)) i
            WHERE NOT EXISTS (SELECT FROM tensor_atoms a WHERE a.model_id = :m AND a.tensor_name = o.layer_name
                                AND a.atom_sequence = (r * cardinality(w) + i - 1) / 4)) AS gone
    FROM lib.original o) r, hessian(:m, r.layer_name, :r_pruned, 0.01) h,
       LATERAL (SELECT max(abs(f - n)) AS d FROM unnest(refitted(h, w, gone), now) u (f, n)) x
 WHERE cardinality(gone) < cardinality(w) GROUP BY layer_name;

-- As stages of recipes
SELECT is(revision_recipe(:r_pruned) -> -2, '{"stage": "calibrate_importance", "method": "obs", "layer_pattern": "%",
  "calibration_set": "story"}', 'a recipe has the importance');
SELECT is((revision_recipe(:r_pruned) -> -1) - ARRAY['scope', 'include_vectors', 'include_embeddings', 'keep_ratio_of',
  'layer_pattern'], '{"stage": "prune", "keep_ratio": 0.7, "refit": true, "calibration_set": "story"}',
  'and the refit');

-- As stages of a job; by a plan, with other threads
SELECT rollback_model(:m, :r_obs) \g /dev/null
SELECT is(stage_parameters(:m, 'calibrate_importance', '{"method": "wanda", "calibration_set": "story"}') ->> 'method',
  'wanda', 'it is a stage that a job can call');
SELECT is(stage_parameters(:m, 'prune', '{"keep_ratio": 0.5, "refit": true, "damping": 0.02}') - ARRAY['scope',
  'include_vectors', 'include_embeddings', 'keep_ratio_of', 'layer_pattern', 'calibration_revision'],
  '{"keep_ratio": 0.5, "refit": true, "damping": 0.02, "calibration_set": "story"}', 'and so is pruning with a refit');
SET LOCAL hartonomous.threads = 3;
CALL run_plan(:m, 'mine', plan_from('lib.plan'));
SELECT is(md5(string_agg(row_of(:m, layer_name, r)::text, ' ' ORDER BY layer_name, r)), :'refitted',
  'a plan gives the same bytes, with any number of threads') FROM lib.original;
RESET hartonomous.threads;
SELECT rollback_model(:m, :r1) \g /dev/null

-- ---- positions in few bytes -------------------------------------------------------------------------------------
CALL quantize_model_geometry(:m, 'F16');
CREATE TABLE lib.encoded AS SELECT tensor_atom_id, quantized_position FROM tensor_atoms WHERE model_id = :m;
CALL calibrate_importance(:m, 'obs');
SELECT is(count(*), 0::bigint, 'encoded positions get the new importance and keep x and y') FROM tensor_atoms a
  JOIN lib.encoded e USING (tensor_atom_id), decode_point(a.quantized_position) n, decode_point(e.quantized_position) o
 WHERE a.model_id = :m AND ((n.x, n.y) IS DISTINCT FROM (o.x, o.y) OR abs(n.z - a.importance_score) > 0.01
    OR octet_length(a.quantized_position) <> 6);
SELECT is(count(DISTINCT revision_id) FILTER (WHERE calibrated_revision(:m, revision_id, 'story') = :r1), 3::bigint,
  'statistics are those of all revisions with the same weights')
  FROM model_revisions WHERE model_id = :m AND revision_id IN (:r1, present(:m), present(:m) - 1);
SELECT ok(with_importance(NULL, 1) IS NULL AND with_importance(encode_point(1, 2, 3, 'F32'), 4)
  = encode_point(1, 2, 4, 'F32'), 'another importance in an encoded position');
SELECT rollback_model(:m, :r1) \g /dev/null

-- ---- what cannot be scored or refitted --------------------------------------------------------------------------
CALL quantize_model(:m, 'F16', layer_pattern => '%attn_k%');
CALL svd_compress_model(:m, rank => 2, factor_format => 'F32', layer_pattern => '%ffn_up%');
DELETE FROM tensor_atoms WHERE model_id = :m AND tensor_name = 'blk.0.attn_v.weight';
UPDATE tensor_atoms SET atom_data = quantize(atom_data, 'BF16')
 WHERE model_id = :m AND tensor_name = 'blk.0.attn_q.weight' AND atom_sequence = 63;
UPDATE tensor_atoms SET atom_data = '{NaN,1,1,1}'::real[]
 WHERE model_id = :m AND tensor_name = 'blk.0.attn_output.weight' AND atom_sequence = 7;
DELETE FROM calibration_stats WHERE layer_id = layer(:m, 'blk.0.ffn_gate.weight');
SELECT is(string_agg(format('%s: %s', split_part(layer_name, '.', 3), reason), ', ' ORDER BY layer_name),
  'attn_v: empty, ffn_gate: no statistics, ffn_up: factored', 'tensors that are passed over, and why')
  FROM importance_plan(:m, 'obs', calibration_revision => :r1) WHERE reason <> 'vector';
CALL calibrate_importance(:m, 'obs', calibration_revision => :r1);
SELECT is(importance_score, 10::real, 'weights that are no numbers are important') FROM tensor_atoms
 WHERE model_id = :m AND tensor_name = 'blk.0.attn_output.weight' AND atom_sequence = 7;
SELECT is(count(*), 0::bigint, 'no importance is NaN') FROM tensor_atoms
 WHERE model_id = :m AND (importance_score = 'NaN' OR importance_score IS NULL);
SELECT is(string_agg(format('%s: %s', split_part(layer_name, '.', 3), reason), ', ' ORDER BY layer_name),
  'attn_q: not refitted: atoms are not floats of one format, attn_v: nothing to prune, ffn_gate: not refitted: no '
  'statistics', 'what is pruned without a refit, and why')
  FROM prune_plan(:m, 0.8, refit => true, calibration_revision => :r1, layer_pattern => 'blk%')
 WHERE reason NOT IN ('factored');
CALL prune_by_importance(:m, 0.8, refit => true, calibration_revision => :r1, layer_pattern => '%attn%');
SELECT is(array_agg(DISTINCT weights_format(atom_data)), '{F16}', 'what is refitted keeps its format')
  FROM tensor_atoms WHERE model_id = :m AND tensor_name = 'blk.0.attn_k.weight';
SELECT is(w[1], 'NaN', 'a number that is none stays') FROM (SELECT atom_data::real[] AS w, * FROM tensor_atoms
 WHERE model_id = :m AND tensor_name = 'blk.0.attn_output.weight' AND atom_sequence = 7) a;
SELECT throws_ok(format('CALL prune_by_importance(%s, 0.3, refit => true, calibration_revision => %s, layer_pattern '
  '=> ''%%attn_q%%'')', :m, :r1), '22023', 'no tensor of model "whole" that is pruned can be refitted',
  'none that is pruned can be refitted');
SELECT import_gguf(structured_gguf(), 'rows') AS rows \gset
CALL collect_calibration(:rows, 'story');
SELECT throws_ok(format('CALL prune_by_importance(%s, 0.3, refit => true, layer_pattern => ''%%attn_q%%'')', :rows),
  '22023', 'no tensor of model "rows" that is pruned can be refitted',
  'atoms that are whole rows leave nothing to refit');
SELECT import_gguf(structured_gguf(), 'quantized', 32) AS q \gset
CALL quantize_model(:q, 'Q8_0', layer_pattern => '%ffn_down%', pure => true);
CALL collect_calibration(:q, 'story');
SELECT importances(:q, 'blk.0.ffn_down.weight') AS by_magnitude \gset
CALL calibrate_importance(:q, 'obs', layer_pattern => '%ffn_down%');
SELECT isnt(importances(:q, 'blk.0.ffn_down.weight'), :'by_magnitude'::real[], 'quantized atoms are scored');
SELECT throws_ok(format('CALL prune_by_importance(%s, 0.5, refit => true, layer_pattern => ''%%ffn_down%%'')', :q),
  '22023', 'no tensor of model "quantized" that is pruned can be refitted', 'but not refitted');
SELECT throws_ok(format($$SELECT copy_atoms(live_partition(%s), live_partition(%1$s), present(%1$s), %s, 'prune', %L)$$,
  :q, layer(:q, 'blk.0.ffn_down.weight'), format('{"minimum_importance": 0, "calibration_set": "story", '
  '"calibration_revision": %s}', (SELECT max(revision_id) - 1 FROM model_revisions))), '22023',
  'tensor "blk.0.ffn_down.weight" cannot be refitted: atom 0 is in Q8_0', 'whatever a stored step says');
SELECT throws_ok(format($$CALL run_plan(%s, 'mine', ARRAY[ROW(NULL, %L, %L, %L, NULL, NULL, NULL, NULL, NULL,
  NULL)::tensor_plan])$$, :rows, tensor, operation, arguments), '22023', message, operation || ' of ' || tensor)
  FROM (VALUES
    ('output_norm.weight', 'score', '{"method": "magnitude"}', 'it cannot be scored: vector'),
    ('blk.0.attn_q.weight', 'prune', format('{"minimum_importance": 0, "calibration_set": "story", '
      '"calibration_revision": %s}', present(:rows)), 'it cannot be refitted: atoms are whole rows'),
    ('blk.0.attn_q.weight', 'score', '{"method": "wanda", "calibration_set": "none", "calibration_revision": 1}',
      'it cannot be scored: no statistics')) v (tensor, operation, arguments, message);
SELECT rollback_model(:m, :r1) \g /dev/null

-- ---- damaged statistics -----------------------------------------------------------------------------------------
CREATE TABLE lib.grams AS SELECT layer_id, gram FROM calibration_grams WHERE model_id = :m AND revision_id = :r1;
UPDATE calibration_grams SET gram = overlay(gram PLACING '\x0000c07f' FROM 5)
 WHERE model_id = :m AND revision_id = :r1 AND layer_id = layer(:m, 'blk.0.attn_q.weight');
SELECT throws_ok(format('CALL calibrate_importance(%s, ''obs'')', :m), '55000',
  'the calibration statistics of tensor "blk.0.attn_q.weight" are damaged', 'NaN in a Gram matrix');
SELECT throws_ok(format('CALL prune_by_importance(%s, 0.9, refit => true)', :m), '55000', NULL, 'and in a refit');
UPDATE calibration_grams SET gram = (SELECT string_agg(f32(CASE WHEN n = 2 THEN 1e9 ELSE 1 END), '' ORDER BY n)
    FROM generate_series(1, 136) n)
 WHERE model_id = :m AND revision_id = :r1 AND layer_id = layer(:m, 'blk.0.attn_q.weight');
SELECT throws_ok(format('CALL calibrate_importance(%s, ''obs'')', :m), '22003',
  'the Gram matrix is not positive semidefinite', 'a matrix that is no Gram matrix');
SELECT is(present(:m), :r1, 'nothing has changed');
UPDATE calibration_grams c SET gram = g.gram FROM lib.grams g WHERE g.layer_id = c.layer_id;

-- A tensor whose Gram matrix and Hessian take more than 4 MB
SELECT import_gguf(gguf(ARRAY[ROW('a.weight', '{1024,2}', 0, waves(2, 1024, 7))::tensor]), 'wide', 32) AS wide \gset
INSERT INTO calibration_stats (model_id, revision_id, calibration_set, layer_id, tokens, columns, experts, token_counts,
                               sums_of_squares, gram_layer_id)
  VALUES (:wide, present(:wide), 'story', layer(:wide, 'a.weight'), 1, 1024, 1, '{1}',
          array_fill(1::real, ARRAY[1024]), layer(:wide, 'a.weight'));
INSERT INTO calibration_grams (model_id, revision_id, calibration_set, layer_id, expert, first_column, gram)
  VALUES (:wide, present(:wide), 'story', layer(:wide, 'a.weight'), 0, 0, zeros(2099200));
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT throws_ok(format(call, :wide), '53200', NULL, 'more than max_work_memory: ' || call)
  FROM unnest(ARRAY['CALL calibrate_importance(%s, ''obs'')', 'CALL prune_by_importance(%s, 0.5, refit => true)']) call;
SELECT lives_ok(format('CALL calibrate_importance(%s, ''wanda'')', :wide), 'energies need less');
RESET hartonomous.max_work_memory;
CALL calibrate_importance(:wide, 'obs');
SELECT importances(:wide, 'a.weight') AS by_zeros \gset
CALL calibrate_importance(:wide, 'magnitude');
SELECT ok(max(abs(z - m)) < 1e-3, 'without any input importance is that of magnitude')
  FROM unnest(:'by_zeros'::real[], importances(:wide, 'a.weight')) u (z, m);

-- ---- columns that are never active ------------------------------------------------------------------------------
SELECT import_gguf(structured_gguf(), 'idle', 4) AS idle \gset
UPDATE tensor_atoms SET atom_data = '{0,0,0,0}'::real[]
 WHERE layer_id = layer(:idle, 'blk.0.ffn_gate.weight') AND atom_sequence < 16;
UPDATE tensor_atoms SET atom_data = '{0,0,0,0}'::real[]
 WHERE layer_id = layer(:idle, 'blk.0.ffn_gate.bias') AND atom_sequence = 0;
CALL collect_calibration(:idle, 'story');
SELECT importances(:idle, 'blk.0.ffn_down.weight') AS by_magnitude \gset
CALL calibrate_importance(:idle, 'wanda');
SELECT importances(:idle, 'blk.0.ffn_down.weight') AS by_wanda \gset
CALL calibrate_importance(:idle, 'obs');
SELECT importances(:idle, 'blk.0.ffn_down.weight') AS by_obs \gset
CREATE TABLE lib.idle AS
  SELECT n % 16 = 1 AS idle, u.* FROM unnest(:'by_magnitude'::real[], :'by_wanda'::real[], :'by_obs'::real[])
         WITH ORDINALITY u (magnitude, wanda, obs, n);
SELECT ok(max(wanda) FILTER (WHERE idle) < min(wanda) FILTER (WHERE NOT idle), 'by Wanda they go first') FROM lib.idle;
SELECT is(array_agg(n ORDER BY wanda), array_agg(n ORDER BY magnitude), 'in the order of their magnitudes')
  FROM lib.idle WHERE idle;
SELECT is(array_agg(n ORDER BY obs), array_agg(n ORDER BY magnitude), 'also by OBS') FROM lib.idle WHERE idle;
SELECT part(:idle, 'blk.0.ffn_down.weight', NULL, ARRAY(SELECT generate_series(4, 63))) AS others \gset
SELECT rollback_model(:idle, present(:idle) - 1) \g /dev/null
CALL prune_by_importance(:idle, 15 / 16.0, layer_pattern => '%ffn_down%', refit => true);
SELECT ok(part(:idle, 'blk.0.ffn_down.weight', NULL, ARRAY(SELECT generate_series(4, 63))) = :'others'::real[],
  'nothing has to be made up for them');
SELECT is(count(*), 0::bigint, 'when they are removed') FROM tensor_atoms
 WHERE model_id = :idle AND tensor_name = 'blk.0.ffn_down.weight' AND atom_sequence % 16 = 0;

-- ---- usage ------------------------------------------------------------------------------------------------------
SELECT record_usage(:m, story()) \g /dev/null
CREATE TABLE lib.used AS
  SELECT a.layer_id, a.tensor_name, a.atom_sequence, a.importance_score
         + CASE WHEN u.usage_count > 10 THEN 0.01 * u.usage_count ELSE 0 END AS sum, u.usage_count
    FROM tensor_atoms a LEFT JOIN atom_usage_stats u USING (tensor_atom_id)
   WHERE a.model_id = :m AND a.tensor_name IN ('token_embd.weight', 'blk.0.attn_q.weight');
CALL calibrate_importance(:m, 'usage');
SELECT ok(max(abs(least((u.sum - s.mean) / s.deviation, 10) - a.importance_score)) < 1e-4,
  'a hundredth per token is added, and the sums are standardized: ' || u.tensor_name)
  FROM lib.used u JOIN tensor_atoms a ON a.model_id = :m AND a.layer_id = u.layer_id
   AND a.atom_sequence = u.atom_sequence
  JOIN (SELECT layer_id, avg(sum) AS mean, stddev_pop(sum) AS deviation FROM lib.used GROUP BY layer_id) s
    ON s.layer_id = u.layer_id
 GROUP BY u.tensor_name ORDER BY u.tensor_name;
SELECT rollback_model(:m, :r1) \g /dev/null

-- ---- arguments of operations ------------------------------------------------------------------------------------
SELECT throws_ok(format('SELECT check_operation(%L, %L)', operation, arguments), '22023', message, arguments)
  FROM (VALUES
    ('score', '{}', 'arguments of operation "score": "method" must be magnitude, wanda, obs or usage'),
    ('score', '{"method": "obs"}', 'operation "score" needs "calibration_set" and "calibration_revision" if its method '
      'is "wanda" or "obs", and only then'),
    ('score', '{"method": "obs", "calibration_set": "s"}', NULL),
    ('score', '{"method": "usage", "calibration_revision": 1}', NULL),
    ('score', '{"method": "wanda", "calibration_set": "s", "calibration_revision": 1, "damping": 0.1}',
      'arguments of operation "score": "damping" is for the method obs'),
    ('score', '{"method": "obs", "calibration_set": "s", "calibration_revision": 1, "damping": 0}', NULL),
    ('score', '{"method": "magnitude", "format": "F32"}', NULL),
    ('prune', '{"minimum_importance": 0, "calibration_set": "s"}', NULL),
    ('prune', '{"minimum_importance": 0, "calibration_revision": 1}', NULL),
    ('prune', '{"minimum_importance": 0, "damping": 0.1}', 'arguments of operation "prune": "damping" is for a refit'),
    ('prune', '{"region": [0, 1, 0, 1, 0, 1], "calibration_set": "s", "calibration_revision": 1}',
      'operation "prune" refits weights only if it prunes by "minimum_importance" alone')
  ) v (operation, arguments, message);

-- What else selects by importance
CALL calibrate_importance(:m, 'wanda');
SELECT extract_by_importance(:m, 0.5, 'half') AS s \gset
SELECT is(count(*), 0::bigint, 'a student by importance has the atoms that are important by calibration')
  FROM tensor_atoms a WHERE a.model_id = :s AND a.tensor_name = 'blk.0.ffn_down.weight'
   AND a.importance_score < (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY p.importance_score)
                               FROM tensor_atoms p WHERE p.model_id = :m AND p.tensor_name = a.tensor_name);
SELECT * FROM finish();
ROLLBACK;
