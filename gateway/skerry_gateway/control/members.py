"""The network in memory: users, nodes and policy as the store has them, and the compiled snapshot of who may reach whom.

The store is read once, at the start; from then on whoever commits a transaction hands over the new rows (`put`, `drop`, ...). One
process writes a state directory, so this cannot fall behind. A node takes part while it is approved and its key has not expired.
"""

from collections.abc import Iterable

from skerry_core.errors import LocalError
from skerry_gateway import policy
from skerry_gateway.store import Network, Node, PolicyVersion, Store, User, queries


class Members:
    """`wall_ms` is passed in with every change, since taking part depends on it."""

    def __init__(self, store: Store, wall_ms: int, suffix: str) -> None:
        self.network = _network(store, wall_ms, suffix)
        with store.read() as c:
            self.users: dict[int, User] = {user.id: user for user in queries.users(c, self.network.id)}
            nodes = queries.nodes(c, self.network.id)
            stored = queries.policy(c, self.network.id)
        self.nodes: dict[int, Node] = {node.id: node for node in nodes}
        self.by_machine: dict[bytes, int] = {node.machine_key: node.id for node in nodes}
        self.by_key: dict[bytes, int] = {node.node_key: node.id for node in nodes}
        self.policy = _stored_policy(stored)
        self.compiled = self._compile(wall_ms, None)

    def of_machine(self, machine_key: bytes) -> Node | None:
        node_id = self.by_machine.get(machine_key)
        return None if node_id is None else self.nodes[node_id]

    def user_of(self, node: Node) -> User | None:
        return None if node.user_id is None else self.users.get(node.user_id)

    def allowed(self, node_key: bytes) -> bool:
        """Whether a node with that key takes part now."""
        return self.by_key.get(node_key) in self.compiled.nodes

    def put(self, node: Node) -> None:
        old = self.nodes.get(node.id)
        if old is not None:
            self.by_key.pop(old.node_key, None)
        self.nodes[node.id] = node
        self.by_machine[node.machine_key] = node.id
        self.by_key[node.node_key] = node.id

    def drop(self, node_id: int) -> None:
        node = self.nodes.pop(node_id)
        del self.by_machine[node.machine_key], self.by_key[node.node_key]

    def recompile(self, wall_ms: int) -> policy.Compiled:
        """A new snapshot; returns the one before."""
        before, self.compiled = self.compiled, self._compile(wall_ms, self.compiled)
        return before

    def next_expiry(self, wall_ms: int) -> int | None:
        """When the next key runs out (wall ms)."""
        coming = (n.expires_ms for n in self.nodes.values() if n.expires_ms is not None and n.expires_ms > wall_ms)
        return min(coming, default=None)

    def _compile(self, wall_ms: int, before: policy.Compiled | None) -> policy.Compiled:
        return policy.Compiled(self.policy, self.part(wall_ms), self.users.values(), self.network.suffix, before)

    def auto_approved(self, node: Node | None) -> frozenset[str]:
        """Those of a node's advertised routes that the policy approves by itself."""
        return frozenset() if node is None else frozenset(policy.auto_approves(self.policy, node, self.user_of(node), self.network.suffix))

    def domains(self) -> set[str]:
        """The domains that users of this network have in their addresses."""
        return {self.network.suffix} | {user.email.partition("@")[2] for user in self.users.values() if user.email}

    def part(self, wall_ms: int) -> Iterable[Node]:
        return [node for node in self.nodes.values() if node.approved and not node.expired(wall_ms)]


def _stored_policy(stored: PolicyVersion | None) -> policy.Policy:
    """The policy in force. One this version cannot read stops the start: to go on without it would open or close the network."""
    try:
        return policy.parse(stored.text if stored else policy.DEFAULT)
    except policy.PolicyError as error:
        version = stored.version if stored else 0
        advice = "Go back to the skerry-gateway that stored it"
        raise LocalError(f"policy version {version} in the database cannot be used: {error}. {advice}") from None


def _network(store: Store, wall_ms: int, suffix: str) -> Network:
    with store.write() as c:
        found = queries.network(c)
        if found is None:
            values = {"name": "skerry", "suffix": suffix, "url": "", "approval": False, "key_expiry_ms": None, "dns": {}}
            network_id = queries.create_network(c, created_ms=wall_ms, **values)
            owner = {"name": "owner", "display_name": "Owner", "role": "owner", "signed_in_ms": None}
            queries.create_user(c, network_id=network_id, created_ms=wall_ms, **owner)
            found = queries.network(c)
    assert found is not None
    return found
