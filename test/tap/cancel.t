# How soon a cancel request takes effect, in every function that can run for long. Each function is cancelled many
# times, at moments spread over its run; median and maximum are printed. The limit is generous because machines are
# sometimes busy. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use Server;
use Session;
use Test::More;
use Time::HiRes qw(sleep time);

my $samples = $ENV{HARTONOMOUS_CANCELS} // 5;
my $bound = 2;    # seconds
my $server = Server->new;
my $work = $server->basedir;

large_gguf("$work/large.gguf", 12);
# A matrix with long rows, and one large file of zeros.
write_gguf("$work/wide.gguf", tensors => [['wide.weight', 'F32', 1 << 18, 64]]);
open my $hole, '>', "$work/hole" or die $!;
truncate $hole, 1e9;
close $hole;

$server->database('cancel');
my $worker = $server->quiet_session('cancel');
my $killer = $server->session('cancel');
my $pid = $worker->pid;

sub went {
    my ($statement) = @_;
    my $said = $worker->query($statement);
    die "$statement: $said\n" if $said =~ /ERROR|FATAL/;
    return $said;
}
went("SELECT hartonomous.import_gguf('$work/large.gguf', 'large');");
went("SELECT hartonomous.import_gguf('$work/large.gguf', 'parts', 256);");
# A Gram matrix of zeros, which takes as long as any other.
went("INSERT INTO hartonomous.calibration_sets (calibration_set) VALUES ('zeros');");
went("INSERT INTO hartonomous.calibration_stats (model_id, revision_id, calibration_set, layer_id, tokens, columns, experts,"
        . " token_counts, sums_of_squares, gram_layer_id) SELECT model_id, hartonomous_internal.current_revision(model_id), 'zeros',"
        . " layer_id, 1, row_length, 1, '{1}', array_fill(0::real, ARRAY[row_length::integer])::hartonomous.weights, min(layer_id) OVER (PARTITION BY model_id)"
        . " FROM hartonomous.model_layers WHERE hartonomous_internal.is_matrix(tensor_shape);");
went("INSERT INTO hartonomous.calibration_grams (model_id, revision_id, calibration_set, layer_id, expert, first_column, gram)"
        . " SELECT model_id, revision_id, calibration_set, layer_id, 0, 0, decode(repeat('00000000', columns * (columns + 1) / 2), 'hex')"
        . " FROM hartonomous.calibration_stats WHERE gram_layer_id = layer_id;");
my $runs = $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};
if ($runs) {
    (my $text = $ENV{HARTONOMOUS_MODEL}) =~ s{[^/]*$}{heldout.txt};
    went("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', 'runs');");
    went("SELECT hartonomous.add_validation_set('text', pg_read_file('$text'));");
    # The same text, which add_calibration_set() would refuse.
    went("INSERT INTO hartonomous.calibration_sets (calibration_set, text) VALUES ('text', pg_read_file('$text'));");
    # For quantizing in sequence. Collecting all tokens takes as long as if these were not there.
    went('CALL hartonomous.collect_calibration(\'runs\', \'text\', max_tokens => 8192);');
}
went("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', 'words');");
went("SELECT hartonomous.import_gguf('$work/large.gguf', 'cold');");
went('CALL hartonomous.archive_model(\'cold\');');
went("SELECT lo_import('$work/large.gguf', 4711);");
went('CREATE TABLE huge (file bytea, numbers real[], w hartonomous.weights, blocks hartonomous.weights, coordinates bytea, json json);');
went("ALTER TABLE huge ALTER $_ SET STORAGE EXTERNAL;") for qw(file numbers w blocks coordinates);
went("INSERT INTO huge (file) VALUES (pg_read_binary_file('$work/large.gguf'));");
went('UPDATE huge SET numbers = ARRAY(SELECT (sin(i) / 10)::real FROM generate_series(1, 4000000) i);');
went('UPDATE huge SET numbers = numbers || numbers || numbers || numbers;');
went('UPDATE huge SET w = numbers::hartonomous.weights, coordinates = hartonomous.quantize_q4k(numbers);');
went('UPDATE huge SET blocks = hartonomous.quantize(w, \'Q8_0\'), json = to_json(numbers[1:1000000]);');

