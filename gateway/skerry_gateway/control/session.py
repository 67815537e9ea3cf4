"""One ts2021 connection: the Noise handshake, then HTTP/2 inside it, in which the client asks and we answer.

    receive()  101 bytes of initiation (from the X-Tailscale-Handshake header), then the stream after the upgrade, in any cut
    take()     51 bytes of response, then records

Bounds: requests are small, few at a time, and paced; what a slow reader has not taken is limited, because maps are made only
when there is room (`room`), and a connection that does nothing is closed. Every fault of the peer ends as `closed` with a reason.

Which machine this is comes from the handshake and from nowhere else. Does not know what requests mean: the coordinator does.
"""

from collections.abc import Callable
from typing import Any, Protocol

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from skerry_core.errors import PeerError
from skerry_core.noise.control import INITIATION_SIZE, ControlResponder, ControlTransport, error_message
from skerry_core.rate import Rate

MAX_BODY = 256 << 10  # one request
MAX_BODIES = 1 << 20  # all unfinished requests of a connection
MAX_STREAMS = 64
ROOM = 256 << 10  # with more than this unread, no further deltas are made
MAX_UNREAD = 64 << 20  # a full map of a very large network fits; beyond it the reader is gone
_EVENTS_PER_SECOND, _EVENT_BURST = 200, 2000
_REQUESTS_PER_SECOND, _REQUEST_BURST = 10, 60
# what a busy client sends by itself; everything else costs an event
_FREE_EVENTS = (h2.events.DataReceived, h2.events.WindowUpdated, h2.events.StreamEnded)


class Request:
    """One HTTP/2 request as far as it has arrived."""

    def __init__(self, stream: int, method: str, path: str) -> None:
        self.stream, self.method, self.path = stream, method, path
        self.body = bytearray()


class Server(Protocol):
    """What a session needs of the coordinator."""

    def responder(self) -> tuple[ControlResponder, bytes]: ...
    def arrived(self, session: "Session", now: int) -> None: ...
    def asked(self, session: "Session", request: Request, now: int) -> None: ...
    def stream_over(self, session: "Session", stream: int, now: int) -> None: ...
    def drained(self, session: "Session") -> None: ...
    def over(self, session: "Session", now: int) -> None: ...


