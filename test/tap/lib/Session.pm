# A psql that stays open: statements go in one after another, or are left running while others do something.
package Session;
use strict;
use warnings;
use IPC::Open2;
use Exporter 'import';

our @EXPORT = qw(sql sqlstate fresh_database program digest_query wait_until);

# The path of one of PostgreSQL's programs.
sub program { return ($ENV{BINDIR} ? "$ENV{BINDIR}/" : '') . $_[0] }

# Options: host, user, database, settings (as in PGOPTIONS). A busy machine may refuse for a moment (no process to be
# had): that is told, and tried again. Crashes do not hide behind it, for the tests look for them in the server's log.
sub new {
    my ($class, %o) = @_;
    local $ENV{PGHOST} = $o{host} // $ENV{PGHOST};
    local $ENV{PGUSER} = $o{user} // $ENV{PGUSER};
    local $ENV{PGOPTIONS} = $o{settings} // $ENV{PGOPTIONS} // '';
    local $ENV{PGDATABASE} = $o{database} // 'postgres';
    my $command = program('psql');
    my $said;
    for my $try (1 .. 5) {
        my $self = bless {}, $class;
        $self->{process} = open2($self->{out}, $self->{in}, "exec $command -XAtq 2>&1");
        $said = $self->query('\set VERBOSITY verbose');
        $self->{pid} = $self->query('SELECT pg_backend_pid();');
        return $self if $self->{pid} =~ /^\d+$/;
        $said .= $self->{pid};
        warn "no session at try $try: $said\n";
        select undef, undef, undef, 1;
    }
    die "no session: $said\n";
}

# The server process, and its anonymous memory in kB: shared buffers do not count.
sub pid { return $_[0]{pid} }
sub resident {
    open my $status, '<', "/proc/$_[0]{pid}/status" or die "status: $!\n";
    my ($kilobytes) = map { /^RssAnon:\s+(\d+)/ } <$status>;
    return $kilobytes;
}

# Sends a statement (with its semicolon) without waiting for the answer.
sub start {
    my ($self, $statement) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{in} } "$statement\n\\echo :::done:::\n";
    $self->{in}->flush;
}

# What the statement printed, results and messages; all that is left once the session has ended.
sub finish {
    my ($self) = @_;
    my ($out, $text) = ($self->{out}, '');
    while (my $line = <$out>) {
        last if $line eq ":::done:::\n";
        $text .= $line;
    }
    chomp $text;
    return $text;
}

sub query {
    my ($self, $statement) = @_;
    $self->start($statement);
    return $self->finish;
}

sub close {
    my ($self) = @_;
    return unless $self->{process};
    local $SIG{PIPE} = 'IGNORE';
    close $self->{in};
    my $out = $self->{out};
    while (defined(my $rest = <$out>)) { }
    close $out;
    local $?;
    waitpid delete $self->{process}, 0;
}
sub DESTROY { $_[0]->close }

# One statement in a session of its own. Options as for new().
sub sql {
    my ($database, $statement, %o) = @_;
    my $session = Session->new(database => $database, %o);
    return $session->query($statement =~ /;\s*\z/ ? $statement : "$statement;");
}

# The SQLSTATE of the (first) error in what a session printed; '' when there is none.
sub sqlstate {
    my ($printed) = @_;
    return $printed =~ /^(?:psql:[^ ]* )?(?:ERROR|FATAL):  ([0-9A-Z]{5}):/m ? $1 : '';
}

# A database with the extension and nothing else.
sub fresh_database {
    my ($name, %o) = @_;
    my $session = Session->new(database => 'postgres', %o);
    $session->query('SET client_min_messages = warning;');
    $session->query("DROP DATABASE IF EXISTS $name WITH (FORCE);");
    my $said = $session->query("CREATE DATABASE $name;");
    $session = Session->new(database => $name, %o, settings => '-c client_min_messages=warning');
    $said .= $session->query('CREATE EXTENSION hartonomous CASCADE;');
    die "no database $name: $said\n" if $said =~ /ERROR|FATAL/;
}

# A query for one text that stands for every atom of a model, its place included; of all its backups with a table.
sub digest_query {
    my ($model, $table) = @_;
    $table //= 'hartonomous.tensor_atoms';
    return "SELECT count(*) || ' ' || coalesce(md5(string_agg(concat_ws(':', revision_id, layer_id, atom_sequence, x, y,"
        . " importance_score, encode(content_hash, 'hex'), quantization_format), ','"
        . " ORDER BY revision_id, layer_id, atom_sequence)), '') FROM $table WHERE model_id = $model;";
}

# Asks again and again, for at most `seconds`, until the code returns something true; what it returned last.
sub wait_until {
    my ($seconds, $ask) = @_;
    my $end = time + $seconds;
    my $answer;
    until (($answer = $ask->()) || time > $end) { select undef, undef, undef, 0.02 }
    return $answer;
}

1;
