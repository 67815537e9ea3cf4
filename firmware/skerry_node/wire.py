"""Bytes as an uplink carries them, for the account of data: headers included, the link's own left out."""

import socket
import struct

IP4, IP6, UDP, GENEVE = 20, 40, 8, 8
TCP = 32  # with the time stamps that both ends use
TCP_INFO = struct.Struct("=120xQQII")  # linux/tcp.h: bytes_acked, bytes_received, segs_out, segs_in


def datagram(path: "tuple[object, ...]", size: int) -> int:
    """A datagram of `size` bytes on a path over UDP."""
    return size + UDP + (IP4 if path[1] == 4 else IP6) + (GENEVE if path[4] else 0)


def is_discovery(data: bytes) -> bool:
    """Whether a datagram that C leaves to Python is disco or STUN: WireGuard's begin with their type and three zeros."""
    return not (len(data) >= 4 and 1 <= data[0] <= 4 and data[1:4] == b"\0\0\0")


def stream(sock: socket.socket) -> "tuple[int, int]":
    """(sent, received) of a TCP connection so far; what was sent twice counts once."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
        acked, received, segments_out, segments_in = TCP_INFO.unpack(info)
    except (OSError, struct.error):  # a kernel before 4.2
        return 0, 0
    header = TCP + (IP6 if sock.family == socket.AF_INET6 else IP4)
    return acked + segments_out * header, received + segments_in * header
