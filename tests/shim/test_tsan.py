"""The threads of the shim under ThreadSanitizer: those drivers of c/ that have any, built once for each content."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.shim import test_c

SANITIZER = ["-fsanitize=thread", "-fno-omit-frame-pointer"]
THREADED = [path.stem for path in sorted(test_c.HERE.glob("*.c")) if "pthread" in path.read_text() or "shim_start" in path.read_text()]
# the sanitizer's memory map does not fit every kernel's random one
FIXED = ["setarch", "-R"]
if shutil.which("setarch") is None or subprocess.run([*FIXED, "true"], capture_output=True).returncode:
    FIXED = []
RACE = """
#include <pthread.h>
static int shared;
static void *add(void *nothing) { shared++; return nothing; }
int main(void) { pthread_t t; pthread_create(&t, NULL, add, NULL); shared++; pthread_join(t, NULL); return 0; }
"""


@pytest.fixture(scope="module")
def built() -> Path:
    options = test_c.flags(SANITIZER)
    return test_c.build(test_c.cache("shim-tsan", test_c.content(options)), options)


def test_a_race_is_seen(tmp_path: Path) -> None:
    (tmp_path / "race.c").write_text(RACE)
    subprocess.run(["cc", *SANITIZER, "-g", str(tmp_path / "race.c"), "-lpthread", "-o", str(tmp_path / "race")], check=True)
    done = subprocess.run([*FIXED, str(tmp_path / "race")], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "data race" in done.stderr


@pytest.mark.parametrize("name", THREADED)
def test_driver(built: Path, name: str) -> None:
    done = subprocess.run([*FIXED, str(built / name)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "WARNING: ThreadSanitizer" not in done.stderr, done.stdout + done.stderr[-8000:]


def test_only_changes_write_the_table() -> None:
    writers = {path.name for path in test_c.SHIM.glob("*.c") if "wrlock(&t->table" in path.read_text()}
    assert writers <= {"apply.c", "transport.c", "sockets.c", "handover.c", "features.c", "peerrelay.c"}
    for path in test_c.SHIM.glob("*.c"):
        assert not any(word in path.read_text() for word in ("pthread_cancel", "pthread_exit", "pthread_kill")), path.name
