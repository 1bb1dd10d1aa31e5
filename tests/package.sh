#!/usr/bin/env bash
# Installs, upgrades, removes and purges the Debian package on a machine without Rust and Node.js, beside a real Asterisk.
#
#   package.sh [BINARY]    by default the binary that `cargo build` made
#
# The machine is the lab's Asterisk root (tests/pbx_lab/root.sh) under an overlay, so nothing that the package does is left;
# its processes and its network are its own (unshare). systemd's part is played by a stand-in for systemctl, which starts
# and stops the command of the unit as the unit's user; systemd-analyze checks the unit itself. It needs root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

# How long a server may take to start.
readonly START_SECONDS_MAX=60
readonly FIRST=0.1.0 NEXT=0.1.1~test
FAULTS=0

# expect PROMISE COMMAND …
expect() {
  local promise="$1"
  shift
  if "$@" > "$WORK/out" 2>&1; then echo "ok      $promise"; else
    echo "FAILED  $promise: $*"
    tail -n 15 "$WORK/out"
    FAULTS=$((FAULTS + 1))
  fi
}
refuses() { ! "$@"; }
inside() { chroot "$ROOT" "$@"; }
as_daemon() { chroot --userspec=toritsugi:toritsugi "$ROOT" "$@"; }
says() { # says TEXT COMMAND …: its output has the text
  local text="$1"
  shift
  "$@" > "$WORK/said" 2>&1 || true
  grep -qF -- "$text" "$WORK/said" || { cat "$WORK/said"; return 1; }
}
is_mode() { # is_mode "MODE USER:GROUP" FILE, by the names of the machine inside
  local is
  is="$(inside stat -c '%a %U:%G' "$2")"
  [[ "$is" == "$1" ]] || { echo "$is"; return 1; }
}
# The unit, with a program that this machine has.
is_right_unit() {
  sed 's,^ExecStart=[^ ]*,ExecStart=/bin/true,' "$ROOT/usr/lib/systemd/system/toritsugi.service" > "$WORK/toritsugi.service"
  systemd-analyze verify --man=no "$WORK/toritsugi.service"
}

# until COMMAND …: asks until it succeeds.
wait_until() {
  local deadline=$((SECONDS + START_SECONDS_MAX))
  until "$@" > /dev/null 2>&1; do
    ((SECONDS < deadline)) || { echo "in $START_SECONDS_MAX s: $*" >&2; return 1; }
    sleep 0.1
  done
}
ready() { curl -sf http://127.0.0.1:8470/readyz | tee "$WORK/ready" | grep -q '"ready":true'; }
answers() { curl -s http://127.0.0.1:8470/healthz; }
daemon_pid() { cat "$ROOT/run/toritsugi.pid"; }

make_root() {
  local base
  base="$(tests/pbx_lab/root.sh 22 private)"
  mkdir -p "$WORK"/{upper,work,root}
  mount -t tmpfs tmpfs "$WORK/upper"
  mkdir "$WORK"/upper/{upper,work}
  if ! mount -t overlay overlay -o "lowerdir=$base,upperdir=$WORK/upper/upper,workdir=$WORK/upper/work" "$ROOT" 2> /dev/null; then
    # A kernel without overlays in this place: a copy, in memory.
    mount -t tmpfs tmpfs "$ROOT"
    cp -a "$base/." "$ROOT/"
  fi
  mount -t proc proc "$ROOT/proc"
  mkdir -p "$ROOT/run/systemd/system" "$ROOT/run/asterisk"
  inside chown asterisk:asterisk /run/asterisk
  cat > "$ROOT/usr/bin/systemctl" << 'SYSTEMCTL'
#!/bin/sh
# Stands in for systemd: one unit, whose ExecStart runs as its User.
unit=/usr/lib/systemd/system/toritsugi.service pid=/run/toritsugi.pid
value() { sed -n "s/^$1=//p" "$unit"; }
alive() { [ -s "$pid" ] && kill -0 "$(cat "$pid")" 2> /dev/null; }
start() {
  alive && return
  setpriv --reuid "$(value User)" --regid "$(value Group)" --init-groups --reset-env \
    $(value ExecStart) > /run/toritsugi.log 2>&1 < /dev/null &
  echo $! > "$pid"
}
stop() {
  alive || return 0
  kill "$(cat "$pid")"
  while alive; do sleep 0.1; done
  rm -f "$pid"
}
for word in "$@"; do
  case "$word" in
    preset)
      mkdir -p /etc/systemd/system/multi-user.target.wants
      ln -sf "$unit" /etc/systemd/system/multi-user.target.wants/toritsugi.service
      exit
      ;;
    is-enabled) [ -L /etc/systemd/system/multi-user.target.wants/toritsugi.service ] && echo enabled; exit ;;
    is-active) alive; exit ;;
    start) start ;;
    stop) stop ;;
    restart) stop; start ;;
  esac
