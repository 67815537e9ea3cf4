"""Each step of what the kernel may take over, on and off, between two transports of the shim in namespaces. Prints one line of JSON.

Run inside namespaces: python -m tests.netlab python -m tests.shim.steps FEATURE,FEATURE... (those the devices are opened with)
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import time
from pathlib import Path

from skerry_shim.transport import Transport
from tests.netlab.lab import Host, Lab
from tests.shim.tunnel import INNER, build, enter, introduce, transfer

INNER6 = {"a": "fd7a:115c:a1e0::1", "b": "fd7a:115c:a1e0::2"}
EVERYTHING = ("vnet_hdr", "tso", "uso", "merge_tcp", "merge_udp", "udp_segment", "udp_gro", "lanes")
UDP_SEGMENT = 103
SIZE = 6 << 20


def inner(host: Host, family: int) -> str:
    return INNER6[host.name] if family == 6 else ".".join(str(part) for part in INNER[host.name])


def both_families(host: Host, transport: Transport, other: str) -> None:
    """IPv6 inside the tunnel besides IPv4."""
    host.ip("addr", "add", INNER6[host.name] + "/64", "dev", "skerry0", "nodad")
    own6, other6 = (socket.inet_pton(socket.AF_INET6, INNER6[name]) for name in (host.name, other))
    changes = [("addresses", [INNER[host.name], own6]), ("peer", 1, other.encode() * 32, [(INNER[other], 32), (other6, 128)])]
    transport.apply(changes)


def calls() -> tuple[int, int]:
    """Reads from TUN and writes to it by both ends; sockets are not in these numbers."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["syscr"]), int(fields["syscw"])


def without_checksums(host: Host) -> None:
    """Let the link compute no checksums, as many real ones: then the kernel cuts runs itself, or older ones refuse them."""
    enter(host.name)
    value = ctypes.create_string_buffer(struct.pack("II", 0x17, 0))  # ETHTOOL_STXCSUM
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8946, struct.pack("16sP16x", b"wan", ctypes.addressof(value)))  # SIOCETHTOOL


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def datagrams(hosts: dict[str, Host], family: int, together: int) -> int:
    """Send 400 datagrams of 1000 bytes from a to b, `together` in one call (UDP_SEGMENT in the sender); how many came, each right."""
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    enter("b")
    with socket.socket(kind, socket.SOCK_DGRAM) as sink:
        sink.bind((inner(hosts["b"], family), 0))
        sink.settimeout(0.5)
        enter("a")
        with socket.socket(kind, socket.SOCK_DGRAM) as source:
            if together > 1:
                source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
            got: set[bytes] = set()
            sent = [i.to_bytes(4, "big") * 250 for i in range(400)]
            for first in range(0, 400, together):
                source.sendto(b"".join(sent[first : first + together]), sink.getsockname())
                while first % 40 == 40 - together and len(got) < first + together:  # no faster than it arrives
                    try:
                        got.add(sink.recv(2000))
                    except TimeoutError:
                        break
            assert got <= set(sent)
            return len(got)


def step(hosts: dict[str, Host], ends: dict[str, Transport], names: tuple[str, ...]) -> dict[str, object]:
    """The traffic of one step."""
    for end in ends.values():
        end.set_features(names)
    time.sleep(0.05)
    before = calls()
    seconds = [transfer(SIZE, inner(hosts["b"], family)) for family in (4, 6)]
    reads, writes = (now - then for now, then in zip(calls(), before, strict=True))
    udp = [datagrams(hosts, family, together) for family in (4, 6) for together in (1, 20)]
    features = {name: end.features() for name, end in ends.items()}
    return {"features": features, "seconds": seconds, "reads": reads, "writes": writes, "udp": udp}


def main() -> int:
    opened = tuple(name for name in sys.argv[1].split(",") if name)
    with Lab() as lab:
        hosts = {name: lab.public(name) for name in ("a", "b")}
        ends = {name: build(host, opened) for name, host in hosts.items()}
        address = {name: socket.inet_aton(host.address) for name, host in hosts.items()}
        introduce(ends["b"], "b", "a", address["a"], "next")
        introduce(ends["a"], "a", "b", address["b"], "current")
        for name, other in (("a", "b"), ("b", "a")):
            both_families(hosts[name], ends[name], other)
        steps = {}
        subsets = [opened, *((name,) for name in opened), ()]
        for names in subsets:
            steps[",".join(names)] = step(hosts, ends, names)
        for vni in (7, 0):
            for name, other in (("a", "b"), ("b", "a")):
                ends[name].apply([("paths", 1, [(0, 4, address[other], 41641, vni)])])
            if vni:
                steps["behind Geneve headers"] = step(hosts, ends, opened)
        if "udp_segment" in opened:
            for host in hosts.values():
                host.ip("link", "set", "wan", "mtu", "1290")  # less than a sealed packet: runs are refused, datagrams fragmented
            steps["small mtu"] = step(hosts, ends, opened)
            for host in hosts.values():
                host.ip("link", "set", "wan", "mtu", "1500")
                without_checksums(host)
            steps["no checksum offload"] = step(hosts, ends, opened)
        counters = {name: end.counters() for name, end in ends.items()}
        for end in ends.values():
            end.set_features(opened)
        transfer(8 * SIZE)
        loaded = resident()
        deadline = time.monotonic() + 3  # the buffers are given back after a second without packets
        while resident() >= loaded and time.monotonic() < deadline:
            time.sleep(0.1)
        rested = resident()
        for end in ends.values():
            end.close()
        print(json.dumps({"steps": steps, "counters": counters, "resident": [loaded, rested], "kernel": os.uname().release}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
