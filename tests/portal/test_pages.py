"""The pages on a phone and on a desk: the way from the console, the keyboard alone, nothing wider than the screen, in both themes."""

import os
import re
import socket
import subprocess

import pytest

from tests.netlab.lab import until
from tests.netlab.programs import BIN
from tests.portal.browser import DESKTOP, PHONE
from tests.portal.conftest import owner_link
from tests.portal.test_enrolment import enter

TAB, RETURN = "\ue004", "\ue007"


def test_the_consoles_link_opens_the_form_filled_in(browser, board, gateway, picture):
    browser.open(owner_link(gateway))
    browser.press("Sign in as owner")
    browser.says("Sign out")
    host = f"{board.node.host.address}:{board.portal.port}"
    browser.open(f"{gateway.url}/connect?board={host}")
    picture("console-connect")
    for first in (True, False):  # without a session, and with one, whose cookie does not come along from another site
        browser.open(f"{gateway.url}/connect?board={host}")
        browser.press("Open the board's portal")
        if first:
            browser.fill(code=board.code)
            browser.press("Open")
        form = browser.one("[name=gateway]")
        assert re.fullmatch(re.escape(gateway.url) + "#mkey:[0-9a-f]{64}", form.attribute("value"))
    assert not board.node.own_status()["wanted"]  # a link fills in and sends nothing
    browser.press("Enrol")
    browser.one("p.code")
    assert browser.complaints() == []


def focus(browser):
    script = "const e = document.activeElement; return [e.name || e.textContent.trim(), getComputedStyle(e).outlineStyle]"
    return browser.run(script)


def test_the_keyboard_alone_is_enough(browser, board, gateway):
    def press(keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        browser.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    browser.open(board.portal.url)
    browser.one("[name=code]")
    assert focus(browser)[0] == "code"  # no click is needed to begin
    press(board.code + RETURN)
    browser.one("[name=gateway]")
    met = []
    while "gateway" not in met:
        press(TAB)
        name, outline = focus(browser)
        assert outline != "none", name
        met.append(name)
        assert len(met) < 12, met
    assert met == ["Skerry", "Status", "Network", "Data", "Check", "Log", "Sign out", "gateway"]
    press(gateway.url + TAB + gateway.key() + RETURN)
    browser.says("Connected to")


@pytest.mark.parametrize("size", [PHONE, (320, 640), DESKTOP])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_is_wider_than_the_screen(browser, board, gateway, size, theme, picture):
    def fits():
        browser.one("main")
        wide, room = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= room, (browser.address, wide, room)

    browser.size(*size, theme)
    browser.open(board.portal.url)
    fits()
    enter(browser, board)
    fits()
    board.node.up(gateway.url, gateway.key())
    for path in ("/", "/network", "/data", "/check", "/log", "/leave", "/nothing"):
        browser.open(board.portal.url + path)
        fits()
    browser.open(board.portal.url + "/check")
    browser.says("Packets dropped")
    assert "answers." in (text := browser.one("main").text) and "The clock agrees" in text and "cipher" in text
    browser.open(board.portal.url)
    browser.says("Connected")
    fits()
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == {"light": "rgb(247, 247, 245)"}.get(
        theme, "rgb(20, 24, 26)"
    )
    if size == PHONE and theme == "dark":
        picture("portal-status-dark")


def test_the_process_takes_systemds_socket_and_ends_when_idle(board, lab):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        agent = str(board.node.socket).removesuffix(".sock") + "-portal.sock"
        script = f'exec 3<&{listening.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
        argv = ["bash", "-c", script, "bash", str(BIN / "skerry-portal"), "--agent", agent, "--idle", "2"]
        process = subprocess.Popen(argv, pass_fds=[listening.fileno()], env=os.environ)
        lab.processes.append(process)
        with socket.create_connection(listening.getsockname(), 60) as visitor:
            visitor.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            visitor.settimeout(60)
            assert visitor.recv(100).startswith(b"HTTP/1.1 401")
        until("the end of the idle process", lambda: process.poll() is not None, 60)
        assert process.returncode == 0


def test_without_a_socket_it_says_how_to_run():
    done = subprocess.run([BIN / "skerry-portal"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "systemctl enable --now skerry-portal.socket" in done.stderr
    done = subprocess.run([BIN / "skerry-portal", "--listen", "8081"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "expected ADDR:PORT" in done.stderr
