"""The flight recorder under the simulator: boards with faults are recorded, and every recording replays bit for bit and keeps no secret."""

from typing import Any

import pytest

from skerry_core.engine import Engine
from skerry_node.recorder import segment
from skerry_node.recorder.recorder import Recorder
from skerry_node.recorder.recording import Recording, code, pack
from skerry_node.recorder.replay import Replay
from tests.sim import board
from tests.sim.scenario import Scenario, Size

SMALL = Size(nodes=8, hours=1, talks=6, faults=24)
CODE = code()


class Kept:
    """Recorders by board, and every secret that passed through one."""

    def __init__(self) -> None:
        self.recorders: list[Recorder] = []
        self.secrets: dict[int, set[bytes]] = {}

    def make(self, config: Any, crypto: Any, random: Any, now: int, saved: Any = None, handed: Any = None) -> Recorder:
        secrets: set[bytes] = set()

        def watched(count: int) -> bytes:
            data: bytes = random(count)
            if count >= 32:
                secrets.add(data)
            return data

        recorder = Recorder(Engine, config, Spy(crypto, secrets), watched, now, saved, handed)
        if saved:
            secrets.update(bytes.fromhex(saved[name]) for name in ("machine_key", "node_key", "disco_key"))
        self.secrets[id(recorder)] = secrets
        self.recorders.append(recorder)
        return recorder


class Spy:
    """Crypto that remembers what must stay secret."""

    def __init__(self, real: Any, secrets: set[bytes]) -> None:
        self._real, self._secrets = real, secrets

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._real, name)
        if name not in ("x25519", "box_key", "hkdf", "hmac", "xopen"):
            return function

        def call(*arguments: Any) -> Any:
            result = function(*arguments)
            self._secrets.update(result if isinstance(result, tuple) else [] if result is None else [result])
            return result

        return call


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    found = Kept()
    monkeypatch.setattr(board, "Engine", found.make)
    return found


def file(recorder: Recorder) -> bytes:
    return pack(recorder, "test", CODE, 0, recorder.engine.now)


def replayed(data: bytes) -> Replay:
    replay = Replay(Recording(data))
    for _ in replay.steps():
        pass
    return replay


def lines(data: bytes) -> bytes:
    recording = Recording(data)
    return repr((recording.header, recording.state, recording.entries)).encode()


def test_every_recording_of_an_hour_with_faults_replays_bit_for_bit_and_holds_no_secret(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skerry_node.recorder.recorder.QUIET", 4096)  # many segments, so that states are restored too
    scenario = Scenario(5, SMALL)
    scenario.run()
    kinds = set()
    for recorder in kept.recorders:
        assert not recorder.problem
        assert recorder.size < 1_500_000
        data = file(recorder)
        replay = replayed(data)
        kinds.add(Recording(data).state[0][0])
        assert replay.engine.state == recorder.engine.state
        assert replay.engine.drops == recorder.engine.drops
        assert replay.engine.next_timer() == recorder.engine.next_timer()
        text = lines(data)
        for secret in kept.secrets[id(recorder)]:
            assert secret.hex().encode() not in text
        assert scenario.gateway.key.encode() not in text
        assert scenario.gateway.key.encode().hex().encode() not in text
    assert kinds == {"start", "obj"}
    assert sum(len(each) for each in kept.secrets.values()) > 1000


def test_memory_is_bounded_and_ten_minutes_are_kept_where_they_fit(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "LIMIT", 8 << 10)
    monkeypatch.setattr(segment, "PIECE", 2 << 10)
    scenario = Scenario(6, SMALL)
    scenario.run()
    for recorder in kept.recorders:
        assert recorder.size < 2 * (8 + 8 + 32) << 10
        replayed(file(recorder))
