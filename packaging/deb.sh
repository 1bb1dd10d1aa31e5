#!/usr/bin/env bash
# make deb: builds the Debian package and prints its name.
#
#   deb.sh [--binary FILE] [--version VERSION] [--to DIRECTORY] [--quick]
#
# Without --binary it builds the page and a release binary first. --quick compresses little, for tests. The package needs
# nothing of Rust or Node.js where it is installed.
#
# Invariant: the content of the package is that of this tree; its times are those of the last commit, so the same tree
# gives the same package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

BINARY="" VERSION="" TO=target/package COMPRESS=(-Zxz) ROOT=""
VERSION="$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)"

while (($#)); do
  case "$1" in
    --binary) BINARY="$2"; shift 2 ;;
    --version) VERSION="$2"; shift 2 ;;
    --to) TO="$2"; shift 2 ;;
    --quick) COMPRESS=(-Zgzip -z1); shift ;;
    *) die "deb.sh: unknown option $1; known are --binary, --version, --to and --quick" ;;
  esac
done

put() { # put MODE FILE … DIRECTORY
  local mode="$1" directory="${*: -1}" files=("${@:2:$#-2}")
  install -d -m 0755 "$ROOT$directory"
  install -m "$mode" "${files[@]}" "$ROOT$directory"
}

# The oldest C library that has every symbol of the binary.
libc_min() {
  objdump -T "$1" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -V | tail -n 1
}

program() {
  install -d -m 0755 "$ROOT/usr/bin"
  strip --strip-unneeded -o "$ROOT/usr/bin/toritsugi" "$BINARY"
  chmod 755 "$ROOT/usr/bin/toritsugi"
  sed -e '1s/ Copy it to.*//' -e 's,/usr/local/bin/,/usr/bin/,' systemd/toritsugi.service > "$ROOT/unit"
  install -D -m 0644 "$ROOT/unit" "$ROOT/usr/lib/systemd/system/toritsugi.service"
  rm -- "$ROOT/unit"
}

# Manual pages and completions are those of this very binary.
described_by_the_binary() {
  local man="$ROOT/usr/share/man/man1"
  mkdir -p "$man" "$ROOT"/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
  "$BINARY" man --to "$man"
  gzip -9n "$man"/*.1
  "$BINARY" completions bash > "$ROOT/usr/share/bash-completion/completions/toritsugi"
  "$BINARY" completions zsh > "$ROOT/usr/share/zsh/vendor-completions/_toritsugi"
  "$BINARY" completions fish > "$ROOT/usr/share/fish/vendor_completions.d/toritsugi.fish"
}

for_the_pbx() {
  local share=/usr/share/toritsugi/asterisk
  put 0644 asterisk-conf/toritsugi-dialplan.conf asterisk-conf/README.md "$share"
  put 0644 asterisk-conf/snippets/*.conf "$share/snippets"
  put 0644 asterisk-conf/*.conf "$share/new-pbx"
  put 0644 asterisk-conf/local.d/*.example "$share/new-pbx/local.d"
  # Where Asterisk of Debian looks for sounds.
  put 0644 asterisk-conf/sounds/toritsugi/*.ulaw /usr/share/asterisk/sounds/toritsugi
  local folder
  for folder in area place minutes; do
    put 0644 asterisk-conf/sounds/toritsugi/"$folder"/*.ulaw /usr/share/asterisk/sounds/toritsugi/"$folder"
  done
}

documents() {
  local doc=/usr/share/doc/toritsugi
  put 0644 packaging/debian/toritsugi.toml /etc/toritsugi
  put 0644 README.md README.ja.md src/config/default.toml packaging/debian/README.Debian "$doc"
  put 0644 docs/*.md "$doc/docs"
  put 0644 docs/templates/*.csv "$doc/docs/templates"
  put 0644 packaging/debian/copyright "$doc"
  gzip -9nc CHANGELOG.md > "$ROOT$doc/changelog.gz"
}

control() {
  local size
  size="$(du -sk --apparent-size "$ROOT" | cut -f 1)"
  mkdir -p "$ROOT/DEBIAN"
  sed -e "s/@VERSION@/$VERSION/" -e "s/@ARCHITECTURE@/$(dpkg --print-architecture)/" -e "s/@SIZE@/$size/" \
    -e "s/@LIBC@/$(libc_min "$BINARY")/" packaging/debian/control > "$ROOT/DEBIAN/control"
  printf '/etc/toritsugi/toritsugi.toml\n' > "$ROOT/DEBIAN/conffiles"
  install -m 0755 packaging/debian/{postinst,prerm,postrm} "$ROOT/DEBIAN"
  (cd "$ROOT" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$ROOT/DEBIAN/md5sums"
}

main() {
  need dpkg-deb dpkg objdump binutils strip binutils gzip gzip
  if [[ -z "$BINARY" ]]; then
    need_cargo
    desktop/build.sh
    cargo build --locked --release --bin toritsugi
    BINARY="${CARGO_TARGET_DIR:-target}/release/toritsugi"
  fi
  [[ -f desktop/dist/index.html ]] || die "the page is not built, and belongs into the package: run make page"
  ROOT="$(mktemp -d "${TMPDIR:-/tmp}/toritsugi-deb-XXXXXX")"
  trap 'rm -rf -- "$ROOT"' EXIT
  chmod 755 "$ROOT"
  umask 022
  program
  described_by_the_binary
  for_the_pbx
  documents
  control
  SOURCE_DATE_EPOCH="$(git log -1 --format=%ct 2> /dev/null || echo 0)"
  export SOURCE_DATE_EPOCH
  find "$ROOT" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  mkdir -p "$TO"
  local file
  file="$TO/toritsugi_${VERSION}_$(dpkg --print-architecture).deb"
  dpkg-deb --root-owner-group "${COMPRESS[@]}" --build "$ROOT" "$file" > /dev/null
  echo "$file"
}

main
