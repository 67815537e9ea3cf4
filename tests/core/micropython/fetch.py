"""Provides a MicroPython interpreter without installing anything: `python -m tests.core.micropython.fetch` prints its path.

apt downloads Debian's `micropython` and every library it needs (Debian 13's, from the mirror this machine already uses; elsewhere the
distribution's own), checking signatures and hashes as always, into private directories and without root. The packages are unpacked
beside each other in the cache, and a script starts the interpreter through the unpacked C library's own loader, so that the machine's
library versions do not matter. The cache is keyed by this file's content and the architecture; $SKERRY_MICROPYTHON names another
interpreter instead.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

SUITE = "trixie"
PACKAGE = "micropython"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# the machine's own settings (mirrors, proxies) stay; its hooks, preferences and state do not take part
APT_CONFIGURATION = """
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
Dir::State::status "{work}/status";
Dir::State::lists "{work}/lists";
Dir::State::extended_states "{work}/extended_states";
Dir::Cache "{work}";
Dir::Cache::archives "{work}/archives";
Dir::Etc::preferences "{work}/none";
Dir::Etc::preferencesparts "{work}/etc";
APT::Sandbox::User "";
APT::Install-Recommends "0";
APT::Keep-Downloaded-Packages "1";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "1";
"""


class Unavailable(Exception):
    """MicroPython cannot be had here; the text says why and what to do."""


def cache_directory():
    return Path(os.environ.get("SKERRY_CACHE") or Path.home() / ".cache" / "skerry")


def interpreter():
    """Path of a MicroPython that starts; downloads it on first use. Unavailable when that fails."""
    override = os.environ.get("SKERRY_MICROPYTHON")
    if override:
        _must_start(Path(override), "$SKERRY_MICROPYTHON")
        return Path(override)
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    content = Path(__file__).read_bytes() + platform.machine().encode()
    home = cache / ("micropython-" + hashlib.sha256(content).hexdigest()[:16])
    with open(cache / "micropython.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
        if not (home / "micropython").exists():
            _provide(home)
    return home / "micropython"


def _provide(home):
    missing = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise Unavailable(f"{' and '.join(missing)} not found: install MicroPython 1.22 or later and name it in $SKERRY_MICROPYTHON")
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="micropython-new-") as work:
        packages = _download(Path(work))
        root = Path(work) / "root"
        for package in packages:
            _run(["dpkg-deb", "-x", str(package), str(root)])
        _write_starter(root, home)
        _must_start(root / "micropython", "the unpacked interpreter", {"SKERRY_MICROPYTHON_ROOT": str(root)})
        shutil.rmtree(home, ignore_errors=True)
        os.rename(root, home)


def _download(work):
    """The .deb files of the package and of all it depends on, as if nothing were installed."""
    for part in ("lists/partial", "archives/partial", "etc"):
        (work / part).mkdir(parents=True)
    (work / "status").touch()
    (work / "apt.conf").write_text(APT_CONFIGURATION.format(work=work) + _sources(work))
    apt = ["apt-get", "-q", "-c", str(work / "apt.conf")]
    _run([*apt, "update"])
    _run([*apt, "-y", "--download-only", "install", PACKAGE])
    packages = sorted((work / "archives").glob("*.deb"))
    if not packages:
        raise Unavailable("apt-get downloaded nothing though it reported success; name an interpreter in $SKERRY_MICROPYTHON")
    return packages


def _sources(work):
    """Configuration that replaces the machine's package sources by Debian's SUITE on the same mirror; nothing when this is not Debian."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return ""
    listing = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
    mirrors = [line.split()[0] for line in listing.splitlines() if line.split()[1:] == [release.get("VERSION_CODENAME"), "main"]]
    if not mirrors:
        raise Unavailable("apt has no source for Debian's main archive: add one, or name a MicroPython in $SKERRY_MICROPYTHON")
    signed = f" [signed-by={KEYRING}]" if KEYRING.exists() else ""
    (work / "sources.list").write_text(f"deb{signed} {mirrors[0]} {SUITE} main\n")
    return f'Dir::Etc::sourcelist "{work}/sources.list";\nDir::Etc::sourceparts "{work}/etc";\n'


def _write_starter(root, home):
    """A script that starts the unpacked interpreter with the unpacked libraries, once `root` has become `home`."""
    binary = _only(root, "usr/bin/micropython")
    loader = _only(root, "**/ld-linux*.so.*")
    libraries = sorted({path.parent.relative_to(root) for path in root.glob("**/lib*.so*") if not path.is_symlink()})
    path = ":".join(f"$root/{library}" for library in libraries)
    starter = root / "micropython"
    starter.write_text(
        f"#!/bin/sh\n# written by {Path(__file__).name}\nroot=${{SKERRY_MICROPYTHON_ROOT:-{home}}}\n"
        f'exec "$root/{loader.relative_to(root)}" --library-path "{path}" "$root/{binary.relative_to(root)}" "$@"\n'
    )
    starter.chmod(starter.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _only(root, pattern):
    found = [path for path in root.glob(pattern) if path.is_file() and not path.is_symlink()]
    if not found:
        raise Unavailable(f"the packages hold no {pattern}; name a MicroPython in $SKERRY_MICROPYTHON")
    return found[0]


def _must_start(path, what, environment=None):
    try:
        text = _run([str(path), "-c", "import sys; print(sys.implementation.name)"], {**os.environ, **(environment or {})})
    except OSError as error:
        raise Unavailable(f"{what}, {path}, does not start: {error}") from error
    if text.strip() != "micropython":
        raise Unavailable(f"{what}, {path}, says it is {text.strip()!r}, not micropython")


def _run(command, environment=None):
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    if done.returncode:
        reason = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise Unavailable(
            f"MicroPython is not in the cache and cannot be had: `{command[0]}` failed:\n{reason}\n"
            "Check the network and apt's sources, or name an interpreter in $SKERRY_MICROPYTHON."
        )
    return done.stdout


if __name__ == "__main__":
    try:
        print(interpreter())
    except Unavailable as error:
        sys.exit(str(error))
