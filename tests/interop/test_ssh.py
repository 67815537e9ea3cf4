"""SSH of the official client, as our policy allows it: held until the person confirms, let in, refused after a change of policy."""

import json
import re

import pytest

from tests.interop.test_official_clients import sign_in_and_approve
from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]
OPTIONS = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20")


def set_policy(lab: Lab, gateway: Gateway, ssh: list[dict[str, object]]) -> None:
    path = lab.path / "policy.hujson"
    path.write_text(json.dumps({"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}], "ssh": ssh}))
    gateway.cli("policy", "set", str(path))


def test_a_login_is_held_until_its_person_confirms(lab: Lab, gateway: Gateway) -> None:
    rule = {"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"]}
    set_policy(lab, gateway, [rule])
    red, blue = (Tailscaled(lab.public(name), name) for name in ("red", "blue"))
    for node in (red, blue):
        node.start()
        node.up(gateway.url, gateway.key(), *(["--ssh"] if node is blue else []))
    red.reaches(blue.address)
    command = ["ssh", *OPTIONS, f"root@{blue.address}", "echo in"]
    session = red.host.start(*command, log="ssh")
    log = lab.path / "ssh.log"
    found = until("the login shows the page", lambda: re.search(r"http\S+/ssh/\S+", log.read_text(errors="replace")), 30)
    assert isinstance(found, re.Match)
    sign_in_and_approve(gateway, gateway.cli("users", "link", "owner")["url"], found[0])
    until("the login goes on", lambda: session.poll() is not None, 30)
    assert session.returncode == 0 and "\nin" in "\n" + log.read_text().replace("\r", "")

    again = red.host.run(*command, timeout=60)
    assert again.stdout.strip() == "in", "within the period nobody is asked"
    other = red.host.run("ssh", *OPTIONS, f"nobody@{blue.address}", "echo in", check=False)
    assert other.returncode and "in" not in other.stdout.split()
    set_policy(lab, gateway, [])
    until("logins are refused", lambda: red.host.run(*command, check=False).returncode != 0, 10)
