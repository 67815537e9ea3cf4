"""disco: path discovery between peers and with UDP relays, all nine messages.

    packet    54 53 f0 9f 92 ac | sender's disco key 32 | nonce 24 | NaCl box of the payload
    payload   u8 type | u8 version 0 | body; trailing bytes are ignored; an endpoint is 16 B address (IPv4 mapped) | u16 BE port

    01 Ping              transaction id 12 | node key 32 (optional) | zero padding
    02 Pong              transaction id 12 | endpoint the ping came from
    03 CallMeMaybe       n endpoints; a length that 18 does not divide means none
    04 Bind, 05 Challenge, 06 Answer
                         u32 BE network id | u32 BE generation (not 0) | other peer's disco key 32 | challenge 32 (zero in Bind)
    07 CallMeMaybeVia    relay's disco key 32 | clients' disco keys 2 x 32 | u64 BE Lamport id | u32 BE network id
                         | u64 BE bind lifetime ns | u64 BE steady lifetime ns | n >= 1 endpoints
    08 AllocateRequest   clients' disco keys 2 x 32 | u32 BE generation
    09 AllocateResponse  u32 BE generation | body of 07

Source: the disco protocol as client 1.102 speaks it. Lifetimes are int milliseconds here, keys raw bytes, the pair of clients sorted as in
the message. It does not know who may send what, nor over which path (03, 07, 08 and 09 are for relays alone): the engine does.
"""

import struct

from skerry_core import ip
from skerry_core.errors import LocalError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Endpoint = tuple[bytes, int]

MAGIC = b"TS\xf0\x9f\x92\xac"
KEY, NONCE, TXID, ENDPOINT, CHALLENGE = 32, 24, 12, 18, 32
HEADER = len(MAGIC) + KEY + NONCE
_NANOSECONDS = 1_000_000
_MAX_LIFETIME = 0x7FFFFFFFFFFFFFFF // _NANOSECONDS


def _need(body: bytes, least: int, name: str) -> None:
    if len(body) < least:
        raise PeerError(f"disco {name}: body of {len(body)} bytes, need {least}")


def _key(value: bytes, name: str, size: int = KEY) -> bytes:
    if len(value) != size:
        raise LocalError(f"disco {name}: field of {len(value)} bytes, need {size}")
    return bytes(value)


def _encode_endpoint(address: bytes, port: int) -> bytes:
    return ip.mapped(address) + struct.pack(">H", port)


def _decode_endpoint(body: bytes, offset: int) -> "Endpoint":
    return ip.unmapped(body[offset : offset + 16]), body[offset + 16] << 8 | body[offset + 17]


def _decode_endpoints(body: bytes) -> "list[Endpoint]":
    if len(body) % ENDPOINT:
        return []
    return [_decode_endpoint(body, offset) for offset in range(0, len(body), ENDPOINT)]


class Message:
    """What all messages share: `kind`, and equality by content."""

    kind = 0

    def _body(self) -> bytes:
        raise NotImplementedError

    def encode(self) -> bytes:
        """The payload that goes into the box."""
        return bytes((self.kind, 0)) + self._body()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.encode() == other.encode()

    def __hash__(self) -> int:
        return hash(self.encode())

    def __repr__(self) -> str:
        return f"<disco 0x{self.kind:02x} {self._body()!r}>"


class Ping(Message):
    """Is this path alive? `node_key` is b"" in old clients; `padding` counts zero bytes that probe the path's MTU."""

    kind = 1

    def __init__(self, txid: bytes, node_key: bytes = b"", padding: int = 0) -> None:
        self.txid = _key(txid, "Ping", TXID)
        self.node_key = _key(node_key, "Ping") if node_key else b""
        self.padding = padding

    def _body(self) -> bytes:
        return self.txid + self.node_key + bytes(self.padding)

    @staticmethod
    def parse(body: bytes) -> "Ping":
        """PeerError when short."""
        _need(body, TXID, "Ping")
        has_key = len(body) >= TXID + KEY
        return Ping(body[:TXID], body[TXID : TXID + KEY] if has_key else b"", len(body) - TXID - KEY if has_key else 0)


