"""Build step: the installed pure25519 0.0.1, changed so that MicroPython runs it: `python -m skerry_micro.adapt_pure25519 DIRECTORY`.

Writes DIRECTORY/pure25519/ with the group arithmetic, the signatures, SPAKE2 and the licence. What is replaced, because MicroPython
lacks it: itertools, reversal by a stepped slice, a recursion 255 deep, SHA-512 of hashlib (`skerry_core.crypto.pure.sha512` instead).
base64 is used only by modules that are left out. Another version, or a source in which one of the places is not found exactly as often
as expected, is refused: nothing half adapted is written. This module runs on CPython only; it is not part of a board's firmware.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

VERSION = "0.0.1"
LICENSE = Path(__file__).with_name("pure25519.LICENSE")

_SHA512 = "from skerry_core.crypto.pure.sha512 import sha512\n"
_MULTIPLY = '''

def _multiply(pt, n, add):
    # from the highest bit down, as the recursion this replaces
    total = xform_affine_to_extended((0, 1))
    bit = 1
    while bit <= n:
        bit <<= 1
    while bit > 1:
        bit >>= 1
        total = double_element(total)
        if n & bit:
            total = add(total, pt)
    return total
'''
_REVERSED = (r'(binascii\.unhexlify\("%064x" % y\)|\b\w+(?:\[:32\])?)\[::-1\]', r"bytes(reversed(\1))")
_DIGEST = (r"hashlib\.sha512\((\w+)\)\.digest\(\)", r"sha512(\1)")

# module: (pattern, replacement, how often it must occur)
CHANGES: "dict[str, list[tuple[str, str, int]]]" = {
    "basic": [
        (r"^import binascii, hashlib, itertools$", "import binascii\n" + _SHA512.rstrip() + _MULTIPLY.rstrip(), 1),
        (*_REVERSED, 4),
        (*_DIGEST, 2),
        (r"itertools\.count\(0\)", "range(1 << 30)", 1),
        (r"    _ = double_element\(\w+\(pt, n>>1\)\)\n    return (\w+)\(_, pt\) if n&1 else _$", r"    return _multiply(pt, n, \1)", 2),
    ],
    "eddsa": [
        (r"^import hashlib, binascii$", "import binascii\n" + _SHA512.rstrip(), 1),
        (*_REVERSED, 1),
        (*_DIGEST, 1),
    ],
    "spake2": [],
}


class CannotAdapt(Exception):
    """The installed pure25519 is not the one this step knows."""


def adapt(directory: Path) -> Path:
    """Write the adapted package below `directory`; its path. CannotAdapt when the installed one is missing or different."""
    source = _installed()
    texts = {name: _changed(name, (source / (name + ".py")).read_text("ascii")) for name in CHANGES}
    package = directory / "pure25519"
    package.mkdir(parents=True, exist_ok=True)
    licence = LICENSE.read_text("utf-8")
    for name, text in texts.items():
        (package / (name + ".py")).write_text(_header(name, licence) + text, "utf-8")
    (package / "__init__.py").write_text("")
    (package / "LICENSE").write_text(licence, "utf-8")
    return package


def _installed() -> Path:
    try:
        distribution = metadata.distribution("pure25519")
    except metadata.PackageNotFoundError:
        raise CannotAdapt("pure25519 is not installed; need pure25519==" + VERSION)
    if distribution.version != VERSION:
        raise CannotAdapt(f"pure25519 {distribution.version} is installed; this step knows {VERSION} only")
    return Path(str(distribution.locate_file("pure25519")))


def _changed(name: str, text: str) -> str:
    for pattern, replacement, expected in CHANGES[name]:
        text, found = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if found != expected:
            raise CannotAdapt(f"pure25519/{name}.py: {pattern!r} occurs {found} times, expected {expected}: not the released source")
    return text


def _header(name: str, licence: str) -> str:
    lines = [f"pure25519/{name}.py {VERSION}, changed for MicroPython by Skerry's build; original licence:", "", *licence.splitlines()]
    return "".join(("# " + line).rstrip() + "\n" for line in lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m skerry_micro.adapt_pure25519 DIRECTORY")
    try:
        print(adapt(Path(sys.argv[1])))
    except (CannotAdapt, OSError) as error:
        sys.exit(f"pure25519 not adapted: {error}")
