#!/bin/bash
# Benchmark of the archive. First its codec: what weights keep of their bytes, and GB/s of both directions on one core,
# beside zstd -3 and lz4; normal numbers, the example model and the GGUF files given. Then the archive in a database of a
# temporary server: a million atoms into it and back beside their import, an aggregate over importance, the columns other
# than weights, and what PostgreSQL's own compression leaves of weights. Usage: bench/archive.sh [FILE.gguf...]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"

make_scratch
install_packages "${BUILD_PACKAGES[@]}" cmake ninja-build libbenchmark-dev liblz4-dev
echo "building"
{
  cmake --preset bench -B "$SCRATCH/bench" && cmake --build "$SCRATCH/bench" --target archive
  build_extension && stage_extension
} >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
g++ -std=c++17 -O2 -ffp-contract=off -Iinclude -Isrc/core -o "$SCRATCH/make_model" bench/make_model.cpp \
  src/core/{bytes,codec,format,gguf}/*.o -lhwy
"$SCRATCH/bench/archive" examples/tiny-stories.gguf "$@"

SHARED_BUFFERS=1GB start_server >"$SCRATCH/log/server" 2>&1
"$SCRATCH/make_model" "$HARTONOMOUS_TMP/million.gguf" F32 8 4096 1024
install -m 644 examples/tiny-stories.gguf "$HARTONOMOUS_TMP/model.gguf"
createdb archive
psql -X -q -d archive -v dir="$HARTONOMOUS_TMP" -f bench/archive.sql
