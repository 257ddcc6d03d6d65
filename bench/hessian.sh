#!/bin/bash
# Benchmark of quantizing against a Hessian: seconds a million weights on one core, multiply-adds, the loss relative to
# rounding by importance, and an estimate for a model of 8 billion weights.
# Usage: bench/hessian.sh [ROWS [WIDTH...]], default 512 rows of 512 and of 4096 weights; 500 MB of memory.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"

make_scratch
install_packages "${BUILD_PACKAGES[@]}" cmake ninja-build libbenchmark-dev
echo "building"
{
  cmake --preset bench -B "$SCRATCH/bench" && cmake --build "$SCRATCH/bench" --target hessian
} >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
"$SCRATCH/bench/hessian" "$@"
