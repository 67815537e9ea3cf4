"""The state directory: what survives which accident, and what is said about it."""

import itertools
import json
import os
import shutil

import pytest

from skerry_board.identity import Board, Identity
from skerry_core.errors import LocalError
from skerry_node.state import NAME, Files, StateDirectory

HERE = Board([Identity("device-tree", "aa" * 32), Identity("machine-id", "11" * 32)], [])
THERE = Board([Identity("device-tree", "bb" * 32), Identity("machine-id", "11" * 32)], [])
OLD = ({"gateway": "http://old"}, {"version": 1, "node": "old"})
NEW = ({"gateway": "http://new"}, {"version": 1, "node": "new" * 100})


def opened(path, board=HERE, files=None):
    state = StateDirectory(str(path), board, files)
    state.open()
    return state


def loaded(path, board=HERE):
    state = opened(path, board)
    try:
        return state.load(), state
    finally:
        state.close()


def save(path, content, board=HERE):
    state = opened(path, board)
    state.load()
    state.save(*content)
    state.close()


def test_first_start_is_empty_and_private(tmp_path):
    (content, state) = loaded(tmp_path / "s")
    assert content == ({}, None) and state.notes == [] and not state.renewed
    assert os.stat(tmp_path / "s").st_mode & 0o777 == 0o700


def test_what_is_saved_is_loaded(tmp_path):
    save(tmp_path, OLD)
    save(tmp_path, NEW)
    assert loaded(tmp_path)[0] == NEW
    assert os.stat(tmp_path / NAME).st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / (NAME + ".bak")).read_bytes())["engine"] == OLD[1]
    assert json.loads((tmp_path / NAME).read_bytes())["version"] == 1


class Recorder(Files):
    """Does everything, and remembers it."""

    def __init__(self):
        self.done = []

    def write(self, path, data):
        super().write(path, data)
        self.done.append(("write", path, bytes(data)))

    def rename(self, old, new):
        super().rename(old, new)
        self.done.append(("rename", old, new))

    def sync(self, directory):
        super().sync(directory)
        self.done.append(("sync", directory))


