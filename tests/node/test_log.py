"""The log file: reopened when it was renamed, bounded, for its owner alone, and without secrets."""

import pytest

from skerry_core.errors import LocalError
from skerry_node import log as module
from skerry_node.log import Log


def test_a_renamed_file_is_left_and_a_new_one_begun(tmp_path):
    log, path = Log(), tmp_path / "skerryd.log"
    log.to_file(str(path))
    log.secrets.add("hush")
    log.say("one hush")
    path.rename(tmp_path / "old")
    log.say("two")
    log.renamed = True
    log.say("three")
    assert [line.split(" ", 1)[1] for line in (tmp_path / "old").read_text().splitlines()] == ["one [redacted]", "two"]
    assert path.read_text().endswith("Z three\n") and path.stat().st_mode & 0o77 == 0


def test_a_file_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 1000)
    log, path = Log(), tmp_path / "skerryd.log"
    log.to_file(str(path))
    for number in range(200):
        log.say(f"sentence {number}")
    sizes = {each.name: each.stat().st_size for each in tmp_path.iterdir()}
    assert set(sizes) <= {"skerryd.log", "skerryd.log.1"} and max(sizes.values()) < 1100
    assert "sentence 199" in path.read_text() + (tmp_path / "skerryd.log.1").read_text()


def test_what_cannot_be_opened_is_said_and_the_old_file_goes_on(tmp_path):
    log, path = Log(), tmp_path / "logs" / "skerryd.log"
    with pytest.raises(LocalError, match="--log-file"):
        log.to_file(str(path))
    path.parent.mkdir()
    log.to_file(str(path))
    path.parent.rename(tmp_path / "moved")
    log.reopen()
    log.say("still here")
    text = (tmp_path / "moved" / "skerryd.log").read_text()
    assert "--log-file" in text and "still here" in text


def test_without_a_file_nothing_is_reopened(capsys):
    log = Log()
    log.reopen()
    log.say("here")
    assert "here" in capsys.readouterr().err
