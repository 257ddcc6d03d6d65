-- One model of bench/compress.sh. Variables: dir (with model.gguf and text.txt) and bits, separated by spaces.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION hartonomous CASCADE;
SET hartonomous.threads = 1;
SELECT hartonomous.import_gguf(:'dir' || '/model.gguf', 'model') AS model \gset
\ir split_text.sql
CALL hartonomous.collect_calibration(:model, 'calibration');
CALL hartonomous.measure_sensitivity(:model, 'calibration', 'hessian');
SELECT sum(s.seconds) AS probes FROM hartonomous.sensitivity_probes s \gset

CREATE TABLE results (
  line integer GENERATED ALWAYS AS IDENTITY, goal text, bits numeric, bytes bigint, kl float8, kl_error float8,
  ratio float8, ratio_error float8, same_top float8, seconds float8
);
CREATE TABLE started (at timestamptz);

-- Measures the live revision against the first one, and goes back to it.
CREATE PROCEDURE note(goal text) LANGUAGE plpgsql AS $$
DECLARE
  took float8 := (SELECT extract(epoch FROM clock_timestamp() - s.at) FROM started s);
  first_one integer := (SELECT min(r.revision_id) FROM hartonomous.model_revisions r);
  weights bigint := (SELECT m.parameter_count FROM hartonomous.models m);
BEGIN
  INSERT INTO results (goal, bits, bytes, kl, kl_error, ratio, ratio_error, same_top, seconds)
    SELECT goal, round(r.logical_bytes * 8.0 / weights, 2), r.logical_bytes, v.kl_divergence, v.kl_divergence_error,
           v.perplexity_ratio, v.perplexity_ratio_error, v.same_top, took
      FROM hartonomous.models m JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision
      CROSS JOIN LATERAL hartonomous.validate_model_accuracy(m.model_id, 'evaluation', first_one, 256) v;
  PERFORM hartonomous.rollback_model('model', first_one);
  DELETE FROM started;
END
$$;
\o /dev/null
SELECT 'INSERT INTO started VALUES (clock_timestamp())',
       format('CALL hartonomous.compress_model(''model'', target_bits_per_weight => %s, measure => ''kl_divergence'', n_ctx => 256)', b),
       format('CALL note(%L)', b || ' bits a weight')
  FROM string_to_table(:'bits', ' ') b \gexec
SELECT 'INSERT INTO started VALUES (clock_timestamp())',
       format('CALL hartonomous.quantize_model(''model'', %L, method => ''imatrix'', calibration_set => ''calibration'')', p.mixture),
       format('CALL note(%L)', p.mixture)
  FROM hartonomous.mixtures() p WHERE p.mixture IN ('Q2_K', 'Q3_K_S', 'Q3_K_M', 'Q3_K_L', 'IQ4_XS', 'Q4_K_S', 'Q4_K_M',
         'Q5_K_S', 'Q5_K_M') \gexec
\o

SELECT r.goal, r.bits, r.bytes, round(r.kl::numeric, 6) AS "KL divergence", round(r.kl_error::numeric, 6) AS "±",
       round(r.ratio::numeric, 5) AS "x perplexity", round(r.ratio_error::numeric, 5) AS "±",
       round(r.same_top::numeric, 4) AS "same top", round(r.seconds::numeric, 1) AS s,
       b.goal AS "beside", b.bytes - r.bytes AS "more bytes", round((r.kl / b.kl)::numeric, 3) AS "x its KL divergence"
  FROM results r
  LEFT JOIN LATERAL (SELECT * FROM results b WHERE r.goal LIKE '%bits%' AND b.goal NOT LIKE '%bits%'
                        AND b.bytes >= r.bytes ORDER BY b.bytes LIMIT 1) b ON true
 ORDER BY r.line;
