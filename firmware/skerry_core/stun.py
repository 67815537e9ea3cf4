"""STUN Binding (RFC 8489), as Tailscale's clients and servers speak it.

    header      u16 BE type (0001 request, 0101 success) | u16 BE length of what follows | 21 12 a4 42 | transaction id 12
    attribute   u16 BE type | u16 BE length | value | zeros to a multiple of 4
    request     SOFTWARE (8022) "tailnode", FINGERPRINT (8028) last: CRC-32 of all before it, xor 5354554e; 40 B
    response    XOR-MAPPED-ADDRESS (0020): 0 | family 1 or 2 | port ^ 2112 | address ^ (cookie | transaction id)

Servers answer only requests with that SOFTWARE and a right FINGERPRINT, so that nobody mistakes them for a public STUN service. Clients
also read XOR-MAPPED-ADDRESS as 8020 and plain MAPPED-ADDRESS (0001). No authentication, no other methods.

Of RFC 5780 (NAT behaviour), between our nodes and gateways: a request of 96 bytes, SOFTWARE, CHANGE-REQUEST (0003: u32 BE, 4 = from the
other address, 2 = from another port), PADDING (0026) that makes it at least as long as its answer, FINGERPRINT. The answer has besides
RESPONSE-ORIGIN (802b) and OTHER-ADDRESS (802c): 0 | family | port | address, not hidden; an address of zeros means the one that was asked.
"Another port" is one that nobody is told, where RFC 5780 takes the second: nodes ask that one in every round, so a NAT would be open to it.
"""

import struct

from skerry_core.errors import LocalError

COOKIE = b"\x21\x12\xa4\x42"
TXID = 12
HEADER = 20
_REQUEST, _SUCCESS = 0x0001, 0x0101
_SOFTWARE, _FINGERPRINT, _XOR_MAPPED, _XOR_MAPPED_OLD, _MAPPED = 0x8022, 0x8028, 0x0020, 0x8020, 0x0001
_CHANGE_REQUEST, _PADDING, _ORIGIN, _OTHER = 0x0003, 0x0026, 0x802B, 0x802C
CHANGE_ADDRESS, CHANGE_PORT = 4, 2
BEHAVIOUR = 96  # bytes of a request about behaviour
_NAME = b"tailnode"
_FINGERPRINT_MASK = 0x5354554E


def crc32(data: bytes) -> int:
    """CRC-32 (IEEE 802.3) of a few dozen bytes; MicroPython boards differ in where they keep theirs."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def is_stun(data: bytes) -> bool:
    """True when `data` looks like any STUN message."""
    return len(data) >= HEADER and data[0] & 0xC0 == 0 and data[1] == 1 and data[4:8] == COOKIE


def request(txid: bytes) -> bytes:
    """A Binding request, 40 bytes; `txid` is 12 random bytes."""
    if len(txid) != TXID:
        raise LocalError(f"STUN transaction id: {len(txid)} bytes, need {TXID}")
    head = struct.pack(">HH", _REQUEST, 20) + COOKIE + txid + struct.pack(">HH", _SOFTWARE, len(_NAME)) + _NAME
    return head + struct.pack(">HHI", _FINGERPRINT, 4, crc32(head) ^ _FINGERPRINT_MASK)


def parse_request(data: bytes) -> "bytes | None":
    """The transaction id of a request to be answered, else None."""
    if not is_stun(data) or data[0] or len(data) != 40:
        return None
    txid = data[8:HEADER]
    return txid if data == request(txid) else None


def behaviour_request(txid: bytes, change: int = 0) -> bytes:
    """A Binding request of RFC 5780, 96 bytes; `change`: CHANGE_ADDRESS and CHANGE_PORT, or 0 to learn what the server can do."""
    if len(txid) != TXID:
        raise LocalError(f"STUN transaction id: {len(txid)} bytes, need {TXID}")
    head = struct.pack(">HH", _REQUEST, BEHAVIOUR - HEADER) + COOKIE + txid + struct.pack(">HH", _SOFTWARE, len(_NAME)) + _NAME
    head += struct.pack(">HHI", _CHANGE_REQUEST, 4, change)
    padding = BEHAVIOUR - 8 - 4 - len(head)
    head += struct.pack(">HH", _PADDING, padding) + bytes(padding)
    return head + struct.pack(">HHI", _FINGERPRINT, 4, crc32(head) ^ _FINGERPRINT_MASK)


def parse_behaviour(data: bytes) -> "tuple[bytes, int] | None":
    """(transaction id, change) of such a request that is to be answered, else None."""
    if not is_stun(data) or data[0] or len(data) != BEHAVIOUR:
        return None
    txid, change = data[8:HEADER], data[39] & (CHANGE_ADDRESS | CHANGE_PORT)
    return (txid, change) if data == behaviour_request(txid, change) else None


def behaviour_response(txid: bytes, address: bytes, port: int, origin: "tuple[bytes, int]", other: "tuple[bytes, int]") -> bytes:
    """The answer; `origin` is where it is sent from, `other` the server's second address and port, zeros as above."""
    plain = response(txid, address, port)
    for kind, (where, number) in ((_ORIGIN, origin), (_OTHER, other)):
        plain += struct.pack(">HHBBH", kind, 4 + len(where), 0, 1 if len(where) == 4 else 2, number) + where
    return plain[:2] + struct.pack(">H", len(plain) - HEADER) + plain[4:]


