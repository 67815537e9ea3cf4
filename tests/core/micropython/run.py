"""Starts scripts on MicroPython, with firmware/, the vectors and the adapted pure25519 on its sys.path."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from skerry_micro import adapt_pure25519
from tests.core.micropython import fetch

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "tests" / "vectors"


def run_micropython(script_path, *arguments, heap="8M", timeout=120):
    """The CompletedProcess, output as text; fetch.Unavailable when there is no interpreter. `heap` is MicroPython's (K and M)."""
    interpreter = fetch.interpreter()
    path = [str(ROOT / "firmware"), str(VECTORS), str(_pure25519()), ".frozen"]
    command = [str(interpreter), "-X", "heapsize=" + heap, str(script_path), *[str(argument) for argument in arguments]]
    environment = {**os.environ, "MICROPYPATH": ":".join(path)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout, check=False)


def _pure25519():
    """The directory of the adapted package in the cache, made anew when the step that makes it has changed."""
    content = Path(adapt_pure25519.__file__).read_bytes() + adapt_pure25519.LICENSE.read_bytes()
    cache = fetch.cache_directory()
    home = cache / ("pure25519-micropython-" + hashlib.sha256(content).hexdigest()[:16])
    if not home.exists():
        cache.mkdir(parents=True, exist_ok=True)
        work = tempfile.mkdtemp(dir=cache, prefix="pure25519-new-")
        adapt_pure25519.adapt(Path(work))
        try:
            os.rename(work, home)
        except OSError:  # another process was faster
            shutil.rmtree(work)
    return home
