# shellcheck shell=bash
# Functions that find the tools of a script, install them if possible, or print how to install them. To be sourced.

say() { echo "toritsugi: $*" >&2; }
die() { say "$*"; exit 1; }

# need COMMAND PACKAGE …: pairs of a command and the Debian package that contains it.
need() {
  local missing=() packages=()
  while (($#)); do
    if ! command -v "$1" > /dev/null; then missing+=("$1"); packages+=("$2"); fi
    shift 2
  done
  ((${#missing[@]})) || return 0
  if ((EUID == 0)) && command -v apt-get > /dev/null; then
    say "installing ${packages[*]} (for ${missing[*]})"
    install_packages "${packages[@]}" > /dev/null ||
      { apt-get update > /dev/null && install_packages "${packages[@]}" > /dev/null; } ||
      die "apt-get could not install ${packages[*]}"
  else
    die "missing: ${missing[*]}. On Debian or Ubuntu: sudo apt-get install ${packages[*]}"
  fi
}

install_packages() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" 2>&1
}

need_cargo() {
  command -v cargo > /dev/null && return
  if [[ -x "$HOME/.cargo/bin/cargo" ]]; then PATH="$HOME/.cargo/bin:$PATH"; return; fi
  die "cargo is missing: install Rust 1.95 or newer from https://rustup.rs"
}

# Whether something listens on a TCP port.
is_taken() {
  local hex
  printf -v hex ':%04X' "$1"
  awk -v want="$hex" '$2 ~ want"$" && $4 == "0A" { found = 1 } END { exit !found }' /proc/net/tcp
}

# free_port FIRST COUNT: a free port of this range. Two test binaries may pick the same one: the server that finds it taken
# ends, and another port is tried.
free_port() {
  local port
  while :; do
    port=$(($1 + (RANDOM * 32768 + RANDOM) % $2))
    if ! is_taken "$port"; then echo "$port"; return; fi
  done
}

# free_ports FIRST COUNT NAME…: gives each of these variables a free port of its own.
free_ports() {
  local first="$1" count="$2" given=" " name port
  shift 2
  for name; do
    port=""
    until [[ -n "$port" && "$given" != *" $port "* ]]; do port="$(free_port "$first" "$count")"; done
    given+="$port "
    printf -v "$name" %s "$port"
  done
}
