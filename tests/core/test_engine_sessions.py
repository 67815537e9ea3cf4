"""Two engines and what lies between them: first contact over the relay, the way to direct, rekeys, loss, silence."""

import itertools

import pytest

from skerry_core.wireguard import messages
from tests.core.engine_world import Device, World


def is_direct(packet):
    """Whether an entry of World.sent is WireGuard or disco between devices."""
    return packet[1][1] == packet[2][1] == 41641


def pair(world, **config):
    a, b = Device(world, 1, **config), Device(world, 2, **config)
    assert world.run(5000, until=lambda: a.engine.state == b.engine.state == "Running" and len(a.engine.peers.all()) == 1)
    world.run(1000)
    return a, b


def block_udp(world):
    world.loss = lambda source, destination, data: source[1] == destination[1] == 41641


def handshakes(world):
    """When initiations left directly."""
    return [at for at, source, destination, data in world.sent if messages.kind(data) == messages.INITIATION]


def test_joining_is_fast_and_says_so():
    world = World()
    a = Device(world, 1)
    started = world.now
    assert world.run(5000, until=lambda: a.engine.state == "Running")
    assert world.now - started <= 12 * world.delay * 2
    assert a.states()[-2:] == ["Starting", "Running"]
    assert a.interface == {
        "addresses": [(bytes((100, 64, 0, 1)), 32)], "routes": [], "mtu": 1280, "up": True, "exit": False, "lan": False, "forward": [],
    }  # fmt: skip
    assert a.engine.drops == {}


def test_first_packet_goes_over_the_relay_and_then_direct():
    world = World()
    a, b = pair(world)
    started = world.now
    a.packet(b, b"first")
    assert world.run(2000, until=lambda: b.inbox)
    assert b.inbox[0].endswith(b"first")
    assert world.now - started <= 8 * world.delay, "a handshake and a packet, each relayed"
    assert world.run(1000, until=lambda: a.direct(b))
    assert world.now - started < 1000
    before = world.relay.carried
    a.packet(b, b"second")
    assert world.run(1000, until=lambda: len(b.inbox) > 1)
    assert world.relay.carried == before, "nothing of it went over the relay"
    assert [event for event in a.happened if event[0] == "path"]
    assert "directly" in a.engine.why(b.engine.node_public)[0]


def test_without_udp_the_relay_stays_and_why_tells():
    world = World()
    a, b = pair(world)
    block_udp(world)
    for _ in range(10):
        a.packet(b)
        world.run(3000)
    assert len(b.inbox) == 10 and not a.direct(b)
    sentences = a.engine.why(b.engine.node_public)
    assert "through relay test" in sentences[0]
    assert any("did not answer" in sentence for sentence in sentences)


def test_direct_path_dies_and_data_goes_on():
    world = World()
    a, b = pair(world)
    a.packet(b)
    assert world.run(2000, until=lambda: a.direct(b) and b.inbox)
    block_udp(world)
    got = len(b.inbox)
    for _ in range(30):
        a.packet(b)
        world.run(1000)
    assert len(b.inbox) - got >= 22, "at most the 6.5 s of trust are lost"
    assert a.peer(b).best is None, "after a while of silence the old path is given up"
    world.loss = lambda *_: False
    assert world.run(70_000, until=lambda: a.packet(b) or a.direct(b))


def test_data_is_delivered_once_while_two_paths_are_used():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(2000)
    world.run(120_000)  # idle: no longer trusted, so the next packet goes both ways
    assert len(a.peer(b).paths) == 2
    got = len(b.inbox)
    a.packet(b, b"only once")
    world.run(1000)
    assert len(b.inbox) == got + 1


def test_idle_peers_cost_nothing():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(200_000)
    quiet = len(world.sent)
    world.run(600_000)
    assert len(world.sent) == quiet
    assert a.peer(b).current is None, "the session is gone after 180 s"


def test_no_endless_keepalives():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(9000)
    keepalives = [change for change in b.applied if change[0] == "keepalive"]
    assert keepalives == []
    world.run(3000)
    assert [change for change in b.applied if change[0] == "keepalive"], "b got data and had nothing to say"
    world.run(160_000)
    assert len([change for change in a.applied + b.applied if change[0] == "keepalive"]) == 1


