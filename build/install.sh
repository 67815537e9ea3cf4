#!/bin/sh
# Install what the checkout builds: an environment of its own in /opt/skerry, commands in /usr/local/bin, systemd units (not enabled).
# Run as root; running it again upgrades. `build/install.sh remove` takes it away again and leaves the state in /var/lib.
set -eu
cd "$(dirname "$0")/.."
prefix=/opt/skerry
units=/etc/systemd/system

[ "$(id -u)" = 0 ] || { echo "install: needs root: sudo make install" >&2; exit 1; }
if [ "${1:-}" = remove ]; then
  for unit in skerryd.service skerry-gateway.service skerry-resolv.socket skerry-resolv.service skerry-portal.socket skerry-portal.service; do
    [ -e "$units/$unit" ] && systemctl disable --now "$unit" 2>/dev/null || true
    rm -f "$units/$unit"
  done
  for command in skerry skerryd skerry-gateway skerry-resolv skerry-portal; do rm -f "/usr/local/bin/$command"; done
  rm -f /etc/sysusers.d/skerry.conf
  rm -rf "$prefix"
  exit 0
fi

build/setup.sh run
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
.venv/bin/python -m build --wheel --no-isolation --outdir "$wheels" . >/dev/null
[ -x "$prefix/bin/python" ] || "${PYTHON:-python3}" -m venv "$prefix"
"$prefix/bin/pip" install -q --disable-pip-version-check --require-hashes -r requirements.lock
"$prefix/bin/pip" install -q --disable-pip-version-check --no-deps --force-reinstall "$wheels"/*.whl
mkdir -p /usr/local/bin "$units"
for command in skerry skerryd skerry-gateway skerry-resolv skerry-portal; do ln -sf "$prefix/bin/$command" "/usr/local/bin/$command"; done
for unit in firmware/skerry_node/systemd/*.service firmware/skerry_node/systemd/*.socket gateway/skerry_gateway/systemd/*.service; do
  sed -E 's#^(Exec[A-Za-z]+)=/usr/bin/#\1=/usr/local/bin/#' "$unit" > "$units/$(basename "$unit")"
done
mkdir -p /etc/sysusers.d
cp firmware/skerry_node/systemd/skerry.sysusers /etc/sysusers.d/skerry.conf
systemd-sysusers 2>/dev/null || true
systemctl daemon-reload 2>/dev/null || true
systemctl enable --now skerry-resolv.socket 2>/dev/null && systemctl enable skerry-resolv.service 2>/dev/null || true
cat <<'DONE'
Installed. On a server that others can reach:   systemctl enable --now skerry-gateway; journalctl -u skerry-gateway
On a board:                                     systemctl enable --now skerryd; skerry up --gateway URL
Its pages for a phone, http://BOARD:8081:        systemctl enable --now skerry-portal.socket; skerry code
DONE
