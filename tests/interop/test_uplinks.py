"""Uplinks and clocks as they are out there: one IP version only, a link renamed, no default route for a while, a clock years off; and a key
that ended, with the same name and address after the next sign-in."""

import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.netlab import Host, Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]
YEARS = 365 * 86_400


class Both(Gateway):
    """A gateway with a name, on IPv4 and IPv6."""

    named = "http://gw.lab:8080"

    def argv(self) -> list[str]:
        both = {f"{self.host.address}:{port}": f":{port}" for port in (self.port, 3478)}
        return [{self.url: self.named, **both}.get(word, word) for word in super().argv()]


def knows(host: Host, gateway: Host) -> Host:
    """With the gateway's name in its hosts file."""
    with open(host.own_etc("") / "hosts", "a") as hosts:
        hosts.write(f"\n{gateway.address} gw.lab\n{gateway.address6} gw.lab\n")
    return host


def only(host: Host, version: int) -> Host:
    """Without the other version of IP."""
    if version == 6:
        host.ip("-4", "addr", "flush", "dev", "wan")
    else:
        host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    return host


def joined(host: Host, name: str, url: str, key: str, kind: type[Skerryd] = Skerryd) -> Skerryd:
    node = kind(host, name)
    node.start()
    node.up(url, key)
    return node


def is_direct(node: Skerryd, name: str) -> bool:
    row = next(row for row in node.own_status()["peers"] if row["name"] == name)
    return row["path"]["kind"] == "direct"


def test_uplinks_of_one_ip_version(lab: Lab) -> None:
    """Two of each: peers of a kind directly, the others through the relay, which has both."""
    host = lab.public("gateway")
    gateway = Both(knows(host, host), "gw")
    gateway.start()
    key = gateway.key("owner", "--reusable")
    six, six2, four, four2 = (
        joined(only(knows(lab.public(name), host), version), name, gateway.named, key)
        for name, version in (("six", 6), ("six2", 6), ("four", 4), ("four2", 4))
    )
    for one, other in ((six, six2), (four, four2)):
        one.reaches(other.address)
        until(f"{one.name} and {other.name} are direct", lambda one=one, other=other: is_direct(one, other.name), 20)
    six.reaches(four.address)
    assert not is_direct(six, "four") and not is_direct(four, "six")


def test_an_uplink_renamed_and_a_default_route_gone(lab: Lab, gateway: Gateway) -> None:
    router = lab.router("home")
    key = gateway.key("owner", "--reusable")
    node, peer = joined(lab.behind(router, "node"), "node", gateway.url, key), joined(lab.public("peer"), "peer", gateway.url, key)
    node.reaches(peer.address)
    host = node.host
    host.ip("link", "set", "eth0", "down")
    host.ip("link", "set", "eth0", "name", "uplink7")
    host.ip("link", "set", "uplink7", "up")
    way = router.ip("-4", "-j", "addr", "show", "dev", "lan").partition('"local":"')[2].partition('"')[0]
    host.ip("route", "replace", "default", "via", way)
    node.reaches(peer.address)
    host.ip("route", "del", "default")
    ping = ["ping", "-c1", "-W1", peer.address]
    until("nothing passes", lambda: host.run(*ping, check=False).returncode, 10)
    host.ip("route", "add", "default", "via", way)
    node.reaches(peer.address)
    until("the gateway is there", lambda: node.own_status()["connected"], 60)
    assert node.process is not None and node.process.poll() is None


