"""HTTP/1 heads and bodies: cuts, bounds, malformed input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core.errors import LocalError, PeerError
from skerry_core.http1 import BodyParser, HeadParser, RequestHeadParser, request_head, response_head

NAMES = st.text("abcXYZ-_09", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip)


def feed_cut(parser, data, cut):
    result = None
    for start in range(0, len(data), cut):
        assert result is None
        result = parser.feed(data[start : start + cut])
        if result is not None:
            return (*result[:-1], result[-1] + data[start + cut :])
    return result


@given(st.dictionaries(NAMES, VALUES, max_size=8), st.binary(max_size=30), st.integers(1, 50))
def test_request_and_response_round_trip_in_any_cut(headers, rest, cut):
    merged = {}
    for name, value in headers.items():
        merged[name.lower()] = merged[name.lower()] + ", " + value if name.lower() in merged else value
    request = request_head("POST", "/ts2021?x=1", headers) + rest
    assert feed_cut(RequestHeadParser(), request, cut) == ("POST", "/ts2021?x=1", merged, rest)
    response = response_head(101, "Switching Protocols", headers) + rest
    assert feed_cut(HeadParser(), response, cut) == (101, merged, rest)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 no\r\n\r\n",
        b"HTTP/1.1  200\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nspace : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: x\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: x\0y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: x\nB: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 16384,
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 16384 + b"\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",  # a TLS alert
    ],
)
def test_malformed_responses(head):
    with pytest.raises(PeerError):
        assert HeadParser().feed(head) is not None


@pytest.mark.parametrize(
    "line", [b"GET /", b"GET / HTTP/3", b"GET  / HTTP/1.1", b"G(T / HTTP/1.1", b"GET /a b HTTP/1.1", b"GET /\x80 HTTP/1.1"]
)
def test_malformed_request_lines(line):
    with pytest.raises(PeerError):
        RequestHeadParser().feed(line + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/a b", {}),
        ("GET", "", {}),
        ("G T", "/", {}),
        ("GET", "/\r\nX: y", {}),
        ("GET", "/", {"a": "b\r\nc: d"}),
        ("GET", "/", {"a b": ""}),
    ],
)
def test_what_cannot_be_sent(method, path, headers):
    with pytest.raises(LocalError):
        request_head(method, path, headers)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.binary(max_size=10), st.integers(1, 20))
def test_bodies_in_any_cut(chunks, rest, cut):
    body = b"".join(chunks)
    chunked = b"".join(b"%X;ext=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: x\r\n\r\n" + rest
    assert feed_cut(BodyParser({"transfer-encoding": "Chunked"}), chunked, cut) == (body, rest)
    if body:
        assert feed_cut(BodyParser({"content-length": str(len(body))}), body + rest, cut) == (body, rest)


def test_body_without_length_ends_with_the_stream():
    parser = BodyParser({})
    assert parser.feed(b"abc") is None and parser.feed(b"d") is None and parser.close() == b"abcd"
    assert BodyParser({"content-length": "0"}).feed(b"") == (b"", b"")


@pytest.mark.parametrize("headers", [{"content-length": "5"}, {"transfer-encoding": "chunked"}])
def test_body_cut_short(headers):
    parser = BodyParser(headers)
    parser.feed(b"4\r\n")
    with pytest.raises(PeerError):
        parser.close()


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ({"content-length": "-1"}, b""),
        ({"content-length": "1, 1"}, b""),
        ({"content-length": "99999"}, b""),
        ({"content-length": "1", "transfer-encoding": "chunked"}, b""),
        ({"transfer-encoding": "gzip"}, b""),
        ({}, bytes(101)),
        ({"transfer-encoding": "chunked"}, b"x\r\n"),
        ({"transfer-encoding": "chunked"}, b"\r\n"),
        ({"transfer-encoding": "chunked"}, b"65\r\n"),
        ({"transfer-encoding": "chunked"}, b"fffffffff\r\n"),
        ({"transfer-encoding": "chunked"}, b"1\r\nabc"),
        ({"transfer-encoding": "chunked"}, b"1" * 300),
        ({"transfer-encoding": "chunked"}, b"0\r\n" + b"a" * 17000),
    ],
)
def test_malformed_bodies(headers, data):
    with pytest.raises(PeerError):
        BodyParser(headers, limit=100).feed(data)


@given(st.binary(max_size=200))
def test_random_bytes(data):
    for parser in (HeadParser(limit=100), RequestHeadParser(limit=100), BodyParser({"transfer-encoding": "chunked"}, limit=100)):
        try:
            parser.feed(data)
        except PeerError:
            pass