def parse_other(data: bytes) -> "tuple[bytes, int] | None":
    """(address, port) of OTHER-ADDRESS in a response, else None."""
    if not is_stun(data) or data[0] != 1 or HEADER + (data[2] << 8 | data[3]) > len(data):
        return None
    for kind, value in _attributes(data, HEADER + (data[2] << 8 | data[3])):
        if kind == _OTHER:
            return _endpoint(value, bytes(16))
    return None


def response(txid: bytes, address: bytes, port: int) -> bytes:
    """The success response that tells a client its address (4 or 16 bytes) and port."""
    mask = COOKIE + txid
    hidden = bytes([a ^ b for a, b in zip(address, mask)])  # noqa: B905 - the mask is as long as the longest address
    value = struct.pack(">BBH", 0, 1 if len(address) == 4 else 2, port ^ 0x2112) + hidden
    return struct.pack(">HH", _SUCCESS, 4 + len(value)) + mask + struct.pack(">HH", _XOR_MAPPED, len(value)) + value


def parse_response(data: bytes) -> "tuple[bytes, bytes, int] | None":
    """(transaction id, address, port) of a success response, else None; an XOR-MAPPED-ADDRESS is preferred to a plain one."""
    if not is_stun(data) or data[0] != 1:
        return None
    length = data[2] << 8 | data[3]
    if HEADER + length > len(data):
        return None
    plain = None
    mask = data[4:HEADER]
    for kind, value in _attributes(data, HEADER + length):
        if kind in (_XOR_MAPPED, _XOR_MAPPED_OLD):
            found = _endpoint(value, mask)
            if found is not None:
                return data[8:HEADER], found[0], found[1]
        elif kind == _MAPPED and plain is None:
            plain = _endpoint(value, bytes(16))
    return None if plain is None else (data[8:HEADER], plain[0], plain[1])


def _attributes(data: bytes, end: int) -> "list[tuple[int, bytes]]":
    found, offset = [], HEADER
    while offset + 4 <= end:
        kind, length = struct.unpack_from(">HH", data, offset)
        offset += 4
        if offset + length > end:
            break
        found.append((kind, data[offset : offset + length]))
        offset += (length + 3) & ~3
    return found


def _endpoint(value: bytes, mask: bytes) -> "tuple[bytes, int] | None":
    if len(value) < 8 or (value[1], len(value)) not in ((1, 8), (2, 20)):
        return None
    port = (value[2] << 8 | value[3]) ^ (mask[0] << 8 | mask[1])
    address = bytes([a ^ b for a, b in zip(value[4:], mask)])  # noqa: B905 - as above
    return (address, port) if port else None
