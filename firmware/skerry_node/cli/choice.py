"""`skerry status` of some peers alone, and again and again: TEXT, --online, --watch."""

from __future__ import annotations

import argparse
import select
import sys
from typing import Any

from . import commands, output
from .client import Client

WATCH_EVERY = 2  # s
CLEAR = "\x1b[H\x1b[2J"


class Chosen(Client):
    """A client that sees no other peers."""

    def __init__(self, client: Client, search: str | None, online: bool) -> None:
        self._client, self._search, self._online = client, search, online

    def call(self, *arguments: Any, **named: Any) -> Any:
        """The answer, with those peers alone."""
        document = self._client.call(*arguments, **named)
        return {**document, "peers": output.chosen(document, self._search, self._online)}


def show(client: Client, arguments: argparse.Namespace) -> int:
    """Once, or until Ctrl-C."""
    chosen = Chosen(client, arguments.search, arguments.online)
    plain = argparse.Namespace(**{**vars(arguments), "search": None, "online": False, "watch": False})
    while True:
        if arguments.watch and sys.stdout.isatty():
            print(CLEAR, end="")
        code = commands.status(chosen, plain)
        if not arguments.watch:
            return code
        sys.stdout.flush()
        select.select([], [], [], WATCH_EVERY)
