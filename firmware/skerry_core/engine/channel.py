"""One ts2021 connection to the gateway: HTTP/1.1 upgrade, Noise IK, HTTP/2 inside; and the one-off GET /key before the first one.

    POST /ts2021, X-Tailscale-Handshake: base64 of the 101-byte initiation -> 101 -> 51-byte response -> records -> (early payload) HTTP/2

Each request has a callback that gets ("headers", status, headers), ("data", bytes), ("end",) or ("reset", text). When the connection
is over, for any reason, `closed(sentence)` is called once and no request is heard of again.
"""

import binascii
import json

from skerry_core import http1
from skerry_core.errors import PeerError
from skerry_core.http2.client import ClientConnection
from skerry_core.noise import control as noise
from skerry_core.tailcfg import keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.gateway import Gateway

KEY_LIMIT = 65536


class Channel:
    """A connection on its way up or up; `ready()` is called when requests are possible."""

    def __init__(
        self, engine: "Engine", gateway: "Gateway", key: bytes, version: int, ready: "Callable[[], None]", closed: "Callable[[str], None]"
    ) -> None:
        self._engine, self._gateway = engine, gateway
        self._ready, self._closed = ready, closed
        self._noise = noise.ControlInitiator(engine.crypto, engine.machine_private, key, version, engine.random(32))
        self._head: http1.HeadParser | None = http1.HeadParser()
        self._early = noise.EarlyPayload()
        self._buffer = b""
        self._transport: noise.ControlTransport | None = None
        self._http: ClientConnection | None = None
        self._requests: dict[int, Callable[..., None]] = {}
        self._opened = False
        self._stream: int | None = engine.connect(gateway.connect(True), self._received)

    @property
    def up(self) -> bool:
        """Whether a request can be sent."""
        return self._stream is not None and self._http is not None and self._http.usable

    @property
    def handshaking(self) -> bool:
        """Whether the stream was open and the gateway had not yet shown that it has the key."""
        return self._opened and self._transport is None

    def _received(self, kind: str, data: "Any") -> None:
        try:
            if kind == "open":
                self._opened = True
                self._upgrade()
            elif kind == "data":
                self._data(data)
            else:
                self.close(str(data) or "the connection was closed")
        except PeerError as error:
            self.close(str(error))

    def _upgrade(self) -> None:
        handshake = binascii.b2a_base64(self._noise.message).decode().strip()
        headers = [
            ("Host", self._gateway.authority), ("Upgrade", "tailscale-control-protocol"), ("Connection", "upgrade"),
            ("X-Tailscale-Handshake", handshake), ("Content-Length", "0"),
        ]  # fmt: skip
        assert self._stream is not None
        self._engine.write(self._stream, http1.request_head("POST", "/ts2021", headers))

    def _data(self, data: bytes) -> None:
        if self._head is not None:
            found = self._head.feed(data)
            if found is None:
                return
            status, headers, data = found
            if status != 101 or headers.get("upgrade") != "tailscale-control-protocol":
                raise PeerError(f"it answered HTTP {status} to /ts2021; is this the address of a gateway?")
            self._head = None
        if self._transport is None:
            self._buffer += data
            found_message = noise.split_message(self._buffer)
            if found_message is None:
                return
            self._transport = self._noise.finish(found_message[0])
            data, self._buffer = found_message[1], b""
            self._start()
        self._records(data)

    def _start(self) -> None:
        self._http = ClientConnection(self._gateway.authority)
        self._ready()
        self._flush()

    def _records(self, data: bytes) -> None:
        assert self._transport is not None and self._http is not None
        for plaintext in self._transport.feed(data):
            inner = self._early.feed(plaintext)
            try:
                events = self._http.feed(inner) if inner else []
            except PeerError:
                self._flush()
                raise
            for event in events:
                self._event(event)
                if self._stream is None:
                    return
        self._flush()

    def _event(self, event: "tuple[Any, ...]") -> None:
        if event[0] == "goaway":
            if not self._requests:
                self.close("the gateway ended the connection")
            return
        request = self._requests.get(event[1])
        if request is None:
            return
        if event[0] in ("end", "reset"):
            del self._requests[event[1]]
        if event[0] == "reset":
            request("reset", f"the gateway broke the request off (code {event[2]})")
        else:
            request(event[0], *event[2:])

    def request(self, path: str, document: "dict[str, Any]", headers: "list[tuple[str, str]]", callback: "Callable[..., None]") -> int:
        """POST a JSON document; the id of the request. When not `up` the connection ends, to be made anew."""
        if self._http is None or not self._http.usable:
            self.close("the gateway takes no further requests on this connection")
            return 0
        body = json.dumps(document).encode()
        fields = [("content-type", "application/json"), ("content-length", str(len(body)))] + headers
        number = self._http.request("POST", path, fields, body)
        self._requests[number] = callback
        self._flush()
        return number

    def cancel(self, number: int) -> None:
        """No more of this request."""
        if self._http is not None and self._requests.pop(number, None) is not None:
            self._http.cancel(number)
            self._flush()

    def _flush(self) -> None:
        if self._stream is None or self._http is None or self._transport is None:
            return
        out = self._http.take()
        if out:
            self._engine.write(self._stream, self._transport.encode(out))

    def close(self, reason: str) -> None:
        """End it, and tell why."""
        if self._stream is None:
            return
        self._flush()
        self._engine.close(self._stream)
        self._stream, self._requests = None, {}
        self._closed(reason)