# A name and a statement each. None changes the model, since all are cancelled or rolled back.
my @functions = (
    ['import_gguf(path)', "SELECT hartonomous.import_gguf('$work/large.gguf', 'again');"],
    ['import_gguf(path), long rows', "SELECT hartonomous.import_gguf('$work/wide.gguf', 'again', 1048576);"],
    ['import_gguf(bytea)', 'SELECT hartonomous.import_gguf(file, \'again\') FROM huge;'],
    ['import_gguf(oid)', 'SELECT hartonomous.import_gguf(4711::oid, \'again\');'],
    ['file_sha256 of 1 GB', "SELECT hartonomous.file_sha256('$work/hole');"],
    ['export_gguf(path)', "SELECT hartonomous.export_gguf('large', '$work/out.gguf');"],
    ['export_gguf(bytea)', 'SELECT length(hartonomous.export_gguf(hartonomous.model_id(\'large\')));'],
    ['export_gguf_large_object', 'SELECT hartonomous.export_gguf_large_object(hartonomous.model_id(\'large\'));'],
    ['export_safetensors(path)', "SELECT hartonomous.export_safetensors('large', '$work/out.st');"],
    ['quantize_model', 'CALL hartonomous.quantize_model(\'large\', \'Q4_K\');'],
    ['quantize_model, hessian', 'CALL hartonomous.quantize_model(\'large\', \'Q4_K\', calibration_set => \'zeros\');'],
    ['quantize_model, hessian, two threads',
        'SET LOCAL hartonomous.threads = 2; CALL hartonomous.quantize_model(\'large\', \'Q2_K\', calibration_set => \'zeros\');'],
    ['prune_by_importance, rewrite', 'CALL hartonomous.prune_by_importance(\'large\', 0.7);'],
    ['prune_by_importance, in place', 'CALL hartonomous.prune_by_importance(\'large\', 0.3, method => \'in_place\');'],
    ['prune_by_importance, refitted',
        'CALL hartonomous.prune_by_importance(\'parts\', 0.95, layer_pattern => \'blk.1%\', refit => true, calibration_set => \'zeros\');'],
    ['prune_by_importance, refitted, two threads', 'SET LOCAL hartonomous.threads = 2; '
        . 'CALL hartonomous.prune_by_importance(\'parts\', 0.4, layer_pattern => \'blk.1.%\', refit => true, calibration_set => \'zeros\');'],
    ['calibrate_importance, magnitude', 'CALL hartonomous.calibrate_importance(\'parts\', \'magnitude\');'],
    ['calibrate_importance, wanda', 'CALL hartonomous.calibrate_importance(\'large\', \'wanda\', \'zeros\');'],
    ['calibrate_importance, obs', 'CALL hartonomous.calibrate_importance(\'parts\', \'obs\', \'zeros\', \'blk.1%\');'],
    ['calibrate_importance, obs, whole rows, two threads',
        'SET LOCAL hartonomous.threads = 2; CALL hartonomous.calibrate_importance(\'large\', \'obs\', \'zeros\');'],
    ['backup_model', 'SELECT hartonomous.backup_model(\'large\');'],
    ['archive_model', 'CALL hartonomous.archive_model(\'large\');'],
    ['archive_model, small atoms', 'CALL hartonomous.archive_model(\'parts\');'],
    ['restore_archived_model', 'CALL hartonomous.restore_archived_model(\'cold\');'],
    ['export_gguf of an archived model', 'SELECT length(hartonomous.export_gguf(hartonomous.model_id(\'cold\')));'],
    ['check_model of an archived model', 'SELECT * FROM hartonomous.check_model(\'cold\');'],
    ['extract_by_importance', 'SELECT hartonomous.extract_by_importance(\'large\', 0.7);'],
    ['extract_by_spatial_region', 'SELECT hartonomous.extract_by_spatial_region(\'large\', 10, 90, 0, 100);'],
    ['prune_region', 'CALL hartonomous.prune_region(\'large\', hartonomous.region(0, 60, 0, 100, -10, 10));'],
    ['quantize_model_geometry', 'CALL hartonomous.quantize_model_geometry(\'large\');'],
    ['quantize_model, overrides', 'CALL hartonomous.quantize_model(\'large\', \'Q4_K_M\', overrides =>'
            . ' \'[{"pattern": "blk.1%", "format": "Q6_K"}]\');'],
    ['assign_mixed_precision', 'SELECT * FROM hartonomous.assign_mixed_precision(\'large\');'],
    ['diff_revisions', 'SELECT * FROM hartonomous.diff_revisions(1, 1);'],
    ['check_model', 'SELECT * FROM hartonomous.check_model(\'large\');'],
    ['block_influence', 'SELECT * FROM hartonomous.block_influence(1);'],
    ['quantize(real[]) to Q4_K', 'SELECT hartonomous.weights_count(hartonomous.quantize(numbers, \'Q4_K\')) FROM huge;'],
    ['quantize(weights) to Q6_K', 'SELECT hartonomous.weights_count(hartonomous.quantize(w, \'Q6_K\')) FROM huge;'],
    ['quantize(weights) to Q8_0', 'SELECT hartonomous.weights_count(hartonomous.quantize(w, \'Q8_0\')) FROM huge;'],
    ['quantize with importance',
        'SELECT hartonomous.weights_count(hartonomous.quantize(w, \'Q5_K\', hartonomous.dequantize(hartonomous.quantize('
            . 'array_fill(1::real, ARRAY[16000000]), \'F16\')))) FROM huge;'],
    ['dequantize', 'SELECT cardinality(hartonomous.dequantize(blocks)) FROM huge;'],
    ['relative_error', 'SELECT hartonomous.relative_error(w, blocks) FROM huge;'],
    ['weights_rms', 'SELECT hartonomous.weights_rms(blocks) FROM huge;'],
    ['weights output', 'SELECT length(w::text) FROM huge;'],
    ['weights input', 'SELECT hartonomous.weights_count(w::text::hartonomous.weights) FROM huge;'],
    ['svd_decompose of 4000 x 4000', 'SELECT (hartonomous.svd_decompose(w, 4000, 4000, 64)).rank FROM huge;'],
    ['svd_decompose, two threads', 'SET LOCAL hartonomous.threads = 2; SELECT (hartonomous.svd_decompose(w, 4000, 4000, 64)).rank FROM huge;'],
    ['svd_decompose, most ranks',
        'SELECT (hartonomous.svd_decompose(hartonomous.weights_slice(w, 0, 2250000), 1500, 1500, 700)).rank FROM huge;'],
    ['svd_decompose(json)', 'SELECT length(hartonomous.svd_decompose(json, 1000, 1000, 64)::text) FROM huge;'],
    ['reconstruct_from_svd',
        'SELECT length(hartonomous.reconstruct_from_svd((\'[\' || repeat(\'[1],\', 1999) || \'[1]]\')::json, \'[1]\', '
            . '(\'[\' || to_json(numbers[1:1000])::text || \']\')::json)::text) FROM huge;'],
    ['svd_reconstruct and svd_error',
        'SELECT hartonomous.svd_error(hartonomous.svd_reconstruct(f), f) FROM (SELECT hartonomous.svd_decompose(w, 160000, 100, 50) AS f FROM huge) q;'],
    ['svd_compress_model', 'CALL hartonomous.svd_compress_model(\'large\', rank => 64);'],
    ['svd_compress_model, whitened', 'CALL hartonomous.svd_compress_model(\'large\', rank => 64, calibration_set => \'zeros\');'],
    ['measure_singular_values', 'CALL hartonomous.measure_singular_values(\'large\', \'zeros\');'],
    ['svd_compress_model, auction, two threads', 'SET LOCAL hartonomous.threads = 2; '
        . 'CALL hartonomous.svd_compress_model(\'large\', target_ratio => 0.5, calibration_set => \'zeros\', auction => true);'],
    ['tensor_weights', 'SELECT sum(hartonomous.weights_count(hartonomous.tensor_weights(\'large\', layer_name))) FROM hartonomous.model_layers WHERE model_id = hartonomous.model_id(\'large\');'],
    ['quantize_q4k', 'SELECT length(hartonomous.quantize_q4k(numbers)) FROM huge;'],
    ['dequantize_q4k', 'SELECT cardinality(hartonomous.dequantize_q4k(coordinates, 16000000)) FROM huge;'],
    ['tokenize', 'SELECT cardinality(hartonomous.tokenize(\'words\', repeat(\'the little girl \', 1000000)));'],
    ['tokenize a long word', 'SELECT cardinality(hartonomous.tokenize(\'words\', repeat(\'o\', 4000000)));'],
    ['detokenize', 'SELECT octet_length(hartonomous.detokenize(\'words\', array_fill(300, ARRAY[20000000])));'],
    ['levenshtein_distance', 'SELECT hartonomous.levenshtein_distance(repeat(\'ab\', 60000), repeat(\'cd\', 60000));'],
    ['common_passage', 'SELECT hartonomous_internal.common_passage(repeat(\'ab\', 20000000), repeat(\'cd\', 20000000));'],
    ['quantize_q4k over rows', 'SELECT length(hartonomous.quantize_q4k(n)) FROM huge, unnest(numbers) n;'],
);

