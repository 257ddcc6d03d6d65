-- The table of bench/svd.sh, and the decomposition in SQL: of JSON, of a model; what placing atoms costs an import.
-- Variables: rounds, rank, dir (svd.tsv: what contenders took; 1024x1024.f32: a matrix, floats; GGUF files of F16:
-- matrices of 4 matrices 4096 x 4096, vectors of 4 vectors as long, model of 4 matrices or more).
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION hartonomous CASCADE;
SET hartonomous.threads = 2;

-- ---- beside others ---------------------------------------------------------------------------------------------

CREATE TABLE contests (
  line integer GENERATED ALWAYS AS IDENTITY, round integer, matrix text, threads integer, contender text,
  seconds double precision, error double precision, excess double precision
);
\set file :dir '/svd.tsv'
COPY contests (round, matrix, threads, contender, seconds, error, excess) FROM :'file';
\echo
\echo 'Decompositions of rank' :rank 'of float32, singular values k^-1/2, in' :rounds 'rounds.'
\echo 'ours / theirs: seconds of hartonomous by theirs in the same round'
\echo 'excess: error above the least possible, the largest of all rounds'
SELECT t.matrix, t.threads, t.contender,
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY t.seconds)::numeric, 3) AS "median s",
       round(min(t.seconds)::numeric, 3) AS "min s",
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY o.seconds / t.seconds)::numeric, 2) AS "ours / theirs",
       round(min(o.seconds / t.seconds)::numeric, 2) AS "min", round(max(o.seconds / t.seconds)::numeric, 2) AS "max",
       round(max(t.excess)::numeric, 4) AS "excess %",
       CASE WHEN t.contender = 'hartonomous' THEN 'excess <= 0.02'
            WHEN (t.contender, t.matrix) = ('scikit-learn, n_iter=4', '4096 x 4096') THEN 'ours / theirs <= 1'
       END AS target
  FROM contests t
  LEFT JOIN contests o ON o.contender = 'hartonomous' AND t.contender <> 'hartonomous'
                      AND (o.round, o.matrix, o.threads) = (t.round, t.matrix, t.threads)
 GROUP BY t.matrix, t.threads, t.contender
 ORDER BY (SELECT min(c.line) FROM contests c WHERE c.matrix = t.matrix), t.threads,
          t.contender <> 'hartonomous', "median s";

-- ---- in SQL ----------------------------------------------------------------------------------------------------

CREATE TABLE measured (line integer GENERATED ALWAYS AS IDENTITY, round integer, what text, seconds double precision);

CREATE FUNCTION seconds_since(started timestamptz) RETURNS double precision LANGUAGE sql VOLATILE
  RETURN extract(epoch FROM clock_timestamp() - started);

CREATE PROCEDURE measure_json(file text, rounds integer, rank integer) LANGUAGE plpgsql AS $$
DECLARE
  document json := to_json(hartonomous.dequantize(hartonomous.weights('F32', 1024 * 1024, pg_read_binary_file(file))));
  factors json;
  back json;
  began timestamptz;
  decomposed double precision;
  rebuilt double precision;
BEGIN
  FOR round IN 0 .. rounds LOOP
    began := clock_timestamp();
    factors := hartonomous.svd_decompose(document, 1024, 1024, rank);
    decomposed := seconds_since(began);
    began := clock_timestamp();
    back := hartonomous.reconstruct_from_svd(factors -> 'U', factors -> 'S', factors -> 'VT');
    rebuilt := seconds_since(began);
    CONTINUE WHEN round = 0;  -- it warms up
    INSERT INTO measured (round, what, seconds)
    VALUES (round, 'JSON of 1024 x 1024: svd_decompose', decomposed),
           (round, 'JSON of 1024 x 1024: reconstruct_from_svd', rebuilt),
           (round, 'JSON of 1024 x 1024: in and out', decomposed + rebuilt);
  END LOOP;
END
$$;
\set file :dir '/1024x1024.f32'
CALL measure_json(:'file', :rounds, :rank);

-- Vectors are not placed: the same weights, cut into the same atoms.
CREATE PROCEDURE measure_imports(directory text, rounds integer) LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz;
  matrices double precision;
  vectors double precision;
  hashed double precision;
