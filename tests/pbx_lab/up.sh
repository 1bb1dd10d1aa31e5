#!/usr/bin/env bash
# Starts a PBX and its far end, writes RUN_DIR/lab.env, and runs both until Ctrl-C or
# TERM, or, with --while-stdin-open, until the end of its standard input (which also comes
# when the process at the other end dies).
#
#   up.sh RUN_DIR [--asterisk 22|16] [--ports BASE] [--while-stdin-open]
#
# LAB_DESK_PHONES names phones, separated by spaces, that are played by another program at LAB_DESK_PHONE_SIP; the daemon may then
# send NOTIFY to phones.
#
# Prints "ready" on stdout when both are fully booted and calls can be placed.
# With --while-stdin-open it reads commands, one a line:
#
#   kill pbx | kill far     kills this Asterisk; answers "killed"
#   start pbx | start far   starts it again; answers "ready"
#   make whole              starts each Asterisk that is not running; answers "ready"
#
# Invariant: no Asterisk outlives this script, not even when it is killed with -9
# (each one asks the kernel to be killed with its parent).
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly HERE
readonly PORTS_PER_LAB=10
readonly PORT_BASE_MIN=21000 PORT_BASE_MAX=29990
readonly BOOT_TIMEOUT_SECONDS=90 ASK_TIMEOUT_SECONDS=2
readonly STOP_TIMEOUT_SECONDS=5

RUN_DIR="" VERSION=22 BASE="" WHILE_STDIN_OPEN=no
INSTANCE="" PBX_PID="" FAR_PID="" KILLED_SECOND=0

say() { echo "lab: $*" >&2; }
die() { say "$*"; exit 1; }

parse() {
  while (($#)); do
    case "$1" in
      --asterisk) VERSION="$2"; shift ;;
      --ports) BASE="$2"; shift ;;
      --while-stdin-open) WHILE_STDIN_OPEN=yes ;;
      -*) die "unknown option $1 (see the head of tests/pbx_lab/up.sh)" ;;
      *) RUN_DIR="$1" ;;
    esac
    shift
  done
  [[ -n "$RUN_DIR" ]] || die "usage: up.sh RUN_DIR [--asterisk 22|16] [--ports BASE] [--while-stdin-open]"
  mkdir -p "$RUN_DIR"
  RUN_DIR="$(cd "$RUN_DIR" && pwd)"
}

# Local addresses in /proc/net are little-endian hex, followed by a colon and the port.
port_is_taken() {
  local hex
  printf -v hex ':%04X' "$1"
  awk -v want="$hex" '$2 ~ want"$" && ($4 == "0A" || FILENAME ~ /udp/) { found = 1 }
    END { exit !found }' /proc/net/tcp /proc/net/udp
}

# The directory of the instance reserves its ports: mkdir either creates it or fails.
claim() {
  local base="$1" dir="$LABS/port-$1"
  if port_is_taken "$base" || port_is_taken "$((base + 1))" || port_is_taken "$((base + 2))"; then return 1; fi
  mkdir "$dir" 2>/dev/null || return 1
  echo "$$" > "$dir/owner"
  INSTANCE="$dir"
}

# Removes the directories of labs that were killed with -9.
sweep() {
  local dir owner
  for dir in "$LABS"/port-*; do
    owner="$(cat "$dir/owner" 2>/dev/null)" || continue
    if [[ -n "$owner" ]] && ! grep -qs up.sh "/proc/$owner/cmdline"; then rm -rf -- "$dir"; fi
  done
}

choose_ports() {
  if [[ -n "$BASE" ]]; then
    claim "$BASE" || die "one of the ports $BASE to $((BASE + 2)) is in use on 127.0.0.x: stop the program that listens there, or choose another base with --ports"
    return
  fi
  local attempt slots=$(((PORT_BASE_MAX - PORT_BASE_MIN) / PORTS_PER_LAB))
  for ((attempt = 0; attempt < 200; attempt++)); do
    BASE=$((PORT_BASE_MIN + (RANDOM % slots) * PORTS_PER_LAB))
    if claim "$BASE"; then return; fi
  done
  die "no free ports between $PORT_BASE_MIN and $PORT_BASE_MAX on 127.0.0.x"
}

# $1 = timeout in seconds; the rest: arguments of Asterisk
bounded() {
  local command=(timeout --signal=KILL "$1" asterisk)
  if [[ "$ROOT" != / ]]; then command=(timeout --signal=KILL "$1" chroot "$ROOT" /usr/sbin/asterisk); fi
  shift
  "${command[@]}" "$@"
}

# $1 = pbx | far. Sets STARTED_PID. Asterisk reports its start in whole seconds, and its channel ids consist of
# the second and a counter that restarts: so it must not start in the second in which it was killed.
start() {
  while ((EPOCHSECONDS <= KILLED_SECOND)); do sleep 0.02; done
  local command=(asterisk)
  if [[ "$ROOT" != / ]]; then command=(chroot "$ROOT" /usr/sbin/asterisk); fi
  setpriv --pdeathsig KILL "${command[@]}" -C "$INSIDE/$1/etc/asterisk.conf" -f -n \
    < /dev/null > "$INSTANCE/$1/console.log" 2>&1 &
  STARTED_PID=$!
}

