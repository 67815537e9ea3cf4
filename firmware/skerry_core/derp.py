"""DERP, protocol version 2: the relay's frames after the HTTP upgrade. Frame: u8 type | u32 BE length | payload.

    01 ServerKey      s>c  magic 8 | server public key 32 | more, ignored
    02 ClientInfo     c>s  client public key 32 | nonce 24 | box of JSON {"version":2,"CanAckPings":true, ...}
    03 ServerInfo     s>c  nonce 24 | box of JSON {"version":2, ...}
    04 SendPacket     c>s  destination key 32 | packet
    05 RecvPacket     s>c  source key 32 | packet
    06 KeepAlive      s>c  empty
    07 NotePreferred  c>s  u8 0 or 1: this is my home
    08 PeerGone       s>c  key 32 | u8 reason (0 disconnected, 1 not here)
    09 PeerPresent    s>w  key 32 | IPv6 or mapped IPv4 16 | u16 BE port | u8 flags
    0a ForwardPacket  mesh source key 32 | destination key 32 | packet
    10 WatchConns, 11 ClosePeer (key 32): mesh
    12 Ping, 13 Pong  both 8 bytes
    14 Health         s>c  text, empty clears
    15 Restarting     s>c  u32 BE reconnect in ms | u32 BE try for ms

Boxes are NaCl's (X25519, XSalsa20-Poly1305). Unknown types are handed on for the caller to skip. Source: the public DERP protocol as
client 1.102 speaks it. No HTTP and no decisions here.
"""

import json
import struct

from skerry_core.errors import LocalError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAGIC = b"DERP\xf0\x9f\x94\x91"
VERSION = 2
SERVER_KEY, CLIENT_INFO, SERVER_INFO, SEND_PACKET, RECV_PACKET, KEEP_ALIVE, NOTE_PREFERRED = 1, 2, 3, 4, 5, 6, 7
PEER_GONE, PEER_PRESENT, FORWARD_PACKET = 8, 9, 10
WATCH_CONNS, CLOSE_PEER, PING, PONG, HEALTH, RESTARTING = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15
GONE_DISCONNECTED, GONE_NOT_HERE = 0, 1
KEY = 32
NONCE = 24
MAX_PACKET = 65536
MAX_INFO = 256 * 1024
HEADER = 5
DEFAULT_LIMIT = KEY + MAX_PACKET


def frame(kind: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">BI", kind, len(payload)) + payload


class Deframer:
    """Cuts a relay's stream into frames; a frame longer than `limit` is an error from which there is no way back."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self.bad = ""

    def feed(self, data: bytes) -> "list[tuple[int, bytes]]":
        """(type, payload) of every frame now complete. From a frame that is too long on, `bad` is the sentence that says so, and feeding
        raises it as PeerError (in the call that meets it only when no whole frame stands before it)."""
        if self.bad:
            raise PeerError(self.bad)
        self._buffer += data
        frames: list[tuple[int, bytes]] = []
        offset, have = 0, len(self._buffer)
        while have - offset >= HEADER:
            kind, length = struct.unpack_from(">BI", self._buffer, offset)
            if length > self._limit:
                return self._spoil(kind, length, frames)
            if have - offset - HEADER < length:
                break
            offset += HEADER
            frames.append((kind, bytes(self._buffer[offset : offset + length])))
            offset += length
        if offset:
            self._buffer = self._buffer[offset:]
        return frames

    def _spoil(self, kind: int, length: int, frames: "list[tuple[int, bytes]]") -> "list[tuple[int, bytes]]":
        self._buffer = bytearray()
        self.bad = f"relay frame 0x{kind:02x}: {length} bytes, at most {self._limit}"
        if not frames:
            raise PeerError(self.bad)
        return frames


def _need(payload: bytes, least: int, name: str, exact: bool = False) -> None:
    if len(payload) < least or (exact and len(payload) != least):
        raise PeerError(f"{name}: {len(payload)} bytes, need {least}" + ("" if exact else " or more"))


def _key(key: bytes, name: str) -> bytes:
    if len(key) != KEY:
        raise LocalError(f"{name}: key of {len(key)} bytes, need {KEY}")
    return key


def server_key(public: bytes) -> bytes:
    """ServerKey frame."""
    return frame(SERVER_KEY, MAGIC + _key(public, "ServerKey"))


def parse_server_key(payload: bytes) -> bytes:
    """The server's public key; PeerError when the magic or the length is wrong."""
    _need(payload, len(MAGIC) + KEY, "ServerKey")
    if payload[: len(MAGIC)] != MAGIC:
        raise PeerError(f"ServerKey: magic {payload[:8]!r}, need {MAGIC!r}; this is no DERP relay")
    return payload[len(MAGIC) : len(MAGIC) + KEY]


def _open_json(crypto: "Any", private: bytes, public: bytes, sealed: bytes, name: str) -> "dict[str, Any]":
    message = crypto.box_open(crypto.box_key(private, public), sealed[:NONCE], sealed[NONCE:])
    if message is None:
        raise PeerError(f"{name}: the box does not open with our key")
    try:
        value = json.loads(message.decode())
    except (ValueError, RuntimeError):  # RuntimeError: text nested too deeply
        raise PeerError(f"{name}: {len(message)} bytes that are not JSON")
    if not isinstance(value, dict):
        raise PeerError(f"{name}: JSON that is not an object")
    return value


def _seal_json(crypto: "Any", private: bytes, public: bytes, nonce: bytes, value: "dict[str, Any]") -> bytes:
    sealed: bytes = crypto.box_seal(crypto.box_key(private, public), nonce, json.dumps(value).encode())
    return nonce + sealed


