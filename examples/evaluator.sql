-- A network that is not a language model, measured by a function of the user's: a classifier of ten patterns of 8 x 8
-- pixels, with one hidden layer, and 300 noisy images to test it on. All of it is created here.
--
--   psql -f examples/evaluator.sql        needs the extension in the database

-- ---- test images: a pattern, and noise three times as loud ---------------------------------------------------------

CREATE FUNCTION pg_temp.noise(seed float8, i integer) RETURNS real LANGUAGE sql IMMUTABLE
  RETURN (2 * (sin(seed * 12.9898 + i * 78.233) * 43758.5453 - floor(sin(seed * 12.9898 + i * 78.233) * 43758.5453)) - 1)::real;
CREATE FUNCTION pg_temp.pattern(digit integer, sign integer DEFAULT 1) RETURNS real[] LANGUAGE sql IMMUTABLE
  RETURN (SELECT array_agg(sign * pg_temp.noise(digit, i) ORDER BY i) FROM generate_series(1, 64) i);

CREATE TABLE digit_images AS
  SELECT n AS image_id, n % 10 AS digit,
         (SELECT array_agg((p + 3 * pg_temp.noise(100 + n, i::integer))::real ORDER BY i)
            FROM unnest(pg_temp.pattern(n % 10)) WITH ORDINALITY u (p, i))::hartonomous.weights AS pixels
    FROM generate_series(1, 300) n;

-- ---- the network, as a safetensors file: hidden units 2d and 2d + 1 look for pattern d and for its negative ----------

CREATE FUNCTION pg_temp.floats(numbers real[]) RETURNS bytea LANGUAGE sql
  RETURN hartonomous.quantize(numbers, 'F32')::bytea;
CREATE FUNCTION pg_temp.network() RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
  header text := '{"hidden.weight":{"dtype":"F32","shape":[20,64],"data_offsets":[0,5120]},'
                 '"hidden.bias":{"dtype":"F32","shape":[20],"data_offsets":[5120,5200]},'
                 '"output.weight":{"dtype":"F32","shape":[10,20],"data_offsets":[5200,6000]}}';
  length bytea := decode(lpad(to_hex(octet_length(header)), 4, '0'), 'hex');
  file bytea;
BEGIN
  file := substr(length, 2, 1) || substr(length, 1, 1) || '\x000000000000' || convert_to(header, 'UTF8');
  FOR unit IN 0 .. 19 LOOP
    file := file || pg_temp.floats(pg_temp.pattern(unit / 2, CASE WHEN unit % 2 = 0 THEN 1 ELSE -1 END));
  END LOOP;
  file := file || pg_temp.floats(array_fill(0.1::real, ARRAY[20]));
  FOR digit IN 0 .. 9 LOOP
    file := file || pg_temp.floats(ARRAY(SELECT CASE u WHEN 2 * digit THEN 1 WHEN 2 * digit + 1 THEN -1 ELSE 0 END::real
                                           FROM generate_series(0, 19) u ORDER BY u));
  END LOOP;
  RETURN file;
END $$;

SELECT hartonomous.import_safetensors(pg_temp.network(), 'digits') AS digits \gset

-- ---- the evaluator: (model) -> share of the images that it classifies correctly --------------------------------------

-- One layer: a missing atom is a row of zeros.
CREATE FUNCTION digit_layer(model integer, tensor text, input hartonomous.weights, bias real[]) RETURNS real[]
  LANGUAGE sql STABLE AS $$
  SELECT array_agg((coalesce(hartonomous.dot(a.atom_data, input), 0) + coalesce(bias[r + 1], 0))::real ORDER BY r)
    FROM hartonomous.model_layers l
    CROSS JOIN LATERAL generate_series(0, l.tensor_shape[1]::integer - 1) r
    LEFT JOIN hartonomous.tensor_atoms a ON a.model_id = l.model_id AND a.layer_id = l.layer_id AND a.atom_sequence = r
   WHERE l.model_id = model AND l.layer_name = tensor
$$;
-- Finds its tables whatever the caller's search_path is.
CREATE FUNCTION digit_accuracy(model integer) RETURNS double precision LANGUAGE plpgsql STABLE
  SET search_path FROM CURRENT AS $$
DECLARE
  bias real[] := (SELECT hartonomous.dequantize(a.atom_data) FROM hartonomous.tensor_atoms a
                   WHERE a.model_id = model AND a.tensor_name = 'hidden.bias');
  image record;
  hidden real[];
  logits real[];
  right_ones integer := 0;
BEGIN
  FOR image IN SELECT * FROM digit_images LOOP
    hidden := ARRAY(SELECT greatest(h, 0) FROM unnest(digit_layer(model, 'hidden.weight', image.pixels, bias))
                      WITH ORDINALITY u (h, n) ORDER BY n);
    logits := digit_layer(model, 'output.weight', hidden::hartonomous.weights, NULL);
    IF logits[image.digit + 1] = (SELECT max(l) FROM unnest(logits) l) THEN
      right_ones := right_ones + 1;
    END IF;
  END LOOP;
  RETURN right_ones::float8 / (SELECT count(*) FROM digit_images);
END $$;

-- ---- measure, compress, measure again ------------------------------------------------------------------------------

SELECT revision_id, score
  FROM hartonomous.validate_model_accuracy(:digits, 'digit_accuracy(integer)'::regprocedure);
CALL hartonomous.quantize_model(:digits, 'Q4_0', layer_pattern => 'hidden%');
SELECT revision_id, score
  FROM hartonomous.validate_model_accuracy(:digits, 'digit_accuracy(integer)'::regprocedure);
SELECT hartonomous.rollback_model(:digits);
CALL hartonomous.prune_by_importance(:digits, keep_ratio => 0.7, layer_pattern => 'hidden%');
SELECT revision_id, score
  FROM hartonomous.validate_model_accuracy(:digits, 'digit_accuracy(integer)'::regprocedure);
SELECT hartonomous.rollback_model(:digits);
SELECT r.revision_id, r.stage, r.state, v.evaluator, v.score
  FROM hartonomous.model_revisions r JOIN hartonomous.validation_results v USING (revision_id)
 WHERE r.model_id = :digits ORDER BY v.result_id;