# $1 = pbx | far, $2 = its pid
await_boot() {
  local deadline=$((SECONDS + BOOT_TIMEOUT_SECONDS))
  # A request too early in the boot is never answered, so it is repeated.
  until bounded "$ASK_TIMEOUT_SECONDS" -C "$INSIDE/$1/etc/asterisk.conf" -rx "core waitfullybooted" 2>/dev/null |
    grep -q "fully booted"; do
    if ! kill -0 "$2" 2>/dev/null; then
      say "the $1 Asterisk ended while it started; the end of its log:"
      tail -n 20 "$INSTANCE/$1/console.log" "$INSTANCE/$1/log/messages.log" >&2 || true
      exit 1
    fi
    ((SECONDS < deadline)) || die "the $1 Asterisk was not ready after $BOOT_TIMEOUT_SECONDS s; see $INSTANCE/$1/log"
    sleep 0.1
  done
  if grep -qE "Unable to bind|Address already in use" "$INSTANCE/$1/console.log" "$INSTANCE/$1/log/messages.log"; then
    grep -hE "Unable to bind|Address already in use" "$INSTANCE/$1/console.log" "$INSTANCE/$1/log/messages.log" >&2
    die "a port from $BASE on was taken by another program at the same time: run again, or choose another base with --ports"
  fi
}

write_env() {
  cat > "$RUN_DIR/lab.env.partial" <<ENV
LAB_SUPERVISOR_PID=$$
LAB_VERSION=$VERSION
LAB_ROOT=$ROOT
LAB_INSTANCE=$INSTANCE
LAB_INSIDE=$INSIDE
LAB_PBX_PID=$PBX_PID
LAB_PBX_SIP=127.0.0.1:$BASE
LAB_PBX_AMI_HOST=127.0.0.1
LAB_PBX_AMI_PORT=$((BASE + 1))
LAB_PBX_AMI_TLS_PORT=$((BASE + 2))
LAB_PBX_EVENTS_USER=toritsugi-events
LAB_PBX_EVENTS_SECRET_FILE=$INSTANCE/pbx/events.secret
LAB_PBX_ACTIONS_USER=toritsugi-actions
LAB_PBX_ACTIONS_SECRET_FILE=$INSTANCE/pbx/actions.secret
LAB_DESK_PHONE_SIP=127.0.0.3:$((BASE + 4))
LAB_FAR_PID=$FAR_PID
LAB_FAR_SIP=127.0.0.2:$BASE
LAB_FAR_AMI_HOST=127.0.0.2
LAB_FAR_AMI_PORT=$((BASE + 1))
LAB_USER=lab
LAB_SECRET_FILE=$INSTANCE/pbx/lab.secret
LAB_RECORDINGS=$INSTANCE/far/spool/monitor
LAB_CALL_RECORD=$INSTANCE/far/log/cdr-csv/Master.csv
ENV
  mv "$RUN_DIR/lab.env.partial" "$RUN_DIR/lab.env"
}

stop() {
  trap - EXIT INT TERM HUP
  local pid tenth
  for pid in $PBX_PID $FAR_PID; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in $PBX_PID $FAR_PID; do
    for ((tenth = 0; tenth < STOP_TIMEOUT_SECONDS * 10; tenth++)); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -f -- "$RUN_DIR/lab.env"
  rmdir -- "$RUN_DIR" 2>/dev/null || true
  if [[ -n "$INSTANCE" ]]; then
    if [[ -n "${LAB_KEEP:-}" ]]; then say "kept: $INSTANCE"; else rm -rf -- "$INSTANCE"; fi
  fi
}

# $1 = pbx | far. Kills it as in a crash, without a shutdown.
kill_one() {
  local pid="$PBX_PID"
  if [[ "$1" == far ]]; then pid="$FAR_PID"; fi
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  KILLED_SECOND=$EPOCHSECONDS
}

start_one() {
  start "$1"
  if [[ "$1" == far ]]; then FAR_PID=$STARTED_PID; else PBX_PID=$STARTED_PID; fi
  await_boot "$1" "$STARTED_PID"
  write_env
}

await_end() {
  if [[ "$WHILE_STDIN_OPEN" == yes ]]; then
    local order
    while IFS= read -r order; do
      case "$order" in
        "kill pbx" | "kill far") kill_one "${order#kill }"; echo killed ;;
        "make whole")
          kill -0 "$PBX_PID" 2>/dev/null || start_one pbx
          kill -0 "$FAR_PID" 2>/dev/null || start_one far
          echo ready ;;
        "start pbx" | "start far") start_one "${order#start }"; echo ready ;;
        *) return ;;
      esac
    done
    return
  fi
  # wait returns at once on a trapped signal, or when one of the two Asterisks ends.
  wait -n "$PBX_PID" "$FAR_PID" || true
  say "one Asterisk ended by itself; the other one is stopped"
}

main() {
  parse "$@"
  command -v setpriv > /dev/null || die "setpriv is missing: install util-linux >= 2.33"
  ROOT="$("$HERE/root.sh" "$VERSION")"
  if [[ "$ROOT" != / ]] && ((EUID != 0)); then
    die "the private Asterisk in $ROOT runs only as root (chroot): run this as root, or install Asterisk >= 18"
  fi
  if [[ "$ROOT" == / ]]; then
    LABS="${TMPDIR:-/tmp}/toritsugi-lab-$EUID"
  else
    LABS="$ROOT/lab"
  fi
  mkdir -p "$LABS"
  trap stop EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  sweep
  choose_ports
  if [[ "$ROOT" == / ]]; then INSIDE="$INSTANCE"; else INSIDE="/lab/port-$BASE"; fi
  "$HERE/instance.sh" "$INSTANCE/pbx" "$INSTANCE/far" "$INSIDE/pbx" "$INSIDE/far" "$BASE" "$VERSION"
  start pbx; PBX_PID=$STARTED_PID
  start far; FAR_PID=$STARTED_PID
  await_boot pbx "$PBX_PID"
  await_boot far "$FAR_PID"
  write_env
  echo ready
  await_end
}

main "$@"
