"""BLAKE2s, HMAC-BLAKE2s and Noise's HKDF: published vectors, RFC 7693's self-test, HMAC and HKDF against their definitions."""

import vectorfile

from skerry_core.errors import LocalError

SELF_TEST = vectorfile.unhex("6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe")


def check_vectors(crypto):
    for record in vectorfile.records("blake2s"):
        assert crypto.blake2s(record["data"], record.get("key", b"")) == record["digest"], record["line"]


def _sequence(size, seed):
    """RFC 7693, appendix E: bytes from a Fibonacci generator."""
    a = 0xDEAD4BAD * seed & 0xFFFFFFFF
    b = 1
    out = bytearray()
    for _ in range(size):
        a, b = b, a + b & 0xFFFFFFFF
        out.append(b >> 24)
    return bytes(out)


def check_the_self_test_of_the_rfc(crypto):
    digests = b""
    for size in (16, 20, 28, 32):
        for length in (0, 3, 64, 65, 255, 1024):
            data = _sequence(length, length)
            digests += crypto.blake2s(data, b"", size)
            digests += crypto.blake2s(data, _sequence(size, size), size)
    assert crypto.blake2s(digests) == SELF_TEST


def _hmac(crypto, key, data):
    if len(key) > 64:
        key = crypto.blake2s(key)
    key = key + bytes(64 - len(key))
    inner = crypto.blake2s(bytes([byte ^ 0x36 for byte in key]) + data)
    return crypto.blake2s(bytes([byte ^ 0x5C for byte in key]) + inner)


def check_hmac(crypto):
    for key_size in (0, 1, 31, 32, 33, 63, 64, 65, 200):
        for size in (0, 1, 32, 63, 64, 65, 128):
            key, data = _sequence(key_size, 5), _sequence(size, 6)
            assert crypto.hmac(key, data) == _hmac(crypto, key, data), (key_size, size)


def check_hkdf(crypto):
    chaining_key = bytes(range(32))
    for material in (b"", b"x", bytes(32), bytes(range(100))):
        temporary = _hmac(crypto, chaining_key, material)
        first = _hmac(crypto, temporary, b"\x01")
        second = _hmac(crypto, temporary, first + b"\x02")
        third = _hmac(crypto, temporary, second + b"\x03")
        assert crypto.hkdf(chaining_key, material, 1) == (first,)
        assert crypto.hkdf(chaining_key, material, 2) == (first, second)
        assert crypto.hkdf(chaining_key, material, 3) == (first, second, third)


def check_buffers_of_any_kind(crypto):
    wanted = crypto.blake2s(b"abc" * 30, b"key")
    assert crypto.blake2s(bytearray(b"abc" * 30), bytearray(b"key")) == wanted
    assert crypto.blake2s(memoryview(b"abc" * 30), b"key") == wanted
    assert crypto.hmac(bytearray(b"key"), memoryview(b"abc")) == crypto.hmac(b"key", b"abc")


def check_limits(crypto):
    assert len(crypto.blake2s(b"", b"", 1)) == 1
    for key_size, size in ((33, 32), (0, 0), (0, 33), (0, -1)):
        vectorfile.raises(LocalError, crypto.blake2s, b"", bytes(key_size), size)
    for n in (0, 4):
        vectorfile.raises(LocalError, crypto.hkdf, bytes(32), b"", n)
    vectorfile.raises(LocalError, crypto.hkdf, bytes(31), b"", 1)
