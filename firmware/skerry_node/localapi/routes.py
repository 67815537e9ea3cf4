"""The verbs of the local API: one table of (method, path) -> (who may, what).

```
GET   metrics                                                       READ    for Prometheus: metrics.py
GET   status whois?addr= prefs derpmap serve-config watch-ipn-bus   READ    as Tailscale's LocalAPI
POST  ping?ip=&type= check-prefs                                    READ
PATCH prefs   POST start login-interactive logout                   WRITE
GET   dns-query?name=&type= dns-config dns-osconfig                 READ
GET   skerry/status skerry/why?peer= skerry/watch skerry/dns        READ    ours
POST  skerry/ping skerry/netcheck skerry/dns-query skerry/doctor    READ
POST  skerry/up skerry/down skerry/logout skerry/set                WRITE
GET   skerry/networks                                               READ
POST  skerry/switch {network}                                       WRITE   another network: networks.py
POST  skerry/code {new}                                             WRITE   the portal's code
POST  skerry/capture?side=&peer=&count=&seconds=&snaplen=           ROOT    pcapng: capture.py
POST  skerry/record                                                 ROOT    the flight recorder's file: recorder/recording.py
```
Who READ, WRITE and ROOT are: permission.py. No verb takes a path, a command or an environment from its caller, but for
root's own `file:` of a pre-auth key; pre-auth keys are taken and never given back.
"""

import json

from .. import clock, networks
from ..membership import REFUSED
from ..signin import code_of
from . import names, permission, record, snapshot, tailscale
from .capture import Capture
from .http import Refusal, Request, response
from .permission import READ, ROOT, WRITE
from .rates import Rates
from .server import Feed, Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..door import Door
    from ..node import Node

BASE = "/localapi/v0/"


