# A streaming standby: reading functions work in recovery, writing ones are refused, swaps are replayed, and after
# promotion it works like any other server. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use Server;
use Session;
use Test::More;

plan skip_all => 'no example model' unless $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};

my $primary = Server->new;
$primary->database('copied');
my $writer = $primary->quiet_session('copied');
is $writer->query("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', 'tiny');"), 1, 'a model on the primary';

my $standby = $primary->standby;
my $reader = $standby->quiet_session('copied');
is $reader->query('SELECT pg_is_in_recovery();'), 't', 'a standby';
my $file = $standby->basedir . '/exported.gguf';
my $text = "repeat('Once upon a time there was a girl. ', 40)";
my %reads = (
    'generation' => "SELECT hartonomous.generate_text('tiny', 'Once upon a time', 5);",
    'evaluation' => "SELECT hartonomous.perplexity('tiny', $text, 64) > 1;",
    'tokens' => "SELECT hartonomous.tokenize('tiny', 'Once');",
    'models' => 'SELECT model_name FROM hartonomous.list_models();',
    'neighbours' => "SELECT count(*) FROM hartonomous.nearest_atoms('tiny', (SELECT weights_geometry"
        . ' FROM hartonomous.tensor_atoms WHERE layer_id = 3 AND atom_sequence = 1), 3);',
    'sizes' => "SELECT atoms, physical_bytes > 0 FROM hartonomous.storage_report('tiny');",
    'faults' => "SELECT count(*) FROM hartonomous.check_model('tiny');",
    'history' => "SELECT stage, state FROM hartonomous.model_history('tiny');",
    'lineage' => "SELECT stage, seconds, created_at FROM hartonomous.model_lineage('tiny');",
    'export with provenance' => "SELECT md5(hartonomous.export_gguf('tiny', true));",
    'plan of quantizing' => "SELECT count(*) FROM hartonomous.quantize_plan('tiny', 'Q4_K_M');",
    'plan of pruning' => "SELECT sum(atoms_before - atoms_after) FROM hartonomous.prune_plan('tiny', 0.8);",
    'plan of factoring' => "SELECT count(*) FROM hartonomous.svd_plan('tiny', rank => 8);",
    'export as a value' => 'SELECT sha256(hartonomous.export_gguf(1)) = source_sha256 FROM hartonomous.models;',
);
for my $what (sort keys %reads) {
    my $expected = $writer->query($reads{$what});
    unlike $expected, qr/ERROR/, "$what: on the primary" or next;
    is $reader->query($reads{$what}), $expected, "$what: the same on the standby";
}
is $reader->query("SELECT hartonomous.export_gguf('tiny', '$file');"), -s $ENV{HARTONOMOUS_MODEL}, 'export to a file';
is system('cmp', '-s', $file, $ENV{HARTONOMOUS_MODEL}), 0, '... the model';

my $plan = q{ARRAY[ROW(NULL, 'token_embd.weight', 'quantize', '{"format": "Q8_0"}', NULL, NULL, NULL, NULL, NULL, NULL)]}
    . '::hartonomous.tensor_plan[]';
my @dry = (
    "CALL hartonomous.prune_by_importance('tiny', 0.9, dry_run => true);",
    "CALL hartonomous.prune_region('tiny', hartonomous.region(0, 20, 0, 20, -10, 0), dry_run => true);",
    "CALL hartonomous.remove_neurons('tiny', 0.9, refit => false, dry_run => true);",
    "CALL hartonomous.remove_blocks('tiny', blocks => '{2}', dry_run => true);",
    "CALL hartonomous.run_plan('tiny', 'mine', $plan, dry_run => true);",
    "CALL hartonomous.compress_model('tiny', target_bits_per_weight => 4.5, validation_set => 'v', calibration_set => 'c', n_ctx => 64, dry_run => true);",
);
$writer->query("SELECT hartonomous.add_validation_set('v', $text);");
$writer->query("SELECT hartonomous.add_calibration_set('c', repeat('The cat saw a little dog under the big tree. ', 40));");
ok wait_until(60, sub { $reader->query('SELECT count(*) FROM hartonomous.calibration_sets;') eq '1' }), 'sets of texts';
my ($there, $here) = map { $_->session('copied') } $primary, $standby;
for my $dry (@dry) {
    my $said = $there->query($dry);
    like $said, qr/NOTICE/, "$dry on the primary";
    unlike $said, qr/ERROR/, '... works';
    is $here->query($dry), $said, '... and says the same on the standby';
}
$_->close for $there, $here;

my %writes = (
    'a stage' => "CALL hartonomous.quantize_model('tiny', 'Q8_0');",
    'usage' => "SELECT hartonomous.record_usage('tiny', 'Once upon a time');",
    'a large object' => 'SELECT hartonomous.export_gguf_large_object(1);',
    'an import' => "SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', 'other');",
);
like $reader->query($writes{$_}), qr/ERROR: .*(?:recovery|read-only)/, "$_ is refused" for sort keys %writes;

is $writer->query("CALL hartonomous.quantize_model('tiny', 'Q4_K');"), '', 'a stage on the primary';
ok wait_until(60, sub { $reader->query("SELECT stage FROM hartonomous.list_models();") eq 'quantize' }), 'arrives';
like $reader->query($reads{evaluation}), qr/^t$/, '... and the standby evaluates what it made';

# Weights out of line, which are logged as whole pages.
my $wide = large_gguf($primary->basedir . '/wide.gguf', 1);
my $weights = "SELECT count(*) || ' ' || md5(string_agg(md5(atom_data::bytea), '' ORDER BY atom_sequence))"
    . " FROM hartonomous.tensor_atoms WHERE model_id = (SELECT model_id FROM hartonomous.models WHERE model_name = 'wide');";
like $writer->query("SELECT hartonomous.import_gguf('$wide', 'wide', 1024);"), qr/^\d+$/, 'rows of 4 kB on the primary';
ok wait_until(60, sub { $reader->query("SELECT count(*) FROM hartonomous.models WHERE model_name = 'wide';") eq '1' }),
    '... arrive';
like $writer->query($weights), qr/^1024 /, '... all of them';
is $reader->query($weights), $writer->query($weights), '... as they are';
is $writer->query("SELECT hartonomous.delete_model('wide') > 0;"), 't', '... and go';

$writer->close;
$standby->promote;
ok $standby->poll_query_until('copied', 'SELECT NOT pg_is_in_recovery()'), 'promoted';
is $reader->query("SELECT hartonomous.rollback_model('tiny');"), 1, 'it rolls back';
is $reader->query("CALL hartonomous.quantize_model('tiny', 'Q8_0');"), '', '... and quantizes';
is $reader->query("SELECT count(*) FROM hartonomous.check_model('tiny');"), 0, '... and all is well';
$reader->close;
done_testing;
