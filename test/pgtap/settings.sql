-- Settings: each role chooses, within limits that only superusers set.
BEGIN;
\ir lib/model_files.sql
SELECT plan(24);
CREATE ROLE settings_user;
SELECT create_store() \g /dev/null
SELECT FROM formats();  -- from here on the settings are known
SELECT is(setting, value, name) FROM (VALUES ('max_work_memory', '1GB'), ('threads', '1'), ('model_cache_size', '64MB'),
    ('threads_limit', '64'), ('swap_timeout', '1min'), ('check_disk_space', 'on')) v (name, value),
  LATERAL current_setting('hartonomous.' || name) setting;
SELECT set_eq($$SELECT name FROM pg_settings WHERE name LIKE 'hartonomous.%' AND context = 'superuser'$$,
  ARRAY['hartonomous.max_work_memory_limit', 'hartonomous.threads_limit', 'hartonomous.model_cache_size_limit'],
  'limits are for superusers');
-- Before PostgreSQL 15 there is only a warning of what does not exist.
SELECT CASE WHEN current_setting('server_version_num')::integer < 150000 THEN '00000' ELSE '42602' END AS unknown \gset
SELECT is((state_as('settings_user', format('SET LOCAL hartonomous.%s = %s', name, value))).state, state,
    format('a user: SET hartonomous.%s = %s', name, value))
  FROM (VALUES ('threads', '64', '00000'), ('threads', '65', '22023'), ('threads', '0', '22023'),
    ('max_work_memory', '''100GB''', '00000'), ('model_cache_size', '''100GB''', '00000'),
    ('threads_limit', '64', '42501'), ('max_work_memory_limit', '''1GB''', '42501'),
    ('model_cache_size_limit', '0', '42501'), ('nosuch', '1', :'unknown')) v (name, value, state);

-- A limit is stronger than what was set before it and what is set after it.
CREATE FUNCTION lib.said(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
  EXECUTE statement;
  RETURN 'done';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS said = PG_EXCEPTION_HINT;
  RETURN concat_ws(' ', SQLSTATE, SQLERRM, said);
END $$;
\set large 'SELECT svd_decompose(array_fill(1::real, ARRAY[1048576])::weights, 1024, 1024, 4)'
SELECT is(said(:'large'), 'done', 'within the default');
SET LOCAL hartonomous.max_work_memory_limit = '4MB';
SELECT is(said(:'large'), '53200 singular value decomposition needs more than hartonomous.max_work_memory '
  'A superuser can raise hartonomous.max_work_memory_limit.', 'a limit set later');
SET LOCAL hartonomous.max_work_memory = '2GB';
SELECT matches(said(:'large'), '^53200 .*_limit\.$', 'more does not help');
SET LOCAL hartonomous.max_work_memory_limit = '2GB';
SELECT is(said(:'large'), 'done', 'without the limit it does');
SET LOCAL hartonomous.max_work_memory = '4MB';
SELECT matches(said(:'large'), '^53200 .* Raise hartonomous.max_work_memory for this session\.$', 'a user''s own');
RESET hartonomous.max_work_memory;
SET LOCAL hartonomous.threads_limit = 1;
SET LOCAL hartonomous.threads = 8;
SELECT is(said(:'large'), 'done', 'the limit of threads');

-- How full disks are
SELECT is((state_as('settings_user', statement)).state, '42501', 'not for everybody: ' || statement) FROM (VALUES
  ('SELECT free_bytes_of_tablespace(0)'), ('SELECT free_bytes_of_relation(''hartonomous.models'')')) v (statement);
SELECT * FROM finish();
ROLLBACK;
