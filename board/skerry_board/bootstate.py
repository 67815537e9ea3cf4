"""Which slot a board boots: two copies on the card that survive a power cut at any moment, as the boot script reads them too.

    copy 1   LBA 2048, 16 KiB          copy 2   LBA 4096, 16 KiB
    each     u32 little-endian CRC-32 of the rest | "name=value" NUL ... NUL | zeros

That is U-Boot's environment with a checksum (`env import -c`). Names: generation (a number that only grows), active and good ("a" or "b"),
tries (boots left for a slot on trial; 0: not on trial). The valid copy with the higher generation counts.

    event            before                     after
    install          good = X, not on trial     active = the other, tries = 3     the slot was written and verified before
    boot             tries > 0                  tries - 1, by the boot script; it boots active
    boot             tries used up              active = good                     by the boot script
    healthy          on trial                   good = active, tries = 0
    unhealthy        on trial                   active = good, tries = 0          then reboot at once
    any              not on trial               nothing is written

Source: U-Boot's env/common.c for the form. Writing into the slots themselves is not done here.
"""

import os
import struct
import zlib
from dataclasses import dataclass, replace

from skerry_core.errors import LocalError

SECTOR = 512
OFFSETS = (2048 * SECTOR, 4096 * SECTOR)
SIZE = 16384
TRIES = 3
SLOTS = ("a", "b")


@dataclass(frozen=True, slots=True)
class BootState:
    active: str = "a"
    good: str = "a"
    tries: int = 0
    trial: bool = False
    generation: int = 0

    def installed(self) -> "BootState":
        """The other slot has a new system: try it. LocalError while one is being tried."""
        if self.trial:
            raise LocalError(f"slot {self.active} is on trial: wait until it is found good or bad")
        return replace(self, active=other(self.good), tries=TRIES, trial=True)

    def healthy(self) -> "BootState":
        return replace(self, good=self.active, tries=0, trial=False) if self.trial else self

    def unhealthy(self) -> "BootState":
        return replace(self, active=self.good, tries=0, trial=False) if self.trial else self

    def booted(self) -> "BootState":
        """What the boot script makes of it, here for tests and for looking ahead: the slot to boot is `active` of the result."""
        if not self.trial:
            return self
        return replace(self, tries=self.tries - 1) if self.tries else self.unhealthy()


def other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def encode(state: BootState) -> bytes:
    """One copy, SIZE bytes."""
    values = {"generation": state.generation, "active": state.active, "good": state.good, "tries": state.tries, "trial": int(state.trial)}
    body = b"".join(f"{name}={value}".encode() + b"\0" for name, value in values.items()) + b"\0"
    body = body.ljust(SIZE - 4, b"\0")
    return struct.pack("<I", zlib.crc32(body)) + body


def decode(data: bytes) -> BootState | None:
    """None for a copy that is torn, foreign or says something impossible."""
    if len(data) != SIZE or zlib.crc32(data[4:]) != struct.unpack_from("<I", data)[0]:
        return None
    lines = data[4:].partition(b"\0\0")[0].split(b"\0")
    values = dict(line.decode("ascii", "replace").partition("=")[::2] for line in lines)
    try:
        state = BootState(values["active"], values["good"], int(values["tries"]), values["trial"] == "1", int(values["generation"]))
    except (KeyError, ValueError):
        return None
    possible = state.active in SLOTS and state.good in SLOTS and 0 <= state.tries <= TRIES and state.generation >= 0
    return state if possible and (state.trial or (state.active == state.good and not state.tries)) else None


class Card:
    """The two copies on a block device or an image file. `load` never writes; `store` writes one copy after the other, each on the disk and
    read back before the next is touched, the older first, so that one of them is whole at any moment."""

    def __init__(self, path: str) -> None:
        self._path = path

    def load(self) -> BootState:
        """LocalError when neither copy is valid: the card is damaged, or not one of ours."""
        found = [state for state in self._copies() if state is not None]
        if not found:
            raise LocalError(f"{self._path}: neither copy of the boot state is valid")
        return max(found, key=lambda state: state.generation)

    def store(self, state: BootState) -> BootState:
        """Store a state; the one stored, with its new generation. Nothing is written when nothing changed and both copies are whole.
        LocalError: a copy reads back wrong."""
        copies = self._copies()
        known = [copy for copy in copies if copy is not None]
        newest = max(known, key=lambda copy: copy.generation, default=None)
        if newest is not None and replace(newest, generation=0) == replace(state, generation=0) and len(known) == len(copies):
            return newest
        fresh = replace(state, generation=1 + (newest.generation if newest else 0))
        order = sorted(range(len(OFFSETS)), key=lambda at: -1 if (copy := copies[at]) is None else copy.generation)
        for at in order:
            self._write(OFFSETS[at], encode(fresh))
        return fresh

    def _copies(self) -> list[BootState | None]:
        try:
            with open(self._path, "rb", buffering=0) as card:
                return [decode(os.pread(card.fileno(), SIZE, offset)) for offset in OFFSETS]
        except OSError as error:
            raise LocalError(f"cannot read the boot state on {self._path}: {error.strerror}") from None

    def _write(self, offset: int, data: bytes) -> None:
        try:
            with open(self._path, "r+b", buffering=0) as card:
                if os.pwrite(card.fileno(), data, offset) != len(data):
                    raise LocalError(f"{self._path}: the boot state was written in part")
                os.fsync(card.fileno())
                if os.pread(card.fileno(), SIZE, offset) != data:
                    raise LocalError(f"{self._path}: the boot state reads back wrong: the card is failing")
        except OSError as error:
            raise LocalError(f"cannot write the boot state on {self._path}: {error.strerror}") from None
