"""DER (X.690), writing only, as far as a certificate needs it: tag | length | content."""

from __future__ import annotations


def tlv(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*contents: bytes) -> bytes:
    return tlv(0x30, *contents)


def integer(value: int) -> bytes:
    """Not negative."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bits(content: bytes, unused: int = 0) -> bytes:
    return tlv(0x03, bytes([unused]) + content)


def octets(content: bytes) -> bytes:
    return tlv(0x04, content)


def oid(text: str) -> bytes:
    first, second, *rest = (int(part) for part in text.split("."))
    out = b""
    for number in (40 * first + second, *rest):
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(0x80 | number & 0x7F)
        out += bytes(reversed(septets))
    return tlv(0x06, out)


def text(value: str) -> bytes:
    return tlv(0x0C, value.encode())


def true() -> bytes:
    return tlv(0x01, b"\xff")


def tagged(number: int, *contents: bytes) -> bytes:
    """Context-specific, constructed, explicit."""
    return tlv(0xA0 | number, *contents)
