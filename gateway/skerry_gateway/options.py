"""The options of `skerry-gateway serve`, as the command line or a configuration file gives them.

Does not open, bind or read anything: skerry_gateway.serve does.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """What `serve` was asked for. `None` means: not given, serve chooses."""

    state: Path  # the state directory
    url: str | None = None  # the address people and nodes reach us by; None: derived from `listen`
    listen: tuple[str, int] = ("", 8080)  # TCP: control, relay, console ("" = all addresses)
    stun_listen: tuple[str, int] = ("", 3478)  # UDP; the next port is served too
    tls_cert: Path | None = None
    tls_key: Path | None = None
    config: Path | None = None  # the file some of these came from
    udp_relay: bool = True  # relay between nodes on the first UDP port
    stun_other: str = ""  # a second IPv4 address of this machine that STUN answers on too, so that nodes learn how their NAT filters
    json: bool = False  # print start-up facts as JSON lines
