"""The two kinds of error, told apart by whose fault they are."""


class LocalError(Exception):
    """Our bug, or our owner's configuration: what the message names must change on this side."""


class PeerError(Exception):
    """Bytes that came from outside break the protocol; the message carries the numbers."""
