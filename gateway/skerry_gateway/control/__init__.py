"""Coordination: ts2021 sessions, registration, maps and their deltas. `Coordinator` is the whole of it; `AdminError` its refusals.

Bytes and time in, bytes out: no sockets, no threads, no clock. The store is used synchronously, in small transactions. Not here: the
relay (which asks relay_allowed), what administrators may ask for (skerry_gateway.admin), pages (skerry_gateway.web).
"""

from .coordinator import Coordinator
from .refused import AdminError
from .session import Session

__all__ = ["AdminError", "Coordinator", "Session"]
