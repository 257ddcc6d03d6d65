-- One model of bench/quality.sh. Variables: dir (with model.gguf and text.txt; files are exported to it), n_ctx,
-- mixtures and methods, separated by spaces.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION hartonomous CASCADE;
SET hartonomous.threads = 1;
SELECT hartonomous.import_gguf(:'dir' || '/model.gguf', 'model') AS model \gset

\ir split_text.sql
SELECT CASE WHEN :'methods' LIKE '%fisher%' THEN 'fisher' ELSE 'gram' END AS statistics \gset
CALL hartonomous.collect_calibration(:model, 'calibration', statistics => :'statistics');
SELECT hartonomous.export_importance(:model, 'calibration', :'dir' || '/importance.gguf') \g /dev/null

-- ---- trials ------------------------------------------------------------------------------------------------------

-- The same with atoms of 32 weights, which can be pruned.
SELECT hartonomous.import_gguf(:'dir' || '/model.gguf', 'atoms', 32) \g /dev/null
CALL hartonomous.collect_calibration('atoms', 'calibration');

-- What is done to a model (%1$L), what it is named, and what has to be done before. Of a method of quantizing there is
-- a trial for each mixture (%2$L). A plan that allocates bits has those that the mixture has.
CREATE TABLE changes (
  line integer GENERATED ALWAYS AS IDENTITY, model text, change text, method text, preparation text DEFAULT 'SELECT',
  statement text
);
CREATE FUNCTION to_quantize(arguments text) RETURNS text LANGUAGE sql IMMUTABLE
  RETURN format('CALL hartonomous.quantize_model(%%1$L, %%2$L, %s)', arguments);
-- Where gradients were collected, the rows of a matrix share their errors unless `without` is curvature.
CREATE FUNCTION to_allocate(arguments text, without text DEFAULT 'curvature', of_sequence jsonb DEFAULT '{}')
  RETURNS text LANGUAGE sql IMMUTABLE
  RETURN format($$
    CREATE OR REPLACE VIEW allocation AS
      SELECT p.layer_id, p.layer_name, p.operation,
             -- The embedding has no place in a sequence.
             p.arguments - %L || CASE WHEN l.layer_type <> 'embedding' THEN %L::jsonb ELSE '{}' END AS arguments,
             p.atoms_before, p.atoms_after, p.bytes_before, p.bytes_after, p.reason, p.details
        FROM hartonomous.bit_allocation(%%1$L,
          (SELECT sum((bytes_after + 31) / 32 * 32) FROM hartonomous.quantize_plan(%%1$L, %%2$L))::bigint, %s) p
          JOIN hartonomous.model_layers l USING (layer_id)$$, without, of_sequence, arguments);
INSERT INTO changes (model, change, method, preparation, statement)
  SELECT 'model', mixture, method, preparation,
         coalesce(statement, $$CALL hartonomous.quantize_model(%1$L, hartonomous.plan_from('allocation'))$$)
    FROM string_to_table(:'mixtures', ' ') WITH ORDINALITY AS mixtures (mixture, place),
         (VALUES (1, 'plain', 'SELECT', to_quantize($$method => 'plain'$$)),
                 (2, 'imatrix', 'SELECT', to_quantize($$method => 'imatrix', calibration_set => 'calibration'$$)),
                 (3, 'imatrix+allocation', to_allocate($$'calibration', method => 'imatrix'$$), NULL),
                 (4, 'hessian', 'SELECT',
                  to_quantize($$method => 'hessian', calibration_set => 'calibration', curvature => 'input'$$)),
                 (5, 'hessian+allocation', to_allocate($$'calibration'$$), NULL),
                 (6, 'hessian+sequence', 'SELECT',
                  to_quantize($$method => 'hessian', calibration_set => 'calibration', sequential => true,
                                curvature => 'input'$$)),
                 (7, 'hessian+allocation+sequence',
                  to_allocate($$'calibration'$$, of_sequence => '{"sequential": true}'), NULL),
                 (8, 'hessian+fisher', 'SELECT',
                  to_quantize($$method => 'hessian', calibration_set => 'calibration'$$)),
                 (9, 'hessian+allocation+fisher', to_allocate($$'calibration'$$, without => ''), NULL),
                 (10, 'hessian+allocation+sequence+fisher',
                  to_allocate($$'calibration'$$, without => '', of_sequence => '{"sequential": true}'), NULL)
         ) AS methods (rank, method, preparation, statement)
   WHERE method = ANY (string_to_array(:'methods', ' '))
   ORDER BY place, rank;
