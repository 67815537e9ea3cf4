"""Names on a host that runs our node: whoever manages them, whoever dies, whoever is away; and the official client beside it."""

import json
import os
import re
import stat

import pytest

from tests.netlab import Lab
from tests.netlab.lab import Host, until
from tests.netlab.names import Dnsmasq, Guard, NetworkManager, Resolved, folder, libraries
from tests.netlab.programs import Gateway, Skerryd, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

INTERNET = {"www.isp.example": "198.51.100.80"}
BY_HAND = "# by hand\nnameserver {}\nsearch isp.example\noptions timeout:3 attempts:2\n"


class Named(Skerryd):
    """Our node on a host whose resolv.conf skerry-resolv guards, where `guard` is given."""

    guard: Guard | None = None
    path = ""

    def env(self) -> dict[str, str]:
        known = {**super().env(), "SKERRY_RESOLV": str(self.guard.socket) if self.guard else "/nowhere"}
        return {**known, "PATH": f"{self.path}:{os.environ['PATH']}", **libraries()} if self.path else known

    def dns(self) -> dict:
        return json.loads(self.cli("dns", "status", "--json").stdout)

    def in_force(self) -> bool:
        return self.dns()["host"]["in_force"]

    def query(self, name: str, kind: str = "A") -> list[str]:
        return [row["data"] for row in json.loads(self.cli("dns", "query", name, kind, "--json", check=False).stdout)["answers"]]


def getent(host: Host, what: str, name: str) -> list[str]:
    """What this host's C library finds, by the host's resolv.conf."""
    done = host.run("getent", what, name, check=False, timeout=40)
    return sorted({line.split()[0 if what != "hosts" else slice(None)] if what != "hosts" else line for line in done.stdout.splitlines()})


def finds(host: Host, name: str, address: str, deadline: float = 30) -> None:
    until(f"{host.name} finds {address} for {name}", lambda: address in getent(host, "ahosts", name), deadline)


def resolv_conf(host: Host) -> str:
    assert host.etc is not None
    return (host.etc / "resolv.conf").read_text()


@pytest.fixture
def isp(lab: Lab) -> Dnsmasq:
    server = Dnsmasq(lab.public("isp"), "isp", INTERNET)
    server.start()
    return server


def guarded(lab: Lab, isp: Dnsmasq, name: str = "ours") -> Named:
    """Our node, its host's resolv.conf written by hand, skerry-resolv beside it."""
    host = lab.public(name)
    host.own_etc(BY_HAND.format(isp.address))
    node = Named(host, name)
    node.guard = Guard(host, f"{name}-resolv")
    node.guard.start()
    node.start()
    return node


def with_resolved(lab: Lab, server: Dnsmasq, name: str) -> Named:
    """Our node on a host where systemd-resolved answers, and asks `server`."""
    node = Named(lab.public(name), name)
    resolved = Resolved(node.host, "resolved")
    resolved.start()
    resolved.ctl("dns", "wan", server.address)
    resolved.ctl("default-route", "wan", "yes")
    node.path = str(folder() / "usr/bin")
    node.start()
    return node


