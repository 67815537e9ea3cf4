"""A subnet router beside ufw, firewalld and Docker: who blocks is named, the command that is told is real, nothing of theirs is changed."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.interop.test_routes import join, router
from tests.netlab import Lab
from tests.netlab.firewalls import STARTED, Beside
from tests.netlab.lab import Host, until
from tests.netlab.programs import BIN, Gateway, Node, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
NAMES = {"ufw": "ufw", "firewalld": "firewalld", "docker": "Docker"}


@pytest.fixture
def fresh() -> Iterator[Callable[[Host], Beside]]:
    """Makes places for the packages' programs, and cleans up."""
    made: list[Beside] = []

    def make(host: Host) -> Beside:
        made.append(Beside(host))
        return made[-1]

    yield make
    for beside in made:
        beside.close()


def answers(client: Node, address: str) -> bool:
    """Whether a TCP connection to the site is answered."""
    code = f"import socket; socket.create_connection(('{address}', 9000), 2)"
    return client.host.run(str(BIN / "python"), "-c", code, check=False).returncode == 0


def blocked(node: Skerryd) -> list[str]:
    """What the node says of others in its way."""
    return [" ".join(line.split()) for line in node.own_status()["health"] if "drops what this node forwards" in line]


def theirs(beside: Beside) -> str:
    """The rules of everybody but us, without what is counted."""
    text = beside.host.run("nft", "list", "ruleset").stdout
    tables = re.split(r"(?m)^(?=table |# Warning)", text)
    return re.sub(r"packets \d+ bytes \d+", "", "".join(each for each in tables if not each.startswith("table inet skerry")))


@pytest.mark.parametrize("who", STARTED)
def test_who_blocks_is_said_with_a_command_that_helps(lab: Lab, gateway: Gateway, fresh: Callable[[Host], Beside], who: str) -> None:
    host = lab.public("router")
    beside = fresh(host)
    if who == "docker":  # it closes the way only when it finds forwarding off
        STARTED[who](beside)
    node, site = router(lab, gateway, Skerryd, host=host)
    assert isinstance(node, Skerryd)
    client = join(lab, gateway, Skerryd, "client", "--accept-routes")
    site.serve()
    if who != "docker":
        client.reaches(site.address)
        assert blocked(node) == []
        STARTED[who](beside)
    before = theirs(beside)
    until("it is noticed", lambda: blocked(node), 60, 1)
    assert not answers(client, site.address) and not answers(client, site.address6)
    said = blocked(node)
    assert all(NAMES[who] in line for line in said), said
    node.restart()
    until("the node is back", lambda: node.own_status()["state"] == "Running", 30)
    assert theirs(beside) == before, "nothing of theirs is changed"
    for line in said:
        beside.shell(line.partition("let it through with: ")[2])
    for address in (site.address, site.address6):
        until(f"{address} answers", lambda at=address: answers(client, at), 30)  # type: ignore[misc]
    until("nothing is said any more", lambda: not blocked(node), 60, 1)
    client.reaches(node.address)


def test_docker_that_starts_later_keeps_its_forwarding(lab: Lab, gateway: Gateway, fresh: Callable[[Host], Beside]) -> None:
    node, _ = router(lab, gateway, Skerryd)
    beside = fresh(node.host)
    STARTED["docker"](beside)
    node.stop()
    assert node.host.run("sysctl", "-n", "net.ipv4.ip_forward").stdout.strip() == "1", "Docker has found it on"
    assert "skerry" not in node.host.run("nft", "list", "tables").stdout


