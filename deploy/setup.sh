#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# setup.sh run|dev|test   Make .venv with what the agent needs (run), with what its checks need too (dev), and install
#                         what boots guests, a browser, and Debian's Prometheus in build/ (test).
# Installs only what is missing, Debian packages among it; in .venv exactly what the lock files say.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly wanted=$1 system=/usr/bin/python3 python=.venv/bin/python
log=$(mktemp)
trap 'rm -f "$log"' EXIT
exec 9< . && flock 9 # two at a time would spoil .venv for each other

say() { echo "setup: $*"; }
fail() { say "$*" >&2; exit 1; }
quietly() { "$@" > "$log" 2>&1 9<&- || { cat "$log" >&2; fail "failed: $*"; }; }
imports() { "$1" -I -c "$2" 2> "$log"; }

update_lists() {
    apt-get -qq update > "$log" 2>&1 || say "apt-get update failed, going on with the package lists that are there"
}

install_packages() {
    (($# > 0)) || return 0
    command -v apt-get > /dev/null || fail "this is no Debian: install what Debian calls $* for $system, then try again"
    ((EUID == 0)) || fail "not root: do this as root, or first: sudo apt-get install $*"
    say "installing Debian packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    update_lists
    quietly apt-get -qq install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

# Into build/ only: installing it would start a service on this host.
unpack_package() {
    say "unpacking Debian's $1 into build/$1"
    local folder=build/$1.new
    update_lists
    rm -rf "$folder" && mkdir -p "$folder" && chmod 755 "$folder"
    (cd "$folder" && quietly apt-get -qq -o APT::Sandbox::User=root download "$1" && quietly dpkg-deb -x "$1"_*.deb . && rm "$1"_*.deb)
    rm -rf "build/$1" && mv "$folder" "build/$1"
}

install_locked() {
    say "installing the packages of $1"
    quietly "$python" -m pip --disable-pip-version-check install --require-hashes --only-binary :all: -r "$1"
}

key=$({ cat pyproject.toml requirements*.lock deploy/setup.sh; pwd; "$system" -V; } | sha256sum)
up_to_date() { [[ -f .venv/setup-$1 && $(< ".venv/setup-$1") == "$key" ]]; }

packages=()
imports "$system" 'from bcc import BPF' || packages+=(python3-bpfcc)
up_to_date run || imports "$system" 'import ensurepip' || packages+=(python3-venv)
if [[ $wanted == test ]]; then
    for tool in qemu-system-x86_64:qemu-system-x86 mmdebstrap:mmdebstrap mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs git:git groff:groff-base curl:curl; do
        PATH=$PATH:/usr/sbin:/sbin type -P "${tool%:*}" > "$log" || packages+=("${tool#*:}")
    done
    type -P chromium-headless-shell > "$log" || type -P chromium > "$log" || packages+=(chromium-headless-shell)
    PATH=$PATH:/sbin ldconfig -p | grep -F libatomic.so.1 > "$log" || packages+=(libatomic1) # of node in playwright
fi
install_packages "${packages[@]}"
if [[ $wanted == test ]] && ! PATH=$PATH:build/prometheus/usr/bin type -P promtool prometheus > "$log"; then
    unpack_package prometheus
fi
imports "$system" 'import sys; assert sys.version_info >= (3, 11)' || fail "$system is older than Python 3.11"

if ! up_to_date run; then
    say "making .venv with $("$system" -V)"
    quietly "$system" -m venv --clear --system-site-packages .venv # bcc is a package of the system
    install_locked requirements.lock
    quietly "$python" -m pip --disable-pip-version-check install --no-build-isolation --no-deps --no-index -e .
    echo "$key" > .venv/setup-run
fi
if [[ $wanted != run ]] && ! up_to_date dev; then
    install_locked requirements-dev.lock
    echo "$key" > .venv/setup-dev
fi
imports "$python" 'from bcc import BPF' || fail "bcc does not import in .venv: $(tail -n 1 "$log"); try: apt-get install --reinstall python3-bpfcc"
say "ready after $SECONDS s"
