"""Build the wheel, check what is in it, install it into an empty environment, and join a node from there to a gateway from there.

Run by .ci/run: `python -m tests.wheel`. Prints one closing line; exits 1 when something is missing.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "skerry_core", "skerry_shim", "skerry_node", "skerry_micro", "skerry_board", "skerry_gateway", "skerry_image", "skerry_web",
}


def build(folder: Path) -> Path:
    """The built wheel in `folder`."""
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def faults(wheel: Path) -> list[str]:
    """What is wrong with the wheel's contents."""
    names = zipfile.ZipFile(wheel).namelist()
    packages = {name.split("/")[0] for name in names if "/" in name and ".dist-info" not in name}
    found = [f"package {name} is missing" for name in sorted(PACKAGES - packages)]
    found += [f"unexpected package {name}" for name in sorted(packages - PACKAGES)]
    if not any(name.startswith("skerry_shim/") and name.endswith(".abi3.so") for name in names):
        found.append("the compiled skerry_shim is missing")
    if "-abi3-" not in wheel.name:
        found.append(f"{wheel.name} is not tagged for the limited ABI")
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        found.append("the licence is missing")
    return found


def install(wheel: Path, environment: Path) -> None:
    """The wheel and its locked dependencies in a new virtual environment."""
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements.lock")], check=True)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="skerry-wheel-") as name:
        folder = Path(name)
        wheel = build(folder)
        wrong = faults(wheel)
        if not wrong:
            install(wheel, folder / "environment")
            environment = {**os.environ, "SKERRY_BIN": str(folder / "environment" / "bin")}
            lab = [sys.executable, "-m", "tests.netlab", sys.executable, "-m", "tests.netlab.join"]
            if subprocess.run(lab, cwd=ROOT, env=environment).returncode:
                wrong.append("a node from the wheel did not join a gateway from the wheel")
    for fault in wrong:
        print(f"wheel: {fault}")
    print(f"wheel: {'0 passed, 1 failed' if wrong else '1 passed, 0 failed'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
