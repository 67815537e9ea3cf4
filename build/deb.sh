#!/bin/sh
# Debian packages for trixie: dist/deb/skerry-common, skerry (node, command line, portal) and skerry-gateway, for amd64 and arm64.
# The C is compiled in a trixie root of mmdebstrap's (arm64 by its cross compiler), kept in the cache by what is in it. What trixie lacks
# (pure25519) travels inside with its licence. Usage: build/deb.sh [amd64|arm64]...    VERSION=1.2.3 gives another version, OUT=FOLDER another place.
# `build/deb.sh testroot` prints a trixie tree with what the packages depend on; `build/deb.sh trees` makes all trees and no package, and
# nothing where that is not allowed: afterwards no step needs the network.
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
ours=$(dpkg --print-architecture)
if [ "$(id -u)" != 0 ]; then
  say "needs root for a chroot: sudo make deb"
  [ "${1:-}" = trees ] && exit 0 || exit 1
fi
lacking=""
for pair in mmdebstrap:mmdebstrap dpkg-deb:dpkg unshare:util-linux; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || lacking="$lacking ${pair##*:}"
done
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || lacking="$lacking debian-archive-keyring"
[ -z "$lacking" ] || { say "installing$lacking"; apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking >/dev/null; }

# root PACKAGES ARCHITECTURES: a trixie tree with these packages, made once
root() {
  key=$(printf '%s %s' "$1" "$2" | sha256sum | cut -c1-16)
  made=$cache/trixie-$key
  mkdir -p "$cache"
  exec 9>"$cache/trixie-$key.lock"
  flock 9
  if [ ! -d "$made" ]; then
    say "making a trixie root for $2 (a few minutes, once)"
    new=$cache/.trixie-$key
    rm -rf "$new"
    if ! mmdebstrap --quiet --mode=root --variant=apt --architectures="$2" --include="$1" --dpkgopt=force-unsafe-io \
      --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
      --aptopt='Acquire::Languages "none"' trixie "$new" "$mirror" >&2; then
      rm -rf "$new"
      exec 9>&-
      return 1
    fi
    mv "$new" "$made"
  fi
  exec 9>&-
  echo "$made"
}

# what the packages depend on by their own word, and what the tests look with
if [ "${1:-}" = testroot ] || [ "${1:-}" = trees ]; then
  depends=$(sed -n 's/^Depends: //p' build/debian/*.control | tr ',' '\n' | sed 's/ *([^)]*)//; s/ //g' | grep -v '^skerry' | sort -u | paste -sd,)
  root "systemd-sysv,dbus,iputils-ping,$depends" "$ours"
  [ "$1" = trees ] || exit 0
  architectures=$ours
fi

machine() { case $1 in amd64) echo x86_64 ;; arm64) echo aarch64 ;; *) say "architecture $1: expected amd64 or arm64"; exit 2 ;; esac; }
for architecture in $architectures; do machine "$architecture" >/dev/null; done
case $ours in amd64) other=arm64 ;; arm64) other=amd64 ;; *) say "builds on amd64 and arm64, not on $ours"; exit 2 ;; esac
tools="gcc,libc6-dev,libssl-dev,libpython3-dev,python3-cffi,python3-setuptools"
cross="gcc-$(machine $other | tr _ -)-linux-gnu,libc6-dev:$other,libssl-dev:$other,libpython3-dev:$other"
if ! builder=$(root "$tools,$cross" "$ours,$other"); then
  say "NO PACKAGES FOR $other: $mirror does not serve what its cross compiler needs"
  [ "$architectures" != "$other" ] || exit 77
  architectures=$ours
  builder=$(root "$tools" "$ours")
fi
[ "${1:-}" != trees ] || { echo "$builder"; exit 0; }
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
  python "$common/usr/lib/skerry" firmware/skerry_core firmware/skerry_shim firmware/skerry_web
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
  package skerry-gateway "$architecture" "/var/lib/skerry-gateway /var/lib/private/skerry-gateway"
done