def after_power_cut(operations, cut):
    """Every disk the cut may leave: operations before `cut` done, names not yet synced there or not, the last write torn."""
    done, torn = operations[:cut], operations[cut] if cut < len(operations) else None
    synced = max([i for i, op in enumerate(done) if op[0] == "sync"], default=-1)
    loose = [i for i, op in enumerate(done) if op[0] == "rename" and i > synced]
    for keep in itertools.chain.from_iterable(itertools.combinations(loose, n) for n in range(len(loose) + 1)):
        disk = [op for i, op in enumerate(done) if i not in loose or i in keep]
        yield disk
        if torn and torn[0] == "write":
            yield from (disk + [("write", torn[1], torn[2][:size])] for size in (0, 1, len(torn[2]) // 2, len(torn[2]) - 1))


def replay(disk):
    for op in disk:
        if op[0] == "write":
            with open(op[1], "wb") as file:
                file.write(op[2])
        elif op[0] == "rename" and os.path.exists(op[1]):
            os.rename(op[1], op[2])


def test_power_cut_at_every_point_leaves_old_or_new(tmp_path):
    work, before = tmp_path / "work", tmp_path / "before"
    save(work, ({}, {"version": 1, "node": "oldest"}))
    save(work, OLD)
    shutil.copytree(work, before)
    recorder = Recorder()
    state = opened(work, files=recorder)
    state.load()
    state.save(*NEW)
    state.close()
    assert [op[0] for op in recorder.done] == ["write", "rename", "rename", "sync"]
    outcomes = []
    for cut in range(len(recorder.done) + 1):
        for disk in after_power_cut(recorder.done, cut):
            shutil.rmtree(work)
            shutil.copytree(before, work)
            replay(disk)
            content, _ = loaded(work)
            assert content in (OLD, NEW), (cut, disk)
            outcomes.append((cut, content == NEW))
    assert (0, True) not in outcomes and (4, False) not in outcomes  # acknowledged means it is there
    assert len(outcomes) > 12


class Failing(Files):
    """Fails the n-th call with an error of the disk."""

    def __init__(self, fail_at, error):
        self.left, self.error = fail_at, error

    def _count(self):
        self.left -= 1
        if self.left < 0:
            raise self.error

    def write(self, path, data):
        if self.left == 0:
            with open(path, "wb") as file:
                file.write(data[: len(data) // 2])
        self._count()
        super().write(path, data)

    def rename(self, old, new):
        self._count()
        super().rename(old, new)

    def sync(self, directory):
        self._count()
        super().sync(directory)


@pytest.mark.parametrize("number", [28, 5, 30])  # ENOSPC, EIO, EROFS
@pytest.mark.parametrize("fail_at", range(4))
def test_an_error_in_every_call_is_said_and_leaves_old_or_new(tmp_path, fail_at, number):
    save(tmp_path, OLD)
    state = opened(tmp_path, files=Failing(fail_at, OSError(number, os.strerror(number))))
    assert state.load() == OLD
    with pytest.raises(LocalError, match=r"cannot write state in .*: " + os.strerror(number)):
        state.save(*NEW)
    state.close()
    assert loaded(tmp_path)[0] in (OLD, NEW)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\0" * 500,
        b"{",
        b"[]",
        b"{}",
        b'{"version":1}',
        b'{"version":1,"prefs":[],"engine":null,"board":null}',
        b"\xff\xfe",
        b"[" * 100000,
        b'{"version":1,"prefs":{},"engine":null,"board":{"source":1}}',
    ],
)
def test_damage_uses_the_last_good_copy_and_keeps_the_damaged(tmp_path, damage):
    save(tmp_path, OLD)
    save(tmp_path, NEW)
    (tmp_path / NAME).write_bytes(damage)
    content, state = loaded(tmp_path)
    assert content == OLD and "last good copy" in state.notes[0] and not state.renewed
    assert (tmp_path / (NAME + ".damaged")).read_bytes() == damage
    save(tmp_path, NEW)
    assert loaded(tmp_path)[0] == NEW and loaded(tmp_path)[1].notes == []


def test_damage_of_both_copies_starts_anew_and_keeps_both(tmp_path):
    (tmp_path / NAME).write_bytes(b"first")
    (tmp_path / (NAME + ".bak")).write_bytes(b"second")
    content, state = loaded(tmp_path)
    assert content == ({}, None) and "starts anew" in state.notes[0]
    assert (tmp_path / (NAME + ".damaged")).read_bytes() == b"first" and (tmp_path / (NAME + ".damaged-1")).read_bytes() == b"second"


def test_damage_is_not_quoted(tmp_path):
    (tmp_path / NAME).write_bytes(b'{"machine": "canary-secret')
    assert "canary" not in " ".join(loaded(tmp_path)[1].notes)


def test_newer_version_alone_refuses_and_changes_nothing(tmp_path):
    text = b'{"version": 2, "future": true}'
    (tmp_path / NAME).write_bytes(text)
    state = opened(tmp_path)
    with pytest.raises(LocalError, match=r"newer skerryd .version 2, this one reads up to 1"):
        state.load()
    state.close()
    assert (tmp_path / NAME).read_bytes() == text


def test_newer_version_with_a_good_copy_uses_it_and_keeps_both(tmp_path):
    save(tmp_path, OLD)
    save(tmp_path, NEW)
    (tmp_path / NAME).write_bytes(b'{"version": 2}')
    content, state = loaded(tmp_path)
    assert content == OLD and "version 2" in state.notes[0]
    assert (tmp_path / (NAME + ".newer")).read_bytes() == b'{"version": 2}'


def test_another_board_gets_no_keys_and_the_first_one_gets_them_back(tmp_path):
    save(tmp_path, OLD, HERE)
    (prefs, engine), state = loaded(tmp_path, THERE)
    assert (prefs, engine) == (OLD[0], None) and state.renewed and "another board" in state.notes[0]
    save(tmp_path, NEW, THERE)
    assert loaded(tmp_path, THERE)[0] == NEW
    content, state = loaded(tmp_path, HERE)
    assert content == OLD and not state.renewed and "own keys" in state.notes[0]


def test_the_other_boards_last_good_copy_gives_no_keys_either(tmp_path):
    save(tmp_path, OLD, HERE)
    save(tmp_path, OLD, HERE)
    os.unlink(tmp_path / NAME)
    (_, engine), state = loaded(tmp_path, THERE)
    assert engine is None and state.renewed
    save(tmp_path, NEW, THERE)
    (tmp_path / NAME).write_bytes(b"torn")
    (_, engine), state = loaded(tmp_path, THERE)
    assert engine != OLD[1]


def test_a_copied_machine_id_does_not_hide_a_moved_card(tmp_path):
    assert HERE.identities[1] == THERE.identities[1]
    save(tmp_path, OLD, HERE)
    assert loaded(tmp_path, THERE)[1].renewed


def test_serial_that_may_not_be_read_now_keeps_the_keys_and_says_so(tmp_path):
    save(tmp_path, OLD, Board([Identity("dmi", "cc" * 32)], []))
    content, state = loaded(tmp_path, Board([Identity("machine-id", "11" * 32)], ["dmi"]))
    assert content == OLD and "root" in state.notes[0]


def test_open_modes_are_tightened_and_said(tmp_path):
    save(tmp_path / "s", OLD)
    os.chmod(tmp_path / "s" / NAME, 0o644)
    os.chmod(tmp_path / "s", 0o755)
    content, state = loaded(tmp_path / "s")
    assert content == OLD and len(state.notes) == 2 and "0600" not in state.notes[0]
    assert os.stat(tmp_path / "s" / NAME).st_mode & 0o777 == 0o600


def test_two_daemons_do_not_share_a_directory(tmp_path):
    first = opened(tmp_path)
    with pytest.raises(LocalError, match="in use by another skerryd"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


def test_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalError, match=r"cannot write state in .*--state DIR"):
        opened(tmp_path / "file" / "state")


def test_keys_that_the_engine_refuses_are_damage(tmp_path):
    from skerry_core.engine import Engine
    from skerry_node.daemon import check_engine
    from skerry_shim import crypto

    saved = Engine({}, crypto, os.urandom, 0).save()
    good = ({}, saved)
    save(tmp_path, good)
    save(tmp_path, ({}, {**saved, "node_key": "canary"}))
    state = StateDirectory(str(tmp_path), HERE, check=check_engine)
    state.open()
    assert state.load() == good
    state.close()
    assert "node_key is not 32 bytes" in state.notes[0] and "canary" not in state.notes[0]


def test_what_is_there_already_is_not_written_again(tmp_path):
    recorder = Recorder()
    state = opened(tmp_path, files=recorder)
    state.load()
    for content in (OLD, OLD, NEW, NEW, OLD):
        state.save(*content)
    assert [op[0] for op in recorder.done].count("write") == 3
    state.save(*OLD, both=True)
    assert (tmp_path / (NAME + ".bak")).read_bytes() == (tmp_path / NAME).read_bytes(), "what was thrown away is in no copy"
    os.unlink(tmp_path / NAME)
    state.save(*OLD)  # somebody took it away
    state.close()
    assert loaded(tmp_path)[0] == OLD


def test_a_write_that_failed_is_not_taken_for_done(tmp_path):
    state = opened(tmp_path)
    state.load()
    state.save(*OLD)
    good, state._files = state._files, Failing(3, OSError(5, "broken"))  # the names have changed, and are not known to be on the disk
    with pytest.raises(LocalError):
        state.save(*NEW)
    state._files = good
    state.save(*OLD)
    state.close()
    assert loaded(tmp_path)[0] == OLD


def test_another_board_gets_no_keys_of_other_networks(tmp_path):
    networks = {"x": {"prefs": {"gateway": "http://x"}, "engine": {"machine_key": "00"}}}
    save(tmp_path, ({"gateway": "http://old", "networks": networks}, OLD[1]))
    assert loaded(tmp_path, THERE)[0] == ({"gateway": "http://old"}, None)
    save(tmp_path, ({"gateway": "http://old"}, NEW[1]), THERE)
    assert loaded(tmp_path, HERE)[0][0]["networks"] == networks
