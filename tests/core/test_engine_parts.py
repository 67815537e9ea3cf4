"""Parts of the engine on their own: timers, clock, ranking of paths, the way home is chosen, NAT kinds, other interpreters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core import path, stun
from skerry_core.engine.clock import LATEST, Clock
from skerry_core.engine.gateway import Gateway
from skerry_core.engine.paths import better, ip_kind
from skerry_core.engine.peer import Candidate
from skerry_core.engine.timers import Timers
from skerry_core.errors import LocalError
from skerry_core.wireguard import tai64n
from tests.core.engine_world import STUN, Device, RelayServer, World
from tests.core.micropython import fetch
from tests.core.micropython.run import run_micropython
from tests.core.test_engine_sessions import pair

ROOT = Path(__file__).resolve().parents[2]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 50)), max_size=60))
def test_timers_are_exact(steps):
    timers, model = Timers(), {}
    for name, at in steps:
        if at < 0:
            timers.cancel((name,))
            model.pop(name, None)
        else:
            timers.set((name,), at)
            model[name] = at
        assert timers.next() == min(model.values(), default=None)
    fired = []
    while timers.next() is not None:
        at = timers.next()
        fired.append((at, timers.due(at)[0]))
    assert sorted(fired) == sorted((at, name) for name, at in model.items())
    assert [at for at, _ in fired] == sorted(at for at, _ in fired)


def test_timers_do_not_grow():
    timers = Timers()
    for at in range(10_000):
        timers.set(("same",), 10_000 - at)
    assert len(timers._heap) < 100


@given(st.lists(st.tuples(st.integers(0, 1 << 43), st.booleans(), st.integers(0, 10_000)), max_size=30))
def test_stamps_rise_whatever_clocks_say(steps):
    clock, now, last = Clock(bytes(12), None), 0, bytes(12)
    for wall, from_gateway, passed in steps:
        now += passed
        (clock.set_control if from_gateway else clock.set_local)(wall, now)
        stamp, _ = clock.stamp(now)
        assert stamp > last and stamp <= clock.ceiling
        last = stamp
        if passed % 3 == 0:  # a restart: only what was saved is known
            clock = Clock(clock.ceiling, clock.last_control(now))
    assert last < tai64n.encode(LATEST + 86_400_000)


def test_a_wrong_local_clock_gives_way_to_the_gateway():
    clock = Clock(bytes(12), None)
    clock.set_local(0, 100)
    assert clock.control(200) is None and clock.wall(200) == 100
    clock.set_control(1_790_000_000_000, 200)
    assert clock.wall(300) == 1_790_000_000_100
    clock.set_local(1_790_000_030_000, 300)
    assert clock.wall(300) == 1_790_000_030_000, "within a minute the local clock is good enough"


def candidate(text, latency, vni=0):
    made = Candidate(path.udp(0, bytes(int(part) for part in text.split(".")), 1, vni) if "." in text else path.udp(0, SIX, 1, vni))
    made.latency = latency
    return made


SIX = bytes.fromhex("20010db8") + bytes(11) + b"\x01"
RANKING = [
    ("192.0.2.1", 10, "192.0.2.2", 20, True),
    ("192.0.2.1", 20, "192.0.2.2", 10, False),
    ("192.0.2.1", 10, "192.0.2.2", 10, False),
    ("192.0.2.1", 100, "192.0.2.2", 101, False),  # less than 1 % is nothing
    ("192.168.1.1", 10, "192.0.2.2", 10, True),
    ("192.0.2.1", 9, "192.168.1.1", 10, False),
    ("192.0.2.1", 1, "192.168.1.1", 100, True),
    (":", 10, "192.0.2.2", 10, True),
    ("127.0.0.1", 10, "192.168.1.1", 9, True),
    ("192.0.2.1", 0, "192.0.2.2", 0, False),
]


@pytest.mark.parametrize("new,latency,old,old_latency,wins", RANKING)
def test_ranking(new, latency, old, old_latency, wins):
    assert better(candidate(new, latency), candidate(old, old_latency)) is wins


def test_direct_beats_udp_relay():
    assert better(candidate("192.0.2.1", 100), candidate("192.0.2.2", 1, vni=7))
    assert not better(candidate("192.0.2.1", 1, vni=7), candidate("192.0.2.2", 100))


def test_kinds_of_addresses():
    kinds = {
        "none": b"\0\0\0\0",
        "loopback": b"\x7f\0\0\x01",
        "private": b"\x0a\x01\x02\x03",
        "multicast": b"\xe0\0\0\xfb",
        "global": b"\x08\x08\x08\x08",
    }
    assert all(ip_kind(address) == kind for kind, address in kinds.items())
    assert ip_kind(b"\xfe\x80" + bytes(14)) == "link-local" and ip_kind(SIX) == "global" and ip_kind(b"\xff\x02" + bytes(14)) == "multicast"


@pytest.mark.parametrize(
    "text,host,port",
    [
        ("https://gw.example", "gw.example", 443),
        ("http://gw.example/", "gw.example", 80),
        ("http://[2001:db8::1]:8080", "2001:db8::1", 8080),
        ("HTTP://GW.example:9".lower(), "gw.example", 9),
    ],
)
def test_gateway_addresses(text, host, port):
    gateway = Gateway(text)
    assert (gateway.host, gateway.port, gateway.key) == (host, port, None)
    assert gateway.connect(False)["tls"] == ({"name": host, "verify": True} if text.startswith("https") else None)
    pinned = Gateway(text + "#mkey:" + "ab" * 32)
    assert pinned.key == b"\xab" * 32 and pinned.url == gateway.url
    assert pinned.connect(True)["tls"] in (None, {"name": host, "verify": False})


def regions(world, addresses):
    """Give the gateway's map more regions, each with a STUN server at `addresses`."""
    derp_map = world.gateway.derp_map()
    for number, address in addresses.items():
        node = {"Name": str(number), "RegionID": number, "HostName": f"r{number}.test", "IPv4": address, "IPv6": "none"}
        world.servers[(f"r{number}.test", 443)] = RelayServer(world)
        derp_map["Regions"][str(number)] = {"RegionID": number, "RegionCode": f"r{number}", "Nodes": [node]}
    world.gateway.derp_map = lambda: derp_map


