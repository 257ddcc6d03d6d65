-- For suites on models: functions that build GGUF and safetensors files in SQL, byte by byte and independently of the
-- project's own writers, so that tests can also build invalid ones; and functions that describe the contents of a
-- model. Included with \ir inside the transaction of the suite. HARTONOMOUS_TMP and HARTONOMOUS_MODEL (scripts/test.sh)
-- are available as the settings hartonomous_test.dir and hartonomous_test.model; if they are not set (:has_directory,
-- :has_example_model), tests that need files on the server are skipped.
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS hartonomous CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE SCHEMA lib;
GRANT USAGE ON SCHEMA lib TO PUBLIC;
SELECT set_config('search_path',
  'lib, hartonomous, hartonomous_internal, hartonomous_partitions, ' || current_setting('search_path'), true)
  \g /dev/null
\set test_dir `echo "$HARTONOMOUS_TMP"`
\set test_model `echo "$HARTONOMOUS_MODEL"`
SELECT set_config('hartonomous_test.dir',
  coalesce(nullif(current_setting('hartonomous_test.dir', true), ''), :'test_dir'), true),
       set_config('hartonomous_test.model',
         coalesce(nullif(current_setting('hartonomous_test.model', true), ''), :'test_model'), true)
  \g /dev/null
SELECT current_setting('hartonomous_test.dir') <> '' AS has_directory,
       current_setting('hartonomous_test.model') <> '' AS has_example_model \gset

-- The path of a file on the server for this session; NULL if there is no directory for it.
CREATE FUNCTION lib.server_path(name text) RETURNS text LANGUAGE sql STABLE
  RETURN nullif(current_setting('hartonomous_test.dir', true), '') || '/' || pg_backend_pid() || '-' || name;
CREATE FUNCTION lib.example_model() RETURNS text LANGUAGE sql STABLE
  RETURN nullif(current_setting('hartonomous_test.model', true), '');

-- Bytes

CREATE FUNCTION lib.reversed(bytes bytea) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT coalesce(string_agg(substr(bytes, i, 1), '' ORDER BY i DESC), '')
    FROM generate_series(1, length(bytes)) i);
CREATE FUNCTION lib.le(number bigint, bytes integer) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN substr(lib.reversed(int8send(number)), 1, bytes);
CREATE FUNCTION lib.zeros(bytes bigint) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN decode(repeat('00', bytes::integer), 'hex');
CREATE FUNCTION lib.str(value text) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN lib.le(octet_length(value), 8) || convert_to(value, 'UTF8');
CREATE FUNCTION lib.f32(VARIADIC numbers real[]) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT coalesce(string_agg(lib.reversed(float4send(x)), '' ORDER BY i), '')
            FROM unnest(numbers) WITH ORDINALITY u (x, i));
-- Numbers that look like weights: every run is different, and the same each time.
CREATE FUNCTION lib.wave(count integer, seed double precision) RETURNS real[] LANGUAGE sql IMMUTABLE
  RETURN (
    SELECT array_agg((sin(i * 0.7 + seed) * cos(i * i * 0.013 * (seed + 1)) + 0.1 * sin(seed * 5))::real ORDER BY i)
            FROM generate_series(1, count) i);
-- A matrix of `rows` such runs, each of a different magnitude.
CREATE FUNCTION lib.waves(rows integer, columns integer, seed double precision) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN (SELECT string_agg(lib.f32(VARIADIC (SELECT array_agg((w * (1 + (r * 7 % rows) * 0.5 / rows))::real ORDER BY i)
                                                FROM unnest(lib.wave(columns, seed + r)) WITH ORDINALITY u (w, i))),
                            '' ORDER BY r)
            FROM generate_series(0, rows - 1) r);

-- GGUF. dims: row length first, as in the file. type: the number of the type in ggml.

CREATE TYPE lib.tensor AS (name text, dims bigint[], type integer, data bytea);

