"""What the portal says: the node's state in a heading and a sentence, and what became of an enrolment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skerry_node.portal.site import sentence

VERDICTS = {"good": "online", "warning": "waiting", "bad": "expired"}  # classes of the style sheet
CHECKS = {
    "uplink": "Uplink",
    "mtu": "MTU",
    "clock": "Clock",
    "dns": "DNS",
    "firewall": "Firewall",
    "gateway": "Gateway",
    "relay": "Relay",
    "keys": "Keys",
}


@dataclass(frozen=True)
class Headline:
    """`state` is a class of the style sheet; `title` a word or two beside its shape, `text` the sentence under it."""

    state: str
    title: str
    text: str


def headline(shown: dict[str, Any]) -> Headline:
    """Is it all right? in one sentence."""
    gateway, error = shown["gateway"].partition("#")[0], shown["error"]
    if shown["joining"]:
        return _joining(shown, gateway)
    state = shown["state"]
    if state == "NeedsLogin":
        return Headline("offline", "Not enrolled", "This board is not a member of a network yet.")
    if state == "Stopped":
        return Headline("offline", "Disconnected", f"This board is a member at {gateway} and was told to stay away from the network.")
    if state == "NeedsMachineAuth":
        return Headline("waiting", "Waiting for approval", f"The owner of the network has to approve this board at {gateway}.")
    if shown["connected"]:
        peers = [row for row in shown["peers"] if row["online"]]
        return Headline("online", "Connected", f"Connected to {gateway}. {others(len(peers), len(shown['peers']))}")
    if shown["self"]["addresses"]:
        why = f" {sentence(error)}" if error else ""
        return Headline("waiting", "Gateway away", f"{gateway} does not answer now; known devices are reached without it.{why}")
    return Headline("waiting", "Connecting", sentence(error) if error else f"Connecting to {gateway} ...")


def others(online: int, known: int) -> str:
    """How many of the other devices are there."""
    if not known:
        return "No other device can be seen from here yet."
    if known == 1:
        return "The other device is online." if online else "The other device is offline."
    return f"All {known} other devices are online." if online == known else f"{online} of {known} other devices are online."


def _joining(shown: dict[str, Any], gateway: str) -> Headline:
    if shown["auth_url"]:
        text = f"{gateway} wants a person to let this board in."
        if shown["error"]:
            text += f" Last trouble: {sentence(shown['error'])} This board goes on trying; the link may change."
        return Headline("waiting", "Sign in to finish", text)
    if shown["error"]:
        text = f"{sentence(shown['error'])} This board goes on trying; stop it to enter something else."
        return Headline("waiting", "Enrolling", text)
    return Headline("waiting", "Enrolling", f"Asking {gateway} ...")


def refused(text: str) -> str:
    """Why a gateway refused, and what to do about it."""
    return f"{sentence(text)} Nothing was changed on this board. Check the gateway's address and the key, or leave the key out and sign in."
