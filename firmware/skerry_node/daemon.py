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
from .membership import VERSION, Membership
from .node import Node
from .notify import notify
from .prefs import Prefs
from .state import StateDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any


def main(argv: "list[str] | None" = None) -> int:
    """The console script."""
    log = Log()
    try:
        chosen = options.parse(sys.argv[1:] if argv is None else argv)
        if chosen.ask:
            print(options.USAGE if chosen.ask == "help" else f"skerryd {VERSION}", end="" if chosen.ask == "help" else "\n")
            return 0
        file = options.read_file(chosen)
    except LocalError as error:
        log.trouble(str(error), clock.now())
        return 2
    log.verbose = chosen.verbose
    state = StateDirectory(chosen.state, identity.read(), check=check_engine)
    try:
        state.open()
        return serve(chosen, file, state, log)
    except LocalError as error:
        log.trouble(str(error), clock.now())
        return 1
    finally:
        state.close()


def check_engine(saved: "Any") -> None:
    """Whether the engine can use what it saved; LocalError if not."""
    from skerry_core.engine import state as engine_state

    engine_state.load(saved, os.urandom)


def serve(chosen: options.Options, file: "dict[str, Any]", state: StateDirectory, log: Log) -> int:
    """Run until a signal comes."""
    given = handover.received(os.environ, os.getpid())
    stored, saved = state.load()
    for note in state.notes:
        log.trouble(note, clock.now())
    prefs = Prefs(stored, file)
    membership = Membership(prefs, log)
    tun = chosen.tun or file.get("tun") or options.TUN
    port = chosen.port if chosen.port is not None else file.get("port")
    node = Node((str(tun), options.PORT if port is None else int(port), port is not None), state, membership, log)
    wake = catch_signals(node)
    try:
        node.open_path(saved, given)  # before anything that takes time: packets may be waiting
        return run(node, chosen, stored, saved, log)
    finally:
        node.close()
        node.selector.close()
        for descriptor in wake:
            os.close(descriptor)


def run(node: Node, chosen: options.Options, stored: "Any", saved: "Any", log: Log) -> int:
    """Run until a signal comes."""
    from .localapi.routes import Api
    from .localapi.server import LocalServer

    prefs = node.membership.prefs
    api = Api(node, node.state.notes)
    local = LocalServer(node.selector, chosen.socket, api.handle, clock.now)
    node.timers += [local, api.capture]
    try:
        if clock.wall() < clock.OLDEST:
            log.trouble("this host's clock was never set (it says 1970): the gateway's time is used until it is", clock.now())
        node.watchers.append(api.heard)
        node.open(saved)
        if prefs.save() != stored and not node.save():
            raise LocalError(node.problems[0])
        log.say(f"ready: {node.path.name}, UDP port {node.path.ports[0] or node.path.ports[1]}, local API {local.path}")
        if "gateway" not in prefs.values:
            log.say("no gateway is known yet: skerry up --gateway URL")
        notify("READY=1")
        node.keep()
        node.run()
        notify("STOPPING=1")
        if node.hand_over():
            log.debug("systemd keeps the interface, the sockets and the sessions")
        log.say("stopped")
        return 0
    finally:
        local.close()


def catch_signals(node: Node) -> "tuple[int, int]":
    """SIGTERM and SIGINT end the loop; a pipe wakes it up even in the middle of select()."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def ended(_signal: int, _frame: "FrameType | None") -> None:
        node.stop()

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    node.selector.register(reading, selectors.EVENT_READ, lambda _mask: os.read(reading, 64))
    return reading, writing


if __name__ == "__main__":
    sys.exit(main())
