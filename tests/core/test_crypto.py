"""The pure cryptography against libcrypto (skerry_shim) and hashlib on random input, and the parts the interface does not show."""

import hashlib
import hmac

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pure25519 import basic, eddsa

from skerry_core.crypto import pure
from skerry_core.crypto.pure.chacha20 import hchacha20, keystream
from skerry_core.crypto.pure.ed25519 import _point
from skerry_core.crypto.pure.poly1305 import poly1305
from skerry_core.crypto.pure.sha512 import sha512
from skerry_core.errors import PeerError
from skerry_shim import crypto as shim

KEYS = st.binary(min_size=32, max_size=32)
# short and arbitrary, or longer than the blocks computed at once
DATA = st.one_of(st.binary(max_size=200), st.integers(500, 1400).map(lambda size: bytes([size * at & 255 for at in range(size)])))


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except PeerError:
        return PeerError


@given(KEYS, KEYS)
@example(bytes(32), bytes(32))
@example(b"\xff" * 32, b"\xff" * 32)
def test_x25519(private, public):
    assert pure.x25519_public(private) == shim.x25519_public(private)
    assert outcome(pure.x25519, private, public) == outcome(shim.x25519, private, public)
    assert outcome(pure.box_key, private, public) == outcome(shim.box_key, private, public)


@given(DATA)
def test_sha256(data):
    assert shim.sha256(data) == hashlib.sha256(data).digest()


@given(KEYS, st.binary(min_size=24, max_size=24), DATA, DATA)
def test_sealing(key, nonce, plaintext, ad):
    for seal, opened, size in (("seal", "open", 12), ("xseal", "xopen", 24)):
        sealed = getattr(shim, seal)(key, nonce[:size], plaintext, ad)
        assert getattr(pure, seal)(key, nonce[:size], plaintext, ad) == sealed
        assert getattr(pure, opened)(key, nonce[:size], sealed, ad) == plaintext
        assert getattr(shim, opened)(key, nonce[:size], sealed, ad) == plaintext
    sealed = shim.box_seal(key, nonce, plaintext)
    assert pure.box_seal(key, nonce, plaintext) == sealed
    assert pure.box_open(key, nonce, sealed) == plaintext


@given(KEYS, st.binary(min_size=24, max_size=24), st.binary(max_size=100))
def test_hostile_ciphertexts_are_none_for_both(key, nonce, sealed):
    for module in (pure, shim):
        assert module.open(key, nonce[:12], sealed) is None
        assert module.xopen(key, nonce, sealed) is None
        assert module.box_open(key, nonce, sealed) is None


@given(DATA, st.binary(max_size=32), st.integers(1, 32))
def test_blake2s(data, key, size):
    wanted = hashlib.blake2s(data, key=key, digest_size=size).digest()
    assert pure.blake2s(data, key, size) == wanted
    assert shim.blake2s(data, key, size) == wanted


@given(st.binary(max_size=150), DATA, KEYS)
def test_hmac_and_hkdf(key, data, chaining_key):
    assert pure.hmac(key, data) == shim.hmac(key, data) == hmac.digest(key, data, "blake2s")
    for n in (1, 2, 3):
        assert pure.hkdf(chaining_key, data, n) == shim.hkdf(chaining_key, data, n)


@given(st.binary(max_size=600))
@settings(max_examples=50)
def test_sha512(data):
    assert sha512(data) == hashlib.sha512(data).digest()


@given(KEYS, st.binary(max_size=100), st.integers(0, 511))
@settings(max_examples=15)
def test_ed25519(seed, message, bit):
    public = eddsa.create_verifying_key(seed)
    signature = eddsa.sign(seed, message)
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    for module in (pure, shim):
        assert module.ed25519_verify(public, signature, message)
        assert not module.ed25519_verify(public, bytes(changed), message)
        assert not module.ed25519_verify(public, signature, message + b"\0")


@given(KEYS, st.binary(min_size=64, max_size=64), st.binary(max_size=40))
@settings(max_examples=50)
def test_hostile_keys_and_signatures(public, signature, message):
    assert pure.ed25519_verify(public, signature, message) is False
    assert shim.ed25519_verify(public, signature, message) is False


