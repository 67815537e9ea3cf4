"""CI's look at `make run`, as root and as an ordinary user: it connects, its pages answer, and Ctrl-C leaves nothing behind.

Compared before and after: processes of that user, network namespaces, interfaces, nftables rules, files in /tmp.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
USER = "skerry-demo"


def outcome(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def traces(uid: int) -> dict[str, set[str]]:
    """What a run could leave behind."""
    running = outcome(["pgrep", "-u", str(uid), "-fa", "skerryd|skerry-gateway|tailscaled|netlab"])
    return {
        "processes": {line for line in running.splitlines() if "check_demo" not in line},
        "namespaces": set(outcome(["lsns", "-t", "net", "-n", "-o", "NS"]).split()),
        "interfaces": set(re.findall(r"^\d+: ([^:@]+)", outcome(["ip", "-o", "link"]), re.M)),
        "rules": set(outcome(["nft", "list", "ruleset"]).splitlines()),
        "files": {name for name in os.listdir("/tmp") if name.startswith("skerry-")},
    }


def run_once(command: list[str], folder: Path, uid: int) -> list[str]:
    """Start, wait for the pages, open them, press Ctrl-C; the list of what was wrong."""
    before = traces(uid)
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    killer = threading.Timer(900, lambda: os.killpg(process.pid, signal.SIGKILL))
    killer.start()
    wrong: list[str] = []
    links: dict[str, str] = {}
    assert process.stdout is not None
    for line in process.stdout:
        print("   " + line, end="", flush=True)
        if found := re.search(r"(camera|console): (http://\S+)", line):
            links[found.group(1)] = found.group(2)
        if "Ctrl-C ends it" in line:
            wrong += look(links)
            os.killpg(process.pid, signal.SIGINT)
    process.wait()
    killer.cancel()
    if set(links) != {"camera", "console"}:
        wrong.append(f"pages printed: {sorted(links)}")
    return wrong + left_over(before, uid)


def left_over(before: dict[str, set[str]], uid: int) -> list[str]:
    """What is there now and was not before; a few seconds are given for the kernel to take namespaces down."""
    end = time.monotonic() + 10
    while True:
        after = traces(uid)
        more = [f"left behind, {kind}: {sorted(after[kind] - before[kind])}" for kind in before if after[kind] - before[kind]]
        if not more or time.monotonic() > end:
            return more
        time.sleep(0.2)


def look(links: dict[str, str]) -> list[str]:
    """Open the printed pages as a browser on this machine would."""
    wrong = []
    for name, word in (("camera", "camera-1"), ("console", "Sign in")):
        try:
            page = urllib.request.urlopen(links[name], timeout=10).read().decode()
        except (OSError, KeyError) as error:
            wrong.append(f"{name} page: {error!r}")
            continue
        if word.lower() not in page.lower():
            wrong.append(f"{name} page does not contain {word!r}")
    if not wrong and moving(links["camera"] + "picture.svg") is False:
        wrong.append("the camera's picture stands still")
    return wrong


def moving(address: str) -> bool:
    first = urllib.request.urlopen(address, timeout=10).read()
    time.sleep(0.3)  # the picture shows tenths of a second
    return bool(first != urllib.request.urlopen(address, timeout=10).read())


def as_user(folder: Path) -> list[str]:
    """The same as an ordinary user, in a clone of that user's own."""
    try:
        account = pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", USER], check=True)
        account = pwd.getpwnam(USER)
    clone = folder / "skerry"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    subprocess.run(["chown", "-R", f"{account.pw_uid}:{account.pw_gid}", str(folder)], check=True)
    python = "/usr/bin/python3" if shutil.which("/usr/bin/python3") else "python3"
    command = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--reset-env"]
    return run_once([*command, "make", "run", f"PYTHON={python}"], clone, account.pw_uid)


def main() -> int:
    failed = 0
    print("== make run, as root")
    wrong = run_once(["make", "run"], ROOT, 0)
    if os.geteuid() == 0:
        print("== make run, as an ordinary user")
        with tempfile.TemporaryDirectory(prefix="demo-of-user-") as name:
            os.chmod(name, 0o755)
            wrong += as_user(Path(name))
    for fault in wrong:
        print(f"demo: {fault}")
    failed = len(wrong)
    print(f"demo: {'0 passed' if failed else '2 passed'}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
