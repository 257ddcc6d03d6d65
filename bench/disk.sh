#!/bin/bash
# Where the disk space of a model goes: one table with the bytes an atom takes besides its weights, for matrices of several
# widths and formats with atoms of the default size, of one row, and of 256 weights; then the example model as it is and
# in other formats, with atoms of the default size, of one row, and of 512, 1024 and 32768 weights.
#
# Usage: bench/disk.sh [MODEL.gguf]...   further models to measure; needs 500 MB of disk in TMPDIR
#
# Settings (environment):
#   WIDTHS   columns of the matrices; default: 512 1024 2048 4096 8192
#   FORMATS  their formats; default: F32 F16 Q8_0 Q6_K Q4_K Q2_K TQ1_0 Q1_0
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"
WIDTHS=${WIDTHS:-512 1024 2048 4096 8192}
FORMATS=${FORMATS:-F32 F16 Q8_0 Q6_K Q4_K Q2_K TQ1_0 Q1_0}

make_scratch
install_packages "${BUILD_PACKAGES[@]}"
echo "building"
{ build_extension && stage_extension; } >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
g++ -std=c++17 -O2 -ffp-contract=off -Iinclude -Isrc/core -o "$SCRATCH/make_model" bench/make_model.cpp \
  src/core/{bytes,codec,format,gguf}/*.o -lhwy
start_server >"$SCRATCH/log/server" 2>&1
createdb disk
export PGOPTIONS='-c client_min_messages=error'
run() { psql -X -q -v ON_ERROR_STOP=1 -d disk "$@"; }
run -f bench/disk.sql

for width in $WIDTHS; do
  for format in $FORMATS; do
    "$SCRATCH/make_model" "$HARTONOMOUS_TMP/model.gguf" "$format" 1 $((16777216 / width)) "$width"
    for atom_size in NULL 0 256; do
      [ "$atom_size" != 256 ] || [ "$width" = 2048 ] || continue
      run -c "SELECT bench.measure('$HARTONOMOUS_TMP/model.gguf', '$width', $atom_size)" >"$SCRATCH/log/measure"
    done
  done
done
for model in examples/tiny-stories.gguf "$@"; do
  install -m 644 "$model" "$HARTONOMOUS_TMP/model.gguf"
  for atom_size in NULL 0 512 1024 32768; do
    for format in '' Q8_0 Q6_K Q4_K Q2_K; do
      run -c "SELECT bench.measure('$HARTONOMOUS_TMP/model.gguf', '$(basename "$model")', $atom_size, nullif('$format', ''))" \
        >"$SCRATCH/log/measure"
    done
  done
done
run -c 'SELECT * FROM bench.report'
