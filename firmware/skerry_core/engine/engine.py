"""The engine itself: inputs to their handlers, timers to theirs, actions and events out. The rules live in the modules around it.

Inputs, actions and events are listed in ARCHITECTURE.md. Nothing that came from outside raises out of receive(): what is malformed is
dropped and counted in `drops` by kind; only misuse by the adapter is a LocalError. Changes of the transport made while one input is
handled leave as one transaction, in order with the other actions.
"""

from skerry_core import disco as disco_codec
from skerry_core import stun
from skerry_core.engine import commands, state
from skerry_core.engine.binding import Bindings
from skerry_core.engine.clock import Clock
from skerry_core.engine.control import Control
from skerry_core.engine.disco import Disco
from skerry_core.engine.doubt import Doubts
from skerry_core.engine.exits import Exits
from skerry_core.engine.gateway import chosen
from skerry_core.engine.handover import Resumption, give, hint
from skerry_core.engine.life import Life
from skerry_core.engine.mtu import PathMtus
from skerry_core.engine.netcheck import Netcheck
from skerry_core.engine.paths import Paths
from skerry_core.engine.peerrelay import PeerRelays
from skerry_core.engine.peers import Peers
from skerry_core.engine.relaying import Relaying
from skerry_core.engine.relays import Relays
from skerry_core.engine.sessions import Sessions
from skerry_core.engine.status import status
from skerry_core.engine.timers import Timers
from skerry_core.engine.why import explain, why
from skerry_core.errors import LocalError, PeerError
from skerry_core.tailcfg.netmap import NetworkMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skerry_core.engine.peer import Peer


OUTSIDE = ("datagram", "frame", "stream", "bad-relay", "relaying")
SILENT = ("apply", "connect", "close", "interface", "resolve")  # actions that tell nobody anything of ours
GREET = 60_000  # after a start from a saved state


