#!/bin/sh
# Unpack the firewalls that the tests put beside a router (ufw, firewalld, Docker; Debian's packages with what they need and is not installed
# here) once into the cache; print the folder. Nothing is installed and no setting of this host is touched.
set -eu
cd "$(dirname "$0")/.."
packages="ufw firewalld docker.io iptables dbus"
cache="${SKERRY_CACHE:-$HOME/.cache/skerry}"
mkdir -p "$cache"
exec 9>"$cache/firewalls.lock"
flock 9
key=$( (cat build/firewalls.sh; apt-cache policy $packages) | sha256sum | cut -c1-16)
root="$cache/firewalls-$key"
if [ ! -d "$root" ]; then
  printf 'firewalls: fetching %s\n' "$packages" >&2
  work=$(mktemp -d "$cache/fetching.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/partial" "$work/root"
  as=""; [ "$(id -u)" = 0 ] || as="sudo -n"
  $as apt-get -qq -y --download-only --reinstall --no-install-recommends -o APT::Sandbox::User=root -o Dir::Cache::archives="$work" install $packages >/dev/null
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
  # what the packages' own scripts would do
  cd "$work/root"
  for old in lib sbin bin; do [ ! -d "$old" ] || { cp -a "$old/." "usr/$old/"; rm -r "$old"; }; done
  for tool in iptables ip6tables; do for verb in "" -restore -save; do ln -sf "$tool-nft$verb" "usr/sbin/$tool$verb"; done; done
  ln -sf org.fedoraproject.FirewallD1.server.policy.choice usr/share/polkit-1/actions/org.fedoraproject.FirewallD1.policy
  for rules in before before6 after after6 user user6; do cp "usr/share/ufw/iptables/$rules.rules" etc/ufw/; done
  printf 'ENABLED=no\nLOGLEVEL=off\n' > etc/ufw/ufw.conf
  cd "$OLDPWD"
  mv "$work/root" "$root"
fi
echo "$root"
