# What remains of a calibration that is killed, cancelled or terminated, what other sessions see of one meanwhile, and
# dump and restore of its statistics. The same call continues, and the result has the bytes of an undisturbed one, on
# another number of threads. Uses a cluster of its own, because the server has to recover from kill -9. Run by
# scripts/test.sh tap.
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
my $work = $server->basedir;
$server->database('calibration');
sub session { return $server->session('calibration') }
my $watcher = session();
$watcher->query("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', '$_');") for 'stopped', 'whole';
$watcher->query("SELECT hartonomous.add_calibration_set('text', left(pg_read_file('$text'), 60000));");

# The statistics of a model, without what is different in another one.
sub statistics {
    my ($model) = @_;
    return "SELECT md5(string_agg(concat_ws(' ', l.layer_name, s.tokens, s.sums_of_squares, g.first_column, md5(g.gram)),"
        . ' \'\' ORDER BY l.layer_name, g.first_column)) FROM hartonomous.calibration_stats s'
        . ' JOIN hartonomous.model_layers l USING (layer_id) LEFT JOIN hartonomous.calibration_grams g'
        . ' ON (g.model_id, g.revision_id, g.calibration_set, g.layer_id)'
        . ' = (s.model_id, s.revision_id, s.calibration_set, s.gram_layer_id)'
        . " WHERE s.model_id = hartonomous.model_id('$model');";
}
# Which blocks are done, and when each was.
my $blocks = 'SELECT string_agg(concat_ws(\' \', l.layer_idx, s.created_at), \',\' ORDER BY s.created_at, l.layer_id)'
    . ' FROM hartonomous.calibration_stats s JOIN hartonomous.model_layers l USING (layer_id)'
    . ' WHERE s.model_id = hartonomous.model_id(\'stopped\')';
my $done = 'SELECT count(DISTINCT l.layer_idx) FROM hartonomous.calibration_stats s JOIN hartonomous.model_layers l'
    . ' USING (layer_id) WHERE s.model_id = hartonomous.model_id(\'stopped\');';
my $collect = 'CALL hartonomous.collect_calibration(\'stopped\', \'text\');';
my $locks = 'SELECT count(*) FROM pg_locks WHERE locktype = \'object\' AND classid = \'hartonomous.models\'::regclass;';

like $watcher->query('SET hartonomous.threads = 2; CALL hartonomous.collect_calibration(\'whole\', \'text\');'),
    qr/calibrated revision 2 on \d+ tokens of "text": inputs of 22 tensors, 16 Gram matrices of 3\.\d+ MiB/,
    'a calibration on two threads';
$watcher->query('RESET hartonomous.threads;');
my $expected = $watcher->query(statistics('whole'));

# Starts the calibration anew in a session of its own, and waits until it is in the middle. There it stays, because it
# cannot write down its next block, until it is ended or $holder is closed.
my $holder;
sub started {
    my ($begin) = @_;
    for my $try (1 .. 10) {
        $watcher->query('DELETE FROM hartonomous.calibration_stats WHERE model_id = hartonomous.model_id(\'stopped\');');
        my $worker = session();
        $worker->start("$begin$collect");
        my $begun = wait_until(120, sub { $watcher->query($done) > 0 });
        $holder = session();
        $holder->query($_) for 'BEGIN;', 'LOCK TABLE hartonomous.calibration_stats IN SHARE MODE;';
        return $worker if $begun && $watcher->query($done) < 4;
        $holder->close;
        note "too late, try $try";
        $worker->finish;
        $worker->close;
    }
    die 'always too late';
}

sub continued {
    my ($after, $first) = @_;
    is $watcher->query($locks), 0, "after $after: no lock";
    my $session = session();
    like $session->query($collect), qr/calibrated revision 1/, '... the same call continues';
    is $session->query(statistics('stopped')), $expected, '... to the same bytes';
    is substr($session->query("$blocks;"), 0, length $first), $first, '... and does nothing again';
    $session->close;
}

subtest 'kill -9 between blocks' => sub {
    my $worker = started('');
    my $other = session();
    like $other->query('CALL hartonomous.collect_calibration(\'stopped\', \'text\', nowait => true);'), qr/55P03/,
        'another session does not wait, if asked not to';
    like $other->query('SELECT hartonomous.generate_text(\'stopped\', \'Once upon a time\', 5);'), qr/^, /m,
        'but may use the model';
    $_->close for $other;
    ok $server->crash($worker->pid), 'the server recovers';
    $worker->finish;
    $_->close for $worker, $holder;
    $watcher = session();
    my $first = $watcher->query("$blocks;");
    cmp_ok scalar(split /,/, $first), '<', 22, 'some blocks are done';
    continued('kill -9', $first);
};

