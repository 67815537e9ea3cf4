"""A small service supervisor that speaks systemd's notify protocol: Type=notify, a file-descriptor store, restart, and nothing else.

What it does of sd_notify(3): READY=1, STOPPING=1, FDSTORE=1 with FDNAME= (a descriptor that is there already is not kept twice),
FDSTOREREMOVE=1, BARRIER=1. What is kept is passed from descriptor 3 on, named by LISTEN_FDNAMES, and closed at a stop for good.
It starts the service by the argument list it is given (a lab's host enters its namespaces first); the shell knows its own number,
which LISTEN_PID has to be. A restart is systemd's: SIGTERM, wait for the end, read what was sent till then, start.

It runs in the tests' process: a thread reads the notify socket, as the service waits for its barrier while the test waits for its end.
"""

import array
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from tests.netlab.lab import LabError, until

MAX_FDS = 16
FIRST = 3
AS_SERVICE = 'export LISTEN_PID=$$; exec "$@"'


class Supervisor:
    """`with Supervisor(folder, store=True) as s: s.start(argv, env, log); s.restart(); s.kill()`. `store=False` keeps nothing."""

    def __init__(self, folder: Path, name: str, store: bool = True) -> None:
        self.path = folder / f"{name}.notify"
        self._store = store
        self._fds: list[tuple[str, int]] = []
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self.heard: list[str] = []  # every line, for tests
        self.process: subprocess.Popen[bytes] | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.close()

    def close(self) -> None:
        """The notify socket and all that is kept."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join(5)
        self._socket.close()
        self.path.unlink(missing_ok=True)
        self._forget()

    # what the service says

    def _listen(self) -> None:
        while self._receive():
            pass

    def _receive(self) -> bool:
        fds = array.array("i")
        data, ancillary, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(content[: len(content) // fds.itemsize * fds.itemsize])
        lines = dict(line.partition("=")[::2] for line in data.decode().split("\n") if line)
        self.heard += data.decode().split("\n")
        kept = lines.get("FDSTORE") == "1" and self._store
        with self._lock:
            for fd in fds:
                if not (kept and self._keep(lines.get("FDNAME", "stored"), fd)):
                    os.close(fd)  # for BARRIER=1 this is the answer
        if lines.get("FDSTOREREMOVE") == "1":
            self._remove(lines.get("FDNAME", ""))
        if lines.get("READY") == "1":
            self._ready.set()
        return bool(data)

    def _keep(self, name: str, fd: int) -> bool:
        if any(_same(fd, other) for _, other in self._fds):
            return False
        self._fds.append((name, fd))
        return True

    def _remove(self, name: str) -> None:
        with self._lock:
            for kept in [pair for pair in self._fds if pair[0] == name]:
                self._fds.remove(kept)
                os.close(kept[1])

    def _forget(self) -> None:
        with self._lock:
            for _, fd in self._fds:
                os.close(fd)
            self._fds = []

    def names(self) -> list[str]:
        """Of what is kept, in order."""
        with self._lock:
            return [name for name, _ in self._fds]

    def barrier(self) -> None:
        """Everything sent to us until now has been read."""
        reading, writing = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing]))]
            own.sendmsg([b"BARRIER=1"], rights, 0, str(self.path))
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)

    # life of the service

    def start(self, argv: list[str], env: dict[str, str], log: Path, inner: int = 0) -> None:
        """Run it; `argv[inner:]` is the service, what stands before only leads to where it runs."""
        self._start = (argv, env, log, inner)
        self._launch()
        until(f"{argv[inner]} is ready", self._is_ready, 20, 0.005)

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise LabError(f"the service ended with {self.process.returncode}:\n{self._start[2].read_text(errors='replace')[-3000:]}")
        return self._ready.is_set()

    def _launch(self) -> None:
        argv, env, log, inner = self._start
        self._ready.clear()
        environ = {**os.environ, **env, "NOTIFY_SOCKET": str(self.path)}
        command = [*argv[:inner], "sh", "-c", AS_SERVICE, "sh", *argv[inner:]]
        with self._lock:
            names = [name for name, _ in self._fds]
            if names:
                environ.update(LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
            with open(log, "ab") as out:
                self.process = _spawn(command, environ, [fd for _, fd in self._fds], out.fileno())

    def restart(self) -> float:
        """As `systemctl restart`; seconds until it is ready again."""
        begun = time.monotonic()
        self._end(signal.SIGTERM)
        self._launch()
        until("the service is ready again", self._is_ready, 20, 0.005)
        return time.monotonic() - begun

    def crash(self) -> float:
        """kill -9, and start again at once; seconds until it is ready."""
        begun = time.monotonic()
        self._end(signal.SIGKILL)
        self._launch()
        until("the service is ready again", self._is_ready, 20, 0.005)
        return time.monotonic() - begun

    def stop(self) -> None:
        """For good: what is kept is closed."""
        if self.process is not None and self.process.poll() is None:
            self._end(signal.SIGTERM)
        self._forget()

    def _end(self, how: int) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.barrier()


def _same(a: int, b: int) -> bool:
    """Whether both are one file. Each open of /dev/net/tun is a device of its own, whatever its inode says."""
    first, second = os.fstat(a), os.fstat(b)
    if (first.st_dev, first.st_ino) != (second.st_dev, second.st_ino):
        return False
    return not os.readlink(f"/proc/self/fd/{a}").startswith("/dev/net/tun")


def _spawn(command: list[str], environ: dict[str, str], fds: list[int], out: int) -> "subprocess.Popen[bytes]":
    """The process with these descriptors from 3 on."""
    high = [os.dup(fd) for fd in fds]  # none of them below 3 + len(fds) by the time they are put in place
    spare = []
    while high and min(high) < FIRST + len(high):
        at = high.index(min(high))
        spare.append(high[at])
        high[at] = os.dup(high[at])

    def place() -> None:
        for number, fd in enumerate(high):
            os.dup2(fd, FIRST + number)

    try:
        keep = range(FIRST, FIRST + len(high))
        return subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=place, pass_fds=keep)  # noqa: PLW1509  place takes no lock
    finally:
        for fd in [*high, *spare]:
            os.close(fd)
