"""The local API's socket: who may connect, how many, for how long; bytes in, `Request`s out, answers back.

Reading is for whoever may open the socket: mode 0660, the group `skerry` if the host has one. Writing is for root
and for the user skerryd runs as, told by the kernel (SO_PEERCRED) and not by the caller. Each other user has a share of
the connections only, and the last of them are root's: nobody can keep the owner out. An answer may be a
`Later` (ping, netcheck: filled in when the engine is done) or a `Feed` (lines until one side hangs up).
"""

import errno
import os
import selectors
import socket
import stat
import struct

from skerry_core.errors import LocalError, PeerError

from .http import Refusal, Request, RequestParser, head, response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Handler = Callable[[Request], Any]

CONNECTIONS = 64
SHARE, SPARED = 24, 16  # of one other user; for root and skerryd's own user alone
PAUSE = 1_000  # ms without accepting when the system has no descriptor left
REQUEST_WITHIN = 10_000  # ms
BACKLOG = 1 << 20  # bytes that may wait for the reader of a feed; a whole answer waits until its time is up
GROUP = "skerry"


class Later:
    """An answer that is not there yet: `done(status, body)` sends it. `within`: ms until it is given up."""

    def __init__(self, within: int = 60_000) -> None:
        self.within = within
        self._connection: Connection | None = None
        self._answer: bytes | None = None

    def done(self, status: int, body: "Any") -> None:
        """Answer now; nothing happens when the caller has gone."""
        self._answer = response(status, body)
        if self._connection is not None:
            self._connection.finish(self._answer)

    def attach(self, connection: "Connection") -> None:
        """The server's: who waits for it. It may be done already."""
        self._connection = connection
        if self._answer is not None:
            connection.finish(self._answer)


class Feed:
    """An answer without end: `line(data)` adds one; `closed` once the caller hung up."""

    def __init__(self, first: bytes = b"", kind: str = "application/json") -> None:
        self.first, self.kind = first, kind
        self.closed = False
        self.connection: Connection | None = None

    @property
    def waiting(self) -> int:
        """Bytes that the caller has not taken yet."""
        return 0 if self.connection is None else self.connection.waiting

    def line(self, data: bytes) -> None:
        """Send one line (its newline included), or whatever the feed is made of."""
        if self.connection is not None and not self.closed:
            self.connection.send(data)

    def end(self) -> None:
        """No more lines will come."""
        if self.connection is not None:
            self.connection.finish(b"")


class Connection:
    """One caller."""

    def __init__(self, server: "LocalServer", sock: socket.socket, now: int) -> None:
        self._server = server
        self.socket = sock
        self.pid, self.uid, self.gid = credentials(sock)
        self.deadline: int | None = now + REQUEST_WITHIN
        self._parser: RequestParser | None = RequestParser()
        self._out = bytearray()
        self._ending = False
        self.feed: Feed | None = None
        server.selector.register(sock, selectors.EVENT_READ, self.ready)

    @property
    def waiting(self) -> int:
        """Bytes that the socket has not taken yet."""
        return len(self._out)

    def ready(self, mask: int) -> None:
        """The selector's callback."""
        if mask & selectors.EVENT_WRITE:
            self.send(b"")
        if mask & selectors.EVENT_READ and self.socket.fileno() >= 0:
            self._read()

    def _read(self) -> None:
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif self._parser is not None:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            request = self._parser.feed(data)
            if request is None:
                return
            self._parser = None
            request.pid, request.uid, request.gid = self.pid, self.uid, self.gid
            answer = self._server.handler(request)
        except Refusal as refusal:
            self.finish(response(refusal.status, {"error": str(refusal)}))
        except PeerError as error:
            self.finish(response(400, {"error": str(error)}))
        except LocalError as error:
            self.finish(response(409, {"error": str(error)}))
        except Exception:  # one bad answer must not take the tunnel down with it
            import traceback

            traceback.print_exc()
            self.finish(response(500, {"error": "skerryd failed in answering; its log has the details"}))
        else:
            self._answer(answer)

    def _answer(self, answer: "Any") -> None:
        if isinstance(answer, Later):
            self.deadline = self._server.clock() + answer.within
            answer.attach(self)
        elif isinstance(answer, Feed):
            answer.connection, self.feed, self.deadline = self, answer, None
            self.send(head(200, answer.kind) + answer.first)
        else:
            self.finish(answer if isinstance(answer, bytes) else response(200, answer))

    def send(self, data: bytes) -> None:
        """Queue and send what the socket takes."""
        if self.socket.fileno() < 0:
            return  # hung up meanwhile
        self._out += data
        try:
            while self._out:
                del self._out[: self.socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if not self._out if self._ending else len(self._out) > BACKLOG:
            self.close()
            return
        self._server.selector.modify(self.socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0), self.ready)

    def finish(self, data: bytes) -> None:
        """Send the rest and close."""
        self._ending = True
        self.deadline = self._server.clock() + REQUEST_WITHIN
        self.send(data)

    def expire(self) -> None:
        """Time is up."""
        if self._ending or self._parser is not None:
            self.close()
        else:
            self.finish(response(503, {"error": "no answer in time"}))

    def close(self) -> None:
        """Hang up."""
        if self.socket.fileno() >= 0:
            self._server.selector.unregister(self.socket)
            self.socket.close()
        if self.feed is not None:
            self.feed.closed = True
        self._server.connections.discard(self)


