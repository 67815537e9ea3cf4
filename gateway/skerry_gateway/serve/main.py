"""`run(options)`: `skerry-gateway serve` from the first message to a clean stop.

Start-up order: state directory and its lock, sockets (so that a port in use is said before anything is created), the parts, the first
connection. Stop on SIGINT or SIGTERM: map streams end, connections close, sockets and the admin socket are gone.
SIGHUP reads the certificate files again, if there are any.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
from contextlib import ExitStack
from typing import Any

from aiohttp import web

from skerry_core.errors import LocalError
from skerry_gateway.options import Options
from skerry_gateway.serve import admin_socket, derpmap, sockets
from skerry_gateway.serve.datagram import Behaviour, StunSocket
from skerry_gateway.serve.front import Front
from skerry_gateway.serve.gateway import Gateway, assemble, wall_ms
from skerry_gateway.serve.limits import Limits
from skerry_gateway.serve.udprelay import watch_addresses
from skerry_gateway.serve.watch import notify, watch_lag
from skerry_gateway.store import StateDir

log = logging.getLogger(__name__)
# what strangers send is not worth a traceback each; faults of our own are logged by the console's guard
_quiet = logging.getLogger("skerry_gateway.http")
_quiet.setLevel(logging.CRITICAL)
HTTP = {
    "logger": _quiet,
    "keepalive_timeout": 30.0,
    "access_log": None,
    "max_line_size": 8190,
    "max_field_size": 8190,
    "lingering_time": 2.0,
}
REMEMBER_S = 5.0
GOODBYE = 0.2
_CURE = "Give --url https://NAME with --tls-cert and --tls-key, or put a proxy with a certificate in front"


def run(options: Options) -> int:
    """Serve until a signal; 0 after a clean stop. LocalError for what its owner must change."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise LocalError("--tls-cert and --tls-key belong together: give both, or neither")
    state = StateDir(options.state).prepare()
    with state.lock(), ExitStack() as opened:
        tcp = [opened.enter_context(sock) for sock in sockets.listen_tcp(*options.listen)]
        first, second = _udp_sockets(*options.stun_listen, shared=bool(options.stun_other))
        for sock in [*first, *second]:
            opened.enter_context(sock)
        ports = (first[0].getsockname()[1], second[0].getsockname()[1])
        behaviour = Behaviour(_ipv4(first), options.stun_other, ports)
        opened.callback(behaviour.close)
        asyncio.run(_serve(options, state, tcp, first, second, behaviour))
    return 0


def _ipv4(opened: list[socket.socket]) -> str:
    """The IPv4 address among those listened on, "" for none: then any does to send from."""
    return next((str(sock.getsockname()[0]) for sock in opened if sock.family == socket.AF_INET), "")


def _udp_sockets(host: str, port: int, shared: bool) -> tuple[list[socket.socket], list[socket.socket]]:
    """Those of the port and of the next: a node that gets two answers to STUN learns how its NAT maps."""
    first = sockets.listen_udp(host, port, shared)
    try:
        return first, sockets.listen_udp(host, first[0].getsockname()[1] + 1, shared)
    except LocalError:
        for sock in first:
            sock.close()
        raise