BEGIN
  FOR round IN 0 .. rounds LOOP
    began := clock_timestamp();
    PERFORM hartonomous.import_gguf(directory || '/matrices.gguf', 'matrices', 4096);
    matrices := seconds_since(began);
    PERFORM hartonomous.delete_model('matrices');
    COMMIT;
    began := clock_timestamp();
    PERFORM hartonomous.import_gguf(directory || '/vectors.gguf', 'vectors', 4096);
    vectors := seconds_since(began);
    PERFORM hartonomous.delete_model('vectors');
    COMMIT;
    began := clock_timestamp();
    PERFORM hartonomous.file_sha256(directory || '/matrices.gguf');
    hashed := seconds_since(began);
    CONTINUE WHEN round = 0;
    INSERT INTO measured (round, what, seconds)
    VALUES (round, 'import of 4 matrices 4096 x 4096, F16', matrices),
           (round, '  as vectors, which are not placed', vectors),
           (round, '  the difference: placing', matrices - vectors),
           (round, '  sha256 of the file alone', hashed);
  END LOOP;
END
$$;
CALL measure_imports(:'dir', :rounds);

-- One layer is also the seconds of its step, every layer a measurement.
CREATE PROCEDURE measure_compression(model integer, rounds integer, rank integer) LANGUAGE plpgsql AS $$
DECLARE
  layers integer := (SELECT count(*) FROM hartonomous.model_layers l WHERE l.model_id = model);
  began timestamptz;
  all_layers double precision;
  run bigint;
BEGIN
  FOR round IN 1 .. rounds LOOP
    began := clock_timestamp();
    CALL hartonomous.svd_compress_model(model, rank => measure_compression.rank);
    all_layers := seconds_since(began);
    SELECT max(r.run_id) INTO run FROM hartonomous.compression_runs r WHERE r.model_id = model;
    IF (SELECT count(*) FROM hartonomous.svd_outcomes(run) o WHERE o.outcome LIKE 'rank %') <> layers THEN
      RAISE EXCEPTION 'not all of % layers were factored', layers;
    END IF;
    INSERT INTO measured (round, what, seconds)
    VALUES (round, format('svd_compress_model of %s layers 4096 x 4096, F16', layers), all_layers),
           (round, '  by the number of layers', all_layers / layers);
    INSERT INTO measured (round, what, seconds)
      SELECT round, '  a layer''s step alone', o.seconds FROM hartonomous.svd_outcomes(run) o;
    PERFORM hartonomous.rollback_model(model);
    COMMIT;
  END LOOP;
END
$$;
SELECT hartonomous.import_gguf(:'dir' || '/model.gguf', 'model') AS model \gset
CALL measure_compression(:model, :rounds, :rank);

-- What a step does with its tensor before it writes.
CREATE PROCEDURE measure_step(model integer, rounds integer, rank integer) LANGUAGE plpgsql AS $$
DECLARE
  tensor text := (SELECT l.layer_name FROM hartonomous.model_layers l WHERE l.model_id = model AND l.position = 0);
  matrix hartonomous.weights;
  factors hartonomous.svd_factors;
  error double precision;
  began timestamptz;
  parts double precision[];
BEGIN
  FOR round IN 0 .. rounds LOOP
    began := clock_timestamp();
    matrix := hartonomous.tensor_weights(model, tensor);
    parts[1] := seconds_since(began);
    began := clock_timestamp();
    factors := hartonomous.svd_decompose(matrix, 4096, 4096, rank);
    parts[2] := seconds_since(began);
    began := clock_timestamp();
    factors := hartonomous.quantize_factors(factors, 'F16');
    error := hartonomous.svd_error(matrix, factors);
    parts[3] := seconds_since(began);
    CONTINUE WHEN round = 0;
    INSERT INTO measured (round, what, seconds)
    VALUES (round, '    of it: tensor_weights', parts[1]), (round, '    of it: svd_decompose', parts[2]),
           (round, '    of it: quantize_factors, svd_error', parts[3]);
  END LOOP;
END
$$;
CALL measure_step(:model, :rounds, :rank);

\echo 'In SQL, two threads.'
SELECT m.what, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY m.seconds)::numeric, 3) AS "median s",
       round(min(m.seconds)::numeric, 3) AS "min s", round(max(m.seconds)::numeric, 3) AS "max s",
       CASE m.what WHEN 'JSON of 1024 x 1024: in and out' THEN '<= 1'
                   WHEN 'svd_compress_model of 32 layers 4096 x 4096, F16' THEN '<= 20'
                   WHEN '  by the number of layers' THEN '<= 0.625: 20 for 32' END AS "target s"
  FROM measured m GROUP BY m.what ORDER BY min(m.line);
