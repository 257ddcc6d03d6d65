#!/bin/bash
# Runs all tests, or the stages named as arguments, and ends with a summary:
#
#   scripts/test.sh                     everything, in the order below
#   scripts/test.sh unit pgtap          these only (and what they need: packages, build, server)
#   scripts/test.sh pgtap FILE...       files of that one stage (also tap, fuzz; for regress and isolation: names)
#
#   packages   installs the Debian packages that are missing
#   format     SQL is laid out as tools/check_sql.py wants it (with --fix it does most itself), C++ as clang-format 14
#              does (other versions lay out otherwise: left to those who have it), and the extension's version is the
#              same wherever it is written
#   build      the extension compiles without warnings, with PGXS and all flags it should, and installs
#   unit       GoogleTest on the core
#   sanitize   the same under AddressSanitizer and UndefinedBehaviorSanitizer
#   lint       clang-tidy and cppcheck on the core
#   fuzz       each fuzzer for a while, from its corpus; prints the executions
#   boundary   errors between C++ and PostgreSQL, cancel latency, memory
#   regress    pg_regress: the install surface
#   pgtap      pgTAP: behaviour, each suite in a database of its own
#   isolation  sessions side by side
#   tap        tests that need a whole server: dump, crash, upgrade, privileges
#   log        the servers' logs show no crash but those made on purpose, by kill -9
#
# "sql" stands for regress, pgtap and isolation; "core" for unit, sanitize, lint and fuzz.
#
# Environment, besides what lib.sh reads: HARTONOMOUS_FUZZ_SECONDS (45) is the time for each fuzzer.
#
# What tests find in theirs: HARTONOMOUS_EXAMPLES and HARTONOMOUS_MODEL, examples/ and its model where the server can
# read them; HARTONOMOUS_STAGE, the installed files. Those of pgtap, regress and isolation share a server: PGHOST,
# PGPORT, PGUSER (a superuser); BINDIR, its programs; HARTONOMOUS_TMP, a directory everyone may write to. Those of tap
# and boundary run as the server's user, with PostgreSQL's Perl modules, and make servers of their own;
# HARTONOMOUS_BOUNDARY is the module of test/boundary.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT" || exit 1

# For builds with make; cmake_configure() passes the same to CMake.
export HARTONOMOUS_WERROR=1

STAGES=(packages format build unit sanitize lint fuzz boundary regress pgtap isolation tap log)
SKIP=77
FUZZ_SECONDS=${HARTONOMOUS_FUZZ_SECONDS:-45}

# ---- the stages; each runs in a subshell under set -e ------------------------------------------------------------