done
SYSTEMCTL
  chmod 755 "$ROOT/usr/bin/systemctl"
}

# An ordinary office's PBX, on the configuration files of the distribution.
office_pbx() {
  local etc="$ROOT/etc/asterisk"
  printf '\n[general](+)\nenabled = yes\nbindaddr = 127.0.0.1\n' >> "$etc/manager.conf"
  cat >> "$etc/pjsip.conf" << 'CONF'

[office-udp]
type = transport
protocol = udp
bind = 127.0.0.1
[carrier-a]
type = endpoint
context = from-carrier
disallow = all
allow = ulaw
aors = carrier-a
[carrier-a]
type = aor
contact = sip:127.0.0.2
[1001]
type = endpoint
context = internal
disallow = all
allow = ulaw
aors = 1001
[1001]
type = aor
max_contacts = 1
CONF
  printf '\n[uketsuke]\nstrategy = ringall\n' >> "$etc/queues.conf"
  printf '\n[featuremap](+)\natxfer = *2\n' >> "$etc/features.conf"
  cat >> "$etc/extensions.conf" << 'CONF'

[from-carrier]
exten => _0XXXXXXXXX,1,GosubIf(${DIALPLAN_EXISTS(toritsugi-identity,s,1)}?toritsugi-identity,s,1)
 same => n,Queue(uketsuke,t)
[internal]
exten => 1001,1,Dial(PJSIP/1001,30,t)
[globals](+)
TORITSUGI_TRUNK = carrier-a
CONF
}

start_asterisk() {
  inside asterisk -U asterisk -G asterisk -f -n > "$WORK/asterisk.log" 2>&1 &
  wait_until inside asterisk -rx 'core waitfullybooted'
}

# What /usr/share/doc/toritsugi/README.Debian says, step by step.
follow_the_readme() {
  printf '\n#include /etc/toritsugi/asterisk-manager.conf\n' >> "$ROOT/etc/asterisk/manager.conf"
  printf '\n#tryinclude /usr/share/toritsugi/asterisk/toritsugi-dialplan.conf\n' >> "$ROOT/etc/asterisk/extensions.conf"
  inside asterisk -rx 'core reload' > /dev/null
  sed -i -e 's/^#\(trunks\|trunk_contexts\|operator_extensions\|queues\|service_number\)/\1/' "$ROOT/etc/toritsugi/toritsugi.toml"
  inside systemctl restart toritsugi
}

# Files that are there now; what Asterisk, apt and dpkg write is not the package's.
list_files() {
  (cd "$ROOT" && find etc usr var -xdev ! -path 'var/lib/dpkg/*' ! -path 'var/log/*' ! -path 'var/*/asterisk/*' ! -path 'var/*/asterisk' \
    ! -path 'var/lib/systemd/*' ! -path 'var/lib/systemd' ! -path 'var/cache/*' ! -name '*-' | sort)
}

installed() {
  expect "installs" inside dpkg -i "/packages/$(basename "$PACKAGE_1")"
  expect "the unit is right" is_right_unit
  expect "the service is enabled" inside systemctl is-enabled toritsugi.service
  expect "the daemon runs" wait_until answers
  expect "the daemon runs as its user" test "$(inside stat -c %U "/proc/$(daemon_pid)")" = toritsugi
  expect "--version" says "toritsugi 0." inside toritsugi --version
  expect "the page is built in" says '<script type="module"' curl -s http://127.0.0.1:8470/
  expect "a manual page for a command of a command" test -s "$ROOT/usr/share/man/man1/toritsugi-user-add.1.gz"
  expect "bash reads the completions" inside bash -n /usr/share/bash-completion/completions/toritsugi
  expect "the sounds are where Asterisk looks" inside test -s /usr/share/asterisk/sounds/toritsugi/accept.ulaw
  expect "the secrets are the daemon's" is_mode "600 toritsugi:toritsugi" /etc/toritsugi/events.secret
  expect "Asterisk may read the manager users, others not" is_mode "640 root:asterisk" /etc/toritsugi/asterisk-manager.conf
  expect "the manager users have the secrets" refuses grep -q REPLACE-ME "$ROOT/etc/toritsugi/asterisk-manager.conf"
  expect "the records are the daemon's" is_mode "750 toritsugi:toritsugi" /var/lib/toritsugi
  expect "nothing of Asterisk's own was changed" inside dpkg --verify asterisk-config
}