def answering(world, delays, seen=lambda source, port: source):
    """STUN servers by address text with their delay; `seen` is the address they report."""
    arrive = world._arrive

    def _arrive(source, destination, data):
        text = ".".join(str(byte) for byte in destination[0])
        txid = stun.parse_request(data)
        if txid is not None and text in delays and destination[1] in (3478, 3479):
            world.later(delays[text], world.datagram, destination, source, stun.response(txid, *seen(source, destination[1])))
        else:
            arrive(source, destination, data)

    world._arrive = _arrive


def test_nearest_region_becomes_home_and_stays():
    world = World()
    regions(world, {901: "192.0.2.11", 902: "192.0.2.12"})
    delays = {"192.0.2.1": 80, "192.0.2.11": 5, "192.0.2.12": 40}
    answering(world, delays)
    a = Device(world, 1)
    world.run(4000)
    assert a.engine.netcheck.home == 901
    world.run(400_000)  # what was measured is forgotten after 5 min
    delays.update({"192.0.2.11": 30, "192.0.2.12": 25})
    report = a.command("netcheck")
    assert report["home_region"] == 901, "5 ms are no reason to move"
    world.run(400_000)
    delays.update({"192.0.2.11": 130})
    report = a.command("netcheck")
    assert report["home_region"] == 902 and report["home_code"] == "r902"


@pytest.mark.parametrize("hard", [False, True])
def test_two_ports_of_one_server_tell_a_hard_nat(hard):
    world = World()
    answering(world, {"192.0.2.1": 0}, lambda source, port: (bytes((203, 0, 113, 7)), port + 1000 if hard else 4000))
    a = Device(world, 1)
    world.run(4000)
    assert a.engine.netcheck.varies is hard
    texts = a.engine.status()["self"]["endpoints"]
    assert texts[0] == ("203.0.113.7:4478" if hard else "203.0.113.7:4000")
    assert ("203.0.113.7:41641" in texts) is hard
    assert any("hard NAT" in sentence for sentence in a.engine.status()["health"]) is hard


def test_stun_is_asked_only_while_active():
    world = World()
    a, b = pair(world)
    world.run(60_000)
    asked = [entry for entry in world.sent if entry[2] == STUN]
    world.run(600_000)
    assert [entry for entry in world.sent if entry[2] == STUN] == asked
    for _ in range(60):
        a.packet(b)
        world.run(1000)
    assert 2 <= len([entry for entry in world.sent if entry[2] == STUN and entry[1] == a.endpoint]) - len(asked) // 2 <= 6


def test_no_stun_at_all_still_finds_a_home():
    world = World()
    world.dead.add("stun")
    a, b = pair(world)
    assert a.engine.netcheck.home == 900
    world.run(5000)
    assert any("UDP may be blocked" in sentence for sentence in a.engine.status()["health"])
    a.packet(b)
    assert world.run(3000, until=lambda: b.inbox)


def test_misuse_is_a_local_error():
    world = World()
    a = Device(world, 1)
    for item in (("uplinks", [{"uplink": 0}]), ("uplinks", [{"uplink": 0, "addresses": [(4, bytes(16))]}]), (), None):
        with pytest.raises(LocalError):
            a.receive(item)


SCRIPT = ROOT / "tests" / "core" / "engine_on_micropython.py"


def test_two_engines_on_cpython_with_pure_crypto():
    done = subprocess.run(
        [sys.executable, SCRIPT],
        env={**os.environ, "PYTHONPATH": str(ROOT / "firmware")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "ok\n", done.stdout + done.stderr


def test_two_engines_on_micropython():
    if os.environ.get("SKERRY_WITHOUT_MICROPYTHON"):
        pytest.skip("$SKERRY_WITHOUT_MICROPYTHON is set")
    try:
        done = run_micropython(SCRIPT, heap="16M", timeout=60)
    except fetch.Unavailable as error:
        pytest.fail(str(error), pytrace=False)
    assert done.stdout == "ok\n", done.stdout + done.stderr


@pytest.mark.parametrize("wall", [0, 1_790_000_000_000])
def test_a_restart_loop_does_not_push_the_stamps_away(wall):
    ceiling = bytes(12)
    for now in range(5000):
        clock = Clock(ceiling, None)
        clock.set_local(wall + now, 0)
        clock.stamp(0)
        ceiling = clock.ceiling
    ahead = int.from_bytes(ceiling[:8], "big") - int.from_bytes(tai64n.encode(wall)[:8], "big")
    assert ahead <= 4 * 3600 + 5010


def test_reserved_stamps_need_no_disk():
    clock = Clock(bytes(12), None)
    clock.set_local(1_790_000_000_000, 0)
    clock.reserve(0)
    saved = clock.ceiling
    for now in (0, 1, 3 * 3_600_000):
        stamp, save = clock.stamp(now)
        assert stamp <= saved and not save
    assert clock.stamp(5 * 3_600_000)[1], "five hours later the ceiling is reached"
