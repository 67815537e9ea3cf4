"""Proof of an address, without a memory for those who only ask: a keyed hash that has to come back from where it was sent.

    challenge   BLAKE2s-256, key = secret, of u32 BE network id | u32 BE generation | other's disco key 32 | address 16 (IPv4 mapped)
                | u16 BE port | u8 number of the socket

The secret changes every two minutes and counts for two more. Nobody but us reads a challenge, so its content is our own affair.
"""

import struct

from skerry_core import ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skerry_core.disco import _Binding

ROTATE = 120_000


class Challenges:
    """Makes and checks them."""

    def __init__(self, crypto: "Any", random: "Callable[[int], bytes]", now: int) -> None:
        self._crypto, self._random = crypto, random
        self._secrets = [random(32), random(32)]  # the newer one first
        self._since = now

    def make(self, where: "tuple[Any, ...]", message: "_Binding", now: int) -> bytes:
        """For somebody who says to be there."""
        self._rotate(now)
        return self._hash(self._secrets[0], where, message)

    def holds(self, where: "tuple[Any, ...]", message: "_Binding", now: int) -> bool:
        """Whether the message has the challenge that was sent there."""
        self._rotate(now)
        return any(message.challenge == self._hash(secret, where, message) for secret in self._secrets)

    def _rotate(self, now: int) -> None:
        if now - self._since < ROTATE:
            return
        older = self._secrets[0] if now - self._since < 2 * ROTATE else self._random(32)
        self._secrets = [self._random(32), older]
        self._since = now

    def _hash(self, secret: bytes, where: "tuple[Any, ...]", message: "_Binding") -> bytes:
        head = struct.pack(">II", message.vni, message.generation)
        proof: bytes = self._crypto.blake2s(
            head + message.remote_key + ip.mapped(where[2]) + struct.pack(">HB", where[3], where[0]), secret, 32
        )
        return proof
