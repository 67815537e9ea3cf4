"""Paths: made whole or refused."""

import pytest

from skerry_core import path
from skerry_core.errors import LocalError


def test_paths_are_plain_tuples_and_say_what_they_are():
    direct = path.udp(0, bytes((192, 0, 2, 1)), 41641)
    assert direct == (0, 4, b"\xc0\0\2\1", 41641, 0) and not path.is_relay(direct) and path.text(direct) == "192.0.2.1:41641"
    via = path.udp(1, bytes(15) + b"\1", 9, vni=7)
    assert path.text(via) == "[::1]:9 vni 7" and path.direct(via) == (1, 6, bytes(15) + b"\1", 9, 0)
    relayed = path.relay(900, bytes(range(32)))
    assert relayed == (900, bytes(range(32))) and path.is_relay(relayed) and path.text(relayed) == "relay 900"


BAD = [(), (1,), (0, 4, bytes(4), 0, 0), (0, 4, bytes(4), 65536, 0), (0, 6, bytes(4), 1, 0), (0, 4, bytes(5), 1, 0)]
BAD += [(0, bytes(32)), (1, bytes(31)), ("1", bytes(32)), [1, bytes(32)], None]
BAD += [(256, 4, bytes(4), 1, 0), (0, 4, bytes(4), 1, 1 << 24), (0, 4, "1.2.3.4", 1, 0)]


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_a_bad_path_is_refused(bad):
    with pytest.raises(LocalError, match="path"):
        path.check(bad)


def test_makers_refuse_too():
    with pytest.raises(LocalError, match="port 0"):
        path.udp(0, bytes(4), 0)
    with pytest.raises(LocalError, match="32 bytes"):
        path.relay(1, b"short")
