# The main workflow under settings that change how PostgreSQL reads, prints, plans or stores things, each in a session of
# its own: the results are always the same. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use PostgreSQL::Test::Utils ();
use Server;
use Session;
use Test::More;

my $server = Server->new;
my $work = $server->basedir;
small_gguf("$work/model.gguf", 1);
$server->database('settings');
mkdir "$work/space" or die "mkdir: $!\n";
$server->safe_psql('postgres', "CREATE TABLESPACE of_test LOCATION '$work/space'");
$server->safe_psql('settings', <<'SQL');
SELECT hartonomous.create_store();
CREATE SCHEMA hostile;
CREATE TABLE hostile.models (model_id text);
CREATE TABLE hostile.pg_class (oid text);
CREATE DOMAIN hostile.jsonb AS text CHECK (false);
CREATE FUNCTION hostile.fail(integer, integer) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
CREATE OPERATOR hostile.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = hostile.fail);
CREATE FUNCTION hostile.count(text) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
CREATE FUNCTION hostile.format(text, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
SQL

my $workflow = <<"SQL";
SELECT hartonomous.import_gguf('$work/model.gguf', 'm') OPERATOR(pg_catalog.>) 0;
CALL hartonomous.prune_by_importance('m', 0.8, method => 'in_place');
CALL hartonomous.quantize_model('m', 'Q8_0');
SELECT hartonomous.backup_model('m') OPERATOR(pg_catalog.>) 0;
CALL hartonomous.svd_compress_model('m', rank => 2);
SELECT hartonomous.extract_by_importance('m', 0.5, 'student') OPERATOR(pg_catalog.>) 0;
CALL hartonomous.quantize_model_geometry('student');
SELECT l.layer_name, a.state FROM hartonomous.layer_completeness('m') a JOIN hartonomous.model_layers l USING (layer_id)
 ORDER BY l."position";
SELECT pg_catalog.encode(pg_catalog.sha256(hartonomous.export_gguf(m.model_id)), 'hex')
  FROM hartonomous.models m ORDER BY m.model_name;
SELECT hartonomous.rollback_model('m', pg_catalog.min(r.revision_id)) OPERATOR(pg_catalog.>) 0
  FROM hartonomous.model_revisions r WHERE r.model_id OPERATOR(pg_catalog.=) hartonomous.model_id('m');
SELECT pg_catalog.encode(pg_catalog.sha256(hartonomous.export_gguf(m.model_id)), 'hex')
  FROM hartonomous.models m ORDER BY m.model_name;
SELECT c.* FROM hartonomous.models m, hartonomous.check_model(m.model_id) c;
SELECT hartonomous.delete_model(m.model_id) OPERATOR(pg_catalog.>) 0 FROM hartonomous.models m;
SQL

# What a psql with these settings (as in PGOPTIONS) prints, with errors.
sub printed {
    my ($options) = @_;
    local $ENV{PGOPTIONS} = "-c client_min_messages=warning $options";
    my ($out, $err) = ('', '');
    IPC::Run::run(['psql', '-XqAt', '-d', $server->connstr('settings')], '<', \$workflow, '>', \$out, '2>', \$err);
    return $out . $err;
}

my $usual = printed('');
unlike $usual, qr/ERROR/, 'the workflow with the usual settings';
like $usual, qr/\n[0-9a-f]{64}\n[0-9a-f]{64}\nt\n/, '... prints two hashes';
# In groups, because each takes as long as the workflow; without jit where disabled plans cost so much that everything
# would be compiled.
my @groups = (
    ['quote_all_identifiers=on', 'search_path=', 'DateStyle=German', 'IntervalStyle=iso_8601', 'TimeZone=Asia/Kathmandu',
        'bytea_output=escape', 'extra_float_digits=-15', 'array_nulls=off', 'row_security=off', 'lc_messages=C'],
    ['search_path=hostile,public', 'standard_conforming_strings=off', 'escape_string_warning=off', 'backslash_quote=on',
        'transform_null_equals=on', 'xmloption=document', 'client_encoding=LATIN1', 'lc_numeric=C.UTF-8',
        'lc_monetary=C.UTF-8', 'check_function_bodies=off'],
    ['search_path=hostile,pg_catalog', 'plpgsql.variable_conflict=use_column', 'plpgsql.print_strict_params=on',
        'plpgsql.extra_errors=all', 'plan_cache_mode=force_generic_plan'],
    ['jit=off', 'default_transaction_deferrable=on', 'default_tablespace=of_test',
        'temp_tablespaces=of_test', 'default_table_access_method=heap', 'default_toast_compression=pglz',
        'plan_cache_mode=force_custom_plan', 'synchronous_commit=off', 'enable_sort=off'],
    ['jit=off', 'enable_seqscan=off', 'enable_indexscan=off', 'enable_bitmapscan=off', 'enable_nestloop=off', 'enable_material=off',
        'enable_memoize=off', 'enable_partition_pruning=off', 'work_mem=64kB', 'from_collapse_limit=1'],
    ['jit=off', 'enable_hashjoin=off', 'enable_mergejoin=off', 'enable_hashagg=off', 'geqo_threshold=2',
        'join_collapse_limit=1', 'constraint_exclusion=on', 'cursor_tuple_fraction=0.0001'],
    ['session_replication_role=replica', 'max_parallel_workers_per_gather=0', 'statement_timeout=10min',
        'idle_in_transaction_session_timeout=60s'],
);
for my $group (@groups) {
    is printed(join ' ', map {"-c $_"} @$group), $usual, join(', ', @$group);
    # Foreign keys do nothing under session_replication_role = replica.
    $server->safe_psql('settings', 'SELECT hartonomous.repair_store(dry_run => false)');
}
# These two are refused before anything is done.
like printed("-c default_transaction_isolation=$_"), qr/can be rewritten only in a READ COMMITTED transaction/, $_
    for 'repeatable\\ read', 'serializable';
my $settings = 2 + map {@$_} @groups;
diag sprintf 'settings: %d settings, %d calls', $settings, (2 + @groups) * (() = $workflow =~ /hartonomous\.\w+\(/g);
done_testing;
