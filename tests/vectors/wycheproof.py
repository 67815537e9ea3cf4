"""Provides Project Wycheproof's vectors (C2SP, Apache-2.0) as vector files: `python tests/vectors/wycheproof.py` prints their folder.

The vectors are a Go module; the go command downloads the pinned version and checks it, the sets used here are converted to the line
format of vectorfile.py and kept in the cache, keyed by this file. CPython only; the checks are in check_wycheproof.py.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = "github.com/c2sp/wycheproof"
VERSION = "v0.0.0-20260902155932-3fa63dd0344a"
SUM = "h1:pNbL2nztRsWfW/ispAwsvcDFxs9Id38uIsR2/Up5G2c="
HEADER = f"# Project Wycheproof, {MODULE} {VERSION}, testvectors_v1/%s, Apache License 2.0; converted, %d tests\n"


class Unavailable(Exception):
    """The vectors cannot be had here; the text says why and what to do."""


def directory():
    """The folder with x25519.txt, chacha20_poly1305.txt, xchacha20_poly1305.txt and ed25519.txt; downloads them on first use."""
    cache = Path(os.environ.get("SKERRY_CACHE") or Path.home() / ".cache" / "skerry")
    home = cache / ("wycheproof-" + hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16])
    if not home.exists():
        cache.mkdir(parents=True, exist_ok=True)
        source = _download(_go(cache)) / "testvectors_v1"
        work = Path(tempfile.mkdtemp(dir=cache, prefix="wycheproof-new-"))
        for name, fields in FIELDS.items():
            _convert(source / f"{name}_test.json", work / f"{name}.txt", fields)
        try:
            os.rename(work, home)
        except OSError:  # another process was faster
            shutil.rmtree(work)
    return home


def _go(cache):
    """The go command: on the PATH, or the one the interop peers were built with."""
    found = shutil.which("go") or next((str(path) for path in sorted(cache.glob("go-*/bin/go"))), None)
    if not found:
        raise Unavailable("Wycheproof's vectors are a Go module and there is no go command: run `make peers`, which brings one")
    return found


def _download(go):
    with tempfile.TemporaryDirectory() as outside:  # in a module's folder its go.mod would matter
        command = [go, "mod", "download", "-json", f"{MODULE}@{VERSION}"]
        environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=outside, env=environment, timeout=300, check=False)
    answer = json.loads(done.stdout) if done.stdout.startswith("{") else {"Error": done.stderr}
    if answer.get("Error"):
        raise Unavailable(f"Wycheproof's vectors cannot be downloaded; check the network: {answer['Error'].strip()}")
    if answer["Sum"] != SUM:
        raise Unavailable(f"{MODULE}@{VERSION} has the hash {answer['Sum']}, expected {SUM}: it is not the pinned one")
    return Path(answer["Dir"])


def _x25519(group, test):
    return {"private": test["private"], "public": test["public"], "shared": test["shared"]}


def _aead(group, test):
    names = {"key": "key", "nonce": "iv", "ad": "aad", "plaintext": "msg"}
    return {**{ours: test[theirs] for ours, theirs in names.items()}, "ciphertext": test["ct"] + test["tag"]}


def _ed25519(group, test):
    return {"public": group["publicKey"]["pk"], "message": test["msg"], "signature": test["sig"]}


FIELDS = {"x25519": _x25519, "chacha20_poly1305": _aead, "xchacha20_poly1305": _aead, "ed25519": _ed25519}


def _convert(source, target, fields):
    """One JSON file of Wycheproof -> one vector file; every test gets its number, verdict and flags besides `fields`."""
    content = json.loads(source.read_text("utf-8"))
    lines = [HEADER % (source.name, content["numberOfTests"])]
    for group in content["testGroups"]:
        for test in group["tests"]:
            lines += [f'test = "{test["tcId"]}"\nresult = "{test["result"]}"\nflags = "{" ".join(test["flags"])}"\n']
            lines += [f"{name} = {value}\n" for name, value in fields(group, test).items()] + ["\n"]
    target.write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    try:
        print(directory())
    except Unavailable as error:
        sys.exit(str(error))
