# Schedules by the real pg_cron, whose jobs are in another database than the store: what is called, what is skipped, how
# failures are shown, and what is said where pg_cron is not there. pg_cron begins jobs once a minute, so this takes
# some of them. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Server;
use Session;
use Test::More;

chomp(my $library = qx("$ENV{BINDIR}/pg_config" --pkglibdir));
plan skip_all => 'no pg_cron' unless -e "$library/pg_cron.so";
plan skip_all => 'no example model' unless $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};

my $server = Server->new(shared_preload_libraries => 'pg_cron', 'cron.database_name' => 'jobs',
    'cron.use_background_workers' => 'on');
$server->safe_psql('postgres', 'CREATE DATABASE jobs');
$server->safe_psql('jobs', 'CREATE EXTENSION pg_cron');
$server->database('models');
my $session = $server->quiet_session('models');
sub ask { return $session->query($_[0]) }
(my $text = $ENV{HARTONOMOUS_MODEL}) =~ s{[^/]*$}{heldout.txt};
ask("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', '$_');") for qw(tiny other third);
ask("SELECT hartonomous.add_validation_set('dogs', left(pg_read_file('$text'), 8000));");

# ---- where pg_cron cannot be reached ------------------------------------------------------------------------------

my $refused = ask('SELECT hartonomous.schedule_ooda(\'tiny\', \'* * * * *\');');
is sqlstate($refused), '55000', 'pg_cron is in another database';
like $refused, qr/Or run this in "jobs": SELECT to_jsonb\(cron\.schedule_in_database\(/, 'the hint has what to run there';
is sqlstate(ask('SELECT * FROM hartonomous.scheduled_jobs();')), '55000', 'its jobs cannot be seen either';
ask('CREATE EXTENSION dblink;');

# ---- schedules ---------------------------------------------------------------------------------------------------

is ask('SELECT count(*) FROM hartonomous.scheduled_jobs();'), 0, 'by dblink it is reached: there are no jobs yet';
is sqlstate(ask("SELECT hartonomous.schedule_ooda('none', '* * * * *');")), '42704', 'a schedule for no model';
is sqlstate(ask("SELECT hartonomous.schedule_ooda('tiny', NULL);")), '22004', 'no schedule';
is sqlstate(ask("SELECT hartonomous.schedule_ooda('tiny', '* * * * *', '{\"colour\": 1}');")), '22023', 'no such argument';
is sqlstate(ask("SELECT hartonomous.schedule_ooda('tiny', '* * * * *', '[]');")), '22023', 'arguments that are none';
like ask('SELECT hartonomous.schedule_ooda(\'tiny\', \'every day\');'), qr/ERROR/, 'pg_cron refuses what is no schedule';
is sqlstate(ask("SELECT hartonomous.schedule_retention('tiny', '* * * * *');")), '22023', 'a retention without a limit';
is ask("SELECT hartonomous.schedule_ooda('tiny', '0 3 * * *');"), 'hartonomous ooda models/1', 'a schedule has a name';
# Only superusers are connected by dblink without a password.
ask("$_;") for 'CREATE ROLE member', 'GRANT pg_read_all_settings TO member',
    'GRANT SELECT ON ALL TABLES IN SCHEMA hartonomous TO member', 'SET ROLE member';
my $unconnected = ask("SELECT hartonomous.schedule_ooda('tiny', '0 3 * * *');");
is sqlstate($unconnected), '55000', 'dblink refuses roles without a password';
like $unconnected, qr/Run this in "jobs": SELECT to_jsonb\(cron\.schedule_in_database\(/, 'the hint has what to run there';
ask('RESET ROLE;');

# From here on jobs may begin at any moment, which nothing below may depend on.
ask("SELECT hartonomous.schedule_ooda('tiny', '* * * * *', '{\"n_ctx\": 128, \"max_changes\": 1}');");
ask("SELECT hartonomous.schedule_compression('other', '* * * * *', '{\"target_bytes\": 1000, \"formats\": [\"Q4_K\"]}');");
ask("SELECT hartonomous.schedule_retention('third', '* * * * *', keep_last => 1, max_age => '1 day');");
is ask('SELECT string_agg(job_name || \' \' || schedule, \',\' ORDER BY job_name) FROM hartonomous.scheduled_jobs();'),
    join(',', map { "hartonomous $_ * * * * *" } 'compression models/2', 'ooda models/1', 'retention models/3'),
    'the next schedule of the same kind replaces the one before';
is ask('SELECT command FROM hartonomous.scheduled_jobs() WHERE job_name LIKE \'%ooda%\';'),
    q{CALL hartonomous.ooda_cycle(1, max_changes => '1', n_ctx => '128')}, 'a job calls the procedure';

# ---- what runs ---------------------------------------------------------------------------------------------------

# What a query says sooner or later: after the first run of a job, or after a further one.
sub becomes {
    my ($query, $expected, $name) = @_;
    my $said;
    wait_until(600, sub { ($said = ask($query)) =~ $expected });
    return like $said, $expected, $name;
}
sub last_run { return "SELECT concat_ws(' ', $_[1]) FROM hartonomous.scheduled_jobs() WHERE job_name LIKE '%$_[0]%';" }
becomes(last_run('ooda', 'last_status'), qr/^succeeded$/, 'the loop ran');
becomes('SELECT count(*) FROM hartonomous.ooda_hypotheses WHERE state = \'accepted\' AND model_id = 1;', qr/^[1-9]/,
    'and has accepted a change');
becomes('SELECT count(*) FROM hartonomous.job_progress(\'tiny\') WHERE state = \'completed\';', qr/^[1-9]/,
    'its job is complete');
becomes(last_run('compression', 'runs > 0, failures > 0, last_finished >= last_started, last_status, last_message'),
    qr/^t t t failed.*there is no calibration set/s, 'a failure is shown with its error');
becomes(last_run('retention', 'last_status'), qr/^succeeded$/, 'retention was applied');

# While the loop waits for this session it is running, and its last outcome is still to be seen.
my $blocker = $server->quiet_session('models');
$blocker->query($_) for 'BEGIN;', 'LOCK TABLE hartonomous.ooda_hypotheses;';
becomes(last_run('ooda', 'running, last_status'), qr/^t succeeded$/, 'a run that is going on does not hide the last one');
$blocker->query('ROLLBACK;');
$blocker->close;

is ask('SELECT hartonomous.unschedule(\'none\');'), 'f', 'a job that does not exist';
is ask('SELECT count(hartonomous.unschedule(job_name)) FROM hartonomous.scheduled_jobs();'), 3, 'all are unscheduled';
is ask('SELECT count(*) FROM hartonomous.scheduled_jobs();'), 0, 'and gone';
# A run that has begun goes on.
my $going_on = 'SELECT count(*) FROM cron.job_run_details WHERE status NOT IN (\'succeeded\', \'failed\')';
ok wait_until(600, sub { $server->safe_psql('jobs', $going_on) == 0 }), 'no run is going on any more';
is ask('SELECT count(*) FROM hartonomous.check_model(1);'), 0, 'the model has no faults';

# ---- where pg_cron is in the same database, and where it does not run ------------------------------------------------

$session->close;
$server->append_conf('postgresql.conf', 'cron.database_name = \'models\'');
$server->restart;
$session = $server->quiet_session('models');
ask('DROP EXTENSION dblink;');
ask('CREATE EXTENSION pg_cron;');
ask("SELECT hartonomous.schedule_ooda('tiny', '0 3 * * *');");
is ask('SELECT count(*) FROM hartonomous.scheduled_jobs();'), 1, 'pg_cron in the database of the store needs no dblink';
$session->close;
$server->append_conf('postgresql.conf', 'shared_preload_libraries = \'\'');
$server->restart;
$session = $server->quiet_session('models');
my $absent = ask("SELECT hartonomous.schedule_ooda('tiny', '0 3 * * *');");
is sqlstate($absent), '55000', 'without pg_cron nothing can be scheduled';
like $absent, qr/shared_preload_libraries/, 'the hint says how to get it';
$session->close;
done_testing;
