"""The network map: what all MapResponses of a stream so far amount to. Source: tailcfg.MapResponse of Tailscale 1.102.3.

A response changes what it mentions; null and absent mean unchanged. What each field does, in this order:

    Node             we ourselves; the first response of a stream that is not a keepalive must have it
    Peers, Peers...  see peers.py
    UserProfiles     [{ID, LoginName, DisplayName, ProfilePicURL, Groups}] are added or replaced, never removed
    DERPMap          see derpmap.py
    PacketFilter     [FilterRule] is the chunk "base"; [] is a chunk without rules
    PacketFilters    {name: [FilterRule]} chunks; null removes one, "*": null all, before the others are looked at
    DNSConfig        replaces; Domain ("" keeps) replaces; CollectServices replaces
    Health           [text] replaces, [] clears
    DisplayMessages  {id: {Title, Text, Severity, ImpactsConnectivity, PrimaryAction {URL, Label}}}; null removes one, "*": null all
    ControlTime      the server's clock; also on keepalives, like the following, which are events and not state:
    PingRequest      {URL, URLIsNoise, Types, IP, Payload, Log}; the same URL twice in a row is one request
    PopBrowserURL, ClientVersion, ControlDialPlan, Debug

The rules in force are the chunks in order of their names; without any chunk nothing is allowed in. apply() takes a response wholly or,
with a PeerError, not at all.
"""

from skerry_core.errors import LocalError, PeerError
from skerry_core.tailcfg import derpmap, fields, peers, times
from skerry_core.tailcfg.node import MAX_ID, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 2  # 1 had peers as objects
PEERS_LIMIT = 10000
RULES_LIMIT = 20000
USERS_LIMIT = 20000


class _State:
    """The map as plain values; a response is applied to a copy, and no value is changed in place."""

    NAMES = ("self_node", "peers", "users", "derp_map", "chunks", "dns", "domain", "health", "messages", "control_time", "collect_services")

    def __init__(self) -> None:
        self.self_node: Node | None = None
        self.peers: dict[int, Node] = {}
        self.users: dict[int, dict[str, Any]] = {}
        self.derp_map: derpmap.DerpMap | None = None
        self.chunks: dict[str, list[dict[str, Any]]] = {}
        self.dns: dict[str, Any] = {}
        self.domain = ""
        self.health: list[str] = []
        self.messages: dict[str, dict[str, Any]] = {}
        self.control_time: int | None = None
        self.collect_services = False

    def copy(self) -> "_State":
        other = _State()
        for name in self.NAMES:
            setattr(other, name, getattr(self, name))
        return other


def _node(state: _State, response: "dict[str, Any]") -> None:
    document = fields.mapping(response, "Node")
    node = state.self_node if document is None else Node(document)
    if node is None or not node.valid:
        raise PeerError("the first map response carries no usable Node (our own, with an ID and a key)")
    state.self_node = node


def _users(state: _State, response: "dict[str, Any]") -> None:
    profiles = fields.objects(response, "UserProfiles")
    if profiles:
        state.users = dict(state.users)
    for profile in profiles:
        user = {name: fields.text(profile, name) for name in ("LoginName", "DisplayName")}
        user["ProfilePicURL"] = fields.text(profile, "ProfilePicURL", 4096)
        state.users[fields.integer(profile, "ID", 0, -MAX_ID, fields.MAX_INTEGER)] = dict(
            user, Groups=fields.texts(profile, "Groups", 1024)
        )
    if len(state.users) > USERS_LIMIT:
        raise PeerError(f"a map of {len(state.users)} users, at most {USERS_LIMIT}")


def _derp(state: _State, response: "dict[str, Any]") -> None:
    delta = fields.mapping(response, "DERPMap")
    if delta is not None:
        state.derp_map = derpmap.merged(state.derp_map, delta)


def _chunks(state: _State, response: "dict[str, Any]") -> None:
    chunks = dict(state.chunks)
    if fields.array(response, "PacketFilter", RULES_LIMIT) is not None:
        chunks["base"] = fields.objects(response, "PacketFilter", RULES_LIMIT)
    named = fields.mapping(response, "PacketFilters", 1024) or {}
    if named.get("*", 0) is None:
        chunks = {}
    for name in named:
        if name != "*":
            chunks[name] = fields.objects(named, name, RULES_LIMIT)
            if named[name] is None:
                chunks.pop(name)
    if sum([len(rules) for rules in chunks.values()]) > RULES_LIMIT:
        raise PeerError(f"a packet filter of more than {RULES_LIMIT} rules")
    state.chunks = chunks


