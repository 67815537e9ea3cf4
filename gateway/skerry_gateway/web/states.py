"""A node's state as it is shown: by shape and colour (`state`, a class of the style sheet) and by a word."""

from __future__ import annotations

from typing import Any

from skerry_web.words import ago

WORDS = {"waiting": "waiting for approval", "expired": "expired", "online": "online", "offline": "offline"}


def shown(node: dict[str, Any], now: int) -> dict[str, Any]:
    """The admin verbs' node with `state`, `word` and `seen` added."""
    state = state_of(node, now)
    seen = "now" if node["online"] else ago(node["last_seen_ms"], now)
    return {**node, "state": state, "word": WORDS[state], "seen": seen}


def state_of(node: dict[str, Any], now: int) -> str:
    if not node["approved"]:
        return "waiting"
    if node["expires_ms"] is not None and node["expires_ms"] <= now:
        return "expired"
    return "online" if node["online"] else "offline"
