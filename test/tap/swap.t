# Swaps of partitions against concurrent users of them: readers that start to write, autovacuum, exports, and queries on
# other partitions. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use Server;
use Session;
use Test::More;

my $server = Server->new(
    autovacuum => 'on', autovacuum_naptime => '1s', autovacuum_max_workers => 8, deadlock_timeout => '1s');
my $work = $server->basedir;
sub session { return $server->quiet_session('swap') }

$server->database('swap');
my ($stage, $other) = (session(), session());
small_gguf("$work/small.gguf", 1);
is $stage->query("SELECT hartonomous.import_gguf('$work/small.gguf', '$_->[1]', 0);"), $_->[0], "model $_->[1]"
    for [1, 'one'], [2, 'two'];
$stage->query('SET hartonomous.swap_timeout = \'5min\';');
$other->query('SET statement_timeout = \'4min\';');

sub waits {
    my ($session) = @_;
    my $pid = $session->pid;
    my $watcher = session();
    return wait_until(180, sub { $watcher->query("SELECT cardinality(pg_blocking_pids($pid));") });
}

subtest 'a transaction that reads and then writes' => sub {
    $other->query('BEGIN;');
    is $other->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 1;'), 1302, 'reads';
    $stage->start('CALL hartonomous.quantize_model(1, \'Q8_0\');');
    ok waits($stage), 'the swap waits for it';
    is $other->query('DELETE FROM hartonomous.tensor_atoms WHERE model_id = 1 AND tensor_name = \'blk.0.attn_q.weight\';'), '',
        'writes, in a gap between two tries: no deadlock';
    is $other->query('COMMIT;'), '', 'commits';
    is $stage->finish, '', 'then comes the swap';
    is $other->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 1;'), 1302 - 256, 'nothing is lost';
    $other->query('BEGIN;');
    $other->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 1;');
    $stage->start('SELECT hartonomous.rollback_model(1);');
    ok waits($stage), 'a rollback waits for a reader';
    is $other->query('UPDATE hartonomous.tensor_atoms SET planned_format = \'Q4_K\' WHERE model_id = 1 AND atom_sequence = 0;'),
        '', 'who writes';
    $other->query('COMMIT;');
    is $stage->finish, 1, 'and then it is done';
};

subtest 'a tensor large enough for parallel workers, changed at the last moment' => sub {
    large_gguf("$work/large.gguf", 1);
    is $stage->query("SELECT hartonomous.import_gguf('$work/large.gguf', 'large', 1024);"), 3, 'import';
    $other->query('BEGIN;');
    $other->query('DELETE FROM hartonomous.tensor_atoms WHERE model_id = 3 AND atom_sequence < 24;');
    $stage->start('CALL hartonomous.quantize_model(3, \'Q4_K\');');
    ok waits($stage), 'the swap waits for the change';
    $other->query('COMMIT;');
    is $stage->finish, '', 'and comes';
    is $other->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 3;'), 1000, '... with it';
};

subtest 'another model\'s partition in use' => sub {
    $other->query('BEGIN;');
    $other->query('SELECT count(*) FROM hartonomous_partitions.tensor_atoms_m2_r2;');
    $stage->query('SET hartonomous.swap_timeout = 0;');
    is $stage->query('CALL hartonomous.quantize_model(1, \'Q8_0\');'), '', 'does not hold a swap up';
    is $stage->query('SELECT hartonomous.rollback_model(1);'), 1, 'nor a rollback';
    is $stage->query('SELECT hartonomous.drop_backup(max(revision_id)) > 0 FROM hartonomous.model_revisions;'), 't',
        'nor dropping a backup';
    $stage->query('SET hartonomous.swap_timeout = \'5min\';');
    $other->query('COMMIT;');
};

