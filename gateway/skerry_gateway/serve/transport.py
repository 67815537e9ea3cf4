"""TLS over a plain asyncio transport: `ssl.SSLObject` between two memory BIOs.

asyncio's own TLS holds 280 kB per connection for its buffers; this holds what OpenSSL needs. `Tls` is a transport towards the
protocol above it (the front, aiohttp's handler, a relay or control session) and is fed by the plain protocol below.

States: "handshake" -> "open" -> "closing" -> "closed". Writes are sealed at once and wait in the plain transport's buffer, whose
`pause_writing` and `resume_writing` are passed on. What is written while a handshake is under way is kept for after it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any

READ_SIZE = 256 * 1024


class Tls(asyncio.Transport):
    """`on_open` is called once when the handshake is done, `on_failure(reason)` if it fails; then data goes to `set_protocol()`'s."""

    def __init__(self, below: asyncio.Transport, context: ssl.SSLContext, on_open: Callable[[], None], on_failure: Callable[[str], None]):
        super().__init__()
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._context = context
        self._on_open, self._on_failure = on_open, on_failure
        self._protocol: Any = None
        self._state = "handshake"
        self._paused = False
        self._early: list[bytes] = []

    # What the plain protocol below calls.

    def feed(self, data: bytes) -> None:
        if self._state == "closed":
            return
        self._incoming.write(data)
        self._advance()

    def feed_eof(self) -> bool | None:
        """The peer closed without or after its close_notify: the connection is over, half-open TLS is not kept."""
        self._incoming.write_eof()
        self.close()
        return False

    # asyncio.Transport.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._state == "handshake":
            self._early.append(bytes(data))
        elif self._state == "open" and data:
            self._object.write(data)
            self._flush()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if self._state in {"closing", "closed"}:
            return
        handshaken = self._state == "open"
        self._state = "closing"
        if handshaken:
            self._say_goodbye()
        self._below.close()

    def abort(self) -> None:
        self._state = "closed"
        self._below.abort()

    def is_closing(self) -> bool:
        return self._state in {"closing", "closed"} or self._below.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._object
        if name == "sslcontext":
            return self._context
        return self._below.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._paused = True
        self._below.pause_reading()

    def resume_reading(self) -> None:
        if not self._paused:
            return
        self._paused = False
        self._below.resume_reading()
        asyncio.get_running_loop().call_soon(self._advance)

    def is_reading(self) -> bool:
        return not self._paused and not self.is_closing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._below.get_write_buffer_limits()

    def can_write_eof(self) -> bool:
        return False

    # Inside.

    def _advance(self) -> None:
        if self._state == "handshake":
            self._handshake()
        if self._state == "open" and not self._paused:
            self._deliver()

    def _handshake(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()
            self._on_failure(error.reason or str(error))
            self.close()
            return
        self._state = "open"
        self._flush()
        self._on_open()
        early, self._early = self._early, []
        self.write(b"".join(early))

    def _deliver(self) -> None:
        """Everything that has arrived goes up in one call: the relay's fan-out then runs once for all records of one read."""
        chunks, ended = [], False
        try:
            while chunk := self._object.read(READ_SIZE):
                chunks.append(chunk)
            ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:  # a broken record, or close_notify (SSLZeroReturnError)
            ended = True
        self._flush()  # a key update or an alert
        if chunks:
            self._protocol.data_received(b"".join(chunks))
        if ended:
            self.close()

    def _say_goodbye(self) -> None:
        try:
            self._object.unwrap()
        except ssl.SSLError:
            pass
        self._flush()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and not self._below.is_closing():
            self._below.write(data)
