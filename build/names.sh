#!/bin/sh
# Unpack what the tests of names talk to (systemd-resolved, NetworkManager, dnsmasq; Debian's packages with what they need and is not
# installed here) once into the cache; print the folder. Nothing is installed and no setting of this host is touched.
set -eu
cd "$(dirname "$0")/.."
packages="systemd-resolved network-manager dnsmasq-base"
cache="${SKERRY_CACHE:-$HOME/.cache/skerry}"
mkdir -p "$cache"
exec 9>"$cache/names.lock"
flock 9
as=""; [ "$(id -u)" = 0 ] || as="sudo -n"
# a machine that never asked for lists of packages knows none of them
apt-cache policy $packages | grep -q 'Candidate: [0-9]' || $as apt-get update -qq >&2
key=$( (cat build/names.sh; apt-cache policy $packages systemd) | sha256sum | cut -c1-16)
names="$cache/names-$key"
if [ ! -d "$names" ]; then
  printf 'names: fetching %s\n' "$packages" >&2
  work=$(mktemp -d "$cache/fetching.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/partial" "$work/root"
  $as apt-get -qq -y --download-only --reinstall --no-install-recommends -o APT::Sandbox::User=root -o Dir::Cache::archives="$work" install $packages >/dev/null
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
  mv "$work/root" "$names"
fi
echo "$names"
