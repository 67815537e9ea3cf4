"""The life of a node: up, down, registered, logged out; and what a response of the map sets in motion.

    up        from the saved map at once, from the gateway as soon as it answers
    down      nothing is connected, nobody is installed; keys and map stay
    log out   keys and map are gone, the machine key stays

The map is saved 1 s after it came first (who waits for a reply does not wait for the disk), 10 s after peers, keys or home regions
changed, and within 10 min after anything else: flash wears.
"""

from skerry_core.engine.gateway import Gateway
from skerry_core.tailcfg.netmap import NetworkMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine

COPIED = (
    "another device has the keys of this one, whose state is a copy of it: this one makes keys of its own and has to be admitted; "
    "the other is not disturbed"
)
SAVE_FIRST, SAVE_LATER, SAVE_RARELY = 1_000, 10_000, 600_000


class Life:
    """Transitions of one engine; `wanted`, `running`, `logged_in` and `map_is_live` are the engine's."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._saved_once = False
        self._shapes: dict[int, Any] = {}  # of each peer, what a saved map must not lack for long

    def go_up(self) -> None:
        """Wanted: from the saved map at once, from the gateway as soon as it answers."""
        fresh, self._engine.wanted = not self._engine.wanted, True
        if not self._engine.running:
            self._engine.running = True
            self._engine.map_is_live = False
            self._install({"self", "derp", "filter", "peers"}, None)
            self._engine.control.start()
        if fresh:
            self._engine.act(("save",))
        self._engine.state_changed()

    def go_down(self) -> None:
        """Not wanted: nothing is connected, nobody is installed; keys and map stay."""
        if self._engine.wanted:
            self._engine.wanted = False
            self._engine.act(("save",))
        self._halt()
        self._engine.state_changed()

    def _halt(self) -> None:
        self._engine.running = False
        self._engine.control.stop()
        self._engine.netcheck.stop()
        self._engine.relays.close_all(False)
        self._engine.peers.clear()
        self._engine.peers.interface(False)
        self._engine.timers.cancel(("expiry",))
        self._engine.relaying.sync()
        if self._engine.timers.at(("save",)) is not None:
            self.save_map()

    def set_routes(self, routes: "list[tuple[bytes, int]]") -> None:
        """Other prefixes to offer."""
        self._engine.offered = routes
        if self._engine.running and self._engine.netmap.self_node is not None:
            self._engine.peers.sync_self()
            self._engine.peers.interface(self._engine.logged_in)

    def set_gateway(self, gateway: Gateway) -> None:
        """Another gateway, or the key of this one. Membership of another network ends here, without a farewell."""
        old = self._engine.control.gateway
        if old is not None and gateway.url == old.url:
            if gateway.key is not None and gateway.key != self._engine.control.key:
                self._engine.control.set_gateway(gateway)
                if self._engine.running:
                    self._engine.control.start()
            return
        running = self._engine.running
        if old is not None:
            self.logged_out_now(None, False)
        self._engine.control.set_gateway(gateway)
        self._engine.act(("save",))
        if running:
            self.go_up()

    def settings_changed(self) -> None:
        """Something of what we tell the gateway, or of what we accept, changed."""
        if self._engine.running:
            self._engine.peers.sync_self()
            self._engine.peers.sync()
            self._engine.peers.interface(self._engine.netmap.self_node is not None and self._engine.logged_in)
            self._engine.relaying.sync()
            self._engine.control.maps.update()

    def registered(self) -> None:
        """The gateway took us in."""
        self._engine.control.confirmed = True
        self._engine.control.registration.auth_key = ""
        fresh, self._engine.logged_in = not self._engine.logged_in, True
        self._engine.control.maps.begin()
        if fresh:
            self._engine.clock.reserve(self._engine.now)
            self._engine.act(("save",))
        self._engine.state_changed()

    def needs_login(self) -> None:
        """The gateway wants a person to sign in: nothing of before counts."""
        if self._engine.logged_in:
            self._engine.logged_in = False
            self._engine.peers.clear()
            self._engine.peers.interface(False)
            self._engine.act(("save",))
        self._engine.state_changed()

    def logged_out_now(self, token: "Any", told: bool) -> None:
        """Keys and map are gone; the machine key stays."""
        member, self._engine.logged_in, self._engine.wanted = self._engine.logged_in, False, False
        self._halt()
        self._engine.control.registration.forget()
        if not member:
            self._engine.control.forget_key()
        self._engine.netmap = NetworkMap()
        self._engine.relays.set_map(None)
        self._engine.peers.stamps = {}
        self._engine.set_node_key(self._engine.random(32))
        self._engine.control.confirmed = False
        self._engine.act(("save",))
        self._engine.done(token, {"state": "NeedsLogin"} if told else {"state": "NeedsLogin", "warning": "the gateway could not be told"})
        self._engine.state_changed()

    def copied(self) -> None:
        """Our keys are another device's: the state was copied from it. It keeps them; we start over with our own, waiting for approval."""
        engine, wanted = self._engine, self._engine.wanted
        engine.event(("error", COPIED))
        engine.logged_in = False
        self._halt()
        engine.netmap = NetworkMap()
        engine.relays.set_map(None)
        engine.peers.stamps = {}
        engine.control.registration.forget()
        engine.machine_private, engine.disco_private = engine.random(32), engine.random(32)
        engine.disco_public = engine.crypto.x25519_public(engine.disco_private)
        engine.set_node_key(engine.random(32))
        engine.control.confirmed = False
        engine.act(("save",))
        engine.state_changed()
        if wanted:
            self.go_up()

    def new_node_key(self) -> None:
        """The old one expired. Everything tied to it starts over."""
        self._engine.peers.clear()
        self._engine.relays.close_all(True)
        self._engine.set_node_key(self._engine.random(32))
        self._engine.netmap = NetworkMap()
        self._engine.act(("save",))

    def expired(self) -> bool:
        """Whether our own key is past its end, by the gateway's time."""
        own, now = self._engine.netmap.self_node, self._engine.clock.control(self._engine.now)
        return own is not None and own.key_expiry is not None and now is not None and own.key_expiry <= now

    # ---- the map

    def map_response(self, response: "dict[str, Any]") -> None:
        """One MapResponse. PeerError: unusable; the map is as before."""
        changed = self._engine.netmap.apply(response, self._engine.clock.wall(self._engine.now))
        if "control-time" in changed and self._engine.netmap.control_time is not None:
            self._engine.clock.set_control(self._engine.netmap.control_time, self._engine.now)
        if "keep-alive" in changed and not self._engine.map_is_live:
            return
        first = not self._engine.map_is_live
        self._engine.map_is_live = True
        self._engine.control.polling()
        if first:
            changed = changed | {"self", "derp", "filter", "peers"}
        self._install(changed, None if first or "self" in changed else set(self._engine.netmap.touched))
        if changed - {"keep-alive", "control-time", "ping"}:
            self._engine.event(("map",))
            self._map_to_save(first, "self" in changed)
        if self.expired():
            self.key_expired()
        self._engine.state_changed()

    def _install(self, changed: "set[str]", touched: "set[int] | None") -> None:
        if self._engine.netmap.self_node is None or not self._engine.logged_in:
            return
        if "derp" in changed:
            self._engine.relays.set_map(self._engine.netmap.derp_map)
        if "self" in changed:
            self._engine.peers.sync_self()
        if "filter" in changed or "peers" in changed:
            self._engine.peers.sync_filter()
        if "peers" in changed or "self" in changed:
            self._engine.peers.sync(touched)
        if "derp" in changed:
            self._engine.netcheck.map_changed()
        waiting, self._engine.pending_endpoints = self._engine.pending_endpoints, []
        for peer in waiting:
            self._engine.paths.update(peer)
            if peer.node is not None:
                self._engine.paths.set_map(peer, peer.node.endpoints)
            if peer.restarted and self._engine.paths.active(peer):
                self._engine.sessions.start(peer)
            peer.restarted = False
        if "derp" in changed:
            for peer in self._engine.peers.all():
                self._engine.paths.update(peer)
        self._engine.peers.interface(self._engine.netmap.self_node.machine_authorized)
        self._engine.relaying.sync()

    def key_expired(self) -> None:
        """Timer: a key, ours or a peer's, is past its end."""
        if self.expired() and not self._engine.control.registration.leaving:  # a gateway tells of our farewell before it answers
            self._engine.control.renew("the key of this node has expired; it is being renewed, which may need a sign-in")
        self._engine.peers.sync()
        self._engine.peers.interface(self._engine.netmap.self_node is not None)

    def _map_to_save(self, first: bool, own: bool) -> None:
        timers, now = self._engine.timers, self._engine.now
        moved = self._shape_changed() or own
        if first and not self._saved_once:
            self._saved_once = True
            timers.set(("save",), now + SAVE_FIRST)
        elif timers.at(("save",)) is None:
            timers.set(("save",), now + (SAVE_LATER if moved else SAVE_RARELY))
        elif moved:
            timers.set(("save",), min(timers.at(("save",)) or 0, now + SAVE_LATER))

    def _shape_changed(self) -> bool:
        """Whether a peer that this response touched came, went, or has another key or home."""
        changed, peers = False, self._engine.netmap.peers
        for number in self._engine.netmap.touched:
            node = peers.get(number)
            shape = None if node is None else (node.key, node.disco_key, node.home_derp)
            if shape != self._shapes.get(number):
                changed = True
                self._shapes[number] = shape
            if node is None:
                self._shapes.pop(number, None)
        return changed

    def save_map(self) -> None:
        """Timer: the map changed a while ago."""
        self._engine.timers.cancel(("save",))
        self._engine.act(("save",))

    def state_name(self) -> str:
        """Tailscale's word for what is going on."""
        own = self._engine.netmap.self_node
        if self._engine.control.gateway is None or not self._engine.logged_in:
            return "NeedsLogin"
        if not self._engine.wanted:
            return "Stopped"
        if own is None:
            return "Starting"
        if not own.machine_authorized:
            return "NeedsMachineAuth"
        alive = self._engine.relays.live(self._engine.netcheck.home) or any(
            peer.current is not None for peer in self._engine.peers.by_index.values()
        )
        return "Running" if alive or (self._engine.state == "Running" and self._engine.control.since is not None) else "Starting"
