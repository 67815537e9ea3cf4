"""The agent as the portal sees it: one POST per call over the portal's socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

SECONDS = 75  # the agent answers within 60


class Away(Exception):
    """skerryd does not answer."""


class Said(Exception):
    """skerryd refused: its sentence, the HTTP `status`, and `wait` in ms for a sign-in that came too soon."""

    def __init__(self, status: int, sentence: str, wait: int = 0) -> None:
        super().__init__(sentence)
        self.status, self.wait = status, wait


class Agent:
    """Calls on the socket at `path`. Away, Said."""

    def __init__(self, path: str) -> None:
        self.path = path

    def _client(self, seconds: float | None) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=seconds)
        return aiohttp.ClientSession(connector=aiohttp.UnixConnector(self.path, force_close=True), timeout=timeout)

    async def call(self, verb: str, /, **fields: str) -> Any:
        """The decoded answer."""
        try:
            async with self._client(SECONDS) as client, client.post(_address(verb), data=json.dumps(fields)) as answer:
                document = json.loads(await answer.read())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Away(str(error)) from None
        if answer.status != 200:
            raise Said(answer.status, str(document.get("error", "")), int(document.get("wait", 0)))
        return document

    async def watch(self, session: str, seconds: float) -> AsyncIterator[None]:
        """Yields whenever something happened or `seconds` passed. Ends when the agent does."""
        try:
            async with self._client(None) as client, client.post(_address("watch"), data=json.dumps({"session": session})) as answer:
                while answer.status == 200:
                    try:
                        if not await asyncio.wait_for(answer.content.readline(), seconds):
                            return
                    except TimeoutError:
                        pass
                    yield
        except (aiohttp.ClientError, OSError):
            return


def _address(verb: str) -> str:
    return f"http://local-skerryd.sock/portal/v0/{verb}"
