"""HTTP/2: our client against the h2 library as server, in random cuts; flow control both ways; breaches; floods."""

import random

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core.errors import LocalError, PeerError
from skerry_core.http2 import ClientConnection, frames
from skerry_core.http2.client import CONNECTION_WINDOW, STREAM_WINDOW
from skerry_core.http2.frames import frame

HELLO = frames.settings([])


class Server:
    """h2 as server: collects requests; answers are made by the test."""

    def __init__(self, local_settings=None):
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        if local_settings:
            self.connection.local_settings = h2.settings.Settings(client=False, initial_values=local_settings)
        self.connection.initiate_connection()
        self.headers, self.bodies, self.ended, self.reset, self.other = {}, {}, [], {}, []
        self.acknowledge = True

    def feed(self, data):
        for event in self.connection.receive_data(data) if data else []:
            if isinstance(event, h2.events.RequestReceived):
                self.headers[event.stream_id] = event.headers
                self.bodies[event.stream_id] = b""
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                if self.acknowledge:
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.append(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.reset[event.stream_id] = event.error_code
            else:
                self.other.append(event)

    def take(self):
        return self.connection.data_to_send()


def pump(client, server, cuts=None):
    """Carry bytes both ways until nothing moves, cut at random places; the client's events."""
    events = []
    while True:
        out, back = client.take(), server.take()
        if not out and not back:
            return events
        for piece in pieces(out, cuts):
            server.feed(piece)
        for piece in pieces(back, cuts):
            events += client.feed(piece)


def pieces(data, cuts):
    at = 0
    while at < len(data):
        size = cuts.choice((1, 2, 3, 8, 9, 10, 100, 5000, 70000)) if cuts else len(data)
        yield data[at : at + size]
        at += size


def body_of(events, stream):
    return b"".join(event[2] for event in events if event[0] == "data" and event[1] == stream)


@pytest.mark.parametrize("seed", range(15))
def test_requests_and_answers_in_random_cuts(seed):
    cuts = random.Random(seed)
    client, server = ClientConnection("gw.example"), Server()
    ids, sent = [], {}
    for number in range(5):
        sent[client.request("POST", f"/machine/{number}", {"X-Number": str(number), "ts-lb": "nodekey:1"}, b"b" * number * 30000)] = number
    events = pump(client, server, cuts)
    assert server.ended == sorted(sent) and not events
    ids = list(sent)
    cuts.shuffle(ids)
    answers = {}
    for stream in ids:
        fields = dict(server.headers[stream])
        assert fields[b":path"] == f"/machine/{sent[stream]}".encode() and fields[b":authority"] == b"gw.example"
        assert fields[b"x-number"] == str(sent[stream]).encode() and fields[b":scheme"] == b"https"
        assert server.bodies[stream] == b"b" * sent[stream] * 30000
        answers[stream] = cuts.randbytes(cuts.randrange(0, 60000))
        server.connection.send_headers(stream, [(":status", "200"), ("server", "x" * cuts.randrange(1, 40)), ("vary", "a"), ("vary", "b")])
        for start in range(0, len(answers[stream]), 16000):
            server.connection.send_data(stream, answers[stream][start : start + 16000], pad_length=cuts.choice((None, 0, 255)))
        server.connection.end_stream(stream)
        events += pump(client, server, cuts)
    for stream, answer in answers.items():
        mine = [event for event in events if event[1] == stream]
        assert mine[0][:3] == ("headers", stream, 200) and mine[0][3]["vary"] == "a, b"
        assert mine[-1] == ("end", stream) and body_of(events, stream) == answer
    assert not client._streams


def test_upload_waits_for_both_windows():
    client, server = ClientConnection(), Server()
    server.acknowledge = False
    stream = client.request("POST", "/", {}, bytes(range(256)) * 1000)
    pump(client, server)
    assert len(server.bodies[stream]) == 65535
    server.connection.increment_flow_control_window(500000, stream)
    pump(client, server)
    assert len(server.bodies[stream]) == 65535  # the connection's window is still closed
    server.connection.increment_flow_control_window(500000)
    pump(client, server)
    assert server.bodies[stream] == bytes(range(256)) * 1000 and server.ended == [stream]


def test_window_made_negative_by_settings():
    client, server = ClientConnection(), Server()
    server.acknowledge = False
    stream = client.request("POST", "/", {}, b"x" * 5000, end=False)
    server.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 4000})
    pump(client, server)
    client.send(stream, b"y", end=True)
    pump(client, server)
    assert server.bodies[stream] == b"x" * 5000
    server.connection.increment_flow_control_window(1000, stream)
    pump(client, server)
    assert server.bodies[stream] == b"x" * 5000  # the window is 0, not 1000
    server.connection.increment_flow_control_window(1, stream)
    pump(client, server)
    assert server.bodies[stream] == b"x" * 5000 + b"y" and server.ended == [stream]


