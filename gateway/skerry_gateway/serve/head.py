"""The head of the first HTTP/1.1 request on a connection: just enough to tell apart who is to have the connection.

`POST /ts2021` with `Upgrade: tailscale-control-protocol` and `GET /derp` with `Upgrade: DERP` leave HTTP; `classify()` reads their
headers. Every other request is not parsed here at all: once its head is whole its bytes go unchanged to the HTTP server, which has no
deadline of its own for a first request.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

MAX_HEAD = 16 * 1024
CONTROL_UPGRADE = "tailscale-control-protocol"
INITIATION_BYTES = 101
MORE, HTTP, CONTROL, RELAY, REFUSE = "more", "http", "control", "relay", "refuse"
_TAKEN = {b"POST /ts2021": CONTROL, b"GET /derp": RELAY}


@dataclass
class Head:
    """`kind`: MORE bytes are needed, HTTP for the HTTP server, CONTROL or RELAY, or REFUSE with `status` and `text`."""

    kind: str
    rest: bytes = b""
    initiation: bytes = b""
    fast_start: bool = False
    status: str = ""
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def classify(data: bytes) -> Head:
    """What the bytes received so far on a connection are the beginning of."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return Head(MORE) if len(data) <= MAX_HEAD else refuse("431 Request Header Fields Too Large", "The request's head is too long.")
    if end > MAX_HEAD:
        return refuse("431 Request Header Fields Too Large", "The request's head is too long.")
    kind = next((kind for start, kind in _TAKEN.items() if data.startswith((start + b" ", start + b"?"))), HTTP)
    if kind == HTTP:
        return Head(HTTP)
    headers = _headers(data[:end])
    if headers is None:
        return refuse("400 Bad Request", "The request's head is not HTTP/1.1.")
    return _control(headers, data[end + 4 :]) if kind == CONTROL else _relay(headers, data[end + 4 :])


def refuse(status: str, text: str) -> Head:
    return Head(REFUSE, status=status, text=text)


def _headers(head: bytes) -> dict[str, str] | None:
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0].endswith(" HTTP/1.1"):
        return None
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or name.lower() in headers:
            return None
        headers[name.lower()] = value.strip()
    return headers


def _control(headers: dict[str, str], rest: bytes) -> Head:
    if headers.get("upgrade", "") != CONTROL_UPGRADE:
        return refuse("426 Upgrade Required", f"This address speaks the control protocol: send Upgrade: {CONTROL_UPGRADE}.")
    try:
        initiation = base64.b64decode(headers.get("x-tailscale-handshake", ""), validate=True)
    except (binascii.Error, ValueError):
        initiation = b""
    if len(initiation) != INITIATION_BYTES:
        return refuse("400 Bad Request", f"X-Tailscale-Handshake: {len(initiation)} bytes, need {INITIATION_BYTES} in base64.")
    return Head(CONTROL, rest=rest, initiation=initiation, headers=headers)


def _relay(headers: dict[str, str], rest: bytes) -> Head:
    if headers.get("upgrade", "").lower() != "derp":
        return refuse("426 Upgrade Required", "This address is a DERP relay: send Upgrade: DERP.")
    return Head(RELAY, rest=rest, fast_start=headers.get("derp-fast-start") == "1", headers=headers)
