"""What ports a NAT gives to new mappings: some sockets of this process's own each ask a STUN server once (the engine's action "sample").

`sample(node, count, address, port)`: a second later, or when all have answered, the engine gets ("sampled", [(our port, port seen)]) in the
order of asking. Sockets are open for that long only. An answer that is none, or that another sends, is left alone.
"""

import os
import selectors
import socket

from skerry_core import stun

from . import clock
from .netlink import bypass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .node import Node

WAIT, LIMIT = 1_500, 64


class Sampling:
    """One run; it is among the node's timers until it ends."""

    def __init__(self, node: "Node", count: int, address: bytes, port: int) -> None:
        self._node, self._until = node, clock.now() + WAIT
        self._server = (socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address), port)
        self._open: list[socket.socket] = []
        self._seen: list[tuple[int, int]] = []
        self._asked: list[int] = []
        node.timers.append(self)
        for _ in range(min(count, LIMIT)):
            self._ask(socket.AF_INET if len(address) == 4 else socket.AF_INET6)

    def _ask(self, family: int) -> None:
        txid = os.urandom(stun.TXID)
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        bypass(sock)
        try:
            sock.connect(self._server)
            sock.send(stun.request(txid))
        except OSError:
            sock.close()
            return
        self._open.append(sock)
        self._asked.append(sock.getsockname()[1])
        self._node.selector.register(sock, selectors.EVENT_READ, lambda _mask: self._readable(sock, txid))

    def _readable(self, sock: socket.socket, txid: bytes) -> None:
        try:
            found = stun.parse_response(sock.recv(2048))
        except OSError:
            found = None  # an ICMP error: nothing listens there
        if found is not None and found[0] == txid:
            self._seen.append((sock.getsockname()[1], found[2]))
            self._close(sock)
            if not self._open:
                self._until = clock.now()

    def _close(self, sock: socket.socket) -> None:
        self._open.remove(sock)
        self._node.selector.unregister(sock)
        sock.close()

    def next_timer(self) -> int:
        """When it ends at the latest."""
        return self._until

    def handle_timer(self, now: int) -> None:
        """End, and tell."""
        if now >= self._until:
            for sock in list(self._open):
                self._close(sock)
            self._node.timers.remove(self)
            order = {port: index for index, port in enumerate(self._asked)}
            self._node.receive(("sampled", sorted(self._seen, key=lambda pair: order[pair[0]])))


def sample(node: "Node", count: int, address: bytes, port: int) -> None:
    """Begin."""
    Sampling(node, count, address, port)
