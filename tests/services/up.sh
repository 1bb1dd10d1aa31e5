#!/usr/bin/env bash
# Starts a private Redis and a private PostgreSQL on free loopback ports, writes RUN_DIR/backends.env, prints
# "ready", and runs both until its standard input ends, as it also does when the process that writes to it dies.
#
# Commands on standard input, one a line; each answers "ready" or "stopped", and a new port is in backends.env:
#   stop|kill|start redis|postgres   ends or starts that server, on the same port and data
#   start sentinel                   a Sentinel that knows the Redis as the master "cti"
#   start cluster                    a Redis Cluster of one node
#   start tls                        a Redis that accepts only TLS, with RUN_DIR/tls/cert.pem and key.pem, which exist
#
#   up.sh RUN_DIR
#   up.sh --install    only installs what it needs, where it may
#
# Invariant: neither server outlives this script, not even when it is killed with -9 (each asks the kernel to be
# killed with its parent), and neither listens anywhere but on 127.0.0.1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/tools.sh

readonly PORT_MIN=30000 PORTS=2700
readonly START_TIMEOUT_SECONDS=60
readonly ROLE=toritsugi

RUN_DIR="$1"
REDIS_PID="" POSTGRES_PID="" SENTINEL_PID="" CLUSTER_PID="" SENTINEL_PORT="" CLUSTER_PORT="" TLS_PID="" TLS_PORT="" REDIS_PORT="" POSTGRES_PORT="" BIN="" AS=()

# Debian keeps PostgreSQL's programs apart from PATH, one directory a version.
find_postgres() {
  local found
  found="$(command -v initdb || find /usr/lib/postgresql -path '*/bin/initdb' 2> /dev/null | sort -V | tail -n 1)"
  [[ -n "$found" ]] && BIN="$(dirname "$(readlink -f "$found")")"
}

# Without the cluster and the services that the packages would start by themselves.
install() {
  export RUNLEVEL=1
  need redis-server redis-server
  if find_postgres; then return; fi
  if ((EUID == 0)); then
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.d/toritsugi-tests.conf
  fi
  say "installing postgresql"
  ((EUID == 0)) || die "PostgreSQL is missing. On Debian or Ubuntu: sudo apt-get install postgresql"
  install_packages postgresql > /dev/null ||
    { apt-get update > /dev/null && install_packages postgresql > /dev/null; } ||
    die "apt-get could not install postgresql"
}

# wait_for PID COMMAND…: waits until COMMAND succeeds; fails when the process ends or the time is over.
wait_for() {
  local pid="$1" deadline=$((SECONDS + START_TIMEOUT_SECONDS))
  shift
  while ! "$@" > /dev/null 2>&1; do
    kill -0 "$pid" 2> /dev/null || return 1
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}

# A Redis that is still loading its data answers, but not with PONG.
redis_answers() { [[ "$(redis-cli -p "$REDIS_PORT" ping)" == PONG ]]; }

start_redis() {
  setpriv --pdeathsig KILL redis-server --bind 127.0.0.1 --port "$REDIS_PORT" --dir "$RUN_DIR/redis" \
    --save "" --appendonly yes --appendfsync everysec --daemonize no < /dev/null >> "$RUN_DIR/redis.log" 2>&1 &
  REDIS_PID=$!
  wait_for "$REDIS_PID" redis_answers
}

# Each store opens up to ten connections, and the tests of a large machine have many stores at once.
start_postgres() {
  "${AS[@]}" setpriv --pdeathsig QUIT "$BIN/postgres" -D "$RUN_DIR/postgres" -F -p "$POSTGRES_PORT" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=1000 \
    < /dev/null >> "$RUN_DIR/postgres.log" 2>&1 &
  POSTGRES_PID=$!
  wait_for "$POSTGRES_PID" "$BIN/pg_isready" -q -h 127.0.0.1 -p "$POSTGRES_PORT" -d postgres
}

start_sentinel() {
  SENTINEL_PORT="$(free_port "$PORT_MIN" "$PORTS")"
  printf 'port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor cti 127.0.0.1 %s 1\n' \
    "$SENTINEL_PORT" "$RUN_DIR/redis" "$REDIS_PORT" > "$RUN_DIR/sentinel.conf"
  setpriv --pdeathsig KILL redis-server "$RUN_DIR/sentinel.conf" --sentinel < /dev/null >> "$RUN_DIR/redis.log" 2>&1 &
  SENTINEL_PID=$!
  wait_for "$SENTINEL_PID" redis-cli -p "$SENTINEL_PORT" sentinel get-master-addr-by-name cti
}

cluster_is_whole() { redis-cli -p "$CLUSTER_PORT" cluster info | grep -q cluster_state:ok; }

