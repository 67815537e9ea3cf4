"""Which routes a tunnel adds to a host that has routes of its own: plain functions on prefixes, nothing is set here.

The tunnel's routes stand in a table of their own that is looked at before the host's; so that the longest prefix wins over both tables,
what the host has within a route of the tunnel is thrown back ("throw": go on with the next table). An equal prefix stays the host's: a
peer's offer of our own LAN must not take it away. With an exit node everything but the tunnel's own routes leads to it; the host's links
(routes without a gateway) are thrown back when the LAN is allowed, and nothing else is.
"""

from skerry_core import ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    Prefix = tuple[bytes, int]

DEFAULTS = ((bytes(4), 0), (bytes(16), 0))
# what an exit node does not carry whatever is asked of it: private, shared, link-local and multicast addresses, and this host
_NOT_PUBLIC = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
    "::/3", "4000::/2", "8000::/1",
)  # fmt: skip
KEPT = 256  # of a host's prefixes; more are not looked at


class Plan:
    """`routes`: into the tunnel; `throws`: back to the host's tables; `kept`: offers the host has itself, which are not taken."""

    def __init__(self, routes: "list[Prefix]", throws: "list[Prefix]", kept: "list[Prefix]") -> None:
        self.routes, self.throws, self.kept = routes, throws, kept


def plan(wanted: "list[Prefix]", exit: bool, lan: bool, host: "list[tuple[Prefix, bool]]") -> Plan:
    """`wanted`: prefixes of peers; `exit`: whether an exit node is in use, and `lan` whether links stay reachable then; `host`:
    (prefix, whether it is a link) of the host's own routes without its default ones."""
    offered = [prefix for prefix in wanted if prefix[1]]
    links = {prefix for prefix, link in host if link}
    own = {prefix for prefix, _ in host}
    if exit and not lan:
        return Plan(offered + list(DEFAULTS), [], [])
    kept = [prefix for prefix in offered if prefix in own]
    taken = [prefix for prefix in offered if prefix not in own]
    throws = [prefix for prefix in sorted(own) if any(within(prefix, route) for route in taken)]
    if exit:
        throws = sorted(set(throws) | links)
        taken += DEFAULTS
    return Plan(taken, throws, kept)


def within(inner: "Prefix", outer: "Prefix") -> bool:
    """Whether all of `inner` lies in `outer`."""
    return inner[1] >= outer[1] and ip.contains(outer, inner[0])


def without(prefix: "Prefix", holes: "list[Prefix]") -> "list[Prefix]":
    """The fewest prefixes that cover `prefix` without `holes`."""
    size = len(prefix[0])
    total = 8 * size
    first = int.from_bytes(prefix[0], "big")
    end = first + (1 << total - prefix[1])
    found: list[Prefix] = []
    for start, stop in sorted([_span(hole) for hole in holes if len(hole[0]) == size]) + [(end, end)]:
        start = min(max(start, first), end)
        if start > first:
            found += ip.range_prefixes(first.to_bytes(size, "big"), (start - 1).to_bytes(size, "big"))
        first = max(first, min(stop, end))
    return found


def _span(prefix: "Prefix") -> "tuple[int, int]":
    start = int.from_bytes(prefix[0], "big")
    return start, start + (1 << 8 * len(prefix[0]) - prefix[1])


def public(default: "Prefix", lans: "list[Prefix]") -> "list[Prefix]":
    """What an exit node carries of a default route: global addresses that are not on its own links."""
    return without(default, [ip.parse_prefix(text) for text in _NOT_PUBLIC] + lans[:KEPT])
