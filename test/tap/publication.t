# A server with wal_level = logical and a publication of all tables, which forbids UPDATE and DELETE on tables without a
# replica identity. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use Server;
use Session;
use Test::More;

my $server = Server->new(wal_level => 'logical');
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
$session->close;
done_testing;
