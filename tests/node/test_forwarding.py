"""The kernel's switches, in a folder that stands for /proc/sys: turned on, put back, whatever happened in between."""

import json

import pytest

from skerry_node import firewall, forwarding
from skerry_node.forwarding import SWITCHES, Forwarding

ROUTE4, ROUTE6 = (bytes((10, 1, 0, 0)), 16), (bytes.fromhex("fd00") + bytes(14), 64)
V4, V6 = SWITCHES[4], SWITCHES[16]
RA = "net/ipv6/conf/eth0/accept_ra"


class Bridges:
    """The part of netlink.Tables that is asked."""

    def __init__(self):
        self.found = ["br0"]

    def bridges(self):
        return self.found


class Host:
    def __init__(self, folder):
        self.folder, self.tables, self.table = folder, Bridges(), None
        (folder / "state").mkdir()
        for name, value in ((V4, "0"), (V6, "0"), (RA, "1"), ("net/ipv6/conf/lo/accept_ra", "1"), ("net/ipv6/conf/all/accept_ra", "1")):
            self.set(name, value)

    def set(self, name, value):
        path = self.folder / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)

    def values(self):
        return [(self.folder / "sys" / name).read_text() for name in (V4, V6, RA)]

    def start(self):
        return Forwarding("skerry0", str(self.folder / "state"), self.tables)


@pytest.fixture
def host(tmp_path, monkeypatch):
    made = Host(tmp_path)
    monkeypatch.setattr(forwarding, "SYSCTL", str(tmp_path / "sys"))
    monkeypatch.setattr(firewall, "put", lambda tun, unchanged: setattr(made, "table", list(unchanged)))
    monkeypatch.setattr(firewall, "remove", lambda: setattr(made, "table", None))
    return made


def test_on_for_the_families_that_are_offered_and_back(host):
    node = host.start()
    node.apply([], True)
    assert host.values() == ["0", "0", "1"] and host.table is None
    node.apply([ROUTE4], True)
    assert host.values() == ["1", "0", "1"] and host.table == []
    node.apply([ROUTE4, ROUTE6], False)
    assert host.values() == ["1", "1", "2"] and host.table == [ROUTE4, ROUTE6]
    node.apply([ROUTE6], True)
    assert host.values() == ["0", "1", "2"]
    node.clear()
    assert host.values() == ["0", "0", "1"] and host.table is None
    assert not list((host.folder / "state").iterdir())


def test_what_was_on_stays_on(host):
    host.set(V4, "1")
    host.set(RA, "2")
    node = host.start()
    node.apply([ROUTE4, ROUTE6], True)
    node.clear()
    assert host.values() == ["1", "0", "2"]


def test_a_crash_does_not_make_our_values_the_owners(host):
    host.start().apply([ROUTE4, ROUTE6], True)
    again = host.start()
    again.apply([ROUTE4], True)
    again.clear()
    assert host.values() == ["0", "0", "1"]
    host.start().apply([ROUTE4], True)
    third = host.start()
    third.apply([], True)  # the next start offers nothing
    assert host.values() == ["0", "0", "1"] and host.table is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"boot": 1}', '{"boot": "00", "before": {}, "bridges": []}', "\x00"])
def test_a_damaged_memory_is_of_no_use_and_no_harm(host, text):
    (host.folder / "state" / "forwarding.json").write_text(text)
    node = host.start()
    node.apply([ROUTE4], True)
    node.clear()
    assert host.values() == ["0", "0", "1"]


def test_a_memory_names_no_other_files(host):
    node = host.start()
    node.apply([ROUTE4], True)
    path = host.folder / "state" / "forwarding.json"
    document = json.loads(path.read_text())
    document["before"]["kernel/core_pattern"] = "1"
    path.write_text(json.dumps(document))
    again = host.start()
    again.apply([], True)
    assert not (host.folder / "sys" / "kernel").exists() and host.values() == ["0", "0", "1"]


def test_somebody_who_came_later_keeps_it(host):
    node = host.start()
    node.apply([ROUTE4], True)
    host.tables.found = ["br0", "docker0"]
    node.clear()
    assert host.values()[0] == "1"


def test_what_the_owner_changed_meanwhile_is_theirs(host):
    node = host.start()
    node.apply([ROUTE6], True)
    host.set(RA, "0")
    node.clear()
    assert host.values() == ["0", "0", "0"]


def test_a_link_that_comes_later_keeps_its_router(host):
    node = host.start()
    node.apply([ROUTE6], True)
    host.set("net/ipv6/conf/usb0/accept_ra", "1")
    node.refresh()
    assert (host.folder / "sys/net/ipv6/conf/usb0/accept_ra").read_text() == "2"
    node.clear()
    assert (host.folder / "sys/net/ipv6/conf/usb0/accept_ra").read_text() == "1"


def test_what_cannot_be_set_is_said_and_tried_again(host):
    (host.folder / "sys" / V4).unlink()
    (host.folder / "sys" / V4).mkdir()
    node = host.start()
    node.apply([ROUTE4], True)
    assert node.problems == [] and not (host.folder / "sys" / V4).is_file()  # a kernel without the switch has nothing to turn on
