"""Commands of people, as ("command", token, name, arguments). Each is answered by one ("done", token, result); a result with "error"
says what was wrong with which value and what to do.

    up {key, gateway, hostname ...}   join or go on; arguments besides `key` are those of `set`      {"state"}
    down {}                           leave the air, stay a member                                   {"state"}
    logout {}                         stop being a member; keys are forgotten                        {"state"} (perhaps "warning")
    ping {ip, kind: "disco"}          ask a peer (address, name or key in hex)                       {"latency_ms", "path", "text", ...}
    netcheck {}                       a full round now                                               {"udp", "ipv4", "regions", ...}
    set {hostname, routes, tags, accept_routes, exit_node, exit_node_allow_lan_access, ephemeral, gateway ...} {"changed": [names]}
"""

from skerry_core import ip
from skerry_core.engine.gateway import Gateway
from skerry_core.errors import LocalError, PeerError
from skerry_core.tailcfg.node import parse_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Peer

    Arguments = dict[str, Any]

_TEXTS = ("hostname", "os", "os_version", "version", "gateway", "exit_node")
_LISTS = ("routes", "tags")
_FLAGS = ("accept_routes", "exit_node_allow_lan_access", "ephemeral")
_PORTS = ("relay_server_port",)


def up(engine: "Engine", token: "Any", arguments: "Arguments") -> None:
    """Go up, perhaps with a key and other settings."""
    key = arguments.get("key") or ""
    if not isinstance(key, str):
        raise LocalError("the key is not a text; copy it as `keys create` printed it")
    _set(engine, {name: value for name, value in arguments.items() if name != "key"})
    if engine.control.gateway is None:
        raise LocalError("no gateway is known: give its address, for example up --gateway https://gateway.example.com")
    control = engine.control
    if key or "refused the registration" in control.error:  # a key that was refused is not tried for ever
        control.registration.auth_key = key
    if engine.running and (not engine.logged_in or engine.life.expired()):
        control.error = ""  # asked again, so what is wrong is told again
        control.registration.auth_url = ""
        control.confirmed = False
        control.again()
    engine.life.go_up()
    engine.done(token, {"state": engine.state})


def down(engine: "Engine", token: "Any", arguments: "Arguments") -> None:
    """Go down."""
    engine.life.go_down()
    engine.done(token, {"state": engine.state})


def logout(engine: "Engine", token: "Any", arguments: "Arguments") -> None:
    """Leave the network for good."""
    if not engine.logged_in:
        engine.life.logged_out_now(token, True)
    else:
        engine.control.registration.log_out(token)


def ping(engine: "Engine", token: "Any", arguments: "Arguments") -> None:
    """Ask a peer."""
    kind = arguments.get("kind", "disco")
    if kind != "disco":
        raise LocalError(f"ping of kind {kind!r}: this node sends disco pings only")
    peer = find(engine, arguments.get("ip") or "")
    if not peer.disco:
        raise LocalError(f"{peer.name()} has no disco key in the map: it has not been online since it joined")
    engine.disco.ask(token, peer)


def find(engine: "Engine", text: "Any") -> "Peer":
    """The installed peer with this address, name or key; LocalError when there is none."""
    if not isinstance(text, str) or not text:
        raise LocalError("name a peer: an address such as 100.64.0.2, or its name")
    if not engine.running:
        raise LocalError("this node is down; `skerry up` first")
    try:
        peer = engine.peers.by_address.get(ip.parse_address(text))
    except PeerError:
        wanted = text.lower().rstrip(".")
        peer = None
        for each in engine.peers.all():
            full = each.node.name.lower().rstrip(".") if each.node is not None else ""
            if wanted in (full, full.split(".")[0], each.key.hex()):
                peer = each
    if peer is None or (peer.node is not None and peer.node.infrastructure):
        raise LocalError(f"{text}: no peer has that address or name; `skerry status` lists them")
    return peer


def netcheck(engine: "Engine", token: "Any", arguments: "Arguments") -> None:
    """A full round."""
    engine.netcheck.full(token)


def set_(engine: "Engine", token: "Any", arguments: "Arguments") -> None:
    """Change settings."""
    changed = _set(engine, arguments)
    engine.done(token, {"changed": changed})


def _set(engine: "Engine", arguments: "Arguments") -> "list[str]":
    checked = {name: _checked(name, value) for name, value in arguments.items() if value is not None}
    routes = [route(text) for text in checked["routes"]] if "routes" in checked else None
    gateway = Gateway(checked["gateway"]) if "gateway" in checked else None
    engine.exits.check(checked.get("exit_node", ""))
    changed = sorted([name for name, value in checked.items() if engine.config.get(name) != value])
    for name in changed:
        engine.config[name] = checked[name]
    if routes is not None:
        engine.life.set_routes(routes)
    if gateway is not None:
        engine.life.set_gateway(gateway)
    if changed:
        engine.life.settings_changed()
    return changed


def _checked(name: str, value: "Any") -> "Any":
    if name in _TEXTS:
        good, need = isinstance(value, str), "a text"
    elif name in _LISTS:
        good, need = isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value), "a list of texts"
    elif name in _FLAGS:
        good, need = isinstance(value, bool), "true or false"
    elif name in _PORTS:
        good, need = type(value) is int and -1 <= value <= 65535, "a port, 0 for any free one, or -1 for none"
    else:
        raise LocalError(f"there is no setting {name!r}; settings are {', '.join(sorted(_TEXTS + _LISTS + _FLAGS + _PORTS))}")
    if not good:
        raise LocalError(f"setting {name}: {value!r}, need {need}")
    return list(value) if name in _LISTS else value


def route(text: str) -> "tuple[bytes, int]":
    """A prefix we offer to route; LocalError when it is none."""
    try:
        return parse_prefix(text)
    except PeerError:
        raise LocalError(f"route {text!r}: write a prefix such as 192.168.1.0/24")


def uplink(value: "Any") -> "dict[str, Any]":
    """One entry of ("uplinks", [...]), checked; LocalError naming what is wrong."""
    try:
        found = {"uplink": value["uplink"], "port4": value.get("port4") or 0, "port6": value.get("port6") or 0}
        found["via"] = [str(each) for each in value.get("via") or []]
        found["addresses"] = [(family, bytes(address)) for family, address in value["addresses"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise LocalError(f'uplink {value!r}: need {{"uplink", "addresses": [(family, address)], "port4", "port6"}}')
    for family, address in found["addresses"]:
        if (family, len(address)) not in ((4, 4), (6, 16)):
            raise LocalError(f"uplink {found['uplink']}: family {family!r} with an address of {len(address)} bytes")
    return found


COMMANDS: "dict[str, Callable[[Engine, Any, Arguments], None]]" = {
    "up": up,
    "down": down,
    "logout": logout,
    "ping": ping,
    "netcheck": netcheck,
    "set": set_,
}
