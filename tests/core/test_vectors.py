"""Runs every tests/vectors/check_*.py: each function on CPython, each file on MicroPython. The convention: tests/vectors/README.md."""

import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path

import pytest

from skerry_core.crypto import pure
from tests.core.micropython import fetch
from tests.core.micropython.run import VECTORS, run_micropython

DRIVER = Path(__file__).parent / "micropython" / "driver.py"
FILES = sorted(path.stem for path in VECTORS.glob("check_*.py"))


def load(stem):
    if str(VECTORS) not in sys.path:
        sys.path.append(str(VECTORS))
    return importlib.import_module(stem)


def functions(stem):
    found = [(name, value) for name, value in vars(load(stem)).items() if name.startswith("check_") and inspect.isfunction(value)]
    assert found, f"tests/vectors/{stem}.py has no function check_*"
    return found


def wants_crypto(function):
    names = list(inspect.signature(function).parameters)
    assert names in ([], ["crypto"]), f"{function.__name__}: a check takes nothing, or one parameter named crypto, not {names}"
    return bool(names)


def cases():
    for stem in FILES:
        for name, function in functions(stem):
            label = f"{stem.removeprefix('check_')}-{name.removeprefix('check_')}"
            if wants_crypto(function):
                yield pytest.param(function, "pure", id=label + "-pure")
                yield pytest.param(function, "shim", id=label + "-shim")
            else:
                yield pytest.param(function, None, id=label)


def crypto_module(name):
    if name == "pure":
        return pure
    return importlib.import_module("skerry_shim.crypto")


@pytest.fixture(autouse=True)
def downloaded_vectors(request):
    """What is not in the repository and a file needs: Wycheproof's sets."""
    if "wycheproof" in request.node.name:
        provider = load("wycheproof")
        try:
            os.environ["SKERRY_WYCHEPROOF"] = str(provider.directory())
        except provider.Unavailable as error:
            pytest.fail(str(error), pytrace=False)


@pytest.mark.parametrize(("function", "crypto"), list(cases()))
def test_cpython(function, crypto):
    function(*([crypto_module(crypto)] if crypto else []))


@pytest.mark.parametrize("stem", FILES)
def test_micropython(stem):
    if os.environ.get("SKERRY_WITHOUT_MICROPYTHON"):
        pytest.skip("$SKERRY_WITHOUT_MICROPYTHON is set")
    names = [name + (":crypto" if wants_crypto(function) else "") for name, function in functions(stem)]
    try:
        done = run_micropython(DRIVER, stem, *names)
    except fetch.Unavailable as error:
        pytest.fail(f"{error}\n($SKERRY_WITHOUT_MICROPYTHON=1 skips what needs it)", pytrace=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = [line[3:] for line in done.stdout.splitlines() if line.startswith("ok ")]
    assert passed == [name.partition(":")[0] for name in names], done.stdout + done.stderr
