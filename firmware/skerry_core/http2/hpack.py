"""HPACK header compression (RFC 7541): everything in, literals out.

A header block is a sequence of
    1xxxxxxx  indexed field                  01xxxxxx  literal, added to the dynamic table      001xxxxx  dynamic table size
    0000xxxx  literal, not added             0001xxxx  literal, never to be indexed
with integers of a prefix of n bits and 7 bits per further byte, and strings as H bit | 7-bit length | bytes, Huffman coded if H.

The decoder's dynamic table holds at most 4096 bytes (what a peer may use before it has seen our setting of 0); each entry counts its
name, its value and 32. The encoder sends literals without indexing and without Huffman, so that it has no state.
"""

from skerry_core.errors import PeerError
from skerry_core.http2.tables import LENGTHS, STATIC

TABLE_LIMIT = 4096
LIST_LIMIT = 32768
ENTRY_OVERHEAD = 32
_LONGEST = 30


def _canonical() -> tuple[list[int], list[int], list[int], list[int]]:
    symbols = sorted(range(257), key=lambda symbol: LENGTHS[symbol] * 512 + symbol)
    first, count, start, code, used = [0] * 31, [0] * 31, [0] * 31, 0, 0
    for size in range(1, _LONGEST + 1):
        first[size], start[size] = code, used
        count[size] = sum([1 for length in LENGTHS if length == size])
        code, used = (code + count[size]) << 1, used + count[size]
    return symbols, first, count, start


_SYMBOLS, _FIRST, _COUNT, _START = _canonical()


def huffman_decode(data: bytes) -> bytes:
    """The text of a Huffman coded string. PeerError: a code that does not exist, or padding other than up to 7 one bits."""
    out, code, size = bytearray(), 0, 0
    for byte in data:
        for shift in (7, 6, 5, 4, 3, 2, 1, 0):
            code, size = code << 1 | byte >> shift & 1, size + 1
            if size > _LONGEST:
                raise PeerError("HPACK: Huffman code of more than 30 bits")
            if code - _FIRST[size] < _COUNT[size]:
                symbol = _SYMBOLS[_START[size] + code - _FIRST[size]]
                if symbol == 256:
                    raise PeerError("HPACK: end-of-string symbol inside a string")
                out.append(symbol)
                code = size = 0
    if size > 7 or code != (1 << size) - 1:
        raise PeerError(f"HPACK: bad Huffman padding of {size} bits")
    return bytes(out)


def integer(value: int, prefix: int, first: int) -> bytes:
    """`value` with a prefix of `prefix` bits, the bits above it from `first`."""
    top = (1 << prefix) - 1
    if value < top:
        return bytes((first | value,))
    out, value = bytearray((first | top,)), value - top
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(fields: list[tuple[bytes, bytes]]) -> bytes:
    """A header block of literals without indexing."""
    return b"".join([b"\x00" + integer(len(name), 7, 0) + name + integer(len(value), 7, 0) + value for name, value in fields])


class Decoder:
    """One connection's decoder; blocks must be given whole and in order. After a PeerError it is out of step for good."""

    def __init__(self, table_limit: int = TABLE_LIMIT, list_limit: int = LIST_LIMIT) -> None:
        self._allowed, self._limit, self._list_limit = table_limit, table_limit, list_limit
        self._table: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._block = b""
        self._at = 0

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """The fields of a block. PeerError: malformed, or a list of more than 32768 bytes (names + values + 32 each)."""
        self._block, self._at = block, 0
        fields: list[tuple[bytes, bytes]] = []
        total = 0
        while self._at < len(block):
            first = block[self._at]
            if first & 0xE0 == 0x20:
                self._resize(bool(fields))
                continue
            fields.append(self._entry(self._integer(7)) if first & 0x80 else self._literal(first))
            total += len(fields[-1][0]) + len(fields[-1][1]) + ENTRY_OVERHEAD
            if total > self._list_limit:
                raise PeerError(f"HPACK: header list of more than {self._list_limit} bytes")
        return fields

    def _literal(self, first: int) -> tuple[bytes, bytes]:
        indexed = first & 0x40
        index = self._integer(6 if indexed else 4)
        name = self._entry(index)[0] if index else self._string()
        field = (name, self._string())
        if indexed:
            self._add(field)
        return field

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if 1 <= index <= len(STATIC):
            return STATIC[index - 1]
        if not 0 < index - len(STATIC) <= len(self._table):
            raise PeerError(f"HPACK: index {index}, the tables have {len(STATIC) + len(self._table)} entries")
        return self._table[index - len(STATIC) - 1]

    def _add(self, field: tuple[bytes, bytes]) -> None:
        size = len(field[0]) + len(field[1]) + ENTRY_OVERHEAD
        self._evict(self._limit - size)
        if size <= self._limit:
            self._table.insert(0, field)
            self._size += size

    def _evict(self, room: int) -> None:
        while self._table and self._size > room:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + ENTRY_OVERHEAD

    def _resize(self, late: bool) -> None:
        limit = self._integer(5)
        if late or limit > self._allowed:
            raise PeerError(f"HPACK: dynamic table of {limit} bytes, at most {self._allowed}, and only at the start of a block")
        self._limit = limit
        self._evict(limit)

    def _byte(self) -> int:
        if self._at >= len(self._block):
            raise PeerError(f"HPACK: block of {len(self._block)} bytes is cut short")
        self._at += 1
        return self._block[self._at - 1]

    def _integer(self, prefix: int) -> int:
        top = (1 << prefix) - 1
        value = self._byte() & top
        if value < top:
            return value
        for shift in (0, 7, 14, 21):
            byte = self._byte()
            value += (byte & 127) << shift
            if byte < 128:
                return value
        raise PeerError("HPACK: integer of more than 28 bits")

    def _string(self) -> bytes:
        coded = self._at < len(self._block) and self._block[self._at] & 128
        size = self._integer(7)
        start = self._at
        self._at += size
        if self._at > len(self._block):
            raise PeerError(f"HPACK: string of {size} bytes, {len(self._block) - start} left in the block")
        text = self._block[start : self._at]
        return huffman_decode(text) if coded else text
