"""HTTP/1.1 heads and bodies (RFC 9112), as much as /key, /ts2021 and /derp need. Both directions.

    request     METHOD SP path SP HTTP/1.1 CRLF (name ":" OWS value OWS CRLF)* CRLF
    response    HTTP/1.x SP 3 digits [SP reason] CRLF (headers)* CRLF
    body        Content-Length bytes; or chunked: (hex size [;ext] CRLF data CRLF)* 0 CRLF (trailers)* CRLF; or up to the end of the stream

Parsers take any cut of bytes and hand back what follows, which after an upgrade is another protocol. Header names come out in lower
case, a repeated one joined by ", ". A head is at most 16 KiB and 100 headers; bare LF, folded lines, spaces before the colon and
control characters are refused, because two parsers that disagree about them are how requests are smuggled.

It does not do: pipelining, Expect, compression.
"""

from skerry_core.errors import LocalError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD_LIMIT = 16384
HEADERS_LIMIT = 100
BODY_LIMIT = 65536
_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _is_token(text: bytes) -> bool:
    return bool(text) and all(byte in _TOKEN for byte in text)


def _is_text(value: bytes) -> bool:
    return all(byte == 9 or (byte >= 32 and byte != 127) for byte in value)


def _quoted(data: bytes) -> str:
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in data[:60]])


def _lines(headers: "Iterable[tuple[str, str]]") -> bytes:
    lines = []
    for name, value in headers:
        if not _is_token(name.encode()) or not _is_text(value.encode()):
            raise LocalError(f"header {_quoted(name.encode())} cannot be sent: a line break or a character that is not allowed")
        lines.append(name.encode() + b": " + value.encode() + b"\r\n")
    return b"".join(lines) + b"\r\n"


def _pairs(headers: "dict[str, str] | list[tuple[str, str]]") -> "list[tuple[str, str]]":
    return list(headers.items()) if isinstance(headers, dict) else headers


def request_head(method: str, path: str, headers: "dict[str, str] | list[tuple[str, str]]") -> bytes:
    """The head of a request, with its empty line. Host is one of the headers. LocalError: something that cannot be sent."""
    target = path.encode()
    if not _is_token(method.encode()) or not target or not all(32 < byte < 127 for byte in target):
        raise LocalError(f"request line {_quoted(method.encode())} {_quoted(target)} cannot be sent")
    return method.encode() + b" " + target + b" HTTP/1.1\r\n" + _lines(_pairs(headers))


def response_head(status: int, reason: str, headers: "dict[str, str] | list[tuple[str, str]]") -> bytes:
    """The head of a response, with its empty line."""
    if not 100 <= status <= 999 or not _is_text(reason.encode()):
        raise LocalError(f"status line {status} cannot be sent")
    return f"HTTP/1.1 {status} {reason}".encode() + b"\r\n" + _lines(_pairs(headers))


class _Head:
    def __init__(self, limit: int = HEAD_LIMIT) -> None:
        self._limit, self._buffer = limit, b""

    def _split(self, data: bytes) -> "tuple[bytes, dict[str, str], bytes] | None":
        scanned = max(0, len(self._buffer) - 3)
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n", scanned)
        if (end < 0 and len(self._buffer) > self._limit) or end > self._limit:
            raise PeerError(f"HTTP head of more than {self._limit} bytes")
        if end < 0:
            self._check_start()
            return None
        lines, rest = self._buffer[:end].split(b"\r\n"), self._buffer[end + 4 :]
        self._buffer = b""
        return lines[0], _headers(lines[1:]), rest

    def _check_start(self) -> None:
        # something that is not HTTP at all is told at once, not after 16 KiB or a timeout
        start = self._buffer[:16]
        if not _is_text(start.replace(b"\r\n", b"")) and b"\r\n" not in start:
            raise PeerError(f"not HTTP: starts with {start.hex()}")


