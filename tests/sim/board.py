"""A node in the simulation: a real engine with the Python transport; this adapter does for them what skerryd does on Linux."""

import json
from collections.abc import Callable
from typing import Any

from skerry_core import stun
from skerry_core.engine import Engine
from skerry_core.path import udp
from skerry_core.transport import Transport
from tests.sim import packets
from tests.sim.checks import Watched
from tests.sim.network import Endpoint, Host, Nat, Network
from tests.sim.streams import End
from tests.sim.world import EPOCH_MS, World

PORT = 41641
MAX_ROUNDS = 200  # engine and transport must come to rest; more is an endless exchange between the two


class Board:
    """`dial(host, port) -> End` opens a stream to the gateway; `answered` is told of every token that came back."""

    def __init__(
        self, index: int, world: World, network: Network, host: Host, config: dict[str, Any],
        dial: "Callable[[Host, str, int], End | None]", answered: Callable[["Board", bytes], None],
    ) -> None:
        self.index = index
        self.world = world
        self.network = network
        self.checks = network.checks
        self.host = host
        self.config = config
        self.dial = dial
        self.answered = answered
        self.saved: dict[str, Any] | None = None  # what is on the card; nothing in it changes after it was given
        self.streams_only = False  # its network lets no datagrams through, ever
        self.clock_offset = 0
        self.errors: list[str] = []
        self.tokens = self.saves = 0
        verbs = ("apply", "send", "connect", "write", "close", "attach", "resolve", "interface", "save", "sample")
        self._verbs: dict[str, Callable[..., None]] = {verb: getattr(self, "_do_" + verb) for verb in verbs}
        self.engine: Engine | None = None
        self.addresses: list[bytes] = []
        self.owned: set[bytes] = set()  # every address it ever had
        self.life = 0
        self._held: list[Callable[[], None]] | None = None  # what happened while the board slept

    def wall(self) -> int:
        return EPOCH_MS + self.world.now + self.clock_offset

    # -- life ---------------------------------------------------------------------------------------------------------------------
    def start(self, handed: "dict[str, Any] | None" = None) -> None:
        """Power on, with what the card holds; or, `handed` what the process before gave, go on with the packet path that it left."""
        self.life += 1
        random = self.world.source(self.host.name)
        saved = json.loads(json.dumps(self.saved)) if self.saved else None
        if handed is None:
            self._data_crypto = Watched(self.checks, self.host.name, True)
            self.transport = Transport(self._data_crypto, random, lambda: self.world.now)
        self.engine = Engine(self.config, Watched(self.checks, self.host.name, False), random, self.world.now, saved, handed)
        self.streams: dict[int, End] = {}
        self.regions: dict[int, int] = {}
        self.addresses = []
        self._wake: int | None = None
        self._held = None
        self.host.up = True
        self.host.sockets[PORT] = self._datagram
        self.receive(("clock", self.wall()))
        self._tell_uplinks()

    def _tell_uplinks(self) -> None:
        self.receive(("uplinks", [{"uplink": 0, "addresses": [(4, self.host.address)], "port4": PORT, "port6": 0}]))

    def crash(self) -> None:
        """Power off: what was not saved is lost, streams end without a word."""
        self.host.up = False
        self.life += 1
        self.engine = self._held = None
        self.addresses = []
        self.host.sockets.clear()
        for stream in self.streams.values():
            stream.cut("crash")
        self.streams.clear()

    def restart(self) -> None:
        """A new process takes the place of this one (handover): streams end, sessions and the packet path stay."""
        assert self.engine is not None
        self.pump()
        self._do_save()
        handed = json.loads(json.dumps(self.engine.handover()))
        self.transport.apply([("relay", region, False) for region in self.regions])
        self.crash()
        self.start(handed)

    def move(self, address: bytes, nat: Nat | None) -> None:
        """Another network: streams of the old address are dead, and nobody at the other end knows."""
        self.network.move(self.host, address, nat)
        for stream in self.streams.values():
            stream.cut("moved")
        if self.engine:
            self._tell_uplinks()

    def suspend(self) -> None:
        """Asleep: nothing runs, nothing is received; monotonic time goes on."""
        if self.engine and self._held is None:
            self._held = []
            self.host.up = False

    def resume(self) -> None:
        """On waking timers run first (a transport knows no time), then what came in just before the sleep is found."""
        held, self._held = self._held, None
        if held is None or self.engine is None:
            return
        self.host.up = True
        self.engine.handle_timer(self.world.now)
        self.pump()
        for each in held:
            each()

    @property
    def awake(self) -> bool:
        return self.engine is not None and self._held is None

    def jump_clock(self, by: int) -> None:
        self.clock_offset += by
        if self.engine:
            self.receive(("clock", self.wall()))

    def up(self, key: str) -> None:
        self.receive(("command", 1, "up", {"key": key}))

    # -- the application ----------------------------------------------------------------------------------------------------------
    def say(self, to: bytes, payload: bytes, ports: tuple[int, int] = (packets.PORT, packets.PORT)) -> None:
        """One datagram to another node's address in the network."""
        if self.awake and self.addresses:
            self.transport.packet(packets.udp(self.addresses[0], to, payload, ports))
            self.pump()

    def _hear(self, packet: bytes) -> None:
        parsed = packets.parse(packet)
        if not parsed:
            self.checks.fail(f"{self.host.name} got {packet.hex()}, which nobody sent")
            return
        source, _, payload = parsed
        self.checks.delivered(self, *parsed)
        if payload[:1] == b"?":
            self.transport.packet(packets.udp(self.addresses[0], source, b"!" + payload[1:]))
        else:
            self.tokens += 1
            self.answered(self, payload[1:])

    # -- the adapter --------------------------------------------------------------------------------------------------------------
    def receive(self, item: tuple[Any, ...]) -> None:
        if self._held is not None:
            self._held.append(lambda: self.receive(item))
        elif self.engine:
            self.engine.receive(item, self.world.now)
            self.pump()

    def pump(self) -> None:
        """Carry everything between engine, transport and network till both rest, then sleep till the engine's next timer."""
        assert self.engine is not None
        engine, transport, now = self.engine, self.transport, self.world.now
        for _ in range(MAX_ROUNDS):
            items = transport.poll()
            for item in items:
                if item[0] == "relay-out":
                    self._relay_out(item[1])
                else:
                    engine.receive(item, now)
            actions = engine.actions()
            for action in actions:
                self._verbs[action[0]](*action[1:])
            inner = transport.packets()
            for packet in inner:
                self._hear(packet)
            if not (items or actions or inner):
                break
        else:
            self.checks.fail(f"{self.host.name}: engine and transport never come to rest")
        for path, data in transport.datagrams():
            self.network.send(self.host, PORT, (path[2], path[3]), data)
        self._note_events()
        self._sleep()

    def _relay_out(self, region: int) -> None:
        stream = self.streams.get(self.regions.get(region, -1))
        data = self.transport.relay_out(region)
        if stream and data:
            stream.write(data)

    def _note_events(self) -> None:
        assert self.engine is not None
        for event in self.engine.events():
            if event[0] == "error":
                self.errors.append(event[1])
                del self.errors[:-20]
            elif event[0] == "path":
                self.world.trace("path", self.host.name, event[1][:4], event[2])

    def _sleep(self) -> None:
        assert self.engine is not None
        due = self.engine.next_timer()
        if due is None or (self._wake is not None and self._wake <= due and self._wake > self.world.now):
            return
        self._wake = due
        life = self.life
        self.world.after(due - self.world.now, lambda: self._timer(life, due))

    def _timer(self, life: int, due: int) -> None:
        if life != self.life or self.engine is None:
            return
        if self._wake == due:
            self._wake = None
        if self._held is not None:
            return
        at = self.engine.next_timer()
        if at is None or at > self.world.now:  # it was moved meanwhile
            self._sleep()
            return
        self.engine.handle_timer(self.world.now)
        self.pump()

    def _datagram(self, source: Endpoint, data: bytes) -> None:
        self.transport.datagram(udp(0, source[0], source[1]), data)
        self.pump()

    # -- actions ------------------------------------------------------------------------------------------------------------------
    def _do_apply(self, changes: list[tuple[Any, ...]]) -> None:
        for change in changes:
            if change[0] == "session":
                self._data_crypto.born(change[5:7])
        self.transport.apply(changes)

    def _do_send(self, path: tuple[Any, ...], data: bytes) -> None:
        self.transport.send(path, data)

    def _do_connect(self, stream: int, target: dict[str, Any]) -> None:
        self.checks.dialled(self.host.name)
        end = self.dial(self.host, target["host"], target["port"])
        if end is None:
            self._later(stream, "closed", "connection refused", 50)
            return
        self.streams[stream] = end
        end.on_data = lambda data: self._stream_data(stream, data)
        end.on_close = lambda reason: self._stream_closed(stream, reason)
        self._later(stream, "open", None, 60)

    def _later(self, stream: int, what: str, detail: str | None, delay: int) -> None:
        life = self.life

        def tell() -> None:
            if life == self.life and (what == "closed" or stream in self.streams):
                self.receive(("stream", stream, what, detail))

        self.world.after(delay, tell)

    def _stream_data(self, stream: int, data: bytes) -> None:
        if self._held is not None:
            self._held.append(lambda: self._stream_data(stream, data))
            return
        for region, attached in self.regions.items():
            if attached == stream:
                self.transport.relay_in(region, data)
                self.pump()
                return
        self.receive(("stream", stream, "data", data))

    def _stream_closed(self, stream: int, reason: str) -> None:
        if self.streams.pop(stream, None):
            self.regions = {region: other for region, other in self.regions.items() if other != stream}
            self.receive(("stream", stream, "closed", reason))

    def _do_write(self, stream: int, data: bytes) -> None:
        if stream in self.streams:
            self.streams[stream].write(data)

    def _do_close(self, stream: int) -> None:
        end = self.streams.pop(stream, None)
        self.regions = {region: other for region, other in self.regions.items() if other != stream}
        if end:
            end.close()

    def _do_attach(self, stream: int, region: int, first: bytes) -> None:
        self.regions[region] = stream
        self.transport.relay_in(region, first)

    def _do_resolve(self, name: str) -> None:
        raise AssertionError(f"{self.host.name}: asked for the address of {name}, the simulator's gateway has a literal one")

    def _do_sample(self, count: int, address: bytes, port: int) -> None:
        """One request from each of some sockets; what they saw a second later."""
        seen: dict[int, int] = {}
        first, life = 50000 + self.world.random.randrange(5000), self.life
        for ours in range(first, first + count):
            self.host.sockets[ours] = lambda _, data, ours=ours: seen.update({ours: (stun.parse_response(data) or (b"", b"", 0))[2]})  # type: ignore[misc]
            self.network.send(self.host, ours, (address, port), stun.request(self.world.bytes(12)))

        def tell() -> None:
            for ours in range(first, first + count):
                self.host.sockets.pop(ours, None)
            if life == self.life:
                self.receive(("sampled", [(ours, seen[ours]) for ours in sorted(seen)]))

        self.world.after(1000, tell)

    def _do_interface(self, wanted: dict[str, Any]) -> None:
        self.addresses = [address for address, _ in wanted["addresses"] if len(address) == 4]
        self.owned.update(self.addresses)
        self.checks.addresses(f"n{self.index}", self.addresses)

    def _do_save(self) -> None:
        assert self.engine is not None
        self.saved = self.engine.save()
        self.saves += 1
