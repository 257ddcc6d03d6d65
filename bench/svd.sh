#!/bin/bash
# Benchmarks of the singular value decomposition: beside those of scikit-learn, SciPy, LAPACK and torch, of the same
# matrices, by the same BLAS, in turns; then in SQL, of JSON and of a model. Peers that are not installed are left out.
#
# Usage: bench/svd.sh [--all] [--model] [ROUNDS], default 5.
#   --all    LAPACK decomposes the largest matrix, too: 15 s each time
#   --model  a model of 32 layers instead of 4
# The machine should be idle: threads of OpenMP wait spinning, and rounds with two take minutes where others work.
# Needs 3 GB of disk in TMPDIR, with --model 6 GB. PYTHON names another python3 than Debian's;
# PEERS_BLAS=pthread gives the peers that build of OpenBLAS instead of the extension's, which is openmp.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"

RANK=64
MATRICES=("4096 4096" "4096 1024" "1024 1024")
THREADS=(1 2)
PYTHON=${PYTHON:-/usr/bin/python3}
PEERS_BLAS=${PEERS_BLAS:-openmp}
ROUNDS=5
ALL=
LAYERS=4
while [ $# -gt 0 ]; do
  case $1 in
    --all) ALL=yes ;;
    --model) LAYERS=32 ;;
    [1-9]*) ROUNDS=$1 ;;
    *) die "usage: bench/svd.sh [--all] [--model] [ROUNDS]" ;;
  esac
  shift
done
[ "$ROUNDS" -ge 2 ] || die "at least two rounds: the tables have medians"

make_scratch
install_packages "${BUILD_PACKAGES[@]}" cmake ninja-build libbenchmark-dev
install_packages python3-numpy python3-scipy python3-sklearn python3-threadpoolctl || echo "going on without"
echo "building"
{
  cmake --preset bench -B "$SCRATCH/bench" && cmake --build "$SCRATCH/bench" --target svd make_model
  build_extension && stage_extension
} >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }

# ---- programs that are kept, and answer a line with a line ---------------------------------------------------------

declare -A ASK ANSWER  # file descriptors, by name

# start NAME COMMAND...: in the background, until its input ends.
start() {
  local name=$1
  shift
  "$@" <"$SCRATCH/$name.in" >"$SCRATCH/$name.out" 2>"$SCRATCH/log/$name" &
}

# Only when all have been started: those after it would inherit the pipes, and their ends would never come.
connect() {
  local descriptor
  exec {descriptor}>"$SCRATCH/$1.in"
  ASK[$1]=$descriptor
  exec {descriptor}<"$SCRATCH/$1.out"
  ANSWER[$1]=$descriptor
}

answer() { IFS= read -r REPLY <&"${ANSWER[$1]}" || die "$1 ended: $(tail -n 5 "$SCRATCH/log/$1")"; }

# ask NAME FIELD...: the answer is in REPLY.
ask() {
  local name=$1 line
  shift
  printf -v line '%s\t' "$@"
  printf '%s\n' "${line%?}" >&"${ASK[$name]}"
  answer "$name"
}

start_all() {
  local count
  start ours "$SCRATCH/bench/svd" serve
  for count in "${THREADS[@]}"; do
    # This one, whichever the system's alternatives prefer.
    start "peers$count" env OPENBLAS_NUM_THREADS="$count" OMP_NUM_THREADS="$count" \
      LD_LIBRARY_PATH="/usr/lib/$(g++ -print-multiarch)/openblas-$PEERS_BLAS" "$PYTHON" bench/svd_peers.py
  done
  wait
}

# ---- rounds --------------------------------------------------------------------------------------------------------

# decompose ROUND ROWS COLUMNS THREADS CONTENDER: a line of the results.
decompose() {
  local round=$1 rows=$2 columns=$3 count=$4 contender=$5 seconds error excess
  local matrix=$SCRATCH/${rows}x$columns.f32 factors=$SCRATCH/factors.f32
  if [ "$contender" = hartonomous ]; then
    ask ours decompose "$matrix" "$rows" "$columns" "$RANK" "$round" "$count"
    IFS=$'\t' read -r seconds error excess _ <<<"$REPLY"
  else
    ask "peers$count" "$contender" "$matrix" "$rows" "$columns" "$RANK" "$round" "$factors"
    seconds=$REPLY
    ask ours measure "$matrix" "$rows" "$columns" "$RANK" "$factors"
    IFS=$'\t' read -r error excess <<<"$REPLY"
  fi
  # Round 0 warms up.
  [ "$round" = 0 ] || printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' \
    "$round" "$rows x $columns" "$count" "$contender" "$seconds" "$error" "$excess" >>"$SCRATCH/svd.tsv"
}

# Every other round goes backwards, so that nobody always follows the same one.
run_round() {
  local round=$1 matrix count contender
  local -a order=("${CONTENDERS[@]}")
  if [ $((round % 2)) = 1 ]; then
    order=()
    for contender in "${CONTENDERS[@]}"; do order=("$contender" "${order[@]}"); done
  fi
  for matrix in "${MATRICES[@]}"; do
    for count in "${THREADS[@]}"; do
      for contender in "${order[@]}"; do
        [ "$matrix $contender" != "4096 4096 LAPACK gesdd" ] || [ -n "$ALL" ] || continue
        # shellcheck disable=SC2086
        decompose "$round" $matrix "$count" "$contender"
      done
    done
  done
}

for matrix in "${MATRICES[@]}"; do
  # shellcheck disable=SC2086
  "$SCRATCH/bench/svd" make "$SCRATCH/${matrix/ /x}.f32" $matrix
done
for name in ours "${THREADS[@]/#/peers}"; do mkfifo "$SCRATCH/$name.in" "$SCRATCH/$name.out"; done
set -m
start_all &
RUNNING=$!
set +m
connect ours
for count in "${THREADS[@]}"; do
  connect "peers$count"
  answer "peers$count"
  sed "s/^/peers of $count: /" "$SCRATCH/log/peers$count"
done
IFS=$'\t' read -ra CONTENDERS <<<"hartonomous${REPLY:+$'\t'$REPLY}"
for round in $(seq 0 "$ROUNDS"); do
  echo "round $round of $ROUNDS"
  run_round "$round"
done
for descriptor in "${ASK[@]}" "${ANSWER[@]}"; do exec {descriptor}>&-; done
wait "$RUNNING"
RUNNING=

# ---- SQL -----------------------------------------------------------------------------------------------------------

SHARED_BUFFERS=1GB start_server >"$SCRATCH/log/server" 2>&1
install -m 644 "$SCRATCH/svd.tsv" "$SCRATCH/1024x1024.f32" "$HARTONOMOUS_TMP"
"$SCRATCH/bench/make_model" "$HARTONOMOUS_TMP/matrices.gguf" F16 4 4096 4096
"$SCRATCH/bench/make_model" "$HARTONOMOUS_TMP/vectors.gguf" F16 4 1 16777216
[ "$LAYERS" = 4 ] || "$SCRATCH/bench/make_model" "$HARTONOMOUS_TMP/model.gguf" F16 "$LAYERS" 4096 4096
[ "$LAYERS" != 4 ] || ln "$HARTONOMOUS_TMP/matrices.gguf" "$HARTONOMOUS_TMP/model.gguf"
psql -X -q -v ON_ERROR_STOP=1 -d postgres -v dir="$HARTONOMOUS_TMP" -v rounds="$ROUNDS" -v rank="$RANK" \
  -f bench/svd.sql
