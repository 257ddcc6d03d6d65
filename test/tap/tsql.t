# Each block of docs/coming-from-sql-server.md runs as it stands, in a database of its own with the example model as
# model 1 and the original names. A block that begins with "-- needs NAME" is skipped while there is no such function.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Session;
use Test::More;

plan skip_all => 'no example model' unless $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};

open my $in, '<', "$FindBin::Bin/../../docs/coming-from-sql-server.md" or die "the page: $!\n";
my $page = do { local $/; <$in> };
# Where a block stands: the last heading before it.
my @blocks;
my $heading = '';
while ($page =~ /^(?:#+ ([^\n]*)|```sql\n(.*?)^```)$/msg) {
    if (defined $1) { $heading = $1 } else { push @blocks, [$heading, $2] }
}
cmp_ok scalar @blocks, '>=', 25, 'the page has its blocks';

fresh_database('tsql_names');
{
    my $session = Session->new(database => 'tsql_names', settings => '-c client_min_messages=warning');
    like $session->query("SELECT hartonomous.import_gguf('$ENV{HARTONOMOUS_MODEL}', 'tiny');"), qr/^1$/, 'the model';
    like $session->query("SELECT hartonomous.install_tsql_names();"), qr/dbo\.TensorAtoms/, 'the names';
}
for my $block (@blocks) {
    my ($where, $sql) = @$block;
    my $name = $where;
    $name .= ': ' . ($sql =~ /^(?!--)(.{0,60})/m)[0];
    sql('postgres', 'CREATE DATABASE tsql_block TEMPLATE tsql_names');
    my $session = Session->new(database => 'tsql_block', settings => '-c client_min_messages=warning');
  SKIP: {
        my ($needed) = $sql =~ /^-- needs (\w+)/;
        skip "there is no $needed yet: $name", 1
            if $needed && $session->query("SELECT count(*) FROM pg_proc WHERE proname = '$needed' AND pronamespace ="
                . " 'hartonomous'::regnamespace;") == 0;
        my $printed = $session->query($sql);
        unlike $printed, qr/ERROR|WARNING|FATAL/, $name or diag $printed;
    }
    $session->close;
    sql('postgres', 'DROP DATABASE tsql_block WITH (FORCE)');
}
sql('postgres', 'DROP DATABASE tsql_names WITH (FORCE)');
done_testing;
