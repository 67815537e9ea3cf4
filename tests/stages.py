"""The stages of `make test`: each a command with a time budget; a stage over its budget fails; a table and one closing line at the end.

`python tests/stages.py [STAGE...]` runs all or those named. Skips are counted and named; the last line says
"N passed, N failed, N skipped".
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
VENV = ROOT / ".venv" / "bin"
PYTEST = [str(VENV / "pytest"), "-q", "-p", "no:cacheprovider"]
NETLAB = [str(VENV / "python"), "-m", "tests.netlab"]
PARTNERS = {"tailscaled", "tailscale", "derper", "testcontrol"}

# name: (commands, budget in seconds); commands that run pytest get --junitxml
STAGES = {
    "check": (
        [
            [str(VENV / "ruff"), "check", "--quiet", "."],
            [str(VENV / "mypy")],
            [str(VENV / "python"), "tests/core/portability.py", "firmware/skerry_core"],
        ],
        180,
    ),
    "core": ([[*PYTEST, "tests/core", "tests/vectors"]], 300),
    "shim": ([[*NETLAB, *PYTEST, "tests/shim"]], 240),
    "node": ([[*NETLAB, *PYTEST, "tests/node", "tests/board"]], 240),
    "gateway": ([[*PYTEST, "tests/gateway"]], 240),
    "sim": ([[*PYTEST, "tests/sim"]], 420),
    "interop": ([[*NETLAB, *PYTEST, "tests/interop"]], 1500),
}


class Tally:
    """Counts of all pytest runs, from their junit files."""

    def __init__(self) -> None:
        self.passed = self.failed = 0
        self.skips: list[str] = []

    def add(self, report: Path) -> None:
        for case in ElementTree.parse(report).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed += 1
            elif (skip := case.find("skipped")) is not None:
                self.skips.append(f"{case.get('classname')}::{case.get('name')}: {skip.get('message')}")
            else:
                self.passed += 1


def run_stage(name: str, tally: Tally, partners: Path) -> tuple[bool, float]:
    """Run one stage; (succeeded within its budget, seconds)."""
    commands, budget = STAGES[name]
    start = time.monotonic()
    good = True
    for command in commands:
        is_pytest = str(VENV / "pytest") in command
        with tempfile.NamedTemporaryFile(suffix=".xml") as report:
            argv = [*command, f"--junitxml={report.name}"] if is_pytest else command
            left = budget - (time.monotonic() - start)
            environment = {**os.environ, "SKERRY_PARTNERS": str(partners)}
            try:
                code = subprocess.run(argv, cwd=ROOT, env=environment, timeout=max(left, 1)).returncode
            except subprocess.TimeoutExpired:
                print(f"stage {name}: over its budget of {budget} s", flush=True)
                code = 124
            if is_pytest and Path(report.name).stat().st_size:
                tally.add(Path(report.name))
            if code:
                print(f"stage {name}: {' '.join(argv)} -> exit {code}", flush=True)
                good = False
                tally.failed += not is_pytest or code not in (1,)
            elif not is_pytest:
                tally.passed += 1
    return good, time.monotonic() - start


def missing_partners(partners: Path) -> set[str]:
    """The interop partners that no test talked to."""
    return PARTNERS - set(partners.read_text().split())


def main() -> int:
    names = sys.argv[1:] or list(STAGES)
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        print(f"no such stage: {' '.join(unknown)}; there are: {' '.join(STAGES)}", file=sys.stderr)
        return 2
    tally = Tally()
    rows = []
    with tempfile.TemporaryDirectory(prefix="skerry-stages-") as folder:
        partners = Path(folder) / "partners"
        partners.touch()
        for name in names:
            print(f"== {name}", flush=True)
            rows.append((name, *run_stage(name, tally, partners)))
        if "interop" in names and missing_partners(partners):
            print(f"interop partners not exercised: {' '.join(sorted(missing_partners(partners)))}")
            tally.failed += 1
    print("\nstage      seconds  budget")
    for name, good, seconds in rows:
        print(f"{name:<10} {seconds:7.1f} {STAGES[name][1]:7d}  {'ok' if good else 'FAILED'}")
    for skip in tally.skips:
        print(f"SKIPPED {skip}")
    print(f"{tally.passed} passed, {tally.failed} failed, {len(tally.skips)} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
