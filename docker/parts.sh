#!/usr/bin/env bash
# Runs the services of compose.yaml without a Docker engine: each in a container of buildah, from the images of
# `make images`, all in one network that has a loopback alone. Ends with 0 when the desk has shown the pop of a call.
#
#   unshare --net --pid --fork --kill-child --mount-proc docker/parts.sh DIRECTORY DAEMON-IMAGE PBX-IMAGE
#
# As root, in namespaces of its own: with it ends every process that it started, and its ports are nobody else's.
# DIRECTORY is new; each service has its log there, and where the script fails, the end of each is printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly DIRECTORY="$1" DAEMON="$2" PBX="$3"
# The longest wait for one service.
readonly SECONDS_MAX=120
declare -A OF=()
LIMIT=()

stop() {
  local status=$?
  trap - EXIT
  ((status == 0)) || tail -n 8 -- "$DIRECTORY"/*.log >&2
  # Their processes would hold the mounts of the containers. They are all that is left in this namespace.
  { kill -KILL -- -1 || true; wait || true; } 2> /dev/null
  local container
  for container in "${OF[@]}"; do buildah rm "$container" > /dev/null || true; done
}

# container NAME IMAGE: the container of a service. It has no volume of the image, which buildah may mount over the one that
# the services share.
container() {
  OF[$1]="$(buildah from --pull=false "$2")"
  buildah config --volume /var/lib/toritsugi- "${OF[$1]}"
}

# in_container NAME [OPTION…] -- COMMAND…: with the volumes of the compose file.
in_container() {
  local name="$1" options=()
  shift
  while [[ "$1" != -- ]]; do options+=("$1"); shift; done
  "${LIMIT[@]}" buildah run --isolation=chroot --network=host --user 10001:10001 \
    -v "$DIRECTORY/lab:/lab" -v "$PWD:/src:ro" "${options[@]}" "${OF[$name]}" "$@"
}

of_pbx() { in_container "$1" -e "ASTERISK_CONF=/lab/$1/etc/asterisk.conf" "${@:2}"; }
of_daemon() {
  in_container "$1" -v "$DIRECTORY/records:/var/lib/toritsugi" -e TORITSUGI_CONFIG=/lab/toritsugi.toml \
    -e TORITSUGI_TOKEN_FILE=/lab/token "${@:2}"
}

# until_done WHAT COMMAND…: tries the command once a second.
until_done() {
  local what="$1" begin=$SECONDS
  shift
  until "$@" > /dev/null 2>&1; do
    ((SECONDS - begin < SECONDS_MAX)) || die "$what is not ready after $SECONDS_MAX s"
    sleep 1
  done
}

is_booted() {
  of_pbx "$1" -- asterisk -C "/lab/$1/etc/asterisk.conf" -rx "core waitfullybooted" | grep -q "fully booted"
}

main() {
  need ip iproute2
  trap stop EXIT
  mkdir -p "$DIRECTORY/lab" "$DIRECTORY/records" "$DIRECTORY/tmp"
  # What buildah leaves behind when it is killed goes with this directory.
  export TMPDIR="$DIRECTORY/tmp"
  chown 10001:10001 "$DIRECTORY/lab" "$DIRECTORY/records"
  ip link set lo up
  local name
  for name in settings pbx far calls; do container "$name" "$PBX"; done
  for name in sample-records daemon desk; do container "$name" "$DAEMON"; done
  in_container settings -- /src/docker/settings.sh > "$DIRECTORY/settings.log" 2>&1
  for name in pbx far; do
    of_pbx "$name" -- asterisk -C "/lab/$name/etc/asterisk.conf" -f -n > "$DIRECTORY/$name.log" 2>&1 &
  done
  for name in pbx far; do until_done "the Asterisk \"$name\"" is_booted "$name"; done
  of_daemon sample-records -- /src/docker/sample-records.sh > "$DIRECTORY/sample-records.log" 2>&1
  of_daemon daemon -e TORITSUGI__GATEWAY__LISTEN=0.0.0.0:8470 -- toritsugi serve > "$DIRECTORY/daemon.log" 2>&1 &
  until_done "the daemon" of_daemon daemon -- toritsugi health
  say "the first pop at the desk:"
  LIMIT=(timeout "$SECONDS_MAX")
  of_daemon desk -- toritsugi demo --once &
  local desk=$!
  LIMIT=()
  in_container calls -- /src/tests/pbx_lab/calls.sh /lab 12 > "$DIRECTORY/calls.log" 2>&1 &
  wait "$desk" || die "the desk ended without a pop"
}

main
