"""The transport itself: transactions in, packets through, events out. See the package for rules and limits."""

from skerry_core import derp, disco, filter, geneve, ip, stun
from skerry_core import path as paths
from skerry_core.errors import LocalError
from skerry_core.transport import changes as transactions
from skerry_core.transport.guard import Guard
from skerry_core.transport.peers import CONFIRMED, DATA, HANDSHAKE, LIMIT, RECEIVED, SENT, Peer, Session
from skerry_core.transport.relays import Relay
from skerry_core.transport.report import Report
from skerry_core.wireguard import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Path = tuple[Any, ...]

MAX_OUTPUT = 4096
_PADDING = bytes(16)
_OURS = True  # the value of every local prefix


class Transport:
    """See ARCHITECTURE.md, "The transport interface"."""

    def __init__(self, crypto: "Any", random: "Callable[[int], bytes]", clock: "Callable[[], int]") -> None:
        """`random(n)` gives n secret bytes, `clock()` monotonic milliseconds (for the rate of handshakes and the age of cookies)."""
        self._crypto = crypto
        self._random = random
        self._clock = clock
        self._guard: Guard | None = None
        self._peers: dict[int, Peer] = {}
        self._sessions: dict[int, tuple[Peer, Session]] = {}
        self._allowed = ip.Table()
        self._addresses: list[bytes] = []
        self._local_routes: list[tuple[bytes, int]] = []
        self._local = ip.Table()
        self._filter = filter.Filter()
        self._flows = filter.Flows()
        self._relays: dict[int, Relay] = {}
        self._report = Report()
        self._out: list[tuple[Path, bytes]] = []
        self._delivered: list[bytes] = []
        self._appliers: dict[str, Callable[..., None]] = {
            "identity": self._apply_identity,
            "addresses": self._apply_addresses,
            "local-routes": self._apply_local_routes,
            "peer": self._apply_peer,
            "remove": self._apply_remove,
            "paths": self._apply_paths,
            "session": self._apply_session,
            "expire": self._apply_expire,
            "arm": self._apply_arm,
            "keepalive": self._apply_keepalive,
            "purge": self._apply_purge,
            "mtu": self._apply_mtu,
            "filter": self._apply_filter,
            "relay": self._apply_relay,
        }

    # -- transactions

    def apply(self, changes: "list[tuple[Any, ...]]") -> None:
        """Carry out all changes in order, or none of them (LocalError)."""
        peers = {number: peer.public_key for number, peer in self._peers.items()}
        sessions = {local: entry[0].number for local, entry in self._sessions.items()}
        transactions.check(changes, transactions.Draft(peers, sessions))
        for change in changes:
            self._appliers[change[0]](*change[1:])

    def _apply_identity(self, public_key: bytes) -> None:
        self._guard = Guard(self._crypto, self._random, public_key)

    def _apply_addresses(self, addresses: "list[bytes]") -> None:
        self._addresses = list(addresses)
        self._rebuild_local()

    def _apply_local_routes(self, prefixes: "list[tuple[bytes, int]]") -> None:
        self._local_routes = list(prefixes)
        self._rebuild_local()

    def _rebuild_local(self) -> None:
        self._local = ip.Table()
        for address in self._addresses:
            self._local.set((address, len(address) * 8), _OURS)
        for address, bits in self._local_routes:
            self._local.set((ip.masked(address, bits), bits), _OURS)

    def _apply_peer(self, number: int, public_key: bytes, prefixes: "list[tuple[bytes, int]]") -> None:
        peer = self._peers.get(number)
        if peer is None:
            peer = self._peers[number] = Peer(number, public_key)
        self._release_prefixes(peer)
        peer.prefixes = [(ip.masked(address, bits), bits) for address, bits in prefixes]
        for prefix in peer.prefixes:
            self._allowed.set(prefix, peer)

    def _release_prefixes(self, peer: Peer) -> None:
        for prefix in peer.prefixes:
            self._allowed.drop(prefix, peer)

    def _apply_remove(self, number: int) -> None:
        peer = self._peers.pop(number)
        self._release_prefixes(peer)
        self._forget(peer.sessions())
        self._report.drop("queue", len(peer.queue))
        peer.queue = []
        self._report.forget_edges(number)

    def _apply_paths(self, number: int, paths: "list[Path]") -> None:
        peer = self._peers[number]
        peer.paths = list(paths)
        self._drain(peer)

    def _apply_session(self, number: int, slot: str, local: int, remote: int, send_key: bytes, receive_key: bytes) -> None:
        peer, session = self._peers[number], Session(local, remote, send_key, receive_key)
        self._sessions[local] = (peer, session)
        peer.armed |= HANDSHAKE
        if slot == "next":
            self._forget(peer.offer(session))
            return
        self._forget(peer.install(session))
        if not self._drain(peer):
            self._apply_keepalive(number)

    def _apply_expire(self, number: int, local: int) -> None:
        entry = self._sessions.get(local)
        if entry is not None and entry[0].number == number:
            del self._sessions[local]
            entry[0].expire(local)

    def _apply_arm(self, number: int, mask: int) -> None:
        peer = self._peers[number]
        peer.armed |= mask
        if mask & HANDSHAKE and peer.queue and peer.current is None:
            self._report.edge(peer, HANDSHAKE)

    def _apply_keepalive(self, number: int) -> None:
        peer = self._peers[number]
        if self._usable(peer) and peer.paths:
            self._seal(peer, b"")

    def _apply_purge(self, number: int) -> None:
        peer = self._peers[number]
        self._report.drop("queue", len(peer.queue))
        peer.queue = []
        peer.armed |= HANDSHAKE

    def _apply_mtu(self, number: int, mtu: int) -> None:
        self._peers[number].mtu = mtu  # whoever has the sockets cuts; packets here have no host that could be told

    def _apply_filter(self, rules: "bytes | None") -> None:
        self._filter = filter.Filter(rules)

    def _apply_relay(self, region: int, up: bool) -> None:
        if up:
            self._relay(region).up = True
        else:
            self._relays.pop(region, None)

    def _relay(self, region: int) -> Relay:
        relay = self._relays.get(region)
        if relay is None:
            relay = self._relays[region] = Relay()
        return relay

    def _forget(self, sessions: "list[Session]") -> None:
        for session in sessions:
            self._sessions.pop(session.local, None)

    # -- out

    def packet(self, data: bytes) -> None:
        """A packet from the operating system, to be sealed for the peer it is for."""
        self._report.drop(self._outbound(data))

    def _outbound(self, data: bytes) -> str:
        """Send or queue a packet; the reason when it is dropped, else ""."""
        fields = ip.inspect(data)
        if fields is None:
            return "malformed"
        unfit = filter.unfit(fields)
        if unfit:
            return unfit
        peer = self._allowed.find(fields[3])
        if peer is None:
            return "no_route"
        self._flows.note(fields)
        if self._usable(peer) and peer.paths:
            self._seal(peer, data[: fields[0]])
            return ""
        self._report.drop("queue", peer.hold(data[: fields[0]]))
        if not self._usable(peer):
            self._report.edge(peer, HANDSHAKE)
        return ""

    def _usable(self, peer: Peer) -> bool:
        return peer.current is not None and peer.current.counter < messages.REJECT_AFTER_MESSAGES

    def _drain(self, peer: Peer) -> bool:
        """Send what waits, if it can go; True when something went."""
        if not peer.queue or not peer.paths or not self._usable(peer):
            return False
        queue, peer.queue = peer.queue, []
        for packet in queue:
            self._seal(peer, packet)
        return True

    def _seal(self, peer: Peer, packet: bytes) -> None:
        session = peer.current
        assert session is not None
        counter = session.counter
        session.counter = counter + 1
        padded = packet + _PADDING[: -len(packet) & 15]
        sealed = messages.data_header(session.remote, counter) + self._crypto.seal(session.send_key, messages.nonce(counter), padded)
        for path in peer.paths:
            self._emit(path, sealed)
        if packet:
            peer.tx_packets += 1
            peer.tx_bytes += len(packet)
            self._report.edge(peer, SENT)
        if counter + 1 >= messages.REKEY_AFTER_MESSAGES and not session.limit_told:
            session.limit_told = True
            self._report.add(("edge", peer.number, LIMIT))

    def send(self, path: "Path", data: bytes) -> None:
        """A control datagram out on a path."""
        self._emit(path, data)

    def _emit(self, path: "Path", data: bytes) -> None:
        if len(path) == 2:
            self._emit_relay(path[0], path[1], data)
        elif len(self._out) >= MAX_OUTPUT:
            self._report.drop("output")
        elif path[4]:
            protocol = geneve.DISCO if disco.is_disco(data) else geneve.WIREGUARD
            self._out.append((paths.direct(path), geneve.encode(protocol, path[4], False, data)))
        else:
            self._out.append((path, data))

    def _emit_relay(self, region: int, key: bytes, data: bytes) -> None:
        relay = self._relays.get(region)
        if relay is None or not relay.up or relay.bad_told or len(data) > derp.MAX_PACKET:
            self._report.drop("relay")
            return
        self._report.drop("relay", relay.put(derp.send_packet(key, data)))
        self._tell_output(region, relay)

    def _tell_output(self, region: int, relay: Relay) -> None:
        if not relay.told and relay.waiting():
            relay.told = True
            self._report.add(("relay-out", region))

    # -- in

    def relay_in(self, region: int, data: bytes) -> None:
        """Bytes of a relay's stream, in any cut."""
        frames, bad = self._relay(region).feed(data)
        for kind, payload in frames:
            if kind != derp.RECV_PACKET:
                self._report.offer(("frame", region, kind, payload))
            elif len(payload) < derp.KEY:
                self._report.drop("malformed")
            else:
                self._receive((region, payload[: derp.KEY]), payload[derp.KEY :])
        if bad:
            self._report.add(("bad-relay", region, bad))

    def datagram(self, path: "Path", data: bytes) -> None:
        """A UDP datagram from the network; `path` has network id 0."""
        if len(path) != 5 or path[4]:
            raise LocalError(f"datagram: path {path!r}, need a UDP path without network id")
        self._receive(path, data)

    def _receive(self, path: "Path", data: bytes) -> None:
        kind = messages.kind(data)
        if kind == messages.DATA:
            self._report.drop(self._open(data))
        elif kind == messages.COOKIE_REPLY or disco.is_disco(data) or (len(path) == 5 and not path[4] and stun.is_stun(data)):
            self._report.hand_up(path, data)
        elif kind:
            self._handshake(path, data)
        else:
            self._unwrap(path, data)

    def _unwrap(self, path: "Path", data: bytes) -> None:
        inner = geneve.decode(data) if len(path) == 5 and not path[4] else None
        if inner is None or inner[1] == 0 or disco.is_disco(inner[3]) != (inner[0] == geneve.DISCO):
            self._report.drop("unknown")
        else:
            self._receive((path[0], path[1], path[2], path[3], inner[1]), inner[3])

    def _handshake(self, path: "Path", data: bytes) -> None:
        reason, reply = ("mac1", b"") if self._guard is None else self._guard.admit(path, data, self._clock())
        self._report.drop(reason)
        if reply:
            self._emit(path, reply)
        elif not reason:
            self._report.hand_up(path, data)

    def _open(self, data: bytes) -> str:
        """Open a data message and deliver what is in it; the reason when it is dropped, else ""."""
        entry = self._sessions.get(messages.receiver_index(data))
        if entry is None:
            return "index"
        peer, session = entry
        counter = int.from_bytes(data[8:16], "little")
        if not session.window.fresh(counter):
            return "replay"
        plaintext = self._crypto.open(session.receive_key, messages.nonce(counter), data[16:])
        if plaintext is None:
            return "auth"
        session.window.mark(counter)
        if peer.next is session:
            self._promote(peer, session)
        self._report.edge(peer, RECEIVED)
        if not plaintext:
            return ""
        self._report.edge(peer, DATA)
        return self._deliver(peer, plaintext)

    def _promote(self, peer: Peer, session: Session) -> None:
        self._forget(peer.install(session))
        self._report.add(("edge", peer.number, CONFIRMED))
        self._drain(peer)

    def _deliver(self, peer: Peer, plaintext: bytes) -> str:
        fields = ip.inspect(plaintext)
        if fields is None:
            return "malformed"
        if self._allowed.find(fields[2]) is not peer:
            return "source"
        peer.rx_packets += 1
        peer.rx_bytes += fields[0]
        reason = self._judge(fields)
        if not reason and len(self._delivered) >= MAX_OUTPUT:
            reason = "output"
        if not reason:
            self._delivered.append(plaintext[: fields[0]])
        return reason

    def _judge(self, fields: "ip.Fields") -> str:
        unfit = filter.unfit(fields)
        if unfit:
            return unfit
        if self._local.find(fields[3]) is None:
            return "destination"
        return self._filter.verdict(fields, self._flows)

    # -- what happened

    def poll(self) -> "list[tuple[Any, ...]]":
        """Events since the last call, in order."""
        return self._report.take()

    def relay_out(self, region: int, limit: int = 65536) -> bytes:
        """Whole frames for a relay's stream; when more wait, another "relay-out" event follows."""
        relay = self._relays.get(region)
        if relay is None:
            return b""
        data = relay.take(limit)
        relay.told = False
        self._tell_output(region, relay)
        return data

    def datagrams(self) -> "list[tuple[Path, bytes]]":
        """(path, wire bytes) that would have been sent since the last call."""
        out, self._out = self._out, []
        return out

    def packets(self) -> "list[bytes]":
        """Packets for the operating system since the last call."""
        delivered, self._delivered = self._delivered, []
        return delivered

    def peer_stats(self, number: int) -> "dict[str, int]":
        """tx_bytes, rx_bytes, tx_packets, rx_packets of payload; LocalError for an unknown peer."""
        peer = self._peers.get(number)
        if peer is None:
            raise LocalError(f"statistics: no peer {number!r}")
        return peer.stats()

    def counters(self) -> "dict[str, int]":
        """to_python and drop_<reason>; a reason that never occurred is left out."""
        return self._report.counters()
