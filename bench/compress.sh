#!/bin/bash
# compress_model beside the mixtures of llama-quantize: bytes, KL divergence, perplexity and seconds at some sizes, on text
# that no method has seen. The mixtures are quantized with the importance of the same calibration text; each size stands
# beside the smallest mixture that has as many bytes or more.
#
# Usage: bench/compress.sh [MODEL.gguf TEXT_FILE]..., by default the example model and its held-out text
#
# Settings (environment):
#   BITS   bits a weight to compress to; default: 4.5 4.0 3.5 3.0
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
BITS=${BITS:-4.5 4.0 3.5 3.0}
[ $# -gt 0 ] || set -- "$ROOT/examples/tiny-stories.gguf" "$ROOT/examples/heldout.txt"
[ $(($# % 2)) = 0 ] || die "usage: bench/compress.sh [MODEL.gguf TEXT_FILE]..."

make_scratch
install_packages "${BUILD_PACKAGES[@]}"
echo "building"
{ build_extension && stage_extension; } >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
start_server >"$SCRATCH/log/server" 2>&1

NUMBER=0
while [ $# -gt 0 ]; do
  NUMBER=$((NUMBER + 1))
  DATABASE=compress$NUMBER FILES=$HARTONOMOUS_TMP/$NUMBER
  echo
  echo "$1, text of $2"
  install -d -m 777 "$FILES"
  install -m 644 "$1" "$FILES/model.gguf"
  install -m 644 "$2" "$FILES/text.txt"
  createdb "$DATABASE"
  psql -X -q -v ON_ERROR_STOP=1 -d "$DATABASE" -v dir="$FILES" -v bits="$BITS" -f "$ROOT/bench/compress.sql"
  shift 2
done
