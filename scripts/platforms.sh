#!/bin/bash
# Runs scripts/test.sh on other releases of Debian, and so with other versions of PostgreSQL, of compilers and libraries:
#
#   scripts/platforms.sh trixie sid               all stages, first on one release, then on the other
#   scripts/platforms.sh trixie -- regress pgtap  arguments of scripts/test.sh behind the dashes
#
# A release is installed by debootstrap into a directory and entered by chroot, with mounts and processes that end with
# this script. Needs root. Ends with a line for each release: its versions, and whether all passed.
#
# Environment: HARTONOMOUS_CHROOTS is a directory where the releases and what was built there are kept, so that the next
# run needs only what has changed; without it they are temporary. HARTONOMOUS_MIRROR is a mirror of Debian, if
# not debootstrap's own. HARTONOMOUS_JOBS as in lib.sh.
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
  fi
  inside "$directory" apt-get -q update && inside "$directory" apt-get -qy upgrade
}

versions() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  inside "$1" bash -c 'cd /hartonomous && . scripts/lib.sh &&
    echo "$("$PG_CONFIG" --version), $(g++ --version | head -n 1)$(
      dpkg-query -W -f ", \${Package} \${Version}" libeigen3-dev libhwy-dev "postgresql-$PG_MAJOR-postgis-3")"'
}

run_release() {
  local release=$1 directory=${HARTONOMOUS_CHROOTS:-$SCRATCH}/$1 status=0
  shift
  step "$release: packages" install_release "$release" "$directory"
  step "$release: source" copy_work_tree "$directory/hartonomous"
  inside "$directory" /hartonomous/scripts/test.sh "$@" </dev/null | sed "s/^/$release: /" || status=1
  RESULTS+=("$release ($(versions "$directory")): $([ $status = 0 ] && echo passed || echo FAILED) ${*:-all stages}")
  return $status
}

RELEASES=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  RELEASES+=("$1")
  shift
done
shift
[ ${#RELEASES[@]} -gt 0 ] || die "$(sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}")"
[ "$(id -u)" = 0 ] || die "root is needed for chroot"

make_scratch
step "debootstrap" install_packages debootstrap util-linux
[ -z "${HARTONOMOUS_CHROOTS:-}" ] || mkdir -p "$HARTONOMOUS_CHROOTS"
RESULTS=() FAILED=0
for release in "${RELEASES[@]}"; do run_release "$release" "$@" || FAILED=1; done
printf '%s\n' "${RESULTS[@]}"
exit $FAILED
