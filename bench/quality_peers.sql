-- What llama.cpp makes of the files of bench/quality.sh. Variables: dir, with peers.tsv.
\pset footer off
CREATE TABLE peers (
  line integer GENERATED ALWAYS AS IDENTITY, method text, mixture text, bytes bigint, kl float8, kl_error float8,
  ratio float8, same_top float8
);
\set file :dir '/peers.tsv'
COPY peers (method, mixture, bytes, kl, kl_error, ratio, same_top) FROM :'file';

\echo 'The same files in stock llama.cpp, beside that which its own quantization writes by the same importance matrix'
SELECT t.mixture, t.method, t.bytes, t.bytes - q.bytes AS "over llama-quantize",
       round(t.kl::numeric, 6) AS "KL divergence", round(t.kl_error::numeric, 6) AS "±",
       round((t.kl / q.kl)::numeric, 3) AS "x llama-quantize",
       round(t.ratio::numeric, 5) AS "x perplexity", round(t.same_top::numeric, 4) AS "same top"
  FROM peers t
  LEFT JOIN peers q ON q.mixture = t.mixture AND q.method = 'llama-quantize'
 ORDER BY t.line;
