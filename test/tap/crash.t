# What remains when a session is killed, terminated or cancelled in the middle of long work: the model is unchanged,
# there are no locks and no stray partitions or files, and repeating the call resumes the work. Uses a cluster of its
# own, because the server has to recover from kill -9. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use Server;
use Session;
use Test::More;

my $server = Server->new;
my $work = $server->basedir;
my $file = large_gguf("$work/large.gguf", 16);
mkdir "$work/out" or die $!;
chmod 0777, "$work/out";

# A session in the cluster that also returns its messages.
sub session { return $server->session('crash') }
sub ask { return session()->query($_[0]) }

$server->database('crash');
my $watcher = session();
like $watcher->query("SELECT hartonomous.import_gguf('$file', 'large');"), qr/^1$/m, 'a model of 64 MB';
like $watcher->query("SELECT hartonomous.import_gguf('$file', 'twin');"), qr/^2$/m, 'and its twin';
my $original = $watcher->query(digest_query(1));
like $watcher->query('CALL hartonomous.quantize_model(2, \'Q4_K\');'), qr/revision 3/, 'the twin is quantized undisturbed';
$watcher->query("SELECT hartonomous.export_gguf(2, '$work/twin-q4.gguf');");

# ---- what is checked ---------------------------------------------------------------------------------------------

# There is no relation without a revision that is available or being written, no writer's lock, and no file.
sub nothing_left {
    my ($after) = @_;
    my $session = session();
    is $session->query(<<'SQL'), '', "after $after: no stray partition, no stray factors";
SELECT c.relname FROM pg_class c WHERE relnamespace = 'hartonomous_partitions'::regnamespace AND relkind = 'r'
 AND relname LIKE 'tensor\_atoms\_m%' AND NOT EXISTS (
 SELECT FROM hartonomous.model_revisions r WHERE r.state <> 'dropped'
 AND c.relname = hartonomous_internal.atoms_partition(r.model_id, r.revision_id))
UNION ALL SELECT f.layer_name FROM hartonomous.svd_compressed_layers f JOIN hartonomous.model_revisions r USING (revision_id)
 WHERE r.state = 'dropped';
SQL
    is $session->query(<<'SQL'), '', "after $after: no lock";
SELECT pid FROM pg_locks WHERE locktype = 'object' AND classid = 'hartonomous.models'::regclass;
SQL
    is_deeply [glob "$work/out/*"], [], "after $after: no file";
}

sub unchanged {
    my ($after, $revision) = @_;
    my $session = session();
    is $session->query('SELECT current_revision FROM hartonomous.models WHERE model_id = 1;'), $revision // 1,
        "after $after: the revision is the old one";
    is $session->query(digest_query(1)), $original, "after $after: the atoms are the old ones" unless $revision;
}

sub steps_done {
    return 'SELECT count(*) FROM hartonomous.compression_steps JOIN hartonomous.compression_runs USING (run_id)'
        . ' WHERE model_id = 1 AND compression_runs.state = \'running\' AND compression_steps.state = \'done\';';
}
my $done_list = 'SELECT string_agg(concat_ws(\' \', layer_id, seconds, s.xmin), \',\' ORDER BY layer_id) FROM'
    . ' hartonomous.compression_steps s JOIN hartonomous.compression_runs r USING (run_id) WHERE model_id = 1 AND s.state ='
    . ' \'done\' AND r.run_id = (SELECT max(run_id) FROM hartonomous.compression_runs WHERE model_id = 1)';

# ---- kill -9 -----------------------------------------------------------------------------------------------------

my $injected = 0;    # faults

sub kill_backend {
    my ($session) = @_;
    $injected++;
    ok $server->crash($session->pid), 'the server recovers';
    $session->finish;
    $session->close;
}

