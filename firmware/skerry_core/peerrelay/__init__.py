"""A UDP peer relay's decisions, sans-IO: who gets a place, who is bound to it, and how long. `Server` is the whole of it.

What passes through a place is another's work (skerry_shim.peerrelay), which is told by actions. The messages are in skerry_core.disco.
Source: the wire behaviour of client 1.102. Not here: whether somebody may ask at all, and disco over DERP, which the one that
owns the server does with its own node and disco keys.
"""

from skerry_core.peerrelay.server import Server

__all__ = ["Server"]