push @functions, (
    ['perplexity', 'SELECT hartonomous.perplexity(\'runs\', text) FROM hartonomous.validation_sets;'],
    ['perplexity, two threads', 'SET LOCAL hartonomous.threads = 2; SELECT hartonomous.perplexity(\'runs\', text) FROM hartonomous.validation_sets;'],
    ['score_tokens', 'SELECT count(*) FROM hartonomous.validation_sets s, hartonomous.score_tokens(\'runs\', s.text);'],
    ['validate_model_accuracy', 'SELECT * FROM hartonomous.validate_model_accuracy(\'runs\', \'text\', hartonomous_internal.current_revision(hartonomous.model_id(\'runs\')));'],
    ['record_usage', 'SELECT hartonomous.record_usage(\'runs\', text) FROM hartonomous.validation_sets;'],
    ['block_influence of a text', 'SELECT (hartonomous.block_influence(\'runs\', text)).* FROM hartonomous.validation_sets;'],
    ['extract_by_layers, repaired', 'SELECT hartonomous.extract_by_layers(\'runs\', 2, corpus => text) FROM hartonomous.validation_sets;'],
    ['collect_calibration', 'CALL hartonomous.collect_calibration(\'runs\', \'text\');'],
    ['collect_calibration, two threads', 'SET LOCAL hartonomous.threads = 2; CALL hartonomous.collect_calibration(\'runs\', \'text\');'],
    ['collect_calibration, gradients',
        'CALL hartonomous.collect_calibration(\'runs\', \'text\', max_tokens => 8192, statistics => \'fisher\');'],
    ['collect_calibration, diagonal', 'CALL hartonomous.collect_calibration(\'runs\', \'text\', statistics => \'diagonal\');'],
    ['measure_sensitivity', 'CALL hartonomous.measure_sensitivity(\'runs\', \'text\', probe_tokens => 1024);'],
    ['measure_sensitivity, hessian, two threads', 'SET LOCAL hartonomous.threads = 2; '
        . 'CALL hartonomous.measure_sensitivity(\'runs\', \'text\', \'hessian\', formats => \'{Q4_K,IQ4_XS}\', probe_tokens => 1024);'],
    ['quantize_model in sequence',
        'CALL hartonomous.quantize_model(\'runs\', \'Q4_K_M\', calibration_set => \'text\', sequential => true);'],
    ['quantize_model in sequence, two threads', 'SET LOCAL hartonomous.threads = 2; '
        . 'CALL hartonomous.quantize_model(\'runs\', \'Q2_K\', calibration_set => \'text\', sequential => true);'],
    ['generate_text, nothing kept', 'SET LOCAL hartonomous.model_cache_size = 0; SELECT hartonomous.generate_text(\'runs\', \'Once\', 300);'],
    ['generate_tokens, kept', 'SELECT count(*) FROM hartonomous.generate_tokens(\'runs\', \'Once\', 500);'],
) if $runs;

