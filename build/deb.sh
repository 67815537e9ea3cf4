#!/bin/sh
# Debian packages for trixie: dist/deb/skerry-common, skerry (node, command line, portal) and skerry-gateway, for amd64 and arm64.
# The C is compiled in a trixie root of mmdebstrap's (arm64 by its cross compiler), kept in the cache by what is in it. What trixie lacks
# (pure25519) travels inside with its licence. Usage: build/deb.sh [amd64|arm64]...    VERSION=1.2.3 gives another version, OUT=FOLDER another place.
# `build/deb.sh testroot` prints a trixie tree with what the packages depend on.
set -eu
cd "$(dirname "$0")/.."
say() { printf 'deb: %s\n' "$*" >&2; }
architectures=${*:-amd64 arm64}
cache=${SKERRY_CACHE:-$HOME/.cache/skerry}
out=${OUT:-$PWD/dist/deb}
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
mirror=${SKERRY_DEBIAN:-http://deb.debian.org/debian}
[ "$(id -u)" = 0 ] || { say "needs root for a chroot: sudo make deb"; exit 1; }
lacking=""
for pair in mmdebstrap:mmdebstrap dpkg-deb:dpkg unshare:util-linux; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || lacking="$lacking ${pair##*:}"
done
[ -z "$lacking" ] || { say "installing$lacking"; apt-get update -qq; apt-get install -y -qq --no-install-recommends $lacking debian-archive-keyring >/dev/null; }

# root PACKAGES: a trixie tree with these packages, made once
root() {
  made=$cache/trixie-$(printf '%s' "$1" | sha256sum | cut -c1-16)
  mkdir -p "$cache"
  exec 9>"$cache/trixie.lock"
  flock 9
  if [ ! -d "$made" ]; then
    say "making a trixie root (a few minutes, once)"
    rm -rf "$cache/.trixie-new"
    mmdebstrap --quiet --mode=root --variant=apt --architectures=amd64,arm64 --include="$1" trixie "$cache/.trixie-new" "$mirror" >&2
    mv "$cache/.trixie-new" "$made"
  fi
  exec 9>&-
  echo "$made"
}

# what the packages need, and what the tests look with
if [ "${1:-}" = testroot ]; then
  root "systemd,systemd-sysv,dbus,python3,python3-cffi-backend,python3-zstandard,python3-aiohttp,python3-h2,python3-sqlalchemy,python3-jinja2,python3-cryptography,python3-serial,iproute2,nftables,iputils-ping,libssl3t64,init-system-helpers"
  exit
fi

machine() { case $1 in amd64) echo x86_64 ;; arm64) echo aarch64 ;; *) say "architecture $1: expected amd64 or arm64"; exit 2 ;; esac; }
for architecture in $architectures; do machine "$architecture" >/dev/null; done
builder=$(root "gcc,libc6-dev,libssl-dev,libpython3-dev,gcc-aarch64-linux-gnu,libc6-dev:arm64,libssl-dev:arm64,libpython3-dev:arm64,python3-cffi,python3-setuptools")
work=$(mktemp -d "$cache/.deb-XXXXXX")
trap 'rm -rf "$work"' EXIT

