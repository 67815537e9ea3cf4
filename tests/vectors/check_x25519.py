"""X25519: RFC 7748's vectors, points of low order, encodings that are not canonical, lengths."""

import vectorfile

from skerry_core.errors import LocalError, PeerError

P = 2**255 - 19
PRIVATE = bytes(range(32))


def check_vectors(crypto):
    for record in vectorfile.records("x25519"):
        assert crypto.x25519(record["private"], record["public"]) == record["shared"], record["line"]


def check_public_keys(crypto):
    assert crypto.x25519_public(vectorfile.unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")) == vectorfile.unhex(
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    )
    assert crypto.x25519_public(PRIVATE) == crypto.x25519(PRIVATE, b"\x09" + b"\0" * 31)


def check_one_iteration(crypto):
    nine = b"\x09" + b"\0" * 31
    assert crypto.x25519(nine, nine) == vectorfile.unhex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")


def check_low_order_points_are_refused(crypto):
    for record in vectorfile.records("x25519_low_order"):
        public = record["public"]
        vectorfile.raises(PeerError, crypto.x25519, PRIVATE, public)
        vectorfile.raises(PeerError, crypto.box_key, PRIVATE, public)
        vectorfile.raises(PeerError, crypto.x25519, PRIVATE, public[:31] + bytes((public[31] | 0x80,)))


def check_bit_255_and_the_modulus_do_not_matter(crypto):
    for u in (2, 9, 18):
        wanted = crypto.x25519(PRIVATE, u.to_bytes(32, "little"))
        assert crypto.x25519(PRIVATE, (u | 2**255).to_bytes(32, "little")) == wanted, u
        assert crypto.x25519(PRIVATE, (u + P).to_bytes(32, "little")) == wanted, u


def check_the_private_key_is_clamped(crypto):
    public = crypto.x25519_public(PRIVATE)
    for first, last in ((0xF8, 0x7F), (0xFF, 0xFF), (0xF9, 0x3F)):
        assert crypto.x25519_public(bytes((first,)) + b"\x55" * 30 + bytes((last,))) == crypto.x25519_public(
            b"\xf8" + b"\x55" * 30 + b"\x7f"
        )
    assert crypto.x25519(b"\xf8" + b"\x55" * 30 + b"\x7f", public) == crypto.x25519(b"\xff" + b"\x55" * 30 + b"\x3f", public)


def check_lengths(crypto):
    for size in (0, 31, 33):
        vectorfile.raises(LocalError, crypto.x25519, bytes(size), PRIVATE)
        vectorfile.raises(LocalError, crypto.x25519, PRIVATE, bytes(size))
        vectorfile.raises(LocalError, crypto.x25519_public, bytes(size))
        vectorfile.raises(LocalError, crypto.box_key, PRIVATE, bytes(size))
