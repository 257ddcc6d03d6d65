# Notices of stages as psql shows them; pgTAP cannot test notices. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use Server;
use Session;
use Test::More;

my $server = Server->new;
$server->database('notices');
my $session = $server->session('notices');
$session->query('\set VERBOSITY terse');

# A safetensors file of four matrices with 8 rows: two of floats, and two of bytes, a format that is only carried.
$session->query(<<'SQL');
CREATE FUNCTION model() RETURNS bytea LANGUAGE sql AS $$
  SELECT set_byte(set_byte('\x0000000000000000', 0, length(header) % 256), 1, length(header) / 256) || convert_to(header, 'UTF8')
         || hartonomous.quantize(ARRAY(SELECT sin(i * i)::real FROM generate_series(1, 512) i), 'F32')::bytea
         || decode(repeat('07', 2048), 'hex')
    FROM (SELECT '{' || string_agg(format('"%s":{"dtype":"%s","shape":[8,%s],"data_offsets":[%s,%s]}', name, dtype, cols, at, at + 1024),
                                   ',' ORDER BY at) || '}' AS header
            FROM (VALUES ('embed.weight', 'F32', 32, 0), ('up.weight', 'F32', 32, 1024), ('a', 'I8', 128, 2048),
                         ('b', 'U8', 128, 3072)) t (name, dtype, cols, at)) h
$$;
SQL
like $session->query('SELECT length(model());'), qr/^4\d{3}$/, 'a model in SQL';

sub says {
    my ($statement, $expected, $what) = @_;
    my $said = $session->query($statement);
    like $said, $expected, $what // $statement;
}

my $carried = qr/; skipped 2 tensors \(format only carried\)$/m;
my $spared = qr/; skipped 1 tensor \(embeddings or output matrix\); skipped 2 tensors \(format only carried\)$/m;
says('SELECT hartonomous.import_safetensors(model(), \'m\');',
    qr/^NOTICE:  imported model 1 "m": 4 tensors, 2560 parameters, 4096 B, revision 1, \d+\.\d s$/m);
says('CALL hartonomous.prune_by_importance(\'m\', 0.75, dry_run => true);',
    qr/^NOTICE:  would prune 2 of 8 atoms \(25\.0 %\), 1024 B -> 768 B$spared/m);
says('CALL hartonomous.prune_by_importance(\'m\', 0.75);',
    qr/^NOTICE:  pruned 2 of 8 atoms \(25\.0 %\), 1024 B -> 768 B, revision 2, \d+\.\d s$spared/m);
says('CALL hartonomous.prune_by_importance(\'m\', 0.75);',
    qr/^NOTICE:  nothing to prune of 6 atoms \(imported: 8\)$spared/m, 'the same call again');
is $session->query('SELECT count(*) FROM hartonomous.model_revisions;'), 2, '... makes no revision';
says('CALL hartonomous.prune_region(\'m\', \'{0,100,0,100,-10,10}\', keep_inside => true);',
    qr/^NOTICE:  nothing to prune of 14 atoms$carried/m);
says('CALL hartonomous.quantize_model(\'m\', \'Q8_0\', \'up%\');',
    qr/^NOTICE:  quantized 1 tensors to Q8_0, 3840 B -> 3276 B, revision 3, \d+\.\d s$/m, 'none among those like the pattern');
$session->query('SELECT hartonomous.rollback_model(\'m\');');
says('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');', qr/^NOTICE:  quantized 2 tensors to Q8_0, .* s$carried/m);
says('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');', qr/^NOTICE:  no tensor to convert to Q8_0: nothing done$carried/m);
$session->query('SELECT hartonomous.rollback_model(\'m\');');

# Blocks removed
small_gguf($server->basedir . '/blocks.gguf');
$session->query("SELECT hartonomous.import_gguf('@{[$server->basedir]}/blocks.gguf', 'blocks');");
says('CALL hartonomous.remove_blocks(\'blocks\', blocks => \'{0}\', dry_run => true);',
    qr/^NOTICE:  would have removed 3 tensors, 1.26 MiB -> 651.0 KiB$/m);
says('CALL hartonomous.remove_blocks(\'blocks\', blocks => \'{0}\');',
    qr/^NOTICE:  removed 3 tensors, 1.26 MiB -> 651.0 KiB, revision \d+, \d+\.\d s$/m);
$session->query('SELECT hartonomous.delete_model(\'blocks\');');

# An importance matrix of the legacy format: one tensor of the model, and one that it does not have
$session->query(<<'SQL');
CREATE FUNCTION number(n integer) RETURNS bytea LANGUAGE sql RETURN set_byte('\x00000000', 0, n);
CREATE FUNCTION imatrix() RETURNS bytea LANGUAGE sql
  RETURN number(2) || number(9) || 'up.weight'::bytea || number(1) || number(32) || decode(repeat('0000803f', 32), 'hex')
         || number(1) || 'x'::bytea || number(1) || number(1) || '\x0000803f';
SQL
says('SELECT hartonomous.import_importance(imatrix(), \'m\', \'set\');',
    qr/^NOTICE:  imported the importance of 1 tensors \(512 tokens\) into calibration set "set"; skipped 1 tensor \(not in the model: "x"\)$/m);
