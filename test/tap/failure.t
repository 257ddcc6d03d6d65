# What remains of a stage that fails with an error: a row that records the error, and nothing else; the caller gets the
# same error. After an error that repeating the call can overcome, the completed steps are kept. Run by scripts/test.sh
# tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use Server;
use Session;
use Test::More;

my $server = Server->new;
$server->database('failure');
my $work = $server->basedir;
sub session { return $server->quiet_session('failure') }
my ($session, $other) = (session(), session());
small_gguf("$work/small.gguf", 1);
is $session->query("SELECT hartonomous.import_gguf('$work/small.gguf', 'm');"), 1, 'import';
my $imported = $session->query(digest_query(1));
my $partitions = 'SELECT string_agg(relname, \' \' ORDER BY relname) FROM pg_class WHERE relname ~ \'^tensor_atoms_m1_r\\d+$\';';
my $last_run = 'SELECT state, error_sqlstate, error_message, finished_at IS NOT NULL FROM hartonomous.compression_runs ORDER BY run_id DESC LIMIT 1;';
my $locks = 'SELECT count(*) FROM pg_locks WHERE locktype = \'object\' AND classid = \'hartonomous.models\'::regclass;';
is $session->query($partitions), 'tensor_atoms_m1_r1', 'one partition';

# A trigger by the owner of the store raises an error in the middle: at one tensor, or at the end.
$session->query(q{
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'stopped by the test' USING ERRCODE = 'HT001', DETAIL = repeat('a long detail ', 100) || 'ends', HINT = 'a hint';
    END $$;});
my %where = (
    'at a tensor' => 'CREATE TRIGGER stop BEFORE UPDATE ON hartonomous.compression_steps FOR EACH ROW WHEN (OLD.layer_id = 4) EXECUTE FUNCTION fail();',
    'at the swap' => 'CREATE TRIGGER stop BEFORE UPDATE ON hartonomous.models FOR EACH ROW EXECUTE FUNCTION fail();',
);
for my $where (sort keys %where) {
    subtest "an error $where" => sub {
        $session->query($where{$where});
        my $said = $session->query('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');');
        is sqlstate($said), 'HT001', 'the caller gets the error';
        like $said, qr/^ERROR:  HT001: stopped by the test$/m, 'its message';
        like $said, qr/^DETAIL:  (?:a long detail ){100}ends$/m, 'its detail';
        if ($where eq 'at a tensor') { like $said, qr/^Tensor "[^"]+" was being rewritten\.$/m, 'and the tensor' }
        like $said, qr/^HINT:  a hint$/m, 'its hint';
        is $session->query($last_run), 'failed|HT001|stopped by the test|t', 'the run says so';
        is $other->query('SELECT state FROM hartonomous.model_revisions ORDER BY revision_id DESC LIMIT 1;'), 'dropped', 'its revision is dropped';
        is $other->query($partitions), 'tensor_atoms_m1_r1', '... and its partition, whose space is free';
        is $other->query($locks), 0, 'the model\'s lock is given back';
        is $other->query(digest_query(1)), $imported, 'the model is what it was';
        is $session->query('DROP TRIGGER stop ON hartonomous.' . ($where eq 'at a tensor' ? 'compression_steps' : 'models') . ';'), '', '(tidied up)';
    };
}

subtest 'an error of noting the error' => sub {
    $session->query($where{'at a tensor'});
    $session->query('CREATE TRIGGER deaf BEFORE UPDATE ON hartonomous.compression_runs FOR EACH ROW EXECUTE FUNCTION fail();');
    my $said = $session->query('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');');
    like $said, qr/WARNING:.*could not clean up after run (\d+).*^HINT:  (SELECT hartonomous\.abandon_run\(\d+\);)/ms, 'is a warning that says what to do';
    my ($cure) = $said =~ /^HINT:  (SELECT hartonomous\.abandon_run.*)$/m;
    is sqlstate($said), 'HT001', '... and the caller gets the error itself';
    $session->query('DROP TRIGGER stop ON hartonomous.compression_steps;');
    $session->query('DROP TRIGGER deaf ON hartonomous.compression_runs;');
    $session->query($cure);
    is $other->query($partitions), 'tensor_atoms_m1_r1', 'it helps';
};

subtest 'an error with a constraint\'s name' => sub {
    $session->query('ALTER TABLE hartonomous.compression_steps ADD CONSTRAINT few CHECK (layer_id < 4 OR state = \'waiting\') NOT VALID;');
    my $said = $session->query('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');');
    is sqlstate($said), '23514', 'the caller gets the error';
    like $said, qr/^CONSTRAINT NAME:  few$/m, 'and the name of the constraint';
    unlike $said, qr/^(?:HINT|COLUMN NAME)/m, 'and no field that it has not';
    like $session->query($last_run), qr/^failed\|23514\|.*few/, 'the run says so';
    $session->query('ALTER TABLE hartonomous.compression_steps DROP CONSTRAINT few;');
};

