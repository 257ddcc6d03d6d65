# The memory of a server process: it stays constant over a thousand successful calls and ten thousand errors, and it is
# limited while files much larger than hartonomous.max_work_memory are imported and exported. Run by scripts/test.sh
# tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use List::Util 'sum';
use Model;
use Server;
use Session;
use Test::More;

plan skip_all => 'needs /proc' if !-r '/proc/self/status';
my $server = Server->new;
my $work = $server->basedir;
write_gguf("$work/tiny.gguf", tensors => [['blk.0.ffn_up.weight', 'F32', 64, 32], ['output_norm.weight', 'F32', 64]]);
write_gguf("$work/large.gguf",
    tensors => [['one.weight', 'F32', 4096, 4096], map { ["blk.$_.ffn_up.weight", 'F32', 1024, 1024] } 0 .. 3]);

$server->database('memory');
my $session;

# The growth of memory over that many runs of the statements. The first tenth is not counted because caches are filled
# in it, and neither is the largest increase between two tenths: a leak grows in all of them, while a single late cancel
# causes one increase. An array among the statements is run once, at the start.
sub grows {
    my ($name, $runs, $limit, $expected, @statements) = @_;
    $session = $server->quiet_session('memory');
    my ($wrong, @seen) = ('');
    for my $run (1 .. $runs) {
        for my $statement (map { ref ? $run == 1 ? @$_ : () : $_ } @statements) {
            my $printed = $session->query($statement);
            $wrong ||= "$statement: $printed" if $printed !~ $expected;
        }
        push @seen, $session->resident if $run % int($runs / 10) == 0;
    }
    my @steps = sort { $a <=> $b } map { $seen[$_] - $seen[$_ - 1] } 1 .. $#seen;
    my $growth = sum(@steps) - $steps[-1];
    is $wrong, '', "$name: as expected each time";
    cmp_ok $growth, '<', $limit, "$name: flat";
    diag sprintf 'resident %-28s %+6d kB over %d statements', $name, $growth, $runs * 0.9 * grep { !ref } @statements;
}

my $flat = 2048;    # kB
my $numbers = 'ARRAY(SELECT sin(i)::real FROM generate_series(1, 4096) i)';
grows('quantize and dequantize', 1000, $flat, qr/^4096$/,
    map { "SELECT cardinality(hartonomous.dequantize(hartonomous.quantize($numbers, '$_')));" } qw(Q4_K Q8_0 F16));
grows('coordinates', 1000, $flat, qr/^4096$/,
    "SELECT cardinality(hartonomous.dequantize_q4k(hartonomous.quantize_q4k($numbers), 4096));",
    "SELECT cardinality(hartonomous.dequantize_q4k(hartonomous.quantize_q4k(n), 4096)) FROM unnest($numbers) n;");
grows('weights as text', 1000, $flat, qr/^4096$/,
    "SELECT hartonomous.weights_count(hartonomous.quantize($numbers, 'Q8_0')::text::hartonomous.weights);");
grows('decompositions', 1000, $flat, qr/^\d/,
    "SELECT (hartonomous.svd_decompose($numbers, 64, 64, 8)).rank;",
    "SELECT length(hartonomous.svd_decompose(to_json($numbers), 64, 64, 8)::text);",
    "SELECT hartonomous.svd_error($numbers\::hartonomous.weights, hartonomous.svd_decompose($numbers, 32, 128, 4));");
$session->query("SELECT hartonomous.import_gguf('$work/tiny.gguf', 'stays');");
grows('headers', 1000, $flat, qr/^[2\\]/, "SELECT count(*) FROM hartonomous.file_tensors('$work/tiny.gguf'::text, 'gguf');",
    "SELECT hartonomous.file_sha256('$work/tiny.gguf'::text);");
grows('export', 1000, $flat, qr/^\d+$/, 'SELECT length(hartonomous.export_gguf(hartonomous.model_id(\'stays\')));',
    "SELECT hartonomous.export_gguf('stays', '$work/out.gguf');");
$session->query("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', 'words');");
grows('tokens', 1000, $flat, qr/^\d+$/,
    "SELECT length(hartonomous.detokenize('words', hartonomous.tokenize('words', repeat('Once upon a time. ', 500))));",
    'SELECT hartonomous.levenshtein_distance(repeat(\'ab\', 500), repeat(\'ba\', 700));');
# The vocabulary changes each time, so that tokenizers are created and dropped.
grows('vocabularies', 300, $flat, qr/^\d*$/,
    'UPDATE hartonomous.models SET metadata = jsonb_set(metadata, \'{version}\', to_jsonb(5 - (metadata ->> \'version\')::int))'
        . ' WHERE model_name = \'words\';',
    "SELECT cardinality(hartonomous.tokenize('words', 'Once upon a time'));");
