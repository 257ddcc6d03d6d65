# compress_model killed in the middle of all that it does (kill.t does so at random): the model is a state that its history
# names, the same call ends where an undisturbed one ends, and a second caller waits. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Server;
use Session;
use Test::More;

plan skip_all => 'no example model' unless $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};

my $server = Server->new;
$server->database('compress');
my $watcher = $server->quiet_session('compress');
(my $text = $ENV{HARTONOMOUS_MODEL}) =~ s{[^/]*$}{heldout.txt};

sub went {
    my ($statement) = @_;
    my $said = $watcher->query($statement);
    die "$statement: $said\n" if $said =~ /ERROR|FATAL/;
    return $said;
}
went("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', '$_');") for qw(killed undisturbed);
went("SELECT hartonomous.add_calibration_set('cats', left(pg_read_file('$text'), 20000));");
went("SELECT hartonomous.add_validation_set('dogs', substr(pg_read_file('$text'), 20001, 8000));");
went("CALL hartonomous.collect_calibration('$_', 'cats', max_tokens => 1000);") for qw(killed undisturbed);

sub call {
    my ($model, $more) = @_;
    return "CALL hartonomous.compress_model('$model', target_bits_per_weight => 4, n_ctx => 128,"
        . ' measure => \'kl_divergence\', formats => \'{Q3_K,Q4_K,Q5_K}\'' . ($more // '') . ');';
}
my $content = 'SELECT md5(string_agg(content_hash::text, \'\' ORDER BY tensor_name, atom_sequence)) FROM'
    . ' hartonomous.tensor_atoms WHERE model_id =';
my $trials = 'SELECT string_agg(concat_ws(\' \', verdict, bytes_after, loss), \'; \' ORDER BY trial_id) FROM'
    . ' hartonomous.compression_trials JOIN hartonomous.compression_jobs USING (job_id) WHERE state = \'completed\' AND model_id =';

went(call('undisturbed'));
my $expected = went("$content 2;");
my $expected_trials = went("$trials 2;");

# A trigger that holds a session before it writes to a table, once something is true of model 1, for as long as this
# session has the lock.
went('CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE come boolean; BEGIN EXECUTE TG_ARGV[0] INTO come;'
        . ' IF come THEN PERFORM pg_advisory_xact_lock(7); END IF; RETURN NEW; END $$;');
sub hold {
    my ($event, $condition) = @_;
    went('SELECT pg_advisory_lock(7);');
    went("CREATE TRIGGER hold BEFORE $event FOR EACH ROW EXECUTE FUNCTION hold(\$\$$condition\$\$);");
    return $event =~ s/.* ON //r;    # the table
}
sub blocked {
    my ($session) = @_;
    my $pids = "SELECT cardinality(pg_blocking_pids(@{[$session->pid]}));";
    return wait_until(300, sub { went($pids) });
}

# The trials have numbers after those of the other model.
my $steps = 'FROM hartonomous.compression_steps s JOIN hartonomous.compression_runs r USING (run_id) WHERE r.model_id = 1'
    . ' AND r.state = \'running\' AND s.state = \'done\'';
my $tried = 'FROM hartonomous.compression_trials t JOIN hartonomous.compression_jobs j USING (job_id) WHERE j.model_id = 1';
my $step = 'UPDATE ON hartonomous.compression_steps';
my $result = 'INSERT ON hartonomous.validation_results';
my @moments = (
    ['sensitivities are measured', 'INSERT ON hartonomous.sensitivities',
        'SELECT count(*) > 3 FROM hartonomous.sensitivities WHERE model_id = 1'],
    ['the first trial quantizes', $step, "SELECT count(*) > 3 $steps"],
    ['the first trial is measured', $result, "SELECT count(*) > 0 $tried AND t.revision_id IS NOT NULL AND t.loss IS NULL"],
    ['the second trial quantizes', $step, "SELECT count(*) > 3 AND (SELECT count(*) > 1 $tried) $steps"],
    ['the second trial is measured', $result, "SELECT count(*) > 1 AND bool_or(t.verdict IS NULL AND t.revision_id IS NOT NULL) $tried"],
);

for my $moment (@moments) {
    my ($what, $event, $condition) = @$moment;
    subtest "kill -9 while $what" => sub {
        my $table = hold($event, $condition);
        my $worker = $server->quiet_session('compress');
        $worker->start(call('killed'));
        ok blocked($worker), 'the moment has come';
        is went('SELECT state, percent BETWEEN 0 AND 99, doing IS NOT NULL FROM hartonomous.job_progress(\'killed\');'), 'running|t|t',
            'its job is shown as running';
        ok $server->crash($worker->pid), 'the server recovers';
        $worker->finish;
        $worker->close;
        $watcher = $server->quiet_session('compress');
        went("DROP TRIGGER hold ON $table;");
        is went('SELECT r.state FROM hartonomous.models m JOIN hartonomous.model_revisions r ON r.revision_id ='
                . ' m.current_revision WHERE m.model_id = 1;'), 'live', 'the model is a state that its history names';
        is went('SELECT count(*) FROM hartonomous.check_model(1);'), 0, 'it has no faults';
        is went('SELECT state, seconds_left IS NULL FROM hartonomous.job_progress(\'killed\');'), 'stopped|t', 'then as stopped';
    };
}

subtest 'a second caller' => sub {
    my $table = hold($result, 'SELECT true');
    my ($worker, $second) = ($server->quiet_session('compress'), $server->session('compress'));
    $worker->start(call('killed'));
    ok blocked($worker), 'one works';
    my $pid = $worker->pid;
    is went('SELECT pid FROM hartonomous.job_progress(\'killed\');'), $pid, 'job_progress() says which';
    is sqlstate($second->query(call('killed', ', nowait => true'))), '55P03', 'with nowait another is refused';
    like $second->query(call('killed', ', dry_run => true')), qr/would/, 'a dry run only reads, and waits for nobody';
    $second->start(call('killed'));
    ok blocked($second), 'another waits';
    went('SELECT pg_cancel_backend(' . $second->pid . ');');
    like $second->finish, qr/waiting for process $pid, which is changing model "killed"/, 'it was told for whom';
    went('SELECT pg_advisory_unlock(7);');
    is $worker->finish, '', 'the first comes to its end';
    went("DROP TRIGGER hold ON $table;");
    $_->close for $worker, $second;
};

is went("$content 1;"), $expected, 'the atoms are those of an undisturbed call';
is went("$trials 1;"), $expected_trials, 'and so are the trials';
is went('SELECT count(*) FROM hartonomous.compression_jobs WHERE model_id = 1;'), 1, 'all calls were one job';

subtest 'kill -9 between acting and learning' => sub {
    went('SELECT hartonomous.rollback_model(1, 1);');
    my $cycle = 'CALL hartonomous.ooda_cycle(\'killed\', n_ctx => 128, max_changes => 1);';
    my $table = hold($result, "SELECT count(*) > 0 $tried AND j.procedure = 'ooda_cycle' AND t.revision_id IS NOT NULL");
    my $worker = $server->quiet_session('compress');
    $worker->start($cycle);
    ok blocked($worker), 'the change is made';
    ok $server->crash($worker->pid), 'the server recovers';
    $worker->finish;
    $worker->close;
    $watcher = $server->quiet_session('compress');
    went("DROP TRIGGER hold ON $table;");
    is went('SELECT count(*) FROM hartonomous.ooda_hypotheses WHERE state = \'acting\';'), 1, 'nobody has learned from it';
    went($cycle);
    like went('SELECT state FROM hartonomous.ooda_hypotheses WHERE trial_id IS NOT NULL;'), qr/^(accepted|rolled_back)$/,
        'the next cycle does';
    my ($other, $second) = ($server->quiet_session('compress'), $server->session('compress'));
    $other->query($_) for 'BEGIN;', 'SELECT hartonomous_internal.lock_model(1);';
    like $second->query($cycle), qr/another session is changing model "killed": this cycle is skipped/,
        'a cycle is skipped while another session changes the model';
    $other->query('ROLLBACK;');
    $_->close for $other, $second;
};

is went('SELECT count(*) FROM pg_locks WHERE locktype = \'object\' AND classid = \'hartonomous.models\'::regclass;'), 0,
    'no lock is left';
$watcher->close;
done_testing;
