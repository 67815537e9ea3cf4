"""What the owner asked for, from two sides: node.toml and the commands (`skerry up`, PATCH prefs). Kept in the state.

The newest statement wins: `file` remembers what node.toml said when it was last read, and only a field that says
something else now overrides what a command set since. So editing node.toml works, and `skerry up --hostname x` is
not undone by the next restart.

`key` stays until it was used, so that a node without a gateway joins after a power cut too; it is never shown.
"""

from skerry_core.errors import LocalError

from . import node_toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROUTING = ("routes", "advertise_exit_node", "accept_routes", "exit_node", "exit_node_allow_lan_access", "snat_subnet_routes")
FIELDS = ("gateway", "key", "hostname", "accept_dns", "relay_server_port", *ROUTING)
EXIT = ("0.0.0.0/0", "::/0")


class Prefs:
    """`values`: FIELDS (each may be missing) and `want_running`."""

    def __init__(self, stored: "dict[str, Any]", file: "dict[str, Any]") -> None:
        known = {name: value for name, value in stored.items() if _fits(name, value)}
        self.values: dict[str, Any] = known
        self.networks = networks(stored.get("networks"))  # those not in use: networks.py
        before: Any = stored.get("file")
        before = before if isinstance(before, dict) else {}
        self.values.setdefault("want_running", "gateway" in file)
        for name in FIELDS:
            if file.get(name) != before.get(name):
                self._take(name, file.get(name))
        self._file = {name: file[name] for name in FIELDS if name in file}

    def _take(self, name: str, value: "Any") -> None:
        if value is None:
            self.values.pop(name, None)
            return
        if name == "gateway" and base(value) != base(self.values.get("gateway", "")):
            self.values["want_running"] = True
        self.values[name] = value

    def save(self) -> "dict[str, Any]":
        """JSON-able, for the state directory."""
        return {**self.values, "file": self._file, **({"networks": self.networks} if self.networks else {})}

    def set(self, changes: "dict[str, Any]") -> None:
        """Take checked changes; LocalError names what is wrong, and nothing is changed then."""
        node_toml.validate(changes, "the request")
        self.values.update(changes)

    def key(self) -> "str | None":
        """The pre-auth key itself, read from its file where it is one."""
        value = self.values.get("key")
        return node_toml.read_key(value) if value else None

    def offered(self) -> "list[str]":
        """The prefixes this node offers to carry."""
        return [*self.values.get("routes", []), *(EXIT if self.values.get("advertise_exit_node") else ())]

    def logged_out(self) -> None:
        """Forget what joins this node by itself."""
        self.values.pop("key", None)
        self.values["want_running"] = False

    def used_key(self) -> None:
        """The node is a member: the key is of no use to anybody but a thief."""
        self.values.pop("key", None)


def networks(value: "Any") -> "dict[str, Any]":
    """What the state says of other networks; what is damaged is left out."""
    found: dict[str, Any] = {}
    for name, kept in value.items() if isinstance(value, dict) else ():
        good = isinstance(kept, dict) and isinstance(kept.get("prefs"), dict) and isinstance(kept.get("engine"), dict | None)
        if good and isinstance(kept["prefs"].get("gateway"), str):
            found[name] = {"prefs": kept["prefs"], "engine": kept.get("engine")}
    return found


def base(gateway: str) -> str:
    """A gateway's URL without key and trailing slash: whether two are the same one."""
    return gateway.partition("#")[0].rstrip("/").lower()


def _fits(name: str, value: "Any") -> bool:
    if name == "want_running":
        return isinstance(value, bool)
    if name not in FIELDS:
        return False
    try:
        node_toml.validate({name: value}, "state")
    except LocalError:
        return False
    return True
