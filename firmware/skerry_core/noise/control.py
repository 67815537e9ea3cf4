"""The ts2021 control transport: a Noise IK handshake in two messages and a stream of sealed records. Both sides.

Noise_IK_25519_ChaChaPoly_BLAKE2s, prologue "Tailscale Control Protocol v" + version in decimal, empty handshake payloads.
All integers are big-endian.

    initiation, 101 bytes   u16 version | 01 | u16 96 | e 32 | sealed machine public key 48 | tag 16
    response, 51 bytes      02 | u16 48 | e 32 | tag 16
    error                   03 | u16 length | text (not authenticated)
    record                  04 | u16 ciphertext length | ciphertext (plaintext up to 4077 bytes + tag 16)

A record's nonce is 4 zero bytes and the number of the record in its direction as u64 BIG-endian, unlike Noise itself. A record is at
most 4096 bytes with its header. Empty records are legal. After one bad record the transport answers nothing else but PeerError.

The first plaintext bytes from the server may be an early payload: ff ff ff 54 53 | u32 length | JSON; HTTP/2 follows it, or is there
from the first byte. `EarlyPayload` takes it off.

It does not carry the handshake: over HTTP/1 the initiation is the base64 value of X-Tailscale-Handshake and the response the first
bytes after the 101. Source: Noise revision 34; wire behaviour of Tailscale 1.102.3.
"""

import json

from skerry_core.errors import LocalError, PeerError
from skerry_core.noise.symmetric import TAG_SIZE, SymmetricState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL_NAME = b"Noise_IK_25519_ChaChaPoly_BLAKE2s"
INITIATION_SIZE = 101
RESPONSE_SIZE = 51
HEADER_SIZE = 3
MAX_RECORD = 4096
MAX_CIPHERTEXT = MAX_RECORD - HEADER_SIZE
MAX_PLAINTEXT = MAX_CIPHERTEXT - TAG_SIZE
INITIATION, RESPONSE, ERROR, RECORD = 1, 2, 3, 4
EARLY_MAGIC = b"\xff\xff\xffTS"
EARLY_LIMIT = 65536


def header(kind: int, size: int) -> bytes:
    """The 3 bytes in front of a response, error or record."""
    return bytes((kind, size >> 8, size & 255))


def error_message(text: str) -> bytes:
    """An error message as a server sends it instead of a response."""
    body = text.encode()[:MAX_CIPHERTEXT]
    return header(ERROR, len(body)) + body


def printable(data: bytes, limit: int = 200) -> str:
    """Untrusted bytes as text for a message: printable ASCII only, at most `limit` characters."""
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in data[:limit]])


def split_message(data: bytes) -> "tuple[bytes, bytes] | None":
    """(first message with its header, rest), or None while it is incomplete. PeerError: longer than 4096 bytes."""
    if len(data) < HEADER_SIZE:
        return None
    size = HEADER_SIZE + int.from_bytes(data[1:3], "big")
    if size > MAX_RECORD:
        raise PeerError(f"control message of {size} bytes, at most {MAX_RECORD}")
    return None if len(data) < size else (data[:size], data[size:])


def _start(crypto: "Any", version: int, server_public: bytes) -> SymmetricState:
    state = SymmetricState(crypto, PROTOCOL_NAME)
    state.mix_hash(f"Tailscale Control Protocol v{version}".encode())
    state.mix_hash(server_public)
    return state


