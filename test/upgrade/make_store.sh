#!/bin/bash
# Makes what test/tap/upgrade.t starts from, and says so how it was made: the SQL of an earlier version, and a dump of a
# store that this version made. Version 0.1.0 was never released; it is commit 9479427.
#
#   test/upgrade/make_store.sh COMMIT DIRECTORY     builds in DIRECTORY, which must not exist; takes a few minutes
set -euo pipefail
commit=$1 work=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/scripts/lib.sh"
mkdir -p "$work"
git -C "$root" archive "$commit" | tar -x -C "$work"
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$work/hartonomous.control")
make -C "$work" -j "$JOBS" PG_CONFIG="$PG_CONFIG"
make -C "$work" install DESTDIR="$work/stage" PG_CONFIG="$PG_CONFIG"
bin=$("$PG_CONFIG" --bindir)
user=()
if [ "$(id -u)" = 0 ]; then
  user=(runuser -u postgres --)
  chown -R postgres "$work"
fi
cd "$work"
"${user[@]}" "$bin/initdb" -D "$work/data" -U postgres -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
echo "extension_destdir = '$work/stage'" >>"$work/data/postgresql.conf"
"${user[@]}" "$bin/pg_ctl" -D "$work/data" -w -l "$work/data/log" -o "-c listen_addresses='' -k '$work/data'" start
trap '"${user[@]}" "$bin/pg_ctl" -D "$work/data" -m immediate stop' EXIT
export PGHOST=$work/data PGUSER=postgres PGOPTIONS='-c timezone=UTC'
psql -X -q -d postgres -c 'CREATE DATABASE old'
psql -X -q -v ON_ERROR_STOP=1 -d old -v lib="$work/test/pgtap/lib" -f "$root/test/upgrade/store.sql"
"$bin/pg_dump" -d old | gzip -9 -n >"$root/test/upgrade/store-$version.sql.gz"

# Functions of C++ that are gone since, which CREATE FUNCTION would not find in the library: any other takes their place,
# because the test calls none of them.
old=$(sed -n 's/^HARTONOMOUS_FUNCTION(\([a-z0-9_]*\)).*/\1/p' "$work"/src/fn/*.cpp)
script=$(cat "$work/sql/hartonomous--$version.sql")
for symbol in $old; do
  grep -qE "^HARTONOMOUS_(STORED_)?FUNCTION\($symbol\)" "$root"/src/fn/*.cpp && continue
  echo "no longer there: $symbol"
  script=$(sed -E "/^CREATE FUNCTION [a-z_]*\.$symbol\(/,/LANGUAGE C/s/'MODULE_PATHNAME' LANGUAGE/'MODULE_PATHNAME', 'raise_error' LANGUAGE/" <<<"$script")
done
gzip -9 -n <<<"$script" >"$root/test/upgrade/hartonomous--$version.sql.gz"
ls -l "$root"/test/upgrade/*.gz
