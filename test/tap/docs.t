# The documentation is correct: each SQL block runs, in page order, in a database of the page's own, and returns what
# the page shows; everything that pages name exists, and links are valid. docs/development/testing.md explains how pages
# are written. Run by scripts/test.sh tap; with names of pages (README, store, …) in HARTONOMOUS_PAGES, only for those.
use strict;
use warnings;
use utf8;
use open qw(:std :encoding(UTF-8));
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Copy qw(copy);
use File::Path ();
use Page;
use Server;
use Session;
use Test::More;

plan skip_all => 'no example model' unless $ENV{HARTONOMOUS_MODEL} && -e $ENV{HARTONOMOUS_MODEL};

my $root = "$FindBin::Bin/../..";
my @pages = map { s{^\Q$root\E/}{}r }
    glob("$root/{README,CONTRIBUTING}.md"), glob("$root/docs/*/*.md"), glob("$root/examples/*.md");
my %prose;
my %blocks;
for my $page (@pages) { ($prose{$page}, @{ $blocks{$page} }) = read_page("$root/$page") }
my $server = Server->new;
my $work = $server->basedir;
chomp(my $libraries = qx("$ENV{BINDIR}/pg_config" --pkglibdir));

# ---- running the blocks ------------------------------------------------------------------------------------------

# Pages read and write in /tmp; here each uses a directory of its own that contains only the files of examples/.
sub directory {
    my ($page) = @_;
    my $path = $work . '/' . $page =~ s/\W/_/gr;
    File::Path::make_path($path);
    for my $file (glob "$ENV{HARTONOMOUS_EXAMPLES}/*") { copy($file, $path) or die "$file: $!\n" }
    chmod 0777, $path;
    chmod 0644, glob "$path/*";
    return $path;
}

# Runs a statement; returns what it printed, and its SQLSTATE.
sub run {
    my ($session, $statement) = @_;
    utf8::encode($statement);
    my $printed = $session->query("$statement\\echo :::state::: :SQLSTATE");
    utf8::decode($printed);
    my ($output, $state) = $printed =~ /\A(.*?)^?:::state::: (\w+)\s*\z/sm;
    return defined $state ? ($output, $state) : ($printed, 'lost');
}

