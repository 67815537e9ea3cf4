"""node.toml: what the owner wants of this node, in one schema; the image, the portal and the CLI use this one too.

```toml
gateway = "https://gateway.example#mkey:..."   # the address carries the gateway's key, so no certificate is needed
key = "file:/run/credentials/skerry.key"       # pre-auth key itself, or file: and where it is
hostname = "camera-1"
tun = "skerry0"
port = 41641                                   # UDP port; 0 = any free one
routes = ["192.168.10.0/24"]                   # subnets this node offers to the network
advertise_exit_node = true                     # offer to carry everything to the Internet
snat_subnet_routes = true                      # hosts in those subnets see this node's address (default), or else the peer's
accept_routes = true                           # take subnets that others offer
exit_node = "office"                           # send everything through that peer: its name or address
exit_node_allow_lan_access = true              # but not what is for this host's own links
accept_dns = true                              # names of the network on this host (true unless said otherwise)
relay_server_port = 40000                      # relay over UDP for others on this port; 0 = any free one, -1 = do not
```
Every field may be left out. An unknown field is an error that names it: a misspelt `gateway` must not look like a
node that does not want to join. Values are checked by the same functions that check the command line.
"""

from skerry_core.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Check = Callable[[Any], str | None]

LIMIT = 65536  # bytes


def check_gateway(value: str) -> "str | None":
    """What is wrong with a gateway's URL, or None."""
    scheme, separator, rest = value.partition("://")
    if not separator:
        return f'"{value}" is not a URL: write it with its scheme, as in https://gateway.example'
    if scheme not in ("http", "https"):
        return f'"{scheme}://" is not a scheme a gateway has: use https:// (or http:// inside a private network)'
    address, _, fragment = rest.partition("#")
    host, _, path = address.partition("/")
    if path:
        return f'"/{path}" does not belong in a gateway\'s URL: leave out the path'
    if not host or "@" in host or " " in value or "?" in value:
        return f'"{value}" has no usable host: write it as in https://gateway.example or http://192.0.2.1:8080'
    return _check_port(host) or _check_fragment(fragment)


def _check_port(host: str) -> "str | None":
    tail = host.rpartition("]")[2] if host.startswith("[") else host
    if tail.count(":") > 1:
        return f'"{host}": an IPv6 address in a URL stands in brackets, as in [{host}]'
    port = tail.partition(":")[2]
    if ":" in tail and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        return f'"{port}" is not a port: expected 1 to 65535'
    return None


def _check_fragment(fragment: str) -> "str | None":
    if not fragment:
        return None
    kind, _, key = fragment.partition(":")
    if kind != "mkey" or len(key) != 64 or any(c not in "0123456789abcdef" for c in key):
        return "what follows # is the gateway's key: mkey: and 64 hex digits (the gateway prints its whole address when it starts)"
    return None


def check_hostname(value: str) -> "str | None":
    """What is wrong with a host name (one DNS label, RFC 1123), or None."""
    plain = value.replace("-", "")
    if not 1 <= len(value) <= 63 or not (plain.isascii() and plain.isalnum()) or value.startswith("-") or value.endswith("-"):
        return f'"{value}" is not a host name: use 1 to 63 letters, digits and hyphens, with no hyphen at the ends'
    return None


def check_tun(value: str) -> "str | None":
    """What is wrong with an interface's name, or None."""
    if (
        not 1 <= len(value) <= 15
        or value in (".", "..")
        or any(not c.isascii() or c in "/:%" or c.isspace() or not c.isprintable() for c in value)
    ):
        return f'"{value}" is not an interface name: at most 15 characters without spaces, "/", ":" and "%"'
    return None


def check_port(value: int) -> "str | None":
    """What is wrong with a UDP port, or None."""
    return None if 0 <= value <= 65535 else f"{value} is not a port: expected 1 to 65535, or 0 for any free one"


def check_relay_port(value: int) -> "str | None":
    """What is wrong with the port of a UDP relay, or None."""
    return None if -1 <= value <= 65535 else f"{value} is not a port: expected 1 to 65535, 0 for any free one, or -1 to relay for nobody"


