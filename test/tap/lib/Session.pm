# A psql that stays open: PostgreSQL::Test::BackgroundPsql, which in addition returns messages with the results, and can
# leave a statement running while the test does something else, even if the statement's server process ends.
package Session;
use strict;
use warnings;
use parent 'PostgreSQL::Test::BackgroundPsql';
use Exporter 'import';

our @EXPORT = qw(sqlstate digest_query wait_until);

# Creates a session from the result of Server's background_psql().
sub of {
    my ($class, $psql) = @_;
    my $self = bless $psql, $class;
    $self->set_query_timer_restart(1);
    $self->{pid} = $self->query('SELECT pg_backend_pid()');
    return $self;
}

# Sends a statement (with its semicolon) without waiting for the answer, which finish() returns. Everything is sent now,
# because psql may exit later together with the server process.
sub start {
    my ($self, $statement) = @_;
    my $printed = $self->query_until(qr/^begun\n/m, "\\echo begun\n$statement\n;\n\\echo ended\n\\warn ended\n");
    $self->{stdout} = $printed =~ s/\A.*?^begun\n//msr;
}

# Returns what the statement printed: messages, then results; all remaining output if psql has exited.
sub finish {
    my ($self) = @_;
    my $ended = qr/^ended\n/m;
    $self->{timeout}->start;
    eval { $self->{run}->pump until $self->{stdout} =~ $ended && $self->{stderr} =~ $ended; 1 }
        or $@ =~ /ended prematurely/
        or die $@;
    my ($printed, $said) = map { s/$ended//r } @$self{'stdout', 'stderr'};
    @$self{'stdout', 'stderr'} = ('', '');
    $said =~ s/^psql:<stdin>:\d+: //mg;
    return join "\n", grep { length } map { s/\n\z//r } $said, $printed;
}

sub query {
    my ($self, $statement) = @_;
    $self->start($statement);
    return $self->finish;
}

# The server process, and its anonymous memory in kB, which excludes shared buffers.
sub pid { return $_[0]{pid} }
sub resident {
    open my $status, '<', "/proc/$_[0]{pid}/status" or die "status: $!\n";
    my ($kilobytes) = map { /^RssAnon:\s+(\d+)/ } <$status>;
    return $kilobytes;
}

sub close {
    my ($self) = @_;
    return if $self->{closed}++;
    $self->{stdin} .= "\\q\n" if $self->{run}->pumpable;
    eval { $self->{run}->finish };
}
sub DESTROY {
    my ($self) = @_;
    local ($@, $?);
    $self->close if ${^GLOBAL_PHASE} ne 'DESTRUCT';
}

# The SQLSTATE of the first error in the output of a session; '' if there is none.
sub sqlstate {
    my ($printed) = @_;
    return $printed =~ /^(?:ERROR|FATAL):  ([0-9A-Z]{5}):/m ? $1 : '';
}

# A query for a digest of all atoms of a model including their positions; with a table, of all its backups.
sub digest_query {
    my ($model, $table) = @_;
    $table //= 'hartonomous.tensor_atoms';
    return "SELECT count(*) || ' ' || coalesce(md5(string_agg(concat_ws(':', revision_id, layer_id, atom_sequence,"
        . " x, y, importance_score, encode(content_hash, 'hex'), planned_format), ','"
        . " ORDER BY revision_id, layer_id, atom_sequence)), '') FROM $table WHERE model_id = $model;";
}

# Repeats a call, for at most `seconds`, until it returns a true value; returns its last value.
sub wait_until {
    my ($seconds, $ask) = @_;
    my $end = time + $seconds;
    my $answer;
    until (($answer = $ask->()) || time > $end) { select undef, undef, undef, 0.02 }
    return $answer;
}

1;
