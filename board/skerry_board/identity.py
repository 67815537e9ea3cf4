"""The board's identity, read in this one place.

Sources, the best first; the first usable one is the identity:

| source        | where                                                   | note |
|---------------|---------------------------------------------------------|------|
| `environment` | `SKERRY_BOARD_ID`                                       | for tests; hides all others |
| `device-tree` | `/sys/firmware/devicetree/base/serial-number`           | NUL-terminated; a Raspberry Pi's is 16 hex digits |
| `dmi`         | `/sys/class/dmi/id/product_serial`, else `product_uuid` | root only; vendors leave placeholders, refused here |
| `machine-id`  | `/etc/machine-id`, else `/var/lib/dbus/machine-id`      | copied with the card, so it is the last resort |

Nothing outside the board ever sees the value: what is stored is `sha256("skerry board v1" NUL source NUL value)`
in hex, as machine-id(5) demands of applications. It does not prove anything to anybody: it only notices that a
card was moved or copied to another board.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = "SKERRY_BOARD_ID"
SOURCES = (
    ("device-tree", ("sys/firmware/devicetree/base/serial-number", "proc/device-tree/serial-number")),
    ("dmi", ("sys/class/dmi/id/product_serial", "sys/class/dmi/id/product_uuid")),
    ("machine-id", ("etc/machine-id", "var/lib/dbus/machine-id")),
)
# What vendors write where a serial number should be, lower case, punctuation removed.
PLACEHOLDERS = frozenset(
    (
        "",
        "none",
        "null",
        "na",
        "unknown",
        "default",
        "defaultstring",
        "notspecified",
        "notapplicable",
        "notavailable",
        "invalid",
        "empty",
        "tobefilledbyoem",
        "systemserialnumber",
        "chassisserialnumber",
        "serialnumber",
        "serial",
        "oem",
        "uninitialized",
        "123456789",
        "0123456789",
        "1234567890",
        "03000200040005000006000700080009",
    )
)
LIMIT = 256  # no serial number is longer; a longer file is not one


class Identity:
    """One way to tell this board from others: `source` (a name of SOURCES or "environment") and `digest` (64 hex digits)."""

    def __init__(self, source: str, digest: str) -> None:
        self.source = source
        self.digest = digest

    def __repr__(self) -> str:
        return f"Identity({self.source}, {self.digest[:8]}...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and (self.source, self.digest) == (other.source, other.digest)

    def __hash__(self) -> int:
        return hash((self.source, self.digest))


class Board:
    """What can be known of this board now.

    `identities`: all usable ones, the best first. `unreadable`: sources that exist and that this process may not read.
    """

    def __init__(self, identities: list[Identity], unreadable: list[str]) -> None:
        self.identities = identities
        self.unreadable = unreadable

    @property
    def identity(self) -> "Identity | None":
        """The best identity, or None on a machine that has none."""
        return self.identities[0] if self.identities else None

    def matches(self, stored: Identity) -> "bool | None":
        """Whether `stored` is this board: True, False, or None when its source exists but may not be read now."""
        for mine in self.identities:
            if mine.source == stored.source:
                return mine.digest == stored.digest
        return None if stored.source in self.unreadable else False


def digest(source: str, value: str) -> str:
    """The stored form of an identity: 64 hex digits."""
    import hashlib

    return hashlib.sha256(b"skerry board v1\0" + source.encode() + b"\0" + value.encode()).hexdigest()


def usable(value: str) -> bool:
    """Whether `value` can tell boards apart: not a placeholder, not one character repeated."""
    plain = "".join(c for c in value.lower() if c.isalnum())
    return len(plain) >= 4 and plain not in PLACEHOLDERS and len(set(plain)) > 1


def read(environ: "Mapping[str, str] | None" = None, root: str = "/") -> Board:
    """Read this board's identity below `root`. Never fails: a machine without any gives an empty Board."""
    chosen = (os.environ if environ is None else environ).get(ENVIRONMENT)
    if chosen:
        return Board([Identity("environment", digest("environment", chosen))], [])
    identities, unreadable = [], []
    for source, paths in SOURCES:
        try:
            value = _first(root, paths)
        except PermissionError:
            unreadable.append(source)
            continue
        if value:
            identities.append(Identity(source, digest(source, value)))
    return Board(identities, unreadable)


def _first(root: str, paths: "tuple[str, ...]") -> str:
    """The first usable value among `paths`; PermissionError if none is usable and one may not be read."""
    refused = None
    for path in paths:
        try:
            with open(os.path.join(root, path), "rb") as file:
                raw = file.read(LIMIT + 1)
        except PermissionError as error:
            refused = error
            continue
        except OSError:
            continue
        value = raw.decode("utf-8", "replace").strip("\0 \t\r\n")
        if len(raw) <= LIMIT and usable(value):
            return value
    if refused:
        raise refused
    return ""
