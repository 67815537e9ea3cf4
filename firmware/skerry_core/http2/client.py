"""The client's side of one HTTP/2 connection with prior knowledge (RFC 9113), as the control protocol uses it inside Noise.

Out, at once: the preface, SETTINGS (HEADER_TABLE_SIZE 0, ENABLE_PUSH 0, INITIAL_WINDOW_SIZE 256 KiB, MAX_HEADER_LIST_SIZE 32 KiB) and a
WINDOW_UPDATE to 1 MiB for the connection. Streams are 1, 3, 5, ... A request is HEADERS (CONTINUATION) and DATA frames, cut to the
peer's MAX_FRAME_SIZE and windows; what has no window waits and goes out when it opens.

In, the events of feed():
    ("headers", stream, status, {lower-case name: value})     the final response; 1xx are skipped, repeated names joined by ", "
    ("data", stream, bytes)                                   never empty; credit is given back at once
    ("end", stream)                                           the response is complete (trailers are dropped)
    ("reset", stream, code)                                   the stream failed: RST_STREAM, ours or theirs, or not processed before GOAWAY
    ("goaway", code)                                          no further requests on this connection; streams that go on have no "reset"
PING and SETTINGS are answered inside. What the peer may make us hold is bounded: one frame (16 KiB), one header block (64 KiB, 32
frames), 256 unsent answers. A breach queues GOAWAY and raises PeerError; take() it, write it, close.

It does not do: server push (refused), priorities, upgrade from HTTP/1, timeouts.
"""

from skerry_core.errors import LocalError, PeerError
from skerry_core.http2 import frames, hpack
from skerry_core.http2.frames import ConnectionFault, frame

CONNECTION_WINDOW = 1 << 20
STREAM_WINDOW = 1 << 18
DEFAULT_WINDOW = 65535
BLOCK_LIMIT = 65536
BLOCK_FRAMES = 32
ANSWERS_LIMIT = 256
LAST_STREAM = (1 << 31) - 1


class _Stream:
    def __init__(self, window: int) -> None:
        self.window = window  # what we may send
        self.room = STREAM_WINDOW  # what the peer may send
        self.held = b""  # what waits for a window
        self.ending = False  # the request ends after `held`
        self.ended = False  # END_STREAM was sent
        self.answered = False  # the final response headers came


