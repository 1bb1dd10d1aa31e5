#!/usr/bin/env bash
# make api-check: sends made-up requests to a daemon and compares each answer with its OpenAPI document.
#
#   EXAMPLES         requests for each operation in the last phase; 20 by default
#   URL              a daemon that runs already, instead of one of our own; its records are created, changed and deleted
#   TORITSUGI_TOKEN  with URL: the token of an administrator
#   PORT             the port of our own daemon; 8479 by default
#
# Without URL it starts a daemon without a PBX on an empty database. Invariant: that daemon does not outlive it, and it
# deletes the one directory that it wrote to, besides target/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly PORT="${PORT:-8479}" READY_TIMEOUT_SECONDS=30
readonly TORITSUGI="${CARGO_TARGET_DIR:-target}/debug/toritsugi"
DAEMON_PID=""

stop() {
  trap - EXIT INT TERM
  if [[ -n "$DAEMON_PID" ]]; then
    kill -TERM "$DAEMON_PID" 2> /dev/null || true
    wait "$DAEMON_PID" 2> /dev/null || true
  fi
  rm -rf -- "$RUN"
}

# Sets URL and TORITSUGI_TOKEN.
start_daemon() {
  need_cargo
  need setpriv util-linux curl curl
  ! (exec 3<> "/dev/tcp/127.0.0.1/$PORT") 2> /dev/null || die "port $PORT is in use: set PORT to another one"
  cargo build --locked || die "the build failed"
  export TORITSUGI__STORE__PATH="$RUN/toritsugi.db" TORITSUGI__GATEWAY__LISTEN="127.0.0.1:$PORT"
  # Nothing listens on this port of the PBX.
  export TORITSUGI__PBX__PORT=9 TORITSUGI__PBX__EVENT_SECRET=unused TORITSUGI__PBX__ACTION_SECRET=unused
  "$TORITSUGI" user add admin --role admin --token-file "$RUN/token" > /dev/null
  setpriv --pdeathsig TERM "$TORITSUGI" serve > "$RUN/log" 2>&1 &
  DAEMON_PID=$!
  URL="http://127.0.0.1:$PORT" TORITSUGI_TOKEN="$(< "$RUN/token")"
  local seconds
  for ((seconds = 0; seconds < READY_TIMEOUT_SECONDS; seconds++)); do
    ! curl --silent --fail --output /dev/null "$URL/healthz" || return 0
    kill -0 "$DAEMON_PID" 2> /dev/null || break
    sleep 1
  done
  tail -5 "$RUN/log" >&2
  die "the daemon did not start; the end of its log is above"
}

command -v schemathesis > /dev/null || die "schemathesis is missing: pip install schemathesis"
CONFIG="$PWD/tests/api_check.toml"
RUN="$(mktemp -d "${TMPDIR:-/tmp}/toritsugi-api-check-XXXXXX")"
trap stop EXIT
trap 'exit 130' INT TERM
[[ -n "${URL:-}" ]] || start_daemon
: "${TORITSUGI_TOKEN:?set TORITSUGI_TOKEN to the token of an administrator}"

# Event streams do not end. The sign-out and the change of users would end the run's own token.
# schemathesis writes to the directory in which it runs.
cd "$RUN"
schemathesis --config-file "$CONFIG" run "$URL/openapi.json" --url "$URL" \
  --header "Authorization: Bearer $TORITSUGI_TOKEN" \
  --exclude-path-regex '^/v1/(events|users/\{user\})' \
  --exclude-operation-id session_end \
  --max-examples "${EXAMPLES:-20}" --phases examples,coverage,fuzzing,stateful