CREATE FUNCTION lib.kv(key text, type integer, value bytea) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN lib.str(key) || lib.le(type, 4) || value;
CREATE FUNCTION lib.kv_text(key text, value text) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN lib.kv(key, 8, lib.str(value));
CREATE FUNCTION lib.kv_u32(key text, value bigint) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN lib.kv(key, 4, lib.le(value, 4));
CREATE FUNCTION lib.padded(bytes bytea, alignment bigint) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN bytes || lib.zeros((alignment - length(bytes) % alignment) % alignment);

CREATE FUNCTION lib.gguf(tensors lib.tensor[], kv bytea[] DEFAULT ARRAY[lib.kv_text('general.architecture', 'llama')],
                         version integer DEFAULT 3, alignment integer DEFAULT 32) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  header bytea := '\x47475546'::bytea || lib.le(version, 4) || lib.le(coalesce(cardinality(tensors), 0), 8)
                  || lib.le(coalesce(cardinality(kv), 0), 8);
  data bytea := '';
  item bytea;
  t lib.tensor;
  dim bigint;
BEGIN
  FOREACH item IN ARRAY coalesce(kv, '{}') LOOP
    header := header || item;
  END LOOP;
  FOREACH t IN ARRAY coalesce(tensors, '{}') LOOP
    header := header || lib.str(t.name) || lib.le(cardinality(t.dims), 4);
    FOREACH dim IN ARRAY t.dims LOOP
      header := header || lib.le(dim, 8);
    END LOOP;
    header := header || lib.le(t.type, 4) || lib.le(length(data), 8);
    data := lib.padded(data || t.data, alignment);
  END LOOP;
  RETURN lib.padded(header, alignment) || data;
END
$$;

-- A small transformer: matrices with rows of 64, 256, 172 and 9 weights, and a vector.
CREATE FUNCTION lib.little_tensors(seed double precision DEFAULT 1) RETURNS lib.tensor[] LANGUAGE sql IMMUTABLE
  RETURN ARRAY[
    ROW('token_embd.weight', '{64,20}', 0, lib.waves(20, 64, seed))::lib.tensor,
    ROW('blk.0.attn_norm.weight', '{64}', 0, lib.waves(1, 64, seed + 1))::lib.tensor,
    ROW('blk.0.attn_q.weight', '{256,10}', 0, lib.waves(10, 256, seed + 2))::lib.tensor,
    ROW('blk.0.ffn_down.weight', '{172,30}', 0, lib.waves(30, 172, seed + 3))::lib.tensor,
    ROW('output.weight', '{9,40}', 0, lib.waves(40, 9, seed + 4))::lib.tensor];
CREATE FUNCTION lib.little_gguf(seed double precision DEFAULT 1) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN lib.gguf(lib.little_tensors(seed), ARRAY[
    lib.kv_text('general.architecture', 'llama'), lib.kv_u32('general.file_type', 0),
    lib.kv_u32('llama.block_count', 1),
    lib.kv('general.scores', 9, lib.le(6, 4) || lib.le(3, 8) || lib.f32(0, -1.5, 'NaN')),
    lib.kv('tokenizer.tokens', 9, lib.le(8, 4) || lib.le(2, 8) || lib.str('<s>') || lib.str('ü'))]);

-- safetensors. `tensors` have names of dtypes and PyTorch shapes.

CREATE TYPE lib.st_tensor AS (name text, dtype text, shape bigint[], data bytea);

CREATE FUNCTION lib.safetensors_raw(header text, data bytea) RETURNS bytea LANGUAGE sql IMMUTABLE
  RETURN lib.str(header) || data;
CREATE FUNCTION lib.safetensors(tensors lib.st_tensor[], metadata text DEFAULT NULL) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  items text[] := CASE WHEN metadata IS NULL THEN '{}' ELSE ARRAY['"__metadata__":' || metadata] END;
  data bytea := '';
  t lib.st_tensor;
