"""Boards as data: TOML files with inherited defaults, checked against one table of what may stand in them.

`load(name, overlays)` is defaults.toml, the board's file over it, then each overlay's (NAME.overlay.toml). A list that begins with "+"
adds to the inherited one, any other replaces it; tables are merged name by name. Errors name the file, the key and what was expected.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry_core.errors import LocalError

FOLDER = Path(__file__).parent / "boards"
OVERLAY = ".overlay"
_TEXTS, _TEXT, _FLAG, _NUMBER = "a list of texts", "a text", "true or false", "a whole number from 0"
# every key there is: its kind, and for texts with few values those
SCHEMA: dict[str, tuple[str, tuple[str, ...]]] = {
    "title": (_TEXT, ()),
    "models": (_TEXTS, ()),
    "architecture": (_TEXT, ("arm64", "amd64")),
    "image": (_TEXT, ()),
    "kernel": (_TEXT, ()),
    "modules": (_TEXTS, ()),
    "firmware": (_TEXTS, ()),
    "packages": (_TEXTS, ()),
    "console": (_TEXT, ()),
    "watchdog": (_TEXT, ()),
    "preview": (_FLAG, ()),
    "boot.method": (_TEXT, ("u-boot", "grub-efi")),
    "boot.u_boot": (_TEXT, ()),
    "boot.device_trees": (_TEXTS, ()),
    "layout.align": (_NUMBER, ()),
    "layout.boot": (_NUMBER, ()),
    "layout.slot": (_NUMBER, ()),
    "layout.data": (_NUMBER, ()),
    "leds.status": (_TEXT, ()),
    "modem.family": (_TEXT, ("SIM7600", "EC25")),
    "modem.power_gpio": (_NUMBER, ()),
    "modem.power_pulse_ms": (_NUMBER, ()),
    "modem.flight_gpio": (_NUMBER, ()),
}
_CHECKS = {
    _TEXT: lambda value: isinstance(value, str) and value.isprintable(),
    _TEXTS: lambda value: isinstance(value, list) and all(isinstance(item, str) and item.isprintable() for item in value),
    _FLAG: lambda value: isinstance(value, bool),
    _NUMBER: lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
}


@dataclass(frozen=True)
class Board:
    """`values` has every key of SCHEMA that the board or the defaults set, by its dotted name."""

    name: str
    overlays: tuple[str, ...]
    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    @property
    def image(self) -> str:
        """The image that carries the board."""
        return str(self.values["image"] or self.name)


def names(folder: Path = FOLDER) -> list[str]:
    """The boards there are."""
    return sorted(path.stem for path in folder.glob("*.toml") if path.stem != "defaults" and not path.stem.endswith(OVERLAY))


def overlays(folder: Path = FOLDER) -> list[str]:
    return sorted(path.stem.removesuffix(OVERLAY) for path in folder.glob(f"*{OVERLAY}.toml"))


def load(name: str, with_overlays: Iterable[str] = (), folder: Path = FOLDER) -> Board:
    """LocalError: no such board or overlay, or a file that is not as it should be."""
    chosen = tuple(with_overlays)
    _known("board", name, names(folder))
    for overlay in chosen:
        _known("overlay", overlay, overlays(folder))
    values: dict[str, Any] = {}
    for file in ("defaults.toml", f"{name}.toml", *(f"{overlay}{OVERLAY}.toml" for overlay in chosen)):
        values = _over(values, _read(folder / file))
    if not values.get("models"):
        raise LocalError(f"{name}.toml: models is missing: the device tree's compatible names, or what a test machine calls itself")
    return Board(name, chosen, values)


def _known(kind: str, name: str, there_are: list[str]) -> None:
    if name not in there_are:
        raise LocalError(f'there is no {kind} "{name}"; there are {", ".join(there_are)}')


def _read(path: Path) -> dict[str, Any]:
    """The file's values by dotted name, each checked."""
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LocalError(f"{path.name} cannot be read: {error}") from None
    flat = {}
    for key, value in found.items():
        flat.update({f"{key}.{inner}": item for inner, item in value.items()} if isinstance(value, dict) else {key: value})
    for key, value in flat.items():
        _check(path.name, key, value)
    return flat


def _check(file: str, key: str, value: Any) -> None:
    if key not in SCHEMA:
        raise LocalError(f'{file}: "{key}" is no key of a board; there are {", ".join(SCHEMA)}')
    kind, choices = SCHEMA[key]
    if not _CHECKS[kind](value):
        raise LocalError(f"{file}: {key} is {kind}, found {value!r}")
    if choices and value not in choices:
        raise LocalError(f"{file}: {key} is one of {', '.join(choices)}, found {value!r}")


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    return {**below, **{key: _joined(below.get(key), value) for key, value in above.items()}}


def _joined(below: Any, above: Any) -> Any:
    if isinstance(above, list) and above[:1] == ["+"]:
        inherited = below or []
        return [*inherited, *(item for item in above[1:] if item not in inherited)]
    return above
