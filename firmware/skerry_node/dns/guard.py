"""skerry-resolv: the only program of ours that writes /etc/resolv.conf. It runs as root, started by its socket, and ends when it is idle.

skerryd, which may not write there, connects and says what it wants; the wish holds as long as the connection does. So whatever ends
skerryd, its restart too, puts the file before back at once. What ends us is covered as well: a signal puts it back, after a kill the
unit's ExecStopPost does, after a power cut the unit at boot (`--restore`, and every start).

    skerryd    one JSON object a line: {"servers": ["100.100.100.100"], "search": ["tn.example"]}
    we         {"before": text of the file before}, again whenever somebody else wrote it, or {"error": sentence}

The file before is kept beside ours under another name: a symbolic link as one, a file as the same inode, put there before ours takes its
place, both in one step. So at every moment there is a whole resolv.conf, and what to do with the two is told by ours' first line alone:

    ours, and a file before       the one before is put back           ours, and none before    there was none: ours is removed
    another's                     it stays, what was before is dropped

A file that is a mount point of its own (containers) cannot be replaced: it is written in place. Programs that write it anew while we hold
it (NetworkManager, dhclient) are right: theirs is the file before from then on.
"""

import errno
import json
import os
import selectors
import signal
import socket
import sys

from skerry_core.errors import LocalError

from . import resolvconf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOOK = 5.0  # s, for others' writing
IDLE = 10.0  # s without anybody
LINE = 65536
SERVERS = ("100.100.100.100", "fd7a:115c:a1e0::53")
USAGE = f"""usage: skerry-resolv [--listen PATH] [--file FILE] [--before FILE] [--restore]

Points this host's resolv.conf at skerryd while skerryd wants it, and puts the file before back afterwards.
Started by its systemd socket; without systemd, start it as root before skerryd.

  --listen PATH    where skerryd connects (default: {resolvconf.GUARD})
  --file FILE      the file (default: {resolvconf.PATH})
  --before FILE    where the one before is kept meanwhile (default: the file's name with {resolvconf.BEFORE})
  --restore        put the file before back, if ours is there, and end
"""


class File:
    """resolv.conf and the one before. OSError with the kernel's reason where it cannot be written."""

    def __init__(self, path: str = resolvconf.PATH, before: str = "") -> None:
        self.path, self.before = path, before or path + resolvconf.BEFORE

    @property
    def ours(self) -> bool:
        """Whether ours is in place."""
        return resolvconf.read(self.path).startswith(resolvconf.MARK)

    def take(self, servers: "list[str]", search: "list[str]") -> str:
        """Put ours in place, keeping the one before; the text of that."""
        now = resolvconf.read(self.path)  # once: what is put there from here on is seen, and kept, by the next look
        if not now.startswith(resolvconf.MARK):
            self._keep()
        before = resolvconf.read(self.before)
        text = resolvconf.ours(servers, search, before)
        if now != text:
            self._write(text)
        return before

    def restore(self) -> bool:
        """Put the one before back, if ours is in place or none is; whether anything changed."""
        kept = os.path.lexists(self.before)
        if os.path.lexists(self.path) and not self.ours:
            if kept:
                os.unlink(self.before)
            return False
        if kept:
            self._move_back()
        elif self.ours:
            self._remove()
        return True

    def _keep(self) -> None:
        new = self.before + ".new"
        if os.path.lexists(new):
            os.unlink(new)
        if not os.path.lexists(self.path):
            if os.path.lexists(self.before):
                os.unlink(self.before)
            return
        if os.path.islink(self.path):
            os.symlink(os.readlink(self.path), new)
        else:
            try:
                os.link(self.path, new)
            except OSError:  # a mount point, or a file system without links
                write(new, resolvconf.read(self.path))
        os.rename(new, self.before)
        sync(self.before)

    def _write(self, text: str) -> None:
        new = self.path + ".skerry-new"
        write(new, text)
        try:
            os.rename(new, self.path)
        except OSError as error:
            os.unlink(new)
            if error.errno != errno.EBUSY:
                raise
            write(self.path, text)  # a mount point
        sync(self.path)

    def _move_back(self) -> None:
        try:
            os.rename(self.before, self.path)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EXDEV):
                raise
            write(self.path, resolvconf.read(self.before))
            os.unlink(self.before)
        sync(self.path)

    def _remove(self) -> None:
        try:
            os.unlink(self.path)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            write(self.path, "")


def write(path: str, text: str) -> None:
    """A file for everybody to read, on disk when this returns."""
    descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fchmod(descriptor, 0o644)
        os.fsync(descriptor)