class Engine:
    """A node. See ARCHITECTURE.md for the five verbs."""

    def __init__(
        self, config: "dict[str, Any]", crypto: "Any", random: "Callable[[int], bytes]", now: int, saved: "Any" = None, handed: "Any" = None
    ) -> None:
        """`config`: "gateway" (address, may carry #mkey:), "hostname", "os", "os_version", "version", "routes" [prefix text], "tags",
        "accept_routes", "exit_node" (a peer's name), "exit_node_allow_lan_access", "bypass" (True: nothing we
        send ourselves is ever routed into the tunnel), "relay_server_port" (below 0: do not relay), "ephemeral",
        "decompress" (zstd: function(data, limit) -> bytes), "wanted" (True: go up without a command),
        "auth_key" (for that); all optional. `saved`: what save() gave. `handed`: what handover() of the process
        before us gave, whose peers and sessions the transport has already. LocalError: one of them is unusable; nothing was begun.
        """
        self.config, self.crypto, self.random, self.now = dict(config), crypto, random, now
        loaded = state.load(saved, random)
        gateway, key = chosen(self.config, loaded, random)
        self.machine_private, self.disco_private = loaded.machine_key, loaded.disco_key
        self.disco_public: bytes = crypto.x25519_public(self.disco_private)
        self.set_node_key(loaded.node_key)
        self.wanted, self.logged_in = loaded.wanted, loaded.logged_in
        self.started: bytes = random(8)
        self.timers, self.clock = Timers(), Clock(loaded.tai_floor, loaded.control_time)
        self.netmap = NetworkMap()
        if loaded.netmap is not None and self.logged_in:
            self.netmap.load(loaded.netmap)
        self.greets_until = now if saved is None else now + GREET
        self.running = False
        self.map_is_live = False
        self.own_addresses: list[bytes] = []
        self.pending_endpoints: list[Peer] = []
        self.drops: dict[str, int] = {}
        self.state = "NoState"
        self.offered = [commands.route(text) for text in self.config.get("routes") or []]
        self._actions: list[tuple[Any, ...]] = []
        self._changes: list[tuple[Any, ...]] = []
        self._events: list[tuple[Any, ...]] = []
        self._streams: dict[int, Callable[[str, Any], None]] = {}
        self._stream_count = 0
        self.peers, self.exits = Peers(self, loaded.stamps), Exits(self)
        self.peer_relays, self.bindings, self.relaying = PeerRelays(self), Bindings(self), Relaying(self)
        self.sessions, self.paths, self.disco, self.doubts = Sessions(self), Paths(self), Disco(self), Doubts(self)
        self.mtus = PathMtus(self)
        self.relays, self.netcheck = Relays(self), Netcheck(self, loaded.home)
        self.control = Control(self, gateway, key)
        self.life = Life(self)
        self.resumption = Resumption(self, handed)
        self.resumption.begin()
        self._inputs, self._timed = self._input_table(), self._timer_table()
        if saved is None:
            self.act(("save",))
        auth_key = self.config.pop("auth_key", "")  # the registration forgets it once it worked
        if self.wanted or self.config.get("wanted"):
            self.control.registration.auth_key = auth_key or ""
            self.life.go_up()
        else:
            self.state_changed()
        self.resumption.end()

    # ---- the five verbs

    def receive(self, item: "tuple[Any, ...]", now: int) -> None:
        """One input. LocalError: the item is not one."""
        self.handle_timer(now)  # after a sleep inputs come before timers: what is over by now must not be used for them
        handler = self._inputs.get(item[0]) if isinstance(item, tuple) and item else None
        if handler is None:
            raise LocalError(f"input {item[0] if isinstance(item, tuple) and item else item!r}: no such input")
        try:
            handler(*item[1:])
        except PeerError:
            self.dropped(item[0])
        except Exception as error:
            if item[0] not in OUTSIDE:
                raise
            self._fault(item[0], item[1], error)

    def handle_timer(self, now: int) -> None:
        """Run every timer that is due."""
        self.now = max(self.now, now)
        while True:
            name = self.timers.due(self.now)
            if name is None:
                return
            try:
                self._timed[name[0]](*name[1:])
            except PeerError:
                self.dropped(name[0])

    def next_timer(self) -> "int | None":
        """When handle_timer() is to be called next."""
        return self.timers.next()

    def actions(self) -> "list[tuple[Any, ...]]":
        """What to do now, in order; each is given once."""
        self._flush()
        actions, self._actions = self._actions, []
        return actions

    def events(self) -> "list[tuple[Any, ...]]":
        """What happened, for people; each is given once."""
        events, self._events = self._events, []
        return events

    # ---- reading

    def status(self) -> "dict[str, Any]":
        """Neutral snapshot: state, auth_url, self, peers, users, health, home_region, gateway, from_saved_map ..."""
        return status(self)

    def why(self, peer_key: bytes) -> "list[str]":
        """Sentences about the path to a peer."""
        peer = self.peers.by_key.get(peer_key)
        if peer is None:
            return ["This node is not among the peers: it is unknown, its key has expired, or we are down."]
        return why(self, peer)

    def explain(self, peer_key: bytes) -> "dict[str, Any]":
        """The same for programs: path, tried, nat, fault, help, and the sentences as lines."""
        peer = self.peers.by_key.get(peer_key)
        return {"lines": self.why(peer_key)} if peer is None else explain(self, peer)

    def save(self) -> "dict[str, Any]":
        """The state to keep (secret, JSON-able); see state.py."""
        gateway, key = self.control.gateway, self.control.key
        return {
            "version": state.VERSION,
            "machine_key": self.machine_private.hex(),
            "node_key": self.node_private.hex(),
            "disco_key": self.disco_private.hex(),
            "gateway": "" if gateway is None else gateway.url,
            "gateway_key": None if key is None else key.hex(),
            "wanted": self.wanted,
            "logged_in": self.logged_in,
            "tai_floor": self.clock.ceiling.hex(),
            "control_time": self.clock.last_control(self.now),
            "home": self.netcheck.home,
            "stamps": self.peers.saved_stamps(),
            "netmap": self.netmap.save() if self.netmap.self_node is not None else None,
        }

    def handover(self) -> "dict[str, Any]":
        """For an engine in another process of this boot, beside the transport's state; JSON-able. The last that is asked of this one."""
        return give(self)

    def hint(self) -> "dict[str, Any]":
        """For `handed` of an engine that has to start after a crash of this one; may be asked any number of times."""
        return hint(self)

    def __repr__(self) -> str:
        return f"<Engine {self.state} {self.node_public.hex()[:8]}>"

    # ---- what the modules around use

    def act(self, action: "tuple[Any, ...]") -> None:
        """Queue an action after the changes so far."""
        self._flush()
        if action == ("save",):
            self._later_save()
        self._actions.append(action)

    def _later_save(self) -> None:
        """A save is of the moment it is carried out: one that nothing left the node after is made by the next one."""
        for at in range(len(self._actions) - 1, -1, -1):
            if self._actions[at] == ("save",):
                del self._actions[at]
                return
            if self._actions[at][0] not in SILENT:
                return

    def apply(self, change: "tuple[Any, ...]") -> None:
        """Queue a change of the transport; those next to each other are one transaction."""
        self._changes.append(change)

    def _flush(self) -> None:
        if self._changes:
            changes, self._changes = self._changes, []
            self._actions.append(("apply", changes))

    def event(self, event: "tuple[Any, ...]") -> None:
        """Tell people; the oldest are dropped when nobody listens."""
        self._events.append(event)
        if len(self._events) > 1000:
            self._events = self._events[500:]

    def done(self, token: "Any", result: "dict[str, Any]") -> None:
        """Answer a command."""
        if token is not None:
            self.event(("done", token, result))

    def send(self, path: "Any", data: bytes) -> None:
        """A control datagram."""
        self.act(("send", path, data))

    def connect(self, spec: "dict[str, Any]", callback: "Callable[[str, Any], None]") -> int:
        """Ask for a stream; `callback(kind, data)` hears of it."""
        self._stream_count += 1
        self._streams[self._stream_count] = callback
        self.act(("connect", self._stream_count, spec))
        return self._stream_count

    def write(self, stream: int, data: bytes) -> None:
        """Write to a stream."""
        if stream in self._streams:
            self.act(("write", stream, data))

    def close(self, stream: int) -> None:
        """Close a stream; nothing is heard of it any more."""
        if self._streams.pop(stream, None) is not None:
            self.act(("close", stream))

    def jitter(self, base: int) -> int:
        """Between half of `base` and all of it."""
        return base // 2 + int.from_bytes(self.random(4), "big") % (base - base // 2 + 1)

    def stamp(self) -> bytes:
        """A TAI64N stamp; on disk before it is used."""
        value, save = self.clock.stamp(self.now)  # life.registered() reserved those of the first hours
        if save:
            self.act(("save",))
        return value

    def set_node_key(self, key: bytes) -> None:
        """This is our node key now."""
        self.node_private = key
        self.node_public: bytes = self.crypto.x25519_public(key)

    def routes(self) -> "list[tuple[bytes, int]]":
        """Prefixes we offer to route."""
        return self.offered

    # ---- inputs

    def _input_table(self) -> "dict[str, Callable[..., None]]":
        return {
            "datagram": self._datagram,
            "frame": self.relays.frame,
            "bad-relay": self.relays.bad,
            "edge": self._edge,
            "relay-out": self.relays.waiting,
            "stream": self._stream,
            "clock": self._clock,
            "uplinks": self._uplinks,
            "resolved": self.netcheck.resolved,
            "sampled": self.netcheck.nat.sampled,
            "lans": self.exits.set_lans,
            "relaying": self.relaying.receive,
            "command": self._command,
        }

    def _datagram(self, path: "Any", data: bytes) -> None:
        if stun.is_stun(data):
            self.netcheck.datagram(path, data)
        elif disco_codec.is_disco(data):
            self.disco.datagram(path, data)
        else:
            self.sessions.datagram(path, data)

    def _edge(self, index: int, what: int) -> None:
        peer = self.peers.by_index.get(index)
        if peer is not None:
            self.sessions.edge(peer, what)

    def _stream(self, stream: int, kind: str, data: "Any" = None) -> None:
        callback = self._streams.get(stream)
        if callback is None:
            return
        if kind == "closed":
            del self._streams[stream]
        callback(kind, data)

    def _clock(self, wall: int) -> None:
        self.clock.set_local(wall, self.now)

    def _uplinks(self, uplinks: "list[dict[str, Any]]") -> None:
        parsed = [commands.uplink(each) for each in uplinks]
        if self.resumption.same_uplinks(parsed):
            return
        lost = self.netcheck.set_uplinks(parsed)
        if lost and self.running:  # before the peers are called, which would go into the old connection
            self.relays.close_all(True)
        self.paths.network_changed()
        if lost and self.running:
            self.control.again()
            for peer in self.peers.all():
                self.sessions.network_changed(peer)
        elif self.running:  # a network that came is a reason to ask at once
            self.relays.network_came()
            if self.control.phase == "wait":
                self.control.again()

    def _command(self, token: "Any", name: str, arguments: "Any" = None) -> None:
        handler = commands.COMMANDS.get(name)
        if handler is None:
            self.done(token, {"error": f"there is no command {name!r}; commands are {', '.join(sorted(commands.COMMANDS))}"})
            return
        try:
            handler(self, token, arguments or {})
        except (LocalError, PeerError) as error:
            self.done(token, {"error": str(error)})

    def dropped(self, kind: str) -> None:
        """Something from outside was of no use."""
        self.drops[kind] = self.drops.get(kind, 0) + 1

    def _break(self, stream: int) -> None:
        # what was half understood is not gone on with
        callback = self._streams.pop(stream, None)
        if callback is not None:
            self.act(("close", stream))
            callback("closed", "an internal fault while reading it")

    def _fault(self, kind: str, stream: int, error: Exception) -> None:
        # a bug of ours that somebody outside can reach must not end the node; it is told, once a kind
        if kind == "stream":
            self._break(stream)
        if "fault-" + kind not in self.drops:
            self.event(("error", f"internal fault while handling a {kind} from outside: {type(error).__name__}; please report it"))
        self.dropped("fault-" + kind)

    # ---- timers

    def _timer_table(self) -> "dict[str, Callable[..., None]]":
        control, relays, disco, check = self.control, self.relays, self.disco, self.netcheck
        table: dict[str, Callable[..., None]] = {
            "session": self.sessions.expired,
            "ping": disco.timeout, "asked": disco.unanswered,
            "place-ask": self.peer_relays.unanswered, "place": self.bindings.again,
            "stun": check.again, "stun-again": check.resend, "stun-end": check.ended,
            "stun-nat": check.nat.again, "stun-sampled": check.nat.unsampled,
            "relay-step": relays.stuck, "relay-silent": relays.silent, "relay-idle": relays.idle, "relay-retry": relays.retry,
            "control-retry": control.retry, "control-watch": control.silent,
            "followup": control.registration.follow_up, "update": control.maps.update,
            "relaying": self.relaying.due, "expiry": self.life.key_expired, "save": self.life.save_map,
        }  # fmt: skip
        of_peers = {
            "handshake": self.sessions.retry, "dead": self.sessions.dead, "keepalive": self.sessions.keepalive,
            "rearm": self.sessions.rearm, "heartbeat": self.paths.heartbeat, "trust": self.paths.distrust,
            "doubt": self.doubts.due, "quiet": self.doubts.quiet, "mtu": self.mtus.due,
            "peer-relay": self.peer_relays.start,
        }  # fmt: skip
        for name, handler in of_peers.items():
            table[name] = self._for_peer(handler)
        return table

    def _for_peer(self, handler: "Callable[[Peer], None]") -> "Callable[[int], None]":
        def run(index: int) -> None:
            peer = self.peers.by_index.get(index)
            if peer is not None:
                handler(peer)

        return run

    # ---- what the modules report

    def endpoints_changed(self) -> None:
        """Our endpoints, or what we know of our network, changed."""
        if self.running:
            self.control.maps.update()
            self.paths.endpoints_changed()

    def home_changed(self) -> None:
        """Another home region."""
        self.relays.set_home(self.netcheck.home)
        self.control.maps.update()

    def relay_live(self, region: int) -> None:
        """A relay connection is up."""
        for peer in self._through(region):
            self.sessions.way_open(peer, False)
            self.paths.relay_live(peer)
        self.state_changed()

    def relay_lost(self, region: int) -> None:
        """A relay connection failed."""
        for peer in self._through(region):
            self.sessions.way_lost(peer)

    def check_relays(self, peer: "Peer") -> None:
        """The peer does not answer: are the relays still there, its own for our words and ours for its?"""
        relay = self.paths.relay(peer)
        if relay is not None and not self.paths.trusted(peer):
            self.relays.check(relay[0])
            self.relays.check(self.netcheck.home)

    def _through(self, region: int) -> "list[Peer]":
        found = []
        for peer in self.peers.all():
            relay = self.paths.relay(peer)
            if relay is not None and relay[0] == region:
                found.append(peer)
        return found

    def session_live(self, peer: "Peer") -> None:
        """A session with the peer works."""
        self.state_changed()

    def state_changed(self) -> None:
        """Work out the state's name and tell if it is another one."""
        name = self.life.state_name()
        if name != self.state:
            self.state = name
            self.event(("state", name))
