# Errors between C++ and PostgreSQL (src/pg/base/boundary.hpp): they arrive complete and leak nothing, and cancels are
# served. The functions called here are in test/boundary/boundary_test.cpp. Run by scripts/test.sh boundary.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Server;
use Session;
use Test::More;

my $module = $ENV{HARTONOMOUS_BOUNDARY} or die "HARTONOMOUS_BOUNDARY is not set: run scripts/test.sh boundary\n";

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[@sorted / 2]; }
sub most { my @sorted = sort { $a <=> $b } @_; return $sorted[-1]; }

# ---- set-up ------------------------------------------------------------------------------------------------------

my $server = Server->new;
my ($admin, $session) = ($server->session('postgres'), $server->session('postgres'));
my %functions = (
    'throw(kind text) RETURNS void' => 'throw',
    'ereport() RETURNS void' => 'ereport',
    'rethrow() RETURNS void' => 'rethrow',
    'translate() RETURNS void' => 'translate',
    'swallow(query text) RETURNS text' => 'swallow',
    'nest(depth int, kind text) RETURNS void' => 'nest',
    'stacks_kept() RETURNS boolean' => 'stacks_kept',
    'objects() RETURNS bigint' => 'objects',
    'destroyed() RETURNS bigint' => 'destroyed',
    'quantize(format text, count bigint, times int) RETURNS bigint' => 'quantize',
);
for my $signature (sort keys %functions) {
    my $answer = $session->query(
        "CREATE FUNCTION boundary_$signature LANGUAGE c AS '$module', 'boundary_$functions{$signature}';");
    is($answer, '', "boundary_$functions{$signature} is there");
}

sub no_objects_left { is($session->query('SELECT boundary_objects();'), '0', "no object was jumped over: $_[0]"); }

# ---- messages and SQLSTATEs --------------------------------------------------------------------------------------

# fails(what, query, sqlstate, message, detail, hint): the query must fail with exactly this error.
sub fails {
    my ($what, $sql, $state, $message, $detail, $hint) = @_;
    my $answer = $session->query("$sql;");
    $answer =~ s/\n(?:LOCATION|CONTEXT): .*//sg;
    my $expected = "ERROR:  $state: $message";
    $expected .= "\nDETAIL:  $detail" if defined $detail;
    $expected .= "\nHINT:  $hint" if defined $hint;
    is($answer, $expected, $what);
    is($session->query('SELECT 6 * 7;'), '42', '... and the session goes on');
    no_objects_left($what);
}

my @core = ('22P03', 'an error of the core', 'Its detail.', 'Its hint.');
my @server = ('22012', 'an error of the server', 'Its detail.', 'Its hint.');
fails('the core\'s error', "SELECT boundary_throw('error')", @core);
fails('one without detail and hint', "SELECT boundary_throw('plain')", '54000', 'an error without detail or hint');
fails('std::bad_alloc', "SELECT boundary_throw('bad_alloc')", '53200', 'out of memory');
fails('std::runtime_error', "SELECT boundary_throw('runtime_error')", 'XX000', 'a runtime error');
fails('an int', "SELECT boundary_throw('int')", 'XX000', 'unknown C++ exception');
fails('the server\'s error', 'SELECT boundary_ereport()', @server);
fails('caught and thrown again', 'SELECT boundary_rethrow()', @server);
fails('translated', 'SELECT boundary_translate()', '22023', 'because of: an error of the server');
fails('across many crossings, from C++', "SELECT boundary_nest(20, 'error')", @core);
fails('across many crossings, from the server', "SELECT boundary_nest(20, 'ereport')", @server);
like($session->query("SELECT boundary_throw('length_error');"), qr/^ERROR:  XX000: \S/, 'std::length_error');
no_objects_left('std::length_error');

# Texts that are too long are cut between characters, because the client's encoding would refuse half a character.
my $long = $session->query("SELECT boundary_throw('long');");
like($long, qr/^ERROR:  22023: x(?:\xc3\xa9){511}\n/, 'a long message is cut between characters');
like($long, qr/\nDETAIL:  (?:\xc3\xa9){511}\nHINT:  (?:\xc3\xa9){255}(?:\n|$)/, 'so are detail and hint');
no_objects_left('long texts');

# ---- location and context ----------------------------------------------------------------------------------------

# line_of(text): the line of boundary_test.cpp that holds the text.
sub line_of {
    my ($text) = @_;
    open my $source, '<', "$FindBin::Bin/../boundary/boundary_test.cpp" or die "boundary_test.cpp: $!";
    while (<$source>) { return $. if index($_, $text) >= 0; }
    die "boundary_test.cpp has no line with $text";
}

# location(query): the LOCATION of its error.
sub location { return $session->query("$_[0];") =~ /^LOCATION:  (.*)$/m ? $1 : 'none'; }

is(location("SELECT boundary_throw('error')"),
    'throw_kind, boundary_test.cpp:' . line_of('"an error of the core"'), 'LOCATION is the line of the throw');
