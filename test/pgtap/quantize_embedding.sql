-- An embedding that is not the output matrix, too, is quantized against the matrices that read it.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
\ir lib/wide_model.sql
SELECT plan(12);

SELECT import_gguf(wide_gguf(more => ARRAY[ROW('output.weight', '{32,259}', 0, waves(259, 32, 12))::tensor]), 'untied')
  AS m \gset
SELECT import_gguf(wide_gguf(), 'tied') \g /dev/null
SELECT add_calibration_set('cats', story()) \g /dev/null
CALL collect_calibration('untied', 'cats');
CALL collect_calibration('tied', 'cats');

-- G = sum over the matrices W of 32 / tr(M) * M with M = D Wᵀ W D, where D has the weights of the norm before W.
CREATE TABLE lib.readers (tensor text, norm text);
INSERT INTO readers VALUES ('blk.0.attn_q.weight', 'blk.0.attn_norm.weight'),
  ('blk.0.attn_k.weight', 'blk.0.attn_norm.weight'), ('blk.0.attn_v.weight', 'blk.0.attn_norm.weight'),
  ('blk.0.ffn_gate.weight', 'blk.0.ffn_norm.weight'), ('blk.0.ffn_up.weight', 'blk.0.ffn_norm.weight'),
  ('output.weight', 'output_norm.weight');
CREATE FUNCTION lib.numbers(tensor text, OUT r integer, OUT i integer, OUT w double precision) RETURNS SETOF record
  LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT (n - 1) / 32, (n - 1) % 32, x FROM unnest(dequantize(tensor_weights('untied', numbers.tensor)))
    WITH ORDINALITY u (x, n);
END;
CREATE TABLE lib.scaled AS
  SELECT s.tensor, w.r, w.i, w.w * n.w AS x FROM readers s, numbers(s.tensor) w, numbers(s.norm) n WHERE n.i = w.i;
CREATE TABLE lib.expected AS
  SELECT a.i, b.i AS j, sum(a.x * b.x * 32 / t.trace) AS g
    FROM scaled a JOIN scaled b USING (tensor, r)
    JOIN (SELECT tensor, sum(x * x) AS trace FROM scaled GROUP BY tensor) t USING (tensor) GROUP BY 1, 2;
CREATE TABLE lib.original AS SELECT * FROM numbers('token_embd.weight');
-- tr(E G Eᵀ) of E = what makes the other numbers of the original, relative to that of the original.
CREATE FUNCTION lib.loss(changed double precision[]) RETURNS double precision LANGUAGE sql STABLE
  RETURN (WITH error AS MATERIALIZED (
            SELECT o.r, o.i, o.w, o.w - loss.changed[o.r * 32 + o.i + 1] AS e FROM original o)
          SELECT sum(a.e * g.g * b.e) / sum(a.w * g.g * b.w)
            FROM error a JOIN expected g USING (i) JOIN error b ON b.r = a.r AND b.i = g.j);
CREATE FUNCTION lib.live() RETURNS double precision[] LANGUAGE sql STABLE
  RETURN (SELECT array_agg(w ORDER BY r, i) FROM numbers('token_embd.weight'));
CREATE FUNCTION lib.arguments_of(model text, method text, sequential boolean DEFAULT NULL) RETURNS jsonb
  LANGUAGE sql STABLE
  RETURN (SELECT p.arguments FROM quantize_plan(arguments_of.model, 'Q4_0', pure => true, method => arguments_of.method,
                                                calibration_set => 'cats', sequential => arguments_of.sequential) p
           WHERE p.layer_name = 'token_embd.weight');

-- The plan
SELECT is((SELECT count(*) FROM calibration_stats s JOIN model_layers l USING (layer_id)
            WHERE s.model_id = :m AND l.layer_name = 'token_embd.weight'), 0::bigint, 'it has no statistics');
SELECT is(arguments_of('untied', 'hessian') ->> 'method', 'hessian',
  'it is planned for the method hessian nevertheless');
SELECT is(arguments_of('untied', 'hessian', true), arguments_of('untied', 'hessian'), 'not in sequence');
SELECT is(arguments_of('untied', 'imatrix'), '{"format": "Q4_0"}', 'as llama-quantize does, for the method imatrix');
SELECT is(arguments_of('tied', 'hessian') ->> 'method', 'hessian', 'an embedding that is the output matrix has some');

-- Errors of formats
SELECT is((SELECT abs(e.relative_error / loss((SELECT array_agg(x ORDER BY n) FROM unnest(dequantize(
             quantize(tensor_weights('untied', 'token_embd.weight'), 'Q4_0')))
             WITH ORDINALITY u (x, n))::double precision[]) - 1) < 1e-4
             FROM hartonomous_internal.format_errors(:m, current_revision(:m), current_revision(:m), 'cats',
               'token_embd.weight', '{Q4_0}', 'plain') e), true, 'the error of a format is that under G');

-- What is written
SELECT current_revision(:m) AS r1 \gset
CALL quantize_model('untied', 'Q4_0', pure => true, method => 'imatrix', calibration_set => 'cats');
SELECT loss(live()) AS plain \gset
SELECT rollback_model('untied') \g /dev/null
CALL quantize_model('untied', 'Q4_0', pure => true, method => 'hessian', calibration_set => 'cats');
SELECT loss(live()) AS hessian, md5(live()::text) AS written \gset
SELECT cmp_ok(:hessian::float8, '<', 0.8 * :plain::float8, 'quantized against G the loss is smaller');
SELECT is((SELECT abs(e.relative_error / :hessian::float8 - 1) < 0.01
             FROM hartonomous_internal.format_errors(:m, :r1, :r1, 'cats', 'token_embd.weight', '{Q4_0}', 'hessian') e),
  true, 'it is what format_errors() has said');
SELECT rollback_model('untied') \g /dev/null
SET hartonomous.threads = 2;
CALL quantize_model('untied', 'Q4_0', pure => true, method => 'hessian', calibration_set => 'cats');
SELECT is(md5(live()::text), :'written', 'the number of threads changes nothing');
SELECT rollback_model('untied') \g /dev/null
CALL quantize_model('untied', 'Q4_0', pure => true, method => 'hessian', calibration_set => 'cats', sequential => true);
SELECT is(md5(live()::text), :'written', 'nor does a sequence');
SELECT is((SELECT count(*) FROM check_model('untied')), 0::bigint, 'the model has no faults');
SELECT rollback_model('untied') \g /dev/null

-- A weight of a reader that is not finite
UPDATE tensor_atoms SET atom_data = quantize(ARRAY['NaN'::real] || (dequantize(atom_data))[2:], 'F32')
 WHERE model_id = :m AND tensor_name = 'blk.0.ffn_up.weight' AND atom_sequence = 0;
SELECT throws_ok($$CALL quantize_model('untied', 'Q4_0', layer_pattern => 'token_embd%', pure => true,
    method => 'hessian', calibration_set => 'cats')$$, '55000',
  'tensor "blk.0.ffn_up.weight" or the norm before it has a weight that is not finite', 'is an error');

SELECT * FROM finish();
ROLLBACK;