def test_decoding_of_points():
    """That the encodings y + p and those of no point are refused cannot be shown with signatures: nobody can make one."""
    decoded = {y for y in range(3, 19) if _point(y.to_bytes(32, "little"))}
    assert decoded == {y for y in range(3, 19) if basic.isoncurve((basic.xrecover(y), y))}
    assert 0 < len(decoded) < 16
    for y in range(19):
        for sign in (0, 2**255):
            assert _point((y + basic.Q | sign).to_bytes(32, "little")) is None
    for y in decoded:
        even, odd = _point(y.to_bytes(32, "little")), _point((y | 2**255).to_bytes(32, "little"))
        assert (even[0] + odd[0]) % basic.Q == 0 and even[0] % 2 == 0 and odd[0] % 2 == 1


def test_keys_with_a_torsion_part_are_judged_alike():
    """A signer can choose A = aB + T with T of order 2: the equation then holds for the hashes that are even, and both must see it so."""
    seed = bytes(range(32))
    scalar = basic.bytes_to_clamped_scalar(hashlib.sha512(seed).digest()[:32])
    torsion = basic.ElementOfUnknownGroup(basic.xform_affine_to_extended((0, basic.Q - 1)))
    public = basic.ElementOfUnknownGroup(basic.Base.scalarmult(scalar).XYTZ).add(torsion).to_bytes()
    nonce_point = basic.Base.scalarmult(77).to_bytes()
    verdicts = set()
    for number in range(12):
        message = bytes([number])
        k = int.from_bytes(hashlib.sha512(nonce_point + public + message).digest(), "little") % basic.L
        signature = nonce_point + basic.scalar_to_bytes(77 + k * scalar)
        verdict = pure.ed25519_verify(public, signature, message)
        assert verdict is (k % 2 == 0)
        assert shim.ed25519_verify(public, signature, message) is verdict
        verdicts.add(verdict)
    assert verdicts == {True, False}


def test_x25519_a_thousand_times():
    """RFC 7748, section 5.2."""
    private = public = b"\x09" + bytes(31)
    for _ in range(1000):
        private, public = pure.x25519(private, public), private
    assert private.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_hchacha20():
    """draft-irtf-cfrg-xchacha-03, section 2.2.1."""
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    assert hchacha20(bytes(range(32)), nonce).hex() == "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"


def test_chacha20_block():
    """RFC 8439, section 2.3.2: block 1; and the same block out of the middle of longer runs."""
    nonce = bytes.fromhex("000000090000004a00000000")
    block = keystream(bytes(range(32)), nonce, 1, 64)
    assert block.hex() == (
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4ed2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )
    whole = keystream(bytes(range(32)), nonce, 0, 64 * 21)
    assert len(whole) == 64 * 21 and whole[64:128] == block
    assert b"".join(keystream(bytes(range(32)), nonce, at, 1) for at in range(21)) == whole


# RFC 8439, appendix A.3, 7 to 11: r, s, message, tag
POLY1305 = [
    ("02" + "00" * 15, "00" * 16, "ff" * 16, "03" + "00" * 15),
    ("02" + "00" * 15, "ff" * 16, "02" + "00" * 15, "03" + "00" * 15),
    ("01" + "00" * 15, "00" * 16, "ff" * 16 + "f0" + "ff" * 15 + "11" + "00" * 15, "05" + "00" * 15),
    ("01" + "00" * 15, "00" * 16, "ff" * 16 + "fb" + "fe" * 15 + "01" * 16, "00" * 16),
    ("02" + "00" * 15, "00" * 16, "fd" + "ff" * 15, "fa" + "ff" * 15),
]


@pytest.mark.parametrize(("r", "s", "message", "tag"), POLY1305)
def test_poly1305_at_the_edges_of_its_prime(r, s, message, tag):
    assert poly1305(bytes.fromhex(r + s), bytes.fromhex(message)).hex() == tag


def test_poly1305():
    """RFC 8439, section 2.5.2."""
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    assert poly1305(key, b"Cryptographic Forum Research Group").hex() == "a8061dc1305136c6c22b8baf0c0127a9"


def test_errors_do_not_hold_the_key():
    for function in (pure.x25519, shim.x25519):
        private = b"\x5a" * 32
        with pytest.raises(PeerError) as caught:
            function(private, bytes(32))
        assert "5a5a" not in str(caught.value)