async def _serve(
    options: Options,
    state: StateDir,
    tcp: list[socket.socket],
    udp: list[socket.socket],
    second: list[socket.socket],
    behaviour: Behaviour,
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    gateway = assemble(options, state, tcp[0].getsockname()[1], udp[0].getsockname()[1], udp if options.udp_relay else [])
    admin = await admin_socket.serve(admin_socket.listen(state.socket), gateway.call)
    runner = web.AppRunner(gateway.app, **HTTP)  # type: ignore[arg-type]
    await runner.setup()
    tls_only = str(gateway.url) if options.tls_cert else None
    front = Front(gateway.control, gateway.relay, gateway.relay_key, _http(runner), gateway.tls.context, Limits(), tls_only)
    if options.tls_cert:
        loop.add_signal_handler(signal.SIGHUP, _renew, options, gateway, front)
    servers = [await loop.create_server(front, sock=sock, backlog=sockets.BACKLOG) for sock in tcp]
    behaviour.offer(gateway.answerer)
    for sock in [*behaviour.listening, *(second if options.udp_relay else [*udp, *second])]:
        await loop.create_datagram_endpoint(lambda: StunSocket(gateway.answerer), sock=sock)
    watchers = [asyncio.create_task(task) for task in (watch_lag(), _watch_clock(gateway), _remember(gateway, state))]
    if gateway.udp_relay is not None:
        gateway.udp_relay.start()
        watchers.append(asyncio.create_task(watch_addresses(gateway.udp_relay, gateway.url, derpmap.REGION, gateway.tell_relay)))
    gateway.control.turn()
    gateway.relay.turn()
    announce(options, gateway)
    notify("READY=1")
    try:
        await stop.wait()
    finally:
        notify("STOPPING=1")
        for server in [*servers, admin]:
            server.close()
        for watcher in watchers:
            watcher.cancel()
        gateway.stop()
        await runner.cleanup()
        await asyncio.sleep(GOODBYE)  # what was written last leaves
        state.socket.unlink(missing_ok=True)


def _http(runner: web.AppRunner) -> Any:
    assert runner.server is not None
    return runner.server


def _renew(options: Options, gateway: Gateway, front: Front) -> None:
    """SIGHUP: the certificate was renewed. Connections that exist keep theirs."""
    try:
        gateway.renew(options)
    except LocalError as error:
        log.error("the certificate was not read again, the old one stays: %s", error)
        return
    front.context = gateway.tls.context
    log.info("the certificate was read again")


async def _watch_clock(gateway: Gateway) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(1)
            gateway.check_clock()


async def _remember(gateway: Gateway, state: StateDir) -> None:
    """Keep where nodes can be reached, so that after a crash those that come back first find the others."""
    kept = gateway.coordinator.remember()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(REMEMBER_S)
            found = gateway.coordinator.remember()
            if found != kept:
                try:
                    await asyncio.to_thread(state.remember, found)
                    kept = found
                except OSError as error:
                    log.warning("cannot write %s: %s", state.path / "recent.json", error.strerror)


def announce(options: Options, gateway: Gateway) -> None:
    """What the owner needs next: the address nodes are given, and on a first run the link to sign in with. On standard output."""
    first = gateway.coordinator.identity.ensure_owner(wall_ms())
    if first is not None:
        gateway.coordinator.reload_users(gateway.control.now())
    facts = {"address": gateway.address, "url": str(gateway.url), "state": str(options.state)}
    if first is not None:
        facts["owner"], facts["owner_link"] = first[0], f"{gateway.url}/sign-in/{first[1]}"
    if options.json:
        print(json.dumps({"event": "ready", **facts}), flush=True)
    else:
        print(_spoken(facts), flush=True)
    for warning in _warnings(options, gateway):
        print(f"warning: {warning}", file=sys.stderr, flush=True)


def _spoken(facts: dict[str, str]) -> str:
    lines = [
        f"Skerry gateway: {facts['url']}  (state in {facts['state']})",
        "",
        "Connect a node, or an official Tailscale client:",
        f"  skerry up --gateway '{facts['address']}'",
        f"  tailscale up --login-server {facts['url']}",
    ]
    if "owner_link" in facts:
        lines += ["", f"Nobody has signed in yet. Sign in as {facts['owner']} with this link, which works once within a day:"]
        lines += [f"  {facts['owner_link']}"]
    return "\n".join([*lines, "", "Ctrl-C stops the gateway."])


def _warnings(options: Options, gateway: Gateway) -> list[str]:
    found = [gateway.tls.warning] if gateway.tls.warning else []
    if not gateway.url.secure and gateway.url.public():
        found.append(
            f"{gateway.url} is plain HTTP on a public address: whoever is on the way can read the console and take over its sessions; "
            f"what nodes say to the gateway and to each other is encrypted all the same. {_CURE}"
        )
    if not gateway.url.official_clients_return():
        found.append(
            f"official Tailscale clients that lose {gateway.url} come back by https on port 443 only, because it is plain HTTP and no "
            f"private address; Skerry's nodes do not mind. {_CURE}"
        )
    return found
