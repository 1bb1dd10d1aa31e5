#!/usr/bin/env bash
# make release: makes all files of a release, in target/release-files:
#
#   toritsugi_VERSION_ARCH.deb          the Debian package
#   toritsugi-VERSION-ARCH.tar.gz       the program, the unit, asterisk-conf and the documents, for other systems
#   toritsugi-VERSION.cdx.json          the software bill of materials (CycloneDX)
#   toritsugi[-pbx]-VERSION-oci.tar     the two container images; IMAGES=0 leaves them out
#   SHA256SUMS                          the checksums of the files above
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly TO=target/release-files
VERSION="$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)"
readonly VERSION
STAGE=""

archive() {
  local name
  name="toritsugi-$VERSION-$(uname -m)"
  local top="$STAGE/$name"
  mkdir -p "$top"
  strip --strip-unneeded -o "$top/toritsugi" "${CARGO_TARGET_DIR:-target}/release/toritsugi"
  cp -r systemd asterisk-conf docs README.md README.ja.md CHANGELOG.md LICENSE "$top/"
  tar -C "$STAGE" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -c "$name" |
    gzip -9n > "$TO/$name.tar.gz"
}

images() {
  local image file
  docker/images.sh
  for image in toritsugi toritsugi-pbx; do
    file="$TO/$image-$VERSION-oci.tar"
    rm -f -- "$file"
    if command -v docker > /dev/null && docker version > /dev/null 2>&1; then
      docker save -o "$file" "localhost/$image:latest"
    else
      buildah push --quiet "localhost/$image:latest" "oci-archive:$file:$image:$VERSION"
    fi
  done
}

main() {
  need node nodejs strip binutils
  need_cargo
  [[ -z "$(git status --porcelain 2> /dev/null)" ]] || say "this tree has changes that are not committed: the release has them too"
  SOURCE_DATE_EPOCH="$(git log -1 --format=%ct 2> /dev/null || echo 0)"
  export SOURCE_DATE_EPOCH
  rm -rf -- "$TO"
  mkdir -p "$TO"
  STAGE="$(mktemp -d "${TMPDIR:-/tmp}/toritsugi-release-XXXXXX")"
  trap 'rm -rf -- "$STAGE"' EXIT
  packaging/deb.sh --to "$TO"
  archive
  node packaging/sbom.mjs > "$TO/toritsugi-$VERSION.cdx.json"
  [[ "${IMAGES:-1}" == 0 ]] || images
  (cd "$TO" && sha256sum -- toritsugi* > SHA256SUMS && sha256sum --check --quiet SHA256SUMS)
  say "a release in $TO:"
  (cd "$TO" && ls -l -- *)
}

main
