# A PostgreSQL server of the test's own, for what the shared one must not suffer: crashes. It is made in
# HARTONOMOUS_TMP, finds the extension where the shared server does, and is gone when the object is.
package Cluster;
use strict;
use warnings;
use File::Path ();
use Session;

sub new {
    my ($class, %settings) = @_;
    my $tmp = $ENV{HARTONOMOUS_TMP} or die "HARTONOMOUS_TMP is not set: run scripts/test.sh tap\n";
    # Told to stop, the test still takes its server down.
    $SIG{$_} = sub { exit 1 } for 'INT', 'TERM', 'HUP';
    my $self = bless { directory => "$tmp/cluster$$", owner => $$ }, $class;
    my $directory = $self->{directory};
    mkdir $directory or die "$directory: $!\n";
    if ($> == 0) {
        my (undef, undef, $uid, $gid) = getpwnam 'postgres';
        chown $uid, $gid, $directory or die "$directory: $!\n";
    }
    $self->as_server(program('initdb'), '-D', "$directory/data", '-U', 'postgres', '-A', 'trust', '-E', 'UTF8',
        '--locale=C.UTF-8', '--no-sync');
    my %all = (
        listen_addresses => '', unix_socket_directories => $directory, fsync => 'off', max_wal_size => '1GB',
        autovacuum => 'off', staged(), %settings);
    open my $conf, '>>', "$directory/data/postgresql.conf" or die "postgresql.conf: $!\n";
    print $conf "$_ = '$all{$_}'\n" for sort keys %all;
    close $conf;
    $self->pg_ctl('start');
    return $self;
}

# A streaming standby of it, in recovery until promoted: pg_ctl('promote').
sub standby {
    my ($primary) = @_;
    my $self = bless { directory => "$primary->{directory}_standby", owner => $$ }, ref $primary;
    my $directory = $self->{directory};
    mkdir $directory or die "$directory: $!\n";
    chown +(stat $primary->{directory})[4, 5], $directory or die "$directory: $!\n";
    $self->as_server(program('pg_basebackup'), '-h', $primary->host, '-U', 'postgres', '-D', "$directory/data", '-R',
        '-c', 'fast', '--no-sync');
    open my $conf, '>>', "$directory/data/postgresql.conf" or die "postgresql.conf: $!\n";
    print $conf "unix_socket_directories = '$directory'\n";
    close $conf;
    $self->pg_ctl('start');
    return $self;
}

# The settings by which the shared server finds the extension (scripts/lib.sh).
sub staged {
    return map { split /=/, $_, 2 } split /\n/, sql('postgres', q{SELECT name || '=' || setting FROM pg_settings
        WHERE name IN ('extension_destdir', 'extension_control_path', 'dynamic_library_path')});
}

sub host { return $_[0]{directory} }
sub log_text {
    my ($self) = @_;
    open my $log, '<', "$self->{directory}/log" or return '';
    local $/;
    return <$log>;
}

# Runs a command as the user that the server runs as, in a directory it may be in; its output goes to a file.
sub as_server {
    my ($self, @command) = @_;
    @command = ('runuser', '-u', 'postgres', '--', @command) if $> == 0;
    my $child = fork // die "fork: $!\n";
    if ($child == 0) {
        chdir '/';
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $> == 0 ? '/dev/null' : "$self->{directory}/output";
        open STDERR, '>&', \*STDOUT;
        exec @command or exit 127;
    }
    local $?;
    waitpid $child, 0;
    return $? == 0 || die "failed: @command\n";
}

sub pg_ctl {
    my ($self, @arguments) = @_;
    my $directory = $self->{directory};
    $self->as_server(program('pg_ctl'), '-D', "$directory/data", '-l', "$directory/log", '-w', '-t', '60', @arguments);
}

# Kills a backend the hard way, and waits until the server, which has to recover from that, takes connections again.
# Asked too soon it would still say yes: the postmaster may not have noticed yet.
sub crash {
    my ($self, $pid) = @_;
    my $ready = sub { scalar(my @times = $self->log_text =~ /ready to accept connections/g) };
    my $before = $ready->();
    kill 'KILL', $pid or die "kill: $!\n";
    return wait_until(60, sub { $ready->() > $before });
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($@, $?);
    eval { $self->pg_ctl('-m', 'immediate', 'stop') };
    rename "$self->{directory}/log", "$self->{directory}.log";    # test.sh keeps it
    File::Path::remove_tree($self->{directory});
}

1;
