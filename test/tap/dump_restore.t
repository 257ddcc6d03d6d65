# pg_dump and pg_restore, serial and in parallel, preserve everything: models, backups, deltas, and what a user has
# added. The restored database can be used: rollback, prune, import, export. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Path ();
use Model;
use Server;
use Session;
use Test::More;

my $server = Server->new;
my $work = $server->basedir;

small_gguf("$work/one.gguf", 1);
small_gguf("$work/two.gguf", 2);
small_gguf("$work/later.gguf", 3);

# ---- the database that is dumped ---------------------------------------------------------------------------------

$server->database('dump_source');
my $source = $server->quiet_session('dump_source');
my $said = $source->query(<<SQL);
SELECT 'hartonomous.models'::regclass IS NULL;
SQL
like $said, qr/42P01/, 'no store before the first import';
$said = join "\n", map { $source->query($_) } split /^--\n/m, <<SQL;
SELECT hartonomous.import_gguf('$work/one.gguf', 'one');
--
SELECT hartonomous.import_gguf('$work/two.gguf', 'two');
--
SELECT hartonomous.import_gguf('$work/two.gguf', 'cold');
--
CALL hartonomous.prune_by_importance('cold', 0.9, method => 'in_place');
--
CALL hartonomous.archive_model('cold');
--
ALTER TABLE hartonomous.tensor_atoms ADD COLUMN note text DEFAULT 'none' NOT NULL;
--
CREATE INDEX atoms_by_note ON hartonomous.tensor_atoms (note, atom_sequence) WHERE note <> 'none';
--
UPDATE hartonomous.tensor_atoms SET note = 'n' || atom_sequence WHERE atom_sequence % 7 = 0;
--
SELECT hartonomous.backup_model('one');
--
CALL hartonomous.prune_by_importance('one', 0.9, method => 'in_place');
--
CALL hartonomous.quantize_model('two', 'Q8_0');
--
SELECT hartonomous.export_gguf('two', '$work/student.gguf');
--
SELECT hartonomous.import_gguf('$work/student.gguf', 'student');
--
UPDATE hartonomous.models SET parent_model_id = hartonomous.model_id('two') WHERE model_name = 'student';
--
CALL hartonomous.prune_by_importance('student', 0.5);
--
SELECT hartonomous.extract_by_importance('one', 0.6, 'placed');
--
CALL hartonomous.quantize_model_geometry('placed');
--
SELECT hartonomous.import_gguf('$work/two.gguf', 'shrunk');
--
CALL hartonomous.remove_blocks('shrunk', blocks => '{0}');
--
SELECT count(*) FROM hartonomous.install_tsql_names();
--
CREATE ROLE dump_reader;
--
GRANT SELECT ON hartonomous.tensor_atoms, hartonomous.models TO dump_reader;
--
GRANT UPDATE (note) ON hartonomous.tensor_atoms TO dump_reader;
--
ALTER TABLE hartonomous.tensor_atoms ENABLE ROW LEVEL SECURITY;
--
CREATE POLICY matrices ON hartonomous.tensor_atoms FOR SELECT TO dump_reader USING (importance_score < 10);
--
COMMENT ON COLUMN hartonomous.tensor_atoms.note IS 'what the user thinks of it';
SQL
unlike $said, qr/ERROR|WARNING/, 'models, an archived one, a copy, a backup, a delta, removed blocks, a column, an index, a policy';

# ---- what is compared --------------------------------------------------------------------------------------------

