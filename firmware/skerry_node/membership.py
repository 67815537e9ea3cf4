"""What the owner may ask of this node: join, leave, sleep, be called otherwise; and with what the engine is made.

The engine decides how to join and keeps what it learns; here the owner's words are checked, kept in the preferences,
and handed on. After a logout or on another board the engine makes new keys itself.
"""

import os
import socket

from skerry_core.errors import LocalError

from .log import Log
from .prefs import Prefs, base
from .signin import code_of
from .zstd import decompress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .node import Answer, Node

VERSION = "0.1.0"
REFUSED = "refused the registration"  # the engine's words for what only another command helps against
# as the engine has them
SETTINGS = ("gateway", "hostname", "accept_routes", "exit_node", "exit_node_allow_lan_access", "relay_server_port")


class Membership:
    """`prefs`, and `last_error`: the engine's last sentence about what went wrong, "" once it runs."""

    def __init__(self, prefs: Prefs, log: Log) -> None:
        self.prefs = prefs
        self.last_error = ""
        self._log = log
        self._node: Node | None = None

    @property
    def node(self) -> "Node":
        """The node this belongs to."""
        if self._node is None:
            raise LocalError("the node is not open yet")
        return self._node

    def belongs_to(self, node: "Node") -> None:
        """Said by the node before it makes its engine."""
        self._node = node

    def config(self) -> "dict[str, Any]":
        """What the engine is made with (see Engine)."""
        values = self.prefs.values
        return {
            "gateway": values.get("gateway", ""),
            "hostname": values.get("hostname") or default_hostname(),
            "os": "linux",
            "os_version": os.uname().release,
            "version": VERSION,
            "routes": self.prefs.offered(),
            "accept_routes": values.get("accept_routes", False),
            "exit_node": values.get("exit_node", ""),
            "exit_node_allow_lan_access": values.get("exit_node_allow_lan_access", False),
            "bypass": True,
            "relay_server_port": values.get("relay_server_port", -1),
            "decompress": decompress,
            "wanted": bool(values["want_running"]) and "gateway" in values,
            "auth_key": self._key(),
        }

    def up(self, changes: "dict[str, Any]", answer: "Answer") -> None:
        """Join, or come back: `changes` may hold gateway, key, hostname, and what set() takes. LocalError: nothing was done."""
        gateway, current = changes.get("gateway"), self.prefs.values.get("gateway")
        if gateway is None and current is None:
            raise LocalError("no gateway is known yet: give its address, as in skerry up --gateway https://gateway.example")
        if gateway is not None and current is not None and base(gateway) != base(current) and self.node.engine.logged_in:
            advice = "leave that network first with skerry logout, or keep it with skerry login"
            raise LocalError(f"this node is a member at {base(current)}: {advice}")
        before = dict(self.prefs.values)
        self.prefs.set(changes)
        self.prefs.values["want_running"] = True
        self.last_error = ""
        self.node.names.refresh()
        arguments = self._told(changes)
        if gateway is None:
            arguments["gateway"] = current
        if key := self._key():
            arguments["key"] = key

        def done(result: "dict[str, Any]") -> None:
            if result.get("error"):
                self.prefs.values = before
                self.node.names.refresh()
            else:
                self.node.forward()
                self.node.save()
            answer(result)

        self.node.command("up", arguments, done)

    def down(self, answer: "Answer") -> None:
        """Stay a member, carry nothing."""
        self.prefs.values["want_running"] = False
        self._then_save("down", {}, answer)

    def logout(self, answer: "Answer") -> None:
        """Leave the network; the node's key is gone afterwards."""
        self.prefs.logged_out()
        self._then_save("logout", {}, answer)

    def set(self, changes: "dict[str, Any]", answer: "Answer") -> None:
        """Change hostname, accept_dns and what is routed (prefs.ROUTING)."""
        before = dict(self.prefs.values)
        self.prefs.set(changes)
        told = self._told(changes)

        def done(result: "dict[str, Any]") -> None:
            if result.get("error"):
                self.prefs.values = before
            else:
                self.node.forward()
                result = {**result, "changed": sorted(name for name in changes if before.get(name) != changes[name])}
            self.node.names.refresh()
            answer(result)

        self._then_save("set", told, done)

    def _told(self, changes: "dict[str, Any]") -> "dict[str, Any]":
        """The engine's part of changes that the preferences have taken."""
        told = {name: changes[name] for name in SETTINGS if name in changes}
        if "routes" in changes or "advertise_exit_node" in changes:
            told["routes"] = self.prefs.offered()
        return told

    def heard(self, event: "tuple[Any, ...]") -> None:
        """Follow the engine: say what people should know, forget a key that was used."""
        kind = event[0]
        if kind == "state":
            self._log.say(f"state: {event[1]}")
            if event[1] in ("Running", "NeedsMachineAuth"):
                self.last_error = ""
                if "key" in self.prefs.values:
                    self._forget_key()
        elif kind == "auth-url" and event[1]:
            self.last_error = ""
            code = code_of(event[1])
            self._log.say(f"to admit this node, open {event[1]}" + (f" (the page must show the code {code})" if code else ""))
        elif kind == "error":
            self.last_error = event[1]
            if REFUSED in event[1] and "key" in self.prefs.values:
                self._forget_key()  # the engine goes on with it; after a restart nobody does
        elif kind == "path" and self._log.verbose:
            self._log.debug(f"path to {event[1].hex()[:8]}: {event[2]} ({event[3]})")

    def _forget_key(self) -> None:
        self.prefs.used_key()
        if self.node.save():
            self.node.save(both=True)  # the last good copy, beside the state, must not hold it either

    def _then_save(self, name: str, arguments: "dict[str, Any]", answer: "Answer") -> None:
        def done(result: "dict[str, Any]") -> None:
            self.node.save(both=name == "logout")  # keys that were thrown away are in no copy
            answer(result)

        self.node.command(name, arguments, done)

    def _key(self) -> str:
        try:
            key = self.prefs.key() or ""
        except LocalError as error:  # a file that is gone must not keep a member from starting
            self._log.say(str(error))
            return ""
        if key:
            self._log.secrets.add(key)
        return key


def default_hostname() -> str:
    """This host's name as one DNS label."""
    label = "".join(c if c.isascii() and c.isalnum() else "-" for c in socket.gethostname().partition(".")[0])
    return label.strip("-")[:63].strip("-").lower() or "node"