grows('large objects', 300, $flat, qr/^-?\d*$/,
    'SELECT lo_unlink(hartonomous.export_gguf_large_object(hartonomous.model_id(\'stays\')));',
    'BEGIN;', "SELECT FROM lo_import('$work/tiny.gguf', 4711);", 'SELECT length(hartonomous.file_sha256(4711::oid));',
    'SELECT lo_unlink(4711);', 'COMMIT;');
# Running models: only what the first run cached remains, and failed runs leave nothing.
my $runs = $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};
if ($runs) {
    $session->query("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', 'runs');");
    my $kept = 'SET hartonomous.model_cache_size = \'16MB\';';
    grows('evaluation', 100, $flat, qr/^[\d.]*$/, $kept,
        'SELECT hartonomous.perplexity(\'runs\', repeat(\'Once upon a time \', 60), 64);',
        'SELECT length(hartonomous.generate_text(\'runs\', \'Once\', 5));',
        'SELECT count(*) FROM (SELECT hartonomous.generate_tokens(\'runs\', \'Once\', 9) LIMIT 2) x;',
        'SELECT sum(position) FROM hartonomous.score_tokens(\'runs\', \'Once upon a time\');');
    # The warm-up run gets at least as far as any run that is cancelled.
    my $long = 'SELECT hartonomous.perplexity(\'runs\', repeat(\'Once upon a time \', 600), 256);';
    grows('evaluation that fails', 300, $flat, qr/ERROR|^[\d.]*$/, [$kept, $long],
        'SELECT hartonomous.perplexity(\'runs\', repeat(\'Once upon a time \', 60), 9999);',
        'SELECT hartonomous.generate_text(\'runs\', repeat(\'Once upon a time \', 600), 5);',
        'SET statement_timeout = 5;', $long,
        'SET statement_timeout = 0;');
}
# Every partition that is created and dropped leaves entries in the catalog caches of the process.
grows('a life', 150, 3 * $flat, qr/^\d*$/, 'BEGIN;', "SELECT hartonomous.import_gguf('$work/tiny.gguf', 'passes');",
    'CALL hartonomous.prune_by_importance(\'passes\', 0.5);', 'CALL hartonomous.quantize_model(\'passes\', \'Q8_0\');',
    'SELECT hartonomous.rollback_model(\'passes\');', 'SELECT length(hartonomous.export_gguf(hartonomous.model_id(\'passes\')));',
    'ROLLBACK;');

# ---- errors: thirteen kinds, thirteen thousand in all ----------------------------------------------------------------------

open my $file, '<:raw', "$work/tiny.gguf" or die $!;
my $bytes = do { local $/; <$file> };
my $cut = 'decode(\'' . unpack('H*', substr $bytes, 0, 200) . '\', \'hex\')';
my %failing = (
    'decompositions' => ['22003|22023|2202E|22P02', 'SELECT hartonomous.svd_decompose(ARRAY[1, \'NaN\']::real[], 1, 2);',
        'SELECT hartonomous.svd_decompose(\'[[1],[2,3]]\'::json, 1, 2, 1);', 'SELECT hartonomous.svd_decompose(\'[tru]\'::text::json, 1, 2, 1);',
        'SELECT hartonomous.svd_decompose(ARRAY[1]::real[], 1, 2);', 'SELECT hartonomous.svd_decompose(ARRAY[1]::real[], 1, 1, 0);'],
    'quantize' => ['22003|22023|2202E',
        'SELECT hartonomous.quantize(ARRAY(SELECT CASE WHEN i = 4000 THEN \'NaN\'::real ELSE i END FROM'
            . ' generate_series(1, 4096) i), \'Q4_K\');',
        "SELECT hartonomous.quantize($numbers, 'Q9');",
        "SELECT hartonomous.quantize($numbers, 'Q4_K', ARRAY[1]::real[]);"],
    'values' => ['22P02|22023|22P03|2202E',
        'SELECT \'F32[1]:00\'::hartonomous.weights;',
        "SELECT hartonomous.quantize_q4k($numbers, -1);",
        "SELECT hartonomous.dequantize_q4k('\\x00', 100);",
        "SELECT hartonomous.dot($numbers :: hartonomous.weights, ARRAY[1]::real[]::hartonomous.weights);"],
    'tokens' => ['22003|22004|42704',
        "SELECT hartonomous.detokenize('words', ARRAY(SELECT i FROM generate_series(0, 768) i));",
        "SELECT hartonomous.detokenize('words', '{1,NULL}');",
        "SELECT hartonomous.tokenize(4711, 'x');"],
    'files' => ['58P01|22P03',
        "SELECT hartonomous.import_gguf('$work/none.gguf', 'n');",
        "SELECT hartonomous.import_gguf($cut, 'n');",
        "SELECT hartonomous.export_gguf('stays', '$work/no/where');"],
);
for my $kind (sort keys %failing) {
    my ($states, @statements) = @{ $failing{$kind} };
    grows("errors of $kind", 1000, $flat, qr/^ERROR:  (?:$states):/m, @statements);
}