# the extension of one architecture: cffi writes the C, the (cross) compiler does the rest
compile() {
  triple=$(machine "$1")-linux-gnu
  mkdir "$work/c-$1"
  cp firmware/skerry_shim/*.c firmware/skerry_shim/*.h firmware/skerry_shim/shim_build.py build/debian/compile.py "$work/c-$1"
  rm -f "$work/c-$1/_shim.c"
  unshare --mount --net sh -c 'mount --bind "$1" "$2/mnt" && exec chroot "$2" python3 /mnt/compile.py "$3"' sh "$work/c-$1" "$builder" "$triple"
}

# package NAME ARCHITECTURE: packs $work/NAME, whose DEBIAN folder is filled here
package() {
  tree=$work/$1
  mkdir -p "$tree/DEBIAN" "$tree/usr/share/doc/$1"
  cp LICENSE "$tree/usr/share/doc/$1/copyright"
  [ "$1" != skerry-common ] || { printf '\npure25519:\n'; cat firmware/skerry_micro/pure25519.LICENSE; } >> "$tree/usr/share/doc/$1/copyright"
  sed -e "s/@VERSION@/$version/g; s/@ARCHITECTURE@/$2/g" "build/debian/$1.control" > "$tree/DEBIAN/control"
  units=$(cd "$tree/usr/lib/systemd/system" 2>/dev/null && ls || true)
  for script in postinst prerm postrm; do
    { cat "build/debian/header"; printf 'package=%s\nunits="%s"\nstate="%s"\n' "$1" "$(echo $units)" "$3"; cat "build/debian/$script"; } > "$tree/DEBIAN/$script"
    chmod 755 "$tree/DEBIAN/$script"
  done
  find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zxz --build "$tree" "$out/$1_${version}_$2.deb" >/dev/null
  echo "$out/$1_${version}_$2.deb"
}

# python DESTINATION FOLDER...: packages without byte code, C and what belongs to other packages
python() {
  destination=$1; shift
  mkdir -p "$destination"
  for folder; do
    cp -r "$folder" "$destination/"
    find "$destination/$(basename "$folder")" \( -name __pycache__ -o -name '*.c' -o -name '*.h' -o -name '*.so' -o -name shim_build.py -o -name systemd \) -prune -exec rm -rf {} +
  done
}

# commands TREE PACKAGE: those of pyproject.toml whose code is in that Python package
commands() {
  mkdir -p "$1/usr/bin"
  sed -n '/^\[project.scripts\]/,/^$/s/^\([a-z-]*\) = "\('"$2"'[a-z_.]*\):\([a-z]*\)"/\1 \2 \3/p' pyproject.toml | while read -r name module function; do
    printf '#!/usr/bin/python3\nimport sys\n\nsys.path[0] = "/usr/lib/skerry"\nfrom %s import %s\n\nsys.exit(%s())\n' "$module" "$function" "$function" > "$1/usr/bin/$name"
    chmod 755 "$1/usr/bin/$name"
  done
}

# units TREE FOLDER: whatever is there, by pattern
units() {
  mkdir -p "$1/usr/lib/systemd/system" "$1/usr/lib/sysusers.d"
  for unit in "$2"/*.service "$2"/*.socket "$2"/*.timer "$2"/*.path; do [ ! -e "$unit" ] || cp "$unit" "$1/usr/lib/systemd/system/"; done
  for users in "$2"/*.sysusers; do [ ! -e "$users" ] || cp "$users" "$1/usr/lib/sysusers.d/$(basename "$users" .sysusers).conf"; done
  find "$1/usr" -type f -path '*systemd*' -exec chmod 644 {} +
  rmdir "$1/usr/lib/sysusers.d" 2>/dev/null || true
}

pure=$(.venv/bin/python -c 'import os, pure25519; print(os.path.dirname(pure25519.__file__))')
rm -rf "$out"
mkdir -p "$out"
for architecture in $architectures; do
  say "compiling for $architecture"
  compile "$architecture"
  common=$work/skerry-common; node=$work/skerry; gateway=$work/skerry-gateway
  rm -rf "$common" "$node" "$gateway"
  python "$common/usr/lib/skerry" firmware/skerry_core firmware/skerry_shim
  install -m 644 "$work/c-$architecture/_shim.abi3.so" "$common/usr/lib/skerry/skerry_shim/"
  mkdir -p "$common/usr/lib/skerry/pure25519"
  for module in __init__ _ed25519 basic dh ed25519_oop eddsa; do cp "$pure/$module.py" "$common/usr/lib/skerry/pure25519/"; done
  python "$node/usr/lib/skerry" firmware/skerry_node board/skerry_board
  commands "$node" skerry_node
  units "$node" firmware/skerry_node/systemd
  python "$gateway/usr/lib/skerry" gateway/skerry_gateway
  commands "$gateway" skerry_gateway
  units "$gateway" gateway/skerry_gateway/systemd
  package skerry-common "$architecture" ""
  package skerry "$architecture" "/var/lib/skerry /etc/skerry"
  package skerry-gateway "$architecture" "/var/lib/skerry-gateway"
done
