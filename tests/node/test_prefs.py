"""Whose word counts: node.toml or the commands; and what is kept of a key."""

import pytest

from skerry_core.errors import LocalError
from skerry_node.prefs import Prefs, base

FILE = {"gateway": "https://gw.example", "hostname": "camera-1", "key": "k-1", "port": 5}


def restarted(prefs, file):
    return Prefs(prefs.save(), file)


def test_a_file_with_a_gateway_wants_to_run():
    prefs = Prefs({}, FILE)
    assert prefs.values == {"gateway": "https://gw.example", "hostname": "camera-1", "key": "k-1", "want_running": True}
    assert Prefs({}, {}).values == {"want_running": False}


def test_a_command_outlives_a_restart_until_the_file_says_something_else():
    prefs = Prefs({}, FILE)
    prefs.set({"hostname": "door"})
    prefs = restarted(prefs, FILE)
    assert prefs.values["hostname"] == "door"
    prefs = restarted(prefs, {**FILE, "hostname": "gate"})
    assert prefs.values["hostname"] == "gate"
    assert "hostname" not in restarted(prefs, {"gateway": "https://gw.example"}).values


def test_a_used_key_of_the_file_does_not_come_back():
    prefs = Prefs({}, FILE)
    prefs.used_key()
    prefs = restarted(prefs, FILE)
    assert prefs.key() is None
    assert restarted(prefs, {**FILE, "key": "k-2"}).key() == "k-2"


def test_down_stays_down_and_another_gateway_in_the_file_comes_up():
    prefs = Prefs({}, FILE)
    prefs.values["want_running"] = False
    prefs = restarted(prefs, FILE)
    assert prefs.values["want_running"] is False
    assert restarted(prefs, {**FILE, "gateway": "https://other.example"}).values["want_running"] is True


def test_logout_forgets_the_key():
    prefs = Prefs({}, FILE)
    prefs.logged_out()
    assert restarted(prefs, FILE).values == {"gateway": "https://gw.example", "hostname": "camera-1", "want_running": False}


def test_what_does_not_fit_is_refused_or_left_out():
    prefs = Prefs({"hostname": 5, "want_running": "yes", "gateway": "ftp://x", "file": [], "other": 1}, {})
    assert prefs.values == {"want_running": False}
    with pytest.raises(LocalError, match="is not a scheme"):
        prefs.set({"hostname": "good", "gateway": "ftp://x"})
    assert prefs.values == {"want_running": False}


def test_base_compares_gateways_without_their_keys():
    assert base("https://GW.example/#mkey:00") == base("https://gw.example") != base("http://gw.example")


def test_other_networks_are_kept_and_damage_is_left_out():
    kept = {"one.example": {"prefs": {"gateway": "https://one.example"}, "engine": None}}
    damaged = {"two.example": {"prefs": {}}, "three.example": 3, "four.example": {"prefs": {"gateway": 4}, "engine": None}}
    prefs = Prefs({"gateway": "https://now.example", "networks": {**kept, **damaged}}, {})
    assert prefs.networks == kept and prefs.save()["networks"] == kept
    assert "networks" not in Prefs({"networks": "x"}, {}).save()
