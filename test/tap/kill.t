# kill -9 at random moments of compress_model and of ooda_cycle: each time the model is a state that its history names,
# and the same call ends where an undisturbed one ends. How many moments, and of which seed, can be set
# (HARTONOMOUS_KILLS, HARTONOMOUS_SEED); counts are printed. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Server;
use Session;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'no example model' unless $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};
my $kills = $ENV{HARTONOMOUS_KILLS} // 2;    # of each call
my $seed = $ENV{HARTONOMOUS_SEED} // time % 1_000_000;
srand int $seed;
diag sprintf 'kill: %d moments of each call, HARTONOMOUS_SEED=%d', $kills, $seed;

# Statistics that are lost in a crash must not decide what the loop proposes.
my $server = Server->new(autovacuum => 'off');
$server->database('kill');
my $watcher = $server->quiet_session('kill');
(my $text = $ENV{HARTONOMOUS_MODEL}) =~ s{[^/]*$}{heldout.txt};

sub went {
    my ($statement) = @_;
    my $said = $watcher->query($statement);
    die "$statement: $said\n" if $said =~ /ERROR|FATAL/;
    return $said;
}
went("SELECT hartonomous.add_calibration_set('cats', left(pg_read_file('$text'), 20000));");
went("SELECT hartonomous.add_validation_set('dogs', substr(pg_read_file('$text'), 20001, 8000));");

# A model of its own for each call; what became of it does not depend on the numbers of the model and its revisions.
my $models = 0;
sub model {
    my $name = 'model ' . ++$models;
    my $number = went("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', '$name');");
    went("CALL hartonomous.collect_calibration('$name', 'cats', max_tokens => 1000);");
    return $number;
}

sub outcome {
    my ($model) = @_;
    my $of_job = "JOIN hartonomous.compression_jobs j USING (job_id) WHERE j.model_id = $model";
    return join "\n", map { went("$_;") }
        "SELECT count(*), md5(string_agg(content_hash::text, '' ORDER BY tensor_name, atom_sequence))"
        . " FROM hartonomous.tensor_atoms WHERE model_id = $model",
        "SELECT t.verdict, t.bytes_after, t.loss, t.change - 'calibration_revision' FROM hartonomous.compression_trials t $of_job ORDER BY trial_id",
        'SELECT h.hypothesis_type, h.level, h.state, h.outcome FROM hartonomous.ooda_hypotheses h'
        . " WHERE h.model_id = $model AND h.trial_id IS NOT NULL ORDER BY h.trial_id",
        "SELECT state, count(*) FROM hartonomous.compression_jobs WHERE model_id = $model GROUP BY 1 ORDER BY 1";
}

my %calls = (
    compress_model => 'CALL hartonomous.compress_model(%d, target_bits_per_weight => 4, n_ctx => 128,'
        . ' measure => \'kl_divergence\', formats => \'{Q3_K,Q4_K,Q5_K}\', removals => false);',
    ooda_cycle => 'CALL hartonomous.ooda_cycle(%d, calibration_set => \'cats\', n_ctx => 128, max_changes => 3);',
);

# Kills a call after some seconds. Returns what it was doing, or undef if it had ended.
sub killed {
    my ($call, $model, $delay) = @_;
    my $worker = $server->quiet_session('kill');
    $worker->start(sprintf $call, $model);
    sleep $delay;
    my $doing = went("SELECT coalesce(max(doing), 'begins') FROM hartonomous.job_progress($model) WHERE state <> 'completed';");
    ok $server->crash($worker->pid), 'the server recovers';
    $worker->finish;
    $worker->close;
    $watcher = $server->quiet_session('kill');
    my $ended = went("SELECT count(*) FROM hartonomous.compression_jobs WHERE model_id = $model AND state = 'completed';");
    return $ended ? undef : $doing =~ /^(begins|measuring[^:]*)/ ? $1 : 'changing the model';
}

for my $name (sort keys %calls) {
    my $begin;
    my $undisturbed = model();
    my $whole = -time;
    went(sprintf $calls{$name}, $undisturbed);
    $whole += time;
    my $expected = outcome($undisturbed);
    my %counts;
    for my $n (1 .. $kills) {
        my $delay = $whole * rand;
        subtest sprintf('%s, kill %d, after %.2f of %.2f s', $name, $n, $delay, $whole) => sub {
            my $model = model();
            my $doing = killed($calls{$name}, $model, $delay);
            $counts{ $doing // 'has ended' }++;
            is went("SELECT count(*) FROM hartonomous.model_history($model) h JOIN hartonomous.models m ON"
                    . ' m.current_revision = h.revision_id AND m.model_id = ' . $model . " WHERE h.state = 'live';"), 1,
                'the model is a state that its history names';
            is went("SELECT count(*) FROM hartonomous.check_model($model);"), 0, 'it has no faults';
            # A call that has ended would do more if it were called again.
            went(sprintf $calls{$name}, $model) if defined $doing;
            is outcome($model), $expected, 'the same call ends where an undisturbed one ends';
        };
    }
    diag "kill: $name: " . join ', ', map { "$_ $counts{$_}" } sort keys %counts;
}

is went('SELECT count(*) FROM pg_locks WHERE locktype = \'object\' AND classid = \'hartonomous.models\'::regclass;'), 0,
    'no lock is left';
is went('SELECT count(*) FROM hartonomous.model_revisions WHERE state = \'building\';'), 0, 'nor anything half done';
diag sprintf 'faults: kill.t: %d injected, %d lost', $kills * keys %calls, scalar grep { !$_ } Test::More->builder->summary;
$watcher->close;
done_testing;
