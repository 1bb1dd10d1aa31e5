#!/usr/bin/env bash
# make lint: what can be said about the tree without running it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly FILE_LINES_MAX=600
failed=0
complain() { say "lint: $*"; failed=1; }

need shellcheck shellcheck git git awk mawk
need_cargo

say "lint: format"
cargo fmt --check -- -l || complain "run cargo fmt"

say "lint: clippy"
cargo clippy --locked --all-targets -- -D warnings || complain "clippy has something to say"

say "lint: the fuzz targets' lock file"
cargo metadata --locked --manifest-path fuzz/Cargo.toml --format-version 1 > /dev/null || complain "run cargo update --workspace in fuzz/"

say "lint: shell"
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
shellcheck --external-sources "${scripts[@]}" || complain "shellcheck has something to say"

say "lint: documentation"
RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --no-deps --document-private-items --quiet || complain "rustdoc has something to say"

say "lint: licences and libraries that stay out"
# Of "A OR B" (once written A/B) one is enough; of "A AND B" each must be allowed.
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
  ("deny", name) in listed { print name " is kept out by .deny.toml"; bad = 1 }
  $1 ~ /\/\// { print name " does not come from the registry: " $1; bad = 1 }
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
  END { exit bad }' .deny.toml - || complain "a library does not fit"

say "lint: paths of machines, and files that grew too long"
if git grep -nE '(^|[^[:alnum:]_.~-])/(root|work|home/[a-z]+)/' -- ':!tests/lint.sh' ':!LICENSE'; then
  complain "the tree names a path of somebody's machine"
fi
while IFS= read -r file; do
  lines="$(awk '/^#\[cfg\(test\)\]/ { exit } { n++ } END { print n + 0 }' "$file")"
  ((lines <= FILE_LINES_MAX)) || complain "$file has $lines lines before its tests; $FILE_LINES_MAX is the ceiling"
done < <(git ls-files 'src/*.rs' 'src/**/*.rs' ':(exclude)*/tests.rs')

exit "$failed"
