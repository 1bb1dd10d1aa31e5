#!/usr/bin/env bash
# make demo: places calls on a real Asterisk, prints the pops that an operator sees, and serves the page.
#
#   demo.sh [--once]    --once ends after the first pop, with 0; without a pop it fails and prints the reason
#   demo.sh --call      places one call in the demo that runs at this port
#
# PORT is the port of the page (8470). With KEEP=1 the records are kept for the next demo with KEEP=1, in
# KEEP_DIR (toritsugi-demo in the user's directory for data).
#
# It starts the PBX with asterisk-conf/, the far end (carrier and phones), and the daemon on SQLite with three sample
# companies, then places a call every few seconds until Ctrl-C, whatever becomes of the calls. Invariant: no process that
# it started outlives it, and it deletes the one directory that it wrote to, but for KEEP_DIR. The tests set DEMO_PROGRAM, the path of a
# program that is built already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly PORT="${PORT:-8470}"
readonly READY_TIMEOUT_SECONDS=30 PAUSE_SECONDS=12 ONCE_TIMEOUT_SECONDS=60
# The operator's phone answers by itself after this time, until somebody operates it from the page.
readonly DESK_PHONE=1001 ANSWERS_ALONE_SECONDS=8
readonly TORITSUGI="${DEMO_PROGRAM:-${CARGO_TARGET_DIR:-target}/debug/toritsugi}"
readonly KEEP="${KEEP:-}" KEEP_DIR="${KEEP_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/toritsugi-demo}"
ONCE=no
[[ "${1:-}" != --once ]] || ONCE=yes

RUN="" RECORDS="" LAB_PID="" DAEMON_PID="" CALLER_PID="" DESK_PID="" PHONE_PID=""

stop() {
  trap - EXIT
  # A second Ctrl-C, or a signal to the whole group, leaves nothing half deleted.
  trap '' INT TERM
  local pid
  for pid in $DESK_PID $CALLER_PID $PHONE_PID $DAEMON_PID; do kill -TERM "$pid" 2> /dev/null || true; done
  # Closing its standard input ends the lab.
  exec 8>&- || true
  for pid in $DESK_PID $CALLER_PID $PHONE_PID $DAEMON_PID $LAB_PID; do wait "$pid" 2> /dev/null || true; done
  [[ -z "$RUN" ]] || rm -rf -- "$RUN"
}

# Runs a command that ends together with this script, even if this script is killed with -9.
run_bound() { exec setpriv --pdeathsig TERM "$@"; }

port_is_taken() { (exec 3<> "/dev/tcp/127.0.0.1/$PORT") 2> /dev/null; }

build() {
  need cc gcc awk mawk setpriv util-linux
  # Asterisk is downloaded while the daemon is built.
  tests/pbx_lab/root.sh > "$RUN/root" &
  local root=$!
  [[ -n "${DEMO_PROGRAM:-}" ]] || build_daemon
  wait "$root" || die "no Asterisk is available; see the messages above"
}

build_daemon() {
  need_cargo
  # The demo prints the pops. With Node.js it also serves the operators' page.
  if command -v npm > /dev/null; then desktop/build.sh >&2 || say "continuing without the page"; fi
  say "building the daemon (a first build takes some minutes)"
  cargo build --locked || die "the build failed"
}

start_lab() {
  say "starting the PBX and its far end"
  mkfifo "$RUN/lab-stdin" "$RUN/lab-stdout"
  LAB_DESK_PHONES="$DESK_PHONE" tests/pbx_lab/up.sh "$RUN/lab" --while-stdin-open < "$RUN/lab-stdin" > "$RUN/lab-stdout" &
  LAB_PID=$!
  exec 8> "$RUN/lab-stdin"
  local word=""
  read -r word < "$RUN/lab-stdout" || true
  [[ "$word" == ready ]] || die "the lab did not start"
  # shellcheck source=/dev/null
  . "$RUN/lab/lab.env"
}

# The operator's phone, which obeys the page, and what the other phones do when they ring: the supervisor's answers, so that
# listening works, and contacts take the callers who are passed on to them.
start_phones() {
  run_bound "$TORITSUGI" demo-phone --listen "$LAB_DESK_PHONE_SIP" --extension "$DESK_PHONE" \
    --answers-alone "$ANSWERS_ALONE_SECONDS" 2> "$RUN/phone.log" &
  PHONE_PID=$!
  tests/pbx_lab/call.sh "$RUN/lab" --phone 2001 answer/1
  local mobile
  for mobile in 09055500011 09055500012 09055500022; do tests/pbx_lab/call.sh "$RUN/lab" --phone "$mobile" press/3/1; done
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
path = "$RECORDS/demo.db"
[gateway]
listen = "127.0.0.1:$PORT"
CONFIG
  export TORITSUGI_CONFIG="$RUN/toritsugi.toml" TORITSUGI_URL="http://127.0.0.1:$PORT"
}

