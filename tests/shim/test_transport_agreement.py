"""The two transports agree: the same random use of both gives the same packets, datagrams, events, statistics and drop counts."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry_core import derp, filter, geneve, path, stun
from skerry_core.errors import LocalError
from skerry_core.wireguard import cookie, messages
from skerry_shim import crypto
from tests.shim.facing import (
    ALICE_IP,
    ALICE_IP6,
    BOB_IP,
    BOB_IP6,
    BOB_KEY,
    DISCO,
    Bytes,
    Clock,
    c_transport,
    icmp,
    ipv4,
    keypair,
    prefixes,
    python_transport,
    tcp,
    udp,
)

CAROL_IP = bytes((100, 64, 0, 3))
PEERS = st.integers(1, 2)
KEYS = {1: keypair(b"alice")[1], 2: keypair(b"carol")[1]}
PATHS = [path.udp(0, bytes((192, 0, 2, 1)), 1), path.udp(1, bytes(16), 2)]
PATHS += [path.udp(0, bytes((192, 0, 2, 3)), 3, vni=5), path.relay(4, BOB_KEY[1])]
ADDRESSES = [ALICE_IP, BOB_IP, CAROL_IP, bytes((10, 1, 2, 3)), bytes((224, 0, 0, 1)), bytes((169, 254, 169, 254)), bytes((169, 254, 1, 1))]
NETS = [(ALICE_IP, 32), (CAROL_IP, 32)]
NETS += [(bytes((10, 0, 0, 0)), 8), (bytes((10, 1, 2, 0)), 24), (bytes(4), 0), (ALICE_IP6, 128), (bytes(16), 0)]
FILTERS = [
    None,
    filter.compile([{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}]),
    filter.compile([{"SrcIPs": ["100.64.0.0/30"], "DstPorts": [{"IP": "*", "Ports": {"First": 50, "Last": 60}}], "IPProto": [17]}]),
]


def ip_packets():
    four = st.one_of(
        st.just((ALICE_IP, BOB_IP)), st.just((BOB_IP, ALICE_IP)), st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(ADDRESSES))
    )
    six = st.tuples(st.sampled_from([ALICE_IP6, BOB_IP6]), st.sampled_from([ALICE_IP6, BOB_IP6]))
    pairs = st.one_of(four, six)
    return st.one_of(
        st.builds(lambda ends, sport, dport: udp(*ends, sport, dport), pairs, st.sampled_from([53, 55]), st.sampled_from([53, 55, 80])),
        st.builds(lambda ends, flags: tcp(flags, *ends), pairs, st.sampled_from([2, 16, 18])),
        st.builds(lambda ends, kind: icmp(kind, *ends), pairs, st.sampled_from([0, 3, 8, 128, 129])),
        st.builds(
            lambda ends, protocol, body, fragment: ipv4(*ends, protocol, body, fragment),
            four, st.sampled_from([2, 6, 17, 47, 99]), st.binary(max_size=30), st.sampled_from([0, 0, 5, 20, 0x2000]),
        ),
        st.binary(max_size=50).map(lambda data: b"\x45\0" + data),
        st.binary(max_size=80).map(lambda data: b"\x60" + data),
    )  # fmt: skip


def sealed(serial, counter, plaintext):
    return messages.data_header(serial, counter) + crypto.seal(crypto.blake2s(b"in%d" % serial), messages.nonce(counter), plaintext)


def session(number, slot, serial):
    return ("session", number, slot, serial, 50 + serial, crypto.blake2s(b"out%d" % serial), crypto.blake2s(b"in%d" % serial))


SERIALS = st.sampled_from([1, 1, 1, 1, 2, 3, 4])
COUNTERS = st.one_of(st.integers(0, 50), st.sampled_from([8128, 8129, 8150, 20_000, 2**64 - 1]))
MACED = cookie.add_macs(crypto, cookie.mac1_key(crypto, BOB_KEY[1]), b"\1\0\0\0" + bytes(112), None)
INSIDE = st.one_of(st.just(b""), ip_packets(), ip_packets().map(lambda data: data + bytes(-len(data) % 16)))
DATAGRAMS = st.one_of(
    st.builds(sealed, SERIALS, COUNTERS, INSIDE),
    st.builds(sealed, SERIALS, COUNTERS, INSIDE),
    st.builds(sealed, SERIALS, COUNTERS, INSIDE).map(lambda data: data[:-1] + bytes((data[-1] ^ 1,))),
    st.sampled_from([DISCO, stun.request(bytes(12)), MACED, MACED[:-1], b"\3\0\0\0" + bytes(60)]),
    st.binary(max_size=60),
)
CHANGES = st.one_of(
    st.builds(lambda n, nets: ("peer", n, KEYS[n], nets), PEERS, st.lists(st.sampled_from(NETS), max_size=4)),
    st.tuples(st.just("remove"), PEERS),
    st.builds(lambda n, where: ("paths", n, where), PEERS, st.lists(st.sampled_from(PATHS), max_size=2)),
    st.builds(session, PEERS, st.sampled_from(["current", "next"]), SERIALS),
    st.builds(lambda n, serial: ("expire", n, serial), PEERS, SERIALS),
    st.builds(lambda n, mask: ("arm", n, mask), PEERS, st.sampled_from([1, 2, 3, 4, 7, 32, 39])),
    st.tuples(st.sampled_from(["keepalive", "purge"]), PEERS),
    st.tuples(st.just("mtu"), PEERS, st.sampled_from([0, 1136, 1280])),
    st.tuples(st.just("filter"), st.sampled_from(FILTERS)),
    st.builds(lambda up: ("relay", 4, up), st.booleans()),
    st.builds(lambda nets: ("local-routes", nets), st.lists(st.sampled_from(NETS[2:5]), max_size=2)),
)  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.just("apply"), st.lists(CHANGES, min_size=1, max_size=3)),
    st.tuples(st.just("packet"), ip_packets()),
    st.tuples(st.just("datagram"), st.sampled_from(PATHS[:2]), DATAGRAMS),
    st.builds(lambda data: ("datagram", PATHS[0], geneve.encode(geneve.WIREGUARD, 5, False, data)), DATAGRAMS),
    st.builds(lambda data: ("relay_in", 4, derp.recv_packet(bytes(32), data)), DATAGRAMS),
    st.builds(lambda data: ("relay_in", 4, derp.frame(6) + data), st.binary(max_size=8)),
    st.builds(lambda where: ("send", where, DISCO), st.sampled_from(PATHS)),
    st.tuples(st.just("relay_out"), st.just(4), st.sampled_from([10, 200, 65536])),
)


def do(transport, step):
    name, arguments = step[0], step[1:]
    try:
        result = getattr(transport, name)(*arguments)
    except LocalError:
        result = "refused"
    if name == "packet":
        result = None
    told = [event[:2] if event[0] == "bad-relay" else event for event in transport.poll()]
    return result, transport.datagrams(), transport.packets(), told


def state(transport):
    statistics = []
    for number in (1, 2):
        try:
            statistics.append(transport.peer_stats(number))
        except LocalError:
            statistics.append(None)
    return statistics, {name: count for name, count in transport.counters().items() if count}


START = [
    ("identity", BOB_KEY[1]),
    ("addresses", [BOB_IP, BOB_IP6]),
    ("peer", 1, KEYS[1], prefixes(ALICE_IP, ALICE_IP6)),
    ("paths", 1, [PATHS[0]]),
    ("filter", FILTERS[1]),
    session(1, "current", 1),
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_the_same_use_gives_the_same_results(steps):
    clock = Clock()
    ours, theirs = python_transport(Bytes(1), clock), c_transport(Bytes(1), clock)
    try:
        for step in [("apply", START), *steps]:
            assert do(ours, step) == do(theirs, step), step
        assert state(ours) == state(theirs)
    finally:
        theirs.close()
