"""From one skerryd to the next through systemd's file-descriptor store: the TUN device, the UDP sockets, and what is alive in this process.

    running   tun, udp4-0, udp6-0 are in the store: they outlive a crash, too, and with them the interface's addresses and routes
              hint is a memfd beside them that says whom we talk to: after a crash they are offered a new session at once
    stop      "state" joins them: sessions, flows and the engine's handover(), in a memfd. Addresses and routes stay on the interface
    start     all of them come back as LISTEN_FDS, named by LISTEN_FDNAMES; the packet path runs before anything slow is begun

When the service is stopped for good systemd would close what it keeps, and the device would vanish with its addresses and routes, but
not the rules: so skerryd asks which job systemd has for it (`ends_for_good`), hands nothing over and takes all of it off itself.
Without systemd (no NOTIFY_SOCKET) nothing is kept, and nothing is when the device is one that stays (`ip tuntap add`).

A state serves once, or counters would be used twice: it is read, overwritten and cut to nothing before anything of it is used, so that what
may still be in the store after a crash is an empty file; then it is taken out of the store as well. (That is why the memfd is not sealed.)
The file, little-endian:

    magic 8 | version u32 | engine's length u32 | transport's length u64 | made u64, ms since boot | boot id 16 | node key 32
    BLAKE2s of all the rest 32 | engine (JSON) | transport

Source: sd_notify(3), sd_listen_fds(3), systemd.service(5) (FileDescriptorStoreMax=).
"""

import json
import os
import struct

from skerry_core.errors import LocalError
from skerry_shim import crypto

from .notify import barrier, notify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

MAGIC, VERSION = b"skerryho", 1
HEAD = struct.Struct("<8sIIQQ16s32s32s")
FIRST = 3  # descriptor that LISTEN_FDS counts from
MOST = 64
LIMIT = 256 << 20
OLDEST = 180_000  # ms; every session is over by then
WAIT = 2_000  # ms for systemd to read what it is to keep
STATE, HINT = "state", "hint"


class Given:
    """Descriptors by name that were passed to this process; each is taken once, `close()` ends the rest."""

    def __init__(self, descriptors: "list[tuple[str, int]]") -> None:
        self._descriptors = descriptors
        self.names = {name for name, _ in descriptors}

    def take(self, name: str) -> "list[int]":
        """Those of that name, now the caller's."""
        found = [fd for named, fd in self._descriptors if named == name]
        self._descriptors = [pair for pair in self._descriptors if pair[0] != name]
        return found

    def close(self) -> None:
        """What nobody took."""
        for _, fd in self._descriptors:
            os.close(fd)
        self._descriptors = []


def ends_for_good(cgroup: str = "/proc/self/cgroup") -> bool:
    """Whether systemd stops this service, as opposed to a restart; False where that cannot be told."""
    if not available():
        return True
    from .spawn import run

    try:
        with open(cgroup) as file:
            unit = file.read().strip().rpartition("/")[2]  # 0::/system.slice/skerryd.service
        if not unit.endswith(".service"):
            return False
        _status, output, _errors = run(["systemctl", "--no-legend", "--no-pager", "list-jobs", unit])
    except (OSError, LocalError):
        return False
    jobs = [line.split() for line in output.splitlines()]
    return any(job[1:3] == [unit, "stop"] for job in jobs)