class LocalServer:
    """The listening socket at `path`. `handler(request)` gives a JSON-able answer, bytes (a whole response), Later or Feed."""

    def __init__(
        self, selector: selectors.BaseSelector, path: str, handler: "Handler", clock: "Callable[[], int]", group: str = GROUP
    ) -> None:
        """`clock()` gives the milliseconds of `handle_timer`: after an idle hour a caller's time begins when the call comes."""
        self.selector = selector
        self.path = os.path.abspath(path)
        self.handler = handler
        self.clock = clock
        self.connections: set[Connection] = set()
        self._paused: int | None = None  # when to accept again
        self._socket = listen(self.path, group)
        self._identity = os.stat(self.path).st_ino
        selector.register(self._socket, selectors.EVENT_READ, self._accept)

    def _accept(self, _mask: int) -> None:
        for _ in range(16):
            try:
                sock, _address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause()  # the caller stays in the queue: asking again at once would be a busy loop
                return
            sock.setblocking(False)
            if self._is_full(credentials(sock)[1]):
                sock.close()
                continue
            self.connections.add(Connection(self, sock, self.clock()))

    def _is_full(self, uid: int) -> bool:
        if uid in (0, os.geteuid()):
            return len(self.connections) >= CONNECTIONS
        theirs = sum(1 for connection in self.connections if connection.uid == uid)
        return theirs >= SHARE or len(self.connections) >= CONNECTIONS - SPARED

    def _pause(self) -> None:
        self.selector.unregister(self._socket)
        self._paused = self.clock() + PAUSE

    def _resume(self) -> None:
        self._paused = None
        self.selector.register(self._socket, selectors.EVENT_READ, self._accept)

    def next_timer(self) -> "int | None":
        """When handle_timer has something to do."""
        times = [self._paused, *(c.deadline for c in self.connections)]
        return min((at for at in times if at is not None), default=None)

    def handle_timer(self, now: int) -> None:
        """Hang up on those who take too long."""
        if self._paused is not None and now >= self._paused:
            self._resume()
        for connection in list(self.connections):
            if connection.deadline is not None and now >= connection.deadline:
                connection.expire()

    def close(self) -> None:
        """Stop listening and remove the socket, if it is still ours."""
        if self._paused is None:
            self.selector.unregister(self._socket)
        self._socket.close()
        for connection in list(self.connections):
            connection.close()
        try:
            if os.stat(self.path).st_ino == self._identity:
                os.unlink(self.path)
        except OSError:
            pass


def credentials(sock: socket.socket) -> "tuple[int, int, int]":
    """(pid, uid, gid) of who connected, from the kernel."""
    pid, uid, gid = struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid, gid


def listen(path: str, group: str = GROUP) -> socket.socket:
    """Bind a unix socket so that nobody outside the group can open it, not even for a moment."""
    if len(path.encode()) > 107:
        raise LocalError(
            f"the socket path {path} has {len(path.encode())} bytes, Linux allows 107: choose a shorter one with --socket PATH"
        )
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        _remove_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        before = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        _give_to_group(path, group)
        sock.listen(16)
    except OSError as error:
        raise LocalError(f"cannot listen on {path}: {error.strerror or error}. Choose another place with --socket PATH") from None
    return sock


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise LocalError(f"{path} exists and is no socket: remove it, or choose another place with --socket PATH")
    except FileNotFoundError:
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1)
    try:
        probe.connect(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)  # a run that was killed left it
    except OSError as error:
        raise LocalError(
            f"{path} exists and is no socket of skerryd ({error.strerror or error}): remove it, or choose another --socket PATH"
        ) from None
    else:
        pid = credentials(probe)[0]
        raise LocalError(f"another program (process {pid}) answers on {path}: stop it, or choose another place with --socket PATH")
    finally:
        probe.close()


def _give_to_group(path: str, group: str) -> None:
    import grp

    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except (KeyError, PermissionError):
        return  # no such group, or not a member: the owner alone
    os.chmod(path, 0o660)
