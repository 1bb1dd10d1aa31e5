#!/usr/bin/env bash
# `make lab`: runs a lab in the foreground and prints how to use it.
#   by-hand.sh RUN_DIR
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
RUN_DIR="${1:?usage: by-hand.sh RUN_DIR}"

run() {
  local status=0
  "$HERE/up.sh" "$RUN_DIR" < /dev/null || status=$?
  # Ctrl-C and `make lab-stop` are the regular ways to end the lab.
  ((status == 130 || status == 143)) || return "$status"
}

run | {
  # Ctrl-C also reaches up.sh, which ends both Asterisks and closes this pipe.
  trap '' INT
  IFS= read -r line && [[ "$line" == ready ]] || exit 1
  # shellcheck source=/dev/null
  . "$RUN_DIR/lab.env"
  cat <<HELP
PBX      SIP $LAB_PBX_SIP, manager $LAB_PBX_AMI_HOST:$LAB_PBX_AMI_PORT
         events as  $LAB_PBX_EVENTS_USER, secret in $LAB_PBX_EVENTS_SECRET_FILE
         actions as $LAB_PBX_ACTIONS_USER, secret in $LAB_PBX_ACTIONS_SECRET_FILE
Far end  SIP $LAB_FAR_SIP, manager $LAB_FAR_AMI_HOST:$LAB_FAR_AMI_PORT
         as $LAB_USER, secret in $LAB_SECRET_FILE; recordings in $LAB_RECORDINGS
From another terminal:
  tests/pbx_lab/call.sh $RUN_DIR --phone 1001 answer/5
  tests/pbx_lab/call.sh $RUN_DIR --from 09012345678 --to 0355501000 --diverted-by 0335550101 --name 田中太郎
  tests/pbx_lab/call.sh $RUN_DIR --from 09012345678 --to 0355501001 --withheld
Ctrl-C here, or make lab-stop, ends everything.
HELP
  cat > /dev/null
}
