"""Runs inside MicroPython (and CPython): two engines with saved maps, pure Python crypto and transports, joined by datagrams alone.

Prints "ok" after a packet went each way over the direct path that disco found, without gateway and relay.
"""

import binascii
import sys

from skerry_core.crypto import pure
from skerry_core.engine import Engine
from skerry_core.transport import Transport

WALL = 1790000000000
PORT = 41641


class Random:
    """A small generator, good enough to tell keys apart."""

    def __init__(self, seed):
        self.state = pure.blake2s(bytes([seed]))

    def __call__(self, n):
        out = b""
        while len(out) < n:
            self.state = pure.blake2s(self.state)
            out += pure.blake2s(self.state, b"out")
        return out[:n]


def hexed(raw):
    return binascii.hexlify(raw).decode()


def keys(number):
    return {name: bytes([number * 16 + at]) * 32 for at, name in enumerate(("machine_key", "node_key", "disco_key"))}


def node(number):
    own = keys(number)
    return {
        "ID": number, "StableID": "n%d" % number, "Name": "n%d.net.test." % number, "User": 1, "MachineAuthorized": True,
        "Key": "nodekey:" + hexed(pure.x25519_public(own["node_key"])),
        "DiscoKey": "discokey:" + hexed(pure.x25519_public(own["disco_key"])),
        "Addresses": ["100.64.0.%d/32" % number], "Endpoints": ["198.51.100.%d:%d" % (number, PORT)], "Cap": 142,
    }  # fmt: skip


def saved(number, other):
    allow = [{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}]
    netmap = {"version": 1, "Node": node(number), "Peers": [node(other)], "PacketFilters": {"base": allow}}
    state = {"version": 1, "gateway": "http://gateway.test", "gateway_key": "11" * 32, "wanted": True, "logged_in": True, "netmap": netmap}
    for name, key in keys(number).items():
        state[name] = hexed(key)
    state["tai_floor"] = "00" * 12
    return state


class Device:
    def __init__(self, number, other):
        self.number = number
        self.random = Random(number)
        self.address = (bytes([198, 51, 100, number]), PORT)
        self.transport = Transport(pure, self.random, lambda: 0)
        self.engine = Engine({}, pure, self.random, 0, saved(number, other))
        self.engine.receive(("clock", WALL), 0)
        self.engine.receive(("uplinks", [{"uplink": 0, "addresses": [(4, self.address[0])], "port4": PORT, "port6": 0}]), 0)

    def pump(self, now):
        while True:
            events = self.transport.poll()
            for item in events:
                self.engine.receive(item, now)
            actions = self.engine.actions()
            for action in actions:
                if action[0] == "apply":
                    self.transport.apply(action[1])
                elif action[0] == "send":
                    self.transport.send(action[1], action[2])
            if not events and not actions:
                return


def packet(source, destination):
    body = b"\x0f\xa0\x0f\xa1\x00\x0d\x00\x00hello"
    head = b"\x45\x00\x00\x21\x00\x00\x00\x00\x40\x11\x00\x00" + bytes([100, 64, 0, source, 100, 64, 0, destination])
    return head + body


def main():
    devices = [Device(1, 2), Device(2, 1)]
    now, got = 0, [0, 0]
    for device in devices:
        device.pump(now)
    for step in range(40):
        now += 50
        if step in (0, 20):
            devices[step // 20].transport.packet(packet(step // 20 + 1, 2 - step // 20))
        for at, device in enumerate(devices):
            device.pump(now)
            due = device.engine.next_timer()
            if due is not None and due <= now:
                device.engine.handle_timer(now)
                device.pump(now)
            for path, data in device.transport.datagrams():
                other = devices[1 - at]
                if (path[2], path[3]) == other.address:
                    other.transport.datagram((0, 4, device.address[0], PORT, 0), data)
            got[at] += len(device.transport.packets())
    document = devices[0].engine.save()
    assert document["version"] == 1 and len(document["tai_floor"]) == 24
    for device in devices:
        assert device.engine.status()["peers"][0]["endpoint"], device.engine.why(device.engine.peers.all()[0].key)
    assert got == [1, 1], got
    print("ok")


if __name__ == "__main__":
    main()
    sys.exit(0)
