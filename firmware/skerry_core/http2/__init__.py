"""HTTP/2 (RFC 9113) and HPACK (RFC 7541), the client's subset that the control protocol needs."""

from skerry_core.http2.client import ClientConnection

__all__ = ["ClientConnection"]