SELECT EXISTS (SELECT FROM changes WHERE method LIKE '%allocation%') AS allocates \gset
\if :allocates
CALL hartonomous.measure_sensitivity(:model, 'calibration', 'imatrix');
CALL hartonomous.measure_sensitivity(:model, 'calibration');
\endif
INSERT INTO changes (model, change, method, preparation, statement)
  SELECT 'atoms', format('prune %s %%', percent), method || CASE WHEN refit THEN ', refitted' ELSE '' END,
         CASE method WHEN 'magnitude' THEN 'SELECT'
                     ELSE format('CALL hartonomous.calibrate_importance(%%1$L, %L, ''calibration'')', method) END,
         format($$CALL hartonomous.prune_by_importance(%%1$L, keep_ratio => %s, method => 'rewrite', refit => %s)$$,
                round(1 - percent / 100.0, 2), refit::text)
    FROM unnest('{1,2,5,10,20}'::integer[]) WITH ORDINALITY AS percents (percent, place),
         unnest('{magnitude,wanda,obs}'::text[]) WITH ORDINALITY AS methods (method, rank),
         unnest('{f,t}'::boolean[]) AS refit;

-- Factors of the matrices of the blocks, within the same share of their bytes in the database.
INSERT INTO changes (model, change, method, preparation, statement)
  SELECT 'model', format('svd, keep %s', keep), method, preparation,
         format($$CALL hartonomous.svd_compress_model(%%1$L, target_ratio => %s, layer_pattern => 'blk.%%%%'%s)$$, keep,
                arguments)
    FROM unnest('{0.9,0.8}'::numeric[]) AS keep,
         (VALUES (1, 'plain', 'SELECT', ''), (2, 'whitened', 'SELECT', $$, calibration_set => 'calibration'$$),
                 (3, 'whitened+auction',
                  $$CALL hartonomous.measure_sensitivity(%1$L, 'calibration', 'imatrix', '{Q3_K}')$$,
                  $$, calibration_set => 'calibration', auction => true$$))
         AS methods (rank, method, preparation, arguments)
   ORDER BY keep DESC, rank;

-- Of the KL divergence, times that of imatrix, whose file is as large or larger.
CREATE TABLE targets (method text, mixture text, most numeric, wanted numeric);
INSERT INTO targets
  SELECT method, mixture, most, wanted
    FROM unnest('{Q2_K,Q3_K_M,Q4_K_M,Q5_K_M}'::text[]) AS mixture,
         (VALUES ('hessian', 0.65, 0.58), ('hessian+fisher', 0.65, 0.58),
                 ('hessian+allocation', 0.50, 0.40), ('hessian+allocation+fisher', 0.50, 0.40))
         AS methods (method, most, wanted)
   UNION ALL
  SELECT 'hessian+allocation+sequence', mixture, most, wanted
    FROM (VALUES ('Q2_K', 0.45, 0.33), ('Q3_K_M', 0.45, 0.33), ('Q4_K_M', 0.45, 0.33), ('Q5_K_M', 0.55, 0.45))
         AS mixtures (mixture, most, wanted)
   UNION ALL
  SELECT 'hessian+allocation+sequence+fisher', mixture, most, wanted
    FROM (VALUES ('Q2_K', 0.45, 0.30), ('Q3_K_M', 0.45, 0.30), ('Q4_K_M', 0.45, 0.30), ('Q5_K_M', 0.55, 0.45))
         AS mixtures (mixture, most, wanted);

