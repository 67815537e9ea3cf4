"""HTTP/1 and HTTP/2 on both interpreters: one whole exchange, HPACK of RFC 7541 appendix C, breaches."""

from vectorfile import raises, unhex

from skerry_core.errors import PeerError
from skerry_core.http1 import BodyParser, HeadParser, RequestHeadParser, request_head
from skerry_core.http2 import ClientConnection, frames, hpack
from skerry_core.http2.frames import frame


def check_huffman_and_dynamic_table():
    decoder = hpack.Decoder()
    first = decoder.decode(unhex("828684418cf1e3c2e5f23a6ba0ab90f4ff"))  # C.4.1
    assert first == [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
    second = decoder.decode(unhex("828684be5886a8eb10649cbf"))  # C.4.2
    assert second[3:] == [(b":authority", b"www.example.com"), (b"cache-control", b"no-cache")]
    third = decoder.decode(unhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))  # C.4.3
    assert third[3:] == [(b":authority", b"www.example.com"), (b"custom-key", b"custom-value")]
    raises(PeerError, decoder.decode, b"\x80")


def check_literals_round():
    fields = [(b":path", b"/machine/map"), (b"x", b"v" * 300)]
    assert hpack.Decoder().decode(hpack.encode(fields)) == fields


def check_exchange():
    client = ClientConnection("gw")
    stream = client.request("POST", "/machine/map", {"Ts-Lb": "nodekey:0"}, b"{}")
    sent = frames.FrameReader().feed(client.take()[len(frames.PREFACE) :])
    assert [each[0] for each in sent] == [frames.SETTINGS, frames.WINDOW_UPDATE, frames.HEADERS, frames.DATA]
    fields = hpack.Decoder().decode(sent[2][3])
    assert (b":path", b"/machine/map") in fields and (b"ts-lb", b"nodekey:0") in fields and sent[3] == (frames.DATA, 1, 1, b"{}")
    answer = frames.settings([]) + frame(frames.HEADERS, 4, stream, b"\x88") + frame(frames.DATA, 8, stream, b"\x02body\0\0")
    answer += frame(frames.PING, 0, 0, b"12345678") + frame(frames.DATA, 1, stream)
    events = []
    for start in range(0, len(answer), 3):
        events.extend(client.feed(answer[start : start + 3]))
    assert events == [("headers", 1, 200, {}), ("data", 1, b"body"), ("end", 1)]
    assert client.take() == frame(frames.SETTINGS, 1, 0) + frame(frames.PING, 1, 0, b"12345678")
    raises(PeerError, client.feed, frame(frames.PING, 0, 0, b"1"))
    assert client.take() == frame(frames.GOAWAY, 0, 0, bytes(7) + b"\x06")


def check_http1():
    head = request_head("POST", "/ts2021", [("Host", "gw"), ("Upgrade", "x")])
    assert head == b"POST /ts2021 HTTP/1.1\r\nHost: gw\r\nUpgrade: x\r\n\r\n"
    parser = RequestHeadParser()
    assert parser.feed(head[:20]) is None
    assert parser.feed(head[20:] + b"rest") == ("POST", "/ts2021", {"host": "gw", "upgrade": "x"}, b"rest")
    assert HeadParser().feed(b"HTTP/1.1 101 Switching\r\nUpgrade: a\r\nupgrade: b\r\n\r\n\xff") == (101, {"upgrade": "a, b"}, b"\xff")
    assert BodyParser({"transfer-encoding": "chunked"}).feed(b"3\r\nabc\r\n0\r\n\r\nrest") == (b"abc", b"rest")
    raises(PeerError, HeadParser().feed, b"SSH-2.0-x\r\n\r\n")
