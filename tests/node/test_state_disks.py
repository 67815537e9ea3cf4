"""The state directory on real disks that take no writes: a full tmpfs and a read-only mount. Nothing is overwritten, the last good copy is
used, and what is wrong is said."""

import contextlib
import os
import subprocess

import pytest

from skerry_board.identity import Board, Identity
from skerry_core.errors import LocalError
from skerry_node.state import StateDirectory
from tests.netlab import inside

BOARD = Board([Identity("dmi", "a" * 64)], [])
ENGINE = {"version": 1, "machine_key": "00"}


def remount(path, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


@pytest.fixture
def disk(tmp_path):
    """A disk of 256 kB, mounted; whatever a test leaves open, it goes with the namespace."""
    if not inside():
        pytest.skip("needs a mount namespace: python -m tests.netlab")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@contextlib.contextmanager
def opened(path):
    state = StateDirectory(str(path), BOARD)
    state.open()
    try:
        yield state
    finally:
        state.close()


def written(path, *values):
    with opened(path) as state:
        state.load()
        for value in values:
            state.save({"hostname": value}, ENGINE)


def fill(path):
    with open(path / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_said_keeps_the_old_state_and_is_used_again_when_there_is_room(disk):
    written(disk, "one")
    fill(disk)
    with opened(disk) as state:
        assert state.load() == ({"hostname": "one"}, ENGINE)
        with pytest.raises(LocalError, match=r"No space left on device.*unchanged"):
            state.save({"hostname": "two", "x": "y" * 8192}, ENGINE)
        assert not (disk / "state.json.new").exists()
    with opened(disk) as state:
        assert state.load()[0] == {"hostname": "one"}
        (disk / "ballast").unlink()
        state.save({"hostname": "two"}, ENGINE)
    with opened(disk) as state:
        assert state.load()[0] == {"hostname": "two"}


def test_a_member_starts_from_a_read_only_disk_and_says_so(disk):
    written(disk, "one")
    remount(disk, "ro")
    with opened(disk) as state:
        assert state.load() == ({"hostname": "one"}, ENGINE)
        assert any("Read-only file system" in note and "runs from what is there" in note for note in state.notes)
        with pytest.raises(LocalError, match="Read-only file system"):
            state.save({"hostname": "two"}, ENGINE)
        with pytest.raises(LocalError, match="in use by another skerryd"), opened(disk):
            pass
        remount(disk, "rw")
        state.save({"hostname": "two"}, ENGINE)
    with opened(disk) as state:
        assert state.load()[0] == {"hostname": "two"} and not state.notes


def test_a_new_node_does_not_start_where_its_keys_cannot_be_kept(disk):
    remount(disk, "ro")
    with pytest.raises(LocalError, match="Read-only file system"), opened(disk) as state:
        state.load()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 99}'])
def test_damage_on_a_read_only_disk_uses_the_last_good_copy_and_is_kept_once_there_is_writing(disk, damage):
    written(disk, "one", "two")
    (disk / "state.json").write_bytes(damage)
    remount(disk, "ro")
    with opened(disk) as state:
        assert state.load() == ({"hostname": "one"}, ENGINE)
        assert (disk / "state.json").read_bytes() == damage
        with pytest.raises(LocalError, match="Read-only file system"):
            state.save({"hostname": "three"}, ENGINE)
        remount(disk, "rw")
        state.save({"hostname": "three"}, ENGINE)
    kept = [name for name in os.listdir(disk) if name.startswith(("state.json.damaged", "state.json.newer"))]
    assert [(disk / name).read_bytes() for name in kept] == [damage]
    with opened(disk) as state:
        assert state.load()[0] == {"hostname": "three"}
