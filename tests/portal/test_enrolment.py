"""A person with a phone enrols a board: the portal, the gateway's page, and an official client that reaches the new node."""

import re

import pytest

from tests.netlab.programs import Tailscaled
from tests.portal.browser import DESKTOP, PHONE
from tests.portal.conftest import owner_link


def enter(browser, board):
    """Past the code."""
    browser.open(board.portal.url)
    browser.fill(code=board.code)
    browser.press("Open")
    browser.one("nav")


@pytest.fixture(scope="module")
def official(lab, gateway):
    made = Tailscaled(lab.public("laptop"), "laptop")
    made.start()
    made.up(gateway.url, gateway.key())
    return made


def test_a_phone_enrols_the_board_and_an_official_client_reaches_it(browser, board, gateway, official, picture):
    browser.open(owner_link(gateway))
    browser.press("Sign in as owner")
    browser.says("Sign out")
    browser.size(*PHONE)
    browser.open(board.portal.url)
    picture("portal-code")
    browser.fill(code=board.code.lower().replace("-", " "))
    browser.press("Open")
    browser.fill(gateway=gateway.url, hostname="porch")
    picture("portal-enrol")
    browser.press("Enrol")
    portal = browser.ask("GET", "/window")
    link = browser.one(".pair a").attribute("href")
    assert link.startswith(f"{gateway.url}/register/")
    code = browser.one("p.code").text
    picture("portal-sign-in")
    tab = browser.ask("POST", "/window/new", {"type": "tab"})["handle"]
    browser.ask("POST", "/window", {"handle": tab})
    browser.open(link)
    assert browser.one(".code").text == code  # both show the same
    assert "porch" in browser.text
    browser.press("Let it in")
    browser.says("porch is in")
    browser.ask("DELETE", "/window")
    browser.ask("POST", "/window", {"handle": portal})
    browser.says("Connected to")  # by itself
    browser.says("laptop")
    assert re.search(r"100\.64\.0\.\d+", browser.text)
    official.reaches(board.node.address)
    board.node.reaches(official.address)
    browser.until(lambda: "direct" in browser.text, "the direct path, live")
    picture("portal-status-phone")
    browser.size(*DESKTOP)
    picture("portal-status")
    official.host.run("ping", "-c", "20", "-i", "0.05", "-s", "1000", board.node.address, timeout=60)
    browser.open(board.portal.url + "/data")
    assert browser.until(lambda: "To devices, directly" in browser.text, "bytes on the data page")
    row = next(row.text for row in browser.all("tr") if "To devices, directly" in row.text)
    amounts = [float(number) for number in re.findall(r"([\d.]+) kB", row)]
    assert len(amounts) == 2 and all(21 <= amount < 90 for amount in amounts), row  # 20 echoes of 1060 bytes at least, each way
    assert "Gateway" in browser.text and row.startswith("wan ")
    picture("portal-data")
    browser.open(board.portal.url + "/network")
    assert "wan" in browser.text and f"{board.node.host.address}/16" in browser.text and "gets through" in browser.text
    picture("portal-network")
    browser.open(board.portal.url)
    browser.press("laptop")
    browser.says("Why so")
    assert "laptop is reached directly" in browser.text
    picture("portal-why")
    assert browser.complaints() == []


def test_a_key_enrols_without_anybody_signing_in_and_without_script(browser, board, gateway):
    browser.script(False)
    enter(browser, board)
    browser.fill(gateway=gateway.url, key=gateway.key())
    browser.press("Enrol")

    def reloaded():
        browser.ask("POST", "/refresh", {})
        return "Connected to" in browser.text

    browser.until(reloaded, "the status page")
    browser.press("Leave the network")
    browser.press("Leave the network")
    browser.says("Enrol this board")
    assert board.node.own_status()["self"]["addresses"] == []
