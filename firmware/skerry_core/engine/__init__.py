"""The engine: one sans-IO object that composes control, relays, disco, WireGuard sessions and paths into a node behind five verbs.

    receive(item, now)   handle_timer(now)   next_timer()   actions()   events()        and to read: status(), why(key), save()

    engine.py     composition: dispatch of inputs, actions, events          control.py    the gateway: dial, back-off, watchdog
    timers.py     every timer of the node, one heap                         channel.py    one ts2021 connection (HTTP, Noise, HTTP/2)
    clock.py      wall time, gateway time, TAI64N stamps that never fall    maps.py       the map poll and the lite updates
    peers.py      map -> peers -> changes of the transport                  hostinfo.py   what we tell the gateway about ourselves
    sessions.py   WireGuard handshakes and the timers of sessions           relays.py     DERP connections, one per region
    disco.py      ping, pong, call-me-maybe                                 netcheck.py   STUN, home region, our endpoints
    paths.py      candidates, ranking, trust; what the transport is told    gateway.py    the gateway's address and pinned key
    status.py, why.py   what people read                                    state.py      save and load
    commands.py   what people ask for                                       life.py       up, down, logged out; a map arrives

It does no I/O, reads no clock and starts no thread; ARCHITECTURE.md lists its inputs, actions and events.
"""

from skerry_core.engine.engine import Engine

__all__ = ["Engine"]