def test_names_in_both_directions_and_settings_at_once(lab: Lab, gateway: Gateway, isp: Dnsmasq) -> None:
    corp = Dnsmasq(lab.public("corp"), "corp", {"www.corp.example": "10.1.2.3"})
    corp.start()
    ours = guarded(lab, isp)
    theirs = Tailscaled(lab.public("theirs"), "theirs")
    theirs.host.own_etc(BY_HAND.format(isp.address))
    theirs.start()
    ours.up(gateway.url, gateway.key())
    theirs.up(gateway.url, gateway.key())
    theirs.official("set", "--accept-dns=true")
    until("the host asks us", ours.in_force)
    # the C library, by short and full name, both families, and back
    for name in ("theirs", "theirs.skerry.internal", "THEIRS.skerry.internal."):
        finds(ours.host, name, theirs.address)
    assert theirs.address6 in getent(ours.host, "ahostsv6", "theirs")
    for address in (theirs.address, theirs.address6):
        assert re.search(r"\btheirs\.skerry\.internal$", getent(ours.host, "hosts", address)[0])
    finds(ours.host, "www.isp.example", "198.51.100.80")
    finds(ours.host, "www", "198.51.100.80")  # the search domain that was there
    assert getent(ours.host, "ahosts", "nobody.skerry.internal") == [] and isp.asked("nobody.skerry.internal") == 0
    # the gateway's settings reach both at once
    records = ["--record", "nas=192.168.77.5", "--record", "odd.example=192.168.77.6"]
    gateway.cli("dns", "set", "--route", f"corp.example={corp.address}", *records)
    finds(ours.host, "www.corp.example", "10.1.2.3")
    finds(ours.host, "nas", "192.168.77.5")
    finds(ours.host, "odd.example", "192.168.77.6")
    assert corp.asked("www.corp.example") and not isp.asked("www.corp.example") and not isp.asked("odd.example")

    def told(name: str) -> str:
        return theirs.official("dns", "query", name, check=False).stdout

    until("the official client has the record", lambda: "192.168.77.5" in told("nas.skerry.internal"))
    assert ours.address in told("ours.skerry.internal") and "10.1.2.3" in told("www.corp.example")
    # the official command line at our node
    assert theirs.address in ours.official("dns", "query", "theirs.skerry.internal").stdout
    assert "10.1.2.3" in ours.official("dns", "query", "www.corp.example").stdout
    shown = json.loads(ours.official("dns", "status", "--json").stdout)
    assert shown["CurrentTailnet"]["MagicDNSEnabled"] and shown["SystemDNS"]["Nameservers"][0] == "100.100.100.100"
    assert ours.query("theirs", "AAAA") == [theirs.address6] and ours.query("100.64.9.9") == []
    # the source of packets is never the service address
    assert f"src {ours.address} " in ours.host.ip("route", "get", theirs.address)
    assert f"src {ours.address6} " in ours.host.ip("-6", "route", "get", theirs.address6)
    # neighbours find no open resolver, and the owner can say no
    neighbour = lab.public("neighbour")
    neighbour.ip("route", "add", "100.100.100.100", "via", ours.host.address)
    (lab.resolv_conf("neighbour")).write_text("nameserver 100.100.100.100\noptions timeout:1 attempts:1\n")
    assert getent(neighbour, "ahosts", "theirs.skerry.internal") == []
    ours.cli("set", "--accept-dns=false")
    assert resolv_conf(ours.host) == BY_HAND.format(isp.address) and getent(ours.host, "ahosts", "theirs") == []
    assert "100.100.100.100" not in ours.host.ip("addr") and "not used on this host" in ours.cli("status").stdout
    ours.cli("set", "--accept-dns")
    finds(ours.host, "theirs", theirs.address)


def test_whatever_dies_the_host_finds_names(lab: Lab, gateway: Gateway, isp: Dnsmasq) -> None:
    ours = guarded(lab, isp)
    assert ours.guard is not None and ours.host.etc is not None
    before = (ours.host.etc / "resolv.conf").stat()
    ours.up(gateway.url, gateway.key())
    finds(ours.host, "ours", ours.address)
    by_hand = BY_HAND.format(isp.address)
    # skerryd: the file is back by itself, the very same one
    ours.kill()
    until("the file before is back", lambda: resolv_conf(ours.host) == by_hand, 10, 0.02)
    assert (ours.host.etc / "resolv.conf").stat().st_ino == before.st_ino
    finds(ours.host, "www.isp.example", "198.51.100.80")
    # and without the gateway names are there from the saved map
    gateway.stop()
    ours.start()
    finds(ours.host, "ours", "100.64.0.1")
    finds(ours.host, "www.isp.example", "198.51.100.80")
    # skerry-resolv: names go on; a new one finds what the old one left, and is asked again
    ours.guard.kill()
    finds(ours.host, "ours", "100.64.0.1")
    ours.guard.start()
    until("it is asked again", ours.in_force, 20)
    finds(ours.host, "ours", "100.64.0.1")
    # both at once, as in a power cut: what starts at boot puts it back
    ours.guard.kill()
    ours.kill()
    assert "100.100.100.100" in resolv_conf(ours.host)
    ours.host.run(ours.guard.argv()[0], "--restore")
    assert resolv_conf(ours.host) == by_hand
    finds(ours.host, "www.isp.example", "198.51.100.80")
    # a clean stop
    ours.guard.start()
    ours.start()
    until("names are in force", ours.in_force, 20)
    ours.stop()
    until("the file before is back", lambda: resolv_conf(ours.host) == by_hand, 10, 0.02)
    assert sorted(path.name for path in ours.host.etc.glob("resolv.conf*")) == ["resolv.conf"]
    assert stat.S_IMODE((ours.host.etc / "resolv.conf").stat().st_mode) == stat.S_IMODE(before.st_mode)