class ControlInitiator:
    """The client's side of one handshake. `message` is the initiation (101 bytes)."""

    def __init__(self, crypto: "Any", machine_private: bytes, server_public: bytes, version: int, ephemeral_private: bytes) -> None:
        if len(machine_private) != 32 or len(server_public) != 32 or len(ephemeral_private) != 32:
            raise LocalError("keys of a control handshake are 32 bytes each")
        if not 0 < version < 65536:
            raise LocalError(f"protocol version {version}, need 1..65535")
        self._crypto, self._machine, self._ephemeral = crypto, machine_private, ephemeral_private
        self._state = _start(crypto, version, server_public)
        self.message = version.to_bytes(2, "big") + header(INITIATION, 96) + self._payload(server_public)

    def _payload(self, server_public: bytes) -> bytes:
        crypto, state = self._crypto, self._state
        public: bytes = crypto.x25519_public(self._ephemeral)
        state.mix_hash(public)
        state.mix_key(crypto.x25519(self._ephemeral, server_public))
        machine = state.encrypt_and_hash(crypto.x25519_public(self._machine))
        state.mix_key(crypto.x25519(self._machine, server_public))
        return public + machine + state.encrypt_and_hash(b"")

    def finish(self, response: bytes) -> "ControlTransport":
        """The transport after the server's answer (one whole message). PeerError: an error message, or not a valid response."""
        if response[:1] == bytes((ERROR,)):
            raise PeerError("the control server refused the handshake: " + printable(response[HEADER_SIZE:]))
        if len(response) != RESPONSE_SIZE or response[:3] != header(RESPONSE, 48):
            raise PeerError(f"control handshake response of {len(response)} bytes starts {response[:3].hex()}, need 51 starting 020030")
        crypto, state, public = self._crypto, self._state.copy(), response[3:35]
        state.mix_hash(public)
        state.mix_key(crypto.x25519(self._ephemeral, public))
        state.mix_key(crypto.x25519(self._machine, public))
        state.decrypt_and_hash(response[35:])
        send, receive = state.split()
        return ControlTransport(crypto, send, receive)


class ControlResponder:
    """The server's side of one handshake: receive() once, then respond() once."""

    def __init__(self, crypto: "Any", server_private: bytes) -> None:
        self._crypto, self._private = crypto, server_private
        self._state: SymmetricState | None = None
        self._machine = self._ephemeral = b""

    def receive(self, initiation: bytes) -> tuple[bytes, int]:
        """(machine public key, version) of an initiation of 101 bytes. PeerError: malformed, or not sealed to our key."""
        if len(initiation) != INITIATION_SIZE or initiation[2:5] != header(INITIATION, 96):
            raise PeerError(f"control initiation of {len(initiation)} bytes, header {initiation[2:5].hex()}: need 101, 010060")
        crypto, version = self._crypto, int.from_bytes(initiation[:2], "big")
        state = _start(crypto, version, crypto.x25519_public(self._private))
        ephemeral = initiation[5:37]
        state.mix_hash(ephemeral)
        state.mix_key(crypto.x25519(self._private, ephemeral))
        machine = state.decrypt_and_hash(initiation[37:85])
        state.mix_key(crypto.x25519(self._private, machine))
        state.decrypt_and_hash(initiation[85:])
        self._state, self._machine, self._ephemeral = state, machine, ephemeral
        return machine, version

    def respond(self, ephemeral_private: bytes) -> "tuple[bytes, ControlTransport]":
        """(response of 51 bytes, transport). LocalError: before receive()."""
        crypto, state = self._crypto, self._state
        if state is None:
            raise LocalError("respond() before an initiation was received")
        self._state = None
        public: bytes = crypto.x25519_public(ephemeral_private)
        state.mix_hash(public)
        state.mix_key(crypto.x25519(ephemeral_private, self._ephemeral))
        state.mix_key(crypto.x25519(ephemeral_private, self._machine))
        response = header(RESPONSE, 48) + public + state.encrypt_and_hash(b"")
        receive, send = state.split()
        return response, ControlTransport(crypto, send, receive)