subtest 'too little memory' => sub {
    large_gguf("$work/large.gguf", 1);
    is $session->query("SELECT hartonomous.import_gguf('$work/large.gguf', 'large');"), 2, 'a model with a larger matrix';
    $session->query('SET hartonomous.max_work_memory = \'4MB\';');
    is sqlstate($session->query('CALL hartonomous.svd_compress_model(\'large\', rank => 16);')), '53200', 'refused';
    like $session->query($last_run), qr/^failed\|53200\|/, 'the run says so';
    (my $of_large = $partitions) =~ s/_m1_/_m2_/;
    like $other->query($of_large), qr/^tensor_atoms_m2_r\d+$/, 'nothing is left but the model';
    $session->query('RESET hartonomous.max_work_memory; SET client_min_messages = notice;');
    my $said = $session->query('CALL hartonomous.svd_compress_model(\'large\', rank => 1000, factor_format => \'F32\');');
    like $said, qr/no tensor can be factored.*^DETAIL:  1 tensor: factors of rank 1000 would take .*, not less than/ms,
        'a stage that does nothing says why';
    $session->query('SET client_min_messages = warning;');
};

subtest 'in a transaction block' => sub {
    my $runs = $session->query('SELECT count(*) FROM hartonomous.compression_runs;');
    $session->query($where{'at a tensor'});
    $session->query('BEGIN;');
    is sqlstate($session->query('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');')), 'HT001', 'the caller gets the error';
    $session->query('ROLLBACK;');
    is $session->query('SELECT count(*) FROM hartonomous.compression_runs;'), $runs, 'no run is recorded';
    is sqlstate($session->query('SELECT hartonomous.backup_model(\'m\');')), 'HT001', 'nor by a function';
    is $session->query('SELECT count(*) FROM hartonomous.compression_runs;'), $runs, '... which is one transaction';
    $session->query('DROP TRIGGER stop ON hartonomous.compression_steps;');
};

subtest 'what a repeat can overcome' => sub {
    $other->query('BEGIN;');
    $other->query('SELECT count(*) FROM hartonomous.tensor_atoms;');
    $session->query('SET hartonomous.swap_timeout = \'100ms\';');
    my $said = $session->query('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');');
    is sqlstate($said), '55P03', 'the swap gives up';
    like $said, qr/^DETAIL:  Process /m, 'and says for whom';
    like $session->query($last_run), qr/^running\|55P03\|could not swap/, 'the run waits for the next call, and says why';
    $other->query('COMMIT;');
    $session->query('SET client_min_messages = notice;');
    like $session->query('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');'), qr/resuming run/, 'which goes on';
    $session->query('SET client_min_messages = warning; SET hartonomous.swap_timeout = \'1min\';');
    is $session->query($last_run), 'completed|||t', 'to the end';
    is $session->query('SELECT hartonomous.rollback_model(\'m\');'), 1, 'rolled back';
};

subtest 'a run that was stopped is abandoned' => sub {
    # The trigger blocks the run until it is cancelled.
    $session->query('CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;');
    $session->query('CREATE TRIGGER stop BEFORE UPDATE ON hartonomous.compression_steps FOR EACH ROW WHEN (OLD.layer_id = 4) EXECUTE FUNCTION wait();');
    $session->start('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');');
    my $sleeps = "SELECT count(*) FROM pg_stat_activity WHERE pid = @{[$session->pid]} AND wait_event = 'PgSleep';";
    ok wait_until(60, sub { $other->query($sleeps) }), 'a run is at work';
    my $run = $other->query('SELECT max(run_id) FROM hartonomous.compression_runs;');
    my $progress = 'SELECT run_id, state, steps_done, steps, pid, error_sqlstate FROM hartonomous.run_progress(\'m\') LIMIT 1;';
    is $other->query($progress), "$run|running|3|7|@{[$session->pid]}|", 'which its progress shows';
    is sqlstate($other->query("SELECT hartonomous.abandon_run($run);")), '55P03', 'which cannot be abandoned';
    $other->query("SELECT pg_cancel_backend(@{[$session->pid]});");
    is sqlstate($session->finish), '57014', 'it is cancelled';
    is $other->query($last_run), 'running|||f', '... and is to be resumed';
    is $other->query($progress), "$run|stopped|3|7||", '... and nobody is at work on it';
    like $other->query($partitions), qr/_r1 .*_r/, '... with what it wrote';
    is $other->query("SELECT hartonomous.abandon_run($run);"), '', 'now it can';
    is $other->query($last_run), 'abandoned|||t', '... and says so';
    unlike $other->query($partitions), qr/_r(?!1\b|@{[$other->query('SELECT max(revision_id) FROM hartonomous.model_revisions WHERE state = \'backup\';')]}\b)/,
        'what it wrote is gone';
    is sqlstate($other->query("SELECT hartonomous.abandon_run($run);")), '55000', 'not twice';
    is sqlstate($other->query("SELECT hartonomous.abandon_run($_);")), '42704', "no run $_" for '-1', 'NULL';
    $session->query('DROP TRIGGER stop ON hartonomous.compression_steps;');
};

is $session->query('CALL hartonomous.quantize_model(\'m\', \'F16\');'), '', 'after all that a stage works';
is $session->query('SELECT * FROM hartonomous.check_model(1);'), '', 'and nothing is wrong with the model';
$_->close for $session, $other;
done_testing;