def _dns(state: _State, response: "dict[str, Any]") -> None:
    config = fields.mapping(response, "DNSConfig")
    if config is None:
        return
    routes = fields.mapping(config, "Routes") or {}
    dns: dict[str, Any] = {name: fields.objects(config, name, 4096) for name in ("Resolvers", "FallbackResolvers", "ExtraRecords")}
    dns["Routes"] = {fields.checked_text("Routes", name, 256): fields.objects(routes, name, 256) for name in routes}
    for name in ("Domains", "CertDomains", "ExitNodeFilteredSet"):
        dns[name] = fields.texts(config, name, 4096)
    dns["Proxied"] = fields.flag(config, "Proxied")
    state.dns = dns


def _words(state: _State, response: "dict[str, Any]") -> None:
    state.domain = fields.text(response, "Domain", 256) or state.domain
    collect = fields.optional_flag(response, "CollectServices")
    state.collect_services = state.collect_services if collect is None else collect
    if fields.array(response, "Health", 1024) is not None:
        state.health = fields.texts(response, "Health", 1024)


def _messages(state: _State, response: "dict[str, Any]") -> None:
    patch = fields.mapping(response, "DisplayMessages", 1024)
    if patch is None:
        return
    messages = {} if patch.get("*", 0) is None else dict(state.messages)
    for name in patch:
        message = fields.mapping(patch, name) if name != "*" else None
        messages.pop(name, None)
        if message is not None:
            texts: dict[str, Any] = {each: fields.text(message, each, 4096) for each in ("Title", "Text", "Severity")}
            texts["ImpactsConnectivity"] = fields.flag(message, "ImpactsConnectivity")
            action = fields.mapping(message, "PrimaryAction") or {}
            texts["PrimaryAction"] = {each: fields.text(action, each, 4096) for each in ("URL", "Label")}
            messages[fields.checked_text("DisplayMessages", name)] = texts
    if len(messages) > 1024:
        raise PeerError(f"{len(messages)} display messages, at most 1024")
    state.messages = messages


def _clock(state: _State, response: "dict[str, Any]") -> None:
    if response.get("ControlTime") is not None:
        told = fields.parsed("ControlTime", times.parse, response["ControlTime"])
        state.control_time = state.control_time if told is None else told


_STEPS = (_node, _users, _derp, _chunks, _dns, _words, _messages)
# what is reported, and the values of the state it is about
_REPORTED = (
    ("self", "self_node"), ("peers", "peers"), ("users", "users"), ("dns", "dns"), ("domain", "domain"), ("health", "health"),
    ("messages", "messages"), ("collect-services", "collect_services"), ("filter", "chunks"),
)  # fmt: skip
_EVENTS = (("PopBrowserURL", "pop-browser"), ("ClientVersion", "client-version"), ("ControlDialPlan", "dial-plan"), ("Debug", "debug"))


