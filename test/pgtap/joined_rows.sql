-- Atoms of several matrix rows: a model must be the same whether an atom is a row or three of them, in everything that
-- does not choose atoms, and choosing atoms adds up what it knows of their rows.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/structured_model.sql
SELECT plan(57);

-- Rows of 16 weights are joined by 5, those of 64 are single, or by 3 and by 12.
SELECT import_gguf(structured_gguf(), 'rows') AS m \gset
SELECT import_gguf(structured_gguf(), 'five', 95) AS five \gset
SELECT import_gguf(structured_gguf(), 'twelve', 200) AS twelve \gset
SELECT results_eq(format($$SELECT l.layer_name, l.atom_size, count(*), max(weights_count(a.atom_data)),
    min(weights_count(a.atom_data))
  FROM tensor_atoms a JOIN model_layers l USING (model_id, layer_id)
  WHERE l.model_id = %s AND l.layer_name IN ('token_embd.weight', 'blk.0.attn_q.weight', 'blk.0.attn_q.bias',
    'blk.0.ffn_down.weight') GROUP BY l.layer_id ORDER BY l.position$$, :twelve),
  $$VALUES ('token_embd.weight', 192, 22::bigint, 192::bigint, 112::bigint), ('blk.0.attn_q.weight', 192, 2, 192, 64),
    ('blk.0.attn_q.bias', 16, 1, 16, 16), ('blk.0.ffn_down.weight', 192, 6, 192, 64)$$,
  'as many rows are an atom as atom_size holds, and the last atom has those that are left');
SELECT results_eq(
  format($$SELECT l.layer_name, l.atom_size FROM model_layers l WHERE l.model_id = %s AND l.layer_name IN
    ('blk.0.attn_q.weight', 'blk.0.ffn_down.weight') ORDER BY l.position$$, :five),
  $$VALUES ('blk.0.attn_q.weight', 80), ('blk.0.ffn_down.weight', 64)$$, 'whole rows only');

-- Positions: the mean of the rows', before they are scaled; importance: of all weights.
SELECT is(round(corr(a.importance_score, e.log)::numeric, 6), 1.000000, 'importance follows the root mean square')
  FROM tensor_atoms a, LATERAL (SELECT ln(sqrt(avg(w ^ 2))) AS log FROM unnest(a.atom_data::real[]) w) e
 WHERE a.model_id = :twelve AND a.tensor_name = 'token_embd.weight';
SELECT is(round(abs(corr(a.x, e.x))::numeric, 4), 1.0000, 'x is the mean of the rows'' x')
  FROM tensor_atoms a, LATERAL (
    SELECT avg(r.x) AS x FROM tensor_atoms r WHERE r.model_id = :m AND r.tensor_name = a.tensor_name
       AND r.atom_sequence / 12 = a.atom_sequence) e
 WHERE a.model_id = :twelve AND a.tensor_name = 'token_embd.weight';

-- What is done to both gives the same file.
CREATE FUNCTION lib.same(a integer, b integer) RETURNS boolean LANGUAGE sql STABLE
  RETURN export_gguf(a, provenance => false) = export_gguf(b, provenance => false);
CREATE PROCEDURE lib.to_all(call text, models integer[]) LANGUAGE plpgsql AS $$
DECLARE model integer;
BEGIN
  FOREACH model IN ARRAY models LOOP
    EXECUTE replace(call, '$1', model::text);
  END LOOP;
END $$;
SELECT ARRAY[:m, :twelve] AS models \gset
SELECT ok(same(:m, model), 'exports it as imported') FROM unnest(ARRAY[:five, :twelve]) model;
SELECT is_empty(format('SELECT * FROM check_model(%s)', model), 'without a fault')
  FROM unnest(ARRAY[:five, :twelve]) model;
SELECT is(recompute_positions(model), 0::bigint, 'with the positions of an import')
  FROM unnest(ARRAY[:five, :twelve]) model;
SELECT perplexity(:m, story(), 32) AS p \gset
SELECT is(perplexity(model, story(), 32)::text, :'p', 'says the same') FROM unnest(ARRAY[:five, :twelve]) model;
SELECT add_calibration_set('set', story()) \g /dev/null
CALL to_all('CALL collect_calibration($1, ''set'', n_ctx => 32)', :'models');

CALL to_all('CALL quantize_model($1, ''Q4_0'', ''%ffn_down%'')', :'models');
SELECT ok(same(:m, :twelve), 'quantized');
CALL to_all('SELECT rollback_model($1)', :'models');
CALL to_all('CALL quantize_model($1, ''Q5_0'', ''%ffn_down%'', method => ''imatrix'', calibration_set => ''set'')',
  :'models');
SELECT ok(same(:m, :twelve), 'by importance');
CALL to_all('SELECT rollback_model($1)', :'models');
CALL to_all('CALL quantize_model($1, ''Q4_0'', ''%ffn_down%'', method => ''hessian'', calibration_set => ''set'')',
  :'models');
