"""The parsers in C under libFuzzer with ASan and UBSan: each target in fuzz/ for FUZZ_SECONDS (`make fuzz`: long), two at a time.

The inputs that led somewhere new are kept in the cache and begin the next run; one that fails is kept beside them, and its path is told.
"""

import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.shim import test_c

HERE = Path(__file__).parent / "fuzz"
TARGETS = sorted(path.stem for path in HERE.glob("*.c"))
SECONDS = int(os.environ.get("FUZZ_SECONDS", str(120 // len(TARGETS))))  # two at a time: a minute in all
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skerry"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]


@pytest.fixture(scope="module")
def built() -> Path:
    """The targets, built once for each content."""
    assert shutil.which("clang"), "no clang: build/setup.sh test installs it"
    flags = [flag for flag in test_c.flags(SANITIZERS) if flag not in ("-Werror",)] + [f"-I{HERE}"]
    files = sorted([*test_c.SHIM.glob("*.[ch]"), *HERE.glob("*.[ch]"), test_c.HERE / "slow.h"])
    content = hashlib.sha256(repr(flags).encode() + b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()[:16]
    folder = CACHE / "shim-fuzz" / content
    if folder.exists():
        return folder
    staged = folder.with_name(f".{content}.{os.getpid()}")
    staged.mkdir(parents=True)

    def compile_one(source: Path) -> str:
        target = staged / f"{source.parent.name}-{source.stem}.o"
        subprocess.run(["clang", *flags, "-fsanitize=fuzzer-no-link", "-c", str(source), "-o", str(target)], check=True)
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        shim = list(pool.map(compile_one, test_c.shim_build.sources()))
        targets = list(pool.map(compile_one, [HERE / f"{name}.c" for name in TARGETS]))
    for name, target in zip(TARGETS, targets, strict=True):
        libraries = ["-lcrypto", "-lpthread", "-o", str(staged / name)]
        subprocess.run(["clang", *SANITIZERS, "-fsanitize=fuzzer", target, *shim, *libraries], check=True)
    staged.rename(folder)
    return folder


def run(built: Path, name: str) -> str:
    """What went wrong, or nothing."""
    corpus, kept = CACHE / "fuzz-corpus" / name, CACHE / "fuzz-failures" / name
    for folder in (corpus, kept):
        folder.mkdir(parents=True, exist_ok=True)
    argv = [str(built / name), str(corpus), f"-max_total_time={SECONDS}", "-timeout=10", "-max_len=4096", f"-artifact_prefix={kept}/"]
    done = subprocess.run([*argv, "-print_final_stats=1", "-verbosity=0"], capture_output=True, text=True)
    print(f"{name}: {SECONDS} s, {next((line.split()[-1] for line in done.stderr.splitlines() if 'executed_units' in line), '?')} inputs")
    return "" if done.returncode == 0 else f"{name}: the input is kept in {kept}\n{done.stderr[-4000:]}"


@pytest.mark.timeout(len(TARGETS) * SECONDS + 300)
def test_no_input_breaks_a_parser(built: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        failures = [found for found in pool.map(lambda name: run(built, name), TARGETS) if found]
    assert not failures, "\n".join(failures)