def test_systemd_resolved(lab: Lab, gateway: Gateway, isp: Dnsmasq) -> None:
    ours = Named(lab.public("ours"), "ours")
    resolved = Resolved(ours.host, "resolved")
    resolved.start()
    resolved.ctl("dns", "wan", isp.address)
    resolved.ctl("default-route", "wan", "yes")
    ours.path = str(folder() / "usr/bin")
    ours.start()
    finds(ours.host, "www.isp.example", "198.51.100.80")
    ours.up(gateway.url, gateway.key())
    until("the host asks us", ours.in_force)
    assert ours.dns()["host"]["mode"] == "systemd-resolved" and not ours.dns()["host"]["everything"]
    for name in ("ours", "ours.skerry.internal"):
        assert ours.address in resolved.ctl("query", "--legend=no", name).stdout
        finds(ours.host, "ours.skerry.internal", ours.address)
    assert "ours.skerry.internal" in resolved.ctl("query", ours.address).stdout
    finds(ours.host, "www.isp.example", "198.51.100.80")
    assert not isp.asked("ours.skerry.internal") and ours.dns()["before"] == [isp.address]
    resolved.restart_it()
    finds(ours.host, "ours.skerry.internal", ours.address)
    # a server for everything takes everything, until it is taken back
    corp = Dnsmasq(lab.public("corp"), "corp", {"www.isp.example": "203.0.113.80"})
    corp.start()
    gateway.cli("dns", "set", "--nameserver", corp.address)
    until("everything comes to us", lambda: ours.dns()["host"]["everything"])
    resolved.ctl("flush-caches")
    finds(ours.host, "www.isp.example", "203.0.113.80")
    gateway.cli("dns", "set", "--clear", "nameservers")
    until("only names come to us", lambda: ours.in_force() and not ours.dns()["host"]["everything"])
    # kill -9: the link is gone, and with it all that resolved was told
    ours.kill()
    resolved.ctl("flush-caches")
    finds(ours.host, "www.isp.example", "198.51.100.80")
    assert "100.100.100.100" not in resolved.ctl("dns").stdout
    ours.start()
    until("the host asks us again", ours.in_force)
    finds(ours.host, "ours.skerry.internal", ours.address)
    ours.cli("down")
    until("resolved has forgotten", lambda: "100.100.100.100" not in resolved.ctl("dns").stdout)
    assert resolv_conf(ours.host).startswith("# This is stub-resolv.conf")


def test_network_manager(lab: Lab, gateway: Gateway, isp: Dnsmasq) -> None:
    other = Dnsmasq(lab.public("other"), "other", {"www.isp.example": "203.0.113.80"})
    other.start()
    ours = Named(lab.public("ours"), "ours")
    manager = NetworkManager(ours.host, "manager", isp.address)
    manager.start()
    ours.guard = Guard(ours.host, "ours-resolv")
    ours.guard.start()
    ours.start()
    finds(ours.host, "www.isp.example", "198.51.100.80")
    ours.up(gateway.url, gateway.key())
    until("the host asks us", ours.in_force)
    finds(ours.host, "ours", ours.address)
    finds(ours.host, "www.isp.example", "198.51.100.80")
    assert ours.dns()["host"]["manager"] == "NetworkManager" and ours.dns()["before"] == [isp.address]
    # it writes the file anew while we hold it: its server is the one before, the names stay
    manager.change(other.address)
    until("we ask the new server", lambda: ours.dns()["before"] == [other.address])
    finds(ours.host, "www.isp.example", "203.0.113.80")
    finds(ours.host, "ours", ours.address)
    ours.kill()
    until("its file is back", lambda: "Generated by NetworkManager" in resolv_conf(ours.host), 10, 0.02)
    finds(ours.host, "www.isp.example", "203.0.113.80")
    manager.change(isp.address)  # and it is its own again
    finds(ours.host, "www.isp.example", "198.51.100.80")


