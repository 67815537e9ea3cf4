"""Rekeys with the official client over five real minutes, under a steady ping. The stage runs it beside the other interop tests."""

from datetime import datetime
from typing import Any

import pytest

from tests.interop.test_skerryd_with_official import goes_direct, network
from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway

pytestmark = [pytest.mark.interop, pytest.mark.timeout(420)]

SECONDS = 300
REKEY = 120  # WireGuard's REKEY_AFTER_TIME


def test_rekeys_over_five_minutes_lose_nothing(lab: Lab, gateway: Gateway) -> None:
    """Both sides ping twice a second; no echo may be lost, and both sides must have seen each rekey."""
    ours, theirs = network(lab, gateway, "easy")
    ours.reaches(theirs.address)
    goes_direct(ours, theirs)
    goes_direct(theirs, ours)
    pings = [
        one.host.start("ping", "-i", "0.5", "-c", str(SECONDS * 2), other.address, log=f"{one.name}-steady")
        for one, other in ((ours, theirs), (theirs, ours))
    ]
    seen: dict[str, list[float]] = {"ours": [], "theirs": []}

    def over() -> bool:
        note(seen["ours"], ours.peer("theirs"))
        note(seen["theirs"], theirs.peer("ours"))
        return all(ping.poll() is not None for ping in pings)

    until("the pings are over", over, SECONDS + 30, 5)
    for node in (ours, theirs):
        text = (lab.path / f"{node.name}-steady.log").read_text()
        assert " 0% packet loss" in text, text[-300:]
        assert len(seen[node.name]) >= 1 + SECONDS // REKEY, f"sessions that {node.name} saw: {seen[node.name]}"


def note(seen: list[float], peer: dict[str, Any] | None) -> None:
    """Add when the peer's session was made, if that is a new one: a status may be a second off."""
    made = datetime.fromisoformat((peer or {})["LastHandshake"]).timestamp()
    if not seen or made > seen[-1] + REKEY / 4:
        seen.append(made)
