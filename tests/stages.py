"""The stages of `make test`: each a command with a time budget; a stage over its budget fails; a table and one closing line at the end.

`python tests/stages.py [STAGE...]` runs all or those named. Skips are counted and named; the last line says
"N passed, N failed, N skipped".
"""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
VENV = ROOT / ".venv" / "bin"
PYTEST = [str(VENV / "pytest"), "-q", "-p", "no:cacheprovider"]
NETLAB = [str(VENV / "python"), "-m", "tests.netlab"]
PARTNERS = {"tailscaled", "tailscale", "derper", "testcontrol", "dnsmasq", "systemd-resolved", "NetworkManager"}
PARTNERS |= {"ufw", "firewalld", "docker"}
# what takes long for itself runs beside the rest
ALONE = [["recovery"], ["rekeys"], ["routes", "exit_nodes", "firewalls", "shared_uplink", "mtu"]]
LANES = [[f"tests/interop/test_{name}.py" for name in names] for names in ALONE]

# name: (commands, budget in seconds); commands that run pytest get --junitxml; those of a stage in BESIDE run at the same time
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
    "shim": ([[*NETLAB, *PYTEST, "tests/shim", "tests/bench"]], 540),
    "node": ([[*NETLAB, *PYTEST, "tests/node", "tests/board"]], 240),
    "gateway": ([[*PYTEST, "tests/gateway"]], 240),
    "policy": ([[*PYTEST, "tests/policy"]], 180),
    "portal": ([[*NETLAB, *PYTEST, "tests/portal"]], 300),
    # cold, the trees of trixie take two minutes more; `make test` makes them before
    "deb": ([[str(ROOT / "build/deb.sh"), "trees"], [*NETLAB, *PYTEST, "tests/deb"]], 300),
    "sim": ([[*PYTEST, "tests/sim"]], 600),
    "interop": (
        [
            [*NETLAB, *PYTEST, "tests/interop", *(f"--ignore={path}" for lane in LANES for path in lane)],
            *([*NETLAB, *PYTEST, *lane] for lane in LANES),
        ],
        1500,
    ),
}
BESIDE = {"interop"}  # each command has namespaces of its own, and much of its time is waiting


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
    with ThreadPoolExecutor(len(commands) if name in BESIDE else 1) as lanes:
        runs = [lanes.submit(run_command, name, command, tally, partners, start + budget) for command in commands]
        good = all(run.result() for run in runs)  # leaving the block waits for every one
    return good, time.monotonic() - start


def run_command(name: str, command: list[str], tally: Tally, partners: Path, end: float) -> bool:
    """Run one command of a stage and count its tests; False when something failed. Output beside others' is shown at the end."""
    is_pytest = str(VENV / "pytest") in command
    with tempfile.NamedTemporaryFile(suffix=".xml") as report, tempfile.TemporaryFile() as output:
        argv = [*command, f"--junitxml={report.name}"] if is_pytest else command
        shown = output if name in BESIDE else None
        environment = {**os.environ, "SKERRY_PARTNERS": str(partners)}
        try:
            left = max(end - time.monotonic(), 1)
            code = subprocess.run(argv, cwd=ROOT, env=environment, timeout=left, stdout=shown, stderr=shown).returncode
        except subprocess.TimeoutExpired:
            print(f"stage {name}: over its budget of {STAGES[name][1]} s", flush=True)
            code = 124
        if shown:
            output.seek(0)
            print(output.read().decode(errors="replace"), flush=True)
        if is_pytest and Path(report.name).stat().st_size:
            tally.add(Path(report.name))
        if code:
            print(f"stage {name}: {' '.join(argv)} -> exit {code}", flush=True)
            tally.failed += not is_pytest or code not in (1,)
        elif not is_pytest:
            tally.passed += 1
        return not code


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
