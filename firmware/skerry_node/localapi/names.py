"""The verbs of names: ours, and those of Tailscale's LocalAPI that `tailscale dns status` and `tailscale dns query` ask for."""

from skerry_core.dns import message
from skerry_core.errors import LocalError, PeerError

from .http import Refusal, Request
from .server import Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..node import Node

    Verbs = dict[tuple[str, str], tuple[str, Callable[[Request], Any]]]


def verbs(node: "Node", access: str) -> "Verbs":
    """For the table of routes.py."""
    return {
        ("GET", "skerry/dns"): (access, lambda _request: node.names.status()),
        ("POST", "skerry/dns-query"): (access, lambda request: _query(node, request.document(), _ours)),
        ("GET", "dns-query"): (access, lambda request: _query(node, request.query, _theirs)),
        ("GET", "dns-config"): (access, lambda _request: dict(node.engine.netmap.dns)),
        ("GET", "dns-osconfig"): (access, lambda _request: _host(node)),
    }


def _query(node: "Node", words: "dict[str, Any]", shape: "Callable[[bytes, list[str]], dict[str, Any]]") -> Later:
    name, kind = words.get("name"), words.get("type") or "A"
    if not isinstance(name, str) or not name or not isinstance(kind, str):
        raise Refusal(400, "name what to ask for, as in skerry dns query camera-1")
    later = Later()
    try:
        asked = node.names.servers(name)
        node.names.ask(name, kind, lambda data: later.done(200, shape(data, asked)))
    except LocalError as error:
        raise Refusal(400, str(error)) from None
    return later


def _ours(data: bytes, asked: "list[str]") -> "dict[str, Any]":
    kinds = {number: name for name, number in message.TYPES.items()}
    try:
        rcode, records, _ = message.read_records(data)
    except PeerError as error:
        raise Refusal(502, str(error)) from None
    rows = [
        {"name": message.name_text(name), "type": kinds.get(kind, f"TYPE{kind}"), "ttl": ttl, "data": _text(kind, value)}
        for name, kind, ttl, value in records
    ]
    return {"rcode": message.RCODES.get(rcode, str(rcode)), "answers": rows, "servers": asked}


def _text(kind: int, value: bytes) -> str:
    from skerry_core import ip

    if (kind, len(value)) in ((message.A, 4), (message.AAAA, 16)):
        return ip.format_address(value)
    if kind in (message.NS, message.CNAME, message.PTR):
        return message.name_text(value)
    return value.hex()


def _theirs(data: bytes, asked: "list[str]") -> "dict[str, Any]":
    """apitype.DNSQueryResponse"""
    import binascii

    return {"Bytes": binascii.b2a_base64(data, newline=False).decode(), "Resolvers": [{"Addr": each} for each in asked]}


def _host(node: "Node") -> "dict[str, Any]":
    """apitype.DNSOSConfig"""
    shown = node.names.status()
    if not shown["host"]["in_force"]:
        return {"Nameservers": shown["before"], "SearchDomains": [], "MatchDomains": []}
    match = [] if shown["host"]["everything"] else [shown["domain"], *shown["routes"]]
    return {"Nameservers": shown["addresses"], "SearchDomains": shown["search"], "MatchDomains": match}
