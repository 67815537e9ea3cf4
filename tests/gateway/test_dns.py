"""DNS settings: what the verb takes and refuses, what nodes are told and when, the form in the console."""

import asyncio

import pytest

from skerry_gateway.admin import AdminError
from skerry_gateway.admin.tables import SHOWN
from skerry_gateway.cli import main
from tests.gateway.control_bench import Gateway, join
from tests.gateway.test_web import Console


@pytest.fixture
def gateway():
    return Gateway()


def told(client):
    """The DNSConfig of the newest map that has one."""
    client.pull()
    return next((m["DNSConfig"] for m in reversed(client.maps) if "DNSConfig" in m), None)


def test_defaults(gateway):
    found = gateway.call("dns show")
    assert found == {"base_domain": "skerry.internal", "magic": True, "nameservers": [], "routes": {}, "search": [], "records": []}
    assert "those each node's own network gives it" in SHOWN["dns show"](found, 0)


def test_each_list_replaces_the_one_before_and_nothing_else(gateway):
    gateway.call("dns set", nameservers=["192.0.2.53", "[2001:db8::1]:5353", "192.0.2.53:53"], search=["Corp.Example."])
    routes = ["corp.example=10.0.0.53, 10.0.0.54:54", "corp.example=2001:db8::2", "lab.example="]
    found = gateway.call("dns set", routes=routes, magic=False)
    assert found["nameservers"] == ["192.0.2.53", "[2001:db8::1]:5353"] and found["search"] == ["corp.example"]
    assert found["routes"] == {"corp.example": ["10.0.0.53", "10.0.0.54:54", "2001:db8::2"], "lab.example": []}
    assert not found["magic"]
    found = gateway.call("dns set", nameservers=[], magic=True)
    assert found["nameservers"] == [] and found["magic"] and found["routes"]
    assert gateway.call("dns set", base_domain="Home.Example")["base_domain"] == "home.example"
    for line in ("corp.example -> 10.0.0.53", "base domain    home.example"):
        assert line in SHOWN["dns set"](found | {"base_domain": "home.example"}, 0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "nothing to set"),
        ({"nameservers": ["dns.example"]}, '"dns.example" is no nameserver'),
        ({"nameservers": ["192.0.2.1:0"]}, '"0" is no port'),
        ({"nameservers": ["192.0.2.1:99999"]}, '"99999" is no port'),
        ({"nameservers": ["[2001:db8::1]x"]}, '"x" is no port'),
        ({"nameservers": ["100.100.100.100"]}, "each node's own resolver"),
        ({"nameservers": ["FD7A:115C:A1E0::53"]}, "each node's own resolver"),
        ({"nameservers": ["0.0.0.0"]}, "nobody's address"),
        ({"nameservers": [f"192.0.2.{n}" for n in range(17)]}, "17 nameservers are too many"),
        ({"routes": ["corp.example"]}, "is no route: write DOMAIN=ADDRESS"),
        ({"routes": ["a b=10.0.0.1"]}, '"a b" is no domain name'),
        ({"search": ["-x.example"]}, "is no domain name"),
        ({"records": ["nas"]}, "is no record: write NAME=ADDRESS"),
        ({"records": ["nas=other.example"]}, '"other.example" is no address'),
        ({"records": ["*.x=192.0.2.1"]}, "is no domain name"),
        ({"base_domain": "a b"}, "no domain name"),
        ({"magic": "on"}, "true or false"),
    ],
)
def test_refusals_name_the_value_and_change_nothing(gateway, given, words):
    before = gateway.call("dns set", nameservers=["192.0.2.53"])
    with pytest.raises(AdminError) as caught:
        gateway.call("dns set", **given)
    assert words in str(caught.value)
    assert gateway.call("dns show") == before


def test_connected_nodes_hear_at_once_and_once(gateway):
    one, two = join(gateway, 1), join(gateway, 2)
    for client in (one, two):
        assert told(client) == {"Proxied": True, "Domains": ["skerry.internal"]}
    records = ["nas=192.168.1.5", "db.corp.example=10.0.0.7", "out.example=fd00::1"]
    gateway.call("dns set", routes=["corp.example=10.0.0.53"], records=records)
    expected = {
        "Proxied": True,
        "Domains": ["skerry.internal"],
        "Routes": {"corp.example": [{"Addr": "10.0.0.53"}], "db.corp.example": [], "out.example": []},
        "ExtraRecords": [
            {"Name": "nas.skerry.internal", "Value": "192.168.1.5"},
            {"Name": "db.corp.example", "Value": "10.0.0.7"},
            {"Name": "out.example", "Value": "fd00::1"},
        ],
    }
    for client in (one, two):
        assert told(client) == expected
        seen = len(client.maps)
        gateway.call("dns set", magic=True)
        client.pull()
        assert len(client.maps) == seen  # nothing differs, nothing is said


def test_settings_outlive_a_restart_and_reach_a_new_stream(gateway):
    gateway.call("dns set", nameservers=["192.0.2.53"], magic=False)
    one = join(Gateway(store=gateway.coordinator.store), 1)
    assert told(one) == {"Proxied": False, "Domains": ["skerry.internal"], "Resolvers": [{"Addr": "192.0.2.53"}]}


def test_command_line(tmp_path, capsys):
    state = ["--state", str(tmp_path / "state")]
    assert main(["dns", "set", "--nameserver", "192.0.2.53", "--record", "nas=192.168.1.5", "--magic", "off", *state]) == 0
    assert "nas = 192.168.1.5" in capsys.readouterr().out
    assert main(["dns", "set", "--clear", "nameservers", "--magic", "on", "--json", *state]) == 0
    assert '"nameservers": []' in capsys.readouterr().out
    assert main(["dns", "set", *state]) == 1
    assert "nothing to set" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["dns", "set", "--clear", "records", "--record", "a=192.0.2.1", *state])
    assert ended.value.code == 2


def test_the_form_holds_what_is_set_and_sets_what_it_holds(tmp_path):
    async def scene():
        async with Console(tmp_path) as console:
            owner = await console.signed_in("owner")
            console.verb("dns set", routes=["corp.example=10.0.0.53"], records=["nas=192.168.1.5"])
            page = (await owner.get("/dns"))[1]
            assert "corp.example=10.0.0.53</textarea>" in page and "nas=192.168.1.5</textarea>" in page and "checked" in page
            form = {"base_domain": "skerry.internal", "nameservers": "192.0.2.1\r\n\r\n192.0.2.2", "records": "nas=192.168.1.6"}
            assert (await owner.post("/dns", form))[0] == 303
            found = console.verb("dns show")
            assert found["nameservers"] == ["192.0.2.1", "192.0.2.2"] and not found["magic"] and found["routes"] == {}
            assert found["records"] == [{"name": "nas", "value": "192.168.1.6"}]
            status, page = await owner.post("/dns", {**form, "nameservers": "<b>"})
            assert status == 400 and "&lt;b&gt;" in page
            assert console.verb("dns show") == found

    asyncio.run(scene())
