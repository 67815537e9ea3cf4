"""The relay's decisions with real frames, hostile ones among them, without a socket or a clock."""

import hashlib
import random as randomness

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core import derp
from skerry_gateway.relay import Relay
from skerry_gateway.relay import queues as outbox
from skerry_gateway.relay.server import MAX_OF_KEY
from skerry_shim import crypto

SERVER = hashlib.sha256(b"relay").digest()
DISCO = b"TS\xf0\x9f\x92\xac" + bytes(80)
REMOTE = ("192.0.2.7", 41000)


class Client:
    """The other end: speaks frames to one session and reads what it takes."""

    def __init__(self, relay, name, now=0, admit=True):
        self.private = hashlib.sha256(name.encode()).digest()
        self.key = crypto.x25519_public(self.private)
        self.session = relay.open(REMOTE, now)
        self.deframer = derp.Deframer(derp.MAX_INFO)
        if admit:
            (kind, payload), *rest = self.read()
            assert kind == derp.SERVER_KEY and not rest
            assert derp.parse_server_key(payload) == relay.public
            self.send(self.info(relay), now)
            (kind, payload), *rest = self.read()
            assert kind == derp.SERVER_INFO and not rest
            assert derp.open_server_info(crypto, self.private, relay.public, payload)["version"] == 2

    def info(self, relay, private=None):
        return derp.client_info(crypto, private or self.private, self.key, relay.public, bytes(24))

    def send(self, data, now=0):
        self.session.receive(data, now)

    def read(self):
        return self.deframer.feed(self.session.take())

    def packets(self):
        return [derp.parse_packet(payload) for kind, payload in self.read() if kind == derp.RECV_PACKET]


@pytest.fixture
def relay():
    return make()


def make(allow=lambda key: True):
    return Relay(crypto, randomness.Random(1).randbytes, SERVER, allow)


def test_a_packet_arrives_with_its_senders_key(relay):
    ana, ben = Client(relay, "ana"), Client(relay, "ben")
    ana.send(derp.send_packet(ben.key, b"hello"))
    assert relay.ready() == [ben.session]
    assert ben.packets() == [(ana.key, b"hello")]
    assert relay.ready() == [] and ana.read() == []


def test_any_cut_of_bytes_is_the_same_stream(relay):
    ben = Client(relay, "ben")
    ana = Client(relay, "ana", admit=False)
    for byte in ana.info(relay) + derp.send_packet(ben.key, b"x" * 100) + derp.note_preferred(True):
        ana.send(bytes([byte]))
    assert ben.packets() == [(ana.key, b"x" * 100)]
    assert ana.session.preferred


def test_who_is_not_allowed_is_turned_away_with_a_reason():
    relay = make(allow=lambda key: False)
    ana = Client(relay, "ana", admit=False)
    ana.send(ana.info(relay))
    assert "not in a network" in ana.session.closed
    assert relay.counters["refused"] == 1 and ana.key not in relay.clients


def test_a_key_must_be_owned(relay):
    """The public key of somebody else, sealed with our own private key: the box does not open."""
    ana = Client(relay, "ana", admit=False)
    ana.send(ana.info(relay, private=hashlib.sha256(b"thief").digest()))
    assert "does not open" in ana.session.closed


def test_a_low_order_key_is_refused(relay):
    session = relay.open(REMOTE, 0)
    session.receive(derp.frame(derp.CLIENT_INFO, bytes(32) + bytes(24) + bytes(40)), 0)
    assert session.closed.startswith("protocol error")


def test_setup_has_a_deadline(relay):
    session = relay.open(REMOTE, 1000)
    assert relay.next_timer() == 11_000
    relay.handle_timer(10_999)
    assert session.closed is None
    relay.handle_timer(11_000)
    assert "within 10 s" in session.closed and relay.ready() == [session]
    assert relay.next_timer() is None


def test_keepalives_every_60_to_65_seconds(relay):
    ana = Client(relay, "ana")
    sent, now = [], 0
    while now < 3_600_000:
        now = relay.next_timer()
        relay.handle_timer(now)
        sent += [now for kind, _ in ana.read() if kind == derp.KEEP_ALIVE]
    gaps = [after - before for before, after in zip([0, *sent], sent, strict=False)]
    assert len(gaps) > 50 and min(gaps) >= 60_000 and max(gaps) < 65_000 and len(set(gaps)) > 10


def test_ping_is_answered_with_its_bytes(relay):
    ana = Client(relay, "ana")
    ana.send(derp.ping(b"12345678"))
    assert ana.read() == [(derp.PONG, b"12345678")]
    ana.send(derp.frame(derp.PING, b"short"))
    assert ana.session.closed == "protocol error: frame 0x12: 5 bytes, need 8 to 1000"


