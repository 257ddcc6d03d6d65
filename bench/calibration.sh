#!/bin/bash
# What collecting Gram matrices costs besides the forward pass: in the core alone (bench/calibration.cpp), on the example
# model and on one wider block, then in the database, where perplexity() is the forward pass and statistics are stored.
# Usage: bench/calibration.sh [MODEL.gguf TEXT_FILE]; nothing else should run meanwhile.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"
MODEL=${1:-examples/tiny-stories.gguf} TEXT=${2:-examples/heldout.txt}

make_scratch
install_packages "${BUILD_PACKAGES[@]}" cmake ninja-build libbenchmark-dev libgtest-dev
echo "building"
{
  build_extension
  stage_extension
  cmake --preset bench -DPG_CONFIG="$PG_CONFIG"
  cmake --build --preset bench -j "$JOBS" --target calibration
} >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
start_server >"$SCRATCH/log/server" 2>&1
cp "$MODEL" "$HARTONOMOUS_TMP/model.gguf"
cp "$TEXT" "$HARTONOMOUS_TMP/text.txt"

printf '%-42s %8s %8s %8s %8s %9s %9s\n' "seconds, medians of 5" tokens forward diagonal gram "diagonal/" "gram/"
build/bench/calibration "$MODEL" "$TEXT" |
  while IFS=$'\t' read -r what tokens forward diagonal gram ratio_diagonal ratio_gram; do
    printf '%-42s %8s %8s %8s %8s %9s %9s\n' "$what" "$tokens" "$forward" "$diagonal" "$gram" "$ratio_diagonal" \
      "$ratio_gram"
  done
psql -X -q -d postgres -c 'CREATE DATABASE bench' -c '\c bench' -c 'SET client_min_messages = warning' \
  -c 'CREATE EXTENSION hartonomous CASCADE'
psql -X -q -d bench -v ON_ERROR_STOP=1 -v dir="$HARTONOMOUS_TMP" -f bench/calibration.sql