start_cluster() {
  CLUSTER_PORT="$(free_port "$PORT_MIN" "$PORTS")"
  mkdir -p "$RUN_DIR/cluster"
  setpriv --pdeathsig KILL redis-server --bind 127.0.0.1 --port "$CLUSTER_PORT" --dir "$RUN_DIR/cluster" --save "" \
    --cluster-enabled yes < /dev/null >> "$RUN_DIR/redis.log" 2>&1 &
  CLUSTER_PID=$!
  wait_for "$CLUSTER_PID" redis-cli -p "$CLUSTER_PORT" cluster addslotsrange 0 16383
  wait_for "$CLUSTER_PID" cluster_is_whole
}

start_tls() {
  local dir="$RUN_DIR/tls"
  TLS_PORT="$(free_port "$PORT_MIN" "$PORTS")"
  setpriv --pdeathsig KILL redis-server --bind 127.0.0.1 --port 0 --tls-port "$TLS_PORT" --dir "$dir" --save "" \
    --tls-cert-file "$dir/cert.pem" --tls-key-file "$dir/key.pem" --tls-auth-clients no \
    < /dev/null >> "$RUN_DIR/redis.log" 2>&1 &
  TLS_PID=$!
  wait_for "$TLS_PID" redis-cli --tls --cacert "$dir/cert.pem" -h localhost -p "$TLS_PORT" ping
}

end() {
  local pid="$1" signal="$2"
  [[ -n "$pid" ]] || return 0
  kill "-$signal" "$pid" 2> /dev/null || true
  wait "$pid" 2> /dev/null || true
}

stop_all() {
  end "$REDIS_PID" KILL
  end "$SENTINEL_PID" KILL
  end "$CLUSTER_PID" KILL
  end "$TLS_PID" KILL
  end "$POSTGRES_PID" QUIT
  rm -rf -- "$RUN_DIR"
}

write_env() {
  printf '%s=%s\n' REDIS_PORT "$REDIS_PORT" POSTGRES_PORT "$POSTGRES_PORT" SENTINEL_PORT "$SENTINEL_PORT" \
    CLUSTER_PORT "$CLUSTER_PORT" TLS_PORT "$TLS_PORT" > "$RUN_DIR/backends.env"
}

first_start() {
  local try
  mkdir -p "$RUN_DIR/redis" "$RUN_DIR/postgres"
  chmod 711 "$RUN_DIR"
  if ((EUID == 0)); then
    chown postgres "$RUN_DIR/postgres"
    AS=(setpriv --reuid postgres --regid postgres --clear-groups)
  fi
  : > "$RUN_DIR/postgres.log"
  "${AS[@]}" "$BIN/initdb" -D "$RUN_DIR/postgres" -U "$ROLE" -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
    >> "$RUN_DIR/postgres.log" 2>&1 || die "initdb failed:"$'\n'"$(cat "$RUN_DIR/postgres.log")"
  for try in 1 2 3 4 5; do
    REDIS_PORT="$(free_port "$PORT_MIN" "$PORTS")"
    if start_redis; then break; fi
    ((try < 5)) || die "redis-server does not start:"$'\n'"$(cat "$RUN_DIR/redis.log")"
  done
  for try in 1 2 3 4 5; do
    POSTGRES_PORT="$(free_port "$PORT_MIN" "$PORTS")"
    if start_postgres; then break; fi
    ((try < 5)) || die "postgres does not start:"$'\n'"$(cat "$RUN_DIR/postgres.log")"
  done
  write_env
}

need setpriv util-linux flock util-linux awk mawk
# Several test binaries may start at the same time.
(
  flock 8
  install
) 8> "${TMPDIR:-/tmp}/toritsugi-backends-install.lock"
[[ "$RUN_DIR" != --install ]] || exit 0
[[ -n "$BIN" ]] || find_postgres || die "PostgreSQL's programs are not where Debian puts them"
trap stop_all EXIT
first_start
echo ready
while read -r command; do
  case "$command" in
    "stop redis") end "$REDIS_PID" TERM; REDIS_PID=""; echo stopped ;;
    "kill redis") end "$REDIS_PID" KILL; REDIS_PID=""; echo stopped ;;
    "start redis") start_redis || die "redis-server does not start again"; echo ready ;;
    "stop postgres" | "kill postgres") end "$POSTGRES_PID" QUIT; POSTGRES_PID=""; echo stopped ;;
    "start postgres") start_postgres || die "postgres does not start again"; echo ready ;;
    "start sentinel" | "start cluster" | "start tls")
      "${command/ /_}" || die "redis-server does not $command"
      write_env
      echo ready
      ;;
    *) break ;;
  esac
done
