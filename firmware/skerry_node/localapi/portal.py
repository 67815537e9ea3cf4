"""What the portal's process may ask: a socket of its own with these verbs and no others, POST, JSON in and out.

```
/portal/v0/front      {}                                   names of this board, for the sign-in page and the check of Host
/portal/v0/sign-in    {code, source}                       {session}; 403 with the reason, and `wait` in ms after too many
/portal/v0/sign-out   {session}
/portal/v0/status     {session}                            as skerry/status, and joining, failure, hostname
/portal/v0/why        {session, peer}                      as skerry/why
/portal/v0/doctor     {session}                            measures, then as skerry/doctor
/portal/v0/network    {session}                            links, DNS and what the Internet sees: network.py
/portal/v0/data       {session}                            bytes by day, uplink and purpose: usage.py
/portal/v0/log        {session}                            {lines: [{wall, priority, text}]}, the newest last
/portal/v0/watch      {session}                            lines as skerry/watch, until one side hangs up
/portal/v0/up         {session, gateway, key, hostname}    join; the same again while that is under way changes nothing
/portal/v0/cancel     {session}                            stop joining; nothing of it is left
/portal/v0/down  /portal/v0/leave                          {session}
```
The session is checked here, not in the portal: a portal that was taken over can do what its visitors can, and nothing without one. It
names no file: a pre-auth key as `file:` would have the agent read what the portal may not.

A join that was begun here and that the gateway refused is undone by itself, with the reason kept in `failure`: nothing is half enrolled.
"""

from skerry_core.errors import LocalError

from .. import clock
from ..access import Refused
from ..membership import REFUSED, default_hostname
from ..prefs import base
from . import doctor, network, snapshot
from .http import Refusal, Request, response
from .rates import Rates
from .routes import line, ours
from .server import Feed, Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..access import Access
    from ..meter import Meter
    from ..node import Node

    Document = dict[str, Any]

BASE = "/portal/v0/"
TEXT = 2048  # characters of any field
MEMBER = ("Running", "Starting", "NeedsMachineAuth", "Stopped")


