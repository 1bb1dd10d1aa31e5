#!/usr/bin/env bash
# Places the calls of the demo in a running lab, one after the other, until the script is ended.
#
#   calls.sh RUN_DIR SECONDS    SECONDS is the pause between two calls
#
# The numbers are those of tests/samples/: known and unknown callers, forwarded and direct calls, a withheld number,
# and a dialled number without an account.
set -euo pipefail

readonly RUN_DIR="$1" PAUSE_SECONDS="$2"
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly HERE

# Caller, dialled number, diverting number ("-": none), further options.
readonly -a CALLS=(
  "09012345678 0355501001 0335550101"
  "0663452222 0355501003 0663450103"
  "07033334444 0355501002 -"
  "08055550000 0355501001 0335550101"
  "09055556666 0355501003 0663450103"
  "09087654321 0355501002 0335550102 --withheld"
  "08011112222 0355501008 -"
)

# A pause without a child process, which could outlive this script.
exec 9<> <(:)
pause() { read -r -t "$PAUSE_SECONDS" -u 9 || true; }

# Where the far end plays the first operator's phone, it answers after eight seconds and hangs up six seconds later; the other
# phones ring. `make demo` plays that phone with a program that obeys the page.
"$HERE/call.sh" "$RUN_DIR" --phone 1001 brief/8/6
while true; do
  for line in "${CALLS[@]}"; do
    read -r caller dialled diverted options <<< "$line"
    if [[ "$diverted" != - ]]; then options+=" --diverted-by $diverted"; fi
    # shellcheck disable=SC2086
    "$HERE/call.sh" "$RUN_DIR" --from "$caller" --to "$dialled" --rings 12 $options
    pause
  done
done
