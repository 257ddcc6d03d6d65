# What remains of quantizing in sequence, and of measuring sensitivities, when a session is killed, cancelled or
# terminated, and what others see of it meanwhile: the same call continues, and the result has the bytes of an
# undisturbed one. Uses a cluster of its own, because the server has to recover from kill -9. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Server;
use Session;
use Test::More;

plan skip_all => 'no example model' unless $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};
(my $text = $ENV{HARTONOMOUS_MODEL}) =~ s{[^/]*$}{heldout.txt};

my $server = Server->new;
$server->database('sequence');
sub session { return $server->session('sequence') }
my $watcher = session();
$watcher->query("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', '$_');") for 'stopped', 'whole';
$watcher->query("SELECT hartonomous.add_calibration_set('text', left(pg_read_file('$text'), 20000));");
$watcher->query("CALL hartonomous.collect_calibration('$_', 'text', 4000);") for 'stopped', 'whole';

my $locks = 'SELECT count(*) FROM pg_locks WHERE locktype = \'object\' AND classid = \'hartonomous.models\'::regclass;';

# A job that commits: its statement for a model, a digest of its result, how many parts of it are done, and how to undo
# it.
my %sequence = (
    call => 'CALL hartonomous.quantize_model(\'%s\', \'Q4_K_M\', calibration_set => \'text\', sequential => true);',
    result => 'SELECT md5(string_agg(a.content_hash::text, \'\' ORDER BY a.tensor_name, a.atom_sequence))'
        . ' FROM hartonomous.tensor_atoms a WHERE a.model_id = hartonomous.model_id(\'%s\');',
    # The embedding and the blocks.
    parts => 'SELECT count(DISTINCT l.layer_idx) FROM hartonomous.compression_steps s JOIN hartonomous.model_layers l USING (layer_id)'
        . ' JOIN hartonomous.compression_runs r USING (run_id) WHERE r.state = \'running\' AND s.state = \'done\';',
    undo => 'SELECT hartonomous.rollback_model(\'stopped\', 1);',
    again => qr/no tensor to convert to Q4_K_M: nothing done/,
    least => 2,
    most => 3,
    table => 'compression_steps',
);
my %sensitivity = (
    call => 'CALL hartonomous.measure_sensitivity(\'%s\', \'text\', formats => \'{Q2_K,Q4_K}\', probe_tokens => 512);',
    result => 'SELECT md5(string_agg(concat_ws(\' \', l.layer_name, s.format, s.relative_error, p.kl_divergence), \',\''
        . ' ORDER BY l.layer_name, s.format)) FROM hartonomous.sensitivities s JOIN hartonomous.model_layers l USING (layer_id)'
        . ' LEFT JOIN hartonomous.sensitivity_probes p ON p.layer_id = s.layer_id WHERE s.model_id = hartonomous.model_id(\'%s\');',
    parts => 'SELECT count(*) FROM hartonomous.sensitivity_probes WHERE model_id = hartonomous.model_id(\'stopped\');',
    undo => 'SELECT hartonomous.rollback_model(\'stopped\', 1); DELETE FROM hartonomous.sensitivities WHERE model_id = hartonomous.model_id(\'stopped\');'
        . ' DELETE FROM hartonomous.sensitivity_probes WHERE model_id = hartonomous.model_id(\'stopped\');',
    again => qr/nothing|measured/,
    least => 1,
    most => 20,
    table => 'sensitivity_probes',
);

# Starts the job anew in a session of its own, and waits until it is in the middle. There it stays, because it cannot
# write down its next part, until it is ended or $holder is closed.
my $holder;
sub started {
    my ($job) = @_;
    for my $try (1 .. 10) {
        $watcher->query($job->{undo});
        my $worker = session();
        $worker->start(sprintf $job->{call}, 'stopped');
        my $done = wait_until(120, sub { my $n = $watcher->query($job->{parts}); $n >= $job->{least} ? $n : '' });
        $holder = session();
        $holder->query($_) for 'BEGIN;', "LOCK TABLE hartonomous.$job->{table} IN SHARE MODE;";
        return $worker if $done && $watcher->query($job->{parts}) =~ /^(\d+)$/ && $1 >= $job->{least} && $1 <= $job->{most};
        $holder->close;
        note "too late, try $try";
        $worker->finish;
        $worker->close;
    }
    die 'always too late';
}

sub continued {
    my ($job, $after, $expected) = @_;
    is $watcher->query($locks), 0, "after $after: no lock";
    is $watcher->query('SELECT count(*) FROM hartonomous.run_progress() WHERE state = \'running\';'), 0, '... and nothing runs';
    my $session = session();
    unlike $session->query(sprintf $job->{call}, 'stopped'), qr/ERROR/, '... the same call continues';
    is $session->query(sprintf $job->{result}, 'stopped'), $expected, '... to the same result';
    $session->close;
}