is(location("SELECT boundary_throw('helper')"),
    'throw_kind, boundary_test.cpp:' . line_of('kind == "helper"'), '... or that of the call of a helper that throws');
is(location("SELECT boundary_nest(20, 'error')"),
    'throw_kind, boundary_test.cpp:' . line_of('"an error of the core"'), '... across many crossings');
is(location('SELECT boundary_ereport()'),
    'report, boundary_test.cpp:' . line_of('errmsg("an error of the server")'), 'of the server\'s error its ereport');
like(location("SELECT boundary_throw('int')"), qr/^\w+, boundary\.hpp:\d+$/, 'of an exception that knows none the boundary');

# Functions of the extension are recognized by their schema; users() stands for a function of a user.
is($session->query(<<'SQL'), '', 'functions that call each other');
CREATE SCHEMA hartonomous;
CREATE SCHEMA hartonomous_internal;
CREATE FUNCTION hartonomous_internal.inner(kind text) RETURNS void LANGUAGE plpgsql
  AS $$ BEGIN PERFORM public.boundary_throw(kind); END $$;
CREATE FUNCTION hartonomous.outer(kind text) RETURNS void LANGUAGE plpgsql
  AS $$ BEGIN PERFORM hartonomous_internal.inner(kind); END $$;
CREATE FUNCTION users(kind text) RETURNS void LANGUAGE plpgsql
  AS $$ BEGIN PERFORM hartonomous.outer(kind); END $$;
CREATE FUNCTION users_division() RETURNS void LANGUAGE plpgsql
  AS $$ BEGIN PERFORM 1 / 0; END $$;
SQL

# context(query): the lines of the CONTEXT of its error.
sub context {
    my $answer = $session->query("$_[0];");
    return $answer =~ /^CONTEXT:  (.*?)(?:\nLOCATION: .*)?\z/ms ? [split /\n/, $1] : [];
}
my $users = 'PL/pgSQL function users(text) line 1 at PERFORM';
my @whole = (
    'SQL statement "SELECT public.boundary_throw(kind)"',
    'PL/pgSQL function hartonomous_internal."inner"(text) line 1 at PERFORM',
    'SQL statement "SELECT hartonomous_internal.inner(kind)"',
    'PL/pgSQL function hartonomous."outer"(text) line 1 at PERFORM',
);
is_deeply(context("SELECT hartonomous.outer('error')"), [], 'a user\'s error has no CONTEXT of the extension');
is_deeply(context("SELECT users('error')"), [$users], '... that of functions which called it stays');
is_deeply(context("SELECT hartonomous.outer('runtime_error')"), \@whole, 'an internal error has all of it');
is_deeply(context('SELECT users_division()'),
    ['SQL statement "SELECT 1 / 0"', 'PL/pgSQL function users_division() line 1 at PERFORM'], 'so has one of the server');
$session->query('SET client_min_messages = debug1;');
is_deeply(context("SELECT hartonomous.outer('error')"), \@whole, 'at debug1 a user\'s error has, too');
$session->query('RESET client_min_messages;');
no_objects_left('errors with context');

# ---- errors that are caught --------------------------------------------------------------------------------------

is($session->query("SELECT boundary_swallow('SELECT 1/0');"), '22012', 'swallowed in a subtransaction');
is($session->query("SELECT boundary_swallow('SELECT 1');"), '', 'nothing to swallow');
is($session->query("SELECT boundary_swallow('SELECT boundary_throw(''error'')');"), '22P03', 'swallowed, from C++');
is($session->query(<<'SQL'), "22012\n1", 'what a swallowed error did is undone, the transaction goes on');
CREATE TEMPORARY TABLE t (i int);
BEGIN;
INSERT INTO t VALUES (1);
SELECT boundary_swallow('WITH w AS (INSERT INTO t VALUES (2) RETURNING i) SELECT i / 0 FROM w');
COMMIT;
SELECT string_agg(i::text, ',') FROM t;
SQL
is($session->query('SELECT boundary_stacks_kept();'), 't', 'PostgreSQL\'s stacks and memory context are as before');
no_objects_left('swallowed errors');

my $destroyed = $session->query('SELECT boundary_destroyed();');
$session->query("SELECT boundary_nest(9, 'ereport');");
is($session->query('SELECT boundary_destroyed();') - $destroyed, 10, 'ten crossings, ten destructors');

# ---- memory ------------------------------------------------------------------------------------------------------

# Errors that reach the client, one statement each, and errors that are caught in PL/pgSQL, all in one statement.
my $file = $server->basedir . '/statements.sql';

sub many_statements {
    my ($sql, $count) = @_;
    open my $out, '>', $file or die "$file: $!";
    print $out "$sql;\n" x $count;
    close $out;
    $session->query("\\i $file");
}