CREATE TABLE trials (
  line integer, bytes bigint, stored bigint, predicted float8, seconds float8, kl float8, kl_error float8, ratio float8,
  ratio_error float8, same_top float8, same_top_error float8
);
CREATE TABLE started (at timestamptz);

CREATE PROCEDURE begin_trial() LANGUAGE sql
BEGIN ATOMIC
  DELETE FROM started;
  INSERT INTO started VALUES (clock_timestamp());
END;

-- Exports and measures the model, and undoes what was done to it.
CREATE PROCEDURE end_trial(change_line integer, directory text, length_of_chunks integer) LANGUAGE plpgsql AS $$
DECLARE
  took float8 := (SELECT extract(epoch FROM clock_timestamp() - s.at) FROM started s);
  change changes := (SELECT c FROM changes c WHERE c.line = change_line);
  exported bigint := hartonomous.export_gguf(change.model,
                       format('%s/%s.%s.gguf', directory, change.method, change.change));
  revisions integer[] := ARRAY(SELECT r.revision_id FROM hartonomous.model_revisions r
                                WHERE r.model_id = hartonomous.model_id(change.model) AND r.state IN ('live', 'backup')
                                ORDER BY r.revision_id);
  live hartonomous.model_revisions := (SELECT r FROM hartonomous.model_revisions r
                                        WHERE r.model_id = hartonomous.model_id(change.model) AND r.state = 'live');
BEGIN
  INSERT INTO trials
    SELECT change_line, exported, live.logical_bytes, (live.metrics ->> 'predicted_kl_divergence')::float8, took,
           v.kl_divergence, v.kl_divergence_error, v.perplexity_ratio, v.perplexity_ratio_error, v.same_top,
           v.same_top_error
      FROM hartonomous.validate_model_accuracy(change.model, 'evaluation', baseline_revision => revisions[1],
                                               n_ctx => length_of_chunks) AS v;
  PERFORM hartonomous.rollback_model(change.model, revisions[1]);
  PERFORM hartonomous.drop_backup(r) FROM unnest(revisions) r WHERE r > revisions[1];
END
$$;

-- Statements one by one, because procedures that commit cannot be called by EXECUTE.
\o /dev/null
SELECT format(preparation, model, change), 'CALL begin_trial()', format(statement, model, change),
       format('CALL end_trial(%s, %L, %s)', line, :'dir', :n_ctx)
  FROM changes ORDER BY line \gexec
\o

-- ---- tables ------------------------------------------------------------------------------------------------------

\echo
\echo 'Quantized: KL divergence in nats from the imported model, with standard errors.'
\echo 'x imatrix: by that of method imatrix, whose file is as large or larger'
\echo 'met: at most the target, with no more bytes, and less than imatrix by two standard errors of the difference'
SELECT sum(l.parameter_count) / 1e6 AS millions FROM hartonomous.model_layers l WHERE l.model_id = :model \gset
WITH measured AS (SELECT c.change, c.method, t.* FROM trials t JOIN changes c USING (line))
SELECT t.change AS mixture, t.method, t.bytes, t.bytes - i.bytes AS "over imatrix",
       round(t.kl::numeric, 6) AS "KL divergence", round(t.kl_error::numeric, 6) AS "±",
       round(t.predicted::numeric, 6) AS predicted, round((t.kl / i.kl)::numeric, 3) AS "x imatrix",
       g.most AS "at most", g.wanted,
       CASE WHEN g.most IS NOT NULL THEN t.bytes <= i.bytes AND t.kl <= g.most * i.kl
              AND i.kl - t.kl > 2 * sqrt(t.kl_error ^ 2 + i.kl_error ^ 2) END AS met,
       round(t.ratio::numeric, 5) AS "x perplexity", round(t.ratio_error::numeric, 5) AS "±",
       round(t.same_top::numeric, 4) AS "same top", round(t.same_top_error::numeric, 4) AS "±",
       round((t.seconds / :millions)::numeric, 2) AS "s / M weights"
  FROM measured t
  LEFT JOIN measured i ON i.change = t.change AND i.method = 'imatrix'
  LEFT JOIN targets g ON (g.mixture, g.method) = (t.change, t.method)
 WHERE t.change = ANY (string_to_array(:'mixtures', ' '))
 ORDER BY t.line;

