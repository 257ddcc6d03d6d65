#!/bin/bash
# Runs stages of scripts/test.sh on a PostgreSQL with assertions, which catch what a release build only does wrong in
# silence: calls without a lock, leaked buffers, a catalog cache that is used after it was invalidated.
#
#   scripts/assertions.sh                    regress, isolation and pgtap
#   scripts/assertions.sh pgtap FILE...      arguments of scripts/test.sh
#
# Compiles Debian's source package of the same major version as the installed PostgreSQL, which takes a quarter of an
# hour on one processor. PostGIS and pgTAP are those that are installed. Not a stage of scripts/test.sh for the time.
#
# Environment: HARTONOMOUS_ASSERTIONS is a directory where the PostgreSQL, and what was built for it, is kept for the
# next run. Otherwise as in lib.sh.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT" || exit 1

PACKAGES=(bison flex dpkg-dev)

# With package lists of its own, because a system has usually none of sources. The newest version of which the files are
# there: mirrors drop those of old security updates.
fetch_source() {
  local state=$SCRATCH/apt version
  mkdir -p "$state"/{lists,archives}/partial "$KEPT"
  sed -n -e 's/^Types: deb$/Types: deb-src/p' -e '/^Types: deb$/!p' /etc/apt/sources.list.d/debian.sources \
    >"$state/debian.sources" || return
  apt=(-q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$state" -o Dir::State::lists="$state/lists"
    -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives")
  apt-get "${apt[@]}" update || return
  for version in $(apt-cache "${apt[@]}" showsrc "postgresql-$PG_MAJOR" | sed -n 's/^Version: //p' | sort -Vru); do
    (cd "$state" && apt-get "${apt[@]}" source --download-only "postgresql-$PG_MAJOR=$version") || continue
    rm -rf "$KEPT/source"
    dpkg-source --no-check -x "$state"/postgresql-*.dsc "$KEPT/source" && return
  done
  return 1
}

compile_server() {
  cd "$KEPT/source" || return
  ./configure --prefix="$KEPT/pgsql" --enable-cassert --enable-debug --enable-tap-tests --with-icu --without-readline \
    CFLAGS=-O1 && make -j"$JOBS" && make install
}

# Extensions that others made are the installed ones. Not what belongs to the installed server: with its llvmjit.so this
# one would compile expressions by files that it does not have.
link_extensions() {
  local installed=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config own=$KEPT/pgsql/bin/pg_config file to
  for file in "$("$installed" --pkglibdir)"/*.so "$("$installed" --sharedir)"/extension/*; do
    case $file in
      */llvmjit.so) continue ;;
      *.so) to=$("$own" --pkglibdir)/${file##*/} ;;
      *) to=$("$own" --sharedir)/extension/${file##*/} ;;
    esac
    [ -e "$to" ] || ln -s "$file" "$to" || return
  done
}

make_scratch
KEPT=${HARTONOMOUS_ASSERTIONS:-$SCRATCH/assertions}
mkdir -p "$KEPT" && chmod 755 "$KEPT"
step "packages" install_packages "${PACKAGES[@]}" "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
if [ ! -x "$KEPT/pgsql/bin/postgres" ]; then
  step "source of PostgreSQL $PG_MAJOR" fetch_source
  step "PostgreSQL with assertions" compile_server
  step "other extensions" link_extensions
fi
step "source" copy_work_tree "$KEPT/hartonomous"
[ $# -gt 0 ] || set -- regress isolation pgtap
PG_CONFIG=$KEPT/pgsql/bin/pg_config "$KEPT/hartonomous/scripts/test.sh" "$@" </dev/null