def test_our_own_look_ups_need_no_tunnel_and_containers_ask_too(lab: Lab, gateway: Gateway, isp: Dnsmasq) -> None:
    isp.stop()
    isp.names["gw.isp.example"] = gateway.host.address
    isp.start()
    gateway.cli("dns", "set", "--nameserver", "100.64.77.77")  # only in the tunnel, and nobody's
    gateway.stop()
    gateway.start()
    ours = guarded(lab, isp)
    ours.up(f"http://gw.isp.example:{gateway.port}", gateway.key())
    until("the host asks us", ours.in_force)
    finds(ours.host, "ours", ours.address)
    assert getent(ours.host, "ahosts", "www.isp.example") == []
    before = isp.asked("gw.isp.example")
    gateway.stop()
    until("the gateway is missed", lambda: not ours.own_status()["connected"])
    gateway.start()
    until("the gateway is found again by its name", lambda: ours.own_status()["connected"], 60)
    assert isp.asked("gw.isp.example") > before
    # a container: another host, behind a bridge of ours, with the resolv.conf it was given from here
    host = ours.host
    inner = lab.public("container")
    inner.ip("link", "del", "wan")
    host.ip("link", "add", "docker0", "type", "bridge")
    host.ip("addr", "add", "172.17.0.1/16", "dev", "docker0")
    host.ip("link", "add", "v0", "type", "veth", "peer", "name", "eth0", "netns", inner.name)
    host.ip("link", "set", "v0", "master", "docker0", "up")
    host.ip("link", "set", "docker0", "up")
    inner.ip("addr", "add", "172.17.0.2/16", "dev", "eth0")
    inner.ip("link", "set", "eth0", "up")
    inner.ip("route", "add", "default", "via", "172.17.0.1")
    lab.resolv_conf("container").write_text(resolv_conf(host))
    finds(inner, "ours", ours.address)


def test_network_manager_with_systemd_resolved(lab: Lab, gateway: Gateway, isp: Dnsmasq) -> None:
    other = Dnsmasq(lab.public("other"), "other", {"www.isp.example": "203.0.113.80"})
    other.start()
    ours = Named(lab.public("ours"), "ours")
    resolved = Resolved(ours.host, "resolved")
    resolved.start()
    manager = NetworkManager(ours.host, "manager", isp.address, resolved)
    manager.start()
    ours.path = str(folder() / "usr/bin")
    ours.start()
    finds(ours.host, "www.isp.example", "198.51.100.80")
    ours.up(gateway.url, gateway.key())
    until("the host asks us", ours.in_force)
    finds(ours.host, "ours.skerry.internal", ours.address)
    manager.change(other.address)  # what it tells of its links leaves ours alone
    resolved.ctl("flush-caches")
    finds(ours.host, "www.isp.example", "203.0.113.80")
    assert "100.100.100.100" in resolved.ctl("dns", "skerry0").stdout
    finds(ours.host, "ours.skerry.internal", ours.address)
    until("we know the new server", lambda: ours.dns()["before"] == [other.address])
    manager.restart_it()
    finds(ours.host, "ours.skerry.internal", ours.address)
    assert "100.100.100.100" in resolved.ctl("dns", "skerry0").stdout


@pytest.mark.parametrize("manager", ["by-hand", "resolved"])
def test_names_through_an_exit_node(lab: Lab, gateway: Gateway, isp: Dnsmasq, manager: str) -> None:
    lan = Dnsmasq(lab.public("lan"), "lan", {"www.isp.example": "203.0.113.80", "lan.example": "10.0.0.1"})
    lan.start()
    out, client = guarded(lab, isp, "out"), guarded(lab, lan, "client") if manager == "by-hand" else with_resolved(lab, lan, "client")
    out.up(gateway.url, gateway.key(), "--advertise-exit-node")
    client.up(gateway.url, gateway.key())
    until("the gateway heard of it", lambda: gateway.cli("routes", "approve", "out", "exit-node", check=False), 20)
    until("the host asks us", client.in_force)
    finds(client.host, "www.isp.example", "203.0.113.80")
    choose = ["set", "--exit-node=out"]
    until("the exit node is chosen", lambda: client.cli(*choose, check=False).returncode == 0, 20)
    finds(client.host, "www.isp.example", "198.51.100.80")
    asked = lan.log()
    finds(client.host, "out.skerry.internal", out.address)
    assert getent(client.host, "ahosts", "lan.example") == []
    assert client.query("lan.example") == [] and lan.log() == asked  # the LAN's server hears nothing
    assert out.dns()["counts"]["queries"] > 0 and isp.asked("www.isp.example")
    client.cli("set", "--exit-node=")
    if manager == "resolved":
        until("the rest is resolved's again", lambda: client.in_force() and not client.dns()["host"]["everything"])
        client.host.run("env", *(f"{name}={value}" for name, value in libraries().items()), f"{client.path}/resolvectl", "flush-caches")
    finds(client.host, "www.isp.example", "203.0.113.80")