class ControlTransport:
    """Sealed records both ways: encode() what is to be written, feed() what was read."""

    def __init__(self, crypto: "Any", send_key: bytes, receive_key: bytes) -> None:
        self._crypto, self._send_key, self._receive_key = crypto, send_key, receive_key
        self._sent = self._received = 0
        self._buffer = b""
        self._broken = ""

    def encode(self, plaintext: bytes) -> bytes:
        """As many records as the plaintext needs; nothing for nothing."""
        records = []
        for start in range(0, len(plaintext), MAX_PLAINTEXT):
            nonce = bytes(4) + self._sent.to_bytes(8, "big")
            sealed = self._crypto.seal(self._send_key, nonce, bytes(plaintext[start : start + MAX_PLAINTEXT]))
            self._sent += 1
            records.append(header(RECORD, len(sealed)) + sealed)
        return b"".join(records)

    def feed(self, data: bytes) -> list[bytes]:
        """Plaintexts of the records completed by `data` (any cut). PeerError: a bad record; the transport is then unusable."""
        if self._broken:
            raise PeerError(self._broken)
        self._buffer, plaintexts, at = self._buffer + data, [], 0
        while len(self._buffer) - at >= HEADER_SIZE:
            end = at + HEADER_SIZE + self._size(self._buffer[at : at + HEADER_SIZE])
            if end > len(self._buffer):
                break
            plaintexts.append(self._open(self._buffer[at:end]))
            at = end
        self._buffer = self._buffer[at:]
        return plaintexts

    def _size(self, head: bytes) -> int:
        size = int.from_bytes(head[1:], "big")
        least = 0 if head[0] == ERROR else TAG_SIZE
        if head[0] not in (ERROR, RECORD) or not least <= size <= MAX_CIPHERTEXT:
            raise self._fail(f"control record type {head[0]} of {size} bytes: need type 4, {TAG_SIZE}..{MAX_CIPHERTEXT} bytes")
        return size

    def _open(self, record: bytes) -> bytes:
        if record[0] == ERROR:
            raise self._fail("the control server ended the session: " + printable(record[HEADER_SIZE:]))
        nonce = bytes(4) + self._received.to_bytes(8, "big")
        plaintext: bytes | None = self._crypto.open(self._receive_key, nonce, record[HEADER_SIZE:])
        if plaintext is None:
            raise self._fail(f"control record {self._received} of {len(record)} bytes does not authenticate")
        self._received += 1
        return plaintext

    def _fail(self, sentence: str) -> PeerError:
        self._broken, self._buffer = sentence, b""
        return PeerError(sentence)


def split_early_payload(data: bytes) -> "tuple[dict[str, Any] | None, bytes] | None":
    """(payload or None, what follows it) of the stream's first bytes; None while more are needed to tell. PeerError: too long, not JSON."""
    if not data or not (data.startswith(EARLY_MAGIC) or EARLY_MAGIC.startswith(data)):
        return (None, data) if data else None
    if len(data) < 9:
        return None
    size = int.from_bytes(data[5:9], "big")
    if size > EARLY_LIMIT:
        raise PeerError(f"early payload of {size} bytes, at most {EARLY_LIMIT}")
    return None if len(data) < 9 + size else (_early(data[9 : 9 + size]), data[9 + size :])


def _early(text: bytes) -> "dict[str, Any]":
    try:
        payload = json.loads(text.decode())
    except (ValueError, RuntimeError):  # too deep is a RuntimeError
        payload = None
    if not isinstance(payload, dict) or text.rstrip()[-1:] != b"}":  # MicroPython's parser forgives a missing last brace
        raise PeerError(f"early payload of {len(text)} bytes is not a JSON object")
    return payload


class EarlyPayload:
    """Takes the optional early payload off the front of the server's plaintext stream; `payload` is it, or None."""

    def __init__(self) -> None:
        self.payload: dict[str, Any] | None = None
        self._held: bytes | None = b""

    def feed(self, data: bytes) -> bytes:
        """What of the stream belongs to HTTP/2. PeerError as split_early_payload()."""
        if self._held is None:
            return data
        self._held += data
        found = split_early_payload(self._held)
        if found is None:
            return b""
        self.payload, self._held = found[0], None
        return found[1]
