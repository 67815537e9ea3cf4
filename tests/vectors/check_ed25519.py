"""Strict Ed25519 verification: RFC 8032's vectors and what must not pass though the equation, read loosely, would hold."""

import vectorfile

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
BASE = b"\x58" + b"\x66" * 31
ONE = b"\x01" + bytes(31)
# all encodings of the points of order 1, 2, 4 and 8, canonical or not
SMALL_ORDER = (
    ONE,
    (1 | 2**255).to_bytes(32, "little"),
    (P + 1).to_bytes(32, "little"),
    (P + 1 | 2**255).to_bytes(32, "little"),
    (P - 1).to_bytes(32, "little"),
    (P - 1 | 2**255).to_bytes(32, "little"),
    bytes(32),
    (2**255).to_bytes(32, "little"),
    P.to_bytes(32, "little"),
    (P | 2**255).to_bytes(32, "little"),
    vectorfile.unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    vectorfile.unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    vectorfile.unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    vectorfile.unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
)


def check_vectors(crypto):
    for record in vectorfile.records("ed25519"):
        public, signature, message = record["public"], record["signature"], record["message"]
        assert crypto.ed25519_verify(public, signature, message) is True, record["line"]
        assert crypto.ed25519_verify(public, signature, message + b"\0") is False, record["line"]
        assert crypto.ed25519_verify(BASE, signature, message) is False, record["line"]


def _first():
    record = next(vectorfile.records("ed25519"))
    return record["public"], record["signature"], record["message"]


def check_any_changed_byte_is_noticed(crypto):
    public, signature, message = _first()
    for at in (0, 1, 15, 31, 32, 33, 47, 62, 63):
        changed = bytearray(signature)
        changed[at] ^= 1
        assert crypto.ed25519_verify(public, bytes(changed), message) is False, at
    for at in (0, 16, 31):
        changed = bytearray(public)
        changed[at] ^= 0x80
        assert crypto.ed25519_verify(bytes(changed), signature, message) is False, at


def check_s_above_the_order_is_refused(crypto):
    public, signature, message = _first()
    s = int.from_bytes(signature[32:], "little")
    for times in range(1, 8):
        loose = signature[:32] + (s + times * L).to_bytes(32, "little")
        assert crypto.ed25519_verify(public, loose, message) is False, times


def check_keys_of_small_order_are_refused(crypto):
    # with A of order 1 the equation S*B = R + k*A holds for S = 1, R = B and every message; with the others for one in 2, 4 or 8
    for public in SMALL_ORDER:
        for number in range(16):
            assert crypto.ed25519_verify(public, BASE + ONE, bytes((number,))) is False, public


def check_nonce_points_of_small_order_are_refused(crypto):
    for public in SMALL_ORDER:
        for nonce_point in SMALL_ORDER:
            assert crypto.ed25519_verify(public, nonce_point + bytes(32), b"") is False, (public, nonce_point)


def check_encodings_that_are_not_canonical_are_refused(crypto):
    public, signature, message = _first()
    for y in range(19):
        for sign in (0, 2**255):
            encoded = (P + y | sign).to_bytes(32, "little")
            assert crypto.ed25519_verify(encoded, signature, message) is False, y
            assert crypto.ed25519_verify(public, encoded + signature[32:], message) is False, y


def check_what_is_no_point_is_refused(crypto):
    public, signature, message = _first()
    off_curve = (2).to_bytes(32, "little")
    assert crypto.ed25519_verify(off_curve, signature, message) is False
    assert crypto.ed25519_verify(public, off_curve + signature[32:], message) is False


def check_lengths(crypto):
    public, signature, message = _first()
    for size in (0, 31, 33):
        assert crypto.ed25519_verify((public + b"\0")[:size], signature, message) is False, size
    for size in (0, 32, 63, 65, 96):
        assert crypto.ed25519_verify(public, (signature + bytes(32))[:size], message) is False, size