my %question = (
    'atoms' => join(' UNION ALL ', map { digest_query($_) =~ s/;$//r } 1 .. 6) . ';',
    'backups' => join(' UNION ALL ', map { digest_query($_, 'hartonomous.tensor_atoms_backup') =~ s/;$//r } 1 .. 6) . ';',
    'archived atoms' => digest_query(3, 'hartonomous.archived_tensor_atoms'),
    'models' => 'SELECT m FROM hartonomous.models m ORDER BY model_id;',
    'layers' => 'SELECT l FROM hartonomous.model_layers l ORDER BY layer_id;',
    'revisions' => 'SELECT r FROM hartonomous.model_revisions r ORDER BY revision_id;',
    'structures' => 'SELECT s FROM hartonomous.model_structures s ORDER BY structure_id;',
    'runs' => 'SELECT r FROM hartonomous.compression_runs r ORDER BY run_id;',
    'steps' => 'SELECT s FROM hartonomous.compression_steps s ORDER BY run_id, layer_id;',
    'column values' => 'SELECT md5(string_agg(tableoid::regclass || note, \',\' ORDER BY tableoid::regclass::text, layer_id,'
        . ' atom_sequence)) FROM (SELECT tableoid, * FROM hartonomous.tensor_atoms UNION ALL'
        . ' SELECT tableoid, * FROM hartonomous.tensor_atoms_backup) a;',
    'partitions' => 'SELECT inhparent::regclass::text, inhrelid::regclass::text, pg_get_expr(c.relpartbound, c.oid)'
        . ' FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE relkind = \'r\' ORDER BY 1, 2;',
    'indexes' => 'SELECT tablename, regexp_replace(indexdef, \'^(CREATE.*?INDEX) \\S+\', \'\\1\') FROM pg_indexes'
        . ' WHERE schemaname = \'hartonomous\' ORDER BY 1, 2;',
    'attached indexes' => 'SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE relkind = \'i\';',
    'constraints' => 'SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid) FROM pg_constraint'
        . ' WHERE connamespace = \'hartonomous\'::regnamespace ORDER BY 1, 2, 3;',
    'grants' => 'SELECT relname, relacl FROM pg_class WHERE relacl IS NOT NULL AND relnamespace ='
        . ' \'hartonomous\'::regnamespace ORDER BY 1;',
    'column grants' => 'SELECT attrelid::regclass::text, attname, attacl FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid ='
        . ' \'hartonomous.tensor_atoms\'::regclass ORDER BY 1, 2;',
    'policies' => 'SELECT tablename, policyname, roles, qual FROM pg_policies ORDER BY 1, 2;',
    'a view' => 'SELECT b FROM hartonomous.compression_backups b ORDER BY backup_id;',
    'a view of the original names' => 'SELECT modelid, count(*), sum(layeridx) FROM dbo.tensoratoms GROUP BY 1 ORDER BY 1;',
    'neighbours' => 'SELECT tensor_atom_id, distance FROM hartonomous.nearest_atoms(\'placed\', \'POINT Z (50 50 0)\'::geometry, 20)'
        . ' ORDER BY 2, 1;',
    'comments' => 'SELECT objoid::regclass::text, objsubid, description FROM pg_description WHERE classoid = \'pg_class\'::regclass'
        . ' AND objoid IN (SELECT oid FROM pg_class WHERE relnamespace = \'hartonomous\'::regnamespace) ORDER BY 1, 2;',
    'generated values' => 'SELECT count(*) FROM hartonomous.tensor_atoms WHERE content_hash IS DISTINCT FROM'
        . ' sha256(atom_data::bytea) OR (hilbert_index IS NULL OR weights_geometry IS NULL) AND quantized_position IS NULL;',
);
my %expected = map { $_ => $source->query($question{$_}) } keys %question;
unlike join('', values %expected), qr/ERROR/, 'every question has an answer';
like $expected{indexes}, qr/note.*<> 'none'/, 'the index is among the answers';
cmp_ok $source->query("SELECT count(*) FROM hartonomous.tensor_atoms WHERE note <> 'none';"), '>', 100,
    'the column has values';

# ---- the ways to dump and to restore -----------------------------------------------------------------------------

sub run {
    my ($program, @arguments) = @_;
    $server->command_checks_all([$program, @arguments], 0, [qr/^$/], [qr/^$/], "$program @arguments[0 .. 1]");
}

sub restored {
    my ($name) = @_;
    my $session = $server->quiet_session($name);
    is $session->query($question{$_}), $expected{$_}, "the same $_" for sort keys %question;
    my $went = sub {
        my ($what, $statement) = @_;
        my $printed = $session->query($statement);
        unlike $printed, qr/ERROR|WARNING/, $what;
        return $printed;
    };
    $went->('a rewrite is rolled back', 'SELECT hartonomous.rollback_model(\'two\');');
    $went->('the copied model goes back', 'SELECT hartonomous.rollback_model(\'student\');');
    $went->('places are what they were', 'SELECT hartonomous.rollback_model(\'placed\');');
    $went->('a removed block comes back', 'SELECT hartonomous.rollback_model(\'shrunk\');');
    $went->('an archived model is exported', "SELECT hartonomous.export_gguf('cold', '$work/cold.gguf');");
    $went->('it is restored', 'CALL hartonomous.restore_archived_model(\'cold\');');
    $went->('... and exported', "SELECT hartonomous.export_gguf('cold', '$work/out.gguf');");
    is_file_same("$work/out.gguf", "$work/cold.gguf");
    $went->('what was pruned before it was archived comes back', 'SELECT hartonomous.rollback_model(\'cold\');');
    $went->('and nothing is wrong', 'SELECT CASE WHEN count(*) > 0 THEN \'ERROR \' END FROM hartonomous.models m,'
            . ' hartonomous.check_model(m.model_id);');
    $went->('an in-place stage is rolled back', 'SELECT hartonomous.rollback_model(\'one\');');
    $went->("export of $_->[0]", "SELECT hartonomous.export_gguf('$_->[0]', '$work/out.gguf');")
        && is_file_same("$work/out.gguf", "$work/$_->[1].gguf")
        for ['one', 'one'], ['two', 'two'], ['cold', 'two'], ['student', 'student'], ['shrunk', 'two'];
    is $session->query("SELECT count(*) FROM hartonomous.tensor_atoms WHERE note <> 'none' AND atom_sequence % 7 > 0;"), 0,
        'the column is whole after rollbacks';
    $went->('prune in place', "CALL hartonomous.prune_by_importance('two', 0.9, method => 'in_place');");
    $went->('prune by rewriting', "CALL hartonomous.prune_by_importance('two', 0.8, method => 'rewrite');");
    $went->('import another', "SELECT hartonomous.import_gguf('$work/later.gguf', 'later');");
    $went->('export it', "SELECT hartonomous.export_gguf('later', '$work/out.gguf');");
    is_file_same("$work/out.gguf", "$work/later.gguf");
    is $session->query("SELECT count(DISTINCT note) FROM hartonomous.tensor_atoms WHERE model_id ="
            . " hartonomous.model_id('later');"), 1, 'its column has the default';
    is $session->query('SELECT count(*) FROM pg_depend WHERE deptype = \'e\' AND classid = \'pg_class\'::regclass AND objid IN'
            . ' (SELECT oid FROM pg_class WHERE relnamespace = \'hartonomous\'::regnamespace AND relkind IN (\'r\', \'p\'));'),
        0, 'no table belongs to the extension';
}

sub is_file_same {
    my ($one, $other) = @_;
    is system('cmp', '-s', $one, $other), 0, '... the same bytes';
}

my @ways = (
    ['custom, serial' => ['-Fc'], []],
    ['directory, four at a time' => ['-Fd', '-j4'], ['-j4']],
    ['custom, restored by four' => ['-Fc'], ['-j4']],
);
for my $way (@ways) {
    my ($name, $dump, $restore) = @$way;
    subtest $name => sub {
        my $file = "$work/dump";
        File::Path::remove_tree($file);
        unlink $file;
        run('pg_dump', @$dump, '-f', $file, 'dump_source');
        $server->safe_psql('postgres', $_) for 'DROP DATABASE IF EXISTS dump_target WITH (FORCE)', 'CREATE DATABASE dump_target';
        run('pg_restore', @$restore, '--exit-on-error', '-d', 'dump_target', $file);
        restored('dump_target');
    };
}

# A dump of the restored database equals the dump of the source.
$source->close;
my @schema = map {
    run('pg_dump', '--schema-only', '-f', "$work/schema", $_);
    my $text = PostgreSQL::Test::Utils::slurp_file("$work/schema");
    $text =~ s/^(?:--|\\).*\n//mg;
    $text;
} 'dump_source', 'dump_target';
my $stage = qr/tensor_atoms_m\d+_r\d+/;
my @of_store = map { join "\n", grep { !/$stage/ } split /\n\n+/ } @schema;
is $of_store[1], $of_store[0], 'the schema dumps alike, partitions made since aside';

done_testing;
