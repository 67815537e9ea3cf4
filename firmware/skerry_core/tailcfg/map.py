"""POST /machine/map: the request for the stream of maps, the lite update, and the framing of the stream.

Request {Version, KeepAlive, Compress "" | "zstd", NodeKey, DiscoKey, Endpoints: ["ip:port"], EndpointTypes: [int], Stream, OmitPeers,
Hostinfo}. With Stream=true the response is one long body of

    u32 LITTLE-endian length | that many bytes: one JSON MapResponse, or one complete zstd frame of it

A lite update (Stream=false, OmitPeers=true) carries what changed on our side: host information, endpoints, disco key; only the status of
its answer counts. What a stream request says about these is not looked at by servers. Source: tailcfg of Tailscale 1.102.3.
"""

from skerry_core import ip
from skerry_core.errors import LocalError, PeerError
from skerry_core.tailcfg import fields
from skerry_core.tailcfg.keys import encode_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

UNKNOWN, LOCAL, STUN, PORTMAPPED, STUN_LOCAL_PORT, EXPLICIT = range(6)  # endpoint types
MESSAGE_LIMIT = 1 << 24
_KEEP_ALIVE = b'{"KeepAlive":true}'


def request(
    version: int,
    node_key: bytes,
    disco_key: bytes,
    hostinfo: "dict[str, Any]",
    endpoints: "list[tuple[bytes, int, int]]",
    stream: bool = True,
    omit_peers: bool = False,
    compress: str = "",
    keep_alive: bool = True,
) -> "dict[str, Any]":
    """The document to send. Keys are public and raw; endpoints are (address, port, type). LocalError: another `compress`."""
    if compress not in ("", "zstd"):
        raise LocalError(f"map compression {compress}, need '' or 'zstd'")
    document: dict[str, Any] = {
        "Version": version,
        "NodeKey": encode_key("nodekey", node_key),
        "DiscoKey": encode_key("discokey", disco_key),
        "Hostinfo": hostinfo,
        "KeepAlive": keep_alive,
        "Stream": stream,
        "OmitPeers": omit_peers,
    }
    if compress:
        document["Compress"] = compress
    if endpoints:
        document["Endpoints"] = [ip.format_endpoint(address, port) for address, port, _ in endpoints]
        document["EndpointTypes"] = [kind for _, _, kind in endpoints]
    return document


def lite_update(
    version: int,
    node_key: bytes,
    disco_key: bytes,
    hostinfo: "dict[str, Any]",
    endpoints: "list[tuple[bytes, int, int]]",
    compress: str = "",
) -> "dict[str, Any]":
    """The request that only tells the server about us."""
    return request(version, node_key, disco_key, hostinfo, endpoints, stream=False, omit_peers=True, compress=compress)


class MapStream:
    """The body of a streamed response, in any cut, as documents.

    `decompress(data, limit) -> bytes` opens one zstd frame into at most `limit` bytes (anything it raises but LocalError becomes a
    PeerError); None: messages are plain JSON. `limit` bounds a message before and after, in bytes.
    """

    def __init__(self, decompress: "Callable[[bytes, int], bytes] | None" = None, limit: int = MESSAGE_LIMIT) -> None:
        self._decompress, self._limit = decompress, limit
        self._parts: list[bytes] = []
        self._held = 0
        self._need = 4
        self._keep_alive = b""

    def feed(self, data: bytes) -> "list[dict[str, Any]]":
        """MapResponses completed by `data`. PeerError: a length over the limit, bad compression, not a JSON object."""
        self._parts.append(data)
        self._held += len(data)
        if self._held < self._need:  # joined only when a message is complete: a long one comes in thousands of cuts
            return []
        buffer, documents, at = b"".join(self._parts), [], 0
        while len(buffer) - at >= 4:
            size = int.from_bytes(buffer[at : at + 4], "little")
            if size > self._limit:
                raise PeerError(f"map message of {size} bytes, at most {self._limit}")
            if len(buffer) < at + 4 + size:
                break
            documents.append(self._document(buffer[at + 4 : at + 4 + size]))
            at += 4 + size
        self._parts, self._held = [buffer[at:]], len(buffer) - at
        self._need = 4 if self._held < 4 else 4 + int.from_bytes(buffer[at : at + 4], "little")
        return documents

    def _document(self, message: bytes) -> "dict[str, Any]":
        if message == self._keep_alive:  # servers send the very same bytes each minute
            return {"KeepAlive": True}
        text = message if self._decompress is None else self._open(message)
        if len(text) > self._limit:
            raise PeerError(f"map message of {len(text)} bytes uncompressed, at most {self._limit}")
        if text == _KEEP_ALIVE:
            self._keep_alive = message
        return fields.decode_apart(text, "map message", "Peers")

    def _open(self, message: bytes) -> bytes:
        assert self._decompress is not None
        try:
            return self._decompress(message, self._limit)
        except LocalError:
            raise
        except Exception as error:
            raise PeerError(f"map message of {len(message)} bytes does not decompress: {error}")


def frame(message: bytes) -> bytes:
    """A message as it stands in the stream (the server's side)."""
    return len(message).to_bytes(4, "little") + message
