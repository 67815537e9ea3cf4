"""Replay window over 64-bit packet counters: each counter opens once, and only within `size` of the newest one seen.

A ring of bits (as RFC 6479 describes): a counter's bit is at counter mod (size + 64), whole bytes ahead of the newest are cleared as the
window moves. Marking is separate from asking, so that a forged packet changes nothing.
"""

from skerry_core.wireguard.messages import REJECT_AFTER_MESSAGES


class ReplayWindow:
    """Counters seen on one session."""

    def __init__(self, size: int = 8128) -> None:
        """`size` must be a multiple of 8."""
        self._size = size
        self._bytes = size // 8 + 8
        self._ring = bytearray(self._bytes)
        self._newest = -1

    def fresh(self, counter: int) -> bool:
        """True when a packet with this counter may be opened."""
        if counter > self._newest:
            return counter < REJECT_AFTER_MESSAGES
        if self._newest - counter > self._size:
            return False
        return not self._ring[(counter >> 3) % self._bytes] & (1 << (counter & 7))

    def mark(self, counter: int) -> None:
        """Note that the packet with this (fresh) counter was authenticated."""
        index = counter >> 3
        if counter > self._newest:
            self._clear(self._newest >> 3, index)
            self._newest = counter
        self._ring[index % self._bytes] |= 1 << (counter & 7)

    def _clear(self, last: int, index: int) -> None:
        if index - last >= self._bytes:
            self._ring = bytearray(self._bytes)
            return
        for position in range(last + 1, index + 1):
            self._ring[position % self._bytes] = 0
