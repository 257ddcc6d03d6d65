#!/bin/bash
# The demonstration: builds the extension, starts a PostgreSQL server of its own in a temporary directory, runs
# examples/demo.sql on the example model there, prints its report and leaves nothing behind. Arguments go to psql.
#
# examples/demo.sql gets the psql variables :model (the example model) and :out (where it may write its result).
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT" || exit 1

[ -e examples/demo.sql ] || exit 0

# step TEXT COMMAND...: a line when the command succeeds, the end of its log when not.
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

build_and_stage() { build_extension && stage_extension; }

make_scratch
step "packages" install_packages "${BUILD_PACKAGES[@]}"
step "build" build_and_stage
step "PostgreSQL $PG_MAJOR, temporary" start_server
"$BINDIR/psql" -Xq -d postgres -c 'CREATE DATABASE demo' || exit 1
echo

# The report is what the script prints; notices are shown only when it fails.
if ! "$BINDIR/psql" -Xq -d demo -v ON_ERROR_STOP=1 -v model="$HARTONOMOUS_MODEL" -v out="$SCRATCH/files/demo.gguf" \
  -P pager=off -f examples/demo.sql "$@" 2>"$SCRATCH/log/demo" </dev/null; then
  tail -n 20 "$SCRATCH/log/demo" >&2
  grep -A 3 'ERROR: \|FATAL: \|PANIC: \|terminated by signal' "$SCRATCH/server/postgresql.log" | tail -n 20 >&2
  exit 1
fi
