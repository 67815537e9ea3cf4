"""ChaCha20-Poly1305, XChaCha20-Poly1305 and NaCl's box: published vectors, every changed bit, every cut, lengths across blocks."""

import vectorfile

from skerry_core.errors import LocalError

KEY = bytes(range(32))
MESSAGE = bytes([(7 * i + 3) & 0xFF for i in range(1300)])


def functions(crypto):
    """(seal, open, nonce size) of the three, with the signature (key, nonce, data)."""
    return (crypto.seal, crypto.open, 12), (crypto.xseal, crypto.xopen, 24), (crypto.box_seal, crypto.box_open, 24)


def check_vectors(crypto):
    for record in vectorfile.records("aead"):
        seal, opened = (crypto.seal, crypto.open) if record["kind"] == "chacha20-poly1305" else (crypto.xseal, crypto.xopen)
        sealed = record["ciphertext"] + record["tag"]
        assert seal(record["key"], record["nonce"], record["plaintext"], record["ad"]) == sealed, record["line"]
        assert opened(record["key"], record["nonce"], sealed, record["ad"]) == record["plaintext"], record["line"]
        assert opened(record["key"], record["nonce"], sealed, record["ad"] + b"\0") is None, record["line"]
        assert opened(record["key"], record["nonce"], sealed) is None, record["line"]


def check_box_vectors(crypto):
    for record in vectorfile.records("box"):
        assert crypto.box_key(record["private"], record["public"]) == record["key"], record["line"]
        assert crypto.box_seal(record["key"], record["nonce"], record["message"]) == record["sealed"], record["line"]
        assert crypto.box_open(record["key"], record["nonce"], record["sealed"]) == record["message"], record["line"]


def check_every_length_comes_back(crypto):
    for seal, opened, size in functions(crypto):
        nonce = bytes(range(size))
        stream = seal(KEY, nonce, bytes(len(MESSAGE)))
        assert len({stream[at : at + 32] for at in range(0, len(stream) - 31, 32)}) == len(stream) // 32  # no block comes twice
        for length in (0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 480, 481, 512, 513, 1023, 1024, 1025, 1300):
            sealed = seal(KEY, nonce, MESSAGE[:length])
            assert len(sealed) == length + 16, length
            assert opened(KEY, nonce, sealed) == MESSAGE[:length], length
            # one stream whatever the length: what differs is where the tag stands
            body = sealed[16:] if seal == crypto.box_seal else sealed[:-16]
            pad = stream[16:] if seal == crypto.box_seal else stream[:-16]
            assert bytes([pad[i] ^ MESSAGE[i] for i in range(length)]) == body, length


def check_any_changed_byte_is_noticed(crypto):
    for seal, opened, size in functions(crypto):
        nonce = bytes(range(size))
        sealed = seal(KEY, nonce, MESSAGE[:20])
        for at in range(len(sealed)):
            changed = bytearray(sealed)
            changed[at] ^= 1 << at % 8
            assert opened(KEY, nonce, bytes(changed)) is None, at
        for length in range(len(sealed)):
            assert opened(KEY, nonce, sealed[:length]) is None, length
        assert opened(KEY, nonce, sealed + b"\0") is None
        assert opened(KEY, b"\xff" + nonce[1:], sealed) is None
        assert opened(KEY, nonce[:-1] + b"\xff", sealed) is None
        assert opened(b"\xff" + KEY[1:], nonce, sealed) is None
        assert opened(KEY[:-1] + b"\xff", nonce, sealed) is None


def check_the_border_between_ad_and_text_counts(crypto):
    nonce = bytes(12)
    sealed = crypto.seal(KEY, nonce, MESSAGE[:32], MESSAGE[:16])
    assert crypto.open(KEY, nonce, sealed, MESSAGE[:16]) == MESSAGE[:32]
    assert crypto.open(KEY, nonce, sealed, MESSAGE[:15]) is None
    assert crypto.open(KEY, nonce, sealed[16:], MESSAGE[:16] + sealed[:16]) is None


def check_buffers_of_any_kind(crypto):
    for seal, opened, size in functions(crypto):
        nonce = bytes(size)
        sealed = seal(KEY, nonce, bytearray(MESSAGE[:40]))
        assert sealed == seal(KEY, nonce, MESSAGE[:40])
        assert opened(KEY, nonce, bytearray(sealed)) == MESSAGE[:40]
        assert opened(KEY, memoryview(nonce), memoryview(sealed)) == MESSAGE[:40]
        assert isinstance(opened(KEY, nonce, memoryview(sealed)), bytes)


def check_lengths(crypto):
    for seal, opened, size in functions(crypto):
        for wrong in (0, 12, 24, 31, 33):
            vectorfile.raises(LocalError, seal, bytes(wrong), bytes(size), b"")
            vectorfile.raises(LocalError, opened, bytes(wrong), bytes(size), bytes(16))
        for wrong in (0, size - 1, size + 1):
            vectorfile.raises(LocalError, seal, KEY, bytes(wrong), b"")
            vectorfile.raises(LocalError, opened, KEY, bytes(wrong), bytes(16))
