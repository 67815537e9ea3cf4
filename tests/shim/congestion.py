"""ECN through a real tunnel: what is sent, what the link makes of it, what arrives. Prints one line of JSON.

Run inside namespaces: python -m tests.netlab python -m tests.shim.congestion
"""

import json
import socket
import sys

from skerry_shim.transport import Transport
from tests.netlab.lab import Host, Lab
from tests.shim.steps import INNER6, both_families
from tests.shim.tunnel import INNER, WIDE, build, enter, introduce

MARK = """
table inet congested {{
  chain before {{
    type filter hook prerouting priority -300;
    udp dport 41641 ip ecn {which} ip ecn set ce
    udp dport 41641 ip6 ecn {which} ip6 ecn set ce
  }}
}}
"""
CODES = {"not capable": 0, "ect0": 2}


def received(family: int, code: int) -> int | None:
    """Send one datagram with that code from a to b through the tunnel; the code it arrives with, None when it does not."""
    kind, level = (socket.AF_INET, socket.IPPROTO_IP) if family == 4 else (socket.AF_INET6, socket.IPPROTO_IPV6)
    send, tell = (socket.IP_TOS, socket.IP_RECVTOS) if family == 4 else (socket.IPV6_TCLASS, socket.IPV6_RECVTCLASS)
    address = ".".join(map(str, INNER["b"])) if family == 4 else INNER6["b"]
    enter("b")
    with socket.socket(kind, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(level, tell, 1)
        receiver.settimeout(0.5)
        receiver.bind((address, 9))
        enter("a")
        with socket.socket(kind, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(level, send, code)
            sender.sendto(b"x", (address, 9))
        try:
            _data, told, _flags, _from = receiver.recvmsg(100, 100)
        except TimeoutError:
            return None
        return told[0][2][0] & 3


def through(outer: int, ends: dict[str, Transport], hosts: dict[str, Host]) -> dict[str, int | None]:
    """Over that family outside: the code each arrives with, by family inside and code sent."""
    address = socket.inet_aton(hosts["b"].address) if outer == 4 else socket.inet_pton(socket.AF_INET6, WIDE["b"])
    ends["a"].apply([("paths", 1, [(0, outer, address, 41641, 0)])])
    return {f"{inner} {name}": received(inner, code) for inner in (4, 6) for name, code in CODES.items()}


def main() -> int:
    with Lab() as lab:
        hosts = {name: lab.public(name) for name in ("a", "b")}
        ends = {name: build(host) for name, host in hosts.items()}
        addresses = {name: socket.inet_aton(host.address) for name, host in hosts.items()}
        introduce(ends["b"], "b", "a", addresses["a"], "next")
        introduce(ends["a"], "a", "b", addresses["b"], "current")
        for name, other in (("a", "b"), ("b", "a")):
            both_families(hosts[name], ends[name], other)
        clean = {outer: through(outer, ends, hosts) for outer in (4, 6)}
        hosts["b"].nft(MARK.format(which="ect0"))  # so the sender must have said so outside
        congested = {outer: through(outer, ends, hosts) for outer in (4, 6)}
        hosts["b"].nft(MARK.format(which="not-ect"))  # which no router does to those who cannot be told
        lied = {outer: through(outer, ends, hosts) for outer in (4, 6)}
        counters = ends["b"].counters()
        for end in ends.values():
            end.close()
        print(json.dumps({"clean": clean, "congested": congested, "lied": lied, "counters": counters}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
