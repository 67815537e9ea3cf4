#!/bin/sh
# Set up .venv in the checkout: Debian packages where they lack, locked Python packages, Skerry itself (editable).
# Usage: build/setup.sh [run|test]     "test" also wants what the tests use. Does nothing when nothing changed.
set -eu
cd "$(dirname "$0")/.."
purpose=${1:-run}

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# tool:package, one each; headers are told by a file
wanted="python3:python3 gcc:gcc ip:iproute2 nft:nftables unshare:util-linux openssl:openssl ping:iputils-ping"
[ "$purpose" = test ] && wanted="$wanted dpkg-deb:dpkg ps:procps apt-get:apt iperf3:iperf3 ethtool:ethtool ss:iproute2 tcpdump:tcpdump dbus-daemon:dbus-daemon chromium:chromium chromedriver:chromium-driver"
PATH="$PATH:/usr/sbin:/sbin"
lacking=""
for pair in $wanted; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || lacking="$lacking ${pair##*:}"
done
# the fuzzers' run time is a package of its own, named after clang's version, which only apt knows
if [ "$purpose" = test ] && ! ls "$(clang -print-resource-dir 2>/dev/null)"/lib/linux/libclang_rt.fuzzer-*.a >/dev/null 2>&1; then
  lacking="$lacking clang"
fi
# the C runs on aarch64 in the tests, too: a cross compiler with its libc, and an emulator
if [ "$purpose" = test ] && ! { command -v aarch64-linux-gnu-gcc && command -v qemu-aarch64-static && [ -e /usr/aarch64-linux-gnu/lib/libc.a ]; } >/dev/null 2>&1; then
  lacking="$lacking gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static"
fi
echo '#include <openssl/evp.h>' | cc -E - >/dev/null 2>&1 || lacking="$lacking gcc libc6-dev libssl-dev"
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || die "python3 is older than 3.11 or missing; install Python 3.11 or newer (Debian 12, Ubuntu 24.04), or name one: make PYTHON=/path/to/python3"
"$python" -c 'import venv, ensurepip' 2>/dev/null || lacking="$lacking python3-venv"
"$python" -c 'import sysconfig, os, sys; sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' || lacking="$lacking python3-dev"

if [ -n "$lacking" ]; then
  if [ "$(id -u)" = 0 ]; then as=""; elif sudo -n true 2>/dev/null; then as="sudo -n"; else
    die "these Debian packages are missing:$lacking; install them with: sudo apt-get install$lacking"
  fi
  say "installing Debian packages:$lacking"
  $as apt-get update -qq
  case "$lacking" in *\ clang*) lacking="$lacking libclang-rt-$(apt-cache depends clang | sed -n 's/.*Depends: clang-//p' | head -1)-dev" ;; esac
  $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking >/dev/null
fi

stamp=$(cat requirements.lock pyproject.toml hatch_build.py firmware/skerry_shim/*.c firmware/skerry_shim/*.h firmware/skerry_shim/shim_build.py | sha256sum | cut -c1-32)
packages=$(cat requirements.lock | sha256sum | cut -c1-32)
[ "$(cat .venv/skerry-stamp 2>/dev/null)" = "$stamp" ] && [ -e firmware/skerry_shim/_shim.abi3.so ] && exit 0
[ -x .venv/bin/python ] || { say "creating .venv"; "$python" -m venv .venv; }
if [ "$(cat .venv/packages-stamp 2>/dev/null)" != "$packages" ]; then
  say "installing Python packages (locked)"
  .venv/bin/python -m pip install -q --disable-pip-version-check --use-pep517 --require-hashes -r requirements.lock
  echo "$packages" > .venv/packages-stamp
fi
say "building skerry"
.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
echo "$stamp" > .venv/skerry-stamp