stage_packages() { install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"; }

stage_format() {
  versions_agree
  python3 tools/check_sql.py
  python3 tools/structure.py --check
  if [ "$CLANG_MAJOR" != 14 ]; then
    echo "layout not checked: it is that of clang-format 14, here is $CLANG_MAJOR"
    return 0
  fi
  find include src test bench -name '*.[ch]pp' -print0 | xargs -0 clang-format-14 --dry-run -Werror
}

# The version in the control file must also be in META.json, twice, and above the latest changes.
versions_agree() {
  local version found
  version=$(sed -n "s/^default_version = '\(.*\)'$/\1/p" hartonomous.control)
  found=$(
    # Indented by two and six spaces: the versions of the release and the extension, not of META.json's own format.
    sed -n 's/^\(  \|      \)"version": "\(.*\)",\{0,1\}$/META.json \2/p' META.json
    sed -n 's/^## \([^ ]*\).*/CHANGELOG.md \1/p' CHANGELOG.md | head -n 1
  )
  [ "$found" = "$(printf '%s %s\n' META.json "$version" META.json "$version" CHANGELOG.md "$version")" ] || {
    echo "hartonomous.control has version $version, but others have:"
    echo "$found"
    return 1
  }
}

# Joined by &&, because need_build() calls run_stage() where set -e has no effect.
stage_build() { build_extension && stage_extension && flags_reach_compiler; }

# PostgreSQL's flags and the user's must be kept, although the Makefile has its own.
flags_reach_compiler() {
  local command flag
  command=$(make -n -B PG_CONFIG="$PG_CONFIG" CXXFLAGS=-DUSER_CXX CPPFLAGS=-DUSER_CPP src/fn/locks.o)
  for flag in -fno-strict-aliasing -fwrapv -D_GNU_SOURCE -O3 -DUSER_CXX -DUSER_CPP; do
    grep -q -e " $flag " <<<"$command" || { echo "$flag does not reach the compiler: $command"; return 1; }
  done
}

cmake_configure() { cmake --preset "$1" -DPG_CONFIG="$PG_CONFIG" -DHARTONOMOUS_WERROR=ON "${@:2}"; }

cmake_build() {
  cmake_configure "$1"
  shift
  cmake --build --preset "$@" -j "$JOBS"
}

stage_unit() {
  # The core as it is installed: the objects that make has compiled.
  cmake_configure release -DHARTONOMOUS_MADE_CORE=ON
  cmake --build --preset release -j "$JOBS" --target unit_tests
  ctest --test-dir build/release -j "$JOBS" --output-on-failure
}

stage_sanitize() {
  cmake_build sanitize sanitize
  ctest --test-dir build/sanitize -j "$JOBS" --output-on-failure
}

stage_lint() {
  # How each file is compiled is all that is needed of this.
  cmake_configure debug
  # Each file in its own process; starting with the slow ones (Eigen, JSON) would be faster, but the list is short.
  # clang-tidy prints to stderr, for each file, how many warnings of system headers it suppressed, which is of no use.
  # Vector code is read once, not once for each instruction set it is compiled for.
  printf '%s\0' src/core/*/*.cpp | xargs -0 -n 1 -P "$JOBS" "clang-tidy-$CLANG_MAJOR" -p build/debug --quiet \
    --extra-arg=-DHWY_COMPILE_ONLY_STATIC \
    2> >(grep -v ' warnings\? generated\.$' >&2)
  # What is copied although it is large, clang-tidy finds, which knows how large a thing is.
  cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c++17 --language=c++ -j "$JOBS" \
    --enable=warning,performance,portability --suppress=missingIncludeSystem --suppress=passedByValue \
    -I include -I src/core src/core
  echo "clang-tidy and cppcheck: no findings"
}

fuzz_one() {
  local name=$1 work=$SCRATCH/fuzz/$1
  mkdir -p "$work/corpus"
  [ ! -d "test/fuzz/corpus/${name%_fuzz}" ] || cp -r "test/fuzz/corpus/${name%_fuzz}/." "$work/corpus"
  # A directory that outlives this script, for the input that crashed the fuzzer.
  mkdir -p build/fuzz/artifacts
  "build/fuzz/$name" "$work/corpus" -max_total_time="$FUZZ_SECONDS" -timeout=20 -rss_limit_mb=2048 \
    -artifact_prefix="build/fuzz/artifacts/$name-" >"$work/log" 2>&1 || {
    tail -n 60 "$work/log"
    echo "$name FAILED; its input is in build/fuzz/artifacts"
    return 1
  }
  echo "$name: $(grep -o 'Done.*' "$work/log")"
}

stage_fuzz() {
  local sources=("${@:-test/fuzz/*_fuzz.cpp}") source status=0
  cmake_configure fuzz -DCMAKE_CXX_COMPILER="clang++-$CLANG_MAJOR"
  cmake --build --preset fuzz -j "$JOBS"
  export SCRATCH FUZZ_SECONDS
  export -f fuzz_one
  for source in ${sources[*]}; do basename "$source" .cpp; done |
    xargs -n 1 -P "$JOBS" bash -c 'fuzz_one "$1"' fuzz_one || status=1
  cat "$SCRATCH"/fuzz/*/log | awk '/^Done /{ runs += $2; ++n } END { print "fuzzers: " runs " executions in " n }'
  return $status
}

# Runs TAP tests as the server's user, with what PostgreSQL's modules need: the programs, the settings by which a server
# finds the extension, and a directory for data and logs.
run_prove() {
  local modules tests=("$@") source=$ROOT
  modules=$(dirname "$("$PG_CONFIG" --pgxs)")/../test
  install -d -m 755 "$SCRATCH/tap"
  staged_settings >"$SCRATCH/tap.conf"
  copy_examples
  if [ "$(id -u)" = 0 ]; then
    chown postgres: "$SCRATCH/tap"
    as_server test -r "$ROOT/test/tap/docs.t" || { copy_source && source=$SCRATCH/source; }
  fi
  export TESTDIR=$SCRATCH/tap TESTDATADIR=$SCRATCH/tap/tmp_check TESTLOGDIR=$SCRATCH/tap/tmp_check/log
  export TEMP_CONFIG=$SCRATCH/tap.conf PG_REGRESS=$modules/regress/pg_regress PG_TEST_TIMEOUT_DEFAULT=600
  export PATH=$BINDIR:$PATH
  cd "$SCRATCH/tap"
  as_server prove --norc --timer -j "$JOBS" -I "$modules/perl" "${tests[@]/#/$source/}" </dev/null
}

# A copy of the source tree that the server's user can read.
copy_source() {
  mkdir "$SCRATCH/source"
  tar -C "$ROOT" -c --exclude=./.git --exclude='./build*' --exclude='*.o' . | tar -C "$SCRATCH/source" -x
  chmod -R a+rX "$SCRATCH/source"
}

stage_boundary() {
  cmake_configure release -DHARTONOMOUS_MADE_CORE=ON
  cmake --build --preset release -j "$JOBS" --target boundary_test
  install -m 755 build/release/boundary_test.so "$SCRATCH/"
  export HARTONOMOUS_BOUNDARY=$SCRATCH/boundary_test.so
  run_prove test/tap/boundary.t
}

stage_regress() {
  local status=0
  compgen -G 'test/sql/*.sql' >/dev/null || return $SKIP
  make installcheck ISOLATION= ${1:+REGRESS="$*"} PG_CONFIG="$PG_CONFIG" || status=$?
  [ $status = 0 ] || cat build-regress/regression.diffs
  return $status
}

stage_isolation() {
  local status=0
  compgen -G 'test/isolation/*.spec' >/dev/null || return $SKIP
  make installcheck REGRESS= ${1:+ISOLATION="$*"} PG_CONFIG="$PG_CONFIG" || status=$?
  [ $status = 0 ] || cat build-regress/isolation/regression.diffs
  return $status
}

stage_pgtap() {
  [ $# -gt 0 ] || set -- test/pgtap/*.sql
  local file
  for file in "$@"; do
    [ -e "$file" ] || { echo "there is no $file"; return 1; }
  done
  "$BINDIR/psql" -X -d postgres -v ON_ERROR_STOP=1 -c 'DROP DATABASE IF EXISTS suite' -c 'CREATE DATABASE suite'
  "$BINDIR/psql" -X -d suite -v ON_ERROR_STOP=1 \
    -c 'CREATE EXTENSION hartonomous CASCADE' -c 'CREATE EXTENSION pgtap'
  export FRESH_TEMPLATE=suite
  pg_prove --norc --comments --timer -j "$JOBS" --psql-bin scripts/fresh_psql.sh "$@" </dev/null
}

stage_tap() {
  local file files=()
  [ $# -gt 0 ] || set -- test/tap/*.t test/tap/*.sh
  for file in "$@"; do
    # boundary.t has a stage of its own.
    [ ! -e "$file" ] || [[ $file == */boundary.t ]] || files+=("$file")
  done
  [ ${#files[@]} -gt 0 ] || return $SKIP
  run_prove "${files[@]}"
}

stage_log() {
  local logs=()
  [ ! -e "$SCRATCH/server" ] || logs+=("$SCRATCH/server/postgresql.log")
  [ ! -e "$SCRATCH/tap" ] || logs+=("$SCRATCH"/tap/tmp_check/log/*.log)
  [ ${#logs[@]} -gt 0 ] || return $SKIP
  if grep -H -B 5 'PANIC: \|TRAP: \|terminated by signal [^9]\|terminated by signal 9[0-9]' "${logs[@]}"; then
    return 1
  fi
  echo "server logs: no crash in ${#logs[@]}"
}

# ---- running them ------------------------------------------------------------------------------------------------

# The lines of a stage's output that are worth showing if it passes: the summaries of the test runners.
CLOSING='^100% tests passed|^All tests successful|^Files=|^Result: | All [0-9]+ tests passed|^[a-z0-9_]+_fuzz: '
CLOSING+='|^layout not checked|^clang-tidy and|^installing: |^server logs: |^ok  *# skip|^fuzzers: '
CLOSING+='|^# (cancel|resident|kill|hostile calls|spoilt |faults: |settings: |rights: )'

FAILED=()
BEGUN=$EPOCHREALTIME

seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# How tools report errors. These lines are shown first, with what follows them, because the end of a log may be far
# away.
FINDING='Failed test |: (fatal )?error: |psql:.*(ERROR|FATAL): |: Failure$|AddressSanitizer: |: runtime error: '

# The names of the failed tests, as prove, ctest, pg_regress and fuzz_one list them.
failed_tests() {
  sed -nE -e 's/^([^ ]*\.(t|sql)) +\(Wstat: .*/\1/p' \
    -e 's/^\t *[0-9]+ - (.*) \((Failed|Timeout|SEGFAULT|.*[Aa]bort.*)\)$/\1/p' \
    -e 's/^test ([^ ]+) +\.\.\. FAILED.*/\1/p' -e 's/^not ok [0-9]+ +[-+] ([^ ]+) .*/\1/p' \
    -e 's/^([a-z0-9_]+_fuzz) FAILED.*/\1/p' "$1" | sort -u
}

# Why a stage failed, in few lines for the end of the output, which may be all of it that somebody sees.
closing_words() {
  failed_tests "$1"
  grep -h -m 10 -E "$FINDING" "$1" || tail -n 5 "$1"
}

# report NAME STATUS BEGIN: prints the line of the stage.
report() {
  local word=ok log=$SCRATCH/log/$1
  case $2 in
    0) ;;
    "$SKIP") word="none" ;;
    *) word=FAILED ;;
  esac
  printf '%-10s %-7s %7s s\n' "$1" "$word" "$(seconds_since "$3")"
  case $word in
    ok) grep -E "$CLOSING" "$log" || true ;;
    FAILED)
      FAILED+=("$1")
      grep -h -A 6 -E "$FINDING" "$log" | head -n 60 || true
      tail -n "${HARTONOMOUS_TAIL:-80}" "$log"
      ;;
  esac
}

run_stage() {
  local name=$1 begin=$EPOCHREALTIME status
  shift
  # In its own process group, which clean_up() terminates if this script is told to stop. Not after if, && or ||, which
  # would disable set -e in the subshell.
  set -m
  (
    set -e
    "stage_$name" "$@"
  ) >"$SCRATCH/log/$name" 2>&1 </dev/null &
  RUNNING=$!
  set +m
  wait "$RUNNING"
  status=$?
  RUNNING=
  report "$name" $status "$begin"
  [ $status = 0 ] || [ $status = $SKIP ]
}

# What a stage requires, done only once.
BUILT=
need_build() {
  [ -z "$BUILT" ] || { [ "$BUILT" = yes ] && return 0 || return 1; }
  BUILT=no
  run_stage build || return 1
  BUILT=yes
  BINDIR=$("$PG_CONFIG" --bindir)
  export BINDIR HARTONOMOUS_STAGE=$SCRATCH/stage
}

SERVER=
need_server() {
  local begin=$EPOCHREALTIME status=0
  [ -z "$SERVER" ] || { [ "$SERVER" = yes ] && return 0 || return 1; }
  SERVER=no
  need_build || return 1
  begin=$EPOCHREALTIME
  start_server >"$SCRATCH/log/server" 2>&1 || status=1
  report server $status "$begin"
  [ $status = 0 ] || return 1
  SERVER=yes
}

run_wanted() {
  local name=$1
  shift
  case $name in
    build) need_build ;;
    unit | boundary | tap)
      if need_build; then
        run_stage "$name" "$@"
      else
        printf '%-10s not run: no build\n' "$name"
        FAILED+=("$name")
      fi
      ;;
    regress | pgtap | isolation)
      if need_server; then
        run_stage "$name" "$@"
      else
        printf '%-10s not run: no server\n' "$name"
        FAILED+=("$name")
      fi
      ;;
    log) [ -z "$BUILT" ] || run_stage log ;;
    *) run_stage "$name" "$@" ;;
  esac
}

