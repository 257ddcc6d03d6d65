#!/bin/bash
# Sixteen sessions at once, on the example model: readers of a model that is being compressed and of one that is not,
# compressors on different models, a compress job, importers, statements of users on atoms, pg_dump, and checks. Prints
# the latencies of each kind of statement, what failed with which SQLSTATE, and the server's memory.
#
# Usage: bench/load.sh [SECONDS]    default: 180
#
# Fails if a statement fails with anything that the manual does not say of it, 40P01 included, if a model or the store has
# a fault at the end, or if the memory of all processes together grew: the most of the last third may be half as much
# again as that of the first. Of deadlocks that PostgreSQL found, the stage that met one has tried again.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"
DURATION=${1:-180}

# 55P03: a lock was not to be had in time, for example while everything is dumped; 40001: the model was rewritten after
# the snapshot was taken; 42704: deleted meanwhile; 42710: not deleted, because of 55P03; 55000: nothing to roll back to.
DOCUMENTED='55P03|40001|42704|42710|55000'

# What a session of each kind does, again and again. @ names the statement behind it in the report.
session() {
  local n=$2 a=model_$2
  case $1 in
    reader) echo "@perplexity
      SELECT hartonomous.perplexity('$a', :'corpus', 32);
      @generate_text
      SELECT hartonomous.generate_text('$a', 'Once', 8);
      @nearest_atoms
      SELECT count(*) FROM hartonomous.nearest_atoms('$a', 'POINT Z(50 50 0)'::geometry, 5);
      @export
      SELECT length(hartonomous.export_gguf('$a'));
      @spatial query
      SELECT count(*) FROM hartonomous.tensor_atoms
       WHERE model_id = hartonomous.model_id('$a') AND weights_geometry &&& 'LINESTRING Z(40 40 -9, 60 60 9)';" ;;
    compressor) echo "@prune
      CALL hartonomous.prune_by_importance('$a', keep_ratio => 0.98);
      @quantize
      CALL hartonomous.quantize_model('$a', 'Q8_0', requantize => true);
      @svd
      CALL hartonomous.svd_compress_model('$a', rank => 4, layer_pattern => 'blk.0.attn_q%');
      @rollback
      SELECT hartonomous.rollback_model('$a');
      @retention
      SELECT hartonomous.apply_retention('$a', 2, '0 s');" ;;
    job) echo "@compress_model
      CALL hartonomous.compress_model('$a', max_degradation => 0.5, n_ctx => 64,
        stages => '[{\"stage\": \"prune\", \"keep_ratio\": 0.9}, {\"stage\": \"quantize\", \"format\": \"Q4_0\"}]');
      @rollback
      SELECT hartonomous.rollback_model('$a', (SELECT min(revision_id) FROM hartonomous.model_revisions
        WHERE model_id = hartonomous.model_id('$a') AND state IN ('live', 'backup')));
      @retention
      SELECT hartonomous.apply_retention('$a', 2, '0 s');" ;;
    writer) echo "@UPDATE
      UPDATE hartonomous.tensor_atoms SET x = x + 0.001, y = y WHERE model_id = hartonomous.model_id('$a')
         AND atom_sequence = 1;
      @UPDATE in a transaction
      BEGIN;
      UPDATE hartonomous.tensor_atoms SET importance_score = importance_score * 1.0001
       WHERE model_id = hartonomous.model_id('$a') AND atom_sequence = 2;
      COMMIT;" ;;
    importer) echo "@import
      SELECT hartonomous.import_gguf('$HARTONOMOUS_MODEL', 'imported_$n');
      @student
      SELECT hartonomous.extract_by_importance('imported_$n', 0.5, 'student_$n');
      @delete
      SELECT hartonomous.delete_model('student_$n');
      SELECT hartonomous.delete_model('imported_$n');" ;;
    watcher) echo "@storage_report
      SELECT count(*) FROM hartonomous.storage_report('$a');
      @job_progress
      SELECT count(*) FROM hartonomous.job_progress();
      @check_model
      SELECT count(*) FROM hartonomous.check_model('$a');" ;;
  esac
}

# work KIND NUMBER: the kind's statements, each batch in a session of its own, until the time is over.
work() {
  local log=$SCRATCH/load/$1-$2 script=$SCRATCH/load/$1-$2.sql
  session "$1" "$2" | sed 's/^ *@\(.*\)/\\echo @\1/' >"$script"
  for _ in 1 2 3 4; do cat "$script"; done >"$script.batch"
  while [ "$EPOCHSECONDS" -lt "$END" ]; do
    psql -X -d load -Atq -v VERBOSITY=sqlstate -v corpus="$TEXT" -c 'SET client_min_messages = error' -c '\timing on' \
      -f "$script.batch" >>"$log" 2>&1 || true
  done
}

dump() {
  local begin
  while [ "$EPOCHSECONDS" -lt "$END" ]; do
    begin=$EPOCHREALTIME
    echo '@pg_dump' >>"$SCRATCH/load/dump"
    pg_dump -d load -f /dev/null >>"$SCRATCH/load/dump" 2>&1 || true
    awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print "Time: " 1000 * (b - a) " ms" }' >>"$SCRATCH/load/dump"
    sleep 5  # stages swap while nobody reads
  done
}

