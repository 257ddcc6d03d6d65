# Progress messages of evaluation. That they appear every ten seconds is tested by test/unit/progress_test.cpp. Run by
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
$server->database('evaluate');
my $session = $server->session('evaluate');
$session->query("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', 'runs');");
$session->query("SELECT hartonomous.add_validation_set('text', left(pg_read_file('$text'), 8000));");
$session->query('SELECT text AS text FROM hartonomous.validation_sets \gset');
my %said = (
    perplexity => "SELECT hartonomous.perplexity('runs', :'text', 256) > 1;",
    score_tokens => "SELECT count(*) > 0 FROM hartonomous.score_tokens('runs', :'text', 256);",
    validate_model_accuracy => "SELECT perplexity > 1 FROM hartonomous.validate_model_accuracy('runs', 'text', 1, 256);",
    record_usage => "SELECT hartonomous.record_usage('runs', :'text', 256) > 0;",
);
for my $name (sort keys %said) {
    is($session->query($said{$name}), 't', "$name: short work says nothing");
    $session->query('SET client_min_messages = debug1;');
    my @progress = grep { /evaluated/ } split /\n/, $session->query($said{$name});
    $session->query('RESET client_min_messages;');
    cmp_ok(scalar @progress, '>', 0, "$name: a line a pass at DEBUG1");
    like($_, qr/^DEBUG:  00000: evaluated [0-9.]+ % of \d+ windows, perplexity \d+\.\d\d so far, [0-9a-z ]+ left$/, $_)
        for @progress;
    like($progress[-1], qr/evaluated 100\.0 %/, "$name: all, at the end");
}
$session->close;
done_testing();
