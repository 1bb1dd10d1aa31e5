#!/usr/bin/env bash
# make csv-check: opens each CSV file of the API in LibreOffice, in both encodings, and compares the cells.
#
#   PORT   the port of the daemon; 8478 by default
#
# A daemon without a PBX serves a generated month, in which a company's name is a formula with characters that Shift_JIS, and
# some that only CP932, has. LibreOffice is 500 MB, so `make test` does without it. Invariant: the daemon does not outlive this
# script, which deletes the one directory that it wrote to, besides target/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly PORT="${PORT:-8478}" READY_TIMEOUT_SECONDS=30
readonly BUILT="${CARGO_TARGET_DIR:-target}/debug"
DAEMON_PID=""

stop() {
  trap - EXIT INT TERM
  if [[ -n "$DAEMON_PID" ]]; then
    kill -TERM "$DAEMON_PID" 2> /dev/null || true
    wait "$DAEMON_PID" 2> /dev/null || true
  fi
  rm -rf -- "$RUN"
}

need_cargo
need soffice libreoffice-calc python3 python3 curl curl setpriv util-linux
! is_taken "$PORT" || die "port $PORT is in use: set PORT to another one"
cargo build --locked --bin toritsugi --example scale-data || die "the build failed"
RUN="$(mktemp -d "${TMPDIR:-/tmp}/toritsugi-csv-check-XXXXXX")"
trap stop EXIT
trap 'exit 130' INT TERM

export TORITSUGI__STORE__PATH="$RUN/toritsugi.db" TORITSUGI__GATEWAY__LISTEN="127.0.0.1:$PORT"
# Nothing listens on this port of the PBX.
export TORITSUGI__PBX__PORT=9 TORITSUGI__PBX__EVENT_SECRET=unused TORITSUGI__PBX__ACTION_SECRET=unused
"$BUILT/examples/scale-data" "$RUN/toritsugi.db" --calls 6000 --customers 1500 > /dev/null
"$BUILT/toritsugi" user add checker --role admin --token-file "$RUN/token" > /dev/null
# The account with most calls.
printf '%s\n' '契約企業コード,契約企業名' 'A0000,"=SUM(1;2)&""髙﨑①〜🍣"",、"' > "$RUN/accounts.csv"
"$BUILT/toritsugi" import accounts "$RUN/accounts.csv" > /dev/null
"$BUILT/toritsugi" stats rebuild --from 2025-04-01 --to 2025-05-01 > /dev/null
setpriv --pdeathsig TERM "$BUILT/toritsugi" serve > "$RUN/log" 2>&1 &
DAEMON_PID=$!
for ((seconds = 0; seconds < READY_TIMEOUT_SECONDS; seconds++)); do
  ! curl --silent --fail --output /dev/null "http://127.0.0.1:$PORT/healthz" || break
  kill -0 "$DAEMON_PID" 2> /dev/null || { tail -5 "$RUN/log" >&2; die "the daemon did not start; the end of its log is above"; }
  sleep 1
done

python3 tests/csv_check.py "http://127.0.0.1:$PORT" "$RUN"
