# Models share the parent tables of their partitions. What one session does to its model must never abort another
# session's work on another model, and a session that cannot get a lock is told who holds it. Run by scripts/test.sh
# tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use Server;
use Session;
use Test::More;

# With this short deadlock_timeout PostgreSQL detects every circular wait at once.
my $server = Server->new(deadlock_timeout => '40ms');
my $work = $server->basedir;
sub session { return $server->quiet_session('deadlock') }

$server->database('deadlock');
my ($stage, $other, $third, $watcher) = map { session() } 1 .. 4;
small_gguf("$work/small.gguf", 1);
is $stage->query("SELECT hartonomous.import_gguf('$work/small.gguf', '$_->[1]');"), $_->[0], "model $_->[1]"
    for [1, 'one'], [2, 'two'];
$_->query('SET hartonomous.swap_timeout = \'60s\';') for $stage, $other;

sub waits {
    my ($session) = @_;
    my $pid = $session->pid;
    return wait_until(60, sub { $watcher->query("SELECT cardinality(pg_blocking_pids($pid));") });
}

# While a swap of model two waits for a transaction that has read atoms, that transaction does more work.
my @more = (
    ['imports a model', "SELECT hartonomous.import_gguf('$work/small.gguf', 'new') > 0;"],
    ['prunes in place', 'CALL hartonomous.prune_by_importance(\'one\', 0.9, method => \'in_place\');'],
    ['makes a backup', 'SELECT hartonomous.backup_model(\'one\') > 0;'],
    ['makes a student', 'SELECT hartonomous.extract_by_importance(\'one\', 0.5, \'student\') > 0;'],
    ['writes to its model', 'UPDATE hartonomous.tensor_atoms SET x = x WHERE model_id = 1 AND atom_sequence = 1;'],
    ['writes to the model that is being swapped', 'UPDATE hartonomous.tensor_atoms SET x = x WHERE model_id = 2 AND atom_sequence = 1;'],
);
my $format = 'Q8_0';
for my $case (@more) {
    my ($name, $statement) = @$case;
    subtest "a transaction that has read $name" => sub {
        $other->query('BEGIN;');
        is $other->query('SELECT count(*) > 0 FROM hartonomous.tensor_atoms WHERE model_id = 1;'), 't', 'reads';
        $stage->start("CALL hartonomous.quantize_model('two', '$format', requantize => true);");
        ok waits($stage), 'the swap waits for it';
        unlike $other->query($statement), qr/ERROR/, $name;
        unlike $other->query('COMMIT;'), qr/ERROR/, 'commits';
        is $stage->finish, '', 'then comes the swap';
        $format = $format eq 'Q8_0' ? 'F16' : 'Q8_0';
    };
}

subtest 'imports while another model is swapped again and again' => sub {
    large_gguf("$work/large.gguf", 2);
    for my $n (1 .. 3) {
        $other->start("SELECT hartonomous.import_gguf('$work/large.gguf', 'large $n') > 0;");
        for my $wanted ('F16', 'Q8_0') {
            is $stage->query("CALL hartonomous.quantize_model('two', '$wanted', requantize => true);"), '', "stage, $wanted";
        }
        is $other->finish, 't', "import $n";
    }
};

subtest 'a reader holds a swap up, and nobody else' => sub {
    $other->query('BEGIN;');
    $other->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 1;');
    $stage->query('SET hartonomous.swap_timeout = \'3s\';');
    $stage->start('CALL hartonomous.quantize_model(\'two\', \'F16\', requantize => true);');
    ok waits($stage), 'the swap waits for it';
    $third->query('SET lock_timeout = \'1ms\';');
    my @kept_out = grep { $_ ne 't' }
        map { $third->query('SELECT count(*) > 0 FROM hartonomous.tensor_atoms WHERE model_id = 2;') } 1 .. 20;
    is_deeply \@kept_out, [], 'other readers do not queue behind it';
    my $said = $stage->finish;
    is sqlstate($said), '55P03', 'it gives up after hartonomous.swap_timeout';
    like $said, qr/DETAIL: .*Process @{[$other->pid]} holds AccessShareLock on hartonomous\.tensor_atoms\./,
        'and says who holds the lock';
    $other->query('COMMIT;');
    is $stage->query('CALL hartonomous.quantize_model(\'two\', \'F16\', requantize => true);'), '', 'the same call goes on';
};

subtest 'a try does not wait while others wait for it' => sub {
    my $partition = $stage->query('SELECT hartonomous_internal.live_partition(1);');
    $other->query('BEGIN;');
    $other->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 1;');
    $stage->query('BEGIN;');
    $stage->query("LOCK TABLE ONLY $partition IN SHARE ROW EXCLUSIVE MODE;");
    $other->start('UPDATE hartonomous.tensor_atoms SET x = x WHERE model_id = 1 AND atom_sequence = 1;');
    ok waits($other), 'a writer waits for the partition';
    ok wait_until(60, sub { $third->query(
        'SELECT count(*) FROM pg_locks WHERE NOT granted AND clock_timestamp() - waitstart > interval \'30ms\';') }),
        '... for longer than a try is patient';
    my $said = $stage->query("SELECT hartonomous_internal.lock_briefly('hartonomous.tensor_atoms', 'ACCESS EXCLUSIVE', ARRAY['$partition'::regclass]);");
    is sqlstate($said), '55P03', 'the parent cannot be had';
    like $said, qr/other sessions are waiting for the tables that are locked/, '... and is not waited for';
    $stage->query('ROLLBACK;');
    is $other->finish, '', 'the writer goes on';
    $other->query('ROLLBACK;');
    is sqlstate($stage->query('SELECT hartonomous_internal.wait_for_lockers(\'hartonomous.tensor_atoms\', \'SHARE\');')), '22023',
        'wait_for_lockers(): a mode it does not know';
};

unlike $server->log_text, qr/deadlock detected|terminated by signal/, 'no deadlock, no crash';
$_->close for $stage, $other, $third, $watcher;
done_testing;
