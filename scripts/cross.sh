#!/bin/bash
# Tests the vector codecs on ARM from a different architecture: compiles them and their unit tests for aarch64 and runs
# the tests under QEMU on four processors, one with NEON only and three with SVE of 128, 256 and 512 bits as well. Each
# runs the tests once for every instruction set that Highway supports on it. Arguments are passed to GoogleTest, for
# example --gtest_filter='VectorCodec.*'.
#
# Not a stage of scripts/test.sh, because emulated vectors take minutes. The compiler and QEMU are Debian packages;
# Highway for arm64 is downloaded into the temporary directory with package lists of its own, so that the architectures
# of the system do not change.
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
  # The name of the library's package differs between releases.
  mapfile -t libraries < <(apt-cache "${apt[@]:2}" depends libhwy-dev |
    sed -n 's/^ *Depends: \(libhwy[0-9].*\)/\1/p')
  (cd "$state/packages" && "${apt[@]}" download libhwy-dev "${libraries[@]}") || return
  for package in "$state"/packages/*.deb; do dpkg-deb -x "$package" "$SCRATCH/arm64" || return; done
}

# GoogleTest's main() with a line that prints what the tests' for_each_target() iterates over.
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

# run_one PROCESSOR ARGUMENT...: runs the tests there; prints their last lines, or all of their output if they fail.
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
# In its own process group, which clean_up() can terminate.
set -m
(printf '%s\n' "${PROCESSORS[@]}" | xargs -I {} -P "$JOBS" bash -c 'run_one "$@"' run_one {} "$@") &
RUNNING=$!
set +m
wait "$RUNNING"
status=$?
RUNNING=
exit $status
