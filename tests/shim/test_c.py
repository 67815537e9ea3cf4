"""The C of the shim under AddressSanitizer and UndefinedBehaviorSanitizer: drivers in c/, built once for each content."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "c"
SHIM = Path(__file__).parents[2] / "firmware" / "skerry_shim"
DRIVERS = sorted(p.stem for p in HERE.glob("*.c"))
LIBRARIES = ["-lcrypto", "-lpthread"]
KEPT_S = 3600  # other checkouts on this machine build, too
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]

sys.path.insert(0, str(SHIM))
try:
    import shim_build
finally:
    sys.path.pop(0)


def flags(sanitizers):
    kept = [flag for flag in shim_build.CFLAGS if flag not in ("-O2", "-fvisibility=hidden")]
    return [*kept, "-O1", *sanitizers, "-include", "stdint.h", "-include", "stddef.h", f"-I{SHIM}", f"-I{HERE}"]


def content(options):
    """What a build depends on, as a name."""
    digest = hashlib.sha256(repr(options).encode())
    for path in sorted([*SHIM.glob("*.[ch]"), *HERE.glob("*.[ch]")]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def cache(kind, name):
    """The folder of a build in the cache; those of other contents are removed."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skerry" / kind
    for old in base.glob("*"):
        if old.name != name and len(old.name) == 16 and old.stat().st_mtime < time.time() - KEPT_S:
            shutil.rmtree(old, ignore_errors=True)
    return base / name


def build(folder, options, compiler="cc", libraries=LIBRARIES):
    """Objects of the shim and the drivers in `folder`; compiled in a folder beside it that is renamed when all is well."""
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=folder.parent))

    def compile_one(source):
        target = staged / f"{source.parent.name}-{source.stem}.o"
        subprocess.run([compiler, *options, "-c", str(source), "-o", str(target)], check=True)
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        shim = list(pool.map(compile_one, shim_build.sources()))
        drivers = list(pool.map(compile_one, [HERE / f"{name}.c" for name in DRIVERS]))
    for name, driver in zip(DRIVERS, drivers, strict=True):
        subprocess.run([compiler, *options, driver, *shim, *libraries, "-o", str(staged / name)], check=True)
    try:
        staged.rename(folder)
    except OSError:  # another run was first
        shutil.rmtree(staged)
    return folder


@pytest.fixture(scope="module")
def built():
    if shutil.which("cc") is None:
        pytest.skip("no C compiler; install it with: sudo apt-get install build-essential libssl-dev")
    return build(cache("shim-c", content(flags(SANITIZERS))), flags(SANITIZERS))


@pytest.mark.parametrize("name", DRIVERS)
def test_driver(built, name):
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    done = subprocess.run([str(built / name)], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
