"""Which addresses nodes get: IPv4 from 100.64.0.0/10, IPv6 the same 32 bits inside fd7a:115c:a1e0::/48.

Left out: 100.100.0.0/24 and 100.100.100.0/24 (100.100.100.100 answers on every node), 100.115.92.0/23 (ChromeOS), and addresses that end
in .0 or .255. A counter over all networks gives each node the next one, so an address comes back only after the range has been used up.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address

_RANGE = IPv4Network("100.64.0.0/10")
_RESERVED = (IPv4Network("100.100.0.0/24"), IPv4Network("100.100.100.0/24"), IPv4Network("100.115.92.0/23"))
_PREFIX6 = int(IPv6Address("fd7a:115c:a1e0::"))
CAPACITY = _RANGE.num_addresses
RELAY = ("100.100.0.1", "fd7a:115c:a1e0::6464:1")  # of the gateway's own UDP relay: from a range that is not for nodes


def pair(count: int) -> tuple[str, str] | None:
    """The addresses of the count-th position (wraps around), or None where that position is not for nodes."""
    value = int(_RANGE.network_address) + count % CAPACITY
    address = IPv4Address(value)
    if value & 0xFF in (0, 255) or any(address in reserved for reserved in _RESERVED):
        return None
    return str(address), str(IPv6Address(_PREFIX6 | value))