fill_store() {
  local kind
  export TORITSUGI_TOKEN_FILE="$RECORDS/token"
  if [[ -f "$RECORDS/token-admin" ]]; then return; fi
  for kind in accounts customers contacts; do
    "$TORITSUGI" import "$kind" "tests/samples/$kind.csv" > /dev/null
  done
  add_user demo operator 1001 "$RECORDS/token" --extension 1001
  add_user supervisor supervisor 2001 "$RECORDS/token-2001" --extension 2001
  add_user admin admin admin "$RECORDS/token-admin"
}

# The daemon listens on loopback alone, and its users end with the demo: their passwords may be known.
password_of() { printf 'sakura-demo-%s' "$1"; }

add_user() {
  local name="$1" role="$2" login="$3" token_file="$4"
  shift 4
  (umask 077; password_of "$login" |
    "$TORITSUGI" user add "$name" --role "$role" --team demo --password --token-file "$token_file" "$@" > /dev/null)
}

# What a person needs to open the page, and for commands. A daemon that was built without Node.js serves no page.
say_where() {
  {
    printf '\n'
    if [[ -f desktop/dist/index.html ]]; then
      printf '  Open        http://127.0.0.1:%s\n' "$PORT"
      printf '  Operator       login 1001   password %s   (R, then 1, begins work)\n' "$(password_of 1001)"
      printf '  Supervisor     login 2001   password %s\n' "$(password_of 2001)"
      printf '  Administrator  login admin  password %s\n' "$(password_of admin)"
    fi
    printf '  Commands    TORITSUGI_CONFIG=%s TORITSUGI_TOKEN_FILE=%s %s calls\n' \
      "$RUN/toritsugi.toml" "$RECORDS/token" "$TORITSUGI"
    printf '  One call now:  make call%s\n\n' "$([[ "$PORT" == 8470 ]] || printf ' PORT=%s' "$PORT")"
  } >&2
}

# Writes the daemon's answer to GET PATH.
answer_of() {
  exec 3<> "/dev/tcp/127.0.0.1/$PORT" || return 1
  printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$1" >&3
  timeout 5 cat <&3 || true
  exec 3>&-
}

is_ready() { [[ "$(answer_of /readyz | head -n 1)" == *" 200 "* ]]; }

# Whether somebody follows the events: the pop of an earlier call would be shown to nobody.
is_followed() { answer_of /metrics | grep -qE '^toritsugi_event_streams [1-9]'; }

start_daemon() {
  say "starting the daemon on http://127.0.0.1:$PORT"
  run_bound "$TORITSUGI" serve 2> "$RUN/daemon.log" &
  DAEMON_PID=$!
  local deadline=$((SECONDS + READY_TIMEOUT_SECONDS))
  until is_ready 2> /dev/null; do
    if ! kill -0 "$DAEMON_PID" 2> /dev/null || ((SECONDS >= deadline)); then
      tail -n 20 "$RUN/daemon.log" >&2
      die "the daemon did not become ready within $READY_TIMEOUT_SECONDS s, or ended; its log is above"
    fi
    sleep 0.1
  done
}

# A known caller, forwarded by the first company.
place_call() {
  local configuration
  for configuration in "${TMPDIR:-/tmp}"/toritsugi-demo-*/toritsugi.toml; do
    if [[ -O "$configuration" ]] && grep -qF "listen = \"127.0.0.1:$PORT\"" "$configuration"; then
      tests/pbx_lab/call.sh "${configuration%/*}/lab" --from 09012345678 --to 0355501001 --diverted-by 0335550101
      return
    fi
  done
  die "no demo of yours runs at port $PORT: start one with make demo, or name its port: make call PORT=8471"
}

main() {
  if [[ "${1:-}" == --call ]]; then
    place_call
    return
  fi
  RUN="$(mktemp -d "${TMPDIR:-/tmp}/toritsugi-demo-XXXXXX")"
  RECORDS="$RUN"
  trap stop EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  ! port_is_taken || die "port $PORT of 127.0.0.1 is in use: stop the program that listens there, or choose another port: make demo PORT=8471"
  build
  if [[ -n "$KEEP" ]]; then
    RECORDS="$KEEP_DIR"
    (umask 077; mkdir -p -- "$RECORDS")
  fi
  start_lab
  start_phones
  configure
  fill_store
  start_daemon
  local arguments=()
  if [[ "$ONCE" == yes ]]; then
    arguments=(--once --patience "$ONCE_TIMEOUT_SECONDS")
  else
    say_where
    say "a call every $PAUSE_SECONDS s; Ctrl-C ends everything"
  fi
  # In the background, because bash handles a signal only between commands or in wait.
  run_bound "$TORITSUGI" demo "${arguments[@]}" &
  DESK_PID=$!
  while kill -0 "$DESK_PID" 2> /dev/null && ! is_followed 2> /dev/null; do sleep 0.1; done
  run_bound tests/pbx_lab/calls.sh "$RUN/lab" "$PAUSE_SECONDS" &
  CALLER_PID=$!
  wait "$DESK_PID" || die "the demo ended; the end of the daemon's log:"$'\n'"$(tail -n 5 "$RUN/daemon.log")"
  [[ "$ONCE" == no ]] || say "the pop arrived before the call was answered"
}

main "$@"
