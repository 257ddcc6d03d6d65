#!/bin/bash
# The demonstration: builds the extension, starts a PostgreSQL server of its own in a temporary directory, runs
# examples/demo.sql on the example model, prints its report and removes everything. Arguments are passed to psql.
#
# examples/demo.sql gets the psql variables :file (the example model) and :out (a directory it may write to).
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT" || exit 1

[ -e examples/demo.sql ] || exit 0

build_and_stage() { build_extension && stage_extension; }

make_scratch
step "packages" install_packages "${BUILD_PACKAGES[@]}"
step "build" build_and_stage
step "PostgreSQL $PG_MAJOR, temporary" start_server
"$BINDIR/psql" -Xq -d postgres -c 'CREATE DATABASE demo' || exit 1
echo

# Notices are part of the report: they show what pruning and quantizing did.
if ! "$BINDIR/psql" -Xq -d demo -v ON_ERROR_STOP=1 -v file="$HARTONOMOUS_MODEL" -v out="$SCRATCH/files" \
  -P pager=off "$@" <examples/demo.sql 2>&1 | sed 's/^NOTICE:  //'; then
  grep -A 3 'ERROR: \|FATAL: \|PANIC: \|terminated by signal' "$SCRATCH/server/postgresql.log" | tail -n 20 >&2
  exit 1
fi
