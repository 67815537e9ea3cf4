"""The TLS the port speaks: the owner's certificate files, or a certificate of our own kept in the state directory.

`Identity.pin` is what the DERP map must say about it: nothing where clients can verify the certificate with public authorities for the
gateway's name, else the SHA-256 they are to accept.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from skerry_core.errors import LocalError
from skerry_gateway.serve import certificate
from skerry_gateway.serve.address import Url
from skerry_gateway.store.state import write_private

OWN_FILE = "relay.pem"


@dataclass(frozen=True)
class Identity:
    context: ssl.SSLContext
    pin: str | None
    warning: str = ""


def from_files(cert: Path, key: Path, url: Url) -> Identity:
    """LocalError names the file and what is wrong with it."""
    try:
        text = cert.read_text()
        key.open("rb").close()
    except (OSError, UnicodeDecodeError) as error:
        name = getattr(error, "filename", None) or cert
        raise LocalError(f"cannot read {name}: {error}. --tls-cert and --tls-key name PEM files") from None
    context = _context()
    try:
        context.load_cert_chain(cert, key)
    except ssl.SSLError as error:
        raise LocalError(f"--tls-cert {cert} and --tls-key {key} do not work together: {error.reason or error}") from None
    trouble = _public_trouble(context, url.host)
    if not trouble:
        return Identity(context, None)
    if text.count("-----BEGIN CERTIFICATE-----") > 1:
        return Identity(context, None, f"clients will not accept the certificate {cert} for {url.host}: {trouble}")
    return Identity(context, certificate.fingerprint(text), f"the certificate {cert} is pinned in the DERP map: {trouble}")


def own(state: Path, url: Url, pinned: bool = True) -> Identity:
    """Our own certificate for the URL's host, made on first use. Not `pinned` where a proxy with another certificate stands before us."""
    path = state / OWN_FILE
    pem = _read(path)
    if pem is None or not certificate.names_in(pem, url.host):
        names = list(dict.fromkeys([url.host, "localhost", "127.0.0.1", "::1"]))
        write_private(path, certificate.make(names))
        pem = path.read_text()
    context = _context()
    context.load_cert_chain(path)
    return Identity(context, certificate.fingerprint(pem) if pinned else None)


def _read(path: Path) -> str | None:
    """The file if it is usable. A damaged one is made anew: nodes learn its hash with their next map."""
    try:
        pem = path.read_text()
        _context().load_cert_chain(path)
        certificate.fingerprint(pem)
    except (OSError, ValueError):
        return None
    return pem


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # nobody resumes: a reconnecting node has lost its process or its path
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _public_trouble(server: ssl.SSLContext, host: str) -> str:
    """Why a client with the public authorities would not accept us as `host`; "" if it would. A handshake in memory tells."""
    client = ssl.create_default_context()
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)]
    for turn in range(20):
        try:
            ends[turn % 2].do_handshake()
            if turn % 2:
                return ""
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        except ssl.SSLError as error:
            return error.reason or str(error)
    return "the TLS handshake does not end"
