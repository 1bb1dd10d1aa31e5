#!/usr/bin/env bash
# Finds or builds the Asterisk that the tests and the demo run, and prints its root
# directory (the only line on stdout).
#
#   root.sh            this machine's own Asterisk >= 18, else a private Debian
#                      sid root (Asterisk 22) under the user's cache directory
#   root.sh 16         a private Debian bullseye root (Asterisk 16), used only to
#                      record transcripts of an old version
#   root.sh 22 private the private root, also where this machine has an Asterisk
#
# Invariant: the printed directory is complete. A root is built under another name and
# renamed after its Asterisk was started once, so a later run never mistakes the rest of an
# interrupted run for a root.
set -euo pipefail

readonly WANTED="${1:-22}"
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/toritsugi"
readonly ROOT="$CACHE/asterisk-$WANTED"
readonly HOST_ASTERISK_MAJOR_MIN=18

case "$WANTED" in
  22) SUITE=sid PACKAGES=asterisk,sip-tester ;;
  16) SUITE=bullseye PACKAGES=asterisk ;;
  *) echo "root.sh: no recipe for Asterisk $WANTED (22 and 16 are known)" >&2; exit 2 ;;
esac

say() { echo "lab: $*" >&2; }

host_asterisk_is_recent() {
  command -v asterisk >/dev/null || return 1
  local version
  version="$(asterisk -V 2>/dev/null)" || return 1
  [[ "$version" =~ ^Asterisk\ ([0-9]+) ]] && (( BASH_REMATCH[1] >= HOST_ASTERISK_MAJOR_MIN ))
}

require_tools() {
  if (( EUID != 0 )); then
    cat >&2 <<MISSING
lab: no Asterisk $HOST_ASTERISK_MAJOR_MIN or newer on PATH, and only root can build a private one.
Do one of these, then run the same command again:
  - install Asterisk >= $HOST_ASTERISK_MAJOR_MIN from your distribution, or
  - run this once as root on Debian or Ubuntu:   sudo -E tests/pbx_lab/root.sh
MISSING
    exit 1
  fi
  command -v debootstrap >/dev/null && return
  if command -v apt-get >/dev/null; then
    say "installing debootstrap"
    apt-get install -y --no-install-recommends debootstrap >&2 ||
      { apt-get update >&2 && apt-get install -y --no-install-recommends debootstrap >&2; }
  else
    cat >&2 <<MISSING
lab: no Asterisk $HOST_ASTERISK_MAJOR_MIN or newer on PATH, and no debootstrap to build a private one.
Install one of them:
  - asterisk (>= $HOST_ASTERISK_MAJOR_MIN)
  - debootstrap (Arch: pacman -S debootstrap; Fedora: dnf install debootstrap)
MISSING
    exit 1
  fi
}

# Prints one line per hundred packages as progress.
show_progress() {
  local count=0 line
  while IFS= read -r line; do
    case "$line" in
      *Retrieving*|*Extracting*|*Unpacking*|*Configuring*)
        count=$((count + 1))
        if (( count % 100 == 0 )); then say "  $count steps: ${line#I: }"; fi ;;
      E:*|W:*) say "  $line" ;;
    esac
  done
}

build() {
  require_tools
  local partial="$ROOT.partial.$$"
  trap 'rm -rf -- "$partial"' EXIT
  say "building a private Asterisk $WANTED from Debian $SUITE in $ROOT (once, 1 to 5 minutes, about 600 MB)"
  if ! debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$partial" 2>&1 | show_progress; then
    say "debootstrap failed; its log ends with:"
    tail -n 5 "$partial/debootstrap/debootstrap.log" >&2 || true
    exit 1
  fi
  # A resolver that does not answer would delay the start of Asterisk and each call by
  # seconds; names are resolved from the hosts file only.
  : > "$partial/etc/resolv.conf"
  printf '127.0.0.1 localhost %s\n' "$(uname -n)" > "$partial/etc/hosts"
  rm -rf -- "$partial/var/cache/apt/archives" "$partial/var/lib/apt/lists"
  chroot "$partial" asterisk -V >&2
  mv -T -- "$partial" "$ROOT"
  trap - EXIT
}

main() {
  if [[ "$WANTED" != 16 && "${1:-}" != private ]] && host_asterisk_is_recent; then
    echo /
    return
  fi
  mkdir -p "$CACHE"
  exec 9> "$ROOT.lock"
  flock 9
  # The rest of an interrupted build; with the lock held, no other build is running.
  rm -rf -- "$ROOT".partial.*
  [[ -x "$ROOT/usr/sbin/asterisk" ]] || build
  # The host's name may differ from the name at the time of the build.
  printf '127.0.0.1 localhost %s\n' "$(uname -n)" > "$ROOT/etc/hosts" 2>/dev/null || true
  echo "$ROOT"
}

main "${2:-}"
