"""Who may use the portal: the board's code, the delays after wrong ones, and the sessions of browsers. Decides only; no I/O.

```
code      8 characters of ALPHABET, shown as XXXX-XXXX (39 bits); what a person types is compared without case, spaces and hyphens
session   32 random bytes, base64url; here only its SHA-256 is kept
delay     FREE wrong codes from one source cost nothing, each further one twice the time of the one before, up to LONGEST
source    an IPv4 address, or the first 64 bits of an IPv6 one
```
Nobody can lock out the owner: a delay is one source's alone, ends within a minute, does not grow while it lasts, ends no session, and
`skerry code` on the board ends all of them. There is no default code: each board makes its own (or its image brings it).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ23456789"  # without what looks alike
LENGTH = 8
FREE, FIRST, LONGEST, FORGET = 5, 1_000, 60_000, 3_600_000  # tries; ms
SOURCES, SESSIONS = 512, 32
IDLE, WHOLE = 12 * 3_600_000, 7 * 24 * 3_600_000  # ms: a session ends when it was not used so long, or is so old


class Refused(Exception):
    """Not let in; the text says why, `wait` how many ms nothing else is worth trying (0: a wrong code)."""

    def __init__(self, sentence: str, wait: int = 0) -> None:
        super().__init__(sentence)
        self.wait = wait


class Access:
    """`code`, sources that failed, sessions; times are monotonic ms, passed in."""

    def __init__(self, code: str, random: "Callable[[int], bytes]") -> None:
        self.code = code
        self._random = random
        self._failed: dict[str, tuple[int, int]] = {}  # source: (wrong codes, when the last one came)
        self._sessions: dict[bytes, tuple[int, int]] = {}  # digest: (opened, used), the longest unused first

    def sign_in(self, code: str, source: str, now: int) -> str:
        """A new session's token for who has the code. Refused."""
        import hmac

        source = network(source)
        count, last = self._failed.get(source, (0, 0))
        if count and now - last > FORGET:
            count = 0
        wait = last + delay(count) - now
        if count and wait > 0:
            raise Refused(f"too many wrong codes: wait {-(-wait // 1000)} s, then try again", wait)
        if not hmac.compare_digest(plain(code).encode(), plain(self.code).encode()):
            self._fail(source, count + 1, now)
            raise Refused("this is not the code of this board; `sudo skerry code` on the board prints it, and so does its label")
        self._failed.pop(source, None)
        return self._open(now)

    def _fail(self, source: str, count: int, now: int) -> None:
        self._failed.pop(source, None)
        while len(self._failed) >= SOURCES:
            del self._failed[next(iter(self._failed))]
        self._failed[source] = (count, now)

    def _open(self, now: int) -> str:
        import base64

        token = base64.urlsafe_b64encode(self._random(32)).decode().rstrip("=")
        while len(self._sessions) >= SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[digest(token)] = (now, now)
        return token

    def knows(self, token: str, now: int) -> bool:
        """Whether the session lives; it was used now."""
        key = digest(token)
        opened, used = self._sessions.pop(key, (0, 0))
        if not opened or now - used > IDLE or now - opened > WHOLE:
            return False
        self._sessions[key] = (opened, now)
        return True

    def sign_out(self, token: str) -> None:
        """End a session."""
        self._sessions.pop(digest(token), None)

    def forgive(self) -> None:
        """The owner is at the console: no source waits any longer."""
        self._failed.clear()

    def renew(self, code: str) -> None:
        """Another code; all sessions end."""
        self.code = code
        self._sessions.clear()
        self.forgive()


def new_code(random: "Callable[[int], bytes]") -> str:
    """A code, each as likely as another: bytes that do not divide evenly are thrown away."""
    letters = ""
    usable = 256 - 256 % len(ALPHABET)
    while len(letters) < LENGTH:
        letters += "".join([ALPHABET[byte % len(ALPHABET)] for byte in random(16) if byte < usable])
    return f"{letters[:4]}-{letters[4:LENGTH]}"


def is_code(text: object) -> bool:
    """Whether it has the form of a code."""
    return isinstance(text, str) and len(plain(text)) == LENGTH and all(c in ALPHABET for c in plain(text))


def plain(text: str) -> str:
    """As codes are compared: capitals and digits only, of a bounded length."""
    return "".join([c for c in text[:64].upper() if c.isascii() and c.isalnum()])


def delay(count: int) -> int:
    """How long a source waits after so many wrong codes, in ms."""
    return 0 if count < FREE else min(LONGEST, FIRST << min(count - FREE, 10))


def network(source: str) -> str:
    """What counts as one source: a household has a whole /64."""
    if ":" not in source:
        return source[:64]
    import socket

    try:
        packed = socket.inet_pton(socket.AF_INET6, source.partition("%")[0])
    except (OSError, ValueError):
        return source[:64]
    return socket.inet_ntop(socket.AF_INET, packed[12:]) if packed[:12] == b"\0" * 10 + b"\xff\xff" else packed[:8].hex()


def digest(token: str) -> bytes:
    """What is kept of a token."""
    import hashlib

    return hashlib.sha256(token[:128].encode("utf-8", "replace")).digest()