def received(environ: "MutableMapping[str, str]", pid: int) -> Given:
    """What systemd passed to this process, if to this one; the variables are gone afterwards."""
    values = [environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")]
    if not all(value.isascii() and value.isdigit() for value in values[:2]) or int(values[0]) != pid:
        return Given([])
    count = min(int(values[1]), MOST)
    names = values[2].split(":")
    found = []
    for number in range(count):
        try:
            os.set_inheritable(FIRST + number, False)
        except OSError:
            continue  # it is not open
        found.append((names[number] if number < len(names) else "", FIRST + number))
    return Given(found)


def boot_id() -> bytes:
    """Of this boot of this machine; b"" where the kernel does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except (OSError, ValueError):
        return b""


def write(node: bytes, engine: "dict[str, Any]", transport: "bytes | bytearray", now: int, fd: int = -1) -> int:
    """A memfd with the state, a new one or `fd` written anew; LocalError when there is no boot id, no memory."""
    boot, document = boot_id(), json.dumps(engine, separators=(",", ":")).encode()
    if len(boot) != 16 or len(document) + len(transport) > LIMIT:
        raise LocalError(f"state of {len(document) + len(transport)} bytes, boot id of {len(boot)}: need at most {LIMIT}, and 16")
    fields = (MAGIC, VERSION, len(document), len(transport), now, boot, node)
    digest = crypto.blake2s(b"".join((HEAD.pack(*fields, bytes(32)), document, transport)))
    try:
        if fd < 0:
            fd = os.memfd_create("skerry-state", os.MFD_CLOEXEC)
        os.lseek(fd, 0, os.SEEK_SET)
        os.ftruncate(fd, 0)
        for part in (HEAD.pack(*fields, digest), document, transport):
            view = memoryview(part)
            while view:
                view = view[os.write(fd, view) :]
    except OSError as error:
        raise LocalError(f"no memory for the state: {error.strerror or error}") from None
    return fd


def read(fd: int, node: bytes, now: int) -> "tuple[dict[str, Any], bytearray]":
    """(engine's document, transport's bytes), which nobody can read again. LocalError: it is of no use, and wiped all the same."""
    return parse(_consume(fd), node, now)


def _consume(fd: int) -> bytearray:
    try:
        size = os.fstat(fd).st_size
        if size > LIMIT + HEAD.size:
            os.ftruncate(fd, 0)
            raise LocalError(f"{size} bytes, at most {LIMIT + HEAD.size}")
        data = bytearray(size)
        filled = os.preadv(fd, [data], 0)
        os.pwrite(fd, bytes(size), 0)
        os.ftruncate(fd, 0)
        if os.fstat(fd).st_size or filled != size:
            raise LocalError("it cannot be read and wiped as a whole")
    except OSError as error:
        raise LocalError(f"it cannot be read and wiped: {error.strerror or error}") from None
    return data


def parse(data: bytearray, node: bytes, now: int) -> "tuple[dict[str, Any], bytearray]":
    """See read(); `data` comes from who knows where."""
    from skerry_core.handover import Handover

    if len(data) < HEAD.size:
        raise LocalError(f"{len(data)} bytes, need {HEAD.size} at least")
    magic, version, length, rest, made, boot, key, digest = HEAD.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise LocalError(f"version {version} of {magic!r}, need {VERSION} of {MAGIC!r}")
    if HEAD.size + length + rest != len(data):
        raise LocalError(f"{len(data)} bytes, its head says {HEAD.size + length + rest}")
    data[HEAD.size - 32 : HEAD.size] = bytes(32)
    if crypto.blake2s(bytes(data)) != digest:
        raise LocalError("it is damaged: its digest does not match")
    if boot != boot_id():
        raise LocalError("it is of another boot")
    if not 0 <= now - made <= OLDEST:
        raise LocalError(f"it is {now - made} ms old, need 0..{OLDEST}")
    if key != node:
        raise LocalError("it is of another node key")
    try:
        document = json.loads(data[HEAD.size : HEAD.size + length])
    except (ValueError, RecursionError):
        raise LocalError("the engine's part is no JSON") from None
    Handover(document)  # now, while nothing of it is in use
    return document, data[HEAD.size + length :]


def node_key(saved: "Any") -> bytes:
    """The public node key of an engine's saved state; b"" without one."""
    try:
        return crypto.x25519_public(bytes.fromhex(saved["node_key"]))
    except (TypeError, KeyError, ValueError, LocalError):
        return b""


class Store:
    """What systemd keeps for us. Nothing is kept, and nothing raised, when there is no systemd."""

    def __init__(self, known: "dict[str, int] | None" = None) -> None:
        """`known`: what is in it already, by name."""
        self._kept = dict(known or {})

    def keep(self, descriptors: "dict[str, int]") -> bool:
        """Have these in it under these names, and what had the names before no more; whether all of it was sent."""
        sent = True
        for name in [name for name, fd in self._kept.items() if descriptors.get(name) != fd]:
            self.remove(name)
        for name, fd in descriptors.items():
            if name not in self._kept:
                if notify(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", [fd]):  # FDPOLL: an ICMP error must not throw a socket out
                    self._kept[name] = fd
                else:
                    sent = False
        return sent

    def remove(self, name: str) -> None:
        """Whatever has this name."""
        self._kept.pop(name, None)
        notify(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def hand_over(self, descriptors: "dict[str, int]") -> bool:
        """keep(), and wait until systemd has them; whether it has."""
        return self.keep(descriptors) and barrier(WAIT)


def available() -> bool:
    """Whether there may be a store; systemd says so since 254, an older one only that it listens."""
    return bool(os.environ.get("NOTIFY_SOCKET")) and os.environ.get("FDSTORE", "1") != "0"
