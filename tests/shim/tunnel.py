"""Two transports of the shim with real TUN devices and sockets, each in a network namespace; TCP goes through. Prints one line of JSON.

Run inside namespaces: python -m tests.netlab python -m tests.shim.tunnel MEGABYTES [THREADS]
"""

import ctypes
import json
import os
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterable

from skerry_core import filter as rules
from skerry_shim.transport import Transport
from tests.netlab.lab import Host, Lab

INNER = {"a": bytes((100, 64, 0, 1)), "b": bytes((100, 64, 0, 2))}
WIDE = {"a": "fd99::1", "b": "fd99::2"}
EVERYTHING = rules.compile([{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}])
_libc = ctypes.CDLL(None, use_errno=True)


def enter(name: str) -> None:
    """What this thread opens from here on belongs to that namespace."""
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if _libc.setns(fd, 0x40000000):
            raise OSError(ctypes.get_errno(), f"setns {name}")
    finally:
        os.close(fd)


def build(host: Host, features: Iterable[str] | None = None, threads: int = 0) -> Transport:
    transport = Transport()
    if features is not None:
        transport.set_features(features)
    enter(host.name)
    assert transport.open_tun("skerry%d", 1280) == "skerry0"
    assert transport.bind(0, 4, 41641) == 41641 and transport.bind(0, 6, 41641) == 41641
    inner = ".".join(str(part) for part in INNER[host.name])
    host.ip("addr", "add", f"{WIDE[host.name]}/64", "dev", "wan", "nodad")
    host.ip("addr", "add", f"{inner}/10", "dev", "skerry0")
    host.ip("link", "set", "skerry0", "up")
    transport.start(threads)
    return transport


def introduce(transport: Transport, own: str, other: str, address: bytes, slot: str) -> None:
    local, remote = (1, 2) if own == "a" else (2, 1)
    keys = (b"\x01" * 32, b"\x02" * 32) if own == "a" else (b"\x02" * 32, b"\x01" * 32)
    transport.apply(
        [
            ("addresses", [INNER[own]]),
            ("filter", EVERYTHING),
            ("peer", 1, other.encode() * 32, [(INNER[other], 32)]),
            ("paths", 1, [(0, 4 if len(address) == 4 else 6, address, 41641, 0)]),
            ("session", 1, slot, local, remote, *keys),
            ("arm", 1, 7),
        ]
    )


def transfer(size: int, address: str = ".".join(str(p) for p in INNER["b"])) -> float:
    """Send from a to b over TCP; seconds. AssertionError when a byte differs."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    enter("b")
    listener = socket.create_server((address, 0), family=family)
    listener.settimeout(20)
    enter("a")
    sender = socket.socket(family)
    sender.settimeout(20)
    sender.connect(listener.getsockname())
    receiver, _ = listener.accept()
    receiver.settimeout(20)
    block = os.urandom(1 << 20)
    checks = {"sent": 0, "received": 0}

    def send() -> None:
        for _ in range(size >> 20):
            sender.sendall(block)
            checks["sent"] = zlib.crc32(block, checks["sent"])
        sender.shutdown(socket.SHUT_WR)

    start, total = time.monotonic(), 0
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    while data := receiver.recv(1 << 18):
        total += len(data)
        checks["received"] = zlib.crc32(data, checks["received"])
    seconds = time.monotonic() - start
    thread.join(5)
    for each in (listener, sender, receiver):
        each.close()
    assert total == size and checks["sent"] == checks["received"], (total, checks)
    return seconds


def main() -> int:
    size = int(sys.argv[1]) << 20
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with Lab() as lab:
        hosts = {name: lab.public(name) for name in ("a", "b")}
        ends = {name: build(host, threads=threads) for name, host in hosts.items()}
        address = {name: socket.inet_aton(host.address) for name, host in hosts.items()}
        introduce(ends["b"], "b", "a", address["a"], "next")
        introduce(ends["a"], "a", "b", address["b"], "current")
        before = os.times()
        running = len(os.listdir("/proc/self/task")) - threading.active_count()
        seconds = transfer(size)
        used = os.times()
        before6 = hosts["a"].bytes_on("wan")[1]
        ends["a"].apply([("paths", 1, [(0, 6, socket.inet_pton(socket.AF_INET6, WIDE["b"]), 41641, 0)])])
        transfer(4 << 20)
        result = {
            "seconds": seconds,
            "threads": running,
            "megabits": size * 8 / seconds / 1e6,
            "cpu_seconds_per_gigabyte": (used.user + used.system - before.user - before.system) / size * 1e9,
            "wan_bytes_ipv6": hosts["a"].bytes_on("wan")[1] - before6,
            "events": {name: [list(event) for event in end.poll()] for name, end in ends.items()},
            "counters": {name: end.counters() for name, end in ends.items()},
            "stats": {name: end.peer_stats(1) for name, end in ends.items()},
        }
        for end in ends.values():
            end.stop()
            end.close()
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
