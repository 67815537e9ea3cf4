"""zstd frames of the map: bounded whatever they announce."""

import pytest
import zstandard

from skerry_node.zstd import decompress

TEXT = b'{"KeepAlive":true}' * 1000


@pytest.mark.parametrize("announced", [True, False])
def test_a_frame_opens_up_to_the_limit(announced):
    frame = zstandard.ZstdCompressor(write_content_size=announced).compress(TEXT)
    assert decompress(frame, len(TEXT)) == TEXT
    with pytest.raises(ValueError, match="more than"):
        decompress(frame, len(TEXT) - 1)


def test_a_bomb_stays_small():
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(200 << 20))
    assert len(bomb) < 50_000
    with pytest.raises(ValueError, match="more than 65536"):
        decompress(bomb, 65536)


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd" + b"\xff" * 40])
def test_rubbish_is_refused_or_empty(data):
    try:
        assert decompress(data, 1000) == b""
    except ValueError:
        pass


def test_a_cut_frame_is_refused_or_short():
    frame = zstandard.ZstdCompressor().compress(TEXT)
    try:
        assert TEXT.startswith(decompress(frame[:-5], len(TEXT)))
    except ValueError:
        pass
