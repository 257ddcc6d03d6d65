#!/bin/bash
# Benchmarks of the codecs: the kernels by themselves, then quantizing the atoms of a table in SQL, and what the SQL
# layer adds. Usage: bench/codecs.sh [ROUNDS], default 5; needs 1 GB of disk in TMPDIR.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"
ROUNDS=${1:-5}
[ "$ROUNDS" -ge 2 ] || { echo "at least two rounds: the table has medians" >&2; exit 2; }

make_scratch
install_packages "${BUILD_PACKAGES[@]}" cmake ninja-build libbenchmark-dev
echo "building"
{
  cmake --preset bench -B "$SCRATCH/bench" && cmake --build "$SCRATCH/bench" --target codecs make_model
  build_extension && stage_extension
} >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }

"$SCRATCH/bench/codecs" --benchmark_out="$SCRATCH/kernels.json" --benchmark_out_format=json \
  --benchmark_repetitions="$ROUNDS"

SHARED_BUFFERS=1GB start_server >"$SCRATCH/log/server" 2>&1
install -m 644 "$SCRATCH/kernels.json" "$HARTONOMOUS_TMP"
"$SCRATCH/bench/make_model" "$HARTONOMOUS_TMP/atoms.gguf" F32 4 4096 4096
psql -X -q -v ON_ERROR_STOP=1 -d postgres -v dir="$HARTONOMOUS_TMP" -v rounds="$ROUNDS" \
  -f bench/codecs.sql
