"""Packet filter: compiles the control server's FilterRules and judges inbound packets.

`compile()` gives one bytes object, read by the Python transport and by the C packet path. It is a sequence of rules without a header
(b"" allows nothing), all numbers big-endian:

    32 bytes   protocols: bit (p & 7) of byte (p >> 3) is set when IP protocol p is listed
    u32        n, number of sources
    u32        m, number of destinations
    n x 18     u8 family (4 or 6), u8 bits, 16 bytes address (IPv4: first 4, rest zero); host bits are zero
    m x 22     the same 18, then u16 first port, u16 last port

A rule without destinations is left out. Evaluation of an inbound packet, first line that fits (`Filter.verdict`):

    IP header or first-fragment transport header cut short, or fragment offset 1..79 B   drop "malformed"
    destination multicast                                                               drop "multicast"
    destination link-local (except 169.254.169.254)                                     drop "link_local"
    destination neither our address nor a local route                                   drop "destination"
    later fragment (offset >= 80 B)                                                     accept
    ICMP (1 in IPv4, 58 in IPv6): echo reply or error                                   accept
    ICMP: any rule whose sources hold the source and a destination prefix holds the
          destination (protocols and ports of the rule ignored)                         accept
    TCP (6) other than SYN without ACK                                                  accept
    UDP (17), SCTP (132): reply to a flow seen outbound (newest 256..512 kept)          accept
    TCP SYN, UDP, SCTP: a rule lists the protocol, source, and (destination, port)      accept
    TSMP (99), not fragmented                                                           drop "tsmp" (nothing of ours speaks it)
    other protocols: a rule lists protocol, source, destination with ports 0-65535      accept
    the rest                                                                            drop "filter"

Source: FilterRule of Tailscale's map protocol. It does not check that the source belongs to the sending peer (the transport does), and
grants of capabilities are only looked up here (`grants`), never part of the compiled rules.
"""

from skerry_core import ip
from skerry_core.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Prefix = tuple[bytes, int]

DEFAULT_PROTOCOLS = (6, 17, 1, 58)
FLOW_GENERATION = 256
_ANY = ((bytes(4), 0), (bytes(16), 0))


def compile(
    rules: "list[dict[str, Any]]", capabilities: "dict[str, list[Prefix]] | None" = None, problems: "list[str] | None" = None
) -> bytes:
    """Compile FilterRules (as decoded from JSON, in order) to the layout above.

    `capabilities` maps the name of a node capability to the addresses of the peers that have it, for sources `cap:<name>`.
    Entries that cannot be read are left out and described in `problems`; SrcBits or Bits anywhere voids the whole filter.
    """
    raise NotImplementedError


def grants(rules: "list[dict[str, Any]]", source: bytes, destination: bytes) -> "dict[str, list[Any]]":
    """Peer capabilities (name -> values, in order) that `source` has towards our address `destination`."""
    raise NotImplementedError


class Filter:
    """Compiled rules made ready to judge, with the table of outbound flows."""

    def __init__(self, compiled: "bytes | None" = None) -> None:
        """None or b"": nothing allowed in, replies excepted. LocalError when the bytes are not of the layout."""
        raise NotImplementedError
