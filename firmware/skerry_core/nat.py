"""What a node's NAT does (RFC 4787, RFC 5780), as a line of text for others, in words for people, and what two of them mean for a pair.

    mapping      none (public address) | endpoint-independent | not-by-port (by address: not known) | address-dependent |
                 address-and-port-dependent | blocked (no UDP); address-dependent and address-and-port-dependent are "hard"
    filtering    endpoint-independent | not-by-port (by address: not known) | address-dependent | address-and-port-dependent
    ports        preserving | translated | sequential | block (of `size`) | random: what port a new mapping gets
    text         those four with spaces between, "?" for what is not known: "address-and-port-dependent ? block 512"; in NetInfo.SkerryNAT

Node and gateway make their sentences here, so that a terminal, the portal and the console say the same. Nothing here measures.
"""

NONE, ENDPOINT, NOT_BY_PORT, ADDRESS, PORT, BLOCKED = (
    "none",
    "endpoint-independent",
    "not-by-port",
    "address-dependent",
    "address-and-port-dependent",
    "blocked",
)
MAPPINGS, FILTERINGS = (NONE, ENDPOINT, NOT_BY_PORT, ADDRESS, PORT, BLOCKED), (ENDPOINT, NOT_BY_PORT, ADDRESS, PORT)
PORTS = ("preserving", "translated", "sequential", "block", "random")
BLOCK_LIMIT, STEP, SAMPLES_LEAST = 4096, 16, 6
LIMIT = 100

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Nat:
    """Plain data; "" and 0 where it is not known."""

    def __init__(self, mapping: str = "", filtering: str = "", ports: str = "", size: int = 0) -> None:
        self.mapping, self.filtering, self.ports, self.size = mapping, filtering, ports, size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nat) and encode(self) == encode(other)

    def __hash__(self) -> int:
        return hash(encode(self))

    @property
    def kind(self) -> str:
        """public, easy, hard, blocked or unknown."""
        if self.mapping in (ADDRESS, PORT):
            return "hard"
        return {NONE: "public", ENDPOINT: "easy", NOT_BY_PORT: "easy", BLOCKED: "blocked"}.get(self.mapping, "unknown")

    @property
    def open(self) -> bool:
        """Whether a datagram from a port that was never written to gets in."""
        return self.filtering in (ENDPOINT, NOT_BY_PORT, ADDRESS) or (self.kind == "public" and not self.filtering)

    def document(self) -> "dict[str, Any]":
        """JSON-able, null for what is not known."""
        found: dict[str, Any] = {"kind": self.kind, "text": text(self), "block": self.size or None}
        found.update({"mapping": self.mapping or None, "filtering": self.filtering or None, "ports": self.ports or None})
        return found


def encode(nat: Nat) -> str:
    """One line; see above."""
    return " ".join([nat.mapping or "?", nat.filtering or "?", nat.ports or "?", str(nat.size)])


def decode(line: "Any") -> Nat:
    """Of what another node told; whatever is not understood is not known."""
    words = line.split(" ") if isinstance(line, str) and len(line) <= LIMIT else []
    if len(words) != 4:
        return Nat()
    digits = words[3] if 0 < len(words[3]) < 6 and all(each in "0123456789" for each in words[3]) else "0"
    known = [word if word in names else "" for word, names in ((words[0], MAPPINGS), (words[1], FILTERINGS), (words[2], PORTS))]
    size = int(digits) if known[2] == "block" else 0
    return Nat(known[0], known[1], known[2], size if size <= BLOCK_LIMIT else 0)


def of_netinfo(info: "Any") -> Nat:
    """The NAT of a node from its Hostinfo.NetInfo; stock clients tell only whether the mapping varies, and whether UDP works."""
    if not isinstance(info, dict):
        return Nat()
    if "SkerryNAT" in info:
        return decode(info["SkerryNAT"])
    varies = info.get("MappingVariesByDestIP")
    if info.get("WorkingUDP") is False:
        return Nat(BLOCKED)
    return Nat(ADDRESS) if varies is True else Nat(ENDPOINT) if varies is False else Nat()