def test_a_flood_of_pings_without_reading_stays_bounded(relay):
    ana = Client(relay, "ana")
    ana.send(derp.ping(bytes(8)) * 5000)
    assert len(ana.read()) == outbox.CONTROL_FRAMES
    assert relay.counters["dropped_control"] == 5000 - outbox.CONTROL_FRAMES


def test_gone_is_told_to_those_who_heard_the_key_and_to_nobody_else(relay):
    ana, ben, eve = Client(relay, "ana"), Client(relay, "ben"), Client(relay, "eve")
    ana.send(derp.send_packet(ben.key, b"hello"))
    ben.read()
    relay.ready()
    ana.session.close(5)
    assert relay.ready() == [ben.session]
    assert [(k, derp.parse_peer_gone(p)) for k, p in ben.read()] == [(derp.PEER_GONE, (ana.key, derp.GONE_DISCONNECTED))]
    assert eve.read() == []


def test_not_here_only_for_disco_and_at_a_limited_rate(relay):
    ana = Client(relay, "ana")
    nobody = bytes(31) + b"\x09"
    ana.send(derp.send_packet(nobody, b"data"))
    assert ana.read() == []
    ana.send(derp.send_packet(nobody, DISCO) * 10)
    assert [derp.parse_peer_gone(p) for _, p in ana.read()] == [(nobody, derp.GONE_NOT_HERE)] * 3
    ana.send(derp.send_packet(nobody, DISCO) * 10, now=2500)
    assert len(ana.read()) == 2
    assert relay.counters["dropped_nobody"] == 21


def test_the_newest_connection_of_a_key_gets_packets_and_the_last_writer_takes_over(relay):
    old, new, ben = Client(relay, "ana"), Client(relay, "ana"), Client(relay, "ben")
    ben.send(derp.send_packet(new.key, b"1"))
    assert (old.packets(), new.packets()) == ([], [(ben.key, b"1")])
    old.send(derp.send_packet(ben.key, b"back"))
    ben.send(derp.send_packet(new.key, b"2"))
    assert (old.packets(), new.packets()) == ([(ben.key, b"2")], [])
    assert old.session.closed is None and new.session.closed is None
    ben.read()
    old.session.close(0)
    assert ben.read() == []  # the key is still here
    ben.send(derp.send_packet(new.key, b"3"))
    assert new.packets() == [(ben.key, b"3")]
    new.session.close(0)
    assert [kind for kind, _ in ben.read()] == [derp.PEER_GONE]


@pytest.mark.parametrize("frame", [(derp.WATCH_CONNS, b""), (derp.CLOSE_PEER, bytes(32)), (derp.FORWARD_PACKET, bytes(64))])
def test_frames_of_a_mesh_end_the_connection(relay, frame):
    ana = Client(relay, "ana")
    ana.send(derp.frame(*frame))
    assert "mesh key" in ana.session.closed


@pytest.mark.parametrize("kind", [derp.SEND_PACKET, derp.PING, derp.WATCH_CONNS, derp.SERVER_INFO])
def test_nothing_before_the_client_info(relay, kind):
    session = relay.open(REMOTE, 0)
    session.receive(derp.frame(kind, bytes(64)), 0)
    assert "not allowed in state greeting" in session.closed


def test_unknown_frames_are_skipped(relay):
    ana, ben = Client(relay, "ana"), Client(relay, "ben")
    ana.send(derp.frame(0x77, b"new") + derp.send_packet(ben.key, b"after"))
    assert ben.packets() == [(ana.key, b"after")]
    assert relay.counters["unknown_frames"] == 1


def test_the_largest_packet_passes_and_one_byte_more_ends_the_sender(relay):
    ana, ben = Client(relay, "ana"), Client(relay, "ben")
    ana.send(derp.send_packet(ben.key, bytes(65536)))
    assert [len(data) for _, data in ben.packets()] == [65536]
    ana.send(derp.frame(derp.SEND_PACKET, ben.key + bytes(65537)))
    assert "65537 bytes, at most 65536" in ana.session.closed
    assert ben.session.closed is None


def test_a_length_no_frame_has_ends_the_connection_without_waiting_for_it(relay):
    ana = Client(relay, "ana")
    ana.send(b"\x04\xff\xff\xff\xff")
    assert ana.session.closed is not None