class Pong(Message):
    """Answer to a Ping, with the address it came from."""

    kind = 2

    def __init__(self, txid: bytes, address: bytes, port: int) -> None:
        self.txid = _key(txid, "Pong", TXID)
        self.address = address
        self.port = port

    def _body(self) -> bytes:
        return self.txid + _encode_endpoint(self.address, self.port)

    @staticmethod
    def parse(body: bytes) -> "Pong":
        """PeerError when short."""
        _need(body, TXID + ENDPOINT, "Pong")
        address, port = _decode_endpoint(body, TXID)
        return Pong(body[:TXID], address, port)


class CallMeMaybe(Message):
    """Our endpoints [(address, port)]: please ping them now."""

    kind = 3

    def __init__(self, endpoints: "list[Endpoint]") -> None:
        self.endpoints = list(endpoints)

    def _body(self) -> bytes:
        return b"".join([_encode_endpoint(address, port) for address, port in self.endpoints])

    @staticmethod
    def parse(body: bytes) -> "CallMeMaybe":
        """Never fails."""
        return CallMeMaybe(_decode_endpoints(body))


class _Binding(Message):
    def __init__(self, vni: int, generation: int, remote_key: bytes, challenge: bytes = bytes(CHALLENGE)) -> None:
        self.vni = vni
        self.generation = generation
        self.remote_key = _key(remote_key, "binding")
        self.challenge = _key(challenge, "binding", CHALLENGE)

    def _body(self) -> bytes:
        return struct.pack(">II", self.vni, self.generation) + self.remote_key + self.challenge

    @classmethod
    def parse(cls, body: bytes) -> "_Binding":
        """PeerError when short or of generation 0."""
        _need(body, 8 + KEY + CHALLENGE, "binding")
        vni, generation = struct.unpack_from(">II", body, 0)
        if generation == 0:
            raise PeerError("disco binding: generation 0, need 1 or more")
        return cls(vni, generation, body[8 : 8 + KEY], body[8 + KEY : 8 + KEY + CHALLENGE])


class Bind(_Binding):
    """Client to relay: I am one of the pair on this network id; `remote_key` is the other."""

    kind = 4


class Challenge(_Binding):
    """Relay to client: return this to prove your address."""

    kind = 5


class Answer(_Binding):
    """Client to relay: the challenge."""

    kind = 6


class Allocation:
    """A place on a UDP relay for one pair of clients; lifetimes in milliseconds, at least one endpoint."""

    def __init__(
        self,
        server_key: bytes,
        client_keys: "tuple[bytes, bytes]",
        lamport: int,
        vni: int,
        bind_lifetime: int,
        steady_lifetime: int,
        endpoints: "list[Endpoint]",
    ) -> None:
        self.server_key = _key(server_key, "allocation")
        self.client_keys = (_key(client_keys[0], "allocation"), _key(client_keys[1], "allocation"))
        self.lamport = lamport
        self.vni = vni
        self.bind_lifetime = bind_lifetime
        self.steady_lifetime = steady_lifetime
        self.endpoints = list(endpoints)

    def encode(self) -> bytes:
        """The body of CallMeMaybeVia."""
        lifetimes = struct.pack(">QQ", self.bind_lifetime * _NANOSECONDS, self.steady_lifetime * _NANOSECONDS)
        head = self.server_key + self.client_keys[0] + self.client_keys[1] + struct.pack(">QI", self.lamport, self.vni)
        return head + lifetimes + CallMeMaybe(self.endpoints).encode()[2:]

    @staticmethod
    def parse(body: bytes) -> "Allocation":
        """PeerError when short, without endpoints, or with a lifetime out of range."""
        _need(body, 3 * KEY + 28 + ENDPOINT, "allocation")
        lamport, vni, bind, steady = struct.unpack_from(">QIQQ", body, 3 * KEY)
        endpoints = _decode_endpoints(body[3 * KEY + 28 :])
        bind, steady = bind // _NANOSECONDS, steady // _NANOSECONDS
        if not endpoints or bind > _MAX_LIFETIME or steady > _MAX_LIFETIME:
            raise PeerError(f"disco allocation: {len(endpoints)} endpoints, lifetimes {bind} and {steady} ms; need 1 endpoint and less")
        keys = (body[KEY : 2 * KEY], body[2 * KEY : 3 * KEY])
        return Allocation(body[:KEY], keys, lamport, vni, bind, steady, endpoints)


