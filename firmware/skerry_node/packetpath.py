"""The packet path on this host: the transport with its TUN and UDP ports, and the interface's addresses and routes.

`open` takes what the host gives: without a TUN there is no node (LocalError says what to do); the usual port, when
in use, is replaced by a free one and that is said, because an unreachable board is worse than an unusual port; a port
that the owner named is insisted on.
"""

import os

from skerry_core.errors import LocalError
from skerry_shim import crypto
from skerry_shim.transport import Transport

from .interface import Interface

MTU = 1280


class PacketPath:
    """`transport`, `interface`, `name` of the TUN, `ports` (IPv4, IPv6; 0 = not available), `problems` (sentences)."""

    def __init__(self, tun: str, port: int, insist: bool) -> None:
        self._insist = insist
        self.problems: list[str] = []
        self.transport = Transport(crypto, os.urandom)
        try:
            self.name = open_tun(self.transport, tun)
            self.interface = Interface(self.name)
            port4 = self._bind(4, port)
            self.ports = (port4, self._bind(6, port4 or port) if os.path.exists("/proc/net/if_inet6") else 0)
            if not any(self.ports):
                raise LocalError("this host gives no UDP port at all: " + "; ".join(self.problems))
            self.transport.start()
        except BaseException:
            self.transport.close()
            raise

    def close(self) -> None:
        """Leave nothing behind."""
        self.interface.clear()
        self.transport.stop()
        self.transport.close()

    def _bind(self, family: int, port: int) -> int:
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


def open_tun(transport: Transport, name: str) -> str:
    """Open the TUN device, or say what to do."""
    try:
        return transport.open_tun(name, MTU)
    except LocalError as error:
        raise LocalError(f"{error}. The name is chosen with --tun NAME") from None
