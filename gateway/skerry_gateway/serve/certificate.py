"""The relay's own certificate: X.509 v3 (RFC 5280), self-signed, ECDSA P-256.

Nobody trusts it by its issuer: clients pin its SHA-256 from the DERP map (`CertName: "sha256-raw:<hex>"`). Stock clients then still
check that its name is the map's HostName and that their clock is between its dates, so it is valid from 1970 (boards without a clock
start there) for ever (9999-12-31, RFC 5280's "no well-defined expiration date").

Kept in the state directory as `relay.pem` (key and certificate, 0600). It is made anew only when the gateway's name is not in it.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import ssl
from collections.abc import Callable

from skerry_gateway.serve import der, p256

EC_PUBLIC_KEY, PRIME256V1, ECDSA_SHA256 = "1.2.840.10045.2.1", "1.2.840.10045.3.1.7", "1.2.840.10045.4.3.2"
COMMON_NAME, KEY_USAGE, ALT_NAME, CONSTRAINTS, EXT_USAGE = "2.5.4.3", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37"
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
SUBJECT = "Skerry relay"


def make(names: list[str], random: Callable[[int], bytes]) -> bytes:
    """PEM of a new key and a certificate for it; `names`: host names and address literals."""
    private = p256.random_scalar(random)
    point = p256.public(private)
    body = _body(names, point, random(16))
    signature = der.sequence(*map(der.integer, p256.sign(private, body, random)))
    certificate = der.sequence(body, _algorithm(), der.bits(signature))
    return _pem("EC PRIVATE KEY", _private(private, point)) + _pem("CERTIFICATE", certificate)


def fingerprint(pem: str) -> str:
    """SHA-256 of the certificate's DER, in hex; ValueError if there is no certificate."""
    return hashlib.sha256(_certificate(pem)).hexdigest()


def names_in(pem: str, name: str) -> bool:
    """Whether `name` is one of the certificate's names."""
    return _name(name) in _certificate(pem)


def _certificate(pem: str) -> bytes:
    start = pem.find("-----BEGIN CERTIFICATE-----")
    if start < 0:
        raise ValueError("no certificate in the file")
    return ssl.PEM_cert_to_DER_cert(pem[start:])


def _body(names: list[str], point: tuple[int, int], serial: bytes) -> bytes:
    subject = der.sequence(der.tlv(0x31, der.sequence(der.oid(COMMON_NAME), der.text(SUBJECT))))
    validity = der.sequence(der.tlv(0x17, b"700101000000Z"), der.tlv(0x18, b"99991231235959Z"))
    key = der.sequence(der.sequence(der.oid(EC_PUBLIC_KEY), der.oid(PRIME256V1)), der.bits(_encoded(point)))
    return der.sequence(
        der.tagged(0, der.integer(2)),
        der.integer(int.from_bytes(serial, "big") >> 1 | 1),
        _algorithm(),
        subject,
        validity,
        subject,
        key,
        der.tagged(3, der.sequence(*_extensions(names))),
    )


def _extensions(names: list[str]) -> list[bytes]:
    return [
        der.sequence(der.oid(CONSTRAINTS), der.true(), der.octets(der.sequence())),
        der.sequence(der.oid(KEY_USAGE), der.true(), der.octets(der.bits(b"\x80", 7))),
        der.sequence(der.oid(EXT_USAGE), der.octets(der.sequence(der.oid(SERVER_AUTH)))),
        der.sequence(der.oid(ALT_NAME), der.octets(der.sequence(*map(_name, names)))),
    ]


def _name(name: str) -> bytes:
    try:
        return der.tlv(0x87, ipaddress.ip_address(name).packed)
    except ValueError:
        return der.tlv(0x82, name.encode("idna"))


def _private(private: int, point: tuple[int, int]) -> bytes:
    curve, public = der.tagged(0, der.oid(PRIME256V1)), der.tagged(1, der.bits(_encoded(point)))
    return der.sequence(der.integer(1), der.octets(private.to_bytes(32, "big")), curve, public)


def _encoded(point: tuple[int, int]) -> bytes:
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def _algorithm() -> bytes:
    return der.sequence(der.oid(ECDSA_SHA256))


def _pem(label: str, content: bytes) -> bytes:
    text = base64.encodebytes(content).decode().replace("\n", "")
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()
