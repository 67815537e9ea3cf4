"""Who is connected: node key -> its connections, which of them is active, and who has received from whom.

A key with several connections (a copied card, a half-open connection of before) has one active connection: the newest, or the last
that sent a packet. Only the active one gets packets; the others stay open and silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skerry_gateway.relay.session import Session


class Clients:
    def __init__(self) -> None:
        self._by_key: dict[bytes, list[Session]] = {}  # the active connection is the last of the list
        self._received_from: dict[bytes, set[bytes]] = {}  # source -> keys that got a packet of it
        self._sources_of: dict[bytes, set[bytes]] = {}  # the same the other way round

    def __len__(self) -> int:
        return len(self._by_key)

    def __contains__(self, key: bytes) -> bool:
        return key in self._by_key

    def everyone(self) -> list[bytes]:
        return list(self._by_key)

    def active(self, key: bytes) -> Session | None:
        connections = self._by_key.get(key)
        return connections[-1] if connections else None

    def connections(self, key: bytes) -> list[Session]:
        return list(self._by_key.get(key, ()))

    def add(self, session: Session) -> None:
        self._by_key.setdefault(session.key, []).append(session)

    def wrote(self, session: Session) -> None:
        """The connection sent something: it becomes the active one of its key."""
        connections = self._by_key[session.key]
        if connections[-1] is not session:
            connections.remove(session)
            connections.append(session)

    def delivered(self, source: bytes, destination: bytes) -> None:
        heard = self._received_from.setdefault(source, set())
        if destination not in heard:
            heard.add(destination)
            self._sources_of.setdefault(destination, set()).add(source)

    def remove(self, session: Session) -> set[bytes]:
        """Take a connection out; returns the keys to be told that this key is gone (empty while another connection remains)."""
        connections = self._by_key[session.key]
        connections.remove(session)
        if connections:
            return set()
        key = session.key
        del self._by_key[key]
        for source in self._sources_of.pop(key, set()):
            self._received_from[source].discard(key)
            if not self._received_from[source]:
                del self._received_from[source]
        listeners = self._received_from.pop(key, set())
        for listener in listeners:
            sources = self._sources_of[listener]
            sources.discard(key)
            if not sources:
                del self._sources_of[listener]
        return listeners
