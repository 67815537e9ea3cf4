"""The control handshake and its records with hostile input. Vectors: tests/vectors/check_noise.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core.crypto import pure
from skerry_core.errors import LocalError, PeerError
from skerry_core.noise import control
from skerry_core.noise.control import ControlInitiator, ControlResponder, ControlTransport, EarlyPayload, split_message
from skerry_shim import crypto as shim

MACHINE, SERVER, EPHEMERAL, ANSWER = (bytes([n]) * 32 for n in (1, 2, 3, 4))


def pair(first=shim, second=pure):
    initiator = ControlInitiator(first, MACHINE, first.x25519_public(SERVER), 142, EPHEMERAL)
    responder = ControlResponder(second, SERVER)
    assert responder.receive(initiator.message) == (second.x25519_public(MACHINE), 142)
    response, theirs = responder.respond(ANSWER)
    return initiator.finish(response), theirs


@pytest.mark.parametrize("first", [shim, pure])
@pytest.mark.parametrize("second", [shim, pure])
def test_both_implementations_of_crypto_talk(first, second):
    ours, theirs = pair(first, second)
    assert theirs.feed(ours.encode(b"up")) == [b"up"] and ours.feed(theirs.encode(b"down")) == [b"down"]


@given(st.lists(st.binary(max_size=9000), max_size=4), st.integers(1, 5000))
def test_any_plaintext_in_any_cut(texts, cut):
    ours, theirs = pair(shim, shim)
    stream = b"".join(ours.encode(text) for text in texts)
    got = []
    for start in range(0, len(stream), cut):
        got += theirs.feed(stream[start : start + cut])
    assert b"".join(got) == b"".join(texts) and all(0 < len(each) <= 4077 for each in got)


@pytest.mark.parametrize("size", [4076, 4077, 4078, 8154, 8155, 20000])
def test_long_plaintexts_fit_records_of_4096_bytes(size):
    ours, theirs = pair(shim, shim)
    stream = ours.encode(bytes(size))
    records = -(-size // 4077)
    assert len(stream) == size + records * 19 and len(split_message(stream)[0]) == min(4096, size + 19)
    assert [len(each) for each in theirs.feed(stream)][:-1] == [4077] * (records - 1)


def test_nonce_is_big_endian_past_255_records():
    ours, theirs = ControlTransport(shim, bytes(32), bytes(32)), ControlTransport(shim, bytes(32), bytes(32))
    records = [ours.encode(b"x") for _ in range(258)]
    assert theirs.feed(b"".join(records)) == [b"x"] * 258
    assert shim.open(bytes(32), bytes(10) + b"\x01\x01", records[257][3:]) == b"x"


def test_empty_records_are_legal_and_give_empty_plaintexts():
    _, theirs = pair(shim, shim)
    sealed = shim.seal(theirs._receive_key, bytes(12), b"")
    assert theirs.feed(control.header(4, 16) + sealed) == [b""]


@pytest.mark.parametrize("position", range(0, 101, 4))
def test_a_changed_byte_of_the_initiation_is_refused(position):
    message = bytearray(ControlInitiator(shim, MACHINE, shim.x25519_public(SERVER), 142, EPHEMERAL).message)
    message[position] ^= 1
    with pytest.raises(PeerError):
        ControlResponder(shim, SERVER).receive(bytes(message))


@pytest.mark.parametrize("position", range(51))
def test_a_changed_byte_of_the_response_is_refused_and_the_right_one_still_works(position):
    initiator, responder = ControlInitiator(shim, MACHINE, shim.x25519_public(SERVER), 142, EPHEMERAL), ControlResponder(shim, SERVER)
    responder.receive(initiator.message)
    response, _ = responder.respond(ANSWER)
    changed = bytearray(response)
    changed[position] ^= 1
    with pytest.raises(PeerError):
        initiator.finish(bytes(changed))
    initiator.finish(response)


def test_another_server_key_is_refused():
    message = ControlInitiator(shim, MACHINE, shim.x25519_public(bytes([9]) * 32), 142, EPHEMERAL).message
    with pytest.raises(PeerError, match="authenticate"):
        ControlResponder(shim, SERVER).receive(message)


@pytest.mark.parametrize("size", [0, 1, 5, 100, 102])
def test_initiation_of_wrong_length(size):
    message = ControlInitiator(shim, MACHINE, shim.x25519_public(SERVER), 142, EPHEMERAL).message
    with pytest.raises(PeerError):
        ControlResponder(shim, SERVER).receive((message + b"x")[:size])


def test_low_order_ephemeral_is_refused():
    with pytest.raises(PeerError):
        ControlResponder(shim, SERVER).receive(b"\x00\x8e\x01\x00\x60" + bytes(96))


def test_error_message_of_the_server_is_shown_without_control_characters():
    initiator = ControlInitiator(shim, MACHINE, shim.x25519_public(SERVER), 142, EPHEMERAL)
    with pytest.raises(PeerError, match=r"unsupported\?\[2J version"):
        initiator.finish(control.error_message("unsupported\x1b[2J version"))
    ours, _ = pair(shim, shim)
    with pytest.raises(PeerError, match="going away"):
        ours.feed(control.error_message("going away"))


@pytest.mark.parametrize(
    "record", [b"\x05\x00\x10" + bytes(16), b"\x04\x00\x0f" + bytes(15), b"\x04\x0f\xfe", b"\x04\x00\x10" + bytes(16), b"\x01\x00\x60"]
)
def test_a_bad_record_breaks_the_transport(record):
    ours, theirs = pair(shim, shim)
    with pytest.raises(PeerError):
        theirs.feed(record)
    with pytest.raises(PeerError):
        theirs.feed(ours.encode(b"good"))


def test_replayed_and_reordered_records_do_not_open():
    ours, theirs = pair(shim, shim)
    first, second = ours.encode(b"1"), ours.encode(b"2")
    with pytest.raises(PeerError):
        theirs.feed(second)
    ours, theirs = pair(shim, shim)
    first = ours.encode(b"1")
    theirs.feed(first)
    with pytest.raises(PeerError):
        theirs.feed(first)


def test_split_message():
    assert split_message(b"\x02\x00") is None and split_message(b"\x02\x00\x02a") is None
    assert split_message(b"\x02\x00\x02abc") == (b"\x02\x00\x02ab", b"c")
    with pytest.raises(PeerError):
        split_message(b"\x02\x0f\xfe")


@pytest.mark.parametrize(("machine", "server", "version"), [(b"x", bytes(32), 142), (bytes(32), b"", 142), (bytes(32), bytes(32), 0)])
def test_local_mistakes(machine, server, version):
    with pytest.raises(LocalError):
        ControlInitiator(shim, machine, server, version, EPHEMERAL)


@given(st.one_of(st.none(), st.binary(max_size=50)), st.binary(max_size=50), st.integers(1, 20))
def test_early_payload_in_any_cut(extra, rest, cut):
    rest = b"\x00" + rest  # HTTP/2 begins with the length of a short frame
    front = b"" if extra is None else b'{"nodeKeyChallenge":"%s"}' % extra.hex().encode()
    stream = (control.EARLY_MAGIC + len(front).to_bytes(4, "big") + front if front else b"") + rest
    early, got = EarlyPayload(), b""
    for start in range(0, len(stream), cut):
        got += early.feed(stream[start : start + cut])
    assert got == rest and early.payload == (None if extra is None else {"nodeKeyChallenge": extra.hex()})


@pytest.mark.parametrize("payload", [b"[]", b"{", b"\xff", b"[" * 60000])
def test_early_payload_that_is_no_object(payload):
    with pytest.raises(PeerError):
        EarlyPayload().feed(control.EARLY_MAGIC + len(payload).to_bytes(4, "big") + payload)