def talk(world, a, b, span, each=1000):
    for _ in range(span // each):
        a.packet(b)
        b.packet(a)
        world.run(each)


def test_initiator_rekeys_at_120_seconds_and_nothing_is_lost():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(3000)
    old, begun = a.peer(b).current, a.peer(b).current.created
    assert old.initiator and not b.peer(a).current.initiator
    sent = len(b.inbox)
    talk(world, a, b, 130_000)
    new = a.peer(b).current
    assert new is not old and 120_000 <= new.created - begun <= 122_500
    assert len(b.inbox) - sent == 130 and len(a.inbox) == 130
    talk(world, a, b, 60_000)
    assert len(b.inbox) - sent == 190
    assert old not in a.peer(b).sessions(), "forgotten after 180 s"


def test_responder_rekeys_when_the_initiator_never_sends():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(2000)
    begun = b.peer(a).current.created
    for _ in range(170):
        b.packet(a)
        world.run(1000)
    assert len(a.inbox) == 170
    assert b.peer(a).current.created - begun >= 115_000


def test_expired_session_is_made_anew_by_the_next_packet():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(200_000)
    assert a.peer(b).current is None and b.peer(a).current is None
    b.packet(a, b"again")
    assert world.run(2000, until=lambda: a.inbox)


def test_after_a_sleep_an_input_finds_no_session_that_is_over():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(5000)
    assert a.peer(b).current
    asleep = world.now + 600_000
    for each, other in ((a, b), (b, a)):
        each.engine.receive(("clock", asleep), asleep)
        assert each.peer(other).current is None
        changes = [change[0] for action in each.engine.actions() if action[0] == "apply" for change in action[1]]
        assert "expire" in changes and "keepalive" not in changes


def test_both_start_at_once():
    world = World()
    a, b = pair(world)
    a.packet(b)
    b.packet(a)
    assert world.run(1000, until=lambda: a.inbox and b.inbox)
    talk(world, a, b, 300_000)
    assert len(a.inbox) == len(b.inbox) == 301


def known_to_both(device):
    """Whether the engine has a record, and so a timer, of every session of its transport."""
    return all(device.engine.timers.at(("session", local)) is not None for local in device.transport._sessions)


def test_whoever_starts_when_both_do_the_newest_sessions_stay():
    world = World()
    a, b = pair(world)
    a.packet(b)
    b.packet(a)
    world.run(1000)
    for one, other in ((a, b), (b, a)):
        assert one.peer(other).next is None and one.peer(other).current is not None
        assert one.transport._peers[one.peer(other).index].current.local == one.peer(other).current.local
        assert known_to_both(one)


def test_a_session_confirmed_after_the_next_initiation_came_is_not_kept_for_ever():
    world = World()
    a, b = pair(world)
    a.packet(b)
    assert world.run(2000, until=lambda: b.inbox and a.direct(b))
    world.run(1000)
    world.loss = lambda source, destination, data: messages.kind(data) == messages.DATA
    a.engine.sessions._initiate(a.peer(b))
    a.pump()
    world.run(200)
    assert b.peer(a).next is not None, "what would confirm it was lost"
    world.loss = lambda *_: False
    b.pump, held = lambda: None, b.pump  # Bob is slow: he hears of the next initiation and of the late confirmation together
    a.engine.sessions._initiate(a.peer(b))
    a.pump()
    world.run(20)
    a.packet(b)
    world.run(500)
    del b.pump
    held()
    world.run(1000)
    assert known_to_both(b) and known_to_both(a)
    talk(world, a, b, 20_000)
    assert len(b.inbox) >= 20 and known_to_both(b)


@pytest.mark.parametrize("rate", [10, 30])
def test_loss_is_survived(rate):
    world = World(seed=rate)
    a, b = pair(world)
    world.loss = lambda source, destination, data: world.rng.randrange(100) < rate
    talk(world, a, b, 400_000)
    assert len(b.inbox) > 400 * (100 - rate) // 100 * 0.9


def test_lost_handshakes_are_repeated_and_then_given_up():
    world = World()
    a, b = pair(world)
    b.stop()
    a.packet(b)
    world.run(89_000)
    assert a.engine.peers.all()[0].handshake_since is not None
    world.run(10_000)
    assert a.engine.peers.all()[0].handshake_since is None
    relayed = world.relay.carried
    world.run(30_000)
    assert world.relay.carried - relayed <= 12, "only probes while the 45 s of activity last"
    b.start()
    world.run(3000)
    a.packet(b, b"back")
    assert world.run(10_000, until=lambda: any(packet.endswith(b"back") for packet in b.inbox))


def test_silent_peer_gets_a_new_handshake_after_15_seconds():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(12_000)  # the keepalive of b has answered
    b.stop()
    b.start()
    b.engine.greets_until = 0  # other programs do not offer a session
    world.run(3000)
    a.packet(b, b"lost")
    sent_at = world.now
    assert world.run(30_000, until=lambda: a.peer(b).handshake_since is not None or a.peer(b).current.created > sent_at)
    assert 14_000 <= world.now - sent_at <= 16_500
    world.run(100)
    a.packet(b, b"works")
    assert world.run(6000, until=lambda: any(packet.endswith(b"works") for packet in b.inbox))


def test_cookies_are_taken_and_used(monkeypatch):
    monkeypatch.setattr("skerry_core.transport.guard.PER_SECOND", 0)
    world = World()
    a, b = pair(world)
    a.packet(b, b"with a cookie")
    assert world.run(30_000, until=lambda: b.inbox), "the second initiation carries a valid mac2, the response too"
    assert a.peer(b).cookies.current(world.now) is not None
    assert b.transport.counters()["drop_cookie"] >= 1


def test_replayed_initiations_change_nothing():
    world = World()
    a, b = pair(world)
    world.relay.record = []
    a.packet(b)
    world.run(3000)
    a.peer(b).handshake_since = None
    a.engine.sessions.start(a.peer(b))
    assert world.run(7000, until=lambda: handshakes(world))
    _, source, destination, data = next(entry for entry in world.sent if messages.kind(entry[3]) == messages.INITIATION)
    world.run(3000)
    before, drops = b.peer(a).sessions(), b.engine.drops.get("datagram", 0)
    for _ in range(5):
        world.datagram(source, destination, data)
        world.run(100)
    assert b.peer(a).sessions() == before
    assert b.engine.drops["datagram"] == drops + 5


def test_a_peer_whose_stamps_fell_behind_is_reached_all_the_same():
    world = World()
    a, b = pair(world)
    b.peer(a).stamp = b"\x7f" + bytes(11)  # taken from a copy of a's card that ran ahead
    a.packet(b, b"behind")
    assert world.run(6000, until=lambda: any(packet.endswith(b"behind") for packet in b.inbox))


def test_direct_over_ipv6_alone():
    world = World()
    a, b = (Device(world, number, endpoint=bytes.fromhex("20010db8") + bytes(11) + bytes([number])) for number in (1, 2))
    assert world.run(5000, until=lambda: a.engine.state == b.engine.state == "Running" and len(a.engine.peers.all()) == 1)
    world.run(3000)
    a.packet(b)
    assert world.run(2000, until=lambda: b.inbox and a.direct(b))
    assert a.engine.status()["peers"][0]["endpoint"] == "[2001:db8::2]:41641"


def test_probes_get_rarer_where_nothing_answers():
    world = World()
    a, b = pair(world)
    block_udp(world)

    def probes(span):
        before = len([entry for entry in world.sent if is_direct(entry)])
        talk(world, a, b, span, each=2000)
        return len([entry for entry in world.sent if is_direct(entry)]) - before

    first = probes(60_000)
    probes(240_000)
    assert probes(60_000) * 3 < first


def test_call_me_maybes_are_bounded():
    world = World()
    a, b = pair(world)
    many = [(bytes((203, 0, 113, number)), 1000 + number) for number in range(200)]
    peer = a.peer(b)
    before = len(world.sent)
    for _ in range(100):
        a.engine.paths.called(peer, many)
    a.pump()
    assert len(peer.candidates) <= 16 + 24 + 8 and peer.pings <= 64
    assert len(world.sent) - before <= 64
    for number in range(200):
        a.engine.paths.heard(peer, (0, 4, bytes((192, 0, 2, number)), 5000, 0))
    assert len(peer.candidates) <= 16 + 24 + 8
    world.run(6000)
    assert peer.pings == 0 and not a.engine.disco._pending


def test_after_a_restart_whoever_talks_into_the_lost_session_gets_a_new_one_soon():
    world = World()
    a, b = pair(world)
    a.packet(b)
    assert world.run(2000, until=lambda: a.direct(b) and b.direct(a))
    a.stop(save=False)
    world.run(1000)
    a.start()
    started = world.now

    def talk():
        b.packet(a, b"still there?")
        return any(packet.endswith(b"still there?") for packet in a.inbox)

    while not talk() and world.now < started + 15_000:
        world.run(500)
    assert world.now - started <= 4_000, "with b's next ping, not when b finds its session dead after 15 s"


def test_after_a_restart_lost_offers_are_repeated_soon_but_not_for_ever():
    world = World()
    a, b = pair(world)
    world.gateway.down = True
    a.stop()
    a.start()
    sent = []

    def lose(source, destination, data):
        if source == a.endpoint and messages.kind(data) == messages.INITIATION:
            sent.append(world.now)
            return len(sent) < 3
        return False

    world.loss, world.relay.down = lose, True
    a.peer(b).candidates.clear()
    a.engine.paths.set_map(a.peer(b), [b.endpoint])
    started = world.now
    a.packet(b)
    assert world.run(4000, until=lambda: b.inbox), sent
    assert world.now - started <= 2000 and [later - at for at, later in itertools.pairwise(sent)] == [500] * 2
    lost = len(sent)
    a.stop()
    a.start()
    world.loss = lambda source, destination, data: lose(source, destination, data) or messages.kind(data) == messages.INITIATION
    a.packet(b)
    world.run(30_000)
    assert 3 <= len(sent) - lost <= 4 + 6, "then each 5 s"