def test_initial_window_grown_by_settings_releases_held_data():
    client, server = ClientConnection(), Server()
    server.acknowledge = False
    pump(client, server)
    server.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
    pump(client, server)
    stream = client.request("POST", "/", {}, b"x" * 50, end=False)
    pump(client, server)
    assert server.bodies[stream] == b"x" * 10
    server.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 30})
    pump(client, server)
    assert server.bodies[stream] == b"x" * 30
    server.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 300})
    client.send(stream, b"yy", end=True)
    pump(client, server)
    assert server.bodies[stream] == b"x" * 50 + b"yy" and server.ended == [stream]
    with pytest.raises(LocalError):
        client.send(stream, b"more")


def test_download_of_many_windows():
    client, server = ClientConnection(), Server()
    stream = client.request("GET", "/", [])
    pump(client, server)
    server.connection.send_headers(stream, [(":status", "200")])
    total, events = 3 * CONNECTION_WINDOW + 5, []
    while total:
        size = min(total, 16384, server.connection.local_flow_control_window(stream))
        if not size:
            events += pump(client, server)
            assert server.connection.local_flow_control_window(stream) > 0, "the window was not given back"
            continue
        server.connection.send_data(stream, b"d" * size)
        total -= size
    server.connection.end_stream(stream)
    events += pump(client, server)
    assert len(body_of(events, stream)) == 3 * CONNECTION_WINDOW + 5 and events[-1] == ("end", stream)


def test_long_header_block_is_continued_both_ways():
    client, server = ClientConnection(), Server()
    pump(client, server)
    stream = client.request("GET", "/", {"x-long": "v" * 40000})
    server.connection.decoder.max_header_list_size = 100000
    pump(client, server)
    assert dict(server.headers[stream])[b"x-long"] == b"v" * 40000
    server.connection.send_headers(stream, [(":status", "200")] + [(f"x-{n}", "%~" * 500) for n in range(30)], end_stream=True)
    data = server.take()
    assert frames.CONTINUATION in [each[0] for each in frames.FrameReader().feed(data)]
    events = client.feed(data)
    assert len(events[0][3]) == 30 and events[0][3]["x-29"] == "%~" * 500


def test_ping_is_answered_and_informational_and_trailers_are_skipped():
    client, server = ClientConnection(), Server()
    stream = client.request("GET", "/", {})
    pump(client, server)
    server.connection.ping(b"12345678")
    server.connection.send_headers(stream, [(":status", "103"), ("link", "x")])
    server.connection.send_headers(stream, [(":status", "200")])
    server.connection.send_data(stream, b"body")
    server.connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)
    events = pump(client, server)
    assert events == [("headers", stream, 200, {}), ("data", stream, b"body"), ("end", stream)]
    assert any(isinstance(event, h2.events.PingAckReceived) and event.ping_data == b"12345678" for event in server.other)


def test_cancel_and_resets():
    client, server = ClientConnection(), Server()
    first, second = client.request("GET", "/a", {}), client.request("GET", "/b", {})
    pump(client, server)
    client.cancel(first)
    server.connection.send_headers(first, [(":status", "200"), ("x-table", "entry")])  # crosses the reset; feeds HPACK's table
    server.connection.send_data(first, b"late")
    late = server.take()
    events = client.feed(late)
    events += pump(client, server)
    assert events == [] and server.reset == {first: frames.CANCEL}
    server.connection.send_headers(second, [(":status", "200"), ("x-table", "entry")])
    server.connection.reset_stream(second, 2)
    assert pump(client, server) == [("headers", second, 200, {"x-table": "entry"}), ("reset", second, 2)]
    client.cancel(second)
    assert client.take() == b""


def test_answer_before_the_request_is_complete_ends_it():
    client, server = ClientConnection(), Server()
    stream = client.request("POST", "/", {}, b"part", end=False)
    pump(client, server)
    server.connection.send_headers(stream, [(":status", "413")], end_stream=True)
    assert pump(client, server)[-1] == ("end", stream)
    assert server.reset == {stream: 0}
    client.send(stream, b"more", end=True)
    assert client.take() == b""


