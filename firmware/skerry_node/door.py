"""The portal's way in: the board's code from the disk, who may enter, and the socket that the portal's process speaks to.

The socket stands beside the local API's: `skerryd.sock` -> `skerryd-portal.sock`, for the group `skerry-portal` alone. A portal that
cannot be opened keeps nobody from the network: that is said, and the node runs.
"""

import os

from skerry_core.errors import LocalError

from . import clock
from .access import Access, new_code
from .label import Label
from .localapi.portal import PortalApi
from .localapi.server import LocalServer
from .meter import Meter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .node import Node

GROUP = "skerry-portal"


def socket_path(local: str) -> str:
    """Where the portal's socket is, beside the local API's."""
    return local.removesuffix(".sock") + "-portal.sock"


class Door:
    """Open until close(). LocalError: the code or the socket cannot be had."""

    def __init__(self, node: "Node", local: str, notes: "list[str]") -> None:
        self._label = Label(node.state.path, node.state.board, os.urandom)
        self._access = Access(self._label.code, os.urandom)
        self.meter = Meter(node)
        self._api = PortalApi(node, self._access, notes, self.meter)
        self._server = LocalServer(node.selector, socket_path(local), self._api.handle, clock.now, GROUP)
        self.next_timer, self.handle_timer = self._server.next_timer, self._server.handle_timer
        node.timers += [self, self.meter]
        node.watchers.append(self._api.heard)
        if self._label.fresh:
            node.log.say(f"the code of this board, for its portal: {self._label.code} (`skerry code` prints it again)")

    def tell(self, new: bool) -> str:
        """The code, for the owner at the console; delays end. `new`: another one, and every browser has to give it."""
        if new:
            self._label.write(new_code(os.urandom))
            self._access.renew(self._label.code)
        self._access.forgive()
        return self._access.code

    def close(self) -> None:
        """Stop listening."""
        self._server.close()
        self.meter.close()


def open_door(node: "Node", local: str, notes: "list[str]") -> "Door | None":
    """The door, or None and a sentence in the log."""
    try:
        return Door(node, local, notes)
    except LocalError as error:
        node.log.trouble(f"no portal: {error}", clock.now())
        return None
