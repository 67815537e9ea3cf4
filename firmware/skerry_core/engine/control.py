"""The gateway, from "up" to a map that follows the network.

    off -> key (GET /key, when neither pinned nor known) -> dial -> register -> poll
    any failure -> wait (1 s .. 30 s, doubled, jittered; Retry-After of a 429) -> key or dial; a minute of polling counts as success

The key learnt first is pinned from then on. A certificate is verified only where the key is not known; after that Noise tells who answers.
Registration is in registration.py, the map stream and the lite updates in maps.py. Silence of 120 s while polling ends the connection.
"""

from skerry_core.engine.channel import Channel, KeyFetch
from skerry_core.engine.gateway import Gateway
from skerry_core.engine.hostinfo import CAPABILITY_VERSION
from skerry_core.engine.maps import Maps
from skerry_core.engine.registration import Registration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine

STEP, POLL_SILENT, FOLLOWUP_SILENT, STABLE = 30_000, 120_000, 600_000, 60_000
BACKOFF_FIRST, BACKOFF_LAST, RETRY_AFTER_LAST = 1_000, 30_000, 3_600_000


class Control:
    """The connection to one gateway and everything asked of it. `phase` is one of the words above; `error` the last failure or ""."""

    def __init__(self, engine: "Engine", gateway: "Gateway | None", key: "bytes | None") -> None:
        self._engine = engine
        self.gateway, self.key = gateway, key
        self.key_is_new = False  # learnt in this run and not saved: that waits for the first answer, and need not delay it
        self.proven = False  # whoever has the key answered since it is known to us, in this run
        self.version: int = engine.config.get("capability_version") or CAPABILITY_VERSION
        self.phase = "off"
        self.error = ""
        self.since: int | None = None  # polling since
        self.away_since: int | None = None
        self.confirmed = False  # the gateway took our registration since we started
        self._failures = 0
        self._renewed: int | None = None
        self._fetch: KeyFetch | None = None
        self.channel: Channel | None = None
        self.registration = Registration(engine, self)
        self.maps = Maps(engine, self)

    # on and off

    def start(self) -> None:
        """Connect, unless that is under way."""
        if self.phase == "off" and self.gateway is not None:
            self._connect()

    def stop(self) -> None:
        """Disconnect and stay so."""
        self.phase = "off"
        self._drop()
        self._engine.timers.cancel(("control-retry",))

    def again(self) -> None:
        """The network changed: whatever was connected is made anew at once."""
        if self.phase != "off":
            self._drop()
            if self.phase != "off":  # where the connection was for a farewell, that was the end
                self._failures = 0
                self._connect()

    def renew(self, why: str) -> None:
        """Register anew: at once, but a gateway that takes what it says has expired is not asked all the time."""
        now, before = self._engine.now, self._renewed
        self.confirmed, self._renewed = False, now
        if before is None or now - before >= STABLE:
            self._engine.event(("error", why))
            self.again()
        else:
            self.failed("says that this node's key has expired, and still takes it")

    def set_gateway(self, gateway: "Gateway") -> None:
        """Another gateway; its key, if given, replaces what was known."""
        self.stop()
        self.gateway, self.key, self.error, self.confirmed, self.proven = gateway, gateway.key, "", False, False

    def _drop(self) -> None:
        if self.since is not None:
            self.since, self.away_since = None, self._engine.now
        self.maps.reset()
        self.registration.reset()
        self._engine.timers.cancel(("control-watch",))
        fetch, channel, self._fetch, self.channel = self._fetch, self.channel, None, None
        if fetch is not None:
            fetch.cancel()
        if channel is not None:
            channel.close("")

    # connecting

    def _connect(self) -> None:
        engine, gateway = self._engine, self.gateway
        assert gateway is not None
        engine.timers.cancel(("control-retry",))
        self.watch(STEP)
        if self.key is None:
            self.phase = "key"
            self._fetch = KeyFetch(engine, gateway, self.version, self._fetched)
        else:
            self.phase = "dial"
            self.channel = Channel(engine, gateway, self.key, self.version, self._ready, self._closed)

    def _fetched(self, key: "bytes | None", reason: str) -> None:
        self._fetch = None
        if key is None:
            self.failed(reason, advice=self._advice(reason))
            return
        self.key, self.key_is_new = key, True
        self._connect()

    def _advice(self, reason: str) -> str:
        if self.gateway is not None and self.gateway.scheme == "https" and ("certif" in reason or "tls" in reason.lower()):
            return "; give the address with its key (https://host#mkey:...), which needs neither certificate nor clock"
        return ""

    def forget_key(self) -> None:
        """The owner gave up on a key that nobody had: the next address without one asks the gateway again."""
        if not self.proven:
            self.key = None

    def _ready(self) -> None:
        self.phase, self.proven = "register", True
        if self.confirmed and self._engine.logged_in and not self.registration.auth_key:
            self.maps.begin()  # the gateway took our registration in this run: a reconnection saves that round trip
        else:
            self.registration.begin()

    def _closed(self, reason: str) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            hint = "; it may have another key than the one known here" if channel.handshaking else ""
            self.failed(reason, advice=hint)

    def failed(self, reason: str, after: "int | None" = None, advice: str = "") -> None:
        """Start over later; `after` ms when the gateway said so."""
        engine = self._engine
        if self.phase == "off":
            return
        if self.since is not None and engine.now - self.since >= STABLE:
            self._failures = 0  # one that ended sooner is no success: two boards with one card would throw each other out every second
        self._drop()
        if self.phase == "off":  # it was the farewell that failed
            return
        self.phase = "wait"
        self._failures += 1
        base = min(BACKOFF_FIRST << min(self._failures - 1, 8), BACKOFF_LAST)
        engine.timers.set(("control-retry",), engine.now + (engine.jitter(base) if after is None else after))
        url = "" if self.gateway is None else self.gateway.url
        sentence = f"gateway {url}: {reason}{advice}"
        if self.away_since is None:
            self.away_since = engine.now
        if sentence != self.error:
            self.error = sentence
            saved = engine.netmap.self_node is not None and engine.logged_in
            engine.event(("error", sentence + ("; going on with the saved map" if saved else "; trying again")))
        engine.state_changed()

    def retry(self) -> None:
        """Timer: the back-off is over."""
        if self.phase == "wait":
            self._connect()

    def watch(self, span: int) -> None:
        """Something must come within `span` ms."""
        self._engine.timers.set(("control-watch",), self._engine.now + span)

    def silent(self) -> None:
        """Timer: nothing came."""
        if self.registration.auth_url and self.phase == "register":  # a person takes their time: no news, but is it still there?
            self.again()
            return
        self.failed("no answer" if self.phase != "poll" else f"silent for {POLL_SILENT // 1000} s")

    # what registration and maps report

    def polling(self) -> None:
        """The first map came: all is well."""
        if self.phase != "poll":
            self.phase, self.since, self.away_since = "poll", self._engine.now, None
            self.error = ""
            self._engine.state_changed()


def retry_after(headers: "dict[str, str]", random: "Any") -> int:
    """Milliseconds of a Retry-After in seconds; 5 to 10 s where it is missing, a date or senseless."""
    text = headers.get("retry-after", "")
    if text.isdigit() and len(text) < 8 and 0 < int(text) * 1000 <= RETRY_AFTER_LAST:
        return int(text) * 1000
    return 5_000 + int.from_bytes(random(2), "big") % 5_000
