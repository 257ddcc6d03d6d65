#!/bin/bash
# Benchmarks of the store on a throwaway cluster. Prints medians over rounds and, where a target exists, the ratio of
# two measurements of the same round. Usage: bench/run.sh [ROUNDS], default 3; needs 3 GB of disk in TMPDIR.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"
ROUNDS=${1:-3}

make_scratch
install_packages "${BUILD_PACKAGES[@]}" cmake ninja-build libbenchmark-dev libgtest-dev
echo "building"
build_extension >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
stage_extension >>"$SCRATCH/log/build" 2>&1
g++ -std=c++17 -O2 -ffp-contract=off -Iinclude -Isrc/core -o "$SCRATCH/make_model" bench/make_model.cpp \
  src/core/{bytes,codec,format,gguf}/*.o -lhwy
SHARED_BUFFERS=1GB start_server >"$SCRATCH/log/server" 2>&1
"$SCRATCH/make_model" "$HARTONOMOUS_TMP/big.gguf" F16 6 4096 4096
"$SCRATCH/make_model" "$HARTONOMOUS_TMP/million.gguf" F32 8 4096 1024


run() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE results' -c '\c results' \
  -c 'CREATE TABLE bench (round int, what text, seconds float8)'
for round in $(seq "$ROUNDS"); do
  echo "round $round of $ROUNDS"
  run -d postgres -c 'DROP DATABASE IF EXISTS bench' -c 'CREATE DATABASE bench' 2>/dev/null
  run -d bench -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION hartonomous CASCADE'
  run -d bench -v round="$round" -v dir="$HARTONOMOUS_TMP" -f bench/store.sql
  run -d bench -c "COPY bench TO STDOUT" | run -d results -c 'COPY bench FROM STDIN'
done
run -d results -f bench/report.sql
