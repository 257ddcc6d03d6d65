# A server with wal_level = logical and a publication of all tables, which forbids UPDATE and DELETE on tables without a
# replica identity; and a subscriber, whose models follow what stages do on the publisher. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use Server;
use Session;
use Test::More;

my $server = Server->new(wal_level => 'logical', wal_retrieve_retry_interval => '100ms', max_worker_processes => 20,
    max_logical_replication_workers => 12, max_sync_workers_per_subscription => 8);
my $work = $server->basedir;
$server->database('published');
my $session = $server->quiet_session('published');
$session->query('CREATE PUBLICATION everything FOR ALL TABLES;');
small_gguf("$work/small.gguf", 1);
is $session->query("SELECT hartonomous.import_gguf('$work/small.gguf', 'm');"), 1, 'import';
my $imported = $session->query(digest_query(1));

is $session->query('CALL hartonomous.prune_by_importance(\'m\', 0.9, method => \'in_place\');'), '', 'pruned in place';
my $pruned = $session->query(digest_query(1));
isnt $pruned, $imported, '... to less';
is $session->query('SELECT hartonomous.rollback_model(\'m\');'), 1, 'rolled back';
is $session->query(digest_query(1)), $imported, '... to what it was';
is $session->query('SELECT hartonomous.rollback_model(\'m\', 2);'), 2, 'and forth';
is $session->query(digest_query(1)), $pruned, '... again';
is $session->query($_), '', $_ for
    'CALL hartonomous.quantize_model(\'m\', \'Q8_0\');',
    'CALL hartonomous.prune_by_importance(\'m\', 0.5, method => \'rewrite\');',
    'CALL hartonomous.svd_compress_model(\'m\', rank => 4);',
    'UPDATE hartonomous.tensor_atoms SET planned_format = \'Q4_K\' WHERE model_id = 1;',
    'UPDATE hartonomous.store SET created_at = now();';
like $session->query('SELECT hartonomous.backup_model(\'m\');'), qr/^\d+$/, 'backup';
is $session->query('SELECT hartonomous.rollback_model(\'m\', 1);'), 1, 'rolled back to the beginning';
is $session->query(digest_query(1)), $imported, '... to what it was';
is $session->query('SELECT * FROM hartonomous.check_model(1);'), '', 'check_model() finds nothing wrong';
like $session->query('SELECT hartonomous.delete_model(\'m\');'), qr/^\d+$/, 'deleted';

# Rows whose weights are out of line reach a subscriber, too: each is a message of type I.
my $wide = large_gguf("$work/wide.gguf", 1);
$session->query("SELECT pg_create_logical_replication_slot('all', 'pgoutput');");
like $session->query("SELECT hartonomous.import_gguf('$wide', 'wide', 1024);"), qr/^\d+$/m, 'rows of 4 kB';
is $session->query(<<'SQL'), '1024|4194304', '... are published with their weights';
SELECT count(*), sum(length(data) / 4096 * 4096) FROM pg_logical_slot_get_binary_changes('all', NULL, NULL,
 'proto_version', '1', 'publication_names', 'everything', 'binary', 'true') WHERE get_byte(data, 0) = ascii('I') AND length(data) > 4096;
SQL
$session->query("SELECT pg_drop_replication_slot('all');");
$session->query('SELECT hartonomous.delete_model(\'wide\');');

# ---- a subscriber, which is another database here ----------------------------------------------------------------

if ($server->safe_psql('postgres', 'SHOW server_version_num') < 150000) {
    $session->close;
    done_testing;
    exit;    # there are no publications of schemas
}

