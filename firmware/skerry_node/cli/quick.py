"""The usual command lines, read without argparse: to load that takes as long as the rest of a command.

`read(argv)` gives what parser.py gives, or None where a word is not plainly known: then argparse decides, and explains.
"""

from __future__ import annotations

from types import SimpleNamespace

from . import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# command: what it has when nothing is said, the options that take a text, the words it needs
COMMANDS: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "up": (
        dict.fromkeys(("gateway", "key", "timeout", "advertise_routes", *commands.SETTINGS)),
        ("gateway", "key", "hostname"),
        (),
    ),
    "down": ({}, (), ()),
    "status": ({"verbose": False, "search": None, "online": False, "watch": False}, (), ()),
    "ping": ({"count": 10, "until_direct": True}, (), ("peer",)),
    "netcheck": ({}, (), ()),
    "why": ({}, (), ("peer",)),
    "code": ({"new": False}, (), ()),
    "logout": ({}, (), ()),
}


def read(argv: list[str]) -> Any:
    """The arguments as an object like argparse's, or None."""
    words = list(argv)
    found: dict[str, Any] = {}
    command = ""
    texts: tuple[str, ...] = ("socket",)
    needed: list[str] = []
    while words:
        word = words.pop(0)
        name, equals, value = word[2:].partition("=")
        if word == "--json":
            found["json"] = True
        elif word.startswith("--") and name in texts:
            if not equals:
                value = words.pop(0) if words else "-"
            if not value or value.startswith("-"):
                return None
            found[name] = value
        elif word.startswith("-") or not word:
            return None
        elif not command:
            if word not in COMMANDS:
                return None
            command = word
            defaults, texts, wanted = COMMANDS[word]
            found, texts, needed = {**defaults, **found}, ("socket", *texts), list(wanted)
        elif needed:
            found[needed.pop(0)] = word
        else:
            return None
    if not command or needed:
        return None
    return SimpleNamespace(function=getattr(commands, command), **found)