class NetworkMap:
    """Our view of the network. Reading gives the state after the last response that apply() took.

    self_node: Node or None; peers: {id: Node}; users: {id: profile dict}; derp_map: DerpMap or None; dns: dict (every field of DNSConfig
    present, {} before the first); domain; health: [text]; messages: {id: dict}; control_time: wall ms or None; collect_services: bool.
    touched: ids of the peers that the last apply() added, changed or removed. ping: the PingRequest of the last apply(), or None.
    events: {field: value} of the last apply() for PopBrowserURL, ClientVersion, ControlDialPlan, Debug.
    """

    def __init__(self, peers_limit: int = PEERS_LIMIT) -> None:
        self._limit, self._state, self._fresh, self._ping_url = peers_limit, _State(), True, ""
        self.touched: set[int] = set()
        self.ping: dict[str, Any] | None = None
        self.events: dict[str, Any] = {}

    def restart(self) -> None:
        """A new stream begins: its first response replaces the whole map, which stays readable until then."""
        self._fresh = True

    def apply(self, response: "dict[str, Any]", wall_ms: int = 0) -> set[str]:
        """What changed: any of "self", "peers", "filter", "derp", "dns", "users", "domain", "health", "messages", "collect-services",
        "control-time", "ping", "pop-browser", "client-version", "dial-plan", "debug", and "keep-alive" for a keepalive.

        `wall_ms` (0: the last ControlTime) is what "last seen now" means. PeerError: malformed, or a first response without Node; the map
        is then as before.
        """
        keep_alive = fields.flag(response, "KeepAlive")
        old, state = self._state, (_State() if self._fresh and not keep_alive else self._state.copy())
        if not keep_alive:
            for step in _STEPS:
                step(state, response)
            state.peers = peers.fold(state.peers, response, self._limit, wall_ms or state.control_time or 0, old.peers)
        _clock(state, response)
        changed = self._events(response)
        self._state, self._fresh = state, self._fresh and keep_alive
        return changed | self._compare(old, state, response) | ({"keep-alive"} if keep_alive else set())

    def _events(self, response: "dict[str, Any]") -> set[str]:
        ping = fields.mapping(response, "PingRequest")
        url = "" if ping is None else fields.text(ping, "URL", 4096)
        fields.text(response, "PopBrowserURL", 4096)
        for name in ("ClientVersion", "ControlDialPlan", "Debug"):
            fields.mapping(response, name)
        # nothing can fail from here on
        self.ping = ping if url and url != self._ping_url else None
        self._ping_url = url or self._ping_url
        self.events = {name: response[name] for name, _ in _EVENTS if response.get(name)}
        return {word for name, word in _EVENTS if name in self.events} | ({"ping"} if self.ping else set())

    def _compare(self, old: _State, new: _State, response: "dict[str, Any]") -> set[str]:
        self.touched = set()
        if new.peers is not old.peers:
            self.touched = {each for each in old.peers if each not in new.peers}
            for each, node in new.peers.items():
                before = old.peers.get(each)
                if before is not node and before != node:  # most are the very same object
                    self.touched.add(each)
        changed = {word for word, name in _REPORTED if name != "peers" and getattr(old, name) != getattr(new, name)}
        if _document(old.derp_map) != _document(new.derp_map):
            changed.add("derp")
        if response.get("ControlTime") is not None:
            changed.add("control-time")
        return changed | ({"peers"} if self.touched else set())

    @property
    def self_node(self) -> "Node | None":
        return self._state.self_node

    @property
    def peers(self) -> dict[int, Node]:
        return self._state.peers

    @property
    def users(self) -> "dict[int, dict[str, Any]]":
        return self._state.users

    @property
    def derp_map(self) -> "derpmap.DerpMap | None":
        return self._state.derp_map

    @property
    def dns(self) -> "dict[str, Any]":
        return self._state.dns

    @property
    def domain(self) -> str:
        return self._state.domain

    @property
    def health(self) -> list[str]:
        return self._state.health

    @property
    def messages(self) -> "dict[str, dict[str, Any]]":
        return self._state.messages

    @property
    def control_time(self) -> "int | None":
        return self._state.control_time

    @property
    def collect_services(self) -> bool:
        return self._state.collect_services

    def packet_filter(self) -> "list[dict[str, Any]]":
        """The FilterRules in force, as JSON documents, chunks in order of their names."""
        rules = []
        for name in sorted(self._state.chunks):
            rules.extend(self._state.chunks[name])
        return rules

    def save(self) -> "dict[str, Any]":
        """The map as a JSON-able document for load(); peers are JSON as text, which takes a sixth of what the objects do."""
        state = self._state
        document: dict[str, Any] = {"version": VERSION, "Node": None if state.self_node is None else state.self_node.document}
        document["Peers"] = [state.peers[each].text for each in sorted(state.peers)]
        document["UserProfiles"] = [dict(state.users[each], ID=each) for each in sorted(state.users)]
        document["DERPMap"] = _document(state.derp_map)
        document["PacketFilters"], document["DNSConfig"] = state.chunks, state.dns or None
        document["Domain"], document["Health"], document["DisplayMessages"] = state.domain, state.health, state.messages
        document["ControlTime"] = None if state.control_time is None else times.format(state.control_time)
        document["CollectServices"] = state.collect_services
        return document

    def load(self, document: "dict[str, Any]") -> None:
        """Take the map of save(). The next response counts as the first of a stream. LocalError: damaged, or another version."""
        if document.get("version") not in (1, VERSION):
            raise LocalError(f"saved map has version {document.get('version')}, need {VERSION}")
        other = NetworkMap(self._limit)
        kept = document.get("Peers")
        if isinstance(kept, list):
            document = dict(document, Peers=[each.encode() if isinstance(each, str) else each for each in kept])
        try:
            if document.get("Node") is not None:
                other.apply(document)
        except PeerError as error:
            raise LocalError(f"saved map is damaged: {error}")
        self._state, self._fresh = other._state, True


def _document(derp: "derpmap.DerpMap | None") -> "dict[str, Any] | None":
    return None if derp is None else derp.document