# Describes how the result of a statement differs from the expected one; '' if it does not.
sub fault {
    my ($statement, $output, $state) = @_;
    my $expected = $statement->{gives} // '';
    my ($wanted, $message) = $expected =~ /^ERROR (\w{5})(?:: (.*))?$/;
    return "$state, not " . ($wanted // '00000') . ": $output" if $state ne ($wanted // '00000');
    return defined $message && !shown_as($output =~ /^ERROR:  (.*)/m, $message) ? $output : '' if defined $wanted;
    return $output if $output =~ /^WARNING/m;
    return '' if $expected eq '';
    my $rows = join "\n", grep { !/^(?:NOTICE|INFO|DETAIL|HINT|CONTEXT):/ } split /\n/, $output;
    return shown_as($rows, $expected =~ s/^\(0 rows\)$//r) ? '' : $rows eq '' ? '(0 rows)' : $rows;
}

# Runs a block and reports its first failure, if any.
sub run_block {
    my ($session, $block, $shown, $path) = @_;
    $session->query($shown ? '\pset format aligned' : '\pset format unaligned');
    $session->query($shown ? '\pset tuples_only off' : '\pset tuples_only on');
    my $printed = '';
    for my $statement (statements($block)) {
        my ($output, $state) = run($session, $statement->{text} =~ s{(?<=')/tmp(?=/)}{$path}gr);
        $output =~ s/\Q$path\E/\/tmp/g;
        # Stages print notices, which a page may show or omit.
        $output =~ s/^NOTICE:.*\n?//mg if $shown && $shown->{text} !~ /^NOTICE:/m;
        # Of progress there are notices only where work takes more than ten seconds.
        $output =~ s/^NOTICE:.*\bleft\n//mg;
        $printed .= $output;
        $output = '' if $shown && !defined $statement->{gives};
        my $fault = fault($statement, $output, $state);
        return "line $statement->{line}: $statement->{text}$fault" if $fault ne '';
    }
    return $shown && !shown_as($printed, $shown->{text}) ? "line $shown->{line}, not as shown:\n$printed" : '';
}

sub run_page {
    my ($page) = @_;
    my @blocks = @{ $blocks{$page} };
    my ($name) = 'docs_' . lc($page =~ s{^.*/|\.md$}{}gr =~ s/\W/_/gr);
    my $path = directory($page);
    my $roles = 'SELECT quote_ident(rolname) FROM pg_roles ORDER BY oid;';
    my %before = map { $_ => 1 } split /\n/, $server->safe_psql('postgres', $roles);
    # A page that shows how to create the extension starts without it.
    if (grep { $_->{kind} eq 'sql' && !defined $_->{not_run} && $_->{text} =~ /^CREATE EXTENSION hartonomous/m } @blocks) {
        $server->safe_psql('postgres', "CREATE DATABASE $name");
    } else {
        $server->database($name);
    }
    # Directories of libraries that sessions load when they start; they are not installed yet.
    $server->safe_psql('postgres',
        "ALTER DATABASE $name SET dynamic_library_path = '\$libdir:$ENV{HARTONOMOUS_STAGE}$libraries'")
        if $ENV{HARTONOMOUS_STAGE};
    my $session = $server->session($name);
    $session->query('\set VERBOSITY default');
    while (my $block = shift @blocks) {
        next if $block->{kind} ne 'sql';
        my $shown = @blocks && $blocks[0]{kind} eq 'output' ? shift @blocks : undef;
        next if defined $block->{not_run};
        is run_block($session, $block, $shown, $path), '', "$page: $block->{heading}, line $block->{line}";
    }
    $session->close;
    $server->safe_psql('postgres', "DROP DATABASE $name WITH (FORCE)");
    $server->safe_psql('postgres', "DROP ROLE $_")
        for grep { !$before{$_} } split /\n/, $server->safe_psql('postgres', $roles);
}

for my $page (@pages) {
    my ($short) = $page =~ m{([^/]*)\.md$};
    next if $ENV{HARTONOMOUS_PAGES} && !grep { $_ eq $short } split ' ', $ENV{HARTONOMOUS_PAGES};
    next unless grep { $_->{kind} eq 'sql' && !defined $_->{not_run} } @{ $blocks{$page} };
    subtest $page => sub { run_page($page) };
}

# ---- names that pages mention ------------------------------------------------------------------------------------

subtest 'every block is SQL, the output of one, or says why it is neither' => sub {
    for my $page (@pages) {
        is join(', ', map { $_->{line} } grep { $_->{kind} !~ /^(?:sql|output)$/ && !defined $_->{not_run} }
            @{ $blocks{$page} }), '', $page;
    }
};

subtest 'links lead somewhere' => sub {
    my %anchors = map { my $page = $_; $page => { map { $_ => 1 } anchors($prose{$page}) } } @pages;
    for my $page (@pages) {
        my ($directory) = $page =~ m{^(.*/)?};
        my @lost;
        for my $link (links($prose{$page})) {
            my ($file, $anchor) = split /#/, $link;
            my $target = $file eq '' ? $page : ($directory // '') . $file;
            1 while $target =~ s{[^/]+/\.\./}{};
            push @lost, $link if !-e "$root/$target" || defined $anchor && !$anchors{$target}{$anchor};
        }
        is "@lost", '', $page;
    }
    my %linked = map { $_ => 1 } map { links($prose{$_}) } qw(README.md CONTRIBUTING.md);
    is join(', ', grep { m{^docs/} && !$linked{$_} } @pages), '', 'README and CONTRIBUTING lead to every page';
};

# Programs and files by path; in the table of docs/development/architecture.md also by the short names it explains.
subtest 'files that are named exist' => sub {
    for my $page (@pages) {
        my $text = join "\n", $prose{$page}, map { $_->{text} } @{ $blocks{$page} };
        my @named = map { s/[.-]+$//r }
            $text =~ m{(?<![\w/.])((?:bench|docs|examples|scripts|sql|src|test|tools)/[\w./-]++)(?!<)}g;
        push @named, map { m{^(?:pgtap/|isolation/)} ? "test/$_.*" : m{^tap/} ? "test/$_.t" : m{^(?:api|internal)/\w+$} ? "sql/$_.sql" : () }
            spans($prose{$page});
        is join(', ', grep { !grep { -e } glob "$root/$_" } @named), '', $page;
    }
};

subtest 'functions, tables and settings that are named exist' => sub {
    $server->database('docs_names');
    my $session = $server->quiet_session('docs_names');
    $session->query('SELECT hartonomous.create_store(); SELECT hartonomous.formats(); SELECT hartonomous.install_tsql_names();');
    my %function = map { $_ => 1 } split /\n/, $session->query('SELECT DISTINCT proname FROM pg_proc;');
    my %member = map { $_ => 1 } split /\n/, $session->query(<<'SQL');
SELECT name FROM (
  SELECT proname, pronamespace FROM pg_proc UNION ALL SELECT relname, relnamespace FROM pg_class
  UNION ALL SELECT typname, typnamespace FROM pg_type UNION ALL SELECT opcname, opcnamespace FROM pg_opclass) AS n (name, schema)
 WHERE schema = 'hartonomous'::regnamespace
UNION SELECT substr(name, 13) FROM pg_settings WHERE name LIKE 'hartonomous.%'
-- Keys in the metadata of exported files have the same prefix.
UNION SELECT (regexp_matches(prosrc, $$\('(\w+)(?:\.sha256)?', $$, 'g'))[1] FROM pg_proc WHERE proname = 'provenance_of';
SQL
    cmp_ok scalar keys %member, '>', 100, 'there are some';
    my (%argument, %argument_of);
    for (split /\n/, $session->query("SELECT proname, unnest(proargnames) FROM pg_proc WHERE pronamespace IN"
            . " ('hartonomous'::regnamespace, 'dbo'::regnamespace);")) {
        my ($name, $known) = split /\|/;
        $argument{$known} = $argument_of{$name}{$known} = 1;
    }
    # C++ names on pages about the source.
    my $headers = join '', map { local (@ARGV, $/) = $_; <> } glob("$root/src/pg/*/*.hpp");
    for my $page (@pages) {
        my %lost;
        for my $span (spans($prose{$page})) {
            while ($span =~ /(?<![\w.])(?:hartonomous\.)?([a-z][a-z0-9]*(?:_[a-z0-9]+)+|(?<=^)[a-z]\w*)\(/g) {
                $lost{"$1()"} = 1 unless $function{$1} || $headers =~ /\b\Q$1\E\(/;
            }
        }
        # Arguments: those written `name => value`, and those of signatures, recognized by their defaults.
        for my $span (spans($prose{$page})) {
            $lost{"$_ =>"} = 1 for grep { !$argument{$_} } $span =~ /\b([a-z]\w*) =>/g;
            my ($name, $list) = $span =~ /^(?:CALL )?(\w+)\((.* DEFAULT .*)\)/ or next;
            for my $known (grep { /\w/ } map { /^\s*(\w+)/ } split /,/, $list) {
                $lost{"$known of $name()"} = 1 unless $argument_of{$name}{$known};
            }
        }
        my $text = join "\n", $prose{$page}, map { $_->{text} } grep { $_->{kind} eq 'sql' } @{ $blocks{$page} };
        $lost{"hartonomous.$_"} = 1 for grep { !$member{$_} } $text =~ /\bhartonomous\.([a-z]\w*)/g;
        is join(', ', sort keys %lost), '', $page;
    }
    $session->close;
};

# The lines of the reference are the functions that users call, with their arguments; [] encloses those with a default.
subtest 'the manual has every public function, table, type and setting, and no other function' => sub {
    $server->database('docs_reference');
    my $session = $server->quiet_session('docs_reference');
    $session->query('SELECT hartonomous.create_store(); SELECT hartonomous.formats();');
    my $internal = $session->query("SELECT count(*) FROM pg_namespace WHERE nspname = 'hartonomous_internal';");
    my $signatures = $session->query(<<'SQL');
SELECT DISTINCT concat(CASE prokind WHEN 'p' THEN 'CALL ' END, proname, '(', concat_ws(', ',
         string_agg(label, ', ' ORDER BY i) FILTER (WHERE i <= pronargs - pronargdefaults),
         '[' || string_agg(label, ', ' ORDER BY i) FILTER (WHERE i > pronargs - pronargdefaults) || ']'), ')')
  FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
       LEFT JOIN LATERAL (SELECT i, coalesce(nullif(proargnames[i], ''), replace(t::regtype::text, 'hartonomous.', ''))
                            FROM unnest(proargtypes) WITH ORDINALITY u (t, i)) AS a (i, label) ON true
 WHERE pronamespace = 'hartonomous'::regnamespace
 GROUP BY p.oid, prokind, proname, pronargs, pronargdefaults;
SQL
    my @others = split /\n/, $session->query(<<'SQL');
SELECT relname FROM pg_class WHERE relnamespace = 'hartonomous'::regnamespace AND relkind IN ('r', 'p', 'v')
UNION SELECT typname FROM pg_type WHERE typnamespace = 'hartonomous'::regnamespace AND typcategory NOT IN ('A', 'C')
UNION SELECT name FROM pg_settings WHERE name LIKE 'hartonomous.%' ORDER BY 1;
SQL
    $session->close;
    my %explained = map { $_ => 1 } map { /[\w.]+/g } map { spans($prose{$_}) } grep { m{^docs/manual/} } @pages;
    is join("\n", grep { !$explained{$_} && !$explained{"hartonomous.$_"} } @others), '', 'tables, types and settings';
    my %public = map { $_ => 1 } split /\n/, $signatures;
    my %listed = map { $_ => 1 } $prose{'docs/manual/reference.md'} =~ /^\| `([^`]+)` \|/mg;
    is join("\n", grep { !$public{$_} } sort keys %listed), '', 'what it names is there';
  SKIP: {
        skip 'one schema has what users call and what they do not', 1 if $internal eq '0';
        is join("\n", grep { !$listed{$_} } sort keys %public), '', 'what is there it names';
    }
};

done_testing;