def test_a_slow_reader_loses_its_oldest_packets_and_holds_up_nobody(relay):
    ana, slow, ben = Client(relay, "ana"), Client(relay, "slow"), Client(relay, "ben")
    for number in range(2000):
        ana.send(derp.send_packet(slow.key, number.to_bytes(2, "big") * 500))
    assert relay.counters["dropped_queue"] > 0
    ana.send(derp.send_packet(ben.key, b"quick"))
    assert ben.packets() == [(ana.key, b"quick")]
    kept = [int.from_bytes(data[:2], "big") for _, data in slow.packets()]
    assert kept == list(range(2000 - len(kept), 2000))
    assert len(kept) * 1037 <= outbox.DATA_BYTES
    assert relay.counters["dropped_queue"] == 2000 - len(kept)


def test_disco_overtakes_data_and_is_not_dropped_by_it(relay):
    ana, slow = Client(relay, "ana"), Client(relay, "slow")
    ana.send(derp.send_packet(slow.key, DISCO))
    ana.send(derp.send_packet(slow.key, bytes(60_000)) * 50)
    first = slow.packets()[0]
    assert first == (ana.key, DISCO)


def test_withdrawn_keys_lose_their_connections_and_what_was_queued():
    members = set()
    relay = make(allow=lambda key: key in members)
    for name in ("ana", "ben"):
        members.add(crypto.x25519_public(hashlib.sha256(name.encode()).digest()))
    ana, again, ben = Client(relay, "ana"), Client(relay, "ana"), Client(relay, "ben")
    ben.send(derp.send_packet(ana.key, b"secret"))
    ana.send(derp.send_packet(ben.key, b"hello"))
    relay.ready()
    members.remove(ana.key)
    assert relay.withdraw(ana.key, 7) == 2
    assert ana.session.closed == again.session.closed == "this node was removed"
    assert ana.packets() == again.packets() == []
    assert set(relay.ready()) == {ana.session, again.session, ben.session}
    ben.read()
    ben.send(derp.send_packet(ana.key, b"anybody?"))
    assert relay.counters["dropped_nobody"] == 1
    late = Client(relay, "ana", admit=False)
    late.send(late.info(relay))
    assert late.session.closed is not None


def test_recheck_ends_whoever_is_no_member_any_more():
    members = {crypto.x25519_public(hashlib.sha256(name.encode()).digest()) for name in ("ana", "ben")}
    relay = make(allow=lambda key: key in members)
    ana, ben = Client(relay, "ana"), Client(relay, "ben")
    members.remove(ben.key)
    relay.recheck(3)
    assert ben.session.closed and ana.session.closed is None


def test_a_closed_session_does_nothing_more(relay):
    ana, ben = Client(relay, "ana"), Client(relay, "ben")
    ana.session.close(0)
    ana.send(derp.send_packet(ben.key, b"ghost"))
    ana.session.close(1)
    assert ben.packets() == [] and len(relay.clients) == 1


def test_tables_are_empty_after_everybody_left(relay):
    clients = [Client(relay, f"node{number}") for number in range(8)]
    for one in clients:
        for other in clients:
            one.send(derp.send_packet(other.key, b"hello"))
    for client in clients:
        client.session.close(9)
    relay.handle_timer(200_000)
    assert len(relay.clients) == 0 and relay.next_timer() is None
    assert relay.clients._received_from == relay.clients._sources_of == {}


@given(st.lists(st.binary(max_size=300), max_size=8), st.booleans())
def test_no_bytes_make_a_session_raise(chunks, admitted):
    relay = make()
    client = Client(relay, "ana", admit=admitted)
    for number, chunk in enumerate(chunks):
        client.send(chunk, number)
    client.session.take()
    client.session.close(100)


@given(st.lists(st.tuples(st.integers(0, 0x20), st.binary(max_size=120)), max_size=12))
def test_no_frames_make_a_session_raise_or_leak_into_another(frames):
    relay = make()
    ana, ben = Client(relay, "ana"), Client(relay, "ben")
    for kind, payload in frames:
        ana.send(derp.frame(kind, payload))
    ana.session.close(1)
    assert ben.session.closed is None
    assert len(relay.clients) == 1


def test_one_key_has_few_connections_and_the_oldest_go(relay):
    ben, clones = Client(relay, "ben"), [Client(relay, "ana") for _ in range(MAX_OF_KEY + 1)]
    assert clones[0].session.closed == "too many connections of one key" and clones[0].session in relay.ready()
    ben.send(derp.send_packet(clones[-1].key, b"hello"))
    assert clones[-1].packets() == [(ben.key, b"hello")] and len(relay.clients.connections(ben.key)) == 1
