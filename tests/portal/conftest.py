"""One lab for the stage: a gateway, a board with skerryd and its portal, and one Chromium. `--images DIR` also keeps pictures of pages."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.netlab import Lab, inside
from tests.netlab.lab import lab_with_logs, until
from tests.netlab.programs import BIN, Gateway, Program, Skerryd
from tests.portal.browser import DESKTOP, Browser


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--images", type=Path, help="write pictures of the pages there")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not inside():
        pytest.exit("these tests need namespaces of their own: python -m tests.netlab .venv/bin/pytest tests/portal", 2)


class Portal(Program):
    """`skerry-portal` beside a node."""

    port = 8081

    def __init__(self, node: Skerryd, *options: str) -> None:
        super().__init__(node.host, f"portal-{node.name}")
        self.node, self.options = node, options

    @property
    def url(self) -> str:
        return f"http://{self.host.address}:{self.port}"

    def argv(self) -> list[str]:
        agent = str(self.node.socket).removesuffix(".sock") + "-portal.sock"
        return [str(BIN / "skerry-portal"), "--listen", f"{self.host.address}:{self.port}", "--agent", agent, *self.options]

    def start(self) -> None:
        super().start()
        until("the portal listens", self._listens, 40)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(5)
            return probe.connect_ex((self.host.address, self.port)) == 0


class Board:
    """A node with its portal, which no network knows."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.node = Skerryd(lab.public(name), name)
        self.portal = Portal(self.node)
        self.node.start()
        self.portal.start()

    @property
    def code(self) -> str:
        return str(json.loads(self.node.cli("code", "--json").stdout)["code"])

    def leave(self) -> None:
        """As it came: a member of nothing, nothing under way."""
        self.node.cli("logout", check=False)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with lab_with_logs() as made:
        yield made


@pytest.fixture(scope="session")
def gateway(lab: Lab) -> Gateway:
    made = Gateway(lab.public("gateway"), "gw")
    made.start()
    return made


@pytest.fixture(scope="session")
def the_board(lab: Lab) -> Board:
    return Board(lab, "camera-1")


@pytest.fixture
def board(the_board: Board, gateway: Gateway) -> Iterator[Board]:
    yield the_board
    the_board.leave()
    for node in gateway.nodes():  # or the next test's name would be this one's
        if node["name"] != "laptop":
            gateway.cli("nodes", "remove", str(node["id"]))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.close()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    chromium.forget()
    chromium.script(True)
    chromium.size(*DESKTOP)
    chromium.open("about:blank")
    chromium.complaints()
    return chromium


@pytest.fixture
def picture(browser: Browser, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep a picture of the window, where --images says so."""
    folder = request.config.getoption("--images")
    return lambda name: browser.picture(folder / f"{name}.png") if folder else None


def owner_link(gateway: Gateway) -> str:
    """A link that signs the owner in at the console."""
    return str(gateway.cli("users", "link", "owner")["url"])


def run(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
