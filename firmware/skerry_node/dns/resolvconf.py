"""resolv.conf(5): what a file says, who wrote it, and ours. Pure text; the files themselves belong to guard.py.

A host's file is written by somebody, who says so in a comment at its head: systemd-resolved, NetworkManager, dhcpcd ...; or by hand.
"""

from skerry_core.dns import names
from skerry_core.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from skerry_core.dns.names import Server

PATH = "/etc/resolv.conf"
BEFORE = ".before-skerry"  # behind the name of the file that was there before ours
GUARD = "/run/skerry-resolv.sock"  # where guard.py listens
LIMIT = 65536  # bytes that are looked at
MARK = "# Written by Skerry"
HEAD = f"{MARK}: names of the network are answered by skerryd. The file before comes back by itself when skerryd ends.\n"
SERVERS, SEARCH = 8, 32
STUB = ((bytes([127, 0, 0, 53]), 53), (bytes([127, 0, 0, 54]), 53))
_WRITERS = ("systemd-resolved", "NetworkManager", "resolvconf", "dhcpcd", "dhclient", "netconfig", "connman")


class ResolvConf:
    """`servers`: [(address, port)]; `zones`: the link of link-local ones; `search`, `options`: words; `writer`: see below."""

    def __init__(self, text: str) -> None:
        self.servers: list[Server] = []
        self.zones: dict[bytes, str] = {}
        self.search: list[str] = []
        self.options: list[str] = []
        for line in text[:LIMIT].splitlines():
            words = line.split()
            if len(words) < 2 or words[0][0] in "#;":
                continue
            if words[0] == "nameserver":
                self._server(words[1])
            elif words[0] in ("search", "domain"):
                self.search = words[1 : 1 + SEARCH]
            elif words[0] == "options":
                self.options += words[1 : 1 + SEARCH]
        self.writer = writer(text)

    def _server(self, text: str) -> None:
        address, _, zone = text.partition("%")
        try:
            found = names.server(address)
        except PeerError:
            return  # ourselves, or none
        if found not in self.servers and len(self.servers) < SERVERS:
            self.servers.append(found)
            if zone:
                self.zones[found[0]] = zone

    @property
    def stub(self) -> bool:
        """Whether systemd-resolved answers, whoever wrote the file."""
        return bool(self.servers) and all(each in STUB for each in self.servers)


def writer(text: str) -> str:
    """Who wrote it, by the comments at its head: a program's name, "skerry", or ""."""
    head = []
    for line in text[:LIMIT].splitlines():
        if line[:1] not in ("#", ";", ""):
            break
        head.append(line)
    if head and head[0].startswith(MARK):
        return "skerry"
    comments = "\n".join(head)
    return next((name for name in _WRITERS if name in comments), "")


def ours(servers: "list[str]", search: "list[str]", before: str) -> str:
    """The file while names are answered by skerryd; search domains and options of the file before stay."""
    known = ResolvConf(before)
    domains = list(dict.fromkeys([*search, *known.search]))
    lines = [f"nameserver {server}\n" for server in servers]
    if domains:
        lines.append(f"search {' '.join(domains)}\n")
    if known.options:
        lines.append(f"options {' '.join(known.options)}\n")
    return HEAD + "".join(lines)


def read(path: str = PATH) -> str:
    """Its text; "" when there is none that can be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LIMIT)
    except OSError:
        return ""