class Session:
    """See the module. `machine_key` and `version` are known after the handshake."""

    def __init__(self, server: Server, remote: Any, now: int) -> None:
        self.remote = remote
        self.closed: str | None = None
        self.machine_key = b""
        self.version = 0
        self.used_at = now
        self.number = 0  # the coordinator's: of all connections, in the order they were opened
        self.mark = ""  # the coordinator's: which process of the machine this is (twins.py)
        self.poll: Any = None  # the coordinator's: this connection's map stream
        self.group: Any = None  # the coordinator's: whose connections this one counts among
        self._server = server
        self._input = b""
        self._output = bytearray()  # sealed, or before the handshake plain
        self._unsealed = bytearray()
        self._transport: ControlTransport | None = None
        self._h2: h2.connection.H2Connection | None = None
        self._requests: dict[int, Request] = {}
        self._queues: dict[int, tuple[bytearray, bool]] = {}  # per stream: what flow control holds back, and whether it ends then
        self._events = Rate(1000 // _EVENTS_PER_SECOND, _EVENT_BURST)
        self._pace = Rate(1000 // _REQUESTS_PER_SECOND, _REQUEST_BURST)
        self._gone = False

    @property
    def host(self) -> str:
        """The remote's address without its port."""
        return str(self.remote[0] if isinstance(self.remote, tuple) else self.remote)

    @property
    def wants_write(self) -> bool:
        return bool(self._output or self._unsealed)

    @property
    def room(self) -> bool:
        """Whether another map message may be made for this reader."""
        return self.unread < ROOM

    @property
    def unread(self) -> int:
        return len(self._output) + len(self._unsealed) + sum(len(data) for data, _ in self._queues.values())

    def receive(self, data: bytes, now: int) -> None:
        """Bytes from the connection. Never raises for what a peer sent."""
        if self.closed is not None:
            return
        try:
            self._receive(data, now)
        except PeerError as error:
            self.end(str(error), now)
        except (h2.exceptions.ProtocolError, UnicodeError) as error:
            self.end(f"not HTTP/2 as expected: {type(error).__name__}", now)

    def take(self) -> bytes:
        """What to write now; all of it. Taking makes room for maps that waited."""
        self._seal()
        if self.closed is None and not self._gone:
            self._server.drained(self)
            self._seal()
        out, self._output = bytes(self._output), bytearray()
        return out

    def close(self, now: int) -> None:
        """The connection is gone."""
        if not self._gone:
            self._gone = True
            self.closed = self.closed or "the connection was closed"
            self._server.over(self, now)

    def end(self, reason: str, now: int) -> None:
        """We give up on this connection: take() has the last words, then the adapter closes."""
        if self.closed is None:
            self.closed = reason
            self._finish()
            self._gone = True
            self._server.over(self, now)

    # answers

    def respond(self, stream: int, status: int, body: bytes, *, kind: str = "application/json", end: bool = True) -> None:
        """Answer a request; with `end` False the body goes on with push()."""
        if self._h2 is None or self._gone:
            return
        headers = [(":status", str(status)), ("content-type", kind)]
        if status == 429:
            headers.append(("retry-after", "5"))
        try:
            self._h2.send_headers(stream, headers, end_stream=end and not body)
        except (h2.exceptions.ProtocolError, KeyError):
            return  # the client has cancelled it
        if body or not end:
            self._queues[stream] = (bytearray(body), end)
        self._flush(stream)

    def push(self, stream: int, data: bytes, end: bool = False) -> None:
        """More of a body that respond() left open."""
        if stream in self._queues:
            queue, ends = self._queues[stream]
            queue += data
            self._queues[stream] = (queue, ends or end)
            self._flush(stream)

    # inside

    def _receive(self, data: bytes, now: int) -> None:
        if self._transport is None:
            self._input += data
            if len(self._input) < INITIATION_SIZE:
                return
            initiation, data = self._input[:INITIATION_SIZE], self._input[INITIATION_SIZE:]
            self._input = b""
            self._shake_hands(initiation, now)
        assert self._transport is not None and self._h2 is not None
        for plaintext in self._transport.feed(data) if data else ():
            for event in self._h2.receive_data(plaintext):
                self._event(event, now)
                if self.closed is not None:
                    return
        self._collect()

    def _shake_hands(self, initiation: bytes, now: int) -> None:
        responder, ephemeral = self._server.responder()
        try:
            self.machine_key, self.version = responder.receive(initiation)
            response, self._transport = responder.respond(ephemeral)
        except PeerError:
            self._output += error_message("the handshake was not made for this gateway's key")
            raise
        self._output += response
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config=config)
        codes = h2.settings.SettingCodes
        limits = {codes.MAX_CONCURRENT_STREAMS: MAX_STREAMS, codes.MAX_HEADER_LIST_SIZE: 16384, codes.INITIAL_WINDOW_SIZE: 65535}
        self._h2.local_settings = h2.settings.Settings(client=False, initial_values=limits)
        self._h2.initiate_connection()
        self._collect()
        self._server.arrived(self, now)

    def _event(self, event: h2.events.Event, now: int) -> None:
        if not isinstance(event, _FREE_EVENTS) and not self._events.take(now):
            raise PeerError(f"more than {_EVENTS_PER_SECOND} HTTP/2 events a second")
        self.used_at = now
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event, now)

    def _on_request(self, event: Any, now: int) -> None:
        headers = dict(event.headers)
        method, path = str(headers.get(":method", "")), str(headers.get(":path", ""))[:1000]
        self._requests[event.stream_id] = Request(event.stream_id, method, path)
        if not self._pace.take(now):
            self._refuse(event.stream_id, 429, "too many requests")

    def _on_data(self, event: Any, now: int) -> None:
        assert self._h2 is not None
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        request = self._requests.get(event.stream_id)
        if request is None:
            return
        request.body += event.data
        if len(request.body) > MAX_BODY or sum(len(r.body) for r in self._requests.values()) > MAX_BODIES:
            self._refuse(event.stream_id, 413, f"the request is longer than {MAX_BODY} bytes")

    def _refuse(self, stream: int, status: int, sentence: str) -> None:
        del self._requests[stream]
        self.respond(stream, status, sentence.encode(), kind="text/plain; charset=utf-8")

    def _on_end(self, event: Any, now: int) -> None:
        if self.unread > MAX_UNREAD:
            raise PeerError(f"asks on while {self.unread} bytes of answers are not read")
        request = self._requests.pop(event.stream_id, None)
        if request is not None:
            self._server.asked(self, request, now)

    def _on_reset(self, event: Any, now: int) -> None:
        self._requests.pop(event.stream_id, None)
        self._queues.pop(event.stream_id, None)
        self._server.stream_over(self, event.stream_id, now)

    def _on_window(self, event: Any, now: int) -> None:
        for stream in [event.stream_id] if event.stream_id else list(self._queues):
            self._flush(stream)

    def _on_settings(self, event: Any, now: int) -> None:
        for stream in list(self._queues):
            self._flush(stream)

    def _on_goodbye(self, event: Any, now: int) -> None:
        self.end("the client said goodbye", now)

    def _flush(self, stream: int) -> None:
        if stream not in self._queues or self._h2 is None:
            return
        queue, ends = self._queues[stream]
        try:
            sent = self._send_some(stream, queue)
            del queue[:sent]
            if ends and not queue:
                del self._queues[stream]
                self._h2.end_stream(stream)
        except (h2.exceptions.ProtocolError, KeyError):
            self._queues.pop(stream, None)  # the stream is closed on their side
        self._collect()

    def _send_some(self, stream: int, queue: bytearray) -> int:
        assert self._h2 is not None
        at = 0
        while at < len(queue):
            size = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(queue) - at)
            if size <= 0:
                break
            self._h2.send_data(stream, bytes(queue[at : at + size]))
            at += size
        return at

    def _collect(self) -> None:
        if self._h2 is not None:
            self._unsealed += self._h2.data_to_send()

    def _seal(self) -> None:
        if self._transport is not None and self._unsealed:
            self._output += self._transport.encode(bytes(self._unsealed))
            self._unsealed.clear()

    def _finish(self) -> None:
        if self._h2 is None:
            return
        try:
            self._h2.close_connection(h2.errors.ErrorCodes.NO_ERROR)
            self._collect()
        except h2.exceptions.ProtocolError:
            pass  # it was closed already


_HANDLERS: dict[type[h2.events.Event], Callable[[Session, Any, int], None]] = {
    h2.events.RequestReceived: Session._on_request,
    h2.events.DataReceived: Session._on_data,
    h2.events.StreamEnded: Session._on_end,
    h2.events.StreamReset: Session._on_reset,
    h2.events.WindowUpdated: Session._on_window,
    h2.events.RemoteSettingsChanged: Session._on_settings,
    h2.events.ConnectionTerminated: Session._on_goodbye,
}
