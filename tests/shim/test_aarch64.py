"""The C of the shim on aarch64: the drivers of c/ as they are shipped (-O2), against arm's libcrypto, under qemu-user."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.shim import test_c

ROOT = Path(__file__).parents[2]
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"


@pytest.fixture(scope="module")
def built() -> Path:
    """The drivers, built once for each content."""
    for tool in (COMPILER, EMULATOR):
        assert shutil.which(tool), f"no {tool}: build/setup.sh test installs it"
    found = subprocess.run([str(ROOT / "build" / "sysroot.sh"), "arm64"], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        pytest.skip("apt has no libssl-dev for arm64 here")
    sysroot = Path(found.stdout.strip())
    include = sysroot / "usr" / "include"
    flags = [*test_c.flags(["-O2"]), f"-I{include}", f"-I{include / 'aarch64-linux-gnu'}"]
    content = test_c.content(flags)
    libraries = [str(sysroot / "usr/lib/aarch64-linux-gnu/libcrypto.a"), "-static", "-lpthread", "-ldl"]
    return test_c.build(test_c.cache("shim-aarch64", content), flags, COMPILER, libraries)


@pytest.mark.parametrize("name", test_c.DRIVERS)
def test_driver(built: Path, name: str) -> None:
    done = subprocess.run([EMULATOR, str(built / name)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