SELECT ok(same(:m, :twelve), 'against the Hessian');
CALL to_all('SELECT rollback_model($1)', :'models');
CALL to_all('CALL quantize_model($1, ''Q4_0'', ''%ffn_down%'', method => ''hessian'', calibration_set => ''set'', '
  'sequential => true)', :'models');
SELECT ok(same(:m, :twelve), 'in sequence');
CALL to_all('CALL remove_neurons($1, 0.5)', :'models');
SELECT ok(same(:m, :twelve), 'without neurons');
SELECT is_empty(format('SELECT * FROM check_model(%s)', :twelve), 'without a fault');
CALL to_all('SELECT rollback_model($1)', :'models');
CALL to_all('SELECT rollback_model($1)', :'models');
CALL to_all('CALL remove_neurons($1, 0.5, calibration_set => ''set'', refit => true)', :'models');
SELECT ok(same(:m, :twelve), 'refitted');
CALL to_all('SELECT rollback_model($1)', :'models');
CALL to_all('CALL svd_compress_model($1, rank => 6, residual => false)', :'models');
SELECT ok(same(:m, :twelve), 'as factors');
CALL to_all('SELECT rollback_model($1)', :'models');
-- A residual of all weights: every atom at its place.
SELECT layer_id AS q FROM model_layers WHERE model_id = :twelve AND layer_name = 'token_embd.weight' \gset
CREATE TEMP TABLE written (LIKE tensor_atoms INCLUDING GENERATED) ON COMMIT DROP;
SELECT is(atoms || ' ' || bytes, '22 16576', 'residual atoms')
  FROM write_residual(live_partition(:twelve), 'written', 1,
    :q, tensor_weights(:twelve, 'token_embd.weight'), 1);
SELECT is(count(*), 22::bigint, 'are where they belong') FROM written w JOIN tensor_atoms a USING (layer_id,
  atom_sequence, atom_data, x, content_hash) WHERE a.model_id = :twelve;
-- An archived revision
CALL to_all('CALL quantize_model($1, ''Q8_0'', ''%ffn_down%'')', :'models');
SELECT min(revision_id) AS first FROM model_revisions WHERE model_id = :twelve \gset
CLOSE ALL;  -- cursors of results_eq()
CALL archive_revision(:first);
SELECT is(count(*), (SELECT count(*) FROM tensor_atoms WHERE model_id = :twelve), 'archived')
  FROM archived_tensor_atoms WHERE model_id = :twelve;
CALL to_all('SELECT rollback_model($1)', :'models');
SELECT ok(same(:m, :twelve), 'and live again');
SELECT ok(same(a, b), 'of which half of the heads are a student') FROM (
  SELECT extract_by_heads(:m, 0.5, 'rows of heads') AS a, extract_by_heads(:twelve, 0.5, 'twelve of heads') AS b) s;

-- Of rows that are missing and in formats that differ, a student has zeros, and the format of the first.
DELETE FROM tensor_atoms WHERE model_id = :five AND tensor_name = 'blk.0.ffn_up.weight' AND atom_sequence IN (1, 12);
UPDATE tensor_atoms SET atom_data = quantize(atom_data, 'F16') WHERE model_id = :five
  AND tensor_name = 'blk.0.ffn_up.weight' AND atom_sequence % 2 = 0;
SELECT extract_by_neurons(:five, 0.5, 'half of five') AS s \gset
SELECT array_agg(structure ORDER BY structure) AS kept FROM (
  SELECT structure FROM structure_scores(:five, 'neurons') ORDER BY score DESC LIMIT 32) t \gset
SELECT ok(relative_error(part(:five, 'blk.0.ffn_up.weight', :'kept')::weights,
  part(:s, 'blk.0.ffn_up.weight')::weights) < 1e-3, 'rows move from atom to atom');
SELECT cmp_ok(count(DISTINCT weights_format(atom_data)), '>', 1::bigint, 'of either format')
  FROM tensor_atoms WHERE model_id = :s AND tensor_name = 'blk.0.ffn_up.weight';
SELECT is_empty(format('SELECT * FROM check_model(%s)', :s), 'without a fault');

-- Importance: what is known of rows is added up.
CREATE FUNCTION lib.sums(model integer, tensor text, of_rows integer)
  RETURNS TABLE (atom integer, energy double precision)
LANGUAGE sql STABLE AS $$
  SELECT a.atom_sequence / of_rows, sum(u.mean_energy * u.usage_count) FROM tensor_atoms a
    JOIN atom_usage_stats u USING (model_id, tensor_atom_id)
   WHERE a.model_id = model AND a.tensor_name = tensor GROUP BY 1 $$;