for my $how ('cancel', 'terminate') {
    subtest $how => sub {
        my $worker = started('');
        is $watcher->query("SELECT pg_${how}_backend(@{[$worker->pid]});"), 't', "${how}led";
        is sqlstate($worker->finish), $how eq 'cancel' ? '57014' : '57P01', '... with PostgreSQL\'s own error';
        is $worker->query('SELECT 1;'), 1, '... and the session goes on' if $how eq 'cancel';
        $holder->close;
        my $pid = $worker->pid;
        wait_until(120, sub { $watcher->query("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid;") eq 't' })
            if $how ne 'cancel';
        continued($how, $watcher->query("$blocks;"));
        $worker->close;
    };
}

subtest 'two sessions' => sub {
    my ($worker, $second) = (started(''), session());
    $second->start($collect);
    ok wait_until(120, sub { $watcher->query("SELECT cardinality(pg_blocking_pids(@{[$second->pid]}));") }), 'the second waits';
    $holder->close;
    unlike $worker->finish, qr/ERROR/, 'the first comes to its end';
    like $second->finish, qr/calibrated on \d+ tokens of "text" before: nothing done/, 'and then finds all done';
    is $watcher->query(statistics('stopped')), $expected, 'the same bytes';
    $_->close for $worker, $second;
};

subtest 'the same text in two sessions' => sub {
    my ($one, $other) = (session(), session());
    $one->query($_) for 'BEGIN;', 'SELECT hartonomous.add_validation_set(\'measured\', repeat(\'some text \', 100));';
    $other->start('SELECT hartonomous.add_calibration_set(\'fitted\', repeat(\'some text \', 200));');
    ok wait_until(60, sub { $watcher->query("SELECT cardinality(pg_blocking_pids(@{[$other->pid]}));") }),
        'the second waits for the first';
    $one->query('COMMIT;');
    is sqlstate($other->finish), '22023', 'and is refused';
    $_->close for $one, $other;
};

subtest 'in a transaction block' => sub {
    $watcher->query('DELETE FROM hartonomous.calibration_stats WHERE model_id = hartonomous.model_id(\'stopped\');');
    my $worker = session();
    $worker->query($_) for 'BEGIN;', $collect;
    is $watcher->query($done), 0, 'nothing is seen before its end';
    is $worker->query(statistics('stopped')), $expected, 'the same bytes';
    $worker->query('ROLLBACK;');
    is $worker->query($done), 0, 'and nothing is left after a rollback';
    like $worker->query($collect), qr/calibrated/, 'outside of it, the same session begins anew';
    is $worker->query(statistics('stopped')), $expected, 'the same bytes';
    $worker->close;
};

subtest 'dump and restore' => sub {
    $server->database('restored');
    $server->command_ok(['pg_dump', '-Fc', '-f', "$work/dump", 'calibration'], 'dumped');
    $server->safe_psql('postgres', 'DROP DATABASE restored');
    $server->safe_psql('postgres', 'CREATE DATABASE restored');
    $server->command_ok(['pg_restore', '--exit-on-error', '-d', 'restored', "$work/dump"], 'restored');
    my $restored = $server->session('restored');
    is $restored->query(statistics('stopped')), $expected, 'the same statistics';
    like $restored->query($collect), qr/before: nothing done/, 'which are recognized';
    $restored->close;
};

subtest 'progress' => sub {
    my $session = session();
    $session->query('SET client_min_messages = debug1;');
    my @progress = grep { /calibrated [0-9.]+ %/ }
        split /\n/, $session->query('CALL hartonomous.collect_calibration(\'whole\', \'text\', 3000);');
    my @where = map { /: calibrated [0-9.]+ %, (.*?), [0-9a-z ]+ left$/ ? $1 : $_ } @progress;
    is_deeply \@where, ['block 1 of 3', 'block 2 of 3', 'block 3 of 3', 'output matrix'], 'a line a step at DEBUG1';
    like $progress[-1], qr/calibrated 100\.0 %/, 'all, at the end';
    $session->close;
};

$watcher->close;
done_testing;
