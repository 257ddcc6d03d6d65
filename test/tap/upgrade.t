# A store that version 0.1.0 made (test/upgrade/make_store.sh) is brought to the present version: in its own database by
# ALTER EXTENSION UPDATE, and by restoring its dump where the present version is installed. In both, catalogs are then
# what a fresh install has, and models are what they were. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Server;
use Session;
use Test::More;

my $server = Server->new;
my $work = $server->basedir;
my $old = "$FindBin::Bin/../upgrade";
system("gunzip -c $old/store-0.1.0.sql.gz >$work/store.sql") == 0 or die;

# What a database has of the extension, and of the tables of the store. The order of columns may differ, and a primary key
# keeps its fill factor. NOT NULL is a constraint with a name from PostgreSQL 18 on.
my $members = <<'SQL';
SELECT o.type || ' ' || o.identity || ' ' || md5(concat_ws(' ', obj_description(d.objid, d.classid::regclass::text),
       (SELECT md5(row(p.prokind, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.prosrc, p.probin,
                       pg_get_function_sqlbody(p.oid), p.provolatile, p.proparallel, p.proisstrict, p.procost, p.prorows,
                       p.proconfig, p.prosecdef, p.proleakproof)::text)
          FROM pg_proc p WHERE d.classid = 'pg_proc'::regclass AND p.oid = d.objid),
       (SELECT array_agg(a::text ORDER BY a::text) FROM pg_proc p, unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a
         WHERE d.classid = 'pg_proc'::regclass AND p.oid = d.objid AND a::text NOT LIKE 'of_a_user=%'),
       (SELECT array_agg(a::text ORDER BY a::text) FROM pg_init_privs i, unnest(i.initprivs) a
         WHERE i.classoid = d.classid AND i.objoid = d.objid),
       (SELECT row(g.aggtransfn, g.aggfinalfn, g.aggcombinefn, format_type(g.aggtranstype, NULL), g.agginitval)
          FROM pg_aggregate g WHERE d.classid = 'pg_proc'::regclass AND g.aggfnoid = d.objid),
       (SELECT row(t.typtype, t.typlen, t.typstorage, t.typcategory, t.typinput, t.typoutput,
                   ARRAY(SELECT a.attname || format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
                          WHERE a.attrelid = t.typrelid ORDER BY a.attnum))
          FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid)))
  FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
 CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) o
 WHERE d.deptype = 'e' AND e.extname = 'hartonomous' ORDER BY 1
