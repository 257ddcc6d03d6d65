#!/bin/bash
# Every format that is read and written beside ggml's own code in one process: equal bytes, equal floats, speed.
# Usage: LLAMA_CPP=DIRECTORY bench/formats.sh [ROUNDS], default 5.
#   LLAMA_CPP           a source tree of llama.cpp, for ggml's headers
#   LLAMA_CPP_LIBRARIES the directory of its shared libraries; default: build/bin of the source tree
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"
LLAMA_CPP=${LLAMA_CPP:?a source tree of llama.cpp}
LLAMA_CPP_LIBRARIES=${LLAMA_CPP_LIBRARIES:-$LLAMA_CPP/build/bin}

make_scratch
install_packages "${BUILD_PACKAGES[@]}" cmake ninja-build libbenchmark-dev
echo "building"
{
  cmake --preset bench -B "$SCRATCH/bench" && cmake --build "$SCRATCH/bench" --target hartonomous_core
} >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
g++ -std=c++17 -O2 -I include -I "$LLAMA_CPP/ggml/include" bench/peers/formats.cpp \
  "$SCRATCH/bench/libhartonomous_core.a" "$LLAMA_CPP_LIBRARIES/libggml-base.so" \
  -Wl,-rpath,"$LLAMA_CPP_LIBRARIES" -lhwy -o "$SCRATCH/formats"
"$SCRATCH/formats" "${1:-5}"
