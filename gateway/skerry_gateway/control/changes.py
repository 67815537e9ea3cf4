"""The network as it changes: one way from a decision to everybody who must know of it.

A store transaction, then `commit` with the new rows: memory follows, a new policy snapshot is compiled, keys that lost access are
reported to `on_withdraw`, streams that see the change are marked, and messages made. Key expiry and the end of ephemeral nodes, which
nobody asks for, are here too. Wall time is the start's plus what has passed on the monotonic clock, corrected by clock().
"""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy.exc import DBAPIError

from skerry_core.tailcfg.keys import encode_key
from skerry_gateway import policy
from skerry_gateway.identity import Identity
from skerry_gateway.store import Node, Store, queries

from .hostinfo import ZERO_KEY, Live
from .maps import Maps
from .members import Members
from .refused import AdminError
from .relaypeer import RelayPeer
from .session import Session
from .timers import Timers
from .twins import Twins

EPHEMERAL_MS = 30 * 60_000  # an ephemeral node is removed when it was away this long
GRACE_MS = 10_000  # a dropped stream counts as offline after this
_SURE = 2  # expiry timers fire this late, so that the key has expired by then


class Changes:
    """The state of one network and its changes. `random(n)` gives n random bytes."""

    def __init__(
        self, store: Store, random: Callable[[int], bytes], derp_map: dict[str, Any], now: int, wall_ms: int, suffix: str | None
    ) -> None:
        self.store, self._random = store, random
        self._started, self._started_ms, self._last_now = now, wall_ms, now
        self.members = Members(store, wall_ms, suffix or "skerry.internal")
        self.identity = Identity(store, self.members.network.id, random)
        self.live: dict[int, Live] = {node_id: Live() for node_id in self.members.nodes}
        self.twins = Twins()
        self.maps = Maps(self.members, self.live, derp_map)
        self._ready: dict[Session, None] = {}
        self.trouble = ""  # the last fault of our own
        self._timers = Timers()
        self._listeners: list[Callable[[bytes], None]] = []
        self._catching_up = False
        self._armed: int | None = None  # when the next key expiry is looked at
        if suffix is not None and suffix != self.members.network.suffix:
            self.configure("serve", now, suffix=suffix)
        for node in self.members.nodes.values():
            if node.ephemeral:
                self._timers.add(now + EPHEMERAL_MS, self._drop_ephemeral, node.id)
        self._arm_expiry(now)

    def wall(self, now: int) -> int:
        return self._started_ms + now - self._started

    def clock(self, wall_ms: int, now: int) -> None:
        """The wall clock was set: `wall_ms` is right at `now`."""
        self._started, self._started_ms = now, wall_ms
        self._expire(now)

    def relay_allowed(self, node_key: bytes) -> bool:
        """Whether the relay may serve that key: its node takes part."""
        return self.members.allowed(node_key)

    def disco_of(self, node_key: bytes) -> bytes | None:
        """The disco key of a node that takes part."""
        node_id = self.members.by_key.get(node_key)
        live = self.live.get(node_id) if node_id is not None and node_id in self.members.compiled.nodes else None
        return live.disco_key if live is not None and live.disco_key != ZERO_KEY else None

    def peer_with(self, node_key: bytes, disco_key: bytes) -> bytes | None:
        """The node key of the peer that has this disco key, among those that a node sees."""
        node_id = self.members.by_key.get(node_key)
        peers = self.members.compiled.peers(node_id) if node_id is not None and disco_key != ZERO_KEY else ()
        return next((self.members.nodes[peer].node_key for peer in peers if self.live[peer].disco_key == disco_key), None)

    def on_withdraw(self, callback: Callable[[bytes], None]) -> None:
        """Call `callback(node_key)` as soon as a key loses access (removal, expiry, logout, a new key)."""
        self._listeners.append(callback)

    # across a restart

    def remember(self) -> dict[str, Any]:
        """Where the nodes could be reached last, JSON-able. Lost, it costs a moment; it lets nodes that come back first find the others."""
        return {str(node_id): live.remember() for node_id, live in self.live.items() if live.disco_key != bytes(32)}

    def recall(self, data: Any) -> None:
        """Take over what remember() gave, before the first session."""
        for node_id, live in self.live.items():
            live.recall(data.get(str(node_id)) if isinstance(data, dict) else None)
        self.maps.everything()

    # settings

    def set_derp_map(self, derp_map: dict[str, Any], now: int) -> None:
        """Every node is told when it differs."""
        if derp_map != self.maps.derp_map:
            self.maps.derp_map = derp_map
            self.maps.everything()
            self.flush(now)

    def set_relay(self, relay: RelayPeer | None, now: int) -> None:
        """Every node is told of the gateway's own UDP relay, when it differs."""
        self.maps.set_relay(relay)
        self.flush(now)

    def configure(self, actor: str, now: int, verb: str = "network set", **values: Any) -> None:
        """Change the network's settings (suffix, approval, key_expiry_ms, url, dns); `verb` is for the audit log."""
        network, wall = self.members.network, self.wall(now)
        with self.store.write() as c:
            queries.update_network(c, network.id, **values)
            queries.record(c, network.id, wall, actor, verb, values)
            changed = queries.network(c)
        assert changed is not None
        self.members.network = changed
        self.maps.everything()
        self.flush(now)

    def set_policy(self, text: str, actor: str, now: int, reason: str = "") -> int:
        """Store a policy and put it in force; its version. PolicyError (its own tests among the causes): nothing changed."""
        parsed = policy.parse(text, self.members.domains())
        network, wall = self.members.network, self.wall(now)
        policy.trial.check(parsed, self.members.part(wall), self.members.users.values(), network.suffix)
        with self.store.write() as c:
            version = queries.create_policy(c, network.id, text, actor, wall, reason)
            queries.record(c, network.id, wall, actor, "policy set", {"version": version, **({"reason": reason} if reason else {})})
        before = {node_id: self.members.auto_approved(node) for node_id, node in self.members.nodes.items()}
        self.members.policy = parsed
        self._reconsider(before, wall)
        self.flush(now)
        return version

    def _reconsider(self, before: dict[int, frozenset[str]], wall: int) -> None:
        """The policy or the users are others than when it approved `before`. What it no longer approves stays until a person withdraws
        it."""
        for node in self._approve([(node, before[node.id]) for node in self.members.nodes.values()], wall):
            self.members.put(node)
        self.members.recompile(wall)
        self.maps.everything()
        self.maps.carry()

    def reload_users(self, now: int) -> None:
        """Users changed in the store."""
        before = {node_id: self.members.auto_approved(node) for node_id, node in self.members.nodes.items()}
        with self.store.read() as c:
            self.members.users = {user.id: user for user in queries.users(c, self.members.network.id)}
        self._reconsider(before, self.wall(now))
        self.flush(now)

    # nodes

    def change_node(self, node_id: int, actor: str, verb: str, now: int, **values: Any) -> Node:
        """One change of one node by a person. AdminError when it is gone."""
        network_id = self.members.network.id
        with self.store.write() as c:
            node = queries.update_node(c, network_id, node_id, **values)
            if node is None:
                raise AdminError(f"there is no node {node_id}")
            detail = {"node": node.name, **{name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}}
            queries.record(c, network_id, self.wall(now), actor, verb, detail)
        self.commit([node], [], now)
        return node

    def remove_node(self, node_id: int, actor: str, verb: str, now: int) -> None:
        """The node, its key and its sessions with everybody are gone when this returns and the messages are read."""
        self.remove_nodes([node_id], actor, verb, now)

    def remove_nodes(self, node_ids: list[int], actor: str, verb: str, now: int) -> None:
        """All of them in one transaction and one change."""
        network_id, wall = self.members.network.id, self.wall(now)
        with self.store.write() as c:
            for node in (self.members.nodes[node_id] for node_id in node_ids):
                queries.delete_node(c, network_id, node.id)
                queries.record(c, network_id, wall, actor, verb, {"node": node.name, "key": encode_key("nodekey", node.node_key)})
        self.commit([], node_ids, now)

    def commit(self, changed: Iterable[Node], removed: Iterable[int], now: int) -> None:
        """Rows of the store are new or gone: everything in memory follows, and everyone who sees it is told."""
        members, wall = self.members, self.wall(now)
        changed, removed = self._approve([(node, self._settled(node)) for node in changed], wall), list(removed)
        before = {n: members.nodes.get(n) for n in [*(node.id for node in changed), *removed]}
        keys = [node.node_key for node in before.values() if node is not None and members.allowed(node.node_key)]
        for node in changed:
            self.live.setdefault(node.id, Live())
            members.put(node)
        for node_id in removed:
            members.drop(node_id)
        snapshot = members.recompile(wall)
        self._withdraw(keys)
        self.maps.moved(snapshot, before)
        for node_id in removed:
            gone = before[node_id]
            if gone is not None:
                self.maps.forget(gone)
            self.live.pop(node_id, None)
            self.twins.forget(node_id)
        self.maps.carry()
        self._arm_expiry(now)
        self.flush(now)

    def _settled(self, node: Node) -> frozenset[str]:
        """What the policy approved of a node when it was last looked at: approved since, or withdrawn by a person, which then stays."""
        old = self.members.nodes.get(node.id)
        same = old is not None and (old.user_id, old.tags) == (node.user_id, node.tags)
        return self.members.auto_approved(old) if same else frozenset()

    def _approve(self, nodes: Iterable[tuple[Node, frozenset[str]]], wall: int) -> list[Node]:
        """The nodes, with the routes approved that the policy approves now and did not (the sets) before."""
        found = []
        for node, before in nodes:
            fresh = self.members.auto_approved(node) - before - set(node.routes_approved)
            found.append(self._store_approval(node, [r for r in node.routes_advertised if r in fresh], wall) if fresh else node)
        return found

    def _store_approval(self, node: Node, routes: list[str], wall: int) -> Node:
        try:
            with self.store.write() as c:
                changed = queries.update_node(c, node.network_id, node.id, routes_approved=(*node.routes_approved, *routes))
                queries.record(c, node.network_id, wall, "policy", "routes approve", {"node": node.name, "routes": routes})
        except DBAPIError as error:  # what led here is stored: everybody must still hear of that
            self.trouble = f"the database refused to approve routes of {node.name}: {error.orig}"
            return node
        return changed or node

    def _withdraw(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            if not self.members.allowed(key):
                for listener in self._listeners:
                    listener(key)

    def flush(self, now: int) -> None:
        """Make what messages are due. Everything that changes something calls this last."""
        self._last_now = max(self._last_now, now)
        for stream in self.maps.flush(now, self.wall(now)):
            self._ready[stream.session] = None
        if self.maps.behind and not self._catching_up:
            self._catching_up = True
            self._timers.add(now + 1, self._catch_up)

    def _catch_up(self, now: int) -> None:
        """The rest of a large change, after others had their turn; the flush at the end of every timer makes it."""
        self._catching_up = False

    # what time brings

    def _drop_ephemeral(self, node_id: int, now: int) -> None:
        node, live = self.members.nodes.get(node_id), self.live.get(node_id)
        if node is None or live is None or not node.ephemeral or live.online:
            return
        away = self.wall(now) - max(live.seen_ms or 0, node.last_seen_ms or 0, node.created_ms)
        if away >= EPHEMERAL_MS - GRACE_MS:
            self.remove_node(node_id, "gateway", "remove ephemeral", now)

    def _arm_expiry(self, now: int) -> None:
        wall = self.wall(now)
        at = self.members.next_expiry(wall)
        due = None if at is None else now + at - wall + _SURE
        if due is not None and (self._armed is None or due < self._armed):
            self._armed = due
            self._timers.add(due, self._expiry_due)

    def _expiry_due(self, now: int) -> None:
        if self._armed is not None and self._armed <= now:  # else an earlier or a later look has taken this one's place
            self._expire(now)

    def _expire(self, now: int) -> None:
        """Keys have run out (or the clock was set): whoever is concerned loses or regains access."""
        wall, members = self.wall(now), self.members
        self._armed = None
        concerned = [n for n in members.nodes.values() if n.approved and n.expired(wall) == (n.id in members.compiled.nodes)]
        if concerned:
            self.commit(concerned, [], now)
        self._arm_expiry(now)