def clock_off_by(folder: Path, seconds: int) -> Path:
    """A library that shifts the wall clock of whoever preloads it: time namespaces have no wall clock."""
    library, source = folder / f"clock{seconds}.so", folder / f"clock{seconds}.c"
    source.write_text(
        "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <time.h>\n#include <sys/time.h>\n"
        "static int (*real)(clockid_t, struct timespec *);\n"
        "int clock_gettime(clockid_t c, struct timespec *t) { if (!real) real = dlsym(RTLD_NEXT, \"clock_gettime\");\n"
        f"  int r = real(c, t); if (c == CLOCK_REALTIME) t->tv_sec += {seconds}L; return r; }}\n"
        "time_t time(time_t *p) { struct timespec t; clock_gettime(CLOCK_REALTIME, &t); if (p) *p = t.tv_sec; return t.tv_sec; }\n"
        "int gettimeofday(struct timeval *v, void *z) { struct timespec t; (void)z; clock_gettime(CLOCK_REALTIME, &t);\n"
        "  v->tv_sec = t.tv_sec; v->tv_usec = t.tv_nsec / 1000; return 0; }\n"
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def test_clocks_years_off(lab: Lab, gateway: Gateway) -> None:
    """It joins, reaches and is reached, with a clock ahead, then behind, then right: each a start with the state of the one before."""
    key = gateway.key("owner", "--reusable")
    peer = joined(lab.public("peer"), "peer", gateway.url, key)
    shift = {"by": 9 * YEARS}
    libraries = {seconds: str(clock_off_by(lab.path, seconds)) for seconds in (9 * YEARS, -9 * YEARS)}

    class Off(Skerryd):
        def env(self) -> dict[str, str]:
            preload = {"LD_PRELOAD": libraries[shift["by"]]} if shift["by"] else {}
            return {**super().env(), **preload}

    node = joined(lab.public("node"), "node", gateway.url, key, Off)
    address = node.address
    node.reaches(peer.address)
    peer.reaches(address)
    for shift["by"] in (-9 * YEARS, 0, 9 * YEARS):
        node.restart()
        node.reaches(peer.address)
        peer.reaches(address)
        until("the gateway is there", lambda: node.own_status()["connected"], 20)
    assert node.address == address


def test_a_key_that_ended_and_the_next_sign_in(lab: Lab, gateway: Gateway) -> None:
    """The gateway ends the node's key: it says what to do, and `skerry up` with a new key gives the same name and address back."""
    node, peer = (joined(lab.public(name), name, gateway.url, gateway.key()) for name in ("node", "peer"))
    address, far = node.address, peer.address
    node.reaches(far)
    gateway.cli("nodes", "expire", str({row["name"]: row["id"] for row in gateway.nodes()}["node"]))
    until("the node knows", lambda: node.own_status()["state"] == "NeedsLogin", 20)
    assert node.host.run("ping", "-c1", "-W1", far, check=False).returncode
    assert "skerry up" in node.cli("status").stdout or "open" in node.cli("status").stdout, node.cli("status").stdout
    node.up(gateway.url, gateway.key())
    assert (node.address, node.own_status()["self"]["name"]) == (address, "node")
    node.reaches(far)
    peer.reaches(address)
    assert len(gateway.nodes()) == 2


def test_a_key_that_ended_and_a_sign_in_without_another(lab: Lab, gateway: Gateway) -> None:
    """As before, by the gateway's page; `skerry up` says the link and the code, and goes on by itself once the node is let in."""
    node = joined(lab.public("node"), "node", gateway.url, gateway.key())
    address = node.address
    gateway.cli("nodes", "expire", str(gateway.nodes()[0]["id"]))
    until("the node knows", lambda: node.own_status()["state"] == "NeedsLogin", 20)
    asked = node.cli("up", "--timeout", "3", check=False)
    assert asked.returncode == 1 and f"{gateway.url}/register/" in asked.stdout, asked.stdout + asked.stderr
    code = node.own_status()["auth_code"]
    gateway.cli("nodes", "approve", code, "--user", "owner")
    until("the node is back", lambda: node.own_status()["state"] == "Running", 30)
    assert node.address == address and [row["name"] for row in gateway.nodes()] == ["node"]


def test_a_sign_in_link_whose_time_is_over(gateway: Gateway) -> None:
    """It signs nobody in, and says so; the next link does."""

    def tried(link: str) -> tuple[int, str, str]:
        request = urllib.request.Request(link, b"", {"Origin": gateway.url}, method="POST")
        try:
            with urllib.request.build_opener(NoRedirect).open(request, timeout=10) as answer:
                return answer.status, answer.headers.get("Set-Cookie", ""), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Set-Cookie", ""), error.read().decode()

    short, good = (str(gateway.cli("users", "link", "owner", "--expires", life)["url"]) for life in ("1s", "1h"))
    until("it is over", lambda: tried_get(short) == 404, 20)
    status, cookie, page = tried(short)
    assert (status, cookie) == (404, "") and "link" in page
    status, cookie, _ = tried(good)
    assert status == 303 and cookie


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The answer itself."""

    def redirect_request(self, *_: object) -> None:
        return None


def tried_get(link: str) -> int:
    """The status of looking at a link, which burns nothing."""
    try:
        with urllib.request.urlopen(link, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_no_secret_in_the_log_of_a_join(lab: Lab, gateway: Gateway) -> None:
    """A whole life with a key, everything said: neither the pre-auth key nor a private one is in it."""

    class Loud(Skerryd):
        def argv(self) -> list[str]:
            return [*super().argv(), "--verbose"]

    key = gateway.key("owner", "--reusable")
    node, peer = joined(lab.public("node"), "node", gateway.url, key, Loud), joined(lab.public("peer"), "peer", gateway.url, key)
    node.reaches(peer.address)
    node.restart()
    node.reaches(peer.address)
    state = (node.state / "state.json").read_text()
    text = node.log() + gateway.log()
    assert "state: Running" in text
    secrets = [value for value in private(state) if value in text]
    assert key not in text and not secrets
    assert len(private(state)) == 3, "there were keys to look for"


def private(state: str) -> list[str]:
    """The private keys in a saved state."""
    return re.findall(r'"(?:machine|node|disco)_key": ?"([0-9a-f]{64})"', state)
