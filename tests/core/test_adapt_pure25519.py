"""The adaptation of pure25519: same answers as the original on CPython, runs on MicroPython, refuses what it does not know."""

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

import pure25519
import pytest
from pure25519 import basic

from skerry_micro import adapt_pure25519
from tests.core.micropython import fetch
from tests.core.micropython.run import ROOT, run_micropython

USE = """
import sys
from pure25519 import basic, eddsa, spake2

signature = eddsa.sign(bytes(range(32)), b"release")
public = eddsa.create_verifying_key(bytes(range(32)))
assert eddsa.verify(public, signature, b"release")
try:
    eddsa.verify(public, signature, b"another")
    raise SystemExit("a wrong message was verified")
except ValueError:
    pass
print(signature.hex())

def entropy(seed):
    return lambda size: bytes([(seed + 7 * i) & 255 for i in range(size)])

mine, to_other = spake2.start_U(b"123456", entropy(1), b"board", b"phone")
other, to_me = spake2.start_V(b"123456", entropy(2), b"board", b"phone")
key = spake2.finish_U(mine, to_me)
assert key == spake2.finish_V(other, to_other)
print(key.hex())
print(basic.arbitrary_element(b"seed").to_bytes().hex())
print(basic.Base.scalarmult(2 ** 252 + 5).negate().to_bytes().hex())
"""


@pytest.fixture
def original(tmp_path):
    """What USE prints with the installed pure25519."""
    script = tmp_path / "use.py"
    script.write_text(USE)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 4
    return script, done.stdout.split()


def test_same_answers_on_cpython(tmp_path, original):
    script, wanted = original
    adapt_pure25519.adapt(tmp_path / "adapted")
    path = os.pathsep.join([str(tmp_path / "adapted"), str(ROOT / "firmware")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == wanted, done.stderr


def test_same_answers_on_micropython(original):
    if os.environ.get("SKERRY_WITHOUT_MICROPYTHON"):
        pytest.skip("$SKERRY_WITHOUT_MICROPYTHON is set")
    script, wanted = original
    try:
        done = run_micropython(script)
    except fetch.Unavailable as error:
        pytest.fail(str(error), pytrace=False)
    assert done.stdout.split() == wanted, done.stderr


def test_multiplication_is_the_one_it_replaces(tmp_path):
    package = adapt_pure25519.adapt(tmp_path)
    specification = importlib.util.spec_from_file_location("adapted_basic", package / "basic.py")
    adapted = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(adapted)
    numbers = [0, 1, 2, 3, 255, 256, basic.L - 1, basic.L, basic.L + 1, 2**255 - 1]
    numbers += [random.Random(seed).getrandbits(255) for seed in range(5)]
    for number in numbers:
        for name in ("scalarmult_element", "scalarmult_element_safe_slow"):
            assert getattr(adapted, name)(basic.Base.XYTZ, number) == getattr(basic, name)(basic.Base.XYTZ, number), (name, number)


def test_the_licence_goes_along(tmp_path):
    package = adapt_pure25519.adapt(tmp_path)
    assert "Copyright (c) 2015 Brian Warner" in (package / "LICENSE").read_text()
    for file in package.glob("*.py"):
        assert file.name == "__init__.py" or "Copyright (c) 2015 Brian Warner" in file.read_text()


def changed_source(tmp_path, monkeypatch, change):
    source = tmp_path / "installed"
    source.mkdir()
    for name in adapt_pure25519.CHANGES:
        text = (Path(pure25519.__path__[0]) / f"{name}.py").read_text()
        (source / f"{name}.py").write_text(change(text))
    monkeypatch.setattr(adapt_pure25519, "_installed", lambda: source)


def test_another_source_is_refused_and_nothing_is_written(tmp_path, monkeypatch):
    changed_source(tmp_path, monkeypatch, lambda text: text.replace("[::-1]", "[::1]", 1))
    with pytest.raises(adapt_pure25519.CannotAdapt, match=r"basic\.py"):
        adapt_pure25519.adapt(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_version_is_refused(tmp_path, monkeypatch):
    class Other:
        version = "0.0.2"

    monkeypatch.setattr(adapt_pure25519.metadata, "distribution", lambda name: Other())
    with pytest.raises(adapt_pure25519.CannotAdapt, match=r"0\.0\.2"):
        adapt_pure25519.adapt(tmp_path)


def test_the_command(tmp_path):
    command = [sys.executable, "-m", "skerry_micro.adapt_pure25519"]
    done = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and (tmp_path / "out" / "pure25519" / "basic.py").exists()
    assert "usage" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