def client_info(crypto: "Any", private: bytes, public: bytes, server: bytes, nonce: bytes, info: "dict[str, Any] | None" = None) -> bytes:
    """ClientInfo frame of the holder of (private, public) to the server's public key; `info` adds to the JSON."""
    value: dict[str, Any] = {"version": VERSION, "CanAckPings": True}
    value.update(info or {})
    return frame(CLIENT_INFO, _key(public, "ClientInfo") + _seal_json(crypto, private, server, nonce, value))


def open_client_info(crypto: "Any", server_private: bytes, payload: bytes) -> "tuple[bytes, dict[str, Any]]":
    """(client's public key, its JSON); opening the box proves the client holds the key. PeerError when it does not open."""
    _need(payload, KEY + NONCE + 16, "ClientInfo")
    if len(payload) > MAX_INFO:
        raise PeerError(f"ClientInfo: {len(payload)} bytes, at most {MAX_INFO}")
    return payload[:KEY], _open_json(crypto, server_private, payload[:KEY], payload[KEY:], "ClientInfo")


def server_info(crypto: "Any", server_private: bytes, client: bytes, nonce: bytes, info: "dict[str, Any] | None" = None) -> bytes:
    """ServerInfo frame to the client's public key."""
    value: dict[str, Any] = {"version": VERSION}
    value.update(info or {})
    return frame(SERVER_INFO, _seal_json(crypto, server_private, client, nonce, value))


def open_server_info(crypto: "Any", private: bytes, server: bytes, payload: bytes) -> "dict[str, Any]":
    """The JSON of a ServerInfo; PeerError when it does not open."""
    _need(payload, NONCE + 16, "ServerInfo")
    return _open_json(crypto, private, server, payload, "ServerInfo")


def send_packet(destination: bytes, data: bytes) -> bytes:
    """SendPacket frame; LocalError above 65536 bytes."""
    return frame(SEND_PACKET, _packet(destination, data, "SendPacket"))


def recv_packet(source: bytes, data: bytes) -> bytes:
    """RecvPacket frame; LocalError above 65536 bytes."""
    return frame(RECV_PACKET, _packet(source, data, "RecvPacket"))


def _packet(key: bytes, data: bytes, name: str) -> bytes:
    if len(data) > MAX_PACKET:
        raise LocalError(f"{name}: packet of {len(data)} bytes, at most {MAX_PACKET}")
    return _key(key, name) + data


def parse_packet(payload: bytes) -> "tuple[bytes, bytes]":
    """(key, packet) of SendPacket or RecvPacket; PeerError when short or over 65536 bytes."""
    _need(payload, KEY, "packet frame")
    if len(payload) > KEY + MAX_PACKET:
        raise PeerError(f"packet frame: {len(payload) - KEY} bytes, at most {MAX_PACKET}")
    return payload[:KEY], payload[KEY:]


def forward_packet(source: bytes, destination: bytes, data: bytes) -> bytes:
    """ForwardPacket frame between relays of a mesh."""
    return frame(FORWARD_PACKET, _key(source, "ForwardPacket") + _packet(destination, data, "ForwardPacket"))


def parse_forward_packet(payload: bytes) -> "tuple[bytes, bytes, bytes]":
    """(source key, destination key, packet)."""
    _need(payload, 2 * KEY, "ForwardPacket")
    return payload[:KEY], payload[KEY : 2 * KEY], payload[2 * KEY :]


def note_preferred(home: bool) -> bytes:
    """NotePreferred frame."""
    return frame(NOTE_PREFERRED, b"\x01" if home else b"\x00")


def parse_note_preferred(payload: bytes) -> bool:
    """True: this relay is the client's home."""
    _need(payload, 1, "NotePreferred", exact=True)
    return payload[0] != 0


def peer_gone(key: bytes, reason: int = GONE_DISCONNECTED) -> bytes:
    """PeerGone frame."""
    return frame(PEER_GONE, _key(key, "PeerGone") + bytes((reason,)))


def parse_peer_gone(payload: bytes) -> "tuple[bytes, int]":
    """(key, reason); old servers leave the reason out: 0."""
    _need(payload, KEY, "PeerGone")
    return payload[:KEY], payload[KEY] if len(payload) > KEY else GONE_DISCONNECTED


def peer_present(key: bytes, address: bytes, port: int, flags: int) -> bytes:
    """PeerPresent frame; `address` 16 bytes (IPv4 mapped)."""
    return frame(PEER_PRESENT, _key(key, "PeerPresent") + address + struct.pack(">HB", port, flags))


def parse_peer_present(payload: bytes) -> "tuple[bytes, bytes, int, int]":
    """(key, address 16, port, flags); what old servers leave out is zero."""
    _need(payload, KEY, "PeerPresent")
    rest = payload[KEY:] + bytes(max(0, KEY + 19 - len(payload)))
    port, flags = struct.unpack_from(">HB", rest, 16)
    return payload[:KEY], rest[:16], port, flags


def ping(data: bytes) -> bytes:
    """Ping frame with 8 bytes of the caller's."""
    return frame(PING, data)


def pong(payload: bytes) -> bytes:
    """Pong frame that answers a Ping's payload; PeerError unless it has 8 bytes."""
    _need(payload, 8, "Ping", exact=True)
    return frame(PONG, payload)


def restarting(reconnect_ms: int, try_ms: int) -> bytes:
    """Restarting frame."""
    return frame(RESTARTING, struct.pack(">II", reconnect_ms, try_ms))


def parse_restarting(payload: bytes) -> "tuple[int, int]":
    """(reconnect in ms, try for ms)."""
    _need(payload, 8, "Restarting")
    reconnect_ms, try_ms = struct.unpack_from(">II", payload, 0)
    return reconnect_ms, try_ms
