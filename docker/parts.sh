#!/usr/bin/env bash
# Runs the services of compose.yaml without a Docker engine: each in a container of buildah, from the images of `make images`, all in
# one network with a loopback only. Ends with 0 when the desk has shown the pop of a call.
#
#   unshare --net --pid --fork --kill-child --mount-proc docker/parts.sh DIRECTORY DAEMON-IMAGE PBX-IMAGE
#
# As root, in namespaces of its own: its end is the end of every process that it started, and port 8470 is nobody else's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly DIRECTORY="$1" DAEMON="$2" PBX="$3"
readonly SECONDS_MAX=120
declare -a CONTAINERS=()

stop() {
  trap - EXIT
  # The containers' processes would hold their mounts.
  kill -- -1 2> /dev/null || true
  sleep 1
  kill -KILL -- -1 2> /dev/null || true
  local container
  for container in "${CONTAINERS[@]}"; do buildah rm "$container" > /dev/null 2>&1 || true; done
}

# service NAME IMAGE [OPTION…] -- COMMAND…: as a service of the compose file, with its volumes; what it prints is in its log.
service() {
  local name="$1" image="$2" container
  shift 2
  container="$(buildah from --pull=false "$image")"
  CONTAINERS+=("$container")
  buildah run --isolation=chroot --network=host --user 10001:10001 -v "$DIRECTORY/lab:/lab" -v "$PWD:/src:ro" \
    "$@" > "$DIRECTORY/$name.log" 2>&1
}

pbx_service() { service "$1" "$PBX" -e "ASTERISK_CONF=$2" "${@:3}"; }

daemon_service() {
  service "$1" "$DAEMON" -v "$DIRECTORY/records:/var/lib/toritsugi" -e TORITSUGI_CONFIG=/lab/toritsugi.toml \
    -e TORITSUGI_TOKEN_FILE=/lab/token "${@:2}"
}

# until_done WHAT COMMAND…: tries the command once a second.
until_done() {
  local what="$1" begin=$SECONDS
  shift
  until "$@"; do
    ((SECONDS - begin < SECONDS_MAX)) || die "$what: not within $SECONDS_MAX s; see $DIRECTORY/*.log"
    sleep 1
  done
}
