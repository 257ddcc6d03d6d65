#!/bin/bash
# The vector codecs on ARM, from a machine that is none: compiles what they consist of and their unit tests for aarch64
# and runs these under QEMU on four processors, which have NEON alone or SVE of 128, 256 and 512 bits besides. Each
# runs once for every instruction set Highway knows on it. Arguments go to GoogleTest, for example
# --gtest_filter='VectorCodec.*'.
#
# No part of scripts/test.sh: emulated vectors take minutes. The compiler and QEMU are Debian's packages; Highway for
# arm64 is fetched into the temporary directory, with package lists of its own: the system's architectures stay.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT" || exit 1

PACKAGES=(g++-aarch64-linux-gnu googletest qemu-user)
TOPICS=(simd codec format statistics bytes hilbert coordinates)
TESTS=(vector_codec codec statistics half format hilbert coordinates)
PROCESSORS=(cortex-a53 "max,sve-max-vq=1" "max,sve-max-vq=2" "max,sve-max-vq=4")
GOOGLETEST=/usr/src/googletest/googletest

fetch_highway() {
  local state=$SCRATCH/apt package libraries
  mkdir -p "$state"/{lists,archives}/partial "$state/packages"
  apt=(apt-get -q -o APT::Architecture=arm64 -o Dir::State="$state" -o Dir::State::lists="$state/lists"
    -o Dir::State::status=/dev/null -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives")
  "${apt[@]}" update || return
  # The library's package has another name in each release.
  mapfile -t libraries < <(apt-cache "${apt[@]:2}" depends libhwy-dev |
    sed -n 's/^ *Depends: \(libhwy[0-9].*\)/\1/p')
  (cd "$state/packages" && "${apt[@]}" download libhwy-dev "${libraries[@]}") || return
  for package in "$state"/packages/*.deb; do dpkg-deb -x "$package" "$SCRATCH/arm64" || return; done
}

# GoogleTest's main() with a line that says what for_each_target() of the tests goes through.
write_main() {
  cat >"$SCRATCH/main.cpp" <<'CPP'
#include <gtest/gtest.h>

#include <cstdio>

#include "hartonomous/simd.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::printf("instruction sets:");
  for (const std::int64_t target : hartonomous::simd_targets()) {
    const hartonomous::forced_simd_target forced(target);
    std::printf(" %s", hartonomous::simd_target());
  }
  std::printf("\n");
  return RUN_ALL_TESTS();
}
CPP
}

# The Makefile's flags.
compile_one() {
  aarch64-linux-gnu-g++ -std=c++17 -O3 -Wall -Wextra -Werror -ffp-contract=off -fno-math-errno -Iinclude -Isrc/core \
    -isystem "$SCRATCH/arm64/usr/include" -isystem "$GOOGLETEST/include" -I"$GOOGLETEST" \
    -DHARTONOMOUS_TEST_DIR="\"$ROOT/test/unit\"" -c "$1" -o "$SCRATCH/objects/${1//\//_}.o"
}

compile() {
  mkdir "$SCRATCH/objects" && write_main || return
  printf '%s\0' "${TOPICS[@]/#/src/core/}" | xargs -0 -I {} find {} -name '*.cpp' -print0 >"$SCRATCH/sources"
  printf '%s\0' "${TESTS[@]/%/_test.cpp}" | sed -z 's|^|test/unit/|' >>"$SCRATCH/sources"
  printf '%s\0' "$GOOGLETEST/src/gtest-all.cc" "$SCRATCH/main.cpp" >>"$SCRATCH/sources"
  xargs -0 -n 1 -P "$JOBS" bash -c 'compile_one "$1"' compile_one <"$SCRATCH/sources" || return
  aarch64-linux-gnu-g++ "$SCRATCH"/objects/*.o -L"$SCRATCH/arm64/usr/lib/aarch64-linux-gnu" -lhwy -pthread \
    -o "$SCRATCH/unit_tests"
}

# run_one PROCESSOR ARGUMENT...: the tests there; their closing lines, or all they said when they fail.
run_one() {
  local processor=$1 log=$SCRATCH/log/$1 status=0
  shift
  qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH="$SCRATCH/arm64/usr/lib/aarch64-linux-gnu" \
    -cpu "$processor" "$SCRATCH/unit_tests" --gtest_brief=1 "$@" >"$log" 2>&1 </dev/null || status=$?
  [ $status = 0 ] || echo "exit status $status" >>"$log"
  sed "s/^/$processor: /" "$log"
  return $status
}

make_scratch
export SCRATCH GOOGLETEST ROOT
export -f compile_one run_one
step "packages" install_packages "${PACKAGES[@]}"
step "Highway for arm64" fetch_highway
step "compile" compile
echo
# In a process group of its own, which clean_up() can end.
set -m
(printf '%s\n' "${PROCESSORS[@]}" | xargs -I {} -P "$JOBS" bash -c 'run_one "$@"' run_one {} "$@") &
RUNNING=$!
set +m
wait "$RUNNING"
status=$?
RUNNING=
exit $status
