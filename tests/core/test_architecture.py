"""The layout holds: packages import only what ARCHITECTURE.md allows, and the agent imports nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FOLDERS = {
    "skerry_core": "firmware", "skerry_shim": "firmware", "skerry_node": "firmware", "skerry_micro": "firmware",
    "skerry_board": "board", "skerry_gateway": "gateway", "skerry_image": "build",
    "skerry_web": "firmware",
}
ALLOWED = {
    "skerry_core": set(), "skerry_shim": {"skerry_core"}, "skerry_node": {"skerry_core", "skerry_shim", "skerry_board", "skerry_web"},
    "skerry_micro": {"skerry_core"}, "skerry_board": {"skerry_core"}, "skerry_gateway": {"skerry_core", "skerry_shim", "skerry_web"},
    "skerry_image": {"skerry_board", "skerry_core"}, "skerry_web": set(),
}
HEAVY = {"asyncio", "aiohttp", "logging", "http.client", "urllib.request", "dataclasses", "email", "sqlite3", "typing"}


def imported(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports absolutely."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", FOLDERS)
def test_imports_go_one_way(package: str) -> None:
    for path in (ROOT / FOLDERS[package] / package).rglob("*.py"):
        wrong = (imported(path) & set(FOLDERS)) - ALLOWED[package] - {package}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_the_core_depends_on_pure25519_alone() -> None:
    outside = set()
    for path in (ROOT / "firmware/skerry_core").rglob("*.py"):
        outside |= imported(path) - set(sys.stdlib_module_names) - {"skerry_core"}
    assert outside <= {"pure25519"}


def test_the_agent_imports_nothing_heavy() -> None:
    script = "import skerry_node.daemon, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-X", "frozen_modules=on", "-c", script], capture_output=True, text=True, check=True)
    bare = subprocess.run([sys.executable, "-c", "import sys; print('\\n'.join(sys.modules))"], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY - set(bare.stdout.split())