subtest 'an export that meets a swap' => sub {
    is $stage->query("SELECT hartonomous.export_gguf(2, '$work/before.gguf') > 0;"), 't', 'before';
    $stage->query('BEGIN;');
    $stage->query('CALL hartonomous.quantize_model(2, \'Q8_0\');');
    $other->start("SELECT hartonomous.export_gguf(2, '$work/during.gguf') > 0;");
    ok waits($other), 'during the swap it waits';
    my $repeatable = session();
    $repeatable->query('BEGIN ISOLATION LEVEL REPEATABLE READ;');
    $repeatable->query('SELECT count(*) FROM hartonomous.models;');
    $stage->query('COMMIT;');
    is $other->finish, 't', 'then it goes on';
    $stage->query("SELECT hartonomous.export_gguf(2, '$work/after.gguf');");
    is system('cmp', '-s', "$work/during.gguf", "$work/after.gguf"), 0, 'and writes the model after the swap';
    is sqlstate($repeatable->query("SELECT hartonomous.export_gguf(2, '$work/repeatable.gguf');")), '40001',
        'a snapshot from before cannot export any more';
    ok !-e "$work/repeatable.gguf", '... and writes nothing';
    $stage->query('SELECT hartonomous.rollback_model(2);');
    $stage->query("SELECT hartonomous.export_gguf(2, '$work/back.gguf');");
    is system('cmp', '-s', "$work/back.gguf", "$work/before.gguf"), 0, 'rolled back, the model is what it was';
};

subtest 'an evaluation that meets a swap' => sub {
    plan skip_all => 'no example model' unless $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};
    is $stage->query("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', 'runs') > 0;"), 't', 'a model that runs';
    my $measure = 'SELECT hartonomous.perplexity(\'runs\', repeat(\'Once upon a time \', 60), 64);';
    my $before = $stage->query($measure);
    $stage->query('BEGIN;');
    $stage->query('CALL hartonomous.quantize_model(\'runs\', \'Q4_0\');');
    my $after = $stage->query($measure);
    isnt $after, $before, 'quantized it is another';
    $other->start($measure);
    ok waits($other), 'during the swap an evaluation waits';
    my $repeatable = session();
    $repeatable->query('BEGIN ISOLATION LEVEL REPEATABLE READ;');
    $repeatable->query('SELECT count(*) FROM hartonomous.models;');
    $stage->query('COMMIT;');
    is $other->finish, $after, 'and then measures the model after it';
    is sqlstate($repeatable->query($measure)), '40001', 'a snapshot from before cannot';
    $repeatable->query('ROLLBACK;');
    my $story = $other->query('SELECT string_agg(token, \'\' ORDER BY position) FROM hartonomous.generate_tokens(\'runs\', \'Once\', 4);');
    $other->query('BEGIN;');
    $other->query('DECLARE c CURSOR FOR SELECT (hartonomous.generate_tokens(\'runs\', \'Once\', 4)).token;');
    my $streamed = $other->query('FETCH 2 FROM c;');
    $stage->start('SELECT hartonomous.rollback_model(\'runs\');');
    ok waits($stage), 'a text that streams holds a swap up';
    $streamed .= "\n" . $other->query('FETCH ALL FROM c;');
    $other->query('COMMIT;');
    (my $joined = $streamed) =~ s/\n//g;
    is $joined, $story, '... and is one text';
    like $stage->finish, qr/^\d+$/, 'which then comes';
    is $stage->query($measure), $before, 'rolled back, it is what it was';
    my $kept = $stage->query('SELECT max(revision_id) FROM hartonomous.model_revisions;');
    my $measure_kept = "SELECT hartonomous.perplexity('runs', repeat('Once upon a time ', 60), 64, $kept);";
    is $stage->query($measure_kept), $after, 'the quantized one is kept';
    $repeatable->query('BEGIN ISOLATION LEVEL REPEATABLE READ;');
    $repeatable->query('SELECT count(*) FROM hartonomous.models;');
    $stage->query("SELECT hartonomous.drop_backup($kept);");
    is sqlstate($repeatable->query($measure_kept)), '40001', 'a snapshot from before it was dropped cannot measure it';
    is sqlstate($stage->query($measure_kept)), '55000', 'nor can a later one';
};

subtest 'autovacuum at work' => sub {
    # Makes the autovacuum worker slow.
    my $partition = 'hartonomous_partitions.tensor_atoms_m1_r1';
    $other->query("ALTER TABLE $partition SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);");
    $other->query("UPDATE $partition SET planned_format = 'Q8_0';") for 1, 2;
    my $progress = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = '$partition'::regclass;";
    ok wait_until(300, sub { $other->query($progress) }), 'it is at the live partition';
    is $stage->query('CALL hartonomous.quantize_model(1, \'F16\');'), '', 'and makes way for a swap';
    like $server->log_text, qr/canceling autovacuum task/, 'says the log';
};

unlike $server->log_text, qr/deadlock detected|terminated by signal/, 'no deadlock, no crash';
$_->close for $stage, $other;
done_testing;
