"""The byte streams the engine asks for: non-blocking TCP, TLS where asked, several addresses tried in turn.

```
resolving -> connecting -> loading -> tls -> open -> (gone)          plain streams pass over loading (of the library) and tls
```
An attempt starts every 250 ms, or at once when the one before failed (RFC 8305); the first to connect wins. The whole
way to open has 10 s. What happened is in `events` as `("stream", id, "open" | "data" | "closed", ...)`, in order; the
owner hands them to the engine after each call into this module, so that an "attach" takes effect before the next read.

Buffers: 64 KiB are read at a time; at most LIMIT bytes wait to be written, then the stream is closed. Frames of a
relay are taken from the transport only while less than LOW bytes wait, so they pile up (and are dropped) there.
"""

import errno
import os
import selectors
import socket

from . import tls, wire, zstd
from .loading import Loading
from .netlink import bypass
from .resolver import Resolver, interleave, literal
from .tls import Refused, Tls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .dns.lookup import Before
    from .resolver import Address

LIMIT = 1 << 20
LOW = 1 << 16
CHUNK = 1 << 16
OPEN_WITHIN = 10_000  # ms from "connect" to "open"
NEXT_ATTEMPT = 250  # ms
PENDING = (errno.EINPROGRESS, errno.EWOULDBLOCK)


class Stream:
    """One stream; `Streams` does the work."""

    def __init__(self, number: int, request: "dict[str, Any]", now: int) -> None:
        self.number = number
        self.request = request
        self.deadline: int | None = now + OPEN_WITHIN
        self.state = "resolving"
        self.left: list[Address] = []  # addresses not tried yet
        self.attempts: dict[socket.socket, str] = {}
        self.next_attempt: int | None = None
        self.failures: list[str] = []
        self.socket: socket.socket | None = None
        self.tls: Tls | None = None
        self.out = bytearray()
        self.writing = False  # registered for writing
        self.region: int | None = None
        self.pull = False  # the transport has frames for it

    def failure(self, host: str, reason: str) -> str:
        """One attempt that failed; the address is told where the host is a name."""
        return reason if host == self.request["host"] else f"{host}: {reason}"