sub query {
    my ($statement, $what) = @_;
    my $printed = $session->query($statement);
    unlike $printed, qr/ERROR|WARNING/, $what // $statement;
    return $printed;
}
query("SELECT hartonomous.import_gguf('$work/small.gguf', 'early');");
query('CALL hartonomous.prune_by_importance(\'early\', 0.9, method => \'in_place\');');
query('CALL hartonomous.quantize_model(\'early\', \'Q8_0\');');
$server->command_ok(['pg_dump', '--schema-only', '--no-publications', '-f', "$work/schema", 'published'], 'the tables');
$server->safe_psql('postgres', 'CREATE DATABASE subscribed');
$server->command_ok(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$work/schema", 'subscribed'], '... are created');
my $copy = $server->quiet_session('subscribed');
is $copy->query('SELECT hartonomous.follow_publisher();'), '', 'the subscriber is to follow';
query('CREATE PUBLICATION models FOR TABLES IN SCHEMA hartonomous, hartonomous_partitions;');
query('SELECT pg_create_logical_replication_slot(\'follower\', \'pgoutput\');');
my $connection = $server->connstr('published') =~ s/'/''/gr;
is $copy->query("CREATE SUBSCRIPTION follower CONNECTION '$connection' PUBLICATION models WITH (create_slot = false);"), '',
    'a subscription';
ok wait_until(120, sub { $copy->query('SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> \'r\';') eq '0' }),
    'all is copied' or diag $server->log_text;

my @alike = (
    map({ my $table = $_; map { digest_query($_, $table) } 1 .. 8 }
        'hartonomous.tensor_atoms', 'hartonomous.tensor_atoms_backup'),
    'SELECT m FROM hartonomous.models m ORDER BY model_id;',
    'SELECT r FROM hartonomous.model_revisions r ORDER BY revision_id;',
    'SELECT c.relname, i.inhparent::regclass, pg_get_expr(c.relpartbound, c.oid),'
        . ' (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid)'
        . ' FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid'
        . ' WHERE c.relnamespace = \'hartonomous_partitions\'::regnamespace AND c.relkind = \'r\' ORDER BY 1;',
    'SELECT m.model_id, f FROM hartonomous.models m, hartonomous.check_model(m.model_id) f;',
    'SELECT model_id, md5(hartonomous.export_gguf(model_id)) FROM hartonomous.models ORDER BY 1;');
sub follows {
    my ($what) = @_;
    $server->wait_for_catchup('follower');
    my ($here, $there) = map { my $side = $_; join "\n--\n", map { $side->query($_) } @alike } $session, $copy;
    unlike $here, qr/ERROR/, "$what: the publisher";
    is $there, $here, '... and the subscriber';
}
follows('what was there before');
query("SELECT hartonomous.import_gguf('$work/small.gguf', 'm');") =~ /(\d+)/ or die;
my $m = $1;
follows('import');
query('CALL hartonomous.prune_by_importance(\'m\', 0.9, method => \'in_place\');');
follows('pruned in place');
query('SELECT hartonomous.rollback_model(\'m\');');
query('SELECT hartonomous.backup_model(\'m\');');
query('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');');
follows('backed up and rewritten');
query('SELECT hartonomous.rollback_model(\'early\');');
query('SELECT hartonomous.extract_by_importance(\'m\', 0.6, \'student\');');
query('CALL hartonomous.svd_compress_model(\'student\', rank => 4);');
follows('rolled back, and a student factored');
query('CALL hartonomous.archive_model(\'early\');');
follows('archived');
query('CALL hartonomous.restore_archived_model(\'early\');');
follows('restored');
query('BEGIN; CALL hartonomous.archive_model(\'early\'); CALL hartonomous.restore_archived_model(\'early\'); COMMIT;',
    'archived and restored in a transaction');
query('UPDATE hartonomous.tensor_atoms SET planned_format = \'Q4_K\' WHERE model_id = ' . "$m AND atom_sequence = 2;");
query('BEGIN; CALL hartonomous.prune_by_importance(\'m\', 0.5, method => \'rewrite\');'
        . ' SELECT hartonomous.rename_model(\'m\', \'n\'); COMMIT;', 'a stage in a transaction');
query('SELECT hartonomous.apply_retention(model_id, 1, \'0 s\') FROM hartonomous.models;', 'backups dropped');
query('SELECT hartonomous.delete_model(\'student\');');
follows('changed, renamed, deleted');

like $copy->query($_), qr/ERROR:  55000: this store follows/, "$_ is refused" for
    "SELECT hartonomous.import_gguf('$work/small.gguf', 'other');", 'CALL hartonomous.quantize_model(\'n\', \'F16\', requantize => true);',
    'TRUNCATE hartonomous.models CASCADE;';
is $copy->query($_), '', $_ for 'ALTER SUBSCRIPTION follower DISABLE;',
    'ALTER SUBSCRIPTION follower SET (slot_name = NONE);', 'DROP SUBSCRIPTION follower;',
    'SELECT hartonomous.follow_publisher(false);', 'CALL hartonomous.quantize_model(\'n\', \'F16\', requantize => true);';
like $copy->query("SELECT hartonomous.import_gguf('$work/small.gguf', 'other');"), qr/^\d+$/, 'independent, it imports';
is $copy->query('SELECT m.model_id, f FROM hartonomous.models m, hartonomous.check_model(m.model_id) f;'), '',
    '... and all is well';
is $copy->query('SELECT hartonomous.rollback_model(\'n\') > 0;'), 't', '... and rolls back';
$copy->close;
$session->close;
done_testing;
