"""The adapter around the engine: one selectors loop that carries bytes, time and commands in and actions out.

```
selector -> transport.poll(), streams, netlink, local API -> engine.receive -> actions() -> transport, streams, interface, state
```
It decides nothing about peers, paths or timers; the engine does. `open()` takes everything the host has to give or
raises LocalError; `run()` loops until `stop()`; `close()` leaves nothing behind.
"""

import os
import selectors

from skerry_core.errors import LocalError
from skerry_shim import memory

from . import clock, handover, uplinks, wire
from .dns.service import Names
from .forwarding import Forwarding
from .log import Log
from .membership import Membership
from .netlink import Monitor, Tables
from .packetpath import PacketPath
from .relaying import Relay
from .state import StateDirectory
from .streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Answer = Callable[[Any], None]

ROUNDS = 1000  # of the pump in one wake-up; more would starve the local API
RETRY_SAVE = 60_000
HINT_EVERY = 10_000


class Node:
    """`watchers` get every event of the engine, in order; `timers` are others' `next_timer()` and `handle_timer(now)`."""

    def __init__(self, path: PacketPath, state: StateDirectory, membership: Membership, log: Log) -> None:
        """`path` runs already, and is closed by whoever opened it, after us."""
        self.path = path
        self._store = handover.Store(path.adopted)
        for name in path.unused:
            self._store.remove(name)  # a state serves once; what does not fit must not stay alive
        self.state, self.membership, self.log = state, membership, log
        self.selector = selectors.DefaultSelector()
        self.engine: Any = None
        self._ends: list[Callable[[], None]] = []
        self.problems: list[str] = []  # of the disk; those of the path and the interface are theirs
        self.watchers: list[Callable[[tuple[Any, ...]], None]] = []
        self.timers: list[Any] = []  # things with next_timer() and handle_timer(now) besides ours
        self._tokens: dict[int, Answer] = {}  # commands that wait for their answer
        self._token = 0
        self._wall = clock.Wall()
        self._watch = uplinks.Watch()
        self._uplinks: list[dict[str, Any]] = []
        self._lans: list[Any] = []
        self._offered: list[Any] = []  # prefixes that are forwarded
        self._stop, self._pumping, self._unrested = False, False, False
        self._save_at: int | None = None
        self._handed_over = False
        self._discovery = [0, 0]  # bytes of disco and STUN over UDP: sent, received
        self.again = False  # another network's state is on the disk: start over with it
        self._hint = -1  # a memfd
        self._hint_at: int | None = None  # when it is written again, if anything happens then
        self._hands: dict[str, Callable[..., None]] = {
            "apply": self._do_apply,
            "send": self._do_send,
            "connect": self._do_connect,
            "write": self._do_write,
            "close": self._do_close,
            "attach": self._do_attach,
            "interface": self._do_interface,
            "save": self._do_save,
            "resolve": self._do_resolve,
            "relaying": self._do_relaying,
            "sample": self._do_sample,
        }

    # life

    def open(self, saved: "dict[str, Any] | None") -> None:
        """Take streams and the kernel's reports, and start the engine. LocalError: the host lacks something."""
        try:
            self.tables = self._kept(Tables(), Tables.close)
            self.monitor = self._kept(Monitor(), Monitor.close)
            self.forwarding = self._kept(Forwarding(self.path.name, self.state.path, self.tables), Forwarding.clear)
            self.streams = self._kept(Streams(self.selector, self.path.transport), Streams.shut)
            self.selector.register(self.monitor.fileno(), selectors.EVENT_READ, self._network_changed)
            self.selector.register(self.path.transport.fileno(), selectors.EVENT_READ, lambda _mask: None)  # pump() polls it
            self.names = self._kept(Names(self), lambda names: names.close(self._handed_over))
            self.timers.append(self.names)
            self.relay = self._kept(Relay(self.selector, self.receive), Relay.close)
            self.membership.belongs_to(self)
            self.engine = new_engine(self.membership.config(), saved, self.path.handed)
        except BaseException:
            self.close()
            raise
        for problem in filter(None, [self.path.refused, *self.path.problems]):
            self.log.trouble(problem, clock.now())
        if not self.engine.logged_in:
            self.streams.prepare()  # who joins for the first time waits for us, no peer does
        self.receive(("clock", clock.wall()))
        self._tell_uplinks()
        self.pump()

    def _kept(self, thing: "Any", end: "Callable[[Any], None]") -> "Any":
        self._ends.append(lambda: end(thing))
        return thing

    def run(self) -> None:
        """Until stop()."""
        while not self._stop:
            at = self._next_timer()
            wait = None if at is None else max(0, at - clock.now()) / 1000
            wait = 0 if self._unrested else wait
            for key, mask in self.selector.select(wait):
                if key.fd in self.selector.get_map():  # a callback before may have closed it
                    key.data(mask)
                    self.pump()
            self.tick()

    def stop(self) -> None:
        """Leave run() soon."""
        self._stop = True

    def turn_to(self, prefs: "dict[str, Any]", engine: "dict[str, Any] | None") -> None:
        """Leave run() soon, to start over with this state. LocalError: it could not be written; all is as before."""
        self.state.save(prefs, engine)
        self.again = True
        for name in (*self.path.transport.descriptors(), handover.HINT):
            self._store.remove(name)
        self.stop()

    def keep(self) -> None:
        """Have device and sockets kept for the next skerryd, should this one crash."""
        if handover.available() and not self.path.outlives_us():
            self._write_hint()
            kept = self.path.transport.descriptors()
            self._store.keep({**kept, handover.HINT: self._hint} if self._hint >= 0 else kept)

    def _write_hint(self) -> None:
        """Say anew whom we talk to; the store has the same memfd."""
        try:
            self._hint = handover.write(self.engine.node_public, self.engine.hint(), b"", clock.now(), self._hint)
        except LocalError as error:
            self.log.debug(f"no hint for the next skerryd: {error}")
        self._hint_at = clock.now() + HINT_EVERY

    def hand_over(self) -> bool:
        """Stop, and leave what is alive to the next skerryd; whether that was taken. Only close() may follow."""
        if self.again or not handover.available() or not self.engine.running or self.path.outlives_us():
            return False
        self.save()
        self.path.transport.stop()
        for _ in range(ROUNDS):  # what the threads have seen, the engine knows
            items = self.path.transport.poll()
            for item in items:
                self.receive(item)
            actions = self.engine.actions()
            for action in actions:
                if action[0] in ("apply", "send", "save"):
                    self._hands[action[0]](*action[1:])
            if not items and not actions:
                break
        try:
            self._handed_over = self.path.hand_over(self._store, self.engine.node_public, self.engine.handover(), clock.now())
        except LocalError as error:
            self.log.trouble(f"nothing is handed over: {error}", clock.now())
        return self._handed_over

    def close(self) -> None:
        """Save, unless that was done for the next process, and let go of everything but the packet path."""
        if self.engine is not None and not self._handed_over:
            self.save()
        while self._ends:
            self._ends.pop()()

    # in

    def receive(self, item: "tuple[Any, ...]") -> None:
        """One input for the engine."""
        self.engine.receive(item, clock.now())

    def command(self, name: str, arguments: "dict[str, Any]", answer: "Answer | None" = None) -> None:
        """A command for the engine; `answer(result)` is called when it says done."""
        self._token += 1
        if answer is not None:
            self._tokens[self._token] = answer
        self.receive(("command", self._token, name, arguments))
        if not self._pumping:
            self.pump()

    def tick(self) -> None:
        """Everything that is due by time."""
        now = clock.now()
        jumped = self._wall.jumped(now)
        if jumped is not None:
            self.receive(("clock", jumped))
        if self._watch.due(now):
            self._tell_uplinks()
        self.streams.handle_timer(now)
        for other in list(self.timers):
            other.handle_timer(now)
        at = self.engine.next_timer()
        if at is not None and at <= now:
            self.engine.handle_timer(now)
        if self._save_at is not None and now >= self._save_at:
            self.save()
        if self._hint_at is not None and now >= self._hint_at:
            self._write_hint()
        self.pump()

    def _next_timer(self) -> "int | None":
        times = [self._save_at, self._watch.next_timer(), self.streams.next_timer()]
        times += [other.next_timer() for other in [self.engine, *self.timers]]
        return min((at for at in times if at is not None), default=None)

    def _network_changed(self, _mask: int) -> None:
        self.monitor.drain()
        self._watch.reported(clock.now())

    def _tell_uplinks(self) -> None:
        try:
            self.path.interface.check()
            self.path.interface.refresh()
            self.forwarding.refresh()
            found, lans = uplinks.look(self.tables, self.path.name, self.path.ports), uplinks.lans(self.tables, self.path.name)
        except OSError as error:
            self.log.trouble(f"cannot read this host's addresses: {error.strerror or error}", clock.now())
            self._watch.reported(clock.now())
            return
        if lans != self._lans:
            self._lans = lans
            self.receive(("lans", lans))
        if found != self._uplinks:  # most reports are of our own routes
            self._uplinks = found
            self.names.network_changed()
            self.log.debug(f"{len(found[0]['addresses'])} addresses towards the network")
            self.receive(("uplinks", found))

    # out

    def pump(self) -> None:
        """Carry everything between the parts until nothing is left to do."""
        self._pumping = True
        try:
            self._unrested = all(self._turn() for _ in range(ROUNDS))
        finally:
            self._pumping = False

    def _turn(self) -> bool:
        items = self.path.transport.poll()
        for item in items:
            if item[0] == "relay-out":
                self.streams.relay_ready(item[1])
            elif item[0] == "datagram" and len(item[1]) == 5 and wire.is_discovery(item[2]):
                self._discovery[1] += wire.datagram(item[1], len(item[2]))
            self.receive(item)
        events, self.streams.events = self.streams.events, []
        for event in events:
            self._trace_stream(event)
            self.receive(event)
        actions = self.engine.actions()
        for action in actions:
            self._hands[action[0]](*action[1:])
        for event in self.engine.events():
            self._heard(event)
        return bool(actions) or bool(items) or bool(events) or bool(self.streams.events)

    def _heard(self, event: "tuple[Any, ...]") -> None:
        kind = event[0]
        if kind == "done":
            answer = self._tokens.pop(event[1], None)
            if answer is not None:
                answer(event[2])
            return
        if kind == "error":
            self.log.trouble(event[1], clock.now())
        if kind in ("map", "state"):
            self.names.refresh()
        if kind == "path" and self._hint_at is not None:
            self._hint_at = clock.now()
        self.membership.heard(event)
        for watcher in list(self.watchers):
            watcher(event)

    def _trace_stream(self, event: "tuple[Any, ...]") -> None:
        if self.log.verbose and event[0] == "stream" and event[2] != "data":
            self.log.debug(f"stream {event[1]} {event[2]}{': ' + event[3] if event[2] == 'closed' else ''}")

    def _do_apply(self, changes: "list[tuple[Any, ...]]") -> None:
        try:
            self.path.transport.apply(changes)
        except LocalError as error:  # a fault of ours: say it, and stay reachable
            self.log.trouble(f"the packet path refused a change: {error}", clock.now())

    def _do_send(self, path: "tuple[Any, ...]", data: bytes) -> None:
        self.path.transport.send(path, data)
        if len(path) == 5 and wire.is_discovery(data):
            self._discovery[0] += wire.datagram(path, len(data))

    def _do_connect(self, number: int, request: "dict[str, Any]") -> None:
        self.log.debug(f"stream {number} to {request['host']}:{request['port']} ({request['purpose']})")
        self.streams.connect(number, request, clock.now())

    def _do_write(self, number: int, data: bytes) -> None:
        self.streams.write(number, data)

    def _do_close(self, number: int) -> None:
        self.streams.close(number)

    def _do_attach(self, number: int, region: int, rest: bytes = b"") -> None:
        if rest:
            self.path.transport.relay_in(region, rest)
        self.streams.attach(number, region)

    def _do_interface(self, desired: "dict[str, Any]") -> None:
        try:
            self.path.interface.apply(desired)
        except OSError as error:
            self.log.trouble(f"cannot set up {self.path.name}: {error.strerror or error}", clock.now())
        self._offered = desired["forward"]
        self.forward()
        for problem in self.path.interface.problems:
            self.log.trouble(problem, clock.now())

    def forward(self) -> None:
        """Carry what is offered, as the preferences say."""
        self.forwarding.apply(self._offered, bool(self.membership.prefs.values.get("snat_subnet_routes", True)))
        for problem in self.forwarding.problems:
            self.log.trouble(problem, clock.now())

    def _do_save(self) -> None:
        self.save()

    def _do_resolve(self, name: str) -> None:
        self.streams.resolve(name)

    def _do_relaying(self, verb: str, *arguments: "Any") -> None:
        try:
            self.relay.do(verb, *arguments)
        except LocalError as error:
            self.log.trouble(str(error), clock.now())

    def _do_sample(self, count: int, address: bytes, port: int) -> None:
        from .sampling import sample

        sample(self, count, address, port)

    def save(self, both: bool = False) -> bool:
        """Write the state now. A failure is said, kept in `problems`, and tried again."""
        if self.again:
            return True  # what is on the disk is another network's
        try:
            self.state.save(self.membership.prefs.save(), self.engine.save(), both)
        except LocalError as error:
            self.problems = [str(error)]
            self.log.trouble(str(error), clock.now())
            self._save_at = clock.now() + RETRY_SAVE
            return False
        self.problems, self._save_at = [], None
        memory.give_back()  # the map came, and its text has just been written: both may be megabytes
        return True

    def traffic(self) -> "dict[str, tuple[int, int]]":
        """Bytes (sent, received) since the start by purpose: see usage."""
        sent, received = self.path.transport.udp_bytes()
        found: dict[str, tuple[int, int]] = self.streams.traffic()
        found["discovery"] = (self._discovery[0], self._discovery[1])
        found["direct"] = (max(0, sent - self._discovery[0]), max(0, received - self._discovery[1]))
        return found

    @property
    def uplinks(self) -> "list[dict[str, Any]]":
        """As the engine was told."""
        return self._uplinks

    def health(self) -> "list[str]":
        """What is wrong with this host, one sentence each."""
        host = [*self.problems, *self.path.problems, *self.path.interface.problems, *self.names.health()]
        return [*host, *self.forwarding.health(clock.now())]


def new_engine(config: "dict[str, Any]", saved: "dict[str, Any] | None", handed: "dict[str, Any] | None" = None) -> "Any":
    """The engine, with this host's crypto, randomness and clock, and the recorder before it."""
    from skerry_core.engine import Engine
    from skerry_shim import crypto

    from .recorder.recorder import Recorder

    return Recorder(Engine, config, crypto, os.urandom, clock.now(), saved, handed)
