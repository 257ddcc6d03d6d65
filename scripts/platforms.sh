#!/bin/bash
# Runs scripts/test.sh on other releases of Debian, with other versions of PostgreSQL, of compilers and libraries:
#
#   scripts/platforms.sh trixie sid                   all stages, first on one release, then on the other
#   scripts/platforms.sh trixie -- regress pgtap      arguments of scripts/test.sh behind the dashes
#   scripts/platforms.sh /opt/pg16/bin/pg_config      this system, but another PostgreSQL, which has PostGIS and pgTAP
#
# A release is installed by debootstrap into a directory and entered by chroot, with mounts and processes that end with
# this script. Needs root. Ends with a table: how many tests passed in each stage on each platform.
#
# Environment: HARTONOMOUS_CHROOTS is a directory where the releases, what was built for each platform and the logs are
# kept, so that the next run needs only what has changed; without it they are temporary. HARTONOMOUS_MIRROR is a mirror
# of Debian, if not debootstrap's own. HARTONOMOUS_JOBS as in lib.sh.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT" || exit 1

# inside DIRECTORY COMMAND...: runs it as root there. The mounts are in a namespace of their own, so nothing is left
# mounted, and --kill-child ends a server that outlives its test.
inside() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  unshare --mount --pid --fork --kill-child bash -c '
    mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/dev/shm" &&
      exec chroot "$1" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        HARTONOMOUS_JOBS="$2" DEBIAN_FRONTEND=noninteractive "${@:3}"' inside "$1" "$JOBS" "${@:2}"
}

# A file that debootstrap's last step makes tells whether an earlier run was interrupted.
install_release() {
  local release=$1 directory=$2
  if [ ! -e "$directory/installed" ]; then
    rm -rf "$directory"
    debootstrap --variant=minbase "$release" "$directory" ${HARTONOMOUS_MIRROR:+"$HARTONOMOUS_MIRROR"} &&
      touch "$directory/installed" || return
    # A mirror that is some weeks behind is as good for tests; that its lists are signed is checked all the same.
    echo 'Acquire::Check-Valid-Until "false";' >"$directory/etc/apt/apt.conf.d/50hartonomous" || return
  fi
  inside "$directory" apt-get -q update && inside "$directory" apt-get -qy upgrade
}

# What the tests ran with. COMMAND... runs a shell on the platform.
versions() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  "$@" -c '. scripts/lib.sh && {
    "$PG_CONFIG" --version | sed "s/ (.*//" && g++ -dumpfullversion | sed "s/^/g++ /"
    sed -n "s/^default_version *= *.\([0-9.]*\).*/PostGIS \1/p" "$("$PG_CONFIG" --sharedir)/extension/postgis.control"
    dpkg-query -W -f "\${Package} \${Version}\n" libeigen3-dev libhwy-dev | sed -e "s/-dev//" -e "s/-[^-]*$//"
  } | paste -sd , | sed "s/,/, /g"'
}

# What scripts/test.sh printed, as lines PLATFORM STAGE PASSED FAILED: a stage begins with its name and result, and the
# summaries of the test runners follow. Stages that count no tests are left out if they passed.
count_tests() {
  awk -v platform="$1" '
    function flush() {
      if (stage != "" && (total || result == "FAILED")) print platform, stage, total - failed, failed ? failed : result
      stage = ""; total = failed = 0
    }
    / (ok|FAILED) +[0-9.]+ s$/ { flush(); stage = $1; result = $2 == "ok" ? 0 : "stopped" }
    match($0, /Tests=[0-9]+/) { total = substr($0, RSTART + 6, RLENGTH - 6) }
    match($0, /All [0-9]+ tests passed/) { split(substr($0, RSTART), word, " "); total = word[2] }
    match($0, /[0-9]+ of [0-9]+ tests failed/) { split(substr($0, RSTART), word, " "); failed = word[1]; total = word[3] }
    match($0, /[0-9]+ tests failed out of [0-9]+/) { split(substr($0, RSTART), word, " "); failed = word[1]; total = word[6] }
    match($0, /Failed [0-9]+\/[0-9]+ subtests/) { split(substr($0, RSTART), word, /[ \/]/); failed += word[2] }
    END { flush() }' "$2"
}

# Tests one platform: a release, or a pg_config.
run_platform() {
  local platform=$1 status=0 directory=${HARTONOMOUS_CHROOTS:-$SCRATCH/platforms} shell log
  shift
  if [[ $platform == /* ]]; then
    directory+=/$("$platform" --version | tr -c 'A-Za-z0-9.\n' -)
    step "$platform: source" copy_work_tree "$directory/hartonomous"
    shell=(env -C "$directory/hartonomous" PG_CONFIG="$platform" bash)
  else
    directory+=/$platform
    step "$platform: packages" install_release "$platform" "$directory"
    step "$platform: source" copy_work_tree "$directory/hartonomous"
    shell=(inside "$directory" env -C /hartonomous bash)
  fi
  log=$directory/hartonomous/build/platform.log
  mkdir -p "${log%/*}"
  "${shell[@]}" scripts/test.sh "$@" </dev/null 2>&1 | tee "$log" | sed "s|^|$platform: |" || status=1
  echo "$platform: $(versions "${shell[@]}")" >>"$SCRATCH/versions"
  count_tests "$platform" "$log" >>"$SCRATCH/results"
  return $status
}

# A function, so that bash has read the whole file before it runs anything: the file may be edited meanwhile.
main() {
  local platform platforms=() status=0
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    platforms+=("$1")
    shift
  done
  shift
  [ ${#platforms[@]} -gt 0 ] || die "$(sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}")"
  [ "$(id -u)" = 0 ] || die "root is needed for chroot"

  make_scratch
  step "debootstrap" install_packages debootstrap util-linux
  [ -z "${HARTONOMOUS_CHROOTS:-}" ] || mkdir -p "$HARTONOMOUS_CHROOTS"
  for platform in "${platforms[@]}"; do run_platform "$platform" "$@" || status=1; done
  cat "$SCRATCH/versions"
  { echo "platform stage passed failed"; cat "$SCRATCH/results"; } | column -t
  exit $status
}

main "$@"
