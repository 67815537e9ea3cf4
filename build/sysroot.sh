#!/bin/sh
# Headers and the static libcrypto of another architecture from the Debian packages this host's apt knows, unpacked into the cache (a few
# seconds), and the folder's name on standard output. Needs no root and leaves the host's packages alone.
# Usage: build/sysroot.sh [arm64]     The cross compiler and qemu-user are installed by build/setup.sh test.
set -eu
architecture=${1:-arm64}
say() { printf 'sysroot: %s\n' "$*" >&2; }
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
base=${SKERRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skerry}
target=$base/sysroot-$architecture-$suite-$(sha256sum < "$0" | cut -c1-16)
[ -d "$target" ] && { echo "$target"; exit 0; }
mkdir -p "$base"
exec 9>"$base/sysroot.lock"
flock 9
[ -d "$target" ] && { echo "$target"; exit 0; }

work=$(mktemp -d "$base/.sysroot-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/root"
: > "$work/state/status" # nothing is installed there
apt() { apt-get -q -o APT::Architecture="$architecture" -o APT::Architectures::="$architecture" -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none \
  -o Dir::State="$work/state" -o Dir::State::status="$work/state/status" -o Dir::Cache="$work/cache" -o Debug::NoLocking=1 "$@" >&2; }
say "fetching libcrypto for $architecture ($suite)"
apt update || say "some package lists are not there; going on with the others"
(cd "$work/debs" && apt download libssl-dev) || { say "apt knows no libssl-dev for $architecture"; exit 1; }
for package in "$work"/debs/*.deb; do
  dpkg-deb -x "$package" "$work/root"
done
rm -rf "$base/sysroot-$architecture-$suite-"*
mv "$work/root" "$target"
echo "$target"