SQL
my $tables = <<'SQL';
SELECT p.part FROM pg_class c CROSS JOIN LATERAL (
  SELECT concat_ws(' ', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage,
                   a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'note'
  UNION ALL
  SELECT concat_ws(' ', c.relname, n.conname, pg_get_constraintdef(n.oid)) FROM pg_constraint n
   WHERE n.conrelid = c.oid AND n.contype <> 'n'
  UNION ALL
  SELECT concat_ws(' ', c.relname, replace(pg_get_indexdef(i.indexrelid), ' WITH (fillfactor=''100'')', ''))
    FROM pg_index i
   WHERE i.indrelid = c.oid AND i.indexrelid::regclass::text <> 'hartonomous.atoms_by_note'
  UNION ALL
  SELECT concat_ws(' ', c.relname, c.relkind, c.relreplident, pg_get_userbyid(c.relowner), c.reloptions,
                   ARRAY(SELECT a::text FROM unnest(coalesce(c.relacl, acldefault('r', c.relowner))) a
                          WHERE a::text NOT LIKE 'of_a_user=%' ORDER BY 1),
                   obj_description(c.oid, 'pg_class'), pg_get_partkeydef(c.oid),
                   CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END)) p (part)
 WHERE c.relnamespace = 'hartonomous'::regnamespace AND c.relkind IN ('r', 'p', 'v') ORDER BY 1
SQL
my $models = <<'SQL';
SELECT e.model_name, e.exported = sha256(hartonomous.export_gguf(hartonomous.model_id(e.model_name)))
  FROM public.expected e ORDER BY 1
SQL
my $history = <<'SQL';
SELECT e.model_name FROM public.expected e CROSS JOIN LATERAL (
  SELECT count(*) AS revisions FROM jsonb_array_elements(e.history) o (entry)
   WHERE NOT EXISTS (SELECT FROM hartonomous.model_history(hartonomous.model_id(e.model_name)) h
                      WHERE to_jsonb(h) @> o.entry)) lost WHERE lost.revisions > 0
SQL

$server->database('fresh');
$server->safe_psql('fresh', 'SELECT hartonomous.create_store()');
my %fresh = map { $_ => $server->safe_psql('fresh', $_) } $members, $tables;

sub parts_that_differ {
    my ($database, $query) = @_;
    my %count;
    $count{$_}++ for split /\n/, $fresh{$query};
    $count{$_}-- for split /\n/, $server->safe_psql($database, $query);
    return join "\n", map { ($count{$_} > 0 ? 'missing: ' : 'too much: ') . $_ } grep { $count{$_} } sort keys %count;
}

# What must hold in an upgraded database.
sub works {
    my ($database) = @_;
    is parts_that_differ($database, $members), '', "$database: all objects of the extension are those of a fresh install";
    is parts_that_differ($database, $tables), '', "$database: all tables are those of a fresh store";
    is $server->safe_psql($database, $models), "little|t\nllama|t\nstudent|t", "$database: models are what they were";
    is $server->safe_psql($database, $history), '', "$database: so are their histories";
    my $s = $server->quiet_session($database);
    is $s->query('SELECT hartonomous.upgrade_store();'), 0, "$database: nothing more to upgrade";
    is $s->query($_), '', "$database: $_" for
        'SELECT m.model_name, c.* FROM hartonomous.models m, hartonomous.check_model(m.model_id) c;',
        'SELECT * FROM hartonomous.check_store();',
        'CALL hartonomous.quantize_model(\'llama\', \'Q8_0\');',
        'CALL hartonomous.prune_by_importance(\'student\', 0.5);';
    is $s->query("SELECT hartonomous.rollback_model('$_->[0]', $_->[1]);"), $_->[1], "$database: a revision of before"
        for ['little', 1], ['llama', 2];
    like $s->query('SELECT hartonomous.add_calibration_set(\'text\', \'the cat sat\');'), qr/^\\x/,
        "$database: a table that is new is used";
    is $s->query('SELECT count(DISTINCT note) FROM hartonomous.tensor_atoms;'), 2, "$database: a column of the user's is kept";
    is $s->query('SELECT weights::text, name_of(1) FROM public.of_a_user;'),
        'F32[3]:0000803f0000004000004040|little', "$database: values in a table of the user's";
    is $s->query('SELECT count(*) FROM public.models_of_a_user;'), 3, "$database: a view of the user's";
    $s->close;
}

# ---- the database of the old version -----------------------------------------------------------------------------

$server->safe_psql('postgres', 'CREATE DATABASE upgraded; CREATE ROLE of_a_user');
$server->safe_psql('upgraded', "SET client_min_messages = warning; CREATE EXTENSION hartonomous VERSION '0.1.0' CASCADE");
$server->psql('upgraded', undef, extra_params => ['-q', '-v', 'ON_ERROR_STOP=1', '-f', "$work/store.sql"]) == 0 or die;
my $session = $server->quiet_session('upgraded');
my $said = $session->query('SELECT * FROM hartonomous.list_models();');
like $said, qr/55000: extension hartonomous has version 0\.1\.0, its library has version/, 'SQL of the old version';
like $said, qr/HINT:  ALTER EXTENSION hartonomous UPDATE/, '... with a hint';
$session->query('GRANT EXECUTE ON FUNCTION hartonomous.file_sha256(text) TO of_a_user;');
$session->query('REVOKE EXECUTE ON FUNCTION hartonomous.list_models() FROM PUBLIC;');
$session->query('GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO of_a_user;');
is $session->query('ALTER EXTENSION hartonomous UPDATE;'), '', 'ALTER EXTENSION UPDATE';
is $session->query(<<'SQL'), 't|f', 'rights on functions are kept';
SELECT has_function_privilege('of_a_user', 'hartonomous.file_sha256(text)', 'EXECUTE'),
       has_function_privilege('of_a_user', 'hartonomous.list_models()', 'EXECUTE');
SQL
like $session->query($_), qr/55000: the tables of the store have version 1.*HINT:  [^\n]*upgrade_store/s, "refused: $_" for
    'SELECT * FROM hartonomous.list_models();', 'CALL hartonomous.quantize_model(\'little\', \'Q8_0\');',
    'SELECT hartonomous.import_gguf(\'\x00\'::bytea, \'new\');', 'SELECT hartonomous.export_gguf(1);',
    'SELECT * FROM hartonomous.check_store();', 'SELECT hartonomous.generate_text(\'llama\', \'the\', 1);',
    'SELECT hartonomous.add_validation_set(\'a\', \'b\');', 'SELECT hartonomous.add_calibration_set(\'a\', \'b\');',
    'SELECT * FROM hartonomous.run_progress();', 'SELECT hartonomous.create_store();';
$session->query('GRANT EXECUTE ON FUNCTION hartonomous.list_models() TO PUBLIC;');

# All or nothing.
$session->query('BEGIN;');
like $session->query('SELECT hartonomous.upgrade_store();'), qr/^\d\d+$/, 'upgraded';
$session->query('ROLLBACK;');
like $session->query('SELECT * FROM hartonomous.list_models();'), qr/55000/, '... and taken back';
like $session->query('SELECT hartonomous.upgrade_store();'), qr/^\d\d+$/, 'upgraded again';
is $session->query('SELECT state FROM hartonomous.run_progress() WHERE model_name = \'student\' AND stage = \'quantize\';'),
    'abandoned', 'a run that was stopped is given up';
is $session->query('SELECT has_table_privilege(\'of_a_user\', \'hartonomous.calibration_stats\', \'SELECT\');'), 't',
    'who may read all tables may read the new ones';
$session->close;
works('upgraded');
PostgreSQL::Test::Utils::run_log(['pg_dump', '-s', '-f', "$work/schema.sql", $server->connstr('upgraded')]);
like PostgreSQL::Test::Utils::slurp_file("$work/schema.sql"), qr/GRANT ALL ON FUNCTION hartonomous\.file_sha256.* TO of_a_user/,
    'pg_dump keeps the rights, which are not taken for the extension\'s';

# ---- the dump of the old version in a database of the present one ------------------------------------------------

$server->database('restored');
$server->psql('restored', undef, extra_params => ['-q', '-v', 'ON_ERROR_STOP=1', '-f', "$work/store.sql"]) == 0 or die;
like $server->safe_psql('restored', 'SELECT hartonomous.upgrade_store()'), qr/^\d\d+$/, 'a dump is restored and upgraded';
works('restored');
done_testing;
