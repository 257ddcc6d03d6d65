# Shell functions for the other scripts: packages, build, and a temporary PostgreSQL server. To be sourced by bash.
# Nothing here touches the PostgreSQL clusters of the machine.
#
# Settings (environment):
#   PG_CONFIG            the pg_config of the PostgreSQL to use, by its full path; default: that of the Debian release's
#                        own version
#   HARTONOMOUS_PG       or its major version, if Debian's packages have it: 17
#   HARTONOMOUS_INSTALL  yes: install the extension into that PostgreSQL as well, which some need (staged_settings)
#   HARTONOMOUS_JOBS     parallel compilers and tests; default: the number of processors
#   TMPDIR               where the temporary directory is made; every directory above it must be passable for all users

umask 022
export LC_ALL=C.UTF-8

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
JOBS=${HARTONOMOUS_JOBS:-$(nproc)}

# The version that an unversioned package stands for, from apt's lists; the default if they do not tell.
version_of() {
  local version
  version=$(apt-cache depends "$1" 2>/dev/null | sed -n "s/^ *Depends: $1-\([0-9]*\)\$/\1/p")
  echo "${version:-$2}"
}

# PostgreSQL and clang of this Debian release. For known releases no lists are needed, so additional repositories do not
# change the result.
case $(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null) in
  bookworm) PG_MAJOR=15 CLANG_MAJOR=14 ;;
  trixie) PG_MAJOR=17 CLANG_MAJOR=19 ;;
  *) PG_MAJOR=$(version_of postgresql 18) CLANG_MAJOR=$(version_of clang 21) ;;
esac
PG_MAJOR=${HARTONOMOUS_PG:-$PG_MAJOR}
if [ -n "${PG_CONFIG:-}" ]; then
  PG_MAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
elif command -v dpkg-query >/dev/null; then
  PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
else
  PG_CONFIG=pg_config
fi
export PG_CONFIG

BUILD_PACKAGES=(g++ make libeigen3-dev libhwy-dev libicu-dev libopenblas-openmp-dev libzstd-dev nlohmann-json3-dev)
TEST_PACKAGES=(cmake ninja-build libgtest-dev libbenchmark-dev cppcheck perl python3 libipc-run-perl
  "clang-$CLANG_MAJOR" "libclang-rt-$CLANG_MAJOR-dev" "clang-tidy-$CLANG_MAJOR" "clang-format-$CLANG_MAJOR"
  libtap-parser-sourcehandler-pgtap-perl)
