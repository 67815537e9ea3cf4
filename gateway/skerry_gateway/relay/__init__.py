"""The DERP relay, sans-IO: `Relay` and its sessions.

A relay carries packets between nodes by their public node keys. It sees ciphertext, keys and addresses, never what is inside.
Protocol version 2 as stock clients speak it (see `skerry_core.derp` for the layouts). It does not mesh with other relays: frames
that need a mesh key end the connection.
"""

from skerry_gateway.relay.server import Relay
from skerry_gateway.relay.session import Session

__all__ = ["Relay", "Session"]
