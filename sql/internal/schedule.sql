-- Schedules by pg_cron, which keeps its jobs in one database of the server (cron.database_name). If that is another
-- database than the store's, it is reached by dblink. The commands are put together here from checked arguments;
-- pg_cron, and not this extension, stores and executes them.

CREATE FUNCTION hartonomous_internal.cron_database() RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  -- Without the library, which is loaded when the server starts, the setting has no description.
  named constant text := (SELECT s.setting FROM pg_settings s
                           WHERE s.name = 'cron.database_name' AND s.short_desc IS NOT NULL);
BEGIN
  IF named IS NULL THEN
    PERFORM hartonomous_internal.raise_error('55000', 'pg_cron is not running in this server',
      hint => 'Install it, add pg_cron to shared_preload_libraries, restart the server, and CREATE EXTENSION '
        'pg_cron in '
              'the database of cron.database_name. Roles need pg_read_all_settings to see that it is there.');
  END IF;
  RETURN named;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.cron_database() IS
  'the database in which pg_cron keeps its jobs; 55000 if it is not running';

CREATE FUNCTION hartonomous_internal.ask_cron(query text) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  database constant text := hartonomous_internal.cron_database();
  dblink constant text := hartonomous_internal.extension_schema('dblink');
  answer text;
BEGIN
  IF hartonomous_internal.extension_schema('pg_cron') IS NOT NULL THEN
    EXECUTE query INTO answer;
  ELSIF dblink IS NOT NULL AND database <> current_database() THEN
    BEGIN
      EXECUTE format('SELECT a.answer FROM %I.dblink($1, $2) a (answer text)', dblink) INTO answer
        USING concat_ws(' ', format('dbname=%s', hartonomous_internal.connection_value(database)),
                        format('user=%s', hartonomous_internal.connection_value(current_user)),
                        'host=' || hartonomous_internal.connection_value(
                          split_part(current_setting('unix_socket_directories'), ',', 1)),
                        'port=' || current_setting('port')), query;
    -- dblink connects only superusers without a password.
    EXCEPTION WHEN SQLSTATE '2F003' OR sqlclient_unable_to_establish_sqlconnection THEN
      PERFORM hartonomous_internal.raise_error('55000',
        format('database "%s", in which pg_cron is, cannot be reached by dblink: %s', database, SQLERRM),
        hint => format('Run this in "%s": %s;', database, query));
    END;
  ELSE
    PERFORM hartonomous_internal.raise_error('55000',
      format('pg_cron is not installed in database "%s", but in "%s"', current_database(), database),
      hint => format('CREATE EXTENSION dblink; lets it be reached from here. Or run this in "%s": %s;', database,
        query));
  END IF;
  RETURN answer::jsonb;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.ask_cron(text) IS
  'the answer of a query, one JSON value, in the database of pg_cron; 55000, with the query to run there, if that '
  'cannot be reached from here';

CREATE FUNCTION hartonomous_internal.connection_value(value text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN '''' || replace(replace(value, E'\\', E'\\\\'), '''', E'\\''') || '''';
COMMENT ON FUNCTION hartonomous_internal.connection_value(text) IS 'a value in a connection string of libpq, quoted';

CREATE FUNCTION hartonomous_internal.scheduled_call(model integer, procedure text, arguments jsonb) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  known text[] := (SELECT p.proargnames[2:] FROM pg_proc p
                    WHERE p.proname = procedure AND p.pronamespace = 'hartonomous'::regnamespace);
  unknown text;
BEGIN
  IF arguments IS NOT NULL AND jsonb_typeof(arguments) <> 'object' THEN
    PERFORM hartonomous_internal.raise_error('22023', 'arguments must be a JSON object',
      hint => 'For example {"max_degradation": 0.02}.');
  END IF;
  SELECT min(k.name) INTO unknown FROM jsonb_object_keys(arguments) k (name) WHERE k.name <> ALL (known);
  IF unknown IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023', format('%s() has no argument "%s"', procedure, unknown),
      hint => format('It has %s.', array_to_string(known, ', ')));
  END IF;
  -- By its number, which stays when the model is renamed.
  RETURN format('CALL hartonomous.%I(%s%s)', procedure, model, (
    SELECT string_agg(format(', %I => %L', a.name,
             CASE WHEN jsonb_typeof(a.value) = 'array' AND a.name = 'formats'
                  THEN ARRAY(SELECT jsonb_array_elements_text(a.value))::text ELSE a.value #>> '{}' END), ''
             ORDER BY a.name)
      FROM jsonb_each(arguments) a (name, value)));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.scheduled_call(integer, text, jsonb) IS
  'a call of a procedure of the extension with arguments by name; 22023 if it has no such argument';

CREATE FUNCTION hartonomous_internal.schedule_call(model integer, purpose text, schedule text, command text)
  RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  job_name constant text := format('hartonomous %s %s/%s', purpose, current_database(), model);
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  IF schedule IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'a schedule is needed',
      hint => 'For example ''0 3 * * *'', every day at three o''clock (GMT).');
  END IF;
  PERFORM hartonomous_internal.ask_cron(format(
    'SELECT to_jsonb(cron.schedule_in_database(%L, %L, %L, %L))', job_name, schedule, command, current_database()));
  RETURN job_name;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.schedule_call(integer, text, text, text) IS
  'has pg_cron call something for a model in this database; the same purpose replaces the schedule before; returns the '
  'name of the job';
