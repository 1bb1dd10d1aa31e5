#!/usr/bin/env bash
# make page: checks, tests and builds the page of operators and supervisors into desktop/dist, from where build.rs
# includes it. It does nothing if desktop/dist is newer than all sources.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=tests/tools.sh
. ../tests/tools.sh

readonly NODE_MIN=20.19.0

is_current() {
  [[ -f dist/index.html ]] &&
    [[ -z "$(find src public tests index.html ./*.ts ./*.mjs ./*.json ../src/gateway/openapi.json -newer dist/index.html -print -quit)" ]]
}

if is_current; then
  say "the page is up to date"
  exit 0
fi
need node nodejs npm npm
version="$(node --version)"
[[ "$(printf '%s\n' "$NODE_MIN" "${version#v}" | sort -V | head -n 1)" == "$NODE_MIN" ]] ||
  die "Node.js ${version#v} is too old for the page: $NODE_MIN or newer is needed"
if [[ ! -d node_modules || package-lock.json -nt node_modules/.package-lock.json ]]; then
  say "installing the packages that build the page"
  npm ci --no-fund --no-audit --loglevel=error
  touch node_modules/.package-lock.json
fi
say "checking, testing and building the page"
npm run --silent types > /dev/null
npm run --silent check > .check.log || { cat .check.log; die "the type check of the page failed"; }
npm run --silent test > .test.log || { cat .test.log; die "a test of the page failed"; }
npm run --silent build
touch dist/index.html