\echo 'Otherwise smaller: in the database, that is; an exported file has zeros for what is missing, and dense matrices'
SELECT c.change, c.method, t.stored AS "bytes stored", round(t.kl::numeric, 5) AS "KL divergence", round(t.kl_error::numeric, 5) AS "±",
       round(t.ratio::numeric, 4) AS "x perplexity", round(t.ratio_error::numeric, 4) AS "±",
       round(t.same_top::numeric, 4) AS "same top", round(t.same_top_error::numeric, 4) AS "±",
       round((t.seconds / :millions)::numeric, 2) AS "s / M weights"
  FROM trials t JOIN changes c USING (line)
 WHERE c.change <> ALL (string_to_array(:'mixtures', ' '))
 ORDER BY c.line;

-- ---- students ----------------------------------------------------------------------------------------------------

-- Their files are smaller. They are other models, so what is compared are the probabilities of the tokens of the text.
CREATE TABLE students (line integer GENERATED ALWAYS AS IDENTITY, change text, method text, statement text);
INSERT INTO students (change, method, statement)
  SELECT format('%s %% of neurons removed', percent), method,
         format('SELECT hartonomous.extract_by_neurons(''model'', %s, %%1$L, 1, %s)', 1 - percent / 100.0, arguments)
    FROM unnest('{5,10}'::integer[]) AS percent,
         (VALUES ('by energy', 'refit => false'), ('by energy, refitted', 'refit => true')) AS v (method, arguments)
   UNION ALL
  (SELECT 'one group of heads removed', method,
          format('SELECT hartonomous.extract_by_heads(''model'', %s, %%1$L, %s)', 1 - 1.0 / count(*), arguments)
     FROM hartonomous.structure_scores('model', 'heads') AS heads,
          (VALUES ('by energy', 'refit => false'), ('by energy, refitted', 'refit => true')) AS v (method, arguments)
    WHERE heads.block = 0 GROUP BY method, arguments ORDER BY method)
   UNION ALL
  (SELECT format('%s removed', what), method,
          format('SELECT hartonomous.extract_by_layers(''model'', %s, ''influence'', %%1$L, ''{}'', '
                 '(SELECT calibration FROM parts), repair => %s)', count(*) - removed, repair)
     FROM hartonomous.block_influence('model') AS blocks,
          (VALUES (1, 'one block'), (2, 'two blocks')) AS r (removed, what),
          (VALUES ('by influence', 'false'), ('by influence, repaired', 'true')) AS v (method, repair)
    GROUP BY removed, what, method, repair HAVING count(*) > 2 * removed ORDER BY removed, repair)
   UNION ALL
  SELECT 'tokens removed', 'not in either text',
         'SELECT hartonomous.extract_by_vocabulary(''model'', (SELECT calibration || evaluation FROM parts), %1$L)';
\o /dev/null
SELECT format(statement, 'student ' || line) FROM students ORDER BY line \gexec
\o

\echo
\echo 'Students'
CREATE TABLE parent_scores AS
  SELECT s.position, s.log_probability
    FROM parts, hartonomous.score_tokens('model', evaluation, :n_ctx) AS s WHERE s.log_probability IS NOT NULL;
SELECT s.change, s.method, octet_length(hartonomous.export_gguf(hartonomous.model_id('student ' || s.line))) AS bytes,
       round(exp(m.mean)::numeric, 4) AS "x perplexity", round((exp(m.mean) * m.error)::numeric, 4) AS "±"
  FROM students s
  CROSS JOIN LATERAL (
    SELECT avg(p.log_probability - t.log_probability) AS mean,
           stddev_samp(p.log_probability - t.log_probability) / sqrt(count(*)) AS error
      FROM parts
      CROSS JOIN LATERAL hartonomous.score_tokens(hartonomous.model_id('student ' || s.line), evaluation, :n_ctx) AS t
      JOIN parent_scores AS p USING (position)) AS m
 ORDER BY s.line;
