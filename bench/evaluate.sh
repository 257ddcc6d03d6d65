#!/bin/bash
# Tokens a second of perplexity(): in the database, in the core alone, and of a plain forward pass on Eigen and
# OpenBLAS (bench/evaluate.cpp), on the example model; then in the database with the weights in other formats and
# without the session's cache. Usage: bench/evaluate.sh [MODEL.gguf TEXT_FILE]; nothing else should run meanwhile.
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
  cmake --build --preset bench -j "$JOBS" --target evaluate
} >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
start_server >"$SCRATCH/log/server" 2>&1
cp "$MODEL" "$HARTONOMOUS_TMP/model.gguf"
cp "$TEXT" "$HARTONOMOUS_TMP/text.txt"

printf '%-42s %10s %10s\n' "512 tokens a piece" "perplexity" "tokens/s"
build/bench/evaluate "$MODEL" "$TEXT" | while IFS=$'\t' read -r what value speed; do
  printf '%-42s %10.4f %10d\n' "$what" "$value" "$speed"
done
psql -X -q -d postgres -c 'CREATE DATABASE bench' -c '\c bench' -c 'SET client_min_messages = warning' \
  -c 'CREATE EXTENSION hartonomous CASCADE'
psql -X -q -d bench -v ON_ERROR_STOP=1 -v dir="$HARTONOMOUS_TMP" -f bench/evaluate.sql