# ---- files larger than the budget --------------------------------------------------------------------------------

# The largest growth observed while a statement runs.
sub peak {
    my ($statement) = @_;
    my $before = $session->resident;
    my $peak = $before;
    $session->start($statement);
    pipe my $reader, my $writer or die $!;
    my $child = fork // die $!;
    if ($child == 0) {
        # Samples until it is told to stop.
        my $most = $before;
        local $SIG{TERM} = sub {
            syswrite $writer, "$most\n";
            require POSIX;
            POSIX::_exit(0);
        };
        while (1) {
            my $now = eval { $session->resident } // 0;
            $most = $now if $now > $most;
            select undef, undef, undef, 0.003;
        }
    }
    close $writer;
    my $printed = $session->finish;
    kill 'TERM', $child;
    my $most = <$reader> // $before;    # nothing if it was stopped before it started
    waitpid $child, 0;
    return ($most - $before, $printed);
}

$session = $server->quiet_session('memory');
$session->query($_) for 'SET hartonomous.max_work_memory = \'8MB\';', 'SET maintenance_work_mem = \'8MB\';',
    'SET max_parallel_workers_per_gather = 0;', 'SELECT hartonomous.formats();';
for my $step (
    ["import of 80 MB", "SELECT hartonomous.import_gguf('$work/large.gguf', 'large');"],
    ["export of 80 MB", "SELECT hartonomous.export_gguf('large', '$work/out.gguf');"],
    ["quantize_model of 80 MB", 'CALL hartonomous.quantize_model(\'large\', \'Q8_0\');'],
    ["backup_model of 20 MB", 'SELECT hartonomous.backup_model(\'large\');'],
) {
    my ($name, $statement) = @$step;
    my ($growth, $printed) = peak($statement);
    unlike $printed, qr/ERROR/, $name;
    cmp_ok $growth, '<', 32 * 1024, "$name: bounded";
    diag sprintf 'resident %-28s %+6d kB at most, max_work_memory 8 MB', $name, $growth;
}
is sqlstate($session->query("SELECT hartonomous.export_gguf(hartonomous.model_id('large'));")), '53200',
    'what cannot be done within the budget is refused';

# A model of 91 MB in F32 also runs within these 8 MB: the vocabulary and all keys not changed here are the example's.
if ($runs) {
    write_gguf("$work/wide.gguf", tensors => [
        ['token_embd.weight', 'F16', 1024, 768], ['output_norm.weight', 'F32', 1024],
        map({ ["blk.0.${_}_norm.weight", 'F32', 1024] } qw(attn ffn)),
        map({ ["blk.0.attn_$_->[0].weight", 'F16', 1024, $_->[1]] } ['q', 1024], ['k', 512], ['v', 512], ['output', 1024]),
        map({ ["blk.0.ffn_$_.weight", 'F16', 1024, 6144] } qw(gate up)), ['blk.0.ffn_down.weight', 'F16', 6144, 1024]]);
    $session->query("SELECT hartonomous.import_gguf('$work/wide.gguf', 'wide');");
    $session->query(q{
        UPDATE hartonomous.models w SET metadata = jsonb_set(r.metadata, '{kv}', (
            SELECT jsonb_agg(CASE WHEN changed IS NULL THEN k ELSE jsonb_set(k, '{value}', to_jsonb(changed)) END)
              FROM jsonb_array_elements(r.metadata -> 'kv') k
              LEFT JOIN (VALUES ('llama.embedding_length', 1024), ('llama.block_count', 1),
                                ('llama.feed_forward_length', 6144), ('llama.rope.dimension_count', 128)) c (key, changed)
                ON c.key = k ->> 'key'))
          FROM hartonomous.models r WHERE r.model_name = 'runs' AND w.model_name = 'wide';});
    $session->query('SET hartonomous.model_cache_size = 0;');
    my ($growth, $printed) = peak('SELECT hartonomous.perplexity(\'wide\', repeat(\'Once upon a time \', 60), 32);');
    like $printed, qr/^\d/, 'a model of 91 MB runs';
    cmp_ok $growth, '<', 32 * 1024, 'a model of 91 MB: bounded';
    diag sprintf 'resident %-28s %+6d kB at most, max_work_memory 8 MB', 'a model of 91 MB', $growth;
}
$session->close;
done_testing;