class Api:
    """`handle(request)` for the server, `heard(event)` for the node. `notes`: what the start had to say about the state."""

    def __init__(self, node: "Node", notes: "list[str]") -> None:
        self._node = node
        self._notes = notes
        self.door: Door | None = None  # the portal's, where there is one
        self.let_in: Callable[[str], None] = lambda _operator: None  # told the operator's name after every change
        self._rates = Rates()
        self.capture = Capture(node)  # a timer of the node's
        self._ours: list[Feed] = []
        self._bus: list[Feed] = []
        self._verbs: dict[tuple[str, str], tuple[str, Callable[[Request], Any]]] = {
            ("GET", "status"): (READ, self._status),
            ("GET", "whois"): (READ, self._who_is),
            ("GET", "prefs"): (READ, self._prefs),
            ("PATCH", "prefs"): (WRITE, self._edit_prefs),
            ("POST", "check-prefs"): (READ, self._check_prefs),
            ("GET", "derpmap"): (READ, self._derp_map),
            ("GET", "serve-config"): (READ, lambda _request: {}),  # the stock CLI asks with each status: nothing is served
            ("GET", "watch-ipn-bus"): (READ, self._watch_bus),
            ("POST", "ping"): (READ, self._ping),
            ("POST", "start"): (WRITE, self._start),
            ("POST", "login-interactive"): (WRITE, self._login),
            ("POST", "logout"): (WRITE, self._logout),
            **names.verbs(node, READ),
            ("GET", "metrics"): (READ, self._metrics),
            ("GET", "usermetrics"): (READ, self._metrics),  # the stock CLI's `metrics print`
            ("GET", "skerry/status"): (READ, self._our_status),
            ("GET", "skerry/why"): (READ, self._why),
            ("GET", "skerry/watch"): (READ, self._watch),
            ("POST", "skerry/ping"): (READ, self._our_ping),
            ("POST", "skerry/netcheck"): (READ, self._netcheck),
            ("POST", "skerry/doctor"): (READ, self._doctor),
            ("POST", "skerry/up"): (WRITE, self._up),
            ("POST", "skerry/down"): (WRITE, lambda _request: self._answered(node.membership.down)),
            ("POST", "skerry/logout"): (WRITE, lambda _request: self._answered(node.membership.logout)),
            ("POST", "skerry/set"): (WRITE, self._set),
            ("POST", "skerry/capture"): (ROOT, self._capture),
            ("POST", "skerry/record"): (ROOT, lambda _request: record.answer(node.engine)),
            ("GET", "skerry/networks"): (READ, lambda _request: {"networks": networks.listing(node)}),
            ("POST", "skerry/switch"): (WRITE, lambda request: networks.switch(node, str(request.document().get("network", "")))),
            ("POST", "skerry/code"): (WRITE, self._code),
        }

    def handle(self, request: Request) -> "Any":
        """One request. Refusal with the reason."""
        if not request.path.startswith(BASE):
            raise Refusal(404, f"{request.path}: everything here is below {BASE}")
        name = request.path[len(BASE) :].rstrip("/")
        methods = sorted(method for method, known in self._verbs if known == name)
        if not methods:
            raise Refusal(404, f"{name}: this node has no such verb")
        if request.method not in methods:
            raise Refusal(405, f"{request.method} {name}: expected {' or '.join(methods)}")
        access, verb = self._verbs[request.method, name]
        permission.check(access, request.uid, self._node.membership.prefs.values.get("operator", ""))
        return verb(request)

    # ours

    def _shown(self) -> "dict[str, Any]":
        document = snapshot.snapshot(self._node)
        document["health"] = [*self._notes, *document["health"]]
        return document

    def _metrics(self, _request: Request) -> bytes:
        from . import metrics

        gateway, now = self._node.engine.status()["gateway"], clock.now()
        away = 0 if gateway["connected"] or gateway["away_since"] is None else max(0, now - gateway["away_since"])
        return response(200, metrics.text(self._shown(), away))

    def _our_status(self, _request: Request) -> "dict[str, Any]":
        document = self._shown()
        self._rates.measure(document, clock.now())
        return document

    def _up(self, request: Request) -> Later:
        changes = request.document()
        permission.check_changes(changes, request)
        return self._answered(lambda answer: self._node.membership.up(changes, answer))

    def _set(self, request: Request) -> Later:
        changes = request.document()
        permission.check_changes(changes, request)
        return self._answered(lambda answer: self._node.membership.set(changes, answer))

    def _code(self, request: Request) -> "dict[str, Any]":
        if self.door is None:
            raise Refusal(409, "the portal is shut; skerryd's log says why")
        return {"code": self.door.tell(bool(request.document().get("new")))}

    def _capture(self, request: Request) -> Feed:
        name = request.query.get("peer", "")
        if not name:
            return self.capture.open(request.query, None)
        key = self._find(name)["key"]
        peers = {f"nodekey:{row['key']}": row["index"] for row in self._node.engine.status()["peers"]}
        if key not in peers:
            raise Refusal(400, f"{name} is this node: name a peer, or leave it out to see all packets")
        return self.capture.open(request.query, peers[key])

    def _why(self, request: Request) -> "dict[str, Any]":
        row = self._find(request.query.get("peer", ""))
        return {"name": row["name"], "key": row["key"], **self._node.engine.explain(bytes.fromhex(row["key"][8:]))}

    def _our_ping(self, request: Request) -> Later:
        row = self._find(str(request.document().get("peer", "")))
        head = {"name": row["name"], "ip": (row["addresses"] or [""])[0]}

        def shape(result: "dict[str, Any]") -> "dict[str, Any]":
            if result.get("error"):
                return {**head, **result}
            return {**head, "latency_ms": result["latency_ms"], "direct": result["path"] == "direct", "via": result["text"]}

        return self._command("ping", {"ip": head["ip"]}, shape)

    def _netcheck(self, _request: Request) -> Later:
        if not self._node.engine.running:
            raise Refusal(409, "this node is down, so it knows no relay to measure against: skerry up")
        return self._command("netcheck", {})

    def _doctor(self, _request: Request) -> "Any":
        from . import doctor

        return doctor.answer(self._node)

    def _watch(self, _request: Request) -> Feed:
        shown = self._shown()
        feed = Feed(line({"event": "start", **{name: shown[name] for name in ("state", "auth_url", "auth_code", "error")}}))
        self._ours.append(feed)
        return feed

    def _find(self, text: str) -> "dict[str, Any]":
        found = snapshot.find(snapshot.snapshot(self._node), text)
        if found is None:
            raise Refusal(404, f'"{text[:100]}": no node of this network has that name or address; skerry status lists them')
        return found

    def _command(self, name: str, arguments: "dict[str, Any]", shape: "Callable[[Any], Any] | None" = None) -> Later:
        later = Later()
        self._node.command(name, arguments, lambda result: later.done(200, shape(result) if shape else result))
        return later

    def _answered(self, call: "Callable[[Callable[[Any], None]], None]") -> Later:
        """A change: what the engine refuses becomes status 409."""
        later = Later()

        def done(result: "dict[str, Any]") -> None:
            self.let_in(self._node.membership.prefs.values.get("operator", ""))
            later.done(409 if result.get("error") else 200, result)

        call(done)
        return later

    # Tailscale's

    def _status(self, request: Request) -> "dict[str, Any]":
        return tailscale.status(self._shown(), request.query.get("peers") != "false")

    def _who_is(self, request: Request) -> "dict[str, Any]":
        shown = self._shown()
        text = request.query.get("addr", "")
        row = snapshot.find(shown, text) or snapshot.find(shown, text.rpartition(":")[0])
        if row is None:
            raise Refusal(404, f'"{text[:100]}" is no node of this network')
        return tailscale.who_is(shown, row)

    def _prefs(self, _request: "Request | None" = None) -> "dict[str, Any]":
        prefs = self._node.membership.prefs
        return tailscale.prefs(prefs.values, self._node.engine.state, prefs.offered())

    def _edit_prefs(self, request: Request) -> Later:
        changes = tailscale.changes(request.document())
        permission.check_changes(changes, request)
        membership = self._node.membership
        wanted = changes.pop("want_running", None)
        later = Later()

        def done(result: "dict[str, Any]") -> None:
            self.let_in(membership.prefs.values.get("operator", ""))
            later.done(409, result) if result.get("error") else later.done(200, self._prefs())

        if wanted is True or (wanted is None and "gateway" in changes):
            membership.up(changes, done)
        elif wanted is False:
            membership.down(done)
        else:
            membership.set(changes, done)
        return later

    def _check_prefs(self, request: Request) -> "dict[str, Any]":
        request.document()
        return {"Error": ""}

    def _derp_map(self, _request: Request) -> "dict[str, Any]":
        known = self._node.engine.netmap.derp_map
        return {"Regions": {}, **(known.document if known is not None else {})}

    def _ping(self, request: Request) -> "Any":
        address, kind = request.query.get("ip", ""), request.query.get("type", "disco")
        row = self._find(address)
        if row["key"] == self._shown()["self"]["key"]:
            return {**tailscale.ping(row, address, {"error": f"{address} is this node"}), "IsLocalIP": True}
        if kind.lower() not in ("disco", ""):
            return tailscale.ping(row, address, {"error": f"pings of type {kind} are not supported: use disco"})
        return self._command("ping", {"ip": row["addresses"][0]}, lambda result: tailscale.ping(row, address, result))

    def _start(self, request: Request) -> Later:
        document = request.document()
        theirs = document.get("UpdatePrefs")
        theirs = theirs if isinstance(theirs, dict) else {}
        given = {"gateway": theirs.get("ControlURL"), "hostname": theirs.get("Hostname"), "key": document.get("AuthKey")}
        changes = {name: value for name, value in given.items() if value}
        permission.check_changes(changes, request)
        if theirs.get("WantRunning") is False:
            return self._answered(self._node.membership.down)
        return self._answered(lambda answer: self._node.membership.up(changes, answer))

    def _login(self, _request: Request) -> "Any":
        if self._node.engine.state in ("Running", "Starting", "NeedsMachineAuth") or self._shown()["auth_url"]:
            self._tell_bus()
            return {}
        return self._answered(lambda answer: self._node.membership.up({}, answer))

    def _logout(self, _request: Request) -> Later:
        return self._answered(self._node.membership.logout)

    def _watch_bus(self, _request: Request) -> Feed:
        feed = Feed(line(self._notify()))
        self._bus.append(feed)
        return feed

    def _notify(self) -> "dict[str, Any]":
        shown = self._shown()
        notify: dict[str, Any] = {"Version": tailscale.VERSION, "State": tailscale.STATES.get(shown["state"], 0), "Prefs": self._prefs()}
        if shown["auth_url"]:
            notify["BrowseToURL"] = shown["auth_url"]
        return notify

    def _tell_bus(self) -> None:
        for feed in self._bus:
            feed.line(line(self._notify()))

    # the engine's events

    def heard(self, event: "tuple[Any, ...]") -> None:
        """Pass an event on to those who watch."""
        self._ours = [feed for feed in self._ours if not feed.closed]
        self._bus = [feed for feed in self._bus if not feed.closed]
        shown = ours(event)
        if shown:
            for feed in self._ours:
                feed.line(line(shown))
        if self._bus and event[0] in ("state", "auth-url"):
            self._tell_bus()
        elif self._bus and event[0] == "error" and REFUSED in event[1]:
            for feed in self._bus:
                feed.line(line({"Version": tailscale.VERSION, "ErrMessage": event[1]}))


def ours(event: "tuple[Any, ...]") -> "dict[str, Any] | None":
    """An event of the engine as a line of skerry/watch."""
    kind = event[0]
    if kind == "state":
        return {"event": "state", "state": event[1]}
    if kind == "auth-url":
        return {"event": "auth-url", "url": event[1], "code": code_of(event[1])}
    if kind == "error":
        return {"event": "failed" if REFUSED in event[1] else "error", "error": event[1]}
    if kind == "map":
        return {"event": "map"}
    return None


def line(document: "dict[str, Any]") -> bytes:
    """One line of a feed."""
    return json.dumps(document).encode() + b"\n"
