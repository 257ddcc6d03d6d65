# The session of README.md works when pasted.
use strict;
use warnings;
use File::Copy qw(copy);
use Test::More;

plan skip_all => 'no example model' unless $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};

my $tmp = "$ENV{HARTONOMOUS_TMP}/readme";
mkdir $tmp or die "mkdir $tmp: $!";
chmod 0777, $tmp;
copy($ENV{HARTONOMOUS_MODEL}, "$tmp/tiny-stories.gguf") or die "copy: $!";
chmod 0644, "$tmp/tiny-stories.gguf";

(my $readme = __FILE__) =~ s{[^/]*$}{../../README.md};
open my $in, '<', $readme or die "$readme: $!";
my ($session) = do { local $/; <$in> } =~ /```sql\n(.*?)```/s;
ok(defined $session, 'README.md has a session') or BAIL_OUT('nothing to test');
is(($session =~ s{'/tmp/}{'$tmp/}g), 2, 'which names two files in /tmp');

sub psql {
  my ($database, $sql) = @_;
  my $file = "$tmp/session.sql";
  open my $out, '>', $file or die "$file: $!";
  print $out $sql;
  close $out;
  my $output = qx("$ENV{BINDIR}/psql" -XAtq -d $database -v ON_ERROR_STOP=1 -f "$file" 2>&1);
  return ($? >> 8, $output);
}

is((psql('postgres', 'CREATE DATABASE readme'))[0], 0, 'a database');
my ($status, $output) = psql('readme', $session);
is($status, 0, 'the session ends without an error') or diag $output;
ok(-s "$tmp/tiny-q4_k.gguf" < 0.35 * -s "$tmp/tiny-stories.gguf", 'the export is less than 35 % of the model');

my $same = q{
  SELECT hartonomous.export_gguf('tiny', '%s/back.gguf') > 0,
         hartonomous.file_sha256('%1$s/back.gguf'::text) = source_sha256 FROM hartonomous.models};
$same = sprintf $same, $tmp;
($status, $output) = psql('readme', $same);
is($output, "t|t\n", 'and after it the model is what was imported');
psql('postgres', 'DROP DATABASE readme');

done_testing();
