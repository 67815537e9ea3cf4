"""What the network cost: days, bounds, the file, and headers."""

import json
import os
import socket
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_node import clock, meter, usage, wire
from skerry_node.log import Log
from skerry_node.portal import data
from skerry_node.state import Files

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda deep: st.lists(deep) | st.dictionaries(st.text(max_size=12), deep),
)


def test_days_and_uplinks_are_bounded():
    kept = usage.Usage()
    for day in range(1, 29):
        for month in range(1, 5):
            for uplink in range(20):
                kept.add(f"2026-{month:02d}-{day:02d}", f"eth{uplink}", "direct", 1, 2)
    assert len(kept.days) == usage.DAYS and max(kept.days) == "2026-04-28" and min(kept.days) > "2026-02"
    row = kept.days["2026-04-28"]
    assert len(row) == usage.UPLINKS + 1 and row[usage.OTHER]["direct"] == [12, 24]
    assert usage.load(json.loads(json.dumps(kept.document()))).days == kept.days


@given(st.dictionaries(st.sampled_from(["2026-12-01", "x"]), JSON), JSON)
def test_a_damaged_record_is_refused_or_bounded(days, other):
    for document in ({"version": 1, "days": days}, other):
        try:
            found = usage.load(document)
        except (ValueError, TypeError, AttributeError):
            continue
        assert all(usage.is_day(day) for day in found.days)


def test_increments_never_fall():
    look = usage.Increments()
    assert look.take({"direct": (10, 5)}) == {"direct": (10, 5)}
    assert look.take({"direct": (8, 7)}) == {"direct": (0, 2)}
    assert look.take({"direct": (9, 7)}) == {} and look.take({"direct": (12, 7)}) == {"direct": (2, 0)}


class Counting(Files):
    written = 0

    def write(self, path, content):
        self.written += 1
        super().write(path, content)


@pytest.fixture
def node(tmp_path):
    totals = {"direct": (0, 0)}
    made = SimpleNamespace(state=SimpleNamespace(path=str(tmp_path)), uplinks=[], log=Log(out=open(os.devnull, "w")), totals=totals)
    made.traffic = lambda: dict(totals)
    return made


def test_the_disk_is_written_rarely_and_the_record_outlives_the_process(node, monkeypatch):
    now = [1_000_000]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(meter, "uplink", lambda: "wwan0")
    files = Counting()
    made = meter.Meter(node, files)
    for _ in range(24 * 6):  # a day
        now[0] = made.next_timer()
        sent, received = node.totals["direct"]
        node.totals["direct"] = (sent + 1_000, received + 500)
        made.handle_timer(now[0])
    assert files.written <= 24
    node.totals["direct"] = (sent + (3 << 20), received)
    now[0] = made.next_timer()
    made.handle_timer(now[0])
    node.totals["direct"] = (node.totals["direct"][0] + 7, received)
    made.close()
    sent, node.totals["direct"] = node.totals["direct"][0], (0, 0)  # the next process begins to count
    shown = meter.Meter(node, files).read().days
    assert sum(uplinks["wwan0"]["direct"][0] for uplinks in shown.values()) == sent
    assert (os.stat(os.path.join(node.state.path, meter.NAME)).st_mode & 0o777) == 0o600


def test_bytes_belong_to_the_uplink_they_went_through_and_wait_for_a_clock(node, monkeypatch):
    name, wall = ["eth0"], [0]
    monkeypatch.setattr(meter, "uplink", lambda: name[0])
    monkeypatch.setattr(clock, "wall", lambda: wall[0])
    made = meter.Meter(node)
    node.totals["direct"] = (10, 20)
    name[0], node.uplinks = "wwan0", ["changed"]
    made.handle_timer(made.next_timer() - 1)
    node.totals["direct"] = (11, 22)
    assert made.read().days == {} and made.shown()["today"] == ""
    wall[0] = 1_796_083_200_000
    (day,) = made.read().days.values()
    assert day == {"eth0": {"direct": [10, 20]}, "wwan0": {"direct": [1, 2]}}


DAMAGED = ["", "{", "[]", '{"version": 1, "days": {"2026-12-01": []}}', '{"version": 1, "days": {"2026-12-01": {"a": {"direct": 1}}}}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_counted_from_nothing(node, content):
    with open(os.path.join(node.state.path, meter.NAME), "w") as file:
        file.write(content)
    assert meter.Meter(node).read().days == {}


def test_the_default_routes_are_read_as_the_kernel_writes_them(tmp_path):
    four = tmp_path / "route"
    four.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "wwan0\t00000000\t0100000A\t0003\t0\t0\t700\t00000000\t0\t0\t0\neth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        "eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
    )
    assert meter.default4(str(four)) == "eth0" and meter.default4(str(tmp_path / "none")) == ""
    six = tmp_path / "ipv6_route"
    zero = "0" * 32
    six.write_text(
        f"{zero} 00 {zero} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003    wlan0\n"
        f"{zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200       lo\n"
    )
    assert meter.default6(str(six)) == "wlan0"


def test_a_connections_bytes_come_from_the_kernel():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _ = server.accept()
        with far:
            near.sendall(b"x" * 50_000)
            taken = 0
            while taken < 50_000:
                taken += len(far.recv(65536))
            received = wire.stream(far)[1]
            assert 50_000 < received < 60_000 and wire.stream(far)[0] < 10_000
    assert wire.stream(far) == (0, 0)


def test_discovery_is_told_from_handshakes():
    assert all(wire.is_discovery(found) for found in (b"TS\xf0\x9f", b"\0\1\0\0", b"\1\1\0\0", b""))
    assert not any(wire.is_discovery(found) for found in (b"\1\0\0\0", b"\4\0\0\0x"))
    assert wire.datagram((0, 4, b"", 1, 0), 100) == 128 and wire.datagram((0, 6, b"", 1, 7), 100) == 156


def test_the_page_adds_up_and_looks_ahead():
    month = {f"2026-12-{day:02d}": {"wwan0": {"direct": [600, 300], "control": [50, 50]}} for day in (1, 2, 4)}
    month["2026-12-05"] = {"eth0": {"relay": [5, 5]}}
    table = data.rows(month)
    assert table[-1] == {"uplink": "all", "purpose": "", "sent": 1955, "received": 1055}
    assert data.forecast(month, "2026-12-05") == "At this rate the month comes to 23 kB."  # 3000 in four days, 26 to come
    assert data.forecast({"2026-12-05": month["2026-12-05"]}, "2026-12-05") == ""
    drawn = str(data.plot(month, "2026-12-05"))
    assert drawn.count('class="bar direct"') == 3 and drawn.count("<text") == 7 and "2026-12-04: 900 B" in drawn
    assert str(data.plot({}, "2026-02-01")).count("<rect") == 0 and str(data.plot({}, "")) == ""
