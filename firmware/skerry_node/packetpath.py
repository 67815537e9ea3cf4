"""The packet path on this host: the transport with its TUN and UDP ports, and the interface's addresses and routes.

`open` takes what the host gives: without a TUN there is no node (LocalError says what to do); the usual port, when
in use, is replaced by a free one and that is said, because an unreachable board is worse than an unusual port; a port
that the owner named is insisted on. What the skerryd before us left in systemd's keeping is used first (handover.py).
"""

import os

from skerry_core.errors import LocalError
from skerry_shim import crypto
from skerry_shim import handover as descriptors
from skerry_shim.transport import Transport

from . import handover
from .interface import Interface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MTU = 1280


class PacketPath:
    """`transport`, `interface`, `name` of the TUN, `ports` (IPv4, IPv6; 0 = not available), `problems` (sentences).

    `handed` is what the engine before us gave, or None; `refused` says why something handed over is not used, or "".
    `adopted` are descriptors by name that systemd has already, `unused` the names of those that are no more.
    """

    def __init__(
        self, tun: str, port: int, insist: bool, given: "handover.Given | None" = None, node: bytes = b"", now: int = 0
    ) -> None:
        """`node`: the public node key of the saved state; nothing that is of another is used."""
        self._insist, self._given = insist, handover.Given([]) if given is None else given
        self.problems: list[str] = []
        self.handed: dict[str, Any] | None = None
        self.refused = ""
        self._left = False
        self.adopted: dict[str, int] = {}
        self.transport = Transport(crypto, os.urandom)
        try:
            state = self._handed_state(node, now)
            self.name = self._adopt_tun(tun) or open_tun(self.transport, tun)
            self.interface = Interface(self.name)
            port4 = self._bind(4, port)
            self.ports = (port4, self._bind(6, port4 or port) if os.path.exists("/proc/net/if_inet6") else 0)
            if not any(self.ports):
                raise LocalError("this host gives no UDP port at all: " + "; ".join(self.problems))
            self._resume(state)
            self.transport.start()
        except BaseException:
            self.transport.close()
            raise
        finally:
            self._given.close()
        self.unused = sorted(self._given.names - set(self.adopted))

    def close(self) -> None:
        """Leave nothing behind, unless it was handed over."""
        if not self._left:
            self.interface.clear()
        self.transport.stop()
        self.transport.close()

    def hand_over(self, store: handover.Store, node: bytes, engine: "dict[str, Any]", now: int) -> bool:
        """Leave device, sockets and state to the next process; False: not taken. The transport is stopped, and of no use after it."""
        state = self.transport.export_state()
        fd = handover.write(node, engine, state, now)
        state[:] = bytes(len(state))
        try:
            self._left = store.hand_over({**self.transport.descriptors(), handover.STATE: fd})
        finally:
            os.close(fd)
        return self._left

    def outlives_us(self) -> bool:
        """Whether the device is one that somebody made beforehand (`ip tuntap add`), on which nothing may be left; or it is gone."""
        try:
            return descriptors.inspect_tun(self.transport.descriptors()["tun"])[2]
        except LocalError:
            return True

    def _handed_state(self, node: bytes, now: int) -> "bytearray | None":
        """The transport's part; the engine's is in `handed`."""
        state = None
        for name in (handover.HINT, handover.STATE):  # the latter, if there is one, is better
            for fd in self._given.take(name):
                try:
                    self.handed, rest = handover.read(fd, node, now)
                    state = rest if name == handover.STATE else state
                except LocalError as error:
                    self.refused = f"the {name} of the skerryd before this one is not used: {error}"
                os.close(fd)
        return state

    def _resume(self, state: "bytearray | None") -> None:
        if state is None:
            return
        try:
            self.transport.import_state(state)
        except LocalError as error:
            self.handed, self.refused = None, str(error)

    def _adopt_tun(self, wanted: str) -> str:
        name = ""
        for fd in self._given.take("tun"):
            try:
                if name or not fits(descriptors.inspect_tun(fd)[0], wanted):
                    raise LocalError("another device")
                name = self.transport.adopt_tun(fd)
                self.adopted["tun"] = fd
            except LocalError:
                os.close(fd)
        return name

    def _adopt_socket(self, family: int, port: int) -> int:
        found = 0
        for fd in self._given.take(f"udp{family}-0"):
            try:
                known, bound = descriptors.inspect_socket(fd)
                if found or known != family or (self._insist and port and port != bound):
                    raise LocalError("another socket")
                found = self.transport.adopt_socket(0, fd)
                self.adopted[f"udp{family}-0"] = fd
            except LocalError:
                os.close(fd)
        return found

    def _bind(self, family: int, port: int) -> int:
        adopted = self._adopt_socket(family, port)
        if adopted:
            return adopted
        try:
            return self.transport.bind(0, family, port)
        except LocalError as error:
            if port and self._insist:
                raise LocalError(f"{error} (--port N)") from None
            if not port:
                self.problems.append(str(error))
                return 0
            refused = str(error)
        try:
            free = self.transport.bind(0, family, 0)
        except LocalError as error:
            self.problems.append(str(error))
            return 0
        self.problems.append(f"{refused.partition(';')[0]}: {free} is used instead. Stop the other program, or choose with --port N")
        return free


def fits(name: str, wanted: str) -> bool:
    """Whether a device has the name that was asked for, which may hold a %d."""
    head, percent, tail = wanted.partition("%d")
    middle = name[len(head) : len(name) - len(tail)]
    return name == wanted if not percent else name == head + middle + tail and middle.isascii() and middle.isdigit()


def open_tun(transport: Transport, name: str) -> str:
    """Open the TUN device, or say what to do."""
    try:
        return transport.open_tun(name, MTU)
    except LocalError as error:
        raise LocalError(f"{error}. The name is chosen with --tun NAME") from None
