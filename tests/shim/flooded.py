"""TCP through two transports while a third host floods the receiver with forged handshakes from made-up sources. Prints one line of JSON.

Run inside namespaces: python -m tests.netlab python -m tests.shim.flooded MEGABYTES PER_SECOND
"""

import json
import select
import socket
import sys

from skerry_core.wireguard import cookie
from skerry_shim import crypto
from tests.bench.flood import flood
from tests.netlab.lab import Lab
from tests.shim.tunnel import build, introduce, transfer

OUR_KEY = crypto.x25519_public(b"\x07" * 32)


def main() -> int:
    size, per_second = int(sys.argv[1]) << 20, int(sys.argv[2])
    with Lab() as lab:
        hosts = {name: lab.public(name) for name in ("a", "b", "attacker")}
        ends = {name: build(hosts[name]) for name in ("a", "b")}
        address = {name: socket.inet_aton(host.address) for name, host in hosts.items()}
        introduce(ends["b"], "b", "a", address["a"], "next")
        introduce(ends["a"], "a", "b", address["b"], "current")
        ends["b"].apply([("identity", OUR_KEY)])
        calm = transfer(size)
        with flood(hosts["attacker"], hosts["b"].address, 41641, OUR_KEY, per_second, 3) as sent:
            flooded = transfer(size)
            message = cookie.add_macs(crypto, cookie.mac1_key(crypto, OUR_KEY), b"\1\0\0\0" + bytes(112), None)
            reply = None
            for _ in range(3):  # a peer that is known asks for a session in the middle of it
                ends["a"].send((0, 4, address["b"], 41641, 0), message)
                reply = reply or answer(ends["a"])
        result = {
            "calm": calm,
            "flooded": flooded,
            "sent": sent[0],
            "reply": len(reply or b""),
            "polled": len(ends["b"].poll()),
            "counters": ends["b"].counters(),
        }
        for end in ends.values():
            end.stop()
            end.close()
        print(json.dumps(result))
    return 0


def answer(transport, patience: float = 2.0) -> bytes | None:
    """The next datagram handed up, or None."""
    while select.select([transport], [], [], patience)[0]:
        for event in transport.poll():
            if event[0] == "datagram":
                return bytes(event[2])
    return None


if __name__ == "__main__":
    sys.exit(main())
