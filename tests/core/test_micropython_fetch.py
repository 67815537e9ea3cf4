"""What fetch says when MicroPython cannot be had, and that a failed attempt leaves nothing behind."""

import os
import stat

import pytest

from tests.core.micropython import fetch


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SKERRY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SKERRY_MICROPYTHON", raising=False)
    return tmp_path / "cache"


def program(folder, name, text):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def left(cache):
    return sorted(path.name for path in cache.iterdir() if path.name != "micropython.lock")


def test_an_interpreter_of_ones_own(tmp_path, monkeypatch):
    own = program(tmp_path, "own", "echo micropython\n")
    monkeypatch.setenv("SKERRY_MICROPYTHON", str(own))
    assert fetch.interpreter() == own


def test_an_interpreter_that_is_not_micropython(tmp_path, monkeypatch):
    monkeypatch.setenv("SKERRY_MICROPYTHON", str(program(tmp_path, "own", "echo cpython\n")))
    with pytest.raises(fetch.Unavailable, match="'cpython', not micropython"):
        fetch.interpreter()


def test_an_interpreter_that_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("SKERRY_MICROPYTHON", str(tmp_path / "none"))
    with pytest.raises(fetch.Unavailable, match=r"none, does not start: .*No such file"):
        fetch.interpreter()


def test_no_apt(empty_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(fetch.Unavailable, match="apt-get and dpkg-deb not found"):
        fetch.interpreter()
    assert left(empty_cache) == []


def test_no_network(empty_cache, tmp_path, monkeypatch):
    script = 'case "$*" in *indextargets*) exec /usr/bin/apt-get "$@";; esac\necho E: no route to the mirror >&2\nexit 100\n'
    program(tmp_path / "bin", "apt-get", script)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(fetch.Unavailable, match=r"no route to the mirror(.|\n)*SKERRY_MICROPYTHON"):
        fetch.interpreter()
    assert left(empty_cache) == []


def test_packages_without_an_interpreter(empty_cache, tmp_path, monkeypatch):
    script = 'case "$*" in *indextargets*) exec /usr/bin/apt-get "$@";; *install*) touch "$(dirname "$3")/archives/a.deb";; esac\n'
    program(tmp_path / "bin", "apt-get", script)
    program(tmp_path / "bin", "dpkg-deb", 'mkdir -p "$3/usr"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(fetch.Unavailable, match="the packages hold no usr/bin/micropython"):
        fetch.interpreter()
    assert left(empty_cache) == []


def test_the_cache_is_used(empty_cache, monkeypatch):
    monkeypatch.setattr(fetch, "_provide", lambda home: program(home, "micropython", "") if home.mkdir() is None else None)
    first = fetch.interpreter()
    monkeypatch.setattr(fetch, "_provide", lambda home: pytest.fail("fetched again"))
    assert fetch.interpreter() == first and left(empty_cache) == [first.parent.name]