BEGIN
  FOREACH t IN ARRAY tensors LOOP
    items := items || format('%s:{"dtype":"%s","shape":[%s],"data_offsets":[%s,%s]}', to_json(t.name), t.dtype,
                             array_to_string(t.shape, ','), length(data), length(data) + length(t.data));
    data := data || t.data;
  END LOOP;
  RETURN lib.safetensors_raw('{' || array_to_string(items, ',') || '}', data);
END
$$;

-- The contents of a model (the store need not exist yet)

SET LOCAL check_function_bodies = off;

-- In PL/pgSQL because, within a transaction, an SQL function may keep reading a partition that has been swapped out.
CREATE FUNCTION lib.holds(model integer) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT count(*) || ' atoms ' || md5(string_agg(concat_ws('|', a.layer_id, a.atom_sequence, a.tensor_atom_id,
           a.tensor_name, a.x, a.y, a.importance_score, a.weights_geometry::text, a.quantized_position,
           a.hilbert_index, a.planned_format, a.content_hash, sha256(a.atom_data::bytea),
           weights_format(a.atom_data)), ',' ORDER BY a.layer_id, a.atom_sequence))
    FROM hartonomous.tensor_atoms a WHERE a.model_id = model);
END
$$;
CREATE FUNCTION lib.explain(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || query;
END
$$;
CREATE FUNCTION lib.layer(model integer, name text) RETURNS bigint LANGUAGE sql STABLE
AS 'SELECT l.layer_id FROM hartonomous.model_layers l WHERE l.model_id = model AND l.layer_name = name';
CREATE FUNCTION lib.present(model integer) RETURNS integer LANGUAGE sql STABLE
AS 'SELECT m.current_revision FROM hartonomous.models m WHERE m.model_id = model';
-- All relations of the store, which failed work must leave as they were.
CREATE FUNCTION lib.relations() RETURNS text[] LANGUAGE sql STABLE
  RETURN (SELECT array_agg(c.relname::text ORDER BY c.relname) FROM pg_class c
           WHERE c.relnamespace IN ('hartonomous'::regnamespace, 'hartonomous_partitions'::regnamespace)
             AND c.relkind IN ('r', 'p', 'i', 'I'));

-- All that the store contains, for tests that nothing is left behind.
CREATE FUNCTION lib.store_state() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT concat_ws(' ', (SELECT count(*) FROM hartonomous.models), (SELECT count(*) FROM hartonomous.model_layers),
                   (SELECT count(*) FROM hartonomous.model_revisions), (SELECT count(*) FROM hartonomous.tensor_atoms),
                   (SELECT count(*) FROM hartonomous.tensor_atoms_backup),
                   (SELECT count(*) FROM hartonomous.compression_runs), array_to_string(lib.relations(), ','))
$$;

-- The result of a statement executed as a role: '00000', or the SQLSTATE of the error, which undoes the statement.
CREATE FUNCTION lib.state_as(role name, statement text, OUT state text, OUT message text, OUT hint text)
LANGUAGE plpgsql AS $$
DECLARE
  caller name := current_user;
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', role);
  EXECUTE statement;
  EXECUTE format('SET LOCAL ROLE %I', caller);
  state := '00000';
EXCEPTION WHEN OTHERS THEN  -- this also resets the role
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END
$$;

-- Functions and procedures with these names that have no comment.
CREATE FUNCTION lib.without_comment(VARIADIC names text[]) RETURNS SETOF text LANGUAGE sql STABLE AS $$
  SELECT p.oid::regprocedure::text FROM pg_proc p
   WHERE p.pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace)
   AND p.proname = ANY (names)
     AND obj_description(p.oid, 'pg_proc') IS NULL
  UNION ALL
  SELECT n || ' does not exist' FROM unnest(names) n
   WHERE NOT EXISTS (SELECT FROM pg_proc p
     WHERE p.pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace) AND p.proname = n)
$$;

RESET check_function_bodies;