sub quantize_and_kill {
    my ($worker, $reader) = (session(), session());
    # A reader keeps the swap from finishing, in case the run is fast.
    $reader->query($_) for 'BEGIN;', 'SELECT count(*) FROM hartonomous.tensor_atoms;';
    $worker->start('CALL hartonomous.quantize_model(1, \'Q4_K\');');
    ok wait_until(60, sub { $watcher->query(steps_done()) >= 4 }), 'some tensors are done';
    kill_backend($worker);
    $watcher = session();
    return $watcher->query("$done_list;");
}

subtest 'kill -9 in the middle of quantize_model' => sub {
    my $before = quantize_and_kill();
    unchanged('kill -9');
    nothing_left('kill -9');
    note scalar split(/,/, $before), ' of 16 tensors were done';
    my $reader = session();
    is $reader->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 1;'), 256, 'readers go on';

    my $said = $reader->query('CALL hartonomous.quantize_model(1, \'Q4_K\');');
    like $said, qr/resuming run/, 'called again, it says that it resumes';
    unlike $said, qr/ERROR/, 'and comes to its end';
    my $after = $reader->query("$done_list;");
    is substr($after, 0, length $before), $before, 'what was done before was not done again';
    is scalar(my @steps = split /,/, $after), 16, 'the rest was';
    $reader->query("SELECT hartonomous.export_gguf(1, '$work/large-q4.gguf');");
    is system('cmp', '-s', "$work/large-q4.gguf", "$work/twin-q4.gguf"), 0, 'the same bytes as without a crash';
    like $reader->query('SELECT hartonomous.rollback_model(1);'), qr/^1$/m, 'rolled back';
    unchanged('rollback');
};

subtest 'kill -9, then another call' => sub {
    quantize_and_kill();
    like $watcher->query('CALL hartonomous.quantize_model(1, \'Q8_0\');'), qr/quantized/, 'another format starts afresh';
    is $watcher->query('SELECT count(*) FROM hartonomous.compression_runs WHERE state = \'running\';'), 0, 'no run is left';
    is $watcher->query('SELECT count(*) FROM hartonomous.compression_runs WHERE state = \'abandoned\';'), 1,
        'the stopped one is given up';
    $watcher->query('SELECT hartonomous.rollback_model(1);');
    unchanged('rollback');
    nothing_left('an abandoned run');
};

sub start_import {
    my ($worker) = @_;
    $worker->query('BEGIN;');    # in case it finishes too early
    $worker->start("SELECT hartonomous.import_gguf('$file', 'third');");
    my $pid = $worker->pid;
    my $under_way = "SELECT EXISTS (SELECT FROM pg_stat_progress_copy WHERE pid = $pid AND bytes_processed > 8e6) OR EXISTS"
        . " (SELECT FROM pg_stat_activity WHERE pid = $pid AND state = 'idle in transaction' AND query ~ 'import_gguf');";
    ok wait_until(120, sub { $watcher->query($under_way) eq 't' }), 'import is under way';
}

sub no_import {
    my ($after) = @_;
    is ask('SELECT string_agg(model_name, \',\' ORDER BY model_id) FROM hartonomous.models;'), 'large,twin',
        "after $after: no third model";
    is ask('SELECT count(*) FROM hartonomous.model_layers WHERE model_id > 2;'), 0, "after $after: no layers of it";
    nothing_left($after);
}

subtest 'kill -9 in the middle of an import' => sub {
    my $worker = session();
    start_import($worker);
    kill_backend($worker);
    $watcher = session();
    no_import('kill -9');
    unchanged('kill -9');
};

# ---- cancelled and terminated ------------------------------------------------------------------------------------


# Waits until the session is in the middle of its work: until the query returns true or the statement has ended.
sub in_the_middle {
    my ($pid, $question) = @_;
    my $done = "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND state LIKE 'idle%' AND query ~ 'hartonomous';";
    my $answer = wait_until(60, sub {
        my $yes = ref $question ? $question->() : $watcher->query($question) > 0;
        return $yes ? 'yes' : $watcher->query($done) ? 'done' : '';
    });
    return $answer eq 'yes';
}