says('CALL hartonomous.quantize_model(\'m\', \'Q8_0\', calibration_set => \'set\');',
    qr/^NOTICE:  quantized 2 tensors \(1 by importance, 1 without\) to Q8_0, .* s$carried/m);
$session->query('SELECT hartonomous.rollback_model(\'m\');');
says('CALL hartonomous.quantize_model(\'m\', \'Q8_0\', \'up%\', calibration_set => \'set\');',
    qr/^NOTICE:  quantized 1 tensors \(1 by importance\) to Q8_0, .* s$/m);
$session->query('SELECT hartonomous.rollback_model(\'m\');');
says('CALL hartonomous.calibrate_importance(\'m\', \'wanda\');',
    qr/^NOTICE:  scored 6 atoms of 1 tensors by wanda on calibration set "set", revision \d+, \d+\.\d s; skipped 1 tensor \(no statistics\); skipped 2 tensors \(format only carried\)$/m);
$session->query('SELECT hartonomous.rollback_model(\'m\');');
says('CALL hartonomous.calibrate_importance(\'m\', \'magnitude\', layer_pattern => \'up%\');',
    qr/^NOTICE:  scored 6 atoms of 1 tensors by magnitude, revision \d+, \d+\.\d s$/m);
$session->query('SELECT hartonomous.rollback_model(\'m\');');
says('CALL hartonomous.svd_compress_model(\'m\', rank => 1);', qr/^NOTICE:  factored 2 of 2 tensors .* s$carried/m);
says('CALL hartonomous.svd_compress_model(\'m\', rank => 1);', qr/^NOTICE:  no tensor can be factored: nothing done$carried/m);
says('CALL hartonomous.prune_by_importance(\'m\', 0.5);', qr/^ERROR:  model "m" has no tensor that matches "%" to prune$/m,
    'nothing is left but what is passed over');

# A plan made by the user
$session->query('SELECT hartonomous.rollback_model(\'m\', 1);');
$session->query('CREATE TABLE mine AS SELECT * FROM hartonomous.quantize_plan(\'m\', \'Q8_0\') WHERE layer_name LIKE \'up%\';');
says('CALL hartonomous.run_plan(\'m\', \'mine\', hartonomous.plan_from(\'mine\'), dry_run => true);',
    qr/^NOTICE:  would change 1 tensors \(quantize 1\), 1024 B -> 272 B$/m);
says('CALL hartonomous.run_plan(\'m\', \'mine\', hartonomous.plan_from(\'mine\'));',
    qr/^NOTICE:  mine: 1 tensors \(quantize 1\), 4096 B -> 3344 B, revision \d+, \d+\.\d s$/m);
says('CALL hartonomous.run_plan(\'m\', \'mine\', hartonomous.plan_from(\'mine\'));',
    qr/^NOTICE:  the plan changes no tensor: nothing done$/m);

# What a repair of a block brings
SKIP: {
    skip 'no example model', 2 unless $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};
    my $corpus = 'repeat(\'Once upon a time, a cat and a dog went to the park. \', 40)';
    $session->query("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', 'tiny');");
    says("SELECT hartonomous.extract_by_layers('tiny', 2, corpus => $corpus);",
        qr/^NOTICE:  block 1 makes up for block 2: relative error of the residual stream 0\.\d{4} instead of 0\.\d{4}$/m);
    says("SELECT hartonomous.extract_by_layers('tiny', 1, corpus => $corpus);",
        qr/^NOTICE:  block 0 makes up for blocks 1 to 2: relative error of the residual stream 0\.\d{4} instead of 0\.\d{4}$/m);
}

# Small atoms, which cost more than their weights: 256 kB in 2048 of 32 weights; and too few to matter.
$session->query(<<'SQL');
CREATE FUNCTION zeros(rows integer, columns integer) RETURNS bytea LANGUAGE sql AS $$
  SELECT set_byte('\x0000000000000000', 0, length(header)) || convert_to(header, 'UTF8') || decode(repeat('00', 4 * rows * columns), 'hex')
    FROM format('{"w":{"dtype":"F32","shape":[%s,%s],"data_offsets":[0,%s]}}', rows, columns, 4 * rows * columns) AS header
$$;
SQL
says('SELECT hartonomous.import_safetensors(zeros(256, 1024), \'small atoms\', atom_size => 32);',
    qr/^WARNING:  atoms of 32 weights take [34]\.\d+ times the bytes of their weights on disk$/m);
$session->query('\set VERBOSITY default');
says('SELECT hartonomous.import_safetensors(zeros(256, 1024), \'small atoms again\', atom_size => 32);',
    qr/^HINT:  Without atom_size, the atoms would take about 1\.\d+ times as much\.$/m);
$session->query('\set VERBOSITY terse');
unlike $session->query("SELECT hartonomous.import_safetensors(zeros(64, 256), 'few', atom_size => 32);"), qr/WARNING/,
    'a few small atoms do not matter';
unlike $session->query("SELECT hartonomous.import_safetensors(zeros(4096, 32), 'rows of 32');"), qr/WARNING/,
    'rows that are short themselves are joined';
says("SELECT hartonomous.import_safetensors(zeros(16384, 32), 'each row', atom_size => 0);",
    qr/^WARNING:  atoms of a row take [34]\.\d+ times the bytes of their weights on disk$/m);
done_testing();