class Streams:
    """All streams of one node, on the owner's selector. Callbacks are registered as the selector's data: `data(mask)`."""

    def __init__(self, selector: selectors.BaseSelector, transport: "Any") -> None:
        self.events: list[tuple[Any, ...]] = []
        self._selector = selector
        self._transport = transport  # relay_in(region, data), relay_out(region)
        self._streams: dict[int, Stream] = {}
        self._regions: dict[int, Stream] = {}
        self._resolver = Resolver()
        self._names: dict[int, str] = {}
        self._lookups = 0
        self._now = 0
        self._ended: dict[str, tuple[int, int]] = {}  # bytes of streams that are gone, by purpose
        self._loading = Loading(tls.load, zstd.load)
        selector.register(self._resolver.fileno(), selectors.EVENT_READ, self._resolved)
        selector.register(self._loading.fileno(), selectors.EVENT_READ, self._loaded)

    def prepare(self) -> None:
        """Load now what TLS and the map need; else that begins with the first connection."""
        self._loading.begin()

    def connect(self, number: int, request: "dict[str, Any]", now: int) -> None:
        """Begin to open a stream."""
        self._now = now
        stream = self._streams[number] = Stream(number, request, now)
        port = int(request["port"])
        known = [found for text in request.get("addresses") or [] if (found := literal(text, port))]
        known = known or [found for found in (literal(request["host"], port),) if found]
        if known:
            self._try(stream, known)
        elif not self._resolver.lookup(number, request["host"], port):
            self._fail(stream, "too many DNS look-ups hang: check this host's DNS")

    def resolve(self, name: str) -> None:
        """Look up a name for the engine; `("resolved", name, [address bytes, ...])` comes as an event."""
        self._lookups -= 1  # below zero, where no stream is
        self._names[self._lookups] = name
        if not self._resolver.lookup(self._lookups, name, 0):
            self._looked_up(self._lookups, [])

    def _looked_up(self, number: int, addresses: "list[Address]") -> None:
        name = self._names.pop(number)
        packed = [socket.inet_pton(family, text.partition("%")[0]) for family, text, _port in addresses]
        self.events.append(("resolved", name, packed))

    def look_up_by(self, before: "Before | None") -> None:
        """Ask these servers for names from now on, not the system; None: the system."""
        self._resolver.before = before

    def write(self, number: int, data: bytes) -> None:
        """Send, now or when there is room. Unknown streams are ignored: they closed meanwhile."""
        stream = self._streams.get(number)
        if stream is None or stream.state != "open":
            return
        self._guard(stream, lambda each: self._queue(each, data))
        self._flush(stream)

    def close(self, number: int) -> None:
        """Close without a report, after one last try to send what waits."""
        stream = self._streams.get(number)
        if stream is not None:
            if stream.state == "open":
                self._flush(stream)
            self._drop(stream)

    def attach(self, number: int, region: int) -> None:
        """From here on the stream carries the relay frames of `region`."""
        stream = self._streams.get(number)
        if stream is not None:
            stream.region, stream.pull = region, True
            self._regions[region] = stream
            self._flush(stream)

    def relay_ready(self, region: int) -> None:
        """The transport has frames for that relay."""
        stream = self._regions.get(region)
        if stream is not None:
            stream.pull = True
            self._flush(stream)

    def shut(self) -> None:
        """Close everything."""
        for stream in list(self._streams.values()):
            self._drop(stream)
        for thread in (self._resolver, self._loading):
            if thread.fileno() in self._selector.get_map():
                self._selector.unregister(thread.fileno())
            thread.close()

    def traffic(self) -> "dict[str, tuple[int, int]]":
        """purpose: (sent, received) since the start, with TCP and IP headers."""
        found = dict(self._ended)
        for stream in self._streams.values():
            if stream.socket is not None:
                self._count(found, stream)
        return found

    def _count(self, found: "dict[str, tuple[int, int]]", stream: Stream) -> None:
        assert stream.socket is not None
        sent, received = wire.stream(stream.socket)
        before = found.get(stream.request["purpose"], (0, 0))
        found[stream.request["purpose"]] = (before[0] + sent, before[1] + received)

    def next_timer(self) -> "int | None":
        """When handle_timer has something to do."""
        return min((at for s in self._streams.values() for at in (s.deadline, s.next_attempt) if at is not None), default=None)

    def handle_timer(self, now: int) -> None:
        """Start attempts that are due, give up what takes too long."""
        self._now = now
        for stream in list(self._streams.values()):
            if stream.deadline is not None and now >= stream.deadline:
                self._fail(stream, f"no answer within {OPEN_WITHIN // 1000} s{_tried(stream)}")
            elif stream.next_attempt is not None and now >= stream.next_attempt:
                self._attempt(stream)

    # resolving -> connecting

    def _resolved(self, _mask: int) -> None:
        for number, addresses, reason in self._resolver.results():
            if number < 0:
                self._looked_up(number, addresses)
                continue
            stream = self._streams.get(number)
            if stream is None or stream.state != "resolving":
                continue
            if addresses:
                self._try(stream, addresses)
            else:
                self._fail(stream, reason)

    def _try(self, stream: Stream, addresses: "list[Address]") -> None:
        stream.state, stream.left = "connecting", interleave(addresses)
        self._attempt(stream)

    def _attempt(self, stream: Stream) -> None:
        stream.next_attempt = None
        while stream.left and stream.state == "connecting":
            family, host, port = stream.left.pop(0)
            try:
                attempt = self._begin(stream, family, host, port)
            except OSError as error:  # refused at once, a family this kernel has not, no descriptors left
                stream.failures.append(stream.failure(host, error.strerror or str(error)))
                continue
            stream.attempts[attempt] = host
            stream.next_attempt = self._now + NEXT_ATTEMPT if stream.left else None
            return
        if not stream.attempts and stream.state == "connecting":
            self._fail(stream, f"cannot connect ({'; '.join(stream.failures) or 'no address to try'})")

    def _begin(self, stream: Stream, family: int, host: str, port: int) -> socket.socket:
        attempt = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            bypass(attempt)
            code = attempt.connect_ex((host, port))
            if code and code not in PENDING:
                raise OSError(code, os.strerror(code))
            self._selector.register(attempt, selectors.EVENT_WRITE, lambda _mask: self._connected(stream, attempt))
        except BaseException:
            attempt.close()
            raise
        return attempt

    def _connected(self, stream: Stream, attempt: socket.socket) -> None:
        host = stream.attempts.pop(attempt)
        self._selector.unregister(attempt)
        code = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            attempt.close()
            stream.failures.append(stream.failure(host, os.strerror(code)))
            self._attempt(stream)
            return
        self._forget_attempts(stream)
        stream.socket = attempt
        self._guard(stream, self._won)

    def _won(self, stream: Stream) -> None:
        attempt = stream.socket
        assert attempt is not None
        attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loading.begin()  # whatever this stream is, the next one has TLS and the map is compressed
        if stream.request.get("tls") is None:
            self._watch(stream, attempt)
            self._open(stream)
        elif self._loading.done:
            self._start_tls(stream)
        else:
            stream.state = "loading"

    def _watch(self, stream: Stream, chosen: socket.socket) -> None:
        self._selector.register(chosen, selectors.EVENT_READ, lambda mask: self._ready(stream, mask))

    def _loaded(self, _mask: int) -> None:
        self._selector.unregister(self._loading.fileno())
        for stream in list(self._streams.values()):
            if stream.state == "loading":
                self._guard(stream, self._start_tls)

    def _start_tls(self, stream: Stream) -> None:
        assert stream.socket is not None
        stream.state = "tls"
        self._watch(stream, stream.socket)
        wanted = stream.request["tls"]
        stream.tls = Tls(wanted["name"], wanted["verify"])
        self._flush(stream)

    def _open(self, stream: Stream) -> None:
        stream.state, stream.deadline = "open", None
        self.events.append(("stream", stream.number, "open", b""))

    # open

    def _ready(self, stream: Stream, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush(stream)
        if mask & selectors.EVENT_READ and stream.socket is not None:
            self._guard(stream, self._read)

    def _read(self, stream: Stream) -> None:
        assert stream.socket is not None
        try:
            data = stream.socket.recv(CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._fail(stream, "the other end closed the connection")
            return
        if stream.tls is not None:
            data = stream.tls.feed(data)
            if stream.state == "tls" and stream.tls.ready:
                self._open(stream)
            self._flush(stream)
        if not data or stream.socket is None:
            return
        if stream.region is None:
            self.events.append(("stream", stream.number, "data", data))
        else:
            self._transport.relay_in(stream.region, data)

    def _queue(self, stream: Stream, data: bytes) -> None:
        if stream.tls is not None:
            stream.tls.write(data)
            data = stream.tls.outgoing()
        stream.out += data

    def _flush(self, stream: Stream) -> None:
        self._guard(stream, self._send)

    def _send(self, stream: Stream) -> None:
        if stream.socket is None:
            return
        if stream.tls is not None:
            stream.out += stream.tls.outgoing()
        while True:
            if stream.pull and len(stream.out) < LOW:
                self._pull(stream)
            if not stream.out:
                break
            try:
                sent = stream.socket.send(stream.out)
            except BlockingIOError:
                break
            del stream.out[:sent]
        if len(stream.out) > LIMIT:
            self._fail(stream, f"the other end does not read: {len(stream.out)} bytes wait")
            return
        self._want_write(stream, bool(stream.out))

    def _pull(self, stream: Stream) -> None:
        frames = self._transport.relay_out(stream.region)
        stream.pull = bool(frames)
        self._queue(stream, frames)

    def _want_write(self, stream: Stream, wanted: bool) -> None:
        if wanted != stream.writing and stream.socket is not None:
            stream.writing = wanted
            mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
            self._selector.modify(stream.socket, mask, lambda mask, s=stream: self._ready(s, mask))

    # gone

    def _guard(self, stream: Stream, step: "Any") -> None:
        """Run one step; what fails in it closes this stream and nothing else."""
        try:
            step(stream)
        except Refused as error:
            self._fail(stream, str(error))
        except OSError as error:
            self._fail(stream, f"the connection broke ({error.strerror or error})")

    def _fail(self, stream: Stream, reason: str) -> None:
        if self._streams.get(stream.number) is stream:
            self._drop(stream)
            self.events.append(("stream", stream.number, "closed", reason))

    def _forget_attempts(self, stream: Stream) -> None:
        for attempt in stream.attempts:
            self._selector.unregister(attempt)
            attempt.close()
        stream.attempts, stream.left, stream.next_attempt = {}, [], None

    def _drop(self, stream: Stream) -> None:
        self._forget_attempts(stream)
        if stream.socket is not None:
            if stream.socket in self._selector.get_map():
                self._selector.unregister(stream.socket)
            self._count(self._ended, stream)
            stream.socket.close()
            stream.socket = None
        stream.state = "gone"
        self._streams.pop(stream.number, None)
        if stream.region is not None and self._regions.get(stream.region) is stream:
            del self._regions[stream.region]


def _tried(stream: Stream) -> str:
    tried = stream.failures + [stream.failure(host, "silent") for host in stream.attempts.values()]
    return f" ({'; '.join(tried)})" if tried else ""
