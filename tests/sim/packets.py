"""Inner IPv4/UDP packets with a token, as an application's datagrams look on the TUN (RFC 791, RFC 768)."""

import struct

PORT = 7777
FORBIDDEN = 9999  # the policy admits PORT alone


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(source: bytes, destination: bytes, payload: bytes, ports: tuple[int, int] = (PORT, PORT)) -> bytes:
    """An IPv4 datagram; the UDP checksum is 0, which IPv4 allows."""
    length = 28 + len(payload)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, 17, 0, source, destination)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return head + struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload


def parse(packet: bytes) -> tuple[bytes, bytes, bytes] | None:
    """(source, destination, payload) of such a datagram, or None."""
    if len(packet) < 28 or packet[0] != 0x45 or packet[9] != 17:
        return None
    return packet[12:16], packet[16:20], packet[28:]


def text(address: bytes) -> str:
    return ".".join(str(byte) for byte in address)
