"""The map poll and the lite updates, on a registered connection.

The poll (Stream=true) brings maps for as long as it lives; each message sets the watchdog of 120 s anew. A lite update (Stream=false)
carries host information, endpoints and disco key; it goes out right before the poll begins and after every change, one at a time: what
changes while one is under way goes with the next.
"""

from skerry_core.engine.hostinfo import hostinfo
from skerry_core.tailcfg import map as codec
from skerry_core.tailcfg import register

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.control import Control
    from skerry_core.engine.engine import Engine

SILENT, UPDATE_AGAIN = 120_000, 5_000
ERROR_LIMIT = 1024


class Maps:
    """The requests to /machine/map of one connection."""

    def __init__(self, engine: "Engine", control: "Control") -> None:
        self._engine, self._control = engine, control
        self._stream: codec.MapStream | None = None
        self._status, self._headers, self._error = 0, {}, b""  # type: int, dict[str, str], bytes
        self._updating = False
        self._update_status = 0
        self._sent: Any = None  # document of the last update the gateway took

    def reset(self) -> None:
        """The connection is gone."""
        self._stream, self._updating, self._sent = None, False, None
        self._engine.timers.cancel(("update",))

    def begin(self) -> None:
        """Registered: tell about us, then ask for the map, in one flight."""
        self.update()
        config = self._engine.config
        decompress = config.get("decompress")
        self._stream = codec.MapStream(decompress, config.get("map_limit") or codec.MESSAGE_LIMIT)
        self._status, self._headers, self._error = 0, {}, b""
        self._engine.netmap.restart()
        self._control.watch(SILENT)
        self._post(self._document(True), self._polled)

    def _document(self, stream: bool) -> "dict[str, Any]":
        engine = self._engine
        arguments = (self._control.version, engine.node_public, engine.disco_public, hostinfo(engine), engine.netcheck.endpoints())
        compress = "zstd" if engine.config.get("decompress") else ""
        return codec.request(*arguments, compress=compress) if stream else codec.lite_update(*arguments, compress=compress)

    def _post(self, document: "dict[str, Any]", callback: "Any") -> None:
        channel = self._control.channel
        assert channel is not None
        channel.request("/machine/map", document, register.routing_headers(self._engine.node_public), callback)

    # the poll

    def _polled(self, kind: str, *rest: "Any") -> None:
        if kind == "headers":
            self._status, self._headers = rest[0], rest[1]
            self._control.watch(SILENT)
        elif kind == "data" and self._status != 200:
            self._error = (self._error + rest[0])[:ERROR_LIMIT]
        elif kind == "data":
            assert self._stream is not None
            for response in self._stream.feed(rest[0]):
                self._control.watch(SILENT)
                self._engine.life.map_response(response)
                if self._stream is None:
                    return
        else:
            self._ended(rest[0] if kind == "reset" else "")

    def _ended(self, broken: str) -> None:
        from skerry_core.engine.control import retry_after
        from skerry_core.engine.registration import copied, readable

        if self._status != 200:
            self._control.confirmed = False
        if self._status == 429:
            self._control.failed("asks to wait", retry_after(self._headers, self._engine.random))
        elif copied(self._status, self._error):
            self._engine.life.copied()
        elif self._status not in (0, 200):
            self._control.failed(f"refused the map (HTTP {self._status}): {readable(self._error)}")
        else:
            self._control.failed(broken or "ended the map stream")

    # lite updates

    def update(self) -> None:
        """Something about us changed: tell, unless the gateway knows."""
        channel = self._control.channel
        if channel is None or not channel.up or self._updating or not self._engine.logged_in or self._control.phase == "off":
            return
        if self._engine.timers.at(("update",)) is not None:
            return
        document = self._document(False)
        if document != self._sent:
            self._updating, self._sent = True, document
            self._post(document, self._updated)

    def _updated(self, kind: str, *rest: "Any") -> None:
        if kind == "headers":
            self._update_status = rest[0]
        elif kind in ("end", "reset"):
            self._updating = False
            if kind == "reset" or self._update_status != 200:
                self._sent = None
                self._engine.timers.set(("update",), self._engine.now + self._engine.jitter(UPDATE_AGAIN))
            else:
                self.update()
