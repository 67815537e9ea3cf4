"""A short-lived program, its input and output, without the 2 MB that `subprocess` would stay around with.

The arguments are a list; no shell is anywhere. The program is looked up in PATH and the system's folders.
"""

import errno
import os
import select
import signal

from skerry_core.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

WAIT = 10_000  # ms
LIMIT = 4 << 20
FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")


def find(name: str) -> str:
    """The path of a program, or ""."""
    for folder in (*os.environ.get("PATH", "").split(":"), *FOLDERS):
        path = os.path.join(folder, name)
        if folder.startswith("/") and os.access(path, os.X_OK):
            return path
    return ""


def run(argv: "Sequence[str]", text: str = "") -> "tuple[int, str, str]":
    """(exit status, output, errors) of a program that ends soon. LocalError: there is none, or it did not end."""
    path = find(argv[0])
    if not path:
        raise LocalError(f"the program {argv[0]} is missing")
    files = [os.memfd_create(f"skerry-{argv[0]}", os.MFD_CLOEXEC) for _ in range(3)]
    try:
        os.write(files[0], text.encode())
        os.lseek(files[0], 0, os.SEEK_SET)
        given = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(files)]
        defaults = [signal.SIGPIPE, signal.SIGHUP]
        child = os.posix_spawn(path, list(argv), {**os.environ, "LC_ALL": "C"}, file_actions=given, setsigdef=defaults)
        status = _ended(child, argv[0])
        output, errors = (os.pread(fd, LIMIT, 0).decode("utf-8", "replace") for fd in files[1:])
        return os.waitstatus_to_exitcode(status), output, errors
    except OSError as error:
        raise LocalError(f"cannot run {argv[0]}: {error.strerror or error}") from None
    finally:
        for fd in files:
            os.close(fd)


def _ended(child: int, name: str) -> int:
    """Its status; after WAIT it is killed."""
    try:
        watched = os.pidfd_open(child)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return os.waitpid(child, 0)[1]
    try:
        if not select.select([watched], [], [], WAIT / 1000)[0]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise LocalError(f"{name} did not end within {WAIT // 1000} s")
        return os.waitpid(child, 0)[1]
    finally:
        os.close(watched)
