"""Nodes that a supervisor runs as systemd would: ours with its store, the official client with or without."""

from tests.netlab.lab import Host
from tests.netlab.programs import Node, Skerryd, Tailscaled
from tests.netlab.supervisor import Supervisor


class Supervised(Skerryd):
    """skerryd with a descriptor store."""

    def __init__(self, host: Host, name: str, store: bool = True) -> None:
        super().__init__(host, name)
        self.supervisor = Supervisor(host.lab.path, name, store)

    def start(self) -> None:
        start(self, self.supervisor)


class SupervisedTailscaled(Tailscaled):
    """tailscaled under the same supervisor. It keeps nothing in a store; it says READY=1 as well."""

    def __init__(self, host: Host, name: str) -> None:
        super().__init__(host, name)
        self.supervisor = Supervisor(host.lab.path, name)

    def start(self) -> None:
        start(self, self.supervisor)


def start(node: Node, supervisor: Supervisor) -> None:
    """Start the node's daemon under the supervisor."""
    argv = node.argv()
    command = node.host.command(*argv)
    supervisor.start(command, node.env(), node.host.lab.path / f"{node.name}.log", len(command) - len(argv))
    node.process = supervisor.process
