"""Two Python transports shake hands and carry packets, directly and through a relay, on every interpreter."""

from skerry_core import derp, filter, path
from skerry_core.transport import Transport
from skerry_core.wireguard import handshake, tai64n

RULES = filter.compile([{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}])
PEER = 3
HANDSHAKE, CONFIRMED = 4, 8


def _packet(source, destination, text):
    header = b"\x45\0" + (28 + len(text)).to_bytes(2, "big") + b"\0\1\0\0\x40\x11\0\0" + source + destination
    return header + b"\x10\x00\x20\x00" + (8 + len(text)).to_bytes(2, "big") + b"\0\0" + text


def _node(crypto, private, own, other_public, other, where):
    node = Transport(crypto, bytes, lambda: 0)
    node.apply([
        ("identity", crypto.x25519_public(private)),
        ("addresses", [own]),
        ("peer", PEER, other_public, [(other, 32)]),
        ("paths", PEER, [where]),
        ("filter", RULES),
    ])  # fmt: skip
    return node


def check_end_to_end(crypto):
    a_private, b_private = crypto.blake2s(b"a"), crypto.blake2s(b"b")
    a_public, b_public = crypto.x25519_public(a_private), crypto.x25519_public(b_private)
    a_ip, b_ip = b"\x64\x40\0\1", b"\x64\x40\0\2"
    to_a, to_b = path.udp(0, b"\x0a\0\0\1", 1), path.udp(0, b"\x0a\0\0\2", 1)
    a = _node(crypto, a_private, a_ip, b_public, b_ip, to_b)
    b = _node(crypto, b_private, b_ip, a_public, a_ip, to_a)
    a.packet(_packet(a_ip, b_ip, b"first"))
    assert a.poll() == [("edge", PEER, HANDSHAKE)]
    start = handshake.Initiator(crypto, a_private, a_public, b_public, crypto.blake2s(b"ea"), 11, tai64n.stamp(1000))
    b.datagram(to_a, start.message)
    [event] = b.poll()
    opened = handshake.open_initiation(crypto, b_private, b_public, event[2])
    assert opened.peer_public == a_public
    response, keys = opened.respond(crypto.blake2s(b"eb"), 22)
    b.apply([("session", PEER, "next", 22, keys.remote_index, keys.send, keys.receive)])
    a.datagram(to_b, response)
    [event] = a.poll()
    keys = start.consume(event[2])
    a.apply([("session", PEER, "current", 11, keys.remote_index, keys.send, keys.receive)])
    for _, data in a.datagrams():
        b.datagram(to_a, data)
    assert b.packets() == [_packet(a_ip, b_ip, b"first")] and b.poll() == [("edge", PEER, CONFIRMED)]
    b.apply([("relay", 5, True), ("paths", PEER, [path.relay(5, a_public)])])
    b.packet(_packet(b_ip, a_ip, b"answer"))
    [(_, payload)] = derp.Deframer().feed(b.relay_out(5))
    assert payload[:32] == a_public
    a.relay_in(5, derp.recv_packet(b_public, payload[32:]))
    assert a.packets() == [_packet(b_ip, a_ip, b"answer")]