class KeyFetch:
    """GET /key: the gateway's Noise key over plain HTTP or verified TLS. `done(key or None, sentence)` once."""

    def __init__(self, engine: "Engine", gateway: "Gateway", version: int, done: "Callable[[bytes | None, str], None]") -> None:
        self._engine, self._gateway, self._version, self._done = engine, gateway, version, done
        self._head: http1.HeadParser | None = http1.HeadParser()
        self._body: http1.BodyParser | None = None
        self._stream: int | None = engine.connect(gateway.connect(False), self._received)

    def _received(self, kind: str, data: "Any") -> None:
        try:
            if kind == "open":
                head = [("Host", self._gateway.authority), ("Connection", "close"), ("Accept", "application/json")]
                assert self._stream is not None
                self._engine.write(self._stream, http1.request_head("GET", f"/key?v={self._version}", head))
            elif kind == "data":
                self._data(data)
            elif self._body is not None:
                self._finish(self._body.close())
            else:
                self._end(None, str(data) or "the connection was closed")
        except PeerError as error:
            self._end(None, str(error))

    def _data(self, data: bytes) -> None:
        if self._head is not None:
            found = self._head.feed(data)
            if found is None:
                return
            if found[0] != 200:
                raise PeerError(f"it answered HTTP {found[0]} to /key; is this the address of a gateway?")
            self._head, self._body, data = None, http1.BodyParser(found[1], KEY_LIMIT), found[2]
        assert self._body is not None
        body = self._body.feed(data)
        if body is not None:
            self._finish(body[0])

    def _finish(self, body: bytes) -> None:
        try:
            key = keys.decode_key("mkey", json.loads(body.decode()).get("publicKey"))
        except (ValueError, AttributeError, RuntimeError, PeerError):
            raise PeerError("its answer to /key has no gateway key; is this the address of a gateway?")
        if key == keys.ZERO:
            raise PeerError("it has no Noise key: the control server is too old")
        self._end(key, "")

    def _end(self, key: "bytes | None", reason: str) -> None:
        if self._stream is not None:
            self._engine.close(self._stream)
            self._stream = None
            self._done(key, reason)

    def cancel(self) -> None:
        """Stop without telling."""
        if self._stream is not None:
            self._engine.close(self._stream)
            self._stream = None
