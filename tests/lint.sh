#!/usr/bin/env bash
# make lint: checks the tree without running the program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly FILE_LINES_MAX=600
failed=0
fail() { say "lint: $*"; failed=1; }

need shellcheck shellcheck git git awk mawk
need_cargo

say "lint: format"
cargo fmt --check -- -l || fail "run cargo fmt"

say "lint: clippy"
cargo clippy --locked --all-targets -- -D warnings || fail "clippy reports a problem"

say "lint: the fuzz targets' lock file"
cargo metadata --locked --manifest-path fuzz/Cargo.toml --format-version 1 > /dev/null || fail "run cargo update --workspace in fuzz/"

say "lint: imports run downwards"
# The order of the modules is defined in src/lib.rs only.
mapfile -t sources < <(git ls-files 'src/*.rs')
awk -f tests/import_order.awk src/lib.rs "${sources[@]}" || fail "an import runs upwards: see the order of modules in src/lib.rs"

say "lint: shell"
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
shellcheck --external-sources "${scripts[@]}" || fail "shellcheck reports a problem"

say "lint: documentation"
RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --no-deps --document-private-items --quiet || fail "rustdoc reports a problem"

say "lint: licences and excluded libraries"
# Of "A OR B" (formerly written A/B) one licence must be allowed; of "A AND B" each.
cargo tree --locked --edges normal,build --prefix none --format '{p}|{l}' --no-dedupe | sort -u | awk -F '|' '
  FILENAME == ".deny.toml" {
    if (/^(allow|deny) = \[$/) list = $1 ~ /^allow/ ? "allow" : "deny"
    else if (/^\[\[licenses.exceptions\]\]/) list = "exception"
    else if (/^(\]|$)/) list = ""
    else if (list && match($0, /"[^"]+"/)) listed[list, substr($0, RSTART + 1, RLENGTH - 2)]
    next
  }
  { split($1, package, " "); name = package[1] }
  name == "toritsugi" { next }
  ("deny", name) in listed { print name " is excluded by .deny.toml"; bad = 1 }
  $1 ~ /\/\// { print name " is not from the registry: " $1; bad = 1 }
  ("exception", name) in listed { next }
  {
    license = $2 ? $2 : "(none)"
    gsub(/[()]/, "", license)
    gsub(/ *\/ */, " OR ", license)
    parts = split(license, part, " AND ")
    for (i = 1; i <= parts; i++) {
      good = 0
      choices = split(part[i], choice, " OR ")
      for (j = 1; j <= choices; j++) if (("allow", choice[j]) in listed) good = 1
      if (!good) { print name " has the licence " license ", which .deny.toml does not allow"; bad = 1 }
    }
  }
  END { exit bad }' .deny.toml - || fail "a library is not allowed: see the lines above and .deny.toml"

say "lint: paths of machines, and long files"
if git grep -nE '(^|[^[:alnum:]_.~-])/(root|work|home/[a-z]+)/' -- ':!tests/lint.sh' ':!LICENSE'; then
  fail "the lines above contain a path of a machine: remove it"
fi
while IFS= read -r file; do
  lines="$(awk '/^#\[cfg\(test\)\]/ { exit } { n++ } END { print n + 0 }' "$file")"
  ((lines <= FILE_LINES_MAX)) || fail "$file has $lines lines before its tests; at most $FILE_LINES_MAX are allowed"
done < <(git ls-files 'src/*.rs' 'src/**/*.rs' ':(exclude)*/tests.rs')

exit "$failed"