# The memory of the server in KiB, shared pages counted once, every few seconds.
watch_memory() {
  local postmaster
  postmaster=$(head -n 1 "$SCRATCH/data/postmaster.pid")
  while [ "$EPOCHSECONDS" -lt "$END" ]; do
    for process in "$postmaster" $(pgrep -P "$postmaster"); do
      cat "/proc/$process/smaps_rollup" 2>/dev/null || true
    done | awk '/^Pss:/ { sum += $2 } END { print sum }' >>"$SCRATCH/load/memory"
    sleep 3
  done
}

report() {
  echo
  printf '%-20s %7s %9s %9s %9s %9s\n' statement calls 'p50 ms' 'p90 ms' 'p99 ms' 'most ms'
  cat "$SCRATCH"/load/{reader,compressor,job,writer,importer,watcher}-*[0-9] "$SCRATCH/load/dump" | awk '
    /^@/ { name = substr($0, 2) }
    /^Time: / { print name "\t" $2 }' | sort -t $'\t' -k 1,1 -k 2,2n | awk -F '\t' '
    function show(  i) {
      if (n) printf "%-20s %7d %9.1f %9.1f %9.1f %9.1f\n", name, n, at(0.5), at(0.9), at(0.99), t[n]
      n = 0
    }
    function at(q) { i = int(q * n + 0.999999); return t[i < 1 ? 1 : i] }
    $1 != name { show(); name = $1 }
    { t[++n] = $2 }
    END { show() }'
  echo
  echo "errors:"
  cat "$SCRATCH"/load/{reader,compressor,job,writer,importer,watcher}-*[0-9] | awk '
    /^@/ { name = substr($0, 2) }
    /ERROR: / { sub(/.*ERROR: */, ""); count[name " " $0]++ }
    END { for (k in count) print count[k], k; if (!length(count)) print "none" }' | sort -k 2 | tee "$SCRATCH/load/errors"
  grep -H . "$SCRATCH/load/dump" | grep -v '@pg_dump\|Time: ' | sed 's/^[^:]*:/pg_dump: /' || true
}

query() { psql -X -d load -At -c "$1"; }

# The models and sets that the sessions have.
prepare() {
  createdb load
  psql -X -q -d load -v ON_ERROR_STOP=1 -c 'SET client_min_messages = error' \
    -c 'CREATE EXTENSION hartonomous CASCADE' -c 'SELECT hartonomous.create_store()' \
    -c "SELECT hartonomous.import_gguf('$HARTONOMOUS_MODEL', 'model_' || n) FROM generate_series(1, 6) n" \
    -c "SELECT hartonomous.add_validation_set('validation', left(pg_read_file('$HARTONOMOUS_EXAMPLES/heldout.txt'), 4000))"
}

make_scratch
install_packages "${BUILD_PACKAGES[@]}"
step "building" build_extension
step "installing" stage_extension
step "server" start_server
step "models" prepare
TEXT=$(head -c 1000 examples/heldout.txt)
mkdir "$SCRATCH/load"
END=$((EPOCHSECONDS + DURATION))
# Readers of 1 to 4, of which 2, 3 and 4 are compressed and 5 is written to meanwhile.
WORKERS=(reader:1 reader:2 reader:3 reader:4 reader:5 compressor:2 compressor:3 compressor:6 job:4 writer:1 writer:5
  importer:1 importer:2 watcher:1 watcher:4)
for worker in "${WORKERS[@]}"; do work "${worker%:*}" "${worker#*:}" & done
dump &
watch_memory &
wait
report

STATUS=0
fail() {
  echo "FAILED: $*"
  STATUS=1
}
if grep -Ev " ($DOCUMENTED)\$|^none\$" "$SCRATCH/load/errors"; then fail "errors that are not documented"; fi
deadlocks=$(query "SELECT deadlocks FROM pg_stat_database WHERE datname = 'load'")
# Who waited for whom.
[ "$deadlocks" = 0 ] || grep -A 14 'deadlock detected' "$SCRATCH/server/postgresql.log" || true
faults=$(query "SELECT m.model_name, c FROM hartonomous.models m, hartonomous.check_model(m.model_id) c
  UNION ALL SELECT 'store', c FROM hartonomous.check_store() c" 2>&1)
[ -z "$faults" ] || fail "faults: $faults"
if grep -n 'PANIC: \|TRAP: \|terminated by signal' "$SCRATCH/server/postgresql.log"; then fail "a crash"; fi
awk '{ m[NR] = $1 } END {
  for (i = 1; i <= NR; ++i) { if (i <= NR / 3 && m[i] > a) a = m[i]; if (i > NR * 2 / 3 && m[i] > b) b = m[i] }
  printf "\nmemory of the server: at most %d MiB in the first third, %d MiB in the last\n", a / 1024, b / 1024
  exit b > 1.5 * a }' "$SCRATCH/load/memory" || fail "the memory grew"
echo "deadlocks that a stage resolved: $deadlocks; sessions: $((${#WORKERS[@]} + 1)); seconds: $DURATION"
[ $STATUS = 0 ] && echo "load: passed"
exit $STATUS
