#!/bin/bash
# How much was tried to break it (SECURITY.md says what must hold), in numbers:
#
#   scripts/trust.sh            runs the tests that try: faults, hostile calls and stores, rights, settings, fuzzers
#   scripts/trust.sh LOG...     runs nothing, and counts what scripts/test.sh, scripts/platforms.sh and bench/load.sh
#                               have printed into these files
#
# Each of these tests fails by itself if something does not hold; here their numbers are added up. Environment: as
# scripts/test.sh, HARTONOMOUS_FUZZ_SECONDS among it; HARTONOMOUS_KILLS (2) is the number of kills of each job,
# HARTONOMOUS_HOSTILE_CALLS (1) that of hostile values of each argument.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT" || exit 1

SUITES=(hostile_calls hostile_store hostile_values spoilt_rows import_hostile rights rights_matrix row_security
  replication)
TAP=(crash kill cancel failure settings privileges publication standby dump_restore deadlock)

# The lines that tests print for this script are "# what: number things, number things"; those of the others are known.
count() {
  awk '
    function add(what, n) { if (!(what in sum)) order[++known] = what; sum[what] += n }
    sub(/^.*# faults: [^:]*: /, "") { add("faults injected", $1); add("faults that lost something", $3); next }
    /# hostile calls as operator: / { sub(/^.*operator: /, ""); add("hostile calls by operators", $1); next }
    /# hostile calls: / { sub(/^.*calls: /, ""); add("hostile calls", $1); add("functions called so", $3); next }
    /# spoilt (columns|values): / { sub(/^.*: /, ""); add("calls on a spoilt store", $1); next }
    /# rights: / { sub(/^.*rights: /, ""); add("roles x functions", $1); add("roles x privileges on tables", $5); next }
    /# settings: / { sub(/^.*settings: /, ""); add("settings", $1); add("settings x calls", $3); next }
    /fuzzers: [0-9]+ executions in / { sub(/^.*fuzzers: /, ""); add("fuzz executions", $1); add("fuzzers", $4); next }
    /^platform +stage +passed +failed/ { table = 1; next }
    table && NF == 4 && $3 ~ /^[0-9]+$/ {
      if (!(($1) in seen)) { seen[$1] = 1; add("platforms", 1) }
      add("tests passed on platforms", $3)
      if ($4 != 0) add("tests failed on platforms", $4 == "stopped" ? 1 : $4)
      next
    }
    { table = 0 }
    /sessions: [0-9]+; seconds: / { match($0, /sessions: [0-9]+/); add("sessions of load", substr($0, RSTART + 10, RLENGTH - 10)) }
    END { for (i = 1; i <= known; ++i) printf "%-36s %12d\n", order[i], sum[order[i]] }' "$@"
}

run() {
  local status=0 log=$SCRATCH/log/trust
  scripts/test.sh pgtap "${SUITES[@]/#/test/pgtap/}" 2>&1 | tee -a "$log" || status=1
  scripts/test.sh tap "${TAP[@]/#/test/tap/}" 2>&1 | tee -a "$log" || status=1
  scripts/test.sh fuzz 2>&1 | tee -a "$log" || status=1
  echo
  count "$log"
  [ $status = 0 ] && echo "trust: all held" || echo "trust: FAILED"
  return $status
}

case ${1:-} in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" ;;
  '')
    SUITES=("${SUITES[@]/%/.sql}")
    TAP=("${TAP[@]/%/.t}")
    make_scratch
    run
    ;;
  *) count "$@" ;;
esac
exit