# Whoever compiled another PostgreSQL has brought PostGIS, pgTAP and pg_cron to it.
if [[ $PG_CONFIG == /usr/lib/postgresql/* ]]; then
  BUILD_PACKAGES+=("postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR" "postgresql-$PG_MAJOR-postgis-3")
  TEST_PACKAGES+=("postgresql-$PG_MAJOR-pgtap" "postgresql-$PG_MAJOR-cron")
fi

die() {
  echo "$*" >&2
  exit 1
}

# step TEXT COMMAND...: prints a line if the command succeeds, otherwise the end of its log.
step() {
  local text=$1 begin=$EPOCHREALTIME
  shift
  if ! "$@" >"$SCRATCH/log/step" 2>&1 </dev/null; then
    echo "$text: FAILED" >&2
    tail -n 40 "$SCRATCH/log/step" >&2
    exit 1
  fi
  awk -v t="$text" -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%-26s %6.1f s\n", t, b - a }'
}

# ---- packages ----------------------------------------------------------------------------------------------------

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    command -v sudo >/dev/null || die "root or sudo is needed for: $*"
    sudo "$@"
  fi
}

# The packages of the list that are not installed, one per line.
missing_packages() {
  local name
  for name in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
  done
}

DROPIN=/etc/postgresql-common/createcluster.d/hartonomous-tests.conf
DROPIN_DIRECTORY=  # if it had to be created

# Installs missing packages; does not access the network if there are none. A server installed as a dependency must not
# create a cluster: a drop-in tells Debian's scripts so during the installation.
install_packages() {
  local missing status=0
  command -v dpkg-query >/dev/null || { echo "not Debian: taking for granted that the packages are there"; return 0; }
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || { echo "all packages are there"; return 0; }
  echo "installing: ${missing[*]}"
  if [[ " ${missing[*]} " == *" postgresql-$PG_MAJOR "* ]]; then
    [ -d "${DROPIN%/*}" ] || DROPIN_DIRECTORY=${DROPIN%/*}
    as_root mkdir -p "${DROPIN%/*}"
    echo 'create_main_cluster = false' | as_root tee "$DROPIN" >/dev/null
  fi
  {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update && server_is_offered "${missing[@]}" &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "${missing[@]}"
  } </dev/null || status=$?
  remove_dropin
  return $status
}

# Says which PostgreSQL there are if the list has another.
server_is_offered() {
  [[ " $* " == *" postgresql-$PG_MAJOR "* ]] || return 0
  [ -z "$(apt-cache --names-only search "^postgresql-$PG_MAJOR\$")" ] || return 0
  echo "PostgreSQL $PG_MAJOR is none of this system's packages, which have" \
    "$(apt-cache --names-only search '^postgresql-[0-9]+$' | sed 's/^postgresql-\([0-9]*\) .*/\1/' | paste -sd ' ')."
  echo "PG_CONFIG=... takes one that was compiled, with PostGIS and pgTAP."
  return 1
}

remove_dropin() {
  [ ! -e "$DROPIN" ] || as_root rm -f "$DROPIN"
  [ -z "$DROPIN_DIRECTORY" ] || as_root rmdir --ignore-fail-on-non-empty "$DROPIN_DIRECTORY"
  DROPIN_DIRECTORY=
}

# Copies the files of the work tree, with their times, into a directory. What was compiled there from earlier ones is
# kept, for make to judge.
copy_work_tree() {
  mkdir -p "$1" && find "$1" -type f ! -name '*.[od]' ! -path "$1/build/*" -delete || return
  (cd "$ROOT" && git ls-files -z --cached --others --exclude-standard |
    tar -c --null --ignore-failed-read -T -) | tar -C "$1" -x
}

# ---- temporary directory and server ------------------------------------------------------------------------------

SCRATCH=
SERVER_STARTED=
RUNNING=  # a process group to terminate before cleaning up

# Creates SCRATCH, readable for all users. clean_up() removes it and stops the server, however the script ends.
make_scratch() {
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/hartonomous.XXXXXX")
  chmod 755 "$SCRATCH"
  mkdir "$SCRATCH/log"
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

clean_up() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  if [ -n "$RUNNING" ]; then
    kill -TERM -- "-$RUNNING" || true
    wait "$RUNNING" || true  # its status is the signal's and must not stop the cleanup
  fi 2>/dev/null
  stop_server || true
  remove_dropin || true
  [ -z "$SCRATCH" ] || rm -rf "$SCRATCH"
  exit "$status"
}

# The server refuses to run as root.
as_server() {
  if [ "$(id -u)" != 0 ]; then
    "$@"
  elif command -v runuser >/dev/null; then
    runuser -u postgres -- "$@"
  else
    sudo -u postgres -- "$@"
  fi
}

# Compiles the extension with PGXS and installs it into SCRATCH/stage, outside the system directories.
build_extension() { make -C "$ROOT" -j"$JOBS" PG_CONFIG="$PG_CONFIG"; }
# Also the SQL of earlier versions, from which test/tap/upgrade.t leads to this one.
stage_extension() {
  local script
  make -C "$ROOT" install DESTDIR="$SCRATCH/stage" PG_CONFIG="$PG_CONFIG"
  for script in "$ROOT"/test/upgrade/hartonomous--*.sql.gz; do
    gunzip -c "$script" >"$SCRATCH/stage$("$PG_CONFIG" --sharedir)/extension/$(basename "$script" .gz)"
  done
  [ -z "${HARTONOMOUS_INSTALL:-}" ] || as_root cp -rT --no-preserve=ownership "$SCRATCH/stage" /
}

# The settings by which a server finds the extension in the stage: PostgreSQL's from version 18 on, before that
# Debian's. None if it is installed as well.
staged_settings() {
  local known
  known=$("$BINDIR/postgres" --describe-config | cut -f 1)
  if grep -qx extension_control_path <<<"$known"; then
    echo "extension_control_path = '$SCRATCH/stage$("$PG_CONFIG" --sharedir):\$system'"
    echo "dynamic_library_path = '$SCRATCH/stage$("$PG_CONFIG" --pkglibdir):\$libdir'"
  elif grep -qx extension_destdir <<<"$known"; then
    echo "extension_destdir = '$SCRATCH/stage'"
  elif [ -z "${HARTONOMOUS_INSTALL:-}" ]; then
    echo "This PostgreSQL finds no extension that is not installed; Debian's does, and version 18 and newer." >&2
    echo "HARTONOMOUS_INSTALL=yes installs it." >&2
    return 1
  fi
}

# Creates a cluster in SCRATCH that finds the extension in the stage and listens only on a socket there. Sets the
# variables by which clients and tests find it. SERVER_SETTINGS are further lines of its postgresql.conf.
start_server() {
  local data=$SCRATCH/data settings
  BINDIR=$("$PG_CONFIG" --bindir)
  settings=$(staged_settings) || return
  install -d -m 777 "$SCRATCH/files"
  install -d -m 755 "$SCRATCH/socket" "$SCRATCH/server"
  [ "$(id -u)" != 0 ] || chown postgres: "$SCRATCH/socket" "$SCRATCH/server"
  [ "$(id -u)" != 0 ] || install -d -m 700 -o postgres "$data"
  (cd / && as_server "$BINDIR/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync)
  as_server tee -a "$data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$SCRATCH/socket'
$settings
cluster_name = 'hartonomous-throwaway'
logging_collector = off
log_line_prefix = '%m [%p] %q%d '
timezone = 'UTC'
max_connections = 50
max_locks_per_transaction = 128
shared_buffers = ${SHARED_BUFFERS:-256MB}
max_wal_size = 2GB
fsync = off
${SERVER_SETTINGS:-}
CONF
  SERVER_STARTED=yes
  (cd / && as_server "$BINDIR/pg_ctl" -D "$data" -l "$SCRATCH/server/postgresql.log" -w -t 60 start </dev/null) || {
    tail -n 20 "$SCRATCH/server/postgresql.log" >&2
    return 1
  }
  unset PGDATABASE PGSERVICE PGPASSWORD PGOPTIONS PGHOSTADDR PGSSLMODE PGTZ PGDATESTYLE
  export PGHOST=$SCRATCH/socket PGPORT=5432 PGUSER=postgres BINDIR
  export HARTONOMOUS_TMP=$SCRATCH/files
  copy_examples
}

# A copy, so that the server can read the files whatever the permissions of the source tree are.
copy_examples() {
  export HARTONOMOUS_EXAMPLES=$SCRATCH/examples HARTONOMOUS_MODEL=$SCRATCH/examples/tiny-stories.gguf
  [ ! -d "$ROOT/examples" ] || cp -rT "$ROOT/examples" "$HARTONOMOUS_EXAMPLES"
}

stop_server() {
  [ -n "$SERVER_STARTED" ] || return 0
  SERVER_STARTED=
  (cd / && as_server "$BINDIR/pg_ctl" -D "$SCRATCH/data" -m immediate -w -t 60 stop) >/dev/null 2>&1
}
