"""Who people are: single-use sign-in links that open sessions. No passwords; identity providers and passkeys come behind `session`.

Tokens are 256 random bits in URL-safe base64; the store has their SHA-256 only, so looking one up by its hash tells a timing attacker
nothing about another. A session ends 30 minutes after its last use and 12 hours after it began, whatever the browser says.

Does not know cookies, requests or pages (skerry_gateway.web) nor roles' rights (skerry_gateway.admin).
"""

import base64
import hmac
from collections.abc import Callable

from sqlalchemy import Connection

from skerry_gateway.store import Store, User, queries

LINK_MS = 24 * 3600_000
IDLE_MS = 30 * 60_000
ABSOLUTE_MS = 12 * 3600_000
_TOUCH_MS = 60_000  # a session's last use is written at most this often
_TOKEN_CHARS = 43


class Identity:
    """Links and sessions of one network's people. `random(n)` gives n random bytes; times are wall milliseconds."""

    def __init__(self, store: Store, network_id: int, random: Callable[[int], bytes]) -> None:
        self._store = store
        self._network = network_id
        self._random = random

    def token(self) -> str:
        """A fresh secret, 43 characters."""
        return base64.urlsafe_b64encode(self._random(32)).rstrip(b"=").decode()

    def ensure_owner(self, wall_ms: int) -> tuple[str, str] | None:
        """(name, link token) of the network's owner while no owner has ever signed in; older links end. None: one has."""
        with self._store.write() as c:
            owners = [user for user in queries.users(c, self._network) if user.role == "owner"]
            if not owners or any(user.signed_in_ms for user in owners):
                return None
            queries.drop_links(c, self._network, owners[0].id)  # only the newest printed link works
            return owners[0].name, self._link(c, owners[0].id, wall_ms, LINK_MS)

    def create_link(self, user_id: int, wall_ms: int, lifetime_ms: int = LINK_MS) -> str:
        """A single-use link's token for that user."""
        with self._store.write() as c:
            return self._link(c, user_id, wall_ms, lifetime_ms)

    def peek_link(self, token: str, wall_ms: int) -> User | None:
        """Whose link this is, while it can still be used. Burns nothing: previews of mail and chat open links too."""
        with self._store.read() as c:
            row = queries.link(c, queries.digest(token)) if _plausible(token) else None
            if row is None or row["used_ms"] is not None or row["expires_ms"] <= wall_ms:
                return None
            return queries.user(c, self._network, row["user_id"])

    def sign_in(self, token: str, wall_ms: int) -> tuple[str, User] | None:
        """Burn the link and open a session: (session token, user). None when the link is unknown, used or too old."""
        if not _plausible(token):
            return None
        hashed = queries.digest(token)
        with self._store.write() as c:
            row = queries.link(c, hashed)
            if row is None or row["network_id"] != self._network or not queries.burn_link(c, hashed, wall_ms):
                return None
            queries.sweep(c, wall_ms - ABSOLUTE_MS, wall_ms - IDLE_MS)
            queries.update_user(c, self._network, row["user_id"], signed_in_ms=wall_ms)
            user = queries.user(c, self._network, row["user_id"])
            assert user is not None  # the link refers to it
            queries.record(c, self._network, wall_ms, user.name, "sign in", {})
            return self._session(c, user, wall_ms), user

    def session(self, token: str, wall_ms: int) -> User | None:
        """The user of a living session, and the session lives on; None otherwise. Ask again for every request and event."""
        if not _plausible(token):
            return None
        hashed = queries.digest(token)
        with self._store.read() as c:
            row = queries.session(c, hashed)
            user = queries.user(c, self._network, row["user_id"]) if row else None
        if row is None or user is None or not hmac.compare_digest(row["hash"], hashed):
            return None
        idle = wall_ms - row["used_ms"]
        # a clock that was set back must not lengthen a session
        if idle < -_TOUCH_MS or idle >= IDLE_MS or wall_ms - row["created_ms"] >= ABSOLUTE_MS:
            self.sign_out(token)
            return None
        if idle >= _TOUCH_MS:
            with self._store.write() as c:
                queries.touch_session(c, hashed, wall_ms)
        return user

    def sign_out(self, token: str) -> None:
        with self._store.write() as c:
            queries.drop_session(c, queries.digest(token))

    def end_sessions(self, user_id: int) -> None:
        """Every session of that user ends now."""
        with self._store.write() as c:
            queries.drop_sessions(c, self._network, user_id)

    def _link(self, c: Connection, user_id: int, wall_ms: int, lifetime_ms: int) -> str:
        token = self.token()
        values = {"user_id": user_id, "created_ms": wall_ms, "expires_ms": wall_ms + lifetime_ms, "used_ms": None}
        queries.create_link(c, hash=queries.digest(token), network_id=self._network, **values)
        return token

    def _session(self, c: Connection, user: User, wall_ms: int) -> str:
        token = self.token()
        values = {"user_id": user.id, "created_ms": wall_ms, "used_ms": wall_ms}
        queries.create_session(c, hash=queries.digest(token), network_id=self._network, **values)
        return token


def _plausible(token: str) -> bool:
    return isinstance(token, str) and len(token) == _TOKEN_CHARS and token.isascii()
