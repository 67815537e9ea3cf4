"""`make run`: a gateway and two nodes behind two NATs in namespaces of their own; prints what happens and addresses for the browser.

The network lives in demo_inside.py, in fresh namespaces; this half stays on the host, shows progress and carries the pages out.
Ctrl-C ends the inner half, and with it every process, namespace, interface and rule; the folder with the state goes too.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.netlab import enter, forward

PORTS = {"camera": 8000, "console": 8080}


class Show:
    """Progress for a person: one line per step, with the time since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def line(self, mark: str, text: str, code: str) -> None:
        stamp = f"{time.monotonic() - self.start:5.1f} s"
        mark = f"\x1b[{code}m{mark}\x1b[0m" if self.colour else mark
        print(f"{stamp}  {mark} {text}", flush=True)


async def follow(inner: asyncio.subprocess.Process, show: Show) -> bool:
    """Show the inner half's lines till everything is ready (True) or it ended (False)."""
    assert inner.stdout is not None
    while raw := await inner.stdout.readline():
        event = json.loads(raw)
        if "step" in event:
            show.line("..", event["step"], "2")
        elif "result" in event:
            show.line("ok", event["result"], "32")
        elif "page" in event:
            _, port = await forward.listen(event["socket"], PORTS[event["page"]])
            show.line("->", f"{event['page']}: http://127.0.0.1:{port}{event['path']}", "36")
        elif "failed" in event:
            show.line("!!", event["failed"], "31")
        elif "ready" in event:
            return True
    return False


async def demo(folder: Path, options: list[str]) -> int:
    os.environ[enter.MARK] = "1"
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    command = enter.enter([sys.executable, "-m", "tests.netlab.demo_inside", str(folder), *options])
    inner = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.PIPE, start_new_session=True, limit=1 << 20
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    show = Show()
    stopping = asyncio.create_task(stop.wait())
    following = asyncio.create_task(follow(inner, show))
    try:
        await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            if not following.result():
                return 1
            print("\nThe pages open in your browser. Ctrl-C ends it and leaves nothing behind.", flush=True)
            gone = asyncio.create_task(inner.wait())
            await asyncio.wait({stopping, gone}, return_when=asyncio.FIRST_COMPLETED)
        return 0
    finally:
        following.cancel()
        stopping.cancel()
        if inner.returncode is None:
            inner.kill()
        await inner.wait()
        print("\nended, nothing left behind", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__.split("\n")[0])
    parser.add_argument("--tailscale", action="store_true", help="add an official client (built once into the cache)")
    arguments = parser.parse_args()
    reason = enter.why_not()
    if reason:
        print(f"make run: {reason}", file=sys.stderr)
        return 3
    folder = Path(tempfile.mkdtemp(prefix="skerry-demo-"))
    try:
        return asyncio.run(demo(folder, ["--tailscale"] if arguments.tailscale else []))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
