# A PostgreSQL server of the test's own, with the extension: PostgreSQL::Test::Cluster and what these tests ask of it.
# TEMP_CONFIG (scripts/test.sh) has the settings by which a server finds the extension.
package Server;
use strict;
use warnings;
use parent 'PostgreSQL::Test::Cluster';
use PostgreSQL::Test::Utils ();
use Session;

my %default = (max_connections => 50, max_wal_size => '1GB', restart_after_crash => 'on', shared_buffers => '128MB',
    log_statement => 'none', timezone => 'UTC');

# Makes and starts a server with these settings.
sub new {
    my ($class, %settings) = @_;
    my $self = $class->SUPER::new('primary');
    $self->init(allows_streaming => 1, extra => ['-E', 'UTF8', '--locale=C.UTF-8']);
    my %all = (%default, %settings);
    $self->append_conf('postgresql.conf', "$_ = '$all{$_}'") for sort keys %all;
    $self->start;
    return $self;
}

# A streaming standby of it, in recovery until promoted.
sub standby {
    my ($self) = @_;
    $self->backup('for_standby');
    my $standby = bless PostgreSQL::Test::Cluster->new('standby'), ref $self;
    $standby->init_from_backup($self, 'for_standby', has_streaming => 1);
    $standby->start;
    return $standby;
}

# A psql that stays open (Session.pm). Options: user, settings (as in PGOPTIONS).
sub session {
    my ($self, $database, %o) = @_;
    local $ENV{PGOPTIONS} = $o{settings} // '';
    my @user = $o{user} ? ('-U', $o{user}) : ();
    my $psql = $self->background_psql($database,
        on_error_stop => 0, extra_params => [@user, '-v', 'VERBOSITY=verbose']);
    return Session->of($psql);
}

# A session that is told of nothing less than a warning.
sub quiet_session {
    my ($self, $database, %o) = @_;
    return $self->session($database, %o, settings => '-c client_min_messages=warning');
}

# A database with the extension and nothing else.
sub database {
    my ($self, $name) = @_;
    $self->safe_psql('postgres', "CREATE DATABASE $name");
    $self->safe_psql($name, 'SET client_min_messages = warning; CREATE EXTENSION hartonomous CASCADE');
}

sub log_text { return PostgreSQL::Test::Utils::slurp_file($_[0]->logfile) }

# Kills a backend the hard way, and waits until the server, which has to recover from that, takes connections again.
sub crash {
    my ($self, $pid) = @_;
    my $end = -s $self->logfile;
    kill 'KILL', $pid or die "kill: $!\n";
    return $self->wait_for_log(qr/ready to accept connections/, $end);
}

1;
