#!/usr/bin/env bash
# Ends the lab that runs in RUN_DIR, and waits until all its processes have ended.
#   down.sh RUN_DIR
set -euo pipefail

readonly STOP_TIMEOUT_SECONDS=15
RUN_DIR="${1:?usage: down.sh RUN_DIR}"
if [[ ! -f "$RUN_DIR/lab.env" ]]; then
  echo "lab: nothing runs in $RUN_DIR" >&2
  exit 0
fi
# shellcheck source=/dev/null
. "$RUN_DIR/lab.env"
kill -TERM "$LAB_SUPERVISOR_PID" 2> /dev/null || rm -f -- "$RUN_DIR/lab.env"
for ((tenth = 0; tenth < STOP_TIMEOUT_SECONDS * 10; tenth++)); do
  [[ -e "/proc/$LAB_SUPERVISOR_PID" ]] || exit 0
  sleep 0.1
done
echo "lab: process $LAB_SUPERVISOR_PID did not end within $STOP_TIMEOUT_SECONDS s" >&2
exit 1