my $cancels = 0;

# Seconds from the request to the error, or undef if the function had finished before.
sub cancel_after {
    my ($statement, $delay) = @_;
    $worker->start("BEGIN; $statement\nROLLBACK;");
    sleep $delay;
    my $begin = time;
    $killer->query("SELECT pg_cancel_backend($pid);");
    my $printed = $worker->finish;
    my $seconds = time - $begin;
    return $printed =~ /57014/ ? $seconds : undef;
}

for my $f (@functions) {
    my ($name, $statement) = @$f;
    next if @ARGV && !grep { index($name, $_) >= 0 } @ARGV;
    my $begin = time;
    my $said = $worker->query("BEGIN; $statement\nROLLBACK;");
    my $whole = time - $begin;
    if ($said =~ /ERROR/) {
        fail "$name: $said";
        next;
    }
    my @latencies = sort { $a <=> $b } grep { defined }
        map { cancel_after($statement, $whole * ($_ + 0.3) / $samples * 0.95) } 0 .. $samples - 1;
    if (!@latencies) {
        diag "cancel $name: always done before ($whole s)";
        next;
    }
    diag sprintf 'cancel %-30s median %5.1f ms, max %5.1f ms (%d times in %.2f s)', $name,
        1000 * $latencies[@latencies / 2], 1000 * $latencies[-1], scalar @latencies, $whole;
    $cancels += @latencies;
    cmp_ok $latencies[-1], '<', $bound, $name;
}

is $worker->query('SELECT 1;'), 1, 'the session goes on';
is $worker->query('SELECT count(*) FROM hartonomous.models;'), $runs ? 5 : 4, 'no other model is left';
is_deeply [glob "$work/*.tmp.*"], [], 'no temporary file is left';
diag sprintf 'faults: cancel.t: %d injected, %d lost', $cancels, scalar grep { !$_ } Test::More->builder->summary;
$_->close for $worker, $killer;
done_testing;
