#!/usr/bin/env bash
# make test: runs all tests from a clean clone, including those on the private Asterisk of the lab.
#
# Prints the number of tests and exits with 0, or prints the failed tests and exits with 1. Invariant: no process that
# the script started outlives it. Each process inherits a mark in its environment; the script searches for it at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly MARK="TORITSUGI_TEST_RUN=$$-$EPOCHSECONDS"
export "${MARK?}"
# What a failed test says is its evidence; a backtrace after each failure hides it in a long log.
export RUST_BACKTRACE=0
# The command speaks the language of the terminal; the tests compare its English.
export LC_ALL=C.UTF-8

processes_left() {
  local environ pid
  for environ in /proc/[0-9]*/environ; do
    pid="${environ#/proc/}" pid="${pid%/environ}"
    if [[ "$pid" != "$$" && "$pid" != "$BASHPID" ]] && grep -qzxF "$MARK" "$environ" 2> /dev/null; then
      echo "$pid $(tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null)"
    fi
  done
}

need cc gcc awk mawk setpriv util-linux chromium chromium pdfimages poppler-utils pdftotext poppler-utils
need_cargo
desktop/build.sh
# The browser tests save pictures of the page, which are useless without a Japanese font.
if ! fc-list :lang=ja 2> /dev/null | grep -q . && ((EUID == 0)) && command -v apt-get > /dev/null; then
  install_packages fonts-noto-cjk > /dev/null || say "no Japanese font: the pictures will show boxes"
fi
say "the lab's Asterisk: $(tests/pbx_lab/root.sh)"
say "Redis and PostgreSQL for the tests of several daemons"
tests/services/up.sh --install
say "Postfix and Dovecot for the tests of messages as mails"
tests/mail_lab/up.sh --install
# A full disk fails the tests one by one, with errors of databases and sockets that do not name the cause.
readonly DISK_GIB_NEEDED=12
disk_gib_free() { df --output=avail --block-size=1G . | awk 'NR == 2 { print $1 }'; }
if (($(disk_gib_free) < DISK_GIB_NEEDED)); then
  say "$(disk_gib_free) GiB are free on the disk; a first run needs up to $DISK_GIB_NEEDED"
fi
say "building and testing (a first build takes some minutes)"
log="$(mktemp)"
trap 'rm -f -- "$log"' EXIT
status=0
# The tests with calls take long and use little CPU. Two processes share them, each with a PBX of its own: the second one begins
# when the tests without calls are done.
readonly CALLS_OF_THE_SECOND=(faults:: fax:: demo::)
test_calls() {
  # Successful tests print measurements, which must be shown.
  cargo test --locked --no-fail-fast --test e2e -- --show-output "$@"
}
test_without_calls() {
  local source name others=()
  for source in tests/*.rs tests/*/main.rs; do
    name="${source#tests/}" name="${name%/main.rs}" name="${name%.rs}"
    if [[ "$name" != e2e ]]; then others+=(--test "$name"); fi
  done
  cargo test --locked --no-fail-fast --lib --bins "${others[@]}"
}
test_all() {
  local of_calls name skip=() status=0
  cargo test --locked --no-run || return
  for name in "${CALLS_OF_THE_SECOND[@]}"; do skip+=(--skip "$name"); done
  test_calls "${skip[@]}" &
  of_calls=$!
  test_without_calls || status=$?
  test_calls "${CALLS_OF_THE_SECOND[@]}" || status=$?
  wait "$of_calls" || status=$?
  cargo test --locked --doc || status=$?
  return "$status"
}
if (($#)); then
  cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
else
  test_all 2>&1 | tee "$log" || status=$?
fi

awk '/^test result:/ { binaries++; passed += $4; failed += $6; ignored += $8 }
  END { printf "\n%d passed, %d failed, %d ignored in %d test binaries\n", passed, failed, ignored, binaries }' "$log"
grep -E '^test .* FAILED$' "$log" || true
# What they said again, at the end of a log that few read from its beginning.
grep -A 12 -E "^thread '.*' .*panicked at " "$log" | cut -c 1-600 | tail -n 150 || true
if grep -qE '^test result:.* [1-9][0-9]* ignored' "$log"; then
  say "a test is ignored, which is not allowed"
  status=1
fi
# The package of the binary that was just tested; only root can make a machine for it.
if (($# == 0)); then
  if ((EUID == 0)); then
    tests/package.sh || { say "the package test failed"; status=1; }
  else
    say "not run, because it needs root: sudo -E tests/package.sh"
  fi
fi
if ((status != 0)) && (($(disk_gib_free) < 1)); then say "the disk is full: free $DISK_GIB_NEEDED GiB and run the tests again"; fi
leftovers="$(processes_left)"
if [[ -n "$leftovers" ]]; then
  say "these processes are still running:"$'\n'"$leftovers"
  status=1
fi
exit "$status"