for my $each (['quantizing in sequence', \%sequence], ['measuring sensitivities', \%sensitivity]) {
    my ($name, $job) = @$each;
    unlike $watcher->query(sprintf 'SET hartonomous.threads = 2; ' . $job->{call}, 'whole'), qr/ERROR/, "$name on two threads";
    $watcher->query('RESET hartonomous.threads;');
    my $expected = $watcher->query(sprintf $job->{result}, 'whole');
    like $expected, qr/^[0-9a-f]{32}$/, '... has a result';
    $watcher->query('SELECT hartonomous.rollback_model(\'whole\', 2);');

    subtest "kill -9 while $name" => sub {
        my $worker = started($job);
        my $other = session();
        (my $nowait = sprintf $job->{call}, 'stopped') =~ s/\);$/, nowait => true);/;
        like $other->query($nowait), qr/55P03/, 'another session does not wait, if asked not to';
        like $other->query('SELECT hartonomous.generate_text(\'stopped\', \'Once upon a time\', 5);'), qr/^, /m,
            'but may use the model';
        $_->close for $other;
        ok $server->crash($worker->pid), 'the server recovers';
        $worker->finish;
        $_->close for $worker, $holder;
        $watcher = session();
        cmp_ok $watcher->query($job->{parts}), '>=', $job->{least}, 'what was committed is there';
        continued($job, 'kill -9', $expected);
    };
    for my $how ('cancel', 'terminate') {
        subtest "$how while $name" => sub {
            my $worker = started($job);
            is $watcher->query("SELECT pg_${how}_backend(@{[$worker->pid]});"), 't', "${how}led";
            is sqlstate($worker->finish), $how eq 'cancel' ? '57014' : '57P01', '... with PostgreSQL\'s own error';
            is $worker->query('SELECT 1;'), 1, '... and the session goes on' if $how eq 'cancel';
            $holder->close;
            my $pid = $worker->pid;
            wait_until(120, sub { $watcher->query("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid;") eq 't' })
                if $how ne 'cancel';
            continued($job, $how, $expected);
            $worker->close;
        };
    }
    subtest "two sessions $name" => sub {
        my ($worker, $second) = (started($job), session());
        $second->start(sprintf $job->{call}, 'stopped');
        ok wait_until(120, sub { $watcher->query("SELECT cardinality(pg_blocking_pids(@{[$second->pid]}));") }), 'the second waits';
        $holder->close;
        unlike $worker->finish, qr/ERROR/, 'the first comes to its end';
        like $second->finish, $job->{again}, 'and then finds all done';
        is $watcher->query(sprintf $job->{result}, 'stopped'), $expected, 'the same result';
        $_->close for $worker, $second;
    };
}

# The lines that tell the progress, each as what was done and the number of the block.
sub progress_of {
    my ($session) = @_;
    return map { /: (quantized in sequence|ran what is quantized) [0-9.]+ %, block (\d) of 3, [0-9a-z ]+ left$/ ? "$1 $2" : () }
        split /\n/, $session->query(sprintf $sequence{call}, 'stopped');
}

subtest 'progress' => sub {
    my $worker = started({%sequence, least => 3});    # in the second block, or later
    is $watcher->query('SELECT state, steps_done > 7, steps, pid = ' . $worker->pid
            . ' FROM hartonomous.run_progress(\'stopped\') LIMIT 1;'), 'running|t|29|t', 'run_progress() counts tensors';
    $watcher->query("SELECT pg_cancel_backend(@{[$worker->pid]});");
    $worker->finish;
    $holder->close;
    is $watcher->query('SELECT state, pid FROM hartonomous.run_progress(\'stopped\') LIMIT 1;'), 'stopped|', 'and knows what is stopped';
    $worker->query('SET client_min_messages = debug1;');
    my @progress = progress_of($worker);
    my $again = grep { /^ran/ } @progress;
    cmp_ok $again, '>', 0, 'blocks that are quantized run again';
    is_deeply \@progress, [map({ "ran what is quantized $_" } 1 .. $again), map { "quantized in sequence $_" } $again + 1 .. 3],
        'a line a block at DEBUG1, first for those';
    $watcher->query($sequence{undo});
    is_deeply [progress_of($worker)], [map { "quantized in sequence $_" } 1 .. 3], 'an undisturbed run quantizes all';
    $worker->close;
};

$watcher->close;
done_testing;