class PortalApi:
    """`handle(request)` for the server of the portal's socket, `heard(event)` for the node."""

    def __init__(self, node: "Node", access: "Access", notes: "list[str]", meter: "Meter") -> None:
        self._node, self._access, self._notes = node, access, notes
        self._rates = Rates()
        self._feeds: list[Feed] = []
        self._begun: tuple[str, str, str] | None = None  # gateway, key and name of the join that began here and is not over
        self.failure = ""
        self._open: dict[str, Callable[[Document], Any]] = {"front": self._front, "sign-in": self._sign_in}
        self._verbs: dict[str, Callable[[Document], Any]] = {
            "sign-out": self._sign_out,
            "status": self._status,
            "why": self._why,
            "doctor": lambda _asked: doctor.answer(node),
            "log": lambda _asked: {"lines": node.log.recent()},
            "network": lambda _asked: network.shown(node),
            "data": lambda _asked: meter.shown(),
            "watch": self._watch,
            "up": self._up,
            "cancel": lambda _asked: self._ended(node.membership.logout),
            "down": lambda _asked: self._answered(node.membership.down),
            "leave": lambda _asked: self._ended(node.membership.logout),
        }

    def handle(self, request: Request) -> "Any":
        """One request. Refusal with the reason."""
        name = request.path.removeprefix(BASE)
        verb = self._open.get(name) or self._verbs.get(name)
        if verb is None or not request.path.startswith(BASE):
            raise Refusal(404, "the portal has no such verb")
        if request.method != "POST":
            raise Refusal(405, "every verb of the portal is a POST")
        asked = request.document()
        for field, value in asked.items():
            if not isinstance(value, str) or len(value) > TEXT:
                raise Refusal(400, f"{field[:40]}: expected a text of at most {TEXT} characters")
        if name in self._verbs and not self._access.knows(asked.get("session", ""), clock.now()):
            raise Refusal(401, "this session is over: enter the board's code again")
        return verb(asked)

    # without a session

    def _front(self, _asked: "Document") -> "Document":
        own = self._node.engine.status()["self"]
        return {"hostname": default_hostname(), "name": str(own["name"]).rstrip(".")}

    def _sign_in(self, asked: "Document") -> "Any":
        try:
            return {"session": self._access.sign_in(asked.get("code", ""), asked.get("source", ""), clock.now())}
        except Refused as refused:
            self._node.log.trouble(f"portal: a wrong code from {asked.get('source', '')[:64]}", clock.now())
            return response(403, {"error": str(refused), "wait": refused.wait})

    # with one

    def _sign_out(self, asked: "Document") -> "Document":
        self._access.sign_out(asked["session"])
        return {}

    def _status(self, _asked: "Document") -> "Document":
        document = snapshot.snapshot(self._node)
        self._rates.measure(document, clock.now())
        document["health"] = [*self._notes, *document["health"]]
        prefs = self._node.membership.prefs.values
        document["hostname"] = prefs.get("hostname") or default_hostname()
        document["joining"] = self._joining()
        document["failure"] = self.failure
        document["wall"] = clock.wall()
        return document

    def _joining(self) -> bool:
        engine = self._node.engine
        return not engine.logged_in and bool(self._node.membership.prefs.values.get("want_running"))

    def _why(self, asked: "Document") -> "Document":
        row = snapshot.find(snapshot.snapshot(self._node), asked.get("peer", ""))
        if row is None:
            raise Refusal(404, "no node of this network has that name")
        return {"name": row["name"], "key": row["key"], **self._node.engine.explain(bytes.fromhex(row["key"][8:]))}

    def _watch(self, _asked: "Document") -> Feed:
        feed = Feed(line({"event": "start"}))
        self._feeds.append(feed)
        return feed

    def _up(self, asked: "Document") -> "Any":
        changes = {name: asked[name].strip() for name in ("gateway", "key", "hostname") if asked.get(name, "").strip()}
        if changes.get("key", "").startswith("file:"):
            raise Refusal(400, "paste the pre-auth key itself: the portal reads no files")
        wanted = (changes.get("gateway", ""), changes.get("key", ""), changes.get("hostname", ""))
        if self._joining():
            if wanted == self._begun:
                return {"state": self._node.engine.state}  # a second click
            now = base(str(self._node.membership.prefs.values.get("gateway", "")))
            raise Refusal(409, f"this board is being enrolled at {now} right now, perhaps by somebody else: wait for it, or stop it first")
        if self._node.engine.logged_in and changes:
            raise Refusal(409, "this board is a member of a network already: leave that one first")
        later = Later()

        def done(result: "Document") -> None:
            if not result.get("error"):
                self._begun, self.failure = wanted, ""
            later.done(409 if result.get("error") else 200, result)

        self._node.membership.up(changes, done)
        return later

    def _ended(self, call: "Callable[[Callable[[Any], None]], None]") -> Later:
        self._begun, self.failure = None, ""
        return self._answered(call)

    def _answered(self, call: "Callable[[Callable[[Any], None]], None]") -> Later:
        later = Later()
        call(lambda result: later.done(409 if result.get("error") else 200, result))
        return later

    # the engine's events

    def heard(self, event: "tuple[Any, ...]") -> None:
        """Pass events on to those who watch; undo a join that was refused."""
        if self._begun is not None and self._node.engine.logged_in:
            self._begun = None
        if self._begun is not None and event[0] == "error" and REFUSED in event[1] and not self._node.engine.logged_in:
            self._begun, self.failure = None, event[1]
            try:
                self._node.membership.logout(lambda _result: None)
            except LocalError as error:
                self._node.log.trouble(f"cannot undo the refused join: {error}", clock.now())
        self._feeds = [feed for feed in self._feeds if not feed.closed]
        shown = ours(event) or ({"event": "path"} if event[0] == "path" else None)
        if shown and self._feeds:
            for feed in self._feeds:
                feed.line(line({"event": shown["event"]}))