# Logs are kept after the scratch directory is removed only if something failed.
keep_logs() {
  rm -rf build/test-logs
  mkdir -p build/test-logs
  cp "$SCRATCH"/log/* build/test-logs/
  [ ! -e "$SCRATCH/server/postgresql.log" ] || cp "$SCRATCH/server/postgresql.log" build/test-logs/
  cp "$SCRATCH"/tap/tmp_check/log/* build/test-logs/ 2>/dev/null || true
  echo "logs: build/test-logs"
}

usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit "$1"
}

is_stage() { [[ " ${STAGES[*]} " == *" $1 "* ]]; }

# The arguments: stages, then optionally what a single stage should run.
parse_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help) usage 0 ;;
      sql) WANTED+=(regress pgtap isolation) ;;
      core) WANTED+=(unit sanitize lint fuzz) ;;
      *) if is_stage "$1"; then WANTED+=("$1"); else break; fi ;;
    esac
    shift
  done
  REST=("$@")
  [ $# = 0 ] || [ ${#WANTED[@]} = 1 ] || usage 2 >&2
}

# A function, so that bash has read the whole file before it runs anything: the file may be edited meanwhile.
main() {
  local name
  WANTED=()
  parse_arguments "$@"
  [ ${#WANTED[@]} -gt 0 ] || WANTED=("${STAGES[@]}")

  make_scratch
  run_stage packages || exit 1
  for name in "${WANTED[@]}"; do
    case $name in
      packages | log) ;;
      *) run_wanted "$name" ${REST[@]+"${REST[@]}"} ;;
    esac
  done
  run_wanted log

  if [ ${#FAILED[@]} -gt 0 ]; then
    keep_logs
    for name in "${FAILED[@]}"; do
      [ ! -e "$SCRATCH/log/$name" ] || closing_words "$SCRATCH/log/$name" | sed "s/^/$name: /"
    done
    echo "FAILED: ${FAILED[*]} ($(seconds_since "$BEGUN") s)"
    exit 1
  fi
  echo "all passed: ${WANTED[*]} ($(seconds_since "$BEGUN") s)"
}

main "$@"
exit
