#!/bin/bash
# Benchmark of the codec of archives: what weights keep of their bytes, and GB/s of both directions on one core, beside
# zstd -3 and lz4; normal numbers, the example model and the GGUF files given. Usage: bench/archive.sh [FILE.gguf...]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"

make_scratch
install_packages "${BUILD_PACKAGES[@]}" cmake ninja-build libbenchmark-dev liblz4-dev
echo "building"
{
  cmake --preset bench -B "$SCRATCH/bench" && cmake --build "$SCRATCH/bench" --target archive
} >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
"$SCRATCH/bench/archive" examples/tiny-stories.gguf "$@"