def sync(path: str) -> None:
    """The folder of `path`, so that a rename is on disk."""
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def wish(line: bytes) -> "tuple[list[str], list[str]]":
    """(servers, search domains) of a line. LocalError: something else; nothing else reaches the file."""
    try:
        document = json.loads(line)
        servers, search = document["servers"], document["search"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LocalError("not a wish: an object with servers and search is expected") from None
    if not isinstance(servers, list) or not 1 <= len(servers) <= 2 or any(each not in SERVERS for each in servers):
        raise LocalError(f"servers must be of {', '.join(SERVERS)}")
    if not isinstance(search, list) or len(search) > resolvconf.SEARCH or not all(isinstance(d, str) and _is_domain(d) for d in search):
        raise LocalError(f"search must be at most {resolvconf.SEARCH} domain names")
    return servers, search


def _is_domain(text: str) -> bool:
    plain = text.replace("-", "").replace("_", "").replace(".", "")
    return 0 < len(text) < 254 and plain.isascii() and plain.isalnum()


class Guard:
    """Holds the file for whoever connected last."""

    def __init__(self, file: File, listener: socket.socket, idle: float = IDLE) -> None:
        self._file, self._listener, self._idle = file, listener, idle
        self._selector = selectors.DefaultSelector()
        self._buffers: dict[socket.socket, bytes] = {}
        self._wishes: dict[socket.socket, tuple[list[str], list[str]]] = {}
        self._before: str | None = None
        self._stop = False

    def run(self) -> None:
        """Until a signal comes, or nobody has been there for a while; the file before is in place then."""
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        try:
            self._file.restore()  # of a run that did not end well
            while not self._stop:
                ready = self._selector.select(LOOK if self._buffers else self._idle)
                if not ready and not self._buffers:
                    return
                for key, _ in ready:
                    key.data(key.fileobj)
                self._settle()
        finally:
            self._file.restore()
            self._selector.close()

    def wake(self, descriptor: int) -> None:
        """Readable when a signal came."""
        self._selector.register(descriptor, selectors.EVENT_READ, lambda fd: os.read(fd, 64))

    def stop(self) -> None:
        """Leave run() soon."""
        self._stop = True

    def _accept(self, _listener: object) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.settimeout(2)
        self._buffers[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ, self._read)

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(LINE)
        except OSError:
            data = b""
        self._buffers[connection] += data
        if not data or len(self._buffers[connection]) > LINE:
            self._drop(connection)
            return
        *lines, self._buffers[connection] = self._buffers[connection].split(b"\n")
        if not lines:
            return
        try:
            found = wish(lines[-1])
        except LocalError as error:
            self._say(connection, {"error": str(error)})
            return
        self._wishes.pop(connection, None)  # the newest is the last one
        self._wishes[connection] = found
        self._before = None

    def _settle(self) -> None:
        """The file as the newest wish has it, or as it was."""
        if not self._wishes:
            if self._before is not None:
                self._before = None
                self._file.restore()
            return
        connection, (servers, search) = next(reversed(self._wishes.items()))
        try:
            before = self._file.take(servers, search)
        except OSError as error:
            answer = {"error": f"cannot write {self._file.path}: {error.strerror or error}"}
            if self._before != (text := str(answer)):
                self._before = text
                self._say(connection, answer)
            return
        if before != self._before:
            self._before = before
            self._say(connection, {"before": before})

    def _say(self, connection: socket.socket, answer: "dict[str, Any]") -> None:
        try:
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        if self._buffers.pop(connection, None) is not None:
            self._selector.unregister(connection)
            connection.close()
        newest = next(reversed(self._wishes), None)
        if self._wishes.pop(connection, None) is not None and self._wishes and connection is newest:
            self._before = None  # the one before it is heard again


def listener(path: str) -> socket.socket:
    """The socket systemd passed to us, or one of our own, for root alone."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=3)
    own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    if os.path.lexists(path):
        os.unlink(path)
    mask = os.umask(0o177)
    try:
        own.bind(path)
    except OSError as error:
        raise LocalError(f"cannot listen on {path}: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    own.listen(8)
    return own


def options(argv: "list[str]") -> "dict[str, str]":
    """LocalError names what is wrong."""
    found = {"listen": resolvconf.GUARD, "file": resolvconf.PATH, "before": "", "restore": ""}
    words = list(argv)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if name in ("--restore", "--help", "-h"):
            found["restore" if name == "--restore" else "help"] = "yes"
            continue
        if name not in ("--listen", "--file", "--before"):
            raise LocalError(f'unknown argument "{name}"; see skerry-resolv --help')
        value = value if equals else words.pop(0) if words else ""
        if not value:
            raise LocalError(f"{name} needs a value; see skerry-resolv --help")
        found[name[2:]] = value
    return found


def main(argv: "list[str] | None" = None) -> int:
    """The console script."""
    try:
        chosen = options(sys.argv[1:] if argv is None else argv)
        if "help" in chosen:
            print(USAGE, end="")
            return 0
        file = File(chosen["file"], chosen["before"])
        if chosen["restore"]:
            file.restore()
            return 0
        activated = "LISTEN_PID" in os.environ
        guard = Guard(file, listener(chosen["listen"]), IDLE if activated else 1e6)
    except (LocalError, OSError) as error:
        print(f"skerry-resolv: {error}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: guard.stop())
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing)
    guard.wake(reading)
    try:
        guard.run()
    except OSError as error:
        print(f"skerry-resolv: {error.filename or chosen['file']}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