sub one_statement {
    my ($sql, $count) = @_;
    my $answer = $session->query(<<"SQL");
DO \$\$
DECLARE caught int := 0;
BEGIN
  FOR i IN 1..$count LOOP
    BEGIN
      PERFORM $sql;
    EXCEPTION WHEN OTHERS THEN
      caught := caught + 1;
    END;
  END LOOP;
  ASSERT caught = $count;
END \$\$;
SQL
    is($answer, '', "$count errors caught in PL/pgSQL");
}

# An exception that is not freed is the smallest possible leak of an error; here it would add up to at least a megabyte.
sub stays_flat {
    my ($what, $run, $count) = @_;
    $run->(1000);
    my $before = $session->resident;
    $run->($count);
    my $grown = $session->resident - $before;
    diag("resident memory after $count $what: $grown KB more");
    cmp_ok($grown, '<', 512, "memory stays flat over $count $what");
    no_objects_left($what);
}

my $count = 10_000;
stays_flat('errors from C++', sub { many_statements("SELECT boundary_throw('error')", $_[0]) }, $count);
stays_flat('errors from the server', sub { many_statements('SELECT boundary_ereport()', $_[0]) }, $count);
stays_flat('errors from C++ in one statement',
    sub { one_statement("boundary_throw('error')", $_[0]) }, $count);
stays_flat('errors from the server in one statement',
    sub { one_statement('boundary_ereport()', $_[0]) }, $count);
stays_flat('errors swallowed in C++', sub { many_statements(q{SELECT boundary_swallow('SELECT 1/0')}, $_[0]) }, 2000);

# ---- cancelling --------------------------------------------------------------------------------------------------

# At least ten seconds of work, in calls of a tenth of a second, of which each cancel interrupts one.
my $work = q{boundary_quantize('Q4_K', 20000000, 100)};

# Both times are taken from the server's clock: the request, and the end of the statement.
is($session->query('CREATE TABLE latencies (kind text, ms float8);'), '', 'a table for latencies');

sub report_latency {
    my ($kind, $expected) = @_;
    my @ms = split /\n/, $session->query("SELECT ms FROM latencies WHERE kind = '$kind';");
    is(scalar(@ms), $expected, "every $kind was honoured");
    return unless @ms;
    diag(sprintf 'cancel latency, %s: median %.1f ms, maximum %.1f ms of %d', $kind, median(@ms), most(@ms),
        scalar @ms);
    # The work takes ten; machines are sometimes busy.
    cmp_ok(most(@ms), '<', 3000, "no $kind waited three seconds");
    cmp_ok(most(@ms), '>', 0, "the $kind came before the end");
}

my $times = 40;
for my $i (1 .. $times) {
    # After the input has been created, at a different point of the work each time.
    my $timeout = 250 + 7 * $i;
    $session->query(<<"SQL");
SET statement_timeout = $timeout;
DO \$\$
BEGIN
  PERFORM $work;
EXCEPTION WHEN query_canceled THEN
  INSERT INTO latencies
    SELECT 'statement_timeout', extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000 - $timeout;
END \$\$;
SET statement_timeout = 0;
SQL
}
report_latency('statement_timeout', $times);

for my $i (1 .. $times) {
    $session->start(<<"SQL");
DO \$\$
BEGIN
  PERFORM $work;
EXCEPTION WHEN query_canceled THEN
  INSERT INTO latencies SELECT 'pg_cancel_backend', extract(epoch FROM clock_timestamp()) * 1000;
END \$\$;
SQL
    ok wait_until(60, sub { $admin->query("SELECT state = 'active' FROM pg_stat_activity WHERE pid = @{[$session->pid]};") eq 't' }),
        'at work';
    select undef, undef, undef, 0.25 + 0.007 * $i;
    my $sent = $admin->query(
        "SELECT extract(epoch FROM clock_timestamp()) * 1000 FROM pg_cancel_backend(@{[$session->pid]});");
    $session->finish;
    $session->query("UPDATE latencies SET ms = ms - $sent WHERE kind = 'pg_cancel_backend' AND ms > 1e9;");
}
report_latency('pg_cancel_backend', $times);
no_objects_left('cancels');

fails('a timeout arrives as PostgreSQL has it', "SET statement_timeout = 300; SELECT $work",
    '57014', 'canceling statement due to statement timeout');
$session->query('SET statement_timeout = 0;');
is($session->query(q{SELECT boundary_quantize('Q4_K', 2560, 1);}), '1440', 'what was cancelled before now works');

# A termination is served as well, and does not crash the server.
$session->start("SELECT $work;");
ok wait_until(60, sub { $admin->query("SELECT state = 'active' FROM pg_stat_activity WHERE pid = @{[$session->pid]};") eq 't' }),
    'at work';
select undef, undef, undef, 0.3;
is($admin->query("SELECT pg_terminate_backend(@{[$session->pid]}, 60000);"), 't', 'terminated within the work');
like($session->finish, qr/\AFATAL:  57P01: terminating connection/, '... as PostgreSQL has it, no error before it');
$session->close;
is($admin->query('SELECT 1;'), '1', '... and the server goes on');

$admin->close;
done_testing();
