# A PostgreSQL server for a test, with the extension: PostgreSQL::Test::Cluster with additions. TEMP_CONFIG
# (scripts/test.sh) contains the settings by which a server finds the extension.
package Server;
use strict;
use warnings;
use parent 'PostgreSQL::Test::Cluster';
use PostgreSQL::Test::Utils ();
use Session;

my %default = (max_connections => 50, max_wal_size => '1GB', restart_after_crash => 'on', shared_buffers => '128MB',
    log_statement => 'none', timezone => 'UTC');

# Creates and starts a server with these settings.
sub new {
    my ($class, %settings) = @_;
    my $self = $class->SUPER::new('primary');
    $self->init(allows_streaming => 1, extra => ['-E', 'UTF8', '--locale=C.UTF-8']);
    my %all = (%default, %settings);
    $self->append_conf('postgresql.conf', "$_ = '$all{$_}'") for sort keys %all;
    $self->start;
    return $self;
}

# Creates a streaming standby, which is in recovery until it is promoted.
sub standby {
    my ($self) = @_;
    $self->backup('for_standby');
    my $standby = bless PostgreSQL::Test::Cluster->new('standby'), ref $self;
    $standby->init_from_backup($self, 'for_standby', has_streaming => 1);
    $standby->start;
    return $standby;
}

# Starts a psql that stays open (Session.pm). Options: user, settings (as in PGOPTIONS).
sub session {
    my ($self, $database, %o) = @_;
    local $ENV{PGOPTIONS} = $o{settings} // '';
    my @user = $o{user} ? ('-U', $o{user}) : ();
    my $psql = $self->background_psql($database,
        on_error_stop => 0, extra_params => [@user, '-v', 'VERBOSITY=verbose']);
    return Session->of($psql);
}

# A session that gets no messages below WARNING.
sub quiet_session {
    my ($self, $database, %o) = @_;
    return $self->session($database, %o, settings => '-c client_min_messages=warning');
}

# Creates a database with only the extension.
sub database {
    my ($self, $name) = @_;
    $self->safe_psql('postgres', "CREATE DATABASE $name");
    $self->safe_psql($name, 'SET client_min_messages = warning; CREATE EXTENSION hartonomous CASCADE');
}

sub log_text { return PostgreSQL::Test::Utils::slurp_file($_[0]->logfile) }

# Kills a backend with SIGKILL and waits until the server, which has to recover, accepts connections again.
sub crash {
    my ($self, $pid) = @_;
    my $end = -s $self->logfile;
    kill 'KILL', $pid or die "kill: $!\n";
    return $self->wait_for_log(qr/ready to accept connections/, $end);
}

1;
