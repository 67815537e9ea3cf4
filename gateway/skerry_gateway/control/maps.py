"""Map streams: what each connected node was told, and the next message that brings it to what is true now.

Nobody queues deltas. A change marks the streams that see it; when a stream's reader has room, the message is the difference between
what it was told and what is so. So the sum of the messages is the full map by construction, a burst of changes becomes one message,
and a slow reader costs one set of ids. The rules of MapResponse (what absent and empty mean) are those of client 1.102.3:

    first message  Node, Peers, PacketFilters, DERPMap, DNSConfig, UserProfiles, Domain, Debug
    deltas         PeersRemoved, PeersChanged, PeersChangedPatch (only Endpoints, DERPRegion, Online, LastSeen: cheap at the client),
                   PacketFilters (the chunks that changed, null for those that are gone), UserProfiles before or with the peer,
                   and Node, DNSConfig, DERPMap only when they change

Records are shared: all who see a node with the same routes hold the same dictionary, so "unchanged" is `is`; a record is encoded once and
equal messages are compressed once. One flush makes a bounded amount, what is behind follows with the next (small deltas first, so that a
removal does not wait for thousands of full maps).
"""

from collections.abc import Iterable
from typing import Any

import zstandard

from skerry_gateway.policy import Compiled, routes_in_force
from skerry_gateway.policy.logins import ssh_rules
from skerry_gateway.store import Node

from . import dns, ownrelays, relaypeer, wire
from .hostinfo import Live
from .members import Members
from .relaypeer import RelayPeer
from .session import Session

# fields of the own Node that change often and that a node knows better itself
_OWN_VOLATILE = ("Endpoints", "DiscoKey", "HomeDERP", "Hostinfo", "Cap")


FLUSH_BYTES = 2 << 20  # of JSON, made in one go: some 50 ms


class MapStream:
    """One long poll of one node."""

    def __init__(self, node_id: int, session: Session, stream: int, compress: bool) -> None:
        self.node_id, self.session, self.stream, self.compress = node_id, session, stream, compress
        self.peers: dict[int, dict[str, Any]] = {}  # as told
        self.own: dict[str, Any] = {}
        self.filter: dict[str, list[dict[str, Any]]] | None = None
        self.profiles: dict[int, dict[str, Any]] = {}
        self.relay: dict[str, Any] | None = None
        self.derp: dict[str, Any] | None = None
        self.dns: dict[str, Any] = {}
        self.ssh: list[dict[str, Any]] = []
        self.begun = False
        self.dirty: set[int] | None = None  # peers that may differ; None: all
        self.sent_at = 0
        self.stalled = 0