# Each entry: a name, the statement, the query that tells when it is in the middle (given the worker's pid), and
# optionally what blocks it.
my $busy = sub { "SELECT count(*) FROM pg_locks WHERE pid = $_[0] AND mode = 'AccessExclusiveLock' AND granted;" };
my $one_step = sub { steps_done() };
# The file has no name yet, where the file system allows that.
my $tmp_file = sub {
    my ($pid) = @_;
    return sub { scalar grep { (readlink // '') =~ m{^\Q$work\E/out/} && (-s $_ // 0) > 1e6 } glob "/proc/$pid/fd/*" };
};
my $blocked = sub { "SELECT cardinality(pg_blocking_pids($_[0]));" };
my $holder;    # blocks something until it is closed
my @work = (
    ['prune by rewriting', 'CALL hartonomous.prune_by_importance(1, 0.6);', $one_step],
    ['prune in place', 'CALL hartonomous.prune_by_importance(1, 0.9, method => \'in_place\');', $blocked, sub {
            $holder->query('SELECT FROM hartonomous.tensor_atoms WHERE model_id = 1 ORDER BY importance_score LIMIT 1 FOR UPDATE;');
        }],
    ['quantize_model', 'CALL hartonomous.quantize_model(1, \'Q6_K\');', $one_step],
    ['svd_compress_model', 'CALL hartonomous.svd_compress_model(1, rank => 16);', $one_step],
    ['quantize_model waiting for a reader', 'CALL hartonomous.quantize_model(1, \'Q8_0\');', $blocked, sub {
            $holder->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 1;');
        }],
    ['quantize_model in a transaction block', 'BEGIN; CALL hartonomous.quantize_model(1, \'F16\');', $busy],
    ['backup_model', 'SELECT hartonomous.backup_model(1);', $busy],
    ['prune_region', 'CALL hartonomous.prune_region(1, hartonomous.region(0, 50, 0, 100, -10, 10));', $one_step],
    ['quantize_model_geometry', 'CALL hartonomous.quantize_model_geometry(1);', $one_step],
    ['remove_blocks', 'CALL hartonomous.remove_blocks(1, blocks => \'{0,3}\');', $one_step],
    ['remove_blocks waiting for a reader', 'CALL hartonomous.remove_blocks(1, blocks => \'{5}\');', $blocked, sub {
            $holder->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 1;');
        }],
    ['calibrate_importance', 'CALL hartonomous.calibrate_importance(1, \'magnitude\');', $one_step],
    ['archive_model', 'CALL hartonomous.archive_model(1);', $one_step],
    ['archive_model waiting for a reader', 'CALL hartonomous.archive_model(1);', $blocked, sub {
            $holder->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 1;');
        }],
    ['extract_by_importance', 'SELECT hartonomous.extract_by_importance(1, 0.5);', $busy],
    ['delete_model waiting for a reader', 'SELECT hartonomous.delete_model(1);', $blocked, sub {
            $holder->query('SELECT count(*) FROM hartonomous.tensor_atoms WHERE model_id = 1;');
        }],
    ['export_gguf', "SELECT hartonomous.export_gguf(1, '$work/out/large.gguf');", $tmp_file],
    ['export_safetensors', "SELECT hartonomous.export_safetensors(1, '$work/out/large.safetensors');", $tmp_file],
);

my $how;

sub interrupt {
    my ($worker, $name) = @_;
    $injected++;
    is $watcher->query("SELECT pg_${how}_backend(@{[$worker->pid]});"), 't', "$how $name";
    return sqlstate($worker->finish);
}

sub goes_on {
    my ($worker, $state) = @_;
    is $state, $how eq 'cancel' ? '57014' : '57P01', '... with PostgreSQL\'s own error';
    if ($how eq 'cancel') {
        $worker->query('ROLLBACK;');
        is $worker->query('SELECT 1;'), 1, '... and the session goes on';
    } else {
        my $pid = $worker->pid;
        wait_until(120, sub { $watcher->query("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid;") eq 't' });
    }
}

# If a statement finished before it could be interrupted, it is undone and tried again.
sub interrupted {
    my ($name, $statement, $question, $prepare) = @_;
    for my $try (1 .. 10) {
        my $worker = session();
        if ($prepare) {
            $holder = session();
            $holder->query('BEGIN;');
            $prepare->();
        }
        $worker->start($statement);
        my $middle = in_the_middle($worker->pid, $question->($worker->pid));
        my $state = $middle ? interrupt($worker, $name) : '';
        $holder = undef;
        if ($state) {
            goes_on($worker, $state);
            return;
        }
        note "$name: too late, try $try";
        $worker->finish if !$middle;
        unlink glob "$work/out/*";
        $worker->query('ROLLBACK;');
        $watcher->query('SELECT hartonomous.rollback_model(1, 1);');
    }
    fail "$how $name: always too late";
}

for my $each ('cancel', 'terminate') {
    $how = $each;
    subtest "$how import" => sub {
        my $worker = session();
        start_import($worker);
        goes_on($worker, interrupt($worker, 'import'));
        no_import($how);
        unchanged($how);
    };
    for my $w (@work) {
        my ($name, @rest) = @$w;
        subtest "$how $name" => sub {
            interrupted($name, @rest);
            unchanged("$how $name");
            nothing_left("$how $name");
        };
    }
}

# ---- an export ---------------------------------------------------------------------------------------------------

subtest 'kill -9 in the middle of an export' => sub {
    my $tries = 0;
    while ($tries++ < 10) {
        my $worker = session();
        $worker->start("SELECT hartonomous.export_gguf(1, '$work/out/killed.gguf');");
        my $middle = in_the_middle($worker->pid, $tmp_file->($worker->pid));
        my @named = glob "$work/out/*.tmp.*";
        kill_backend($worker);
        $watcher = session();
        if ($middle && !-e "$work/out/killed.gguf") {
            is_deeply [glob "$work/out/*"], [@named], 'a file that has no name yet leaves nothing behind';
            last;
        }
        unlink glob "$work/out/*";
    }
    cmp_ok $tries, '<=', 10, 'it was in time';
    unlink glob "$work/out/*";
};

# ---- the archive -------------------------------------------------------------------------------------------------

# Whatever it is killed in, the model is whole, and the same call ends what it began. The lock keeps the exchange from
# being made before the kill, in case the run is fast.
unlike $watcher->query('CALL hartonomous.archive_revision(2);'), qr/ERROR/, 'the twin\'s backup has the same weights';
for my $call ('archive_model', 'restore_archived_model') {
    subtest "kill -9 in the middle of $call" => sub {
        my ($worker, $other) = (session(), session());
        $other->query($_) for 'BEGIN;', 'LOCK TABLE ONLY hartonomous.tensor_atoms IN SHARE UPDATE EXCLUSIVE MODE;';
        $worker->start("CALL hartonomous.$call(1);");
        ok wait_until(60, sub { $watcher->query(steps_done()) >= 4 }), 'some tensors are done';
        is sqlstate($watcher->query("CALL hartonomous.$call(1, nowait => true);")), '55P03', 'a second caller fails';
        like $watcher->query('SELECT stage, state FROM hartonomous.run_progress(1) LIMIT 1;'),
            $call eq 'archive_model' ? qr/^archive\|running$/m : qr/^restore\|running$/m, 'run_progress() shows it';
        kill_backend($worker);
        $other->close;
        $watcher = session();
        my $before = $watcher->query("$done_list;");
        $watcher->query("SELECT hartonomous.export_gguf(1, '$work/again.gguf');");
        is system('cmp', '-s', "$work/again.gguf", $file), 0, 'the model exports as it was imported';
        is $watcher->query('SELECT count(*) FROM hartonomous.check_model(1);'), 0, 'it has no faults';
        is $watcher->query('SELECT count(*) FROM hartonomous.check_store();'), 0, 'nor has the store';
        unchanged('kill -9') if $call eq 'archive_model';

        like $watcher->query("CALL hartonomous.$call(1);"), qr/resuming run/, 'called again, it says that it resumes';
        my $after = $watcher->query("$done_list;");
        is substr($after, 0, length $before), $before, 'what was done before was not done again';
        is scalar(my @steps = split /,/, $after), 16, 'the rest was';
        is $watcher->query('SELECT state FROM hartonomous.model_revisions WHERE revision_id = 1;'),
            $call eq 'archive_model' ? 'archived' : 'live', 'and comes to its end';
        $watcher->query("SELECT hartonomous.export_gguf(1, '$work/again.gguf');");
        is system('cmp', '-s', "$work/again.gguf", $file), 0, 'the model exports as it was imported';
        is $watcher->query('SELECT count(*) FROM hartonomous.check_store();'), 0, 'the store has no faults';
        unchanged('kill -9') if $call ne 'archive_model';
        nothing_left('kill -9') if $call ne 'archive_model';
    };
    next if $call ne 'archive_model';
    subtest 'kill -9 when what shares archived weights has been dropped' => sub {
        my $not_shared = 'SELECT count(*) FROM hartonomous.archived_weights w WHERE 2 <> (SELECT count(DISTINCT revision_id)'
            . ' FROM hartonomous.tensor_atoms_archive c WHERE c.weights_hash = w.weights_hash);';
        is $watcher->query($not_shared), 0, 'weights are shared';
        my $worker = session();
        $worker->query($_) for 'BEGIN;', 'SELECT hartonomous.drop_backup(2);';
        $worker->start('SELECT pg_sleep(600);');
        kill_backend($worker);
        $watcher = session();
        is $watcher->query($not_shared), 0, '... and stay so';
        is $watcher->query('SELECT count(*) FROM hartonomous.check_store();'), 0, 'the store has no faults';
    };
}
like $watcher->query('SELECT hartonomous.rollback_model(2, 2);'), qr/^2$/m, 'the twin\'s backup is restored';
$watcher->query("SELECT hartonomous.export_gguf(2, '$work/again.gguf');");
is system('cmp', '-s', "$work/again.gguf", $file), 0, '... as it was imported';

subtest 'after all that' => sub {
    for my $stage ('CALL hartonomous.prune_by_importance(1, 0.9);', 'CALL hartonomous.remove_blocks(1, blocks => \'{0}\');',
        'CALL hartonomous.quantize_model(1, \'Q8_0\');') {
        unlike $watcher->query($stage), qr/ERROR/, $stage;
    }
    is $watcher->query('SELECT max(layer_idx) FROM hartonomous.model_layers WHERE model_id = 1;'), 14, 'a block less';
    like $watcher->query('SELECT hartonomous.rollback_model(1, 1);'), qr/^1$/m, 'rolled back over all';
    is $watcher->query('SELECT max(layer_idx) FROM hartonomous.model_layers WHERE model_id = 1;'), 15, 'the block is back';
    unchanged('everything');
    nothing_left('everything');
    $watcher->query("SELECT hartonomous.export_gguf(1, '$work/again.gguf');");
    is system('cmp', '-s', "$work/again.gguf", $file), 0, 'the model exports as it was imported';
};

my @signals = $server->log_text =~ /terminated by signal (\d+)/g;
is_deeply [grep { $_ != 9 } @signals], [], 'no backend crashed but those that were killed';
$watcher->close;
diag sprintf 'faults: crash.t: %d injected, %d lost', $injected, scalar grep { !$_ } Test::More->builder->summary;
done_testing;
