"""Noise: SymmetricState through whole IK handshakes of published vectors, then the ts2021 handshake against it, and its records."""

from vectorfile import raises, records

from skerry_core.errors import LocalError, PeerError
from skerry_core.noise.control import PROTOCOL_NAME, ControlInitiator, ControlResponder, EarlyPayload, split_message
from skerry_core.noise.symmetric import SymmetricState

MACHINE, SERVER, EPHEMERAL, ANSWER = bytes(range(32)), bytes(range(1, 33)), bytes(range(32, 64)), bytes(range(65, 97))


def handshake(crypto, prologue, initiator, responder, ephemeral, answer):
    """(first message, second message, the two transport keys) of IK, written with the responder's keys as well."""
    state = SymmetricState(crypto, PROTOCOL_NAME)
    state.mix_hash(prologue)
    state.mix_hash(crypto.x25519_public(responder))
    first = crypto.x25519_public(ephemeral)
    state.mix_hash(first)
    state.mix_key(crypto.x25519(responder, first))
    first += state.encrypt_and_hash(crypto.x25519_public(initiator))
    state.mix_key(crypto.x25519(responder, crypto.x25519_public(initiator)))
    first += state.encrypt_and_hash(b"")
    second = crypto.x25519_public(answer)
    state.mix_hash(second)
    state.mix_key(crypto.x25519(answer, first[:32]))
    state.mix_key(crypto.x25519(answer, crypto.x25519_public(initiator)))
    second += state.encrypt_and_hash(b"")
    return first, second, state.split()


def check_published_handshakes(crypto):
    seen = 0
    for record in records("noise_ik"):
        keys = [record[name] for name in ("initiator", "responder", "initiator_ephemeral", "responder_ephemeral")]
        first, second, transport = handshake(crypto, record["prologue"], keys[0], keys[1], keys[2], keys[3])
        assert first == record["first"], record["line"]
        assert second == record["second"], record["line"]
        assert crypto.seal(transport[0], bytes(12), record["sent"]) == record["sent_sealed"], record["line"]
        assert crypto.seal(transport[1], bytes(12), record["received"]) == record["received_sealed"], record["line"]
        seen += 1
    assert seen == 2


def check_control_handshake_is_ik_with_its_prologue(crypto):
    first, second, keys = handshake(crypto, b"Tailscale Control Protocol v142", MACHINE, SERVER, EPHEMERAL, ANSWER)
    initiator = ControlInitiator(crypto, MACHINE, crypto.x25519_public(SERVER), 142, EPHEMERAL)
    assert initiator.message == b"\x00\x8e\x01\x00\x60" + first
    responder = ControlResponder(crypto, SERVER)
    assert responder.receive(initiator.message) == (crypto.x25519_public(MACHINE), 142)
    response, theirs = responder.respond(ANSWER)
    assert response == b"\x02\x00\x30" + second
    ours = initiator.finish(response)
    assert ours.encode(b"hello") == b"\x04\x00\x15" + crypto.seal(keys[0], bytes(12), b"hello")
    assert ours.encode(b"again") == b"\x04\x00\x15" + crypto.seal(keys[0], bytes(11) + b"\x01", b"again")
    assert theirs.encode(b"there") == b"\x04\x00\x15" + crypto.seal(keys[1], bytes(12), b"there")
    raises(LocalError, responder.respond, ANSWER)


def check_records_are_cut_at_4077_bytes_and_joined(crypto):
    initiator = ControlInitiator(crypto, MACHINE, crypto.x25519_public(SERVER), 142, EPHEMERAL)
    responder = ControlResponder(crypto, SERVER)
    responder.receive(initiator.message)
    response, theirs = responder.respond(ANSWER)
    ours = initiator.finish(response)
    text = bytes([n & 255 for n in range(4078)])
    stream = ours.encode(text)
    assert split_message(stream)[0][:3] == b"\x04\x0f\xfd" and len(split_message(stream)[0]) == 4096
    got = []
    for start in range(0, len(stream), 1000):
        got.extend(theirs.feed(stream[start : start + 1000]))
    assert [len(each) for each in got] == [4077, 1] and b"".join(got) == text
    assert ours.encode(b"") == b""
    raises(PeerError, theirs.feed, b"\x04\x00\x10" + bytes(16))
    raises(PeerError, theirs.feed, b"")


def check_early_payload():
    early = EarlyPayload()
    assert early.feed(b"\xff\xff\xffT") == b"" and early.feed(b"S\x00\x00\x00\x02{") == b"" and early.feed(b"}\x00\x00") == b"\x00\x00"
    assert early.payload == {} and early.feed(b"\xff") == b"\xff"
    early = EarlyPayload()
    assert early.feed(b"\x00") == b"\x00" and early.payload is None
    raises(PeerError, EarlyPayload().feed, b"\xff\xff\xffTS\x01\x00\x00\x00")