def classify(samples: "list[tuple[int, int]]") -> "tuple[str, int]":
    """(ports, size) from (our port, the port seen) of mappings in the order they were made; ("", 0) when they are too few."""
    if len(samples) < SAMPLES_LEAST:
        return "", 0
    if all(ours == seen for ours, seen in samples):
        return "preserving", 0
    seen = [each for _, each in samples]
    steps = [after - before for before, after in zip(seen, seen[1:])]  # noqa: B905, RUF007 - MicroPython
    if sum([1 for step in steps if 0 < step <= STEP]) * 5 >= len(steps) * 4:  # others' flows, and the end of a range, come between
        return "sequential", 0
    span, size = max(seen) - min(seen) + 1, 64
    while size < span:
        size *= 2
    return ("block", size) if size <= BLOCK_LIMIT else ("random", 0)


# words


def text(nat: Nat) -> str:
    """A few words for people."""
    kind = nat.kind
    if kind == "public":
        return "public address" if nat.open else "public address, behind a firewall"
    if kind == "easy":
        return "easy NAT" + (", open" if nat.open else "")
    if kind == "hard":
        block = f", ports from a block of {nat.size}"
        return "hard NAT" + {"sequential": ", sequential ports", "random": ", random ports", "block": block}.get(nat.ports, "")
    return "UDP is blocked" if kind == "blocked" else "NAT not known"


def possible(one: Nat, other: Nat) -> "bool | None":
    """Whether these two can have a direct path; None: not known. Without guessing ports, a hard side needs an open one opposite."""
    kinds = (one.kind, other.kind)
    if "blocked" in kinds:
        return False
    if (one.open and one.kind != "hard") or (other.open and other.kind != "hard"):
        return True
    if "unknown" in kinds:
        return None
    return "hard" not in kinds


def pair(one: Nat, other: Nat, names: "tuple[str, str]") -> "dict[str, Any]":
    """{"possible": true, false or null, "fault": [names], "reason": a sentence, "help": [sentences]}; `names` as people call the two."""
    can, sides = possible(one, other), ((one, names[0]), (other, names[1]))
    if can is None:
        strangers = " and ".join([name for nat, name in sides if nat.kind == "unknown"])
        return {"possible": None, "fault": [], "reason": f"What NAT is in front of {strangers} is not known here.", "help": []}
    if can:
        return {"possible": True, "fault": [], "reason": "A direct path is possible: " + _pair_text(sides) + ".", "help": []}
    blocked = [name for nat, name in sides if nat.kind == "blocked"]
    fault = blocked or [name for nat, name in sides if nat.kind == "hard"]
    return {"possible": False, "fault": fault, "reason": _reason(sides, blocked, fault), "help": _help(sides)}


def _pair_text(sides: "tuple[tuple[Nat, str], ...]") -> str:
    return ", ".join([f"{name}: {text(nat)}" for nat, name in sides])


def _reason(sides: "tuple[tuple[Nat, str], ...]", blocked: "list[str]", fault: "list[str]") -> str:
    head = f"No direct path is possible ({_pair_text(sides)}): "
    if len(blocked) == 2:
        return head + "neither gets an answer over UDP. Either both networks let none through, or the gateway's UDP port 3478 is closed."
    if blocked:
        return head + f"the network of {blocked[0]} lets no UDP through. The fault is there."
    if len(fault) == 2:
        return head + "both routers give each destination another port, so neither side knows where to send to. The fault is with both."
    closed = next(name for nat, name in sides if nat.kind != "hard")
    tail = f"and {closed} is let in only what answers it"
    return head + f"the router of {fault[0]} gives each destination another port, {tail}. The fault is with {fault[0]}."


def _help(sides: "tuple[tuple[Nat, str], ...]") -> "list[str]":
    """What would make a direct path possible, the likeliest first."""
    found = []
    for nat, name in sides:
        if nat.kind == "blocked":
            found.append(f"Let outgoing UDP through in the firewall of {name}'s network.")
        elif nat.kind == "hard":
            found.append(f"At {name}: switch the router to keep one port for all destinations (full cone, or static port), or use IPv6.")
        elif nat.kind == "public":
            found.append(f"At {name}: let UDP to its port in through the firewall; this alone is enough.")
        elif nat.kind == "easy":
            found.append(f"At {name}: forward a UDP port to it in the router; this alone is enough.")
    return found
