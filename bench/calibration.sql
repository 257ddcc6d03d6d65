-- The part of bench/calibration.sh in the database. Variable: dir (with model.gguf and text.txt).
\set ON_ERROR_STOP 1
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
SET hartonomous.model_cache_size = 0;
SELECT hartonomous.import_gguf(:'dir' || '/model.gguf', 'model') AS model \gset
SELECT hartonomous.add_calibration_set('text', pg_read_file(:'dir' || '/text.txt')) \g /dev/null
CREATE TABLE bench (round integer, forward double precision, diagonal double precision, gram double precision);

-- Seconds of each, in turns.
CREATE PROCEDURE measure(model integer, rounds integer) LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz[];
BEGIN
  FOR round IN 1..rounds LOOP
    DELETE FROM hartonomous.calibration_stats;
    t[0] := clock_timestamp();
    PERFORM hartonomous.perplexity(model, s.text) FROM hartonomous.calibration_sets s;
    t[1] := clock_timestamp();
    CALL hartonomous.collect_calibration(model, 'text', statistics => 'diagonal');
    t[2] := clock_timestamp();
    CALL hartonomous.collect_calibration(model, 'text');
    t[3] := clock_timestamp();
    INSERT INTO bench VALUES (round, extract(epoch FROM t[1] - t[0]), extract(epoch FROM t[2] - t[1]),
                              extract(epoch FROM t[3] - t[2]));
  END LOOP;
END $$;
CALL measure(:model, 5);
WITH m AS (
  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY forward) AS forward,
         percentile_cont(0.5) WITHIN GROUP (ORDER BY diagonal) AS diagonal,
         percentile_cont(0.5) WITHIN GROUP (ORDER BY gram) AS gram,
         (SELECT max(tokens) FROM hartonomous.calibration_stats) AS tokens FROM bench)
SELECT concat(rpad('the database, 1 thread, no cache', 42), ' ', lpad(tokens::text, 8), ' ',
              string_agg(lpad(round(x::numeric, 2)::text, w), ' ' ORDER BY n))
  FROM m, LATERAL (VALUES (1, forward, 8), (2, diagonal, 8), (3, gram, 8), (4, diagonal / forward, 9),
                          (5, gram / forward, 9)) v (n, x, w)
 GROUP BY tokens;
