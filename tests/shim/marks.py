"""What the packet path does to headers, with real TUN devices and sockets: outer IPv4, MSS, ICMP answers. Prints JSON.

Run inside namespaces: python -m tests.netlab python -m tests.shim.marks
"""

import errno
import json
import socket
import sys

from skerry_shim.transport import Transport
from tests.netlab.lab import Host, Lab
from tests.shim.steps import both_families, inner
from tests.shim.tunnel import build, enter, introduce

IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, DO = 10, 23, 2


def outer(host: Host, hosts: dict[str, Host], sent: int) -> list[int]:
    """Traffic class and DF of the outer IPv4 header of a datagram sent with this class and with DF."""
    enter(host.name)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as wire:
        wire.bind(("wan", 0x0800))
        wire.settimeout(5)
        enter("a")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
            source.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, sent)
            source.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, DO)
            source.sendto(b"x" * 777, (inner(hosts["b"], 4), 9))
        while True:
            packet = wire.recv(2000)
            if len(packet) > 800 and packet[9] == 17:
                return [packet[1], packet[6] >> 6 & 1]


def mss(hosts: dict[str, Host], family: int) -> list[int]:
    """What both ends of a connection hold for the largest segment; their devices claim 9000 bytes, so both offer more than fits."""
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    enter("b")
    with socket.create_server((inner(hosts["b"], family), 0), family=kind) as listener:
        listener.settimeout(5)
        enter("a")
        with socket.socket(kind) as near:
            near.settimeout(5)
            near.connect(listener.getsockname())
            far, _ = listener.accept()
            with far:
                return [end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) for end in (near, far)]


def too_big(hosts: dict[str, Host], family: int) -> int:
    """The path MTU that the kernel knows after a datagram that does not fit."""
    v6 = family == 6
    kind, level = (socket.AF_INET6, socket.IPPROTO_IPV6) if v6 else (socket.AF_INET, socket.IPPROTO_IP)
    enter("a")
    with socket.socket(kind, socket.SOCK_DGRAM) as source:
        source.setsockopt(level, IPV6_MTU_DISCOVER if v6 else IP_MTU_DISCOVER, DO)
        source.connect((inner(hosts["b"], family), 9))
        source.settimeout(5)
        source.send(b"x" * 3000)
        for _ in range(50):
            try:
                source.send(b"x" * 3000)
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    break
            hosts["a"].run("sleep", "0.02")
        return source.getsockopt(level, 24 if v6 else 14)


def main() -> int:
    with Lab() as lab:
        hosts = {name: lab.public(name) for name in ("a", "b")}
        ends: dict[str, Transport] = {name: build(host) for name, host in hosts.items()}
        address = {name: socket.inet_aton(host.address) for name, host in hosts.items()}
        introduce(ends["b"], "b", "a", address["a"], "next")
        introduce(ends["a"], "a", "b", address["b"], "current")
        for name, other in (("a", "b"), ("b", "a")):
            both_families(hosts[name], ends[name], other)
        result: dict[str, object] = {"outer": [outer(hosts["b"], hosts, sent) for sent in (0, 0xB9, 2, 3)]}
        for host in hosts.values():
            host.ip("link", "set", "skerry0", "mtu", "9000")
        result["mss"] = {str(family): mss(hosts, family) for family in (4, 6)}
        result["path_mtu"] = {str(family): too_big(hosts, family) for family in (4, 6)}
        result["counters"] = {name: end.counters() for name, end in ends.items()}
        for end in ends.values():
            end.close()
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
