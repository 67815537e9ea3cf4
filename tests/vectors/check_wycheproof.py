"""Project Wycheproof's sets; wycheproof.py converts them into the folder that $SKERRY_WYCHEPROOF names."""

import os

import vectorfile

from skerry_core.errors import LocalError, PeerError


def _records(name, expected):
    """All tests of a set, counted: a set that is cut short must not look passed."""
    count = 0
    for record in vectorfile.records(os.getenv("SKERRY_WYCHEPROOF") + "/" + name + ".txt"):
        count += 1
        yield record
    assert count == expected, (name, count)


def check_x25519(crypto):
    for record in _records("x25519", 518):
        if "ZeroSharedSecret" in record["flags"]:
            vectorfile.raises(PeerError, crypto.x25519, record["private"], record["public"])
        else:  # "acceptable": on the twist, or not canonical; RFC 7748 defines them, all implementations compute them
            assert crypto.x25519(record["private"], record["public"]) == record["shared"], record["test"]


def _check_aead(record, nonce_size, seal, opened):
    key, nonce, ad = record["key"], record["nonce"], record["ad"]
    if len(nonce) != nonce_size:
        vectorfile.raises(LocalError, seal, key, nonce, record["plaintext"], ad)
        vectorfile.raises(LocalError, opened, key, nonce, record["ciphertext"], ad)
    elif record["result"] == "valid":
        assert seal(key, nonce, record["plaintext"], ad) == record["ciphertext"], record["test"]
        assert opened(key, nonce, record["ciphertext"], ad) == record["plaintext"], record["test"]
    else:
        assert opened(key, nonce, record["ciphertext"], ad) is None, record["test"]


def check_chacha20_poly1305(crypto):
    for record in _records("chacha20_poly1305", 325):
        _check_aead(record, 12, crypto.seal, crypto.open)


def check_xchacha20_poly1305(crypto):
    for record in _records("xchacha20_poly1305", 315):
        _check_aead(record, 24, crypto.xseal, crypto.xopen)


def check_ed25519(crypto):
    for record in _records("ed25519", 151):
        valid = crypto.ed25519_verify(record["public"], record["signature"], record["message"])
        assert valid is (record["result"] == "valid"), record["test"]
