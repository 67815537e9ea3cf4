"""Carries the engine's UDP relay (skerry_core.engine.relaying): its sockets, and what forwards in them in C.

Nothing of it exists before the engine wants to serve. Who restarts loses its places; clients ask for others within seconds.
"""

import socket
from selectors import EVENT_READ

from skerry_core.errors import LocalError

from .netlink import bypass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector
    from typing import Any

    from skerry_shim.peerrelay import Forwarder

ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class Relay:
    """`receive(item)` takes the engine's inputs."""

    def __init__(self, selector: "BaseSelector", receive: "Callable[[tuple[Any, ...]], None]") -> None:
        self._selector, self._receive = selector, receive
        self._forwarder: Forwarder | None = None
        self._verbs: dict[str, Callable[..., None]] = {
            "serve": self._serve,
            "open": lambda vni, keys: self._live().open(vni, keys),
            "bind": lambda vni, one, other: self._live().bind(vni, one, other),
            "close": lambda vni: self._live().forget(vni),
            "send": lambda where, data: self._live().send(where, data),
            "ask": self._ask,
        }

    def do(self, verb: str, *arguments: "Any") -> None:
        """Carry out a ("relaying", verb, ...) of the engine. LocalError: it could not be."""
        if verb == "serve" or self._forwarder is not None:  # what was wanted of one that ended is of no use
            self._verbs[verb](*arguments)

    def close(self) -> None:
        """Let go of everything."""
        if self._forwarder is not None:
            self._selector.unregister(self._forwarder.fileno())
            self._forwarder.close()
            self._forwarder = None

    def counters(self) -> "dict[str, int]":
        """Of the forwarding; {} while there is none."""
        return {} if self._forwarder is None else self._forwarder.counters()

    def _live(self) -> "Forwarder":
        assert self._forwarder is not None
        return self._forwarder

    def _serve(self, port: "int | None") -> None:
        self.close()
        if port is None:
            return
        try:
            bound = self._start(port)
        except OSError as error:
            words = f"cannot relay for others: UDP port {port}: {error.strerror or error}; choose another with --relay-server-port"
            self._receive(("relaying", "serving", 0, words))
        else:
            self._receive(("relaying", "serving", bound, ""))

    def _start(self, port: int) -> int:
        from skerry_shim.peerrelay import Forwarder  # who does not relay need not have it in memory

        sockets = _sockets(port)
        forwarder = Forwarder()
        try:
            for sock in sockets:
                forwarder.adopt(sock.fileno())
            forwarder.start()
        except LocalError:
            forwarder.close()
            raise
        finally:
            bound = int(sockets[0].getsockname()[1])
            for sock in sockets:
                sock.close()
        self._forwarder = forwarder
        self._selector.register(forwarder.fileno(), EVENT_READ, self._readable)
        return bound

    def _readable(self, _mask: int) -> None:
        for where, data in self._live().poll():
            self._receive(("relaying", "datagram", where, data))

    def _ask(self, vni: int) -> None:
        stats = self._live().stats(vni)
        self._receive(("relaying", "heard", vni, None if stats is None else (stats[0]["heard"], stats[1]["heard"])))


def _sockets(port: int) -> "list[socket.socket]":
    """One for each family that this host has, on one port. OSError: it is taken, or there is no IPv4."""
    first = _socket(socket.AF_INET, port)
    try:
        return [first, _socket(socket.AF_INET6, first.getsockname()[1])]
    except OSError:
        if not socket.has_ipv6 or _lacks_ipv6():
            return [first]
        first.close()
        raise


def _lacks_ipv6() -> bool:
    try:
        _socket(socket.AF_INET6, 0).close()
    except OSError:
        return True
    return False


def _socket(family: int, port: int) -> "socket.socket":
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bypass(made)  # or a relay that uses an exit node would answer its clients through that
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((ANY[socket.AddressFamily(family)], port))
    except OSError:
        made.close()
        raise
    return made
