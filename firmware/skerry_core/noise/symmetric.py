"""SymmetricState of the Noise Protocol Framework (revision 34, section 5.2) over BLAKE2s and ChaCha20-Poly1305.

State: h (32 bytes, transcript hash), ck (32 bytes, chaining key), k (32 bytes or none) and n, the number of messages sealed with k.
A handshake nonce is 4 zero bytes and n as u64 little-endian; mixing a key sets n back to 0. A protocol name of up to 32 bytes is
padded with zeros to make h, a longer one is hashed.

It does not know message patterns; control.py (IK) and the WireGuard handshake (IKpsk2) are built on it. The crypto given is an
object with the crypto interface of ARCHITECTURE.md.
"""

from skerry_core.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TAG_SIZE = 16


class SymmetricState:
    """h, ck and k of one handshake. `hash` and `chaining_key` may be read; keys never appear in repr."""

    def __init__(self, crypto: "Any", protocol_name: bytes) -> None:
        self._crypto = crypto
        padded: bytes = protocol_name + bytes(32 - len(protocol_name)) if len(protocol_name) <= 32 else crypto.blake2s(protocol_name)
        self.hash = padded
        self.chaining_key = padded
        self._key: bytes | None = None
        self._count = 0

    def copy(self) -> "SymmetricState":
        """An independent state with the same h, ck, k and n."""
        other = SymmetricState(self._crypto, b"")
        other.hash, other.chaining_key, other._key, other._count = self.hash, self.chaining_key, self._key, self._count
        return other

    def mix_hash(self, data: bytes) -> None:
        """h = HASH(h || data)."""
        self.hash = self._crypto.blake2s(self.hash + data)

    def mix_key(self, material: bytes) -> None:
        """ck, k = HKDF(ck, material), n = 0."""
        self.chaining_key, self._key = self._crypto.hkdf(self.chaining_key, material, 2)
        self._count = 0

    def mix_key_and_hash(self, material: bytes) -> None:
        """ck, t, k = HKDF(ck, material), h = HASH(h || t), n = 0: how a pre-shared key enters."""
        self.chaining_key, mixed, self._key = self._crypto.hkdf(self.chaining_key, material, 3)
        self._count = 0
        self.mix_hash(mixed)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Seal with k (the plaintext itself while there is no k) and mix the result into h; 16 bytes longer when sealed."""
        sealed: bytes = plaintext if self._key is None else self._crypto.seal(self._key, self._nonce(), plaintext, self.hash)
        self._count += 1
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        """The inverse. PeerError: the tag is wrong; the state is then as before."""
        plaintext: bytes | None = sealed
        if self._key is not None:
            plaintext = self._crypto.open(self._key, self._nonce(), sealed, self.hash) if len(sealed) >= TAG_SIZE else None
        if plaintext is None:
            raise PeerError(f"handshake message does not authenticate ({len(sealed)} bytes sealed)")
        self._count += 1
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """The two transport keys: (initiator to responder, responder to initiator)."""
        first, second = self._crypto.hkdf(self.chaining_key, b"", 2)
        return first, second

    def _nonce(self) -> bytes:
        return bytes(4) + self._count.to_bytes(8, "little")
