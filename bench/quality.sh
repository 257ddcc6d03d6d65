#!/bin/bash
# What compressing costs a model in quality: the KL divergence of its predictions from those of the model as it was
# imported, by mixture and method, on text that no method has seen; then the same of pruning and decomposing, and the
# perplexity of students. The text is split: the first 30 000 tokens are for calibration, the next 20 000 for
# evaluation, of which every other chunk of 128 is scored. Seconds are those of one core.
#
# Usage: bench/quality.sh [MODEL.gguf TEXT_FILE]..., by default the example model and its held-out text. Other text for
# that model: tools/generate_stories.py with a seed from 4 on. Every trial leaves an export in TMPDIR until the end.
#
# Settings (environment):
#   MIXTURES, METHODS   those to be measured; default: Q2_K Q3_K_M Q4_K_M Q5_K_M, and all methods
#   LLAMA_CPP           a source tree of llama.cpp, for its headers. With it, stock llama.cpp writes files of its own by
#                       the same importance matrix, and measures all files itself
#   LLAMA_CPP_LIBRARIES the directory of its shared libraries; default: build/bin of the source tree
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
MIXTURES=${MIXTURES:-Q2_K Q3_K_M Q4_K_M Q5_K_M}
METHODS=${METHODS:-plain imatrix imatrix+allocation hessian hessian+allocation hessian+sequence\
 hessian+allocation+sequence hessian+fisher hessian+allocation+fisher hessian+allocation+sequence+fisher}
N_CTX=256
[ $# -gt 0 ] || set -- "$ROOT/examples/tiny-stories.gguf" "$ROOT/examples/heldout.txt"
[ $(($# % 2)) = 0 ] || die "usage: bench/quality.sh [MODEL.gguf TEXT_FILE]..."

make_scratch
install_packages "${BUILD_PACKAGES[@]}"
echo "building"
{ build_extension && stage_extension; } >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }

# ---- llama.cpp, if it is there -------------------------------------------------------------------------------------

. "$ROOT/bench/peers/llama_cpp.sh"

# compare_with_peer METHOD MIXTURE FILE: a line of peers.tsv.
compare_with_peer() {
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$(stat -c %s "$3")" \
    "$(peer compare "$FILES/model.gguf" "$3" "$FILES/evaluation.txt" "$N_CTX")" >>"$FILES/peers.tsv"
}

run_peer() {
  local mixture method type
  for mixture in $MIXTURES; do
    type=$(run_psql -At -c "SELECT file_type FROM hartonomous.mixtures() WHERE mixture = '$mixture'")
    # The name of the importance matrix is in the file that is made: the shortest one.
    (cd "$FILES" && peer quantize model.gguf peer.gguf "$type" importance.gguf) >/dev/null
    compare_with_peer llama-quantize "$mixture" "$FILES/peer.gguf"
    for method in $METHODS; do compare_with_peer "$method" "$mixture" "$FILES/$method.$mixture.gguf"; done
  done
}

[ -z "$LLAMA_CPP" ] || compile_peer

# ---- models --------------------------------------------------------------------------------------------------------

start_server >"$SCRATCH/log/server" 2>&1
run_psql() { psql -X -q -v ON_ERROR_STOP=1 -d "$DATABASE" "$@"; }

NUMBER=0
while [ $# -gt 0 ]; do
  NUMBER=$((NUMBER + 1))
  DATABASE=quality$NUMBER FILES=$HARTONOMOUS_TMP/$NUMBER
  echo
  echo "$1, text of $2"
  install -d -m 777 "$FILES"
  install -m 644 "$1" "$FILES/model.gguf"
  install -m 644 "$2" "$FILES/text.txt"
  createdb "$DATABASE"
  run_psql -v dir="$FILES" -v n_ctx="$N_CTX" -v mixtures="$MIXTURES" -v methods="$METHODS" -f "$ROOT/bench/quality.sql"
  if [ -n "$LLAMA_CPP" ]; then
    run_psql -At -c "SELECT evaluation FROM parts" >"$FILES/evaluation.txt"
    run_peer
    run_psql -v dir="$FILES" -f "$ROOT/bench/quality_peers.sql"
  fi
  shift 2
done