class Maps:
    """All streams. Marking is cheap; `flush` makes the messages."""

    def __init__(self, members: Members, live: dict[int, Live], derp_map: dict[str, Any]) -> None:
        self._members, self._live = members, live
        self.derp_map = derp_map
        self.streams: dict[int, MapStream] = {}
        self._records: dict[int, dict[str, Any]] = {}
        self._given: dict[int, dict[tuple[str, ...], dict[str, Any]]] = {}  # ... as those have them whom a rule gives fewer or other routes
        self._texts: dict[int, dict[tuple[str, ...], tuple[dict[str, Any], bytes]]] = {}  # the records encoded, by their routes
        self._relay: RelayPeer | None = None
        self._relay_record: dict[str, Any] | None = None
        self._offered: set[int] = set()  # nodes that offer UDP relays
        self._carried: dict[int, tuple[str, ...]] = {}
        self._routers: dict[str, tuple[tuple[int, bool], ...]] = {}  # of each route: (node, online)
        self._waiting: dict[int, MapStream] = {}  # streams with something to say; a dict keeps the order
        self._zstd = zstandard.ZstdCompressor(level=3, write_content_size=True)
        self._goodbyes: dict[int, dict[str, Any]] = {}
        self.behind = False
        self.keepalive = {True: wire.frame(self._zstd.compress(wire.KEEPALIVE)), False: wire.frame(wire.KEEPALIVE)}
        self.carry()
        for node_id in members.nodes:
            self._refresh(node_id)

    # marks

    def touch(self, node_id: int) -> None:
        """What is known of a node may have changed (not who sees it)."""
        if self._refresh(node_id):
            self._mark_viewers(node_id)

    def carry(self) -> None:
        """Subnet routes may have another carrier now: after changes of routes and of who is online."""
        members = self._members
        nodes = [(node, self._online(node.id)) for node in sorted(members.nodes.values(), key=lambda n: n.id) if node.routes_approved]
        taking_part = [(node, online) for node, online in nodes if node.id in members.compiled.nodes]
        before, self._carried = self._carried, wire.carried_routes(taking_part)
        for node_id in before.keys() | self._carried.keys():
            if before.get(node_id) != self._carried.get(node_id):
                self.touch(node_id)
        were, self._routers = self._routers, wire.routers(taking_part)
        self._mark_routers(were, (route for route in were.keys() | self._routers.keys() if were.get(route) != self._routers.get(route)))

    def _mark_routers(self, were: dict[str, tuple[tuple[int, bool], ...]], routes: Iterable[str]) -> None:
        """Whoever is led through one of several routers of these routes may be led through another now: `via` chooses for each viewer."""
        for node_id in {node_id for route in routes for node_id, _ in (*were.get(route, ()), *self._routers.get(route, ()))}:
            self._mark_viewers(node_id)

    def moved(self, before: Compiled, changed: Iterable[int]) -> None:
        """The snapshot was replaced because of these nodes.

        A filter names sources of the node's edges, and sources are peers (all nodes are, of one that hears "*"): so whoever's filter
        changes saw a changed node before or sees it now.
        """
        after = self._members.compiled
        changed = list(changed)
        held = [at.members[node_id] for at in (before, after) for node_id in changed if node_id in at.members]
        self._mark_routers(self._routers, {str(prefix) for member in held for prefix in member.subnets})
        for node_id in changed:
            self._refresh(node_id)
            for viewer in before.peers(node_id) | after.peers(node_id):
                self._mark(viewer, node_id)
            self.mark_all(node_id)

    def set_relay(self, relay: RelayPeer | None) -> None:
        """The gateway's own UDP relay, which every node that takes part sees."""
        self._relay = relay
        if self._name_relay():
            self._waiting.update(self.streams)

    def _name_relay(self) -> bool:
        """Make its record; True when it says something else now."""
        names = (node.name for node in self._members.nodes.values())
        record = None if self._relay is None else self._relay.record(self._members.network, names)
        if record == self._relay_record:
            return False
        self._relay_record = record
        return True

    def everything(self) -> None:
        """The policy, the DERP map, users or names changed for everybody."""
        self._name_relay()
        for node_id in self._members.nodes:
            self._refresh(node_id)
        for node_id in self.streams:
            self.mark_all(node_id)

    def mark_all(self, node_id: int) -> None:
        stream = self.streams.get(node_id)
        if stream is not None:
            stream.dirty = None
            self._waiting[node_id] = stream

    def forget(self, node: Node) -> None:
        """A node was removed: its own stream is told so and ends with the next flush."""
        record = self._records.pop(node.id, None)
        self._offered.discard(node.id)
        self._texts.pop(node.id, None)
        self._given.pop(node.id, None)
        if node.id in self.streams and record is not None:
            self._goodbyes[node.id] = wire.withdrawn(wire.own(record, None, self._members.network, {}))
            self.mark_all(node.id)

    # streams

    def begin(self, stream: MapStream) -> MapStream | None:
        """Register a stream; the one it replaces is returned."""
        before = self.streams.get(stream.node_id)
        if before is not None and before.session.poll is before:
            before.session.poll = None
        self.streams[stream.node_id] = stream
        stream.session.poll = stream
        self.mark_all(stream.node_id)
        return before

    def finish(self, stream: MapStream) -> bool:
        """The stream is over; False when another has replaced it already."""
        if self.streams.get(stream.node_id) is not stream:
            return False
        del self.streams[stream.node_id]
        self._goodbyes.pop(stream.node_id, None)
        if stream.session.poll is stream:
            stream.session.poll = None
        self._waiting.pop(stream.node_id, None)
        return True

    def flush(self, now: int, wall_ms: int, only: MapStream | None = None) -> list[MapStream]:
        """Make the messages of marked streams whose readers have room; the streams that got one. `behind`: there is more to do."""
        if only is None:
            chosen = sorted(self._waiting.values(), key=_late)
        else:
            chosen = [only] if self._waiting.get(only.node_id) is only else []
        encoded: dict[bytes, bytes] = {}
        served: list[MapStream] = []
        size = 0
        self.behind = False
        for stream in chosen:
            if stream.session.closed is None and stream.session.room:
                if size > FLUSH_BYTES:
                    self.behind = True
                    break
                del self._waiting[stream.node_id]
                done = self._serve(stream, now, wall_ms, encoded)
                size += done
                if done:
                    served.append(stream)
        return served

    def one_shot(self, node_id: int, session: Session, compress: bool, wall_ms: int) -> bytes:
        """The full map as one frame, for a request that does not stream."""
        body = self._encode(self.message(MapStream(node_id, session, 0, compress), wall_ms))
        return wire.frame(self._zstd.compress(body) if compress else body)

    def _serve(self, stream: MapStream, now: int, wall_ms: int, encoded: dict[bytes, bytes]) -> int:
        """How many bytes of JSON it took, at least 1 if the stream was given anything."""
        size = 0
        gone = stream.node_id not in self._members.nodes
        message = self._goodbye(stream) if gone else self.message(stream, wall_ms)
        if message:
            body = self._encode(message)
            size = len(body)
            if stream.compress and body not in encoded:
                encoded[body] = self._zstd.compress(body)
            stream.session.push(stream.stream, wire.frame(encoded[body] if stream.compress else body))
            stream.sent_at = now
        if gone:
            self.finish(stream)
            stream.session.push(stream.stream, b"", end=True)
        return max(size, 1) if gone else size

    def _encode(self, message: dict[str, Any]) -> bytes:
        """A message as JSON, the records in it out of the cache."""
        lists = {name: message[name] for name in ("Peers", "PeersChanged") if name in message}
        body = wire.dumps({name: value for name, value in message.items() if name not in lists})
        for name, records in lists.items():
            body = b'%s,"%s":[%s]}' % (body[:-1], name.encode(), b",".join(map(self._text, records)))
        return body

    def _text(self, record: dict[str, Any]) -> bytes:
        texts, routes = self._texts.setdefault(record["ID"], {}), tuple(record["AllowedIPs"])
        kept = texts.get(routes)
        if kept is None or kept[0] is not record:
            kept = texts[routes] = (record, wire.dumps(record))
        return kept[1]

    def _record(self, viewer: int, peer_id: int) -> dict[str, Any]:
        """A peer with the routes that a rule lets this viewer use; one record for all who have the same."""
        record, node, compiled = self._records[peer_id], self._members.nodes[peer_id], self._members.compiled
        if compiled.policy.rules is None or not compiled.members[peer_id].routes:
            return record
        given = compiled.routes(viewer, peer_id, self._first)
        routes = tuple(route for route in routes_in_force(node) if route in given)
        if routes == self._carried.get(peer_id, ()):
            return record
        kept = self._given.setdefault(peer_id, {})
        if routes not in kept:
            kept[routes] = wire.through(record, routes)
        return kept[routes]

    def _first(self, routers: list[int]) -> int:
        """Of several with the same subnet the first that is online, else the first."""
        return next((node_id for node_id in routers if self._online(node_id)), routers[0])

    def _goodbye(self, stream: MapStream) -> dict[str, Any]:
        own = self._goodbyes.pop(stream.node_id, None)
        if own is None:
            return {}
        gone = sorted(stream.peers) + ([] if stream.relay is None else [relaypeer.ID])
        return {"Node": own, "PacketFilters": {"base": []}, **({"PeersRemoved": gone} if gone else {})}

    def message(self, stream: MapStream, wall_ms: int) -> dict[str, Any]:
        """The MapResponse that brings a stream up to date; {} when it is."""
        members, node = self._members, self._members.nodes[stream.node_id]
        message: dict[str, Any] = {}
        logins = ssh_rules(members.compiled, node.id) if node.id in members.compiled.nodes else []
        attributes = self._attributes(node.id, bool(logins))
        own = wire.own(self._records[node.id], members.user_of(node), members.network, attributes)
        fixed = {name: value for name, value in own.items() if name not in _OWN_VOLATILE}
        if fixed != stream.own:
            stream.own, message["Node"] = fixed, own
        complete = stream.dirty is None
        shown = self._peers(stream, node.id, message)
        self._settings(stream, message)
        # when everything may differ, the names of known users may too
        self._profiles(stream, [node, *(members.nodes[i] for i in (stream.peers if complete else shown))], message)
        chunks, told = self._chunks(node), stream.filter or {}
        changed = {name: rules for name, rules in chunks.items() if told.get(name) != rules}
        stream.filter = chunks
        if changed or told.keys() - chunks.keys():
            message["PacketFilters"] = {**changed, **dict.fromkeys(sorted(told.keys() - chunks.keys()))}
        if logins != stream.ssh:
            stream.ssh = logins
            message["SSHPolicy"] = {"rules": logins}
        self._show_relay(stream, node, message)
        if not stream.begun:
            message.update({"CollectServices": False, "Debug": {"DisableLogTail": True}})
            stream.begun = True
        if message:
            message["ControlTime"] = wire.rfc3339(wall_ms)
        return message

    def _peers(self, stream: MapStream, node_id: int, message: dict[str, Any]) -> list[int]:
        compiled = self._members.compiled
        candidates = compiled.peers(node_id) | stream.peers.keys() if stream.dirty is None else stream.dirty
        stream.dirty = set()
        removed: list[int] = []
        changed: list[dict[str, Any]] = []
        patches: list[dict[str, Any]] = []
        for peer_id in sorted(candidates):
            if not compiled.sees(node_id, peer_id):
                if stream.peers.pop(peer_id, None) is not None:
                    removed.append(peer_id)
                continue
            old, new = stream.peers.get(peer_id), self._record(node_id, peer_id)
            stream.peers[peer_id] = new
            if old is not new:
                patch = wire.patch(old, new) if old is not None else None
                (changed if patch is None else patches).append(new if patch is None else patch)
        parts = {"PeersRemoved": removed, "PeersChanged" if stream.begun else "Peers": changed, "PeersChangedPatch": patches}
        message.update({name: value for name, value in parts.items() if value})
        return [record["ID"] for record in changed]

    def _chunks(self, node: Node) -> dict[str, list[dict[str, Any]]]:
        chunks, relays = self._members.compiled.chunks(node.id), ownrelays.chunk(node, self._offered, self._members)
        return {**chunks, ownrelays.CHUNK: relays} if relays else chunks

    def _show_relay(self, stream: MapStream, node: Node, message: dict[str, Any]) -> None:
        record = self._relay_record if node.id in self._members.compiled.nodes else None
        before, stream.relay = stream.relay, record
        if record is before:
            return
        if before is None:
            message.setdefault("UserProfiles", []).append(relaypeer.profile())
        if before is None or record is None:
            message.setdefault("PacketFilters", {})[relaypeer.CHUNK] = None if record is None else relaypeer.chunk(node)
        if record is None:
            message.setdefault("PeersRemoved", []).append(relaypeer.ID)
        else:
            message.setdefault("PeersChanged" if stream.begun else "Peers", []).append(record)

    def _settings(self, stream: MapStream, message: dict[str, Any]) -> None:
        names = dns.config(self._members.network)
        if names != stream.dns:
            stream.dns = message["DNSConfig"] = names
            message["Domain"] = self._members.network.suffix
        if stream.derp is not self.derp_map:
            stream.derp = message["DERPMap"] = self.derp_map

    def _profiles(self, stream: MapStream, nodes: list[Node], message: dict[str, Any]) -> None:
        members, fresh = self._members, []
        for number, node in {wire.user_id(node): node for node in nodes}.items():
            profile = wire.profile(number, members.user_of(node), members.network)
            if stream.profiles.get(number) != profile:
                stream.profiles[number] = profile
                fresh.append(profile)
        if fresh:
            message["UserProfiles"] = fresh

    def _attributes(self, node_id: int, has_logins: bool) -> dict[str, list[Any]]:
        """What the policy gives a node to know of itself; the right to be an SSH server where a rule leads to it."""
        compiled = self._members.compiled
        if node_id not in compiled.nodes:
            return {}
        found = {name: values or [] for name, values in compiled.attributes(node_id).items()}
        return {**found, wire.SSH: []} if has_logins else found

    def _online(self, node_id: int) -> bool:
        live = self._live.get(node_id)
        return live is not None and live.online

    def _refresh(self, node_id: int) -> bool:
        """Rebuild a node's record; True when it says something else now."""
        node = self._members.nodes.get(node_id)
        if node is None:
            return False
        carried = self._carried.get(node_id, ())
        record = wire.peer(node, self._live.setdefault(node_id, Live()), self._members.network, carried)
        if record == self._records.get(node_id):
            return False
        self._records[node_id] = record
        self._given.pop(node_id, None)
        self._texts.pop(node_id, None)
        if record["Hostinfo"].get("PeerRelay") is True:
            self._offered.add(node_id)
        else:
            self._offered.discard(node_id)
        return True

    def _mark_viewers(self, node_id: int) -> None:
        for viewer in self._members.compiled.peers(node_id) if self.streams else ():
            self._mark(viewer, node_id)
        self._mark(node_id, node_id)

    def _mark(self, viewer: int, node_id: int) -> None:
        stream = self.streams.get(viewer)
        if stream is not None:
            if stream.dirty is not None:
                stream.dirty.add(node_id)
            self._waiting[viewer] = stream


def _late(stream: MapStream) -> bool:
    return stream.dirty is None