SELECT record_usage(:m, story(), 32), record_usage(:twelve, story(), 32) \g /dev/null
SELECT is_empty(format($$SELECT * FROM sums(%s, %L, 12) a FULL JOIN sums(%s, %2$L, 1) b USING (atom)
   WHERE (abs(a.energy / b.energy - 1) < 1e-4) IS NOT TRUE$$, :m, tensor, :twelve), 'energies of ' || tensor)
  FROM unnest(ARRAY['token_embd.weight', 'blk.0.attn_q.weight']) tensor;
SELECT is(array_agg(DISTINCT u.usage_count), (SELECT array_agg(DISTINCT u.usage_count) FROM atom_usage_stats u
    JOIN tensor_atoms a USING (model_id, tensor_atom_id)
   WHERE u.model_id = :m AND a.tensor_name = 'blk.0.attn_q.weight'), 'and as many tokens')
  FROM atom_usage_stats u JOIN tensor_atoms a USING (model_id, tensor_atom_id)
 WHERE u.model_id = :twelve AND a.tensor_name = 'blk.0.attn_q.weight';
CREATE FUNCTION lib.scored(model integer, method text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  CALL calibrate_importance(model, method, 'set', 'blk.0.ffn_gate.weight');
  SELECT string_agg(a.atom_sequence::text, ' ' ORDER BY a.importance_score) INTO said FROM tensor_atoms a
   WHERE a.model_id = model AND a.tensor_name = 'blk.0.ffn_gate.weight';
  PERFORM rollback_model(model);
  RETURN said;
END $$;
-- The energies of the rows' own atoms, from which the sums are computed here.
CREATE FUNCTION lib.ranked(energies double precision[], of_rows integer) RETURNS text LANGUAGE sql IMMUTABLE
  RETURN (SELECT string_agg(atom::text, ' ' ORDER BY energy) FROM (
    SELECT (n - 1) / of_rows AS atom, sum(e) AS energy FROM unnest(energies) WITH ORDINALITY u (e, n) GROUP BY 1) s);
SELECT is(scored(:twelve, 'wanda'), ranked(ARRAY(
  SELECT sum(w.w ^ 2 * v.v) FROM unnest(tensor_weights(:m, 'blk.0.ffn_gate.weight')::real[]) WITH ORDINALITY w (w, n),
         unnest(importance_vector(:m, 'blk.0.ffn_gate.weight', 'set')) WITH ORDINALITY v (v, k)
   WHERE (w.n - 1) % 16 = v.k - 1 GROUP BY (w.n - 1) / 16 ORDER BY (w.n - 1) / 16), 12), 'wanda');
SELECT isnt(scored(:twelve, 'obs'), NULL, 'obs');

-- The functions
SELECT is(effective_atom_size(wanted, row_length, 'Q8_0', shape::bigint[]), expected,
  format('effective_atom_size(%s, %s, %s)', wanted, row_length, shape))
  FROM (VALUES (NULL, 512, '{9,512}', 512), (NULL, 1024, '{99,1024}', 65536), (NULL, 1024, '{5,1024}', 5120),
    (NULL, 40000, '{5,40000}', 40000), (NULL, 80000, '{5,80000}', 65536), (8192, 96, '{6,4,96}', 384),
    (700, 96, '{6,6,96}', 576),
    (500, 96, '{6,6,96}', 288), (NULL, 4096, '{4096}', 4096), (NULL, 256, '{127,256}', 256),
    (NULL, 256, '{128,256}', 512), (NULL, 256, '{768,256}', 3072), (NULL, 32, '{1000000,32}', 65536),
    (NULL, 256, '{4,320,256}', 1280), (NULL, 1, '{64,1}', 1), (0, 96, '{6,96}', 96), (0, 4096, '{99,4096}', 4096),
    (0, 3000000000, '{3000000000}', 1048576))
    v (wanted, row_length, shape, expected);
SELECT is(string_agg(concat_ws(' ', atom_offset(l, size, n), atom_length(10 * l, l, size, n)), ', ' ORDER BY n),
  expected,
  format('atoms of %s in rows of %s', size, l))
  FROM (VALUES (5, 2, 0, '0 2'), (5, 2, 4, '7 2'), (5, 2, 5, '9 1')) v (l, size, n, e),
       LATERAL (SELECT e AS expected) x GROUP BY l, size, n, expected;
SELECT throws_ok(format('SELECT quantize_rows(%L, %L, %L)', w::real[]::weights, format, importance), state, NULL, test)
  FROM (VALUES ('{1,2,3}', 'F16', '{1,1}', '2202E', 'not whole rows'),
    ('{1,2,3,4}', 'Q8_0', '{1,1}', '22023', 'rows that are no blocks'),
    ('{1,2}', 'F16', '{}', '2202E', 'rows of nothing')) v (w, format, importance, state, test);
SELECT * FROM finish();
ROLLBACK;
