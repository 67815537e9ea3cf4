"""WireGuard's handshake: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s with an all-zero preshared key.

    construction  "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"      C = H(construction)
    identifier    "WireGuard v1 zx2c4 Jason@zx2c4.com"         H = H(H(C | identifier) | responder's static)
    initiation    e; es, seals our static; ss, seals the TAI64N stamp
    response      e; ee, se; psk mixed with HKDF-3, seals nothing (a tag alone)
    keys          initiator's send, receive = HKDF-2(C, "")

Layouts stand in `messages`, MACs in `cookie`. It does not check mac1 of what it opens (the transport did), nor that a stamp grows or a
peer is known (the engine does), and failure changes nothing: a forged response leaves the initiator waiting for the true one.
"""

from skerry_core.errors import PeerError
from skerry_core.wireguard import cookie as cookies
from skerry_core.wireguard import messages, tai64n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
_IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
_NO_PSK = bytes(32)
_NONCE = bytes(12)


class Keys:
    """What a finished handshake gives: `send` and `receive` (32 bytes each) and the other side's index."""

    def __init__(self, send: bytes, receive: bytes, remote_index: int) -> None:
        self.send = send
        self.receive = receive
        self.remote_index = remote_index

    def __repr__(self) -> str:
        return f"Keys([redacted], remote_index={self.remote_index})"


class _State:
    """Noise's symmetric state: chaining key, hash and the key of the next sealed field (its nonce is always 0)."""

    def __init__(self, crypto: "Any", chaining: bytes, hashed: bytes, key: bytes = b"") -> None:
        self._crypto = crypto
        self.chaining = chaining
        self.hashed = hashed
        self._key = key

    def copy(self) -> "_State":
        return _State(self._crypto, self.chaining, self.hashed, self._key)

    def mix_hash(self, data: bytes) -> None:
        self.hashed = self._crypto.blake2s(self.hashed + data)

    def mix_public(self, public: bytes) -> None:
        """Mix an ephemeral public key into hash and chaining key."""
        self.mix_hash(public)
        (self.chaining,) = self._crypto.hkdf(self.chaining, public, 1)

    def mix_secret(self, private: bytes, public: bytes) -> None:
        self.chaining, self._key = self._crypto.hkdf(self.chaining, self._crypto.x25519(private, public), 2)

    def mix_psk(self) -> None:
        self.chaining, mixed, self._key = self._crypto.hkdf(self.chaining, _NO_PSK, 3)
        self.mix_hash(mixed)

    def seal(self, plaintext: bytes) -> bytes:
        sealed: bytes = self._crypto.seal(self._key, _NONCE, plaintext, self.hashed)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes, name: str) -> bytes:
        plaintext: bytes | None = self._crypto.open(self._key, _NONCE, sealed, self.hashed)
        if plaintext is None:
            raise PeerError(f"{name}: authentication failed")
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> "tuple[bytes, bytes]":
        first, second = self._crypto.hkdf(self.chaining, b"", 2)
        return first, second


def _start(crypto: "Any", responder_public: bytes) -> _State:
    chaining = crypto.blake2s(_CONSTRUCTION)
    state = _State(crypto, chaining, crypto.blake2s(chaining + _IDENTIFIER))
    state.mix_hash(responder_public)
    return state


class Initiator:
    """One handshake we start. `message` is the initiation to send, 148 bytes with its MACs."""

    def __init__(
        self,
        crypto: "Any",
        static_private: bytes,
        static_public: bytes,
        peer_public: bytes,
        ephemeral_private: bytes,
        sender_index: int,
        stamp: bytes,
        cookie: "bytes | None" = None,
    ) -> None:
        """`stamp` from tai64n.stamp(), `cookie` from CookieJar.current(); PeerError when the peer's key is a low-order point."""
        self._crypto = crypto
        self._static_private = static_private
        self._ephemeral = ephemeral_private
        self.sender_index = sender_index
        state = _start(crypto, peer_public)
        ephemeral = crypto.x25519_public(ephemeral_private)
        state.mix_public(ephemeral)
        state.mix_secret(ephemeral_private, peer_public)
        sealed_static = state.seal(static_public)
        state.mix_secret(static_private, peer_public)
        sealed_stamp = state.seal(stamp)
        self._state = state
        body = bytes((messages.INITIATION, 0, 0, 0)) + sender_index.to_bytes(4, "little") + ephemeral + sealed_static + sealed_stamp
        self.message = cookies.add_macs(crypto, cookies.mac1_key(crypto, peer_public), body, cookie)

    def __repr__(self) -> str:
        return f"Initiator([redacted], sender_index={self.sender_index})"

    def consume(self, response: bytes) -> Keys:
        """The session's keys from the peer's response (92 bytes); PeerError, and still waiting, when it is not for us or forged."""
        messages.require(response, messages.RESPONSE, "handshake response")
        if messages.receiver_index(response) != self.sender_index:
            raise PeerError(f"handshake response: for index {messages.receiver_index(response)}, ours is {self.sender_index}")
        state = self._state.copy()
        ephemeral = response[12:44]
        state.mix_public(ephemeral)
        state.mix_secret(self._ephemeral, ephemeral)
        state.mix_secret(self._static_private, ephemeral)
        state.mix_psk()
        state.open(response[44:60], "handshake response")
        send, receive = state.split()
        return Keys(send, receive, messages.sender_index(response))


class Initiation:
    """A peer's initiation, opened: `peer_public` (who sent it), `tai64n` (its stamp), `sender_index`."""

    def __init__(self, crypto: "Any", state: _State, ephemeral: bytes, peer_public: bytes, stamp: bytes, sender_index: int) -> None:
        self._crypto = crypto
        self._state = state
        self._ephemeral = ephemeral
        self.peer_public = peer_public
        self.tai64n = stamp
        self.sender_index = sender_index

    def respond(self, ephemeral_private: bytes, local_index: int, cookie: "bytes | None" = None) -> "tuple[bytes, Keys]":
        """The response (92 bytes) and our keys. PeerError when the peer's ephemeral key is a low-order point."""
        crypto, state = self._crypto, self._state.copy()
        ephemeral = crypto.x25519_public(ephemeral_private)
        state.mix_public(ephemeral)
        state.mix_secret(ephemeral_private, self._ephemeral)
        state.mix_secret(ephemeral_private, self.peer_public)
        state.mix_psk()
        tag = state.seal(b"")
        receive, send = state.split()
        indices = local_index.to_bytes(4, "little") + self.sender_index.to_bytes(4, "little")
        body = bytes((messages.RESPONSE, 0, 0, 0)) + indices + ephemeral + tag
        message = cookies.add_macs(crypto, cookies.mac1_key(crypto, self.peer_public), body, cookie)
        return message, Keys(send, receive, self.sender_index)


def open_initiation(crypto: "Any", static_private: bytes, static_public: bytes, data: bytes) -> Initiation:
    """Open an initiation (148 bytes) sent to us; PeerError when it is malformed, not for our key, or forged."""
    messages.require(data, messages.INITIATION, "handshake initiation")
    state = _start(crypto, static_public)
    ephemeral = data[8:40]
    state.mix_public(ephemeral)
    state.mix_secret(static_private, ephemeral)
    peer_public = state.open(data[40:88], "handshake initiation")
    state.mix_secret(static_private, peer_public)
    stamp = state.open(data[88:116], "handshake initiation stamp")
    if len(stamp) != tai64n.LENGTH:
        raise PeerError(f"handshake initiation: stamp of {len(stamp)} bytes, need {tai64n.LENGTH}")
    return Initiation(crypto, state, ephemeral, peer_public, stamp, messages.sender_index(data))
