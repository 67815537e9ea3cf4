"""The relay's own certificate: X.509 v3 (RFC 5280), self-signed, ECDSA P-256, made by the package `cryptography`.

Nobody trusts it by its issuer: clients pin its SHA-256 from the DERP map (`CertName: "sha256-raw:<hex>"`). Stock clients then still
check that its name is the map's HostName and that their clock is between its dates, so it is valid from 1970 (boards without a clock
start there) for ever (9999-12-31, RFC 5280's "no well-defined expiration date").

Kept in the state directory as `relay.pem` (key and certificate, 0600). It is made anew only when the gateway's name is not in it.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Skerry relay")])
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def make(names: list[str]) -> bytes:
    """PEM of a new key and a certificate for it; `names`: host names and address literals."""
    private = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(SUBJECT, SUBJECT, private.public_key(), x509.random_serial_number(), FIRST, LAST)
    for extension, critical in _extensions(names):
        builder = builder.add_extension(extension, critical)
    pem, layout = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = private.private_bytes(pem, layout, serialization.NoEncryption())
    return key + builder.sign(private, hashes.SHA256()).public_bytes(pem)


def fingerprint(pem: str) -> str:
    """SHA-256 of the first certificate's DER, in hex; ValueError if there is no certificate."""
    return _certificate(pem).fingerprint(hashes.SHA256()).hex()


def names_in(pem: str, name: str) -> bool:
    """Whether `name` is one of the certificate's names."""
    try:
        names = _certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return _name(name) in names


def _certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def _extensions(names: list[str]) -> list[tuple[x509.ExtensionType, bool]]:
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.KeyUsage(digital_signature=True, **usage), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([_name(name) for name in names]), False),
    ]


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name if name.isascii() else name.encode("idna").decode())
