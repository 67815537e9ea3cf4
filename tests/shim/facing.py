"""Two transports that face each other, and the packets that tests send through them.

A session is installed by hand; datagrams are carried between the two by the tests, so loss, order and forgery are theirs to choose. Time
is a number the test sets. The fixture `make` (conftest.py) builds transports: the Python one, then the one in C.
"""

import struct

import skerry_core.transport
import skerry_shim.transport
from skerry_core import disco, filter, path
from skerry_core.wireguard import handshake, messages
from skerry_shim import crypto

SENT, RECEIVED, HANDSHAKE, CONFIRMED, DATA = 1, 2, 4, 8, 32
ALICE_IP, BOB_IP = bytes((100, 64, 0, 1)), bytes((100, 64, 0, 2))
ALICE_IP6, BOB_IP6 = bytes.fromhex("fd7a115ca1e000000000000000000001"), bytes.fromhex("fd7a115ca1e000000000000000000002")
TO_BOB = path.udp(0, bytes((192, 0, 2, 2)), 41641)
TO_ALICE = path.udp(0, bytes((192, 0, 2, 1)), 41641)
EVERYTHING = filter.compile([{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}])
PEER = 7


class Clock:
    def __init__(self):
        self.now = 1_000_000

    def __call__(self):
        return self.now


class Bytes:
    """Deterministic "randomness"."""

    def __init__(self, seed):
        self.seed, self.count = seed, 0

    def __call__(self, n):
        self.count += 1
        return crypto.blake2s(b"%d/%d" % (self.seed, self.count))[: min(n, 32)].ljust(n, b"\x5a")


def python_transport(random, clock):
    return skerry_core.transport.Transport(crypto, random, clock)


def c_transport(random, clock):
    return skerry_shim.transport.Transport(crypto, random, clock)


def keypair(seed):
    private = crypto.blake2s(seed)
    return private, crypto.x25519_public(private)


ALICE_KEY, BOB_KEY = keypair(b"alice"), keypair(b"bob")


def prefixes(*addresses):
    return [(address, len(address) * 8) for address in addresses]


def basics(transport, own_key, own, other_key, other, to_other, rules=EVERYTHING):
    transport.apply(
        [
            ("identity", own_key[1]),
            ("addresses", list(own)),
            ("local-routes", []),
            ("peer", PEER, other_key[1], prefixes(*other)),
            ("paths", PEER, [to_other]),
            ("filter", rules),
        ]
    )
    return transport


def alice(make, **more):
    return basics(make(), ALICE_KEY, (ALICE_IP, ALICE_IP6), BOB_KEY, (BOB_IP, BOB_IP6), TO_BOB, **more)


def bob(make, **more):
    return basics(make(), BOB_KEY, (BOB_IP, BOB_IP6), ALICE_KEY, (ALICE_IP, ALICE_IP6), TO_ALICE, **more)


def keys(serial):
    return crypto.blake2s(b"a to b %d" % serial), crypto.blake2s(b"b to a %d" % serial)


def current(serial=1):
    """Alice's half of session `serial`, which she initiated."""
    send, receive = keys(serial)
    return ("session", PEER, "current", 1000 + serial, 2000 + serial, send, receive)


def following(serial=1):
    """Bob's half."""
    send, receive = keys(serial)
    return ("session", PEER, "next", 2000 + serial, 1000 + serial, receive, send)


def carry(sender, receiver, source):
    """Everything the sender wants sent, to the receiver, as UDP from `source`; gives the datagrams."""
    out = sender.datagrams()
    for _, data in out:
        receiver.datagram(source, data)
    return [data for _, data in out]


def pair(make, **more):
    """Alice and Bob with session 1 confirmed and nothing left to take."""
    a, b = alice(make), bob(make, **more)
    b.apply([following()])
    a.apply([current()])
    carry(a, b, TO_ALICE)
    for transport in (a, b):
        transport.poll()
        transport.packets()
        transport.datagrams()
    return a, b


def ipv4(source, destination, protocol, payload, fragment=0):
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    return header + source + destination + payload


def ipv6(source, destination, protocol, payload):
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + source + destination + payload


def udp(source=ALICE_IP, destination=BOB_IP, sport=1111, dport=2222, payload=b"hello"):
    build = ipv4 if len(source) == 4 else ipv6
    return build(source, destination, 17, struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload)


def tcp(flags, source=ALICE_IP, destination=BOB_IP, sport=1111, dport=80):
    build = ipv4 if len(source) == 4 else ipv6
    return build(source, destination, 6, struct.pack(">HHIIBBHHH", sport, dport, 1, 1, 0x50, flags, 1024, 0, 0))


def icmp(kind, source=ALICE_IP, destination=BOB_IP, code=0):
    build, protocol = (ipv4, 1) if len(source) == 4 else (ipv6, 58)
    return build(source, destination, protocol, struct.pack(">BBHI", kind, code, 0, 0))


def edges(events):
    return [event[2] for event in events if event[0] == "edge"]


def dropped(transport, reason):
    return transport.counters().get("drop_" + reason, 0)


def sealed(serial, counter, plaintext):
    """A data message of Alice's, made by hand."""
    return messages.data_header(2000 + serial, counter) + crypto.seal(keys(serial)[0], messages.nonce(counter), plaintext)


def initiation(serial=1):
    stamp = (1 << 62 | serial).to_bytes(8, "big") + bytes(4)
    made = handshake.Initiator(crypto, ALICE_KEY[0], ALICE_KEY[1], BOB_KEY[1], crypto.blake2s(b"e%d" % serial), serial, stamp)
    return made.message


DISCO = disco.MAGIC + bytes(32 + 24 + 16 + 46)
