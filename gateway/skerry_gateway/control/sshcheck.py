"""SSH logins that a `check` rule holds until their person confirms: tailcfg SSHAction answers to GET /machine/ssh/action/...

    {SRC}/to/{DST}?ssh_user=U&local_user=L     the receiving node asks; a person who confirmed within the rule's period is let in at once,
                                               else the answer shows a page's address and where to ask on
    wait/{TOKEN}                               answered when the person has decided, or after a while with the same again

The page belongs to the owner of the source node alone. All of it lives in memory: after a restart the client asks again. Bounds: pages of
one receiving node, and all.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from skerry_gateway.policy import Compiled
from skerry_gateway.policy.logins import ACCEPT, CHECK_PATH, check_period
from skerry_gateway.store import Node

from . import hostinfo
from .session import Session

LIFE_MS = 10 * 60_000
WAIT_MS = 60_000  # a held request is answered with "ask again" after this
MAX_OPEN, MAX_OPEN_EACH = 500, 20
MAX_CONFIRMED = 20_000


@dataclass
class Login:
    """One login that waits for its person."""

    token: str
    source: Node
    target: Node
    login: str
    expires_ms: int
    decided: bool | None = None
    waiters: list[tuple[Session, int, int]] = field(default_factory=list)  # session, stream, since (monotonic ms)


class SSHChecks:
    """The logins that wait, and who confirmed when (wall ms)."""

    def __init__(self) -> None:
        self._open: dict[str, Login] = {}
        self._confirmed: dict[tuple[int, int], int] = {}  # (source node, receiving node)

    def get(self, token: str, wall_ms: int) -> Login | None:
        found = self._open.get(token)
        return found if found is not None and found.expires_ms > wall_ms else None

    def decide(self, login: Login, approve: bool, wall_ms: int) -> None:
        login.decided = approve
        if approve:
            self._confirmed.pop((login.source.id, login.target.id), None)
            self._confirmed[login.source.id, login.target.id] = wall_ms
            while len(self._confirmed) > MAX_CONFIRMED:
                del self._confirmed[next(iter(self._confirmed))]

    def confirmed(self, source: Node, target: Node, period_ms: int, wall_ms: int) -> bool:
        """Whether the person confirmed within the period; not by a clock that went back."""
        moment = self._confirmed.get((source.id, target.id))
        return moment is not None and 0 <= wall_ms - moment < period_ms

    def add(self, login: Login, wall_ms: int) -> None:
        for token in [token for token, other in self._open.items() if other.expires_ms <= wall_ms]:
            del self._open[token]
        same = [token for token, other in self._open.items() if other.target.id == login.target.id]
        for token in [*same[: max(0, len(same) + 1 - MAX_OPEN_EACH)], *list(self._open)[: max(0, len(self._open) + 1 - MAX_OPEN)]]:
            self._open.pop(token, None)
        self._open[login.token] = login

    def leave(self, session: Session, stream: int | None = None) -> None:
        """A connection, or one request of it, no longer waits."""
        for login in self._open.values():
            login.waiters = [w for w in login.waiters if w[0] is not session or (stream is not None and w[1] != stream)]

    def waits(self, session: Session) -> bool:
        return any(waiter[0] is session for login in self._open.values() for waiter in login.waiters)

    def overdue(self, now: int) -> list[tuple[Login, Session, int]]:
        """Take out the requests that were held long enough."""
        found = [(login, *waiter[:2]) for login in self._open.values() for waiter in login.waiters if now - waiter[2] >= WAIT_MS]
        for login in self._open.values():
            login.waiters = [waiter for waiter in login.waiters if now - waiter[2] < WAIT_MS]
        return found


def parse_action(path: str) -> tuple[int, int, str] | None:
    """Source node, receiving node and login of a first request; None when it is not one."""
    where, _, query = path.partition("?")
    parts = where.removeprefix(CHECK_PATH).split("/")
    if len(parts) != 3 or parts[1] != "to" or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts[::2]):
        return None
    logins = parse_qs(query, max_num_fields=8).get("ssh_user", [""]) if len(query) < 2000 else [""]
    return int(parts[0]), int(parts[2]), hostinfo.text(logins[0], 64)


def needed(compiled: Compiled, source: Node, target: Node, login: str) -> int | None:
    """The period of the check rule that holds this login, ms; None when no rule does."""
    if source.id not in compiled.nodes or target.id not in compiled.nodes:
        return None
    return check_period(compiled, source.id, target.id, login)


def held(login: Login, url: str) -> dict[str, Any]:
    """Ask on, and show the person where to decide."""
    words = f"# This login waits for {login.source.name}'s owner. To let it in, open:\n#   {url}/ssh/{login.token}\n"
    return {"message": words, "holdAndDelegate": f"https://unused{CHECK_PATH}wait/{login.token}"}


def asked_again(login: Login) -> dict[str, Any]:
    return {"holdAndDelegate": f"https://unused{CHECK_PATH}wait/{login.token}"}


def refused(words: str) -> dict[str, Any]:
    return {"message": f"# {words}\n", "reject": True}


def outcome(login: Login) -> dict[str, Any]:
    return dict(ACCEPT) if login.decided else refused("The login was refused.")
