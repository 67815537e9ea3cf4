"""ECDSA over NIST P-256 with SHA-256 (FIPS 186-5, SEC 1), for one purpose: signing the gateway's own certificate once.

Not constant-time and not for anything a stranger can ask for or measure: it runs at the first start (and when the gateway's name
changes), on the gateway's own machine. TLS itself is OpenSSL's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
A = P - 3
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296, 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)
Point = tuple[int, int] | None


def add(one: Point, two: Point) -> Point:
    """The sum of two points in affine coordinates; None is the point at infinity."""
    if one is None or two is None:
        return two if one is None else one
    if one[0] == two[0]:
        if (one[1] + two[1]) % P == 0:
            return None
        slope = (3 * one[0] * one[0] + A) * pow(2 * one[1], -1, P)
    else:
        slope = (two[1] - one[1]) * pow(two[0] - one[0], -1, P)
    x = (slope * slope - one[0] - two[0]) % P
    return x, (slope * (one[0] - x) - one[1]) % P


def multiply(scalar: int, point: Point) -> Point:
    total: Point = None
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def random_scalar(random: Callable[[int], bytes]) -> int:
    """Uniform in 1..N-1."""
    return int.from_bytes(random(48), "big") % (N - 1) + 1


def public(private: int) -> tuple[int, int]:
    point = multiply(private, G)
    assert point is not None
    return point


def sign(private: int, message: bytes, random: Callable[[int], bytes]) -> tuple[int, int]:
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    while True:
        nonce = random_scalar(random)
        r = public(nonce)[0] % N
        s = pow(nonce, -1, N) * (digest + r * private) % N
        if r and s:
            return r, s


def verify(point: tuple[int, int], message: bytes, signature: tuple[int, int]) -> bool:
    r, s = signature
    if not (0 < r < N and 0 < s < N):
        return False
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    inverse = pow(s, -1, N)
    total = add(multiply(digest * inverse % N, G), multiply(r * inverse % N, point))
    return total is not None and total[0] % N == r
