-- What bench/run.sh prints: medians, and the ratios that have targets.
\pset footer off
\echo
SELECT what, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds)::numeric, 3) AS "median s",
       round(min(seconds)::numeric, 3) AS "min s", round(max(seconds)::numeric, 3) AS "max s"
  FROM bench GROUP BY what ORDER BY min(ctid);

CREATE TEMP VIEW rounds AS
  SELECT round, jsonb_object_agg(what, seconds) AS s FROM bench GROUP BY round;
SELECT what AS ratio, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ratio)::numeric, 2) AS median,
       round(min(ratio)::numeric, 2) AS min, round(max(ratio)::numeric, 2) AS max, target
  FROM (
    SELECT 'speed of import / speed of COPY BINARY, rows of 4096' AS what, 1 AS position, '>= 0.8' AS target,
           (s ->> 'COPY, rows of 4096')::float8 / (s ->> 'import, rows of 4096')::float8 AS ratio FROM rounds
    UNION ALL
    SELECT 'speed of import / speed of COPY BINARY, atoms of 32', 2, '>= 0.8',
           (s ->> 'COPY, a million atoms of 32')::float8 / (s ->> 'import, a million atoms of 32')::float8 FROM rounds
    UNION ALL
    SELECT 'quantize_model / CREATE TABLE AS of its output, codec apart', 3, '<= 1.5',
           ((s ->> 'quantize_model (Q8_0)')::float8 - (s ->> 'codec of the rewrite (Q8_0)')::float8)
           / (s ->> 'CREATE TABLE AS of its output')::float8 FROM rounds
    UNION ALL
    SELECT 'quantize_model / CREATE TABLE AS of its output, codec and all', 4, '',
           (s ->> 'quantize_model (Q8_0)')::float8 / (s ->> 'CREATE TABLE AS of its output')::float8 FROM rounds
    UNION ALL
    SELECT 'student of 40 % / CREATE TABLE AS of its rows', 5, '<= 1.3',
           (s ->> 'student of 40 % of a million')::float8 / (s ->> 'CREATE TABLE AS of its rows')::float8 FROM rounds
    UNION ALL
    SELECT 'student of 40 % / the same with its indexes', 6, '',
           (s ->> 'student of 40 % of a million')::float8 / (s ->> 'the same with its indexes')::float8 FROM rounds
  ) r GROUP BY what, position, target ORDER BY position;
