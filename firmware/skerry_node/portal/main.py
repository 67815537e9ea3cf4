"""skerry-portal: the board's pages. Under systemd on the socket it is given, ending when idle; by hand with --listen.

Exit status: 0 ended, also when idle; 1 it cannot listen; 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import time

from aiohttp import web

from skerry_node.door import socket_path
from skerry_node.options import default_socket
from skerry_node.portal.agent import Agent
from skerry_node.portal.app import make_app
from skerry_node.portal.site import Site

IDLE = 120
FIRST_DESCRIPTOR = 3  # sd_listen_fds(3)
EXAMPLES = "example:\n  sudo skerry-portal --listen 0.0.0.0:8081\n\nThe pages ask for the board's code: sudo skerry code"


class Trouble(Exception):
    """A sentence for standard error."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    style = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser("skerry-portal", description="The pages of this board.", epilog=EXAMPLES, formatter_class=style)
    made.add_argument("--listen", metavar="ADDR:PORT", type=_address, help="where to listen (default: the socket that systemd gives)")
    made.add_argument("--agent", metavar="PATH", help=f"skerryd's socket for the portal (default: {_default_agent()})")
    made.add_argument("--host", metavar="NAME", action="append", default=[], help="another name this board is called by; repeatable")
    made.add_argument("--idle", metavar="SECONDS", type=float, help=f"end after so long without a visitor (default: {IDLE}; never by hand)")
    return made


def _default_agent() -> str:
    return socket_path(default_socket(os.environ, os.geteuid()))


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f'"{text}": expected ADDR:PORT, such as 0.0.0.0:8081 or [::]:8081')
    return host.strip("[]"), int(port)


def main(argv: list[str] | None = None) -> int:
    """The console script."""
    chosen = parser().parse_args(argv)
    try:
        sockets = given() if chosen.listen is None else [bound(*chosen.listen)]
    except Trouble as trouble:
        print(f"skerry-portal: {trouble}", file=sys.stderr)
        return 1
    idle = chosen.idle if chosen.idle is not None else (IDLE if chosen.listen is None else None)
    site = Site(Agent(chosen.agent or _default_agent()), frozenset(name.lower() for name in chosen.host))
    asyncio.run(serve(site, sockets, idle))
    return 0


def given() -> list[socket.socket]:
    """The sockets that systemd listens on for us."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not os.environ.get("LISTEN_FDS", "").isdigit():
        raise Trouble("no socket was given: run it with --listen ADDR:PORT, or by systemd: systemctl enable --now skerry-portal.socket")
    return [socket.socket(fileno=FIRST_DESCRIPTOR + number) for number in range(int(os.environ["LISTEN_FDS"]))]


def bound(host: str, port: int) -> socket.socket:
    """A listening socket there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(64)
    except OSError as error:
        made.close()
        raise Trouble(f"cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --listen") from None
    print(f"skerry-portal: http://{f'[{host}]' if ':' in host else host}:{made.getsockname()[1]}/", flush=True)
    return made


async def serve(site: Site, sockets: list[socket.socket], idle: float | None) -> None:
    """Until a signal, or until nobody came for `idle` seconds."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(make_app(site), access_log=None, shutdown_timeout=2, keepalive_timeout=15)
    await runner.setup()
    try:
        for each in sockets:
            await web.SockSite(runner, each).start()
        await _until(site, idle, ended)
    finally:
        await runner.cleanup()


async def _until(site: Site, idle: float | None, ended: asyncio.Event) -> None:
    while not ended.is_set():
        left = None if idle is None else site.used + idle - time.monotonic()
        if left is not None and left <= 0 and not site.open:
            return
        try:
            await asyncio.wait_for(ended.wait(), None if left is None else max(left, 1))
        except TimeoutError:
            pass


if __name__ == "__main__":
    sys.exit(main())
