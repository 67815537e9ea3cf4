"""skerryd: from the command line to a running node and back to nothing.

Exit status: 0 stopped cleanly, 1 something of this host is missing or wrong (said on standard error), 2 the command
line or node.toml is wrong.
"""

import os
import selectors
import signal
import sys

from skerry_board import identity
from skerry_core.errors import LocalError

from . import clock, handover, options
from .log import Log
from .notify import notify
from .packetpath import PacketPath
from .state import StateDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from .node import Node


AGAIN = -1  # of serve(): with another network's state


def main(argv: "list[str] | None" = None) -> int:
    """The console script."""
    log = Log()
    try:
        chosen = options.parse(sys.argv[1:] if argv is None else argv)
        if chosen.ask:
            print(options.USAGE if chosen.ask == "help" else f"skerryd {version()}", end="" if chosen.ask == "help" else "\n")
            return 0
        file = options.read_file(chosen)
        if chosen.log_file is not None:
            log.to_file(chosen.log_file)
    except LocalError as error:
        log.trouble(str(error), clock.now())
        return 2
    log.verbose = chosen.verbose
    state = StateDirectory(chosen.state, identity.read(), check=check_engine)
    try:
        state.open()
        while (code := serve(chosen, file, state, log)) == AGAIN:
            log.say("starting over with the state of another network")
        return code
    except LocalError as error:
        log.trouble(str(error), clock.now())
        return 1
    finally:
        state.close()


def version() -> str:
    """Ours."""
    from .membership import VERSION

    return VERSION


def check_engine(saved: "Any") -> None:
    """Whether the engine can use what it saved; LocalError if not."""
    from skerry_core.engine import state as engine_state

    engine_state.load(saved, os.urandom)


def serve(chosen: options.Options, file: "dict[str, Any]", state: StateDirectory, log: Log) -> int:
    """Run until a signal comes. The packet path comes first, before anything that takes time to load: packets may be waiting."""
    given = handover.received(os.environ, os.getpid())
    loaded = list(state.load())
    tun = chosen.tun or file.get("tun") or options.TUN
    port = chosen.port if chosen.port is not None else file.get("port")
    number = options.PORT if port is None else int(port)
    path = PacketPath(str(tun), number, port is not None, given, handover.node_key(loaded[1]), clock.now())
    try:
        return run(path, chosen, file, loaded, state, log)
    finally:
        path.close()


def run(
    path: PacketPath, chosen: options.Options, file: "dict[str, Any]", loaded: "list[Any]", state: StateDirectory, log: Log
) -> int:
    """The node around the packet path; `loaded`: stored preferences and engine, which is taken out: its map may be megabytes."""
    from .door import open_door
    from .localapi.routes import Api
    from .localapi.server import LocalServer
    from .membership import Membership
    from .node import Node
    from .prefs import Prefs

    stored, fresh = loaded[0], loaded[1] is None
    for note in state.notes:
        log.trouble(note, clock.now())
    prefs = Prefs(stored, file)
    node = Node(path, state, Membership(prefs, log), log)
    api = Api(node, state.notes)
    local = LocalServer(node.selector, chosen.socket, api.handle, clock.now)
    node.timers += [local, api.capture]
    wake = catch_signals(node, log)
    try:
        if clock.wall() < clock.OLDEST:
            log.trouble("this host's clock was never set (it says 1970): the gateway's time is used until it is", clock.now())
        node.watchers.append(api.heard)
        node.open(loaded.pop())
        if prefs.save() != stored and not node.save() and fresh:
            raise LocalError(node.problems[0])
        log.say(f"ready: {node.path.name}, UDP port {node.path.ports[0] or node.path.ports[1]}, local API {local.path}")
        if "gateway" not in prefs.values:
            log.say("no gateway is known yet: skerry up --gateway URL")
        notify("READY=1")
        node.keep()
        api.door = open_door(node, local.path, state.notes)
        node.run()
        if node.again:
            return AGAIN
        notify("STOPPING=1")
        if node.hand_over():
            log.debug("systemd keeps the interface, the sockets and the sessions")
        log.say("stopped")
        return 0
    finally:
        if api.door is not None:
            api.door.close()
        local.close()
        node.close()
        node.selector.close()
        for descriptor in wake:
            os.close(descriptor)


def catch_signals(node: "Node", log: Log) -> "tuple[int, int]":
    """SIGTERM and SIGINT end the loop, SIGHUP opens the log file anew; a pipe wakes it up even in the middle of select()."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def ended(_signal: int, _frame: "FrameType | None") -> None:
        node.stop()

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    signal.signal(signal.SIGHUP, lambda _signal, _frame: setattr(log, "renamed", True))
    node.selector.register(reading, selectors.EVENT_READ, lambda _mask: os.read(reading, 64))
    return reading, writing


if __name__ == "__main__":
    sys.exit(main())
