"""DERP: boxes sealed by tailscale 1.102.3, every frame both ways, streams in any cut."""

import vectorfile

from skerry_core import derp
from skerry_core.errors import LocalError, PeerError

A, B = b"\x11" * 32, b"\x22" * 32


def _one(frame):
    frames = derp.Deframer().feed(frame)
    assert len(frames) == 1
    return frames[0]


def check_boxes(crypto):
    for record in vectorfile.records("derp"):
        client, info = derp.open_client_info(crypto, record["server_private"], record["client_info"])
        assert client == record["client"] and info["version"] == 2 and info["CanAckPings"] is True
        info = derp.open_server_info(crypto, record["client_private"], record["server"], record["server_info"])
        assert info == {"version": 2}
        ours = derp.client_info(crypto, record["client_private"], record["client"], record["server"], bytes(24), {"IsProber": True})
        kind, payload = _one(ours)
        assert kind == derp.CLIENT_INFO
        client, info = derp.open_client_info(crypto, record["server_private"], payload)
        assert info == {"version": 2, "CanAckPings": True, "IsProber": True}
        kind, payload = _one(derp.server_info(crypto, record["server_private"], client, bytes(24)))
        assert kind == derp.SERVER_INFO
        derp.open_server_info(crypto, record["client_private"], record["server"], payload)
        forged = payload[:-1] + bytes((payload[-1] ^ 1,))
        vectorfile.raises(PeerError, derp.open_server_info, crypto, record["client_private"], record["server"], forged)
        vectorfile.raises(PeerError, derp.open_client_info, crypto, record["server_private"], record["client_info"][:71])


def check_boxes_that_hold_no_object(crypto):
    for record in vectorfile.records("derp"):
        key = crypto.box_key(record["client_private"], record["server"])
        for message in (b"", b"[1]", b"\xff\xfe", b"{x", b"7"):
            payload = record["client"] + bytes(24) + crypto.box_seal(key, bytes(24), message)
            vectorfile.raises(PeerError, derp.open_client_info, crypto, record["server_private"], payload)


def check_frames():
    assert derp.server_key(A) == vectorfile.unhex("01 00000028 44455250f09f9491") + A
    assert derp.parse_server_key(derp.MAGIC + A + b"later") == A
    vectorfile.raises(PeerError, derp.parse_server_key, b"HTTP/1.1" + A)
    assert derp.send_packet(A, b"xy") == vectorfile.unhex("04 00000022") + A + b"xy"
    assert _one(derp.recv_packet(A, b"xy")) == (derp.RECV_PACKET, A + b"xy") and derp.parse_packet(A + b"xy") == (A, b"xy")
    assert derp.parse_forward_packet(_one(derp.forward_packet(A, B, b"z"))[1]) == (A, B, b"z")
    assert derp.note_preferred(True) == vectorfile.unhex("07 00000001 01") and not derp.parse_note_preferred(b"\0")
    assert derp.parse_peer_gone(_one(derp.peer_gone(A, 1))[1]) == (A, 1) and derp.parse_peer_gone(A) == (A, 0)
    present = (A, bytes(10) + b"\xff\xff\x0a\0\0\1", 41641, 4)
    assert derp.parse_peer_present(_one(derp.peer_present(*present))[1]) == present
    assert derp.parse_peer_present(A) == (A, bytes(16), 0, 0)
    assert _one(derp.ping(b"12345678")) == (derp.PING, b"12345678")
    assert derp.pong(b"12345678") == vectorfile.unhex("13 00000008") + b"12345678"
    assert derp.parse_restarting(_one(derp.restarting(10, 20))[1]) == (10, 20)
    short_of = ((derp.parse_packet, 31), (derp.parse_forward_packet, 63), (derp.parse_peer_gone, 31), (derp.parse_peer_present, 31))
    for parse, short in short_of:
        vectorfile.raises(PeerError, parse, bytes(short))
    wrong_of = ((derp.pong, 7), (derp.pong, 9), (derp.parse_note_preferred, 0), (derp.parse_restarting, 7), (derp.parse_server_key, 39))
    for parse, wrong in wrong_of:
        vectorfile.raises(PeerError, parse, bytes(wrong))
    vectorfile.raises(LocalError, derp.send_packet, A, bytes(65537))
    vectorfile.raises(LocalError, derp.send_packet, A[:31], b"")


def check_streams():
    frames = [(derp.KEEP_ALIVE, b""), (derp.RECV_PACKET, A + bytes(300)), (0xEE, b"unknown"), (derp.PING, bytes(8))]
    stream = b"".join([derp.frame(kind, payload) for kind, payload in frames])
    for cut in (1, 2, 5, 7, 100, 1000):
        deframer, found = derp.Deframer(), []
        for start in range(0, len(stream), cut):
            found += deframer.feed(stream[start : start + cut])
        assert found == frames, cut
    deframer = derp.Deframer(limit=10)
    assert deframer.feed(derp.frame(1, bytes(10)) + derp.frame(2, bytes(11))) == [(1, bytes(10))]
    assert "11 bytes" in deframer.bad
    vectorfile.raises(PeerError, deframer.feed, b"")
    vectorfile.raises(PeerError, derp.Deframer(limit=10).feed, b"\x01\xff\xff\xff\xff")
