"""DERP connections, one per region: the home region always, others while they carry something.

    closed -> connecting (TCP, TLS) -> upgrade (GET /derp) -> key (ServerKey read here) -> up (stream attached to the transport)

ClientInfo is sent as soon as ServerKey is read and frames may follow it at once; ServerInfo is not waited for. The transport keeps
frames for a region from the start and while it is being connected, and says "relay-out" when there are some: that opens a region on
demand. Only while a failed region waits for its next attempt are frames to it dropped. A connection other than the home one
is closed after 60 s without a write; one that is silent for 120 s is replaced (servers send a KeepAlive each 60 s), and one that does not
answer a Ping in 5 s, which is asked when a handshake or data through it got no answer.

It opens no data: RecvPacket frames stay in the transport. Regions are made in regions.py.
"""

from skerry_core import derp, http1
from skerry_core.engine.regions import Region, read_map
from skerry_core.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.tailcfg.derpmap import DerpMap

IDLE, SILENT, CHECK, STEP = 60_000, 120_000, 5_000, 10_000
BACKOFF_FIRST, BACKOFF_LAST, STABLE = 500, 30_000, 60_000
LIVED, FORGIVEN = 1_000, 4  # a relay that served a second is there: after its end at most 8 s are waited, however often it ends
SERVER_KEY_LIMIT = 1024
HEALTH_LIMIT = 200


class Link:
    """The connection to one region."""

    def __init__(self, relays: "Relays", region: Region) -> None:
        self._relays = relays
        self.region = region
        self.stage = "closed"
        self.stream: int | None = None
        self.head: http1.HeadParser | None = None
        self.buffer = b""
        self.node = 0
        self.failures = 0
        self.error = ""
        self.health = ""
        self.since: int | None = None
        self.written = 0

    def heard(self, kind: str, data: "Any") -> None:
        """Of its stream."""
        self._relays.stream(self, kind, data)