class ClientConnection:
    """Requests in, bytes out with take(); bytes in with feed(), events out."""

    def __init__(self, authority: str = "control") -> None:
        self._authority = authority.encode()
        self._reader, self._decoder = frames.FrameReader(), hpack.Decoder()
        self._streams: dict[int, _Stream] = {}
        self._next, self._last_accepted = 1, LAST_STREAM
        self._window, self._room = DEFAULT_WINDOW, CONNECTION_WINDOW
        self._initial_window, self._max_frame, self._max_streams = DEFAULT_WINDOW, frames.MAX_PAYLOAD, LAST_STREAM
        self._block: tuple[int, bool, list[bytes]] | None = None
        self._greeted, self._answers, self._failure = False, 0, ""
        ours = [(frames.HEADER_TABLE_SIZE, 0), (frames.ENABLE_PUSH, 0), (frames.INITIAL_WINDOW_SIZE, STREAM_WINDOW)]
        self._out = [frames.PREFACE, frames.settings(ours + [(frames.MAX_HEADER_LIST_SIZE, hpack.LIST_LIMIT)])]
        self._credit(0, CONNECTION_WINDOW - DEFAULT_WINDOW)

    @property
    def usable(self) -> bool:
        """Whether request() is allowed: neither GOAWAY nor a breach, and the peer's limit of streams is not reached."""
        return self._last_accepted == LAST_STREAM and not self._failure and len(self._streams) < self._max_streams

    def request(
        self, method: str, path: str, headers: "dict[str, str] | list[tuple[str, str]]", body: bytes = b"", end: bool = True
    ) -> int:
        """Start a request; its stream id. With end=False more of the body follows by send(). LocalError: not `usable`, bad header."""
        if not self.usable or self._next > LAST_STREAM:
            raise LocalError(f"no further requests on this connection ({len(self._streams)} streams are open)")
        block = hpack.encode(self._fields(method, path, headers))
        stream_id, self._next = self._next, self._next + 2
        stream = self._streams[stream_id] = _Stream(self._initial_window)
        stream.ended = end and not body
        self._send_block(stream_id, block, stream.ended)
        if not stream.ended:
            self.send(stream_id, body, end)
        return stream_id

    def send(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """More of a request's body. LocalError: the request has already ended. Nothing for a stream that was reset."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if stream.ending or stream.ended:
            raise LocalError(f"stream {stream_id}: the request has ended")
        stream.held += data
        stream.ending = end
        self._flush(stream_id, stream)

    def cancel(self, stream_id: int) -> None:
        """Stop a stream; no event of it comes any more. Nothing if it is over."""
        self._reset(stream_id, frames.CANCEL)

    def take(self) -> bytes:
        """What is to be written."""
        out, self._out, self._answers = b"".join(self._out), [], 0
        return out

    def feed(self, data: bytes) -> "list[tuple[object, ...]]":
        """Events of the bytes read (any cut). PeerError: the peer broke the protocol; a GOAWAY waits in take()."""
        if self._failure:
            raise PeerError(self._failure)
        events: list[tuple[object, ...]] = []
        try:
            for kind, flags, stream_id, payload in self._reader.feed(data):
                self._frame(kind, flags, stream_id, payload, events)
        except ConnectionFault as fault:
            self._failure = str(fault)
            self._streams = {}
            self._out.append(frame(frames.GOAWAY, 0, 0, bytes(4) + fault.code.to_bytes(4, "big")))
            raise
        return events

    # ---- out

    def _fields(self, method: str, path: str, headers: "dict[str, str] | list[tuple[str, str]]") -> list[tuple[bytes, bytes]]:
        fields = [(b":method", method.encode()), (b":scheme", b"https"), (b":authority", self._authority), (b":path", path.encode())]
        pairs = list(headers.items()) if isinstance(headers, dict) else headers
        fields = fields + [(name.lower().encode(), value.encode()) for name, value in pairs]
        for name, value in fields:
            if not name or any(byte in b"\r\n\0" for byte in name + value):
                raise LocalError(f"HTTP/2 header of {len(name)} + {len(value)} bytes has an empty name or a line break")
        return fields

    def _send_block(self, stream_id: int, block: bytes, end: bool) -> None:
        kind, size = frames.HEADERS, self._max_frame
        for start in range(0, len(block), size):
            flags = (frames.END_HEADERS if start + size >= len(block) else 0) | (frames.END_STREAM if end and start == 0 else 0)
            self._out.append(frame(kind, flags, stream_id, block[start : start + size]))
            kind = frames.CONTINUATION

    def _flush(self, stream_id: int, stream: _Stream) -> None:
        while not stream.ended and (stream.held or stream.ending):
            size = min(len(stream.held), stream.window, self._window, self._max_frame) if stream.held else 0
            if stream.held and size <= 0:
                return
            piece, stream.held = stream.held[:size], stream.held[size:]
            stream.window -= size
            self._window -= size
            stream.ended = stream.ending and not stream.held
            self._out.append(frame(frames.DATA, frames.END_STREAM if stream.ended else 0, stream_id, piece))

    def _flush_all(self) -> None:
        for stream_id in sorted(self._streams):
            self._flush(stream_id, self._streams[stream_id])

    def _reset(self, stream_id: int, code: int) -> None:
        if self._streams.pop(stream_id, None) is not None:
            self._out.append(frame(frames.RST_STREAM, 0, stream_id, code.to_bytes(4, "big")))

    def _credit(self, stream_id: int, size: int) -> None:
        self._out.append(frame(frames.WINDOW_UPDATE, 0, stream_id, size.to_bytes(4, "big")))

    def _answer(self, answer: bytes) -> None:
        self._answers += 1
        if self._answers > ANSWERS_LIMIT:
            raise ConnectionFault(frames.ENHANCE_YOUR_CALM, f"HTTP/2 flood: more than {ANSWERS_LIMIT} answers wait")
        self._out.append(answer)

    # ---- in

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        if not self._greeted and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"not HTTP/2: the first frame has type {kind}, need SETTINGS")
        if (self._block is not None) != (kind == frames.CONTINUATION):
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"HTTP/2 frame type {kind} in the wrong place of a header block")
        if kind not in _RULES:
            return
        handler, size, on_stream = _RULES[kind]
        if (on_stream == 1 and not self._known(stream_id)) or (on_stream == 0 and stream_id):
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"HTTP/2 frame type {kind} on stream {stream_id}")
        if size is not None and len(payload) != size:
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, f"HTTP/2 frame type {kind} of {len(payload)} bytes, need {size}")
        handler(self, flags, stream_id, payload, events)

    def _known(self, stream_id: int) -> bool:
        return stream_id & 1 == 1 and stream_id < self._next

    def _on_data(self, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        stream, data, end = self._streams.get(stream_id), frames.unpad(flags, payload), bool(flags & frames.END_STREAM)
        self._room -= len(payload)
        room = self._room
        if stream is not None:
            stream.room -= len(payload)
            room = min(room, stream.room)
        if room < 0:
            raise ConnectionFault(frames.FLOW_CONTROL_ERROR, f"HTTP/2 DATA on stream {stream_id}: {-room} bytes beyond the window")
        self._give_back(stream_id, stream, end)
        if stream is None:
            return
        if not stream.answered:
            self._fail_stream(stream_id, frames.PROTOCOL_ERROR, events)
            return
        if data:
            events.append(("data", stream_id, data))
        if end:
            self._finish(stream_id, stream, events)

    def _give_back(self, stream_id: int, stream: "_Stream | None", end: bool) -> None:
        if self._room <= CONNECTION_WINDOW // 2:
            self._credit(0, CONNECTION_WINDOW - self._room)
            self._room = CONNECTION_WINDOW
        if stream is not None and not end and stream.room <= STREAM_WINDOW // 2:
            self._credit(stream_id, STREAM_WINDOW - stream.room)
            stream.room = STREAM_WINDOW

    def _on_headers(self, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        block = frames.unpad(flags, payload)
        if flags & frames.HAS_PRIORITY:
            if len(block) < 5:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, f"HTTP/2 HEADERS of {len(payload)} bytes lack their priority")
            block = block[5:]
        self._block = (stream_id, bool(flags & frames.END_STREAM), [])
        self._on_continuation(flags, stream_id, block, events)

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        assert self._block is not None
        expected, end, parts = self._block
        parts.append(payload)
        if stream_id != expected:
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"HTTP/2 CONTINUATION on stream {stream_id}, need {expected}")
        if len(parts) > BLOCK_FRAMES or sum([len(part) for part in parts]) > BLOCK_LIMIT:
            raise ConnectionFault(
                frames.ENHANCE_YOUR_CALM, f"HTTP/2 header block of more than {BLOCK_LIMIT} bytes or {BLOCK_FRAMES} frames"
            )
        if flags & frames.END_HEADERS:
            self._block = None
            self._fields_in(stream_id, end, b"".join(parts), events)

    def _fields_in(self, stream_id: int, end: bool, block: bytes, events: "list[tuple[object, ...]]") -> None:
        try:
            fields = self._decoder.decode(block)  # also for a stream that is over: the dynamic table is the connection's
        except PeerError as error:
            raise ConnectionFault(frames.COMPRESSION_ERROR, str(error))
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        head = response(fields, stream.answered)
        informational = head is not None and 100 <= head[0] < 200
        if head is None or (stream.answered and not end) or (informational and end):
            self._fail_stream(stream_id, frames.PROTOCOL_ERROR, events)
            return
        if not stream.answered and not informational:
            stream.answered = True
            events.append(("headers", stream_id, head[0], head[1]))
        if end:
            self._finish(stream_id, stream, events)

    def _finish(self, stream_id: int, stream: _Stream, events: "list[tuple[object, ...]]") -> None:
        events.append(("end", stream_id))
        if stream.ended:
            self._streams.pop(stream_id)
        else:  # answered before the request was complete: the rest of it is of no use
            self._reset(stream_id, frames.NO_ERROR)

    def _fail_stream(self, stream_id: int, code: int, events: "list[tuple[object, ...]]") -> None:
        self._reset(stream_id, code)
        events.append(("reset", stream_id, code))

    def _on_priority(self, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        """Nothing to do: requests have no order."""

    def _on_reset(self, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        if self._streams.pop(stream_id, None) is not None:
            events.append(("reset", stream_id, int.from_bytes(payload, "big")))

    def _on_settings(self, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, f"HTTP/2 SETTINGS of {len(payload)} bytes")
        self._greeted = True
        if flags & frames.ACK:
            return
        for at in range(0, len(payload), 6):
            self._setting(int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 2 : at + 6], "big"))
        self._answer(frame(frames.SETTINGS, frames.ACK, 0))
        self._flush_all()

    def _setting(self, name: int, value: int) -> None:
        if name == frames.INITIAL_WINDOW_SIZE:
            for stream in self._streams.values():
                stream.window += value - self._initial_window
            self._initial_window = value
            if any(stream.window > frames.MAX_WINDOW for stream in self._streams.values()) or value > frames.MAX_WINDOW:
                raise ConnectionFault(frames.FLOW_CONTROL_ERROR, f"HTTP/2 initial window of {value} bytes")
        elif name == frames.MAX_FRAME_SIZE:
            if not frames.MAX_PAYLOAD <= value < 1 << 24:
                raise ConnectionFault(frames.PROTOCOL_ERROR, f"HTTP/2 maximum frame size of {value} bytes")
            self._max_frame = value
        elif name == frames.MAX_CONCURRENT_STREAMS:
            self._max_streams = value

    def _on_push(self, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        raise ConnectionFault(frames.PROTOCOL_ERROR, "HTTP/2 server push, which our settings forbid")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        if not flags & frames.ACK:
            self._answer(frame(frames.PING, frames.ACK, 0, payload))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        if len(payload) < 8:
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, f"HTTP/2 GOAWAY of {len(payload)} bytes, need 8")
        # the highest id means "soon, go on": it must stop new requests as well
        self._last_accepted = min(self._last_accepted - 1, frames.u32(payload))
        events.append(("goaway", int.from_bytes(payload[4:8], "big")))
        for lost in sorted([each for each in self._streams if each > self._last_accepted]):
            self._streams.pop(lost)
            events.append(("reset", lost, frames.REFUSED_STREAM))

    def _on_window(self, flags: int, stream_id: int, payload: bytes, events: "list[tuple[object, ...]]") -> None:
        size, stream = frames.u32(payload), self._streams.get(stream_id)
        if stream_id == 0:
            self._window += size
            if size == 0 or self._window > frames.MAX_WINDOW:
                raise ConnectionFault(frames.FLOW_CONTROL_ERROR, f"HTTP/2 window grown by {size} to {self._window} bytes")
            self._flush_all()
        elif not self._known(stream_id):
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"HTTP/2 WINDOW_UPDATE on stream {stream_id}")
        elif stream is not None:
            stream.window += size
            if size == 0 or stream.window > frames.MAX_WINDOW:
                self._fail_stream(stream_id, frames.FLOW_CONTROL_ERROR if size else frames.PROTOCOL_ERROR, events)
            else:
                self._flush(stream_id, stream)


# type: (handler, exact payload size or None, 1 on a stream of ours | 0 on the connection | -1 either)
_RULES = {
    frames.DATA: (ClientConnection._on_data, None, 1),
    frames.HEADERS: (ClientConnection._on_headers, None, 1),
    frames.PRIORITY: (ClientConnection._on_priority, 5, -1),
    frames.RST_STREAM: (ClientConnection._on_reset, 4, 1),
    frames.SETTINGS: (ClientConnection._on_settings, None, 0),
    frames.PUSH_PROMISE: (ClientConnection._on_push, None, -1),
    frames.PING: (ClientConnection._on_ping, 8, 0),
    frames.GOAWAY: (ClientConnection._on_goaway, None, 0),
    frames.WINDOW_UPDATE: (ClientConnection._on_window, 4, -1),
    frames.CONTINUATION: (ClientConnection._on_continuation, None, 1),
}


def response(fields: list[tuple[bytes, bytes]], trailers: bool) -> "tuple[int, dict[str, str]] | None":
    """(status, headers) of decoded fields, status 0 for trailers; None when they are malformed."""
    status = 0
    headers: dict[str, str] = {}
    for at, (name, value) in enumerate(fields):
        if name[:1] == b":":
            if trailers or at or name != b":status" or len(value) != 3 or not value.isdigit():
                return None
            status = int(value)
            continue
        if not name or any(byte <= 32 or byte >= 127 or 65 <= byte <= 90 for byte in name) or any(byte in b"\r\n\0" for byte in value):
            return None
        key, text = name.decode(), "".join([chr(byte) for byte in value])
        headers[key] = headers[key] + ", " + text if key in headers else text
    return (status, headers) if trailers or status >= 100 else None
