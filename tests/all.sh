#!/usr/bin/env bash
# make test: everything, from a clean clone, on the private Asterisk of the lab too.
#
# Ends with the number of tests and 0, or with what failed and 1. Invariant: no process that it started outlives
# it; every one inherits a mark in its environment, which is looked for at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly MARK="TORITSUGI_TEST_RUN=$$-$EPOCHSECONDS"
export "${MARK?}"

left_over() {
  local environ pid
  for environ in /proc/[0-9]*/environ; do
    pid="${environ#/proc/}" pid="${pid%/environ}"
    if [[ "$pid" != "$$" && "$pid" != "$BASHPID" ]] && grep -qzxF "$MARK" "$environ" 2> /dev/null; then
      echo "$pid $(tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null)"
    fi
  done
}

need cc gcc awk mawk setpriv util-linux chromium chromium
need_cargo
desktop/build.sh
# The browser tests keep pictures of the page, which say nothing without Japanese letters.
if ! fc-list :lang=ja 2> /dev/null | grep -q . && ((EUID == 0)) && command -v apt-get > /dev/null; then
  install_packages fonts-noto-cjk > /dev/null || say "no Japanese font: the pictures will show boxes"
fi
say "the lab's Asterisk: $(tests/lab/root.sh)"
say "Redis and PostgreSQL for the tests of several daemons"
tests/backends/up.sh --install
say "building and testing (a first build takes some minutes)"
log="$(mktemp)"
trap 'rm -f -- "$log"' EXIT
status=0
# Calls take their time and little of the CPU's: beside the tests of calls the others run.
beside_calls() {
  local source name others=()
  for source in tests/*.rs tests/*/main.rs; do
    name="${source#tests/}" name="${name%/main.rs}" name="${name%.rs}"
    if [[ "$name" != real ]]; then others+=(--test "$name"); fi
  done
  cargo test --locked --no-fail-fast --lib --bins "${others[@]}"
}
everything() {
  local of_calls status=0
  cargo test --locked --no-run || return
  # The figures of tests that pass belong to what is shown.
  cargo test --locked --no-fail-fast --test real -- --show-output &
  of_calls=$!
  beside_calls || status=$?
  wait "$of_calls" || status=$?
  cargo test --locked --doc || status=$?
  return "$status"
}
if (($#)); then
  cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
else
  everything 2>&1 | tee "$log" || status=$?
fi

awk '/^test result:/ { binaries++; passed += $4; failed += $6; ignored += $8 }
  END { printf "\n%d passed, %d failed, %d ignored in %d test binaries\n", passed, failed, ignored, binaries }' "$log"
grep -E '^test .* FAILED$' "$log" || true
if grep -qE '^test result:.* [1-9][0-9]* ignored' "$log"; then
  say "a test is ignored: none may be"
  status=1
fi
leftovers="$(left_over)"
if [[ -n "$leftovers" ]]; then
  say "still running, and must not be:"$'\n'"$leftovers"
  status=1
fi
exit "$status"