class Relays:
    """All regions of the map, by id."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._links: dict[int, Link] = {}
        self.home = 0

    # the map

    def set_map(self, derp_map: "DerpMap | None") -> None:
        """The regions there are. A region that changed is reconnected."""
        regions = read_map(derp_map)
        for number, link in list(self._links.items()):
            if number not in regions or regions[number] != link.region:
                self._close(link)
                self._engine.apply(("relay", number, False))
                del self._links[number]
        for number, region in regions.items():
            if number not in self._links:
                self._links[number] = Link(self, region)
                self._engine.apply(("relay", number, True))

    def known(self, region: int) -> bool:
        """Whether the map has this region."""
        return region in self._links

    def regions(self) -> "list[Region]":
        """All regions of the map."""
        return [link.region for link in self._links.values()]

    def code(self, region: int) -> str:
        """Short name of a region, its number when the map has none."""
        link = self._links.get(region)
        return link.region.code if link is not None else str(region)

    def text(self, region: int) -> str:
        """For people."""
        return f"relay {self.code(region)}"

    def link(self, region: int) -> "Link | None":
        """The connection of a region, for why() and status()."""
        return self._links.get(region)

    def live(self, region: int) -> bool:
        """Whether frames to the region leave at once."""
        link = self._links.get(region)
        return link is not None and link.stage == "up"

    def keeps(self, region: int) -> bool:
        """Whether frames to the region leave now or when its connection is up."""
        link = self._links.get(region)
        return link is not None and link.stage != "closed"

    # home

    def set_home(self, region: int) -> None:
        """Have a connection to the home region; a change is told to both relays."""
        old, self.home = self.home, region
        for number, preferred in ((old, False), (region, True)) if region != old else ():
            link = self._links.get(number)
            if link is not None and link.stage == "up" and link.stream is not None:
                self._engine.write(link.stream, derp.note_preferred(preferred))
                if not preferred:
                    self._engine.timers.set(("relay-idle", number), self._engine.now + IDLE)
        if self._engine.running:
            self.open(region)

    # connecting

    def open(self, region: int) -> bool:
        """Have a connection; True when it is up already."""
        link = self._links.get(region)
        if link is None:
            return False
        if link.stage == "closed" and self._engine.running and self._engine.timers.at(("relay-retry", region)) is None:
            self._connect(link)
        return link.stage == "up"

    def _connect(self, link: Link) -> None:
        engine, number = self._engine, link.region.number
        link.stage, link.buffer, link.head, link.written = "connecting", b"", http1.HeadParser(), engine.now
        engine.apply(("relay", number, True))
        spec = link.region.nodes[link.node % len(link.region.nodes)].connect()
        link.stream = engine.connect(spec, link.heard)
        engine.timers.set(("relay-step", number), engine.now + STEP)

    def stream(self, link: Link, kind: str, data: "Any") -> None:
        """What became of a connection's stream."""
        try:
            if kind == "open":
                self._opened(link)
            elif kind == "data":
                self._data(link, data)
            else:
                self._fail(link, str(data) or "the connection was closed")
        except PeerError as error:
            self._fail(link, str(error))

    def _opened(self, link: Link) -> None:
        node = link.region.nodes[link.node % len(link.region.nodes)]
        link.stage = "upgrade"
        assert link.stream is not None
        head = http1.request_head("GET", "/derp", [("Host", node.host), ("Upgrade", "DERP"), ("Connection", "Upgrade")])
        self._engine.write(link.stream, head)

    def _data(self, link: Link, data: bytes) -> None:
        if link.stage == "upgrade":
            assert link.head is not None
            found = link.head.feed(data)
            if found is None:
                return
            if found[0] != 101:
                raise PeerError(f"answered HTTP {found[0]} instead of switching to DERP")
            link.stage, data = "key", found[2]
        if link.stage == "key":
            link.buffer += data
            self._server_key(link)

    def _server_key(self, link: Link) -> None:
        buffer = link.buffer
        if len(buffer) < derp.HEADER:
            return
        size = int.from_bytes(buffer[1:5], "big")
        if buffer[0] != derp.SERVER_KEY or size > SERVER_KEY_LIMIT:
            raise PeerError(f"the relay starts with frame 0x{buffer[0]:02x} of {size} bytes instead of its key")
        if len(buffer) >= derp.HEADER + size:
            server = derp.parse_server_key(buffer[derp.HEADER : derp.HEADER + size])
            self._up(link, server, buffer[derp.HEADER + size :])

    def _up(self, link: Link, server: bytes, rest: bytes) -> None:
        engine, number = self._engine, link.region.number
        assert link.stream is not None
        info = derp.client_info(engine.crypto, engine.node_private, engine.node_public, server, engine.random(24))
        if number == self.home:
            info += derp.note_preferred(True)
        engine.write(link.stream, info)
        link.stage, link.buffer, link.since, link.error = "up", b"", engine.now, ""
        engine.timers.cancel(("relay-step", number))
        engine.timers.set(("relay-silent", number), engine.now + SILENT)
        engine.timers.set(("relay-idle", number), engine.now + IDLE)
        engine.act(("attach", link.stream, number, rest))
        engine.relay_live(number)

    # an attached connection

    def frame(self, number: int, kind: int, payload: bytes) -> None:
        """A frame that is not data. PeerError: malformed."""
        engine, link = self._engine, self._links.get(number)
        if link is None or link.stage != "up" or link.stream is None:
            return
        engine.timers.set(("relay-silent", number), engine.now + SILENT)
        if kind == derp.PING:
            engine.write(link.stream, derp.pong(payload))
        elif kind == derp.HEALTH:
            link.health = "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in payload[:HEALTH_LIMIT]])
        elif kind == derp.PEER_GONE:
            peer = engine.peers.by_key.get(derp.parse_peer_gone(payload)[0])
            if peer is not None:
                peer.gone_region = number

    def bad(self, number: int, text: str) -> None:
        """The transport cannot read the stream any more."""
        link = self._links.get(number)
        if link is not None and link.stage == "up":
            self._fail(link, text)

    def waiting(self, number: int) -> None:
        """Frames wait for the region ("relay-out"): connect it, or note that it is in use."""
        link = self._links.get(number)
        if link is not None:
            link.written = self._engine.now
            self.open(number)

    def check(self, number: int) -> None:
        """Something sent through the region got no answer: ask the relay itself, and do without it when it says nothing for 5 s."""
        engine, link = self._engine, self._links.get(number)
        due = engine.timers.at(("relay-silent", number))
        if link is not None and link.stage == "up" and link.stream is not None and due is not None and due > engine.now + CHECK:
            engine.write(link.stream, derp.ping(engine.random(8)))
            engine.timers.set(("relay-silent", number), engine.now + CHECK)

    # the end of a connection

    def _fail(self, link: Link, reason: str) -> None:
        engine, number = self._engine, link.region.number
        first = not link.error
        node = link.region.nodes[link.node % len(link.region.nodes)]
        link.error = f"{reason} ({node.host} port {node.port})"
        lived = 0 if link.since is None else engine.now - link.since
        if lived >= STABLE:
            link.failures = 0  # one that ended sooner is no success: each attempt costs kilobytes
        elif lived >= LIVED:
            link.failures = min(link.failures, FORGIVEN)
        self._close(link)
        link.node += 1
        link.failures += 1
        engine.apply(("relay", number, False))
        base = min(BACKOFF_FIRST << min(link.failures - 1, 8), BACKOFF_LAST)
        engine.timers.set(("relay-retry", number), engine.now + engine.jitter(base))
        if first:
            engine.event(("error", f"{self.text(number)} is not reachable: {link.error}; trying again"))
        engine.relay_lost(number)
        engine.netcheck.relay_failed(number, link.failures)
        engine.state_changed()

    def _close(self, link: Link) -> None:
        if link.stream is not None:
            self._engine.close(link.stream)
        if link.stage == "up":  # half a frame of the old stream must not stay in front of the next one
            self._engine.apply(("relay", link.region.number, False))
            self._engine.apply(("relay", link.region.number, True))
        link.stream, link.stage, link.buffer, link.since = None, "closed", b"", None
        for name in ("relay-step", "relay-silent", "relay-idle", "relay-retry"):
            self._engine.timers.cancel((name, link.region.number))

    def close_all(self, again: bool) -> None:
        """The network changed (`again`: reconnect what was in use), or the node goes down."""
        for number, link in self._links.items():
            used = link.stage != "closed" or number == self.home
            self._close(link)
            link.failures, link.node = 0, 0
            self._engine.apply(("relay", number, True))
            if again and used:
                self.open(number)

    def network_came(self) -> None:
        """Another way out: what failed before is tried again at once."""
        for number, link in self._links.items():
            if link.stage == "closed" and self._engine.timers.at(("relay-retry", number)) is not None:
                self._engine.timers.cancel(("relay-retry", number))
                link.failures, link.node = 0, 0
                self.retry(number)

    # timers

    def retry(self, number: int) -> None:
        """Timer: the back-off is over. The home is connected again, others when something waits for them."""
        if number not in self._links:
            return
        self._engine.apply(("relay", number, True))
        if number == self.home or self._engine.peers.need_relay(number):
            self.open(number)

    def stuck(self, number: int) -> None:
        """Timer: connecting took too long."""
        self._fail(self._links[number], f"no answer within {STEP // 1000} s")

    def silent(self, number: int) -> None:
        """Timer: nothing came for two minutes, or no answer to a ping."""
        self._fail(self._links[number], "stopped answering")

    def idle(self, number: int) -> None:
        """Timer: perhaps nothing was written for a minute."""
        link = self._links[number]
        if number == self.home or link.stage != "up":
            return
        due = link.written + IDLE
        if due > self._engine.now:
            self._engine.timers.set(("relay-idle", number), due)
        else:
            self._close(link)