def check_key(value: str) -> "str | None":
    """What is wrong with a pre-auth key (never quoted: it is a secret), or None."""
    if not value or len(value) > 512 or any(c.isspace() or not c.isprintable() for c in value.removeprefix("file:")):
        return "the pre-auth key is empty or contains spaces: copy it as the gateway printed it, or write file:/where/it/is"
    return None


def check_routes(value: "list[Any]") -> "str | None":
    """What is wrong with a list of subnets, or None."""
    import socket

    for route in value:
        if not isinstance(route, str):
            return f'{route!r} is not a subnet: write it in quotes, as in "192.168.10.0/24"'
        address, slash, bits = route.partition("/")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        size = 128 if ":" in address else 32
        try:
            packed = int.from_bytes(socket.inet_pton(family, address), "big")
        except OSError:
            return f'"{route}" is not a subnet: write it as in "192.168.10.0/24"'
        if not slash or not (bits.isascii() and bits.isdigit()) or int(bits) > size:
            return f'"{route}" is not a subnet: expected /0 to /{size} after the address'
        if packed & ((1 << (size - int(bits))) - 1):
            return f'"{route}" has bits set after its first {bits}: write the first address of the subnet'
        if not int(bits):
            return f'"{route}" is everything: to offer that say --advertise-exit-node (advertise_exit_node = true)'
    return None


def check_exit_node(value: str) -> "str | None":
    """What is wrong with the name or address of an exit node ("" for none), or None."""
    if len(value) > 253 or any(not c.isprintable() or c.isspace() for c in value):
        return f'"{value[:60]}" is no name or address of a peer; `skerry exit-node list` shows the exit nodes'
    return None


def _accept(_value: object) -> "str | None":
    return None


# field: type, the type's name for people, check
SCHEMA: "dict[str, tuple[type, str, Check]]" = {
    "gateway": (str, "text", check_gateway),
    "key": (str, "text", check_key),
    "hostname": (str, "text", check_hostname),
    "tun": (str, "text", check_tun),
    "port": (int, "a number", check_port),
    "routes": (list, "a list of subnets", check_routes),
    "advertise_exit_node": (bool, "true or false", _accept),
    "snat_subnet_routes": (bool, "true or false", _accept),
    "accept_routes": (bool, "true or false", _accept),
    "exit_node": (str, "text", check_exit_node),
    "exit_node_allow_lan_access": (bool, "true or false", _accept),
    "accept_dns": (bool, "true or false", _accept),
    "relay_server_port": (int, "a number", check_relay_port),
}


def validate(document: "dict[str, Any]", origin: str) -> "dict[str, Any]":
    """Check every field of a parsed node.toml; LocalError names `origin`, the field, what it holds and what was expected."""
    for name, value in document.items():
        if name not in SCHEMA:
            raise LocalError(f'{origin}: unknown field "{name}"; known are {", ".join(SCHEMA)}')
        kind, words, check = SCHEMA[name]
        if type(value) is not kind:
            raise LocalError(f"{origin}: {name} must be {words}, not {type(value).__name__}")
        wrong = check(value)
        if wrong:
            raise LocalError(f"{origin}: {name}: {wrong}")
    return document


def load(path: str) -> "dict[str, Any]":
    """Read and check a node.toml. LocalError if it is damaged; FileNotFoundError is the caller's to judge."""
    import tomllib

    try:
        with open(path, "rb") as file:
            data = file.read(LIMIT + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > LIMIT:
        raise LocalError(f"{path} is larger than {LIMIT} bytes; it is no node.toml")
    try:
        return validate(tomllib.loads(data.decode()), path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        # a decoder's message may quote the line, and the line may be the key
        where = str(error).rpartition("(at ")[2].rstrip(")") if "(at " in str(error) else type(error).__name__
        raise LocalError(f"{path} is not TOML ({where}): see the example in the documentation") from None


def read_key(value: str) -> str:
    """The pre-auth key itself: `value`, or the first line of the file behind file:PATH. LocalError if there is none."""
    if not value.startswith("file:"):
        return value
    path = value[5:]
    try:
        with open(path, encoding="ascii", errors="strict") as file:
            key = file.readline(1024).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise LocalError(f"cannot read the pre-auth key from {path}: {reason}") from None
    wrong = check_key(key)
    if wrong:
        raise LocalError(f"{path}: {wrong}")
    return key
