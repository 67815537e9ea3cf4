"""The board's identity: which source wins, what is refused, and when stored and present boards differ."""

import os

import pytest

from skerry_board.identity import Board, Identity, digest, read, usable

MACHINE_ID = "4f2d0b7a9c1e4d5f8a6b3c2d1e0f9a8b"


def plant(root, path, value):
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(value)
    return target


def test_environment_hides_everything_else(tmp_path):
    plant(tmp_path, "etc/machine-id", MACHINE_ID.encode())
    board = read({"SKERRY_BOARD_ID": "left"}, str(tmp_path))
    assert [i.source for i in board.identities] == ["environment"]
    assert board.identity.digest == digest("environment", "left") != digest("environment", "right")


def test_device_tree_serial_wins_and_its_nul_is_cut(tmp_path):
    plant(tmp_path, "etc/machine-id", MACHINE_ID.encode() + b"\n")
    plant(tmp_path, "sys/firmware/devicetree/base/serial-number", b"10000000a1b2c3d4\0")
    board = read({}, str(tmp_path))
    assert [i.source for i in board.identities] == ["device-tree", "machine-id"]
    assert board.identity.digest == digest("device-tree", "10000000a1b2c3d4")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\0",
        b"None\n",
        b"To Be Filled By O.E.M.\n",
        b"Default string\n",
        b"Not Specified\n",
        b"0000000000000000\0",
        b"0",
        b"System Serial Number",
        b"0123456789",
        b"xxxxxxxx",
        b"A" * 300,
        b"\xff" * 20,
    ],
)
def test_placeholders_are_no_serial_numbers(tmp_path, value):
    plant(tmp_path, "sys/class/dmi/id/product_serial", value)
    plant(tmp_path, "etc/machine-id", MACHINE_ID.encode())
    assert read({}, str(tmp_path)).identity == Identity("machine-id", digest("machine-id", MACHINE_ID))


def test_dmi_falls_back_to_the_uuid(tmp_path):
    plant(tmp_path, "sys/class/dmi/id/product_serial", b"Default string\n")
    plant(tmp_path, "sys/class/dmi/id/product_uuid", b"9f1c2d3e-0001-4444-8888-123456789abc\n")
    assert read({}, str(tmp_path)).identity.digest == digest("dmi", "9f1c2d3e-0001-4444-8888-123456789abc")


def test_a_machine_without_any_identity(tmp_path):
    board = read({}, str(tmp_path))
    assert board.identity is None and board.matches(Identity("machine-id", "0" * 64)) is False


def test_unreadable_source_gives_no_verdict(tmp_path, monkeypatch):
    plant(tmp_path, "etc/machine-id", MACHINE_ID.encode())
    import builtins

    real = builtins.open

    def guarded(path, *rest, **named):
        if "dmi" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *rest, **named)

    monkeypatch.setattr(builtins, "open", guarded)
    board = read({}, str(tmp_path))
    assert board.unreadable == ["dmi"] and board.identity.source == "machine-id"
    assert board.matches(Identity("dmi", "ab" * 32)) is None
    assert board.matches(Identity("device-tree", "ab" * 32)) is False


def test_matches_compares_like_with_like():
    here = Board([Identity("device-tree", "aa" * 32), Identity("machine-id", "bb" * 32)], [])
    assert here.matches(Identity("machine-id", "bb" * 32)) is True
    assert here.matches(Identity("machine-id", "cc" * 32)) is False
    assert here.matches(Identity("device-tree", "cc" * 32)) is False


def test_the_value_itself_is_never_shown():
    board = read({"SKERRY_BOARD_ID": "canary-value"})
    assert "canary" not in repr(board.identity) and "canary" not in board.identity.digest


def test_usable_wants_four_characters():
    assert not usable("ab1") and usable("ab12")
