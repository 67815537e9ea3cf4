"""Ask an address with ICMP echoes every 10 ms and print the seconds till the first reply: `first_reply.py ADDRESS DEADLINE`.

A raw socket, not the ping program: each echo is routed anew, so that one sent before the interface existed does not fix its source address.
The start is the moment this prints "ready"; the caller does its part then.
"""

import os
import select
import socket
import struct
import sys
import time

EVERY_S = 0.01


def echo(identifier: int, sequence: int) -> bytes:
    """An ICMP echo request (RFC 792)."""
    head = struct.pack("!BBHHH", 8, 0, 0, identifier, sequence)
    total = sum(struct.unpack("!4H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, identifier, sequence)


def first_reply(address: str, deadline: float) -> float | None:
    identifier = os.getpid() & 0xFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        print("ready", flush=True)
        start = time.monotonic()
        sequence = 0
        while time.monotonic() - start < deadline:
            sequence += 1
            try:
                raw.sendto(echo(identifier, sequence & 0xFFFF), (address, 0))
            except OSError:
                pass  # no route yet
            until = start + sequence * EVERY_S
            while (left := until - time.monotonic()) > 0:
                if not select.select([raw], [], [], left)[0]:
                    break
                packet, source = raw.recvfrom(2048)
                if source[0] == address and packet[20] == 0 and struct.unpack("!H", packet[24:26])[0] == identifier:
                    return time.monotonic() - start
    return None


if __name__ == "__main__":
    seconds = first_reply(sys.argv[1], float(sys.argv[2]))
    print("none" if seconds is None else f"{seconds:.4f}")
