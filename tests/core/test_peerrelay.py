"""The UDP relay's server: places, handshakes, time, bounds, and whatever comes."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_core import disco, geneve, path
from skerry_core.peerrelay import Server
from skerry_core.peerrelay.challenge import ROTATE
from skerry_core.peerrelay.place import BIND, STEADY
from skerry_core.peerrelay.server import OF_ASKER, PATIENCE, PLACE_BURST, PLACES, REQUEST_BURST, REQUEST_MS
from skerry_core.rate import Rate
from skerry_shim import crypto

HERE = (bytes([192, 0, 2, 1]), 3478)


class Bytes:
    """Reproducible random bytes."""

    def __init__(self, seed):
        self.seed, self.count = seed, 0

    def __call__(self, n):
        self.count += 1
        return hashlib.shake_128(b"%d %d" % (self.seed, self.count)).digest(n)


class Client:
    def __init__(self, number):
        self.private = hashlib.sha256(b"client %d" % number).digest()
        self.key = crypto.x25519_public(self.private)
        self.where = path.udp(0, bytes([198, 51, 100, number % 250 + 1]), 41641)

    def say(self, server, message, data=None):
        box = crypto.box_key(self.private, server.public)
        sealed = disco.seal(crypto, box, self.key, bytes(24), message)
        return geneve.encode(geneve.DISCO, message.vni, True, sealed)

    def hear(self, server, data):
        protocol, vni, control, inner = geneve.decode(data)
        assert (protocol, control) == (geneve.DISCO, True) and disco.sender(inner) == server.public
        message = disco.open(crypto, crypto.box_key(self.private, server.public), inner)
        assert message.vni == vni
        return message


A, B, C = Client(1), Client(2), Client(3)


@pytest.fixture
def server():
    made = Server(crypto, Bytes(1), 0)
    made.receive(("addresses", [HERE]), 0)
    return made


def ask(server, asker, other, now=0, generation=1):
    """(the place offered or None, the other actions)."""
    server.receive(("request", asker.key, disco.AllocateRequest((asker.key, other.key), generation)), now)
    actions = server.actions()
    answers = [action for action in actions if action[0] == "respond"]
    assert all(action[1] == asker.key and action[2].generation == generation for action in answers)
    return (answers[0][2].allocation if answers else None), [action for action in actions if action not in answers]


def challenge(server, client, other, vni, now=0, where=None, generation=7):
    server.receive(("datagram", where or client.where, client.say(server, disco.Bind(vni, generation, other.key))), now)
    ((kind, to, data),) = server.actions()
    assert (kind, to) == ("send", where or client.where)
    message = client.hear(server, data)
    assert isinstance(message, disco.Challenge) and (message.generation, message.remote_key) == (generation, other.key)
    return message.challenge


def answer(server, client, other, vni, proof, now=0, where=None, generation=7):
    server.receive(("datagram", where or client.where, client.say(server, disco.Answer(vni, generation, other.key, proof))), now)
    return server.actions()


def bind(server, client, other, vni, now=0, where=None, generation=7):
    return answer(server, client, other, vni, challenge(server, client, other, vni, now, where, generation), now, where, generation)


def bound(server, now=0):
    place, _ = ask(server, A, B, now)
    assert bind(server, A, B, place.vni, now) == []
    first, second = (A, B) if A.key < B.key else (B, A)
    assert bind(server, B, A, place.vni, now) == [("bind", place.vni, first.where, second.where)]
    return place.vni


def test_a_pair_has_one_place_whoever_asks(server):
    place, actions = ask(server, A, B, generation=5)
    assert actions == [("open", place.vni, tuple(sorted((A.key, B.key))))]
    assert (place.server_key, place.client_keys) == (server.public, tuple(sorted((A.key, B.key))))
    assert (place.endpoints, place.bind_lifetime, place.steady_lifetime) == ([HERE], 30_000, 300_000)
    again, actions = ask(server, B, A, 10)
    assert again.encode() == place.encode() and actions == []
    third, _ = ask(server, A, C)
    assert (third.vni, third.lamport) == (place.vni + 1, place.lamport + 1)
    assert len(server) == 2


def test_network_ids_go_round_and_skip_those_in_use(server):
    server._last_vni = 0xFFFFFE
    assert [ask(server, A, other)[0].vni for other in (B, C)] == [0xFFFFFF, 1]
    server._last_vni = 0xFFFFFE
    assert ask(server, B, C)[0].vni == 2


def test_both_prove_their_addresses_before_anything_passes(server):
    place, _ = ask(server, A, B)
    assert bind(server, A, B, place.vni) == []
    assert answer(server, B, A, place.vni, bytes(32)) == []  # nothing was asked of it
    assert bind(server, B, A, place.vni)[0][0] == "bind"
    assert server.counters["ignored"] == 1


def test_a_challenge_holds_for_its_address_its_message_and_its_time(server):
    vni, elsewhere = ask(server, A, B)[0].vni, path.udp(0, bytes(16), 41641)
    proof = challenge(server, A, B, vni)
    answer(server, A, B, vni, proof, where=elsewhere)
    answer(server, A, B, vni, proof, where=path.udp(1, A.where[2], 41641))
    answer(server, A, B, vni, proof, where=path.udp(0, A.where[2], 41642))
    answer(server, A, B, vni, proof, generation=8)
    answer(server, A, B, vni, bytes(32))
    answer(server, A, C, vni, proof)
    answer(server, B, A, vni, proof)
    assert server.counters["ignored"] == 7
    answer(server, A, B, vni, proof)
    assert server.counters["ignored"] == 7
    answer(server, A, B, vni, proof)  # and once
    assert server.counters["ignored"] == 8


@pytest.mark.parametrize(("asked", "answered", "good"), [(0, ROTATE, True), (0, 2 * ROTATE, False), (ROTATE - 1, 2 * ROTATE - 1, True)])
def test_secrets_change_and_count_for_one_change_more(asked, answered, good):
    server = Server(crypto, Bytes(1), 0)
    server.receive(("addresses", [HERE]), 0)
    vni = bound(server)
    other = path.udp(0, A.where[2], 5)
    proof = challenge(server, A, B, vni, asked, other)
    assert bool(answer(server, A, B, vni, proof, answered, other)) is good


def test_a_client_that_moves_is_followed(server):
    vni, elsewhere = bound(server), path.udp(1, bytes(15) + b"\1", 9)
    assert bind(server, A, B, vni, 100) == []  # where it was
    ((kind, _, *paths),) = bind(server, A, B, vni, 200, elsewhere)
    assert kind == "bind" and set(paths) == {elsewhere, B.where}


def test_a_place_that_nobody_takes_is_given_up(server):
    vni = ask(server, A, B)[0].vni
    bind(server, A, B, vni)
    assert server.next_timer() == BIND
    server.handle_timer(BIND - 1)
    assert server.actions() == []
    ask(server, A, B, BIND - 1)  # it was told that it has the whole time
    server.handle_timer(BIND)
    assert server.actions() == [] and server.next_timer() == 2 * BIND - 1
    server.handle_timer(2 * BIND - 1)
    assert server.actions() == [("close", vni)] and len(server) == 0 and server.next_timer() is None
    server.receive(("datagram", B.where, B.say(server, disco.Bind(vni, 1, A.key))), 2 * BIND)
    assert server.actions() == [] and server.counters["ignored"] == 1


def test_a_place_lives_while_both_are_heard(server):
    vni = bound(server)
    server.handle_timer(BIND)
    assert server.actions() == [] and server.next_timer() == STEADY
    server.handle_timer(STEADY)
    assert server.actions() == [("ask", vni)]
    server.receive(("heard", vni, (STEADY - 5, STEADY - 9)), STEADY)
    assert server.actions() == []
    server.handle_timer(STEADY + PATIENCE)
    assert server.actions() == [] and server.next_timer() == 2 * STEADY - 9
    server.handle_timer(2 * STEADY - 9)
    assert server.actions() == [("ask", vni)]
    server.receive(("heard", vni, (2 * STEADY - 10, STEADY - 9)), 2 * STEADY - 9)
    assert server.actions() == [("close", vni)]


def test_a_place_whose_packets_nobody_knows_of_is_closed(server):
    vni = bound(server)
    server.receive(("heard", vni, None), 5)  # not asked
    assert len(server) == 1
    server.handle_timer(STEADY)
    server.handle_timer(STEADY + PATIENCE)
    assert server.actions() == [("ask", vni), ("close", vni)]
    vni = bound(server, 2 * STEADY)
    server.handle_timer(3 * STEADY)
    server.receive(("heard", vni, None), 3 * STEADY)
    assert server.actions() == [("ask", vni), ("close", vni)]


def test_who_is_gone_takes_its_places_along(server):
    vni, other = bound(server), ask(server, B, C)[0].vni
    server.receive(("gone", A.key), 1)
    server.receive(("gone", A.key), 1)
    assert server.actions() == [("close", vni)] and len(server) == 1
    server.receive(("gone", C.key), 1)
    assert server.actions() == [("close", other)] and server._of == {}


def test_who_asks_wrongly_gets_nothing(server):
    def silent(asker, pair):
        server.receive(("request", asker, disco.AllocateRequest(pair, 1)), 0)
        return server.actions() == []

    assert silent(A.key, (B.key, C.key)) and silent(A.key, (A.key, A.key)) and silent(A.key, (A.key, server.public))
    server.receive(("addresses", []), 0)
    assert silent(A.key, (A.key, B.key)) and len(server) == 0 and server.counters["refused"] == 4


def test_requests_of_one_asker_are_limited(server):
    got = [ask(server, A, B)[0] is not None for _ in range(2 * REQUEST_BURST)]
    assert sum(got) == REQUEST_BURST and ask(server, B, A)[0] is not None
    assert sum(ask(server, A, B, 10 * REQUEST_MS)[0] is not None for _ in range(30)) == 10


def strange(number):
    return hashlib.sha256(b"%d" % number).digest()


def test_places_are_bounded_for_one_and_for_all(server):
    now = 0

    def want(asker, other):
        nonlocal now
        now += 60  # slow enough
        server.receive(("request", asker, disco.AllocateRequest((asker, other), 1)), now)
        return any(action[0] == "respond" for action in server.actions())

    assert sum(want(A.key, strange(number)) for number in range(OF_ASKER + 50)) == OF_ASKER
    assert want(strange(1), A.key) and want(B.key, A.key)  # theirs, not charged to it
    assert sum(want(strange(10_000 + number), B.key) for number in range(PLACES)) == PLACES - OF_ASKER - 1
    assert len(server) == PLACES and not want(C.key, strange(-1))


def test_a_crowd_gets_no_more_places_than_its_rate(server):
    got = 0
    for number in range(2 * PLACE_BURST):
        server.receive(("request", strange(number), disco.AllocateRequest((strange(number), A.key), 1)), 0)
        got += sum(action[0] == "respond" for action in server.actions())
    assert got == PLACE_BURST


def test_rate():
    rate = Rate(10, 3)
    assert [rate.take(5) for _ in range(4)] == [True, True, True, False]
    assert not rate.idle(34) and rate.idle(35)
    assert [rate.take(14), rate.take(15), rate.take(3)] == [False, True, False]


def test_secrets_stay_secret(server):
    vni = bound(server)
    assert server._private.hex() not in repr(vars(server._places[vni])) and repr(server).startswith("<")


@given(st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=200), st.integers(0, 400), st.integers(0, 60_000)), max_size=20))
@settings(max_examples=200, deadline=None)
def test_nothing_that_comes_does_harm(events):
    server, now = Server(crypto, Bytes(2), 0), 0
    server.receive(("addresses", [HERE]), 0)
    vni = bound(server)
    right = A.say(server, disco.Bind(vni, 1, B.key))
    opened = {vni}
    for kind, data, at, later in events:
        now += later
        if kind == 0:
            server.receive(("datagram", A.where, data), now)
        elif kind in (1, 2):  # a right message, damaged or cut
            cut = right[: at % len(right)] + data[: kind - 1] + right[at % len(right) + kind - 1 :]
            server.receive(("datagram", B.where, cut), now)
        elif kind == 3:
            server.receive(("request", A.key, disco.AllocateRequest((A.key, (data + bytes(32))[:32]), at)), now)
        elif kind == 4:
            server.receive(("heard", at, (at, later)), now)
        else:
            server.handle_timer(now)
        for action in server.actions():
            if action[0] == "open":
                assert action[1] not in opened
                opened.add(action[1])
            elif action[0] == "close":
                opened.remove(action[1])
            elif action[0] == "bind":
                pytest.fail("somebody was bound")
            elif action[0] == "send":  # never more than was sent
                assert len(action[2]) <= len(right)
    assert opened == set(server._places)
