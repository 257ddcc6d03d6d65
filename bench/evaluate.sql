-- The part of bench/evaluate.sh in the database. Variable: dir (with model.gguf and text.txt).
\set ON_ERROR_STOP 1
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
SELECT hartonomous.import_gguf(:'dir' || '/model.gguf', 'model') AS model \gset
CREATE TABLE bench (text text, tokens bigint);
INSERT INTO bench SELECT t, cardinality(hartonomous.tokenize(:model, t)) / 512 * 512
  FROM pg_read_file(:'dir' || '/text.txt') t;

CREATE FUNCTION measured(model integer, what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  started timestamptz;
  value double precision;
BEGIN
  started := clock_timestamp();
  SELECT hartonomous.perplexity(model, b.text, 512) INTO value FROM bench b;
  RETURN (SELECT format('%s %s %s', rpad(what, 42), lpad(round(value::numeric, 4)::text, 10),
                        lpad(round(b.tokens / extract(epoch FROM clock_timestamp() - started))::text, 10)) FROM bench b);
END $$;
SET hartonomous.model_cache_size = 0;
SELECT measured(:model, 'perplexity(), 1 thread, no cache');
SET hartonomous.threads = 2;
SELECT measured(:model, 'perplexity(), 2 threads, no cache');
RESET hartonomous.threads;
SET hartonomous.model_cache_size = '1GB';
SELECT hartonomous.perplexity(:model, text, 512) FROM bench \g /dev/null
SELECT measured(:model, 'perplexity(), 1 thread, from the cache');
SET hartonomous.model_cache_size = 0;
CALL hartonomous.quantize_model(:model, 'Q8_0');
SELECT measured(:model, 'perplexity(), 1 thread, no cache, Q8_0');
SELECT hartonomous.rollback_model(:model) \g /dev/null
CALL hartonomous.quantize_model(:model, 'Q4_K', pure => true);
SELECT measured(:model, 'perplexity(), 1 thread, no cache, Q4_K');
