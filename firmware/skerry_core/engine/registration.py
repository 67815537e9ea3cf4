"""Registration: who we are to the gateway. What the answer means, in this order:

    HTTP 429                 wait as told
    HTTP 409, SkerryCopied   our state is a copy of another device's: new keys, once (life.py)
    other than 200           error, back off (401: the key was refused)
    Error                    show it, back off; nothing but another command helps
    NodeKeyExpired           a new node key, once
    AuthURL                  show it, ask again with Followup=AuthURL; that answer comes when the person is done
    otherwise                in: the map poll begins

An auth key lives in memory until it worked. Logging out is a registration that expires in 1970; keys and map are gone after it
whatever the gateway answers, and the machine key stays.
"""

from skerry_core.engine.hostinfo import hostinfo
from skerry_core.errors import PeerError
from skerry_core.tailcfg import register
from skerry_core.tailcfg.keys import ZERO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.control import Control
    from skerry_core.engine.engine import Engine

TIMEOUT, FOLLOWUP, SAME_URL = 30_000, 600_000, 5_000


class Registration:
    """One conversation about /machine/register."""

    def __init__(self, engine: "Engine", control: "Control") -> None:
        self._engine, self._control = engine, control
        self.auth_key = ""
        self.auth_url = ""
        self._followup = ""
        self._old_key = ZERO
        self._rotated = False
        self._status, self._headers, self._body = 0, {}, b""  # type: int, dict[str, str], bytes
        self._logout: Any = None
        self.leaving = False
        self._request: int | None = None

    def reset(self) -> None:
        """The connection is gone; a link that was shown stays good, a farewell that was not heard counts as said."""
        self._request = None
        self._rotated = False
        if self.leaving:
            self._left("the connection was lost")

    def begin(self) -> None:
        """The connection is up: register, or log out if that is what it was made for."""
        self._send(self.auth_url)

    def log_out(self, token: "Any") -> None:
        """Say good-bye with the current keys, then call engine.life.logged_out_now()."""
        self._logout, self.leaving = token, True
        channel = self._control.channel
        if channel is None or not channel.up:
            self._left("")
            return
        if self._request is not None:
            channel.cancel(self._request)
        self._control.watch(TIMEOUT)
        document = register.request(self._control.version, self._engine.node_public, hostinfo(self._engine), expiry_ms=register.LOGOUT)
        self._post(document)

    def _send(self, followup: str) -> None:
        engine = self._engine
        self._followup = followup
        document = register.request(
            self._control.version, engine.node_public, hostinfo(engine), auth_key=self.auth_key, old_node_key=self._old_key,
            followup=followup, ephemeral=bool(engine.config.get("ephemeral")),
        )  # fmt: skip
        self._control.watch(FOLLOWUP if followup else TIMEOUT)
        self._post(document)

    def _post(self, document: "dict[str, Any]") -> None:
        assert self._control.channel is not None
        self._status, self._headers, self._body = 0, {}, b""
        headers = register.routing_headers(self._engine.node_public, self._old_key)
        self._request = self._control.channel.request("/machine/register", document, headers, self._answer)

    def _answer(self, kind: str, *rest: "Any") -> None:
        if kind == "headers":
            self._status, self._headers = rest[0], rest[1]
        elif kind == "data":
            self._body += rest[0]
            if len(self._body) > register.RESPONSE_LIMIT:
                raise PeerError(f"a registration answer of more than {register.RESPONSE_LIMIT} bytes")
        else:
            self._request = None
            self._done(rest[0] if kind == "reset" else "")

    def _done(self, broken: str) -> None:
        from skerry_core.engine.control import retry_after

        if self.leaving:
            self._left(broken)
        elif broken:
            self._control.failed(broken)
        elif self._status == 429:
            self._control.failed("asks to wait", retry_after(self._headers, self._engine.random))
        elif copied(self._status, self._body) and self._engine.logged_in:
            self._engine.life.copied()
        elif self._status != 200:
            self._control.failed(f"refused the registration (HTTP {self._status}): {readable(self._body)}")
        else:
            self._judge(register.decode_response(self._body))

    def _judge(self, answer: "register.RegisterResponse") -> None:
        engine = self._engine
        if answer.error:
            self._forget_link()
            self._control.failed(f"refused the registration: {readable(answer.error[:200].encode())}")
        elif answer.node_key_expired or answer.node_key_signature:
            self._rotate()
        elif answer.auth_url:
            self._show(answer.auth_url)
        else:
            self._forget_link()
            self._old_key = ZERO
            engine.life.registered()
        if self._control.key_is_new:
            self._control.key_is_new = False
            engine.act(("save",))

    def _rotate(self) -> None:
        if self._rotated:
            self._control.failed("says that a new node key has expired as well")
            return
        self._rotated = True
        self._old_key = self._engine.node_public
        self._engine.life.new_node_key()
        self._send("")

    def _show(self, url: str) -> None:
        engine = self._engine
        if not url.startswith(("https://", "http://")) or any(ord(char) <= 32 or ord(char) > 126 for char in url):
            raise PeerError("its sign-in link is not an http address")
        again = url == self._followup
        if url != self.auth_url:
            self.auth_url = url
            engine.event(("auth-url", url))
        engine.life.needs_login()
        if again:  # an answer that brings nothing new must not become a busy loop
            engine.timers.set(("followup",), engine.now + engine.jitter(SAME_URL))
            self._control.watch(FOLLOWUP)
        else:
            self._send(url)

    def follow_up(self) -> None:
        """Timer: ask again whether the person is done."""
        if self._control.channel is not None and self._control.channel.up and self._control.phase == "register":
            self._send(self.auth_url)

    def _forget_link(self) -> None:
        self.auth_url = self._followup = ""
        self._engine.timers.cancel(("followup",))

    def forget(self) -> None:
        """Nothing of before counts: nobody joins any more, or keys are new."""
        self._forget_link()
        self.auth_key, self._old_key = "", ZERO

    def _left(self, broken: str) -> None:
        token, self._logout, self.leaving = self._logout, None, False
        self.forget()
        told = not broken and self._status == 200
        self._engine.life.logged_out_now(token, told)


def copied(status: int, body: bytes) -> bool:
    """Whether the gateway says that our keys are another device's."""
    return status == 409 and b'"SkerryCopied"' in body


def readable(body: bytes) -> str:
    """An error text of the gateway for people: printable, at most 200 characters."""
    return "".join([chr(byte) if 32 <= byte < 127 else " " for byte in body[:200]]).strip() or "no reason given"