class CallMeMaybeVia(Message):
    """Meet me on this UDP relay."""

    kind = 7

    def __init__(self, allocation: Allocation) -> None:
        self.allocation = allocation

    def _body(self) -> bytes:
        return self.allocation.encode()

    @staticmethod
    def parse(body: bytes) -> "CallMeMaybeVia":
        """PeerError as Allocation.parse."""
        return CallMeMaybeVia(Allocation.parse(body))


class AllocateRequest(Message):
    """Client to relay: a place for this pair, please."""

    kind = 8

    def __init__(self, client_keys: "tuple[bytes, bytes]", generation: int) -> None:
        self.client_keys = (_key(client_keys[0], "AllocateRequest"), _key(client_keys[1], "AllocateRequest"))
        self.generation = generation

    def _body(self) -> bytes:
        return self.client_keys[0] + self.client_keys[1] + struct.pack(">I", self.generation)

    @staticmethod
    def parse(body: bytes) -> "AllocateRequest":
        """PeerError when short."""
        _need(body, 2 * KEY + 4, "AllocateRequest")
        return AllocateRequest((body[:KEY], body[KEY : 2 * KEY]), int(struct.unpack_from(">I", body, 2 * KEY)[0]))


class AllocateResponse(Message):
    """Relay to client: the place."""

    kind = 9

    def __init__(self, generation: int, allocation: Allocation) -> None:
        self.generation = generation
        self.allocation = allocation

    def _body(self) -> bytes:
        return struct.pack(">I", self.generation) + self.allocation.encode()

    @staticmethod
    def parse(body: bytes) -> "AllocateResponse":
        """PeerError as Allocation.parse."""
        _need(body, 4, "AllocateResponse")
        return AllocateResponse(int(struct.unpack_from(">I", body, 0)[0]), Allocation.parse(body[4:]))


_PARSERS: "dict[int, Any]" = {
    1: Ping.parse,
    2: Pong.parse,
    3: CallMeMaybe.parse,
    4: Bind.parse,
    5: Challenge.parse,
    6: Answer.parse,
    7: CallMeMaybeVia.parse,
    8: AllocateRequest.parse,
    9: AllocateResponse.parse,
}


def decode(payload: bytes) -> "Message | None":
    """The message of an opened payload; None for an unknown type or version, PeerError when it is short or senseless."""
    if len(payload) < 2:
        raise PeerError(f"disco: payload of {len(payload)} bytes, need 2")
    parser = _PARSERS.get(payload[0]) if payload[1] == 0 else None
    message: Message | None = None if parser is None else parser(payload[2:])
    return message


def is_disco(packet: bytes) -> bool:
    """True when `packet` begins like a disco packet and is long enough for one."""
    return packet[:6] == MAGIC and len(packet) >= HEADER + 16 + 2


def sender(packet: bytes) -> "bytes | None":
    """The disco key that a packet claims to come from, None when it is no disco packet."""
    return packet[6 : 6 + KEY] if is_disco(packet) else None


def seal(crypto: "Any", box_key: bytes, sender_public: bytes, nonce: bytes, message: Message) -> bytes:
    """The packet for `message`; `box_key` from crypto.box_key(our disco key, theirs), `nonce` 24 random bytes."""
    sealed: bytes = crypto.box_seal(box_key, nonce, message.encode())
    return MAGIC + _key(sender_public, "sender") + _key(nonce, "nonce", NONCE) + sealed


def open(crypto: "Any", box_key: bytes, packet: bytes) -> "Message | None":
    """The message of a packet; None when it does not open or is of an unknown type, PeerError as decode()."""
    if not is_disco(packet):
        return None
    payload = crypto.box_open(box_key, packet[6 + KEY : HEADER], packet[HEADER:])
    return None if payload is None else decode(payload)
