#!/usr/bin/env bash
# make images: builds the images of the daemon and of the PBX, runs `toritsugi check` of the daemon's image against a lab,
# and the services of compose.yaml from both images until a call has popped (parts.sh).
#
# BINARY=FILE puts this program into the image in place of a release build; it has to run on Debian trixie.
#
# It uses a Docker engine if one answers. Otherwise (as root on Debian) it builds the base images with debootstrap, and
# the images with buildah, which needs neither a daemon nor additional privileges in a chroot; the compiler is then that
# of this machine, mounted read-only. List the images with `docker images` or `buildah images`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/tools.sh

readonly DAEMON=localhost/toritsugi:latest PBX=localhost/toritsugi-pbx:latest
RUN="" LAB_PID="" CONTAINER=""

stop() {
  trap - EXIT
  exec 8>&- || true
  [[ -z "$LAB_PID" ]] || wait "$LAB_PID" 2> /dev/null || true
  [[ -z "$CONTAINER" ]] || buildah rm "$CONTAINER" > /dev/null || true
  [[ -z "$RUN" ]] || rm -rf -- "$RUN"
}

have_docker() { command -v docker > /dev/null && docker version > /dev/null 2>&1; }

# The last stage of the Dockerfile with the program that is there already, in a directory of its own.
with_binary() {
  mkdir -p "$RUN/context"
  install -m 755 -- "$BINARY" "$RUN/context/toritsugi"
  {
    grep '^ARG DEBIAN_IMAGE=' docker/Dockerfile
    sed -n '/^FROM ${DEBIAN_IMAGE}$/,$p' docker/Dockerfile |
      sed 's|^COPY --from=build .*|COPY toritsugi /usr/local/bin/toritsugi|'
  } > "$RUN/context/Dockerfile"
}

build_with_docker() {
  if [[ -n "${BINARY:-}" ]]; then
    with_binary
    docker build -t "$DAEMON" "$RUN/context"
  else
    docker build -f docker/Dockerfile -t "$DAEMON" .
  fi
  docker build -f docker/Dockerfile.pbx -t "$PBX" .
}

# $1 = suite
base_image() {
  local name="localhost/debian:$1-slim"
  if ! buildah inspect --type image "$name" > /dev/null 2>&1; then
    say "building the base image of Debian $1 (once, about a minute)"
    debootstrap --variant=minbase "$1" "$RUN/$1" > "$RUN/$1.log" || { tail -n 5 "$RUN/$1.log" >&2; die "debootstrap failed"; }
    rm -rf -- "$RUN/$1"/var/cache/apt/archives/*.deb "$RUN/$1"/var/lib/apt/lists/*
    tar -C "$RUN/$1" -c . | podman import - "$name" > /dev/null
    rm -rf -- "${RUN:?}/$1"
  fi
}

# A C compiler for the libraries with C code; Rust itself is mounted.
rust_image() {
  local name=localhost/rust-of-this-machine:trixie
  buildah inspect --type image "$name" > /dev/null 2>&1 || bud -t "$name" -f - . << 'DOCKERFILE'
FROM localhost/debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
ENV PATH=/usr/local/rust/bin:/usr/local/bin:/usr/bin:/bin CARGO_HOME=/usr/local/cargo
DOCKERFILE
}

# While an image is built, its apt has the proxy and the date checks of this machine's apt.
bud() {
  buildah bud --isolation=chroot --network=host --format docker --layers \
    --volume "$RUN/apt.conf:/etc/apt/apt.conf.d/90build:ro" "$@"
}

build_with_buildah() {
  ((EUID == 0)) || die "no Docker engine answers; without one the images are built as root"
  need buildah buildah podman podman crun crun debootstrap debootstrap
  apt-config dump Acquire::http::Proxy Acquire::https::Proxy Acquire::Check-Valid-Until Acquire::Check-Date |
    grep '^Acquire' > "$RUN/apt.conf" || true
  base_image trixie
  base_image sid
  say "building the PBX's image"
  bud --build-arg DEBIAN_SID_IMAGE=localhost/debian:sid-slim -t "$PBX" -f docker/Dockerfile.pbx .
  if [[ -n "${BINARY:-}" ]]; then
    with_binary
    say "building the daemon's image with $BINARY"
    bud --build-arg DEBIAN_IMAGE=localhost/debian:trixie-slim -t "$DAEMON" "$RUN/context"
    return
  fi
  need_cargo
  rust_image
  local options=(--build-arg RUST_IMAGE=localhost/rust-of-this-machine:trixie
    --build-arg DEBIAN_IMAGE=localhost/debian:trixie-slim
    --volume "$(rustc --print sysroot):/usr/local/rust:ro")
  # The build trusts the certificate authorities of this machine.
  [[ ! -s /etc/ssl/certs/ca-certificates.crt ]] || options+=(--secret "id=ca,src=/etc/ssl/certs/ca-certificates.crt")
  say "building the daemon's image (a first release build takes some minutes)"
  bud "${options[@]}" -t "$DAEMON" -f docker/Dockerfile .
}

start_lab() {
  say "starting a lab for the check"
  mkfifo "$RUN/lab-stdin" "$RUN/lab-stdout"
  tests/pbx_lab/up.sh "$RUN/lab" --while-stdin-open < "$RUN/lab-stdin" > "$RUN/lab-stdout" &
  LAB_PID=$!
  exec 8> "$RUN/lab-stdin"
  local word=""
  read -r word < "$RUN/lab-stdout" || true
  [[ "$word" == ready ]] || die "the lab did not start"
  # shellcheck source=/dev/null
  . "$RUN/lab/lab.env"
  mkdir -p "$RUN/etc"
  cp "$LAB_PBX_EVENTS_SECRET_FILE" "$RUN/etc/events.secret"
  cp "$LAB_PBX_ACTIONS_SECRET_FILE" "$RUN/etc/actions.secret"
  cat > "$RUN/etc/toritsugi.toml" << CONFIG
[pbx]
host = "$LAB_PBX_AMI_HOST"
port = $LAB_PBX_AMI_PORT
event_secret_file = "events.secret"
action_secret_file = "actions.secret"
CONFIG
  chown -R 10001:10001 "$RUN/etc"
}

check() {
  say "toritsugi check, in the image:"
  if have_docker; then
    docker run --rm --network=host -v "$RUN/etc:/etc/toritsugi:ro" "$DAEMON" check
  else
    CONTAINER="$(buildah from "$DAEMON")"
    buildah run --isolation=chroot --network=host --user 10001:10001 -v "$RUN/etc:/etc/toritsugi:ro" \
      "$CONTAINER" -- toritsugi check
  fi
}

# An engine runs the compose file itself: docker compose -f docker/compose.yaml up --build
run_parts() {
  have_docker && return
  say "the services of the compose file"
  unshare --net --pid --fork --kill-child --mount-proc docker/parts.sh "$RUN/parts" "$DAEMON" "$PBX"
}

main() {
  RUN="$(mktemp -d "${TMPDIR:-/tmp}/toritsugi-images-XXXXXX")"
  chmod 755 "$RUN"
  trap stop EXIT
  trap 'exit 130' INT TERM
  if have_docker; then build_with_docker; else build_with_buildah; fi
  start_lab
  check
  run_parts
  say "built and checked: $DAEMON and $PBX"
}

main