@pytest.mark.parametrize(("last", "reset"), [(1, [3]), (0, [1, 3]), ((1 << 31) - 1, [])])
def test_goaway_refuses_what_was_not_processed(last, reset):
    client = ClientConnection()
    client.request("GET", "/", {}), client.request("GET", "/", {})
    goaway = frame(frames.GOAWAY, 0, 0, last.to_bytes(4, "big") + (11).to_bytes(4, "big") + b"text")
    assert client.feed(HELLO + goaway) == [("goaway", 11)] + [("reset", stream, frames.REFUSED_STREAM) for stream in reset]
    assert not client.usable
    with pytest.raises(LocalError):
        client.request("GET", "/", {})


def test_concurrent_streams_limit_is_kept():
    client = ClientConnection()
    client.feed(frames.settings([(frames.MAX_CONCURRENT_STREAMS, 1)]))
    stream = client.request("GET", "/", {})
    with pytest.raises(LocalError):
        client.request("GET", "/", {})
    client.cancel(stream)
    assert client.usable


def answered(client):
    stream = client.request("GET", "/", {})
    client.feed(HELLO)
    client.take()
    return stream


STATUS = b"\x88"  # indexed :status 200
BREACHES = {
    "not HTTP/2": (b"HTTP/1.1 400 Bad Request\r\n\r\n", None),
    "first frame not settings": (frame(frames.PING, 0, 0, bytes(8)), frames.PROTOCOL_ERROR),
    "ack first": (frame(frames.SETTINGS, 1, 0), frames.PROTOCOL_ERROR),
    "too long a frame": (HELLO + (16385).to_bytes(3, "big") + bytes(6), frames.FRAME_SIZE_ERROR),
    "settings not of six": (HELLO + frame(frames.SETTINGS, 0, 0, bytes(5)), frames.FRAME_SIZE_ERROR),
    "settings on a stream": (HELLO + frame(frames.SETTINGS, 0, 1, b""), frames.PROTOCOL_ERROR),
    "ack with content": (HELLO + frame(frames.SETTINGS, 1, 0, bytes(6)), frames.FRAME_SIZE_ERROR),
    "small frame size": (HELLO + frames.settings([(frames.MAX_FRAME_SIZE, 100)]), frames.PROTOCOL_ERROR),
    "huge window setting": (HELLO + frames.settings([(frames.INITIAL_WINDOW_SIZE, 1 << 31)]), frames.FLOW_CONTROL_ERROR),
    "zero window update": (HELLO + frame(frames.WINDOW_UPDATE, 0, 0, bytes(4)), frames.FLOW_CONTROL_ERROR),
    "window overflow": (HELLO + frame(frames.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), frames.FLOW_CONTROL_ERROR),
    "short ping": (HELLO + frame(frames.PING, 0, 0, bytes(7)), frames.FRAME_SIZE_ERROR),
    "short goaway": (HELLO + frame(frames.GOAWAY, 0, 0, bytes(7)), frames.FRAME_SIZE_ERROR),
    "push": (HELLO + frame(frames.PUSH_PROMISE, 4, 1, bytes(4) + STATUS), frames.PROTOCOL_ERROR),
    "data on idle stream": (HELLO + frame(frames.DATA, 0, 3, b"x"), frames.PROTOCOL_ERROR),
    "headers on server stream": (HELLO + frame(frames.HEADERS, 5, 2, STATUS), frames.PROTOCOL_ERROR),
    "reset of idle stream": (HELLO + frame(frames.RST_STREAM, 0, 7, bytes(4)), frames.PROTOCOL_ERROR),
    "window of idle stream": (HELLO + frame(frames.WINDOW_UPDATE, 0, 9, b"\0\0\0\1"), frames.PROTOCOL_ERROR),
    "padding beyond": (HELLO + frame(frames.DATA, 8, 1, b"\x05abcd"), frames.PROTOCOL_ERROR),
    "headers cut short": (HELLO + frame(frames.HEADERS, 4, 1, b"\x82\x41"), frames.COMPRESSION_ERROR),
    "headers without their priority": (HELLO + frame(frames.HEADERS, 36, 1, b"\0\0\0\0"), frames.FRAME_SIZE_ERROR),
    "continuation alone": (HELLO + frame(frames.CONTINUATION, 4, 1, STATUS), frames.PROTOCOL_ERROR),
    "ping inside a block": (HELLO + frame(frames.HEADERS, 0, 1, STATUS) + frame(frames.PING, 0, 0, bytes(8)), frames.PROTOCOL_ERROR),
    "other stream in a block": (HELLO + frame(frames.HEADERS, 0, 1, STATUS) + frame(frames.CONTINUATION, 4, 3), frames.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("name", BREACHES)
def test_breach_ends_the_connection_with_goaway(name):
    data, code = BREACHES[name]
    client = ClientConnection()
    client.request("GET", "/", {})
    client.take()
    with pytest.raises(PeerError):
        client.feed(data)
    out = client.take()
    assert out[-17:-4] == b"\0\0\x08\x07" + bytes(9)
    assert code is None or out[-1] == code
    with pytest.raises(PeerError):
        client.feed(b"")
    assert not client.usable


@pytest.mark.parametrize(
    "data",
    [
        frame(frames.DATA, 0, 1, b"data before headers"),
        frame(frames.HEADERS, 4, 1, b"\x00\x01a\x01b"),  # no :status
        frame(frames.HEADERS, 4, 1, b"\x82"),  # :method in a response
        frame(frames.HEADERS, 4, 1, b"\x00\x01A\x01b" + STATUS),
        frame(frames.HEADERS, 4, 1, STATUS + b"\x00\x01a\x02\r\n"),
        frame(frames.HEADERS, 4, 1, STATUS + STATUS),
        frame(frames.HEADERS, 4, 1, b"\x08\x0320x"),
        frame(frames.HEADERS, 5, 1, b"\x08\x03100"),  # informational that ends
        frame(frames.WINDOW_UPDATE, 0, 1, bytes(4)),
        frame(frames.WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"),
    ],
)
def test_malformed_response_resets_the_stream_only(data):
    client = ClientConnection()
    stream = answered(client)
    events = client.feed(data)
    assert events == [("reset", stream, events[0][2])]
    assert client.take()[:9] == b"\0\0\x04\x03\0" + stream.to_bytes(4, "big")
    assert client.feed(frame(frames.PING, 0, 0, bytes(8))) == [] and client.usable


def test_trailers_that_do_not_end_the_stream_reset_it():
    client = ClientConnection()
    stream = answered(client)
    assert client.feed(frame(frames.HEADERS, 4, 1, STATUS))[0][0] == "headers"
    assert client.feed(frame(frames.HEADERS, 4, 1, b"")) == [("reset", stream, frames.PROTOCOL_ERROR)]


@pytest.mark.parametrize(("stream_limit", "streams"), [(STREAM_WINDOW, 1), (CONNECTION_WINDOW, 5)])
def test_data_beyond_our_window_is_a_breach(stream_limit, streams, monkeypatch):
    # a peer that obeys no WINDOW_UPDATE cannot exceed us, since credit is given back as data comes: take the giving back away
    monkeypatch.setattr(ClientConnection, "_give_back", lambda *_: None)
    client = ClientConnection()
    ids = [client.request("GET", "/", {}) for _ in range(streams)]
    client.feed(HELLO + b"".join(frame(frames.HEADERS, 4, stream, STATUS) for stream in ids))
    sent = 0
    with pytest.raises(PeerError, match="beyond the window"):
        while sent < 2 * stream_limit:
            client.feed(frame(frames.DATA, 0, ids[sent // 16384 % streams], bytes(16384)))
            sent += 16384
    assert sent == stream_limit


@pytest.mark.parametrize(
    "flood",
    [
        frame(frames.PING, 0, 0, bytes(8)) * 257,
        HELLO * 257,
        frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 0, 1) * 40,
        frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 0, 1, bytes(16384)) * 5,
        frame(frames.HEADERS, 4, 1, b"\x40\x01a\x7f\x81\x1f" + b"v" * 4096 + b"\xbe" * 12000),  # one entry, named 12000 times
    ],
)
def test_floods_are_stopped(flood):
    client = ClientConnection()
    answered(client)
    with pytest.raises(PeerError):
        client.feed(flood)
    assert len(client.take()) < 10000


def test_pings_over_time_are_no_flood():
    client = ClientConnection()
    client.feed(HELLO)
    for _ in range(1000):
        client.feed(frame(frames.PING, 0, 0, bytes(8)))
        assert client.take()


@pytest.mark.parametrize("headers", [{"x": "a\r\nb"}, {"": "v"}, {"x\0": "v"}])
def test_headers_that_cannot_be_sent(headers):
    with pytest.raises(LocalError):
        ClientConnection().request("GET", "/", headers)


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=40)), max_size=12), st.integers(1, 60)
)
def test_random_frames_only_ever_give_events_or_peer_error(parts, cut):
    client = ClientConnection()
    client.request("POST", "/", {}, b"x" * 10)
    client.request("GET", "/", {})
    data = HELLO + b"".join(frame(*part) for part in parts)
    try:
        for start in range(0, len(data), cut):
            for event in client.feed(data[start : start + cut]):
                assert event[0] in ("headers", "data", "end", "reset", "goaway")
    except PeerError:
        assert client.take()[-17:-14] == b"\0\0\x08"
