"""What people do wrong, and what they are told: each a message with what to do, the state intact, a retry where it helps."""

import subprocess
import time

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import BIN, Gateway, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@pytest.fixture
def node(lab: Lab) -> Skerryd:
    made = Skerryd(lab.public("board"), "board")
    made.start()
    until("the local API answers", made.socket.exists, 10)
    return made


def says(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command failed, and its message has these words and no traceback."""
    text = done.stdout + done.stderr
    assert done.returncode != 0, text
    assert "Traceback" not in text
    for word in words:
        assert word.lower() in text.lower(), text


def up(node: Skerryd, *arguments: str, timeout: float = 40) -> subprocess.CompletedProcess[str]:
    return node.cli("up", *arguments, check=False, timeout=timeout)


def test_wrong_scheme(node: Skerryd) -> None:
    says(up(node, "--gateway", "ftp://10.99.0.2"), "ftp", "http")


def test_no_gateway_there_is_said_and_tried_again(lab: Lab, node: Skerryd) -> None:
    away = lab.public("later")
    done = up(node, "--gateway", f"http://{away.address}:8080", "--key", "k", "--timeout", "5")
    says(done, away.address)
    gateway = Gateway(away, "gw-later")
    gateway.start()
    node.up(gateway.url, gateway.key())
    assert node.running()


def test_wrong_and_used_key(lab: Lab, gateway: Gateway, node: Skerryd) -> None:
    says(up(node, "--gateway", gateway.url, "--key", "nonsense"), "key")
    key = gateway.key()
    node.up(gateway.url, key)
    second = Skerryd(lab.public("second"), "second")
    second.start()
    until("the local API answers", second.socket.exists, 10)
    says(up(second, "--gateway", gateway.url, "--key", key), "key", "used")
    second.up(gateway.url, gateway.key())


def test_a_gateway_that_answers_rubbish(lab: Lab, node: Skerryd) -> None:
    host = lab.public("rubbish")
    script = (
        "import socketserver,os\n"
        "class H(socketserver.BaseRequestHandler):\n"
        "    def handle(self):\n"
        "        self.request.recv(4096); self.request.sendall(os.urandom(3000))\n"
        f"socketserver.ThreadingTCPServer(('{host.address}', 8080), H).serve_forever()\n"
    )
    host.start(str(BIN / "python"), "-c", script, log="rubbish")
    done = up(node, "--gateway", f"http://{host.address}:8080", "--key", "k", "--timeout", "6")
    says(done, host.address)
    assert node.cli("status").returncode == 0


def test_port_in_use(lab: Lab, gateway: Gateway) -> None:
    second = [str(BIN / "skerry-gateway"), "serve", "--state", str(lab.path / "gw2"), "--listen", f"{gateway.host.address}:8080"]
    says(gateway.host.run(*second, check=False, timeout=20), "8080", "--listen")


def test_node_port_in_use(lab: Lab) -> None:
    host = lab.public("busy")
    holder = (
        "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('0.0.0.0', 41641)); "
        "print('held', flush=True); time.sleep(60)"
    )
    host.start(str(BIN / "python"), "-c", holder, log="holder")
    until("the port is held", lambda: "held" in (lab.path / "holder.log").read_text(), 10)
    argv = [str(BIN / "skerryd"), "--state", str(lab.path / "busy"), "--socket", str(lab.path / "busy.sock"), "--port", "41641"]
    says(host.run(*argv, check=False, timeout=20), "41641", "--port")


def test_no_tun(lab: Lab) -> None:
    """Without CAP_NET_ADMIN, /dev/net/tun cannot be used."""
    host = lab.public("poor")
    state = lab.path / "poor"
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    argv = [*without, str(BIN / "skerryd"), "--state", str(state), "--socket", str(lab.path / "p.sock")]
    says(host.run(*argv, check=False, timeout=20), "tun", "CAP_NET_ADMIN")


def test_state_directory_that_cannot_be_written(lab: Lab) -> None:
    host = lab.public("readonly")
    folder = lab.path / "readonly"
    folder.mkdir()
    mount = f"mount -t tmpfs -o ro none {folder} && exec \"$@\""
    argv = ["sh", "-c", mount, "sh", str(BIN / "skerryd"), "--state", str(folder), "--socket", str(lab.path / "r.sock")]
    says(host.run(*argv, check=False, timeout=20), str(folder), "writ")


def test_damaged_state_is_said_and_kept_and_the_good_copy_used(gateway: Gateway, node: Skerryd) -> None:
    node.up(gateway.url, gateway.key())
    address = node.address
    node.stop()
    (state,) = [p for p in node.state.iterdir() if p.name == "state.json"]
    state.write_bytes(b'{"version": 1, "machine')
    node.start()
    until("the node runs again", node.running, 20)
    assert node.address == address
    assert "state.json" in node.log()


def test_state_of_a_newer_version_is_refused_and_left_alone(gateway: Gateway, node: Skerryd) -> None:
    node.up(gateway.url, gateway.key())
    node.stop()
    for path in node.state.glob("state.json*"):
        path.write_text('{"version": 999}')
    argv = node.argv()
    says(node.host.run(*argv, check=False, timeout=20), "999", "newer")
    assert (node.state / "state.json").read_text() == '{"version": 999}'


def test_clock_in_1970(lab: Lab, gateway: Gateway) -> None:
    """Joined although the wall clock is at the epoch: a time namespace cannot move it, so the clock is shifted by a preload."""
    library = lab.path / "epoch.so"
    source = lab.path / "epoch.c"
    source.write_text(
        "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <time.h>\n#include <sys/time.h>\n"
        "static int (*real)(clockid_t, struct timespec *);\n"
        "int clock_gettime(clockid_t c, struct timespec *t) { if (!real) real = dlsym(RTLD_NEXT, \"clock_gettime\");\n"
        f"  int r = real(c, t); if (c == CLOCK_REALTIME) t->tv_sec -= {int(time.time())}; return r; }}\n"
        "time_t time(time_t *p) { struct timespec t; clock_gettime(CLOCK_REALTIME, &t); if (p) *p = t.tv_sec; return t.tv_sec; }\n"
        "int gettimeofday(struct timeval *v, void *z) { struct timespec t; (void)z; clock_gettime(CLOCK_REALTIME, &t);\n"
        "  v->tv_sec = t.tv_sec; v->tv_usec = t.tv_nsec / 1000; return 0; }\n"
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    other = Skerryd(lab.public("other"), "other")
    other.start()
    other.up(gateway.url, gateway.key())

    class Old(Skerryd):
        def env(self) -> dict[str, str]:
            return {**super().env(), "LD_PRELOAD": str(library)}

    old = Old(lab.public("old"), "old")
    old.start()
    until("the local API answers", old.socket.exists, 10)
    old.up(gateway.url, gateway.key())
    old.reaches(other.address)
    old.restart()
    old.reaches(other.address)


def test_started_while_the_gateway_is_away_it_reaches_known_peers(lab: Lab, gateway: Gateway) -> None:
    a, b = (Skerryd(lab.public(name), name) for name in ("a", "b"))
    for each in (a, b):
        each.start()
        each.up(gateway.url, gateway.key())
    address = b.address
    a.reaches(address)
    a.stop()
    gateway.stop()
    a.start()
    a.reaches(address, 20)
    status = a.cli("status").stdout
    assert "saved" in status.lower(), status
    gateway.start()
    until("a is connected to the gateway again", lambda: "saved" not in a.cli("status").stdout.lower(), 40)


def test_a_card_in_another_board_makes_a_new_key(lab: Lab, gateway: Gateway, node: Skerryd) -> None:
    node.up(gateway.url, gateway.key())
    before = {n["name"]: n for n in gateway.nodes()}
    node.stop()

    class Other(Skerryd):
        def env(self) -> dict[str, str]:
            return {"SKERRY_BOARD_ID": "another-board"}

    copy = Other(node.host, node.name)
    copy.start()
    until("the daemon says why", lambda: "board" in copy.log().lower(), 10)
    assert not copy.running()
    assert {n["name"]: n for n in gateway.nodes()}.keys() == before.keys()