connected() {
  follow_the_readme
  expect "the daemon reaches the PBX" wait_until ready
  expect "/readyz has the version" grep -q '"version":"0\.' "$WORK/ready"
  expect "check finds nothing that fails" as_daemon toritsugi check
  expect "a user is added" as_daemon toritsugi user add admin --role admin --token-file /var/lib/toritsugi/admin.token
}

upgraded() {
  local before secret
  before="$(daemon_pid)" secret="$(cat "$ROOT/etc/toritsugi/events.secret")"
  echo '# of this house' >> "$ROOT/etc/toritsugi/toritsugi.toml"
  expect "upgrades" inside env DEBIAN_FRONTEND=noninteractive dpkg -i "/packages/$(basename "$PACKAGE_2")"
  expect "the new version is installed" says "$NEXT" inside dpkg-query -W toritsugi
  expect "the daemon was restarted" test "$(daemon_pid)" != "$before"
  expect "the daemon reaches the PBX after the upgrade" wait_until ready
  expect "the settings of the house stay" grep -q '^# of this house' "$ROOT/etc/toritsugi/toritsugi.toml"
  expect "the secrets stay" test "$(cat "$ROOT/etc/toritsugi/events.secret")" = "$secret"
  expect "the records stay" says admin as_daemon toritsugi user list
  expect "the same version again changes nothing" inside dpkg -i "/packages/$(basename "$PACKAGE_2")"
}

removed() {
  expect "removes" inside dpkg -r toritsugi
  expect "the daemon was stopped" refuses answers
  expect "the program is gone" test ! -e "$ROOT/usr/bin/toritsugi"
  expect "the settings are kept" test -s "$ROOT/etc/toritsugi/events.secret"
  expect "the records are kept" test -s "$ROOT/var/lib/toritsugi/toritsugi.db"
  expect "the PBX goes on, and loads its dialplan without the package" says from-carrier inside asterisk -rx 'dialplan show from-carrier'
  expect "installs again" inside dpkg -i "/packages/$(basename "$PACKAGE_2")"
  expect "with the kept settings it reaches the PBX" wait_until ready
}

purged() {
  expect "purges" inside dpkg -P toritsugi
  expect "no daemon answers" refuses answers
  expect "the user is gone" refuses inside getent passwd toritsugi
  list_files > "$WORK/after"
  expect "nothing is left" diff "$WORK/before" "$WORK/after"
}

run_inside() {
  ip link set lo up
  make_root
  mkdir "$ROOT/packages"
  cp "$PACKAGE_1" "$PACKAGE_2" "$ROOT/packages/"
  office_pbx
  start_asterisk
  list_files > "$WORK/before"
  installed
  connected
  upgraded
  removed
  purged
  ((FAULTS == 0)) || die "the package test: $FAULTS failed"
  say "the package: installed, upgraded, removed and purged in $SECONDS s"
}

main() {
  ((EUID == 0)) || die "the package test needs root: sudo -E tests/package.sh"
  need unshare util-linux ip iproute2 curl curl systemd-analyze systemd dpkg-deb dpkg
  need_cargo
  local binary="${1:-${CARGO_TARGET_DIR:-target}/debug/toritsugi}"
  [[ -x "$binary" ]] || cargo build --locked
  WORK="$(mktemp -d "${TMPDIR:-/tmp}/toritsugi-package-XXXXXX")"
  # The mounts are those of the namespace and end with it.
  trap 'rm -rf -- "$WORK"' EXIT
  chmod 755 "$WORK"
  PACKAGE_1="$(packaging/deb.sh --binary "$binary" --version "$FIRST" --to "$WORK" --quick)"
  PACKAGE_2="$(packaging/deb.sh --binary "$binary" --version "$NEXT" --to "$WORK" --quick)"
  export WORK PACKAGE_1 PACKAGE_2
  # Built before, outside: the private root may need the network, once.
  tests/pbx_lab/root.sh 22 private > /dev/null
  unshare --mount --net --pid --fork --kill-child --mount-proc tests/package.sh --inside
}

if [[ "${1:-}" == --inside ]]; then
  ROOT="$WORK/root"
  run_inside
else
  main "$@"
fi
