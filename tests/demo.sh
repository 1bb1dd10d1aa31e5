#!/usr/bin/env bash
# make demo: calls on a real Asterisk, and the pops they make on an operator's desk.
#
#   demo.sh [--once]    --once ends with the first pop: 0, or not 0 and the reason
#
# The PBX with asterisk-conf/, its far end (carrier and phones) and the daemon on SQLite with three sample
# companies; then a call every few seconds until Ctrl-C. Invariant: nothing it started outlives it, and what it
# wrote (all in one directory) is gone with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly PORT="${PORT:-8470}"
readonly READY_SECONDS_MAX=30 PAUSE_SECONDS=12
readonly TORITSUGI="${CARGO_TARGET_DIR:-target}/debug/toritsugi"
ONCE=no
[[ "${1:-}" != --once ]] || ONCE=yes

RUN="" LAB_PID="" DAEMON_PID="" CALLER_PID="" DESK_PID=""

stop() {
  trap - EXIT INT TERM
  local pid
  for pid in $DESK_PID $CALLER_PID $DAEMON_PID; do kill -TERM "$pid" 2> /dev/null || true; done
  # The lab ends with its standard input.
  exec 8>&- || true
  for pid in $DESK_PID $CALLER_PID $DAEMON_PID $LAB_PID; do wait "$pid" 2> /dev/null || true; done
  [[ -z "$RUN" ]] || rm -rf -- "$RUN"
}

# Runs a command that ends when this script does, even when it is killed with -9.
with_us() { exec setpriv --pdeathsig TERM "$@"; }

port_is_taken() { (exec 3<> "/dev/tcp/127.0.0.1/$PORT") 2> /dev/null; }

build() {
  need cc gcc awk mawk setpriv util-linux
  need_cargo
  # The demo prints its pops; with Node.js there is the page to look at, too.
  if command -v npm > /dev/null; then desktop/build.sh >&2 || say "going on without the page"; fi
  # The PBX is fetched while the daemon is built.
  tests/lab/root.sh > "$RUN/root" &
  local root=$!
  say "building the daemon (a first build takes some minutes)"
  cargo build --locked || die "the build failed"
  wait "$root" || die "there is no Asterisk to call"
}

start_lab() {
  say "starting the PBX and its far end"
  mkfifo "$RUN/lab-stdin" "$RUN/lab-stdout"
  tests/lab/up.sh "$RUN/lab" --while-stdin-open < "$RUN/lab-stdin" > "$RUN/lab-stdout" &
  LAB_PID=$!
  exec 8> "$RUN/lab-stdin"
  local word=""
  read -r word < "$RUN/lab-stdout" || true
  [[ "$word" == ready ]] || die "the lab did not start"
  # shellcheck source=/dev/null
  . "$RUN/lab/lab.env"
}

configure() {
  cat > "$RUN/toritsugi.toml" << CONFIG
[pbx]
name = "demo"
host = "$LAB_PBX_AMI_HOST"
port = $LAB_PBX_AMI_PORT
event_user = "$LAB_PBX_EVENTS_USER"
event_secret_file = "$LAB_PBX_EVENTS_SECRET_FILE"
action_user = "$LAB_PBX_ACTIONS_USER"
action_secret_file = "$LAB_PBX_ACTIONS_SECRET_FILE"
[store]
path = "demo.db"
[gateway]
listen = "127.0.0.1:$PORT"
CONFIG
  export TORITSUGI_CONFIG="$RUN/toritsugi.toml" TORITSUGI_URL="http://127.0.0.1:$PORT"
}

fill_store() {
  local kind
  for kind in accounts customers contacts; do
    "$TORITSUGI" import "$kind" "tests/samples/$kind.csv" > /dev/null
  done
  (umask 077; "$TORITSUGI" user add demo --role operator --extension 1001 --token-file "$RUN/token" > /dev/null)
  export TORITSUGI_TOKEN_FILE="$RUN/token"
}

is_ready() {
  local line
  exec 3<> "/dev/tcp/127.0.0.1/$PORT" || return 1
  printf 'GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
  read -r -t 5 line <&3 || line=""
  exec 3>&-
  [[ "$line" == *" 200 "* ]]
}

start_daemon() {
  say "starting the daemon on http://127.0.0.1:$PORT"
  with_us "$TORITSUGI" serve 2> "$RUN/daemon.log" &
  DAEMON_PID=$!
  local deadline=$((SECONDS + READY_SECONDS_MAX))
  until is_ready 2> /dev/null; do
    if ! kill -0 "$DAEMON_PID" 2> /dev/null || ((SECONDS >= deadline)); then
      tail -n 20 "$RUN/daemon.log" >&2
      die "the daemon is not ready"
    fi
    sleep 0.1
  done
}

main() {
  RUN="$(mktemp -d "${TMPDIR:-/tmp}/toritsugi-demo-XXXXXX")"
  trap stop EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  ! port_is_taken || die "port $PORT of 127.0.0.1 is taken: end what listens there, or choose another: make demo PORT=8471"
  build
  start_lab
  configure
  fill_store
  start_daemon
  with_us tests/lab/calls.sh "$RUN/lab" "$PAUSE_SECONDS" &
  CALLER_PID=$!
  local arguments=()
  if [[ "$ONCE" == yes ]]; then
    arguments=(--once)
  else
    say "a call every $PAUSE_SECONDS s; Ctrl-C ends everything"
  fi
  # Waited for, so that a signal to this script is acted on at once.
  with_us "$TORITSUGI" demo "${arguments[@]}" &
  DESK_PID=$!
  wait "$DESK_PID" || die "the demo ended; the end of the daemon's log:"$'\n'"$(tail -n 5 "$RUN/daemon.log")"
  say "the pop arrived before anybody answered"
}

main
