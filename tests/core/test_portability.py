"""The portability checker finds what it should, and nothing in the core; every module of the core imports on MicroPython."""

import os
import subprocess
import sys

import pytest

from tests.core import portability
from tests.core.micropython import fetch
from tests.core.micropython.run import ROOT, VECTORS, run_micropython

BAD = [
    "import typing",
    "from typing import Any",
    "from __future__ import annotations",
    "import dataclasses",
    "import itertools",
    "import collections.abc",
    "from collections import defaultdict",
    "import ipaddress",
    "import os",
    "def f():\n    import functools",
    "match x:\n    case 1: pass",
    "def f(a, /, b): pass",
    "x = [*a, 1]",
    "x = (1, *a)",
    "x = b[(a, *c)]",
    "return_ = {*a}",
    "x = {**a}",
    "with (open() as a, open() as b): pass",
    "with (\n    open() as a\n): pass",
    "async def f(): pass",
    "x = [a async for a in b]",
    "class A(metaclass=B): pass",
    "try: pass\nexcept A as e: raise B from e",
    "raise B from None",
    "try: pass\nexcept* A: pass",
    "x = int.from_bytes(b, 'big', signed=True)",
    "x = int.from_bytes(b, byteorder='big')",
    "x = int.from_bytes(b)",
    "x = n.to_bytes(length=2, byteorder='big')",
    "x = n.to_bytes()",
    "x = n.bit_length()",
    "x = int.bit_length",
    "x = struct.Struct('>H')",
    "x = struct.pack('H', 1)",
    "try: pass\nexcept struct.error: pass",
    "x = struct.iter_unpack('>H', b)",
    "x = pow(a, -1, p)",
    "x = b[::2]",
    "x = b[::-1]",
    "del b[:n]",
    "b = bytearray()\nb.clear()",
    "class A:\n    def f(self):\n        self.b: bytearray = bytearray(4)\n        self.b.pop()",
    "x = memoryview(b).tobytes()",
    "x = memoryview(b).cast('I')",
    "x = s.removeprefix('a')",
    "x = s.zfill(2)",
    "x = s.ljust(2)",
    "x = s.isascii()",
    "x = b.decode('utf-8', 'replace')",
    "x = b.decode('ascii')",
    "x = b.decode(errors='replace')",
    "x = json.dumps(a, sort_keys=True)",
    "x = s.split(maxsplit=1)",
    "x = zip(a, b, strict=True)",
    "x = [y := 1 for a in b]",
    "x = any((y := a) for a in b)",
    "try: pass\nexcept TimeoutError: pass",
    "try: pass\nexcept (ValueError, UnicodeDecodeError): pass",
    "class A:\n    def __init_subclass__(cls): pass",
    "print(1)",
    "x = vars(a)",
    "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    pass\nelse:\n    import typing",
    "x = (",
]

GOOD = [
    "import struct, json, binascii\nfrom collections import deque\nfrom skerry_core.errors import PeerError\nfrom . import a",
    "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Any\n    from collections.abc import Callable",
    "try:\n    import zstandard\nexcept ImportError:\n    zstandard = None",
    "a, *b = c\nf(*a, **b)\nx = [a for a in b if a]",
    "x = int.from_bytes(b, 'big') + int.from_bytes(b[1:2], 'little')\ny = n.to_bytes(2, 'big')",
    "x = struct.pack('>HB', 1, 2) + struct.pack('!Q', 3)",
    "def f(a: 'dict[str, Any] | None' = None, *, b: int | None = 3, **c: format) -> Any: pass",
    "x: 'format' = 3",
    "with open() as a, (b): pass\nwith (a): pass\nwith (a).b() as c: pass",
    "x = b.decode()\ny = s.encode('utf-8')\nz = fields.decode(text, 'what')",
    "x = pow(a, p - 2, p)",
    "b = bytearray()\nb[:2] = b''\ndel d[1]\nd = {}\nd.clear()\nd.pop(1)",
    "if (n := f()) > 1: pass",
    "try: pass\nexcept (A, B) as e: raise C('x')",
    "class A(B):\n    @property\n    def f(self): return f'{self!r} {1:02x}'",
]


@pytest.mark.parametrize("source", BAD)
def test_is_found(source):
    found = portability.findings(source, "name.py")
    assert found
    assert all(line.startswith("name.py:") for line in found)


@pytest.mark.parametrize("source", GOOD)
def test_is_fine(source):
    assert portability.findings(source) == []


def test_the_place_is_named():
    assert portability.findings("x = 1\ny = b[::2]\n", "a.py") == ["a.py:2:7: slice with a step: use a loop, or bytes(reversed(...))"]


def test_the_command(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("import typing\n")
    script = [sys.executable, portability.__file__]
    done = subprocess.run([*script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"{bad}:1:1: import of typing" in done.stdout
    bad.write_text("import struct\n")
    assert subprocess.run([*script, str(bad)], capture_output=True, check=False).returncode == 0
    assert subprocess.run([*script, str(tmp_path / "none")], capture_output=True, check=False).returncode != 0
    assert subprocess.run(script, capture_output=True, check=False).returncode != 0


def test_the_core_is_portable():
    files = sorted((ROOT / "firmware" / "skerry_core").rglob("*.py"))
    assert files
    assert [line for path in files for line in portability.findings(path.read_text(), str(path.relative_to(ROOT)))] == []


def test_the_checks_are_portable():
    files = [*sorted(VECTORS.glob("check_*.py")), VECTORS / "vectorfile.py"]
    found = [line for path in files for line in portability.findings(path.read_text(), path.name)]
    assert [line for line in found if "belong to the adapters" not in line] == []  # they read files


def test_every_module_of_the_core_imports_on_micropython(tmp_path):
    if os.environ.get("SKERRY_WITHOUT_MICROPYTHON"):
        pytest.skip("$SKERRY_WITHOUT_MICROPYTHON is set")
    firmware = ROOT / "firmware"
    files = sorted((firmware / "skerry_core").rglob("*.py"))
    names = [".".join(path.relative_to(firmware).with_suffix("").parts).removesuffix(".__init__") for path in files]
    script = tmp_path / "imports.py"
    script.write_text("import sys\nfor name in sys.argv[1:]:\n    __import__(name)\n    print(name)\n")
    try:
        done = run_micropython(script, *names)
    except fetch.Unavailable as error:
        pytest.fail(str(error), pytrace=False)
    assert done.stdout.split() == names, done.stdout + done.stderr
