"""What a relay connection over TLS that is idle costs the process that has it, in resident memory: our gateway's and derper's.

A first hundred connections are there before the memory is looked at: what is set up once is nobody's connection.
"""

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack

from skerry_core import derp
from skerry_shim import crypto
from tests.bench import OURS, THEIRS, Measured
from tests.bench.pair import daemon_pid, resident_mb
from tests.bench.populate import populate, private_key
from tests.netlab.lab import lab_with_logs, until
from tests.netlab.programs import Derper, Gateway, Program

FIRST, MORE = 100, 900
REST_S = 5
UPGRADE = b"GET /derp HTTP/1.1\r\nHost: relay\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"


def connect(address: str, port: int, private: bytes) -> ssl.SSLSocket:
    """A client that the relay has admitted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    made = context.wrap_socket(socket.create_connection((address, port), 10), server_hostname=address)
    made.sendall(UPGRADE)
    key = derp.parse_server_key(_frame(made, _after_head(made), derp.SERVER_KEY)[0])
    made.sendall(derp.client_info(crypto, private, crypto.x25519_public(private), key, bytes(24)))
    _frame(made, b"", derp.SERVER_INFO)
    return made


def _after_head(made: ssl.SSLSocket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        got = made.recv(4096)
        if not got:
            raise RuntimeError(f"the relay closed the connection after {data[:100]!r}")
        data += got
    return data.partition(b"\r\n\r\n")[2]


def _frame(made: ssl.SSLSocket, data: bytes, kind: int) -> tuple[bytes, bytes]:
    """The payload of the next frame, which has to be of that kind, and what came after it."""
    while len(data) < derp.HEADER or len(data) < derp.HEADER + int.from_bytes(data[1:5], "big"):
        got = made.recv(4096)
        if not got:
            raise RuntimeError("the relay closed the connection")
        data += got
    end = derp.HEADER + int.from_bytes(data[1:5], "big")
    if data[0] != kind:
        raise RuntimeError(f"the relay sent frame {data[0]} in place of {kind}")
    return data[derp.HEADER : end], data[end:]


def each_costs(program: Program, port: int) -> float:
    """kB of resident memory for each of MORE connections."""
    with ExitStack() as opened:
        sizes = []
        for count in (FIRST, MORE):
            start = FIRST if sizes else 0
            for number in range(start, start + count):
                opened.enter_context(connect(program.host.address, port, private_key(number)))
            time.sleep(REST_S)
            sizes.append(resident_mb(daemon_pid(program)))
        return (sizes[1] - sizes[0]) * 1024 / MORE


def measure(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    found = Measured("an idle relay connection over TLS, kB", "kB", "<= 40 kB", limit=40, digits=1)
    for number in range(rounds):
        with lab_with_logs() as lab:
            gateway, derper = Gateway(lab.public("gateway"), "gw"), Derper(lab.public("derper"), "derper")
            gateway.start()
            gateway.stop()
            populate(gateway.state, FIRST + MORE)
            gateway.start()
            derper.start()
            until("both listen", lambda: _listens(gateway, 8080) and _listens(derper, 443), 20)  # noqa: B023
            found.values[OURS].append(each_costs(gateway, gateway.port))
            found.values[THEIRS].append(each_costs(derper, 443))
        say(f"connections: round {number + 1} of {rounds}: {found.values[OURS][-1]:.1f} kB, derper {found.values[THEIRS][-1]:.1f}")
    return [found]


def _listens(program: Program, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((program.host.address, port)) == 0
