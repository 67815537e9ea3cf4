"""Asks a DHCP server for a lease as a client does that renews one (RFC 2131, 4.3.2: RENEWING, unicast), run as a program inside a host.

    lease.py SERVER ADDRESS MAC     prints JSON {"message": "ack" | "nak", "from": address}; exit status 1 without an answer in 3 s
"""

import json
import socket
import sys

KINDS = {5: "ack", 6: "nak"}


def request(address: str, mac: bytes) -> bytes:
    """op, htype, hlen, hops | xid | secs, flags | ciaddr, yiaddr, siaddr, giaddr | chaddr 16 | sname 64 | file 128 | cookie | options"""
    head = bytes((1, 1, 6, 0)) + b"skry" + bytes(4) + socket.inet_aton(address) + bytes(12) + mac + bytes(10 + 64 + 128)
    return head + bytes((99, 130, 83, 99)) + bytes((53, 1, 3, 255))


def main(server: str, address: str, mac: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.bind((address, 68))
        sock.sendto(request(address, bytes.fromhex(mac.replace(":", ""))), (server, 67))
        try:
            data, source = sock.recvfrom(2048)
        except TimeoutError:
            return 1
    at = data.index(bytes((53, 1)), 240)
    print(json.dumps({"message": KINDS.get(data[at + 2], str(data[at + 2])), "from": source[0]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