def _headers(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > HEADERS_LIMIT:
        raise PeerError(f"{len(lines)} HTTP headers, at most {HEADERS_LIMIT}")
    headers: dict[str, str] = {}
    for line in lines:
        colon = line.find(b":")
        value = line[colon + 1 :].strip(b" \t")
        if colon < 1 or not _is_token(line[:colon]) or not _is_text(value):
            raise PeerError(f"HTTP header line '{_quoted(line)}' is malformed")
        name, text = line[:colon].decode().lower(), "".join([chr(byte) for byte in value])
        headers[name] = headers[name] + ", " + text if name in headers else text
    return headers


class HeadParser(_Head):
    """The head of one response."""

    def feed(self, data: bytes) -> "tuple[int, dict[str, str], bytes] | None":
        """(status, headers, rest) once complete, None before. PeerError: not HTTP/1, or over a bound."""
        found = self._split(data)
        if found is None:
            return None
        line, headers, rest = found
        parts = line.split(b" ", 2)
        digits = parts[1] if len(parts) > 1 else b""
        if parts[0] not in (b"HTTP/1.0", b"HTTP/1.1") or len(digits) != 3 or not digits.isdigit() or digits < b"100":
            raise PeerError(f"HTTP status line '{_quoted(line)}' is malformed")
        return int(digits), headers, rest


class RequestHeadParser(_Head):
    """The head of one request."""

    def feed(self, data: bytes) -> "tuple[str, str, dict[str, str], bytes] | None":
        """(method, path, headers, rest) once complete, None before. PeerError: not HTTP/1, or over a bound."""
        found = self._split(data)
        if found is None:
            return None
        line, headers, rest = found
        parts = line.split(b" ")
        if len(parts) != 3 or parts[2] not in (b"HTTP/1.0", b"HTTP/1.1") or not _is_token(parts[0]):
            raise PeerError(f"HTTP request line '{_quoted(line)}' is malformed")
        if not parts[1] or not all(32 < byte < 127 for byte in parts[1]):
            raise PeerError(f"HTTP request target '{_quoted(parts[1])}' is malformed")
        return parts[0].decode(), parts[1].decode(), headers, rest


def _decimal(text: str) -> int:
    if not text or len(text) > 9 or not all(char in "0123456789" for char in text):
        raise PeerError(f"Content-Length '{_quoted(text.encode())}' is not a number")
    return int(text)


class BodyParser:
    """The body that follows a response's head; `limit` bounds it in bytes."""

    def __init__(self, headers: dict[str, str], limit: int = BODY_LIMIT) -> None:
        coding = headers.get("transfer-encoding", "").lower()
        if coding not in ("", "chunked"):
            raise PeerError(f"transfer coding '{_quoted(coding.encode())}' is not known")
        if coding and "content-length" in headers:
            raise PeerError("a response has both Content-Length and Transfer-Encoding")
        self._limit, self._buffer, self._body, self._chunked = limit, b"", b"", bool(coding)
        self._length = _decimal(headers["content-length"]) if "content-length" in headers else -1
        if self._length > limit:
            raise PeerError(f"body of {self._length} bytes, at most {limit}")

    def feed(self, data: bytes) -> "tuple[bytes, bytes] | None":
        """(body, rest) once complete, None before. PeerError: malformed or over the limit."""
        self._buffer += data
        if self._chunked:
            return self._chunks()
        if 0 <= self._length <= len(self._buffer):
            return self._buffer[: self._length], self._buffer[self._length :]
        if len(self._buffer) > self._limit:
            raise PeerError(f"body of more than {self._limit} bytes")
        return None

    def close(self) -> bytes:
        """The body when the stream has ended. PeerError: it ended before the body did."""
        if self._chunked or self._length > len(self._buffer):
            raise PeerError(f"the stream ended inside a body ({len(self._body) + len(self._buffer)} bytes came)")
        return self._buffer

    def _chunks(self) -> "tuple[bytes, bytes] | None":
        while True:
            end = self._buffer.find(b"\r\n")
            if end > 256 or (end < 0 and len(self._buffer) > 256):
                raise PeerError("chunk size line of more than 256 bytes")
            if end < 0:
                return None
            size = _chunk_size(self._buffer[:end])
            if size == 0:
                return self._trailer(end)
            if len(self._body) + size > self._limit:
                raise PeerError(f"body of more than {self._limit} bytes")
            if len(self._buffer) < end + 2 + size + 2:
                return None
            self._take(end + 2, size)

    def _take(self, start: int, size: int) -> None:
        if self._buffer[start + size : start + size + 2] != b"\r\n":
            raise PeerError(f"chunk of {size} bytes does not end in CRLF")
        self._body += self._buffer[start : start + size]
        self._buffer = self._buffer[start + size + 2 :]

    def _trailer(self, end: int) -> "tuple[bytes, bytes] | None":
        rest = self._buffer[end:]
        stop = rest.find(b"\r\n\r\n")
        if stop < 0:
            if len(rest) > HEAD_LIMIT:
                raise PeerError(f"trailers of more than {HEAD_LIMIT} bytes")
            return None
        return self._body, rest[stop + 4 :]


def _chunk_size(line: bytes) -> int:
    digits = line.split(b";")[0].strip(b" \t").lower()
    if not 0 < len(digits) <= 8 or not all(byte in b"0123456789abcdef" for byte in digits):
        raise PeerError(f"chunk size '{_quoted(line)}' is not a number")
    return int(digits, 16)
