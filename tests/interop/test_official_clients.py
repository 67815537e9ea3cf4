"""Two official clients in our network: joining, direct through NATs, relayed, renamed, removed."""

import http.cookiejar
import re
import subprocess
import threading
import urllib.parse
import urllib.request

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Skerryd, Tailscaled, loses_access

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


def pair(lab: Lab, kinds: tuple[str, str] = ("easy", "easy")) -> tuple[Tailscaled, Tailscaled]:
    """Two clients, each behind a router of its own, started but not signed in."""
    made = []
    for name, kind in zip(("red", "blue"), kinds, strict=True):
        node = Tailscaled(lab.behind(lab.router(f"r-{name}", kind), name), name)
        node.start()
        made.append(node)
    return made[0], made[1]


def join(gateway: Gateway, *nodes: Tailscaled) -> None:
    for node in nodes:
        node.up(gateway.url, gateway.key())


def direct(a: Tailscaled, b: Tailscaled) -> bool:
    a.official("ping", "--c=1", "--timeout=2s", b.address, check=False)
    return any(b.address in peer["TailscaleIPs"] and peer["CurAddr"] for peer in a.status()["Peer"].values())


def test_join_by_key_and_go_direct_through_two_nats(lab: Lab, gateway: Gateway) -> None:
    red, blue = pair(lab)
    join(gateway, red, blue)
    red.reaches(blue.address)
    blue.reaches(red.address6)
    until("red reaches blue directly", lambda: direct(red, blue), 30)
    until("blue reaches red directly", lambda: direct(blue, red), 30)
    assert red.peer("blue")["CurAddr"].startswith(blue.host.router.address + ":")

    before = gateway.host.bytes_on("wan")
    blue.serve()
    red.transfer("get", blue.address, 20_000_000)
    after = gateway.host.bytes_on("wan")
    assert after[0] - before[0] < 200_000, "the transfer went through the gateway"


@pytest.mark.parametrize("kind", [Tailscaled, Skerryd])
def test_join_by_sign_in_link(lab: Lab, gateway: Gateway, kind: type[Tailscaled] | type[Skerryd]) -> None:
    """The same for the official client and for ours."""
    red = kind(lab.behind(lab.router("r-red"), "red"), "red")
    red.start()
    up = threading.Thread(target=lambda: red.up(gateway.url, timeout=90))
    up.start()
    url = str(until("the client shows the link", lambda: red.status().get("AuthURL"), 30))
    assert url.startswith(gateway.url + "/")
    assert not gateway.nodes(), "nobody is in before a person said so"

    sign_in_and_approve(gateway, gateway.cli("users", "link", "owner")["url"], url)
    up.join(60)
    assert not up.is_alive()
    until("red runs", red.running, 20)
    assert [n["name"] for n in gateway.nodes()] == ["red"]


def sign_in_and_approve(gateway: Gateway, link: str, approval: str) -> None:
    """What a person does: open the link, press the button, open the page that the client showed, press its button."""
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    for address in (link, approval):
        page = browser.open(address, timeout=10).read().decode()
        form = next((f for f in re.findall(r"<form.*?</form>", page, re.S) if 'class="main"' in f), None)
        assert form, page
        button = re.search(r'<button class="main"(?: name="([^"]*)" value="([^"]*)")?', form)
        action = re.search(r'<form[^>]*action="([^"]*)"', form)
        fields = {button[1]: button[2]} if button and button[1] else {}
        target = urllib.parse.urljoin(address, action[1] if action else "")
        browser.open(urllib.request.Request(target, urllib.parse.urlencode(fields).encode(), {"Origin": gateway.url}), timeout=10)


def test_relayed_when_udp_is_blocked(lab: Lab, gateway: Gateway) -> None:
    red, blue = pair(lab)
    for node in (red, blue):
        node.host.router.block_udp("forward")
    join(gateway, red, blue)
    red.reaches(blue.address, 40)
    peer = red.peer("blue")
    assert not peer["CurAddr"]
    assert peer["Relay"]
    before = gateway.host.bytes_on("wan")
    blue.serve()
    red.transfer("get", blue.address, 5_000_000)
    after = gateway.host.bytes_on("wan")
    assert after[0] - before[0] > 5_000_000, "the transfer did not go through the gateway"


def test_rename_and_removal(lab: Lab, gateway: Gateway) -> None:
    red, blue = pair(lab)
    join(gateway, red, blue)
    red.reaches(blue.address)
    ids = {n["name"]: str(n["id"]) for n in gateway.nodes()}
    gateway.cli("nodes", "rename", ids["blue"], "azure")
    until("red sees the new name", lambda: red.peer("azure"), 5)
    until("blue knows its new name", lambda: blue.status()["Self"]["DNSName"].startswith("azure."), 5)
    until("red reaches blue directly", lambda: direct(red, blue), 30)
    loses_access(gateway, red, blue, "azure")
    assert red.peer("azure") is None
    assert [n["name"] for n in gateway.nodes()] == ["red"]


def test_removal_when_relayed(lab: Lab, gateway: Gateway) -> None:
    red, blue = pair(lab)
    red.host.router.block_udp("forward")
    join(gateway, red, blue)
    red.reaches(blue.address, 40)
    loses_access(gateway, red, blue, "blue")


def refused(node: Tailscaled, gateway: Gateway, key: str) -> subprocess.CompletedProcess[str]:
    """What `tailscale up` says with that key."""
    arguments = ["up", f"--login-server={gateway.url}", f"--auth-key={key}", "--accept-dns=false", "--timeout=15s"]
    return node.official(*arguments, check=False, timeout=30)


def test_wrong_and_used_keys_are_refused_in_words(lab: Lab, gateway: Gateway) -> None:
    red, blue = pair(lab)
    wrong = refused(red, gateway, "nonsense")
    assert wrong.returncode != 0
    assert "key" in (wrong.stdout + wrong.stderr).lower()
    key = gateway.key()
    red.up(gateway.url, key)
    used = refused(blue, gateway, key)
    assert used.returncode != 0
    assert "key" in (used.stdout + used.stderr).lower()
