"""Hosts, NATs and datagrams. Addresses are 4 raw bytes; the Internet is one flat cloud with a delay drawn for each datagram.

A NAT maps (inner address, port) to a port of its public address: endpoint-independent ("easy", with address and port dependent
filtering, as Linux does) or a new port per destination ("hard"): the next, or a random one of `ports`.
Mappings die after 120 s without use. It does not fragment.

Of a host alone: `connected` (cable), `mute` and `deaf` (one way is lost; streams then stall), `udp` (False: a network that lets only
streams through), `lag` (ms more for each of its datagrams).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.sim.checks import DATAGRAMS, Checks
from tests.sim.world import World

Endpoint = tuple[bytes, int]
MAPPING_MS = 120_000


@dataclass
class Faults:
    """Chances for each datagram; all zero in quiet times."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0  # this share is delayed by up to a second more
    flip: float = 0.0  # one bit changed

    @property
    def any(self) -> bool:
        return bool(self.loss or self.duplicate or self.reorder or self.flip)


@dataclass
class Nat:
    """A router's table: inner endpoint (and destination, when hard) -> outer port."""

    address: bytes
    hard: bool = False
    out: dict[tuple[bytes, int, bytes, int], int] = field(default_factory=dict)
    inner: dict[int, Endpoint] = field(default_factory=dict)
    used: dict[int, int] = field(default_factory=dict)
    allowed: dict[tuple[int, bytes, int], int] = field(default_factory=dict)
    next_port: int = 30000
    ports: range | None = None
    random: Callable[[range], int] | None = None

    def key(self, source: Endpoint, destination: Endpoint) -> tuple[bytes, int, bytes, int]:
        return (*source, *(destination if self.hard else (b"", 0)))

    def outgoing(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint:
        key = self.key(source, destination)
        port = self.out.get(key)
        if port is None or now - self.used[port] > MAPPING_MS:
            port = self.out[key] = self.new_port()
            self.inner[port] = source
        self.used[port] = now
        self.allowed[(port, *destination)] = now
        return self.address, port

    def new_port(self) -> int:
        if self.ports is None or self.random is None:
            self.next_port += 1
            return self.next_port
        port = self.random(self.ports)
        while port in self.inner:
            port = self.random(self.ports)
        return port

    def incoming(self, source: Endpoint, port: int, now: int) -> Endpoint | None:
        last = self.allowed.get((port, *source))
        if last is None or now - last > MAPPING_MS or now - self.used.get(port, -MAPPING_MS) > MAPPING_MS:
            return None
        self.used[port] = self.allowed[(port, *source)] = now
        return self.inner[port]

    def reboot(self) -> None:
        """Every mapping is lost; new ones get other ports."""
        self.out.clear()
        self.inner.clear()
        self.used.clear()
        self.allowed.clear()
        self.next_port += 1000


@dataclass
class Host:
    """A machine: its own address, the NAT in front of it, and how it is connected."""

    name: str
    address: bytes
    nat: Nat | None = None
    connected: bool = True
    up: bool = True
    mute: bool = False
    deaf: bool = False
    udp: bool = True
    lag: int = 0
    sockets: dict[int, Callable[[Endpoint, bytes], None]] = field(default_factory=dict)
    burst: tuple[int, int] = (0, 0)  # second, datagrams sent in it

    @property
    def reachable(self) -> bool:
        """Whether streams get through."""
        return self.connected and self.up and not self.mute and not self.deaf


class Network:
    """Carries datagrams between hosts."""

    def __init__(self, world: World, checks: Checks) -> None:
        self.world = world
        self.checks = checks
        self.faults = Faults()
        self.hosts: dict[bytes, Host] = {}  # by own address; private ones are unique here too
        self.nats: dict[bytes, Nat] = {}

    def host(self, name: str, address: bytes, nat: Nat | None = None) -> Host:
        host = self.hosts[address] = Host(name, address, nat)
        if nat:
            self.nats[nat.address] = nat
        return host

    def move(self, host: Host, address: bytes, nat: Nat | None) -> None:
        """The host is somewhere else now."""
        del self.hosts[host.address]
        host.address, host.nat = address, nat
        self.hosts[address] = host
        if nat:
            self.nats[nat.address] = nat

    def _leaves(self, host: Host) -> bool:
        second = self.world.now // 1000
        host.burst = (second, host.burst[1] + 1 if host.burst[0] == second else 1)
        if host.burst[1] > DATAGRAMS:
            self.checks.fail(f"{host.name} sent {host.burst[1]} datagrams within a second")
        kind = "partition" if not (host.connected and host.up) else "one-way" if host.mute else "udp-blocked" if not host.udp else ""
        if kind:
            self.world.hits[kind] += 1
        return not kind

    def send(self, host: Host, port: int, destination: Endpoint, data: bytes) -> None:
        """One datagram from a host's port."""
        if not self._leaves(host):
            return
        source = (host.address, port)
        target = self.hosts.get(destination[0])
        local = target is not None and target.nat is host.nat and host.nat is not None
        if host.nat and not local:
            source = host.nat.outgoing(source, destination, self.world.now)
        for delay, payload in self._fates(data):
            self.world.after(delay + host.lag, lambda p=payload: self._arrive(source, destination, p, local))  # type: ignore[misc]

    def _fates(self, data: bytes) -> list[tuple[int, bytes]]:
        """The copies that travel: (delay, bytes) each."""
        world, random, faults = self.world, self.world.random, self.faults
        delay = world.delay()
        if not faults.any:
            return [(delay, data)]
        if random.random() < faults.loss:
            world.hits["loss"] += 1
            return []
        if random.random() < faults.reorder:
            world.hits["reorder"] += 1
            delay += random.randint(100, 1000)
        if random.random() < faults.flip:
            world.hits["flip"] += 1
            at = random.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        fates = [(delay, data)]
        if random.random() < faults.duplicate:
            world.hits["duplicate"] += 1
            fates.append((delay + random.randint(1, 200), data))
        return fates

    def _arrive(self, source: Endpoint, destination: Endpoint, data: bytes, local: bool) -> None:
        address, port = destination
        nat = self.nats.get(address)
        if nat:
            inner = nat.incoming(source, port, self.world.now)
            if inner is None:
                self.world.hits["filtered"] += 1
                return
            address, port = inner
        host = self.hosts.get(address)
        if host is None or (host.nat and not nat and not local) or not (host.connected and host.up and host.udp):
            return
        if host.deaf:
            self.world.hits["one-way"] += 1
            return
        receive = host.sockets.get(port)
        if receive:
            self.world.trace("datagram", host.name, port, source, len(data), data[:8])
            receive(source, data)
