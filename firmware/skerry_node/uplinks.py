"""The ways this board reaches the Internet, as the engine wants to hear of them.

`look()` gives `[{"uplink": 0, "addresses": [(family, address), ...], "port4": n, "port6": n, "via": [text, ...]}]`: one
uplink in this version, with the usable addresses of every link that is up, our own tunnel, other tunnels and loopback left
out, and of each family the default route that the kernel prefers (least metric), as "family link gateway".
`lans()` gives the prefixes there.
`Watch` says when to look again: 20 ms after a change, then ever rarer while they go on, at last twice a second.
"""

import os

from . import netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SOON, DEBOUNCE = 20, 500  # ms
UNUSABLE = netlink.IFA_F_TENTATIVE | netlink.IFA_F_DADFAILED | netlink.IFA_F_DEPRECATED


def look(tables: netlink.Tables, own: str, ports: "tuple[int, int]") -> "list[dict[str, Any]]":
    """The uplinks now; `own` is our TUN, `ports` the UDP ports bound for IPv4 and IPv6 (0: none)."""
    usable = {index for index, (name, flags) in tables.links().items() if flags & netlink.IFF_UP and not is_tunnel(name, own, flags)}
    addresses = []
    for index, address, _bits, scope, flags in tables.addresses():
        family = 6 if len(address) == 16 else 4
        if index in usable and scope in (0, 200) and not (family == 6 and flags & UNUSABLE):
            addresses.append((family, address))
    return [{"uplink": 0, "addresses": sorted(set(addresses)), "port4": ports[0], "port6": ports[1], "via": ways(tables, usable)}]


def ways(tables: netlink.Tables, usable: "set[int]") -> "list[str]":
    """The preferred default route of each family."""
    best: dict[int, tuple[int, int, bytes]] = {}
    for family, metric, link, gateway in tables.defaults():
        if (link in usable or not link) and (family not in best or metric < best[family][0]):
            best[family] = (metric, link, gateway)
    return [f"{family} {best[family][1]} {best[family][2].hex()}" for family in sorted(best)]


def lans(tables: netlink.Tables, own: str) -> "list[tuple[bytes, int]]":
    """The prefixes of the links of this host, tunnels and loopback left out: what is near, and none of an exit node's business."""
    near = {index for index, (name, flags) in tables.links().items() if flags & netlink.IFF_UP and not is_tunnel(name, own, flags)}
    return sorted({(address, bits) for index, address, bits, scope, _ in tables.addresses() if index in near and scope in (0, 200)})


def is_tunnel(name: str, own: str, flags: int) -> bool:
    """Whether a link leads into a tunnel or nowhere: datagrams to peers must not go that way."""
    return name == own or bool(flags & netlink.IFF_LOOPBACK) or os.path.exists(f"/sys/class/net/{name}/tun_flags")


class Watch:
    """Turns the kernel's reports into moments to look: `reported(now)`, `next_timer()`, `due(now)`."""

    def __init__(self) -> None:
        self._at: int | None = None
        self._last, self._pause = -DEBOUNCE, SOON

    def reported(self, now: int) -> None:
        """Something changed."""
        if self._at is None:
            if now - self._last >= 4 * DEBOUNCE:
                self._pause = SOON
            self._at = max(now + SOON, self._last + self._pause)  # a DHCP client makes several changes within milliseconds
            self._pause = min(2 * self._pause, DEBOUNCE)

    def next_timer(self) -> "int | None":
        """When to call `due` again, or None."""
        return self._at

    def due(self, now: int) -> bool:
        """Whether to look now; True once per moment."""
        if self._at is None or now < self._at:
            return False
        self._at = None
        self._last = now
        return True
