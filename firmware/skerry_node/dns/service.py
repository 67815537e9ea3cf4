"""Names on this node: follows the map and the owner's wish (`accept_dns`), and joins the resolver with its sockets and the host's settings.

    map, preferences, network -> refresh(): on or off; the host is told; names are read anew with the next question
    on    the two service addresses are on the link, port 53 is open there, the host's DNS leads to it
    off   nothing of it is there
    exit  while this node is an exit node it answers on its own addresses too, those whose traffic it carries

It is on while the node is up with a map, the saved one too, that says anything about names. A failure leaves the rest as it was and is in
`problems`.
"""

import os

from skerry_core import ip
from skerry_core.dns import message, names
from skerry_core.dns.resolver import Resolver
from skerry_core.errors import LocalError, PeerError

from .. import clock
from .asking import Asking
from .listening import Listening, has_ipv6
from .system import System, Wish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..node import Node

MOST_DOMAINS = 240  # that systemd-resolved keeps for a link is 256; with more of them everything comes to us
FRESH = 5_000  # ms that the host's own servers are believed to be the same
QUERY_TYPES = ", ".join(sorted(message.TYPES))


class Names:
    """A timer of the node's. `refresh()` after anything that may matter."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._resolver = Resolver(os.urandom)
        self._listening = Listening(node.selector, self._query, clock.now)
        self._guests = Listening(node.selector, self._guest_query, clock.now, self._is_guest)
        self._guests_at: list[bytes] = []
        self._asking = Asking(node.selector, self._answered, self._failed)
        self.system = System(node.selector, node.path.name, clock.now, self._system_changed)
        self._names: names.Names | None = None  # None: to be read anew
        self._read_at = 0
        self._wish: Wish | None = None
        self._waiting: dict[int, Callable[[bytes], None]] = {}
        self._asked = 0
        self.problems: list[str] = []

    # on and off

    def refresh(self) -> None:
        """The map, the preferences or the network may be others."""
        self._names = None
        known = self._known()
        wish = self._wanted(known) if known.wanted and self._node.membership.prefs.values.get("accept_dns", True) else None
        if wish is not None and not self._listening.is_open:
            wish = wish if self._open() else None
        if wish != self._wish:
            self._wish = wish
            self.system.apply(wish)
        if wish is None and self._listening.is_open:
            self._close()
        self._serve_guests()

    def _serve_guests(self) -> None:
        engine = self._node.engine
        own = engine.netmap.self_node if engine.running and engine.logged_in else None
        carries = own is not None and any(not bits for _, bits in own.allowed_ips)
        wanted = list(engine.own_addresses) if carries else []
        if wanted == self._guests_at:
            return
        self._guests.close()
        self._guests_at = wanted
        try:
            self._guests.open(wanted)
        except OSError:  # a name server of the owner's has the port: it answers them
            pass

    def _is_guest(self, address: str, _family: int) -> bool:
        try:
            return ip.parse_address(address) in self._node.engine.peers.by_address
        except PeerError:
            return False

    def network_changed(self) -> None:
        """Addresses or links changed; so may the host's servers and who manages them."""
        self._read_at = 0
        self.system.check()

    def _known(self) -> names.Names:
        now = clock.now()
        if self._names is None or now - self._read_at > FRESH:
            before = self.system.before()
            self._asking.zones = before.zones
            engine = self._node.engine
            netmap = engine.netmap if engine.running and engine.logged_in else _NOTHING
            self._names, self._read_at = names.Names(netmap, before.servers, self._through()), now
            self._resolver.use(self._names)
            self._node.streams.look_up_by(before if self._bypass and before.servers else None)
        return self._names

    def _through(self) -> "list[names.Server] | None":
        """Where the exit node in use answers names; [] when it is not there."""
        exits = self._node.engine.exits
        if not exits.wanted:
            return None
        known, node = exits.name_server(), exits.chosen()
        if known is not None:
            return [known]
        return [] if node is None else [(address, names.PORT) for address, _ in node.addresses]

    @property
    def _bypass(self) -> bool:
        return self.system.in_force or bool(self._node.engine.exits.wanted)

    def _wanted(self, known: names.Names) -> "Wish | None":
        own = self._node.engine.netmap.self_node
        if own is None or not own.machine_authorized:
            return None
        six = has_ipv6() and any(len(address) == 16 for address, _ in own.addresses)
        servers = [ip.format_address(address) for address in names.SERVICE if six or len(address) == 4]
        everything = bool(known.chosen) or len(known.domains) > MOST_DOMAINS
        # the host's own resolver would ask a link's server by way of that link, whatever the routes say
        return Wish(servers, known.search, known.domains, everything or self._through() is not None)

    def _open(self) -> bool:
        assert self._names is not None
        addresses = [address for address in names.SERVICE if len(address) == 4 or has_ipv6()]
        self._node.path.interface.serve([(address, 8 * len(address)) for address in addresses])
        try:
            self._listening.open(addresses)
        except OSError as error:
            self.problems = [f"names: cannot answer on {ip.format_address(names.SERVICE[0])}, port 53: {error.strerror or error}"]
            self._node.path.interface.serve([])
            return False
        self.problems = []
        return True

    def _close(self) -> None:
        self._listening.close()
        self._node.path.interface.serve([])

    def close(self, keep: bool) -> None:
        """The end of this process; `keep`: the next one goes on with the link as it is."""
        self._listening.close()
        self._guests.close()
        self._asking.close()
        self.system.close(keep)

    def _system_changed(self) -> None:
        self._names = None
        self._known()

    # questions

    def _query(self, token: "Any", data: bytes, tcp: bool) -> bool:
        self._known()
        good = self._resolver.query(token, data, tcp, clock.now())
        self._carry()
        return good

    def _guest_query(self, token: "Any", data: bytes, tcp: bool) -> bool:
        self._known()
        good = self._resolver.query(("guest", token), data, tcp, clock.now(), True)
        self._carry()
        return good

    def ask(self, name: str, kind: str, answer: "Callable[[bytes], None]") -> None:
        """A question of our own, as a program on this host would ask it. LocalError: it is none."""
        number = message.TYPES.get(kind.upper())
        if number is None:
            raise LocalError(f"{kind[:20]!r} is no type that can be asked for here: expected one of {QUERY_TYPES}")
        self._asked += 1
        wire = message.encode_name(name)
        if self._known().magic and number == message.PTR and names.reversed_address(wire) is None:
            raise LocalError(f"{name[:80]}: PTR is asked for by a reversed address, such as 1.0.64.100.in-addr.arpa")
        token = ("own", self._asked)
        self._waiting[self._asked] = answer
        self._resolver.query(token, message.ask(self._asked & 0xFFFF, wire, number), True, clock.now())
        self._carry()

    def servers(self, name: str) -> "list[str]":
        """Who would be asked for it; [] when it is answered here."""
        known = self._known()
        query = message.parse_query(message.ask(0, message.encode_name(name), message.A))
        found = known.servers(query.name) if known.answer(query) is None else []
        return [endpoint(each) for each in found]

    def _answered(self, number: int, data: bytes) -> None:
        self._resolver.answered(number, data, clock.now())
        self._carry()

    def _failed(self, number: int) -> None:
        self._resolver.failed(number, clock.now())
        self._carry()

    def _carry(self) -> None:
        while True:
            for action in self._resolver.actions():
                if action[0] == "reply":
                    self._reply(action[1], action[2])
                elif action[0] == "ask":
                    self._asking.ask(*action[1:])
                else:
                    self._asking.drop(action[1])
            if not self._asking.settle():
                return

    def _reply(self, token: "Any", data: bytes) -> None:
        if token[0] == "own":
            self._waiting.pop(token[1])(data)
        elif token[0] == "guest":
            self._guests.reply(token[1], data)
        else:
            self._listening.reply(token, data)

    # time

    def next_timer(self) -> "int | None":
        """When handle_timer has something to do."""
        times = [part.next_timer() for part in (self._resolver, self._listening, self._guests, self.system)]
        return min((at for at in times if at is not None), default=None)

    def handle_timer(self, now: int) -> None:
        """Silent servers, silent askers, what failed."""
        self._listening.handle_timer(now)
        self._guests.handle_timer(now)
        self.system.handle_timer(now)
        self._resolver.handle_timer(now)
        self._carry()

    # reading

    def health(self) -> "list[str]":
        """What is wrong, one sentence each."""
        unusable = self._names.unusable if self._names is not None and self._wish is not None else 0
        kinds = "DNS over HTTPS, records other than A and AAAA"
        odd = [f"names: {unusable} of the network's DNS settings are of kinds that this node does not know ({kinds})"]
        return [*self.problems, *([self.system.problem] if self.system.problem else []), *(odd if unusable else [])]

    def status(self) -> "dict[str, Any]":
        """For people and programs."""
        known, system = self._known(), self.system
        routes = {message.name_text(name): [endpoint(each) for each in found] for name, found in known.routes.items()}
        before = system.before()
        return {
            "accept": bool(self._node.membership.prefs.values.get("accept_dns", True)),
            "active": self._wish is not None,
            "magic": known.magic,
            "domain": known.domain,
            "search": known.search,
            "addresses": self._wish.servers if self._wish is not None else [],
            "nameservers": [endpoint(each) for each in known.chosen],
            "before": [endpoint(each) for each in before.servers],
            "routes": routes,
            "records": sum(len(each) for each in known.records.values()),
            "host": {"mode": system.mode, "manager": system.manager, "in_force": system.in_force, "everything": self._everything()},
            "problems": self.health(),
            "counts": {**self._resolver.counts, "kept": len(self._resolver.cache)},
        }

    def _everything(self) -> bool:
        """Whether all of the host's questions come to us."""
        return self.system.in_force and (self.system.mode == "resolv.conf" or bool(self._wish and self._wish.default))


def endpoint(server: "names.Server") -> str:
    """`192.0.2.1`, or with a port that is not 53."""
    return ip.format_address(server[0]) if server[1] == names.PORT else ip.format_endpoint(server[0], server[1])


class _Nothing:
    """No map."""

    dns: "dict[str, Any]" = {}
    self_node = None
    peers: "dict[int, Any]" = {}


_NOTHING: "Any" = _Nothing()
